"""Roots of rising functions, of numbers and arrays."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.laws.search import rising_root


@pytest.mark.parametrize("root", [3.7e-5, 0.019, 1.0, 531.0, 2.9e11, 8.3e38])
def test_a_root_is_found_to_the_spacing_of_floats(root: float):
    """x^3 - root^3 over 46 orders of magnitude."""
    assert rising_root(lambda x: x**3 - root**3 if root < 1e30 else x - root) == pytest.approx(root, rel=1e-13)


def test_roots_in_arrays_are_those_of_each():
    """Each of an array has a root of its own."""
    roots = np.array([2e-5, 17.0, 6.1e20])
    assert rising_root(lambda x: np.log(x / roots)).tolist() == pytest.approx(roots.tolist(), rel=1e-13)


def test_where_there_is_no_root_the_end_is_told():
    """A function that is positive, or negative, between the ends given."""
    assert rising_root(lambda x: x, 3.0, 7.0) == pytest.approx(3.0)
    assert rising_root(lambda x: -1 / x, 3.0, 7.0) == pytest.approx(7.0)
