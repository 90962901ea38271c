"""What laws say beside an allocation, against printed numbers and independent routes."""

from __future__ import annotations

import math

import pytest

from scaleplan.chain.catalogue import load_law
from scaleplan.chain.efficiency import convergence_answer, data_answer, size_answer
from scaleplan.chain.law_answers import (
    context_losses,
    mean_power,
    precision_answer,
    repetition_answer,
    routed_answers,
    sparse_answer,
    without_embeddings,
)
from scaleplan.errors import InputError


@pytest.mark.parametrize(("count", "exponent"), [(1, -0.5), (10, -0.47), (1024, -0.62), (8192, -0.45)])
def test_the_mean_over_positions_is_that_of_a_sum(count, exponent):
    assert mean_power(count, exponent) == pytest.approx(
        sum(t**exponent for t in range(1, count + 1)) / count, rel=2e-2 if count > 1 else 1e-9
    )


def test_the_positions_add_up_to_the_loss_of_the_model():
    """Averaged over 1,024 tokens the two fits give the L(N) of 4e5 and 6e8 parameters, the ends of the figure."""
    small, large = (found for found in context_losses(1024) if found.mean is not None)
    for found, n_params in ((small, 5e5), (large, 5.5e8)):
        assert found.mean == pytest.approx((8.8e13 / n_params) ** 0.076, rel=0.03)
        assert found.floor < found.at_position < found.mean
    with pytest.raises(InputError):
        context_losses(0)


def test_a_longer_context_has_less_loss():
    """Xiong: L(c) = (a / c)^b + g, for 7B (25.4 / 32768)^0.45 + 1.56."""
    found = {answer.law.name: answer for answer in context_losses(32768)}
    assert found["xiong2023-7b"].at_position == pytest.approx((25.4 / 32768) ** 0.45 + 1.56)
    assert found["xiong2023-70b"].at_position < found["xiong2023-7b"].at_position


@pytest.mark.parametrize(("bits", "kept"), [(16, 0.998), (8, 0.950), (6, 0.894), (4, 0.776), (3, 0.674), (2, 0.527)])
def test_bits_of_weights(bits, kept):
    """The share of N that stays useful, as in the article's table."""
    assert precision_answer(bits).weights_share == pytest.approx(kept, abs=1e-3)


def test_best_bits_of_a_budget():
    """3.5 bits from the three constants, 5.1 from that of the weights; the 7 to 8 of the article do not follow. No neighbour is better."""
    found = precision_answer(8, 1e9, 2e10)
    assert (found.best_bits, found.best_weight_bits) == pytest.approx((3.469, 5.092), abs=1e-3)
    assert found.published_best_bits == (7, 8)

    def worth(bits: float) -> float:
        return precision_answer(bits).effective_share / bits

    assert worth(found.best_bits) > max(worth(found.best_bits - 0.1), worth(found.best_bits + 0.1))
    assert found.after_training is not None
    assert 0 < found.after_training < 0.01
    more = precision_answer(4, 1e9, 2e12).after_training
    assert more is not None
    assert more > found.after_training


def test_routed_experts_of_clark():
    """A model of 5M with 128 experts is worth a dense one of 55M (52M by the printed digits); S-BASE stops helping near 937e9."""
    s_base = routed_answers(5e6, 128)[0]
    assert s_base.dense_params == pytest.approx(55e6, rel=0.07)
    assert s_base.useless_from == pytest.approx(937e9, rel=0.1)
    assert s_base.loss < s_base.dense_loss
    assert s_base.beyond[0].quantity == "n_params"


def test_sparse_weights_are_worth_more_than_as_many_dense_ones():
    """The dense model of the same loss lies between the weights that are left and all of them, and has that loss."""
    found = sparse_answer(1e9, 1e11, 0.75)
    assert found.n_nonzero == 0.25e9
    assert found.n_nonzero < found.dense_params < 1e9
    assert found.loss < found.dense_loss
    same = (16.8 + 45.0) / found.dense_params**0.245 + (6.90e8 / 1e11) ** 0.203 + 0.651
    assert same == pytest.approx(found.loss)
    with pytest.raises(InputError):
        sparse_answer(1e9, 1e11, 1.0)


def test_passes_over_the_same_tokens():
    """Four passes keep 93 % of four passes' worth; a geometric series gives nearly as much, and both end at 1 + R*."""
    found = repetition_answer(4)
    assert found.worth_saturating / 4 == pytest.approx(0.93, abs=0.02)
    assert found.worth_geometric == pytest.approx(sum((1 - found.lost_per_pass) ** i for i in range(4)))
    assert found.worth_geometric == pytest.approx(found.worth_saturating, rel=0.03)
    endless = repetition_answer(1e4)
    assert endless.worth_saturating == pytest.approx(endless.worth_geometric, rel=1e-9)
    assert math.isclose(endless.worth_saturating, 16.387756)


@pytest.mark.parametrize(
    ("name", "exponent", "loss_exponent", "total"), [("besiroglu2024", 0.78, -0.069, 0.513), ("hoffmann2022-3", 0.74, -0.066, 0.4565)]
)
def test_why_kaplan_and_hoffmann_disagree(name, exponent, loss_exponent, total):
    """Without embeddings the law of all parameters looks like N ~ C^0.78 (0.74) and L ~ C^-0.069 (-0.066) over Kaplan's sizes."""
    found = without_embeddings(load_law(name), 1e19)
    assert found.exponent == pytest.approx(exponent, rel=0.03)
    assert found.loss_exponent == pytest.approx(loss_exponent, rel=0.03)
    assert found.total_exponent == pytest.approx(total, rel=2e-3)
    assert 6 * found.n_params * found.n_tokens == pytest.approx(1e19)
    assert found.n_total_params > found.n_params


def test_a_size_that_is_not_the_efficient_one():
    """0.6 times the size costs at most 20 % more compute (16.5 % by the formula), 2.2 times 20 % more in 45 % fewer steps."""
    small, large = size_answer(0.6), size_answer(2.2)
    assert small.compute_ratio == pytest.approx(1.165, abs=1e-3)
    assert large.compute_ratio == pytest.approx(1.20, abs=5e-3)
    assert large.steps_ratio == pytest.approx(0.55, abs=5e-3)
    assert size_answer(1.0).compute_ratio == pytest.approx(1)
    with pytest.raises(InputError):
        size_answer(0.1)


def test_training_towards_convergence_wastes_compute():
    """Against training to 2 %: 2.7 times the parameters, 7.7 times fewer updates, 65 % less compute."""
    found = convergence_answer(0.02)
    assert found.params_ratio == pytest.approx(2.7, rel=0.01)
    assert 1 / found.steps_ratio == pytest.approx(7.7, rel=0.02)
    assert found.compute_ratio == pytest.approx(0.35, rel=0.02)
    assert convergence_answer(found.efficient_excess).compute_ratio == pytest.approx(1)
    with pytest.raises(InputError):
        convergence_answer(0)


def test_data_that_keep_a_model_from_overfitting():
    """5e3 N^0.74 tokens at the seed noise of 0.02, which the joint law puts at 5.4e3 to 5.6e3: 2.3e10 for 1e9 parameters."""
    found = data_answer(1e9)
    assert found.stated_tokens == pytest.approx(2.3e10, rel=0.01)
    assert found.needed_tokens == pytest.approx(found.stated_tokens, rel=0.12)
