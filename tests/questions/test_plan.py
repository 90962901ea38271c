"""The whole chain from a file or from flags: every link against a second way to its number."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from tests.cases import GPT3_PLAN as PLAN

import scaleplan as sp
from scaleplan.library import Text


def planned(text=PLAN, **more):
    """The answer to a plan."""
    return sp.plan(Text(text), **more)


def value(answer, path):
    """The value of a number at a dotted path."""
    return answer[path]["value"]


def test_the_links_are_those_of_the_other_questions():
    """Compute is that of `flops`, hours and what hangs on them are products of the plan's own numbers."""
    plan = planned(mfu=0.4)
    flops = sp.flops("gpt3-175b", tokens="300B", seq_len=2048).result["training_flops"]
    hours = flops / (0.4 * 312e12) / 3600

    assert value(plan, "compute.training_flops") == flops
    assert value(plan, "run.device_hours") == pytest.approx(hours, rel=1e-12)
    assert value(plan, "run.wall_s") == pytest.approx(hours * 3600 / 1024, rel=1e-12)
    assert value(plan, "money.usd") == pytest.approx(2 * hours, rel=1e-12)
    assert value(plan, "energy.wh") == pytest.approx(1.1 * value(plan, "energy.it_wh"), rel=1e-12)
    assert value(plan, "carbon.kgco2e") == pytest.approx(0.385 * value(plan, "energy.wh") / 1000, rel=1e-12)
    assert value(plan, "run.n_steps") == -(-300_000_000_000 // 3_145_728)


def test_flags_are_the_keys_of_a_file():
    """The same plan by flags, by a file and by changes to a file; written, it reads back the same."""
    by_flags = sp.plan(model="gpt2", tokens="10B", hardware="h100-sxm", n_devices=8, region="FRA")
    text = '[model]\npreset = "gpt2"\n[training]\ntokens = "10B"\n[hardware]\ndevice = "h100-sxm"\nn_devices = 8\n[site]\nregion = "DEU"\n'
    by_file = planned(text, set=["site.region=FRA"])

    assert by_file.result == by_flags.result
    assert planned(by_flags.files[".toml"][".toml"]).result == by_flags.result


def test_dollars_become_a_size_by_the_law():
    """$50,000 at 2 dollars and MFU 0.4 on H100 (989.4 TFLOP/s) are 3.56e22 FLOP; N is that of `optimal` within a step of width."""
    plan = sp.plan(usd="$50k", hardware="h100-sxm", mfu=0.4, usd_per_device_hour=2)
    budget = 25_000 * 3600 * 0.4 * 989.4e12
    optimal = sp.allocate(sp.load_law("besiroglu2024"), sp.Question(compute_flops=budget))

    assert value(plan, "model.n_params") == pytest.approx(optimal.n_params, rel=0.05)
    assert value(plan, "run.n_tokens") == pytest.approx(optimal.n_tokens, rel=1e-9)


def test_a_deadline_takes_the_fewest_devices():
    """One device fewer would not finish in time."""
    text = PLAN.replace("n_devices = 1024\n", "")
    n = value(planned(text, deadline="60d"), "run.n_devices")

    assert value(planned(text, deadline="60d"), "run.wall_s") <= 60 * 86_400
    assert value(planned(text, n_devices=n - 1), "run.wall_s") > 60 * 86_400


def test_stages_add_up():
    """A student of 1B on 100B tokens beside its 7B teacher's scores: 6 N_S D + 2 N_T D, and hours that add up."""
    text = """
        [hardware]
        device = "h100-sxm"
        [[stage]]
        name = "pretraining"
        work = [{ n_params = "7B", trained_tokens = "1T" }]
        [[stage]]
        name = "distillation"
        work = [{ n_params = "1B", trained_tokens = "100B" }, { n_params = "7B", scored_tokens = "100B" }]
    """
    plan = planned(text)
    stages = plan.result["stages"]

    assert [row["compute"]["training_flops"]["value"] for row in stages] == pytest.approx([4.2e22, 2e21], rel=1e-12)
    for path in ("run.device_hours", "money.usd", "energy.wh", "carbon.kgco2e"):
        group, key = path.split(".")
        assert sum(row[group][key]["value"] for row in stages) == pytest.approx(value(plan, path), rel=1e-12)


def test_a_cost_beside_the_devices_moves_a_stage_and_its_interval():
    """5 M$ of salaries in two stages of 4.2e22 and 2e21 FLOP: 4.77 and 0.23 M$ more at every percentile."""
    stages = """
        [hardware]
        device = "h100-sxm"
        [[stage]]
        name = "pretraining"
        work = [{ n_params = "7B", trained_tokens = "1T" }]
        [[stage]]
        name = "tuning"
        work = [{ n_params = "1B", trained_tokens = "333333333333" }]
    """
    alone, together = (planned(text) for text in (stages, stages + '[[cost]]\nname = "people"\nusd = 5000000\nper = "run"\n'))
    for before, after, share in zip(alone.result["stages"], together.result["stages"], (21 / 22, 1 / 22), strict=True):
        for key in ("value", "p10", "p50", "p90"):
            assert after["money"]["usd"][key] - before["money"]["usd"][key] == pytest.approx(5e6 * share, rel=1e-6), key


@pytest.mark.parametrize(
    ("row", "says"),
    [
        ('usd = 20\nper = "terabyte_month"\nterabytes = -500', "cost.0.terabytes"),
        ('usd = 20\nper = "terabyte_month"\nterabytes = "many"', "cost.0.terabytes"),
        ('usd = 20\nper = "day"\nterabytes = 500', "terabyte_month"),
        ('usd = 20\nper = "week"\n[[cost]]\nusd = "abc"', "cost.1.usd"),
    ],
)
def test_a_cost_that_cannot_be_read_is_refused(row, says):
    """With its key, and after a wrong row the next one is read all the same."""
    with pytest.raises(sp.ScaleplanError) as raised:
        planned(f"{PLAN}[[cost]]\n{row}\n")
    assert says in f"{raised.value} {raised.value.hint}"


def test_terabytes_may_be_text():
    """500 TB at 20 $ a month, for the days of the run over 365.25 / 12."""
    plan = planned(f'{PLAN}[[cost]]\nname = "store"\nusd = 20\nper = "terabyte_month"\nterabytes = "500"\n')
    months = value(plan, "run.wall_s") / 86_400 / (365.25 / 12)
    assert plan.result["money"]["other_usd"]["store"] == pytest.approx(10_000 * months)


def test_a_search_takes_the_best_point_that_keeps_the_limits():
    """The fastest of three counts; with a limit of 512 devices, the fastest of those that keep it."""
    text = PLAN.replace("n_devices = 1024", "n_devices = {choices = [256, 512, 1024]}") + '\n[goal]\nminimize = "run.wall_s"\n'

    assert value(planned(text), "run.n_devices") == 1024
    assert value(planned(text + '[[limit]]\nquantity = "run.n_devices"\nmax = 512\n'), "run.n_devices") == 512
    assert len(planned(text).result["search"]) == 3


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("seq_len = 2048", "seq_lenn = 2048", "line 8: training.seq_lenn"),
        ("pue = 1.1", "pue = 0.3", "line 17: site.pue"),
        ('"385g/kWh"', "385", "line 16: site.grid_intensity: `385` has no unit"),
        ('"3145728"', '"3000000"', "2998272"),
        ("gpt3-175b", "gpt33-175b", "gpt3-175b"),
        ("n_devices = 1024", "n_devices = {choices = [1, 2]}", "goal"),
        ('device = "a100-sxm-80gb"\n', "", "hardware"),
    ],
)
def test_a_fault_is_told_with_its_line_and_key(old, new, says):
    """One change makes a plan wrong, and the error says where."""
    with pytest.raises(sp.ScaleplanError) as raised:
        planned(PLAN.replace(old, new))
    assert says in f"{raised.value} {raised.value.hint}"


