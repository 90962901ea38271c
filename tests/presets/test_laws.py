"""The law presets: each loads, says what it means, and holds plausible constants."""

from __future__ import annotations

import pytest

from scaleplan import library
from scaleplan.chain.catalogue import load_law
from scaleplan.errors import ScaleplanError
from scaleplan.laws.batch import StepLoss
from scaleplan.laws.experts import FORMS as EXPERT_FORMS
from scaleplan.laws.experts import expert_law_of
from scaleplan.laws.forms import Additive, KaplanLoss
from scaleplan.laws.power import Logarithm
from scaleplan.laws.precision import Precision, Sparse, precision_of, sparse_of
from scaleplan.schema import FORMS, OF_ROLES, Gammas, validate

NAMES = library.names("laws")
STANDINGS = {"confirmed", "recomputed", "second-hand", "historical", "unconfirmed"}


@pytest.mark.parametrize("name", NAMES)
def test_a_law_says_what_it_means(name):
    """It loads, is valid as a user's file would be, cites known sources with dates, and states its standing."""
    law = load_law(name)
    data = library.load("laws", name).data

    validate("laws", data, name)
    assert law.name == name
    assert law.standing in STANDINGS
    assert set(library.cited(data)) <= set(library.sources())
    assert all("date" in block and "source" in block for name, block in data.items() if isinstance(block, dict) and name != "role")


@pytest.mark.parametrize("name", [name for name in NAMES if isinstance(load_law(name).loss, Additive)])
def test_a_loss_of_a_large_model_on_much_data_is_plausible(name):
    """7e9 parameters on 1.4e11 tokens: between 0.3 and 4, falling in N and in D."""
    law = load_law(name).additive
    assert 0.3 < law.loss(7e9, 1.4e11) < 4
    assert law.loss(7e10, 1.4e11) < law.loss(7e9, 1.4e11)
    assert law.loss(7e9, 1.4e12) < law.loss(7e9, 1.4e11)


@pytest.mark.parametrize("name", [name for name in NAMES if load_law(name).frontier is not None])
def test_an_allocation_is_plausible(name):
    """1e21 FLOP are worth 5e8 to 1e10 parameters under every law, and 1e22 more of both N and D."""
    frontier = load_law(name).frontier
    assert frontier is not None
    small, large = (frontier.params_at_compute(c) for c in (1e21, 1e22))
    assert 5e8 < small < 1e10
    assert small < large < 10 * small


def test_forms_that_need_more_than_n_and_d_are_read():
    """Every block of a loss that knows experts, bits or sparsity becomes its form."""
    for name in NAMES:
        block = load_law(name).data.get("loss", {})
        if block.get("form") in EXPERT_FORMS:
            assert expert_law_of(block)
        if block.get("form") == "sparsity":
            assert sparse_of(block).at(0.5).loss(1e9, 1e10) > block["c"]
    assert 0 < precision_of(load_law("kumar2024").data["precision"]).effective_share(8, 8, 8) < 1


def test_draws_keep_their_correlations():
    """A and alpha of the refits rise together (0.999 in the fact of the article's covariance), and so do B and beta."""
    import numpy as np

    draws = np.array(load_law("besiroglu2024").draws).T
    e, a, b, alpha, beta = draws
    assert len(e) == 1000
    assert np.corrcoef(np.log(a), alpha)[0, 1] > 0.998
    assert np.corrcoef(np.log(b), beta)[0, 1] > 0.998
    assert abs(np.corrcoef(alpha, beta)[0, 1]) < 0.5


def test_the_unrounded_constants_are_the_logarithms_of_the_source():
    """hoffmann2022-3 holds exp of the three logarithms in the TeX source; the rounded set is another law, 20 % off."""
    import math

    law, rounded = load_law("hoffmann2022-3").additive, load_law("hoffmann2022-3-rounded").additive
    assert (law.e_nats, law.a, law.b) == pytest.approx((math.exp(0.5267228), math.exp(6.0073404), math.exp(6.0179186)), rel=1e-12)
    assert rounded.params_at_compute(5.76e23) / law.params_at_compute(5.76e23) == pytest.approx(0.8, abs=0.01)


