"""Which N, which C: conversions."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.errors import NotSupported
from scaleplan.laws import convention


@given(st.floats(2, 13).map(lambda exponent: 10**exponent))
def test_total_and_non_embedding_params_come_back(n):
    """N -> N + 47491 N^(1/3) -> N."""
    assert convention.non_embedding_params(convention.total_params(n)) == pytest.approx(n, rel=1e-9)


def test_conversion_of_the_smallest_chinchilla_model():
    """44M in all with a 32k vocabulary of width 512: 27.3M without the table (hoffmann2022, table A9), within a tenth."""
    assert convention.non_embedding_params(43.6e6) == pytest.approx(27.3e6, rel=0.1)


def test_kinds_without_a_conversion_are_refused():
    """A law that counts something else is not silently taken for either."""
    assert convention.converted_params(5, "total", "total") == 5
    with pytest.raises(NotSupported, match="non-zero weights"):
        convention.converted_params(5, "non-zero weights", "total")


def test_bits_per_byte():
    """ln 2 nats a token of one byte is one bit per byte."""
    assert convention.bits_per_byte(math.log(2), 1) == pytest.approx(1)
    assert convention.bits_per_byte(2.0, 4.3) == pytest.approx(2.0 / (4.3 * math.log(2)))


def test_six_n_d_of_the_example_that_circulates():
    """6 x 1e9 parameters x 2e6 tokens x 1e5 steps is 1.2e21 FLOP; `1.2e24` is a false correction."""
    assert convention.training_flops(10**9, 2 * 10**6 * 10**5) == 12 * 10**20


def test_counts_by_hand():
    """6 N D to train, 2 N D to read; 47491 N^(1/3) parameters of embeddings at N = 8e9: twice a thousand times."""
    assert convention.training_flops(7, 11) == 462
    assert convention.inference_flops(7, 11) == 154
    assert convention.total_params(8e9) == pytest.approx(8e9 + 47491 * 2000)
    assert convention.converted_params(8e9, "non_embedding", "total") == pytest.approx(8e9 + 47491 * 2000)
    assert convention.converted_params(8e9 + 47491 * 2000, "total", "non_embedding") == pytest.approx(8e9)


@pytest.mark.parametrize("total", [3e3, 7e7, 5e11])
def test_params_without_embeddings_by_bisection(total):
    """N + 47491 N^(1/3) = N_total, by halving."""
    low, high = 0.0, total
    for _ in range(200):
        middle = (low + high) / 2
        low, high = (middle, high) if middle + 47491 * middle ** (1 / 3) < total else (low, middle)
    assert convention.non_embedding_params(total) == pytest.approx(low, rel=1e-9)
