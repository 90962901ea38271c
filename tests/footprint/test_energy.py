"""Energy of a run in its three scopes, against published runs."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan import library
from scaleplan.footprint.energy import Energy, Power, metered_energy, run_energy, site_pue, training_power, wh_per_million_tokens

DEFAULTS = library.defaults()
FACTORS = {key: DEFAULTS["power"][key] for key in ("load_fraction", "system_over_device")}


def power_of(name: str) -> Power:
    power = training_power(library.load("hardware", name).data, **FACTORS)
    assert power is not None
    return power


def test_each_scope_contains_the_one_before():
    """1,000 hours at 400 W, 600 W with the node, PUE 1.2: 400, 600 and 720 kWh."""
    energy = run_energy(1000, Power(400, 600, "given"), 1.2)
    assert (energy.devices_wh, energy.it_wh, energy.facility_wh) == (400e3, 600e3, 720e3)


def test_arrays_of_hours_are_arrays_of_energy():
    """Draws of device-hours give draws of energy through the same formula."""
    energy = run_energy(np.array([1.0, 2.0]), Power(400, 600, "given"), 1.5)
    assert energy.facility_wh.tolist() == [900.0, 1800.0]


def test_metered_energy_is_that_of_the_rack():
    """A meter reads devices and host together; the devices alone stay unknown."""
    energy = metered_energy(433e6, 1.2)
    assert energy.devices_wh is None
    assert (energy.it_wh, energy.facility_wh) == (433e6, pytest.approx(519.6e6))


def test_a_measurement_beats_the_rated_power():
    """A preset with measured power uses it; without, rated power times the usual factors; without either, nothing."""
    rated = {"power": {"tdp_w": 500}}
    assert training_power(rated, 0.8, 1.5) == Power(400, 600, "estimate", "estimate")
    assert training_power(rated | {"measured_power": {"system_w": 700}}, 0.8, 1.5) == Power(400, 700, "estimate", "measured")
    assert training_power(rated | {"measured_power": {"device_w": 300}}, 0.8, 1.5) == Power(300, 450, "measured", "estimate")
    assert training_power({}, 0.8, 1.5) is None


def test_pue_of_a_site():
    """A provider's own average where it is known, else the usual one."""
    pue = {"pue": 1.12, "fleet": {"aws": 1.15}}
    assert (site_pue(pue, "aws"), site_pue(pue, "elsewhere"), site_pue(pue, None)) == (1.15, 1.12, 1.12)


@pytest.mark.parametrize(("hours", "mwh"), [(82432, 36), (135168, 59), (530432, 233), (1022362, 449)])
def test_llama_counts_devices_at_rated_power(hours, mwh):
    """touvron2023a, table 15: A100-hours x 400 W x PUE 1.1, for 7B, 13B, 33B and 65B."""
    assert run_energy(hours, Power(400, 400, "given"), 1.1).facility_wh == pytest.approx(mwh * 1e6, rel=0.01)


@pytest.mark.parametrize(
    ("device", "hours", "pue", "mwh"),
    [
        ("tpu-v3", 1024 * 3.1 * 24, 1.09, 24.1),  # GShard 600B: patterson2021
        ("tpu-v3", 1024 * 27 * 24, 1.1, 179),  # Switch Transformer: patterson2021
        ("tpu-v3", 1_418_240, DEFAULTS["pue"]["pue"], 451),  # LaMDA: thoppilan2022, PUE not given
        ("v100-sxm-32gb", 10_000 * 14.8 * 24, 1.1, 1287),  # GPT-3: patterson2021
        ("tpu-v4", 6144 * 1200 + 3072 * 336, 1.08, 271.43 / 0.079),  # PaLM: chowdhery2022, 271.43 t at 0.079 kg/kWh
    ],
)
def test_metered_runs_are_within_a_quarter(device, hours, pue, mwh):
    """Energy that data centres metered: device-hours with the measured power of the device come within 25 %."""
    found = run_energy(hours, power_of(device), pue).facility_wh
    assert 1 / 1.25 < found / (mwh * 1e6) < 1.25


def test_the_scopes_of_a_run_by_hand():
    """13 hours at 310 W, 470 W with the node, PUE 1.3: 4,030, 6,110 and 7,943 Wh; 31 kWh metered at PUE 1.7 are 52.7."""
    assert run_energy(13, Power(310, 470), 1.3) == Energy(4030, 6110, pytest.approx(7943))
    assert metered_energy(31e3, 1.7) == Energy(None, 31e3, pytest.approx(52.7e3))


def test_a_million_tokens_take_their_seconds_of_power():
    """At 250 tokens/s a million take 4,000 s, at 700 W and PUE 1.3 3.64 MJ, of which 3.6 are a kWh."""
    assert wh_per_million_tokens(700, 1.3, 250) == pytest.approx(700 * 1.3 * (1e6 / 250) / 3.6e3)
