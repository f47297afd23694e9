"""Exact maps of theory/ as numpy and torch functions. Nobody writes a map by hand a second time.

Where every element lies in the core of every piece, each piece is evaluated plainly and selected, which gives
the same bits as what follows. Otherwise four regions, tried in this order for every element, so that a value
is never the artefact of an overflow somewhere inside an expression:

- a breakpoint, where x *equals* it exactly: the stated tie value;
- the core |x| <= reach, where no subexpression can leave the range of float64: plain float64
  arithmetic on x clipped into the piece (so that branches not selected never overflow);
- the tail of an expression in x and u = exp(rate x), where all but the leading power of u are
  below 1e-20 of it: a rational function times one exponential;
- anything else, and any value that came out infinite or NaN: Arb, element by element. No training
  run gets there; 1e300 does.

float32 is computed in float64 and rounded once, which also makes its ties exact: the conversion to
float64 is exact, hence so is each comparison with a breakpoint.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import sympy as sp

from theory.analytic import exp_rational, limit_at
from theory.balls import arb
from theory.errors import InputError, Undecided
from theory.exact import X, compare, enclose, precision, sigmoid, to_float
from theory.maps import PiecewiseMap

Backend = Literal["numpy", "torch"]
Array = Any  # a numpy array or a torch tensor
Lowered = Callable[[Array], Array]

_EXPONENT = 300.0  # exp(300) = 2e130: two such factors and a power below 1e40 stay under 1.8e308
_POWER = 1e40  # largest power of a subexpression in the core
_OTHER_REACH = 2.0**30  # beyond it expressions without a normal form go to Arb (cancellation grows with x)
_NEGLIGIBLE = 1e-20  # terms of the tail below this part of the leading one are dropped (unit roundoff 1.1e-16)
_GROWING = (sp.exp, sp.sinh, sp.cosh)
_BOUNDED = (sp.tanh, sp.erf, sp.atan, sp.sin, sp.cos, sigmoid)


# --------------------------------------------------------------------------- the two backends


class _Numpy:
    """The operations of a lowered map on float64 numpy arrays."""

    def __init__(self) -> None:
        from scipy import special

        self.functions: dict[Any, Callable[[Any], Any]] = {
            sp.exp: np.exp,
            sp.log: np.log,
            sp.tanh: np.tanh,
            sp.sinh: np.sinh,
            sp.cosh: np.cosh,
            sp.atan: np.arctan,
            sp.sin: np.sin,
            sp.cos: np.cos,
            sp.erf: special.erf,
            sigmoid: special.expit,
            sp.Abs: np.abs,
        }
        self.where, self.isnan, self.isfinite, self.sqrt = np.where, np.isnan, np.isfinite, np.sqrt

    def clip(self, x: Any, lo: float, hi: float) -> Any:
        return np.clip(x, lo, hi)

    def full(self, x: Any, value: float) -> Any:
        return np.full(x.shape, value)

    def pick(self, thresholds: Any, table: Any, x: Any) -> Any:
        return table[np.searchsorted(thresholds, x, side="right")]

    def repair(self, out: Any, where: Any, x: Any, exact: Callable[[Any], Any]) -> Any:
        if not where.any():
            return out
        fixed = np.array(out)
        fixed[where] = exact(x[where])
        return fixed

    def call(self, work: Callable[[Any], Any], x: Any) -> Any:
        given = np.asarray(x)
        if given.dtype not in (np.float32, np.float64):
            raise InputError(f"a lowered map takes float32 or float64 arrays, not {given.dtype}")
        # overflow and invalid operations are deliberate here: their results are found and replaced
        with np.errstate(all="ignore"):
            return work(given.astype(np.float64, copy=False)).astype(given.dtype, copy=False)[()]

    def spread(self, x: Any, value: Any) -> Any:
        return np.asarray(value) if np.shape(value) == x.shape else np.full(x.shape, value)


class _Torch:
    """The operations of a lowered map on float64 torch tensors, on the tensor's own device."""

    def __init__(self) -> None:
        import torch

        self.torch = torch
        self.functions: dict[Any, Callable[[Any], Any]] = {
            sp.exp: torch.exp,
            sp.log: torch.log,
            sp.tanh: torch.tanh,
            sp.sinh: torch.sinh,
            sp.cosh: torch.cosh,
            sp.atan: torch.atan,
            sp.sin: torch.sin,
            sp.cos: torch.cos,
            sp.erf: torch.erf,
            sigmoid: torch.sigmoid,
            sp.Abs: torch.abs,
        }
        self.where, self.isnan, self.isfinite, self.sqrt = torch.where, torch.isnan, torch.isfinite, torch.sqrt

    def clip(self, x: Any, lo: float, hi: float) -> Any:
        return self.torch.clamp(x, lo, hi)

    def full(self, x: Any, value: float) -> Any:
        return self.torch.full_like(x, value)

    def pick(self, thresholds: Any, table: Any, x: Any) -> Any:
        edges = self.torch.as_tensor(thresholds, device=x.device)
        return self.torch.as_tensor(table, device=x.device)[self.torch.bucketize(x, edges, right=True)]

    def repair(self, out: Any, where: Any, x: Any, exact: Callable[[Any], Any]) -> Any:
        if not bool(where.any()):
            return out
        fixed = out.clone()
        fixed[where] = self.torch.as_tensor(exact(x[where].cpu().numpy()), device=x.device)
        return fixed

    def call(self, work: Callable[[Any], Any], x: Any) -> Any:
        if not self.torch.is_tensor(x) or x.dtype not in (self.torch.float32, self.torch.float64):
            kind = x.dtype if self.torch.is_tensor(x) else type(x).__name__
            raise InputError(f"a lowered map takes float32 or float64 tensors, not {kind}")
        # training defines its own backward; autograd through unselected branches would give NaN
        with self.torch.no_grad():
            return work(x.to(self.torch.float64)).to(x.dtype)

    def spread(self, x: Any, value: Any) -> Any:
        return value if self.torch.is_tensor(value) else self.full(x, value)


