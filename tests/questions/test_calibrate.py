"""A measured step corrects a stack: the plan with it has the measured step and peak; logs of many programs are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import scaleplan
from scaleplan import library
from scaleplan.errors import ScaleplanError
from scaleplan.questions.calibrate.logs import measured_of

PLAN = """
[model]
preset = "gpt3-175b"
[training]
tokens = "300B"
seq_len = 2048
batch_size_tokens = 3145728
precision = "bf16-mixed"
recompute = "full"
[hardware]
device = "a100-sxm-80gb"
n_devices = 1024
layout = "tp8,pp8,dp16,sp,zero1"
stack = "megatron22"
[site]
usd_per_device_hour = 2.0
"""


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.toml"
    path.write_text(PLAN)
    return str(path)


def numbers(plan: str, **given: str) -> tuple[float, int]:
    answer = scaleplan.plan(plan, **given)
    return answer["step.step_s.value"], answer["memory.peak_bytes.value"]


@pytest.mark.parametrize(("slower", "fuller"), [(0.7, None), (1.3, 0.85), (1.0, 1.4), (2.9, 0.4)])
def test_the_plan_with_the_corrected_stack_has_what_was_measured(run, plan, tmp_path, slower, fuller):
    """The stack file is read back: the step to 1e-9, the peak to the byte or two; a second calibration starts from it."""
    step, peak = numbers(plan)
    stack = tmp_path / "stack.toml"
    more = ("--peak-bytes", str(round(peak * fuller))) if fuller else ()
    assert run("calibrate", plan, "--step-s", repr(step * slower), *more, "-o", stack).code == 0
    found, held = numbers(plan, stack=str(stack))
    assert found == pytest.approx(step * slower, rel=1e-9)
    assert held == pytest.approx(peak * (fuller or 1), abs=3)

    again = tmp_path / "again.toml"
    run("calibrate", plan, "--set", f"hardware.stack={stack}", "--step-s", repr(step * 1.1), "-o", again)
    assert numbers(plan, stack=str(again))[0] == pytest.approx(step * 1.1, rel=1e-9)
    assert library.load("stacks", str(again)).data["calibration"]["stack"] == "megatron22"


def test_what_was_learnt_narrows_the_interval(run, plan, tmp_path):
    """Step and wall time of another layout are surer with a corrected stack than without; the peak loses its bias and no width."""
    step, peak = numbers(plan)
    stack = tmp_path / "stack.toml"
    run("calibrate", plan, "--step-s", repr(step * 1.2), "--peak-bytes", str(round(peak * 1.1)), "-o", stack)
    other = {"layout": "tp4,pp16,dp16,sp,zero1"}
    before, after = (scaleplan.plan(plan, **other, **more) for more in ({}, {"stack": str(stack)}))

    for path in ("step.step_s", "run.wall_s"):
        assert after[path]["p90"] / after[path]["p10"] < before[path]["p90"] / before[path]["p10"]
    held = after["memory.peak_bytes"]
    assert held["p10"] * held["p90"] == pytest.approx(held["value"] ** 2, rel=1e-6)


def test_the_forecast_is_the_plan_redone(plan):
    """Hours and dollars go as the step; every part of the step too."""
    step, _ = numbers(plan)
    answer, before = scaleplan.calibrate(plan, step_s=1.35 * step), scaleplan.plan(plan)

    for key, path in (("wall_s", "run.wall_s"), ("usd", "money.usd"), ("kgco2e", "carbon.kgco2e")):
        assert answer["forecast"][key]["value"] / before[path]["value"] == pytest.approx(1.35, rel=1e-9)
    assert sum(part["planned_s"] for part in answer["parts"]) == pytest.approx(step, rel=1e-12)
    assert sum(part["corrected_s"] for part in answer["parts"]) == pytest.approx(1.35 * step, rel=1e-12)


MEGATRON = """
 [2024-01-02 03:04:05] iteration        1/     500 | consumed samples:         1536 | elapsed time per iteration (ms): 98000.0 |
[Rank 0] (after 1 iterations) memory (MB) | allocated: 22000.0 | max allocated: 40000.0 | reserved: 45000.0 | max reserved: 46000.0
 [2024-01-02 03:05:05] iteration        2/     500 | consumed samples:         3072 | elapsed time per iteration (ms): 30500.5 |
 [2024-01-02 03:06:05] iteration        3/     500 | consumed samples:         4608 | elapsed time per iteration (ms): 30500.5 |
