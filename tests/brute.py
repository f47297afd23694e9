"""Brute-force proximal maps, written from the definition alone: a grid, then golden sections, in floats."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import sympy as sp

from theory.maps import PiecewiseMap

SPAN, GRID = 14.0, 2401
GOLDEN = (3 - 5**0.5) / 2


class Objective:
    """w -> (w - x)^2/(2 mu) + r(w) for a regularizer given as a map."""

    def __init__(self, r: PiecewiseMap, mu: float) -> None:
        self.mu = mu
        self.breaks = [float(b) for b in r.breaks]
        self.values = [np.inf if v is None or v is sp.oo else float(v) for v in r.values]
        x = sp.Symbol("x", real=True)
        self.pieces: list[Callable[[Any], Any] | None] = [
            None if e is sp.oo else sp.lambdify(x, e, "numpy") for e in r.exprs
        ]
        ends = [b + s * 1e-12 for b in self.breaks for s in (-1, 1)]
        self.grid = np.unique([*np.linspace(-SPAN, SPAN, GRID), *self.breaks, *ends])
        self.on_grid = self.r(self.grid)

    def r(self, w: Any) -> Any:
        out = np.full(np.shape(w), np.inf)
        which = np.searchsorted(self.breaks, w)
        with np.errstate(all="ignore"):
            for k, f in enumerate(self.pieces):
                inside = which == k
                if f is not None and inside.any():
                    out[inside] = f(w[inside]) * np.ones(int(inside.sum()))
        for b, v in zip(self.breaks, self.values, strict=True):
            out[w == b] = v
        return np.where(np.isnan(out), np.inf, out)

    def at(self, w: Any, x: float) -> Any:
        w = np.atleast_1d(np.asarray(w, float))
        return (w - x) ** 2 / (2 * self.mu) + self.r(w)

    def minimisers(self, x: float) -> tuple[float, Any]:
        """(least value, points within 1e-9 of it), refined between grid points."""
        g, v = self.grid, (self.grid - x) ** 2 / (2 * self.mu) + self.on_grid
        left, right = np.r_[np.inf, v[:-1]], np.r_[v[1:], np.inf]
        low = np.flatnonzero(np.isfinite(v) & (v <= left) & (v <= right) & (v < v.min() + 0.05))
        a = np.r_[g[np.maximum(low - 1, 0)], g[low]]
        b = np.r_[g[low], g[np.minimum(low + 1, len(g) - 1)]]
        for _ in range(60):
            p, q = a + (b - a) * GOLDEN, b - (b - a) * GOLDEN
            smaller = self.at(p, x) <= self.at(q, x)
            a, b = np.where(smaller, a, p), np.where(smaller, q, b)
        points = np.r_[g[low], (a + b) / 2]
        values = self.at(points, x)
        best = float(values.min())
        return best, points[values <= best + 1e-9]


def disagreement(
    r: PiecewiseMap, mu: float, x: float, claimed: list[float], filled: bool = False, memo: Any = None
) -> str:
    """What is wrong with claimed = P(x), '' if nothing: each point is least, each least point is claimed."""
    objective = memo if memo is not None else Objective(r, mu)
    best, points = objective.minimisers(x)
    scale = 1e-8 * (1 + abs(best))
    near = np.array(claimed)
    for v in claimed:
        # r may jump at v: the limits from both sides count as well
        here = min(objective.at(v + d, x)[0] for d in (0.0, -1e-10, 1e-10))
        if not here <= best + scale:
            return f"P({x}) = {v} has {here}, but {best} is reached at {points[:3]}"
    for w in points[objective.at(points, x) <= best + 1e-13]:
        between = filled and near.min() <= w <= near.max()
        if not between and np.abs(near - w).min() > 1e-4 * (1 + abs(w)) and abs(objective.at(w, x)[0] - best) < 1e-14:
            return f"P({x}) misses {w}: only {claimed}"
    return ""
