"""Closed-form inverses of monotone analytic pieces, within the expression language."""

from __future__ import annotations

import sympy as sp

from theory.analytic import Expr, U, exp_rational, in_language, limit_at
from theory.errors import Undecided
from theory.exact import X, compare, less, rational_between, sigmoid, sign_of

Y = sp.Symbol("y", real=True)


def invert(e: Expr, a: Expr, b: Expr) -> Expr:
    """The inverse of a strictly monotone e on (a, b), as an expression in x. Raises `Undecided`.

    The outermost function is peeled off until x is left; every branch is checked at an exact point.
    """
    if e == X:
        return X
    current, level = e, Y
    inner_point = rational_between(a, b)
    if inner_point == 0:
        inner_point = rational_between(inner_point, b)  # branches are told apart off the zero
    while current != X:
        current, level = _step(current, level, inner_point, a, b)
    inverse = _tidy(level.subs(Y, X))
    if not in_language(inverse):
        raise Undecided(f"the inverse of {e} has no closed form in the grammar")
    if not _is_inverse(e, inverse, inner_point):
        raise Undecided(f"the inverse of {e} was not confirmed")
    return inverse


def _is_inverse(e: Expr, inverse: Expr, at: Expr) -> bool:
    """One exact or enclosed point: by monotonicity and peeling this settles the branch."""
    from theory.exact import enclose, precision

    y = e.subs(X, at)
    with precision(128):
        try:
            back = enclose(inverse.subs(X, y))
            return bool(back.is_finite()) and bool(back.overlaps(enclose(at)))
        except Undecided:
            return False


def _step(e: Expr, level: Expr, at: Expr, a: Expr, b: Expr) -> tuple[Expr, Expr]:
    if e.is_Add:
        const, rest = e.as_independent(X, as_Add=True)
        if const != 0:
            return rest, level - const
    if e.is_Mul:
        const, rest = e.as_independent(X, as_Add=False)
        if const != 1:
            return rest, level / const
    if e.is_Pow and e.base is not sp.E and e.exp.is_Rational:
        n = e.exp
        if n.is_Integer and n % 2 == 1:
            ends = [limit_at(e.base, c, side) for c, side in ((a, 1), (b, -1))]
            if sign_of(ends[0]) * sign_of(ends[1]) < 0:
                raise Undecided(f"the inverse of {e} has no single closed form across {e.base} = 0")
        sign = 1 if not n.is_Integer else sign_of(e.base.subs(X, at))
        if n.is_Integer and n % 2 == 0:
            return e.base, sign * level ** (1 / n)
        return e.base, sign * (sign * level) ** (1 / n)
    combined = _one_log(e)
    if combined is not None:
        factor, argument = combined
        return sp.log(argument), level / factor
    tangent = sp.cancel(e.replace(sp.sin, lambda z: sp.cos(z) * sp.tan(z)))
    if isinstance(tangent, sp.tan):
        return tangent.args[0], sp.atan(level)
    if e.is_polynomial(X) and sp.degree(e, X) == 2:
        c2, c1, c0 = sp.Poly(e, X).all_coeffs()
        vertex = -c1 / (2 * c2)
        branch = compare(at, vertex)
        return X, vertex + branch * sp.sqrt((level - c0) / c2 + vertex**2)
    if e.is_rational_function(X):
        num, den = sp.fraction(sp.together(e))
        linear = sp.Poly(num - level * den, X)
        if linear.degree() == 1:
            c1, c0 = linear.all_coeffs()
            return X, sp.cancel(-c0 / c1)
    if e.args:
        inner = e.args[-1] if isinstance(e, sp.exp) else e.args[0]
        if isinstance(e, sp.exp):
            return inner, sp.log(level)
        if isinstance(e, sp.log):
            return inner, sp.exp(level)
        if isinstance(e, sp.tanh):
            return inner, sp.log((1 + level) / (1 - level)) / 2
        if isinstance(e, sigmoid):
            return inner, sp.log(level / (1 - level))
        if isinstance(e, sp.sinh):
            return inner, sp.log(level + sp.sqrt(level**2 + 1))
        if isinstance(e, sp.atan):
            return inner, sp.sin(level) / sp.cos(level)
        if isinstance(e, sp.sin) and e.args[0] == X and less(-sp.pi / 2, at) and less(at, sp.pi / 2):
            raise Undecided("the inverse sine is not in the grammar")
    # x/sqrt(1 + x^2) and its relatives: square, solve, keep the sign
    squared = sp.cancel(sp.together(e**2))
    if squared.is_rational_function(X) and sp.Poly(sp.fraction(squared)[0], X).degree() == 2:
        num, den = sp.fraction(squared)
        poly = sp.Poly(num - Y**2 * den, X)
        if poly.degree() == 2:
            c2, c1, c0 = poly.all_coeffs()
            if c1 == 0:
                # an odd function of x on both sides of 0: x = y * sqrt(q(y)), q = top/bottom > 0
                top, bottom = sp.fraction(sp.cancel(-c0 / c2 / Y**2))
                if sign_of(bottom.subs(Y, e.subs(X, at))) < 0:
                    top, bottom = -top, -bottom
                return X, level * (sp.sqrt(top) / sp.sqrt(sp.expand(bottom))).subs(Y, level)
    raise Undecided(f"the inverse of {e} has no closed form here")


def _one_log(e: Expr) -> tuple[Expr, Expr] | None:
    """A sum c (n_1 log f_1 + n_2 log f_2 + ...) with small integers n_i as (c, f_1^n_1 f_2^n_2 ...), else None."""
    if not e.is_Add:
        return None
    parts = [term.as_independent(X, as_Add=False) for term in e.args]
    if not all(isinstance(rest, sp.log) and rest.args[0].is_rational_function(X) for _, rest in parts):
        return None
    unit = parts[0][0]
    powers = [sp.cancel(c / unit) for c, _ in parts]
    if not all(n.is_Integer and abs(n) <= 4 for n in powers):
        return None
    return unit, sp.cancel(sp.Mul(*(rest.args[0] ** n for n, (_, rest) in zip(powers, parts, strict=True))))


def _hyperbolic(e: Expr) -> Expr | None:
    """(a u + b)/(c (u + 1)) with u = exp(q x) as (a + b)/(2 c) + (a - b)/(2 c) tanh(q x/2), else None."""
    form = exp_rational(e)
    if form is None or form.rate == 0 or form.num.degree(X) > 0 or form.den.degree(X) > 0:
        return None
    num, den = sp.Poly(form.num.as_expr(), U), sp.Poly(form.den.as_expr(), U)
    if den.degree() != 1 or num.degree() > 1 or den.nth(0) != den.nth(1):
        return None
    a, b, c = num.nth(1), num.nth(0), den.nth(1)
    return (a + b) / (2 * c) + (a - b) / (2 * c) * sp.tanh(form.rate * X / 2)


def _tidy(e: Expr) -> Expr:
    if e.has(sp.exp):
        shorter = _hyperbolic(e)
        if shorter is not None:
            return shorter
    if e.is_rational_function(X):
        return sp.factor_terms(sp.cancel(e)) if not e.is_polynomial(X) else sp.expand(e)
    return e
