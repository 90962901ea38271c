"""A law that knows experts, for one mixture: what it counts, where its optimum lies, what more experts are worth."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar

from scaleplan.chain.catalogue import load_law
from scaleplan.errors import NotSupported
from scaleplan.laws.experts import JointExperts, SparseExperts, expert_law_of
from scaleplan.laws.forms import Frontier
from scaleplan.laws.mixture import Mixture, TwoTerms, share_of, with_experts

JOINT, SPARSE, FINE = "ludziejewski2025-table3", "abnar2025", "krajewski2024"


def frontier(name: str, n_experts: int, n_experts_per_token: int = 1) -> Frontier:
    found = with_experts(load_law(name), Mixture(n_experts, n_experts_per_token)).frontier
    assert isinstance(found, Frontier)
    return found


@pytest.mark.parametrize(
    ("n_experts", "m", "mu", "n", "nu"),
    [
        (1, 30.3640, 0.1817, 53.9838, 0.1965),
        (2, 27.7982, 0.1780, 66.8401, 0.2065),
        (4, 24.8462, 0.1731, 87.7022, 0.2192),
        (8, 21.8330, 0.1676, 119.9126, 0.2338),
        (16, 19.0159, 0.1617, 167.5073, 0.2494),
        (32, 16.5424, 0.1557, 234.6726, 0.2652),
    ],
)
def test_the_joint_law_reduces_to_its_article_table_4(n_experts, m, mu, n, nu):
    """m N^-mu + n D^-nu + 1.3637 for each number of experts (ludziejewski2025 Table 4), to the digits of Table 3."""
    law = expert_law_of(load_law(JOINT).data["loss"])
    assert isinstance(law, JointExperts)
    at = law.at(n_experts)

    assert at.e_nats == 1.3637
    assert (at.a, at.b) == pytest.approx((m, n), rel=3e-3)
    assert (at.alpha, at.beta) == pytest.approx((mu, nu), abs=2.1e-4)


@pytest.mark.parametrize(
    ("flops", "n_experts", "n_active", "n_tokens"),
    [
        (1e20, 1, 1.7e9, 9.7e9),
        (1e20, 32, 669e6, 24.9e9),
        (1e21, 1, 5.7e9, 29.3e9),
        (1e21, 8, 3.8e9, 44.3e9),
        (1e21, 32, 2.85e9, 58.4e9),
        (1e22, 1, 18.8e9, 88.6e9),
        (1e22, 32, 12.2e9, 136.9e9),
    ],
)
def test_the_joint_law_allocates_as_its_article_table_1(flops, n_experts, n_active, n_tokens):
    """Best active size and tokens by budget and experts (ludziejewski2025 Table 1), within the two digits it prints."""
    n = frontier(JOINT, n_experts).params_at_compute(flops)

    assert n == pytest.approx(n_active, rel=0.017)
    assert flops / 6 / n == pytest.approx(n_tokens, rel=0.01)


def test_signs_of_a_second_hand_copy_are_not_planned_with():
    """With delta and omega the other way round, 8 experts would ask for more parameters than tokens; that copy names its successor."""
    with pytest.raises(NotSupported, match="signs") as refused:
        frontier("ludziejewski2025", 8)
    assert JOINT in str(refused.value.hint)


def test_idle_experts_of_the_sparse_law():
    """L(N_total, D, S) of abnar2025 equation 6 with N_total = 3 N and S = 3/4 for 8 experts, 2 a token."""
    law = expert_law_of(load_law(SPARSE).data["loss"])
    assert isinstance(law, SparseExperts)

    assert frontier(SPARSE, 8, 2).loss(1e9, 2e10) == pytest.approx(law.loss(3e9, 2e10, 0.75), rel=1e-12)


def test_a_published_point_of_the_sparse_law():
    """1e9 parameters, half of the experts idle, 1e11 tokens: 2.37285 nats. N active is 1e9 / (1 + 2/3)."""
    assert frontier(SPARSE, 2).loss(0.6e9, 1e11) == pytest.approx(2.372854233447806, rel=1e-9)


def test_finer_experts_are_more_of_them():
    """64 G experts, G a token: granularity G of krajewski2024; N_total = 43 N, for which 8 (64) + 4 stand against 8 + 4."""
    by_hand = 0.47 + (2.1 / 4**0.58 + 18.1) / (43 * 1e8) ** 0.115 + 30.8 / 1e10**0.147
    assert frontier(FINE, 256, 4).loss(1e8, 1e10) == pytest.approx(by_hand, rel=1e-12)


def test_another_expansion_is_refused():
    """krajewski2024 fitted 64 times as many experts as a token passes, and nothing else."""
    with pytest.raises(NotSupported, match="64"):
        frontier(FINE, 8, 2)


def test_total_size_of_a_usual_mixture():
    """With 2/3 of the active parameters in experts, E / K = 4 makes 1/3 + 4 (2/3) = 3 times as many."""
    assert Mixture(8, 2).total_params(13e9) == pytest.approx(39e9)
    assert Mixture(4, 4).total_params(13e9) == 13e9


def test_total_sizes_of_runs():
    """Of the joint law's runs, 28 layers of width 1792 (1.3B active) with 4 experts have 3.8B parameters, embeddings included.

    9 d^2 of 13 d^2 a layer; the rule leaves embeddings, 2 x 50257 d, out.
    """
    layers, width, embeddings = 28, 1792, 2 * 50257 * 1792
    active = 13 * layers * width**2

    assert active + embeddings == pytest.approx(1.3e9, rel=0.05)
    assert Mixture(4, 1).total_params(active, 9 / 13) + embeddings == pytest.approx(3.8e9, rel=0.02)


@given(
    st.floats(18, 25), st.sampled_from([(JOINT, 8, 1), (JOINT, 32, 1), (SPARSE, 8, 2), (SPARSE, 256, 8), (SPARSE, 1, 1), (FINE, 512, 8)])
)
def test_the_optimum_is_a_minimum(exponent, asked):
    """At the same 6 N D, 1 % more or fewer parameters are worse, for each form."""
    law, flops = frontier(*asked), 10**exponent
    n = law.params_at_compute(flops)
    best, fewer, more = (law.loss(x, flops / 6 / x) for x in (n, n / 1.01, n * 1.01))

    assert best < min(fewer, more)


@pytest.mark.parametrize("name", [JOINT, SPARSE])
@pytest.mark.parametrize("flops", [1e19, 1e20, 1e21])
def test_more_experts_lower_the_best_loss(name, flops):
    """At one budget, each doubling of the experts lowers the loss of the best run (ludziejewski2025 finding 2)."""
    losses = [frontier(name, n).least_loss(flops) for n in (1, 2, 4, 8, 16, 32)]
    assert all(more < fewer for fewer, more in itertools.pairwise(losses))


@pytest.mark.parametrize("n_active", [7.9e7, 2e8, 5e8, 1e9, 2.7e9])
def test_more_experts_never_hurt_a_model_of_one_size(n_active):
    """At the same active size and tokens, over the range of the joint law's runs from one token a parameter and 1e9 tokens up."""
    for n_tokens in (1e9, 2e9, 4e9, 1.6e10, 8e10):
        if n_tokens >= n_active:
            losses = [frontier(JOINT, n).loss(n_active, n_tokens) for n in (1, 2, 4, 8, 16, 32)]
            assert losses == sorted(losses, reverse=True)


