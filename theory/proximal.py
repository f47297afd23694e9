"""From a regularizer to its proximal map, back, and to another mu, exactly.

    P_r^mu(x) = argmin_w (w - x)^2/(2 mu) + r(w),    graph of P = inverse of the subdifferential of psi**

with psi = mu r + w^2/2. psi is cut into convex arcs and points, ordered by w; concave stretches touch
the envelope psi** at their ends only. The conjugates phi_i(x) = max_w x w - psi_i(w) of two of them
cross once (phi_i - phi_j has the slope w_i(x) - w_j(x) <= 0 for i left of j), so the map is read off
their upper envelope: a stack of arcs with increasing crossings. A crossing is a common tangent of
psi, Maxwell's equal areas, and a jump of P. Crossings without a closed form are certified roots.
Source: docs/mathematics.md, section 1.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import Expr, antiderivative, is_zero, sign_on, sort_exact
from theory.balls import arb
from theory.deadline import limit
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import Certified, X, as_exact, enclose, precision, rational_between
from theory.graphs import (
    ONE,
    ZERO,
    GraphPiece,
    Known,
    MonotoneGraph,
    Values,
    arc_or_flat,
    vertical,
)
from theory.implicit import Enclosed, crossing, enclose_to, isolate, short_rational, solve_increasing
from theory.maps import OO, PiecewiseMap
from theory.symbolic import MU, compare, edge, equal, less, sign, solve

READINGS = ("largest", "smallest")
_SOLVE = 1.0  # seconds for one search for roots in closed form


# --------------------------------------------------------------------------- arcs of psi


@dataclass(frozen=True)
class Arc:
    """A convex part of psi, parametric: w(s) strictly increasing, the slope x(s) = psi'(w(s)) nondecreasing.

    A point if lo == hi: then ``w`` and ``psi`` are constants. ``psi`` is None where the integral of
    x dw has no closed form. ``joined``: psi is known to continue the arc before without a jump.
    """

    lo: Expr
    hi: Expr
    w: Expr
    x: Expr
    psi: Expr | None
    joined: bool = False
    known: tuple[Known, Known] = (None, None)  # (slope, w) at both ends, where they are known already

    @property
    def point(self) -> bool:
        return bool(self.lo == self.hi)

    @cached_property
    def straight(self) -> bool:
        """Whether psi is affine here: P takes the whole interval at one x."""
        return not self.point and not self.x.has(X)

    @cached_property
    def from_w(self) -> Expr:
        return edge(self.w, self.lo, 1) if self.known[0] is None else self.known[0][1]

    @cached_property
    def to_w(self) -> Expr:
        return edge(self.w, self.hi, -1) if self.known[1] is None else self.known[1][1]

    @cached_property
    def from_x(self) -> Expr:
        if self.known[0] is not None:
            return self.known[0][0]
        return -OO if self.point else edge(self.x, self.lo, 1)

    @cached_property
    def to_x(self) -> Expr:
        if self.known[1] is not None:
            return self.known[1][0]
        return OO if self.point else edge(self.x, self.hi, -1)

    @property
    def value(self) -> Expr:
        if self.psi is None:
            raise Undecided(f"the integral of {self.x} over {self.w} has no closed form, so areas are not compared")
        return self.psi

    @cached_property
    def from_psi(self) -> Expr:
        return edge(self.value, self.lo, 1)

    @cached_property
    def to_psi(self) -> Expr:
        return edge(self.value, self.hi, -1)

    def mode(self, x: Expr) -> int:
        """Where the tangent of slope x touches: -1 the left end, 1 the right end, 0 inside."""
        if self.point or compare(x, self.from_x) <= 0:
            return -1
        return 1 if compare(self.to_x, x) <= 0 else 0

    def touching(self, x: Expr, upper: bool = False) -> Expr:
        """The parameter at which the tangent of slope x touches; on a straight arc the end asked for."""
        if self.straight and equal(x, self.from_x):
            return self.hi if upper else self.lo
        where = self.mode(x)
        if where:
            return self.lo if where < 0 else self.hi
        return contact(self, x)

    def at(self, e: Expr, s: Expr) -> Expr:
        """An expression of the parameter at s in [lo, hi]."""
        return edge(e, s, -1 if s == self.hi else 1) if s in (self.lo, self.hi) else e.subs(X, s)

    def conjugate(self, x: Expr) -> Expr:
        """phi(x) = max_w x w - psi(w) over this arc."""
        s = self.touching(x)
        return x * self.at(self.w, s) - self.at(self.value, s)


@lru_cache(maxsize=2000)
def contact(arc: Arc, x: Expr) -> Expr:
    """The s inside the arc with slope x: in closed form where one is found, else a certified root."""
    if arc.x == X:
        return x
    points = closed_solutions(arc.x, x, arc.lo, arc.hi)
    if points:
        return points[0]
    if arc.x.has(MU) or x.has(MU):
        raise Undecided(f"the solution of {arc.x} = {x} has no closed form in mu; give mu as a number")
    return solve_increasing(arc.x, x, arc.lo, arc.hi)


def closed_solutions(e: Expr, level: Expr, lo: Expr, hi: Expr) -> tuple[Expr, ...] | None:
    """All s in (lo, hi) with e(s) = level in closed form, None where none was found in time."""
    with contextlib.suppress(Undecided, OutOfTime), limit(_SOLVE):
        return solve(e, level, lo, hi)
    with contextlib.suppress(Undecided, OutOfTime), limit(_SOLVE):
        return _by_radical(e - level, lo, hi)
    return None


def _by_radical(e: Expr, lo: Expr, hi: Expr) -> tuple[Expr, ...]:
    """The zeros of a rational function of one root t = (a s + b)^(1/q) of a linear term and of s."""
    radicals = [n for n in e.atoms(sp.Pow) if n.has(X) and not n.exp.is_Integer and n.exp.is_Rational]
    bases = {n.base for n in radicals}
    if len(bases) != 1 or not (base := bases.pop()).is_polynomial(X) or sp.degree(base, X) != 1:
        raise Undecided(f"the zeros of {e}")
    t = sp.Symbol("t", positive=True)
    q = sp.Integer(math.lcm(*(int(n.exp.q) for n in radicals)))
    a, b = sp.Poly(base, X).all_coeffs()
    f = sp.together(e.subs(base, t**q).subs(X, (t**q - b) / a))
    numerator = sp.fraction(sp.cancel(f))[0]
    if not numerator.is_polynomial(t):
        raise Undecided(f"the zeros of {e}")
    ends = sort_exact([_root_of(base, c, q) for c in (lo, hi)])
    found = solve(numerator.subs(t, X), ZERO, ends[0], ends[1])
    return tuple(sort_exact([(c**q - b) / a for c in found]))


def _root_of(base: Expr, c: Expr, q: Expr) -> Expr:
    """The root of the linear base at an end of its domain, +oo allowed."""
    return OO if c in (OO, -OO) else base.subs(X, c) ** (1 / q)


def monotone_parts(x: Expr, lo: Expr, hi: Expr) -> list[tuple[Expr, Expr, int]]:
    """(lo, hi) cut where the slope x(s) turns, with the sign of x' on each part."""
    rate = sp.diff(x, X)
    if rate.has(MU):
        # 1 + mu r'' for a convex piece of r, whatever mu is
        second = sp.expand(rate).coeff(MU, 1)
        found = sign_on(second, lo, hi).value if second.has(X) else sign(second)
        if sp.expand(rate - 1 - MU * second) != 0 or found is None or found < 0:
            raise Undecided(f"the cases depend on mu: r is not convex between {lo} and {hi}; give mu as a number")
        return [(lo, hi, 1)]
    if not rate.has(X):
        return [(lo, hi, sign(rate))]
    whole = sign_on(rate, lo, hi).value
    if whole is not None:
        return [(lo, hi, whole)]
    closed = closed_solutions(rate, ZERO, lo, hi)
    cuts = list(isolate(rate, lo, hi)) if closed is None else list(closed)
    return [(a, b, _sign_inside(rate, a, b)) for a, b in pairwise([lo, *cuts, hi])]


