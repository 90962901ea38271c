"""The same run on other devices, from other providers, in other regions."""

from __future__ import annotations

import pytest

from scaleplan import library
from scaleplan.chain.cost_compare import cheapest_first, from_providers, in_regions, on_devices
from scaleplan.chain.cost_inputs import mfu_input, peak_input, power_inputs, price_quote, site_inputs
from scaleplan.chain.run_cost import CostInputs, Input, run_cost

DEFAULTS = library.defaults()
H100 = library.load("hardware", "h100-sxm")
SITE = site_inputs(None, None, None, DEFAULTS)
RUN = CostInputs(
    training_flops=Input(8.4e23, "exact"),
    peak_flops_per_s=peak_input(H100),
    mfu=mfu_input(DEFAULTS, 70e9),
    pue=SITE.pue,
    kgco2e_per_kwh=SITE.kgco2e_per_kwh,
    **power_inputs(H100, None, None, DEFAULTS)._asdict(),
)


def test_devices_have_their_own_peak_price_and_power():
    """Hours are inverse to the peaks; what is not known of a device stays unknown."""
    rows = {row.device: row for row in on_devices(RUN, ["a100-sxm-80gb", "h100-sxm", "tpu-v4"], DEFAULTS)}
    a100, h100, tpu = (rows[name] for name in ("a100-sxm-80gb", "h100-sxm", "tpu-v4"))
    assert a100.cost.device_hours / h100.cost.device_hours == pytest.approx(989.4 / 312)
    assert h100.flops_per_joule == pytest.approx(0.29 * 989.4e12 / 969)
    assert h100.flops_per_usd == pytest.approx(8.4e23 / h100.cost.usd)
    assert h100.flops_per_embodied_kg == pytest.approx(8.4e23 / h100.cost.embodied_kgco2e)
    assert tpu.flops_per_embodied_kg is None and tpu.cost.energy_devices_wh == pytest.approx(tpu.cost.device_hours * 170)


def test_providers_are_cheapest_first_and_dated():
    """One row a provider that votes, each at its own price."""
    rows, market = from_providers(RUN, H100), price_quote(H100)
    assert [row.usd_per_device_hour for row in rows] == sorted(market.votes.values())
    assert {row.provider for row in rows} == set(market.votes)
    hours = run_cost(RUN).device_hours
    assert all(row.usd == pytest.approx(hours * row.usd_per_device_hour) and row.date and row.sources for row in rows)
    newest = max(offer["date"] for offer in library.rows("prices"))
    old = {row.provider for row in rows if row.date[:7] < f"{int(newest[:4]) - 1}{newest[4:7]}"}
    assert old and {row.provider for row in rows if row.is_old} == old


def zone_provider(rows, region):
    """The cloud that a region belongs to."""
    return next(row.provider for row in rows if row.region == region)


def test_regions_are_cleanest_first():
    """Every cloud region once, CO2e in rising order, each with its own grid and PUE; prices only of clouds that rent the device."""
    rows = in_regions(RUN, H100, DEFAULTS)
    assert [row.kgco2e for row in rows] == sorted(row.kgco2e for row in rows)
    east = next(row for row in rows if row.region == "us-east4")
    assert east.kgco2e == pytest.approx(run_cost(RUN).energy_it_wh / 1000 * 1.08 * 0.34348)
    votes = price_quote(H100).votes
    assert {row.provider for row in rows if row.usd is not None} == {"aws", "azure", "gcp"} & set(votes)
    usd = {row.region: row.usd_per_device_hour for row in rows if row.usd is not None}
    assert usd == {region: price_quote(H100, provider=zone_provider(rows, region), region=region).usd_per_device_hour for region in usd}
    cheapest = cheapest_first(rows)
    assert cheapest[0].usd == min(row.usd for row in rows if row.usd is not None)
    assert cheapest[0].kgco2e == min(row.kgco2e for row in rows if row.usd == cheapest[0].usd)


def test_a_device_that_no_cloud_rents_has_no_price_anywhere():
    """Trainium 2: regions have energy and carbon, and dollars are unknown."""
    trainium = library.load("hardware", "trainium2")
    assert price_quote(trainium) is None and from_providers(RUN, trainium) == []
    rows = in_regions(RUN, trainium, DEFAULTS)
    assert {row.usd for row in rows} == {None} and min(row.kgco2e for row in rows) > 0
