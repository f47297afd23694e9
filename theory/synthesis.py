"""Synthesis: any proximal map P and any admissible transform T give a principled pair."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import sympy as sp

from theory.analytic import Expr, limit_at, sign_on
from theory.decision import decide
from theory.decomposition import regularizer_pair
from theory.errors import InputError
from theory.exact import X, compare, equal, less, sign_of
from theory.graphs import check_monotone
from theory.maps import OO, PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair, Verdict


@dataclass(frozen=True)
class Synthesized:
    """A pair F = T o P, B = t o P together with the (T, t, P, r) it was made from."""

    pair: QuantizerPair
    decomposition: Decomposition

    @cached_property
    def verdict(self) -> Verdict:
        """What `decide` says of the pair; principled by construction."""
        return decide(self.pair)


def synthesize(transform: PiecewiseMap, prox: PiecewiseMap, name: str = "") -> Synthesized:
    """The pair of a transform T and a proximal map P: F = T o P, B = t o P with t = T'.

    At a kink of T, t is the one-sided derivative of larger modulus (the convention of the clipped
    straight-through estimator). Raises `InputError` if P is not monotone, T is not continuous on
    the hull of P's range, T has an infinite slope there, or T is not monotone across a jump of P.
    Source: MATH.md, section 3 (synthesis).
    """
    check_monotone(prox)
    lo, hi = _hull(prox)
    slope = _slope(transform, lo, hi)
    for i, b in enumerate(prox.breaks):
        left, right = prox.left(i), prox.right(i)
        if not equal(left, right):
            _check_monotone_between(transform, left, right, b)
    pair = QuantizerPair(transform.compose(prox), slope.compose(prox), name)
    return Synthesized(pair, Decomposition(transform, slope, prox, regularizer_pair(prox)))


def _hull(prox: PiecewiseMap) -> tuple[Expr, Expr]:
    return limit_at(prox.exprs[0], -OO, 1), limit_at(prox.exprs[-1], OO, -1)


def _slope(transform: PiecewiseMap, lo: Expr, hi: Expr) -> PiecewiseMap:
    """t: the derivative of T, at kinks the one-sided derivative of larger modulus."""
    derivative = transform.derivative()
    values: list[Expr | None] = []
    for i, b in enumerate(transform.breaks):
        if compare(b, lo) < 0 or compare(hi, b) < 0:
            values.append(None)
            continue
        before, after = transform.left(i), transform.right(i)
        inside = less(lo, b) and less(b, hi)
        sides = [before, after] if inside else [after] if equal(b, lo) else [before]
        v = transform.values[i]
        if v is None or any(s in (OO, -OO) or not equal(s, v) for s in sides):
            raise InputError(f"a transform must be continuous, but this one is not at {b}")
        slopes = [derivative.left(i), derivative.right(i)]
        slopes = slopes if inside else [slopes[1]] if equal(b, lo) else [slopes[0]]
        if any(s in (OO, -OO) for s in slopes):
            raise InputError(f"a transform must have finite slopes, but this one has an infinite slope at {b}")
        values.append(max(slopes, key=_modulus))
    return PiecewiseMap(derivative.breaks, derivative.exprs, tuple(values)).simplified()


class _modulus:
    """Orders exact constants by modulus."""

    def __init__(self, c: Expr) -> None:
        self.size = sp.Abs(c)

    def __lt__(self, other: _modulus) -> bool:
        return less(self.size, other.size)

    def __gt__(self, other: _modulus) -> bool:
        return less(other.size, self.size)


def _check_monotone_between(transform: PiecewiseMap, left: Expr, right: Expr, x: Expr) -> None:
    """T monotone on the gap [left, right] that P jumps over at x."""
    cuts = [left, *(b for b in transform.breaks if less(left, b) and less(b, right)), right]
    signs: set[int] = set()
    for a, b in pairwise(cuts):
        middle = transform.piece_at((a + b) / 2)
        assert middle is not None
        d = sp.diff(transform.exprs[middle], X)
        s = sign_on(d, a, b) if d.has(X) else None
        value = sign_of(d) if s is None else s.value
        signs.add(2 if value is None else value)
    if 2 in signs or {1, -1} <= signs:
        raise InputError(
            f"the transform must be monotone between {left} and {right}, the two values of the proximal map "
            f"at its jump x = {x}"
        )
