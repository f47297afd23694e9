"""Properties of every catalogued and synthesized pair, each with mutants that the same check rejects.

P is monotone with a closed graph; F = T o P and B = t o P, exactly, at random rationals and at
breakpoints; the lowered maps do the same to rounding, extremes included; P is the brute-force global
minimiser of the literature's r; synthesized pairs are judged principled.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import sympy as sp
from certificates import POINTS, constant_gap, defects, jumps, minimiser_defect, prox_defects, same
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pieces import proxes, transforms

from theory.analytic import limit_at
from theory.catalogue import CATALOGUE, PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.decision import decide
from theory.decomposition import regularizer_pair
from theory.errors import InputError
from theory.exact import X, less
from theory.maps import PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair, Regularizer
from theory.parser import parse
from theory.synthesis import Synthesized, synthesize
from verify.lowering import lower

PRINCIPLED = sorted(name for name, e in CATALOGUE.items() if e.verdict in ("smooth", "lipschitz"))
RATIONALS = st.fractions(min_value=-6, max_value=6, max_denominator=40).map(
    lambda q: sp.Rational(q.numerator, q.denominator)
)
EXTREMES = np.array(
    [
        -math.inf,
        -1e300,
        -1e38,
        -709.9,
        -88.8,
        -1e-300,
        -5e-324,
        -0.0,
        0.0,
        5e-324,
        1e-300,
        88.8,
        709.9,
        1e38,
        1e300,
        math.inf,
    ]
)
TOLERANCE = 1e-9


def catalogued(name: str) -> tuple[QuantizerPair, Decomposition]:
    pair = CATALOGUE[name].pair()
    parts = decide(pair).decomposition
    assert parts is not None
    return pair, parts


def declared(name: str) -> tuple[QuantizerPair, Decomposition]:
    """The decomposition of the literature, with t = B o P^-1 read from the declared T."""
    entry = CATALOGUE[name]
    values = {k: parse(v).constant for k, v in entry.params.items()}
    assert entry.transform is not None
    assert entry.prox is not None
    pair, prox = entry.pair(), parse(entry.prox, values)
    made = synthesize(parse(entry.transform, values), prox).decomposition
    # at a kink of T a method selects its own generalised derivative: the one that B has there
    ties = [x for x in pair.backward.breaks if not jumps(pair.forward, x)]
    assert made.slope is not None
    chosen = {b: pair.backward(x) for b in made.slope.breaks for x in ties if same(prox(x), b)}
    values_at = tuple(chosen.get(b, v) for b, v in zip(made.slope.breaks, made.slope.values, strict=True))
    return pair, replace(made, slope=replace(made.slope, values=values_at))


# --------------------------------------------------------------------------- F = T o P, B = t o P


@pytest.mark.parametrize("name", PRINCIPLED)
def test_catalogued_pair_is_what_its_decomposition_says(name: str) -> None:
    pair, parts = catalogued(name)
    assert parts.transform is not None
    assert parts.prox is not None
    assert defects(pair, parts, CATALOGUE[name].verdict == "smooth") == []


@pytest.mark.parametrize("name", PRINCIPLED)
def test_catalogued_pair_is_what_the_literature_says(name: str) -> None:
    pair, parts = declared(name)
    assert defects(pair, parts, CATALOGUE[name].verdict == "smooth") == []


@pytest.mark.parametrize("name", PRINCIPLED)
@given(x=RATIONALS)
@settings(max_examples=10, suppress_health_check=list(HealthCheck))
def test_catalogued_pair_at_random_rationals(name: str, x: Any) -> None:
    pair, parts = _cached(name)
    assert defects(pair, parts, CATALOGUE[name].verdict == "smooth", (x,)) == []


_PARTS: dict[str, tuple[QuantizerPair, Decomposition]] = {}


def _cached(name: str) -> tuple[QuantizerPair, Decomposition]:
    if name not in _PARTS:
        _PARTS[name] = catalogued(name)
    return _PARTS[name]


def _moved(parts: Decomposition) -> Decomposition:
    assert parts.prox is not None
    return replace(parts, prox=parts.prox + PiecewiseMap.of(sp.Rational(1, 7)))


def _falling(parts: Decomposition) -> Decomposition:
    assert parts.prox is not None
    return replace(parts, prox=parts.prox - PiecewiseMap.of(5 * X))


def _steeper(parts: Decomposition) -> Decomposition:
    assert parts.slope is not None
    return replace(parts, slope=parts.slope * PiecewiseMap.of(sp.Rational(101, 100)))


def _other_transform(parts: Decomposition) -> Decomposition:
    assert parts.transform is not None
    return replace(parts, transform=parts.transform + PiecewiseMap.of(X / 1000))


def _both_steeper(parts: Decomposition) -> Decomposition:
    """T and t changed together: only F and B can tell."""
    assert parts.transform is not None
    return replace(_steeper(parts), transform=parts.transform * PiecewiseMap.of(sp.Rational(101, 100)))


MUTANTS: tuple[Callable[[Decomposition], Decomposition], ...] = (
    _moved,
    _falling,
    _steeper,
    _other_transform,
    _both_steeper,
)


@pytest.mark.parametrize("mutate", MUTANTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("name", PRINCIPLED)
def test_wrong_decompositions_are_rejected(name: str, mutate: Callable[[Decomposition], Decomposition]) -> None:
    pair, parts = _cached(name)
    assert defects(pair, mutate(parts), CATALOGUE[name].verdict == "smooth")


def test_a_wrong_tie_is_rejected() -> None:
    for name in ("BC", "BNN", "Ternary"):
        pair, parts = _cached(name)
        assert parts.prox is not None
        raised = PiecewiseMap(parts.prox.breaks, parts.prox.exprs, (sp.Integer(40), *parts.prox.values[1:]))
        assert prox_defects(raised)
        assert defects(pair, replace(parts, prox=raised), True)


def test_a_wrong_tie_of_the_slope_is_rejected() -> None:
    """t(1) = 1 and t(1) = 0 are both generalised slopes of clip; only one is BNN's."""
    pair, parts = _cached("BNN")
    assert parts.slope is not None
    swapped = PiecewiseMap(
        parts.slope.breaks, parts.slope.exprs, tuple(1 - v for v in parts.slope.values if v is not None)
    )
    assert defects(pair, replace(parts, slope=swapped), False)


