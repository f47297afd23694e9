"""Exact graphs of monotone maps: arcs, flats and verticals, closed at every jump.

A proximal map is a monotone *set*: at a jump it contains at least both ends. The graph is stored as
a chain of parametric pieces (x(s), p(s)), s in an interval. Why parametric: inversion swaps the two
coordinates, change of mu is the shear (x, p) -> (p + k (x - p), p) with k = mu'/mu, and the
subdifferential of mu r is (p, x - p); each is a linear map of the pieces, exact and closed-form even
where no inverse function has one. Closed forms of P and r are needed only at the end, for printing.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise

import sympy as sp

from theory.analytic import Expr, antiderivative, is_zero, limit_at, shortened, sign_on, solve_level
from theory.errors import InputError, Undecided
from theory.exact import Certified, X, rational_between
from theory.exact import less as less_constants
from theory.implicit import Enclosed, enclose_to, isolate, solve_increasing
from theory.inverse import invert
from theory.maps import OO, PiecewiseMap
from theory.symbolic import MU, compare, edge, equal, less, sign, solve

ZERO, ONE = sp.Integer(0), sp.Integer(1)
S = sp.Symbol("s", real=True)


Known = tuple[Expr, Expr] | None


@dataclass(frozen=True)
class GraphPiece:
    """(x(s), p(s)) for s between ``lo`` and ``hi``, both expressions in the variable of maps.

    ``kind`` is arc (both strictly increasing), flat (p constant) or vertical (x constant).
    ``filled``: whether the inside belongs to the map; not so in a gap of its range, where the piece
    only closes the chain. ``known``: the values (x, p) at both ends where they are known already, as
    the slopes of tangents are, so that neighbouring pieces share them.
    """

    kind: str
    x: Expr
    p: Expr
    lo: Expr
    hi: Expr
    filled: bool = True
    known: tuple[Known, Known] = (None, None)

    @cached_property
    def from_x(self) -> Expr:
        return edge(self.x, self.lo, 1) if self.known[0] is None else self.known[0][0]

    @cached_property
    def to_x(self) -> Expr:
        return edge(self.x, self.hi, -1) if self.known[1] is None else self.known[1][0]

    @cached_property
    def from_p(self) -> Expr:
        return edge(self.p, self.lo, 1) if self.known[0] is None else self.known[0][1]

    @cached_property
    def to_p(self) -> Expr:
        return edge(self.p, self.hi, -1) if self.known[1] is None else self.known[1][1]

    @cached_property
    def p_of_x(self) -> Expr | None:
        """p as an expression in x, None without a closed form (and for a vertical)."""
        if self.kind == "vertical":
            return None
        return self.p if self.x == X or self.kind == "flat" else _composed(self.p, self._inverse_of_x, self.x)

    @cached_property
    def x_of_p(self) -> Expr | None:
        """x as an expression in p, None without a closed form (and for a flat)."""
        if self.kind == "flat":
            return None
        if self.p == X or self.kind == "vertical":
            return self.x
        return _composed(self.x, _inverse(self.p, self.lo, self.hi), self.p)

    def swapped(self) -> GraphPiece:
        kind = {"flat": "vertical", "vertical": "flat"}.get(self.kind, self.kind)
        known = tuple(None if end is None else (end[1], end[0]) for end in self.known)
        return GraphPiece(kind, self.p, self.x, self.lo, self.hi, self.filled, (known[0], known[1]))

    def parameter(self, x: Expr, exact: bool = False) -> Expr:
        """The s with x(s) = x, for x strictly between the ends of an arc; closed or a certified root.

        ``exact``: look for a closed form of this one s even where the inverse function has none.
        """
        if self.x == X:
            return x
        symbolic = x.has(MU) or self.x.has(MU)
        inverse = None if symbolic else self._inverse_of_x
        if inverse is not None:
            return inverse.subs(X, x)
        if exact or symbolic or (self.x.is_polynomial(X) and sp.degree(self.x, X) <= 2):
            with contextlib.suppress(Undecided):
                points = solve(self.x, x, self.lo, self.hi)
                if points:
                    return points[0]
        if symbolic:
            raise Undecided(f"the solution s of {self.x} = {x} has no closed form in mu; give mu as a number")
        return solve_increasing(self.x, x, self.lo, self.hi)

    @cached_property
    def _inverse_of_x(self) -> Expr | None:
        return _inverse(self.x, self.lo, self.hi)

    def at(self, x: Expr) -> Expr:
        """p at an exact x strictly between the ends of an arc or a flat: closed, or a certified root."""
        if self.kind == "flat":
            return self.p
        if self.p_of_x is not None:
            return self.p_of_x.subs(X, x)
        return self.p.subs(X, self.parameter(x))


def _inverse(e: Expr, lo: Expr, hi: Expr) -> Expr | None:
    try:
        return _inverse_in_mu(e) if e.has(MU) else invert(e, lo, hi)
    except Undecided:
        return None


def _inverse_in_mu(e: Expr) -> Expr | None:
    if e.is_polynomial(X) and sp.degree(e, X) == 1:
        a, b = sp.Poly(e, X).all_coeffs()
        return sp.factor_terms((X - b) / a)
    return None


def _composed(outer: Expr, inner: Expr | None, level: Expr) -> Expr | None:
    """outer(inner), where ``level`` is what inner inverts: its occurrences are the variable itself."""
    if inner is None:
        return None
    w = sp.Dummy("w", real=True)
    return outer.subs(level, w).subs(X, inner).subs(w, X)


def arc_or_flat(e: Expr, lo: Expr, hi: Expr) -> GraphPiece:
    """The graph of an expression over x in (lo, hi)."""
    return GraphPiece("arc" if e.has(X) else "flat", X, e, lo, hi)


def vertical(x: Expr, lo: Expr, hi: Expr, filled: bool = False) -> GraphPiece:
    """The jump at x from lo to hi; ``filled`` where P takes every value between."""
    return GraphPiece("vertical", x, X, lo, hi, filled)


@dataclass(frozen=True)
class Values:
    """P(x) at one x: its points in increasing order, each enclosed; ``filled``: all between belong to it."""

    points: tuple[Enclosed, ...]
    filled: bool


@dataclass(frozen=True)
class MonotoneGraph:
    """The closed graph of a monotone map: a chain of pieces in increasing order of x + p.

    Each piece starts where the one before ends. Raises `InputError` where it does not, or where a
    piece has floats.
    """

    pieces: tuple[GraphPiece, ...]

    def __post_init__(self) -> None:
        if not self.pieces:
            raise InputError("a monotone graph needs at least one piece")
        for q in self.pieces:
            for e in (q.x, q.p, q.lo, q.hi):
                if e.has(sp.Float):
                    raise InputError(f"floats are refused in exact graphs: {e}")

    @classmethod
    def of(cls, prox: PiecewiseMap) -> MonotoneGraph:
        """The graph of a map; raises `InputError` naming the place where it is not monotone."""
        if prox.windowed:
            raise Undecided("a map with infinitely many breakpoints has no finite graph")
        check_monotone(prox)
        pieces: list[GraphPiece] = []
        for i, (e, (a, b)) in enumerate(zip(prox.exprs, prox.ends, strict=True)):
            pieces.append(arc_or_flat(e, a, b))
            if i < len(prox.breaks):
                lo, hi = prox.left(i), prox.right(i)
                if not equal(lo, hi):
                    pieces.append(vertical(b, lo, hi))
        return cls(tuple(pieces))

    # ---- looking at it

    @property
    def gaps(self) -> tuple[tuple[Expr, Expr, Expr], ...]:
        """The jumps over which P takes no value: (x, from, to)."""
        return tuple((q.x, q.lo, q.hi) for q in self.pieces if q.kind == "vertical" and not q.filled)

    @property
    def verticals(self) -> tuple[GraphPiece, ...]:
        return tuple(q for q in self.pieces if q.kind == "vertical")

    def check(self) -> None:
        """Raise `InputError` naming the point unless the pieces are monotone and form one chain."""
        for before, after in pairwise(self.pieces):
            if not equal(before.to_x, after.from_x) or not equal(before.to_p, after.from_p):
                raise InputError(
                    f"a monotone graph is one chain, but a piece ends at ({before.to_x}, {before.to_p}) "
                    f"and the next starts at ({after.from_x}, {after.from_p})"
                )
        for q in self.pieces:
            for e in (q.x, q.p):
                _check_increasing(e, q)

    def values(self, x: Expr, digits: int = 15) -> Values:
        """P(x), every point of it enclosed to ``digits`` decimals; at a jump both ends.

        Raises `InputError` outside the domain, `Undecided` where x cannot be told from a breakpoint
        or the accuracy is not reached. Source: docs/mathematics.md, section 1.
        """
        found, filled = self._at(x)
        return Values(tuple(enclose_to(c, digits) for c in found), filled)

    def _at(self, x: Expr) -> tuple[list[Expr], bool]:
        """The points of P(x) as exact constants or certified roots, and whether it is a whole interval."""
        found: list[Expr] = []
        filled = False
        for q in self.pieces:
            start = compare(q.from_x, x)
            if start > 0:
                break
            end = compare(x, q.to_x)
            if end > 0:
                continue
            if q.kind == "vertical":
                filled = filled or q.filled
                found += [q.to_p] if found else [q.from_p, q.to_p]
            elif start < 0 and end < 0:
                if not q.filled:
                    raise InputError(f"this map has no value at x = {x}: none between {q.from_x} and {q.to_x}")
                return [q.at(x)], False
            elif q.filled and not found:
                found.append(q.from_p if start == 0 else q.to_p)
        if not found:
            raise InputError(
                f"this map has no value at x = {x}: it lives on [{self.pieces[0].from_x}, {self.pieces[-1].to_x}]"
            )
        return found, filled

    def to_map(self, tie: str = "lower") -> PiecewiseMap:
        """One selection of the map: at each jump its ``lower`` or ``upper`` end.

        Raises `Undecided` where a piece has no closed form in x, `InputError` where the map does not
        live on the whole line.
        """
        if tie not in ("lower", "upper"):
            raise InputError(f"a selection takes the lower or the upper end of a jump, not {tie!r}")
        first, last = self.pieces[0], self.pieces[-1]
        if first.from_x != -OO or last.to_x != OO:
            raise InputError(f"this map lives on [{first.from_x}, {last.to_x}] only, not on the whole line")
        breaks: list[Expr] = []
        exprs: list[Expr] = []
        values: list[Expr | None] = []
        pieces = self._halved("p_of_x")
        for k, q in enumerate(pieces):
            if q.kind == "vertical":
                continue
            e = q.p_of_x
            if e is None:
                raise Undecided(f"the solution of {q.x.subs(X, S)} = x in s has no closed form in the grammar")
            if exprs:
                between = [v for v in pieces[:k] if v.kind == "vertical" and v.x == q.from_x]
                breaks.append(q.from_x)
                low = between[0].from_p if between else q.from_p
                values.append(low if tie == "lower" else q.from_p)
            exprs.append(e)
        return PiecewiseMap(tuple(breaks), tuple(exprs), tuple(values)).simplified()

    def _halved(self, form: str) -> tuple[GraphPiece, ...]:
        """The pieces, arcs cut at s = 0 where that gives them the closed form they lack (odd powers)."""
        pieces: list[GraphPiece] = []
        for q in self.pieces:
            if q.kind == "arc" and getattr(q, form) is None and less(q.lo, ZERO) and less(ZERO, q.hi):
                halves = [replace(q, hi=ZERO, known=(q.known[0], None)), replace(q, lo=ZERO, known=(None, q.known[1]))]
                if all(getattr(h, form) is not None for h in halves):
                    pieces += halves
                    continue
            pieces.append(q)
        return tuple(pieces)

    def agrees(self, other: MonotoneGraph) -> bool:
        """Whether both are the same set, gaps included; proved. Raises `Undecided` otherwise."""
        if not _same_profile(self._flats(), other._flats()):
            return False
        with contextlib.suppress(Undecided):
            return _same_profile(self._rises("p"), other._rises("p"))
        jumps = [[(q.lo, q.hi, q.x, q.filled) for q in g.verticals] for g in (self, other)]
        return _same_profile(*jumps) and _same_profile(self._rises("x"), other._rises("x"))

    def _flats(self) -> list[_Stretch]:
        return [(q.from_x, q.to_x, q.p, q.filled) for q in self.pieces if q.kind == "flat"]

    def _rises(self, axis: str) -> list[_Stretch]:
        """The stretches over p (arcs and verticals) or over x (arcs alone)."""
        found: list[_Stretch] = []
        form = "x_of_p" if axis == "p" else "p_of_x"
        for q in self._halved(form):
            if q.kind == "flat" or (axis == "x" and q.kind == "vertical"):
                continue
            e = q.x if q.kind == "vertical" else getattr(q, form)
            if e is None:
                raise Undecided(f"the piece ({q.x}, {q.p}) has no closed form")
            ends = (q.from_p, q.to_p) if axis == "p" else (q.from_x, q.to_x)
            found.append((*ends, e, q.filled))
        return found

    # ---- changing it

    def largest(self) -> MonotoneGraph:
        """The reading of r = +oo on every jump: two values there."""
        return self._filling(False)

    def smallest(self) -> MonotoneGraph:
        """The reading of the least r: the whole interval at every jump."""
        return self._filling(True)

    def _filling(self, filled: bool) -> MonotoneGraph:
        return MonotoneGraph(tuple(replace(q, filled=filled) if q.kind == "vertical" else q for q in self.pieces))

    def inverse(self) -> MonotoneGraph:
        """The graph of the inverse: (x, p) -> (p, x). A gap of the range becomes a gap of the domain."""
        return MonotoneGraph(tuple(q.swapped() for q in self.pieces))

    def plus_identity(self, c: Expr = ONE) -> MonotoneGraph:
        """The graph of P + c id: (x, p) -> (x, p + c x). Raises `InputError` where that is not monotone."""
        return self._linear(lambda x, _: x, lambda x, p: p + c * x)

    def shear(self, k: Expr) -> MonotoneGraph:
        """(x, p) -> (p + k (x - p), p), the change of mu by the factor k > 0.

        Raises `InputError` naming the point where the image is not monotone: a nonconvex r has to be
        convexified there (`theory.proximal.evolve`). Source: docs/mathematics.md, section 1, "Change of mu".
        """
        if sign(k) <= 0:
            raise InputError(f"mu must stay positive, but its factor is {k}")
        return self._linear(lambda x, p: p + k * (x - p), lambda _, p: p)

    def change_mu(self, mu: Expr, to: Expr) -> MonotoneGraph:
        """The proximal map of the same convex r at another mu. Raises `InputError` as `shear` does."""
        for m in (mu, to):
            if sign(m) <= 0:
                raise InputError(f"mu must be positive, not {m}")
        return self.shear(to / mu)

    def _linear(self, x: Callable[[Expr, Expr], Expr], p: Callable[[Expr, Expr], Expr]) -> MonotoneGraph:
        pieces = []
        for q in self.pieces:
            new_x, new_p = (_tidy(f(q.x, q.p)) for f in (x, p))
            kind = "flat" if not new_p.has(X) else "vertical" if not new_x.has(X) else "arc"
            known = tuple(None if end is None else (x(*end), p(*end)) for end in q.known)
            image = GraphPiece(kind, new_x, new_p, q.lo, q.hi, q.filled, (known[0], known[1]))
            pieces.append(_straightened(image))
            for e in (new_x, new_p):
                _check_increasing(e, q)
        return MonotoneGraph(tuple(pieces))

    def restrict(self, lo: Expr, hi: Expr) -> MonotoneGraph:
        """The part over lo <= x <= hi. Raises `InputError` if nothing of the map lies there."""
        if compare(lo, hi) > 0:
            raise InputError(f"the interval from {lo} to {hi} is empty")
        pieces = []
        for q in self.pieces:
            if q.kind == "vertical":
                if compare(lo, q.x) <= 0 and compare(q.x, hi) <= 0:
                    pieces.append(q)
                continue
            if compare(q.to_x, lo) <= 0 or compare(hi, q.from_x) <= 0:
                continue
            low, high = less(q.from_x, lo), less(hi, q.to_x)
            a, b = q.parameter(lo, exact=True) if low else q.lo, q.parameter(hi, exact=True) if high else q.hi
            start = (lo, q.at(lo)) if low else q.known[0]
            stop = (hi, q.at(hi)) if high else q.known[1]
            pieces.append(replace(q, lo=a, hi=b, known=(start, stop)))
        if not pieces:
            raise InputError(f"nothing of the map lies over the interval from {lo} to {hi}")
        return MonotoneGraph(tuple(pieces))

    def compose(self, inner: MonotoneGraph) -> MonotoneGraph:
        """The graph of self(inner(x)), set-valued: an unfilled jump of the inner map stays a gap.

        Raises `InputError` where the outer map has no value, or jumps at a level on which the inner
        map is flat (the composition is then not monotone); `Undecided` where a piece of neither has
        a closed form over the level between them.
        """
        pieces: list[GraphPiece] = []
        for q in inner.pieces:
            if q.kind == "flat":
                level, _ = self._at(q.p)
                if len(level) > 1:
                    raise InputError(
                        f"the outer map jumps at {q.p}, where the inner map is flat: the composition is not monotone"
                    )
                pieces.append(GraphPiece("flat", X, level[0], q.from_x, q.to_x, q.filled))
                continue
            part = self._between(q.from_p, q.to_p)
            if q.kind == "vertical":
                low, high = part[0].from_p, part[-1].to_p
                if not q.filled:
                    # the two ends of the jump have images; a jump of the outer map at an end belongs to it
                    ends = [e for p in (q.lo, q.hi) for e in self._at(p)[0]]
                    chain = [low, *(e for e in ends if less(low, e) and less(e, high)), high]
                    pieces += [vertical(q.x, a, b) for a, b in pairwise(chain) if less(a, b)]
                else:
                    pieces += [vertical(q.x, t.from_p, t.to_p, t.filled) for t in part if t.kind != "flat"]
                continue
            for t in part:
                pieces.append(_joined(q, t))
        return MonotoneGraph(_merged(pieces))

    def _between(self, lo: Expr, hi: Expr) -> tuple[GraphPiece, ...]:
        """The part of the outer graph over the levels (lo, hi), verticals at attained ends left out."""
        first, last = self.pieces[0], self.pieces[-1]
        if less(lo, first.from_x) or less(last.to_x, hi):
            raise InputError(
                f"the outer map lives on [{first.from_x}, {last.to_x}] only, but the inner map takes "
                f"values from {lo} to {hi}"
            )
        part = self.restrict(lo, hi).pieces
        return tuple(q for q in part if q.kind != "vertical" or (less(lo, q.x) and less(q.x, hi)))

    # ---- the regularizer

    def regularizers(self) -> tuple[PiecewiseMap, PiecewiseMap]:
        """(largest, smallest) r with P = prox of r at mu = 1, from phi* = r + w^2/2, phi*' = P^-1.

        The smallest is finite and fills the gaps of P's range, the largest is +oo there. Up to one
        constant, chosen so that the least of r's values at breakpoints and at fixed points of P is
        0. Raises `Undecided` where no closed form is found. Source: docs/mathematics.md, section 1.
        """
        spans: list[_Span] = []
        height: Expr = ZERO  # phi* at the left end of the span
        increasing = [q for q in self._halved("x_of_p") if q.kind != "flat"]
        if not increasing:
            single = PiecewiseMap.build([self.pieces[0].p], [OO, OO], [0])
            return single, single
        for k, q in enumerate(increasing):
            lo, hi = q.from_p, q.to_p
            body = q.x * X if q.kind == "vertical" else _conjugate(q)
            if k > 0:
                body = body - _finite_limit(body, lo, 1) + height
            spans.append(_Span(lo, hi, body - X**2 / 2, q.kind == "vertical" and not q.filled))
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
            if less(q.from_x, ZERO) and less(ZERO, q.to_x):
                found = q.at(ZERO)
                points += [found] if not found.atoms(Certified) else []
            with contextlib.suppress(Undecided):
                points += [q.p.subs(X, c) for c in solve_level(sp.expand(q.p - q.x), ZERO, q.lo, q.hi).points]
        values = [v for v in (r(c) for c in points) if v is not None and v not in (OO, -OO)]
        best = values[0] if values else ZERO
        for v in values[1:]:
            best = v if compare(v, best) < 0 else best
        return best

    def weak_convexity(self) -> Expr | None:
        """The least rho >= 0 with r + rho w^2/2 convex at mu = 1: 1 - inf dx/dp, or 0 if that is negative.

        +oo where P leaves a gap, None where the infimum has no certified value. Source: derived from
        r' = x - p along the graph (docs/mathematics.md, section 1).
        """
        if self.gaps:
            return OO
        least: Expr = OO
        for q in self.pieces:
            if q.kind == "flat":
                continue
            try:
                slope = _least_ratio(q)
            except Undecided:
                return None
            least = slope if less(slope, least) else least
        return ZERO if least == OO or compare(least, sp.Integer(1)) >= 0 else 1 - least

    # ---- writing

    def rows(self) -> list[tuple[str, str]]:
        """Each piece as (where, what) in LaTeX, for notebooks."""
        rows = []
        for q in self.pieces:
            if q.kind == "vertical":
                brackets = (r"\left[", r"\right]") if q.filled else (r"\left\{", r"\right\}")
                rows.append((f"x = {sp.latex(q.x)}", rf"{brackets[0]}{sp.latex(q.lo)},\ {sp.latex(q.hi)}{brackets[1]}"))
                continue
            where = " < ".join(
                [*([sp.latex(q.from_x)] if q.from_x != -OO else []), "x"] + ([sp.latex(q.to_x)] if q.to_x != OO else [])
            )
            if q.from_x == -OO and q.to_x == OO:
                where = r"x \in \mathbb{R}"
            e = q.p_of_x
            implicit = rf"{sp.latex(q.p.subs(X, S))},\quad {sp.latex(q.x.subs(X, S))} = x"
            what = implicit if e is None else sp.latex(e)
            rows.append((where, what if q.filled else r"\varnothing"))
        return rows

    def latex(self) -> str:
        """P(x) by pieces; an arc without a closed form by its parameter s."""
        inside = r"\\ ".join(rf"{what} & {where}" for where, what in self.rows())
        return rf"P(x) = \begin{{cases}}{inside}\end{{cases}}"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"

    def _repr_html_(self) -> str:
        cells = "".join(f"<tr><td>${where}$</td><td>${what}$</td></tr>" for where, what in self.rows())
        return f"<table><thead><tr><th>x</th><th>P(x)</th></tr></thead><tbody>{cells}</tbody></table>"


_Stretch = tuple[Expr, Expr, Expr, bool]  # from, to, expression over it, whether it is filled


def _same_profile(a: list[_Stretch], b: list[_Stretch]) -> bool:
    """Whether two lists of stretches describe one function with one filling."""
    first, second = _cells(a, b), _cells(b, a)
    if len(first) != len(second):
        return False
    for (lo, hi, e, filled), (lo2, hi2, e2, filled2) in zip(first, second, strict=True):
        if not equal(lo, lo2) or not equal(hi, hi2) or filled != filled2:
            return False
        if e != e2 and not _vanishes(e - e2, lo, hi):
            return False
    return True


def _vanishes(e: Expr, lo: Expr, hi: Expr) -> bool:
    """`is_zero`, and where that is open by a derivative that vanishes and one value."""
    try:
        return is_zero(e, lo, hi)
    except Undecided:
        middle = rational_between(lo, hi)
        return is_zero(sp.diff(e, X), lo, hi) and sign(e.subs(X, middle)) == 0


def _cells(stretches: list[_Stretch], others: list[_Stretch]) -> list[_Stretch]:
    """The stretches, cut at the ends of the others."""
    cells: list[_Stretch] = []
    cuts = [c for o in others for c in o[:2]]
    for lo, hi, e, filled in stretches:
        inside: list[Expr] = [lo]
        for c in cuts:
            if less(inside[-1], c) and less(c, hi):
                inside.append(c)
        cells += [(a, b, e, filled) for a, b in pairwise([*inside, hi])]
    return cells


def _straightened(q: GraphPiece) -> GraphPiece:
    """The same piece over x where it is flat."""
    return GraphPiece("flat", X, q.p, q.from_x, q.to_x, q.filled) if q.kind == "flat" else q


def _joined(inner: GraphPiece, outer: GraphPiece) -> GraphPiece:
    """An arc of the inner map followed by one piece of the outer map over a part of its levels."""
    lo, hi = _over(inner, outer.from_x, outer.to_x)
    if outer.kind == "flat":
        ends = (edge(inner.x, lo, 1), edge(inner.x, hi, -1))
        return GraphPiece("flat", X, outer.p, *ends, inner.filled and outer.filled)
    if outer.kind == "vertical":
        return vertical(inner.x.subs(X, lo), outer.lo, outer.hi, outer.filled)
    if outer.p_of_x is not None:
        return GraphPiece("arc", inner.x, outer.p_of_x.subs(X, inner.p), lo, hi, inner.filled and outer.filled)
    x_of_p = inner.x_of_p
    if x_of_p is None:
        raise Undecided(f"the levels between {outer.from_x} and {outer.to_x} have no closed form on either side")
    return GraphPiece("arc", x_of_p.subs(X, outer.x), outer.p, outer.lo, outer.hi, inner.filled and outer.filled)


def _over(q: GraphPiece, low: Expr, high: Expr) -> tuple[Expr, Expr]:
    """The parameters of an arc at which p takes two levels, or its own ends beyond them."""
    flipped = q.swapped()
    a = flipped.parameter(low, exact=True) if less(q.from_p, low) else q.lo
    b = flipped.parameter(high, exact=True) if less(high, q.to_p) else (q.hi if not equal(low, high) else a)
    return a, b


def _merged(pieces: list[GraphPiece]) -> tuple[GraphPiece, ...]:
    """Neighbouring flats of one level as one."""
    out: list[GraphPiece] = []
    for q in pieces:
        if out and out[-1].kind == q.kind == "flat" and out[-1].filled == q.filled and equal(out[-1].p, q.p):
            out[-1] = GraphPiece("flat", X, q.p, out[-1].from_x, q.to_x, q.filled)
        else:
            out.append(q)
    return tuple(out)


def _check_increasing(e: Expr, q: GraphPiece) -> None:
    """Raise `InputError` naming the point where a coordinate of a piece decreases."""
    slope = sp.diff(e, X)
    if not slope.has(X):
        if sign(slope) < 0:
            raise InputError(f"a monotone graph was expected, but it turns back from x = {q.from_x}, p = {q.from_p} on")
        return
    if slope.has(MU):
        raise Undecided(f"whether {e} increases depends on mu; give mu as a number")
    found = sign_on(slope, q.lo, q.hi)
    if found.value is None or found.value < 0:
        s = found.negative if found.negative is not None else (q.lo + q.hi) / 2
        where = f"x = {q.x.subs(X, s)}, p = {q.p.subs(X, s)}"
        raise InputError(f"a monotone graph was expected, but it turns back at {where}")


def _least_ratio(q: GraphPiece) -> Expr:
    """The infimum of dx/dp over a piece."""
    ratio = sp.diff(q.x, X) / sp.diff(q.p, X)
    ratio = sp.cancel(ratio) if ratio.is_rational_function(X) else ratio
    if q.kind == "vertical" or not ratio.has(X):
        return ratio if q.kind != "vertical" else ZERO
    best = min_of(edge(ratio, q.lo, 1), edge(ratio, q.hi, -1))
    if ratio.has(MU):
        base, rate = sp.expand(ratio).coeff(MU, 0), sp.expand(ratio).coeff(MU, 1)
        if sp.expand(ratio - base - MU * rate) != 0 or base.has(X):
            raise Undecided(f"the least slope {ratio} depends on mu")
        turns = _turning_points(rate, q.lo, q.hi)
    else:
        turns = _turning_points(ratio, q.lo, q.hi)
    for s in turns:
        best = min_of(best, ratio.subs(X, s))
    return best


def _turning_points(e: Expr, lo: Expr, hi: Expr) -> list[Expr]:
    slope = sp.diff(e, X)
    slope = sp.cancel(slope) if slope.is_rational_function(X) else slope
    if not slope.has(X) or sign_on(slope, lo, hi).value is not None:
        return []
    try:
        return list(solve(slope, ZERO, lo, hi))
    except Undecided:
        return list(isolate(slope, lo, hi))


def min_of(a: Expr, b: Expr) -> Expr:
    """The smaller of two exact constants."""
    return a if compare(a, b) <= 0 else b


@dataclass(frozen=True)
class _Span:
    """r on the open interval (lo, hi) of w; ``gap`` where P jumps over it."""

    lo: Expr
    hi: Expr
    r: Expr
    gap: bool


def _conjugate(q: GraphPiece) -> Expr:
    """phi*(w) on the image of an arc, up to a constant: the integral of P^-1, or w x - Phi(x) there."""
    if q.x != X:
        inverse = q.x_of_p
        if inverse is None:
            raise Undecided(f"the inverse of {q.p} has no closed form in the grammar")
        return _primitive(inverse, q.from_p, q.to_p)
    inverse = invert(q.p, q.lo, q.hi)
    if inverse.is_polynomial(X):
        return sp.integrate(sp.expand(inverse), X)
    ends = limit_at(q.p, q.lo, 1), limit_at(q.p, q.hi, -1)
    try:
        return real_logs(_integral_with_logs(real_logs(inverse, *ends)), *ends)
    except Undecided:
        conjugate = X * inverse - antiderivative(q.p).subs(X, inverse)
        return real_logs(conjugate, *ends)


def _primitive(e: Expr, lo: Expr, hi: Expr) -> Expr:
    """An antiderivative of e on (lo, hi), with real logarithms."""
    if e.is_polynomial(X):
        return sp.integrate(sp.expand(e), X)
    integral = _integral_with_logs(real_logs(e, lo, hi)) if e.has(sp.log) else antiderivative(e)
    return real_logs(integral, lo, hi) if integral.has(sp.log) else integral


def real_logs(e: Expr, a: Expr, b: Expr) -> Expr:
    """e up to a constant, every log of a rational function on (a, b) as a sum of logs of positive factors."""

    def split(arg: Expr) -> Expr:
        if not arg.is_rational_function(X):
            return sp.log(arg)
        constant, total = sp.Integer(1), sp.Integer(0)
        for part, side in zip(sp.fraction(sp.cancel(arg)), (1, -1), strict=True):
            content, factors = sp.factor_list(part, X)
            constant = constant * content**side
            for factor, power in factors:
                s = sign_on(factor, a, b).value
                if s is None:
                    raise Undecided(f"the logarithm of {arg} between {a} and {b}")
                constant = constant * s**power
                total = total + side * power * sp.log(s * factor)
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
    move = shortened(shift)
    return PiecewiseMap(
        r.breaks,
        tuple(e if e is OO else _tidy(e - move) for e in r.exprs),
        tuple(v if v is OO or v is None else shortened(v - move) for v in r.values),
    )


def _tidy(e: Expr) -> Expr:
    if e is OO:
        return e
    if e.is_polynomial(X):
        full = sp.expand(e)
        if full.has(sp.exp):
            return full  # exp(-10000) would be factored as a power of E
        square = sp.factor(full)
        return square if square.count_ops() < full.count_ops() else full
    return e


def check_monotone(m: PiecewiseMap) -> None:
    """Raise `InputError` with an exact point unless m is nondecreasing; `Undecided` if not settled."""
    for e, (a, b) in zip(m.exprs, m.ends, strict=True):
        if e.has(X):
            s = sign_on(sp.diff(e, X), a, b)
            if s.value is None or s.value < 0:
                where = f"{rational_between(a, b)} and everywhere between {a} and {b}"
                where = where if s.negative is None else str(s.negative)
                raise InputError(f"a proximal map must be monotone, but this map decreases at x = {where}")
    for i, b in enumerate(m.breaks):
        lo, hi, v = m.left(i), m.right(i), m.values[i]
        if less_constants(hi, lo):
            raise InputError(f"a proximal map must be monotone, but this map jumps downward at x = {b}")
        if v is not None and (less_constants(v, lo) or less_constants(hi, v)):
            raise InputError(f"a proximal map must be monotone, but its value {v} at x = {b} lies outside [{lo}, {hi}]")
        if lo in (OO, -OO) or hi in (OO, -OO):
            raise InputError(f"a proximal map must have a closed graph, but this map is unbounded beside x = {b}")
