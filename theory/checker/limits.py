"""Signs of constants and one-sided limits, exactly.

A constant is positive or negative if an enclosure says so, and 0 only if `forms` proves it. A limit
is taken by continuity where the term is defined, else by rational forms: leading terms at infinity,
orders of vanishing at a finite point, after x = c +- s**q made fractional powers whole.
"""

from __future__ import annotations

from fractions import Fraction
from math import lcm
from typing import Any

from theory.checker.forms import atom, is_zero, normal, term_of_poly
from theory.checker.intervals import evaluate, is_finite, is_negative, is_positive, to_fraction
from theory.checker.terms import (
    FUNCTIONS,
    NOO,
    ONE,
    OO,
    PI,
    ZERO,
    Rejected,
    Term,
    X,
    add,
    call,
    derivative,
    mul,
    neg,
    num,
    power,
    rebuild,
    sub,
    substitute,
)

_PRECISIONS = (64, 160, 400, 1200)
_SIGNS: dict[Term, int] = {}
MAX_ORDER = 24


def forget() -> None:
    """Empty the tables; call between certificates."""
    _SIGNS.clear()


def sign(c: Term) -> int:
    """The sign of a constant term that is defined; infinities allowed. Raises `Rejected` if not settled."""
    if c.op == "num":
        v = c.args[0]
        return (v > 0) - (v < 0)
    if c is OO or c is NOO:
        return 1 if c is OO else -1
    found = _SIGNS.get(c)
    if found is None:
        found = _SIGNS[c] = _sign(c)
    return found


def _sign(c: Term) -> int:
    for i, prec in enumerate(_PRECISIONS):
        v = evaluate(c, None, prec)
        if is_positive(v):
            return 1
        if is_negative(v):
            return -1
        if i == 1 and is_zero(c):
            return 0
        if i == 1 and (by_parts := _sign_of_quotient(c)):
            return by_parts
    raise Rejected(f"the sign of the constant {c!r} is not settled")


def _sign_of_quotient(c: Term) -> int:
    """The sign from the normal form, numerator and denominator apart; 0 if they do not show it.

    1 - tanh(10^10)^2 is 4 u/(u + 1)^2 with u = exp(2 10^10): no subtraction is left.
    """
    try:
        parts = [term_of_poly(p) for p in normal(c)]
    except Rejected:
        return 0
    total = 1
    for t in parts:
        v = evaluate(t, None, _PRECISIONS[1])
        if not (is_positive(v) or is_negative(v)):
            return 0
        total *= 1 if is_positive(v) else -1
    return total


def compare(a: Term, b: Term) -> int:
    """The sign of a - b; infinities allowed."""
    if a is b:
        return 0
    if b is OO or b is NOO:
        return -sign(b)
    if a is OO or a is NOO:
        return sign(a)
    return sign(sub(a, b))


def defined(t: Term) -> bool:
    """Whether a constant term without switches has a real value. Raises `Rejected` if not settled."""
    if t.op in ("num", "pi", "root"):
        return True
    if t.op in ("add", "mul"):
        return all(defined(s) for s in t.args)
    if t.op == "pow":
        base, e = t.args
        if not defined(base):
            return False
        if e.denominator != 1 and sign(base) < 0:
            return False
        return e > 0 or sign(base) != 0
    if t.op == "log":
        return defined(t.args[0]) and sign(t.args[0]) > 0
    if t.op in FUNCTIONS:
        return defined(t.args[0])
    raise Rejected(f"{t.op} is no constant")


def defined_at(t: Term, c: Term) -> bool:
    """Whether a term without switches has a value at a defined constant c: no part of it is dropped."""
    if not t.has_x:
        return defined(t)
    if t is X:
        return True
    if not all(defined_at(s, c) for s in t.args if isinstance(s, Term)):
        return False
    if t.op == "pow":
        base, e = t.args
        if e.denominator == 1:
            return e > 0 or sign(substitute(base, c)) != 0
        s = sign(substitute(base, c))
        return s > 0 or (s == 0 and e > 0)
    if t.op == "log":
        return sign(substitute(t.args[0], c)) > 0
    return True


def between(a: Term, b: Term) -> Fraction:
    """A short rational strictly between a < b (infinities allowed)."""
    if a is NOO and b is OO:
        return Fraction(0)
    if a is NOO:
        return Fraction(_floor(b) - 1)
    if b is OO:
        return Fraction(_floor(a) + 2)
    for bits in range(3000):
        scale = 2**bits
        k = _floor(mul(num(scale), a)) + 1
        candidate = Fraction(k, scale)
        if compare(num(candidate), b) < 0 and compare(a, num(candidate)) < 0:
            return candidate
    raise Rejected("two points lie too close together")


