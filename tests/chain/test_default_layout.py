"""The layout that is taken where only a number of devices is given."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import product

import pytest

from scaleplan.chain.default_layout import fewest_for_serving, fewest_for_training, serving_layout, training_layout
from scaleplan.chain.every_layout import most_over_layouts
from scaleplan.chain.layout_search import Asked, search_layouts
from scaleplan.chain.memory import Wishes, global_batch, stack_named, training_setup
from scaleplan.chain.memory_inverse import Question, find
from scaleplan.errors import ScaleplanError
from scaleplan.library import load
from scaleplan.machine.activations import Batch
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import Room, fits
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model_files import read_model

GIB = 2**30
LLAMA_7B = bill_of(read_model("llama-2-7b").arch)
LLAMA_70B = bill_of(read_model("llama-2-70b").arch)
WISHES = Wishes(seq_len=2048, recompute="full")
FP16 = serving_format("fp16")
SERVED = Serving(Batch(1, 4096), FP16, cache_precision(None, FP16))


def test_the_simplest_that_fits_is_taken():
    """GPT-2 fits eight devices as plain copies; Llama 2 7B on 40 GiB needs ZeRO 2, and simpler layouts say by how much they miss."""
    small = training_layout(bill_of(read_model("gpt2").arch), 8, Wishes(seq_len=1024), Room(80 * GIB))
    assert (small.layout, small.fits, small.simpler) == (Layout(dp=8), True, ())

    large = training_layout(LLAMA_7B, 8, WISHES, Room(40 * GIB))
    assert large.fits and large.layout == Layout(dp=8, zero_stage=2)
    assert [one.layout.zero_stage for one in large.simpler] == [0, 1]
    assert all(one.lacks_bytes == one.peak_bytes - 36 * GIB > 0 for one in large.simpler)


def by_hand(n_devices: int) -> Iterator[Layout]:
    """Every layout of so many devices, one at a time."""
    degrees = [n for n in range(1, n_devices + 1) if n_devices % n == 0]
    for tp, pp, cp in product(degrees, repeat=3):
        if n_devices % (tp * pp * cp) == 0:
            dp = n_devices // (tp * pp * cp)
            for zero, sp in product(range(4), (False, True)):
                yield Layout(tp=tp, pp=pp, cp=cp, dp=dp, zero_stage=zero, sequence_parallel=sp)


def peaks_by_hand(bill: Bill, n_devices: int, wishes: Wishes) -> dict[Layout, int]:
    """The peak of each that is legal."""
    found = {}
    for layout in by_hand(n_devices):
        with suppress(ScaleplanError):
            found[layout] = training_setup(bill, layout, wishes).peak_bytes()
    return found


def test_where_none_fits_the_one_that_lacks_least_is_named():
    """Llama 2 70B on two devices of 24 GiB fits nowhere; the answer is the smallest peak of all layouts, tried one by one."""
    choice = training_layout(LLAMA_70B, 2, WISHES, Room(24 * GIB))
    assert not choice.fits and choice.peak_bytes == min(peaks_by_hand(LLAMA_70B, 2, WISHES).values())


@pytest.mark.parametrize("n_devices", [4, 6])
def test_fits_is_false_only_where_no_layout_fits(n_devices: int):
    """A capacity just above the smallest peak of all layouts holds the model, one just below does not."""
    least = min(peaks_by_hand(LLAMA_7B, n_devices, WISHES).values())
    found = [training_layout(LLAMA_7B, n_devices, WISHES, Room(int(least / 0.9) + more)).fits for more in (2, -2 * 2**20)]
    assert found == [True, False]


def test_the_fastest_that_fits_is_the_first_of_the_ranking():
    """With a device whose rates are known, the layout is the recommended one of a search held to the same step."""
    wishes = Wishes(seq_len=2048, recompute="full", global_batch_size_seqs=512, micro_batch_size_seqs=2)
    device = load("hardware", "a100-sxm-80gb")
    choice = training_layout(LLAMA_7B, 16, wishes, Room(80 * GIB), 8, device.name, device.data)
    asked = Asked(LLAMA_7B, "a100-sxm-80gb", 16, 2048, 512, recompute=("full",))
    found, _ = search_layouts(asked, ["micro=2"])
    assert found.recommended is not None
    assert (choice.layout, choice.step_s) == (found.recommended.layout, pytest.approx(found.recommended.step_s))


def test_the_longest_sequence_over_layouts_is_that_of_the_best_one():
    """All layouts at once find the length that asking each of them alone finds."""
    room, wishes = Room(40 * GIB), WISHES._replace(precision="bf16-mixed-18")
    found = most_over_layouts("seq-len", LLAMA_7B, 4, wishes, room, stack_named("usual"))
    alone = [find("seq-len", Question(LLAMA_7B, wishes, room), layout).value for layout in peaks_by_hand(LLAMA_7B, 4, wishes)]
    assert found == max(value for value in alone if value is not None)


def test_a_question_that_no_layout_answers_is_refused():
    """A wrong name is refused as with a layout, not taken for a layout that is not legal."""
    with pytest.raises(ScaleplanError, match="fp13"):
        training_layout(LLAMA_7B, 8, WISHES._replace(precision="fp13"), Room(40 * GIB))


def test_the_fewest_devices_by_arrays_are_those_of_a_search_one_by_one():
    """All counts priced at once give the count that trying each count in turn gives."""
    found = fewest_for_training(LLAMA_7B, WISHES, Room(40 * GIB))
    one_by_one = next(n for n in range(1, 65) if training_layout(LLAMA_7B, n, WISHES, Room(40 * GIB)).fits)
    assert found is not None and found[0] == one_by_one and found[1].fits


def test_serving_takes_tensor_parallelism_first():
    """Two A100 of 80 GiB hold Llama 2 70B in 16 bits as tp2; one does not, so that two are the fewest."""
    assert serving_layout(LLAMA_70B, 2, SERVED, Room(80 * GIB)).layout == Layout(tp=2)
    found = fewest_for_serving(LLAMA_70B, SERVED, Room(80 * GIB))
    assert found is not None and found[0] == 2


def test_serving_beyond_a_node_adds_stages():
    """Sixteen devices in nodes of eight are tp8 on two stages."""
    assert serving_layout(LLAMA_70B, 16, SERVED, Room(80 * GIB)).layout == Layout(tp=8, pp=2)


def test_a_step_has_four_million_tokens_in_whole_micro_batches():
    """4 Mi tokens of 4,096 are 1,024 sequences; dp 3 with 4 each rounds up to 1,032; more replicas than sequences take one each."""
    wishes = Wishes(seq_len=4096, micro_batch_size_seqs=4)
    assert global_batch(Layout(dp=8), wishes) == 1024
    assert global_batch(Layout(dp=3), wishes) == 1032
    assert global_batch(Layout(dp=2048), wishes) == 8192


def test_fits_is_that_of_the_layout_when_it_is_given():
    """Asking for the layout that was chosen gives the same peak and verdict."""
    choice = training_layout(LLAMA_7B, 8, WISHES, Room(40 * GIB))
    again = training_setup(LLAMA_7B, choice.layout, WISHES, stack_named("usual")).peak_bytes()
    assert (again, fits(again, 40 * GIB)) == (choice.peak_bytes, choice.fits)


def test_step_times_rank_1f1b_alone():
    """The search prices 1F1B: under another schedule the layout is the simplest that fits, and no step time is said of it."""
    device = load("hardware", "h100-sxm").data
    ranked, simple = (
        training_layout(LLAMA_7B, 8, WISHES._replace(schedule=schedule), Room(80 * GIB), hardware="h100-sxm", device=device)
        for schedule in ("1f1b", "gpipe")
    )
    assert ranked.step_s is not None
    assert simple.step_s is None and simple.fits
