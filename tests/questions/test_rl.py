"""The command `rl`: memory by phase, a step of post-training, hours and dollars, against published runs."""

from __future__ import annotations

from typing import Any

import pytest
from tests.cases import CONFIGS, QWEN_235B, published_rows
from tests.formula import evaluate

import scaleplan as sp
from scaleplan.errors import ScaleplanError

GRPO = {
    "hardware": "h100-sxm", "n_devices": 16, "n_prompts": 128, "n_responses": 16, "n_prompt_tokens": 132, "n_output_tokens": 1060,
    "max_output_tokens": 4096,
}  # fmt: skip
GIVEN = {"hardware": "h100-sxm", "n_devices": 8, "tokens": 5e8, "seq_len": 2048}
N_8B = 8_030_261_248


def rl(**more: Any) -> dict[str, Any]:
    """GRPO of Llama 3.1 8B on 16 devices, with changes."""
    return sp.rl("llama-3.1-8b", **GRPO | more).result


def published() -> list[Any]:
    """GRPO of NeMo RL 0.4 on DGX H100: prompts of about 132 tokens, groups of 16; asynchronous runs write on half of the devices."""
    return [pytest.param(row, id=f"{row['model']}-{row['policy']}") for row in published_rows("post_training.csv")]


def predicted(row: dict[str, str]) -> dict[str, Any]:
    """The answer for a published run."""
    n, apart = int(row["n_devices"]), row["policy"] == "async"
    known = {"llama-3.1-8b": "llama-3.1-8b", "qwen3-235b-a22b": None}
    model = known.get(row["model"], str(CONFIGS / f"{row['model']}.json"))
    given = {
        "hardware": "h100-sxm", "n_devices": n, "n_prompts": int(row["n_sequences"]) // 16, "n_responses": 16, "n_prompt_tokens": 132,
        "n_output_tokens": int(row["mean_response"]), "max_output_tokens": int(row["max_response"]),
        "global_batch_size_seqs": int(row["train_batch"]), "engine_layout": f"tp{row['engine_tp']}", "recompute": "full",
    }  # fmt: skip
    given |= {"n_rollout_devices": n // 2, "asynchronous": True} if apart else {}
    return sp.rl(model, **given).result if model else sp.rl(**QWEN_235B, **given).result  # type: ignore[no-any-return]


@pytest.mark.parametrize("row", published())
def test_a_published_step_is_within_a_factor_of_two(row):
    """Seconds, and tokens a second and device, which are counted over the whole step."""
    found = predicted(row)
    assert 0.5 < float(row["step_s"]) / found["step_s"] < 2
    assert 0.45 < float(row["tokens_per_s_per_device"]) / found["tokens_per_s_per_device"] < 2
    assert found["whole_step_mfu"] < 0.2


def test_the_interval_of_a_step_covers_most_published_ones():
    """80 %, as far as ten rows can tell."""
    rows = [one.values[0] for one in published()]
    steps = [(float(row["step_s"]), predicted(row)["intervals"]["step_s"]) for row in rows]
    assert sum(said["p10"] <= measured <= said["p90"] for measured, said in steps) >= 7


def test_the_step_is_its_parts_and_the_overhead_of_published_runs():
    """Synchronous: rollout, log-probabilities, training and sync one after another, times 1.09; rollout's share is of that sum."""
    found = rl(global_batch_size_seqs=512)
    parts = found["rollout_s"] + found["log_probs_s"] + found["judges_s"] + found["training_s"] + found["sync_s"]
    assert found["step_s"] == pytest.approx(1.09 * parts)
    assert found["rollout_share"] == pytest.approx(found["rollout_s"] / parts)
    assert found["n_updates"] == 4


@pytest.mark.parametrize(
    ("more", "n"),
    [
        ({"no_reference": True}, 8),
        ({}, 10),
        ({"no_reference": True, "global_batch_size_seqs": 512}, 10),
        ({"global_batch_size_seqs": 512}, 12),
        ({"method": "ppo", "global_batch_size_seqs": 512}, 22),
    ],
)
def test_flops_of_a_token_by_method(more, n):
    """GRPO: 8, 10 or 12 N; PPO with four models of one size 22 N."""
    assert rl(**more)["flops_per_token"]["total"] == n * N_8B


@pytest.mark.parametrize(("method", "more", "n"), [("dpo", {}, 8), ("dpo", {"no_reference": True}, 6), ("fine-tuning", {}, 6)])
def test_flops_of_training_on_given_responses(method, more, n):
    """6 N, and 2 N for a frozen reference; hours follow from a given MFU."""
    found = sp.rl("llama-3.1-8b", method=method, mfu=0.4, **GIVEN, **more).result
    assert found["flops"] == n * N_8B * 5e8
    assert found["device_hours"] == pytest.approx(n * N_8B * 5e8 / (0.4 * 989.4e12) / 3600, rel=1e-3)


@pytest.mark.parametrize(("asked", "key"), [(GRPO, "training_s"), (GIVEN | {"method": "dpo"}, "wall_s")])
def test_training_in_32_bits_takes_as_much_longer_as_its_peak_is_lower(asked, key):
    """A100 (its data sheet): 312 TFLOP/s in bf16, 156 in TF32, 19.5 in FP32 without tensor cores."""
    told = asked | {"hardware": "a100-sxm-80gb", "mfu": 0.3}
    bf16, tf32, fp32 = (sp.rl("llama-3.1-8b", **told, precision=name).result[key] for name in ("bf16-mixed", "tf32", "fp32"))
    assert (tf32 / bf16, fp32 / bf16) == (pytest.approx(2), pytest.approx(16))


def test_a_device_without_bf16_is_said():
    """A V100 computes in fp16: the trainer's format is not one of its own, whichever question has a step of training."""
    layout = {"hardware": "v100-sxm-32gb", "n_devices": 8, "layout": "dp8", "tokens": "1B"}
    for answer in (sp.cost("gpt2", **layout), sp.plan(model="gpt2", **layout)):
        assert "number-format" in [one.kind for one in answer.warnings]
    for asked in (GRPO | {"n_prompts": 8}, GIVEN | {"method": "dpo"}):
        warnings = sp.rl("gpt2", **asked | {"hardware": "v100-sxm-32gb", "precision": "bf16-mixed"}).warnings
        assert "number-format" in [one.kind for one in warnings]
    assert "number-format" not in [one.kind for one in sp.rl("gpt2", **GIVEN, method="dpo").warnings]


def test_distillation_and_adapters():
    """A teacher adds 2 N of its own; an adapter of rank 16 costs 4 N and little more, and no states of the frozen weights."""
    taught = sp.rl("llama-3.1-8b", method="distillation", n_teacher_params=70 * 10**9, **GIVEN).result
    full, low_rank = (sp.rl("llama-3.1-8b", method="fine-tuning", **GIVEN, **more).result for more in ({}, {"lora": "rank=16"}))
    assert taught["flops_per_token"]["total"] == 6 * N_8B + 2 * 70 * 10**9
    assert low_rank["method"] == "lora"
    assert 4 * N_8B < low_rank["flops_per_token"]["total"] < 4.1 * N_8B
    assert low_rank["peak_bytes"] < full["peak_bytes"]


# ------------------------------------------------------------------------------------------------------------------ memory


def phases(found: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["phase"]: row for row in found["phases"]}


def test_the_peak_is_the_fullest_phase_and_never_a_sum():
    found = rl()
    totals = [row["total_bytes"] for row in found["phases"]]
    assert [row["phase"] for row in found["phases"]] == ["rollout", "log-probabilities", "training", "weight sync"]
    assert found["peak_bytes"] == max(totals) < sum(totals)
    assert phases(found)[found["peak_phase"]]["total_bytes"] == found["peak_bytes"]


def test_apart_the_engine_leaves_the_trainer_alone():
    """Devices of the trainer hold no engine, and those of the engine no trainer; a layer of new weights arrives beside the old ones."""
    found = phases(rl(n_rollout_devices=8))
    assert found["training"]["engine_bytes"] == found["rollout"]["trainer_bytes"] == 0
    assert found["weight sync"]["other_bytes"] == pytest.approx(2 * N_8B / 32, rel=0.001)


def test_a_trainer_that_stays_leaves_less_for_the_cache():
    """Its states stand beside the engine while that writes; on fewer places for sequences rollout is never faster."""
    away, stays = rl(n_devices=4), rl(n_devices=4, keep_trainer=True)
    assert phases(away)["rollout"]["trainer_bytes"] == 0 < phases(stays)["rollout"]["trainer_bytes"]
    assert phases(stays)["rollout"]["engine_bytes"] < phases(away)["rollout"]["engine_bytes"]
    assert stays["rollout_s"] >= away["rollout_s"]


def test_ppo_holds_a_value_model_with_states_and_a_reward_model():
    """Equal models: states of 16 bytes a parameter (weights and gradients 2 each, optimizer 12) twice, two frozen models in 16 bits."""
    grpo, ppo = (phases(rl(method=method))["log-probabilities"] for method in ("grpo", "ppo"))
    assert ppo["other_bytes"] == pytest.approx(2 * grpo["other_bytes"], rel=1e-6)
    assert ppo["trainer_bytes"] - grpo["trainer_bytes"] == pytest.approx(16 * N_8B / 16, rel=1e-4)


# ------------------------------------------------------------------------------------------------------------------- money


def test_hours_and_dollars_are_steps_times_devices_times_the_price():
    found = rl(n_rl_steps=100, usd_per_device_hour=2)
    assert found["device_hours"] == pytest.approx(100 * 16 * found["step_s"] / 3600)
    assert found["usd"] == pytest.approx(2 * found["device_hours"])
    assert found["usd_per_step"] == pytest.approx(found["usd"] / 100)
    assert found["wall_s"] == pytest.approx(100 * found["step_s"])


def test_more_responses_and_longer_ones_are_never_cheaper():
    plain = rl()["device_hours_per_step"]
    assert rl(n_responses=32)["device_hours_per_step"] > plain
    assert rl(n_output_tokens=2000)["device_hours_per_step"] > plain
    assert rl(kept_share=0.5)["device_hours_per_step"] > plain
    assert rl(no_prefix_caching=True)["device_hours_per_step"] > plain
    assert rl(tool_wait=60)["step_s"] == pytest.approx(rl()["step_s"] + 1.09 * 60)


@pytest.mark.parametrize(
    "more",
    [GRPO, GRPO | {"method": "ppo", "n_rl_steps": 10}, GRPO | {"n_rollout_devices": 8, "asynchronous": True}, GIVEN | {"method": "dpo"},
     GIVEN | {"method": "reward-model", "mfu": 0.3}],
)  # fmt: skip
def test_every_formula_gives_its_value(more):
    """Evaluated by another reader of formulas than ours."""
    counted = [one for one in sp.rl("llama-3.1-8b", **more).lines if one.formula]
    assert len(counted) >= 6
    for one in counted:
        assert evaluate(one.formula, one.inputs) == pytest.approx(one.value, rel=1e-9), one.key


@pytest.mark.parametrize(
    ("given", "says"),
    [
        (GRPO | {"n_output_tokens": 5000}, "max_output_tokens"),
        (GRPO | {"n_rollout_devices": 16}, "n_rollout_devices"),
        (GRPO | {"asynchronous": True}, "n_rollout_devices"),
        (GRPO | {"keep_trainer": True, "n_rollout_devices": 8}, "keep_trainer"),
        (GRPO | {"max_output_tokens": None}, "max_output_tokens"),
        (GRPO | {"n_value_params": 10**9}, "n_value_params"),
        (GRPO | {"layout": "dp8"}, "16 train"),
        (GRPO | {"engine_layout": "tp16", "n_rollout_devices": 8}, "engine"),
        (GRPO | {"hardware": "t4", "recompute": "full"}, None),
        (GRPO | {"tokens": 1e9}, "tokens"),
        (GIVEN | {"method": "distillation"}, "n_teacher_params"),
        (GIVEN | {"method": "fine-tuning", "no_reference": True}, "no_reference"),
        (GIVEN | {"method": "dpo", "lora": "rank=8"}, "lora"),
        ({"hardware": "h100-sxm"}, "n_prompts"),
    ],
)
def test_refusals_name_what_is_wrong(given, says):
    if says is None:
        assert sp.rl("llama-3.1-8b", **given).result["engine_layout"] != "tp1,pp1,dp1"
        return
    with pytest.raises(ScaleplanError, match=says):
        sp.rl("llama-3.1-8b", **given)


def test_a_run_that_does_not_fit_is_answered_with_a_warning():
    """8B parameters with all states on one device of 80 GiB."""
    found = sp.rl("llama-3.1-8b", method="fine-tuning", **GIVEN | {"n_devices": 1})
    assert not found.result["fits"]
    assert [one.kind for one in found.warnings] == ["memory"]


def test_lengths_left_open_are_said():
    """Time follows the lengths: those that were assumed are named, and are those of the published run."""
    open_ = sp.rl("llama-3.1-8b", **{name: value for name, value in GRPO.items() if "tokens" not in name})
    assert open_.result["step_s"] == rl()["step_s"]
    assert open_.inputs["max_output_tokens"] == 4096
    assert any("Assumed" in note for note in open_.notes)