def _floor(c: Term) -> int:
    """An integer k with k <= c < k + 1."""
    if c.op == "num":
        return int(c.args[0].__floor__())
    for prec in _PRECISIONS:
        v = evaluate(c, None, prec)
        if is_finite(v):
            k = int(to_fraction(v[0]).__floor__())
            if to_fraction(v[1]) - k < Fraction(1, 2):
                for n in (k + 1, k):
                    if compare(num(n), c) <= 0:
                        return n
            if int(to_fraction(v[1]).__floor__()) == k:
                return k
            if int(to_fraction(v[1]).__floor__()) == k + 1:
                return k + 1 if compare(num(k + 1), c) <= 0 else k
    raise Rejected(f"the integer part of {c!r} is not settled")


floor = _floor


# --------------------------------------------------------------------------- limits


def limit(t: Term, c: Term, side: int) -> Term:
    """The limit of an analytic term at c from the right (side 1) or the left (-1): a constant, OO or NOO.

    At OO and NOO side is ignored. The term must be defined on that side of c.
    """
    if not t.has_x:
        return t
    if c is NOO:
        return limit(substitute(t, neg(X)), OO, 1)
    if c is OO:
        return _at_infinity(t)
    at = _by_continuity(t, c)
    if at is not None:
        return at
    # move to x = c + side*s, s -> 0+, with s = r**q to make fractional powers whole
    moved = substitute(t, add(c, mul(num(side), X)))
    q = root_degree(moved)
    if q > 1:
        moved = with_root(moved, q)
    for attempt in (_by_orders, _by_inversion, _by_logarithm, _by_parts):
        found = attempt(moved)
        if found is not None:
            return found
    raise Rejected(f"the limit of {t!r} at {c!r}")


def _by_continuity(t: Term, c: Term) -> Term | None:
    try:
        return substitute(t, c) if defined_at(t, c) else None
    except Rejected:
        return None


def root_degree(t: Term) -> int:
    """The common denominator of the exponents of products with the factor x in t."""
    q = 1
    stack, seen = [t], set()
    while stack:
        s = stack.pop()
        if s in seen:
            continue
        seen.add(s)
        if s.op == "pow" and s.args[1].denominator != 1 and multiple_of_x(s.args[0]) is not None:
            q = lcm(q, s.args[1].denominator)
        stack += [a for a in s.args if isinstance(a, Term)]
    return q


def multiple_of_x(t: Term) -> Term | None:
    """h where t = x h and x is a factor of t as written."""
    if t is X:
        return ONE
    if t.op == "mul" and X in t.args:
        return mul(*(s for s in t.args if s is not X))
    return None


def with_root(t: Term, q: int) -> Term:
    """t at x = s**q, s > 0, with (x h)**(p/q) written h**(p/q) s**p: where x h > 0, h > 0 too."""
    if not t.has_x:
        return t
    if t is X:
        return power(X, Fraction(q))
    if t.op == "pow" and t.args[1].denominator != 1:
        h = multiple_of_x(t.args[0])
        if h is not None:
            e = t.args[1] * q
            if e.denominator == 1:
                return mul(power(with_root(h, q), t.args[1]), power(X, e))
    return rebuild(t, lambda s: with_root(s, q))


def _by_orders(t: Term) -> Term | None:
    """The limit at 0+ of a quotient of functions that are analytic at 0, by their orders there."""
    for split in (_as_written, _normal_terms):
        try:
            top, bottom = split(t)
            order_top, first_top = order(top, ZERO)
            order_bottom, first_bottom = order(bottom, ZERO)
        except Rejected:
            continue
        return _quotient_of_orders(order_top, first_top, order_bottom, first_bottom)
    return None


def _as_written(t: Term) -> tuple[Term, Term]:
    """t = top/bottom by the rules of fractions alone."""
    if t.op == "mul":
        parts = [_as_written(s) for s in t.args]
        return mul(*(p[0] for p in parts)), mul(*(p[1] for p in parts))
    if t.op == "pow" and t.args[1] < 0:
        return ONE, power(t.args[0], -t.args[1])
    if t.op == "add":
        parts = [_as_written(s) for s in t.args]
        bottoms = list(dict.fromkeys(p[1] for p in parts))
        top = add(*(mul(p[0], *(b for b in bottoms if b is not p[1])) for p in parts))
        return top, mul(*bottoms)
    return t, ONE


