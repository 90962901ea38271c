"""Shapes near a size: they can be built, their counts are exact, the nearest come first."""

from __future__ import annotations

import pytest

from scaleplan.errors import InputError
from scaleplan.model.bill import bill_of
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.synthesis import STYLES, Candidate, depths, kv_heads, rounded, shapes_near, widths


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("target", [1e9, 7e9, 70e9])
def test_the_first_shape_is_near_and_exact(style: str, target: float):
    """Within 5 % of the target, with the count that the words give when counted again."""
    best = shapes_near(target, style)[0]

    assert best.params.n_params == pytest.approx(target, rel=0.05)
    assert count_params(bill_of(arch_of_shape(best.words))).n_params == best.params.n_params


def test_every_shape_divides_by_the_layout():
    """Heads, key and value heads and widths by the tensor degree, layers by the pipeline degree."""
    for shape in shapes_near(70e9, "llama", tp=8, pp=4):
        assert all(shape.words[word] % 8 == 0 for word in ("n_heads", "n_kv_heads", "d_ff"))
        assert shape.words["d_model"] % 128 == 0
        assert shape.words["n_layers"] % 4 == 0


def test_released_shapes_are_among_those_found():
    """GPT-3 175B and Llama 3 70B are near their own size."""
    assert (96, 12288) in {(s.words["n_layers"], s.words["d_model"]) for s in shapes_near(175e9, "gpt", tp=8)}
    assert (80, 8192) in {(s.words["n_layers"], s.words["d_model"]) for s in shapes_near(70e9, "llama", tp=8)}


def test_fixed_sizes_stay():
    """A width that is given is kept, and the depth follows."""
    for shape in shapes_near(7e9, "llama", fixed={"d_model": 4096, "n_vocab": 32000}):
        assert shape.words["d_model"] == 4096
        assert shape.words["n_vocab"] == 32000


def test_no_shape_is_an_error():
    """Nothing can be built of one parameter."""
    with pytest.raises(InputError, match="no shape"):
        shapes_near(1)


def only(style: str, **fixed: int) -> Candidate:
    """The one shape of fixed width and depth."""
    (found,) = shapes_near(1e9, style, fixed=fixed, most=10)
    return found


def test_shared_layers_have_a_size_that_says_no_depth():
    """One set of weights for all layers: two layers have the parameters of one."""
    with pytest.raises(InputError, match="how many layers"):
        shapes_near(3e8, "gpt", fixed={"n_shared_copies": 1})
    assert shapes_near(3e8, "gpt", fixed={"n_shared_copies": 1, "n_layers": 24})


def test_styles_are_those_of_released_models():
    """Llama 3 8B by its width and depth alone, Mixtral 8x7B with its vocabulary, GPT-3 with that of nanoGPT."""
    d, layers = 12288, 96

    assert only("llama", d_model=4096, n_layers=32).params.n_params == 8_030_261_248
    assert only("moe", d_model=4096, n_layers=32, n_vocab=32_000).params.n_params == 46_702_792_704
    assert only("moe", d_model=4096, n_layers=32).params.n_params == 46_702_792_704 + 2 * 4096 * (128_256 - 32_000)
    assert only("moe", d_model=4096, n_layers=32, n_vocab=32_000).params.n_active_params == 12_879_925_248
    assert only("gpt", d_model=d, n_layers=layers).params.n_params == layers * (12 * d * d + 13 * d) + 2 * d + (50_304 + 2048) * d


@pytest.mark.parametrize(("error", "aspect", "rank"), [(0.05, 200, 2), (-0.1, 50, 3), (0.0, 100, 0), (0.025, 800, 3.5)])
def test_a_doubled_aspect_weighs_as_much_as_five_percent(error: float, aspect: float, rank: float):
    """|error| / 5 % + |log2(aspect / 100)|."""
    shape = only("gpt", d_model=256, n_layers=3)

    assert shape._replace(relative_error=error, aspect=aspect).rank == pytest.approx(rank)


def test_error_and_aspect_of_a_shape():
    """Its size by the target, less 1; its width by its depth."""
    shape = only("gpt", d_model=1280, n_layers=7)

    assert shape.relative_error == pytest.approx(shape.params.n_params / 1e9 - 1)
    assert shape.aspect == pytest.approx(1280 / 7)


def test_eight_shapes_for_one_device_unless_said():
    """Heads and layers need not be even."""
    assert len(shapes_near(7e9)) == 8
    many = shapes_near(7e9, most=10_000)
    assert any(shape.words["n_heads"] % 2 for shape in many)
    assert any(shape.words["n_layers"] % 2 for shape in many)


def test_shapes_are_between_a_quarter_and_four_times_the_usual_aspect():
    """25 to 400."""
    aspects = [shape.aspect for shape in shapes_near(7e9, most=10_000)]

    assert 25 <= min(aspects) < 50
    assert 200 < max(aspects) <= 400


@pytest.mark.parametrize(("tp", "n"), [(1, 512), (3, 170), (8, 64)])
def test_widths_are_heads_of_128(tp: int, n: int):
    """Up to 512 of them, in steps of the tensor degree."""
    found = list(widths("gpt", {}, tp))

    assert [words["n_heads"] for words in found] == [tp * k for k in range(1, n + 1)]
    assert all(words["d_model"] == 128 * words["n_heads"] for words in found)


@pytest.mark.parametrize(("d_model", "tp", "heads"), [(4096, 1, 32), (64, 1, 1), (256, 4, 4)])
def test_a_fixed_width_has_heads_of_128(d_model: int, tp: int, heads: int):
    """As many as fit, one for each device at least."""
    assert [words["n_heads"] for words in widths("gpt", {"d_model": d_model}, tp)] == [heads]


def test_key_heads_are_as_many_as_devices():
    """8, or the tensor degree where it is more."""
    by_heads = {words["n_heads"]: words["n_kv_heads"] for words in widths("llama", {}, 16)}

    assert (by_heads[32], by_heads[48]) == (16, 16)


@pytest.mark.parametrize(("width", "step", "found"), [(10, 128, 128), (200, 128, 256), (191, 128, 128), (14336.4, 128, 14336)])
def test_widths_in_whole_steps(width: float, step: int, found: int):
    """The nearest, one step at least."""
    assert rounded(width, step) == found


@pytest.mark.parametrize(("n_heads", "most", "groups"), [(20, 4, 4), (28, 8, 7), (12, 8, 6), (26, 8, 26), (9, 8, 9), (64, 8, 8)])
def test_groups_of_key_heads(n_heads: int, most: int, groups: int):
    """The largest divisor up to the most; all heads where fewer than four would be left."""
    assert kv_heads(n_heads, most) == groups


@pytest.mark.parametrize(("pp", "depth", "found"), [(1, 10, [10]), (3, 10, [9, 12]), (4, 10, [8, 12]), (5, 10, [10]), (1, 10.4, [10, 11])])
def test_depths_next_to_the_target(pp: int, depth: float, found: list[int]):
    """Whole stages on both sides of a size between 10 and 11 layers."""
    words = {"d_model": 256, "n_heads": 2, "n_vocab": 1000}
    ten, eleven = (count_params(bill_of(arch_of_shape({**words, "n_layers": n}))).n_params for n in (10, 11))
    target = ten + (depth - 10) * (eleven - ten)

    assert sorted(shape.words["n_layers"] for shape in depths(words, target, pp)) == found
