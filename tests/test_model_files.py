"""Where a model may come from, and files that hold none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scaleplan.errors import ScaleplanError
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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_a_config_in_any_unicode(tmp_path: Path, encoding: str):
    """A byte-order mark or two bytes a letter change nothing."""
    path = tmp_path / "config.json"
    path.write_text(GPT2, encoding=encoding)

    assert n_params(path) == n_params(tmp_path) == GPT2_PARAMS


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


def test_ten_megabytes_of_json_are_read(tmp_path: Path):
    """A long value that nobody asks for is no reason to refuse."""
    path = tmp_path / "config.json"
    path.write_text(json.dumps(json.loads(GPT2) | {"junk": "x" * 10_000_000}))

    assert n_params(path) == GPT2_PARAMS


def test_the_same_key_twice_is_fine_if_it_says_the_same(tmp_path: Path):
    """A repeated key is refused only where it contradicts itself."""
    path = tmp_path / "config.json"
    path.write_text(GPT2.rstrip()[:-1] + ', "n_layer": 12}')
    assert n_params(path) == GPT2_PARAMS

    path.write_text(GPT2.rstrip()[:-1] + ', "n_layer": 13}')
    with pytest.raises(ScaleplanError, match="n_layer"):
        n_params(path)


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
