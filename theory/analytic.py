"""Analytic expressions on an open interval: zero test, roots, signs, limits, antiderivatives.

Everything here is exact. An expression is reduced, where that is possible, to a polynomial in x
and u = exp(q x) (`exp_rational`); polynomials are settled by root isolation, the rest by Arb
enclosures with Taylor steps at the ends and domination at infinity. What none of these settles is
`Undecided`. Sampling is used only to find an exact counterexample.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any

import sympy as sp
from mpmath.libmp import NoConvergence
from sympy.polys.polyerrors import BasePolynomialError

from theory.balls import arb, fmpq
from theory.deadline import limit as time_limit
from theory.errors import OutOfTime, Undecided
from theory.exact import X, compare, enclose, equal, less, precision, rational_between, sigmoid, sign_of
from theory.ranges import INF, REALS, Range, end_of, range_of

Expr = Any
U = sp.Symbol("u", positive=True)
OO = sp.oo


# --------------------------------------------------------------------------- normal form


@dataclass(frozen=True)
class ExpRational:
    """num(x, u)/den(x, u) with u = exp(rate * x); rate > 0 exact, or 0 where no exponential occurs."""

    num: Any  # sympy Poly in (X, U)
    den: Any
    rate: Expr

    def back(self, poly: Any) -> Expr:
        return poly.as_expr().subs(U, sp.exp(self.rate * X))


_MAX_FORM_DEGREE = 400


@lru_cache(maxsize=4000)
def exp_rational(expr: Expr) -> ExpRational | None:
    """The normal form of ``expr``, or None if it has other functions, roots, or nonlinear exponents."""
    e = expr
    if e.has(sp.tanh, sp.sinh, sp.cosh, sigmoid):
        e = e.replace(sp.tanh, lambda z: 1 - 2 / (sp.exp(2 * z) + 1))
        e = e.replace(sigmoid, lambda z: 1 - 1 / (sp.exp(z) + 1))
        e = e.replace(sp.sinh, lambda z: (sp.exp(z) - sp.exp(-z)) / 2)
        e = e.replace(sp.cosh, lambda z: (sp.exp(z) + sp.exp(-z)) / 2)
    rates: list[Expr] = []
    for node in e.atoms(sp.exp):
        z = sp.expand(node.args[0])
        if not z.has(X):
            return None  # exp of a constant: its powers are not rational numbers
        a = z.coeff(X, 1)
        if a.has(X) or sp.expand(z - a * X) != 0:
            return None
        rates.append(a)
    rate: Expr = sp.Integer(0)
    if rates:
        base = rates[0]
        ratios = [sp.cancel(r / base) for r in rates]
        if not all(r.is_Rational for r in ratios):
            return None
        step = sp.Rational(
            math.gcd(*(int(abs(r.p)) * math.lcm(*(int(s.q) for s in ratios)) // int(r.q) for r in ratios)),
            math.lcm(*(int(s.q) for s in ratios)),
        )
        if any(abs(r) > _MAX_FORM_DEGREE * step for r in ratios):
            return None  # exp(2 x) beside exp(2.0000001 x): polynomials of degree 10^7
        rate = base * step
        if sign_of(rate) < 0:
            rate = -rate
        e = e.replace(sp.exp, lambda z: U ** sp.cancel(sp.expand(z) / (rate * X)))
    if any(not p.exp.is_Integer for p in e.atoms(sp.Pow) if p.base.has(X) or p.base.has(U)):
        return None
    if any(f.has(X) or f.has(U) for f in e.atoms(sp.Function)):
        return None
    try:
        num, den = sp.fraction(sp.cancel(sp.together(e)))
        return ExpRational(sp.Poly(num, X, U), sp.Poly(den, X, U), rate)
    except BasePolynomialError:
        return None


def unshifted(expr: Expr) -> tuple[Expr, Expr] | None:
    """(expr(x - s), s) in normal form where only a shift c of exponents a*x + c, s = c/a, keeps it from it."""
    if exp_rational(expr) is not None:
        return None
    for node in expr.atoms(sp.exp, sp.tanh, sp.sinh, sp.cosh, sigmoid):
        z = sp.expand(node.args[0])
        if z.is_polynomial(X) and sp.degree(z, X) == 1:
            a, c = sp.Poly(z, X).all_coeffs()
            if c != 0:
                moved = expr.subs(X, X - c / a).replace(
                    lambda n: isinstance(n, sp.exp | sp.tanh | sp.sinh | sp.cosh | sigmoid),
                    lambda n: n.func(sp.expand(n.args[0])),
                )
                return (moved, c / a) if exp_rational(moved) is not None else None
    return None


def simplify(expr: Expr) -> Expr:
    """A shorter equal expression: cancelled in x where it is rational, otherwise sympy's shortest guess."""
    if not expr.has(X):
        return sp.nsimplify(expr) if expr.is_Rational else expr
    if expr.is_rational_function(X):
        return sp.factor_terms(sp.cancel(expr))
    return expr


_LONG = 40  # operations of a constant, from which on sympy takes seconds and shortens little


def shortened(c: Expr) -> Expr:
    """The constant as sympy simplifies it; a long one as it is."""
    return sp.simplify(c) if c.count_ops() < _LONG else c


def cancelled(expr: Expr) -> Expr:
    """An equal quotient with common factors cancelled: functions count as unknowns, roots of one base as powers of one.

    Much faster than a general simplification, and enough where F = h(g) meets B = h'(g).
    """
    for _ in range(2):
        table: dict[Expr, Expr] = {}

        def unknown(n: Expr, table: dict[Expr, Expr] = table) -> Expr:
            return table.setdefault(n, sp.Dummy("v", positive=True if isinstance(n, sp.exp) else None))

        e = expr.replace(lambda n: isinstance(n, sp.Function) and n.has(X), unknown)
        back = {v: n for n, v in table.items()}
        bases = {n.base for n in e.atoms(sp.Pow) if n.exp.is_Rational and not n.exp.is_Integer}
        if any(p.exp.is_Rational and not p.exp.is_Integer for b in bases for p in b.atoms(sp.Pow)):
            return expr
        for base in bases:
            q = math.lcm(*(int(n.exp.q) for n in e.atoms(sp.Pow) if n.base == base))
            root = sp.Dummy("r", positive=True)
            back[root] = base ** sp.Rational(1, q)
            e = e.replace(
                lambda n, base=base: n.is_Pow and n.base == base and n.exp.is_Rational,
                lambda n, q=q, root=root: root ** (n.exp * q),
            )
        try:
            short = sp.factor_terms(sp.cancel(sp.together(e)))
        except BasePolynomialError:
            return expr
        for _ in range(8):  # unknowns stand for functions of unknowns
            if not short.free_symbols & set(back):
                break
            short = short.xreplace(back)
        expr = short
        if not bases:
            break
    return expr


@lru_cache(maxsize=4000)
def is_zero(expr: Expr, a: Expr = -OO, b: Expr = OO) -> bool:
    """Whether ``expr``, analytic on (a, b), vanishes identically; proved either way, else `Undecided`."""
    if not expr.has(X):
        return sign_of(expr) == 0
    moved = unshifted(expr)
    form = exp_rational(expr if moved is None else moved[0])
    if form is not None and (form.num.is_zero or form.num.domain.is_ZZ or form.num.domain.is_QQ):
        return bool(form.num.is_zero)  # x and exp(q x) are algebraically independent
    turned = trig_rational(expr)
    if turned is not None:
        return bool(turned.num.is_zero)
    # a point where the enclosure excludes 0 proves that the expression is not identically zero
    for point in [*samples(a, b, 24), *hints(expr, a, b)]:
        try:
            ball = ball_at(expr, point)
        except Undecided:
            break
        if ball.is_finite() and (ball > 0 or ball < 0):
            return False
    for shorter in (sp.expand, sp.simplify, lambda e: sp.simplify(e.rewrite(sp.exp))):
        if shorter(expr) == 0:
            return True
    raise Undecided(f"whether {expr} vanishes identically could not be settled")


# --------------------------------------------------------------------------- periodic functions


@dataclass(frozen=True)
class TrigRational:
    """num(t)/den(t) with t = tan(rate*(x + shift)/2), polynomials in X over the rationals; period 2 pi/rate."""

    num: Any
    den: Any
    rate: Expr
    shift: Expr

    @property
    def at_pole(self) -> Expr:
        """The value where t is infinite (rate*(x + shift) an odd multiple of pi); +-oo if it has none."""
        n, m = self.num.degree(), self.den.degree()
        if n > m:
            return OO
        return self.num.LC() / self.den.LC() if n == m else sp.Integer(0)

    def point(self, t: Expr) -> Expr:
        """An x with this t, as an exact constant."""
        return 2 * sp.atan(t) / self.rate - self.shift


_MAX_FREQUENCY = 12


@lru_cache(maxsize=2000)
def waves(expr: Expr) -> tuple[Expr, Expr] | None:
    """(rate, shift) where x occurs only as sin or cos of integer multiples of rate*(x + shift), else None."""
    nodes = [n for n in expr.atoms(sp.sin, sp.cos) if n.has(X)]
    if not nodes or expr.xreplace({n: sp.Dummy() for n in nodes}).has(X):
        return None
    lines = []
    for n in nodes:
        z = sp.expand(n.args[0])
        a = z.coeff(X, 1)
        if a.has(X) or a == 0 or (z - a * X).has(X):
            return None
        lines.append((a, z - a * X))
    a0, c0 = lines[0]
    ratios = [sp.cancel(a / a0) for a, _ in lines]
    shift = c0 / a0
    if not all(r.is_Rational for r in ratios) or any(sp.expand(c / a - shift) != 0 for a, c in lines):
        return None
    whole = math.lcm(*(int(r.q) for r in ratios))
    step = sp.Rational(math.gcd(*(int(r * whole) for r in ratios)), whole)
    rate = a0 * step if sign_of(a0) > 0 else -a0 * step
    return rate, shift


@lru_cache(maxsize=2000)
def trig_rational(expr: Expr) -> TrigRational | None:
    """The normal form of an expression in sin and cos of multiples of one angle, or None."""
    found = waves(expr)
    if found is None:
        return None
    rate, shift = found
    t = X
    cosine, sine = (1 - t**2) / (1 + t**2), 2 * t / (1 + t**2)
    table: dict[Expr, Expr] = {}
    for node in expr.atoms(sp.sin, sp.cos):
        if not node.has(X):
            return None  # a constant whose products are not rational numbers
        k = int(sp.cancel(sp.expand(node.args[0]).coeff(X, 1) / rate))
        if abs(k) > _MAX_FREQUENCY:
            return None
        if isinstance(node, sp.cos):
            table[node] = sp.chebyshevt(abs(k), cosine)
        else:
            table[node] = (1 if k > 0 else -1) * sine * sp.chebyshevu(abs(k) - 1, cosine)
    e = expr.xreplace(table)
    if not e.is_rational_function(X):
        return None
    num, den = sp.fraction(sp.cancel(sp.together(e)))
    try:
        form = TrigRational(sp.Poly(num, X), sp.Poly(den, X), rate, shift)
    except BasePolynomialError:
        return None
    rational = all(q.domain.is_ZZ or q.domain.is_QQ for q in (form.num, form.den))
    return form if rational else None


