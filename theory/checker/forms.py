"""Identities by algebra over the rationals: a term as a quotient of sums of products of atoms.

A monomial is a product of atoms to rational powers; the atoms are x, pi, i, primes, exp(m) and
exp(i m) for a monomial m, logarithms, radicals, algebraic numbers, and any other function as it
stands. Relations (i^2 = -1, powers of radicals and of algebraic numbers, exp(a) exp(b) = exp(a + b))
are applied to every product, so `is_zero` is sound: True is a proof, False only means "not shown".
"""

from __future__ import annotations

from fractions import Fraction
from functools import reduce
from typing import Any

from theory.checker.intervals import STEPS
from theory.checker.terms import (
    MAX_EXPONENT,
    PI,
    ZERO,
    Rejected,
    Term,
    X,
    add,
    call,
    mul,
    num,
    power,
)

Monomial = tuple[tuple[int, Fraction], ...]  # (atom number, exponent), sorted by number
Poly = dict[Monomial, Fraction]
MAX_TERMS = 4_000
ONE_POLY: Poly = {(): Fraction(1)}


class Atom:
    """kind: x, prime, i, exp, unit (exp of i times), log, radical, root, term. ``data``: what it stands for."""

    __slots__ = ("data", "kind", "term")

    def __init__(self, kind: str, data: Any, term: Term | None) -> None:
        self.kind, self.data, self.term = kind, data, term


_ATOMS: list[Atom] = []
_NUMBERS: dict[tuple[str, Any], int] = {}
_FORMS: dict[Term, tuple[Poly, Poly]] = {}


def forget() -> None:
    """Empty the tables; call between certificates."""
    _ATOMS.clear()
    _NUMBERS.clear()
    _FORMS.clear()


def _atom(kind: str, data: Any, term: Term | None) -> int:
    key = (kind, data)
    n = _NUMBERS.get(key)
    if n is None:
        n = _NUMBERS[key] = len(_ATOMS)
        _ATOMS.append(Atom(kind, data, term))
    return n


def _frozen(p: Poly) -> tuple[Any, ...]:
    return tuple(sorted(p.items()))


# --------------------------------------------------------------------------- polynomials


def p_add(a: Poly, b: Poly) -> Poly:
    out = dict(a)
    for m, c in b.items():
        v = out.get(m, Fraction(0)) + c
        if v == 0:
            out.pop(m, None)
        else:
            out[m] = v
    return out


def p_scale(a: Poly, c: Fraction) -> Poly:
    return {m: v * c for m, v in a.items()} if c else {}


def p_mul(a: Poly, b: Poly) -> Poly:
    if len(a) * len(b) > 40 * MAX_TERMS:
        raise Rejected("a product of sums outgrew the bound on its length")
    STEPS.take(len(a) * len(b))
    out: Poly = {}
    for m, c in a.items():
        for n, d in b.items():
            for k, e in _reduced(_joined(m, n), c * d).items():
                v = out.get(k, Fraction(0)) + e
                if v == 0:
                    out.pop(k, None)
                else:
                    out[k] = v
    if len(out) > MAX_TERMS:
        raise Rejected("a sum outgrew the bound on its length")
    return out


def _joined(m: Monomial, n: Monomial) -> Monomial:
    exponents = dict(m)
    for a, e in n:
        exponents[a] = exponents.get(a, Fraction(0)) + e
    return tuple(sorted((a, e) for a, e in exponents.items() if e != 0))


def _reduced(m: Monomial, c: Fraction) -> Poly:
    """c times the monomial with the relations of its atoms applied."""
    extra: list[Poly] = []
    kept: list[tuple[int, Fraction]] = []
    for n, e in m:
        atom = _ATOMS[n]
        if atom.kind == "prime":
            whole = e.numerator // e.denominator
            c *= Fraction(atom.data) ** whole
            e -= whole
        elif atom.kind == "i":
            turns = int(e) % 4
            c = -c if turns >= 2 else c
            e = Fraction(turns % 2)
        elif atom.kind == "radical" and e.denominator == 1 and e > 0:
            extra += [dict(atom.data)] * int(e)
            e = Fraction(0)
        elif atom.kind == "radical" and e > 1:
            whole = e.numerator // e.denominator
            extra += [dict(atom.data)] * whole
            e -= whole
        elif atom.kind == "root" and e >= len(atom.data[2]) - 1 and e.denominator == 1:
            coefficients = atom.data[2]
            degree = len(coefficients) - 1
            lower: Poly = {
                (((n, Fraction(k)),) if k else ()): -v / coefficients[degree]
                for k, v in enumerate(coefficients[:-1])
                if v
            }
            extra.append(lower)
            e -= degree
        if e != 0:
            kept.append((n, e))
    out: Poly = {tuple(kept): c}
    for p in extra:
        out = p_mul(out, p)
    return out


