"""Exact maps of theory/ as fast elementwise torch kernels: one straight-line program per map and float type.

The shape of the exact map is recognised and the fast form is shown to be right (`verify.kernel_forms`), or a
smooth expression is rewritten and looked at (`verify.kernel_smooth`); no formula of a quantizer is written
here. `Kernel.__call__` runs the program in place on blocks, `Kernel.pure` runs the same operations as functions
(`verify.kernel_programs`). NaN arises from the operations themselves: clamp(x, c, c) is c, or NaN. Pieces of
which no form is known are evaluated on x clamped into them, and masked.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from theory.errors import InputError, Undecided
from theory.exact import X
from theory.maps import PiecewiseMap
from verify.kernel_forms import (
    FloatClass,
    clamped_line,
    clamped_steps,
    dead_zone,
    float_classes,
    height_of,
    last_of,
    line_of,
    put_steps,
    stepped_line,
    uniform_steps,
)
from verify.kernel_programs import Builder, Program, Ref, Rooms
from verify.kernel_smooth import put_curve, put_swish, sharpness_of, short_reach, without_minus_zero
from verify.lowering import _constant, _core_reach, lower

Kind = Literal["identity", "constant", "levels", "uniform", "piecewise linear", "swish", "smooth", "general"]

_DTYPES = (torch.float32, torch.float64)


def _masked(b: Builder, classes: list[FloatClass]) -> tuple[Ref, bool]:
    """Levels as steps, and each expression evaluated on x clamped into its class, times the class's indicator."""
    levels = [0.0 if c.level is None or not math.isfinite(c.level) else c.level for c in classes]
    out = put_steps(b, [c.first for c in classes], levels)
    trusted = True
    for k, c in enumerate(classes):
        if c.level is not None:
            continue
        last = last_of(classes, k, b.dtype)
        value, fine = put_curve(b, c.expr, c.first, last)
        trusted = trusted and fine
        if len(classes) == 1:
            return without_minus_zero(b, value), trusted
        if k == 0:
            here = b.op("lt", b.x, classes[1].first)
        else:
            here = b.op("ge", b.x, c.first)
            if k + 1 < len(classes):
                here = b.op("sub", here, b.op("ge", b.x, classes[k + 1].first))
        # where x is clamped to an end of the class; a class may be an infinity alone
        ends = torch.tensor([*[c.first][: k > 0], *[last][: k + 1 < len(classes)]], dtype=b.dtype)
        if bool(torch.isfinite(Program(b, [value]).pure(ends)[0]).all()):
            out = b.op("addcmul", out, value, here)
        else:  # 1/x beside 0 overflows, and an infinity times 0 is no 0
            out = b.op("where", here, value, out)
    for k, c in enumerate(classes):
        if c.level is not None and not math.isfinite(c.level):
            # rare: an infinite or missing value cannot be a summand
            if len(classes) == 1:
                return b.op("clamp", b.x, c.level, c.level), trusted
            here = b.op("lt", b.x, classes[1].first) if k == 0 else b.op("ge", b.x, c.first)
            if 0 < k < len(classes) - 1:
                here = b.op("sub", here, b.op("ge", b.x, classes[k + 1].first))
            out = b.op("where", here, b.cell(c.level, b.x), out)
    return b.op("add", out, 0.0), trusted


def _put(b: Builder, m: PiecewiseMap, core: bool = False) -> tuple[Ref, Kind]:
    """The operations of a map in a program, and its kind. ``core``: only right up to `short_reach`."""
    classes = float_classes(m, b.dtype)
    if m.exprs == (X,):
        return b.op("add", b.x, 0.0), "identity"
    if m.constant is not None and math.isfinite(classes[0].level or 0.0):
        return put_steps(b, [-math.inf], [classes[0].level or 0.0]), "constant"
    if all(c.level is not None and math.isfinite(c.level) for c in classes):
        found = uniform_steps(classes, b.dtype)
        if found is not None:
            index, levels = found
            return levels.build(b, index.build(b)), "uniform"
        return put_steps(b, [c.first for c in classes], [c.level or 0.0 for c in classes]), "levels"
    if all(c.level is not None or line_of(c.expr) is not None for c in classes):
        if any(math.isinf(_constant(a)) for c in classes if c.level is None for a in line_of(c.expr) or ()):
            return _masked(b, classes)[0], "general"
        for form in (clamped_line, dead_zone, stepped_line, clamped_steps):
            ref = form(b, classes)
            if ref is not None:
                return ref, "piecewise linear"
        return _masked(b, classes)[0], "piecewise linear"
    swish = sharpness_of(m)
    if swish is not None:
        return put_swish(b, *swish, core), "swish"
    ref, trusted = _masked(b, classes)
    return ref, "smooth" if trusted else "general"


