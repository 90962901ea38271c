"""Find and read presets and the files that users hand in.

A preset is looked for in the project's folder (`.scaleplan/presets`), the user's (`$XDG_CONFIG_HOME/scaleplan/presets`) and
the built-in ones, nearest first; whole files override by name. Built-in files are validated by the tests, users' files when
they are read.
"""

from __future__ import annotations

import io
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import lru_cache
from math import isfinite
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from scaleplan.errors import InputError, UnknownName, clipped, raise_all
from scaleplan.wording import field, question

KINDS = ("hardware", "models", "laws", "tasks", "stacks", "prices", "grid", "sources")
USUAL_FILE_BYTES = 2**17  # read at first: a buffer for the largest file costs more time than most files
LARGEST_FILE_BYTES = 64 * 2**20  # of a TOML or JSON file; a model or plan that is larger is a mistake or an attack
LARGEST_TOML = 4 * 2**20  # characters; a parser in Python reads some millions a second
MOST_FILES = 1000  # of a folder that are compared with a name
MOST_PARTS = 50  # of a dotted key: the time to read one grows with the square of its parts
DOTTED_KEY = re.compile(r"""(?<![\w"'.-])(?:(?:[\w-]++|"[^"\n]{0,99}"|'[^'\n]{0,99}')[ \t]*+\.[ \t]*+)""" + f"{{{MOST_PARTS}}}")

Data = dict[str, Any]


class Text(str):
    """A document itself, where the name of a file is expected: what Python hands in for standard input.

    name  what errors call it
    """

    name = "standard input"

    @classmethod
    def named(cls, text: str, name: str) -> Text:
        """A document with the name of the file that it was read from."""
        found = cls(text)
        found.name = name
        return found


class Preset(NamedTuple):
    """A parsed preset file: what it says and where it was found."""

    kind: str
    name: str
    data: Data
    path: Path

    @property
    def sources(self) -> list[str]:
        """Every citation key in the file, each once."""
        return list(dict.fromkeys(cited(self.data)))


def built_in() -> Path:
    """Presets inside the installed package, or those of the checkout it runs from."""
    packaged = Path(__file__).parent / "presets"
    return packaged if packaged.is_dir() else Path(__file__).parents[2] / "presets"


def folders() -> list[Path]:
    """Where presets are looked for, nearest first."""
    home = os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config"
    return [Path(".scaleplan", "presets"), Path(home, "scaleplan", "presets"), built_in()]


def names(kind: str) -> list[str]:
    """The presets of a kind that is one file a preset, in alphabetical order."""
    found = {path.stem for folder in folders() for path in (folder / kind).glob("*.toml")}
    return sorted(found)


def load(kind: str, name: str) -> Preset:
    """A preset by name, by an alias that it names, or by the path of a TOML file.

    Raises UnknownName with near names, and InputError for a file that cannot be read.
    """
    if isinstance(name, Text):
        return _own_text(kind, str(name), Path("-"))
    if name.endswith(".toml"):
        return _own(kind, Path(name))
    path = None if "/" in name else _find(kind, name) or _find(kind, name.lower())
    if path:
        return _own(kind, path) if built_in() not in path.parents else Preset(kind, path.stem, read_toml(path), path)
    if (known := known_as(kind, name)) is not None:
        return load(kind, known)
    if "/" in name:
        return _own(kind, Path(name))
    if kind == "hardware" and (found := COUNTED.fullmatch(name)) and (known := known_as(kind, found[2])) is not None:
        raise UnknownName(
            "hardware preset", name, (), where=f"{found[1]} devices are {field('hardware')} {known} {field('n_devices')} {found[1]}"
        )
    raise UnknownName(SINGULAR.get(kind, kind) + " preset", name, names(kind), where=f"list them with `{question('presets', kind)}`")


COUNTED = re.compile(r"(\d{1,6}) ?x ?(\S+)", re.IGNORECASE)
"""A number of devices and one of them: 8xH100."""


def full_name(kind: str, name: str) -> str:
    """The name of the preset that is meant by an alias, so that an answer says which one it took; a path or an unknown name as it is."""
    if isinstance(name, Text) or "/" in name or name.endswith(".toml"):
        return name
    return name if _find(kind, name) else known_as(kind, name) or name


UNSAID = {
    "hardware": {
        "nvidia", "amd", "intel", "google", "aws", "tesla", "geforce", "rtx", "instinct", "tpu", "gpu", "hbm2", "hbm2e", "hbm3", "hbm3e",
    },
    "models": {"meta", "hf", "instruct", "chat", "it"},
}  # fmt: skip
"""Words of a name that say nothing of the device or of the architecture."""


