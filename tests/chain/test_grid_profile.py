"""A profile of the grid from a file, and what it does to the CO2e of a run, in `cost` and in a plan."""

from __future__ import annotations

import json
from datetime import datetime, timedelta

import pytest

import scaleplan as sp
from scaleplan.chain.grid_profile import read_profile, read_start
from scaleplan.errors import ScaleplanError, SeveralErrors

TABLE = {(month, hour): 100 + 20 * month + 7 * hour for month in range(1, 13) for hour in range(24)}
RUN = {"n_params": "8B", "tokens": "100B", "hardware": "h100-sxm", "mfu": "0.4", "n_devices": "64"}


def text_of(table, unit="gco2e_per_kwh", scale=1.0, by=","):
    """A file with these grams."""
    return "\n".join([by.join(("month", "hour", unit)), *(f"{m}{by}{h}{by}{value * scale!r}" for (m, h), value in table.items())]) + "\n"


@pytest.fixture
def path(tmp_path):
    """A profile whose rows stand in no order."""
    file = tmp_path / "grid.csv"
    file.write_text(text_of(dict(sorted(TABLE.items(), key=lambda item: item[1] % 13))))
    return str(file)


def mean_by_minutes(start: datetime, wall_s: float) -> float:
    """kg/kWh over a run, hour by hour on the calendar of a year without a leap day."""
    end, now, total = start + timedelta(seconds=wall_s), start, 0.0
    while now < end:
        until = min(end, (now + timedelta(hours=1)).replace(minute=0, second=0, microsecond=0))
        total += TABLE[now.month, now.hour] / 1000 * (until - now).total_seconds()
        now = until
    return total / wall_s


@pytest.mark.parametrize("start", ["2026-03-01", "2026-03-01T06:30", "2026-12-30T23:15"])
def test_the_intensity_is_that_of_the_hours_of_the_run(path, start):
    """Added up hour by hour with the calendar of the standard library, around the end of the year."""
    answer = sp.cost(**RUN, grid_profile=path, start=start)
    expected = mean_by_minutes(datetime.fromisoformat(start), answer["wall_s"])

    assert answer["rates.kgco2e_per_kwh"] == pytest.approx(expected, rel=1e-9)
    assert answer["kgco2e"] == pytest.approx(answer["energy_wh"] / 1000 * expected, rel=1e-9)
    assert datetime.fromisoformat(answer["calendar.finish"]) - datetime.fromisoformat(start) == pytest.approx(
        timedelta(seconds=answer["wall_s"]), abs=timedelta(minutes=1)
    )


