"""Is a forward-backward pair principled? The decision of docs/mathematics.md, section 3, with exact witnesses.

Both maps are cut at their common breakpoints. Every open piece is of one of three kinds,

    S  F' B > 0 off isolated points and F'/B integrable up to finite ends  (P' = F'/B there),
    K  F' = 0 and B a nonzero constant                                     (P constant),
    Z  F' = 0 and B = 0, a dead zone                                       (P free, T flat),

and any other piece refutes the pair at once. The breakpoints then decide between the grades: a
pair is *smooth* if T can be C^1, *lipschitz* if T needs kinks whose generalised derivative B
selects, and *unprincipled* otherwise. Every refutation carries exact points.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp
from sympy.polys.polyerrors import BasePolynomialError

from theory.analytic import (
    Expr,
    Sign,
    ball_at,
    cancelled,
    exp_rational,
    folds,
    hints,
    is_zero,
    limit_at,
    negative_point,
    samples,
    sign_at_by_factors,
    sign_on,
    solve_level,
    trig_rational,
    without_roots,
)
from theory.balls import fmpq
from theory.deadline import DeadlinePassed, limit
from theory.errors import OutOfTime, Undecided
from theory.exact import X, compare, enclose, equal, less, precision, rational_between, sign_of
from theory.maps import OO, PiecewiseMap
from theory.pairs import QuantizerPair, Verdict, Witness

ZERO = sp.Integer(0)


class Refuted(Exception):
    """Raised inside the decision where the definition fails; carries the witness."""

    def __init__(self, kind: str, points: tuple[Any, ...], sentence: str) -> None:
        super().__init__(sentence)
        self.witness = Witness(kind, points, sentence)


@dataclass(frozen=True)
class Piece:
    """One open piece (a, b) of the common refinement: its kind, F and B there, and their limits."""

    kind: str  # S, K or Z
    a: Expr
    b: Expr
    f: Expr
    g: Expr  # the backward expression
    ratio: Expr  # F'/B on S, else 0
    f_ends: tuple[Expr, Expr]
    g_ends: tuple[Expr, Expr]
    level: Expr = ZERO  # the constant value of B on K and Z


@dataclass(frozen=True)
class Node:
    """One breakpoint x between two pieces."""

    x: Expr
    jump: int  # sign of F's jump, 0 where F is continuous
    f_left: Expr
    f_right: Expr
    f_value: Expr | None
    g_left: Expr
    g_right: Expr
    g_value: Expr | None


@dataclass(frozen=True)
class Anatomy:
    """A pair cut into classified pieces and breakpoints: what all constructions below read."""

    pieces: tuple[Piece, ...]
    nodes: tuple[Node, ...]
    windowed: bool


# --------------------------------------------------------------------------- pieces


_SHORT = tuple(s * sp.Rational(n, d) for n, d in ((1, 4), (1, 2), (3, 4), (1, 1), (2, 1), (5, 1)) for s in (-1, 1))


def _differing_points(g: Expr, a: Expr, b: Expr, bits: int) -> tuple[Expr, Expr]:
    """Two rational points of (a, b) at which g provably differs, short ones first."""
    points = [*(p for p in _SHORT if less(a, p) and less(p, b)), *samples(a, b), *hints(g, a, b)]
    first = ball_at(g, points[0], bits)
    for p in points[1:]:
        d = ball_at(g, p, bits) - first
        if d > 0 or d < 0:
            return (points[0], p) if less(points[0], p) else (p, points[0])
    raise Undecided(f"{g} is not constant between {a} and {b}, but no two differing points were found")


_LARGEST_ORDER = 12
"""Derivatives tried at a zero of a function that is no product of powers; those are counted exactly."""


def _orders_at(df: Expr, g: Expr, x: Expr) -> tuple[int, int] | None:
    """The orders (m, n) of the zeros of analytic df and g at the exact point x if m < n, else None."""
    n = _order_at(g, x)
    m = _order_at(df, x, below=n)
    return (m, n) if m < n else None


def _order_at(e: Expr, x: Expr, below: int | None = None) -> int:
    """The order of the zero of e at x: over factors and powers by addition, else by the first derivative without it.

    From ``below`` on the order does not matter: then any number from there on.
    """
    if not e.has(X):
        return 0
    if e.is_Mul:
        pole = any(factor.is_Pow and factor.exp.is_negative for factor in e.args)  # it may take off from a capped order
        return sum(_order_at(factor, x, None if pole else below) for factor in e.args)
    if e.is_Pow and e.exp.is_Integer and e.base is not sp.E:
        return int(e.exp) * _order_at(e.base, x)
    if e.is_Add and e.is_polynomial(X):
        _, factors = sp.factor_list(e, X)
        if len(factors) > 1 or (factors and factors[0][1] > 1):
            return sum(int(k) for q, k in factors if _vanishes(q, x))
    order = 0
    while _vanishes(e, x):
        order += 1
        if below is not None and order >= below:
            return order
        if order > _LARGEST_ORDER:
            raise Undecided(f"the order of the zero at {x}")
        e = sp.diff(e, X)
    return order


def _vanishes(e: Expr, x: Expr) -> bool:
    """Whether e(x) = 0 at an exact point; most values are told from 0 by an enclosure."""
    with precision(192):
        ball = enclose(e, enclose(x))
    if ball > 0 or ball < 0:
        return False
    return sign_of(sp.simplify(e.subs(X, x))) == 0


_SECONDS_TO_SIMPLIFY = 0.5
_SHORT_RATIO = 12


@lru_cache(maxsize=500)
def _ratio(df: Expr, g: Expr) -> Expr:
    """F'/B, cancelled where a normal form exists."""
    quotient = df / g
    form = exp_rational(quotient)
    if form is not None:
        if form.num.is_ground and form.den.is_ground:
            return form.num.as_expr() / form.den.as_expr()
        if form.rate == 0:
            return sp.factor_terms(form.back(form.num) / form.back(form.den))
    turned = trig_rational(quotient)
    if turned is not None and turned.num.is_ground and turned.den.is_ground:
        return turned.num.as_expr() / turned.den.as_expr()
    with contextlib.suppress(OutOfTime), limit(_SECONDS_TO_SIMPLIFY):
        short = cancelled(quotient)
        ops = short.count_ops()
        if ops <= _SHORT_RATIO or 2 * ops < quotient.count_ops():
            return short
    try:
        with limit(_SECONDS_TO_SIMPLIFY):
            simple = sp.simplify(quotient)
            if simple.has(sp.zoo, sp.nan) or not is_zero(quotient - simple):
                return quotient
    except (OutOfTime, Undecided, BasePolynomialError):
        return quotient
    return simple


