"""Every field that a question may have, said once: name, reader of its text, meaning, and how it is spelled elsewhere.

From one row come the flag and its help, the keyword of the Python functions, the key of a plan file, the axis of a sweep and the
reasons of a diff. Nothing here imports what reads a value: a reader is named, and loaded when a value is read.
"""

from collections.abc import Callable, Container, Mapping
from importlib import import_module
from re import Match
from typing import Any, Literal, NamedTuple

from scaleplan.wording import FLAGS, OFF

Kind = Literal["value", "list", "switch"]


class Field(NamedTuple):
    """One thing that may be given.

    name      in Python; the flag is --name with dashes
    meaning   its help text; {name} names another field
    reader    `module:function` below `scaleplan` that turns a text into a value in base units; empty: the text itself
    metavar   what stands for a value in the help
    kind      value; list: may be given several times; switch: is on or off
    choices   the words that a value may be
    presets   the kind of preset that a value names, for completion
    number    what a bare number from Python is given in, as the reader takes it ("B", "W", ...); None where a number has no meaning
    key       where it stands in a plan file, dotted
    off       the flag that turns a switch off; empty where only absence does
    """

    name: str
    meaning: str
    reader: str = ""
    metavar: str = "NAME"
    kind: Kind = "value"
    choices: tuple[str, ...] = ()
    presets: str = ""
    number: str | None = None
    key: str = ""
    off: str = ""

    @property
    def flag(self) -> str:
        """How the command line spells it."""
        return FLAGS.get(self.name) or "--" + self.name.replace("_", "-")

    def explained(self, spell: Callable[[str], str]) -> str:
        """The meaning, with the other fields and the commands that it names spelled by `spell`."""
        return explained(self.meaning, spell)

    def read_by(self) -> Callable[[str], Any]:
        """The reader, loaded now."""
        module, _, function = self.reader.partition(":")
        return getattr(import_module(f"scaleplan.{module}"), function)  # type: ignore[no-any-return]  # readers differ in what they return


def explained(text: str, spell: Callable[[str], str]) -> str:
    """A text with the fields (`{tokens}`) and the commands that it names spelled by `spell`."""
    from re import sub

    from scaleplan.wording import field, question, spelled

    def asked(found: Match[str]) -> str:
        mark = question(*found[1].split())
        return f"`{mark if spell is field else spelled(mark, spell)}`"

    return sub(r"`scaleplan ([a-z ]+)`", asked, sub(r"\{([a-z0-9_]+)\}", lambda found: spell(found[1]), text))


COUNT, AMOUNT = "units:count", "units:amount"
RECOMPUTATIONS = ("none", "selective", "per-op", "full")
FORMS_OF_SHAPE = ("llama", "gpt", "moe")


def counted(name: str, meaning: str, metavar: str = "N", **more: Any) -> Field:
    """A field that is a whole number above zero."""
    return Field(name, meaning, COUNT, metavar, number="", **more)


def amount(name: str, meaning: str, metavar: str = "X", reader: str = AMOUNT, number: str = "", **more: Any) -> Field:
    """A field that is a number above zero."""
    return Field(name, meaning, reader, metavar, number=number, **more)


def word(name: str, meaning: str, *choices: str, **more: Any) -> Field:
    """A field that is one of a few words."""
    return Field(name, meaning, metavar="|".join(choices), choices=choices, **more)


def switch(name: str, meaning: str, **more: Any) -> Field:
    """A field that is on or off."""
    return Field(name, meaning, kind="switch", metavar="", **more)


def several(name: str, meaning: str, metavar: str, **more: Any) -> Field:
    """A field that may be given several times."""
    return Field(name, meaning, metavar=metavar, kind="list", **more)