# --------------------------------------------------------------------------- synthesis


def checked(made: Synthesized) -> None:
    v = made.verdict
    assert v.principled, (str(made.pair.forward), str(made.pair.backward), v.reason)
    assert v.decomposition is not None
    assert defects(made.pair, made.decomposition, False) == []
    assert defects(made.pair, v.decomposition, v.grade == "smooth") == []


@given(prox=proxes(), drawn=transforms(), x=RATIONALS)
@settings(max_examples=80, suppress_health_check=list(HealthCheck))
def test_random_synthesized_pairs_are_principled(prox: PiecewiseMap, drawn: tuple[PiecewiseMap, bool], x: Any) -> None:
    transform, smooth = drawn
    made = synthesize(transform, prox)
    checked(made)
    assert defects(made.pair, made.decomposition, False, (x,)) == []
    if smooth and all(e.has(X) for e in transform.exprs):
        assert made.verdict.grade == "smooth"


@pytest.mark.parametrize("transform", sorted(TRANSFORM_LIBRARY))
@pytest.mark.parametrize("prox", sorted(PROX_LIBRARY))
def test_library_pairs_are_principled(prox: str, transform: str) -> None:
    p, t = PROX_LIBRARY[prox].map(), TRANSFORM_LIBRARY[transform].map()
    try:
        made = synthesize(t, p)
    except InputError:
        assert not _monotone_on_gaps(t, p)
        return
    v = decide(made.pair, budget=0.3)
    assert v.principled, v.reason
    if TRANSFORM_LIBRARY[transform].smooth:
        assert v.grade == "smooth"
    assert defects(made.pair, made.decomposition, False) == []
    if v.decomposition is not None:
        assert defects(made.pair, v.decomposition, v.grade == "smooth") == []


def _monotone_on_gaps(t: PiecewiseMap, p: PiecewiseMap) -> bool:
    lowered = lower(t)
    for i in range(len(p.breaks)):
        steps = np.diff(lowered(np.linspace(float(p.left(i)), float(p.right(i)), 400)))
        if (steps > 1e-12).any() and (steps < -1e-12).any():
            return False
    return True


