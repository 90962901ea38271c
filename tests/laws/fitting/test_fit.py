"""The fit: the least objective, whatever the form, and what the runs cannot say."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from scaleplan.errors import InputError, UnknownName
from scaleplan.laws.fitting.fit import check_falling, check_runs, completed, determination, fit, n_values, on_one_line, robust_spread
from scaleplan.laws.fitting.newton import Minima
from scaleplan.laws.fitting.problem import DELTA, Problem
from scaleplan.laws.fitting.repeated import fit_repeated
from scaleplan.laws.fitting.shapes import SHAPES, shape
from scaleplan.laws.fitting.starts import profile_starts
from scaleplan.laws.forms import Additive
from scaleplan.laws.repetition import Repeated

CHINCHILLA = {"e_nats": 1.817218, "a": 477.826, "b": 2143.417, "alpha": 0.3473105, "beta": 0.3671724}
GADRE = {  # gadre2024, its three fits with more digits; five runs each: four at 20 tokens per parameter, one at 320
    "c4": {"e_nats": 1.50826, "a": 141.277, "b": 189.516, "eta": 0.121236},
    "redpajama": {"e_nats": 1.83665, "a": 212.236, "b": 366.687, "eta": 0.136425},
    "refinedweb": {"e_nats": 1.73446, "a": 157.116, "b": 246.207, "eta": 0.127197},
}
GADRE_RUNS = [(1.1e7, 20), (7.9e7, 20), (1.54e8, 20), (4.11e8, 20), (1.1e7, 320)]


def runs(n_rows=240, seed=1):
    """N and C log-uniform over the range of the published runs."""
    chance = np.random.default_rng(seed)
    n_params = np.exp(chance.uniform(*np.log([5.7e7, 1.6e10]), n_rows))
    n_tokens = np.exp(chance.uniform(*np.log([1.4e18, 1.3e22]), n_rows)) / 6 / n_params
    return {
        "n_params": n_params,
        "n_tokens": n_tokens,
        "compute_flops": 6 * n_params * n_tokens,
        "tokens_per_param": n_tokens / n_params,
        "n_steps": np.exp(chance.uniform(*np.log([1e3, 1e6]), n_rows)),
        "n_experts": 2.0 ** chance.integers(0, 8, n_rows),
        "granularity": 2.0 ** chance.integers(0, 6, n_rows),
        "active_fraction": 0.5 ** chance.integers(1, 7, n_rows),
    }


def additive_loss(columns, e_nats, a, b, alpha, beta):
    return e_nats + a / columns["n_params"] ** alpha + b / columns["n_tokens"] ** beta


def test_runs_of_a_known_law_give_it_back():
    """Without noise the constants come back to more digits than anyone prints, and every start finds them."""
    columns = runs()
    found = fit(shape("additive"), columns, additive_loss(columns, **CHINCHILLA))

    assert found.constants == pytest.approx(CHINCHILLA, rel=1e-6)
    assert found.n_starts_agreeing == found.n_starts


def test_constants_survive_a_printed_loss():
    """Losses printed to four decimals give exponents to a thousandth."""
    columns = runs()
    found = fit(shape("additive"), columns, np.round(additive_loss(columns, **CHINCHILLA), 4)).constants

    assert found["alpha"] == pytest.approx(CHINCHILLA["alpha"], abs=1e-3)
    assert found["beta"] == pytest.approx(CHINCHILLA["beta"], abs=1e-3)
    assert found["e_nats"] == pytest.approx(CHINCHILLA["e_nats"], abs=2e-3)


@pytest.mark.parametrize("corpus", GADRE)
def test_the_fits_of_gadre_come_back_from_five_runs(corpus):
    """Sizes and ratios of gadre2024 with losses of its law: four constants from five runs, within 1 %."""
    n_params, ratio = np.array(GADRE_RUNS).T
    columns = {"n_params": n_params, "n_tokens": n_params * ratio}
    compute, law = 6 * n_params**2 * ratio, GADRE[corpus]
    loss = law["e_nats"] + (law["a"] * ratio ** law["eta"] + law["b"] * ratio ** -law["eta"]) * compute ** -law["eta"]

    assert fit(shape("over-training"), columns, loss).constants == pytest.approx(law, rel=0.01)


@pytest.mark.parametrize(
    ("form", "law", "loss"),
    [
        (
            "kaplan",
            {"n_c": 6.4e13, "d_c": 1.8e13, "alpha_n": 0.076, "alpha_d": 0.103},
            lambda c, n_c, d_c, alpha_n, alpha_d: ((n_c / c["n_params"]) ** (alpha_n / alpha_d) + d_c / c["n_tokens"]) ** alpha_d,
        ),
        (
            "power-sum",
            {"n_c": 6.5e13, "s_c": 2.1e3, "alpha_n": 0.077, "alpha_s": 0.76},
            lambda c, n_c, s_c, alpha_n, alpha_s: (n_c / c["n_params"]) ** alpha_n + (s_c / c["n_steps"]) ** alpha_s,
        ),
        ("power-n_params", {"a": 11.4, "alpha": 0.076}, lambda c, a, alpha: a / c["n_params"] ** alpha),
        (
            "floor-compute_flops",
            {"e_nats": 1.7, "a": 1600.0, "alpha": 0.16},
            lambda c, e_nats, a, alpha: e_nats + a / c["compute_flops"] ** alpha,
        ),
        (
            "fine-grained-experts",
            {"c": 0.47, "g": 2.1, "a": 18.1, "b": 30.8, "gamma": 0.58, "alpha": 0.115, "beta": 0.147},
            lambda p, c, g, a, b, gamma, alpha, beta: (
                c + (g / p["granularity"] ** gamma + a) / p["n_params"] ** alpha + b / p["n_tokens"] ** beta
            ),
        ),
        (
            "routed-experts",
            {"scale": 10**1.104, "of_params": -0.082, "of_experts": -0.108, "of_both": 0.0039},
            lambda c, scale, of_params, of_experts, of_both: (
                scale
                * c["n_params"] ** of_params
                * c["n_experts"] ** of_experts
                * np.exp(of_both * np.log(c["n_params"]) * np.log(c["n_experts"]))
            ),
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_each_form_gives_its_constants_back(form, law, loss):
    """Runs that follow a published law of another form, without noise."""
    columns = runs()

    assert fit(shape(form), columns, loss(columns, *law.values())).constants == pytest.approx(law, rel=1e-3)


def test_the_objective_is_hubers_sum_on_log_loss():
    """r^2 / 2 within delta, delta (|r| - delta / 2) beyond, summed over the runs: checked by hand on three residuals."""
    columns = {"n_params": np.array([1e8, 1e9, 1e10])}
    problem = Problem(SHAPES["power-n_params"], columns, np.exp(np.array([0.0005, 0.0, -0.01])))

    objective = problem.slopes(np.zeros((1, 2)), np.ones((1, 3))).objective[0]

    assert objective == pytest.approx(0.0005**2 / 2 + DELTA * (0.01 - DELTA / 2))


@pytest.mark.parametrize("form", SHAPES)
def test_gradient_and_curvature_are_those_of_differences(form):
    """The slopes of every form against central differences, at a point that is not a minimum."""
    columns = runs(40)
    problem = Problem(SHAPES[form], columns, additive_loss(columns, **CHINCHILLA), delta=10.0)  # inside delta everywhere: smooth
    theta = profile_starts(problem)[0] + 1e-3
    once, step = np.ones((1, 40)), 1e-6
    shifts = step * np.eye(len(theta))
    ahead, behind = (problem.slopes(theta + sign * shifts, once) for sign in (1, -1))
    here = problem.slopes(theta[None], once)

    assert here.gradient[0] == pytest.approx(
        (ahead.objective - behind.objective) / (2 * step), rel=1e-4, abs=1e-7 * abs(here.gradient).max()
    )
    differences = (ahead.gradient - behind.gradient) / (2 * step)
    assert here.curvature[0] == pytest.approx(differences, rel=1e-4, abs=1e-6 * abs(differences).max())


def test_no_minimum_found_by_scipy_is_lower():
    """A hundred descents of another optimiser from random places around end nowhere below ours."""
    minimize = pytest.importorskip("scipy.optimize").minimize
    chance = np.random.default_rng(3)
    columns = runs(60)
    loss = additive_loss(columns, **CHINCHILLA) * np.exp(chance.laplace(0, 0.007, 60))
    found = fit(shape("additive"), columns, loss)
    once = np.ones((1, 60))

    def value(theta):
        slopes = found.problem.slopes(theta[None], once)
        return slopes.objective[0], slopes.gradient[0]

    reach = np.array([0.3, 2, 2, 0.1, 0.1])
    starts = found.theta + reach * chance.uniform(-1, 1, (100, 5))
    around = list(zip(found.theta - 2 * reach, found.theta + 2 * reach, strict=True))
    lowest = min(minimize(value, start, jac=True, method="L-BFGS-B", bounds=around).fun for start in starts)

    assert found.objective <= lowest * (1 + 1e-9)


def test_noise_gives_standard_errors_of_its_size():
    """The sandwich agrees with the spread over repeated tables within a quarter."""
    columns, chance = runs(), np.random.default_rng(5)
    clean = additive_loss(columns, **CHINCHILLA)
    fits = [fit(shape("additive"), columns, clean * np.exp(chance.normal(0, 0.01, 240))) for _ in range(60)]
    spread = np.std([one.constants["beta"] for one in fits])

    assert np.median([one.standard_errors["beta"] for one in fits]) == pytest.approx(spread, rel=0.25)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda c: c | {"n_params": np.full(240, 1e9)}, "`n_params` is 1e\\+09 in every run"),
        (lambda c: c | {"n_tokens": np.where(np.arange(240) % 2, 1e9, 1e10)}, "`n_tokens` takes only 2 values"),
        (lambda c: c | {"n_tokens": 20 * c["n_params"]}, "cannot be told apart"),
        (lambda c: {"n_params": c["n_params"]}, "needs a column `n_tokens`"),
    ],
)
def test_runs_that_cannot_say_are_refused(change, said):
    """A column that does not vary, that takes two values or follows from another: refused, with the runs to add."""
    columns = change({name: runs()[name] for name in ("n_params", "n_tokens")})
    with pytest.raises(InputError, match=said) as refused:
        fit(shape("additive"), columns, 2 + 1e3 / columns["n_params"] ** 0.3)

    assert refused.value.hint


def test_too_few_runs_are_refused():
    """Five constants need at least six runs."""
    columns = {name: values[:5] for name, values in runs().items()}
    with pytest.raises(InputError, match="5 runs cannot determine the 5 constants"):
        fit(shape("additive"), columns, additive_loss(columns, **CHINCHILLA))


def test_an_unknown_form_is_refused():
    """The known ones are named."""
    with pytest.raises(UnknownName):
        shape("chinchila")


def test_repeated_data_give_their_constants_back():
    """Runs of muennighoff2023's law, some on fresh data and some over many epochs, without noise: R_D* and R_N* within 2 %."""
    chance = np.random.default_rng(6)
    fresh = Additive(1.8691437, 520.82495, 1487.7161, 0.3526596, 0.3526596)
    n_params = np.exp(chance.uniform(*np.log([1e7, 9e9]), 160))
    unique = np.exp(chance.uniform(*np.log([1e8, 2e11]), 160))
    n_tokens = unique * np.where(np.arange(160) % 2, 1.0, np.exp(chance.uniform(0.7, 4, 160)))
    law = Repeated(fresh, 15.387756, 5.309743, unique)
    once = n_tokens <= unique
    loss = np.where(once, fresh.loss(n_params, n_tokens), law.loss(n_params, n_tokens))

    found = fit_repeated({"n_params": n_params, "n_tokens": n_tokens, "unique_tokens": unique}, loss)

    assert found.law.r_d_star == pytest.approx(15.387756, rel=0.02)
    assert found.law.r_n_star == pytest.approx(5.309743, rel=0.02)
    assert found.at_edge == ()


