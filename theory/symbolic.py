"""Exact constants in which a positive parameter mu may stand: order, limits and roots for every mu > 0.

Without mu everything is passed to `theory.exact` and `theory.analytic`. With it a sign counts only
if it is proved for all mu > 0, as the sign of an expression of one variable on (0, oo); where it
changes with mu the cases do too, and the answer is `Undecided` with that reason.
"""

from __future__ import annotations

from functools import lru_cache

import sympy as sp

from theory.analytic import Expr, limit_at, sign_on, solve_level
from theory.errors import Undecided
from theory.exact import Certified, X, enclose, precision, sign_of
from theory.exact import compare as compare_constants

OO = sp.oo
MU = sp.Symbol("mu", positive=True)
"""The symbolic parameter of a proximal map."""


@lru_cache(maxsize=4000)
def sign(c: Expr) -> int:
    """The sign of a constant, for every mu > 0 where mu stands in it."""
    if not c.has(MU):
        return 0 if _zero_in_field(c) else sign_of(c)
    found = sign_on(sp.expand(c.subs(MU, sp.exp(X))), -OO, OO)  # mu = exp(x): powers of mu stay analytic
    if found.value == 0 or (found.value is not None and found.strict):
        return found.value
    raise Undecided(f"the cases depend on mu: {c} changes its sign with it; give mu as a number")


@lru_cache(maxsize=4000)
def _zero_in_field(c: Expr) -> bool:
    """Whether c is a rational function of one algebraic root that vanishes by the root's polynomial."""
    roots = c.atoms(sp.polys.rootoftools.ComplexRootOf)
    if len(roots) != 1:
        return False
    (root,) = roots
    t = sp.Symbol("t")
    numerator = sp.fraction(sp.together(c.subs(root, t)))[0]
    if not numerator.is_polynomial(t):
        return False
    poly = sp.Poly(numerator, t)
    if not (poly.domain.is_ZZ or poly.domain.is_QQ):
        return False
    return bool(sp.rem(poly, sp.Poly(root.poly.as_expr().subs(root.poly.gen, t), t, domain="QQ")).is_zero)


def compare(a: Expr, b: Expr) -> int:
    """The sign of a - b, +-oo allowed."""
    if a == b:
        return 0
    if not a.has(MU) and not b.has(MU):
        if {a, b} & {OO, -OO} or (a.is_Rational and b.is_Rational):
            return compare_constants(a, b)
        return 0 if _zero_in_field(a - b) else compare_constants(a, b)
    if b in (OO, -OO):
        return -1 if b == OO else 1
    if a in (OO, -OO):
        return 1 if a == OO else -1
    return sign(a - b)


def less(a: Expr, b: Expr) -> bool:
    return compare(a, b) < 0


def equal(a: Expr, b: Expr) -> bool:
    return compare(a, b) == 0


@lru_cache(maxsize=4000)
def edge(e: Expr, at: Expr, side: int) -> Expr:
    """The one-sided limit of e, in which mu may stand linearly; +-oo allowed."""
    if not e.has(X):
        return e
    if at not in (OO, -OO) and e.is_polynomial(X):
        value = sp.expand(e.subs(X, at))
        return value if value.is_Rational else sp.radsimp(value)
    if not e.has(MU) and at.atoms(Certified, sp.polys.rootoftools.ComplexRootOf):
        with precision(96):
            ball = enclose(e, enclose(at))
        if ball.is_finite():
            return e.subs(X, at)  # nothing that simplification would shorten
    if not e.has(MU):
        return limit_at(e, at, side)
    if e.is_polynomial(X):
        leading = sp.Poly(e, X).LC() * (sp.Integer(-1) ** sp.degree(e, X) if at == -OO else 1)
        return OO if sign(leading) > 0 else -OO
    base, rate = sp.expand(e).coeff(MU, 0), sp.expand(e).coeff(MU, 1)
    if sp.expand(e - base - MU * rate) != 0:
        raise Undecided(f"the limit of {e} at {at}, which is not linear in mu")
    a, b = (limit_at(part, at, side) if part.has(X) else part for part in (base, rate))
    infinite = {c for c in (a, b) if c in (OO, -OO)}
    if len(infinite) == 2:
        raise Undecided(f"the limit of {e} at {at} depends on mu; give mu as a number")
    return infinite.pop() if infinite else a + MU * b


def solve(e: Expr, level: Expr, lo: Expr, hi: Expr) -> tuple[Expr, ...]:
    """All s in (lo, hi) with e(s) = level, in closed form; `Undecided` where they have none."""
    if not any(c.has(MU) for c in (e, level, lo, hi)):
        roots = solve_level(e, level, lo, hi)
        if roots.window is not None:
            raise Undecided(f"{e} takes the value {level} infinitely often")
        return roots.points
    g = sp.expand(e - level)
    if not g.is_polynomial(X) or sp.degree(g, X) > 2:
        raise Undecided(f"the points where {e} = {level} have no closed form in mu")
    coefficients = sp.Poly(g, X).all_coeffs()
    if len(coefficients) == 1:
        return ()
    if len(coefficients) == 2:
        points = [sp.cancel(-coefficients[1] / coefficients[0])]
    else:
        c2, c1, c0 = coefficients
        d = sp.factor(c1**2 - 4 * c2 * c0)
        if sign(d) < 0:
            return ()
        points = [sp.simplify((-c1 + s * sp.sqrt(d)) / (2 * c2)) for s in (-1, 1)]
    return tuple(p for p in points if less(lo, p) and less(p, hi))
