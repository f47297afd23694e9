"""The kernels of exact maps: time against a copy of the same size, beside peers; and accuracy against Arb.

    python benchmarks/kernels.py [--quick] [--json] [--device auto|cpu|cuda]
    python benchmarks/kernels.py --accuracy [--quick] [--json] [--device auto|cpu|cuda]

One process, one thread, float32. A time is the least of many, in units of a preallocated ``out.copy_(x)`` of the same
size, timed in turns with it. Beside each: its floor, the bytes that must be moved over those of a copy; and where the
project set one, the most it may take. Peers: torchao's PARQ (maps given Q alone), hand-written straight-through
quantizers, torch.tanh with its own autograd. On a GPU: events, sizes up to 1e8, and the achieved bytes per second.

``--accuracy``: every map of the catalogue and the libraries, float32 and float64, a million inputs each: normal at
five scales, all bit patterns of finite floats alike (so log-uniform over the whole range, with subnormals),
breakpoints and their float neighbours, infinities, zeros, largest and smallest floats. The error may be
4 ulp (1 + |x m'(x)/m(x)|), m from Arb; an ulp is at least the smallest subnormal. Exit code 1 where it is more.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import math
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import sympy as sp
import torch
from torch import Tensor

from theory.balls import arb
from theory.catalogue import CATALOGUE, PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.exact import X, compare, enclose, precision, to_float
from theory.maps import PiecewiseMap
from theory.parser import parse
from verify.kernels import both, kernel
from verify.lowering import exact_value
from verify.networks import pick_device

ULPS = 4.0

# --------------------------------------------------------------------------- accuracy


def maps() -> Iterator[tuple[str, PiecewiseMap]]:
    """Every different map with finitely many breakpoints: catalogue pairs, proximal maps, transforms."""
    seen = set()
    named = [
        *((f"{n} forward", e.pair().forward) for n, e in CATALOGUE.items()),
        *((f"{n} backward", e.pair().backward) for n, e in CATALOGUE.items()),
        *((f"prox {n}", e.map()) for n, e in PROX_LIBRARY.items()),
        *((f"transform {n}", e.map()) for n, e in TRANSFORM_LIBRARY.items()),
        *((f"transform {n}, derivative", e.derivative_map()) for n, e in TRANSFORM_LIBRARY.items()),
    ]
    for name, m in named:
        if not m.windowed and m not in seen:
            seen.add(m)
            yield name, m


def inputs(m: PiecewiseMap, count: int, dtype: Any, seed: int = 0) -> np.ndarray:
    """The inputs of the module's text, about ``count`` of them."""
    rng, info = np.random.default_rng(seed), np.finfo(dtype)
    whole = np.uint32 if dtype is np.float32 else np.uint64
    patterns = rng.integers(0, np.iinfo(whole).max, count // 2, dtype=whole, endpoint=True).view(dtype)
    scales = rng.choice(np.array([0.01, 0.2, 1, 4, 30]), count // 2)
    with np.errstate(over="ignore"):
        marks = np.array([to_float(b) for b in m.breaks]).astype(dtype)
        near = [marks]
        for way in (-math.inf, math.inf):
            step = marks
            for _ in range(3):
                step = np.nextafter(step, dtype(way))
                near.append(step)
    ends = [0.0, math.inf, info.max, info.tiny, info.smallest_subnormal, 1.0, info.eps]
    special = np.array([s * v for v in ends for s in (1, -1)], dtype=dtype)
    normal = (rng.standard_normal(count // 2) * scales).astype(dtype)
    return np.concatenate([patterns[np.isfinite(patterns)], normal, *near, special])


@dataclass(frozen=True)
class Truth:
    """Exact values as hi + lo in float64; infinite and missing ones as float64."""

    hi: np.ndarray
    lo: np.ndarray


def truth(m: PiecewiseMap, x: np.ndarray) -> Truth:
    """The exact map at floats, by Arb; breakpoints compared exactly."""
    hi, lo = np.empty(len(x)), np.zeros(len(x))
    wide = x.astype(np.float64)
    marks = np.array([to_float(b) for b in m.breaks])
    piece = np.searchsorted(marks, wide, side="right")
    ties = np.full(len(x), -1)
    for i, (b, mark) in enumerate(zip(m.breaks, marks, strict=True)):
        for k in np.flatnonzero(np.abs(wide - mark) <= 1e-12 * max(abs(mark), 1e-300)):
            order = compare(sp.Rational(float(wide[k])), b)
            piece[k] = i if order < 0 else i + 1
            ties[k] = i if order == 0 else -1
    for i, e in enumerate(m.exprs):
        here = np.flatnonzero((piece == i) & (ties < 0))
        if not e.has(X):
            hi[here] = to_float(e)
            with precision(200):
                lo[here] = _float(enclose(e) - arb(to_float(e)))
            continue
        for k in here:
            hi[k], lo[k] = _value(e, float(wide[k]))
    for i, v in enumerate(m.values):
        at = ties == i
        hi[at] = math.nan if v is None else to_float(v)
    return Truth(hi, lo)


def _float(ball: Any) -> float:
    return float(ball.mid())


def _value(e: Any, x: float) -> tuple[float, float]:
    if math.isinf(x):
        return exact_value(e, x), 0.0
    for bits in (128, 400, 1300, 4400):
        with precision(bits):
            ball = enclose(e, arb(x))
            if ball.is_finite() and (ball.rel_accuracy_bits() >= 90 or abs(ball) < arb(2) ** -1200):
                hi = _float(ball)
                return hi, (_float(ball - arb(hi)) if math.isfinite(hi) else 0.0)
    raise AssertionError(f"{e} at {x!r} was not enclosed")


def _sensitivity(m: PiecewiseMap, x: float) -> float:
    """|x m'(x)|, at a point off the breakpoints."""
    i = m.piece_at(sp.Rational(x))
    if i is None or not math.isfinite(x):
        return 0.0
    slope = sp.diff(m.exprs[i], X)
    for bits in (128, 1300, 4400):
        with precision(bits):
            ball = enclose(X * slope, arb(x))
            if ball.is_finite() and ball.rel_accuracy_bits() >= 10:
                return abs(_float(ball))
    return 0.0


@dataclass(frozen=True)
class Error:
    """The largest error of one kernel: in ulp, as a share of the bound, and where."""

    ulps: float
    share: float
    at: float
    found: float
    exact: float


def error(m: PiecewiseMap, x: np.ndarray, found: np.ndarray) -> Error:
    """The worst of the values ``found`` of a kernel at the floats x."""
    exact = truth(m, x)
    dtype = x.dtype.type
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = exact.hi.astype(dtype)
        away = np.abs((found.astype(np.float64) - exact.hi) - exact.lo)
        same = (found == rounded) | (np.isnan(found) & np.isnan(rounded))
        unit = np.spacing(np.abs(rounded)).astype(np.float64)
        ulps = np.where(np.isfinite(rounded), away / unit, np.inf)
    # an infinity or NaN has to be met; a rounding to the nearest float is within half an ulp
    ulps = np.where(same, np.minimum(np.nan_to_num(ulps, nan=0.0, posinf=0.0), 0.5), np.nan_to_num(ulps, nan=np.inf))
    share = ulps / ULPS
    for k in np.flatnonzero(ulps > ULPS / 2):
        size, value = _sensitivity(m, float(x[k])), abs(float(exact.hi[k]))
        condition = 0.0 if size == 0 else size / value if value > size / 1e300 else math.inf
        share[k] = ulps[k] / (ULPS * (1 + condition)) if math.isfinite(ulps[k]) else math.inf
    k = int(np.argmax(share))
    return Error(float(ulps.max()), float(share[k]), float(x[k]), float(found[k]), float(exact.hi[k]))


def accuracy(count: int, device: torch.device, chosen: Sequence[str] | None = None) -> dict[str, Any]:
    """The worst error of every kernel; ``missed`` names those beyond the bound."""
    rows, missed = [], []
    for name, m in maps():
        if chosen is not None and name not in chosen:
            continue
        k = kernel(m)
        row: dict[str, Any] = {"map": name, "kind": k.kind}
        for dtype in (np.float32, np.float64):
            x = inputs(m, count, dtype)
            e = error(m, x, k(torch.from_numpy(x).to(device)).cpu().numpy())
            kind = np.dtype(dtype).name
            row[kind] = {"ulps": e.ulps, "share": e.share, "at": e.at}
            if not e.share <= 1:
                missed.append(
                    f"{name}, {kind}: {e.share:.3g} times the bound at {e.at!r}: {e.found!r}, not {e.exact!r}"
                )
        rows.append(row)
    return {"inputs": count, "bound": "4 ulp (1 + |x m'/m|)", "maps": rows, "missed": missed}


# --------------------------------------------------------------------------- speed


@dataclass(frozen=True)
class Case:
    """One thing to time: ``make(x)`` gives a function without arguments.

    ``floor`` and ``targets`` (size: the most allowed) are in copies.
    """

    shape: str
    what: str
    make: Callable[[Tensor], Callable[[], Any]]
    floor: float
    targets: dict[int, float]


class _Swish(torch.autograd.Function):
    """SS with its own derivative: both in the forward pass; B is kept, and becomes the gradient in place.

    A second backward pass through the same graph is refused by autograd, for B is used up.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, joint: Any) -> Tensor:
        f, b = joint(x)
        ctx.save_for_backward(b)
        return f

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (b,) = ctx.saved_tensors
        return b.mul_(g), None


class _SwishAgain(torch.autograd.Function):
    """SS with its own derivative: x is kept, and B computed in the backward pass, then multiplied in place."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, joint: Any) -> Tensor:
        ctx.save_for_backward(x)
        ctx.kernel = joint.backward
        return joint.forward(x)

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return ctx.kernel(x).mul_(g), None


def _levels(count: int, thresholds: Sequence[Any], levels: Sequence[Any]) -> PiecewiseMap:
    assert count == len(levels) == len(thresholds) + 1
    return PiecewiseMap.build(thresholds, levels, levels[1:])


def _kernel(m: PiecewiseMap) -> Callable[[Tensor], Callable[[], Any]]:
    k = kernel(m)

    def make(x: Tensor) -> Callable[[], Any]:
        out = torch.empty_like(x)
        return lambda: k(x, out)

    return make


def _pair(f: PiecewiseMap, b: PiecewiseMap) -> Callable[[Tensor], Callable[[], Any]]:
    joint = both(f, b)

    def make(x: Tensor) -> Callable[[], Any]:
        first, second = torch.empty_like(x), torch.empty_like(x)
        return lambda: joint(x, first, second)

    return make


def _trained(call: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Callable[[], Any]]:
    """Forward and backward of a training use, the gradient of the output given."""

    def make(x: Tensor) -> Callable[[], Any]:
        leaf, g = x.clone().requires_grad_(), torch.ones_like(x)

        def step() -> None:
            leaf.grad = None
            call(leaf).backward(g)

        return step

    return make


def _peer(prox: Any, values: Sequence[float], step: int) -> Callable[[Tensor], Callable[[], Any]]:
    """torchao's map given the levels alone. It works in place, so x is copied first, as it must be there too."""

    def make(x: Tensor) -> Callable[[], Any]:
        p, grid = torch.empty_like(x), torch.tensor(values, device=x.device)

        def run() -> None:
            p.copy_(x)
            prox.apply_(p, None, grid, step)

        return run

    return make


def _mine(m: PiecewiseMap) -> Callable[[Tensor], Callable[[], Any]]:
    """The kernel as torchao's maps are called: on a copy, in place."""
    k = kernel(m)

    def make(x: Tensor) -> Callable[[], Any]:
        p = torch.empty_like(x)

        def run() -> None:
            p.copy_(x)
            k(p, p)

        return run

    return make


def cases() -> list[Case]:
    """All shapes and peers."""
    sign = parse("Piecewise((-1, x < 0), (1, True))", {})
    swish, slope = CATALOGUE["BNN++"].pair().forward, CATALOGUE["BNN++"].pair().backward
    joint = both(swish, slope)
    q = sp.Rational
    three = {10**6: 3.0, 10**7: 3.0}
    four = {10**6: 4.0, 10**7: 4.0}
    sixteen = _levels(16, [q(2 * k - 15, 8) for k in range(1, 16)], [q(2 * k - 15, 8) - q(1, 8) for k in range(1, 17)])
    dorefa = parse("round(15*clip(x, 0, 1))/15", {})
    some = [q(-7, 4), q(-9, 10), q(-1, 2), q(-1, 10), q(1, 5), q(3, 5), 1, q(21, 10)]
    eight = _levels(8, [(a + b) / 2 for a, b in pairwise(some)], some)
    uneven = PROX_LIBRARY["finite projection"].map()
    found = [
        Case("two levels", "kernel", _kernel(sign), 1, three),
        Case("two levels", "kernel, sign(0) = 0", _kernel(CATALOGUE["BC"].pair().forward), 1, {}),
        Case("two levels", "kernel, 1 inside [-1, 1]", _kernel(CATALOGUE["BNN"].pair().backward), 1, {}),
        Case("two levels", "torch.sign", lambda x: lambda: torch.sign(x), 1, {}),
        Case("two levels", "torch.where(x >= 0, 1., -1.)", lambda x: lambda: torch.where(x >= 0, 1.0, -1.0), 1, {}),
        Case("three levels", "kernel", _kernel(CATALOGUE["TWN"].pair().forward), 1, three),
        Case("three levels", "kernel, uneven levels", _kernel(CATALOGUE["TTQ"].pair().forward), 1, {}),
        Case("soft threshold", "kernel", _kernel(PROX_LIBRARY["soft threshold"].map()), 1, three),
        Case("soft threshold", "softshrink", lambda x: lambda: torch.nn.functional.softshrink(x, 0.5), 1, {}),
        Case("4 uniform levels", "kernel", _kernel(CATALOGUE["LSQ"].pair().forward), 1, four),
        Case("16 uniform levels", "kernel", _kernel(sixteen), 1, four),
        Case("16 uniform levels", "kernel, round(15 x)/15", _kernel(dorefa), 1, four),
        Case("4 uneven levels", "kernel", _kernel(uneven), 1, {10**6: 15.0, 10**7: 7.5}),
        Case("8 uneven levels", "kernel", _kernel(eight), 1, {10**6: 35.0, 10**7: 17.5}),
        Case("piecewise linear", "PARQ, kernel on a copy", _mine(CATALOGUE["PARQ"].pair().forward), 1, {}),
        Case(
            "piecewise linear", "BinaryRelax, kernel on a copy", _mine(CATALOGUE["BinaryRelax"].pair().forward), 1, {}
        ),
        Case("uneven projection", "kernel on a copy", _mine(uneven), 1, {}),
        Case("SS and SS'", "joint kernel", _pair(swish, slope), 1.5, {10**6: 25.0, 10**7: 12.0}),
        Case("SS", "kernel", _kernel(swish), 1, {}),
        Case("SS'", "kernel", _kernel(slope), 1, {}),
        Case("tanh", "kernel", _kernel(CATALOGUE["MD-tanh"].pair().forward), 1, {}),
        Case("training", "torch.tanh", _trained(torch.tanh), 2.5, {}),
        Case("training", "SS, B kept", _trained(lambda x: _Swish.apply(x, joint)), 3.5, {}),
        Case("training", "SS, x kept", _trained(lambda x: _SwishAgain.apply(x, joint)), 2.5, {}),
    ]
    if importlib.util.find_spec("torchao") is not None:
        from torchao.prototype.parq.optim import ProxBinaryRelax, ProxHardQuant, ProxPARQ

        found += [
            Case("two levels", "torchao ProxHardQuant", _peer(ProxHardQuant(), [-1.0, 1.0], 0), 1, {}),
            Case(
                "uneven projection", "torchao ProxHardQuant", _peer(ProxHardQuant(), [-1.0, -0.25, 0.5, 2.0], 0), 1, {}
            ),
            Case("piecewise linear", "torchao ProxPARQ", _peer(ProxPARQ(0, 10), [-1.0, 0.0, 1.0], 5), 1, {}),
            Case("piecewise linear", "torchao ProxBinaryRelax", _peer(ProxBinaryRelax(0, 10), [-1.0, 1.0], 5), 1, {}),
        ]
    return sorted(found, key=lambda c: [d.shape for d in found].index(c.shape))


def _clock(device: torch.device) -> Callable[[Callable[[], Any], int], float]:
    """Seconds of one call: on a GPU by events around several."""

    def on_cpu(run: Callable[[], Any], times: int) -> float:
        start = time.perf_counter()
        for _ in range(times):
            run()
        return (time.perf_counter() - start) / times

    def on_gpu(run: Callable[[], Any], times: int) -> float:
        first, last = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        first.record()
        for _ in range(times):
            run()
        last.record()
        torch.cuda.synchronize()
        return float(first.elapsed_time(last)) / 1000 / times

    return on_gpu if device.type == "cuda" else on_cpu


def speed(device: torch.device, sizes: Sequence[int], seconds: float) -> list[dict[str, Any]]:
    """The rows of the table; about ``seconds`` for each case and size."""
    rows = []
    clock = _clock(device)
    for n in sizes:
        x = torch.randn(n, generator=torch.Generator().manual_seed(0)).to(device)
        copy_once = partial(torch.empty_like(x).copy_, x)
        timed: list[tuple[Case, float, float]] = []
        for case in cases():
            run = case.make(x)
            run()
            once = max(clock(run, 1), 1e-6)
            times = max(1, int(2e-4 / once))  # short calls are timed several at once
            best, copy, rounds = math.inf, math.inf, max(3, int(seconds / (once * times)))
            for _ in range(min(rounds, 2000)):
                copy = min(copy, clock(copy_once, max(1, int(50_000 / n))))
                best = min(best, clock(run, times))
            timed.append((case, best, copy))
        for case, best, copy in timed:
            target = case.targets.get(n)
            rows.append(
                {
                    "size": n,
                    "shape": case.shape,
                    "what": case.what,
                    "microseconds": best * 1e6,
                    "copies": best / copy,
                    "floor": case.floor,
                    "target": target,
                    "met": None if target is None else bool(best / copy <= target),
                    "gigabytes_per_second": case.floor * 8 * n / best / 1e9,
                    "copy_gigabytes_per_second": 8 * n / copy / 1e9,
                }
            )
        of = {r["what"]: r["copies"] for r in rows if r["size"] == n and r["shape"] == "training"}
        for r in rows:
            if r["size"] == n and r["shape"] == "training":
                r["times_tanh"] = r["copies"] / of["torch.tanh"]
    return rows


def table(found: dict[str, Any]) -> str:
    """The rows as text."""
    lines = [f"{found['device']}, torch {found['torch']}, {found['threads']} thread"]
    if "accuracy" in found:
        acc = found["accuracy"]
        lines.append(f"{acc['inputs']} inputs for each map and type; error in ulp, and as a share of {acc['bound']}")
        lines.append(f"{'map':40} {'kind':17} {'float32':>10} {'share':>9} {'float64':>10} {'share':>9}")
        for r in acc["maps"]:
            parts = [f"{r[k]['ulps']:10.3g} {r[k]['share']:9.3g}" for k in ("float32", "float64")]
            lines.append(f"{r['map']:40} {r['kind']:17} {' '.join(parts)}")
        return "\n".join([*lines, *(f"missed: {m}" for m in acc["missed"])])
    for n in sorted({r["size"] for r in found["speed"]}):
        part = [r for r in found["speed"] if r["size"] == n]
        lines += ["", f"{n} elements: a copy moves {part[0]['copy_gigabytes_per_second']:.3g} GB/s"]
        lines.append(f"{'shape':18} {'what':32} {'copies':>8} {'floor':>6} {'most':>6} {'GB/s':>8}")
        for r in part:
            most = "" if r["target"] is None else f"{r['target']:g}" + ("" if r["met"] else " !")
            extra = f"  {r['times_tanh']:.2f} x torch.tanh" if "times_tanh" in r else ""
            lines.append(
                f"{r['shape']:18} {r['what']:32} {r['copies']:8.2f} {r['floor']:6g} {most:>6} "
                f"{r['gigabytes_per_second']:8.1f}{extra}"
            )
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's text; returns the exit code."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    for name in ("quick", "json", "accuracy"):
        options.add_argument(f"--{name}", action="store_true")
    options.add_argument("--device", default="auto")
    given = options.parse_args(arguments)
    device = pick_device(given.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        found: dict[str, Any] = {
            "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
            "torch": torch.__version__,
            "threads": 1,
            "command": " ".join(["python benchmarks/kernels.py", *(sys.argv[1:] if arguments is None else arguments)]),
        }
        if given.accuracy:
            found["accuracy"] = accuracy(500 if given.quick else 1_000_000, device)
        else:
            large = (10**6, 10**7, 10**8) if device.type == "cuda" else (10**4, 10**6, 10**7)
            found["speed"] = speed(device, (10**4,) if given.quick else large, 0.001 if given.quick else 0.4)
    finally:
        torch.set_num_threads(threads)
    print(json.dumps(found, indent=1) if given.json else table(found))
    return 1 if given.accuracy and found["accuracy"]["missed"] else 0


if __name__ == "__main__":
    sys.exit(main())
