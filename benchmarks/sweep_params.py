"""How long does it take to count 100,000 architectures through the Python API?

Depth x width x experts, each a Llama-like model with routed experts: parameters, active parameters and training FLOP of all of
them as arrays, and a few picked out and counted one by one to see that the numbers are the same.

    python benchmarks/sweep_params.py [--depths 50] [--widths 50] [--experts 40]
"""

from __future__ import annotations

import argparse
import sys
import time

import numpy as np

from scaleplan.model.bill import bill_of
from scaleplan.model.flops import count_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape

SEQ_LEN = 4096
PLAIN = {"gated": True, "norm": "rms", "tied": False, "n_vocab": 128_256, "d_head": 128, "n_experts_per_token": 2}


def words_of(n_layers, d_model, n_experts):
    """A shape in words; whole numbers or arrays."""
    return {
        **PLAIN,
        "n_layers": n_layers,
        "d_model": d_model,
        "n_heads": d_model // 128,
        "n_kv_heads": d_model // 512,
        "d_ff": 4 * d_model,
        "n_experts": n_experts,
    }


def counts(n_layers, d_model, n_experts):
    """Parameters, active parameters, training FLOP of one sequence."""
    bill = bill_of(arch_of_shape(words_of(n_layers, d_model, n_experts)))
    params = count_params(bill)
    return params.n_params, params.n_active_params, count_flops(bill, SEQ_LEN).training_flops


BAR_S = 1.0  # for 100,000 architectures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, count in (("depths", 50), ("widths", 50), ("experts", 40)):
        parser.add_argument(f"--{name}", type=int, default=count)
    asked = parser.parse_args()
    depth = np.arange(8, 8 + asked.depths)
    width = 512 * np.arange(1, 1 + asked.widths)
    experts = 2 + 2 * np.arange(asked.experts)
    shapes = [axis.ravel() for axis in np.meshgrid(depth, width, experts, indexing="ij")]

    start = time.perf_counter()
    found = counts(*shapes)
    taken_s = time.perf_counter() - start

    for row in np.linspace(0, len(shapes[0]) - 1, 100).astype(int):
        one = counts(*(int(axis[row]) for axis in shapes))
        assert all(abs(int(values[row]) - value) <= 1e-12 * value for values, value in zip(found, one, strict=True)), one
    print(f"{len(shapes[0]):,} architectures in {taken_s:.3f} s; 100 of them counted one by one agree")
    print(f"largest: {found[0].max():.3e} parameters, {found[2].max():.3e} FLOP a sequence")
    if taken_s > BAR_S:
        sys.exit(f"missed: {taken_s:.3f} s, the bar is {BAR_S} s")


if __name__ == "__main__":
    main()
