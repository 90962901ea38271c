"""The cost of a run: values, formulas, standings and intervals."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scaleplan import library
from scaleplan.arithmetic import evaluate
from scaleplan.chain.cost_inputs import (
    embodied_input,
    goodput_input,
    lifetime_input,
    mfu_input,
    peak_input,
    power_inputs,
    price_input,
    price_quote,
    site_inputs,
)
from scaleplan.chain.failures import failures_of
from scaleplan.chain.run_cost import (
    CostInputs,
    Input,
    behind,
    formula_of,
    inputs_of,
    intervals_of,
    run_cost,
    standing_of,
)
from scaleplan.errors import InputError

DEFAULTS = library.defaults()
H100 = library.load("hardware", "h100-sxm")
SOURCES = library.sources()


def inputs_for(name="h100-sxm", *, device_power=None, system_power=None, pue=None, region=None, grid=None, usd=None, **given):
    """What `cost` would assume for a 70B model on 2T tokens, with what is given in its place."""
    device = library.load("hardware", name)
    site, quote = site_inputs(pue, region, grid, DEFAULTS), price_quote(device)
    assumed = {
        "training_flops": Input(6 * 70e9 * 2e12, "exact"),
        "peak_flops_per_s": peak_input(device),
        "mfu": mfu_input(DEFAULTS, 70e9),
        "n_devices": 1024,
        "usd_per_device_hour": Input(usd) if usd else quote and price_input(quote),
        "pue": site.pue,
        "kgco2e_per_kwh": site.kgco2e_per_kwh,
        "site_l_per_kwh": site.site_l_per_kwh,
        "plant_l_per_kwh": site.plant_l_per_kwh,
        "kgco2e_per_device": embodied_input(device),
        "device_lifetime_years": lifetime_input(None, DEFAULTS),
    }
    return CostInputs(**(assumed | power_inputs(device, device_power, system_power, DEFAULTS)._asdict() | given))


def width(inputs, key):
    """The logarithm of p90 over p10 of a quantity; 0 where it is known exactly."""
    found = intervals_of(inputs, run_cost(inputs)).get(key)
    return math.log(found.p90 / found.p10) if found else 0.0


METERED = CostInputs(energy_it_wh=Input(433e6), pue=Input(1.2), kgco2e_per_kwh=Input(0.057), published_kgco2e=Input(24.7e3))
HOURS = CostInputs(
    device_hours=Input(1000), device_power_w=Input(500), system_power_w=Input(800), pue=Input(1.25), kgco2e_per_kwh=Input(0.4)
)
HARDWARE_RATE = inputs_for(hardware_flops=Input(8 * 70e9 * 2e12, "exact"))


@pytest.mark.parametrize("scope", ["devices", "it", "facility"])
@pytest.mark.parametrize("inputs", [inputs_for(), METERED, HOURS, HARDWARE_RATE, inputs_for(published_kgco2e=Input(75e3))], ids=range(5))
def test_every_formula_gives_its_value(inputs, scope):
    """The formula that a line shows, evaluated with the numbers it shows, is the value, for each scope."""
    inputs = inputs._replace(carbon_scope=scope)
    cost = run_cost(inputs)
    shown = 0
    for key, value in cost._asdict().items():
        if value is None or (formula := formula_of(key, inputs)) is None:
            continue
        shown += 1
        assert evaluate(formula, inputs_of(key, inputs, cost)) == pytest.approx(value, rel=1e-12), key
        assert {source for given in behind(key, inputs) for source in given.sources} <= set(SOURCES)
    assert shown >= 3


def test_arrays_give_what_numbers_give():
    """One thousand token counts at once, and one by one."""
    flops = np.geomspace(1e20, 1e25, 1000)
    many = run_cost(inputs_for(training_flops=Input(flops, "exact")))
    for position in (0, 499, 999):
        one = run_cost(inputs_for(training_flops=Input(float(flops[position]), "exact")))
        for key, value in one._asdict().items():
            if value is not None:
                assert getattr(many, key)[position] == pytest.approx(value, rel=1e-14), key


def test_hours_of_a_run_are_arithmetic():
    """6 * 70e9 * 2e12 FLOP at 42 % of 989.4 TFLOP/s; with a goodput of 0.8 a quarter more; the rate counts what is run twice."""
    pure = 6 * 70e9 * 2e12 / (0.42 * 989.4e12) / 3600
    at = inputs_for(mfu=Input(0.42))
    assert run_cost(at).device_hours == pytest.approx(pure)
    assert run_cost(at._replace(goodput=Input(0.8))).device_hours == pytest.approx(pure / 0.8)
    assert run_cost(at._replace(hardware_flops=Input(8 * 70e9 * 2e12))).device_hours == pytest.approx(pure * 4 / 3)


def test_unknown_stays_unknown():
    """Without price, power, making or devices there are hours and nothing more; a meter knows no devices."""
    bare = run_cost(CostInputs(device_hours=Input(1000)))
    assert {key for key, value in bare._asdict().items() if value is not None} == {"device_hours", "device_days"}
    metered = run_cost(METERED)
    assert metered.energy_devices_wh is None and metered.kgco2e_devices is None and metered.usd is None
    assert metered.kgco2e == pytest.approx(433e3 * 1.2 * 0.057)


def test_a_scope_is_its_energy_times_the_grid():
    """500, 800 and 1,000 kWh at 0.4 kg; `kgco2e` is that of the scope, and facility where none is named."""
    found = run_cost(HOURS)
    assert (found.kgco2e_devices, found.kgco2e_it, found.kgco2e_facility) == pytest.approx((200, 320, 400))
    assert found.kgco2e == found.kgco2e_facility
    assert run_cost(HOURS._replace(carbon_scope="devices")).kgco2e == pytest.approx(200)


@pytest.mark.parametrize("scope", ["devices", "it", "facility"])
def test_an_implied_intensity_gives_the_figure_back(scope):
    """75 t over the energy of the scope, put in as the grid, are 75 t."""
    asked = inputs_for(carbon_scope=scope, published_kgco2e=Input(75e3))
    implied = run_cost(asked).implied_kgco2e_per_kwh
    assert run_cost(asked._replace(kgco2e_per_kwh=Input(implied))).kgco2e == pytest.approx(75e3, rel=1e-12)


def test_embodied_is_apart():
    """Half the life, twice the share; operational emissions do not move."""
    four, two = (run_cost(inputs_for(device_lifetime_years=Input(years))) for years in (4, 2))
    assert two.embodied_kgco2e == pytest.approx(2 * four.embodied_kgco2e)
    assert two.kgco2e == four.kgco2e
    assert run_cost(inputs_for("tpu-v4")).embodied_kgco2e is None


# Intervals


GIVEN = {"price": {"usd": 2.5}, "power": {"device_power": 560, "system_power": 900}, "pue": {"pue": 1.2}, "grid": {"grid": 0.4}}
NARROWED = {"price": {"usd"}, "power": {"energy_wh", "kgco2e"}, "pue": {"energy_wh", "kgco2e"}, "grid": {"kgco2e"}}
KEYS = ("device_hours", "usd", "energy_wh", "kgco2e")


def test_intervals_join_every_uncertain_input():
    """Dollars are wider than hours and than the price, narrower than both in a row; hours < energy < CO2e."""
    hours, usd, energy, carbon = (width(inputs_for(), key) for key in KEYS)
    quote = price_quote(H100)
    price = math.log(quote.at(0.9) / quote.at(0.1))
    assert 0.98 * max(hours, price) < usd < 1.02 * (hours + price)
    assert hours < usd and hours < energy < carbon


def test_with_all_given_everything_is_as_wide_as_the_hours():
    """Price, power, PUE and grid given: only the hours are left."""
    inputs = inputs_for(**{key: value for given in GIVEN.values() for key, value in given.items()})
    hours = width(inputs, "device_hours")
    assert [width(inputs, key) for key in KEYS] == pytest.approx([hours] * 4, rel=1e-12)


@pytest.mark.parametrize("told", GIVEN)
def test_what_is_given_narrows_only_what_hangs_on_it(told):
    """One input told at a time."""
    base, inputs = inputs_for(), inputs_for(**GIVEN[told])
    for key in KEYS:
        change = width(inputs, key) / width(base, key) - 1
        assert (change < -1e-6) == (key in NARROWED[told]) and change < 1e-6, key


def test_hours_that_are_given_leave_the_rest():
    """Device-hours given: no interval of theirs, and the price's alone for dollars."""
    inputs = inputs_for(device_hours=Input(1000), training_flops=None)
    quote = price_quote(H100)
    assert width(inputs, "device_hours") == 0
    assert width(inputs, "usd") == pytest.approx(math.log(quote.at(0.9) / quote.at(0.1)), rel=0.01)


