"""Every hypothesis of the convergence statements dropped alone, with a run that shows what breaks.

The statements are those of `verify.statements`; each row compares two runs that differ in one thing. Most are
*exact*: rational arithmetic, where a fixed point or a period is proved by equality, so what is seen after N steps holds
for ever. ``kept`` and ``dropped`` are one quantity with and without the hypothesis: mostly left/bound, so that a
statement is broken where it exceeds 1; a gap, broken where it stays at a floor that is proved.

With f(v) = v^2/2, r = 0, v_1 = 1 and the step size x throughout, q = 1 - x: the average of v_2..v_{T+1} is
q (1 - q^T)/(T x), so the gap is q^2 (1 - q^T)^2/(T x) times D_1/sum eta: x (1 - x)^2 for T = 1, at most 1 for every
T >= 2 and x <= 2, unbounded in T for x > 2. That is r = 0; a convex r can reach the bound earlier (see
`verify.worst_cases`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import astuple, dataclass, fields, replace
from fractions import Fraction
from pathlib import Path

import numpy as np

from theory.files import write_csv
from verify.converge import check_arguments
from verify.ledger import TOLERANCE, divergence_at
from verify.problems import Array, problem
from verify.proxconnect import ProxPath, scheme
from verify.rational import (
    Numbers,
    RationalRun,
    RationalScheme,
    Scalar,
    quadratic_gradient,
    rational_run,
    rational_scheme,
)
from verify.references import objective
from verify.runs import PairSpec, Shard, batch_of, scheme_of
from verify.sweep import Sweep, Trace, simulate

Number = Fraction | float
STEPS, MOST_STEPS = 300, 20_000
"""Steps of a run unless a row says otherwise; exact runs take 300 at most."""
SEEDS = 8
HALF, ONE = Fraction(1, 2), Fraction(1)


@dataclass(frozen=True)
class Row:
    """One hypothesis dropped: the numbers with and without it, and whether the statement breaks."""

    statement: str
    hypothesis: str
    run: str
    quantity: str
    kept: float
    dropped: float
    broken: str
    sentence: str


HEADER = tuple(f.name for f in fields(Row))


def broken(kept: Number, dropped: Number, limit: Number = ONE) -> str:
    """yes where ``dropped`` exceeds the limit and ``kept`` does not, else no; floats get 1e-9 of room."""
    room = 0 if isinstance(dropped, Fraction) and isinstance(kept, Fraction) else 1e-9 * abs(float(limit))
    return "yes" if dropped > limit + room and not kept > limit + room else "no"


def floored(kept: Number, dropped: Number, floor: Number) -> str:
    """yes where ``dropped`` is at least a floor > 0 that holds for ever, and ``kept`` is below it; else no."""
    return "yes" if dropped >= floor > 0 and kept < floor else "no"


def _row(
    statement: str,
    hypothesis: str,
    run: str,
    quantity: str,
    kept: Number,
    dropped: Number,
    answer: str,
    sentence: str,
) -> Row:
    return Row(statement, hypothesis, run, quantity, float(kept), float(dropped), answer, sentence)


def _g(x: Number) -> str:
    """A number in a sentence: short fractions as such."""
    if isinstance(x, Fraction) and x.denominator < 1000 and abs(x.numerator) < 10_000:
        return str(x)
    return f"{float(x):.4g}"


# --------------------------------------------------------------------------- exact runs


@dataclass(frozen=True)
class Toy:
    """f in Fractions: its value and a (sub)gradient, (d,) -> a number and (d,)."""

    value: Callable[[Numbers], Fraction]
    gradient: Callable[[Numbers], Numbers]


def paraboloid(hessian: Sequence[Sequence[Fraction]], centre: Sequence[Fraction]) -> Toy:
    """f(w) = (w - c)'H(w - c)/2."""
    gradient = quadratic_gradient(hessian, centre)

    def value(w: Numbers) -> Fraction:
        pairs = zip(w, centre, gradient(w), strict=True)
        return sum(((a - c) * g for a, c, g in pairs), Fraction(0)) / 2

    return Toy(value, gradient)


def parabola(centre: Fraction) -> Toy:
    """f(w) = (w - c)^2/2, L = 1."""
    return paraboloid([[ONE]], [centre])


def _kink(w: Numbers) -> Fraction:
    return max(-w[0], 2 * w[0])


KINK = Toy(_kink, lambda w: [Fraction(2 if w[0] > 0 else -1 if w[0] < 0 else 0)])
"""f(w) = max(-w, 2 w), G = 2."""


def by_hand(
    prox: Callable[[Fraction], Scalar],
    r: Scalar,
    advances: bool = True,
    transform: Scalar = lambda v: v,
    slope: Scalar = lambda v: ONE,
) -> RationalScheme:
    """T, t, P as functions of numbers; ``prox``: mu -> P_r^mu."""
    return RationalScheme("advance" if advances else "fixed", transform, lambda _, v: slope(v), prox, r)


def _nothing(_: Fraction) -> Fraction:
    return Fraction(0)


PLAIN = by_hand(lambda mu: lambda u: u, _nothing)
"""P = T = id, r = 0: gradient descent."""


def _sign(u: Fraction) -> Fraction:
    return ONE if u >= 0 else -ONE


SIGN = by_hand(lambda mu: _sign, _nothing)
"""BinaryConnect: P = sign; r is 0 on {-1, 1}, where all comparators lie."""


@dataclass(frozen=True)
class Measured:
    """What an exact run shows at a comparator w: gaps of F~, and sums over the steps.

    ``best`` and ``mean`` of the values at v_1..v_T, ``average``, ``average_next`` at the eta-weighted means of v_1..v_T
    and v_2..v_{T+1}; ``path`` the mean of <v_t - w, g_t> + r(v_t) - r(w); ``first`` D_1(w), ``residual``
    sum D_{t+1}(v_t), ``pull`` sum |eta_t g_t + delta_t s_t|^2/2 and ``total`` sum eta; ``least`` the least D_t(w).
    """

    best: Fraction
    mean: Fraction
    average: Fraction
    average_next: Fraction
    last: Fraction
    path: Fraction
    first: Fraction
    residual: Fraction
    pull: Fraction
    total: Fraction
    least: Fraction

    @property
    def plain(self) -> Fraction:
        """D_1/sum eta."""
        return self.first / self.total

    @property
    def convex(self) -> Fraction:
        """(D_1 + sum |eta g + delta s|^2/2)/sum eta."""
        return (self.first + self.pull) / self.total

    @property
    def bound(self) -> Fraction:
        """(D_1 + sum D_{t+1}(v_t))/sum eta."""
        return (self.first + self.residual) / self.total


