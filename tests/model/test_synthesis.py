"""Shapes near a size: they can be built, their counts are exact, the nearest come first."""

from __future__ import annotations

import pytest

from scaleplan.errors import InputError
from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.synthesis import STYLES, shapes_near


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("target", [1e9, 7e9, 70e9])
def test_the_first_shape_is_near_and_exact(style: str, target: float):
    """Within 5 % of the target, with the count that the words give when counted again."""
    best = shapes_near(target, style)[0]

    assert best.params.n_params == pytest.approx(target, rel=0.05)
    assert count_params(bill_of(arch_of_shape(best.words))).n_params == best.params.n_params


def test_every_shape_divides_by_the_layout():
    """Heads, key and value heads and widths by the tensor degree, layers by the pipeline degree."""
    for shape in shapes_near(70e9, "llama", tp=8, pp=4):
        assert all(shape.words[word] % 8 == 0 for word in ("n_heads", "n_kv_heads", "d_ff"))
        assert shape.words["d_model"] % 128 == 0
        assert shape.words["n_layers"] % 4 == 0


def test_released_shapes_are_among_those_found():
    """GPT-3 175B and Llama 3 70B are near their own size."""
    assert (96, 12288) in {(s.words["n_layers"], s.words["d_model"]) for s in shapes_near(175e9, "gpt", tp=8)}
    assert (80, 8192) in {(s.words["n_layers"], s.words["d_model"]) for s in shapes_near(70e9, "llama", tp=8)}


def test_fixed_sizes_stay():
    """A width that is given is kept, and the depth follows."""
    for shape in shapes_near(7e9, "llama", fixed={"d_model": 4096, "n_vocab": 32000}):
        assert shape.words["d_model"] == 4096
        assert shape.words["n_vocab"] == 32000


def test_no_shape_is_an_error():
    """Nothing can be built of one parameter."""
    with pytest.raises(InputError, match="no shape"):
        shapes_near(1)
