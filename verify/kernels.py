"""Exact maps of theory/ as fast elementwise torch kernels: one straight-line program per map and float type.

A program is a list of torch operations. `Kernel.__call__` runs it in place, on blocks that stay in the
processor's cache, with ``out=`` everywhere; `Kernel.pure` runs the same operations as functions. There is
no branch on data (but one: a block of SS or SS' without large x skips operations that would change no bit),
NaN arises from the operations themselves (clamp(x, c, c) is c, or NaN), and no formula of a quantizer is
written here: the shape of the exact map is recognised and the fast form is shown to be right.

- *Steps.* On the floats of one type a step function is a list (T_k, level_k), T_k the smallest float of
  class k; a tie that is neither neighbour is a class of one float. level_0 + sum (level_k - level_{k-1})
  [x >= T_k] is used where these sums are exact.
- *Uniform steps.* g(f(x)), f a composition of correctly rounded monotone operations such as
  clamp(floor(a x + b)), is monotone, so it is the step function on all floats iff it is right at each T_k
  and at the float below it. These 2 (K - 1) floats are checked in rational arithmetic, with and without
  fused multiplication, as are the K levels; what fails is not used.
- *Piecewise linear.* Clamped lines (by the same argument), x - clamp(x, a, b), steps plus a line; each with
  one rounding, or in float64. Otherwise pieces are evaluated on x clamped into them, and masked.
- *Smooth.* SS and SS' share u = exp(-2 |z|), z = b x/2, v = u/(1 + u) and w = v - v^2, that is
  1/(2 cosh z)^2: SS = tanh z + 4 z w, SS' = 4 b (1 - |z| + 2 |z| v) w. Other expressions are first rewritten
  without cancellation and overflow: 1 - tanh^2 z = 4 u/(1 + u)^2, 1 + erf z = erfc(-z), ...
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise
from typing import Any, Literal

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from theory.catalogue import TRANSFORM_LIBRARY
from theory.errors import InputError, Undecided
from theory.exact import X, compare, equal, sigmoid, sign_of
from theory.maps import PiecewiseMap
from verify.lowering import _constant, _core_reach, exact_value, lower

Kind = Literal["identity", "constant", "levels", "uniform", "piecewise linear", "swish", "smooth", "general"]

_BLOCK = 65536  # elements: a few buffers of 256 KiB fit a second-level cache, and an operation outlasts its call
_GPU_BLOCK = 2**24
_DTYPES = (torch.float32, torch.float64)


# --------------------------------------------------------------------------- programs


@dataclass(frozen=True)
class _Ref:
    """The result of an operation of a program; 0 is x."""

    at: int


@dataclass(frozen=True)
class _Cell:
    """A constant as a tensor without dimensions, so that it can be the first operand."""

    value: float
    wide: bool


Arg = Any  # _Ref, _Cell or a float


@dataclass(frozen=True)
class _Op:
    """One operation; ``wide``: its result is float64 although x is float32."""

    name: str
    args: tuple[Arg, ...]
    options: tuple[tuple[str, float], ...]
    wide: bool


_PLAIN: dict[str, Any] = {
    name: getattr(torch, name)
    for name in (
        *("add", "sub", "mul", "div", "clamp", "floor", "ceil", "round", "exp", "log", "tanh", "sinh", "cosh", "sin"),
        *("cos", "atan", "atan2", "erf", "erfc", "sigmoid", "abs", "sqrt", "square", "reciprocal", "pow", "hypot"),
        "addcmul",
    )
}


def _copied(a: Tensor, *, out: Tensor) -> Tensor:
    return out.copy_(a)


def _where_into(mask: Tensor, a: Any, b: Tensor, *, out: Tensor) -> Tensor:
    return out.copy_(_where(mask, a, b))


def _where(mask: Tensor, a: Any, b: Tensor) -> Tensor:
    return torch.where(mask != 0, a, b)


_PURE: dict[str, Callable[..., Tensor]] = {
    **_PLAIN,
    "ge": lambda a, t: torch.ge(a, t).to(a.dtype),
    "lt": lambda a, t: torch.lt(a, t).to(a.dtype),
    "wide": lambda a: a.to(torch.float64),
    "narrow": lambda a: a.to(torch.float32),
    "copy": lambda a: a.clone(),
    "where": _where,
}
_INTO: dict[str, Callable[..., Tensor]] = {
    **_PLAIN,
    "ge": torch.ge,
    "lt": torch.lt,
    "wide": _copied,
    "narrow": _copied,
    "copy": _copied,
    "where": _where_into,
}


class _Builder:
    """Collects the operations of a program; equal operations are done once."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.ops: list[_Op] = []
        self.known: dict[_Op, _Ref] = {}
        self.x = _Ref(0)

    def op(self, name: str, *args: Arg, wide: bool | None = None, **options: Any) -> _Ref:
        if wide is None:
            wide = any(isinstance(a, _Ref) and self.is_wide(a) for a in args)
        made = _Op(name, args, tuple(sorted(options.items())), wide)
        if made not in self.known:
            self.ops.append(made)
            self.known[made] = _Ref(len(self.ops))
        return self.known[made]

    def is_wide(self, ref: _Ref) -> bool:
        return ref.at > 0 and self.ops[ref.at - 1].wide

    def cell(self, value: float, like: _Ref) -> _Cell:
        return _Cell(value, self.is_wide(like))

    def plus(self, c: float, a: _Ref, times: float = 1.0) -> _Ref:
        """c + times a in one pass, never -0.0."""
        return self.op("add", self.cell(c, a), a, alpha=times)

    def widened(self) -> _Ref:
        return self.op("wide", self.x, wide=True) if self.dtype == torch.float32 else self.x

    def narrowed(self, a: _Ref) -> _Ref:
        return self.op("narrow", a, wide=False) if self.is_wide(a) else a