ROWS = (
    # What is asked about.
    Field("model", "A preset, a config.json or its folder, a model TOML, or - for standard input.", metavar="MODEL", presets="models", key="model.preset"),
    Field("runs", "Table of runs (CSV, TSV, JSON lines), or - for standard input.", metavar="RUNS"),
    Field("answer", "A plan file, what a command printed with --json, or - for standard input.", metavar="ANSWER"),
    Field("kind", "A kind of preset, or `schemas` for the JSON Schema of every answer.", metavar="KIND"),
    several("name", "Presets of that kind; several stand side by side.", "NAME"),
    # The size of a model and of a run.
    counted("n_params", "Parameters of a model known by its size alone.", key="model.n_params"),
    counted("n_active_params", "Parameters that one token uses (mixture of experts).", key="model.n_active_params"),
    amount("compute", "Training compute in FLOP: 1e21, 10 PF-days.", "FLOP", "units:flops", key="compute.flops"),
    amount("tokens", "Training tokens: 300B.", "D", key="training.tokens"),
    counted("n_steps", "Optimizer steps; with a batch size, instead of {tokens}.", "S", key="training.n_steps"),
    amount("text", "Training text: 96GB; with {bytes_per_token}, instead of {tokens}.", "BYTES", "units:n_bytes", "B", key="training.text"),
    amount("bytes_per_token", "Bytes of text in one token: 4.2.", "B", key="training.bytes_per_token"),
    amount("loss", "Loss in nats per token.", "L", key="law.loss"),
    # A step of training.
    counted("seq_len", "Tokens in a sequence.", "S", key="training.seq_len"),
    counted("decoder_seq_len", "Tokens that the decoder sees, beside an encoder of {seq_len}.", "S", key="training.decoder_seq_len"),
    counted("batch_size_tokens", "Tokens in a batch.", "B", key="training.batch_size_tokens"),
    counted("batch_size_seqs", "Sequences in a batch.", "B", key="training.batch_size_seqs"),
    counted("micro_batch_size_seqs", "Sequences that one pipeline takes at once.", "B", key="training.micro_batch_size_seqs"),
    counted("global_batch_size_seqs", "Sequences of a whole step.", "B", key="training.global_batch_size_seqs"),
    Field("precision", "fp32, tf32, bf16, fp16, fp8, bf16-autocast, bf16-mixed[-12|16|18|20], ...; serving: int4, nf4, mxfp4, q4_k_m, ...", key="training.precision"),
    Field("optimizer", "adamw, adamw-8bit, adafactor, sgd, lion, muon, ...", key="training.optimizer"),
    Field("recompute", "Activation recomputation (checkpointing); modules joined by +.", "model.passes:recomputation", f"{'|'.join(RECOMPUTATIONS)}|MODULES", key="training.recompute"),
    counted("recompute_every", "With full recomputation, layers in a row from one kept input.", "K", key="training.recompute_every"),
    word("attention", "Attention kernel.", "eager", "sdpa", "flash", "fa1", "fa2", "fa3", key="training.attention"),
    Field("dropout", "Dropout: masks are kept where it is above 0.", "units:share_or_none", "P", number="", key="training.dropout"),
    Field("stack", "Training software; `scaleplan presets stacks` lists it.", metavar="STACK", presets="stacks", key="hardware.stack"),
    word("pipeline_schedule", "Pipeline schedule.", "1f1b", "gpipe", "interleaved", "zb1p", "dualpipe", key="hardware.pipeline_schedule"),
    word("offload", "What is kept in host memory.", "none", "optimizer", "all", key="training.offload"),
    Field("lora", "Low-rank adapters on frozen weights: rank=16,targets=attention+mlp.", "model.adapters:parse_lora", "ADAPTER", key="training.lora"),
    Field("frozen_format", "Format of weights that are not trained: int4, int8.", key="training.frozen_format"),
    amount("sparsity", "Fraction of the layers' matrix weights that pruning sets to zero: 0.5, or 2:4 (two kept of four).", "SHARE", "model.sparsity:parse_sparsity"),
    # Where it runs.
    Field("hardware", "A device preset or TOML file; `scaleplan presets hardware` lists them.", metavar="DEVICE", presets="hardware", key="hardware.device"),
    counted("n_devices", "Number of devices.", key="hardware.n_devices"),
    amount("capacity", "Memory of one device: 80GiB.", "BYTES", "units:n_bytes", "B"),
    amount("usable_share", "Share of device memory that may be used (0.9); the rest is the allocator's reserve. While serving, the engine's share.", "SHARE", "units:fraction", key="hardware.usable_share"),
    Field("layout", "Degrees of parallelism: tp8,pp8,dp4,sp,zero1.", "machine.layout:parse_layout", "LAYOUT", key="hardware.layout"),
    Field("table", "Layouts to price, one a row: sizes, degrees, hardware, stack.", metavar="FILE.csv"),
    # Serving.
    switch("inference", "Serve instead of train: weights and the KV cache."),
    Field("cache_precision", "Number format of keys and values while serving: bf16, fp8, int8.", key="serving.cache_precision"),
    counted("cache_block_tokens", "Tokens of a block of a paged KV cache; the last block counts whole.", key="serving.cache_block_tokens"),
    # The question turned round.
    word("largest", "Largest value that fits.", "micro-batch-size-seqs", "seq-len", "n-layers"),
    word("fewest", "Smallest value that fits.", "n-devices"),
    counted("target", "Find shapes near this many parameters: 7B.", key="model.target"),
    word("like", "Kind of shape.", *FORMS_OF_SHAPE, key="model.like"),
    # Compute.
    switch("causal", "Count only pairs of a token with those before it, not the full square."),
    switch("windowed", "Count only pairs inside attention windows and patterns, not the full square."),
    switch("no_logits", "Leave out the product with the vocabulary."),
    Field("flops_convention", "How FLOP are counted: exact, six_n, palm, ...; `flops` lists them.", metavar="NAME", key="compute.flops_convention"),
    switch("exact_flops", "Divide a {compute} that counts attention and logits too, not 6 N D."),
    # Laws.
    several("law", "A law preset or TOML file, or `all`; may be repeated. `scaleplan presets laws` lists them.", "LAW", presets="laws", key="law.law"),
    word("n_kind", "N with or without embeddings, converted; else each law's own.", "total", "non-embedding", "both"),
    counted("n_experts", "Routed experts.", key="model.n_experts"),
    counted("n_experts_per_token", "Routed experts that a token passes.", key="model.n_experts_per_token"),
    amount("unique_tokens", "Distinct tokens available; more than that repeats them.", "U", key="training.unique_tokens"),
    amount("inference_tokens", "Tokens the trained model will serve; counts their compute.", "I", key="serving.tokens"),
    amount("tokens_per_param", "Train on this many tokens per parameter: 400.", "R"),
    several("where", "Constraint, such as n_params<=13B; may be repeated.", "BOUND"),
    switch("rules", "What each law says of this size, data or budget, rule by rule, instead of dividing a budget."),
    counted("position", "Loss at this position of the context (from 1), and of contexts of this length.", "T"),
    amount("bits", "Training in this many bits: what they cost, and which are best.", "BITS"),
    amount("epochs", "Passes over the same tokens: what they are worth in fresh ones.", "E"),
    switch("without_embeddings", "Divide a {compute} in which embeddings count neither as parameters nor as compute."),
    amount("size_ratio", "A model of this many times the efficient size: compute and steps to the same loss.", "X"),
    amount("excess", "Training to within this share of the converged loss: 2%.", "SHARE", "units:fraction"),
    amount("overfit", "Tokens that keep {n_params} within this share of the loss on endless data: 2%.", "SHARE", "units:fraction"),
    Field("task", "Task whose accuracy is wanted, by two-step laws: hellaswag, mmlu, ..., or a TOML file of your own ladder.", metavar="TASK", presets="tasks", key="training.task"),
    Field("family", "Family of the models, such as olmo-2; task laws of others are refused.", metavar="FAMILY", key="training.family"),
    Field("loss_change", "What it takes to change the loss: -10%.", "units:signed_change", "CHANGE", number=""),
    # Batch.
    switch("schedule", "Grow the batch during training, as B_crit grows."),
    amount("step_s", "Seconds of a step: 1.2s, 1.2.", "TIME", "units:seconds_or_bare", "s", key="step.step_s"),
    several("gradient_norm2", "Mean squared gradient norm at a batch size; at two sizes, for the noise scale.", "BATCH=NORM2", reader="laws.batch:norm_at_batch"),
    # Cost.
    amount("mfu", "Model FLOP utilisation: 0.4 or 40%.", "SHARE", "units:fraction", key="run.mfu"),
    amount("flops_per_s_per_device", "Rate of one device: 147T; needs {flops_kind}.", "RATE", "units:flops_per_s", key="run.flops_per_s_per_device"),
    word("flops_kind", "Whether a FLOP/s rate counts recomputation.", "model", "hardware", key="run.flops_kind"),
    amount("goodput", "Goodput: fraction of wall time spent in useful training.", "SHARE", "units:fraction", key="run.goodput"),
    amount("device_mtbf", "Mean time between failures of one device: 50000h.", "TIME", "units:seconds", "s", key="run.device_mtbf"),
    amount("checkpoint_time", "Time for which training stops to write a checkpoint: 60s.", "TIME", "units:seconds", "s", key="run.checkpoint_time"),
    amount("checkpoint_interval", "Time between checkpoints: 30min; else the one that loses least.", "TIME", "units:seconds", "s", key="run.checkpoint_interval"),
    amount("restart_time", "Time to notice a failure, replace the device, load and start again: 10min.", "TIME", "units:seconds", "s", key="run.restart_time"),
    amount("evaluation_share", "Evaluation: its time for each second of progress, 5%.", "SHARE", "units:fraction", key="run.evaluation_share"),
    amount("warm_up_share", "Share of the wall time that start-up and warm-up take: 3%.", "SHARE", "units:fraction", key="run.warm_up_share"),
    amount("usd_per_device_hour", "Price of one device for an hour: 2.5.", "USD", "units:usd", key="site.usd_per_device_hour"),
    amount("device_hours", "Device-hours, instead of a model.", "H", "units:device_hours"),
    amount("energy", "Metered energy of the computers: 433MWh.", "ENERGY", "units:watt_hours", "Wh"),
    Field("device_power", "Average power of one device: 400W, or `tdp`.", "units:watts_or_tdp", metavar="tdp|POWER", number="W", key="site.device_power"),
    amount("pue", "PUE: facility energy over computer energy, 1.1.", "PUE", key="site.pue"),
    Field("region", "Grid zone or cloud region: us-east4, FRA, US-VA.", metavar="ZONE", key="site.region"),
    Field("grid_intensity", "Grid carbon intensity: 385g/kWh or 0.385kg/kWh.", "units:grid_intensity", "X", number="kg/kWh", key="site.grid_intensity"),
    Field("grid_profile", "Grid intensity by month and hour: CSV of month, hour, kgco2e_per_kwh.", "chain.grid_profile:read_profile", "FILE.csv", key="site.grid_profile"),
    Field("start", "Start of the run: 2026-03-01, 2026-03-01T06:00.", "chain.grid_profile:read_start", "DATE", key="run.start"),
    amount("published_kgco2e", "A published footprint, 75t: the grid intensity it implies.", "MASS", "units:kgco2e", "kg"),
    word("mfu_of", "What a given MFU or rate is of: a step, or a whole run.", "run", "step", key="run.mfu_of"),
    Field("provider", "Whose price: aws, gcp, azure, lambda, ...", key="site.provider"),
    word("price_term", "Term of the price.", "on_demand", "spot", "committed_1y", "committed_3y", key="site.price_term"),
    Field("system_power", "Average power of a device with its share of the host: 600W.", "units:watts_or_tdp", metavar="tdp|POWER", number="W", key="site.system_power"),
    word("carbon_scope", "Which energy the CO2e is of.", "devices", "it", "facility", key="site.carbon_scope"),
    amount("device_lifetime", "Service life over which embodied carbon is spread: 4y.", "TIME", "units:seconds", "s", key="site.device_lifetime"),
    amount("embodied_per_device", "CO2e of making one device, with a share of its server where that is counted: 462kg.", "MASS", "units:kgco2e", "kg", key="site.embodied_per_device"),
    switch("embodied", "Put the CO2e of making the devices into a total.", key="site.embodied"),
    amount("trial_share", "Put trial and failed runs into a total: their share of the run's device-hours, 50%.", "SHARE", "units:share", key="run.trial_share"),
    amount("idle_share", "Put idle nodes into a total: their share of the run's energy, 59%.", "SHARE", "units:share", key="site.idle_share"),
    word("side_by_side", "The same run on other devices, at other prices, elsewhere.", "devices", "providers", "regions"),
    # Budgets.
    amount("usd", "Budget in dollars: $100k.", "USD", "units:usd", key="budget.usd"),
    amount("device_days", "Budget in device-days.", "DAYS", "units:device_days", key="budget.device_days"),
    amount("energy_budget", "Budget in energy of the facility: 500MWh.", "ENERGY", "units:watt_hours", "Wh", key="budget.energy"),
    amount("carbon_budget", "Budget in operational CO2e: 100t.", "MASS", "units:kgco2e", "kg", key="budget.kgco2e"),
    amount("deadline", "Time within which the run must finish: 30d.", "TIME", "units:seconds", "s", key="run.deadline"),
    # Layouts.
    counted("top", "How many of the ranked layouts to show, 1,000 at most.", "K"),
    Field("explain", "Price this layout, and say what it loses to the best.", "machine.layout:parse_layout", "LAYOUT"),
    Field("ledger", "Write every candidate with its figures, or the reason it was rejected.", metavar="FILE.csv"),
    Field("stage_layers", "Layers of each pipeline stage: 10,12,12,10.", "units:counts", "N,N,...", key="hardware.stage_layers"),
    amount("expert_imbalance", "Tokens of the busiest device's experts over the mean.", "X", "units:amount", key="hardware.expert_imbalance"),
    switch("tp_overlap", "Tile-wise overlap of tensor parallel collectives with products (asynchronous TP)."),
    switch("schedules", "Compare the pipeline schedules in time and memory."),
    Field("trace", "Write the step as a Chrome/Perfetto timeline.", metavar="FILE.json"),
    word("emit", "Print the run file of the layout.", "megatron", "torchtitan"),
    Field(
        "from_file",
        "Read model and layout from a run file of Megatron-LM, torchtitan, NeMo, ...",
        "chain.run_files.run_file:read_run_file",
        "FILE",
    ),
    # Serving a load.
    counted("n_prompt_tokens", "Tokens of a prompt.", key="serving.n_prompt_tokens"),
    counted("n_output_tokens", "Tokens written after it.", key="serving.n_output_tokens"),
    counted("concurrency", "Sequences served at once.", key="serving.concurrency"),
    amount("cached_prefix", "Share of each prompt whose keys and values are in the cache already: 0.8.", "SHARE", "units:fraction", key="serving.cached_prefix"),
    switch("chunked_prefill", "Read prompts in the passes that write tokens.", key="serving.chunked_prefill"),
    counted("n_draft_tokens", "Speculative decoding: tokens that a draft proposes for each pass.", key="serving.n_draft_tokens"),
    amount("draft_acceptance", "Share of drafted tokens that are accepted: 0.8.", "SHARE", "units:fraction", key="serving.draft_acceptance"),
    amount("draft_cost", "Time of one draft step over one of the model: 0.05; not counted unless given.", "X", key="serving.draft_cost"),
    amount("requests_per_s", "Load to be served, for the size of a fleet.", "R", key="serving.requests_per_s"),
    # Serving for a lifetime, in a plan.
    Field("serving_hardware", "The device that serves, where it is another one than trains.", metavar="DEVICE", presets="hardware", key="serving.device"),
    Field("serving_layout", "Degrees of parallelism of one deployment: tp2; else the smallest that fits.", "machine.layout:parse_layout", "LAYOUT", key="serving.layout"),
    Field("serving_precision", "Number format of the weights that are served: bf16, fp8, int4, ...", key="serving.precision"),
    Field("serving_stack", "Serving engine; `scaleplan presets stacks` lists it.", metavar="STACK", presets="stacks", key="serving.stack"),
    amount("serving_time", "Time over which the {inference_tokens} are served: 1y; the fleet is as large as that needs.", "TIME", "units:seconds", "s", key="serving.time"),
    amount("serving_usd_per_device_hour", "Price of one device that serves for an hour: 2.5.", "USD", "units:usd", key="serving.usd_per_device_hour"),
    # Post-training.
    word("method", "Method of post-training; grpo unless given.", "grpo", "ppo", "dpo", "reward-model", "fine-tuning", "distillation"),
    counted("n_prompts", "Prompts of one step of reinforcement learning."),
    counted("n_responses", "Responses written to each prompt (group size)."),
    counted("max_output_tokens", "Longest response that is allowed; {n_output_tokens} is then the mean."),
    Field("engine_layout", "Degrees of parallelism of one rollout engine: tp4.", "machine.layout:parse_layout", "LAYOUT"),
    counted("n_rollout_devices", "Devices that only write rollouts; else trainer and engine share all of them in turn."),
    switch("asynchronous", "Write the rollouts of the next step while this one trains."),
    switch("keep_trainer", "Keep the trainer's states on the device while rollouts are written; else host memory has them."),
    counted("n_epochs", "Passes of training over the rollouts of one step."),
    switch("no_reference", "No frozen reference model, hence no KL term."),
    counted("n_reward_params", "Parameters of a reward model."),
    counted("n_value_params", "Parameters of the value model of PPO."),
    counted("n_teacher_params", "Active parameters of the teacher of a distillation."),
    amount("kept_share", "Share of groups that are trained on, with dynamic sampling: 0.6.", "SHARE", "units:fraction"),
    amount("tool_wait", "Seconds of each step in which tools run and devices idle: 30s.", "TIME", "units:seconds", "s"),
    switch("no_prefix_caching", "Read a prompt once for each of its responses, not once for all."),
    counted("n_rl_steps", "Steps of reinforcement learning, each with rollouts of its own."),
    # Plans.
    Field("plan_file", "A plan file (TOML), or - for standard input.", metavar="PLAN"),
    several("set", "Change a key of the plan for this call: training.tokens=2T; may be repeated.", "KEY=VALUE"),
    Field("write_front", "Write the points of a search that no other beats as plan files into this folder.", metavar="DIR"),
    several("over", "Sweep a key over values: tokens=1e11:1e13:log:50 or n_devices=64,128; may be repeated.", "KEY=RANGE"),
    Field("swept", "A plan file, or a command whose fields follow.", metavar="PLAN|COMMAND"),
    Field("command", "The question that is swept.", metavar="COMMAND"),
    Field("part", "Compute one of several parts of equal size: 3/16; the parts joined are the whole.", "ranges:part", "K/N"),
    word("engine", "Where the points are computed: here, or on a Dask cluster.", "local", "dask"),
    Field("scheduler", "Address of the scheduler of a Dask cluster: tcp://host:8786.", metavar="ADDRESS"),
    Field("measured", "Log of a run: step_s and peak_bytes (CSV, JSON lines), a W&B export, Megatron-LM or torchtitan output.", metavar="LOG"),
    several("measured_at", "What the measured steps ran with, where not as the plan: layout=tp8, batch_size_tokens=65536; may be repeated.", "KEY=VALUE"),
    amount("peak_bytes", "Measured memory of the fullest device: 61GiB; a bare number is bytes.", "BYTES", "units:bytes_or_bare"),
    # Fits.
    several("column", "The column that holds a quantity: n_params=params_m.", "NAME=HEADING"),
    several("unit", "The unit of a column: n_params=1e6.", "NAME=FACTOR"),
    Field("form", "Form of the law: additive, additive-tied, over-training, kaplan, repeating, isoflop, envelope, ladder, ...", metavar="FORM"),
    counted("bootstrap", "Bootstrap resamples for intervals: 4000."),
    Field("seed", "Random seed of the bootstrap.", "units:count_or_zero", "N", number=""),
    counted("jobs", "Worker threads; results are identical."),
    switch("compare", "Rank the forms by their error on the largest runs, left out of the fit."),
    amount("design", "Propose the next runs to spend this compute on: 1e21.", "FLOP", "units:flops"),
    # Limits.
    several("limit", "Limit: usd<=50k, kgco2e<=20t:warn, wall_s<=30d; against a base usd<=+10%; may be repeated.", "LIMIT", key="limit"),
    word("at", "Judge by this percentile alone instead of the whole interval.", "p10", "p50", "p90"),
    word("unsure", "Whether a limit inside the interval passes or fails.", "pass", "fail"),
    Field("base", "A plan or answer to compare with: the bound of max_increase and of usd<=+10%, and what each limit found there.", metavar="BASE"),
    Field("summary", "Append the verdicts as Markdown to this file, such as a job's summary.", metavar="FILE"),
    Field("base_file", "The plan or answer before.", metavar="BASE"),
    Field("head_file", "The plan or answer after.", metavar="HEAD"),
    # Presets.
    switch("schema", "The JSON Schema of such files, for editors and for your own."),
    switch("init", "A commented plan file to start from."),
)  # fmt: skip
FIELDS: dict[str, Field] = {row.name: row for row in ROWS}
"""Name -> field. The words that describe a shape are fields too: `shape_field`."""

