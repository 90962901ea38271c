"""What both shapes of `rl` share: the trainer, the price, and the views of memory, FLOP and money."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Caution, Column, Line, Table, line
from scaleplan.chain.memory import USUAL_OPTIMIZER, USUAL_PRECISION, USUAL_STACK, Setup, Wishes, training_setup
from scaleplan.chain.post_training import assumptions
from scaleplan.chain.spread import Factors, Spread, factors, interval_of, times
from scaleplan.errors import UsageError
from scaleplan.footprint.price import run_usd
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import USABLE_SHARE, Room
from scaleplan.machine.post_training import PhaseBytes, TokenFlops, worst
from scaleplan.model.items import Bill
from scaleplan.questions.asking import plain
from scaleplan.questions.priced import Price
from scaleplan.units import show_bytes
from scaleplan.wording import field

MEMORY_SOURCES = ("rajbhandari2020", "agilerl-arena")
METHOD_SOURCES = {"grpo": ("shao2024",), "ppo": ("ouyang2022",), "dpo": ("rafailov2023",), "lora": ("hu2021",)}


def trainer_setup(asked: Any, bill: Bill, n_devices: int, seq_len: int, batch: int | None, usual_micro: int = 1) -> Setup:
    """A step of the trainer; without a layout all of its states are divided over its devices."""
    layout = asked.layout or Layout(dp=n_devices, zero_stage=3)
    if layout.n_devices != n_devices:
        problem = f"the layout `{layout.spelled()}` is for {layout.n_devices:,} devices, {n_devices:,} train"
        raise UsageError(problem, hint=f"the product of tp, pp, cp and dp of {field('layout')} is the number of devices that train")
    wishes = Wishes(
        stack=asked.stack or USUAL_STACK,
        precision=asked.precision or USUAL_PRECISION,
        optimizer=asked.optimizer or USUAL_OPTIMIZER,
        recompute=asked.recompute or "none",
        seq_len=seq_len,
        micro_batch_size_seqs=asked.micro_batch_size_seqs or usual_micro,
        global_batch_size_seqs=batch,
    )
    return training_setup(bill, layout, wishes)


def layout_notes(asked: Any, setup: Setup) -> list[str]:
    """Which layout was taken where none was given."""
    if asked.layout is not None:
        return []
    return [f"No {field('layout')}: {setup.layout.spelled()}, all states of the trainer divided over its devices."]


def beside(setup: Setup, n_params: Any) -> int:
    """Bytes on a device of a further model's 16-bit weights, divided as those of the policy."""
    return round(int(setup.worst().phases[-1].weights_bytes) * float(n_params) / float(setup.bill.n_params()))


def room_of(asked: Any, capacity_bytes: int) -> Room:
    """The device's memory, and what may be used of it."""
    return Room(capacity_bytes, USABLE_SHARE if asked.usable_share is None else asked.usable_share)


# -------------------------------------------------------------------------------------------------------------------- memory


def memory_result(phases: tuple[PhaseBytes, ...], room: Room) -> dict[str, Any]:
    """Each phase, and the fullest of them."""
    fullest = worst(phases)
    rows = [{**{name: show(value) for name, value in one._asdict().items()}, "total_bytes": int(one.total_bytes)} for one in phases]
    return {
        "phases": rows,
        "peak_bytes": int(fullest.total_bytes),
        "peak_phase": fullest.phase,
        "capacity_bytes": room.capacity_bytes,
        "fits": bool(room.holds(fullest.total_bytes)),
    }


def show(value: Any) -> Any:
    """A name as it is, bytes as a whole number."""
    return value if isinstance(value, str) else int(value)


