"""Comparators: a point w with r(w) finite at which F~ = f o T + r (or f o T for a fixed pair) is as low as we can tell.

For convex r and affine T this is the minimiser, by the accelerated proximal gradient method with restarts
(Nesterov 2013; O'Donoghue and Candes 2015), which knows P only at mu = 1/L. Elsewhere it need not be a global
minimiser, so a gap measured from it can be negative; every statement about a comparator holds at it all the same.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from verify.ledger import domain, on_floats
from verify.lowering import lower
from verify.problems import Array, Problem
from verify.proxconnect import Scheme


def objective(of: Problem, run: Scheme) -> Callable[[Array], Array]:
    """F~ on arrays (..., d)."""
    r = lower(on_floats(run.regularizer)) if run.regularizer is not None and run.advances else None

    def value(v: Array) -> Array:
        f = of.value(run.transform(v))
        return f if r is None else np.asarray(f + np.sum(r(v), axis=-1))

    return value


def reference(of: Problem, run: Scheme) -> Array:
    """A comparator w (d,) with r(w) finite: f's minimiser projected onto dom r, then improved.

    For convex r, affine T and smooth f see `_accelerated`. Otherwise first coordinates move to other intervals
    of dom r while F~ falls (see `_moves`), then it is improved by `_descended`, or by L-BFGS-B within the intervals
    where F~ is smooth there. That need not be a global minimiser of a nonconvex F~, so a gap can be negative.
    """
    if run.regularizer is None:
        return of.minimiser
    moving = run.advances and run.affine and _slope(run) != 0 and math.isfinite(of.smoothness)
    if moving and run.convex:
        return _accelerated(of, run)
    spans = domain(run.regularizer)
    choices = np.stack([np.clip(of.minimiser, lo, hi) for lo, hi in spans])  # (intervals, d)
    picked = np.argmin(np.abs(choices - of.minimiser), axis=0)
    w = np.take_along_axis(choices, picked[None], axis=0)[0]
    value = objective(of, run)
    best = float(value(w))
    for _ in range(4 * of.dimension if len(spans) > 1 else 0):
        moves = _moves(picked, len(spans))
        trial = np.take_along_axis(choices, moves, axis=0)
        values = value(trial)
        k = int(np.argmin(values))
        if not values[k] < best:
            break
        best, w, picked = float(values[k]), trial[k], moves[k]
    bounds = [spans[k] for k in picked]
    if run.mode == "sign-field" or all(lo == hi for lo, hi in bounds):
        return w
    if moving:
        return _descended(of, run, w)
    return _polished(of, run, w, bounds, best) if _smooth_objective(run) else w


def _moves(picked: Array, intervals: int) -> Array:
    """Choices of intervals (M, d) to try from ``picked`` (d,).

    All there are if they are few, else those that differ in one coordinate, or in two where that
    is still a small batch.
    """
    d, k = len(picked), np.arange(intervals)
    if intervals**d <= 4096:
        return np.stack(np.unravel_index(np.arange(intervals**d), (intervals,) * d), axis=-1)
    if intervals * d > 128:
        one = np.broadcast_to(picked, (intervals, d, d)).copy()
        np.einsum("kii->ki", one)[...] = k[:, None]
        return one.reshape(-1, d)
    two = np.broadcast_to(picked, (intervals, intervals, d, d, d)).copy()
    np.einsum("kliji->klij", two)[...] = k[:, None, None, None]
    np.einsum("klijj->klij", two)[...] = k[None, :, None, None]
    return two.reshape(-1, d)


def _smooth_objective(run: Scheme) -> bool:
    r = run.regularizer
    return not run.advances or (r is not None and all(not e.free_symbols for e in r.exprs))


def _polished(of: Problem, run: Scheme, w: Array, bounds: list[tuple[float, float]], best: float) -> Array:
    """L-BFGS-B on f o T from w within the bounds; w itself unless the value falls."""
    from scipy.optimize import minimize

    def both(v: Array) -> tuple[float, Array]:
        at = run.transform(v)
        return float(of.value(at)), run.factor(v, v) * of.gradient(at)

    found = minimize(both, w, jac=True, method="L-BFGS-B", bounds=bounds, options={"ftol": 1e-15, "gtol": 1e-12})
    return np.asarray(found.x) if float(found.fun) < best else w


def _accelerated(of: Problem, run: Scheme, most: int = 4_000) -> Array:
    """The minimiser of f o T + r by accelerated proximal gradient steps of length 1/L, restarted where F~ rises."""
    slope = _slope(run)
    step = 1.0 / (of.smoothness * slope**2)
    prox = run.prox.at(np.asarray([step]))
    value = objective(of, run)
    w = run.prox.at(1.0)(of.minimiser)
    ahead, momentum, least = w, 1.0, float(value(w))
    still = 0
    for _ in range(most):
        after = prox(ahead - step * slope * of.gradient(run.transform(ahead)))
        now = float(value(after))
        if now > least and momentum > 1.0:
            ahead, momentum = w, 1.0
            continue
        moved = float(np.max(np.abs(after - w)))
        grown = 0.5 * (1.0 + math.sqrt(1.0 + 4.0 * momentum * momentum))
        ahead = after + (momentum - 1.0) / grown * (after - w)
        w, momentum, least = after, grown, min(now, least)
        still = still + 1 if moved <= 4e-16 * (1.0 + float(np.max(np.abs(w)))) else 0
        if still == 3:
            break
    return w


def _descended(of: Problem, run: Scheme, w: Array, starts: int = 64, steps: int = 400) -> Array:
    """The best end of proximal gradient steps of length 1/L from w and from points around f's minimiser."""
    slope = _slope(run)
    step = 1.0 / (of.smoothness * slope**2)
    prox = run.prox.at(np.asarray([step]))
    value = objective(of, run)
    noise = np.random.default_rng(0).standard_normal((starts, of.dimension))
    v = np.concatenate([w[None], run.prox.at(1.0)(of.minimiser + noise)])
    for _ in range(steps):
        v = prox(v - step * slope * of.gradient(run.transform(v)))
    ends = np.concatenate([w[None], v])
    values = value(ends)
    return np.asarray(ends[int(np.nanargmin(values))])


def _slope(run: Scheme) -> float:
    """The slope of an affine T."""
    if run.identity:
        return 1.0
    ends = run.transform(np.array([0.0, 1.0]))
    return float(ends[1] - ends[0])


def transform_slope(run: Scheme) -> float:
    """|T'| of an affine T, NaN of any other."""
    return abs(_slope(run)) if run.affine else math.nan


__all__ = ["objective", "reference", "transform_slope"]
