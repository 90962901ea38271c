"""The whole chain from a file or from flags: every link against a second way to its number."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest
from tests.cases import GPT3_PLAN as PLAN

import scaleplan as sp
from scaleplan.library import Text, defaults
from scaleplan.questions.plan_file import key_fields
from scaleplan.questions.registry import question_named


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
    """$50,000 at 2 dollars and MFU 0.4 on H100 (989.4 TFLOP/s) are 3.56e22 FLOP: N and D are those of `optimal` within a step of width."""
    plan = sp.plan(usd="$50k", hardware="h100-sxm", mfu=0.4, usd_per_device_hour=2)
    budget = 25_000 * 3600 * 0.4 * 989.4e12
    optimal = sp.allocate(sp.load_law("besiroglu2024"), sp.Question(compute_flops=budget))

    assert value(plan, "model.n_params") == pytest.approx(optimal.n_params, rel=0.05)
    assert value(plan, "run.n_tokens") == pytest.approx(optimal.n_tokens, rel=0.05)
    assert value(plan, "compute.training_flops") == pytest.approx(budget, rel=1e-9)


@pytest.mark.parametrize(
    ("given", "path", "budget"),
    [
        ({"usd": "$50k"}, "money.usd", 50_000),
        ({"device_days": 1000}, "run.device_days", 1000),
        ({"energy_budget": "500MWh"}, "energy.wh", 5e8),
        ({"carbon_budget": "100t"}, "carbon.kgco2e", 1e5),
        ({"deadline": "30d", "n_devices": 512}, "run.wall_s", 30 * 86_400),
        ({"deadline": "30d", "n_devices": 512, "mfu": 0.4, "mfu_of": "step"}, "run.wall_s", 30 * 86_400),
        ({"usd": "$50k", "model": "mixtral-8x7b"}, "money.usd", 50_000),
    ],
)
def test_a_plan_spends_the_whole_of_its_budget(given, path, budget):
    """The last token is the last that the budget pays for, whatever it is in, at the FLOP of the model that can be built."""
    assert value(sp.plan(hardware="h100-sxm", **given), path) == pytest.approx(budget, rel=1e-9)


def test_a_plan_with_a_layout_spends_its_budget_to_the_last_step():
    """512 devices for 30 days at the rate of the layout's own step: no more than that, and less than one step less."""
    plan = sp.plan(hardware="h100-sxm", n_devices=512, deadline="30d", layout="auto")
    step = value(plan, "step.step_s") / 0.6  # over the usual goodput, which is above 0.6

    assert 0 <= 30 * 86_400 - value(plan, "run.wall_s") < step


def test_dollars_of_a_budget_pay_other_costs_too():
    """$50,000, of which 10,000 are a fixed cost and a tenth of the devices' price goes to storage: all of it is spent, no more."""
    costs = '[[cost]]\nname = "data"\nusd = 10000\nper = "run"\n[[cost]]\nname = "store"\nusd = 0.2\nper = "device_hour"\n'
    plan = planned('[budget]\nusd = "$50k"\n[hardware]\ndevice = "h100-sxm"\n[site]\nusd_per_device_hour = 2\n' + costs)

    assert value(plan, "money.usd") == pytest.approx(50_000, rel=1e-9)
    assert value(plan, "run.device_hours") == pytest.approx(40_000 / 2.2, rel=1e-9)
    with pytest.raises(sp.ScaleplanError, match="alone takes"):
        planned('[budget]\nusd = "$5k"\n[hardware]\ndevice = "h100-sxm"\n' + costs)


def test_the_smaller_of_time_and_money_is_the_budget():
    """1,024 devices for 30 days cost more than $100k: the money runs out first, and is the wall."""
    plan = sp.plan(hardware="h100-sxm", n_devices=1024, deadline="30d", usd="$100k")

    assert value(plan, "money.usd") == pytest.approx(1e5, rel=1e-9)
    assert value(plan, "run.wall_s") < 30 * 86_400
    assert plan.result["walls"][0]["name"] == "money"
    with pytest.raises(sp.ScaleplanError, match="several budgets"):
        sp.plan(hardware="h100-sxm", device_days=100, usd="$100k")