class _Program:
    """Operations with buffers assigned: results live in the outputs or in scratch, and never in x.

    ``core``: a shorter program that gives the same bits where |x| <= ``limit``.
    """

    def __init__(
        self, builder: _Builder, outputs: Sequence[_Ref], core: _Program | None = None, limit: float = math.inf
    ) -> None:
        self.core, self.limit = core, limit
        results = list(outputs)
        for i, ref in enumerate(results):
            if ref.at == 0 or ref in results[:i]:
                builder.ops.append(_Op("copy", (ref,), (), builder.is_wide(ref)))
                results[i] = _Ref(len(builder.ops))
        needed, stack = set[int](), [r.at for r in results]
        while stack:
            at = stack.pop()
            if at and at not in needed:
                needed.add(at)
                stack += [a.at for a in builder.ops[at - 1].args if isinstance(a, _Ref)]
        order = sorted(needed)
        place = {0: 0} | {at: i + 1 for i, at in enumerate(order)}
        self.dtype = builder.dtype
        self.ops = [
            _Op(o.name, tuple(_Ref(place[a.at]) if isinstance(a, _Ref) else a for a in o.args), o.options, o.wide)
            for o in (builder.ops[at - 1] for at in order)
        ]
        self.results = [place[r.at] for r in results]
        self._assign()

    def _assign(self) -> None:
        """Buffers by last use: an operation may write over an operand that nobody reads later."""
        last = {a.at: i for i, o in enumerate(self.ops, 1) for a in o.args if isinstance(a, _Ref)}
        last |= dict.fromkeys(self.results, len(self.ops) + 1)
        free: dict[bool, list[int]] = {False: [], True: []}
        buffers: list[bool] = []  # whether each is wide
        where: dict[int, int] = {}
        for i, o in enumerate(self.ops, 1):
            done = {a.at for a in o.args if isinstance(a, _Ref) and a.at and last[a.at] == i}
            same = [at for at in done if self.ops[at - 1].wide == o.wide]
            fresh = o.name == "where"  # reads its operands after it began to write
            if same and not fresh:
                where[i] = where[same[0]]
                done.discard(same[0])
            elif free[o.wide]:
                where[i] = free[o.wide].pop()
            else:
                where[i] = len(buffers)
                buffers.append(o.wide)
            for at in done:
                free[self.ops[at - 1].wide].append(where[at])
        outputs = [where[r] for r in self.results]
        rest = [b for b in range(len(buffers)) if b not in outputs]
        self.scratch = [buffers[b] for b in rest]
        renamed = {b: 1 + i for i, b in enumerate([*outputs, *rest])}
        fixed = dict.fromkeys(a for o in self.ops for a in o.args if not isinstance(a, _Ref))
        self.fixed = list(fixed)  # constants, as 0-d tensors or numbers
        spot = {a: 1 + len(buffers) + i for i, a in enumerate(self.fixed)}
        self.steps = []
        for i, o in enumerate(self.ops, 1):
            spots = [spot[a] if not isinstance(a, _Ref) else renamed[where[a.at]] if a.at else 0 for a in o.args]
            self.steps.append((_INTO[o.name], tuple(spots), dict(o.options), renamed[where[i]]))
        # x may be the k-th output where that is written only after (or while) x is read for the last time
        reads = last.get(0, 0)
        self.aliases = [
            all(i >= reads for i in range(1, len(self.ops) + 1) if renamed[where[i]] == k + 1)
            for k in range(len(outputs))
        ]
        self._fixed: dict[torch.device, list[Any]] = {}

    def _made(self, device: torch.device) -> list[Any]:
        found = self._fixed.get(device)
        if found is None:
            found = [
                torch.tensor(c.value, dtype=self._type(c.wide), device=device) if isinstance(c, _Cell) else c
                for c in self.fixed
            ]
            self._fixed[device] = found
        return found

    def _type(self, wide: bool) -> torch.dtype:
        return torch.float64 if wide else self.dtype

    def into(self, x: Tensor, outs: Sequence[Tensor], shared: Sequence[bool]) -> None:
        """Run on contiguous x into contiguous outs of its shape; ``shared[k]``: outs[k] is x itself."""
        n = x.numel()
        if n == 0:
            return
        block = _BLOCK if x.device.type == "cpu" else _GPU_BLOCK
        parts = [(x, *outs)]
        if n > block:
            parts = list(zip(*(t.view(-1).split(block) for t in (x, *outs)), strict=True))
        shape = parts[0][0].shape
        held = None
        if any(
            same and not fine
            for p in ((self,) if self.core is None else (self, self.core))
            for same, fine in zip(shared, p.aliases, strict=True)
        ):
            held = torch.empty(shape, dtype=x.dtype, device=x.device)
        guarded = self.core is not None and x.device.type == "cpu"
        kept: dict[bool, list[Any]] = {}
        for part in parts:
            if part[0].shape != shape:  # the last one
                shape = part[0].shape
                held = held[: len(part[0])] if held is not None else None
                kept = {}
            inside = guarded and float(part[0].amax()) <= self.limit and float(part[0].amin()) >= -self.limit
            program = self.core if inside and self.core is not None else self
            if inside not in kept:
                kept[inside] = program._buffers(shape, x.device)
            regs: list[Any] = [*part, *kept[inside]]
            if held is not None:
                regs[0] = held.copy_(part[0])
            for run, spots, options, to in program.steps:
                run(*[regs[s] for s in spots], out=regs[to], **options)

    def _buffers(self, shape: torch.Size, device: torch.device) -> list[Any]:
        """Scratch, and after it the constants."""
        scratch = [torch.empty(shape, dtype=self._type(wide), device=device) for wide in self.scratch]
        return [*scratch, *self._made(device)]

    def pure(self, x: Tensor) -> list[Tensor]:
        """The same operations as functions of the whole of x."""
        made: list[Any] = [x.contiguous()]  # strided loops call other exponentials
        for o in self.ops:
            args = []
            for a in o.args:
                if isinstance(a, _Ref):
                    args.append(made[a.at])
                elif isinstance(a, _Cell):
                    args.append(torch.full((), a.value, dtype=self._type(a.wide), device=x.device))
                else:
                    args.append(a)
            made.append(_PURE[o.name](*args, **dict(o.options)))
        return [made[r] for r in self.results]


