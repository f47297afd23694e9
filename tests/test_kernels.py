"""Kernels give the values of the exact maps: bits for steps and lines, a few ulp for the rest; mutants do not."""

from __future__ import annotations

import json
import math
import warnings
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_benchmarks import loaded
from torch._subclasses import FakeTensorMode
from torch.fx.experimental.proxy_tensor import make_fx

from theory.catalogue import CATALOGUE, PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.errors import InputError, Undecided
from theory.exact import X, to_float
from theory.maps import PiecewiseMap
from theory.parser import parse
from verify import kernel_programs, kernel_smooth
from verify.kernel_forms import (
    clamped_line,
    clamped_steps,
    dead_zone,
    float_classes,
    height_of,
    put_steps,
    uniform_steps,
)
from verify.kernel_programs import BLOCK, Builder, Program, Rooms
from verify.kernels import Kernel, both, kernel
from verify.lowering import lower
from verify.prepared import resolved
from verify.quantizers import uniform_pair

torch.set_num_threads(1)

TYPES = (torch.float32, torch.float64)
EXACT = ("identity", "constant", "levels", "uniform", "piecewise linear")


BENCHMARK = loaded("kernels")  # its inputs, its bound and its Arb values are used here too
_TEXTS = {
    "irrational breaks": "Piecewise((-1, x < -sqrt(2)), (x, x < pi), (2, True))",
    "a third": "Piecewise((1, x < 1/3), (7, x == 1/3), (2, True))",
    "an eighth": "Piecewise((1, x < 1/8), (7, x == 1/8), (2, True))",
    "huge breaks": "Piecewise((1, x < -10**60), (x, x < 10**60), (1, True))",
    "near breaks": "Piecewise((0, x < 1), (x, x < 1 + 10**(-30)), (5, True))",
    "far levels": "Piecewise((1, x < 0), (1/10**9, x < 1), (-3, True))",
    "DoReFa 4 bits": "round(15*clip(x, 0, 1))/15",
    "16 levels": "clip(floor(8*x), -8, 7)/8 + 1/16",
    "thirds": "clip(round(3*x/10), -7, 7)/3",
    "falling": "-clip(round(x), -2, 2)",
    "a third of x": "x/3",
    "minus": "-x",
    "rectifier": "Max(x, 0)",
    "cubic": "x**3 - 100*x**2",
    "root": "sqrt(x**2 + 1)",
    "gauss": "x*exp(-x**2)",
    "decay": "x**5*exp(-7*x)",
    "slow SS": "2*sigmoid(x/3)*(1 + x/3*(1 - sigmoid(x/3))) - 1",
    "SS written out": "tanh(3*x/2) + 3*x/2*(1 - tanh(3*x/2)**2)",
}
MAPS = dict(BENCHMARK.maps()) | {name: parse(text, {}) for name, text in _TEXTS.items()}
SIGN = parse("Piecewise((-1, x < 0), (1, True))", {})
SWISH, SLOPE = CATALOGUE["BNN++"].pair().forward, CATALOGUE["BNN++"].pair().backward
ONE_OF_EACH = {
    "identity": parse("x", {}),
    "constant": parse("0", {}),
    "levels": SIGN,
    "uniform": CATALOGUE["LSQ"].pair().forward,
    "piecewise linear": CATALOGUE["ProxQuant"].pair().forward,
    "swish": SLOPE,
    "smooth": CATALOGUE["DSQ"].pair().backward,
    "general": parse("log(1 + exp(x))", {}),
}


def points(m: PiecewiseMap, dtype: torch.dtype) -> torch.Tensor:
    """Ties with their float neighbours, zeros, infinities, extremes, random bit patterns, NaN."""
    kind = np.float32 if dtype == torch.float32 else np.float64
    return torch.from_numpy(np.append(BENCHMARK.inputs(m, 300, kind), kind(math.nan)))


def bits(a: torch.Tensor) -> bytes:
    return a.contiguous().numpy().tobytes()


