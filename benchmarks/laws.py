"""A million budgets through one law, against the time of importing numpy; and what `optimal` costs beside a hello-world.

    python benchmarks/laws.py

Bars: 2.0 for a million budgets (N, D and the loss); 3.0 for `optimal --law all --json`. Exits 1 when one is broken.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

RUNS = 9
HELLO = "import typer\napp = typer.Typer()\n@app.command()\ndef main(name: str, loud: bool = False) -> None:\n    print(name)\napp()\n"
MILLION = """
import time
from scaleplan.laws.allocation import Question, allocate
from scaleplan.chain.catalogue import load_law
import numpy as np
law = load_law("besiroglu2024")
budgets = np.logspace(18, 26, 1_000_000)
start = time.perf_counter()
run = allocate(law, Question(compute_flops=budgets))
assert run.loss_nats.shape == budgets.shape
print(time.perf_counter() - start)
"""
BARS = {"a million budgets / importing numpy": 2.0, "optimal --law all / hello-world": 3.0}


def seconds(*command: str) -> float:
    """One whole process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - start


def measured() -> dict[str, float]:
    """Each ratio, from medians of runs taken in turns."""
    python = sys.executable
    with tempfile.TemporaryDirectory() as folder:
        hello = Path(folder, "hello.py")
        hello.write_text(HELLO)
        everything = (python, "-m", "scaleplan", "optimal", "--compute", "1e21", "--law", "all", "--json")
        rows = [
            (
                float(subprocess.run((python, "-c", MILLION), check=True, capture_output=True, text=True).stdout),
                seconds(python, "-c", "import numpy"),
                seconds(*everything),
                seconds(python, str(hello), "x"),
            )
            for _ in range(RUNS)
        ]
    million, numpy, every, hello_world = (statistics.median(column) for column in zip(*rows, strict=True))
    return dict(zip(BARS, (million / numpy, every / hello_world), strict=True))


def main() -> int:
    found = measured()
    for name, ratio in found.items():
        print(f"{'ok  ' if ratio <= BARS[name] else 'MISS'} {name}: {ratio:.2f}x (bar {BARS[name]}x)")
    return 1 if any(ratio > BARS[name] for name, ratio in found.items()) else 0


if __name__ == "__main__":
    sys.exit(main())
