"""What a feed-forward keeps, tensor by tensor: width 36, inner width 44, 3 of 7 experts of 11."""

from __future__ import annotations

from typing import Any

import pytest
from tests.model.test_blocks import EXPERTS, PLAIN, kept, layer

from scaleplan.model.passes import Keeping, Pass


@pytest.mark.parametrize(
    ("activation", "tensors"), [("relu", 1), ("relu2", 2), ("gelu", 2), ("gelu-tanh", 2), ("silu", 2), ("gelu-new", 5), ("other", 2)]
)
def test_tensors_of_a_plain_activation(activation: str, tensors: int):
    """The input of the activation and its output, which the last product reads; ReLU's derivative needs its output alone.

    ReLU squared keeps what it squares. GELU by single operations, 0.5 x (1 + tanh(c (x + a x^3))): x for its cube, x / 2 and
    1 + tanh for their product, the tanh for its own derivative, and the product.
    """
    found = kept(layer(activation=activation), PLAIN)

    assert sum(found.get(f"{side} of the activation", 0) for side in ("inputs", "output")) == tensors * 44


@pytest.mark.parametrize(("in_steps", "inputs"), [(True, 3), (False, 2)])
def test_tensors_of_a_gated_activation(in_steps: bool, inputs: int):
    """Gate and up, the activated gate where it is a tensor of its own, and the product of both."""
    found = kept(layer(gated=True), Pass(Keeping(gate_in_steps=in_steps)))

    assert (found["inputs of the activation"], found["output of the activation"]) == (inputs * 44, 44)


def test_experts():
    """The router's input and output; a token's copies to and from 3 experts; both sides of their activations."""
    found = kept(layer(**EXPERTS), PLAIN)

    assert {name: found[name] for name in found if "expert" in name or "router" in name or "activation" in name} == {
        "router input": 36,
        "router": 7,
        "tokens sent to experts": 3 * 36,
        "tokens returned by experts": 3 * 36,
        "inputs of the activation": 3 * 11,
        "output of the activation": 3 * 11,
    }


def test_a_shared_expert_is_passed_once():
    """Both sides of its activation, 13 wide."""
    found = kept(layer(**EXPERTS, d_ff_shared=13), PLAIN)

    assert (found["inputs of the activation"], found["output of the activation"]) == (3 * 11 + 13, 3 * 11 + 13)


@pytest.mark.parametrize(
    ("words", "readers"), [({}, 1), ({"d_ff_shared": 13}, 2), ({"d_ff_shared": 13, "gated": True, "shared_expert_gate": True}, 4)]
)
def test_under_autocast_each_product_keeps_a_copy_of_its_input(words: dict[str, Any], readers: int):
    """The router; the first products of a shared expert, its gate and the gate of the whole."""
    assert kept(layer(**EXPERTS, **words), PLAIN._replace(autocast=True))["router input"] == readers * 36


def test_experts_of_a_narrower_width():
    """Copies of a token are as wide as the experts work in."""
    found = kept(layer(**EXPERTS, d_expert_model=17), PLAIN)

    assert (found["tokens sent to experts"], found["tokens returned by experts"]) == (3 * 17, 3 * 17)
