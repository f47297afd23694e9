"""Statistics over seeds against scipy, brute force and worked values; planted errors are found."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from theory.errors import InputError
from verify import statistics
from verify.statistics import Paired, Spread, all_pairs, holm, not_below, paired, spread

Row = np.ndarray
RNG = np.random.default_rng(0)
SAMPLES: list[tuple[Row, Row]] = [
    (RNG.integers(8000, 9000, n) / 10000, RNG.integers(8200, 9100, n) / 10000)
    for n in (2, 3, 5, 5, 8, 10)
    for _ in "12"
]
accuracies = st.integers(0, 50).map(lambda k: k / 50)
samples = st.integers(2, 8).flatmap(
    lambda n: st.tuples(*[st.lists(accuracies, min_size=n, max_size=n).map(np.array) for _ in "ab"])
)


def brute_flips(a: Row, b: Row) -> float:
    """The share of sign patterns with a sum at least as large, in integers: the accuracies are multiples of 1/10000."""
    d = [round(10000 * x) - round(10000 * y) for x, y in zip(a, b, strict=True)]
    sums = [abs(sum(s * x for s, x in zip(signs, d, strict=True))) for signs in product((1, -1), repeat=len(d))]
    return sum(s >= abs(sum(d)) for s in sums) / len(sums)


def off(compare: Callable[[Row, Row], Paired]) -> set[str]:
    """The fields in which a paired comparison is not that of scipy and of brute force."""
    found = set()
    for a, b in SAMPLES:
        c, t = compare(a, b), stats.ttest_rel(a, b)
        low, high = t.confidence_interval(0.95)
        expected = Paired(
            len(a), np.mean(a - b), np.std(a - b, ddof=1), low, high, t.statistic, t.pvalue, brute_flips(a, b)
        )
        found |= {f for f, v in vars(expected).items() if not math.isclose(getattr(c, f), v, rel_tol=1e-9)}
    return found


def test_paired_is_scipys_test_and_counts_every_sign_pattern(monkeypatch: pytest.MonkeyPatch) -> None:
    assert off(paired) == set()
    sound = statistics._spread

    def wrong_divisor(x: Row) -> Spread:
        s = sound(x)
        return Spread(s.n, s.mean, float(x.std()), s.low, s.high)

    def normal(x: Row) -> Spread:
        s = sound(x)
        half = 1.96 * s.sd / math.sqrt(s.n)
        return Spread(s.n, s.mean, s.sd, s.mean - half, s.mean + half)

    def one_sided(a: Row, b: Row) -> Paired:
        c = paired(a, b)
        return Paired(c.n, c.mean, c.sd, c.low, c.high, c.t, c.p / 2, c.p_exact)

    def unpaired(a: Row, b: Row) -> Paired:
        return paired(np.sort(a), np.sort(b))

    assert off(one_sided) == {"p"}
    assert off(unpaired) >= {"sd", "t", "p", "p_exact"}
    monkeypatch.setattr(statistics, "_spread", wrong_divisor)
    assert off(paired) >= {"sd", "t", "p"}
    monkeypatch.setattr(statistics, "_spread", normal)
    assert off(paired) == {"low", "high"}
    monkeypatch.undo()
    flips = statistics._flips
    monkeypatch.setattr(statistics, "_flips", lambda d, slack: flips(d, -1e-9))  # ties not counted
    assert off(paired) == {"p_exact"}


@settings(max_examples=150)
@given(samples)
def test_any_accuracies_give_scipys_p_and_the_brute_force_p(case: tuple[Row, Row]) -> None:
    a, b = case
    c, back = paired(a, b), paired(b, a)
    assert c.p_exact == brute_flips(a, b) >= 2 / 2**c.n
    assert (c.t, c.p, c.p_exact) == (-back.t, back.p, back.p_exact)
    d = np.round(50 * a) - np.round(50 * b)
    if np.ptp(d):
        expected = stats.ttest_1samp(d, 0)
        assert math.isclose(c.t, expected.statistic, rel_tol=1e-9, abs_tol=1e-9)
        assert math.isclose(c.p, expected.pvalue, rel_tol=1e-8)
        assert math.isclose(not_below(a, b), stats.ttest_1samp(d, 0, alternative="less").pvalue, rel_tol=1e-8)
        assert c.low <= c.mean <= c.high
    else:  # equal up to the rounding of a - b
        assert c.sd == 0
        assert (c.t, c.p) == (math.copysign(math.inf, d[0]), 0) if d[0] else (0, 1)
        assert not_below(a, b) == (0 if d[0] < 0 else 1)


def test_equal_differences_and_few_seeds_have_defined_values() -> None:
    a = np.array([0.9, 0.7, 0.8, 0.75, 0.85])
    assert paired(a, a) == Paired(5, 0, 0, 0, 0, 0, 1, 1)
    b = np.array([0.8, 0.6, 0.7, 0.65, 0.75])
    assert len(set(a - b)) > 1  # in floats
    up, down = paired(a, b), paired(b, a)
    assert (up.sd, up.t, up.p, up.p_exact) == (0, math.inf, 0, 2 / 32)
    assert (down.t, down.p, not_below(b, a), not_below(a, b), not_below(a, a)) == (-math.inf, 0, 0, 1, 1)
    assert up.low == up.mean == up.high
    assert paired([0.1 + 0.2] * 3, [0.3] * 3).p == 1
    one = paired([0.5], [0.25])
    assert (one.n, one.mean, one.p_exact) == (1, 0.25, 1)
    assert all(map(math.isnan, (one.sd, one.low, one.high, one.t, one.p, not_below([0.5], [0.25]))))
    assert paired(a, a + np.array([1, 2, 3, 4, 6]) / 100).p_exact == 2 / 32  # the least with five seeds


def test_twenty_seeds_are_counted_exactly_and_more_are_not() -> None:
    rng = np.random.default_rng(1)
    a, b = rng.integers(0, 100, (2, 21)) / 100
    d = np.round(100 * (a - b)).astype(int)[:20]
    ways = {0: 1}
    for x in d.tolist():
        after: dict[int, int] = {}
        for s, k in ways.items():
            for t in (s + x, s - x):
                after[t] = after.get(t, 0) + k
        ways = after
    assert paired(a[:20], b[:20]).p_exact == sum(k for s, k in ways.items() if abs(s) >= abs(d.sum())) / 2**20
    assert math.isnan(paired(a, b).p_exact)
    assert not math.isnan(paired(a, b).p)


def test_spread_is_the_t_interval() -> None:
    x = SAMPLES[-1][0]
    s = spread(x)
    low, high = stats.t.interval(0.95, len(x) - 1, np.mean(x), stats.sem(x))
    assert (s.n, s.mean, s.sd) == (10, pytest.approx(np.mean(x)), pytest.approx(np.std(x, ddof=1)))
    assert (s.low, s.high) == (pytest.approx(low), pytest.approx(high))
    one = spread([0.5])
    assert (one.n, one.mean) == (1, 0.5)
    assert all(map(math.isnan, (one.sd, one.low, one.high)))


# --------------------------------------------------------------------------- several comparisons


def closed_testing(p: list[float]) -> list[float]:
    """Holm's adjusted values from their meaning: the largest Bonferroni p-value of the sets that contain one."""
    known = [k for k, v in enumerate(p) if not math.isnan(v)]
    out = [math.nan] * len(p)
    for bits in range(1, 2 ** len(known)):
        members = [k for j, k in enumerate(known) if bits >> j & 1]
        least = min(1.0, len(members) * min(p[k] for k in members))
        for k in members:
            out[k] = least if math.isnan(out[k]) else max(out[k], least)
    return out


