"""Suprema of analytic expressions on an open interval: exact where that is proved, else a proved enclosure.

Three ways, in this order: all critical points in closed form (`theory.analytic.solve_level`) and the
limits at the ends; a candidate c (a limit, the value at 0) with ``c - e >= 0`` proved; a value that
is taken, rounded down, and a bound a little above it that is proved. Samples only suggest candidates.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import sympy as sp

from theory.analytic import Expr, U, ball_at, exp_rational, is_zero, limit_at, samples, sign_on, solve_level, unshifted
from theory.balls import arb, fmpq
from theory.deadline import limit
from theory.errors import OutOfTime, Undecided
from theory.exact import X, compare, enclose, less, precision, rational_between, sign_of
from theory.exact import _by_exponentials as by_exponentials
from theory.ranges import Range, end_of, range_of

OO = sp.oo
_TRY = 0.8  # seconds for each way; the ways behind it give a weaker answer
_SLACK = (sp.Rational(1, 10**10), sp.Rational(1, 10**6), sp.Rational(1, 10**3))
_DIGITS = 12
_HALVINGS = 60
_CLIMBS = 6
_BOXES = 4000
_LONGEST = 2000  # bits of a number that is written down


@dataclass(frozen=True)
class Bound:
    """A supremum S with low <= S <= high, exact constants or +-oo; equal where S itself is proved."""

    low: Expr
    high: Expr
    method: str

    @property
    def exact(self) -> bool:
        return bool(self.low == self.high)

    def times(self, c: Expr) -> Bound:
        """The supremum multiplied by an exact constant c > 0."""
        return Bound(self.low * c, self.high * c, self.method)


def exactly(value: Expr, method: str = "constant") -> Bound:
    """A supremum that is known."""
    return Bound(value, value, method)


def greatest(bounds: Iterable[Bound]) -> Bound:
    """The supremum over several sets from the supremum of each (at least one)."""
    first, *rest = bounds
    low, high, methods = first.low, first.high, [first.method]
    for b in rest:
        low = b.low if less(low, b.low) else low
        high = b.high if less(high, b.high) else high
        methods.append(b.method)
    if low != high and compare(low, high) == 0:
        high = low
    return Bound(low, high, "; ".join(dict.fromkeys(methods)))


def supremum(e: Expr, a: Expr, b: Expr) -> Bound:
    """The supremum of e, analytic and finite on the open interval (a, b), a < b exact or infinite.

    Raises `Undecided` where neither a value nor an enclosure is proved.
    """
    if not e.has(X):
        return exactly(e)
    if b not in (OO, -OO) and sign_of(b) <= 0:  # mirrored pieces are looked up, not computed again
        return _supremum(e.subs(X, -X), -b, -a)
    return _supremum(e, a, b)


def infimum(e: Expr, a: Expr, b: Expr) -> Bound:
    """The infimum of e on (a, b), as `supremum`."""
    s = supremum(-e, a, b)
    return Bound(-s.high, -s.low, s.method)


def largest_modulus(e: Expr, a: Expr, b: Expr) -> Bound:
    """The supremum of |e| on (a, b), as `supremum`."""
    if not e.has(X):
        return exactly(e if sign_of(e) >= 0 else -e)
    with contextlib.suppress(Undecided, OutOfTime), limit(_TRY):
        s = sign_on(e, a, b).value
        if s:
            return supremum(s * e, a, b)
    mirrored = e.subs(X, -X)
    with contextlib.suppress(Undecided, OutOfTime), limit(_TRY):
        if a == -b and (mirrored == -e or (exp_rational(e) is not None and is_zero(mirrored + e))):
            return supremum(e, a, b)  # an odd function
    return greatest([supremum(e, a, b), supremum(-e, a, b)])


@lru_cache(maxsize=2000)
def _supremum(e: Expr, a: Expr, b: Expr) -> Bound:
    period = _period(e)
    if period is not None and OO in (b, -a):
        start = a if a != -OO else b if b != OO else sp.Integer(0)
        stop = start + period if start == a or b == OO else start - period
        return _supremum(e, *((start, stop) if less(start, stop) else (stop, start)))
    moved = unshifted(e)
    if moved is not None:
        return _supremum(moved[0], a + moved[1], b + moved[1])
    ends: list[Expr] | None = None
    with contextlib.suppress(Undecided, OutOfTime), limit(2 * _TRY):
        ends = [limit_at(e, a, 1), limit_at(e, b, -1)]
    if ends is not None:
        if OO in ends:
            return exactly(OO, "infinite limit at an end")
        with contextlib.suppress(Undecided, OutOfTime), limit(_TRY):
            return _by_critical_points(e, a, b, ends)
    finite = [c for c in ends or [] if c != -OO]
    with contextlib.suppress(Undecided, OutOfTime), limit(_TRY):
        candidates = [*finite, *([e.subs(X, 0)] if less(a, sp.Integer(0)) and less(sp.Integer(0), b) else [])]
        if candidates:
            c = greatest([exactly(v) for v in candidates]).low
            if sign_on(c - e, a, b).value in (0, 1):
                return exactly(shorter(c), "a limit or a value that is taken, proved to be a bound")
    return _enclosed(e, a, b, finite)


def _period(e: Expr) -> Expr | None:
    """A period of an expression in sines and cosines of commensurable multiples of x, else None."""
    waves = [f for f in e.atoms(sp.sin, sp.cos) if f.has(X)]
    if not waves or e.subs({f: sp.Dummy() for f in waves}).has(X):
        return None
    rates = []
    for f in waves:
        if not f.args[0].is_polynomial(X) or sp.degree(f.args[0], X) != 1:
            return None
        rates.append(sp.Poly(f.args[0], X).LC())
    ratios = [sp.radsimp(r / rates[0]) for r in rates]
    if not all(r.is_Rational for r in ratios):
        return None
    common = sp.Rational(math.gcd(*(int(abs(r.p)) for r in ratios)), math.lcm(*(int(r.q) for r in ratios)))
    return sp.Abs(2 * sp.pi / (rates[0] * common))


def _by_critical_points(e: Expr, a: Expr, b: Expr, ends: list[Expr]) -> Bound:
    slope = _factored(sp.diff(e, X))
    if _mixed(slope):
        raise Undecided(f"the critical points of {e} have no closed form")
    roots = solve_level(slope, sp.Integer(0), a, b)
    if roots.window is not None:
        raise Undecided(f"the critical points of {e} are too many")
    values = [*ends, *(e.subs(X, c) for c in roots.points)]
    best = values[0]
    for v in values[1:]:
        best = v if less(best, v) else best
    return exactly(shorter(best), "limits at the ends and all critical points")


def _mixed(e: Expr) -> bool:
    """Whether e is a polynomial in x and an exponential that do not separate: no root has a closed form."""
    form = exp_rational(e)
    if form is None or form.rate == 0:
        return False
    _, factors = sp.factor_list(form.num)
    return any(f.degree(X) > 0 and f.degree(U) > 0 for f, _ in factors)


def _factored(e: Expr) -> Expr:
    """e as a product, so that each factor is solved on its own."""
    if e.is_Add and e.count_ops() <= 80:
        form = exp_rational(e)
        if form is not None and not form.num.is_zero:
            _, factors = sp.factor_list(form.num)
            return sp.Mul(*(form.back(f) for f, _ in factors if f.as_expr() != U), evaluate=False) if factors else e
    return e


def shorter(c: Expr) -> Expr:
    """A short equal constant."""
    if c in (OO, -OO) or c.is_Rational or c.count_ops() > 60:
        return c
    tried = [sp.radsimp(sp.simplify(c)), sp.radsimp(sp.simplify(by_exponentials(c)))]
    return min([c, *tried], key=lambda v: v.count_ops())


# ---- enclosures


def dyadic(ball: Any) -> Expr:
    """The midpoint of a ball as a rational. Raises `Undecided` if it is too long."""
    if not (abs(ball) < arb(2) ** _LONGEST):
        raise Undecided("a number is too long to be written down")
    man, exp = ball.mid().man_exp()
    return sp.Integer(int(man)) * sp.Integer(2) ** int(exp)


def _value(e: Expr, x: Expr) -> Any:
    ball = ball_at(e, x, 192)
    if not ball.is_finite():
        raise Undecided(f"the value of {e} at {x}")
    return ball


def _climb(e: Expr, start: Expr, a: Expr, b: Expr) -> Expr:
    """A rational point at which e is about locally largest, from a start, by bisection of the sign of e'."""
    de = sp.diff(e, X)
    side = 1 if _value(de, start) > 0 else -1
    inner, step = start, sp.Rational(1, 64)
    if a != -OO and b != OO:
        with precision(64):
            step = min(step, dyadic(enclose(b - a)) / 256)
    outer = None
    for _ in range(80):
        nxt = inner + side * step
        if not (less(a, nxt) and less(nxt, b)):
            step = step / 2
            continue
        if _value(de, nxt) * side > 0:
            inner, step = nxt, step * 2
            continue
        outer = nxt
        break
    if outer is None:
        return inner
    for _ in range(_HALVINGS):
        middle = (inner + outer) / 2
        if _value(de, middle) * side > 0:
            inner = middle
        else:
            outer = middle
    return inner


