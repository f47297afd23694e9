"""Outward-rounded evaluation of terms with mpmath's directed rounding.

`evaluate(t, box)` encloses the values of t at all points of the box where t is defined; that t is
defined on an interval is a question of its own, which `rules` asks. Sums, products, quotients and
square roots are rounded outward exactly; other functions are computed with 20 extra bits and
widened by one unit of the working precision.
"""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from mpmath.libmp import (
    finf,
    fninf,
    fone,
    from_int,
    from_rational,
    fzero,
    mpf_abs,
    mpf_add,
    mpf_atan,
    mpf_cos_sin,
    mpf_cosh_sinh,
    mpf_div,
    mpf_erf,
    mpf_exp,
    mpf_floor,
    mpf_log,
    mpf_lt,
    mpf_mul,
    mpf_neg,
    mpf_nthroot,
    mpf_pi,
    mpf_shift,
    mpf_sub,
    mpf_tanh,
    round_ceiling,
    round_floor,
    round_nearest,
    to_int,
    to_rational,
)

from theory.checker.terms import OO, Rejected, Term

Mpf = Any  # mpmath's tuple (sign, mantissa, exponent, bits)
Interval = tuple[Mpf, Mpf]
WHOLE: Interval = (fninf, finf)
DOWN, UP = round_floor, round_ceiling
_EXTRA = 20
_HUGE = from_int(2**64)


class Steps:
    """A count of evaluations that ends in `Rejected`: what bounds the time of a check."""

    def __init__(self, allowed: int) -> None:
        self.left = allowed

    def take(self, n: int = 1) -> None:
        self.left -= n
        if self.left < 0:
            raise Rejected("the check needs more steps than are allowed")


STEPS = Steps(10**12)
"""The steps of the check that runs now; `audit` sets its allowance."""


def less(a: Mpf, b: Mpf) -> bool:
    return bool(mpf_lt(a, b))


def smaller(a: Mpf, b: Mpf) -> Mpf:
    return a if less(a, b) else b


def larger(a: Mpf, b: Mpf) -> Mpf:
    return b if less(a, b) else a


def is_positive(v: Interval) -> bool:
    return less(fzero, v[0])


def is_negative(v: Interval) -> bool:
    return less(v[1], fzero)


def is_finite(v: Interval) -> bool:
    return v[0] != fninf and v[1] != finf


def of_fraction(v: Fraction, prec: int) -> Interval:
    return (
        from_rational(v.numerator, v.denominator, prec, DOWN),
        from_rational(v.numerator, v.denominator, prec, UP),
    )


def to_fraction(v: Mpf) -> Fraction:
    """The exact value of a finite mpf."""
    p, q = to_rational(v)
    return Fraction(int(p), int(q))


def hull(a: Interval, b: Interval) -> Interval:
    return smaller(a[0], b[0]), larger(a[1], b[1])


def negated(a: Interval) -> Interval:
    return mpf_neg(a[1]), mpf_neg(a[0])


def plus(a: Interval, b: Interval, prec: int) -> Interval:
    lo = fninf if fninf in (a[0], b[0]) else mpf_add(a[0], b[0], prec, DOWN)
    hi = finf if finf in (a[1], b[1]) else mpf_add(a[1], b[1], prec, UP)
    return lo, hi


def _product(a: Mpf, b: Mpf, prec: int, rounding: str) -> Mpf:
    # an infinite end stands for arbitrarily large reals, so 0 times it is 0
    return fzero if fzero in (a, b) else mpf_mul(a, b, prec, rounding)


def times(a: Interval, b: Interval, prec: int) -> Interval:
    if not less(a[0], fzero) and not less(b[0], fzero):
        return _product(a[0], b[0], prec, DOWN), _product(a[1], b[1], prec, UP)
    lows = [_product(p, q, prec, DOWN) for p in a for q in b]
    highs = [_product(p, q, prec, UP) for p in a for q in b]
    lo, hi = lows[0], highs[0]
    for v in lows[1:]:
        lo = smaller(lo, v)
    for v in highs[1:]:
        hi = larger(hi, v)
    return lo, hi


def inverse(a: Interval, prec: int) -> Interval:
    """1/a where a is not 0."""
    lo, hi = a
    if less(lo, fzero) and less(fzero, hi):
        return WHOLE
    if lo == fzero and hi == fzero:
        return WHOLE
    if less(lo, fzero):
        upper = fzero if lo == fninf else mpf_div(fone, lo, prec, UP)
        return (fninf if hi == fzero else mpf_div(fone, hi, prec, DOWN)), upper
    lower = fzero if hi == finf else mpf_div(fone, hi, prec, DOWN)
    return lower, (finf if lo == fzero else mpf_div(fone, lo, prec, UP))


