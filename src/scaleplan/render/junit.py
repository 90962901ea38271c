"""Answer of `check` -> JUnit XML: one test case a limit, which CI servers show beside the tests."""

from __future__ import annotations

from xml.etree import ElementTree

from scaleplan.answer import Answer
from scaleplan.render import Style
from scaleplan.render.cells import show_cell


def as_junit(answer: Answer, style: Style) -> str:
    """A failure for a broken limit of level error, a skipped case for one in doubt or broken at level warn."""
    rows = [(row, table) for table in answer.tables for row in table.rows]
    failed = [row for row, _ in rows if row["verdict"] == "fail" and row["level"] == "error"]
    suite = ElementTree.Element(
        "testsuite", name=f"scaleplan {answer.command}", tests=str(len(rows)), failures=str(len(failed)), errors="0"
    )
    for row, table in rows:
        case = ElementTree.SubElement(suite, "testcase", classname="scaleplan.limits", name=plain(str(row["quantity"])))
        words = ", ".join(
            f"{column.label} {show_cell(row, column)}" for column in table.columns if column.label and row.get(column.key) is not None
        )
        if row in failed:
            ElementTree.SubElement(case, "failure", message=plain(words)).text = plain(words)
        elif row["verdict"] != "pass":
            ElementTree.SubElement(case, "skipped", message=plain(words))
        else:
            ElementTree.SubElement(case, "system-out").text = plain(words)
    ElementTree.indent(suite)
    return '<?xml version="1.0" encoding="utf-8"?>\n' + ElementTree.tostring(suite, encoding="unicode") + "\n"


def plain(text: str) -> str:
    """What XML may hold: control characters are left out."""
    return "".join(c for c in text if c.isprintable() or c in "\n\t")
