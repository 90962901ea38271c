"""Measure the memory of a small Llama-like model in plain torch on a GPU, one row a configuration, as CSV on stdout.

    python benchmarks/measure_memory.py > measured.csv

Needs torch and a CUDA device, nothing else. The blocks are written as transformers writes them: RMS norm in single operations with a
32-bit copy, rotary positions, scaled-dot-product attention, gate and product as tensors of their own. Memory is what torch's allocator
has handed out: after the forward pass with its loss (less what there was before: what is kept for the backward pass), and at the
peak of a second step, when the optimizer's states exist.
"""

from __future__ import annotations

import csv
import itertools
import sys

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

SHAPES = (
    # n_layers, d_model, n_heads, n_kv_heads, d_ff, n_vocab
    (8, 1024, 16, 16, 2816, 32000),
    (16, 2048, 16, 8, 5632, 32000),
    (8, 4096, 32, 8, 14336, 128256),
)
BATCHES = ((1, 2048), (4, 2048), (2, 8192))
RUNS = (
    ("bf16", "sdpa", "none"),
    ("bf16", "sdpa", "full"),
    ("bf16-autocast", "sdpa", "none"),
    ("fp32", "sdpa", "none"),
    ("bf16", "eager", "none"),
)
COLUMNS = (
    "n_layers", "d_model", "n_heads", "n_kv_heads", "d_ff", "n_vocab", "batch_size_seqs", "seq_len", "precision", "attention", "recompute",
    "n_params", "kept_bytes", "peak_bytes", "device", "torch",
)  # fmt: skip


class RmsNorm(nn.Module):
    """In single operations, as transformers has it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        wide = x.to(torch.float32)
        wide = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + 1e-6)
        return self.weight * wide.to(x.dtype)


def rotated(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    """Rotary positions on (batch, heads, tokens, width)."""
    first, second = x.chunk(2, dim=-1)
    return x * cos + torch.cat((-second, first), dim=-1) * sin


class Block(nn.Module):
    """Attention and a gated feed-forward, each behind a norm."""

    def __init__(self, d_model: int, n_heads: int, n_kv_heads: int, d_ff: int, eager: bool) -> None:
        super().__init__()
        self.n_heads, self.n_kv_heads, self.d_head, self.eager = n_heads, n_kv_heads, d_model // n_heads, eager
        self.norms = nn.ModuleList([RmsNorm(d_model), RmsNorm(d_model)])
        self.q = nn.Linear(d_model, n_heads * self.d_head, bias=False)
        self.k = nn.Linear(d_model, n_kv_heads * self.d_head, bias=False)
        self.v = nn.Linear(d_model, n_kv_heads * self.d_head, bias=False)
        self.o = nn.Linear(n_heads * self.d_head, d_model, bias=False)
        self.gate, self.up = nn.Linear(d_model, d_ff, bias=False), nn.Linear(d_model, d_ff, bias=False)
        self.down = nn.Linear(d_ff, d_model, bias=False)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norms[0](x), cos, sin)
        y = self.norms[1](x)
        return x + self.down(functional.silu(self.gate(y)) * self.up(y))

    def attention(self, y: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
        shape = (*y.shape[:2], -1, self.d_head)
        q, k, v = (product(y).view(shape).transpose(1, 2) for product in (self.q, self.k, self.v))
        q, k = rotated(q, cos, sin), rotated(k, cos, sin)
        if self.eager:
            k, v = (t.repeat_interleave(self.n_heads // self.n_kv_heads, dim=1) for t in (k, v))
            weights = torch.softmax(q @ k.transpose(2, 3) * self.d_head**-0.5, dim=-1, dtype=torch.float32).to(q.dtype)
            out = weights @ v
        else:
            out = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        return self.o(out.transpose(1, 2).reshape(*y.shape[:2], -1))


class Model(nn.Module):
    """Embedding, blocks, head, loss in 32 bits."""

    def __init__(
        self, n_layers: int, d_model: int, n_heads: int, n_kv_heads: int, d_ff: int, n_vocab: int, eager: bool, full: bool
    ) -> None:
        super().__init__()
        self.table = nn.Embedding(n_vocab, d_model)
        self.blocks = nn.ModuleList(Block(d_model, n_heads, n_kv_heads, d_ff, eager) for _ in range(n_layers))
        self.norm, self.head = RmsNorm(d_model), nn.Linear(d_model, n_vocab, bias=False)
        self.d_head, self.full = d_model // n_heads, full

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.table(ids)
        angles = torch.outer(
            torch.arange(ids.shape[1], device=ids.device), 10000 ** -(torch.arange(0, 1, 2 / self.d_head, device=ids.device))
        )
        cos, sin = (f(torch.cat((angles, angles), dim=-1)).to(x.dtype) for f in (torch.cos, torch.sin))
        for block in self.blocks:
            x = checkpoint(block, x, cos, sin, use_reentrant=False) if self.full else block(x, cos, sin)
        logits = self.head(self.norm(x)).float()
        return functional.cross_entropy(logits.view(-1, logits.shape[-1]), ids.view(-1))


def measure(shape: tuple[int, ...], batch: tuple[int, int], run: tuple[str, str, str]) -> tuple[int, int, int]:
    """Parameters, bytes kept for the backward pass, and the peak of the second step."""
    precision, attention, recompute = run
    torch.manual_seed(0)
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    model = Model(*shape, eager=attention == "eager", full=recompute == "full").to("cuda", dtype)
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    ids = torch.randint(0, shape[-1], batch, device="cuda")
    kept = 0
    for _ in range(2):
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16-autocast"):
            loss = model(ids)
            kept = torch.cuda.memory_allocated() - before
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        del loss
    return sum(p.numel() for p in model.parameters()), kept, torch.cuda.max_memory_allocated()


def main() -> None:
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(COLUMNS)
    for shape, batch, run in itertools.product(SHAPES, BATCHES, RUNS):
        if run[1] == "eager" and batch[1] > 2048:
            continue
        try:
            found = measure(shape, batch, run)
        except torch.cuda.OutOfMemoryError:
            print(f"out of memory: {shape} {batch} {run}", file=sys.stderr)
            continue
        finally:
            torch.cuda.empty_cache()
        writer.writerow([*shape, *batch, *run, *found, torch.cuda.get_device_name(), torch.__version__])
        sys.stdout.flush()


if __name__ == "__main__":
    main()
