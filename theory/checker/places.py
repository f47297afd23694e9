"""Where a map with switches (sign, Abs, Piecewise, floor, ...) is read: on an interval, beside a point, at a point.

`resolve` gives the analytic term that the map is there. On an interval every switch asks for a lemma
that its argument keeps its sign, and every quotient, root and logarithm for one that it is defined.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

from theory.checker.forms import is_zero
from theory.checker.limits import between, compare, defined_at, floor, limit, sign, sign_beside
from theory.checker.rules import square_root
from theory.checker.terms import (
    NOO,
    ONE,
    OO,
    ZERO,
    Rejected,
    Term,
    X,
    add,
    neg,
    num,
    power,
    rebuild,
    sub,
    substitute,
)

HALF = num(Fraction(1, 2))
Ask = Callable[[Term, str, Term, Term], None]


class NoValue(Exception):
    """The map has no real value at the point."""


class Place:
    """What the three places share: signs of analytic terms, whole parts, domains."""

    def sign(self, g: Term) -> int:
        raise NotImplementedError

    def below(self, g: Term) -> int:
        """The integer n with n <= g < n + 1 here."""
        raise NotImplementedError

    def require(self, h: Term, may_be_negative: bool) -> None:
        """Make sure that h > 0 here, or h != 0."""
        s = self.sign(h)
        if s == 0 or (s < 0 and not may_be_negative):
            raise Rejected(f"a part of the map is not defined: {h!r}")

    def variable(self) -> Term:
        return X

    def nearest(self, g: Term) -> int:
        """g rounded to the nearest integer, halves to the even one."""
        n = self.below(add(g, HALF))
        if not g.has_x and compare(add(g, HALF), num(n)) == 0:
            return n - n % 2
        return n


class OnInterval(Place):
    """The open interval (a, b); ``ask`` is handed every lemma."""

    def __init__(self, a: Term, b: Term, ask: Ask) -> None:
        self.a, self.b, self.ask = a, b, ask

    def sign(self, g: Term) -> int:
        if not g.has_x:
            return sign(g)
        if is_zero(g):
            return 0
        m = num(between(self.a, self.b))
        s = sign(substitute(g, m)) if defined_at(g, m) else 0
        if s == 0:
            raise Rejected(f"{g!r} changes its sign between {self.a!r} and {self.b!r}")
        self.ask(g if s > 0 else neg(g), ">", self.a, self.b)
        return s

    def below(self, g: Term) -> int:
        if not g.has_x:
            return floor(g)
        n = floor(substitute(g, num(between(self.a, self.b))))
        self.ask(sub(g, num(n)), ">", self.a, self.b)
        self.ask(sub(num(n + 1), g), ">", self.a, self.b)
        return n


class Beside(Place):
    """Just right (side 1) or just left (-1) of a point."""

    def __init__(self, c: Term, side: int) -> None:
        self.c, self.side = c, side

    def sign(self, g: Term) -> int:
        if not g.has_x:
            return sign(g)
        return sign_beside(g, self.c, self.side)

    def below(self, g: Term) -> int:
        v = limit(g, self.c, self.side)
        if v in (OO, NOO):
            raise Rejected(f"steps without end beside {self.c!r}")
        n = floor(v)
        if compare(v, num(n)) == 0 and self.sign(sub(g, num(n))) < 0:
            return n - 1
        return n


class At(Place):
    """One point: the terms that `resolve` gives there are constants."""

    def __init__(self, c: Term) -> None:
        self.c = c

    def variable(self) -> Term:
        return self.c

    def sign(self, g: Term) -> int:
        return sign(g)

    def below(self, g: Term) -> int:
        return floor(g)

    def require(self, h: Term, may_be_negative: bool) -> None:
        s = sign(h)
        if s == 0 or (s < 0 and not may_be_negative):
            raise NoValue


def resolve(t: Term, place: Place) -> Term:
    """The analytic term that t is at this place. Raises `Rejected`, or `NoValue` at a point."""
    return _resolve(t, place, {})


def _resolve(t: Term, place: Place, memo: dict[Term, Term]) -> Term:
    found = memo.get(t)
    if found is None:
        found = memo[t] = _resolved(t, place, memo)
    return found


def _resolved(t: Term, place: Place, memo: dict[Term, Term]) -> Term:
    if t is X:
        return place.variable()
    if t.op in ("num", "pi", "root"):
        return t

    def part(s: Term) -> Term:
        return _resolve(s, place, memo)

    if t.op == "piecewise":
        for condition, branch in t.args[0]:
            if _holds(condition, place, part):
                return part(branch)
        if isinstance(place, At):
            raise NoValue
        raise Rejected("a Piecewise does not cover the interval")
    if t.op in ("max", "min"):
        held = _held_by_bound(t, place, part)
        if held is not None:
            return held
        a, b = part(t.args[0]), part(t.args[1])
        s = place.sign(sub(a, b))
        return a if (s > 0) == (t.op == "max") else b
    if t.op == "sign":
        return num(place.sign(part(t.args[0])))
    if t.op == "abs":
        g = part(t.args[0])
        s = place.sign(g)
        return g if s > 0 else neg(g) if s < 0 else ZERO
    if t.op == "heaviside":
        s = place.sign(part(t.args[0]))
        return ONE if s > 0 else ZERO if s < 0 else part(t.args[1])
    if t.op == "floor":
        return num(place.below(part(t.args[0])))
    if t.op == "round":
        return num(place.nearest(part(t.args[0])))
    if t.op == "pow":
        base, e = part(t.args[0]), t.args[1]
        if e.denominator != 1 and base.has_x and not isinstance(place, At):
            root = square_root(base)
            if root is not None:  # base = v^2 is positive where v != 0, and base^e = |v|^(2 e)
                v, g = root
                return power(v if place.sign(g) > 0 else neg(v), 2 * e)
        if e.denominator != 1 and not (e > 0 and is_zero(base)):
            if e > 0 and isinstance(place, At) and sign(base) == 0:
                return ZERO
            place.require(base, False)
        elif e < 0:
            place.require(base, True)
    if t.op == "log":
        place.require(part(t.args[0]), False)
    return rebuild(t, part)


def _held_by_bound(t: Term, place: Place, part: Callable[[Term], Term]) -> Term | None:
    """The constant c where Max(u, c) or Min(u, c) is c because the steps in u stay on one side of it.

    On an interval u = k floor(g) + d, k > 0, may take many values; that it stays beyond c is one lemma on g.
    """
    if not isinstance(place, OnInterval):
        return None
    for u, c in (t.args, t.args[::-1]):
        if not c.has_x and not has_steps(c) and has_steps(u):
            bound = _beyond(u, part(c), t.op == "max", part)
            if bound is not None and _constant_sign_at_sample(bound, place) > 0:
                place.ask(bound, ">", place.a, place.b)
                return part(c)
    return None


def _constant_sign_at_sample(g: Term, place: OnInterval) -> int:
    m = num(between(place.a, place.b))
    return sign(substitute(g, m)) if defined_at(g, m) else 0


def has_steps(t: Term) -> bool:
    """Whether a term has a floor or round of something that moves."""
    if t.op in ("floor", "round"):
        return t.has_x
    return any(has_steps(s) for s in t.args if isinstance(s, Term))


def _beyond(u: Term, c: Term, below: bool, part: Callable[[Term], Term]) -> Term | None:
    """h such that h > 0 implies u <= c (below) or u >= c; None where u has another form."""
    if u.op in ("max", "min"):
        # Max(v, e) <= c needs both, and e <= c is a question of constants
        for v, e in (u.args, u.args[::-1]):
            if not e.has_x and not has_steps(e) and has_steps(v):
                order_of_bounds = compare(part(e), c)
                inner = _beyond(v, c, below, part)
                if inner is None:
                    return None
                if below == (u.op == "max"):
                    fine = order_of_bounds <= 0 if below else order_of_bounds >= 0
                    return inner if fine else None
                return inner
        return None
    scaled = _scaled_step(u)
    if scaled is None:
        return None
    k, step, d = scaled
    w = (c.args[0] - d) / k if c.op == "num" else None
    if w is None:
        return None
    g = part(step.args[0])
    if step.op == "floor":
        # floor(g) <= w iff g < floor(w) + 1; floor(g) >= w iff g >= ceil(w)
        return sub(num(w.__floor__() + 1), g) if below else sub(g, num(w.__ceil__()))
    # round(g) <= n where g < n + 1/2, round(g) >= n where g > n - 1/2
    half = Fraction(1, 2)
    return sub(num(w.__floor__() + half), g) if below else sub(g, num(w.__ceil__() - half))


def _scaled_step(u: Term) -> tuple[Fraction, Term, Fraction] | None:
    """(k, step, d) of u = k step + d with rational k > 0 and d."""
    d = Fraction(0)
    if u.op == "add" and len(u.args) == 2 and u.args[1].op == "num":
        d, u = u.args[1].args[0], u.args[0]
    k = Fraction(1)
    if u.op == "mul" and len(u.args) == 2 and u.args[0].op == "num":
        k, u = u.args[0].args[0], u.args[1]
    return (k, u, d) if k > 0 and u.op in ("floor", "round") else None


def _holds(condition: Any, place: Place, part: Callable[[Term], Term]) -> bool:
    kind = condition[0]
    if kind == "bool":
        return bool(condition[1])
    if kind == "and":
        return all(_holds(c, place, part) for c in condition[1])
    if kind == "or":
        return any(_holds(c, place, part) for c in condition[1])
    s = place.sign(part(condition[2]))
    return s in {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (0, 1), "==": (0,)}[condition[1]]
