"""What tests share: the command line run inside this process, and a home without the user's own presets."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hypothesis import settings

settings.register_profile("untimed", deadline=None)  # no test is timed: how fast is a matter of benchmarks/
settings.load_profile("untimed")


class Outcome(NamedTuple):
    """What one command printed and how it ended."""

    code: int
    stdout: str
    stderr: str

    @property
    def document(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        assert self.code == 0, self.stderr
        return json.loads(self.stdout, parse_constant=lambda constant: pytest.fail(f"JSON holds {constant}"))

    @property
    def result(self) -> dict[str, Any]:
        """Its `result`."""
        return self.document["result"]


Run = Callable[..., Outcome]


@pytest.fixture(autouse=True)
def _no_user_presets(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config-home")))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Run]:
    """Run `scaleplan ARGS` in this process; `stdin` is what it reads there."""
    from scaleplan.cli import main

    def call(*args: str | Path, stdin: bytes = b"") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(arg) for arg in args])
        out, err = capfd.readouterr()
        return Outcome(int(ended.value.code or 0), out, err)

    yield call


@pytest.fixture
def ask(run: Run) -> Callable[..., dict[str, Any]]:
    """The `result` of a command with --json."""
    return lambda *args, stdin=b"": run(*args, "--json", stdin=stdin).result