# --------------------------------------------------------------------------- floats


def _numpy(dtype: torch.dtype) -> Any:
    return np.float32 if dtype == torch.float32 else np.float64


def _largest(dtype: torch.dtype) -> float:
    return float(np.finfo(_numpy(dtype)).max)


def _rounded(c: float, dtype: torch.dtype) -> float:
    """A float64 rounded to the type, as a float64; beyond its range infinite."""
    with np.errstate(over="ignore"):
        return float(_numpy(dtype)(c))


def _beside(c: float, dtype: torch.dtype, up: bool) -> float:
    kind = _numpy(dtype)
    with np.errstate(over="ignore", under="ignore"):
        return float(np.nextafter(kind(c), kind(math.inf if up else -math.inf)))


def _nudged(c: float, dtype: torch.dtype, most: int = 2) -> list[float]:
    """c and its neighbours, the nearest first."""
    found, low, high = [c], c, c
    for _ in range(most):
        low, high = _beside(low, dtype, False), _beside(high, dtype, True)
        found += [high, low]
    return found


def _first_at(b: Any, dtype: torch.dtype) -> tuple[float, bool]:
    """The smallest float of the type that is at least the exact constant b, and whether it equals b."""
    f = _rounded(_constant(b), dtype)
    if math.isinf(f):
        return (f if f > 0 else -_largest(dtype)), False
    while compare(sp.Rational(f), b) < 0:
        f = _beside(f, dtype, True)
        if math.isinf(f):
            return f, False
    while math.isfinite(below := _beside(f, dtype, False)) and compare(sp.Rational(below), b) >= 0:
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
class _Class:
    """The floats from ``first`` up to the next class: a level, or an expression in x."""

    first: float
    level: float | None
    expr: Any  # exact; the level's where it is one


def _classes(m: PiecewiseMap, dtype: torch.dtype) -> list[_Class]:
    """The map on the floats of one type, by increasing first float; the first begins at -infinity."""
    found: list[_Class] = []

    def put(first: float, e: Any) -> None:
        if found and found[-1].first >= first:
            found.pop()  # no float lies in that piece
        level = None
        if e is None or not e.has(X):
            level = math.nan if e is None else _rounded(_constant(e), dtype) + 0.0
        before = found[-1] if found else None
        if before is not None and (before.level == level if level is not None else before.expr == e):
            return
        found.append(_Class(first, level, sp.nan if e is None else e))

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
                first = _beside(first, dtype, True)
        put(first, e)
    return found


def _continues(e: Any, b: Any, v: Any) -> bool:
    """Whether a line takes the value v at the float b, also as `lower` computes it, in float64."""
    line = _line(e)
    if line is None or not v.is_Rational or e.subs(X, b) != v:
        return False
    return float(b) * _constant(line[0]) + _constant(line[1]) == _constant(v)


def _last_of(classes: list[_Class], k: int, dtype: torch.dtype) -> float:
    return _beside(classes[k + 1].first, dtype, False) if k + 1 < len(classes) else math.inf


# --------------------------------------------------------------------------- steps


def _jump(a: float, b: float, dtype: torch.dtype) -> float | None:
    """d with a + d = b in floating point, or None."""
    kind = _numpy(dtype)
    for d in _nudged(_rounded(b - a, dtype), dtype):
        if math.isfinite(d) and float(kind(a) + kind(d)) == b:
            return d
    return None


def _steps(b: _Builder, firsts: Sequence[float], levels: Sequence[float]) -> _Ref:
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


