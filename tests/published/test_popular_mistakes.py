"""Numbers that circulate in notes and reviews and are wrong: what is claimed, and what our answers say instead.

Each right value was derived by hand from the formulas that the wrong one was said to follow from. The last tests are of numbers that
are often "corrected" although they are right.
"""

from __future__ import annotations

import pytest

EXAMPLE = ("--n-layers", "36", "--d-model", "1280", "--n-heads", "20", "--n-vocab", "50257")
GPT_OF_KORTHIKANTI = ("--precision", "bf16", "--dropout", "0.1", "--stack", "korthikanti2022")
A100_AT_40_PERCENT = ("--hardware", "a100-sxm-80gb", "--mfu", "0.4")
SEQUENCE_OF_OPT = ("flops", "opt-175b", "--seq-len", "2048", "--batch-size-seqs", "1")


def convention(result, name, key="n_params"):
    return next(row[key] for row in result["conventions"] if row["name"] == name)


def kept(ask, *args, recompute="none", attention="eager"):
    """Bytes that one layer keeps of one sequence."""
    asked = ("memory", *args, *GPT_OF_KORTHIKANTI, "--batch-size-seqs", "1", "--recompute", recompute, "--attention", attention)
    return ask(*asked)["activations"]["per_layer_bytes"]


# The example of 36 layers of width 1280.


def test_36_layers_of_width_1280_are_no_billion(ask):
    """Claimed: 12 L d^2 = 1e9. It is 707,788,800; 773,428,480 with the tables of tokens and of 1,024 positions."""
    result = ask("params", *EXAMPLE, "--n-positions", "1024")

    assert convention(result, "kaplan") == 707_788_800
    assert convention(result, "kaplan") + result["n_embedding_params"] == 773_428_480


def test_a_forward_pass_of_1024_tokens(ask):
    """Claimed: 1e12 FLOP, 2 n d^2 for a feed-forward, no projections. It is 36 (24 n d^2 + 4 n^2 d) + 2 n d V."""
    n, d = 1024, 1280
    batch = ask("flops", *EXAMPLE, "--seq-len", "1024", "--batch-size-seqs", "1")["batch"]

    assert batch["forward_flops"] == 36 * (24 * n * d**2 + 4 * n**2 * d) + 2 * n * d * 50257
    assert batch["groups"]["mlp_dense"] == 36 * 16 * n * d**2
    assert batch["groups"]["head_matrix"] == pytest.approx(1.32e11, rel=2e-3)
    assert batch["forward_flops"] - batch["groups"]["head_matrix"] == pytest.approx(1.643e12, rel=1e-3)


def test_a_token_of_the_example(ask):
    """Claimed: 1e9 FLOP. Kaplan's 2 N and half of the attention square are 1.51e9."""
    result = ask("flops", *EXAMPLE, "--seq-len", "1024")
    assert convention(result, "kaplan_context", "training_flops_per_token") / 3 == 1_509_949_440


def test_activations_of_the_example(ask):
    """Claimed: 180 MB, a tensor a layer. In 16 bits a sequence keeps 5.38 GB, 1.60 GB without the square, 94 MB with full recomputation."""
    layers = 36
    shape = (*EXAMPLE, "--seq-len", "1024")

    assert layers * kept(ask, *shape) == layers * 1024 * 1280 * (34 + 80) == pytest.approx(5.38e9, rel=1e-3)
    assert layers * kept(ask, *shape, recompute="selective") == layers * 1024 * 1280 * 34 == pytest.approx(1.60e9, rel=3e-3)
    assert layers * kept(ask, *shape, recompute="full") == layers * 1024 * 1280 * 2 == pytest.approx(94e6, rel=5e-3)


def test_training_keeps_16_bytes_a_parameter(ask):
    """Claimed: 4 bytes a parameter in all. Weights, gradients and Adam's states are 16, in 32 bits as in mixed precision."""
    for precision in ("fp32", "bf16-mixed-16"):
        (row,) = ask("memory", *EXAMPLE, "--precision", precision)["precisions"]
        state = row["weights_bytes"] + row["gradients_bytes"] + row["optimizer_bytes"]
        assert state / 772_719_360 == pytest.approx(16, rel=1e-5)


# The run of 1e9 parameters on 1e5 batches of 2e6 tokens.


def test_a_petaflop_day_is_8_64e19_flop(run):
    """Claimed: 1e15 FLOP, which is a petaflop-second."""
    asked = run("optimal", "--compute", "1 PF-day", "--law", "besiroglu2024", "--json").document
    assert asked["inputs"]["compute_flops"] == 8.64e19


def test_the_example_run_costs_thousands_of_dollars(ask):
    """Claimed: 1,000 PF-days and 50,000 to 200,000 dollars. 1.2e21 FLOP are 13.9 PF-days, 2,671 A100-hours, 2,700 to 10,700 dollars."""
    bill = [ask("cost", "--n-params", "1e9", "--tokens", "2e11", *A100_AT_40_PERCENT, "--usd-per-device-hour", usd) for usd in ("1", "4")]

    assert bill[0]["training_flops"] / 8.64e19 == pytest.approx(13.9, rel=1e-3)
    assert bill[0]["device_hours"] == pytest.approx(2671, rel=1e-3)
    assert [each["usd"] for each in bill] == pytest.approx([2671, 10_684], rel=1e-3)


