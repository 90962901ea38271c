"""The command `layout`: the fastest layouts, one explained, deadlines, device counts, run files, timelines."""

from __future__ import annotations

import csv
import json
from contextlib import contextmanager

import pytest
from tests.formula import evaluate

import scaleplan as sp
from scaleplan.errors import ScaleplanError
from scaleplan.questions.asking import INTERRUPT

RUN = {"hardware": "h100-sxm", "n_devices": 16, "global_batch_size_seqs": 64, "seq_len": 4096, "stack": "mcore24"}
PIPELINE = "tp2,pp4,dp2,sp,zero1"


@pytest.fixture(scope="module")
def ranked():
    return sp.layout("llama-3-8b", **RUN)


def test_layouts_are_ranked_fit_and_use_every_device(ranked):
    """Fastest first; each has 80 GiB at most 90 % full; tp x pp x cp x dp is 16; parts add up to the step."""
    rows = ranked.result["layouts"]
    assert [row["step_s"] for row in rows] == sorted(row["step_s"] for row in rows)
    for row in rows:
        assert row["fits"] and row["peak_bytes"] <= 0.9 * 80 * 2**30
        assert row["tp"] * row["pp"] * row["cp"] * row["dp"] == 16
        assert sum(row["parts"].values()) == pytest.approx(row["step_s"])
        assert row["step_s_p10"] < row["step_s"] < row["step_s_p90"]


def test_every_candidate_fits_or_has_a_reason(ranked):
    found = ranked.result
    assert found["n_fitting"] + sum(found["rejected"].values()) == found["n_considered"]


def test_throughput_is_the_tokens_of_a_step_over_its_time(ranked):
    """64 sequences of 4,096 tokens on 16 devices."""
    for row in ranked.result["layouts"]:
        assert row["tokens_per_s_per_device"] == pytest.approx(64 * 4096 / row["step_s"] / 16)


@pytest.mark.parametrize(
    "more",
    [{}, {"explain": PIPELINE, "schedules": True}, {"explain": "dp16,zero3", "recompute": "full"}, {"n_devices": "8:16", "tokens": "20B"},
     {"n_devices": "8:16", "tokens": "20B", "deadline": "20d"}],
)  # fmt: skip
def test_every_formula_gives_its_value(more):
    """Evaluated by another reader of formulas than ours."""
    answer = sp.layout("llama-3-8b", **{**RUN, **more})
    counted = [one for one in answer.lines if one.formula]

    assert len(counted) >= 4
    for one in counted:
        assert evaluate(one.formula, one.inputs) == pytest.approx(one.value, rel=1e-9), one.key


def test_conditions_are_kept():
    """`tp=2` and `pp<=2` by constraint, micro-batches and recomputation by their own fields."""
    rows = sp.layout("llama-3-8b", **RUN, where=["tp=2", "pp<=2"], micro_batch_size_seqs=2, recompute="full").result["layouts"]
    assert rows
    assert {(row["tp"], row["micro_batch_size_seqs"], row["recompute"]) for row in rows} == {(2, 2, "full")}
    assert all(row["pp"] <= 2 for row in rows)


def test_an_explained_layout_loses_its_step_less_the_best(ranked):
    told = sp.layout("llama-3-8b", **RUN, explain=PIPELINE).result
    best = ranked.result["layouts"][0]["step_s"]

    assert told["explained"]["lost_s"] == pytest.approx(told["explained"]["step_s"] - best)
    assert sum(told["explained"]["lost_by_part"].values()) == pytest.approx(told["explained"]["lost_s"])
    assert told["layouts"] == ranked.result["layouts"]


def test_a_ranked_layout_explained_is_the_same_row(ranked):
    """Search and explanation price with one function."""
    best = ranked.result["layouts"][0]
    given = {"explain": best["layout"], "micro_batch_size_seqs": best["micro_batch_size_seqs"], "recompute": best["recompute"]}
    told = sp.layout("llama-3-8b", **RUN, **given).result["explained"]

    assert {name: told[name] for name in best} == best