def test_a_deadline_takes_the_fewest_devices():
    """One device fewer would not finish in time."""
    text = PLAN.replace("n_devices = 1024\n", "")
    n = value(planned(text, deadline="60d"), "run.n_devices")

    assert value(planned(text, deadline="60d"), "run.wall_s") <= 60 * 86_400
    assert value(planned(text, n_devices=n - 1), "run.wall_s") > 60 * 86_400


FAILING = {"device_mtbf": "5000h", "checkpoint_time": "300s", "restart_time": "1800s"}


@pytest.mark.parametrize("says", [{"mfu": 0.2}, FAILING, {"evaluation_share": 0.9}], ids=["rate", "failures", "evaluation"])
def test_a_searched_layout_takes_the_fewest_nodes_by_the_hours_of_its_own_plan(says):
    """Whatever the hours follow from, a rate or a goodput: the run is in time, and late on a node fewer."""
    run = {"model": "gpt2-xl", "tokens": "3T", "hardware": "h100-sxm", "layout": "auto", **says}
    found = sp.plan(**run, deadline="30d")
    n = value(found, "run.n_devices")

    assert n % 8 == 0 and n > 8
    assert value(found, "run.wall_s") <= 30 * 86_400
    assert value(sp.plan(**run, n_devices=n - 8), "run.wall_s") > 30 * 86_400


@pytest.mark.parametrize("says", [{"tokens": "1B", "mfu": 0.3, "deadline": "10d"}, {"usd": 2000}], ids=["rate", "budget"])
def test_where_the_devices_in_time_are_too_few_to_hold_the_model_there_are_as_many_more_as_hold_it(says):
    """16 bytes of state for 69B parameters are 1.1 TB: two H100s have the time, and no fewer than two nodes the memory."""
    found = sp.plan(model="llama-2-70b", hardware="h100-sxm", layout="auto", **says)
    n = value(found, "run.n_devices")

    assert n >= 16
    assert value(found, "run.wall_s") < 10 * 86_400
    with pytest.raises(sp.ScaleplanError, match="no layout of 8 devices fits"):
        sp.plan(model="llama-2-70b", hardware="h100-sxm", layout="auto", tokens="1B", n_devices=8)


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


def test_a_field_beside_the_run_may_be_searched():
    """Trials change no time of the run: the first of equal points is chosen, and the total is that of its share."""
    found = planned(set=['run.trial_share={choices=["10%", "50%"]}', "goal.minimize=run.wall_s"])
    assert [row["chosen"] for row in found.result["search"]] == [True, False]
    assert found.result["total"]["usd"] == pytest.approx(1.1 * value(found, "money.usd"))


def test_trials_pay_costs_by_the_device_hour_and_none_that_is_paid_once():
    """With trials of half the run's device-hours: 1.5 x (devices + 0.10 $ an hour), and 5,000 $ once."""
    rows = '[[cost]]\nusd = 0.1\nper = "device_hour"\n[[cost]]\nusd = 5000\nper = "run"\n'
    plan = planned(f"{PLAN}{rows}", trial_share="50%")
    hours, devices = value(plan, "run.device_hours"), value(plan, "money.devices_usd")
    assert plan.result["total"]["usd"] == pytest.approx(1.5 * (devices + 0.1 * hours) + 5000, rel=1e-9)


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


