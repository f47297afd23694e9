"""The convergence ledger: both sides of the identity at every step, and what it does not show.

With r_t(w) = mu_t r(w) + |w|^2/2 and D_t(w) = r_t(w) - r_t(v_t) - <w - v_t, u_t>, for any g_t and any
comparator w with r(w) finite (MATH.md, section 4),

    (I)   sum eta_t <v_t - w, g_t>     + dmu_t (r(v_t) - r(w))     = D_1(w) - D_{T+1}(w) + sum D_{t+1}(v_t)
    (II)  sum eta_t <v_{t+1} - w, g_t> + dmu_t (r(v_{t+1}) - r(w)) = D_1(w) - D_{T+1}(w) - sum D_t(v_{t+1})

where dmu_t = mu_{t+1} - mu_t is eta_t if mu advances and 0 for a fixed pair. Both are algebra and
close for *any* v_t; that v_t = P(u_t) is right shows in D_t >= 0 everywhere, which the ledger tests
at the comparators, at a grid of scalars for every coordinate, and at brute-force minimisers.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.errors import InputError
from theory.exact import to_float
from theory.maps import PiecewiseMap

Array = NDArray[Any]
Regularizing = Callable[[Array], Array]

TOLERANCE = 1e-12
"""Closure error and negative D_t allowed in float64, both relative to the absolute sum of their terms."""


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


def brute_force(r: Regularizing, u: Array, mu: float, grid: Array, refinements: int = 50) -> Array:
    """A global minimiser of mu r(s) + s^2/2 - s u for every u, by scanning and golden section.

    ``grid`` (G,) increasing must be fine enough for one valley between neighbours; where r is +inf a
    point is never chosen. Shape of the result: that of u. An oracle that knows nothing of P.
    """
    from scipy.constants import golden

    def objective(s: Array, at: Array) -> Array:
        return np.asarray(mu * r(s) + s * (0.5 * s - at))

    on_grid = mu * r(grid) + 0.5 * grid * grid
    values = on_grid - u[..., None] * grid
    k = np.argmin(values, axis=-1)
    best, least = grid[k], np.min(values, axis=-1)
    lo, hi = grid[np.maximum(k - 1, 0)], grid[np.minimum(k + 1, len(grid) - 1)]
    for _ in range(refinements):
        width = (hi - lo) / golden
        a, b = hi - width, lo + width
        fa, fb = objective(a, u), objective(b, u)
        for s, f in ((a, fa), (b, fb)):
            better = f < least
            best, least = np.where(better, s, best), np.where(better, f, least)
        # where both probes are infinite the finite points lie at the best one: close in on it
        left = np.where(np.isinf(fa) & np.isinf(fb), best < 0.5 * (lo + hi), fa < fb)
        lo, hi = np.where(left, lo, a), np.where(left, b, hi)
    return np.asarray(best)


# --------------------------------------------------------------------------- the ledger


class _Sum:
    """Neumaier's compensated running sum of arrays of one shape."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self._sum, self._lost = np.zeros(shape), np.zeros(shape)

    def add(self, term: Array) -> None:
        total = self._sum + term
        large = np.abs(self._sum) >= np.abs(term)
        self._lost += np.where(large, (self._sum - total) + term, (term - total) + self._sum)
        self._sum = total

    @property
    def value(self) -> Array:
        return np.asarray(self._sum + self._lost)


@dataclass(frozen=True)
class Row:
    """The ledger after a step; every field of shape (S,) but eta, mu and eta_sum.

    ``closure`` and ``closure_second`` are |left - right|/abs_sum of (I) and (II), abs_sum being the
    sum of the absolute values of the terms of (I) (of (II)) so far, <., .> and D one term each;
    ``d_sum`` is sum D_{t+1}(v_t); ``residual`` is d_sum / sum eta and ``bound`` (D_1(w) + d_sum) / sum eta;
    ``flips`` counts sign changes of coordinates of v; ``min_d`` is the least D_t of one coordinate
    found so far, divided by 1 + the absolute sum of its terms; ``slack`` likewise the least margin in the two
    inequalities for convex r (+inf where they do not apply).
    """

    eta: float
    mu: float
    eta_sum: float
    left: Array
    d_first: Array
    d_last: Array
    d_sum: Array
    abs_sum: Array
    closure: Array
    closure_second: Array
    residual: Array
    bound: Array
    flips: Array
    min_d: Array
    slack: Array


