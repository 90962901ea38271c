"""A law that knows experts, for one mixture: a law of what a token passes and of D, which divides a budget like any other.

N is the active size throughout, so that 6 N D is the compute. What a law counts otherwise follows from
N_total = N (1 + s (E / K - 1)), where s is the share of the active parameters that lies in experts.
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

from scaleplan.errors import NotSupported
from scaleplan.laws.experts import FORMS, ExpertLaw, FineGrainedExperts, JointExperts, SparseExperts, expert_law_of
from scaleplan.laws.forms import Additive, Frontier
from scaleplan.laws.law import Law, TopicUnknown
from scaleplan.wording import field

EXPERT_SHARE = 2 / 3  # feed-forward 8 d^2 of the 12 d^2 of a usual layer, every layer with experts, embeddings left out
SAME_RATIO = 1e-9  # relative: E / K of a mixture is that of a fit


class Mixture(NamedTuple):
    """E experts, of which each token passes K."""

    n_experts: int
    n_experts_per_token: int

    @property
    def expansion(self) -> float:
        """E / K: how many times more there is in experts than a token passes."""
        return self.n_experts / self.n_experts_per_token

    @property
    def kept(self) -> float:
        """K / E, one less the sparsity S: the share of experts that a token passes."""
        return self.n_experts_per_token / self.n_experts

    def total_params(self, n_active_params: Any, share: float = EXPERT_SHARE) -> Any:
        """N_total = N (1 + s (E / K - 1)).

        >>> Mixture(8, 2).total_params(13e9)
        39000000000.0
        """
        return n_active_params * (1 + share * (self.expansion - 1))


class _SparseConstants(NamedTuple):
    e_nats: Any
    a: Any
    alpha: Any
    a2: Any
    alpha2: Any
    b: Any
    beta: Any


class TwoTerms(_SparseConstants, Frontier):
    """L = e + a / N^alpha + a2 / N^alpha2 + b / D^beta: two terms of N leave no closed optimum."""

    __slots__ = ()

    FORMULAS: ClassVar = {"loss_nats": "e_nats + a / n_params ** alpha + a2 / n_params ** alpha2 + b / n_tokens ** beta"}

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        return self.e_nats + self.a / n_params**self.alpha + self.a2 / n_params**self.alpha2 + self.b / n_tokens**self.beta

    def balance(self, n_params: Any, n_tokens: Any) -> Any:
        of_params = self.alpha * self.a / n_params**self.alpha + self.alpha2 * self.a2 / n_params**self.alpha2
        return of_params - self.beta * self.b / n_tokens**self.beta


def share_of(law: Law) -> float:
    """s: the share of the active parameters that lies in experts, as in the runs of a law or else as in a usual layer."""
    return float(law.data.get("experts", {}).get("share_of_active", EXPERT_SHARE))


def with_experts(law: Law, mixture: Mixture) -> Law:
    """The law of active N and of D with these experts, or a refusal that names the law."""
    if law.data.get("loss", {}).get("form") not in FORMS:
        raise TopicUnknown(f"`{law.name}` does not know experts", "experts")
    if "superseded_by" in law.data:
        better = law.data["superseded_by"]
        raise NotSupported(
            f"`{law.name}` has signs that the article's own table contradicts", hint=f"{field('law')} {better} has those printed"
        )
    frontier = frontier_of(expert_law_of(law.data["loss"]), law, mixture)
    return law._replace(frontier=frontier, loss=frontier if isinstance(frontier, Additive) else None)


def frontier_of(loss: ExpertLaw, law: Law, mixture: Mixture) -> Additive | TwoTerms:
    """The loss of active N and D at one mixture."""
    to_total = mixture.total_params(1.0, share_of(law))
    if isinstance(loss, JointExperts):
        return loss.at(mixture.expansion)  # fitted with one whole expert a token: E / K of them stand for E
    if isinstance(loss, FineGrainedExperts):
        return at_granularity(loss, law, mixture, to_total)
    if isinstance(loss, SparseExperts):
        return at_kept(loss, mixture.kept, to_total)
    raise NotSupported(f"`{law.name}` was fitted on one amount of data and does not say how to divide a budget")


def at_granularity(loss: FineGrainedExperts, law: Law, mixture: Mixture, to_total: float) -> Additive:
    """Experts cut G times finer are G times as many, of which a token passes G: so K is the granularity."""
    fitted = law.data["loss"]["n_experts"]
    if abs(mixture.expansion / fitted - 1) > SAME_RATIO:
        raise NotSupported(
            f"`{law.name}` was fitted at E / K = {fitted} only",
            hint=f"it answers {field('n_experts')} {fitted * mixture.n_experts_per_token}",
        )
    at = loss.at(mixture.n_experts_per_token)
    return at._replace(a=at.a / to_total**at.alpha)


def at_kept(loss: SparseExperts, kept: float, to_total: float) -> TwoTerms:
    """1 - S fixed: what depends on it alone joins the constant, and N_total becomes a multiple of N.

    Of a mixture it is K / E itself: of 10^17 experts 1 - (1 - K / E) is nothing.
    """
    return TwoTerms(
        e_nats=loss.e + loss.c / kept**loss.lambda_,
        a=loss.a / to_total**loss.alpha,
        alpha=loss.alpha,
        a2=loss.d / (kept**loss.delta * to_total**loss.gamma),
        alpha2=loss.gamma,
        b=loss.b,
        beta=loss.beta,
    )