def _normal_terms(t: Term) -> tuple[Term, Term]:
    top, bottom = (term_of_poly(p) for p in normal(t))
    return _cleared(top, bottom) if _has_negative_powers(top) or _has_negative_powers(bottom) else (top, bottom)


def _quotient_of_orders(
    order_top: int, first_top: Term | None, order_bottom: int, first_bottom: Term | None
) -> Term | None:
    if first_top is None:
        return ZERO
    if first_bottom is None:
        return None
    if order_top > order_bottom:
        return ZERO
    ratio = mul(first_top, power(first_bottom, Fraction(-1)))
    if order_top == order_bottom:
        return ratio
    return OO if sign(ratio) > 0 else NOO


def _has_negative_powers(t: Term) -> bool:
    return _lowest(t) < 0


def _lowest(t: Term) -> int:
    """The lowest power of x that stands as a factor of a term of the sum t."""
    low = 0
    for s in t.args if t.op == "add" else (t,):
        for f in s.args if s.op == "mul" else (s,):
            if f.op == "pow" and f.args[0] is X and f.args[1].denominator == 1:
                low = min(low, int(f.args[1]))
    return low


def _cleared(top: Term, bottom: Term) -> tuple[Term, Term]:
    n = -min(_lowest(top), _lowest(bottom))

    def raised(t: Term) -> Term:
        parts = []
        for s in t.args if t.op == "add" else (t,):
            e, rest = 0, []
            for f in s.args if s.op == "mul" else (s,):
                if f is X:
                    e += 1
                elif f.op == "pow" and f.args[0] is X and f.args[1].denominator == 1:
                    e += int(f.args[1])
                else:
                    rest.append(f)
            parts.append(mul(*rest, power(X, Fraction(e + n))))
        return add(*parts)

    return raised(top), raised(bottom)


def order(t: Term, c: Term) -> tuple[int, Term | None]:
    """(k, t^(k)(c)) with the least k where the k-th derivative at c is not 0; (0, None) for t = 0.

    Raises `Rejected` unless t and these derivatives are defined at c.
    """
    if is_zero(t):
        return 0, None
    f = t
    for k in range(MAX_ORDER):
        if not defined_at(f, c):
            raise Rejected(f"{t!r} is not smooth at {c!r}")
        at = substitute(f, c)
        if sign(at) != 0:
            return k, at
        f = derivative(f)
    raise Rejected(f"the order of {t!r} at {c!r} is beyond {MAX_ORDER}")


def _by_inversion(t: Term) -> Term | None:
    """The limit at 0+ of a function of 1/x, as in exp(-1/x): at infinity after x -> 1/x."""
    try:
        top, bottom = (term_of_poly(p) for p in normal(substitute(t, power(X, Fraction(-1)))))
        return _leading(mul(top, power(bottom, Fraction(-1))))
    except Rejected:
        return None


def _by_logarithm(t: Term) -> Term | None:
    """The limit at 0+ of a function of x and log x: at infinity after x -> exp(-x)."""
    try:
        top, bottom = (term_of_poly(p) for p in normal(substitute(t, call("exp", neg(X)))))
        return _leading(mul(top, power(bottom, Fraction(-1))))
    except Rejected:
        return None


def _by_parts(t: Term, depth: int = 0) -> Term | None:
    """The limit at 0+ from the limits of the parts, where they do not compete."""
    if depth > 30:
        return None
    if not t.has_x:
        return t
    if t is X:
        return ZERO
    parts = []
    for s in t.args:
        if isinstance(s, Term):
            v = _by_orders(s) if depth else None
            v = _by_parts(s, depth + 1) if v is None else v
            if v is None:
                return None
            parts.append(v)
    return _combined(t, parts, lambda s: _side_of_zero(s))


def _side_of_zero(s: Term) -> int:
    """The sign of s just right of 0, where s -> 0."""
    try:
        _, v = order(s, ZERO)
        return 0 if v is None else sign(v)
    except Rejected:
        return 0


