"""The Python side: what a notebook imports."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback

import numpy as np
import pytest

import scaleplan


@pytest.mark.parametrize("name", [*scaleplan.CORE, "params", "flops", "presets"])
def test_every_name_is_there(name):
    """What `dir` lists can be used."""
    assert name in dir(scaleplan)
    assert callable(getattr(scaleplan, name))


def test_a_name_that_is_not_there_is_an_attribute_error():
    """hasattr and completion rely on it."""
    assert not hasattr(scaleplan, "no_such_name")


def test_importing_it_loads_nothing():
    """`import scaleplan` waits for no room of the house."""
    code = "import sys, scaleplan; print([m for m in sys.modules if m.startswith('scaleplan.') or m in ('numpy', 'typer')])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip() == "[]"


def test_one_question_asked_from_python():
    """Llama 3 8B has 8,030,261,248 parameters (its released checkpoint), and 1e21 FLOP pay for 2.78e9 by the default law."""
    bill = scaleplan.bill_of(scaleplan.read_model("llama-3-8b").arch)
    run = scaleplan.allocate(scaleplan.load_law("besiroglu2024"), scaleplan.Question(compute_flops=1e21))

    assert scaleplan.count_params(bill).n_params == 8_030_261_248
    assert scaleplan.count_flops(bill, 1024).backward_flops == 2 * scaleplan.count_flops(bill, 1024).forward_flops
    assert run.n_params == pytest.approx(2.778e9, rel=1e-3)


def test_arrays_give_what_numbers_give():
    """One formula serves both."""
    law = scaleplan.load_law("hoffmann2022-3")
    budgets = np.array([1e19, 1e21, 5.76e23])
    many = scaleplan.allocate(law, scaleplan.Question(compute_flops=budgets)).n_params

    assert many == pytest.approx([scaleplan.allocate(law, scaleplan.Question(compute_flops=c)).n_params for c in budgets], rel=1e-12)


def test_an_error_that_nobody_catches_shows_the_way_out():
    """Python prints the notes of an exception under it: the hint, with keywords."""
    with pytest.raises(scaleplan.errors.ScaleplanError) as refused:
        scaleplan.memory("lama-3-8b")
    assert "hint: did you mean `llama-3-8b`?" in "".join(traceback.format_exception(refused.value))


@pytest.mark.parametrize("model", [8, {1, 2}, ["gpt2"]])
def test_a_model_of_another_type_is_refused(model):
    """A number, a dict or a list is no name of a model: the error says so and names the field."""
    with pytest.raises(scaleplan.errors.InputError, match="model"):
        scaleplan.memory(model)


def test_a_number_of_thousands_of_digits_is_refused():
    """Python itself refuses to write it down."""
    for given in ({"n_devices": 10**5000}, {"n_devices": [8, 10**5000]}):
        with pytest.raises(scaleplan.errors.ScaleplanError, match="digits"):
            scaleplan.layout("gpt2", hardware="h100-sxm", **given)


LLAMA = {
    "model_type": "llama", "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "vocab_size": 100,
}  # fmt: skip


def test_a_document_may_be_given_as_it_is():
    """A config as a mapping or as JSON is the model of its file; an answer stands for what it prints."""
    as_mapping, as_json = (scaleplan.params(config) for config in (LLAMA, json.dumps(LLAMA)))
    assert as_mapping.result == as_json.result == scaleplan.params(as_mapping).result
    cost = scaleplan.cost("gpt2", tokens="1B", hardware="h100-sxm")
    for document in (cost, cost.to_json(), json.loads(cost.to_json())):
        assert scaleplan.check(document, limit="usd<=1M").exit_code == 0


@pytest.mark.parametrize(
    ("asked", "hint"),
    [
        (lambda: scaleplan.optimal(1e21), "compute=1e+21"),
        (lambda: scaleplan.layout("gpt2", hardware="h100-sxm", n_devices=(8, 16)), "`8,16`"),
        (lambda: scaleplan.layout("gpt2", hardware="h100-sxm", explain="pp2", stage_layers=[6, 6]), "`6,6`"),
        (lambda: scaleplan.memory("gpt2", hardware="h100-sxm", layout=["tp2", "dp4"]), "`tp2,dp4`"),
        (lambda: scaleplan.params("7B"), 'sp.params(target="7B")'),
        (lambda: scaleplan.params(n_params=7e9), "`target`"),
        (lambda: scaleplan.serve("gpt2", hardware="h100-sxm", batch_size_seqs=8), "`concurrency`"),
        (lambda: scaleplan.serve("gpt2", hardware="h100-sxm", zzz=8), "help(sp.serve)"),
        (lambda: scaleplan.memory("no-such-model-at-all"), 'sp.presets("models")'),
        (scaleplan.memory, 'sp.presets("models")'),
        (lambda: scaleplan.optimal(compute=1e21).to("xml"), "csv"),
    ],
)
def test_a_slip_in_python_shows_the_python_way_out(asked, hint):
    """Keywords and calls, no flags and no commands of a shell."""
    with pytest.raises(scaleplan.ScaleplanError) as refused:
        asked()
    said = f"{refused.value} {refused.value.hint}"
    assert hint in said
    assert not re.search(r"--[a-z]|`scaleplan |[\ue000-\ue005]", said)


def test_texts_of_an_answer_name_keywords():
    """Notes and warnings in Python and in a notebook; the text of `print` is that of the command line."""
    answer = scaleplan.memory("gpt2", seq_len=4096)
    texts = [*answer.notes, *(note for table in answer.tables for note in table.notes), *(one.message for one in answer.warnings)]
    assert any("batch_size_seqs" in text for text in texts)
    assert not re.search(r"--[a-z]|[\ue000-\ue005]", " ".join(texts))
    assert "batch_size_seqs" in answer._repr_html_() and "--batch" not in answer._repr_html_()
    assert "--batch-size-seqs" in str(answer)


def test_a_prompt_shows_the_tables():
    """What `print` shows; of a sweep the number of its rows, which may be millions."""
    answer = scaleplan.params("gpt2")
    assert repr(answer) == str(answer) and "124,439,808" in repr(answer)
    assert repr(scaleplan.sweep("params", "gpt2", over={"n_extra_params": "1:1e6:lin:1000000"})) == "<scaleplan.sweep: 1,000,000 rows>"


def test_a_path_that_leads_nowhere_says_what_there_is():
    """The near key, or the keys."""
    answer = scaleplan.params("gpt2")
    for path, way_out in (("n_param", "did you mean `n_params`"), ("zzz", "it has kind, n_params"), ("groups.att", "no `att` in `groups`")):
        with pytest.raises(KeyError, match=way_out):
            answer[path]