def _enclosed(e: Expr, a: Expr, b: Expr, limits: list[Expr]) -> Bound:
    """The largest value found, and a bound a little above it that is proved; a refutation is the next start."""
    start = None
    for p in samples(a, b):
        with contextlib.suppress(Undecided):
            v = _value(e, p)
            if start is None or v > start[1]:
                start = (p, v)
    reason = f"the supremum of {e} between {a} and {b}"
    if start is None:
        raise Undecided(reason)
    point = start[0]
    for _ in range(_CLIMBS):
        best = _climb(e, point, a, b)
        with precision(192):
            lows = [_value(e, best).lower(), _value(e, point).lower(), *(enclose(c).lower() for c in limits)]
        top = lows[0]
        for v in lows[1:]:
            top = v if v > top else top
        low = _rounded(top)
        higher = None
        for slack in _SLACK:
            high = low + slack * max(sp.Integer(1), abs(low))
            for way in (_above, _above_by_sign):
                try:
                    with limit(_TRY):
                        higher = way(e, a, b, high, best)
                except (Undecided, OutOfTime):
                    continue
                if higher is None:
                    return Bound(low, high, "enclosure: a value that is taken and a proved bound")
                break
            if higher is not None:
                break
        if higher is None:
            break
        point = higher
    raise Undecided(reason)


