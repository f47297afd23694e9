"""Ranges of expressions over intervals that may be unbounded or end at a singularity.

Arb balls cannot hold [m, oo), so tails and neighbourhoods of poles are bounded here: an interval is
a pair of exact Arb numbers, either of which may be infinite, and every operation rounds outward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sympy as sp

from theory.balls import arb
from theory.errors import Undecided
from theory.exact import X, enclose, sigmoid

Expr = Any
INF = arb("inf")
_ZERO = arb(0)


@dataclass(frozen=True)
class Range:
    """Every value lies in [lo, hi]; exact Arb numbers, possibly -oo and oo."""

    lo: Any
    hi: Any

    @classmethod
    def around(cls, ball: Any) -> Range:
        if not ball.is_finite():
            return REALS
        return cls(ball.lower(), ball.upper())


REALS = Range(-INF, INF)


def end_of(c: Expr, low: bool) -> Any:
    """An exact constant or +-oo as an Arb number, rounded down or up."""
    if c is sp.oo:
        return INF
    if c is -sp.oo:
        return -INF
    ball = enclose(c)
    return ball.lower() if low else ball.upper()


def _sum(a: Range, b: Range) -> Range:
    lo = -INF if -INF in (a.lo, b.lo) else (a.lo + b.lo).lower()
    hi = INF if INF in (a.hi, b.hi) else (a.hi + b.hi).upper()
    return Range(lo, hi)


def _times(p: Any, q: Any) -> Any:
    return _ZERO if p == 0 or q == 0 else p * q  # 0 * oo = 0: the bound of products of finite numbers


def _product(a: Range, b: Range) -> Range:
    corners = [_times(p, q) for p in (a.lo, a.hi) for q in (b.lo, b.hi)]
    lo, hi = corners[0].lower(), corners[0].upper()
    for c in corners[1:]:
        lo, hi = min(lo, c.lower()), max(hi, c.upper())
    return Range(lo, hi)


def _whole_power(a: Range, n: int) -> Range:
    def at(v: Any) -> Any:
        return v if v == INF else -INF if v == -INF and n % 2 else INF if v == -INF else v**n

    if n % 2 or a.lo >= 0:
        return Range(at(a.lo).lower(), at(a.hi).upper())
    if a.hi <= 0:
        return Range(at(a.hi).lower(), at(a.lo).upper())
    return Range(_ZERO, max(at(a.lo).upper(), at(a.hi).upper()))


def _reciprocal(a: Range) -> Range:
    """1/v for the nonzero v in the range."""

    def at(v: Any, beside: Any) -> Any:
        return beside if v == 0 else _ZERO if v in (INF, -INF) else 1 / v

    if a.lo >= 0:
        return Range(at(a.hi, INF).lower(), at(a.lo, INF).upper())
    if a.hi <= 0:
        return Range(at(a.hi, -INF).lower(), at(a.lo, -INF).upper())
    return REALS


def _root(a: Range, q: int) -> Range:
    """The q-th root of the nonnegative part."""
    lo = a.lo if a.lo > 0 else _ZERO
    root = lo if lo == 0 or lo == INF else lo.root(q).lower()
    top = a.hi if a.hi == INF else _ZERO if a.hi <= 0 else a.hi.root(q).upper()
    return Range(root, top)


_INCREASING: dict[Any, tuple[Callable[[Any], Any], Callable[[], Any], Callable[[], Any]]] = {
    sp.exp: (lambda v: v.exp(), lambda: _ZERO, lambda: INF),
    sp.log: (lambda v: v.log(), lambda: -INF, lambda: INF),
    sp.tanh: (lambda v: v.tanh(), lambda: arb(-1), lambda: arb(1)),
    sp.sinh: (lambda v: v.sinh(), lambda: -INF, lambda: INF),
    sp.atan: (lambda v: v.atan(), lambda: -arb.pi() / 2, lambda: arb.pi() / 2),
    sp.erf: (lambda v: v.erf(), lambda: arb(-1), lambda: arb(1)),
    sigmoid: (lambda v: 1 / (1 + (-v).exp()), lambda: _ZERO, lambda: arb(1)),
}


def _increasing(kind: Any, a: Range) -> Range:
    function, least, most = _INCREASING[kind]

    def at(v: Any) -> Any:
        if v == -INF or (kind is sp.log and v <= 0):
            return least()
        if v == INF:
            return most()
        ball = function(v)
        return ball if ball.is_finite() else None

    lo, hi = at(a.lo), at(a.hi)
    return Range(-INF if lo is None else lo.lower(), INF if hi is None else hi.upper())


def _damped(e: Expr, x: Range) -> tuple[Range, list[Expr]]:
    """The range of the factors x^n exp(z) of a product together, where they fall for x > 0, and the other factors.

    Apart they would give oo * 0. They fall where the logarithmic derivative n/x + z' is negative.
    """
    power, exponent, rest = sp.Integer(0), sp.Integer(0), []
    for factor in e.args:
        base, n = factor.as_base_exp() if factor.is_Pow else (factor, sp.Integer(1))
        if base == X and n.is_positive and n.is_Rational:
            power += n
        elif isinstance(factor, sp.exp):
            exponent += factor.args[0]
        else:
            rest.append(factor)
    if power != 0 and exponent != 0 and x.lo > 0 and x.lo != INF:
        rate = range_of(power / X + sp.diff(exponent, X), x)
        if rate.hi <= 0:
            return Range(_ZERO, Range.around(enclose(X**power * sp.exp(exponent), x.lo)).hi), rest
    return Range(arb(1), arb(1)), list(e.args)


def range_of(e: Expr, x: Range) -> Range:
    """A range that holds every finite value of e over the range of x; raises `Undecided` off the language."""
    if e == X:
        return x
    if not e.has(X):
        return Range.around(enclose(e))
    if e.is_Add:
        total = range_of(e.args[0], x)
        for term in e.args[1:]:
            total = _sum(total, range_of(term, x))
        return total
    if e.is_Mul:
        damped, rest = _damped(e, x)
        total = damped
        for factor in rest:
            total = _product(total, range_of(factor, x))
        return total
    if e.is_Pow and e.exp.is_Rational:
        p, q = int(e.exp.p), int(e.exp.q)
        base = range_of(e.base, x)
        base = _whole_power(base if q == 1 else _root(base, q), abs(p))
        return base if p > 0 else _reciprocal(base)
    if e.func in _INCREASING:
        return _increasing(e.func, range_of(e.args[0], x))
    if isinstance(e, sp.Abs | sp.cosh):
        inner = range_of(e.args[0], x)
        size = Range(_ZERO, max(-inner.lo, inner.hi))
        if inner.lo >= 0 or inner.hi <= 0:
            size = Range(min(abs(inner.lo), abs(inner.hi)), size.hi)
        if isinstance(e, sp.Abs):
            return size
        return Range(size.lo.cosh().lower(), INF if size.hi == INF else size.hi.cosh().upper())
    if isinstance(e, sp.sin | sp.cos):
        inner = range_of(e.args[0], x)
        bound = Range(arb(-1), arb(1))
        if INF in (inner.hi, -inner.lo):
            return bound
        ball = inner.lo.union(inner.hi)
        value = Range.around(ball.sin() if isinstance(e, sp.sin) else ball.cos())
        return Range(max(value.lo, bound.lo), min(value.hi, bound.hi))
    raise Undecided(f"no range for {e.func.__name__}")