OTHER_NAMES = {
    "n_params": "params parameters n model-size",
    "n_active_params": "active-params",
    "compute": "flops flop budget c",
    "usd": "money dollars",
    "price_term": "spot on-demand reserved",
    "tokens": "n-tokens train-tokens dataset-size d",
    "n_steps": "steps max-steps train-iters",
    "loss": "target-loss",
    "seq_len": "context context-length ctx sequence-length max-seq-len seqlen n-ctx block-size",
    "batch_size_seqs": "batch-size batch bs bsz",
    "micro_batch_size_seqs": "micro-batch micro-batch-size mbs per-device-batch-size per-device-train-batch-size",
    "global_batch_size_seqs": "global-batch-size gbs global-batch",
    "precision": "dtype datatype torch-dtype quantization quant",
    "optimizer": "optim",
    "recompute": "gradient-checkpointing activation-checkpointing checkpoint-activations checkpointing",
    "attention": "attn attn-implementation flash-attention",
    "stack": "framework",
    "offload": "cpu-offload",
    "hardware": "gpu device accelerator gpu-type hw",
    "n_devices": "gpus n-gpus num-gpus devices num-devices ngpus world-size",
    "capacity": "vram gpu-memory device-memory mem",
    "usable_share": "gpu-memory-utilization mem-fraction-static memory-fraction reserve",
    "layout": "tp pp dp cp ep zero zero-stage fsdp tensor-parallel pipeline-parallel data-parallel parallelism tensor-parallel-size sp vpp",
    "inference": "serving infer",
    "cache_precision": "kv-cache-dtype kv-dtype",
    "largest": "max",
    "fewest": "min",
    "tokens_per_param": "ratio",
    "mfu": "utilization utilisation efficiency",
    "flops_per_s_per_device": "tflops flops-per-gpu",
    "usd_per_device_hour": "price price-per-hour gpu-price cost-per-hour hourly-rate",
    "device_hours": "gpu-hours",
    "device_power": "power tdp",
    "region": "country zone",
    "grid_intensity": "carbon-intensity",
}  # fmt: skip
"""Field -> flags by which people know it elsewhere; the error for one of them names the right one."""

