"""Percentiles of draws."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.chain.uncertainty import interval


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=50))
def test_percentiles_are_those_of_numpy(draws):
    """Linear between neighbours, as numpy's default."""
    assert interval(draws) == pytest.approx(tuple(np.percentile(draws, (10, 50, 90))), rel=1e-9, abs=1e-6)


def test_no_draws_no_interval():
    """What has no draws has no percentiles."""
    assert interval([]) is None
