"""A run that is said stage by stage, as training on top of training: the FLOP of each stage from parameters and tokens."""

from __future__ import annotations

from typing import Any, NamedTuple

from scaleplan.laws.convention import inference_flops, training_flops


class StageWork(NamedTuple):
    """Work of one kind in a stage: parameters that a token passes, trained or frozen, and tokens."""

    n_params: Any
    frozen_n_params: Any
    trained: Any
    scored: Any
    generated: Any

    @property
    def flops(self) -> Any:
        """FLOP by kaplan2020: 6 N a trained token, 4 N of frozen weights (no gradient of theirs), 2 N a token scored or generated.

        >>> StageWork(10, 0, 5, 0, 0).flops, StageWork(10, 100, 5, 0, 0).flops, StageWork(10, 0, 0, 2, 3).flops
        (300, 2300, 100)
        """
        frozen = 2 * inference_flops(self.frozen_n_params, self.trained)  # a forward pass, and the gradients of its inputs
        return training_flops(self.n_params, self.trained) + frozen + inference_flops(self.n_params, self.scored + self.generated)


class Stage(NamedTuple):
    """A stage of a run: its name and its work."""

    name: str
    work: tuple[StageWork, ...]

    @property
    def flops(self) -> Any:
        """FLOP of the stage."""
        return sum(one.flops for one in self.work)
