"""Carbon of energy, the grid a published footprint stands for, and zones by name."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan import library
from scaleplan.errors import InputError, UnknownName
from scaleplan.footprint.carbon import find_zone, implied_kgco2e_per_kwh, in_scope, run_kgco2e
from scaleplan.footprint.energy import Power, metered_energy, run_energy, training_power

GRID = library.rows("grid")


def test_bloom_on_the_french_grid():
    """luccioni2022: 433 MWh at 57 g are 24.7 t, 30 t with a PUE of 1.2."""
    energy = metered_energy(433e6, 1.2)
    assert run_kgco2e(energy.it_wh, 0.057) == pytest.approx(24.7e3, rel=0.002)
    assert run_kgco2e(energy.facility_wh, 0.057) == pytest.approx(30e3, rel=0.02)


def test_starcoder_from_metered_devices():
    """li2023: 320,256 A100-hours at a measured 280 W are 89.67 MWh; with PUE 1.2 and 154.95 g for a kWh, 16.68 t."""
    power = training_power({"measured_power": {"device_w": 280}}, load_fraction=1, system_over_device=1)
    assert power is not None
    energy = run_energy(320_256, power, 1.2)
    assert energy.devices_wh == pytest.approx(89_671_680)
    assert run_kgco2e(energy.facility_wh, 0.15495) == pytest.approx(16.68e3, rel=1e-3)


def test_opt_175b_implies_a_grid():
    """zhang2022 prints 75 t: at 809,472 device-hours, 400 W and PUE 1.1 that is 0.21 kg for a kWh."""
    energy = run_energy(809_472, Power(400, 400, "given"), 1.1)
    assert energy.facility_wh == pytest.approx(356.2e6, rel=1e-3)
    assert implied_kgco2e_per_kwh(75e3, energy.facility_wh) == pytest.approx(0.2106, rel=1e-3)


def test_opt_175b_by_the_method_of_llama():
    """touvron2023a, table 15, counts the same run at the US average of 385 g: 137 t."""
    energy = run_energy(809_472, Power(400, 400, "given"), 1.1)
    assert run_kgco2e(energy.facility_wh, 0.385) == pytest.approx(137e3, rel=0.005)


@pytest.mark.parametrize(
    ("mwh", "pue", "grams", "tonnes"), [(131, 1.2, 332, 52), (104, 1.1, 610, 70), (36, 1.0, 385, 14), (59, 1.0, 385, 23)]
)
def test_published_energy_gives_published_carbon(mwh, pue, grams, tonnes):
    """olmo2-2024 (OLMo 2 7B, OLMo 7B) and touvron2023a (LLaMA 7B, 13B), printed to the tonne."""
    assert run_kgco2e(metered_energy(mwh * 1e6, pue).facility_wh, grams / 1000) == pytest.approx(tonnes * 1e3, rel=0.02)


@pytest.mark.parametrize(("hours", "tonnes", "grams"), [(30_840_000, 8930, 414), (6_400_000, 1900, 424), (1_300_000, 390, 429)])
def test_model_cards_imply_a_factor_of_rated_energy(hours, tonnes, grams):
    """llama-model-cards: Llama 3.1 405B and Llama 3 70B and 8B, tonnes over hours at 700 W, PUE and grid folded together."""
    assert implied_kgco2e_per_kwh(tonnes * 1e3, hours * 700) == pytest.approx(grams / 1000, rel=0.003)


def test_the_implied_grid_gives_the_carbon_back():
    """implied_kgco2e_per_kwh is the inverse of run_kgco2e, for arrays too."""
    grids = np.array([0.02, 0.4, 0.9])
    assert implied_kgco2e_per_kwh(run_kgco2e(5e8, grids), 5e8) == pytest.approx(grids)


BY_CODE = {"FR": "FRA", "us": "USA", "VA": "US-VA", "gb": "GBR", "UK": "GBR"}
BY_KEY = {"us-east4": "us-east4", "FRA": "FRA", "fra": "FRA", "US-VA": "US-VA", "SE3": "SE3", "EastUS": "eastus", "world": "WORLD"}
BY_NAME = {"france": "FRA", "Virginia": "US-VA", "United States": "USA", "sichuan": "CN-SC", "World average": "WORLD"}


@pytest.mark.parametrize(("asked", "zone"), (BY_KEY | BY_CODE | BY_NAME).items())
def test_zones_are_found_by_key_and_by_name(asked, zone):
    """A key, a two-letter code of a country or US state, or the name of a country, state or province, in any case of letters."""
    assert find_zone(GRID, asked)["zone"] == zone


def test_an_unknown_zone_is_refused_with_near_names():
    """`atlantis-9` is nowhere; `us-east44` is nearly somewhere."""
    with pytest.raises(UnknownName, match="atlantis-9"):
        find_zone(GRID, "atlantis-9")
    with pytest.raises(UnknownName) as error:
        find_zone(GRID, "us-east44")
    assert "us-east4" in str(error.value.hint)


def test_a_name_of_two_zones_is_refused():
    """Georgia is a country and a state."""
    with pytest.raises(InputError, match="Georgia") as error:
        find_zone(GRID, "Georgia")
    assert "`GEO`" in str(error.value.hint) and "`US-GA`" in str(error.value.hint)


def test_a_code_of_two_zones_is_refused():
    """CA is Canada and California, DE Germany and Delaware."""
    for code, country, state in (("CA", "CAN", "US-CA"), ("de", "DEU", "US-DE")):
        with pytest.raises(InputError, match=code) as error:
            find_zone(GRID, code)
        assert f"`{country}`" in str(error.value.hint) and f"`{state}`" in str(error.value.hint)


def test_a_scope_picks_its_energy():
    """Devices, computers or facility; devices of a metered run are unknown; another scope is refused."""
    energy = run_energy(1000, Power(400, 600), 1.2)
    assert [in_scope(energy, scope) for scope in ("devices", "it", "facility")] == [400e3, 600e3, 720e3]
    assert in_scope(metered_energy(433e6, 1.2), "devices") is None


def test_a_footprint_and_its_grid_are_inverse():
    """7.3 MWh at 0.41 kg for a kWh are 2,993 kg, and 2,993 kg of 7.3 MWh are 0.41."""
    assert run_kgco2e(7.3e6, 0.41) == pytest.approx(2993)
    assert implied_kgco2e_per_kwh(2993, 7.3e6) == pytest.approx(0.41)


AMBIGUOUS = [
    {"zone": "XA", "name": "Alpha", "kind": "country", "iso2": "XA"},
    {"zone": "XB", "name": "Alpha", "kind": "us-state", "iso2": ""},
    {"zone": "XC", "name": "Beta", "kind": "city", "iso2": ""},
    {"zone": "US-XA", "name": "Gamma", "kind": "us-state", "iso2": ""},
]


@pytest.mark.parametrize(("asked", "zone"), [("xb", "XB"), (" us-xa ", "US-XA"), ("gamma", "US-XA"), ("xa", "XA")])
def test_a_key_goes_before_codes_and_names(asked: str, zone: str):
    """One zone of a key, of a code or of a name."""
    assert find_zone(AMBIGUOUS, asked)["zone"] == zone


@pytest.mark.parametrize(("asked", "error"), [("alpha", InputError), ("beta", UnknownName), ("x", UnknownName), ("xaa", UnknownName)])
def test_what_stands_for_no_single_zone_is_refused(asked: str, error: type[Exception]):
    """A name that two zones have, a city, one letter, three letters."""
    with pytest.raises(error):
        find_zone(AMBIGUOUS, asked)