def test_too_few_repeating_runs_are_refused():
    """Two runs over several epochs cannot tell two constants; the hint asks for more."""
    columns = runs(60)
    columns["unique_tokens"] = columns["n_tokens"] / np.where(np.arange(60) < 2, 4.0, 1.0)
    with pytest.raises(InputError, match="only 2 runs repeat") as refused:
        fit_repeated(columns, additive_loss(columns, **CHINCHILLA))

    assert "epochs" in refused.value.hint


def test_units_and_order_of_the_runs_do_not_matter():
    """N in millions: the same exponents, A smaller by 1e6^alpha; rows in another order: the same law."""
    chance = np.random.default_rng(9)
    columns = runs(80)
    loss = additive_loss(columns, **CHINCHILLA) * np.exp(chance.normal(0, 0.01, 80))
    one = fit(shape("additive"), {name: columns[name] for name in ("n_params", "n_tokens")}, loss).constants
    in_millions = fit(shape("additive"), {"n_params": columns["n_params"] / 1e6, "n_tokens": columns["n_tokens"]}, loss).constants
    order = chance.permutation(80)
    shuffled = fit(shape("additive"), {name: columns[name][order] for name in ("n_params", "n_tokens")}, loss[order]).constants

    assert shuffled == pytest.approx(one, rel=1e-6)
    assert in_millions == pytest.approx(one | {"a": one["a"] / 1e6 ** one["alpha"]}, rel=1e-5)


