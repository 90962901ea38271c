"""Formulas of `-v`, evaluated by arithmetic alone."""

from scaleplan.arithmetic import evaluate

__all__ = ["evaluate"]