@dataclass(frozen=True)
class _Index:
    """The class of x as an integer: clamp(op(times x + plus), low, low + count - 1).

    ``op``: floor, ceil, round, or "" where ``plus`` is so large that the sum itself is rounded to an integer.
    ``wide``: times x + plus and op in float64 although x is float32. ``halved``: op((op(y) + 1)/2) for floor,
    op((op(y) - 1)/2) for ceil: halves go up or down, where y/2 + 1/2 would lose the last bit of a y near 1.
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
        return min(max(r, Fraction(self.low)), Fraction(self.low) + self.count - 1)

    def _way(self) -> int:
        return 1 if self.op == "floor" else -1

    def right(self, firsts: Sequence[float], dtype: torch.dtype) -> bool:
        """Whether every float of the type gets its class: the formula is monotone, so the ends of each class decide."""
        return all(
            self.at(Fraction(x), dtype, fused) == Fraction(self.low) + k
            for fused in (True, False)
            for j, first in enumerate(firsts[1:], 1)
            for x, k in ((first, j), (_beside(first, dtype, False), j - 1))
        )

    def build(self, b: _Builder) -> _Ref:
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
        j = r + Fraction(self.before)
        if _round(j, dtype) != j:
            return None
        return _round(j / Fraction(self.scale) if self.divide else j * Fraction(self.scale), dtype)

    def right(self, low: float, levels: Sequence[float], dtype: torch.dtype) -> bool:
        """Whether every level comes out as its nearest float."""
        return all(
            self.at(Fraction(low) + k, dtype, fused) == Fraction(level)
            for fused in (True, False)
            for k, level in enumerate(levels)
        )

    def build(self, b: _Builder, r: _Ref) -> _Ref:
        if self.before is None:
            return b.plus(self.shift, r, self.scale)
        r = b.op("add", r, self.before) if self.before else r
        if self.divide:
            return b.op("add", b.op("div", r, b.cell(self.scale, r)), 0.0)
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
        if not wide and abs(half) < 2**20:
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


def _uniform(classes: list[_Class], dtype: torch.dtype) -> tuple[_Index, _Levels] | None:
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


def _line(e: Any) -> tuple[Any, Any] | None:
    """(slope, intercept), both free of x, or None."""
    if not e.is_polynomial(X) or sp.degree(e, X) > 1:
        return None
    slope = e.coeff(X, 1) if e.has(X) else sp.Integer(0)
    return slope, e.subs(X, 0)


def _fits(c: Any, dtype: torch.dtype) -> bool:
    """Whether the exact constant is a float of the type."""
    q = _fraction(c)
    return q is not None and _round(q, dtype) == q


def _is_power(c: Any) -> bool:
    q = _fraction(abs(c))
    return q is not None and q != 0 and {q.numerator, q.denominator} <= {2**k for k in range(31)}


def _one_rounding(slope: Any, shift: Any, dtype: torch.dtype) -> bool:
    """Whether slope x + shift is computed with one rounding, whichever way."""
    return (
        _fits(slope, dtype)
        and _fits(shift, dtype)
        and (shift == 0 or (_is_power(slope) and 2.0**-60 < abs(float(shift)) < 2.0**60))
    )


def _linear(b: _Builder, e: Any, x: _Ref) -> _Ref:
    """A line with the roundings of `lower`: one, or in float64 those of a product and a sum."""
    line = _line(e)
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


def _clamped_line(b: _Builder, classes: list[_Class]) -> _Ref | None:
    """A line between two levels (or one) that it does not leave: clamp(line, low, high)."""
    lines = [k for k, c in enumerate(classes) if c.level is None]
    if len(lines) != 1 or len(classes) not in (2, 3):
        return None
    k = lines[0]
    line = _line(classes[k].expr)
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
        for i, x in ((j, first), (j - 1, _beside(first, b.dtype, False))):
            wanted = classes[i].level if classes[i].level is not None else plain(x)
            if not math.isfinite(x) or at(x) != wanted:
                return None
    out = b.x if (slope, shift) == (1, 0) else b.plus(shift, b.x, slope)
    options: dict[str, Any] = {name: v for name, v in (("min", low), ("max", high)) if v is not None}
    if out == b.x or 0.0 in options.values():
        return b.op("add", b.op("clamp", out, **options), 0.0)
    return b.op("clamp", out, **options)


def _dead_zone(b: _Builder, classes: list[_Class]) -> _Ref | None:
    """slope (x - clamp(x, p, q)): two lines of one slope, a power of 2, with 0 between them."""
    if len(classes) != 3 or classes[1].level != 0:
        return None
    first, last = _line(classes[0].expr), _line(classes[2].expr)
    if first is None or last is None or first[0] != last[0] or not _is_power(first[0]):
        return None
    p, q = -first[1] / first[0], -last[1] / last[0]
    if not (_fits(p, b.dtype) and _fits(q, b.dtype) and all(2.0**-60 < abs(float(c)) < 2.0**60 for c in (p, q))):
        return None
    low, high = float(p), float(q)
    # the lines meet 0 at p and q, so only the float classes have to be the right ones
    if classes[1].first not in (low, _beside(low, b.dtype, True)):
        return None
    if classes[2].first not in (high, _beside(high, b.dtype, True)):
        return None
    out = b.op("sub", b.x, b.op("clamp", b.x, low, high))
    return out if first[0] == 1 else b.plus(0.0, out, float(first[0]))


def _stepped_line(b: _Builder, classes: list[_Class]) -> _Ref | None:
    """steps(x) + slope x: lines of one slope, a power of 2."""
    slopes = [line[0] for c in classes if c.level is None and (line := _line(c.expr)) is not None]
    if len(classes) < 2 or not slopes:
        return None
    lines: list[tuple[Any, Any] | None] = []
    for k, c in enumerate(classes):
        if c.level is None:
            lines.append(_line(c.expr))
        else:  # a tie: one float, whose level is slope x + something as well
            alone = math.isfinite(c.first) and c.first == _last_of(classes, k, b.dtype)
            lines.append((slopes[0], c.expr - slopes[0] * sp.Rational(c.first)) if alone else None)
    if any(line is None for line in lines):
        return None
    known = [line for line in lines if line is not None]
    slope = known[0][0]
    if any(line[0] != slope or not _one_rounding(*line, b.dtype) for line in known) or not _is_power(slope):
        return None
    steps = _steps(b, [c.first for c in classes], [float(line[1]) for line in known])
    return b.op("add", steps, b.x, alpha=float(slope))


def _clamped_steps(b: _Builder, classes: list[_Class]) -> _Ref | None:
    """clamp(slope x + steps(x), low, high): lines of one slope, a power of 2, that only jump up, between levels."""
    start = 1 if classes[0].level is not None else 0
    stop = len(classes) - (1 if classes[-1].level is not None else 0)
    inner = range(start, stop)
    slopes = [line[0] for k in inner if classes[k].level is None and (line := _line(classes[k].expr)) is not None]
    if stop - start < 2 or not slopes or (start, stop) == (0, len(classes)):
        return None
    slope, shifts = slopes[0], []
    for k in inner:
        c = classes[k]
        alone = c.level is not None and math.isfinite(c.first) and c.first == _last_of(classes, k, b.dtype)
        line = (slope, c.expr - slope * sp.Rational(c.first)) if alone else _line(c.expr)
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
        for k, x in ((j, first), (j - 1, _beside(first, b.dtype, False))):
            outer = not start <= k < stop
            wanted = classes[k].level if outer else value(k, x, False)
            if not math.isfinite(x) or wanted is None or value(k, x, True) != wanted:
                return None
    steps = _shifts(b, [classes[k].first for k in inner], shifts)
    options: dict[str, Any] = {name: v for name, v in (("min", low), ("max", high)) if v is not None}
    out = b.op("clamp", b.op("add", steps, b.x, alpha=float(slope)), **options)
    # a sum is -0.0 only where both of its terms are
    return b.op("add", out, 0.0) if 0.0 in (*shifts, low, high) else out


def _shifts(b: _Builder, firsts: Sequence[float], levels: Sequence[float]) -> _Ref:
    """`_steps` for a sum with x, which brings the NaN itself."""
    jumps = [_jump(low, high, b.dtype) for low, high in pairwise(levels)]
    if any(jump is None for jump in jumps):
        return _steps(b, firsts, levels)
    out: _Ref | None = None
    for first, jump in zip(firsts[1:], jumps, strict=True):
        assert jump is not None
        here = b.op("ge", b.x, first)
        out = b.plus(levels[0], here, jump) if out is None else b.op("add", out, here, alpha=jump)
    assert out is not None
    return out


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
    line = _line(base)
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

    def __init__(self, builder: _Builder, x: _Ref) -> None:
        self.b, self.x = builder, x

    def value(self, e: Any) -> Any:
        """A float or a `_Ref`. Raises `Undecided` for a function that torch does not have."""
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
        top = _largest(torch.float64 if self.b.is_wide(self.x) else self.b.dtype)
        return -top, top

    def _wave(self, e: Any) -> _Ref | None:
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

    def _cell(self, c: Any) -> _Cell:
        return self.b.cell(_constant(c), self.x)

    def _over(self, c: float, below: _Ref) -> _Ref:
        return self.b.op("reciprocal", below) if c == 1 else self.b.op("div", self.b.cell(c, below), below)

    def _polynomial(self, coefficients: Sequence[Any]) -> _Ref:
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

    def _horner(self, coefficients: Sequence[Any], x: _Ref) -> _Ref:
        if len(coefficients) == 1:
            return self.b.op("clamp", x, *(2 * [_constant(coefficients[0])]))
        out = x if coefficients[0] == 1 else self.b.op("mul", x, _constant(coefficients[0]))
        for i, c in enumerate(coefficients[1:]):
            out = self.b.op("add", out, _constant(c)) if c != 0 else out
            out = self.b.op("mul", out, x) if i < len(coefficients) - 2 else out
        return out

    def _sum(self, e: Any) -> _Ref:
        constant = sp.Add(*[a for a in e.args if not a.has(X)])
        out = None
        for a in e.args:
            if a.has(X):
                part = self.value(a)
                out = part if out is None else self.b.op("add", out, part)
        assert out is not None
        return out if constant == 0 else self.b.op("add", out, _constant(constant))

    def _product(self, e: Any) -> _Ref:
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
        out: _Ref | None = None
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

    def _power(self, e: Any) -> _Ref:
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
        line = _line(e.args[0])
        return line is not None and line[1] == 0
    if e.is_Mul:
        return all(_is_native(a) for a in e.args)
    if e.is_Pow and e.exp.is_Integer and abs(e.exp) <= 3:
        line = _line(e.base) if e.exp < 0 else None
        exact = line is not None and all(_fits(c, torch.float32) for c in line)
        return _is_native(e.base) if line is None else exact
    return False


def _growing(e: Any) -> bool:
    """Whether an exponential may overflow where that shows: hyperbolic, or below a fraction bar."""
    if e.has(sp.sinh, sp.cosh):
        return True
    below = [p.base for p in e.atoms(sp.Pow) if p.base is not sp.E and p.exp.is_Rational and p.exp < 0]
    return any(not f.args[0].is_nonpositive for g in below for f in g.atoms(sp.exp) if f.has(X))


def _curve(b: _Builder, e: Any, low: float, high: float) -> tuple[_Ref, bool]:
    """(the expression for x in [low, high], anything finite elsewhere; whether it is right on all floats there)."""
    tiny = float(np.finfo(_numpy(b.dtype)).tiny)
    if 0 < abs(low) < tiny or 0 < abs(high) < tiny:
        # arithmetic on subnormal numbers is slow, and most elements may be clamped to that end
        wider = (0.0 if 0 < low < tiny else low), (0.0 if -tiny < high < 0 else high)
        if wider != (low, high):
            ref, fine = _curve(b, e, *wider)
            if bool(torch.isfinite(_Program(b, [ref]).pure(torch.zeros(1, dtype=b.dtype))[0]).all()):
                return ref, fine
    if _line(e) is not None:
        x = b.x if (low, high) == (-math.inf, math.inf) else b.op("clamp", b.x, low, high)
        return _linear(b, e, x), True
    form = _rewritten(e)
    largest = _largest(b.dtype)
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


def _evaluated(b: _Builder, form: Any, low: float, high: float) -> _Ref:
    x = b.x if (low, high) == (-math.inf, math.inf) else b.op("clamp", b.x, low, high)
    if not _is_native(form) and b.dtype == torch.float32:
        x = b.op("wide", x, wide=True)
    if low <= 0 <= high:
        x = b.op("add", x, 0.0)  # one zero: -0.0 becomes 0.0
    return b.narrowed(_Expression(b, x).value(form))


def _short_of_overflow(b: _Builder, form: Any, ref: _Ref, low: float, high: float) -> _Ref:
    """The same expression on |x| <= largest/4 where that changes no value: not every hypot takes the largest floats."""
    largest = _largest(b.dtype)
    sooner = _evaluated(b, form, max(low, -largest / 4), min(high, largest / 4))
    x = torch.tensor([s * c * largest for s in (-1, 1) for c in (0.3, 0.5, 0.7, 0.9, 1.0)], dtype=b.dtype)
    here, there = (_Program(b, [r]).pure(x)[0] for r in (sooner, ref))
    return sooner if torch.equal(here, there) else ref


def _without_minus_zero(b: _Builder, ref: _Ref) -> _Ref:
    """The same values with -0.0 as 0.0 at 0, beside it and where a negative tail has vanished."""
    largest = _largest(b.dtype)
    least = _beside(0.0, b.dtype, True)
    x = torch.tensor([0.0, -0.0, least, -least, math.inf, -math.inf, largest, -largest], dtype=b.dtype)
    values = _Program(b, [ref]).pure(x)[0]
    return b.op("add", ref, 0.0) if bool((torch.signbit(values) & (values == 0)).any()) else ref


def _right_at_ends(b: _Builder, ref: _Ref, e: Any, low: float, high: float) -> bool:
    """Whether no probe inside [low, high] gives NaN or a wrong infinity, and infinite ends give the exact limit."""
    largest = _largest(b.dtype)
    top = int(math.log2(largest))
    probes = [s * 2.0**j for j in range(-top, top, 7) for s in (-1, 1)] + [0.0, largest, -largest]
    probes += [x for x in (low, high) if math.isfinite(x)]
    probes = [x for x in probes if low <= x <= high]
    x = torch.tensor([*probes, -math.inf, math.inf], dtype=b.dtype)
    values = _Program(b, [ref]).pure(x)[0].tolist()
    finite = all(map(math.isfinite, values[: len(probes)])) or all(
        math.isfinite(v) or _is_beyond(e, p, v, b.dtype) for p, v in zip(probes, values, strict=False)
    )
    if not finite:
        return False
    for end, value in zip((-math.inf, math.inf), values[-2:], strict=True):
        if low <= end <= high:
            try:
                wanted = _rounded(exact_value(e, end), b.dtype)
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
            return _rounded(_constant(value), dtype) == found
        return _rounded(exact_value(e, x), dtype) == found
    except (Undecided, InputError):
        return False


# --------------------------------------------------------------------------- the swish pair


@lru_cache(maxsize=512)
def _sharpness(m: PiecewiseMap) -> tuple[str, Any] | None:
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


def _core(m: PiecewiseMap, dtype: torch.dtype) -> float:
    """Up to this |x| the core of `_swish` gives the bits of the whole; infinite for other maps, which have no core."""
    swish = _sharpness(m)
    return math.inf if swish is None else _far(dtype) / (float(swish[1]) / 2) * (1 - 1e-6)


def _swish(b: _Builder, which: str, sharpness: Any, core: bool) -> _Ref:
    """SS_b or SS_b' by the formulas of the module's text. ``core``: for |x| <= `_core` only.

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
    out = b.op("mul", b.op("mul", top, 8 * half), w)
    if core:
        return out
    rest = b.op("exp", b.plus(2 * far, b.op("clamp", a, min=far), -2.0))
    return b.op("add", b.op("mul", out, rest), 0.0)