def measured(run: RationalRun, of: Toy, how: RationalScheme, w: Numbers, advances: bool | None = None) -> Measured:
    """Both sides at w. ``advances``: whether F~ = f o T + r or f o T, by default as in the run.

    Raises `ArithmeticError` if (I) or (II) does not close exactly.
    """
    if not run.closes(w):
        raise ArithmeticError("the identity does not close in rational arithmetic")
    with_r = how.advances if advances is None else advances

    def objective(v: Numbers) -> Fraction:
        f = of.value([how.transform(a) for a in v])
        return f + sum((run.r(a) for a in v), Fraction(0)) if with_r else f

    base, total = objective(w), sum(run.etas, Fraction(0))
    gaps = [objective(v) - base for v in run.vs]
    sides = run.sides(w)
    first, last = (_divergence(run, t, w) for t in (0, len(run.etas)))
    pull = Fraction(0)
    for t, eta in enumerate(run.etas):
        share = (run.mus[t + 1] - run.mus[t]) / run.mus[t]
        moved = [eta * g + share * (u - v) for g, u, v in zip(run.gs[t], run.us[t], run.vs[t], strict=True)]
        pull += sum((a * a for a in moved), Fraction(0)) / 2

    def averaged(vs: Sequence[Numbers]) -> Fraction:
        mean = [sum(e * v[i] for e, v in zip(run.etas, vs, strict=True)) / total for i in range(len(w))]
        return objective(mean) - base

    return Measured(
        min(gaps[:-1]),
        sum((e * g for e, g in zip(run.etas, gaps, strict=False)), Fraction(0)) / total,
        averaged(run.vs[:-1]),
        averaged(run.vs[1:]),
        gaps[-1],
        sides.first[0] / total,
        first,
        sides.first[1] - first + last,
        pull,
        total,
        run.least_divergence(w),
    )


def _divergence(run: RationalRun, t: int, w: Numbers) -> Fraction:
    return Fraction(divergence_at(run.us[t], run.vs[t], run.mus[t], w, run.r))


def period(run: RationalRun) -> int | None:
    """The p with u_{t+p} = u_t for the first state that came back; None without one, or if the step sizes differ.

    A proof that the run repeats for ever where P does not change with mu.
    """
    if len(set(run.etas)) != 1:
        return None
    seen: dict[tuple[Fraction, ...], int] = {}
    for t, u in enumerate(run.us):
        key = tuple(u)
        if key in seen:
            return t - seen[key]
        seen[key] = t
    return None


def flip_sum(run: RationalRun) -> Fraction:
    """sum of 2 |u_{t+1}| over the coordinates whose sign flips from v_t to v_{t+1}."""
    steps = zip(run.vs[:-1], run.vs[1:], run.us[1:], strict=True)
    return sum((2 * abs(u) for a, b, c in steps for v, w, u in zip(a, b, c, strict=True) if v * w < 0), Fraction(0))


# --------------------------------------------------------------------------- eta_t <= 1/L


def one_step(x: Fraction) -> Fraction:
    """gap/(D_1/eta) after one step eta = x/L on f = L v^2/2, r = 0: x (1 - x)^2."""
    return x * (1 - x) ** 2


def one_step_limit(width: Fraction = Fraction(1, 10**12)) -> tuple[Fraction, Fraction]:
    """An enclosure of the x > 1 at which x (1 - x)^2 = 1, by bisection: the function increases there."""
    low, high = ONE, Fraction(2)
    while high - low > width:
        middle = (low + high) / 2
        low, high = (middle, high) if one_step(middle) <= 1 else (low, middle)
    return low, high


def _descended(etas: Sequence[Fraction]) -> Measured:
    """Gradient descent on f = v^2/2 from 1."""
    of = parabola(Fraction(0))
    return measured(rational_run(PLAIN, of.gradient, [ONE], etas), of, PLAIN, [Fraction(0)])


def searched_steps(most: float, seed: int, count: int = 4000) -> float:
    """The largest left/bound of ``smooth`` found at step sizes up to ``most``/L: in one dimension, L = 1.

    f = h (v - c)^2/2 with h <= 1, r = lambda |v| on an interval, constant and varying steps, T = 1..6, and the
    pattern of one long step and then short ones.
    """
    rng = np.random.default_rng([seed, 17])
    found = 0.0
    for steps in (1, 2, 3, 4, 6):
        h = np.where(rng.random(count) < 0.5, 1.0, rng.uniform(0.02, 1.0, count))
        c, u = rng.uniform(-2, 2, count), rng.uniform(-3, 3, count)
        weight = np.where(rng.random(count) < 0.5, 0.0, rng.uniform(0, 2, count))
        free = rng.random(count) < 0.5
        low = np.where(free, -np.inf, -rng.uniform(0, 2, count))
        high = np.where(free, np.inf, rng.uniform(0, 2, count))
        largest = rng.uniform(1.0, most, count)
        tail = rng.choice([0.0, 0.1, 0.3, 1.0], count)
        w = np.clip(_shrunk(c, weight / h), low, high)
        mu, v, first_u = np.ones(count), np.clip(_shrunk(u, weight), low, high), u
        d_first = weight * (np.abs(w) - np.abs(v)) + 0.5 * (w * w - v * v) - (w - v) * first_u
        total, weighted = np.zeros(count), np.zeros(count)
        for t in range(steps):
            eta = largest if t == 0 else largest * np.where(tail > 0, tail, rng.uniform(0.0, 1.0, count)) + 1e-9
            u, mu = u - eta * h * (v - c), mu + eta
            v = np.clip(_shrunk(u, mu * weight), low, high)
            weighted, total = weighted + eta * v, total + eta
        mean = weighted / total
        gap = 0.5 * h * ((mean - c) ** 2 - (w - c) ** 2) + weight * (np.abs(mean) - np.abs(w))
        usable = d_first > 1e-6
        ratio = gap[usable] * total[usable] / d_first[usable]
        found = max(found, float(ratio.max()))
    return found


