"""Where a model may come from, and files that hold none."""

from __future__ import annotations

from pathlib import Path

import pytest

from scaleplan.errors import ScaleplanError, UnknownName
from scaleplan.model.bill import bill_of
from scaleplan.model_files import read_model

GPT2 = (Path(__file__).parent / "published" / "configs" / "gpt2.json").read_text(encoding="utf-8")
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
