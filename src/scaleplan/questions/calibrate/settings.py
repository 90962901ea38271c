"""What a measured step ran with, where that is not what the plan says: plan keys that change a step."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

from scaleplan.errors import UsageError, clipped
from scaleplan.questions.fields import SHAPE_WORDS, read, shape_field
from scaleplan.questions.plan_file import key_named
from scaleplan.wording import field

OF_A_STEP = (
    "layout", "n_devices", "micro_batch_size_seqs", "batch_size_tokens", "seq_len", "recompute", "attention", "precision", "optimizer",
    "pipeline_schedule",
)  # fmt: skip
"""Fields of a plan that change its step and that a log may name."""


@cache
def setting_key(heading: str) -> str | None:
    """The plan key that a heading is, by its name or dotted; None for any other."""
    name = heading.strip()
    if name in OF_A_STEP or name in SHAPE_WORDS:
        return key_named(name)
    return name if name in {key_named(one) for one in (*OF_A_STEP, *SHAPE_WORDS)} else None


def settings_at(texts: Sequence[str]) -> tuple[str, ...]:
    """`key=value` texts of the request, their keys checked; raises UsageError."""
    found = []
    for text in texts:
        name, equals, value = text.partition("=")
        key = setting_key(name)
        if key is None or not equals or not value.strip():
            known = ", ".join((*OF_A_STEP, "n_layers", "d_model"))
            raise UsageError(f"{field('measured_at')}: `{clipped(text)}` is not key=value of a step", hint=f"keys: {known}, ...")
        found.append(f"{key}={value.strip()}")
    return tuple(found)


MODEL = "model."


def shape_words(settings: Sequence[str]) -> dict[str, Any]:
    """The words of a shape among the settings, read: a measured model may have fewer layers than the plan's."""
    pairs = [text.removeprefix(MODEL).partition("=") for text in settings if text.startswith(MODEL)]
    return {word: read(shape_field(word), value) for word, _, value in pairs}


def with_devices(settings: Sequence[str]) -> tuple[str, ...]:
    """The settings, and the number of devices that their layout has where they name none."""
    keys = {text.partition("=")[0]: text.partition("=")[2] for text in settings}
    layout, devices = key_named("layout"), key_named("n_devices")
    if layout not in keys or devices in keys:
        return tuple(settings)
    from scaleplan.machine.layout import parse_layout

    return (*settings, f"{devices}={parse_layout(keys[layout]).n_devices}")
