"""Run files: written and read back the same, public launch scripts as they are, what is not used listed, what is missing asked for."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from scaleplan.chain.run_files.run_file import FORMS, Form, RunSettings, form_of, parse_run_file, read_run_file, write_run_file
from scaleplan.chain.run_files.shape import alike
from scaleplan.chain.run_files.shell import flags_of
from scaleplan.chain.run_files.stages import layers_of_map, map_of
from scaleplan.chain.run_files.table import table_named
from scaleplan.chain.run_files.yaml_subset import parse_yaml, parsed_subset
from scaleplan.errors import InputError, NotSupported, ScaleplanError
from scaleplan.machine.layout import Layout, parse_layout
from scaleplan.model.bill import bill_of
from scaleplan.model_files import read_model

LLAMA = read_model("llama-3-8b").arch
MIXTRAL = read_model("mixtral-8x7b").arch
RUN = RunSettings(8192, 1, 256, "bf16-mixed")

# settings of two published runs, in the ways in which their launch scripts write them: Megatron-LM examples/gpt3 (arrays, comments after
# values) and bigscience tr11-176B-ml.slurm (variables, quotes over lines, a nested config); see presets/sources.toml
GPT3 = """#!/bin/bash
GPUS_PER_NODE=8
NUM_NODES=128
WORLD_SIZE=$(($GPUS_PER_NODE*$NUM_NODES))
DISTRIBUTED=( --nproc_per_node $GPUS_PER_NODE --nnodes $NUM_NODES )
MODEL=(
    --num-layers 96
    --hidden-size 12288
    --num-attention-heads 96
    --seq-length 2048
    --max-position-embeddings 2048
    --attention-backend auto # flash, fused, unfused or local
)
TRAINING=(
    --micro-batch-size 1
    --global-batch-size 1536
    --rampup-batch-size 16 16 5859375
    --fp16
    --lr 6.0e-5
)
PARALLEL=(
\t--tensor-model-parallel-size 8
\t--pipeline-model-parallel-size 16
)
torchrun ${DISTRIBUTED[@]} pretrain_gpt.py ${MODEL[@]} ${TRAINING[@]} ${PARALLEL[@]} --split 949,50,1
"""
BLOOM = """#SBATCH --nodes=48
TP_SIZE=4
PP_SIZE=12
MICRO_BATCH_SIZE=2  # was 1 before
NHIDDEN=14336
NLAYERS=${1:-70}
SEQ_LEN=2048
ZERO_STAGE=0 # bf16 has its own
GPT_ARGS=" \\
    --pp-partition-method 'type:transformer|embedding' \\
    --num-layers $NLAYERS \\
    --hidden-size $NHIDDEN \\
    --num-attention-heads $((NHIDDEN / 128)) \\
    --seq-length $SEQ_LEN \\
    --max-position-embeddings $SEQ_LEN \\
    --micro-batch-size $MICRO_BATCH_SIZE \\
    --rampup-batch-size 192 16 9_765_625 \\
    --global-batch-size 2048 \\
    --train-samples 220_000_000 \\
    --embed-layernorm \\
    --bf16 \\
    --position-embedding-type alibi \\
    --checkpoint-activations \\
    --pad-vocab-size-to 250880 \\
    "
cat <<EOT > ds_config.json
{ "zero_optimization": { "stage": $ZERO_STAGE } }
EOT
export CMD=" \\
    `pwd`/pretrain_gpt.py \\
    --tensor-model-parallel-size $TP_SIZE \\
    --pipeline_model_parallel_size ${PP_SIZE} \\
    $GPT_ARGS \\
    --zero-stage ${ZERO_STAGE} \\
    "
