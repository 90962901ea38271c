"""Laws from presets: forms, units, draws, refusals."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import numpy as np
import pytest

from scaleplan.errors import InputError, NotSupported, UnknownName
from scaleplan.laws.forms import Additive
from scaleplan.laws.law import law_of, stacked, value_of

LOSS = {"form": "additive", "e_nats": 1.8, "a": 482.0, "b": 2085.0, "alpha": 0.35, "beta": 0.37}


def data(**blocks: Any) -> dict[str, Any]:
    return {"name": "mine", "convention": {"source": "own-runs"}, **blocks}


def test_constants_for_billions_are_brought_to_base_units():
    """A and B of a law in N / 1e9 and D / 1e9 (minicpm2024) give the same loss in N and D."""
    law = law_of(data(loss=LOSS | {"n_params_unit": 1e9, "n_tokens_unit": 1e9})).additive
    assert law.loss(2e9, 3e10) == pytest.approx(1.8 + 482 / 2**0.35 + 2085 / 30**0.37)


def test_the_over_training_form_is_additive():
    """E + (a M^eta + b M^-eta) C^-eta with M = D / N and C = 6 N D (gadre2024 equation 4)."""
    law = law_of(data(loss={"form": "over-training", "e_nats": 1.84, "a": 212.0, "b": 367.0, "eta": 0.136})).additive
    n, m = 6.9e9, 20
    flops = 6 * n * n * m
    assert law.loss(n, m * n) == pytest.approx(1.84 + (212 * m**0.136 + 367 * m**-0.136) * flops**-0.136)


def test_least_compute_is_half_of_what_is_spent():
    """An allocation in C_min with C_min = C / 2 (kaplan2020): N at C is the law's N at C / 2."""
    block = {"form": "power", "gives": "n_params", "scale": 1.3e9, "compute_flops_exponent": 0.73, "compute_flops_unit": 8.64e19}
    half, whole = (law_of(data(allocation=block | more)).frontier for more in ({"min_compute_fraction": 0.5}, {}))
    assert half is not None
    assert whole is not None
    assert half.params_at_compute(1e21) == pytest.approx(whole.params_at_compute(5e20))


def test_each_row_of_draws_is_a_law():
    """Columns may stand in any order; a row's constants stay together."""
    columns = {"alpha": [0.34, 0.35], "beta": [0.36, 0.37], "a": [400.0, 500.0], "b": [2000.0, 2100.0], "e_nats": [1.81, 1.82]}
    law = law_of(data(loss=LOSS), columns)
    assert law.draws[1] == Additive(1.82, 500.0, 2100.0, 0.35, 0.37)
    assert stacked(law.draws).params_at_compute(1e21) == pytest.approx([draw.params_at_compute(1e21) for draw in law.draws])


def test_draws_without_a_column_are_refused():
    """The missing constant is named."""
    with pytest.raises(InputError, match="beta"):
        law_of(data(loss=LOSS), {"alpha": [1.0], "a": [1.0], "b": [1.0], "e_nats": [1.0]})


@pytest.mark.parametrize(
    ("change", "refusal", "named"),
    [
        ({"form": "additve"}, UnknownName, "additve"),
        ({"alpha": None}, InputError, "alpha"),
        ({"a": -1.0}, InputError, "`a`"),
        ({"b": "many"}, InputError, "many"),
    ],
)
def test_a_loss_that_cannot_be_meant_is_refused(change, refusal, named):
    """Unknown forms, missing constants, negative or wordy ones."""
    block = {key: value for key, value in (LOSS | change).items() if value is not None}
    with pytest.raises(refusal, match=named):
        law_of(data(loss=block))


def test_a_law_without_an_additive_loss_says_so():
    """The law is named."""
    with pytest.raises(NotSupported, match="mine"):
        _ = law_of(data()).additive


# Rules and the ranges in which they hold.

RULE = {"form": "power", "n_params_exponent": -1, "value_min": 2**-36, "n_params_min": 2**22, "n_tokens_max": 9e11}


