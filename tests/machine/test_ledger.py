"""A row for every candidate of a search."""

from __future__ import annotations

import numpy as np

from scaleplan.machine.candidates import LEAST_FIRST, LEGAL, Candidates
from scaleplan.machine.ledger import COLUMNS, HEADING, priced_rows
from scaleplan.machine.offload import OFFLOADS

REASONS = ["legal", "memory: mostly weights", "tp=2"]


def three(**words: object) -> Candidates:
    """Three layouts on 96 devices, no two columns alike."""
    columns = {
        "tp": [2, 4, 1], "pp": [3, 1, 2], "cp": [4, 2, 3], "dp": [4, 12, 16], "ep": [1, 8, 2], "etp": [2, 1, 1],
        "n_virtual_stages": [5, 1, 7], "micro_batch_size_seqs": [6, 9, 10], "zero_stage": [0, 3, 2], "n_shards": [0, 6, 0],
        "sequence_parallel": [True, False, False], "recompute": [LEAST_FIRST.index(name) for name in ("full", "none", "per-op")],
        "offload": [OFFLOADS.index(name) for name in ("none", "all", "optimizer")], "reason": [LEGAL, LEGAL, 1],
    }  # fmt: skip
    return Candidates(**{name: np.array(column) for name, column in columns.items()})


def test_a_row_has_a_cell_for_each_heading():
    """Degrees and choices, then seconds, rate, bytes, whether it fits, and why not."""
    assert COLUMNS == (
        "tp", "pp", "cp", "dp", "ep", "etp", "n_virtual_stages", "micro_batch_size_seqs", "zero_stage", "n_shards", "sequence_parallel",
        "recompute", "offload",
    )  # fmt: skip
    assert len(HEADING) == 18
    assert HEADING[13:] == ("step_s", "tokens_per_s_per_device", "peak_bytes", "fits", "reason")


def test_rows_are_the_figures_of_their_candidates():
    """Tokens of a step over its seconds; none where it does not fit. ZeRO divides over a group where one is named, over dp x cp else."""
    rows = list(priced_rows(three(), np.array([70, 80, 90]), np.array([2.5, 8.0, np.inf]), REASONS, tokens=1000.0))

    assert rows == [
        (2, 3, 4, 4, 1, 2, 5, 6, 0, 1, True, "full", "none", 2.5, 400.0, 70, True, ""),
        (4, 1, 2, 12, 8, 1, 1, 9, 3, 6, False, "none", "all", 8.0, 125.0, 80, True, ""),
        (1, 2, 3, 16, 2, 1, 7, 10, 2, 48, False, "per-op", "optimizer", None, None, 90, False, "memory: mostly weights"),
    ]


def test_what_was_not_counted_has_no_bytes():
    """A candidate that a condition of the user's rejected was never priced."""
    rows = list(priced_rows(three()._replace(reason=np.array([2, 2, 2])), np.zeros(3, int), np.full(3, np.inf), REASONS, 1000.0))

    assert [row[13:] for row in rows] == [(None, None, None, False, "tp=2")] * 3
