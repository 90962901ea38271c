"""How fast a model is served on devices, what fits on them, and what a token costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks

if TYPE_CHECKING:
    from scaleplan.chain.cost_inputs import Watts
    from scaleplan.machine.layout import Layout
    from scaleplan.model_files import Model


class OfLoad(NamedTuple):
    """A static batch of sequences on one deployment of the model, and a fleet of such deployments."""

    model: Model
    hardware: str
    layout: Layout | None = None
    stack: str | None = None
    precision: str | None = None
    cache_precision: str | None = None
    cache_block_tokens: int | None = None
    n_prompt_tokens: int | None = None
    n_output_tokens: int | None = None
    concurrency: int | None = None
    requests_per_s: float | None = None
    cached_prefix: float | None = None
    chunked_prefill: bool = False
    n_draft_tokens: int | None = None
    draft_acceptance: float | None = None
    draft_cost: float | None = None
    usd_per_device_hour: float | None = None
    price_term: str | None = None
    provider: str | None = None
    device_power: Watts = None
    system_power: Watts = None
    pue: float | None = None


DRAFT = ("n_draft_tokens",)
QUESTION = Question(
    name="serve",
    asks=asks("serve"),
    subject=("model",),
    headings={
        "Hardware and layout": ("hardware", "layout", "stack"),
        "Load": ("n_prompt_tokens", "n_output_tokens", "concurrency", "requests_per_s"),
        "Number formats": ("precision", "cache_precision", "cache_block_tokens"),
        "Off by default": ("cached_prefix", "chunked_prefill", "n_draft_tokens", "draft_acceptance", "draft_cost"),
        "Price and power": ("usd_per_device_hour", "price_term", "provider", "device_power", "system_power", "pue"),
    },
    shapes=(
        Shape(
            "load",
            OfLoad,
            "serving a load",
            "serve.of_load",
            "serve.results:ServedLoad",
            together=(("usd_per_device_hour", "price_term"), ("usd_per_device_hour", "provider")),
            needs={"n_draft_tokens": ("draft_acceptance",), "draft_acceptance": DRAFT, "draft_cost": DRAFT},
        ),
    ),
    examples=(
        "scaleplan serve llama-3-8b --hardware h100-sxm",
        "scaleplan serve llama-2-70b --hardware h100-sxm --layout tp8 --n-prompt-tokens 2048",
        "scaleplan serve llama-3-70b --hardware h100-sxm --precision fp8 --requests-per-s 20",
        "scaleplan serve llama-3-8b --hardware l40s --n-draft-tokens 4 --draft-acceptance 0.8",
    ),
    takes_shape=True,
)
