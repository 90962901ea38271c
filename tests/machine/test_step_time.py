"""Step times: against measured steps that others published, and against what must hold for any layout."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout
from scaleplan.machine.roofline import Kernels
from scaleplan.machine.step_time import Step, StepTime, step_time, utilisation
from scaleplan.machine.uncertainty import interval
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

GPT = {"n_vocab": 51200, "n_positions": 2048, "tied": True, "gated": False}


def gpt(n_layers: int, d_model: int, n_heads: int) -> Bill:
    return bill_of(arch_of_shape({**GPT, "n_layers": n_layers, "d_model": d_model, "n_heads": n_heads}))


def llama(n_layers: int = 32) -> Bill:
    words = {
        "n_layers": n_layers,
        "d_model": 4096,
        "n_heads": 32,
        "n_kv_heads": 8,
        "d_ff": 14336,
        "n_vocab": 128256,
        "gated": True,
        "norm": "rms",
    }
    return bill_of(arch_of_shape(words))


def mixture() -> Bill:
    words = {"n_layers": 32, "d_model": 4096, "n_heads": 32, "n_kv_heads": 8, "d_ff": 14336, "n_vocab": 32000, "gated": True, "norm": "rms"}
    return bill_of(arch_of_shape(words | {"n_experts": 8, "n_experts_per_token": 2, "d_ff_expert": 14336}))


def kernels(device: str = "h100-sxm", stack: str = "mcore24", precision: str = "bf16-mixed", attention: str = "flash") -> Kernels:
    found = device_named(device)
    return kernels_of(found, efficiency_of(found, stack), precision, attention)


def priced(
    bill: Bill, layout: Layout, *, on: Kernels | None = None, batch: int = 256, micro: int = 1, seq_len: int = 8192, **more
) -> StepTime:
    return step_time(bill, layout, Step(micro, seq_len, batch // (layout.dp * micro), **more), on or kernels())


# Korthikanti et al. 2022, Table 5: seconds of a step with sequence parallelism and selective recomputation, and with full recomputation.
TABLE_5 = [
    (gpt(48, 6144, 64), Layout(tp=8, sequence_parallel=True), 4, 4, "selective", 1.10),
    (gpt(96, 12288, 96), Layout(tp=8, pp=8, n_virtual_stages=3, sequence_parallel=True), 64, 1, "selective", 13.75),
    (gpt(105, 20480, 128), Layout(tp=8, pp=35, n_virtual_stages=3, sequence_parallel=True), 280, 1, "selective", 37.83),
    (gpt(128, 25600, 160), Layout(tp=8, pp=64, sequence_parallel=True), 512, 1, "selective", 71.49),
    (gpt(48, 6144, 64), Layout(tp=8), 4, 4, "full", 1.42),
    (gpt(96, 12288, 96), Layout(tp=8, pp=8, n_virtual_stages=3), 64, 1, "full", 18.13),
    (gpt(105, 20480, 128), Layout(tp=8, pp=35, n_virtual_stages=3), 280, 1, "full", 49.05),
    (gpt(128, 25600, 160), Layout(tp=8, pp=64), 512, 1, "full", 94.42),
]


def test_table_5_of_korthikanti():
    """Mean error at most 4 %, largest 8 %: tuned on every second of these rows."""
    on = kernels("a100-sxm-80gb", "megatron22", attention="eager")
    errors = []
    for bill, layout, batch, micro, recompute, measured in TABLE_5:
        step = priced(bill, layout, on=on, batch=batch, micro=micro, seq_len=2048, how=Passes(recompute)).step_s
        errors.append(abs(step / measured - 1))

    assert np.mean(errors) < 0.04
    assert max(errors) < 0.08


def test_parts_add_up_to_the_step():
    """For layouts of every kind."""
    for layout in (Layout(dp=64, zero_stage=3), Layout(tp=4, dp=16, sequence_parallel=True), Layout(tp=2, pp=8, cp=2, dp=2, zero_stage=1)):
        time = priced(llama(), layout)

        assert sum(time.parts().values()) == pytest.approx(time.step_s, rel=1e-12)
        assert all(seconds >= 0 for seconds in time.parts().values())


def test_arrays_give_what_single_layouts_give():
    """A million layouts are priced by the function that prices one."""
    layouts = [
        Layout(tp, pp, cp, 64 // (tp * pp * cp), 1, 1, zero, tp > 1)
        for tp in (1, 2, 8)
        for pp in (1, 2, 4)
        for cp in (1, 2)
        for zero in (0, 1, 3)
    ]
    columns = Layout(*(np.array(column) for column in zip(*[layout[:8] for layout in layouts], strict=True)))
    together = step_time(llama(), columns, Step(1, 8192, 256 // columns.dp), kernels()).step_s

    assert together == pytest.approx([priced(llama(), layout).step_s for layout in layouts], rel=1e-12)


def test_a_layout_that_waits_for_nobody_is_bound_by_its_flops():
    """On one device a step takes at least the time of its FLOP at the peak; MFU says how much longer."""
    bill, layout, step = llama(4), Layout(), Step(4, 4096, 4)
    time = step_time(bill, layout, step, kernels())
    used = utilisation(bill, step, layout, kernels(), time.step_s)

    n_tokens, weights = 16 * 4096, sum(layer.runs * w.elements for layer, w in bill.weights() if w.matmul)
    square = 12 * 4 * 4096 * 4096  # 12 L d s FLOP a token
    assert used.mfu == pytest.approx(n_tokens * (6 * weights + square) / time.step_s / 989.4e12, rel=1e-6)
    assert 0.3 < used.mfu < 0.75
    assert used.hfu == used.mfu


def test_full_recomputation_costs_a_third_of_the_products():
    """One more forward pass beside one forward and two backward."""
    plain, again = (priced(llama(), Layout(dp=64), how=Passes(how)).matmul_s for how in ("none", "full"))
    one, two = (priced(llama(n), Layout(dp=64)).matmul_s for n in (1, 2))
    head = 2 * one - two

    assert (again - head) / (plain - head) == pytest.approx(4 / 3, rel=1e-9)


def test_more_of_what_communicates_is_never_faster_per_device():
    """The same work over tp 8 across two nodes is slower than inside one."""
    inside = priced(llama(), Layout(tp=8, dp=8, sequence_parallel=True))
    across = priced(llama(), Layout(tp=16, dp=4, sequence_parallel=True))

    assert across.tp_s > inside.tp_s


def test_tiles_overlap_collectives_inside_a_node_only():
    """Tile-wise overlap writes into the memory of peers on the fast links; over two nodes it hides nothing."""
    for tp, hides in ((8, True), (16, False)):
        layout = Layout(tp=tp, dp=64 // tp, sequence_parallel=True)
        plain, tiled = (priced(llama(), layout, how=Passes(tile_overlap=overlap)).tp_s for overlap in (False, True))

        assert (tiled < plain) is hides


def test_nanotron_launches_slowly_under_tensor_parallelism_where_a_pipeline_spans_nodes():
    """Measured layers of 1.3 to 80B models take 21 to 29 ms with tp 8 and 14 to 20 ms with tp 4, whatever the model; not inside a node."""
    on = kernels("h100-sxm-efa", "nanotron")
    for tp, low, high in ((4, 12e-3, 20e-3), (8, 20e-3, 29e-3)):
        for n_layers, d_model in ((16, 2048), (32, 4096)):
            layout = Layout(tp=tp, pp=4, sequence_parallel=True)
            time = priced(gpt(n_layers, d_model, 32), layout, on=on, batch=64, seq_len=4096)

            assert low < time.step_s / (64 + 3) / (n_layers / 4) < high

    inside = priced(gpt(16, 2048, 32), Layout(tp=2, pp=4, sequence_parallel=True), on=on, batch=64, seq_len=4096)
    assert inside.step_s / (64 + 3) / 4 < 8e-3


def test_other_stacks_launch_the_same_inside_and_between_nodes():
    """A pipeline that spans nodes costs Megatron no host time."""
    inside, outside = (priced(llama(), Layout(tp=4, pp=2, dp=dp, sequence_parallel=True), batch=32 * dp) for dp in (1, 8))

    assert outside.launch_s == pytest.approx(inside.launch_s, rel=1e-9)


def test_dualpipe_hides_all_to_alls_behind_computation():
    """DeepSeek-V3: 14.8T tokens in 2.664M hours of H800, restarts included: 1,543 tokens/s a device (deepseek2024-v3 table 1)."""
    bill, layout = bill_of(read_model("deepseek-v3").arch), Layout(pp=16, dp=128, ep=64, zero_stage=1)
    on = kernels("h800-sxm", "deepseek24", "fp8")
    plain, dual = (step_time(bill, layout, Step(1, 4096, 120, schedule=schedule), on) for schedule in ("1f1b", "dualpipe"))

    assert dual.ep_s < plain.ep_s / 4
    assert dual.matmul_s == pytest.approx(plain.matmul_s, rel=0.1)
    assert 15360 * 4096 / dual.step_s / 2048 == pytest.approx(14.8e12 / 2.664e6 / 3600, rel=0.2)


def test_tokens_that_pile_up_on_one_expert_slow_the_step_in_proportion():
    """The busiest device's experts take F times as long; what is not of experts stays (host time hides behind slow experts)."""
    layout = Layout(tp=2, pp=2, dp=16, ep=8, zero_stage=1, sequence_parallel=True)
    one, two, three = (priced(mixture(), layout, imbalance=factor, seq_len=4096).step_s for factor in (1.0, 2.0, 3.0))

    assert three - two == pytest.approx(two - one, rel=0.03)
    assert one < two < 2 * one


