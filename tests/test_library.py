"""Presets and users' files: where they are found, what is refused."""

from __future__ import annotations

import pytest

from scaleplan import library
from scaleplan.errors import InputError, ScaleplanError, UnknownName
from scaleplan.schema import SCHEMAS, json_schema, validate

DEVICE = """
name = "mine"
[peak_flops_per_s]
bf16 = 100e12
[memory]
capacity_bytes = 17179869184
bandwidth_bytes_per_s = 1e12
"""


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_built_in_file_is_valid(kind):
    """What is built in is held to the models that users' files are held to."""
    for preset in library.all_of(kind):
        validate(kind, preset.data, str(preset.path))
        assert preset.name == preset.path.stem


@pytest.mark.parametrize("kind", [kind for kind in SCHEMAS if kind != "models"])
def test_every_table_of_a_built_in_file_has_a_source_and_a_date(kind):
    """A block without a source that sources.toml knows is a number from nowhere."""
    known = library.sources()
    for preset in library.all_of(kind):
        for name, block in preset.data.items():
            if isinstance(block, dict) and (kind, name) != ("laws", "role"):  # what a law is for is this project's choice
                cited = library.citations(block)
                assert cited, f"{preset.path.name}: [{name}] has no source"
                assert set(cited) <= set(known), f"{preset.path.name}: [{name}]"
                assert block.get("date"), f"{preset.path.name}: [{name}] has no date"


def test_the_nearest_file_wins(monkeypatch, tmp_path):
    """The project's folder before the user's before the built-in ones."""
    user = tmp_path / "home" / "scaleplan" / "presets" / "hardware"
    project = tmp_path / "project"
    user.mkdir(parents=True)
    (project / ".scaleplan" / "presets" / "hardware").mkdir(parents=True)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(project)

    assert library.load("hardware", "l4").data["vendor"] == "NVIDIA"
    (user / "l4.toml").write_text(DEVICE.replace("mine", "l4") + "[power]\ntdp_w = 1\n")
    assert library.load("hardware", "l4").data["power"]["tdp_w"] == 1
    (project / ".scaleplan" / "presets" / "hardware" / "l4.toml").write_text(DEVICE.replace("mine", "l4") + "[power]\ntdp_w = 2\n")
    assert library.load("hardware", "l4").data["power"]["tdp_w"] == 2


def test_a_device_is_known_by_its_aliases():
    """`a100` is the A100 that most people mean."""
    assert library.load("hardware", "a100").name == "a100-sxm-80gb"


def test_a_path_works_where_a_name_does(tmp_path):
    """A file needs no installation."""
    path = tmp_path / "mine.toml"
    path.write_text(DEVICE)

    assert library.load("hardware", str(path)).data["peak_flops_per_s"]["bf16"] == 100e12


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (("bf16 = 100e12", "bf16 = -1"), "peak_flops_per_s.bf16"),
        (("bf16 = 100e12", 'bf16 = "fast"'), "peak_flops_per_s.bf16"),
        (("bf16", "bf61"), "peak_flops_per_s.bf61"),
        (("[memory]", "[memories]"), "memories"),
        (("capacity_bytes = 17179869184", ""), "memory.capacity_bytes"),
        (("bf16 = 100e12", "bf16 = nan"), "peak_flops_per_s.bf16"),
        (("bf16 = 100e12", "bf16 = 1e-320"), "`peak_flops_per_s.bf16`: should be a number from 1e-30 to 1e40; it is `1e-320`"),
        (("bf16 = 100e12", "bf16 = 0"), "`peak_flops_per_s.bf16`: should be greater than 0; it is `0`"),
    ],
)
def test_a_users_file_is_refused_with_the_key_that_is_wrong(tmp_path, change, says):
    """Misspelt, missing, negative and not finite: each is named with its dotted key and the file."""
    path = tmp_path / "mine.toml"
    path.write_text(DEVICE.replace(*change))
    with pytest.raises(ScaleplanError) as refused:
        library.load("hardware", str(path))

    assert says in refused.value.report()
    assert "mine.toml" in refused.value.report()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"a = = 3\n", ":1: not valid TOML"),
        (bytes(range(256)), "not text"),
        (b"a = 1\0", "NUL"),
        (b"a = " + b"[" * 100_000, "nested"),
        (b"a = " + b"9" * 5000, "not valid TOML"),
    ],
)
def test_what_is_not_toml_is_refused(tmp_path, content, says):
    """The error says what the file is instead, and the line where there is one."""
    path = tmp_path / "broken.toml"
    path.write_bytes(content)
    with pytest.raises(InputError) as refused:
        library.read_toml(path)

    assert says in refused.value.report()
    assert "broken.toml" in refused.value.report()


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_text_is_read_in_its_encoding(tmp_path, encoding):
    """A byte-order mark says which."""
    path = tmp_path / "a.toml"
    path.write_bytes('title = "größer"'.encode(encoding))
    assert library.read_toml(path) == {"title": "größer"}


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path):
    """Each has its own message."""
    with pytest.raises(InputError, match="is a folder"):
        library.read_bytes(tmp_path)
    with pytest.raises(InputError, match="no file"):
        library.read_bytes(tmp_path / "missing.toml")


