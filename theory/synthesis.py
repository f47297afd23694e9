"""Synthesis: any proximal map P and any admissible transform T give a principled pair.

    T and P given          F = T o P, B = t o P                       `synthesize`
    F and P given          T = F o P^-1 on the range of P             `solve_transform`
    B and P given          T' = B o P^-1, T its integral              `integrate_backward`
    B given                the same with P = id, so F = integral of B
    F given                the canonical choices of T or P            `canonical_choices`

What the data leave open is stated: T runs affinely over a gap of P's range where F is given, T' does
where B is; a given B leaves F's value at x = 0. Source of all: docs/mathematics.md, section 3 (synthesis).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property, partial
from itertools import pairwise

import sympy as sp

from theory.analytic import Expr, antiderivative, is_zero, limit_at, sign_on, solve_level
from theory.deadline import limit
from theory.decision import _between, _differing_points, _ratio, _settled, decide
from theory.decomposition import _composed, _neat, regularizer_pair
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import X, compare, equal, less, rational_between, sign_of
from theory.graphs import check_monotone, real_logs
from theory.inverse import invert
from theory.maps import IDENTITY, OO, PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair, Verdict
from theory.printing import expression_text

ZERO = sp.Integer(0)


@dataclass(frozen=True)
class Synthesized:
    """A pair F = T o P, B = t o P together with the (T, t, P, r) it was made from.

    ``choice``: what was chosen where the data left it open, in a few words.
    """

    pair: QuantizerPair
    decomposition: Decomposition
    choice: str = ""

    @cached_property
    def verdict(self) -> Verdict:
        """What `decide` says of the pair; principled by construction."""
        return decide(self.pair)


def synthesize(transform: PiecewiseMap, prox: PiecewiseMap, name: str = "") -> Synthesized:
    """The pair of a transform T and a proximal map P: F = T o P, B = t o P with t = T'.

    At a kink of T, t is the one-sided derivative of larger modulus (the convention of the clipped
    straight-through estimator). Raises `InputError` if P is not monotone, T is not continuous on
    the hull of P's range, T has an infinite slope there, or T is not monotone across a jump of P.
    Source: docs/mathematics.md, section 3 (synthesis).
    """
    return _composed_pair(transform, prox, None, name)


def _composed_pair(
    transform: PiecewiseMap, prox: PiecewiseMap, forward: PiecewiseMap | None, name: str = ""
) -> Synthesized:
    """`synthesize`; ``forward``: F where it is known already to be T o P."""
    _check_prox(prox)
    hull = _Hull.of(prox)
    transform = transform.refine(hull.attained_ends)
    slope = _slope(transform, hull)
    for i, b in enumerate(prox.breaks):
        left, right = prox.left(i), prox.right(i)
        if not equal(left, right):
            _check_monotone_between(transform, left, right, b)
    pair = QuantizerPair(transform.compose(prox) if forward is None else forward, slope.compose(prox), name)
    return Synthesized(pair, Decomposition(transform.simplified(), slope, prox, regularizer_pair(prox)))


# --------------------------------------------------------------------------- the hull of P's range


@dataclass(frozen=True)
class _Hull:
    """The convex hull of P's range: its ends, possibly infinite, and whether P takes them."""

    lo: Expr
    hi: Expr
    has_lo: bool
    has_hi: bool

    @classmethod
    def of(cls, prox: PiecewiseMap) -> _Hull:
        lo, hi = limit_at(prox.exprs[0], -OO, 1), limit_at(prox.exprs[-1], OO, -1)
        return cls(lo, hi, not prox.exprs[0].has(X), not prox.exprs[-1].has(X))

    @property
    def is_point(self) -> bool:
        return equal(self.lo, self.hi)

    @property
    def attained_ends(self) -> list[Expr]:
        return [c for c, attained in ((self.lo, self.has_lo), (self.hi, self.has_hi)) if attained]

    def place(self, p: Expr) -> int | None:
        """0 inside, -1 or 1 at an attained end, None where T plays no role."""
        low, high = compare(p, self.lo), compare(p, self.hi)
        if low > 0 and high < 0:
            return 0
        if low == 0 and self.has_lo:
            return -1
        return 1 if high == 0 and self.has_hi else None


