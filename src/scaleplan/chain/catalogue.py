"""The laws by name: built in, of a project or a user, or from a TOML file."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

from scaleplan import library
from scaleplan.errors import NotSupported
from scaleplan.laws.law import Law, law_of
from scaleplan.laws.power import Power

RECOMMENDED = "besiroglu2024"
DEFAULT = ("kaplan2020", "hoffmann2022-1", "hoffmann2022-2", "hoffmann2022-3", RECOMMENDED)
EVERY = "all"
CRITICAL_BATCH = "kaplan2020"  # whose B_crit(L) is shown beside every law
UNCONFIRMED = {
    "lstm": "losses of LSTMs",
    "per-position": "losses by position in the context",
    "distillation": "losses of distilled models",
    "busbridge2025": "losses of distilled models",
}
"""What no law here covers, because no confirmed constants exist; asked for by name, it is refused by name."""


@cache
def load_law(name: str) -> Law:
    """A law and its draws: the table that its preset names, or the one beside it (`NAME.draws.csv`)."""
    if name in UNCONFIRMED:
        raise NotSupported(
            f"no confirmed constants exist for {UNCONFIRMED[name]} (`{name}`)", hint="`scaleplan presets laws` lists the laws"
        )
    preset = library.load("laws", name)
    table = preset.path.with_name(str(preset.data.get("draws", f"{preset.path.stem}.draws.csv")))
    draws = library.read_draws(table) if "draws" in preset.data or table.is_file() else None
    return law_of({"name": preset.name, **preset.data}, draws)


def load_laws(names: Sequence[str]) -> list[Law]:
    """Each law once, in the order given; `all` stands for the whole catalogue."""
    wanted = [name for asked in names for name in (library.names("laws") if asked == EVERY else [asked])]
    return [load_law(name) for name in dict.fromkeys(wanted)]


def critical_batch() -> Power:
    """B_crit as a function of the loss."""
    rule = load_law(CRITICAL_BATCH).rules["critical_batch"]
    assert isinstance(rule, Power), "B_crit is a power of the loss"
    return rule


def laws_with(*blocks: str) -> list[Law]:
    """Every law of the catalogue that has one of these blocks, in alphabetical order."""
    return [load_law(preset.name) for preset in library.all_of("laws") if any(block in preset.data for block in blocks)]
