"""A measured step corrects a stack: the plan with it has the measured step and peak; logs of many programs are read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.cases import GPT3_PLAN

import scaleplan
from scaleplan import library
from scaleplan.errors import ScaleplanError
from scaleplan.questions.calibrate.logs import measured_of

PLAN = GPT3_PLAN.replace(
    "[hardware]", 'precision = "bf16-mixed"\nrecompute = "full"\n[hardware]\nlayout = "tp8,pp8,dp16,sp,zero1"\nstack = "megatron22"'
)


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
    """Step and wall time of another layout are surer with a corrected stack than without, those of the measured one surest."""
    step, peak = numbers(plan)
    stack = tmp_path / "stack.toml"
    run("calibrate", plan, "--step-s", repr(step * 1.2), "--peak-bytes", str(round(peak * 1.1)), "-o", stack)
    other = {"layout": "tp4,pp16,dp16,sp,zero1"}
    before, after = (scaleplan.plan(plan, **other, **more) for more in ({}, {"stack": str(stack)}))

    for path in ("step.step_s", "run.wall_s"):
        assert after[path]["p90"] / after[path]["p10"] < before[path]["p90"] / before[path]["p10"]
    own, planned = scaleplan.plan(plan, stack=str(stack)), scaleplan.plan(plan)
    for path in ("step.step_s", "memory.peak_bytes"):
        widths = [one[path]["p90"] / one[path]["p10"] for one in (own, after, planned)]
        assert widths[0] < widths[1]
        assert widths[0] < 1.1 < widths[2]


@pytest.mark.parametrize(
    ("before", "after", "says"),
    [
        ("shapes = [[", "# [[", "has not 6 rows of 6"),
        ("covariance = [[", "covariance = [[-1e3, 0, 0, 0, 0, 0, 0], [", "has not 7 rows of 7"),
        ("covariance = [[", "covariance = [[-1000", "not above zero"),
    ],
)
def test_a_stack_whose_covariance_cannot_be_is_refused(run, plan, tmp_path, before, after, says):
    """A matrix of another size than the terms and shapes, or with a variance below zero."""
    stack = tmp_path / "stack.toml"
    run("calibrate", plan, "--step-s", repr(1.2 * numbers(plan)[0]), "-o", stack)
    text = stack.read_text()
    assert before in text
    stack.write_text(text.replace(before, after))
    with pytest.raises(ScaleplanError, match=says):
        scaleplan.plan(plan, stack=str(stack))


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
MEGATRON_2020 = """
training ...
 iteration        5/  120000 | elapsed time per iteration (ms): 99000.1 | learning rate: 0.000E+00 | loss scale: 268435456.0 |
after 5 iterations memory (MB) | allocated: 10250.56 | max allocated: 12606.06 | reserved: 17482.0 | max reserved: 17482.0
time (ms) | forward: 11716.18 | backward: 4770.37 | optimizer: 0.06 | batch generator: 2.61
 iteration       10/  120000 | elapsed time per iteration (ms): 30500.0 | learning rate: 0.000E+00 | loss scale: 8388608.0 |
 iteration       15/  120000 | elapsed time per iteration (ms): 30500.0 | learning rate: 0.000E+00 | lm loss: nan | grad norm: nan |