def test_the_best_start_emits_what_a_run_from_it_emits(path):
    """Asked for, it gives the CO2e that was promised, and nothing is left to save."""
    said = sp.cost(**RUN, grid_profile=path, start="2026-08-15").result
    best = said["calendar"]["best_start"]
    start = datetime(2026, best["month"], best["day"], best["hour"]).isoformat()
    again = sp.cost(**RUN, grid_profile=path, start=start).result

    assert again["kgco2e"] == pytest.approx(said["calendar"]["best_start_kgco2e"], rel=1e-9)
    assert said["kgco2e"] - again["kgco2e"] == pytest.approx(said["calendar"]["saved_kgco2e"], rel=1e-9)
    assert again["calendar"]["saved_kgco2e"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize("start", ["2026-03-07", "2026-01-01T00:30", "2026-12-31T23:59"])
def test_a_start_that_no_other_is_better_than_is_the_best_one(tmp_path, start):
    """On a grid that is always alike nothing is saved, not even a rounding, by another day."""
    file = tmp_path / "flat.csv"
    file.write_text(text_of(dict.fromkeys(TABLE, 222)))
    answer = sp.cost(**RUN, grid_profile=str(file), start=start)
    best = answer.result["calendar"]["best_start"]

    assert answer["calendar.saved_kgco2e"] == 0
    assert datetime.fromisoformat(start).replace(minute=0) == datetime(2026, best["month"], best["day"], best["hour"])
    assert "No start emits less." in str(answer)


def test_without_a_start_it_is_the_mean_of_the_year_spread_as_starts_are(path):
    """Eight starts in ten lie inside the interval, whatever else is given."""
    known = {"usd_per_device_hour": "2", "device_power": "600W", "system_power": "900W", "pue": "1.1", "goodput": "1"}
    answer = sp.cost(**RUN, **known, grid_profile=path)
    days = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
    year = sum(TABLE[month, hour] * days[month - 1] for month, hour in TABLE) / 365 / 24 / 1000
    starts = [datetime(2026, 1, 1) + timedelta(hours=37 * step) for step in range(236)]
    means = [mean_by_minutes(start, answer["wall_s"]) * answer["energy_wh"] / 1000 for start in starts]
    spread = answer.result["intervals"]["kgco2e"]

    assert answer["rates.kgco2e_per_kwh"] == pytest.approx(year)
    assert sum(spread["p10"] <= mean <= spread["p90"] for mean in means) / len(means) == pytest.approx(0.8, abs=0.03)


def test_a_given_start_leaves_no_spread(path):
    """The interval of CO2e is then that of the energy."""
    of = sp.cost(**RUN, grid_profile=path, start="2026-03-01").result["intervals"]
    assert of["kgco2e"]["p90"] / of["kgco2e"]["p10"] == pytest.approx(of["energy_wh"]["p90"] / of["energy_wh"]["p10"])


def test_a_flat_profile_is_the_intensity(tmp_path):
    """Twelve by twenty-four times 385 g/kWh, and nothing else, is `385g/kWh`."""
    file = tmp_path / "flat.csv"
    file.write_text(text_of(dict.fromkeys(TABLE, 385)))
    flat = sp.cost(**RUN, grid_profile=str(file)).result
    assert flat["kgco2e"] == pytest.approx(sp.cost(**RUN, grid_intensity="385g/kWh")["kgco2e"])
    assert flat["calendar"]["saved_kgco2e"] == pytest.approx(0, abs=1e-6)


@pytest.mark.parametrize(("unit", "scale", "by"), [("gco2e_per_kwh", 1.0, ";"), ("kgco2e_per_kwh", 1e-3, "\t")])
def test_units_and_delimiters(tmp_path, unit, scale, by):
    """Grams or kilograms by the name of the column; semicolons and tabs; a byte-order mark."""
    file = tmp_path / "grid.csv"
    file.write_text("\ufeff" + text_of(TABLE, unit, scale, by), encoding="utf-8")
    table = read_profile(str(file)).table
    assert [1000 * table[month - 1][hour] for month, hour in TABLE] == pytest.approx(list(TABLE.values()))


def test_every_fault_of_a_file_is_told_with_its_line(tmp_path):
    """Rows that are no numbers, no hours, no grid and too short, all at once."""
    file = tmp_path / "grid.csv"
    file.write_text(text_of(TABLE).replace("1,0,120.0", "1,0,many") + "2,1.5,100\n3,4\n4,25,100\n5,6,99000\n")
    with pytest.raises(SeveralErrors) as told:
        read_profile(str(file))
    assert [error.line for error in told.value.errors] == [2, 290, 291, 292, 293]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (text_of({key: value for key, value in TABLE.items() if key != (6, 7)}), "no month 6 hour 7"),
        (text_of(TABLE) + "6,7,100\n", "month 6, hour 7 is in the profile twice"),
        ("month,hour,intensity\n1,0,100\n", "no column `kgco2e_per_kwh or gco2e_per_kwh`"),
        ("hour,kgco2e_per_kwh\n0,0.1\n", "no column `month`"),
        ("month,hour,kgco2e_per_kwh,gco2e_per_kwh\n1,0,0.1,100\n", "the intensity twice"),
        ("1,0,0.1\n", "month,hour,kgco2e_per_kwh"),
    ],
)
def test_a_file_that_is_no_profile_is_refused(tmp_path, text, said):
    """What is missing, twice or without a unit is named, and the file."""
    file = tmp_path / "grid.csv"
    file.write_text(text)
    with pytest.raises(ScaleplanError) as told:
        read_profile(str(file))
    assert said in told.value.report()
    assert "grid.csv" in told.value.report()


