"""A run file in our terms: read from Megatron flags, torchtitan TOML, DeepSpeed JSON, axolotl or NeMo YAML, and written as these."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

from scaleplan import library
from scaleplan.chain.run_files import shape
from scaleplan.chain.run_files.shell import flags_of, script_of
from scaleplan.chain.run_files.stages import map_of, stage_layers_of
from scaleplan.chain.run_files.table import Table, flattened, nested, read_fields, table_named, write_pairs
from scaleplan.errors import InputError, NotSupported
from scaleplan.machine.layout import Layout
from scaleplan.model.arch import Arch
from scaleplan.wording import field, fields

Form: TypeAlias = Literal["megatron", "torchtitan", "deepspeed", "axolotl", "nemo"]
FORMS: tuple[Form, ...] = get_args(Form)
YAML: tuple[Form, ...] = ("axolotl", "nemo")
SHARDED = 3  # the stage of ZeRO that fully sharded data parallelism is


class RunSettings(NamedTuple):
    """A run beside its model and layout; None is what the file leaves to others."""

    seq_len: int | None = None
    micro_batch_size_seqs: int | None = None
    global_batch_size_seqs: int | None = None
    precision: str | None = None
    recompute: str = "none"
    recompute_every: int = 1
    attention: str | None = None
    optimizer: str = "adamw"
    offload: str = "none"
    schedule: str = "1f1b"


class RunFile(NamedTuple):
    """What a run file says.

    fields   our fields, some of them of this form of file alone
    unused   keys that say nothing of shape, layout or memory
    """

    form: Form
    fields: dict[str, Any]
    unused: tuple[str, ...]
    table: Table
    name: str

    def need(self, name: str) -> Any:
        """A field; where the file lacks it, it is asked for by the file's own name and by ours."""
        if self.fields.get(name) is None:
            key = self.table.key_of(name)
            lacks = f"the file lacks `{key}`" if key else "the file does not say it"
            raise InputError(f"{lacks} ({field(name)})", hint=f"add it to the file, or give {field(name)}", file=self.name)
        return self.fields[name]

    @property
    def label(self) -> str:
        """What answers call it."""
        return self.name

    @property
    def has_shape(self) -> bool:
        """Whether files of this form describe the model's shape."""
        return self.table.key_of("n_layers") is not None

    def arch(self, **given: Any) -> Arch:
        """The model of the file; `given` adds what it lacks (`n_vocab`), under our names."""
        if given.get("n_vocab") is not None:  # as it is: nothing is padded
            given = given | {"padded_vocab": given["n_vocab"]}
        return shape.arch_of(self.with_fields(given).fields, self.with_fields(given).need, self.name)

    def with_fields(self, given: Mapping[str, Any]) -> RunFile:
        """The same with some fields given from outside."""
        return self._replace(fields=self.fields | {name: value for name, value in given.items() if value is not None})

    def layout(self, n_devices: int, n_layers: int | None = None) -> Layout:
        """The layout on so many devices: data parallelism is what the other degrees leave."""
        said = self.fields
        degrees = {name: said.get(name, 1) for name in ("tp", "pp", "cp", "ep")}
        others = degrees["tp"] * degrees["pp"] * degrees["cp"]
        if others < 1 or n_devices % others:
            names = ", ".join(f"{name} {degrees[name]}" for name in ("tp", "pp", "cp"))
            raise InputError(f"{names} of the file do not divide {n_devices:,} devices", hint=f"give {field('n_devices')}", file=self.name)
        dp = n_devices // others
        n_layers = said.get("n_layers", n_layers)
        layout = Layout(
            **degrees,
            dp=dp,
            n_virtual_stages=self.virtual_stages(n_layers),
            zero_stage=said.get("zero_stage", 0),
            sequence_parallel=said.get("sequence_parallel", False),
            etp=said.get("etp"),
            stage_layers=stage_layers_of(said, n_layers),
        )
        return self.sharded(layout) if self.form == "torchtitan" else layout

    def virtual_stages(self, n_layers: int | None) -> int:
        """Virtual stages, said as such or as layers of each."""
        each = self.fields.get("layers_per_virtual_stage") or self.fields.get("layers_per_stage")
        if each is None:
            return int(self.fields.get("n_virtual_stages", 1))
        layers = self.need("n_layers") if n_layers is None else n_layers
        return int(max(1, -(-layers // (each * self.fields.get("pp", 1)))))

    def sharded(self, layout: Layout) -> Layout:
        """torchtitan: tensor parallelism with sequence parallelism; FSDP over the shards, replicas of them, or plain replicas."""
        replicate, shard = self.fields.get("replicate", 1), self.fields.get("shard", -1)
        shard = layout.dp // max(1, replicate) if shard == -1 else shard
        if replicate * shard != layout.dp:
            raise InputError(
                f"{replicate} x {shard} data parallel ranks of the file are not the {layout.dp} that the other degrees leave",
                hint=f"give the {field('n_devices')} of the file",
                file=self.name,
            )
        plain = replicate > 1 and shard == 1
        group = shard * layout.cp if replicate > 1 and not plain else None
        return layout._replace(zero_stage=0 if plain else SHARDED, n_shards=group, sequence_parallel=layout.tp > 1)

    def settings(self, layout: Layout) -> RunSettings:
        """The run beside model and layout; the global batch from gradient accumulation where only that is said."""
        said = self.fields
        micro = said.get("micro_batch_size_seqs")
        if self.form == "torchtitan":
            micro = said.get("stage_micro_batch", 1) if layout.pp > 1 else said.get("local_batch")
        whole = said.get("global_batch_size_seqs")
        if whole in (None, -1):
            local = said.get("local_batch") or (micro and micro * said.get("n_micro_batches", 1))
            whole = local and local * layout.dp
        known = {name: said[name] for name in RunSettings._fields if said.get(name) is not None}
        return RunSettings(**known | {"micro_batch_size_seqs": micro, "global_batch_size_seqs": whole})


# ------------------------------------------------------------------------------------------------------------------ reading


def read_run_file(path: str, form: Form | None = None) -> RunFile:
    """A run file; its form is told by its name and its text where it is not given."""
    text = library.read_text(path)
    return parse_run_file(text, path, form or form_of(path, text))


def form_of(path: str, text: str) -> Form:
    """TOML is torchtitan's, JSON DeepSpeed's, YAML NeMo's where it has a table `trainer` or degrees of a model, else axolotl's."""
    if path.endswith(".toml"):
        return "torchtitan"
    if path.endswith(".json") or text.lstrip().startswith("{"):
        return "deepspeed"
    if path.endswith((".yaml", ".yml")):
        return "nemo" if "model_parallel_size" in text or text.startswith("trainer:") or "\ntrainer:" in text else "axolotl"
    return "megatron"


def parse_run_file(text: str, name: str, form: Form) -> RunFile:
    """The text of a run file in our terms; InputError where it says nothing that a table knows."""
    table = table_named(form)
    reading = read_fields(table, keys_of(text, name, form))
    said = {name: value for name, value in reading.fields.items() if table.absent.get(name) != value}
    if not said:
        raise InputError(f"says nothing that a {form} run file says", hint=f"forms are {', '.join(FORMS)}", file=name)
    return RunFile(form, reading.fields, reading.unused, table, name)


def keys_of(text: str, name: str, form: Form) -> dict[str, str]:
    """Every key of a file with its text."""
    if form == "megatron":
        return flags_of(text)
    if form == "torchtitan":
        return dict(flattened(library.parse_toml(text, name)))
    if form == "deepspeed":
        return dict(flattened(parsed_json(text, name)))
    from scaleplan.chain.run_files.yaml_subset import parse_yaml

    return dict(flattened(parse_yaml(text, name)))


def parsed_json(text: str, name: str) -> Mapping[str, Any]:
    """A JSON object."""
    data = library.parse_json(text, name, finite=True)
    if not isinstance(data, dict):
        raise InputError("is no JSON object", file=name)
    return data


# ------------------------------------------------------------------------------------------------------------------ writing

EVERYWHERE = {
    "recompute": "none", "recompute_every": 1, "optimizer": "adamw", "offload": "none", "schedule": "1f1b", "cp": 1, "pp": 1, "ep": 1,
    "n_virtual_stages": 1, "sequence_parallel": False, "zero_stage": 0, "embedding_norm": False, "qkv_bias": False, "grouped": True,
}  # fmt: skip
"""What a form that has no key for a field means."""


def write_run_file(form: Form, arch: Arch, layout: Layout, settings: RunSettings, model: str | None = None) -> str:
    """A run file that reads back as exactly this; NotSupported names what its form cannot say."""
    table = table_named(form)
    rows = {row.field for row in table.rows}
    said = {name: value for name, value in fields_of(form, arch, layout, settings, model).items() if value is not None}
    known = {name: value for name, value in said.items() if name in rows or EVERYWHERE.get(name) != value}
    text = text_of(form, write_pairs(table, known))
    check_same(parse_run_file(text, form, form), arch, layout, settings)
    return text


def fields_of(form: Form, arch: Arch, layout: Layout, settings: RunSettings, model: str | None) -> dict[str, Any]:
    """Everything that a file of this form has to say."""
    degrees = layout._asdict()
    said: dict[str, Any] = {name: degrees[name] for name in ("tp", "pp", "cp", "ep", "etp", "n_virtual_stages")}
    said |= settings._asdict()
    if settings.recompute != "full":
        said["recompute_every"] = None
    if table_named(form).key_of("n_layers") is not None:
        said |= shape.fields_of(arch, layout.tp)
        said["n_positions"] = said["n_positions"] or settings.seq_len
    if form == "torchtitan":
        return said | titan_fields(layout, settings, arch)
    said |= {"zero_stage": layout.zero_stage, "sequence_parallel": bool(layout.sequence_parallel), "n_shards": layout.n_shards}
    if layout.stage_layers is not None:
        said["stage_map"] = map_of(layout.stage_layers)
    if form == "axolotl":
        said |= {"model": model, "global_batch_size_seqs": None}
    if form in ("axolotl", "deepspeed") and settings.global_batch_size_seqs and settings.micro_batch_size_seqs:
        said["n_micro_batches"] = settings.global_batch_size_seqs // (layout.dp * settings.micro_batch_size_seqs)
    return said | ({"seq_len": None} if form == "deepspeed" else {})


def titan_fields(layout: Layout, settings: RunSettings, arch: Arch) -> dict[str, Any]:
    """torchtitan's own: shards and replicas, the batch of a rank, the micro-batch of a pipeline, layers of a virtual stage."""
    shard = layout.dp if layout.n_shards is None else layout.n_shards // layout.cp
    shard = 1 if layout.zero_stage == 0 else shard
    piped = layout.pp > 1
    whole = settings.global_batch_size_seqs
    layers = sum(count for _, count in arch.stacks[-1].order)
    return {
        "replicate": layout.dp // max(1, shard),
        "shard": shard,
        "n_virtual_stages": None,
        "layers_per_stage": -(-layers // (layout.pp * layout.n_virtual_stages)) if layout.n_virtual_stages > 1 else None,
        "micro_batch_size_seqs": None,
        "local_batch": whole // layout.dp if piped and whole else settings.micro_batch_size_seqs,
        "stage_micro_batch": settings.micro_batch_size_seqs if piped else None,
        "schedule": "interleaved" if layout.n_virtual_stages > 1 and settings.schedule == "1f1b" else settings.schedule,
    }


def text_of(form: Form, pairs: list[tuple[str, str]]) -> str:
    """The pairs in the file's own syntax."""
    if form == "megatron":
        return script_of(pairs)
    data = nested(pairs)
    if form == "deepspeed":
        import json

        return json.dumps(data, indent=2) + "\n"
    if form == "torchtitan":
        return "\n".join(f"[{name}]\n{toml_lines(table)}" for name, table in data.items())
    from scaleplan.chain.run_files.yaml_subset import write_yaml

    return write_yaml(data)


def toml_lines(table: Mapping[str, Any]) -> str:
    """A table of plain values as TOML writes it."""
    import json

    return "".join(f"{key} = {json.dumps(value)}\n" for key, value in table.items())


def check_same(read: RunFile, arch: Arch, layout: Layout, settings: RunSettings) -> None:
    """Refuse to write what does not read back as it was."""
    found = read.layout(layout.n_devices, sum(count for _, count in arch.stacks[-1].order))
    one, other = (each._replace(etp=each.expert_tp) for each in (found, layout))
    differ = [name for name in Layout._fields if getattr(one, name) != getattr(other, name)]
    again = read.settings(found)
    wanted = settings._replace(seq_len=None) if read.form == "deepspeed" else settings
    differ += [name for name in RunSettings._fields if not_same(name, getattr(again, name), getattr(wanted, name))]
    if read.has_shape and not shape.alike(read.arch(), arch):
        raise NotSupported(f"a {read.form} file cannot describe `{arch.name or 'this model'}`: it would read back as another model")
    if differ:
        raise NotSupported(f"a {read.form} file cannot say {fields(*differ)} as they are here")


def not_same(name: str, found: Any, wanted: Any) -> bool:
    """Whether a setting came back as another; the interleaved schedule is 1F1B with virtual stages."""
    if name == "schedule":
        return {found, wanted} not in ({found}, {"1f1b", "interleaved"})
    return bool(found != wanted) and wanted is not None