@pytest.mark.parametrize(
    ("budget", "found", "spent"),
    [
        ({"usd": "$100k"}, "money.usd", 1e5),
        ({"device_days": 1000}, "run.device_days", 1000),
        ({"energy_budget": "30MWh"}, "energy.wh", 30e6),
    ],
)
@pytest.mark.parametrize("days", [None, 15])
def test_a_budget_alone_is_spent_by_a_layout_that_is_searched(budget, found, spent, days):
    """The devices are the whole nodes whose device-hours in the time are those of the budget, and not a node more."""
    plan = sp.plan(hardware="h100-sxm", layout="auto", **budget, **({} if days is None else {"deadline": f"{days}d"}))
    n_devices, wall_s = plan["run.n_devices.value"], plan["run.wall_s.value"]

    assert n_devices % 8 == 0
    assert wall_s <= (days or 30) * 86400 < wall_s * n_devices / (n_devices - 8)
    assert plan["run.device_hours.value"] == pytest.approx(n_devices * wall_s / 3600)
    assert plan[f"{found}.value"] == pytest.approx(spent, rel=2e-3)
    assert plan[f"{found}.value"] <= spent * (1 + 1e-9)


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


@pytest.mark.parametrize(("name", "value"), [("precision", "fp8"), ("optimizer", "muon"), ("recompute", "full"), ("dropout", 0.1)])
def test_what_only_a_layout_prices_is_said_to_be_idle(name, value):
    """A number format, an optimizer, recomputation change the step of a layout; without one the plan warns that they change nothing."""
    told = [one for one in planned(**{name: value}).warnings if one.kind == "idle"]

    assert [name in one.message for one in told] == [True]
    assert not [one for one in planned().warnings if one.kind == "idle"]


def test_recomputation_counts_where_the_rate_does():
    """A rate of hardware FLOP: full recomputation is 8/6 of the work (narayanan2021) and of the hours, and then it is not idle."""
    rate = {"n_params": "7B", "tokens": "1T", "hardware": "h100-sxm", "flops_per_s_per_device": "400T", "flops_kind": "hardware"}
    none, full = sp.plan(**rate), sp.plan(**rate, recompute="full")

    assert value(full, "run.device_hours") == pytest.approx(value(none, "run.device_hours") * 8 / 6)
    assert not [one for one in full.warnings if one.kind == "idle"]


def test_a_plan_that_knows_its_failures_prints_their_goodput_alone():
    """The goodput of published runs is not used, and not named."""
    told = "\n".join(sp.plan(**LAID_OUT, **FAILING).notes)

    assert f"{sp.plan(**LAID_OUT, **FAILING)['failures.goodput.value']:.3g}" in told
    assert "published runs" not in told


def test_a_measured_step_makes_the_hours():
    """1T tokens in steps of 4 Mi tokens and 5 s on 128 devices: the steps' seconds over the usual goodput."""
    plan = sp.plan(model="llama-3-8b", tokens="1T", hardware="h100-sxm", n_devices=128, batch_size_tokens="4Mi", step_s=5)
    steps = -(-(10**12) // 2**22)

    assert value(plan, "run.n_steps") == steps
    assert value(plan, "run.wall_s") == pytest.approx(steps * 5 / defaults()["goodput"]["p50"])


def test_adapters_are_counted_as_flops_counts_them():
    """`[training] lora`: the compute of `flops --lora`."""
    plan = sp.plan(model="llama-3-8b", tokens="1B", hardware="h100-sxm", lora="rank=16", seq_len=2048)
    counted = sp.flops("llama-3-8b", tokens="1B", lora="rank=16", seq_len=2048)

    assert value(plan, "compute.training_flops") == pytest.approx(counted["training_flops"], rel=1e-12)


def test_limited_data_are_worth_what_the_law_of_repetition_says():
    """L(6.34e9, 242e9) of 25e9 unique tokens is 2.2256 (the repository of muennighoff2023)."""
    plan = sp.plan(n_params=6_340_000_000, tokens=242_000_000_000, unique_tokens=25_000_000_000, hardware="h100-sxm")

    assert value(plan, "law.loss_nats") == pytest.approx(2.2256440889984477, rel=1e-6)
    with pytest.raises(sp.ScaleplanError, match="repeated data"):
        sp.plan(n_params="6B", tokens="242B", unique_tokens="25B", hardware="h100-sxm", law="besiroglu2024")


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"tokens": "1T", "n_steps": 10, "batch_size_seqs": 8}, ("tokens", "n_steps")),
        ({"tokens": "1T", "batch_size_seqs": 8, "batch_size_tokens": "4Mi"}, ("batch_size_seqs", "batch_size_tokens")),
        ({"tokens": "1T", "n_params": "7B"}, ("model", "n_params")),
        ({"tokens": "1T", "loss": 2.0}, ("loss",)),
        ({"tokens": "1T", "usd_per_device_hour": 2, "provider": "aws"}, ("usd_per_device_hour", "provider")),
        ({"tokens": "1T", "n_active_params": "1B"}, ("n_active_params", "n_params")),
        ({"text": "1TB"}, ("text", "bytes_per_token")),
        ({"tokens": "1T", "set": ["training.tokens=2T"]}, ("set", "tokens")),
    ],
)
def test_what_is_said_twice_or_by_halves_is_refused(given, names):
    """By the names of both fields."""
    with pytest.raises(sp.ScaleplanError) as raised:
        sp.plan(model="llama-3-8b", hardware="h100-sxm", **given)
    assert all(name in f"{raised.value} {raised.value.hint}" for name in names)


