"""What a layer keeps for the next token."""

from __future__ import annotations

from scaleplan.model.arch import ENCODER
from scaleplan.model.bill import bill_of
from scaleplan.model.cache import layer_cache
from scaleplan.model.shape import arch_of_shape


def test_cross_attention_keeps_keys_and_values_of_the_encoder():
    """3 heads of 5 for keys and 11 for values, for the decoder's own tokens and for those of the encoder, whose layers keep none."""
    words = {"n_layers": 2, "n_encoder_layers": 1, "d_model": 42, "n_heads": 6, "n_kv_heads": 3, "d_head": 5, "d_value": 11, "n_vocab": 97}
    encoder, decoder = bill_of(arch_of_shape(words)).blocks()
    own, crossing = layer_cache(decoder)

    assert layer_cache(encoder) == []
    assert (own.per_token, own.stream) == (3 * 5 + 3 * 11, decoder.stream)
    assert (crossing.per_token, crossing.stream, crossing.tp_ways) == (3 * 5 + 3 * 11, ENCODER, 3)
