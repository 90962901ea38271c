"""Searching by names: conditions, explained layouts, schedules, deadlines."""

from __future__ import annotations

import pytest

from scaleplan.chain.device_counts import front_over
from scaleplan.chain.layout_search import (
    Asked,
    best_on,
    constraint_of,
    explain_layout,
    fewest_devices,
    run_of,
    schedule_rows,
    search_layouts,
    whole_nodes,
)
from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.laws.batch import Tradeoff
from scaleplan.machine.layout import parse_layout
from scaleplan.model.bill import bill_of
from scaleplan.model_files import read_model

DENSE = Asked(bill_of(read_model("llama-3-8b").arch), "h100-sxm", 64, 8192, 256, "mcore24")
EXPERTS = Asked(bill_of(read_model("mixtral-8x7b").arch), "h100-sxm", 64, 4096, 512, "mcore24")


def test_conditions_are_read_and_kept():
    """`tp=2` and `pp<=4` hold for every listed layout; what cannot be read names the columns."""
    found, _ = search_layouts(DENSE, ["tp=2", "pp<=4", "recompute=none"])

    assert found.ranked
    assert all(row.layout.tp == 2 and row.layout.pp <= 4 and row.recompute == "none" for row in found.ranked)
    for text in ("tp", "tq=1", "tp~2", "tp=two", "recompute<full"):
        with pytest.raises(UsageError):
            constraint_of(text)


def test_what_a_layout_loses_to_the_best():
    """Its step less the best's, whether it fits or not."""
    best = search_layouts(DENSE, top=1)[0].ranked[0]
    told = explain_layout(DENSE, parse_layout("tp2,pp8,dp4,sp,zero1"), best=best)

    assert told.lost_s == pytest.approx(told.row.step_s - best.step_s)
    assert told.standing == "estimate"
    assert not explain_layout(DENSE, parse_layout("dp64"), micro=4).row.fits


def test_an_illegal_layout_is_refused():
    """With the rule that it breaks."""
    with pytest.raises(ScaleplanError, match="attention heads"):
        explain_layout(DENSE, parse_layout("tp3,dp64"))


def test_schedules_on_eight_stages():
    """GPipe waits as long as 1F1B and holds more; two virtual stages halve the wait; zero bubble waits less than 1F1B."""
    rows = schedule_rows(DENSE, parse_layout("tp2,pp8,dp4,sp,zero1,vpp2"), ("gpipe", "1f1b", "interleaved", "zb1p", "dualpipe"))
    named = {row.pipeline_schedule: row for row in rows}

    assert named["gpipe"].bubble_s == pytest.approx(named["1f1b"].bubble_s)
    assert named["interleaved"].bubble_s == pytest.approx(named["1f1b"].bubble_s / 2)
    assert 0 < named["zb1p"].bubble_s < named["1f1b"].bubble_s
    assert named["gpipe"].peak_bytes > named["interleaved"].peak_bytes > named["1f1b"].peak_bytes
    assert {row.pipeline_schedule for row in rows if row.standing == "formula only"} == {"gpipe", "zb1p", "dualpipe"}


def test_imbalance_is_of_experts_and_at_least_one():
    """A dense model has none; below 1 is no imbalance."""
    with pytest.raises(UsageError, match="experts"):
        run_of(DENSE._replace(expert_imbalance=1.5))
    with pytest.raises(UsageError, match="at least the mean"):
        run_of(EXPERTS._replace(expert_imbalance=0.5))


def test_the_busiest_experts_slow_the_best_layout():
    """A search with an imbalance of 2 finds no faster step than without."""
    even, busy = (search_layouts(EXPERTS._replace(expert_imbalance=f), top=1)[0].ranked[0].step_s for f in (1.0, 2.0))

    assert busy > even


def test_fewest_devices_finish_in_time_and_a_node_fewer_do_not():
    """300B tokens in 30 days, whole nodes."""
    counts = whole_nodes("h100-sxm", 8, 64)
    found = fewest_devices(DENSE, counts, 300e9, 30 * 86400)

    assert found is not None and found.n_devices in counts and found.wall_s <= 30 * 86400
    fewer = best_on(DENSE, found.n_devices - 8)
    assert fewer is None or fewer.step_s * 300e9 / (256 * 8192) > 30 * 86400
    assert fewest_devices(DENSE, [8, 16], 300e12, 86400) is None
    assert whole_nodes("h100-sxm", 2, 24) == [2, 4, 8, 16, 24]


def test_the_front_over_device_counts():
    """Time falls with devices and money rises: a count is on the front unless another is no slower, no larger and no dearer."""
    found = front_over(DENSE, [8, 16, 32, 64], 300e9, usd_per_device_hour=2.0, system_w=900)

    counts = [one.point.n_devices for one in found.points]
    assert counts in ([8, 16, 32, 64], [16, 32, 64])
    for one in found.points:
        hours = one.point.wall_s / 3600 * one.point.n_devices
        assert one.usd == pytest.approx(2 * hours) and one.energy_wh == pytest.approx(900 * hours)
        beaten = any(
            other.point.wall_s < one.point.wall_s and other.point.n_devices <= one.point.n_devices and other.usd <= one.usd
            for other in found.points
        )
        assert one.on_front != beaten
    assert front_over(DENSE, [8, 16, 32], 300e9, progress=lambda done, total: True).points[-1].point.n_devices == 8


def test_the_front_with_a_critical_batch_has_the_batch_that_ends_first():
    """On each count the run at every power of two of sequences, priced alone, with E_min (1 + B / B_crit) tokens: none ends sooner."""
    curve = Tradeoff(min_tokens=100e9, min_steps=100e9 / 2**20)  # B_crit 1 Mi tokens
    found = front_over(DENSE, [8, 64], 1.0, curve=curve)
    for one in found.points:
        times = []
        for seqs in [2**k for k in range(12)]:
            tokens = 100e9 * (1 + seqs * DENSE.seq_len / 2**20)
            best = best_on(DENSE._replace(global_batch_size_seqs=seqs), one.point.n_devices)
            times += [] if best is None else [tokens / (seqs * DENSE.seq_len) * best.step_s]
        assert one.point.wall_s == pytest.approx(min(times), rel=1e-12)
        assert one.n_tokens == pytest.approx(100e9 * (1 + one.batch_seqs * DENSE.seq_len / 2**20))
    assert found.points[0].batch_seqs < found.points[1].batch_seqs