def _shrunk(u: Array, by: Array) -> Array:
    return np.asarray(np.sign(u) * np.maximum(np.abs(u) - by, 0.0))


def long_steps(seed: int, steps: int) -> list[Row]:
    """eta_t <= 1/L dropped: beyond 2/L, and between 1/L and 2/L."""
    rows = []
    few = 12
    kept, dropped = (_descended([x] * few) for x in (ONE, Fraction(5, 2)))
    a, b = kept.average_next / kept.plain, dropped.average_next / dropped.plain
    rows.append(
        _row(
            "smooth",
            "eta_t <= 1/L",
            f"FP, f = v^2/2, r = 0, {few} steps of 1/L and of 5/(2L)",
            "gap of the average of v_{t+1} / (D_1/sum eta)",
            a,
            b,
            broken(a, b),
            f"At 5/(2L) every step multiplies v by -3/2: after {few} steps the gap is {_g(b)} times D_1/sum eta, "
            "exactly.",
        )
    )
    low, high = one_step_limit()
    x = Fraction(9, 5)
    kept, dropped = _descended([ONE]), _descended([x])
    a, b = kept.average_next / kept.plain, dropped.average_next / dropped.plain
    rows.append(
        _row(
            "smooth",
            "eta_t <= 1/L",
            "FP, f = v^2/2, r = 0, one step of 1/L and of 9/(5L)",
            "gap of the average of v_{t+1} / (D_1/sum eta)",
            a,
            b,
            broken(a, b),
            f"After one step x/L the ratio is x (1 - x)^2, exactly: above 1 only for x > {float(low):.6f}; "
            f"at x = 9/5 it is {_g(b)}; for T >= 2 equal steps x <= 2 it is never above 1 on a quadratic with r = 0.",
        )
    )
    assert one_step(low) <= 1 < one_step(high)
    first = Fraction(171, 100)
    tail = [Fraction(1, 40)] * 32
    kept, dropped = _descended([ONE, *tail]), _descended([first, *tail])
    a, b = kept.average_next / kept.plain, dropped.average_next / dropped.plain
    rows.append(
        _row(
            "smooth",
            "eta_t <= 1/L",
            "FP, f = v^2/2, r = 0, a step of 1/L or 171/(100L), then 32 of 1/(40L)",
            "gap of the average of v_{t+1} / (D_1/sum eta)",
            a,
            b,
            broken(a, b),
            f"One long step below {float(low):.4f}/L and then short ones keep the overshoot in the average: "
            f"the ratio is {_g(b)}, exactly.",
        )
    )
    short, long = searched_steps(1.0 + 1e-9, seed), searched_steps(1.6, seed)
    rows.append(
        _row(
            "smooth",
            "eta_t <= 1/L",
            "one dimension, f quadratic, r = lambda |v| on an interval; 20000 random runs of 1 to 6 steps up to 8/(5L)",
            "largest gap of the average of v_{t+1} / (D_1/sum eta)",
            short,
            long,
            broken(short, long) if long > 1 else "not found",
            f"Between 1/L and 8/(5L) none of the runs exceeds the bound; the largest ratio is {_g(long)}.",
        )
    )
    return rows


# --------------------------------------------------------------------------- exact gradients


def one_sided(v: Fraction) -> Fraction:
    """f(v) = v^2/2 for v >= -1, -v - 1/2 below: L = 1."""
    return v * v / 2 if v >= -1 else -v - HALF


NOISE: tuple[tuple[Fraction, Fraction], ...] = ((Fraction(1, 3), Fraction(2)), (Fraction(2, 3), Fraction(-1)))
"""(probability, xi) of the disturbance of a gradient at v >= -1: its mean is 0. Below -1 there is none."""


def noisy_means(steps: int) -> list[Fraction]:
    """E v_2, ..., E v_{steps+1} of v_{t+1} = v_t - (f'(v_t) + xi_t) from v_1 = 1, f = `one_sided`, exactly.

    The states are 1, -2 and -1, with the stationary probabilities 1/2, 1/4, 1/4 and the mean -1/4.
    """
    chance, means = {ONE: ONE}, []
    for _ in range(steps):
        after: dict[Fraction, Fraction] = {}
        for v, p in chance.items():
            slope = v if v >= -1 else -ONE
            for q, xi in NOISE if v >= -1 else ((ONE, Fraction(0)),):
                after[v - slope - xi] = after.get(v - slope - xi, Fraction(0)) + p * q
        chance = after
        means.append(sum((v * p for v, p in chance.items()), Fraction(0)))
    return means


