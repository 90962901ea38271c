"""Quantities as people write them, and back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan import units
from scaleplan.errors import InputError


@pytest.mark.parametrize("text", ["300B", "300G", "3e11", "300000000000", "3.0e11", "0.3T", "300_000_000_000", "300 B"])
def test_one_number_has_many_spellings(text):
    """k, M, B or G, T are powers of 1000, and an integral value is an exact int."""
    value = units.count(text)

    assert value == 300_000_000_000
    assert isinstance(value, int)


@pytest.mark.parametrize(("text", "value"), [("1k", 1000), ("1Ki", 1024), ("2Mi", 2 * 1024**2), ("1Gi", 1024**3), ("1Ti", 1024**4)])
def test_an_i_makes_it_a_power_of_1024(text, value):
    """Ki, Mi, Gi, Ti are powers of 1024."""
    assert units.count(text) == value


@pytest.mark.parametrize(
    ("read", "text", "value"),
    [
        (units.flops, "1 PF-day", 8.64e19),  # 1e15 FLOP/s for a day: kaplan2020 section 1.3
        (units.flops, "315 ZFLOP", 3.15e23),
        (units.flops_per_s, "147T", 147e12),
        (units.flops_per_s, "147 TFLOP/s", 147e12),
        (units.n_bytes, "80GiB", 80 * 2**30),
        (units.n_bytes, "96GB", 96 * 10**9),
        (units.seconds, "30d", 30 * 86_400),
        (units.seconds, "120ms", 0.12),
        (units.usd, "$50k", 50_000),
        (units.watts, "0.4kW", 400),
        (units.watt_hours, "433MWh", 433e6),
        (units.grid_intensity, "385g/kWh", 0.385),
        (units.grid_intensity, "0.385kg/kWh", 0.385),
        (units.fraction, "40%", 0.4),
        (units.device_days, "33k", 33_000),
    ],
)
def test_a_unit_is_turned_into_the_base_unit(read, text, value):
    """Each kind of quantity knows its units."""
    assert read(text) == pytest.approx(value, rel=1e-15)


@pytest.mark.parametrize(
    "text", ["nan", "inf", "-inf", "plenty", "", " ", "1e400", "9" * 5000, "0x10", "1,000", "--3", "1e", "e5", "3 4", "_", "٣"]
)
def test_what_is_not_a_number_is_refused(text):
    """No word, no infinity, no number too long to mean anything."""
    with pytest.raises(InputError) as refused:
        units.count(text)
    assert len(str(refused.value)) < 200


@pytest.mark.parametrize("text", ["0", "-3", "2.5", "1e-3"])
def test_a_count_is_whole_and_above_zero(text):
    """Layers, tokens and devices come in ones."""
    with pytest.raises(InputError, match=text.replace(".", r"\.")):
        units.count(text)


def test_80g_of_memory_is_refused_with_both_readings():
    """80 GB and 80 GiB differ by 7 %."""
    with pytest.raises(InputError) as refused:
        units.n_bytes("80G")
    assert "80GB" in refused.value.hint
    assert "80GiB" in refused.value.hint


@pytest.mark.parametrize("read", [units.grid_intensity, units.watts, units.watt_hours, units.n_bytes])
def test_a_bare_number_is_refused_where_it_could_mean_two_things(read):
    """385 could be grams or kilograms."""
    with pytest.raises(InputError) as refused:
        read("385")
    assert "say the unit" in refused.value.hint


@given(st.integers(min_value=1, max_value=10**40))
def test_digits_survive(value):
    """A whole number of any size is read to the last digit."""
    assert units.count(str(value)) == value


@given(st.integers(min_value=1, max_value=10**17))
def test_what_is_shown_can_be_read_again(value):
    """A shown count reads back within the half of its third digit."""
    assert units.amount(units.show_count(value)) == pytest.approx(value, rel=0.0051)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (units.show_count(124_439_808), "124M"),
        (units.show_count(999_400_000_000_000), "999T"),
        (units.show_count(999_500_000_000_000), "1.00e+15"),
        (units.show_count(999_600_000), "1.00B"),
        (units.show_count(12), "12"),
        (units.show_bytes(85_899_345_920), "80.00 GiB"),
        (units.show_si(8.64e19, "FLOP"), "86.4 EFLOP"),
        (units.show_duration(2_790_000), "32.3 days"),
        (units.show_usd(5342.4), "$5,340"),
        (units.show_usd(1.586e6), "$1.59M"),
        (units.show_mass(75_000), "75.0 t"),
        (units.three_digits(0.01234), "0.0123"),
        (units.three_digits(999.7), "1,000"),
    ],
)
def test_people_see_three_digits_and_a_unit(shown, text):
    """Steps of 1000 for counts, of 1024 for bytes, the unit that reads best for time."""
    assert shown == text


@pytest.mark.parametrize(
    ("read", "example"), [(units.flops, "40ZFLOP"), (units.n_bytes, "40GiB"), (units.fraction, "40%"), (units.kgco2e, "40t")]
)
def test_the_example_of_a_refusal_is_of_the_quantity(read, example):
    """What is not a number of bytes is answered with a number of bytes, not with 40B; and the example can be read."""
    with pytest.raises(InputError) as refused:
        read("banana")

    assert refused.value.hint == f"`{example}` would be one"
    assert read(example) > 0
