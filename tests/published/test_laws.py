# ruff: noqa: E741, N803, PLW0108 - the inputs are named as the articles write them
"""Numbers that articles print about laws, budgets, batches and closed counts, each computed by scaleplan's own functions.

`laws.csv` has one row a number. Where `known_miss` says why the printed value does not follow from the printed constants,
`expected` is what does follow (or what a wider tolerance allows) and `published` is what stands in print.
"""

from __future__ import annotations

import csv
import json
import math
import statistics
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scaleplan import library
from scaleplan.chain import law_answers
from scaleplan.chain.catalogue import load_law
from scaleplan.chain.uncertainty import interval
from scaleplan.laws import batch, experts, precision, repetition
from scaleplan.laws.allocation import Question, allocate, allocate_draws
from scaleplan.laws.convention import training_flops
from scaleplan.laws.forms import Additive, KaplanLoss
from scaleplan.laws.inference import Served
from scaleplan.laws.law import loss_of
from scaleplan.laws.non_embedding import WithoutEmbeddings
from scaleplan.laws.power import Power, power_of
from scaleplan.machine.recipe import optimizer_bytes, optimizer_named, precision_named
from scaleplan.machine.run_time import device_hours, flops_to_do, model_flops_utilisation
from scaleplan.model import closed_forms
from scaleplan.model.bill import bill_of
from scaleplan.model.conventions import training_flops as flops_by_convention
from scaleplan.model.flops import Lengths, count_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model_files import read_model
from scaleplan.units import PF_DAY_FLOPS

TABLE = Path(__file__).with_name("laws.csv")


def cases() -> Iterator[Any]:
    with TABLE.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            yield pytest.param(row, id=f"{row['id']}-{row['quantity']}")


@pytest.mark.parametrize("row", list(cases()))
def test_published_number(row: dict[str, str]):
    """A number in print follows from the functions and presets, within the digits it is printed with."""
    inputs = json.loads(row["inputs"] or "{}")
    assert QUANTITIES[row["quantity"]](**inputs) == pytest.approx(float(row["expected"]), rel=float(row["relative_tolerance"]))


@pytest.mark.parametrize("row", [case for case in cases() if case.values[0]["published"] not in ("", case.values[0]["expected"])])
def test_a_known_miss_is_one(row: dict[str, str]):
    """What does not follow from the printed constants is missed by more than a per cent, and the row says why."""
    assert QUANTITIES[row["quantity"]](**json.loads(row["inputs"] or "{}")) != pytest.approx(float(row["published"]), rel=0.01)
    assert row["known_miss"]


def test_every_row_has_a_known_source():
    """Each row cites a key of presets/sources.toml."""
    known = library.sources()
    with TABLE.open(newline="", encoding="utf-8") as lines:
        assert {row["source"] for row in csv.DictReader(lines)} <= set(known)


# Laws by name, as the table's quantities need them.


def rule(law: str, block: str) -> Power:
    found = load_law(law).rules[block]
    assert isinstance(found, Power)
    return found


def factor(law: Power, times: float) -> float:
    """What a law of one quantity is multiplied by when that quantity is."""
    (name,) = law.needs()
    return law.at(**{name: times}) / law.at(**{name: 1.0})


def additive(law: str) -> Additive:
    return load_law(law).additive


def kaplan_loss() -> KaplanLoss:
    found = load_law("kaplan2020").loss
    assert isinstance(found, KaplanLoss)
    return found


def kaplan_loss_of_table_5() -> KaplanLoss:
    """The form of the joint law with the constants of the two single laws."""
    of_params, of_tokens = rule("kaplan2020", "loss_of_params"), rule("kaplan2020", "loss_of_tokens")
    return KaplanLoss(
        of_params.units["n_params"], of_tokens.units["n_tokens"], -of_params.exponents["n_params"], -of_tokens.exponents["n_tokens"]
    )


def step_loss() -> batch.StepLoss:
    return batch.step_loss_of(load_law("kaplan2020").data["loss_of_steps"])


def muennighoff() -> repetition.Repeating:
    found = load_law("muennighoff2023").loss
    assert isinstance(found, repetition.Repeating)
    return found


def expert_law(law: str) -> Any:
    return experts.expert_law_of(load_law(law).data["loss"])


# Architectures.


def bill(n_layers: int, d_model: int, **more: Any) -> Any:
    shape = {"n_layers": n_layers, "d_model": d_model, "n_heads": 1, "n_vocab": 50257, "n_positions": 1024}
    return bill_of(arch_of_shape(shape | more))


