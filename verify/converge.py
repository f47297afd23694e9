"""The convergence experiment: every method on every convex problem, with the ledger on.

Step sizes are eta_t = 1/(L sqrt(t)) with exact gradients, so the bound of MATH.md, section 4,
vanishes for a convex r. Gaps are F~(v) - F~(w) with F~ = f o T + r where mu advances and f o T where it
does not; w is the comparator of `reference`. ``gap_best`` and ``gap_last`` are the least and the latest
value, ``gap_avg`` the eta-weighted mean of the values (for convex F~ an upper bound of the value
at the mean). ``bound`` = (D_1(w) + sum D_{t+1}(v_t)) / sum eta is written only where it is one: T affine,
g the gradient of f o T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from theory.catalogue import lookup
from theory.decision import decide
from theory.errors import InputError
from theory.files import write_csv
from verify.ledger import TOLERANCE, Ledger, Row, domain, scalars
from verify.lowering import lower
from verify.problems import PROBLEMS, USUAL, Array, Problem, problem
from verify.proxconnect import Scheme, scheme

METHODS = ("FP", "BC", "PC", "BNN", "BNN+", "BNN++", "MD-tanh", "ApproxSign")
STEPS, MOST_STEPS = 1000, 1_000_000
STARTS = 3
"""Random starting points carried along in one batch; the CSV files show the first."""

LEDGER_HEADER = (
    "step",
    "eta",
    "mu",
    "left",
    "d_first",
    "d_last",
    "d_sum",
    "abs_sum",
    "closure_error",
    "gap_best",
    "gap_avg",
    "gap_last",
    "bound",
    "residual",
    "flips",
    "min_D",
)
SUMMARY_HEADER = (
    "problem",
    "method",
    "verdict",
    "mode",
    "regularizer",
    "steps",
    "max_closure_error",
    "min_D",
    "gap_best",
    "gap_avg",
    "gap_last",
    "bound",
    "note",
)
_NOT_A_BOUND = "T is not affine, so f o T need not be convex: no bound of the gap"
_FIELD = "T = id, P = F, and g = B*grad f is no gradient of f: the identity holds, but bounds no gap"


# --------------------------------------------------------------------------- comparators


def _objective(of: Problem, run: Scheme) -> Callable[[Array], Array]:
    """F~ on arrays (..., d)."""
    r = lower(run.regularizer) if run.regularizer is not None and run.advances else None

    def value(v: Array) -> Array:
        f = of.value(run.transform(v))
        return f if r is None else np.asarray(f + np.sum(r(v), axis=-1))

    return value


def reference(of: Problem, run: Scheme) -> Array:
    """A comparator w (d,) with r(w) finite: f's minimiser projected onto dom r, then improved.

    First coordinates move to other intervals of dom r while F~ falls (see `_moves`), then L-BFGS-B
    lowers F~ within the intervals (only where F~ is smooth there). It need not be a global minimiser
    of a nonconvex F~, so a gap can be negative.
    """
    if run.regularizer is None:
        return of.minimiser
    spans = domain(run.regularizer)
    choices = np.stack([np.clip(of.minimiser, lo, hi) for lo, hi in spans])  # (intervals, d)
    picked = np.argmin(np.abs(choices - of.minimiser), axis=0)
    w = np.take_along_axis(choices, picked[None], axis=0)[0]
    value = _objective(of, run)
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
    if run.mode == "sign-field" or all(lo == hi for lo, hi in bounds) or not _smooth_objective(run):
        return w
    return _polished(of, run, w, bounds, best)


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


# --------------------------------------------------------------------------- one run


@dataclass(frozen=True)
class Gaps:
    """Gaps after a step, each (S,)."""

    best: Array
    average: Array
    last: Array


def step_sizes(of: Problem, steps: int) -> Array:
    """eta_t = 1/(L sqrt(t)), t = 1..steps."""
    return np.asarray(of.step / np.sqrt(np.arange(1.0, steps + 1)))


def starting_points(of: Problem, seed: int, starts: int = STARTS) -> Array:
    """u_1 of shape (starts, d), standard normal times 1/2: the same for every method."""
    key = [seed, list(PROBLEMS).index(of.name)]
    return np.asarray(0.5 * np.random.default_rng(key).standard_normal((starts, of.dimension)))


def follow(of: Problem, run: Scheme, start: Array, etas: Array, comparator: Array) -> Iterator[tuple[Gaps, Row | None]]:
    """Run PC++ and yield the gaps and the ledger (None in mode ``none``) after every step."""
    value = _objective(of, run)
    base = value(comparator) if run.regularizer is not None else of.value(comparator)
    u, mu = start, 1.0
    v = run.prox.at(mu)(u)
    book = None
    if run.regularizer is not None:
        grid = scalars(run.regularizer)
        book = Ledger(u, v, comparator, lower(run.regularizer), grid, mu, convex=run.convex is True)
    best, weighted, weight = np.full(len(start), np.inf), np.zeros(len(start)), 0.0
    for eta in map(float, etas):
        gap = value(v) - base
        best, weighted, weight = np.minimum(best, gap), weighted + eta * gap, weight + eta
        g = run.factor(u, v) * of.gradient(run.transform(v))
        u = u - eta * g
        mu = mu + eta if run.advances else mu
        v = run.prox.at(mu)(u)
        row = None
        if book is not None:
            book.step(eta, g, u, v, mu)
            row = book.row(eta)
        yield Gaps(best, weighted / weight, gap), row


# --------------------------------------------------------------------------- the experiment


def _regularizer_word(run: Scheme) -> str:
    if run.regularizer is None:
        return "none"
    return {True: "convex", False: "nonconvex", None: "undecided"}[run.convex]


def _note(run: Scheme, sound: bool) -> str:
    if run.mode == "none":
        return run.reason
    parts = [] if sound else ["THE LEDGER FAILS: it does not close, or some D_t is negative"]
    parts += [run.reason] if run.reason else []
    if run.mode == "sign-field":
        parts.append(_FIELD)
    elif not run.affine:
        parts.append(_NOT_A_BOUND)
    return "; ".join(parts)


def _one(
    of: Problem, run: Scheme, seed: int, steps: int, progress: Callable[[int], None]
) -> tuple[list[tuple[Any, ...]], tuple[Any, ...], bool]:
    """The rows of one ledger file (none in mode ``none``), the numbers of its summary line, and whether it is sound."""
    comparator = reference(of, run)
    etas = step_sizes(of, steps)
    bounded = run.affine and run.mode in ("advance", "fixed")
    rows: list[tuple[Any, ...]] = []
    closure, last_gaps, last_row = 0.0, None, None
    for t, (gaps, row) in enumerate(follow(of, run, starting_points(of, seed), etas, comparator), start=1):
        last_gaps, last_row = gaps, row
        if row is not None:
            closure = max(closure, float(row.closure.max()), float(row.closure_second.max()))
            rows.append(_ledger_row(t, gaps, row, bounded))
        if t % 100 == 0 or t == steps:
            progress((t - 1) % 100 + 1)
    assert last_gaps is not None
    gap_cells = tuple(float(g[0]) for g in (last_gaps.best, last_gaps.average, last_gaps.last))
    if last_row is None:
        return rows, ("", "", *gap_cells, ""), True
    sound = closure <= TOLERANCE and min(last_row.min_d.min(), last_row.slack.min()) >= -TOLERANCE
    bound = float(last_row.bound[0]) if bounded else ""
    return rows, (closure, float(last_row.min_d.min()), *gap_cells, bound), sound


def _ledger_row(t: int, gaps: Gaps, row: Row, bounded: bool) -> tuple[Any, ...]:
    first = (row.left, row.d_first, row.d_last, row.d_sum, row.abs_sum, row.closure)
    return (
        t,
        row.eta,
        row.mu,
        *(float(a[0]) for a in first),
        *(float(a[0]) for a in (gaps.best, gaps.average, gaps.last)),
        float(row.bound[0]) if bounded else "",
        float(row.residual[0]),
        int(row.flips[0]),
        float(row.min_d[0]),
    )


def check_arguments(seed: int, steps: int, most: int = MOST_STEPS) -> None:
    """Raise `InputError` for a seed or a number of steps out of range."""
    if not 1 <= steps <= most:
        raise InputError(f"the number of steps must be between 1 and {most}, not {steps}")
    if seed < 0:
        raise InputError(f"the seed must be a whole number that is not negative, not {seed}")


@dataclass(frozen=True)
class Plan:
    """What an experiment consists of, checked: catalogue names without repetition, and problems."""

    methods: tuple[str, ...]
    problems: tuple[Problem, ...]
    steps: int
    seed: int

    @property
    def total(self) -> int:
        """Steps of all runs together."""
        return len(self.methods) * len(self.problems) * self.steps


def plan(methods: Sequence[str] = METHODS, problems: Sequence[str] = USUAL, steps: int = STEPS, seed: int = 0) -> Plan:
    """Check what is asked for.

    Raises `InputError` on an unknown method or problem, steps outside 1..1,000,000, or a negative seed.
    """
    check_arguments(seed, steps)
    names = dict.fromkeys(lookup(m).name for m in methods)
    return Plan(tuple(names), tuple(problem(name) for name in dict.fromkeys(problems)), steps, seed)


def execute(todo: Plan, out: str | Path, progress: Callable[[int], None] = lambda _: None) -> list[tuple[Any, ...]]:
    """Run a plan and write DIR/convergence/*.csv; returns the summary's rows.

    ``progress`` is called with the number of steps done since its last call (`Plan.total` in all). One
    ledger file per run with a ledger (first of the `STARTS` starts); ``max_closure_error`` (of both identities)
    and ``min_D`` of the summary cover all starts. Raises `InputError` if a run diverges.
    """
    folder = Path(out) / "convergence"
    schemes = {}
    for name in todo.methods:
        pair = lookup(name).pair()
        verdict = decide(pair)
        schemes[name] = (verdict.grade, scheme(pair, verdict))
    summary: list[tuple[Any, ...]] = []
    for of in todo.problems:
        for name, (grade, how) in schemes.items():
            rows, numbers, sound = _one(of, how, todo.seed, todo.steps, progress)
            if not all(math.isfinite(n) for n in numbers if n != ""):
                raise InputError(f"{name} diverged on {of.name}: its gap is not finite")
            if rows:
                write_csv(folder / f"ledger_{of.name}_{name}.csv", LEDGER_HEADER, rows)
            word = _regularizer_word(how)
            summary.append((of.name, name, grade, how.mode, word, todo.steps, *numbers, _note(how, sound)))
    write_csv(folder / "summary.csv", SUMMARY_HEADER, summary)
    return summary


def run(
    out: str | Path,
    seed: int = 0,
    steps: int = STEPS,
    progress: Callable[[int], None] = lambda _: None,
    methods: Sequence[str] = METHODS,
    problems: Sequence[str] = USUAL,
) -> list[tuple[Any, ...]]:
    """`plan` and `execute` in one call."""
    return execute(plan(methods, problems, steps, seed), out, progress)


__all__ = [
    "LEDGER_HEADER",
    "METHODS",
    "STARTS",
    "STEPS",
    "SUMMARY_HEADER",
    "Gaps",
    "Plan",
    "execute",
    "follow",
    "plan",
    "reference",
    "run",
    "starting_points",
    "step_sizes",
]
