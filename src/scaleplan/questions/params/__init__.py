"""How many parameters: of one model, or shapes near a size."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks

if TYPE_CHECKING:
    from scaleplan.chain.run_files.run_file import RunFile
    from scaleplan.machine.layout import Layout
    from scaleplan.model.adapters import Lora
    from scaleplan.model.sparsity import Sparsity
    from scaleplan.model_files import Model


class OfModel(NamedTuple):
    """The parameters of one model, with adapters or pruned where asked for."""

    model: Model
    lora: Lora | None = None
    sparsity: Sparsity | None = None
    from_file: RunFile | None = None


class NearTarget(NamedTuple):
    """Shapes near a number of parameters; the words of a shape are kept as they are given."""

    target: int
    like: str | None = None
    layout: Layout | None = None
    shape: Mapping[str, Any] = MappingProxyType({})


QUESTION = Question(
    name="params",
    asks=asks("params"),
    subject=("model",),
    headings={"Model": ("from_file", "lora", "sparsity"), "Shapes near a size": ("target", "like", "layout")},
    shapes=(
        Shape("target", NearTarget, "shapes near a size", "params.near_target", "params.results:NearShapes", ("target",)),
        Shape("model", OfModel, "the parameters of a model", "params.of_model", "params.results:ModelParams"),
    ),
    examples=(
        "scaleplan params gpt2",
        "scaleplan params ./config.json -v",
        "scaleplan params --n-layers 36 --d-model 1280 --n-heads 20 --n-vocab 50257",
        "scaleplan params llama-3-8b --lora rank=16,targets=attention+mlp",
        "scaleplan params llama-3-8b --sparsity 2:4",
        "scaleplan params --target 7B --like llama --layout tp8",
    ),
    takes_shape=True,
)
