"""Where each number of `optimal` comes from: formula, inputs, source."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Line, line
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Advice, constrained
from scaleplan.laws.allocation import Question
from scaleplan.laws.convention import EMBEDDING_SCALE, TOTAL
from scaleplan.laws.forms import Additive
from scaleplan.laws.power import PowerFrontier
from scaleplan.questions.about_laws import LABELS, UNITS, fitted, loss_formula
from scaleplan.questions.optimal.penalty import penalty_lines
from scaleplan.questions.optimal.rows import compute_of

if TYPE_CHECKING:
    from scaleplan.questions.optimal.dense import Solved

UNITS_OF_RULES = {
    "loss": "nats",
    "batch": "tokens",
    "tokens": "tokens",
    "steps": "steps",
    "allocation_of_tokens": "tokens",
    "flops": "FLOP",
}
"""Unit of a rule, by how its name begins."""

Formulas = dict[str, tuple[str, Mapping[str, Any]]]


def lines_of(advice: Advice, solved: Solved, row: Mapping[str, Any]) -> Iterator[Line]:
    """One line a number of a law's row: the run, what the recommended law says of it, tenfold compute, and other rules of the law."""
    yield from row_lines(advice, solved.question)
    yield from excess_lines(advice, row)
    if advice.penalty is not None:
        yield from penalty_lines(advice, advice.penalty)
    yield from optional_lines(advice, row)
    if row["per_decade"]:
        yield from growth_lines(advice, row)
    law = advice.law
    for name, found in advice.rules.items():
        unit = next((unit for word, unit in UNITS_OF_RULES.items() if name.startswith(word)), "")
        inputs = {**found.rule.constants(), **found.inputs}
        key, label = f"laws.{law.name}.rules.{name}", f"{law.name} {name.replace('_', ' ')}"
        yield line(key, label, found.value, unit, found.rule.formula(), sources=law.sources(name), standing="fitted", **inputs)


def row_lines(advice: Advice, question: Question) -> Iterator[Line]:
    """One line a number of a law's row."""
    law, run, fixed = advice.law, advice.run, question.fixed()
    known = {"compute_flops": compute_of(advice, question), "n_params": run.n_params, "n_tokens": run.n_tokens, "loss_nats": run.loss_nats}
    block = "allocation" if "allocation" in law.data else "loss"
    formulas = formulas_of(advice, question)

    def one(name: str, *, key: str = "") -> Line:
        formula, constants = formulas.get(name, (None, {}))
        inputs = {**constants, **{quantity: value for quantity, value in known.items() if quantity in formula}} if formula else None
        standing = "given" if name in fixed else fitted(law)
        cited = law.sources("loss" if name == "loss_nats" else block)
        path, interval = f"laws.{law.name}.{key or name}", (advice.intervals or {}).get(name)
        return Line(path, f"{law.name} {LABELS[name]}", known[name], UNITS[name], formula, inputs, cited, standing, interval)

    converted = advice.n_params_kind != law.n_kind
    yield one("n_params", key=f"n_{law.n_kind}_params" if converted else "")
    yield one("n_tokens")
    yield one("compute_flops")
    if converted:
        yield converted_line(advice)
    yield ratio_line(advice, law.sources(block))
    if run.loss_nats is not None:
        yield one("loss_nats") if law.in_nats else one("loss_nats", key="loss")._replace(unit=advice.loss_unit)
    if advice.critical_batch is not None:
        yield from batch_lines(advice)


def ratio_line(advice: Advice, cited: list[str]) -> Line:
    """D / N, with the N that is shown."""
    law, tokens = advice.law, advice.run.n_tokens
    inputs = {"n_tokens": tokens, "n_params": advice.n_params}
    interval = (advice.intervals or {}).get("tokens_per_param")
    key, label = f"laws.{law.name}.tokens_per_param", f"{law.name} {LABELS['tokens_per_param']}"
    value, unit = tokens / advice.n_params, UNITS["tokens_per_param"]
    return Line(key, label, value, unit, "n_tokens / n_params", inputs, cited, fitted(law), interval)