def p_power(a: Poly, n: int) -> Poly:
    out = ONE_POLY
    for _ in range(n):
        out = p_mul(out, a)
    return out


def single(a: Poly) -> tuple[Monomial, Fraction] | None:
    """The only term of a polynomial with one term."""
    return next(iter(a.items())) if len(a) == 1 else None


def _monomial_inverse(m: Monomial, c: Fraction) -> Poly:
    return _reduced(tuple((a, -e) for a, e in m), 1 / c)


# --------------------------------------------------------------------------- terms to quotients

Quotient = tuple[Poly, Poly]


def q_add(a: Quotient, b: Quotient) -> Quotient:
    if a[1] == b[1]:
        return p_add(a[0], b[0]), a[1]
    if not a[0]:
        return b
    if not b[0]:
        return a
    return p_add(p_mul(a[0], b[1]), p_mul(b[0], a[1])), p_mul(a[1], b[1])


def q_mul(a: Quotient, b: Quotient) -> Quotient:
    if a[0] == b[1]:
        return b[0], a[1]
    if b[0] == a[1]:
        return a[0], b[1]
    return p_mul(a[0], b[0]), p_mul(a[1], b[1])


def q_inverse(a: Quotient) -> Quotient:
    if not a[0]:
        raise Rejected("a division by 0")
    one = single(a[0])
    if one is None or "root" in {_ATOMS[n].kind for n, _ in one[0]}:
        return a[1], a[0]
    plain = tuple((n, e) for n, e in one[0] if _ATOMS[n].kind != "radical")
    out: Quotient = p_mul(a[1], _monomial_inverse(plain, one[1])), ONE_POLY
    for n, e in one[0]:
        if _ATOMS[n].kind == "radical":  # R**(-e) is written R**(1 - e)/R, so that each power has one form
            out = q_mul(out, ({((n, 1 - e),): Fraction(1)}, dict(_ATOMS[n].data)))
    return out


def normal(t: Term) -> Quotient:
    """(numerator, denominator) of a term; the denominator is not the zero polynomial."""
    found = _FORMS.get(t)
    if found is None:
        STEPS.take()
        found = _FORMS[t] = _normal(t)
    return found


def _constant(c: Fraction) -> Quotient:
    return ({(): c} if c else {}), ONE_POLY


def _single_atom(kind: str, data: Any, term: Term | None, e: Fraction = Fraction(1)) -> Quotient:
    return _reduced(((_atom(kind, data, term), e),), Fraction(1)), ONE_POLY


def _normal(t: Term) -> Quotient:
    op = t.op
    if op == "num":
        return _constant(t.args[0])
    if op == "x":
        return _single_atom("x", None, X)
    if op == "pi":
        return _single_atom("term", PI, PI)
    if op == "root":
        return _single_atom("root", t.args, t)
    if op == "add":
        return reduce(q_add, (normal(s) for s in t.args))
    if op == "mul":
        return reduce(q_mul, (normal(s) for s in t.args))
    if op == "pow":
        base, e = t.args
        if base.op == "pow" and e.denominator != 1:
            inner = normal(base.args[0])
            if _obviously_positive(inner[0]) and _obviously_positive(inner[1]):
                return _power(inner, base.args[1] * e, base.args[0])
        return _power(normal(base), e, base)
    g = normal(t.args[0])
    if op == "exp":
        return _exponential(g, Fraction(1), "exp")
    if op == "tanh":
        e = _exponential(g, Fraction(2), "exp")
        return q_mul(q_add(e, _constant(Fraction(-1))), q_inverse(q_add(e, _constant(Fraction(1)))))
    if op == "sigmoid":
        e = _exponential(g, Fraction(1), "exp")
        return q_mul(e, q_inverse(q_add(e, _constant(Fraction(1)))))
    if op in ("sinh", "cosh", "sin", "cos"):
        kind = "exp" if op in ("sinh", "cosh") else "unit"
        up, down = _exponential(g, Fraction(1), kind), _exponential(g, Fraction(-1), kind)
        odd = op in ("sinh", "sin")
        both = q_add(up, (p_scale(down[0], Fraction(-1 if odd else 1)), down[1]))
        half = _constant(Fraction(1, 2))
        if op == "sin":
            half = q_mul(half, q_inverse(_imaginary()))
        return q_mul(both, half)
    if op == "log":
        return _logarithm(g, t)
    if op in ("atan", "erf"):
        return _odd_function(op, g)
    raise Rejected(f"{op} is no part of an identity")


