"""Piecewise analytic maps of one real variable with exact breakpoints and stated tie values.

Representation. A map is a sorted tuple of exact breakpoints ``b_1 < ... < b_n``, one analytic
expression per open piece, and one exact value per breakpoint (None where the map has no finite
real value). Nothing is inferred at a breakpoint: ties are semantics (docs/mathematics.md, section 1), and a
quantizer that differs from another at one tie only is another quantizer.

Why this and not sympy's Piecewise: order of branches, unevaluated conditions and automatic
merging there make ties and one-sided limits guesses. Why pieces and not a general graph: forward
and backward maps are *functions*, so arcs over x suffice. A proximal map is a monotone *graph*;
`theory.graphs` builds it from the same pieces by closing the jumps with verticals, and stores arcs
parametrically so that inversion and change of mu are linear maps of the pieces.

Maps with infinitely many breakpoints, such as ``sign(sin(x))``, are held on a window
``known_from < x < known_to``; beyond it only an optional bound (``tails``) is known, enough for
``clip(round(x), -2, 2)`` to become an ordinary finite map again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import (
    _WINDOW,
    Expr,
    ball_at,
    is_zero,
    limit_at,
    sign_on,
    solve_level,
    sort_exact,
)
from theory.errors import InputError, Undecided
from theory.exact import X, as_exact, compare, equal, less, rational_between, sigmoid, sign_of

OO = sp.oo
_ZERO = sp.Integer(0)
UNDEFINED = sp.nan
"""The expression of a piece outside a function's real domain; refused unless a Piecewise hides it."""
MAX_PIECES = 400
_PROBES = (sp.Rational(3, 7), sp.Rational(-5, 11))
Tail = tuple[int, Expr]  # (+1, v): the map is >= v out there; (-1, v): <= v


