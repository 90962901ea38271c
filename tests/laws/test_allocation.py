"""A budget -> N and D: every law from every side, and what cannot be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scaleplan import library
from scaleplan.chain.catalogue import load_law
from scaleplan.errors import InputError, NotSupported, UsageError
from scaleplan.laws.allocation import (
    Question,
    Run,
    allocate,
    allocate_draws,
    check_guessing,
    check_question,
    check_run,
    check_serving,
    dataset_loss,
    loss_kind,
)
from scaleplan.laws.constraints import Bounds
from scaleplan.laws.forms import Additive
from scaleplan.laws.law import Law, stacked
from scaleplan.wording import field, fields

LAWS = [law for law in map(load_law, library.names("laws")) if law.frontier is not None]
BESIROGLU = load_law("besiroglu2024")
KAPLAN = load_law("kaplan2020")
budgets = st.floats(17, 27).map(lambda exponent: 10**exponent)
each_law = pytest.mark.parametrize("law", LAWS, ids=lambda law: law.name)


@each_law
@settings(max_examples=10, deadline=None)
@given(flops=budgets)
def test_every_side_leads_to_the_same_run(law: Law, flops: float):
    """The N and the D of an optimum, each asked alone, have its compute; so has its loss, where the law tells one."""
    run = allocate(law, Question(compute_flops=flops))

    assert run.compute_flops == pytest.approx(flops, rel=1e-9)
    assert allocate(law, Question(n_params=run.n_params)).compute_flops == pytest.approx(flops, rel=1e-6)
    assert allocate(law, Question(n_tokens=run.n_tokens)).compute_flops == pytest.approx(flops, rel=1e-6)
    if run.loss_nats is not None:
        assert allocate(law, Question(loss_nats=run.loss_nats)).compute_flops == pytest.approx(flops, rel=1e-4)


@each_law
@settings(max_examples=10, deadline=None)
@given(flops=budgets, factor=st.floats(1.01, 1000))
def test_more_compute_means_more_of_both(law: Law, flops: float, factor: float):
    """Under every law N and D grow with the budget, and the loss falls."""
    small, large = (allocate(law, Question(compute_flops=c)) for c in (flops, factor * flops))

    assert large.n_params > small.n_params
    assert large.n_tokens > small.n_tokens
    if small.loss_nats is not None:
        assert large.loss_nats < small.loss_nats


@each_law
def test_an_array_of_budgets_is_answered_as_each_alone(law: Law):
    """One question with a thousand budgets is a thousand answers."""
    flops = np.geomspace(1e18, 1e26, 9)
    together = allocate(law, Question(compute_flops=flops))

    assert together.n_params.tolist() == pytest.approx(
        [allocate(law, Question(compute_flops=c)).n_params for c in flops.tolist()], rel=1e-12
    )


@given(budgets, st.floats(0.01, 100))
def test_two_of_three_fix_the_third(flops: float, ratio: float):
    """Compute and either of N and D give the other, by C = 6 N D, off the optimum too."""
    n = allocate(BESIROGLU, Question(compute_flops=flops)).n_params * ratio
    d = allocate(BESIROGLU, Question(compute_flops=flops, n_params=n)).n_tokens

    assert 6 * n * d == pytest.approx(flops)
    assert allocate(BESIROGLU, Question(compute_flops=flops, n_tokens=d)).n_params == pytest.approx(n)
    assert allocate(BESIROGLU, Question(n_params=n, n_tokens=d)).loss_nats == pytest.approx(BESIROGLU.additive.loss(n, d))


def test_kaplan_spends_twice_the_least_compute():
    """At the critical batch half of the compute is wasted: 4.68e9 parameters at 1e21 FLOP; taken as least compute it would be 7.77e9."""
    spent = allocate(KAPLAN, Question(compute_flops=1e21)).n_params

    assert spent == pytest.approx(4.68e9, rel=1e-3)
    assert allocate(KAPLAN, Question(compute_flops=2e21)).n_params == pytest.approx(7.77e9, rel=1e-3)


def test_kaplan_tells_one_pass_from_a_data_set():
    """1e9 parameters on 2.29e10 tokens: equation 5.6 at the critical batch for one pass; equation 1.5, 2.368, for a data set."""
    run = allocate(KAPLAN, Question(n_params=1e9, n_tokens=2.29e10))
    fewest = 2.29e10 / (2 * 2.1e8 / run.loss_nats ** (1 / 0.21))

    assert run.loss_nats == pytest.approx((6.5e13 / 1e9) ** 0.077 + (2.1e3 / fewest) ** 0.76)
    assert dataset_loss(KAPLAN, 1e9, 2.29e10) == pytest.approx(2.368, abs=5e-4)
    assert loss_kind(KAPLAN, Question(n_params=1e9, n_tokens=2.29e10)) == "one-pass"
    assert loss_kind(KAPLAN, Question(compute_flops=1e21)) == "frontier"


@pytest.mark.parametrize(
    ("question", "reason"),
    [
        (Question(compute_flops=1.0), "fewer than one"),
        (Question(n_tokens=1e40), "more than 1e"),
        (Question(loss_nats=12.0), "worse than guessing"),
        (Question(compute_flops=1e21, n_params=1e9, inference_tokens=1e12), "serving alone"),
    ],
)
def test_what_no_run_can_be_is_refused_with_the_figure(question: Question, reason: str):
    """Less than one parameter, more tokens than could ever be, a loss worse than guessing, a budget that serving eats."""
    law = KAPLAN if question.loss_nats else BESIROGLU
    with pytest.raises(InputError, match=reason):
        allocate(law, question)


def test_repeated_data_and_serving_together():
    """Serving makes the best model smaller, and the budget pays for both; along the frontier no neighbour of N is better."""
    law = load_law("muennighoff2023")
    alone = allocate(law, Question(compute_flops=1e22, unique_tokens=25e9))
    both = allocate(law, Question(compute_flops=1e22, unique_tokens=25e9, inference_tokens=1e12))
    repeated = law.loss.on(25e9)

    assert both.n_params < alone.n_params
    assert both.compute_flops + 2 * both.n_params * 1e12 == pytest.approx(1e22)
    for factor in (0.9, 1.1):
        n = both.n_params * factor
        assert repeated.loss(n, (1e22 / n - 2e12) / 6) > both.loss_nats


# Draws.


def test_draws_one_by_one_are_the_draws_together():
    """A thousand laws asked in turn give what one law with arrays for constants gives."""
    runs = allocate_draws(BESIROGLU, Question(compute_flops=1e21))
    together = stacked(BESIROGLU.draws).params_at_compute(1e21)

    assert [run.n_params for run in runs] == pytest.approx(together.tolist(), rel=1e-12)


def test_constants_varied_one_by_one_would_give_nonsense():
    """A and alpha rise together: D/N is uncertain by a factor of 3 from end to end. With the alphas of other draws it is more than 10."""
    e, a, b, alpha, beta = np.array(BESIROGLU.draws).T
    shuffled = np.random.default_rng(0).permutation(alpha)

    def width(law: Additive) -> float:
        n = law.params_at_compute(5.76e23)
        low, high = np.percentile(5.76e23 / 6 / n**2, [10, 90])
        return float(high / low)

    assert width(Additive(e, a, b, alpha, beta)) == pytest.approx(29 / 9.9, rel=0.06)
    assert width(Additive(e, a, b, shuffled, beta)) > 10


def test_draws_that_cannot_reach_a_loss_are_left_out():
    """At 1.83 nats, above the E of the law but below that of many draws, the rest still answer."""
    runs = allocate_draws(BESIROGLU, Question(loss_nats=1.83))

    assert 0 < len(runs) < len(BESIROGLU.draws)
    assert len(runs) == sum(draw.e_nats < 1.83 for draw in BESIROGLU.draws)


# Refusals.


@pytest.mark.parametrize(
    ("question", "named"),
    [
        (Question(), field("compute")),
        (Question(compute_flops=1e21, loss_nats=2.0), fields("compute", "loss")),
        (Question(n_params=1e9, loss_nats=2.0), fields("n_params", "loss")),
        (Question(1e21, 1e9, 1e12), fields("compute", "n_params", "tokens")),
    ],
)
def test_a_question_fixes_one_or_two_things(question: Question, named: str):
    """Nothing, too much, and a loss beside anything are refused with the fields that were given."""
    with pytest.raises(UsageError) as refused:
        check_question(question)
    assert named in f"{refused.value.message} {refused.value.way_out}"


@pytest.mark.parametrize("loss", [1.0, 1.8172, float("nan")])
def test_a_loss_below_the_floor_is_out_of_reach(loss: float):
    """E is the limit of endless N and D, and the refusal names it."""
    with pytest.raises(InputError, match=r"1\.8172"):
        allocate(BESIROGLU, Question(loss_nats=loss))


def test_a_law_without_a_loss_cannot_be_asked_for_one():
    """Approach 1 is a table of sizes: its refusal names it."""
    with pytest.raises(NotSupported, match="hoffmann2022-1"):
        allocate(load_law("hoffmann2022-1"), Question(loss_nats=2.0))


# At the very edge.


def test_a_run_by_hand():
    """3e9 parameters on 7e10 tokens: 6 N D FLOP, 70 / 3 tokens a parameter."""
    run = Run(3e9, 7e10, 2.3)
    assert run.compute_flops == pytest.approx(1.26e21)
    assert run.tokens_per_param == pytest.approx(70 / 3)


def test_a_loss_of_guessing_is_no_worse_than_guessing():
    """ln of the vocabulary itself passes, for what is asked and for what is found; a little more does not."""
    guess = KAPLAN.guessing_nats
    assert guess is not None
    check_guessing(KAPLAN, guess)
    check_run(KAPLAN, Run(1e9, 1e10, guess), Question(compute_flops=1e20))
    with pytest.raises(InputError):
        check_guessing(KAPLAN, guess * 1.0001)
    with pytest.raises(InputError):
        check_run(KAPLAN, Run(1e9, 1e10, guess * 1.0001), Question(compute_flops=1e20))


@pytest.mark.parametrize(("n", "d"), [(1.0, 1.0), (1e24, 1e24)])
def test_the_smallest_and_the_largest_run(n, d):
    """One parameter on one token and 1e24 of each are runs; less and more are none."""
    check_run(BESIROGLU, Run(n, d, 3.0), Question(compute_flops=1e20))
    beyond = 0.99 if n == 1 else 1.01
    for run in (Run(n * beyond, d, 3.0), Run(n, d * beyond, 3.0)):
        with pytest.raises(InputError):
            check_run(BESIROGLU, run, Question(compute_flops=1e20))


def test_serving_must_leave_something():
    """2 N I = 1.4e21 of a budget of 1.4e21 leaves nothing; of a little more, something."""
    with pytest.raises(InputError, match="serving alone"):
        check_serving(Question(compute_flops=1.4e21, n_params=7e9, inference_tokens=1e11))
    check_serving(Question(compute_flops=1.4001e21, n_params=7e9, inference_tokens=1e11))


@pytest.mark.parametrize(
    ("question", "kind"),
    [
        (Question(n_params=1e9), "frontier"),
        (Question(n_params=1e9, n_tokens=1e10), "one-pass"),
        (Question(compute_flops=1e21, bounds=Bounds(n_params=(1e8, 1e9))), None),
        (Question(compute_flops=1e21, unique_tokens=1e9), "repeated"),
    ],
)
def test_which_loss_a_published_frontier_tells(question, kind):
    """L(C) where one thing is fixed, that of one pass where two are, none within bounds."""
    assert loss_kind(KAPLAN, question) == kind


def test_bounds_go_with_one_budget_alone():
    """With compute or with a loss; not with N, nor with two."""
    bounds = Bounds(n_tokens=(1e9, 1e12))
    check_question(Question(compute_flops=1e21, bounds=bounds))
    check_question(Question(loss_nats=2.2, bounds=bounds))
    for question in (Question(n_params=1e9, bounds=bounds), Question(compute_flops=1e21, n_params=1e9, bounds=bounds)):
        with pytest.raises(UsageError, match="bounds do not go"):
            check_question(question)


def test_draws_that_serve_pay_for_it_too():
    """Each draw's run and its serving together cost the budget; and a draw whose floor is the very loss has no run."""
    runs = allocate_draws(BESIROGLU, Question(compute_flops=1e22, inference_tokens=3e11))
    assert len(runs) == len(BESIROGLU.draws)
    assert [run.compute_flops + 2 * run.n_params * 3e11 for run in runs] == pytest.approx([1e22] * len(runs))
    floor = sorted(draw.e_nats for draw in BESIROGLU.draws)[len(BESIROGLU.draws) // 2]
    assert len(allocate_draws(BESIROGLU, Question(loss_nats=floor))) == sum(draw.e_nats < floor for draw in BESIROGLU.draws)
