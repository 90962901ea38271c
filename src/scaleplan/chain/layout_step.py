"""A step of training under one layout, for a plan: seconds, utilisation and memory with their intervals, and the rate of the run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Interval
from scaleplan.chain.layout_search import check_imbalance
from scaleplan.chain.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK, Wishes, peak_errors_of, training_setup
from scaleplan.chain.run_cost import Input
from scaleplan.chain.spread import Spread
from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.errors import InputError, UsageError
from scaleplan.machine.device import Device
from scaleplan.machine.efficiency import Efficiency
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE, counted_peak
from scaleplan.machine.offload import Offload
from scaleplan.machine.peak_interval import peak_interval, verdict
from scaleplan.machine.roofline import Kernels
from scaleplan.machine.schedules import Schedule
from scaleplan.machine.step_time import Step, StepTime, step_time, utilisation
from scaleplan.machine.uncertainty import interval
from scaleplan.model.items import Bill
from scaleplan.model.params import count_params
from scaleplan.numeric import ceil_div, is_number
from scaleplan.units import counted, show_bytes
from scaleplan.wording import field, fields, question

if TYPE_CHECKING:
    from scaleplan.chain.layout_search import Asked
    from scaleplan.machine.scaling import GoodputOn
    from scaleplan.machine.search import Progress

Given = Mapping[str, Any]
Number = tuple[Any, Interval | None, str]
MEMORY_FIELDS = ("precision", "optimizer", "attention", "recompute", "dropout", "offload", "recompute_every", "frozen_format")
"""Fields of a plan that memory knows by the same name."""
OF_STEPS = "training_flops / (n_steps * step_s * n_devices * peak_flops_per_s)"
"""The utilisation of a run as that of its steps."""
ONLY_MEMORY = ("recompute_every", "frozen_format")
"""Fields that change a step's seconds in a way that step time does not count."""


class StepPricing(NamedTuple):
    """What a step is priced from, so that it can be priced again with other efficiencies."""

    bill: Bill
    layout: Layout
    step: Step
    device: Device
    precision: str
    attention: str

    def time(self, shares: Efficiency) -> StepTime:
        """The step with these efficiencies."""
        return step_time(self.bill, self.layout, self.step, self.kernels(shares))

    def kernels(self, shares: Efficiency) -> Kernels:
        """What runs its products."""
        return kernels_of(self.device, shares, self.precision, self.attention)


class NoLayoutFits(InputError):
    """No layout of a model of `n_params` fits the devices, or none of so many that are all illegal."""

    def __init__(self, message: str, hint: str, n_params: int, n_illegal: int = 0) -> None:
        super().__init__(message, hint=hint)
        self.n_params, self.n_illegal = n_params, n_illegal


class LayoutStep(NamedTuple):
    """One step under a layout.

    parts                    seconds by name; they add up to the step
    exposed_s                of them, in which devices wait for the network
    global_batch_size_seqs   sequences of the step; `micro_batch_size_seqs` of what a pipeline takes at once
    counted_peak_bytes       before measured peaks corrected it
    """

    layout: Layout
    stack: str
    step_s: Interval
    mfu: float
    hfu: float
    tokens_per_s_per_device: float
    peak_bytes: Interval
    capacity_bytes: int
    usable_bytes: int
    verdict: str
    parts: Mapping[str, float]
    exposed_s: float
    global_batch_size_seqs: int
    seq_len: int
    pricing: StepPricing
    counted_peak_bytes: int
    micro_batch_size_seqs: int = 1
    recompute: str = "none"

    @property
    def layout_text(self) -> str:
        """The layout as it is typed."""
        return self.layout.spelled()

    @property
    def batch_tokens(self) -> int:
        """Tokens of a step."""
        return self.global_batch_size_seqs * self.seq_len

    def numbers(self) -> dict[str, Number]:
        """Value, interval and standing of the numbers of a plan; utilisation and rate move against the step's seconds."""
        rate = {"mfu": self.mfu, "hfu": self.hfu, "tokens_per_s_per_device": self.tokens_per_s_per_device}
        return {
            "step_s": (self.step_s.p50, self.step_s, "estimate"),
            **{key: (value, self.against(value), "estimate") for key, value in rate.items()},
            "peak_bytes": (int(self.peak_bytes.p50), self.peak_bytes, "estimate"),
            "capacity_bytes": (self.capacity_bytes, None, "published"),
            "usable_bytes": (self.usable_bytes, None, "estimate"),
        }

    def against(self, value: float) -> Interval:
        """The interval of what is in inverse proportion to the step's seconds."""
        low, middle, high = self.step_s
        return Interval(value * middle / high, value, value * middle / low)

    def run_mfu(self, training_flops: Any, n_steps: Any, peak_flops_per_s: float) -> Input:
        """The utilisation with which the FLOP of a run take the seconds of its steps: FLOP / (steps seconds devices peak)."""
        low, middle, high = self.step_s
        n_devices = self.layout.n_devices
        value = training_flops / (n_steps * middle * n_devices * peak_flops_per_s)
        spread = Spread("step_time", middle / high, middle / low)
        inputs = {"training_flops": training_flops, "n_steps": n_steps, "step_s": middle, "n_devices": n_devices}
        return Input(value, "estimate", ("layout-runs",), spread, OF_STEPS, inputs | {"peak_flops_per_s": peak_flops_per_s})

    def elsewhere_words(self) -> list[str]:
        """What to say of a stack that steps of another device corrected."""
        told = library.load("stacks", self.stack).data.get("calibration", {})
        device = self.pricing.device.name
        if told.get("hardware", device) == device:
            return []
        return [f"The stack was corrected by steps on {told['hardware']}; on {device} its efficiencies may be others."]

    def hours_words(self, goodput: Any) -> str:
        """What the hours of a run with this step follow from."""
        share = f" and a goodput of {goodput:.2g}." if is_number(goodput) else " and the goodput."
        return f"Hours follow from the step time with `{self.layout_text}`{share}"