@dataclass(frozen=True)
class PiecewiseMap:
    """A map R -> R: ``exprs[i]`` on the open piece (breaks[i-1], breaks[i]), ``values[i]`` at breaks[i].

    Shapes: len(exprs) == len(breaks) + 1 == len(values) + 1. Breakpoints and values are exact
    (never floats); a value is None where the map is not finite. Raises `InputError` for other lengths
    and for floats. Source: docs/mathematics.md, section 1 ("Ties are semantics").
    """

    breaks: tuple[Expr, ...]
    exprs: tuple[Expr, ...]
    values: tuple[Expr | None, ...]
    known_from: Expr = -OO
    known_to: Expr = OO
    tails: tuple[Tail | None, Tail | None] = (None, None)

    def __post_init__(self) -> None:
        if not (len(self.exprs) == len(self.breaks) + 1 == len(self.values) + 1):
            raise InputError("a map needs one expression per piece and one value per breakpoint")
        if len(self.exprs) > MAX_PIECES:
            raise InputError(f"a map may have at most {MAX_PIECES} pieces, this one has {len(self.exprs)}")
        for e in (*self.breaks, *self.exprs, *self.values):
            if e is not None:
                as_exact(e)

    # ---- making maps

    @classmethod
    def of(cls, expr: Any) -> PiecewiseMap:
        """The map of one analytic expression in x, or of an exact constant."""
        return cls((), (as_exact(expr),), ())

    @classmethod
    def build(cls, breaks: Sequence[Any], exprs: Sequence[Any], values: Sequence[Any]) -> PiecewiseMap:
        """A map from plain numbers and expressions (ints, Rationals, sympy)."""
        return cls(
            tuple(as_exact(b) for b in breaks),
            tuple(as_exact(e) for e in exprs),
            tuple(None if v is None else as_exact(v) for v in values),
        )

    # ---- looking at maps

    @property
    def windowed(self) -> bool:
        return self.known_from != -OO or self.known_to != OO

    @cached_property
    def ends(self) -> tuple[tuple[Expr, Expr], ...]:
        """The open pieces as pairs (from, to), the outermost infinite."""
        return tuple(pairwise((-OO, *self.breaks, OO)))

    def piece_at(self, c: Expr) -> int | None:
        """Index of the open piece that contains the exact constant c, or None at a breakpoint."""
        for i, b in enumerate(self.breaks):
            order = compare(c, b)
            if order < 0:
                return i
            if order == 0:
                return None
        return len(self.breaks)

    def __call__(self, c: Any) -> Expr | None:
        """The exact value at the exact constant c (None where the map has none)."""
        point = as_exact(c)
        if self.windowed and (compare(point, self.known_from) < 0 or compare(self.known_to, point) < 0):
            raise Undecided(f"the value at {point}, outside the window in which the map is held")
        for b, v in zip(self.breaks, self.values, strict=True):
            if equal(point, b):
                return v
        i = self.piece_at(point)
        assert i is not None
        return self.exprs[i].subs(X, point)

    def left(self, i: int) -> Expr:
        """The limit at breaks[i] from the left."""
        return limit_at(self.exprs[i], self.breaks[i], -1)

    def right(self, i: int) -> Expr:
        """The limit at breaks[i] from the right."""
        return limit_at(self.exprs[i + 1], self.breaks[i], 1)

    # ---- changing maps

    def refine(self, points: Sequence[Expr]) -> PiecewiseMap:
        """The same map with further breakpoints."""
        breaks = sort_exact([*self.breaks, *points])
        if len(breaks) == len(self.breaks):
            return self
        exprs, values, i = [self.exprs[0]], [], 0
        for b in breaks:
            if i < len(self.breaks) and equal(b, self.breaks[i]):
                values.append(self.values[i])
                i += 1
            else:
                values.append(None if self.exprs[i] is UNDEFINED else self.exprs[i].subs(X, b))
            exprs.append(self.exprs[i])
        return replace(self, breaks=tuple(breaks), exprs=tuple(exprs), values=tuple(values))

    def simplified(self) -> PiecewiseMap:
        """The same map without breakpoints at which nothing happens."""
        breaks, exprs, values = [], [self.exprs[0]], []
        for b, v, e in zip(self.breaks, self.values, self.exprs[1:], strict=True):
            before = exprs[-1]
            if v is not None and _mergeable(before, e) and _finite_equal(before, b, v):
                continue
            breaks.append(b)
            values.append(v)
            exprs.append(e)
        return replace(self, breaks=tuple(breaks), exprs=tuple(exprs), values=tuple(values))

    def derivative(self) -> PiecewiseMap:
        """The derivative on the open pieces; no value at the breakpoints."""
        return replace(
            self,
            exprs=tuple(sp.diff(e, X) for e in self.exprs),
            values=(None,) * len(self.breaks),
            tails=(None, None),
        )

    def _with_known(self, *others: PiecewiseMap) -> dict[str, Any]:
        lo, hi = self.known_from, self.known_to
        for o in others:
            lo = o.known_from if less(lo, o.known_from) else lo
            hi = o.known_to if less(o.known_to, hi) else hi
        return {"known_from": lo, "known_to": hi}

    def map2(self, other: PiecewiseMap, op: Callable[[Expr, Expr], Expr]) -> PiecewiseMap:
        """op(self(x), other(x)) pointwise, for an op that is analytic in both."""
        f, g = self.refine(other.breaks), other.refine(self.breaks)
        values = tuple(None if v is None or w is None else op(v, w) for v, w in zip(f.values, g.values, strict=True))
        exprs = tuple(op(a, b) for a, b in zip(f.exprs, g.exprs, strict=True))
        return PiecewiseMap(f.breaks, exprs, values, **self._with_known(other))

    def __add__(self, other: PiecewiseMap) -> PiecewiseMap:
        c = other.constant
        out = self.map2(other, lambda a, b: a + b)
        if c is not None and self.windowed:
            return replace(out, tails=_map_tails(self.tails, lambda s, v: (s, v + c)))
        if self.constant is not None and other.windowed:
            return other + self
        return out

    def __neg__(self) -> PiecewiseMap:
        return self * PiecewiseMap.of(-1)

    def __sub__(self, other: PiecewiseMap) -> PiecewiseMap:
        return self + (-other)

    def __mul__(self, other: PiecewiseMap) -> PiecewiseMap:
        c = other.constant
        out = self.map2(other, lambda a, b: a * b)
        if c is not None and self.windowed:
            s = sign_of(c)
            if s == 0:
                return PiecewiseMap.of(0)
            return replace(out, tails=_map_tails(self.tails, lambda t, v: (t * s, v * c)))
        if self.constant is not None and other.windowed:
            return other * self
        return out

    def __truediv__(self, other: PiecewiseMap) -> PiecewiseMap:
        return self * other.reciprocal()

    @property
    def constant(self) -> Expr | None:
        """The value of a constant map, else None."""
        if self.breaks or self.exprs[0].has(X):
            return None
        return self.exprs[0]

    def split_at_zeros(self, level: Expr = _ZERO) -> PiecewiseMap:
        """The same map with breakpoints wherever a piece crosses or touches the level."""
        out = self
        points: list[Expr] = []
        for e, (a, b) in zip(self.exprs, self.ends, strict=True):
            a, b = _clip_range(a, b, self.known_from, self.known_to)
            if a is None or not e.has(X):
                continue  # constants, undefined pieces, and what lies outside the window
            line = _line(e)
            if line is not None:  # most pieces of quantizers: no need for a root finder
                zero = (level - line[1]) / line[0]
                points += [zero] if less(a, zero) and less(zero, b) else []
                continue
            roots = solve_level(e, level, a, b)
            points += roots.points
            if roots.window is not None:
                lo, hi = roots.window
                # what was searched is a part of (a, b) only: on the rest nothing is known any more
                if less(a, lo) and less(out.known_from, lo):
                    out = replace(out, known_from=lo)
                if less(hi, b) and less(hi, out.known_to):
                    out = replace(out, known_to=hi)
        return out.refine(points)

    def signs(self) -> tuple[PiecewiseMap, tuple[int | None, ...]]:
        """This map split at its zeros, with the strict sign of each piece (None: undefined there)."""
        f = self.split_at_zeros()
        found: list[int | None] = []
        for e, (a0, b0) in zip(f.exprs, f.ends, strict=True):
            a, b = _clip_range(a0, b0, f.known_from, f.known_to)
            if e is UNDEFINED or a is None:
                found.append(None)
            else:
                found.append(sign_of(e) if not e.has(X) else _sign_between(e, a, b))
        return f, tuple(found)

    def by_sign(self, pick: Callable[[int, Expr], Expr]) -> PiecewiseMap:
        """pick(sign, value) pointwise, the sign taken exactly on pieces and at breakpoints."""
        f, s = self.signs()
        exprs = tuple(UNDEFINED if k is None else pick(k, e) for k, e in zip(s, f.exprs, strict=True))
        values = tuple(None if v is None else pick(sign_of(v), v) for v in f.values)
        return PiecewiseMap(f.breaks, exprs, values, f.known_from, f.known_to).simplified()

    def reciprocal(self) -> PiecewiseMap:
        c = self.constant
        if c is not None:
            if sign_of(c) == 0:
                raise InputError("division by zero")
            return PiecewiseMap.of(1 / c)
        f, s = self.signs()
        values = tuple(None if v is None or sign_of(v) == 0 else 1 / v for v in f.values)
        exprs = tuple(1 / e if k else UNDEFINED for k, e in zip(s, f.exprs, strict=True))
        return replace(f, exprs=exprs, values=values, tails=(None, None))

    def power(self, exponent: Expr) -> PiecewiseMap:
        """self ** exponent for a rational exponent; bases must be >= 0 unless it is an integer."""
        if exponent == 0:
            return PiecewiseMap.of(1)
        if exponent.is_Integer:
            base = self if exponent > 0 else self.reciprocal()
            n = abs(exponent)
            return base.apply(lambda e: e**n)
        f, s = self.signs()
        values: list[Expr | None] = []
        for v in f.values:
            undefined = v is None or sign_of(v) < 0 or (exponent < 0 and sign_of(v) == 0)
            values.append(None if undefined else v**exponent)
        exprs = tuple(
            UNDEFINED if k is None or k < 0 or (k == 0 and exponent < 0) else _without_abs(e**exponent, a, b)
            for k, e, (a, b) in zip(s, f.exprs, f.ends, strict=True)
        )
        return replace(f, exprs=exprs, values=tuple(values), tails=(None, None))

    def apply(self, function: Callable[[Expr], Expr]) -> PiecewiseMap:
        """A function that is analytic on the whole real line, applied pointwise."""
        return replace(
            self,
            exprs=tuple(function(e) for e in self.exprs),
            values=tuple(None if v is None else function(v) for v in self.values),
            tails=(None, None),
        )

    def log(self) -> PiecewiseMap:
        f, s = self.signs()
        values = tuple(None if v is None or sign_of(v) <= 0 else sp.log(v) for v in f.values)
        exprs = tuple(sp.log(e) if k == 1 else UNDEFINED for k, e in zip(s, f.exprs, strict=True))
        return replace(f, exprs=exprs, values=values, tails=(None, None))

    def sign(self) -> PiecewiseMap:
        return self.by_sign(lambda s, _: sp.Integer(s))

    def heaviside(self, at_zero: Expr) -> PiecewiseMap:
        return self.by_sign(lambda s, _: at_zero if s == 0 else sp.Integer((s + 1) // 2))

    def abs(self) -> PiecewiseMap:
        return self.by_sign(lambda s, e: -e if s < 0 else e)

    def minimum(self, other: PiecewiseMap) -> PiecewiseMap:
        return -((-self).maximum(-other))

    def maximum(self, other: PiecewiseMap) -> PiecewiseMap:
        """Pointwise maximum. A windowed map under a bound that beats its tails becomes finite."""
        if self.windowed or other.windowed:
            if other.windowed and not self.windowed:
                return other.maximum(self)
            c = other.constant
            if c is not None:
                return self._maximum_with_constant(c)
        return other + (self - other).by_sign(lambda s, e: e if s > 0 else sp.Integer(0))

    def _maximum_with_constant(self, c: Expr) -> PiecewiseMap:
        """max(self, c), lifting the window on a side where the tail is at most c."""
        inside = PiecewiseMap.of(c) + replace(self - PiecewiseMap.of(c), tails=(None, None)).by_sign(
            lambda s, e: e if s > 0 else sp.Integer(0)
        )
        lo, hi, exprs, breaks, values = inside.known_from, inside.known_to, inside.exprs, inside.breaks, inside.values
        tails = list(self.tails)
        for side in (0, 1):
            tail = self.tails[side]
            if tail is None:
                continue
            s, v = tail
            if s < 0 and compare(v, c) <= 0:
                if side == 0 and lo != -OO:
                    keep = [i for i, b in enumerate(breaks) if less(lo, b)]
                    first = keep[0] if keep else len(breaks)
                    breaks, values = (lo, *breaks[first:]), (c, *values[first:])
                    exprs, lo = (c, *exprs[first:]), -OO
                if side == 1 and hi != OO:
                    last = sum(1 for b in breaks if less(b, hi))
                    breaks, values = (*breaks[:last], hi), (*values[:last], c)
                    exprs, hi = (*exprs[: last + 1], c), OO
                tails[side] = None
            elif s > 0:
                tails[side] = (1, v if less(c, v) else c)
        return PiecewiseMap(breaks, exprs, values, lo, hi, (tails[0], tails[1])).simplified()

    def clip(self, lo: PiecewiseMap, hi: PiecewiseMap) -> PiecewiseMap:
        return self.maximum(lo).minimum(hi)

    def floor(self) -> PiecewiseMap:
        return self._steps(sp.Integer(0), lambda c: sp.Integer(_floor_exact(c)))

    def round(self) -> PiecewiseMap:
        """Rounding to the nearest integer, halves to the even one (IEEE and Python)."""
        return self._steps(sp.Rational(1, 2), _round_exact)

    def _steps(self, offset: Expr, value: Callable[[Expr], Expr]) -> PiecewiseMap:
        """A staircase of self: jumps where self crosses an integer plus offset."""
        points: list[Expr] = []
        lo, hi = self.known_from, self.known_to
        # a staircase is monotone, so a bound on self far out becomes a bound on its steps
        left, right = _map_tails(self.tails, lambda s, v: (s, value(v)))
        for e, (a0, b0) in zip(self.exprs, self.ends, strict=True):
            a, b = _clip_range(a0, b0, self.known_from, self.known_to)
            if a is None or not e.has(X):
                continue
            slope = sp.diff(e, X)
            cuts = [a, b]
            if slope.has(X):
                turns = solve_level(slope, sp.Integer(0), a, b)
                if turns.window is not None:  # infinitely many turning points: hold on to the window
                    a, b = _clip_range(a, b, *turns.window)
                    if a is None:
                        raise Undecided(f"the steps of {e}, which turns infinitely often")
                    lo, hi = (a if less(lo, a) else lo), (b if less(b, hi) else hi)
                cuts = [a, *(t for t in turns.points if less(a, t) and less(t, b)), b]
            points += cuts[1:-1]
            for c, d in pairwise(cuts):
                low, high = limit_at(e, c, 1), limit_at(e, d, -1)
                if c == -OO and low in (OO, -OO):
                    lo = c = _window_edge(e, offset, d, -1)
                    left = (sign_of(low), value(e.subs(X, c)))
                    low = e.subs(X, c)
                if d == OO and high in (OO, -OO):
                    hi = d = _window_edge(e, offset, c, 1)
                    right = (sign_of(high), value(e.subs(X, d)))
                    high = e.subs(X, d)
                if low in (OO, -OO) or high in (OO, -OO):
                    raise InputError(f"{e} is unbounded beside a finite point, so its staircase has no finite pieces")
                if less(high, low):
                    low, high = high, low
                first, last = _floor_exact(low - offset), _floor_exact(high - offset) + 1
                if last - first > MAX_PIECES:
                    raise Undecided(f"a staircase of more than {MAX_PIECES} steps is not laid out")
                for n in range(first, last + 1):
                    level = n + offset
                    if less(low, level) and less(level, high):
                        points += solve_level(e, level, c, d).points
        f = self.refine(points)
        exprs = []
        for e, (a0, b0) in zip(f.exprs, f.ends, strict=True):
            a, b = _clip_range(a0, b0, lo, hi)
            if a is None:
                exprs.append(sp.Integer(0))
            elif e is UNDEFINED:
                exprs.append(e)
            else:
                exprs.append(value(e.subs(X, rational_between(a, b))))
        values = tuple(None if v is None else value(v) for v in f.values)
        return PiecewiseMap(f.breaks, tuple(exprs), values, lo, hi, (left, right)).simplified()

    def compose(self, inner: PiecewiseMap) -> PiecewiseMap:
        """self(inner(x)) for an inner map whose crossings of self's breakpoints have closed forms."""
        if self.windowed:
            raise Undecided("an outer map that changes infinitely often is not composed")
        points: list[Expr] = []
        for e, (a, b) in zip(inner.exprs, inner.ends, strict=True):
            if e.has(X):
                for level in self.breaks:
                    roots = solve_level(e, level, a, b)
                    if roots.window is not None:
                        raise Undecided(f"{e} takes the value {level} infinitely often")
                    points += roots.points
        f = inner.refine(points)
        exprs = []
        for e, (a, b) in zip(f.exprs, f.ends, strict=True):
            if e is UNDEFINED:
                exprs.append(e)
                continue
            if not e.has(X):
                v = self(e)
                if v is None:
                    raise InputError(f"the outer map has no finite value at {e}")
                exprs.append(v)
                continue
            k = self.piece_at(_inner_value(e, a, b))
            if k is None:
                raise Undecided(f"which piece {e} falls into")
            exprs.append(self.exprs[k].subs(X, e))
        values = tuple(None if v is None else self(v) for v in f.values)
        return PiecewiseMap(f.breaks, tuple(exprs), values, **inner._with_known()).simplified()

    @staticmethod
    def select(branches: Sequence[tuple[PiecewiseMap, PiecewiseMap]]) -> PiecewiseMap:
        """The first branch whose condition map (1 or 0) holds; what no branch covers is undefined."""
        cuts: list[Expr] = []
        for m, condition in branches:
            if condition.windowed:
                raise Undecided("a condition that changes infinitely often")
            cuts += [*m.breaks, *condition.breaks]
            cuts += [w for w in (m.known_from, m.known_to) if w not in (OO, -OO)]
        cuts = sort_exact(cuts)
        fine = [(m.refine(cuts), condition.refine(cuts)) for m, condition in branches]
        exprs: list[Expr] = []
        lo, hi = -OO, OO
        for i, (a, b) in enumerate(pairwise((-OO, *cuts, OO))):
            chosen = next((m for m, condition in fine if condition.exprs[i] == 1), None)
            exprs.append(UNDEFINED if chosen is None else chosen.exprs[i])
            if chosen is not None and not (compare(chosen.known_from, a) <= 0 and compare(b, chosen.known_to) <= 0):
                if compare(b, chosen.known_from) <= 0:
                    lo = b if less(lo, b) else lo
                else:
                    hi = a if less(a, hi) else hi
        values = tuple(
            next((m.values[i] for m, condition in fine if condition.values[i] == 1), None) for i in range(len(cuts))
        )
        return PiecewiseMap(tuple(cuts), tuple(exprs), values, lo, hi).simplified()

    def kept_on(self, lo: Expr, hi: Expr) -> PiecewiseMap:
        """The same map on the open interval (lo, hi), continued by constants: its limits there, 0 where infinite."""
        first = sum(1 for b in self.breaks if compare(b, lo) <= 0)
        last = sum(1 for b in self.breaks if less(b, hi))
        breaks, values = list(self.breaks[first:last]), list(self.values[first:last])
        exprs = list(self.exprs[first : last + 1])
        if lo != -OO:
            start = limit_at(exprs[0], lo, 1)
            start = _ZERO if start in (OO, -OO) else start
            breaks, values, exprs = [lo, *breaks], [start, *values], [start, *exprs]
        if hi != OO:
            stop = limit_at(exprs[-1], hi, -1)
            stop = _ZERO if stop in (OO, -OO) else stop
            breaks, values, exprs = [*breaks, hi], [*values, stop], [*exprs, stop]
        return PiecewiseMap(tuple(breaks), tuple(exprs), tuple(values))

    def undefined_on(self) -> tuple[Expr, Expr] | None:
        """A piece on which the map has no real value, or None."""
        for e, (a, b) in zip(self.exprs, self.ends, strict=True):
            if e is UNDEFINED or e is sp.zoo:
                a, b = _clip_range(a, b, self.known_from, self.known_to)
                if a is not None:
                    return a, b
        return None

    # ---- comparing and writing

    def agrees(self, other: PiecewiseMap, at_breaks: bool = True) -> bool:
        """Whether two maps are equal everywhere (``at_breaks=False``: up to breakpoint values); proved."""
        if self.windowed or other.windowed:
            raise Undecided("maps with infinitely many breakpoints are not compared")
        f, g = self.refine(other.breaks), other.refine(self.breaks)
        if not all(a == b or _same_on(a, b, *ends) for a, b, ends in zip(f.exprs, g.exprs, f.ends, strict=True)):
            return False
        if not at_breaks:
            return True
        return all(
            (v is None and w is None) or (v is not None and w is not None and _same(v, w))
            for v, w in zip(f.values, g.values, strict=True)
        )

    def __str__(self) -> str:
        from theory.printing import to_text

        return to_text(self)

    def _repr_latex_(self) -> str:
        from theory.display import in_math, map_latex

        return in_math(map_latex(self))

    def _repr_html_(self) -> str:
        from theory.display import map_html

        return map_html(self)


def _line(e: Expr) -> tuple[Expr, Expr] | None:
    """(slope, intercept) of an expression written as a line with rational coefficients."""
    c, rest = e.as_independent(X, as_Add=True)
    k, x = rest.as_independent(X, as_Add=False)
    return (k, c) if x == X and k.is_Rational and c.is_Rational else None


_FEW_STEPS = 40


def _window_edge(e: Expr, offset: Expr, inner: Expr, side: int) -> Expr:
    """How far a monotone unbounded stretch beyond ``inner`` is laid out: as far as its steps stay few."""
    base = sp.Integer(0) if inner in (OO, -OO) else sp.Integer(side * max(0, side * _floor_exact(inner) + 1))
    near = _floor_exact(e.subs(X, base) - offset)
    wide = ((sp.Integer(2**k), _FEW_STEPS) for k in range(20, 0, -1))  # a slow staircase is laid out further
    close = ((sp.Rational(n, 2**k), MAX_PIECES // 2 - 2) for k in range(3, 14) for n in (8, 7, 6, 5))
    for part, most in (*wide, *close):
        edge = base + side * part * _WINDOW
        with contextlib.suppress(Undecided):  # too large to count: look closer
            if abs(_floor_exact(e.subs(X, edge) - offset) - near) <= most:
                return edge
    raise Undecided(f"a staircase of more than {MAX_PIECES} steps is not laid out")


def _map_tails(
    tails: tuple[Tail | None, Tail | None], f: Callable[[int, Expr], Tail]
) -> tuple[Tail | None, Tail | None]:
    left, right = tails
    return (None if left is None else f(*left), None if right is None else f(*right))


def _clip_range(a: Expr, b: Expr, lo: Expr, hi: Expr) -> tuple[Any, Any]:
    """(a, b) cut to (lo, hi); (None, None) if nothing is left."""
    a = lo if less(a, lo) else a
    b = hi if less(hi, b) else b
    return (a, b) if less(a, b) else (None, None)


def _inner_value(e: Expr, a: Expr, b: Expr) -> Expr:
    return e.subs(X, rational_between(a, b))


def _sign_between(e: Expr, a: Expr, b: Expr) -> int:
    """The constant sign of an expression already split at its zeros."""
    value = _inner_value(e, a, b)
    return sign_of(value)


def _same(a: Expr, b: Expr) -> bool:
    if a == b:
        return True
    if {a, b} & {OO, -OO, UNDEFINED}:
        return False
    return is_zero(a - b)


def _same_on(a: Expr, b: Expr, lo: Expr, hi: Expr) -> bool:
    """Whether two analytic expressions agree on the open interval (lo, hi)."""
    if {a, b} & {OO, -OO, UNDEFINED}:
        return bool(a == b)
    return is_zero(a - b, lo, hi)


def _mergeable(a: Expr, b: Expr) -> bool:
    """Whether two neighbouring pieces are shown to be one; keeping a needless breakpoint is harmless."""
    try:
        if a != b and (a.has(X) or b.has(X)) and not {a, b} & {OO, -OO, UNDEFINED}:
            for point in _PROBES:  # most neighbours differ visibly
                d = ball_at(a, point) - ball_at(b, point)
                if d > 0 or d < 0:
                    return False
        return _same(a, b)
    except Undecided:
        return False


def _finite_equal(e: Expr, b: Expr, v: Expr) -> bool:
    if {e, v} & {OO, -OO, UNDEFINED}:
        return bool(e == v)
    try:
        return equal(e.subs(X, b), v)
    except Undecided:
        return False


def _without_abs(e: Expr, a: Expr, b: Expr) -> Expr:
    """e with every |h| replaced by h or -h, whichever holds on (a, b)."""
    for node in e.atoms(sp.Abs):
        h = node.args[0]
        s = sign_on(h, a, b).value
        if s is None:
            raise Undecided(f"the sign of {h} between {a} and {b}")
        e = e.subs(node, s * h)
    return e


def _floor_exact(c: Expr) -> int:
    from theory.exact import _floor

    return int(_floor(c))


def _round_exact(c: Expr) -> Expr:
    n = _floor_exact(c)
    order = compare(c - n, sp.Rational(1, 2))
    if order == 0:
        return sp.Integer(n + n % 2)
    return sp.Integer(n if order < 0 else n + 1)


IDENTITY = PiecewiseMap.of(X)
__all__ = ["IDENTITY", "MAX_PIECES", "OO", "PiecewiseMap", "X", "sigmoid"]
