"""The laws by name: built in, of a project or a user, or from a TOML file; and what each is there for.

A law's own file says what it is for: `[role]` holds its rank among the laws that are shown by default, that know repetition,
experts, few bits, ..., and `aliases` the names that people use. Those of the built-in laws are gathered in
`presets/law_index.toml`, which a test holds to them, so that no question reads every law.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, NamedTuple, TypeVar

from scaleplan import library
from scaleplan.errors import InputError, NotSupported, ScaleplanError, UnknownName, clipped
from scaleplan.laws.law import Law, TopicUnknown, law_of
from scaleplan.laws.power import Power
from scaleplan.wording import field, question

EVERY = "all"
INDEX = "law_index.toml"
ABSENT = "absent_laws.toml"
MOST_REASONS = 6  # in one error


class Index(NamedTuple):
    """Topic -> laws in their order, and other names of laws -> the laws meant."""

    topics: Mapping[str, Sequence[str]]
    aliases: Mapping[str, Sequence[str]]


def index_of(presets: Iterable[tuple[str, Mapping[str, Any]]]) -> Index:
    """What law files say of themselves, gathered; `presets` in alphabetical order."""
    ranked: dict[str, list[tuple[float, str]]] = {}
    aliases: dict[str, list[str]] = {}
    for name, data in presets:
        for topic, rank in data.get("role", {}).items():
            ranked.setdefault(topic, []).append((rank, name))
        for alias in data.get("aliases", ()):
            aliases.setdefault(alias, []).append(name)
    return Index({topic: [name for _, name in sorted(ranked[topic])] for topic in sorted(ranked)}, dict(sorted(aliases.items())))


@cache
def index() -> Index:
    """That of the built-in laws, changed by laws of the project and the user, which are few."""
    data = library.read_toml(library.built_in() / INDEX)
    built_in = Index(data["topics"], data["aliases"])
    own = {path.stem: path for folder in reversed(library.folders()[:-1]) for path in sorted((folder / "laws").glob("*.toml"))}
    return (
        merged(built_in, index_of((name, library.load("laws", str(path)).data) for name, path in sorted(own.items())), set(own))
        if own
        else built_in
    )


def merged(built_in: Index, own: Index, names: set[str]) -> Index:
    """The built-in index with the user's laws first; a file of the user's replaces the built-in law of its name."""

    def joined(theirs: Mapping[str, Sequence[str]], mine: Mapping[str, Sequence[str]]) -> dict[str, Sequence[str]]:
        """The user's laws of each key, then the built-in ones that are not replaced."""
        kept = {key: [law for law in laws if law not in names] for key, laws in theirs.items()}
        return {key: [*mine.get(key, ()), *kept.get(key, ())] for key in {**kept, **mine}}

    aliases = {alias: laws for alias, laws in {**joined(built_in.aliases, {}), **own.aliases}.items() if alias not in names}
    return Index(joined(built_in.topics, own.topics), aliases)


def knowing(topic: str) -> tuple[str, ...]:
    """The laws with a role: `default`, `repetition`, `experts`, `routed_experts`, `precision`, `weight_decay`, ..., best first."""
    return tuple(index().topics.get(topic, ()))


def first_knowing(topic: str) -> str:
    """The law that answers for a topic.

    Raises InputError where laws of the project or the user replace all that have its role.
    """
    if not (known := knowing(topic)):
        raise InputError(f"no law has the role `{topic}`", hint=f"a law file that replaces a built-in one needs `role = {{ {topic} = 1 }}`")
    return known[0]


def default_laws() -> tuple[str, ...]:
    """The laws that are shown where none is asked for."""
    return knowing("default")


def recommended() -> str:
    """The law by which answers are compared."""
    return first_knowing("recommended")


def meant(name: str) -> Sequence[str]:
    """The laws that a name stands for: itself, or those that have it as an alias."""
    return index().aliases.get(name.lower(), (name,))


def load_law(name: str) -> Law:
    """A law and its draws: the table that its preset names, or the one beside it (`NAME.draws.csv`).

    Of several laws that share an alias, the last: the one with a loss of N and D, where the article has one.
    """
    return read_law(name) if name.endswith(".toml") or "/" in name else named_law(name)


@cache
def named_law(name: str) -> Law:
    """A law of the catalogue, read once; a file of the user's may change between two questions."""
    return read_law(name)