def layout_step(given: Given, bill: Bill, layout: Layout, seq_len: int, batch_tokens: int | None) -> LayoutStep:
    """The step of a given layout.

    given         fields of a plan
    batch_tokens  of a step; None: what is usual, in whole micro-batches on every replica
    """
    stack = given.get("stack") or USUAL_STACK
    check_fields(given, layout)
    check_imbalance(bill, given.get("expert_imbalance") or 1.0)
    setup = training_setup(bill, layout, wishes_of(given, stack, seq_len, batch_tokens))
    layout = setup.layout
    device = device_named(given["hardware"])
    usable = given.get("usable_share") or USABLE_SHARE
    attention = given.get("attention") or setup.run.stack.attention
    passes = Passes(given.get("recompute") or "none")
    schedule: Schedule = given.get("pipeline_schedule") or "1f1b"
    imbalance = given.get("expert_imbalance") or 1.0
    offload: Offload = given.get("offload") or "none"
    step = Step(setup.run.batch.n_seqs, seq_len, setup.run.n_micro_batches, passes, schedule, imbalance, offload)
    pricing = StepPricing(bill, layout, step, device, given.get("precision") or USUAL_PRECISION, attention)
    shares = efficiency_of(device, stack)
    time, kernels = pricing.time(shares), pricing.kernels(shares)
    used = utilisation(bill, step, layout, kernels, time.step_s)
    held = peak_interval(setup.peak_bytes(), layout, peak_errors_of(setup.run.stack))
    tokens = setup.global_batch_size_seqs * seq_len
    return LayoutStep(
        layout=layout,
        stack=stack,
        step_s=Interval(*map(float, interval(time, shares.spreads))),
        mfu=float(used.mfu),
        hfu=float(used.hfu),
        tokens_per_s_per_device=tokens / float(time.step_s) / layout.n_devices,
        peak_bytes=Interval(*map(int, held)),
        capacity_bytes=device.capacity_bytes,
        usable_bytes=int(usable * device.capacity_bytes),
        verdict=str(verdict(held, device.capacity_bytes, usable)),
        parts={name: float(seconds) for name, seconds in time.parts().items()},
        exposed_s=float(time.exposed_s),
        global_batch_size_seqs=setup.global_batch_size_seqs,
        seq_len=seq_len,
        pricing=pricing,
        counted_peak_bytes=int(counted_peak(bill, layout, setup.run)),
        micro_batch_size_seqs=setup.run.batch.n_seqs,
        recompute=passes.recompute,
    )


SEARCHED_WITH = ("stack", "precision", "optimizer", "attention", "expert_imbalance")
"""Fields of a plan that the search for a layout knows by the same name."""


MOST_DEVICES = 4096  # that are searched where a plan leaves their number open


def search_of(given: Given, bill: Bill, n_devices: int, seq_len: int, batch_tokens: int | None) -> Asked:
    """The search of a plan's fields; a micro-batch and a recomputation that are given are kept."""
    from scaleplan.chain.layout_search import Asked
    from scaleplan.machine.candidates import LEAST_FIRST

    if given.get("pipeline_schedule") not in (None, "1f1b"):
        raise UsageError(
            f"{field('pipeline_schedule')} needs a layout: the search prices 1F1B", hint=f"give {field('layout')} with pp2 or more"
        )
    fixed = [name for name in ("stage_layers", "usable_share") if given.get(name) is not None]
    if fixed:
        words = f"{fields(*fixed)} needs a layout: the search spreads the layers and leaves a tenth of the memory free"
        raise UsageError(words, hint=f"give {field('layout')}")
    told = {name: given[name] for name in SEARCHED_WITH if given.get(name) is not None}
    batch = None if batch_tokens is None else int(ceil_div(batch_tokens, seq_len))
    recompute = LEAST_FIRST if given.get("recompute") is None else (given["recompute"],)
    micro = given.get("micro_batch_size_seqs")
    where = () if micro is None else (f"micro={micro}",)
    host: tuple[Offload, ...] = (given.get("offload") or "none",)
    return Asked(bill, given["hardware"], n_devices, seq_len, batch, recompute=recompute, where=where, offloads=host, **told)


