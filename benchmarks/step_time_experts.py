"""Fit the three constants of experts on runs of Megatron Bridge, score them, and score each model left out; dense Blackwell and TPU runs.

    python benchmarks/step_time_experts.py RUNS.csv CONFIGS [fit]

RUNS.csv holds published runs with their layouts; CONFIGS is a folder of Hugging Face configs of the models. A run that was measured in
several releases is one case, at the median of its rates. Constants: the speed of grouped products over single ones, kernel launches of a
layer of experts beyond a dense one, and the host time of a launch on Grace over that of other hosts. Bars: mean over models on devices of
the median error, experts 20 %, dense Blackwell and dense TPU 15 %; exits 1 when one is missed. The error of a constant MFU stands beside
each: that of the group's runs with the least mean error, in hindsight. Nothing is fitted to the dense runs.

TPU runs are MaxText's: weights sharded over all devices (FSDP), one micro-batch, full recomputation (its default `remat_policy`); the stack
is the one that stands for any.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scaleplan.chain.layout_pricing import Group, group_of, least_recompute
from scaleplan.chain.layout_table import row_values
from scaleplan.chain.memory import stack_named
from scaleplan.machine.step_time import step_time, utilisation

CONFIGS = {
    "DeepSeek-V3": "deepseek-v3", "Kimi K2": "kimi-k2", "Qwen3 30B-A3B": "qwen3-30b-a3b", "Llama 3 8B": "llama-3-8b",
    "Llama 3 70B": "llama-3.1-70b", "Llama 3.1 405B": "llama-3.1-405b", "llama3.1-405b": "llama-3.1-405b", "llama3.1-70b": "llama-3.1-70b",
    "Llama 3.1 70B": "llama-3.1-70b", "Llama 3.1 8B": "llama-3-8b", "Mistral 7B": "mistral-7b-v0.1",
}  # fmt: skip
SIZES: dict[str, tuple[str, dict[str, Any]]] = {  # shapes of a family at another size: config and what differs, from their model cards
    "Qwen3 235B-A22B": (
        "qwen3-30b-a3b",
        {"hidden_size": 4096, "num_hidden_layers": 94, "num_attention_heads": 64, "moe_intermediate_size": 1536, "max_window_layers": 94},
    ),
    "GPT-OSS 120B": (
        "gpt-oss-20b",
        {"num_hidden_layers": 36, "num_local_experts": 128, "layer_types": ["sliding_attention", "full_attention"] * 18},
    ),
}
PRECISION = {"bf16": "bf16-mixed", "fp8": "fp8", "fp8_full": "fp8", "fp8-cs": "fp8", "fp8-mx": "fp8", "mxfp8": "fp8"}
WHOLE = ("n_accel", "global_batch_seqs", "micro_batch", "seq_len", "tp", "pp", "cp", "dp", "tokens_per_s_per_accel")
BLACKWELL = ("b200-sxm", "b300-sxm", "gb200", "gb300")
GRACE = ("gb200", "gb300")


class Constants(NamedTuple):
    """What is fitted."""

    grouped: float
    expert_launches: float
    launch_share: float


class Case(NamedTuple):
    """One run: model, device, whether it has experts, its measured step and what prices it."""

    model: str
    hardware: str
    experts: bool
    step_s: float
    group: Group
    recompute: str

    def ratio(self, constants: Constants) -> float:
        """Predicted over measured."""
        on = self.group.kernels
        hardware = on.shares.hardware._replace(grouped=constants.grouped)
        stack = on.shares.stack._replace(expert_launches=constants.expert_launches)
        share = constants.launch_share if self.hardware in GRACE else on.device.launch_share
        on = on._replace(device=on.device._replace(launch_share=share), shares=on.shares._replace(hardware=hardware, stack=stack))
        time = step_time(self.group.bill, self.group.layout, self.group.step(self.recompute), on)
        return float(np.ravel(time.step_s)[0]) / self.step_s

    @property
    def mfu(self) -> float:
        """As measured."""
        used = utilisation(self.group.bill, self.group.step(self.recompute), self.group.layout, self.group.kernels, self.step_s)
        return float(np.ravel(used.mfu)[0])


def read(path: Path, configs: Path, folder: Path) -> list[Case]:
    """The cases of a table of runs."""
    seen: dict[tuple[str, ...], list[dict[str, str]]] = defaultdict(list)
    with path.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            if is_case(row):
                named = ("model", "hardware", *WHOLE[:-1], "vpp", "ep", "sharding", "global_batch_tokens")
                key = (*(row[k] for k in named), PRECISION[row["precision"]])
                seen[key].append(row)
    return [case_of(rows, configs, folder) for _, rows in sorted(seen.items())]


def is_tpu_case(row: dict[str, str]) -> bool:
    """Whether it is a dense run on a TPU slice of a known shape, length and batch."""
    whole = all(row[k] for k in ("n_accel", "global_batch_tokens", "seq_len", "step_time_s")) and row["precision"] in PRECISION
    return row["hardware"].startswith("tpu") and row["kind"] == "throughput" and row["model"] in CONFIGS and whole and not row["n_experts"]


def is_case(row: dict[str, str]) -> bool:
    """Whether a run states its whole layout, in 16 or 8 bits, with no tokens dropped."""
    if is_tpu_case(row):
        return True
    named = row["model"] in CONFIGS or row["model"] in SIZES
    whole = all(row[k] for k in WHOLE) and row["precision"] in PRECISION and "tokendrop" not in row["notes"]
    asked = row["hardware"] in BLACKWELL or bool(row["n_experts"])
    return named and whole and asked and row["kind"] == "throughput" and "Megatron-Bridge" in row["framework"]


def tpu_case(rows: list[dict[str, str]], configs: Path, folder: Path) -> Case:
    """A run of MaxText at the median of its steps."""
    row, step_s = rows[0], statistics.median(float(r["step_time_s"]) for r in rows)
    n, seqs = int(row["n_accel"]), int(row["global_batch_tokens"]) // int(row["seq_len"])
    cells = {
        "model": config_of(row["model"], configs, folder), "seq_len": row["seq_len"], "hardware": row["hardware"], "n_devices": str(n),
        "tp": "1", "pp": "1", "cp": "1", "dp": str(n), "ep": "1", "etp": "", "n_virtual_stages": "1", "zero_stage": "3",
        "micro_batch_size_seqs": str(seqs // n), "global_batch_size_seqs": str(seqs), "recompute": "full", "sequence_parallel": "0",
        "attention": "flash", "precision": PRECISION[row["precision"]], "stack": "usual",
    }  # fmt: skip
    group = group_of([row_values(cells)], stack_named("usual"))
    return Case(CONFIGS[row["model"]], row["hardware"], False, step_s, group, "full")


def case_of(rows: list[dict[str, str]], configs: Path, folder: Path) -> Case:
    """A run at the median of its rates."""
    if is_tpu_case(rows[0]):
        return tpu_case(rows, configs, folder)
    row, rate = rows[0], statistics.median(float(r["tokens_per_s_per_accel"]) for r in rows)
    cells = {
        "model": config_of(row["model"], configs, folder), "seq_len": row["seq_len"], "hardware": row["hardware"],
        "n_devices": row["n_accel"],
        "tp": row["tp"], "pp": row["pp"], "cp": row["cp"], "dp": row["dp"], "ep": row["ep"] or "1", "etp": "1" if row["n_experts"] else "",
        "n_virtual_stages": row["vpp"] or "1", "micro_batch_size_seqs": row["micro_batch"],
        "global_batch_size_seqs": row["global_batch_seqs"],
        "recompute": "", "sequence_parallel": "0" if row["tp"] == "1" else "1", "zero_stage": "3" if "fsdp" in row["sharding"] else "1",
        "attention": "flash", "precision": PRECISION[row["precision"]], "stack": "mbridge",
    }  # fmt: skip
    group = group_of([row_values(cells)], stack_named("mbridge"))
    step_s = float(row["global_batch_seqs"]) * float(row["seq_len"]) / float(row["n_accel"]) / rate
    return Case(row["model"], row["hardware"], bool(row["n_experts"]), step_s, group, least_recompute(group)[0])


def config_of(model: str, configs: Path, folder: Path) -> str:
    """The path of a model's config."""
    base, changed = SIZES.get(model, (CONFIGS.get(model, ""), {}))
    made = folder / model.replace(" ", "-") / "config.json"
    made.parent.mkdir(exist_ok=True)
    made.write_text(json.dumps({**json.loads((configs / f"{base}.json").read_text(encoding="utf-8")), **changed}), encoding="utf-8")
    return str(made)


