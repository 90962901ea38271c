"""Lines of the bill: what a tensor is where nothing else is said, and sums over copies."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from scaleplan.model.bill import bill_of
from scaleplan.model.items import Kept, Layer, Operation, Weight, linear, pruned_elements, vector
from scaleplan.model.shape import arch_of_shape

MOE: dict[str, Any] = {
    "n_layers": 5,
    "d_model": 24,
    "n_heads": 4,
    "n_vocab": 101,
    "n_experts": 7,
    "n_experts_per_token": 3,
    "d_ff_expert": 11,
}


def test_a_tensor_is_kept_once_used_once_and_whole_on_every_rank():
    """Unless it is said."""
    weight = Weight("w", "other", (3, 5))

    assert (weight.stored, weight.used, weight.tp_ways, weight.n_params, weight.n_active_params) == (1, 1, 1, 15, 15)
    assert (Operation("o").tp_ways, Kept("k").tp_ways, vector("v", "norm", 3, "decoder").tp_ways) == (1, 1, 1)


@pytest.mark.parametrize(
    ("split", "ways", "bias_ways", "by_row"),
    [
        ({}, 1, 1, False),
        ({"column": 7}, 7, 7, False),
        ({"row": 11}, 11, 1, True),
        ({"row": 1}, 1, 1, False),
        ({"column": 7, "row": 11}, 77, 7, True),
    ],
)
def test_a_matrix_is_split_by_its_outputs_or_by_its_inputs(split: dict[str, int], ways: int, bias_ways: int, by_row: bool):
    """A bias is split with the outputs alone; outputs of a split by inputs are summed over the ranks."""
    matrix, bias = linear("w", "other", 3, 5, bias=True, **split)

    assert (matrix.shape, bias.shape, matrix.stored, matrix.used) == ((3, 5), (5,), 1, 1)
    assert (matrix.tp_ways, bias.tp_ways, matrix.row_split) == (ways, bias_ways, by_row)


def test_a_layer_holds_its_copies():
    """Two sets of (3 x 5 + 7)."""
    layer = Layer("kind", "block", "decoder", 4, 2, 3, (Weight("w", "other", (3, 5)), vector("v", "norm", 7, "decoder")))

    assert layer.n_params == 2 * (15 + 7)


def test_what_a_token_passes():
    """Three of seven experts in each of five layers, the rest in full."""
    bill = bill_of(arch_of_shape(MOE))

    assert bill.n_params() - bill.n_active_params() == 5 * (7 - 3) * 2 * 24 * 11
    assert bill.n_active_params(lambda weight: weight.group == "experts_routed") == 5 * 3 * 2 * 24 * 11


def test_zeros_of_a_matrix():
    """A share of its numbers, of one or of many; none in a router."""
    layer = next(each for each in bill_of(arch_of_shape(MOE)).blocks())
    query, router = (next(w for w in layer.weights if w.name == name) for name in ("Q", "router"))

    assert pruned_elements(layer, query, 0.25) == 24 * 24 // 4
    assert pruned_elements(layer, query, np.array([0.25, 0.5])).tolist() == [144, 288]
    assert pruned_elements(layer, router, 0.25) == 0