def _sign_inside(e: Expr, a: Expr, b: Expr) -> int:
    """The sign of e between two neighbouring zeros."""
    return sign(e.subs(X, rational_between(a, b)))


# --------------------------------------------------------------------------- from r to arcs


def _arcs_of(r: PiecewiseMap, mu: Expr) -> tuple[list[Arc], list[str]]:
    """psi as convex arcs and points in order of w, with notes on what lower semicontinuity changed."""
    arcs: list[Arc] = []
    notes: list[str] = []
    _check_values(r)
    for i, (e, (a, b)) in enumerate(zip(r.exprs, r.ends, strict=True)):
        if e is not OO:
            arcs += _parts(e, mu, a, b)
        if i < len(r.breaks):
            arcs += _at_break(r, i, mu, notes)
    if not arcs:
        raise InputError("empty domain: a regularizer must be finite somewhere, this one is +oo everywhere")
    return _undominated(arcs), notes


def _check_values(r: PiecewiseMap) -> None:
    if r.windowed:
        raise Undecided("a regularizer with infinitely many pieces")
    for e, (a, b) in zip(r.exprs, r.ends, strict=True):
        if e is not OO and e.has(OO, -OO, sp.nan, sp.zoo):
            raise InputError(f"a regularizer must be real or +oo, but this one is {e} between {a} and {b}")
    for v, b in zip(r.values, r.breaks, strict=True):
        if v is not None and v is not OO and v.has(OO, -OO, sp.nan, sp.zoo):
            raise InputError(f"a regularizer must be real or +oo, but this one is {v} at {b}")


def _parts(e: Expr, mu: Expr, a: Expr, b: Expr) -> list[Arc]:
    """The convex parts of psi on the open piece (a, b) of r, and the finite ends of the others."""
    psi = sp.expand(mu * e + X**2 / 2) if e.is_polynomial(X) else mu * e + X**2 / 2
    slope = _shorter(_without_mixed_powers(sp.diff(psi, X), a, b), mu)
    found: list[Arc] = []
    for lo, hi, s in monotone_parts(slope, a, b):
        arc = Arc(lo, hi, X, slope, psi)
        for end, side in ((lo, 1), (hi, -1)):
            _check_end(arc, end, side, s, mu)
        if s >= 0:
            found.append(arc)
            continue
        for end, side in ((lo, 1), (hi, -1)):
            if end not in (OO, -OO):
                value = edge(psi, end, side)
                found += [] if value is OO else [Arc(end, end, end, ZERO, value)]
    return found