def test_peak_memory_is_that_of_memory():
    """`memory` of the same layout, batch and stack."""
    told = sp.layout("llama-3-8b", **RUN, explain=PIPELINE, micro_batch_size_seqs=2).result["explained"]
    given = {"hardware": "h100-sxm", "stack": "mcore24", "seq_len": 4096, "global_batch_size_seqs": 64, "micro_batch_size_seqs": 2}
    held = sp.memory("llama-3-8b", layout=PIPELINE, **given).result

    assert told["peak_bytes"] == held["peak_bytes"]
    assert told["fits"] == held["fits"]


def test_schedules_of_papers_say_so():
    """What no measured step ran is priced as a formula."""
    rows = sp.layout("llama-3-8b", **RUN, explain=PIPELINE, schedules=True).result["schedules"]
    standings = {row["pipeline_schedule"]: row["standing"] for row in rows}
    assert standings["1f1b"] == standings["interleaved"] == "estimate"
    assert standings["zb1p"] == standings["gpipe"] == "formula only"

    one = sp.layout("llama-3-8b", **RUN, explain=PIPELINE, pipeline_schedule="zb1p")
    assert "estimate" in [caution.kind for caution in one.warnings]


def test_the_ledger_holds_every_candidate_once(run, tmp_path):
    """As many rows as were considered, reasons as counted, no two alike."""
    path = tmp_path / "ledger.csv"
    asked = [f"--{name.replace('_', '-')}={value}" for name, value in RUN.items()]
    found = run("layout", "gpt2", *asked, "--seq-len", "1024", "--ledger", path, "--json").result
    with path.open(newline="") as lines:
        rows = list(csv.DictReader(lines))

    assert len(rows) == found["n_considered"]
    assert sum(row["reason"] == "" for row in rows) == found["n_fitting"]
    degrees = [name for name in rows[0] if name not in ("step_s", "tokens_per_s_per_device", "peak_bytes", "fits", "reason")]
    assert len({tuple(row[name] for name in degrees) for row in rows}) == len(rows)


@pytest.mark.parametrize(("layout", "schedule"), [(PIPELINE, "1f1b"), (f"{PIPELINE},vpp2", "interleaved"), ("dp16,zero3", None)])
def test_the_timeline_lasts_as_long_as_the_step(run, tmp_path, layout, schedule):
    """Every pass of every rank: the simulated step is within 2 % of the closed form, and its memory never above the peak."""
    path = tmp_path / "step.json"
    asked = [f"--{name.replace('_', '-')}={value}" for name, value in RUN.items()]
    more = ["--pipeline-schedule", schedule] if schedule else []
    told = run("layout", "llama-3-8b", *asked, "--explain", layout, *more, "--trace", path, "--json").result["explained"]
    events = json.loads(path.read_text())["traceEvents"]

    ends = [one["ts"] + one["dur"] for one in events if one["ph"] == "X"]
    assert max(ends) / 1e6 == pytest.approx(told["step_s"], rel=0.02)
    held = [one["args"]["bytes"] for one in events if one["ph"] == "C"]
    assert 0 < max(held) <= told["peak_bytes"]


@pytest.mark.parametrize(("form", "layout", "suffix"), [("megatron", PIPELINE, "txt"), ("torchtitan", "tp2,dp8,sp,zero3", "toml")])
def test_a_run_file_is_read_back_as_it_was_written(run, tmp_path, form, layout, suffix):
    """The same text and the same figures; `memory` and `params` read it too."""
    given = {**RUN, "stack": "mcore24" if form == "megatron" else "titan-compile"}
    written = sp.layout("llama-3-8b", **given, explain=layout, micro_batch_size_seqs=2, recompute="full", emit=form)
    path = tmp_path / f"run.{suffix}"
    path.write_text(written.text)
    model = [] if form == "megatron" else ["llama-3-8b"]
    where = {"hardware": "h100-sxm", "n_devices": 16, "stack": given["stack"], "from_file": str(path)}

    assert sp.layout(*model, **where, emit=form).text == written.text
    assert (
        run("layout", *model, *(f"--{n.replace('_', '-').removesuffix('-file')}={v}" for n, v in where.items()), f"--emit={form}").stdout
        == written.text
    )
    explained = sp.layout("llama-3-8b", **given, explain=layout, micro_batch_size_seqs=2, recompute="full").result["explained"]
    assert sp.layout(*model, **where).result["explained"] == explained
    assert sp.memory(*model, **where).result["peak_bytes"] == explained["peak_bytes"]
    assert sp.params(*model, from_file=str(path)).result["n_params"] == sp.params("llama-3-8b").result["n_params"]


