"""Limits of sizes, at the limit and one step beyond."""

from __future__ import annotations

import pytest

from scaleplan.errors import ScaleplanError
from scaleplan.model.arch import Tensor
from scaleplan.model.words import NORMS, Words, check_size, short, tensors_of_tables

GPT = {"n_layers": 1, "d_model": 64, "n_vocab": 100}


@pytest.mark.parametrize(
    ("word", "most"),
    [("d_ff", 1_000_000_000), ("n_vocab", 1_000_000_000), ("n_layers", 100_000), ("n_encoder_layers", 100_000), ("n_extra_params", 10**15)],
)
def test_the_largest_size(word: str, most: int):
    """10^9, 100,000 layers, a tower of 10^15 parameters."""
    assert Words(GPT | {word: most}).check()[word] == most
    with pytest.raises(ScaleplanError, match=f"`{word}`"):
        Words(GPT | {word: most + 1}).check()


def test_the_smallest_size():
    """1, unless another is said; limits belong to what they allow."""
    assert check_size(1, "a") == 1
    assert check_size(5, "a", 5, 5) == 5
    for wrong in (4, 6):
        with pytest.raises(ScaleplanError, match="a is"):
            check_size(wrong, "a", 5, 5)
    with pytest.raises(ScaleplanError, match="a is `0`"):
        check_size(0, "a")


def test_the_longest_list():
    """100,000 values."""
    assert len(Words(GPT | {"d_ff": [3] * 100_000}).check()["d_ff"]) == 100_000
    with pytest.raises(ScaleplanError, match="100,001"):
        Words(GPT | {"d_ff": [3] * 100_001}).check()


def test_a_number_of_so_many_digits_is_not_written():
    """Below 2^255 it is."""
    assert short(2**255 - 1) == str(2**255 - 1)
    assert "digits" in short(2**255)
    assert short(-(2**255)).startswith("-a number")


def test_vectors_of_norms():
    """RMS norm has a scale; layer norm scale and shift, a scale, or neither."""
    assert {name: norm.vectors for name, norm in NORMS.items()} == {"rms": 1, "layer": 2, "layer-scale": 1, "layer-fixed": 0}


@pytest.mark.parametrize("shape", [[3], [3, 5], [3, 5, 7]])
def test_a_tensor_of_a_file(shape: list[int]):
    """One to three sizes; one of it, which a product passes, unless it is said."""
    found = tensors_of_tables([{"name": "t", "group": "other", "shape": shape}])

    assert found.tensors == (Tensor("t", "other", tuple(shape), True, 1),)


@pytest.mark.parametrize("shape", [[], [3, 5, 7, 11], 3])
def test_a_tensor_that_is_none(shape: object):
    """No size, four sizes, no list."""
    with pytest.raises(ScaleplanError, match="shape"):
        tensors_of_tables([{"name": "t", "group": "other", "shape": shape}])
