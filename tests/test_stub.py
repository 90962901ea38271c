"""What type checkers see is what Python offers."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def test_the_stub_is_that_of_the_fields():
    """`__init__.pyi` has every keyword with its type; `python scripts/write_stub.py` writes it anew."""
    spec = spec_from_file_location("write_stub", ROOT / "scripts" / "write_stub.py")
    assert spec is not None and spec.loader is not None
    script = module_from_spec(spec)
    spec.loader.exec_module(script)

    assert script.STUB.read_text(encoding="utf-8") == script.stub()


@pytest.mark.parametrize(
    ("code", "says"),
    [
        ('scaleplan.flops("gpt2", tokens="300B", seq_len=1024)', ""),
        ('scaleplan.flops("gpt2", seq_length=1024)', "seq_length"),
        ('scaleplan.memory("gpt2", attention="flsh")', "attention"),
    ],
)
def test_a_type_checker_refuses_a_misspelt_keyword(tmp_path, code, says):
    """mypy names the keyword that does not exist, and the word that is none of the choices."""
    path = tmp_path / "used.py"
    path.write_text(f"import scaleplan\n\nprint({code}.result)\n", encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--no-incremental", "--config-file=", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)

    assert (done.returncode == 0) is (says == ""), done.stdout + done.stderr
    assert says in done.stdout
