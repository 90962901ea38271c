"""What `scaleplan memory` answers without being told: layout, verdict, recipe, formats; and the options beside them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaleplan.chain.memory import stack_named
from scaleplan.library import names
from scaleplan.machine.recipe import RECIPE_USERS

GIB = 2**30
DEEPSEEK = (
    "memory", "deepseek-v3", "--hardware", "h800-sxm", "--layout", "pp16,dp128,ep64,zero1", "--pipeline-schedule", "dualpipe",
    "--precision", "fp8-deepseek", "--recompute", "layernorm+mla_up_proj", "--stack", "deepseek24", "--seq-len", "4096",
    "--global-batch-size-seqs", "15360",
)  # fmt: skip


def test_deepseek_v3_fits_the_layout_that_it_was_trained_in(ask):
    """DeepSeek-V3 ran on H800 of 80 GB in this layout without tensor parallelism (deepseek2024-v3, section 3.1)."""
    result = ask(*DEEPSEEK)
    assert result["fits"] and result["n_devices"] == 2048


def test_without_what_the_paper_does_to_save_memory_it_does_not(ask):
    """16-bit activations, none of them recomputed, are too much: that is why the paper does what it does."""
    plain = [{"fp8-deepseek": "bf16-mixed", "layernorm+mla_up_proj": "none"}.get(arg, arg) for arg in DEEPSEEK]
    assert not ask(*plain)["fits"]


def test_the_phases_are_those_of_the_answer(ask):
    """The peak shown beside the longest sequence is the peak at that length, and asking for it gives it again."""
    question = ("memory", "llama-2-7b", "--hardware", "a100-sxm-80gb", "--layout", "dp8,zero3", "--recompute", "full")
    found = ask(*question, "--largest", "seq-len")
    again = ask(*question, "--seq-len", str(found["inverse"]["value"]))
    assert found["peak_bytes"] == found["inverse"]["peak_bytes"] == again["peak_bytes"]
    assert found["phases"] == again["phases"]


def test_the_layout_of_a_number_of_devices_gives_the_same_answer(ask):
    """The layout that is named, asked for, has the same peak, interval and verdict."""
    question = ("memory", "llama-2-13b", "--hardware", "a100-sxm-40gb", "--recompute", "full", "--seq-len", "2048")
    found = ask(*question, "--n-devices", "16")
    again = ask(*question, "--layout", found["layout"])
    assert found["fits"] is True
    assert all(found[key] == again[key] for key in ("peak_bytes", "intervals", "verdict", "phases"))
    assert all(one["lacks_bytes"] > 0 for one in found["simpler"])


def test_llama_2_7b_trains_on_eight_a100_of_40_gb(ask):
    """Full fine-tuning of 7B on one node of 40 GB is what people do with FSDP; plain data parallelism would lack memory."""
    found = ask("memory", "llama-2-7b", "--hardware", "a100-sxm-40gb", "--n-devices", "8", "--recompute", "full")
    assert found["fits"] and "dp8" in [one["layout"].replace("tp1,pp1,", "") for one in found["simpler"]]


@pytest.mark.parametrize(("n_gib", "word"), [(200, "fits"), (30, "unsure"), (8, "does not fit")])
def test_the_verdict_is_that_of_the_interval(ask, n_gib: int, word: str):
    """90 % of the capacity against the 10 and 90 % points; the word stands in the notes too."""
    result = ask("memory", "llama-2-7b", "--layout", "dp8,zero3", "--recompute", "full", "--capacity", f"{n_gib}GiB")
    low, high = (result["intervals"]["peak_bytes"][p] for p in ("p10", "p90"))
    assert {"fits": high <= 0.9 * n_gib * GIB, "unsure": low <= 0.9 * n_gib * GIB < high, "does not fit": low > 0.9 * n_gib * GIB}[word]
    assert result["verdict"] == word


def test_the_share_that_may_be_used_moves_the_verdict(ask):
    """The same peak fits 90 % of a device and not 10 % of it; the bytes left follow."""
    question = ("memory", "llama-2-7b", "--layout", "dp8,zero3", "--recompute", "full", "--hardware", "a100-sxm-80gb")
    usual, small = ask(*question), ask(*question, "--usable-share", "0.1")
    assert (usual["fits"], small["fits"], small["verdict"]) == (True, False, "does not fit")
    assert small["left_bytes"] == int(0.1 * 80 * GIB) - usual["peak_bytes"]


def test_the_pool_of_an_engine_in_blocks(ask):
    """vLLM: its share of the device less weights, a pass and the context, cut into blocks of 16 tokens (kwon2023)."""
    result = ask("memory", "llama-2-7b", "--inference", "--hardware", "a100-sxm-80gb", "--usable-share", "0.8")
    left = int(0.8 * 80 * GIB) - result["weights_bytes"] - result["workspace_bytes"] - result["context_bytes"]
    assert result["pool"]["n_blocks"] == left // (16 * 2 * 32 * 4096 * 2)
    assert result["pool"]["n_tokens"] == 16 * result["pool"]["n_blocks"]


@pytest.mark.parametrize("n_bytes", list(RECIPE_USERS))
def test_a_recipe_is_of_stacks_that_keep_it(n_bytes: int):
    """Whoever is named for a recipe has a stack with it."""
    assert n_bytes in {stack_named(name).recipe for name in names("stacks")}


def test_the_recipe_is_said_in_words(run):
    """16 bytes a parameter are those of FSDP and DeepSpeed; Megatron keeps 18."""
    said = run("memory", "gpt2").stdout
    assert "16 bytes a parameter = 2 weights + 2 gradients + 12 optimizer" in said
    assert "Megatron-LM" in said and "--precision bf16-mixed-18" in said


def test_qlora_keeps_frozen_weights_in_four_bits(ask):
    """QLoRA of dettmers2023: matrices in NF4 with scales quantised twice are 4.127 bits a weight."""
    result = ask("memory", "llama-7b", "--lora", "qlora", "--layout", "dp1", "--seq-len", "512")
    matrices, others = 32 * (4 * 4096**2 + 3 * 4096 * 11008), 2 * 32000 * 4096 + 65 * 4096
    adapters = 64 * 32 * (4 * 2 * 4096 + 3 * (4096 + 11008))
    expected = matrices * 4.127 / 8 + 2 * (others + adapters)
    assert result["phases"][0]["weights_bytes"] == pytest.approx(expected, rel=1e-3)


def test_two_formats_of_the_frozen_weights_contradict(run):
    done = run("memory", "llama-7b", "--lora", "qlora", "--frozen-format", "int8", "--layout", "dp1")
    assert done.code == 2 and "--frozen-format" in done.stderr and "nf4" in done.stderr


AWQ = {
    "model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 4096, "intermediate_size": 11008,
    "num_attention_heads": 32, "num_hidden_layers": 32, "vocab_size": 32000, "max_position_embeddings": 4096,
    "quantization_config": {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "modules_to_not_convert": None},
}  # fmt: skip


def test_a_checkpoint_is_served_in_its_own_format(ask, run, tmp_path: Path):
    """AWQ in 4 bits with groups of 128: the published Llama 2 7B in it is 3.89 GB. The format survives a pipe; a precision overrides it."""
    path = tmp_path / "awq.json"
    path.write_text(json.dumps(AWQ), encoding="utf-8")
    own = ask("memory", str(path), "--inference")["weights_bytes"]
    assert own == pytest.approx(3.89e9, rel=0.005)
    piped = run("params", str(path), "--json").stdout.encode()
    assert json.loads(run("memory", "-", "--inference", "--json", stdin=piped).stdout)["result"]["weights_bytes"] == own
    assert ask("memory", str(path), "--inference", "--precision", "bf16")["weights_bytes"] == 2 * 6_738_415_616


def test_a_format_that_is_not_known_is_refused_by_name(run, tmp_path: Path):
    path = tmp_path / "config.json"
    path.write_text(json.dumps(AWQ | {"quantization_config": {"quant_method": "nonesuch"}}), encoding="utf-8")
    done = run("memory", str(path), "--inference")
    assert done.code == 2 and "nonesuch" in done.stderr and "--precision" in done.stderr


def test_modules_that_are_recomputed_cost_their_products(ask):
    """The expansion of DeepSeek-V3's latents: 1,536 to 128 heads of 192, 512 to 128 heads of 256, in 61 layers; norms are no products."""
    asked = ("flops", "deepseek-v3", "--seq-len", "4096", "--batch-size-seqs", "1", "--recompute", "layernorm+mla_up_proj")
    expanded = 2 * 61 * (1536 * 128 * 192 + 512 * 128 * 256) * 4096
    assert ask(*asked)["batch"]["recomputed_flops"] == expanded


