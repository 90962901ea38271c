"""How large a batch before it wastes tokens: steps against tokens to one loss, or the gradient noise scale of measured norms."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.laws.batch import NormAtBatch


class OfNorms(NamedTuple):
    """The gradient noise scale from mean squared gradient norms at two batch sizes."""

    gradient_norm2: tuple[NormAtBatch, ...]

    def check(self) -> None:
        """Two batch sizes."""
        if len({one.batch for one in self.gradient_norm2}) != 2 or len(self.gradient_norm2) != 2:
            raise UsageError(f"{field('gradient_norm2')} is measured at two batch sizes", hint="for example 32=0.041 and 512=0.0028")


class OfLoss(NamedTuple):
    """The runs that reach one loss: given, or told by a law of N and D; a batch or a step time of one's own beside them."""

    loss: float | None = None
    n_params: int | None = None
    tokens: float | None = None
    batch_size_tokens: int | None = None
    n_steps: int | None = None
    law: tuple[str, ...] | None = None
    optimizer: str | None = None
    d_model: int | None = None
    schedule: bool = False
    step_s: float | None = None

    def check(self) -> None:
        """A law tells the loss of a run, so it stands beside no loss, and alone."""
        if self.law and self.loss is not None:
            raise UsageError(
                f"{field('law')} has no use beside {field('loss')}: it tells the loss of a run", hint=f"leave out {field('law')}"
            )
        run = self.tokens is not None or self.n_steps is not None
        for name in ("optimizer", "d_model"):
            if getattr(self, name) is not None and (self.n_params is None or not run):
                raise UsageError(f"{field(name)} needs a run", hint=f"add {fields('n_params', 'tokens')}")
        if self.n_steps is not None and self.loss is not None:
            raise UsageError(f"{fields('loss', 'n_steps')}: the steps tell the loss", hint=f"leave out {field('loss')}")
        if self.law and len(self.law) > 1:
            raise UsageError(f"more than one {field('law')}: one law tells the loss", hint="give one")


QUESTION = Question(
    name="batch",
    asks=asks("batch"),
    subject=(),
    headings={
        "Loss or run": ("loss", "n_params", "tokens", "batch_size_tokens", "n_steps", "law"),
        "Learning rate and weight decay": ("optimizer", "d_model"),
        "Beside the trade-off": ("schedule", "step_s"),
        "Gradient noise scale": ("gradient_norm2",),
    },
    shapes=(
        Shape("noise", OfNorms, "the gradient noise scale", "batch.noise", "batch.results:Noise", ("gradient_norm2",)),
        Shape(
            "tradeoff",
            OfLoss,
            "steps against tokens",
            "batch.tradeoff",
            "batch.results:Steps",
            together=(("tokens", "n_steps"),),
            needs={"n_steps": ("batch_size_tokens",), "d_model": ("batch_size_tokens",)},
        ),
    ),
    examples=(
        "scaleplan batch --loss 2.5",
        "scaleplan batch --n-params 1B --tokens 20B",
        "scaleplan batch --n-params 7B --tokens 2T --batch-size-tokens 4M",
        "scaleplan batch --n-params 1B --n-steps 50000 --batch-size-tokens 512Ki",
        "scaleplan batch --n-params 1B --tokens 20B --optimizer muon",
        "scaleplan batch --loss 2.5 --plot",
        "scaleplan batch --loss 2.6 --n-params 1B --schedule",
        "scaleplan batch --gradient-norm2 32=0.041 --gradient-norm2 512=0.0028",
    ),
    more="From a loss; or from the size and the tokens of a run, whose loss a law tells: the recommended one, or that of {law}.",
    version=2,
    charts=True,
)
