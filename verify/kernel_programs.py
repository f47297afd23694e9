"""Straight-line programs of torch operations: run in place on blocks, or as functions.

A program is a list of torch operations. `Program.into` runs it on blocks that stay in the processor's
cache, with ``out=`` everywhere; `Program.pure` runs the same operations as functions. There is no branch
on data, but two, on a CPU: a block in which no |x| is beyond ``limit`` takes a shorter program, where there
is one, that gives the same bits there; and c sign(x) is written by torch.sign in blocks without zeros and NaN.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

BLOCK = 65536
"""Elements per thread: a few buffers of 256 KiB fit a second-level cache, and an operation outlasts its call."""
_GPU_BLOCK = 2**24
_MOST = 128
"""Threads that share a block at most: a sum of ones over it is exact in float32."""


@dataclass(frozen=True)
class Ref:
    """The result of an operation of a program; 0 is x."""

    at: int


@dataclass(frozen=True)
class Cell:
    """A constant as a tensor without dimensions, so that it can be the first operand."""

    value: float
    wide: bool


Arg = Any  # Ref, Cell or a float
Rooms = dict[tuple[int, int, torch.dtype], Tensor]


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


def _fixed(o: _Op, a: Arg) -> Arg:
    """A constant as it is handed over: torch makes a tensor of a number at every call, for the price of the call."""
    return Cell(float(a), o.wide) if isinstance(a, float) and o.name in ("add", "sub", "mul", "div") else a


class Builder:
    """Collects the operations of a program; equal operations are done once."""

    def __init__(self, dtype: torch.dtype) -> None:
        self.dtype = dtype
        self.ops: list[_Op] = []
        self.known: dict[_Op, Ref] = {}
        self.x = Ref(0)

    def op(self, name: str, *args: Arg, wide: bool | None = None, **options: Any) -> Ref:
        if wide is None:
            wide = any(isinstance(a, Ref) and self.is_wide(a) for a in args)
        made = _Op(name, args, tuple(sorted(options.items())), wide)
        if made not in self.known:
            self.ops.append(made)
            self.known[made] = Ref(len(self.ops))
        return self.known[made]

    def is_wide(self, ref: Ref) -> bool:
        return ref.at > 0 and self.ops[ref.at - 1].wide

    def cell(self, value: float, like: Ref) -> Cell:
        return Cell(value, self.is_wide(like))

    def plus(self, c: float, a: Ref, times: float = 1.0) -> Ref:
        """c + times a in one pass, never -0.0."""
        return self.op("add", self.cell(c, a), a, alpha=times)

    def widened(self) -> Ref:
        return self.op("wide", self.x, wide=True) if self.dtype == torch.float32 else self.x

    def narrowed(self, a: Ref) -> Ref:
        return self.op("narrow", a, wide=False) if self.is_wide(a) else a


def block_size() -> int:
    """Elements of a block on a CPU: torch hands each thread an equal and contiguous share of every operation."""
    return BLOCK * min(torch.get_num_threads(), _MOST)


def _looks(x: Tensor) -> bool:
    """Whether a branch may depend on the values of x: not while operations are recorded to be run on others."""
    depth = getattr(torch._C, "_len_torch_dispatch_stack", int)()
    return type(x) in (Tensor, torch.nn.Parameter) and not torch._C._is_tracing() and depth == 0


class Program:
    """Operations with buffers assigned: results live in the outputs or in scratch, and never in x.

    ``core``: a shorter program that gives the same bits where |x| <= ``limit``. ``height``: c where the one
    result is c sign(x) for every x but 0 and NaN.
    """

    def __init__(
        self,
        builder: Builder,
        outputs: Sequence[Ref],
        core: Program | None = None,
        limit: float = math.inf,
        height: float | None = None,
    ) -> None:
        self.core, self.limit, self.height = core, limit, height
        results = list(outputs)
        for i, ref in enumerate(results):
            if ref.at == 0 or ref in results[:i]:
                builder.ops.append(_Op("copy", (ref,), (), builder.is_wide(ref)))
                results[i] = Ref(len(builder.ops))
        needed, stack = set[int](), [r.at for r in results]
        while stack:
            at = stack.pop()
            if at and at not in needed:
                needed.add(at)
                stack += [a.at for a in builder.ops[at - 1].args if isinstance(a, Ref)]
        order = sorted(needed)
        place = {0: 0} | {at: i + 1 for i, at in enumerate(order)}
        self.dtype = builder.dtype
        self.ops = [
            _Op(o.name, tuple(Ref(place[a.at]) if isinstance(a, Ref) else a for a in o.args), o.options, o.wide)
            for o in (builder.ops[at - 1] for at in order)
        ]
        self.results = [place[r.at] for r in results]
        self._assign()

    def _assign(self) -> None:
        """Buffers by last use: an operation may write over an operand that nobody reads later."""
        last = {a.at: i for i, o in enumerate(self.ops, 1) for a in o.args if isinstance(a, Ref)}
        last |= dict.fromkeys(self.results, len(self.ops) + 1)
        free: dict[bool, list[int]] = {False: [], True: []}
        buffers: list[bool] = []  # whether each is wide
        where: dict[int, int] = {}
        for i, o in enumerate(self.ops, 1):
            done = {a.at for a in o.args if isinstance(a, Ref) and a.at and last[a.at] == i}
            same = [at for at in done if self.ops[at - 1].wide == o.wide]
            if same:
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
        fixed = dict.fromkeys(_fixed(o, a) for o in self.ops for a in o.args if not isinstance(a, Ref))
        self.fixed = list(fixed)  # constants, as 0-d tensors or numbers
        spot = {a: 1 + len(buffers) + i for i, a in enumerate(self.fixed)}
        self.steps = []
        for i, o in enumerate(self.ops, 1):
            spots = [
                spot[_fixed(o, a)] if not isinstance(a, Ref) else renamed[where[a.at]] if a.at else 0 for a in o.args
            ]
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
                torch.tensor(c.value, dtype=self._type(c.wide), device=device) if isinstance(c, Cell) else c
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
        block = block_size() if x.device.type == "cpu" else _GPU_BLOCK
        parts = [(x, *outs)]
        if n > block:
            parts = list(zip(*(t.view(-1).split(block) for t in (x, *outs)), strict=True))
        shape = parts[0][0].shape
        held = None
        if any(shared) and any(
            same and not fine
            for p in ((self,) if self.core is None else (self, self.core))
            for same, fine in zip(shared, p.aliases, strict=True)
        ):
            held = torch.empty_like(parts[0][0])
        looks = x.device.type == "cpu" and _looks(x)
        guarded = self.core is not None and looks
        signs = self.height is not None and looks and not any(shared)
        kept: dict[bool, list[Any]] = {}
        for part in parts:
            if signs:
                signs = self._signs(*part)
                if signs:
                    continue
            if part[0].shape != shape:  # the last one
                shape = part[0].shape
                held = held[: len(part[0])] if held is not None else None
                kept = {}
            inside = guarded and float(part[0].amax()) <= self.limit and float(part[0].amin()) >= -self.limit
            program = self.core if inside and self.core is not None else self
            if inside not in kept:
                kept[inside] = program._buffers(part[0])
            regs: list[Any] = [*part, *kept[inside]]
            if held is not None:
                regs[0] = held.copy_(part[0])
            for run, spots, options, to in program.steps:
                run(*[regs[s] for s in spots], out=regs[to], **options)

    def bound(self, x: Tensor, outs: Sequence[Tensor], rooms: Rooms) -> Callable[[], None]:
        """`into` for the same tensors again and again, at less than half the price of a call.

        No two of them share memory. ``rooms`` keeps scratch, for all who are given it and do not run at once.
        """
        shared = (False,) * len(outs)
        if x.numel() == 0 or x.device.type != "cpu" or x.numel() > block_size():
            return lambda: self.into(x, outs, shared)
        plain, core, limit = self._calls(x, outs, rooms), None, self.limit
        if self.core is not None:
            core = self.core._calls(x, outs, rooms)

        signs = self.height is not None

        def run() -> None:
            nonlocal signs
            if signs:
                signs = self._signs(x, outs[0])
                if signs:
                    return
            calls = plain
            if core is not None and float(x.amax()) <= limit and float(x.amin()) >= -limit:
                calls = core
            for call, arguments, options in calls:
                call(*arguments, **options)

        return run

    def _calls(self, x: Tensor, outs: Sequence[Tensor], rooms: Rooms) -> list[tuple[Any, list[Any], dict[str, Any]]]:
        """The operations with their operands."""
        scratch, length = [], x.numel()
        bits = (length - 1).bit_length()  # a few lengths serve all
        for k, wide in enumerate(self.scratch):
            key = (k, bits, self._type(wide))
            if key not in rooms:
                rooms[key] = torch.empty(1 << bits, dtype=self._type(wide))
            scratch.append(rooms[key][:length].view(x.shape))
        regs = [x, *outs, *scratch, *self._made(x.device)]
        return [(run, [regs[s] for s in spots], {**options, "out": regs[to]}) for run, spots, options, to in self.steps]

    def _signs(self, x: Tensor, out: Tensor) -> bool:
        """Write c sign(x), at half the price of the program; False, with anything in ``out``, beside a 0 or a NaN."""
        torch.sign(x, out=out)
        flat = out if out.dim() == 1 else out.view(-1)
        if torch.dot(flat, flat).item() != x.numel():  # exact: the partial sums are integers below 2^24
            return False
        if self.height is not None and self.height != 1:
            out.mul_(self.height)
        return True

    def _buffers(self, x: Tensor) -> list[Any]:
        """Scratch of x's shape, and after it the constants."""
        scratch = [torch.empty_like(x, dtype=torch.float64) if wide else torch.empty_like(x) for wide in self.scratch]
        return [*scratch, *self._made(x.device)]

    def pure(self, x: Tensor) -> list[Tensor]:
        """The same operations as functions of the whole of x."""
        made: list[Any] = [x.contiguous()]  # strided loops call other exponentials
        for o in self.ops:
            args = []
            for a in o.args:
                if isinstance(a, Ref):
                    args.append(made[a.at])
                elif isinstance(a, Cell):
                    args.append(torch.full((), a.value, dtype=self._type(a.wide), device=x.device))
                else:
                    args.append(a)
            made.append(_PURE[o.name](*args, **dict(o.options)))
        return [made[r] for r in self.results]


__all__ = ["BLOCK", "Builder", "Cell", "Program", "Ref", "Rooms", "block_size"]
