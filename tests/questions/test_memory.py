"""`memory` by precision, under a layout and while serving, and `layout --table`."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest

import scaleplan as sp
from scaleplan.answer import Drifted, checked

GPT2 = 124_439_808
GIB = 2**30
LAYOUT = ("memory", "llama-2-7b", "--hardware", "a100-sxm-80gb", "--layout", "dp8,zero3", "--recompute", "full")


def row(result: dict[str, Any], precision: str) -> dict[str, Any]:
    return next(found for found in result["precisions"] if found["precision"] == precision)


def test_gpt2_side_by_side(ask):
    """fp32: 4 bytes a weight; mixed precision: 2 a weight, 2 a gradient, 12 of Adam with a master copy."""
    result = ask("memory", "gpt2")

    assert [found["precision"] for found in result["precisions"]] == ["fp32", "fp16-mixed", "bf16-mixed", "fp8"]
    assert row(result, "fp32")["weights_bytes"] == 4 * GPT2
    mixed = row(result, "bf16-mixed")
    assert [mixed[f"{part}_bytes"] for part in ("weights", "gradients", "optimizer")] == [2 * GPT2, 2 * GPT2, 12 * GPT2]


@pytest.mark.parametrize("recipe", [12, 16, 18, 20])
def test_a_recipe_is_named_by_its_bytes(ask, recipe: int):
    found = row(ask("memory", "gpt2", "--precision", f"bf16-mixed-{recipe}"), f"bf16-mixed-{recipe}")
    assert sum(found[f"{part}_bytes"] for part in ("weights", "gradients", "optimizer")) == recipe * GPT2


def test_parts_add_up(ask):
    """Weights, gradients, optimizer and activations are the total, for every precision and every phase."""
    for found in ask("memory", "mixtral-8x7b")["precisions"]:
        assert found["total_bytes"] == sum(found[f"{part}_bytes"] for part in ("weights", "gradients", "optimizer", "activations"))
    for found in ask(*LAYOUT)["phases"]:
        assert found["total_bytes"] == sum(found[f"{part}_bytes"] for part in ("weights", "gradients", "optimizer", "activations", "other"))


def test_recomputation_keeps_less_the_more_is_recomputed(ask):
    """Without a fused kernel: none keeps more than selective; full keeps least of all."""
    kept = {(r["recompute"], r["attention"]): r["activations_bytes"] for r in ask("memory", "gpt2")["activations"]["by_recompute"]}
    assert kept["none", "eager"] > kept["selective", "eager"] > kept["full", "flash"]


def test_the_peak_is_the_worst_phase(ask):
    result = ask(*LAYOUT)
    assert result["peak_bytes"] == max(phase["total_bytes"] for phase in result["phases"])
    assert result["fits"] == (result["peak_bytes"] <= 0.9 * result["capacity_bytes"])


@pytest.mark.parametrize("quantity", ["micro-batch-size-seqs", "seq-len"])
def test_the_largest_that_fits(ask, quantity: str):
    """The answer fits, and one more does not."""
    value = ask(*LAYOUT, "--largest", quantity)["inverse"]["value"]
    assert [ask(*LAYOUT, f"--{quantity}", str(n))["fits"] for n in (value, value + 1)] == [True, False]


def test_the_fewest_devices(ask):
    """The answer fits, and one device fewer does not."""
    question = ("memory", "llama-2-13b", "--hardware", "a100-sxm-80gb", "--recompute", "full")
    value = ask(*question, "--layout", "zero3", "--fewest", "n-devices")["inverse"]["value"]
    assert [ask(*question, "--layout", f"dp{n},zero3")["fits"] for n in (value - 1, value)] == [False, True]


def test_levers_are_ranked_and_true(ask):
    """Levers come by what they save, and pulling the first one gives the peak that it promises."""
    levers = ask("memory", "llama-2-7b", "--layout", "dp8,zero1", "--capacity", "80GiB")["levers"]
    assert [lever["saved_bytes"] for lever in levers] == sorted((lever["saved_bytes"] for lever in levers), reverse=True)
    full = next(lever for lever in levers if lever["change"] == "recompute=full")
    assert ask("memory", "llama-2-7b", "--layout", "dp8,zero1", "--recompute", "full")["peak_bytes"] == full["peak_bytes"]
    assert 0.25 < full["more_flops_fraction"] < 0.35


def test_serving(ask):
    """KV cache of Llama 2 70B: 327,680 bytes a token."""
    result = ask("memory", "llama-2-70b", "--inference", "--precision", "bf16", "--batch-size-seqs", "8", "--seq-len", "4096")
    assert (result["kv_cache_bytes_per_token"], result["kv_cache_bytes"]) == (327_680, 327_680 * 8 * 4096)


def test_adapters_need_little_but_the_frozen_weights(ask):
    """LoRA of rank 16: gradients and states of the adapters only; the frozen weights in four bits."""
    result = ask("memory", "llama-2-7b", "--lora", "rank=16", "--frozen-format", "int4", "--layout", "dp1")
    phase = result["phases"][0]
    adapters = 32 * 4 * 16 * (4096 + 4096)
    assert phase["gradients_bytes"] == 2 * adapters
    assert phase["weights_bytes"] < 4.5 * GIB


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("memory", "gpt2", "--precision", "fp13"), "fp13"),
        (("memory", "gpt2", "--capacity", "80G"), "80G"),
        (("memory", "gpt2", "--optimizer", "adamz"), "adamz"),
        (("memory", "gpt2", "--stack", "no-such"), "no-such"),
        (("memory", "gpt2", "--layout", "tp5"), "tp 5"),
        (("memory", "gpt2", "--layout", "tp2", "--n-devices", "8"), "8"),
        (("memory", "gpt2", "--largest", "seq-len"), "--hardware"),
        (("memory", "gpt2", "--batch-size-seqs", "2", "--micro-batch-size-seqs", "2"), "--micro-batch-size-seqs"),
    ],
)
def test_refusals(run, args: tuple[str, ...], said: str):
    """What cannot be answered is refused with the value that was seen."""
    outcome = run(*args)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert said in outcome.stderr and outcome.stderr.startswith("error:")


# ------------------------------------------------------------------------------------------------------------------ tables

LLAMA = {
    "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "d_head": 128, "d_ff": 14336, "gated": 1, "n_vocab": 128256, "tied": 0,
    "seq_len": 8192, "hardware": "h100-sxm", "n_devices": 8, "tp": 1, "pp": 1, "cp": 1, "dp": 8, "ep": 1, "n_virtual_stages": 1,
    "micro_batch_size_seqs": 1, "global_batch_size_seqs": 64, "recompute": "full", "sequence_parallel": 0, "zero_stage": 3,
    "attention": "flash", "precision": "bf16-mixed", "stack": "usual",
}  # fmt: skip
ROWS = (
    {},
    {"zero_stage": 0},
    {"tp": 8, "dp": 1, "sequence_parallel": 1},
    {"tp": 3, "n_devices": 24},
    {"hardware": "no-such"},
    {"d_model": "wide"},
    {"precision": "bf16-mixed-18", "recompute": "none", "zero_stage": 1},
)


@pytest.fixture
def priced(run, tmp_path: Path) -> list[dict[str, str]]:
    """The table above, priced."""
    table, answer = tmp_path / "in.csv", tmp_path / "out.csv"
    with table.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, ["name", *LLAMA])
        writer.writeheader()
        writer.writerows({"name": f"row {number}", **LLAMA, **changed} for number, changed in enumerate(ROWS))
    outcome = run("layout", "--table", table, "-o", answer)
    assert outcome.code == 0, outcome.stderr
    return list(csv.DictReader(answer.read_text(encoding="utf-8").splitlines()))


def test_a_table_keeps_its_rows_and_columns(priced):
    """Rows stay in their order, unknown columns are carried through; rows without an error have a step time inside its interval."""
    assert [found["name"] for found in priced] == [f"row {number}" for number in range(len(ROWS))]
    for found in priced:
        times = [found[name] for name in ("step_s_p10", "step_s", "step_s_p90", "mfu")]
        assert times == [""] * 4 if found["error"] else 0 < float(times[0]) < float(times[1]) < float(times[2])


def test_an_empty_recompute_is_the_least_that_may_fit(run, tmp_path: Path):
    """A large micro-batch is recomputed, a small one is not; the row is priced as if it had said so."""
    small, large = {"micro_batch_size_seqs": "1"}, {"micro_batch_size_seqs": "32", "global_batch_size_seqs": "512"}
    rows = [{**LLAMA, "zero_stage": "3", **case, "recompute": how} for case in (small, large) for how in ("", "none", "full")]
    table, answer = tmp_path / "in.csv", tmp_path / "out.csv"
    with table.open("w", newline="") as lines:
        writer = csv.DictWriter(lines, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    assert run("layout", "--table", table, "-o", answer).code == 0
    found = [row["step_s"] for row in csv.DictReader(answer.read_text(encoding="utf-8").splitlines())]

    assert found[0] == found[1] != found[2]
    assert found[3] == found[5] != found[4]


def test_a_row_that_cannot_be_priced_says_why(priced):
    """The others are priced all the same."""
    said = [found["error"] for found in priced]
    assert [bool(text) for text in said] == [False, False, False, True, True, True, False]
    assert "tp 3" in said[3] and "no-such" in said[4] and "wide" in said[5]
    assert not priced[3]["fits"] and not priced[3]["peak_bytes"]


def test_a_table_agrees_with_the_command(ask, priced):
    """A row's peak is that of `memory` for the same model and layout."""
    shape = [f"--{name.replace('_', '-')}" for name in ("n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "n_vocab")]
    values = [str(LLAMA[name[2:].replace("-", "_")]) for name in shape]
    args = [part for pair in zip(shape, values, strict=True) for part in pair]
    common = (*args, "--gated", "--untied", "--norm", "rms", "--seq-len", "8192", "--global-batch-size-seqs", "64", "--recompute", "full")
    for found, layout in zip(priced, ("dp8,zero3", "dp8", "tp8,sp"), strict=False):
        assert int(found["peak_bytes"]) == ask("memory", *common, "--layout", layout, "--micro-batch-size-seqs", "1")["peak_bytes"]


def test_a_table_without_a_column_is_refused(run, tmp_path: Path):
    """The column that is missing is named."""
    table = tmp_path / "in.csv"
    table.write_text("tp,pp\n1,1\n")
    outcome = run("layout", "--table", table)
    assert outcome.code == 2 and "d_model" in outcome.stderr


# ------------------------------------------------------------------------------------------------------------------- lines

CASES = [
    ("llama-3-8b", {}),
    ("mixtral-8x7b", {"precision": "fp8", "stack": "mbridge", "optimizer": "muon"}),
    ("llama-2-7b", {"lora": "rank=16", "frozen_format": "nf4", "layout": "dp4,zero3"}),
    ("mixtral-8x7b", {"layout": "tp2,dp4,ep4,zero2", "hardware": "h100-sxm", "recompute": "selective"}),
    ("gpt3-175b", {"layout": "tp8,pp8,dp2,vpp2,sp,zero1", "stack": "megatron22", "micro_batch_size_seqs": 2}),
    ("gpt2", {"layout": "pp2,dp2", "recompute": "full", "recompute_every": 2, "pipeline_schedule": "gpipe", "offload": "optimizer"}),
    ("t5-small", {"layout": "dp2,zero3", "stack": "titan-eager", "precision": "bf16-autocast"}),
    ("llama-2-70b", {"inference": True, "precision": "int4-g32", "batch_size_seqs": 8, "cache_block_tokens": 48}),
    ("mixtral-8x7b", {"inference": True, "layout": "tp2", "precision": "q4_k_m", "capacity": "80GiB", "largest": "seq-len"}),
]


@pytest.mark.parametrize(("model", "given"), CASES)
def test_a_number_that_is_not_its_formula_is_found_out(model: str, given: dict[str, Any]):
    """Every line is its formula; a tripled value of any of them is a mistake that shows."""
    lines = sp.memory(model, **given).lines
    computed = [line for line in checked(lines) if line.formula and line.value]

    assert len(computed) >= (
        2 if given.get("inference") and "layout" in given else 0.6 * len(lines)
    )  # shares of tensors are rounded one by one
    for line in computed:
        with pytest.raises(Drifted):
            checked([line._replace(value=3 * line.value)])


def test_a_total_is_no_surer_than_its_least_sure_part():
    """Weights are exact, activations an estimate, and so are their sum and the peak."""
    by_precision = {line.key: line.standing for line in sp.memory("gpt2").lines}
    by_layout = {line.key: line.standing for line in sp.memory("gpt2", layout="tp2,dp2").lines}

    assert (by_precision["precisions.0.weights_bytes"], by_precision["precisions.0.total_bytes"]) == ("exact", "estimate")
    assert (by_layout["phases.0.weights_bytes"], by_layout["peak_bytes"]) == ("exact", "estimate")


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ({"offload": "optimizer"}, "offload"),
        ({"pipeline_schedule": "gpipe"}, "pipeline_schedule"),
        ({"pipeline_schedule": "gpipe", "layout": "tp2"}, "pipeline_schedule"),
        ({"cache_precision": "fp8"}, "cache_precision"),
        ({"frozen_format": "int4"}, "frozen_format"),
        ({"recompute_every": 2}, "recompute_every"),
        ({"inference": True, "optimizer": "sgd"}, "optimizer"),
        ({"inference": True, "recompute": "full"}, "recompute"),
        ({"layout": "dp2", "cache_block_tokens": 16}, "cache_block_tokens"),
    ],
)
def test_what_a_shape_does_not_know_is_refused_by_name(given: dict[str, Any], named: str):
    """Nothing that was given is ignored."""
    with pytest.raises(sp.ScaleplanError, match=named):
        sp.memory("gpt2", **given)


