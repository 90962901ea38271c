"""Fit what a serving engine gets of a device's rates on some published rows, and score it on others.

    python benchmarks/serving.py [--stack trtllm|trtllm24] [--fit] [--rows]

tests/published/serving.csv holds rates (output tokens a second and device) and seconds to the first token that TensorRT-LLM printed, by
release. `trtllm` is fitted on rows of use `tune`: other releases, other devices (L40S, H200) and other models (Falcon, Mistral) than those
of use `score`, GPT-J 6B, LLaMA 7B and 70B on H100 and A100. `trtllm24` is fitted on every second row of release 0.9.0, lengths in
turn, and scored on the others. Nothing is fitted on a scored row. Exits 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import statistics
import sys
from pathlib import Path
from typing import Any

from scaleplan import library
from scaleplan.machine.activations import Batch
from scaleplan.machine.device import device_of
from scaleplan.machine.layout import Layout
from scaleplan.machine.recipe import cache_precision
from scaleplan.machine.serving import Load, serve
from scaleplan.machine.serving_formats import serving_format
from scaleplan.machine.serving_memory import Serving
from scaleplan.machine.serving_pass import Deployment, Engine, engine_of
from scaleplan.model.bill import bill_of
from scaleplan.model.items import Bill
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model

PUBLISHED = Path(__file__).parents[1] / "tests" / "published"
STACKS = ("trtllm", "trtllm24")
BAR = 0.15  # median error of rates, and of first tokens
FALCON_180B = {
    "n_layers": 80, "d_model": 14848, "n_heads": 232, "n_kv_heads": 8, "n_vocab": 65024, "norm": "layer", "parallel": True,
    "attention_bias": "none", "mlp_bias": False,
}  # fmt: skip
FITTED = {  # start, least, most
    "product": (0.7, 0.3, 1.0),
    "narrow_product": (0.6, 0.3, 1.0),
    "attention": (0.4, 0.05, 1.0),
    "memory": (0.8, 0.4, 1.0),
    "cache": (0.7, 0.2, 1.0),
    "rereads": (0.05, 1e-4, 1.0),
    "collective_s": (15e-6, 2e-6, 100e-6),
    "layer_s": (100e-6, 5e-6, 300e-6),
    "step_s": (5e-4, 1e-5, 2e-2),
}


LATER = ("narrow_product", "memory", "cache", "rereads", "step_s")  # what rows of large batches on one or two devices can tell


def fitted(stack: str) -> dict[str, tuple[float, float, float]]:
    """The constants that are fitted for a stack; the others stay."""
    return FITTED if stack == "trtllm" else {name: FITTED[name] for name in LATER}


def published() -> list[dict[str, Any]]:
    """The published rows, numbers as numbers."""
    with (PUBLISHED / "serving.csv").open(newline="", encoding="utf-8") as lines:
        found = list(csv.DictReader(lines))
    whole = ("batch", "tp", "n_prompt_tokens", "n_output_tokens")
    return [row | {name: int(row[name]) for name in whole} | {"value": float(row["value"])} for row in found]


def rows(stack: str, use: str) -> list[dict[str, Any]]:
    """What a stack is fitted on (`tune`), or scored on (`score`)."""
    if stack == "trtllm":
        return [row for row in published() if row["use"] == use]
    later = [row for row in published() if row["release"] == "0.9.0"]  # four pairs of lengths a model: each pair is in both halves
    return [row for i, row in enumerate(later) if ((i + i // 4) % 2 == 1) == (use == "score")]


def bills() -> dict[str, Bill]:
    """The models of the rows."""
    found = {"falcon-180b": bill_of(arch_of_shape(FALCON_180B))}
    for name in ("gpt-j-6b", "llama-7b", "llama-2-70b", "mistral-7b-v0.1"):
        config = PUBLISHED / "configs" / f"{name}.json"
        found[name] = bill_of(read_model(str(config) if config.is_file() else name).arch)
    return found


BILLS = bills()
DEVICES = {name: device_of(name, library.load("hardware", name).data) for name in ("h100-sxm", "h200-sxm", "a100-sxm-80gb", "l40s")}


def predicted(row: dict[str, Any], engine: Engine) -> float:
    """What the model says of a row."""
    weights = serving_format(row["precision"])
    cache = cache_precision("fp8" if row["precision"] == "fp8" else None, weights)
    layout = Layout(tp=row["tp"])
    on = Deployment(BILLS[row["model"]], layout, Serving(Batch(1, 1), weights, cache), DEVICES[row["device"]], engine)
    found = serve(on, Load(row["n_prompt_tokens"], row["n_output_tokens"], row["batch"]))
    return float(found.tokens_per_s_per_device if row["quantity"] == "rate" else found.first_token_s)


def ratios(some: list[dict[str, Any]], engine: Engine) -> list[float]:
    """Measured over predicted."""
    return [row["value"] / predicted(row, engine) for row in some]


def fit(stack: str, start: Engine) -> Engine:
    """The engine of least error on the tuning rows; logarithms, and large misses count in proportion."""
    from scipy.optimize import least_squares

    some, constants = rows(stack, "tune"), fitted(stack)

    def misses(logs: Any) -> list[float]:
        engine = start._replace(**{name: math.exp(x) for name, x in zip(constants, logs, strict=True)})
        return [math.log(ratio) for ratio in ratios(some, engine)]

    low, high = ([math.log(limits[i]) for limits in constants.values()] for i in (1, 2))
    found = least_squares(misses, [math.log(limits[0]) for limits in constants.values()], bounds=(low, high), loss="soft_l1", f_scale=0.1)
    return start._replace(**{name: math.exp(x) for name, x in zip(constants, found.x, strict=True)})


def score(stack: str, engine: Engine, *, each: bool) -> bool:
    """Print the errors by use and quantity, and of each row if asked; whether the bars are kept on rows that nothing was fitted on."""
    kept = True
    for use, quantity in itertools.product(("tune", "score"), ("rate", "first")):
        some = [row for row in rows(stack, use) if row["quantity"] == quantity]
        if not some:
            continue
        found = ratios(some, engine)
        errors = [abs(1 / ratio - 1) for ratio in found]
        middle, mean = statistics.median(errors), statistics.mean(errors)
        low, high = statistics.quantiles(found, n=10)[::8]
        print(f"{use} {quantity}: {len(some)} rows, median error {100 * middle:.1f} %, mean {100 * mean:.1f} %")
        print(f"    measured / predicted: p10 {low:.3f}, p50 {statistics.median(found):.3f}, p90 {high:.3f}")
        kept = kept and (use == "tune" or middle <= BAR)
        for row, ratio in zip(some, found, strict=True) if each else ():
            lengths = f"{row['n_prompt_tokens']} + {row['n_output_tokens']}"
            case = f"{row['release']} {row['device']} {row['model']} batch {row['batch']} tp {row['tp']} {lengths}"
            print(f"    {case}: {row['value']:.5g}, predicted {row['value'] / ratio:.5g}")
    print(f"bar {100 * BAR:.0f} %: {'kept' if kept else 'missed'}")
    return kept


def main() -> None:
    """Score the engine of the preset, or fit one anew and score it."""
    parser = argparse.ArgumentParser(description="Serving rates and first tokens against published rows.")
    parser.add_argument("--fit", action="store_true", help="fit the constants anew and print them")
    parser.add_argument("--rows", action="store_true", help="print every row")
    parser.add_argument("--stack", choices=STACKS, default=STACKS[0])
    asked = parser.parse_args()
    engine = engine_of(asked.stack, library.load("stacks", asked.stack).data)
    if asked.fit:
        engine = fit(asked.stack, engine)
        for name in fitted(asked.stack):
            print(f"{name} = {getattr(engine, name):.4g}")
    sys.exit(0 if score(asked.stack, engine, each=asked.rows) else 1)


if __name__ == "__main__":
    main()