def wrongly_adjusted(adjust: Callable[[list[float]], list[float]]) -> int:
    rng = np.random.default_rng(2)
    cases = [[0.01, 0.013, 0.5, math.nan], [0.5, 0.5], [math.nan], [], [0.0, 1.0]]
    cases += [(rng.random(n) ** 3).tolist() for n in (1, 2, 3, 5, 6) for _ in range(20)]
    return sum(not np.allclose(adjust(p), closed_testing(p), rtol=1e-12, equal_nan=True) for p in cases)


def test_holm_is_closed_testing_with_bonferroni() -> None:
    def stepwise_only(p: list[float]) -> list[float]:
        """Without the running maximum."""
        order = sorted((v, k) for k, v in enumerate(p) if not math.isnan(v))
        out = [math.nan] * len(p)
        for rank, (v, k) in enumerate(order):
            out[k] = min(1.0, v * (len(order) - rank))
        return out

    def counting_nan(p: list[float]) -> list[float]:
        return [math.nan if math.isnan(v) else a for v, a in zip(p, holm([1.0 if v != v else v for v in p]))]

    def bonferroni(p: list[float]) -> list[float]:
        return [min(1.0, v * sum(w == w for w in p)) for v in p]

    assert wrongly_adjusted(holm) == 0
    assert all(wrongly_adjusted(mutant) for mutant in (stepwise_only, counting_nan, bonferroni))
    assert holm([0.04, 0.01, math.nan, 0.03]) == pytest.approx([0.06, 0.03, math.nan, 0.06], nan_ok=True)


def test_all_pairs_answer_after_the_correction() -> None:
    rng = np.random.default_rng(3)
    base = 0.9 + 0.01 * rng.standard_normal(5)
    near = base - np.array([0.002, 0.004, 0.006, 0.001, 0.008])
    scores = {"FP": base, "near": near, "far": base - 0.2 + 0.003 * rng.standard_normal(5), "same": base}
    found = all_pairs(scores)
    assert [(c.first, c.second) for c in found] == [
        ("FP", "near"),
        ("FP", "far"),
        ("FP", "same"),
        ("near", "far"),
        ("near", "same"),
        ("far", "same"),
    ]
    assert [c.adjusted for c in found] == holm([c.paired.p for c in found])
    answers = {(c.first, c.second): c.answer for c in found}
    assert answers["FP", "far"] == answers["near", "far"] == "better"
    assert answers["far", "same"] == "worse"
    assert answers["FP", "same"] == "not significant"
    # significant alone, not after the correction: the correction is what decides
    first = found[0]
    assert first.paired.p < statistics.LEVEL < first.adjusted
    assert first.answer == "not significant"
    assert {c.answer for c in all_pairs({"a": [0.5], "b": [0.9]})} == {"not significant"}
    assert all_pairs({"a": [0.5]}) == []


def test_bad_input_is_one_sentence() -> None:
    cases: list[tuple[Callable[[], Any], str]] = [
        (lambda: spread([]), "at least one"),
        (lambda: spread([0.5, math.nan]), "finite"),
        (lambda: spread([[0.5]]), "a list"),
        (lambda: spread(["x"]), "numbers"),
        (lambda: paired([0.5, 0.6], [0.5]), "2 and 1"),
        (lambda: not_below([0.5], [math.inf]), "second scores"),
        (lambda: holm([0.5, 1.5]), r"\[0, 1\]"),
        (lambda: all_pairs({"a": [0.5, 0.6], "b": [0.5]}), "same seeds"),
    ]
    for make, words in cases:
        with pytest.raises(InputError, match=words):
            make()


def test_no_warning_is_raised_where_scipy_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        paired([0.5] * 5, [0.25] * 5)
        paired([0.5], [0.25])
        all_pairs({"a": [1.0] * 3, "b": [1.0] * 3, "c": [0.0, 1.0, 1.0]})