def _imaginary() -> Quotient:
    return _single_atom("i", None, None)


def _term_of_monomial(m: Monomial) -> Term | None:
    parts = []
    for n, e in m:
        t = _ATOMS[n].term
        if t is None:
            return None
        long = t.op == "exp" and abs(e) > MAX_EXPONENT
        parts.append(power_of_exp(t, e) if long else power(t, e))
    return mul(*parts) if parts else num(1)


def term_of_poly(p: Poly) -> Term:
    """The polynomial as a term (no unit atoms). Raises `Rejected` where it has no real form."""
    parts = []
    for m, c in p.items():
        t = _term_of_monomial(m)
        if t is None:
            raise Rejected("no real form of a complex monomial")
        parts.append(mul(num(c), t))
    return add(*parts) if parts else ZERO


def _exponential(g: Quotient, scale: Fraction, kind: str) -> Quotient:
    """exp(scale g), or exp(i scale g): a product of powers of one atom for each monomial of g."""
    if g[1] != ONE_POLY:
        whole = (_frozen(g[0]), _frozen(g[1]))
        inner = mul(term_of_poly(g[0]), power(term_of_poly(g[1]), Fraction(-1)))
        return _single_atom(kind, whole, call("exp", inner) if kind == "exp" else None, scale)
    out: Quotient = (ONE_POLY, ONE_POLY)
    for m, c in g[0].items():
        c = c * scale
        if kind == "unit" and m == _pi_monomial():
            out = q_mul(out, _unit_root(c))
            continue
        logarithm = _ATOMS[m[0][0]] if len(m) == 1 and m[0][1] == 1 else None
        if kind == "exp" and logarithm is not None and logarithm.kind == "log" and logarithm.term is not None:
            # exp(c log h) = h**c
            out = q_mul(out, _power((dict(logarithm.data), ONE_POLY), c, logarithm.term.args[0]))
            continue
        inner_term = _term_of_monomial(m)
        if inner_term is None:
            raise Rejected("an exponential of a complex quantity")
        meaning = call("exp", inner_term) if kind == "exp" else None
        out = q_mul(out, _single_atom(kind, (((m, Fraction(1)),), ()), meaning, c))
    return out


def _pi_monomial() -> Monomial:
    return ((_atom("term", PI, PI), Fraction(1)),)


_SURDS = {  # cos(k pi / 12) for k = 0..6, as sums of square roots
    0: {1: Fraction(1)},
    1: {6: Fraction(1, 4), 2: Fraction(1, 4)},
    2: {3: Fraction(1, 2)},
    3: {2: Fraction(1, 2)},
    4: {1: Fraction(1, 2)},
    5: {6: Fraction(1, 4), 2: Fraction(-1, 4)},
    6: {},
}


def _cos_twelfths(k: int) -> Quotient:
    k %= 24
    k = min(k, 24 - k)
    sign = 1 if k <= 6 else -1
    total = _constant(Fraction(0))
    for n, c in _SURDS[k if k <= 6 else 12 - k].items():
        total = q_add(total, q_mul(_constant(sign * c), _power(_constant(Fraction(n)), Fraction(1, 2), num(n))))
    return total


def _unit_root(c: Fraction) -> Quotient:
    """exp(i pi c)."""
    if 12 % c.denominator == 0:
        k = int(c * 12)
        return q_add(_cos_twelfths(k), q_mul(_imaginary(), _cos_twelfths(k - 6)))
    whole = c.numerator // c.denominator
    rest = _single_atom("unit", ((_pi_monomial(), Fraction(1)),), None, c - whole)
    return rest if whole % 2 == 0 else q_mul(_constant(Fraction(-1)), rest)


def _primes(n: int) -> dict[int, int]:
    """The prime factors of n > 0; what is left beyond small primes counts as one."""
    found: dict[int, int] = {}
    p = 2
    while p * p <= n and p < 2000:
        while n % p == 0:
            found[p] = found.get(p, 0) + 1
            n //= p
        p += 1 if p == 2 else 2
    if n > 1:
        found[n] = found.get(n, 0) + 1
    return found


