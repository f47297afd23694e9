"""Signs over ranges of parameters: cells, on which every asked sign is constant.

A cell is a product of open intervals of independent coordinates; each parameter is an exact
expression in them. A question about a constant such as ``beta**2 - 2*beta`` is answered by one sign
for the whole cell; where there is none, `Split` names the exact values at which the cell has to be
cut. Rational functions are settled by root isolation (one coordinate) or by the signs of all
coefficients after the cell was mapped to an orthant (several); the rest by `theory.analytic`.
Nothing is sampled, except to read off a sign that is proved constant.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import sign_on, solve_level, sort_exact
from theory.errors import Undecided
from theory.exact import X, compare, equal, less, rational_between, sign_of

OO = sp.oo
Expr = Any
_POLYA = 4  # powers of (1 + the sum of the coordinates) by which a polynomial is multiplied at most
_MAX_TERMS = 4000
_MAX_DEGREE = 24


class OutOfReach(Undecided):
    """A question on a whole cell that the methods here do not settle."""


class Split(Exception):
    """The sign is not constant: cut the coordinate at these exact points."""

    def __init__(self, symbol: Any, points: tuple[Any, ...]) -> None:
        super().__init__(f"{symbol} at {points}")
        self.symbol, self.points = symbol, points


class Ratio(Exception):
    """The sign depends on how two coordinates compare: use their quotient as a coordinate."""

    def __init__(self, first: Any, second: Any) -> None:
        super().__init__(f"{first}/{second}")
        self.first, self.second = first, second


def constant_text(c: Expr) -> str:
    """An exact constant in words; algebraic numbers without a radical form by their equation and digits."""
    if c.has(sp.polys.rootoftools.ComplexRootOf):
        if isinstance(c, sp.polys.rootoftools.ComplexRootOf):
            return f"{sp.N(c, 12)}... (a root of {c.expr})"
        return f"{sp.N(c, 12)}..."
    return str(c)


def interval_text(label: str, lo: Expr, hi: Expr, lo_closed: bool = False, hi_closed: bool = False) -> str:
    """``0 < beta <= 1`` and the like; an empty text for the whole line."""
    left, right = ("<=" if lo_closed else "<"), ("<=" if hi_closed else "<")
    low, high = constant_text(lo), constant_text(hi)
    if lo == -OO and hi == OO:
        return f"every {label}"
    if lo == hi:
        return f"{label} = {low}"
    if hi == OO:
        return f"{label} {'>=' if lo_closed else '>'} {low}"
    if lo == -OO:
        return f"{label} {right} {high}"
    return f"{low} {left} {label} {right} {high}"


def coordinate(label: str, lo: Expr, hi: Expr) -> Any:
    """A symbol for an open interval, with the sign that sympy may use to simplify roots and moduli."""
    if lo != -OO and sign_of(lo) >= 0:
        return sp.Symbol(label, positive=True)
    if hi != OO and sign_of(hi) <= 0:
        return sp.Symbol(label, negative=True)
    return sp.Symbol(label, real=True)


@dataclass
class Cell:
    """``values[name]`` is the parameter as an expression in the coordinates, each in its open interval.

    ``meaning[symbol]`` is the coordinate in terms of the parameters; ``fixed`` are the texts of what
    holds besides the intervals, such as ``c1 = c2``.
    """

    values: dict[str, Expr]
    coords: dict[Any, tuple[Expr, Expr]]
    meaning: dict[Any, Expr]
    fixed: tuple[str, ...] = ()
    known: dict[Expr, int] = field(default_factory=dict)

    def text(self) -> str:
        """The cell in words."""
        parts = [interval_text(str(self.meaning[s]), lo, hi) for s, (lo, hi) in self.coords.items()]
        return " and ".join([*self.fixed, *parts])

    def sample(self, tries: int = 0) -> dict[Any, Expr]:
        """A rational point of the cell as a substitution; ``tries`` > 0 gives other ones."""
        found = {}
        for s, (lo, hi) in self.coords.items():
            point = _plain_point(lo, hi)
            for _ in range(tries):
                lo = point
                point = rational_between(lo, hi)
            found[s] = point
        return found

    def at(self, sample: Mapping[Any, Expr]) -> dict[str, Expr]:
        """The parameters at a point of the cell."""
        return {name: v.subs(sample) if v.free_symbols else v for name, v in self.values.items()}

    def contains(self, values: Mapping[str, Expr]) -> bool:
        """Whether exact values of all parameters lie in the cell."""
        at = {sp.Symbol(n, real=True): v for n, v in values.items()}
        point = {}
        for s, (lo, hi) in self.coords.items():
            c = self.meaning[s].subs(at)
            if c.has(sp.zoo, sp.nan) or not (less(lo, c) and less(c, hi)):
                return False
            point[s] = c
        return all(equal(sp.sympify(e).subs(point), values[name]) for name, e in self.values.items())

    # ---- cutting

    def cut(self, split: Split) -> list[Cell]:
        """The cells left and right of each point, and the points themselves, in order."""
        lo, hi = self.coords[split.symbol]
        points = [p for p in sort_exact(split.points) if less(lo, p) and less(p, hi)]
        if not points:
            raise OutOfReach(f"{split.symbol} has to be cut, but nowhere in its range")
        found: list[Cell] = []
        for i, (a, b) in enumerate(pairwise([lo, *points, hi])):
            if i > 0:
                found.append(self.fixed_at(split.symbol, a))
            found.append(self._narrowed(split.symbol, a, b))
        return found

    def _narrowed(self, symbol: Any, lo: Expr, hi: Expr) -> Cell:
        fresh = coordinate(symbol.name, lo, hi)
        swap = {symbol: fresh}
        return Cell(
            {n: v.subs(swap) for n, v in self.values.items()},
            {swap.get(s, s): ((lo, hi) if s == symbol else ends) for s, ends in self.coords.items()},
            {swap.get(s, s): m for s, m in self.meaning.items()},
            self.fixed,
        )

    def fixed_at(self, symbol: Any, point: Expr) -> Cell:
        """The cell with one coordinate at an exact point."""
        return Cell(
            {n: v.subs(symbol, point) for n, v in self.values.items()},
            {s: ends for s, ends in self.coords.items() if s != symbol},
            {s: m for s, m in self.meaning.items() if s != symbol},
            (*self.fixed, f"{self.meaning[symbol]} = {constant_text(point)}"),
        )

    def with_ratio(self, ask: Ratio) -> list[Cell]:
        """The cell with first/second as a coordinate instead of first: for two coordinates on (0, oo)."""
        p, q = ask.first, ask.second
        if self.coords[p] != (0, OO) or self.coords[q] != (0, OO):
            raise OutOfReach(f"the order of {p} and {q} is open, and they do not both range over all positive values")
        meaning = self.meaning[p] / self.meaning[q]
        r = sp.Symbol(f"{p.name}/{q.name}", positive=True)
        return [
            Cell(
                {n: sp.expand(v.subs(p, r * q)) for n, v in self.values.items()},
                {r if s == p else s: ends for s, ends in self.coords.items()},
                {**{s: m for s, m in self.meaning.items() if s != p}, r: meaning},
                self.fixed,
            )
        ]

    # ---- signs

    def free(self, c: Expr) -> list[Any]:
        """The coordinates that occur in c, in a fixed order."""
        there: set[Any] = getattr(c, "free_symbols", set())
        return [s for s in self.coords if s in there]

    def sign(self, c: Expr) -> int:
        """The sign of a constant on the whole cell; raises `Split`, `Ratio` or `Undecided`."""
        c = sp.sympify(c)
        if not self.free(c):
            return sign_of(c)
        if c not in self.known:
            self.known[c] = self._sign(c)
        return self.known[c]

    def order(self, a: Expr, b: Expr) -> int:
        """The sign of a - b on the whole cell, +-oo allowed."""
        if a == b:
            return 0
        if a in (OO, -OO) or b in (OO, -OO):
            return sign_of(a) if a in (OO, -OO) else -sign_of(b)
        if not self.free(a) and not self.free(b):
            return compare(a, b)
        return self.sign(a - b)

    def _sign(self, c: Expr) -> int:
        form = sp.together(sp.powsimp(sp.expand_power_base(c)))
        num, den = sp.fraction(form)
        total = 1
        for part in (num, den):
            there = self.free(part)
            if not there:
                total *= sign_of(part)
            elif part.is_polynomial(*there):
                total *= self._polynomial_sign(part, there)
            else:
                total *= self._one_variable_sign(part, there)
            if total == 0:
                return 0
        return total

    def _polynomial_sign(self, e: Expr, there: list[Any]) -> int:
        poly = sp.Poly(sp.expand(e), *there)
        if poly.is_zero:
            return 0
        if poly.is_ground:
            return sign_of(poly.as_expr())
        if not (poly.domain.is_ZZ or poly.domain.is_QQ):
            return self._one_variable_sign(poly.as_expr(), there)
        content, factors = poly.factor_list()
        total = sign_of(sp.sympify(content))
        for factor, power in factors:
            e = factor.as_expr()
            inner = self.free(e)
            s = self._root_sign(e, inner[0]) if len(inner) == 1 else self._orthant_sign(e, inner)
            total *= s if power % 2 else s * s
        return total

    def _root_sign(self, e: Expr, symbol: Any) -> int:
        """The sign of a polynomial in one coordinate by isolating its roots."""
        lo, hi = self.coords[symbol]
        points = solve_level(e.subs(symbol, X), sp.Integer(0), lo, hi).points
        if points:
            raise Split(symbol, tuple(points))
        return sign_of(e.subs(symbol, _plain_point(lo, hi)))

    def _orthant_sign(self, e: Expr, there: list[Any]) -> int:
        s = one_sign(e, {t: self.coords[t] for t in there})
        if s is not None:
            return s
        for p in there:
            for q in there:
                if p.name < q.name and "/" not in p.name + q.name:
                    raise Ratio(p, q)
        raise OutOfReach(f"the sign of {e}")

    def _one_variable_sign(self, e: Expr, there: list[Any]) -> int:
        total, rest = 1, []
        for factor in sp.Mul.make_args(sp.factor_terms(e)):
            base, exponent = factor.as_base_exp()
            if base != sp.E and exponent.is_Rational and base in self.coords:
                lo, hi = self.coords[base]
                if sign_of(lo) >= 0:
                    continue  # a power of a positive coordinate
            if not self.free(factor):
                total *= sign_of(factor)
            else:
                rest.append(factor)
        e = sp.Mul(*rest)
        there = self.free(e)
        if not there:
            return total
        if len(there) > 1:
            s = self._structural(e)
            if s is None:
                raise OutOfReach(f"the sign of {e}")
            return total * s
        symbol = there[0]
        lo, hi = self.coords[symbol]
        f = e.subs(symbol, X)
        if f.has(sp.Abs, sp.sign):
            raise OutOfReach(f"the sign of {e}")
        s1 = sign_on(f, lo, hi)
        if s1.value == 0:
            return 0
        if s1.value is not None and s1.strict:
            return total * s1.value
        points = solve_level(f, sp.Integer(0), lo, hi).points
        if not points:
            raise OutOfReach(f"the sign of {e}")
        raise Split(symbol, tuple(points))

    def _structural(self, e: Expr) -> int | None:
        """The strict sign by the form of the expression alone, or None."""
        if isinstance(e, sp.exp | sp.cosh):
            return 1
        if e.is_Mul:
            total = 1
            for factor in e.args:
                s = self._strict(factor)
                if s is None:
                    return None
                total *= s
            return total
        if e.is_Add:
            signs = {self._strict(t) for t in e.args}
            return signs.pop() if len(signs) == 1 else None
        if isinstance(e, sp.tanh | sp.sinh | sp.atan | sp.erf):
            return self._strict(e.args[0])
        if e.is_Pow and e.exp.is_Rational:
            s = self._strict(e.base)
            return None if s is None or (s < 0 and not e.exp.is_Integer) else s ** (e.exp.p % 2 or 2)
        return None

    def _strict(self, e: Expr) -> int | None:
        try:
            return self.sign(e) or None
        except (Split, Ratio, Undecided):
            return None


def _plain_point(lo: Expr, hi: Expr) -> Expr:
    """A short rational of an open interval, away from 0 and 1, at which expressions often degenerate."""
    for p in (sp.Integer(2), sp.Rational(1, 2), sp.Integer(-2), sp.Rational(-1, 2), sp.Rational(3, 2), sp.Integer(3)):
        if less(lo, p) and less(p, hi):
            return p
    return rational_between(lo, hi)


def one_sign(e: Expr, box: Mapping[Any, tuple[Expr, Expr]]) -> int | None:
    """The strict sign of a polynomial on an open box by the signs of its coefficients, or None.

    Each variable is mapped to (0, oo): lo + t, hi - t, or (lo + hi t)/(1 + t). If then all
    coefficients have one sign, so has the polynomial; multiplying by a power of sum t or 1 + sum t
    first keeps the sign and evens the coefficients out (Polya).
    """
    ts = [sp.Symbol(f"t{i}", positive=True) for i in range(len(box))]
    put, denominators = {}, []
    for t, (s, (lo, hi)) in zip(ts, box.items(), strict=True):
        if lo == -OO and hi == OO:
            return None
        if hi == OO:
            put[s] = lo + t
        elif lo == -OO:
            put[s] = hi - t
        else:
            put[s] = (lo + hi * t) / (1 + t)
            denominators.append(1 + t)
    try:
        num, den = sp.fraction(sp.cancel(sp.together(e.subs(put, simultaneous=True))))
        poly, below = sp.Poly(num, *ts), sp.Poly(den, *ts)
        sign = _coefficient_sign(below)
        if sign is None:
            return None
        grow = sp.Poly(sum(ts) if poly.is_homogeneous else 1 + sum(ts), *ts)
        for _ in range(_POLYA + 1):
            found = _coefficient_sign(poly)
            if found is not None:
                return found * sign
            if len(poly.terms()) > _MAX_TERMS or poly.total_degree() > _MAX_DEGREE:
                return None
            poly = poly * grow
    except sp.PolynomialError:
        return None
    return None


def _coefficient_sign(poly: Any) -> int | None:
    if not (poly.domain.is_ZZ or poly.domain.is_QQ):
        return None
    signs = {1 if c > 0 else -1 for c in poly.coeffs() if c != 0}
    return signs.pop() if len(signs) == 1 else None


def merge_points(points: Iterable[Expr]) -> tuple[Expr, ...]:
    """Exact constants in order, equal ones merged."""
    return tuple(sort_exact(points))


__all__ = ["Cell", "OutOfReach", "Ratio", "Split", "coordinate", "interval_text", "one_sign"]
