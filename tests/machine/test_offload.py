"""Optimizer states and weights in the host's memory: the seconds by hand, and what the search makes of them."""

from __future__ import annotations

from collections import Counter

import pytest

import scaleplan as sp
from scaleplan.chain.layout_search import Asked, search_layouts
from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.machine.device import HostLink
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout
from scaleplan.machine.ledger import HEADING
from scaleplan.machine.offload import exchanged_s, streamed_s
from scaleplan.machine.step_time import Step, StepTime, step_time
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

BILL = bill_of(read_model("llama-2-7b").arch)
WEIGHTS = 6_738_415_616 - 32_000 * 4096 - 4096  # a device without a pipeline updates its layers and the head; the table is not counted


def timed(offload: str, layout: Layout, micro: int = 1, rounds: int = 1, seq_len: int = 4096) -> StepTime:
    device = device_named("h100-sxm")
    on = kernels_of(device, efficiency_of(device, "titan-compile"), "bf16-mixed", "flash")
    return step_time(BILL, layout, Step(micro, seq_len, rounds, Passes(), offload=offload), on)


def test_the_host_updates_what_it_keeps():
    """Eight ranks of ZeRO 1: gradients leave behind a micro-batch, 30 bytes a parameter at 76.8 GB/s, 2 bytes back at 64 GB/s."""
    time = timed("optimizer", Layout(dp=8, zero_stage=1), micro=4)
    share = WEIGHTS / 8

    assert 4 * share / 64e9 < timed("none", Layout(dp=8, zero_stage=1), micro=4).step_s  # what is sent fits behind the computation
    assert time.optimizer_s == pytest.approx(30 * share / 76.8e9 + 2 * share / 64e9, rel=1e-3)
    plain = timed("none", Layout(dp=8, zero_stage=1), micro=4)
    assert time.step_s - time.optimizer_s == pytest.approx(plain.step_s - plain.optimizer_s, rel=1e-12)


def test_experts_are_updated_by_the_ranks_that_share_them():
    """Eight experts on eight ranks are one each, of which ZeRO divides nothing: the host updates 30 bytes a parameter of a whole expert."""
    words = {"n_layers": 4, "d_model": 1024, "n_heads": 8, "n_vocab": 1000, "gated": True, "n_experts": 8, "n_experts_per_token": 2}
    device = device_named("h100-sxm")
    on = kernels_of(device, efficiency_of(device, "titan-compile"), "bf16-mixed", "flash")
    layout = Layout(dp=8, ep=8, zero_stage=1)
    small, large = (
        step_time(bill_of(arch_of_shape(words | {"d_ff_expert": wide})), layout, Step(8, 4096, 1, Passes(), offload="optimizer"), on)
        for wide in (1024, 3072)
    )
    more = 4 * 3 * 1024 * (3072 - 1024)

    assert large.optimizer_s - small.optimizer_s == pytest.approx(30 * more / 76.8e9 + 2 * more / 64e9, rel=0.01)


def test_weights_of_zero_3_come_from_the_host_behind_computation():
    """For each micro-batch 6 bytes a parameter of the shard pass the link: on two devices longer than 1,024 tokens take, not than 4,096."""
    layout = Layout(dp=2, zero_stage=3)
    kept, streamed = (timed(offload, layout, rounds=4, seq_len=1024) for offload in ("optimizer", "all"))
    moved = 3 * 2 * (WEIGHTS - 32_000 * 4096) / 2 / 64e9
    compute = (kept.matmul_s + kept.attention_s + kept.memory_s + kept.launch_s) / 4  # the head too, which hides none of it

    assert (streamed.dp_s - kept.dp_s) / 4 == pytest.approx(moved - compute, rel=0.05)
    assert timed("all", layout).dp_s == timed("optimizer", layout).dp_s
    assert streamed.optimizer_s == pytest.approx(30 * WEIGHTS / 2 / 76.8e9, rel=1e-3)  # nothing is sent for it: weights stay on the host
    assert timed("all", Layout(dp=2, zero_stage=1)).step_s == timed("optimizer", Layout(dp=2, zero_stage=1)).step_s


