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


def test_the_bill_is_shown_where_numbers_are_explained(run):
    """With -v there is one row a tensor, with its shape, its copies and the share that a token passes."""
    short, long = (run("params", "mixtral-8x7b", "--format", "plain", *more).stdout for more in ((), ("-v",)))
    rows = [line for line in long.splitlines() if line.startswith("decoder layer: attention, experts: expert up")]

    assert "4096 x 14336" not in short
    assert [row.split()[-5:] for row in rows] == [["x", "14336", "15,032,385,536", "25.0", "%"]]
    assert " 256 " in rows[0]


def test_every_group_is_the_sum_of_its_tensors(run):
    """The lines of -v add up: tensors to groups, groups to the total."""
    document = run("params", "mixtral-8x7b", "-v", "--json").document
    lines = {line["key"]: line for line in document["lines"]}

    for group, n in document["result"]["groups"].items():
        assert sum(lines[f"groups.{group}"]["inputs"]["parts"]) == n
    assert sum(lines["n_params"]["inputs"]["groups"]) == document["result"]["n_params"]


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