def kaplan_forward_flops(n_layer: int, d_model: int, n_ctx: int) -> float:
    """2 N + 2 L n_ctx d: a third of training."""
    plain = bill(n_layer, d_model)
    lengths = Lengths(n_ctx, n_ctx)
    return flops_by_convention(plain, count_params(plain), lengths)["kaplan_context"] / 3 / n_ctx


def appendix_f_ratio(N: float, n_layer: int, d_model: int, ffw: int, heads: int, kv: int, seq: int, vocab: int) -> float:
    plain = bill(n_layer, d_model, d_ff=ffw, n_heads=heads, d_head=kv, n_vocab=vocab)
    return flops_by_convention(plain, count_params(plain), Lengths(seq, seq))["chinchilla_layers"] / training_flops(N, seq)


def palm_flops_per_token(N: float, L: int, H: int, Q: int, T: int) -> float:
    plain = bill(L, H * Q, n_heads=H, d_head=Q)
    lengths = Lengths(T, T)
    found = flops_by_convention(plain, count_params(plain), lengths)
    return 6 * N + (found["palm"] - found["six_n"]) / T


def gpt2() -> Any:
    return bill(12, 768, n_heads=12)


def checkpoint_bytes(N: int) -> float:
    small = gpt2()
    fp32 = precision_named("fp32")
    return fp32.weight_bytes * count_params(small).n_params + optimizer_bytes(small, optimizer_named("adamw"), fp32)


# Hoffmann, Besiroglu.


def budget_of_params(law: str, n: float) -> float:
    return allocate(load_law(law), Question(n_params=n)).compute_flops


def at_budget(law: str, flops: float) -> Any:
    return allocate(load_law(law), Question(compute_flops=flops))


def without_embeddings(law: str) -> WithoutEmbeddings:
    return WithoutEmbeddings(additive(law))


KAPLAN_SIZES = (768, 1.5e9)


def growth(function: Callable[[float], float], low: float, high: float) -> float:
    """The exponent of the power law through two points."""
    return math.log(function(high) / function(low)) / math.log(high / low)


def besiroglu_slopes(quantity: str) -> dict[str, float]:
    """Slopes of a quantity in ln A, ln B, ln E, alpha and beta, by central differences."""
    law, step = additive("besiroglu2024"), 1e-6

    def moved(name: str, by: float) -> float:
        field = name.removeprefix("ln_")
        old = getattr(law, field)
        return getattr(law._replace(**{field: old * math.exp(by) if name != field else old + by}), quantity)

    names = load_law("besiroglu2024-converged").data["covariance"]["order"]
    return {name: (moved(name, step) - moved(name, -step)) / (2 * step) for name in names}


def besiroglu_standard_error(name: str) -> float:
    """To first order, from the covariance of the refits."""
    slopes, covariance = besiroglu_slopes(name), load_law("besiroglu2024-converged").data["covariance"]
    variance = sum(slopes[row] * slopes[column] * covariance[row][covariance["order"].index(column)] for row in slopes for column in slopes)
    return math.sqrt(variance)


def at_percentile(values: Iterable[float], percentile: int) -> float:
    return getattr(interval(values), f"p{percentile}")


def besiroglu_width_of_exponent() -> float:
    found = interval(draw.exponent for draw in load_law("besiroglu2024").draws)
    assert found
    return found.p90 - found.p10


def drawn_runs(C: float) -> list[Any]:
    return allocate_draws(load_law("besiroglu2024"), Question(compute_flops=C))


# Serving, repetition and the rest.


def served(N_chinchilla: float, D_inference: float) -> tuple[Served, float, float, float]:
    """The cheapest N and D with the quality of a compute-optimal model of some size, and that model's D."""
    law = additive("hoffmann2022-3")
    tokens = law.tokens_at_params(N_chinchilla)
    frontier = Served(law, D_inference)
    n = frontier.params_at_loss(law.loss(N_chinchilla, tokens))
    return frontier, n, frontier.tokens_at_params(n), tokens


def served_saving(N_chinchilla: float, D_inference: float) -> float:
    frontier, n, d, tokens = served(N_chinchilla, D_inference)
    return 1 - frontier.total_flops(n, d) / frontier.total_flops(N_chinchilla, tokens)


def served_data_ratio(N_chinchilla: float, D_inference: float) -> float:
    _, _, d, tokens = served(N_chinchilla, D_inference)
    return d / tokens


