"""Smooth expressions as operations of a program: rewritten first, so that nothing cancels or overflows inside.

SS and SS' share u = exp(-2 |z|), z = b x/2, v = u/(1 + u) and w = v - v^2, that is 1/(2 cosh z)^2:
SS = tanh z + 4 z w, SS' = 4 b (1 - |z| + 2 |z| v) w. Other expressions are rewritten without cancellation
and overflow: 1 - tanh^2 z = 4 u/(1 + u)^2, 1 + erf z = erfc(-z), ... What a formula gives at the ends of its
range, at infinity and on a grid is looked at when it is made.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
import torch

from theory.catalogue import TRANSFORM_LIBRARY
from theory.errors import InputError, Undecided
from theory.exact import X, equal, sigmoid, sign_of
from theory.maps import PiecewiseMap
from verify.kernel_forms import beside, fits, largest_of, line_of, numpy_type, put_line, rounded_to
from verify.kernel_programs import Builder, Cell, Program, Ref
from verify.lowering import _constant, exact_value

# --------------------------------------------------------------------------- smooth expressions


class _sech2(sp.Function):
    """1/cosh(w)^2."""


class _erfc(sp.Function):
    """1 - erf(w); sympy's own turns erfc(-w) into a difference."""


class _hypot(sp.Function):
    """sqrt(w^2 + c^2), without overflow inside."""


class _inner(sp.Function):
    """i = 1/max(1, |w|): 1/(1 + w^2) is i times `_outer`, and i^2 never underflows too early."""


class _outer(sp.Function):
    """i/(i^2 + (i w)^2)."""


def _rewritten(e: Any) -> Any:
    """The same function in a form without cancellation and inner overflow, where one of these rules applies."""
    if not e.has(X) or e == X:
        return e
    if e.is_Add:
        whole = _rational(e)
        if whole is not None:
            return whole
    args = [_rewritten(a) for a in e.args]
    e = e.func(*args)
    if e.is_Add:
        for rule in (_two_sigmoids, _complement, _cosines):
            found = rule(e)
            if found is not None:
                return found
    if e.is_Mul:
        return _by_pairs(e)
    if e.is_Pow and e.exp.is_Rational and (e.exp < 0 or e.exp == sp.Rational(1, 2)):
        return _power_of_sum(e)
    return e


def _rational(e: Any) -> Any:
    """A sum of fractions over their common denominator, in factors."""
    if not e.is_rational_function(X) or e.is_polynomial(X):
        return None
    done = sp.factor(sp.together(e))
    if done.is_Add:
        return None
    constant, factors = sp.Integer(1), []
    for a in sp.Mul.make_args(done):
        found = _monic(*a.as_base_exp()) if a.has(X) else None
        factor = _rewritten(a) if found is None else found
        c, rest = factor.as_independent(X, as_Add=False)
        constant *= c
        factors += [] if rest == 1 else [rest]
    return sp.Mul(constant, *factors, evaluate=False)


def _monic(base: Any, power: Any) -> Any | None:
    """(a x + c)^power as a^power (x + c/a)^power, so that a x does not overflow."""
    line = line_of(base)
    if line is None or line[0] in (0, 1) or power not in (1, -1):
        return None  # (a x + c)^(-2) has underflowed where a x overflows
    a, c = line
    if c == 0 or not (a.is_Rational and c.is_Rational):
        return None
    return sp.Mul(a**power, sp.Pow(X + c / a, power), evaluate=False)


def _power_of_sum(e: Any) -> Any:
    base, power = e.args
    found = _monic(base, power)
    if found is not None:
        return found
    if base.is_polynomial(X) and sp.degree(base, X) == 2:
        a, b, c = sp.Poly(base, X).all_coeffs()
        if b == 0 and sign_of(a) > 0 and sign_of(c) > 0:
            w = sp.sqrt(a / c) * X
            if power == -1:
                return c**power * _inner(w) * _outer(w)
            if abs(power) == sp.Rational(1, 2):
                return _hypot(sp.sqrt(a) * X, sp.sqrt(c)) ** (2 * power)
            return c**power * (_inner(w) * _outer(w)) ** (-power)
    return e


def _parts(e: Any) -> tuple[Any, list[tuple[Any, Any]]]:
    """A sum as (constant, [(coefficient, rest)])."""
    constant, terms = sp.Integer(0), []
    for t in e.args:
        c, rest = t.as_independent(X, as_Add=False)
        if rest == 1:
            constant += c
        else:
            terms.append((c, rest))
    return constant, terms