# --------------------------------------------------------------------------- kernels


def _masked(b: _Builder, classes: list[_Class]) -> tuple[_Ref, bool]:
    """Levels as steps, and each expression evaluated on x clamped into its class, times the class's indicator."""
    levels = [0.0 if c.level is None or not math.isfinite(c.level) else c.level for c in classes]
    out = _steps(b, [c.first for c in classes], levels)
    trusted = True
    for k, c in enumerate(classes):
        if c.level is not None:
            continue
        last = _last_of(classes, k, b.dtype)
        value, fine = _curve(b, c.expr, c.first, last)
        trusted = trusted and fine
        if len(classes) == 1:
            return _without_minus_zero(b, value), trusted
        if k == 0:
            here = b.op("lt", b.x, classes[1].first)
        else:
            here = b.op("ge", b.x, c.first)
            if k + 1 < len(classes):
                here = b.op("sub", here, b.op("ge", b.x, classes[k + 1].first))
        ends = torch.tensor([x for x in (c.first, last) if math.isfinite(x)], dtype=b.dtype)
        if bool(torch.isfinite(_Program(b, [value]).pure(ends)[0]).all()):
            out = b.op("addcmul", out, value, here)
        else:  # 1/x beside 0 overflows, and an infinity times 0 is no 0
            out = b.op("where", here, value, out)
    for k, c in enumerate(classes):
        if c.level is not None and not math.isfinite(c.level):
            # rare: an infinite or missing value cannot be a summand
            here = b.op("lt", b.x, classes[1].first) if k == 0 else b.op("ge", b.x, c.first)
            if 0 < k < len(classes) - 1:
                here = b.op("sub", here, b.op("ge", b.x, classes[k + 1].first))
            if len(classes) == 1:
                out = b.op("clamp", b.x, c.level, c.level)
            else:
                out = b.op("where", here, b.cell(c.level, b.x), out)
    return b.op("add", out, 0.0), trusted