def _above(e: Expr, a: Expr, b: Expr, high: Expr, best: Expr) -> Expr | None:
    """A rational point at which e > high, or None if e <= high is proved on (a, b); else `Undecided`."""
    ends: list[Expr] = []
    for end, side in ((a, 1), (b, -1)):
        zone = _end_zone(e, a, b, end, side, high, best)
        if isinstance(zone, tuple):
            return zone[0]
        ends.append(zone)
    de = sp.diff(e, X)
    stack, used = [(ends[0], ends[1])], 0
    with precision(128):
        bound = enclose(high)
        while stack:
            p, q = stack.pop()
            used += 1
            if used > _BOXES:
                raise Undecided(f"{e} <= {high} between {p} and {q} ({_BOXES} boxes used)")
            lo, hi = _point(p), _point(q)
            box = lo.union(hi)
            value = enclose(e, box)
            if value.is_finite() and value <= bound:
                continue
            middle = (p + q) / 2
            at = _point(middle)
            value = enclose(e, at)
            if value > bound:
                return middle
            slope = enclose(de, box)
            if slope.is_finite() and value + slope * (box - at) <= bound:
                continue
            stack += [(p, middle), (middle, q)]
    return None


def _above_by_sign(e: Expr, a: Expr, b: Expr, high: Expr, best: Expr) -> Expr | None:
    """`_above` by the prover of signs on the whole interval."""
    s = sign_on(high - e, a, b)
    return None if s.value in (0, 1) else s.negative or best


def _end_zone(e: Expr, a: Expr, b: Expr, end: Expr, side: int, high: Expr, best: Expr) -> Any:
    """A rational beside an end, up to which e <= high is proved; a 1-tuple with a point where it fails."""
    tries: list[Expr]
    if end in (OO, -OO):
        size = sp.Integer(2) ** max(2, int(abs(best)).bit_length() + 1)
        tries = [-side * size * 4**k for k in range(4)]
    else:
        with precision(128), contextlib.suppress(Undecided):
            ball = enclose(end)
            if enclose(e, ball).is_finite():  # e is enclosed up to the end and a hair beyond
                outer = dyadic(ball.lower() if side > 0 else ball.upper())
                return outer - side * sp.Rational(1, 2**120)
        near = [rational_between(*_ordered(end, best))]
        for _ in range(3):
            near.append(rational_between(*_ordered(end, (end + 3 * near[-1]) / 4)))
        tries = near
    for c in tries:
        if not (less(a, c) and less(c, b)):
            continue
        with contextlib.suppress(Undecided):
            if _range_below(e, end, c, high):
                return c
            s = sign_on(high - e, *_ordered(end, c))
            if s.value in (0, 1):
                return c
            if s.negative is not None:
                return (s.negative,)
    raise Undecided(f"{e} <= {high} beside {end}")


def _range_below(e: Expr, end: Expr, c: Expr, high: Expr) -> bool:
    low, up = _ordered(end, c)
    with precision(128):
        return bool(range_of(e, Range(end_of(low, True), end_of(up, False))).hi <= enclose(high))


def _ordered(p: Expr, q: Expr) -> tuple[Expr, Expr]:
    return (p, q) if less(p, q) else (q, p)


def _point(r: Expr) -> Any:
    return arb(fmpq(int(r.p), int(r.q)))


def _rounded(v: Any) -> Expr:
    """An exact Arb number rounded down to a decimal."""
    with precision(192):
        scaled = arb(10) ** _DIGITS * v
        return sp.Rational(_integer(scaled.floor().lower().floor()), 10**_DIGITS)


def _integer(ball: Any) -> int:
    """The integer that a ball of radius 0 is. FLINT aborts on integers that fill the memory."""
    n = ball.unique_fmpz() if abs(ball) < arb(2) ** _LONGEST else None
    if n is None:
        raise Undecided("a number is too long to be rounded")
    return int(n)


def decimals(c: Expr, up: bool, digits: int = 10) -> str:
    """A decimal text below (``up``: above) an exact constant, at most 2 * 10**-digits away."""
    if c in (OO, -OO):
        return str(c)
    with precision(256):
        ball = enclose(c) if not c.is_Rational else arb(fmpq(int(c.p), int(c.q)))
        scaled = ball * arb(10) ** digits
        n = _integer(scaled.upper().ceil() if up else scaled.lower().floor())
    sign, n = ("-" if n < 0 else ""), abs(n)
    whole, part = divmod(n, 10**digits)
    text = f"{sign}{whole}.{part:0{digits}d}".rstrip("0").rstrip(".")
    return text if text not in ("-0", "") else "0"


__all__ = ["Bound", "decimals", "exactly", "greatest", "infimum", "largest_modulus", "shorter", "supremum"]
