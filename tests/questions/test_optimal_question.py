"""`optimal` asked directly: every number has its line, arrays are solved like numbers, what has no use is refused."""

from __future__ import annotations

import numpy as np
import pytest

import scaleplan as sp
from scaleplan.answer import Interval, checked
from scaleplan.chain.catalogue import load_law
from scaleplan.questions.optimal import OfDense, OfMixture
from scaleplan.questions.optimal import mixture as of_mixture
from scaleplan.questions.optimal.dense import solve

QUESTIONS = [
    {"compute": 1e21},
    {"compute": 1e21, "n_kind": "total"},
    {"compute": 1e21, "n_kind": "both"},
    {"n_params": 7e9, "tokens": 2e12},
    {"n_params": 7e9, "tokens": 2e12, "loss_change": "-5%"},
    {"compute": 1e22, "unique_tokens": 25e9},
    {"loss": 2.1, "inference_tokens": 2e12},
    {"compute": 1e23, "where": ["n_params<=13B"]},
    {"compute": 1e21, "exact_flops": True, "like": "gpt", "seq_len": 8192},
    {"compute": 1e21, "precision": "fp8", "law": "besiroglu2024"},
    {"compute": 1e21, "law": "all"},
    {"compute": 1e21, "n_experts": 8, "n_experts_per_token": 1},
    {"loss": 2.3, "n_experts": 8, "n_experts_per_token": 2},
]


@pytest.mark.parametrize("given", QUESTIONS, ids="-".join)
def test_lines_are_the_numbers_of_the_result(given):
    """Each line stands at its path in the result, and its formula gives its value."""
    answer = sp.optimal(**given)

    for line in checked(answer.lines):
        if not line.key.startswith("loss_changes"):
            assert answer[line.key] == line.value, line.key
    assert len({line.key for line in answer.lines}) == len(answer.lines)


@pytest.mark.parametrize("given", [{"compute": 1e21}, {"n_params": 7e9, "tokens": 2e12}], ids=["budget", "run"])
def test_every_number_of_the_tables_has_a_line(given):
    """What a row of the tables shows, a line of that law and quantity explains; the intervals are those of the lines."""
    answer = sp.optimal(**given, law=["kaplan2020", "besiroglu2024"])

    def explained(row, column):
        """Values and intervals of the lines of a law and quantity; of a row with a key of its own, the line of that key."""
        lines = [line for line in answer.lines if line.key == row.get("key")] or [
            line for line in answer.lines if line.key.endswith(f".{column.key}") and f".{row.get('law', 'kaplan2020')}." in line.key
        ]
        return [line.value for line in lines] + [line.interval for line in lines]

    for table in answer.tables:
        for row in table.rows:
            for column in table.columns:
                value = row.get(column.key)
                if isinstance(value, int | float | Interval):
                    assert value in explained(row, column), (table.title, column.key)


ARRAYS = [
    {"compute": (1e20, 1e21, 7e22)},
    {"compute": (1e20, 1e21, 7e22), "n_kind": "total", "law": ("kaplan2020", "besiroglu2024")},
    {"loss": (2.2, 2.5, 3.0), "law": ("besiroglu2024", "kaplan2020")},
    {"n_params": (1e9, 2e9, 3e9), "tokens": (2e10, 2e10, 4e10), "loss_change": -0.05},
    {"compute": (1e20, 1e21, 7e22), "unique_tokens": (5e9, 5e9, 5e9)},
    {"loss": (2.2, 2.5, 3.0), "inference_tokens": (1e12, 1e12, 1e12)},
    {"compute": (1e20, 1e21, 7e22), "exact_flops": True},
    {"n_params": (1e9, 2e9, 3e9), "tokens_per_param": (20.0, 30.0, 40.0)},
]


@pytest.mark.parametrize("given", ARRAYS, ids="-".join)
def test_arrays_are_solved_like_numbers(given):
    """N, D, the loss, what is wasted and the intervals of three questions at once are those of each."""
    numbers = {key: value for key, value in given.items() if isinstance(value, tuple) and not isinstance(value[0], str)}
    words = {key: value for key, value in given.items() if key not in numbers}
    at_once = solve(OfDense(**{key: np.array(value) for key, value in numbers.items()}, **words))

    for place in range(3):
        alone = solve(OfDense(**{key: value[place] for key, value in numbers.items()}, **words))
        for many, one in zip(at_once.advices, alone.advices, strict=True):
            assert at(many.run.n_params, place) == pytest.approx(one.run.n_params, rel=1e-9)
            assert at(many.run.n_tokens, place) == pytest.approx(one.run.n_tokens, rel=1e-9)
            assert one.run.loss_nats is None or at(many.run.loss_nats, place) == pytest.approx(one.run.loss_nats, rel=1e-9)
            assert at(many.excess.wasted_fraction, place) == pytest.approx(one.excess.wasted_fraction, abs=1e-9)
            for name, points in (one.intervals or {}).items():
                assert at(many.intervals[name].p90, place) == pytest.approx(points.p90, rel=1e-9)