def _put(b: _Builder, m: PiecewiseMap, core: bool = False) -> tuple[_Ref, Kind]:
    """The operations of a map in a program, and its kind. ``core``: only right up to `_core`."""
    classes = _classes(m, b.dtype)
    if m.exprs == (X,):
        return b.op("add", b.x, 0.0), "identity"
    if m.constant is not None and math.isfinite(classes[0].level or 0.0):
        return _steps(b, [-math.inf], [classes[0].level or 0.0]), "constant"
    if all(c.level is not None and math.isfinite(c.level) for c in classes):
        found = _uniform(classes, b.dtype)
        if found is not None:
            index, levels = found
            return levels.build(b, index.build(b)), "uniform"
        return _steps(b, [c.first for c in classes], [c.level or 0.0 for c in classes]), "levels"
    if all(c.level is not None or _line(c.expr) is not None for c in classes):
        for form in (_clamped_line, _dead_zone, _stepped_line, _clamped_steps):
            ref = form(b, classes)
            if ref is not None:
                return ref, "piecewise linear"
        return _masked(b, classes)[0], "piecewise linear"
    swish = _sharpness(m)
    if swish is not None:
        return _swish(b, *swish, core), "swish"
    ref, trusted = _masked(b, classes)
    return ref, "smooth" if trusted else "general"


