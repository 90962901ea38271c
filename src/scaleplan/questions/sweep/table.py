"""The answer of a sweep: a heading, and rows that are computed while they are written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from scaleplan import __version__, library
from scaleplan.answer import Answer, Column, Stream, Table
from scaleplan.questions.sweep.grid import part_of
from scaleplan.questions.sweep.points import Swept, swept_of
from scaleplan.questions.sweep.text import FORMS, Form, header, joined_text, texts

if TYPE_CHECKING:
    from scaleplan.questions.sweep import OverGrid


class Sweeping(NamedTuple):
    """A question over a grid, and the points of the part that is asked for."""

    swept: Swept
    start: int
    stop: int


class Rows(Sequence[dict[str, Any]]):
    """The rows, each computed when it is read."""

    def __init__(self, asked: OverGrid, solved: Sweeping) -> None:
        self.asked, self.solved = asked, solved

    def __len__(self) -> int:
        return self.solved.stop - self.solved.start

    @overload
    def __getitem__(self, place: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, place: slice) -> list[dict[str, Any]]: ...
    def __getitem__(self, place: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        if isinstance(place, slice):
            return [self[one] for one in range(*place.indices(len(self)))]
        if not -len(self) <= place < len(self):
            raise IndexError(place)
        point = self.solved.start + place % len(self)
        return json.loads(joined_text(self.solved.swept, "jsonl", point, point + 1))  # type: ignore[no-any-return]  # a row is an object

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for text, _ in stream_texts(self.asked, self.solved, "jsonl", 0):
            yield from map(json.loads, text.splitlines())


def solve(asked: OverGrid) -> Sweeping:
    """The grid read and the columns known; no row is computed yet."""
    swept = swept_of(asked.command or "plan", asked.asked, asked.over)
    return Sweeping(swept, *part_of(swept.grid.n_points, asked.part))


def explain(asked: OverGrid, solved: Sweeping) -> Answer:
    """The answer, whose rows are written as they are computed."""
    heading = solved.swept.heading
    rows = Rows(asked, solved)
    inputs = {"command": asked.command, "over": list(asked.over), "asked": {name: str(value) for name, value in asked.asked.items()}}
    return Answer(
        "sweep",
        inputs | ({"part": "{}/{}".format(*asked.part)} if asked.part else {}),
        {"n_points": solved.swept.grid.n_points, "columns": heading, "rows": rows},
        [Table("", [Column(key, key, "") for key in heading], rows)],
        stream=Stream(
            forms=FORMS,
            n_rows=len(rows),
            header=lambda form: header(form, heading) if asked.part is None or asked.part[0] == 1 else "",  # type: ignore[arg-type]  # one of `forms`
            texts=lambda form, n_done: stream_texts(asked, solved, form, n_done),  # type: ignore[arg-type]  # one of `forms`
            identity=lambda: identity(asked, solved),
        ),
    )


def stream_texts(asked: OverGrid, solved: Sweeping, form: Form, n_done: int) -> Iterator[tuple[str, int]]:
    """Rows as text, computed here or on a cluster."""
    start = solved.start + n_done
    if asked.scheduler is None:
        return texts(solved.swept, form, start, solved.stop)
    from scaleplan.questions.sweep.cluster import texts_of_cluster

    return texts_of_cluster(asked.scheduler, solved.swept, asked, form, (start, solved.stop))


def identity(asked: OverGrid, solved: Sweeping) -> str:
    """A digest of all that the rows depend on: the question, its fields and files, the grid, the part, the presets, the program."""
    swept = solved.swept
    said = [__version__, swept.question.name, sorted((name, str(value)) for name, value in swept.given.items()), asked.over, asked.part]
    found = hashlib.sha256(json.dumps([said, swept.heading]).encode())
    for folder in library.folders():
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            found.update(f"{path.relative_to(folder)} {library.digest(path)}".encode())
    return found.hexdigest()
