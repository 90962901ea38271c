"""Where a model may come from, and files that hold none."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from tests.cases import CONFIGS, PUBLISHED

from scaleplan import library
from scaleplan.errors import ScaleplanError, UnknownName
from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params
from scaleplan.model.synthesis import STYLES, shapes_near
from scaleplan.model_files import (
    model_document,
    model_of_answer,
    model_of_config,
    model_of_json,
    model_of_toml,
    model_of_words,
    read_model,
    write_model,
)

GPT2 = (CONFIGS / "gpt2.json").read_text(encoding="utf-8")
GPT2_PARAMS = 124_439_808
TOML = """
name = "small"
[architecture]
n_layers = 2
d_model = 64
n_heads = 2
n_vocab = 100
source = "somewhere"
[training]
seq_len = 128
"""


def n_params(path: str | Path) -> int:
    return bill_of(read_model(str(path)).arch).n_params()


def test_a_folder_is_called_by_its_name(tmp_path: Path):
    """A config.json has the name of the folder it lies in."""
    (tmp_path / "my-model").mkdir()
    (tmp_path / "my-model" / "config.json").write_text(GPT2)

    assert read_model(str(tmp_path / "my-model")).label == "my-model"


def test_a_model_file_is_read_with_its_training(tmp_path: Path):
    """Words under [architecture], what is published of the training, the sources."""
    path = tmp_path / "small.toml"
    path.write_text(TOML)
    model = read_model(str(path))

    assert bill_of(model.arch).n_params() == 100 * 64 + 2 * (12 * 64**2 + 13 * 64) + 2 * 64
    assert model.label == "small"
    assert model.training == {"seq_len": 128}
    assert model.sources == ("somewhere",)


def test_bare_words_are_a_model_file(tmp_path: Path):
    """The table [architecture] may be left out."""
    path = tmp_path / "small.toml"
    path.write_text("n_layers = 2\nd_model = 64\nn_heads = 2\nn_vocab = 100\n")

    assert n_params(path) == 100 * 64 + 2 * (12 * 64**2 + 13 * 64) + 2 * 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "empty"),
        (GPT2[: len(GPT2) // 2], "not valid JSON"),
        (f"[{GPT2}]", "no config"),
        (GPT2 + GPT2, "not valid JSON"),
        ('{"model_type": ' + "[" * 100_000 + "]" * 100_000 + "}", "nested too deeply"),
        ('{"model_type": "gpt2", "n_layer": ' + "9" * 5000 + "}", "not valid JSON"),
        ("n_layers = = 3", "not valid TOML"),
        ("n_layers = 3\n", "d_model"),
        ("title = 'nothing'\n", "no architecture"),
        ("n_layers = 2\nd_model = 64\nn_heads = 2\nn_vocab = 100\nn_haeds = 3\n", "n_heads"),
        ("architecture = 3\n", "architecture"),
    ],
)
def test_what_is_no_model_is_refused_with_its_file(tmp_path: Path, text: str, said: str):
    """The error names the file and what is wrong with it."""
    path = tmp_path / ("model.toml" if text.startswith(("n_", "title", "arch")) else "model.json")
    path.write_text(text)

    with pytest.raises(ScaleplanError) as caught:
        read_model(str(path))
    assert said in caught.value.report()
    assert path.name in caught.value.report()


def test_a_folder_without_a_config_is_refused(tmp_path: Path):
    """A folder is a model only through its config.json."""
    with pytest.raises(ScaleplanError, match=r"config\.json"):
        read_model(str(tmp_path))


def test_a_preset_name_wins_over_a_folder_of_that_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A bare name that is a preset is the preset."""
    (tmp_path / "gpt2").mkdir()
    monkeypatch.chdir(tmp_path)

    assert n_params("gpt2") == GPT2_PARAMS


def test_the_format_is_told_by_the_text(tmp_path: Path):
    """JSON under the name of a TOML file is JSON, and the other way round; a bracket that comes first opens a table."""
    (tmp_path / "model.toml").write_text(GPT2)
    (tmp_path / "model.json").write_text(TOML)
    assert n_params(tmp_path / "model.toml") == GPT2_PARAMS
    assert n_params(tmp_path / "model.json") == 100 * 64 + 2 * (12 * 64**2 + 13 * 64) + 2 * 64

    (tmp_path / "model.toml").write_text(TOML.replace('name = "small"', ""))
    assert n_params(tmp_path / "model.toml") == n_params(tmp_path / "model.json")


def test_an_unknown_name_is_refused_with_near_ones():
    """`gpt2-xxl` is most like `gpt2-xl`."""
    with pytest.raises(UnknownName, match="gpt2-xxl") as refused:
        read_model("gpt2-xxl")
    assert "gpt2-xl" in (refused.value.hint or "")


