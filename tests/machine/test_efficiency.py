"""Shares of hardware and of stacks, from the tables that hold them."""

from __future__ import annotations

import pytest
from tests.machine.plain_device import DEVICE, SHARES, STACK

from scaleplan.errors import InputError, UnknownName
from scaleplan.machine.efficiency import HardwareShares, Spread, Spreads, StackShares, hardware_shares, paced, spreads_of, stack_shares

OWN = ("product", "operands", "flash1", "flash2", "flash3")
ALL = {name: value for name, value in SHARES._asdict().items() if name not in OWN}
NEW = dict(zip(OWN, (0.71, 0.61, 0.19, 0.29, 0.59), strict=True))
OLD = dict(zip(OWN, (0.83, 0.47, 0.31, 0.53, 0.57), strict=True))
TABLE = {
    "default_generation": "Hopper",
    "all": ALL | {"source": "s"},
    "generation": {"Hopper": NEW, "Ampere": OLD, "Flat": {"flash3": 0.43}},
}


def test_a_generation_has_its_own_shares_over_those_of_all():
    """Its own, else those of the newest; the rest is of all hardware."""
    assert hardware_shares(TABLE, DEVICE) == SHARES
    assert hardware_shares(TABLE, DEVICE._replace(generation="Ampere")) == SHARES._replace(**OLD)
    assert hardware_shares(TABLE, DEVICE._replace(generation="Flat")) == SHARES._replace(flash3=0.43)


@pytest.mark.parametrize(("generation", "product"), [("Later", 0.7 / 0.8 * 0.61), ("Flat", 0.7 / 0.8 * 0.61), ("Ampere", 0.83)])
def test_products_that_were_not_fitted_are_scaled_by_the_fastest_measured(generation, product):
    """Training got 0.70 of an H100's peak and the fastest product 0.80: as much of the fastest of another device, to 1 %."""
    device = DEVICE._replace(generation=generation, measured_share=0.61)

    assert hardware_shares(TABLE, device).product == pytest.approx(product, rel=0.01)
    assert hardware_shares(TABLE, device._replace(measured_share=None)).product == (0.83 if generation == "Ampere" else 0.71)


def test_a_pace_divides_rates_and_multiplies_latencies():
    """Products and attention by 1.3, memory by 1.7, links and latencies by 1.9; what hides or weighs is as it was."""
    by = dict.fromkeys(("product", "scores", "flash1", "flash2", "flash3"), 1 / 1.3)
    by |= {"memory": 1 / 1.7, "link": 1 / 1.9, "network": 1 / 1.9, "latency_inside_s": 1.9, "latency_outside_s": 1.9}
    found = paced(SHARES, STACK._replace(product_pace=1.3, memory_pace=1.7, communication_pace=1.9))

    for name, share in SHARES._asdict().items():
        assert getattr(found, name) == pytest.approx(share * by.get(name, 1), rel=1e-12), name
    assert paced(SHARES, STACK) is SHARES
    for one in ("product_pace", "memory_pace", "communication_pace"):
        assert paced(SHARES, STACK._replace(**{one: 1.1})) != SHARES


def test_a_stack_says_its_shares_or_what_it_lacks():
    """Those without a usual value must be there; lists become tuples; unknown keys are refused."""
    needed = {name: value for name, value in STACK._asdict().items() if name not in StackShares._field_defaults}
    given = stack_shares(needed | {"note": "n", "shapes": [[390, 2, 170, 1.7]]})

    assert given == StackShares(**needed)._replace(shapes=((390, 2, 170, 1.7),))
    usual = {"n_gathers": 3, "balanced": True, "expert_launches": 300, "pipeline_launches": 0, "gather_network": None}
    assert given._asdict().items() >= usual.items()
    assert (given.product_pace, given.memory_pace, given.communication_pace, given.pace) == (1, 1, 1, 1)
    with pytest.raises(InputError, match="lacks fusion"):
        stack_shares({name: value for name, value in needed.items() if name != "fusion"})
    with pytest.raises(UnknownName):
        stack_shares(needed | {"fushion": 1})


def test_half_widths_have_two_sides():
    """What a side does not name is zero."""
    assert spreads_of({"down": {"base": 0.13, "host": 0.03}, "up": {"base": 0.04, "nodes": 0.2, "source": "s"}}) == Spreads(
        Spread(0.13, 0.03, 0, 0, 0), Spread(0.04, 0, 0, 0, 0.2)
    )
    assert set(HardwareShares._fields) == set(ALL) | set(OWN)
