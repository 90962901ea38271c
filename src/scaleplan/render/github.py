"""Answer -> workflow commands of a GitHub job: one annotation a limit, at the level of its verdict."""

from __future__ import annotations

from scaleplan.answer import Answer
from scaleplan.render import Style
from scaleplan.render.cells import show_cell


def as_github(answer: Answer, style: Style) -> str:
    """`::error::` for a broken limit, `::warning::` for a doubtful one or a broken one of level warn, `::notice::` for the rest."""
    lines = []
    for table in answer.tables:
        for row in table.rows:
            level = "notice" if row["verdict"] == "pass" else "error" if row["verdict"] == "fail" and row["level"] == "error" else "warning"
            words = ", ".join(
                f"{column.label} {show_cell(row, column)}"
                for column in table.columns
                if column.unit != "hidden" and row.get(column.key) is not None
            )
            lines.append(f"::{level} title=scaleplan {escaped(str(row['quantity']))}::{escaped(words)}")
    return "\n".join([*lines, *(f"::warning::{escaped(w.message)}" for w in answer.warnings)]) + "\n"


def escaped(text: str) -> str:
    """What a workflow command may not hold as it is."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A").replace(":", "%3A" if "::" in text else ":")
