"""The forms that can be fitted, as data: a loss that is a sum of powers of what the run table holds.

    log L = outer * log(sum over terms of exp(offset + sum over parameters of theta * feature))

A feature is a product of logarithms of columns. Coefficients enter as logarithms, so that they stay positive and so that
every parameter enters linearly inside the exponential: one gradient and one curvature serve all forms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from scaleplan.errors import UnknownName

Array = np.ndarray[Any, np.dtype[np.float64]]
Columns = Mapping[str, Array]

EXPONENTS = tuple(np.geomspace(0.04, 1.2, 12))
FALLING = ("alpha", "beta", "eta", "alpha_n", "alpha_d", "alpha_s", "ratio")  # exponents above zero in any law of the field
FEW_EXPONENTS = tuple(np.geomspace(0.06, 0.9, 5))


class Feature(NamedTuple):
    """A sum of weight * product of log columns; without columns the weight itself."""

    parts: tuple[tuple[float, tuple[str, ...]], ...]

    def of(self, logs: Columns, n_rows: int) -> Array:
        """The feature of each run. Shape (n_rows,)."""
        total = np.zeros(n_rows)
        for weight, names in self.parts:
            product = np.full(n_rows, weight)
            for name in names:
                product = product * logs[name]
            total += product
        return total


def plus(*columns: str) -> Feature:
    return Feature(((1.0, columns),))


def minus(*columns: str) -> Feature:
    return Feature(((-1.0, columns),))


ONE = plus()


class Term(NamedTuple):
    """One summand: exp(offset + sum of parameter * feature)."""

    features: Mapping[str, Feature]
    offset: Feature | None = None

    @property
    def coefficient(self) -> str:
        """The parameter that is the logarithm of the summand's coefficient."""
        return next(name for name, feature in self.features.items() if feature == ONE)


class Shape(NamedTuple):
    """A form: its parameters in the order of reports, its terms, and the exponents from which a search starts.

    columns   the columns a run table must have, besides the loss
    outer     the parameter that multiplies the logarithm of the whole sum, or None
    starts    exponent -> values to start from
    named     parameters -> the constants as the field prints them; by default exp of what begins with `log_`
    """

    name: str
    formula: str
    source: str
    parameters: tuple[str, ...]
    columns: tuple[str, ...]
    terms: tuple[Term, ...]
    starts: Mapping[str, Sequence[float]]
    outer: str | None = None
    named: Callable[[Mapping[str, Any]], dict[str, Any]] | None = None

    def constants(self, theta: Array) -> dict[str, Any]:
        """The constants of one law, or arrays of them. theta: (n_parameters,) or (n_draws, n_parameters)."""
        values = {name: theta[..., i] for i, name in enumerate(self.parameters)}
        found = self.named(values) if self.named else unlogged(values)
        return {name: float(value) if np.ndim(value) == 0 else value for name, value in found.items()}

    def has_own_exponent(self, column: str) -> bool:
        """Whether some exponent is told by this column alone."""
        features = [(name, feature) for term in self.terms for name, feature in term.features.items()]
        alone = {name for name, feature in features if {c for _, columns in feature.parts for c in columns} == {column}}
        return any(name in alone and all(f == feature for n, f in features if n == name) for name, feature in features)

    def log_loss(self, theta: Array, columns: Columns) -> Array:
        """log L of each run. theta: (n_parameters,); columns: quantities, not logarithms."""
        n_rows = len(next(iter(columns.values())))
        logs = {name: np.log(columns[name]) for name in self.columns}
        at = dict(zip(self.parameters, theta, strict=True))
        powers = [
            sum((at[name] * f.of(logs, n_rows) for name, f in term.features.items()), term.offset.of(logs, n_rows) if term.offset else 0.0)
            for term in self.terms
        ]
        log_sum: Array = np.logaddexp.reduce(np.array(powers), axis=0)
        return at[self.outer] * log_sum if self.outer else log_sum