def test_a_metered_energy_is_known_where_it_was_metered():
    """No interval of the computers' energy; the facility's is the PUE's."""
    inputs = METERED._replace(pue=site_inputs(None, None, None, DEFAULTS).pue)
    assert width(inputs, "energy_it_wh") == 0
    assert width(inputs, "energy_wh") == pytest.approx(math.log(1.33 / 1.09), rel=0.01)


def test_a_step_mfu_takes_the_goodput_of_published_runs():
    """A given MFU of a step: as wide as the goodput, a factor of at most 1.5."""
    inputs = inputs_for(mfu=Input(0.41), goodput=goodput_input(DEFAULTS))
    assert math.exp(width(inputs, "device_hours")) == pytest.approx(0.89 / 0.64, rel=1e-3)


# Standings


def test_a_quantity_is_no_surer_than_its_least_sure_input():
    """Given hours at a given price are exact; a measured host is an estimate of this run; an assumed MFU makes all assumed."""
    told = CostInputs(
        device_hours=Input(1000), usd_per_device_hour=Input(2.0), device_power_w=Input(500), host_power_w=Input(300, "measured")
    )
    assert standing_of("device_hours", told) == "given"
    assert standing_of("usd", told) == "exact"
    assert standing_of("energy_it_wh", told) == "estimate"
    assert standing_of("usd", inputs_for()) == "assumed"