def _check_prox(prox: PiecewiseMap) -> None:
    """P monotone, with a value everywhere."""
    if prox.windowed:
        raise Undecided("a proximal map that changes infinitely often")
    hole = prox.undefined_on()
    if hole is not None:
        raise InputError(f"a proximal map must have a value everywhere, but this map has none on {_interval(*hole)}")
    for b, v in zip(prox.breaks, prox.values, strict=True):
        if v is None:
            raise InputError(f"a proximal map must have a value everywhere, but this map has none at x = {_text(b)}")
    check_monotone(prox)


def _slope(transform: PiecewiseMap, hull: _Hull) -> PiecewiseMap:
    """t: the derivative of T, at kinks the one-sided derivative of larger modulus."""
    derivative = transform.derivative()
    values: list[Expr | None] = []
    for i, b in enumerate(transform.breaks):
        place = hull.place(b)
        if place is None:
            values.append(None)
            continue
        v, inner = transform.values[i], _inner(place, hull)
        sides = _pick(inner, transform.left(i), transform.right(i))
        if v is None or any(s in (OO, -OO) or not equal(s, v) for s in sides):
            raise InputError(f"a transform must be continuous, but this one is not at {_text(b)}")
        slopes = _pick(inner, derivative.left(i), derivative.right(i))
        if any(s in (OO, -OO) for s in slopes):
            raise InputError(f"a transform must have finite slopes, but this one has an infinite slope at {_text(b)}")
        values.append(_steepest(slopes))
    return PiecewiseMap(derivative.breaks, derivative.exprs, tuple(values)).simplified()


def _inner(place: int, hull: _Hull) -> int:
    """The side of a point that lies in the hull: 1 right, -1 left, 0 both (both as well if it is the only point)."""
    return 0 if hull.is_point else -place


def _pick(inner: int, left: Expr, right: Expr) -> list[Expr]:
    return [left, right] if inner == 0 else [right] if inner > 0 else [left]


def _steepest(slopes: Sequence[Expr]) -> Expr:
    """The slope of largest modulus; the first of equal ones."""
    best = slopes[0]
    for s in slopes[1:]:
        best = s if less(sp.Abs(best), sp.Abs(s)) else best
    return best


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
            f"the transform must be monotone between {_text(left)} and {_text(right)}, the two values of the proximal "
            f"map at its jump x = {_text(x)}"
        )


def _text(c: Expr) -> str:
    """An exact constant for a sentence."""
    try:
        return expression_text(c)
    except Undecided:
        return str(c)


def _interval(a: Expr, b: Expr) -> str:
    return f"{_text(a)} < x < {_text(b)}"


# --------------------------------------------------------------------------- a map as a function of P


@dataclass(frozen=True)
class _Held:
    """P = p and G = value at x (a breakpoint, or a point of a piece on which P is constant)."""

    x: Expr
    p: Expr
    value: Expr
    node: int | None = None


@dataclass(frozen=True)
class _Part:
    """One piece of the common refinement of P and G: P flat at ``p``, or moving from p_lo to p_hi."""

    a: Expr
    b: Expr
    p: Expr
    g: Expr
    flat: bool


