"""Parameters of one device by hand: tensor and expert parallel shares, formats of frozen weights, and what each stage of ZeRO divides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from scaleplan.machine.held import (
    NOTHING,
    Formats,
    Held,
    Parameters,
    added,
    divided,
    held_by,
    over,
    parameters_of,
    state_of,
    weights_bytes,
    whole,
)
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import PRECISIONS, Narrow, optimizer_named, precision_named
from scaleplan.machine.serving_formats import serving_format
from scaleplan.model.items import Layer, Weight

MIXED = Formats(PRECISIONS["bf16-mixed-18"], optimizer_named("adamw"))
"""2 bytes a weight, 4 a gradient, 12 of optimizer: 32-bit master copy and two moments."""


def layer(*weights: Weight) -> Layer:
    return Layer("written", "block", "decoder", 5, 5, 7, weights)


WIDE = Weight("in", "mlp_dense", (7, 11), tp_ways=11)
FEW = Weight("out", "mlp_dense", (13, 5), tp_ways=2)
NORM = Weight("norm", "norm", (17,), matmul=False)
EXPERT = Weight("expert", "experts_routed", (7, 19), stored=6, used=2, tp_ways=19)
FROZEN = Weight("frozen", "mlp_dense", (7, 23), tp_ways=23, trainable=False)


def test_tensor_parallelism_divides_a_weight_as_far_as_it_splits():
    """On 4 ranks 77 / 4 rounded up, 65 over 2 ways, 17 whole; experts 6 x 133 over 4, then over 3 expert parallel ranks."""
    one = parameters_of(layer(WIDE, FEW, NORM, EXPERT), Layout(tp=4, dp=3, ep=3), MIXED)

    assert one.dense == (20 + 33 + 17, 20 + 33 + 17, 231 + 390 + 17 * 12, 0, 0)  # 12 x 77 / 4, 12 x 65 / 2
    assert one.experts == (67, 67, 798, 0, 0)  # 798 / 4 = 199.5: 200, / 3: 67; 12 x 798 / 4 / 3
    assert (one.params, one.trainable) == (70 + 67, 70 + 67)


def test_experts_may_have_a_tensor_parallel_degree_of_their_own():
    """Whole experts where etp is 1, over 3 ranks."""
    assert parameters_of(layer(WIDE, EXPERT), Layout(tp=4, dp=3, ep=3, etp=1), MIXED).experts.params == 798 / 3


def test_weights_that_are_divided_alike_are_added_before_they_are_divided():
    """7 and 9 numbers on 4 ranks are 4 each; apart they would be 2 and 3."""
    alike = (Weight("a", "mlp_dense", (7, 1), tp_ways=8), Weight("b", "mlp_dense", (9, 1), tp_ways=8))

    assert held_by(layer(*alike), alike, Layout(tp=4), MIXED).params == 4
    assert held_by(layer(*alike), (alike[0], alike[1]._replace(tp_ways=4)), Layout(tp=4), MIXED).params == 2 + 3


def test_frozen_weights_have_no_gradient_and_no_states_but_bits():
    """161 frozen of 238, in int4 by groups of 128: 644 bits and two scales of 20."""
    held = whole(layer(WIDE, FROZEN), [WIDE, FROZEN], MIXED._replace(frozen=serving_format("int4")))

    assert held == (238, 77, 12 * 77, 4 * 161 + 2 * 20, 0)
    assert whole(layer(WIDE, FROZEN), [WIDE, FROZEN], MIXED) == (238, 77, 12 * 77, 0, 0)


def test_narrow_copies_are_of_the_matrices_of_the_layers():
    """Matrices of 77 and 65 are copied, a norm is not; 16 bits keep no copy."""
    fp8 = Formats(precision_named("fp8", 18, Narrow(weight_copies=2)), optimizer_named("adamw"))

    assert whole(layer(WIDE, FEW, NORM), [WIDE, FEW, NORM], fp8).copied == 77 + 65
    assert whole(layer(WIDE, FEW, NORM), [WIDE, FEW, NORM], MIXED).copied == 0


def test_a_weight_that_does_not_split_is_whole_on_every_rank():
    held = Held(103, 53, 31, 29, 23)

    assert divided(held, 8, 1) == held
    assert divided(held, 8, 2) == (52, 27, 16, 15, 12)
    assert divided(held, 4, 16) == (26, 14, 8, 8, 6)


def test_sums_of_what_is_held_are_by_part():
    a, b = Held(2, 3, 5, 7, 11), Held(13, 17, 19, 23, 29)
    both = Parameters(a, b).plus(Parameters(b, a))

    assert a.plus(b) == (15, 20, 24, 30, 40)
    assert a.plus(NOTHING) == NOTHING.plus(a) == a
    assert both == ((15, 20, 24, 30, 40), (15, 20, 24, 30, 40))
    assert Parameters(a, b).times(3) == ((6, 9, 15, 21, 33), (39, 51, 57, 69, 87))
    assert (both.params, both.trainable, added(5, 8)) == (30, 40, 13)


# --------------------------------------------------------------------------------------------------------------------- ZeRO


@dataclass
class Shares:
    """Ranks that divide weights, gradients and states."""

    weights: int
    gradients: int
    states: int


HELD = Parameters(Held(1000 * 6, 700 * 6, 300 * 6, 0, 0))
STAGES = [(0, Shares(1, 1, 1)), (1, Shares(1, 1, 6)), (2, Shares(1, 6, 6)), (3, Shares(6, 6, 6))]


@pytest.mark.parametrize(("stage", "shares"), STAGES)
def test_stages_of_zero_divide_states_then_gradients_then_weights(stage: int, shares: Shares):
    """rajbhandari2020: 2 bytes a weight, 4 a trainable gradient and the states, over 3 x 2 ranks; arrays of stages likewise."""
    for asked in (stage, np.array([stage, stage])):
        found = state_of(HELD, Layout(tp=5, dp=3, cp=2, zero_stage=asked), MIXED)
        assert np.all(found.weights_bytes == 2 * 6000 // shares.weights)
        assert np.all(found.gradients_bytes == 4 * 4200 // shares.gradients)
        assert np.all(found.optimizer_bytes == 1800 // shares.states)


@pytest.mark.parametrize(
    ("layout", "dense", "experts"),
    [
        (Layout(tp=2, dp=6, cp=2, ep=4), 12, 3),  # 24 ranks of tensor, data and context parallelism; 2 x 4 of them hold all experts
        (Layout(tp=2, dp=6, cp=2, ep=4, etp=1), 12, 6),
        (Layout(tp=2, dp=6, cp=2, ep=2, n_shards=4), 4, 2),  # 8 ranks divide
        (Layout(tp=2, dp=6, cp=2, ep=4, n_shards=3), 3, 1),  # fewer than hold all experts: nothing is divided
    ],
)
def test_experts_have_fewer_replicas_to_divide_over(layout: Layout, dense: int, experts: int):
    """Of 1200 dense and 660 expert parameters, 2 bytes of weights, 4 of gradients, and states of 1320 and 780 bytes."""
    held = Parameters(Held(1200, 1200, 1320), Held(660, 600, 780))
    found = state_of(held, layout._replace(zero_stage=3), MIXED)

    assert found == (2400 / dense + 1320 / experts, 4800 / dense + 2400 / experts, 1320 / dense + 780 / experts)


def test_a_size_is_whole_below_the_stage_and_rounded_up_from_it():
    assert [over(100, stage, 2, 7) for stage in (0, 1, 2, 3)] == [100, 100, 15, 15]
    assert over(0, 3, 2, 7) == 0


def test_narrow_copies_and_frozen_bits_are_bytes_of_weights():
    """40 numbers in copies of 2 x 264 bits for 32 (mxfp8): 82.5 bytes, rounded up; 37 frozen bits: 5 bytes in the place of 2 each."""
    mxfp8 = Formats(precision_named("mxfp8", 18, Narrow(weight_copies=2)), optimizer_named("adamw"))
    held = Held(100, 60, 0, 37, 40)

    assert weights_bytes(held, mxfp8) == 200 + 83
    assert weights_bytes(held, mxfp8._replace(frozen=serving_format("int4"))) == 120 + 5 + 83
    assert weights_bytes(held._replace(copied=0), MIXED) == 200