def test_all_faults_are_told_at_once():
    """Three wrong lines, three errors."""
    text = PLAN.replace("seq_len", "seq_lenn").replace("pue = 1.1", "pue = 0.3").replace('"300B"', '"-300B"')
    with pytest.raises(sp.ScaleplanError) as raised:
        planned(text)
    assert [f"line {n}" in str(raised.value) for n in (7, 8, 17)] == [True] * 3


def test_optimal_for_each_other_is_refused():
    """Tokens that are optimal for a size that is optimal for the tokens have no answer."""
    text = PLAN.replace('preset = "gpt3-175b"', 'target = "optimal"').replace('tokens = "300B"', 'tokens = "optimal"')
    with pytest.raises(sp.ScaleplanError, match="optimal"):
        planned(text)


def test_the_starter_plans_and_keeps_to_the_schema():
    """`--init` prints a plan that is answered; every key that it has is in `--schema`."""
    starter = sp.plan(init=True).text
    schema = json.loads(sp.plan(schema=True).text)

    assert value(planned(starter), "money.usd") > 0
    assert {"model", "training", "hardware", "site", "limit", "stage", "cost", "goal"} <= set(schema["properties"])


@pytest.mark.parametrize(("bound", "verdict", "code"), [("$1B", "pass", 0), ("$1k", "fail", 1)])
def test_a_plan_is_checked_by_its_own_limits(bound, verdict, code):
    """`[[limit]]` of the plan, and the exit code that a job depends on."""
    checked = sp.check(Text(PLAN + f'\n[[limit]]\nquantity = "money.usd"\nmax = "{bound}"\n'))

    assert (checked.result["verdict"], checked.exit_code) == (verdict, code)


