"""What a run file says in the place of fields that were left open: model, layout, and the settings of a step."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scaleplan.errors import InputError, UsageError
from scaleplan.wording import field, fields

if TYPE_CHECKING:
    from scaleplan.chain.run_files.run_file import RunFile
    from scaleplan.machine.layout import Layout
    from scaleplan.model_files import Model

LAYOUTS = ("explain", "layout")
SETTINGS = {
    "seq_len": "seq_len",
    "micro_batch_size_seqs": "micro_batch_size_seqs",
    "global_batch_size_seqs": "global_batch_size_seqs",
    "precision": "precision",
    "recompute": "recompute",
    "recompute_every": "recompute_every",
    "attention": "attention",
    "optimizer": "optimizer",
    "offload": "offload",
    "schedule": "pipeline_schedule",
}
"""A setting of a run file -> the field that it stands for."""
PLAIN = {"recompute": "none", "recompute_every": 1, "optimizer": "adamw", "offload": "none", "schedule": "1f1b"}
"""What a setting is where nothing was asked for."""


def put_in(values: Mapping[str, Any], words: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """The fields that were given, and what the file says of those that were not.

    words  those of a shape: they add what the file lacks
    known  fields of the question; what the file says beyond them joins its unused keys
    """
    file: RunFile = values["from_file"]
    if file.has_shape and any(name in known for name in LAYOUTS):
        check_batch(file, file.layout(values.get("n_devices") or degrees_of(file)))
    found = dict(values) | {"model": model_of(file, values.get("model"), words)}
    if not any(name in known for name in LAYOUTS):
        return found if "seq_len" not in known else with_settings(found, file, {"seq_len": file.fields.get("seq_len")}, known)
    place = next(name for name in LAYOUTS if name in known)
    if found.get(place) is not None:
        raise UsageError(f"{fields('from_file', place)} contradict each other: both name a layout", hint=f"leave out {field(place)}")
    n_layers = sum(count for _, count in found["model"].arch.stacks[-1].order)
    layout = file.layout(found.get("n_devices") or degrees_of(file), n_layers)
    return with_settings(found | {place: layout}, file, file.settings(layout)._asdict(), known)


def check_batch(file: RunFile, layout: Layout) -> None:
    """Refuse a global batch that the micro-batches of all replicas do not make up; said before what the file lacks is asked for."""
    settings = file.settings(layout)
    micro, whole = settings.micro_batch_size_seqs or 1, settings.global_batch_size_seqs
    if whole and whole % (micro * layout.dp):
        raise InputError(
            f"a global batch of {whole} sequences is not a whole number of micro-batches of {micro} on dp {layout.dp}",
            hint=f"give another {field('n_devices')}, or change the file",
            file=file.name,
        )


def degrees_of(file: RunFile) -> int:
    """The fewest devices of the file: one data parallel rank."""
    product = 1
    for name in ("tp", "pp", "cp"):
        product *= int(file.fields.get(name, 1))
    return max(1, product * max(1, int(file.fields.get("replicate", 1)) * max(1, int(file.fields.get("shard", 1)))))


def model_of(file: RunFile, given: Any, words: Mapping[str, Any]) -> Model:
    """The model of the file, or the one that was named where files of its form hold none."""
    from scaleplan.model_files import Model
    from scaleplan.questions.asking import ModelGiven

    if not file.has_shape:
        return ModelGiven(given, dict(words)).model()
    if given is not None:
        raise UsageError(
            f"`{given}` and {field('from_file')} both describe a model", hint=f"a {file.form} file holds the shape: leave out MODEL"
        )
    return Model(file.arch(**words), Path(file.name).stem)


def with_settings(values: dict[str, Any], file: RunFile, settings: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """The settings of the file for fields that were not given; what no field takes is listed as not used."""
    found, left = dict(values), list(file.unused)
    for name, value in settings.items():
        wanted = SETTINGS[name]
        if (
            value is None
            or found.get(wanted) is not None
            or (wanted == "micro_batch_size_seqs" and found.get("batch_size_seqs") is not None)
        ):
            continue
        if PLAIN.get(name) == value:
            continue
        if wanted in known:
            found[wanted] = value
        elif key := file.table.key_of(name):
            left.append(key)
    return found | {"from_file": file._replace(unused=tuple(left))}


def unused_notes(file: RunFile | None) -> list[str]:
    """What the file says that no number depends on."""
    if file is None or not file.unused:
        return []
    return [f"Not used of {file.name}: {', '.join(file.unused)}."]
