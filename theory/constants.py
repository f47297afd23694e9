"""What a principled pair leaves open, and the constants that the convergence theory asks for.

The constants are those of the decomposition that `check` reports; where another admissible choice
has a smaller Lipschitz constant of T, that infimum stands beside it. With P' = F'/B on the moving
pieces and T'(P(x)) = B(x),

    sup|T'| = sup|B| there,    sup|T''| = sup|B'/P'|,    sup P' = sup F'/B,

and on a gap of P (at a jump of F) T is the polynomial of `theory.decomposition`. Every supremum is
proved, or enclosed by proved bounds (`theory.extrema`), or null with the reason; none is sampled.
Source: docs/mathematics.md, sections 1, 3 and 4.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import Expr, exp_rational, is_zero, limit_at, sign_on, solve_level
from theory.deadline import limit
from theory.decision import Anatomy, Node, Piece
from theory.errors import OutOfTime, Undecided
from theory.exact import X, equal, less, sign_of
from theory.extrema import Bound, decimals, exactly, greatest, largest_modulus, supremum
from theory.maps import OO, PiecewiseMap
from theory.pairs import Decomposition, Verdict
from theory.printing import expression_text

ZERO, ONE = sp.Integer(0), sp.Integer(1)


@dataclass(frozen=True)
class Constant:
    """A constant of the theory: a proved bound, or None with the reason."""

    bound: Bound | None
    reason: str

    @property
    def value(self) -> Expr | None:
        """The exact value (possibly oo), None where it is only enclosed or not known."""
        return self.bound.low if self.bound is not None and self.bound.exact else None

    def as_dict(self) -> dict[str, str | None]:
        """{value, low, high, reason}: texts; value is None where only low <= constant <= high is proved."""
        if self.bound is None:
            return {"value": None, "low": None, "high": None, "reason": self.reason}
        text = None
        if self.bound.exact:
            with contextlib.suppress(Undecided):
                text = expression_text(self.bound.low)
        low = text if text is not None else decimals(self.bound.low, up=False)
        high = text if text is not None else decimals(self.bound.high, up=True)
        return {"value": text, "low": low, "high": high, "reason": self.reason}


@dataclass(frozen=True)
class Freedom:
    """Something that (F, B) leave open: where on the x-axis, and what may be chosen."""

    kind: str
    start: Expr | None
    end: Expr | None
    what: str

    def as_dict(self) -> dict[str, str | None]:
        """{kind, from, to, what}; from and to are None where the freedom has no place."""
        return {"kind": self.kind, "from": _text(self.start), "to": _text(self.end), "what": self.what}


@dataclass(frozen=True)
class Growth:
    """What happens far out; None where it is not settled. ``hull``: the ends of P's range, +-oo allowed."""

    hull: tuple[Expr | None, Expr | None]
    transform_ends: tuple[Expr | None, Expr | None]
    prox_bounded: bool | None  # the same as r having a bounded domain

    @property
    def transform_bounded(self) -> bool | None:
        """Whether T is bounded on the hull, that is, whether F is bounded (it has finite limits inside)."""
        return _bounded(self.transform_ends)

    def as_dict(self) -> dict[str, Any]:
        """Texts and truth values; None: not settled."""
        return {
            "hull": [_text(c) for c in self.hull],
            "prox_bounded": self.prox_bounded,
            "regularizer_domain_bounded": self.prox_bounded,
            "transform_at_hull_ends": [_text(c) for c in self.transform_ends],
            "transform_bounded": self.transform_bounded,
        }


