"""A budget in which embeddings do not count: why published exponents disagree."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Answer, Column, Line, Table, line
from scaleplan.chain import catalogue
from scaleplan.chain.law_answers import WithoutEmbeddingsAnswer, without_embeddings
from scaleplan.laws.convention import EMBEDDING_SCALE
from scaleplan.laws.forms import Additive
from scaleplan.questions.about_laws import cautions_of

if TYPE_CHECKING:
    from scaleplan.questions.optimal.beside import OfSizesSeen


def solve(asked: OfSizesSeen) -> list[WithoutEmbeddingsAnswer]:
    """By the laws that were asked for, or the recommended one."""
    return [without_embeddings(law, asked.compute) for law in catalogue.load_laws(asked.law or (catalogue.recommended(),))]


def explain(asked: OfSizesSeen, solved: Sequence[WithoutEmbeddingsAnswer]) -> Answer:
    """One law a row."""
    rows = [row_of(one) for one in solved]
    columns = [
        Column("law", "law"),
        Column("n_params", "N", "params"),
        Column("n_total_params", "N total", "params"),
        Column("n_tokens", "D", "tokens"),
        Column("loss_nats", "loss", "nats"),
        Column("exponent", "N ~ C^", ""),
        Column("loss_exponent", "L ~ C^", ""),
        Column("total_exponent", "with embeddings N ~ C^", ""),
    ]
    low, high = (catalogue.critical_batch_law().limits[f"n_params_{side}"] for side in ("min", "max"))
    name = catalogue.critical_batch_law().name
    notes = [
        f"Exponents: of fits to sizes from {low:g} to {high:g}, those of {name}. N_total = N + {EMBEDDING_SCALE} N^(1/3) (pearce2024)."
    ]
    lines = [made for one, row in zip(solved, rows, strict=True) for made in lines_of(one, row)]
    inputs = {"compute_flops": asked.compute, "without_embeddings": True, "law": [one.law.name for one in solved]}
    warnings = list(cautions_of(one.law for one in solved))
    return Answer(
        "optimal", inputs, {"laws": rows}, [Table("", columns, rows, notes)], lines, warnings=warnings, more_sources=("pearce2024",)
    )


def row_of(one: WithoutEmbeddingsAnswer) -> dict[str, Any]:
    """One law in `result.laws`."""
    return {
        "law": one.law.name,
        "n_params": one.n_params,
        "n_params_kind": "non_embedding",
        "n_total_params": one.n_total_params,
        "n_tokens": one.n_tokens,
        "loss_nats": one.loss if one.law.in_nats else None,
        "compute_flops": one.compute_flops,
        "exponent": one.exponent,
        "loss_exponent": one.loss_exponent,
        "total_exponent": one.total_exponent,
    }


def lines_of(one: WithoutEmbeddingsAnswer, row: dict[str, Any]) -> Iterator[Line]:
    """The best size is a root, exponents are slopes of fits; the rest follows."""
    law, form = one.law, one.law.additive
    key, name, cited = f"laws.{law.name}", law.name, [*law.sources("loss"), "pearce2024"]
    constants = form._asdict()
    loss = Additive.FORMULAS["loss_nats"].replace("n_params", "n_total_params")
    tokens = {"compute_flops": one.compute_flops, "n_params": one.n_params}
    made: tuple[tuple[str, str, str, str | None, dict[str, Any]], ...] = (
        ("n_params", "N without embeddings", "params", None, {}),
        (
            "n_total_params",
            "N with embeddings",
            "params",
            "n_params + embedding_scale * n_params ** (1 / 3)",
            {"n_params": one.n_params, "embedding_scale": EMBEDDING_SCALE},
        ),
        ("n_tokens", "D", "tokens", "compute_flops / (6 * n_params)", tokens),
        ("loss_nats", "loss", "nats", loss, {**constants, "n_total_params": one.n_total_params, "n_tokens": one.n_tokens}),
        ("exponent", "exponent of N without embeddings", "", None, {}),
        ("loss_exponent", "exponent of the loss", "", None, {}),
        ("total_exponent", "exponent of N with embeddings", "", "beta / (alpha + beta)", {"alpha": form.alpha, "beta": form.beta}),
    )
    for quantity, label, unit, formula, inputs in made:
        if row[quantity] is not None:
            yield line(f"{key}.{quantity}", f"{name} {label}", row[quantity], unit, formula, sources=cited, standing="estimate", **inputs)