@pytest.mark.parametrize("text", ["2026-02-30", "March", "2026-03-01T06:00Z", "2026-03-01T06:00+02:00", "06:00"])
def test_a_start_is_a_date_of_the_profile_s_own_clock(text):
    """No such day, no day, and a time zone are refused."""
    with pytest.raises(ScaleplanError, match=text.split("T")[0]):
        read_start(text)


def test_a_plan_has_the_same_carbon_as_cost(tmp_path, path):
    """The keys of the site and of the run, a date as TOML has it, and a sweep over devices in one array."""
    plan = tmp_path / "plan.toml"
    plan.write_text(
        f"""[model]
n_params = "8B"
[training]
tokens = "100B"
[hardware]
device = "h100-sxm"
n_devices = 64
[site]
grid_profile = {json.dumps(path)}
[run]
mfu = "40%"
start = 2026-03-01
"""
    )
    of_plan, of_cost = sp.plan(str(plan)), sp.cost(**RUN, grid_profile=path, start="2026-03-01")
    assert of_plan["carbon.kgco2e"]["value"] == pytest.approx(of_cost["kgco2e"], rel=1e-12)
    assert of_plan.result["calendar"] == of_cost.result["calendar"]

    rows = sp.sweep(str(plan), over=["n_devices=16,64,4096"]).result["rows"]
    alone = [sp.cost(**RUN | {"n_devices": n}, grid_profile=path, start="2026-03-01")["kgco2e"] for n in ("16", "64", "4096")]
    assert [row["carbon.kgco2e"] for row in rows] == pytest.approx(alone, rel=1e-9)


def test_faults_of_a_profile_join_those_of_the_plan(tmp_path):
    """The line of the plan's key, then the file and line of each fault."""
    profile, plan = tmp_path / "grid.csv", tmp_path / "plan.toml"
    profile.write_text("month,hour,kgco2e_per_kwh\n1,0,x\n1,1,y\n")
    plan.write_text(f'[training]\ntokens = "many"\n[site]\ngrid_profile = {json.dumps(str(profile))}\n')
    with pytest.raises(SeveralErrors) as told:
        sp.plan(str(plan))
    report = told.value.report()
    assert ["line 2: training.tokens" in report, "grid.csv:2: " in report, "grid.csv:3: " in report] == [True] * 3


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"region": "FRA"}, "contradict"),
        ({"grid_intensity": "300g/kWh"}, "contradict"),
        ({"n_devices": None}, "n_devices"),
    ],
)
def test_what_leaves_no_room_for_a_profile_is_refused(path, more, said):
    """Another grid, and a run whose time is unknown."""
    with pytest.raises(ScaleplanError, match=said):
        sp.cost(**RUN | more, grid_profile=path)


def test_a_carbon_budget_is_spent_at_the_mean_of_the_year(path):
    """It buys what it buys on a grid of that mean; with a start the length of the run would have to be known first."""
    budget = {"hardware": "h100-sxm", "carbon_budget": "5t", "deadline": "30d", "target": "optimal", "tokens": "optimal"}
    found, mean = sp.plan(**budget, grid_profile=path), read_profile(path).mean
    assert found["carbon.kgco2e"]["value"] == pytest.approx(sp.plan(**budget, grid_intensity=mean)["carbon.kgco2e"]["value"])
    assert found["calendar.year_kgco2e_per_kwh"] == pytest.approx(mean)
    with pytest.raises(ScaleplanError, match="start"):
        sp.plan(**budget, grid_profile=path, start="2026-03-01")
