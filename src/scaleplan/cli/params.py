"""`scaleplan params`: how many parameters, of which kind, in which convention."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from scaleplan import units
from scaleplan.answer import Answer, Column, Line, Table
from scaleplan.cli.models import Choice, LoraOption, bill_with, with_model
from scaleplan.cli.options import KINDS_OF_SHAPE, Like, command, quantity
from scaleplan.errors import UsageError
from scaleplan.model.items import Bill
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


def layout_of(text: str) -> Any:
    """The degrees of parallelism that a text describes."""
    from scaleplan.machine.layout import parse_layout

    return parse_layout(text)


Target = Annotated[int | None, quantity("--target", units.count, "Find shapes near this many parameters: 7B.", metavar="N")]
LayoutOption = Annotated[
    Any,
    typer.Option("--layout", parser=layout_of, metavar="LAYOUT", help="Degrees of parallelism: tp8,pp8,dp4,sp,zero1.", show_default=False),
]
Sparsity = Annotated[
    float | None, quantity("--sparsity", units.fraction, "Share of the layers' matrices that pruning sets to zero.", metavar="SHARE")
]


@command
@with_model
def params(
    model: Choice, lora: LoraOption = None, sparsity: Sparsity = None, target: Target = None, like: Like = None, layout: LayoutOption = None
) -> Answer:
    """How many parameters, of which kind, in which convention?

    \b
    Examples:
      scaleplan params gpt2
      scaleplan params ./config.json -v
      scaleplan params --n-layers 36 --d-model 1280 --n-heads 20 --n-vocab 50257
      scaleplan params llama-3-8b --lora rank=16,targets=attention+mlp
      scaleplan params --target 7B --like llama --layout tp8
    """
    if target is not None:
        return near_target(model, target, like or KINDS_OF_SHAPE[0], layout)
    if like is not None or layout is not None:
        raise UsageError("--like and --layout describe shapes near a size", hint="give that size: --target 7B")
    return counted(model.model(), lora, sparsity)


def counted(model: Model, lora: Any, sparsity: float | None) -> Answer:
    """The answer for one model."""
    bill = bill_with(model, lora)
    count = count_params(bill)
    result = result_of(count)
    lines = lines_of(count, model.sources)
    if sparsity is not None:
        lines.append(pruning_line(bill, count, sparsity))
        result["n_nonzero_params"] = lines[-1].value
    inputs = {"model": model.label, "lora": lora and lora._asdict(), "sparsity": sparsity}
    return Answer(
        "params",
        {key: value for key, value in inputs.items() if value is not None},
        result,
        [groups_table(model, count), conventions_table(result, sparsity), bill_table(count)],
        lines=lines,
        warnings=model.cautions,
        more_sources=model.sources or ("kaplan2020",),
    )


def pruning_line(bill: Bill, count: ParamCount, sparsity: float) -> Line:
    """What pruning leaves."""
    from scaleplan.model.adapters import pruned_params

    zero = pruned_params(bill, sparsity)
    inputs = {"n_params": count.n_params, "n_pruned_params": zero}
    return Line("n_nonzero_params", "left by pruning", count.n_params - zero, "params", "n_params - n_pruned_params", inputs)


def near_target(choice: Choice, target: int, style: str, layout: Any) -> Answer:
    """Shapes near a size; shape flags are kept as they are given."""
    from scaleplan.model.synthesis import D_HEAD, shapes_near

    if choice.text is not None:
        raise UsageError(f"`{choice.text}` and --target both say how large", hint="give a MODEL or a --target, not both")
    tp, pp = (1, 1) if layout is None else (layout.tp, layout.pp)
    found = shapes_near(target, style, fixed=choice.shape, tp=tp, pp=pp)
    rows = [
        {
            **c.words,
            "n_params": c.params.n_params,
            "n_active_params": c.params.n_active_params,
            "relative_error": c.relative_error,
            "aspect": c.aspect,
        }
        for c in found
    ]
    shown = ["n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "n_experts"]
    columns = [Column(word, word.removeprefix("n_").replace("_", " "), "int") for word in shown if word in rows[0]]
    columns += [Column("n_params", "parameters", "int"), Column("relative_error", "off", "fraction"), Column("aspect", "d/L", "")]
    inputs = {"target_n_params": target, "like": style, **choice.shape} | ({} if layout is None else {"layout": layout.spelled()})
    notes = [f"Heads of {D_HEAD}, divisible by the layout; d/L is usually about 100, and 5 % of size weighs as much as twice that."]
    return Answer("params", inputs, {"shapes": rows}, [Table("", columns, rows)], notes=notes, more_sources=("kaplan2020",))


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


def conventions_table(result: dict[str, Any], sparsity: float | None) -> Table:
    """The same model as different sources count it."""
    rows = [{**row, "meaning": MEANINGS[row["name"]]} for row in result["conventions"]]
    if sparsity is not None:
        meaning = f"left when {100 * sparsity:.3g} % of the layers' matrices are zero"
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
