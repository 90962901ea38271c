"""The questions by name: each lives in a module or folder of its own, loaded when it is asked."""

from __future__ import annotations

from importlib import import_module

from scaleplan.questions.asking import Question

COMMANDS: dict[str, dict[str, str]] = {
    "Models": {
        "params": "How many parameters, of which kind, in which convention?",
        "flops": "How much compute to train and to serve, 6N and 2N beside the exact count?",
        "memory": "How much memory do training and serving need, by part and precision, and what does it fit on?",
    },
    "Runs": {
        "plan": "What does the whole run take: size, days, dollars, energy and carbon, from either end?",
        "layout": "Which parallel layout is fastest on these devices, does it fit, and why do others not?",
        "serve": "How fast is a model served, what fits, and what does a million tokens cost?",
        "rl": "What does post-training take: memory by phase, a step's rollout and training, hours and dollars?",
        "cost": "How many device-days, days, dollars, kWh and kg of CO2e does training take?",
        "check": "Is it within the limits?",
        "diff": "What changed between two plans or answers, and why?",
        "calibrate": "How far was reality off, and what does the run take with that?",
        "sweep": "What are the numbers over a grid of values, a row a point?",
    },
    "Scaling laws": {
        "optimal": "How large a model on how many tokens, and what loss, by each scaling law?",
        "batch": "How large may a batch be before it wastes tokens?",
        "fit": "What law do my own runs follow, and how sure is it?",
    },
    "Reference": {
        "presets": "What is built in, each value with its source?",
    },
}
"""Heading -> command -> the question it answers."""

NAMES = tuple(name for commands in COMMANDS.values() for name in commands)


def question_named(name: str) -> Question:
    """The question of a command: its fields, shapes and examples."""
    found = import_module(f"scaleplan.questions.{name}").QUESTION
    assert isinstance(found, Question), f"questions/{name} has no QUESTION"
    return found


def asks(name: str) -> str:
    """The question of a command in a sentence."""
    return next(commands[name] for commands in COMMANDS.values() if name in commands)