def repeated_run(C: float, U: float) -> Any:
    return allocate(load_law("muennighoff2023"), Question(compute_flops=C, unique_tokens=U))


def forms_of_repetition(passes: int, lost: float) -> float:
    """How much more of the data term the exponential form leaves than the sum of a geometric series, for the same first loss."""
    worth = [repetition.geometric(passes, lost), repetition.saturated(passes, 1, (1 - lost) / lost)]
    terms = [muennighoff().fresh.loss(math.inf, tokens) - muennighoff().fresh.e_nats for tokens in worth]
    return terms[0] / terms[1] - 1


def minicpm_ratio(C: float, C_N: float, alpha: float, C_D: float, beta: float, L0: float) -> float:
    block = {"form": "additive", "e_nats": L0, "a": C_N, "b": C_D, "alpha": alpha, "beta": beta, "n_params_unit": 1e9, "n_tokens_unit": 1e9}
    law = loss_of(block)
    assert isinstance(law, Additive)
    n = law.params_at_compute(C)
    return C / 6 / n / n


CORPORA = {"c4": "c4", "rpj": "redpajama", "rw": "refinedweb"}


def gadre(corpus: str) -> dict[str, Any]:
    return load_law(f"gadre2024-{CORPORA[corpus]}").data["loss"]


def gadre_loss(N: float, M: float, corpus: str) -> float:
    law = loss_of(gadre(corpus))
    assert isinstance(law, Additive)
    return law.loss(N, M * N)


HENIGHAN = {"image8": "image-8x8", "video": "video"}

