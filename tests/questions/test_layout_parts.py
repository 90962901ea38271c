"""What `layout` says of the parts of a step."""

from __future__ import annotations

from scaleplan.machine.step_time import PARTS
from scaleplan.questions.layout.common import PARTS_ARE
from scaleplan.questions.layout.explained import lost_by_part


class Priced:
    """A row of which only the parts are asked."""

    def __init__(self, **parts: float) -> None:
        self.parts = parts


def test_every_part_is_explained_in_a_few_words():
    """In the order of the parts, and short enough for a column."""
    assert tuple(PARTS_ARE) == PARTS
    assert max(map(len, PARTS_ARE.values())) <= 28


def test_what_two_layouts_share_is_not_lost():
    """The same seconds added in another order differ in the last digit."""
    lost = lost_by_part(Priced(matmul=0.1 + 0.2, tp=2.0, cp=0.0), Priced(matmul=0.3, tp=1.5, cp=0.0))

    assert lost == {"matmul": 0.0, "tp": 0.5, "cp": 0.0}