def noise(seed: int, steps: int) -> list[Row]:
    """Exact gradients dropped: a floor in rational arithmetic, and minibatches on data."""
    means = noisy_means(min(steps, 150))  # the fractions gain a digit every other step
    n = len(means)
    least = one_sided(sum(means, Fraction(0)) / n)
    ratio = float(least * 2 * n)
    rows = [
        _row(
            "smooth",
            "exact gradients",
            f"FP, f = v^2/2 right of -1 and straight left of it, eta = 1/L, {n} steps, noise of mean 0",
            "E gap of the average of v_{t+1} / (D_1/sum eta), from below by Jensen's inequality",
            0.0,
            ratio,
            broken(0.0, ratio),
            "v_t visits 1, -2, -1 with stationary probabilities 1/2, 1/4, 1/4, exactly: the average tends to -1/4 and "
            f"its gap to 1/32 for ever, while D_1/sum eta = 1/(2T); after {n} steps the ratio is at least {ratio:.4g}.",
        )
    ]
    for pair, name, near in (("FP", "plane", True), ("FP", "plane", False), ("MD-tanh", "huber", False)):
        measured_at = []
        for stochastic in (False, True):
            batch = batch_of(_shard((pair,), name, ("constant",), seed, steps, stochastic=stochastic))
            if near:
                batch = replace(batch, starts=problem(name).minimiser + batch.starts / 50)
            t = simulate(batch, grid_every=0)[-1]
            measured_at.append((float(t.average_next.mean()), float((t.d_first[0] / t.eta_sum).mean())))
        (gap, bound), (noisy, noisy_bound) = measured_at
        a, b = gap / bound, noisy / noisy_bound
        rows.append(
            _row(
                "smooth",
                "exact gradients",
                f"{pair}, {name}, eta = 1/L, {steps} steps, {SEEDS} seeds"
                + (", started near the minimiser" if near else ""),
                "mean gap of the average of v_{t+1} / (mean D_1/sum eta)",
                a,
                b,
                broken(a, b) if b > 1 else "not found",
                f"The mean gap {noisy:.3g} is {b:.3g} times the bound with stochastic gradients, {a:.3g} times "
                "with exact ones."
                + (
                    ""
                    if b > 1
                    else " Where f is nearly quadratic on the way, the average averages the noise out as well."
                ),
            )
        )
    return rows


# --------------------------------------------------------------------------- f smooth, steps


def kinked(steps: int) -> tuple[RationalRun, Measured, RationalRun, Measured]:
    """f = max(-v, 2 v) from 1/3 with the step 1/G = 1/2, and with 1/(2 ceil(sqrt(t)))."""
    n = max(3, steps - steps % 3)
    constant = rational_run(PLAIN, KINK.gradient, [Fraction(1, 3)], [HALF] * n)
    falling = rational_run(
        PLAIN, KINK.gradient, [Fraction(1, 3)], [Fraction(1, 2 * math.isqrt(t - 1) + 2) for t in range(1, n + 1)]
    )
    zero = [Fraction(0)]
    return constant, measured(constant, KINK, PLAIN, zero), falling, measured(falling, KINK, PLAIN, zero)


def kinks(seed: int, steps: int) -> list[Row]:
    """f smooth dropped, and steps that diminish dropped."""
    run, constant, _, falling = kinked(max(12, min(steps, 300)))
    n, p = len(run.etas), period(run)
    of = parabola(Fraction(0))
    smooth = measured(rational_run(PLAIN, of.gradient, [Fraction(1, 3)], [HALF] * n), of, PLAIN, [Fraction(0)])
    a, b = smooth.average_next / smooth.plain, constant.average_next / constant.plain
    rows = [
        _row(
            "smooth",
            "f smooth",
            f"FP, f = v^2/2 or max(-v, 2 v), v_1 = 1/3, eta = 1/2 = 1/G, {n} steps",
            "gap of the average of v_{t+1} / (D_1/sum eta)",
            a,
            b,
            broken(a, b) if p == 3 else "no",
            f"The subgradient method has period {p}, exactly (1/3, -2/3, -1/6): the average stays at -1/6 with gap 1/6 "
            f"and the ratio is 3T/2, {_g(b)} after {n} steps.",
        ),
        _row(
            "convex",
            "steps that diminish",
            f"FP, f = max(-v, 2 v), v_1 = 1/3, eta = 1/(2 ceil(sqrt t)) or 1/2, {n} steps",
            "gap of the average of v_t",
            falling.average,
            constant.average,
            floored(falling.average, constant.average, Fraction(1, 6)) if p == 3 else "no",
            f"With constant steps the gap of the average is exactly 1/6 after every 3 steps, for ever; "
            f"with 1/(2 ceil(sqrt t)) it has fallen to {_g(falling.average)}. The bound holds, but tends to "
            f"{_g(constant.pull / constant.total)} instead of 0.",
        ),
    ]
    of_modulus = "modulus"
    diminishing, still = (
        _simulated(_shard(("FP",), of_modulus, (text,), seed, steps)) for text in ("1/(G*sqrt(t))", "1/G")
    )
    falls, stays = (float(t.average.mean()) for t in (diminishing, still))
    _, later = (_simulated(_shard(("FP",), of_modulus, (text,), seed, 4 * steps)) for text in ("1/(G*sqrt(t))", "1/G"))
    later_gap = float(later.average.mean())
    shrinks = later_gap < 0.5 * stays
    rows.append(
        _row(
            "convex",
            "steps that diminish",
            f"FP, modulus, eta = 1/(G sqrt t) or 1/G, {steps} steps, mean of {SEEDS} seeds",
            "gap of the average of v_t",
            falls,
            stays,
            "no" if shrinks or not stays > falls else "yes",
            f"The gap of the average is {stays:.3g} with 1/G after {steps} steps and {later_gap:.3g} after "
            f"{4 * steps}; with 1/(G sqrt t) it is {falls:.3g}.",
        )
    )
    return rows


def summable(seed: int, steps: int) -> list[Row]:
    """sum eta = infinity dropped."""
    n = max(12, min(steps, 300))
    of, zero = parabola(Fraction(0)), [Fraction(0)]
    kept, dropped = (
        measured(
            rational_run(PLAIN, of.gradient, [ONE], [Fraction(1, (t + 1) ** k) for t in range(1, n + 1)]),
            of,
            PLAIN,
            zero,
        )
        for k in (1, 2)
    )
    floor = Fraction(1, 8)
    assert dropped.last == Fraction(n + 2, 2 * (n + 1)) ** 2 / 2  # prod (1 - 1/(t+1)^2) = (n+2)/(2(n+1)) > 1/2
    return [
        _row(
            "convex",
            "sum eta = infinity",
            f"FP, f = v^2/2, v_1 = 1, eta = 1/(t+1) or 1/(t+1)^2, {n} steps",
            "best gap",
            kept.best,
            dropped.best,
            floored(kept.best, dropped.best, floor),
            f"With eta = 1/(t+1)^2 the iterate is v_{{T+1}} = (T+2)/(2(T+1)) > 1/2, exactly: the gap stays above 1/8; "
            f"with 1/(t+1) it is v_{{T+1}} = 1/(T+1). The bound holds in both runs but stays at {_g(dropped.convex)}.",
        )
    ]