def _rational_power(c: Fraction, e: Fraction) -> Quotient:
    """c**e for c > 0."""
    m: list[tuple[int, Fraction]] = []
    for n, sign in ((c.numerator, 1), (c.denominator, -1)):
        for p, times in _primes(n).items():
            m.append((_atom("prime", p, num(p)), e * times * sign))
    merged: dict[int, Fraction] = {}
    for a, k in m:
        merged[a] = merged.get(a, Fraction(0)) + k
    return _reduced(tuple(sorted((a, k) for a, k in merged.items() if k)), Fraction(1)), ONE_POLY


_POSITIVE = ("prime", "exp", "radical")


def _content(p: Poly) -> tuple[Fraction, Monomial, Poly]:
    """p = c * m * rest with c > 0 rational and m a monomial in positive atoms."""
    c = abs(next(iter(sorted(p.items())))[1])
    shared: dict[int, Fraction] | None = None
    for m in p:
        here = {
            a: e for a, e in m if _ATOMS[a].kind in _POSITIVE or (_ATOMS[a].kind == "term" and _ATOMS[a].data is PI)
        }
        if shared is None:
            shared = here
            continue
        zero = Fraction(0)  # the exponent of an atom that a monomial lacks
        shared = {a: min(shared.get(a, zero), here.get(a, zero)) for a in shared.keys() | here.keys()}
    m0: Monomial = tuple(sorted((a, e) for a, e in (shared or {}).items() if e))
    rest = p_mul(p, _monomial_inverse(m0, c))
    return c, m0, rest


def _obviously_positive(p: Poly) -> bool:
    for m, c in p.items():
        if c < 0:
            return False
        for a, e in m:
            if _ATOMS[a].kind not in _POSITIVE and (e.denominator != 1 or e % 2):
                return False
    return bool(p)


def _power(base: Quotient, e: Fraction, original: Term) -> Quotient:
    """base**e; for a fractional e the base is positive wherever the term is defined."""
    if e.denominator == 1:
        n = int(e)
        b = base if n >= 0 else q_inverse(base)
        return p_power(b[0], abs(n)), p_power(b[1], abs(n))
    if not base[0]:
        if e < 0:
            raise Rejected("a division by 0")
        return _constant(Fraction(0))
    num_part, den_part = base
    if den_part != ONE_POLY:
        if not _obviously_positive(den_part):
            return _single_atom("term", power(original, Fraction(1, e.denominator)), original, Fraction(e.numerator))
        top = _power((num_part, ONE_POLY), e, original)
        return q_mul(top, q_inverse(_power((den_part, ONE_POLY), e, original)))
    c, m, rest = _content(num_part)
    out = _rational_power(c, e)
    out = q_mul(out, (_reduced(tuple((a, k * e) for a, k in m), Fraction(1)), ONE_POLY))
    if rest == ONE_POLY:
        return out
    if rest == {(): Fraction(-1)}:
        raise Rejected("a fractional power of a negative number")
    whole = e.numerator // e.denominator
    radical = _single_atom("radical", _frozen(rest), term_of_poly(rest), e - whole)
    if whole >= 0:
        return q_mul(q_mul(out, radical), (p_power(rest, whole), ONE_POLY))
    return q_mul(q_mul(out, radical), q_inverse((p_power(rest, -whole), ONE_POLY)))


def _logarithm(g: Quotient, t: Term) -> Quotient:
    """log g: of rational constants by primes, of exponentials by their exponents."""
    if g[1] != ONE_POLY:
        if _obviously_positive(g[1]):
            top, bottom = _logarithm((g[0], ONE_POLY), t), _logarithm((g[1], ONE_POLY), t)
            return q_add(top, (p_scale(bottom[0], Fraction(-1)), bottom[1]))
        return _single_atom("term", t, t)
    c, m, rest = _content(g[0])
    out = _constant(Fraction(0))
    for n, sign in ((c.numerator, 1), (c.denominator, -1)):
        for p, k in _primes(n).items():
            out = q_add(out, q_mul(_constant(Fraction(sign * k)), _log_atom({(): Fraction(p)})))
    for a, e in m:
        atom = _ATOMS[a]
        if atom.kind == "exp" and len(atom.data[0]) == 1 and not atom.data[1]:
            out = q_add(out, (p_scale({atom.data[0][0][0]: Fraction(1)}, e), ONE_POLY))
        elif atom.kind == "prime":
            out = q_add(out, q_mul(_constant(e), _log_atom({(): Fraction(atom.data)})))
        elif atom.kind == "radical":
            out = q_add(out, q_mul(_constant(e), _log_atom(dict(atom.data))))
        else:
            out = q_add(out, q_mul(_constant(e), _log_atom({((a, Fraction(1)),): Fraction(1)})))
    if rest != ONE_POLY:
        out = q_add(out, _log_atom(rest))
    return out


