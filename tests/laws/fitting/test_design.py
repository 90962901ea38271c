"""Which runs to add: every quantity by matrix inversion, one candidate after another."""

from __future__ import annotations

import numpy as np
import pytest

from scaleplan.errors import InputError, NotSupported
from scaleplan.laws.fitting import design
from scaleplan.laws.fitting.design import candidate_slopes, next_runs, noise_variance, optimum_slope
from scaleplan.laws.fitting.design import ladder as ladder_of
from scaleplan.laws.fitting.fit import fit
from scaleplan.laws.fitting.shapes import shape

TARGET, BUDGET = 3.1e24, 7.3e21
CHANCE = np.random.default_rng(4)
N, D = np.exp(CHANCE.uniform(18, 23, 60)), np.exp(CHANCE.uniform(21, 26, 60))


@pytest.fixture(scope="module")
def fitted():
    """Sixty runs of an additive law with noise."""
    loss = (1.82 + 478 / N**0.347 + 2143 / D**0.367) * np.exp(np.random.default_rng(5).normal(0, 0.01, 60))
    return fit(shape("additive"), {"n_params": N, "n_tokens": D}, loss)


def optimum(theta, flops):
    """hoffmann2022 equation 4: log N = (log(alpha A / (beta B)) + beta log(C / 6)) / (alpha + beta)."""
    _, log_a, log_b, alpha, beta = theta
    return (np.log(alpha / beta) + log_a - log_b + beta * np.log(flops / 6)) / (alpha + beta)


def slopes_of(theta, n, d):
    """d log L / d (log E, log A, log B, alpha, beta) of one run."""
    e, a, b = np.exp(theta[0]), np.exp(theta[1]) / n ** theta[3], np.exp(theta[2]) / d ** theta[4]
    return np.array([e, a, b, -a * np.log(n), -b * np.log(d)]) / (e + a + b)


def test_the_slope_of_the_optimum_is_its_derivative(fitted):
    """d log N / d log A = 1 / (alpha + beta), d log B its negative; d alpha = (1 / alpha - log N) / (alpha + beta);
    d beta = (log(C / 6) - 1 / beta - log N) / (alpha + beta); E does not matter."""
    _, _, _, alpha, beta = fitted.theta
    log_n, both = optimum(fitted.theta, TARGET), alpha + beta

    assert optimum_slope(fitted, TARGET) == pytest.approx(
        [0, 1 / both, -1 / both, (1 / alpha - log_n) / both, (np.log(TARGET / 6) - 1 / beta - log_n) / both], rel=1e-6, abs=1e-6
    )


def test_slopes_of_runs_that_were_not_made(fitted):
    """E / L, A N^-alpha / L, ... at D = C / (6 N)."""
    n = np.array([3e8, 7e9])
    expected = np.stack([slopes_of(fitted.theta, size, 5e21 / 6 / size) for size in n], axis=1)

    assert candidate_slopes(fitted, n, 5e21) == pytest.approx(expected)


def test_slopes_of_a_form_of_compute_and_ratio():
    """Its columns follow from the size: the same loss by C and M = C / (6 N^2), its slopes by differences."""
    theta = np.array([0.4, 4.9, 5.2, 0.12])
    n, c = np.array([3e8, 7e9]), 5e21
    m = c / 6 / n**2
    form = shape("over-training")
    columns = {"compute_flops": np.full(2, c), "tokens_per_param": m}
    fitted = fit(form, {"n_params": N, "n_tokens": D}, 1.5 + 150 / N**0.24 + 200 / D**0.24)._replace(theta=theta)

    def log_loss(at):
        e, a, b, eta = at
        return np.log(np.exp(e) + (np.exp(a) * m**eta + np.exp(b) * m**-eta) * c**-eta)

    moves = 1e-5 * np.eye(4)
    assert candidate_slopes(fitted, n, c) == pytest.approx(
        np.array([(log_loss(theta + move) - log_loss(theta - move)) / 2e-5 for move in moves]), rel=1e-6
    )
    assert form.log_loss(theta, columns) == pytest.approx(log_loss(theta))


def test_the_noise_of_a_run_is_what_the_covariance_implies(fitted):
    """V = s^2 (sum of J J^T)^-1 gives s^2 back; where V is larger in some directions, the mean over them."""
    jacobian = np.stack([slopes_of(fitted.theta, *run) for run in zip(N, D, strict=True)], axis=1)
    whole = np.linalg.inv(jacobian @ jacobian.T)

    assert noise_variance(fitted._replace(covariance=0.0137**2 * whole)) == pytest.approx(0.0137**2, rel=1e-6)
    root = np.linalg.cholesky(whole)
    mixed = root @ np.diag([1.0, 2.0, 3.0, 5.0, 19.0]) @ root.T
    assert noise_variance(fitted._replace(covariance=mixed)) == pytest.approx(6.0, rel=1e-6)