def devices_in_time(
    given: Given, bill: Bill, seq_len: int, batch_tokens: int | None, n_tokens: float, goodput: GoodputOn, progress: Progress | None = None
) -> int:
    """The fewest devices, whole nodes, on which a run finishes by its deadline.

    Raises InputError where no count is enough, KeyboardInterrupt where `progress` ends it.
    """
    from scaleplan.chain.layout_search import fewest_devices, whole_nodes

    counts = whole_nodes(given["hardware"], 1, MOST_DEVICES)

    def priced(n: int, _: Any) -> None:
        if progress is not None and progress(counts.index(n) + 1, len(counts)):
            raise KeyboardInterrupt

    found = fewest_devices(search_of(given, bill, counts[0], seq_len, batch_tokens), counts, n_tokens, given["deadline"], priced, goodput)
    if found is None:
        raise InputError(
            f"{field('layout')} auto: no count up to {MOST_DEVICES:,} devices finishes by the {field('deadline')}",
            hint=f"give {field('n_devices')}, a later {field('deadline')}, or a larger batch",
        )
    return found.n_devices


def with_fastest(given: Given, bill: Bill, seq_len: int, batch_tokens: int | None, progress: Progress | None = None) -> Given:
    """The fields with the fastest layout that fits, its micro-batch and its recomputation, as far as they are not given.

    progress  told how much of the search is done; where it ends it, the layout is the best so far

    Raises UsageError without a number of devices, InputError where no layout fits.
    """
    from scaleplan.chain.layout_search import search_layouts

    n = given.get("n_devices")
    if n is None:
        raise UsageError(
            f"{field('layout')} auto needs {field('n_devices')}", hint=f"add {field('n_devices')} or {field('deadline')}, or give a layout"
        )
    found, _ = search_layouts(search_of(given, bill, n, seq_len, batch_tokens), top=1, progress=progress)
    best = found.recommended
    if best is None:
        least, n_params = found.closest, count_params(bill).n_params
        if least is None:
            hint = f"change {field('n_devices')} or {field('batch_size_tokens')}; `{question('layout')}` counts the reasons"
            words = f"no layout of {counted(n, 'device')} divides both the model and its batch"
            raise NoLayoutFits(words, hint, n_params, n_illegal=found.n_considered)
        near = f"the least memory is {show_bytes(int(least.peak_bytes))}, of `{least.layout.spelled()}`"
        hint = f"raise {field('n_devices')}, or recompute more"
        raise NoLayoutFits(f"no layout of {counted(n, 'device')} fits: {near}", hint, n_params)
    return {**given, "layout": best.layout, "recompute": best.recompute, "micro_batch_size_seqs": best.micro_batch_size_seqs}


def check_fields(given: Given, layout: Layout) -> None:
    """The number of devices is that of the layout, and step time knows what is asked for."""
    n = given.get("n_devices")
    if n is not None and n != layout.n_devices:
        raise UsageError(
            f"{field('layout')} `{layout.spelled()}` is for {layout.n_devices:,} devices, {field('n_devices')} is {n:,}",
            hint="the product of tp, pp, cp and dp is the number of devices",
        )
    unknown = next((name for name in ONLY_MEMORY if given.get(name) not in (None, "none", 1)), None)
    if unknown is not None:
        raise InputError(f"the step time with {field(unknown)} is not known", hint=f"leave out {field('layout')} or {field(unknown)}")


def wishes_of(given: Given, stack: str, seq_len: int, batch_tokens: int | None) -> Wishes:
    """What a plan says of a step, for memory."""
    told = {name: given[name] for name in MEMORY_FIELDS if given.get(name) is not None}
    usual = {"precision": USUAL_PRECISION, "optimizer": USUAL_OPTIMIZER}
    return Wishes(
        **(usual | told),
        stack=stack,
        schedule=given.get("pipeline_schedule") or "1f1b",
        seq_len=seq_len,
        micro_batch_size_seqs=given.get("micro_batch_size_seqs") or 1,
        global_batch_size_seqs=None if batch_tokens is None else int(ceil_div(batch_tokens, seq_len)),
    )


def base_stack(stack: str) -> str:
    """The stack that a measured step corrected, else the stack itself."""
    return str(library.load("stacks", stack).data.get("calibration", {}).get("stack", stack))
