"""All figures of one layout of a run."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.chain.memory import Wishes, errors_of, pass_of, stack_named
from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.machine.activations import Batch
from scaleplan.machine.candidates import Candidates, How, Space
from scaleplan.machine.held import Formats
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import Training, stages
from scaleplan.machine.recipe import optimizer_named
from scaleplan.machine.step_time import Step
from scaleplan.machine.training_run import Machine, Run, explained
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape

WORDS = {"n_layers": 6, "d_model": 1024, "n_heads": 8, "n_kv_heads": 4, "d_ff": 4096, "n_vocab": 128_000, "gated": True, "norm": "rms"}


def run(batch: int = 60, seq_len: int = 1024, **words: object) -> Run:
    """A small model with a large vocabulary on 12 H100s."""
    stack, device = stack_named("mcore24"), device_named("h100-sxm")
    machine = Machine(
        kernels_of(device, efficiency_of(device, "mcore24"), "bf16-mixed", "flash"),
        stack,
        Formats(stack.precision("bf16-mixed"), optimizer_named("adamw")),
        lambda recompute: pass_of(Wishes(attention="flash", recompute=recompute), stack),
        errors_of("mcore24"),
    )
    return Run(bill_of(arch_of_shape({**WORDS, **words})), Space(12, seq_len, batch), machine)


def some(**words: object) -> Candidates:
    columns = {name: np.ones(3, dtype=np.int64) for name in Candidates._fields} | {"n_shards": np.zeros(3, dtype=np.int64)}
    return Candidates(**columns | {name: np.array(column) for name, column in words.items()})


def test_micro_batches_of_a_pipeline_are_sequences_over_those_at_a_time():
    """60 sequences: on dp 2 by 3 at a time 10, on dp 3 by 5 four, and one at least where a single round takes more."""
    candidates = some(dp=[2, 3, 12], micro_batch_size_seqs=[3, 5, 7])

    assert run().n_micro_batches(candidates).tolist() == [10, 4, 1]
    assert run().step(candidates, How()).n_micro_batches.tolist() == [10, 4, 1]
    assert run().training(candidates, How()).n_micro_batches.tolist() == [10, 4, 1]


@pytest.mark.parametrize(("layout", "micro", "rounds"), [(Layout(tp=2, pp=3, dp=2), 3, 10), (Layout(cp=2, dp=6), 5, 2)])
def test_tokens_a_second_are_those_of_the_global_batch_over_step_and_devices(layout: Layout, micro: int, rounds: int):
    """60 sequences of 1,024 tokens each step, on 12 devices: the layout's dp x rounds x micro-batch is the batch."""
    row = explained(run(), layout, Step(micro, 1024, rounds, Passes("none")))

    assert row.tokens_per_s_per_device == pytest.approx(60 * 1024 / row.step_s / 12, rel=1e-12)
    assert row.step_s_p10 < row.step_s < row.step_s_p90
    assert row.mfu == row.hfu < 1


@pytest.mark.parametrize(("layers", "fullest"), [((4, 1, 1), 0), ((1, 1, 4), 2)])
def test_the_peak_is_that_of_the_fullest_stage(layers: tuple[int, ...], fullest: int):
    """Four of six layers on the first or on the last stage."""
    asked, layout, step = run(), Layout(tp=2, pp=3, dp=2, stage_layers=layers), Step(1, 1024, 30, Passes("none"))
    training = Training(Batch(1, 1024), 30, asked.machine.formats, asked.machine.passes("none"), asked.machine.stack)
    peaks = [int(stage.peak_bytes) for stage in stages(asked.bill, layout, training)]

    assert peaks.index(max(peaks)) == fullest and min(peaks) < max(peaks)
    assert explained(asked, layout, step).peak_bytes == max(peaks)


def test_experts_are_as_busy_as_each_other_where_nothing_else_is_said():
    """Tokens of the busiest experts over the mean: 1, and what was given elsewhere."""
    candidates = some(dp=[12, 12, 6], tp=[1, 1, 2])

    assert run().step(candidates, How()).imbalance == 1.0
    assert run()._replace(imbalance=1.7).step(candidates, How()).imbalance == 1.7
