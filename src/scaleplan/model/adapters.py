"""Bill -> Bill: low-rank adapters on frozen weights; and what pruning leaves."""

from collections.abc import Callable
from typing import NamedTuple

from scaleplan.errors import InputError, UnknownName
from scaleplan.model.arch import Arch, Size
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill, Layer, Weight, pruned_elements, total

TARGETS: dict[str, Callable[[Weight], bool]] = {
    "attention": lambda w: w.group == "attention",
    "mixer": lambda w: w.group == "mixer",
    "mlp": lambda w: w.group in ("mlp_dense", "experts_shared"),
    "experts": lambda w: w.group == "experts_routed",
    "all": lambda w: w.group in ("attention", "mixer", "mlp_dense", "experts_shared", "experts_routed"),
    "head": lambda w: w.group == "head_matrix",
    "q": lambda w: w.group == "attention" and w.name in ("Q", "Q up"),
    "k": lambda w: w.group == "attention" and w.name == "K",
    "v": lambda w: w.group == "attention" and w.name == "V",
    "o": lambda w: w.group == "attention" and w.name == "output",
    "gate": lambda w: w.group in ("mlp_dense", "experts_shared") and w.name.endswith("gate"),
    "up": lambda w: w.group in ("mlp_dense", "experts_shared") and w.name.endswith("up"),
    "down": lambda w: w.group in ("mlp_dense", "experts_shared") and w.name.endswith("down"),
}
"""What an adapter may be put on: groups of matrices, or single ones."""


class Lora(NamedTuple):
    """Adapters of one rank on the matrices that the targets name (hu2021).

    base  the format that the frozen weights are kept in, where it is not that of training (dettmers2023: nf4)
    """

    rank: int
    targets: tuple[str, ...] = ("attention",)
    base: str | None = None


QLORA = Lora(64, ("all",), "nf4")
"""The recipe of dettmers2023: rank 64 on every matrix of the layers, over weights in 4 bits with scales in 8."""


def parse_lora(text: str) -> Lora:
    """`rank=16,targets=attention+mlp,base=nf4`; `qlora` for the recipe of that name, with other values after it (`qlora,rank=16`)."""
    first, _, rest = text.partition(",")
    usual = QLORA if first.strip() == "qlora" else None
    said = dict(part.partition("=")[::2] for part in (rest if usual else text).split(",") if part or not usual)
    rank = said.get("rank", str(usual.rank) if usual else "")
    if set(said) - {"rank", "targets", "base"} or not rank.isdecimal() or len(rank) > 9 or int(rank) < 1:
        raise InputError(f"`{text}` describes no adapter", hint="for example rank=16,targets=attention+mlp, or qlora")
    targets = tuple(said["targets"].split("+")) if "targets" in said else usual.targets if usual else Lora._field_defaults["targets"]
    for target in targets:
        if target not in TARGETS:
            raise UnknownName("target of an adapter", target, TARGETS)
    return Lora(int(rank), targets, said.get("base") or (usual.base if usual else None))


def with_lora(bill: Bill, lora: Lora) -> Bill:
    """The bill with everything frozen and two narrow matrices beside each target.

        d_in rank + rank d_out    trainable, for a matrix d_in x d_out

    Raises InputError for a target that this model has no matrix of (Q alone, where Q, K and V are one tensor).
    """
    for target in lora.targets:
        if not any(w.matmul and TARGETS[target](w) for _, w in bill.weights()):
            raise InputError(f"this model has no matrix `{target}` for an adapter", hint=f"it has {', '.join(targets_of(bill))}")
    layers = tuple(layer._replace(weights=adapted(layer, lora)) for layer in bill.layers)
    return bill._replace(layers=layers)


def targets_of(bill: Bill) -> list[str]:
    """The targets that a model has matrices of."""
    return [target for target, picks in TARGETS.items() if any(w.matmul and picks(w) for _, w in bill.weights())]


def adapted(layer: Layer, lora: Lora) -> tuple[Weight, ...]:
    """A layer's weights, frozen, and their adapters."""
    frozen = [weight._replace(trainable=False) for weight in layer.weights]
    targets = [w for w in frozen if w.matmul and any(TARGETS[target](w) for target in lora.targets)]
    return (*frozen, *(half for weight in targets for half in adapter(weight, lora.rank)))


def adapter(weight: Weight, rank: int) -> list[Weight]:
    """The two halves. A tied head has an adapter of its own, so that it is stored as often as it is used."""
    d_in, d_out = weight.shape
    stored = weight.used if weight.group == "head_matrix" else weight.stored
    alike = weight._replace(group="lora", stored=stored, trainable=True)
    return [
        alike._replace(name=f"{weight.name} adapter A", shape=(d_in, rank), tp_ways=1),
        alike._replace(name=f"{weight.name} adapter B", shape=(rank, d_out)),
    ]


def pruned_params(bill: Bill, sparsity: float) -> Size:
    """Parameters that are zero when that share of every matrix in the layers is removed.

    Tables, the head, routers, norms, biases and adapters are kept, as is usual (frantar2023-sparsegpt).
    """
    return total(layer.copies * weight.stored * pruned_elements(layer, weight, sparsity) for layer, weight in bill.weights())


def adapted_bill(arch: Arch, lora: Lora | None) -> Bill:
    """The bill of an architecture, with adapters on frozen weights where they are asked for."""
    return bill_of(arch) if lora is None else with_lora(bill_of(arch), lora)
