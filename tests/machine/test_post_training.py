"""Post-training by hand: FLOP, bytes of each phase, rollouts against closed forms and sums over tokens, parts of a step."""

from __future__ import annotations

from math import comb, exp

import pytest

from scaleplan.machine.activations import Batch
from scaleplan.machine.device import Device
from scaleplan.machine.layout import Layout
from scaleplan.machine.post_training import (
    Lengths,
    Method,
    Models,
    PhaseBytes,
    Rollout,
    RolloutEngine,
    RolloutTime,
    StepTime,
    TokenFlops,
    Trainer,
    TrainingRate,
    device_hours,
    emptying_s,
    given_phases,
    rl_phases,
    rollout_time,
    step_time,
    stored_logits_bytes,
    token_flops,
    worst,
)
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving
from scaleplan.machine.serving_pass import Deployment, Engine, pass_time
from scaleplan.model.bill import bill_of
from scaleplan.model.shape import arch_of_shape

# -------------------------------------------------------------------------------------------------------------- arithmetic

MODELS = Models(policy=1009, reference=211, reward=307, value=401, teacher=503, adapter=13)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("fine-tuning", (0, 0, 0, 6 * 1009 * 3)),
        ("reward-model", (0, 0, 0, 6 * 1009 * 3)),
        ("lora", (0, 0, 0, (4 * 1009 + 6 * 13) * 3)),  # hu2021: forward and input gradients of what is frozen
        ("dpo", (0, 2 * 211 * 3, 0, 6 * 1009 * 3)),
        ("distillation", (0, 2 * 503 * 3, 0, 6 * 1009 * 3)),
        ("ppo", (2 * 1009, 2 * 1009 + 2 * 211, 2 * 307 + 2 * 401, 6 * 3 * (1009 + 401))),
        ("grpo", (2 * 1009, 2 * 1009 + 2 * 211, 2 * 307, 6 * 3 * 1009)),
    ],
)
def test_flops_of_a_token_by_method(method: Method, expected: tuple[int, ...]):
    """2 N to read or write, 6 N to train, in each of 3 epochs where responses are given."""
    found = token_flops(method, MODELS, n_epochs=3, n_updates=2)

    assert found == expected
    assert found.total == sum(expected)


@pytest.mark.parametrize(("method", "epochs", "updates", "old"), [
    ("grpo", 1, 1, 0), ("grpo", 2, 1, 2018), ("grpo", 1, 2, 2018), ("ppo", 1, 1, 2018), ("ppo", 2, 2, 2018),
])  # fmt: skip
def test_grpo_on_policy_needs_no_log_probabilities_of_its_old_self(method: Method, epochs: int, updates: int, old: int):
    """shao2024: with one update of one epoch the policy is the old policy."""
    assert token_flops(method, Models(1009), n_epochs=epochs, n_updates=updates).log_probs == old


def test_one_epoch_and_one_update_if_nothing_is_said():
    assert token_flops("grpo", Models(1009)) == TokenFlops(2018, 0, 0, 6 * 1009)
    assert Models(1009) == (1009, 0, 0, 0, 0, 0)


# ------------------------------------------------------------------------------------------------------------------ memory

MIB = 1_048_576
TRAINER = Trainer(
    resident_bytes=4001, weights_bytes=503, step_bytes=7001, forward_bytes=307, value_bytes=211, reference_bytes=101, reward_bytes=53
)
ENGINE = RolloutEngine(weights_bytes=1009, cache_bytes=2003, n_layers=7, n_slots=11)
AWAKE = 1009 + 2003 + 700 * MIB
ASLEEP = (512 + 8 * 7 + 8 * 11) * MIB


def test_an_engine_leaves_graphs_and_buffers_when_it_sleeps():
    """agilerl-arena: 512 MiB and 8 a layer and a slot; the weights where they are kept; awake 700 MiB beside weights and cache."""
    assert (ENGINE.awake_bytes, ENGINE.asleep_bytes) == (AWAKE, ASLEEP)
    assert ENGINE._replace(keeps_weights_asleep=True).asleep_bytes == ASLEEP + 1009
    assert RolloutEngine(1, 1, 1).n_slots == 256  # vLLM's max_num_seqs, as it comes