@dataclass(frozen=True)
class Facts:
    """Everything that the corollaries need of a principled pair."""

    freedoms: tuple[Freedom, ...]
    lipschitz: Constant  # sup |T'| on the hull
    least_lipschitz: Constant  # its infimum over the admissible choices
    slope_min: Constant
    slope_max: Constant
    curvature: Constant  # sup |T''|
    expansion: Constant  # sup P', oo where P jumps
    weak_convexity: Constant  # the least rho with r + rho w^2/2 convex
    growth: Growth
    affine: bool | None  # T can be affine on the hull
    slope: Expr | None  # its slope then
    indicator: bool | None  # the largest r takes only 0 and +oo (after a shift of P)
    indicator_shift: Expr | None
    smooth: bool
    convex: bool | None

    def as_dict(self) -> dict[str, Any]:
        """The object under "constants" in the JSON of `check`."""
        return {
            "transform_lipschitz": self.lipschitz.as_dict(),
            "transform_lipschitz_least": self.least_lipschitz.as_dict(),
            "transform_slope_inf": self.slope_min.as_dict(),
            "transform_slope_sup": self.slope_max.as_dict(),
            "transform_curvature": self.curvature.as_dict(),
            "prox_slope_sup": self.expansion.as_dict(),
            "weak_convexity": self.weak_convexity.as_dict(),
            "transform_affine": self.affine,
            "regularizer_is_indicator": self.indicator,
            "growth": self.growth.as_dict(),
        }


def _text(c: Expr | None) -> str | None:
    if c is None:
        return None
    try:
        return expression_text(c)
    except Undecided:
        return None


def _words(c: Expr) -> str:
    """A constant in a sentence."""
    return _text(c) or f"{decimals(c, up=False, digits=6)}..."


def _bounded(ends: tuple[Expr | None, Expr | None]) -> bool | None:
    if any(e in (OO, -OO) for e in ends):
        return False
    return None if None in ends else True


# --------------------------------------------------------------------------- gaps


@dataclass(frozen=True)
class Gap:
    """P's gap at a jump of F: its height, and T' at its two ends (both 0: the smoothstep)."""

    node: Node
    height: Expr
    left: Expr
    right: Expr

    @property
    def flat_ends(self) -> bool:
        return sign_of(self.left + self.right) == 0

    @property
    def jump(self) -> Expr:
        """The size of F's jump, > 0."""
        return (self.node.f_right - self.node.f_left) * self.node.jump

    def slopes(self) -> tuple[Expr, Expr]:
        """(least, greatest) T' on the gap."""
        if self.flat_ends:
            steepest = sp.Rational(3, 2) * self.node.jump * self.jump / self.height
            return (ZERO, steepest) if self.node.jump > 0 else (steepest, ZERO)
        return (self.left, self.right) if less(self.left, self.right) else (self.right, self.left)

    def curvature(self) -> Expr:
        """sup |T''| on the gap."""
        if self.flat_ends:
            return 6 * self.jump / self.height**2
        return sp.Abs(self.right - self.left) / self.height


def gaps(parts: Anatomy) -> list[Gap]:
    """The gaps at the jumps of F with T as `theory.decomposition` lays it: height 2 * jump/(sum of the slopes)."""
    found = []
    for i, n in enumerate(parts.nodes):
        if not n.jump:
            continue
        slopes = []
        for piece, b in ((parts.pieces[i], n.g_left), (parts.pieces[i + 1], n.g_right)):
            slopes.append(ZERO if piece.kind == "Z" or sign_of(b) not in (0, n.jump) else b)
        total = slopes[0] + slopes[1]
        jump = n.f_right - n.f_left
        height = sp.radsimp(2 * jump / total) if sign_of(total) else jump * n.jump
        found.append(Gap(n, height, *slopes))
    return found


def is_point(parts: Anatomy) -> bool:
    """Whether P is constant: only pieces with F' = 0 and B != 0, and no jump of F."""
    return all(p.kind == "K" for p in parts.pieces) and not any(n.jump for n in parts.nodes)


# --------------------------------------------------------------------------- suprema over a pair


def _moving(parts: Anatomy) -> list[Piece]:
    return [p for p in parts.pieces if p.kind == "S"]