def _combined(t: Term, parts: list[Term], side: Any) -> Term | None:
    """The limit of a node from those of its parts; None where it is indeterminate."""
    infinite = [p for p in parts if p in (OO, NOO)]
    if t.op == "add":
        if not infinite:
            return add(*parts)
        return infinite[0] if len(set(infinite)) == 1 else None
    if t.op == "mul":
        if not infinite:
            return mul(*parts)
        total = 1
        for p in parts:
            total *= sign(p)
        return None if total == 0 else (OO if total > 0 else NOO)
    a = parts[0]
    if t.op == "pow":
        e = t.args[1]
        if a in (OO, NOO):
            if e < 0:
                return ZERO
            return OO if a is OO or (e.denominator == 1 and e % 2 == 0) else NOO
        if e > 0 or sign(a) != 0:
            return power(a, e)
        if e.denominator != 1 or e % 2 == 0:
            return OO
        s = side(t.args[0])
        return None if s == 0 else (OO if s > 0 else NOO)
    if t.op == "log":
        if a is OO:
            return OO
        return NOO if sign(a) == 0 else call("log", a)
    if t.op in ("sin", "cos"):
        return None if infinite else call(t.op, a)
    if not infinite:
        return call(t.op, a)
    up = a is OO
    return {
        "exp": OO if up else ZERO,
        "sigmoid": ONE if up else ZERO,
        "tanh": ONE if up else num(-1),
        "erf": ONE if up else num(-1),
        "atan": mul(num(Fraction(1 if up else -1, 2)), PI),
        "sinh": OO if up else NOO,
        "cosh": OO,
    }.get(t.op)


def sign_beside(t: Term, c: Term, side: int) -> int:
    """The sign of an analytic term just right (side 1) or left (-1) of c; 0 only for t = 0."""
    s = sign(limit(t, c, side))
    if s or is_zero(t):
        return s
    moved = substitute(t, add(c, mul(num(side), X)))
    q = root_degree(moved)
    _, lead = order(with_root(moved, q) if q > 1 else moved, ZERO)
    return 0 if lead is None else sign(lead)


# --------------------------------------------------------------------------- at infinity


def _at_infinity(t: Term) -> Term:
    try:
        found = _leading(t)
        if found is not None:
            return found
    except Rejected:
        pass
    found = _parts_at_infinity(t, 0)
    if found is None:
        raise Rejected(f"the limit of {t!r} at infinity")
    return found


def _parts_at_infinity(t: Term, depth: int) -> Term | None:
    if not t.has_x:
        return t
    if t is X:
        return OO
    if depth > 30:
        return None
    parts = []
    for s in t.args:
        if isinstance(s, Term):
            v = _parts_at_infinity(s, depth + 1)
            if v is None:
                return None
            parts.append(v)
    return _combined(t, parts, lambda _: 0)


def growth(m: Any) -> tuple[Term, tuple[Fraction, ...]] | None:
    """(constant factor, (rates of x^2.., x in exponents..., power of x)) of a monomial in x and exponentials.

    The key orders monomials by their growth at +oo: exponents of exp(x^3), exp(x^2), exp(x), then the
    power of x. None for a monomial with other functions of x.
    """
    rates = [Fraction(0)] * 4
    constant = [ONE]
    for n, e in m:
        a = atom(n)
        if a.kind == "x":
            rates[3] += e
        elif a.kind == "exp" and a.term is not None and a.term.has_x:
            inner = a.term.args[0]
            degree = {X: 1, power(X, Fraction(2)): 2, power(X, Fraction(3)): 3}.get(inner)
            if degree is None:
                return None
            rates[3 - degree] += e
        elif a.kind == "radical" and a.term is X:
            rates[3] += e
        elif a.term is not None and not a.term.has_x:
            constant.append(power(a.term, e))
        else:
            return None
    return mul(*constant), tuple(rates)


def leading(p: Any) -> tuple[Term, tuple[Fraction, ...]] | None:
    """(coefficient, growth) of the fastest growing monomials of a polynomial; None if not of this form."""
    groups: dict[tuple[Fraction, ...], list[Term]] = {}
    for m, c in p.items():
        found = growth(m)
        if found is None:
            return None
        groups.setdefault(found[1], []).append(mul(num(c), found[0]))
    for key in sorted(groups, reverse=True):
        total = add(*groups[key])
        if sign(total) != 0:
            return total, key
    return None


def _leading(t: Term) -> Term | None:
    """The limit at +oo of a quotient of sums of x**i exp(a x + b x**2 + c x**3)."""
    top, bottom = normal(t)
    if not top:
        return ZERO
    a, b = leading(top), leading(bottom)
    if a is None or b is None:
        return None
    ratio = mul(a[0], power(b[0], Fraction(-1)))
    if a[1] < b[1]:
        return ZERO
    if a[1] == b[1]:
        return ratio
    return OO if sign(ratio) > 0 else NOO
