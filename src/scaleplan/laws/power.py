"""Products of powers: the form of most single-quantity laws, and of the budgets that are published without a loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

from scaleplan.errors import InputError
from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN, training_flops
from scaleplan.numeric import log

QUANTITIES = (
    *("n_params", "n_tokens", "compute_flops", "loss_nats", "steps", "position", "bits", "tokens_per_param"),
    *("batch_tokens", "d_model"),
)


class Power(NamedTuple):
    """y = offset + scale * product of (x / unit)^exponent over the quantities x that it depends on.

    exponents, units: by the name of the quantity; a unit that is not given is 1.

    >>> critical_batch = Power(2.1e8, {"loss_nats": -1 / 0.21})
    >>> round(critical_batch.at(loss_nats=3.0), -4)
    1120000.0
    """

    scale: Any
    exponents: Mapping[str, Any]
    units: Mapping[str, Any] = {}
    offset: Any = 0

    def at(self, **known: Any) -> Any:
        """The value; quantities on which it does not depend are ignored."""
        value = self.scale
        for name, exponent in self.exponents.items():
            value = value * (known[name] / self.units.get(name, 1)) ** exponent
        return self.offset + value

    def needs(self) -> set[str]:
        """The quantities without which it has no value."""
        return set(self.exponents)

    def solve(self, value: Any) -> Any:
        """The one quantity it depends on, from its value."""
        ((name, exponent),) = self.exponents.items()
        return self.units.get(name, 1) * ((value - self.offset) / self.scale) ** (1 / exponent)

    def formula(self) -> str:
        """The law as arithmetic of names, for people and for `-v`."""
        bases = {name: f"({name} / {name}_unit)" if self.units.get(name, 1) != 1 else name for name in self.exponents}
        text = " * ".join(["scale", *(f"{base} ** {name}_exponent" for name, base in bases.items())])
        return f"offset + {text}" if self.offset else text

    def constants(self) -> dict[str, Any]:
        """The inputs of `formula`, but for the quantities themselves."""
        found = {"scale": self.scale} | {f"{name}_exponent": exponent for name, exponent in self.exponents.items()}
        found |= {f"{name}_unit": unit for name, unit in self.units.items() if unit != 1}
        return found | ({"offset": self.offset} if self.offset else {})


class Logarithm(NamedTuple):
    """y = offset + slope * ln N. Source: kaplan2020 equation D.1 (a learning rate).

    >>> round(Logarithm(0.003239, -0.0001395).at(n_params=1e8), 6)
    0.000669
    """

    offset: Any
    slope: Any

    def at(self, n_params: Any, **_: Any) -> Any:
        return self.offset + self.slope * log(n_params)

    def needs(self) -> set[str]:
        return {"n_params"}

    def formula(self) -> str:
        """The law as arithmetic of names."""
        return "offset + slope * log(n_params)"

    def constants(self) -> dict[str, Any]:
        """The inputs of `formula`, but for N."""
        return self._asdict()


class _PowerFrontierConstants(NamedTuple):
    scale: Any
    exponent: Any
    loss_of_compute: Power | None = None


class PowerFrontier(_PowerFrontierConstants):
    """N = k C^a with the rest of C = 6 N D for the tokens; from a law of N or of D against C.

    loss_of_compute  the loss along this frontier, where the source has a law of it
    """

    __slots__ = ()

    FORMULAS: ClassVar = {
        "params_at_compute": "scale * compute_flops ** exponent",
        "tokens_at_params": "(n_params / scale) ** (1 / exponent) / (6 * n_params)",
        "params_at_tokens": "scale * (6 * scale * n_tokens) ** (exponent / (1 - exponent))",
        "params_at_loss": "scale * (loss_unit * loss_nats ** (1 / loss_exponent)) ** exponent",
        "loss_nats": "(compute_flops / loss_unit) ** loss_exponent",
    }

    def params_at_compute(self, flops: Any) -> Any:
        """N = k C^a."""
        return self.scale * flops**self.exponent

    def tokens_at_params(self, n_params: Any) -> Any:
        """D = C / (6 N) with C = (N / k)^(1 / a)."""
        return (n_params / self.scale) ** (1 / self.exponent) / (FLOPS_PER_PARAM_TOKEN * n_params)

    def params_at_tokens(self, n_tokens: Any) -> Any:
        """N from D = C^(1 - a) / (6 k)."""
        flops = (FLOPS_PER_PARAM_TOKEN * self.scale * n_tokens) ** (1 / (1 - self.exponent))
        return self.params_at_compute(flops)

    def params_at_loss(self, loss_nats: Any) -> Any:
        """N of the cheapest run that reaches a loss."""
        assert self.loss_of_compute is not None, "asked for the loss of a frontier without one"
        return self.params_at_compute(self.loss_of_compute.solve(loss_nats))

    def tokens_at_compute(self, flops: Any, n_params: Any) -> Any:
        """D = C / (6 N)."""
        return flops / FLOPS_PER_PARAM_TOKEN / n_params

    def tokens_at_loss(self, n_params: Any, loss_nats: Any) -> Any:  # noqa: ARG002 - a frontier with bounds uses it
        """D of the cheapest run that reaches a loss, from its N."""
        return self.tokens_at_params(n_params)

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        """The loss of a run on the frontier, where it is known."""
        return self.loss_of_compute.at(compute_flops=training_flops(n_params, n_tokens)) if self.loss_of_compute else None


def frontier_of_params(law: Power, loss_of_compute: Power | None = None) -> PowerFrontier:
    """From N = k (C / unit)^a."""
    exponent = law.exponents["compute_flops"]
    return PowerFrontier(law.scale / law.units.get("compute_flops", 1) ** exponent, exponent, loss_of_compute)


def frontier_of_tokens(law: Power, loss_of_compute: Power | None = None) -> PowerFrontier:
    """From D = k (C / unit)^b: N = C / (6 D)."""
    exponent = law.exponents["compute_flops"]
    scale = law.scale / law.units.get("compute_flops", 1) ** exponent
    return PowerFrontier(1 / (FLOPS_PER_PARAM_TOKEN * scale), 1 - exponent, loss_of_compute)


def power_of(block: Mapping[str, Any]) -> Power:
    """From a block of a preset: `scale`, `offset`, and `<quantity>_exponent` with its `<quantity>_unit`.

    `value_unit` multiplies the result: a law that counts sequences of 2,048 tokens has `value_unit = 2048`.
    """
    exponents = {name: float(block[f"{name}_exponent"]) for name in QUANTITIES if f"{name}_exponent" in block}
    units = {name: block[f"{name}_unit"] for name in exponents if f"{name}_unit" in block}
    if not exponents:
        known = ", ".join(f"`{name}_exponent`" for name in QUANTITIES)
        raise InputError("a block of form `power` has no exponent", hint=f"write one or more of {known}")
    value_unit = block.get("value_unit", 1)
    return Power(block.get("scale", 1) * value_unit, exponents, units, block.get("offset", 0) * value_unit)