def _made(maps: Sequence[PiecewiseMap], dtype: torch.dtype) -> tuple[_Program, list[Kind]]:
    """One program for several maps, and their kinds."""
    core, limit = None, min(_core(m, dtype) for m in maps)
    if limit < math.inf:
        short = _Builder(dtype)
        core = _Program(short, [_put(short, m, True)[0] for m in maps])
    builder = _Builder(dtype)
    found = [_put(builder, m) for m in maps]
    return _Program(builder, [ref for ref, _ in found], core, limit), [kind for _, kind in found]


class Kernel:
    """One exact map as an elementwise function of float32 and float64 tensors of any shape.

    ``kind`` says which form was found: identity, constant, levels (comparisons), uniform (one rounding to
    equal steps), piecewise linear, swish (SS or SS'), smooth, general. NaN gives NaN, infinities the exact
    limits, ties the stated values. Levels and piecewise-linear maps have the bits of `verify.lowering.lower`,
    swish and smooth maps are within 4 ulp (1 + |x m'/m|); general ones are evaluated plainly, and by `lower`
    where that is not finite or not known to be right.
    """

    def __init__(self, m: PiecewiseMap) -> None:
        if m.windowed:
            raise Undecided("a map with infinitely many breakpoints has no kernel")
        self.map = m
        self._programs: dict[torch.dtype, _Program] = {}
        kinds: list[Kind] = []
        for dtype in _DTYPES:
            self._programs[dtype], found = _made([m], dtype)
            kinds += found
        self.kind: Kind = "general" if "general" in kinds else kinds[0]
        # beyond this the plain formula of a general map is not known to be right
        self._reach = math.inf
        if self.kind == "general":
            self._reach = min((_core_reach(e) for e in m.exprs if e.has(X)), default=math.inf)

    def __repr__(self) -> str:
        return f"Kernel({self.map}, {self.kind})"

    def __deepcopy__(self, _: Any) -> Kernel:
        return self  # it never changes, so copies of a network share it

    def __call__(self, x: Tensor, out: Tensor | None = None) -> Tensor:
        """The values at x, in ``out`` where it is given (which may be x itself); no autograd.

        With contiguous x and ``out`` nothing of the size of x is allocated (but for kind "general").
        Raises `InputError` for a type other than float32 and float64, and for an ``out`` of another type,
        shape or device.
        """
        _checked(x)
        if self.kind == "general":
            return self._general(x, out)
        return _run(self._programs[x.dtype], x, (out,))[0]

    def pure(self, x: Tensor) -> Tensor:
        """The same values by functional operations, without control flow on data, for torch.compile and torch.export.

        Equal bits for a tensor of the same shape (the last elements of a tensor may get another last bit from
        torch's pow, hypot, atan2 and sigmoid than elsewhere); for kind "general" only where the plain formula is used.
        Raises `InputError` for a type other than float32 and float64.
        """
        _checked(x)
        return self._programs[x.dtype].pure(x)[0]

    def _general(self, x: Tensor, out: Tensor | None) -> Tensor:
        """The plain formula, and `lower` where it is not known to be right."""
        x = x.detach()
        given = x.clone() if out is not None else x
        done = _run(self._programs[x.dtype], x, (out,))[0]
        bad = (~torch.isfinite(done) | (given.abs() > self._reach)) & ~torch.isnan(given)
        if bool(bad.any()):
            done.detach()[bad] = lower(self.map, "torch")(given[bad])
        return done


