"""Post-training: FLOP of each method, memory of a device by phase, and the time of a step with its rollout.

Reinforcement learning is two machines in turn, a trainer and a server. Their peaks are never added: the worst phase counts, each with what
the sleeping half leaves behind.
"""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from scaleplan.machine.serving_pass import Deployment, pass_time
from scaleplan.model.arch import Size
from scaleplan.numeric import exp, minimum

Method: TypeAlias = Literal["fine-tuning", "lora", "dpo", "reward-model", "ppo", "grpo", "distillation"]
METHODS: tuple[Method, ...] = get_args(Method)
BYTES = 2  # of a weight that is sent or read
MIB = 2**20

# ------------------------------------------------------------------------------------------------------------- arithmetic


class TokenFlops(NamedTuple):
    """FLOP for each token of prompt and response, by what they are for; attention and recomputation are not in them.

    rollout    writing it (none where the responses are given)
    log_probs  of the policy before the update, and of the reference
    judges     reward and value models
    training   of the policy and of what is trained beside it
    """

    rollout: Any
    log_probs: Any
    judges: Any
    training: Any

    @property
    def total(self) -> Any:
        return self.rollout + self.log_probs + self.judges + self.training


class Models(NamedTuple):
    """Active parameters of the models that take part; 0: there is none."""

    policy: Size
    reference: Size = 0
    reward: Size = 0
    value: Size = 0
    teacher: Size = 0
    adapter: Size = 0


def token_flops(method: Method, models: Models, *, n_epochs: Size = 1, n_updates: Size = 1) -> TokenFlops:
    """FLOP for each token, N the active parameters of a model.

        fine-tuning, reward model  6 N epochs
        lora                       (4 N + 6 N_adapter) epochs
        dpo                        (6 N + 2 N_reference) epochs
        distillation               (6 N + 2 N_teacher) epochs
        ppo                        2 N rollout + 2 N + 2 N_reference + 2 N_reward + 2 N_value + (6 N + 6 N_value) epochs
        grpo                       2 N rollout + 2 N + 2 N_reference + 2 N_reward + 6 N epochs

    Reference and teacher of responses that are given read them in every epoch: nothing of theirs is stored. With one update for each
    batch of rollouts and one epoch GRPO needs no log-probabilities of the old policy: they are those of the policy itself.
    Sources: kaplan2020 (6 N, 2 N); hu2021 (adapters); ouyang2022, shao2024, rafailov2023 for what each method runs.

    >>> token_flops("grpo", Models(policy=1)).total, token_flops("ppo", Models(1, reference=1, reward=1, value=1), n_updates=2).total
    (8, 22)
    """
    n = models.policy
    if method == "lora":
        return TokenFlops(0, 0, 0, (4 * n + 6 * models.adapter) * n_epochs)
    if method == "dpo":
        return TokenFlops(0, 2 * models.reference * n_epochs, 0, 6 * n * n_epochs)
    if method == "distillation":
        return TokenFlops(0, 2 * models.teacher * n_epochs, 0, 6 * n * n_epochs)
    if method in ("fine-tuning", "reward-model"):
        return TokenFlops(0, 0, 0, 6 * n * n_epochs)
    old = 0 if method == "grpo" and n_updates == 1 and n_epochs == 1 else 2 * n
    value = models.value if method == "ppo" else 0
    judges = 2 * models.reward + 2 * value
    return TokenFlops(2 * n, old + 2 * models.reference, judges, 6 * n_epochs * (n + value))


# ------------------------------------------------------------------------------------------------------------------ memory


class PhaseBytes(NamedTuple):
    """One device in one phase of a step.

    trainer_bytes  what the trainer has there: weights, gradients, optimizer states, activations
    engine_bytes   what the rollout engine has there: weights and cache, or what it leaves while it sleeps
    other_bytes    further models and buffers
    """

    phase: str
    trainer_bytes: Size
    engine_bytes: Size
    other_bytes: Size = 0

    @property
    def total_bytes(self) -> Size:
        return self.trainer_bytes + self.engine_bytes + self.other_bytes