class _Relation:
    """P and a second map G, cut at common breakpoints, with G shown to be a function of P.

    Raises `InputError` naming two points with equal P and different G.
    """

    def __init__(self, given: PiecewiseMap, prox: PiecewiseMap, what: str) -> None:
        _check_prox(prox)
        if given.windowed:
            raise Undecided(f"{what} changes infinitely often")
        hole = given.undefined_on()
        if hole is not None:
            raise InputError(f"{what} must have a value everywhere, but it has none on {_interval(*hole)}")
        self.what = what
        self.prox = prox.refine([*given.breaks, *_standstills(prox)])
        self.given = given.refine(self.prox.breaks)
        self.hull = _Hull.of(prox)
        self.parts = []
        for p, g, (a, b) in zip(self.prox.exprs, self.given.exprs, self.prox.ends, strict=True):
            p, g = _settled(p, a, b), _settled(g, a, b)
            if not p.has(X) and g.has(X):
                x, y = _differing_points(g, a, b, 192)
                raise self._two(x, y, p, g.subs(X, x), g.subs(X, y))
            self.parts.append(_Part(a, b, p, g, not p.has(X)))
        self.left = [self._limit(i, b, -1) for i, b in enumerate(self.prox.breaks)]
        self.right = [self._limit(i + 1, b, 1) for i, b in enumerate(self.prox.breaks)]
        self.held = self._find_held()

    def _limit(self, piece: int, x: Expr, side: int) -> Expr:
        value = limit_at(self.parts[piece].g, x, side)
        if value in (OO, -OO):
            raise InputError(f"{self.what} is unbounded beside x = {_text(x)}, so T is not Lipschitz there")
        return value

    def _find_held(self) -> list[_Held]:
        found: list[_Held] = []
        for i, part in enumerate(self.parts):
            if i > 0:
                x, p, value = self.prox.breaks[i - 1], self.prox.values[i - 1], self.given.values[i - 1]
                assert p is not None
                if value is None:
                    raise InputError(f"{self.what} must have a value everywhere, but it has none at x = {_text(x)}")
                found.append(_Held(x, p, value, i - 1))
            if part.flat:
                found.append(_Held(rational_between(part.a, part.b), part.p, part.g))
        for one, other in pairwise(found):
            if equal(one.p, other.p) and not equal(one.value, other.value):
                raise self._two(one.x, other.x, one.p, one.value, other.value)
        return found

    def _two(self, x: Expr, y: Expr, p: Expr, at_x: Expr, at_y: Expr) -> InputError:
        return InputError(
            f"{self.what} is no function of the proximal map: x = {_text(x)} and x = {_text(y)} have the same "
            f"P = {_text(p)} but different values {_text(at_x)} and {_text(at_y)}"
        )

    def ends(self, i: int) -> tuple[Expr, Expr]:
        """P's limits at breakpoint i from both sides."""
        return self.prox.left(i), self.prox.right(i)

    def pulled_back(self, i: int, e: Expr) -> tuple[Expr, Expr, Expr]:
        """(from, to, e o P^-1) on the image of the moving piece i. Raises `Undecided` without a closed form."""
        part = self.parts[i]
        lo = limit_at(part.p, part.a, 1)
        hi = limit_at(part.p, part.b, -1)
        w = sp.Dummy("w", real=True)
        written = e.subs(part.p, w)
        if not written.has(X):  # e is written as a function of P, or is constant
            return lo, hi, written.subs(w, X)
        return lo, hi, _composed(e, invert(part.p, part.a, part.b))


def _standstills(prox: PiecewiseMap) -> list[Expr]:
    """Points inside pieces at which P' = 0: there the inverse of P has an infinite slope."""
    points: list[Expr] = []
    for e, (a, b) in zip(prox.exprs, prox.ends, strict=True):
        d = sp.diff(e, X)
        if d.has(X) and not sign_on(d, a, b).strict and not is_zero(d, a, b):
            roots = solve_level(d, ZERO, a, b)
            if roots.window is not None:
                raise Undecided(f"{e} stands still infinitely often")
            points += roots.points
    return points


def _check_held(held: Sequence[_Held], transform: PiecewiseMap, hull: _Hull, jumps: set[int]) -> None:
    """B is a generalised slope of T wherever P takes one value (off the jumps of F, which are not judged)."""
    derivative = transform.derivative()
    for h in held:
        place = hull.place(h.p)
        if h.node in jumps or hull.is_point or place is None:
            continue
        fine = derivative.refine([h.p])
        k = next(i for i, b in enumerate(fine.breaks) if equal(b, h.p))
        slopes = _pick(_inner(place, hull), fine.left(k), fine.right(k))
        if not _between(h.value, slopes[0], slopes[-1]):
            raise InputError(
                f"B({_text(h.x)}) = {_text(h.value)} is no slope of a transform at P({_text(h.x)}) = {_text(h.p)}: "
                f"beside it T' = {' and '.join(dict.fromkeys(_text(s) for s in slopes))}"
            )