def transform_lipschitz(parts: Anatomy, *, least: bool = False) -> Bound:
    """sup |T'| on the hull; ``least``: the infimum of it over the admissible choices of T on the gaps.

    On a gap between flat ends T can rise as slowly as one likes, so such a gap adds nothing to ``least``.
    """
    found = [exactly(ZERO)]
    found += [largest_modulus(p.g, p.a, p.b) for p in _moving(parts)]
    for gap in gaps(parts):
        if not (least and gap.flat_ends):
            low, high = gap.slopes()
            found.append(exactly(-low if less(high, -low) else high, "T on a gap"))
    if is_point(parts):
        found.append(exactly(sp.Abs(parts.pieces[0].level)))
    return greatest(found)


def transform_slope(parts: Anatomy, side: int, flat_gaps: bool = False) -> Bound:
    """sup T' on the hull (side = 1) or inf T' (side = -1); ``flat_gaps``: P also has gaps with T flat."""
    found = [supremum(side * p.g, p.a, p.b) for p in _moving(parts)]
    if flat_gaps or any(p.kind == "Z" for p in parts.pieces):
        found.append(exactly(ZERO))
    found += [exactly(side * s) for gap in gaps(parts) for s in gap.slopes()]
    if is_point(parts):
        found.append(exactly(side * parts.pieces[0].level))
    s = greatest(found)
    return s if side > 0 else Bound(-s.high, -s.low, s.method)


def transform_curvature(parts: Anatomy) -> Bound:
    """sup |T''| of a C^1 transform, almost everywhere: sup |B'/P'| where P moves, and T'' on the gaps."""
    found = [exactly(ZERO)]
    for p in _moving(parts):
        dg = sp.diff(p.g, X)
        if dg == 0 or is_zero(dg, p.a, p.b):
            continue
        second = _quotient(dg, p.ratio, p.a, p.b)
        found += [largest_modulus(second, c, d) for c, d in _between_poles(second, p.a, p.b)]
        if found[-1].low == OO:
            break
    found += [exactly(gap.curvature(), "T on a gap") for gap in gaps(parts)]
    return greatest(found)


def prox_slope(parts: Anatomy, flat_gaps: bool = False) -> Bound:
    """sup P': oo at a jump, F'/B where P moves, 1 on dead zones (the slope that is reported there)."""
    if flat_gaps or any(n.jump for n in parts.nodes):
        return exactly(OO, "P jumps")
    found = [exactly(ONE if p.kind == "Z" else ZERO) for p in parts.pieces if p.kind != "S"]
    for p in _moving(parts):
        found += [supremum(p.ratio, c, d) for c, d in _between_poles(p.ratio, p.a, p.b)]
        if found[-1].low == OO:
            break
    return greatest(found)


def _quotient(top: Expr, bottom: Expr, a: Expr, b: Expr) -> Expr:
    """top/bottom, cancelled where that is proved to be the same."""
    raw = top / bottom
    form = exp_rational(raw)
    if form is not None:
        return form.back(form.num) / form.back(form.den)
    for shorten in (sp.cancel, sp.simplify):
        with contextlib.suppress(Undecided, sp.PolynomialError):
            shorter = shorten(raw)
            if shorter.count_ops() < raw.count_ops() and is_zero(raw - shorter, a, b):
                raw = shorter
    return raw


def _between_poles(e: Expr, a: Expr, b: Expr) -> list[tuple[Expr, Expr]]:
    """(a, b) cut where the denominator of e vanishes."""
    if not e.has(X):
        return [(a, b)]
    form = exp_rational(e)
    den = form.back(form.den) if form is not None else sp.fraction(sp.together(e))[1]
    if not den.has(X) or sign_on(den, a, b).strict:
        return [(a, b)]
    zeros = solve_level(den, ZERO, a, b)
    if zeros.window is not None:
        raise Undecided(f"the zeros of {den} are too many")
    cuts = [a, *zeros.points, b]
    return list(pairwise(cuts))


