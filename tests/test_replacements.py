"""Files of users in the place of tables of ours, and presets of theirs: refused whole, with file, line and every fault."""

from __future__ import annotations

import csv
import re
import tomllib
from itertools import pairwise

import pytest

from scaleplan import library
from scaleplan.chain.step_time import time_table
from scaleplan.errors import InputError, ScaleplanError, SeveralErrors
from scaleplan.library import built_in
from scaleplan.questions.presets.overviews import of_zone
from scaleplan.replacements import check_assumptions, check_rows, faults_of
from scaleplan.schema import lines_of, validate

ASSUMPTIONS = ("defaults.toml", "peak_errors.toml", "efficiencies.toml")


def errors_of(refused: pytest.ExceptionInfo[ScaleplanError]) -> list[ScaleplanError]:
    return list(refused.value.errors) if isinstance(refused.value, SeveralErrors) else [refused.value]


@pytest.mark.parametrize("name", ASSUMPTIONS)
def test_our_own_tables_have_their_own_keys(name):
    """What is shipped passes the check that users' files pass."""
    ours = library.read_toml(built_in() / name)

    assert not list(faults_of(ours, ours, ""))


@pytest.mark.parametrize("kind", ["prices", "grid"])
def test_our_own_rows_pass(kind):
    """Every cell that is shipped is one that a user may write."""
    with (built_in() / f"{kind}.csv").open(newline="") as lines:
        heading, *rows = csv.reader(lines)

    assert len(check_rows(kind, heading, list(enumerate(rows, 2)), kind)) == len(rows) > 100


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("pue", "pue", "x"), "`pue.pue` is `x`, text; it is a number"),
        (("pue", "pue", 0.9), "`pue.pue` is 0.9; it is a number from 1"),
        (("pue", "pue", float("nan")), "`pue.pue` is nan"),
        (("whole_run_mfu", "p90", 1.5), "it is a number above 0 and at most 1"),
        (("whole_run_mfu", "p10", 0), "`whole_run_mfu.p10` is 0; it is a number above 0 and at most 1"),
        (("grid", "p10", 0.0), "`grid.p10` is 0; it is a number above 0"),
        (("whole_run_mfu", "p10", 0.6), "`whole_run_mfu.p10` is 0.6, above p50, 0.29"),
        (("whole_run_mfu", "p90", 0.2), "`whole_run_mfu.p50` is 0.29, above p90, 0.2"),
        (("pue", "pue", 1.01), "`pue.p10` is 1.09, above pue, 1.01"),
        (("power", "load_fraction_p90", 0.85), "`power.load_fraction` is 0.86, above load_fraction_p90, 0.85"),
        (("power", "system_over_device", 1.0), "`power.system_over_device` is 1; it is a number from 1.01"),
        (("largest_run", "n_devices", 2e7), "is 2e+07, more than 1000 times above the built-in 16384: is its unit the same?"),
        (("largest_run", "n_devices", 16), "is 16, more than 1000 times below the built-in 16384: is its unit the same?"),
        (("pue", "regions", {"eu": 1.1}), "`pue.regions.eu` is read by nothing"),
        (("price", "term", 5), "`price.term` is `5`; it is text"),
        (("price", "nonsense", 1), "`price.nonsense` is read by nothing"),
        (("goodput", "runs", []), "`goodput.runs` is `[]`, a list; it is a list of one or more"),
    ],
)
def test_a_changed_default_is_refused_by_key(change, said):
    """Wrong kind, out of range, in the wrong order, or unknown."""
    ours = library.read_toml(built_in() / "defaults.toml")
    table, key, value = change
    with pytest.raises(InputError, match=re.escape(said)):
        check_assumptions({**ours, table: {**ours[table], key: value}}, ours, "defaults.toml")


@pytest.mark.parametrize(("key", "value"), [("p10_p90_small", [0.16]), ("n_params", [1e9, 1e9]), ("p10_p90_large", [0.4, 0.22])])
def test_the_ends_of_a_range_are_two_and_in_order(key, value):
    """One end, no width and the larger first are refused."""
    ours = library.read_toml(built_in() / "defaults.toml")
    usual = ours["whole_run_mfu"]
    with pytest.raises(InputError, match="a list; it is two numbers, the smaller first"):
        check_assumptions({**ours, "whole_run_mfu": {**usual, "by_size": {**usual["by_size"], key: value}}}, ours, "defaults.toml")


def test_a_name_of_another_table_is_one_that_it_has():
    """The generation of hardware that others are priced as."""
    ours = library.read_toml(built_in() / "efficiencies.toml")
    with pytest.raises(InputError, match="`default_generation` is `Fermi`; it is one of generation: Ampere, Hopper"):
        check_assumptions({**ours, "default_generation": "Fermi"}, ours, "efficiencies.toml")