@given(prox=proxes(), x=RATIONALS)
@settings(max_examples=30, suppress_health_check=list(HealthCheck))
def test_wrong_synthesized_pairs_are_rejected(prox: PiecewiseMap, x: Any) -> None:
    """B = t o P of another T, or F of another P, does not pass the check of (T, t, P)."""
    made = synthesize(parse("x + x**3"), prox)
    assume(any(e.has(X) for e in prox.exprs) or len(prox.exprs) > 1)
    other = QuantizerPair(made.pair.forward, made.pair.backward + PiecewiseMap.of(sp.Rational(1, 100)))
    assert defects(other, made.decomposition, True, (x,))
    assert defects(
        made.pair, replace(made.decomposition, prox=prox + PiecewiseMap.of(sp.Rational(1, 9))), True, (x, *POINTS)
    )


@pytest.mark.parametrize(
    ("transform", "prox"),
    [
        ("x", "-x"),
        ("x", "-sign(x)"),
        ("x", "Piecewise((3, x == 0), (sign(x), True))"),
        ("sign(x)", "x"),
        ("x**2", "sign(x) + Heaviside(x, 0)"),
        ("sqrt(Abs(x))", "x"),
    ],
)
def test_synthesis_refuses_what_is_no_decomposition(transform: str, prox: str) -> None:
    with pytest.raises(InputError):
        synthesize(parse(transform), parse(prox))


# --------------------------------------------------------------------------- lowered maps


@pytest.mark.parametrize("name", PRINCIPLED)
def test_lowered_decomposition_agrees_to_rounding(name: str) -> None:
    pair, parts = _cached(name)
    assert parts.prox is not None
    assert parts.transform is not None
    assert parts.slope is not None
    f, b = lower(pair.forward), lower(pair.backward)
    p, t, s = lower(parts.prox), lower(parts.transform), lower(parts.slope)
    ties = np.array([float(c) for c in (*pair.forward.breaks, *pair.backward.breaks)])
    jumps = [float(c) for i, c in enumerate(pair.forward.breaks) if pair.forward.left(i) != pair.forward.right(i)]
    x = np.concatenate(
        [np.random.default_rng(0).normal(0, 2, 4000), EXTREMES, ties, np.nextafter(ties, 9), np.nextafter(ties, -9)]
    )
    x = x[~np.isin(x, jumps)]
    with np.errstate(over="ignore", invalid="ignore"):
        assert worst(f(x), t(p(x)), 1e-12)
        # P rounded to a float may fall on the kink of T beside it, where t has its own value
        beside = [s(p(x)), s(p(x) - 4e-16 * (1 + abs(p(x)))), s(p(x) + 4e-16 * (1 + abs(p(x))))]
        assert worst_of(b(x), beside, 1e-9)
        assert not worst(f(x), t(p(x) * 0.9 - 0.05), 1e-12)


def worst(a: Any, b: Any, tolerance: float) -> bool:
    """a and b agree to the tolerance relative to max(1, |a|), infinities and NaN exactly."""
    return worst_of(a, [b], tolerance)


def worst_of(a: Any, candidates: list[Any], tolerance: float) -> bool:
    """At every point a agrees with one of the candidates."""
    gaps = [np.where(_alike(a, b), 0.0, np.abs(a - b) / np.maximum(1.0, np.abs(a))) for b in candidates]
    return bool(np.all(np.nanmin([*gaps, np.full(np.shape(a), np.inf)], axis=0) <= tolerance))


def _alike(a: Any, b: Any) -> Any:
    return (a == b) | (np.isnan(a) & np.isnan(b))


# --------------------------------------------------------------------------- P minimises r


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
def test_prox_is_the_global_minimiser_of_the_literature_regularizer(name: str) -> None:
    entry = PROX_LIBRARY[name]
    assert minimiser_defect(entry.map(), entry.literature_regularizer()) <= TOLERANCE
    assert prox_defects(entry.map()) == []


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
def test_own_regularizer_is_the_literature_one_on_the_range(name: str) -> None:
    entry = PROX_LIBRARY[name]
    prox, theirs, own = entry.map(), entry.literature_regularizer(), regularizer_pair(entry.map())
    assert own.largest is not None
    assert own.smallest is not None
    # the range: values of P, and both ends of its jumps, exactly
    at = np.concatenate([lower(prox)(np.linspace(-5, 5, 400) + 1e-3), [float(v) for v in _jump_ends(prox)]])
    for r in (own.largest, own.smallest):
        assert constant_gap(r, theirs, at) <= TOLERANCE
        assert minimiser_defect(prox, r) <= TOLERANCE
        assert constant_gap(r + PiecewiseMap.of(X**2 / 100 + X / 50), theirs, at) > TOLERANCE