def _same(a: Any, b: Any) -> bool:
    try:
        return bool(a == b or equal(a, b))
    except Undecided:
        return False


def _complement(e: Any) -> Any:
    """A constant and one saturating function that cancels it."""
    c, terms = _parts(e)
    if c == 0 or len(terms) != 1:
        return None
    k, f = terms[0]
    if not f.args:
        return None
    if f.is_Pow and f.exp == 2 and isinstance(f.base, sp.tanh) and _same(k, -c):
        return c * _sech2(f.base.args[0])
    w = f.args[0]
    if isinstance(f, sigmoid) and _same(k, -c):
        return c * sigmoid(-w)
    if isinstance(f, sigmoid) and _same(k, -2 * c):
        return -c * sp.tanh(w / 2)
    if isinstance(f, sp.erf) and (_same(k, c) or _same(k, -c)):
        return c * _erfc(-w if _same(k, c) else w)
    if isinstance(f, sp.tanh) and (_same(k, c) or _same(k, -c)):
        return 2 * c * sigmoid(2 * w if _same(k, c) else -2 * w)
    if isinstance(f, sp.atan) and (_same(k * sp.pi, 2 * c) or _same(k * sp.pi, -2 * c)):
        p = w.coeff(X, 1)
        if sp.expand(w - p * X) == 0 and sign_of(p) > 0:
            sign = 1 if _same(k * sp.pi, 2 * c) else -1
            return sign * k * sp.atan2(1 / p, -sign * X, evaluate=False)
    return None


def _two_sigmoids(e: Any) -> Any:
    """c (s(y/2 - d) + s(y/2 + d) - 1), y = p x: tanh(y/2) times positive factors."""
    c, terms = _parts(e)
    if len(terms) != 2 or not all(isinstance(f, sigmoid) and _same(k, -c) for k, f in terms):
        return None
    v, w = (f.args[0] for _, f in terms)
    y, d = sp.expand(v + w), sp.expand((w - v) / 2)
    if d.has(X) or y.subs(X, 0) != 0:
        return None
    # exp(min(|y|/2, |d|)) exp(-|d|), for the rounding of |y|/2 - |d| would cost a few ulp
    top = sp.exp(-abs(d)) * sp.tanh(y / 2) * (1 + sp.exp(-sp.Abs(y))) * sp.exp(sp.Min(abs(d), sp.Abs(y) / 2))
    return -c * top / ((1 + sp.exp(-sp.Abs(v))) * (1 + sp.exp(-sp.Abs(w))))


def _cosines(e: Any) -> Any:
    """A sum of cos(k w), k odd, w = p x: cos(w) times a polynomial in cos(2 w).

    k w is rounded, and at a large w that rounding shows where the sum is nearly stationary.
    """
    c, terms = _parts(e)
    if c != 0 or len(terms) < 2 or not all(isinstance(f, sp.cos) and k.is_Rational for k, f in terms):
        return None
    rates = [f.args[0].coeff(X, 1) for _, f in terms]
    p = rates[0]
    if not all(sp.expand(f.args[0] - r * X) == 0 and r.is_Rational for (_, f), r in zip(terms, rates, strict=True)):
        return None
    p = min(rates, key=abs)
    ratios = [r / p for r in rates]
    if not all(r.is_Integer and r % 2 == 1 and 0 < r < 20 for r in ratios):
        return None
    z, d = sp.Symbol("z"), sp.Symbol("d")
    poly = sum((k * sp.cancel(sp.chebyshevt(r, z) / z) for (k, _), r in zip(terms, ratios, strict=True)), sp.Integer(0))
    inner = sp.expand(sp.expand(poly).subs(z, sp.sqrt((1 + d) / 2)))
    return sp.cos(p * X) * inner.subs(d, sp.cos(2 * p * X)) if inner.is_polynomial(d) else None


def _by_pairs(e: Any) -> Any:
    """s(w) s(-w) as 1/(2 cosh(w/2))^2."""
    found = [f for f in e.args if isinstance(f, sigmoid)]
    for f in found:
        other = next((g for g in found if g is not f and sp.expand(g.args[0] + f.args[0]) == 0), None)
        if other is not None:
            return e / f / other * _sech2(f.args[0] / 2) / 4
    return e


_FUNCTIONS = {
    sp.exp: "exp",
    sp.log: "log",
    sp.tanh: "tanh",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.atan: "atan",
    sp.erf: "erf",
    _erfc: "erfc",
    sigmoid: "sigmoid",
    sp.Abs: "abs",
}


