"""What is given has an effect, or is refused by its name: over every command, every shape of its question, and every field."""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import pytest

import scaleplan
from scaleplan.errors import ScaleplanError
from scaleplan.questions.registry import NAMES, question_named

BASES: dict[str, list[dict[str, Any]]] = {
    "params": [{"model": "llama-3-8b"}, {"target": "1B"}],
    "flops": [{"model": "mistral-7b-v0.1"}, {"model": "mistral-7b-v0.1", "tokens": "1T"}, {"model": "t5-small", "tokens": "1B"}],
    "memory": [
        {"model": "llama-3-8b"},
        {"model": "llama-3-8b", "layout": "tp2,pp2,dp2"},
        {"model": "llama-3-8b", "inference": True},
        {"model": "llama-3-8b", "inference": True, "hardware": "h100-sxm", "layout": "tp2"},
    ],
    "optimal": [
        {"compute": "1e21"},
        {"n_params": "7B", "tokens": "1.4T"},
        {"loss": "2.2"},
        {"usd": "$100k", "hardware": "h100-sxm"},
        {"compute": "1e21", "n_experts": "8", "n_experts_per_token": "1"},
        {"rules": True, "n_params": "1B"},
        {"position": "100"},
        {"bits": "8"},
        {"sparsity": "0.5", "n_params": "1B", "tokens": "100B"},
        {"epochs": "4"},
        {"without_embeddings": True, "compute": "1e20"},
        {"size_ratio": "0.6"},
        {"task": "hellaswag", "n_params": "7B", "tokens": "1.4T"},
    ],
    "batch": [{"loss": "2.5"}, {"n_params": "1B", "tokens": "20B"}, {"gradient_norm2": ["32=0.041", "512=0.0028"]}],
    "cost": [
        {"model": "gpt2", "tokens": "300B", "hardware": "a100-sxm-80gb"},
        {"n_params": "1e9", "tokens": "2e11", "hardware": "a100-sxm-80gb", "n_devices": "8"},
        {"device_hours": "1000", "hardware": "h100-sxm"},
        {"energy": "1MWh"},
        {"model": "mixtral-8x7b", "tokens": "1T", "hardware": "h100-sxm", "layout": "tp2,pp4,dp4,ep4"},
        {"model": "llama-3-8b", "tokens": "1T", "hardware": "h100-sxm", "layout": "auto", "n_devices": "8"},
    ],
    "layout": [
        {"model": "mixtral-8x7b", "hardware": "h100-sxm", "n_devices": "16", "seq_len": "2048"},
        {"model": "mixtral-8x7b", "hardware": "h100-sxm", "n_devices": "16", "explain": "tp2,pp2,dp4,ep4,sp,zero1"},
        {"model": "llama-3-8b", "hardware": "h100-sxm", "n_devices": "8,16", "tokens": "1B"},
        {"model": "llama-3-8b", "hardware": "h100-sxm", "n_devices": "8:16", "tokens": "1B", "deadline": "30d"},
    ],
    "serve": [
        {"model": "llama-3-8b", "hardware": "h100-sxm", "layout": "tp2"},
        {"model": "llama-3-8b", "hardware": "h100-sxm", "requests_per_s": "50", "n_draft_tokens": "4", "draft_acceptance": "0.7"},
    ],
    "rl": [
        {
            "model": "llama-3-8b",
            "hardware": "h100-sxm",
            "n_devices": "8",
            "n_prompts": "64",
            "n_responses": "8",
            "n_prompt_tokens": "200",
            "n_output_tokens": "500",
            "max_output_tokens": "2048",
        },
        {
            "model": "llama-3-8b",
            "hardware": "h100-sxm",
            "n_devices": "8",
            "n_prompts": "64",
            "n_responses": "8",
            "n_prompt_tokens": "200",
            "n_output_tokens": "500",
            "max_output_tokens": "2048",
            "method": "ppo",
            "n_rollout_devices": "4",
        },
        {"model": "llama-3-8b", "hardware": "h100-sxm", "n_devices": "8", "tokens": "1B", "method": "dpo"},
    ],
    "plan": [
        {"model": "llama-3-8b", "tokens": "1T", "hardware": "h100-sxm", "layout": "tp2,pp2,dp4", "batch_size_tokens": "1Mi"},
        {"n_params": "7B", "n_active_params": "3B", "tokens": "1T", "hardware": "h100-sxm", "n_devices": "64"},
        {"model": "llama-3-8b", "tokens": "1T", "hardware": "h100-sxm", "inference_tokens": "1T", "serving_layout": "tp2"},
    ],
    "presets": [{"kind": "hardware"}],
}
VALUES: dict[str, list[Any]] = {
    "precision": ["fp32", "bf16"], "optimizer": ["sgd", "muon"], "attention": ["eager", "flash"], "recompute": ["full", "selective"],
    "dropout": ["0.1"], "stack": ["transformers", "megatron23"], "seq_len": ["512", "4096"], "decoder_seq_len": ["256"],
    "batch_size_seqs": ["4"], "micro_batch_size_seqs": ["4"], "global_batch_size_seqs": ["64"], "batch_size_tokens": ["2Mi", "4M"],
    "capacity": ["24GiB"], "hardware": ["l40s"], "pipeline_schedule": ["gpipe", "zb1p"], "offload": ["optimizer"], "recompute_every": ["2"],
    "lora": ["rank=8"], "frozen_format": ["int4"], "cache_precision": ["fp8"], "cache_block_tokens": ["1000"], "largest": ["seq-len"],
    "fewest": ["n-devices"], "n_devices": ["16"], "layout": ["tp2,dp4"], "sparsity": ["0.5"], "target": ["7B"], "like": ["moe", "gpt"],
    "tokens": ["20B"], "n_steps": ["1000"], "text": ["96GB"], "bytes_per_token": ["3.5"], "n_params": ["3B"], "n_active_params": ["500M"],
    "compute": ["1e22"], "mfu": ["0.37"], "flops_per_s_per_device": ["147T"], "flops_kind": ["hardware"],
    "flops_convention": ["palm", "six_n"], "goodput": ["0.8"], "usd_per_device_hour": ["3.21"], "device_hours": ["1000"],
    "energy": ["1MWh"],
    "device_power": ["350W"], "system_power": ["900W"], "mfu_of": ["step"], "deadline": ["20d"], "provider": ["aws", "gcp"],
    "price_term": ["spot"], "carbon_scope": ["it"], "device_lifetime": ["3y"], "side_by_side": ["providers", "devices"],
    "pue": ["1.37"], "region": ["FRA"], "grid_intensity": ["123g/kWh"], "start": ["2026-03-01"],
    "trial_share": ["50%"], "idle_share": ["0.5"], "embodied_per_device": ["300kg"], "published_kgco2e": ["75t"],
    "usd": ["$50k"], "device_days": ["1000"],
    "law": ["hoffmann2022-3"], "step_s": ["1.5s"], "gradient_norm2": [["32=0.041", "512=0.0028"]], "loss": ["2.2"],
    "n_prompt_tokens": ["777"], "n_output_tokens": ["99"], "concurrency": ["7"], "requests_per_s": ["50"], "cached_prefix": ["0.5"],
    "n_draft_tokens": ["3"], "draft_acceptance": ["0.6"], "draft_cost": ["0.1"], "usable_share": ["0.7"],
    "n_epochs": ["3"], "n_reward_params": ["1B"],
    "method": ["ppo", "fine-tuning"], "n_value_params": ["1B"], "n_teacher_params": ["70B"], "kept_share": ["0.5"], "tool_wait": ["30s"],
    "n_rl_steps": ["100"], "n_prompts": ["128"], "n_responses": ["16"], "max_output_tokens": ["4096"], "engine_layout": ["tp2"],
    "n_rollout_devices": ["4"],
    "top": ["2"], "explain": ["dp16,zero3,ep8"], "ledger": ["/dev/null"], "trace": ["/dev/null"], "emit": ["megatron"],
    "stage_layers": ["15,17"], "expert_imbalance": ["2"],
    "n_kind": ["non-embedding", "total"], "unique_tokens": ["5B"], "inference_tokens": ["1T"], "tokens_per_param": ["400"],
    "where": ["n_params<=1B", "tp=4"], "position": ["100"], "bits": ["8"], "epochs": ["4"], "size_ratio": ["0.6"],
    "excess": ["2%"], "overfit": ["2%"], "task": ["hellaswag"], "family": ["llama"], "d_model": ["512"],
    "loss_change": ["-5%"], "n_experts": ["8"], "n_experts_per_token": ["2"], "name": ["h100-sxm"],
    "energy_budget": ["500MWh"], "carbon_budget": ["100t"], "device_mtbf": ["50000h"], "checkpoint_time": ["60s"],
    "checkpoint_interval": ["30min"], "restart_time": ["10min"], "write_front": ["/dev/null"], "set": ["training.tokens=2T"],
    "serving_hardware": ["l40s"], "serving_layout": ["tp4"], "serving_stack": ["trtllm24"], "serving_precision": ["fp8"],
    "serving_time": ["1y"], "serving_usd_per_device_hour": ["1.5"],
}  # fmt: skip