def test_a_run_that_is_there_twice_counts_twice():
    """A table with every row doubled has the same minimum at twice the objective."""
    columns, chance = runs(60), np.random.default_rng(10)
    loss = additive_loss(columns, **CHINCHILLA) * np.exp(chance.normal(0, 0.01, 60))
    once = fit(shape("additive"), columns, loss)
    twice = fit(shape("additive"), {name: np.tile(values, 2) for name, values in columns.items()}, np.tile(loss, 2))

    assert twice.constants == pytest.approx(once.constants, rel=1e-6)
    assert twice.objective == pytest.approx(2 * once.objective)


def test_a_loss_that_grows_with_size_is_refused():
    """An exponent below zero is no law: the columns are wrong, or the runs cannot tell it."""
    columns = runs(60)
    with pytest.raises(InputError, match="does not fall") as refused:
        fit(shape("additive"), columns, 2 + columns["n_params"] / 1e11)

    assert refused.value.hint


def line(n_rows=11, half_width=3.0, delta=50.0, misses=None):
    """Runs of a power of N, which is a line in logarithms: log L = log A - alpha log N. Here log N is 20 +- half_width."""
    log_n = 20 + half_width * np.linspace(-1, 1, n_rows) ** 3
    misses = 0.01 * np.random.default_rng(n_rows).normal(size=n_rows) if misses is None else np.asarray(misses)
    theta = np.array([2.4, 0.08])
    problem = Problem(shape("power-n_params"), {"n_params": np.exp(log_n)}, np.exp(2.4 - 0.08 * log_n - misses), delta)
    return problem, theta, np.stack([np.ones(n_rows), -log_n], axis=1), misses


