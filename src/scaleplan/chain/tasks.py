"""The task laws by task, family or name: from files to forecasts, beside each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from scaleplan import library
from scaleplan.chain import catalogue
from scaleplan.errors import NotSupported, UnknownName
from scaleplan.laws.downstream import Forecast, TaskLaw, forecast, task_law_of, without_input_embedding
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.chain.sizes import Size

KIND = "tasks"


def load_task_law(name: str) -> TaskLaw:
    """A task law by the name or path of its file; a file of the user's may change between two questions."""
    return read_task_law(name) if is_file(name) else named_task_law(name)


def is_file(name: str) -> bool:
    """Whether a name is that of a file, not of a preset."""
    return name.endswith(".toml") or "/" in name


@cache
def named_task_law(name: str) -> TaskLaw:
    """A task law of the catalogue, read once."""
    return read_task_law(name)


def read_task_law(name: str) -> TaskLaw:
    """A task law and the table of draws beside it (`NAME.draws.csv`), read now."""
    preset = library.load(KIND, name)
    loss_law = preset.data.get("loss_law")
    table = preset.path.with_name(f"{preset.path.stem}.draws.csv")
    draws = library.read_draws(table) if table.is_file() else None
    return task_law_of({"name": preset.name, **preset.data}, None if loss_law is None else catalogue.load_law(loss_law).additive, draws)


def task_laws() -> list[TaskLaw]:
    """Every task law, in alphabetical order."""
    return [load_task_law(name) for name in library.names(KIND)]


def tasks() -> list[str]:
    """The tasks that some law forecasts."""
    return sorted({law.task for law in task_laws()})


def laws_of_task(name: str) -> list[TaskLaw]:
    """The laws of a task by its name, an alias of it, a family, or the law's own name or path."""
    if is_file(name) or name in library.names(KIND):
        return [load_task_law(name)]
    wanted = name.lower().replace("_", "-")
    found = [law for law in task_laws() if {wanted, name} & {law.task, law.family, *law.data.get("aliases", ())}]
    if not found:
        raise UnknownName("task", name, tasks())
    return found


def ask_task(name: str, n_params: float, n_tokens: float, family: str | None = None) -> tuple[list[Forecast], dict[str, NotSupported]]:
    """The forecasts of every law of a task, and why others have none; raises where none has one. N is of each law's own kind."""
    return ask_each(name, lambda law: forecast(law, n_params, n_tokens, family))


def ask_each(name: str, ask: Callable[[TaskLaw], Forecast]) -> tuple[list[Forecast], dict[str, NotSupported]]:
    """What each law of a task answers, and why others do not; raises where none does."""
    forecasts: list[Forecast] = []
    silent: dict[str, NotSupported] = {}
    for law in laws_of_task(name):
        try:
            forecasts.append(ask(law))
        except NotSupported as error:
            silent[law.name] = error
    if not forecasts:
        raise next(iter(silent.values()))
    return forecasts, silent


class TaskForecasts(NamedTuple):
    """The accuracy that each law of a task expects of a run, and why others say nothing."""

    task: str
    forecasts: tuple[Forecast, ...]
    silent: Mapping[str, NotSupported]


def forecast_of(name: str, size: Size, family: str | None) -> TaskForecasts:
    """The forecasts for what a plan trains, each in its law's own N."""
    try:
        forecasts, silent = ask_each(name, lambda law: forecast(law, params_for(law, size), size.tokens, family))
    except NotSupported as error:
        raise NotSupported(f"{field('task')} `{name}`: {error.message}", hint=error.hint) from None
    return TaskForecasts(name, tuple(forecasts), silent)


def params_for(law: TaskLaw, size: Size) -> float:
    """N as the law counts it: perhaps without the input embedding; of a model known by its size alone, all of its parameters."""
    if law.n_kind == "total" or size.model is None:
        return float(size.n_params)
    arch = size.model.arch
    return without_input_embedding(size.n_params, arch.n_vocab, arch.d_model)
