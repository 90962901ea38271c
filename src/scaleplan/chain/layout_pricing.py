"""Layouts of one kind priced in one pass: what is a number elsewhere is an array here."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan.answer import Interval
from scaleplan.chain.memory import USUAL_OPTIMIZER, Wishes, pass_of, peak_errors_of, stack_named
from scaleplan.chain.step_time import device_named, efficiency_of, kernels_of
from scaleplan.errors import ScaleplanError
from scaleplan.machine.activations import Batch
from scaleplan.machine.candidates import LEAST_FIRST
from scaleplan.machine.held import Formats
from scaleplan.machine.layer_time import Passes
from scaleplan.machine.layout import Layout, fixed_sizes, rules
from scaleplan.machine.memory import USABLE_SHARE, Training, fits, peak_bytes
from scaleplan.machine.peak_interval import peak_interval
from scaleplan.machine.recipe import optimizer_named
from scaleplan.machine.roofline import Kernels
from scaleplan.machine.stack import Stack
from scaleplan.machine.step_time import Step, step_time, utilisation
from scaleplan.machine.uncertainty import interval
from scaleplan.model.arch import Arch
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

Row = Mapping[str, Any]
EXPERT_SIZES = ("n_experts", "n_experts_per_token", "d_ff_expert")
NO_ETP = 0  # in an array, of a layout whose experts are divided as everything else


class Priced(NamedTuple):
    """What is known of rows, an array a column; nothing but the `error` is known of a row that has one."""

    step_s: Any
    step_s_p10: Any
    step_s_p90: Any
    mfu: Any
    peak_bytes: Any
    peak_bytes_p10: Any
    peak_bytes_p90: Any
    fits: Any
    error: Any

    def at(self, rows: Any) -> Priced:
        """Some of the rows, by number or by a mask."""
        return Priced(*(column[rows] for column in self))

    def put(self, rows: Any, found: Priced) -> None:
        """Write what was found of some of the rows, in place."""
        for column, values in zip(self, found, strict=True):
            column[rows] = values

    def cells(self) -> dict[str, list[Any]]:
        """The columns in Python's own numbers; None where an error stands."""
        import numpy as np

        failed = np.flatnonzero(self.error != "").tolist()
        found: dict[str, list[Any]] = {name: column.tolist() for name, column in self._asdict().items()}
        for name, column in found.items():
            for row in failed if name != "error" else ():
                column[row] = None
        return found


def nothing_known(n: int) -> Priced:
    """Room for what will be found of so many rows."""
    import numpy as np

    kinds: tuple[Any, ...] = (*[float] * 4, *[np.int64] * 3, bool)
    return Priced(*[*(np.zeros(n, dtype=kind) for kind in kinds), np.full(n, "", dtype=object)])