def test_the_fewest_devices_finish_in_time_and_a_node_fewer_do_not():
    more = {name: value for name, value in RUN.items() if name != "n_devices"}
    found = sp.layout("llama-3-8b", **more, n_devices="8:64", tokens="100B", deadline="10d").result["fewest"]
    steps = 100e9 / (64 * 4096)

    assert found["n_devices"] > 8 and found["wall_s"] <= 10 * 86400
    assert found["wall_s"] == pytest.approx(steps * found["step_s"])
    fewer = sp.layout("llama-3-8b", **more, n_devices=found["n_devices"] - 8, top=1).result["layouts"]
    assert steps * fewer[0]["step_s"] > 10 * 86400


def test_device_counts_are_compared_in_time_devices_dollars_and_energy():
    """More devices are faster; dollars are the price times device-hours; a count that another beats in all is not on the front."""
    given = {**RUN, "n_devices": "8,16,32", "tokens": "20B", "usd_per_device_hour": 2}
    points = sp.layout("llama-3-8b", **given).result["points"]

    assert [one["n_devices"] for one in points] == [8, 16, 32]
    assert [one["wall_s"] for one in points] == sorted((one["wall_s"] for one in points), reverse=True)
    assert all(one["usd"] == pytest.approx(2 * one["device_hours"]) for one in points)
    assert any(one["on_front"] for one in points)


def test_an_interrupted_search_has_the_best_so_far():
    """Stopped after the first pass: fewer are priced, the counts still add up, and the exit code is that of Ctrl-C."""
    from contextlib import nullcontext

    whole = sp.layout("llama-3-8b", **{**RUN, "n_devices": 512, "global_batch_size_seqs": 512})
    token = INTERRUPT.set(lambda: nullcontext(lambda: True))
    try:
        cut = sp.layout("llama-3-8b", **{**RUN, "n_devices": 512, "global_batch_size_seqs": 512})
    finally:
        INTERRUPT.reset(token)

    assert cut.exit_code == 130 and not cut.result["is_complete"]
    assert whole.exit_code == 0 and whole.result["is_complete"]
    assert cut.result["n_fitting"] + sum(cut.result["rejected"].values()) == whole.result["n_considered"]
    assert cut.result["n_fitting"] < whole.result["n_fitting"]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"explain": "tp3,dp16"}, "tp3"),
        ({"explain": "dp8"}, "n_devices"),
        ({"explain": "dp16", "stage_layers": "16,16"}, "stage_layers"),
        ({"explain": "dp16", "pipeline_schedule": "gpipe"}, "pipeline_schedule"),
        ({"explain": "pp2,dp8", "stage_layers": "16,15"}, "31"),
        ({"where": "tq=1"}, "where"),
        ({"expert_imbalance": 1.5}, "expert_imbalance"),
        ({"emit": "megatron", "top": 3}, "top"),
        ({"deadline": "3d"}, "tokens"),
        ({"deadline": "1d", "tokens": "300T"}, "deadline"),
        ({"n_devices": "16:8", "tokens": "1B"}, "downwards"),
        ({"n_devices": "8:16"}, "tokens"),
        ({"tokens": "1B"}, "tokens"),
        ({"table": "x.csv"}, "hardware"),
        ({"hardware": "rtx-4090", "emit": "megatron", "n_devices": 1, "seq_len": 131072, "global_batch_size_seqs": 1}, "no layout fits"),
    ],
)
def test_refusals_name_what_is_wrong(given, says):
    with pytest.raises(ScaleplanError, match=says) as refused:
        sp.layout("llama-3-8b", **{**RUN, **given})
    assert "--" not in str(refused.value)