class _Expression:
    """Puts the operations of an expression into a program. Constants stay floats until they meet x."""

    def __init__(self, builder: Builder, x: Ref) -> None:
        self.b, self.x = builder, x

    def value(self, e: Any) -> Any:
        """A float or a `Ref`. Raises `Undecided` for a function that torch does not have."""
        if e == X:
            return self.x
        if not e.has(X):
            return _constant(e)
        if e.is_Add:
            if e.is_polynomial(X) and sp.degree(e, X) > 1:
                return self._polynomial(sp.Poly(e, X).all_coeffs())
            return self._sum(e)
        if e.is_Mul:
            return self._product(e)
        if e.is_Pow:
            return self._power(e)
        if isinstance(e, _sech2):  # 4 u/(1 + u)^2, u = exp(-2 |w|)
            u = self.b.op("exp", self.b.op("mul", self.b.op("abs", self.value(e.args[0])), -2.0))
            return self.b.op("div", self.b.op("mul", u, 4.0), self.b.op("square", self.b.op("add", u, 1.0)))
        if isinstance(e, _inner):
            size = self.b.op("abs", self.value(e.args[0]))
            return self.b.op("reciprocal", self.b.op("clamp", size, min=1.0, max=self._finite()[1]))
        if isinstance(e, _outer):
            w = self.value(e.args[0])
            i = self.value(_inner(e.args[0]))
            a = self.b.op("mul", self.b.op("clamp", w, *self._finite()), i)
            return self.b.op("div", i, self.b.op("add", self.b.op("square", i), self.b.op("square", a)))
        if e.func in (sp.sin, sp.cos) and self.b.dtype == torch.float64:
            found = self._wave(e)
            if found is not None:
                return found
        if isinstance(e, _hypot):
            return self.b.op("hypot", self.value(e.args[0]), self._cell(e.args[1]))
        if isinstance(e, sp.atan2):
            return self.b.op("atan2", self._cell(e.args[0]), self.value(e.args[1]))
        if isinstance(e, sp.Min) and len(e.args) == 2 and not e.args[0].has(X):
            return self.b.op("clamp", self.value(e.args[1]), max=_constant(e.args[0]))
        name = _FUNCTIONS.get(e.func)
        if name is None:
            raise Undecided(f"the function {e.func.__name__} cannot be lowered")
        return self.b.op(name, self.value(e.args[0]))

    def _finite(self) -> tuple[float, float]:
        top = largest_of(torch.float64 if self.b.is_wide(self.x) else self.b.dtype)
        return -top, top

    def _wave(self, e: Any) -> Ref | None:
        """sin or cos of (2^i + 2^j) x by the sums of angles: 2^i x is exact, and 20 x may be off by a radian."""
        k, rest = e.args[0].as_independent(X, as_Add=False)
        if rest != X or not k.is_Integer or bin(abs(int(k))).count("1") != 2:
            return None
        size = abs(int(k))
        low = size & -size
        a, b = (size - low) * X, low * X
        if isinstance(e, sp.cos):
            parts = (sp.cos(a), sp.cos(b)), (sp.sin(a), sp.sin(b))
            name = "sub"
        else:
            parts = (sp.sin(a), sp.cos(b)), (sp.cos(a), sp.sin(b))
            name = "add"
        first, second = (self.b.op("mul", self.value(p), self.value(q)) for p, q in parts)
        out = self.b.op(name, first, second)
        return self.b.op("mul", out, -1.0) if isinstance(e, sp.sin) and k < 0 else out

    def _cell(self, c: Any) -> Cell:
        return self.b.cell(_constant(c), self.x)

    def _over(self, c: float, below: Ref) -> Ref:
        return self.b.op("reciprocal", below) if c == 1 else self.b.op("div", self.b.cell(c, below), below)

    def _polynomial(self, coefficients: Sequence[Any]) -> Ref:
        """Horner's rule, in x^2 for odd and even polynomials."""
        if all(c == 0 for c in coefficients[1::2]):
            if len(coefficients) % 2 == 0:  # odd
                return self.b.op("mul", self._horner(coefficients[::2], self.b.op("square", self.x)), self.x)
            return self._horner(coefficients[::2], self.b.op("square", self.x))
        low = 0
        while coefficients[-1 - low] == 0:
            low += 1
        out = self._horner(coefficients[: len(coefficients) - low], self.x)
        for _ in range(low):
            out = self.b.op("mul", out, self.x)
        return out

    def _horner(self, coefficients: Sequence[Any], x: Ref) -> Ref:
        if len(coefficients) == 1:
            return self.b.op("clamp", x, *(2 * [_constant(coefficients[0])]))
        out = x if coefficients[0] == 1 else self.b.op("mul", x, _constant(coefficients[0]))
        for i, c in enumerate(coefficients[1:]):
            out = self.b.op("add", out, _constant(c)) if c != 0 else out
            out = self.b.op("mul", out, x) if i < len(coefficients) - 2 else out
        return out

    def _sum(self, e: Any) -> Ref:
        constant = sp.Add(*[a for a in e.args if not a.has(X)])
        out = None
        for a in e.args:
            if a.has(X):
                part = self.value(a)
                out = part if out is None else self.b.op("add", out, part)
        assert out is not None
        return out if constant == 0 else self.b.op("add", out, _constant(constant))

    def _product(self, e: Any) -> Ref:
        c, rest = e.as_independent(X, as_Add=False)
        top, below, inverse = [], [], []
        for f in sp.Mul.make_args(rest):
            if f.is_Pow and f.exp == -1:
                below.append(f.base)
            elif f.is_Pow and f.exp.is_Integer and -20 < f.exp < -1:
                inverse += int(-f.exp) * [f.base]
            elif f.is_Pow and f.exp == 2:
                top += [f.base, f.base]  # twice, for c z z may be in range where z z is not
            else:
                top.append(f)
        factor = _constant(c)
        out: Ref | None = None
        if top:
            out = self.value(top[0])
            out = out if factor == 1 else self.b.op("mul", out, factor)
            for f in top[1:]:
                out = self.b.op("mul", out, self.value(f))
        for f in inverse:
            r = self.b.op("reciprocal", self.value(f))
            if out is not None:
                out = self.b.op("mul", out, r)
                continue
            out = r if factor == 1 else self.b.op("mul", r, factor)
        if below:
            under = self.value(below[0])
            for f in below[1:]:
                under = self.b.op("mul", under, self.value(f))
            out = self._over(factor, under) if out is None else self.b.op("div", out, under)
        assert out is not None
        return out

    def _power(self, e: Any) -> Ref:
        base, power = e.args
        if base is sp.E:
            return self.b.op("exp", self.value(power))
        if not power.is_Rational:
            return self.b.op("exp", self.value(power * sp.log(base)))
        if power.is_Integer and -20 < power < 0:
            return self._product(sp.Mul(1, e, evaluate=False)) if power != -1 else self._over(1.0, self.value(base))
        z = self.value(base)
        if power == 2:
            return self.b.op("square", z)
        if power == sp.Rational(1, 2):
            return self.b.op("sqrt", z)
        if power == sp.Rational(3, 2):
            return self.b.op("mul", self.b.op("sqrt", z), z)
        near = _constant(power)
        out = self.b.op("pow", z, near)
        rest = _constant(power - sp.Rational(near))
        if rest == 0 or self.b.dtype == torch.float32:
            return out
        # z^near z^rest, the latter 1 + rest log z: at 1e300 the rounding of 1/3 costs 50 ulp
        log = self.b.op("log", self.b.op("clamp", z, max=self._finite()[1]))
        return self.b.op("mul", out, self.b.op("add", self.b.op("mul", log, rest), 1.0))


