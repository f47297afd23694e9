"""A second evaluator of the grammar: one point at a time, in Fractions as long as they last, else in mpmath.

Shares no code with `theory.parser`: it walks Python's tree itself and evaluates only the branch of a
Piecewise that holds.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import Any

import mpmath

DIGITS = 400  # the least float moves a sum by 1e-324


def real(v: Any) -> Any:
    return mpmath.mpf(v.numerator) / v.denominator if isinstance(v, Fraction) else v


def both(a: Any, b: Any) -> tuple[Any, Any]:
    return (a, b) if isinstance(a, Fraction) and isinstance(b, Fraction) else (real(a), real(b))


def sign(v: Any) -> Fraction:
    return Fraction((v > 0) - (v < 0))


def logistic(v: Any) -> Any:
    return 1 / (1 + mpmath.exp(-real(v)))


def analytic(name: str) -> Callable[[Any], Any]:
    function = getattr(mpmath, name)
    return lambda v: function(real(v))


def least(*values: Any) -> Any:
    return min(values, key=real)


def greatest(*values: Any) -> Any:
    return max(values, key=real)


def nearest(v: Any) -> Fraction:
    if isinstance(v, Fraction):
        return Fraction(round(v))  # halves to the even integer
    return Fraction(int(mpmath.nint(v)))


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "sign": sign,
    "Abs": abs,
    "abs": abs,
    "round": nearest,
    "floor": lambda v: Fraction(int(mpmath.floor(real(v)))),
    "Min": least,
    "Max": greatest,
    "clip": lambda v, lo, hi: greatest(lo, least(v, hi)),
    "Heaviside": lambda v, at: at if v == 0 else Fraction(int(v > 0)),
    "sigmoid": logistic,
    **{name: analytic(name) for name in ("exp", "log", "tanh", "sinh", "cosh", "erf", "atan", "sqrt", "sin", "cos")},
}
COMPARISONS: dict[type, Callable[[Any, Any], bool]] = {
    ast.Lt: lambda a, b: a < b,
    ast.LtE: lambda a, b: a <= b,
    ast.Gt: lambda a, b: a > b,
    ast.GtE: lambda a, b: a >= b,
    ast.Eq: lambda a, b: a == b,
}


def power(a: Any, b: Any) -> Any:
    if isinstance(b, Fraction) and b.denominator == 1 and isinstance(a, Fraction):
        return a**b.numerator
    if isinstance(b, Fraction) and b.denominator == 1:
        return a**b.numerator
    return mpmath.power(real(a), real(b))


class Evaluator:
    """The value of a text at one point. ``values``: x and the parameters, Fractions or mpmath numbers."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = {"pi": +mpmath.mp.pi, **values}

    def of(self, text: str) -> Any:
        return self.value(ast.parse(text.strip(), mode="eval").body)

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.Constant(value=v):
                return Fraction(str(v))
            case ast.Name(id=name):
                return self.values[name]
            case ast.UnaryOp(op=op, operand=inner):
                v = self.value(inner)
                return -v if isinstance(op, ast.USub) else v
            case ast.BinOp(left=left, op=op, right=right):
                a, b = self.value(left), self.value(right)
                if isinstance(op, ast.Pow):
                    return power(a, b)
                a, b = both(a, b)
                if isinstance(op, ast.Add):
                    return a + b
                if isinstance(op, ast.Sub):
                    return a - b
                return a * b if isinstance(op, ast.Mult) else a / b
            case ast.Call(func=ast.Name(id="Piecewise"), args=branches):
                for branch in branches:
                    assert isinstance(branch, ast.Tuple)
                    if self.holds(branch.elts[1]):
                        return self.value(branch.elts[0])
                raise ValueError("no branch holds")
            case ast.Call(func=ast.Name(id=name), args=args):
                return FUNCTIONS[name](*(self.value(a) for a in args))
        raise ValueError(ast.dump(node))

    def holds(self, node: ast.expr) -> bool:
        match node:
            case ast.Constant(value=bool(v)):
                return v
            case ast.BoolOp(op=op, values=parts):
                return (all if isinstance(op, ast.And) else any)(self.holds(p) for p in parts)
            case ast.Compare(left=left, ops=ops, comparators=rest):
                terms = [self.value(n) for n in (left, *rest)]
                return all(COMPARISONS[type(op)](*both(a, b)) for a, op, b in zip(terms, ops, terms[1:], strict=False))
        raise ValueError(ast.dump(node))


def evaluate(text: str, x: Any, params: Mapping[str, str]) -> Any:
    """The text at x (a float or a Fraction), as a Fraction or an mpmath number of `DIGITS` digits."""
    with mpmath.workdps(DIGITS):
        values = {k: Evaluator({}).of(v) for k, v in params.items()}
        return Evaluator({**values, "x": Fraction(x)}).of(text)


def exact_point(text: str, params: Mapping[str, str]) -> Fraction | None:
    """The point that a text names if it is rational, else None."""
    with mpmath.workdps(DIGITS):
        values = {k: Evaluator({}).of(v) for k, v in params.items()}
        found = Evaluator(values).of(text)
    return found if isinstance(found, Fraction) else None