@lru_cache(maxsize=2)
def _backend(name: str) -> Any:
    if name == "numpy":
        return _Numpy()
    if name == "torch":
        return _Torch()
    raise InputError(f"the backend must be numpy or torch, not {name!r}")


# --------------------------------------------------------------------------- expressions


def _constant(c: Any) -> float:
    """float64 of an exact constant; +-inf beyond its range, NaN where it is undefined."""
    if c in (sp.nan, sp.zoo):
        return math.nan
    try:
        return to_float(c)
    except OverflowError:
        return math.inf if c > 0 else -math.inf


def _compile(e: Any, ops: Any) -> Lowered:
    """Plain float64 evaluation of an expression, one closure per node."""
    if e == X:
        return lambda x: x
    if not e.has(X):
        value = _constant(e)
        return lambda x: value
    if e.is_Add:
        return _fold(e.args, ops, lambda a, b: a + b)
    if e.is_Mul:
        over = [f for f in e.args if f.has(X) and _is_inverse(f)]
        top = [f for f in e.args if f not in over]
        if over:
            # one division, not a product with a rounded reciprocal
            below = _compile(sp.Mul(*[f.base ** (-f.exp) for f in over]), ops)
            above = _compile(sp.Mul(*top), ops)
            return lambda x: above(x) / below(x)
        return _fold(e.args, ops, lambda a, b: a * b)
    if e.is_Pow:
        return _compile_power(e, ops)
    function = ops.functions.get(e.func)
    if function is None:
        raise Undecided(f"the function {e.func.__name__} cannot be lowered")
    inner = _compile(e.args[0], ops)
    return lambda x: function(inner(x))


def _is_inverse(e: Any) -> bool:
    return bool(e.is_Pow and e.base is not sp.E and e.exp.is_Rational and e.exp < 0)


def _fold(args: Any, ops: Any, op: Callable[[Any, Any], Any]) -> Lowered:
    parts = [_compile(a, ops) for a in args]

    def run(x: Array) -> Array:
        total = parts[0](x)
        for part in parts[1:]:
            total = op(total, part(x))
        return total

    return run


def _compile_power(e: Any, ops: Any) -> Lowered:
    base, exponent = e.args
    if not exponent.is_Rational:
        power = _compile(exponent * sp.log(base), ops)
        return lambda x: ops.functions[sp.exp](power(x))
    inner = _compile(base, ops)
    if exponent < 0:
        below = _compile(base**-exponent, ops)
        return lambda x: 1.0 / below(x)
    whole, rest = divmod(exponent, 1)
    n, half = int(whole), rest == sp.Rational(1, 2)
    if rest != 0 and not half:
        p = to_float(exponent)
        return lambda x: inner(x) ** p

    def run(x: Array) -> Array:
        z = inner(x)
        root = ops.sqrt(z) if half else None
        if n == 0:
            return root
        # squares by one multiplication; higher powers by the library's correctly scaled routine
        product = z if n == 1 else z * z if n == 2 else z**n
        return product if root is None else product * root

    return run


