"""What laws say rule by rule, against printed numbers and their own formulas."""

from __future__ import annotations

import pytest
from tests.formula import evaluate

from scaleplan.chain.catalogue import load_law
from scaleplan.chain.law_rules import Known, ask_rules, losses, rule_answers
from scaleplan.errors import NotSupported


def test_a_law_without_an_allocation_tells_its_losses():
    """Henighan's math law of N and of C, each from what it needs; the unit and the formula come with it."""
    law = load_law("henighan2020-math")
    (by_size,) = losses(law, Known(n_params=1e8))
    both = losses(law, Known(n_params=1e8, n_tokens=1e10))

    assert by_size.value == pytest.approx(0.28 + (1e8 / 1.1e4) ** -0.16)
    assert {found.rule for found in both} == {"loss_of_params", "loss_of_compute"}
    assert by_size.unit.startswith("nats")


def test_every_formula_of_a_loss_gives_it():
    """The formula with its inputs is the loss, for every law and block that answers."""
    for name in ("kaplan2020", "besiroglu2024", "henighan2020-image-8x8", "gadre2024-c4", "minicpm2024", "shen2024-tnl"):
        for found in losses(load_law(name), Known(n_params=1e9, n_tokens=2e10)):
            assert evaluate(found.formula, found.inputs) == pytest.approx(found.value)


def test_a_law_that_tells_no_loss_says_what_it_needs():
    with pytest.raises(NotSupported):
        losses(load_law("steplaw2025"), Known(n_params=1e9, n_tokens=2e10))
    with pytest.raises(NotSupported) as refused:
        losses(load_law("henighan2020-math"), Known(n_tokens=1e10))
    assert "n_params" in str(refused.value.hint)


@pytest.mark.parametrize(
    ("law", "known", "rule", "value"),
    [
        ("zhang2024", {"n_params": 302e6}, "batch_seqs_at_fixed_data", 621.341 * 302**0.087),
        ("kaplan2020", {"n_params": 1e9, "steps": 1e5}, "loss_of_steps", 2.40051),
        ("kaplan2020", {"loss_nats": 2.5}, "critical_batch", 2.67465e6),
        ("kaplan2020", {"n_params": 1e8}, "learning_rate", 0.000669315),
        ("henighan2020-language", {"compute_flops": 3640 * 8.64e19}, "loss_of_compute", 1.73382),
        ("bergsma2025", {"tokens_per_param": 1000}, "weight_decay_time", 0.0284465),
    ],
)
def test_a_rule_answers_from_what_it_needs(law, known, rule, value):
    """Batches, losses, rates and times of one quantity, as the articles print them or by hand."""
    found = {one.rule: one for one in rule_answers(load_law(law), Known(**known))}
    assert found[rule].value == pytest.approx(value, rel=1e-5)


def test_the_whole_catalogue_answers_where_no_law_is_named():
    """A size alone: laws of N answer, the others are silent, and each says why."""
    found, silent = ask_rules((), Known(n_params=1e8))
    assert {"kaplan2020", "henighan2020-video"} <= {one.law.name for one in found}
    assert "steplaw2025" in silent