@pytest.mark.parametrize(("offload", "away", "weights"), [(True, 0, 503), (False, 4001 + 211, 4001 + 211)])
@pytest.mark.parametrize(("kept", "sent"), [(False, 1009), (True, 0)])
def test_phases_of_a_shared_device(offload: bool, away: int, weights: int, kept: bool, sent: int):
    """The trainer is away while the engine writes, or stays; new weights fill the engine's, or the ones that it kept."""
    asleep = ASLEEP + (1009 if kept else 0)
    found = rl_phases(TRAINER, ENGINE._replace(keeps_weights_asleep=kept), offload=offload)

    assert found == (
        ("rollout", away, AWAKE, 0),
        ("log-probabilities", 4001 + 211 + 307, asleep, 101 + 53),
        ("training", 7001 + 211, asleep, 101 + 53),
        ("weight sync", weights, asleep + sent, 0),
    )


@pytest.mark.parametrize(("bucket", "new"), [(None, 1009), (97, 97)])
def test_phases_of_devices_of_their_own(bucket: int | None, new: int):
    """New weights come beside the old ones, all or a bucket at once; the trainer's devices have no engine."""
    assert rl_phases(TRAINER, ENGINE._replace(bucket_bytes=bucket), colocated=False) == (
        ("rollout", 0, AWAKE, 0),
        ("weight sync", 0, AWAKE, new),
        ("log-probabilities", 4001 + 211 + 307, 0, 101 + 53),
        ("training", 7001 + 211, 0, 101 + 53),
    )


def test_phases_where_responses_are_given():
    """Frozen models are read first; without one there is nothing to read."""
    assert given_phases(TRAINER) == (("log-probabilities", 4001 + 307, 0, 154), ("training", 7001, 0, 154))
    assert given_phases(TRAINER._replace(reference_bytes=0, reward_bytes=0)) == (("training", 7001, 0, 0),)


def test_the_worst_phase_has_the_largest_sum():
    phases = (PhaseBytes("a", 50, 1, 1), PhaseBytes("b", 20, 20, 20), PhaseBytes("c", 1, 57, 1))

    assert [phase.total_bytes for phase in phases] == [52, 60, 59]
    assert worst(phases).phase == "b"


# ----------------------------------------------------------------------------------------------------------------- rollout

TINY = {"n_layers": 3, "d_model": 40, "n_heads": 6, "n_kv_heads": 2, "d_head": 10, "d_ff": 84, "n_vocab": 101, "gated": True, "norm": "rms"}


def deployed(engine: Engine, rate: float = 1e30) -> Deployment:
    stored = serving_format("bf16")
    device = Device("toy", "toy", {"bf16": rate}, rate, rate, rate, n_linked=8)
    return Deployment(bill_of(arch_of_shape(TINY)), Layout(), Serving(Batch(1, 1), stored, cache_precision(None, stored)), device, engine)


SAME = deployed(Engine("same", 1, 1, 1, 1, 1, 1, 0, 0, step_s=0.01))
"""Every pass takes 10 ms."""
SLOW = deployed(Engine("slow", 0.7, 0.6, 0.5, 0.8, 0.9, 0.4, 0, 17e-6, 19e-6, 0.3), 1e9)
"""Passes grow with sequences and context."""


@pytest.mark.parametrize("mean", [37.0, 300.0, 511.0, 990.0])
def test_the_mean_of_a_cut_exponential_is_the_one_that_was_given(mean: float):
    """The integral of e^(-r / scale) up to the limit of 1000, by the trapezoid rule."""
    lengths, n = Lengths(7, mean, 1000), 20_000
    scale = lengths.scale
    inner = sum(exp(-i * 1000 / n / scale) for i in range(1, n))

    assert (0.5 + inner + 0.5 * lengths.share_cut) * 1000 / n == pytest.approx(mean, rel=1e-6)
    assert lengths.running(123) == pytest.approx(exp(-123 / scale))