@pytest.mark.parametrize(
    "name",
    ["", " ", "\0", "a" * 5000, "a/" + "b" * 5000, "../../etc/passwd", "/dev/null", "no/such/folder/", ".", "-x", "\u202egpt2"],
    ids=lambda name: repr(name)[:12],
)
def test_a_name_that_is_none_is_refused_briefly(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Whatever stands where a model should: an error of one screen."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ScaleplanError) as refused:
        read_model(name)
    assert len(refused.value.report()) < 2000


# ----------------------------------------------------------------------------------------------------- written and read back

FAMILIES = [json.loads(line) for line in (PUBLISHED / "families.jsonl").read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize("row", FAMILIES, ids=lambda row: row["name"])
def test_any_config_written_as_a_model_file_is_the_same_architecture(row: dict[str, Any]):
    """Every kind of layer, its tensors and its order: through TOML and through JSON."""
    try:
        model = model_of_config(row["config"], "any")
    except ScaleplanError:
        pytest.skip("a config that is refused")

    assert model_of_toml(tomllib.loads(write_model(model)), "").arch == model.arch
    assert model_of_json(json.loads(json.dumps(model_document(model))), "").arch == model.arch


@pytest.mark.parametrize("name", library.names("models"))
def test_a_preset_written_as_a_model_file_is_the_same_model(name: str):
    """Also what is said of its training, and its sources."""
    model = read_model(name)
    again = model_of_toml(tomllib.loads(write_model(model)), "")

    assert again == model


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("target", [1e8, 7e9, 1e12])
def test_a_shape_near_a_size_is_written_exactly(style: str, target: float, tmp_path: Path):
    """Read back, it has the same number of parameters and the same parts."""
    best = shapes_near(target, style)[0]
    path = tmp_path / "model.toml"
    path.write_text(write_model(model_of_words(best.words)), encoding="utf-8")
    again = count_params(bill_of(read_model(str(path)).arch))

    assert again.n_params == best.params.n_params
    assert again.parts == best.params.parts


def test_odd_names_and_notes_survive_toml():
    """Quotes, backslashes, line ends, control characters and letters of all scripts."""
    model = model_of_words({"n_layers": 1, "d_model": 64, "n_heads": 1, "n_vocab": 10})
    odd = model._replace(label='a "b" \\ \n \x7f \x01 größe 模型 😀', training={"note": "C:\\new\ttab"})
    again = model_of_toml(tomllib.loads(write_model(odd)), "")

    assert again.label == odd.label
    assert again.training == odd.training


# ------------------------------------------------------------------------------------------------------------------- answers


def answer(**inputs: Any) -> dict[str, Any]:
    """The JSON answer of a command, as far as a reader of models looks at it."""
    return {"schema": "scaleplan.params/2", "scaleplan_version": "0.1.0", "inputs": inputs, "result": {}}


def test_an_answer_holds_its_model(tmp_path: Path):
    """What `inputs.model_shape` says is the model, whatever the answer counted."""
    model = read_model("deepseek-v3")
    path = tmp_path / "answer.json"
    path.write_text(json.dumps(answer(model="deepseek-v3", model_shape=model_document(model))), encoding="utf-8")

    assert read_model(str(path)) == model


@pytest.mark.parametrize("inputs", [{}, {"model": "gpt2"}, {"model_shape": None}, {"model_shape": {"name": "x"}}, {"model_shape": "gpt2"}])
def test_an_answer_without_a_model_names_its_command(inputs: dict[str, Any]):
    """`batch` has no architecture to hand on."""
    with pytest.raises(ScaleplanError, match="the answer of `batch` holds no model"):
        model_of_answer({"schema": "scaleplan.batch/1", "inputs": inputs})


def test_what_was_not_counted_travels_with_the_model():
    """A warning of the reader of a config is one of the answer that reads its model."""
    config = json.loads(GPT2) | {"vision_config": {"hidden_size": 1}}
    model = model_of_config(config, "seeing")

    assert model.cautions
    assert model_of_json(model_document(model), "").cautions == model.cautions


@pytest.mark.parametrize(
    "tensor",
    [
        "a",
        {"name": "a"},
        {"name": "a", "group": "other", "shape": []},
        {"name": "a", "group": "other", "shape": [0]},
        {"name": "a", "group": "other", "shape": [2, "b"]},
        {"name": "a", "group": "other", "shape": [2], "size": 1},
        {"name": "a", "group": "other", "shape": [2], "matmul": 1},
        {"name": 1, "group": "other", "shape": [2]},
        {"name": "a", "group": "other", "shape": [2], "count": 0},
    ],
)
def test_a_tensor_of_a_file_is_checked(tensor: Any):
    """Name, group, shape; nothing else, and sizes that are sizes."""
    words = {"n_layers": 1, "d_model": 64, "n_heads": 1, "n_vocab": 10, "layer_tensors": [tensor]}
    with pytest.raises(ScaleplanError):
        model_of_toml({"architecture": words}, "")