srun --wait=60 bash -c "$CMD" 2>&1 | tee -a log.txt
"""


def read(text: str, form: Form = "megatron"):
    return parse_run_file(text, "run", form)


def test_gpt3_as_its_public_script_has_it():
    """96 layers of 12,288 on TP 8, PP 16; 1024 devices leave DP 8; with the vocabulary padded to 51,200 it is 175e9 parameters."""
    found = read(GPT3)
    layout = found.layout(1024)

    assert (layout.tp, layout.pp, layout.cp, layout.dp, layout.zero_stage) == (8, 16, 1, 8, 0)
    assert found.settings(layout) == RunSettings(2048, 1, 1536, "fp16-mixed")
    assert bill_of(found.arch(n_vocab=51_200)).n_params() == pytest.approx(175e9, rel=0.005)
    assert {"rampup-batch-size", "lr", "split", "nnodes"} <= set(found.unused)


def test_bloom_as_its_public_script_has_it():
    """70 layers of 14,336 on TP 4, PP 12; 384 devices leave DP 8; 176,247,271,424 parameters, to the last."""
    found = read(BLOOM)
    layout = found.layout(384)

    assert (layout.tp, layout.pp, layout.cp, layout.dp, layout.zero_stage) == (4, 12, 1, 8, 0)
    assert found.settings(layout) == RunSettings(2048, 2, 2048, "bf16-mixed", "full")
    assert found.fields["n_samples"] == 220_000_000
    assert bill_of(found.arch()).n_params() == 176_247_271_424


def drawn(form: Form, seed: int, total: int) -> list[tuple[Layout, RunSettings]]:
    """Legal layouts of Llama 3 8B on 64 devices, of what the form can say."""
    chance, found = random.Random(seed), []
    while len(found) < total:
        tp, pp, cp = chance.choice((1, 2, 4, 8)), chance.choice((1, 2, 4, 8)), chance.choice((1, 2))
        dp, micro = 64 // (tp * pp * cp), chance.choice((1, 2))
        if dp < 1 or 256 % (dp * micro) or (256 // (dp * micro)) % pp:
            continue
        layout = Layout(tp=tp, pp=pp, cp=cp, dp=dp, n_virtual_stages=chance.choice((1, 2, 4)) if pp > 1 else 1)
        if form == "torchtitan":
            layout = layout._replace(zero_stage=3, sequence_parallel=tp > 1)
            recompute = chance.choice(("none", "per-op", "full"))
        else:
            layout = layout._replace(zero_stage=chance.choice((0, 1, 2, 3)), sequence_parallel=tp > 1 and chance.random() < 0.7)
            layout = layout._replace(zero_stage=min(1, layout.zero_stage)) if form == "nemo" else layout
            recompute = chance.choice(("none", "selective", "full"))
        found.append((layout, RUN._replace(micro_batch_size_seqs=micro, recompute=recompute)))
    return found


@pytest.mark.parametrize("form", ["megatron", "torchtitan", "nemo"])
def test_what_is_written_reads_back_the_same(form: Form):
    """100 drawn layouts: the same layout, run and model, and written again the same text."""
    for layout, run in drawn(form, 5, 100):
        text = write_run_file(form, LLAMA, layout, run)
        found = read(text, form)
        back = found.layout(64, 32)

        assert back == layout
        assert found.settings(back)._replace(schedule="1f1b") == run
        assert not found.unused
        if found.has_shape:
            assert alike(found.arch(), LLAMA)
        assert write_run_file(form, LLAMA, back, found.settings(back)) == text


@pytest.mark.parametrize("form", ["deepspeed", "axolotl"])
def test_forms_without_a_pipeline_read_back_the_same(form: Form):
    for zero_stage in (1, 2, 3):
        layout = Layout(tp=2, dp=32, zero_stage=zero_stage)
        run = RUN._replace(recompute="full") if form == "axolotl" else RUN
        text = write_run_file(form, LLAMA, layout, run, "meta-llama/Meta-Llama-3-8B")
        found = read(text, form)

        assert found.layout(64) == layout
        assert found.settings(layout) == (run if form == "axolotl" else run._replace(seq_len=None))


def test_experts_and_uneven_stages_read_back_the_same():
    """Mixtral with etp, and stages of 7, 9, 9, 7 layers as Megatron's map of stages."""
    layout = parse_layout("tp4,dp16,ep8,etp1,sp,zero1")
    found = read(write_run_file("megatron", MIXTRAL, layout, RUN))
    assert found.layout(64) == layout and alike(found.arch(), MIXTRAL)

    uneven = Layout(pp=4, dp=16, zero_stage=1, stage_layers=(7, 9, 9, 7))
    text = write_run_file("megatron", LLAMA, uneven, RUN)
    assert "Et*7|t*9|t*9|t*7L" in text
    assert read(text).layout(64) == uneven


@pytest.mark.parametrize(
    ("text", "layers"),
    [
        ("Et*3|t*4|t*4|t*3L", (3, 4, 4, 3)),
        ("Et*3|(tt|)*3,m|L", (3, 2, 2, 2, 0, 0)),
        ("E,t|(t|)*2 tL", (1, 1, 1, 1)),
    ],
)
def test_maps_of_stages(text: str, layers: tuple[int, ...]):
    """Megatron's letters: E embedding, t layer, m prediction ahead, L loss; repetition by `*`."""
    assert layers_of_map(text) == layers
    assert layers_of_map(map_of(layers)) == layers