def _jump_ends(prox: PiecewiseMap) -> list[Any]:
    return [v for i in range(len(prox.breaks)) for v in (prox.left(i), prox.right(i))]


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
def test_own_regularizers_are_ordered(name: str) -> None:
    """smallest <= largest everywhere, equal on the range."""
    own = regularizer_pair(PROX_LIBRARY[name].map())
    assert own.largest is not None
    assert own.smallest is not None
    w = np.linspace(-3, 3, 1201)
    assert np.all(lower(own.smallest)(w) <= lower(own.largest)(w))


@given(prox=proxes())
@settings(max_examples=40, suppress_health_check=list(HealthCheck))
def test_own_regularizer_of_random_prox(prox: PiecewiseMap) -> None:
    own = regularizer_pair(prox)
    assert own != Regularizer(None, None)
    for r in (own.largest, own.smallest):
        assert r is not None
        assert minimiser_defect(prox, r, reach=6.0) <= 1e-8


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
@pytest.mark.parametrize(
    "mutate",
    [
        lambda m: m + PiecewiseMap.of(sp.Rational(1, 20)),
        lambda m: m * PiecewiseMap.of(sp.Rational(9, 10)),
        lambda m: PiecewiseMap(
            tuple(b + sp.Rational(1, 20) for b in m.breaks),
            tuple(e.subs(X, X - sp.Rational(1, 20)) for e in m.exprs),
            m.values,
        ),
        lambda m: -m,
    ],
    ids=["shifted up", "shrunk", "shifted right", "falling"],
)
def test_wrong_prox_is_no_minimiser(name: str, mutate: Callable[[PiecewiseMap], PiecewiseMap]) -> None:
    entry = PROX_LIBRARY[name]
    assert minimiser_defect(mutate(entry.map()), entry.literature_regularizer()) > 1e-6


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
def test_wrong_regularizer_has_another_minimiser(name: str) -> None:
    """r + |w - 2|/8 moves the minimiser or the tie of every map in the library."""
    entry = PROX_LIBRARY[name]
    r = entry.literature_regularizer()
    tilt = parse("Abs(x - 2)/8")
    tilted = r.refine(tilt.breaks)
    g = tilt.refine(r.breaks)
    exprs = tuple(e if e is sp.oo else e + d for e, d in zip(tilted.exprs, g.exprs, strict=True))
    values = tuple(v if v in (None, sp.oo) else v + d for v, d in zip(tilted.values, g.values, strict=True))
    assert minimiser_defect(entry.map(), PiecewiseMap(tilted.breaks, exprs, values)) > 1e-6


@pytest.mark.parametrize("name", ["binary projection", "ternary projection", "hard threshold", "BinaryRelax"])
def test_both_ends_of_a_tie_minimise(name: str) -> None:
    """At a jump of P both one-sided limits have the same objective, exactly."""
    entry = PROX_LIBRARY[name]
    prox, r = entry.map(), entry.literature_regularizer()
    for i, b in enumerate(prox.breaks):
        low, high = prox.left(i), prox.right(i)
        assert less(low, high)
        r_low, r_high = r(low), r(high)
        assert r_low is not None
        assert r_high is not None
        assert same((low - b) ** 2 / 2 + r_low, (high - b) ** 2 / 2 + r_high)
        assert not same(
            (low - b - sp.Rational(1, 9)) ** 2 / 2 + r_low, (high - b - sp.Rational(1, 9)) ** 2 / 2 + r_high
        )


@pytest.mark.parametrize("name", sorted(TRANSFORM_LIBRARY))
def test_declared_derivatives_of_transforms(name: str) -> None:
    entry = TRANSFORM_LIBRARY[name]
    t, d = entry.map(), entry.derivative_map()
    exact = t.derivative()
    for x in POINTS:
        ours, theirs = exact(x), d(x)
        assert ours is not None
        assert theirs is not None
        assert same(ours, theirs)
        assert not same(ours, theirs + sp.Rational(1, 10**9))
    smooth = all(
        same(limit_at(exact.exprs[i], b, -1), limit_at(exact.exprs[i + 1], b, 1)) for i, b in enumerate(t.breaks)
    )
    assert smooth is entry.smooth