def _without_mixed_powers(e: Expr, lo: Expr, hi: Expr) -> Expr:
    """Powers of x and of -x brought together on one side of 0, as in (-x)**(4/3)/x."""
    if all(n.exp.is_Integer for n in e.atoms(sp.Pow) if n.has(X)):
        return e
    side = 1 if compare(lo, ZERO) >= 0 else -1 if compare(hi, ZERO) <= 0 else 0
    if side == 0:
        return e
    z = sp.Symbol("z", positive=True)
    return sp.expand(e.subs(X, side * z), log=False).subs(z, side * X)


def _shorter(slope: Expr, mu: Expr) -> Expr:
    """The same slope with its rational terms brought together: logarithms differentiate to such sums."""
    expanded = sp.expand(slope, log=False)
    if mu == MU:
        base, rate = expanded.coeff(MU, 0), expanded.coeff(MU, 1)
        return _shorter(base, ONE) + MU * _shorter(rate, ONE) if expanded.has(MU) else _shorter(base, ONE)
    parts = sp.Add.make_args(expanded)
    fractions = [t for t in parts if t.is_rational_function(X)]
    rest = [t for t in parts if not t.is_rational_function(X)]
    together = sp.cancel(sp.together(sp.Add(*fractions)))
    return sp.Add(sp.expand(together) if together.is_polynomial(X) else together, *rest)


def _check_end(arc: Arc, end: Expr, side: int, s: int, mu: Expr) -> None:
    """Raise `InputError` where psi has no minimum over w - x w towards an end."""
    if end in (OO, -OO):
        slope = edge(arc.x, end, side)
        if s < 0 or slope != end:
            bound = "" if slope in (OO, -OO) else f": no minimiser exists for x {'>' if end == OO else '<'} {slope}"
            raise InputError(
                f"no proximal map: towards w = {end} this regularizer falls at least as fast as -w**2/(2*mu) "
                f"at mu = {mu}{bound}"
            )
    elif edge(arc.value, end, side) is -OO:
        raise InputError(f"a regularizer must be bounded below, but this one tends to -oo at w = {end}")


def _undominated(arcs: list[Arc]) -> list[Arc]:
    """Points left out that lie on or above the end of a neighbour at the same w."""
    kept: list[Arc] = []
    for arc in arcs:
        if kept and equal(kept[-1].to_w, arc.from_w):
            order = compare(kept[-1].to_psi, arc.from_psi)
            if arc.point and order <= 0:
                continue
            if kept[-1].point and order >= 0:
                kept.pop()
        kept.append(arc)
    return kept


def _at_break(r: PiecewiseMap, i: int, mu: Expr, notes: list[str]) -> list[Arc]:
    """The point of psi at a breakpoint of r, if its value lies below both limits; a note if above."""
    b, v = r.breaks[i], r.values[i]
    sides = [e for e in (r.exprs[i], r.exprs[i + 1]) if e is not OO]
    limits = [edge(e, b, side) for e, side in ((r.exprs[i], -1), (r.exprs[i + 1], 1)) if e is not OO]
    least: Expr = OO
    for c in limits:
        least = c if compare(c, least) < 0 else least
    value = OO if v is None else v
    order = compare(value, least)
    if order < 0:
        return [Arc(b, b, b, ZERO, sp.expand(mu * value + b**2 / 2))]
    if order > 0 and sides:
        notes.append(f"r was completed to its lower semicontinuous envelope: {least} instead of {value} at w = {b}")
    return []


# --------------------------------------------------------------------------- crossings


@dataclass(frozen=True)
class Crossing:
    """Where the conjugates of two arcs are equal: x in [low, high].

    A jump at one x, or (``touching``) the interval of slopes at a common end of both arcs, where
    psi is continuous and convex.
    """

    low: Expr
    high: Expr
    touching: bool


def _cross(left: Arc, right: Arc) -> Crossing:
    """The crossing of two arcs, left before right."""
    if not (left.point or right.point):
        together = right.joined or (equal(left.to_w, right.from_w) and equal(left.to_psi, right.from_psi))
        if together and compare(left.to_x, right.from_x) <= 0:
            return Crossing(left.to_x, right.from_x, True)
    x = _tangent(left, right)
    return Crossing(x, x, False)


def _tangent(left: Arc, right: Arc) -> Expr:
    """The slope of the common tangent: the zero of the decreasing phi_left - phi_right."""
    if left.point and right.point:
        return (right.value - left.value) / (right.w - left.w)
    if any(c.has(MU) for arc in (left, right) for c in (arc.x, arc.value)):
        return _tangent_in_mu(left, right)
    mirrored = _mirror_slope(left, right)
    if mirrored is not None:
        return mirrored
    certified = crossing(
        lambda q: _conjugate_ball(left, q) - _conjugate_ball(right, q),
        -OO,
        OO,
        "the slope of a common tangent",
    )
    for x in {end for arc in (left, right) for end in (arc.from_x, arc.to_x)} - {OO, -OO}:
        if _same_to(x, certified, 128) and _difference_vanishes(left, right, x):
            return x  # an arc is touched exactly at its end
    modes = left.mode(certified), right.mode(certified)
    ends = [
        None if m == 0 else (arc.from_w, arc.from_psi) if m < 0 else (arc.to_w, arc.to_psi)
        for arc, m in zip((left, right), modes, strict=True)
    ]
    a, b = ends
    if a is not None and b is not None:
        return (b[1] - a[1]) / (b[0] - a[0])
    exact: Expr | None
    if a is not None:
        exact = _tangent_from(a, right)
    elif b is not None:
        exact = _tangent_from(b, left)
    else:
        exact = _bitangent(left, right, certified)
    return certified if exact is None else exact