def test_an_unknown_module_names_the_near_one(run):
    done = run("memory", "deepseek-v3", "--recompute", "layernorm+mla_up_pro")
    assert done.code == 2 and "mla_up_pro" in done.stderr and "mla_up_proj" in done.stderr


def test_the_best_group_of_recomputed_layers_is_offered(ask):
    """A deep narrow model: groups of several layers need less than single ones, and the change does what it promises."""
    deep = (
        "memory",
        "--n-layers",
        "240",
        "--d-model",
        "512",
        "--n-heads",
        "8",
        "--n-vocab",
        "1000",
        "--seq-len",
        "1024",
        "--layout",
        "dp1",
    )
    full = ask(*deep, "--recompute", "full", "--micro-batch-size-seqs", "4")
    change = next(one for one in full["levers"] if "recompute-every" in one["change"])
    every = change["change"].rsplit("=", 1)[1]
    again = ask(*deep, "--recompute", "full", "--micro-batch-size-seqs", "4", "--recompute-every", every)["peak_bytes"]
    assert again == change["peak_bytes"] < full["peak_bytes"]


def test_a_target_batch_is_micro_batches_and_accumulation_steps(ask):
    """The largest micro-batch that fits divides the batch of each replica; the rest are accumulation steps."""
    result = ask(
        "memory", "gpt2-xl", "--hardware", "a100-sxm-40gb", "--layout", "dp8,zero2", "--seq-len", "1024", "--recompute", "full",
        "--global-batch-size-seqs", "512", "--largest", "micro-batch-size-seqs",
    )  # fmt: skip
    assert result["micro_batch_size_seqs"] == result["inverse"]["value"] > 1
    assert 8 * result["micro_batch_size_seqs"] * result["n_accumulation_steps"] == 512


