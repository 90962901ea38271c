"""The words that describe an architecture, one flat vocabulary for flags, TOML files and readers of foreign configs.

`--n-kv-heads 8`, `n_kv_heads = 8` and the reader of a Hugging Face config all end here; `shape.py` builds from the words. A word
about a layer may also be a list with one value a layer, or a pattern that is repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, get_args

from scaleplan.errors import InputError, ScaleplanError, UnknownName, clipped, raise_all
from scaleplan.model.arch import Group, Norm, Size, Tensor, Tensors
from scaleplan.model.mixers import MIXERS
from scaleplan.numeric import is_zero

LARGEST = 10**9  # of any size: larger ones are mistakes, and would only make numbers that no machine could hold
MOST_LAYERS = 100_000
MOST_RUNS = 1_000  # of equal layers in a row: stages and candidates are counted run by run
MOST = {"n_layers": MOST_LAYERS, "n_encoder_layers": MOST_LAYERS, "n_extra_params": LARGEST * 10**6}


class Word(NamedTuple):
    """One word of the vocabulary.

    kind     size (1 or more), count (0 or more), flag, tensors, or the choices it has
    about    layer (may be a list), model
    """

    kind: str | tuple[str, ...]
    meaning: str
    about: str = "layer"


MIXER_CHOICES = (*MIXERS, "none")
BIASES = ("none", "qkv", "out", "all")

WORDS: dict[str, Word] = {
    "layer_tensors": Word("tensors", "tensors of a layer that no other word describes; only files say it"),
    "model_tensors": Word("tensors", "such tensors outside the layers", "model"),
    "encoder_words": Word("words", "what is different in the encoder beside a decoder; only files say it", "model"),
    "n_layers": Word("size", "layers of the decoder (of the only stack, where there is one)", "model"),
    "d_model": Word("size", "width of the residual stream", "model"),
    "n_vocab": Word("size", "rows of the token table", "model"),
    "n_positions": Word("count", "rows of a learned position table; 0: none", "model"),
    "n_token_types": Word("count", "rows of a token type table; 0: none", "model"),
    "n_relative_buckets": Word("count", "rows of a table of relative position biases; 0: none", "model"),
    "relative_tables": Word(("stack", "layer"), "one such table for each stack or for each layer", "model"),
    "d_embedding": Word("size", "width of the token table where it is not d_model", "model"),
    "factorised": Word(("in-out", "in"), "how a narrow token table is used: projections in and out, or a head that works in it", "model"),
    "projection_bias": Word("flag", "biases of those projections", "model"),
    "tied": Word("flag", "the head uses the token table", "model"),
    "head": Word(("vocabulary", "masked", "none"), "what comes last: the vocabulary, a dense layer before it, or nothing", "model"),
    "head_bias": Word("flag", "a bias for each entry of the vocabulary", "model"),
    "head_transform_bias": Word("flag", "a bias of the dense layer of a masked head", "model"),
    "pooler": Word("flag", "a dense layer on the first position", "model"),
    "norm": Word(("rms", "layer", "layer-scale", "layer-fixed"), "RMS norm; layer norm: scale and shift, scale only, plain", "model"),
    "embedding_norm": Word("flag", "a norm after the embedding", "model"),
    "final_norm": Word("flag", "a norm after the last layer", "model"),
    "encoder_final_norm": Word("flag", "a norm after the encoder's last layer", "model"),
    "n_shared_copies": Word("size", "sets of weights that all layers share", "model"),
    "bidirectional": Word("flag", "every token sees the later ones too: an encoder", "model"),
    "n_encoder_layers": Word("size", "layers of an encoder beside the decoder", "model"),
    "n_encoder_heads": Word("size", "query heads of the encoder, where they differ", "model"),
    "d_encoder_ff": Word("size", "feed-forward width of the encoder, where it differs", "model"),
    "n_dense_layers": Word("count", "first layers that have no experts", "model"),
    "n_extra_params": Word("count", "parameters of a tower that is added as a number", "model"),
    "max_seq_len": Word("size", "the longest sequence that the model takes", "model"),
    "mixer": Word(MIXER_CHOICES, "what mixes the tokens"),
    "mixer_beside": Word(MIXER_CHOICES, "a second mixer that reads the same input"),
    "n_heads": Word("size", "query heads"),
    "n_kv_heads": Word("size", "key and value heads"),
    "d_head": Word("size", "width of a query and key head"),
    "d_value": Word("size", "width of a value head"),
    "d_rotary": Word("count", "how much of a head is rotated by position; 0: nothing"),
    "attention_bias": Word(BIASES, "which attention projections have biases"),
    "fused_qkv": Word("flag", "Q, K and V are one tensor"),
    "qk_norm": Word(("none", "head", "heads", "width"), "query and key norms: one for all heads, one a head, or one over all"),
    "qk_norm_vectors": Word("count", "learned vectors of such a norm"),
    "attention_gate": Word(("none", "head", "width"), "a gate on the output of attention"),
    "sinks": Word("flag", "one learned logit a head"),
    "relative_projection": Word("flag", "a projection of relative positions, as in Transformer-XL"),
    "share_keys_values": Word(("none", "layer", "same"), "keys and values of an earlier layer, or keys that are also values"),
    "window": Word("count", "keys that a sliding window shows; 0: all"),
    "chunk": Word("count", "keys of the block that a query sees (chunked attention, hashed attention); 0: all"),
    "stride": Word("count", "of the keys outside the window, every so many are seen; 0: none"),
    "n_global": Word("count", "keys that everybody sees and that see everybody"),
    "n_random": Word("count", "keys drawn at random"),
    "q_rank": Word("count", "width that latent attention squeezes queries to; 0: not at all"),
    "kv_rank": Word("size", "width that latent attention squeezes keys and values to"),
    "d_nope": Word("size", "part of a latent attention head without positions"),
    "d_rope": Word("size", "part of a latent attention head with positions"),
    "n_indexer_heads": Word("count", "heads of the indexer of sparse attention; 0: none"),
    "d_indexer": Word("size", "width of one of them"),
    "n_indexer_keys": Word("size", "keys that it picks"),
    "compression": Word("count", "tokens that one compressed key stands for; 0: none"),
    "n_output_groups": Word("size", "groups that the output projection works in"),
    "output_rank": Word("size", "width of such a group"),
    "n_hashes": Word("size", "rounds of hashing"),
    "n_buckets": Word("size", "hash buckets"),
    "d_inner": Word("size", "channels of a state space or recurrent mixer"),
    "d_state": Word("size", "state of a channel"),
    "d_conv": Word("size", "taps of the short convolution"),
    "dt_rank": Word("size", "rank of the step size"),
    "n_groups": Word("size", "groups that share B and C"),
    "mixer_bias": Word("flag", "biases of a state space's projections"),
    "conv_bias": Word("flag", "bias of the short convolution"),
    "inner_norms": Word("flag", "norms of dt, B and C"),
    "n_key_heads": Word("size", "key heads of the delta rule"),
    "n_value_heads": Word("size", "value heads of the delta rule"),
    "d_key": Word("size", "width of its key heads"),
    "n_biases": Word("count", "bias vectors of an LSTM"),
    "feed_forward": Word(("dense", "experts", "both", "rwkv", "none"), "what follows the mixer"),
    "d_ff": Word("size", "inner width of the feed-forward"),
    "gated": Word("flag", "a gate beside the up projection"),
    "fused_gate": Word("flag", "gate and up are one tensor"),
    "activation": Word(("gelu", "gelu-tanh", "gelu-new", "silu", "relu", "relu2", "other"), "the activation"),
    "mlp_bias": Word("flag", "biases of the feed-forward"),
    "n_experts": Word("size", "routed experts"),
    "n_experts_per_token": Word("size", "routed experts that a token passes"),
    "d_ff_expert": Word("size", "inner width of one expert"),
    "n_shared_experts": Word("count", "experts that every token passes"),
    "d_ff_shared": Word("size", "inner width of all shared experts together"),
    "expert_bias": Word("flag", "biases of the experts"),
    "router_bias": Word("flag", "a bias of the router"),
    "shared_expert_gate": Word("flag", "a gate of the shared experts"),
    "d_expert_model": Word("size", "width that experts work in, where it is not d_model"),
    "norms_per_layer": Word("count", "norms of a layer that are as wide as the model"),
    "parallel": Word("flag", "mixer and feed-forward read the same input"),
    "post_norm": Word("flag", "norms come after the residual sum"),
}  # fmt: skip

NORMS = {"rms": Norm("rms", 1), "layer": Norm("layer", 2), "layer-scale": Norm("layer", 1), "layer-fixed": Norm("layer", 0)}
REQUIRED = ("n_layers", "d_model", "n_vocab")


# ------------------------------------------------------------------------------------------------------------- validation


def backticks(word: str) -> str:
    """A word as TOML files spell it."""
    return f"`{word}`"


class Words(dict[str, Any]):
    """What is said of an architecture, and how the one who said it spells each word."""

    def __init__(self, given: Mapping[str, Any], spell: Callable[[str], str] = backticks) -> None:
        super().__init__(given)
        self.spell = spell

    def but(self, **changed: Any) -> Words:
        """The same, with some words changed or added."""
        return Words({**self, **changed}, self.spell)

    def need(self, word: str, what: str) -> Any:
        """A word that `what` cannot do without."""
        if word not in self:
            raise InputError(f"{what} needs {self.spell(word)}")
        return self[word]

    def present(self, word: str) -> Size | None:
        """A count, or None where it is absent or zero."""
        value = self.get(word)
        return None if value is None or is_zero(value) else value

    def choice(self, word: str) -> str | None:
        """A choice, or None for the choice `none`."""
        value = self.get(word, "none")
        return None if value == "none" else value

    @property
    def has_position_table(self) -> bool:
        """Whether positions are learned: a table of them, or of relative biases."""
        return self.present("n_positions") is not None or self.present("n_relative_buckets") is not None

    def divide(self, whole: str, parts: str, a: Size, b: Size, hint: str | None = None) -> Size:
        """One size as so many equal parts; an error names both where they are not whole."""
        if isinstance(a, int) and isinstance(b, int) and a % b:
            raise InputError(f"{self.spell(whole)} {a} is not a whole number of {self.spell(parts)} {b}", hint=hint)
        return a // b

    def check(self) -> Words:
        """Itself, if every value is of its word's kind; otherwise all that is wrong."""
        errors: list[ScaleplanError] = []
        for word, value in self.items():
            try:
                self.check_one(word, value)
            except ScaleplanError as error:
                errors.append(error)
        missing = [word for word in REQUIRED if word not in self]
        if missing and not errors:
            least = ", ".join(map(self.spell, REQUIRED))
            errors.append(InputError(f"the shape needs {', '.join(map(self.spell, missing))}", hint=f"at least {least} describe a model"))
        raise_all(errors)
        return self

    def check_one(self, word: str, value: Any) -> None:
        """Refuse a value that is not of the word's kind, or a word that there is not."""
        if word not in WORDS:
            raise UnknownName("word for an architecture", word, WORDS)
        known, name = WORDS[word], self.spell(word)
        if isinstance(value, list | tuple):
            self.check_list(known, name, word, value)
        elif isinstance(known.kind, tuple):
            if value not in known.kind:
                raise InputError(f"{name} is `{clipped(value)}`", hint=f"it is one of {', '.join(known.kind)}")
        elif known.kind == "flag":
            if not isinstance(value, bool):
                raise InputError(f"{name} is `{clipped(value)}`; it is true or false")
        elif known.kind in ("tensors", "words"):
            if not isinstance(value, Tensors if known.kind == "tensors" else Mapping):
                raise InputError(f"{name} cannot be said here")
        elif not hasattr(value, "dtype"):
            check_size(value, name, 1 if known.kind == "size" else 0, MOST.get(word, LARGEST))

    def check_list(self, known: Word, name: str, word: str, values: Sequence[Any]) -> None:
        """One value a layer, each of the word's kind."""
        if known.about != "layer" or not values:
            raise InputError(f"{name} takes one value, not a list of {len(values)}")
        if len(values) > MOST_LAYERS:
            raise InputError(f"{name} has {len(values):,} values; {MOST_LAYERS:,} layers are the most")
        for value in values:
            if isinstance(value, list | tuple):
                raise InputError(f"{name} holds lists within a list")
            self.check_one(word, value)