def _conjugate_ball(arc: Arc, q: Any) -> Any:
    """phi(q) at a rational slope, at the current Arb precision."""
    x = sp.Rational(int(q.p), int(q.q))
    where = arc.mode(x)
    if where:
        w, psi = (arc.from_w, arc.from_psi) if where < 0 else (arc.to_w, arc.to_psi)
        return arb(q) * enclose(w) - enclose(psi)
    at = enclose(_rough_contact(arc, x))
    return arb(q) * enclose(arc.w, at) - enclose(arc.value, at)


def _rough_contact(arc: Arc, x: Expr) -> Expr:
    """The contact at a rational slope, without the search for a closed form."""
    if arc.x == X:
        return x
    if arc.x.is_polynomial(X) and sp.degree(arc.x, X) == 1:
        a, b = sp.Poly(arc.x, X).all_coeffs()
        return (x - b) / a
    return crossing(lambda q: enclose(arc.x, arb(q)) - enclose(x), arc.lo, arc.hi, "a contact")


def _difference_vanishes(left: Arc, right: Arc, x: Expr) -> bool:
    """Whether phi_left = phi_right at an exact slope; False also where that is not proved."""
    with precision(128):
        try:
            first, second = left.conjugate(x), right.conjugate(x)
            if not enclose(first).overlaps(enclose(second)):
                return False
        except Undecided:
            return False
    if first.atoms(Certified) or second.atoms(Certified):
        return False
    with contextlib.suppress(Undecided):
        return equal(first, second)
    return False


def _tangent_from(end: tuple[Expr, Expr], arc: Arc) -> Expr | None:
    """The slope of the tangent from a point (w, psi) that touches the arc inside; None without closed form.

    The gap between the point and the tangent at s is monotone in s on the arc, so any zero is the one.
    """
    w, value = end
    gap = sp.expand(value - arc.value - arc.x * (w - arc.w))
    for s in closed_solutions(gap, ZERO, arc.lo, arc.hi) or ():
        return _neat(arc.x.subs(X, s))
    return None


def _mirror_slope(left: Arc, right: Arc) -> Expr | None:
    """The slope of the tangent of two arcs that are each other's mirror image, up to a linear term; else None.

    With s -> 2c - s taking one parameter to the other, w_L + w_R and x_L + x_R = 2m are constant, and
    then so is psi_R - psi_L - m (w_R - w_L); where that is 0, the slope m touches both at mirrored points.
    """
    if left.point or right.point or left.psi is None or right.psi is None:
        return None
    point = rational_between(left.lo, left.hi)
    with contextlib.suppress(Undecided):
        centre = (left.hi + right.lo) / 2
        centre = ZERO if sign(centre) == 0 else centre
        if compare(left.lo, 2 * centre - right.hi) != 0:
            return None
        flip = 2 * centre - X
        slope = sp.simplify((left.x + right.x.subs(X, flip)).subs(X, point)) / 2
        for rest in (left.x + right.x.subs(X, flip) - 2 * slope, sp.diff(left.w + right.w.subs(X, flip), X)):
            if rest.has(X) and not is_zero(rest, left.lo, left.hi):
                return None
            if not rest.has(X) and sign(rest) != 0:
                return None
        if left.psi == right.psi and left.w == right.w:
            return slope  # one formula on both sides: the difference is 0 at the centre
        gap = right.psi.subs(X, flip) - left.psi - slope * (right.w.subs(X, flip) - left.w)
        return slope if sign(gap.subs(X, point)) == 0 else None
    return None


def _bitangent(left: Arc, right: Arc, certified: Expr) -> Expr | None:
    """The slope of a tangent that touches both arcs inside, in closed form: quadratics, short rationals, algebra."""
    guess = short_rational(certified)
    if guess is not None and _difference_vanishes(left, right, guess):
        return guess
    if left.w != X or right.w != X or not (left.value.is_polynomial(X) and right.value.is_polynomial(X)):
        return None
    m, c = sp.Symbol("m"), sp.Symbol("c")
    with contextlib.suppress(Undecided, OutOfTime, sp.PolynomialError, NotImplementedError), limit(2.0):
        first = _conjugate_polynomial(left.value, m, c)
        second = _conjugate_polynomial(right.value, m, c)
        common = sp.resultant(first, second, c)
        roots = [r for factor, _ in sp.factor_list(sp.expand(common), m)[1] for r in _real_roots(factor, m)]
        near = [r for r in roots if _same_to(r, certified, 200)]
        # the true slope is a root, and within its bracket there is no other
        if len(near) == 1 and _apart(near[0], roots):
            return near[0]
    return None


def _conjugate_polynomial(psi: Expr, m: Expr, c: Expr) -> Expr:
    """A polynomial in the slope m and the conjugate's value c that vanishes at every tangent of psi."""
    return sp.resultant(sp.diff(psi, X) - m, m * X - psi - c, X)


