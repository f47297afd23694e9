"""Piecewise maps whose breakpoints, pieces and values depend on parameters, on one cell of them.

The same algebra as `theory.maps`, with every comparison answered for the whole cell: a map that is
read here has the same layout for all parameters of the cell. Where that fails, `theory.cells` says
where to cut. A map without parameters is handed to `PiecewiseMap`, so that staircases of ``x/s``
become staircases of a plain variable once x is measured in units of s (`NeedsUnit`).
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise

import sympy as sp

from theory.cells import OO, Cell, Expr, OutOfReach
from theory.errors import InputError
from theory.exact import X, sigmoid
from theory.maps import UNDEFINED, PiecewiseMap

ONE, ZERO = sp.Integer(1), sp.Integer(0)


class NeedsUnit(Exception):
    """A staircase or wave of scale*(x - shift): to be read with x = y/scale + shift."""

    def __init__(self, scale: Expr, shift: Expr) -> None:
        super().__init__(f"{scale}*(x - {shift})")
        self.scale, self.shift = scale, shift


class Family:
    """exprs[i] on the open piece (breaks[i-1], breaks[i]), values[i] at breaks[i], for all parameters of a cell.

    ``plain``: the same map as a `PiecewiseMap` where no parameter occurs in it.
    """

    def __init__(self, cell: Cell, breaks: Sequence[Expr], exprs: Sequence[Expr], values: Sequence[Expr]) -> None:
        self.cell = cell
        self.breaks, self.exprs, self.values = tuple(breaks), tuple(exprs), tuple(values)
        self.plain: PiecewiseMap | None = None
        if not any(e is not None and cell.free(e) for e in (*breaks, *exprs, *values)):
            self.plain = PiecewiseMap(self.breaks, self.exprs, self.values)

    @classmethod
    def of(cls, cell: Cell, e: Expr) -> Family:
        return cls(cell, (), (sp.sympify(e),), ())

    @classmethod
    def of_plain(cls, cell: Cell, m: PiecewiseMap) -> Family:
        made = cls(cell, m.breaks, m.exprs, m.values)
        made.plain = m
        return made

    @property
    def ends(self) -> tuple[tuple[Expr, Expr], ...]:
        return tuple(pairwise((-OO, *self.breaks, OO)))

    @property
    def constant(self) -> Expr | None:
        return None if self.breaks or self.exprs[0].has(X) else self.exprs[0]

    def finite(self) -> Family:
        """This map, unless it is known on a window only."""
        if self.plain is not None and self.plain.windowed:
            raise OutOfReach("a map with infinitely many breakpoints beside a parameter")
        return self

    # ---- layout

    def refine(self, points: Sequence[Expr]) -> Family:
        """The same map with further breakpoints."""
        breaks, exprs, values = list(self.breaks), list(self.exprs), list(self.values)
        for p in points:
            at = 0
            while at < len(breaks) and self.cell.order(breaks[at], p) < 0:
                at += 1
            if at < len(breaks) and self.cell.order(breaks[at], p) == 0:
                continue
            breaks.insert(at, p)
            values.insert(at, None if exprs[at] is UNDEFINED else exprs[at].subs(X, p))
            exprs.insert(at, exprs[at])
        return Family(self.cell, breaks, exprs, values)

    def simplified(self) -> Family:
        """The same map without breakpoints at which nothing happens."""
        if self.plain is not None:
            return Family.of_plain(self.cell, self.plain.simplified())
        breaks, exprs, values = [], [self.exprs[0]], []
        for b, v, e in zip(self.breaks, self.values, self.exprs[1:], strict=True):
            if v is not None and self._same(exprs[-1], e) and self._same(e if not e.has(X) else e.subs(X, b), v):
                continue
            breaks.append(b)
            values.append(v)
            exprs.append(e)
        return Family(self.cell, breaks, exprs, values)

    def _same(self, a: Expr, b: Expr) -> bool:
        if a == b:
            return True
        if UNDEFINED in (a, b):
            return False
        d = sp.expand(a - b)
        return bool(d == 0)

    # ---- algebra

    def map2(self, other: Family, op: Callable[[Expr, Expr], Expr]) -> Family:
        f, g = self.finite().refine(other.breaks), other.finite().refine(self.breaks)
        values = [None if v is None or w is None else op(v, w) for v, w in zip(f.values, g.values, strict=True)]
        exprs = [UNDEFINED if UNDEFINED in (a, b) else op(a, b) for a, b in zip(f.exprs, g.exprs, strict=True)]
        return Family(self.cell, f.breaks, exprs, values)

    def _plainly(self, other: Family, op: Callable[[PiecewiseMap, PiecewiseMap], PiecewiseMap]) -> Family | None:
        if self.plain is None or other.plain is None:
            return None
        return Family.of_plain(self.cell, op(self.plain, other.plain))

    def __add__(self, other: Family) -> Family:
        return self._plainly(other, lambda a, b: a + b) or self.map2(other, lambda a, b: a + b)

    def __mul__(self, other: Family) -> Family:
        return self._plainly(other, lambda a, b: a * b) or self.map2(other, lambda a, b: a * b)

    def __neg__(self) -> Family:
        return self * Family.of(self.cell, -ONE)

    def __sub__(self, other: Family) -> Family:
        return self + (-other)

    def apply(self, function: Callable[[Expr], Expr]) -> Family:
        """A function that is analytic on the whole real line, applied pointwise."""
        if self.plain is not None:
            return Family.of_plain(self.cell, self.plain.apply(function))
        return Family(
            self.cell,
            self.breaks,
            [e if e is UNDEFINED else function(e) for e in self.exprs],
            [None if v is None else function(v) for v in self.values],
        )

    def signs(self) -> tuple[Family, list[int | None]]:
        """This map cut at its zeros, with the strict sign of each piece (None: no value there)."""
        f = self.finite()
        points: list[Expr] = []
        for e, (a, b) in zip(self.exprs, self.ends, strict=True):
            if e is not UNDEFINED and e.has(X):
                points += zeros(self.cell, e, a, b)
        f = self.refine(points)
        found: list[int | None] = []
        for e, (a, b) in zip(f.exprs, f.ends, strict=True):
            if e is UNDEFINED:
                found.append(None)
            else:
                found.append(self.cell.sign(e.subs(X, inner_point(a, b)) if e.has(X) else e))
        return f, found

    def by_sign(self, pick: Callable[[int, Expr], Expr]) -> Family:
        """pick(sign, value) pointwise."""
        if self.plain is not None:
            return Family.of_plain(self.cell, self.plain.by_sign(pick))
        f, s = self.signs()
        exprs = [UNDEFINED if k is None else pick(k, e) for k, e in zip(s, f.exprs, strict=True)]
        values = [None if v is None else pick(self.cell.sign(v), v) for v in f.values]
        return Family(self.cell, f.breaks, exprs, values).simplified()

    def abs(self) -> Family:
        return self.by_sign(lambda s, e: -e if s < 0 else e)

    def maximum(self, other: Family) -> Family:
        plainly = self._plainly(other, lambda a, b: a.maximum(b))
        return plainly or other + (self - other).by_sign(lambda s, e: e if s > 0 else ZERO)

    def minimum(self, other: Family) -> Family:
        return -((-self).maximum(-other))

    def clip(self, lo: Family, hi: Family) -> Family:
        return self.maximum(lo).minimum(hi)

    def reciprocal(self) -> Family:
        c = self.constant
        if c is not None:
            if self.cell.sign(c) == 0:
                raise InputError("division by zero")
            return Family.of(self.cell, 1 / c)
        if self.plain is not None:
            return Family.of_plain(self.cell, self.plain.reciprocal())
        f, s = self.signs()
        values = [None if v is None or self.cell.sign(v) == 0 else 1 / v for v in f.values]
        return Family(self.cell, f.breaks, [1 / e if k else UNDEFINED for k, e in zip(s, f.exprs, strict=True)], values)

    def power(self, exponent: Expr) -> Family:
        """self ** exponent for a rational exponent."""
        if self.plain is not None:
            return Family.of_plain(self.cell, self.plain.power(exponent))
        if exponent.is_Integer:
            base = self if exponent > 0 else self.reciprocal()
            return base.apply(lambda e: e ** abs(exponent)) if exponent else Family.of(self.cell, ONE)
        f, s = self.signs()
        least = 0 if exponent > 0 else 1
        values = [None if v is None or self.cell.sign(v) < least else v**exponent for v in f.values]
        exprs = [UNDEFINED if k is None or k < least else e**exponent for k, e in zip(s, f.exprs, strict=True)]
        return Family(self.cell, f.breaks, exprs, values)

    def log(self) -> Family:
        if self.plain is not None:
            return Family.of_plain(self.cell, self.plain.log())
        f, s = self.signs()
        values = [None if v is None or self.cell.sign(v) <= 0 else sp.log(v) for v in f.values]
        return Family(self.cell, f.breaks, [sp.log(e) if k == 1 else UNDEFINED for k, e in zip(s, f.exprs)], values)

    def staircase(self, step: Callable[[PiecewiseMap], PiecewiseMap]) -> Family:
        """round or floor: of maps without parameters only; asks for another unit of x where that helps."""
        if self.plain is not None:
            return Family.of_plain(self.cell, step(self.plain))
        for e in self.exprs:
            line = line_of(e)
            if line is not None and (self.cell.free(line[0]) or self.cell.free(line[1])):
                raise NeedsUnit(line[0], -line[1] / line[0])
        raise OutOfReach("a staircase of an expression with a parameter")


def line_of(e: Expr) -> tuple[Expr, Expr] | None:
    """(slope, intercept) of an expression linear in x, or None."""
    if not e.has(X) or not e.is_polynomial(X):
        return None
    poly = sp.Poly(e, X)
    if poly.degree() != 1:
        return None
    slope, intercept = poly.all_coeffs()
    return slope, intercept


def inner_point(a: Expr, b: Expr) -> Expr:
    """A point strictly between a and b."""
    if a == -OO:
        return ZERO if b == OO else b - 1
    return a + 1 if b == OO else (a + b) / 2


# --------------------------------------------------------------------------- zeros


def zeros(cell: Cell, e: Expr, a: Expr, b: Expr) -> list[Expr]:
    """All zeros of e(x) in (a, b) for every parameter of the cell, as closed forms; `OutOfReach` otherwise."""
    line = line_of(e)
    if line is not None:
        points = [] if cell.sign(line[0]) == 0 else [sp.cancel(-line[1] / line[0])]
        return [p for p in points if cell.order(a, p) < 0 and cell.order(p, b) < 0]
    found: list[Expr] = []
    num, den = sp.fraction(sp.together(e))
    if den.has(X) and zeros(cell, den, a, b):
        raise OutOfReach(f"{e} has a pole")
    for factor in sp.Mul.make_args(sp.factor(num) if num.is_polynomial(X) else num):
        base = factor.base if factor.is_Pow and factor.base != sp.E and factor.exp.is_positive else factor
        if base.has(X):
            found += _factor_zeros(cell, base, a, b)
    distinct: list[Expr] = []
    for p in found:
        if all(cell.order(p, q) != 0 for q in distinct):
            distinct.append(p)
    return distinct


def _factor_zeros(cell: Cell, e: Expr, a: Expr, b: Expr) -> list[Expr]:
    if isinstance(e, sp.exp | sp.cosh | sigmoid):
        return []
    if isinstance(e, sp.tanh | sp.sinh | sp.atan | sp.erf):
        return zeros(cell, e.args[0], a, b)
    if isinstance(e, sp.sin | sp.cos):
        line = line_of(sp.expand(e.args[0]))
        if line is not None and (cell.free(line[0]) or cell.free(line[1])):
            raise NeedsUnit(line[0], -line[1] / line[0])
    if line_of(e) is not None:
        return zeros(cell, e, a, b)
    if e.is_polynomial(X) and sp.degree(e, X) == 2:
        c2, c1, c0 = sp.Poly(e, X).all_coeffs()
        if cell.sign(c2) == 0:
            return zeros(cell, c1 * X + c0, a, b)
        d = sp.factor(c1**2 - 4 * c2 * c0)
        s = cell.sign(d)
        roots = [] if s < 0 else [-c1 / (2 * c2)] if s == 0 else [(-c1 + k * sp.sqrt(d)) / (2 * c2) for k in (-1, 1)]
        return [p for p in roots if cell.order(a, p) < 0 and cell.order(p, b) < 0]
    inverse = _inverse(cell, e)
    if inverse is not None:
        return zeros(cell, inverse, a, b) if inverse != 0 else []
    from theory.uniform import sign_of_family

    if sign_of_family(cell, e, a, b).strict:
        return []
    raise OutOfReach(f"the zeros of {e}")


def _inverse(cell: Cell, e: Expr) -> Expr | None:
    """c + m f(g) = 0 as g - f^(-1)(-c/m) for an invertible f; 0 where it has no solution; None for other forms."""
    c, rest = e.as_independent(X, as_Add=True)
    m, f = rest.as_independent(X, as_Add=False)
    if c == 0 or not isinstance(f, sp.exp | sp.tanh | sigmoid) or cell.sign(m) == 0:
        return None
    level = sp.cancel(-c / m)
    g = f.args[0]
    if isinstance(f, sp.exp):
        return g - sp.log(level) if cell.sign(level) > 0 else ZERO
    lowest = -ONE if isinstance(f, sp.tanh) else ZERO
    if cell.order(lowest, level) >= 0 or cell.order(level, ONE) >= 0:
        return ZERO
    return g - (sp.log((1 + level) / (1 - level)) / 2 if isinstance(f, sp.tanh) else sp.log(level / (1 - level)))


# --------------------------------------------------------------------------- reading


def read(text: str, cell: Cell, constants: dict[str, Expr], unit: tuple[Expr, Expr]) -> Family:
    """The map of a text that `theory.parser` accepts, with x = y/scale + shift for unit = (scale, shift).

    The variable y is written x again. Raises `OutOfReach`, `NeedsUnit`, and what `theory.cells` raises.
    """
    for stray in "\n\r\t\f\v":
        text = text.replace(stray, " ")
    text = text.strip(" ")
    scale, shift = unit
    names = {**constants, **cell.values, "x": X / scale + shift, "pi": sp.pi}
    return _Walker(text, cell, names).map_of(ast.parse(text, mode="eval").body).simplified()


def _exactly(f: Callable[[Expr], Expr]) -> Callable[[Family], Family]:
    return lambda m: m.apply(f)


_UNARY: dict[str, Callable[[Family], Family]] = {
    "sign": lambda m: m.by_sign(lambda s, _: sp.Integer(s)),
    "Abs": lambda m: m.abs(),
    "abs": lambda m: m.abs(),
    "round": lambda m: m.staircase(lambda p: p.round()),
    "floor": lambda m: m.staircase(lambda p: p.floor()),
    "log": lambda m: m.log(),
    "sqrt": lambda m: m.power(sp.Rational(1, 2)),
    **{
        name: _exactly(f)
        for name, f in {
            "exp": sp.exp,
            "tanh": sp.tanh,
            "sinh": sp.sinh,
            "cosh": sp.cosh,
            "sigmoid": sigmoid,
            "erf": sp.erf,
            "atan": sp.atan,
            "sin": sp.sin,
            "cos": sp.cos,
        }.items()
    },
}
_WANTED: dict[type[ast.cmpop], tuple[int, ...]] = {
    ast.Lt: (-1,),
    ast.LtE: (-1, 0),
    ast.Gt: (1,),
    ast.GtE: (1, 0),
    ast.Eq: (0,),
}


class _Walker:
    """Reads a syntax tree that the parser has accepted at one value of the parameters."""

    def __init__(self, text: str, cell: Cell, names: dict[str, Expr]) -> None:
        self.text, self.cell, self.names = text, cell, names

    def const(self, e: Expr) -> Family:
        return Family.of(self.cell, e)

    def map_of(self, node: ast.expr) -> Family:
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.UnaryOp):
            inner = self.map_of(node.operand)
            return -inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.Constant):
            f = Fraction(self.text[node.col_offset : node.end_col_offset])
            return self.const(sp.Rational(f.numerator, f.denominator))
        if isinstance(node, ast.Name):
            return self.const(self.names[node.id])
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._call(node.func.id, node.args)
        raise OutOfReach(f"{type(node).__name__} beside a parameter")

    def _operation(self, node: ast.BinOp) -> Family:
        a, b = self.map_of(node.left), self.map_of(node.right)
        if isinstance(node.op, ast.Add):
            return a + b
        if isinstance(node.op, ast.Sub):
            return a - b
        if isinstance(node.op, ast.Mult):
            return a * b
        if isinstance(node.op, ast.Div):
            return a * b.reciprocal()
        n, c = b.constant, a.constant
        if n is not None and n.is_Rational:
            if c is not None and not n.is_Integer:
                s = self.cell.sign(c)
                if s < 0 or (s == 0 and n < 0):
                    raise InputError("a fractional power of a negative number")
                return self.const(c**n)
            return a.power(n)
        if c is not None and self.cell.sign(c) > 0:
            return b.apply(lambda e: sp.exp(e * sp.log(c)))
        raise OutOfReach("an exponent depends on a parameter")

    def _call(self, name: str, args: list[ast.expr]) -> Family:
        if name == "Piecewise":
            branches = []
            for pair in args:
                assert isinstance(pair, ast.Tuple)
                condition = self.condition_of(pair.elts[1])
                branches.append((self.map_of(pair.elts[0]), condition))
            return self._select(branches)
        maps = [self.map_of(a) for a in args]
        if name in ("Min", "Max"):
            result = maps[0]
            for m in maps[1:]:
                result = result.minimum(m) if name == "Min" else result.maximum(m)
            return result
        if name == "clip":
            return maps[0].clip(maps[1], maps[2])
        if name == "Heaviside":
            at_zero = maps[1].constant
            if at_zero is None:
                raise InputError("the second argument of Heaviside must be a constant")
            return maps[0].by_sign(lambda s, _: at_zero if s == 0 else sp.Integer((s + 1) // 2))
        return _UNARY[name](maps[0])

    def _select(self, branches: list[tuple[Family, Family]]) -> Family:
        cuts: list[Expr] = [p for m, condition in branches for p in (*m.finite().breaks, *condition.breaks)]
        fine = [(m.refine(cuts), condition.refine(cuts)) for m, condition in branches]
        layout = fine[0][0]
        exprs = [
            next((m.exprs[i] for m, condition in fine if condition.exprs[i] == 1), UNDEFINED)
            for i in range(len(layout.exprs))
        ]
        values = [
            next((m.values[i] for m, condition in fine if condition.values[i] == 1), None)
            for i in range(len(layout.breaks))
        ]
        return Family(self.cell, layout.breaks, exprs, values).simplified()

    def condition_of(self, node: ast.expr) -> Family:
        """The condition as a map with value 1 where it holds and 0 where it does not."""
        if isinstance(node, ast.Constant):
            return self.const(sp.Integer(int(bool(node.value))))
        if isinstance(node, ast.BoolOp):
            parts = [self.condition_of(v) for v in node.values]
            result = parts[0]
            for p in parts[1:]:
                result = result * p if isinstance(node.op, ast.And) else result + p - result * p
            return result.simplified()
        assert isinstance(node, ast.Compare)
        terms = [self.map_of(n) for n in (node.left, *node.comparators)]
        result = self.const(ONE)
        for a, op, b in zip(terms, node.ops, terms[1:], strict=False):
            wanted = _WANTED[type(op)]
            result = result * (a - b).by_sign(lambda s, _, w=wanted: sp.Integer(int(s in w)))  # type: ignore[misc]
        return result.simplified()