@pytest.mark.parametrize("n_rows", [3, 4, 11])
def test_inside_delta_the_covariance_is_whites(n_rows):
    """Least squares: (X'X)^-1 X' diag(r^2) X (X'X)^-1 n / (n - p), the HC1 of MacKinnon and White 1985."""
    problem, theta, x, misses = line(n_rows)
    _, covariance = determination(problem, theta)
    bread = np.linalg.inv(x.T @ x)

    assert covariance == pytest.approx(bread @ (x.T * misses**2) @ x @ bread * n_rows / (n_rows - 2), rel=1e-6)


def test_beyond_delta_slopes_are_held_and_curvature_is_smoothed():
    """A sandwich of Huber's slopes: the curvature of a run is the share of r - s to r + s that lies within delta, s half the robust spread.

    The robust spread is 1.4826 times the median of |r|, here 0.006. Runs of weight 0 have neither slope nor curvature.
    """
    misses = [0.001, -0.002, 0.004, 0.011, -0.006, 0.003, -0.023, 0.0075, -0.013]
    problem, theta, x, _ = line(9, delta=0.005, misses=misses)
    weights = np.array([1.0, 1.0, 0.0, 1.0, 1.0, 2.0, 1.0, 1.0, 3.0])
    s = 1.4826 * 0.006 / 2
    curvature, middle = np.zeros((2, 2)), np.zeros((2, 2))
    for row, miss, weight in zip(x, misses, weights, strict=True):
        within = max(0.0, min(miss + s, 0.005) - max(miss - s, -0.005)) / (2 * s)
        curvature += weight * within * np.outer(row, row)
        middle += (weight * min(abs(miss), 0.005)) ** 2 * np.outer(row, row)
    bread = np.linalg.inv(curvature)
    condition, covariance = determination(problem, theta, weights)
    lengths = np.sqrt((x**2).sum(axis=0))
    eigenvalues = np.linalg.eigvalsh((x * weights[:, None] / lengths).T @ (x / lengths))

    assert covariance == pytest.approx(bread @ middle @ bread * 9 / 7, rel=1e-6)
    assert condition == pytest.approx(eigenvalues[1] / eigenvalues[0])