class Trainer(NamedTuple):
    """Bytes of the policy's trainer on one device.

    resident_bytes    weights, gradients, optimizer states and context
    weights_bytes     of these, the weights
    step_bytes        peak of a training step, with what is resident
    forward_bytes     activations and logits of a forward pass without gradients
    value_bytes       resident bytes of a value model that is trained beside it
    reference_bytes   weights of a frozen reference
    reward_bytes      weights of a reward model
    """

    resident_bytes: Size
    weights_bytes: Size
    step_bytes: Size
    forward_bytes: Size
    value_bytes: Size = 0
    reference_bytes: Size = 0
    reward_bytes: Size = 0


class RolloutEngine(NamedTuple):
    """Bytes of the rollout engine on one device.

    cache_bytes  what its cache is given; an engine fills what a share of the memory leaves
    n_slots      sequences that it is set up for
    keeps_weights_asleep  a sleeping engine keeps its weights on the device
    bucket_bytes          new weights that arrive at once on devices of the engine's own; None: all of them
    """

    weights_bytes: Size
    cache_bytes: Size
    n_layers: int
    n_slots: int = 256
    keeps_weights_asleep: bool = False
    bucket_bytes: Size | None = None

    @property
    def awake_bytes(self) -> Size:
        """Weights, cache, graphs and workspace: 700 MiB beside them (agilerl-arena, measured)."""
        return self.weights_bytes + self.cache_bytes + 700 * MIB

    @property
    def asleep_bytes(self) -> Size:
        """What sleep leaves: 512 MiB, and 8 MiB a layer and a sequence slot (agilerl-arena, measured)."""
        left = (512 + 8 * self.n_layers + 8 * self.n_slots) * MIB
        return left + (self.weights_bytes if self.keeps_weights_asleep else 0)


def rl_phases(trainer: Trainer, engine: RolloutEngine, *, colocated: bool = True, offload: bool = True) -> tuple[PhaseBytes, ...]:
    """Phases of a step of PPO or GRPO, in order.

    colocated  trainer and engine share each device; else the phases are those of either kind of device
    offload    the trainer's states are in the host's memory while the engine writes
    """
    if not colocated:
        return (*engine_phases(engine), *trainer_phases(trainer, 0))
    away = 0 if offload else trainer.resident_bytes + trainer.value_bytes
    rollout = PhaseBytes("rollout", away, engine.awake_bytes)
    sync = PhaseBytes("weight sync", trainer.weights_bytes if offload else away, engine.asleep_bytes + sent(engine))
    return (rollout, *trainer_phases(trainer, engine.asleep_bytes), sync)


def sent(engine: RolloutEngine) -> Size:
    """The engine's weights while they are filled; nothing more where they were kept."""
    return 0 if engine.keeps_weights_asleep else engine.weights_bytes


def engine_phases(engine: RolloutEngine) -> tuple[PhaseBytes, ...]:
    """A device of the engine's own: writing, and taking new weights beside the old ones."""
    new = engine.weights_bytes if engine.bucket_bytes is None else engine.bucket_bytes
    return PhaseBytes("rollout", 0, engine.awake_bytes), PhaseBytes("weight sync", 0, engine.awake_bytes, new)


def trainer_phases(trainer: Trainer, asleep: Size) -> tuple[PhaseBytes, ...]:
    """Log-probabilities of policy, reference and reward model one after another, then the update."""
    resident = trainer.resident_bytes + trainer.value_bytes
    frozen = trainer.reference_bytes + trainer.reward_bytes
    return (
        PhaseBytes("log-probabilities", resident + trainer.forward_bytes, asleep, frozen),
        PhaseBytes("training", trainer.step_bytes + trainer.value_bytes, asleep, frozen),
    )