def test_a_limit_at_the_median_is_in_doubt():
    """Unsure passes, unless told to fail."""
    middle = planned()["money.usd"]["p50"]
    limit = [f"money.usd<={middle!r}"]

    assert sp.check(Text(PLAN), limit=limit).result["verdict"] == "unsure"
    assert sp.check(Text(PLAN), limit=limit).exit_code == 0
    assert sp.check(Text(PLAN), limit=limit, unsure="fail").exit_code == 1


def test_an_increase_is_judged_against_a_base(tmp_path):
    """Twice the tokens cost twice as much, which is more than 10 % and less than 150 %."""
    base = tmp_path / "base.json"
    base.write_text(planned().to_json(), encoding="utf-8")
    more = PLAN.replace("300B", "600B") + '\n[[limit]]\nquantity = "money.usd"\nmax_increase = "{}"\n'

    assert sp.check(Text(more.format("10%")), base=base).exit_code == 1
    assert sp.check(Text(more.format("150%")), base=base).exit_code == 0
    with pytest.raises(sp.ScaleplanError, match="nothing to compare"):
        sp.check(Text(more.format("10%")))


def test_verdicts_as_junit():
    """One test case a limit, a failure for the broken one."""
    text = PLAN + '\n[[limit]]\nquantity = "money.usd"\nmax = 1\n[[limit]]\nquantity = "run.n_devices"\nmax = 2000\n'
    suite = ElementTree.fromstring(sp.check(Text(text)).to("junit"))

    assert [case.find("failure") is not None for case in suite] == [True, False]


def test_a_difference_names_its_reason():
    """Twice the tokens and a dearer hour: each alone makes its share, and the change is of both."""
    head = PLAN.replace("300B", "600B").replace("hour = 2.0", "hour = 3.0")
    changes = {row["quantity"]: row for row in sp.diff(Text(PLAN), Text(head)).result["changes"]}
    usd = changes["money.usd"]

    assert usd["head"] / usd["base"] == pytest.approx(3.0, rel=1e-9)
    assert {row["input"]: pytest.approx(row["share"]) for row in usd["because"]} == {
        "training.tokens": 0.5,
        "site.usd_per_device_hour": 0.25,
    }
    assert changes["run.device_hours"]["because"][0]["input"] == "training.tokens"
    assert "run.n_devices" not in changes


@pytest.mark.parametrize(("budget", "path"), [({"energy_budget": "500MWh"}, "energy.wh"), ({"carbon_budget": "100t"}, "carbon.kgco2e")])
def test_energy_and_carbon_are_budgets_too(budget, path):
    """What the plan spends is the budget, but for the step from 6 N D to the FLOP of an architecture of nearly that size."""
    spent = value(sp.plan(hardware="h100-sxm", grid_intensity="400g/kWh", pue=1.1, **budget), path)
    asked = {"energy.wh": 500e6, "carbon.kgco2e": 100e3}[path]

    assert spent == pytest.approx(asked, rel=0.1)


def test_the_front_of_a_search_is_written_as_plans_that_run_again(tmp_path, run):
    """Of two devices and three counts, no written plan is beaten by another in time, dollars and CO2e; each runs again."""
    text = PLAN.replace("n_devices = 1024", "n_devices = {choices = [256, 512]}").replace(
        '"a100-sxm-80gb"', '{choices = ["a100-sxm-80gb", "h100-sxm"]}'
    )
    path = tmp_path / "plan.toml"
    path.write_text(text + '\n[goal]\nminimize = "money.usd"\n', encoding="utf-8")
    assert run("plan", path, "--write-front", tmp_path / "front").code == 0
    points = [sp.plan(file) for file in sorted((tmp_path / "front").glob("*.toml"))]
    figures = [[value(point, path) for path in ("run.wall_s", "money.usd", "carbon.kgco2e")] for point in points]

    assert figures
    assert not any(all(a <= b for a, b in zip(one, other, strict=True)) and one != other for one in figures for other in figures)


def test_a_critical_batch_is_that_of_the_loss():
    """Steps of B_crit tokens, by the law of the batch at the loss that the plan expects."""
    plan = planned(PLAN.replace('"3145728"', '"critical"'))
    critical = sp.batch(loss=value(plan, "law.loss_nats")).result["critical_batch_tokens"]

    assert value(plan, "run.batch_size_tokens") == round(critical)


