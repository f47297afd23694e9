"""The convergence ledger: both sides of the identity at every step, and what it does not show.

With r_t(w) = mu_t r(w) + |w|^2/2 and D_t(w) = r_t(w) - r_t(v_t) - <w - v_t, u_t>, for any g_t and any
comparator w with r(w) finite (docs/mathematics.md, section 4),

    (I)   sum eta_t <v_t - w, g_t>     + dmu_t (r(v_t) - r(w))     = D_1(w) - D_{T+1}(w) + sum D_{t+1}(v_t)
    (II)  sum eta_t <v_{t+1} - w, g_t> + dmu_t (r(v_{t+1}) - r(w)) = D_1(w) - D_{T+1}(w) - sum D_t(v_{t+1})

where dmu_t = mu_{t+1} - mu_t is eta_t if mu advances and 0 for a fixed pair. Both are algebra and
close for *any* v_t; that v_t = P(u_t) is right shows in D_t >= 0 everywhere, which the ledger tests
at the comparators, at a grid of scalars for every coordinate, and at brute-force minimisers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.errors import InputError
from theory.exact import to_float
from theory.maps import PiecewiseMap
from verify.lowering import lower
from verify.rounding import Rounding

Array = NDArray[Any]
Regularizing = Callable[[Array], Array]

TOLERANCE = 1e-12
"""Closure error and negative D_t allowed in float64, both relative to the absolute sum of their terms."""

STEP_TOLERANCE = 1e-15
"""Of |u_t - u_{t+1} - eta_t g_t| relative to |u_t| and |eta_t g_t|: a few units of rounding."""
_LARGEST = 1e15
DEEP_WIDTH = 16
"""Coordinates of each run that a brute-force test looks at, in turn."""


# --------------------------------------------------------------------------- exact


@dataclass(frozen=True)
class Sides:
    """Left and right of (I) and of (II)."""

    first: tuple[Any, Any]
    second: tuple[Any, Any]


def divergence_at(u: Sequence[Any], v: Sequence[Any], mu: Any, w: Sequence[Any], r: Callable[[Any], Any]) -> Any:
    """D_t(w) = r_t(w) - r_t(v_t) - <w - v_t, u_t>, r_t = mu_t r + |.|^2/2, in the arithmetic of the numbers."""
    linear = sum((a - b) * c for a, b, c in zip(w, v, u, strict=True))
    squares = sum(a * a for a in w) - sum(b * b for b in v)
    return mu * (sum(r(a) for a in w) - sum(r(b) for b in v)) + squares / 2 - linear


def identity_sides(
    us: Sequence[Sequence[Any]],
    vs: Sequence[Sequence[Any]],
    gs: Sequence[Sequence[Any]],
    etas: Sequence[Any],
    mus: Sequence[Any],
    comparator: Sequence[Any],
    r: Callable[[Any], Any],
) -> Sides:
    """Both sides of (I) and (II) in whatever arithmetic the numbers bring: exact for Fractions.

    Shapes: us, vs (T+1, d), gs (T, d), etas (T,), mus (T+1,), comparator (d,); r maps one number
    to one number. Plain sums in the order of the formulas; an oracle for `Ledger`, not a tool for runs.
    """

    def total(w: Sequence[Any]) -> Any:
        return sum(r(a) for a in w)

    def divergence(t: int, w: Sequence[Any]) -> Any:
        return divergence_at(us[t], vs[t], mus[t], w, r)

    def inner(t: int, at: int) -> Any:
        return sum((a - w) * g for a, w, g in zip(vs[at], comparator, gs[t], strict=True))

    steps = range(len(etas))
    base = total(comparator)

    def left(k: int) -> Any:
        return sum(etas[t] * inner(t, t + k) + (mus[t + 1] - mus[t]) * (total(vs[t + k]) - base) for t in steps)

    ends = divergence(0, comparator) - divergence(len(etas), comparator)
    plus = sum(divergence(t + 1, vs[t]) for t in steps)
    minus = sum(divergence(t, vs[t + 1]) for t in steps)
    return Sides((left(0), ends + plus), (left(1), ends - minus))


# --------------------------------------------------------------------------- brute force


def domain(r: PiecewiseMap) -> tuple[tuple[float, float], ...]:
    """The intervals (possibly single points, or with infinite ends) on which r is finite, in order.

    An end at which r is infinite itself is moved inwards to the next float.
    """
    from sympy import oo

    found: list[tuple[float, float]] = []
    joined = False  # whether the last interval reaches up to the present place
    for i, (e, (a, b)) in enumerate(zip(r.exprs, r.ends, strict=True)):
        lo, hi = to_float(a), to_float(b)
        if i > 0 and r.values[i - 1] not in (None, oo):
            found[-1:] = [(found[-1][0], lo)] if joined else [*found[-1:], (lo, lo)]
            joined = True
        elif i > 0:
            if joined:
                found[-1] = (found[-1][0], math.nextafter(lo, -math.inf))
            lo, joined = math.nextafter(lo, math.inf), False
        if e is oo:
            joined = False
            continue
        found[-1:] = [(found[-1][0], hi)] if joined else [*found[-1:], (lo, hi)]
        joined = True
    return tuple(found)


def scalars(r: PiecewiseMap, reach: float = 3.0, count: int = 49) -> Array:
    """Comparators for one coordinate: a grid on [-reach, reach], r's breakpoints and their float neighbours."""
    marks = np.array([to_float(b) for b in r.breaks])
    near = [np.nextafter(marks, -np.inf), marks, np.nextafter(marks, np.inf)]
    return np.unique(np.concatenate([np.linspace(-reach, reach, count), *near]))


