"""The corollaries of the identities, on runs: which apply, both sides at every mark, their ratio and fitted order.

With F~ = f o T + r where mu advances and f o T for a fixed pair, D_1 = D_1(w), H = sum eta_t
(docs/mathematics.md, section 4):

- ``convex`` (T affine, r convex): best and averaged iterate, (D_1 + sum |eta_t g_t + delta_t s_t|^2/2)/H;
- ``smooth`` (also f smooth, eta_t <= 1/L, exact gradients): the average of v_{t+1}, D_1/H;
- ``residual`` (T affine, any r): best value and the mean of the values, (D_1 + sum D_{t+1}(v_t))/H;
- ``every w`` (any T, any r): the eta-weighted mean of <v_t - w, g_t> + r(v_t) - r(w), the same bound.

With stochastic gradients the first three hold in expectation for fixed w: then both sides are means over the seeds,
and a statement counts as violated only where the mean of left - bound is above 0 by Student's 99.9 % quantile (there
are many marks, so one of them often is by the usual 97.5 %).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from verify.problems import Array, Problem
from verify.proxconnect import Scheme
from verify.references import transform_slope

TOLERANCE = 1e-12
"""Relative to the absolute terms of both sides: what rounding may add to the left side."""


FEWEST_SEEDS = 5
"""From so many seeds on a statement about expectations is judged; of fewer its sides are only reported."""


@dataclass(frozen=True)
class Statement:
    """A corollary about one iterate: the field of `verify.sweep.Trace` on its left, and its bound as a formula."""

    name: str
    iterate: str
    left: str
    bound: str

    def bound_of(self, found: dict[str, Array]) -> Array:
        """The computable bound, from fields of one shape at the first comparator."""
        total = found["eta_sum"]
        if self.bound == "D_1/H":
            return found["d_first"] / total
        if self.bound == "(D_1 + pull)/H":
            return (found["d_first"] + found["pull_sum"]) / total
        return (found["d_first"] + found["d_sum"]) / total


STATEMENTS = (
    Statement("convex", "best", "best", "(D_1 + pull)/H"),
    Statement("convex", "average", "average", "(D_1 + pull)/H"),
    Statement("smooth", "average of v_{t+1}", "average_next", "D_1/H"),
    Statement("residual", "best", "best", "(D_1 + sum D)/H"),
    Statement("residual", "mean of values", "mean", "(D_1 + sum D)/H"),
    Statement("every w", "mean over t", "path", "(D_1 + sum D)/H"),
)


def refusal(statement: str, how: Scheme, of: Problem, etas: Array, stochastic: bool) -> str:
    """Why a statement is not claimed for these runs; empty if its hypotheses hold."""
    if how.mode == "none":
        return how.reason
    if statement == "every w":
        return ""
    if how.mode == "sign-field":
        return "g = B*grad f is no gradient of f o T"
    if not how.affine:
        return "T is not affine, so f o T need not be convex"
    if statement == "residual":
        return ""
    if how.convex is not True:
        return "r is not convex" if how.convex is False else "whether r is convex is not settled"
    if statement == "convex":
        return ""
    if stochastic:
        return "the gradients are not exact"
    if not math.isfinite(of.smoothness):
        return "the gradient of f is not Lipschitz"
    most = of.smoothness * transform_slope(how) ** 2
    return "" if float(etas.max()) * most <= 1 + 1e-12 else "some eta_t exceeds 1/L"


@dataclass(frozen=True)
class Finding:
    """One statement on one run, or with stochastic gradients on all seeds (``seed`` None), over the marks (M,)."""

    statement: Statement
    seed: int | None
    left: Array
    bound: Array
    excess: Array
    """left - bound, less what rounding (or the sampling error of the mean) allows: violated where positive."""

    @property
    def ratio(self) -> Array:
        """left/bound at every mark; NaN where the bound is 0."""
        return np.divide(self.left, self.bound, out=np.full_like(self.left, np.nan), where=self.bound > 0)

    @property
    def violated(self) -> bool:
        return not bool(np.all(self.excess <= 0))  # what is no number is not within the bound


def findings(
    cells: dict[str, Array], how: Scheme, of: Problem, etas: Array, seeds: tuple[int, ...], stochastic: bool
) -> Iterator[Finding]:
    """What the statements whose hypotheses hold say of the runs of one pair, problem and schedule.

    ``cells``: fields of `verify.sweep.Trace` as (M, S), those of w at the first comparator; ``etas`` (T,).
    """
    for statement in STATEMENTS:
        if refusal(statement.name, how, of, etas, stochastic):
            continue
        left, bound = cells[statement.left], statement.bound_of(cells)
        size = 1.0 + np.abs(left) + cells["abs_sum"] / cells["eta_sum"] + abs(float(of.value(of.minimiser)))
        excess = left - bound - TOLERANCE * size
        if stochastic and statement.name != "every w":
            if len(seeds) < 2:
                continue
            from scipy.stats import t

            # of fewer seeds the standard deviation is small by accident at one of the marks
            least = np.full(len(left), -np.inf)
            if len(seeds) >= FEWEST_SEEDS:
                error = excess.std(axis=1, ddof=1) / math.sqrt(len(seeds))
                least = excess.mean(axis=1) - float(t.ppf(0.999, len(seeds) - 1)) * error
            yield Finding(statement, None, left.mean(axis=1), bound.mean(axis=1), least)
            continue
        for s, seed in enumerate(seeds):
            yield Finding(statement, seed, left[:, s], bound[:, s], excess[:, s])


@dataclass(frozen=True)
class Order:
    """left ~ t^(-order): least squares of log left on log t over the marks used; ``low``, ``high`` its 95 % interval.

    NaN where the left side is not positive at all of the last marks. The interval is that of independent residuals;
    those of one trajectory are not, so it tells how straight the line is, not how sure the limit is.
    """

    order: float
    low: float
    high: float


def fitted_order(steps: Array, left: Array, decades: float = 1.5) -> Order:
    """The order over the last ``decades`` of t, (M,) each."""
    from scipy.stats import linregress, t

    late = steps >= steps[-1] / 10**decades
    nothing = Order(math.nan, math.nan, math.nan)
    if late.sum() < 5 or not np.all(np.isfinite(left[late]) & (left[late] > 0)):
        return nothing
    fit = linregress(np.log(steps[late]), np.log(left[late]))
    half = float(t.ppf(0.975, int(late.sum()) - 2) * fit.stderr)
    return Order(-float(fit.slope), -float(fit.slope) - half, -float(fit.slope) + half)


__all__ = ["STATEMENTS", "Finding", "Order", "Statement", "findings", "fitted_order", "refusal"]
