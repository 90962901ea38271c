"""Laws that know how many experts there are: their limits, and what follows from their own definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from scaleplan.chain.catalogue import load_law
from scaleplan.laws.experts import FineGrainedExperts, JointExperts, RoutedExperts, SparseExperts, effective_experts, expert_law_of

S_BASE, FINE, JOINT, SPARSE = (
    expert_law_of(load_law(name).data["loss"]) for name in ("clark2022-s-base", "krajewski2024", "ludziejewski2025", "abnar2025")
)
experts = st.floats(1, 1e6)
sizes = st.floats(6, 11).map(lambda exponent: 10**exponent)


@given(experts, st.floats(1, 10), st.floats(20, 1000))
def test_experts_count_between_one_and_endless(n_experts: float, e_start: float, e_max: float):
    """One expert counts as E_start, endless ones as E_max, and more always count for more."""
    assert effective_experts(1, e_start, e_max) == pytest.approx(e_start)
    assert effective_experts(1e15, e_start, e_max) == pytest.approx(e_max, rel=1e-9)
    assert effective_experts(n_experts, e_start, e_max) < effective_experts(2 * n_experts, e_start, e_max)


@given(st.floats(6, 9).map(lambda exponent: 10**exponent), st.floats(2, 512))
def test_the_dense_equal_has_the_same_loss(n_params: float, n_experts: float):
    """The model without routing that a mixture is worth, asked for its loss with one expert."""
    assert isinstance(S_BASE, RoutedExperts)
    assert S_BASE.loss(S_BASE.dense_params(n_params, n_experts), 1) == pytest.approx(S_BASE.loss(n_params, n_experts), rel=1e-9)
    assert S_BASE.dense_params(n_params, n_experts) > n_params


def test_above_its_cutoff_routing_does_not_help():
    """At N = 10^(-b / c) the loss is the same with any number of experts; below, more of them lower it."""
    assert isinstance(S_BASE, RoutedExperts)
    few, many = (S_BASE.loss(S_BASE.useless_from(), n) for n in (2, 512))

    assert few == pytest.approx(many, rel=1e-9)
    assert S_BASE.loss(1e9, 512) < S_BASE.loss(1e9, 2)


@given(sizes, sizes, st.floats(1, 64))
def test_finer_experts_lower_the_loss(n_params: float, n_tokens: float, granularity: float):
    """G enters through g / G^gamma alone."""
    assert isinstance(FINE, FineGrainedExperts)
    coarse, fine = FINE.at(granularity), FINE.at(2 * granularity)

    assert fine.loss(n_params, n_tokens) < coarse.loss(n_params, n_tokens)
    assert FINE.at(1).loss(n_params, n_tokens) == pytest.approx(
        FINE.c + (FINE.g + FINE.a) / n_params**FINE.alpha + FINE.b / n_tokens**FINE.beta
    )


@given(st.floats(1e8, 1e11), st.floats(1e10, 1e13))
def test_experts_move_the_exponents(n_params: float, n_tokens: float):
    """With E experts the law is additive in N and D, with exponents alpha + gamma ln E^ and beta + zeta ln E^."""
    assert isinstance(JOINT, JointExperts)
    e = effective_experts(32, JOINT.e_start, JOINT.e_max)
    by_hand = (
        JOINT.a * e**JOINT.delta * n_params ** -(JOINT.alpha + JOINT.gamma * np.log(e))
        + JOINT.b * e**JOINT.omega * n_tokens ** -(JOINT.beta + JOINT.zeta * np.log(e))
        + JOINT.c
    )
    assert JOINT.at(32).loss(n_params, n_tokens) == pytest.approx(by_hand, rel=1e-12)


def test_a_dense_model_is_a_mixture_without_idle_experts():
    """S = 0 leaves a / N^alpha + b / D^beta + c + d / N^gamma + e."""
    assert isinstance(SPARSE, SparseExperts)
    n, d = 1e9, 1e11
    dense = SPARSE.a / n**SPARSE.alpha + SPARSE.b / d**SPARSE.beta + SPARSE.c + SPARSE.d / n**SPARSE.gamma + SPARSE.e

    assert SPARSE.loss(n, d, 0) == pytest.approx(dense)


def test_arrays_of_experts_are_arrays_of_losses():
    """One formula for one mixture and for a thousand."""
    assert isinstance(S_BASE, RoutedExperts)
    counts = [2, 8, 64]
    assert S_BASE.loss(1e9, np.array(counts)).tolist() == pytest.approx([S_BASE.loss(1e9, n) for n in counts], rel=1e-12)


# Whole formulas, with constants that are all different.


def counted(n_experts: float, start: float, most: float) -> float:
    """Equation 9 of clark2022, solved for E^."""
    return 1 / (1 / (n_experts - 1 + start * most / (most - start)) + 1 / most)


def test_effective_experts_by_hand():
    """E_start = 2 and E_max = 10: 1 / (1/2 - 1/10) = 5/2, so 6 experts are 1 / (1 / 7.5 + 1 / 10) = 30 / 7."""
    assert effective_experts(6, 2, 10) == pytest.approx(30 / 7)
    assert effective_experts(37, 1.9, 310) == pytest.approx(counted(37, 1.9, 310))


def test_the_routed_law_by_hand():
    """log10 L = a log10 N + b log10 E^ + c log10 N log10 E^ + d, its dense equal, and the N from which experts do nothing."""
    a, b, c, d = -0.077, -0.12, 0.011, 1.07
    law, n = RoutedExperts(a, b, c, d, 1.9, 310.0), 3e7
    e, one = math.log10(counted(37, 1.9, 310)), math.log10(1.9)
    loss = 10 ** (a * math.log10(n) + b * e + c * math.log10(n) * e + d)

    assert law.loss(n, 37) == pytest.approx(loss)
    assert law.useless_from() == pytest.approx(10 ** (0.12 / 0.011))
    assert law.dense_params(n, 37) == pytest.approx(10 ** ((math.log10(loss) - d - b * one) / (a + c * one)))


def test_the_fine_grained_law_by_hand():
    """c + (g / G^gamma + a) / N^alpha + b / D^beta at G = 6."""
    law = FineGrainedExperts(c=0.41, a=17.0, alpha=0.12, b=29.0, beta=0.15, g=2.3, gamma=0.6)
    assert law.bracket(6) == pytest.approx(2.3 / 6**0.6 + 17)
    assert law.at(6).loss(3e8, 7e10) == pytest.approx(0.41 + (2.3 / 6**0.6 + 17) / 3e8**0.12 + 29 / 7e10**0.15)


def test_the_joint_law_by_hand():
    """a E^^delta N^-(alpha + gamma ln E^) + b E^^omega D^-(beta + zeta ln E^) + c with 11 experts."""
    law = JointExperts(
        a=33.0, alpha=0.19, delta=0.21, gamma=-0.009, b=51.0, beta=0.17, omega=-0.13, zeta=0.02, c=1.3, e_start=1.9, e_max=310.0
    )
    e = counted(11, 1.9, 310)
    exponents = 0.19 - 0.009 * math.log(e), 0.17 + 0.02 * math.log(e)
    assert law.at(11).loss(3e8, 7e10) == pytest.approx(33 * e**0.21 / 3e8 ** exponents[0] + 51 * e**-0.13 / 7e10 ** exponents[1] + 1.3)


def test_the_sparse_law_by_hand():
    """Each term of equation 6 of abnar2025 with 3/5 of the experts idle."""
    law = SparseExperts(a=16000.0, alpha=0.6, b=5300.0, beta=0.4, c=0.43, lambda_=-0.11, d=4.7, delta=-0.12, gamma=0.15, e=0.91)
    terms = [16000 / 3e8**0.6, 5300 / 7e10**0.4, 0.43 * 0.4**0.11, 4.7 * 0.4**0.12 / 3e8**0.15, 0.91]
    assert law.loss(3e8, 7e10, 0.6) == pytest.approx(sum(terms))
