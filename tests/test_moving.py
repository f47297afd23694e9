"""P_r^mu of tensors against exact arithmetic, brute force and the numpy paths; schedules of a pair's parameters."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from brute import Objective, disagreement
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.catalogue import PROX_LIBRARY
from theory.errors import InputError
from theory.exact import X
from theory.maps import OO, PiecewiseMap
from theory.pairs import QuantizerPair
from theory.parser import parse
from verify import train
from verify.kernels import kernel
from verify.lowering import lower
from verify.moving import MovingProx, PairSchedule, Schedule, _Envelope, moving
from verify.prepared import prepare
from verify.proxconnect import Quadratics, advancing, minimising, quadratics
from verify.rational import _choosing

torch.set_num_threads(1)
MUS = (1.0, 1 + 1e-9, 1.01, 1.5, 3.7, 1000.0)
SHAPES = sorted(n for n, e in PROX_LIBRARY.items() if quadratics(e.literature_regularizer()) is not None)
CURVED = sorted(set(PROX_LIBRARY) - set(SHAPES))
Moved = Callable[[float, torch.Tensor], torch.Tensor]


def tensor(*values: Any) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


@cache
def library(name: str) -> tuple[PiecewiseMap, PiecewiseMap, MovingProx]:
    """(P with ties that are minimisers, r of the literature, P_r^mu)."""
    r = PROX_LIBRARY[name].literature_regularizer()
    prox = minimising(PROX_LIBRARY[name].map(), r)
    return prox, r, MovingProx(prox, r)


def points() -> np.ndarray:
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, 2, 3000), rng.uniform(-50, 50, 1000), np.arange(-40, 41) / 8])


def off(name: str, at: Moved) -> list[float]:
    """The mu for which ``at`` is not the numpy path of a library map."""
    prox, r, _ = library(name)
    path, u = advancing(prox, r, PROX_LIBRARY[name].convex), points()
    found = {mu: at(mu, torch.from_numpy(u)).numpy() for mu in MUS}
    return [mu for mu, v in found.items() if not np.allclose(v, path.at(mu)(u), rtol=1e-14, atol=2e-14)]


# --------------------------------------------------------------------------- values


@pytest.mark.parametrize("name", PROX_LIBRARY)
def test_every_library_map_is_its_numpy_path(name: str) -> None:
    prox, _, moved = library(name)
    assert off(name, moved.at) == []
    u = torch.from_numpy(points())
    single = u.float()
    for x in (u, single):
        assert torch.equal(moved.at(1, x), kernel(prox)(x))
    for mu in MUS[1:] if moved.kind != "fixed" else ():  # float32: the float64 value of the same point, rounded once
        assert torch.equal(moved.at(mu, single), moved.at(mu, single.double()).float())


WRONG: dict[str, Callable[[float], float]] = {
    "mu stays": lambda mu: 1.0,
    "mu a step late": lambda mu: max(1.0, mu - 0.05),
    "eta added twice": lambda mu: 2 * mu - 1,
}


@pytest.mark.parametrize("law", WRONG)
def test_a_wrong_mu_is_seen(law: str) -> None:
    for name in PROX_LIBRARY:
        moved = library(name)[2]
        caught = off(name, lambda mu, u, moved=moved: moved.at(WRONG[law](mu), u))
        assert bool(caught) == (moved.kind != "fixed"), name


@pytest.mark.parametrize("mu", [1.25, 4.0])
@pytest.mark.parametrize("name", sorted(set(PROX_LIBRARY) - {"finite projection"}))
def test_brute_force(name: str, mu: float) -> None:
    _, r, moved = library(name)
    memo = Objective(r, mu)
    for x in (-3.3, -1.0, -0.51, -0.2, 0.0, 0.05, 0.47, 0.9, 1.7, 3.1):
        claimed = moved.at(mu, tensor(x, x - 1e-9)).tolist()  # both minimisers, at a jump
        assert not (problem := disagreement(r, mu, x, claimed, memo=memo)), problem
        assert disagreement(r, mu, x, [claimed[0] + 1e-3], memo=memo)


# --------------------------------------------------------------------------- against exact arithmetic


def exact_error(r: Quadratics, mu: float, u: float, v: float) -> float:
    """|v - P_r^mu(u)| in exact arithmetic; at a float next to a jump of P_r^mu either side will do."""
    prox = _choosing(r)(Fraction(mu))
    step = Fraction(u) * Fraction(1, 2**48) + Fraction(1, 2**48)
    near = {prox(Fraction(u))}
    low, high = (prox(Fraction(u) + s * abs(step)) for s in (-1, 1))
    if high - low > 64 * abs(step):
        near |= {low, high}
    return min(abs(float(Fraction(v) - w)) for w in near)


@settings(max_examples=150)
@given(st.sampled_from(SHAPES), st.floats(1, 60), st.floats(-9, 9), st.integers(-300, 300), st.integers(0, 52))
def test_the_edges_are_exact(name: str, mu: float, start: float, k: int, digits: int) -> None:
    """At and about each place where the minimiser changes its arc, from far away down to neighbouring floats."""
    r = quadratics(library(name)[1])
    assert r is not None
    graph = _Envelope(r)
    graph.move(mu)
    marks = [m for arc in graph.arcs for m in (arc.start, arc.end) if math.isfinite(m)]
    for mark in (start, *graph.switches, *marks):
        u = mark + k * 2.0**-digits * max(1.0, abs(mark))
        v = library(name)[2].at(mu, tensor(u)).item() if mu > 1 else None
        assert v is None or exact_error(r, mu, u, v) <= 1e-14 * (1 + abs(u))


def test_comparing_energies_loses_half_of_the_digits_where_arcs_touch() -> None:
    """What the graph avoids: beside a kink of r two minima differ by the square of the distance to it."""
    prox, r, moved = library("W-shape")
    shape = quadratics(r)
    assert shape is not None
    u = 1.5 + 1e-9  # mu = 2: flat at 1 for |u - 1| <= 1/2
    by_energies, v = float(advancing(prox, r).at(2.0)(np.array([u]))[0]), moved.at(2, tensor(u)).item()
    assert exact_error(shape, 2.0, u, v) == 0
    assert exact_error(shape, 2.0, u, by_energies) < 1e-8


@st.composite
def shapes(draw: Any) -> PiecewiseMap:
    """A lower semicontinuous piecewise quadratic r: points alone, gaps, jumps, kinks, concave and convex arcs."""
    fourths = st.integers(-12, 12).map(lambda k: sp.Rational(k, 4))
    breaks = sorted(draw(st.lists(fourths, min_size=1, max_size=4, unique=True)))
    inner: list[Any] = []
    for _ in range(len(breaks) - 1):
        a, b, c = (draw(fourths) for _ in range(3))
        inner.append(draw(st.sampled_from([OO, a * X**2 + b * X + c, sp.Rational(1, 4) * X**2 + c, b * X])))
    ends = [draw(st.sampled_from([OO, OO, X**2 / 4 + draw(fourths) * X, draw(fourths) * X])) for _ in range(2)]
    exprs = [ends[0], *inner, ends[1]]
    values = []
    for i, at in enumerate(breaks):
        beside = [e.subs(X, at) for e in (exprs[i], exprs[i + 1]) if e is not OO]
        values.append(min([draw(fourths), *beside]) if not beside or draw(st.booleans()) else min(beside))
    return PiecewiseMap.build(breaks, exprs, values)


@settings(max_examples=200)
@given(shapes(), st.floats(1, 30), st.lists(st.floats(-20, 20), min_size=1, max_size=6))
def test_any_piecewise_quadratic_regularizer(r: PiecewiseMap, mu: float, us: list[float]) -> None:
    shape = quadratics(r)
    assert shape is not None
    graph = _Envelope(shape)
    graph.move(mu)
    u = tensor(*us, *(s + d for s in graph.switches for d in (-1e-3, 0.0, 1e-3)))
    out, other, gate = (torch.empty_like(u) for _ in range(3))
    graph.write(u, out, other, gate)
    assert list(graph.switches) == sorted(graph.switches)
    for x, v in zip(u.tolist(), out.tolist(), strict=True):
        energy = _energies(shape, mu, x)
        # a minimiser, unless the two sides of a jump differ by rounding
        best = _choosing(shape)(Fraction(mu))(Fraction(x))
        assert abs(v - float(best)) <= 1e-12 * (1 + abs(x)) or energy(v) <= energy(float(best)) + 1e-12 * (1 + x * x)


def _energies(r: Quadratics, mu: float, x: float) -> Callable[[float], float]:
    def energy(w: float) -> float:
        pieces = [value for at, value in r.points if abs(float(at) - w) < 1e-13]
        pieces += [(a * w + b) * w + c for low, high, a, b, c in r.arcs if low < w < high]
        return mu * float(min(pieces, default=sp.Integer(10**9))) + w * w / 2 - x * w

    return energy


# --------------------------------------------------------------------------- ties, ends, shapes


def test_ties_and_their_neighbours() -> None:
    binary = moving(prepare("BC"))
    tiny = 5e-324
    assert binary.at(1.5, tensor(0.0, -0.0, tiny, -tiny)).tolist() == [1, 1, 1, -1]
    assert binary.at(1, tensor(0.0, tiny, -tiny)).tolist() == [1, 1, -1]
    shape = moving(prepare("ProxQuant"))  # W-shape, weight 1/4: r = ||w| - 1|/4
    assert shape.at(2, tensor(0.0, -tiny, 0.25, 0.5, 1.5, 1.75)).tolist() == [0.5, -0.5, 0.75, 1, 1, 1.25]
    relax = moving(prepare("BinaryRelax"))  # theta = 1/2: r = (|w| - 1)^2/2
    assert relax.at(3, tensor(0.0, -tiny, 2.0, -2.0)).tolist() == [0.75, -0.75, 1.25, -1.25]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PROX_LIBRARY)
def test_infinities_nan_and_extremes(name: str, dtype: torch.dtype) -> None:
    prox, _, moved = library(name)
    ends = torch.tensor([math.inf, -math.inf, math.nan, 0.3], dtype=dtype)
    found = moved.at(2.5, ends)
    assert torch.equal(found[:2], lower(prox, "torch")(ends)[:2])
    assert found.isnan().tolist() == [False, False, True, False]
    huge = torch.finfo(dtype).max
    far = moved.at(2.5, torch.tensor([huge, -huge, huge / 4, 1e30], dtype=dtype))
    assert far.isfinite().all()
    assert far[0] >= far[2] >= far[3] >= moved.at(2.5, ends)[3] >= far[1]


@pytest.mark.parametrize("name", ["W-shape", "tanh", "binary projection"])
def test_shapes_outputs_and_blocks(name: str) -> None:
    moved = library(name)[2]
    u = torch.randn(2, 3, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2
    want = tensor(*(moved.at(1.75, x).item() for x in u.flatten())).view(2, 3, 5)  # one element, 0-d, at a time
    if moved.kind == "convex":  # Newton steps go on until every element of a block is done
        torch.testing.assert_close(moved.at(1.75, u), want, rtol=0, atol=4e-16)
        want = moved.at(1.75, u)
    strided = u.permute(2, 0, 1)
    assert torch.equal(moved.at(1.75, u), want)
    assert torch.equal(moved.at(1.75, strided), want.permute(2, 0, 1))
    for out in (torch.empty_like(u), torch.empty(5, 3, 2, dtype=torch.float64).permute(2, 1, 0)):
        assert moved.at(1.75, u, out) is out
        assert torch.equal(out, want)
    for within in (u.clone(), strided.clone().permute(1, 2, 0)):
        assert torch.equal(moved.at(1.75, within, within), want)
    assert moved.at(1.75, torch.empty(0, 3)).shape == (0, 3)
    latent = u.clone().requires_grad_()
    assert not moved.at(1.75, latent).requires_grad
    for n in (16383, 16384, 16385, 32769):
        long = u.flatten().repeat(n // 30 + 1)[:n]
        assert torch.equal(moved.at(1.75, long), want.flatten().repeat(n // 30 + 1)[:n])


def test_what_cannot_move_says_why() -> None:
    one = parse("1", {})
    for pair, why in (
        (QuantizerPair(parse("tanh(3*x)", {}), one), "neither piecewise quadratic nor known to be convex"),
        (QuantizerPair(parse("2*x", {}), one), "falls like -w"),
        ("ReSTE-soft", "ReSTE-soft: mu is not advanced: r is neither"),
        (QuantizerPair(parse("-tanh(x)", {}), one, "falling"), "falling: mu is not advanced: no ledger"),
    ):
        with pytest.raises(InputError, match=why):
            moving(prepare(pair))
    moved = library("soft threshold")[2]
    for mu in (0.5, math.nan, math.inf, -1, "2", None):
        with pytest.raises(InputError, match="at least 1"):
            moved.at(mu, torch.zeros(3))
    for bad in (torch.zeros(3, dtype=torch.int64), torch.zeros(3, dtype=torch.float16), np.zeros(3)):
        with pytest.raises(InputError, match="takes float32 or float64"):
            moved.at(2, bad)
    out = torch.ones(3, dtype=torch.float64)
    with pytest.raises(InputError, match="out: a tensor with the shape"):
        moved.at(2, torch.zeros(3), out)
    assert out.tolist() == [1, 1, 1]


def test_an_arc_that_is_straight_at_this_mu_is_left_out() -> None:
    """2 r(w) + w^2/2 = 0 on [-1, 1] for r = -w^2/4."""
    shape = quadratics(PiecewiseMap.build([-1, 1], [OO, -(X**2) / 4, OO], [-sp.Rational(1, 4)] * 2))
    assert shape is not None
    graph = _Envelope(shape)
    graph.move(2.0)
    u = tensor(-1.0, -1e-9, 0.0, 1e-9, 3.0)
    out, other, gate = (torch.empty_like(u) for _ in range(3))
    graph.write(u, out, other, gate)
    assert out.tolist() == [-1, -1, 1, 1, 1]


def test_a_pair_moves_by_the_smallest_regularizer_as_by_the_largest() -> None:
    """They differ in gaps alone, where the smallest is concave once mu > 1."""
    for name in ("BC", "PC", "ProxQuant-ternary", "TWN", "BNN", "PARQ"):
        pair = prepare(name)
        d = pair.verdict.decomposition
        assert d is not None
        assert d.regularizer.largest is not None
        assert pair.prox is not None
        u = torch.from_numpy(points()[:4000])  # without ties, at which energies may be taken for equal or not
        for mu in (1.2, 5.0):
            path = advancing(minimising(pair.prox, d.regularizer.largest), d.regularizer.largest)
            np.testing.assert_allclose(moving(pair).at(mu, u).numpy(), path.at(mu)(u.numpy()), rtol=0, atol=1e-13)


# --------------------------------------------------------------------------- schedules


class Holder:
    """A target; refuses values above ``limit``."""

    def __init__(self, limit: float = math.inf) -> None:
        self.limit, self.seen = limit, []  # type: tuple[float, list[dict[str, Any]]]

    def set(self, **parameters: Any) -> None:
        if any(v > self.limit for v in parameters.values()):
            raise InputError("too much")
        self.seen.append(parameters)


def test_a_schedule_goes_from_end_to_end_in_thousandths() -> None:
    assert train.Schedule is Schedule
    a, b = Holder(), Holder()
    moves = PairSchedule([a, b], "beta", 5, 100, 4, geometric=True)
    values = [moves.value]
    for _ in range(6):
        moves.step()
        values.append(moves.value)
    assert values == [5, sp.Rational(10574, 1000), sp.Rational(22361, 1000), sp.Rational(47287, 1000), 100, 100, 100]
    assert a.seen == b.seen == [{"beta": v} for v in values[:5]]  # the last value is set once
    widths = Holder()
    moves = PairSchedule(widths, ("horizontal", "vertical"), 0, sp.Rational(99, 100), 2)
    moves.step()
    assert widths.seen[-1] == {"horizontal": sp.Rational(495, 1000), "vertical": sp.Rational(495, 1000)}
    assert prepare("PC", **widths.seen[-1]).name == "PC"
    thirds = Holder()
    moves = PairSchedule(thirds, "beta", sp.Rational(1, 3), sp.Rational(1, 7000), 2, geometric=True)
    for _ in range(2):
        moves.step()
    assert [v["beta"] for v in thirds.seen] == [sp.Rational(1, 3), sp.Rational(7, 1000), sp.Rational(1, 7000)]


def test_a_schedule_goes_on_from_its_state() -> None:
    a, b = Holder(), Holder()
    first, second = PairSchedule(a, "beta", 1, 2, 10), PairSchedule(b, "beta", 1, 2, 10)
    for _ in range(3):
        first.step()
    second.load_state_dict(first.state_dict())
    first.step()
    second.step()
    assert first.value == second.value == sp.Rational(14, 10)
    assert b.seen == [{"beta": 1}, {"beta": sp.Rational(13, 10)}, {"beta": sp.Rational(14, 10)}]
    other = PairSchedule(Holder(), "beta", 1, 3, 10)
    for state in (other.state_dict(), {}, {**first.state_dict(), "done": -1}, None, {**first.state_dict(), "steps": 9}):
        with pytest.raises(InputError, match=r"of another schedule|was expected"):
            second.load_state_dict(state)
    assert (second.done, second.value, len(b.seen)) == (4, sp.Rational(14, 10), 3)


def test_a_refused_value_leaves_all_targets_as_they_were() -> None:
    a, b = Holder(), Holder(limit=1.5)
    moves = PairSchedule((a, b), "beta", 1, 2, 2)
    moves.step()
    with pytest.raises(InputError, match="too much"):
        moves.step()
    assert (moves.value, moves.done) == (sp.Rational(3, 2), 1)
    assert a.seen[-1] == b.seen[-1] == {"beta": sp.Rational(3, 2)}


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"targets": ()}, "targets"),
        ({"targets": [Holder(), 3]}, "targets"),
        ({"targets": 5}, "targets"),
        ({"parameters": ()}, "parameters"),
        ({"parameters": 5}, "parameters"),
        ({"parameters": ("a", "a")}, "parameters"),
        ({"first": "x"}, "first"),
        ({"last": sp.sqrt(2)}, "last"),
        ({"steps": 0}, "steps"),
        ({"steps": 2.0}, "steps"),
        ({"first": 0, "geometric": True}, "geometric"),
    ],
)
def test_schedules_that_make_no_sense_are_refused(change: dict[str, Any], why: str) -> None:
    holder = Holder()
    given: dict[str, Any] = {"targets": holder, "parameters": "beta", "first": 1, "last": 2, "steps": 3, **change}
    with pytest.raises(InputError, match=why):
        PairSchedule(**given)
    assert holder.seen == []