def _check_integrable_inside(df: Expr, g: Expr, ratio: Expr, a: Expr, b: Expr) -> None:
    if not ratio.has(X):
        return
    form, turned = exp_rational(ratio), trig_rational(ratio)
    if form is not None:
        with contextlib.suppress(Undecided):
            if sign_on(form.back(form.den), a, b).strict:
                return
    if turned is not None and turned.at_pole is not OO and sign_on(turned.den.as_expr(), -OO, OO).strict:
        return  # bounded over the whole period
    for q in (g, sp.fraction(sp.together(ratio))[1]):
        with contextlib.suppress(Undecided):
            if sign_on(q, a, b).strict:
                return
    zeros = solve_level(g, ZERO, a, b)
    for x0 in zeros.points:
        orders = _orders_at(df, g, x0)
        if orders is not None:
            m, n = orders
            sentence = f"F'/B is not integrable at x = {x0}: B vanishes there to order {n} and F' to order {m}"
            raise Refuted("not-integrable", (x0,), sentence)
    if zeros.window is not None:
        lo, hi = zeros.window
        raise Undecided(f"whether F'/B is integrable at the zeros of B outside {lo} < x < {hi}")


def _check_integrable_end(df: Expr, g: Expr, ratio: Expr, end: Expr, side: int) -> None:
    """F'/B integrable beside a finite end (side: +1 the piece lies right of it)."""
    if not ratio.has(X) or sign_of(limit_at(g, end, side)) != 0:
        return  # B stays away from 0 and F is bounded, so the integral of F'/B converges
    try:
        value = limit_at(ratio, end, side)
        if value not in (OO, -OO):
            return
    except Undecided:
        pass
    # local exponent of F'/B: x rho'/rho tends to it
    local = (X - end) * (sp.diff(ratio, X) / ratio)
    try:
        exponent = limit_at(cancelled(local), end, side)
    except Undecided:
        exponent = limit_at(sp.simplify(local), end, side)
    if exponent is -OO or compare(exponent, sp.Integer(-1)) < 0:
        order = exponent
    elif compare(exponent, sp.Integer(-1)) > 0:
        return
    else:
        residue = sp.simplify((X - end) * ratio)
        strength = limit_at(residue, end, side)
        if strength not in (OO, -OO) and sign_of(strength) == 0 and _log_integrable(residue, end, side):
            return
        order = exponent
    raise Refuted(
        "not-integrable",
        (end,),
        f"F'/B is not integrable beside x = {end}: it behaves like |x - ({end})|^({order})",
    )


