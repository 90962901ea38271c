"""Types of an architecture where nothing is said."""

from __future__ import annotations

from scaleplan.model.arch import Norm, Span, Stack, Tensor, Tensors


def test_what_is_usual():
    """A layer norm with scale and shift, one key of a stride, one tensor, one table of relative positions for a stack."""
    assert Norm() == Norm("layer", 2)
    assert Span(stride=5).per_stride == 1
    assert Tensor("t", "other", (3,)).count == 1
    assert Stack("decoder", (), ()).n_relative_tables == 1


def test_tensors_are_equal_where_all_of_them_are():
    """By what they are, in their order."""
    one, two = Tensor("one", "other", (3,)), Tensor("two", "other", (5,))

    assert Tensors(one, two) == Tensors(one, two)
    assert Tensors(one, two) != Tensors(two, one)
    assert Tensors(one) != one