def on_floats(r: PiecewiseMap) -> PiecewiseMap:
    """r with each breakpoint moved to the nearest float, so that r(1/3) is what r(0.333...) gives.

    A level of P that is no float is rounded when P is evaluated, and r must be finite there all the same.
    """
    import sympy as sp

    return replace(r, breaks=tuple(sp.Rational(to_float(b)) for b in r.breaks))


def totals(r: PiecewiseMap) -> Regularizing:
    """v (..., d) -> sum of r over the last axis, +inf where r is infinite at a coordinate.

    Where r takes no value but 0 and +inf this is a test of membership, in booleans.
    """
    from sympy import oo

    if any(e not in (0, oo) for e in r.exprs) or any(x not in (0, oo, None) for x in r.values):
        lowered = lower(r)
        return lambda v: np.asarray(lowered(v).sum(axis=-1))
    spans = domain(r)

    def outside(v: Array) -> Array:
        inside = np.zeros(v.shape, dtype=bool)
        for lo, hi in spans:
            inside |= (v == lo) if lo == hi else (v >= lo) & (v <= hi)
        return np.where(inside.all(axis=-1), 0.0, np.inf)

    return outside


def brute_force(r: Regularizing, u: Array, mu: Array | float, grid: Array, refinements: int = 50) -> Array:
    """A global minimiser of mu r(s) + s^2/2 - s u for every u, by scanning and golden section.

    ``grid`` (G,) increasing must be fine enough for one valley between neighbours; where r is +inf a
    point is never chosen. mu broadcasts with u; the result has the shape of u. An oracle that knows nothing of P.
    """
    from scipy.constants import golden

    def objective(s: Array) -> Array:
        return np.asarray(mu * r(s) + s * (0.5 * s - u))

    r_grid, squares = r(grid), 0.5 * grid * grid
    least, k = np.full(u.shape, np.inf), np.zeros(u.shape, dtype=np.intp)
    for i in range(len(grid)):
        value = mu * r_grid[i] + (squares[i] - u * grid[i])
        better = value < least
        least[better], k[better] = value[better], i
    best = grid[k]
    lo, hi = grid[np.maximum(k - 1, 0)], grid[np.minimum(k + 1, len(grid) - 1)]
    for _ in range(refinements):
        width = (hi - lo) / golden
        a, b = hi - width, lo + width
        fa, fb = objective(a), objective(b)
        for s, f in ((a, fa), (b, fb)):
            better = f < least
            best, least = np.where(better, s, best), np.where(better, f, least)
        # where both probes are infinite the finite points lie at the best one: close in on it
        left = np.where(np.isinf(fa) & np.isinf(fb), best < 0.5 * (lo + hi), fa < fb)
        lo, hi = np.where(left, lo, a), np.where(left, b, hi)
    return np.asarray(best)


