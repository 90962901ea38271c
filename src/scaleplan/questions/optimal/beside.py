"""Requests of `optimal` that divide no budget: what published laws say beside it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.errors import UsageError
from scaleplan.questions.asking import Shape
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.model.sparsity import Sparsity


class OfRules(NamedTuple):
    """What each law says of what is known, rule by rule; of steps the least, at large batches. N is of each law's own kind."""

    rules: bool
    law: tuple[str, ...] = ()
    n_params: int | None = None
    tokens: float | None = None
    compute: float | None = None
    tokens_per_param: float | None = None
    loss: float | None = None
    n_steps: int | None = None
    position: int | None = None
    batch_size_tokens: int | None = None
    d_model: int | None = None

    def check(self) -> None:
        """A rule needs something to start from."""
        if all(value is None for value in self[2:]):
            names = ("n_params", "tokens", "compute", "tokens_per_param", "loss")
            raise UsageError(f"{field('rules')} of what?", hint=f"give one or more of {fields(*names, joined=', ')}")


class OfContext(NamedTuple):
    """The loss at a position of the context, and of contexts of that length."""

    position: int


class OfBits(NamedTuple):
    """What training in few bits costs; with N and D also what rounding the weights after training adds."""

    bits: float
    n_params: int | None = None
    tokens: float | None = None

    def check(self) -> None:
        """Rounding after training needs both."""
        if (self.n_params is None) != (self.tokens is None):
            raise UsageError(f"{fields('n_params', 'tokens')} go together", hint="with both, what rounding after training adds")


class OfSparsity(NamedTuple):
    """A model of which a share of the weights is zero, trained so: of a size and tokens, or the best of a budget."""

    sparsity: Sparsity
    n_params: int | None = None
    tokens: float | None = None
    compute: float | None = None

    def check(self) -> None:
        """N and D, or a budget."""
        check_run("sparsity", self.n_params, self.tokens, self.compute)


class OfEpochs(NamedTuple):
    """Passes over the same tokens."""

    epochs: float
    law: tuple[str, ...] = ()

    def check(self) -> None:
        """One law tells what a pass is worth."""
        if len(self.law) > 1:
            raise UsageError(f"more than one {field('law')}: one law tells what repetition is worth", hint="give one")


class OfSizesSeen(NamedTuple):
    """A budget in which embeddings do not count."""

    without_embeddings: bool
    compute: float
    law: tuple[str, ...] = ()


class OfEfficiency(NamedTuple):
    """Sizes that are not the efficient one, training towards convergence, and data against overfitting."""

    size_ratio: float | None = None
    excess: float | None = None
    overfit: float | None = None
    n_params: int | None = None


class OfTask(NamedTuple):
    """The accuracy of a model on a task: of N and D, or of those that the recommended law makes of a budget."""

    task: str
    n_params: int | None = None
    tokens: float | None = None
    compute: float | None = None
    family: str | None = None

    def check(self) -> None:
        """N and D, or a budget."""
        check_run("task", self.n_params, self.tokens, self.compute)


def check_run(name: str, n_params: int | None, tokens: float | None, compute: float | None) -> None:
    """Raises UsageError unless a run is said once: by N and D, or by a budget; `name` is the field that needs it."""
    size = [one for one, value in (("n_params", n_params), ("tokens", tokens)) if value is not None]
    hint = f"give {fields('n_params', 'tokens')}, or {field('compute')}"
    if compute is None and len(size) < 2:
        raise UsageError(f"{field(name)} needs a run", hint=hint)
    if compute is not None and size:
        raise UsageError(f"{fields('compute', *size)} contradict each other", hint=hint)


SHAPES = (
    Shape("rules", OfRules, "the rules of laws", "optimal.rules", "optimal.beside_results:Rules", ("rules",)),
    Shape("context", OfContext, "the loss along the context", "optimal.context", "optimal.beside_results:Context", ("position",)),
    Shape("bits", OfBits, "training in few bits", "optimal.bits", "optimal.beside_results:Bits", ("bits",)),
    Shape("sparse", OfSparsity, "sparse weights", "optimal.sparse", "optimal.beside_results:Sparse", ("sparsity",)),
    Shape("epochs", OfEpochs, "passes over the same tokens", "optimal.epochs", "optimal.beside_results:Epochs", ("epochs",)),
    Shape(
        "without_embeddings",
        OfSizesSeen,
        "a budget without embeddings",
        "optimal.seen",
        "optimal.beside_results:SizesSeen",
        ("without_embeddings",),
    ),
    Shape(
        "efficiency",
        OfEfficiency,
        "training off the efficient size",
        "optimal.efficiency",
        "optimal.beside_results:Efficiency",
        ("size_ratio", "excess", "overfit"),
        needs={"overfit": ("n_params",), "n_params": ("overfit",)},
    ),
    Shape(
        "task",
        OfTask,
        "accuracy on a task",
        "optimal.task",
        "optimal.beside_results:Task",
        ("task", "family"),
        needs={"family": ("task",)},
    ),
)
HEADINGS = {
    "Beside a budget": ("rules", "epochs", "sparsity", "bits", "position", "without_embeddings"),
    "Off the efficient size": ("size_ratio", "excess", "overfit"),
    "Accuracy": ("task", "family"),
}
EXAMPLES = (
    "scaleplan optimal --rules --n-params 1B --law henighan2020-video",
    "scaleplan optimal --task hellaswag --n-params 7B --tokens 4T",
)