def unlogged(values: Mapping[str, Any]) -> dict[str, Any]:
    """`log_a` -> `a`; exponents as they are."""
    return {name.removeprefix("log_"): np.exp(value) if name.startswith("log_") else value for name, value in values.items()}


def _kaplan_data(at: Mapping[str, Any]) -> dict[str, Any]:
    """alpha_N = ratio * alpha_D; N_c from N_c^ratio."""
    return {
        "n_c": np.exp(at["log_n"] / at["ratio"]),
        "d_c": np.exp(at["log_d"]),
        "alpha_n": at["ratio"] * at["alpha_d"],
        "alpha_d": at["alpha_d"],
    }


def _kaplan_steps(at: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "n_c": np.exp(at["log_n"] / at["alpha_n"]),
        "s_c": np.exp(at["log_s"] / at["alpha_s"]),
        "alpha_n": at["alpha_n"],
        "alpha_s": at["alpha_s"],
    }


FLOOR = Term({"log_e_nats": ONE})
OF_PARAMS = Term({"log_a": ONE, "alpha": minus("n_params")})
OF_TOKENS = Term({"log_b": ONE, "beta": minus("n_tokens")})


def _single(column: str, letter: str) -> list[Shape]:
    """L = A / x^alpha, and with a floor."""
    term = Term({"log_a": ONE, "alpha": minus(column)})
    source = "kaplan2020"
    return [
        Shape(f"power-{column}", f"A / {letter}^alpha", source, ("log_a", "alpha"), (column,), (term,), {"alpha": EXPONENTS}),
        Shape(
            f"floor-{column}",
            f"E + A / {letter}^alpha",
            source,
            ("log_e_nats", "log_a", "alpha"),
            (column,),
            (FLOOR, term),
            {"alpha": EXPONENTS},
        ),
    ]