def _weak_convexity(expansion: Constant) -> Constant:
    """The least rho with r + rho w^2/2 convex for the smallest r: 1 - 1/sup P' (r'' = 1/P' - 1 on the range)."""
    m = expansion.bound
    if m is None:
        return Constant(None, expansion.reason)
    words = "r + (this) w^2/2 is convex: 1 - 1/sup P'"
    if m.high == 0:
        return Constant(None, "P is constant: r is the indicator of one point")
    if m.low == OO:
        return Constant(exactly(ONE, "sup P' = oo"), f"{words}; for the smallest r, where P jumps")
    if m.low == 0:
        return Constant(None, "sup P' is not bounded away from 0")
    high = ONE if m.high == OO else 1 - 1 / m.high
    return Constant(Bound(1 - 1 / m.low, high, m.method) if not m.exact else exactly(high, m.method), words)


# --------------------------------------------------------------------------- freedoms


def freedoms(parts: Anatomy, smooth: bool, prox: PiecewiseMap | None) -> tuple[Freedom, ...]:
    """What (F, B) do not determine, from left to right, then what has no place on the x-axis."""
    found = [
        Freedom(
            "dead zone",
            p.a,
            p.b,
            f"P' may be any nonnegative number here, and P may jump at both ends (1 is reported, no jump); "
            f"T is constant, {_words(p.f)}, on what P covers",
        )
        for p in parts.pieces
        if p.kind == "Z"
    ]
    for gap in gaps(parts):
        n = gap.node
        rule = f"T goes monotonically from {_words(n.f_left)} to {_words(n.f_right)} over the gap"
        if smooth:
            rule += f" with T' = {_words(n.g_left)} and {_words(n.g_right)} at its ends, continuous and of one sign"
        else:
            rule += ", its slopes at the ends such that B is a generalised slope of T beside the jump"
        found.append(
            Freedom(
                "gap",
                n.x,
                n.x,
                f"P jumps here by any height > 0 ({_words(gap.height)} is reported); {rule}; what P takes at the tie, "
                "and r on the gap (at least its smallest reading), are free",
            )
        )
    found += _flat_gaps(parts, smooth, prox)
    found.sort(key=_Place)
    if is_point(parts):
        found.append(Freedom("slope", None, None, "P is constant: T beyond that one point and its slope are free"))
    found.append(Freedom("constant", None, None, "P + c with T(p - c) gives the same pair; r is up to a constant"))
    found.append(Freedom("outside", None, None, "T outside the hull of the range of P plays no role"))
    return tuple(found)


class _Place:
    """Sorts freedoms by where they begin."""

    def __init__(self, f: Freedom) -> None:
        self.start = f.start

    def __lt__(self, other: _Place) -> bool:
        return less(self.start, other.start)


def _flat_gaps(parts: Anatomy, smooth: bool, prox: PiecewiseMap | None) -> list[Freedom]:
    """Where a lipschitz pair may open a gap of P with T flat across: beside a piece or value that holds P."""
    if smooth:
        return []
    found = []
    for i, n in enumerate(parts.nodes):
        left, right = parts.pieces[i], parts.pieces[i + 1]
        kinds = {left.kind, right.kind}
        lone = n.g_value is not None and not (equal(n.g_value, n.g_left) or equal(n.g_value, n.g_right))
        if n.jump or not (kinds & {"K", "Z"} or lone):
            continue
        if "Z" in kinds and "K" not in kinds and not lone:
            continue  # said with the dead zone
        taken = _opens_at(prox, n.x)
        state = {True: "a gap is reported", False: "none is reported", None: "whether one is reported is not settled"}
        found.append(
            Freedom(
                "flat gap",
                n.x,
                n.x,
                f"P may jump here by any height >= 0 with T flat across, as far as B stays a generalised slope of T "
                f"at both ends ({state[taken]})",
            )
        )
    return found


def has_flat_gaps(parts: Anatomy, smooth: bool, prox: PiecewiseMap | None) -> bool:
    """Whether the reported P jumps where F does not. Raises `Undecided` where P has no closed form."""
    if smooth:
        return False
    if prox is None:
        raise Undecided("P has no closed form, so its gaps are not known")
    return any(_opens_at(prox, n.x) for n in parts.nodes if not n.jump)


