"""`scaleplan params`."""

from __future__ import annotations

from pathlib import Path

import pytest

GPT2 = (Path(__file__).parents[1] / "published" / "configs" / "gpt2.json").read_bytes()
KAPLAN = ("--n-layers", "36", "--d-model", "1280", "--n-heads", "20", "--n-vocab", "50257")


def convention(result, name):
    return next(row["n_params"] for row in result["conventions"] if row["name"] == name)


def test_a_shape_in_flags(ask):
    """36 layers of 1280 have 12 L d^2 = 707,788,800 weights."""
    assert convention(ask("params", *KAPLAN), "kaplan") == 707_788_800


def test_a_preset_a_config_and_standard_input_agree(ask, tmp_path):
    """GPT-2 is GPT-2 wherever it is read from."""
    (tmp_path / "config.json").write_bytes(GPT2)
    found = [ask("params", "gpt2"), ask("params", tmp_path), ask("params", tmp_path / "config.json"), ask("params", "-", stdin=GPT2)]

    assert {result["n_params"] for result in found} == {124_439_808}
    assert len({str(result["groups"]) for result in found}) == 1


def test_every_line_of_the_bill_is_explained(run):
    """With -v there is one line a tensor, and their sum is the total."""
    document = run("params", "mixtral-8x7b", "-v", "--json").document
    bill = [line for line in document["lines"] if line["key"].startswith("parts.")]

    assert len(bill) == len(document["result"]["parts"])
    assert sum(line["value"] for line in bill) == document["result"]["n_params"]
    assert any("25 %" in line["label"] for line in bill)


def test_adapters_are_trained_and_the_rest_is_frozen(ask):
    """Trainable parameters are those of the adapters."""
    result = ask("params", "llama-3-8b", "--lora", "rank=16,targets=attention+mlp")

    assert result["n_trainable_params"] == 41_943_040
    assert convention(result, "trainable") == 41_943_040


def test_pruning_leaves_the_rest(ask):
    """Half of the 84,934,656 weights in GPT-2's layers go."""
    assert ask("params", "gpt2", "--sparsity", "0.5")["n_nonzero_params"] == 124_439_808 - 84_934_656 // 2


def test_shapes_near_a_size(ask):
    """Ranked, exact, divisible by the layout; flags that describe the shape stay."""
    shapes = ask("params", "--target", "7B", "--like", "llama", "--layout", "tp8", "--n-vocab", "32000")["shapes"]

    assert all(shape["n_heads"] % 8 == 0 and shape["n_vocab"] == 32000 for shape in shapes)
    assert abs(shapes[0]["relative_error"]) < 0.05


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("params",), "no model"),
        (("params", "gpt2", *KAPLAN), "both describe a model"),
        (("params", "gpt2", "--target", "7B"), "--target"),
        (("params", "gpt2", "--like", "llama"), "--target"),
        (("params", "--target", "7B", "--like", "bert"), "bert"),
        (("params", "gpt2", "--sparsity", "1.5"), "1.5"),
        (("params", "gpt2", "--lora", "rank=none"), "rank=none"),
        (("params", "--n-layers", "36"), "--d-model"),
        (("params", "--n-layers=-3", *KAPLAN[2:]), "-3"),
        (("params", *KAPLAN[:2], "--d-model", "1281", *KAPLAN[4:]), "1281"),
        (("params", *KAPLAN, "--norm", "batch"), "batch"),
    ],
)
def test_refusals(run, args, said):
    """Exit 2, an error that names what was seen, nothing on stdout."""
    outcome = run(*args)

    assert outcome.code == 2
    assert outcome.stdout == ""
    assert outcome.stderr.startswith("error:")
    assert said in outcome.stderr