@dataclass(frozen=True)
class _Stretch:
    """An expression in p on (lo, hi)."""

    lo: Expr
    hi: Expr
    e: Expr


def _joined(stretches: Sequence[_Stretch]) -> PiecewiseMap:
    """The continuous map of adjacent stretches; the outermost continue beyond their ends."""
    breaks = tuple(s.lo for s in stretches[1:])
    values = tuple(_neat(_one_finite(before.e, after.e, after.lo)) for before, after in pairwise(stretches))
    return PiecewiseMap(breaks, tuple(s.e for s in stretches), values)


def _one_finite(before: Expr, after: Expr, at: Expr) -> Expr:
    value = limit_at(before, at, -1)
    return limit_at(after, at, 1) if value in (OO, -OO) else value


# --------------------------------------------------------------------------- F and P


def solve_transform(forward: PiecewiseMap, prox: PiecewiseMap, name: str = "") -> Synthesized:
    """T with F = T o P for a given forward map F and proximal map P, and B = t o P.

    On P's range T = F o P^-1. Over a gap of the range T is affine between F's two limits (through the
    value at the tie, if P takes one inside); beyond the hull of the range it plays no role. t as in
    `synthesize`. Raises `InputError` naming two points with equal P and different F, or the place where
    T would be discontinuous, not Lipschitz or not monotone over a gap; `Undecided` where P has no inverse
    in closed form. Source: docs/mathematics.md, section 3.
    """
    r = _Relation(forward, prox, "the forward map")
    stretches: list[_Stretch] = []
    gaps = 0
    for i, part in enumerate(r.parts):
        if i > 0:
            found = _affine_gap(r, i - 1)
            stretches += found
            gaps += bool(found)
        if not part.flat:
            stretches.append(_Stretch(*r.pulled_back(i, part.g)))
    transform = _joined(stretches) if stretches else PiecewiseMap.of(r.parts[0].g)
    transform = transform.refine(r.hull.attained_ends)
    slope = _slope(transform, r.hull)
    backward = _forward_slope(r, slope)
    parts = Decomposition(transform.simplified(), slope, prox, regularizer_pair(prox))
    words = "T = F o P^-1 on the range of P"
    words += ", affine over the gaps of the range" if gaps else ""
    return Synthesized(QuantizerPair(forward, backward, name), parts, words)


def _affine_gap(r: _Relation, i: int) -> list[_Stretch]:
    """T over what P jumps at breakpoint i, after the checks of continuity there."""
    x, (lo, hi) = r.prox.breaks[i], r.ends(i)
    left, right = r.left[i], r.right[i]
    p, value = r.prox.values[i], r.given.values[i]
    assert p is not None
    assert value is not None
    for at, beside in ((lo, left), (hi, right)):
        if equal(p, at) and not equal(value, beside):
            raise InputError(
                f"no continuous transform gives this forward map: at x = {_text(x)} P is {_text(p)} and F is "
                f"{_text(value)}, but beside it P tends to {_text(at)} and F to {_text(beside)}"
            )
    if equal(lo, hi):
        return []
    inside = less(lo, p) and less(p, hi)
    if inside and not _between(value, left, right):
        raise InputError(
            f"no monotone transform over the gap of P at x = {_text(x)} gives F = {_text(value)} there, "
            f"between {_text(left)} and {_text(right)} beside it"
        )
    points = [(lo, left), *([(p, value)] if inside else []), (hi, right)]
    return [_Stretch(a, b, sp.expand(_line(a, u, b, v))) for (a, u), (b, v) in pairwise(points)]