def _opens_at(prox: PiecewiseMap | None, x: Expr) -> bool | None:
    if prox is None:
        return None
    for i, b in enumerate(prox.breaks):
        if equal(b, x):
            return not equal(prox.left(i), prox.right(i))
    return False


# --------------------------------------------------------------------------- growth, affinity, indicators


def _growth(parts: Anatomy, prox: PiecewiseMap | None) -> Growth:
    first, last = parts.pieces[0], parts.pieces[-1]
    hull = _range_end(first, prox, -OO), _range_end(last, prox, OO)
    bounded = [
        _converges(p, end) if c is None else c not in (OO, -OO)
        for c, p, end in zip(hull, (first, last), (-OO, OO), strict=True)
    ]
    return Growth(
        hull,
        (_settled_limit(first.f, -OO), _settled_limit(last.f, OO)),
        False if False in bounded else None if None in bounded else True,
    )


def _converges(outer: Piece, end: Expr) -> bool | None:
    """Whether P = integral of F'/B stays finite towards an infinite end, by comparison with powers of x."""
    size = X if end == OO else -X
    ratio = _settled_limit(outer.ratio * size, end)
    if ratio is not None and ratio != 0:
        return False
    ratio = _settled_limit(outer.ratio * size ** sp.Rational(3, 2), end)
    return True if ratio is not None and ratio not in (OO, -OO) else None


def _settled_limit(e: Expr, end: Expr) -> Expr | None:
    try:
        return limit_at(e, end, 1)
    except Undecided:
        return None


def _range_end(outer: Piece, prox: PiecewiseMap | None, end: Expr) -> Expr | None:
    """The limit of P at an end of the line."""
    if outer.kind == "Z":
        return end
    if prox is not None:
        value = _settled_limit(prox.exprs[0 if end == -OO else -1], end)
        if value is not None:
            return value
    if outer.kind == "S" and _converges(outer, end) is False:
        return end
    return None


def affine_slope(parts: Anatomy) -> Expr | None:
    """The slope of T where T can be affine on the hull, else None.

    T is affine with slope b iff B = b off the jumps of F and every jump has the sign of b: on a gap of
    height jump/b the affine T is admissible then.
    """
    level: Expr | None = None
    for p in parts.pieces:
        if p.g.has(X):
            return None
        b = p.g if p.kind == "S" else p.level
        if level is not None and not equal(level, b):
            return None
        level = b
    if any(not n.jump and n.g_value is not None and not equal(n.g_value, level) for n in parts.nodes):
        return None
    if any(n.jump and n.jump != sign_of(level) for n in parts.nodes):
        return None
    return level


def indicator_shift(parts: Anatomy, d: Decomposition | None) -> Expr | None:
    """c such that the largest r of P + c takes only one value and +oo; None if there is none.

    P + c is the proximal map of r(w - c) - c w + constant: so r must be c times w plus a constant
    wherever it is finite. Raises `Undecided` where r is not known.
    """
    for p in _moving(parts):  # on its domain such an r is affine, so P' = 1 where P moves
        if p.ratio != 1 and not is_zero(p.ratio - 1, p.a, p.b):
            return None
    if d is None or d.regularizer.largest is None:
        raise Undecided("r has no closed form here")
    r = d.regularizer.largest
    points: list[tuple[Expr, Expr]] = []
    slope: Expr | None = None
    for e, (a, b) in zip(r.exprs, r.ends, strict=True):
        if e is OO:
            continue
        de = sp.diff(e, X)
        if de.has(X):
            if not is_zero(sp.diff(de, X), a, b):
                return None
            de = sp.simplify(de)
        if slope is not None and not equal(slope, de):
            return None
        slope = de
        at = next(c for c in (a, b, ZERO) if c not in (OO, -OO))
        points.append((at, limit_at(e, at, 1 if at == a else -1)))
    points += [(b, v) for b, v in zip(r.breaks, r.values, strict=True) if v not in (OO, -OO, None)]
    if slope is None:
        if len(points) < 2:
            return ZERO
        (p, v), (q, w) = points[0], points[-1]
        slope = sp.simplify((w - v) / (q - p))
    p0, v0 = points[0]
    for p, v in points[1:]:
        if not equal(v - v0, slope * (p - p0)):
            return None
    return slope