def _widened(value: Mpf, prec: int, rounding: str) -> Mpf:
    """A value of about prec + 20 correct bits moved outward by one unit of the precision."""
    if value in (finf, fninf):
        return value
    slack = mpf_shift(mpf_abs(value), -prec)
    return mpf_sub(value, slack, prec, DOWN) if rounding == DOWN else mpf_add(value, slack, prec, UP)


def integer_power(a: Interval, n: int, prec: int) -> Interval:
    if n == 0:
        return fone, fone
    if n < 0:
        return inverse(integer_power(a, -n, prec), prec)
    if n % 2 == 0:
        if less(a[0], fzero) and less(fzero, a[1]):
            top = larger(mpf_neg(a[0]), a[1])
            return fzero, _power(top, n, prec, UP)
        if not less(fzero, a[1]):
            a = negated(a)
        return _power(a[0], n, prec, DOWN), _power(a[1], n, prec, UP)
    return _signed_power(a[0], n, prec, DOWN), _signed_power(a[1], n, prec, UP)


def _power(a: Mpf, n: int, prec: int, rounding: str) -> Mpf:
    """a**n for a >= 0 and n > 0, rounded towards one side in every step."""
    result, base = None, a
    while n:
        if n & 1:
            result = base if result is None else _product(result, base, prec, rounding)
        n >>= 1
        if n:
            base = _product(base, base, prec, rounding)
    return result


def _signed_power(a: Mpf, n: int, prec: int, rounding: str) -> Mpf:
    if not less(a, fzero):
        return _power(a, n, prec, rounding)
    return mpf_neg(_power(mpf_neg(a), n, prec, UP if rounding == DOWN else DOWN))


def fraction_power(a: Interval, e: Fraction, prec: int) -> Interval:
    """a**e where a >= 0."""
    lo, hi = larger(a[0], fzero), larger(a[1], fzero)

    def rooted(v: Mpf, rounding: str) -> Mpf:
        if v in (fzero, finf):
            return v
        return _widened(mpf_nthroot(v, e.denominator, prec + _EXTRA, round_nearest), prec, rounding)

    return integer_power((rooted(lo, DOWN), rooted(hi, UP)), e.numerator, prec)


def _monotone(f: Any, a: Interval, prec: int, at_low: Mpf, at_high: Mpf) -> Interval:
    """An increasing function on an interval from its values at the ends and its limits."""
    lo = at_low if a[0] == fninf else _widened(f(a[0], prec + _EXTRA, round_nearest), prec, DOWN)
    hi = at_high if a[1] == finf else _widened(f(a[1], prec + _EXTRA, round_nearest), prec, UP)
    return larger(lo, at_low), smaller(hi, at_high)


def exponential(a: Interval, prec: int) -> Interval:
    lo, hi = a
    if lo == fninf or less(lo, mpf_neg(_HUGE)):
        low = fzero
    elif less(_HUGE, lo):
        low = mpf_shift(fone, 2**64)
    else:
        low = _widened(mpf_exp(lo, prec + _EXTRA, round_nearest), prec, DOWN)
    if hi == finf or less(_HUGE, hi):
        high = finf
    elif less(hi, mpf_neg(_HUGE)):
        high = mpf_shift(fone, -(2**64))
    else:
        high = _widened(mpf_exp(hi, prec + _EXTRA, round_nearest), prec, UP)
    return low, high


def logarithm(a: Interval, prec: int) -> Interval:
    """log a where a > 0."""
    lo, hi = larger(a[0], fzero), larger(a[1], fzero)

    def at(v: Mpf, rounding: str) -> Mpf:
        if v == fzero:
            return fninf
        return v if v == finf else _widened(mpf_log(v, prec + _EXTRA, round_nearest), prec, rounding)

    return at(lo, DOWN), at(hi, UP)


def _floor_of(v: Interval) -> tuple[int, int]:
    return int(to_int(mpf_floor(v[0], 53, DOWN))), int(to_int(mpf_floor(v[1], 53, DOWN)))


def pi_interval(prec: int) -> Interval:
    return _widened(mpf_pi(prec + _EXTRA), prec, DOWN), _widened(mpf_pi(prec + _EXTRA), prec, UP)


def sine(a: Interval, prec: int, cosine: bool) -> Interval:
    """sin or cos on an interval: the values at the ends, and +-1 wherever an extremum may lie between."""
    one = (mpf_neg(fone), fone)
    if not is_finite(a):
        return one
    size = max(0, a[0][2] + a[0][3], a[1][2] + a[1][3])
    if size > 2000:
        return one
    wide = prec + size + _EXTRA
    inverse_pi = inverse(pi_interval(wide), wide)
    half = of_fraction(Fraction(0 if cosine else -1, 2), wide)
    turns = [plus(times((v, v), inverse_pi, wide), half, wide) for v in a]  # extrema at integers
    first, last = _floor_of(turns[0])[0], _floor_of(turns[1])[1]
    if last - first > 2:
        return one

    def at(v: Mpf) -> Interval:
        value = mpf_cos_sin(v, wide, round_nearest, 1 if cosine else 2)
        slack = mpf_shift(fone, -prec)
        return mpf_sub(value, slack, wide, DOWN), mpf_add(value, slack, wide, UP)

    out = hull(at(a[0]), at(a[1]))
    for k in range(first + 1, last + 1):
        top = fone if k % 2 == 0 else mpf_neg(fone)
        out = hull(out, (top, top))
    return larger(out[0], one[0]), smaller(out[1], one[1])