def test_offload_is_searched_only_when_asked():
    """Without it no candidate has it; with it each one is there a second time, its memory is smaller and its step no shorter."""
    plain = Asked(BILL, "h100-sxm", 8, 4096, 32, "titan-compile")
    found, _ = search_layouts(plain)
    more, rows = search_layouts(plain._replace(offloads=("none", "optimizer")))
    listed = [dict(zip(HEADING, row, strict=True)) for row in rows]

    assert all(row.offload == "none" for row in found.ranked)
    assert more.n_considered == 2 * found.n_considered == len(listed)
    assert more.n_fitting + sum(more.rejected.values()) == more.n_considered
    assert Counter(row["reason"] for row in listed if row["reason"]) == more.rejected
    degrees = HEADING[: HEADING.index("offload")]
    both = {tuple(row[name] for name in degrees): row for row in listed if row["offload"] == "none" and row["fits"]}
    pairs = [
        (both[tuple(row[name] for name in degrees)], row)
        for row in listed
        if row["offload"] == "optimizer" and tuple(row[name] for name in degrees) in both
    ]
    assert len(pairs) == len(both) > 100
    assert all(away["peak_bytes"] < near["peak_bytes"] and away["step_s"] > near["step_s"] for near, away in pairs)


def test_a_model_that_does_not_fit_otherwise_is_found_with_offload():
    """70B on eight H100s: 16 bytes a parameter are more than the devices have; with its states on the host a layout fits, by formula."""
    told = {"hardware": "h100-sxm", "n_devices": 8, "stack": "titan-compile", "seq_len": 4096, "global_batch_size_seqs": 64}
    none, some = sp.layout("llama-3-70b", **told).result, sp.layout("llama-3-70b", **told, offload="optimizer")

    assert none["layouts"] == []
    assert some["layouts.0.offload"] == "optimizer"
    assert any("formula" in one.message for one in some.warnings)
    forced = sp.layout("llama-3-70b", **{**told, "n_devices": 64}, offload="optimizer", where=["offload=optimizer"]).result
    assert {row["offload"] for row in forced["layouts"]} == {"optimizer"}


def test_one_offloaded_layout_stands_on_a_formula():
    """`--explain` prices it, says so, and its memory is that of `memory`."""
    told = {"hardware": "h100-sxm", "stack": "titan-compile", "seq_len": 4096, "global_batch_size_seqs": 64, "recompute": "full"}
    row = sp.layout("llama-3-70b", explain="tp8,dp2,zero3,sp", offload="all", **told).result["explained"]
    held = sp.memory("llama-3-70b", layout="tp8,dp2,zero3,sp", offload="all", **told).result

    assert row["standing"] == "formula only"
    assert row["peak_bytes"] == pytest.approx(held["peak_bytes"], rel=1e-3)


def test_a_device_without_a_known_host_is_refused():
    """The hardware file may say the rates."""
    with pytest.raises(sp.ScaleplanError, match="host") as error:
        sp.layout("llama-2-7b", hardware="l40s", n_devices=8, offload="optimizer")
    assert "host_link" in str(error.value.hint)


LINK = HostLink(bytes_per_s=5e9, memory_bytes_per_s=17e9)


@pytest.mark.parametrize(("behind_s", "seen_s"), [(0.0, 2.8), (1.1, 1.7), (2.8, 0.0), (31.0, 0.0)])
def test_gradients_leave_behind_computation_and_weights_return(behind_s: float, seen_s: float):
    """3.5e9 parameters at 5 GB/s: gradients of 4 bytes take 2.8 s, as far as nothing hides them, and new 16-bit weights 1.4 s."""
    assert exchanged_s(3.5e9, 4, LINK, behind_s) == pytest.approx(seen_s + 1.4)


@pytest.mark.parametrize(("compute_s", "seen_s"), [(0.0, 4.2), (1.3, 2.9), (4.2, 0.0), (31.0, 0.0)])
def test_weights_pass_the_link_three_times(compute_s: float, seen_s: float):
    """3.5e9 parameters of two bytes at 5 GB/s take 1.4 s: in for two passes, and their gradients out."""
    assert streamed_s(3.5e9, LINK, compute_s) == pytest.approx(seen_s, abs=1e-9)
