"""The compute of a run, from whichever way it was given: that of `flops` for a model, 6 N D for a size, or the FLOP themselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from scaleplan import library
from scaleplan.answer import Line, line
from scaleplan.chain.compute import Compute, compute_of, per_token
from scaleplan.chain.lengths import chosen_decoder_length, chosen_length
from scaleplan.chain.sparsity import sparse_factor
from scaleplan.chain.tokens import training_tokens
from scaleplan.errors import UnknownName
from scaleplan.laws.convention import training_flops
from scaleplan.machine.run_time import flops_to_do
from scaleplan.model.adapters import adapted_bill
from scaleplan.model.conventions import CONVENTIONS
from scaleplan.model.flops import Counting, SparseFlops, recomputed_flops, sparse_flops
from scaleplan.questions.training_lines import recompute_lines, training_lines
from scaleplan.wording import field

if TYPE_CHECKING:
    from scaleplan.model.items import Bill
    from scaleplan.model_files import Model
    from scaleplan.questions.cost import Run

SIX_N = "six_n"
SKIPPED = "exact_sparse"
"""The exact count without the zeros that the device skips: those of weights that are an operand, forward and in gradients of inputs."""


class Work(NamedTuple):
    """FLOP of a run.

    convention      how the training FLOP are counted
    hardware_flops  with what is recomputed; None where recomputation was not spoken of
    n_active        parameters that a token passes; None where the compute alone is known
    compute         the count of the model; None without a model
    sparse          what is left without the zeros of sparse weights; None where all are computed
    """

    training_flops: Any
    convention: str
    hardware_flops: Any
    tokens: Any
    n_active: Any
    compute: Compute | None
    sparse: SparseFlops | None = None

    @property
    def standing(self) -> str:
        """Given, where the FLOP themselves were; else a count."""
        return "given" if self.n_active is None else "exact"


def work_of(asked: Run) -> Work:
    """The FLOP of a run; its tokens, sizes and compute may be arrays."""
    if asked.model is not None:
        return work_of_model(asked, asked.model)
    if asked.flops_convention is not None and asked.flops_convention not in CONVENTIONS:
        raise UnknownName(f"choice of {field('flops_convention')}", asked.flops_convention, CONVENTIONS)
    tokens = training_tokens(asked, asked.seq_len)
    flops = training_flops(passed_params(asked), tokens) if asked.compute is None else asked.compute
    hardware = None if asked.recompute is None else flops_to_do(flops, "hardware", asked.recompute)
    return Work(flops, asked.flops_convention or SIX_N, hardware, tokens, passed_params(asked), None)


def passed_params(asked: Run) -> Any:
    """The parameters that a token passes, of a model known by its size."""
    return asked.n_params if asked.n_active_params is None else asked.n_active_params


def work_of_model(asked: Run, model: Model) -> Work:
    """The FLOP of a model on its tokens, as `flops` counts them."""
    length, _ = chosen_length(model, asked.seq_len)
    bill = adapted_bill(model.arch, asked.lora)
    decoder = chosen_decoder_length(model, bill, length, asked.decoder_seq_len)
    compute = compute_of(bill, length, convention=asked.flops_convention, decoder_seq_len=decoder)
    tokens = training_tokens(asked, length)
    hardware = None
    if asked.recompute is not None:
        batch = compute.batch
        again = recomputed_flops(batch, asked.recompute)
        hardware = per_token(batch.training_flops + again, compute.batch_tokens) * tokens
    n_active = compute.params.n_active_params
    sparse = sparse_work(asked, bill, compute)
    if sparse is not None:
        flops = per_token(sparse.skipped_training_flops, compute.batch_tokens) * tokens
        return Work(flops, SKIPPED, None, tokens, n_active, compute, sparse)
    return Work(compute.flops_per_token * tokens, compute.convention, hardware, tokens, n_active, compute)


def sparse_work(asked: Run, bill: Bill, compute: Compute) -> SparseFlops | None:
    """What is left of training where the device skips the zeros of a pattern; None where it computes them like all others.

    Raises NotSupported for a pattern that the device has no products in.
    """
    if asked.sparsity is None:
        return None
    device = library.load("hardware", asked.hardware)
    factor = sparse_factor(device.name, device.data, asked.sparsity)
    return None if factor == 1 else sparse_flops(bill, compute.batch, Counting(sparsity=1 - 1 / factor))


def work_lines(asked: Run, work: Work) -> list[Line]:
    """Where the FLOP come from."""
    if work.compute is not None and asked.model is not None:
        return model_lines(asked, work, work.compute, asked.model.sources)
    if asked.compute is not None:
        lines = [line("training_flops", f"training compute ({work.convention})", work.training_flops, "FLOP", standing="given")]
    else:
        lines = [
            line(
                "training_flops",
                "training compute, 6 N D",
                work.training_flops,
                "FLOP",
                "6 * n_active_params * tokens",
                sources=("kaplan2020",),
                n_active_params=passed_params(asked),
                tokens=work.tokens,
            )
        ]
    if work.hardware_flops is not None:
        again = {"none": "training_flops", "full": "training_flops * 8 / 6"}[str(asked.recompute)]
        label = f"hardware FLOP, recomputation {asked.recompute}"
        flops = {"training_flops": work.training_flops}
        lines.append(line("hardware_flops", label, work.hardware_flops, "FLOP", again, sources=("narayanan2021",), **flops))
    return lines


def model_lines(asked: Run, work: Work, compute: Compute, sources: tuple[str, ...]) -> list[Line]:
    """The lines of `flops` for the same model and tokens."""
    each, whole = training_lines(compute, work.tokens)
    if work.sparse is not None:
        return sparse_lines(each, whole, work, work.sparse)
    lines = [each, whole._replace(label=f"training compute ({work.convention})", sources=(*whole.sources, *sources))]
    if work.hardware_flops is not None:
        lines += recompute_lines(compute, work.tokens, str(asked.recompute))
    return lines


def sparse_lines(each: Line, whole: Line, work: Work, sparse: SparseFlops) -> list[Line]:
    """The dense compute, and what the device does of it: products with zeros are skipped where a weight is an operand."""
    compute = work.compute
    assert compute is not None, "sparse weights are those of a model"
    zeros = per_token(2 * sparse.zero_flops, compute.batch_tokens)
    dense = whole._replace(key="dense_training_flops", label="training compute of dense weights (exact)")
    skipped = line("sparse.skipped_flops_per_token", "products with zeros that the device skips, per token", zeros, "FLOP/token")
    inputs = {"dense_training_flops": whole.value, "skipped_flops_per_token": zeros, "tokens": work.tokens}
    left = line(
        "training_flops",
        f"training compute ({work.convention})",
        work.training_flops,
        "FLOP",
        "dense_training_flops - skipped_flops_per_token * tokens",
        sources=("pytorch-semi-sparse-training",),
        **inputs,
    )
    return [each, dense, skipped, left]
