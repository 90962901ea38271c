"""What several tests start from: published tables and configs, a plan, a shape that no preset has."""

from __future__ import annotations

import csv
from pathlib import Path

PUBLISHED = Path(__file__).parent / "published"
CONFIGS = PUBLISHED / "configs"
QWEN_235B = {
    "n_layers": 94, "d_model": 4096, "n_heads": 64, "n_kv_heads": 4, "d_head": 128, "n_experts": 128, "n_experts_per_token": 8,
    "d_ff_expert": 1536, "n_vocab": 151_936, "gated": True, "norm": "rms", "tied": False, "qk_norm": "head",
}  # fmt: skip
GPT3_PLAN = """\
title = "GPT-3 again"

[model]
preset = "gpt3-175b"

[training]
tokens = "300B"
seq_len = 2048
batch_size_tokens = "3145728"

[hardware]
device = "a100-sxm-80gb"
n_devices = 1024

[site]
grid_intensity = "385g/kWh"
pue = 1.1
usd_per_device_hour = 2.0
"""


def published_rows(name: str) -> list[dict[str, str]]:
    """The rows of a published table; a line that begins with `#` says where it is from."""
    with (PUBLISHED / name).open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(line for line in lines if not line.startswith("#")))