_NATIVE = (sp.tanh, _sech2, sp.exp, sp.atan, sp.erf, sigmoid)


def _is_native(e: Any) -> bool:
    """Whether float32 operations serve: products and quotients of functions of k x, without a sum that cancels."""
    if e == X or not e.has(X):
        return True
    if isinstance(e, _NATIVE):
        line = line_of(e.args[0])
        return line is not None and line[1] == 0
    if e.is_Mul:
        return all(_is_native(a) for a in e.args)
    if e.is_Pow and e.exp.is_Integer and abs(e.exp) <= 3:
        line = line_of(e.base) if e.exp < 0 else None
        exact = line is not None and all(fits(c, torch.float32) for c in line)
        return _is_native(e.base) if line is None else exact
    return False


def _growing(e: Any) -> bool:
    """Whether an exponential may overflow where that shows: hyperbolic, or below a fraction bar."""
    if e.has(sp.sinh, sp.cosh):
        return True
    below = [p.base for p in e.atoms(sp.Pow) if p.base is not sp.E and p.exp.is_Rational and p.exp < 0]
    return any(not f.args[0].is_nonpositive for g in below for f in g.atoms(sp.exp) if f.has(X))


def put_curve(b: Builder, e: Any, low: float, high: float) -> tuple[Ref, bool]:
    """(the expression for x in [low, high], anything finite elsewhere; whether it is right on all floats there)."""
    tiny = float(np.finfo(numpy_type(b.dtype)).tiny)
    if 0 < abs(low) < tiny or 0 < abs(high) < tiny:
        # arithmetic on subnormal numbers is slow, and most elements may be clamped to that end
        wider = (0.0 if 0 < low < tiny else low), (0.0 if -tiny < high < 0 else high)
        if wider != (low, high):
            ref, fine = put_curve(b, e, *wider)
            if bool(torch.isfinite(Program(b, [ref]).pure(torch.zeros(1, dtype=b.dtype))[0]).all()):
                return ref, fine
    if line_of(e) is not None:
        x = b.x if (low, high) == (-math.inf, math.inf) else b.op("clamp", b.x, low, high)
        return put_line(b, e, x), True
    form = _rewritten(e)
    largest = largest_of(b.dtype)
    for limit in (math.inf, largest):
        # functions with a finite limit take it at the largest float; at infinity a formula may be inf/inf
        ref = _evaluated(b, form, max(low, -limit), min(high, limit))
        if _right_at_ends(b, ref, e, low, high):
            if form.has(_hypot) and limit == largest:
                ref = _short_of_overflow(b, form, ref, low, high)
            return ref, not _growing(form)
    if form.has(sp.sin, sp.cos):
        # beyond largest/64 a period holds no float: any value in range is one of an x half a float away
        waves = _evaluated(b, form, max(low, -largest / 64), min(high, largest / 64))
        waves = b.op("add", waves, b.op("mul", b.x, 0.0))  # no limit at infinity: NaN
        if _right_at_ends(b, waves, e, low, high):
            return waves, not _growing(form)
    return ref, False


