"""`solve` takes arrays where it takes numbers: three cases at once are the three cases one by one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pytest

from scaleplan.questions.asking import requested
from scaleplan.questions.registry import question_named

CASES: list[tuple[str, dict[str, Any], str, list[float]]] = [
    ("flops", {"model": "llama-3-8b", "tokens": "1T"}, "tokens", [1e11, 1e12, 1.5e13]),
    ("flops", {"model": "mistral-7b-v0.1", "tokens": "1T", "causal": True}, "seq_len", [1024, 8192, 131072]),
    ("flops", {"model": "t5-small", "tokens": "1B"}, "batch_size_seqs", [1, 8, 64]),
    ("batch", {"loss": "2.5"}, "loss", [2.4, 2.5, 3.0]),
    ("plan", {"model": "gpt3-175b", "tokens": "300B", "hardware": "a100-sxm-80gb", "n_devices": 1024}, "n_devices", [64, 512, 4096]),
]


def numbers(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every number or array of solved, typed results, by its path."""
    if isinstance(value, bool) or value is None or isinstance(value, str):
        return
    if isinstance(value, int | float | np.ndarray | np.number):
        yield path, value
    elif hasattr(value, "_asdict"):
        for key, item in value._asdict().items():
            yield from numbers(item, f"{path}.{key}")
    elif isinstance(value, Mapping):
        for key, item in value.items():
            yield from numbers(item, f"{path}.{key}")


@pytest.mark.parametrize(("name", "given", "field", "values"), CASES, ids=[f"{name}-{field}" for name, _, field, _ in CASES])
def test_three_at_once_are_three_one_by_one(name, given, field, values):
    """Every number that changes is the same in the array as alone, to the last digits of float64."""
    shape, request = requested(question_named(name), given)
    together = dict(numbers(shape.solve(request._replace(**{field: np.array(values)}))))
    alone = [dict(numbers(shape.solve(request._replace(**{field: value})))) for value in values]
    changing = [path for path in alone[0] if len({float(one[path]) for one in alone if path in one}) > 1]

    assert changing
    for path in changing:
        found = np.broadcast_to(np.asarray(together[path], dtype=float), (3,))
        assert found.tolist() == pytest.approx([float(one[path]) for one in alone], rel=1e-9), path