def _line(a: Expr, u: Expr, b: Expr, v: Expr) -> Expr:
    """The line through (a, u) and (b, v)."""
    rise = _neat((v - u) / (b - a))
    return rise * X + _neat(u - rise * a)


def _forward_slope(r: _Relation, slope: PiecewiseMap) -> PiecewiseMap:
    """B = t o P, written F'/P' where P moves."""
    exprs = []
    for part in r.parts:
        if part.flat:
            exprs.append(_settled_value(slope, part.p))
        else:
            exprs.append(_ratio(sp.diff(part.g, X), sp.diff(part.p, X)) if part.g.has(X) else ZERO)
    values = tuple(_settled_value(slope, p) for p in r.prox.values if p is not None)
    return PiecewiseMap(r.prox.breaks, tuple(exprs), values).simplified()


def _settled_value(m: PiecewiseMap, p: Expr) -> Expr:
    value = m(p)
    if value is None or value.has(sp.zoo, sp.nan, OO):
        raise InputError(f"a transform must have finite slopes, but this one has none at {_text(p)}")
    return _neat(value)


# --------------------------------------------------------------------------- B and P


def integrate_backward(
    backward: PiecewiseMap, prox: PiecewiseMap = IDENTITY, centre: Expr = ZERO, name: str = ""
) -> Synthesized:
    """T with T' = B o P^-1 for a given backward map B and proximal map P, and F = T o P.

    Over a gap of P's range T' is affine between B's two limits (through B's value at the tie, if P takes
    one inside); where the limits have opposite signs T is flat there. The constant: F(0) = ``centre``. B
    keeps its values, ties included. Raises `InputError` naming two points with equal P and different B, a
    point where B is unbounded, or one where B is no generalised slope of T; `Undecided` where B P' has no
    integral, or P no inverse, in closed form. Source: docs/mathematics.md, section 3.
    """
    r = _Relation(backward, prox, "the backward map")
    rises: list[_Stretch] = []  # T up to a constant
    slopes: list[_Stretch] = []
    forward: list[Expr] = []
    ties: list[Expr] = []
    jumps: set[int] = set()
    here: Expr = ZERO
    gaps = 0
    for i, part in enumerate(r.parts):
        if i > 0:
            lo, hi = r.ends(i - 1)
            start = here
            if not equal(lo, hi):
                gaps += 1
                for (c, u), (d, v) in pairwise(_rates_over_gap(r, i - 1)):
                    rise = here + u * (X - c) + (v - u) / (2 * (d - c)) * (X - c) ** 2
                    rises.append(_Stretch(c, d, sp.expand(rise)))
                    slopes.append(_Stretch(c, d, sp.expand(_line(c, u, d, v))))
                    here = _neat(rise.subs(X, d))
                if not equal(here, start):
                    jumps.add(i - 1)
            p = r.prox.values[i - 1]
            assert p is not None
            ties.append(start if equal(p, lo) else here if equal(p, hi) else _value_in(rises, p))
        if part.flat:
            forward.append(here)
            continue
        e = _integral(part)
        if i > 0:
            e = e - _finite(e, part.a, 1) + here
        elif part.b != OO:
            e = e - _finite(e, part.b, -1)
        if part.b != OO:
            here = _neat(_finite(e, part.b, -1))
        e = sp.expand(e) if e.is_polynomial(X) else e
        forward.append(e)
        rises.append(_Stretch(*r.pulled_back(i, e)))
        slopes.append(_Stretch(*r.pulled_back(i, part.g)))
    f = PiecewiseMap(r.prox.breaks, tuple(forward), tuple(ties))
    at_zero = f(ZERO)
    assert at_zero is not None
    shift = _neat(centre - at_zero)
    f = _shifted(f, shift).simplified()
    if not slopes:
        b, p0 = r.parts[0].g, r.parts[0].p
        transform, slope = PiecewiseMap.of(sp.expand(b * (X - p0) + centre)), PiecewiseMap.of(b)
    else:
        transform = _shifted(_joined(rises), shift)
        _check_held(r.held, transform, r.hull, jumps)
        slope = _with_held(slopes, r, jumps)
    words = "T = integral of B o P^-1" if prox != IDENTITY else "P = id, T = F = integral of B"
    words += ", T' affine over the gaps of the range of P" if gaps else ""
    words += f", F(0) = {_text(centre)}"
    parts = Decomposition(transform.simplified(), slope, prox, regularizer_pair(prox))
    return Synthesized(QuantizerPair(f, backward, name), parts, words)