@pytest.mark.parametrize(("n_rows", "middle"), [(5, 0.004), (4, 0.007)])
def test_the_robust_spread_is_that_of_a_gaussian(n_rows, middle):
    """1.4826 times the median absolute residual; of an even number, the upper of the two in the middle."""
    assert robust_spread(np.array([-0.002, 0.009, 0.0007, -0.007, 0.004])[-n_rows:]) == pytest.approx(1.4826 * middle)


@pytest.mark.parametrize(("condition", "told"), [(0.7e12, True), (1.4e12, False)])
def test_constants_count_as_told_up_to_a_condition_of_a_million_million(condition, told):
    """log N of 20 +- h: the two columns (1 and -log N, scaled) have a cosine of 1 - x / 2 with x the variance over 400; condition 4 / x."""
    spread = np.linspace(-1, 1, 11) ** 3
    problem, theta, _, _ = line(11, half_width=20 * np.sqrt(4 / condition / spread.var()))
    found, covariance = determination(problem, theta)

    assert found == pytest.approx(condition, rel=0.05)
    assert (covariance is not None) == told


def test_a_condition_that_is_infinite_is_a_large_number():
    """All sizes the same: nothing is told, and the condition is still a number."""
    problem, theta, _, _ = line(11, half_width=0.0)
    condition, covariance = determination(problem, theta)

    assert 1e12 < condition <= 1e300
    assert covariance is None


def test_where_every_run_is_beyond_delta_nothing_is_known():
    """Residuals of one size: none lies within half a spread of delta, so that the objective is flat to second order."""
    problem, theta, _, _ = line(8, delta=0.001, misses=0.01 * np.array([1, -1, -1, 1, 1, -1, -1, 1]))
    condition, covariance = determination(problem, theta)

    assert condition < 1e6
    assert covariance is None