def at(values, place):
    """One of three; a number stands for all."""
    return values[place] if np.ndim(values) else values


def test_budgets_of_mixtures_may_be_arrays():
    """As of dense models."""
    budgets = (1e20, 1e21, 1e22)
    (many, *_) = of_mixture.solve(OfMixture(8, 2, compute=np.array(budgets))).advices
    for place, budget in enumerate(budgets):
        (one, *_) = of_mixture.solve(OfMixture(8, 2, compute=budget)).advices
        assert many.run.n_params[place] == pytest.approx(one.run.n_params)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"n_params": 70e9, "tokens": 1.4e12, "where": ["n_params<=1B"]}, "where"),
        ({"n_params": 70e9, "tokens": 1.4e12, "tokens_per_param": 400}, "tokens_per_param"),
        ({"compute": 1e21, "like": "gpt"}, "exact_flops"),
        ({"compute": 1e21, "exact_flops": True, "loss_change": "-5%"}, "loss_change"),
        ({"loss": 2.2, "exact_flops": True}, "exact_flops"),
        ({"compute": 1e21, "n_experts": 8}, "n_experts_per_token"),
        ({"compute": 1e21, "n_experts": 8, "n_experts_per_token": 1, "n_kind": "total"}, "n_kind"),
        ({"loss": 2.2, "unique_tokens": 5e8}, "unique_tokens"),
    ],
)
def test_what_has_no_use_is_refused_by_name(given, names):
    """A bound where nothing is open, shapes without exact FLOP, half of a mixture, a loss out of reach of few tokens."""
    with pytest.raises(sp.ScaleplanError) as refused:
        sp.optimal(**given)
    assert names in str(refused.value)


def test_the_answer_to_exact_flops_holds_the_shape():
    """The recommended size as a shape that the other questions read: within 5 % of N, learned positions for a whole sequence."""
    answer = sp.optimal(compute=1e21, exact_flops=True, like="gpt", seq_len=8192)
    shape = answer.inputs["model_shape"]["architecture"]

    assert shape["n_positions"] == 8192
    counted = sp.params(**{key: value for key, value in shape.items() if value is not None}).result["n_params"]
    assert counted == pytest.approx(answer["laws.besiroglu2024.n_params"], rel=0.05)


def test_a_loss_of_another_unit_is_not_called_nats_per_token():
    """minicpm2024 measures nats per byte: `loss` and `loss_unit` say so, `loss_nats` is null everywhere."""
    (row,) = sp.optimal(compute=1e21, law="minicpm2024").result["laws"]
    law = load_law("minicpm2024").additive

    assert row["loss_nats"] is None
    assert row["per_decade"]["loss_nats"] is None
    assert row["loss"] == pytest.approx(law.loss(row["n_params"], row["n_tokens"]))
    assert row["loss_unit"].startswith("nats per byte")


@pytest.mark.parametrize("law", ["besiroglu2024", "kaplan2020", "minicpm2024"])
def test_the_penalty_of_a_size_is_explained(law):
    """Off the optimum the answer tells the cheapest run of the same loss; each number has a line, and the cheapest run costs less."""
    answer = sp.optimal(n_params=7e9, tokens=1e11, law=law)
    (row,) = answer.result["laws"]
    lines = {line.key: line.value for line in checked(answer.lines)}
    best = sp.optimal(n_params=round(row["penalty"]["best_n_params"]), tokens=row["penalty"]["best_n_tokens"], law=law).result["laws"][0]

    assert {name: lines[f"laws.{law}.penalty.{name}"] for name, value in row["penalty"].items() if value is not None} == {
        name: value for name, value in row["penalty"].items() if value is not None
    }
    assert best["loss"] == pytest.approx(row["loss"], rel=1e-6)
    assert row["compute_flops"] / best["compute_flops"] == pytest.approx(row["penalty"]["compute_factor"], rel=1e-6)
    assert row["penalty"]["compute_factor"] > 1
