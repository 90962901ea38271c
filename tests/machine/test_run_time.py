"""Hours of a run whose layout is not known, and the utilisation it is assumed to have."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan import library
from scaleplan.errors import InputError, NotSupported
from scaleplan.machine.run_time import (
    device_hours,
    fewest_devices,
    flops_to_do,
    likely_hardware_rate,
    mfu_of_hfu,
    model_flops_utilisation,
    peak_of,
    share_between,
    whole_run_mfu,
)

USUAL = library.defaults()["whole_run_mfu"]


def test_nothing_known_is_the_spread_of_all_published_runs():
    """39 whole runs: 0.16, 0.29 and 0.52 of the peak."""
    assert whole_run_mfu(USUAL) == pytest.approx((0.16, 0.29, 0.52))


@pytest.mark.parametrize("size", [2e10, 1e12])
def test_a_large_run_is_known_better(size):
    """From 2e10 active parameters on, 0.22 to 0.40; the median is the same."""
    assert whole_run_mfu(USUAL, size) == pytest.approx((0.22, 0.29, 0.40))


def test_the_spread_narrows_with_size_without_a_jump():
    """Over sizes in rising order the low point never falls and the high one never rises, and no step is above 2 %."""
    points = np.array([whole_run_mfu(USUAL, size) for size in np.geomspace(1e8, 1e12, 200)])
    low, high = np.diff(np.log(points[:, 0])), np.diff(np.log(points[:, 2]))
    assert low.min() >= -1e-12 and high.max() <= 1e-12
    assert max(np.abs(low).max(), np.abs(high).max()) < 0.02
    assert np.ptp(points[:, 1]) == 0


def test_hours_do_not_depend_on_the_convention():
    """An ordinary run: FLOP counted exactly over their own MFU take the hours that 6 N D over its MFU take."""
    flops = {"six_n": 1e24, "exact": 1e24 * USUAL["over_six_n"]["exact"], "kaplan": 1e24 * USUAL["over_six_n"]["kaplan"]}
    hours = [device_hours(count, 1e15 * whole_run_mfu(USUAL, 7e9, name).p50) for name, count in flops.items()]
    assert hours == pytest.approx([hours[0]] * 3)


def test_a_convention_without_a_ratio_is_refused():
    """Nothing is known of the usual utilisation of FLOP counted in an unknown way."""
    with pytest.raises(InputError, match="hand-counted"):
        whole_run_mfu(USUAL, 7e9, "hand-counted")


@pytest.mark.parametrize(("hours", "within_s", "n_devices"), [(100, 36_000, 10), (100.001, 36_000, 11), (0.5, 86_400, 1), (3, 3600, 3)])
def test_fewest_devices(hours, within_s, n_devices):
    """In time, and one fewer is late."""
    assert fewest_devices(hours, within_s) == n_devices
    assert hours * 3600 / n_devices <= within_s
    assert n_devices == 1 or hours * 3600 / (n_devices - 1) > within_s


@pytest.mark.parametrize("seed", range(5))
def test_the_fewest_devices_are_in_time_and_one_fewer_is_late(seed):
    """At and just beside whole numbers of devices, where quotients round."""
    random = np.random.default_rng(seed)
    for _ in range(2000):
        n, within_s = int(random.integers(1, 5000)), float(random.uniform(10, 1e7))
        hours = n * within_s / 3600 * float(random.choice([1, 1 + 2**-52, 1 - 2**-53]))
        found = fewest_devices(hours, within_s)
        assert hours * 3600 / found <= within_s
        assert found == 1 or hours * 3600 / (found - 1) > within_s


def test_full_recomputation_repeats_the_forward_pass():
    """A rate that counts it has 8 N D to do instead of 6 N D; what selective recomputation repeats is not known here."""
    assert flops_to_do(6e20, "hardware", "full") == pytest.approx(8e20)
    assert flops_to_do(6e20, "model", "full") == 6e20
    with pytest.raises(NotSupported, match="selective"):
        flops_to_do(6e20, "hardware", "selective")


def test_hours_of_a_device_by_hand():
    """3.6e21 FLOP at 1e15 a second are 1,000 hours, 1,250 where a fifth of the time is lost."""
    assert device_hours(3.6e21, 1e15) == pytest.approx(1000)
    assert device_hours(3.6e21, 1e15, 0.8) == pytest.approx(1250)


def test_utilisation_is_what_the_hours_did_of_the_peak():
    """3.6e21 FLOP in 1,000 hours at a peak of 2.5e15 are 40 %."""
    assert model_flops_utilisation(3.6e21, 1000, 2.5e15) == pytest.approx(0.4)


def test_a_rate_of_hardware_flop_is_a_third_above_that_of_model_flop():
    """Full recomputation runs 4 passes for 3 (narayanan2021): GPT-3 at 44 % of hardware FLOP is 33 % of model FLOP."""
    assert mfu_of_hfu(0.44) == pytest.approx(0.33)
    assert flops_to_do(3e21, "model", "full") == 3e21
    assert flops_to_do(3e21, "hardware", "full") == pytest.approx(4e21)
    assert flops_to_do(3e21, "hardware", "none") == pytest.approx(3e21)


@pytest.mark.parametrize(
    ("mfu", "recompute", "likelier"), [(0.5, "full", True), (0.36, "full", False), (0.5, "none", False), (0.375, "full", False)]
)
def test_a_model_rate_that_needs_an_unheard_of_hardware_rate(mfu: float, recompute: str, likelier: bool):
    """Of published runs 90 % are below 50 %: 0.5 with full recomputation would be 0.67, 0.36 is 0.48, 0.375 is just 0.5."""
    assert likely_hardware_rate(mfu, recompute, 0.5) == likelier


def test_the_peak_is_that_of_the_first_precision_there_is():
    assert peak_of({"bf16": 2.0, "fp16": 1.0}, "x") == ("bf16", 2.0)
    assert peak_of({"fp32": 3.0, "fp16": 1.0}, "x") == ("fp16", 1.0)
    with pytest.raises(InputError, match="no bf16 or fp16 rate"):
        peak_of({"fp32": 3.0}, "x")


def test_between_two_sizes_in_proportion_to_the_logarithm():
    """Half way from 1e8 to 1e12 is 1e10; outside it is the nearer end."""
    assert [share_between((1e8, 1e12), size) for size in (1e6, 1e8, 1e9, 1e10, 1e12, 1e14)] == pytest.approx([0, 0, 0.25, 0.5, 1, 1])


@pytest.mark.parametrize("name", ["exact", "kaplan"])
def test_the_interval_of_another_count_is_that_of_6nd_times_their_ratio(name):
    """All three points: what is counted otherwise is no surer."""
    ratio = USUAL["over_six_n"][name]

    assert ratio != 1
    assert whole_run_mfu(USUAL, 3e9, name) == pytest.approx([ratio * point for point in whole_run_mfu(USUAL, 3e9)])
