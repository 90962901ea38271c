"""Prices, grid factors, defaults and the list of sources."""

from __future__ import annotations

import re
import statistics
import tomllib
from collections import Counter

import pytest

from scaleplan import library

FOLDER = library.built_in()
PRICES, GRID = library.rows("prices"), library.rows("grid")
SOURCES = tomllib.loads((FOLDER / "sources.toml").read_text(encoding="utf-8"))
DEFAULTS = tomllib.loads((FOLDER / "defaults.toml").read_text(encoding="utf-8"))
DEVICES = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in (FOLDER / "hardware").glob("*.toml")}
DATE = re.compile(r"20\d\d(-\d\d-\d\d)?")  # to the day, or only to the year


# Sources


@pytest.mark.parametrize("key", SOURCES)
def test_a_source_says_what_it_is_where_it_is_and_when_it_was_read(key):
    """Every citation key has a title, an id or a url, and the day it was read."""
    source = SOURCES[key]
    assert re.fullmatch(r"[a-z0-9]+([-.][a-z0-9]+)*", key)
    assert len(source["title"]) > 10
    assert source.get("id") or source.get("url")
    assert DATE.fullmatch(source["date_read"])


@pytest.mark.parametrize("key", [key for key, source in SOURCES.items() if "arXiv" in source.get("id", "")])
def test_an_arxiv_number_is_one(key):
    """`id` is arXiv:YYMM.number, and the url points to it."""
    number = SOURCES[key]["id"].removeprefix("arXiv:")
    assert re.fullmatch(r"[0-2]\d(0[1-9]|1[0-2])\.\d{4,5}", number)
    assert SOURCES[key]["url"].endswith(number) if "url" in SOURCES[key] else True


@pytest.mark.parametrize("path", sorted(FOLDER.rglob("*.toml")), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_source_that_a_preset_cites_is_listed(path):
    """No preset of any kind cites a key that sources.toml does not have."""
    assert set(library.cited(tomllib.loads(path.read_text(encoding="utf-8")))) <= set(SOURCES)


# Prices


def test_prices_are_of_known_devices_with_a_known_source_and_a_date():
    """A row says who asks it, where, for what, on which terms, and when."""
    for row in PRICES:
        assert row["device"] in DEVICES and row["source"] in SOURCES and row["provider"], row
        assert row["term"] in ("on_demand", "spot", "flex_start", "committed_1y", "committed_3y")
        assert row["basis"] in ("with host", "device only")
        assert DATE.fullmatch(row["date"])


def test_prices_are_dollars_for_an_hour_of_one_device():
    """Ten cents to twenty dollars: a whole instance, or cents, would stand out."""
    assert all(0.1 <= float(row["usd_per_device_hour"]) <= 20 for row in PRICES)


def test_an_offer_is_listed_once():
    """Provider, region, device and term name one price."""
    offers = Counter((row["provider"], row["region"], row["device"], row["term"]) for row in PRICES)
    assert [offer for offer, count in offers.items() if count > 1] == []


def test_a_commitment_is_cheaper_than_on_demand():
    """One provider's one-year price is at most its on-demand price of the same date, its three-year price at most that."""
    prices = {(r["provider"], r["region"], r["device"], r["date"], r["term"]): float(r["usd_per_device_hour"]) for r in PRICES}
    compared = 0
    for (*offer, term), price in prices.items():
        dearer = {"committed_1y": "on_demand", "committed_3y": "committed_1y"}.get(term)
        if (*offer, dearer) in prices:
            compared += 1
            assert price <= prices[*offer, dearer], offer
    assert compared >= 10


# Grid


def test_zones_are_unique_and_have_a_known_source():
    """A zone is one row; upper and lower case name the same zone."""
    assert max(Counter(row["zone"].lower() for row in GRID).values()) == 1
    assert {row["source"] for row in GRID} <= set(SOURCES)
    assert {row["kind"] for row in GRID} == {"country", "us-state", "cn-province", "grid-zone", "cloud-region", "world"}


def test_grid_factors_are_kg_for_a_kwh():
    """From 2.7 g (Stockholm) to 1.3 kg (Turkmenistan) for a kWh: grams, pounds or tonnes would stand out."""
    assert all(0.002 <= float(row["kgco2e_per_kwh"]) <= 1.4 for row in GRID)
    assert all(row["year"] in ("2021", "2022", "2023", "2024", "2025") for row in GRID if row["kind"] != "world")


COUNTRY_GRAMS = {"FRA": 56, "USA": 369, "DEU": 381, "CHN": 582, "IND": 713, "GBR": 238}
OTHER_GRAMS = {"US-VA": 245, "US-IA": 288, "us-east4": 323, "us-central1": 413, "us-east-1": 245, "francecentral": 56}


@pytest.mark.parametrize(("zone", "grams"), (COUNTRY_GRAMS | OTHER_GRAMS).items())
def test_grid_factors_that_many_print(zone, grams):
    """Published factors in g for a kWh; Virginia's own plants and the grid its data centres draw from differ by a third."""
    row = next(row for row in GRID if row["zone"] == zone)
    assert float(row["kgco2e_per_kwh"]) * 1000 == pytest.approx(grams, abs=0.6)


def test_regions_without_a_published_factor_have_that_of_their_country_or_state():
    """`same_as` names the zone whose factor an AWS or Azure region has."""
    factor = {row["zone"]: row["kgco2e_per_kwh"] for row in GRID}
    for row in GRID:
        assert not row["same_as"] or factor[row["same_as"]] == row["kgco2e_per_kwh"], row["zone"]


def test_cloud_regions_belong_to_a_provider_whose_pue_is_known():
    """Every provider of a cloud region has a PUE in the defaults."""
    providers = {row["provider"] for row in GRID if row["kind"] == "cloud-region"}
    assert providers == {"gcp", "aws", "azure"}
    assert providers <= set(DEFAULTS["pue"]["fleet"])


# Defaults


def test_the_usual_pue_is_the_median_of_the_fleets():
    """1.08, 1.09, 1.15 and 1.18 have the median 1.12."""
    fleet = [value for value in DEFAULTS["pue"]["fleet"].values() if isinstance(value, float)]
    assert len(fleet) == 4
    assert DEFAULTS["pue"]["pue"] == pytest.approx(statistics.median(fleet))


def test_the_usual_zone_exists():
    """The grid assumed where no region is given is a row of the table."""
    assert DEFAULTS["grid"]["zone"] in {row["zone"] for row in GRID}


def test_the_usual_power_of_a_node_is_the_median_of_those_measured():
    """system_over_device is the median, over the devices with a measured node, of system_w over the device's power."""
    load = DEFAULTS["power"]["load_fraction"]
    ratios = {}
    for device in DEVICES.values():
        measured = device.get("measured_power", {})
        if "system_w" in measured:
            tdp = device["power"]["tdp_w"]
            ratios[tdp, measured["system_w"]] = measured["system_w"] / measured.get("device_w", tdp * load)
    assert len(ratios) == 4  # V100, TPU v3, TPU v4, H100
    assert DEFAULTS["power"]["system_over_device"] == pytest.approx(statistics.median(ratios.values()), abs=0.005)


def test_the_usual_load_is_between_those_measured():
    """load_fraction lies midway between the two measured averages of a device over its rated power, 280/400 and 170/192."""
    assert DEFAULTS["power"]["load_fraction"] == pytest.approx((280 / 400 + 170 / 192) / 2, abs=0.01)
