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
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from scaleplan import library
from scaleplan.laws import batch, convention, experts, precision, repetition
from scaleplan.laws.allocation import Question, allocate, allocate_draws
from scaleplan.laws.convention import training_flops
from scaleplan.laws.forms import Additive, KaplanLoss
from scaleplan.laws.inference import Served
from scaleplan.laws.law import loss_of
from scaleplan.laws.power import Power
from scaleplan.machine.recipe import optimizer_bytes, optimizer_named, precision_named
from scaleplan.machine.run_time import device_hours, flops_to_do
from scaleplan.model import closed_forms
from scaleplan.model.bill import bill_of
from scaleplan.model.conventions import training_flops as flops_by_convention
from scaleplan.model.flops import Lengths, count_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.plan.catalogue import load_law
from scaleplan.plan.uncertainty import interval
from scaleplan.units import PF_DAY_FLOPS

TABLE = Path(__file__).with_name("laws.csv")
GOPHER_FLOPS = 5.76e23


def cases() -> Iterator[Any]:
    with TABLE.open(newline="", encoding="utf-8") as lines:
        for row in csv.DictReader(lines):
            yield pytest.param(row, id=f"{row['id']}-{row['quantity']}")


@pytest.mark.parametrize("row", list(cases()))
def test_published_number(row: dict[str, str]):
    """A number in print follows from the functions and presets, within the digits it is printed with."""
    inputs = json.loads(row["inputs"] or "{}")
    assert QUANTITIES[row["quantity"]](**inputs) == pytest.approx(float(row["expected"]), rel=float(row["relative_tolerance"]))


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


def additive(law: str) -> Additive:
    return load_law(law).additive


def kaplan_loss() -> KaplanLoss:
    found = load_law("kaplan2020").loss
    assert isinstance(found, KaplanLoss)
    return found


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
    return 6 * N + (found["palm"] - found["six_n_active"]) / T


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


def apparent_exponent() -> float:
    """Slope of log N over log C when a law of total N is optimised in non-embedding N and C, from 768 to 1.5e9 parameters.

    1 % more non-embedding parameters are only `share` % more in all, so the data that N deserves grow by share^(-1 / beta).
    """
    law = additive("besiroglu2024")
    sizes = [768 * (1.5e9 / 768) ** (i / 99) for i in range(100)]
    budgets = []
    for n in sizes:
        total = convention.total_params(n)
        share = (n + convention.EMBEDDING_SCALE / 3 * n ** (1 / 3)) / total
        budgets.append(training_flops(n, law.tokens_at_params(total) * share ** (-1 / law.beta)))
    return statistics.linear_regression([math.log(c) for c in budgets], [math.log(n) for n in sizes]).slope


def besiroglu_width_of_exponent() -> float:
    found = interval(draw.exponent for draw in load_law("besiroglu2024").draws)
    assert found
    return found.p90 - found.p10


def besiroglu_ratio_percentile(C: float, percentile: int) -> float:
    found = interval(run.tokens_per_param for run in allocate_draws(load_law("besiroglu2024"), Question(compute_flops=C)))
    return getattr(found, f"p{percentile}")


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


def forms_of_repetition() -> float:
    """Five passes in two forms, delta = 0.25: sum of 0.75^k against the exponential with R* = 3, as a share of the data term."""
    geometric = sum(0.75**k for k in range(5))
    beta = muennighoff().fresh.beta
    return (repetition.saturated(5.0, 1.0, 3.0) / geometric) ** beta - 1


def minicpm_ratio(C: float, C_N: float, alpha: float, C_D: float, beta: float, L0: float) -> float:
    block = {"form": "additive", "e_nats": L0, "a": C_N, "b": C_D, "alpha": alpha, "beta": beta, "n_params_unit": 1e9, "n_tokens_unit": 1e9}
    law = loss_of(block)
    assert isinstance(law, Additive)
    n = law.params_at_compute(C)
    return C / 6 / n / n


