"""A model that must also be served: smaller, and trained for longer."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.laws.convention import FLOPS_PER_PARAM_TOKEN, INFERENCE_FLOPS_PER_PARAM_TOKEN, training_flops
from scaleplan.laws.forms import Additive, Frontier
from scaleplan.laws.search import rising_root


class _ServedConstants(NamedTuple):
    law: Frontier
    inference_tokens: Any


class Served(_ServedConstants, Frontier):
    """The best N and D when a model must also be served: least 6 N D + 2 N I for I tokens of inference.

    No closed form, but one condition: what parameters save must be 1 + I / (3 D) times what tokens save.
    Source: sardana2024 section 2; the condition follows from it by setting the derivative to zero.
    """

    __slots__ = ()

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        return self.law.loss(n_params, n_tokens)

    def balance(self, n_params: Any, n_tokens: Any) -> Any:
        by_params, by_tokens = self.law.savings(n_params, n_tokens)
        return by_params / self.burden(n_tokens) - by_tokens

    def burden(self, n_tokens: Any) -> Any:
        """1 + I / (3 D): what a parameter costs against training alone."""
        return 1 + self.inference_tokens / (FLOPS_PER_PARAM_TOKEN / INFERENCE_FLOPS_PER_PARAM_TOKEN * n_tokens)

    def total_flops(self, n_params: Any, n_tokens: Any) -> Any:
        """Training and inference together."""
        return training_flops(n_params, n_tokens) + INFERENCE_FLOPS_PER_PARAM_TOKEN * n_params * self.inference_tokens

    def params_at_compute(self, flops: Any) -> Any:
        """N where the budget pays for training and inference together."""
        tokens = rising_root(lambda d: self.total_flops(self.params_at_tokens(d), d) - flops)
        return self.params_at_tokens(tokens)

    def tokens_at_compute(self, flops: Any, n_params: Any) -> Any:
        """D of training, once the inference is paid for: C / (6 N) - I / 3."""
        return (flops / n_params - INFERENCE_FLOPS_PER_PARAM_TOKEN * self.inference_tokens) / FLOPS_PER_PARAM_TOKEN

    def params_at_tokens(self, n_tokens: Any) -> Any:
        """N = (alpha A D^beta / (beta B (1 + I / (3 D))))^(1 / alpha); of other forms than the additive, a root."""
        if not isinstance(self.law, Additive):
            return super().params_at_tokens(n_tokens)
        return self.law.params_at_tokens(n_tokens) / self.burden(n_tokens) ** (1 / self.law.alpha)
