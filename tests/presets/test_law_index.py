"""The index of the laws holds what the laws' own files say, and names lead to laws."""

from __future__ import annotations

import json

import pytest

from scaleplan import library
from scaleplan.chain import catalogue
from scaleplan.errors import NotSupported, UnknownName

FILE = library.built_in() / catalogue.INDEX
HEAD = """# What the built-in laws say of themselves (`[role]` and `aliases` of each file), gathered so that no question reads them all.
# Written by `python tests/presets/test_law_index.py`.
"""


def from_files() -> catalogue.Index:
    paths = sorted((library.built_in() / "laws").glob("*.toml"))
    return catalogue.index_of((path.stem, library.read_toml(path)) for path in paths)


def as_text(index: catalogue.Index) -> str:
    """TOML of the two tables."""
    tables = {"topics": index.topics, "aliases": index.aliases}
    return HEAD + "".join(
        f"\n[{table}]\n" + "".join(f"{key} = {json.dumps(list(names))}\n" for key, names in values.items())
        for table, values in tables.items()
    )


def test_the_index_is_what_the_files_say():
    """A role or alias added to a law needs the index written anew."""
    assert FILE.read_text(encoding="utf-8") == as_text(from_files())


def test_what_is_needed_without_flags_has_a_law():
    """One law is recommended and shown by default; each topic that a question may need has a law."""
    assert len(catalogue.knowing("recommended")) == 1
    assert catalogue.recommended() in catalogue.default_laws()
    for topic in ("repetition", "experts", "precision", "critical_batch", "token_stock"):
        assert catalogue.load_law(catalogue.first_knowing(topic)).name == catalogue.first_knowing(topic)


def test_every_known_repetition_law_answers_repetition():
    """A law with the role `repetition` has a loss of repeated data; no other law has one."""
    repeating = {preset.name for preset in library.all_of("laws") if preset.data.get("loss", {}).get("form") == "repeating"}
    assert repeating == set(catalogue.knowing("repetition"))


@pytest.mark.parametrize(
    ("name", "laws"), [("kaplan", ["kaplan2020"]), ("chinchilla", ["hoffmann2022-1", "hoffmann2022-2", "hoffmann2022-3"])]
)
def test_people_s_names_lead_to_laws(name, laws):
    """`chinchilla` is all three approaches where several may answer, and the one with a loss where one must."""
    assert [law.name for law in catalogue.load_laws([name])] == laws
    assert catalogue.load_law(name).name == laws[-1]


def test_a_preset_is_shown_under_people_s_names_too():
    """`presets laws kaplan` and `presets tasks arc-e` find their files, in any case."""
    assert library.load("laws", "Kaplan").name == "kaplan2020"
    assert library.load("laws", "chinchilla").name == "hoffmann2022-3"
    assert library.load("tasks", "ARC-E").name == "bhagia2024-arc-easy"


def test_no_alias_hides_a_law():
    """An alias is no name of a law file."""
    assert not set(from_files().aliases) & set(library.names("laws"))


def test_a_law_without_confirmed_constants_is_refused_by_name():
    with pytest.raises(NotSupported, match="no confirmed constants"):
        catalogue.load_law("distillation")
    with pytest.raises(UnknownName):
        catalogue.load_law("no-such-law")


def test_a_law_of_the_user_joins_the_index(tmp_path, monkeypatch):
    """A file of the project's folder with a role comes before the built-in laws; one of a built-in name replaces its roles."""
    folder = tmp_path / ".scaleplan" / "presets" / "laws"
    folder.mkdir(parents=True)
    (folder / "mine.toml").write_text('aliases = ["ours"]\n[role]\nrepetition = 1\n[convention]\n')
    (folder / "kumar2024.toml").write_text("[convention]\n")
    monkeypatch.chdir(tmp_path)
    catalogue.index.cache_clear()
    try:
        assert catalogue.knowing("repetition") == ("mine", "muennighoff2023")
        assert catalogue.meant("ours") == ["mine"]
        assert catalogue.knowing("precision") == ()
    finally:
        monkeypatch.undo()
        catalogue.index.cache_clear()


if __name__ == "__main__":
    FILE.write_text(as_text(from_files()), encoding="utf-8")
