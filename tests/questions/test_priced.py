"""Price and power of a device are read in one way, whoever asks: cost, serving, post-training, layouts over device counts."""

from __future__ import annotations

import pytest

import scaleplan as sp

TUNED = {"method": "fine-tuning", "tokens": "1B", "n_devices": "8"}
ASKED = {
    "cost": lambda **more: sp.cost("llama-3-8b", tokens="1B", **more),
    "serve": lambda **more: sp.serve("llama-3-8b", **more),
    "rl": lambda **more: sp.rl("llama-3-8b", **TUNED, **more),
    "layout": lambda **more: sp.layout("llama-3-8b", n_devices="8,16", tokens="1B", **more),
}
PRICE = "usd_per_device_hour"


def price_of(answer):
    """The price in the inputs of the answer's own lines of dollars."""
    return next(line.inputs[PRICE] for line in answer.lines if line.inputs and PRICE in line.inputs)


@pytest.mark.parametrize("given", [{}, {"price_term": "spot"}, {"provider": "aws"}, {PRICE: "3.21"}], ids=str)
def test_the_price_is_that_of_cost(given):
    """One device-hour costs the same in every answer, and the sentence that says whose price it is is the same."""
    answers = {name: ask(hardware="h100-sxm", **given) for name, ask in ASKED.items()}
    said = {name: [note for note in notes_of(answer) if PRICE in note] for name, answer in answers.items()}

    assert len({price_of(answer) for answer in answers.values()}) == 1
    assert all(notes == said["cost"] for notes in said.values())
    assert bool(said["cost"]) == (PRICE not in given)


def notes_of(answer):
    """The remarks of an answer and of its tables."""
    return [*answer.notes, *(note for table in answer.tables for note in table.notes)]


@pytest.mark.parametrize("name", ["cost", "serve", "rl", "layout"])
def test_a_price_older_than_a_year_warns(name):
    """The newest on-demand price of a V100 is of 2022."""
    answer = ASKED[name](hardware="v100-sxm-32gb")
    assert [one.kind for one in answer.warnings].count("old-price") == 1


@pytest.mark.parametrize("name", ["cost", "serve", "rl", "layout"])
def test_a_provider_without_a_price_is_refused(name):
    """By its name, with those that have one."""
    with pytest.raises(sp.ScaleplanError, match="nobody"):
        ASKED[name](hardware="h100-sxm", provider="nobody")


def test_energy_of_a_count_is_its_device_hours_at_the_power_of_cost():
    """Device-hours x (device + host) x PUE, whichever question answers."""
    known = {"system_power": "900W", "device_power": "600W", "pue": "1.25"}
    for row in ASKED["layout"](hardware="h100-sxm", **known).result["points"]:
        assert row["energy_wh"] == pytest.approx(row["device_hours"] * 900 * 1.25)
    usual = ASKED["cost"](hardware="h100-sxm").result["rates"]
    for row in ASKED["layout"](hardware="h100-sxm").result["points"]:
        assert row["energy_wh"] == pytest.approx(row["device_hours"] * usual["system_power_w"] * usual["pue"])
