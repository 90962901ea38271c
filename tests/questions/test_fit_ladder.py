"""`scaleplan fit --form ladder`: from a user's ladder of models to the accuracy on a task."""

from __future__ import annotations

import json
import math
import random

import pytest

import scaleplan as sp

SIZES = (1.9e8, 3.7e8, 7.6e8, 1.3e9)
RATIOS = (20, 40, 100, 200)
# HellaSwag of the ladder of OLMo 2, as the article prints it (bhagia2024, steps 1 and 2)
PRINTED = {"a": math.exp(2.41870), "b": math.exp(4.10047), "alpha": 0.19554, "beta": 0.25650, "e": 0.50191}
MAP = {"a": -0.73011, "l0": 0.76674, "k": 12.74171, "b": 0.99210}


def loss_of(n, d):
    return PRINTED["e"] + PRINTED["a"] / n ** PRINTED["alpha"] + PRINTED["b"] / d ** PRINTED["beta"]


def accuracy_of(loss):
    return MAP["a"] / (1 + math.exp(-MAP["k"] * (loss - MAP["l0"]))) + MAP["b"]


def rows_of(noise=0.0, seed=0):
    """N, D, loss of the task and accuracy of sixteen runs."""
    chance = random.Random(seed)
    for n in SIZES:
        for ratio in RATIOS:
            loss = loss_of(n, ratio * n) * math.exp(chance.gauss(0, noise))
            yield n, ratio * n, loss, accuracy_of(loss) + chance.gauss(0, noise)


def written(path, rows, header="n_params,n_tokens,task_loss,accuracy"):
    path.write_text(header + "\n" + "".join(",".join(map(str, row)) + "\n" for row in rows))
    return path


def test_printed_constants_come_back(tmp_path):
    """A ladder without noise gives the constants of both steps as the article prints them, and misses its largest size by nothing."""
    found = sp.fit(str(written(tmp_path / "ladder.csv", rows_of())), form="ladder").result

    assert found["kind"] == "ladder"
    assert {key: found["task_loss"][key] for key in PRINTED} == pytest.approx(PRINTED, rel=2e-3)
    assert {key: found["score"][key] for key in MAP} == pytest.approx(MAP, rel=2e-3)
    assert found["held_out"]["mean_error"] == pytest.approx(0, abs=1e-4)
    assert found["n_runs"] == 16


def test_optimal_takes_the_task_law(tmp_path, run):
    """The file that is written forecasts a run four times beyond the ladder; its 80 % interval holds the truth of most ladders."""
    truth = accuracy_of(loss_of(5e9, 1e12))
    inside = 0
    for seed in range(5):
        ladder, law = written(tmp_path / "ladder.csv", rows_of(0.003, seed)), tmp_path / "my-task.toml"
        assert run("fit", ladder, "--form", "ladder", "--task", "mine", "--bootstrap", "60", "-o", law).code == 0
        (row,) = sp.optimal(task=str(law), n_params=5e9, tokens=1e12).result["forecasts"]
        spread = row["intervals"]["accuracy"]
        inside += spread["p10"] <= truth <= spread["p90"]
        assert (row["task"], row["family"], row["standing"]) == ("mine", "own-models", "fitted")
    assert inside >= 3


def test_checkpoints_of_a_run_are_resampled_together(tmp_path):
    """Eight copies of each run under its label tell no more than the run alone; as runs of their own they would seem to."""
    once = list(rows_of(0.01, 1))
    copied = [(*row, f"run-{place}") for place, row in enumerate(once) for _ in range(8)]
    labelled = written(tmp_path / "labelled.csv", copied, "n_params,n_tokens,task_loss,accuracy,run")
    plain = written(tmp_path / "plain.csv", [row[:4] for row in copied])
    spreads = [sp.fit(str(path), form="ladder", bootstrap=150).result["intervals"]["score.k"]["sd"] for path in (labelled, plain)]

    assert spreads[0] > 2 * spreads[1]


def test_a_general_loss_will_do_and_the_task_decides_the_form(tmp_path):
    """A column `loss` stands for the loss of the task; naming a task is asking for a ladder; per cents are scaled."""
    rows = [(n, d, loss, 100 * accuracy) for n, d, loss, accuracy in rows_of()]
    path = written(tmp_path / "ladder.csv", rows, "params,tokens,loss,acc")
    found = sp.fit(str(path), task="mine", unit=["accuracy=0.01"], bootstrap=30)

    assert found.result["task"] == "mine"
    assert found.result["score"]["k"] == pytest.approx(MAP["k"], rel=2e-3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda n, d, loss, accuracy: (n, d, loss, 100 * accuracy), "unit"),
        (lambda n, d, loss, accuracy: (min(n, 7.6e8), d, loss, accuracy), "sizes"),
        (lambda n, d, loss, accuracy: (n, d, loss, 0.25 + 0.01 * math.sin(1e6 * loss)), "chance"),
        (lambda n, d, loss, accuracy: (n, d, loss, -accuracy), "negative"),
    ],
)
def test_what_tells_no_law_is_refused(tmp_path, change, words):
    """Per cents, three sizes, a task at chance, an accuracy below zero: exit 2 with the way out, in a message that names the file."""
    path = written(tmp_path / "ladder.csv", [change(*row) for row in rows_of()])
    with pytest.raises(sp.ScaleplanError) as refused:
        sp.fit(str(path), form="ladder")
    assert words in refused.value.report()
    assert "ladder.csv" in str(refused.value)


def test_a_column_is_missed_by_name(tmp_path):
    """Without an accuracy there is no ladder; a form of a loss takes no task."""
    path = written(tmp_path / "runs.csv", rows_of(), "n_params,n_tokens,loss,other")
    with pytest.raises(sp.ScaleplanError, match="accuracy"):
        sp.fit(str(path), form="ladder")
    with pytest.raises(sp.ScaleplanError, match="additive"):
        sp.fit(str(path), form="additive", task="mine")


def test_the_same_runs_give_the_same_bytes(tmp_path):
    """Resamples are drawn from a seed, and another seed draws others."""
    path = str(written(tmp_path / "ladder.csv", rows_of(0.003)))
    first, again, other = (sp.fit(path, form="ladder", bootstrap=40, seed=seed).to_json() for seed in (0, 0, 1))

    assert first == again
    assert json.loads(first)["result"]["intervals"] != json.loads(other)["result"]["intervals"]


def test_a_law_of_another_family_is_refused(tmp_path, run):
    """`family` is kept in the file, and models of another are not forecast."""
    law = tmp_path / "my-task.toml"
    run("fit", written(tmp_path / "ladder.csv", rows_of(0.003)), "--form", "ladder", "--family", "mine", "--bootstrap", "30", "-o", law)
    with pytest.raises(sp.ScaleplanError, match="mine"):
        sp.optimal(task=str(law), n_params=2e9, tokens=4e10, family="theirs")
    assert sp.optimal(task=str(law), n_params=2e9, tokens=4e10, family="mine").result["forecasts"]