@pytest.mark.parametrize("quantity", ["micro-batch-size-seqs", "seq-len"])
def test_the_largest_that_fits_while_serving(quantity: str):
    """The value that is found fits, and one more does not, unless it is the longest that the model takes."""
    question: dict[str, Any] = {"inference": True, "precision": "int8", "capacity": "16GiB", "seq_len": 4096}
    found = sp.memory("llama-3-8b", **question, largest=quantity).result["inverse"]
    field = {"seq-len": "seq_len", "micro-batch-size-seqs": "batch_size_seqs"}[quantity]
    fits = [sp.memory("llama-3-8b", **{**question, field: found["value"] + more}).result["fits"] for more in (0, 1)]

    assert fits[0] and (not fits[1] or found["value"] == 8192)


def test_arrays_of_lengths_are_solved_like_numbers():
    """`solve` of serving takes an array of sequence lengths."""
    import numpy as np

    from scaleplan.questions.asking import requested
    from scaleplan.questions.registry import question_named

    shape, request = requested(question_named("memory"), {"model": "llama-3-8b", "inference": True, "precision": "int8"})
    lengths = [1000, 2000, 8192]
    each = [int(shape.solve(request._replace(seq_len=length)).memory.total_bytes) for length in lengths]

    assert shape.solve(request._replace(seq_len=np.array(lengths))).memory.total_bytes.tolist() == each
