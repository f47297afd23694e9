"""Kernels give the values of the exact maps: bits for steps and lines, a few ulp for the rest; mutants do not."""

from __future__ import annotations

import json
import math
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

from theory.catalogue import CATALOGUE, PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.errors import InputError, Undecided
from theory.exact import to_float
from theory.maps import PiecewiseMap
from theory.parser import parse
from verify import kernels
from verify.kernels import _BLOCK, Kernel, _Builder, _classes, _Program, _steps, _uniform, both, kernel
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
    x = torch.randn(2 * _BLOCK + 77, generator=torch.Generator().manual_seed(1))
    wanted = k(x)
    assert bits(k.pure(x)) == bits(wanted)
    assert bits(torch.cat([k(part.clone()) for part in x.split(1013)])) == bits(wanted)
    sizes: list[int] = []
    monkeypatch.setattr(kernels.torch, "empty", _watched(torch.empty, sizes))
    out = torch.full_like(x, 7.0)
    assert k(x, out) is out
    assert bits(out) == bits(wanted)
    monkeypatch.undo()
    assert max(sizes, default=0) <= _BLOCK
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
        x = torch.randn(_BLOCK + 3, dtype=dtype, generator=torch.Generator().manual_seed(2))
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


# --------------------------------------------------------------------------- mutants


def _values(m: PiecewiseMap, put: Any, dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """The values of a program put together by hand, and those of `lower`, at the test points."""
    b = _Builder(dtype)
    x = points(m, dtype)
    return _Program(b, [put(b)]).pure(x)[0], lower(m, "torch")(x)


@pytest.mark.parametrize("name", ["LSQ forward", "DoReFa 4 bits", "16 levels"])
def test_a_nudged_formula_is_rejected(name: str) -> None:
    m = MAPS[name]
    classes = _classes(m, torch.float32)
    firsts, levels = [c.first for c in classes], [c.level or 0.0 for c in classes]
    found = _uniform(classes, torch.float32)
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
    classes = _classes(m, dtype)
    firsts, levels = [c.first for c in classes], [c.level or 0.0 for c in classes]
    assert same(*_values(m, lambda b: _steps(b, firsts, levels), dtype))
    kind = np.float32 if dtype == torch.float32 else np.float64
    for way in (-math.inf, math.inf):
        wrong = [firsts[0], float(np.nextafter(kind(firsts[1]), kind(way))), *firsts[2:]]
        assert not same(*_values(m, lambda b, w=wrong: _steps(b, w, levels), dtype))
        found = _uniform(classes, dtype)
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
            b = _Builder(dtype)
            assert (kernels._clamped_steps(b, _classes(m, dtype)) is not None) == taken, text
            x = family_points(m, dtype)
            assert kernel(m)(x).tolist() == lower(m, "torch")(x).tolist(), text


def test_hypot_is_kept_from_the_largest_floats(monkeypatch: pytest.MonkeyPatch) -> None:
    """A device whose hypot overflows below the largest float would turn the limit 1 of x/sqrt(1 + x^2) into 0."""
    m = parse("x/sqrt(1 + x**2)")
    for sooner in (True, False):
        if not sooner:
            monkeypatch.setattr(kernels, "_short_of_overflow", lambda b, form, ref, low, high: ref)
        ops = Kernel(m)._programs[torch.float64].ops
        (clamp,) = [op for op in ops if op.name == "clamp"]
        assert (max(a for a in clamp.args if isinstance(a, float)) < 1e308) == sooner
    assert kernel(m)(torch.tensor([math.inf, 1e308, -math.inf], dtype=torch.float64)).tolist() == [1, 1, -1]
    # a map that still falls there keeps its range
    assert float(kernel(parse("1/sqrt(1 + x**2)"))(torch.tensor(1.7e308, dtype=torch.float64))) == 1 / 1.7e308