def greedy(fitted, count, budget, target):
    """One run at a time: of 80 sizes from 300 down to 1 token per parameter, each a quarter apart from those taken, the one after which
    the inverse of V^-1 + the sum of J J^T / s^2 leaves log N the least variance."""
    flops, slope, noise = budget / count, optimum_slope(fitted, target), noise_variance(fitted)
    sizes = np.geomspace(np.sqrt(flops / 6 / 300), np.sqrt(flops / 6), 80)
    known, taken, variance = np.linalg.inv(fitted.covariance), [], np.inf
    for _ in range(count):
        options = []
        for size in sizes:
            if all(max(size / other, other / size) > 1.25 for other in taken):
                run = slopes_of(fitted.theta, size, flops / 6 / size)
                options.append((slope @ np.linalg.inv(known + np.outer(run, run) / noise) @ slope, size, run))
        variance, size, run = min(options, key=lambda option: option[0])
        known = known + np.outer(run, run) / noise
        taken.append(size)
    return sorted(taken), np.sqrt(variance)


@pytest.mark.parametrize(
    ("count", "budget", "target"),
    [(2, BUDGET, TARGET), (5, BUDGET, TARGET), (12, 1e24, TARGET), (2, 1e16, 1e20), (2, 1e18, 1e20), (5, 1e18, 1e20)],
)
def test_a_ladder_takes_one_run_after_another_where_it_tells_most(fitted, count, budget, target):
    """Against inverses of the whole information: sizes, tokens, compute, and the standard error before and after."""
    slope = optimum_slope(fitted, target)
    found = ladder_of(fitted, slope, noise_variance(fitted), budget, count, target)
    sizes, after = greedy(fitted, count, budget, target)

    assert found.n_params == pytest.approx(sizes)
    assert found.n_tokens == pytest.approx([budget / count / 6 / size for size in sizes])
    assert found.sd_before == pytest.approx(np.sqrt(slope @ fitted.covariance @ slope))
    assert found.sd_after == pytest.approx(after, rel=1e-5)
    assert (found.flops_per_run, found.target_flops) == (budget / count, target)


def test_the_number_of_runs_is_the_one_that_leaves_the_least(fitted):
    """Of 2, 3, 4, 6, 8 and 12 runs that cost the budget together, whatever the budget."""
    for budget in (1e19, 1e21, 7.3e21, 1e24):
        slope, noise = optimum_slope(fitted, TARGET), noise_variance(fitted)
        each = {count: ladder_of(fitted, slope, noise, budget, count, TARGET) for count in (2, 3, 4, 6, 8, 12)}
        best = min(each, key=lambda count: each[count].sd_after)
        assert next_runs(fitted, budget, TARGET) == each[best]


@pytest.mark.parametrize("count", [2, 3, 4, 6, 8, 12])
def test_each_number_of_runs_is_tried(fitted, monkeypatch, count):
    """Where one number leaves the least, it is the one that is proposed."""
    real = design.ladder

    def favoured(fitted, slope, noise, budget, n, target):
        return real(fitted, slope, noise, budget, n, target)._replace(sd_after=0.0 if n == count else 1.0)

    monkeypatch.setattr(design, "ladder", favoured)
    assert len(next_runs(fitted, BUDGET, TARGET).n_params) == count


@pytest.mark.parametrize(("sd", "refused"), [(4.9, None), (5.1, "hardly tell"), (0.0, "without noise")])
def test_runs_are_proposed_where_the_curvature_says_something(fitted, sd, refused):
    """A standard error of log N below 5 and above nothing; the whole covariance scaled."""
    slope = optimum_slope(fitted, TARGET)
    now = fitted._replace(covariance=fitted.covariance * sd**2 / (slope @ fitted.covariance @ slope))
    if refused is None:
        assert next_runs(now, BUDGET, TARGET).sd_before == pytest.approx(sd)
        return
    with pytest.raises(InputError, match=refused):
        next_runs(now, BUDGET, TARGET)


def test_without_a_covariance_or_an_optimum_nothing_is_proposed(fitted):
    """Constants that are not told apart; a law of D alone."""
    with pytest.raises(InputError, match="do not tell the constants apart"):
        next_runs(fitted._replace(covariance=None), BUDGET, TARGET)
    with pytest.raises(NotSupported, match="floor-n_tokens"):
        next_runs(fit(shape("floor-n_tokens"), {"n_tokens": D}, 1.9 + 2143 / D**0.367), BUDGET, TARGET)
