"""`scaleplan params`."""

from __future__ import annotations

import pytest
from tests.cases import CONFIGS

GPT2 = (CONFIGS / "gpt2.json").read_bytes()
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


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("no-such-model-9",), "no-such-model-9"),
        (("gpt2-xxl",), "gpt2-xl"),
        (("--n-layers", "0", *KAPLAN[2:]), "`0`"),
        (("--n-layers", "nan", *KAPLAN[2:]), "nan"),
        (("--n-layers", "1e400", *KAPLAN[2:]), "1e400"),
        (("--n-layers", "2.5", *KAPLAN[2:]), "2.5"),
        (("--n-layers", "9" * 5000, *KAPLAN[2:]), "--n-layers"),
        (("--n-layers", "", *KAPLAN[2:]), "--n-layers"),
        ((*KAPLAN, "--n-kv-heads", "3"), "--n-kv-heads"),
        ((*KAPLAN, "--n-experts", "8"), "--n-experts-per-token"),
        ((*KAPLAN, "--n-experts", "8", "--n-experts-per-token", "9"), "--n-experts-per-token"),
        ((*KAPLAN, "--n-dense-layers", "37", "--n-experts", "8", "--n-experts-per-token", "2"), "--n-dense-layers"),
        ((*KAPLAN, "--n-encoder-layers", "0"), "--n-encoder-layers"),
        ((*KAPLAN, "--mixer", "latent"), "`kv_rank`, which only a model TOML can say"),
    ],
    ids=lambda value: " ".join(value)[-40:] if isinstance(value, tuple) else value,
)
def test_a_shape_or_name_that_makes_no_sense_is_refused(run, args, said):
    """The value that was seen is named as it was typed, and a long one is cut."""
    outcome = run("params", *args)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error:")
    assert said in outcome.stderr
    assert len(outcome.stderr) < 2000


FILES = {
    "broken.toml": b"n_layers = = 3\n",
    "binary.toml": bytes(range(256)) * 8,
    "empty.toml": b"",
    "blank.json": b" \n\t\n",
    "list.json": b"[" + GPT2 + b"]",
    "truncated.json": GPT2[: len(GPT2) // 2],
    "deep.json": b"[" * 100_000,
    "unknown.json": b'{"model_type": "llama9", "hidden_size": 64}',
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_holds_no_model_is_refused_by_its_name(run, tmp_path, name):
    """Whatever is wrong with it, the error says which file it was."""
    (tmp_path / name).write_bytes(FILES[name])
    outcome = run("params", tmp_path / name)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error:")
    assert name in outcome.stderr


@pytest.mark.parametrize("text", FILES.values(), ids=FILES)
def test_standard_input_that_holds_no_model_is_refused(run, text):
    """The same from a pipe."""
    outcome = run("params", "-", stdin=text)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error:")
    assert "standard input" in outcome.stderr


def test_a_file_that_is_missing_is_named(run, tmp_path):
    """A path that leads nowhere, and one that leads to a folder without a config."""
    for path in (tmp_path / "missing.toml", tmp_path):
        outcome = run("params", path)

        assert outcome.code == 2
        assert path.name in outcome.stderr


def test_a_model_file_from_standard_input(ask):
    """TOML is told from JSON by its text."""
    assert convention(ask("params", "-", stdin=b"n_layers = 36\nd_model = 1280\nn_heads = 20\nn_vocab = 50257\n"), "kaplan") == 707_788_800


@pytest.mark.parametrize("model", ["gpt2", "llama-2-70b", "mixtral-8x7b", "opt-350m", "bert-base-uncased", "t5-small", "albert-base-v2"])
def test_parts_and_groups_of_the_answer_add_up(ask, model):
    """Both are the total; those that a token passes are no more than all."""
    result = ask("params", model)

    assert sum(result["groups"].values()) == sum(part["n_params"] for part in result["parts"]) == result["n_params"]
    assert sum(part["n_active_params"] for part in result["parts"]) == result["n_active_params"] <= result["n_params"]
    outside = result["n_embedding_params"] + result["n_head_params"]
    assert result["n_non_embedding_params"] == result["n_params"] - outside


def test_a_part_is_its_count_times_its_shape(ask):
    """What -v multiplies is what the JSON holds."""
    from math import prod

    for part in ask("params", "deepseek-v3")["parts"]:
        assert part["n_params"] == part["count"] * prod(part["shape"]), part["name"]
