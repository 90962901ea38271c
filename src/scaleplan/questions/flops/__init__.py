"""How much compute to train and to serve a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from scaleplan.questions.asking import Question, Shape
from scaleplan.questions.registry import asks

if TYPE_CHECKING:
    from scaleplan.model.adapters import Lora
    from scaleplan.model.sparsity import Sparsity
    from scaleplan.model_files import Model


class OfModel(NamedTuple):
    """The FLOP of one model, by token, and of a run where its tokens are given."""

    model: Model
    seq_len: int | None = None
    decoder_seq_len: int | None = None
    tokens: float | None = None
    n_steps: int | None = None
    batch_size_seqs: int | None = None
    batch_size_tokens: int | None = None
    text: float | None = None
    bytes_per_token: float | None = None
    flops_convention: str | None = None
    causal: bool = False
    windowed: bool = False
    no_logits: bool = False
    recompute: str | None = None
    lora: Lora | None = None
    sparsity: Sparsity | None = None
    precision: str | None = None


COUNTED = ("causal", "windowed", "no_logits")
QUESTION = Question(
    name="flops",
    asks=asks("flops"),
    subject=("model",),
    headings={
        "Run": ("tokens", "seq_len", "n_steps", "batch_size_seqs", "batch_size_tokens", "text", "bytes_per_token", "decoder_seq_len"),
        "What is counted": ("flops_convention", "causal", "windowed", "no_logits", "recompute", "lora", "sparsity", "precision"),
    },
    shapes=(
        Shape(
            "model",
            OfModel,
            "the FLOP of a model",
            "flops.of_model",
            "flops.results:ModelFlops",
            together=(
                ("tokens", "n_steps", "text"),
                ("batch_size_tokens", "batch_size_seqs"),
                *(("flops_convention", name) for name in (*COUNTED, "recompute")),
            ),
            needs={"text": ("bytes_per_token",), "bytes_per_token": ("text",), "n_steps": ("batch_size_tokens", "batch_size_seqs")},
        ),
    ),
    examples=(
        "scaleplan flops gpt2 --tokens 300B --seq-len 1024",
        "scaleplan flops llama-3-8b --seq-len 8192 --batch-size-seqs 4 --causal",
        "scaleplan flops ./config.json --tokens 1T --recompute full -v",
        "scaleplan flops llama-3-8b --tokens 1T --sparsity 2:4",
    ),
    takes_shape=True,
)