def _evaluated(b: Builder, form: Any, low: float, high: float) -> Ref:
    x = b.x if (low, high) == (-math.inf, math.inf) else b.op("clamp", b.x, low, high)
    if not _is_native(form) and b.dtype == torch.float32:
        x = b.op("wide", x, wide=True)
    if low <= 0 <= high:
        x = b.op("add", x, 0.0)  # one zero: -0.0 becomes 0.0
    return b.narrowed(_Expression(b, x).value(form))


def _short_of_overflow(b: Builder, form: Any, ref: Ref, low: float, high: float) -> Ref:
    """The same expression on |x| <= largest/4 where that changes no value: not every hypot takes the largest floats."""
    largest = largest_of(b.dtype)
    sooner = _evaluated(b, form, max(low, -largest / 4), min(high, largest / 4))
    x = torch.tensor([s * c * largest for s in (-1, 1) for c in (0.3, 0.5, 0.7, 0.9, 1.0)], dtype=b.dtype)
    here, there = (Program(b, [r]).pure(x)[0] for r in (sooner, ref))
    return sooner if torch.equal(here, there) else ref


def without_minus_zero(b: Builder, ref: Ref) -> Ref:
    """The same values with -0.0 as 0.0 at 0, beside it and where a negative tail has vanished."""
    largest = largest_of(b.dtype)
    least = beside(0.0, b.dtype, True)
    x = torch.tensor([0.0, -0.0, least, -least, math.inf, -math.inf, largest, -largest], dtype=b.dtype)
    values = Program(b, [ref]).pure(x)[0]
    return b.op("add", ref, 0.0) if bool((torch.signbit(values) & (values == 0)).any()) else ref


def _right_at_ends(b: Builder, ref: Ref, e: Any, low: float, high: float) -> bool:
    """Whether no probe inside [low, high] gives NaN or a wrong infinity, and infinite ends give the exact limit."""
    largest = largest_of(b.dtype)
    top = int(math.log2(largest))
    probes = [s * 2.0**j for j in range(-top, top, 7) for s in (-1, 1)] + [0.0, largest, -largest]
    probes += [x for x in (low, high) if math.isfinite(x)]
    probes = [x for x in probes if low <= x <= high]
    x = torch.tensor([*probes, -math.inf, math.inf], dtype=b.dtype)
    values = Program(b, [ref]).pure(x)[0].tolist()
    finite = all(map(math.isfinite, values[: len(probes)])) or all(
        math.isfinite(v) or _is_beyond(e, p, v, b.dtype) for p, v in zip(probes, values, strict=False)
    )
    if not finite:
        return False
    for end, value in zip((-math.inf, math.inf), values[-2:], strict=True):
        if low <= end <= high:
            try:
                wanted = rounded_to(exact_value(e, end), b.dtype)
            except InputError:  # without python-flint a limit may stay open: a formula that has a value there is used
                wanted = math.nan if e.has(sp.sin, sp.cos) or math.isnan(value) else value
                if math.isnan(value) != e.has(sp.sin, sp.cos):
                    return False
            if not (value == wanted or (math.isnan(value) and math.isnan(wanted))):
                return False
    return True