def _rates_over_gap(r: _Relation, i: int) -> list[tuple[Expr, Expr]]:
    """(p, T'(p)) at the ends of P's gap at breakpoint i, and at the tie if P takes one inside and B fits there.

    T' must have one sign on the gap: if B's limits have opposite signs it is 0; if only B's value at the
    tie has the other sign, F jumps there and that value is not judged.
    """
    (lo, hi), left, right = r.ends(i), r.left[i], r.right[i]
    p, value = r.prox.values[i], r.given.values[i]
    assert p is not None
    assert value is not None
    signs = {sign_of(left), sign_of(right)}
    if {1, -1} <= signs:
        return [(lo, ZERO), (hi, ZERO)]
    inside = less(lo, p) and less(p, hi) and not {1, -1} <= signs | {sign_of(value)}
    return [(lo, left), *([(p, value)] if inside else []), (hi, right)]


def _value_in(stretches: Sequence[_Stretch], p: Expr) -> Expr:
    """The value at p of the last stretches, one of which contains it."""
    at = next(s for s in reversed(stretches) if compare(s.lo, p) <= 0)
    return _neat(at.e.subs(X, p))


def _shifted(m: PiecewiseMap, c: Expr) -> PiecewiseMap:
    return m if c == 0 else m + PiecewiseMap.of(c)


def _integral(part: _Part) -> Expr:
    """An integral of B P' over x."""
    if not part.g.has(X):
        return part.g * part.p
    density = part.g * sp.diff(part.p, X)
    e = antiderivative(density)
    return real_logs(e, part.a, part.b) if e.has(sp.log) else e


def _finite(e: Expr, at: Expr, side: int) -> Expr:
    value = limit_at(e, at, side)
    if value in (OO, -OO):
        raise InputError(f"the backward map is not integrable beside x = {_text(at)}")
    return value


def _with_held(slopes: Sequence[_Stretch], r: _Relation, jumps: set[int]) -> PiecewiseMap:
    """t, with the values that B asks for where P takes them, and the larger modulus at other kinks."""
    held = [h for h in r.held if h.node not in jumps and r.hull.place(h.p) is not None]
    m = PiecewiseMap(
        tuple(s.lo for s in slopes[1:]), tuple(s.e for s in slopes), tuple(ZERO for _ in slopes[1:])
    ).refine([h.p for h in held])
    values: list[Expr | None] = []
    for i, b in enumerate(m.breaks):
        asked = next((h.value for h in held if equal(h.p, b)), None)
        place = r.hull.place(b)
        if asked is not None or place is None:
            values.append(asked)
        else:
            values.append(_steepest(_pick(_inner(place, r.hull), m.left(i), m.right(i))))
    return replace(m, values=tuple(values)).simplified()


# --------------------------------------------------------------------------- F alone


@dataclass(frozen=True)
class Missing:
    """A canonical choice that a forward map does not have, with the reason."""

    choice: str
    reason: str


