"""Hostile cases for benchmarks/fuzz.py: command lines, calls of Python and files, each a valid one of which something was damaged."""

from __future__ import annotations

import json
import random
import re
import shlex
import tomllib
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from scaleplan.chain.run_files.run_file import FORMS, RunSettings, write_run_file
from scaleplan.library import built_in
from scaleplan.machine.layout import parse_layout
from scaleplan.model_files import read_model, toml_value
from scaleplan.questions.fields import Field
from scaleplan.questions.plan_file import key_fields
from scaleplan.questions.registry import NAMES, question_named

SCRIPT = "</script><i id=marked onmouseover=alert(1)>"
NUMBERS = """0 -1 1 2 7 8 1e3 4096 1B 70B 1e21 1e40 0.4 40% 2.5 1e-30 1e300 1e-300 nan inf -inf 1,000 1_000 0x10 1e 1e5.5 300TB 2**70
9223372036854775807 9223372036854775808 18446744073709551616 1099511627776""".split()  # noqa: SIM905 - a list of words
UNITS = "80G 80GiB 30d $5 $1e30 400W 385g/kWh 10h 1T 96GB 50MWh 100t 1.2s 0s 4Mi 1e400 ²".split()  # noqa: SIM905
MARKS = ("", " ", "x", "é", "\u202eevil", "\x1b[31mred", "\x1b]0;t\x07", "\u0085", "[red]x[/red]", "a|b", "`", "<b>", SCRIPT, "\n", "a\rb")
WORDS = """a=b = a= =b - -- / . .. all none auto full optimal critical gpt2 llama-3-8b mixtral-8x7b mamba-2.8b deepseek-v3 t5-small h100-sxm
tpu-v4 kaplan2020 besiroglu2024 steplaw2025 bf16-mixed fp8 int4 megatron22 tp2,dp4 dp8,zero3 tp8,pp8,dp4,sp,zero1 tp0 pp3,dp-1 dp2,dp2
ep8,dp8 usd<=5 n_params<=13B tp<=4 tokens=1e9:1e10:log:3 n_devices=8,16 1:2:lin:3 8:64 5:1 1/3 rank=8,targets=attention 10,12,10
training.tokens=2T model.preset=gpt2 32=0.041""".split()  # noqa: SIM905
VALUES = (*NUMBERS, *UNITS, *MARKS, *WORDS, "9" * 59, "9" * 5000, "x" * 300)
JUNK: tuple[Any, ...] = (
    *(0, -1, 1, 3, 1.5, True, False, "x", "", " ", [], {}, [[]], {"a": 1}, {"": []}, 1e300, -1e300, 1e-320, 10**30, 2**63, 2**62, 2**40),
    *(float("nan"), float("inf"), "12", ["y"], [1, "a"], SCRIPT, "\x1b[31mred", "a|b", "x" * 300, "é\u202e", [0] * 40),
)
OBJECTS: tuple[Any, ...] = (*JUNK, b"gpt2", object, 1j, ("gpt2", "x"), {1, 2}, range(3), Path("gpt2"), 10**5000)
"""What Python can hand in besides."""
USUAL: Mapping[str, Any] = {
    "model": "gpt2",
    "hardware": "h100-sxm",
    "compute": 1e21,
    "tokens": 2e10,
    "kind": "laws",
    "swept": "params",
}
SKIPPED = ("serve", "engine", "scheduler", "jobs")  # that start a server, a cluster or threads
READERS = {
    "models": (
        "params FILE",
        "flops FILE --tokens 1T",
        "memory FILE",
        "memory FILE --hardware h100-sxm --layout tp2,dp4",
        "memory FILE --inference",
        "cost FILE --tokens 1T --hardware h100-sxm",
        "serve FILE --hardware h100-sxm",
        "layout FILE --hardware h100-sxm --n-devices 4",
        "presets models FILE",
    ),
    "laws": (
        "optimal --compute 1e21 --law FILE",
        "optimal --loss 2.5 --law FILE",
        "optimal --rules --n-params 1B --law FILE",
        "batch --n-params 1B --tokens 20B --law FILE",
        "optimal --n-params 1B --tokens 20B --law FILE",
        "optimal --compute 1e21 --unique-tokens 1e9 --law FILE",
        "optimal --compute 1e21 --law FILE --plot chart.html",
        "presets laws FILE",
    ),
    "hardware": (
        "memory gpt2 --layout dp2 --hardware FILE",
        "cost --n-params 1B --tokens 20B --hardware FILE",
        "serve gpt2 --hardware FILE",
        "presets hardware FILE",
    ),
    "stacks": (
        "memory gpt2 --stack FILE",
        "memory gpt2 --hardware h100-sxm --layout dp2 --stack FILE",
        "cost gpt2 --tokens 1B --hardware h100-sxm --n-devices 8 --layout dp8 --stack FILE",
        "presets stacks FILE",
    ),
    "tasks": ("optimal --n-params 7B --tokens 4T --task FILE", "presets tasks FILE"),
}
"""Kind of preset -> commands that read a file of it."""
ANSWERED = (
    "cost gpt2 --tokens 300B --hardware h100-sxm --n-devices 8 --json",
    "params gpt2 --json",
    "optimal --compute 1e21 --json -v",
    "plan --model gpt2 --tokens 10B --hardware h100-sxm --n-devices 8 --json",
    "memory gpt2 --hardware h100-sxm --layout dp2 --json",
)
"""Commands whose answers are damaged and handed to others."""
REPLACED = (
    ("prices.csv", "cost gpt2 --tokens 1B --hardware h100-sxm"),
    ("prices.csv", "presets prices"),
    ("grid.csv", "cost gpt2 --tokens 1B --hardware h100-sxm --region us-east4"),
    ("grid.csv", "presets grid"),
    ("defaults.toml", "cost gpt2 --tokens 1B --hardware h100-sxm"),
    ("defaults.toml", "memory gpt2"),
    ("draws.csv", "cost gpt2 --tokens 1B --hardware h100-sxm"),
    ("peak_errors.toml", "memory gpt2 --hardware h100-sxm --layout dp2"),
    ("efficiencies.toml", "cost gpt2 --tokens 1B --hardware h100-sxm --n-devices 8 --layout dp8"),
    ("post_training.toml", "rl gpt2 --hardware h100-sxm --n-devices 8 --n-prompts 8 --n-responses 4"),
    ("run_files/megatron.csv", "layout gpt2 --hardware h100-sxm --n-devices 4 --emit megatron"),
    ("sources.toml", "presets sources"),
    ("hardware/h100-sxm.toml", "memory gpt2 --hardware h100-sxm --layout dp2"),
    ("models/gpt2.toml", "params gpt2"),
    ("laws/besiroglu2024.toml", "optimal --compute 1e21"),
    ("laws/besiroglu2024.draws.csv", "optimal --compute 1e21"),
    ("stacks/usual.toml", "memory gpt2 --hardware h100-sxm --layout dp2"),
)
"""Tables of ours that a file in the project's folder replaces, and a command that reads it."""
PLAN = """
[model]
preset = "gpt2"
[training]
tokens = "10B"
seq_len = 1024
batch_size_tokens = 524288
precision = "bf16-mixed"
[hardware]
device = "h100-sxm"
n_devices = 8
layout = "dp8"
[site]
region = "us-east4"
usd_per_device_hour = 2.0
[[cost]]
name = "people"
usd = 5000
per = "day"
[[limit]]
quantity = "money.usd"
max = "$200"
"""
LOGS = (
    "step_s,peak_bytes\n1.5,61000000000\n1.6,62000000000\n1.4,61500000000\n",
    '{"step_s": 1.5, "peak_bytes": 6.1e10}\n{"step_s": 1.6, "peak_bytes": 6.2e10}\n',
    "Step,gpt2 - iteration-time\n1,0.5\n2,0.6\n3,\n",
    " iteration   10/ 500 | consumed samples: 10 | elapsed time per iteration (ms): 1200.5 | learning rate: 6e-5 |\n"
    "[Rank 0] (after 10 iterations) memory (MB) | allocated: 1.0 | max allocated: 6000.5 | reserved: 1.0 | max reserved: 7000.5\n",
    "step: 10  loss:  5.0  memory: 40.5GiB(50%)  tps: 7,500  mfu: 40%\nstep: 20  loss:  4.5  memory: 40.5GiB(50%)  tps: 7,600\n",
)
TABLE = {
    "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 8, "d_head": 128, "d_ff": 14336, "gated": 1, "n_vocab": 128256, "tied": 0,
    "seq_len": 8192, "hardware": "h100-sxm", "n_devices": 64, "tp": 2, "pp": 2, "cp": 1, "dp": 16, "ep": 1, "n_virtual_stages": 1,
    "micro_batch_size_seqs": 1, "global_batch_size_seqs": 128, "recompute": "none", "sequence_parallel": 1, "zero_stage": 1,
    "attention": "flash", "precision": "bf16-mixed", "stack": "nanotron",
}  # fmt: skip
"""A row of a table of layouts."""
BOMBS = (
    "a" + ".a" * 20_000 + " = 1\n",
    "a = " + "[" * 50_000 + "]" * 50_000 + "\n",
    "".join(f"[t{number}]\n" for number in range(20_000)),
    "a = " + "9" * 200_000 + "\n",
    "a = " + "{a = " * 5_000 + "1" + "}" * 5_000 + "\n",
    'a = "' + "x" * 1_000_000 + '"\n',
    "a = 1\n" * 2,
    "\ufeff\ufeffa = 1\n",
)