# --------------------------------------------------------------------------- r convex


def antisymmetric(steps: int) -> tuple[Toy, RationalRun]:
    """BC on f = w'Hw/2, H = [[1, -1/2], [-1/2, 1]], from u = (1/4, -1/4), eta = 1/3: period 2 away from (1, 1)."""
    of = paraboloid([[ONE, -HALF], [-HALF, ONE]], [Fraction(0), Fraction(0)])
    return of, rational_run(SIGN, of.gradient, [Fraction(1, 4), -Fraction(1, 4)], [Fraction(1, 3)] * steps)


def nonconvex(seed: int, steps: int) -> list[Row]:
    """r convex dropped: the convex bounds without the residual, and F~ of the average."""
    n = max(12, min(steps, 300))
    of, run = antisymmetric(n)
    dropped = measured(run, of, SIGN, [ONE, ONE])
    hull = by_hand(lambda mu: lambda u: min(max(u, -ONE), ONE), _nothing)
    inside = measured(
        rational_run(hull, of.gradient, run.us[0], [Fraction(1, 3)] * n), of, hull, [Fraction(0), Fraction(0)]
    )
    p = period(run)
    text = f"f = w'Hw/2 in the plane, u_1 = (1/4, -1/4), eta = 1/3, {n} steps"
    rows = []
    for name, left, bound in (
        ("D_1/sum eta", "best", "plain"),
        ("(D_1 + sum |eta g + delta s|^2/2)/sum eta", "best", "convex"),
    ):
        a, b = (getattr(m, left) / getattr(m, bound) for m in (inside, dropped))
        rows.append(
            _row(
                "convex",
                "r convex",
                f"P = clip to [-1, 1] (kept) or sign, {text}",
                f"best gap / ({name})",
                a,
                b,
                broken(a, b) if p == 2 else "no",
                f"BC has period {p}, exactly, between (1, -1) and (-1, 1): it never sees (1, 1), so its best gap is "
                f"{_g(dropped.best)} for ever against {_g(getattr(dropped, bound))}; with the residual "
                f"{_g(dropped.residual / dropped.total)} the bound is {_g(dropped.bound)}.",
            )
        )
    flipping, of_flipping = flipper(HALF, Fraction(1, 4), Fraction(1, 16), n)
    m = measured(flipping, of_flipping, SIGN, [ONE])
    interval = measured(
        rational_run(hull, of_flipping.gradient, flipping.us[0], [Fraction(1, 4)] * n), of_flipping, hull, [HALF]
    )
    a, b = interval.mean / interval.convex, m.mean / m.convex
    rows.append(
        _row(
            "convex",
            "r convex",
            f"P = clip to [-1, 1] (kept) or sign, f = (w - 1/2)^2/2, u_1 = 1/16, eta = 1/4, {n} steps",
            "mean of the values' gaps / ((D_1 + sum |eta g + delta s|^2/2)/sum eta)",
            a,
            b,
            broken(a, b) if period(flipping) == 4 else "no",
            f"BC has period 4, exactly, and spends a quarter of its steps at -1: the mean gap is {_g(m.mean)} "
            f"for any step size, the bound without the residual {_g(m.convex)}.",
        )
    )
    rows.append(_of_average())
    for pair, name in (("BC", "diabetes"), ("PC", "quadratic")):
        trace = _simulated(_shard((pair,), name, ("sqrt",), seed, steps))
        bound = (trace.d_first[0] + trace.pull_sum) / trace.eta_sum
        with_residual, without = (float((trace.mean / b).max()) for b in (trace.bound[0], bound))
        rows.append(
            _row(
                "convex",
                "r convex",
                f"{pair}, {name}, eta = 1/(L sqrt t), {steps} steps, {SEEDS} seeds",
                "largest mean gap / bound: with the residual (kept), with sum |eta g + delta s|^2/2 in its place",
                with_residual,
                without,
                broken(with_residual, without),
                f"The mean of the values is up to {without:.3g} times the bound for convex r, and at most "
                f"{with_residual:.3g} times the one with the residual.",
            )
        )
    return rows


def _of_average() -> Row:
    """F~ of the average in place of the average of the values: r = (|w| - 1)^2, f = w^2/8."""
    how = by_hand(lambda mu: lambda u: (u + 2 * mu * _sign(u)) / (1 + 2 * mu), lambda w: (abs(w) - 1) ** 2)
    of = paraboloid([[Fraction(1, 4)]], [Fraction(0)])
    n = 24
    run = rational_run(how, of.gradient, [Fraction(1, 10)], [Fraction(1, 2)] * n)
    m = measured(run, of, how, [Fraction(8, 9)])  # w^2/8 + (|w| - 1)^2 is least at 8/9
    a, b = m.mean / m.bound, m.average / m.bound
    return _row(
        "residual",
        "the mean of the values, not the value of the mean",
        f"T = id, r = (|w| - 1)^2, f = w^2/8, u_1 = 1/10, eta = 1/2, {n} steps",
        "left / ((D_1 + sum D)/sum eta): mean of the values (kept), value of the mean",
        a,
        b,
        broken(a, b),
        f"The iterates change sign, so their average lies near 0, where r is large: F~ there exceeds the bound "
        f"{_g(m.bound)} by the factor {_g(b)}, exactly; the mean of the values does not ({_g(a)}).",
    )


def flipper(centre: Fraction, eta: Fraction, start: Fraction, steps: int) -> tuple[RationalRun, Toy]:
    """BC on f = (w - c)^2/2: for |c| < 1 it flips for ever, for c > 1 at most once."""
    of = parabola(centre)
    return rational_run(SIGN, of.gradient, [start], [eta] * steps), of