def _log_integrable(residue: Expr, end: Expr, side: int) -> bool:
    """Whether residue/(x - end) is integrable where residue ~ |log|^q: iff q < -1 (q = -1 exactly: not)."""
    log = sp.log(side * (X - end))
    power = limit_at(sp.simplify((X - end) * log * sp.diff(residue, X) / residue), end, side)
    order = -1 if power is -OO else 1 if power is OO else compare(power, sp.Integer(-1))
    if order == 0:
        strength = limit_at(sp.simplify(residue * log), end, side)
        if strength not in (OO, -OO) and sign_of(strength) == 0:
            raise Undecided(f"whether F'/B is integrable beside {end}")
    return order < 0


def _settled(e: Expr, a: Expr, b: Expr) -> Expr:
    """e, or the constant that it is proved to equal (sin^2 + cos^2 becomes 1)."""
    if not e.has(X) or not is_zero(sp.diff(e, X), a, b):
        return e
    at = rational_between(a, b)
    ball = ball_at(e, at)
    if ball.is_finite():
        digits = Fraction(ball.mid().str(40, radius=False)).limit_denominator(10_000)
        guess = sp.Rational(digits.numerator, digits.denominator)
        with contextlib.suppress(Undecided):
            if ball.contains(fmpq(digits.numerator, digits.denominator)) and is_zero(e - guess, a, b):
                return guess
    return sp.simplify(e.subs(X, at))


