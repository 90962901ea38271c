"""Post-training: FLOP by definition, memory by phase with the worst named, step times against published runs."""

from __future__ import annotations

import math
import statistics

import numpy as np
import pytest
from tests.cases import CONFIGS, QWEN_235B, published_rows

from scaleplan.chain.memory import Wishes, training_setup
from scaleplan.chain.post_training import USUAL_ENGINE, RlRun, RlStep, assumptions, rl_step, trainer_of
from scaleplan.chain.serving import ServingChoices, deployment_of
from scaleplan.library import sources
from scaleplan.machine.layout import Layout
from scaleplan.machine.post_training import (
    METHODS,
    Lengths,
    Models,
    Rollout,
    RolloutEngine,
    Trainer,
    TrainingRate,
    given_phases,
    rl_phases,
    rollout_time,
    step_time,
    stored_logits_bytes,
    token_flops,
    worst,
)
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

LLAMA_8B = bill_of(read_model("llama-3.1-8b").arch)
GB = 10**9


# -------------------------------------------------------------------------------------------------------------- arithmetic


def test_flops_of_each_method_in_units_of_n():
    """By definition: 6 N to train, 2 N to read or write; GRPO without a reference and with one update is 8 N, PPO with four models 22 N."""
    full = Models(1, reference=1, reward=1, value=1, teacher=3)
    found = {method: token_flops(method, full, n_updates=4).total for method in METHODS}
    assert found == {"fine-tuning": 6, "lora": 4, "dpo": 8, "reward-model": 6, "ppo": 22, "grpo": 14, "distillation": 12}
    assert token_flops("grpo", Models(1)).total == 8
    assert token_flops("grpo", Models(1), n_updates=4).total == 10
    assert token_flops("grpo", Models(1, reference=1), n_updates=4).total == 12


@pytest.mark.parametrize("method", ["fine-tuning", "lora", "dpo", "reward-model", "distillation"])
def test_every_epoch_over_given_responses_costs_the_same(method):
    """Three epochs are three times one: all models that take part read the responses again."""
    full = Models(1, reference=1, teacher=3, adapter=1)
    one, three = (token_flops(method, full, n_epochs=n) for n in (1, 3))
    assert three == tuple(3 * part for part in one)


def test_epochs_of_a_rollout_train_again_and_write_once():
    """GRPO with three epochs: 18 N of training, and the rollout and the log-probabilities once."""
    assert token_flops("grpo", Models(1, reference=1), n_epochs=3) == (2, 4, 0, 18)


def test_lora_is_never_above_full_fine_tuning_while_its_adapter_is_small():
    """4 N + 6 N_adapter against 6 N: less while the adapter is under a third of the model."""
    assert token_flops("lora", Models(3000, adapter=999)).total < token_flops("fine-tuning", Models(3000)).total


def test_stored_logits_of_a_teacher():
    """128,000 values of 2 bytes are 256 kB a token; the 64 largest with 3-byte indices 320 bytes, with a vocabulary above 2^24 384."""
    assert stored_logits_bytes(1, 128_000) == 256_000
    assert stored_logits_bytes(1, 128_000, 64) == 320
    assert stored_logits_bytes(10**11, 2**24, 64) == 384 * 10**11


# ------------------------------------------------------------------------------------------------------------------ memory

TRAINER = Trainer(resident_bytes=40 * GB, weights_bytes=5 * GB, step_bytes=60 * GB, forward_bytes=3 * GB, reference_bytes=5 * GB)
ENGINE = RolloutEngine(weights_bytes=16 * GB, cache_bytes=40 * GB, n_layers=32)


def test_phases_are_never_summed():
    """Colocated with offload: each device has the engine, or the trainer beside a sleeping engine, never both."""
    phases = rl_phases(TRAINER, ENGINE)
    assert [phase.phase for phase in phases] == ["rollout", "log-probabilities", "training", "weight sync"]
    assert worst(phases).phase == "training"
    assert worst(phases).total_bytes == 60 * GB + 5 * GB + (512 + 8 * 32 + 8 * 256) * 2**20
    assert worst(phases).total_bytes < sum(phase.total_bytes for phase in phases)