def test_words_of_a_shape_are_keys_and_flags():
    """A shape on the command line, in a file, and as changes of a file that has a target."""
    shape = {"n_layers": 12, "d_model": 768, "n_heads": 12, "n_vocab": 50257, "n_positions": 1024}
    run = {"tokens": "10B", "hardware": "h100-sxm", "seq_len": 1024}
    text = "[model]\n" + "\n".join(f"{name} = {value}" for name, value in shape.items())
    by_flags, by_file = sp.plan(**shape, **run), sp.plan(Text(text), **run)
    deeper = sp.plan(Text(text), **run, n_layers=24)
    near = sp.plan(target="1B", n_layers=10, **run)

    assert by_flags.result == by_file.result
    assert value(deeper, "model.n_params") == sp.params(**{**shape, "n_layers": 24})["n_params"]
    assert value(near, "model.n_params") == pytest.approx(1e9, rel=0.1)
    assert sp.plan(Text(text), **run, gated=True).result["model"] != by_file.result["model"]


def test_every_key_has_a_flag():
    """Each key of a plan file is a field of `plan`, or a word of its shape; a config is a model there, and a title is a text."""
    question = question_named("plan")
    fields = {one.name for one in question.every_field()}

    assert {one.name for one in key_fields().values()} <= fields


def test_a_search_may_be_written_as_a_change():
    """`set` takes what the file would hold."""
    changes = ["hardware.n_devices={choices=[256, 512]}", "goal.minimize=run.wall_s"]

    assert len(planned(set=changes).result["search"]) == 2
    with pytest.raises(sp.ScaleplanError, match="choices"):
        planned(set=["hardware.n_devices={choises=[256]}"])


@pytest.mark.parametrize(
    ("change", "near"),
    [
        ("foo.tokens=1", "training.tokens"),
        ("training.batchsize=1", "training.batch_size_tokens"),
        ("hardware.gpus=8", "hardware.n_devices"),
        ("site.bar=1", "site.pue"),
        ("foo.bar=1", "schema=True"),
    ],
)
def test_a_change_of_an_unknown_key_names_those_near_it(change, near):
    """By spelling, by the last word, by another name of the field, else the section's, else where keys are listed."""
    with pytest.raises(sp.ScaleplanError) as raised:
        planned(set=[change])
    assert near in f"{raised.value.hint}"


def test_a_budget_that_trains_less_than_a_sequence_is_refused():
    """$100k train some 3e11 tokens; one sequence is a million times longer."""
    with pytest.raises(sp.ScaleplanError, match="less than one sequence"):
        sp.plan(usd=1e5, hardware="h100-sxm", seq_len=10**17)