# What is assumed


def test_a_given_device_power_does_not_move_the_host():
    """560 W or 400 W beside the same host."""
    usual, cool = power_inputs(H100, None, None, DEFAULTS), power_inputs(H100, 400, None, DEFAULTS)
    assert cool.host_power_w == usual.host_power_w and cool.device_power_w == Input(400)


def test_a_given_system_power_is_the_whole():
    """Device and system given, or the system alone beside a usual device; of a chip that nothing is known of, the system alone."""
    assert power_inputs(H100, 200, 350, DEFAULTS) == (Input(200), None, Input(350))
    alone = power_inputs(H100, None, 1000, DEFAULTS)
    assert (alone.device_power_w.standing, alone.host_power_w, alone.system_power_w) == ("estimate", None, Input(1000))
    assert power_inputs(H100._replace(data={"peak_flops_per_s": {}}), None, 650, DEFAULTS) == (None, None, Input(650))


def test_rated_power_for_both_counts_no_host():
    """`tdp` for device and system, as model cards do: 700 W each."""
    found = power_inputs(H100, "tdp", "tdp", DEFAULTS)
    assert (found.device_power_w.value, found.system_power_w.value, found.host_power_w) == (700, 700, None)


def test_a_system_draws_at_least_what_its_device_does():
    """500 W in a system of 400 W is refused, by the number."""
    with pytest.raises(InputError, match="400"):
        power_inputs(H100, 500, 400, DEFAULTS)


def test_a_device_without_a_rated_power_has_an_estimate():
    """TPU v5p: between 205 and 345 W by watts for each FLOP/s of other chips, wide; its rated power cannot be asked for."""
    device = library.load("hardware", "tpu-v5p")
    found = power_inputs(device, None, None, DEFAULTS).device_power_w
    assert 205 <= found.value <= 345 and found.standing == "assumed" and found.spread.p90 / found.spread.p10 > 1.4
    with pytest.raises(InputError, match="tpu-v5p"):
        power_inputs(device, "tdp", None, DEFAULTS)