def _real_roots(factor: Expr, m: Expr) -> list[Expr]:
    poly = sp.Poly(factor, m)
    if poly.degree() == 0:
        return []
    if poly.degree() <= 2:
        return [r for r in sp.roots(poly.as_expr(), m, multiple=True) if r.is_real]
    if not (poly.domain.is_ZZ or poly.domain.is_QQ) or poly.degree() > 12:
        raise Undecided(f"the roots of {poly.as_expr()}")
    return list(poly.real_roots(multiple=False) and dict.fromkeys(r for r, _ in poly.real_roots(multiple=False)))


def _same_to(a: Expr, b: Expr, bits: int) -> bool:
    with precision(bits):
        return bool(enclose(a).overlaps(enclose(b)))


def _apart(root: Expr, roots: Sequence[Expr]) -> bool:
    """Whether the enclosure of a root meets no other of the list."""
    return all(r == root or not _same_to(root, r, 200) for r in roots)


def _neat(c: Expr) -> Expr:
    if c.is_Rational or c.atoms(Certified):
        return c
    return sp.simplify(c) if c.count_ops() < 40 else c


def _tangent_in_mu(left: Arc, right: Arc) -> Expr:
    """The common tangent for every mu > 0: from an end of one arc, to an end of the other or into its inside."""
    for a in (*_ends(left), None):
        for b in (*_ends(right), None):
            with contextlib.suppress(Undecided):
                slope = _through(left, a, right, b)
                if slope is None:
                    continue
                if all(e is None or (compare(e[2], slope) <= 0 and compare(slope, e[3]) <= 0) for e in (a, b)):
                    return slope
    raise Undecided("the cases depend on mu, or a tangent of mu*r + w**2/2 has no closed form; give mu as a number")


_End = tuple[Expr, Expr, Expr, Expr]  # w, psi, and the slopes from and to which the end is touched


def _ends(arc: Arc) -> list[_End]:
    if arc.point:
        return [(arc.w, arc.value, -OO, OO)]
    found = [(arc.from_w, arc.from_psi, -OO, arc.from_x), (arc.to_w, arc.to_psi, arc.to_x, OO)]
    return [e for e in found if not {e[0], e[1]} & {OO, -OO}]


def _through(left: Arc, a: _End | None, right: Arc, b: _End | None) -> Expr | None:
    """The slope of the line through two ends, or through one end and tangent to the other arc inside."""
    if a is not None and b is not None:
        return None if equal(a[0], b[0]) else sp.cancel((b[1] - a[1]) / (b[0] - a[0]))
    if a is None and b is None:
        return None
    return _tangent_from(a[:2], right) if a is not None else _tangent_from(b[:2], left) if b is not None else None


# --------------------------------------------------------------------------- the envelope


def envelope(arcs: Sequence[Arc]) -> MonotoneGraph:
    """The graph of argmax_w x w - psi(w) over arcs and points in increasing order of w.

    Raises `Undecided` where the order of two crossings is not settled.
    """
    kept: list[Arc] = []
    crossings: list[Crossing] = []
    for arc in arcs:
        new = arc
        while kept:
            cross = _cross(kept[-1], new)
            if crossings and less(cross.high, crossings[-1].low):
                kept.pop()
                crossings.pop()
                new = replace(new, joined=False)
                continue
            crossings.append(cross)
            break
        kept.append(arc)
    return MonotoneGraph(tuple(_pieces(kept, crossings)))


def _pieces(arcs: list[Arc], crossings: list[Crossing]) -> list[GraphPiece]:
    """The graph of the kept arcs between their crossings."""
    pieces: list[GraphPiece] = []
    last: Expr = -OO
    for i, arc in enumerate(arcs):
        start = last
        end = crossings[i].low if i < len(crossings) else OO
        s0 = arc.lo if start is -OO else arc.touching(start)
        s1 = arc.hi if end is OO else arc.touching(end, upper=True)
        pieces += _between(arc, start, end, s0, s1)
        if i < len(crossings):
            if not crossings[i].touching:
                following = arcs[i + 1]
                a, b = arc.at(arc.w, s1), following.at(following.w, following.touching(end))
                pieces.append(vertical(end, a, b))
            # an arc may touch its neighbour in a kink whose slopes begin before the last crossing
            last = end if last is -OO or less(last, end) else last
    return pieces


def _between(arc: Arc, start: Expr, end: Expr, s0: Expr, s1: Expr) -> list[GraphPiece]:
    """What one arc contributes for x from start to end: a flat before, the arc, a flat after."""
    if arc.point:
        return [arc_or_flat(arc.w, start, end)] if less(start, end) else []
    found = []
    first = arc.from_x if compare(start, arc.from_x) <= 0 else start
    if less(start, arc.from_x):
        stop = end if less(end, arc.from_x) else arc.from_x
        found.append(arc_or_flat(arc.from_w, start, stop))
    if s0 != s1 and compare(first, end) <= 0:
        if arc.straight:
            found.append(vertical(arc.from_x, arc.at(arc.w, s0), arc.at(arc.w, s1), filled=True))
        else:
            begun, ended = less(arc.from_x, start), less(end, arc.to_x)
            known = ((start, arc.at(arc.w, s0)) if begun else None, (end, arc.at(arc.w, s1)) if ended else None)
            found.append(GraphPiece("arc", arc.x, arc.w, s0, s1, True, known))
    if less(arc.to_x, end):
        begin = start if less(arc.to_x, start) else arc.to_x
        found.append(arc_or_flat(arc.to_w, begin, end))
    return found