def _majorant(e: Any, w: float, top: list[float]) -> float:
    """A bound of |e| on |x| <= w; ``top`` collects [largest argument of an exponential, largest power]."""
    if e == X:
        return w
    if not e.has(X):
        return abs(_constant(e))
    parts = [_majorant(a, w, top) for a in e.args]
    if e.is_Add:
        return math.fsum(parts)
    if e.is_Mul:
        return math.prod(parts)
    if e.is_Pow and e.exp.is_Rational:
        size = parts[0] ** abs(to_float(e.exp))
        top[1] = max(top[1], size)
        return 1.0 if e.exp < 0 else size  # a small denominator shows as an infinity and is repaired
    if isinstance(e, _GROWING):
        top[0] = max(top[0], parts[0])
        return math.exp(parts[0])
    if isinstance(e, _BOUNDED):
        return 2.0
    if isinstance(e, sp.log):
        return 800.0
    return parts[0] if isinstance(e, sp.Abs) else math.inf


def _core_reach(e: Any) -> float:
    """The largest w = 2^(j/8) such that plain evaluation on |x| <= w has no inner overflow; 0 if none."""
    if e.is_polynomial(X) and sp.degree(e, X) <= 1:
        return math.inf

    def fine(j: int) -> bool:
        top = [0.0, 0.0]
        try:
            size = _majorant(e, 2.0 ** (j / 8), top)
        except OverflowError:
            return False
        return size < 1e300 and top[0] <= _EXPONENT and top[1] <= _POWER

    cap = 8 * (500 if exp_rational(e) is not None else int(math.log2(_OTHER_REACH)))
    lo, hi = -480, cap + 1
    if not fine(lo):
        return 0.0
    while hi - lo > 1:
        mid = (lo + hi) // 2
        lo, hi = (mid, hi) if fine(mid) else (lo, mid)
    return 2.0 ** (lo / 8)


@dataclass(frozen=True)
class _Tail:
    """value = above(x)/below(x) * exp(rate x) for start <= side * x <= stop."""

    start: float
    stop: float
    above: tuple[float, ...]
    below: tuple[float, ...]
    rate: float

    def values(self, x: Array, ops: Any) -> Array:
        r = _horner(self.above, x) / _horner(self.below, x)
        if self.rate == 0:
            return r
        # in two halves, so that a large rational factor meets the exponential before it underflows
        half = ops.functions[sp.exp](0.5 * self.rate * x)
        return r * half * half


def _horner(coefficients: tuple[float, ...], x: Array) -> Array:
    total = coefficients[0] + 0.0 * x
    for c in coefficients[1:]:
        total = total * x + c
    return total


def _tail(e: Any, side: int) -> _Tail | None:
    """The tail of an expression in x and exp(rate x), towards side * infinity."""
    form = exp_rational(e)
    if form is None or form.rate == 0 or form.num.is_zero:
        return None
    rate = to_float(form.rate)
    start, stop, leads, powers = min(1.0, 1.0 / abs(rate)), math.inf, [], []
    for poly in (form.num, form.den):
        terms = [(int(i), int(k), _constant(sp.sympify(c))) for (i, k), c in poly.terms()]
        if not all(1e-150 < abs(c) < 1e150 and i < 40 for i, _, c in terms):
            return None  # Arb does these
        k0 = max(side * k for _, k, _ in terms)
        lead = {i: c for i, k, c in terms if side * k == k0}
        i0 = max(lead)
        # beyond this the leading coefficient, a polynomial in x, is at least half its highest term
        start = max(start, 2 * sum(abs(c) for i, c in lead.items() if i != i0) / abs(lead[i0]))
        rest = [(i - i0, (k0 - side * k) * rate, 2 * abs(c / lead[i0])) for i, k, c in terms if side * k != k0]
        start = max([start, *(i / q for i, q, _ in rest)])  # x^i exp(-q x) decreases from i/q on
        while sum(c * math.exp(i * math.log(start) - q * start) for i, q, c in rest) > _NEGLIGIBLE:
            start *= 1.25
        stop = min(stop, 1e100 ** (1 / max(i0, 1)))
        leads.append(tuple(lead.get(i, 0.0) for i in range(i0, -1, -1)))
        powers.append(side * k0)
    if stop <= start:
        return None
    return _Tail(start, stop, leads[0], leads[1], (powers[0] - powers[1]) * rate)


