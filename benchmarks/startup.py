"""How long the command line takes to start: whole processes in turns with a Typer hello-world of the pinned version.

    python benchmarks/startup.py [--repeats 15]

Prints the median of each command and its ratio to the hello-world, beside the bar it is held to. The ratios are what to
quote: the machine's own speed cancels.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HELLO = '''\
import typer

app = typer.Typer()


@app.callback()
def main() -> None:
    """Say hello."""


@app.command()
def params(model: str, scale: int = typer.Option(1, help="How many.")) -> None:
    """Print a line."""
    print(model, scale)


app()
'''
JSON, TABLE = 1.6, 2.1
QUESTIONS = (
    "params llama-3-8b",
    "flops llama-3-8b --tokens 1T",
    "memory llama-3-8b --hardware h100-sxm --layout tp2,dp4",
    "batch --loss 2.5",
    "cost llama-3-8b --tokens 15T --hardware h100-sxm --n-devices 1024",
    "optimal --compute 1e21",
)
BARS = {"--version": 1.15, "optimal --compute 1e21 --law all --json": 3.0}
BARS |= {f"{line} --json": JSON for line in QUESTIONS} | dict.fromkeys(QUESTIONS, TABLE)
BARS |= {f"{line} --format plain": JSON for line in QUESTIONS[:2]}
BARS |= {"presets hardware --json": 4.0, "-h": 1.6, "memory -h": 1.6}
"""Command line -> the most that it may take, as a ratio to the hello-world."""
HELLO_OVER_PYTHON = 7.0


def medians(commands: dict[str, list[str]], repeats: int) -> dict[str, float]:
    """Median wall time of each command in seconds, run in turns; the first turn warms the caches and is dropped."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for turn in range(repeats + 1):
        for name, command in commands.items():
            start = time.perf_counter()
            subprocess.run(command, check=True, capture_output=True)
            if turn:
                times[name].append(time.perf_counter() - start)
    return {name: statistics.median(values) for name, values in times.items()}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Start-up times as ratios to a Typer hello-world.")
    parser.add_argument("--repeats", type=int, default=15)
    repeats = parser.parse_args().repeats
    with tempfile.TemporaryDirectory() as folder:
        hello = Path(folder) / "hello.py"
        hello.write_text(HELLO)
        commands = {"python": [sys.executable, "-c", "pass"], "hello": [sys.executable, str(hello), "params", "gpt2"]}
        tool = str(Path(sys.executable).parent / "scaleplan")
        commands |= {line: [tool, *line.split()] for line in BARS}
        found = medians(commands, repeats)
    print(f"{'command':76} {'median':>9} {'ratio':>7} {'bar':>6}")
    print(f"{'python -c pass':76} {1e3 * found['python']:6.0f} ms")
    own = found["hello"] / found["python"]
    print(f"{'hello-world of Typer':76} {1e3 * found['hello']:6.0f} ms {own:6.2f}x {HELLO_OVER_PYTHON:5.2f}x of python")
    missed = [f"{line}: {found[line] / found['hello']:.2f}x" for line, bar in BARS.items() if found[line] / found["hello"] > bar]
    for line, bar in BARS.items():
        print(f"{'scaleplan ' + line:76} {1e3 * found[line]:6.0f} ms {found[line] / found['hello']:6.2f}x {bar:5.2f}x")
    if missed or own > HELLO_OVER_PYTHON:
        sys.exit("missed: " + ("; ".join(missed) or "the hello-world itself"))


if __name__ == "__main__":
    main()
