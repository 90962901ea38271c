"""Answer -> one JSON document: base units, full digits, null for unknown, never NaN or Infinity."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

from scaleplan import __version__
from scaleplan.answer import Answer, Line, checked
from scaleplan.render import Style
from scaleplan.wording import flag, spelled

UNSTEADY = "[\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"


def as_json(answer: Answer, style: Style) -> str:
    """The envelope around `result`; with `verbose` also the lines."""
    document = {
        "schema": f"scaleplan.{answer.command}/{answer.version}",
        "scaleplan_version": __version__,
        "inputs": answer.inputs,
        "result": answer.result,
        "warnings": [{"kind": w.kind, "message": w.message, **w.details} for w in answer.warnings],
        "sources": answer.sources,
    }
    if answer.presets:
        document["presets"] = dict(answer.presets)
    if style.verbose:
        document["lines"] = [line_object(line) for line in checked(answer.lines)]
    return steady(json.dumps(bare(document), indent=2, ensure_ascii=False, allow_nan=False)) + "\n"


def steady(text: str) -> str:
    """JSON with the characters that steer a terminal or that UTF-8 lacks as escapes, which read back the same."""
    if text.isascii() and "\x7f" not in text:  # as nearly every answer is, and no start pays for the pattern
        return text
    return re.sub(UNSTEADY, lambda found: f"\\u{ord(found[0]):04x}", text)


def line_object(line: Line) -> dict[str, Any]:
    return {key: value for key, value in line._asdict().items() if key != "interval"}


def bare(value: Any) -> Any:
    """Only what JSON knows: named tuples become objects, numpy numbers become Python's, what is not finite becomes null."""
    if isinstance(value, str):
        return spelled(value, flag)  # now, because what is spelled may hold quotes
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): bare(item) for key, item in value.items()}
    if hasattr(value, "_asdict"):
        return bare(value._asdict())
    if hasattr(value, "tolist"):
        return bare(value.tolist())
    return [bare(item) for item in value]
