"""`scaleplan optimal --exact-flops`: budgets that count attention and logits."""

from __future__ import annotations

import pytest

from scaleplan.chain.catalogue import load_law
from scaleplan.chain.exact_flops import size_rules
from scaleplan.model.bill import bill_of
from scaleplan.model.flops import count_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.synthesis import shapes_near

LAWS = ("hoffmann2022-3", "besiroglu2024")


def rows(result):
    return {row["law"]: row for row in result["laws"]}


def counted(words, seq_len):
    """Parameters and training FLOP of a token of a shape that can be built."""
    bill = bill_of(arch_of_shape(words))
    return count_params(bill).n_params, count_flops(bill, seq_len).training_flops / seq_len


@pytest.mark.parametrize(
    ("style", "n_heads", "words"),
    [
        ("gpt", 25, {"norm": "layer", "tied": True, "n_vocab": 50_304, "n_positions": 2048, "n_kv_heads": 25, "d_ff": 4 * 3200}),
        (
            "llama",
            200,
            {"norm": "rms", "gated": True, "tied": False, "n_vocab": 128_256, "n_kv_heads": 8, "d_ff": 7 * 25_600 // 2},
        ),
    ],
)
def test_the_rule_is_the_count_where_width_and_depth_are_whole(style, n_heads, words):
    """A shape 100 times as wide as deep is counted by its tensors and by the cubic of its kind: the same to rounding."""
    width = 128 * n_heads
    n_params, flops = counted({**words, "n_heads": n_heads, "d_model": width, "n_layers": width // 100}, 2048)
    rule = size_rules(style, 2048)["total"]
    assert rule.flops_per_token(n_params) == pytest.approx(flops, rel=1e-9)


@pytest.mark.parametrize("style", ["llama", "gpt"])
@pytest.mark.parametrize("compute", ["1e20", "1e23"])
def test_a_shape_of_that_size_spends_the_budget(ask, style, compute):
    """The exact FLOP of the nearest shape that can be built, on its share of D, are C within 2 %."""
    for row in ask("optimal", "--compute", compute, "--exact-flops", "--like", style, "--seq-len", "4096")["laws"]:
        shape = shapes_near(row["n_params"], style, fixed={"n_positions": 4096} if style == "gpt" else {})[0]
        n_params, flops = counted(shape.words, 4096)
        assert flops * row["n_params"] / n_params * row["n_tokens"] == pytest.approx(float(compute), rel=0.02)


def test_large_models_on_short_sequences_cost_six_n(ask):
    """Without attention to speak of and with layers far above the vocabulary, the answer is that of 6 N D."""
    exact = rows(ask("optimal", "--compute", "1e29", "--exact-flops", "--like", "gpt", "--seq-len", "1"))
    plain = rows(ask("optimal", "--compute", "1e29"))
    for law in LAWS:
        for name in ("n_params", "n_tokens", "loss_nats"):
            assert exact[law][name] == pytest.approx(plain[law][name], rel=1e-3)
        assert exact[law]["relative_to_six_n"] == pytest.approx(1, abs=1e-3)


def test_neighbours_of_the_answer_are_worse(ask):
    """1 % more or fewer parameters for the same exact FLOP raise the loss of the law."""
    rule = size_rules("llama", 2048)["total"]
    for name, row in rows(ask("optimal", "--compute", "1e21", "--exact-flops")).items():
        law = load_law(name).additive
        for factor in (0.99, 1.01):
            n = row["n_params"] * factor
            assert law.loss(n, 1e21 / rule.flops_per_token(n)) > row["loss_nats"]


def test_neighbours_are_worse_with_repeated_data_too(ask):
    """The same where only five billion different tokens exist, and the row says how often they are read."""
    (row,) = ask("optimal", "--compute", "1e21", "--exact-flops", "--unique-tokens", "5B")["laws"]
    rule, law = size_rules("llama", 2048)["total"], load_law("muennighoff2023").loss.on(5e9)
    for factor in (0.99, 1.01):
        n = row["n_params"] * factor
        assert law.loss(n, 1e21 / rule.flops_per_token(n)) > row["loss_nats"]
    assert row["epochs"] == pytest.approx(row["n_tokens"] / 5e9)


def test_the_row_says_what_a_token_costs(ask):
    """C is the exact one: FLOP of a token x D; and the row relates that cost to 6 N and the run to that of 6 N D."""
    exact, plain = (
        rows(ask("optimal", "--compute", "1e21", "--exact-flops", "--seq-len", "8192")),
        rows(ask("optimal", "--compute", "1e21")),
    )
    for law in LAWS:
        row = exact[law]
        assert row["compute_flops"] == 1e21
        assert row["flops_per_token"] * row["n_tokens"] == pytest.approx(1e21)
        assert row["relative_to_six_n"] == pytest.approx(row["flops_per_token"] / (6 * row["n_params"]))
        assert row["n_params_factor"] == pytest.approx(row["n_params"] / plain[law]["n_params"])
        assert row["loss_difference_nats"] == pytest.approx(row["loss_nats"] - plain[law]["loss_nats"])
        assert set(plain[law]) < set(row)


def test_long_sequences_leave_fewer_tokens(ask):
    """Attention grows with the sequence, so the same budget buys less, at a higher loss."""
    short, long = (rows(ask("optimal", "--compute", "1e21", "--exact-flops", "--seq-len", s))["besiroglu2024"] for s in ("2048", "32768"))
    assert long["n_tokens"] < short["n_tokens"]
    assert long["loss_nats"] > short["loss_nats"]


def test_the_interval_holds_the_answer(ask):
    """The draws of a law answer the same question."""
    row = rows(ask("optimal", "--compute", "1e21", "--exact-flops"))["besiroglu2024"]
    for name in ("n_params", "n_tokens", "loss_nats"):
        assert row["intervals"][name]["p10"] < row[name] < row["intervals"][name]["p90"]


def test_a_law_without_a_loss_is_named(run):
    """kaplan2020 and the first two of hoffmann2022 only print an optimum: skipped, refused when asked by name."""
    outcome = run("optimal", "--compute", "1e21", "--exact-flops")
    assert "Skipped kaplan2020, hoffmann2022-1, hoffmann2022-2: " in outcome.stdout
    asked = run("optimal", "--compute", "1e21", "--exact-flops", "--law", "hoffmann2022-1")
    assert (asked.code, asked.stdout) == (2, "")
    assert "`hoffmann2022-1` has no loss" in asked.stderr


@pytest.mark.parametrize(
    "args",
    [
        ("--n-params", "7B", "--exact-flops"),
        ("--compute", "1e21", "--exact-flops", "--where", "n_params<=1B"),
        ("--compute", "1e21", "--exact-flops", "--inference-tokens", "1T"),
        ("--compute", "1e21", "--exact-flops", "--loss-change", "-5%"),
        ("--compute", "1e21", "--like", "gpt"),
        ("--compute", "1e21", "--seq-len", "4096"),
        ("--compute", "1e21", "--exact-flops", "--like", "moe"),
    ],
)
def test_what_does_not_go_together_is_refused(run, args):
    """Exact FLOP divide a compute budget and nothing else; a shape without them asks for nothing."""
    outcome = run("optimal", *args)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "hint: " in outcome.stderr