def test_goodput_follows_from_published_failures():
    """A failure every 3 hours on 16,384 H100s and 10-minute restarts: over 90 %; a chip without a published rate has none."""
    runs = {run["arch"]: run for run in DEFAULTS["failures"]["runs"]}
    run = runs[H100.data["arch"]]
    mtbf_s = run["days"] * 86400 * run["n_devices"] / run["n_failures"]
    given = {"device_mtbf": mtbf_s, "checkpoint_time": 10, "restart_time": 600}
    found = failures_of(given, 16_384, of_a_step=True).input()
    assert 0.90 < found.value < 0.95 and found.standing == "estimate" and "dubey2024" in library.citations(run)
    fewer = failures_of(given, 1024, of_a_step=True)
    assert found.value < fewer.goodput < 1
    assert failures_of(given | {"checkpoint_interval": 36_000}, 1024, of_a_step=True).goodput < fewer.goodput
    assert library.load("hardware", "tpu-v4").data["arch"] not in runs


CARDS = [  # hours, device, PUE, g/kWh, tonnes: TDP as the power of device and system, in the scope of the publisher
    ("Llama 2 70B", 1_720_320, "a100-sxm-80gb", 1.1, 385, "facility", 291.42),
    ("Llama 3 70B", 6_400_000, "h100-sxm", 1.1, 385, "facility", 1900),
    ("Llama 3.1 405B", 30_840_000, "h100-sxm", 1.1, 385, "facility", 8930),
    ("OPT-175B by its authors", 809_472, "a100-sxm-80gb", 1.0, 231, "devices", 75),
    ("OPT-175B by LLaMA's method", 809_472, "a100-sxm-80gb", 1.1, 385, "facility", 137),
    ("BLOOM, dynamic", 1_082_990, "a100-sxm-80gb", 1.2, 57, "devices", 24.7),
    ("BLOOM with its PUE", 1_082_990, "a100-sxm-80gb", 1.2, 57, "facility", 30),
]


@pytest.mark.parametrize(("name", "hours", "device", "pue", "grams", "scope", "tonnes"), CARDS)
def test_published_footprints_are_reproduced(name, hours, device, pue, grams, scope, tonnes):
    """Rated power times hours, with the PUE and grid of the publisher, within 5 %."""
    inputs = inputs_for(device, device_power="tdp", system_power="tdp", pue=pue, grid=grams / 1000, carbon_scope=scope)
    found = run_cost(inputs._replace(device_hours=Input(hours), training_flops=None))
    assert found.kgco2e / 1000 == pytest.approx(tonnes, rel=0.05), name


@pytest.mark.parametrize(
    ("device", "hours", "pue", "grid", "mwh", "tonnes"),
    [("v100-sxm-32gb", 10_000 * 14.8 * 24, 1.1, 0.429, 1287, 552), ("tpu-v4", 6144 * 1200 + 3072 * 336, 1.08, 0.079, 3436, 271.43)],
)
def test_metered_footprints_are_reproduced(device, hours, pue, grid, mwh, tonnes):
    """patterson2021 (GPT-3), chowdhery2022 (PaLM): measured power of the system gives their energy and CO2e within 5 %."""
    found = run_cost(inputs_for(device, pue=pue, grid=grid)._replace(device_hours=Input(hours), training_flops=None))
    assert found.energy_wh == pytest.approx(mwh * 1e6, rel=0.05)
    assert found.kgco2e == pytest.approx(tonnes * 1e3, rel=0.05)


def test_a_region_has_its_own_site():
    """us-east4 publishes its PUE and grid; asia-east2 publishes no PUE and has that of Google's fleet, spread."""
    own, fleet = (site_inputs(None, region, None, DEFAULTS) for region in ("us-east4", "asia-east2"))
    assert (own.pue.value, own.pue.spread, own.kgco2e_per_kwh.value) == (1.08, None, 0.34348)
    assert fleet.pue.value == 1.09 and fleet.pue.spread is not None
    assert own.kgco2e_per_kwh.spread.p90 / own.kgco2e_per_kwh.spread.p10 < 1.5


@pytest.mark.parametrize(("pue", "region", "grid", "said"), [(0.9, None, None, "0.9"), (None, "FRA", 0.4, "contradict")])
def test_a_site_that_cannot_be_is_refused(pue, region, grid, said):
    """A PUE below one; a region beside an intensity."""
    with pytest.raises(InputError, match=said):
        site_inputs(pue, region, grid, DEFAULTS)