def test_a_law_brings_the_critical_batch_into_scaling():
    """B_crit and the loss are those of `batch` for the same run; with larger batches adding devices pays for longer, and costs tokens."""
    told = {"hardware": "h100-sxm", "n_devices": "32,64,128", "tokens": "20B", "global_batch_size_seqs": 32, "seq_len": 2048}
    fixed, free = (sp.layout("llama-2-7b", **told, **law).result for law in ({}, {"law": "besiroglu2024"}))
    n_params = sp.params("llama-2-7b").result["n_params"]
    batch = sp.batch(n_params=n_params, tokens="20B", batch_size_tokens=32 * 2048, law="besiroglu2024").result

    assert free["critical_batch_tokens"] == pytest.approx(batch["critical_batch_tokens"], rel=1e-12)
    assert free["loss_nats"] == pytest.approx(batch["loss_nats"], rel=1e-12)
    assert fixed["critical_batch_tokens"] is None
    plain = {row["n_devices"]: row for row in fixed["points"]}
    for row in free["points"]:
        needed = batch["min_tokens"] * (1 + row["global_batch_size_seqs"] * 2048 / batch["critical_batch_tokens"])
        assert row["tokens"] == pytest.approx(needed, rel=1e-9)
        assert row["n_devices"] not in plain or row["wall_s"] <= plain[row["n_devices"]]["wall_s"] * (1 + 1e-9)
    assert all((row["tokens"], row["global_batch_size_seqs"]) == (20e9, 32) for row in fixed["points"])


def test_the_fewest_devices_interrupted_are_the_shortest_run_so_far():
    """Ctrl-C after the second count that is priced: exit 130, the shortest run so far; without it the error names it."""
    told = {"hardware": "h100-sxm", "tokens": "1T", "deadline": "5d", "n_devices": "64,96,128,160", "global_batch_size_seqs": 480}
    asked = 0

    @contextmanager
    def pressed():
        def stop() -> bool:
            nonlocal asked
            asked += 1
            return asked >= 2

        yield stop

    token = INTERRUPT.set(pressed)
    try:
        answer = sp.layout("llama-3-8b", **told)
    finally:
        INTERRUPT.reset(token)
    assert answer.exit_code == 130
    assert answer.result["fewest"] is None and not answer.result["is_complete"]
    assert answer["shortest.n_devices"] == 128 and answer["shortest.wall_s"] > 5 * 86_400
    with pytest.raises(sp.ScaleplanError, match="on 160"):
        sp.layout("llama-3-8b", **told)


def test_overlapped_tensor_parallelism_is_the_row_of_a_table(tmp_path):
    """`tp_overlap` prices and ranks what a table with that column prices; only the collectives of tensor parallelism get shorter."""
    told = {"hardware": "h100-sxm", "stack": "titan-compile", "global_batch_size_seqs": 64, "precision": "bf16-mixed", "seq_len": 4096}
    table = tmp_path / "rows.csv"
    head = "model,seq_len,hardware,n_devices,tp,pp,cp,dp,ep,n_virtual_stages,micro_batch_size_seqs,global_batch_size_seqs,recompute"
    table.write_text(
        f"{head},sequence_parallel,zero_stage,attention,precision,stack,tp_overlap\n"
        "llama-3-8b,4096,h100-sxm,16,8,1,1,2,1,1,2,64,none,1,1,fa2,bf16-mixed,titan-compile,1\n"
    )
    row = sp.layout(table=str(table)).result["rows"][0]
    one = {"explain": "tp8,dp2,zero1,sp", "micro_batch_size_seqs": 2}
    plain, tiled = (sp.layout("llama-3-8b", **told, **one, **more).result["explained"] for more in ({}, {"tp_overlap": True}))
    ranked = sp.layout(
        "llama-3-8b", **told, n_devices=16, micro_batch_size_seqs=2, where=["tp=8", "zero=1", "sp=1", "cp=1"], tp_overlap=True
    )

    assert tiled["step_s"] == pytest.approx(float(row["step_s"]), rel=1e-12)
    assert {name for name, seconds in tiled["parts"].items() if seconds != plain["parts"][name]} == {"tp"}
    assert any(found["step_s"] == pytest.approx(tiled["step_s"], rel=1e-12) for found in ranked.result["layouts"])


def test_more_rows_than_anyone_reads_are_the_ledger_s(run):
    """Before anything is searched."""
    outcome = run("layout", "llama-3-8b", "--hardware", "h100-sxm", "--n-devices", "64", "--top", "1e9")

    assert outcome.code == 2
    assert "--top shows at most 1,000" in outcome.stderr and "--ledger" in outcome.stderr
