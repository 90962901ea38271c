"""`scaleplan flops`."""

from __future__ import annotations

import pytest


def test_a_batch_of_gpt2(ask):
    """The forward pass of 1024 tokens, and twice that backward."""
    batch = ask("flops", "gpt2", "--seq-len", "1024", "--batch-size-seqs", "1")["batch"]

    assert batch["forward_flops"] == batch["linear_flops"] + batch["attention_flops"] == 291_648_307_200
    assert batch["backward_flops"] == 2 * batch["forward_flops"]


def test_the_length_is_that_of_the_training_unless_given(run):
    """A preset knows its sequence length, and the answer says where it is from."""
    outcome = run("flops", "llama-2-7b")

    assert "4,096 tokens" in outcome.stdout
    assert "--seq-len" in outcome.stdout


def test_steps_times_batch_are_tokens(ask):
    """1,000 steps of 2^20 tokens are 1.048576e9 tokens."""
    found = ask("flops", "gpt2", "--seq-len", "1024", "--n-steps", "1000", "--batch-size-tokens", "1Mi")

    assert found["training_flops"] == pytest.approx(found["training_flops_per_token"] * 1000 * 2**20, rel=1e-12)


def test_six_n_and_the_steps_add_up_to_the_exact_count(ask):
    """The table from 6 N to the exact count ends where the exact count is."""
    found = ask("flops", "mixtral-8x7b", "--seq-len", "512")
    exact = next(row for row in found["conventions"] if row["name"] == "exact")

    assert sum(row["training_flops_per_token"] for row in found["from_six_n"]) == pytest.approx(
        exact["training_flops_per_token"], rel=1e-12
    )


def test_full_recomputation_adds_hardware_flops(ask):
    """Hardware FLOP over model FLOP lies just below 4/3: the head is not run again."""
    found = ask("flops", "opt-175b", "--seq-len", "2048", "--recompute", "full")

    assert 1.32 < found["hardware_flops_per_token"] / found["training_flops_per_token"] < 4 / 3


def test_causal_is_less_than_the_square(ask):
    """Only the attention term changes."""
    full, causal = (ask("flops", "gpt2", "--seq-len", "1024", *more)["batch"] for more in ((), ("--causal",)))

    assert causal["linear_flops"] == full["linear_flops"]
    assert causal["attention_flops"] * 2048 == full["attention_flops"] * 1025


def test_beyond_the_positions_there_is_a_warning(run):
    """GPT-2 has 1024 positions."""
    document = run("flops", "gpt2", "--seq-len", "4096", "--json").document

    assert [(w["kind"], w["factor"]) for w in document["warnings"]] == [("extrapolation", 4)]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("--seq-len=-5",), "-5"),
        (("--tokens", "nan"), "nan"),
        (("--decoder-seq-len", "128"), "--decoder-seq-len"),
        (("--seq-len", "1024", "--n-steps", "10", "--batch-size-tokens", "1000000"), "999424"),
        (("--recompute", "twice"), "twice"),
    ],
)
def test_refusals(run, args, said):
    """Exit 2, an error that names what was seen."""
    outcome = run("flops", "gpt2", *args)

    assert outcome.code == 2
    assert outcome.stderr.startswith("error:")
    assert said in outcome.stderr
