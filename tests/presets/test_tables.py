"""Prices, grid factors, defaults and the list of sources."""

from __future__ import annotations

import importlib.util
import re
import statistics
import tomllib
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

import scaleplan
from scaleplan import library

FOLDER = library.built_in()
SCRIPTS = Path(__file__).parents[2] / "benchmarks"
PRICES, GRID = library.rows("prices"), library.rows("grid")
SOURCES = tomllib.loads((FOLDER / "sources.toml").read_text(encoding="utf-8"))
DEFAULTS = tomllib.loads((FOLDER / "defaults.toml").read_text(encoding="utf-8"))
DEVICES = {path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in (FOLDER / "hardware").glob("*.toml")}
DATE = re.compile(r"20\d\d(-\d\d(-\d\d)?)?")  # to the day, or only to the month or year


def benchmark(name):
    """A script of benchmarks/, as a module."""
    spec = importlib.util.spec_from_file_location(name, SCRIPTS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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

UNLISTED = ("h200-nvl", "l40", "rtx-5090", "rtx-6000-ada", "rtx-pro-6000")
"""Devices that are sold by the hour and are no presets yet."""


def test_prices_are_of_known_devices_with_a_known_source_and_a_date():
    """A row says who asks it, where, for what, on which terms, and when."""
    for row in PRICES:
        assert row["device"] in {*DEVICES, *UNLISTED} and row["source"] in SOURCES and row["provider"], row
        assert row["term"] in ("on_demand", "spot", "committed_1y", "committed_3y")
        assert row["basis"] in ("with host", "device only")
        assert DATE.fullmatch(row["date"])


def test_prices_are_dollars_for_an_hour_of_one_device():
    """Ten cents to twenty dollars: a whole instance, or cents, would stand out."""
    assert all(0.1 <= float(row["usd_per_device_hour"]) <= 20 for row in PRICES)


def test_no_index_votes():
    """A provider is one that rents devices: averages of a market are no votes."""
    assert not {row["provider"] for row in PRICES if row["provider"].startswith(("market", "index"))}


def test_an_offer_is_listed_once():
    """No row is there twice."""
    assert max(Counter(tuple(row.values()) for row in PRICES).values()) == 1


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
OTHER_GRAMS = {"US-VA": 245, "US-IA": 288, "us-east4": 343, "us-east-1": 245, "francecentral": 56}


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


def test_defaults_are_what_the_tables_say():
    """Goodput, power, PUE, grid, water and the ratios of the conventions, derived again from the tables beside them."""
    derive = benchmark("derive_defaults")
    for name, values in derive.derived().items():
        kept = derive.stored(name)
        assert {key: value for key, value in values.items() if not derive.agrees(value, kept[key])} == {}, name


def test_the_draws_are_made_again():
    """draws.csv is what its script makes, to the last digit."""
    assert (FOLDER / "draws.csv").read_text(encoding="utf-8") == benchmark("derive_draws").table()


def test_draws_are_spread_as_they_should_be():
    """Each column has the points of a normal distribution, and no two go together."""
    table = np.array(list(library.draws().values()))
    assert table.shape == (11, 1000)
    assert (
        pytest.approx(np.tile([-1.28155, 0, 1.28155], (11, 1)), abs=1e-3) == np.quantile(table, [0.1, 0.5, 0.9], axis=1, method="hazen").T
    )
    assert np.abs(np.corrcoef(table) - np.eye(11)).max() < 0.02


# Power and embodied carbon


@pytest.mark.parametrize("kind", ["power", "embodied"])
def test_observations_have_a_known_device_and_source(kind):
    """A row names a device preset, a known source and the day it was read."""
    rows = library.rows(kind)
    assert {row["device"] for row in rows} <= set(DEVICES)
    assert {row["source"] for row in rows} <= set(SOURCES)
    assert all(DATE.fullmatch(row["date"]) for row in rows)


def test_power_is_measured_and_no_rating():
    """A device draws at most its rated power, and less than it with its host."""
    for row in library.rows("power"):
        device, rated, system = (float(row[key] or "nan") for key in ("device_w", "rated_w", "system_w"))
        assert not device > rated and not system < device, row


def test_embodied_carbon_of_presets_is_that_of_a_study():
    """A device's `embodied.kgco2e` is a figure of the table, cards alone, to a kilogram."""
    cards = {(row["source"], round(float(row["kgco2e_per_device"]))) for row in library.rows("embodied") if "server" not in row["scope"]}
    known = {name: data["embodied"] for name, data in DEVICES.items() if "embodied" in data}
    assert {name for name, made in known.items() if (made["source"], round(made["kgco2e"])) not in cards} == set()
    assert len(known) >= 4


def test_an_entry_of_a_table_is_found_by_other_names():
    """A zone by its name or two-letter code; a device is no price, and the error shows how one is named."""
    assert scaleplan.presets("grid", ["France"])["values"] == scaleplan.presets("grid", ["FRA"])["values"]
    with pytest.raises(scaleplan.ScaleplanError, match="h100") as refused:
        scaleplan.presets("prices", ["h100"])
    assert re.search(r"`\S+/h100-sxm/\w+`", refused.value.hint)
