"""What `optimal` tells beside the division of a budget, against the numbers that articles print."""

from __future__ import annotations

import pytest

import scaleplan as sp
from scaleplan.answer import checked

REPEATING = """
[loss]
form = "repeating"
e_nats = 1.8693
a = 520.8
b = 1487.7
alpha = 0.3526596
beta = 0.3526596
r_d_star = 3.0
r_n_star = 5.3
[convention]
n_params = "total"
loss = "nats per token"
"""

PUBLISHED = [
    # henighan2020 Table 1
    ({"rules": True, "law": "henighan2020-image-8x8", "n_params": 1e8}, "rules.0.value", 3.154414510515666, 1e-9),
    ({"rules": True, "law": "henighan2020-video", "n_params": 1e9}, "rules.0.value", 1.0963710926576415, 1e-9),
    ({"rules": True, "law": "henighan2020-language", "compute": 3640 * 8.64e19}, "rules.loss_of_compute.value", 1.7338157683881037, 1e-9),
    # zhang2024, bergsma2025, kaplan2020 equation 5.6
    ({"rules": True, "law": "zhang2024", "n_params": 302e6}, "rules.batch_seqs_at_fixed_data.value", 1021.1525262317691, 1e-9),
    ({"rules": True, "law": "bergsma2025", "tokens_per_param": 1000}, "rules.0.value", 0.03, 0.06),
    ({"rules": True, "law": "kaplan2020", "n_params": 1e9, "n_steps": 1e5}, "rules.loss_of_steps.value", 2.4005136614270093, 1e-9),
    # kaplan2020 appendix B and section 4
    ({"excess": "2%"}, "convergence.params_ratio", 2.7, 0.02),
    ({"excess": "2%"}, "convergence.compute_ratio", 0.35, 0.03),
    ({"size_ratio": 0.6}, "size.compute_ratio", 1.2, 0.04),
    ({"size_ratio": 2.2}, "size.steps_ratio", 0.55, 0.02),
    ({"overfit": "2%", "n_params": 1e9}, "data.prefactor", 5000, 0.15),
    ({"overfit": "2%", "n_params": 1e9}, "data.stated_tokens", 2.3e10, 0.01),
    # pearce2024
    ({"without_embeddings": True, "compute": 1e19}, "laws.0.exponent", 0.78, 0.02),
    ({"without_embeddings": True, "compute": 1e19}, "laws.0.total_exponent", 0.51, 0.01),
    # kumar2024 equation 3 and Table 2, equation 5
    ({"bits": 16}, "weights_params_share", 0.998, 2e-3),
    ({"bits": 6}, "weights_params_share", 0.894, 2e-3),
    ({"bits": 3}, "weights_params_share", 0.674, 2e-3),
    ({"bits": 8}, "best_bits_over_gamma", 1.904, 1e-3),
    # clark2022 section 5
    ({"n_params": 5e6, "n_experts": 128, "n_experts_per_token": 1}, "routed.clark2022-s-base.useless_from_n_params", 937e9, 0.1),
    ({"n_params": 5e6, "n_experts": 128, "n_experts_per_token": 1}, "routed.clark2022-s-base.dense_n_params", 55e6, 0.07),
    # bhagia2024: the forecast of a held-out run
    ({"task": "hellaswag", "n_params": 6_887_575_552, "tokens": 3_945_065_873_408}, "forecasts.0.accuracy", 0.825, 2e-3),
]


def found_at(result, path):
    """A dotted path; a row of a list by its place, or by its law or rule."""
    for part in path.split("."):
        if isinstance(result, list):
            result = result[int(part)] if part.isdigit() else next(row for row in result if part in (row.get("rule"), row["law"]))
        else:
            result = result[part]
    return result


@pytest.mark.parametrize(("given", "path", "expected", "relative"), PUBLISHED)
def test_a_published_number_is_answered(given, path, expected, relative):
    """The number of the article, within the digits it is printed with; each line gives its value."""
    answer = sp.optimal(**given)

    assert found_at(answer.result, path) == pytest.approx(expected, rel=relative)
    assert checked(answer.lines)


def test_passes_by_a_law_of_ones_own(tmp_path):
    """muennighoff2023 appendix A with R* = 3: five passes are worth 3.21 by the exponential, and the data terms differ by 1.8 %."""
    law = tmp_path / "three.toml"
    law.write_text(REPEATING)
    found = sp.optimal(epochs=5, law=str(law)).result

    assert found["worth"] == pytest.approx(3.21, rel=2e-3)
    assert found["lost_per_epoch"] == 0.25
    assert found["data_term_difference"] == pytest.approx(0.018, rel=0.03)


def test_a_task_has_an_interval_that_holds_the_measured_accuracy():
    """Held-out runs of OLMo 2 at 7B: 0.813 of HellaSwag was measured."""
    (row,) = sp.optimal(task="hellaswag", n_params=6_887_575_552, tokens=3_945_065_873_408).result["forecasts"]

    assert row["intervals"]["accuracy"]["p10"] < 0.813 < row["intervals"]["accuracy"]["p90"]
    assert row["n_params_kind"] == "without_input_embedding"


def test_a_task_of_a_budget_takes_the_size_of_the_recommended_law():
    """N and D are the recommended law's; the loss stays the task law's own."""
    (row,) = sp.optimal(task="piqa", compute=1e21).result["forecasts"]
    recommended = sp.optimal(compute=1e21, law="besiroglu2024").result["laws"][0]

    assert (row["n_params"], row["n_tokens"]) == pytest.approx((recommended["n_params"], recommended["n_tokens"]))
    assert row["task_loss"] != pytest.approx(recommended["loss_nats"], rel=0.1)


@pytest.mark.parametrize(
    ("given", "names"),
    [
        ({"task": "hellaswag", "n_params": 7e9, "tokens": 2e12, "family": "llama"}, "family"),
        ({"task": "hellaswag", "n_params": 7e11, "tokens": 2e12}, "n_params"),
        ({"task": "hellaswag", "n_params": 7e9}, "task"),
        ({"task": "helaswag", "n_params": 7e9, "tokens": 2e12}, "helaswag"),
        ({"rules": True}, "rules"),
        ({"rules": True, "n_params": 1e9, "d_model": 512}, "d_model"),
        ({"epochs": 0.5}, "0.5"),
        ({"epochs": 4, "law": "besiroglu2024"}, "repeated"),
        ({"size_ratio": 0.1}, "0.1"),
        ({"bits": 8, "n_params": 1e9}, "tokens"),
        ({"overfit": "2%"}, "overfit"),
        ({"overfit": 1e-17, "n_params": 7e9}, "1e-17"),
        ({"sparsity": 0.5}, "n_params"),
        ({"position": 10, "compute": 1e21}, "compute"),
    ],
)
def test_what_cannot_be_told_is_refused_by_name(given, names):
    """Other families, runs too far from the fit, half a run, quantities that no rule reads."""
    with pytest.raises(sp.ScaleplanError) as refused:
        sp.optimal(**given)
    assert names in f"{refused.value} {refused.value.hint}"
