"""Writes maps and expressions in the grammar that `theory.parser` reads back, and in LaTeX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sympy as sp
from sympy.printing.str import StrPrinter

from theory.analytic import Expr, in_language, into_language, limit_at
from theory.errors import Undecided
from theory.exact import X, equal

if TYPE_CHECKING:
    from theory.maps import PiecewiseMap


class _Printer(StrPrinter):
    def _print_Exp1(self, _: Any) -> str:
        return "exp(1)"

    def _print_ComplexRootOf(self, expr: Any) -> str:
        raise Undecided(f"the algebraic number {expr.expr} has no closed form in the grammar")

    def _print_Certified(self, expr: Any) -> str:
        raise Undecided(f"{expr} has no closed form in the grammar")


def expression_text(e: Expr) -> str:
    """One expression in the grammar. Raises `Undecided` where it has no form there."""
    e = into_language(e)
    if e.has(sp.polys.rootoftools.ComplexRootOf) or not in_language(e):
        raise Undecided(f"{e} has no closed form in the grammar")
    return str(_Printer().doprint(e))


def _known_shape(m: PiecewiseMap) -> str | None:
    """n*sign(x) and clip(x, a, b) by their names."""
    if len(m.breaks) == 1 and m.breaks[0] == 0 and m.values[0] == 0:
        a, b = m.exprs
        if b.is_Integer and a == -b:
            return {1: "sign(x)", -1: "-sign(x)"}.get(int(b), f"{b}*sign(x)")
    if len(m.breaks) == 2 and m.exprs[1] == X:
        lo, hi = m.exprs[0], m.exprs[2]
        if (lo, hi) == m.breaks and m.values == m.breaks:
            return f"clip(x, {expression_text(lo)}, {expression_text(hi)})"
    return None


def to_text(m: PiecewiseMap) -> str:
    """The map in the grammar of `check`: one expression, a named shape, or a Piecewise.

    Raises `Undecided` where a piece or breakpoint has no closed form in the grammar, and for maps
    that are known on a window only.
    """
    if m.windowed:
        raise Undecided("a map with infinitely many breakpoints has no finite text")
    if not m.breaks:
        return expression_text(m.exprs[0])
    named = _known_shape(m)
    if named is not None:
        return named
    even = _by_modulus(m)
    if even is not None:
        return even
    branches: list[str] = []
    for i, b in enumerate(m.breaks):
        at = expression_text(b)
        e = expression_text(m.exprs[i])
        v = m.values[i]
        if v is not None and _value_is(m.exprs[i], b, v):
            branches.append(f"({e}, x <= {at})")
        elif v is None or _value_is(m.exprs[i + 1], b, v):
            branches.append(f"({e}, x < {at})")
        else:
            branches.append(f"({e}, x < {at})")
            branches.append(f"({expression_text(v)}, x == {at})")
        if v is None and _has_value(m.exprs[i + 1], b):
            branches.append(f"({_without_value(b)}, x == {at})")
    branches.append(f"({expression_text(m.exprs[-1])}, True)")
    return f"Piecewise({', '.join(branches)})"


def _by_modulus(m: PiecewiseMap) -> str | None:
    """Piecewise((e1, Abs(x) < c), ..., (e, True)) for a map that is even with even pieces."""
    n = len(m.breaks)
    if n % 2 or n == 0:
        return None
    for i in range(n // 2):
        if m.breaks[i] != -m.breaks[n - 1 - i] or m.values[i] != m.values[n - 1 - i]:
            return None
        if m.exprs[i] != m.exprs[n - i] or m.exprs[i].subs(X, -X) != m.exprs[i]:
            return None
    if m.exprs[n // 2].subs(X, -X) != m.exprs[n // 2]:
        return None
    branches = []
    for i in range(n // 2, n):
        b, v, inner, outer = m.breaks[i], m.values[i], m.exprs[i], m.exprs[i + 1]
        at = expression_text(b)
        if v is not None and _value_is(inner, b, v):
            branches.append(f"({expression_text(inner)}, Abs(x) <= {at})")
        else:
            branches.append(f"({expression_text(inner)}, Abs(x) < {at})")
            if v is not None and not _value_is(outer, b, v):
                branches.append(f"({expression_text(v)}, Abs(x) == {at})")
            if v is None and _has_value(outer, b):
                branches.append(f"(1/(Abs(x) - {expression_text(b)}), Abs(x) == {at})")
    branches.append(f"({expression_text(m.exprs[-1])}, True)")
    return f"Piecewise({', '.join(branches)})"


def _without_value(b: Expr) -> str:
    """An expression that has no value at b, for a map that has none there."""
    return f"1/({expression_text(X - b)})"


def _has_value(e: Expr, b: Expr) -> bool:
    """Whether the expression of a neighbouring piece would give a value at b."""
    at = e.subs(X, b)
    return bool(at.is_finite is not False and not at.has(sp.nan, sp.zoo, sp.oo))


def _value_is(e: Expr, b: Expr, v: Expr) -> bool:
    if sp.oo in (e, v) or -sp.oo in (e, v):
        return bool(e == v)
    try:
        at = e.subs(X, b)
        return bool(at.is_finite is not False and not at.has(sp.nan, sp.zoo) and equal(at, v))
    except Undecided:
        return False


def to_latex(m: PiecewiseMap) -> str:
    """The map as a LaTeX expression in x."""
    if not m.breaks:
        return str(sp.latex(m.exprs[0]))
    rows = []
    for i, b in enumerate(m.breaks):
        rows.append(rf"{sp.latex(m.exprs[i])} & x < {sp.latex(b)}")
        v = m.values[i]
        if v is not None and not _value_is(m.exprs[i + 1], b, v):
            rows.append(rf"{sp.latex(v)} & x = {sp.latex(b)}")
    rows.append(rf"{sp.latex(m.exprs[-1])} & \text{{otherwise}}")
    return r"\begin{cases}" + r"\\ ".join(rows) + r"\end{cases}"


__all__ = ["expression_text", "limit_at", "to_latex", "to_text"]