"""
TITAN = """
[rank0]:[titan] \x1b[31mstep:  1  \x1b[32mloss: 12.2  \x1b[33mmemory: 40.00GiB(50.0%)  \x1b[34mtps: 20\x1b[39m
[rank0]:[titan] 2025-01-01 00:00:30 - root - INFO - step: 10  loss:  9.1  memory: 43.50GiB(54.9%)  tps: 1,024  mfu: 40%
[rank0]:[titan] 2025-01-01 00:01:00 - root - INFO - step: 20  loss:  8.1  memory: 43.50GiB(54.9%)  tps: 1,024  mfu: 40%
"""
LOGS = {
    "csv": ("step,step_s,peak_bytes\n1,90,1000\n2,30.5,1100\n3,30.5,1100\n", 30.5, 1100),
    "jsonl": ('{"step": 1, "step_s": 90}\n\n{"step": 2, "step_s": 30.5}\n{"step": 3, "step_s": 30.5}\n', 30.5, None),
    "wandb": (
        '"Step","big-run - time_metrics/end_to_end(s)","big-run - time_metrics/end_to_end(s)__MIN","big-run - memory/max_reserved(GiB)"\n'
        '1,90,90,""\n2,"","",41\n3,30.5,30.5,43\n4,30.5,30.5,43\n', 30.5, 43 * 2**30),
    "milliseconds": ("step_time_ms\n30500\n30500\n90000\n", 30.5, None),
    "megatron": (MEGATRON, 30.5005, 46000 * 2**20),
    "torchtitan": (TITAN, 8192 / 1024, 43.5 * 2**30),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_says_its_medians(kind):
    """Seconds and bytes as each program writes them, whatever the first step took: Megatron-LM's MB are 2^20 bytes, tps is of a device."""
    text, step_s, peak = LOGS[kind]
    found = measured_of(text, "log", 8192)

    assert found.step_s == pytest.approx(step_s)
    assert found.peak_bytes == (peak if peak is None else pytest.approx(peak))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step,step_s\n1,30\n2,fast\n", "log.csv:3: `fast`"),
        ("step,step_s\n1,30\n2,\n", "log.csv:3: "),
        ("step,step_s\n1,-3\n", "log.csv:2: `-3`"),
        ("step,step_s\n1,nan\n", "log.csv:2: `nan`"),
        ("step,step_s,peak_bytes\n1,30,much\n", "log.csv:2: `much`"),
        ("a,b\n1,2\n", "step_s"),
        ("", "step_s"),
        ('{"step_s": 3}\n{"step_s": \n', "log.csv:2: "),
        ("{}\n[1]\n", "log.csv:2: "),
        (MEGATRON.replace("30500.5", "oops"), "log.csv:4: `oops`"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text, says):
    """No row is passed over in silence."""
    with pytest.raises(ScaleplanError) as refused:
        measured_of(text, "log.csv", 8192)
    assert says in str(refused.value)


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ((), "--step-s"),
        (("--step-s", "100000"), "100000"),
        (("--step-s", "0.5"), "0.5"),
        (("--step-s", "-3"), "-3"),
        (("--step-s", "10"), "device's peak"),  # faster than the arithmetic of the devices
        (("--step-s", "30", "--peak-bytes", "1GiB"), "peak"),
        (("--step-s", "30", "--measured", "x.csv"), "contradict"),
        (("--measured", "no-such-log.csv"), "no-such-log.csv"),
        (("--step-s", "30", "--set", "hardware.layout=tp8,pp8,dp8"), "512"),
    ],
)
def test_a_measurement_of_something_else_is_refused(run, plan, args, says):
    """Exit 2, the reason, nothing on stdout."""
    outcome = run("calibrate", plan, *args)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert says in outcome.stderr


def test_a_plan_without_a_layout_has_no_step(run, tmp_path):
    """The way out is a layout."""
    path = tmp_path / "plan.toml"
    path.write_text("\n".join(line for line in PLAN.splitlines() if not line.startswith("layout")))

    assert "layout" in run("calibrate", path, "--step-s", "30").stderr


def test_a_plan_with_a_layout_takes_its_hours_from_the_step(plan):
    """Wall time is steps times seconds over goodput; memory is that of `memory`."""
    answer = scaleplan.plan(plan, goodput=0.8)
    memory = scaleplan.memory(
        "gpt3-175b", hardware="a100-sxm-80gb", layout="tp8,pp8,dp16,sp,zero1", stack="megatron22", precision="bf16-mixed", recompute="full",
        seq_len=2048, global_batch_size_seqs=1536,
    )  # fmt: skip

    steps, step = answer["run.n_steps.value"], answer["step.step_s.value"]
    assert answer["run.wall_s.value"] == pytest.approx(steps * step / 0.8, rel=1e-12)
    assert answer["memory.peak_bytes.value"] == memory["peak_bytes"]
    assert answer["step.tokens_per_s_per_device.value"] == pytest.approx(3145728 / step / 1024, rel=1e-12)
    assert answer["run.n_devices.value"] == 1024
    assert json.loads(answer.to_json())["result"]["layout"] == "tp8,pp8,dp16,zero1,sp"