def given_phases(trainer: Trainer) -> tuple[PhaseBytes, ...]:
    """Phases where responses are given: DPO with a frozen reference, distillation with a teacher, fine-tuning with neither."""
    frozen = trainer.reference_bytes + trainer.reward_bytes
    judged = (PhaseBytes("log-probabilities", trainer.resident_bytes + trainer.forward_bytes, 0, frozen),) if frozen else ()
    return (*judged, PhaseBytes("training", trainer.step_bytes, 0, frozen))


def worst(phases: tuple[PhaseBytes, ...]) -> PhaseBytes:
    """The phase that decides whether it fits."""
    return max(phases, key=lambda phase: phase.total_bytes)


# ----------------------------------------------------------------------------------------------------------------- rollout


class Lengths(NamedTuple):
    """Tokens of prompts and responses; responses end at the longest that is allowed."""

    prompt: float
    mean_response: float
    max_response: float

    @property
    def scale(self) -> float:
        """Mean of the exponential that, cut off at the longest response, has the mean that was given.

        scale (1 - exp(-max / scale)) = mean
        """
        low, high = 0.0, 1e6 * self.max_response
        for _ in range(200):
            middle = (low + high) / 2
            cut = middle * (1 - exp(-self.max_response / middle)) if middle else 0.0
            low, high = (middle, high) if cut < self.mean_response else (low, middle)
        return high

    def running(self, token: Any) -> Any:
        """Share of responses that are longer than so many tokens."""
        return exp(-token / self.scale)

    @property
    def share_cut(self) -> float:
        """Share of responses that end at the limit."""
        return float(self.running(self.max_response))


class Rollout(NamedTuple):
    """The rollouts of one step.

    n_prompts, n_responses  prompts, and responses to each
    prefix_caching          a prompt is read once for all its responses
    kept_share              of the groups, those that are not thrown away (dynamic sampling)
    wait_s                  seconds in which tools run and the devices idle
    """

    n_prompts: int
    n_responses: int
    lengths: Lengths
    prefix_caching: bool = True
    kept_share: float = 1.0
    wait_s: float = 0.0

    @property
    def n_sequences(self) -> float:
        """Sequences that are written."""
        return self.n_prompts * self.n_responses / self.kept_share


RolloutBound: TypeAlias = Literal["throughput", "longest response"]
POINTS = 64  # at which the falling number of running sequences is followed
TAIL = 25.0  # scales after which a sequence has ended, but for a chance of e^-25


class RolloutTime(NamedTuple):
    """Seconds of writing the responses of a step.

    prefill_s     reading the prompts
    throughput_s  all tokens at the rate of a full engine
    longest_s     the longest response by itself
    decode_s      as the engine empties: never less than either
    """

    prefill_s: float
    throughput_s: float
    longest_s: float
    decode_s: float
    wait_s: float

    @property
    def total_s(self) -> float:
        return self.prefill_s + self.decode_s + self.wait_s

    @property
    def bound(self) -> RolloutBound:
        """What sets the end."""
        return "throughput" if self.throughput_s >= self.longest_s else "longest response"


def rollout_time(on: Deployment, asked: Rollout, n_engines: int, most_sequences: int | None = None) -> RolloutTime:
    """Rollouts on so many engines, sequences in equal shares.

        decode = queue / rate of a full engine + sum over tokens of the pass with the sequences that still run

    Those that do not fit at once wait for a place; then the engine empties as responses end, and the tail runs with few sequences at the
    full cost of reading the weights. most_sequences: that fit one engine's cache.
    """
    lengths, each = asked.lengths, max(1.0, asked.n_sequences / n_engines)
    at_once = min(each, most_sequences or each)
    context = lengths.prompt + lengths.mean_response / 2
    full = float(pass_time(on, at_once, 1, context).total_s)
    queued = (each - at_once) * lengths.mean_response / at_once * full
    reads = each / asked.n_responses if asked.prefix_caching else each
    prompts = float(pass_time(on, max(1.0, reads), lengths.prompt, lengths.prompt).total_s) if lengths.prompt else 0.0
    alone = float(pass_time(on, 1, 1, lengths.prompt + lengths.max_response / 2).total_s)
    return RolloutTime(
        prefill_s=prompts,
        throughput_s=each * lengths.mean_response / at_once * full,
        longest_s=lengths.max_response * alone,
        decode_s=queued + emptying_s(on, lengths, at_once, n_engines),
        wait_s=asked.wait_s,
    )


