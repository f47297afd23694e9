"""Exact graphs of monotone maps: arcs, flats and verticals, closed at every jump.

A proximal map is a monotone *set*: at a jump it contains at least both ends. The graph is stored as
a chain of parametric pieces (x(s), p(s)), s in an interval. Why parametric: inversion swaps the two
coordinates, change of mu is the shear (x, p) -> (x + (mu' - mu)/mu (x - p), p), and the subdifferential of
mu r is (p, x - p); each is a linear map of the pieces, exact and closed-form even where no inverse
function has one. Closed forms of r are needed only at the end, for printing.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass

import sympy as sp

from theory.analytic import Expr, antiderivative, limit_at, sign_on, solve_level
from theory.errors import InputError, Undecided
from theory.exact import X, compare, equal, less
from theory.inverse import invert
from theory.maps import OO, PiecewiseMap


@dataclass(frozen=True)
class GraphPiece:
    """(x(s), p(s)) for s between ``lo`` and ``hi``; kind is arc, flat (p constant) or vertical (x constant)."""

    kind: str
    x: Expr
    p: Expr
    lo: Expr
    hi: Expr


@dataclass(frozen=True)
class MonotoneGraph:
    """The closed graph of a monotone map, its pieces in increasing order of x + p."""

    pieces: tuple[GraphPiece, ...]

    @classmethod
    def of(cls, prox: PiecewiseMap) -> MonotoneGraph:
        """The graph of a map; raises `InputError` naming the place where it is not monotone."""
        check_monotone(prox)
        pieces: list[GraphPiece] = []
        for i, (e, (a, b)) in enumerate(zip(prox.exprs, prox.ends, strict=True)):
            pieces.append(GraphPiece("arc" if e.has(X) else "flat", X, e, a, b))
            if i < len(prox.breaks):
                lo, hi = prox.left(i), prox.right(i)
                if not equal(lo, hi):
                    pieces.append(GraphPiece("vertical", b, X, lo, hi))
        return cls(tuple(pieces))

    def regularizers(self) -> tuple[PiecewiseMap, PiecewiseMap]:
        """(largest, smallest) r with P = prox of r at mu = 1, from phi* = r + w^2/2, phi*' = P^-1.

        The smallest is finite and fills the gaps of P's range, the largest is +oo there. Up to one
        constant, chosen so that the least of r's values at breakpoints and at fixed points of P is
        0. Raises `Undecided` where no closed form is found. Source: MATH.md, section 1.
        """
        spans: list[_Span] = []
        height: Expr = sp.Integer(0)  # phi* at the left end of the span
        increasing = [q for q in self.pieces if q.kind != "flat"]
        if not increasing:
            single = PiecewiseMap.build([self.pieces[0].p], [OO, OO], [0])
            return single, single
        for k, q in enumerate(increasing):
            gap = q.kind == "vertical"
            lo, hi = (q.lo, q.hi) if gap else (limit_at(q.p, q.lo, 1), limit_at(q.p, q.hi, -1))
            body = q.x * X if gap else _conjugate(q)
            if k > 0:
                body = body - _finite_limit(body, lo, 1) + height
            spans.append(_Span(lo, hi, body - X**2 / 2, gap))
            if k + 1 < len(increasing):
                height = _finite_limit(body, hi, -1)
        smallest = _assemble(spans)
        shift = self._least(smallest, spans)
        smallest = _shifted(smallest, shift)
        gaps = [(s.lo, s.hi) for s in spans if s.gap]
        exprs = tuple(
            OO if any(equal(a, lo) and equal(b, hi) for lo, hi in gaps) else e
            for e, (a, b) in zip(smallest.exprs, smallest.ends, strict=True)
        )
        largest = PiecewiseMap(smallest.breaks, exprs, smallest.values)
        return largest.simplified(), smallest.simplified()

    def _least(self, r: PiecewiseMap, spans: list[_Span]) -> Expr:
        """The least value of r at ends of spans and at fixed points of P with a closed form."""
        points: list[Expr] = [c for s in spans for c in (s.lo, s.hi) if c not in (OO, -OO)]
        for q in self.pieces:
            if q.kind != "arc":
                continue
            if less(q.lo, sp.Integer(0)) and less(sp.Integer(0), q.hi):
                points.append(q.p.subs(X, 0))
            with contextlib.suppress(Undecided):
                points += solve_level(sp.expand(q.p - X), sp.Integer(0), q.lo, q.hi).points
        values = [v for v in (r(c) for c in points) if v is not None and v not in (OO, -OO)]
        best = values[0] if values else sp.Integer(0)
        for v in values[1:]:
            best = v if compare(v, best) < 0 else best
        return best


@dataclass(frozen=True)
class _Span:
    """r on the open interval (lo, hi) of w; ``gap`` where P jumps over it."""

    lo: Expr
    hi: Expr
    r: Expr
    gap: bool


def _conjugate(q: GraphPiece) -> Expr:
    """phi*(w) on the image of an arc, up to a constant: the integral of P^-1, or w x - Phi(x) there."""
    inverse = invert(q.p, q.lo, q.hi)
    if inverse.is_polynomial(X):
        return sp.integrate(sp.expand(inverse), X)
    ends = limit_at(q.p, q.lo, 1), limit_at(q.p, q.hi, -1)
    try:
        return real_logs(_integral_with_logs(real_logs(inverse, *ends)), *ends)
    except Undecided:
        conjugate = X * inverse - antiderivative(q.p).subs(X, inverse)
        return real_logs(conjugate, *ends)


def real_logs(e: Expr, a: Expr, b: Expr) -> Expr:
    """e up to a constant, every log of a rational function on (a, b) as a sum of logs of positive factors."""

    def split(arg: Expr) -> Expr:
        if not arg.is_rational_function(X):
            return sp.log(arg)
        constant, total = sp.Integer(1), sp.Integer(0)
        for part, sign in zip(sp.fraction(sp.cancel(arg)), (1, -1), strict=True):
            content, factors = sp.factor_list(part, X)
            constant = constant * content**sign
            for factor, power in factors:
                s = sign_on(factor, a, b).value
                if s is None:
                    raise Undecided(f"the logarithm of {arg} between {a} and {b}")
                constant = constant * s**power
                total = total + sign * power * sp.log(s * factor)
        return total + sp.log(sp.Abs(constant))

    return sp.expand(e, log=False).replace(lambda n: n == sp.pi * sp.I, lambda _: sp.Integer(0)).replace(sp.log, split)


def _integral_with_logs(e: Expr) -> Expr:
    """An antiderivative; logs of linear terms by the textbook form (w + b/a) log(a w + b) - w."""
    total = sp.Integer(0)
    for term in sp.Add.make_args(e):
        coefficient, rest = term.as_independent(X, as_Add=False)
        if isinstance(rest, sp.log) and rest.args[0].is_polynomial(X) and sp.degree(rest.args[0], X) == 1:
            a, b = sp.Poly(rest.args[0], X).all_coeffs()
            total += coefficient * ((X + b / a) * rest - X)
        else:
            total += coefficient * antiderivative(rest)
    return total


def _finite_limit(e: Expr, at: Expr, side: int) -> Expr:
    value = limit_at(e, at, side)
    if value in (OO, -OO):
        raise Undecided(f"the regularizer is not finite at {at}, inside the range")
    return value


def _assemble(spans: list[_Span]) -> PiecewiseMap:
    """The spans of r side by side, closed at the ends of the range (lower semicontinuous), +oo outside."""
    breaks, exprs, values = [], [], []
    if spans[0].lo != -OO:
        breaks.append(spans[0].lo)
        exprs.append(OO)
        values.append(limit_at(spans[0].r, spans[0].lo, 1))
    for s in spans:
        exprs.append(_tidy(s.r))
        if s.hi != OO:
            breaks.append(s.hi)
            values.append(limit_at(s.r, s.hi, -1))
    if spans[-1].hi != OO:
        exprs.append(OO)
    return PiecewiseMap(tuple(breaks), tuple(exprs), tuple(values))


def _shifted(r: PiecewiseMap, shift: Expr) -> PiecewiseMap:
    move = sp.simplify(shift)
    return PiecewiseMap(
        r.breaks,
        tuple(e if e is OO else _tidy(e - move) for e in r.exprs),
        tuple(v if v is OO or v is None else sp.simplify(v - move) for v in r.values),
    )


def _tidy(e: Expr) -> Expr:
    if e is OO:
        return e
    if e.is_polynomial(X):
        full = sp.expand(e)
        square = sp.factor(full)
        return square if square.count_ops() < full.count_ops() else full
    return e


def check_monotone(m: PiecewiseMap) -> None:
    """Raise `InputError` with an exact point unless m is nondecreasing; `Undecided` if not settled."""
    for e, (a, b) in zip(m.exprs, m.ends, strict=True):
        if e.has(X):
            s = sign_on(sp.diff(e, X), a, b)
            if s.value is None or s.value < 0:
                where = s.negative if s.negative is not None else f"every x between {a} and {b}"
                raise InputError(f"a proximal map must be monotone, but this map decreases at x = {where}")
    for i, b in enumerate(m.breaks):
        lo, hi, v = m.left(i), m.right(i), m.values[i]
        if less(hi, lo):
            raise InputError(f"a proximal map must be monotone, but this map jumps downward at x = {b}")
        if v is not None and (less(v, lo) or less(hi, v)):
            raise InputError(f"a proximal map must be monotone, but its value {v} at x = {b} lies outside [{lo}, {hi}]")
        if lo in (OO, -OO) or hi in (OO, -OO):
            raise InputError(f"a proximal map must have a closed graph, but this map is unbounded beside x = {b}")
