"""Step-size formulas in t = 1, 2, 3, ..., decided symbolically against the conditions of the theory.

A formula is read by a whitelist into an expression in t and positive symbols, then compared with the
scale ``exp(sum r_s t^s) t^p (log t)^l (log log t)^m``: up to constant factors, every formula that
is decided equals one member g of it, on all steps or, for periodic schedules, on a positive share of
them while it is O(g) on the rest. With eta >= 0 that settles

    sum eta = oo,    sum eta^2 < oo,    sum eta^2 / sum eta -> 0,    eta -> 0,

by the integral test; the ratio vanishes iff the sum diverges and g -> 0. Source: docs/mathematics.md, section 4.
"""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import lcm
from typing import Any

import sympy as sp
from sympy.printing.str import StrPrinter

from theory.analytic import in_language, limit_at, sign_on, solve_level
from theory.errors import InputError, Undecided
from theory.exact import X, _floor, compare, sign_of
from theory.parser import RESERVED, _Reader

Expr = Any
T = sp.Symbol("t", positive=True)
OO = sp.oo
ZERO, ONE = sp.Integer(0), sp.Integer(1)
SYMBOLS = ("a", "b", "c", "d", "k", "p", "q", "M", "N", "T0", "t0", "eta0", "eta1", "eta_min", "eta_max")
"""Names that stand for any positive number; more are admitted with a value (``params``)."""
MAX_STEP_TEXT = 2_000
_MAX_PERIOD = 2_000
_LONGEST_POWER = 64
_DEEPEST_ROOT = 10_000


class mod(sp.Function):
    """The remainder of an integer z modulo a positive integer n, kept whole until both are numbers."""

    is_real = True
    is_nonnegative = True

    @classmethod
    def eval(cls, z: Any, n: Any) -> Any:
        if z.is_Integer and n.is_Integer and n > 0:
            return z % n
        return ZERO if z == n else None


