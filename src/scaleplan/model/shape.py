"""Words -> Arch: builds an architecture from the flat vocabulary of `words.py`.

Layers that come out equal are one kind. Numbers may be numpy arrays; what is present or absent is plain Python.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from scaleplan.errors import InputError
from scaleplan.model.arch import (
    DECODER,
    ENCODER,
    Arch,
    Block,
    Experts,
    FeedForward,
    Head,
    Norm,
    Size,
    Stack,
    Tensor,
)
from scaleplan.model.mixers import mixer_of
from scaleplan.model.mixers.attention import Attention
from scaleplan.model.words import MOST_RUNS, NORMS, Words, backticks, same


def arch_of_shape(words: Mapping[str, Any], name: str = "", spell: Callable[[str], str] = backticks) -> Arch:
    """An architecture from its words; `spell` turns a word into what the user typed, for errors.

    Defaults are those of the plain GPT block: d_ff = 4 d_model, d_head = d_model / n_heads, biases unless the feed-forward is gated,
    a tied head. Numbers may be numpy arrays; they are taken as they are, because a refusal for one of many shapes has no meaning.
    """
    given = Words(words, spell).check()
    norm = NORMS[given.get("norm", "layer")]
    stacks = []
    if given.present("n_encoder_layers") is not None:
        stacks.append(encoder_stack(given, norm))
        given = given.but(bidirectional=False)
    stream = ENCODER if given.get("bidirectional") else DECODER
    stacks.append(stack_of(given, stream, given["n_layers"], norm, crossing=bool(stacks)))
    d_model, d_embedding = given["d_model"], given.get("d_embedding", given["d_model"])
    return Arch(
        name=name,
        d_model=d_model,
        n_vocab=given["n_vocab"],
        d_embedding=d_embedding,
        stacks=tuple(stacks),
        norm=norm,
        head=head_of(given),
        factorised=given.get("factorised", None if same(d_embedding, d_model) or "d_embedding" not in given else "in-out"),
        projection_bias=given.get("projection_bias", False),
        pooler=given.get("pooler", False),
        n_extra_params=given.get("n_extra_params", 0),
        max_seq_len=given.get("max_seq_len", given.present("n_positions")),
        tensors=tensors_of(given, "model_tensors"),
    )


def head_of(words: Words) -> Head | None:
    """The head; masked language models have a dense layer and a norm before the vocabulary."""
    kind = words.get("head", "vocabulary")
    if kind == "none":
        return None
    return Head(
        tied=words.get("tied", True),
        bias=words.get("head_bias", False),
        transform=kind == "masked",
        transform_bias=words.get("head_transform_bias", True),
    )


def encoder_stack(words: Words, norm: Norm) -> Stack:
    """The encoder beside a decoder: the same words, but for those it has of its own."""
    own = {"n_heads": words.get("n_encoder_heads"), "d_ff": words.get("d_encoder_ff"), "final_norm": words.get("encoder_final_norm")}
    shared = {word: value for word, value in words.items() if not isinstance(value, list | tuple)}
    given = Words(shared, words.spell).but(**{word: value for word, value in own.items() if value is not None}, bidirectional=True)
    given = given.but(**words.get("encoder_words", {}))
    return stack_of(given, ENCODER, words["n_encoder_layers"], norm)


def stack_of(words: Words, stream: str, n_layers: Size, norm: Norm, *, crossing: bool = False) -> Stack:
    """The layers of one stream: one kind, or as many as the lists among the words make."""
    kinds, order = kinds_of_layers(words, n_layers)
    blocks = tuple(block_of(kind, norm, crossing=crossing) for kind in kinds)
    return Stack(
        stream=stream,
        blocks=blocks,
        order=order,
        shared=words.get("n_shared_copies"),
        n_positions=words.present("n_positions"),
        n_token_types=words.present("n_token_types"),
        embedding_norm=words.get("embedding_norm", False),
        final_norm=words.get("final_norm", words.get("mixer") != "lstm"),
        relative_buckets=words.present("n_relative_buckets"),
        n_relative_tables=n_layers if words.get("relative_tables") == "layer" else 1,
    )


def kinds_of_layers(words: Words, n_layers: Size) -> tuple[list[Words], tuple[tuple[int, Size], ...]]:
    """The different layers there are, as words, and in which order they come: (which kind, how many in a row)."""
    lists = {word: value for word, value in words.items() if isinstance(value, list | tuple)}
    n_dense = words.present("n_dense_layers")
    if isinstance(n_dense, int) and isinstance(n_layers, int) and n_dense > n_layers:
        raise InputError(f"{words.spell('n_dense_layers')} is `{n_dense}`, more than the {n_layers} layers there are")
    if lists:
        if n_dense is not None and "feed_forward" not in lists:
            lists["feed_forward"] = ["dense"] * n_dense + [words.get("feed_forward", "experts")] * (n_layers - n_dense)
        return listed_layers(words, lists, n_layers)
    if n_dense is None:
        return [words], ((0, n_layers),)
    dense = words.but(feed_forward="dense")
    if same(n_dense, n_layers):
        return [dense], ((0, n_layers),)
    return [dense, words], ((0, n_dense), (1, n_layers - n_dense))


def listed_layers(words: Words, lists: Mapping[str, Sequence[Any]], n_layers: int) -> tuple[list[Words], tuple[tuple[int, Size], ...]]:
    """The kinds and the order of layers that lists describe one by one; a shorter list is a pattern that is repeated."""
    for word, values in lists.items():
        if n_layers % len(values):
            problem = f"{words.spell(word)} has {len(values)} values for {n_layers} layers"
            raise InputError(problem, hint="a list has one value a layer, or a pattern that divides them")
    kinds: dict[tuple[Any, ...], int] = {}
    order: list[tuple[int, int]] = []
    for row in zip(*(list(values) * (n_layers // len(values)) for values in lists.values()), strict=True):
        kind = kinds.setdefault(row, len(kinds))
        if order and order[-1][0] == kind:
            order[-1] = (kind, order[-1][1] + 1)
        else:
            order.append((kind, 1))
    if len(order) > MOST_RUNS:
        words_of_runs = f"layers that change their kind make {len(order):,} runs of equal ones; at most {MOST_RUNS:,} are counted"
        raise InputError(words_of_runs, hint="fewer layers, or more of one kind in a row")
    return [words.but(**dict(zip(lists, row, strict=True))) for row in kinds], tuple(order)


def block_of(words: Words, norm: Norm, *, crossing: bool) -> Block:
    """One kind of layer; by default each of its parts has one norm, but for an LSTM, which bounds its own state."""
    mixer = mixer_of(words, words.get("mixer", "attention"))
    feed_forward = feed_forward_of(words)
    cross = Attention.read(words.but(**ALL_KEYS))._replace(keys=ENCODER, qk_norm=None, causal=False) if crossing else None
    n_parts = (mixer is not None and words.get("mixer") != "lstm") + (feed_forward is not None)
    return Block(
        d_model=words["d_model"],
        mixer=mixer,
        feed_forward=feed_forward,
        norm=norm,
        n_norms=words.get("norms_per_layer", n_parts) + crossing,
        cross=cross,
        parallel=words.get("parallel", False),
        post_norm=words.get("post_norm", False),
        beside=mixer_of(words, words.get("mixer_beside", "none")),
        tensors=tensors_of(words, "layer_tensors"),
    )


ALL_KEYS = dict.fromkeys(("window", "chunk", "stride", "n_random", "n_global"), 0)
"""Words of a pattern, of which cross-attention has none."""


def tensors_of(words: Words, word: str) -> tuple[Tensor, ...]:
    """Tensors that a reader of configs has added."""
    return words[word].tensors if word in words else ()


# ------------------------------------------------------------------------------------------------------------ feed-forward


def feed_forward_of(words: Words) -> FeedForward | None:
    """Dense, experts, both or none; experts where the words give any."""
    kind = words.get("feed_forward", "experts" if "n_experts" in words else "none" if words.get("mixer") == "lstm" else "dense")
    if kind == "none":
        return None
    gated = words.get("gated", False)
    return FeedForward(
        d_ff=words.get("d_ff", 4 * words["d_model"]) if kind != "experts" else None,
        gated=gated,
        bias=words.get("mlp_bias", not gated),
        activation=words.get("activation", "silu" if gated else "gelu"),
        experts=experts_of(words, gated) if kind in ("experts", "both") else None,
        fused=words.get("fused_gate", False),
        receptance=kind == "rwkv",
    )


def experts_of(words: Words, gated: bool) -> Experts:
    """Routed and shared experts."""
    n_experts = words.need("n_experts", "a layer of experts")
    n_used = words.need("n_experts_per_token", "a layer of experts")
    if isinstance(n_experts, int) and isinstance(n_used, int) and n_used > n_experts:
        raise InputError(f"{words.spell('n_experts_per_token')} {n_used} is more than {words.spell('n_experts')} {n_experts}")
    d_ff = words.get("d_ff_expert", words.get("d_ff", 4 * words["d_model"]))
    n_shared = words.present("n_shared_experts")
    d_shared = words.get("d_ff_shared", None if n_shared is None else n_shared * d_ff)
    return Experts(
        n_experts=n_experts,
        n_used=n_used,
        d_ff=d_ff,
        d_shared=d_shared,
        bias=words.get("expert_bias", False),
        router_bias=words.get("router_bias", False),
        shared_gate=words.get("shared_expert_gate", False),
        gated=gated,
        d_in=words.get("d_expert_model"),
    )
