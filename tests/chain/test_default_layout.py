"""The layout that is taken where only a number of devices is given."""

from __future__ import annotations

import pytest

from scaleplan.chain.default_layout import fewest_for_serving, fewest_for_training, serving_layout, training_candidates, training_layout
from scaleplan.chain.memory import Wishes, global_batch, stack_named, training_setup
from scaleplan.errors import ScaleplanError
from scaleplan.machine.activations import Batch
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import fits
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving
from scaleplan.model.bill import bill_of
from scaleplan.model_files import read_model

GIB = 2**30
LLAMA_7B = bill_of(read_model("llama-2-7b").arch)
LLAMA_70B = bill_of(read_model("llama-2-70b").arch)
WISHES = Wishes(seq_len=2048, recompute="full")
FP16 = serving_format("fp16")
SERVED = Serving(Batch(1, 4096), FP16, cache_precision(None, FP16))


def test_the_simplest_that_fits_is_taken():
    """GPT-2 fits eight devices as plain copies; Llama 2 7B on 40 GiB needs ZeRO 2, and simpler layouts say by how much they miss."""
    small = training_layout(bill_of(read_model("gpt2").arch), 8, Wishes(seq_len=1024), 80 * GIB)
    assert (small.layout, small.fits, small.simpler) == (Layout(dp=8), True, ())

    large = training_layout(LLAMA_7B, 8, WISHES, 40 * GIB)
    assert large.fits and large.layout == Layout(dp=8, zero_stage=2)
    assert [one.layout.zero_stage for one in large.simpler] == [0, 1]
    assert all(one.lacks_bytes == one.peak_bytes - 36 * GIB > 0 for one in large.simpler)


def test_where_none_fits_the_one_that_lacks_least_is_named():
    """Llama 2 70B on two devices of 24 GiB fits nowhere; the answer is the smallest peak of all candidates."""
    choice = training_layout(LLAMA_70B, 2, WISHES, 24 * GIB)
    peaks = [training_setup(LLAMA_70B, layout, WISHES).peak_bytes() for layout in training_candidates(2)]
    assert not choice.fits and choice.peak_bytes == min(peaks)


def test_a_question_that_no_layout_answers_is_refused():
    """A wrong name is refused as with a layout, not taken for a layout that is not legal."""
    with pytest.raises(ScaleplanError, match="fp13"):
        training_layout(LLAMA_7B, 8, WISHES._replace(precision="fp13"), 40 * GIB)


def test_the_fewest_devices_by_arrays_are_those_of_a_search_one_by_one():
    """All counts priced at once give the count that trying each count in turn gives."""
    found = fewest_for_training(LLAMA_7B, WISHES, 40 * GIB)
    one_by_one = next(n for n in range(1, 65) if training_layout(LLAMA_7B, n, WISHES, 40 * GIB).fits)
    assert found is not None and found[0] == one_by_one and found[1].fits


def test_serving_takes_tensor_parallelism_first():
    """Two A100 of 80 GiB hold Llama 2 70B in 16 bits as tp2; one does not, so that two are the fewest."""
    assert serving_layout(LLAMA_70B, 2, SERVED, 80 * GIB).layout == Layout(tp=2)
    found = fewest_for_serving(LLAMA_70B, SERVED, 80 * GIB)
    assert found is not None and found[0] == 2


def test_serving_beyond_a_node_adds_stages():
    """Sixteen devices in nodes of eight are tp8 on two stages."""
    assert serving_layout(LLAMA_70B, 16, SERVED, 80 * GIB).layout == Layout(tp=8, pp=2)


def test_a_step_has_four_million_tokens_in_whole_micro_batches():
    """4M tokens of 4,096 are 977 sequences; dp 8 with 4 each rounds up to 992; more replicas than sequences take one each."""
    wishes = Wishes(seq_len=4096, micro_batch_size_seqs=4)
    assert global_batch(Layout(dp=8), wishes) == 992
    assert global_batch(Layout(dp=2048), wishes) == 8192


def test_fits_is_that_of_the_layout_when_it_is_given():
    """Asking for the layout that was chosen gives the same peak and verdict."""
    choice = training_layout(LLAMA_7B, 8, WISHES, 40 * GIB)
    again = training_setup(LLAMA_7B, choice.layout, WISHES, stack_named("usual")).peak_bytes()
    assert (again, fits(again, 40 * GIB)) == (choice.peak_bytes, choice.fits)