def test_without_offload_the_trainer_stays_while_the_engine_writes():
    """40 GB of states and the awake engine: rollout is the worst phase."""
    phases = rl_phases(TRAINER, ENGINE, offload=False)
    assert worst(phases).phase == "rollout"
    assert worst(phases).total_bytes == (40 + 16 + 40) * GB + 700 * 2**20


def test_apart_the_worst_phase_is_that_of_either_kind_of_device():
    """The trainer carries no engine; the engine's device takes new weights beside the old ones."""
    phases = rl_phases(TRAINER, ENGINE, colocated=False)
    assert {phase.phase: phase.engine_bytes for phase in phases}["training"] == 0
    assert worst(phases).phase == "weight sync"
    assert worst(phases).total_bytes == 72 * GB + 700 * 2**20


def test_dpo_holds_a_reference_beside_the_trainer():
    assert [phase.phase for phase in given_phases(TRAINER)] == ["log-probabilities", "training"]
    assert worst(given_phases(TRAINER)).total_bytes == 65 * GB
    assert [phase.phase for phase in given_phases(TRAINER._replace(reference_bytes=0))] == ["training"]


def test_ppo_with_equal_models_holds_forty_bytes_a_parameter_where_grpo_holds_twenty():
    """18 bytes of states for policy and value, 2 for reference and reward: 40; GRPO with a reference: 20."""
    setup = training_setup(LLAMA_8B, Layout(), Wishes(precision="bf16-mixed-18", seq_len=1024))
    n = LLAMA_8B.n_params()
    ppo = trainer_of(setup, reference=True, value=True, reward_bytes=2 * n)
    grpo = trainer_of(setup, reference=True)
    context = setup.worst().phases[-1].other_bytes
    held = [t.resident_bytes - context + t.value_bytes + t.reference_bytes + t.reward_bytes for t in (ppo, grpo)]
    assert held == pytest.approx([40 * n, 20 * n])


# ----------------------------------------------------------------------------------------------------------------- rollout


@pytest.mark.parametrize(("mean", "most"), [(1060, 4096), (3206, 4096), (5671, 8192), (10, 4096)])
def test_lengths_have_the_mean_that_was_given(mean: float, most: float):
    """The share that is longer than r, summed over r up to the limit, is the mean."""
    lengths = Lengths(100, mean, most)
    n = 20_000
    assert lengths.running((np.arange(n) + 0.5) * most / n).sum() * most / n == pytest.approx(mean, rel=1e-3)


@pytest.mark.parametrize(("mean", "most", "cut"), [(5671, 8192, 0.455), (3206, 4096, 0.599), (1060, 4096, 0.0229), (10, 4096, 0)])
def test_share_of_responses_that_are_cut(mean: float, most: float, cut: float):
    """(1 - e^-u) / u = mean / limit, by hand: u = 0.787 for 5,671 of 8,192, 0.512 for 3,206 of 4,096, 3.776 for 1,060: e^-u are cut."""
    lengths = Lengths(100, mean, most)

    assert lengths.share_cut == pytest.approx(cut, abs=0.001)
    assert lengths.share_cut == pytest.approx(1 - mean / lengths.scale, abs=1e-9)


def asked(n_responses: int = 16, *, n_prompts: int = 128, mean: float = 1060, **more: object) -> Rollout:
    return Rollout(n_prompts, n_responses, Lengths(132, mean, 4096), **more)  # type: ignore[arg-type]


def test_rollouts_cost_what_they_must():
    """More responses are never cheaper, a cached prompt never dearer, thrown-away groups cost their share, tools add their wait."""
    on = deployment_of(LLAMA_8B, ServingChoices("h100-sxm", stack=USUAL_ENGINE))
    few, many = (rollout_time(on, asked(n), 16).total_s for n in (8, 16))
    plain, cached = (rollout_time(on, asked(prefix_caching=share), 16) for share in (False, True))
    assert few < many
    assert cached.prefill_s < plain.prefill_s and cached.decode_s == plain.decode_s
    assert rollout_time(on, asked(kept_share=0.5), 16) == rollout_time(on, asked(n_prompts=256), 16)
    assert rollout_time(on, asked(kept_share=0.25, n_prompts=64), 16) == rollout_time(on, asked(n_prompts=256), 16)
    assert rollout_time(on, asked(wait_s=60), 16).total_s == pytest.approx(rollout_time(on, asked(), 16).total_s + 60)