def emptying_s(on: Deployment, lengths: Lengths, at_once: float, n_engines: int) -> float:
    """Seconds until the last sequence of all engines has ended.

    sum over tokens r of P(some sequence is longer than r) x pass with at_once S(r) sequences, at least one
    P = 1 - (1 - S(r))^n, S(r) the share longer than r, n all sequences that run
    """
    step = min(lengths.max_response, TAIL * lengths.scale) / POINTS
    seconds = 0.0
    for point in range(POINTS):
        token = (point + 0.5) * step
        share = float(lengths.running(token))
        some = 1 - (1 - share) ** (at_once * n_engines)
        seconds += step * some * float(pass_time(on, max(1.0, at_once * share), 1, lengths.prompt + token).total_s)
    return seconds


# -------------------------------------------------------------------------------------------------------------------- step


class StepTime(NamedTuple):
    """Seconds of one step, by part. Asynchronous: rollouts of the next step are written while this one trains, on devices of their own."""

    rollout_s: float
    log_probs_s: float
    judges_s: float
    training_s: float
    sync_s: float
    asynchronous: bool = False

    @property
    def total_s(self) -> float:
        trained = self.log_probs_s + self.judges_s + self.training_s
        if self.asynchronous:
            return max(self.rollout_s, trained) + self.sync_s
        return self.rollout_s + trained + self.sync_s

    @property
    def rollout_share(self) -> float:
        """Share of the step in which nothing but rollout goes on."""
        exposed = max(0.0, self.total_s - self.sync_s - self.log_probs_s - self.judges_s - self.training_s)
        return exposed / self.total_s


class TrainingRate(NamedTuple):
    """What training devices get of their peak.

    n_devices, peak_flops_per_s  of the trainer
    mfu                          model FLOP of the training pass over the peak: of the pass alone, never of the step
    sync_bytes_per_s             at which new weights reach the engine
    """

    n_devices: int
    peak_flops_per_s: float
    mfu: float
    sync_bytes_per_s: float


def step_time(
    rollout_s: float, flops: TokenFlops, n_tokens: float, n_params: int, on: TrainingRate, *, asynchronous: bool = False
) -> StepTime:
    """A step over `n_tokens` of prompts and responses: FLOP over what the trainer delivers, and 2 N bytes of weights over the network."""
    rate = on.n_devices * on.peak_flops_per_s * on.mfu
    return StepTime(
        rollout_s=rollout_s,
        log_probs_s=flops.log_probs * n_tokens / rate,
        judges_s=flops.judges * n_tokens / rate,
        training_s=flops.training * n_tokens / rate,
        sync_s=BYTES * n_params / on.sync_bytes_per_s,
        asynchronous=asynchronous,
    )


def device_hours(step_s: Any, n_steps: Any, n_devices: Any) -> Any:
    """Steps times seconds times devices."""
    return n_steps * step_s * n_devices / 3600


def stored_logits_bytes(n_tokens: Any, n_vocab: Size, top_k: Size | None = None) -> Any:
    """A teacher's logits on disk: 2 bytes each for the whole vocabulary, or 2 and the index of the k largest (3 or 4 bytes).

    >>> stored_logits_bytes(1, 128_256, 64)
    320
    """
    if top_k is None:
        return n_tokens * n_vocab * BYTES
    index = 3 if n_vocab < 2**24 else 4
    return n_tokens * minimum(top_k, n_vocab) * (BYTES + index)