def read_law(name: str) -> Law:
    """A law and its draws, read now."""
    preset = preset_of(name)
    name_of_draws = preset.data.get("draws", f"{preset.path.stem}.draws.csv")
    if "/" in name_of_draws or name_of_draws in ("", ".", ".."):
        raise InputError(f"`draws` is `{clipped(name_of_draws)}`; it is the name of a file beside this one", file=str(preset.path))
    table = preset.path.with_name(name_of_draws)
    draws = library.read_draws(table) if "draws" in preset.data or table.is_file() else None
    return law_of({"name": preset.name, **preset.data}, draws)


def preset_of(name: str) -> library.Preset:
    """The file of a law by name, alias or path; a law that has no confirmed constants is refused by name."""
    try:
        return library.load("laws", meant(name)[-1])
    except UnknownName:
        absent = library.read_toml(library.built_in() / ABSENT)
        if name not in absent:
            raise
        raise NotSupported(f"no confirmed constants exist for {absent[name]} (`{name}`)", hint=f"list the laws: {listing()}") from None


def listing(*names: str) -> str:
    """The question that shows laws."""
    return f"`{question('presets', 'laws', *names)}`"


def load_laws(names: Sequence[str]) -> list[Law]:
    """Each law once, in the order given; `all` stands for the whole catalogue, an alias for every law that has it."""
    wanted = [name for asked in names for name in (library.names("laws") if asked == EVERY else meant(asked))]
    return [load_law(name) for name in dict.fromkeys(wanted)]


def asked_by_name(names: Sequence[str]) -> set[str]:
    """The laws that must answer: those asked for one by one, not by `all`; of several under one alias, that of `load_law`."""
    return {load_law(name).name for name in names if name != EVERY}


@cache
def critical_batch_law() -> Law:
    """The law whose B_crit(L) is shown beside every law."""
    return load_law(first_knowing("critical_batch"))


def critical_batch() -> Power:
    """B_crit as a function of the loss."""
    rule = critical_batch_law().rules["critical_batch"]
    assert isinstance(rule, Power), "B_crit is a power of the loss"
    return rule


def token_stock() -> Law:
    """The law that says how much public text there is: `data["stock"]`."""
    return load_law(first_knowing("token_stock"))


def remarks_on(laws: Iterable[Law]) -> list[str]:
    """What the laws' files say of them beside others: why they differ."""
    return [f"{law.name} {law.data['remark']}." for law in laws if "remark" in law.data]


def with_hint(error: ScaleplanError) -> ScaleplanError:
    """An error of a law that does not know a topic, with the name of one that does."""
    if isinstance(error, TopicUnknown) and error.way_out is None and knowing(error.topic):
        error.way_out = f"{field('law')} {first_knowing(error.topic)} does"
    return error


T = TypeVar("T")


def ask_each(names: Sequence[str], required: set[str], answer: Callable[[Law], T]) -> tuple[list[T], dict[str, ScaleplanError]]:
    """What each law answers, and by name why others have none.

    required  laws that were asked for by name: where none of them answers, their reasons are raised; without any, those of all
    """
    answers: list[T] = []
    unanswered: dict[str, ScaleplanError] = {}
    for law in load_laws(names):
        try:
            answers.append(answer(law))
        except (NotSupported, InputError) as error:
            unanswered[law.name] = error
    if not answers or (required and required <= set(unanswered)):
        raise unanswerable({law: error for law, error in unanswered.items() if law in required or not required})
    return answers, unanswered


def unanswerable(unanswered: Mapping[str, ScaleplanError]) -> ScaleplanError:
    """One error for laws of which none answers: that of the one, or each reason with its laws, what cannot be before what is unknown."""
    errors = sorted(unanswered.values(), key=lambda error: not isinstance(error, InputError))
    reasons = reasons_of(unanswered)
    if len(reasons) == 1:
        return with_hint(errors[0])
    told = "; ".join(f"{', '.join(laws)}: {reason}" for reason, laws in list(reasons.items())[:MOST_REASONS])
    told += f"; and {len(reasons) - MOST_REASONS} reasons more" if len(reasons) > MOST_REASONS else ""
    return InputError(f"no law answers: {told}", hint=with_hint(errors[0]).way_out)


def reasons_of(unanswered: Mapping[str, ScaleplanError]) -> dict[str, list[str]]:
    """Why laws have no answer: reason -> the laws that it is true of."""
    reasons: dict[str, list[str]] = {}
    for law, error in unanswered.items():
        reasons.setdefault(error.message.replace(f"`{law}` ", "").replace(f" under `{law}`", ""), []).append(law)
    return reasons