def flips(seed: int, steps: int) -> list[Row]:
    """The residual of BC is its flips: equality, a run where it stays, and one where it vanishes."""
    n = max(12, min(steps, 300))
    forever, of = flipper(HALF, ONE, Fraction(1, 4), n)
    settling, of_settling = flipper(Fraction(3, 2), ONE, -Fraction(7, 2), n)
    stays, vanishes = measured(forever, of, SIGN, [ONE]), measured(settling, of_settling, SIGN, [ONE])
    exact = all(flip_sum(run) == m.residual for run, m in ((forever, stays), (settling, vanishes)))
    a, b = vanishes.residual / vanishes.total, stays.residual / stays.total
    p = period(forever)
    rows = [
        _row(
            "residual",
            "flips keep no share of sum eta",
            f"BC, f = (w - c)^2/2, eta = 1, c = 3/2 (kept) or 1/2, {n} steps",
            "sum D_{t+1}(v_t)/sum eta",
            a,
            b,
            floored(a, b, Fraction(1, 2)) if p == 4 and exact else "no",
            f"With |c| < 1 the run has period {p}, exactly (u = 1/4, -1/4, 5/4, 3/4): 3 for every 4 steps, so "
            f"the residual stays near 3/4 ({_g(b)}); with c = 3/2 the one flip leaves "
            f"{_g(vanishes.residual)}/T = {_g(a)}.",
        )
    ]
    error, share = _flips_in_floats(seed, steps)
    rows.append(
        _row(
            "residual",
            "flips are the residual (no hypothesis dropped)",
            f"BC, diabetes, eta = 1/(L sqrt t), {steps} steps, {SEEDS} seeds; and the exact runs above",
            "largest |sum D_{t+1}(v_t) - sum over flips of 2 |u_{t+1}|| / sum D: exact (kept), float64",
            0.0 if exact else 1.0,
            error,
            broken(0.0, error, 1e-12),
            f"The two sums agree exactly in rational arithmetic and to {error:.1g} in float64; "
            f"{100 * share:.1f} % of the coordinates' steps are flips.",
        )
    )
    return rows


def _flips_in_floats(seed: int, steps: int) -> tuple[float, float]:
    """The largest relative difference of the two sums, and the share of flips."""
    under_way = Sweep(batch_of(_shard(("BC",), "diabetes", ("sqrt",), seed, steps)), 0, 0)
    total = np.zeros(len(under_way.u))
    for _ in range(steps):
        before = under_way.v
        under_way.step()
        flipped = before * under_way.v < 0
        total += np.where(flipped, 2.0 * np.abs(under_way.u), 0.0).sum(axis=1)
    trace = under_way.trace()
    error = np.abs(trace.d_sum - total) / np.where(total > 0, total, 1.0)
    return float(error.max()), float(trace.flips.mean() / (steps * under_way.u.shape[1]))


# --------------------------------------------------------------------------- f o T convex


def bent(seed: int, steps: int) -> list[Row]:
    """f o T convex dropped: T = clip exactly, T = SS in floats; and what remains."""
    n = max(12, min(steps, 300))
    of = parabola(-HALF)
    clipped = by_hand(
        lambda mu: lambda u: u,
        _nothing,
        transform=lambda v: min(max(v, -ONE), ONE),
        slope=lambda v: ONE if abs(v) <= 1 else Fraction(0),
    )
    kept, dropped = (
        measured(rational_run(how, of.gradient, [Fraction(2)], [HALF] * n), of, how, [-HALF])
        for how in (PLAIN, clipped)
    )
    a, b = kept.best / kept.bound, dropped.best / dropped.bound
    rows = [
        _row(
            "residual",
            "f o T convex",
            f"P = id, T = id (kept) or clip to [-1, 1], f = (w + 1/2)^2/2, u_1 = 2, eta = 1/2, {n} steps",
            "best gap / ((D_1 + sum D)/sum eta)",
            a,
            b,
            broken(a, b),
            f"u = 2 is a fixed point, exactly, where T' = 0: the gap is {_g(dropped.best)} for ever against "
            f"{_g(dropped.bound)}. The statement for single w holds: its mean is {_g(dropped.path)}.",
        )
    ]
    plain, trace = (_simulated(_shard((pair,), "quadratic", ("sqrt",), seed, steps)) for pair in ("FP", "BNN++"))
    gap = [float((t.best / t.bound[0]).max()) for t in (plain, trace)]
    path = float((trace.path[0] / trace.bound[0]).max())
    rows.append(
        _row(
            "residual",
            "f o T convex",
            f"T = id (FP, kept) or SS (BNN++), quadratic, eta = 1/(L sqrt t), {steps} steps, {SEEDS} seeds",
            "largest best gap / ((D_1 + sum D)/sum eta)",
            gap[0],
            gap[1],
            broken(gap[0], gap[1]),
            f"With SS the best gap is up to {gap[1]:.3g} times the bound; the mean over t for the single w stays below "
            f"it ({path:.3g} times).",
        )
    )
    boxed = _wide_of(
        "3*tanh(clip(x, -1, 1))/2",
        "Piecewise((3/2*(1 - tanh(x)**2), Abs(x) <= 1), (3/2*(1 - tanh(1)**2), True))",
        seed,
        steps,
    )
    path, wide = float((boxed.path[0] / boxed.bound[0]).max()), float((boxed.wide / boxed.bound[0]).max())
    rows.append(
        _row(
            "every w",
            "one w, not the largest at every step",
            f"F = 3/2 tanh(clip(x)), B = 3/2 tanh'(clip(x)), quadratic, eta = 1/(L sqrt t), {steps} steps, "
            f"{SEEDS} seeds",
            "largest left / ((D_1 + sum D)/sum eta): single w (kept), Frank-Wolfe gap",
            path,
            wide,
            broken(path, wide),
            f"The mean of <v_t - w, g_t> is at most {path:.3g} times the bound at w; the mean of its maximum over w, "
            f"the Frank-Wolfe gap, is up to {wide:.3g} times.",
        )
    )
    return rows


def _wide_of(forward: str, backward: str, seed: int, steps: int) -> Trace:
    spec = PairSpec(f"({forward}; {backward})", forward, backward)
    return simulate(batch_of(_shard((spec,), "quadratic", ("sqrt",), seed, steps)))[-1]


# --------------------------------------------------------------------------- the algorithm itself