def medians(cases: list[Case], constants: Constants) -> dict[tuple[str, str], float]:
    """Median error of each model on each device."""
    return by_model(cases, [abs(case.ratio(constants) - 1) for case in cases])


def by_model(cases: list[Case], errors: list[float]) -> dict[tuple[str, str], float]:
    """Median of the errors of each model on each device."""
    found: dict[tuple[str, str], list[float]] = defaultdict(list)
    for case, error in zip(cases, errors, strict=True):
        found[case.model, case.hardware].append(error)
    return {key: statistics.median(some) for key, some in found.items()}


def of_constant_mfu(cases: list[Case]) -> dict[tuple[str, str], float]:
    """The same of the one MFU, among those measured, whose steps are least off."""
    measured = [case.mfu for case in cases]
    tried = [by_model(cases, [abs(mfu / constant - 1) for mfu in measured]) for constant in measured]
    return min(tried, key=lambda errors: statistics.mean(errors.values()))


def loss(cases: list[Case], constants: Constants) -> float:
    """Mean over models on devices of the median error."""
    return statistics.mean(medians(cases, constants).values())


def descend(cases: list[Case], constants: Constants) -> Constants:
    """Constants of least loss: steps of one at a time, ever smaller, until none helps."""
    least = loss(cases, constants)
    for factor in (1.5, 1.2, 1.07):
        moved = True
        while moved:
            moved = False
            for name in Constants._fields:
                for by in (factor, 1 / factor):
                    tried = constants._replace(**{name: getattr(constants, name) * by})
                    if tried.grouped <= 1 and tried.launch_share <= 1 and (found := loss(cases, tried)) < least - 1e-4:
                        constants, least, moved = tried, found, True
    return constants


