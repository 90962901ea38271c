"""Each number of a step of reinforcement learning with its formula."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from scaleplan.answer import Line, line
from scaleplan.chain.post_training import assumptions
from scaleplan.chain.spread import interval_of, over
from scaleplan.library import citations
from scaleplan.machine.post_training import BYTES
from scaleplan.questions.rl.common import flops_lines, memory_lines, time_factors, usd_lines

if TYPE_CHECKING:
    from scaleplan.questions.rl.of_rollouts import Solved

BOOK = ("scaling-book",)
PARTS = ("rollout_s", "log_probs_s", "judges_s", "training_s", "sync_s")


def lines_of(solved: Solved, memory: dict[str, Any], n_steps: int | None) -> list[Line]:
    """Every line, inputs before what follows from them."""
    parts = [*rollout_lines(solved), *trainer_lines(solved), sync_line(solved)]
    step = step_lines(solved, parts)
    hours = next(one for one in step if one.key == "device_hours_per_step")
    found = [*flops_lines(solved.step.flops, solved.run.method), tokens_line(solved), *parts, *step]
    found += usd_lines("usd_per_step", "dollars of a step", hours, solved.price, time_factors())
    return [*found, *run_lines(solved, step, n_steps), *memory_lines(memory)]


def tokens_line(solved: Solved) -> Line:
    """Tokens that a step trains on."""
    asked = solved.run.rollout
    inputs: dict[str, Any] = {"n_prompts": asked.n_prompts, "n_responses": asked.n_responses}
    inputs |= {"n_prompt_tokens": asked.lengths.prompt, "n_output_tokens": asked.lengths.mean_response}
    formula = "n_prompts * n_responses * (n_prompt_tokens + n_output_tokens)"
    return line("tokens_per_step", "tokens of a step", solved.step.n_tokens, "tokens", formula, **inputs)


def rollout_lines(solved: Solved) -> list[Line]:
    """Reading prompts, writing responses as the engines empty, tools."""
    found, cited = solved.step.rollout, (*BOOK, *solved.on.engine.sources)
    said: dict[str, Any] = {"standing": "estimate", "sources": cited}
    parts: dict[str, Any] = {"prefill_s": found.prefill_s, "decode_s": found.decode_s, "wait_s": found.wait_s}
    return [
        line("prefill_s", "rollout: prefill", found.prefill_s, "s", **said),
        line("decode_s", "rollout: decode, until the last response has ended", found.decode_s, "s", **said),
        line("wait_s", "rollout: tools", found.wait_s, "s", standing="given"),
        line("rollout_s", "rollout", found.total_s, "s", " + ".join(parts), standing="estimate", **parts),
    ]


def trainer_lines(solved: Solved) -> list[Line]:
    """FLOP over what the trainer delivers."""
    parts, rate, flops = solved.step.parts, solved.step.trainer, solved.step.flops
    cited = citations(assumptions()["training"]) if solved.run.mfu is None else ()
    found = []
    for name, label in (("log_probs", "log-probabilities"), ("judges", "reward and value models"), ("training", "training")):
        inputs: dict[str, Any] = {"flops_per_token": float(getattr(flops, name)), "tokens_per_step": solved.step.n_tokens}
        inputs |= {"n_training_devices": rate.n_devices, "peak_flops_per_s": rate.peak_flops_per_s, "mfu": rate.mfu}
        formula = "flops_per_token * tokens_per_step / (n_training_devices * peak_flops_per_s * mfu)"
        value = float(getattr(parts, f"{name}_s"))
        found.append(line(f"{name}_s", label, value, "s", formula, standing="estimate", sources=cited, **inputs))
    return found


def sync_line(solved: Solved) -> Line:
    """16-bit weights over the network."""
    inputs: dict[str, Any] = {"n_params": solved.on.bill.n_params(), "bytes_per_s": solved.step.trainer.sync_bytes_per_s}
    formula = f"{BYTES} * n_params / bytes_per_s"
    return line("sync_s", "weight sync", solved.step.parts.sync_s, "s", formula, standing="estimate", **inputs)


def step_lines(solved: Solved, parts: list[Line]) -> list[Line]:
    """The step with the overhead of published runs, and what it comes to."""
    step, usual = solved.step, assumptions()["step"]
    slower, value = time_factors(), float(step.step_s.p50)
    said: dict[str, Any] = {"standing": "estimate", "sources": citations(usual)}
    seconds: dict[str, Any] = {one.key: one.value for one in parts if one.key in PARTS}
    trained = "log_probs_s + judges_s + training_s"
    formula = f"max(rollout_s, {trained}) + sync_s" if step.parts.asynchronous else f"rollout_s + ({trained}) + sync_s"
    share: dict[str, Any] = {"parts_s": step.parts.total_s} | {name: seconds[name] for name in PARTS if name != "rollout_s"}
    exposed = "max(0, parts_s - sync_s - log_probs_s - judges_s - training_s) / parts_s"
    rate: dict[str, Any] = {"tokens_per_step": step.n_tokens, "step_s": value, "n_devices": step.n_devices}
    useful: dict[str, Any] = {"flops_per_token": float(step.flops.training), **rate, "peak_flops_per_s": step.trainer.peak_flops_per_s}
    done = "flops_per_token * tokens_per_step / (step_s * n_devices * peak_flops_per_s)"
    hours, tokens = step.device_hours(1).p50, step.tokens_per_s_per_device
    spent: dict[str, Any] = {"step_s": value, "n_devices": step.n_devices}
    return [
        line("parts_s", "sum of the parts", step.parts.total_s, "s", formula, standing="estimate", **seconds),
        line(
            "step_s", "a step, overhead included", value, "s", "parts_s * overhead", interval=interval_of(value, slower),
            parts_s=step.parts.total_s, overhead=usual["overhead"], **said,
        ),
        line("rollout_share", "share of the step in rollout alone", step.rollout_share, "fraction", exposed, standing="estimate", **share),
        line(
            "tokens_per_s_per_device", "tokens a second and device", tokens, "tokens/s", "tokens_per_step / step_s / n_devices",
            standing="estimate", interval=interval_of(tokens, over(slower)), **rate,
        ),
        line(
            "whole_step_mfu", "MFU of the whole step", step.mfu, "fraction", done, standing="estimate",
            interval=interval_of(step.mfu, over(slower)), **useful,
        ),
        line(
            "device_hours_per_step", "device-hours of a step", hours, "h", "step_s * n_devices / 3600", standing="estimate",
            interval=interval_of(hours, slower), **spent,
        ),
    ]  # fmt: skip


def run_lines(solved: Solved, step: list[Line], n_steps: int | None) -> list[Line]:
    """So many steps: wall time, device-hours, dollars; none where no number was given."""
    if n_steps is None:
        return []
    known, slower = {one.key: one.value for one in step}, time_factors()
    wall, hours = n_steps * known["step_s"], n_steps * known["device_hours_per_step"]
    counts: dict[str, Any] = {"n_rl_steps": n_steps}
    total = line(
        "device_hours", "device-hours", hours, "h", "n_rl_steps * device_hours_per_step", standing="estimate",
        interval=interval_of(hours, slower), device_hours_per_step=known["device_hours_per_step"], **counts,
    )  # fmt: skip
    time = line(
        "wall_s", "wall time", wall, "s", "n_rl_steps * step_s", standing="estimate", interval=interval_of(wall, slower),
        step_s=known["step_s"], **counts,
    )  # fmt: skip
    return [time, total, *usd_lines("usd", "dollars", total, solved.price, slower)]