def _cosh(v: Mpf, prec: int, rounding: str) -> Mpf:
    return mpf_cosh_sinh(v, prec, rounding)[0]


def _sinh(v: Mpf, prec: int, rounding: str) -> Mpf:
    return mpf_cosh_sinh(v, prec, rounding)[1]


def _clamped(a: Interval) -> Interval:
    """The interval cut to a size at which hyperbolic functions can be computed, opened beyond it."""
    limit = from_int(2**40)
    return (
        fninf if less(a[0], mpf_neg(limit)) else smaller(a[0], limit),
        finf if less(limit, a[1]) else larger(a[1], mpf_neg(limit)),
    )


def _root(t: Term, prec: int) -> Interval:
    lo, hi, coefficients = t.args

    def value(v: Fraction) -> Fraction:
        total = Fraction(0)
        for c in reversed(coefficients):
            total = total * v + c
        return total

    low, high, at_low = lo, hi, value(lo)
    if at_low == 0 or value(hi) == 0 or (at_low > 0) == (value(hi) > 0):
        raise Rejected("a root's interval does not show a change of sign")
    while high - low > Fraction(1, 2**prec):
        STEPS.take()
        middle = (low + high) / 2
        v = value(middle)
        if v == 0:
            low = high = middle
            break
        low, high = (middle, high) if (v > 0) == (at_low > 0) else (low, middle)
    return of_fraction(low, prec + 40)[0], of_fraction(high, prec + 40)[1]


def evaluate(t: Term, box: Interval | None = None, prec: int = 64) -> Interval:
    """An enclosure of the values of t at the points of the box where t is defined."""
    return _evaluate(t, box, prec, {})


def _evaluate(t: Term, box: Interval | None, prec: int, memo: dict[Term, Interval]) -> Interval:
    found = memo.get(t)
    if found is None:
        STEPS.take()
        found = memo[t] = _value(t, box, prec, memo)
    return found


def _value(t: Term, box: Interval | None, prec: int, memo: dict[Term, Interval]) -> Interval:
    op = t.op
    if op == "num":
        return of_fraction(t.args[0], prec)
    if op == "x":
        if box is None:
            raise Rejected("a constant was expected")
        return box
    if op == "pi":
        return pi_interval(prec)
    if op == "root":
        return _root(t, prec)
    if t is OO or op == "-oo":
        raise Rejected("a finite constant was expected")
    if op == "add":
        total = _evaluate(t.args[0], box, prec, memo)
        for s in t.args[1:]:
            total = plus(total, _evaluate(s, box, prec, memo), prec)
        return total
    if op == "mul":
        total = _evaluate(t.args[0], box, prec, memo)
        for s in t.args[1:]:
            total = times(total, _evaluate(s, box, prec, memo), prec)
        return total
    a = _evaluate(t.args[0], box, prec, memo)
    if op == "pow":
        e = t.args[1]
        return integer_power(a, int(e), prec) if e.denominator == 1 else fraction_power(a, e, prec)
    if op == "exp":
        return exponential(a, prec)
    if op == "log":
        return logarithm(a, prec)
    if op in ("sin", "cos"):
        return sine(a, prec, op == "cos")
    if op == "atan":
        half_pi = times(pi_interval(prec), of_fraction(Fraction(1, 2), prec), prec)[1]
        return _monotone(mpf_atan, a, prec, mpf_neg(half_pi), half_pi)
    if op == "erf":
        return _monotone(mpf_erf, a, prec, mpf_neg(fone), fone)
    if op == "tanh":
        return _monotone(mpf_tanh, _clamped(a), prec, mpf_neg(fone), fone)
    if op == "sigmoid":
        # 1/(1 + exp(-a)), rising from 0 to 1
        return inverse(plus((fone, fone), exponential(negated(a), prec), prec), prec)
    if op == "sinh":
        return _monotone(_sinh, _clamped(a), prec, fninf, finf)
    if op == "cosh":
        a = _clamped(a)
        if less(a[0], fzero) and less(fzero, a[1]):
            a = (fzero, larger(mpf_neg(a[0]), a[1]))
        elif not less(fzero, a[1]):
            a = negated(a)
        out = _monotone(_cosh, a, prec, fone, finf)
        return larger(out[0], fone), out[1]
    raise Rejected(f"{op} has no enclosure here")
