"""What a memory question is about, put together from names and numbers: model, layout, step of training, device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Caution, Interval
from scaleplan.errors import InputError, UnknownName, UsageError
from scaleplan.machine.activations import ATTENTION_KERNELS, Batch
from scaleplan.machine.held import Formats, parameters_of, state_of
from scaleplan.machine.layout import Layout, check_layout, fixed_sizes
from scaleplan.machine.memory import Stage, Training, stages, usual_batch_seqs
from scaleplan.machine.peak_interval import PeakErrors, peak_errors, peak_interval, without_bias
from scaleplan.machine.recipe import Precision, device_lacks, optimizer_named
from scaleplan.machine.schedules import staged
from scaleplan.machine.serving_formats import Format, serving_format
from scaleplan.machine.stack import Stack, stack_of
from scaleplan.model.items import Bill
from scaleplan.model.passes import Pass, recomputation
from scaleplan.numeric import ceil_div
from scaleplan.wording import field

USUAL_STACK = "usual"
USUAL_PRECISION = "bf16-mixed"
USUAL_OPTIMIZER = "adamw"


class Wishes(NamedTuple):
    """What may be said of a step of training; None leaves it to the stack or to what is usual."""

    stack: str = USUAL_STACK
    precision: str = USUAL_PRECISION
    optimizer: str = USUAL_OPTIMIZER
    attention: str | None = None
    recompute: str = "none"
    dropout: float | None = None
    schedule: str = "1f1b"
    offload: str = "none"
    recompute_every: int = 1
    frozen_format: str | None = None
    seq_len: int = 2048
    encoder_seq_len: int | None = None
    micro_batch_size_seqs: int = 1
    global_batch_size_seqs: int | None = None


class Setup(NamedTuple):
    """A model, a layout, and a step of training on it."""

    bill: Bill
    layout: Layout
    run: Training
    global_batch_size_seqs: int

    def stages(self) -> list[Stage]:
        """The stages that can be the fullest."""
        return stages(self.bill, self.layout, self.run)

    def worst(self) -> Stage:
        """The fullest stage."""
        return max(self.stages(), key=lambda stage: stage.peak_bytes)

    def peak_bytes(self) -> int:
        """The most that any device needs."""
        return int(self.worst().peak_bytes)

    def peak_interval(self) -> Interval:
        """The same with its 80 % interval, from errors on measured peaks of the stack."""
        return peak_interval(self.peak_bytes(), self.layout, peak_errors_of(self.run.stack))


def errors_of(stack: str) -> PeakErrors:
    """How far measured peaks of a stack are from predicted ones."""
    return peak_errors(library.peak_errors(), stack)


def peak_errors_of(stack: Stack) -> PeakErrors:
    """The same of a stack; of one that measured peaks corrected those of the stack behind it, without their bias."""
    errors = errors_of(stack.base or stack.name)
    if not stack.is_corrected:
        return errors
    return without_bias(errors)._replace(measured=tuple(counted * own for counted, own in stack.peaks))


def stack_named(name: str) -> Stack:
    """A stack preset by name or path."""
    preset = library.load("stacks", name)
    return stack_of(preset.name, preset.data, tuple(preset.sources))


def training_setup(bill: Bill, layout: Layout, wishes: Wishes, stack: Stack | None = None) -> Setup:
    """Everything that `memory` prices, checked: names are known and the layout is legal."""
    stack = stack or stack_named(wishes.stack)
    micro = wishes.micro_batch_size_seqs
    layout = staged(layout, wishes.schedule)
    in_all = global_batch(layout, wishes)
    check_layout(layout, fixed_sizes(bill.arch), wishes.seq_len, micro, in_all)
    run = Training(
        batch=Batch(micro, wishes.seq_len, wishes.encoder_seq_len),
        n_micro_batches=in_all // (layout.dp * micro),
        formats=Formats(
            stack.precision(wishes.precision),
            optimizer_named(wishes.optimizer),
            None if wishes.frozen_format is None else serving_format(wishes.frozen_format),
        ),
        how=pass_of(wishes, stack),
        stack=stack,
        schedule=wishes.schedule,
        offload=wishes.offload,
        recompute_every=wishes.recompute_every,
    )
    return Setup(bill, layout, run, in_all)


def state_bytes(bill: Bill, wishes: Wishes) -> int:
    """Bytes of weights, gradients and optimizer states of one replica: what its devices hold together, however they are sharded."""
    formats = Formats(stack_named(wishes.stack).precision(wishes.precision), optimizer_named(wishes.optimizer))
    states = [state_of(parameters_of(layer, Layout(), formats).times(layer.copies), Layout(), formats) for layer in bill.layers]
    return int(sum(sum(state) for state in states))


def global_batch(layout: Layout, wishes: Wishes) -> int:
    """The global batch that was given, or 4 Mi tokens in whole micro-batches on every replica, one on each at least."""
    if wishes.global_batch_size_seqs is not None:
        return wishes.global_batch_size_seqs
    replicas = int(layout.dp) * wishes.micro_batch_size_seqs
    return replicas * int(ceil_div(usual_batch_seqs(wishes.seq_len), replicas))


def assumed_batch(batch_seqs: int) -> str:
    """Which global batch was taken where none was given, in words."""
    return f"Global batch {batch_seqs:,} sequences (4 Mi tokens, assumed); override with {field('global_batch_size_seqs')}."


def pass_of(wishes: Wishes, stack: Stack) -> Pass:
    """How the forward pass runs: what was asked for, else what the stack does."""
    attention = wishes.attention or stack.attention
    if attention not in ATTENTION_KERNELS:
        raise UnknownName("attention kernel", attention, ATTENTION_KERNELS)
    precision = stack.precision(wishes.precision)
    dropout = stack.dropout if wishes.dropout is None else wishes.dropout
    return Pass(
        keeping=stack.keeping,
        fused_attention=attention != "eager",
        autocast=precision.autocast,
        narrow=precision.compute_bytes < 4,
        dropout=dropout > 0,
        recompute=recomputation(wishes.recompute),
        one_sequence=wishes.micro_batch_size_seqs == 1,
        narrow_inputs=precision.input_bits is not None,
        narrow_gate=precision.gate_narrow,
    )


def layout_on(layout: Layout | None, n_devices: int | None) -> Layout:
    """The layout, or plain data parallelism over the devices; both must agree."""
    if layout is None:
        return Layout(dp=n_devices or 1)
    if n_devices is not None and layout.n_devices != n_devices:
        raise UsageError(
            f"the layout `{layout.spelled()}` is for {layout.n_devices:,} devices, {field('n_devices')} says {n_devices:,}",
            hint="the product of tp, pp, cp and dp is the number of devices",
        )
    return layout


def format_missing(device: Mapping[str, Any], precision: Precision) -> str | None:
    """What to warn of where a device has no arithmetic in the format of a precision; None where it has, or where its rates are unknown."""
    peaks = device.get("peak_flops_per_s", {})
    lacking = device_lacks(precision, peaks) if peaks else None
    if lacking is None:
        return None
    formats = ", ".join(name for name, rate in peaks.items() if isinstance(rate, int | float))
    return f"{device.get('name', 'the device')} has no {lacking} arithmetic: no {lacking} rate is in its preset (it has {formats})"


def format_cautions(device: Mapping[str, Any], stack: str | None, precision: str | None) -> list[Caution]:
    """The warning of a device that has no arithmetic in the format of a precision; without a stack and a precision, of the usual ones."""
    lacking = format_missing(device, stack_named(stack or USUAL_STACK).precision(precision or USUAL_PRECISION))
    return [] if lacking is None else [Caution("number-format", lacking)]


def products_missing(device: Mapping[str, Any], stored: Format) -> str | None:
    """What to warn of where a device cannot multiply in the format that served weights and activations have; None where it can."""
    peaks = device.get("peak_flops_per_s", {})
    if stored.products is None or not peaks or stored.products in peaks:
        return None
    name = device.get("name", "the device")
    return f"{name} has no {stored.products} arithmetic: {stored.name} multiplies {stored.products} with {stored.products}"


def capacity_of(device: dict[str, Any], name: str) -> int:
    """Memory of one device of a preset."""
    capacity = device.get("memory", {}).get("capacity_bytes")
    if capacity is None:
        raise InputError(f"the preset `{name}` does not say how much memory a device has", hint=f"give it: {field('capacity')} 80GiB")
    return int(capacity)
