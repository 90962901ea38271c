"""Functions that serve numbers and arrays alike give the same for both."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.numeric import ceil_div, floor, floor_div, log2, maximum, maximum_of, minimum, quantile, where

WHOLE = st.integers(0, 2**62)


@given(st.lists(st.tuples(WHOLE, st.integers(1, 2**20)), min_size=1, max_size=20))
def test_whole_divisions_are_exact_at_any_size(pairs: list[tuple[int, int]]):
    """Arrays of whole numbers divide as Python's do, below and above what floats hold exactly."""
    a, b = (np.array(column, dtype=np.int64) for column in zip(*pairs, strict=True))
    assert floor_div(a, b).tolist() == [x // y for x, y in pairs]
    assert ceil_div(a, b).tolist() == [-(-x // y) for x, y in pairs]


@given(st.integers(1, 2**20), st.integers(1, 2**32))
def test_multiples_and_their_neighbours(divisor: int, times: int):
    """The hard cases: a multiple, one less, one more."""
    a = np.array([divisor * times - 1, divisor * times, divisor * times + 1])
    assert floor_div(a, divisor).tolist() == [(divisor * times - 1) // divisor, times, times + (divisor == 1)]
    assert ceil_div(a, divisor).tolist() == [times - (divisor == 1), times, times + 1]


@pytest.mark.parametrize("function", [maximum, minimum, floor_div, ceil_div])
def test_numbers_and_arrays_agree(function):
    """A number is an array of one."""
    assert function(7, 3) == function(np.array([7]), np.array([3]))[0]


def test_a_condition_may_be_a_number_or_an_array():
    assert where(True, 1, 2) == 1
    assert where(np.array([True, False]), 1, 2).tolist() == [1, 2]


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50), st.floats(0, 1))
def test_quantiles_are_those_of_numpy(values, level):
    """Between neighbours in proportion, in whatever order the values stand."""
    assert quantile(values, level) == pytest.approx(float(np.quantile(values, level)), rel=1e-9, abs=1e-6)


@given(st.floats(-1e15, 1e15))
def test_rounded_down(x):
    """To a whole number, below zero too."""
    assert floor(x) == math.floor(x) == floor(np.array([x]))[0]


def test_the_largest_of_several():
    """Element by element where one is an array; 0 of none."""
    assert maximum_of([]) == 0
    assert maximum_of([3, 7, 5]) == 7
    assert maximum_of([3, np.array([1, 9])]).tolist() == [3, 9]


def test_log_2():
    """Of a number and of an array."""
    assert log2(8) == 3 == log2(np.array([8.0]))[0]