def unmoved(seed: int, steps: int) -> list[Row]:
    """mu advanced dropped: a fixed pair certifies f o T, not f o T + r."""
    n = max(12, min(steps, 60))
    how = rational_scheme(PairSpec("soft", "sign(x)*Max(Abs(x) - 1/2, 0)", "1").pair())
    of, start, w = parabola(ONE), [Fraction(3, 2)], [HALF]
    fixed = replace(how, mode="fixed")
    kept = measured(rational_run(how, of.gradient, start, [HALF] * n), of, how, w)
    still = rational_run(fixed, of.gradient, start, [HALF] * n)
    dropped = measured(still, of, fixed, w, advances=True)
    a, b = kept.average / kept.convex, dropped.average / dropped.convex
    rows = [
        _row(
            "convex",
            "mu advanced",
            f"soft threshold, r = |w|/2, f = (w - 1)^2/2, u_1 = 3/2, eta = 1/2, {n} steps",
            "gap of f + r at the average / ((D_1 + sum |eta g + delta s|^2/2)/sum eta)",
            a,
            b,
            broken(a, b) if period(still) == 1 else "no",
            f"Not advanced, u = 3/2 is a fixed point, exactly: v = 1 is best for f, and f + r stays "
            f"{_g(dropped.last)} above its minimum at 1/2, {_g(b)} times the bound; with mu "
            f"advanced the gap is {_g(kept.average)}.",
        )
    ]
    spec = PairSpec("MD-tanh")
    batch = batch_of(_shard((spec,), "plane", ("constant",), seed, steps))
    trace = simulate(batch)[-1]
    under_way = Sweep(replace(batch, schemes=(scheme(spec.pair(), mode="fixed"),)))
    eta = batch.etas[0, 0]
    weighted = np.zeros_like(under_way.v)
    for t in range(steps):
        under_way.step()
        weighted += eta[t] * under_way.v
    value, d_first = objective(problem("plane"), scheme_of(spec)), under_way.trace().d_first[0]
    gap = value(weighted / eta.sum()) - value(batch.comparators[0, 0])
    kept_ratio = float((trace.average_next * eta.sum() / trace.d_first[0]).max())
    ratio = float((gap * eta.sum() / d_first).max())
    rows.append(
        _row(
            "smooth",
            "mu advanced",
            f"MD-tanh, plane, eta = 1/L, {steps} steps, {SEEDS} seeds",
            "largest gap of f + r at the average of v_{t+1} / (D_1/sum eta)",
            kept_ratio,
            ratio,
            broken(kept_ratio, ratio),
            f"With mu fixed the gap of f + r is up to {ratio:.3g} times D_1/sum eta (mean gap "
            f"{float(gap.mean()):.3g}); with mu advanced {kept_ratio:.3g} times "
            f"(mean gap {float(trace.average_next.mean()):.3g}).",
        )
    )
    return rows


def wrong_prox(seed: int, steps: int) -> list[Row]:
    """P minimises globally dropped: the identity closes, D_t turns negative, the bound fails."""
    n = max(12, min(steps, 300))
    of = parabola(Fraction(3, 2))
    turned = by_hand(lambda mu: lambda u: -_sign(u), _nothing)
    kept, dropped = (
        measured(rational_run(how, of.gradient, [HALF], [HALF] * n), of, how, [ONE]) for how in (SIGN, turned)
    )
    a, b = kept.mean - kept.bound, dropped.mean - dropped.bound
    rows = [
        _row(
            "residual",
            "P minimises globally",
            f"P = sign (kept) or -sign, f = (w - 3/2)^2/2, u_1 = 1/2, eta = 1/2, {n} steps",
            "mean gap - (D_1 + sum D)/sum eta",
            a,
            b,
            broken(a, b, Fraction(0)) if dropped.least < 0 <= kept.least else "no",
            f"(I) and (II) close exactly with the wrong P as well; v_t = -1 for ever, the mean gap is "
            f"{_g(dropped.mean)} and the bound {_g(dropped.bound)}. What tells is D_t(1) = -2 u_t, "
            f"down to {_g(dropped.least)}.",
        )
    ]
    soft = scheme_of(PairSpec("soft", "sign(x)*Max(Abs(x) - 1/2, 0)", "1"))
    batch = batch_of(
        _shard((PairSpec("soft", "sign(x)*Max(Abs(x) - 1/2, 0)", "1"),), "diabetes", ("sqrt",), seed, steps)
    )
    lazy = replace(soft, prox=ProxPath(soft.prox.base))
    right, wrong = (simulate(replace(batch, schemes=(s,)))[-1] for s in (soft, lazy))
    kept_ratio, ratio = (float((t.mean / t.bound[0]).max()) for t in (right, wrong))
    rows.append(
        _row(
            "residual",
            "P minimises globally",
            f"soft threshold of P^mu_t (kept) or of P^1 for ever, diabetes, eta = 1/(L sqrt t), {steps} steps",
            "largest mean gap / ((D_1 + sum D)/sum eta)",
            kept_ratio,
            ratio,
            broken(kept_ratio, ratio) if float(wrong.min_d.min()) < -TOLERANCE <= float(right.min_d.min()) else "no",
            f"P is not moved with mu: the identity closes to {float(wrong.closure.max()):.1g}, the mean gap is "
            f"{ratio:.3g} times the bound, and the least D_t is {float(wrong.min_d.min()):.3g}.",
        )
    )
    return rows