class whole(sp.Function):
    """The integer part, kept whole until its argument is a number."""

    is_real = True

    @classmethod
    def eval(cls, z: Any) -> Any:
        return sp.Integer(int(z.p // z.q)) if z.is_Rational else None


class until(sp.Function):
    """until(n, a, b): a at the steps t <= n, b afterwards; the fourth argument is t."""

    is_real = True

    @classmethod
    def eval(cls, n: Any, a: Any, b: Any, t: Any) -> Any:
        if t.is_Integer and n.is_Rational:
            return a if t <= n else b
        return None


# --------------------------------------------------------------------------- reading


class _StepReader(_Reader):
    """Reads a step-size formula; numbers, characters, nesting and refusals as in `theory.parser`."""

    def __init__(self, text: str, params: Mapping[str, Any], what: str) -> None:
        super().__init__(text, params, what, allow_infinity=False)
        self.symbols: dict[str, Expr] = {}

    def read(self, node: ast.expr) -> Expr:
        """The node as an expression in t."""
        self.depth += 1
        if self.depth > 80:
            raise self.refuse(node, "the formula is nested too deeply")
        e = self._read(node)
        self.depth -= 1
        if e.has(sp.zoo, sp.nan, OO, -OO, sp.I):
            raise self.refuse(node, "a finite real value was expected (a division by zero or a root of a negative)")
        return e

    def _read(self, node: ast.expr) -> Expr:
        if isinstance(node, ast.Constant):
            return self._number(node)
        if isinstance(node, ast.Name):
            return self._symbol(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = self.read(node.operand)
            return -inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp):
            return self._operated(node)
        if isinstance(node, ast.Call):
            return self._called(node)
        raise self.refuse(node, f"{type(node).__name__} is not part of a step-size formula")

    def _symbol(self, node: ast.Name) -> Expr:
        name = node.id
        if name == "t":
            return T
        if name == "pi":
            return sp.pi
        if name in self.params:
            return self.params[name]
        if name in SYMBOLS:
            return self.symbols.setdefault(name, sp.Symbol(name, positive=True))
        if name == "x":
            raise self.refuse(node, "a step size depends on the step t, not on x")
        hint = "a function needs its arguments" if name in RESERVED | set(_CALLS) else "symbols: " + ", ".join(SYMBOLS)
        raise self.refuse(node, f"unknown name {name[:30]!r} ({hint}; others with --param NAME=VALUE)")

    def _operated(self, node: ast.BinOp) -> Expr:
        left, right = self.read(node.left), self.read(node.right)
        if isinstance(node.op, ast.Add):
            return left + right
        if isinstance(node.op, ast.Sub):
            return left - right
        if isinstance(node.op, ast.Mult):
            return left * right
        if isinstance(node.op, ast.Div):
            if right == 0:
                raise self.refuse(node.right, "division by zero")
            return left / right
        if isinstance(node.op, ast.Pow):
            if left.has(T) and right.has(T):
                raise self.refuse(node, "a power has t in its base or in its exponent, not in both")
            if right.is_Rational and (abs(right) > _LONGEST_POWER or right.q > _DEEPEST_ROOT):
                raise self.refuse(node, f"exponents are read up to {_LONGEST_POWER}, roots up to {_DEEPEST_ROOT}")
            return left**right
        hint = "^ is not part of the grammar, powers are written **"
        raise self.refuse(node, hint if isinstance(node.op, ast.BitXor) else "this operator is not part of the grammar")

    def _called(self, node: ast.Call) -> Expr:
        name = node.func.id if isinstance(node.func, ast.Name) else ""
        if name == "Piecewise":
            return self._branches(node)
        if name not in _CALLS:
            known = ", ".join([*_CALLS, "Piecewise"])
            raise self.refuse(node, f"unknown function {name[:30]!r} (known: {known})")
        arity, make = _CALLS[name]
        if node.keywords or len(node.args) != arity:
            raise self.refuse(node, f"{name} takes {arity} argument{'s' * (arity > 1)}, {len(node.args)} given")
        values = [self.read(a) for a in node.args]
        try:
            return make(*values)
        except InputError as error:
            raise self.refuse(node, str(error)) from None

    def _branches(self, node: ast.Call) -> Expr:
        """Piecewise((a, t <= n), ..., (b, True)): thresholds without t, the last branch True."""
        pairs = []
        for pair in node.args:
            if not isinstance(pair, ast.Tuple) or len(pair.elts) != 2:
                raise self.refuse(pair, "Piecewise takes pairs (formula, condition)")
            pairs.append((self.read(pair.elts[0]), pair.elts[1]))
        if not pairs or not (isinstance(pairs[-1][1], ast.Constant) and pairs[-1][1].value is True):
            raise self.refuse(node, "the last condition of a Piecewise in t must be True")
        result = pairs[-1][0]
        for value, condition in reversed(pairs[:-1]):
            plain = (
                isinstance(condition, ast.Compare)
                and len(condition.ops) == 1
                and isinstance(condition.ops[0], ast.Lt | ast.LtE)
                and isinstance(condition.left, ast.Name)
                and condition.left.id == "t"
            )
            if not plain:
                raise self.refuse(condition, "conditions are written t <= n or t < n")
            assert isinstance(condition, ast.Compare)
            n = self.read(condition.comparators[0])
            if n.has(T):
                raise self.refuse(condition, "conditions are written t <= n or t < n with n free of t")
            if isinstance(condition.ops[0], ast.Lt):
                if not n.is_Integer:
                    raise self.refuse(condition, "t < n needs an integer n")
                n = n - 1
            result = until(n, value, result, T)
        return result


def _remainder(z: Expr, n: Expr) -> Expr:
    shift = z - T
    if shift.has(T) or not shift.is_Integer:
        raise InputError("mod(t, N) or mod(t + k, N) with an integer k was expected")
    if n.has(T) or not (n.is_Symbol or (n.is_Integer and n > 0)):
        raise InputError("the period of mod is a positive integer or a symbol")
    return mod(z, n)


def _integer_part(z: Expr) -> Expr:
    rate = sp.cancel(z / T)
    if rate.has(T):
        raise InputError("floor(t/N) was expected")
    return whole(z)


def _wave(function: Any) -> Callable[[Expr], Expr]:
    def make(z: Expr) -> Expr:
        if not z.has(T):
            return function(z)
        linear = sp.expand(z)
        k = linear.coeff(T, 1)
        rest = sp.expand(linear - k * T)
        turns = sp.cancel(k / (2 * sp.pi))
        period = None if rest.has(T) or k == 0 else sp.fraction(turns)
        if (
            period is not None
            and period[0].is_Integer
            and (period[1].is_Integer or period[1].as_coeff_Mul()[1].is_Symbol)
        ):
            return function(k * mod(T, period[1]) + rest)
        return function(z)

    return make


_CALLS: dict[str, tuple[int, Callable[..., Expr]]] = {
    "sqrt": (1, sp.sqrt),
    "log": (1, sp.log),
    "exp": (1, sp.exp),
    "cos": (1, _wave(sp.cos)),
    "sin": (1, _wave(sp.sin)),
    "mod": (2, _remainder),
    "floor": (1, _integer_part),
    "Min": (2, lambda a, b: sp.Min(a, b)),
    "Max": (2, lambda a, b: sp.Max(a, b)),
    "cosine": (2, lambda c, n: c / 2 * (1 + sp.cos(sp.pi * _remainder(T, n) / n))),
}
"""cosine(c, N) is the cosine with restarts c/2 (1 + cos(pi mod(t, N)/N))."""


def parse_steps(text: str, params: Mapping[str, Any] | None = None, what: str = "--steps") -> Expr:
    """Read a step-size formula in t; names among `SYMBOLS` are positive symbols, ``params`` gives values.

    Raises `InputError` with one sentence naming ``what`` and the column.
    """
    if not isinstance(text, str) or not text.strip():
        raise InputError(f"{what}: a formula in t was expected, for example c/sqrt(t)")
    if len(text) > MAX_STEP_TEXT:
        raise InputError(f"{what}: at most {MAX_STEP_TEXT} characters are read, this has {len(text)}")
    reader = _StepReader(text, params or {}, what)
    return reader.read(reader.tree)


# --------------------------------------------------------------------------- signs of constants


@dataclass(frozen=True)
class _Context:
    """Symbols that are assumed to lie between 0 and 1: bases of powers in t."""

    small: frozenset[Expr]

    def sign(self, c: Expr) -> int | None:
        """The sign of a constant expression in positive symbols; None if it depends on them."""
        if not c.free_symbols:
            return sign_of(c)
        swap = {sp.log(s): -sp.Dummy(positive=True) for s in self.small}
        e = sp.factor_terms(sp.expand_log(c).subs(swap))
        if e.is_positive:
            return 1
        if e.is_negative:
            return -1
        if e == 0:
            return 0
        symbols = sorted(e.free_symbols, key=str)
        if e.is_polynomial(*symbols):  # every monomial in positive symbols is positive
            signs = {sign_of(v) for v in sp.Poly(sp.expand(e), *symbols).coeffs()}
            return signs.pop() if len(signs) == 1 else None
        return 0 if sp.simplify(e) == 0 else None


def _small_bases(e: Expr) -> frozenset[Expr]:
    return frozenset(p.base for p in e.atoms(sp.Pow) if p.base.is_Symbol and p.base != T and p.exp.has(T))


# --------------------------------------------------------------------------- the scale


@dataclass(frozen=True)
class Order:
    """exp(sum r t^s) t^p (log t)^l (log log t)^m; ``exps`` holds (s, r) with r != 0, largest s first."""

    exps: tuple[tuple[Expr, Expr], ...] = ()
    p: Expr = ZERO
    l: Expr = ZERO  # noqa: E741  # the exponent of the logarithm, as in the formula above
    m: Expr = ZERO

    def times(self, other: Order) -> Order:
        total: dict[Expr, Expr] = {}
        for s, r in (*self.exps, *other.exps):
            total[s] = total.get(s, ZERO) + r
        exps = tuple(
            sorted(((s, sp.simplify(r)) for s, r in total.items() if sp.simplify(r) != 0), key=_by_power, reverse=True)
        )
        return Order(exps, sp.expand(self.p + other.p), sp.expand(self.l + other.l), sp.expand(self.m + other.m))

    def power(self, n: Expr) -> Order:
        return Order(
            tuple((s, sp.expand(r * n)) for s, r in self.exps),
            sp.expand(self.p * n),
            sp.expand(self.l * n),
            sp.expand(self.m * n),
        )

    def rates(self) -> tuple[Expr, ...]:
        return (*(r for _, r in self.exps), self.p, self.l, self.m)

    def expression(self, t: Expr) -> Expr:
        """The member of the scale as an expression in the given symbol."""
        growth = sp.exp(sum((r * t**s for s, r in self.exps), ZERO))
        return growth * t**self.p * sp.log(t) ** self.l * sp.log(sp.log(t)) ** self.m


def _by_power(item: tuple[Expr, Expr]) -> Any:
    return sp.Rational(item[0])


@dataclass(frozen=True)
class Lead:
    """e is between low*g and high*g in the limit (liminf and limsup of e/g), g the order."""

    order: Order
    low: Expr
    high: Expr


def _trend(c: _Context, a: Order, b: Order) -> int:
    """1 if a grows faster than b, 0 if they are equal, -1 otherwise; `Undecided` if that depends on symbols."""
    quotient = a.times(b.power(-ONE))
    for key in quotient.rates():
        s = c.sign(key)
        if s is None:
            raise Undecided(f"which of two terms is larger depends on the sign of {key}")
        if s:
            return s
    return 0


def lead(c: _Context, e: Expr) -> Lead | None:
    """The leading behaviour of e for t -> oo; None if e is identically 0. Raises `Undecided`."""
    if not e.has(T):
        return None if e == 0 else Lead(Order(), e, e)
    if e == T:
        return Lead(Order(p=ONE), ONE, ONE)
    if e.is_Add:
        return _lead_sum(c, e)
    if e.is_Mul:
        result = Lead(Order(), ONE, ONE)
        for factor in e.args:
            part = lead(c, factor)
            if part is None:
                return None
            result = Lead(result.order.times(part.order), *_interval_product(c, result, part))
        return result
    if isinstance(e, sp.exp):
        return _lead_exp(c, e.args[0])
    if e.is_Pow:
        if e.exp.has(T):
            return _lead_exp(c, sp.expand(e.exp * sp.log(e.base)))
        part = lead(c, e.base)
        if part is None:
            return None
        if c.sign(part.low) == 1:
            ends = (part.low**e.exp, part.high**e.exp)
        elif part.low == part.high and e.exp.is_Integer:
            ends = (part.low**e.exp, part.low**e.exp)
        else:
            raise Undecided(f"the sign of {e.base} for large t")
        return Lead(part.order.power(e.exp), *(ends if c.sign(e.exp) == 1 else ends[::-1]))
    if isinstance(e, sp.log):
        return _lead_log(c, e.args[0])
    if isinstance(e, sp.cos | sp.sin):
        return _lead_wave(c, e)
    if isinstance(e, mod):
        return Lead(Order(), ZERO, e.args[1] - 1 if e.args[1].is_Integer else e.args[1])
    if isinstance(e, whole):
        return lead(c, e.args[0])
    if isinstance(e, until):
        return lead(c, e.args[2])
    if isinstance(e, sp.Max | sp.Min):
        return _lead_extreme(c, e)
    raise Undecided(f"the growth of {e}")


def _interval_product(c: _Context, a: Lead, b: Lead) -> tuple[Expr, Expr]:
    if a.low == a.high and b.low == b.high:
        return a.low * b.low, a.low * b.low
    for x, y in ((a, b), (b, a)):
        if x.low == x.high:
            ends = (x.low * y.low, x.low * y.high)
            s = c.sign(x.low)
            if s is None:
                raise Undecided(f"the sign of {x.low}")
            return ends if s > 0 else ends[::-1]
    if c.sign(a.low) in (0, 1) and c.sign(b.low) in (0, 1):
        return a.low * b.low, a.high * b.high
    raise Undecided("a product of two oscillating factors")


def _lead_sum(c: _Context, e: Expr) -> Lead | None:
    factored = sp.factor_terms(e)
    if factored.is_Mul:
        return lead(c, factored)
    best: Lead | None = None
    for term in e.args:
        part = lead(c, term)
        if part is None:
            continue
        if best is None:
            best = part
            continue
        s = _trend(c, part.order, best.order)
        if s > 0:
            best = part
        elif s == 0:
            best = Lead(best.order, best.low + part.low, best.high + part.high)
    if best is None:
        return None
    if best.low == best.high and c.sign(best.low) in (0, None):
        if c.sign(best.low) == 0:
            short = sp.cancel(sp.together(e))
            if short == 0:
                return None
            if short != e and not short.is_Add:
                return lead(c, short)
            if len(e.args) == 2:  # a difference of roots
                a, b = e.args
                squares = sp.expand(a**2 - b**2)
                if squares.count_ops() < e.count_ops():
                    return lead(c, squares / (a - b))
            raise Undecided(f"the leading terms of {e} cancel")
        raise Undecided(f"the sign of {best.low} depends on the symbols")
    return best


def _lead_log(c: _Context, z: Expr) -> Lead | None:
    part = lead(c, z)
    if part is None or c.sign(part.low) != 1:
        raise Undecided(f"the logarithm of {z}")
    g = part.order
    if g.exps:
        s, r = g.exps[0]
        return Lead(Order(p=s), r, r)
    if g.p != 0:
        return Lead(Order(l=ONE), g.p, g.p)
    if g.l != 0:
        return Lead(Order(m=ONE), g.l, g.l)
    if g.m != 0:
        raise Undecided(f"the logarithm of {z}")
    if part.low == part.high and sp.simplify(part.low - 1) == 0:
        return lead(c, sp.cancel(sp.together(z - 1)))
    return Lead(g, sp.log(part.low), sp.log(part.high))


def _lead_exp(c: _Context, z: Expr) -> Lead:
    order, low, high = Order(), ONE, ONE
    for term in sp.Add.make_args(sp.expand(z)):
        if not term.has(T):
            low, high = low * sp.exp(term), high * sp.exp(term)
            continue
        scale, rest = term.as_independent(T, as_Add=False)
        if isinstance(rest, whole):  # floor(t/N) is t/N less something in [0, 1)
            order = order.times(Order(((ONE, sp.expand(scale * sp.cancel(rest.args[0] / T))),)))
            s = c.sign(scale)
            if s is None:
                raise Undecided(f"the sign of {scale}")
            low, high = (low * sp.exp(-scale), high) if s > 0 else (low, high * sp.exp(-scale))
            continue
        if rest == sp.log(T):
            order = order.times(Order(p=scale))
            continue
        base, power = rest.as_base_exp()
        if base == T and power.is_Rational and power > 0:
            order = order.times(Order(((power, scale),)))
            continue
        part = lead(c, term)
        if part is None:
            continue
        trend = _trend(c, part.order, Order())
        if trend > 0:
            raise Undecided(f"the growth of exp({term})")
        if trend == 0:
            low, high = low * sp.exp(part.low), high * sp.exp(part.high)
    return Lead(order, sp.powsimp(low), sp.powsimp(high))


def _lead_wave(c: _Context, e: Expr) -> Lead | None:
    z = e.args[0]
    with contextlib.suppress(Undecided):
        part = lead(c, z)
        if part is not None and not z.has(mod) and _trend(c, part.order, Order()) < 0:
            return Lead(Order(), ONE, ONE) if isinstance(e, sp.cos) else part
    return Lead(Order(), -ONE, ONE)


def _lead_extreme(c: _Context, e: Expr) -> Lead | None:
    side = 1 if isinstance(e, sp.Max) else -1
    best: Lead | None = None
    for arg in e.args:
        part = lead(c, arg)
        if part is None or part.low != part.high or c.sign(part.low) != 1:
            raise Undecided(f"the growth of {e}")
        if best is None:
            best = part
            continue
        s = side * _trend(c, part.order, best.order)
        if s > 0:
            best = part
        elif s == 0:
            value = (sp.Max if side > 0 else sp.Min)(best.low, part.low)
            best = Lead(best.order, value, value)
    return best


# --------------------------------------------------------------------------- periodic schedules


def eventually(e: Expr) -> Expr:
    """The formula for large t: the last branch of every Piecewise."""
    return e.replace(lambda n: isinstance(n, until), lambda n: n.args[2])


def growth(c: _Context, e: Expr) -> tuple[Order | None, str]:
    """The order g of a nonnegative formula and how it is meant; None if eta is 0 for large t.

    eta is between constants times g, or that on a positive share of the steps and O(g) on the others.
    """
    e = eventually(e)
    remainders = e.atoms(mod)
    periods = [n.args[1] for n in remainders]
    if remainders:
        numeric = all(n.is_Integer for n in periods) and lcm(*map(int, periods)) <= _MAX_PERIOD
        try:
            return _by_one_residue(c, e)
        except Undecided:
            if not numeric:
                raise
        return _by_residues(c, e, lcm(*map(int, periods)))
    found = lead(c, e)
    if found is None:
        return None, "eta is 0 for large t"
    if c.sign(found.low) == 1:
        return found.order, "eta is of this order"
    raise Undecided(f"how small {e} becomes")


def _by_residues(c: _Context, e: Expr, period: int) -> tuple[Order | None, str]:
    best: Order | None = None
    for k in range(period):
        there = e.replace(
            lambda n: isinstance(n, mod), lambda n, k=k: sp.Integer(int(k + (n.args[0] - T)) % int(n.args[1]))
        )
        found = lead(c, sp.simplify(there) if not there.has(T) else there)
        if found is None or (not there.has(T) and c.sign(found.low) == 0):
            continue
        if found.low != found.high or c.sign(found.low) != 1:
            raise Undecided(f"the sign of the steps t = {k} modulo {period}")
        if best is None or _trend(c, found.order, best) > 0:
            best = found.order
    return best, f"periodic with period {period}: of this order on a positive share of the steps, at most that on all"


def _by_one_residue(c: _Context, e: Expr) -> tuple[Order | None, str]:
    """One residue of a period: where every remainder is 0 eta is of an order that bounds it everywhere."""
    remainders = list(e.atoms(mod))
    shifts = {n.args[0] - T for n in remainders}
    bases = {n.args[1].as_coeff_Mul()[1] for n in remainders if not n.args[1].is_Integer}
    symbolic = any(not n.args[1].is_Integer for n in remainders)
    if len(shifts) > 1 or len(bases) > 1 or (symbolic and any(n.args[1].is_Integer for n in remainders)):
        raise Undecided("schedules with several shifts or periods")
    there = lead(c, e.replace(lambda n: isinstance(n, mod), lambda n: ZERO))
    try:
        above = lead(c, sp.factor_terms(e))
    except Undecided:
        above = lead(c, sp.expand(e))  # a factor of unknown sign, such as c - eta_min
    if there is None or above is None or c.sign(there.low) != 1 or _trend(c, there.order, above.order) != 0:
        raise Undecided(f"how {e} varies over its period")
    return there.order, "periodic: of this order where the period starts, at most that elsewhere"


# --------------------------------------------------------------------------- nonnegative and defined


_STARTS = (*range(1, 41), 50, 64, 99, 100, 101, 128, 999, 1000, 1001, 1024, 4096, 10**4, 10**5, 10**6)
_TRIALS = (ONE, sp.Rational(1, 3), sp.Integer(5), sp.Integer(100))
_MAX_ENVIRONMENTS = 12


def _environments(e: Expr, c: _Context) -> list[dict[Expr, Expr]]:
    symbols = sorted(e.free_symbols - {T}, key=str)
    whole_numbers = {s for n in e.atoms(mod) for s in n.args[1].free_symbols}
    choices: list[tuple[Expr, ...]] = []
    for s in symbols:
        if s in c.small:
            choices.append((sp.Rational(1, 2), sp.Rational(9, 10)))
        elif s in whole_numbers:
            choices.append((sp.Integer(4), sp.Integer(1), sp.Integer(2)))
        else:
            choices.append(_TRIALS)
    return [dict(zip(symbols, values, strict=True)) for values, _ in zip(product(*choices), range(_MAX_ENVIRONMENTS))]


def at_step(e: Expr, n: int, values: Mapping[Expr, Expr]) -> Expr:
    """The exact value at step n with values for the symbols (nan or zoo where there is none)."""
    return e.xreplace({T: sp.Integer(n), **values})


def check_steps(e: Expr, c: _Context, what: str = "--steps") -> None:
    """Raise `InputError` at a step where the formula is negative or has no real value (exact values only)."""
    zero_everywhere = True
    for values in _environments(e, c):
        given = ", ".join(f"{s} = {v}" for s, v in values.items())
        where = f" for {given}" if given else ""
        for n in _STARTS if not _exponential(e) else _STARTS[:-4]:
            v = at_step(e, n, values)
            if v.has(sp.zoo, sp.nan, OO, -OO) or v.is_real is False or v.has(sp.I):
                raise InputError(f"{what}: the formula has no finite real value at t = {n}{where}")
            try:
                s = sign_of(v)
            except Undecided:
                continue
            zero_everywhere = zero_everywhere and s == 0
            if s < 0:
                raise InputError(f"{what}: a step size is not negative, but it is {_brief(v)} at t = {n}{where}")
    if zero_everywhere and not eventually(e).has(T) and c.sign(eventually(e)) == 0:
        raise InputError(f"{what}: a step size that is not 0 throughout was expected")


def _exponential(e: Expr) -> bool:
    return any(p.exp.has(T) for p in e.atoms(sp.Pow)) or e.has(sp.exp)


def _brief(v: Expr) -> str:
    return str(v) if len(str(v)) <= 30 else str(sp.N(v, 6))


def is_nonnegative(e: Expr, c: _Context) -> bool | None:
    """Whether eta >= 0, and is defined, at every step and for every value of the symbols; None: not settled."""
    if _sign(e, c) is not None and _defined(e, c):
        return True
    rest = e
    for s in sorted(e.free_symbols - {T}, key=str):
        if not sp.cancel(rest / s).has(s):
            rest = sp.cancel(rest / s)
    if rest.free_symbols <= {T} and not rest.has(mod, whole, until) and in_language(rest):
        f = rest.subs(T, X)
        with contextlib.suppress(Undecided):
            if sign_of(f.subs(X, 1)) >= 0 and sign_on(f, ONE, OO).value in (0, 1):
                return True
    if not rest.has(until) and rest.has(mod):
        periods = [n.args[1] for n in rest.atoms(mod)]
        plain = rest.replace(lambda n: isinstance(n, mod), lambda n: ZERO)
        if not plain.has(T) and all(n.is_Integer for n in periods) and lcm(*map(int, periods)) <= _MAX_PERIOD:
            values = [c.sign(at_step(rest, k + 1, {})) for k in range(lcm(*map(int, periods)))]
            return True if all(v in (0, 1) for v in values) else None
    return None


def _defined(e: Expr, c: _Context) -> bool:
    for node in sp.preorder_traversal(e):
        if node.is_Pow and node.has(T):
            s = _sign(node.base, c)
            if not (s == 1 or (s == 0 and node.exp.is_positive) or (node.exp.is_Integer and node.exp > 0)):
                return False
        if isinstance(node, sp.log) and node.has(T) and _sign(node.args[0], c) != 1:
            return False
    return True


def _sign(e: Expr, c: _Context) -> int | None:
    """1 if e > 0, 0 if e >= 0 at every step t >= 1, by the form of e; None: not seen."""
    if not e.has(T):
        s = c.sign(e)
        return s if s in (0, 1) else None
    if e == T or isinstance(e, sp.exp):
        return 1
    if isinstance(e, mod):
        return 0
    if isinstance(e, whole):
        return 0 if _sign(e.args[0], c) is not None else None
    if isinstance(e, until):
        parts = [_sign(e.args[1], c), _sign(e.args[2], c)]
        return None if None in parts else min(p for p in parts if p is not None)
    if isinstance(e, sp.Max):
        known = [s for s in (_sign(a, c) for a in e.args) if s is not None]
        return max(known) if known else None
    if isinstance(e, sp.Min):
        parts = [_sign(a, c) for a in e.args]
        return None if None in parts else min(p for p in parts if p is not None)
    if isinstance(e, sp.log):
        return _sign(sp.expand(e.args[0] - 1), c)
    if e.is_Pow:
        s = _sign(e.base, c)
        if s is None:
            return 0 if e.exp.is_Integer and e.exp % 2 == 0 and e.exp > 0 else None
        return s if e.exp.is_positive or s == 1 else None
    if e.is_Mul:
        parts = [_sign(a, c) for a in e.args]
        return None if None in parts else min(p for p in parts if p is not None)
    if e.is_Add:
        return _sign_of_sum(e, c)
    return None


def _sign_of_sum(e: Expr, c: _Context) -> int | None:
    parts = [_sign(a, c) for a in e.args]
    if None not in parts:
        return max(p for p in parts if p is not None)
    factored = sp.factor_terms(e)
    if factored.is_Mul:
        return _sign(factored, c)
    waves = [f for f in e.atoms(sp.cos, sp.sin) if f.has(T)]
    if waves:
        # linear in each wave, so it is least where the waves are 1 or -1
        ends = []
        named, names = _as_symbols(e, waves)
        for values in product((ONE, -ONE), repeat=min(len(waves), 4)):
            corner = sp.expand(e.subs(dict(zip(waves, values, strict=False))))
            ends.append(_sign(corner, c))
        linear = len(waves) <= 4 and all(sp.diff(named, n, n) == 0 for n in names)
        return None if not linear or None in ends else min(s for s in ends if s is not None)
    shifted = sp.expand(e.subs(T, T + 1))
    if e.is_polynomial(T):  # in t - 1 >= 0
        signs = [c.sign(v) for v in sp.Poly(shifted, T).coeffs()]
        constant = c.sign(sp.Poly(shifted, T).eval(0))
        if all(s in (0, 1) for s in signs):
            return 1 if constant == 1 else 0
    return None


def _as_symbols(e: Expr, waves: list[Expr]) -> tuple[Expr, list[Expr]]:
    names = [sp.Dummy() for _ in waves]
    return e.subs(dict(zip(waves, names, strict=True))), names


# --------------------------------------------------------------------------- the largest step


def _trend_of(e: Expr, c: _Context) -> int | None:
    """1 nondecreasing, -1 nonincreasing, 0 constant in t, by the form of e; None: not seen."""
    if not e.has(T):
        return 0
    if e == T:
        return 1
    if e.is_Add:
        parts = {_trend_of(a, c) for a in e.args} - {0}
        return parts.pop() if len(parts) == 1 else None
    if e.is_Mul:
        constant, rest = e.as_independent(T, as_Add=False)
        s, parts = c.sign(constant), set()
        for a in sp.Mul.make_args(rest):
            if s is None or _sign(a, c) is None:
                return None
            parts.add(_trend_of(a, c))
        parts -= {0}
        one = parts.pop() if len(parts) == 1 else None
        return None if one is None or s is None else s * one
    if isinstance(e, sp.exp | sp.log | whole):
        return _trend_of(e.args[0], c)
    if isinstance(e, sp.Max | sp.Min):
        parts = {_trend_of(a, c) for a in e.args} - {0}
        return parts.pop() if len(parts) == 1 else None
    if e.is_Pow and not e.exp.has(T) and _sign(e.base, c) is not None:
        inner, s = _trend_of(e.base, c), c.sign(e.exp)
        return None if inner is None or s is None else inner * s
    if e.is_Pow and not e.base.has(T):
        inner, s = _trend_of(e.exp, c), c.sign(sp.log(e.base))
        return None if inner is None or s is None else inner * s
    return None


def largest(e: Expr, c: _Context) -> tuple[Expr, bool]:
    """(bound, attained): the largest step, or a bound of all steps. Raises `Undecided`; oo if unbounded."""
    trend = _trend_of(e, c)
    if trend in (0, -1):
        return sp.simplify(e.xreplace({T: ONE})), True
    if isinstance(e, until) or (e.is_Mul and any(isinstance(a, until) for a in e.args)):
        return _largest_of_branches(e, c)
    if e.has(mod) and not e.has(until, whole):
        return _largest_periodic(e, c)
    g, _ = growth(c, e)
    if g is not None and _trend(c, g, Order()) > 0:
        return OO, False
    return _largest_by_calculus(e)


def _largest_of_branches(e: Expr, c: _Context) -> tuple[Expr, bool]:
    node = next(a for a in sp.preorder_traversal(e) if isinstance(a, until))
    n, first, after, _ = node.args
    early, late = e.xreplace({node: first}), e.xreplace({node: after})
    top, sharp = largest(early, c) if _trend_of(early, c) != 1 else (early.xreplace({T: n}), bool(n.is_Integer))
    if n.is_Integer and _trend_of(late, c) in (0, -1):
        rest, exact = late.xreplace({T: n + 1}), True
    else:
        rest, exact = largest(late, c)
        exact = exact and _trend_of(late, c) == 0
    s = c.sign(sp.simplify(sp.cancel(rest / top) - 1)) if OO not in (rest, top) else 1
    if s is None:
        return sp.Max(top, rest), sharp and exact
    return (rest, exact) if s > 0 else (top, sharp)


def _largest_periodic(e: Expr, c: _Context) -> tuple[Expr, bool]:
    """The supremum of each factor; attained where the factor that oscillates is largest at some step."""
    plain, bound = ONE, ONE
    for factor in sp.Mul.make_args(sp.factor_terms(e)):
        if not factor.has(mod):
            plain = plain * factor
            continue
        bound = bound * _highest(factor, c)
    top, _ = largest(plain, c)
    if top == OO:
        return OO, False
    sup = sp.simplify(top * bound)
    if not plain.has(T):
        periods = {n.args[1] for n in e.atoms(mod)}
        numeric = all(n.is_Integer for n in periods) and lcm(*map(int, periods)) <= _MAX_PERIOD
        if numeric and not e.free_symbols - {T} - sp.sympify(plain).free_symbols:
            inner = sp.cancel(e / plain)
            values = [at_step(inner, k + 1, {}) for k in range(lcm(*map(int, periods)))]
            best = values[0]
            for v in values[1:]:
                best = v if compare(best, v) < 0 else best
            return sp.simplify(plain * best), True
        at_start = e.replace(lambda n: isinstance(n, mod), lambda n: ZERO)
        same_shift = all(n.args[0] == T for n in e.atoms(mod))
        return sup, bool(same_shift and sp.simplify(at_start - sup) == 0)
    return sup, False


def _highest(factor: Expr, c: _Context) -> Expr:
    """An upper bound of an oscillating factor: at its corners where it is linear in its waves."""
    waves = [f for f in factor.atoms(sp.cos, sp.sin) if f.has(T)]
    named, names = _as_symbols(factor, waves)
    if waves and len(waves) <= 4 and not named.has(T) and all(sp.diff(named, n, n) == 0 for n in names):
        corners = [named.subs(dict(zip(names, v, strict=True))) for v in product((ONE, -ONE), repeat=len(names))]
        best = corners[0]
        for v in corners[1:]:
            s = c.sign(sp.expand(v - best))
            best = sp.Max(best, v) if s is None else v if s > 0 else best
        return best
    part = lead(c, factor)
    if part is None or _trend(c, part.order, Order()) != 0:
        raise Undecided(f"the largest value of {factor}")
    return part.high


def _largest_by_calculus(e: Expr) -> tuple[Expr, bool]:
    """A scale times a function of t alone: its critical points, and the integers beside them."""
    h, scale = e, ONE
    for s in sorted(e.free_symbols - {T}, key=str):
        if not sp.cancel(h / s).has(s):
            h, scale = sp.cancel(h / s), scale * s
    if h.free_symbols - {T} or h.has(mod, whole, until, sp.Max, sp.Min):
        raise Undecided(f"the largest value of {e}")
    f = h.subs(T, X)
    points = {1}
    roots = solve_level(sp.factor(sp.diff(f, X)), ZERO, ONE, OO)
    if roots.window is not None:
        raise Undecided(f"the largest value of {e}")
    for r in roots.points:
        points |= {int(_floor(r)), int(_floor(r)) + 1}
    end = limit_at(f, OO, -1)
    if end == OO:
        return OO, False
    best, attained = end, False
    for n in sorted(points):
        v = f.subs(X, n)
        if compare(v, best) >= 0:
            best, attained = v, True
    return sp.simplify(scale * best), attained


# --------------------------------------------------------------------------- answers


@dataclass(frozen=True)
class Answer:
    """ "proved", "refuted" or "undecided", with the reason in one line."""

    answer: str
    why: str

    def as_dict(self) -> dict[str, str]:
        return {"answer": self.answer, "why": self.why}


@dataclass(frozen=True)
class Steps:
    """What is decided of a step-size formula."""

    formula: str
    expression: Expr
    symbols: tuple[str, ...]
    assumptions: tuple[str, ...]
    order: Expr | None
    nonnegative: Answer
    tends_to_zero: Answer
    sum_diverges: Answer
    squares_summable: Answer
    ratio_vanishes: Answer
    sums: Expr | None
    rate: Expr | None
    rate_why: str
    largest: Expr | None
    largest_attained: bool
    scale: str | None

    @property
    def sums_text(self) -> str | None:
        """The order of sum eta up to T."""
        return None if self.sums is None else text_of(self.sums)

    @property
    def rate_text(self) -> str | None:
        """The order of (1 + sum eta^2)/sum eta up to T."""
        return None if self.rate is None else f"O({text_of(self.rate)})"

    def below(self, constant: Expr, name: str) -> str:
        """For which values eta_t <= 1/constant at every step, as a sentence; ``name`` writes the constant."""
        if self.largest is None:
            return "not settled: the largest step is not known"
        if self.largest == OO:
            return "never: the steps are unbounded"
        what = "" if self.largest_attained else " suffices"
        if self.scale is not None:
            s = sp.Symbol(self.scale, positive=True)
            return f"{s} <= {text_of(sp.simplify(s / (self.largest * constant)))}{what}"
        return f"{name} <= {text_of(sp.simplify(1 / self.largest))}{what}"

    def as_dict(self) -> dict[str, Any]:
        """The object under "steps" in the JSON of `check`."""
        lipschitz = sp.Symbol("L", positive=True)
        return {
            "formula": self.formula,
            "symbols": list(self.symbols),
            "assumptions": list(self.assumptions),
            "order": None if self.order is None else text_of(self.order),
            "nonnegative": self.nonnegative.as_dict(),
            "tends_to_zero": self.tends_to_zero.as_dict(),
            "sum_diverges": self.sum_diverges.as_dict(),
            "squares_summable": self.squares_summable.as_dict(),
            "ratio_vanishes": self.ratio_vanishes.as_dict(),
            "sum": self.sums_text,
            "rate": {"order": self.rate_text, "why": self.rate_why},
            "largest": {
                "value": None if self.largest is None else text_of(self.largest),
                "attained": self.largest_attained,
            },
            "at_most_1_over_L": self.below(lipschitz, "L"),
            "latex": sp.latex(_for_latex(self.expression)),
        }


def _for_latex(e: Expr) -> Expr:
    return e.replace(lambda n: isinstance(n, mod), lambda n: sp.Function("mod")(*n.args)).replace(
        lambda n: isinstance(n, whole), lambda n: sp.floor(n.args[0], evaluate=False)
    )


class _Printer(StrPrinter):
    def _print_Exp1(self, _: Any) -> str:
        return "exp(1)"

    def _print_whole(self, e: Any) -> str:
        return f"floor({self.doprint(e.args[0])})"


def text_of(e: Expr) -> str:
    """A formula as text in the grammar of step sizes."""
    return str(_Printer().doprint(e))


def _condition(e: Expr, relation: str) -> str:
    """The condition ``e relation 0`` solved for its symbol where it is linear in one."""
    symbols = sorted(e.free_symbols, key=str)
    if len(symbols) == 1:
        s = symbols[0]
        a, b = sp.expand(e).coeff(s, 1), sp.expand(e).coeff(s, 0)
        if sp.expand(e - a * s - b) == 0 and a != 0 and not a.free_symbols:
            flipped = {">": "<", "<": ">", ">=": "<=", "<=": ">="}
            return f"{s} {relation if a > 0 else flipped[relation]} {-b / a}"
    return f"{e} {relation} 0"


class _Depends(Undecided):
    """The answer depends on the symbols: the claim holds exactly when ``e relation 0``."""

    def __init__(self, e: Expr, relation: str) -> None:
        super().__init__(_condition(e, relation))
        self.opposite = _condition(e, {">": "<=", "<": ">=", ">=": "<", "<=": ">"}[relation])


def _diverges(c: _Context, g: Order) -> bool:
    """Whether the sum of g over t diverges, by the integral test."""
    if g.exps:
        s = c.sign(g.exps[0][1])
        if s is None:
            raise _Depends(g.exps[0][1], ">")
        return s > 0
    for k, key in enumerate((g.p, g.l, g.m)):
        s = c.sign(sp.expand(key + 1))
        if s is None:
            equal_case = k == 2 or _diverges_below(c, (g.l, g.m)[k:])
            raise _Depends(sp.expand(key + 1), ">=" if equal_case else ">")
        if s:
            return s > 0
    return True  # 1/(t log t log log t) and its integral log log log t


def _diverges_below(c: _Context, keys: Iterable[Expr]) -> bool:
    for key in keys:
        s = c.sign(sp.expand(key + 1))
        if s is None:
            raise Undecided(f"the sign of {key + 1}")
        if s:
            return s > 0
    return True


def _vanishes(c: _Context, g: Order) -> bool:
    for key in g.rates():
        s = c.sign(key)
        if s is None:
            raise _Depends(key, "<")
        if s:
            return s < 0
    return False


def partial_sums(c: _Context, g: Order) -> Order:
    """The order of the sum of g up to T, the constant order where it converges. Raises `Undecided`."""
    if not _diverges(c, g):
        return Order()
    if g.exps:
        s, _ = g.exps[0]
        return replace(g, p=sp.expand(g.p + (1 - s))) if s < 1 else g
    if c.sign(sp.expand(g.p + 1)):
        return replace(g, p=sp.expand(g.p + 1))
    if c.sign(sp.expand(g.l + 1)):
        return Order(l=sp.expand(g.l + 1), m=g.m)
    if c.sign(sp.expand(g.m + 1)):
        return Order(m=sp.expand(g.m + 1))
    raise Undecided("the sum grows like log log log T")


def _answered(claim: Callable[[], bool], yes: str, no: str, *, negated: bool = False) -> Answer:
    """The answer of a claim; ``negated``: what is asked is its opposite, ``yes`` goes with that."""
    try:
        if negated:
            return Answer("refuted", no) if claim() else Answer("proved", yes)
        return Answer("proved", yes) if claim() else Answer("refuted", no)
    except _Depends as condition:
        return Answer("undecided", f"it holds exactly when {condition.opposite if negated else condition}")
    except Undecided as reason:
        return Answer("undecided", str(reason))


def decide_steps(text: str, params: Mapping[str, Any] | None = None, what: str = "--steps") -> Steps:
    """Decide a step-size formula such as ``c/sqrt(t)``; t = 1, 2, ..., symbols positive.

    Raises `InputError` for a formula that cannot be read, is negative, undefined at some step, or 0.
    Source: docs/mathematics.md, section 4.
    """
    e = parse_steps(text, params, what)
    c = _Context(_small_bases(e))
    check_steps(e, c, what)
    periods = sorted({str(s) for n in e.atoms(mod) for s in n.args[1].free_symbols})
    assumptions = [f"0 < {s} < 1" for s in sorted(map(str, c.small))]
    assumptions += [f"{s} a positive integer" for s in periods]
    symbols = tuple(sorted(str(s) for s in e.free_symbols - {T}))
    sign = is_nonnegative(e, c)
    nonnegative = (
        Answer("proved", "every factor and term is nonnegative for t >= 1")
        if sign
        else Answer("undecided", "no negative step was found, and no proof that there is none")
    )
    top: Expr | None = None
    attained = False
    with contextlib.suppress(Undecided):
        top, attained = largest(e, c)
    order, answers, sums, rate, rate_why = _conditions(c, e)
    if not sign:  # the integral test speaks of nonnegative steps: for large t the order gives that
        nonnegative = nonnegative if order is None else replace(nonnegative, why=nonnegative.why + " (but for large t)")
    scale = None
    for name in sorted(symbols, key=lambda s: (s != "c", s)):
        s = sp.Symbol(name, positive=True)
        if top not in (None, OO) and s not in c.small and name not in periods and not sp.cancel(top / s).has(s):
            scale = name
            break
    return Steps(
        text.strip(),
        e,
        symbols,
        tuple(assumptions),
        order,
        nonnegative,
        *answers,
        sums,
        rate,
        rate_why,
        top,
        attained,
        scale,
    )


def _conditions(
    c: _Context, e: Expr
) -> tuple[Expr | None, tuple[Answer, Answer, Answer, Answer], Expr | None, Expr | None, str]:
    """(order; answers on eta -> 0, sum, squares, ratio; order of the sum; rate; its reason)."""
    try:
        g, how = growth(c, e)
    except Undecided as reason:
        open_ = Answer("undecided", str(reason))
        return None, (open_, open_, open_, open_), None, None, str(reason)
    if g is None:
        finite = "eta is 0 for large t"
        return (
            None,
            (Answer("proved", finite), Answer("refuted", finite), Answer("proved", finite), Answer("refuted", finite)),
            None,
            None,
            "the bound does not vanish: the steps end",
        )
    words = text_of(g.expression(T))
    about = f"eta ~ {words}" if how == "eta is of this order" else f"eta ~ {words} ({how})"
    squares = g.power(sp.Integer(2))
    zero = _answered(lambda: _vanishes(c, g), f"{about}, which tends to 0", f"{about}, which does not tend to 0")
    total = _answered(
        lambda: _diverges(c, g), f"{about}, and its integral diverges", f"{about}, and its integral converges"
    )
    square = _answered(
        lambda: _diverges(c, squares),
        f"eta^2 ~ {text_of(squares.expression(T))}, and its integral converges",
        f"eta^2 ~ {text_of(squares.expression(T))}, and its integral diverges",
        negated=True,
    )
    ratio = _ratio(zero, total)
    horizon = sp.Symbol("T", positive=True)
    summed: Expr | None = None
    try:
        sums = partial_sums(c, g)
        summed = sums.expression(horizon)
        second = partial_sums(c, squares)
        numerator = second if _trend(c, second, Order()) > 0 else Order()
        quotient = numerator.times(sums.power(-ONE))
        rate = quotient.expression(horizon)
        if _trend(c, quotient, Order()) >= 0:
            why = "the bound does not vanish"
        else:
            why = f"sum eta ~ {_named(sums)} and sum eta^2 ~ {_named(second)} up to T"
    except _Depends as condition:
        rate, why = None, f"it depends on whether {condition}"
    except Undecided as reason:
        rate, why = None, str(reason)
    return g.expression(T), (zero, total, square, ratio), summed, rate, why


def _named(g: Order) -> str:
    return text_of(g.expression(sp.Symbol("T", positive=True)))


def _ratio(zero: Answer, total: Answer) -> Answer:
    """sum eta^2/sum eta -> 0 iff sum eta = oo and eta -> 0, for the orders of the scale."""
    if "refuted" in (zero.answer, total.answer):
        why = (
            "the sums converge, so their ratio tends to a positive number"
            if total.answer == "refuted"
            else "eta does not tend to 0, so sum eta^2 is at least of the order of sum eta"
        )
        return Answer("refuted", why)
    if zero.answer == total.answer == "proved":
        return Answer("proved", "eta -> 0 and sum eta = oo (weighted means of eta tend to 0)")
    return Answer("undecided", "; ".join(dict.fromkeys(a.why for a in (total, zero) if a.answer == "undecided")))


__all__ = [
    "SYMBOLS",
    "Answer",
    "Order",
    "Steps",
    "at_step",
    "check_steps",
    "decide_steps",
    "growth",
    "is_nonnegative",
    "largest",
    "parse_steps",
    "partial_sums",
    "text_of",
]