LAID_OUT = {"model": "llama-3-8b", "tokens": "1T", "hardware": "h100-sxm", "layout": "tp2,dp64", "batch_size_tokens": "4Mi"}
# dubey2024: 419 failures of 16,384 devices in 54 days
FAILING = {
    "device_mtbf": "50673h",
    "checkpoint_time": "60s",
    "restart_time": "10min",
}


def test_goodput_follows_from_failures_and_checkpoints():
    """Best interval sqrt(2 t M) (young1974); a worse one costs goodput; hours go with its inverse."""
    best = sp.plan(**LAID_OUT, **FAILING)
    job = 50673 * 3600 / 128
    assert best["failures.job_mtbf_s.value"] == pytest.approx(job)
    assert best["failures.checkpoint_interval_s.value"] == pytest.approx((2 * 60 * job) ** 0.5)

    shares = [sp.plan(**LAID_OUT, **FAILING, checkpoint_interval=f"{factor}min")["failures.goodput.value"] for factor in (5, 240, 6000)]
    assert max(shares) <= best["failures.goodput.value"]
    whole = sp.plan(**LAID_OUT, goodput=1.0)
    assert whole["run.wall_s.value"] / best["run.wall_s.value"] == pytest.approx(best["failures.goodput.value"], rel=1e-9)


def test_evaluation_and_warm_up_take_their_share_of_the_time():
    """Alone, 25 % of evaluation leaves 80 % of the time; with failures the shares multiply; hours go with the inverse."""
    alone = sp.plan(**LAID_OUT, evaluation_share="25%")
    assert alone["failures.goodput.value"] == pytest.approx(0.8)
    assert alone["failures.job_mtbf_s.value"] is None
    failing, both = (sp.plan(**LAID_OUT, **FAILING, **more) for more in ({}, {"warm_up_share": "10%"}))
    assert both["failures.goodput.value"] == pytest.approx(0.9 * failing["failures.goodput.value"])
    assert both["run.device_hours.value"] == pytest.approx(failing["run.device_hours.value"] / 0.9)


def test_goodput_is_a_surface():
    """Over failure rate and checkpoint time, in one pass: each row is the plan alone."""
    base = {name: value for name, value in FAILING.items() if name == "restart_time"} | LAID_OUT
    rows = sp.sweep("plan", **base, over={"device_mtbf": "1000h,50000h", "checkpoint_time": "10s,300s"}).result["rows"]

    assert len(rows) == 4
    for row in rows:
        alone = sp.plan(**base, device_mtbf=row["device_mtbf"], checkpoint_time=row["checkpoint_time"])
        assert row["failures.goodput"] == pytest.approx(alone["failures.goodput.value"], rel=1e-12)


def test_goodput_is_unknown_where_no_rate_of_failures_is():
    """Nothing is made up: null without the fields, refused with some of them, or beside a rate of whole runs."""
    assert sp.plan(**LAID_OUT)["failures.goodput.value"] is None
    with pytest.raises(sp.ScaleplanError, match="restart_time"):
        sp.plan(**LAID_OUT, device_mtbf="50000h", checkpoint_time="60s")
    with pytest.raises(sp.ScaleplanError, match="step"):
        sp.plan(model="gpt2", tokens="1T", hardware="h100-sxm", n_devices=8, **FAILING)
    with pytest.raises(sp.ScaleplanError, match="goodput"):
        sp.plan(**LAID_OUT, **FAILING, goodput=0.9)


def test_an_automatic_layout_is_the_fastest_that_fits():
    """On the devices of the plan, within 2 % of the fastest, where that is surer to fit; nothing that fits is refused with its reason."""
    auto = sp.plan(**LAID_OUT | {"layout": "auto", "n_devices": 64})
    given = sp.plan(**LAID_OUT | {"layout": "dp64,zero1"})

    assert auto["step.step_s.value"] <= 1.02 * given["step.step_s.value"]
    assert auto["memory.verdict"] != "does not fit"
    with pytest.raises(sp.ScaleplanError, match="n_devices"):
        sp.plan(**LAID_OUT | {"layout": "auto"})
    with pytest.raises(sp.ScaleplanError, match="fits"):
        sp.plan(**LAID_OUT | {"model": "llama-3.1-405b", "layout": "auto", "n_devices": 8})


def test_what_only_a_layout_prices_is_said_to_be_idle():
    """A number format changes the step of a layout; without one the plan says that it changes nothing."""
    told = str(planned(precision="fp8"))
    assert "precision changes nothing" in told.replace("--", "")
    assert "changes nothing" not in str(planned())