def cases() -> Iterator[Any]:
    """Every field on every base question of its command."""
    for name in NAMES:
        if not find_spec(f"scaleplan.questions.{name}") or name not in BASES:
            continue
        question = question_named(name)
        for base in BASES[name]:
            for field in question.own_fields():
                if field.name not in base and field.name not in ("init", "schema"):
                    yield pytest.param(name, base, field.name, id=f"{name}-{'-'.join(base)}-{field.name}")


def answered(name: str, given: dict[str, Any]) -> Any:
    """What the reader of an answer sees of it."""
    answer = getattr(scaleplan, name)(**given)
    return answer.result, answer.warnings, answer.exit_code, answer.to("csv")


@pytest.mark.parametrize(("name", "base", "field"), list(cases()))
def test_a_field_has_an_effect_or_is_refused_by_name(name, base, field):
    """One of the sample values changes the result, the warnings or the exit code; or the error names the field."""
    plain = answered(name, base)
    for value in VALUES.get(field, [True]):
        try:
            if answered(name, {**base, field: value}) != plain:
                return
        except ScaleplanError as error:
            assert re.search(rf"(?<![a-z0-9_]){field}(?![a-z0-9_])", f"{error} {error.hint}"), error
            return
    pytest.fail(f"{field} changes nothing")
