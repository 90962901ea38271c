"""`scaleplan params`: how many parameters, of which kind, in which convention."""

from __future__ import annotations

from typing import Any

from scaleplan.answer import Answer, Column, Line, Table
from scaleplan.cli.models import with_model
from scaleplan.cli.options import command
from scaleplan.model.bill import bill_of
from scaleplan.model.params import ParamCount, Part, count_params
from scaleplan.model_files import Model

MEANINGS = {
    "total": "every tensor once",
    "tied_head_counted_twice": "a tied head as if it had its own matrix",
    "non_embedding": "without tables and head",
    "kaplan": "2 d (2 d_attn + d_ff) a layer",
    "active": "those that one token passes",
    "active_non_embedding": "of these, without tables and head",
    "trainable": "those that training changes",
}
FORMULAS = {
    "n_params": "sum(parts)",
    "n_active_params": "sum(parts)",
    "n_non_embedding_params": "n_params - n_embedding_params - n_head_params",
}


@command
@with_model
def params(model: Model) -> Answer:
    """How many parameters, of which kind, in which convention?

    \b
    Examples:
      scaleplan params gpt2
      scaleplan params ./config.json -v
      scaleplan params --n-layers 36 --d-model 1280 --n-heads 20 --n-vocab 50257
    """
    count = count_params(bill_of(model.arch))
    result = result_of(count)
    return Answer(
        "params",
        {"model": model.label},
        result,
        [groups_table(model, count), conventions_table(result)],
        lines=lines_of(count, model.sources),
        warnings=model.cautions,
        more_sources=model.sources or ("kaplan2020",),
    )


def result_of(count: ParamCount) -> dict[str, Any]:
    """The keys that other programs read."""
    return {
        "n_params": count.n_params,
        "n_active_params": count.n_active_params,
        "n_embedding_params": count.n_embedding_params,
        "n_head_params": count.n_head_params,
        "n_non_embedding_params": count.n_non_embedding_params,
        "n_active_non_embedding_params": count.n_active_non_embedding_params,
        "n_trainable_params": count.n_trainable_params,
        "conventions": [{"name": name, "n_params": value} for name, value in count.conventions.items()],
        "groups": count.groups,
        "parts": [part_row(part) for part in count.parts],
    }


def part_row(part: Part) -> dict[str, Any]:
    """One tensor of the bill."""
    return {
        "name": part.name,
        "group": part.group,
        "count": part.count,
        "shape": list(part.shape),
        "n_params": part.n_params,
        "n_active_params": part.n_active_params,
    }


def groups_table(model: Model, count: ParamCount) -> Table:
    """Parameters by what they are for, largest first, and their total."""
    groups = sorted(((n, name) for name, n in count.groups.items() if n), reverse=True)
    rows = [{"group": name.replace("_", " "), "n_params": n, "share": n / count.n_params} for n, name in groups]
    rows.append({"group": "total", "n_params": count.n_params, "share": 1.0})
    columns = [Column("group", model.label), Column("n_params", "parameters", "int"), Column("share", "share", "fraction")]
    return Table("", columns, rows, total=True)


def conventions_table(result: dict[str, Any]) -> Table:
    """The same model as different sources count it."""
    rows = [{**row, "meaning": MEANINGS[row["name"]]} for row in result["conventions"]]
    return Table("Conventions", [Column("name", "name"), Column("n_params", "parameters", "int"), Column("meaning", "meaning")], rows)


def lines_of(count: ParamCount, sources: tuple[str, ...]) -> list[Line]:
    """Where each number comes from: the bill, tensor by tensor, then what is summed over it."""
    lines = [part_line(number, part, sources) for number, part in enumerate(count.parts)]
    parts = [part.n_params for part in count.parts]
    lines.append(Line("n_params", "all parameters", count.n_params, "params", "sum(parts)", {"parts": parts}, sources))
    active = [part.n_active_params for part in count.parts]
    lines.append(
        Line("n_active_params", "that one token passes", count.n_active_params, "params", "sum(parts)", {"parts": active}, sources)
    )
    outside = {"n_params": count.n_params, "n_embedding_params": count.n_embedding_params, "n_head_params": count.n_head_params}
    formula = "n_params - n_embedding_params - n_head_params"
    lines.append(
        Line("n_non_embedding_params", "without tables and head", count.n_non_embedding_params, "params", formula, outside, ("kaplan2020",))
    )
    return lines


def part_line(number: int, part: Part, sources: tuple[str, ...]) -> Line:
    """One tensor: how many are kept, its shape, how much of it a token passes."""
    dims = dict(zip(("rows", "columns", "depth"), part.shape, strict=False))
    share = part.n_active_params / part.n_params if part.n_params else 1
    label = part.name + ("" if share == 1 else f" (a token passes {100 * share:.3g} %)")
    inputs = {"count": part.count, **dims}
    return Line(f"parts.{number}.n_params", label, part.n_params, "params", " * ".join(inputs), inputs, sources)