@pytest.mark.parametrize(
    ("n", "d", "holds"),
    [
        (2**30, 1e10, True),
        (2**30, 9e11, True),
        (2**30, 9.1e11, False),
        (2**22, 1e10, True),
        (2**22 - 1, 1e10, False),
        (2**36, 1e10, True),
        (2**36 + 1, 1e10, False),
    ],
)
def test_a_rule_ends_where_its_block_says(n, d, holds):
    """1 / N from 2^22 parameters on, to 9e11 tokens, no less than 2^-36: at each end it still holds, one step beyond no more."""
    law = law_of(data(learning_rate=RULE))
    found, reason = value_of(law, "learning_rate", {"n_params": float(n), "n_tokens": d})
    together, _ = value_of(law, "learning_rate", {"n_params": np.array([n, 2.0**30]), "n_tokens": np.array([d, 1e10])})

    assert found == (1 / n if holds else None)
    assert (reason is None) == holds
    assert together.tolist() == pytest.approx([1 / n if holds else math.nan, 2**-30], nan_ok=True)


def test_a_value_at_its_upper_end():
    """No more than 2^-20: 1 / N at 2^20 parameters exactly; just below there it is more."""
    law = law_of(data(learning_rate={"form": "power", "n_params_exponent": -1, "value_max": 2**-20}))
    assert value_of(law, "learning_rate", {"n_params": 2.0**20}) == (2**-20, None)
    assert value_of(law, "learning_rate", {"n_params": 2.0**20 - 1})[0] is None
    together, _ = value_of(law, "learning_rate", {"n_params": np.array([2.0**20, 2.0**20 - 1])})
    assert together.tolist() == pytest.approx([2**-20, math.nan], nan_ok=True)


def test_what_a_rule_lacks_is_named():
    law = law_of(data(learning_rate=RULE))
    assert value_of(law, "learning_rate", {"n_tokens": 1e9}) == (None, "needs n_params")
    assert value_of(law, "weight_decay", {"n_params": 1e9}) == (None, "no rule for weight_decay")


def test_guessing_a_token():
    """ln 50257 nats; unknown without a vocabulary, and for losses per byte."""
    convention = {"source": "own-runs", "n_vocab": 50257}
    assert law_of(data(convention=convention)).guessing_nats == pytest.approx(10.82491)
    assert law_of(data()).guessing_nats is None
    assert law_of(data(convention=convention | {"loss": "nats per byte"})).guessing_nats is None


@pytest.mark.parametrize("value", [0.0, -0.3])
def test_a_constant_that_must_be_above_zero(value):
    with pytest.raises(InputError, match="alpha"):
        law_of(data(loss=LOSS | {"alpha": value}))


def test_a_loss_along_a_frontier_in_least_compute():
    """L = (C_min / 4e20)^-0.06 with C_min = 0.7 C, beside D = 3e9 (C_min / 8e18)^0.4: both at 0.7 of what is spent."""
    law = law_of(
        data(
            allocation={
                **{"form": "power", "gives": "n_tokens", "scale": 3e9, "compute_flops_exponent": 0.4, "compute_flops_unit": 8e18},
                "min_compute_fraction": 0.7,
            },
            loss_of_compute={"form": "power", "scale": 1.0, "compute_flops_exponent": -0.06, "compute_flops_unit": 4e20},
        )
    )
    assert law.frontier is not None
    flops = 2e22
    n = law.frontier.params_at_compute(flops)
    assert flops / 6 / n == pytest.approx(3e9 * (0.7 * flops / 8e18) ** 0.4)
    assert law.frontier.loss(n, flops / 6 / n) == pytest.approx((0.7 * flops / 4e20) ** -0.06)


HUGE = 2**62
"""An exponent that a whole number cannot be raised to."""


@pytest.mark.parametrize(
    "loss",
    [
        {"form": "additive", "e_nats": 1.7, "a": 400, "b": 410, "alpha": 0.34, "beta": HUGE},
        {"form": "repeating", "e_nats": 1.7, "a": 400, "b": 410, "alpha": 0.34, "beta": HUGE, "r_d_star": 15, "r_n_star": 5},
        {"form": "over-training", "e_nats": 1.84, "a": 212, "b": 367, "eta": HUGE},
        {"form": "kaplan", "n_c": 64 * 10**12, "d_c": 18 * 10**12, "alpha_n": HUGE, "alpha_d": 1},
    ],
)
def test_whole_constants_end_as_fast_as_others(loss):
    """A whole number to the power of 4.6e18 would take all memory; a float is too large at once."""
    law = law_of(data(loss=loss)).loss
    assert all(type(one) is float for one in getattr(law, "fresh", law))
    with suppress(OverflowError):
        assert getattr(law, "fresh", law).loss(10**9, 2 * 10**10) > 0


def test_whole_exponents_of_a_rule_end_too():
    rule = law_of(data(tokens={"form": "power", "n_params_exponent": HUGE, "scale": 2})).rules["tokens"]
    with pytest.raises(OverflowError):
        rule.at(n_params=10**9)
