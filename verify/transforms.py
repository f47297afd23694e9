"""What a nonconvex f o T does to the statements, and what a backward that turns negative does to the latent weights.

T is the identity, clip, tanh or SS(y) = 2 s(y)(1 + y (1 - s(y))) - 1, s the logistic function; at sharpness beta the
transform is T(beta v). P is the identity (r = 0), clip (r = 0 on [-1, 1]) or the map of BNN (r = 0 on |w| >= 1), so
that clip with the last is BNN. Identity (I) holds step by step, also while beta_t moves; so does the statement
about a single w. No bound of the gap follows where f o T is not convex.

SS'(y) = (2 - y tanh(y/2))/(1 + cosh(y)) changes its sign once for y > 0, since y tanh(y/2) increases from 0:
at y* = 2.39936..., where SS has its maximum 1.19968. Beyond it SS falls to 1, and stays above 1 since SS(y) > 1
iff y > 1 + exp(-y), that is y > 1.2785. In one dimension, with f(w) = h (w - c)^2/2, P = id, bounded step sizes
and sum eta = infinity, from beta v_1 > y* (below -y* by symmetry):

- c <= 1: every step increases v, whatever its length. No point beyond y* is stationary, so v -> infinity (like
  log(t)/beta) and w -> 1 from above: a gradient that asks for a smaller w gets one, but never one below 1.
- c >= SS(y*): every step that does not cross y* decreases v towards y*, where w is largest and f o T least.
- between them there is a second solution of SS(y) = c beyond y*, and it attracts.

With tanh the factor is positive everywhere: the same c < 1 brings v back, though slowly where T is flat.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

from theory.catalogue import lookup_transform
from theory.errors import InputError
from theory.exact import sign_of
from theory.files import write_csv
from theory.parser import parse
from verify.converge import check_arguments
from verify.lowering import Lowered, lower
from verify.problems import Array, Problem, problem
from verify.proxconnect import Scheme
from verify.references import objective, reference
from verify.runs import PairSpec, marks, scheme_of, starting_point
from verify.schedules import schedule, step_sizes
from verify.sweep import Batch, Sweep, Trace

STEPS, MOST_STEPS = 400, 20_000
SEEDS, MOST_SEEDS = 10, 1000
PROBLEMS = ("plane", "quadratic", "diabetes")
TRANSFORMS = ("identity", "clip", "tanh", "SS")
PROXES = {
    "identity": PairSpec("FP"),
    "clip": PairSpec("clip", "clip(x, -1, 1)", "1"),
    "outward": PairSpec("BNN"),
}
"""P by a pair that has it: r = 0, the indicator of [-1, 1], and that of |w| >= 1."""
SHARPNESS = ("1", "5", "1 + t/100", "sqrt(t)", "Min(1 + t/50, 10)")
STEP_RULES = ("1/L", "1/(L*beta^2)")
"""Of f, and of f o T(beta .) as far as the curvature of f goes."""
STUCK = 1e-3
"""How far above the best known value a run has to end to count as stuck."""

HEADER = (
    "transform",
    "prox",
    "sharpness",
    "step_rule",
    "problem",
    "seeds",
    "steps",
    "closure",
    "path_ratio",
    "gap_ratio",
    "wide_ratio",
    "best_known",
    "median_last",
    "median_slope",
    "stuck",
    "negative",
    "beyond",
    "mean_u",
    "longest_u",
)
NEGATIVE_HEADER = ("step", "transform", "sharpness", "negative", "beyond", "mean_u")
ESCAPE_HEADER = ("transform", "target", "start", "steps", "last_v", "last_w", "gap", "monotone")


# --------------------------------------------------------------------------- the turning point of SS


def turns_between(low: Fraction, high: Fraction) -> bool:
    """Whether SS' > 0 at low and SS' < 0 at high, both positive: then the one sign change is between them. Proved."""
    ends = [sp.Rational(x.numerator, x.denominator) for x in (low, high)]
    signs = [sign_of(2 - y * sp.tanh(y / 2)) for y in ends]
    return bool(0 < low < high and signs[0] > 0 > signs[1])


@lru_cache(maxsize=8)
def turning_point(width: Fraction = Fraction(1, 10**12)) -> tuple[Fraction, Fraction]:
    """Rationals around y*, the root of y tanh(y/2) = 2, at most ``width`` apart."""
    low, high = Fraction(2), Fraction(3)
    while high - low > width:
        middle = (low + high) / 2
        y = sp.Rational(middle.numerator, middle.denominator)
        low, high = (middle, high) if sign_of(2 - y * sp.tanh(y / 2)) > 0 else (low, middle)
    return low, high


def turning() -> float:
    """y* as a float: 2.39936 (`turning_point` encloses it)."""
    return float(turning_point()[0])


# --------------------------------------------------------------------------- pairs


@lru_cache(maxsize=8)
def _maps(name: str) -> tuple[Lowered, Lowered]:
    """T and its derivative at sharpness 1."""
    entry = lookup_transform("SwishSign" if name == "SS" else name)
    given = {parameter: sp.Integer(1) for parameter in entry.params}
    return lower(parse(entry.transform, given)), lower(parse(entry.derivative, given))


@lru_cache(maxsize=32)
def combined(transform: str, prox: str) -> Scheme:
    """The scheme with this T (at sharpness 1) and this P.

    clip takes BNN's backward at its kinks: B(+-1) = 1.
    """
    base = scheme_of(PROXES[prox])
    if transform == "identity":
        own = scheme_of(PROXES["identity"])
        return replace(base, transform=own.transform, factor=own.factor, affine=True, identity=True)
    if transform == "clip":
        own = scheme_of(PROXES["outward"])
        return replace(base, transform=own.transform, factor=own.factor, affine=False, identity=False)
    value, slope = _maps(transform)
    return replace(base, transform=value, factor=lambda _, v: slope(v), affine=False, identity=False)


def sharpened(how: Scheme, beta: float) -> Scheme:
    """The same with T(beta v) in place of T(v)."""
    if how.identity or beta == 1.0:
        return how
    value, factor = how.transform, how.factor
    return replace(how, transform=lambda v: value(beta * v), factor=lambda u, v: beta * factor(u, beta * v))


def reach(transform: str) -> float:
    """The largest w that T comes to (or near): 1 for clip and tanh, SS(y*) for SS, +inf for the identity."""
    if transform == "identity":
        return math.inf
    return float(_maps("SS")[0](np.array([turning()]))[0]) if transform == "SS" else 1.0


def _boxed(of: Problem, most: float) -> Array:
    """The minimiser of f over [-most, most]^d, a convex problem."""
    from scipy.optimize import minimize

    if not math.isfinite(most):
        return of.minimiser
    found = minimize(
        lambda w: tuple(of.both(w)),
        np.clip(of.minimiser, -most, most),
        jac=True,
        method="L-BFGS-B",
        bounds=[(-most, most)] * of.dimension,
        options={"ftol": 1e-15, "gtol": 1e-12},
    )
    return np.asarray(found.x)


def comparator(of: Problem, transform: str, prox: str, beta: float) -> tuple[Array, float]:
    """A point w of dom r with a low f o T(beta .), and the least value known.

    For P = id and clip the value is the minimum of f over the box T(dom r), the infimum of f o T; w is the point of the
    increasing branch of T (up to |beta v| = 6) whose image is nearest to where it is attained. For BNN's P see
    `verify.references.reference`.
    """
    how = sharpened(combined(transform, prox), beta)
    if prox == "outward":
        w = reference(of, how)
        return w, float(objective(of, how)(w))
    most = 6.0 if transform != "SS" else turning()
    if prox == "clip":
        most = min(most, 1.0 if transform == "identity" else beta)
    if transform == "identity":
        best = _boxed(of, math.inf if prox == "identity" else 1.0)
        return best, float(of.value(best))
    grid = np.linspace(-most, most, 4001)
    values = combined(transform, prox).transform(grid)
    top = reach(transform) if prox == "identity" else float(values.max())
    best = _boxed(of, top)
    v = np.interp(np.clip(best, values[0], values[-1]), values, grid) / beta
    return np.asarray(v), float(of.value(best))


# --------------------------------------------------------------------------- runs


@dataclass(frozen=True)
class Moment:
    """The state at a mark, for the runs (R,): share of negative factors, of |beta u| > y*, and mean |u|."""

    step: int
    negative: Array
    beyond: Array
    mean_u: Array


@dataclass(frozen=True)
class Group:
    """The runs of one problem and sharpness: the batch, its last trace, and what was seen on the way.

    ``closure`` (R,), at the first comparator, and ``path_ratio`` (R,) are the largest over the marks; ``values`` and
    ``slopes`` (R,) are f o T and the length of its gradient at the last v.
    """

    batch: Batch
    beta: Array
    trace: Trace
    closure: Array
    path_ratio: Array
    moments: list[Moment]
    u: Array
    values: Array
    slopes: Array
    best: tuple[float, ...]


def names_of(sharpness: str) -> tuple[tuple[str, str], ...]:
    """The pairs (T, P) run at a sharpness: the identity has none, so it is in the first alone."""
    return tuple((t, p) for t in TRANSFORMS for p in PROXES if t != "identity" or sharpness == SHARPNESS[0])


def batch_of(name: str, sharpness: str, seeds: int, steps: int, seed: int) -> tuple[Batch, Array, tuple[float, ...]]:
    """The batch of `names_of` and `STEP_RULES`, its beta_t (steps,), and the best known values.

    Where beta is 1 throughout the two rules are one, and only the first is run.
    """
    of, names = problem(name), names_of(sharpness)
    beta = step_sizes(of, schedule(sharpness), steps)
    rules = [np.full(steps, 1.0), 1.0 / beta**2][: 1 if np.all(beta == 1.0) else 2]
    etas = np.stack(rules) / of.smoothness
    known = [comparator(of, t, p, float(beta[-1])) for t, p in names]
    batch = Batch(
        tuple(combined(t, p) for t, p in names),
        (of,),
        etas[None],
        np.stack([[starting_point(of, s) for s in range(seed, seed + seeds)]]),
        np.stack([w for w, _ in known])[:, None],
        None,
        np.broadcast_to(beta, etas.shape),
    )
    return batch, beta, tuple(value for _, value in known)


def _follow(batch: Batch, beta: Array, best: tuple[float, ...], progress: Callable[[int], None]) -> Group:
    """Run a batch, looking at it at the marks of `verify.runs.marks`."""
    under_way = Sweep(batch, grid_every=0)
    runs = len(under_way.u)
    per = runs // len(batch.schemes)
    closure, ratio, moments = np.zeros(runs), np.full(runs, -np.inf), []
    star = turning()
    trace = None
    for mark in marks(batch.steps):
        while under_way.t < mark:
            under_way.step()
        trace = under_way.trace()
        closure = np.maximum(closure, np.maximum(trace.closure[0], trace.closure_second[0]))
        usable = trace.bound[0] > 0
        ratio = np.where(usable, np.maximum(ratio, trace.path[0] / np.where(usable, trace.bound[0], 1.0)), ratio)
        now = float(beta[min(mark, batch.steps - 1)])
        negative = np.concatenate(
            [
                np.mean(_factor(how, under_way, slice(k * per, (k + 1) * per), now) < 0, axis=1)
                for k, how in enumerate(batch.schemes)
            ]
        )
        size = np.abs(under_way.u)
        moments.append(Moment(mark, negative, np.mean(now * size > star, axis=1), size.mean(axis=1)))
    progress(batch.steps)
    assert trace is not None  # the last step is a mark
    of, final = batch.problems[0], float(beta[-1])
    values, slopes = [], []
    for k, how in enumerate(batch.schemes):
        last, v = sharpened(how, final), under_way.v[k * per : (k + 1) * per]
        values.append(objective(of, last)(v))
        slopes.append(np.linalg.norm(last.factor(v, v) * of.gradient(last.transform(v)), axis=1))
    joined, slope = np.concatenate(values), np.concatenate(slopes)
    return Group(batch, beta, trace, closure, ratio, moments, under_way.u, joined, slope, best)


def _factor(how: Scheme, under_way: Sweep, rows: slice, beta: float) -> Array:
    return np.asarray(sharpened(how, beta).factor(under_way.u[rows], under_way.v[rows]))


def _rows(group: Group, sharpness: str) -> Iterable[tuple[Any, ...]]:
    """One row per transform, P and step rule."""
    names = names_of(sharpness)
    rules, seeds = group.batch.etas.shape[1], group.batch.starts.shape[1]
    shape = (len(names), rules, seeds)
    t = group.trace
    fixed = bool(np.all(group.beta == group.beta[0]))
    best, bound = t.best.reshape(shape), t.bound[0].reshape(shape)
    wide, values, slopes = (a.reshape(shape) for a in (t.wide, group.values, group.slopes))
    u = np.abs(group.u).reshape(*shape, -1)
    last = group.moments[-1]
    for k, (transform, prox) in enumerate(names):
        known = min(group.best[k], float(values[k].min()))
        for r, rule in enumerate(STEP_RULES[:rules]):
            positive = bound[k, r] > 0
            ratios = [float(np.max(a[k, r][positive] / bound[k, r][positive], initial=-math.inf)) for a in (best, wide)]
            yield (
                transform,
                prox,
                sharpness,
                rule,
                group.batch.problems[0].name,
                seeds,
                group.batch.steps,
                float(group.closure.reshape(shape)[k, r].max()),
                _number(float(group.path_ratio.reshape(shape)[k, r].max())),
                _number(ratios[0]) if fixed else "",
                _number(ratios[1]) if fixed else "",
                known,
                float(np.median(values[k, r])),
                float(np.median(slopes[k, r])),
                float(np.mean(values[k, r] > known + STUCK)),
                float(t.negative.reshape(shape)[k, r].mean()),
                float(last.beyond.reshape(shape)[k, r].mean()),
                float(u[k, r].mean()),
                float(u[k, r].max()),
            )


def _number(value: float) -> float | str:
    return value if math.isfinite(value) else ""


def _negative_rows(group: Group, sharpness: str) -> Iterable[tuple[Any, ...]]:
    """P = id with the step size 1/L over the marks, means over seeds."""
    names = names_of(sharpness)
    shape = (len(names), *group.batch.etas.shape[1:2], group.batch.starts.shape[1])
    for k, (transform, prox) in enumerate(names):
        if prox != "identity":
            continue
        for m in group.moments:
            shares = (float(a.reshape(shape)[k, 0].mean()) for a in (m.negative, m.beyond, m.mean_u))
            yield (m.step, transform, sharpness, *shares)


# --------------------------------------------------------------------------- one dimension


@dataclass(frozen=True)
class Escape:
    """Gradient descent on (T(v) - c)^2/2, step 1: where it ends, and whether v was monotone on the way."""

    transform: str
    target: float
    start: float
    steps: int
    last_v: float
    last_w: float
    gap: float
    monotone: str


def escape(transform: str, target: float, start: float, steps: int) -> Escape:
    """One run; ``gap`` is above the least (T(v) - c)^2/2, ``monotone`` up, down or no."""
    how = combined(transform, "identity")
    v = np.array([start])
    path = [start]
    for _ in range(steps):
        v = v - how.factor(v, v) * (how.transform(v) - target)
        path.append(float(v[0]))
    w = float(how.transform(v)[0])
    least = min(max(target, -reach(transform)), reach(transform))
    moves = np.diff(path)
    monotone = "up" if np.all(moves > 0) else "down" if np.all(moves <= 0) else "no"
    gap = 0.5 * (w - target) ** 2 - 0.5 * (least - target) ** 2
    return Escape(transform, target, start, steps, float(v[0]), w, gap, monotone)


TARGETS = (0.5, 1.0, 1.1, 1.5)
STARTS = (0.5, 3.0)


# --------------------------------------------------------------------------- all of it


def total(steps: int) -> int:
    """What `run` reports as progress in all."""
    return len(SHARPNESS) * len(PROBLEMS) * steps


def run(
    out: str | Path,
    seed: int = 0,
    steps: int = STEPS,
    progress: Callable[[int], None] = lambda _: None,
    seeds: int = SEEDS,
) -> list[tuple[Any, ...]]:
    """Write DIR/convergence/{transforms,negative,escape}.csv; returns the rows of the first.

    transforms.csv: ``closure`` of (I) and (II) at the comparator (at v_1 the terms of a run that hardly moves are as
    small as the rounding of u) and ``path_ratio`` (mean of <v_t - w, g_t> over its bound) are the largest over seeds
    and marks, ``gap_ratio`` (best gap) and ``wide_ratio`` (Frank-Wolfe gap, where dom r is bounded) over seeds at the
    end, blank while T moves. ``stuck`` is the share of runs whose last F~ is more than `STUCK` above ``best_known``;
    ``median_slope``, |grad f o T| there, tells the stationary from the slow. ``negative`` is the share of negative
    factors in the run, ``beyond`` that of |beta u| > y* at its end (with any T, for comparison). negative.csv: the
    same at the marks, for the last of `PROBLEMS`, P = id and the step size 1/L. escape.csv: one dimension, with the
    direction of v. ``progress`` is called with steps (`total` in all).
    Raises `InputError` for a seed, a number of steps or of seeds out of range.
    """
    check_arguments(seed, steps, MOST_STEPS)
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"the number of seeds must be between 1 and {MOST_SEEDS}, not {seeds}")
    rows: list[tuple[Any, ...]] = []
    negative: list[tuple[Any, ...]] = []
    for sharpness in SHARPNESS:
        for name in PROBLEMS:
            batch, beta, best = batch_of(name, sharpness, seeds, steps, seed)
            group = _follow(batch, beta, best, progress)
            rows += _rows(group, sharpness)
            if name == PROBLEMS[-1]:
                negative += _negative_rows(group, sharpness)
    one = [escape(t, c, v, 10 * steps) for t in ("tanh", "SS") for c in TARGETS for v in STARTS]
    folder = Path(out) / "convergence"
    write_csv(folder / "transforms.csv", HEADER, rows)
    write_csv(folder / "negative.csv", NEGATIVE_HEADER, negative)
    write_csv(folder / "escape.csv", ESCAPE_HEADER, [tuple(getattr(e, n) for n in ESCAPE_HEADER) for e in one])
    return rows


__all__ = [
    "ESCAPE_HEADER",
    "HEADER",
    "NEGATIVE_HEADER",
    "PROBLEMS",
    "PROXES",
    "SHARPNESS",
    "STEPS",
    "STEP_RULES",
    "TRANSFORMS",
    "Escape",
    "combined",
    "comparator",
    "escape",
    "reach",
    "run",
    "sharpened",
    "total",
    "turning",
    "turning_point",
    "turns_between",
]