def presets(cases: list[Case]) -> Constants:
    """The constants as the presets have them."""
    grace = next(case.group.kernels for case in cases if case.hardware in GRACE)
    return Constants(grace.shares.hardware.grouped, grace.shares.stack.expert_launches, grace.device.launch_share)


def main() -> None:
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    with tempfile.TemporaryDirectory() as folder:
        cases = read(Path(sys.argv[1]), Path(sys.argv[2]), Path(folder))
    experts = [case for case in cases if case.experts]
    constants = presets(cases)
    if "fit" in sys.argv:
        constants = descend(experts, constants)
        print("fitted:", constants)
        for model in sorted({case.model for case in experts}):
            without = descend([case for case in experts if case.model != model], constants)
            alone = [case for case in experts if case.model == model]
            print(f"{model} left out: {100 * loss(alone, without):.1f} %, fitted {100 * loss(alone, constants):.1f} %")
    dense = [case for case in cases if not case.experts]
    tpus = [case for case in dense if case.hardware.startswith("tpu")]
    missed = 0
    for title, some, bar in (
        ("experts", experts, 20),
        ("dense, Blackwell", [c for c in dense if c not in tpus], 15),
        ("dense, TPU", tpus, 15),
    ):
        plain = of_constant_mfu(some)
        for (model, hardware), error in medians(some, constants).items():
            print(f"    {model:20} {hardware:10} {100 * error:5.1f} %   constant MFU {100 * plain[model, hardware]:5.1f} %")
        found = 100 * loss(some, constants)
        missed += found > bar
        beside = f"constant MFU {100 * statistics.mean(plain.values()):.1f} %"
        print(f"{'ok    ' if found <= bar else 'MISSED'} {title}: {found:.1f} % of {len(some)} cases (at most {bar}); {beside}")
    sys.exit(1 if missed else 0)


if __name__ == "__main__":
    main()
