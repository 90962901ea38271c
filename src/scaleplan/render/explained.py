"""What every text says beside its tables: notes, and how each number was made."""

from __future__ import annotations

from scaleplan.answer import Answer, Line, Table
from scaleplan.render import Style
from scaleplan.render.cells import show_value
from scaleplan.wording import flag, spelled, visible


def tables_of(answer: Answer, style: Style) -> list[Table]:
    """The tables to show: those of details only where numbers are explained."""
    return [shown_as_text(table) for table in answer.tables if style.verbose or not table.detail]


def shown_as_text(table: Table) -> Table:
    """The table with title and headings, which may be names from files, that do not steer a terminal."""
    columns = [column._replace(label=visible(column.label)) for column in table.columns]
    return table._replace(title=visible(table.title), columns=columns)


def notes_of(answer: Answer, style: Style) -> list[str]:
    """What is to be said under the tables."""
    said = [*(note for table in tables_of(answer, style) for note in table.notes), *answer.notes] if style.notes else []
    return [visible(spelled(note, flag)) for note in said]


def explained(line: Line) -> str:
    """A line with its formula, inputs, sources and standing."""
    whole = isinstance(line.value, int) and line.unit in ("params", "tokens") and line.standing == "exact"
    head = f"{line.label}: {show_value(line.value, 'int' if whole else line.unit)}"
    if line.interval:
        head += f" ({show_value(line.interval.p10, line.unit)} to {show_value(line.interval.p90, line.unit)}, 80 %)"
    parts = [head]
    if line.formula:
        parts.append(f"  {line.key} = {line.formula}")
    if line.inputs:
        parts.append("  " + ", ".join(f"{name} = {short(value)}" for name, value in line.inputs.items()))
    parts.append(f"  {line.standing}" + (f"; source: {', '.join(line.sources)}" if line.sources else ""))
    return "\n".join(map(visible, parts))


def short(value: object) -> str:
    """An input of a formula; a long list by its length."""
    if isinstance(value, list | tuple):
        return f"[{len(value)} numbers]" if len(value) > 6 else "[" + ", ".join(map(short, value)) + "]"
    return f"{value:,}" if isinstance(value, int) else f"{value:.10g}" if isinstance(value, float) else str(value)