class Case(NamedTuple):
    """A command line, what it reads from standard input, and the files of its folder; or keywords of a function of Python."""

    args: list[str]
    stdin: bytes = b""
    files: Mapping[str, bytes] = MappingProxyType({})
    keywords: Mapping[str, Any] | None = None


class Seeds(NamedTuple):
    """What cases are made from.

    lines    examples of the questions, as words
    presets  kind -> the texts of its files
    configs  Hugging Face configs
    answers  documents of ANSWERED
    """

    lines: list[list[str]]
    presets: Mapping[str, list[str]]
    configs: list[Any]
    answers: list[Any]


def seeds_of(configs: Path | None, answers: Callable[[list[str]], str]) -> Seeds:
    """The seeds; `answers` runs a command."""
    examples = [example for name in NAMES for example in question_named(name).examples]
    presets = {kind: [path.read_text(encoding="utf-8") for path in sorted((built_in() / kind).glob("*.toml"))] for kind in READERS}
    given = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(configs.glob("*.json"))] if configs else []
    return Seeds(
        [words for words in map(single, examples) if words], presets, given, [json.loads(answers(line.split())) for line in ANSWERED]
    )


def single(example: str) -> list[str]:
    """The words of an example that is one command and reads no file; else nothing."""
    words = shlex.split(example.replace("\\\n", " "))
    files = any(word.endswith((".json", ".toml", ".csv")) for word in words)
    return [] if files or {"|", ">", "-o", "--serve"} & set(words) else words[1:]