def _is_beyond(e: Any, x: float, found: float, dtype: torch.dtype) -> bool:
    """Whether an infinity is right at a finite x: the value is beyond the type's range."""
    try:
        value = e.subs(X, sp.Rational(x)) if e.is_polynomial(X) else sp.nan
        if value.is_Rational:  # needs no enclosure
            return rounded_to(_constant(value), dtype) == found
        return rounded_to(exact_value(e, x), dtype) == found
    except (Undecided, InputError):
        return False


# --------------------------------------------------------------------------- the swish pair


@lru_cache(maxsize=512)
def sharpness_of(m: PiecewiseMap) -> tuple[str, Any] | None:
    """("F", b) for SS_b, ("B", b) for SS_b', compared exactly with the library's declarations."""
    if m.breaks or not m.exprs[0].has(sp.tanh, sigmoid, sp.cosh, sp.exp):
        return None
    e = m.exprs[0]
    entry = TRANSFORM_LIBRARY["SwishSign"]
    try:
        for which, b in (("F", sp.diff(e, X).subs(X, 0)), ("B", e.subs(X, 0))):
            b = sp.nsimplify(b) if not b.is_Rational else b
            if not b.is_Rational or b <= 0:
                continue
            declared = entry.map(beta=b) if which == "F" else entry.derivative_map(beta=b)
            if _near(e, declared.exprs[0]) and declared.agrees(m):
                return which, b
    except Undecided:
        return None
    return None


def _near(a: Any, b: Any) -> bool:
    """Whether two expressions agree at a few points to eight digits: most do not, and need no proof."""
    return all(
        abs(sp.N(a.subs(X, p), 20) - sp.N(b.subs(X, p), 20)) < 1e-8 for p in (sp.Rational(1, 3), sp.Rational(-7, 5))
    )


def _far(dtype: torch.dtype) -> float:
    return 32.0 if dtype == torch.float32 else 256.0


def short_reach(m: PiecewiseMap, dtype: torch.dtype) -> float:
    """Up to this |x| the short form of `put_swish` gives the bits of the whole; infinite for other maps."""
    swish = sharpness_of(m)
    return math.inf if swish is None else _far(dtype) / (float(swish[1]) / 2) * (1 - 1e-6)


def put_swish(b: Builder, which: str, sharpness: Any, core: bool) -> Ref:
    """SS_b or SS_b' by the formulas of the module's text. ``core``: for |x| <= `short_reach` only.

    The whole clamps z to where both have their limits. As exp(-2 |z|) is subnormal where SS' is not, |z| is cut
    at ``far`` there, and the rest comes as a factor of its own.
    """
    half, far = float(sharpness) / 2, _far(b.dtype)
    z = b.plus(0.0, b.x, half)
    if not core:
        # beyond it 4 b z exp(-2 z) is below half the smallest float, and SS is 1
        reach = 2 * far if b.dtype == torch.float32 else far + 144.0
        reach += math.log(max(half, 1.0))
        z = b.op("clamp", z, -reach, reach)
    a = b.op("abs", z)
    # torch.sigmoid would do, but the last elements of a tensor get other bits from it than the rest
    u = b.op("exp", b.op("mul", a if core else b.op("clamp", a, max=far), -2.0))
    v = b.op("div", u, b.op("add", u, 1.0))
    w = b.op("addcmul", v, v, v, value=-1.0)
    if which == "F":
        return b.op("addcmul", b.op("tanh", z), z, w, value=4.0)
    # 1 - z tanh z = 1 - a + 2 a v: at its minimum SS' has no condition number to hide a product near 1 in
    top = b.op("addcmul", b.plus(1.0, a, -1.0), a, v, value=2.0)
    out = b.op("addcmul", b.cell(0.0, w), top, w, value=8 * half)
    if core:
        return out
    rest = b.op("exp", b.plus(2 * far, b.op("clamp", a, min=far), -2.0))
    return b.op("add", b.op("mul", out, rest), 0.0)


__all__ = ["put_curve", "put_swish", "sharpness_of", "short_reach", "without_minus_zero"]