def _periodic_sign(expr: Expr, a: Expr, b: Expr) -> Sign | None:
    """The sign of a periodic function on an interval of at least one period: of one period, exactly where rational."""
    found = waves(expr)
    if found is None:
        return None
    period = 2 * sp.pi / found[0]
    if a != -OO and b != OO and less(b - a, period):
        return None
    form = trig_rational(expr)
    if form is None:
        start = rational_between(a, b) if a == -OO else rational_between(a, a + period / 8)
        stop = rational_between(start + period * sp.Rational(9, 8), start + period * sp.Rational(5, 4))
        if b != OO and less(b, stop):
            return None
        return sign_on(expr, start, stop)
    t = sign_on(form.num.as_expr() / form.den.as_expr(), -OO, OO)
    method = "real roots of a polynomial isolated in tan(q*x)"
    if t.value is not None:
        return Sign(t.value, t.strict and form.at_pole != 0, method=method)
    if t.positive is None or t.negative is None:
        return None
    points = []
    for tan, wanted in ((t.positive, 1), (t.negative, -1)):
        turns = _floor_of((a if a != -OO else b if b != OO else sp.Integer(0)) / period)
        near = next(
            (p for n in (0, 1, 2, -1, -2) if less(a, p := form.point(tan) + (turns + n) * period) and less(p, b)),
            None,
        )
        point = None if near is None else _signed_beside(expr, near, a, b, wanted)
        if point is None:
            return None
        points.append(point)
    return Sign(None, False, points[0], points[1], "two exact points")


def _signed_beside(expr: Expr, near: Expr, a: Expr, b: Expr, wanted: int) -> Expr | None:
    """A rational point of (a, b) close to an exact constant at which the expression has the wanted sign."""
    for bits in (8, 16, 32, 64, 128, 256):
        width = sp.Rational(1, 2**bits)
        lo, hi = (near - width, near + width)
        point = rational_between(lo if less(a, lo) else a, hi if less(hi, b) else b)
        if sign_at(expr, point) == wanted:
            return point
    return None


def _floor_of(c: Expr) -> int:
    with precision(192):
        return int(enclose(c).mid().floor().unique_fmpz())


# --------------------------------------------------------------------------- roots of squares


def without_roots(expr: Expr, a: Expr, b: Expr) -> Expr:
    """``expr`` on (a, b) with every root of a perfect square written as the square's root of the right sign.

    sqrt(x^2 + 2 x + 1) is x + 1 or -x - 1 where x + 1 is proved to have one strict sign; the squares are
    those of the normal forms, by factorisation, and of sin and cos by half angles.
    """
    if not any(_is_root(n) for n in expr.atoms(sp.Pow)):
        return expr
    return expr.replace(_is_root, lambda n: _root_of_square(n, a, b))


def folds(expr: Expr, a: Expr, b: Expr) -> Roots:
    """The points of (a, b) where the base of a root in ``expr`` vanishes, so that the root may have a kink."""
    points: list[Expr] = []
    window: tuple[Expr, Expr] | None = None
    for n in expr.atoms(sp.Pow):
        shape = _structural(n.base) if _is_root(n) else (1, True)
        if shape is not None and shape[1]:
            continue
        with contextlib.suppress(Undecided, BasePolynomialError):
            square = _exp_root(n.base, n.exp) or _trig_root(n.base, n.exp)
            for g in [n.base] if square is None else [q for q, _ in square[1] if not isinstance(q, sp.exp)]:
                if not sign_on(g, a, b).strict:
                    part = solve_level(g, sp.Integer(0), a, b)
                    points += part.points
                    window = window or part.window
    return Roots(tuple(sort_exact(points)), window)


def _is_root(n: Expr) -> bool:
    return bool(n.is_Pow and n.exp.is_Rational and not n.exp.is_Integer and n.base.has(X))


@lru_cache(maxsize=2000)
def _root_of_square(n: Expr, a: Expr, b: Expr) -> Expr:
    """A root w^(p/q) as a product of whole powers, or as it stands where it is none or a sign stays open."""
    try:
        found = _exp_root(n.base, n.exp) or _trig_root(n.base, n.exp)
        if found is None:
            return n
        constant, factors = found
        result = constant
        for factor, power in factors:
            s = sign_on(factor, a, b) if power % 2 else Sign(1, True)
            if not s.strict or s.value not in (1, -1):
                return n
            result *= (s.value * factor) ** power
    except (Undecided, BasePolynomialError):
        return n
    return result


def _exp_root(w: Expr, e: Expr) -> tuple[Expr, list[tuple[Expr, int]]] | None:
    """(c, factors) with w^e = c times the sizes of the factors to whole powers, by the normal form of w."""
    form = exp_rational(w)
    if form is None or form.num.is_zero or not all(q.domain.is_ZZ or q.domain.is_QQ for q in (form.num, form.den)):
        return None
    constant, factors = sp.Integer(1), []
    for poly, side in ((form.num, 1), (form.den, -1)):
        content, parts = sp.factor_list(poly)
        constant *= content**side
        for q, m in parts:
            if q.as_expr() == U:
                factors.append((sp.exp(form.rate * X * m * side * e), 1))
                continue
            power = side * m * e
            if not power.is_Integer:
                return None
            factors.append((form.back(q), int(power)))
    return (constant**e, factors) if constant > 0 else None