# --------------------------------------------------------------------------- all of it


def facts(parts: Anatomy, verdict: Verdict, budget: float = 4.0) -> Facts:
    """The freedoms and constants of a principled pair, all within about ``budget`` seconds.

    What is not reached is None with the reason; nothing here changes the verdict.
    """
    smooth = verdict.grade == "smooth"
    d = verdict.decomposition
    prox = None if d is None else d.prox

    end = time.process_time() + budget

    def share() -> float:
        """Seconds for the next constant: at most two fifths of all, and what is left."""
        return min(0.4 * budget, end - time.process_time())

    def constant(make: Callable[[], Bound], words: str = "") -> Constant:
        try:
            with limit(share()):
                b = make()
        except (Undecided, sp.PolynomialError, NotImplementedError) as reason:
            return Constant(None, f"not settled: {str(reason)[:200]}")
        except OutOfTime:
            return Constant(None, "not settled in time")
        return Constant(b, f"{words}; {b.method}" if words else b.method)

    def settled(make: Callable[[], Any], otherwise: Any) -> Any:
        try:
            with limit(share()):
                return make()
        except (Undecided, OutOfTime, sp.PolynomialError, NotImplementedError):
            return otherwise

    # cheap things first: what is slow may take the rest of the time
    expansion = constant(lambda: prox_slope(parts, has_flat_gaps(parts, smooth, prox)))
    lipschitz = constant(lambda: transform_lipschitz(parts))
    least = lipschitz
    if any(g.flat_ends for g in settled(lambda: gaps(parts), [])):
        least = constant(lambda: transform_lipschitz(parts, least=True), "infimum over the choices of T on the gaps")
    slope = settled(lambda: (affine_slope(parts),), None)
    shift = settled(lambda: (indicator_shift(parts, d),), None)
    return Facts(
        freedoms=settled(lambda: freedoms(parts, smooth, prox), ()),
        lipschitz=lipschitz,
        least_lipschitz=least,
        slope_min=constant(lambda: transform_slope(parts, -1, has_flat_gaps(parts, smooth, prox))),
        slope_max=constant(lambda: transform_slope(parts, 1, has_flat_gaps(parts, smooth, prox))),
        curvature=constant(lambda: transform_curvature(parts))
        if smooth
        else Constant(None, "T has kinks: no admissible T is continuously differentiable"),
        expansion=expansion,
        weak_convexity=_weak_convexity(expansion),
        growth=settled(lambda: _growth(parts, prox), Growth((None, None), (None, None), None)),
        affine=None if slope is None else slope[0] is not None,
        slope=None if slope is None else slope[0],
        indicator=None if shift is None else shift[0] is not None,
        indicator_shift=None if shift is None else shift[0],
        smooth=smooth,
        convex=verdict.convex,
    )


def unsettled(verdict: Verdict, reason: str) -> Facts:
    """The facts of a pair of which none was settled, with the reason."""
    none = Constant(None, reason)
    growth = Growth((None, None), (None, None), None)
    smooth = verdict.grade == "smooth"
    return Facts((), none, none, none, none, none, none, none, growth, None, None, None, None, smooth, verdict.convex)


__all__ = [
    "Constant",
    "Facts",
    "Freedom",
    "Gap",
    "Growth",
    "affine_slope",
    "facts",
    "freedoms",
    "gaps",
    "indicator_shift",
    "prox_slope",
    "transform_curvature",
    "transform_lipschitz",
    "transform_slope",
    "unsettled",
]
