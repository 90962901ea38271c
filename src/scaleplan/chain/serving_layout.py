"""The deployment of a load where none was named: tensor parallelism inside one node, the least that fits."""

from __future__ import annotations

from collections.abc import Iterator

from scaleplan.chain.default_layout import is_legal
from scaleplan.errors import NotSupported
from scaleplan.machine.inverse import divisors
from scaleplan.machine.layout import Layout, fixed_sizes
from scaleplan.machine.serving import Load, fits_served
from scaleplan.machine.serving_pass import Deployment
from scaleplan.wording import field


def growing(on: Deployment) -> Iterator[Layout]:
    """1, 2, 4 ... tensor parallel ranks up to a node's, then more and more pipeline stages of whole nodes."""
    sizes, node = fixed_sizes(on.bill.arch), on.device.n_per_node
    inside = [layout for tp in divisors(node) if is_legal(layout := Layout(tp=tp), sizes)]
    yield from inside
    widest = inside[-1]
    yield from (widest._replace(pp=stages) for stages in range(2, int(sizes.n_layers) + 1) if is_legal(widest._replace(pp=stages), sizes))


def least_layout(on: Deployment, load: Load, context_bytes: int) -> Layout:
    """The first of `growing` whose devices hold the load.

    Raises NotSupported where none does.
    """
    for layout in growing(on):
        if fits_served(on._replace(layout=layout), load, context_bytes):
            return layout
    n_seqs, n_tokens = load.concurrency, load.n_prompt_tokens + load.n_output_tokens
    raise NotSupported(
        f"no layout of this model on {on.device.name} holds {n_seqs:,} sequences of {n_tokens:,} tokens, even with one layer a stage",
        hint=f"a narrower {field('precision')}, a lower {field('concurrency')}, or a larger device",
    )