def canonical_choices(forward: PiecewiseMap, budget: float = 2.0) -> tuple[list[Synthesized], list[Missing]]:
    """Every canonical (T, P) of a forward map alone, and the choices that it does not have, with reasons.

    T = id, P = F (F nondecreasing); T = -id, P = -F (F nonincreasing); P = id, T = F (F continuous with
    finite slopes); P = id with a gap at each jump, T affine over the gaps (F with jumps). For a
    nondecreasing staircase also each transform of the library, scaled where it does not reach the levels,
    on P = the staircase of the c with T(c) = level; and T = clip to the levels with P = id beyond them.
    ``budget``: seconds for each. Raises `InputError` for a map without a value somewhere, `Undecided` for
    infinitely many pieces. Source: docs/mathematics.md, section 3.
    """
    if forward.windowed:
        raise Undecided("the forward map changes infinitely often")
    hole = forward.undefined_on()
    if hole is not None:
        raise InputError(f"the forward map must have a value everywhere, but it has none on {_interval(*hole)}")
    forward = forward.simplified()
    jumping = any(not equal(forward.left(i), forward.right(i)) for i in range(len(forward.breaks)))
    stairs = all(not _settled(e, a, b).has(X) for e, (a, b) in zip(forward.exprs, forward.ends, strict=True))
    wanted: list[tuple[str, Callable[[], Synthesized]]] = [
        ("T = id, P = F", lambda: synthesize(IDENTITY, forward)),
        ("T = -id, P = -F", lambda: synthesize(-IDENTITY, -forward)),
        ("P = id, T = F", lambda: synthesize(forward, IDENTITY)),
    ]
    if jumping:
        wanted.append(("P = id with gaps at the jumps", lambda: solve_transform(forward, _opened(forward))))
    way = _way(forward) if stairs and jumping else 0
    if way:
        from theory.catalogue import TRANSFORM_LIBRARY

        rising, sign = (forward, "") if way > 0 else (-forward, "-")
        for entry in TRANSFORM_LIBRARY.values():
            if entry.map() != IDENTITY:
                wanted.append((f"T = {sign}{entry.name} on the levels", partial(_on_levels, rising, entry.map(), way)))
        words = f"T = {sign}clip to the levels, P = id beyond them"
        wanted.append((words, partial(_beyond_levels, rising, way)))
    made: list[Synthesized] = []
    missing: list[Missing] = []
    for choice, make in wanted:
        try:
            with limit(budget):
                found = make()
                if found.pair.forward != forward and not found.pair.forward.agrees(forward):
                    raise Undecided("T o P was not shown to be this forward map")
            # the same map; the form that was given is the shorter one
            pair = QuantizerPair(forward, found.pair.backward)
            made.append(Synthesized(pair, found.decomposition, choice))
        except OutOfTime:
            missing.append(Missing(choice, f"not settled within {budget:g} s"))
        except (InputError, Undecided) as reason:
            missing.append(Missing(choice, str(reason)))
    return made, missing


def _opened(forward: PiecewiseMap) -> PiecewiseMap:
    """x plus, at each jump of F, a gap as high as the jump; at the tie as far into the gap as F is into its jump."""
    shift: Expr = ZERO
    exprs, values = [X], []
    for i, b in enumerate(forward.breaks):
        left, right, v = forward.left(i), forward.right(i), forward.values[i]
        if left in (OO, -OO) or right in (OO, -OO) or v is None:
            raise InputError(f"F has no finite limits or no value at x = {_text(b)}")
        if not _between(v, left, right):
            raise InputError(f"F({_text(b)}) = {_text(v)} lies outside its limits {_text(left)} and {_text(right)}")
        values.append(_neat(b + shift + sp.Abs(v - left)))
        shift = _neat(shift + sp.Abs(right - left))
        exprs.append(X + shift)
    return PiecewiseMap(forward.breaks, tuple(exprs), tuple(values)).simplified()


def _way(forward: PiecewiseMap) -> int:
    """1 for a nondecreasing map, -1 for a nonincreasing one, 0 for another."""
    for way, m in ((1, forward), (-1, -forward)):
        with suppress(InputError):
            _check_prox(m)
            return way
    return 0


def _levels(forward: PiecewiseMap) -> list[Expr]:
    """The levels of a nondecreasing staircase and its values at the ties, in increasing order."""
    levels = [forward.exprs[0]]
    for v, e in zip(forward.values, forward.exprs[1:], strict=True):
        assert v is not None
        for c in (v, e):
            if less(levels[-1], c):
                levels.append(c)
    return levels