POWER = """title = "mine"
convention = { source = "own-runs", n_params = "total", loss = "nats per token" }
allocation = { form = "power", gives = "n_tokens", scale = 0.299, compute_flops_exponent = 0.537 }
"""


@pytest.mark.parametrize(
    ("said", "instead", "fault"),
    [
        ("0.537", "-3", "`allocation.compute_flops_exponent`: should be a number from 0 to 1; it is `-3`"),
        ("0.537", '"x"', "`allocation.compute_flops_exponent`: should be a number; it is `x`"),
        ("compute_flops_exponent", "n_params_exponent", "`allocation.compute_flops_exponent`: field required"),
        ("0.299", "0", "`allocation.scale`: should be a number above zero; it is `0`"),
        ('"n_tokens"', '"loss"', "`allocation.gives`: should be n_params or n_tokens; it is `loss`"),
        ('"power"', '"powder"', "joint-experts, precision, sparsity; it is `powder`"),
        ('"mine"', '"mine"\ndraws = "../x.csv"', "`draws` is `../x.csv`; it is the name of a file beside this one"),
    ],
)
def test_a_law_of_ones_own_is_refused_by_the_constant_that_is_wrong(tmp_path, said, instead, fault):
    """Nothing of a file is passed over: its form, what it gives, and what its exponents can be."""
    path = tmp_path / "law.toml"
    path.write_text(POWER.replace(said, instead))
    with pytest.raises(ScaleplanError) as refused:
        load_law(str(path))
    assert fault in str(refused.value)


def fields(form: type) -> set[str]:
    return {name.rstrip("_") for name in form._fields}  # type: ignore[attr-defined]  # a NamedTuple


def test_forms_need_what_they_are_made_from():
    """The constants of a block are those of the form in `laws`; K of fine-grained experts is said beside its form."""
    two, repeated = fields(Additive), {"r_d_star", "r_n_star"}
    made = {"additive": two, "repeating": two | repeated, "kaplan": fields(KaplanLoss), "power-sum": fields(StepLoss)}
    made |= {"logarithm": fields(Logarithm), "sparsity": fields(Sparse), **{name: fields(form) for name, form in EXPERT_FORMS.items()}}
    made["fine-grained-experts"] |= {"n_experts"}

    assert {form: set(FORMS[form]) for form in made} == made
    assert set(Gammas.model_fields) == fields(Precision)


@pytest.mark.parametrize("name", NAMES)
def test_a_block_without_one_of_its_constants_is_refused(name):
    """Each constant of a form, and each of a block that a role needs, is missed by its dotted key."""
    data = library.load("laws", name).data
    needed = {block: FORMS[held["form"]] for block, held in data.items() if isinstance(held, dict) and "form" in held}
    for role in OF_ROLES.keys() & data.get("role", {}).keys():
        needed |= {name: tuple(one.annotation.model_fields) for name, one in OF_ROLES[role].model_fields.items()}
    for block, keys in needed.items():
        for key in keys:
            held = {other: value for other, value in data[block].items() if other != key}
            with pytest.raises(ScaleplanError, match=rf"`{block}\.{key}`: field required"):
                validate("laws", {**data, block: held}, name)


def test_a_role_without_its_block_is_refused():
    """The law of public text says how much there is."""
    data = library.load("laws", "villalobos2024").data
    with pytest.raises(ScaleplanError, match="`stock`: field required"):
        validate("laws", {key: value for key, value in data.items() if key != "stock"}, "x")
    with pytest.raises(ScaleplanError, match=r"`stock\.n_tokens`: should be a valid number"):
        validate("laws", {**data, "stock": {**data["stock"], "n_tokens": "much"}}, "x")
