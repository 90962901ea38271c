"""Questions asked the other way round: against trying every value."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import pytest

from scaleplan.errors import InputError
from scaleplan.machine.inverse import best_of, divisors, largest, prime_powers, smallest


def counted(fits: Callable[[int], bool], most: int = 90) -> Callable[[int], bool]:
    """The same answers, so many times at most: 2^40 is reached by 40 doublings and 40 halvings."""
    calls = iter(range(most))

    def asked(n: int) -> bool:
        assert next(calls, None) is not None, "asked too often"
        return fits(n)

    return asked


LIMITS = (0, 1, 2, 3, 4, 7, 8, 9, 16, 21, 33, 64, 65, 100)


@pytest.mark.parametrize(("step", "most"), [(1, 2**40), (1, 64), (1, 50), (3, 2**40), (3, 50), (3, 63), (7, 70), (7, 7)])
def test_the_largest_that_fits_is_that_of_trying_every_multiple(step: int, most: int):
    """The largest multiple of the step up to the limit, and none above the most that is asked for."""
    for limit in LIMITS:
        tried = [n for n in range(step, min(most, 150) + 1, step) if n <= limit]
        assert largest(counted(lambda n, limit=limit: n <= limit), step, most) == (tried[-1] if tried else None)


@pytest.mark.parametrize("most", [2**40, 64, 50, 9, 1])
def test_the_smallest_that_fits_is_that_of_trying_every_number(most: int):
    """The first number at or above the limit, where it is not above the most that is asked for."""
    for limit in (n + 1 for n in LIMITS):
        tried = [n for n in range(1, min(most, 150) + 1) if n >= limit]
        assert smallest(counted(lambda n, limit=limit: n >= limit), most) == (tried[0] if tried else None)


def test_only_values_below_the_one_that_does_not_fit_are_relied_on():
    """Found in about twice as many trials as the number has binary digits: 20 of a number of 10 digits, not 1,000."""
    up: list[int] = []
    down: list[int] = []

    assert largest(counted(lambda n: bool(up.append(n)) or n <= 1000, 21)) == 1000
    assert smallest(counted(lambda n: bool(down.append(n)) or n >= 1000, 21)) == 1000
    assert max(up) <= 1024 and max(down) <= 1024


def test_without_a_most_the_search_ends_at_2_to_the_40():
    """About 10^12: no count of sequences, layers or devices is larger; each value between is found by a few trials."""
    tried: list[int] = []

    assert largest(counted(lambda _: True)) == 2**40
    assert smallest(counted(lambda n: bool(tried.append(n)))) is None
    assert max(tried) == 2**40 and len(tried) == 41
    assert smallest(counted(lambda n: n >= 3**25)) == 3**25 == largest(counted(lambda n: n <= 3**25))


def test_steps_are_one_where_none_is_given():
    assert largest(counted(lambda n: n <= 7)) == 7


def test_the_first_of_the_values_that_have_a_meaning():
    assert best_of([12, 6, 4, 3], lambda n: n < 6) == 4
    assert best_of([12, 6], lambda n: n < 6) is None


@pytest.mark.parametrize("n", [1, 2, 3, 4, 9, 12, 25, 30, 49, 97, 121, 210, 256, 360, 961, 1001, 5040])
def test_divisors_and_prime_powers_are_those_of_trial_division(n: int):
    """Every d with n mod d = 0; primes have two divisors, and their powers make up n."""
    assert divisors(n) == [d for d in range(1, n + 1) if n % d == 0]
    powers = prime_powers(n)

    assert prod(prime**power for prime, power in powers) == n
    assert [prime for prime, _ in powers] == [p for p in range(2, n + 1) if n % p == 0 and all(p % d for d in range(2, p))]
    assert len(divisors(n)) == prod(power + 1 for _, power in powers)


def test_numbers_up_to_10_to_the_12_are_divided():
    """2^12 5^12 has 13 x 13 divisors; 10^12 + 1 is refused with the limit."""
    assert prime_powers(10**12) == ((2, 12), (5, 12))
    assert len(divisors(10**12)) == 169
    with pytest.raises(InputError) as refused:
        divisors(10**12 + 1)
    assert "1,000,000,000,000" in refused.value.report()


def test_the_square_of_a_large_prime_has_three_divisors():
    """99,991 is the largest prime of five digits."""
    assert prime_powers(99_991**2) == ((99_991, 2),)
    assert divisors(99_991**2) == [1, 99_991, 99_991**2]


def test_a_count_that_no_cluster_has_is_refused_at_once():
    """The divisors of a number of sixty digits would take longer than anybody waits."""
    assert divisors(999_999_999_989) == [1, 999_999_999_989]  # the largest prime below 10^12
    with pytest.raises(InputError, match="too large to be divided"):
        divisors(10**60 - 1)
