"""Formulas of lines and laws, evaluated as arithmetic and nothing else.

A formula has names, numbers, `+ - * / **`, parentheses and `min max log exp sqrt ceil floor sum`. Python's evaluator is not
used: a formula can call nothing else. Whole numbers stay whole, and exact at any size, as far as the arithmetic allows: a
quotient that is whole, and the ceiling or floor of any quotient. Arrays broadcast; whole ones are taken as float64, because
int64 overflows silently above 9.2e18.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, reduce
from typing import TYPE_CHECKING, Any, TypeAlias

from scaleplan.numeric import exp, is_number, log, maximum, minimum

if TYPE_CHECKING:
    import ast

Inputs: TypeAlias = Mapping[str, Any]
Compiled: TypeAlias = Callable[[Inputs], Any]
NAME = re.compile(r"(?<![\w.])[^\W\d]\w*\b(?!\s*\()")
"""A name that is neither called nor the exponent of a number; found without a parser, which a start has no time for."""
LARGEST_EXACT_POWER_BITS = 4096
"""A whole power longer than this is computed as a float, so that no formula fills the memory."""


def evaluate(formula: str, inputs: Inputs) -> Any:
    """The value of a formula; an input is a number, an array, or for `sum`, `min` and `max` a list of them.

    Raises ValueError where the formula is no arithmetic, KeyError where a name has no input.

    >>> evaluate("6 * n_params * tokens", {"n_params": 10**12, "tokens": 3 * 10**13})
    180000000000000000000000000
    >>> evaluate("ceil(tokens / batch) + sum(parts)", {"tokens": 7, "batch": 2, "parts": [1, 2.5]})
    7.5
    """
    return compiled(formula)(inputs)


def names_in(formula: str) -> tuple[str, ...]:
    """The names that a formula needs a value for, each once, in the order in which they appear.

    >>> names_in("max(a, b) / a + log(c)")
    ('a', 'b', 'c')
    """
    return tuple(dict.fromkeys(NAME.findall(formula)))


def parsed(formula: str) -> ast.expr:
    """The tree of an expression; ValueError where the text is none."""
    import ast

    try:
        return ast.parse(formula.strip(), mode="eval").body
    except SyntaxError:
        raise ValueError(f"not arithmetic: `{formula}`") from None


@lru_cache(maxsize=4096)
def compiled(formula: str) -> Compiled:
    """A formula as a function of its inputs."""
    return compiled_node(parsed(formula), formula)


def compiled_node(node: ast.expr, formula: str) -> Compiled:
    """One node of the tree as a function of the inputs."""
    import ast

    match node:
        case ast.Constant(value=number) if type(number) in (int, float):
            return lambda _: number
        case ast.Name(id=name):
            return lambda inputs: plain(inputs[name])
        case ast.BinOp(left=left, op=op, right=right) if type(op).__name__ in OPERATORS:
            act, a, b = OPERATORS[type(op).__name__], compiled_node(left, formula), compiled_node(right, formula)
            return lambda inputs: act(a(inputs), b(inputs))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            inner = compiled_node(operand, formula)
            return lambda inputs: -inner(inputs)
        case ast.Call(func=ast.Name(id="ceil" | "floor" as name), args=[arg], keywords=[]):
            return rounding(arg, name == "ceil", formula)
        case ast.Call(func=ast.Name(id=name), args=[_, *_] as args, keywords=[]) if name in FUNCTIONS:
            called, parts = FUNCTIONS[name], [compiled_node(arg, formula) for arg in args]
            return lambda inputs: called(*(part(inputs) for part in parts))
    raise ValueError(f"not arithmetic: `{formula}`")


def rounding(arg: ast.expr, up: bool, formula: str) -> Compiled:
    """Ceiling or floor; that of a quotient of whole numbers is exact at any size."""
    import ast

    if isinstance(arg, ast.BinOp) and isinstance(arg.op, ast.Div):
        a, b = compiled_node(arg.left, formula), compiled_node(arg.right, formula)
        return lambda inputs: rounded_quotient(a(inputs), b(inputs), up)
    inner = compiled_node(arg, formula)
    return lambda inputs: rounded(inner(inputs), up)


def rounded_quotient(a: Any, b: Any, up: bool) -> Any:
    """a / b rounded up or down."""
    if isinstance(a, int) and isinstance(b, int):
        return -(-a // b) if up else a // b
    return rounded(a / b, up)


def rounded(x: Any, up: bool) -> Any:
    """A number rounded up or down to an int, an array to whole float64."""
    if is_number(x):
        return math.ceil(x) if up else math.floor(x)
    import numpy as np

    return np.ceil(x) if up else np.floor(x)


def plain(value: Any) -> Any:
    """An input as the arithmetic takes it: whole arrays as float64, a numpy scalar as a Python number."""
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if is_number(value):
        return value
    if getattr(value, "shape", None) == ():
        return value.item()
    return value.astype(float) if getattr(getattr(value, "dtype", None), "kind", "f") in "iub" else value


def divided(a: Any, b: Any) -> Any:
    """a / b, a whole number where ints divide without remainder."""
    if isinstance(a, int) and isinstance(b, int) and b and a % b == 0:
        return a // b
    return a / b


def power(a: Any, b: Any) -> Any:
    """a to the b; a whole power of an int is whole unless it would be enormous."""
    if isinstance(a, int) and isinstance(b, int) and abs(a).bit_length() * max(b, 1) > LARGEST_EXACT_POWER_BITS:
        return float(a) ** b
    return a**b


def sqrt(x: Any) -> Any:
    """Square root, for numbers and arrays."""
    if is_number(x):
        return math.sqrt(x)
    import numpy as np

    return np.sqrt(x)


def items(values: tuple[Any, ...]) -> Iterator[Any]:
    """Arguments one by one; a list stands for its items."""
    for value in values:
        yield from value if isinstance(value, list) else (value,)


def summed(*values: Any) -> Any:
    """The sum of arguments and of lists; exact for ints, rounded once for floats, element by element for arrays."""
    found = list(items(values))
    return math.fsum(found) if is_number(*found) and not all(isinstance(value, int) for value in found) else sum(found)


OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "Add": lambda a, b: a + b,
    "Sub": lambda a, b: a - b,
    "Mult": lambda a, b: a * b,
    "Div": divided,
    "Pow": power,
}
FUNCTIONS: dict[str, Callable[..., Any]] = {
    "min": lambda *values: reduce(minimum, items(values)),
    "max": lambda *values: reduce(maximum, items(values)),
    "log": log,
    "exp": exp,
    "sqrt": sqrt,
    "sum": summed,
}