def test_responses_that_nearly_all_end_at_the_limit_hardly_fall():
    """mean = max (1 - u / 2 + ...) with u = max / scale: 1 in 5,000 short of the limit is a scale of 2,500 limits."""
    assert Lengths(7, 1000 * (1 - 1 / 5000), 1000).scale == pytest.approx(2500 * 1000, rel=1e-3)


@pytest.mark.parametrize(("n_prompts", "n_responses", "kept", "n"), [(7, 3, 1.0, 21), (7, 3, 0.25, 84), (5, 8, 0.5, 80)])
def test_groups_that_are_thrown_away_are_written_too(n_prompts: int, n_responses: int, kept: float, n: int):
    assert Rollout(n_prompts, n_responses, Lengths(1, 2, 3), kept_share=kept).n_sequences == n
    assert Rollout(n_prompts, n_responses, Lengths(1, 2, 3)).n_sequences == n_prompts * n_responses


def longest_mean(scale: float, most: float, n: int) -> float:
    """Mean of the longest of n exponentials cut at `most`: (1 - e^-x)^n by the binomial theorem, integrated term by term."""
    return -sum(comb(n, k) * (-1) ** k * scale / k * (1 - exp(-k * most / scale)) for k in range(1, n + 1))


@pytest.mark.parametrize(("mean", "most"), [(300, 1000), (37, 1000), (800, 1000), (10, 4096), (200, 32_768)])
@pytest.mark.parametrize(("at_once", "n_engines"), [(1, 1), (3, 1), (1, 5), (3, 5)])
def test_an_engine_is_empty_when_its_longest_response_has_ended(mean: float, most: float, at_once: int, n_engines: int):
    """Where every pass takes 10 ms: as many passes as the longest of all responses has tokens, in the mean."""
    lengths = Lengths(7, mean, most)
    expected = 0.01 * longest_mean(lengths.scale, most, at_once * n_engines)

    assert emptying_s(SAME, lengths, at_once, n_engines) == pytest.approx(expected, rel=0.008)


@pytest.mark.parametrize(("mean", "at_once", "n_engines"), [(30.0, 1, 2), (30.0, 11, 2), (70.0, 11, 3)])
def test_an_emptying_engine_token_by_token(mean: float, at_once: int, n_engines: int):
    """97 tokens at most: at each some sequence runs by chance, and the pass has those that still run and what they have written."""
    lengths, expected = Lengths(53, mean, 97), 0.0
    scale = lengths.scale
    for token in range(97):
        left = exp(-(token + 0.5) / scale)
        running = max(1.0, at_once * left)
        expected += (1 - (1 - left) ** (at_once * n_engines)) * pass_time(SLOW, running, 1, 53 + token + 0.5).total_s

    assert emptying_s(SLOW, lengths, at_once, n_engines) == pytest.approx(expected, rel=2e-3)


ASKED = Rollout(13, 8, Lengths(53, 30.0, 97), wait_s=0.5)


def test_a_rollout_by_its_parts():
    """104 sequences on 2 engines are 52 each; 20 at once: 32 wait for a place; 6.5 prompts are read by each."""
    found = rollout_time(SLOW, ASKED, 2, 20)
    full = pass_time(SLOW, 20, 1, 53 + 15).total_s

    assert found.prefill_s == pytest.approx(pass_time(SLOW, 6.5, 53, 53).total_s)
    assert found.throughput_s == pytest.approx(52 * 30 / 20 * full)
    assert found.longest_s == pytest.approx(97 * pass_time(SLOW, 1, 1, 53 + 48.5).total_s)
    assert found.decode_s == pytest.approx(32 * 30 / 20 * full + emptying_s(SLOW, ASKED.lengths, 20, 2))
    assert (found.wait_s, found.total_s) == (0.5, found.prefill_s + found.decode_s + 0.5)