def test_experts_need_not_be_divided_as_everything_else():
    """etp 1 gives each device whole experts: fewer collectives than etp 4, and the same products."""
    base = {"tp": 4, "dp": 16, "ep": 8, "sequence_parallel": True, "zero_stage": 1}
    whole, split = (priced(mixture(), Layout(**base, etp=etp), seq_len=4096) for etp in (1, 4))

    assert 0.3 < whole.step_s / split.step_s < 1
    assert priced(mixture(), Layout(**base), seq_len=4096) == split


def test_stages_with_given_layers():
    """An even list is as without; the fullest stage sets the pace."""
    layout = Layout(pp=4, dp=16, zero_stage=1)
    on = kernels(stack="mcore24")
    even, told, skewed = (
        priced(llama(), layout._replace(stage_layers=layers), on=on).step_s for layers in (None, (8, 8, 8, 8), (2, 10, 10, 10))
    )

    assert told == pytest.approx(even, rel=1e-12)
    assert skewed > even


def test_eight_bits_speed_up_products_and_nothing_else():
    """On an H100 products halve at most; attention keeps its 16 bits."""
    wide, narrow = (priced(llama(), Layout(dp=64, zero_stage=1), on=kernels(precision=p)) for p in ("bf16-mixed", "fp8"))

    assert wide.matmul_s / 2 < narrow.matmul_s < 0.7 * wide.matmul_s
    assert narrow.attention_s == wide.attention_s


