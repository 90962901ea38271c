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

    assert "Sequence length 4,096" in outcome.stdout
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


def way(result, name, key="training_flops_per_token"):
    return next(row[key] for row in result["conventions"] if row["name"] == name)


def test_a_batch_that_cuts_a_sequence_names_its_neighbours(run):
    """1,000,000 tokens are 976.56 sequences of 1024: 976 or 977 of them are meant."""
    outcome = run("flops", "gpt2", "--seq-len", "1024", "--n-steps", "1000", "--batch-size-tokens", "1000000")

    assert outcome.code == 2
    assert {"999424", "1000448"} <= set(outcome.stderr.replace(",", "").split())


@pytest.mark.parametrize(("text", "tokens"), [("1k", 1000), ("1Ki", 1024), ("2048", 2048), ("2e3", 2000)])
def test_lengths_are_read_in_tens_or_in_twos(ask, text, tokens):
    """k is a thousand, Ki is 1024."""
    assert ask("flops", "gpt2", "--seq-len", text)["batch"]["seq_len"] == tokens


def test_the_ways_to_say_how_many_tokens_agree(ask):
    """300B, 3e11 and 300000000000 are one number; so are steps of a batch in sequences or in tokens."""
    direct = [ask("flops", "gpt2", "--seq-len", "1024", "--tokens", text)["training_flops"] for text in ("300B", "3e11", "300000000000")]
    steps = [
        ask("flops", "gpt2", "--seq-len", "1024", "--n-steps", "600", *batch)["training_flops"]
        for batch in (("--batch-size-seqs", "512"), ("--batch-size-tokens", "524288"))
    ]

    assert len(set(direct)) == 1
    assert len(set(steps)) == 1


def test_six_n_of_300_billion_tokens(ask):
    """6 x 124,439,808 x 3e11 = 2.24e20."""
    result = ask("flops", "gpt2", "--tokens", "300B", "--seq-len", "1024")

    assert way(result, "six_n") == 6 * 124_439_808
    assert way(result, "six_n", "training_flops") == pytest.approx(6 * 124_439_808 * 3e11, rel=1e-12)


def test_tokens_of_a_text(ask):
    """96 GB at 4.2 bytes a token are 2.29e10 tokens (the corpus of kaplan2020)."""
    result = ask("flops", "gpt2", "--seq-len", "1024", "--text", "96GB", "--bytes-per-token", "4.2")

    assert result["training_flops"] == pytest.approx(result["training_flops_per_token"] * 96e9 / 4.2, rel=1e-12)


def test_without_tokens_a_run_has_no_flops(ask):
    """What was not asked is null, not 0."""
    assert ask("flops", "gpt2")["training_flops"] is None


def test_the_article_and_the_summary_have_lengths_of_their_own(ask):
    """--seq-len is the encoder's, --decoder-seq-len the decoder's: logits are for the latter (T5 small, 512 wide, 32,128 words)."""
    result = ask("flops", "t5-small", "--seq-len", "512", "--decoder-seq-len", "114")

    assert result["batch"]["groups"]["head_matrix"] == 2 * 114 * 512 * 32_128


def test_logits_and_windows_can_be_left_out(ask):
    """--no-logits takes 2 d V a token; --windowed counts 4,096 keys a query in Mistral 7B."""
    whole, without = (ask("flops", "gpt2", "--seq-len", "1024", *more)["batch"]["forward_flops"] for more in ((), ("--no-logits",)))
    full, windowed = (ask("flops", "mistral-7b-v0.1", "--seq-len", "8192", *more)["batch"] for more in ((), ("--windowed",)))

    assert whole - without == 2 * 1024 * 768 * 50_257
    assert windowed["attention_flops"] * 2 == full["attention_flops"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (("no-such-model-9",), "no-such-model-9"),
        (("gpt2", "--seq-len", "0"), "--seq-len"),
        (("gpt2", "--seq-len", "1.5"), "1.5"),
        (("gpt2", "--batch-size-seqs", "-1"), "-1"),
        (("gpt2", "--tokens", "0"), "--tokens"),
        (("gpt2", "--tokens", "inf"), "inf"),
        (("gpt2", "--tokens", "-300B"), "-300B"),
        (("gpt2", "--tokens", "1B", "--n-steps", "10", "--batch-size-tokens", "1Ki"), "--n-steps"),
        (("gpt2", "--n-steps", "10"), "--batch-size-tokens"),
        (("gpt2", "--text", "96G", "--bytes-per-token", "4.2"), "96G"),
        (("gpt2", "--text", "96GB"), "--bytes-per-token"),
        (("gpt2", "--seq-len", "1Ki", "--n-steps", "10", "--batch-size-tokens", "1Ki", "--batch-size-seqs", "1"), "--batch-size-seqs"),
        (("gpt2", "--n-layers", "12"), "--n-layers"),
        ((), "no model"),
    ],
)
def test_what_cannot_be_answered_is_refused(run, args, said):
    """Exit 2, an error that names the flag or the value, nothing on stdout."""
    outcome = run("flops", *args)

    assert (outcome.code, outcome.stdout) == (2, "")
    assert outcome.stderr.startswith("error:")
    assert said in outcome.stderr
