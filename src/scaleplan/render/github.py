"""Answer -> workflow commands of a GitHub job: one annotation a limit, at the level of its verdict."""

from __future__ import annotations

from scaleplan.answer import Answer, Row
from scaleplan.render import Style
from scaleplan.render.cells import show_value
from scaleplan.wording import visible


def as_github(answer: Answer, style: Style) -> str:
    """`::error::` for a broken limit, `::warning::` for a doubtful one or a broken one of level warn, `::notice::` for the rest."""
    lines = []
    for table in answer.tables:
        for row in table.rows:
            level = "notice" if row["verdict"] == "pass" else "error" if row["verdict"] == "fail" and row["level"] == "error" else "warning"
            lines.append(f"::{level} title=scaleplan {property_text(str(row['quantity']))}::{escaped(sentence(row))}")
    return "\n".join([*lines, *(f"::warning::{escaped(w.message)}" for w in answer.warnings)]) + "\n"


def sentence(row: Row) -> str:
    """`usd $259k (80 %: $145k to $470k) is over the limit of $100k (259 %)`."""
    unit = str(row.get("unit", ""))
    found, limit = show_value(row["found"], unit), show_value(row["limit"], unit)
    spread = f" (80 %: {show_value(row['p10'], unit)} to {show_value(row['p90'], unit)})" if row.get("p10") is not None else ""
    at_most = row.get("sign") != ">="
    said = {
        "pass": "is within the limit of" if at_most else "is above the least of",
        "fail": "is over the limit of" if at_most else "is below the least of",
        "unsure": "may be over the limit of" if at_most else "may be below the least of",
    }[row["verdict"]]
    then = ""
    if row.get("base") is not None:
        change = row.get("change_fraction")
        by = "" if change is None else f", {100 * change:+.3g} %"
        then = f"; {show_value(row['base'], unit)} in the base{by}"
    used = f" ({show_value(row['used_fraction'], 'fraction')} of it)" if row.get("used_fraction") is not None else ""
    return f"{visible(str(row['quantity']))} {found}{spread} {said} {limit}{used}{then}"


def property_text(text: str) -> str:
    """What the property of a workflow command may not hold as it is."""
    return escaped(visible(text)).replace(":", "%3A").replace(",", "%2C")


def escaped(text: str) -> str:
    """What a workflow command may not hold as it is."""
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
