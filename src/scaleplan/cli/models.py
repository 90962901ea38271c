"""The model that a command is about: the MODEL argument, or the flags that describe a shape.

`with_model` gives a command both, and hands it the model that was meant.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple

import typer

from scaleplan import units
from scaleplan.answer import Answer
from scaleplan.cli.options import one_of, quantity
from scaleplan.errors import UsageError
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.words import REQUIRED, WORDS
from scaleplan.model_files import Model, model_of_words, read_model

ModelArgument = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODEL]", help="A preset, a config.json or its folder, a model TOML, or - for standard input.", show_default=False
    ),
]

SHAPE_FLAGS = (
    "n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_ff", "gated", "n_vocab", "n_positions", "tied", "attention_bias",
    "mlp_bias", "norm", "qk_norm", "n_experts", "n_experts_per_token", "d_ff_expert", "n_shared_experts", "n_dense_layers",
    "n_encoder_layers", "bidirectional", "d_embedding", "n_shared_copies", "mixer", "feed_forward", "window", "chunk", "stride", "n_global",
    "n_random", "n_hashes", "n_buckets", "n_extra_params",
)  # fmt: skip
"""The words that are flags as well; the others have their place in model files."""

ADDED = ("n_extra_params",)
"""Flags that may stand beside a MODEL and change it."""


def lora_of(text: str) -> Any:
    """The adapters that a text describes."""
    from scaleplan.model.adapters import parse_lora

    return parse_lora(text)


LoraOption = Annotated[
    Any,
    typer.Option(
        "--lora",
        parser=lora_of,
        metavar="ADAPTER",
        help="Train low-rank adapters on frozen weights: rank=16,targets=attention+mlp.",
        show_default=False,
    ),
]


def bill_with(model: Model, lora: Any) -> Bill:
    """The model's bill, with adapters where they were asked for."""
    if lora is None:
        return bill_of(model.arch)
    from scaleplan.model.adapters import with_lora

    return with_lora(bill_of(model.arch), lora)


def flag(word: str) -> str:
    """How a word is spelled on the command line."""
    return "--" + word.replace("_", "-")


def spelled(word: str) -> str:
    """A word as errors name it: its flag, or where else it may be said."""
    return flag(word) if word in SHAPE_FLAGS else f"`{word}`, which only a model TOML can say"


def option(word: str) -> Any:
    """The flag of a word, as a parameter's annotation."""
    known, help_text = WORDS[word], sentence(WORDS[word].meaning)
    if known.kind == "flag":
        names = "--tied/--untied" if word == "tied" else f"{flag(word)}/--no-{word.replace('_', '-')}"
        return Annotated[bool | None, typer.Option(names, help=help_text, show_default=False)]
    if isinstance(known.kind, tuple):
        choices = known.kind
        kind = typer.Option(
            flag(word), parser=one_of(f"choice of {flag(word)}", *choices), metavar="WORD", help=f"{help_text} One of {', '.join(choices)}."
        )
        return Annotated[str | None, kind]
    read = units.count if known.kind == "size" else units.count_or_zero
    return Annotated[int | None, quantity(flag(word), read, help_text, metavar="N")]


def sentence(text: str) -> str:
    """A meaning as a help text."""
    return text[0].upper() + text[1:] + "."


class Choice(NamedTuple):
    """What was said of the model, before it is read: the argument MODEL and the words of the shape flags."""

    text: str | None
    shape: dict[str, Any]

    def model(self) -> Model:
        """The model of the argument or of the flags; both or neither is an error."""
        if (found := self.model_if_any()) is not None:
            return found
        least = " ".join(f"{flag(word)} N" for word in (*REQUIRED, "n_heads"))
        raise UsageError("no model", hint=f"give the name of a preset (`scaleplan presets models`), a config.json, or a shape: {least}")

    def model_if_any(self) -> Model | None:
        """The same, but None where nothing was said."""
        added = {word: value for word, value in self.shape.items() if word in ADDED}
        shape = {word: value for word, value in self.shape.items() if word not in ADDED}
        if self.text is None:
            return model_of_words(self.shape, spelled) if shape else None
        if shape:
            raise UsageError(
                f"`{self.text}` and {', '.join(map(flag, shape))} both describe a model", hint="give a MODEL or a shape, not both"
            )
        model = read_model(self.text)
        return model.but(**added) if added else model


def with_model(function: Callable[..., Answer]) -> Callable[..., Answer]:
    """Replace a command's parameter `model` by the argument MODEL and the shape flags.

    The command gets the `Model`, or None where its annotation says `Model | None` and nothing was said, or the unread `Choice`.
    """
    own = list(inspect.signature(function, eval_str=True).parameters.values())
    wanted = next(p for p in own if p.name == "model")

    def run(*, model: str | None, **asked: Any) -> Answer:
        shape = {word: asked.pop(word) for word in SHAPE_FLAGS}
        choice = Choice(model, {word: value for word, value in shape.items() if value is not None})
        if wanted.annotation is Choice:
            return function(model=choice, **asked)
        return function(model=choice.model_if_any() if wanted.default is None else choice.model(), **asked)

    rest = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own if p.name != "model"]
    argument = inspect.Parameter("model", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=ModelArgument)
    shape = [inspect.Parameter(word, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=option(word)) for word in SHAPE_FLAGS]
    run.__signature__ = inspect.Signature([argument, *rest, *shape])  # type: ignore[attr-defined]  # every function takes one
    run.__name__, run.__doc__, run.__module__ = function.__name__, function.__doc__, function.__module__
    return run
