"""Formulas of `-v`, evaluated by arithmetic alone."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Mapping
from typing import Any

FUNCTIONS = {
    "min": min,
    "max": max,
    "log": math.log,
    "exp": math.exp,
    "sqrt": math.sqrt,
    "ceil": math.ceil,
    "floor": math.floor,
    "sum": lambda *values: (
        math.fsum(values[0])
        if isinstance(values[0], list | tuple) and not all(isinstance(v, int) for v in values[0])
        else sum(values[0] if isinstance(values[0], list | tuple) else values)
    ),
}
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
    ast.USub: operator.neg,
}


def evaluate(formula: str, inputs: Mapping[str, Any]) -> Any:
    """The value of a formula of names, numbers, + - * / **, parentheses and the functions above."""

    def value(node: ast.AST) -> Any:
        match node:
            case ast.Constant(value=int() | float() as number):
                return number
            case ast.Name(id=name):
                return inputs[name]
            case ast.BinOp(left=left, op=op, right=right):
                return OPERATORS[type(op)](value(left), value(right))
            case ast.UnaryOp(op=op, operand=operand):
                return OPERATORS[type(op)](value(operand))
            case ast.Call(func=ast.Name(id=name), args=args, keywords=[]):
                return FUNCTIONS[name](*map(value, args))
        raise ValueError(f"not arithmetic: {ast.dump(node)}")

    return value(ast.parse(formula, mode="eval").body)
