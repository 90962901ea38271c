"""Which inputs products keep, and which modules a recomputation names."""

from __future__ import annotations

import pytest

from scaleplan.errors import UnknownName
from scaleplan.model.bill import bill_of
from scaleplan.model.blocks import layer_kept
from scaleplan.model.passes import MODULES, Keeping, Pass, read, read_by, recomputation, recomputed_modules
from scaleplan.model.shape import arch_of_shape

WORDS = {"n_layers": 1, "d_model": 42, "n_heads": 6, "n_vocab": 97}
LAYER = bill_of(arch_of_shape(WORDS)).blocks()[0]


@pytest.mark.parametrize(
    ("text", "modules"),
    [
        ("none", None),
        ("full", None),
        ("per-op", None),
        ("mlp+none", None),
        ("selective", {"core_attn"}),
        ("mlp", {"mlp"}),
        ("moe_act+layernorm", {"moe_act", "layernorm"}),
        ("+".join(MODULES), set(MODULES)),
    ],
)
def test_modules_of_a_recomputation(text: str, modules: set[str] | None):
    """Selective is the attention core; other words are modules only where all of them are."""
    assert recomputed_modules(text) == modules


def test_a_wrong_module_among_right_ones_is_named():
    """`mlp+attn` is refused for `attn`."""
    assert recomputation("mlp+moe") == "mlp+moe"
    with pytest.raises(UnknownName, match="attn"):
        recomputation("mlp+attn")


@pytest.mark.parametrize(
    ("autocast", "matrices", "copies"),
    [
        (False, (3, 3), 1),
        (False, (3, 1), 1),
        (False, (3, 0), 0),
        (True, (3, 3), 2),
        (True, (3, 1), 1),
        (True, (3, 0), 0),
        (True, (0, 0), 2),
    ],
)
def test_products_share_one_input_but_under_autocast(autocast: bool, matrices: tuple[int, int], copies: int):
    """Under autocast each of two products keeps a copy, as far as its matrix is trained; frozen matrices keep nothing."""
    how = Pass(Keeping(), autocast=autocast)

    assert [k.per_token for k in read_by(2, matrices, "input", 42, LAYER.stream, how)] == [42 * copies] * (copies > 0)


def test_frozen_matrices_read_for_nobody():
    """Of Q, K, V and output the trained ones keep their input, and a frozen one whose adapter reads the same."""
    picked = [w for w in LAYER.weights if w.group == "attention" and w.matmul]
    frozen = LAYER._replace(weights=tuple(w._replace(trainable=w.name == "Q") for w in picked))
    adapter = picked[1]._replace(name=f"{picked[1].name} adapter A", group="lora")

    assert read(LAYER, ("attention",)) == (4, 4) and read(frozen, ("attention",)) == (4, 1)
    assert read(frozen._replace(weights=(*frozen.weights, adapter)), ("attention",)) == (4, 2)
    assert read(LAYER, ("attention",), "Q", "output", but=("output",)) == (1, 1)


def test_a_norm_keeps_mean_and_deviation_in_32_bits_unless_told():
    """Two numbers of four bytes a token for each of two norms (torch's layer norm)."""
    kept = [k for k in layer_kept(LAYER, Pass(Keeping())) if k.name == "norm statistics"]

    assert [(k.per_token, k.dtype) for k in kept] == [(2 * 4, "byte")] * 2
