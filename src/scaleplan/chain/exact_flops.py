"""The best N and D where a token costs what an architecture computes for it, not 6 N.

Sizes between the shapes that can be built come from a continuous rule. At the usual aspect (depth = width / 100) all that is
counted is a cubic in the width without a constant:

    layers x matrices     width^3        depth grows with the width, a matrix with its square
    layers x attention    width^2        scores and weighted sums over `seq_len` keys; keys and values of a fixed number of heads
    vocabulary            width          embedding, head, positions

So three counted widths fix parameters and FLOP of them all, and where width and depth are whole the rule is the exact count.
Key and value heads stay at their usual number also where a narrow model would have fewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from scaleplan.chain import catalogue
from scaleplan.chain.optimum import Advice, Excess, advise
from scaleplan.errors import NotSupported
from scaleplan.laws.allocation import Question, Run
from scaleplan.laws.convention import NON_EMBEDDING, TOTAL, training_flops
from scaleplan.laws.forms import Additive, Frontier
from scaleplan.laws.law import Law, TopicUnknown
from scaleplan.laws.power import Power
from scaleplan.laws.repetition import Repeating
from scaleplan.laws.search import rising_root
from scaleplan.model.bill import bill_of
from scaleplan.model.flops import count_flops
from scaleplan.model.params import count_params
from scaleplan.model.shape import arch_of_shape
from scaleplan.model.synthesis import ASPECT, D_HEAD, STYLES, widths
from scaleplan.numeric import maximum
from scaleplan.wording import field

UNIT_HEADS = 16  # the width that is counted first; its double and triple have as many key and value heads
COUNTED = ("n_params", "n_non_embedding_params", "flops_per_token")


class Cubic(NamedTuple):
    """linear x + square x^2 + cube x^3."""

    linear: float
    square: float
    cube: float

    def at(self, x: Any) -> Any:
        return x * (self.linear + x * (self.square + x * self.cube))

    def growth(self, x: Any) -> Any:
        """d log / d log x: between 1 and 3 where no coefficient is negative."""
        return x * (self.linear + x * (2 * self.square + x * 3 * self.cube)) / self.at(x)


def cubic_through(one: float, two: float, three: float) -> Cubic:
    """The cubic without a constant through its values at 1, 2 and 3.

    >>> cubic_through(3.0, 14.0, 39.0)
    Cubic(linear=1.0, square=1.0, cube=1.0)
    """
    first, second, third = one, two / 2, three / 3
    cube = (third - 2 * second + first) / 2
    square = second - first - 3 * cube
    return Cubic(first - square - cube, square, cube)


class SizeRule(NamedTuple):
    """Parameters and training FLOP of a token, against the width in units of `UNIT_HEADS` heads."""

    params: Cubic
    flops: Cubic

    def width(self, n_params: Any) -> Any:
        """The width of a size."""
        return rising_root(lambda width: self.params.at(width) - n_params)

    def flops_per_token(self, n_params: Any) -> Any:
        """Forward and backward, attention and logits included."""
        return self.flops.at(self.width(n_params))

    def growth(self, width: Any) -> Any:
        """d log FLOP per token / d log N: 1 where they are 6 N."""
        return self.flops.growth(width) / self.params.growth(width)


def size_rules(style: str, seq_len: int) -> dict[str, SizeRule]:
    """The rule of a kind of shapes, by the kind of N."""
    counts = [counts_at(style, times * UNIT_HEADS, seq_len) for times in (1, 2, 3)]
    total, non_embedding, flops = (cubic_through(*(count[name] for count in counts)) for name in COUNTED)
    return {TOTAL: SizeRule(total, flops), NON_EMBEDDING: SizeRule(non_embedding, flops)}


def counts_at(style: str, n_heads: int, seq_len: int) -> dict[str, float]:
    """Counts of a width at the usual aspect, from those of one and two layers: they are straight lines in the depth."""
    fixed = {"d_model": n_heads * D_HEAD, "n_heads": n_heads, **positions(style, seq_len)}
    words = next(widths(style, fixed, 1))
    one, two = (counts_of({**words, "n_layers": n_layers}, seq_len) for n_layers in (1, 2))
    depth = n_heads * D_HEAD / ASPECT
    return {name: one[name] + (depth - 1) * (two[name] - one[name]) for name in COUNTED}


def positions(style: str, seq_len: int) -> dict[str, int]:
    """Learned positions, where there are any, for a whole sequence."""
    usual = STYLES[style].words.get("n_positions")
    return {} if usual is None else {"n_positions": max(usual, seq_len)}


def counts_of(words: Mapping[str, Any], seq_len: int) -> dict[str, float]:
    """Parameters and training FLOP of a token of one shape."""
    bill = bill_of(arch_of_shape(words))
    params = count_params(bill)
    return {
        "n_params": float(params.n_params),
        "n_non_embedding_params": float(params.n_non_embedding_params),
        "flops_per_token": count_flops(bill, seq_len).training_flops / seq_len,
    }


class _CountedConstants(NamedTuple):
    inner: Frontier
    rule: SizeRule


class Counted(_CountedConstants, Frontier):
    """A frontier along a budget of exact FLOP, C = FLOP per token(N) x D.

    What parameters save counts per unit of what they cost: 1 % more of N costs `growth` per cent more, not 1.
    """

    __slots__ = ()

    def loss(self, n_params: Any, n_tokens: Any) -> Any:
        return self.inner.loss(n_params, n_tokens)

    def balance(self, n_params: Any, n_tokens: Any) -> Any:
        return self.balance_at(self.rule.width(n_params), n_tokens)

    def balance_at(self, width: Any, n_tokens: Any) -> Any:
        """The balance of the model of a width."""
        by_params, by_tokens = self.inner.savings(self.rule.params.at(width), n_tokens)
        return by_params / self.rule.growth(width) - by_tokens

    def params_at_compute(self, flops: Any) -> Any:
        return self.rule.params.at(rising_root(lambda width: -self.balance_at(width, flops / self.rule.flops.at(width))))

    def tokens_at_compute(self, flops: Any, n_params: Any) -> Any:
        return flops / self.rule.flops_per_token(n_params)

    def least_loss(self, flops: Any) -> Any:
        n = self.params_at_compute(flops)
        return self.loss(n, self.tokens_at_compute(flops, n))


def advise_exactly(
    rules: Mapping[str, SizeRule], law: Law, question: Question, yardstick: Law, critical_batch: Power, kind: str | None = None
) -> Advice:
    """The answer of one law to a budget of exact FLOP; NotSupported where it has no loss that could be least.

    The ranges and the rules of a law stay in its own C = 6 N D.
    """
    rule = rules[law.n_kind]
    counted = law._replace(
        frontier=Counted(loss_of(law, question), rule),
        draws=[Counted(draw, rule) for draw in law.draws],  # type: ignore[misc]  # asked for N, D and the loss only, as any frontier
    )
    advice = advise(counted, question._replace(unique_tokens=None), yardstick, critical_batch, kind)
    run = advice.run
    return advice._replace(
        law=counted._replace(draws=()),
        excess=excess(Counted(yardstick.additive, rules[yardstick.n_kind]), rules[yardstick.n_kind], rule, run.n_params, run.n_tokens),
        epochs=maximum(run.n_tokens / question.unique_tokens, 1.0) if question.unique_tokens is not None else None,
        flops_per_token=rule.flops_per_token(run.n_params),
    )


def loss_of(law: Law, question: Question) -> Frontier:
    """The loss to make least, with or without repetition."""
    if question.unique_tokens is not None:
        if not isinstance(law.loss, Repeating):
            raise TopicUnknown(f"`{law.name}` does not know what repeated data are worth", "repetition")
        return law.loss.on(question.unique_tokens)
    if isinstance(law.loss, Additive | Repeating):
        return law.additive
    raise NotSupported(
        f"`{law.name}` has no loss that could be least along exact FLOP, only an optimum along its own C",
        hint=f"{field('law')} {catalogue.recommended()} has",
    )


def excess(best: Counted, yard: SizeRule, rule: SizeRule, n_params: Any, n_tokens: Any) -> Excess:
    """A run held against the best use of as many exact FLOP by the yardstick law; the model is the same in either kind of N."""
    width = rule.width(n_params)
    loss, flops = best.loss(yard.params.at(width), n_tokens), rule.flops.at(width) * n_tokens
    needed = rising_root(lambda budget: loss - best.least_loss(budget))
    return Excess(loss, maximum(loss - best.least_loss(flops), 0.0), maximum(1 - needed / flops, 0.0), flops, needed)


def relative_to_six_n(advice: Advice) -> Any:
    """Exact FLOP of a token over 6 N, N as the law counts it."""
    return advice.flops_per_token / training_flops(advice.run.n_params, 1)


def six_nd_run(advice: Advice, flops: Any) -> Run:
    """What the same law says of the same budget along C = 6 N D."""
    law = advice.law.frontier
    assert isinstance(law, Counted), "advice along exact FLOP"
    n = law.inner.params_at_compute(flops)
    d = law.inner.tokens_at_compute(flops, n)
    return Run(n, d, law.inner.loss(n, d))