SHAPE_WORDS = (
    "n_layers", "d_model", "n_heads", "n_kv_heads", "d_head", "d_ff", "gated", "n_vocab", "n_positions", "tied", "attention_bias",
    "mlp_bias", "norm", "qk_norm", "n_experts", "n_experts_per_token", "d_ff_expert", "n_shared_experts", "n_dense_layers",
    "n_encoder_layers", "bidirectional", "d_embedding", "n_shared_copies", "mixer", "feed_forward", "window", "chunk", "stride", "n_global",
    "n_random", "n_hashes", "n_buckets", "n_extra_params",
)  # fmt: skip
"""The words of a model's shape that are fields as well; the others have their place in model files."""

ADDED_WORDS = ("n_extra_params",)
"""Words that may stand beside a MODEL and change it."""


def shape_field(name: str) -> Field:
    """The field of a word that describes a model's shape; its meaning is that of the vocabulary of `model/words.py`."""
    from scaleplan.model.words import WORDS

    known = WORDS[name]
    meaning = known.meaning[0].upper() + known.meaning[1:] + "."
    key = f"model.{name}"
    if known.kind == "flag":
        return switch(name, meaning, off=OFF.get(name, f"--no-{name.replace('_', '-')}"), key=key)
    if isinstance(known.kind, tuple):
        choices = known.kind
        return Field(name, f"{meaning} One of {', '.join(choices)}.", metavar="WORD", choices=choices, key=key)
    return Field(name, meaning, COUNT if known.kind == "size" else "units:count_or_zero", "N", number="", key=key)


