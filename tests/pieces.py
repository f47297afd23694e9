"""Random pairs made of linear and quadratic pieces, described for the oracle of `definition` and as exact maps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction as Q
from itertools import pairwise
from typing import Any

import sympy as sp
from definition import Flat, Item, Move, Point
from hypothesis import strategies as st

from theory.exact import X
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair


def rational(q: Q) -> Any:
    return sp.Rational(q.numerator, q.denominator)


def pair_of(items: Sequence[Item]) -> QuantizerPair:
    """The pair with breakpoints at consecutive integers and F's ties in the middle of its jumps."""
    count = sum(isinstance(i, Point) for i in items)
    breaks = [sp.Integer(k - count // 2) for k in range(count)]
    forward: list[Any] = []
    backward: list[Any] = []
    ties: list[Any] = []
    rates: list[Any] = []
    height: Any = sp.Integer(0)
    for item in items:
        if isinstance(item, Point):
            ties.append(height + rational(item.jump) / 2)
            rates.append(rational(item.value))
            height += rational(item.jump)
        elif isinstance(item, Flat):
            forward.append(height)
            backward.append(rational(item.level))
        else:
            k = len(forward)
            a = breaks[k - 1] if k else (breaks[0] - 1 if breaks else sp.Integer(0))
            left, right = rational(item.left), rational(item.right)
            g = sp.expand(left + (right - left) * (X - a))
            f = sp.integrate(sp.expand(rational(item.ratio) * g), X)
            f = sp.expand(f - f.subs(X, a) + height)
            height = f.subs(X, a + 1)
            forward.append(f)
            backward.append(g)
    return QuantizerPair(
        PiecewiseMap(tuple(breaks), tuple(forward), tuple(ties)),
        PiecewiseMap(tuple(breaks), tuple(backward), tuple(rates)),
    )


_LEVELS = st.sampled_from([Q(-1), Q(0), Q(0), Q(1, 2), Q(1), Q(1), Q(2)])


@st.composite
def items(draw: Callable[..., Any], longest: int = 4) -> list[Item]:
    """Pieces and breakpoints; most breakpoint values agree with a neighbour, so that many pairs are principled."""
    n = draw(st.integers(1, longest))
    pieces: list[Move | Flat] = []
    for k in range(n + 1):
        if draw(st.integers(0, 2)) == 0:
            sign = draw(st.sampled_from([1, 1, 1, -1]))
            left, right = draw(st.sampled_from([(1, 1), (2, 2), (1, 2), (2, 1), (0, 1), (1, 0)]))
            if k in (0, n):
                right = left = max(left, right)
            pieces.append(Move(draw(st.sampled_from([Q(1, 2), Q(1), Q(2)])), Q(sign * left), Q(sign * right)))
        else:
            pieces.append(Flat(draw(_LEVELS)))
    out: list[Item] = [pieces[0]]
    for before, after in pairwise(pieces):
        low = before.right if isinstance(before, Move) else before.level
        high = after.left if isinstance(after, Move) else after.level
        value = draw(st.sampled_from([low, high, low, high, Q(0), Q(1), Q(-1)]))
        out += [Point(draw(st.sampled_from([Q(0), Q(0), Q(0), Q(1), Q(-1)])), value), after]
    return out


_SMALL = st.fractions(min_value=0, max_value=2, max_denominator=4)


@st.composite
def proxes(draw: Callable[..., Any]) -> PiecewiseMap:
    """A monotone map with rational linear, quadratic and flat pieces and rational jumps."""
    n = draw(st.integers(0, 3))
    start = draw(st.integers(-2, 0))
    gaps = [draw(st.sampled_from([Q(1, 2), Q(1), Q(3, 2)])) for _ in range(n)]
    breaks = [rational(Q(start) + sum(gaps[:k], Q(0))) for k in range(n)]
    exprs: list[Any] = []
    values: list[Any] = []
    height = rational(draw(_SMALL)) - 1
    for k in range(n + 1):
        kind = draw(st.sampled_from(["flat", "line", "square" if 0 < k < n else "line"]))
        a = breaks[k - 1] if k else (breaks[0] if breaks else sp.Integer(0))
        slope = rational(draw(_SMALL)) + sp.Rational(1, 4)
        e = sp.Integer(0) if kind == "flat" else slope * (X - a) ** (2 if kind == "square" else 1)
        e = sp.expand(e + height)
        exprs.append(e)
        if k < n:
            end = e.subs(X, breaks[k]) if e.has(X) else e
            jump = rational(draw(st.sampled_from([Q(0), Q(0), Q(1, 2), Q(1)])))
            values.append(end + jump * rational(draw(st.sampled_from([Q(0), Q(1, 3), Q(1)]))))
            height = end + jump
    return PiecewiseMap(tuple(breaks), tuple(exprs), tuple(values)).simplified()


@st.composite
def transforms(draw: Callable[..., Any]) -> tuple[PiecewiseMap, bool]:
    """A monotone T with piecewise linear derivative (in C^1) or with kinks, and which of the two it is."""
    smooth = draw(st.booleans())
    n = draw(st.integers(1, 3))
    breaks = [sp.Rational(2 * k - n, 2) for k in range(n)]
    rates = [rational(draw(_SMALL)) for _ in range(n + 1)]
    exprs: list[Any] = []
    height: Any = sp.Integer(0)
    values: list[Any] = []
    for k in range(n + 1):
        a = breaks[k - 1] if k else breaks[0]
        # inside, T' runs linearly from one rate to the next where T is in C^1
        last = rates[k + 1] if smooth and 0 < k < n else rates[k]
        first = rates[k]
        if smooth and k == 0:
            first = last = rates[1]
        e = sp.expand(height + first * (X - a) + (last - first) / 2 * (X - a) ** 2)
        exprs.append(e)
        if k < n:
            height = e.subs(X, breaks[k])
            values.append(height)
    return PiecewiseMap(tuple(breaks), tuple(exprs), tuple(values)).simplified(), smooth