# --------------------------------------------------------------------------- the ledger


class _Sums:
    """Neumaier's compensated running sums of the rows of an array (K, R)."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum, self._lost = np.zeros(shape), np.zeros(shape)

    def add(self, terms: Array) -> None:
        total = self._sum + terms
        large = np.abs(self._sum) >= np.abs(terms)
        self._lost += np.where(large, (self._sum - total) + terms, (terms - total) + self._sum)
        self._sum = total

    @property
    def value(self) -> Array:
        return np.asarray(self._sum + self._lost)


@dataclass(frozen=True)
class Row:
    """The ledger after a step; every field of shape (R,), those named "of w" (C, R).

    ``left``, ``d_first`` and ``d_last`` (of w) are the left side of (I), D_1(w) and D_{T+1}(w). ``closure`` and
    ``closure_second`` (of w) are |left - right|/abs_sum of (I) and (II), abs_sum being the sum of the absolute
    values of the terms of (I) (of (II)) so far: <., .> and r one term each, D its three. ``d_sum`` is sum D_{t+1}(v_t),
    ``pull_sum`` is sum |eta_t g_t + delta_t s_t|^2/2; ``residual`` is d_sum / sum eta, ``bound`` (of w)
    (D_1(w) + d_sum) / sum eta. ``flips`` counts sign changes of coordinates of v. ``min_d`` is the least D_t found
    so far, divided by 1 + the absolute sum of its terms: at the comparators, v_t, v_{t+1}, the grid and the
    brute-force minimisers. ``slack`` is likewise the least margin in the two inequalities for convex r, ``support``
    the least r(w) - r(v_t) - s_t (w - v_t) over the grid (both +inf where r is not known to be convex).
    ``step_error`` is the largest |u_t - u_{t+1} - eta_t g_t| relative to |u_t| and |eta_t g_t|: the identities take
    the step as it was rounded, and this says that it was the right one.
    """

    eta: Array
    mu: Array
    eta_sum: Array
    left: Array
    d_first: Array
    d_last: Array
    d_sum: Array
    pull_sum: Array
    abs_sum: Array
    closure: Array
    closure_second: Array
    residual: Array
    bound: Array
    flips: Array
    min_d: Array
    slack: Array
    support: Array
    step_error: Array


class RunError(InputError):
    """What is wrong with one run of a batch; ``run`` is its place."""

    def __init__(self, run: int, message: str) -> None:
        super().__init__(message)
        self.run = run


@dataclass(frozen=True)
class Part:
    """The runs ``rows`` of a ledger, which share one r.

    ``r`` maps coordinates, ``total`` sums it over the last axis; ``grid`` (G,) scalars at which D_t >= 0 is tested
    for every coordinate, with ``on_grid`` r there, finite; ``convex`` whether what holds for convex r alone is
    tested; ``rounding`` looks again at what seems negative.
    """

    rows: slice
    r: Regularizing
    total: Regularizing
    grid: Array
    on_grid: Array
    rounding: Rounding
    convex: bool = False

    @classmethod
    def of(cls, rows: slice, r: PiecewiseMap, convex: bool = False) -> Part:
        """The part of a regularizer, with the grid of `scalars`."""
        near = on_floats(r)
        lowered, grid = lower(near), scalars(near)
        values = lowered(grid)
        finite = np.isfinite(values)
        return cls(rows, lowered, totals(near), grid[finite], values[finite], Rounding(near), convex)


def _dot(a: Array, b: Array) -> Array:
    """<a, b> over the last axis; leading axes broadcast."""
    return np.asarray(np.einsum("...d,...d->...", a, b))


class Ledger:
    """Carries the identity along R runs at once, in float64, for C comparators each.

    Parameters: ``u``, ``v`` (R, d) the first latent and proximal points; ``comparators`` (C, R, d), (R, d) or (d,),
    with r finite; ``parts`` say which r each run has; ``mu`` the first mu, a number or (R,); ``grid_every`` and
    ``deep_every`` steps between tests of D_t >= 0 at the grid and, for `DEEP_WIDTH` coordinates in turn, at
    brute-force minimisers (0: never; else also at the first point and in `finish`). Raises `RunError` where r is not
    finite at a v_t or at a comparator.

    With e = v_{t+1} - v_t, p_t = u_t - v_t and q_t = v_t - w every term is a few inner products:
    D_{t+1}(w) = mu_{t+1} (r(w) - r(v_{t+1})) + <q_{t+1}, p_{t+1}> + |q_{t+1}|^2/2, and likewise at v_t and v_{t+1}.
    """

    def __init__(
        self,
        u: Array,
        v: Array,
        comparators: Array,
        parts: Sequence[Part],
        mu: Array | float = 1.0,
        deep_every: int = 100,
        grid_every: int = 1,
    ) -> None:
        runs = len(v)
        self.parts, self.deep_every, self.grid_every = tuple(parts), deep_every, grid_every
        self.mu = np.broadcast_to(np.asarray(mu, dtype=float), (runs,))
        given = comparators if np.ndim(comparators) == 3 else np.asarray(comparators)[None]
        self.w = np.broadcast_to(given, (len(given), *v.shape))
        self.convex = np.zeros(runs, dtype=bool)
        for part in self.parts:
            self.convex[part.rows] = part.convex
        self.any_convex = bool(self.convex.any())
        self.u, self.v, self.p, self.q = u, v, u - v, v - self.w
        # written again at every step: fresh memory costs more than the arithmetic
        self._e, self._flipped = np.empty_like(v), np.empty(v.shape, dtype=bool)
        self._spare_p, self._spare_q = np.empty_like(self.p), np.empty_like(self.q)
        self._taken, self._error = np.empty_like(v), np.empty_like(v)
        self.r_w = np.stack([self._total(w, "the comparator", v) for w in self.w])
        self.r_v = self._total(v, "v_1", u)
        many = len(self.w)
        # rows: left of (I) and of (II) for every comparator; D_{t+1}(v_t), D_t(v_{t+1}), the pull, eta
        self._sums = _Sums((2 * many + 4, runs))
        self._terms = np.zeros((2 * many + 4, runs))
        self._sizes = np.zeros((2 * many, runs))  # absolute sums of (I) and of (II)
        self.flips = np.zeros(runs, dtype=np.int64)
        self.min_d, self.slack, self.support = (np.full(runs, np.inf) for _ in range(3))
        self.step_error = np.zeros(runs)
        self.steps = self._deep_tests = 0
        self.pp = _dot(self.p, self.p)
        self.d_first = self.d_last = self._at_comparators()
        self._first_size = self._end_size
        if grid_every:
            self._test_grid()
        if deep_every:
            self._test_brute_force()

    @classmethod
    def of_one(
        cls, u: Array, v: Array, comparators: Array, r: PiecewiseMap, mu: float = 1.0, convex: bool = False
    ) -> Ledger:
        """All runs with one r."""
        return cls(u, v, comparators, (Part.of(slice(None), r, convex),), mu)

    def _total(self, at: Array, what: str, u: Array) -> Array:
        values = np.empty(len(at))
        for part in self.parts:
            values[part.rows] = part.total(at[part.rows])
        wrong = np.flatnonzero(~np.isfinite(values))
        if len(wrong):
            run = int(wrong[0])
            # squares of such numbers, and r with them, are beyond float64; P rounds to an open end of its range
            if not max(np.abs(at[run]).max(), np.abs(u[run]).max()) < _LARGEST:
                raise RunError(run, f"the run diverged: at {what} a weight is beyond {_LARGEST:.0e}")
            raise RunError(run, f"the ledger needs a finite r, but r is infinite at a coordinate of {what}")
        return values

    # ---- D_t >= 0

    def _at_comparators(self) -> Array:
        """D_t(w) (C, R) for the present u, v, mu."""
        qq = _dot(self.q, self.q)
        inner = _dot(self.q, self.p)
        change = self.mu * (self.r_w - self.r_v)
        d = change + (inner + 0.5 * qq)
        products = np.sqrt(qq * self.pp) + 0.5 * qq
        size = self.mu * (np.abs(self.r_w) + np.abs(self.r_v)) + products
        for k, w in enumerate(self.w):
            self._note(d[k], size[k], self.mu, self.u, self.v, w)
        self._end_size = np.abs(change) + products
        return np.asarray(d)

    def _note(self, d: Array, size: Array, mu: Array, u: Array, v: Array, w: Array) -> None:
        """Keep the least D(w) of each run, relative to its terms; all (R,), with the u, v (R, d) that belong to mu."""
        relative = d / (1.0 + size)
        if relative.min() < -TOLERANCE:
            for part in self.parts:
                own = relative[part.rows]
                bad = np.flatnonzero(own < -TOLERANCE)
                if len(bad):
                    d_bad, size_bad, mu_bad, u_bad, v_bad, w_bad = (x[part.rows][bad] for x in (d, size, mu, u, v, w))
                    own[bad] = part.rounding.again(d_bad, size_bad, TOLERANCE, mu_bad, u_bad, v_bad, w_bad)
        np.minimum(self.min_d, relative, out=self.min_d)

    def _test_grid(self) -> None:
        for part in self.parts:
            u, v, mu = self.u[part.rows], self.v[part.rows], self.mu[part.rows, None]
            r_v = part.r(v)
            squares = 0.5 * part.grid * part.grid
            least = self._least(u, part.grid, mu * part.on_grid + squares)
            own = mu * r_v + v * (0.5 * v - u)
            size = mu * np.abs(r_v) + np.abs(v) * (0.5 * np.abs(v) + np.abs(u))
            self.min_d[part.rows] = np.minimum(self.min_d[part.rows], self._worst(part, least - own, size, u, v, mu))
            if part.convex:
                s = (u - v) / mu
                least = self._least(s, part.grid, np.broadcast_to(part.on_grid, (len(u), len(part.grid))))
                size = np.abs(r_v) + np.abs(s * v)
                worst = self._worst(part, least - (r_v - s * v), size, u, v, mu, support=True)
                self.support[part.rows] = np.minimum(self.support[part.rows], worst)

    @staticmethod
    def _least(slope: Array, grid: Array, values: Array) -> Array:
        """The least of values (R, G) - slope (R, d) * grid over the grid, (R, d)."""
        term, least = np.empty_like(slope), np.full_like(slope, np.inf)
        for k, w in enumerate(grid.tolist()):
            np.multiply(slope, -w, out=term)
            term += values[:, k : k + 1]
            np.minimum(least, term, out=least)
        return least

    @staticmethod
    def _worst(part: Part, d: Array, size: Array, u: Array, v: Array, mu: Array, support: bool = False) -> Array:
        """The least d / (1 + size) of each run, (R,), for the least over the grid; what looks negative again."""
        relative = d / (1.0 + size)
        if relative.min() < -TOLERANCE:
            bad = np.nonzero(relative < -TOLERANCE)
            u_bad, v_bad, mu_bad = u[bad][:, None], v[bad][:, None], mu[bad[0], 0][:, None]
            scale, slope = (1.0, (u_bad - v_bad) / mu_bad) if support else (mu_bad, u_bad)
            terms = scale * part.on_grid - slope * part.grid + (0.0 if support else 0.5 * part.grid**2)
            w = part.grid[terms.argmin(axis=1)][:, None]
            here = scale * np.abs(part.r(w)) + np.abs(w) * (np.abs(slope) + (0.0 if support else 0.5 * np.abs(w)))
            relative[bad] = part.rounding.again(
                d[bad], size[bad] + here[:, 0], TOLERANCE, mu_bad[:, 0], u_bad, v_bad, w, support
            )
        return np.asarray(relative.min(axis=1))

    def _test_brute_force(self) -> None:
        # DEEP_WIDTH coordinates of every run, the next ones each time
        d = self.u.shape[1]
        columns = (np.arange(min(d, DEEP_WIDTH)) + self._deep_tests * DEEP_WIDTH) % d
        self._deep_tests += 1
        for part in self.parts:
            u, v, mu = self.u[part.rows][:, columns], self.v[part.rows][:, columns], self.mu[part.rows, None]
            reach = 4.0 + float(np.max(np.abs(u)))
            fine = np.unique(np.concatenate([np.linspace(-reach, reach, 401), part.grid]))
            s = brute_force(part.r, u, mu, fine, 40)
            r_s, r_v = part.r(s), part.r(v)
            d_s = mu * (r_s - r_v) + (s - v) * (0.5 * (s + v) - u)
            size = mu * (np.abs(r_s) + np.abs(r_v)) + np.abs(s - v) * (0.5 * np.abs(s + v) + np.abs(u))
            relative = d_s / (1.0 + size)
            if relative.min() < -TOLERANCE:
                bad = np.nonzero(relative < -TOLERANCE)
                u_bad, v_bad, s_bad = (x[bad][:, None] for x in (u, v, s))
                mu_bad = mu[bad[0], 0]
                relative[bad] = part.rounding.again(d_s[bad], size[bad], TOLERANCE, mu_bad, u_bad, v_bad, s_bad)
            self.min_d[part.rows] = np.minimum(self.min_d[part.rows], relative.min(axis=1))

    # ---- steps

    def step(self, eta: Array | float, g: Array, u: Array, v: Array, mu: Array | float | None = None) -> None:
        """Record the step u_{t+1} = u_t - eta g_t with v = v_{t+1}; ``mu`` is mu_{t+1} (None: unchanged).

        eta and mu are numbers or of shape (R,); g, u, v (R, d) are kept, not copied.
        """
        many = len(self.w)
        old_mu, old_r, old_p, old_pp = self.mu, self.r_v, self.p, self.pp
        after = old_mu if mu is None else np.broadcast_to(np.asarray(mu, dtype=float), old_mu.shape)
        growth = after - old_mu
        r_v = self._total(v, f"v_{self.steps + 2}", u)
        e, p = np.subtract(v, self.v, out=self._e), np.subtract(u, v, out=self._spare_p)
        pp, ee, gg = _dot(p, p), _dot(e, e), _dot(g, g)
        if not np.isfinite(pp + gg).all():
            run = int(np.flatnonzero(~np.isfinite(pp + gg))[0])
            raise RunError(run, f"the run diverged: |u_{self.steps + 2}|^2 is not finite in float64")
        # eta g as it was taken, rounding included: the identities hold for any g
        taken = np.subtract(self.u, u, out=self._taken)
        inner = _dot(self.q, taken)
        inner_next = inner + _dot(e, taken)
        self._test_step(eta, g, gg)
        values, values_next = growth * (old_r - self.r_w), growth * (r_v - self.r_w)
        fall = old_r - r_v
        ahead = after * fall + (_dot(e, p) + 0.5 * ee)  # D_{t+1}(v_t)
        back = -old_mu * fall - (_dot(e, old_p) - 0.5 * ee)  # D_t(v_{t+1})
        ahead_size = after * np.abs(fall) + np.sqrt(ee * pp) + 0.5 * ee
        back_size = old_mu * np.abs(fall) + np.sqrt(ee * old_pp) + 0.5 * ee
        # eta g + delta s, where s = p/mu
        share = growth / old_mu
        pull = 0.5 * (eta * eta * gg + share * (2.0 * eta * _dot(g, old_p) + share * old_pp))
        r_size = after * (np.abs(old_r) + np.abs(r_v))
        self._note(ahead, r_size + 0.5 * ee + np.sqrt(ee * pp), after, u, v, self.v)
        self._note(back, r_size + 0.5 * ee + np.sqrt(ee * old_pp), old_mu, self.u, self.v, v)
        if self.any_convex:
            scale = 1.0 + r_size + _dot(self.u, self.u) + pp + old_pp + ee + eta * eta * gg
            margin = np.minimum(pull - ahead, back - 0.5 * ee)
            self._note_slack(margin, scale, after, v)
        np.less(np.multiply(v, self.v, out=e), 0.0, out=self._flipped)
        if self._flipped.any():
            self.flips += np.count_nonzero(self._flipped, axis=1)
        self.u, self.v, self.pp, self.r_v, self.mu = u, v, pp, r_v, after
        self.p, self._spare_p = p, self.p
        self.q, self._spare_q = np.subtract(v, self.w, out=self._spare_q), self.q
        self.d_last = self._at_comparators()
        terms = self._terms
        terms[:many], terms[many : 2 * many] = inner + values, inner_next + values_next
        terms[2 * many], terms[2 * many + 1], terms[2 * many + 2], terms[2 * many + 3] = ahead, back, pull, eta
        self._sums.add(terms)
        self._sizes[:many] += np.abs(inner) + np.abs(values) + ahead_size
        self._sizes[many:] += np.abs(inner_next) + np.abs(values_next) + back_size
        self.steps += 1
        self.eta = eta
        if self.grid_every and self.steps % self.grid_every == 0:
            self._test_grid()
        if self.deep_every and self.steps % self.deep_every == 0:
            self._test_brute_force()

    def _note_slack(self, margin: Array, scale: Array, mu: Array, v: Array) -> None:
        """Keep the least margin of the inequalities for convex r, relative to its terms."""
        relative = margin / scale
        for part in self.parts:
            if not part.convex:
                continue
            own, rows = relative[part.rows], part.rows
            bad = np.flatnonzero(own < -TOLERANCE)
            if len(bad):  # mu times the rounding of r
                inside = part.rounding.terms(v[rows][bad]) + part.rounding.terms(self.v[rows][bad])
                own[bad] = margin[rows][bad] / (scale[rows][bad] + mu[rows][bad] * inside.sum(axis=1))
            self.slack[rows] = np.minimum(self.slack[rows], own)

    def _test_step(self, eta: Array | float, g: Array, gg: Array) -> None:
        """Whether u_t - u_{t+1} is eta_t g_t up to the rounding of the two operations, run by run.

        At every step by |taken - eta g|^2 from its three products, which tells errors of more than about 1e-8, in
        length or direction; at the first step and where the grid is tested by the difference itself.
        """
        length = eta * np.sqrt(gg)
        size = np.maximum(np.sqrt(_dot(self.u, self.u)) + length, 1e-300)
        square = _dot(self._taken, self._taken) - eta * (2.0 * _dot(self._taken, g) - eta * gg)
        off = np.where(square > 1e-14 * size * size, np.sqrt(np.abs(square)), 0.0)
        if self.steps == 0 or not self.grid_every or (self.steps + 1) % self.grid_every == 0:
            eta_column = eta[:, None] if isinstance(eta, np.ndarray) and eta.ndim else eta
            error = np.subtract(self._taken, np.multiply(eta_column, g, out=self._error), out=self._error)
            off = np.maximum(off, np.sqrt(_dot(error, error)))
        np.maximum(self.step_error, off / size, out=self.step_error)

    def finish(self) -> None:
        """The tests of D_t >= 0 at the last point, where `step` has not just made them."""
        if self.grid_every and self.steps % self.grid_every:
            self._test_grid()
        if self.deep_every and self.steps % self.deep_every:
            self._test_brute_force()

    def row(self) -> Row:
        """The ledger so far."""
        many = len(self.w)
        sums = self._sums.value
        left, second = sums[:many], sums[many : 2 * many]
        d_sum, d_second, pull_sum, eta_sum = sums[2 * many :]
        ends = self._first_size + self._end_size
        # the small differences are taken last: (left - d_sum) and the two ends are of one size
        fall = self.d_first - self.d_last
        abs_sum = self._sizes[:many] + ends
        return Row(
            np.broadcast_to(self.eta, eta_sum.shape),
            self.mu,
            eta_sum,
            left,
            self.d_first,
            self.d_last,
            d_sum,
            pull_sum,
            abs_sum,
            _relative(np.abs((left - d_sum) - fall), abs_sum),
            _relative(np.abs((second + d_second) - fall), self._sizes[many:] + ends),
            d_sum / eta_sum,
            (self.d_first + d_sum) / eta_sum,
            self.flips.copy(),
            self.min_d.copy(),
            self.slack.copy(),
            self.support.copy(),
            self.step_error.copy(),
        )

    def sound(self) -> bool:
        """D_t >= 0 wherever it was tested, and what holds for convex r, up to rounding."""
        margins = (self.min_d, self.slack, self.support)
        return all(bool(np.all(m >= -TOLERANCE)) for m in margins) and bool(np.all(self.step_error <= STEP_TOLERANCE))


def _relative(error: Array, size: Array) -> Array:
    """error / size, 0 where the error is 0."""
    return np.asarray(np.divide(error, size, out=np.zeros_like(error), where=error > 0))


__all__ = [
    "STEP_TOLERANCE",
    "TOLERANCE",
    "Ledger",
    "Part",
    "Row",
    "RunError",
    "Sides",
    "brute_force",
    "divergence_at",
    "domain",
    "identity_sides",
    "on_floats",
    "scalars",
    "totals",
]