def field_named(name: str) -> Field:
    """A field by its name, the words of a shape included."""
    return FIELDS[name] if name in FIELDS else shape_field(name)


INSTEAD = {"batch_size_seqs": "concurrency", "seq_len": "n_prompt_tokens", "n_params": "target", "n_devices": "layout"}
"""Field -> the one that says the same of another question: a served batch, a served length, a model to be found, devices of a layout."""


def meant(name: str, known: Container[str]) -> str | None:
    """The field that people mean by another name of it (gpus -> n_devices), the one among the known ones where there is one; else None."""
    dashed = name.lower().replace("_", "-")
    usual = next((field for field, others in OTHER_NAMES.items() if dashed in others.split()), dashed.replace("-", "_"))
    if usual not in known and INSTEAD.get(usual) in known:
        return INSTEAD[usual]
    return usual if usual in FIELDS else None


def read(field: Field, value: Any) -> Any:
    """A value as it was given -> base units; the error of its reader names the field.

    value  the text that the flag takes, a number in base units, True or False for a switch, or a list of these for a repeated field
    """
    from scaleplan.errors import InputError, ScaleplanError, UnknownName
    from scaleplan.library import full_name
    from scaleplan.wording import field as marked

    if field.kind == "switch":
        if not isinstance(value, bool):
            raise InputError(f"{marked(field.name)}: `{shown_object(value)}` is neither True nor False")
        return value
    if field.kind == "list":
        return tuple(read(field._replace(kind="value"), one) for one in (value if isinstance(value, list | tuple) else [value]))
    text = text_of(field, value)
    if field.presets == "hardware":
        return full_name(field.presets, text)
    if field.choices and text not in field.choices:
        raise UnknownName(f"choice of {marked(field.name)}", text, field.choices)
    if not field.reader:
        return text
    try:
        return field.read_by()(text)
    except ScaleplanError as error:
        for one in getattr(error, "errors", (error,)):
            one.message = f"{marked(field.name)}: {one.message}"
        raise


