"""Formulas are arithmetic: exact where ints allow, the same on arrays, and nothing else."""

import ast
import math

import numpy as np
import pytest

from scaleplan.arithmetic import evaluate, names_in
from scaleplan.chain.run_cost import FORMULAS

SAMPLES = {
    "a + b * c ** 2 / (a - b)": lambda a, b, c: a + b * c**2 / (a - b),
    "-a ** b": lambda a, b, c: -(a**b),
    "max(a, b, c) - min(a, b, c)": lambda a, b, c: max(a, b, c) - min(a, b, c),
    "log(a) + exp(-b) * sqrt(c)": lambda a, b, c: math.log(a) + math.exp(-b) * math.sqrt(c),
    "ceil(a / b) + floor(c / b)": lambda a, b, c: math.ceil(a / b) + math.floor(c / b),
    "ceil(1.5 * a) - floor(c * 0.3)": lambda a, b, c: math.ceil(1.5 * a) - math.floor(c * 0.3),
    "sum(a, b) * sum(c)": lambda a, b, c: (a + b) * c,
}


@pytest.mark.parametrize("formula", SAMPLES)
@pytest.mark.parametrize("values", [(7, 2, 5), (7.25, 2.5, 5.75), (3, 2, 10**6)])
def test_a_formula_means_what_python_means_by_it(formula, values):
    """Precedence, functions and signs are those of Python's own expressions."""
    assert evaluate(formula, dict(zip("abc", values, strict=True))) == pytest.approx(SAMPLES[formula](*values), rel=1e-14)


@pytest.mark.parametrize("formula", SAMPLES)
def test_arrays_broadcast(formula):
    """A formula of arrays is the formula of each element, in whole numbers too."""
    grid = {"a": np.array([7, 9, 11]), "b": np.array([2, 3, 4]), "c": 5}
    each = [SAMPLES[formula](a, b, 5) for a, b in zip([7, 9, 11], [2, 3, 4], strict=True)]
    np.testing.assert_allclose(evaluate(formula, grid), each, rtol=1e-14)


def test_ints_stay_exact_at_any_size():
    """No float stands between whole numbers: products, whole quotients, rounded quotients, sums."""
    n, d = 10**18 + 7, 3 * 10**13 + 1
    assert evaluate("6 * n * d", {"n": n, "d": d}) == 6 * n * d
    assert evaluate("x / d", {"x": n * d, "d": d}) == n
    assert evaluate("ceil(n / 3)", {"n": n}) == -(-n // 3)
    assert evaluate("floor((n * d + 1) / d)", {"n": n, "d": d}) == n
    assert evaluate("sum(x) + 1", {"x": [n, d]}) == n + d + 1
    assert isinstance(evaluate("a / b", {"a": 6, "b": 3}), int)


def test_whole_arrays_do_not_overflow():
    """6 N D of an int64 array beyond 9.2e18 keeps its sign and size."""
    flops = evaluate("6 * n * d", {"n": np.array([405_853_388_800]), "d": 15_600_000_000_000})
    assert flops[0] == pytest.approx(6 * 405_853_388_800 * 15_600_000_000_000)


def test_a_sum_of_lists():
    """A list stands for its items; floats are rounded once."""
    assert evaluate("sum(x)", {"x": [0.1] * 10}) == 1.0
    assert evaluate("max(x)", {"x": [1, 5, 3]}) == 5
    np.testing.assert_array_equal(evaluate("sum(x)", {"x": [np.array([1, 2]), np.array([3, 4])]}), [4, 6])


@pytest.mark.parametrize(
    "formula",
    [
        "__import__('os')", "a.b", "a[0]", "lambda: 1", "a if b else c", "open(a)", "f(x)", "a <= b", "'a'", "True", "a //", "log()",
        "[a]", "a; b", "min(*a)", "log(x=a)", "a % b", "",
    ],
)  # fmt: skip
def test_anything_but_arithmetic_is_refused(formula):
    """No attribute, index, comparison, keyword, other function or other text."""
    with pytest.raises(ValueError, match="not arithmetic"):
        evaluate(formula, {"a": 1, "b": 2, "c": 3, "x": 4})


def test_a_name_without_a_value_is_named():
    """A missing input is a KeyError with its name."""
    with pytest.raises(KeyError, match="tokens"):
        evaluate("6 * n * tokens", {"n": 1})


def test_names_come_once_in_order():
    """Functions are no names."""
    assert names_in("6 * n_params * tokens + max(d, n_params) / sum(parts)") == ("n_params", "tokens", "d", "parts")
    assert names_in("1e-3*a + 2.e5 * b2_wh / 1E6 - max (a, e)") == ("a", "b2_wh", "e")


@pytest.mark.parametrize("formula", FORMULAS.values())
def test_names_are_those_of_the_parsed_formula(formula):
    """Each name of the syntax tree that is not called."""
    tree = ast.parse(formula)
    called = {node.func for node in ast.walk(tree) if isinstance(node, ast.Call)}
    assert set(names_in(formula)) == {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and node not in called}


def test_an_enormous_power_is_no_enormous_int():
    """Whole powers beyond thousands of bits are floats, which overflow at once."""
    with pytest.raises(OverflowError):
        evaluate("9 ** 9 ** 9", {})