def exact_value(e: Any, x: float) -> float:
    """The float64 nearest to e(x) for one float x (or the exact limit at +-inf, NaN where there is none), by Arb.

    Where |x| >= 1e6 and no enclosure is finite, the limit on that side. Raises `Undecided` where
    neither an enclosure nor a limit settles it.
    """
    if math.isinf(x):
        try:
            return _constant(limit_at(e, sp.oo if x > 0 else -sp.oo, -1))
        except Undecided:  # a sine has none; IEEE arithmetic answers NaN too
            return math.nan
    for bits in (200, 800, 3200):
        with precision(bits):
            ball = enclose(e, arb(x))
            if ball.is_finite() and (ball.rad() <= abs(ball.mid()) * 2.0**-60 or abs(ball) < arb(2) ** -1100):
                return float(ball.mid())
    # 3200 bits hold exp(x^2) at any float; what overflows even so, like exp(exp(1e300)), gets its limit
    if abs(x) < 1e6:
        raise Undecided(f"the value of {e} at {x!r} could not be enclosed")
    return _constant(limit_at(e, sp.oo if x > 0 else -sp.oo, -1))


# --------------------------------------------------------------------------- maps


@dataclass(frozen=True)
class _Piece:
    """One open piece with x in its expression: its floats are [lo, hi], plain evaluation serves ``core``."""

    expr: Any
    lo: float
    hi: float
    reach: float
    core: tuple[float, float]
    plain: Lowered
    tails: tuple[tuple[int, _Tail], ...]

    def exact(self, some: Any) -> Any:
        """`exact_value` for a short vector."""
        return np.array([exact_value(self.expr, float(t)) for t in some])

    def values(self, x: Array, ops: Any) -> Array:
        """Values for all x, right where x lies in this piece and is finite."""
        unknown = math.nan
        lo, hi = self.core
        if lo <= hi:
            out = self.plain(ops.clip(x, lo, hi))
            out = ops.where((x >= lo) & (x <= hi), out, unknown)
        else:
            out = ops.full(x, unknown)
        for side, tail in self.tails:
            a, b = sorted((side * tail.start, side * tail.stop))
            outside = (x > hi) if side > 0 else (x < lo)
            out = ops.where(outside & (x >= a) & (x <= b), tail.values(ops.clip(x, a, b), ops), out)
        return out


def _first_float_above(b: Any) -> float:
    """The smallest float64 that is strictly above the exact constant b."""
    f = _constant(b)
    if math.isinf(f):
        return f if f > 0 else -float(np.finfo(np.float64).max)
    return f if compare(sp.Rational(f), b) > 0 else math.nextafter(f, math.inf)


def _is_float(b: Any) -> bool:
    f = _constant(b)
    return bool(b.is_Rational and math.isfinite(f) and sp.Rational(f) == b)


def _last_float_below(b: Any) -> float:
    return -_first_float_above(-b)