class Group(NamedTuple):
    """Rows of one kind: one model (or shapes as arrays), one device, one stack, arrays of layouts."""

    bill: Bill
    layout: Layout
    columns: Mapping[str, Any]
    stack: Stack
    kernels: Kernels
    one: Row

    def training(self, recompute: str) -> Training:
        """A step of training on each row's layout, for memory."""
        micro = self.columns["micro_batch_size_seqs"]
        wishes = Wishes(precision=self.one["precision"], attention=self.one["attention"], recompute=recompute, micro_batch_size_seqs=micro)
        precision = self.stack.precision(self.one["precision"])
        return Training(
            batch=Batch(micro, self.columns["seq_len"]),
            n_micro_batches=self.n_micro_batches,
            formats=Formats(precision, optimizer_named(USUAL_OPTIMIZER)),
            how=pass_of(wishes, self.stack),
            stack=self.stack,
        )

    @property
    def n_micro_batches(self) -> Any:
        """Of one pipeline in a step."""
        import numpy as np

        return np.maximum(1, self.columns["global_batch_size_seqs"] // (self.layout.dp * self.columns["micro_batch_size_seqs"]))

    def step(self, recompute: str) -> Step:
        """The same step, for time."""
        how = Passes(recompute, self.columns["tp_overlap"] > 0)
        return Step(self.columns["micro_batch_size_seqs"], self.columns["seq_len"], self.n_micro_batches, how)


# ------------------------------------------------------------------------------------------------------------------ pricing


def price_group(one: Row, columns: Mapping[str, Any]) -> Priced:
    """Rows of one kind, priced in one pass; a name that is not known is the error of all of them."""
    try:
        return price_arrays(one, columns, stack_named(one["stack"]))
    except ScaleplanError as error:
        found = nothing_known(len(columns["tp"]))
        found.error[:] = error.message
        return found


def price_rows(rows: Sequence[Row], stack: Stack) -> Priced:
    """Rows of one kind that are given one by one."""
    return price_arrays(rows[0], columns_of(rows), stack)


def price_arrays(one: Row, columns: Mapping[str, Any], stack: Stack) -> Priced:
    """One formula for all rows: what is a number elsewhere is an array here.

    one  the words and flags that the rows have in common
    """
    import numpy as np

    group = group_of_columns(one, columns, stack)
    errors = errors_of(group)
    with np.errstate(divide="ignore", invalid="ignore"):  # in rows that break a rule
        return priced(group)._replace(error=errors)


def group_of(rows: Sequence[Row], stack: Stack) -> Group:
    """Rows of one kind as arrays."""
    return group_of_columns(rows[0], columns_of(rows), stack)


def group_of_columns(one: Row, columns: Mapping[str, Any], stack: Stack) -> Group:
    """Rows of one kind, and what their words name."""
    device = device_named(one["hardware"])
    kernels = kernels_of(device, efficiency_of(device, one["stack"]), one["precision"], one["attention"])
    bill = bill_of(arch_of_columns(columns, one))
    return Group(bill, layout_of_columns(columns), columns, stack, kernels, one)


def priced(group: Group) -> Priced:
    """Memory and time of all rows; an empty recomputation is the least whose memory may fit."""
    import numpy as np

    if group.one["recompute"]:
        return with_recompute(group, group.one["recompute"])
    least = np.array(least_recompute(group), dtype=object)
    found = nothing_known(len(least))
    for name in sorted(set(least.tolist())):
        rows = least == name
        found.put(rows, with_recompute(group, name).at(rows))
    return found


def least_recompute(group: Group) -> list[str]:
    """For each row, the least recomputation of which the 10 % point of the peak fits; the most where none does."""
    import numpy as np

    usable = USABLE_SHARE * group.kernels.device.capacity_bytes
    errors, n = peak_errors_of(group.stack), len(group.columns["tp"])
    found = np.full(n, LEAST_FIRST[-1], dtype=object)
    for recompute in reversed(LEAST_FIRST[:-1]):
        peaks = np.broadcast_to(peak_bytes(group.bill, group.layout, group.training(recompute)), n)
        found[peak_interval(peaks, group.layout, errors).p10 <= usable] = recompute
    return [str(name) for name in found]


def with_recompute(group: Group, recompute: str) -> Priced:
    """Memory and time of all rows with one recomputation."""
    import numpy as np

    n = len(group.columns["tp"])
    peaks = np.broadcast_to(peak_bytes(group.bill, group.layout, group.training(recompute)), n)
    found, mfu = times(group, recompute)
    verdicts = fits(peaks, group.kernels.device.capacity_bytes)
    low, _, high = peak_interval(peaks, group.layout, peak_errors_of(group.stack))
    whole_bytes = [np.asarray(column).astype(np.int64) for column in (peaks, low, high)]
    known = (found.p50, found.p10, found.p90, mfu, *whole_bytes, verdicts)
    return Priced(*[*(np.broadcast_to(column, n) for column in known), np.full(n, "", dtype=object)])


def times(group: Group, recompute: str) -> tuple[Interval, Any]:
    """Seconds of a step with their interval, and the MFU."""
    step = group.step(recompute)
    time = step_time(group.bill, group.layout, step, group.kernels)
    used = utilisation(group.bill, step, group.layout, group.kernels, time.step_s)
    return interval(time, group.kernels.shares.spreads), used.mfu


# ------------------------------------------------------------------------------------------------------------------ arrays


def columns_of(rows: Sequence[Row]) -> dict[str, Any]:
    """The numbers of the rows as arrays of whole numbers."""
    import numpy as np

    defaults = {"tp_overlap": 0, "etp": NO_ETP}
    names = [name for name, value in (defaults | dict(rows[0])).items() if isinstance(value, int)]
    return {name: np.array([row.get(name, defaults.get(name)) for row in rows], dtype=np.int64) for name in names}


def arch_of_columns(columns: Mapping[str, Any], one: Row) -> Arch:
    """The model that is named, or one of the shape in the columns: gated ones are of today (RMS norm, no biases, rotation), plain ones GPTs
    with a table of positions.
    """
    if one.get("model"):
        return read_model(one["model"]).arch
    words: dict[str, Any] = {name: columns[name] for name in ("d_model", "n_layers", "n_heads", "n_kv_heads", "d_head", "d_ff", "n_vocab")}
    words |= {"gated": one["gated"], "tied": one["tied"], "norm": "rms" if one["gated"] else "layer"}
    if not one["gated"]:
        words["n_positions"] = columns["seq_len"]
    if "n_experts" in columns:
        words |= {name: columns[name] for name in (*EXPERT_SIZES, "n_shared_experts")}
    return arch_of_shape(words)


def layout_of_columns(columns: Mapping[str, Any]) -> Layout:
    """The degrees of parallelism as arrays."""
    import numpy as np

    degrees = {name: columns[name] for name in ("tp", "pp", "cp", "dp", "ep", "n_virtual_stages", "zero_stage")}
    etp = columns["etp"]
    own = None if not etp.any() else np.where(etp == NO_ETP, columns["tp"], etp)
    return Layout(**degrees, sequence_parallel=columns["sequence_parallel"] > 0, etp=own)


def errors_of(group: Group) -> Any:
    """The first rule that each row breaks, or nothing."""
    import numpy as np

    columns, layout = group.columns, group.layout
    n, product = columns["n_devices"], layout.n_devices
    errors = np.full(len(n), "", dtype=object)
    for index in np.flatnonzero(n != product):
        errors[index] = f"tp, pp, cp and dp make {product[index]} devices, n_devices is {n[index]}"
    micro, in_all = columns["micro_batch_size_seqs"], columns["global_batch_size_seqs"]
    for rule in rules(layout, fixed_sizes(group.bill.arch), columns["seq_len"], micro, in_all):
        for index in np.flatnonzero(~np.broadcast_to(rule.holds, len(n)) & (errors == "")):
            errors[index] = rule.says(int(index))
    return errors