def test_a_stack_that_is_not_named_has_the_wider_interval():
    """Left-out residuals are larger than those of stacks that were measured."""
    layout = Layout(tp=2, pp=2, dp=16, zero_stage=1, sequence_parallel=True)
    time = priced(llama(), layout)
    known, unknown = (interval(time, efficiency_of(device_named("h100-sxm"), stack).spreads) for stack in ("mcore24", "usual"))

    assert unknown.p10 < known.p10 < time.step_s < known.p90 < unknown.p90


def test_hybrid_sharding_reduces_each_shard_over_its_copies():
    """64 ranks that divide over 8: the gathers of 8 in a node, and an all-reduce of 2 w / 8 bytes over eight nodes, one NIC each."""
    on = kernels(stack="titan-compile")
    on = on._replace(shares=on.shares._replace(stack=on.shares.stack._replace(gather_hidden=0.0)))
    step = Step(1, 4096, 2, Passes())
    node, copied = (step_time(llama(), Layout(dp=dp, zero_stage=3, n_shards=8), step, on) for dp in (8, 64))
    weights = 32 * (4096 * (4096 + 2 * 1024) + 4096 * 4096 + 3 * 4096 * 14336 + 2 * 4096)  # of all layers, norms too
    rate = on.device.network_bytes_per_s * on.shares.hardware.network * 8**-on.shares.hardware.fabric_decay
    latency = on.shares.hardware.latency_outside_s * 8**0.75

    assert copied.dp_s - node.dp_s == pytest.approx(2 * (2 * 7 / 8 * 2 * weights / 8 / rate + latency), rel=1e-3)
    assert node.dp_s == pytest.approx(step_time(llama(), Layout(dp=8, zero_stage=3), step, on).dp_s, rel=1e-12)