def test_offload_says_what_the_host_keeps(ask):
    """Adam in mixed precision: 12 bytes a parameter leave the device, and the host has them."""
    kept = ask("memory", "gpt2", "--layout", "dp1")
    moved = ask("memory", "gpt2", "--layout", "dp1", "--offload", "optimizer")
    assert moved["host_bytes"] == 12 * 124_439_808 == kept["phases"][0]["optimizer_bytes"]
    assert (moved["phases"][0]["optimizer_bytes"], kept["host_bytes"]) == (0, 0)


def test_no_device_is_said_to_train_in_a_format_that_it_lacks(ask):
    """V100 has no bf16, A100 no 8 bits: they are in no list of such training, and a verdict is not given."""
    devices = {one["device"]: one["training"] for one in ask("memory", "gpt2")["devices"]}
    assert devices["v100-sxm-32gb"] == ["fp32", "fp16-mixed"]
    assert "fp8" not in devices["a100-sxm-80gb"] and "fp8" in devices["h100-sxm"]
    rows = {one["precision"]: one["verdict"] for one in ask("memory", "gpt2", "--hardware", "v100-sxm-32gb")["precisions"]}
    assert rows == {"fp32": "fits", "fp16-mixed": "fits", "bf16-mixed": None, "fp8": None}
