"""The parameters of one model: by group, by convention, and the bill itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.answer import Answer, Column, Line, Table, line
from scaleplan.model.adapters import adapted_bill, pruned_params
from scaleplan.model.items import Bill
from scaleplan.model.params import ParamCount, Part, count_params
from scaleplan.model_files import Model
from scaleplan.questions.run_file import unused_notes

if TYPE_CHECKING:
    from scaleplan.model.sparsity import Sparsity
    from scaleplan.questions.params import OfModel

MEANINGS = {
    "total": "every tensor once",
    "tied_head_counted_twice": "a tied head as if it had its own matrix",
    "non_embedding": "without tables and head",
    "kaplan": "2 d (2 d_attn + d_ff) a layer",
    "active": "those that one token passes",
    "active_non_embedding": "of these, without tables and head",
    "trainable": "those that training changes",
}


class Counted(NamedTuple):
    """The bill of the model, its count, and the parameters that pruning sets to zero."""

    bill: Bill
    params: ParamCount
    n_pruned_params: int | None


def solve(asked: OfModel) -> Counted:
    """The parameters of the model; sizes of its shape may be arrays."""
    bill = adapted_bill(asked.model.arch, asked.lora)
    return Counted(bill, count_params(bill), None if asked.sparsity is None else pruned_params(bill, asked.sparsity.share))


def explain(asked: OfModel, solved: Counted) -> Answer:
    """The answer for one model."""
    model, count = asked.model, solved.params
    result = result_of(count)
    lines = lines_of(count, model.sources)
    if solved.n_pruned_params is not None:
        lines += pruning_lines(count, solved.n_pruned_params)
        result |= {"n_pruned_params": lines[-2].value, "n_nonzero_params": lines[-1].value}
    inputs = {
        "model": model.label,
        "from_file": asked.from_file and asked.from_file.name,
        "lora": asked.lora and asked.lora._asdict(),
        "sparsity": asked.sparsity and asked.sparsity.spelled(),
    }
    return Answer(
        "params",
        {key: value for key, value in inputs.items() if value is not None},
        result,
        [groups_table(model, count), conventions_table(result, asked.sparsity), bill_table(count)],
        lines=lines,
        warnings=model.cautions,
        notes=unused_notes(asked.from_file),
        more_sources=model.sources or ("kaplan2020",),
    )


def pruning_lines(count: ParamCount, n_pruned: int) -> list[Line]:
    """What pruning sets to zero, and what it leaves."""
    left = line(
        "n_nonzero_params",
        "left by pruning",
        count.n_params - n_pruned,
        "params",
        "n_params - n_pruned_params",
        n_params=count.n_params,
        n_pruned_params=n_pruned,
    )
    return [line("n_pruned_params", "set to zero by pruning", n_pruned, "params"), left]


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


def conventions_table(result: dict[str, Any], sparsity: Sparsity | None) -> Table:
    """The same model as different sources count it."""
    rows = [{**row, "meaning": MEANINGS[row["name"]]} for row in result["conventions"]]
    if sparsity is not None:
        meaning = f"left when {sparsity.shown()} of the layers' matrices are zero"
        rows.append({"name": "nonzero", "n_params": result["n_nonzero_params"], "meaning": meaning})
    return Table("Conventions", [Column("name", "name"), Column("n_params", "parameters", "int"), Column("meaning", "meaning")], rows)


def bill_table(count: ParamCount) -> Table:
    """The bill itself: one row a tensor."""
    rows = [
        {
            "name": part.name,
            "count": part.count,
            "shape": " x ".join(map(str, part.shape)),
            "n_params": part.n_params,
            "active_fraction": part.n_active_params / part.n_params if part.n_params else None,
        }
        for part in count.parts
    ]
    columns = [
        Column("name", "tensor"),
        Column("count", "copies", "int"),
        Column("shape", "shape"),
        Column("n_params", "parameters", "int"),
    ]
    return Table("Bill", [*columns, Column("active_fraction", "active", "fraction")], rows, detail=True)


def lines_of(count: ParamCount, sources: tuple[str, ...]) -> list[Line]:
    """Where each number comes from: groups are sums over the bill, the rest is made of groups."""
    lines = [
        Line(
            f"groups.{group}",
            group.replace("_", " "),
            n,
            "params",
            "sum(parts)",
            {"parts": [part.n_params for part in count.parts if part.group == group]},
            sources,
        )
        for group, n in count.groups.items()
    ]
    lines.append(
        Line("n_params", "all parameters", count.n_params, "params", "sum(groups)", {"groups": list(count.groups.values())}, sources)
    )
    active = {"parts": [part.n_active_params for part in count.parts]}
    lines.append(Line("n_active_params", "that one token passes", count.n_active_params, "params", "sum(parts)", active, sources))
    outside = {"n_params": count.n_params, "n_embedding_params": count.n_embedding_params, "n_head_params": count.n_head_params}
    formula = "n_params - n_embedding_params - n_head_params"
    lines.append(
        Line("n_non_embedding_params", "without tables and head", count.n_non_embedding_params, "params", formula, outside, ("kaplan2020",))
    )
    return lines
