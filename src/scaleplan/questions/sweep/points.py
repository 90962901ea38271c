"""The numbers of a point, or of a block of points in one pass: the question itself, with the values of the grid in its fields."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from scaleplan import library
from scaleplan.errors import ScaleplanError, UsageError
from scaleplan.questions.asking import Question, requested
from scaleplan.questions.fields import FIELDS
from scaleplan.questions.registry import question_named
from scaleplan.questions.sweep.flat import flat
from scaleplan.questions.sweep.grid import Block, Grid, grid_of, known_fields
from scaleplan.wording import fields, keyword, spelled

ERROR = "error"
N_PROBES = 9  # points whose answers say which columns there are, where a question does not


class Swept(NamedTuple):
    """A question over a grid.

    given    its fields but for the swept ones
    columns  paths of its numbers
    solve    a block of points -> a number or an array that broadcasts over it, for each column; None where points are solved one by one
    """

    question: Question
    given: Mapping[str, Any]
    grid: Grid
    columns: tuple[str, ...] = ()
    solve: Callable[[Block], list[Any]] | None = None

    @property
    def heading(self) -> list[str]:
        """The swept names, the paths, and where points are solved one by one the reason why one has no answer."""
        return [*(axis.column for axis in self.grid.axes), *self.columns, *([] if self.solve else [ERROR])]

    def cells(self, point: int) -> list[Any]:
        """The row of one point."""
        values = [plain(value) for value in self.grid.values(point)]
        try:
            found = self.answer(point)
        except ScaleplanError as error:
            return [*values, *([None] * len(self.columns)), one_line(error)]
        more = [key for key in found if key not in self.columns and key not in self.swept_names()]
        return [*values, *(found.get(key) for key in self.columns), f"no column for {', '.join(more)}" if more else None]

    def swept_names(self) -> set[str]:
        """Headings of the grid."""
        return {axis.column for axis in self.grid.axes}

    def answer(self, point: int) -> dict[str, Any]:
        """Path -> number of one point."""
        given = dict(self.given)
        for axis, value in zip(self.grid.axes, self.grid.values(point), strict=True):
            if axis.field.name in fields_of(self.question):
                given[axis.field.name] = plain(value)
            else:
                given["set"] = [*(given.get("set") or ()), f"{axis.field.key}={plain(value)}"]
        shape, request = requested(self.question, given)
        solved = shape.solve(request)
        numbers = getattr(shape.module, "numbers", None)
        return dict(flat(numbers(solved) if numbers else shape.explain(request, solved).result))


def swept_of(command: str, asked: Mapping[str, Any], over: tuple[str, ...], columns: tuple[str, ...] = ()) -> Swept:
    """A question over a grid, its columns known: handed in, or found at the first points that answer."""
    question = question_named(command)
    given = {name: text_of_file(value) if name == "plan_file" else value for name, value in asked.items()}
    swept = Swept(question, given, grid_of(over, known_fields(sweepable(question))))
    refuse_strangers(swept)
    in_arrays = array_solver(swept)
    if in_arrays is not None:
        return swept._replace(columns=in_arrays.columns, solve=in_arrays.solve)
    return swept._replace(columns=columns or probed(swept))


def sweepable(question: Question) -> list[str]:
    """The fields whose values can be swept: numbers and words; every key of a plan."""
    own = [one.name for one in question.every_field() if one.kind != "switch" and one.name not in ("plan_file", "set")]
    return [*own, *(name for name, one in FIELDS.items() if question.name == "plan" and one.key and name not in own)]


def fields_of(question: Question) -> set[str]:
    """The names of its fields."""
    return {one.name for one in question.every_field()}


def refuse_strangers(swept: Swept) -> None:
    """Fields that the swept question does not have."""
    strange = [name for name in swept.given if name not in fields_of(swept.question)]
    if strange:
        name = swept.question.name
        raise UsageError(f"`{name}` has no {fields(*strange, joined=' or ')}", hint=f"`scaleplan {name} -h` lists its fields")


def text_of_file(path: Any) -> Any:
    """A plan file's text, so that it is read once, here and not where the points are computed."""
    return path if isinstance(path, library.Text) else library.Text(library.read_text(path))


def probed(swept: Swept) -> tuple[str, ...]:
    """The columns of points spread over the grid; of a grid in which none of them answers, of the first point that does.

    Raises the error of the first point where none answers.
    """
    n = swept.grid.n_points
    places = sorted({place * (n - 1) // (N_PROBES - 1) for place in range(N_PROBES)})
    found, first = answers(swept, places)
    if not found:
        found, first = answers(swept, range(n), most=1)
    if not found and first is not None:
        raise first
    columns = dict.fromkeys(key for one in found for key in one)
    return tuple(key for key in columns if key not in swept.swept_names())


def answers(swept: Swept, points: Sequence[int], most: int | None = None) -> tuple[list[dict[str, Any]], ScaleplanError | None]:
    """The answers of some points, and the first error among them."""
    found: list[dict[str, Any]] = []
    first = None
    for point in points:
        try:
            found.append(swept.answer(point))
        except ScaleplanError as error:
            first = first or error
        if most is not None and len(found) >= most:
            break
    return found, first


def one_line(error: ScaleplanError) -> str:
    """An error as a cell."""
    return spelled(" ".join(str(error).split()), keyword)


def plain(value: Any) -> Any:
    """A swept value as it is written: a number, or a text that reads the same."""
    if isinstance(value, int | float | str):
        return value
    return value.spelled() if hasattr(value, "spelled") else str(value)


class InArrays(NamedTuple):
    """What solves whole blocks."""

    columns: tuple[str, ...]
    solve: Callable[[Block], list[Any]]


def array_solver(swept: Swept) -> InArrays | None:
    """What solves the question for arrays, where the swept fields allow it."""
    if swept.question.name != "plan":
        return None
    from scaleplan.questions.sweep.of_plan import solver

    return solver(swept)