def _made(maps: Sequence[PiecewiseMap], dtype: torch.dtype) -> tuple[Program, list[Kind]]:
    """One program for several maps, and their kinds."""
    core, limit = None, min(short_reach(m, dtype) for m in maps)
    if limit < math.inf:
        short = Builder(dtype)
        core = Program(short, [_put(short, m, True)[0] for m in maps])
    builder = Builder(dtype)
    found = [_put(builder, m) for m in maps]
    height = height_of(float_classes(maps[0], dtype), dtype) if len(maps) == 1 else None
    return Program(builder, [ref for ref, _ in found], core, limit, height), [kind for _, kind in found]


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
        self._programs: dict[torch.dtype, Program] = {}
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

    def bound(self, x: Tensor, out: Tensor, rooms: Rooms) -> Callable[[], None]:
        """What writes the values at x into ``out``, for the same tensors again and again (`Program.bound`).

        Nothing is checked: contiguous tensors of one shape, type and device in separate memory.
        """
        if self.kind != "general":
            return self._programs[x.dtype].bound(x, (out,), rooms)

        def run() -> None:
            self._general(x, out)

        return run

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


def _apart(first: Any, second: Any) -> None:
    if isinstance(first, Tensor) and isinstance(second, Tensor) and first.data_ptr() == second.data_ptr():
        raise InputError("out_forward and out_backward: two tensors were expected, not one for both")


def _run(program: Program, x: Tensor, outs: Sequence[Tensor | None]) -> list[Tensor]:
    """Run a program on tensors of any layout."""
    x = x.detach() if x.requires_grad else x
    plain = x if x.is_contiguous() else x.contiguous()
    targets, done, shared = [], [], []
    for out in outs:
        if out is None:
            done.append(torch.empty_like(plain))
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
    """The kernel of an exact map m, made once: m(x) for float32 or float64 tensors of any shape.

    Steps take the values of the map on every float; others err by at most 4 ulp (1 + |x m'/m|), which was sampled,
    not proved. Raises `Undecided` for a map with infinitely many breakpoints.
    """
    return Kernel(m)


class Both:
    """Forward and backward map of a pair in one pass: (x, out_forward, out_backward) -> (F(x), B(x)).

    What both need is computed once (t and r of SS and SS'; tanh of tanh and its derivative). The values are
    those of the two kernels, bit for bit. ``joint``: whether there is one program for both.
    """

    def __init__(self, forward: PiecewiseMap, backward: PiecewiseMap) -> None:
        self.forward, self.backward = kernel(forward), kernel(backward)
        self.joint = "general" not in (self.forward.kind, self.backward.kind)
        self._programs: dict[torch.dtype, Program] = {}
        for dtype in _DTYPES if self.joint else ():
            self._programs[dtype] = _made([forward, backward], dtype)[0]

    def __deepcopy__(self, _: Any) -> Both:
        return self

    def __call__(
        self, x: Tensor, out_forward: Tensor | None = None, out_backward: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """(F(x), B(x)), in the given tensors; one of them may be x itself.

        Raises as `Kernel.__call__` does, and `InputError` where the two begin at the same place.
        """
        _checked(x)
        if out_forward is not None and out_backward is not None and x.numel():
            _apart(out_forward, out_backward)
        if not self.joint:
            x = x if out_forward is None else x.clone()
            return self.forward(x, out_forward), self.backward(x, out_backward)
        f, b = _run(self._programs[x.dtype], x, (out_forward, out_backward))
        return f, b

    def bound(self, x: Tensor, out_forward: Tensor, out_backward: Tensor, rooms: Rooms) -> Callable[[], None]:
        """As `Kernel.bound`."""
        if self.joint:
            return self._programs[x.dtype].bound(x, (out_forward, out_backward), rooms)
        forward, backward = self.forward.bound(x, out_forward, rooms), self.backward.bound(x, out_backward, rooms)

        def run() -> None:
            forward()
            backward()

        return run

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