def known_as(kind: str, name: str) -> str | None:
    """The preset that people mean by a name: its own, or one of its `aliases`, however it is spelled; None where none or several are.

    `NVIDIA H100 80GB HBM3`, `nvidia-h100` and `h100` are one device, `meta-llama/Meta-Llama-3-8B` and `llama3-8b` one model.
    """
    if kind in ("laws", "tasks"):  # of several under one alias the last: it has a loss of N and D, where its article has one
        return next((other for other in reversed(names(kind)) if name.lower() in aliases(kind, other)), None)
    if kind not in UNSAID or not name.isprintable() or not (wanted := spellings(kind, name)):
        return None
    direct = [other for other in names(kind) if wanted & spellings(kind, other)]
    found = direct or [other for other in names(kind) if any(wanted & spellings(kind, alias) for alias in aliases(kind, other))]
    return found[0] if len(found) == 1 else None


def aliases(kind: str, name: str) -> list[str]:
    """Names besides its own that a preset's file gives it; only the head of the file is parsed, because all files are looked at."""
    path = _find(kind, name)
    heading = "" if path is None else read_text(path).split("\n[", maxsplit=1)[0]
    return [str(alias) for alias in parse_toml(heading, str(path)).get("aliases", ())] if "aliases" in heading else []


def spellings(kind: str, name: str) -> set[str]:
    """A name without case, marks, owner and words that say nothing: as one word, and with its words in alphabetical order."""
    text = re.sub(r"(\d+)[ _-]?gi?b\b", r"\1gb", name.rpartition("/")[2].lower())
    text = re.sub(r"\bsxm\d\b", "sxm", text)
    words = [word for word in re.split(r"[^a-z0-9.]+", text) if word and word not in UNSAID[kind]]
    return {"".join(words), "".join(sorted(words))} if words else set()


SINGULAR = {"models": "model", "laws": "law", "stacks": "stack", "tasks": "task law"}


def _find(kind: str, name: str) -> Path | None:
    try:
        return next((path for folder in folders() if (path := folder / kind / f"{name}.toml").is_file()), None)
    except OSError:  # a name that the system refuses: too long, for one
        return None


def _own(kind: str, path: Path) -> Preset:
    """A file of the user's."""
    return _own_text(kind, read_text(path), path)


def _own_text(kind: str, text: str, path: Path) -> Preset:
    """What a file of the user's says: validated, because no test of ours has seen it."""
    from scaleplan.schema import MODEL_FILES, validate

    data = parse_toml(text, str(path))
    validate(MODEL_FILES if kind == "models" else kind, data, str(path), text)
    return Preset(kind, str(data.get("name", path.stem)), data, path)


def all_of(kind: str) -> Iterator[Preset]:
    """Every preset of a kind that is one file a preset."""
    for name in names(kind):
        yield load(kind, name)


def table_path(name: str) -> Path:
    """Where a table of presets is: in the nearest folder that has it."""
    return next((path for folder in folders() if (path := folder / name).is_file()), built_in() / name)


def digest(path: Path) -> str:
    """The first 16 hexadecimal digits of a file's SHA-256."""
    from hashlib import sha256

    return sha256(path.read_bytes()).hexdigest()[:16]


def rows(kind: str) -> list[dict[str, str]]:
    """A kind that is one CSV table: prices, grid. One of the user's is checked whole."""
    path = table_path(f"{kind}.csv")
    heading, cells = table_of(path)
    if built_in() not in path.parents:
        from scaleplan.replacements import check_rows

        return check_rows(kind, heading, cells, str(path))
    return [dict(zip(heading, row, strict=True)) for _, row in cells]


def run_file_rows(form: str) -> list[dict[str, str]]:
    """The words of a form of run file and their fields; what other programs call things is the same for every user."""
    heading, cells = table_of(built_in() / "run_files" / f"{form}.csv")
    return [dict(zip(heading, row, strict=True)) for _, row in cells]


