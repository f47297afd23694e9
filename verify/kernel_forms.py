"""Fast forms of step functions and lines: recognised in an exact map, and shown to be right on all floats.

- *Steps.* On the floats of one type a step function is a list (T_k, level_k), T_k the smallest float of
  class k; a tie that is neither neighbour is a class of one float. level_0 + sum (level_k - level_{k-1})
  [x >= T_k] is used where these sums are exact.
- *Uniform steps.* g(f(x)), f a composition of correctly rounded monotone operations such as
  clamp(floor(a x + b)), is monotone, so it is the step function on all floats iff it is right at each T_k
  and at the float below it. These 2 (K - 1) floats are checked in rational arithmetic, with and without
  fused multiplication, as are the K levels; what fails is not used.
- *Piecewise linear.* Clamped lines (by the same argument), x - clamp(x, a, b), steps plus a line; each with
  one rounding, or in float64.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp
import torch

from theory.exact import X, compare, sign_of
from theory.maps import PiecewiseMap
from verify.kernel_programs import Builder, Ref
from verify.lowering import _constant

# --------------------------------------------------------------------------- floats


def numpy_type(dtype: torch.dtype) -> Any:
    return np.float32 if dtype == torch.float32 else np.float64


def largest_of(dtype: torch.dtype) -> float:
    return float(np.finfo(numpy_type(dtype)).max)


def rounded_to(c: float, dtype: torch.dtype) -> float:
    """A float64 rounded to the type, as a float64; beyond its range infinite."""
    with np.errstate(over="ignore"):
        return float(numpy_type(dtype)(c))


def beside(c: float, dtype: torch.dtype, up: bool) -> float:
    kind = numpy_type(dtype)
    with np.errstate(over="ignore", under="ignore"):
        return float(np.nextafter(kind(c), kind(math.inf if up else -math.inf)))


def _nudged(c: float, dtype: torch.dtype, most: int = 2) -> list[float]:
    """c and its neighbours, the nearest first."""
    found, low, high = [c], c, c
    for _ in range(most):
        low, high = beside(low, dtype, False), beside(high, dtype, True)
        found += [high, low]
    return found


def _first_at(b: Any, dtype: torch.dtype) -> tuple[float, bool]:
    """The smallest float of the type that is at least the exact constant b, and whether it equals b."""
    f = rounded_to(_constant(b), dtype)
    if math.isinf(f):
        return (f if f > 0 else -largest_of(dtype)), False
    while compare(sp.Rational(f), b) < 0:
        f = beside(f, dtype, True)
        if math.isinf(f):
            return f, False
    while math.isfinite(below := beside(f, dtype, False)) and compare(sp.Rational(below), b) >= 0:
        f = below
    return f, compare(sp.Rational(f), b) == 0


_SHAPES = {torch.float32: (24, -149, 128), torch.float64: (53, -1074, 1024)}


def _round(q: Fraction, dtype: torch.dtype) -> Fraction | None:
    """The float of the type nearest to a rational, ties to even; None beyond its range."""
    bits, least, top = _SHAPES[dtype]
    if q == 0:
        return q
    size = abs(q)
    e = size.numerator.bit_length() - size.denominator.bit_length()
    e -= size < Fraction(2) ** e
    unit = Fraction(2) ** max(e - bits + 1, least)
    found = round(q / unit) * unit
    return found if abs(found) < Fraction(2) ** top else None


def _line_at(x: Fraction, a: float, b: float, dtype: torch.dtype, fused: bool) -> Fraction | None:
    """a x + b in floating point, with one rounding or with two."""
    product: Fraction | None = x * Fraction(a)
    if not fused and product is not None:
        product = _round(product, dtype)
    return None if product is None else _round(product + Fraction(b), dtype)


def _fraction(c: Any) -> Fraction | None:
    return Fraction(int(c.p), int(c.q)) if c.is_Rational else None


# --------------------------------------------------------------------------- classes of floats


@dataclass(frozen=True)
class FloatClass:
    """The floats from ``first`` up to the next class: a level, or an expression in x."""

    first: float
    level: float | None
    expr: Any  # exact; the level's where it is one


def float_classes(m: PiecewiseMap, dtype: torch.dtype) -> list[FloatClass]:
    """The map on the floats of one type, by increasing first float; the first begins at -infinity."""
    found: list[FloatClass] = []

    def put(first: float, e: Any) -> None:
        if found and found[-1].first >= first:
            found.pop()  # no float lies in that piece
        level = None
        if e is None or not e.has(X):
            level = math.nan if e is None else rounded_to(_constant(e), dtype) + 0.0
        before = found[-1] if found else None
        if before is not None and (before.level == level if level is not None else before.expr == e):
            return
        found.append(FloatClass(first, level, sp.nan if e is None else e))

    put(-math.inf, m.exprs[0])
    for b, v, e in zip(m.breaks, m.values, m.exprs[1:], strict=True):
        first, tied = _first_at(b, dtype)
        if tied:
            before = found[-1]
            # a stated value that is that of the piece beside it makes no class of its own
            left = before.level is None and v is not None and _continues(before.expr, b, v)
            right = e.has(X) and v is not None and _continues(e, b, v)
            if not (left or right):
                put(first, v)
            if not right:
                first = beside(first, dtype, True)
        put(first, e)
    return found


def _continues(e: Any, b: Any, v: Any) -> bool:
    """Whether a line takes the value v at the float b, also as `lower` computes it, in float64."""
    line = line_of(e)
    if line is None or not v.is_Rational or e.subs(X, b) != v:
        return False
    return float(b) * _constant(line[0]) + _constant(line[1]) == _constant(v)


def last_of(classes: list[FloatClass], k: int, dtype: torch.dtype) -> float:
    return beside(classes[k + 1].first, dtype, False) if k + 1 < len(classes) else math.inf


# --------------------------------------------------------------------------- steps


def _jump(a: float, b: float, dtype: torch.dtype) -> float | None:
    """d with a + d = b in floating point, or None."""
    kind = numpy_type(dtype)
    for d in _nudged(rounded_to(b - a, dtype), dtype):
        if math.isfinite(d) and float(kind(a) + kind(d)) == b:
            return d
    return None


def put_steps(b: Builder, firsts: Sequence[float], levels: Sequence[float]) -> Ref:
    """levels[k] from firsts[k] on; the first of firsts is -infinity. NaN gives NaN."""
    out = b.op("clamp", b.x, levels[0], levels[0])
    if levels[0] == 0 and max(levels) == 0:
        out = b.op("add", out, 0.0)  # a clamp may let -0.0 through, and no positive jump times 0 mends it
    for first, (low, high) in zip(firsts[1:], pairwise(levels), strict=True):
        here = b.op("ge", b.x, first)
        jump = _jump(low, high, b.dtype)
        if jump is not None:
            out = b.op("add", out, here, alpha=jump)
        else:  # erased where the next level begins
            out = b.op("addcmul", out, out, here, value=-1.0)
            out = b.op("add", out, here, alpha=high)
    return out


_WHOLE: dict[str, Callable[[Fraction], int]] = {"floor": math.floor, "ceil": math.ceil, "round": round}


def height_of(classes: list[FloatClass], dtype: torch.dtype) -> float | None:
    """c where the map is -c at every negative and c > 0 at every positive float, whatever it is at 0; else None."""
    low, high = classes[0], classes[-1]
    c = high.level
    if c is None or low.level is None or not 0 < c < math.inf or low.level != -c or len(classes) == 1:
        return None
    positive = beside(0.0, dtype, True)
    return c if -positive < classes[1].first and high.first <= positive else None


@dataclass(frozen=True)
class _Index:
    """The class of x as an integer: clamp(op(times x + plus), low, low + count - 1).

    ``op``: floor, ceil, round, or "" where ``plus`` is so large that the sum itself is rounded to an integer.
    ``wide``: times x + plus and op in float64 although x is float32; without op the return to float32 rounds.
    ``halved``: op((op(y) + 1)/2) for floor, op((op(y) - 1)/2) for ceil: halves go up or down, where y/2 + 1/2
    would lose the last bit of a y near 1.
    """

    op: str
    times: float
    plus: float
    low: float
    count: int
    wide: bool
    halved: bool = False

    def at(self, x: Fraction, dtype: torch.dtype, fused: bool) -> Fraction | None:
        y = _line_at(x, self.times, self.plus, torch.float64 if self.wide else dtype, fused)
        if y is None:
            return None
        r = Fraction(_WHOLE[self.op](y)) if self.op else y
        if self.halved:
            half = _round((r + self._way()) / 2, torch.float64 if self.wide else dtype)
            if half is None:
                return None
            r = Fraction(_WHOLE[self.op](half))
        if self.wide and not self.op:
            narrow = _round(r, dtype)
            if narrow is None:
                return None
            r = narrow
        return min(max(r, Fraction(self.low)), Fraction(self.low) + self.count - 1)

    def _way(self) -> int:
        return 1 if self.op == "floor" else -1

    def right(self, firsts: Sequence[float], dtype: torch.dtype) -> bool:
        """Whether every float of the type gets its class: the formula is monotone, so the ends of each class decide."""
        # beyond 2^24 (2^53) not every integer is a float: neither results nor bounds of the clamp
        return abs(self.low) + self.count <= 2 ** _SHAPES[dtype][0] and all(
            self.at(Fraction(x), dtype, fused) == Fraction(self.low) + k
            for fused in (True, False)
            for j, first in enumerate(firsts[1:], 1)
            for x, k in ((first, j), (beside(first, dtype, False), j - 1))
        )

    def build(self, b: Builder) -> Ref:
        x = b.widened() if self.wide else b.x
        out = x if (self.times, self.plus) == (1, 0) else b.plus(self.plus, x, self.times)
        out = b.op(self.op, out) if self.op else out
        if self.halved:
            out = b.op(self.op, b.plus(self._way() / 2, out, 0.5))
        return b.op("clamp", b.narrowed(out), self.low, self.low + self.count - 1)


@dataclass(frozen=True)
class _Levels:
    """Levels from integers r: shift + scale r, or (r + before) scale, or (r + before)/scale."""

    scale: float
    shift: float = 0.0
    before: float | None = None
    divide: bool = False

    def at(self, r: Fraction, dtype: torch.dtype, fused: bool) -> Fraction | None:
        if self.before is None:
            return _line_at(r, self.scale, self.shift, dtype, fused)
        before = Fraction(self.before)
        j = r + before
        if _round(before, dtype) != before or _round(j, dtype) != j:
            return None
        return _round(j / Fraction(self.scale) if self.divide else j * Fraction(self.scale), dtype)

    def right(self, low: float, levels: Sequence[float], dtype: torch.dtype) -> bool:
        """Whether every level comes out as its nearest float."""
        return all(
            self.at(Fraction(low) + k, dtype, fused) == Fraction(level)
            for fused in (True, False)
            for k, level in enumerate(levels)
        )

    def build(self, b: Builder, r: Ref) -> Ref:
        if self.before is None:
            return b.plus(self.shift, r, self.scale)
        r = b.op("add", r, self.before) if self.before else r
        if self.divide:
            out = b.op("div", r, b.cell(self.scale, r))
            # a sum that is 0 is 0.0, an integer may be -0.0
            return out if self.before and self.scale > 0 else b.op("add", out, 0.0)
        return b.plus(0.0, r, self.scale)


def _index_candidates(firsts: Sequence[float], dtype: torch.dtype, low: int, wide: bool) -> Any:
    """Formulas that may give the class of every float, cheap ones first. ``low``: the integer wished for class 0."""
    count = len(firsts)
    inner = torch.float64 if wide else dtype
    start = Fraction(firsts[1])
    width = (Fraction(firsts[-1]) - start) / (count - 2)
    times = _round(1 / width, inner) if width > 0 else None
    if times is None:
        return
    # the thresholds are rounded to floats, so a short rational nearby is the likelier reciprocal of the width
    short = _round(Fraction(float(times)).limit_denominator(1000), inner)
    slopes = [] if short is None or short == 0 else _nudged(float(short), inner)
    slopes += [a for a in _nudged(float(times), inner) if a not in slopes]
    for a in slopes:
        at = start * Fraction(a)
        half, whole = round(at - Fraction(1, 2)), round(at)
        if abs(half) < 2**20:
            magic = 3 * 2 ** (_SHAPES[dtype][0] - 2)
            yield from (_Index("", a, magic + odd, magic + odd + half, count, wide) for odd in (0, 1))
        # no offset: it would cost the bits of x near 0
        yield _Index("round", a, 0.0, half, count, wide)
        yield _Index("floor", a, 0.0, whole - 1, count, wide)
        yield _Index("ceil", a, 0.0, whole, count, wide)
        yield _Index("floor", 2 * a, 0.0, half, count, wide, True)
        yield _Index("ceil", 2 * a, 0.0, half, count, wide, True)
    for a in slopes:
        for op, part in (("floor", Fraction(1)), ("ceil", Fraction(0)), ("round", Fraction(1, 2))):
            plus = _round(part + low - start * Fraction(a), inner)
            if plus is not None:
                yield from (_Index(op, a, p, low, count, wide) for p in _nudged(float(plus), inner))


def _level_candidates(exact: Sequence[Fraction], low: float, dtype: torch.dtype) -> Any:
    step = exact[1] - exact[0]
    s, c = _round(step, dtype), _round(exact[0] - step * Fraction(low), dtype)
    if s is None:
        return
    if c is not None:
        yield from (_Levels(u, v) for u in _nudged(float(s), dtype) for v in _nudged(float(c), dtype, 1))
    before = exact[0] / step - Fraction(low)
    if Fraction(float(before)) == before:
        yield from (_Levels(u, 0.0, float(before)) for u in _nudged(float(s), dtype))
        if _round(1 / step, dtype) == 1 / step:
            yield _Levels(float(1 / step), 0.0, float(before), True)


def uniform_steps(classes: list[FloatClass], dtype: torch.dtype) -> tuple[_Index, _Levels] | None:
    """Formulas that are the step function on every float, or None."""
    exact = [e for c in classes if (e := _fraction(c.expr)) is not None]
    firsts, levels = [c.first for c in classes], [c.level for c in classes if c.level is not None]
    if len(exact) < max(3, len(classes)) or len({b - a for a, b in pairwise(exact)}) > 1 or exact[0] == exact[1]:
        return None
    if not all(map(math.isfinite, (*firsts[1:], *levels))):
        return None
    start = exact[0] / (exact[1] - exact[0])
    low = int(start) if start.denominator == 1 and abs(start) < 2**20 else 0
    # a float64 formula costs about as much as five comparisons
    for wide in (False, True) if dtype == torch.float32 and len(classes) > 5 else (False,):
        for index in _index_candidates(firsts, dtype, low, wide):
            if index.right(firsts, dtype):
                for finish in _level_candidates(exact, index.low, dtype):
                    if finish.right(index.low, levels, dtype):
                        return index, finish
    return None


# --------------------------------------------------------------------------- piecewise linear


def line_of(e: Any) -> tuple[Any, Any] | None:
    """(slope, intercept), both free of x, or None."""
    if not e.is_polynomial(X) or sp.degree(e, X) > 1:
        return None
    slope = e.coeff(X, 1) if e.has(X) else sp.Integer(0)
    return slope, e.subs(X, 0)


def fits(c: Any, dtype: torch.dtype) -> bool:
    """Whether the exact constant is a float of the type."""
    q = _fraction(c)
    return q is not None and _round(q, dtype) == q


def _is_power(c: Any) -> bool:
    q = _fraction(abs(c))
    return q is not None and q != 0 and {q.numerator, q.denominator} <= {2**k for k in range(31)}


def _one_rounding(slope: Any, shift: Any, dtype: torch.dtype) -> bool:
    """Whether slope x + shift is computed with one rounding, whichever way."""
    return (
        fits(slope, dtype)
        and fits(shift, dtype)
        and (shift == 0 or (_is_power(slope) and 2.0**-60 < abs(float(shift)) < 2.0**60))
    )


def put_line(b: Builder, e: Any, x: Ref) -> Ref:
    """A line with the roundings of `lower`: one, or in float64 those of a product and a sum."""
    line = line_of(e)
    assert line is not None
    slope, shift = line
    if _one_rounding(slope, shift, b.dtype):
        if slope == 1:
            return b.op("add", x, float(shift))
        return b.plus(float(shift), x, float(slope))
    if b.dtype == torch.float32:
        x = b.op("wide", x, wide=True)
    out = b.op("mul", x, _constant(slope)) if slope != 1 else x
    return b.narrowed(b.op("add", out, _constant(shift)))


def clamped_line(b: Builder, classes: list[FloatClass]) -> Ref | None:
    """A line between two levels (or one) that it does not leave: clamp(line, low, high)."""
    lines = [k for k, c in enumerate(classes) if c.level is None]
    if len(lines) != 1 or len(classes) not in (2, 3):
        return None
    k = lines[0]
    line = line_of(classes[k].expr)
    if line is None or not _one_rounding(*line, b.dtype) or k not in ({1} if len(classes) == 3 else {0, 1}):
        return None
    slope, shift = float(line[0]), float(line[1])
    before = classes[k - 1].level if k else None
    after = classes[k + 1].level if k + 1 < len(classes) else None
    bounds = [v for v in (before, after) if v is not None]
    if not all(map(math.isfinite, bounds)):
        return None
    low, high = (before, after) if slope > 0 else (after, before)

    def at(x: float) -> float:
        y = _line_at(Fraction(x), slope, shift, b.dtype, True)
        y_float = math.inf * (1 if slope * x > 0 else -1) if y is None else float(y)
        return min(max(y_float, -math.inf if low is None else low), math.inf if high is None else high)

    def plain(x: float) -> float | None:
        y = _line_at(Fraction(x), slope, shift, b.dtype, True)
        return None if y is None else float(y)

    # monotone in x: right on every float iff right at both ends of each class
    for j, first in [(j, c.first) for j, c in enumerate(classes)][1:]:
        for i, x in ((j, first), (j - 1, beside(first, b.dtype, False))):
            if not math.isfinite(x):
                return None
            wanted = classes[i].level if classes[i].level is not None else plain(x)
            if at(x) != wanted:
                return None
    out = b.x if (slope, shift) == (1, 0) else b.plus(shift, b.x, slope)
    options: dict[str, Any] = {name: v for name, v in (("min", low), ("max", high)) if v is not None}
    if out == b.x or 0.0 in options.values():
        return b.op("add", b.op("clamp", out, **options), 0.0)
    return b.op("clamp", out, **options)


def dead_zone(b: Builder, classes: list[FloatClass]) -> Ref | None:
    """slope (x - clamp(x, p, q)): two lines of one slope, a power of 2, with 0 between them."""
    if len(classes) != 3 or classes[1].level != 0:
        return None
    first, last = line_of(classes[0].expr), line_of(classes[2].expr)
    if first is None or last is None or first[0] != last[0] or not _is_power(first[0]):
        return None
    p, q = -first[1] / first[0], -last[1] / last[0]
    if not (fits(p, b.dtype) and fits(q, b.dtype) and all(2.0**-60 < abs(float(c)) < 2.0**60 for c in (p, q))):
        return None
    low, high = float(p), float(q)
    # the lines meet 0 at p and q, so only the float classes have to be the right ones
    if classes[1].first not in (low, beside(low, b.dtype, True)):
        return None
    if classes[2].first not in (high, beside(high, b.dtype, True)):
        return None
    out = b.op("sub", b.x, b.op("clamp", b.x, low, high))
    return out if first[0] == 1 else b.plus(0.0, out, float(first[0]))


def stepped_line(b: Builder, classes: list[FloatClass]) -> Ref | None:
    """steps(x) + slope x: lines of one slope, a power of 2."""
    slopes = [line[0] for c in classes if c.level is None and (line := line_of(c.expr)) is not None]
    if len(classes) < 2 or not slopes:
        return None
    lines: list[tuple[Any, Any] | None] = []
    for k, c in enumerate(classes):
        if c.level is None:
            lines.append(line_of(c.expr))
        else:  # a tie: one float, whose level is slope x + something as well
            alone = math.isfinite(c.first) and c.first == last_of(classes, k, b.dtype)
            lines.append((slopes[0], c.expr - slopes[0] * sp.Rational(c.first)) if alone else None)
    if any(line is None for line in lines):
        return None
    known = [line for line in lines if line is not None]
    slope = known[0][0]
    if any(line[0] != slope or not _one_rounding(*line, b.dtype) for line in known) or not _is_power(slope):
        return None
    steps = put_steps(b, [c.first for c in classes], [float(line[1]) for line in known])
    return b.op("add", steps, b.x, alpha=float(slope))


def clamped_steps(b: Builder, classes: list[FloatClass]) -> Ref | None:
    """clamp(slope x + steps(x), low, high): lines of one slope, a power of 2, that only jump up, between levels."""
    start = 1 if classes[0].level is not None else 0
    stop = len(classes) - (1 if classes[-1].level is not None else 0)
    inner = range(start, stop)
    slopes = [line[0] for k in inner if classes[k].level is None and (line := line_of(classes[k].expr)) is not None]
    if stop - start < 2 or not slopes or (start, stop) == (0, len(classes)):
        return None
    slope, shifts = slopes[0], []
    for k in inner:
        c = classes[k]
        alone = c.level is not None and math.isfinite(c.first) and c.first == last_of(classes, k, b.dtype)
        line = (slope, c.expr - slope * sp.Rational(c.first)) if alone else line_of(c.expr)
        if (c.level is not None and not alone) or line is None or line[0] != slope:
            return None
        if not _one_rounding(*line, b.dtype):
            return None
        shifts.append(float(line[1]))
    if not _is_power(slope) or sign_of(slope) < 0 or any(a > c for a, c in pairwise(shifts)):
        return None
    low = classes[0].level if start else None
    high = classes[-1].level if stop < len(classes) else None

    def shift(k: int) -> float:
        return shifts[min(max(k - start, 0), len(shifts) - 1)]

    def value(k: int, x: float, clamped: bool) -> float | None:
        y = _line_at(Fraction(x), float(slope), shift(k), b.dtype, True)
        if y is None or not clamped:
            return None if y is None else float(y)
        return min(max(float(y), -math.inf if low is None else low), math.inf if high is None else high)

    # monotone in x: right on every float iff right at both ends of each class
    for j, first in [(j, c.first) for j, c in enumerate(classes)][1:]:
        for k, x in ((j, first), (j - 1, beside(first, b.dtype, False))):
            if not math.isfinite(x):
                return None
            wanted = value(k, x, False) if start <= k < stop else classes[k].level
            if wanted is None or value(k, x, True) != wanted:
                return None
    steps = _shifts(b, [classes[k].first for k in inner], shifts)
    options: dict[str, Any] = {name: v for name, v in (("min", low), ("max", high)) if v is not None}
    out = b.op("clamp", b.op("add", steps, b.x, alpha=float(slope)), **options)
    # a sum is -0.0 only where both of its terms are
    return b.op("add", out, 0.0) if 0.0 in (*shifts, low, high) else out


def _shifts(b: Builder, firsts: Sequence[float], levels: Sequence[float]) -> Ref:
    """`put_steps` for a sum with x, which brings the NaN itself."""
    jumps = [_jump(low, high, b.dtype) for low, high in pairwise(levels)]
    if any(jump is None for jump in jumps):
        return put_steps(b, firsts, levels)
    out: Ref | None = None
    for first, jump in zip(firsts[1:], jumps, strict=True):
        assert jump is not None
        here = b.op("ge", b.x, first)
        out = b.plus(levels[0], here, jump) if out is None else b.op("add", out, here, alpha=jump)
    assert out is not None
    return out


__all__ = [
    "FloatClass",
    "beside",
    "clamped_line",
    "clamped_steps",
    "dead_zone",
    "fits",
    "float_classes",
    "height_of",
    "largest_of",
    "last_of",
    "line_of",
    "numpy_type",
    "put_line",
    "put_steps",
    "rounded_to",
    "stepped_line",
    "uniform_steps",
]
