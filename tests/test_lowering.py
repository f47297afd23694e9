"""Lowered maps against exact evaluation: random points, ties, neighbours, infinities, float extremes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from flint import arb
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory.analytic import limit_at
from theory.catalogue import CATALOGUE, PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.errors import InputError, Undecided
from theory.exact import enclose, precision, to_float
from theory.maps import PiecewiseMap
from theory.parser import parse
from verify.lowering import lower

torch.set_num_threads(1)

_TEXTS = {
    "irrational breaks": "Piecewise((-1, x < -sqrt(2)), (x, x < pi), (2, True))",
    "a third": "Piecewise((1, x < 1/3), (7, x == 1/3), (2, True))",
    "a tenth": "Piecewise((1, x <= 1/10), (2, True))",
    "an eighth": "Piecewise((1, x < 1/8), (7, x == 1/8), (2, True))",
    "staircase": "clip(round(4*x), -3, 3)/4",
    "sinh": "sinh(3*x)",
    "rational": "x**2/(1 + x**2)",
    "cubic": "x**3 - 100*x**2",
    "decay": "x**5*exp(-7*x)",
    "gauss": "x*exp(-x**2)",
    "softplus": "log(1 + exp(x))",
    "root": "sqrt(x**2 + 1)",
    "steep": "100*(2 - 100*x*tanh(50*x))/(1 + cosh(100*x))",
    "two rates": "cosh(x)/cosh(5*x/2)",
    "huge breaks": "Piecewise((1, x < -10**60), (x, x < 10**60), (1, True))",
    "near breaks": "Piecewise((0, x < 1), (x, x < 1 + 10**(-30)), (5, True))",
}


def _maps() -> dict[str, PiecewiseMap]:
    found = {name: parse(text, {}) for name, text in _TEXTS.items()}
    for e in CATALOGUE.values():
        if e.period is None:  # the others are refused, see below
            found[f"{e.name} forward"], found[f"{e.name} backward"] = e.pair().forward, e.pair().backward
    for p in PROX_LIBRARY.values():
        found[f"{p.name} prox"], found[f"{p.name} regularizer"] = p.map(), p.literature_regularizer()
    for t in TRANSFORM_LIBRARY.values():
        found[f"{t.name} transform"], found[f"{t.name} derivative"] = t.map(), t.derivative_map()
    return found


MAPS = _maps()
POINTS = [0.0, -0.0, 1.0, -1.0, 5e-324, 1e-300, -1e-300, 0.1, 1 / 3, 30.0, -40.0, 149.0, -151.0, 709.0, -711.0]
POINTS += [1e4, -1e5, 1e9, -1e16, 1e160, -1e160, 1e300, -1e300, 1.7976931348623157e308, math.inf, -math.inf]


def special_points(m: PiecewiseMap) -> list[float]:
    """`POINTS`, and the floats at and beside the breakpoints."""
    marks = [to_float(b) for b in m.breaks]
    return POINTS + [f for b in marks for f in (b, math.nextafter(b, -math.inf), math.nextafter(b, math.inf))]


def exact(m: PiecewiseMap, x: float) -> tuple[float, float]:
    """The exact value at a float as (nearest float64, tolerance): the error bound of one ball evaluation in 53 bits."""
    if math.isinf(x):
        end = sp.oo if x > 0 else -sp.oo
        try:
            return to_float(limit_at(m.exprs[-1 if x > 0 else 0], end, -1)), 0.0
        except Undecided:
            return math.nan, 0.0
    point = sp.Rational(x)
    i = m.piece_at(point)
    if i is None:
        value = m(point)
        return (math.nan if value is None else to_float(value)), 0.0
    e = m.exprs[i]
    if e in (sp.oo, sp.nan):
        return to_float(e) if e is sp.oo else math.nan, 0.0
    with precision(4000):  # enough for exp(x^2) at the largest float
        ball = enclose(e, arb(x))
        assert ball.is_finite()
        value = float(ball.mid())
    with precision(53):
        rough = enclose(e, arb(x))
    slack = float(rough.rad()) if rough.is_finite() else math.inf
    if not math.isfinite(slack):  # too wide a ball: fall back on relative accuracy
        slack = 1e-13 * abs(value) if math.isfinite(value) else 0.0
    return value, 16 * slack + 1e-300


def wrong_at(m: PiecewiseMap, f: Callable[[Any], Any], x: float) -> bool:
    """Whether the float function f misses the exact map at x."""
    want, slack = exact(m, x)
    got = float(f(np.float64(x)))
    if math.isnan(want) or math.isinf(want) or math.isinf(got):
        return not (got == want or (math.isnan(got) and math.isnan(want)))
    return not abs(got - want) <= slack


@settings(max_examples=500, deadline=None)
@given(st.sampled_from(sorted(MAPS)), st.one_of(st.floats(-12, 12), st.floats(allow_nan=False)))
@example("BNN++ backward", 1e300)
def test_random_points(name: str, x: float) -> None:
    assert not wrong_at(MAPS[name], lower(MAPS[name]), x)


@pytest.mark.parametrize("name", sorted(MAPS))
def test_breakpoints_neighbours_infinities_extremes(name: str) -> None:
    m = MAPS[name]
    assert [x for x in special_points(m) if wrong_at(m, lower(m), x)] == []


def test_a_level_that_float32_cannot_hold_keeps_its_float64() -> None:
    """torch.where of two Python numbers is float32; here every element lies in a core, so it is used."""
    for text in ("Piecewise((-1/3, x < 0), (1/3, True))", "Piecewise((1/3, x < 1/3), (x, x < 2/3), (2/3, True))"):
        m = parse(text)
        x = np.linspace(-1, 1, 9)
        assert lower(m, "torch")(torch.from_numpy(x)).numpy().tolist() == lower(m)(x).tolist()
        assert 1 / 3 in lower(m)(x)


@pytest.mark.parametrize("name", sorted(MAPS))
def test_torch_agrees_with_numpy(name: str) -> None:
    m = MAPS[name]
    x = np.array([*special_points(m), *np.linspace(-4, 4, 101), math.nan])
    here, there = lower(m)(x), lower(m, "torch")(torch.from_numpy(x)).numpy()
    # two libraries of sines and exponentials differ by a rounding of their argument
    np.testing.assert_allclose(here, there, rtol=1e-13, atol=1e-13)
    assert math.isnan(there[-1])


@pytest.mark.parametrize("name", sorted(MAPS))
def test_float32_is_the_rounded_float64(name: str) -> None:
    m = MAPS[name]
    with np.errstate(over="ignore"):  # 1e300 becomes an infinity, which is a test point too
        x = np.array(special_points(m)).astype(np.float32)
        want = lower(m)(x.astype(np.float64)).astype(np.float32)
    got = lower(m)(x)
    there = lower(m, "torch")(torch.from_numpy(x))
    assert got.dtype == np.float32
    assert there.dtype == torch.float32
    np.testing.assert_array_equal(got, want)
    np.testing.assert_allclose(there.numpy(), want, rtol=1e-6, atol=1e-13)


def test_ties_are_exact() -> None:
    a_third, a_tenth, an_eighth = (lower(MAPS[k]) for k in ("a third", "a tenth", "an eighth"))
    assert a_third(1 / 3) == 1  # float(1/3) lies below 1/3
    assert a_tenth(0.1) == 2  # float(1/10) lies above 1/10
    assert an_eighth(0.125) == 7
    assert an_eighth(np.float32(0.125)) == 7
    assert lower(CATALOGUE["BC"].pair().forward)(-0.0) == 0
    assert lower(MAPS["near breaks"])(np.array([1.0, math.nextafter(1, 2)])).tolist() == [1, 5]


def test_a_wrong_tie_is_rejected() -> None:
    m = parse("sign(x)", {})
    wrong = lower(PiecewiseMap(m.breaks, m.exprs, (sp.Integer(1),)))
    assert [x for x in special_points(m) if wrong_at(m, wrong, x)] == [0.0, -0.0, 0.0]


def test_a_rounded_breakpoint_is_rejected() -> None:
    m = MAPS["a tenth"]
    assert wrong_at(m, lambda x: np.where(x <= 0.1, 1.0, 2.0), 0.1)


def naive_rational(x: Any) -> Any:
    with np.errstate(all="ignore"):
        return x**2 / (1 + x**2)


def test_a_naive_formula_is_rejected() -> None:
    m = CATALOGUE["BNN++"].pair().backward

    def naive(x: Any) -> Any:
        with np.errstate(all="ignore"):
            return 5 * (2 - 5 * x * np.tanh(2.5 * x)) / (1 + np.cosh(5 * x))

    def clipped(x: Any) -> Any:
        return naive(np.clip(x, -7, 7))

    def dropped(x: Any) -> Any:
        return np.where(np.abs(x) > 20, 0.0, naive(x))

    assert not wrong_at(m, naive, 1.5)
    assert wrong_at(m, clipped, 1e300)
    assert wrong_at(m, dropped, 30.0)
    assert wrong_at(MAPS["rational"], naive_rational, 1e300)


def test_backward_of_bnn_plus_plus_in_the_tail() -> None:
    b = lower(CATALOGUE["BNN++"].pair().backward)
    assert b(1e300) == b(-1e300) == b(math.inf) == b(-math.inf) == 0
    x = np.array([70.0, -70.0, 100.0])
    np.testing.assert_allclose(b(x), -50 * np.abs(x) * np.exp(-5 * np.abs(x)) * (1 - 0.4 / np.abs(x)), rtol=1e-13)


def test_shapes_and_refusals() -> None:
    f, g = lower(parse("clip(x, -1, 1)", {})), lower(parse("clip(x, -1, 1)", {}), "torch")
    assert f(np.zeros((2, 0, 3))).shape == (2, 0, 3)
    assert f(np.arange(12.0).reshape(3, 4).T[::2]).tolist() == [[0, 1, 1], [1, 1, 1]]
    assert isinstance(f(0.5), np.float64)
    assert g(torch.tensor(0.5)).shape == ()
    for bad in (np.arange(3), np.array([True]), 3, np.float16(1)):
        with pytest.raises(InputError, match="float32 or float64"):
            f(bad)
    for worse in (torch.arange(3), [1.0], torch.zeros(2, dtype=torch.float16)):
        with pytest.raises(InputError, match="float32 or float64"):
            g(worse)
    with pytest.raises(InputError, match="backend"):
        lower(parse("x", {}), "jax")
    for text in ("sign(sin(x))", *(e.pair().forward for e in CATALOGUE.values() if e.period is not None)):
        with pytest.raises(Undecided, match="infinitely many"):
            lower(parse(text, {}) if isinstance(text, str) else text)


def test_a_sine_has_no_value_at_infinity() -> None:
    wave = lower(parse("sin(20*x)", {}))(np.array([math.inf, -math.inf, 0.0]))
    assert np.isnan(wave).tolist() == [True, True, False]


def test_no_value_and_infinite_values() -> None:
    step = PiecewiseMap.build([0], [-1, 1], [None])
    assert math.isnan(lower(step)(0.0))
    assert math.isnan(lower(step)(math.nan))
    box = parse("Piecewise((oo, x < -1), (0, x <= 1), (oo, True))", {}, allow_infinity=True)
    assert lower(box)(np.array([-math.inf, -1.0, 0.0, 1.0, 1.5])).tolist() == [math.inf, 0, 0, 0, math.inf]


def test_the_function_is_compiled_once() -> None:
    assert lower(parse("sign(x)", {})) is lower(parse("sign(x)", {}))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from(sorted(CATALOGUE)),
    st.lists(
        st.floats(-1e6, 1e6)
        | st.sampled_from(
            [0.0, -0.0, 1.0, -1.0, 0.5, 2.399357280515],
        ),
        min_size=1,
        max_size=8,
    ),
)
def test_plain_evaluation_gives_the_bits_of_the_careful_one(name: str, xs: list[float]) -> None:
    """With one NaN among them no element is evaluated by the plain path alone."""
    pair = CATALOGUE[name].pair()
    for m in (pair.forward, pair.backward):
        if m.windowed:
            continue
        x = np.array(xs)
        quick, careful = lower(m)(x), lower(m)(np.append(x, np.nan))
        assert np.isnan(careful[-1])
        assert quick.tobytes() == careful[:-1].tobytes()