def memory_lines(result: dict[str, Any]) -> list[Line]:
    """Each phase as a sum of who holds it, and the peak as the largest of them."""
    said: dict[str, Any] = {"standing": "estimate", "sources": MEMORY_SOURCES}
    found, totals = [], {}
    for number, row in enumerate(result["phases"]):
        parts = {name: row[name] for name in ("trainer_bytes", "engine_bytes", "other_bytes")}
        totals[f"phase_{number}_bytes"] = row["total_bytes"]
        label = f"memory, {row['phase']}"
        found.append(line(f"phases.{number}.total_bytes", label, row["total_bytes"], "bytes", " + ".join(parts), **said, **parts))
    formula = f"max({', '.join(totals)})" if len(totals) > 1 else next(iter(totals))
    return [*found, line("peak_bytes", "peak memory of a device", result["peak_bytes"], "bytes", formula, **said, **totals)]


def memory_table(result: dict[str, Any]) -> Table:
    """Who holds what in which phase."""
    names = {"trainer_bytes": "trainer", "engine_bytes": "rollout engine", "other_bytes": "other models", "total_bytes": "total"}
    columns = [Column("phase", "phase"), *(Column(key, name, "bytes") for key, name in names.items())]
    return Table("One device, by phase", columns, result["phases"])


def memory_note(result: dict[str, Any], room: Room) -> str:
    """The fullest phase in a sentence."""
    verdict = "Fits" if result["fits"] else "Does not fit"
    usable = f"{show_bytes(room.usable_bytes)} usable ({room.usable_share:.0%} of {show_bytes(room.capacity_bytes)})"
    return f"{verdict}: peak memory {show_bytes(result['peak_bytes'])} per device, in the phase {result['peak_phase']}, of {usable}."


def memory_cautions(result: dict[str, Any], room: Room) -> list[Caution]:
    """The phase that does not fit."""
    if result["fits"]:
        return []
    need = f"{show_bytes(result['peak_bytes'])} of {show_bytes(room.usable_bytes)} usable on each device"
    return [Caution("memory", f"the phase {result['peak_phase']} does not fit: {need}", {"peak_bytes": result["peak_bytes"]})]


# --------------------------------------------------------------------------------------------------------------------- FLOP


def flops_result(flops: TokenFlops) -> dict[str, Any]:
    """FLOP of a token by purpose, and in all."""
    return {**{name: float(value) for name, value in flops._asdict().items()}, "total": float(flops.total)}


def flops_lines(flops: TokenFlops, method: str) -> list[Line]:
    """FLOP of a token by purpose."""
    cited = ("kaplan2020", *METHOD_SOURCES.get(method, ()))
    parts: dict[str, Any] = {name: float(value) for name, value in flops._asdict().items()}
    said: dict[str, Any] = {"sources": cited}
    names = {name: f"FLOP a token, {name.replace('_', ' ')}" for name in parts}
    found = [line(f"flops_per_token.{name}", names[name], n, "FLOP", **said) for name, n in parts.items()]
    return [*found, line("flops_per_token.total", "FLOP a token, total", float(flops.total), "FLOP", " + ".join(parts), **parts)]


# -------------------------------------------------------------------------------------------------------------------- money


def time_factors() -> Factors:
    """Measured steps of reinforcement learning over predicted ones."""
    usual = assumptions()["step"]
    return factors(Spread("step_time", usual["factor_p10"], usual["factor_p90"]))


def usd_lines(key: str, label: str, hours: Line, price: Price, slower: Factors | None) -> list[Line]:
    """Dollars of device-hours; none where no price is known."""
    if price.usd is None:
        return []
    value = run_usd(hours.value, price.usd.value)
    drawn = None if price.usd.spread is None else factors(price.usd.spread)
    inputs: dict[str, Any] = {"device_hours": hours.value, "usd_per_device_hour": price.usd.value}
    said = interval_of(value, times(slower, drawn))
    return [
        line(
            key, label, value, "usd", "device_hours * usd_per_device_hour", sources=price.usd.sources, standing="estimate", interval=said,
            **inputs,
        )
    ]  # fmt: skip


def inputs_of(asked: Any, **used: Any) -> dict[str, Any]:
    """What was asked, and what was taken where it was left open."""
    given = {name: plain(value) for name, value in asked._asdict().items() if value not in (None, False)}
    return {**given, **used}
