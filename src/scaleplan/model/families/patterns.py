"""Windows and blocks that sparse kernels compute as such, as configs say them."""

from __future__ import annotations

from scaleplan.errors import InputError, NotSupported, clipped
from scaleplan.model.families.family import Config, Words
from scaleplan.model.words import check_size

SPARSE: Words = {"mixer": "sparse-attention"}


def window_by_layer(config: Config, n_layers: int) -> Words:
    """`attention_window` of Longformer and LED, keys on both sides together: one for all layers or one for each (beltagy2020).

    Which tokens are global is said when the model runs, not in the config: none is counted.
    """
    value = config.find("attention_window")
    windows = [512] if value is None else value if isinstance(value, list) else [value]
    for window in windows:
        check_size(window, "`attention_window`")
    if len(windows) not in (1, n_layers):
        raise InputError(f"`attention_window` names {len(windows)} layers, but there are {n_layers}")
    return SPARSE | {"window": windows[0] if len(set(windows)) == 1 else windows}


def blocks(config: Config) -> Words:
    """BigBird's blocks: three around the query's own, some at random, and the first and the last, which are global (zaheer2020).

    `original_full` is plain attention.
    """
    kind = config.text("attention_type", "block_sparse")
    if kind == "original_full":
        return {}
    if kind != "block_sparse":
        raise NotSupported(f"`attention_type` is `{clipped(kind)}`", hint="known: block_sparse, original_full")
    block = config.size("block_size", default=64)
    n_random = config.size("num_random_blocks", default=3, least=0)
    return SPARSE | {"window": 3 * block, "n_random": n_random * block, "n_global": 2 * block}