def test_a_fault_of_a_default_is_told_with_its_line(tmp_path, monkeypatch):
    """Of a wrong value, and of a table that lacks a key."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".scaleplan/presets/defaults.toml"
    path.parent.mkdir(parents=True)
    path.write_text('# mine\n[pue]\npue = "x"\nsource = 5\n')
    with pytest.raises(SeveralErrors) as refused:
        library.defaults()

    lines = {error.message.split("`")[1]: error.line for error in errors_of(refused)}
    assert (lines["pue.pue"], lines["pue.source"], lines["pue.p10"]) == (3, 4, 2)


def test_a_user_may_change_and_add(tmp_path):
    """Other numbers of the same kind pass, and more fleets under `pue.fleet` or stacks with measured peaks."""
    ours = library.read_toml(built_in() / "peak_errors.toml")
    mine = {**ours, "megatron21": {**ours["megatron21"], "tensor": {**ours["megatron21"]["all"], "p90": 2.0}}}

    check_assumptions(mine, ours, "peak_errors.toml")


def test_every_fault_of_a_table_is_told(tmp_path, monkeypatch):
    """Line by line, with the column and what it should hold."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".scaleplan/presets/prices.csv"
    path.parent.mkdir(parents=True)
    path.write_text("device,term,provider,usd_per_device_hour,date\nh100,on_demand,me,abc,2026\nh100,on_demand,me,-5,soon\nh100\n")
    with pytest.raises(SeveralErrors) as refused:
        library.rows("prices")

    assert [(error.line, error.message.split(" is ")[0]) for error in refused.value.errors] == [
        (2, "usd_per_device_hour"),
        (3, "usd_per_device_hour"),
        (3, "date"),
        (4, "1 cells under 5 headings"),
    ]
    path.write_text("device,term,provider,usd_per_device_hour,date\nh100,on_demand,me,2.5,2026-11\n")
    assert library.rows("prices")[0]["region"] == ""


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"a,b\n1,2\n", "lacks the column `device`"),
        (b"device,term,provider,usd_per_device_hour,date\n", "no rows"),
        ("device\n".encode("utf-16"), "prices.csv"),
        (b"\xff\x00\xfe" * 50, "prices.csv"),
        (b"device,device,term,provider,usd_per_device_hour,date\n", "two columns `device`"),
    ],
)
def test_a_damaged_table_is_refused_by_name(run, tmp_path, monkeypatch, data, said):
    """Exit 2, never a bug of ours, whatever the bytes."""
    path = tmp_path / "scaleplan/presets/prices.csv"
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    outcome = run("cost", "gpt2", "--tokens", "1B", "--hardware", "h100-sxm")

    assert outcome.code == 2
    assert said in outcome.stderr
    assert "prices.csv" in outcome.stderr
    assert "bug" not in outcome.stderr


STACK = """name = "mine"
[memory]
recipe = 18
attention = "fa2"
dropout = 0.0
bytes_per_logit = 9
context_bytes = 330_000_000
source = "ultrascale-playbook"
"""


def test_a_stack_is_refused_with_line_and_every_fault():
    """Each wrong value by its dotted key and line; sound it passes."""
    validate("stacks", tomllib.loads(STACK), "mine.toml", STACK)
    broken = STACK.replace("18", '"x"').replace('"fa2"', "5").replace("330_000_000", "-1").replace('"ultrascale-playbook"', "5")
    broken += "unheard = 1\n"
    with pytest.raises(SeveralErrors) as refused:
        validate("stacks", tomllib.loads(broken), "mine.toml", broken)

    assert sorted((error.line, error.message.split("`")[1]) for error in errors_of(refused)) == [
        (3, "memory.recipe"),
        (4, "memory.attention"),
        (7, "memory.context_bytes"),
        (8, "memory.source"),
        (9, "memory.unheard"),
    ]
    assert all(a.message != b.message for a, b in pairwise(errors_of(refused)))


def test_a_model_file_is_checked_beyond_its_words(run, tmp_path):
    """Training and sources are of their kinds; the line is told."""
    path = tmp_path / "m.toml"
    path.write_text("n_layers = 2\nd_model = 64\nn_heads = 2\nn_vocab = 100\nsource = 5\n[training]\nseq_len = 'long'\n")
    outcome = run("flops", path)

    assert outcome.code == 2
    assert "m.toml:5: `source`" in outcome.stderr
    assert "m.toml:7: `training.seq_len`" in outcome.stderr


def test_stacks_that_are_like_each_other_are_refused(tmp_path):
    """A circle ends in an error, not in a recursion."""
    path = tmp_path / "me.toml"
    path.write_text(f'name = "me"\n[time]\nlike = "{path}"\n')
    with pytest.raises(InputError, match="circle"):
        time_table(str(path))


def test_keys_are_found_on_their_lines():
    """Tables, dotted keys and quotes."""
    text = 'a = 1\n# b = 2\n[t.u]\nc.d = 3\n"e" = 4\n[[r]]\nx = 1\n'

    assert lines_of(text) == {("a",): 1, ("t", "u"): 3, ("t", "u", "c", "d"): 4, ("t", "u", "e"): 5, ("r",): 6, ("r", "x"): 7}


@pytest.mark.parametrize(
    "text",
    ["a" + ".a" * 20_000 + " = 1\n", "[" + ".".join("b" * 20_000) + "]\n", '"a"' + '."a"' * 20_000 + " = 1\n", "a" + " . a" * 60 + "=1"],
)
def test_a_key_of_very_many_parts_is_refused_before_it_is_read(text):
    """A parser takes the square of their number."""
    with pytest.raises(InputError, match="more than 50 parts"):
        library.parse_toml(text, "f.toml")


@pytest.mark.parametrize("text", ["x = [" + "0.1, " * 1000 + "]", 'x = "' + "a." * 1000 + '"', "x = '''\n" + "It is so. " * 1000 + "\n'''"])
def test_dots_in_values_are_no_parts(text):
    """Numbers and sentences have as many as they like."""
    assert "x" in library.parse_toml(text, "f.toml")


def test_a_zone_of_the_user_s_may_have_no_intensity():
    """An empty cell passes the check, and is listed as not known."""
    assert of_zone({"name": "mine", "kgco2e_per_kwh": "", "year": ""})["kgco2e_per_kwh"] is None
