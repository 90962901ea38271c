"""Making the devices, water, and what a device delivers for what it takes."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan import library
from scaleplan.footprint.beside import with_trials, with_trials_and_idle
from scaleplan.footprint.efficiency import flops_per_embodied_kg, flops_per_joule, flops_per_usd
from scaleplan.footprint.embodied import HOURS_PER_YEAR, run_embodied_kgco2e
from scaleplan.footprint.water import run_water_l

STUDIES = {row["study"]: row for row in library.rows("embodied")}


def test_a_whole_life_is_the_whole_device():
    """Four years of 365.25 days on one device are its 164 kg; half the life doubles the share."""
    assert run_embodied_kgco2e(4 * 8766, 164, 4) == pytest.approx(164)
    assert run_embodied_kgco2e(1000, 164, np.array([2, 4])).tolist() == pytest.approx([9.354, 4.677], abs=1e-3)


def test_olmo_counts_its_servers():
    """morrison2025: 1.65M H100-hours of 3,700 kg servers over four years are 22 t."""
    assert run_embodied_kgco2e(1.65e6, float(STUDIES["morrison"]["kgco2e_per_device"]), 4) == pytest.approx(22e3, rel=0.02)


def test_bloom_counts_gpus_and_servers():
    """luccioni2022: 1,082,990 A100-hours, a GPU of 150 kg and a share of its server, six years at 85 % use: 11.2 t."""
    kg = sum(float(STUDIES[name]["kgco2e_per_device"]) for name in ("luccioni-gpu", "luccioni-server"))
    assert run_embodied_kgco2e(1_082_990, kg, 6 * 0.85) == pytest.approx(11.2e3, rel=0.02)


def test_water_of_olmo():
    """olmo2-2024: 131 MWh at PUE 1.2, nothing at the site and 1.29 L for a kWh at the power plants of Texas are 202 kL."""
    assert run_water_l(131e6, 131e6 * 1.2, 0, 1.29) / 1000 == pytest.approx(202, rel=0.01)


def test_water_of_the_site_and_of_the_plants_add_up():
    """100 kWh of computers at 0.2 L and 120 kWh of the facility at 3 L: 380 L, for arrays too."""
    assert run_water_l(100e3, 120e3, 0.2, 3) == pytest.approx(380)
    assert run_water_l(np.array([100e3, 0]), np.array([120e3, 0]), 0.2, 3).tolist() == pytest.approx([380, 0])


def test_what_a_device_delivers():
    """400 TFLOP/s from 1,000 W, for $4 an hour, of 164 kg over four years."""
    assert flops_per_joule(400e12, 1000) == 400e9
    assert flops_per_usd(400e12, 4) == 400e12 * 900
    assert flops_per_embodied_kg(400e12, 164, 4) == pytest.approx(400e12 * 4 * 8766 * 3600 / 164)


def test_a_share_of_a_life_by_hand():
    """1,753.2 hours are a fifth of a year: of 7 years 1/35, of 910 kg 26."""
    assert HOURS_PER_YEAR == 365.25 * 24
    assert run_embodied_kgco2e(1753.2, 910, 7) == pytest.approx(26)


def test_water_by_hand():
    """3 MWh of computers at 0.7 L and 5 MWh of the facility at 1.1 L for a kWh: 2,100 and 5,500 L."""
    assert run_water_l(3e6, 5e6, 0.7, 1.1) == pytest.approx(7600)


def test_what_a_device_delivers_by_units():
    """11 PFLOP/s from 700 W is 15.7 TFLOP/J; for $3 an hour 13.2 EFLOP for a dollar; of 170 kg over five years."""
    assert flops_per_joule(11e15, 700) == pytest.approx(11e15 * 13 / (700 * 13))
    assert flops_per_usd(11e15, 3) == pytest.approx(13.2e18)
    assert flops_per_embodied_kg(11e15, 170, 5) * 170 == pytest.approx(11e15 * 5 * 31_557_600)


def test_trials_and_idle_nodes_are_added_as_shares():
    """A run of 730 with 40 % of trials is 1,022; with 30 % of idle nodes beside them 1,241; BLOOM's 24.69 t are 39.3 (luccioni2022)."""
    assert with_trials(730, 0.4) == pytest.approx(1022)
    assert with_trials_and_idle(730, 0.4, 0.3) == pytest.approx(1241)
    assert with_trials_and_idle(24.69, 0, 14.6 / 24.69) == pytest.approx(39.3, abs=0.02)