@lru_cache(maxsize=1)
def run_files() -> list[tuple[str, str]]:
    """Run files of every form: its name and text."""
    arch, settings = read_model("llama-3-8b").arch, RunSettings(8192, 1, 256, "bf16-mixed")
    words = {"megatron": "tp2,pp4,dp8,zero1,sp", "nemo": "tp2,pp4,dp8,zero1,sp", "torchtitan": "tp2,dp32,zero3,sp"}
    return [
        (form, write_run_file(form, arch, parse_layout(words.get(form, "tp2,dp32,zero2")), settings, "meta-llama/Meta-Llama-3-8B"))
        for form in FORMS
    ]


def measures(fields: Iterable[Field]) -> list[Field]:
    """The fields that are one number."""
    return [one for one in fields if one.number is not None and one.kind == "value" and one.name not in SKIPPED]


class Maker:
    """Draws a case of any kind; the same seed gives the same one."""

    def __init__(self, seed: str, seeds: Seeds) -> None:
        self.draw, self.seeds = random.Random(seed), seeds

    def case(self) -> Case:
        """One of any kind."""
        kinds = (self.line,) * 3 + (self.sized,) * 3 + (self.keywords, self.call) + (self.preset,) * 2 + (self.config,) * 2
        others = (self.answer, self.limits, self.runs, self.log, self.run_file, self.plan, self.table, self.replaced, self.drawn, self.bomb)
        made = self.draw.choice((*kinds, *others))()
        return made._replace(args=[word.replace("\0", "") for word in made.args])

    # ------------------------------------------------------------------------------------------------------------ flags

    def line(self) -> Case:
        """An example with words changed, dropped and added."""
        words = list(self.draw.choice(self.seeds.lines))
        for _ in range(self.draw.choice((0, 1, 1, 2))):
            place = self.draw.randrange(1, len(words)) if len(words) > 1 else 0
            if place and self.draw.random() < 0.7:
                words[place] = self.draw.choice(VALUES)
            elif place:
                del words[place]
        words += self.flags(words[0])
        if self.draw.random() < 0.03:
            words.insert(self.draw.randrange(len(words) + 1), self.draw.choice((*VALUES, "--json", "-h", "--version", "--tp", "--seq_len")))
        return Case([*words, *self.view()])

    def sized(self) -> Case:
        """An example with numbers of any size, and flags that take a number."""
        words = list(self.draw.choice(self.seeds.lines))
        places = [place for place in range(1, len(words)) if re.match(r"[$]?\d", words[place])]
        for place in self.draw.sample(places, min(len(places), self.draw.choice((0, 1, 1, 2)))):
            words[place] = re.sub(r"\d[\d.]*(e\d+)?", lambda _: self.number(), words[place], count=1)
        known = measures(question_named(words[0]).own_fields())
        chosen = self.draw.sample(known, min(len(known), self.draw.choice((0, 0, 1, 1, 2))))
        return Case([*words, *(word for one in chosen for word in (one.flag, f"{self.number()}{one.number}")), *self.view()])

    def number(self) -> str:
        """A number of any size, or next to one."""
        power = self.draw.choice((self.draw.uniform(-30, 40), self.draw.uniform(-3, 18)))
        near = f"{self.draw.choice((1 - 10 ** -self.draw.uniform(1, 16), 1 + 10 ** -self.draw.uniform(1, 15))):.17g}"
        whole = (
            f"{10**power:.0f}"[:25],
            str(self.draw.randrange(1, 20)),
            str(2 ** self.draw.randrange(40)),
            f"1e{self.draw.randrange(26)}",
        )
        return self.draw.choice((f"{10**power:.3g}", f"{10**power:.3g}", *whole, near))

    def flags(self, command: str, most: int = 3) -> list[str]:
        """Flags of a command with values."""
        known = [one for one in question_named(command).own_fields() if one.name not in SKIPPED] if command in NAMES else []
        chosen = self.draw.sample(known, min(len(known), self.draw.choice((0, 1, 1, 2, most))))
        return [word for one in chosen for word in ([one.flag] if one.kind == "switch" else [one.flag, self.value(one)])]

    def value(self, one: Any) -> str:
        """A value for a field: often a word it knows."""
        return str(self.draw.choice(one.choices) if one.choices and self.draw.random() < 0.6 else self.draw.choice(VALUES))

    def view(self) -> list[str]:
        """How the answer is shown, or where it goes."""
        shown = ("--json", "--json", "--json -v", "--format md", "--format csv", "--format plain", "-v", "-q", "", "")
        written = ("-o out.json", "-o out.html", "-o out.md", "-o out.toml", "-o out", "-o no/out", "--plot", "--plot chart.html")
        return self.draw.choice((*shown, self.draw.choice(written))).split()

    def keywords(self) -> Case:
        """A function of Python with keywords of every type."""
        name = self.draw.choice(NAMES)
        known = [one for one in question_named(name).every_field() if one.name not in SKIPPED]
        chosen = self.draw.sample(known, min(len(known), self.draw.choice((1, 2, 3, 4))))
        given = {one.name: self.given(one) for one in chosen}
        return Case([name], keywords={key: value for key, value in USUAL.items() if key in {one.name for one in known}} | given)

    def call(self) -> Case:
        """An example asked from Python, with numbers and arrays of any size."""
        name, *words = self.draw.choice([line for line in self.seeds.lines if line[0] not in ("presets", "sweep")])
        known = question_named(name).every_field()
        given: dict[str, Any] = {}
        if words and not words[0].startswith("--"):
            given[question_named(name).subject[0]] = words.pop(0)
        while words:
            one = next((one for one in known if one.flag == words[0]), None)
            if one is not None:
                value = True if one.kind == "switch" else words.pop(1)
                given[one.name] = [*given.get(one.name, []), value] if one.kind == "list" else value
            del words[0]
        numbers = [one.name for one in measures(known)]
        present = [key for key in given if key in numbers] or numbers
        changed = self.draw.sample(present, min(len(present), self.draw.choice((0, 1, 1, 2)))) + self.draw.sample(
            numbers, self.draw.choice((0, 0, 1))
        )
        return Case([name], keywords=given | {key: self.measured() for key in changed})

    def given(self, one: Any) -> Any:
        """A value for a keyword."""
        if one.kind == "switch" and self.draw.random() < 0.7:
            return True
        if one.number is not None and self.draw.random() < 0.5:
            return self.measured()
        return self.value(one) if self.draw.random() < 0.5 else self.draw.choice(OBJECTS)

    def measured(self) -> Any:
        """A number of any size, or an array of several."""
        numbers = [float(self.number()) for _ in range(self.draw.choice((1, 1, 2, 3)))]
        if len(numbers) > 1:
            return np.array(numbers) if self.draw.random() < 0.5 else np.array(numbers).clip(0, 2**62).astype(np.int64)
        return int(numbers[0]) if self.draw.random() < 0.5 else numbers[0]

    # ------------------------------------------------------------------------------------------------------------ files

    def preset(self) -> Case:
        """A preset with some values replaced or gone."""
        kind = self.draw.choice(sorted(READERS))
        text = self.draw.choice(self.seeds.presets[kind])
        return self.reading(READERS[kind], self.toml(text), "given.toml")

    def toml(self, text: str) -> bytes:
        """A TOML file of which values were damaged, or lines."""
        if self.draw.random() < 0.5:
            return self.bytes(self.lines(text).encode("utf-8", "replace"))
        data = tomllib.loads(text)
        for _ in range(self.draw.choice((1, 1, 2, 3))):
            self.damage(data)
        return self.bytes("".join(f"{toml_key(key)} = {toml_value(value)}\n" for key, value in data.items()).encode("utf-8", "replace"))

    def lines(self, text: str) -> str:
        """A text with a line doubled, dropped or moved, or the value of one replaced."""
        lines = text.splitlines() or [""]
        for _ in range(self.draw.choice((1, 1, 2))):
            place, other = (self.draw.randrange(len(lines)) for _ in range(2))
            junk = toml_value(self.draw.choice(JUNK)) if self.draw.random() < 0.6 else self.draw.choice(VALUES)
            here = lines[place]
            changed = here.partition("=")[0] + f"= {junk}" if "=" in here else junk
            lines[place : place + 1] = self.draw.choice(([], [here] * 2, [junk], [changed], [lines[other], here]))
            lines = lines or [""]
        return "\n".join(lines) + "\n"

    def config(self) -> Case:
        """A Hugging Face config with some values replaced; where there are none, an answer."""
        if not self.seeds.configs:
            return self.answer()
        data = json.loads(json.dumps(self.draw.choice(self.seeds.configs)))
        for _ in range(self.draw.choice((1, 1, 2))):
            self.damage(data)
        return self.reading(READERS["models"], self.bytes(json.dumps(data).encode()), "config.json")

    def answer(self) -> Case:
        """An answer with damaged values, checked, compared or read as a model."""
        data = json.loads(json.dumps(self.draw.choice(self.seeds.answers)))
        before = json.dumps(data).encode()
        self.damage(data)
        text = self.bytes(json.dumps(data).encode())
        forms = (
            "check - --limit usd<=5k",
            "params -",
            "memory - --inference",
            "diff old.json -",
            "diff - old.json",
            "check - --base old.json",
        )
        args = self.draw.choice(forms).split()
        return Case([*args, *self.view()], text, {"old.json": before})

    def limits(self) -> Case:
        """An answer held to limits that are odd."""
        data = self.draw.choice(self.seeds.answers)
        known = [*data["result"], *(f"{key}.p50" for key in data["result"]), "laws.0.n_params", "laws.²", "a..b", "", "intervals"]
        name, sign = self.draw.choice(known), self.draw.choice(("<=", ">=", "<", "==", "", "<=>"))
        limit = f"{name}{sign}{self.draw.choice(VALUES)}{self.draw.choice(('', '', ':warn', ':x'))}"
        return Case(["check", "-", "--limit", limit, *self.flags("check"), *self.view()], json.dumps(data).encode())

    def runs(self) -> Case:
        """A table of runs."""
        heading = self.draw.choice(("n_params,n_tokens,loss", "n_params,compute_flops,loss", "a,b,loss", "n_params;n_tokens;loss"))
        rows = [self.run() for _ in range(self.draw.choice((0, 1, 5, 8, 20)))]
        if rows and self.draw.random() < 0.4:
            rows[-1] = ",".join(self.draw.choice(VALUES).replace("\n", "") for _ in range(3))
        more = ("", "--compute 1e24", "--form kaplan", "--compare", "--bootstrap 3", "--design 1e21", "--bootstrap 5 -o law.toml", "-v")
        rest = [*self.draw.choice(more).split(), *self.flags("fit", 2), "--json"]
        return Case(["fit", "runs.csv", *rest], files={"runs.csv": self.bytes("\n".join([heading, *rows]).encode())})

    def run(self) -> str:
        """A row of a table of runs: near a law, of any size, or of one size."""
        n_params, n_tokens = (10 ** self.draw.uniform(6, 10), 10 ** self.draw.uniform(8, 12)) if self.draw.random() < 0.9 else (1e9, 2e10)
        loss = 1.7 + 400 / n_params**0.34 + 410 / n_tokens**0.28 if self.draw.random() < 0.8 else self.draw.uniform(0.01, 29)
        return f"{n_params:.5g},{n_tokens:.5g},{loss:.6g}"

    def log(self) -> Case:
        """A log of a run, held against a plan."""
        text = self.draw.choice(LOGS)
        damaged = self.cells(text) if self.draw.random() < 0.5 else self.lines(text)
        files = {"plan.toml": PLAN.encode(), "log": self.bytes(damaged.encode("utf-8", "replace"))}
        return Case(["calibrate", "plan.toml", "--measured", "log", *self.flags("calibrate", 1), *self.view()], files=files)

    def run_file(self) -> Case:
        """A run file of which lines, words or values were damaged."""
        _, text = self.draw.choice(run_files())
        name = self.draw.choice(("run.sh", "run.toml", "run.json", "run.yaml", "run"))
        damaged = self.lines(text) if self.draw.random() < 0.5 else self.swapped(text)
        commands = (
            "memory --hardware h100-sxm --n-devices 64 --from FILE",
            "memory llama-3-8b --hardware h100-sxm --n-devices 64 --from FILE",
            "layout --hardware h100-sxm --n-devices 64 --from FILE",
            "params --from FILE",
        )
        return self.reading(commands, self.bytes(damaged.encode("utf-8", "replace")), name)

    def swapped(self, text: str) -> str:
        """A text with a number or a word in it replaced."""
        found = list(re.finditer(r"[\w.-]+", text))
        if not found:
            return text
        at = self.draw.choice(found)
        return text[: at.start()] + self.draw.choice(VALUES) + text[at.end() :]

    def plan(self) -> Case:
        """A plan with keys replaced, added and damaged, under every command that reads one."""
        text = PLAN
        for _ in range(self.draw.choice((0, 1, 2))):
            key = self.draw.choice(sorted(key_fields()))
            value = self.draw.choice((*VALUES, *JUNK, *(field.choices[:1] or ("x",) for field in [key_fields()[key]])))
            text = f"{key} = {toml_value(value)}\n" + re.sub(rf"(?m)^{key.rpartition('.')[2]} = .*\n", "", text)
            if self.draw.random() < 0.8:  # as a table, so that the keys of one table stand together
                table, _, name = key.rpartition(".")
                text = text.split("\n", 1)[1].replace(f"[{table}]\n", f"[{table}]\n{name} = {toml_value(value)}\n")
        damaged = self.bytes((self.lines(text) if self.draw.random() < 0.3 else text).encode("utf-8", "replace"))
        commands = (
            "plan FILE",
            "plan FILE --format md",
            "check FILE",
            "check FILE --limit money.usd<=50k",
            "diff FILE old.toml",
            "sweep FILE --over n_devices=8,16",
            "calibrate FILE --step-s 1.2",
            "plan FILE --set training.tokens=2T",
        )
        made = self.reading(commands, damaged, "plan.toml")
        return made._replace(files={**made.files, "old.toml": PLAN.encode()}, args=[*made.args, *self.flags(made.args[0], 1)])

    def table(self) -> Case:
        """A table of layouts."""
        rows = [dict(TABLE) for _ in range(self.draw.choice((1, 2, 5)))]
        for row in rows:
            for column in self.draw.sample(sorted(row), self.draw.choice((0, 1, 2, 4))):
                row[column] = self.draw.choice(VALUES)
        quoted = [
            ",".join('"' + str(cell).replace('"', '""') + '"' for cell in row) for row in ([*TABLE], *(list(r.values()) for r in rows))
        ]
        return self.reading(
            ("layout --table FILE", "layout --table FILE -o priced.csv"), self.bytes("\n".join(quoted).encode()), "given.csv"
        )

    def replaced(self) -> Case:
        """A table of ours, replaced by the project's."""
        name, command = self.draw.choice(REPLACED)
        text = (built_in() / name).read_text(encoding="utf-8")
        data = self.bytes(self.cells(text).encode("utf-8", "replace")) if name.endswith(".csv") else self.toml(text)
        return Case([*command.split(), *self.view()], files={f".scaleplan/presets/{name}": data})

    def cells(self, text: str) -> str:
        """A table with a few cells replaced, or a line of it damaged."""
        if self.draw.random() < 0.3:
            return self.lines(text)
        rows = [line.split(",") for line in text.splitlines()]
        for _ in range(self.draw.choice((1, 1, 2, 3))):
            row = self.draw.choice(rows[:3] if self.draw.random() < 0.3 else rows)
            row[self.draw.randrange(len(row))] = self.draw.choice(VALUES)
        return "\n".join(map(",".join, rows)) + "\n"

    def drawn(self) -> Case:
        """A law with a table of draws beside it that is damaged."""
        laws = built_in() / "laws"
        draws = self.cells((laws / "besiroglu2024.draws.csv").read_text(encoding="utf-8"))
        files = {"law.toml": (laws / "besiroglu2024.toml").read_bytes(), "law.draws.csv": self.bytes(draws.encode("utf-8", "replace"))}
        return Case(["optimal", "--law", "law.toml", "--compute", "1e21", *self.flags("optimal", 1), *self.view()], files=files)

    def bomb(self) -> Case:
        """A small file that is costly to read."""
        files = {"bomb.toml": self.draw.choice(BOMBS).encode(), "bomb.json": self.draw.choice(("[" * 100_000, '{"a":' * 50_000)).encode()}
        commands = [command.replace("FILE", "bomb.toml") for kind in READERS.values() for command in kind]
        others = ["plan bomb.toml", "check bomb.json --limit usd<=1", "params bomb.json", "fit bomb.json", "calibrate bomb.toml --step-s 1"]
        more = [
            "memory gpt2 --hardware h100-sxm --n-devices 8 --from-file bomb.toml",
            "layout --table bomb.toml",
            "diff bomb.json bomb.toml",
        ]
        return Case(self.draw.choice([*commands, *others, *more]).split(), files=files)

    # ---------------------------------------------------------------------------------------------------------- damage

    def reading(self, commands: tuple[str, ...], data: bytes, name: str) -> Case:
        """A command that reads the data from a file, sometimes from standard input."""
        command = self.draw.choice(commands)
        if self.draw.random() < 0.05:
            return Case([*command.replace("FILE", "-").split(), *self.view()], data)
        return Case([*command.replace("FILE", name).split(), *self.view()], files={name: data})

    def damage(self, data: Any) -> None:
        """Replace, drop or add one value somewhere in nested data."""
        while True:
            keys = list(data) if isinstance(data, dict) else list(range(len(data)))
            if not keys:
                return
            key = self.draw.choice(keys)
            if isinstance(data[key], dict | list) and data[key] and self.draw.random() < 0.8:
                data = data[key]
                continue
            if self.draw.random() < 0.15:
                del data[key]
            elif self.draw.random() < 0.1 and isinstance(data, dict):
                data[self.draw.choice(("x", "", "a b", "a.b", SCRIPT, "\x1b[31m", "é", "name", "source", "note"))] = self.junk()
            elif isinstance(data[key], int | float) and not isinstance(data[key], bool) and self.draw.random() < 0.4:
                data[key] *= self.draw.choice((0, -1, 2, 3, 1.5, 1e-9, 1000, 2**31, 10 ** self.draw.uniform(-20, 20)))
            else:
                data[key] = self.junk()
            return

    def junk(self) -> Any:
        """A value of any kind, of which this case may damage a part."""
        return deepcopy(self.draw.choice(JUNK))

    def bytes(self, data: bytes) -> bytes:
        """Sometimes with a byte changed, cut off, in another encoding or with other line ends."""
        place = self.draw.randrange(len(data) or 1)
        kinds = (
            lambda: data[:place] + bytes([self.draw.randrange(256)]) + data[place + 1 :],
            lambda: data[:place],
            lambda: data.replace(b"\n", b"\r"),
            lambda: data.replace(b"\n", b"\r\n"),
            lambda: data.decode("utf-8", "replace").encode("utf-16"),
            lambda: data.decode("utf-8", "replace").encode("latin-1", "replace"),
            lambda: b"\xef\xbb\xbf" + data,
            lambda: data[:place] + b"\0" + data[place:],
            lambda: b"",
        )
        return self.draw.choice(kinds)() if self.draw.random() < 0.12 else data


def toml_key(key: str) -> str:
    """A key as TOML spells it."""
    return key if re.fullmatch(r"[\w-]+", key, re.ASCII) else json.dumps(key)