def test_a_table_of_draws_is_rectangular(tmp_path):
    """A row that is short or holds a word is refused."""
    path = tmp_path / "x.draws.csv"
    path.write_text("a,b\n1,2\n3,4\n")
    assert library.read_draws(path) == {"a": [1.0, 3.0], "b": [2.0, 4.0]}
    for broken in ("a,b\n1,2\n3\n", "a,b\n1,x\n", "a,b\n1,2,3\n"):
        path.write_text(broken)
        with pytest.raises(InputError, match="draws"):
            library.read_draws(path)


def test_a_near_name_is_suggested():
    """A typing mistake costs one look."""
    with pytest.raises(UnknownName) as refused:
        library.load("hardware", "a100-sxm-80g")
    assert "did you mean `a100-sxm-80gb`?" in refused.value.hint


@pytest.mark.parametrize("kind", SCHEMAS)
def test_the_schema_is_json_schema(ask, kind):
    """An editor can check a file with what --schema prints."""
    schema = ask("presets", kind, "--schema")["json_schema"]

    assert schema == json_schema(kind)
    assert schema["type"] == "object"
    assert "name" in schema["properties"]


@pytest.mark.parametrize(
    ("kind", "said", "meant"),
    [
        ("models", "gpt3", "gpt3-175b"),
        ("models", "GPT-3", "gpt3-175b"),
        ("models", "gpt-2", "gpt2"),
        ("models", "mistral-7b", "mistral-7b-v0.1"),
        ("models", "mistralai/Mistral-7B-v0.1", "mistral-7b-v0.1"),
        ("models", "llama3-8b", "llama-3-8b"),
        ("models", "Llama 3 8B", "llama-3-8b"),
        ("models", "meta-llama/Meta-Llama-3-8B", "llama-3-8b"),
        ("models", "meta-llama/Llama-3.1-8B-Instruct", "llama-3.1-8b"),
        ("models", "meta-llama/Llama-2-7b-hf", "llama-2-7b"),
        ("models", "openai-community/gpt2-xl", "gpt2-xl"),
        ("models", "deepseek-ai/DeepSeek-V3", "deepseek-v3"),
        ("models", "mistralai/Mixtral-8x7B-Instruct-v0.1", "mixtral-8x7b"),
        ("models", "google-t5/t5-small", "t5-small"),
        ("models", "EleutherAI/gpt-neox-20b", "gpt-neox-20b"),
        ("models", "chinchilla", "chinchilla-70b"),
        ("hardware", "nvidia-h100", "h100-sxm"),
        ("hardware", "H100 80GB", "h100-sxm"),
        ("hardware", "NVIDIA H100 80GB HBM3", "h100-sxm"),
        ("hardware", "NVIDIA A100-SXM4-80GB", "a100-sxm-80gb"),
        ("hardware", "NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("hardware", "Tesla V100-SXM2-32GB", "v100-sxm-32gb"),
        ("hardware", "GeForce RTX 4090", "rtx-4090"),
        ("hardware", "4090", "rtx-4090"),
        ("hardware", "AMD Instinct MI300X", "mi300x"),
        ("hardware", "TPU v5e", "tpu-v5e"),
        ("hardware", "trn2", "trainium2"),
    ],
)
def test_a_preset_is_known_by_the_names_that_people_use(kind, said, meant):
    """Aliases of its file, another spelling, what the driver or the hub calls it."""
    assert library.load(kind, said).name == meant


@pytest.mark.parametrize("kind", ["models", "hardware"])
def test_no_two_presets_answer_to_one_name(kind):
    """Own names and aliases, however they are spelled, lead to one preset."""
    meant: dict[str, set[str]] = {}
    for name in library.names(kind):
        for known in (name, *library.aliases(kind, name)):
            for spelling in library.spellings(kind, known):
                meant.setdefault(spelling, set()).add(name)

    assert {spelling: found for spelling, found in meant.items() if len(found) > 1} == {}


@pytest.mark.parametrize(
    ("kind", "name"), [("models", "llama"), ("models", "nvidia"), ("hardware", "nvidia"), ("hardware", "../x"), ("models", "a/b/c")]
)
def test_a_name_that_could_be_several_or_none_is_no_alias(kind, name):
    """An owner alone, a family alone, a path."""
    with pytest.raises(ScaleplanError):
        library.load(kind, name)