def _ends(e: Expr, a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """The limits at finite ends; None at infinite ends, where nothing is compared."""
    if not e.has(X):
        return e, e
    return (None if a == -OO else limit_at(e, a, 1), None if b == OO else limit_at(e, b, -1))


def _piece(f: Expr, g: Expr, a: Expr, b: Expr, bits: int) -> Piece:
    f, g = _settled(f, a, b), _settled(g, a, b)
    no_limit: Undecided | None = None
    try:
        ends = _finite_ends(f, g, a, b)
    except Undecided as reason:
        no_limit = reason  # the inside may still refute the pair, which settles it
    kind, ratio = _kind(f, g, a, b, bits)
    if no_limit is not None:
        raise no_limit
    return Piece(kind, a, b, f, g, ratio, *ends, level=g if kind == "K" else ZERO)


def _finite_ends(f: Expr, g: Expr, a: Expr, b: Expr) -> tuple[tuple[Expr, Expr], tuple[Expr, Expr]]:
    f_ends, g_ends = _ends(f, a, b), _ends(g, a, b)
    for end, fl, gl in ((a, f_ends[0], g_ends[0]), (b, f_ends[1], g_ends[1])):
        if end in (OO, -OO):
            continue
        if fl in (OO, -OO):
            raise Refuted("unbounded", (end,), f"F has an infinite limit beside x = {end}, so T is not Lipschitz")
        if gl in (OO, -OO):
            raise Refuted("unbounded", (end,), f"B is unbounded beside x = {end}, so T is not Lipschitz there")
    return f_ends, g_ends


def _kind(f: Expr, g: Expr, a: Expr, b: Expr, bits: int) -> tuple[str, Expr]:
    """S, K or Z, and F'/B on S; raises `Refuted` where the piece is none of them."""
    f_flat, g_null = not f.has(X), g == 0 or (not g.has(X) and sign_of(g) == 0)
    if f_flat and g_null:
        return "Z", ZERO
    if f_flat:
        if g.has(X):
            p, q = _differing_points(g, a, b, bits)
            raise Refuted(
                "backward-varies-on-level-set",
                (p, q),
                f"F is constant between x = {p} and x = {q}, so both have the same P, but B differs: B({p}) != B({q})",
            )
        return "K", ZERO
    if g_null:
        p, q = _differing_points(f, a, b, bits)
        raise Refuted(
            "forward-moves-where-backward-vanishes",
            (p, q),
            f"B = 0 between x = {p} and x = {q}, so T(P(x)) cannot move there, but F({p}) != F({q})",
        )
    df = sp.diff(f, X)
    ratio = _ratio(df, g)
    opposite = _opposite_point(df, g, ratio, a, b)
    if opposite is not None:
        raise _opposite(opposite)
    _check_integrable(df, g, ratio, a, b)
    return "S", ratio


def _opposite_point(df: Expr, g: Expr, ratio: Expr, a: Expr, b: Expr) -> Expr | None:
    """A point of (a, b) with F'B < 0, or None if F'B >= 0 is proved."""
    if not ratio.has(X):
        return _negative_point(df * g, None, a, b) if sign_of(ratio) < 0 else None
    found = negative_point(df * g, a, b)
    if found is not None:
        return found
    s = _sign_of_product(df, g, ratio, a, b)
    return _negative_point(df * g, s.negative, a, b) if s.value is None or s.value < 0 else None


def _sign_of_product(df: Expr, g: Expr, ratio: Expr, a: Expr, b: Expr) -> Sign:
    """The sign of F'B, from F'/B where that has a normal form or is the shorter of the two and has no pole."""
    if exp_rational(ratio) is not None:
        return sign_on(ratio, a, b)
    if 2 * ratio.count_ops() < (df * g).count_ops():
        with contextlib.suppress(Undecided):
            if sign_on(sp.fraction(sp.together(ratio))[1], a, b).strict:
                return sign_on(ratio, a, b)
    return sign_on(df * g, a, b)


def _check_integrable(df: Expr, g: Expr, ratio: Expr, a: Expr, b: Expr) -> None:
    _check_integrable_inside(df, g, ratio, a, b)
    for end, side in ((a, 1), (b, -1)):
        if end not in (OO, -OO):
            _check_integrable_end(df, g, ratio, end, side)


def _negative_point(q: Expr, hint: Expr | None, a: Expr, b: Expr) -> Expr:
    """A rational point of (a, b) at which q < 0 is proved; the ratio may be negative where q is 0."""
    for p in ([] if hint is None else [hint]) + samples(a, b):
        if sign_at_by_factors(q, p) == -1:
            return p
    if hint is not None:
        for p in samples(hint - sp.Rational(1, 2**20), hint + sp.Rational(1, 2**20)):
            if less(a, p) and less(p, b) and ball_at(q, p) < 0:
                return p
    raise Undecided(f"{q} is negative somewhere between {a} and {b}, but no exact point was found")


def _opposite(point: Expr) -> Refuted:
    return Refuted(
        "opposite-signs",
        (point,),
        f"F'(x) B(x) < 0 at x = {point}: P' = F'/B would be negative, so P is not monotone",
    )


_WITNESS_BITS = (192, 4096)
"""A difference that shows only at the second accuracy is asked for where no other piece refutes the pair."""


@lru_cache(maxsize=200)
def unfolded(pair: QuantizerPair) -> QuantizerPair:
    """The same pair cut where roots have kinks, with the roots of perfect squares written without roots."""
    forward, backward = _unfolded(pair.forward), _unfolded(pair.backward)
    if forward is pair.forward and backward is pair.backward:
        return pair
    return replace(pair, forward=forward, backward=backward)


def _unfolded(m: PiecewiseMap) -> PiecewiseMap:
    if not any(p.exp.is_Rational and not p.exp.is_Integer for e in m.exprs for p in e.atoms(sp.Pow)):
        return m
    points: list[Expr] = []
    lo, hi = m.known_from, m.known_to
    for i, e in enumerate(m.exprs):
        a, b = _known_part(m, i)
        if less(a, b):
            found = folds(e, a, b)
            points += found.points
            if found.window is not None:
                lo = found.window[0] if less(a, found.window[0]) and less(lo, found.window[0]) else lo
                hi = found.window[1] if less(found.window[1], b) and less(found.window[1], hi) else hi
    out = replace(m, known_from=lo, known_to=hi).refine(points)
    exprs = []
    for i, e in enumerate(out.exprs):
        a, b = _known_part(out, i)
        exprs.append(without_roots(e, a, b) if less(a, b) else e)
    return m if out == m and tuple(exprs) == m.exprs else replace(out, exprs=tuple(exprs))


def _known_part(m: PiecewiseMap, i: int) -> tuple[Expr, Expr]:
    """The ends of a piece within the window in which the map is known."""
    a, b = m.ends[i]
    return (m.known_from if less(a, m.known_from) else a), (m.known_to if less(m.known_to, b) else b)


def anatomy(pair: QuantizerPair) -> Anatomy:
    """Cut a pair into classified pieces. Raises `Refuted` or `Undecided`."""
    pair = unfolded(pair)
    f = pair.forward.refine(pair.backward.breaks)
    g = pair.backward.refine(pair.forward.breaks)
    lo = f.known_from if less(g.known_from, f.known_from) else g.known_from
    hi = f.known_to if less(f.known_to, g.known_to) else g.known_to
    first = sum(1 for b in f.breaks if compare(b, lo) <= 0)
    last = sum(1 for b in f.breaks if less(b, hi))
    found: dict[int, Piece] = {}
    open_question: Undecided | None = None
    for bits in _WITNESS_BITS:
        open_question = None
        for i in range(first, last + 1):
            if i in found:
                continue
            a, b = f.ends[i]
            a, b = lo if less(a, lo) else a, hi if less(hi, b) else b
            try:
                found[i] = _piece(f.exprs[i], g.exprs[i], a, b, bits)
            except Undecided as reason:
                # a later piece may still refute the pair, which settles it
                open_question = open_question or reason
        if open_question is None:
            break
    if open_question is not None:
        raise open_question
    pieces = [found[i] for i in range(first, last + 1)]
    nodes = []
    for i in range(first, last):
        x, left, right = f.breaks[i], pieces[i - first], pieces[i - first + 1]
        jump = compare(right.f_ends[0], left.f_ends[1])
        node = Node(x, jump, left.f_ends[1], right.f_ends[0], f.values[i], left.g_ends[1], right.g_ends[0], g.values[i])
        if jump == 0 and node.f_value is not None and not equal(node.f_value, node.f_left):
            raise Refuted(
                "isolated-forward-value",
                (x,),
                f"F has the limit {node.f_left} from both sides of x = {x} but the value {node.f_value} there; "
                "T o P cannot take a value off the limit at a point",
            )
        nodes.append(node)
    return Anatomy(tuple(pieces), tuple(nodes), lo != -OO or hi != OO)


# --------------------------------------------------------------------------- grades


def _fits(sign: int, c: Expr) -> bool:
    """Whether c has the given sign or is 0."""
    return sign_of(c) in (0, sign)


def is_smooth(parts: Anatomy) -> bool:
    """T can be C^1: at each breakpoint F and B are continuous, or F jumps and B has the jump's sign."""
    for n in parts.nodes:
        if n.jump:
            if not (_fits(n.jump, n.g_left) and _fits(n.jump, n.g_right)):
                return False
        elif not equal(n.g_left, n.g_right) or (n.g_value is not None and not equal(n.g_value, n.g_left)):
            return False
    return True


@dataclass(frozen=True)
class Side:
    """The slopes offered at one end of a run: one number, a half-line by the jump's sign, or none."""

    slope: Expr | None = None
    jump: int = 0
    absent: bool = False
    unknown: bool = False  # the run goes on beyond the window that was examined

    def offers(self, b: Expr) -> bool:
        """Whether b itself is among the slopes (0 is not added)."""
        if self.absent:
            return False
        if self.unknown:
            return True
        if self.slope is not None:
            return equal(self.slope, b)
        return _fits(self.jump, b)

    def reaches(self, b: Expr) -> bool:
        """Whether b lies in the hull of 0 and the slopes."""
        if sign_of(b) == 0 or self.unknown:
            return True
        if self.absent:
            return False
        if self.slope is None:
            return _fits(self.jump, b)
        return _between(b, ZERO, self.slope)


def _between(b: Expr, p: Expr, q: Expr) -> bool:
    return compare(b, p) * compare(b, q) <= 0


def _in_hull(b: Expr, left: Side, right: Side) -> bool:
    """b in the hull of both sides' slopes and 0."""
    if left.reaches(b) or right.reaches(b):
        return True
    if left.slope is not None and right.slope is not None:
        return _between(b, left.slope, right.slope)
    return False


@dataclass(frozen=True)
class Segment:
    """A maximal stretch of a run with one value of B; ``at`` is a point of it."""

    level: Expr
    at: Expr


@dataclass(frozen=True)
class Run:
    """Adjacent K and Z pieces and unjumped breakpoints between two S pieces, jumps or infinities."""

    segments: tuple[Segment, ...]
    left: Side
    right: Side


def runs(parts: Anatomy) -> list[Run]:
    """The maximal runs of a pair, in order."""
    found: list[Run] = []
    current: list[Segment] = []
    left = Side(absent=True) if parts.pieces[0].a == -OO else Side(unknown=True)
    active = False

    def add(level: Expr, at: Expr) -> None:
        if not current or not equal(current[-1].level, level):
            current.append(Segment(level, at))

    def close(right: Side) -> None:
        nonlocal active
        if active and current:
            found.append(Run(tuple(current), left, right))
        current.clear()
        active = False

    for i, piece in enumerate(parts.pieces):
        if piece.kind == "S":
            close(Side(slope=piece.g_ends[0]))
            left, active = Side(slope=piece.g_ends[1]), True
        else:
            add(piece.level, rational_between(piece.a, piece.b))
            active = True
        if i < len(parts.nodes):
            n = parts.nodes[i]
            if n.jump:
                close(Side(jump=n.jump))
                left, active = Side(jump=n.jump), True
            elif n.g_value is not None:
                add(n.g_value, n.x)
    close(Side(absent=True) if parts.pieces[-1].b == OO else Side(unknown=True))
    return found


def check_lipschitz(parts: Anatomy) -> None:
    """Raise `Refuted` unless every run passes the rule of docs/mathematics.md, section 3."""
    for run in runs(parts):
        s = run.segments
        if len(s) == 1:
            b, at = s[0].level, s[0].at
            if (run.left.absent and run.right.absent) or run.left.unknown or run.right.unknown:
                continue
            if run.left.absent or run.right.absent:
                other = run.right if run.left.absent else run.left
                if sign_of(b) != 0 and not other.offers(b):
                    raise _slope_refusal(at, b, run)
            elif not _in_hull(b, run.left, run.right):
                raise _slope_refusal(at, b, run)
            continue
        for inner in s[1:-1]:
            if sign_of(inner.level) != 0:
                raise Refuted(
                    "level-set-with-several-slopes",
                    (s[0].at, inner.at, s[-1].at),
                    f"F has one value at x = {s[0].at}, {inner.at} and {s[-1].at}, so T is flat between their P, "
                    f"but B = {inner.level} at x = {inner.at} is not 0",
                )
        for segment, side, neighbour in ((s[0], run.left, s[1]), (s[-1], run.right, s[-2])):
            if not side.reaches(segment.level):
                raise Refuted(
                    "level-set-with-several-slopes",
                    tuple(sorted((segment.at, neighbour.at), key=sp.default_sort_key))
                    if not less(segment.at, neighbour.at)
                    else (segment.at, neighbour.at),
                    f"F has one value at x = {segment.at} and x = {neighbour.at}, so T is flat between their P, "
                    f"but B = {segment.level} at x = {segment.at} lies outside the slopes that T can have there",
                )


def _slope_refusal(at: Expr, b: Expr, run: Run) -> Refuted:
    def words(side: Side) -> str:
        if side.absent:
            return "none"
        if side.unknown:
            return "unknown"
        if side.slope is not None:
            return str(side.slope)
        return "[0, oo)" if side.jump > 0 else "(-oo, 0]"

    return Refuted(
        "slope-outside-subdifferential",
        (at,),
        f"B = {b} at x = {at} is no generalised slope of T there: the slopes offered are {words(run.left)} "
        f"on the left and {words(run.right)} on the right",
    )


# --------------------------------------------------------------------------- convexity and the literal reading


def convex_regularizer(parts: Anatomy) -> bool | None:
    """Whether some admissible P is single-valued and nonexpansive; None if that is not settled."""
    if any(n.jump for n in parts.nodes):
        return False
    settled = True
    for p in parts.pieces:
        if p.kind != "S":
            continue
        if not p.ratio.has(X):
            if compare(p.ratio, sp.Integer(1)) > 0:
                return False
            continue
        nonexpansive = _nonexpansive(p)
        if nonexpansive is False:
            return False
        settled = settled and nonexpansive is True
    if not _continuous_choice(parts):
        return False
    return True if settled else None


def _nonexpansive(p: Piece) -> bool | None:
    """Whether F'/B <= 1 on a moving piece; None if that is not settled."""
    gaps = [sp.together(1 - p.ratio) if p.ratio.is_rational_function(X) else 1 - p.ratio]
    if exp_rational(p.ratio) is None:
        gaps.append((p.g - sp.diff(p.f, X)) * p.g)  # the same sign without the poles that B's zeros may leave
    for gap in gaps:
        with contextlib.suppress(Undecided):
            if negative_point(gap, p.a, p.b) is not None:
                return False
            s = sign_on(gap, p.a, p.b)
            return s.value is not None and s.value >= 0
    return None


def _continuous_choice(parts: Anatomy) -> bool:
    """Whether P can be chosen continuous: neighbours that must share P must share B."""
    for i, n in enumerate(parts.nodes):
        left, right = parts.pieces[i], parts.pieces[i + 1]
        held = [p.level for p in (left, right) if p.kind == "K"]
        if n.g_value is not None:
            held.append(n.g_value)
        if any(not equal(held[0], other) for other in held[1:]):
            return False
    # each group of K pieces and breakpoints with one P must have its B between the two slopes of T there
    i = 0
    while i < len(parts.pieces):
        if parts.pieces[i].kind == "K":
            j = i
            while j + 1 < len(parts.pieces) and parts.pieces[j + 1].kind == "K":
                j += 1
            before = parts.pieces[i - 1] if i > 0 else None
            after = parts.pieces[j + 1] if j + 1 < len(parts.pieces) else None
            ends = [p.g_ends[k] for p, k in ((before, 1), (after, 0)) if p is not None]
            b = parts.pieces[i].level
            if len(ends) == 2 and not _between(b, ends[0], ends[1]):
                return False
            if len(ends) == 1 and not equal(b, ends[0]):
                return False
            i = j + 1
        else:
            i += 1
    for i, n in enumerate(parts.nodes):
        left, right = parts.pieces[i], parts.pieces[i + 1]
        if (
            "K" not in (left.kind, right.kind)
            and n.g_value is not None
            and not _between(n.g_value, n.g_left, n.g_right)
        ):
            return False
    return True


def literal_criterion(pair: QuantizerPair) -> bool | None:
    """The criterion read literally: P = integral of dF/B with 0/0 := 0; F and B functions of P.

    None where dF/B has no meaning: F jumps where B is 0 or jumps, or dF/B is not integrable.
    """
    pair = unfolded(pair)
    f = pair.forward.refine(pair.backward.breaks)
    g = pair.backward.refine(pair.forward.breaks)
    if f.windowed or g.windowed:
        return None
    holds = True
    flat_level: Expr | None = None  # the value of B on the current level set of P
    for i, (a, b) in enumerate(f.ends):
        df, e = sp.diff(f.exprs[i], X), g.exprs[i]
        if i > 0:
            x = f.breaks[i - 1]
            before, after = limit_at(f.exprs[i - 1], x, -1), limit_at(f.exprs[i], x, 1)
            if {before, after} & {OO, -OO}:
                return None
            jump = compare(after, before)
            if jump:
                b_left, b_right = limit_at(g.exprs[i - 1], x, -1), limit_at(e, x, 1)
                at = g.values[i - 1]
                if {b_left, b_right} & {OO, -OO} or not equal(b_left, b_right):
                    return None
                if sign_of(b_left) == 0 or at is None or not equal(at, b_left):
                    return None
                if sign_of(b_left) != jump:
                    holds = False
                flat_level = None
        if is_zero(df, a, b):
            if not is_zero(sp.diff(e, X), a, b):
                holds = False
                continue
            level = _settled(e, a, b)
            if flat_level is not None and not equal(flat_level, level):
                holds = False
            flat_level = level
            continue
        flat_level = None
        if is_zero(e, a, b):
            holds = False
            continue
        ratio = _ratio(df, e)
        try:
            _check_integrable(df, e, ratio, a, b)
        except Refuted:
            return None
        holds = holds and _opposite_point(df, e, ratio, a, b) is None
    return holds


# --------------------------------------------------------------------------- the decision


def tie_notes(pair: QuantizerPair, parts: Anatomy) -> tuple[str, ...]:
    """Tie values that are not judged but worth a line: F outside its limits, B of the wrong sign."""
    notes = []
    for n in parts.nodes:
        if not n.jump:
            continue
        if n.f_value is None or not _between(n.f_value, n.f_left, n.f_right):
            notes.append(f"F({n.x}) = {n.f_value} lies outside its one-sided limits {n.f_left} and {n.f_right}")
        if n.g_value is not None and sign_of(n.g_value) not in (0, n.jump):
            notes.append(f"B({n.x}) = {n.g_value} has not the sign of F's jump there")
    for node in parts.nodes:
        if not node.jump and (node.f_value is None or node.g_value is None):
            notes.append(f"F or B has no value at x = {node.x}; the limit is taken")
    return tuple(notes)


_LITERAL = 2.0
"""Seconds for the literal reading: also where little is asked for the rest."""


def decide(pair: QuantizerPair, budget: float = 4.0) -> Verdict:
    """The verdict on a pair: smooth, lipschitz or unprincipled with a witness, or undecided.

    ``budget``: seconds spent at most on each of: the literal reading, the convexity of r, the closed
    forms of (T, P, r). What they do not reach is None or implicit; the grade does not depend on them.
    Never raises on a pair of valid maps; what cannot be settled is an `undecided` verdict with the
    reason. Source: docs/mathematics.md, section 3.
    """
    from theory.decomposition import decompose, undescribed

    parts: Anatomy | None = None
    try:
        parts = anatomy(pair)
        smooth = is_smooth(parts)
        if not smooth:
            check_lipschitz(parts)
        verdict = _grade(parts, smooth)
    except Refuted as no:
        verdict = Verdict("unprincipled", no.witness.sentence, None, witness=no.witness)
    except Undecided as open_question:
        verdict = Verdict("undecided", f"not settled: {open_question}", None)
    literal = _reached(max(budget, _LITERAL), lambda: literal_criterion(pair))
    verdict = replace(verdict, literal=literal)
    if parts is None or not verdict.principled:
        return verdict
    known = parts
    convex = _reached(budget, lambda: convex_regularizer(known))
    decomposition = _reached(budget, lambda: decompose(known, smooth))
    if decomposition is None:
        decomposition = undescribed("no closed form was found in time")
    notes = _reached(budget, lambda: tie_notes(pair, known)) or ()
    return replace(verdict, convex=convex, decomposition=decomposition, notes=notes)


def _grade(parts: Anatomy, smooth: bool) -> Verdict:
    if parts.windowed:
        reason = "the pair has infinitely many breakpoints; no contradiction was found in the window that was examined"
        return Verdict("undecided", reason, None)
    if smooth:
        return Verdict("smooth", "F = T o P and B = T' o P with T continuously differentiable", None)
    reason = "F = T o P and B = t o P, where t selects a generalised derivative of T at its kinks"
    return Verdict("lipschitz", reason, None)


def _reached(seconds: float, work: Callable[[], Any]) -> Any:
    """work(), or None where it is not settled in its time or the time of the whole answer passes meanwhile."""
    try:
        with limit(seconds):
            return work()
    except (Undecided, OutOfTime, DeadlinePassed):
        return None


__all__ = ["Anatomy", "Node", "Piece", "PiecewiseMap", "Refuted", "anatomy", "decide"]