def _trig_root(w: Expr, e: Expr) -> tuple[Expr, list[tuple[Expr, int]]] | None:
    """The same for w = c r(t)^2 cos(z)^(2 n), t = tan(z), r of degree at most n; r is made homogeneous in sin, cos."""
    form = trig_rational(w)
    if form is None or e != sp.Rational(1, 2):
        return None
    content, parts = form.num.factor_list()
    lead, lower = form.den.factor_list()
    n = 0
    for q, m in lower:
        if sp.expand(q.as_expr() - X**2 - 1) != 0:
            return None
        n += m
    root = sp.Integer(1)
    for q, m in parts:
        if m % 2:
            return None
        root *= q.as_expr() ** (m // 2)
    r = sp.Poly(root, X)
    c = content / lead
    if r.degree() > n or not c > 0:
        return None
    z = sp.expand(form.rate * (X + form.shift) / 2)
    total = sp.Add(*(v * sp.sin(z) ** k * sp.cos(z) ** (n - k) for (k,), v in r.terms()))
    return sp.sqrt(c), [(total, 1)]


# --------------------------------------------------------------------------- roots


@dataclass(frozen=True)
class Roots:
    """Zeros of an expression on an open interval, sorted; ``window`` limits what was searched."""

    points: tuple[Expr, ...]
    window: tuple[Expr, Expr] | None = None


def _inside(points: Iterable[Expr], a: Expr, b: Expr) -> list[Expr]:
    real = [p for p in points if p.is_real is not False and not p.has(sp.I)]
    return sort_exact(p for p in real if less(a, p) and less(p, b))


class _SortKey:
    def __init__(self, value: Expr) -> None:
        self.value = value

    def __lt__(self, other: _SortKey) -> bool:
        return less(self.value, other.value)


def sort_exact(points: Iterable[Expr]) -> list[Expr]:
    """Exact constants in increasing order, equal ones merged."""
    ordered = sorted(points, key=_SortKey)
    merged: list[Expr] = []
    for p in ordered:
        if not merged or not equal(merged[-1], p):
            merged.append(p)
    return merged


def _polynomial_roots(poly: Any) -> list[Expr]:
    """Real roots of a univariate polynomial with exact coefficients."""
    roots: list[Expr] = []
    if poly.domain.is_ZZ or poly.domain.is_QQ:
        for factor, _ in poly.factor_list()[1]:
            if factor.degree() <= 2:
                roots += [r for r in sp.roots(factor.as_expr(), factor.gen, multiple=True) if r.is_real]
            else:
                roots += factor.real_roots()
        return roots
    if poly.degree() == 1:
        c1, c0 = poly.all_coeffs()
        return [sp.radsimp(-c0 / c1)]
    if poly.degree() == 2:
        c2, c1, c0 = poly.all_coeffs()
        d = sp.expand(c1**2 - 4 * c2 * c0)
        s = sign_of(d)
        if s < 0:
            return []
        return [(-c1 - sp.sqrt(d)) / (2 * c2), (-c1 + sp.sqrt(d)) / (2 * c2)]
    return _roots_by_factors(poly)


def _roots_by_factors(poly: Any) -> list[Expr]:
    """Real roots where factors of degree at most 2 are found over the field of irrational coefficients."""
    forms = [poly]
    if all(c.is_algebraic for c in poly.all_coeffs()) and poly.degree() <= 6:
        forms.append(sp.Poly(poly.as_expr(), poly.gen, extension=True))
    for form in forms:
        try:
            factors = [f for f, _ in form.factor_list()[1]]
        except (BasePolynomialError, NotImplementedError):
            continue
        if all(f.degree() <= 2 for f in factors):
            return [r for f in factors for r in _polynomial_roots(sp.Poly(f.as_expr(), poly.gen))]
    raise Undecided(f"roots of {poly.as_expr()} with irrational coefficients")


_WINDOW = sp.Integer(32)
"""Half-width of the window in which infinitely many breakpoints are looked at."""


def _peel(expr: Expr, level: Expr) -> tuple[Expr, list[Expr]] | None:
    """expr = level rewritten as inner = one of several levels, where the outermost function is invertible."""
    if expr.is_Add:
        const, rest = expr.as_independent(X, as_Add=True)
        if const != 0:
            return rest, [level - const]
        return None
    if expr.is_Mul:
        const, rest = expr.as_independent(X, as_Add=False)
        if const != 1:
            return rest, [level / const]
        return None
    if expr.is_Pow and expr.base is not sp.E and expr.exp.is_Rational:
        n = expr.exp
        s = sign_of(level)
        if n.is_Integer and n % 2 == 0:
            if s < 0 or (s == 0 and n < 0):
                return expr.base, []
            return expr.base, [sp.Integer(0)] if s == 0 else [level ** (1 / n), -(level ** (1 / n))]
        if n.is_Integer:
            if s == 0:
                return expr.base, [sp.Integer(0)] if n > 0 else []
            return expr.base, [s * (s * level) ** (1 / n)]
        if s < 0 or (s == 0 and n < 0):
            return expr.base, []
        return expr.base, [sp.Integer(0)] if s == 0 else [level ** (1 / n)]
    if not expr.args:
        return None
    inner = expr.args[-1] if isinstance(expr, sp.exp) else expr.args[0]
    one = sp.Integer(1)
    for side in (1, -1) if isinstance(expr, sp.tanh | sp.sinh | sp.erf) else (1,) if isinstance(expr, sigmoid) else ():
        if (side * level).func is expr.func:  # clip(tanh(2 x)/tanh(2), -1, 1) has its breakpoints at -1 and 1
            return inner, [side * (side * level).args[0]]
    if isinstance(expr, sp.exp):
        return inner, [sp.log(level)] if sign_of(level) > 0 else []
    if isinstance(expr, sp.log):
        return inner, [sp.exp(level)]
    if isinstance(expr, sp.tanh):
        inside = less(-one, level) and less(level, one)
        return inner, [sp.log((1 + level) / (1 - level)) / 2] if inside else []
    if isinstance(expr, sigmoid):
        inside = less(sp.Integer(0), level) and less(level, one)
        return inner, [sp.log(level / (1 - level))] if inside else []
    if isinstance(expr, sp.sinh):
        return inner, [sp.log(level + sp.sqrt(level**2 + 1))]
    if isinstance(expr, sp.cosh):
        if less(level, one):
            return inner, []
        if equal(level, one):
            return inner, [sp.Integer(0)]
        r = sp.log(level + sp.sqrt(level**2 - 1))
        return inner, [r, -r]
    if isinstance(expr, sp.atan):
        inside = less(-sp.pi / 2, level) and less(level, sp.pi / 2)
        return inner, [sp.tan(level)] if inside else []
    if isinstance(expr, sp.erf):
        if sign_of(level) == 0:
            return inner, [sp.Integer(0)]
        if less(-one, level) and less(level, one):
            return None
        return inner, []
    return None


def solve_level(expr: Expr, level: Expr, a: Expr, b: Expr) -> Roots:
    """All x in (a, b) with expr(x) = level; `Undecided` where they have no closed form.

    The expression must be analytic on (a, b) and not identically equal to the level.
    """
    if expr == X:
        return Roots(tuple(_inside([level], a, b)))
    g = sp.expand(expr - level) if expr.is_polynomial(X) else expr - level
    if not expr.has(X):
        if sign_of(g) == 0:
            raise Undecided("the level set is an interval")
        return Roots(())
    if expr.is_polynomial(X):
        try:
            return Roots(tuple(_inside(_polynomial_roots(sp.Poly(g, X)), a, b)))
        except Undecided:
            if expr == g and _peel(expr, level) is None:
                raise  # otherwise the form as written may show the roots
    if isinstance(expr, sp.sin | sp.cos):
        return _periodic_roots(expr, level, a, b)
    step = _peel(expr, level)
    if step is not None:
        inner, levels = step
        points: list[Expr] = []
        window: tuple[Expr, Expr] | None = None
        for target in levels:
            part = solve_level(inner, target, a, b)
            points += part.points
            window = window or part.window
        return Roots(tuple(_inside(points, a, b)), window)
    if sign_of(level) == 0 and expr.is_Mul:
        points = []
        window = None
        for factor in expr.args:
            if factor.has(X) and not (factor.is_Pow and factor.exp.is_negative):
                part = solve_level(factor, sp.Integer(0), a, b)
                points += part.points
                window = window or part.window
        return Roots(tuple(_inside(points, a, b)), window)
    form = exp_rational(g)
    if form is not None:
        num = form.num
        if form.rate == 0 or num.degree(U) == 0:
            return Roots(tuple(_inside(_polynomial_roots(sp.Poly(num.as_expr(), X)), a, b)))
        if num.degree(X) == 0:
            us = _polynomial_roots(sp.Poly(num.as_expr(), U))
            return Roots(tuple(_inside([sp.log(u) / form.rate for u in us if sign_of(u) > 0], a, b)))
    verdict = sign_on(g, a, b)
    if verdict.strict:
        return Roots(())
    lone = _lone_zero(g, a, b)
    if lone is not None:
        return Roots((lone,))
    if sp.simplify(g).is_Mul and sp.simplify(g) != g:
        return solve_level(sp.simplify(g), sp.Integer(0), a, b)
    raise Undecided(f"the points where {expr} = {level} have no closed form here")


def _lone_zero(g: Expr, a: Expr, b: Expr) -> Expr | None:
    """The only zero of g in (a, b), if it is 0 or a guessed constant and g is strict on both sides of it."""
    zero = sp.Integer(0)
    c: Expr | None = zero if less(a, zero) and less(zero, b) and _exact_zero(g, zero) else None
    c = c if c is not None else _crossing_zero(g, a, b) or _touching_zero(g, a, b) or _touching_zero(-g, a, b)
    if c is None:
        return None
    try:
        return c if sign_on(g, a, c).strict and sign_on(g, c, b).strict else None
    except Undecided:
        return None


def _angles(expr: Expr, level: Expr) -> list[Expr]:
    """The angles in one turn at which sin or cos takes the level."""
    angle = sp.asin(level) if isinstance(expr, sp.sin) else sp.acos(level)
    if angle.has(sp.asin, sp.acos):
        raise Undecided(f"the points where {expr} = {level} have no closed form here")
    return [angle, sp.pi - angle if isinstance(expr, sp.sin) else -angle]


_MAX_TURNS = 12


def _periodic_roots_of_bounded(expr: Expr, level: Expr, a: Expr, b: Expr) -> Roots:
    """The roots where the argument of sin or cos stays within a few turns on (a, b)."""
    inner = expr.args[0]
    whole = _whole_range(inner, a, b)
    if -INF in (whole.lo, -whole.hi) and sign_on(sp.diff(inner, X), a, b).value in (1, -1):
        ends = sorted((limit_at(inner, a, 1), limit_at(inner, b, -1)), key=_SortKey)  # monotone
        with precision(128):
            whole = Range(end_of(ends[0], True), end_of(ends[1], False))
    limit = 2 * arb.pi() * _MAX_TURNS
    if not (whole.lo > -limit and whole.hi < limit):
        raise Undecided(f"the points where {expr} = {level}")
    points: list[Expr] = []
    for base in _angles(expr, level):
        for n in range(-_MAX_TURNS - 1, _MAX_TURNS + 2):
            target = base + 2 * sp.pi * n
            with precision(128):
                ball = enclose(target)
            if not (ball < whole.lo or ball > whole.hi):
                part = solve_level(inner, target, a, b)
                if part.window is not None:
                    raise Undecided(f"the points where {expr} = {level}")
                points += part.points
    return Roots(tuple(_inside(points, a, b)))


def _periodic_roots(expr: Expr, level: Expr, a: Expr, b: Expr) -> Roots:
    one = sp.Integer(1)
    if less(one, level) or less(level, -one):
        return Roots(())
    if not expr.args[0].is_polynomial(X) or sp.degree(expr.args[0], X) != 1:
        return _periodic_roots_of_bounded(expr, level, a, b)
    k, c = sp.Poly(expr.args[0], X).all_coeffs()
    lo = a if less(-_WINDOW, a) else -_WINDOW
    hi = b if less(b, _WINDOW) else _WINDOW
    window = None if (lo is a and hi is b) else (lo, hi)
    points: list[Expr] = []
    for base in _angles(expr, level):
        n_lo, n_hi = sorted(int(sp.floor((k * end + c - base) / (2 * sp.pi))) for end in (lo, hi))
        if n_hi - n_lo > 200:
            raise Undecided(f"{expr} takes the value {level} too often")
        points += [(base + 2 * sp.pi * n - c) / k for n in range(n_lo - 1, n_hi + 2)]
    return Roots(tuple(_inside([sp.expand(p) for p in points], lo, hi)), window)


# --------------------------------------------------------------------------- signs


@dataclass(frozen=True)
class Sign:
    """What is proved of an analytic function on an open interval.

    ``value`` is 1 (>= 0), -1 (<= 0), 0 (identically zero), or None (takes both signs; then
    ``positive`` and ``negative`` are exact points where it does). ``strict``: no zero inside.
    """

    value: int | None
    strict: bool = False
    positive: Expr | None = None
    negative: Expr | None = None
    method: str = ""


_FAR = [sp.Integer(10) ** k for k in (3, 4, 6, 9)]


def samples(a: Expr, b: Expr, count: int = 48) -> list[Expr]:
    """Rational points spread over the open interval (a, b), denser towards its ends."""
    grid: list[Expr] = []
    if a == -OO and b == OO:
        centre = [sp.Integer(0)]
        offsets = [sp.Rational(3, 2) ** k / 64 for k in range(count // 2)] + _FAR
        return centre + [s * o for o in offsets for s in (1, -1)]
    if b == OO:
        start = rational_between(a, a + sp.Rational(1, 2**20)) if not a.is_Rational else a
        return [start + sp.Rational(3, 2) ** k / 512 for k in range(count)] + [start + far for far in _FAR]
    if a == -OO:
        return [-p for p in samples(-b, OO, count)]
    inner_a = a if a.is_Rational else rational_between(a, a + (b - a) / 2**12)
    inner_b = b if b.is_Rational else rational_between(b - (b - a) / 2**12, b)
    width = inner_b - inner_a
    half = count // 3
    for k in range(1, half):
        grid.append(inner_a + width * sp.Rational(k, half))
    for k in range(1, half // 2 + 1):
        grid += [inner_a + width / 3**k / 7, inner_b - width / 3**k / 7]
    return grid


_HINT_LEVELS = (0, 1, -1, 3, -3)


@lru_cache(maxsize=4000)
def hints(expr: Expr, a: Expr, b: Expr) -> tuple[Expr, ...]:
    """Short rational points of (a, b) where something may happen: where arguments of functions are small or turn.

    A bump such as exp(-(x - 50)^2) lies between the points of a fixed grid; its centre is no secret.
    """
    polynomials: set[Expr] = set()
    for node in expr.atoms(sp.Function, sp.Pow):
        inner = node.base if node.is_Pow else node.args[0]
        if inner.has(X) and inner.is_polynomial(X) and sp.degree(inner, X) <= 6 and inner != X:
            polynomials.add(inner)
    found: dict[Expr, None] = {}
    for p in sorted(polynomials, key=sp.default_sort_key)[:8]:
        for q in (*(p - k for k in _HINT_LEVELS), sp.diff(p, X)):
            try:
                roots = sp.Poly(q, X).nroots(n=12, maxsteps=60) if q.has(X) else []
            except (BasePolynomialError, NoConvergence, ValueError, ZeroDivisionError):
                continue
            for r in roots:
                c = _short_near(sp.re(r))
                if c is not None and less(a, c) and less(c, b):
                    found[c] = None
    return tuple(found)[:40]


def _short_near(value: Any) -> Expr | None:
    """A rational with few digits within about 1e-4 (relative) of a float."""
    if value.is_finite is False or not value.is_number:
        return None
    q = sp.Rational(f"{float(value):.4e}")
    return q


def ball_at(expr: Expr, point: Expr, bits: int = 192) -> Any:
    """The enclosure of expr at a rational point."""
    with precision(bits):
        return enclose(expr, arb(fmpq(int(point.p), int(point.q))))


def sign_at(expr: Expr, point: Expr) -> int | None:
    """The proved nonzero sign at a rational point, or None."""
    for bits in (96, 640):
        ball = ball_at(expr, point, bits)
        if ball > 0:
            return 1
        if ball < 0:
            return -1
    return None


def sign_at_by_factors(expr: Expr, point: Expr) -> int | None:
    """The same, where need be from the factors: 1 - tanh(x)^2 at 10^10 is positive by form, though no ball shows it."""
    s = sign_at(expr, point)
    return s if s is not None else _sign_of_powers(_factors_as_written(expr), point)


def _factors_as_written(expr: Expr) -> list[tuple[Expr, int]]:
    """The factors of a product, whole powers as pairs (base, exponent)."""
    found = []
    for factor in sp.Mul.make_args(expr):
        whole = factor.is_Pow and factor.exp.is_Integer and factor.base is not sp.E
        found.append((factor.base, int(factor.exp)) if whole else (factor, 1))
    return found


def _sign_of_powers(factors: list[tuple[Expr, int]], point: Expr) -> int | None:
    """The proved nonzero sign at a point of a product of powers."""
    sign = 1
    for factor, power in factors:
        shape = _structural(factor)
        s = shape[0] if shape is not None and shape[1] else sign_at(factor, point)
        if s is None or s == 0:
            return None
        sign *= s if power % 2 else 1
    return sign


@lru_cache(maxsize=8000)
def _structural(expr: Expr) -> tuple[int, bool] | None:
    """(sign, strict) for all real x by the form of the expression alone, or None."""
    if not expr.has(X):
        s = sign_of(expr)
        return (s, s != 0)
    if isinstance(expr, sp.exp | sp.cosh | sigmoid):
        return (1, True)
    if expr.is_Pow and expr.exp.is_Rational:
        if expr.exp.is_Integer and expr.exp % 2 == 0:
            return (1, expr.exp < 0 or _never_zero(expr.base))
        inner = _structural(expr.base)
        if not expr.exp.is_Integer:
            return (1, inner is not None and inner[1])
        return inner
    if expr.is_Mul:
        sign, strict = 1, True
        for factor in expr.args:
            part = _structural(factor)
            if part is None:
                return None
            sign, strict = sign * part[0], strict and part[1]
        return (sign, strict)
    if expr.is_Add:
        apart = _difference_of_values(expr)
        if apart is not None:
            return apart
        parts = [_structural(term) for term in expr.args]
        if any(p is None for p in parts):
            return _dominated_sum(expr)
        known = [p for p in parts if p is not None]
        signs = {p[0] for p in known if p[0] != 0}
        if len(signs) == 1:
            return (signs.pop(), any(p[1] for p in known))
        return _dominated_sum(expr)
    return None


_RISING = (sp.exp, sp.tanh, sp.sinh, sp.atan, sp.erf, sigmoid)


def _difference_of_values(expr: Expr) -> tuple[int, bool] | None:
    """(sign, strict) of k (h(p) - h(q)) for a strictly increasing h and a constant k: those of k (p - q)."""
    if len(expr.args) != 2:
        return None
    (k, p), (m, q) = (_as_logistic(term).as_independent(X, as_Add=False) for term in expr.args)
    if p == q and k != -m:
        shape = _structural(p)
        s = sign_of(k + m)
        return None if shape is None or s == 0 else (s * shape[0], shape[1])
    if p.func not in _RISING or p.func is not q.func or sp.expand(k + m) != 0:
        return None
    gap = sp.expand(p.args[0] - q.args[0])
    if gap == 0:
        return None
    shape = _structural(gap)
    return None if shape is None else (sign_of(k) * shape[0], shape[1])


def _as_logistic(term: Expr) -> Expr:
    """exp(z)/(1 + exp(z)) and 1/(1 + exp(-z)) within a product as the logistic function of z."""
    for factor in sp.Mul.make_args(term):
        if factor.is_Pow and factor.exp == -1 and factor.base.is_Add and len(factor.base.args) == 2:
            one, e = factor.base.args
            if one == 1 and isinstance(e, sp.exp):
                z = e.args[0]
                rest = term / factor
                if rest.has(sp.exp):
                    rest = rest / e
                    return rest * sigmoid(z) if not rest.has(X) else term
                return rest * sigmoid(-z) if not rest.has(X) else term
    return term


def _sign_inside(e: Expr, a: Expr, b: Expr) -> int | None:
    """The strict sign on all of the open interval (a, b) by form alone, such as x + tanh(x) on (0, oo)."""
    shape = _structural(e)
    if shape is not None and shape[1]:
        return shape[0]
    if e == X:
        if a != -OO and sign_of(a) >= 0:
            return 1
        return -1 if b != OO and sign_of(b) <= 0 else None
    if isinstance(e, sp.tanh | sp.sinh | sp.atan | sp.erf):
        return _sign_inside(e.args[0], a, b)
    if e.is_Pow and e.exp.is_Rational:
        inner = _sign_inside(e.base, a, b)
        return None if inner is None else inner ** int(abs(e.exp.p)) if e.exp.is_Integer else 1
    if e.is_Mul:
        parts = [_sign_inside(factor, a, b) for factor in e.args]
        return None if None in parts else math.prod(p for p in parts if p is not None)
    if e.is_Add:
        k = sp.diff(e, X) if e.count_ops() < 12 else X
        if not k.has(X) and k != 0:
            zero = -e.subs(X, 0) / k
            if a != -OO and compare(zero, a) <= 0:
                return sign_of(k)
            return -sign_of(k) if b != OO and compare(zero, b) >= 0 else None
        signs = {_sign_inside(term, a, b) for term in e.args}
        return signs.pop() if len(signs) == 1 else None
    return None


def _dominated_sum(expr: Expr) -> tuple[int, bool] | None:
    """(sign, strict) of a constant plus terms that never exceed it, such as 1 - tanh(x)^2."""
    c, rest = expr.as_independent(X, as_Add=True)
    if c == 0:
        return None
    s = sign_of(c)
    shapes = [(term, _structural(term)) for term in sp.Add.make_args(rest)]
    helping = [shape for _, shape in shapes if shape is not None and shape[0] == s]
    found = _bounded(sp.Add(*(term for term, shape in shapes if shape is None or shape[0] != s)))
    if found is None:
        return None
    order = compare(abs(c), found[0])
    strict = order > 0 or found[1] or any(shape[1] for shape in helping)
    return None if order < 0 else (s, strict)


_BELOW = {sp.tanh: 1, sp.erf: 1, sigmoid: 1, sp.atan: sp.pi / 2}


def _bounded(e: Expr) -> tuple[Expr, bool] | None:
    """(M, strict) with |e| <= M for all real x, < M if strict, by the form of the expression; or None."""
    if not e.has(X):
        return abs(e), False
    if e.func in _BELOW:
        return sp.sympify(_BELOW[e.func]), True
    if isinstance(e, sp.sin | sp.cos):
        return sp.Integer(1), False
    if isinstance(e, sp.exp):
        shape = _structural(-e.args[0])
        return None if shape is None or shape[0] < 0 else (sp.Integer(1), shape[1])
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        inner = _bounded(e.base)
        return None if inner is None else (inner[0] ** e.exp, inner[1])
    if e.is_Pow and e.exp.is_Integer and e.base.is_Add:
        c, rest = e.base.as_independent(X, as_Add=True)
        shape = _structural(rest)
        at_least = c.is_Rational and c > 0 and shape is not None and shape[0] > 0
        return (c**e.exp, shape is not None and shape[1]) if at_least else None
    if e.is_Mul or e.is_Add:
        bound, strict = sp.Integer(1 if e.is_Mul else 0), False
        for part in e.args:
            inner = _bounded(part)
            if inner is None:
                return None
            bound = bound * inner[0] if e.is_Mul else bound + inner[0]
            strict = strict or inner[1]
        return bound, strict
    return None


def _never_zero(expr: Expr) -> bool:
    s = _structural(expr)
    return s is not None and s[1]


@lru_cache(maxsize=8000)
def sign_on(expr: Expr, a: Expr, b: Expr) -> Sign:
    """The sign of an analytic, finite ``expr`` on the open interval (a, b), proved or refuted.

    Raises `Undecided` with the reason where it is settled neither way.
    """
    if is_zero(expr, a, b):
        return Sign(0, method="vanishes identically")
    shape = _structural(expr)
    if shape is not None and shape[0] != 0:
        by_form = Sign(shape[0], shape[1], method="sign of every term")
        if not shape[1] and expr.is_Add:
            with contextlib.suppress(Undecided):
                return _periodic_sign(expr, a, b) or _prove_sign(expr, a, b)
        return by_form
    side = _sign_inside(expr, a, b)
    if side is not None:
        return Sign(side, True, method="sign of every term on this side")
    plus, minus = _sampled_signs(expr, a, b)
    if plus is not None and minus is not None:
        return Sign(None, False, plus, minus, "two exact points")
    moved = unshifted(expr)
    if moved is not None and moved[1].is_Rational:
        s = moved[1]
        there = sign_on(moved[0], a + s, b + s)
        back = [None if p is None else p - s for p in (there.positive, there.negative)]
        return Sign(there.value, there.strict, back[0], back[1], there.method)
    periodic = _periodic_sign(expr, a, b)
    if periodic is not None:
        return periodic
    try:
        found = _prove_sign(expr, a, b)
        return replace(found, positive=found.positive or plus, negative=found.negative or minus)
    except Undecided as reason:
        open_question = reason
    p, n = _between_zeros(expr, a, b)
    plus, minus = plus if plus is not None else p, minus if minus is not None else n
    if plus is not None and minus is not None:
        return Sign(None, False, plus, minus, "two exact points")
    cuts = _natural_cuts(expr, a, b)
    if cuts:
        with contextlib.suppress(Undecided):
            whole = _joined([sign_on(expr, c, d) for c, d in pairwise([a, *cuts, b])])
            return replace(whole, positive=whole.positive or plus, negative=whole.negative or minus)
    with contextlib.suppress(Undecided):
        return _enclosure_sign(expr, a, b, 1)  # as written: common denominators may hide what dominates
    raise open_question


def negative_point(expr: Expr, a: Expr, b: Expr) -> Expr | None:
    """A rational point of (a, b) at which ``expr`` is proved negative, from a fixed set of samples, or None."""
    return _sampled_signs(expr, a, b)[1]


@lru_cache(maxsize=4000)
def _sampled_signs(expr: Expr, a: Expr, b: Expr) -> tuple[Expr | None, Expr | None]:
    """Sample points at which the expression is proved positive and negative."""
    plus = minus = None
    for point in [*samples(a, b), *hints(expr, a, b)]:
        s = sign_at(expr, point)
        if s == 1 and plus is None:
            plus = point
        if s == -1 and minus is None:
            minus = point
        if plus is not None and minus is not None:
            break
    return plus, minus


def _natural_cuts(expr: Expr, a: Expr, b: Expr) -> list[Expr]:
    """0, the zeros of polynomial factors and of lines within the expression: where mixed signs may be cut."""
    points: list[Expr] = [sp.Integer(0)]
    for factor, _ in _factors(expr):
        if factor.is_polynomial(X) and factor.has(X):
            try:
                points += _polynomial_roots(sp.Poly(factor, X))
            except Undecided:
                continue
    points += [-t.subs(X, 0) / sp.diff(t, X) for t in _lines(expr)]
    return _inside(points, a, b)


def _joined(parts: list[Sign]) -> Sign:
    """The sign on an interval from the signs on its pieces; the cuts themselves may be zeros."""
    positive = next((p.positive for p in parts if p.positive is not None), None)
    negative = next((p.negative for p in parts if p.negative is not None), None)
    values = {p.value for p in parts}
    method = "; ".join(dict.fromkeys(p.method for p in parts if p.method))
    if values == {1} or values == {-1}:
        return Sign(values.pop(), False, positive, negative, method)
    return Sign(None, False, positive, negative, method)


def _prove_sign(expr: Expr, a: Expr, b: Expr, depth: int = 3) -> Sign:
    sign, strict, methods = 1, True, []
    for factor, power in _factor_list(expr):
        shape = _structural(factor)
        part: Sign | None = None
        if shape is None:
            part = _factor_sign(factor, a, b, depth)
        elif factor.is_Add and not shape[1]:
            with contextlib.suppress(Undecided):  # the sum may have no zero though its form allows one
                part = _factor_sign(factor, a, b, depth)
        if part is not None:
            if part.value is None and power % 2:
                return _mixed_product(expr, factor, a, b, part)
            value, sharp = (part.value or 0), part.strict
            methods.append(part.method)
        elif shape is not None:
            value, sharp = shape
        if power % 2:
            sign *= value
        strict = strict and sharp
    return Sign(sign, strict, method="; ".join(dict.fromkeys(m for m in methods if m)) or "sign of every factor")


def _mixed_product(expr: Expr, factor: Expr, a: Expr, b: Expr, part: Sign) -> Sign:
    """A factor changes sign: look between the zeros of all factors until the whole product shows both signs."""
    plus, minus = _between_zeros(expr, a, b, [(factor, part)])
    if plus is None or minus is None:
        raise Undecided(f"the sign of {expr} on ({a}, {b})")
    return Sign(None, False, plus, minus, "two exact points")


@lru_cache(maxsize=2000)
def _factor_list(expr: Expr) -> tuple[tuple[Expr, int], ...]:
    return tuple(_factors(expr))


def _between_zeros(
    expr: Expr, a: Expr, b: Expr, known: Iterable[tuple[Expr, Sign]] = ()
) -> tuple[Expr | None, Expr | None]:
    """Points at which a product is proved positive and negative, looked for between neighbouring zeros of its factors.

    The product keeps its sign there, however narrow the gap. A zero need not be exact to separate: only
    the points found are evaluated.
    """
    factors = list(_factor_list(expr))
    cuts: list[tuple[Expr, Expr]] = []
    for factor, power in factors:
        shape = _structural(factor)
        if power % 2 and factor.has(X) and not (shape is not None and shape[1]):
            signs = [part for g, part in known if g == factor]
            cuts += _separators(factor, a, b, signs[0] if signs else None)
    cuts.sort(key=lambda c: _SortKey(c[0]))
    plus = minus = None
    for lo, hi in pairwise([(a, a), *cuts, (b, b)]):
        with contextlib.suppress(Undecided):
            if not less(lo[1], hi[0]):
                continue
            point = rational_between(lo[1], hi[0])
            s = sign_at(expr, point)
            s = s if s is not None else _sign_of_powers(factors, point)
            plus = point if s == 1 and plus is None else plus
            minus = point if s == -1 and minus is None else minus
    return plus, minus


def _separators(factor: Expr, a: Expr, b: Expr, part: Sign | None) -> list[tuple[Expr, Expr]]:
    """Intervals [lo, hi] with a change of sign of one factor each: exact zeros where the form shows them."""
    form = exp_rational(factor)
    with contextlib.suppress(Undecided, BasePolynomialError):
        if form is not None and (form.rate == 0 or form.num.degree(U) <= 0):
            return [(c, c) for c in _inside(_polynomial_roots(sp.Poly(form.num.as_expr(), X)), a, b)]
        if form is not None and form.num.degree(X) <= 0:
            us = _polynomial_roots(sp.Poly(form.num.as_expr(), U))
            return [(c, c) for c in _inside([sp.log(u) / form.rate for u in us if sign_of(u) > 0], a, b)]
        peeled = _peeled_zeros(factor, sp.Integer(0))
        if peeled is not None:
            return [(c, c) for c in _inside(peeled, a, b)]
    grid = {*samples(a, b), *hints(factor, a, b)}
    if part is not None:
        grid |= {p for p in (part.positive, part.negative) if p is not None}
    signs = [(p, s) for p in sorted(grid) if (s := sign_at(factor, p)) is not None]
    return [_closed_in(factor, p, q, s) for (p, s), (q, t) in pairwise(signs) if s != t]


def _peeled_zeros(expr: Expr, level: Expr) -> list[Expr] | None:
    """The solutions of expr = level where inverting one function after the other leaves a polynomial; else None."""
    if not expr.has(X):
        return None
    if expr.is_polynomial(X):
        return _polynomial_roots(sp.Poly(expr - level, X))
    step = _peel(expr, level)
    if step is None:
        return None
    found: list[Expr] = []
    for target in step[1]:
        part = _peeled_zeros(step[0], target)
        if part is None:
            return None
        found += part
    return found


def _closed_in(factor: Expr, lo: Expr, hi: Expr, s: int) -> tuple[Expr, Expr]:
    """[lo, hi], at whose ends the factor has the signs s and -s, halved until it is narrow or a zero is met."""
    for _ in range(160):
        middle = (lo + hi) / 2
        t = sign_at(factor, middle)
        if t is None:
            return middle, middle
        lo, hi = (middle, hi) if t == s else (lo, middle)
    return lo, hi


def _factors(expr: Expr) -> list[tuple[Expr, int]]:
    """expr as a product of powers; each factor with the parity of its exponent (numerators cancelled)."""
    form = exp_rational(expr)
    pieces: list[tuple[Expr, int]] = []
    if form is not None:
        for poly in (form.num, form.den):
            content, factors = sp.factor_list(poly)
            pieces.append((sp.sympify(content).subs(U, sp.exp(form.rate * X)), 1))  # irrational units keep powers of u
            pieces += [(form.back(f), int(m)) for f, m in factors if f.as_expr() != U]
        return pieces
    merged = sp.factor_terms(sp.together(expr))
    for factor in sp.Mul.make_args(merged):
        base, exponent = factor.as_base_exp() if factor.is_Pow and factor.base is not sp.E else (factor, sp.Integer(1))
        if exponent.is_Integer:
            pieces.append((_shorter_sum(base), int(exponent)))
        else:
            pieces.append((factor, 1))
    return pieces


def _shorter_sum(e: Expr) -> Expr:
    """A sum multiplied out where that makes it shorter: a common denominator may leave terms that cancel."""
    if not e.is_Add or e.count_ops() > _MAX_EXPANSION:
        return e
    expanded = sp.expand(e)
    return expanded if expanded.count_ops() < e.count_ops() else e


_MAX_EXPANSION = 120


def _factor_sign(factor: Expr, a: Expr, b: Expr, depth: int = 3) -> Sign:
    periodic = _periodic_sign(factor, a, b)
    if periodic is not None:
        return periodic
    form = exp_rational(factor)
    if form is not None and sp.Poly(form.den.as_expr(), X, U).is_ground:
        if form.rate == 0 or form.num.degree(U) <= 0:
            return _univariate_sign(sp.Poly(form.num.as_expr(), X), factor, a, b, None)
        if form.num.degree(X) <= 0:
            return _univariate_sign(sp.Poly(form.num.as_expr(), U), factor, a, b, form.rate)
    algebraic = _algebraic_sign(factor, a, b)
    return algebraic if algebraic is not None else _enclosure_sign(factor, a, b, depth)


_MAX_NORM = 40
"""Largest degree of a norm polynomial that is worth isolating roots of."""


def _norm(expr: Expr) -> Any:
    """A polynomial in x that vanishes wherever an algebraic expr does (or is singular), or None.

    Radicals are eliminated from the outermost to the innermost by resultants.
    """
    num, den = sp.fraction(sp.together(expr))
    norms = []
    for part in (num, den):
        e = sp.expand(part)
        for _ in range(6):
            radicals = [n for n in e.atoms(sp.Pow) if n.has(X) and not n.exp.is_Integer]
            if not radicals:
                break
            outer = max(radicals, key=lambda n: n.count_ops())
            t = sp.Symbol("t", positive=True)
            q = math.lcm(*(int(n.exp.q) for n in radicals if n.base == outer.base))
            e = e.replace(
                lambda n, base=outer.base: n.is_Pow and n.base == base,
                lambda n, q=q, t=t: t ** (n.exp * q),
            )
            e = sp.fraction(sp.together(e))[0]  # what is dropped is a power of t, zero only with the radical
            e = sp.resultant(sp.expand(e), t**q - outer.base, t) if e.has(t) else e
            e = sp.expand(sp.fraction(sp.together(e))[0])
        if not e.is_polynomial(X):
            return None
        norms.append(e)
    return sp.Poly(sp.Mul(*norms), X)


def _algebraic_sign(expr: Expr, a: Expr, b: Expr) -> Sign | None:
    """The sign of an algebraic function by isolating the roots of its norm; None where that does not apply."""
    powers = [n for n in expr.atoms(sp.Pow) if n.has(X)]
    if any(f.has(X) for f in expr.atoms(sp.Function)) or not all(n.exp.is_Rational and n.exp.q <= 4 for n in powers):
        return None
    if all(n.exp.is_Integer for n in powers) or expr.count_ops() > 200:
        return None
    try:
        norm = _norm(expr)
        if norm is None or norm.is_zero or norm.degree() > _MAX_NORM or not (norm.domain.is_ZZ or norm.domain.is_QQ):
            return None
        points = _polynomial_roots(norm)
        for n in powers:
            if not n.exp.is_Integer and n.base.is_polynomial(X):
                points += _polynomial_roots(sp.Poly(n.base, X))
    except (BasePolynomialError, Undecided):
        return None
    cuts = _inside(points, a, b)
    signs: dict[int, Expr] = {}
    for lo, hi in pairwise([a, *cuts, b]):
        point = rational_between(lo, hi)
        s = sign_at(expr, point)
        if s is None:
            return None
        signs.setdefault(s, point)
    method = "real roots of the norm of an algebraic function isolated"
    if len(signs) == 2:
        return Sign(None, False, signs[1], signs[-1], method)
    return Sign(next(iter(signs)), all(_certainly_nonzero(expr, c) for c in cuts), method=method)


def _certainly_nonzero(expr: Expr, c: Expr) -> bool:
    with precision(192):
        ball = enclose(expr, enclose(c))
    return bool(ball.is_finite()) and bool(ball > 0 or ball < 0)


def _univariate_sign(poly: Any, factor: Expr, a: Expr, b: Expr, rate: Expr | None) -> Sign:
    """Sign of a squarefree polynomial (in x, or in u = exp(rate x)) by isolating its real roots."""
    points = _polynomial_roots(poly)
    if rate is not None:
        points = [sp.log(p) / rate for p in points if sign_of(p) > 0]
    cuts = _inside(points, a, b)
    method = "real roots of a polynomial isolated" + ("" if rate is None else " in exp(q*x)")
    if not cuts:
        inner = rational_between(a, b)
        s = sign_at(factor, inner)
        if s is None:
            raise Undecided(f"the sign of {factor} at {inner}")
        return Sign(s, True, method=method)
    ends = [a, *cuts, b]
    signs: dict[int, Expr] = {}
    for lo, hi in pairwise(ends):
        point = rational_between(lo, hi)
        s = sign_at(factor, point)
        if s is None:
            raise Undecided(f"the sign of {factor} at {point}")
        signs.setdefault(s, point)
    if len(signs) == 2:
        return Sign(None, False, signs[1], signs[-1], method)
    return Sign(next(iter(signs)), False, method=method)


# ---- enclosures: Taylor at the ends, domination at infinity, subdivision between

_MAX_BOXES = 3000
_MAX_ORDER = 9


def _whole_range(g: Expr, a: Expr, b: Expr) -> Range:
    with precision(128):
        try:
            return range_of(g, Range(end_of(a, True), end_of(b, False)))
        except Undecided:
            return REALS


def _enclosure_sign(g: Expr, a: Expr, b: Expr, depth: int = 3) -> Sign:
    """Sign of one factor by its range, by Taylor steps and subdivision, then by where its derivative moves it."""
    zero = sp.Integer(0)
    if less(a, zero) and less(zero, b) and _exact_zero(g, zero):
        # a zero at the origin, the usual centre of symmetry: each side on its own
        return _joined_at(g, a, zero, b, depth)
    whole = _whole_range(g, a, b)
    if whole.lo > 0 or whole.hi < 0:
        return Sign(1 if whole.lo > 0 else -1, True, method="range of the expression")
    plus, minus = _sampled_signs(g, a, b)
    if plus is not None and minus is not None:
        return Sign(None, False, plus, minus, "two exact points")
    if plus is None and minus is None:
        raise Undecided(f"the sign of {g} between {a} and {b}")
    s = 1 if plus is not None else -1
    f = g if s == 1 else -g
    try:
        with precision(128):
            left = _end_zone(f, a, b, right_end=False, depth=depth)
            right = _end_zone(f, a, b, right_end=True, depth=depth)
            _subdivide(f, left, right)
        return Sign(s, True, method="Arb enclosures with Taylor steps at the ends")
    except _NegativeAt as found:
        return _both_signs(s, plus or minus, found.point)
    except Undecided as reason:
        if (whole.lo if s == 1 else -whole.hi) >= 0:
            return Sign(s, False, method="range of the expression")
        found_point = _hunt_negative(f, a, b)
        if found_point is not None:
            return _both_signs(s, plus or minus, found_point)
        touch = _touching_zero(f, a, b) if depth > 0 else None
        if touch is not None:
            return _joined_at(g, a, touch, b, depth - 1)
        inverted = _inverted(g, a, b)
        if inverted is not None:
            return sign_on(*inverted)
        if depth > 0 and _has_valley(f, a, b, depth):
            return Sign(s, True, method="falls to a lowest point, where it has the sign, and rises from it")
        raise reason


def _has_valley(f: Expr, a: Expr, b: Expr, depth: int) -> bool:
    """Whether f > 0 is proved because f' < 0 left of some [lo, hi], f' > 0 right of it, and f > 0 on it."""
    df = sp.diff(f, X)
    grid = [(p, s) for p in sorted({*samples(a, b), *hints(f, a, b)}) if (s := sign_at(df, p)) is not None and s != 0]
    turns = [(p, q) for (p, s), (q, t) in pairwise(grid) if s != t]
    if len(turns) != 1 or grid[0][1] != -1:
        return False
    lo, hi = turns[0]
    zero = sp.Integer(0)
    if less(lo, zero) and less(zero, hi) and _exact_zero(df, zero):
        lo = hi = zero
    for _ in range(0 if lo == hi else 16):
        middle = (lo + hi) / 2
        s = sign_at(df, middle)
        if s is None:
            break
        lo, hi = (middle, hi) if s == -1 else (lo, middle)
    try:
        with precision(128):
            if lo == hi and sign_at(f, lo) != 1:
                return False
            _subdivide(f, lo, hi)
        return _prove_sign(df, a, lo, depth - 1).value == -1 and _prove_sign(df, hi, b, depth - 1).value == 1
    except (_NegativeAt, Undecided):
        return False


def _both_signs(s: int, here: Expr, there: Expr) -> Sign:
    """Proved: the sign s at ``here`` and the opposite sign at ``there``."""
    positive, negative = (here, there) if s == 1 else (there, here)
    return Sign(None, False, positive, negative, "two exact points")


def _joined_at(g: Expr, a: Expr, c: Expr, b: Expr, depth: int) -> Sign:
    return _joined([_enclosure_sign(g, a, c, depth), _enclosure_sign(g, c, b, depth)])


class _NegativeAt(Exception):
    """Raised inside a proof of positivity when an exact counterexample turns up."""

    def __init__(self, point: Expr) -> None:
        super().__init__(str(point))
        self.point = point


def _exact_zero(g: Expr, c: Expr) -> bool:
    """Whether g(c) = 0 is proved at an exact point where g is finite."""
    try:
        with precision(128):
            ball = enclose(g, enclose(c))
        return bool(ball.is_finite()) and bool(ball.contains(0)) and sign_of(sp.simplify(g.subs(X, c))) == 0
    except Undecided:
        return False


def _hunt_negative(f: Expr, a: Expr, b: Expr) -> Expr | None:
    """A point with f < 0 far out or close to an end, or None."""
    points = [s * sp.Integer(2) ** k for k in range(3, 60, 3) for s in (1, -1)]
    for end, side in ((a, 1), (b, -1)):
        if end not in (OO, -OO):
            tiny = sp.Rational(1, 2**80)
            near = end if end.is_Rational else rational_between(end - tiny, end + tiny)
            points += [near + side * sp.Rational(1, 2**k) for k in range(2, 60, 3)]
    for point in points:
        if less(a, point) and less(point, b) and sign_at(f, point) == -1:
            return point
    return None


_GUESSES = (sp.Integer(1), sp.pi, sp.E, sp.sqrt(2), sp.sqrt(3), sp.sqrt(5), sp.log(2), sp.log(3))


def _touching_zero(f: Expr, a: Expr, b: Expr) -> Expr | None:
    """An exact c in (a, b) with f(c) = 0 and f' changing sign there, guessed from digits and then proved."""
    df = sp.diff(f, X)
    for p, q in pairwise(sorted(samples(a, b))):
        if sign_at(df, p) == -1 and sign_at(df, q) == 1:
            c = _guessed_zero(f, df, p, q, a, b)
            if c is not None:
                return c
    return None


def _crossing_zero(g: Expr, a: Expr, b: Expr) -> Expr | None:
    """An exact c in (a, b) where g changes sign, the only such place between samples, guessed and then proved."""
    grid = [(p, s) for p in sorted({*samples(a, b), *hints(g, a, b)}) if (s := sign_at(g, p)) is not None]
    turns = [(p, q, s) for (p, s), (q, t) in pairwise(grid) if s != t]
    if len(turns) != 1:
        return None
    p, q, s = turns[0]
    return _guessed_zero(g, -s * g, p, q, a, b)


def _guessed_zero(f: Expr, mover: Expr, lo: Expr, hi: Expr, a: Expr, b: Expr) -> Expr | None:
    """An exact c with f(c) = 0 where ``mover``, negative at lo and positive at hi, changes sign."""
    for _ in range(100):
        middle = (lo + hi) / 2
        s = sign_at(mover, middle)
        if s is None or s == 0:
            lo = hi = middle
            break
        lo, hi = (middle, hi) if s == -1 else (lo, middle)
    middle = (lo + hi) / 2
    linear = [-t.subs(X, 0) / sp.diff(t, X) for t in _lines(f)]
    for c in linear:
        if _is_near(c, middle) and less(a, c) and less(c, b) and _exact_zero(f, c):
            return c
    for unit in _GUESSES:
        with precision(160):
            digits = arb(fmpq(int(middle.p), int(middle.q))) / enclose(unit)
            ratio = Fraction(str(digits.mid().str(40, radius=False))).limit_denominator(1000)
        c = sp.Rational(ratio.numerator, ratio.denominator) * unit
        if _is_near(c, middle) and less(a, c) and less(c, b) and _exact_zero(f, c):
            return c
    return None


def _is_near(c: Expr, middle: Expr) -> bool:
    return less(abs(c - middle), sp.Rational(1, 10**20))


def _lines(expr: Expr) -> list[Expr]:
    """The expressions linear in x that occur in it, at most four."""
    found: dict[Expr, None] = {}
    for node in sp.preorder_traversal(expr):
        if node.is_Add and node.has(X):
            k = sp.diff(node, X)
            if not k.has(X) and k != 0:
                found[node] = None
                if len(found) == 4:
                    break
    return list(found)


def _inverted(g: Expr, a: Expr, b: Expr) -> tuple[Expr, Expr, Expr] | None:
    """g(1/x) and its interval where g is a function of 1/x on one side of 0, as in exp(-1/x); else None."""
    zero = sp.Integer(0)
    if not any(n.has(X) and n.subs(X, 1 / X).is_polynomial(X) and not n.is_polynomial(X) for n in _exponents(g)):
        return None
    if a not in (OO, -OO) and sign_of(a) >= 0:
        lo, hi = (zero if b == OO else 1 / b), (OO if sign_of(a) == 0 else 1 / a)
    elif b not in (OO, -OO) and sign_of(b) <= 0:
        lo, hi = (-OO if sign_of(b) == 0 else 1 / b), (zero if a == -OO else 1 / a)
    else:
        return None
    return sp.expand(g.subs(X, 1 / X)), lo, hi


def _exponents(g: Expr) -> list[Expr]:
    return [sp.expand(n.args[0]) for n in g.atoms(sp.exp)]


def _point_of(r: Any) -> Any:
    return arb(fmpq(int(r.p), int(r.q)))


def _end_zone(f: Expr, a: Expr, b: Expr, right_end: bool, depth: int = 3) -> Any:
    """A rational point c such that f > 0 is proved strictly between the end and c, and at c."""
    end = b if right_end else a
    other = a if right_end else b
    if _structural(f) == (1, True):
        return rational_between(a, b)
    if f.is_Mul:  # factors that are positive everywhere do not matter
        f = sp.Mul(*(factor for factor in f.args if _structural(factor) != (1, True)))
    if end in (OO, -OO):
        return _tail(f, end, other, depth)
    side = -1 if right_end else 1
    reach = sp.Rational(1, 2) if other in (OO, -OO) else abs(sp.nsimplify(sp.N(other - end, 15), rational=True)) / 3
    found = _taylor_zone(f, end, side, reach)
    if found is not None:
        return found
    edge = end_of(end, side == 1)
    for k in range(0, 40, 4):
        near = _near(end, side, reach / 2**k)
        box = Range(edge, _point_of(near)) if side == 1 else Range(_point_of(near), edge)
        if _sign_in(f, box) == 1:
            return near
    return _moving_zone(f, end, other, side, depth, [_near(end, side, reach / 2**k) for k in range(0, 60, 2)])


def _sign_in(f: Expr, box: Range) -> int | None:
    """The strict sign of f on a box by the ranges and forms of its parts, or None."""
    shape = _structural(f)
    if shape is not None and shape[1]:
        return shape[0]
    try:
        whole = range_of(f, box)
    except Undecided:
        whole = REALS
    if whole.lo > 0:
        return 1
    if whole.hi < 0:
        return -1
    if f.is_Mul:
        sign = 1
        for factor in f.args:
            part = _sign_in(factor, box)
            if part is None:
                return None
            sign *= part
        return sign
    if f.is_Add:
        signs = {_sign_in(term, box) for term in f.args}
        return signs.pop() if len(signs) == 1 else None
    if f.is_Pow and f.exp.is_Integer:
        inner = _sign_in(f.base, box)
        return None if inner is None else inner ** int(abs(f.exp))
    if isinstance(f, sp.tanh | sp.sinh | sp.atan | sp.erf):
        return _sign_in(f.args[0], box)
    return None


def _near(end: Expr, side: int, width: Expr) -> Any:
    """A rational between 15/16 of the width and the width away from a finite end."""
    return rational_between(*sorted((end + side * width, end + side * width * sp.Rational(15, 16)), key=_SortKey))


def _taylor_zone(f: Expr, end: Expr, side: int, reach: Expr) -> Any:
    """The zone by the first derivative that does not vanish at the end, where f is smooth up to it."""
    derivative = f
    at_end = enclose(end)
    for order in range(_MAX_ORDER):
        ball = enclose(derivative, at_end)
        if not ball.is_finite():
            return None
        signed = ball * (side**order)
        if signed < 0:
            for k in range(2, 120, 2):
                near = _near(end, side, reach / 2**k)
                if sign_at(f, near) == -1:
                    raise _NegativeAt(near)
            return None
        if signed > 0:
            for k in range(40):
                near = _near(end, side, reach / 2**k)
                value = enclose(derivative, at_end.union(_point_of(near))) * (side**order)
                if value.is_finite() and value > 0:
                    return near
            return None
        if sign_of(sp.simplify(derivative.subs(X, end))) != 0:
            return None
        derivative = sp.diff(derivative, X)
    return None


def _moving_zone(f: Expr, end: Expr, other: Expr, side: int, depth: int, candidates: list[Any]) -> Any:
    """The zone from the sign of f' there: f rises from a limit >= 0, or falls towards a point where it is > 0.

    ``candidates``: rational points approaching the end. ``side``: direction away from the end.
    """
    if depth > 0:
        away = side * sp.diff(f, X)
        s = next((found for c in reversed(candidates) if (found := sign_at(away, c)) is not None), None)
        if s is not None and s != 0:
            a, b = (end, other) if side == 1 else (other, end)
            try:
                zone = _end_zone(s * away, a, b, right_end=side == -1, depth=depth - 1)
            except _NegativeAt:
                raise Undecided(_beside(f, end, candidates)) from None
            if s == 1:
                limit = limit_at(f, end, side)
                if limit is OO or sign_of(limit) >= 0:
                    return zone
            else:
                for c in (zone, *candidates):
                    if side * (zone - c) >= 0 and sign_at(f, c) == 1:
                        return c
    raise Undecided(_beside(f, end, candidates))


def _beside(f: Expr, end: Expr, candidates: list[Any]) -> str:
    lo, hi = sorted((end, candidates[0]), key=_SortKey)
    return f"the sign of {f} beside {end}, between {lo} and {hi}"


def _tail(f: Expr, end: Expr, other: Expr, depth: int = 3) -> Any:
    """A rational M with f > 0 proved beyond it and at it.

    By the dominant term of an exponential polynomial, by the range of f out there, at 1/x = 0, or
    from the sign of f'.
    """
    if end == -OO:
        return -_tail(f.subs(X, -X), OO, -other, depth)
    start = sp.Integer(1) if other == -OO or less(other, sp.Integer(1)) else rational_between(other, other + 1)
    form = exp_rational(f)
    if form is not None:
        m = start
        for part in (form.num, form.den):
            m = max(m, _dominance(part, form.rate, m))
        if sign_at(f, m + 1) == -1:
            raise _NegativeAt(m + 1)
        if sign_at(f, m + 1) == 1:
            return m + 1
        raise Undecided(f"the sign of {f} towards infinity")
    for k in range(0, 24, 2):
        m = start * 2**k
        if _sign_in(f, Range(_point_of(m), INF)) == 1:
            return m
    with contextlib.suppress(Undecided):
        return _compact_tail(f, other)
    return _moving_zone(f, end, other, -1, depth, [start * 2**k for k in range(2, 24)])


_MAX_COMPACT = 150


def _compact_tail(f: Expr, other: Expr) -> Any:
    """M with f > 0 on [M, oo) by enclosing f(1/s) on 0 <= s <= 1/M, for algebraic f."""
    if any(node.has(X) for node in f.atoms(sp.Function)) or f.count_ops() > _MAX_COMPACT:
        raise Undecided(f"the sign of {f} towards infinity")
    s = sp.Symbol("s", positive=True)
    h = sp.simplify(f.subs(X, 1 / s)).subs(s, X)
    m = sp.Integer(1) if other == -OO or less(other, sp.Integer(1)) else rational_between(other, other + 1)
    for _ in range(12):
        value = enclose(h, arb(0).union(1 / _point_of(m)))
        if value.is_finite() and value > 0:
            return m
        m = m * 2
    raise Undecided(f"the sign of {f} towards infinity")


def _dominance(poly: Any, rate: Expr, start: Any) -> Any:
    """M >= start such that poly(x, exp(rate x)) keeps the sign of its leading term for x >= M."""
    terms = sorted(poly.terms(), key=lambda t: (t[0][1], t[0][0]), reverse=True)
    if len(terms) == 1:
        return start
    (i0, k0), c0 = terms[0]
    m = start
    for _ in range(60):
        # every ratio x^(i-i0) exp((k-k0) rate x) must be decreasing beyond m and small at m
        fine, total = True, arb(0)
        at = arb(fmpq(int(m.p), int(m.q)))
        r = enclose(rate) if rate != 0 else arb(0)
        for (i, k), c in terms[1:]:
            if not (i - i0) <= (k0 - k) * r * at and not (i <= i0 and k <= k0):
                fine = False
                break
            total = (
                total
                + abs(enclose(sp.sympify(c)) / enclose(sp.sympify(c0))) * at ** (i - i0) * (r * at * (k - k0)).exp()
            )
        if fine and total < 1:
            return m
        m = m * 2
    raise Undecided("no dominant term found towards infinity")


def _subdivide(f: Expr, lo: Any, hi: Any) -> None:
    """Prove f > 0 on [lo, hi] (rationals) by bisection with mean-value enclosures."""
    if lo >= hi:
        return
    df = sp.diff(f, X)
    stack = [(lo, hi)]
    used = 0
    while stack:
        a, b = stack.pop()
        used += 1
        if used > _MAX_BOXES:
            raise Undecided(f"the sign of {f} between {a} and {b} ({_MAX_BOXES} boxes used)")
        mid = (a + b) / 2
        box = arb(fmpq(int(a.p), int(a.q))).union(arb(fmpq(int(b.p), int(b.q))))
        value = enclose(f, box)
        if value.is_finite() and value > 0:
            continue
        at_mid = enclose(f, arb(fmpq(int(mid.p), int(mid.q))))
        if at_mid < 0:
            raise _NegativeAt(mid)
        slope = enclose(df, box)
        if slope.is_finite():
            value = at_mid + slope * (box - arb(fmpq(int(mid.p), int(mid.q))))
            if value > 0:
                continue
        stack += [(mid, b), (a, mid)]


# --------------------------------------------------------------------------- limits


def limit_at(expr: Expr, point: Expr, side: int) -> Expr:
    """The one-sided limit (side = -1 from the left, 1 from the right) as an exact constant or +-oo.

    At +-oo ``side`` is ignored. By continuity, by the algebra of limits, by a normal form at infinity;
    what is left is asked of sympy and believed only if enclosures close to the point agree. Raises
    `Undecided` if none is found.
    """
    if not expr.has(X) or expr in (OO, -OO):
        return expr
    found = _plain_limit(expr, point, side)
    return _sympy_limit(expr, point, side) if found is None else found


_SATURATING = {sp.tanh: (-1, 1), sp.erf: (-1, 1), sigmoid: (0, 1), sp.atan: (-sp.pi / 2, sp.pi / 2)}


@lru_cache(maxsize=8000)
def _plain_limit(e: Expr, point: Expr, side: int) -> Expr | None:
    """The limit by continuity or from the limits of the parts; None where they leave it open."""
    if not e.has(X):
        return e
    if e == X:
        return point
    if point not in (OO, -OO):
        try:
            with precision(96):
                ball = enclose(e, enclose(point))
            if ball.is_finite():
                return _tidy(e.subs(X, point))
        except Undecided:
            pass
    elif (form := exp_rational(e)) is not None:
        return _exp_rational_limit(form, point)
    if not (e.is_Add or e.is_Mul or e.is_Pow or e.func in _SATURATING or isinstance(e, _UNBOUNDED)):
        return None
    parts = [_plain_limit(a, point, side) for a in (e.args[:1] if e.is_Pow or e.is_Function else e.args)]
    limits = [p for p in parts if p is not None]
    if len(limits) < len(parts):
        return None
    infinite = [p for p in limits if p in (OO, -OO)]
    if e.is_Add:
        if len(set(infinite)) == 2:
            return None
        return infinite[0] if infinite else _tidy(sp.Add(*limits))
    if e.is_Mul:
        signs = [sign_of(p) for p in limits]
        if not infinite:
            return _tidy(sp.Mul(*limits))
        return None if 0 in signs else OO * math.prod(signs)
    return _limit_of_power(e, limits[0]) if e.is_Pow else _limit_of_function(e, limits[0])


_UNBOUNDED = (sp.exp, sp.log, sp.sinh, sp.cosh, sp.Abs)


def _limit_of_power(e: Expr, base: Expr) -> Expr | None:
    """The limit of b(x)^n for a rational n from that of b."""
    n = e.exp
    if not n.is_Rational:
        return None
    if base in (OO, -OO):
        if n < 0:
            return sp.Integer(0)
        if base == OO:
            return OO
        return (OO if n % 2 == 0 else -OO) if n.is_Integer else None
    s = sign_of(base)
    if s == 0:
        if n > 0:
            return sp.Integer(0)
        if n.p % 2 == 0 or n.q % 2 == 0:
            return OO
        shape = _structural(e.base)
        return None if shape is None or shape[0] == 0 else OO * shape[0]
    return _tidy(base**n) if s > 0 or n.is_Integer else None


def _limit_of_function(e: Expr, inner: Expr) -> Expr | None:
    """The limit of f(h(x)) for a monotone f or cosh, |.| from that of h."""
    if inner not in (OO, -OO):
        if isinstance(e, sp.log):
            return -OO if sign_of(inner) == 0 else _tidy(sp.log(inner))
        return _tidy(e.func(inner))
    low = inner == -OO
    if e.func in _SATURATING:
        return sp.sympify(_SATURATING[e.func][0 if low else 1])
    if isinstance(e, sp.exp):
        return sp.Integer(0) if low else OO
    if isinstance(e, sp.log):
        return None if low else OO
    return -OO if low and isinstance(e, sp.sinh) else OO


@lru_cache(maxsize=4000)
def _tidy(c: Expr) -> Expr:
    """A shorter equal constant, where functions of functions, powers of constants or roots leave one to be found."""
    if c.is_Rational or c is OO or c is -OO or c.count_ops() >= _LONG:
        return c
    functions = [f for f in c.atoms(sp.Function) if not f.args[0].is_Rational]
    if not functions and c.atoms(sp.Function):
        return c  # tanh(2), erf(1/3), ...: nothing is known of such numbers
    return sp.simplify(c)


@lru_cache(maxsize=2000)
def _sympy_limit(expr: Expr, point: Expr, side: int) -> Expr:
    if point not in (OO, -OO):
        # functions of 1/(x - point) become functions of the variable, where there is a normal form
        moved = _with_whole_arguments(expr.subs(X, point + side / X))
        form = exp_rational(moved)
        if form is not None:
            return _exp_rational_limit(form, OO)
    e = expr.replace(sigmoid, lambda z: 1 / (1 + sp.exp(-z)))
    e = e.replace(sp.tanh, lambda z: 1 - 2 / (sp.exp(2 * z) + 1))
    try:
        with time_limit(2.0):
            value = sp.limit(e, X, point, "+" if side > 0 else "-")
    except (NotImplementedError, ValueError, OutOfTime, TypeError, AttributeError) as reason:
        raise Undecided(f"the limit of {expr} at {point}") from reason
    if isinstance(value, sp.Limit) or value.has(sp.AccumBounds, sp.nan, sp.zoo, sp.I, X):
        raise Undecided(f"the limit of {expr} at {point}")
    if not _approached(expr, point, side, value):
        raise Undecided(f"the limit of {expr} at {point}")
    return _tidy(value)


def _with_whole_arguments(e: Expr) -> Expr:
    """Arguments of functions cancelled: exp(1/(1/x)) becomes exp(x)."""
    return e.replace(
        lambda n: isinstance(n, sp.Function) and n.args[0].is_rational_function(X) and n.args[0].has(X),
        lambda n: n.func(sp.expand(sp.cancel(n.args[0]))),
    )


def _approached(expr: Expr, point: Expr, side: int, value: Expr) -> bool:
    """Whether enclosures closer and closer to the point come closer and closer to the value (sympy errs at times).

    The distance 2^-k, or the point 2^k, with doubling k: even 1/|log| halves from one to the next.
    """
    infinite = value in (OO, -OO)
    before = None
    judged = False
    for k in (6, 12, 24, 48, 96, 192, 384, 768, 1536):
        bits = 8 * k + 400
        with precision(bits):
            step = arb(2) ** k
            at = (1 if point == OO else -1) * step / 4 if point in (OO, -OO) else enclose(point) + side / step
            ball = enclose(expr, at)
            size = ball if infinite else ball - enclose(value)
            if not ball.is_finite() or (infinite and not ball * (1 if value == OO else -1) > 1):
                size = None
        if size is None:
            continue
        size = abs(size)
        if not infinite and size < arb(2) ** -40:
            judged, before = True, size
            continue
        if before is not None:
            closer = size > before * 1.02 if infinite else size < before * 0.95
            judged = bool(closer)
        before = size
    return judged


def _exp_rational_limit(form: ExpRational, point: Expr) -> Expr:
    def lead(poly: Any) -> tuple[int, int, Expr]:
        # towards +oo the largest power of u leads, towards -oo the smallest
        terms = poly.terms()
        k = max(t[0][1] for t in terms) if point == OO else min(t[0][1] for t in terms)
        i = max(t[0][0] for t in terms if t[0][1] == k)
        c = next(t[1] for t in terms if t[0] == (i, k))
        return i, k, c

    if form.num.is_zero:
        return sp.Integer(0)
    (i, k, c), (j, m, d) = lead(form.num), lead(form.den)
    ratio = c / d
    if form.rate == 0:
        k = m = 0
    growth = (k - m) if point == OO else (m - k)
    if growth < 0 or (growth == 0 and i < j):
        return sp.Integer(0)
    if growth == 0 and i == j:
        return ratio
    sign = sign_of(ratio) * (1 if point == OO else (-1) ** (i - j))
    return OO if sign > 0 else -OO


# --------------------------------------------------------------------------- antiderivatives


@lru_cache(maxsize=1000)
def antiderivative(expr: Expr) -> Expr:
    """A closed-form antiderivative within the expression language, checked by differentiation.

    Raises `Undecided` if none is found in time.
    """
    if not expr.has(X):
        return expr * X
    if expr.is_polynomial(X):
        return sp.integrate(sp.expand(expr), X)
    attempts: list[Callable[[], Expr]] = [
        lambda: _by_known_primitive(expr),
        lambda: sp.integrate(expr, X),
    ]
    if expr.has(sp.tanh, sp.sinh, sp.cosh, sigmoid):
        rational = expr.replace(sigmoid, lambda z: 1 / (1 + sp.exp(-z))).rewrite(sp.exp)
        attempts.append(lambda: sp.integrate(sp.expand(rational), X))
    for attempt in attempts:
        try:
            with time_limit(1.5):
                found = attempt()
                if found is None or found.has(sp.Integral, sp.Piecewise, sp.I, sp.zoo, sp.nan):
                    continue
                found = into_language(found)
                if in_language(found) and is_zero(sp.diff(found, X) - expr):
                    return found
        except (Undecided, OutOfTime, NotImplementedError, ValueError, TypeError, BasePolynomialError, AttributeError):
            continue
    raise Undecided(f"no closed form for the integral of {expr}")


def _by_known_primitive(expr: Expr) -> Expr | None:
    """Derivatives of common transforms, matched by value: c * T'(k x) for T in a short list."""
    form = exp_rational(expr)
    if form is None or form.rate == 0:
        return None
    for k in (form.rate, form.rate / 2, form.rate * 2):
        s = sigmoid(k * X)
        for primitive in (sp.tanh(k * X), 2 * s * (1 + k * X * (1 - s)) - 1, s, X * s):
            d = exp_rational(sp.diff(primitive, X))
            if d is None or d.num.is_zero or d.rate == 0:
                continue
            ratio = exp_rational(expr / sp.diff(primitive, X))
            if ratio is not None and ratio.num.is_ground and ratio.den.is_ground:
                return ratio.num.as_expr() / ratio.den.as_expr() * primitive
    return None


_LANGUAGE = (sp.exp, sp.log, sp.tanh, sp.sinh, sp.cosh, sp.atan, sp.sin, sp.cos, sp.erf, sigmoid)


def in_language(expr: Expr) -> bool:
    """Whether every function in the expression belongs to the grammar of `check`."""
    return all(isinstance(f, _LANGUAGE) for f in expr.atoms(sp.Function)) and not expr.has(sp.I)


def into_language(expr: Expr) -> Expr:
    """The same expression without sympy functions that the grammar lacks but can express."""
    e = expr.replace(sp.atanh, lambda z: sp.log((1 + z) / (1 - z)) / 2)
    e = e.replace(sp.asinh, lambda z: sp.log(z + sp.sqrt(z**2 + 1)))
    e = e.replace(sp.tan, lambda z: sp.sin(z) / sp.cos(z))
    e = e.replace(sp.coth, lambda z: sp.cosh(z) / sp.sinh(z))
    e = e.replace(sp.sech, lambda z: 1 / sp.cosh(z))
    return e