@pytest.mark.parametrize(
    ("flags", "layers"),
    [
        ("--decoder-first-pipeline-num-layers 5", (5, 9, 9, 9)),
        ("--decoder-first-pipeline-num-layers 6 --decoder-last-pipeline-num-layers 8", (6, 9, 9, 8)),
        ("--account-for-embedding-in-pipeline-split --account-for-loss-in-pipeline-split --num-layers 30", (7, 8, 8, 7)),
    ],
)
def test_first_and_last_stages_of_their_own(flags: str, layers: tuple[int, ...]):
    """Megatron's other words for uneven stages."""
    shape = "--num-layers 32 --hidden-size 4096 --num-attention-heads 32 --pipeline-model-parallel-size 4 "
    assert read(shape + flags).layout(4).stage_layers == layers


def test_torchtitan_as_its_readme_has_it():
    """A debug run of its benchmarks: FSDP over what the other degrees leave, selective recomputation by operator."""
    text = """
[model]
name = "llama3"
flavor = "8B"
[optimizer]
name = "AdamW"
lr = 3e-4
[training]
local_batch_size = 5
seq_len = 8192
[parallelism]
data_parallel_replicate_degree = 2
data_parallel_shard_degree = -1
tensor_parallel_degree = 2
[activation_checkpoint]
mode = "selective"
"""
    found = read(text, "torchtitan")
    layout = found.layout(32)
    assert layout == Layout(tp=2, dp=16, zero_stage=3, n_shards=8, sequence_parallel=True)
    assert found.settings(layout) == RunSettings(8192, 5, 80, "bf16-mixed", "per-op")
    assert found.unused == ("optimizer.lr",)


def test_deepspeed_accumulation_gives_the_global_batch():
    text = """{"train_micro_batch_size_per_gpu": 4, "gradient_accumulation_steps": 8, "train_batch_size": "auto",
        "bf16": {"enabled": true}, "zero_optimization": {"stage": 3, "offload_optimizer": {"device": "cpu"}}}"""
    found = read(text, "deepspeed")
    layout = found.layout(16)
    assert (layout.dp, layout.zero_stage) == (16, 3)
    assert found.settings(layout) == RunSettings(None, 4, 512, "bf16-mixed", offload="optimizer")


def test_axolotl_adapter():
    text = """
base_model: NousResearch/Meta-Llama-3-8B   # a model
load_in_8bit: true
adapter: lora
lora_r: 32
datasets:
  - path: mhenrichsen/alpaca_2k_test
    type: alpaca
sequence_len: 4096
micro_batch_size: 2
gradient_accumulation_steps: 4
optimizer: adamw_bnb_8bit
bf16: auto
tf32: false
gradient_checkpointing: true
flash_attention: true
fsdp:
"""
    found = read(text, "axolotl")
    layout = found.layout(8)
    assert found.settings(layout) == RunSettings(4096, 2, 64, "bf16-mixed", "full", attention="flash", optimizer="adamw-8bit")
    assert found.fields["frozen_format"] == "int8" and found.fields["lora_rank"] == 32
    assert found.unused == ("datasets", "tf32", "fsdp")
    assert parsed_subset(text, "a") | {"datasets": None} == dict(parse_yaml(text, "a")) | {"datasets": None}


@pytest.mark.parametrize("text", ["a: &x 1\n", "a: |\n  long\n", "a: {b: 1}\n", "- 1\n", "a: 1\n   b: 2\n"])
def test_yaml_beyond_the_known_part_is_refused_by_line(text: str):
    with pytest.raises(NotSupported, match="beyond the YAML"):
        parsed_subset(text, "a.yaml")


@pytest.mark.parametrize("value", ["9" * 5000, "2026-13-45", "[" * 3000])
def test_a_value_that_yaml_cannot_hold_is_refused(value: str):
    """A number of too many digits, a day that is none, and lists in lists without end."""
    with pytest.raises(InputError, match="not valid YAML"):
        parse_yaml(f"model_config: {value}\n", "a.yaml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("--num-layers 96", "--num-layers many"), "`many`"),
        (("--fp16", "--fp16 --position-embedding-type spiral"), "`spiral`"),
        (("--fp16", "--fp16 --recompute-granularity full --recompute-method block"), "`block`"),
    ],
)
def test_what_a_known_key_may_not_say_is_refused(change: tuple[str, str], said: str):
    with pytest.raises(ScaleplanError, match=said):
        read(GPT3.replace(*change))