def text_of(field: Field, value: Any) -> str:
    """What a value would be on the command line: numbers are in base units."""
    from contextlib import suppress

    from scaleplan.errors import InputError
    from scaleplan.wording import field as marked

    if isinstance(value, str):
        return value
    if hasattr(value, "__fspath__"):
        return str(value)
    if hasattr(value, "isoformat"):  # a date of TOML's or Python's
        return str(value.isoformat())
    if hasattr(value, "item") and getattr(value, "ndim", 1) == 0:  # a number of numpy's
        value = value.item()
    if field.number is not None and isinstance(value, int | float) and not isinstance(value, bool):
        with suppress(ValueError):  # a whole number of thousands of digits
            return f"{value!r}{field.number}"
    raise InputError(
        f"{marked(field.name)}: `{shown_object(value)}` is not a value that it takes",
        hint=as_one_text(field, value) or field.explained(marked),
    )


def as_one_text(field: Field, values: Any) -> str | None:
    """Values that a field takes as one text with commas; None where it takes no such text."""
    from scaleplan.errors import ScaleplanError

    if not isinstance(values, list | tuple) or not values or field.choices:
        return None
    try:
        text = ",".join(map(str, values))
        read(field, text)
    except (ScaleplanError, ValueError):  # a whole number of thousands of digits has no text
        return None
    return f"write it as one text: `{text}`"


def shown_object(value: Any) -> str:
    """An object of Python's in a message."""
    from scaleplan.errors import clipped

    try:
        return clipped(repr(value))
    except ValueError:
        return f"{type(value).__name__} of thousands of digits"


Given = Mapping[str, Any]