def check_size(value: Any, name: str, least: int = 1, most: int = LARGEST) -> int:
    """A whole number in its range; True is not 1 and 12.0 is not 12."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"{name} is `{clipped(value)}`; it is a whole number of at least {least}")
    if value < least:
        raise InputError(f"{name} is `{clipped(short(value))}`; it is at least {least}")
    if value > most:
        raise InputError(f"{name} is `{clipped(short(value))}`; more than {most:,} is no real model")
    return value


def short(value: int) -> str:
    """A whole number as text, also one of so many digits that Python refuses to write it."""
    return str(value) if value.bit_length() < 256 else f"{'-' if value < 0 else ''}a number of {value.bit_length() // 10 * 3} digits"


def same(a: Size, b: Size) -> bool:
    """Whether two sizes are plainly the same number."""
    return isinstance(a, int) and isinstance(b, int) and a == b


def tensors_of_tables(tables: Any) -> Tensors:
    """Tensors from the tables of a model file: `{ name, group, shape, matmul, count }`, the last two as usual if left out."""
    if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
        raise InputError(f"a list of tensors holds `{clipped(tables)}`; each is a table with a name, a group and a shape")
    return Tensors(*map(tensor_of_table, tables))


def tensor_of_table(table: Mapping[str, Any]) -> Tensor:
    """One of them; every key is checked."""
    if not {"name", "group", "shape"} <= set(table) <= set(Tensor._fields):
        raise InputError(f"a tensor says `{clipped(', '.join(map(str, table)))}`", hint=f"it has {', '.join(Tensor._fields)}")
    name, group, shape, matmul = table["name"], table["group"], table["shape"], table.get("matmul", True)
    if not isinstance(name, str) or not isinstance(matmul, bool):
        raise InputError(f"the tensor `{clipped(name)}` has a name that is text, and a `matmul` that is true or false")
    if group not in get_args(Group):
        known = ", ".join(get_args(Group))
        raise InputError(f"the group of the tensor `{clipped(name)}` is `{clipped(group)}`", hint=f"it is one of {known}")
    if not isinstance(shape, list) or not 1 <= len(shape) <= 3:
        raise InputError(f"the shape of the tensor `{clipped(name)}` is `{clipped(shape)}`; it is a list of one to three sizes")
    sizes = tuple(check_size(size, f"a size of the tensor `{clipped(name)}`") for size in shape)
    return Tensor(name, group, sizes, matmul, check_size(table.get("count", 1), f"the count of the tensor `{clipped(name)}`"))