def test_standard_errors_are_roots_of_the_variances():
    """Of each parameter by name; none without a covariance."""
    columns, chance = runs(60), np.random.default_rng(12)
    loss = additive_loss(columns, **CHINCHILLA) * np.exp(chance.normal(0, 0.01, 60))
    found = fit(shape("additive"), columns, loss)
    _, covariance = determination(found.problem, found.theta)

    assert found.covariance == pytest.approx(covariance)
    assert list(found.standard_errors) == ["log_e_nats", "log_a", "log_b", "alpha", "beta"]
    assert [error**2 for error in found.standard_errors.values()] == pytest.approx([covariance[i, i] for i in range(5)])
    assert found._replace(covariance=None).standard_errors is None
    assert found.residuals == pytest.approx(np.log(additive_loss(columns, **found.constants) / loss), abs=1e-12)
    assert 1 < found.condition < 1e12
    assert (found.n_starts, found.n_starts_agreeing) == (16, 16)


@pytest.mark.parametrize(
    ("objectives", "agreeing"),
    [
        ([3.0, 3.0 * (1 + 0.7e-8), 3.0 * (1 + 1.5e-8), 4.0, 6.1], 2),  # within 1e-8 of the least
        ([4.0, 6.1, 3.0], 1),
        ([0.0, 30 * 0.7e-14, 30 * 1.5e-14, 1.0], 2),  # data without noise: within 1e-14 a run
    ],
)
def test_starts_agree_that_end_at_one_objective(monkeypatch, objectives, agreeing):
    """Searches that end at these objectives, each at an exponent of its own: the least is the fit."""
    exponents = 0.07 + 0.01 * np.arange(len(objectives))
    ends = Minima(np.stack([np.full(len(objectives), 2.4), exponents], axis=1), np.array(objectives), np.ones(len(objectives), bool))
    monkeypatch.setattr(sys.modules[fit.__module__], "minimise", lambda problem, starts, weights: ends)
    found = fit(shape("power-n_params"), runs(30), 11 / runs(30)["n_params"] ** 0.08)

    assert found.n_starts_agreeing == agreeing
    assert found.objective == min(objectives)
    assert found.constants["alpha"] == exponents[int(np.argmin(objectives))]


def test_many_runs_are_fitted_to_the_last():
    """2,500 runs, a search on 2,000 of them first: the minimum is that of scipy on all."""
    least_squares = pytest.importorskip("scipy.optimize").least_squares
    chance = np.random.default_rng(14)
    log_n = chance.uniform(17, 23, 2500)
    log_loss = 2.4 - 0.08 * log_n + 0.01 * chance.standard_t(3, 2500)
    found = fit(shape("power-n_params"), {"n_params": np.exp(log_n)}, np.exp(log_loss), delta=0.005)
    scipys = least_squares(lambda at: at[0] - at[1] * (log_n - 20) - log_loss, [0.8, 0.08], loss="huber", f_scale=0.005, gtol=1e-12)

    assert found.constants["alpha"] == pytest.approx(scipys.x[1], rel=1e-5)
    assert found.objective == pytest.approx(scipys.cost, rel=1e-8)


@pytest.mark.parametrize(
    "given",
    [("n_params", "n_tokens"), ("n_params", "compute_flops"), ("n_tokens", "compute_flops"), ("n_params", "n_tokens", "compute_flops")],
)
def test_columns_that_follow_are_filled_in(given):
    """C = 6 N D and M = D / N, whichever two are given: 7e8 parameters on 1.3e10 tokens."""
    whole = {"n_params": 7e8, "n_tokens": 1.3e10, "compute_flops": 6 * 7e8 * 1.3e10, "tokens_per_param": 130 / 7}
    found = completed({name: np.array([whole[name]]) for name in given})

    assert {name: values[0] for name, values in found.items()} == pytest.approx(whole)


