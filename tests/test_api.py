"""The Python side: what a notebook imports."""

from __future__ import annotations

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


@pytest.mark.parametrize("model", [8, {"n_layers": 3}, ["gpt2"]])
def test_a_model_of_another_type_is_refused(model):
    """A number, a dict or a list is no name of a model: the error says so and names the field."""
    with pytest.raises(scaleplan.errors.InputError, match="model"):
        scaleplan.memory(model)
