"""ProxConnect++ for many runs at once: pairs x problems x schedules x seeds in one float64 array program.

A batch holds every combination of its pairs, its problems (of one dimension d), its schedules and its seeds,
flattened in that order to arrays (R, d). The maps are applied pair by pair and the gradients problem by problem to
slices of them, everything else, the `verify.ledger.Ledger` included, to the whole. With one pair, problem,
schedule and seed it is the single run, by the same code.

    v_t = P^{mu_t}(u_t),  w_t = T(v_t),  g_t = t(v_t) * grad f(w_t),  u_{t+1} = u_t - eta_t g_t,

mu_{t+1} = mu_t + eta_t in the mode ``advance``, else mu stays 1 (`verify.proxconnect`). With a sharpness beta_t the
transform at step t is T(beta_t v) and its slope beta_t t(beta_t v); T = id stays, and where a pair runs without a T of
its own (``sign-field``, ``none``) nothing is sharpened.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from theory.errors import InputError
from theory.maps import PiecewiseMap
from verify.ledger import Ledger, Part, Row, domain
from verify.problems import Array, Problem
from verify.proxconnect import Scheme

_DRAWS = 64
"""Steps whose random numbers are drawn at a time: a constant, since it decides which number goes where."""


@dataclass(frozen=True)
class Batch:
    """What runs together: A pairs, P problems of one dimension d, K schedules, S seeds, T steps.

    ``etas`` (P, K, T) step sizes; ``starts`` (P, S, d) the first latent points; ``comparators`` (A, P, d) with r
    finite; ``seeds`` (S,) of the stochastic gradients, None for exact ones; ``sharpness`` (K, T), None for T itself.
    """

    schemes: tuple[Scheme, ...]
    problems: tuple[Problem, ...]
    etas: Array
    starts: Array
    comparators: Array
    seeds: tuple[int, ...] | None = None
    sharpness: Array | None = None

    def __post_init__(self) -> None:
        a, p, (_, k, steps), (_, s, d) = len(self.schemes), len(self.problems), self.etas.shape, self.starts.shape
        if 0 in (a, p, k, s, steps):
            raise InputError("a batch: at least one pair, problem, schedule, start and step were expected")
        wanted = {
            "etas": (self.etas, (p, k, steps)),
            "starts": (self.starts, (p, s, d)),
            "comparators": (self.comparators, (a, p, d)),
            "sharpness": (self.sharpness, (k, steps)),
        }
        for name, (array, shape) in wanted.items():
            if array is None:
                continue
            if array.shape != shape:
                raise InputError(f"a batch: {name} of shape {shape} was expected, not {array.shape}")
            if not np.isfinite(array).all():
                raise InputError(f"a batch: {name} must be finite")
        if any(of.dimension != d for of in self.problems):
            raise InputError(f"a batch: problems of one dimension {d} were expected")
        if not (self.etas > 0).all():
            raise InputError("a batch: step sizes must be positive")
        if self.seeds is not None and len(self.seeds) != s:
            raise InputError(f"a batch: {s} seeds were expected, one for each start, not {len(self.seeds)}")

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(A, P, K, S), the order in which runs are flattened."""
        return len(self.schemes), len(self.problems), self.etas.shape[1], self.starts.shape[1]

    @property
    def steps(self) -> int:
        return int(self.etas.shape[2])


@dataclass(frozen=True)
class Trace(Row):
    """What a batch has done after ``step`` steps; every field (R,), those "of w" (2, R) for the two comparators.

    The comparators are the batch's and v_1. Gaps are F~ - F~(w) at the first of them, F~ = f o T + r where mu advances
    and f o T where it does not: ``best`` and ``last`` of v_1..v_T, ``mean`` the eta-weighted mean of the
    values, ``average`` F~ at the eta-weighted mean of v_1..v_T, ``average_next`` at that of v_2..v_{T+1}. ``wide``
    is the eta-weighted mean of max over w in dom r of <v_t - w, g_t>, NaN unless r takes the values 0 and +inf alone on
    a bounded domain (then it is the generalised Frank-Wolfe gap). ``path`` (of w) is the eta-weighted mean that (I)
    bounds. ``negative`` is the share of negative factors B, ``u_norm`` is |u_{T+1}|. The rest is `verify.ledger.Row`,
    NaN for pairs without a ledger.
    """

    step: int
    best: Array
    mean: Array
    average: Array
    average_next: Array
    last: Array
    wide: Array
    path: Array
    negative: Array
    u_norm: Array


def _zero(of: Scheme) -> PiecewiseMap:
    return of.regularizer if of.regularizer is not None else PiecewiseMap.of(0)


