"""Price the memory of a million layouts of one model through the API, against the time of importing numpy. One core.

python benchmarks/memory_sweep.py [n_layouts]
"""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np

from scaleplan.machine.activations import Batch
from scaleplan.machine.held import Formats
from scaleplan.machine.layout import Layout
from scaleplan.machine.memory import Training, peak_bytes
from scaleplan.machine.recipe import optimizer_named, precision_named
from scaleplan.machine.stack import Stack
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.passes import Pass
from scaleplan.model.shape import arch_of_shape

LLAMA_70B = {"n_layers": 80, "d_model": 8192, "n_heads": 64, "n_kv_heads": 8, "d_ff": 28672, "n_vocab": 32000, "gated": True, "tied": False}
BAR = 10  # times importing numpy


def seconds_to_import_numpy(times: int = 5) -> float:
    """Median time of a fresh interpreter that imports numpy."""
    took = []
    for _ in range(times):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", "import numpy"], check=True)
        took.append(time.perf_counter() - start)
    return sorted(took)[times // 2]


def seconds_to_price(bill: Bill, n: int) -> float:
    """Time of one call for `n` layouts drawn at random from powers of two."""
    rng = np.random.default_rng(0)
    tp, pp, cp, dp = (2 ** rng.integers(0, most, n) for most in (4, 5, 3, 8))
    micro = 2 ** rng.integers(0, 4, n)
    layout = Layout(tp, pp, cp, dp, zero_stage=rng.integers(0, 4, n), sequence_parallel=rng.integers(0, 2, n) > 0)
    stack = Stack("sweep")
    run = Training(
        Batch(micro, 8192),
        1024 // (dp * micro) + 1,
        Formats(precision_named("bf16-mixed"), optimizer_named("adamw")),
        Pass(stack.keeping),
        stack,
    )
    start = time.perf_counter()
    peaks = peak_bytes(bill, layout, run)
    took = time.perf_counter() - start
    assert peaks.shape == (n,) and peaks.min() > 0
    return took


def main() -> None:
    n = int(sys.argv[1]) if len(sys.argv) > 1 else 1_000_000
    bill = bill_of(arch_of_shape(LLAMA_70B | {"norm": "rms"}))
    price, numpy = sorted(seconds_to_price(bill, n) for _ in range(3))[1], seconds_to_import_numpy()
    print(f"{n:,} layouts: {price:.3f} s, {price / numpy:.1f} times importing numpy ({numpy:.3f} s); the bar is {BAR}")
    if price / numpy > BAR:
        sys.exit("missed")


if __name__ == "__main__":
    main()
