"""A fixed part of what benchmarks/mutants.py tries: a wrong formula is noticed, and the judge knows one that is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]


def mutants(*args: str) -> subprocess.CompletedProcess[str]:
    """The program's outcome."""
    command = [sys.executable, "benchmarks/mutants.py", *args]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)


def test_wrong_formulas_are_noticed():
    """Twelve mutations of goodput, of the serving workspace and of a scan, by the tests of their own files."""
    places = ("machine/goodput", "machine/serving_memory", "model/mixers/rwkv")
    files = ("machine/test_goodput.py", "machine/test_serving_memory.py", "model/test_scans.py")
    outcome = mutants("--only", *places, "--n", "12", "--seed", "3", "--tests", *files)

    assert "12 of 12 noticed" in outcome.stdout, outcome.stdout + outcome.stderr
    assert outcome.returncode == 0


def test_a_formula_that_no_test_reaches_is_told():
    """Tests of units say nothing of goodput: the mutation lives, and is named with its line."""
    outcome = mutants("--only", "machine/goodput", "--n", "1", "--seed", "3", "--tests", "test_units.py")

    assert outcome.returncode == 1
    assert "src/scaleplan/machine/goodput.py:" in outcome.stdout
    assert "0 of 1 noticed (0.0%); 1 alive where none may be" in outcome.stdout
