"""What memory reads of a software stack's preset."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import UnknownName
from scaleplan.machine.stack import Stack, stack_of
from scaleplan.model.passes import Keeping


def test_a_stack_is_read_as_it_is_written():
    """Words for what is counted or as wide as the residual become None; lists become tuples."""
    memory = {
        "attention": "eager", "fragments": 0.07, "bytes_per_logit": "counted", "peaks": [[97, 1.3]], "note": "n",
        "keeping": {"norm_stats_bytes": "residual"},
    }  # fmt: skip
    found = stack_of("mine", {"memory": memory, "calibration": {"stack": "usual"}}, ("here",))

    assert found == Stack(
        "mine", Keeping(norm_stats_bytes=None), "eager", fragments=0.07, bytes_per_logit=None, peaks=((97, 1.3),), base="usual",
        sources=("here",),
    )  # fmt: skip
    assert stack_of("bare", {}) == Stack("bare")
    with pytest.raises(UnknownName):
        stack_of("mine", {"memory": {"keeping": {"norms": 1}}})


def test_what_a_stack_does_not_say():
    """Flash attention, 8 bytes a logit, nothing kept beside what is counted."""
    usual = Stack("usual")

    assert (usual.attention, usual.bytes_per_logit, usual.placement, usual.peak_factor) == ("flash", 8, "even", 1)
    assert {usual.dropout, usual.context_bytes, usual.group_bytes, usual.bucket_copies, usual.waiting_bytes, usual.fragments} == {0}
    assert (usual.fp8_copies, usual.fp8_inputs, usual.hybrid_sharding, usual.is_corrected) == (0, False, False, False)


def test_measured_peaks_correct_a_stack():
    """A layout whose peak was measured has its own factor, others that of the stack; numbers and arrays alike."""
    stack = Stack("mine", peak_factor=1.07, peaks=((97, 1.3), (101, 0.9)))

    assert [stack.factor_of(counted) for counted in (97, 101, 103)] == [1.3, 0.9, 1.07]
    assert stack.factor_of(np.array([103, 101, 97])).tolist() == [1.07, 0.9, 1.3]
    assert [Stack("a", peak_factor=1.07).is_corrected, Stack("b", peaks=((97, 1.3),)).is_corrected] == [True, True]


def test_a_precision_has_the_narrow_copies_of_its_stack():
    """Two of each matrix, and inputs of products in 8 bits, where the stack keeps them."""
    plain, copied = Stack("a").precision("fp8"), Stack("b", fp8_copies=2, fp8_inputs=True).precision("fp8")

    assert (plain.copy_bits, plain.input_bits) == (0, None)
    assert (copied.copy_bits, copied.input_bits) == (2 * 32 * 8, 32 * 8)  # of 32 numbers