def _log_atom(p: Poly) -> Quotient:
    return _single_atom("log", _frozen(p), call("log", term_of_poly(p)))


def _odd_function(op: str, g: Quotient) -> Quotient:
    if not g[0]:
        return _constant(Fraction(0))
    sign = Fraction(1)
    if min(g[0].items())[1] < 0:
        sign, g = Fraction(-1), (p_scale(g[0], Fraction(-1)), g[1])
    if op == "atan" and g == _constant(Fraction(1)):
        return p_scale({_pi_monomial(): Fraction(1, 4)}, sign), ONE_POLY
    if op == "atan":
        angle = _angle_of_tangent(g)
        if angle is not None:
            return _constant(sign * angle)
    inner = mul(term_of_poly(g[0]), power(term_of_poly(g[1]), Fraction(-1)))
    out = _single_atom("term", (op, _frozen(g[0]), _frozen(g[1])), call(op, inner))
    return p_scale(out[0], sign), out[1]


def _angle_of_tangent(g: Quotient) -> Fraction | None:
    """c where g = tan(c) for a rational c between -3/2 and 3/2."""
    exponents = [e for p in g for m in p for n, e in m if _ATOMS[n].kind == "unit" and _is_constant_unit(n)]
    for c in {abs(e) for e in exponents} | {abs(e) / 2 for e in exponents}:
        if c >= Fraction(3, 2):
            continue
        tangent = normal(mul(call("sin", num(c)), power(call("cos", num(c)), Fraction(-1))))
        for candidate, sign in ((tangent, 1), ((p_scale(tangent[0], Fraction(-1)), tangent[1]), -1)):
            if not q_add(g, (p_scale(candidate[0], Fraction(-1)), candidate[1]))[0]:
                return sign * c
    return None


def _is_constant_unit(n: int) -> bool:
    """Whether an atom is exp(i)."""
    return bool(_ATOMS[n].data == ((((), Fraction(1)),), ()))


def is_zero(t: Term) -> bool:
    """True only if algebra shows t = 0 wherever t is defined."""
    if t is ZERO:
        return True
    try:
        return not normal(t)[0]
    except Rejected:
        return False


# --------------------------------------------------------------------------- one variable


def univariate(p: Poly) -> tuple[list[Fraction], Term | None] | None:
    """(coefficients, lowest first; exponential u or None for x) of a polynomial in x or in one exp(q x).

    None if it has other atoms. Negative powers are cleared by an even power of x, or a power of u:
    the sign is kept.
    """
    atoms = {a for m in p for a, _ in m}
    if len(atoms) > 1:
        return None
    if not atoms:
        return [p.get((), Fraction(0))], None
    n = atoms.pop()
    atom = _ATOMS[n]
    if atom.kind not in ("x", "exp"):
        return None
    exponents = {m[0][1] if m else Fraction(0): c for m, c in p.items()}
    if atom.kind == "x":
        low = min(exponents)
        if any(e.denominator != 1 for e in exponents):
            return None
        move = Fraction(2 * -(int(low) // 2)) if low < 0 else Fraction(0)
        step, u = Fraction(1), None
    else:
        if atom.term is None or not atom.term.has_x or not _is_linear(atom):
            return None
        step = Fraction(1, reduce(_lcm, (e.denominator for e in exponents), 1))
        move = -min(min(exponents), Fraction(0))
        u = power_of_exp(atom.term, step)
    top = int((max(exponents) + move) / step)
    if top > 200:
        return None
    coefficients = [Fraction(0)] * (top + 1)
    for e, c in exponents.items():
        coefficients[int((e + move) / step)] = c
    return coefficients, u


def power_of_exp(t: Term, step: Fraction) -> Term:
    """exp(g)**step as exp(step g)."""
    return call("exp", mul(num(step), t.args[0]))


def _lcm(a: int, b: int) -> int:
    from math import lcm

    return lcm(a, b)


def _is_linear(atom: Atom) -> bool:
    data = atom.data
    return bool(len(data[0]) == 1 and not data[1] and data[0][0][0] == ((_atom("x", None, X), Fraction(1)),))


def is_frequency(n: int) -> bool:
    """Whether an atom is exp(i x)."""
    return _ATOMS[n].kind == "unit" and _is_linear(_ATOMS[n])


def atoms_of(p: Poly) -> set[int]:
    return {a for m in p for a, _ in m}


def atom(n: int) -> Atom:
    return _ATOMS[n]