def test_too_few_tokens_for_many_experts():
    """Below one token a parameter, more experts raise the joint law's loss: 2.7e9 parameters on 5e8 tokens."""
    assert frontier(JOINT, 32).loss(2.7e9, 5e8) > frontier(JOINT, 1).loss(2.7e9, 5e8)


def test_mixtures_by_hand():
    """7 of 35 experts: five times as many as a token passes, 1/5 kept; 3/7 of N in experts make N (1 + 3/7 x 4) in all."""
    mixture = Mixture(35, 7)
    assert mixture.expansion == pytest.approx(5)
    assert mixture.kept == pytest.approx(0.2)
    assert mixture.total_params(7e9, 3 / 7) == pytest.approx(19e9)
    assert mixture.total_params(3e9) == pytest.approx(11e9)  # two thirds: 3 (1/3 + 2/3 x 5)


def test_a_share_that_one_less_it_would_lose():
    """c / (1 - S)^lambda of one expert in 10^20: 1 - S is 10^-20, which 1 - (1 - K / E) makes nothing."""
    loss = expert_law_of(load_law(SPARSE).data["loss"])
    made = frontier(SPARSE, 10**20)
    assert made.e_nats == pytest.approx(loss.e + loss.c * math.exp(loss.lambda_ * 20 * math.log(10)))


def test_the_share_of_experts_is_that_of_the_runs_or_of_a_usual_layer():
    """Of 12 d^2 a layer, 8 d^2 feed-forward; a preset that counts its own says so."""
    law = load_law(FINE)
    unsaid = law._replace(data={key: value for key, value in law.data.items() if key != "experts"})
    assert share_of(unsaid) == pytest.approx(8 / 12)
    assert share_of(law._replace(data={**law.data, "experts": {"share_of_active": 0.7}})) == 0.7


def test_two_terms_of_n_by_hand():
    """The loss, its balance as the difference of its slopes, and an optimum where a search ends."""
    law, n, d, step = TwoTerms(0.9, 16000.0, 0.61, 4.7, 0.15, 5300.0, 0.4), 3e8, 7e10, 1e-5

    def loss(size: float, tokens: float) -> float:
        return 0.9 + 16000 / size**0.61 + 4.7 / size**0.15 + 5300 / tokens**0.4

    by_params = (loss(n * (1 - step), d) - loss(n * (1 + step), d)) / (2 * step)
    by_tokens = (loss(n, d * (1 - step)) - loss(n, d * (1 + step))) / (2 * step)
    assert law.loss(n, d) == pytest.approx(loss(n, d))
    assert law.balance(n, d) == pytest.approx(by_params - by_tokens, rel=1e-5)
    found = minimize_scalar(lambda x: loss(10**x, 2e20 / 10**x), bounds=(7, 13), method="bounded", options={"xatol": 1e-10})
    assert law.params_at_compute(1.2e21) == pytest.approx(10**found.x, rel=1e-4)
