"""Parts of the bytes of one stage, each by hand: what is gathered, waits, is copied, recomputed, corrected and kept by the host."""

from __future__ import annotations

from fractions import Fraction
from math import ceil
from typing import Any

import numpy as np
import pytest
from tests.machine.test_memory import BARE, bill, training

from scaleplan.machine.activations import outside_bytes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import (
    Phase,
    Room,
    Stage,
    Training,
    corrected,
    counted_peak,
    offloaded_bytes,
    peak_bytes,
    stages,
    usual_batch_seqs,
)
from scaleplan.machine.stack import Stack
from scaleplan.model.items import Bill

LAYERS, D, HEADS, FF, V = 7, 36, 3, 53, 97
BLOCK = 4 * D * D + 3 * D * FF + 2 * D
"""Parameters of one layer: attention, a gated feed-forward and two norms, without biases."""


def small(**words: Any) -> Bill:
    return bill(**{"n_layers": LAYERS, "d_model": D, "n_heads": HEADS, "d_ff": FF, "n_vocab": V} | words)


def stage(layout: Layout, run: Training, number: int = 0, **words: Any) -> Stage:
    return stages(small(**words), layout, run)[number]


# ------------------------------------------------------------------------------------------------------ phases and stages

WHOLE = Phase("x", 101, 53, 211, 43, 13)


def test_a_phase_is_the_sum_of_its_parts():
    """Weights, gradients, optimizer, activations and the rest."""
    assert WHOLE.total_bytes == 101 + 53 + 211 + 43 + 13


def test_the_peak_is_the_first_of_the_largest_phases():
    """Its name and its bytes."""
    parts = stage(Layout(), training()).parts
    phases = (WHOLE, WHOLE._replace(phase="most", other_bytes=17), WHOLE._replace(phase="alike", other_bytes=17))
    found = Stage("first", phases, parts)

    assert (found.peak_phase.phase, found.peak_bytes) == ("most", 101 + 53 + 211 + 43 + 17)


@pytest.mark.parametrize(("factor", "activations", "other"), [(1.25, 43, 13 + 105), (1.0, 43, 13), (0.98, 43, 5), (0.9, 43 + 13 - 42, 0)])
def test_a_correction_is_in_no_tensor_by_name_else_in_activations(factor: float, activations: int, other: int):
    """421 bytes: a quarter is 105 more, 2 % 8 fewer, 10 % 42 fewer, of which the other bytes take 13; for arrays too."""
    many = corrected(WHOLE, np.array([factor, 1.0]))

    assert corrected(WHOLE, factor) == WHOLE._replace(activations_bytes=activations, other_bytes=other)
    assert (many.activations_bytes.tolist(), many.other_bytes.tolist()) == ([activations, 43], [other, 13])


def test_measured_peaks_correct_every_phase_but_not_the_count():
    """A stack whose peaks were half as large again: its own peak, where it was measured, goes first."""
    plain = counted_peak(small(), Layout(), training())
    half = training(BARE._replace(peak_factor=1.5))
    own = training(BARE._replace(peak_factor=1.5, peaks=((float(plain), 1.25),)))

    assert peak_bytes(small(), Layout(), half) == pytest.approx(1.5 * plain, abs=1)
    assert peak_bytes(small(), Layout(), own) == pytest.approx(1.25 * plain, abs=1)
    assert (
        counted_peak(small(), Layout(), half) == counted_peak(small(), Layout(), own) == plain == peak_bytes(small(), Layout(), training())
    )