SHAPES = {
    shape.name: shape
    for shape in (
        Shape(
            "additive",
            "E + A / N^alpha + B / D^beta",
            "hoffmann2022",
            ("log_e_nats", "log_a", "log_b", "alpha", "beta"),
            ("n_params", "n_tokens"),
            (FLOOR, OF_PARAMS, OF_TOKENS),
            {"alpha": EXPONENTS, "beta": EXPONENTS},
        ),
        Shape(
            "additive-tied",
            "E + A / N^alpha + B / D^alpha",
            "muennighoff2023",
            ("log_e_nats", "log_a", "log_b", "alpha"),
            ("n_params", "n_tokens"),
            (FLOOR, OF_PARAMS, Term({"log_b": ONE, "alpha": minus("n_tokens")})),
            {"alpha": EXPONENTS},
        ),
        Shape(
            "kaplan",
            "((N_c / N)^(alpha_N / alpha_D) + D_c / D)^alpha_D",
            "kaplan2020",
            ("log_n", "log_d", "ratio", "alpha_d"),
            ("n_params", "n_tokens"),
            (Term({"log_n": ONE, "ratio": minus("n_params")}), Term({"log_d": ONE}, offset=minus("n_tokens"))),
            {"ratio": tuple(np.geomspace(0.2, 3.0, 8)), "alpha_d": tuple(np.geomspace(0.03, 0.5, 8))},
            outer="alpha_d",
            named=_kaplan_data,
        ),
        Shape(
            "power-sum",
            "(N_c / N)^alpha_N + (S_c / S)^alpha_S",
            "kaplan2020",
            ("log_n", "log_s", "alpha_n", "alpha_s"),
            ("n_params", "n_steps"),
            (Term({"log_n": ONE, "alpha_n": minus("n_params")}), Term({"log_s": ONE, "alpha_s": minus("n_steps")})),
            {"alpha_n": EXPONENTS, "alpha_s": EXPONENTS},
            named=_kaplan_steps,
        ),
        Shape(
            "over-training",
            "E + (a M^eta + b M^-eta) C^-eta",
            "gadre2024",
            ("log_e_nats", "log_a", "log_b", "eta"),
            ("compute_flops", "tokens_per_param"),
            (
                FLOOR,
                Term({"log_a": ONE, "eta": Feature(((1.0, ("tokens_per_param",)), (-1.0, ("compute_flops",))))}),
                Term({"log_b": ONE, "eta": Feature(((-1.0, ("tokens_per_param",)), (-1.0, ("compute_flops",))))}),
            ),
            {"eta": EXPONENTS},
        ),
        Shape(
            "fine-grained-experts",
            "c + (g / G^gamma + a) / N^alpha + b / D^beta",
            "krajewski2024",
            ("log_c", "log_g", "log_a", "log_b", "gamma", "alpha", "beta"),
            ("n_params", "n_tokens", "granularity"),
            (
                Term({"log_c": ONE}),
                Term({"log_g": ONE, "gamma": minus("granularity"), "alpha": minus("n_params")}),
                OF_PARAMS,
                OF_TOKENS,
            ),
            {"gamma": FEW_EXPONENTS, "alpha": FEW_EXPONENTS, "beta": FEW_EXPONENTS},
        ),
        Shape(
            "routed-experts",
            "exp(d) N^a X^b N^(c ln X)",
            "clark2022",
            ("log_scale", "of_params", "of_experts", "of_both"),
            ("n_params", "n_experts"),
            (
                Term(
                    {
                        "log_scale": ONE,
                        "of_params": plus("n_params"),
                        "of_experts": plus("n_experts"),
                        "of_both": plus("n_params", "n_experts"),
                    }
                ),
            ),
            {"of_params": (0.0,), "of_experts": (0.0,), "of_both": (0.0,)},  # one term: linear in log L
        ),
        Shape(
            "joint-experts",
            "c + a X^delta / N^(alpha + gamma ln X) + b X^omega / D^(beta + zeta ln X)",
            "ludziejewski2025",
            ("log_c", "log_a", "log_b", "alpha", "beta", "delta", "gamma", "omega", "zeta"),
            ("n_params", "n_tokens", "n_experts"),
            (
                Term({"log_c": ONE}),
                Term({"log_a": ONE, "alpha": minus("n_params"), "delta": plus("n_experts"), "gamma": minus("n_experts", "n_params")}),
                Term({"log_b": ONE, "beta": minus("n_tokens"), "omega": plus("n_experts"), "zeta": minus("n_experts", "n_tokens")}),
            ),
            {"alpha": FEW_EXPONENTS, "beta": FEW_EXPONENTS, "delta": (0.0,), "gamma": (0.0,), "omega": (0.0,), "zeta": (0.0,)},
        ),
        Shape(
            "sparse-experts",
            "e + a / N^alpha + b / D^beta + c / (1 - S)^lambda + d / ((1 - S)^delta N^gamma)",
            "abnar2025",
            ("log_e_nats", "log_a", "log_b", "log_c", "log_d", "alpha", "beta", "lambda", "delta", "gamma"),
            ("n_params", "n_tokens", "active_fraction"),
            (
                FLOOR,
                OF_PARAMS,
                OF_TOKENS,
                Term({"log_c": ONE, "lambda": minus("active_fraction")}),
                Term({"log_d": ONE, "delta": minus("active_fraction"), "gamma": minus("n_params")}),
            ),
            {"alpha": FEW_EXPONENTS, "beta": FEW_EXPONENTS, "lambda": (-0.2, 0.2), "delta": (0.15,), "gamma": (0.15,)},
        ),
        *_single("n_params", "N"),
        *_single("n_tokens", "D"),
        *_single("compute_flops", "C"),
    )
}


def shape(name: str) -> Shape:
    """A form by name."""
    if name not in SHAPES:
        raise UnknownName("form", name, SHAPES)
    return SHAPES[name]
