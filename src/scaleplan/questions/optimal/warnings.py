"""What to be careful of in an answer of `optimal`, and what is to be said beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from scaleplan.answer import Caution
from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Advice
from scaleplan.errors import ScaleplanError
from scaleplan.laws.convention import EMBEDDING_SCALE
from scaleplan.questions.about_laws import cautions_of, extrapolation, foreign_tokenizers
from scaleplan.units import show_count, three_digits
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.questions.optimal import OfDense
    from scaleplan.questions.optimal.dense import Solved


def warnings_of(asked: OfDense, solved: Solved) -> Iterator[Caution]:
    """All of a dense question."""
    advices = solved.advices
    for advice in advices:
        yield from extrapolation(advice.law.name, advice.beyond)
    for advice in advices:
        yield from shortfall(advice)
    yield from stock([(advice.law.name, advice.run.n_tokens) for advice in advices])
    yield from foreign_tokenizers(advice.law for advice in advices if advice.critical_batch is not None)
    yield from cautions_of(advice.law for advice in advices)
    yield from unanswered_by_name(asked.law, solved.unanswered)
    if asked.precision:
        yield precision(asked.precision)


def shortfall(advice: Advice) -> Iterator[Caution]:
    """Fewer tokens than a law's own bound against overfitting."""
    short = advice.shortfall
    if short is None:
        return
    name, run = advice.law.name, advice.run
    message = (
        f"{name}: D = {show_count(run.n_tokens)} is below the {show_count(short.needed_tokens)} tokens that keep "
        f"N = {show_count(run.n_params)} from overfitting; trained on these tokens until it stops improving, its loss is "
        f"{short.above_nats:.3f} nats ({100 * short.overfit_fraction:.3g} %) above that of endless data"
    )
    factor = float(short.needed_tokens / run.n_tokens)
    yield Caution("overfitting", message, {"law": name, "factor": factor, "above_nats": short.above_nats})


def stock(tokens: Sequence[tuple[str, Any]]) -> Iterator[Caution]:
    """More tokens than there is public text, by the law that wants most."""
    name, most = max(tokens, key=lambda pair: pair[1])
    law = catalogue.token_stock()
    there = law.data["stock"]["n_tokens"]
    if most > there:
        factor = float(most / there)
        message = (
            f"{name}: {show_count(most)} tokens is {three_digits(factor)}x the stock of public human text ({show_count(there)}, {law.name})"
        )
        yield Caution("token-stock", message, {"law": name, "factor": factor})


def precision(name: str) -> Caution:
    """A precision is counted by the law of another article."""
    from scaleplan.chain.few_bits import few_bits_law

    law = few_bits_law()
    message = f"{field('precision')} {name}: N counts as the effective parameters of {law.name}; {law.data['caution']}"
    return Caution("estimate", message, {"law": law.name})


def remarks_of(asked: OfDense, solved: Solved) -> list[str]:
    """Which law to follow, why they differ, and who had no answer."""
    names = [advice.law.name for advice in solved.advices]
    said = [f"Recommended: {solved.recommended}."] if solved.recommended in names and len(names) > 1 else []
    said += catalogue.remarks_on(advice.law for advice in solved.advices) if len(names) > 1 else []
    said += [
        f"{advice.law.name} measures {advice.loss_unit}: {advice.run.loss_nats:.4g}."
        for advice in solved.advices
        if not advice.law.in_nats and advice.run.loss_nats is not None
    ]
    said += [
        f"{advice.law.name}: loss of one pass at B_crit; of these tokens until it stops improving, L(N, D) = {advice.dataset_loss:.4f}."
        for advice in solved.advices
        if advice.loss_kind == "one-pass" and advice.dataset_loss is not None
    ]
    if asked.n_kind:
        said.append(f"N is converted by N_total = N + {EMBEDDING_SCALE} N^(1/3) (pearce2024), an estimate.")
    return said + silences(solved.unanswered)


def silences(unanswered: Mapping[str, ScaleplanError]) -> list[str]:
    """Laws without an answer, by reason."""
    return [f"Skipped {', '.join(laws)}: {reason}." for reason, laws in catalogue.reasons_of(unanswered).items()]


def unanswered_by_name(names: Sequence[str], unanswered: Mapping[str, ScaleplanError]) -> Iterator[Caution]:
    """Laws that were asked for by name and have no answer, where others have one."""
    named = catalogue.asked_by_name(names)
    for reason, laws in catalogue.reasons_of({law: error for law, error in unanswered.items() if law in named}).items():
        yield from (Caution("no-answer", f"{law}: {reason}", {"law": law}) for law in laws)