@pytest.mark.parametrize("room", [None, 52, 1000])
def test_sequences_that_all_fit_do_not_wait(room: int | None):
    found = rollout_time(SLOW, ASKED, 2, room)

    assert found.decode_s == pytest.approx(emptying_s(SLOW, ASKED.lengths, 52, 2))
    assert found.throughput_s == pytest.approx(30 * pass_time(SLOW, 52, 1, 53 + 15).total_s)


def test_prompts_are_read_once_or_for_each_response():
    """52 times without a cache of prefixes; a single prompt of an engine at least; none of no tokens."""
    apart = rollout_time(SLOW, ASKED._replace(prefix_caching=False), 2)
    few, none = (rollout_time(SLOW, asked, 2) for asked in (ASKED._replace(n_prompts=1), ASKED._replace(lengths=Lengths(0, 30.0, 97))))

    assert apart.prefill_s == pytest.approx(pass_time(SLOW, 52, 53, 53).total_s)
    assert few.prefill_s == pytest.approx(pass_time(SLOW, 1, 53, 53).total_s)
    assert none.prefill_s == 0


def test_more_engines_than_sequences_write_one_each():
    """4 sequences on 9 engines: nobody writes less than one."""
    found = rollout_time(SLOW, Rollout(1, 4, Lengths(53, 30.0, 97)), 9)

    assert found.throughput_s == pytest.approx(30 * pass_time(SLOW, 1, 1, 68).total_s)
    assert found.decode_s == pytest.approx(emptying_s(SLOW, Lengths(53, 30.0, 97), 1, 9))


@pytest.mark.parametrize(("throughput", "longest", "bound"), [(5, 4, "throughput"), (5, 5, "throughput"), (5, 6, "longest response")])
def test_what_sets_the_end_of_a_rollout(throughput: float, longest: float, bound: str):
    assert RolloutTime(1, throughput, longest, 7, 0).bound == bound


# -------------------------------------------------------------------------------------------------------------------- step


@pytest.mark.parametrize(
    ("rollout", "asynchronous", "total", "exposed"),
    [(101, False, 101 + 30 + 17, 101), (101, True, 101 + 17, 71), (23, False, 23 + 30 + 17, 23), (23, True, 30 + 17, 0)],
)
def test_a_step_is_its_parts_in_a_row_or_the_longer_half(rollout: float, asynchronous: bool, total: float, exposed: float):
    """3 + 7 + 20 s of the trainer, 17 of sending weights; what the rollout adds to these is its share."""
    step = StepTime(rollout, 3, 7, 20, 17, asynchronous)

    assert step.total_s == total
    assert step.rollout_share == pytest.approx(exposed / total)


def test_seconds_of_a_step_by_part():
    """FLOP of 1,013 tokens over 7 devices of 5e12 FLOP/s at 0.3; 2 bytes of 1,009 parameters over 11 a second."""
    step = step_time(23.0, TokenFlops(2, 3e9, 5e9, 13e9), 1013, 1009, TrainingRate(7, 5e12, 0.3, 11.0))

    assert step[1:4] == pytest.approx([1013 * flops / 10.5e12 for flops in (3e9, 5e9, 13e9)])
    assert (step.rollout_s, step.sync_s, step.asynchronous) == (23, pytest.approx(2018 / 11), False)
    assert device_hours(50.0, 72, 13) == 13


@pytest.mark.parametrize(
    ("n_vocab", "top_k", "expected"),
    [(101, None, 2 * 101), (101, 7, 5 * 7), (101, 103, 5 * 101), (2**24 - 1, 7, 5 * 7), (2**24, 7, 6 * 7), (2**25, 7, 6 * 7)],
)
def test_a_logit_takes_two_bytes_and_its_index_three_or_four(n_vocab: int, top_k: int | None, expected: int):
    assert stored_logits_bytes(3, n_vocab, top_k) == 3 * expected
