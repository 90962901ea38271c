"""The action, the hook and the example of a budget gate do what they say, as far as that goes without a hosted runner."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from scaleplan.chain.run_files.yaml_subset import parsed_subset

ROOT = Path(__file__).parents[1]
ACTION = ROOT / ".github/actions/check/action.yml"
HOOKS = ROOT / ".pre-commit-hooks.yaml"
PLAN = ROOT / "examples/ci/plan.toml"
GATE = ROOT / "examples/ci/check.sh"
BASH = shutil.which("bash")

Done = subprocess.CompletedProcess[str]
needs_bash = pytest.mark.skipif(BASH is None, reason="no bash on this machine")


def block(text: str, key: str) -> str:
    """The text of the last block scalar (`key: |` or `key: >-`), without its indent."""
    found = re.findall(rf"^( *){key}: [|>]-?\n((?:\1 +[^\n]*\n|\n)+)", text, re.MULTILINE)
    return textwrap.dedent(found[-1][1])


def in_bash(script: str, *arguments: str, tools: Path = Path(sys.executable).parent, **environment: str) -> Done:
    """The script under the shell of a runner, with the tools first on PATH."""
    assert BASH is not None
    path = os.pathsep.join([str(tools), os.environ["PATH"]])
    command = [BASH, "--noprofile", "--norc", "-eo", "pipefail", "-c", script, *arguments]
    return subprocess.run(command, env={**os.environ, "PATH": path, **environment}, capture_output=True, text=True, check=False)


def gate(tmp_path: Path, plan: Path = PLAN, base: str = "", limits: str = "") -> tuple[Done, str]:
    """The action's last step on a plan, and the job summary after it."""
    summary = tmp_path / "summary.md"
    summary.write_text("earlier step\n", encoding="utf-8")
    script = block(ACTION.read_text(encoding="utf-8"), "run")
    done = in_bash(script, PLAN=str(plan), BASE=base, LIMITS=limits, GITHUB_STEP_SUMMARY=str(summary))
    return done, summary.read_text(encoding="utf-8")


def dearer(tmp_path: Path) -> Path:
    """The plan with twice the tokens, and a limit on how far its dollars may rise."""
    changed = tmp_path / "dearer.toml"
    text = PLAN.read_text(encoding="utf-8").replace('tokens = "10B"', 'tokens = "20B"')
    changed.write_text(text + '\n[[limit]]\nquantity = "money.usd"\nmax_increase = "20%"\nat = "p50"\n', encoding="utf-8")
    return changed


@pytest.mark.parametrize("path", [ACTION, HOOKS], ids=["action", "hooks"])
def test_the_files_are_yaml(path):
    """PyYAML reads both files, where it is installed."""
    yaml = pytest.importorskip("yaml")
    assert yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_action_says_its_inputs():
    """The inputs are those of the check and the version; each has a description and only the plan has to be given."""
    head, steps = ACTION.read_text(encoding="utf-8").split("\nruns:\n")
    inputs = parsed_subset(head, ACTION.name)["inputs"]
    assert list(inputs) == ["plan", "base", "limits", "version"]
    assert [name for name, said in inputs.items() if said["required"]] == ["plan"]
    assert all(said["description"] for said in inputs.values())
    assert set(re.findall(r"\$\{\{ inputs\.(\w+) \}\}", steps)) == set(inputs)
    assert "  using: composite\n" in steps