class Sweep:
    """A batch under way. `advance` takes one step, `trace` reports; `simulate` does both."""

    def __init__(self, batch: Batch, grid_every: int = 25, deep_every: int = 0) -> None:
        self.batch = batch
        shape = batch.shape
        pairs, problems, schedules, seeds = shape
        d = batch.starts.shape[2]
        self._full = (*shape, d)
        runs = pairs * problems * schedules * seeds
        per_pair = runs // pairs
        self._slices = [slice(a * per_pair, (a + 1) * per_pair) for a in range(pairs)]
        self._advances = np.repeat([float(s.advances) for s in batch.schemes], per_pair)
        self._has_ledger = np.repeat([s.regularizer is not None for s in batch.schemes], per_pair)
        self.mu = np.ones(runs)
        self.u = np.array(np.broadcast_to(batch.starts[None, :, None], self._full).reshape(runs, d))
        self.v = self._prox(self.u)
        base = np.broadcast_to(batch.comparators[:, :, None, None], self._full).reshape(runs, d)
        parts = [
            Part.of(rows, _zero(s), convex=s.convex is True and s.regularizer is not None)
            for rows, s in zip(self._slices, batch.schemes, strict=True)
        ]
        self._parts = parts
        self.book = Ledger(self.u, self.v, np.stack([base, self.v]), parts, 1.0, deep_every, grid_every)
        # a stream for each seed and problem, so that a run does not depend on what else is in its batch
        self._streams = [
            [np.random.default_rng([s, zlib.crc32(of.name.encode())]) for s in batch.seeds or ()]
            for of in batch.problems
        ]
        self._drawn: list[Array] = []
        self._all_identity = all(s.identity for s in batch.schemes)
        self._comparator = base
        spans = [None if s.regularizer is None else domain(s.regularizer) for s in batch.schemes]
        self._ends = [None if found is None else (found[0][0], found[-1][1]) for found in spans]  # of dom r's hull
        self._bounded = [
            ends is not None and s.indicator and bool(np.isfinite(ends).all())
            for s, ends in zip(batch.schemes, self._ends, strict=True)
        ]
        self.t = 0
        self._base = self._objective(base, 0, base=True)
        self._best, self._weighted, self._last = np.full(runs, np.inf), np.zeros(runs), np.full(runs, np.nan)
        self._sum, self._sum_next = np.zeros_like(self.u), np.zeros_like(self.u)
        # written again at every step: fresh memory costs more than the arithmetic
        self._scratch, self._spare, self._g = (np.empty_like(self.u) for _ in range(3))
        self._wide, self._negative = np.zeros(runs), np.zeros(runs)

    # ---- maps, pair by pair

    def _prox(self, u: Array) -> Array:
        v = np.empty_like(u)
        for rows, how in zip(self._slices, self.batch.schemes, strict=True):
            mu = self.mu[rows, None] if how.advances else 1.0
            v[rows] = how.prox.at(mu)(u[rows])
        return v

    def _sharpness(self, t: int) -> Array | None:
        """beta_t of every run of one pair (R/A, 1)."""
        if self.batch.sharpness is None:
            return None
        _, problems, schedules, seeds = self.batch.shape
        beta = self.batch.sharpness[:, t]
        return np.broadcast_to(beta[None, :, None], (problems, schedules, seeds)).reshape(-1, 1)

    def _transform(self, v: Array, t: int) -> Array:
        if self._all_identity:
            return v
        beta = self._sharpness(t)
        w = np.empty_like(v)
        for rows, how in zip(self._slices, self.batch.schemes, strict=True):
            if how.identity:
                w[rows] = v[rows]
            else:
                w[rows] = how.transform(v[rows] if beta is None or not how.transforms else beta * v[rows])
        return w

    def _scaled(self, g: Array, t: int) -> Array:
        """g times t(v), in place; counts negative factors."""
        beta = self._sharpness(t)
        for rows, how in zip(self._slices, self.batch.schemes, strict=True):
            if how.identity and how.mode != "sign-field":
                continue
            u, v = self.u[rows], self.v[rows]
            factor = how.factor(u, v) if beta is None or not how.transforms else beta * how.factor(u, beta * v)
            self._negative[rows] += np.count_nonzero(factor < 0, axis=1)
            g[rows] *= factor
        return g

    # ---- f, problem by problem

    def _objective(self, v: Array, t: int, base: bool = False) -> Array:
        """F~ (R,) at v, with the transform of step t (from 0)."""
        values = np.empty(len(v))
        by_problem, points = values.reshape(self.batch.shape), self._transform(v, t).reshape(self._full)
        for p, of in enumerate(self.batch.problems):
            by_problem[:, p] = of.value(points[:, p])
        for rows, how, part in zip(self._slices, self.batch.schemes, self._parts, strict=True):
            if how.advances:
                values[rows] += part.total(v[rows])
            if base and how.mode == "none":  # no r to keep the comparator from T's other side: the minimum itself
                least = np.array([float(of.value(of.minimiser)) for of in self.batch.problems])
                values[rows] = np.repeat(least, (rows.stop - rows.start) // len(least))
        return values

    def _draw(self, p: int) -> Array:
        """The random numbers of this step for problem p, (S, k)."""
        k = self.t % _DRAWS
        if k == 0 and p == 0:
            self._drawn = [
                np.stack([of.draw(rng, _DRAWS) for rng in streams], axis=1)
                for of, streams in zip(self.batch.problems, self._streams, strict=True)
            ]
        return self._drawn[p][k]

    def step(self) -> None:
        """One step of every run."""
        batch, t = self.batch, self.t
        w = self._transform(self.v, t)
        g, values = self._g, np.empty(len(w))
        stochastic = batch.seeds is not None
        grads, vals, points = g.reshape(self._full), values.reshape(batch.shape), w.reshape(self._full)
        for p, of in enumerate(batch.problems):
            vals[:, p], grads[:, p] = of.both(points[:, p])
            if stochastic:
                grads[:, p] = of.sampled(points[:, p], self._draw(p))
        g = self._scaled(g, t)
        if batch.sharpness is not None and t:  # T moves, and F~(w) with it
            self._base = self._objective(self._comparator, t, base=True)
        gap = values + self._advances * self.book.r_v - self._base
        eta = np.broadcast_to(batch.etas[None, :, :, None, t], batch.shape).reshape(-1)
        column = eta[:, None]
        self._best, self._last = np.minimum(self._best, gap), gap
        self._weighted += eta * gap
        self._sum += np.multiply(column, self.v, out=self._scratch)
        for rows, ends, bounded in zip(self._slices, self._ends, self._bounded, strict=True):
            if ends is not None and bounded:
                part = np.maximum(-ends[0] * g[rows], -ends[1] * g[rows])
                self._wide[rows] += eta[rows] * (part.sum(axis=1) + np.einsum("rd,rd->r", self.v[rows], g[rows]))
        # the ledger still holds u_t: u_{t+1} goes where u_{t-1} was
        self.u, self._spare = np.subtract(self.u, np.multiply(column, g, out=self._scratch), out=self._spare), self.u
        self.mu = self.mu + eta * self._advances
        self.v = self._prox(self.u)
        self._sum_next += np.multiply(column, self.v, out=self._scratch)
        self.book.step(eta, g, self.u, self.v, self.mu)
        self.t += 1

    # ---- reports

    def _within(self, mean: Array) -> Array:
        """Means of proximal points, moved back into the domain of a convex r that rounding left."""
        for rows, how, ends in zip(self._slices, self.batch.schemes, self._ends, strict=True):
            if how.convex and ends is not None:
                mean[rows] = np.clip(mean[rows], *ends)
        return mean

    def trace(self) -> Trace:
        """The state after the steps so far (at least one)."""
        row = self.book.row()
        blank = np.where(self._has_ledger, 0.0, np.nan)
        fields: dict[str, Any] = {name: getattr(row, name) + blank for name in row.__dataclass_fields__}
        fields["flips"] = row.flips
        total = row.eta_sum
        for name in ("eta", "mu", "eta_sum"):
            fields[name] = getattr(row, name)
        column = total[:, None]
        bounded = np.repeat(self._bounded, len(self.u) // len(self._bounded))
        means = (self._within(s / column) for s in (self._sum, self._sum_next))
        average, average_next = (self._objective(mean, self.t - 1) - self._base for mean in means)
        return Trace(
            step=self.t,
            best=self._best,
            mean=self._weighted / total,
            average=average,
            average_next=average_next,
            last=self._last,
            wide=np.where(bounded, self._wide / total, np.nan),
            path=row.left / total + blank,
            negative=self._negative / (self.t * self.u.shape[1]),
            u_norm=np.sqrt(np.einsum("rd,rd->r", self.u, self.u)),
            **fields,
        )


def simulate(
    batch: Batch,
    marks: Sequence[int] | None = None,
    grid_every: int = 25,
    deep_every: int = 0,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Trace]:
    """Run a batch and report after each of the steps ``marks`` (increasing, in 1..T; None: the last alone).

    ``grid_every`` and ``deep_every``: see `verify.ledger.Ledger`; where not 0 these tests are made at the last step
    too. ``progress`` is called with the number of steps done since its last call. Raises `InputError` if a run
    diverges.
    """
    wanted = [batch.steps] if marks is None else list(marks)
    if wanted != sorted(set(wanted)) or not wanted or wanted[0] < 1 or wanted[-1] > batch.steps:
        raise InputError(f"marks must increase within 1..{batch.steps}")
    under_way = Sweep(batch, grid_every, deep_every)
    traces, told = [], 0
    with np.errstate(over="ignore", invalid="ignore"):  # a run that diverges is found by the ledger
        for k, mark in enumerate(wanted):
            while under_way.t < mark:
                under_way.step()
                if under_way.t - told >= 100:
                    progress(under_way.t - told)
                    told = under_way.t
            if k == len(wanted) - 1:
                under_way.book.finish()
            traces.append(under_way.trace())
    progress(under_way.t - told)
    return traces


__all__ = ["Batch", "Sweep", "Trace", "simulate"]