@lru_cache(maxsize=2000)
def lower(m: PiecewiseMap, backend: Backend = "numpy") -> Lowered:
    """The map as a function of float32 or float64 arrays (numpy) or tensors (torch) of any shape.

    The stated value at a breakpoint is taken iff x equals it exactly (a breakpoint that is no float
    has none); +-inf gives the exact limit, which may be infinite; NaN gives NaN; a breakpoint
    without a finite value, and a piece outside a function's domain, give NaN. The result has the
    dtype and shape of x. Not differentiable by autograd.

    Raises `InputError` for integer arrays and unknown backends (at the call, at once), `Undecided`
    for a map with infinitely many breakpoints.
    """
    ops = _backend(backend)
    if m.windowed:
        raise Undecided("a map with infinitely many breakpoints cannot be lowered")
    thresholds = np.array([_first_float_above(b) for b in m.breaks])
    table = np.array([_constant(e) if not e.has(X) else math.nan for e in m.exprs])
    ties = [
        (_constant(b), math.nan if v is None else _constant(v))
        for b, v in zip(m.breaks, m.values, strict=True)
        if _is_float(b)
    ]
    pieces = []
    largest = float(np.finfo(np.float64).max)
    for e, (a, b) in zip(m.exprs, m.ends, strict=True):
        if not e.has(X):
            continue
        lo = -math.inf if a == -sp.oo else _first_float_above(a)
        hi = math.inf if b == sp.oo else _last_float_below(b)
        if lo > hi:
            continue  # no float lies between the two breakpoints
        reach = _core_reach(e)
        tails = tuple((side, t) for side in (-1, 1) if (t := _tail(e, side)) is not None) if reach < largest else ()
        reach = min(reach, largest)
        core = (max(lo, -reach), min(hi, reach)) if reach > 0 else (1.0, 0.0)
        pieces.append(_Piece(e, lo, hi, reach, core, _compile(e, ops), tails))
    plainly = _plainly(m, ops, thresholds, table, ties, pieces)

    def work(given: Array) -> Array:
        x = given + 0.0  # one zero: -0.0 becomes 0.0
        quick = plainly(x)
        if quick is not None:
            return quick
        out = ops.pick(thresholds, table, x) if m.breaks else ops.full(x, float(table[0]))
        for piece in pieces:
            values = piece.values(x, ops)
            inside = (x >= piece.lo) & (x <= piece.hi)  # ties and NaN lie in no piece
            values = ops.repair(values, inside & ~ops.isfinite(values), x, piece.exact)
            out = ops.where(inside, values, out)
        for at, value in ties:
            out = ops.where(x == at, value, out)
        return ops.where(ops.isnan(x), x, out)

    def lowered(x: Array) -> Array:
        return ops.call(work, x)

    return lowered


def _jumps(levels: list[Any]) -> list[float] | None:
    """The jumps of a step function whose sums give its levels without rounding; None if they do not."""
    if not all(isinstance(c, float) and math.isfinite(c) for c in levels) or len(levels) < 2:
        return None
    jumps = [b - a for a, b in pairwise(levels)]
    total = levels[0]
    for jump, level in zip(jumps, levels[1:], strict=True):
        total = total + jump
        if total != level or (level == 0 and math.copysign(1.0, level) < 0):
            return None
    return jumps


def _value(part: Any, x: Array) -> Any:
    return part if isinstance(part, float) else part(x)


def _plainly(
    m: PiecewiseMap, ops: Any, thresholds: Any, table: Any, ties: list[tuple[float, float]], pieces: list[_Piece]
) -> Callable[[Array], Array | None]:
    """x -> the map's values by plain evaluation alone, None where that is not known to be right."""
    reach = min((p.reach for p in pieces), default=float(np.finfo(np.float64).max))
    by_expr = {p.expr: p.plain for p in pieces}
    clips = m.exprs[1:2] == (X,) and len(m.breaks) == 2 and m.exprs[::2] == m.breaks == m.values
    if clips and all(map(_is_float, m.breaks)):
        low, high = map(_constant, m.breaks)
        return lambda x: None if 0 in x.shape or bool(ops.isnan(x).any()) else ops.clip(x, low, high)
    parts: list[Any] = [by_expr.get(e) if e.has(X) else float(v) for e, v in zip(m.exprs, table, strict=True)]
    unknown = any(p is None for p in parts)  # a piece that holds no float has no plain evaluation
    levels = all(isinstance(p, float) and math.isfinite(p) for p in parts)
    bounded = reach < float(np.finfo(np.float64).max)
    jumps = _jumps(parts) if isinstance(ops, _Numpy) else None

    tied = [value for _, value in ties]

    def values(x: Array) -> Array | None:
        if unknown or 0 in x.shape:
            return None
        highest = float(x.max())  # NaN if any is
        if not highest <= reach or (bounded and not float(x.min()) >= -reach):
            return None
        # torch.where of two Python numbers would make a float32 tensor
        out = ops.spread(x, parts[0]) if isinstance(parts[0], float) and jumps is None else _value(parts[0], x)
        if jumps is not None:  # sums of jumps are faster than selections
            for edge, jump in zip(thresholds, jumps, strict=True):
                out = out + (x >= float(edge)) * jump
        else:
            for edge, part in zip(thresholds, parts[1:], strict=True):
                out = ops.where(x >= float(edge), _value(part, x), out)
        for at, value in ties:
            here = x == at
            if bool(here.any()):
                out = ops.where(here, value, out)
        out = ops.spread(x, out)
        finite = levels and all(map(math.isfinite, tied))
        return out if finite or bool(ops.isfinite(out).all()) else None

    return values


__all__ = ["Backend", "Lowered", "exact_value", "lower"]