# --------------------------------------------------------------------------- r -> P


@dataclass(frozen=True)
class Proximal:
    """P_r^mu as an exact graph, with what was changed on the way (``notes``).

    ``mu`` is an exact constant, or the symbol mu where the cases do not depend on it.
    """

    graph: MonotoneGraph
    mu: Expr
    notes: tuple[str, ...] = ()

    @cached_property
    def map(self) -> PiecewiseMap | None:
        """One selection of P (the lower value at a jump) as a map; None without a closed form."""
        try:
            return self.graph.to_map()
        except Undecided:
            return None

    def evaluate(self, x: Any, digits: int = 15) -> Values:
        """`evaluate` of this map."""
        return evaluate(self, x, digits)

    def at_mu(self, mu: Any) -> Proximal:
        """The map at a number mu > 0, from one with the symbol. Raises `InputError` for any other."""
        value = _positive(mu)
        if not self.mu.has(MU):
            raise InputError(f"this map belongs to mu = {self.mu}; evolve takes it to another")
        pieces = [
            replace(
                q,
                **{name: getattr(q, name).subs(MU, value) for name in ("x", "p", "lo", "hi")},
                known=(_substituted(q.known[0], value), _substituted(q.known[1], value)),
            )
            for q in self.graph.pieces
        ]
        return Proximal(MonotoneGraph(tuple(pieces)), value, self.notes)

    def _repr_latex_(self) -> str:
        return self.graph._repr_latex_()

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{note}</p>" for note in self.notes)
        return f"<p>mu = {self.mu}</p>{self.graph._repr_html_()}{notes}"


def _substituted(end: Known, mu: Expr) -> Known:
    return None if end is None else (end[0].subs(MU, mu), end[1].subs(MU, mu))


def prox_of(r: PiecewiseMap | str | Recovered, mu: Any = ONE) -> Proximal:
    """The proximal map P_r^mu of a regularizer, P(x) = argmin_w (w - x)^2/(2 mu) + r(w), exactly.

    ``r``: a map (or text in the grammar, with oo) of finitely many analytic pieces, +oo where it is
    not finite, with isolated values; convex or not; completed to its lower semicontinuous envelope.
    Or the result of `regularizer_of`, whose largest reading is taken. ``mu``: an exact number > 0,
    or the text "mu" for every mu > 0, where the cases do not depend on it.

    Raises `InputError` where r is finite nowhere, unbounded below at a finite point, or falls so
    fast that no minimiser exists (naming the end), and for mu <= 0; `Undecided` where the cases
    depend on mu or r has infinitely many convex parts. Source: docs/mathematics.md, section 1.
    """
    value = _positive(mu)
    if isinstance(r, Recovered):
        return Proximal(_evolved(r.graph, value / r.mu, "given"), value)
    arcs, notes = _arcs_of(_as_map(r, "regularizer", allow_infinity=True), value)
    return Proximal(envelope(arcs), value, tuple(notes))


def _as_map(given: PiecewiseMap | str, what: str, allow_infinity: bool = False) -> PiecewiseMap:
    from theory.parser import parse

    if isinstance(given, PiecewiseMap):
        return given
    return parse(given, what=what, allow_infinity=allow_infinity)


def _positive(mu: Any) -> Expr:
    """mu as an exact positive constant or the symbol. Raises `InputError`."""
    from theory.parser import parse_constant

    if isinstance(mu, str):
        mu = MU if mu.strip() == "mu" else parse_constant(mu, "mu")
    value = as_exact(mu, "mu as an exact number")
    if value.is_Symbol:
        return MU
    if value.free_symbols or value in (OO, -OO, sp.nan, sp.zoo) or sign(value) <= 0:
        raise InputError(f"mu must be a positive number, not {value}")
    return value


# --------------------------------------------------------------------------- P -> r


