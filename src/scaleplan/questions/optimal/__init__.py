"""How large a model on how many tokens by each scaling law: of a dense model, or of a mixture of experts."""

from __future__ import annotations

from typing import NamedTuple

from scaleplan.errors import NotSupported, UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.optimal import beside
from scaleplan.questions.registry import asks
from scaleplan.wording import field, fields


class OfDense(NamedTuple):
    """What each law says of a dense model: one of compute, N, D and the loss for the best of the rest, or two for the third."""

    compute: float | None = None
    n_params: int | None = None
    tokens: float | None = None
    loss: float | None = None
    law: tuple[str, ...] = ()
    n_kind: str | None = None
    unique_tokens: float | None = None
    inference_tokens: float | None = None
    tokens_per_param: float | None = None
    where: tuple[str, ...] = ()
    loss_change: float | None = None
    precision: str | None = None
    bytes_per_token: float | None = None
    exact_flops: bool = False
    like: str | None = None
    seq_len: int | None = None
    usd: float | None = None
    device_days: float | None = None
    hardware: str | None = None
    mfu: float | None = None
    usd_per_device_hour: float | None = None
    provider: str | None = None
    price_term: str | None = None

    def check(self) -> None:
        """What narrows a budget needs one that is open; exact FLOP divide a budget of compute alone."""
        check_bounds(self)
        if not self.exact_flops:
            return
        beside = [
            name for name in ("n_params", "tokens", "loss", "inference_tokens", "tokens_per_param") if getattr(self, name) is not None
        ]
        beside += ["where"] if self.where else []
        if self.compute is None or beside:
            raise UsageError(
                f"{field('exact_flops')} divides a {field('compute')} alone, or with {field('unique_tokens')}",
                hint=f"leave out {fields(*beside, joined=', ')}" if beside else f"add {field('compute')}",
            )
        if self.like == "moe":
            raise NotSupported(
                f"{field('exact_flops')} counts dense shapes",
                hint=f"{field('like')} llama or gpt; or {field('n_experts')} without {field('exact_flops')}",
            )


class OfMixture(NamedTuple):
    """What the laws that know experts say: N is what a token passes."""

    n_experts: int
    n_experts_per_token: int
    compute: float | None = None
    n_params: int | None = None
    tokens: float | None = None
    loss: float | None = None
    law: tuple[str, ...] = ()
    tokens_per_param: float | None = None
    where: tuple[str, ...] = ()

    def check(self) -> None:
        """No token passes more experts than there are."""
        check_bounds(self)
        if self.n_experts_per_token > self.n_experts:
            raise UsageError(
                f"{field('n_experts_per_token')} `{self.n_experts_per_token}` is more than {field('n_experts')} `{self.n_experts}`",
                hint=f"give at most {self.n_experts}",
            )


def check_bounds(asked: OfDense | OfMixture) -> None:
    """Bounds narrow what compute or a loss alone leaves open; tokens per parameter also stand beside one of N and D."""
    sizes = [name for name in ("n_params", "tokens") if getattr(asked, name) is not None]
    others = [name for name in ("compute", "loss") if getattr(asked, name) is not None]
    if asked.where and sizes:
        refuse_bound("where", sizes)
    if asked.tokens_per_param is not None and sizes and (len(sizes) > 1 or others):
        refuse_bound("tokens_per_param", [*others, *sizes])


def refuse_bound(name: str, beside: list[str]) -> None:
    """A bound where nothing is open."""
    hint = f"it narrows what {field('compute')} or {field('loss')} alone leaves open"
    raise UsageError(f"{field(name)} does not apply beside {fields(*beside)}", hint=hint)


PAID = ("usd", "device_days")
QUESTION = Question(
    name="optimal",
    asks=asks("optimal"),
    subject=(),
    headings={
        "Budget, one or two of": ("compute", "n_params", "tokens", "loss"),
        "Budget in money or time": ("usd", "device_days", "hardware", "mfu", "usd_per_device_hour", "provider", "price_term"),
        "Laws": ("law", "n_kind"),
        "Constraints": ("unique_tokens", "inference_tokens", "tokens_per_param", "where"),
        "Loss": ("loss_change", "precision", "bytes_per_token"),
        "Exact FLOP": ("exact_flops", "like", "seq_len"),
        "Mixture of experts": ("n_experts", "n_experts_per_token"),
        **beside.HEADINGS,
        "Rules of more": ("n_steps", "batch_size_tokens", "d_model"),
    },
    shapes=(
        *beside.SHAPES,
        Shape(
            "mixture",
            OfMixture,
            "a mixture of experts",
            "optimal.mixture",
            "optimal.results:OfMixture",
            ("n_experts", "n_experts_per_token"),
            needs={"n_experts": ("n_experts_per_token",), "n_experts_per_token": ("n_experts",)},
        ),
        Shape(
            "dense",
            OfDense,
            "a dense model",
            "optimal.dense",
            "optimal.results:OfDense",
            together=(
                ("exact_flops", "loss_change"),
                ("compute", "usd", "device_days", "loss"),
                ("usd_per_device_hour", "provider"),
                ("usd_per_device_hour", "price_term"),
                ("device_days", "usd_per_device_hour"),
                ("device_days", "provider"),
                ("device_days", "price_term"),
            ),
            needs={
                "like": ("exact_flops",),
                "seq_len": ("exact_flops",),
                "usd": ("hardware",),
                "device_days": ("hardware",),
                "hardware": PAID,
                "mfu": PAID,
                "usd_per_device_hour": ("usd",),
                "provider": ("usd",),
                "price_term": ("usd",),
            },
        ),
    ),
    examples=(
        "scaleplan optimal --compute 1e21",
        "scaleplan optimal --n-params 70B --tokens 1.4T --law besiroglu2024",
        "scaleplan optimal --usd '$100k' --hardware h100-sxm",
        "scaleplan optimal --compute 1e22 --unique-tokens 25B",
        "scaleplan optimal --loss 2.1 --inference-tokens 2T",
        "scaleplan optimal --compute 1e23 --where 'n_params<=13B'",
        "scaleplan optimal --n-params 7B --tokens 2T --loss-change -5%",
        "scaleplan optimal --compute 1e21 --exact-flops --like gpt --seq-len 8192",
        "scaleplan optimal --compute 1e21 --n-experts 8 --n-experts-per-token 1",
        *beside.EXAMPLES,
        "scaleplan optimal --compute 1e21 --plot",
    ),
    more=(
        "Fix one of compute, parameters, tokens and loss for the best of the rest, or two of the first three for the third. "
        "Of a mixture of experts, N is what a token passes, and the laws that know experts answer."
    ),
    charts=True,
)