"""
BIGSCIENCE = """
[default7]: iteration    12695/  115311 | consumed samples:      9841584 | elapsed time per iteration (s): 30.50 | lm loss: 2.46 |
[default7]: iteration    12696/  115311 | consumed samples:      9843632 | elapsed time per iteration (s): 30.50 | lm loss: 2.47 |
"""
NEMO = """
[NeMo W 2025-08-19 14:27:47 rerun_state_machine:239] RerunStateMachine initialized in mode RerunMode.DISABLED
Training epoch 0, iteration 0/99 | lr: 9.8e-08 | peak_memory_usage: 1000 | train_step_timing in s: 95.2
Training epoch 0, iteration 1/99 | lr: 1.9e-07 | peak_memory_usage: 1100 | train_step_timing in s: 30.5
Training epoch 0, iteration 2/99 | lr: 2.9e-07 | peak_memory_usage: 1100 | train_step_timing in s: 30.5 | consumed_samples: 8
[NeMo I 2025-03-04 02:58:29 perf_metrics_utils:56] train_step_timing in s: [95.2, 30.5, 30.5]
"""
TITAN = """
[rank0]:[titan] \x1b[31mstep:  1  \x1b[32mloss: 12.2  \x1b[33mmemory: 40.00GiB(50.0%)  \x1b[34mtps: 20\x1b[39m
[rank0]:[titan] 2025-01-01 00:00:30 - root - INFO - step: 10  loss:  9.1  memory: 43.50GiB(54.9%)  tps: 1,024  mfu: 40%
[rank0]:[titan] 2025-01-01 00:01:00 - root - INFO - step: 20  loss:  8.1  memory: 43.50GiB(54.9%)  tps: 1,024  mfu: 40%
"""
TITAN_2024 = """
2024-06-01 00:00:30,100 - root - INFO - step:  1  loss: 12.2  memory: 40.00GiB(50.0%)  wps: 20  mfu: 1.0%
2024-06-01 00:00:31,100 - root - INFO - step: 10  loss:  9.1  memory: 43.50GiB(54.9%)  wps: 1,024  mfu: 40%
2024-06-01 00:00:32,100 - root - INFO - step: 20  loss:  nan  memory: 43.50GiB(54.9%)  wps: 1,024  mfu: 40%
"""
TITAN_2026 = """
[titan] 2026-02-24 19:46:17,508 - root - INFO - step:  4  loss:  7.6  grad_norm: 2.6  memory: 43.50GiB(37.51%)  tps: 1,024  tflops: 314.71
"""
LOGS = {
    "csv": ("step,step_s,peak_bytes\n1,90,1000\n2,30.5,1100\n3,30.5,1100\n", 30.5, 1100),
    "semicolons": ("step;step_s;peak_bytes\r\n1;90;1000\r\n2;30.5;1100\r\n3;30.5;1100\r\n", 30.5, 1100),
    "jsonl": ('{"step": 1, "step_s": 90}\n\n{"step": 2, "step_s": 30.5}\n{"step": 3, "step_s": 30.5}\n', 30.5, None),
    "wandb": (
        '"Step","big-run - time_metrics/end_to_end(s)","big-run - time_metrics/end_to_end(s)__MIN","big-run - memory/max_reserved(GiB)"\n'
        '1,90,90,""\n2,"","",41\n3,30.5,30.5,43\n4,30.5,30.5,43\n', 30.5, 43 * 2**30),
    "wandb-json": ('{"_step": 1, "iteration-time": 30.5, "lm loss": NaN}\n{"_step": 2, "iteration-time": NaN}\n', 30.5, None),
    "pandas": (",perf/step_time,memory/max_reserved(GiB)\n0,30.5,nan\n1,NaN,43\n", 30.5, 43 * 2**30),
    "milliseconds": ("step_time_ms\n30500\n30500\n90000\n", 30.5, None),
    "megatron": (MEGATRON, 30.5005, 46000 * 2**20),
    "megatron-2020": (MEGATRON_2020, 30.5, 17482 * 2**20),
    "megatron-deepspeed": (BIGSCIENCE, 30.5, None),
    "nemo": (NEMO, 30.5, 1100),
    "torchtitan": (TITAN, 8192 / 1024, 43.5 * 2**30),
    "torchtitan-2024": (TITAN_2024, 8192 / 1024, 43.5 * 2**30),
    "torchtitan-2026": (TITAN_2026, 8192 / 1024, 43.5 * 2**30),
}  # fmt: skip


@pytest.mark.parametrize("kind", LOGS)
def test_a_log_says_its_medians(kind):
    """Seconds and bytes as each program writes them, whatever the first step took: Megatron-LM's MB are 2^20 bytes, tps is of a device."""
    text, step_s, peak = LOGS[kind]
    (found,) = measured_of(text.splitlines(), "log", 8192)

    assert found.step_s == pytest.approx(step_s)
    assert found.peak_bytes == (peak if peak is None else pytest.approx(peak))


def test_rows_that_ran_with_other_settings_are_kept_apart():
    """Columns that are plan keys, by name or dotted; others, such as tokens consumed so far, are none."""
    text = "step_s,layout,micro_batch_size_seqs,tokens\n2,tp8,1,100\n3,tp8,2,200\n2.2,tp8,1,300\n"
    found = measured_of(text.splitlines(), "log", None)

    assert [(row.settings, row.n_rows) for row in found] == [
        (("hardware.layout=tp8", "training.micro_batch_size_seqs=1"), 2),
        (("hardware.layout=tp8", "training.micro_batch_size_seqs=2"), 1),
    ]
    assert found[0].step_s == pytest.approx(2.1)


def test_a_log_of_any_length_is_read_in_little_memory(tmp_path):
    """A million lines, a few megabytes at most; the median is that of all rows within their spread."""
    import tracemalloc

    path = tmp_path / "long.log"
    with path.open("w") as file:
        for step in range(1_000_000):
            file.write(f" iteration {step:8d}/ 9000000 | elapsed time per iteration (ms): {1000 + step % 11}.0 |\n")
    tracemalloc.start()
    (found,) = measured_of(library.read_lines(path), "long.log", None)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert most < 8 * 2**20
    assert found.n_rows == 1_000_000
    assert found.step_s == pytest.approx(1.005, abs=0.001)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
def test_a_log_in_another_encoding_is_read(tmp_path, encoding):
    """A byte-order mark says which; a line without an end is cut."""
    path = tmp_path / "log.csv"
    path.write_bytes("step,step_s\n1,30.5\n".encode(encoding))

    assert measured_of(library.read_lines(path), "log", None)[0].step_s == 30.5
    path.write_bytes(b"\xff" * 3_000_000)
    with pytest.raises(ScaleplanError, match="no step time"):
        measured_of(library.read_lines(path), "log", None)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("step,step_s\n1,30\n2,fast\n", "line 3: `fast`"),
        ("step,step_s\n1,30\n2,\n", "line 3: "),
        ("step,step_s\n1,-3\n", "line 2: `-3`"),
        ("step,step_s\n1,nan\n", "line 2: `nan`"),
        ("step,step_s,peak_bytes\n1,30,much\n", "line 2: `much`"),
        ("step,step_s\n\n1,30\n2,fast\n", "line 4: `fast`"),
        ("a,b\n1,2\n", "step_s"),
        ("", "empty"),
        ("\n \n", "empty"),
        ("step,step_s\n", "no step time"),
        ('{"step_s": 3}\n{"step_s": \n', "line 2: "),
        ("{}\n[1]\n", "line 2: "),
        (MEGATRON.replace("30500.5", "oops"), "line 4: `oops`"),
    ],
)
def test_what_cannot_be_read_is_refused_with_its_line(text, says):
    """No row is passed over in silence."""
    with pytest.raises(ScaleplanError) as refused:
        measured_of(text.splitlines(), "log.csv", 8192)
    assert says in str(refused.value)


def test_a_small_run_corrects_the_plan_of_a_large_one(plan):
    """Eight devices and twelve layers of the same width: the large plan follows, less than the small one, and is surer."""
    at = ["layout=tp8,sp", "batch_size_tokens=65536", "n_layers=12"]
    first = scaleplan.calibrate(plan, step_s=9.0, measured_at=at)
    slower = scaleplan.calibrate(plan, step_s=1.25 * first["planned.step_s"], measured_at=at)
    before = scaleplan.plan(plan)["run.wall_s"]
    after = slower["forecast.wall_s"]

    assert 1.05 < after["value"] / before["value"] < 1.25
    assert after["p90"] / after["p10"] < before["p90"] / before["p10"]
    assert any("was not measured" in note for note in slower.notes)


def test_a_stack_of_another_device_is_said(plan, tmp_path):
    """Efficiencies of one kind of device are not those of another; on its own nothing is said."""
    stack = tmp_path / "stack.toml"
    stack.write_text(scaleplan.calibrate(plan, step_s=31).files[".toml"][".toml"])
    here, there = (scaleplan.plan(plan, stack=str(stack), hardware=device) for device in ("a100-sxm-80gb", "h100-sxm"))

    assert not any("was corrected by steps on" in note for note in here.notes)
    assert any("was corrected by steps on a100-sxm-80gb; on h100-sxm" in note for note in there.notes)
    cost = scaleplan.cost("gpt2", tokens="1B", hardware="h100-sxm", layout="dp8", stack=str(stack))
    assert any("was corrected by steps on a100-sxm-80gb; on h100-sxm" in f"{table.notes}" for table in cost.tables)


def test_several_layouts_in_one_log(plan, tmp_path):
    """Each is reproduced by the corrected stack, also in a table of layouts; the terms of each add up to its difference."""
    path, stack = tmp_path / "rows.csv", tmp_path / "stack.toml"
    layouts = ("tp8,pp8,dp16,sp,zero1", "tp4,pp16,dp16,sp,zero1", "tp8,pp4,dp32,sp,zero1")
    took = [factor * numbers(plan, layout=layout)[0] for layout, factor in zip(layouts, (1.2, 1.1, 1.3), strict=True)]
    path.write_text("layout;step_s\n" + "".join(f"{layout};{step!r}\n" for layout, step in zip(layouts, took, strict=True)))
    answer = scaleplan.calibrate(plan, measured=str(path))
    stack.write_text(answer.files[".toml"][".toml"])

    assert [numbers(plan, layout=layout, stack=str(stack))[0] for layout in layouts] == pytest.approx(took, rel=1e-9)
    for row in answer["rows"]:
        assert sum(term["residual_s"] for term in row["residual"]) == pytest.approx(
            row["measured"]["step_s"] - row["planned"]["step_s"], rel=1e-9
        )
    assert answer["ratio.step_s"] == pytest.approx(1.2, rel=1e-9)


def test_the_loss_along_the_run_is_that_of_shorter_runs(plan):
    """Each moment is the loss of a plan with so many tokens; its days are its share of the wall time; the end has a date."""
    answer = scaleplan.calibrate(plan, step_s=33, start="2027-01-04")
    forecast = answer["forecast"]
    for point in (forecast["loss_curve"][0], forecast["loss_curve"][-1]):
        shorter = scaleplan.plan(plan, tokens=point["n_tokens"])["law.loss_nats"]
        assert point["loss_nats"]["value"] == pytest.approx(shorter["value"], rel=1e-9)
        assert point["loss_nats"]["p90"] == pytest.approx(shorter["p90"], rel=1e-9)
        assert point["wall_s"] / forecast["wall_s"]["value"] == pytest.approx(point["n_tokens"] / 300e9, rel=1e-9)
    assert forecast["loss_curve"][-1]["n_tokens"] == forecast["finish_tokens"]["value"] == 300e9
    assert forecast["finish"]["p10"] < forecast["finish"]["value"] < forecast["finish"]["p90"]
    assert forecast["finish"]["value"].startswith("2027-02-2")
    assert answer.drawn_charts()[0].series[0].low is not None


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
        (("--step-s", "30", "--measured-at", "tokens=3"), "tokens=3"),
        (("--step-s", "30", "--measured-at", "layout=tp5"), "layout=tp5"),
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