def test_no_input_is_pasted_into_a_script():
    """Inputs reach the shell as environment variables: a script has no expression in it."""
    scripts = re.findall(r"^( *)run: \|\n((?:\1 +[^\n]*\n|\n)+)", ACTION.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(scripts) == 2
    assert not [script for _, script in scripts if "${{" in script]


@needs_bash
def test_the_action_passes_a_plan_within_its_limits(tmp_path):
    """Exit code 0, a sentence for each limit, and the verdicts after what the summary already had."""
    done, summary = gate(tmp_path, limits="  run.wall_s<=30d\n\nrun.device_hours<=1000\n")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("::notice title=scaleplan ") == 4
    assert summary.startswith("earlier step\n")
    assert summary.count("| pass |") == 4


@needs_bash
@pytest.mark.parametrize(("limits", "code"), [("money.usd<=1", 1), ("run.wall_s<=30d\nmoney.usd<=1\n", 1), ("money.usd<=1:warn", 0)])
def test_the_action_fails_with_a_broken_limit(tmp_path, limits, code):
    """A broken limit of level error fails the step, one of level warn does not; the summary has it either way."""
    done, summary = gate(tmp_path, limits=limits)
    assert done.returncode == code, done.stderr
    assert "| fail | money.usd |" in summary


@needs_bash
def test_the_action_compares_with_a_base(tmp_path):
    """Doubled dollars break a limit on the increase against the base, and not against the same plan."""
    changed = dearer(tmp_path)
    assert gate(tmp_path, changed, base=str(PLAN))[0].returncode == 1
    assert gate(tmp_path, changed, base=str(changed))[0].returncode == 0


@needs_bash
def test_the_action_fails_without_an_answer(tmp_path):
    """A plan that is not there is exit code 2."""
    assert gate(tmp_path, tmp_path / "none.toml")[0].returncode == 2


def hook(key: str) -> str:
    """A plain value of the hook."""
    found = re.search(rf"^[- ] {key}: (.*)$", HOOKS.read_text(encoding="utf-8"), re.MULTILINE)
    assert found is not None
    return found[1]


def run_hook(*arguments: str) -> Done:
    """The hook's entry on arguments and file names, split as the shell would split it."""
    words = shlex.split(block(HOOKS.read_text(encoding="utf-8"), "entry").replace("\n", " "))
    return in_bash('"$@"', "hook", *words, *arguments)


def test_the_hook_takes_files_named_for_a_plan():
    """A plan wherever it lies; a folder with such a name makes no plan of the files in it."""
    assert (hook("id"), hook("language"), hook("require_serial")) == ("scaleplan-check", "python", "true")
    named = re.compile(hook("files"))
    assert all(named.search(path) for path in ["plan.toml", "runs/plan.toml", "plans/plan-7b.toml", "a/main_plan.toml"])
    assert not [path for path in ["scaleplan/pyproject.toml", "plan.json", "plan.toml.orig"] if named.search(path)]


@needs_bash
def test_the_hook_judges_each_file(tmp_path):
    """Every plan is judged, one that fails is enough, and options before the names hold for all."""
    broken = tmp_path / "broken plan.toml"
    broken.write_text(PLAN.read_text(encoding="utf-8").replace('max = "$200"', 'max = "$1"'), encoding="utf-8")
    assert run_hook(str(PLAN), str(PLAN)).returncode == 0
    assert run_hook(str(broken), str(PLAN)).returncode == 1
    assert run_hook(str(PLAN), str(broken)).stdout.count("  money.usd  ") == 2
    assert run_hook("--limit=run.wall_s<=1", str(PLAN), str(PLAN)).returncode == 1


def run_example(tools: Path) -> Done:
    """The example with the tools of a folder."""
    return in_bash('exec bash "$0"', str(GATE), tools=tools)


@needs_bash
def test_the_example_passes():
    """The example holds with the tool as it is."""
    done = run_example(Path(sys.executable).parent)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("the gate works\n")


@needs_bash
@pytest.mark.parametrize("code", [0, 1])
def test_the_example_notices_a_gate_that_does_not_work(tmp_path, code):
    """A tool that lets everything pass, or nothing, makes the example fail."""
    real = shlex.quote(str(Path(sys.executable).parent / "scaleplan"))
    fake = tmp_path / "scaleplan"
    fake.write_text(f'#!/usr/bin/env bash\n{real} "$@"\nexit {code}\n', encoding="utf-8")
    fake.chmod(0o755)
    done = run_example(tmp_path)
    assert done.returncode == 1
    assert re.search(r"^exit [01] instead of [01]: ", done.stderr, re.MULTILINE)


def test_the_gate_of_the_project_runs_the_example():
    """The project's own checks run the example with the installed wheel."""
    assert 'PATH="$work/wheel/bin:$PATH" "$work/copy/examples/ci/check.sh"' in (ROOT / ".ci/run").read_text(encoding="utf-8")