def _on_levels(forward: PiecewiseMap, transform: PiecewiseMap, way: int) -> Synthesized:
    """P = the staircase of the c with T(c) = level, the c nearest to 0; T scaled if it does not reach them.

    ``way`` -1: T and F are both turned around afterwards.
    """
    levels = _levels(forward)
    places = _reached_at(transform, levels)
    if places is None:
        top = _steepest(levels)
        at_one = transform(sp.Integer(sign_of(top)))
        if at_one is None or sign_of(at_one) * sign_of(top) <= 0:
            raise InputError("the transform does not reach the levels of F")
        transform = transform * PiecewiseMap.of(_neat(top / at_one))
        places = _reached_at(transform, levels)
    if places is None:
        raise InputError("the transform does not reach the levels of F, however it is scaled")
    if any(not less(a, b) for a, b in pairwise(places)):
        raise InputError("the transform does not take the levels of F in increasing order")

    def place(v: Expr) -> Expr:
        return next(c for level, c in zip(levels, places, strict=True) if equal(v, level))

    values = tuple(place(v) for v in forward.values if v is not None)
    prox = PiecewiseMap(forward.breaks, tuple(place(e) for e in forward.exprs), values)
    # T(c) = level at every c by construction
    return _composed_pair(*((transform, prox, forward) if way > 0 else (-transform, prox, -forward)))


_SIMPLE = (ZERO, sp.Integer(1), sp.Integer(-1))
"""Tried first: a scaled transform takes its outermost level at 1 or -1, whatever the form of that equation."""


def _takes(transform: PiecewiseMap, c: Expr, level: Expr) -> bool:
    value = transform(c)
    return value is not None and equal(value, level)


def _reached_at(transform: PiecewiseMap, levels: Sequence[Expr]) -> list[Expr] | None:
    """For each level the c nearest to 0 with T(c) = level; None if T does not reach one."""
    found = []
    for level in levels:
        simple = next((c for c in _SIMPLE if _takes(transform, c, level)), None)
        if simple is not None:
            found.append(simple)
            continue
        points: list[Expr] = []
        for e, (a, b) in zip(transform.exprs, transform.ends, strict=True):
            if e.has(X):
                roots = solve_level(e, level, a, b)
                if roots.window is not None:
                    raise Undecided(f"{e} takes the level {level} infinitely often")
                points += roots.points
            elif equal(e, level):
                points += [ZERO] if less(a, ZERO) and less(ZERO, b) else [c for c in (a, b) if c not in (OO, -OO)]
        points += [
            b for b, v in zip(transform.breaks, transform.values, strict=True) if v is not None and equal(v, level)
        ]
        if not points:
            return None
        nearest = points[0]
        for c in points[1:]:
            nearest = c if less(sp.Abs(c), sp.Abs(nearest)) else nearest
        found.append(_neat(nearest))
        expression_text(found[-1])  # algebraic numbers without radicals are no closed form
    return found


def _beyond_levels(forward: PiecewiseMap, way: int) -> Synthesized:
    """T = clip to the outermost levels, P = F between them and id beyond."""
    levels = _levels(forward)
    lo, hi = levels[0], levels[-1]
    outside = [b for b in forward.breaks if not (less(lo, b) and less(b, hi))]
    if outside:
        raise InputError(f"F jumps at x = {_text(outside[0])}, not between its levels {_text(lo)} and {_text(hi)}")
    clip = PiecewiseMap((lo, hi), (lo, X, hi), (lo, hi))
    prox = PiecewiseMap((lo, *forward.breaks, hi), (X, *forward.exprs, X), (lo, *forward.values, hi))
    return synthesize(clip if way > 0 else -clip, prox)


__all__ = [
    "Missing",
    "Synthesized",
    "canonical_choices",
    "integrate_backward",
    "solve_transform",
    "synthesize",
]