class Ledger:
    """Carries the identity along a run, in float64, batched over S runs.

    Parameters: ``u``, ``v`` (S, d) the first latent and proximal points; ``comparator`` (d,) or (S, d)
    with r finite; ``r`` the lowered regularizer; ``grid`` (G,) scalars at which D_t >= 0 is tested for
    every coordinate and step; ``mu`` the first mu; ``convex`` whether the two inequalities for
    convex r are tested; ``deep_every`` steps between brute-force minimisations (0: never).
    Raises `InputError` where r is not finite at a v_t or at the comparator.
    """

    def __init__(
        self,
        u: Array,
        v: Array,
        comparator: Array,
        r: Regularizing,
        grid: Array,
        mu: float = 1.0,
        convex: bool = False,
        deep_every: int = 100,
    ) -> None:
        self.r, self.mu, self.convex, self.deep_every = r, mu, convex, deep_every
        self.w = np.broadcast_to(comparator, v.shape)
        self.u, self.v = u, v
        self.r_w, self.r_v = self._finite(self.w, "the comparator"), self._finite(v, "v_1")
        values = r(grid)
        self.grid, self.r_grid = grid[np.isfinite(values)], values[np.isfinite(values)]
        runs = (v.shape[0],)
        self.left, self.d_sum, self.abs_sum = _Sum(runs), _Sum(runs), _Sum(runs)
        self.left_second, self.d_second, self.abs_second = _Sum(runs), _Sum(runs), _Sum(runs)
        self.eta_sum = _Sum(())
        self.flips = np.zeros(runs, dtype=np.int64)
        self.min_d = np.full(runs, np.inf)
        self.slack = np.full(runs, np.inf)
        self.steps = 0
        self.d_first = self._divergence(self.w, self.r_w)
        self._test_grid()
        if deep_every:
            self._test_brute_force()

    def _finite(self, at: Array, what: str) -> Array:
        values = self.r(at)
        if not np.all(np.isfinite(values)):
            raise InputError(f"the ledger needs a finite r, but r is infinite at a coordinate of {what}")
        return values

    # ---- D_t

    def _coordinates(self, at: Array, r_at: Array) -> Array:
        """D_t(at) coordinate by coordinate for the present u, v, mu: written so that D = 0 at v exactly."""
        return np.asarray(self.mu * (r_at - self.r_v) + (at - self.v) * (0.5 * (at + self.v) - self.u))

    def _note(self, d: Array, at: Array, r_at: Array, v: Array, r_v: Array, u: Array) -> None:
        """Keep the least D over coordinates, relative to its terms."""
        size = self.mu * (np.abs(r_at) + np.abs(r_v)) + np.abs(at - v) * (0.5 * np.abs(at + v) + np.abs(u))
        relative = d / (1.0 + size)
        self.min_d = np.minimum(self.min_d, relative.reshape(len(self.min_d), -1).min(axis=1))

    def _divergence(self, at: Array, r_at: Array) -> Array:
        d = self._coordinates(at, r_at)
        self._note(d, at, r_at, self.v, self.r_v, self.u)
        return np.asarray(d.sum(axis=1))

    def _test_grid(self) -> None:
        v, r_v, u = self.v[..., None], self.r_v[..., None], self.u[..., None]
        d = self.mu * (self.r_grid - r_v) + (self.grid - v) * (0.5 * (self.grid + v) - u)
        if d.min() < 0 or not np.all(np.isfinite(self.min_d)):
            self._note(d, self.grid, self.r_grid, v, r_v, u)

    def _test_brute_force(self) -> None:
        reach = 4.0 + float(np.max(np.abs(self.u)))
        fine = np.unique(np.concatenate([np.linspace(-reach, reach, 801), self.grid]))
        s = brute_force(self.r, self.u, self.mu, fine)
        self._divergence(s, self.r(s))

    # ---- steps

    def step(self, eta: float, g: Array, u: Array, v: Array, mu: float | None = None) -> None:
        """Record the step u_{t+1} = u_t - eta g_t with v = v_{t+1}; ``mu`` is mu_{t+1} (None: unchanged)."""
        after = self.mu if mu is None else mu
        growth = after - self.mu
        r_after = self._finite(v, f"v_{self.steps + 2}")
        # terms at the old state
        inner = eta * np.sum((self.v - self.w) * g, axis=1)
        values = growth * np.sum(self.r_v - self.r_w, axis=1)
        inner_second = eta * np.sum((v - self.w) * g, axis=1)
        values_second = growth * np.sum(r_after - self.r_w, axis=1)
        back = self._coordinates(v, r_after)  # D_t(v_{t+1})
        self._note(back, v, r_after, self.v, self.r_v, self.u)
        d_back = back.sum(axis=1)
        old_u, old_v, old_r, old_mu = self.u, self.v, self.r_v, self.mu
        # the new state
        self.u, self.v, self.r_v, self.mu = u, v, r_after, after
        d_ahead = self._divergence(old_v, old_r)  # D_{t+1}(v_t)
        self.d_last = self._divergence(self.w, self.r_w)
        for total, size, terms in (
            (self.left, self.abs_sum, (inner, values)),
            (self.d_sum, self.abs_sum, (d_ahead,)),
            (self.left_second, self.abs_second, (inner_second, values_second)),
            (self.d_second, self.abs_second, (d_back,)),
        ):
            for term in terms:
                total.add(term)
                size.add(np.abs(term))
        self.eta_sum.add(np.asarray(eta))
        self.flips += np.count_nonzero(old_v * v < 0, axis=1)
        self.steps += 1
        if self.convex:
            s = (old_u - old_v) / old_mu if growth else np.zeros_like(old_v)
            most = 0.5 * eta**2 * np.sum((g + s) ** 2, axis=1)
            least = 0.5 * np.sum((v - old_v) ** 2, axis=1)
            for margin, size_of in ((most - d_ahead, most + np.abs(d_ahead)), (d_back - least, d_back + least)):
                scale = 1.0 + np.abs(size_of) + np.sum(old_mu * np.abs(old_r) + np.abs(old_v * old_u), axis=1)
                self.slack = np.minimum(self.slack, margin / scale)
        self._test_grid()
        if self.deep_every and self.steps % self.deep_every == 0:
            self._test_brute_force()

    def row(self, eta: float) -> Row:
        """The ledger so far. ``eta`` is the last step size, written down with it."""
        left, d_sum = self.left.value, self.d_sum.value
        ends = np.abs(self.d_first) + np.abs(self.d_last)
        abs_sum, abs_second = self.abs_sum.value + ends, self.abs_second.value + ends
        # the small differences are taken last: (left - d_sum) and the two ends are of one size
        error = np.abs((left - d_sum) - (self.d_first - self.d_last))
        second = np.abs((self.left_second.value + self.d_second.value) - (self.d_first - self.d_last))
        eta_sum = float(self.eta_sum.value)
        return Row(
            eta,
            self.mu,
            eta_sum,
            left,
            self.d_first,
            self.d_last,
            d_sum,
            abs_sum,
            _relative(error, abs_sum),
            _relative(second, abs_second),
            d_sum / eta_sum,
            (self.d_first + d_sum) / eta_sum,
            self.flips.copy(),
            self.min_d,
            self.slack,
        )

    def sound(self) -> bool:
        """D_t >= 0 wherever it was tested, and the inequalities for convex r, up to rounding."""
        return bool(np.all(self.min_d >= -TOLERANCE) and np.all(self.slack >= -TOLERANCE))


def _relative(error: Array, size: Array) -> Array:
    """error / size, 0 where the error is 0."""
    return np.asarray(np.divide(error, size, out=np.zeros_like(error), where=error > 0))


__all__ = [
    "TOLERANCE",
    "Ledger",
    "Row",
    "Sides",
    "brute_force",
    "divergence_at",
    "domain",
    "identity_sides",
    "scalars",
]