def same(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Equal values, NaN where NaN is, and no -0.0 that the second does not have."""
    stray = torch.signbit(a) & (a == 0) & ~torch.signbit(b)
    return torch.equal(torch.nan_to_num(a), torch.nan_to_num(b)) and torch.equal(a != a, b != b) and not stray.any()


@pytest.mark.parametrize("name", sorted(MAPS))
def test_every_map(name: str) -> None:
    m = MAPS[name]
    k = kernel(m)
    for dtype in TYPES:
        x = points(m, dtype)
        found = k(x)
        assert found.dtype == dtype
        assert math.isnan(found[-1])
        if k.kind in EXACT:
            assert same(found, lower(m, "torch")(x)), (name, dtype)
        else:
            stray = torch.signbit(found) & (found == 0) & (lower(m, "torch")(x) >= 0)
            assert not (stray & ~((x < 0) & (x.abs() < 1e-30))).any()  # a tiny negative value may be -0.0
            if k.kind != "general":
                worst = BENCHMARK.error(m, x[:-1].numpy(), found[:-1].numpy())
                assert worst.share <= 1, (name, dtype, worst)
        out = torch.full_like(x, 7.0)
        k.bound(x, out, {})()
        assert bits(out) == bits(found)
        if k.kind in EXACT:  # c sign(x) has a short way where there is no 0 and no NaN
            moved = (x != 0) & ~torch.isnan(x)
            assert bits(k(x[moved])) == bits(found[moved]), (name, dtype)
        pure = k.pure(x)
        assert math.isnan(pure[-1])
        if k.kind != "general":
            assert bits(pure[:-1]) == bits(found[:-1]), (name, dtype)


def test_the_shapes_are_recognised() -> None:
    for kind, m in ONE_OF_EACH.items():
        assert kernel(m).kind == kind
    for name in ("slow SS", "SS written out", "BNN++ forward", "BNN+ backward"):
        assert kernel(MAPS[name]).kind == "swish"
    for name in ("DoReFa 4 bits", "16 levels", "Ternary forward", "thirds", "falling"):
        assert kernel(MAPS[name]).kind == "uniform"
    for m in (CATALOGUE["BiPer"].pair().forward, parse("sign(sin(x))", {})):
        with pytest.raises(Undecided, match="infinitely many"):
            kernel(m)
    assert kernel(SIGN) is kernel(SIGN) is deepcopy(kernel(SIGN))
    assert "levels" in repr(kernel(SIGN))
    # nothing in the catalogue or the libraries needs a second look at run time
    assert [name for name, m in BENCHMARK.maps() if kernel(m).kind == "general"] == []


def test_two_levels_at_zero_have_a_height() -> None:
    """c where all floats below 0 have -c and all above have c, whatever 0 has."""
    tiny = "(1/10**50)**8"
    cases = {
        "sign(x)": 1.0,
        "Piecewise((-1/4, x < 0), (1/4, True))": 0.25,
        "Piecewise((-1/4, x <= 0), (1/4, True))": 0.25,
        "Piecewise((-1, x < 0), (3, x == 0), (1, True))": 1.0,
        f"Piecewise((-1, x < {tiny}), (1, True))": 1.0,  # no float lies between 0 and that
        f"Piecewise((-1, x < -{tiny}), (1, True))": 1.0,
        "Piecewise((-1, x < 0), (2, True))": None,
        "Piecewise((0, x < 0), (1, True))": None,
        "Piecewise((1, x < 0), (-1, True))": None,
        "Piecewise((-1, x < -1/10**44), (1, True))": None,
        "Piecewise((-1, x < 1/10**44), (1, True))": None,
        "Piecewise((-1, x < -1), (0, x < 1), (1, True))": None,
        "Piecewise((-1, x < 0), (x, x < 1), (1, True))": None,
        "x": None,
        "0": None,
        "1": None,
    }
    for text, height in cases.items():
        for dtype in TYPES:
            assert height_of(float_classes(parse(text), dtype), dtype) == height, (text, dtype)


@pytest.mark.parametrize("dtype", TYPES)
def test_a_zero_or_a_missing_value_in_a_block_is_seen(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_programs, "BLOCK", 16)
    for text in ("Piecewise((-1/4, x < 0), (1/4, True))", "Piecewise((-2, x <= 0), (2, True))", "sign(x)"):
        m = parse(text)
        for special in (0.0, -0.0, math.nan, math.inf, -math.inf, 5e-324, 1e-45):
            x = torch.linspace(-3, 3, 60, dtype=dtype)
            x[21] = special
            rooms: Rooms = {}
            pieces = torch.full_like(x, 7.0)
            for piece, out in zip(x.split(16), pieces.split(16), strict=True):
                kernel(m).bound(piece, out, rooms)()
            for found in (kernel(m)(x), kernel(m)(x.clone(), x.clone()), pieces):
                assert same(found, lower(m, "torch")(x)), (text, special)
            here = x.clone()
            assert same(kernel(m)(here, here), lower(m, "torch")(x))


def test_no_branch_is_recorded_with_the_operations() -> None:
    """What is traced where no block has a zero is run on zeros too."""
    k, pair = kernel(parse("Piecewise((-1, x < 0), (1, True))")), both(SWISH, SLOPE)
    shown, other = torch.tensor([1.0, -2.0]), torch.tensor([0.0, 1e30])
    for function in (k, pair.forward):
        wanted = function(other)
        assert bits(make_fx(function)(shown)(other)) == bits(wanted)
        with warnings.catch_warnings():
            for category in (DeprecationWarning, torch.jit.TracerWarning):  # people use jit.trace all the same
                warnings.simplefilter("ignore", category)
            traced = torch.jit.trace(lambda x, f=function: f(x), shown)
        assert bits(traced(other)) == bits(wanted)
    with FakeTensorMode():
        fake = torch.empty(3)
        assert k(fake).shape == (3,)
    assert k(fake).shape == (3,)


def test_a_pair_that_is_bound_is_the_pair() -> None:
    for forward, backward in ((SWISH, SLOPE), (SIGN, SLOPE), (ONE_OF_EACH["general"], SLOPE), (SIGN, SIGN)):
        pair = both(forward, backward)
        for dtype in TYPES:
            limit = min(pair._programs[dtype].limit, 1e3) if pair.joint else 1e3
            for low, high in ((-limit, limit), (-3e3, 3e3), (0, 3e3), (-3e3, 0)):
                x = torch.linspace(low, high, 99, dtype=dtype)
                f, b = torch.empty_like(x), torch.empty_like(x)
                write = pair.bound(x, f, b, {})
                for _ in range(2):
                    write()
                    assert list(map(bits, (f, b))) == list(map(bits, pair(x)))
                    x.mul_(-0.5)  # the values of that time


def test_general_maps_are_those_of_lower() -> None:
    for name in ("general", "decay"):
        m = ONE_OF_EACH.get(name) or MAPS[name]
        for dtype in TYPES:
            x = torch.tensor([-math.inf, -1e38, -800, -3, 0, 0.5, 40, 800, 1e30, math.inf, math.nan], dtype=dtype)
            found, wanted = kernel(m)(x), lower(m, "torch")(x)
            torch.testing.assert_close(
                found, wanted, rtol=1e-6 if dtype == torch.float32 else 1e-14, atol=0, equal_nan=True
            )
            out = x.clone()
            assert bits(kernel(m)(out, out)) == bits(found)


@pytest.mark.parametrize("kind", sorted(ONE_OF_EACH))
def test_layouts_and_out(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    k = kernel(ONE_OF_EACH[kind])
    x = torch.randn(2 * BLOCK + 77, generator=torch.Generator().manual_seed(1))
    wanted = k(x)
    assert bits(k.pure(x)) == bits(wanted)
    assert bits(torch.cat([k(part.clone()) for part in x.split(1013)])) == bits(wanted)
    sizes: list[int] = []
    for name in ("empty", "empty_like"):
        monkeypatch.setattr(torch, name, _watched(getattr(torch, name), sizes))
    out = torch.full_like(x, 7.0)
    sizes.clear()
    assert k(x, out) is out
    assert bits(out) == bits(wanted)
    monkeypatch.undo()
    assert max(sizes, default=0) <= BLOCK
    here = x.clone()
    assert k(here, here) is here
    assert bits(here) == bits(wanted)
    square = x[:900].reshape(30, 30)
    assert bits(k(square.t())) == bits(wanted[:900].reshape(30, 30).t())
    assert bits(k.pure(square.t())) == bits(wanted[:900].reshape(30, 30).t())
    strided = torch.zeros(30, 60)[:, ::2]
    assert k(square, strided) is strided
    assert bits(strided) == bits(wanted[:900])
    long = torch.cat([x[:500], torch.zeros(1)])
    k(long[:-1], long[1:])  # overlapping, but not the same
    assert bits(long[1:]) == bits(wanted[:500])
    assert k(torch.tensor(0.25)).shape == k.pure(torch.tensor(0.25)).shape == ()
    assert k(torch.zeros(2, 0, 3)).shape == k.pure(torch.zeros(2, 0, 3)).shape == (2, 0, 3)
    leaf = x[:10].clone().requires_grad_()
    assert not k(leaf).requires_grad
    assert bits(k(leaf, torch.zeros(10))) == bits(wanted[:10])


def _watched(empty: Any, sizes: list[int]) -> Any:
    def made(*args: Any, **options: Any) -> torch.Tensor:
        found = empty(*args, **options)
        sizes.append(found.numel())
        return found

    return made


def test_bad_input_is_refused() -> None:
    k, pair = kernel(SIGN), both(SWISH, SLOPE)
    for bad in (torch.arange(3), torch.zeros(2, dtype=torch.float16), [1.0]):
        for call in (k, k.pure, pair, pair.pure):
            with pytest.raises(InputError, match="float32 or float64"):
                call(bad)
    for out in (torch.zeros(2), torch.zeros(3, dtype=torch.float64), 1.0):
        with pytest.raises(InputError, match="out: a tensor of x's type, shape and device"):
            k(torch.zeros(3), out)


def test_pure_is_compiled_as_one_graph() -> None:
    x = torch.tensor([-2.0, -0.5, 0.0, 0.3, 1.0, 9.0, math.nan])
    for kind in ("levels", "uniform", "swish", "smooth"):
        k = kernel(ONE_OF_EACH[kind])
        torch.compiler.reset()
        found = torch.compile(k.pure, backend="eager", fullgraph=True)(x)
        assert bits(found[:-1]) == bits(k(x)[:-1]), kind
        assert math.isnan(found[-1])


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (SWISH, SLOPE),
        (SIGN, SLOPE),
        (parse("tanh(2*x)", {}), parse("2 - 2*tanh(2*x)**2", {})),
        (parse("x", {}), parse("x", {})),
        (ONE_OF_EACH["general"], SIGN),
    ],
)
def test_a_pair_in_one_pass(forward: PiecewiseMap, backward: PiecewiseMap) -> None:
    pair = both(forward, backward)
    for dtype in TYPES:
        x = torch.randn(BLOCK + 3, dtype=dtype, generator=torch.Generator().manual_seed(2))
        f, b = pair(x)
        assert bits(f) == bits(kernel(forward)(x))
        assert bits(b) == bits(kernel(backward)(x))
        assert [bits(p) for p in pair.pure(x)] == [bits(f), bits(b)]
        for at in (0, 1):
            here = x.clone()
            outs = [torch.empty_like(x), torch.empty_like(x)]
            outs[at] = here
            assert [bits(p) for p in pair(here, *outs)] == [bits(f), bits(b)]
    assert pair.joint == (pair.forward.kind != "general")
    apart = [len(kernel(m)._programs[torch.float32].ops) for m in (SWISH, SLOPE)]
    assert len(both(SWISH, SLOPE)._programs[torch.float32].ops) <= sum(apart) - 6  # v, w and what leads to them


def test_missing_and_infinite_values() -> None:
    step = PiecewiseMap.build([0], [-1, 1], [None])
    box = parse("Piecewise((oo, x < -1), (0, x <= 1), (oo, True))", {}, allow_infinity=True)
    pole = parse("Piecewise((0, x <= 0), (1/x, True))", {})  # its value beside 0 is beyond float32
    x = torch.tensor([-math.inf, -2, -1, 0, 1e-45, 0.5, 1, 1.5, math.inf, math.nan])
    for m in (step, box, pole):
        assert same(kernel(m)(x), lower(m, "torch")(x))
        assert same(kernel(m).pure(x), kernel(m)(x))


def test_swish_is_recognised_exactly() -> None:
    near = parse("2*sigmoid(5*x)*(1 + (5 + 1/10**12)*x*(1 - sigmoid(5*x))) - 1", {})
    assert kernel(near).kind != "swish"
    joint = TRANSFORM_LIBRARY["SwishSign"].map(beta=sp.Rational(7, 3))
    assert kernel(joint).kind == "swish"


# --------------------------------------------------------------------------- random step functions

_RATIONALS = st.fractions(-40, 40, max_denominator=60)
_PLACES = st.one_of(
    _RATIONALS,
    st.floats(-4, 4, width=32).map(Fraction),
    st.sampled_from([Fraction(10) ** 30, Fraction(1, 10**44), Fraction(1, 3)]),
)


@settings(max_examples=80, deadline=None)
@given(st.lists(_PLACES, min_size=1, max_size=7, unique=True), st.data())
def test_random_steps(places: list[Fraction], data: st.DataObject) -> None:
    breaks = sorted(places)
    levels = data.draw(
        st.lists(_RATIONALS | st.just(Fraction(10**12)), min_size=len(breaks) + 1, max_size=len(breaks) + 1)
    )
    ties = [data.draw(st.sampled_from([a, b, (a + b) / 2])) for a, b in pairwise(levels)]
    _agrees(breaks, levels, ties)


@settings(max_examples=40, deadline=None)
@given(_RATIONALS, st.fractions(Fraction(1, 30), 3, max_denominator=40), _RATIONALS, st.integers(3, 16), st.data())
def test_random_uniform_steps(
    start: Fraction, width: Fraction, bottom: Fraction, count: int, data: st.DataObject
) -> None:
    step = data.draw(st.sampled_from([width, Fraction(1), Fraction(-2, 3), Fraction(1, 7)]))
    levels = [bottom + step * k for k in range(count)]
    ties = [levels[k + 1] if up else levels[k] for k, up in enumerate(data.draw(_flags(count - 1)))]
    _agrees([start + width * k for k in range(count - 1)], levels, ties)


def _flags(count: int) -> st.SearchStrategy[list[bool]]:
    alternating = [[k % 2 == i for k in range(count)] for i in (0, 1)]
    return st.sampled_from([[True] * count, [False] * count, *alternating])


def _agrees(breaks: list[Fraction], levels: list[Fraction], ties: list[Fraction]) -> None:
    exact = [[sp.Rational(q.numerator, q.denominator) for q in part] for part in (breaks, levels, ties)]
    m = PiecewiseMap.build(*exact)
    k = Kernel(m)
    for dtype in TYPES:
        x = points(m, dtype)
        assert same(k(x), lower(m, "torch")(x)), (k.kind, dtype)
        assert same(k.pure(x), k(x))


# --------------------------------------------------------------------------- random lines, and forms that nearly fit

_SLOPES = st.one_of(
    st.sampled_from([Fraction(s) for s in (0, 1, 2, -1, 10**30, 2**100)] + [Fraction(1, 2), Fraction(1, 2**100)]),
    _RATIONALS,
)
_ENDS = st.one_of(_PLACES, st.integers(-16, 16).map(lambda k: Fraction(k, 8)), st.just(Fraction(10) ** 45))


@st.composite
def _lines(draw: st.DrawFn) -> PiecewiseMap:
    """Lines that meet or jump, often of one slope, with any value at the breaks; some breaks beyond float32."""
    breaks = sorted(draw(st.lists(_ENDS, min_size=1, max_size=4, unique=True)))
    common = draw(_SLOPES)
    lines = [(common if draw(st.booleans()) else draw(_SLOPES), draw(_ENDS)) for _ in range(len(breaks) + 1)]
    for k, b in enumerate(breaks):
        if draw(st.booleans()):
            lines[k + 1] = (lines[k + 1][0], (lines[k][0] - lines[k + 1][0]) * b + lines[k][1])
    ends = [[s * b + c for s, c in pair] for b, pair in zip(breaks, pairwise(lines), strict=True)]
    values = [draw(st.sampled_from([left, right, left + 1])) for left, right in ends]
    exact = [[sp.Rational(q.numerator, q.denominator) for q in part] for part in (breaks, values)]
    pieces = [sp.Rational(s.numerator, s.denominator) * X + sp.Rational(c.numerator, c.denominator) for s, c in lines]
    return PiecewiseMap.build(exact[0], pieces, exact[1])


@settings(max_examples=100, deadline=None)
@given(_lines())
def test_random_lines(m: PiecewiseMap) -> None:
    k = Kernel(m)
    for dtype in TYPES:
        x = points(m, dtype)[::3]
        assert same(k(x), lower(m, "torch")(x)), (m, dtype)
        assert same(k(x.clone(), out := x.clone()), k.pure(x))
        assert same(k(out.copy_(x), out), k.pure(x))


@pytest.mark.parametrize(
    "text",
    [
        "Piecewise((x + 1, x < -1), (5, x < 1), (x - 1, True))",  # no dead zone: its level is not 0
        "Piecewise((x + 1, x < -2), (0, x <= 1), (x - 1, True))",  # one that begins too early, or ends too late
        "Piecewise((x + 1, x < -1), (0, x <= 2), (x - 1, True))",
        "Piecewise((3*x + 3, x < -1), (0, x <= 1), (3*x - 3, True))",  # 3 (x - 1) would be rounded twice
        "Piecewise((x - 1/3, x < 0), (x + 1/3, True))",  # the shift is no float
        "Piecewise((x/10, x <= 3), (1, True))",  # 3 * 0.1 > 0.3
        "clip(x/2, 0, 1)",  # no -0.0 from below
        "Piecewise((0, x < 0), (x/2, x < 1), (x/2 + 1/4, x <= 3/2), (1, True))",
        "-round(15*clip(x, 0, 1))/15",  # 0/(-15) is -0.0
        "10**45",
        "Piecewise((0, x < 10**45), (x, True))",  # beyond float32 only infinity is left of a piece
        "Piecewise((0, x < -10**45), (1, x < 0), (x + 1, x < 10**45), (5, True))",
    ],
)
def test_what_nearly_fits_a_form(text: str) -> None:
    m = parse(text)
    for dtype in TYPES:
        x = points(m, dtype)
        assert same(Kernel(m)(x), lower(m, "torch")(x)), dtype


def test_forms_that_fit_are_taken() -> None:
    for text, form in (("clip(-x, -1, 1)", clamped_line), ("x - clip(x, -1, 1)", dead_zone)):
        b = Builder(torch.float32)
        assert form(b, float_classes(parse(text), torch.float32)) is not None
    # continuous at both ends: no class for a tie; a level that underflows is no -0.0
    assert len(float_classes(PROX_LIBRARY["soft threshold"].map(), torch.float32)) == 3
    tiny = float_classes(parse("Piecewise((-1/10**60, x < 0), (1, True))"), torch.float32)[0].level
    assert str(tiny) == "0.0"
    # the fifteen steps of DoReFa need float64 for one sum alone
    names = [op.name for op in kernel(MAPS["DoReFa 4 bits"])._programs[torch.float32].ops]
    assert names == ["wide", "add", "narrow", "clamp", "add", "div"]


def test_constants_of_uniform_steps_are_floats() -> None:
    """(r + c)/s with a c that is no float gave 0.76 for the level 1; 2^25 + k times 1/3 is rounded in between."""
    breaks, levels = [Fraction(40), Fraction(856, 21)], [Fraction(1), Fraction(37, 21), Fraction(53, 21)]
    _agrees(breaks, levels, levels[:-1])
    far = [Fraction(2**25 + k, 3) for k in range(4)]
    _agrees([Fraction(k) for k in range(3)], far, far[:-1])
    wide = [Fraction(2**24 + 8 * k) for k in range(12)]  # integers that float32 does not have
    _agrees(wide, [Fraction(k) for k in range(13)], [Fraction(k) for k in range(12)])


def test_constants_beyond_floats_are_left_to_lower() -> None:
    for slope, shift in ((1, 10**310), (10**310, 0)):
        m = PiecewiseMap.build([0], [0, slope * X + shift], [0])
        x = torch.tensor([-1.0, 0.0, 1e-320, 1.0, 1e300, math.inf], dtype=torch.float64)
        assert Kernel(m).kind == "general"
        assert same(Kernel(m)(x), lower(m, "torch")(x))


def test_a_formula_that_overflows_inside_is_general() -> None:
    x = torch.tensor([-400.0, 1.0, 400.0, 900.0], dtype=torch.float64)
    for text in ("sinh(x)/cosh(x)**2", "Piecewise((sinh(x)/cosh(x)**2, x < 500), (x, True))"):
        m = parse(text)
        assert kernel(m).kind == "general"
        torch.testing.assert_close(kernel(m)(x), lower(m, "torch")(x), rtol=1e-12, atol=0)
    assert kernel(MAPS["decay"]).kind == "general"
    x = torch.tensor([3.0, 1e20], dtype=torch.float64)
    for text in ("sqrt(x**2 + x + 1) - x", "Piecewise((sqrt(x**2 + x + 1) - x, x < 10**30), (x, True))"):  # 0 at 1e20
        torch.testing.assert_close(kernel(parse(text))(x), lower(parse(text), "torch")(x), rtol=1e-12, atol=0)


def test_a_block_without_large_x_has_the_bits_of_the_others() -> None:
    pair = both(SWISH, SLOPE)
    for dtype in TYPES:
        limit = pair._programs[dtype].limit
        near = limit * torch.linspace(1 - 1e-5, 1 + 1e-5, 2001, dtype=dtype)
        for x in (near, -near, torch.linspace(0, 3, 1001, dtype=dtype) * limit):
            for part in (x, -x):
                assert [bits(v) for v in pair(part)] == [bits(v) for v in pair.pure(part)]


@pytest.mark.parametrize("sharpness", [sp.Rational(1, 10**4), 10**20])
def test_flat_and_sharp_swish(sharpness: Any) -> None:
    entry = TRANSFORM_LIBRARY["SwishSign"]
    for m in (entry.map(beta=sharpness), entry.derivative_map(beta=sharpness)):
        for kind in (np.float32, np.float64):
            scale = kind(1 / float(sharpness))
            x = np.append(BENCHMARK.inputs(m, 200, kind), scale * np.linspace(0, 800, 300, dtype=kind))
            assert kernel(m).kind == "swish"
            assert BENCHMARK.error(m, x, kernel(m)(torch.from_numpy(x)).numpy()).share <= 1


def test_out_may_require_a_gradient_but_not_serve_twice() -> None:
    x = torch.randn(5)
    out = torch.zeros(5, requires_grad=True)
    assert kernel(SIGN)(x, out) is out
    assert bits(out.detach()) == bits(kernel(SIGN)(x))
    with pytest.raises(InputError, match="not one for both"):
        both(SWISH, SLOPE)(x, out, out)


# --------------------------------------------------------------------------- mutants


def _values(m: PiecewiseMap, put: Any, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """The values of a program put together by hand, and those of `lower`, at the test points."""
    b = Builder(dtype)
    x = points(m, dtype)
    return Program(b, [put(b)]).pure(x)[0], lower(m, "torch")(x)


@pytest.mark.parametrize("name", ["LSQ forward", "DoReFa 4 bits", "16 levels"])
def test_a_nudged_formula_is_rejected(name: str) -> None:
    m = MAPS[name]
    classes = float_classes(m, torch.float32)
    firsts, levels = [c.first for c in classes], [c.level or 0.0 for c in classes]
    found = uniform_steps(classes, torch.float32)
    assert found is not None
    index, finish = found
    assert index.right(firsts, torch.float32)
    assert same(*_values(m, lambda b: finish.build(b, index.build(b))))
    off = 1e-6 if index.wide else float(np.spacing(np.float32(index.times))) * 2
    for wrong in (replace(index, times=index.times + off), replace(index, low=index.low + 1)):
        assert not wrong.right(firsts, torch.float32)
        assert not same(*_values(m, lambda b, w=wrong: finish.build(b, w.build(b))))
    shifted = replace(finish, scale=float(np.nextafter(np.float32(finish.scale), np.float32(9))))
    assert not shifted.right(index.low, levels, torch.float32)
    assert not same(*_values(m, lambda b: shifted.build(b, index.build(b))))


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("name", ["a third", "an eighth", "prox finite projection", "16 levels"])
def test_a_threshold_one_float_away_is_rejected(name: str, dtype: torch.dtype) -> None:
    m = MAPS[name]
    classes = float_classes(m, dtype)
    firsts, levels = [c.first for c in classes], [c.level or 0.0 for c in classes]
    assert same(*_values(m, lambda b: put_steps(b, firsts, levels), dtype))
    kind = np.float32 if dtype == torch.float32 else np.float64
    for way in (-math.inf, math.inf):
        wrong = [firsts[0], float(np.nextafter(kind(firsts[1]), kind(way))), *firsts[2:]]
        assert not same(*_values(m, lambda b, w=wrong: put_steps(b, w, levels), dtype))
        found = uniform_steps(classes, dtype)
        if found is not None:
            assert not found[0].right(wrong, dtype)


def test_naive_formulas_miss_the_bound() -> None:
    x = BENCHMARK.inputs(SLOPE, 400, np.float32)
    t = torch.from_numpy(x)

    def missed(m: PiecewiseMap, found: torch.Tensor) -> bool:
        return not BENCHMARK.error(m, x, found.numpy()).share <= 1

    z = 2.5 * t
    assert missed(SLOPE, 5 * (2 - 5 * t * torch.tanh(z)) / (1 + torch.cosh(5 * t)))
    assert missed(SWISH, 2 * torch.sigmoid(5 * t) * (1 + 5 * t * (1 - torch.sigmoid(5 * t))) - 1)
    bell = CATALOGUE["IR-Net"].pair().backward
    assert missed(bell, 2 - 2 * torch.tanh(2 * t) ** 2)
    assert missed(MAPS["MD-tanh forward"], torch.tanh(t) * (1 + 5e-7))
    assert not missed(MAPS["MD-tanh forward"], torch.tanh(t))


def test_the_bound_knows_ties_and_infinities() -> None:
    x = np.array([0.0, math.inf], dtype=np.float32)
    for found in ([1.0, 1.0], [0.0, math.nan]):
        assert not BENCHMARK.error(CATALOGUE["BC"].pair().forward, x, np.array(found, dtype=np.float32)).share <= 1
    assert BENCHMARK.error(CATALOGUE["BC"].pair().forward, x, np.array([0.0, 1.0], dtype=np.float32)).share == 0
    assert to_float(PROX_LIBRARY["box"].map().breaks[0]) == -1


# --------------------------------------------------------------------------- the benchmark


def test_the_quick_benchmark_prints_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert BENCHMARK.main(["--quick", "--json", "--device", "cpu"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["device"] == "cpu"
    assert found["command"] == "python benchmarks/kernels.py --quick --json --device cpu"
    assert {r["size"] for r in found["speed"]} == {10**4}
    assert all(r["copies"] > 0 for r in found["speed"])
    assert {"two levels", "three levels", "soft threshold", "training"} <= {r["shape"] for r in found["speed"]}
    assert "x torch.tanh" in BENCHMARK.table(found)


def test_the_accuracy_report_names_what_missed(monkeypatch: pytest.MonkeyPatch) -> None:
    names = ["MD-tanh forward", "BNN++ backward", "PARQ forward"]
    found = BENCHMARK.accuracy(200, torch.device("cpu"), [*names, "BNN+ backward"])
    assert {r["map"] for r in found["maps"]} == {"MD-tanh forward", "PARQ forward", "BNN+ backward"}
    assert found["missed"] == []
    text = BENCHMARK.table({"device": "cpu", "torch": "", "threads": 1, "accuracy": found})
    assert "piecewise linear" in text
    monkeypatch.setattr(BENCHMARK, "kernel", lambda m: _Off(m))
    worse = BENCHMARK.accuracy(200, torch.device("cpu"), names[:1])
    assert len(worse["missed"]) == 2
    assert worse["missed"][0].startswith("MD-tanh forward, float32: ")


class _Off:
    """A kernel that is off by a millionth."""

    kind = "smooth"

    def __init__(self, m: PiecewiseMap) -> None:
        self.kernel = kernel(m)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        return self.kernel(x) * (1 + 1e-6)


# --------------------------------------------------------------------------- lines that jump, and the ends of hypot


def family_points(m: PiecewiseMap, dtype: torch.dtype) -> torch.Tensor:
    kind = np.float32 if dtype == torch.float32 else np.float64
    marks = np.array([to_float(b) for b in m.breaks], dtype=kind)
    near = [np.nextafter(marks, kind(np.inf)), marks, np.nextafter(marks, kind(-np.inf))]
    info = np.finfo(kind)
    ends = np.array([0, -0.0, np.inf, -np.inf, info.max, info.min, info.tiny, -info.tiny], dtype=kind)
    return torch.from_numpy(np.concatenate([*near, ends, np.linspace(-2, 2, 997, dtype=kind)]))


@settings(max_examples=30)
@given(st.sampled_from([1, 2]), st.integers(0, 9), st.integers(0, 9), st.sampled_from([8, 9, 20]))
def test_the_family_is_the_exact_map_at_ties_and_ends(bits: int, flat: int, jump: int, parts: int) -> None:
    h = sp.Integer(2**bits - 1) * parts
    m = resolved(uniform_pair(bits, flat / h, jump / h).forward)
    for dtype in TYPES:
        x = family_points(m, dtype)
        found, wanted = kernel(m)(x), lower(m, "torch")(x)
        gap = (found - wanted).abs().nan_to_num(0.0)  # infinities that agree
        assert bool((gap <= 2 * torch.finfo(dtype).eps * wanted.abs().clamp(min=1e-3)).all()), (bits, h, flat, jump)
        assert not bool(torch.signbit(found[found == 0]).any())


def test_a_clamp_of_jumping_lines_is_refused_where_it_would_be_wrong() -> None:
    """The family of PC is clamp(x + 1/4 sign(x), -1, 1); with an end that the line jumps to or passes it is not."""
    right = "Piecewise((-1, x < -3/4), (x - 1/4, x < 0), (x + 1/4, x <= 3/4), (1, True))"
    jumps = "Piecewise((-1, x < -3/4), (x - 1/4, x < 0), (x + 1/4, x < 1/2), (1, True))"
    passes = "Piecewise((-1, x < -3/4), (x - 1/4, x < 0), (x + 1/4, x <= 1), (1, True))"
    falls = "Piecewise((-1, x < -3/4), (x + 1/4, x < 0), (x - 1/4, x <= 5/4), (1, True))"
    for text, taken in ((right, True), (jumps, False), (passes, False), (falls, False)):
        m = parse(text)
        for dtype in TYPES:
            b = Builder(dtype)
            assert (clamped_steps(b, float_classes(m, dtype)) is not None) == taken, text
            x = family_points(m, dtype)
            assert kernel(m)(x).tolist() == lower(m, "torch")(x).tolist(), text


def test_hypot_is_kept_from_the_largest_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose hypot overflows below the largest float would turn the limit 1 of x/sqrt(1 + x^2) into 0."""
    m = parse("x/sqrt(1 + x**2)")
    for sooner in (True, False):
        if not sooner:
            monkeypatch.setattr(kernel_smooth, "_short_of_overflow", lambda b, form, ref, low, high: ref)
        ops = Kernel(m)._programs[torch.float64].ops
        (clamp,) = [op for op in ops if op.name == "clamp"]
        assert (max(a for a in clamp.args if isinstance(a, float)) < 1e308) == sooner
    assert kernel(m)(torch.tensor([math.inf, 1e308, -math.inf], dtype=torch.float64)).tolist() == [1, 1, -1]
    # a map that still falls there keeps its range
    assert float(kernel(parse("1/sqrt(1 + x**2)"))(torch.tensor(1.7e308, dtype=torch.float64))) == 1 / 1.7e308