@dataclass(frozen=True)
class Recovered:
    """The regularizers of a proximal map at ``mu``, up to one constant and the freedom on gaps.

    ``largest`` is +oo on the gaps of the range of P, ``smallest`` the least one; None without a
    closed form, then ``implicit`` describes both exactly. ``weak_convexity``: for each reading the
    least rho >= 0 with r + rho w^2/2 convex, +oo where there is none, None where it is not settled.
    """

    graph: MonotoneGraph
    mu: Expr
    largest: PiecewiseMap | None
    smallest: PiecewiseMap | None
    implicit: str | None
    weak_convexity: dict[str, Expr | None]

    @property
    def convex(self) -> bool | None:
        """Whether some regularizer of P is convex: single-valued and nonexpansive; None if not settled."""
        rho = self.weak_convexity["smallest"]
        return None if rho is None else rho == 0

    def evaluate(self, w: Any, digits: int = 15, reading: str = "largest") -> Enclosed:
        """r(w) - r(p) for the lower value p of P(0), enclosed to ``digits``; +oo as ``exact``.

        Raises `InputError` for an unknown reading, `Undecided` where an integral has no closed form.
        """
        _check_reading(reading)
        point, (start, *_) = _exact_number(w, "w"), self.graph._at(ZERO)[0]
        arcs = _graph_arcs(self.graph, ONE, reading)
        heights = [_height(arcs, c) for c in (point, start)]
        if heights[0] is OO:
            return Enclosed(OO, OO, OO)
        return enclose_to((heights[0] - point**2 / 2 - heights[1] + start**2 / 2) / self.mu, digits)

    def along(self) -> list[tuple[Expr, Expr, Expr, Expr]]:
        """r over the range of P as parametric arcs (w(s), r(w(s)), from, to), up to one constant.

        Raises `Undecided` where an integral has no closed form.
        """
        arcs = _graph_arcs(self.graph, ONE, "largest")
        return [(a.w, (a.value - a.w**2 / 2) / self.mu, a.lo, a.hi) for a in arcs if not a.point]

    def latex(self) -> str:
        """Both readings in LaTeX, one where they agree; words where r has no closed form."""
        from theory.display import latex_words
        from theory.printing import to_latex

        if self.largest is None or self.smallest is None:
            return latex_words(f"r: {self.implicit}")
        if self.largest == self.smallest:
            return f"r(x) = {to_latex(self.largest)}"
        return rf"r_{{\max}}(x) = {to_latex(self.largest)},\quad r_{{\min}}(x) = {to_latex(self.smallest)}"

    def _repr_latex_(self) -> str:
        return rf"$\displaystyle {self.latex()}$"

    def _repr_html_(self) -> str:
        words = {True: "yes", False: "no", None: "not settled"}
        rho = ", ".join(f"{n}: {'not settled' if c is None else c}" for n, c in self.weak_convexity.items())
        return f"<p>{self._repr_latex_()}</p><p>convex: {words[self.convex]}; weak convexity {rho}</p>"


def regularizer_of(P: PiecewiseMap | MonotoneGraph | Proximal | str, mu: Any = ONE) -> Recovered:
    """r with P = P_r^mu: mu r(w) + w^2/2 = phi*(w), phi' = P, on the range of P and its two readings on gaps.

    Raises `InputError` naming the point where P is not monotone or jumps downward. Source: docs/mathematics.md,
    section 1 ("Recovering r").
    """
    value = P.mu if isinstance(P, Proximal) else _positive(mu)
    graph = P.graph if isinstance(P, Proximal) else P if isinstance(P, MonotoneGraph) else None
    if graph is None:
        assert isinstance(P, PiecewiseMap | str)
        graph = MonotoneGraph.of(_as_map(P, "proximal map"))
    largest = smallest = implicit = None
    try:
        largest, smallest = (_scaled(r, 1 / value) for r in graph.regularizers())
    except Undecided:
        implicit = _implicit_r(graph, value)
    rho = {
        name: getattr(graph, name)().weak_convexity() if name == "smallest" else graph.weak_convexity()
        for name in READINGS
    }
    return Recovered(
        graph,
        value,
        largest,
        smallest,
        implicit,
        {n: None if c is None else c if c is OO else c / value for n, c in rho.items()},
    )


def _scaled(r: PiecewiseMap, c: Expr) -> PiecewiseMap:
    if c == 1:
        return r
    move = [[e if e is None or e is OO else sp.expand(c * e) for e in part] for part in (r.exprs, r.values)]
    return PiecewiseMap(r.breaks, tuple(move[0]), tuple(move[1]))


def _implicit_r(graph: MonotoneGraph, mu: Expr) -> str:
    """r by its derivative along the graph, in words."""
    s = sp.Symbol("s")
    parts = []
    over = "" if mu == 1 else f"/({mu})"
    for q in graph.pieces:
        if q.kind == "arc":
            parts.append(f"r'(w) = ({(q.x - q.p).subs(X, s)}){over} at w = {q.p.subs(X, s)} for {q.lo} < s < {q.hi}")
        elif q.kind == "vertical":
            kind = "given" if q.filled else "free above this on the gap"
            parts.append(f"r'(w) = ({q.x} - w){over} for {q.lo} < w < {q.hi} ({kind})")
    return "; ".join(parts)


# --------------------------------------------------------------------------- another mu


def evolve(P: PiecewiseMap | MonotoneGraph | Proximal | str, mu: Any, mu2: Any, reading: str = "largest") -> Proximal:
    """P_r^mu2 from P = P_r^mu: the shear (x, p) -> (p + (mu2/mu)(x - p), p), convexified where it turns back.

    ``reading``: which r is meant on the gaps of P's range, ``largest`` (+oo there) or ``smallest``.
    Raises `InputError` for mu, mu2 <= 0, an unknown reading, a P that is not monotone, and where r
    has no proximal map at mu2; `Undecided` where an area has no closed form. Source: docs/mathematics.md,
    section 1 ("Change of mu").
    """
    _check_reading(reading)
    start, end = _positive(mu), _positive(mu2)
    graph = P.graph if isinstance(P, Proximal) else P if isinstance(P, MonotoneGraph) else None
    if graph is None:
        assert isinstance(P, PiecewiseMap | str)
        graph = MonotoneGraph.of(_as_map(P, "proximal map"))
    return Proximal(_evolved(graph, end / start, reading), end)


def _check_reading(reading: str) -> None:
    if reading not in READINGS:
        raise InputError(f"the reading of the gaps is largest or smallest, not {reading!r}")