QUANTITIES: dict[str, Callable[..., float]] = {
    # kaplan2020
    "kaplan_params": lambda n_layer, d_model: count_params(bill(n_layer, d_model)).kaplan,
    "kaplan_forward_flops": kaplan_forward_flops,
    "pf_days": lambda N, B_tokens, S: training_flops(N, B_tokens * S) / PF_DAY_FLOPS,
    "loss_factor_of_compute": lambda factor_C: factor(rule("kaplan2020", "loss_of_compute"), factor_C),
    "loss_factor_of_params": lambda factor_N: factor(rule("kaplan2020", "loss_of_params"), factor_N),
    "loss_factor_of_tokens": lambda factor_D: factor(rule("kaplan2020", "loss_of_tokens"), factor_D),
    "loss_of_params": lambda N: rule("kaplan2020", "loss_of_params").at(n_params=N),
    "loss_of_tokens": lambda D: rule("kaplan2020", "loss_of_tokens").at(n_tokens=D),
    "loss_of_least_compute": lambda pf_days: rule("kaplan2020", "loss_of_compute").at(compute_flops=pf_days * PF_DAY_FLOPS),
    "loss_at_fixed_batch": lambda pf_days: rule("kaplan2020", "loss_at_fixed_batch").at(compute_flops=pf_days * PF_DAY_FLOPS),
    "kaplan_loss": lambda N, D: kaplan_loss().loss(N, D),
    "kaplan_loss_table_5": lambda N, D: kaplan_loss_of_table_5().loss(N, D),
    "tokens_against_overfitting": lambda N: rule("kaplan2020", "tokens_against_overfitting").at(n_params=N),
    "growth_by_compute": lambda block: factor(power_of(load_law("kaplan2020").data[block]), 10),
    "table_6_tokens": lambda: 2 * rule("kaplan2020", "batch_of_compute").scale * rule("kaplan2020", "steps_of_compute").scale,
    "kaplan_params_at": lambda C: at_budget("kaplan2020", C).n_params,
    "overfit_prefactor": lambda delta: kaplan_loss().tokens_at_overfit(1, delta),
    "critical_batch": lambda L: rule("kaplan2020", "critical_batch").at(loss_nats=L),
    "critical_batch_factor": lambda loss_factor: factor(rule("kaplan2020", "critical_batch"), loss_factor),
    "kaplan_compute_exponent": lambda alpha_S, alpha_B, alpha_N: batch.compute_exponent(alpha_S, alpha_B, alpha_N),
    "kaplan_batch_exponent": lambda: growth(
        lambda flops: rule("kaplan2020", "critical_batch").at(loss_nats=rule("kaplan2020", "loss_of_compute").at(compute_flops=flops)),
        PF_DAY_FLOPS,
        1e3 * PF_DAY_FLOPS,
    ),
    "kaplan_data_factor": lambda factor_C: factor(rule("kaplan2020", "tokens_of_compute"), factor_C),
    "kaplan_table_6_compute": lambda: (
        training_flops(
            load_law("kaplan2020").data["allocation"]["scale"],
            rule("kaplan2020", "batch_of_compute").scale * rule("kaplan2020", "steps_of_compute").scale,
        )
        / PF_DAY_FLOPS
    ),
    "kaplan_tokens_of_size": lambda C_min_pfdays: (
        allocate(load_law("kaplan2020"), Question(compute_flops=2 * C_min_pfdays * PF_DAY_FLOPS)).n_tokens
    ),
    "size_of_excess": lambda f2: step_loss().params_of_excess(f2),
    "compute_of_excess": lambda f2: step_loss().compute_of_excess(f2),
    "steps_of_excess": lambda f2: step_loss().compute_of_excess(f2) / step_loss().params_of_excess(f2),
    "excess_at_optimum": lambda: step_loss().excess_at_optimum(),
    "compute_of_size": lambda n_ratio: step_loss().compute_of_size(n_ratio),
    "steps_of_size": lambda n_ratio: step_loss().steps_of_size(n_ratio),
    "loss_of_steps": lambda N, S_min: step_loss().loss(N, S_min),
    "contradiction_params": lambda C_min_pfdays: (
        allocate(load_law("kaplan2020"), Question(compute_flops=2 * C_min_pfdays * PF_DAY_FLOPS)).n_params
    ),
    "kaplan_learning_rate": lambda N: load_law("kaplan2020").rules["learning_rate"].at(n_params=N),
    # mccandlish2018
    "steps_over_fewest": lambda B_over_Bcrit: batch.Tradeoff(min_tokens=1e10, min_steps=1e4).steps(B_over_Bcrit * 1e6) / 1e4,
    "tokens_over_fewest": lambda B_over_Bcrit: batch.Tradeoff(min_tokens=1e10, min_steps=1e4).tokens(B_over_Bcrit * 1e6) / 1e10,
    "noise_scale": lambda B_small, B_big, g2_small, g2_big: (
        batch.gradient_noise(batch.NormAtBatch(B_small, g2_small), batch.NormAtBatch(B_big, g2_big)).noise_scale
    ),
    # hoffmann2022
    "hoffmann_1_compute": lambda N: budget_of_params("hoffmann2022-1", N),
    "hoffmann_1_tokens": lambda N: allocate(load_law("hoffmann2022-1"), Question(n_params=N)).n_tokens,
    "hoffmann_2_compute": lambda N: budget_of_params("hoffmann2022-2", N),
    "hoffmann_3_rounded_params": lambda C: at_budget("hoffmann2022-3-rounded", C).n_params,
    "hoffmann_3_rounded_exponent": lambda: additive("hoffmann2022-3-rounded").exponent,
    "hoffmann_1_params": lambda C: at_budget("hoffmann2022-1", C).n_params,
    "hoffmann_2_tokens": lambda C: rule("hoffmann2022-2", "allocation_of_tokens").at(compute_flops=C),
    "hoffmann_3_compute": lambda N: budget_of_params("hoffmann2022-3", N),
    "hoffmann_3_params": lambda C: at_budget("hoffmann2022-3", C).n_params,
    "hoffmann_3_exponent": lambda: additive("hoffmann2022-3").exponent,
    "hoffmann_3_ratio": lambda C: at_budget("hoffmann2022-3", C).tokens_per_param,
    "hoffmann_3_rounded_loss": lambda N, D: additive("hoffmann2022-3-rounded").loss(N, D),
    "gopher_budgets": lambda C: C / read_model("gopher-280b").training["compute_flops"],
    "six_nd": lambda N, D: training_flops(N, D),
    "appendix_f_ratio": appendix_f_ratio,
    "chinchilla_params": lambda d_model, ffw, kv, heads, n_layer, vocab: closed_forms.chinchilla_params(
        n_layer, d_model, ffw, heads, kv, vocab
    ),
    # besiroglu2024, pearce2024, porian2024
    "besiroglu_a": lambda: additive("besiroglu2024").a,
    "besiroglu_e": lambda: additive("besiroglu2024").e_nats,
    "besiroglu_sd_a": lambda: statistics.stdev(draw.a for draw in load_law("besiroglu2024").draws),
    "besiroglu_width_of_exponent": besiroglu_width_of_exponent,
    "besiroglu_params": lambda C: at_budget("besiroglu2024", C).n_params,
    "besiroglu_ratio_percentile": lambda C, percentile: at_percentile((run.tokens_per_param for run in drawn_runs(C)), percentile),
    "besiroglu_params_percentile": lambda C, percentile: at_percentile((run.n_params for run in drawn_runs(C)), percentile),
    "besiroglu_constant": lambda name: getattr(additive("besiroglu2024"), name),
    "besiroglu_standard_error": besiroglu_standard_error,
    "besiroglu_interval_of_exponent": lambda: 2 * statistics.NormalDist().inv_cdf(0.9) * besiroglu_standard_error("exponent"),
    "besiroglu_ratio": lambda C: at_budget("besiroglu2024", C).tokens_per_param,
    "besiroglu_exponent": lambda: additive("besiroglu2024").exponent,
    "allocation_exponent": lambda alpha, beta: Additive(0, 1, 1, alpha, beta).exponent,
    "apparent_exponent": lambda law: without_embeddings(law).exponent_between(*KAPLAN_SIZES),
    "apparent_loss_exponent": lambda law: without_embeddings(law).loss_exponent_between(*KAPLAN_SIZES),
    "porian_exponent": lambda step: load_law("porian2024").data["n_params_exponent"][step],
    "porian_batch_seqs": lambda N: rule("porian2024", "batch_tokens").at(n_params=N) / 2048,
    # muennighoff2023, sardana2024
    "repeated_loss": lambda N, D, U: muennighoff().on(U).loss(N, D),
    "repeated_tokens": lambda C, U: repeated_run(C, U).n_tokens,
    "repeated_epochs": lambda C, U: muennighoff().on(U).epochs(repeated_run(C, U).n_tokens),
    "repeated_params": lambda C, U: repeated_run(C, U).n_params,
    "muennighoff_constant": lambda name: getattr(muennighoff().fresh, name),
    "fresh_tokens_per_param": lambda: at_budget("muennighoff2023", 1e21).tokens_per_param,
    "geometric": lambda passes, lost: repetition.geometric(passes, lost),
    "worth_of_epochs": lambda epochs: muennighoff().on(1.0).effective_tokens(epochs) / epochs,
    "muennighoff_b": lambda: muennighoff().fresh.b,
    "deserved_params_per_token": lambda: muennighoff().fresh.params_at_tokens(1e11) / 1e11,
    "saturated": lambda R_star, R_D, U: repetition.saturated((1 + R_D) * U, U, R_star),
    "forms_of_repetition": forms_of_repetition,
    "served_params": lambda N_chinchilla, D_inference: served(N_chinchilla, D_inference)[1],
    "served_saving": served_saving,
    "served_data_ratio": served_data_ratio,
    # llama3-2024, deepseek2024, minicpm2024, gadre2024
    "llama_text_tokens": lambda C, A, alpha: Power(A, {"compute_flops": alpha}).at(compute_flops=C),
    "llama_tokens": lambda C: at_budget("llama3-2024", C).n_tokens,
    "params_of_budget": lambda C, D: allocate(load_law("besiroglu2024"), Question(compute_flops=C, n_tokens=D)).n_params,
    "six_n_over_m": lambda n_layer, d_model, l_seq: (
        6 * closed_forms.kaplan_params(n_layer, d_model) / closed_forms.deepseek_flops_per_token(n_layer, d_model, l_seq)
    ),
    "six_n2_over_m": lambda n_layer, d_model, l_seq, vocab: (
        6
        * (closed_forms.kaplan_params(n_layer, d_model) + vocab * d_model)
        / closed_forms.deepseek_flops_per_token(n_layer, d_model, l_seq)
    ),
    "deepseek_learning_rate": lambda C: rule("deepseek2024", "learning_rate").at(compute_flops=C),
    "deepseek_compute": lambda n_layer, d_model, D: closed_forms.deepseek_flops_per_token(n_layer, d_model, 4096) * D,
    "deepseek_batch": lambda C: rule("deepseek2024", "batch_tokens").at(compute_flops=C),
    "deepseek_tokens": lambda C: at_budget("deepseek2024", C).n_tokens,
    "minicpm_ratio": minicpm_ratio,
    "minicpm_eta": lambda: -growth(lambda flops: at_budget("minicpm2024", flops).tokens_per_param, 1e20, 1e21),
    "minicpm_average_ratio": lambda C: at_budget("minicpm2024", C).tokens_per_param,
    "gadre_a": lambda corpus: gadre(corpus)["a"],
    "gadre_b": lambda corpus: gadre(corpus)["b"],
    "gadre_e": lambda corpus: gadre(corpus)["e_nats"],
    "gadre_eta": lambda corpus: gadre(corpus)["eta"],
    "gadre_best_ratio": lambda corpus: additive(f"gadre2024-{CORPORA[corpus]}").tokens_at_params(1e9) / 1e9,
    "gadre_loss": gadre_loss,
    # batch size and learning rate
    "zhang_batch_seqs": lambda N_millions: rule("zhang2024", "batch_seqs_at_fixed_data").at(n_params=N_millions * 1e6),
    "step_law_batch": lambda D: rule("steplaw2025", "batch_tokens").at(n_tokens=D),
    "step_law_factor": lambda factor_D: factor(rule("steplaw2025", "batch_tokens"), factor_D),
    "step_law_learning_rate": lambda N, D: rule("steplaw2025", "learning_rate").at(n_params=N, n_tokens=D),
    "bjorck_learning_rate": lambda N, D: rule("bjorck2024", "learning_rate").at(n_params=N, n_tokens=D),
    "weight_decay_time": lambda TPP: rule("bergsma2025", "weight_decay_time").at(tokens_per_param=TPP),
    # precision, experts
    "kept_share": lambda P_w, gamma_w: precision.kept_share(P_w, gamma_w),
    "best_weight_bits": lambda: law_answers.precision_answer(16).best_weight_bits,
    "best_bits": lambda: precision.best_bits(precision.Precision(1.0, 1.0, 1.0)),
    "routing_cutoff": lambda b, c: expert_law("clark2022-s-base")._replace(b=b, c=c).useless_from(),
    "dense_params": lambda N, E: expert_law("clark2022-s-base").dense_params(N, E),
    "granularity_ratio": lambda: expert_law("krajewski2024").bracket(1) / expert_law("krajewski2024").bracket(16),
    "sparse_loss": lambda N, D, S: expert_law("abnar2025").loss(N, D, S),
    "joint_loss": lambda N_act, D, E: expert_law("ludziejewski2025").at(E).loss(N_act, D),
    # henighan2020, villalobos2024
    "henighan_params": lambda C_pfdays: at_budget("henighan2020-language", C_pfdays * PF_DAY_FLOPS).n_params,
    "henighan_loss_of_params": lambda domain, N: rule(f"henighan2020-{HENIGHAN[domain]}", "loss_of_params").at(n_params=N),
    "henighan_loss_of_compute": lambda C_pfdays: rule("henighan2020-language", "loss_of_compute").at(compute_flops=C_pfdays * PF_DAY_FLOPS),
    "token_stock": lambda: load_law("villalobos2024").data["stock"]["n_tokens"],
    # counts of models and runs
    "megatron_params": lambda l, h, s, V: closed_forms.megatron_params(l, h, V, s),
    "megatron_days": lambda T, P, n, X: device_hours(flops_to_do(training_flops(P, T), "hardware", "full"), X) / n / 24,
    "megatron_over_8p": lambda l, h, s, V: (
        closed_forms.megatron_recompute_flops(l, h, V, s) / (8 * closed_forms.megatron_params(l, h, V, s))
    ),
    "palm_flops_per_token": palm_flops_per_token,
    "palm_mfu": lambda N, L, H, Q, T, tokens_per_s, chips, peak: model_flops_utilisation(
        tokens_per_s * palm_flops_per_token(N, L, H, Q, T), chips / 3600, peak
    ),
    "palm_mfu_without_attention": lambda N, tokens_per_s, chips, peak: model_flops_utilisation(
        training_flops(N, tokens_per_s), chips / 3600, peak
    ),
    "score_share": lambda a, s, h: closed_forms.score_activation_bytes(s, a) / h,
    "selective_saving": lambda a, s, h: closed_forms.score_activation_bytes(s, a) * s / closed_forms.layer_activation_bytes(s, 1, h, a),
    "selective_flops": lambda s, h: closed_forms.selective_recompute_fraction(s, h),
    "layer_activation_bytes": lambda s, b, h, a: closed_forms.layer_activation_bytes(s, b, h, a),
    "gpt2_forward": lambda n_layer, n_embd, vocab, block: (
        count_flops(bill(n_layer, n_embd, n_heads=12, n_vocab=vocab), block).forward_flops
    ),
    "checkpoint_bytes": checkpoint_bytes,
}
"""Quantity of the table -> what computes it from the inputs of its row."""