def table_of(path: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The heading of a CSV table, and the line and the cells of each row."""
    import csv

    reader = csv.reader(read_text(path).splitlines(), strict=True)
    try:
        heading, *cells = [(reader.line_num, row) for row in reader if row]
    except csv.Error as error:
        raise InputError(f"is not a table: {error}", file=str(path), line=reader.line_num) from None
    return heading[1], cells


def assumptions(name: str) -> Data:
    """A table of assumptions; nearest folder wins, and one of the user's must be as ours is."""
    path = table_path(name)
    if built_in() in path.parents:
        return built_in_table(path)
    from scaleplan.replacements import check_assumptions
    from scaleplan.schema import line_of, lines_of, parts_of

    text = read_text(path)
    data = parse_toml(text, str(path))
    lines = lines_of(text)
    check_assumptions(data, built_in_table(built_in() / name), str(path), lambda key: line_of(lines, parts_of(key.replace("[", ".["))))
    return data


@lru_cache(maxsize=16)
def built_in_table(path: Path) -> Data:
    """A table of ours, parsed once: several links of a chain read the same assumptions."""
    return read_toml(path)


def defaults() -> Data:
    """What is assumed where a question leaves it open."""
    return assumptions("defaults.toml")


def peak_errors() -> Data:
    """Measured over predicted peak memory, by software stack and kind of layout."""
    return assumptions("peak_errors.toml")


def efficiencies() -> Data:
    """What programs get of the rates of hardware."""
    return assumptions("efficiencies.toml")


def citations(table: Mapping[str, Any]) -> tuple[str, ...]:
    """The citation keys of one table of a preset."""
    return tuple(cited({"source": table["source"]})) if "source" in table else ()


def sources() -> Data:
    """Citation key -> title, url or id, the day it was read; nearest folder wins key by key."""
    found: Data = {}
    for folder in reversed(folders()):
        path = folder / "sources.toml"
        if path.is_file():
            found |= read_toml(path) if folder == built_in() else own_sources(path)
    return found


def own_sources(path: Path) -> Data:
    """Sources of a user's: a table each, whose entries are texts."""
    data = read_toml(path)
    wrong = [
        InputError(f"`{clipped(key)}` should be a table of texts, such as title and url; it is `{clipped(entry)}`", file=str(path))
        for key, entry in data.items()
        if not isinstance(entry, Mapping) or not all(isinstance(value, str) for value in entry.values())
    ]
    raise_all(wrong[:10])
    return data


def cited(data: Any) -> Iterator[str]:
    """The citation keys under every `source` of a parsed file."""
    if isinstance(data, Mapping):
        for key, value in data.items():
            if key == "source":
                yield from [value] if isinstance(value, str) else value if isinstance(value, list) else ()
            else:
                yield from cited(value)
    elif isinstance(data, list):
        for item in data:
            yield from cited(item)


def read_draws(path: Path) -> dict[str, list[float]]:
    """A table of draws: column name -> numbers, all of one length.

    A comma-separated table of plain numbers, parsed without a CSV library because `optimal` reads it at every start.
    """
    text = read_text(path)
    try:
        heading, *lines = text.split()
        columns = heading.split(",")
        if any(line.count(",") != len(columns) - 1 for line in lines):
            raise ValueError
        texts = ",".join(lines).split(",")
        known = {text: float(text) for text in set(texts)}  # quasi-random points take the same levels in each column
        if not all(map(isfinite, known.values())):
            raise ValueError
        numbers = [known[text] for text in texts]
        return {name: numbers[position :: len(columns)] for position, name in enumerate(columns)}
    except ValueError:
        raise InputError("a table of draws holds one finite number for each of its columns in every row", file=str(path)) from None


@lru_cache(maxsize=1)
def draws() -> dict[str, list[float]]:
    """The quasi-random points behind every interval that no law's own draws give: column -> standard normal values."""
    path = table_path("draws.csv")
    found = read_draws(path)
    if path.parent != built_in() and (lacking := read_draws(built_in() / path.name).keys() - found):
        raise InputError(f"lacks the columns {', '.join(sorted(lacking))}", file=str(path), line=1)
    return found


# Files.


def read_bytes(path: Path | str) -> bytes:
    """A file, or standard input for `-`; InputError says what is wrong with it."""
    if str(path) == "-":
        name = "standard input"
        data = standard_input().read(LARGEST_FILE_BYTES + 1)
    else:
        name = str(path)
        with readable(path), Path(path).open("rb") as file:
            data = file.read(USUAL_FILE_BYTES)
            if len(data) == USUAL_FILE_BYTES:
                data += file.read(LARGEST_FILE_BYTES + 1 - USUAL_FILE_BYTES)
    if len(data) > LARGEST_FILE_BYTES:
        raise InputError(f"larger than {LARGEST_FILE_BYTES // 2**20} MiB", file=name)
    if not data.strip():
        raise InputError("is empty", file=name)
    return data


LONGEST_LINE = 1 << 16  # characters; what is longer is cut, so that a file without line breaks does not fill the memory


def read_lines(path: Path | str) -> Iterator[str]:
    """The lines of a text file of any size, one at a time; bytes that are not text are replaced."""
    if isinstance(path, Text):
        yield from str(path).splitlines()
        return
    with opened(path) as file:
        start = file.peek(2)[:2]
        encoding = "utf-16" if start in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
        text = io.TextIOWrapper(file, encoding, errors="replace")
        while line := text.readline(LONGEST_LINE):
            yield line.rstrip("\n")


def opened(path: Path | str) -> io.BufferedReader:
    """A file, or standard input for `-`, to be read in pieces; InputError says what is wrong with it."""
    if str(path) == "-":
        return io.BufferedReader(standard_input())  # type: ignore[arg-type]  # a reader of a reader, so that closing it is its own
    with readable(path):
        return Path(path).open("rb")


def standard_input() -> BinaryIO:
    """The bytes of standard input."""
    if sys.stdin is None:
        raise InputError("standard input is closed", hint="give the name of a file, or pipe something in")
    return sys.stdin.buffer


@contextmanager
def readable(path: Path | str) -> Iterator[None]:
    """What the system says of a file that cannot be read, as InputError."""
    try:
        yield
    except FileNotFoundError:
        raise InputError(f"no file `{clipped(path, 200)}`", hint=files_near(Path(path))) from None
    except IsADirectoryError:
        raise InputError(f"`{clipped(path, 200)}` is a folder, not a file") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise InputError(f"cannot read `{clipped(path, 200)}`: {reason}") from None


def files_near(path: Path) -> str | None:
    """The files that somebody may have meant by one that is not there, for a hint."""
    from scaleplan.errors import near_names

    try:
        if not path.parent.is_dir():
            return f"there is no folder `{clipped(path.parent, 200)}`"
        found = near_names(path.name, sorted(other.name for other in path.parent.iterdir() if other.suffix == path.suffix)[:MOST_FILES])
    except OSError:
        return None
    return f"did you mean `{clipped(path.parent / found[0], 200)}`?" if found else None


def read_text(path: Path | str) -> str:
    """A text file in UTF-8 (with or without a byte-order mark) or UTF-16 (with one); a `Text` is its own."""
    if isinstance(path, Text):
        return str(path)
    return decoded(read_bytes(path), "standard input" if str(path) == "-" else str(path))


def decoded(data: bytes, name: str) -> str:
    """Bytes as text; InputError when they are not text."""
    encoding = "utf-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError as error:
        line = None if encoding == "utf-16" else data.count(b"\n", 0, error.start) + 1
        raise InputError("is not text in UTF-8", file=name, line=line) from None
    if "\0" in text:
        raise InputError("holds NUL bytes: this is not a text file", file=name)
    return text


def read_toml(path: Path | str) -> Data:
    """A TOML file as a dict; a syntax error names its line."""
    name = "standard input" if str(path) == "-" else str(path)
    return parse_toml(read_text(path), name)


def parse_toml(text: str, name: str) -> Data:
    """TOML text as a dict; `name` is what error messages call it."""
    import tomllib

    if len(text) > LARGEST_TOML:
        raise InputError(f"larger than {LARGEST_TOML // 2**20} MiB, which no preset, model or plan is", file=name)
    if (dotted := DOTTED_KEY.search(text)) is not None:
        place = text.count("\n", 0, dotted.start()) + 1
        raise InputError(f"a key of more than {MOST_PARTS} parts: `{clipped(dotted[0], 24)}`", file=name, line=place)
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        line = int(message.split("at line ")[1].split(",", maxsplit=1)[0]) if "at line " in message else None
        raise InputError(f"not valid TOML: {message}", file=name, line=line) from None
    except RecursionError:
        raise InputError("nested too deeply", file=name) from None
    except ValueError as error:  # a whole number of thousands of digits
        raise InputError(f"not valid TOML: {clipped(error, 120)}", file=name) from None


def parse_json(text: str, name: str | None = None, *, line: int | None = None, finite: bool = False) -> Any:
    """JSON that says each thing once; InputError says what is wrong with it otherwise.

    name, line  what errors call it: a file, and the line of it that the text is
    finite      whether numbers that are not finite are refused
    """
    import json

    numbers: dict[str, Any] = {"parse_constant": finite_number, "parse_float": finite_number} if finite else {}
    try:
        return json.loads(text, object_pairs_hook=said_once, **numbers)
    except json.JSONDecodeError as error:
        raise InputError(f"not valid JSON: {error.msg}", hint=f"near column {error.colno}", file=name, line=line or error.lineno) from None
    except RecursionError:
        raise InputError("nested too deeply", file=name, line=line) from None
    except ValueError as error:  # a whole number of thousands of digits
        raise InputError(f"not valid JSON: {clipped(error, 120)}", file=name, line=line) from None
    except InputError as error:
        raise error.located(name, line) if name else error from None


def finite_number(text: str) -> float:
    """A number of JSON that is finite."""
    value = float(text)
    if not isfinite(value):
        raise InputError(f"`{clipped(text)}` is not a finite number")
    return value


def said_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON; the same key twice is fine only if it says the same."""
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found and repr(found[key]) != repr(value):
            raise InputError(f"`{clipped(key)}` is given twice, as `{clipped(found[key])}` and as `{clipped(value)}`")
        found[key] = value
    return found