def batch_lines(advice: Advice) -> Iterator[Line]:
    """B_crit at the loss of the run, and the steps at that batch."""
    law, rule = advice.law, catalogue.critical_batch()
    cited = catalogue.critical_batch_law().sources("critical_batch")
    made = (
        ("critical_batch_tokens", advice.critical_batch, rule.formula(), {**rule.constants(), "loss_nats": advice.run.loss_nats}),
        (
            "n_steps",
            advice.n_steps,
            "n_tokens / critical_batch_tokens",
            {"n_tokens": advice.run.n_tokens, "critical_batch_tokens": advice.critical_batch},
        ),
    )
    for name, value, formula, inputs in made:
        interval = (advice.intervals or {}).get(name)
        yield Line(
            f"laws.{law.name}.{name}", f"{law.name} {LABELS[name]}", value, UNITS[name], formula, inputs, cited, fitted(law), interval
        )


def converted_line(advice: Advice) -> Line:
    """N in the kind that was asked for."""
    law, run = advice.law, advice.run
    key, label = f"laws.{law.name}.n_params", f"{law.name} N, {advice.n_params_kind.replace('_', '-')}"
    if advice.n_params_kind != TOTAL:  # the root of N_total = N + scale N^(1/3)
        return line(key, label, advice.n_params, UNITS["n_params"], sources=["pearce2024"], standing="estimate")
    return total_line(key, label, advice.n_params, run.n_params)


def total_line(key: str, label: str, value: Any, n_params: Any) -> Line:
    """N with embeddings from N without."""
    formula, inputs = "n_params + embedding_scale * n_params ** (1 / 3)", {"n_params": n_params, "embedding_scale": EMBEDDING_SCALE}
    return line(key, label, value, UNITS["n_params"], formula, sources=["pearce2024"], standing="estimate", **inputs)


def excess_lines(advice: Advice, row: Mapping[str, Any]) -> Iterator[Line]:
    """The run seen by the recommended law: its loss, the compute that its best run of the same loss needs, and what is wasted."""
    law, found, best = advice.law, advice.excess, catalogue.load_law(catalogue.recommended())
    key, name, cited = f"laws.{law.name}", f"{law.name} by {best.name}", best.sources("loss")
    total = row["n_total_params"]
    if law.n_kind != TOTAL:
        yield total_line(f"{key}.n_total_params", f"{law.name} N, total", total, advice.run.n_params)
    run = {"n_total_params": total, "n_tokens": advice.run.n_tokens}
    exact, constants = advice.flops_per_token is not None, best.additive._asdict()
    loss = Additive.FORMULAS["loss_nats"].replace("n_params", "n_total_params")
    best_loss = {"recommended_loss_nats": found.loss_nats}
    # along C = 6 N D the best run has N = (a (1 + alpha / beta) / (L - E))^(1 / alpha) and D from the balance
    size = "(a * (1 + alpha / beta) / (recommended_loss_nats - e_nats)) ** (1 / alpha)"
    data = "(b * (1 + beta / alpha) / (recommended_loss_nats - e_nats)) ** (1 / beta)"
    spent, needed = found.spent_flops, found.needed_flops
    waste = {"recommended_needed_flops": needed, "recommended_spent_flops": spent}
    made: tuple[tuple[str, str, Any, str, str | None, Mapping[str, Any]], ...] = (
        ("recommended_loss_nats", "loss", found.loss_nats, "nats", loss, {**constants, **run}),
        ("recommended_spent_flops", "C", spent, "FLOP", *spent_formula(advice, run)),
        (
            "recommended_needed_flops",
            "least C of that loss",
            needed,
            "FLOP",
            None if exact else f"6 * {size} * {data}",
            {**constants, **best_loss},
        ),
        ("wasted_compute_fraction", "wasted compute", found.wasted_fraction, "fraction", WASTE, waste),
    )
    for name_of, label, value, unit, formula, inputs in made:
        yield line(f"{key}.{name_of}", f"{name}: {label}", value, unit, formula, sources=cited, standing="estimate", **inputs)