def test_one_pass_over_webtext2_is_cheaper_still(ask):
    """The 7.08e8 parameters that the example has, on 2.29e10 tokens: 9.73e19 FLOP, 216 A100-hours."""
    result = ask("cost", "--n-params", "707788800", "--tokens", "2.29e10", *A100_AT_40_PERCENT)

    assert result["training_flops"] == pytest.approx(9.73e19, rel=1e-3)
    assert result["device_hours"] == pytest.approx(216, rel=5e-3)


def test_the_example_run_repeats_its_data(ask):
    """2e11 tokens of a text of 2.29e10 (not 2.29e8 or 2.29e9) are 8.7 passes."""
    asked = ("optimal", "--n-params", "1e9", "--tokens", "2e11", "--unique-tokens", "2.29e10")
    assert ask(*asked)["laws"][0]["epochs"] == pytest.approx(8.73, rel=1e-3)


def test_exponents_of_the_loss_are_not_those_of_the_budget(ask):
    """Claimed: alpha = beta = 0.5. Those are the exponents of N and D in C; the loss falls as N^-0.35 and D^-0.37."""
    rows = {row["key"]: row["value"] for row in ask("presets", "laws", "besiroglu2024")["values"]}
    per_decade = ask("optimal", "--compute", "1e21", "--law", "besiroglu2024")["laws"][0]["per_decade"]

    assert (rows["loss.alpha"], rows["loss.beta"]) == (0.3478, 0.3658)
    assert (per_decade["n_params"], per_decade["n_tokens"]) == pytest.approx((10**0.5126, 10**0.4874), rel=1e-3)


def test_bert_base_has_110_million_parameters(ask):
    """Claimed: 190 million. The encoder and its tables are 109.5 million; the head of its training adds less than a million."""
    result = ask("params", "bert-base-uncased")
    assert result["n_params"] - result["n_head_params"] == pytest.approx(109.5e6, rel=0.01)


# OPT-175B.


def test_activations_of_opt(ask):
    """Claimed: 50 GB. A sequence keeps 275 GB, 82 GB with selective and 4.8 GB with full recomputation."""
    shape = ("--n-layers", "96", "--d-model", "12288", "--n-heads", "96", "--n-vocab", "50272", "--seq-len", "2048")

    assert 96 * kept(ask, *shape) == pytest.approx(275e9, rel=2e-3)
    assert 96 * kept(ask, *shape, recompute="selective") == pytest.approx(82e9, rel=3e-3)
    assert 96 * kept(ask, *shape, recompute="full") == pytest.approx(4.8e9, rel=1e-2)


@pytest.mark.parametrize(("precision", "state_bytes"), [("fp16-mixed-16", 2.8e12), ("fp16-mixed-12", 2.1e12)])
def test_state_of_opt(ask, precision, state_bytes):
    """Claimed: over 400 GB. 16 bytes a parameter are 2.8 TB, 12 without a 32-bit copy 2.1 TB; 350 GB are the weights alone."""
    (row,) = ask("memory", "opt-175b", "--precision", precision)["precisions"]

    assert row["weights_bytes"] == pytest.approx(350e9, rel=3e-3)
    assert row["weights_bytes"] + row["gradients_bytes"] + row["optimizer_bytes"] == pytest.approx(state_bytes, rel=5e-3)


def test_flop_of_a_step_of_opt(ask):
    """Claimed: 350 GFLOP. A layer takes 7.63e12 forward, a sequence 2.20e15 with its backward pass, a step of 2e6 tokens 2.15e18."""
    batch = ask(*SEQUENCE_OF_OPT)["batch"]
    layers = batch["forward_flops"] - batch["groups"]["head_matrix"]

    assert layers / 96 == pytest.approx(7.63e12, rel=1e-3)
    assert 3 * layers == pytest.approx(2.20e15, rel=2e-3)
    assert 3 * layers * 2e6 / 2048 == pytest.approx(2.15e18, rel=3e-3)


def test_flop_of_opt(ask):
    """Claimed: 35 ZFLOP, from 1e8 steps. 3e11 tokens are 315 ZFLOP or 3,646 PF-days by 6 N D."""
    flops = ask("cost", "--n-params", "175e9", "--tokens", "300B", *A100_AT_40_PERCENT)["training_flops"]

    assert flops == 315 * 10**21
    assert flops / 8.64e19 == pytest.approx(3646, rel=1e-3)


# Right, though often corrected.


def test_six_nines_make_21_zeros(ask):
    """6 x 1e9 x 2e6 x 1e5 is 1.2e21 and not 1.2e24."""
    assert ask("cost", "--n-params", "1e9", "--tokens", "2e11", *A100_AT_40_PERCENT)["training_flops"] == 12 * 10**20


def test_a_billion_parameters_are_4_gb_in_32_bits(ask):
    """Weights alone: 4 bytes each."""
    (row,) = ask("memory", *EXAMPLE, "--precision", "fp32")["precisions"]
    assert row["weights_bytes"] == 4 * 772_719_360


def test_opt_is_175_billion(ask):
    """12 L d^2 = 1.739e11 with tables of 6.4e8 are 1.746e11."""
    result = ask("params", "opt-175b")

    assert convention(result, "kaplan") == 12 * 96 * 12288**2
    assert result["n_params"] == pytest.approx(1.746e11, rel=1e-3)