def at_latent(seed: int, steps: int) -> list[Row]:
    """The gradient taken at u_t in place of v_t."""
    n = max(12, min(steps, 300))
    rows = []
    strong = [[ONE, Fraction(9, 10)], [Fraction(9, 10), ONE]]
    hull = by_hand(lambda mu: lambda u: min(max(u, -ONE), ONE), _nothing)
    cases = (
        # c, P, w: the least f over dom r
        ("convex", "convex", [Fraction(2), Fraction(1, 4)], hull, [ONE, ONE], "clip to [-1, 1]"),
        ("residual", "bound", [Fraction(3, 5), Fraction(3, 10)], SIGN, [ONE, -ONE], "sign"),
    )
    for statement, bound, centre, how, w, name in cases:
        of = paraboloid(strong, centre)
        kept = measured(rational_run(how, of.gradient, centre, [HALF] * min(n, 60)), of, how, w)
        run = _at_u(of, how, centre, [HALF] * n)
        dropped = measured(run, of, how, w)
        a, b = (m.mean / getattr(m, bound) for m in (kept, dropped))
        formula = "(D_1 + sum |eta g + delta s|^2/2)/sum eta" if bound == "convex" else "(D_1 + sum D)/sum eta"
        rows.append(
            _row(
                statement,
                "the gradient at v_t",
                f"P = {name}, f = (w - c)'H(w - c)/2 with H_12 = 9/10, c = ({centre[0]}, {centre[1]}) = u_1, "
                f"eta = 1/2, {n} steps",
                f"mean gap / ({formula})",
                a,
                b,
                broken(a, b) if period(run) == 1 else "no",
                f"With the gradient at u_t the point u = c is a fixed point, exactly: v = P(c) is not optimal, its gap "
                f"{_g(dropped.mean)} stays for ever against {_g(getattr(dropped, bound))}.",
            )
        )
    return rows


def _at_u(of: Toy, how: RationalScheme, start: Numbers, etas: Sequence[Fraction]) -> RationalRun:
    """As `verify.rational.rational_run` for T = id, but g_t = grad f(u_t)."""
    u, mu = list(start), ONE
    us, vs, gs, mus = [u], [[how.prox(mu)(a) for a in u]], [], [mu]
    for eta in etas:
        g = of.gradient(u)
        u, mu = [a - eta * b for a, b in zip(u, g, strict=True)], mu + eta
        us.append(u)
        vs.append([how.prox(mu)(a) for a in u])
        gs.append(g)
        mus.append(mu)
    return RationalRun(us, vs, gs, list(etas), mus, how.r)


def unprincipled(seed: int, steps: int) -> list[Row]:
    """A principled pair dropped: T = id, P = F, and g = B grad f is no gradient."""
    n = max(12, min(steps, 300))
    of, start = parabola(Fraction(3, 2)), [-Fraction(5, 4)]
    rough = rational_scheme(PairSpec("ApproxSign").pair())
    kept = measured(rational_run(SIGN, of.gradient, start, [HALF] * n), of, SIGN, [ONE])
    run = rational_run(rough, of.gradient, start, [HALF] * n)
    dropped = measured(run, of, rough, [ONE])
    a, b = kept.mean / kept.bound, dropped.best / dropped.bound
    rows = [
        _row(
            "residual",
            "a principled pair",
            f"BC (kept) or ApproxSign, f = (w - 3/2)^2/2, u_1 = -5/4, eta = 1/2, {n} steps",
            "mean (kept) and best gap / ((D_1 + sum D)/sum eta)",
            a,
            b,
            broken(a, b) if period(run) == 1 else "no",
            f"B(-5/4) = 0, so u is a fixed point, exactly: the identity closes, the best gap is "
            f"{_g(dropped.best)} for ever against {_g(dropped.bound)}.",
        )
    ]
    ede = PairSpec("EDE at t = 10", "sign(x)", "10*(1 - tanh(10*x)**2)")
    for spec, name in ((PairSpec("BNN+"), "diabetes"), (ede, "quadratic")):
        plain, field = (_simulated(_shard((s,), name, ("sqrt",), seed, steps)) for s in (PairSpec("BC"), spec))
        # the same comparator: r is the indicator of {-1, 1}^d for both
        kept_ratio, ratio = (float((t.mean / t.bound[0]).max()) for t in (plain, field))
        rows.append(
            _row(
                "residual",
                "a principled pair",
                f"BC (kept) or {spec.name}, {name}, eta = 1/(L sqrt t), {steps} steps, {SEEDS} seeds",
                "largest mean gap / ((D_1 + sum D)/sum eta)",
                kept_ratio,
                ratio,
                broken(kept_ratio, ratio) if ratio > 1 else "not found",
                f"The identity holds (closure {float(field.closure.max()):.1g}), but B grad f is no gradient: the mean "
                f"gap is {ratio:.3g} times the bound, for BC {kept_ratio:.3g} times."
                if ratio > 1
                else f"In these runs the mean gap stays below the bound ({ratio:.3g} times).",
            )
        )
    return rows


# --------------------------------------------------------------------------- float runs


def _shard(
    pairs: Sequence[PairSpec | str],
    name: str,
    schedules: Sequence[str],
    seed: int,
    steps: int,
    stochastic: bool = False,
) -> Shard:
    specs = tuple(PairSpec(p) if isinstance(p, str) else p for p in pairs)
    return Shard(specs, (name,), tuple(schedules), tuple(range(seed, seed + SEEDS)), steps, stochastic)


def _simulated(shard: Shard) -> Trace:
    return simulate(batch_of(shard))[-1]


# --------------------------------------------------------------------------- all of them

CASES: tuple[Callable[[int, int], list[Row]], ...] = (
    long_steps,
    noise,
    kinks,
    summable,
    nonconvex,
    flips,
    bent,
    unmoved,
    wrong_prox,
    at_latent,
    unprincipled,
)


def run(
    out: str | Path, seed: int = 0, steps: int = STEPS, progress: Callable[[int], None] = lambda _: None
) -> list[Row]:
    """All cases, written to DIR/convergence/hypotheses.csv; returns the rows.

    ``progress`` is called with 1 for every case (``len(CASES)`` in all). Raises `InputError` for a seed or a number
    of steps out of range.
    """
    check_arguments(seed, steps, MOST_STEPS)
    rows = []
    for case in CASES:
        rows += case(seed, steps)
        progress(1)
    write_csv(Path(out) / "convergence" / "hypotheses.csv", HEADER, [astuple(row) for row in rows])
    return rows


__all__ = [
    "CASES",
    "HEADER",
    "STEPS",
    "Measured",
    "Row",
    "Toy",
    "broken",
    "by_hand",
    "flip_sum",
    "floored",
    "measured",
    "noisy_means",
    "one_step",
    "one_step_limit",
    "period",
    "run",
    "searched_steps",
]