def gadre(corpus: str) -> dict[str, Any]:
    name = {"c4": "c4", "rpj": "redpajama", "rw": "refinedweb"}[corpus]
    return load_law(f"gadre2024-{name}").data["loss"]


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
    "loss_factor_of_compute": lambda factor_C: factor_C ** rule("kaplan2020", "loss_of_compute").exponents["compute_flops"],
    "loss_factor_of_tokens": lambda factor_D: (
        rule("kaplan2020", "loss_of_tokens").at(n_tokens=factor_D) / rule("kaplan2020", "loss_of_tokens").at(n_tokens=1)
    ),
    "loss_of_params": lambda N: rule("kaplan2020", "loss_of_params").at(n_params=N),
    "kaplan_loss_table_5": lambda N, D: KaplanLoss(8.8e13, 5.4e13, 0.076, 0.095).loss(N, D),
    "overfit_prefactor": lambda delta: kaplan_loss().tokens_at_overfit(1e9, delta) / 1e9 ** (0.076 / 0.103),
    "critical_batch": lambda L: rule("kaplan2020", "critical_batch").at(loss_nats=L),
    "critical_batch_factor": lambda loss_factor: (
        rule("kaplan2020", "critical_batch").at(loss_nats=loss_factor) / rule("kaplan2020", "critical_batch").at(loss_nats=1)
    ),
    "kaplan_compute_exponent": lambda alpha_S, alpha_B, alpha_N: batch.compute_exponent(alpha_S, alpha_B, alpha_N),
    "kaplan_batch_exponent": lambda alpha_C_min, alpha_B: alpha_C_min / alpha_B,
    "kaplan_data_factor": lambda factor_C: factor_C ** rule("kaplan2020", "tokens_of_compute").exponents["compute_flops"],
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
    "compute_of_size": lambda n_ratio: step_loss().compute_of_size(n_ratio),
    "steps_of_size": lambda n_ratio: step_loss().steps_of_size(n_ratio),
    "loss_of_steps": lambda N, S_min: step_loss().loss(N, S_min),
    "contradiction_params": lambda C_min_pfdays: (
        allocate(load_law("kaplan2020"), Question(compute_flops=2 * C_min_pfdays * PF_DAY_FLOPS)).n_params
    ),
    "kaplan_learning_rate": lambda N: load_law("kaplan2020").rules["learning_rate"].at(n_params=N),
    # mccandlish2018
    "steps_over_fewest": lambda B_over_Bcrit: batch.Tradeoff(min_tokens=1e10, min_steps=1e4).steps(B_over_Bcrit * 1e6) / 1e4,
    "noise_scale": lambda B_small, B_big, g2_small, g2_big: batch.noise_scale(B_small, B_big, g2_small, g2_big),
    # hoffmann2022
    "hoffmann_1_compute": lambda N: budget_of_params("hoffmann2022-1", N),
    "hoffmann_1_params": lambda C: at_budget("hoffmann2022-1", C).n_params,
    "hoffmann_2_tokens": lambda C: rule("hoffmann2022-2", "allocation_of_tokens").at(compute_flops=C),
    "hoffmann_3_compute": lambda N: budget_of_params("hoffmann2022-3", N),
    "hoffmann_3_params": lambda C: at_budget("hoffmann2022-3", C).n_params,
    "hoffmann_3_exponent": lambda: additive("hoffmann2022-3").exponent,
    "hoffmann_3_ratio": lambda C: at_budget("hoffmann2022-3", C).tokens_per_param,
    "hoffmann_3_rounded_loss": lambda N, D: additive("hoffmann2022-3-rounded").loss(N, D),
    "gopher_budgets": lambda C: C / GOPHER_FLOPS,
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
    "besiroglu_ratio_percentile": besiroglu_ratio_percentile,
    "besiroglu_exponent": lambda: additive("besiroglu2024").exponent,
    "allocation_exponent": lambda alpha, beta: Additive(0, 1, 1, alpha, beta).exponent,
    "apparent_exponent": apparent_exponent,
    "porian_last_layer": lambda: load_law("porian2024").data["n_params_exponent"]["counting_last_layer"],
    "porian_cosine": lambda: load_law("porian2024").data["n_params_exponent"]["cosine_to_budget"],
    # muennighoff2023, sardana2024
    "repeated_loss": lambda N, D, U: muennighoff().on(U).loss(N, D),
    "repeated_tokens": lambda C, U: repeated_run(C, U).n_tokens,
    "repeated_epochs": lambda C, U: muennighoff().on(U).epochs(repeated_run(C, U).n_tokens),
    "muennighoff_b": lambda: muennighoff().fresh.b,
    "deserved_params_per_token": lambda: muennighoff().fresh.params_at_tokens(1e11) / 1e11,
    "saturated": lambda R_star, R_D, U: repetition.saturated((1 + R_D) * U, U, R_star),
    "forms_of_repetition": forms_of_repetition,
    "served_params": lambda N_chinchilla, D_inference: served(N_chinchilla, D_inference)[1],
    "served_saving": served_saving,
    "served_data_ratio": served_data_ratio,
    # llama3-2024, deepseek2024, minicpm2024, gadre2024
    "llama_text_tokens": lambda C, A, alpha: Power(A, {"compute_flops": alpha}).at(compute_flops=C),
    "params_of_budget": lambda C, D: allocate(load_law("besiroglu2024"), Question(compute_flops=C, n_tokens=D)).n_params,
    "six_n_over_m": lambda n_layer, d_model, l_seq: (
        6 * closed_forms.kaplan_params(n_layer, d_model) / closed_forms.deepseek_flops_per_token(n_layer, d_model, l_seq)
    ),
    "deepseek_compute": lambda n_layer, d_model, D: closed_forms.deepseek_flops_per_token(n_layer, d_model, 4096) * D,
    "deepseek_batch": lambda C: rule("deepseek2024", "batch_tokens").at(compute_flops=C),
    "deepseek_tokens": lambda C: at_budget("deepseek2024", C).n_tokens,
    "minicpm_ratio": minicpm_ratio,
    "minicpm_eta": lambda alpha, beta: (beta - alpha) / (alpha + beta),
    "gadre_a": lambda corpus: gadre(corpus)["a"],
    "gadre_b": lambda corpus: gadre(corpus)["b"],
    "gadre_e": lambda corpus: gadre(corpus)["e_nats"],
    "gadre_loss": gadre_loss,
    # batch size and learning rate
    "zhang_batch_seqs": lambda N_millions: rule("zhang2024", "batch_seqs_at_fixed_data").at(n_params=N_millions * 1e6),
    "step_law_batch": lambda D: rule("steplaw2025", "batch_tokens").at(n_tokens=D),
    "step_law_factor": lambda factor_D: factor_D ** rule("steplaw2025", "batch_tokens").exponents["n_tokens"],
    "weight_decay_time": lambda TPP: rule("bergsma2025", "weight_decay_time").at(tokens_per_param=TPP),
    # precision, experts
    "kept_share": lambda P_w, gamma_w: precision.kept_share(P_w, gamma_w),
    "best_bits": precision.best_bits_over_gamma,
    "routing_cutoff": lambda b, c: expert_law("clark2022-s-base")._replace(b=b, c=c).useless_from(),
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
    "palm_mfu": lambda N, L, H, Q, T, tokens_per_s, chips, peak: tokens_per_s * palm_flops_per_token(N, L, H, Q, T) / (chips * peak),
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