def test_columns_that_are_given_are_kept():
    """A measured compute is not 6 N D; one column alone has nothing that follows."""
    given = {"n_params": np.array([7e8]), "n_tokens": np.array([1.3e10]), "compute_flops": np.array([6e19])}

    assert completed(given)["compute_flops"][0] == 6e19
    assert completed({"n_tokens": given["n_tokens"]}) == {"n_tokens": given["n_tokens"]}


@pytest.mark.parametrize(
    ("values", "n"),
    [
        ([7e8], 1),
        ([3e9, 7e8, 3e9, 7e8], 2),
        ([7e8, 7e8 * (1 + 0.6e-6), 3e9], 2),  # a millionth is rounding
        ([7e8, 7e8 * (1 + 1.5e-6), 3e9], 3),
        ([2e-7, 3e-7, 5e-7], 3),  # whatever the unit
        ([2e-7, 2e-7 * (1 + 0.6e-6)], 1),
    ],
)
def test_values_within_a_millionth_are_one(values, n):
    assert n_values(np.array(values)) == n


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(("scatter", "whether"), [(0.012, True), (0.017, False)])
def test_columns_are_one_where_their_logarithms_lie_on_a_line(sign, scatter, whether):
    """A correlation of +-0.9999 is a scatter of sqrt(1 / 0.9999^2 - 1) = 0.0141 of the spread: y = 2.5 x, scatter across it."""
    along = np.tile([-1.0, 1.0], 2)
    across = np.repeat([-1.0, 1.0], 2)  # not correlated with it
    x, y = np.exp(20 + along), np.exp(23 + sign * 2.5 * (along + scatter * across))

    assert on_one_line(x, y) == whether


@pytest.mark.parametrize(
    ("form", "name", "n", "refused"),
    [
        ("additive", "n_tokens", 3, False),
        ("additive", "n_tokens", 2, True),
        ("additive-tied", "n_tokens", 2, False),  # the exponent is told by N as well
        ("additive-tied", "n_tokens", 1, True),
        ("kaplan", "n_tokens", 2, False),
        ("kaplan", "n_params", 2, True),
        ("kaplan", "n_params", 3, False),
    ],
)
def test_a_column_has_as_many_values_as_its_exponent_needs(form, name, n, refused):
    """Three to tell an exponent of its own from a floor, else two."""
    columns = runs(40) | {name: np.resize(np.array([1.1e9, 2.3e10, 3.7e11])[:n], 40)}
    loss = additive_loss(columns, **CHINCHILLA)
    if not refused:
        check_runs(shape(form), columns, loss)
        return
    with pytest.raises(InputError, match="in every run" if n == 1 else f"takes only {n} values"):
        check_runs(shape(form), columns, loss)


def test_one_run_more_than_constants_is_enough():
    """Six for the additive law; a loss that is the same in every run is not."""
    columns = {name: values[:6] for name, values in runs().items()}
    check_runs(shape("additive"), columns, additive_loss(columns, **CHINCHILLA))
    with pytest.raises(InputError, match="in every run: there is nothing to fit"):
        check_runs(shape("additive"), columns, np.full(6, 2.3))


@pytest.mark.parametrize(
    ("form", "theta", "named"),
    [
        ("additive", [0.6, 6.0, 7.0, 0.3, 1e-9], None),
        ("additive", [-0.6, -6.0, 7.0, 0.3, 0.0], "beta"),
        ("additive", [0.6, 6.0, 7.0, -0.01, 0.3], "alpha"),
        ("kaplan", [23.0, 30.0, 0.7, -0.1], "alpha_d"),
        ("routed-experts", [2.0, -0.08, -0.1, 0.004], None),  # these fall where they are negative
    ],
)
def test_a_law_falls_with_size_and_data(form, theta, named):
    """An exponent of nothing or less is refused by name."""
    if named is None:
        check_falling(shape(form), np.array(theta))
        return
    with pytest.raises(InputError, match=f"do not tell {named}:"):
        check_falling(shape(form), np.array(theta))
