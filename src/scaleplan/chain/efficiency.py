"""What a size off the efficient one, training towards convergence and too little data cost, by the law of steps and batches."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.chain import catalogue
from scaleplan.errors import InputError
from scaleplan.laws.batch import StepLoss
from scaleplan.laws.forms import KaplanLoss
from scaleplan.laws.law import Law
from scaleplan.laws.power import Power
from scaleplan.wording import field

LEAST_OVERFIT = 1e-9  # below it the rounding of 1 + share shows in the answer


class SizeAnswer(NamedTuple):
    """A model that is not of the size that reaches its loss most cheaply.

    compute_ratio, steps_ratio   against the efficient size, to the same loss
    """

    law: Law
    n_ratio: float
    compute_ratio: float
    steps_ratio: float


def size_answer(n_ratio: float) -> SizeAnswer:
    """What a model of n_ratio times the efficient size costs to the same loss. Source: kaplan2020 appendix B.4."""
    law, along = steps_of_law()
    smallest = (1 + along.alpha_n / along.alpha_s) ** (-1 / along.alpha_n)
    if not n_ratio > smallest:
        raise InputError(
            f"a model of {n_ratio:g} times the efficient size never reaches its loss", hint=f"more than {smallest:.3g} times the size"
        )
    return SizeAnswer(law, n_ratio, along.compute_of_size(n_ratio), along.steps_of_size(n_ratio))


class ConvergenceAnswer(NamedTuple):
    """Efficient training against training to within a share of the converged loss, at the same loss.

    efficient_excess   how far above its converged loss efficient training stops
    params_ratio       efficient N over that of the model trained so far
    compute_ratio      likewise
    steps_ratio        likewise
    """

    law: Law
    excess: float
    efficient_excess: float
    params_ratio: float
    compute_ratio: float
    steps_ratio: float


def convergence_answer(excess: float) -> ConvergenceAnswer:
    """What training to within `excess` of the converged loss costs. Source: kaplan2020 appendix B.3."""
    if not excess > 0:
        raise InputError(f"an excess of {excess:g} takes endless training", hint="a share above 0, as 0.02")
    law, along = steps_of_law()
    params, compute = along.params_of_excess(excess), along.compute_of_excess(excess)
    return ConvergenceAnswer(law, excess, along.excess_at_optimum(), params, compute, compute / params)


def steps_of_law() -> tuple[Law, StepLoss]:
    """The law of B_crit and its loss against steps."""
    law = catalogue.critical_batch_law()
    along = law.along_steps
    assert along is not None, "the law of B_crit has a loss against steps"
    return law, along


class DataAnswer(NamedTuple):
    """Data that keep a model from overfitting.

    needed_tokens        for L(N, D) to stay within `overfit` of L(N, endless data)
    stated_tokens        the law's own rounded rule for its seed noise
    """

    law: Law
    overfit: float
    needed_tokens: float
    stated_tokens: float


def data_answer(n_params: float, overfit: float = 0.02) -> DataAnswer:
    """How many different tokens a model of this size needs. Source: kaplan2020 equation 4.4.

    Raises InputError for a share that 1 + share does not hold to a millionth.
    """
    if overfit < LEAST_OVERFIT:
        raise InputError(
            f"{field('overfit')} {overfit:g} is a share too small to count with", hint=f"{LEAST_OVERFIT:g} or more, such as 2%"
        )
    law = catalogue.critical_batch_law()
    assert isinstance(law.loss, KaplanLoss), "the law of B_crit has a loss of data sets"
    rule = law.rules["tokens_against_overfitting"]
    assert isinstance(rule, Power), "the bound is a power of N"
    return DataAnswer(law, overfit, law.loss.tokens_at_overfit(n_params, overfit), rule.at(n_params=n_params))