def test_a_rollout_takes_no_less_than_its_tokens_and_its_longest_response():
    """Few sequences: the longest response binds; many more than fit at once: the throughput."""
    on = deployment_of(LLAMA_8B, ServingChoices("h100-sxm", stack=USUAL_ENGINE))
    small, large = rollout_time(on, asked(8, n_prompts=8), 1), rollout_time(on, asked(16, n_prompts=2048), 1, 256)
    assert (small.bound, large.bound) == ("longest response", "throughput")
    assert large.decode_s >= large.throughput_s * 0.99


def test_an_asynchronous_step_takes_the_longer_of_its_halves():
    rate = TrainingRate(8, 1e15, 0.4, 50e9)
    flops = token_flops("grpo", Models(8 * GB))
    together, apart = (step_time(40.0, flops, 2e6, 8 * GB, rate, asynchronous=value) for value in (False, True))
    assert together.training_s == pytest.approx(6 * 8e9 * 2e6 / (8 * 1e15 * 0.4))
    assert together.total_s == pytest.approx(40 + together.training_s + 16e9 / 50e9)
    assert apart.total_s == pytest.approx(40 + 16e9 / 50e9)
    assert apart.rollout_share < together.rollout_share


# ---------------------------------------------------------------------------------------------------------- published runs


def bills() -> dict[str, Bill]:
    found = {name: bill_of(read_model(str(CONFIGS / f"{name}.json")).arch) for name in ("qwen3-32b", "qwen3-30b-a3b", "deepseek-v3")}
    return found | {"llama-3.1-8b": LLAMA_8B, "qwen3-235b-a22b": bill_of(arch_of_shape(QWEN_235B))}


def published() -> list[tuple[float, RlStep, dict[str, str]]]:
    """GRPO of NeMo RL 0.4 on DGX H100. Prompts of about 132 tokens; the split of asynchronous runs is not printed: half of the devices."""
    models, found = bills(), []
    for row in published_rows("post_training.csv"):
        apart = row["policy"] == "async"
        layout, n = Layout(tp=int(row["engine_tp"])), int(row["n_devices"])
        lengths = Lengths(132, float(row["mean_response"]), float(row["max_response"]))
        run = RlRun(
            "grpo",
            Rollout(int(row["n_sequences"]) // 16, 16, lengths),
            n,
            layout,
            train_batch_size_seqs=int(row["train_batch"]),
            n_rollout_devices=n // 2 if apart else None,
            asynchronous=apart,
        )
        bill = models[row["model"]]
        found.append(
            (float(row["step_s"]), rl_step(bill, deployment_of(bill, ServingChoices("h100-sxm", layout, stack=USUAL_ENGINE)), run), row)
        )
    return found


def test_published_steps_within_a_factor_of_two_and_mostly_inside_the_interval():
    """Ten runs with lengths given: every step within a factor 2; 80 % inside p10 to p90, as far as ten rows can tell."""
    ratios = [measured / step.step_s.p50 for measured, step, _ in published()]
    assert all(0.5 < ratio < 2 for ratio in ratios), ratios
    inside = [step.step_s.p10 <= measured <= step.step_s.p90 for measured, step, _ in published()]
    assert sum(inside) >= 7


def test_the_overhead_of_other_models_serves_each_model():
    """Leaving out a model, the median of the others' ratios still puts each of its runs within a factor 2."""
    overhead = assumptions()["step"]["overhead"]
    rows = [(row["model"], overhead * measured / step.step_s.p50) for measured, step, row in published()]
    for model in {name for name, _ in rows}:
        others = statistics.median(ratio for name, ratio in rows if name != model)
        assert all(abs(math.log2(ratio / others)) < 1 for name, ratio in rows if name == model)


def test_tokens_and_utilisation_of_a_whole_step():
    """Tokens a second and device within a factor 2 of what was printed; whole-step utilisation far below that of pre-training."""
    for _, step, row in published():
        assert 0.5 < step.tokens_per_s_per_device / float(row["tokens_per_s_per_device"]) < 2.2
        assert step.mfu < 0.2
    assert published()[0][1].device_hours(100).p50 == pytest.approx(100 * 16 * published()[0][1].step_s.p50 / 3600)


def test_assumptions_name_their_sources():
    known = sources()
    assert all(table["source"] in known and table["date"] for table in assumptions().values())