@pytest.mark.parametrize("text", ["--tensor-model-parallel-size 0", "--expert-model-parallel-size -2", "--zero-stage 4", "--num-layers -1"])
def test_numbers_that_a_field_cannot_be_are_refused(text: str):
    """A degree of 0, a negative one, a stage of ZeRO that there is not."""
    with pytest.raises(InputError, match="it is from"):
        read(f"{GPT3}\n{text}\n")


def test_what_is_missing_is_asked_for_by_its_own_name():
    """No vocabulary: the file's `vocab-size`, our n_vocab."""
    with pytest.raises(InputError, match=r"lacks `vocab-size` \(n_vocab\)"):
        read(GPT3).arch()
    with pytest.raises(InputError, match="lacks `hidden-size`"):
        read(GPT3.replace("--hidden-size 12288", "")).arch(n_vocab=51_200)


def test_degrees_that_do_not_divide_the_devices_are_refused():
    with pytest.raises(InputError, match="tp 7"):
        read(GPT3.replace("parallel-size 8", "parallel-size 7")).layout(1024)


@pytest.mark.parametrize("text", ["echo hello\n", "--lr 3e-4 --seed 1\n"])
def test_a_file_that_says_nothing_of_a_run_is_refused(text: str):
    with pytest.raises(InputError, match="says nothing"):
        read(text)


@pytest.mark.parametrize(
    ("form", "layout", "run", "said"),
    [
        ("megatron", Layout(dp=64), RUN._replace(recompute="per-op"), "recompute `per-op`"),
        ("torchtitan", Layout(tp=2, dp=32, zero_stage=1), RUN, "zero_stage"),
        ("deepspeed", Layout(pp=4, dp=16), RUN, "pp `4`"),
        ("megatron", Layout(dp=64), RUN._replace(precision="bf16-mixed-12"), "precision `bf16-mixed-12`"),
    ],
)
def test_what_a_form_cannot_say_is_refused_by_name(form: Form, layout: Layout, run: RunSettings, said: str):
    with pytest.raises(NotSupported, match=said):
        write_run_file(form, LLAMA, layout, run)


def test_a_model_that_flags_cannot_describe_is_refused():
    with pytest.raises(NotSupported, match="cannot describe"):
        write_run_file("megatron", read_model("gemma-2-9b").arch, Layout(dp=64), RUN)


def test_padding_of_the_vocabulary():
    """Megatron rounds up to a multiple of 128 x tp: 50,257 becomes 51,200 on tp 8."""
    assert read(GPT3.replace("--fp16", "--fp16 --vocab-size 50257")).arch().n_vocab == 51_200


@pytest.mark.parametrize("form", FORMS)
def test_tables_know_what_they_say(form: Form):
    """Every row has a known use and a key and field, and no form says one thing in two ways when it writes."""
    table = table_named(form)
    written: dict[tuple[str, Any], str] = {}
    for row in table.rows:
        assert row.use in ("both", "read", "also", "absent")
        assert row.key if row.use != "absent" else row.field and row.value
        if row.use == "both" and row.given not in ("#", "@"):
            assert (row.field, row.value) not in written or form == "megatron", row
            written[row.field, row.value] = row.key


def test_forms_are_told_by_name_and_text(tmp_path: Path):
    path = tmp_path / "train.sh"
    path.write_text(GPT3)
    assert read_run_file(str(path)).form == "megatron"
    files = {"a.toml": "", "a.json": "{}", "a.yaml": "trainer:\n", "a.yml": "base_model: x"}
    assert [form_of(name, text) for name, text in files.items()] == ["torchtitan", "deepspeed", "nemo", "axolotl"]


def test_flags_of_a_script():
    """The last of several stands; `=` and blanks, quotes, underscores, defaults, arithmetic."""
    text = "A=2\nB=${C:-3}\nX=\"--tp_size=$A --pp-size ${B} --name 'a b'\"; run $X --dp $((A*B)) --last $UNSET --dp $((A + 2*B))\n"
    assert flags_of(text) == {"tp-size": "2", "pp-size": "3", "name": "a b", "dp": "8", "last": "$UNSET"}
