"""An LSTM by hand (hochreiter1997), 33 wide."""

from __future__ import annotations

from tests.model.mixers.by_hand import cached, layer, scan_flops

from scaleplan.model.mixers.lstm import Lstm


def test_the_cell():
    """c = f c + i g and h = o tanh(c): three multiplications and an addition for each number."""
    assert scan_flops(layer(mixer="lstm", d_model=33)) == 4 * 33


def test_the_state():
    """Hidden state and cell."""
    assert [kept.per_sequence for kept in cached(layer(mixer="lstm", d_model=33))] == [33 + 33]


def test_the_gates():
    """Four of the input, four of the state, and the two biases that common libraries keep of each."""
    weights, _ = Lstm().parts(33, "decoder")

    assert sum(weight.n_params for weight in weights) == 8 * 33 * 33 + 2 * 4 * 33
