"""Constants without a closed form: isolated roots, refined to any accuracy by sign changes alone.

A root is a rational bracket [lo, hi] and a function that encloses f at rational points. Refinement
only moves an end to a point at which the sign of f is proved, so every bracket contains the root
(quadratic interval refinement: the secant guesses the cell, two proved signs confirm it).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp

from theory.analytic import Expr, _end_zone, _NegativeAt, is_zero, sign_at
from theory.balls import arb, fmpq
from theory.errors import InputError, Undecided
from theory.exact import Certified, X, enclose, equal, precision, rational_between

Ball = Any
MAX_DIGITS = 2000
_MOST_BITS = 40_000
_MAX_BOXES = 2000
_MAX_WALK = 400
_LARGEST_DENOMINATOR = 10**6


def rational(q: Expr) -> Any:
    """A sympy rational as one of flint."""
    return fmpq(int(q.p), int(q.q))


def sympy_rational(q: Any) -> Expr:
    """A rational of flint as one of sympy."""
    return sp.Rational(int(q.p), int(q.q))


class Root:
    """The zero of f between lo and hi, where f changes sign once: ``refine(bits)`` narrows the bracket.

    ``f(q)`` encloses f at a flint rational, at the current Arb precision. ``rising``: f < 0 at lo.
    """

    def __init__(self, f: Callable[[Any], Ball], lo: Any, hi: Any, rising: bool) -> None:
        self.f, self.lo, self.hi, self.rising = f, lo, hi, rising
        self.cells = 4

    def side(self, q: Any, bits: int) -> int:
        """-1 if q lies left of the root, 1 if right, 0 if the precision does not tell."""
        return _sign(self.f, q, bits) * (1 if self.rising else -1)

    def _tell(self, q: Any, cell: Any, bits: int) -> tuple[Any, int]:
        """The point q, or one beside it if q is too close to the root, with its side."""
        for shift in (fmpq(0), cell / 3, -cell / 5):
            s = self.side(q + shift, bits)
            if s != 0:
                return q + shift, s
        raise Undecided("a root could not be separated from a rational point beside it")

    def refine(self, bits: int) -> tuple[Any, Any]:
        """Rationals around the root, at most 2**-bits apart. Raises `Undecided` beyond any use."""
        if bits > _MOST_BITS:
            raise Undecided(f"more than {_MOST_BITS} bits of a root")
        goal = fmpq(1, 2**bits)
        while self.hi - self.lo > goal:
            n = self.cells
            cell = (self.hi - self.lo) / n
            working = 2 * max(8, int(cell.q).bit_length() - int(cell.p).bit_length())
            k = min(max(self._cell(working, n), 0), n - 1)
            left = self.lo + cell * k
            right = left + cell
            if k > 0:
                left, s = self._tell(left, cell, working)
                if s > 0:
                    self.hi, self.cells = left, 4
                    continue
                self.lo = left
            if k < n - 1:
                right, s = self._tell(right, cell, working)
                if s < 0:
                    self.lo, self.cells = right, 4
                    continue
                self.hi = right
            self.cells = min(n * n, 2**4096)
        return self.lo, self.hi

    def _cell(self, bits: int, n: int) -> int:
        """Which of n cells the secant through both ends crosses 0 in."""
        with precision(bits + 64):
            a, b = self.f(self.lo), self.f(self.hi)
            if a.is_finite() and b.is_finite() and (a - b) != 0:
                share = (a / (a - b) * n).mid().floor()
                if share.is_finite():
                    return int(share.unique_fmpz())
        return n // 2


def _sign(f: Callable[[Any], Ball], q: Any, bits: int = 64) -> int:
    """The proved sign of f at q, 0 where no reasonable precision tells."""
    extra = 64
    while extra <= 8 * (bits + 64):
        with precision(bits + extra):
            ball = f(q)
            if ball.is_finite() and (ball > 0 or ball < 0):
                return 1 if ball > 0 else -1
        extra *= 2
    return 0


def crossing(f: Callable[[Any], Ball], lo: Expr, hi: Expr, text: str) -> Certified:
    """The zero of a strictly monotone f on the open interval (lo, hi) of exact constants.

    A bracket is found by walking from the middle to the side that the sign of f points to. Raises
    `Undecided` where no change of sign is met.
    """
    start = rational_between(lo, hi)
    here = _sign(f, rational(start))
    if here == 0:  # on the root, or too close to it
        start = rational_between(start, hi)
        here = _sign(f, rational(start))
    for side in (1, -1):
        last = start
        for k in range(_MAX_WALK):
            step = _towards(last, hi if side == 1 else lo, side, k)
            if step is None:
                break
            s = _sign(f, rational(step))
            if s == 0:  # the root itself is a short rational: stop just before it
                step = step + (last - step) / 7
                s = _sign(f, rational(step))
            if s * here < 0:
                a, b = sorted((last, step))
                return Certified(text, Root(f, rational(a), rational(b), (s > 0) == (side == 1)).refine)
            if s != 0:
                grows = _compare_size(f, last, step)
                last = step
                if grows and k > 3:
                    break  # f moves away from 0 on this side
    raise Undecided(f"no change of sign was met for {text}")


def _compare_size(f: Callable[[Any], Ball], a: Expr, b: Expr) -> bool:
    """Whether the modulus of f is larger at b than at a."""
    with precision(128):
        return bool(abs(f(rational(b))) > abs(f(rational(a))))


def _towards(point: Expr, end: Expr, side: int, k: int) -> Expr | None:
    """The next rational on the walk from a point to an end that is never reached."""
    if end in (sp.oo, -sp.oo):
        return point + side * sp.Integer(2) ** k if k < 200 else None
    quarter = end + (point - end) / 4
    return rational_between(*((quarter, end) if side == 1 else (end, quarter)))


def short_rational(c: Expr) -> Expr | None:
    """The simplest rational that 100 bits of a certified constant allow, if its denominator is short; a guess."""
    if not isinstance(c, Certified):
        return None
    low, high = c.refine(120)
    middle = (Fraction(int(low.p), int(low.q)) + Fraction(int(high.p), int(high.q))) / 2
    near = middle.limit_denominator(_LARGEST_DENOMINATOR)
    return sp.Rational(near.numerator, near.denominator) if abs(near - middle) < Fraction(1, 2**100) else None


def root_between(g: Expr, lo: Expr, hi: Expr, text: str) -> Certified:
    """The zero of g between two sympy rationals at which g has proved opposite signs."""
    rising = sign_at(g, lo) == -1
    return Certified(text, Root(lambda q: enclose(g, arb(q)), rational(lo), rational(hi), rising).refine)


@lru_cache(maxsize=2000)
def solve_increasing(g: Expr, target: Expr, lo: Expr, hi: Expr) -> Expr:
    """The s in (lo, hi) with g(s) = target, g strictly increasing there and the target inside its range.

    A short rational where it is one, else a certified root: one object for one equation.
    """
    found = crossing(lambda q: enclose(g, arb(q)) - enclose(target), lo, hi, "a certified root")
    guess = short_rational(found)
    if guess is not None:
        with contextlib.suppress(Undecided):
            if equal(g.subs(X, guess), target):
                return guess
    return found


def isolate(g: Expr, a: Expr, b: Expr) -> list[Certified]:
    """All zeros of an analytic g on (a, b), finitely many and simple, where they have no closed form.

    The ends by the proofs of signs of `theory.analytic`, the middle by bisection: on each box either
    g or g' excludes 0. Raises `Undecided` where that fails, as at a zero of even order.
    """
    if is_zero(g, a, b):
        raise Undecided("the level set is an interval")
    with precision(128):
        left, right = (_zone(g, a, b, right_end) for right_end in (False, True))
    if left is None or right is None:
        raise Undecided(f"the sign of {g} towards the ends of ({a}, {b})")
    if left >= right:
        return []
    slope = sp.diff(g, X)
    stack, found, used = [(left, right)], [], 0
    while stack:
        lo, hi = stack.pop()
        used += 1
        if used > _MAX_BOXES:
            raise Undecided(f"the zeros of {g} between {lo} and {hi} ({_MAX_BOXES} boxes used)")
        with precision(128):
            box = arb(rational(lo)).union(arb(rational(hi)))
            value = enclose(g, box)
            if value.is_finite() and (value > 0 or value < 0):
                continue
            change = enclose(slope, box)
            simple = change.is_finite() and (change > 0 or change < 0)
        if simple:
            before, after = sign_at(g, lo), sign_at(g, hi)
            if before is None or after is None:
                raise Undecided(f"the sign of {g} at {lo if before is None else hi}")
            if before != after:
                found.append(root_between(g, lo, hi, "a certified zero"))
            continue
        # off the middle: a zero at a short rational must not become the end of a box
        cut = lo + (hi - lo) * sp.Rational(341, 701)
        stack += [(cut, hi), (lo, cut)]
    return sorted(found, key=lambda c: c.refine(64)[0])


def _zone(g: Expr, a: Expr, b: Expr, right_end: bool) -> Expr | None:
    """A rational point such that g keeps one sign between it and the end, or None."""
    for s in (1, -1):
        try:
            return _end_zone(s * g, a, b, right_end=right_end)
        except (Undecided, _NegativeAt):
            continue
    return None


@dataclass(frozen=True)
class Enclosed:
    """A real number between the rationals lo <= hi; ``exact`` where it is known in closed form."""

    lo: Expr
    hi: Expr
    exact: Expr | None

    def text(self, digits: int = 15) -> str:
        """The rational itself, the decimals (up to ``digits``) that both ends share, as 0.1234..., or 1.000 +- 1e-3."""
        if self.lo == self.hi:
            return str(self.lo)
        near = round((self.lo + self.hi) / 2 * 10**digits)
        if max(abs(c * 10**digits - near) for c in (self.lo, self.hi)) < sp.Rational(1, 1000):
            # a short decimal inside or beside the enclosure: its digits are not shared by both ends
            whole, part = divmod(abs(int(near)), 10**digits)
            return f"{'-' if near < 0 else ''}{whole}.{part:0{digits}d} +- 1e-{digits}"
        for d in range(digits, -1, -1):
            low, high = (int((abs(c) * 10**d) // 1) for c in (self.lo, self.hi))
            if low == high and self.lo * self.hi > 0:
                whole, part = divmod(low, 10**d)
                return f"{'-' if self.lo < 0 else ''}{whole}.{part:0{d}d}..." if d else f"{whole}..."
        return f"between {sp.N(self.lo, 3)} and {sp.N(self.hi, 3)}"


def enclose_to(c: Expr, digits: int) -> Enclosed:
    """A constant between rationals at most 10**-digits * max(1, |c|) apart.

    Raises `InputError` for a number of digits outside 1 to 2000, `Undecided` where it is not reached.
    """
    if not 1 <= digits <= MAX_DIGITS:
        raise InputError(f"1 to {MAX_DIGITS} digits were expected, not {digits}")
    closed = c if not c.atoms(Certified) else None
    if c.is_Rational:
        return Enclosed(c, c, c)
    goal = fmpq(1, 10**digits)
    bits = 4 * digits + 64
    while bits <= 64 * digits + 8192:
        with precision(bits):
            ball = enclose(c)
            if ball.is_finite():
                middle, radius = _dyadic(ball.mid()), _dyadic(ball.rad())
                if 2 * radius <= goal * max(fmpq(1), abs(middle) - radius):
                    return Enclosed(sympy_rational(middle - radius), sympy_rational(middle + radius), closed)
        bits *= 2
    raise Undecided(f"{digits} digits of {c} were not reached")


def _dyadic(a: Any) -> Any:
    mantissa, exponent = a.man_exp()
    m, e = int(mantissa), int(exponent)
    return fmpq(m * 2**e) if e >= 0 else fmpq(m, 2**-e)
