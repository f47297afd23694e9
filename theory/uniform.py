"""Signs of expressions in x that hold for every parameter of a cell.

Four methods, all exact. *Units*: with y = k (x - s) the expression becomes a constant of the
parameters times a function of y alone, which `theory.analytic` settles once. *Coefficients*: on a
product of intervals mapped to an orthant, all coefficients have one sign. *Delineation*: where the
leading coefficient, the discriminant, the resultants of the factors and the values at both ends
keep their signs, the number and order of the roots in the interval stay the same, so one parameter
speaks for all. *Form*: every term or factor has its sign by the form of the expression.
Expressions in exp(k x) alone are rational in u = exp(k x) first.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import combinations, product
from typing import Any

import sympy as sp

from theory.analytic import is_zero, sign_on
from theory.cells import OO, Cell, Expr, OutOfReach, Ratio, Split, one_sign
from theory.errors import Undecided
from theory.exact import X, sigmoid, sign_of
from theory.families import inner_point, line_of

ZERO, ONE = sp.Integer(0), sp.Integer(1)
_MAX_UNITS = 24
_MAX_DEGREE = 12


@dataclass(frozen=True)
class Uniform:
    """``value``: 1 (>= 0), -1 (<= 0), 0 (identically zero) or None (both signs) for every parameter of the cell.

    ``strict``: no zero inside. ``value`` = +-1 includes that it is not identically zero.
    """

    value: int | None
    strict: bool = False


# --------------------------------------------------------------------------- units of x


def units(cell: Cell, exprs: Sequence[Expr], points: Sequence[Expr]) -> Iterator[tuple[Expr, Expr]]:
    """Candidates (k > 0, s) for y = k (x - s), the plainest first."""
    seen: list[tuple[Expr, Expr]] = []
    shifts: list[Expr] = [ZERO]
    for e in exprs:
        for slope, intercept in _lines(e):
            shifts.append(sp.cancel(-intercept / slope))
    shifts += points
    shifts += [(p + q) / 2 for p, q in combinations(points, 2)]
    for s in dict.fromkeys(sp.cancel(s) for s in shifts):
        moved = [sp.expand(e.subs(X, X + s)) if s != 0 and e.is_polynomial(X) else e.subs(X, X + s) for e in exprs]
        for k in _scales(cell, moved, [sp.cancel(p - s) for p in points]):
            if (k, s) not in seen and len(seen) < _MAX_UNITS:
                seen.append((k, s))
                yield k, s


def _lines(e: Expr) -> list[tuple[Expr, Expr]]:
    """Linear arguments of functions and roots."""
    nodes = [f.args[0] for f in e.atoms(sp.Function) if len(f.args) == 1]
    nodes += [p.base for p in e.atoms(sp.Pow) if not p.exp.is_Integer and p.base.has(X)]
    found = [line_of(sp.expand(z)) for z in nodes]
    return [f for f in found if f is not None]


def _scales(cell: Cell, exprs: Sequence[Expr], points: Sequence[Expr]) -> list[Expr]:
    found: list[Expr] = [ONE]
    for e in exprs:
        found += [slope for slope, _ in _lines(e)]
    found += [1 / p for p in points if p != 0]
    for e in exprs:
        for part in sp.fraction(sp.together(e)):
            if part.is_polynomial(X) and part.has(X):
                terms = sorted(sp.Poly(part, X).terms())
                for ((i,), c), ((j,), d) in combinations(terms, 2):
                    found.append(sp.root(sp.cancel(d / c), j - i) if j - i == 1 else _root(cell, d / c, j - i))
    kept: list[Expr] = []
    for k in found:
        if k is None or (k != 1 and not cell.free(k)):
            continue
        try:
            sign = cell.sign(k)
        except (Split, Ratio, Undecided):
            continue
        if sign != 0 and sign * k not in kept:
            kept.append(sign * k)
    return kept


def _root(cell: Cell, c: Expr, n: int) -> Expr | None:
    c = sp.cancel(c)
    try:
        s = cell.sign(c)
    except (Split, Ratio, Undecided):
        return None
    return sp.root(s * c, n) if s else None


def in_unit(e: Expr, unit: tuple[Expr, Expr]) -> Expr:
    """e(y/k + s), with y written x."""
    k, s = unit
    return e if (k, s) == (1, 0) else e.subs(X, X / k + s)


def terms_of(cell: Cell, e: Expr) -> list[tuple[Expr, Expr]] | None:
    """e as a sum of (parameters only) * (x only), or None if it is not seen to be one."""
    for form in (_tidied, sp.expand, sp.factor_terms, sp.factor, _cancelled, sp.simplify):
        shaped = _tidied(form(e))
        found: list[tuple[Expr, Expr]] = []
        for term in sp.Add.make_args(shaped):
            c, part = term.as_independent(X, as_Add=False)
            if cell.free(part):
                found = []
                break
            found.append((c, part))
        if found:
            return found
    return None


def _tidied(e: Expr) -> Expr:
    """The same expression with linear arguments of functions expanded."""
    if not e.has(sp.Function):
        return e
    return e.replace(lambda n: isinstance(n, sp.Function) and len(n.args) == 1, lambda n: n.func(sp.expand(n.args[0])))


def _cancelled(e: Expr) -> Expr:
    return sp.cancel(e) if e.is_rational_function(X) else e


def factored(cell: Cell, e: Expr) -> tuple[Expr, Expr] | None:
    """e = c(parameters) * e0(x), or None."""
    found = terms_of(cell, e)
    if found is None:
        return None
    c0 = found[0][0]
    total = ZERO
    for c, part in found:
        ratio = sp.simplify(c / c0)
        if cell.free(ratio):
            return None
        total += ratio * part
    return c0, total


# --------------------------------------------------------------------------- signs


def sign_of_family(cell: Cell, e: Expr, a: Expr, b: Expr) -> Uniform:
    """The sign of e(x) on (a, b), a < b in the cell, proved for every parameter of the cell.

    Raises `Split` or `Ratio` where it depends on the parameters, `OutOfReach` where it is not settled.
    """
    if not e.has(X):
        s = cell.sign(e)
        return Uniform(s, s != 0)
    if not cell.free(e):
        for lo, hi in dict.fromkeys([(a, b), (_free_end(cell, a, -OO), _free_end(cell, b, OO))]):
            if not cell.free(lo) and not cell.free(hi):
                try:
                    found = sign_on(e, lo, hi)
                except Undecided:
                    continue
                if found.value is not None or (lo, hi) == (a, b):
                    return Uniform(found.value, found.strict)
    scaled = _by_units(cell, e, a, b)
    if scaled is not None:
        return scaled
    if e.is_rational_function(X):
        return _rational_sign(cell, e, X, a, b)
    shape = _by_form(cell, e, a, b)
    if shape is not None:
        return shape
    exponential = _in_exponential(cell, e, a, b)
    if exponential is not None:
        return exponential
    raise OutOfReach(f"the sign of {e} for x between {a} and {b}")


def _free_end(cell: Cell, end: Expr, beyond: Expr) -> Expr:
    """A bound of an end that does not depend on the parameters: 0 where it lies on the right side of it."""
    if not cell.free(end):
        return end
    try:
        return ZERO if cell.order(end, ZERO) * (1 if beyond == -OO else -1) >= 0 else beyond
    except (Split, Ratio, Undecided):
        return beyond


def _by_units(cell: Cell, e: Expr, a: Expr, b: Expr) -> Uniform | None:
    points = [p for p in (a, b) if cell.free(p)]
    for unit in units(cell, [e], points):
        ends = [moved(p, unit) for p in (a, b)]
        if any(cell.free(p) for p in ends):
            continue
        found = factored(cell, in_unit(e, unit))
        if found is None:
            continue
        try:
            s = sign_on(found[1], *ends)
        except Undecided:
            continue
        c = cell.sign(found[0])
        return Uniform(None if s.value is None and c else (s.value or 0) * c, s.strict and c != 0)
    return None


def moved(p: Expr, unit: tuple[Expr, Expr]) -> Expr:
    """k (p - s), cancelled."""
    return p if p in (OO, -OO) else sp.simplify(sp.cancel(unit[0] * (p - unit[1])))


def _rational_sign(cell: Cell, e: Expr, var: Any, a: Expr, b: Expr) -> Uniform:
    """The sign of a rational function of var and the coordinates on (a, b)."""
    num, den = sp.fraction(sp.cancel(sp.together(e)))
    there = [var, *cell.free(num * den)]
    if not (num.is_polynomial(*there) and den.is_polynomial(*there)):
        shape = _by_form(cell, e, a, b) if var == X else None
        if shape is None:
            raise OutOfReach(f"the sign of {e} for x between {a} and {b}")
        return shape
    sign, strict, rest = 1, True, []
    for part in (num, den):
        content, factors = sp.factor_list(part, *there)
        sign *= cell.sign(content)
        for factor, power in factors:
            f = factor
            if not f.has(var):
                s: int | None = cell.sign(f)
                if s == 0:
                    return Uniform(0)
            else:
                s = _strict_factor(cell, f, var, a, b)
            if s is None:
                rest.append((f, int(power)))
            elif power % 2:
                sign *= s
    if not rest:
        return Uniform(sign, strict)
    return _delineated(cell, rest, var, a, b, sign)


def _strict_factor(cell: Cell, f: Expr, var: Any, a: Expr, b: Expr) -> int | None:
    """The strict sign of an irreducible polynomial by its coefficients on the box, or None."""
    t = sp.Symbol("y", positive=True)
    if a == -OO and b == OO:
        halves = [f.subs(var, t), f.subs(var, -t), f.subs(var, 0)]
    elif b == OO:
        halves = [f.subs(var, a + t)]
    elif a == -OO:
        halves = [f.subs(var, b - t)]
    else:
        halves = [sp.numer(sp.together(f.subs(var, (a + b * t) / (1 + t))))]
        # the denominator is a power of 1 + t times what the ends bring along, which is dealt with by cutting
        if any(sp.fraction(sp.together(p))[1].free_symbols for p in (a, b)):
            return None
    signs = set()
    for h in halves:
        num, den = sp.fraction(sp.cancel(sp.together(h)))
        box = {s: (ZERO, OO) if s == t else cell.coords[s] for s in (t, *cell.coords) if (num * den).has(s)}
        if den.free_symbols:
            return None
        if not num.is_polynomial(*box):
            return None
        s = sign_of(num / den) if not box else one_sign(num / den, box)
        if s is None:
            return None
        signs.add(s)
    return signs.pop() if len(signs) == 1 else None


def _delineated(cell: Cell, factors: list[tuple[Expr, int]], var: Any, a: Expr, b: Expr, sign: int) -> Uniform:
    """The sign of a product of irreducible polynomials whose roots in (a, b) keep their number and order."""
    for f, _ in factors:
        poly = sp.Poly(f, var)
        if poly.degree() > _MAX_DEGREE:
            raise OutOfReach(f"the roots of a polynomial of degree {poly.degree()} with parameters")
        watched = [poly.LC()]
        if poly.degree() > 1:
            watched.append(poly.discriminant())
        watched += [f.subs(var, end) for end in (a, b) if end not in (OO, -OO)]
        for w in watched:
            cell.sign(w)
    for (f, _), (g, _) in combinations(factors, 2):
        cell.sign(sp.resultant(f, g, var))
    at = cell.sample()
    joint = sp.Mul(*(f ** (2 - power % 2) for f, power in factors)).subs(at)
    lo, hi = (p if p in (OO, -OO) else p.subs(at) for p in (a, b))
    found = sign_on(sp.expand(joint.subs(var, X)), lo, hi)
    return Uniform(None if found.value is None else found.value * sign, found.strict)


def _by_form(cell: Cell, e: Expr, a: Expr, b: Expr) -> Uniform | None:
    """The sign by the form of the expression alone, or None."""
    if not e.has(X):
        try:
            s = cell.sign(e)
        except Undecided:
            return None
        return Uniform(s, s != 0)
    if isinstance(e, sp.exp | sp.cosh | sigmoid):
        return Uniform(1, True)
    if isinstance(e, sp.tanh | sp.sinh | sp.atan | sp.erf):
        return _part(cell, e.args[0], a, b)
    if e.is_Pow and e.exp.is_Rational:
        inner = _part(cell, e.base, a, b)
        if e.exp.is_Integer and e.exp % 2 == 0:
            return Uniform(1, inner is not None and inner.strict) if inner is None or inner.value != 0 else None
        if e.exp.is_Integer or inner is None:
            return inner
        return Uniform(1, inner.strict) if inner.value == 1 else None
    if e.is_Mul:
        sign, strict, both = 1, True, 0
        for factor in e.args:
            part = _part(cell, factor, a, b)
            if part is None or part.value == 0:
                return None
            both += part.value is None
            sign, strict = sign * (part.value or 1), strict and (part.strict or part.value is None)
        if both:  # one factor takes both signs, and the others have no zero
            return Uniform(None) if both == 1 and strict else None
        return Uniform(sign, strict)
    if e.is_Add:
        parts = [_part(cell, t, a, b) for t in e.args]
        known = [p for p in parts if p is not None and p.value]
        if len(known) == len(parts) and len({p.value for p in known}) == 1:
            return Uniform(known[0].value, any(p.strict for p in known))
    return _bounded(cell, e, a, b) or _independent(cell, e, a, b)


def _part(cell: Cell, e: Expr, a: Expr, b: Expr) -> Uniform | None:
    try:
        return sign_of_family(cell, e, a, b)
    except (OutOfReach, Ratio):
        return None


_BOUNDS: dict[Any, tuple[Expr, Expr]] = {
    sp.tanh: (-ONE, ONE),
    sigmoid: (ZERO, ONE),
    sp.sin: (-ONE, ONE),
    sp.cos: (-ONE, ONE),
    sp.erf: (-ONE, ONE),
}


def _bounded(cell: Cell, e: Expr, a: Expr, b: Expr) -> Uniform | None:
    """A polynomial in one bounded function of x by its sign on the closed range of that function."""
    atoms = [f for f in e.atoms(sp.Function) if f.has(X)]
    if len(atoms) != 1 or atoms[0].func not in _BOUNDS:
        return None
    v = sp.Symbol("v", real=True)
    p = e.subs(atoms[0], v)
    if p.has(X) or not p.is_polynomial(v):
        return None
    lo, hi = _BOUNDS[atoms[0].func]
    try:
        inside = _rational_sign(cell, p, v, lo, hi)
        ends = [cell.sign(p.subs(v, end)) for end in (lo, hi)]
    except (OutOfReach, Ratio):
        return None
    if atoms[0].func in (sp.sin, sp.cos) and OO in (-a, b) and atoms[0].args[0].is_polynomial(X) and {*ends} >= {1, -1}:
        return Uniform(None)  # a whole period lies inside, so both ends are reached
    if inside.value is None and (a, b) == (-OO, OO) and line_of(atoms[0].args[0]) is not None:
        return Uniform(None)
    if inside.value and all(s in (0, inside.value) for s in ends):
        return Uniform(inside.value, inside.strict and 0 not in ends)
    return None


_RANGES: dict[Any, tuple[Expr, Expr]] = {**_BOUNDS, sp.exp: (ZERO, OO), sp.cosh: (ONE, OO)}


def _independent(cell: Cell, e: Expr, a: Expr, b: Expr) -> Uniform | None:
    """A polynomial in x and functions of x by its sign on the product of their ranges, as if they were independent."""
    atoms = sorted((f for f in e.atoms(sp.Function) if f.has(X)), key=str)
    if not atoms or any(f.func not in _RANGES for f in atoms):
        return None
    vs = {f: sp.Symbol(f"v{i}", real=True) for i, f in enumerate(atoms)}
    p = e.subs(vs)
    box = {v: _RANGES[f.func] for f, v in vs.items()}
    box.update({s: cell.coords[s] for s in cell.free(p)})
    halves = [p]
    low, high = _free_end(cell, a, -OO), _free_end(cell, b, OO)
    if p.has(X):
        y = sp.Symbol("y", positive=True)
        forms = [(y, high), (-y, -low)]
        halves = [p.subs(X, side) for side, far in forms if far == OO or cell.order(far, ZERO) > 0]
        box[y] = (ZERO, OO)
        if len(halves) == 2:
            halves.append(p.subs(X, ZERO))
    reached = {
        v: (-ONE, ONE) if isinstance(f, sp.sin | sp.cos) else (ONE,) for f, v in vs.items() if f.func in _REACHED
    }
    faces = [h.subs(dict(at)) for h in halves for at in _faces(reached)]
    signs = {one_sign(h, {v: i for v, i in box.items() if h.has(v)}) if h.free_symbols else sign_of(h) for h in faces}
    if len(signs) == 1 and signs <= {1, -1}:
        return Uniform(signs.pop(), True)
    return None


_REACHED = (sp.sin, sp.cos, sp.cosh)  # functions that take the values at ends of their ranges


def _faces(reached: dict[Any, tuple[Expr, ...]]) -> list[tuple[tuple[Any, Expr], ...]]:
    """Each variable left open or put to one of its values, in all combinations."""
    choices = [((), *(((v, c),) for c in values)) for v, values in reached.items()]
    return [tuple(pair for one in picked for pair in one) for picked in product(*choices)]


def _in_exponential(cell: Cell, e: Expr, a: Expr, b: Expr) -> Uniform | None:
    """An expression in exp(k x) alone as a rational function of u = exp(k x), on (0, oo) or a half of it."""
    e = e.replace(sp.tanh, lambda z: 1 - 2 / (sp.exp(2 * z) + 1)).replace(sigmoid, lambda z: 1 - 1 / (sp.exp(z) + 1))
    e = e.replace(sp.sinh, lambda z: (sp.exp(z) - sp.exp(-z)) / 2)
    e = e.replace(sp.cosh, lambda z: (sp.exp(z) + sp.exp(-z)) / 2)
    rates = []
    for node in e.atoms(sp.exp):
        z = sp.expand(node.args[0])
        rate = z.coeff(X, 1)
        if sp.expand(z - rate * X) != 0 or rate == 0:
            return None
        rates.append(rate)
    if not rates:
        return None
    ratios = [sp.cancel(r / rates[0]) for r in rates]
    if not all(r.is_Rational for r in ratios):
        return None
    step = sp.Rational(1, math.lcm(*(int(r.q) for r in ratios))) * rates[0]
    direction = cell.sign(step)
    u = sp.Symbol("u", positive=True)
    p = e.replace(sp.exp, lambda z: u ** sp.cancel(sp.expand(z) / (step * X)))
    if p.has(X) or not p.is_rational_function(u):
        return None
    ends = []
    for end in (a, b):
        value = {OO: OO, -OO: ZERO, ZERO: ONE}.get(end)
        if value is None:
            return None
        ends.append(value if direction > 0 else {OO: ZERO, ZERO: OO, ONE: ONE}[value])
    lo, hi = ends if direction > 0 else ends[::-1]
    return _rational_sign(cell, p, u, lo, hi)


def nowhere_constant_zero(cell: Cell, e: Expr, a: Expr, b: Expr) -> bool:
    """False if e vanishes identically for every parameter; True if it does so for none; else `Split`."""
    if not e.has(X):
        return cell.sign(e) != 0
    for form in (sp.expand, sp.cancel, sp.simplify):
        if form(e) == 0:
            return False
    if not e.has(sp.log) and all(p.exp.is_Integer for p in e.atoms(sp.Pow) if p.has(X) and p.base != sp.E):
        product_form = factored(cell, e)  # meromorphic: zero nowhere on an interval unless everywhere
        if product_form is not None:
            with suppress(Undecided):
                if not is_zero(product_form[1]):
                    return cell.sign(product_form[0]) != 0
    num = sp.fraction(sp.together(e))[0]
    if num.is_polynomial(X):  # it vanishes where all coefficients do
        watched = [c for c in sp.Poly(num, X).all_coeffs() if c != 0]
    else:
        centre = inner_point(a, b)
        around = [(a + centre) / 2 if a != -OO else centre - 1, (centre + b) / 2 if b != OO else centre + 1, centre]
        watched = [e.subs(X, point) for point in around]
    doubts: list[Exception] = []
    for c in watched:
        try:
            if cell.sign(c) != 0:
                return True
        except (Split, Ratio, Undecided) as doubt:
            doubts.append(doubt)
    if not doubts:
        raise OutOfReach(f"whether {e} vanishes identically")
    raise plainest(doubts)


def plainest(doubts: Sequence[Exception]) -> Exception:
    """The doubt to follow first: a cut at rational values, another cut, then what is out of reach."""

    def rank(doubt: Exception) -> int:
        if isinstance(doubt, Split):
            return 0 if all(p.is_Rational for p in doubt.points) else 1
        return 2 if isinstance(doubt, Ratio) else 3

    return min(doubts, key=rank)


__all__ = [
    "Uniform",
    "factored",
    "in_unit",
    "moved",
    "nowhere_constant_zero",
    "plainest",
    "sign_of_family",
    "terms_of",
    "units",
]