@pytest.mark.parametrize(("seq_len", "n_seqs"), [(4096, 1024), (3000, 1398), (2**22, 1), (2**22 + 1, 1), (2**22 // 2 + 1, 1)])
def test_the_usual_batch_is_four_mebitokens(seq_len: int, n_seqs: int):
    """In whole sequences, one at least."""
    assert usual_batch_seqs(seq_len) == n_seqs


def test_room_is_the_usable_share():
    """Three quarters of 1,001 bytes are 750, and a peak of 751 is too much."""
    room = Room(1001, 0.75)
    assert (room.usable_bytes, room.holds(750), room.holds(751)) == (750, True, False)
    assert Room(1000).usable_bytes == 900


# ---------------------------------------------------------------------------------------------------------------- weights


@pytest.mark.parametrize(("pp", "n_copies"), [(1, (3,)), (2, (2, 2)), (7, (1, 1))])
def test_shared_sets_of_weights_are_those_that_a_stage_needs(pp: int, n_copies: tuple[int, ...]):
    """Seven layers of three sets: four of them need 4 3/7, two whole sets."""
    model = small(n_shared_copies=3)
    found = [one.parts.held.params for one in stages(model, Layout(pp=pp), training(m=8))]
    outside = [V * D, V * D + D] if pp > 1 else [2 * V * D + D]

    assert found == [n * BLOCK + more for n, more in zip(n_copies, outside, strict=True)]


def test_both_ends_of_dualpipe_hold_each_stage():
    """Twice the weights of the first of two stages (deepseek2024-v3)."""
    assert stage(Layout(pp=2), training(m=8, schedule="dualpipe")).parts.held.params == 2 * (4 * BLOCK + V * D)


def test_the_host_has_room_for_the_stage_that_leaves_most():
    """Twelve bytes a parameter of four layers and a table, or of three layers, last norm and head; 14 of 8 ways under ZeRO 3."""
    ends = 4 * BLOCK + V * D, 3 * BLOCK + V * D + D

    assert offloaded_bytes(small(), Layout(pp=2), training(m=8, offload="optimizer")) == 12 * max(ends)
    tall = small(tied=True, n_vocab=10_007)
    assert offloaded_bytes(tall, Layout(pp=2), training(m=8, offload="optimizer")) == 12 * (4 * BLOCK + 10_007 * D)
    assert offloaded_bytes(small(), Layout(dp=8, zero_stage=3), training(offload="all")) == 14 * (7 * BLOCK + 2 * V * D + D) / 8


@pytest.mark.parametrize(("offload", "zero", "kept"), [("none", 3, 14), ("optimizer", 3, 2), ("all", 3, 0), ("all", 2, 2)])
def test_what_the_device_keeps_beside_the_host(offload: str, zero: int, kept: int):
    """Weights of two bytes, unless ZeRO 3 divides what the host keeps; gradients stay; optimizer states of twelve only without offload."""
    n = 7 * BLOCK + 2 * V * D + D
    state = stage(Layout(dp=2, zero_stage=zero), training(offload=offload)).parts.state
    shards = 2 if zero == 3 else 1

    assert state.weights_bytes + state.optimizer_bytes == kept * n / shards and state.gradients_bytes == 2 * n / 2


# --------------------------------------------------------------------------------------------- gathered, copied and queued


@pytest.mark.parametrize(("most", "live"), [(None, 2 * BLOCK), (2 * BLOCK + 1, 2 * BLOCK), (BLOCK + 101, BLOCK + 101)])
@pytest.mark.parametrize(("precision", "width"), [("bf16-mixed-16", 2), ("fp32", 4)])
def test_zero_3_gathers_two_layers_and_what_is_outside(most: int | None, live: int, precision: str, width: int):
    """Two layers, or what the stack allows, beside tables and head; their gradients as wide, and one of the two in 32 bits."""
    run = training(BARE._replace(most_gathered=most), precision=precision)
    parts = stage(Layout(dp=5, zero_stage=3), run).parts

    assert parts.gathered == width * (live + 2 * V * D + D)
    assert parts.unreduced == live // 2 * (2 * width + 4)


@pytest.mark.parametrize(
    ("layout", "sharded"), [(Layout(zero_stage=3), False), (Layout(dp=2, zero_stage=2), False), (Layout(cp=2, zero_stage=3), True)]
)
def test_nothing_is_gathered_that_is_not_divided(layout: Layout, sharded: bool):
    """One rank divides nothing, ZeRO 2 no weights; context parallel ranks divide as data parallel ones; arrays the same."""
    many = layout._replace(zero_stage=np.array([layout.zero_stage, 0]))
    parts, array = (stage(one, training()).parts for one in (layout, many))
    gathered = 2 * (2 * BLOCK + 2 * V * D + D) * sharded

    assert (parts.gathered, parts.unreduced) == (gathered, BLOCK * 8 * sharded)
    assert array.gathered.tolist() == [gathered, 0]


def test_under_a_pipeline_a_stage_is_gathered_and_trained_gradients_wait():
    """In 16 bits all four layers and the table, and 32 bits for each gradient there is: frozen layers have none."""
    model = small()
    layers = tuple(one._replace(weights=tuple(w._replace(trainable=one.place != "block") for w in one.weights)) for one in model.layers)
    parts = stages(model._replace(layers=layers), Layout(dp=2, pp=2, zero_stage=3), training(m=8))[0].parts

    assert (parts.gathered, parts.unreduced) == (2 * (4 * BLOCK + V * D), 4 * V * D)


@pytest.mark.parametrize(
    ("layout", "waits"), [(Layout(tp=2), 1), (Layout(tp=3, cp=5), 1 / 5), (Layout(), 0), (Layout(tp=3, pp=2), 0), (Layout(pp=2), 0)]
)
def test_queued_tensor_parallel_collectives_hold_whole_tensors(layout: Layout, waits: float):
    """11 bytes for each of 7 x 65 tokens and 36 of width, only where tensor parallelism runs without a pipeline; cp divides tokens."""
    parts = stage(layout, training(BARE._replace(waiting_bytes=11), m=8, b=7, s=65)).parts

    assert parts.tp_buffers == pytest.approx(11 * D * 7 * 65 * waits)
    assert parts.passing == parts.tp_buffers


@pytest.mark.parametrize(
    ("layout", "copied"), [(Layout(dp=2), True), (Layout(dp=2, zero_stage=1), True), (Layout(dp=2, zero_stage=2), False), (Layout(), False)]
)
def test_buckets_of_a_plain_wrapper_copy_the_gradients(layout: Layout, copied: bool):
    """Three copies of gradients of 4 bytes each, while no stage of ZeRO divides them and there is somebody to send them to."""
    parts = stage(layout, training(BARE._replace(bucket_copies=3), precision="bf16-mixed-18")).parts
    assert parts.buckets == 3 * 4 * (7 * BLOCK + 2 * V * D + D) * copied


@pytest.mark.parametrize(
    ("layout", "kinds"),
    [(Layout(), 0), (Layout(tp=3), 1), (Layout(pp=2), 1), (Layout(dp=2), 1), (Layout(cp=2), 1), (Layout(3, 2, 2, 2), 3)],
)
def test_what_stands_beside_the_state(layout: Layout, kinds: int):
    """A context of 1,009 bytes, 211 for each kind of group, and two copies of gradients in buckets where ranks share them."""
    stack = BARE._replace(context_bytes=1009, group_bytes=211, bucket_copies=2)
    found = stage(layout, training(stack, m=8))
    buckets = 2 * 2 * found.parts.held.params * (layout.dp > 1)

    assert found.parts.still == found.phases[-1].other_bytes == 1009 + 211 * kinds + buckets


@pytest.mark.parametrize("share", [0.0, 0.013, 0.5])
def test_fragments_are_parts_in_a_thousand(share: float):
    """Of activations and of what passes beside them, in whole bytes, on top of what stands."""
    stack = BARE._replace(fragments=share, context_bytes=1009)
    found = stage(Layout(dp=5, zero_stage=3), training(stack, b=3, s=31))
    parts, forward = found.parts, found.phases[0]
    passing = parts.layers + parts.gathered

    assert forward.activations_bytes == parts.layers
    assert forward.other_bytes == 1009 + parts.gathered + round(1000 * share) * passing // 1000


# ------------------------------------------------------------------------------------------------------------- activations


def layers_once(run: Training) -> int:
    """What the seven layers keep for one micro-batch."""
    return int(stage(Layout(), run).parts.layers)


@pytest.mark.parametrize(("every", "at_work"), [(1, 1), (2, 2), (3, 3), (7, 7), (100, 7)])
def test_groups_of_recomputed_layers(every: int, at_work: int):
    """One kept input of 36 x 2 bytes a token for each group, and all tensors of one group at work; no group has more than all layers."""
    plain, found = training(b=3, s=31), stage(Layout(), training(b=3, s=31, recompute="full", recompute_every=every)).parts

    assert found.layers == ceil(Fraction(7 * 3 * 31 * D * 2, at_work))
    assert found.recomputed == at_work * layers_once(plain) / 7
    assert stage(Layout(), plain).parts.recomputed == 0


@pytest.mark.parametrize(("pp", "held"), [(1, 7), (2, 4), (7, 1)])
def test_a_group_is_no_larger_than_its_stage(pp: int, held: int):
    """Of seven layers a stage has as many as are recomputed at once, where groups of a hundred are asked for; arrays the same."""
    run, layout = training(b=3, s=31, recompute="full", recompute_every=100, m=8), Layout(pp=pp)
    many = stage(layout._replace(pp=np.array([pp, 1])), run).parts
    one = layers_once(training(b=3, s=31)) / 7

    assert stage(layout, run).parts.recomputed == held * one
    assert many.recomputed.tolist() == [held * one, 7 * one]


def test_per_op_recomputation_has_one_layer_at_work():
    """Beside what the layers keep, all tensors of a layer, in the backward pass alone."""
    plain, found = training(b=3, s=31), stage(Layout(), training(b=3, s=31, recompute="per-op"))

    assert found.parts.recomputed == layers_once(plain) / 7
    assert found.phases[2].activations_bytes - found.phases[0].activations_bytes == layers_once(plain) / 7


@pytest.mark.parametrize(("virtual", "m", "flying"), [(1, 8, 2), (1, 1, 1), (2, 8, 2 * 1 + 2 + 1)])
def test_a_stage_holds_the_micro_batches_in_flight(virtual: int, m: int, flying: int):
    """Four of seven layers on the first of two stages; interleaved, each chunk of half a stage counts alone (narayanan2021)."""
    run = training(b=3, s=31, m=m)
    parts = stage(Layout(pp=2, n_virtual_stages=virtual), run).parts

    assert (parts.micro_batch, parts.in_flight) == (4 * layers_once(run) / 7, flying)
    assert parts.layers == 4 * layers_once(run) / 7 * flying // virtual


@pytest.mark.parametrize("layout", [Layout(), Layout(tp=3), Layout(pp=2), Layout(cp=2)])
def test_a_loss_counted_tensor_by_tensor(layout: Layout):
    """On the last stage what is kept outside the layers; two temporaries of 32 bits a logit when the backward pass starts."""
    model, run = small(), training(Stack("counted", bytes_per_logit=None), m=8, b=3, s=31)
    first, last = (stages(model, layout, run)[n].parts for n in (0, -1))
    kept, logits = outside_bytes(model, run.how, run.batch, run.precision), 3 * 31 * V // layout.cp // min(layout.tp, V)
    many = stages(model, layout._replace(pp=np.array([layout.pp, 1])), run)[0].parts

    assert (last.loss, last.loss_gradient) == (kept, kept + 2 * 4 * logits)
    assert many.loss.tolist() == [kept * (layout.pp == 1), kept]
    assert many.loss_gradient.tolist() == [(kept + 2 * 4 * logits) * (layout.pp == 1), kept + 2 * 4 * logits]
    assert (first.loss, first.loss_gradient) == (0, 0) or layout.pp == 1


@pytest.mark.parametrize("layout", [Layout(), Layout(tp=3), Layout(pp=2), Layout(cp=2)])
def test_a_loss_by_bytes_a_logit(layout: Layout):
    """13 bytes for each of 3 x 31 x 97 logits, divided by tp and cp, gone when the backward pass starts; arrays the same."""
    run = training(BARE._replace(bytes_per_logit=13), m=8, b=3, s=31)
    found = stages(small(), layout, run)[-1]
    arrays = stages(small(), layout._replace(pp=np.array([layout.pp, 1])), run)
    logits = 3 * 31 * V // (layout.tp * layout.cp)

    assert (found.parts.loss, found.parts.loss_gradient) == (13 * logits, 0)
    assert found.phases[1].activations_bytes - found.phases[0].activations_bytes == 13 * logits
    assert arrays[0].parts.loss.tolist() == [13 * logits * (layout.pp == 1), 13 * logits]
