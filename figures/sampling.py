"""An exact map on a window, as the points that a drawing of it needs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from theory.errors import Undecided
from theory.exact import X, enclose, precision, to_float
from theory.graphs import MonotoneGraph
from theory.maps import PiecewiseMap
from theory.parser import parse, parse_constant
from verify.lowering import Lowered, lower

_FIRST = 33  # points of a curved piece before refining; straight pieces need their two ends
_ROUNDS = 5  # halvings at most: up to 1025 points where a curve bends everywhere
_ALONG = 129  # points of a curved piece that is known by a parameter
_BEND = 1 / 1500  # largest distance of a chord from its curve, in heights of the curve


Array = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One point of a drawing.

    ``kind``: ``curve`` (joined within one ``piece``), ``tie`` (the stated value at a breakpoint),
    ``limit`` (a one-sided limit that is not taken), ``infinite`` (the two ends of a piece where
    the map is +oo).
    """

    kind: str
    piece: int
    x: float
    y: float


@lru_cache(maxsize=2000)
def read_map(text: str, params: tuple[tuple[str, str], ...] = ()) -> PiecewiseMap:
    """The map of a text in the grammar of `check`, oo admitted; ``params``: (name, exact value as text)."""
    values = {name: parse_constant(value, f"parameter {name}") for name, value in params}
    return parse(text, values, allow_infinity=True)


def _limit(expr: Any, at: Any, side: int, f: Lowered) -> float:
    """The one-sided limit at a breakpoint: by enclosure there, else the value at the next float."""
    try:
        with precision(200):
            ball = enclose(expr, enclose(at))
        if ball.is_finite():
            return float(ball.mid())
    except Undecided:
        pass  # expressions without an enclosure are evaluated beside the breakpoint, as below
    beside = math.nextafter(to_float(at), math.inf if side > 0 else -math.inf)
    return float(f(np.array([beside]))[0])


def _is_straight(expr: Any) -> bool:
    return bool(sp.diff(expr, X, 2) == 0)


def _curve(f: Lowered, a: float, b: float, size: float) -> tuple[Array, Array]:
    """Points of f on [a, b], close enough together that no chord leaves the curve visibly."""
    # cosine spacing: denser at the ends, where slopes may be infinite
    xs = a + (b - a) * (1 - np.cos(np.linspace(0, math.pi, _FIRST))) / 2
    xs[0], xs[-1] = a, b
    ys = f(xs)
    finite = ys[np.isfinite(ys)]
    height = min(size, float(np.ptp(finite))) if finite.size else size
    fresh = np.ones(len(xs) - 1, dtype=bool)
    for _ in range(_ROUNDS):
        middle = (xs[:-1] + xs[1:]) / 2
        with np.errstate(invalid="ignore"):
            values = np.where(fresh, f(middle), (ys[:-1] + ys[1:]) / 2)
            # a chord that ends at infinity is refined like one that bends
            bent = fresh & ~(np.abs(values - (ys[:-1] + ys[1:]) / 2) <= _BEND * height)
        if not bent.any():
            break
        at = np.flatnonzero(bent)
        xs, ys = np.insert(xs, at + 1, middle[at]), np.insert(ys, at + 1, values[at])
        # both halves of a split chord are looked at again, the others are done
        fresh = np.insert(bent, at + 1, True)
    return xs, ys


def trace(m: PiecewiseMap, lo: float, hi: float) -> list[Point]:
    """The points that draw the map on [lo, hi], lo < hi: curves, ties and one-sided limits.

    Raises `Undecided` for a map with infinitely many breakpoints.
    """
    f = lower(m, "numpy")
    breaks = [to_float(b) for b in m.breaks]
    points: list[Point] = []
    for i, expr in enumerate(m.exprs):
        a = max(breaks[i - 1], lo) if i > 0 else lo
        b = min(breaks[i], hi) if i < len(breaks) else hi
        if not a < b:
            continue
        if expr in (sp.oo, -sp.oo):
            points += [Point("infinite", i, end, to_float(expr)) for end in (a, b)]
            continue
        xs, ys = (np.array([a, b]), f(np.array([a, b]))) if _is_straight(expr) else _curve(f, a, b, hi - lo)
        if i > 0 and a == breaks[i - 1]:
            ys[0] = _limit(expr, m.breaks[i - 1], 1, f)
        if i < len(breaks) and b == breaks[i]:
            ys[-1] = _limit(expr, m.breaks[i], -1, f)
        points += [Point("curve", i, float(x), float(y)) for x, y in zip(xs, ys, strict=True) if math.isfinite(y)]
    for i, (x, value) in enumerate(zip(breaks, m.values, strict=True)):
        if lo <= x <= hi:
            points += _tie(m, i, x, value, f)
    return points


def _tie(m: PiecewiseMap, i: int, x: float, value: Any, f: Lowered) -> list[Point]:
    """The stated value and the limits that differ from it; nothing where the map is continuous."""
    stated = math.nan if value is None else to_float(value)
    limits: list[float] = []
    for expr, side in ((m.exprs[i], -1), (m.exprs[i + 1], 1)):
        y = math.inf if expr in (sp.oo, -sp.oo) else _limit(expr, m.breaks[i], side, f)
        if not math.isclose(y, stated, rel_tol=1e-9, abs_tol=1e-12) and y not in limits:
            limits.append(y)
    if not limits:
        return []
    tie = [Point("tie", i, x, stated)] if math.isfinite(stated) else []
    return tie + [Point("limit", i, x, y) for y in limits if math.isfinite(y)]


def trace_graph(graph: MonotoneGraph, lo: Any, hi: Any) -> list[Point]:
    """The points that draw a graph for exact lo < x < hi; where it jumps over a gap, the two values that it has."""
    points: list[Point] = []
    for i, q in enumerate(graph.restrict(lo, hi).pieces):
        ends = [(to_float(q.from_x), to_float(q.from_p)), (to_float(q.to_x), to_float(q.to_p))]
        if not q.filled:
            points += [Point("tie", i, x, y) for x, y in ends]
            continue
        inside: list[tuple[float, float]] = []
        if not (_is_straight(q.x) and _is_straight(q.p)):
            a, b = to_float(q.lo), to_float(q.hi)
            s = a + (b - a) * (1 - np.cos(np.linspace(0, math.pi, _ALONG))[1:-1]) / 2
            xs, ys = (lower(PiecewiseMap.of(e), "numpy")(s) for e in (q.x, q.p))
            inside = [(float(x), float(y)) for x, y in zip(xs, ys, strict=True)]
        points += [Point("curve", i, x, y) for x, y in (ends[0], *inside, ends[1])]
    return points


def window(m: PiecewiseMap, least: float = 2.5, most: float = 20.0) -> float:
    """Half-width of a window around 0 that shows every breakpoint, between ``least`` and ``most``."""
    far = max((abs(to_float(b)) for b in m.breaks), default=0.0)
    return min(max(least, 1.2 * far), most)