def _checked(x: Any) -> None:
    if not isinstance(x, Tensor) or x.dtype not in _DTYPES:
        found = x.dtype if isinstance(x, Tensor) else type(x).__name__
        raise InputError(f"a kernel takes float32 or float64 tensors, not {found}")


def _run(program: _Program, x: Tensor, outs: Sequence[Tensor | None]) -> list[Tensor]:
    """Run a program on tensors of any layout."""
    x = x.detach() if x.requires_grad else x
    plain = x if x.is_contiguous() else x.contiguous()
    targets, done, shared = [], [], []
    for out in outs:
        if out is None:
            done.append(torch.empty(x.shape, dtype=x.dtype, device=x.device))
            targets.append(done[-1])
            shared.append(False)
            continue
        if not isinstance(out, Tensor) or (out.dtype, out.shape, out.device) != (x.dtype, x.shape, x.device):
            raise InputError(f"out: a tensor of x's type, shape and device was expected ({x.dtype}, {tuple(x.shape)})")
        done.append(out)
        out = out.detach() if out.requires_grad else out
        if not out.is_contiguous():
            targets.append(torch.empty_like(plain))
            shared.append(False)
            continue
        targets.append(out)
        same = out.data_ptr() == plain.data_ptr()
        if not same and out.untyped_storage().data_ptr() == plain.untyped_storage().data_ptr():
            plain = plain.clone()  # it may overlap x without being x itself
        shared.append(same)
    program.into(plain, targets, [s and t.data_ptr() == plain.data_ptr() for s, t in zip(shared, targets, strict=True)])
    for out, target in zip(done, targets, strict=True):
        if not out.is_contiguous():
            out.detach().copy_(target)
    return done


@lru_cache(maxsize=512)
def kernel(m: PiecewiseMap) -> Kernel:
    """The kernel of an exact map, made once. Raises `Undecided` for a map with infinitely many breakpoints."""
    return Kernel(m)


class Both:
    """Forward and backward map of a pair in one pass: (x, out_forward, out_backward) -> (F(x), B(x)).

    What both need is computed once (t and r of SS and SS'; tanh of tanh and its derivative). The values are
    those of the two kernels, bit for bit. ``joint``: whether there is one program for both.
    """

    def __init__(self, forward: PiecewiseMap, backward: PiecewiseMap) -> None:
        self.forward, self.backward = kernel(forward), kernel(backward)
        self.joint = "general" not in (self.forward.kind, self.backward.kind)
        self._programs: dict[torch.dtype, _Program] = {}
        for dtype in _DTYPES if self.joint else ():
            self._programs[dtype] = _made([forward, backward], dtype)[0]

    def __deepcopy__(self, _: Any) -> Both:
        return self

    def __call__(
        self, x: Tensor, out_forward: Tensor | None = None, out_backward: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(F(x), B(x)), in the given tensors; one of them may be x itself. Raises as `Kernel.__call__` does."""
        _checked(x)
        if not self.joint:
            x = x if out_forward is None else x.clone()
            return self.forward(x, out_forward), self.backward(x, out_backward)
        f, b = _run(self._programs[x.dtype], x, (out_forward, out_backward))
        return f, b

    def pure(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """(F(x), B(x)) by functional operations, as `Kernel.pure`."""
        _checked(x)
        if not self.joint:
            return self.forward.pure(x), self.backward.pure(x)
        f, b = self._programs[x.dtype].pure(x)
        return f, b


@lru_cache(maxsize=512)
def both(forward: PiecewiseMap, backward: PiecewiseMap) -> Both:
    """The joint kernel of a pair, made once. Raises `Undecided` for a map with infinitely many breakpoints."""
    return Both(forward, backward)


__all__ = ["Both", "Kernel", "Kind", "both", "kernel"]