def spent_formula(advice: Advice, run: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The compute of a run as the recommended law counts it."""
    if advice.flops_per_token is None:
        return "6 * n_total_params * n_tokens", run
    return "flops_per_token * n_tokens", {"flops_per_token": advice.flops_per_token, "n_tokens": run["n_tokens"]}


WASTE = "max(1 - recommended_needed_flops / recommended_spent_flops, 0)"


def optional_lines(advice: Advice, row: Mapping[str, Any]) -> Iterator[Line]:
    """What only some rows have."""
    law, run, key = advice.law, advice.run, f"laws.{advice.law.name}"
    if "min_compute_flops" in row:
        inputs = {
            "min_compute_fraction": law.data["allocation"]["min_compute_fraction"],
            "n_params": run.n_params,
            "n_tokens": run.n_tokens,
        }
        formula, label = "6 * min_compute_fraction * n_params * n_tokens", f"{law.name} C_min, at small batches"
        cited = law.sources("allocation")
        yield line(f"{key}.min_compute_flops", label, row["min_compute_flops"], "FLOP", formula, sources=cited, standing="fitted", **inputs)
    if "dataset_loss_nats" in row:
        formula, constants = loss_formula(law)
        inputs = {**constants, "n_params": run.n_params, "n_tokens": run.n_tokens}
        label, cited = f"{law.name} loss of a data set, trained until it stops improving", law.sources("loss")
        yield line(f"{key}.dataset_loss_nats", label, row["dataset_loss_nats"], "nats", formula, sources=cited, standing="fitted", **inputs)
    if "epochs" in row:
        inputs = {"n_tokens": run.n_tokens, "unique_tokens": run.n_tokens / row["epochs"]} if row["epochs"] > 1 else {}
        yield line(f"{key}.epochs", f"{law.name} epochs", row["epochs"], "", "n_tokens / unique_tokens" if inputs else None, **inputs)


def growth_lines(advice: Advice, row: Mapping[str, Any]) -> Iterator[Line]:
    """What ten times the compute multiplies, where the frontier has a closed form."""
    law, found, rule = advice.law, row["per_decade"], catalogue.critical_batch()
    key, here = f"laws.{law.name}.per_decade", {"loss_nats": advice.run.loss_nats}
    formulas = growth_formulas(advice)
    batch = f"(loss_nats_at_10x / loss_nats) ** {next(iter(rule.exponents))}_exponent"
    at_10x = {"loss_nats_at_10x": found["loss_nats"], "loss_nats_exponent": rule.exponents["loss_nats"]}
    multiplied = {"n_tokens_growth": found["n_tokens"], "critical_batch_growth": found["critical_batch_tokens"]}
    made: tuple[tuple[str, str, str | None, Mapping[str, Any]], ...] = (
        ("n_params", "x", *formulas.get("n_params", (None, {}))),
        ("n_tokens", "x", *formulas.get("n_tokens", (None, {}))),
        ("loss_nats", "nats", *formulas.get("loss_nats", (None, {}))),
        ("critical_batch_tokens", "x", batch, {**at_10x, **here}),
        ("n_steps", "x", "n_tokens_growth / critical_batch_growth", multiplied),
    )
    for name, unit, formula, inputs in made:
        if found[name] is not None:
            label = f"{law.name} {LABELS[name]} at 10x compute"
            yield line(f"{key}.{name}", label, found[name], unit, formula, standing=fitted(law), sources=law.sources("loss"), **inputs)


def growth_formulas(advice: Advice) -> Formulas:
    """N, D and the loss at ten times the compute, of frontiers that are powers of compute."""
    law, run = advice.law, advice.run
    if advice.flops_per_token is not None:
        return {}
    if isinstance(law.frontier, Additive):
        powers = {name: getattr(law.frontier, name) for name in ("alpha", "beta")}
        loss = "e_nats + a / (n_params * 10 ** (beta / (alpha + beta))) ** alpha + b / (n_tokens * 10 ** (alpha / (alpha + beta))) ** beta"
        inputs = {**law.frontier._asdict(), "n_params": run.n_params, "n_tokens": run.n_tokens}
        return {
            "n_params": ("10 ** (beta / (alpha + beta))", powers),
            "n_tokens": ("10 ** (alpha / (alpha + beta))", powers),
            "loss_nats": (loss, inputs),
        }
    if not isinstance(law.frontier, PowerFrontier):
        return {}
    found: Formulas = {
        "n_params": ("10 ** exponent", {"exponent": law.frontier.exponent}),
        "n_tokens": ("10 ** (1 - exponent)", {"exponent": law.frontier.exponent}),
    }
    along = law.frontier.loss_of_compute
    if along is not None and not along.offset:
        inputs = {"loss_nats": run.loss_nats, "loss_exponent": along.exponents["compute_flops"]}
        found["loss_nats"] = ("loss_nats * 10 ** loss_exponent", inputs)
    return found


def formulas_of(advice: Advice, question: Question) -> Formulas:
    """Formula and constants of N, D, C and the loss, as far as they are closed and not given."""
    law, fixed = advice.law, question.fixed()
    frontier = law.frontier
    found: Formulas = {}
    if len(fixed) == 1 and isinstance(frontier, Additive | PowerFrontier) and not constrained(question):
        constants = constants_of(frontier)
        way = {"compute_flops": "compute", "n_tokens": "tokens", "loss_nats": "loss"}.get(fixed[0])
        if way:
            found["n_params"] = (frontier.FORMULAS[f"params_at_{way}"], constants)
        if fixed[0] in ("n_params", "loss_nats"):
            found["n_tokens"] = (frontier.FORMULAS["tokens_at_params"], constants)
    if advice.flops_per_token is not None:
        found["n_tokens"] = ("compute_flops / flops_per_token", {"flops_per_token": advice.flops_per_token})
    elif "compute_flops" in fixed and question.inference_tokens is None:
        found.setdefault("n_params", ("compute_flops / (6 * n_tokens)", {}))
        found.setdefault("n_tokens", ("compute_flops / (6 * n_params)", {}))
    else:
        found["compute_flops"] = ("6 * n_params * n_tokens", {})
    for name in fixed:
        found.pop(name, None)
    if "loss_nats" not in fixed:
        found |= formula_of_loss(advice, question)
    return found


def formula_of_loss(advice: Advice, question: Question) -> Formulas:
    """How the loss of a run follows."""
    law, loss = advice.law, advice.run.loss_nats
    if question.unique_tokens is not None or loss is None:
        return {}
    if isinstance(law.frontier, PowerFrontier) and len(question.fixed()) == 1 and question.bounds is None:
        return {"loss_nats": (PowerFrontier.FORMULAS["loss_nats"], constants_of(law.frontier))} if law.frontier.loss_of_compute else {}
    steps = None if law.along_steps is None else advice.run.n_tokens / (2 * catalogue.critical_batch().at(loss_nats=loss))
    return {"loss_nats": loss_formula(law, steps)}


def constants_of(frontier: Additive | PowerFrontier) -> dict[str, Any]:
    """The constants under the names that the formulas use."""
    if isinstance(frontier, Additive):
        return frontier._asdict()
    constants = {"scale": frontier.scale, "exponent": frontier.exponent}
    along = frontier.loss_of_compute
    if along:
        constants |= {"loss_unit": along.units["compute_flops"], "loss_exponent": along.exponents["compute_flops"]}
    return constants
