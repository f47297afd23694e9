"""Statistics of accuracies over seeds: means with intervals, paired comparisons, Holm's correction.

Two methods are compared on the same seeds, so the differences d_k = a_k - b_k are the sample. With n of
them, mean m and standard deviation s (divisor n - 1),

    t = m sqrt(n) / s,   p = 2 P(T_{n-1} >= |t|),   interval: m -+ t_{n-1, 0.975} s / sqrt(n).

The second p-value presumes only that each d_k is as likely as -d_k: the share of the 2^n sign patterns for
which |sum of s_k d_k| is at least |sum of d_k|.

Differences that agree up to rounding count as equal: accuracies are multiples of 1/N that floats round.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from theory.errors import InputError

LEVEL = 0.05
MOST_FLIPS = 20
"""The largest number of seeds for which all sign patterns are counted: 2^20 sums, 10 ms."""


@dataclass(frozen=True)
class Spread:
    """Of n values: mean, standard deviation (divisor n - 1) and the 95 % interval of the mean by Student's t.

    n = 1: the last three are NaN.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float


@dataclass(frozen=True)
class Paired:
    """A paired comparison of n seeds: `Spread` of the differences a - b, t, and two p-values for mean 0.

    ``p``: of the two-sided t test; NaN for n = 1. ``p_exact``: of all sign patterns; NaN for n > 20. It is
    never below 2/2^n: with 5 seeds at least 0.0625, so 5 seeds cannot reach the level 0.05 by it, and 6 can.
    All differences equal: t = 0 and p = 1 if they are 0, otherwise t = +-oo and p = 0.
    """

    n: int
    mean: float
    sd: float
    low: float
    high: float
    t: float
    p: float
    p_exact: float


@dataclass(frozen=True)
class Comparison:
    """One of several comparisons: ``paired`` of first - second, ``adjusted`` its t test's p-value after Holm."""

    first: str
    second: str
    paired: Paired
    adjusted: float

    @property
    def answer(self) -> str:
        """The first is "better" or "worse" than the second at level 0.05, or "not significant" (also for NaN)."""
        if not self.adjusted <= LEVEL:
            return "not significant"
        return "better" if self.paired.mean > 0 else "worse"


def _values(values: ArrayLike, what: str) -> np.ndarray:
    try:
        found = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{what}: a list of numbers is expected, one per seed") from None
    if found.ndim != 1 or not found.size or not np.isfinite(found).all():
        raise InputError(f"{what}: a list of finite numbers is expected, one per seed, and at least one")
    return found


def spread(values: ArrayLike) -> Spread:
    """The `Spread` of n >= 1 values. Raises `InputError` unless they are finite and in one row."""
    return _spread(_values(values, "the values"))


def _spread(x: np.ndarray) -> Spread:
    n, mean = len(x), float(x.mean())
    if n == 1:
        return Spread(1, mean, math.nan, math.nan, math.nan)
    sd = float(x.std(ddof=1))
    half = float(stdtrit(n - 1, 0.975)) * sd / math.sqrt(n)
    return Spread(n, mean, sd, mean - half, mean + half)


def _differences(a: ArrayLike, b: ArrayLike) -> tuple[np.ndarray, float]:
    """a - b, and how far rounding may have moved one difference; differences that agree up to it are made equal."""
    x, y = _values(a, "the first scores"), _values(b, "the second scores")
    if len(x) != len(y):
        raise InputError(f"a paired comparison needs scores of the same seeds, not {len(x)} and {len(y)} of them")
    slack = 4 * float(np.finfo(np.float64).eps * max(np.abs(x).max(), np.abs(y).max()))
    d = x - y
    d[np.abs(d) <= slack] = 0.0
    if np.ptp(d) <= slack:
        d[:] = d[0]
    return d, slack


def _student(d: np.ndarray, s: Spread) -> float:
    """t of the differences: +-oo or 0 if they are all equal, NaN for a single one."""
    if s.n == 1:
        return math.nan
    if (d == d[0]).all():
        return math.copysign(math.inf, d[0]) if d[0] else 0.0
    return s.mean * math.sqrt(s.n) / s.sd


def _flips(d: np.ndarray, slack: float) -> float:
    """The share of sign patterns with |sum of s_k d_k| >= |sum of d_k|, the sums equal up to rounding included."""
    sums = d[:1]  # a pattern and its negative have the same |sum|: the first sign stays
    for x in d[1:]:
        sums = np.concatenate([sums + x, sums - x])
    return float(np.mean(np.abs(sums) >= abs(sums[0]) - len(d) * slack))


def paired(a: ArrayLike, b: ArrayLike) -> Paired:
    """Compare two methods on the same n >= 1 seeds, in the same order. Time and memory grow as 2^n up to n = 20.

    Raises `InputError` unless both are rows of finite numbers of the same length.
    """
    d, slack = _differences(a, b)
    s = _spread(d)
    if s.n > 1 and (d == d[0]).all():  # exactly, not up to the rounding of the mean
        s = Spread(s.n, float(d[0]), 0.0, float(d[0]), float(d[0]))
    t = _student(d, s)
    p = 2 * float(stdtr(s.n - 1, -abs(t)))
    return Paired(s.n, s.mean, s.sd, s.low, s.high, t, p, _flips(d, slack) if s.n <= MOST_FLIPS else math.nan)


def not_below(a: ArrayLike, b: ArrayLike) -> float:
    """The p-value of the one-sided paired t test that a lies below b: P(T_{n-1} <= t); small if a is below.

    NaN for n = 1; all differences equal: 0 if a < b, otherwise 1. Raises `InputError` as `paired` does.
    """
    d, _ = _differences(a, b)
    t = _student(d, _spread(d))
    if len(d) > 1 and (d == d[0]).all():
        return 0.0 if d[0] < 0 else 1.0
    return float(stdtr(len(d) - 1, t)) if len(d) > 1 else math.nan


def holm(p: Iterable[float]) -> list[float]:
    """p-values adjusted by Holm's step-down method, in the order given: max over j <= i of min(1, (m - j + 1) p_(j)).

    NaN stays NaN and does not count in m. Raises `InputError` for values outside [0, 1].
    """
    values = np.array(list(p), dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    if ((values[known] < 0) | (values[known] > 1)).any():
        raise InputError("p-values lie in [0, 1]")
    order = known[np.argsort(values[known], kind="stable")]
    steps = np.minimum(1.0, values[order] * np.arange(len(order), 0, -1))
    values[order] = np.maximum.accumulate(steps)
    return [float(v) for v in values]


def all_pairs(scores: Mapping[str, Sequence[float] | np.ndarray]) -> list[Comparison]:
    """Every two methods compared, in the order of the mapping, Holm's correction over all pairs.

    ``scores``: per method one accuracy per seed, the same seeds in the same order. Raises `InputError` as
    `paired` does.
    """
    pairs = list(combinations(scores, 2))
    found = [paired(scores[a], scores[b]) for a, b in pairs]
    return [Comparison(a, b, one, q) for (a, b), one, q in zip(pairs, found, holm(one.p for one in found), strict=True)]


__all__ = [
    "LEVEL",
    "MOST_FLIPS",
    "Comparison",
    "Paired",
    "Spread",
    "all_pairs",
    "holm",
    "not_below",
    "paired",
    "spread",
]