def _evolved(graph: MonotoneGraph, k: Expr, reading: str) -> MonotoneGraph:
    """The graph at mu' = k mu; ``given``: the gaps as the graph has them."""
    if reading != "given":
        # what the graph fills is no gap: r is known there
        graph = graph.smallest() if reading == "smallest" else graph
    if k == 1:
        return graph
    return envelope(_graph_arcs(graph, k, "given"))


def _graph_arcs(graph: MonotoneGraph, k: Expr, reading: str) -> list[Arc]:
    """psi = mu' r + w^2/2 with mu' = k mu, as arcs and points over the pieces of the graph of P^mu."""
    if reading == "smallest":
        graph = graph.smallest()
    arcs: list[Arc] = []
    height: Expr | None = ZERO
    joined = False

    def add(arc: Arc) -> None:
        if arcs and arc.joined:
            if arc.point:
                return
            if arcs[-1].point:
                arcs[-1] = replace(arc, joined=arcs[-1].joined)
                return
        arcs.append(arc)

    for q in graph.pieces:
        if q.kind == "flat":
            add(Arc(q.p, q.p, q.p, ZERO, height, joined))
            joined = True
            continue
        slope = (
            sp.expand(q.p + k * (q.x - q.p))
            if q.x.is_polynomial(X) and q.p.is_polynomial(X)
            else (k * q.x + (1 - k) * q.p)
        )
        area = _area(q)
        body = None if area is None else k * area + (1 - k) * q.p**2 / 2
        if not arcs and not q.known[0]:
            psi, height = body, None if body is None else _limit_or_none(body, q.hi, -1)
        else:
            psi = None if body is None or height is None else body - edge(body, q.lo, 1) + height
            height = None if psi is None else _limit_or_none(psi, q.hi, -1)
        if q.kind == "vertical" and not q.filled:
            for end, value, together in (
                (q.lo, None if psi is None else edge(psi, q.lo, 1), joined),
                (q.hi, height, False),
            ):
                add(Arc(end, end, end, ZERO, value, together))
            joined = True
            continue
        ends = [None if c is None else (c[1] + k * (c[0] - c[1]), c[1]) for c in q.known]
        for lo, hi, s in monotone_parts(slope, q.lo, q.hi):
            known = ends[0] if lo == q.lo else None, ends[1] if hi == q.hi else None
            arc = Arc(lo, hi, q.p, slope, psi, joined, known)
            for end, at, side in ((lo, arc.from_w, 1), (hi, arc.to_w, -1)):
                if at in (OO, -OO) and (s < 0 or edge(slope, end, side) != at):
                    raise InputError(
                        f"no proximal map: towards w = {at} the regularizer falls too fast for mu {k} times as large"
                    )
            if s >= 0:
                add(arc)
            else:
                for end, together in ((lo, joined), (hi, False)):
                    w = edge(q.p, end, 1 if end == lo else -1)
                    add(Arc(w, w, w, ZERO, None if psi is None else edge(psi, end, 1 if end == lo else -1), together))
            joined = True
    return arcs


def _limit_or_none(e: Expr, at: Expr, side: int) -> Expr | None:
    try:
        value = edge(e, at, side)
    except Undecided:
        return None
    return None if value in (OO, -OO) else value


def _area(q: GraphPiece) -> Expr | None:
    """The integral of x dp along a piece, in its parameter; None without a closed form."""
    with contextlib.suppress(Undecided):
        if q.kind == "vertical":
            return q.x * q.p
        if q.x == X:
            return X * q.p - antiderivative(q.p)
        return antiderivative(sp.expand(q.x * sp.diff(q.p, X)))
    return None


def _height(arcs: list[Arc], w: Expr) -> Expr:
    """psi(w) on arcs at mu' = mu; +oo outside them."""
    for arc in arcs:
        low, high = compare(arc.from_w, w), compare(w, arc.to_w)
        if low > 0 or high > 0:
            continue
        if low == 0 or high == 0:
            return arc.from_psi if low == 0 else arc.to_psi
        flipped = GraphPiece("arc", arc.w, arc.x, arc.lo, arc.hi)
        return arc.value.subs(X, flipped.parameter(w))
    return OO


# --------------------------------------------------------------------------- values


def evaluate(P: Proximal | MonotoneGraph | PiecewiseMap, x: Any, digits: int = 15) -> Values:
    """P(x) as rational enclosures at most 10**-digits * max(1, |value|) wide; at a jump both ends.

    Raises `InputError` for a float or a point outside the domain, `Undecided` where x cannot be told
    from a breakpoint or the accuracy is not reached. Source: docs/mathematics.md, section 1.
    """
    graph = P.graph if isinstance(P, Proximal) else MonotoneGraph.of(P) if isinstance(P, PiecewiseMap) else P
    return graph.values(_exact_number(x, "x"), digits)


def _exact_number(x: Any, what: str) -> Expr:
    from theory.parser import parse_constant

    value = parse_constant(x, what) if isinstance(x, str) else as_exact(x, f"{what} as an exact number")
    if value.free_symbols or value in (OO, -OO, sp.nan, sp.zoo):
        raise InputError(f"{what} must be a finite real number, not {value}")
    return value


__all__ = ["Proximal", "Recovered", "evaluate", "evolve", "prox_of", "regularizer_of"]
