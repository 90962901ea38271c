"""Uneven pipeline stages as Megatron says them: a map of stages, or first and last stages of their own."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from scaleplan.errors import InputError, clipped

GROUP = re.compile(r"\(([^()]*)\)\*(\d{1,6})")
REPEATED = re.compile(r"([A-Za-z])\*(\d{1,6})")
MOST_LETTERS = 1_000_000


def map_of(stage_layers: tuple[int, ...]) -> str:
    """Layers of each stage as a map: `Et*10|t*12|t*12|t*10L`, E the embedding, t a layer, L the loss."""
    stages = [f"t*{count}" for count in stage_layers]
    return f"E{'|'.join(stages)}L"


def layers_of_map(text: str) -> tuple[int, ...]:
    """Layers of each stage of a map; `(..)*n` and `x*n` repeat, `,` and spaces only separate."""
    spelled = text.strip("\"'").replace(",", "").replace(" ", "")
    while found := GROUP.search(spelled):
        spelled = repeated(spelled, found, text)
    while found := REPEATED.search(spelled):
        spelled = repeated(spelled, found, text)
    if not re.fullmatch(r"[EtmL|]+", spelled):
        raise InputError(f"`{clipped(text)}` is no map of pipeline stages", hint="as in `Et*3|t*4|t*4|t*3L`")
    return tuple(stage.count("t") for stage in spelled.split("|"))


def repeated(spelled: str, found: re.Match[str], text: str) -> str:
    """A map with one repetition written out."""
    count = int(found[2])
    if len(spelled) + count * len(found[1]) > MOST_LETTERS:
        raise InputError(f"`{clipped(text)}` is too long a map of pipeline stages")
    return spelled[: found.start()] + found[1] * count + spelled[found.end() :]


def stage_layers_of(fields: Mapping[str, Any], n_layers: int | None) -> tuple[int, ...] | None:
    """Layers of each stage, where the file says that they are uneven.

    first, last  layers of the first and the last stage; those between share the rest
    as_layer     the embedding, or the loss, is counted as one layer of the stage that holds it
    """
    if fields.get("stage_map"):
        return layers_of_map(fields["stage_map"])
    ends = [fields.get(name) for name in ("first_stage_layers", "last_stage_layers")]
    extra = [bool(fields.get(name)) for name in ("embedding_as_layer", "loss_as_layer")]
    stages = fields.get("pp", 1) * fields.get("n_virtual_stages", 1)
    if n_layers is None or stages == 1 or not (any(extra) or any(end is not None for end in ends)):
        return None
    if any(extra):
        each, rest = divmod(n_layers + sum(extra), stages)
        check_even(rest, n_layers + sum(extra), stages)
        return tuple(each - (extra[0] and i == 0) - (extra[1] and i == stages - 1) for i in range(stages))
    middle = stages - sum(end is not None for end in ends)
    left = n_layers - sum(end for end in ends if end is not None)
    each, rest = divmod(left, middle) if middle else (0, left)
    check_even(rest, left, middle)
    first, last = ([] if end is None else [end] for end in ends)
    return (*first, *[each] * middle, *last)


def check_even(rest: int, layers: int, stages: int) -> None:
    """Refuse layers that equal stages cannot share."""
    if rest:
        raise InputError(f"{layers} layers are not shared evenly by {stages} pipeline stages")
