"""Limits held against answers."""

from __future__ import annotations

import pytest

from scaleplan.errors import InputError, UnknownName
from scaleplan.limits import broken, judge, parse_change, parse_limit, unit_of, worst_first

RESULT = {
    "usd": 5342.0,
    "device_hours": 2671.0,
    "intervals": {"device_hours": {"p10": 1489.0, "p50": 2671.0, "p90": 4842.0}},
    "money": {"usd": {"value": 100.0, "p10": 80.0, "p50": 100.0, "p90": 130.0}},
    "laws": [{"law": "a", "n_params": 1e9, "intervals": {"n_params": {"p10": 0.9e9, "p50": 1e9, "p90": 1.2e9}}}],
    "wall_s": None,
}


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("usd<=50k", "pass"),
        ("usd<=$5k", "fail"),
        ("usd>=5k", "pass"),
        ("device_hours<=5000", "pass"),  # even p90 keeps it
        ("device_hours<=1000", "fail"),  # even p10 breaks it
        ("device_hours<=2671", "unsure"),
        ("device_hours>=1000", "pass"),
        ("device_hours>=5000", "fail"),
        ("money.usd<=120", "unsure"),
        ("laws.a.n_params<=1.3B", "pass"),
        ("laws.0.n_params<=1.1B", "unsure"),
    ],
)
def test_a_limit_passes_only_when_the_whole_interval_keeps_it(text, verdict):
    """Pass if the unfavourable end keeps the limit, fail if the favourable end breaks it, unsure between."""
    assert judge(parse_limit(text), RESULT).verdict == verdict


@pytest.mark.parametrize(("at", "verdict"), [("p10", "pass"), ("p50", "pass"), ("p90", "fail")])
def test_at_judges_by_one_percentile(at, verdict):
    """With a level named there is no doubt left."""
    assert judge(parse_limit("device_hours<=3000"), RESULT, at).verdict == verdict


def test_the_worst_comes_first_and_only_an_error_breaks():
    """Failures before doubts before passes; a failure of level warn breaks nothing."""
    rows = worst_first([judge(parse_limit(t), RESULT) for t in ("usd<=50k", "device_hours<=2671", "usd<=1:warn")])

    assert [row.verdict for row in rows] == ["fail", "unsure", "pass"]
    assert not broken(rows)
    assert broken([judge(parse_limit("usd<=1"), RESULT)])


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("wall_s<=30d", 30 * 86_400),
        ("peak_bytes<=80GiB", 80 * 2**30),
        ("energy_wh<=433MWh", 433e6),
        ("kgco2e<=20t", 20_000),
        ("mfu>=40%", 0.4),
    ],
)
def test_a_bound_may_carry_the_unit_of_its_quantity(text, bound):
    """The end of a quantity's name says which units its bound may have."""
    assert parse_limit(text).bound == pytest.approx(bound)


def test_a_quantity_that_is_not_there_is_named():
    """A misspelt limit must not pass a budget."""
    with pytest.raises(UnknownName, match="usb") as refused:
        judge(parse_limit("usb<=3"), RESULT)
    assert "usd" in refused.value.hint


def test_an_unknown_number_keeps_no_limit():
    """null is not zero."""
    with pytest.raises(InputError, match="unknown"):
        judge(parse_limit("wall_s<=30d"), RESULT)


@pytest.mark.parametrize("text", ["usd", "usd<50k", "<=3", "usd<=", "usd<=many", "usd<=nan", "usd==3", "usd<=3:fatal"])
def test_what_is_not_a_limit_is_refused(text):
    """A limit is quantity, <= or >=, number, and perhaps a level."""
    with pytest.raises((InputError, UnknownName)):
        parse_limit(text)


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_a_number_that_is_not_finite_keeps_no_limit(number):
    """JSON as Python reads it may hold NaN: neither within a limit nor beyond it."""
    with pytest.raises(InputError, match="no limit can be held"):
        judge(parse_limit("usd<=1"), {"usd": number})
    with pytest.raises(InputError, match="no limit can be held"):
        judge(parse_limit("usd<=1"), {"usd": 1.0, "intervals": {"usd": {"p10": 0.5, "p50": 1.0, "p90": number}}})


def test_the_last_part_of_a_path_is_enough_where_it_is_alone():
    """`peak_bytes` is `memory.peak_bytes`; of two that end alike neither is taken."""
    result = {"memory": {"peak_bytes": 5.0}, "a": {"usd": 1.0}, "b": {"usd": 2.0}}
    assert judge(parse_limit("peak_bytes<=6"), result).quantity == "memory.peak_bytes"
    with pytest.raises(UnknownName, match="usd") as told:
        judge(parse_limit("usd<=6"), result)
    assert "a.usd, b.usd" in str(told.value.hint)


@pytest.mark.parametrize(
    ("text", "bound"),
    [("usd<=+10%", 110), ("usd<=-10%", 90), ("usd>=-5%:warn", 95), ("usd<=+0.5%", 100.5), ("usd<=10", None), ("step.mfu<=40%", None)],
)
def test_a_bound_with_a_sign_and_in_percent_is_against_a_base(text, bound):
    """The base's number times one and the change."""
    change = parse_change(text)
    assert (change and change.against({"usd": 100.0}).bound) == (bound and pytest.approx(bound))


@pytest.mark.parametrize(
    ("quantity", "unit"),
    [
        ("calendar.kgco2e_per_kwh", "kgCO2e/kWh"),
        ("rates.peak_flops_per_s", "FLOP/s"),
        ("tokens_per_s", ""),
        ("usd_per_million_tokens", ""),
        ("energy.it_wh", "Wh"),
        ("run.wall_s", "s"),
    ],
)
def test_a_rate_has_no_unit_of_what_it_is_per(quantity, unit):
    """kg for a kWh are no Wh, and FLOP a second no seconds."""
    assert unit_of(quantity) == unit
