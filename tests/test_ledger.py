"""The ledger and PC++: exact identities, closing in float64, D_t >= 0, and the mutants that must fail.

Regularizers here are the declarations of the literature, never what our own `decide` computes, but for
the tests of whole experiments, which run the product as it is.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.catalogue import CATALOGUE, PROX_LIBRARY, lookup, lookup_prox
from theory.decision import decide
from theory.errors import InputError
from theory.maps import IDENTITY, PiecewiseMap
from theory.pairs import QuantizerPair
from theory.parser import parse
from verify import converge
from verify.ledger import TOLERANCE, Ledger, brute_force, domain, identity_sides, scalars
from verify.lowering import lower
from verify.problems import PROBLEMS, Array, problem
from verify.proxconnect import advancing, decomposed_step, minimising, pair_step, scheme, trajectory
from verify.references import reference
from verify.runs import marks, starting_point
from verify.schedules import schedule, step_sizes
from verify.sweep import Batch, simulate

Prox = Callable[[Array], Array]


# --------------------------------------------------------------------------- exact arithmetic

FRACTIONS = st.fractions(min_value=-4, max_value=4, max_denominator=60)
POSITIVE = st.fractions(min_value=Fraction(1, 60), max_value=2, max_denominator=60)


def sign(u: Fraction, _: Fraction) -> Fraction:
    return Fraction(1 if u >= 0 else -1)


def soft(u: Fraction, mu: Fraction) -> Fraction:
    """Soft threshold at mu/2: the proximal map of mu |w| / 2."""
    return max(abs(u) - mu / 2, Fraction(0)) * (1 if u > 0 else -1)


def zero(_: Fraction) -> Fraction:
    return Fraction(0)


def half_modulus(w: Fraction) -> Fraction:
    return abs(w) / 2


@st.composite
def exact_runs(draw: st.DrawFn, advance: bool) -> dict[str, Any]:
    d, steps = draw(st.integers(1, 3)), draw(st.integers(1, 5))
    vector = st.lists(FRACTIONS, min_size=d, max_size=d)
    etas = draw(st.lists(POSITIVE, min_size=steps, max_size=steps))
    mus = [Fraction(1)]
    for eta in etas:
        mus.append(mus[-1] + eta if advance else mus[-1])
    gs = draw(st.lists(vector, min_size=steps, max_size=steps))
    us = [draw(vector)]
    for eta, g in zip(etas, gs, strict=True):
        us.append([a - eta * b for a, b in zip(us[-1], g, strict=True)])
    return {"us": us, "gs": gs, "etas": etas, "mus": mus, "comparator": draw(vector)}


def apply(prox: Callable[[Fraction, Fraction], Fraction], run: dict[str, Any]) -> list[list[Fraction]]:
    return [[prox(a, mu) for a in u] for u, mu in zip(run["us"], run["mus"], strict=True)]


@pytest.mark.parametrize(("prox", "r"), [(sign, zero), (soft, half_modulus)])
@pytest.mark.parametrize("advance", [True, False])
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_both_identities_are_equalities_of_rationals(prox: Any, r: Any, advance: bool, data: st.DataObject) -> None:
    run = data.draw(exact_runs(advance))
    if r is zero:
        run["comparator"] = [sign(a, Fraction(1)) for a in run["comparator"]]
    sides = identity_sides(vs=apply(prox, run), r=r, **run)
    assert sides.first[0] == sides.first[1]
    assert sides.second[0] == sides.second[1]
    assert isinstance(sides.first[0], Fraction)
    # a wrong P leaves both equal: they are algebra
    wrong = [[a / 3 if r is half_modulus else -a for a in v] for v in apply(prox, run)]
    sides = identity_sides(vs=wrong, r=r, **run)
    assert sides.first[0] == sides.first[1]
    assert sides.second[0] == sides.second[1]


@settings(max_examples=40, deadline=None)
@given(exact_runs(True))
def test_a_wrong_step_or_a_forgotten_term_opens_the_identity(run: dict[str, Any]) -> None:
    run["us"][-1] = [a + Fraction(1, 7) for a in run["us"][-1]]
    vs = apply(soft, run)
    sides = identity_sides(vs=vs, r=half_modulus, **run)
    shift = sum((a - b) / 7 for a, b in zip(run["comparator"], vs[-2], strict=True))
    assert sides.first[0] - sides.first[1] == -shift or sides.first[0] - sides.first[1] == shift


@settings(max_examples=40, deadline=None)
@given(exact_runs(True), st.sampled_from([(sign, zero), (soft, half_modulus)]))
def test_the_float_ledger_agrees_with_the_exact_one(run: dict[str, Any], maps: Any) -> None:
    prox, r = maps
    r_text = {"zero": "Piecewise((oo, x < -1), (0, x == -1), (oo, x < 1), (0, x == 1), (oo, True))"}
    own = parse(r_text.get(r.__name__, "Abs(x)/2"), {}, allow_infinity=True)
    if r is zero:
        run["comparator"] = [sign(a, Fraction(1)) for a in run["comparator"]]
    vs = apply(prox, run)
    sides = identity_sides(vs=vs, r=r, **run)

    def batch(row: list[Fraction]) -> Array:
        return np.array([[float(a) for a in row]])

    book = Ledger.of_one(batch(run["us"][0]), batch(vs[0]), batch(run["comparator"]), own)
    for t, eta in enumerate(run["etas"]):
        book.step(float(eta), batch(run["gs"][t]), batch(run["us"][t + 1]), batch(vs[t + 1]), float(run["mus"][t + 1]))
    row = book.row()
    np.testing.assert_allclose(row.left[0, 0], float(sides.first[0]), rtol=0, atol=1e-13 * (1 + row.abs_sum[0, 0]))
    assert row.closure[0, 0] < TOLERANCE
    assert row.closure_second[0, 0] < TOLERANCE


# --------------------------------------------------------------------------- closing in float64


def random_run(
    r: PiecewiseMap, prox: Callable[[float], Prox], advance: bool, convex: bool = False, steps: int = 300
) -> Ledger:
    """Three runs of 4 coordinates with arbitrary gradients: the identity needs no f."""
    rng = np.random.default_rng(5)
    u, mu = rng.standard_normal((3, 4)), 1.0
    spans = domain(r)
    nearest = np.stack([np.clip(rng.standard_normal(4), lo, hi) for lo, hi in spans])
    book = Ledger.of_one(u, prox(mu)(u), nearest[-1], r, mu, convex)
    for t in range(1, steps + 1):
        g, eta = rng.standard_normal((3, 4)), 0.5 / float(np.sqrt(t))
        u = u - eta * g
        mu = mu + eta if advance else mu
        book.step(eta, g, u, prox(mu)(u), mu)
        row = book.row()
        assert row.closure.max() <= TOLERANCE
        assert row.closure_second.max() <= TOLERANCE
    return book


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
def test_every_library_prox_closes_with_its_literature_regularizer(name: str) -> None:
    entry = lookup_prox(name)
    r, prox = entry.literature_regularizer(), lower(entry.map())
    assert random_run(r, lambda _: prox, False, entry.convex).sound()


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
def test_advancing_mu_with_the_literature_regularizer(name: str) -> None:
    entry = lookup_prox(name)
    r = entry.literature_regularizer()
    prox = minimising(entry.map(), r)
    assert random_run(r, advancing(prox, r, entry.convex).at, True, entry.convex).sound()


def test_mu_is_not_advanced_for_a_nonconvex_r_with_curved_pieces() -> None:
    pair = QuantizerPair(parse("tanh(3*x)", {}), parse("1", {}))
    run = scheme(pair)
    assert run.mode == "fixed"
    assert "neither piecewise quadratic nor known to be convex" in run.reason


def test_a_prox_that_does_not_move_with_mu_is_caught() -> None:
    entry = lookup_prox("soft threshold")
    frozen = lower(entry.map())
    book = random_run(entry.literature_regularizer(), lambda _: frozen, True, True)
    assert not book.sound()
    assert book.min_d.min() < -1e-3


MUTANTS = [
    ("binary projection", "Piecewise((-1, x < 3/10), (1, True))"),
    ("box", "clip(x, -1, 1)*9/10"),
    ("soft threshold", "sign(x)*Max(Abs(x) - 3/5, 0)"),
    ("ternary projection", "Piecewise((-1, x < -3/4), (0, x < 1/2), (1, True))"),
    ("hard threshold", "Piecewise((x, Abs(x) > 3/2), (0, True))"),
    ("tanh", "tanh(x)*99/100"),
]


@pytest.mark.parametrize(("name", "wrong"), MUTANTS)
def test_a_wrong_prox_closes_but_is_caught(name: str, wrong: str) -> None:
    r, mutant = lookup_prox(name).literature_regularizer(), lower(parse(wrong, {}))
    book = random_run(r, lambda _: mutant, False)  # asserts at every step that (I) and (II) close
    assert not book.sound()
    u = np.linspace(-3, 3, 241)
    at, best = mutant(u), brute_force(lower(r), u, 1.0, np.linspace(-4, 4, 1601))
    assert (energy(r, at, u) - energy(r, best, u)).max() > 1e-4


def energy(r: PiecewiseMap, s: Array, u: Array) -> Array:
    return np.asarray(lower(r)(s) + s * s / 2 - s * u)


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
def test_the_library_maps_are_brute_force_minimisers(name: str) -> None:
    entry = lookup_prox(name)
    r = entry.literature_regularizer()
    u = np.concatenate([np.linspace(-3.03, 3.01, 400), [1e-9, -1e-9, 0.5 + 1e-9, 1.0, -1.0]])
    grid = np.unique(np.concatenate([np.linspace(-5, 5, 4001), scalars(r)]))
    best = energy(r, brute_force(lower(r), u, 1.0, grid), u)
    v = lower(entry.map())(u)
    finite = np.isfinite(lower(r)(v))  # a tie such as sign(0) = 0 need not lie in dom r
    assert finite.sum() >= len(u) - 1
    excess = (energy(r, v, u) - best)[finite]
    assert excess.max() <= 1e-12
    assert excess.min() >= -1e-5  # the brute force itself is only as good as its grid


def test_the_inequalities_for_convex_r_reject_a_nonconvex_one() -> None:
    entry = lookup_prox("binary projection")
    prox = lower(entry.map())
    book = random_run(entry.literature_regularizer(), lambda _: prox, False, convex=True)
    assert book.min_d.min() >= -TOLERANCE
    assert book.slack.min() < -1e-3
    assert not book.sound()


def test_another_step_than_the_one_taken_is_seen() -> None:
    """The mutant of the account: a ledger told another gradient than the one that moved u."""
    u, g = np.array([[0.4, -0.8]]), np.array([[1.0, 2.0]])
    for slip, sound in ((1e-9, False), (1e-14, False), (0.0, True)):
        book = Ledger.of_one(u, u, np.zeros(2), PiecewiseMap.of(0))
        after = u - 0.1 * g * (1 + slip)
        book.step(0.1, g, after, after)
        assert book.sound() == sound


def test_a_closure_error_is_seen() -> None:
    """The mutant of the algebra: mu moves, and the ledger's D_t are told another mu."""
    r = parse("Abs(x)/2", {})
    u, g = np.array([[0.4, -0.8]]), np.array([[1.0, 2.0]])
    path = advancing(lookup_prox("soft threshold").map(), r)
    for slip, closes in ((1e-9, False), (0.0, True)):
        book = Ledger.of_one(u, path.at(1.0)(u), np.zeros(2), r)
        for eta in (0.5, 0.25):
            after, mu = book.u - eta * g, float(book.mu[0]) + eta
            book.step(eta, g, after, path.at(np.array(mu))(after), mu)
            book.mu = book.mu + slip
        row = book.row()
        assert (row.closure[0, 0] <= TOLERANCE) == closes
        assert (row.closure_second[0, 0] <= TOLERANCE) == closes


def test_flips_residual_and_bound_of_binary_weights() -> None:
    """A coordinate of sign adds 2 |u_{t+1}| to the residual when it flips, else 0 (docs/mathematics.md, section 4)."""
    r, prox = lookup_prox("binary projection").literature_regularizer(), lower(parse("sign(x)", {}))
    u = np.array([[0.5, -0.25, 0.75]])
    book = Ledger.of_one(u, prox(u), np.ones(3), r)
    g = np.array([[2.0, 0.0, -1.0]])
    book.step(0.5, g, u - 0.5 * g, prox(u - 0.5 * g))
    row = book.row()
    assert row.flips.tolist() == [1]
    assert row.d_sum.tolist() == [2 * 0.5]
    assert row.residual.tolist() == [2.0]
    assert row.bound.tolist() == [[(2 * 0.25 + 2 * 0.5) / 0.5]]


def test_an_infinite_regularizer_is_refused() -> None:
    r = lookup_prox("binary projection").literature_regularizer()
    u = np.zeros((1, 2))
    with pytest.raises(InputError, match="infinite at a coordinate of v_1"):
        Ledger.of_one(u, u, np.ones(2), r)
    with pytest.raises(InputError, match="comparator"):
        Ledger.of_one(u, u + 1, np.zeros(2), r)


def test_domains() -> None:
    def of(text: str) -> Any:
        return domain(parse(text, {}, allow_infinity=True))

    inf = float("inf")
    assert of("0") == ((-inf, inf),)
    assert of("Piecewise((oo, Abs(x) < 1), (0, True))") == ((-inf, -1.0), (1.0, inf))
    assert of("Piecewise((oo, x < -1), (x, x <= 0), (2*x, x <= 1), (oo, True))") == ((-1.0, 1.0),)
    below = float(np.nextafter(1, 0))
    assert of("Piecewise((1/(1 - x**2), Abs(x) < 1), (oo, True))") == ((-below, below),)
    assert of("Piecewise((1 - x, x < 1), (oo, x == 1), (x, True))") == ((-inf, below), (float(np.nextafter(1, 2)), inf))
    binary = "Piecewise((oo, x < -1), (0, x == -1), (oo, x < 1), (0, x == 1), (oo, True))"
    assert of(binary) == ((-1.0, -1.0), (1.0, 1.0))


# --------------------------------------------------------------------------- PC++


def _styles(name: str, gradient: Callable[[Array], Array]) -> Any:
    pair = lookup(name).pair()
    d = decide(pair).decomposition
    assert d is not None
    assert d.transform is not None
    assert d.slope is not None
    assert d.prox is not None
    own = pair_step(lower(pair.forward), lower(pair.backward), gradient)
    return own, decomposed_step(lower(d.transform), lower(d.slope), lower(d.prox), gradient)


@pytest.mark.parametrize("name", ["BNN", "BC", "FP"])
@pytest.mark.parametrize("on", sorted(PROBLEMS))
def test_pair_and_decomposition_give_the_same_bits(name: str, on: str) -> None:
    of = problem(on)
    by_pair, by_parts = _styles(name, of.gradient)
    start = np.random.default_rng(1).standard_normal((3, of.dimension))
    start[:3, 0] = (1.0, -1.0, 0.0)  # the ties of F and B
    etas = step_sizes(of, schedule("sqrt"), 1000)
    runs = (trajectory(step, start, etas) for step in (by_pair, by_parts))
    count = 0
    for left, right in zip(*runs, strict=True):
        assert all(a.tobytes() == b.tobytes() for a, b in zip(left, right, strict=True))
        count += 1
    assert count == 1000


def test_another_prox_gives_other_bits() -> None:
    of = problem("diabetes")
    by_pair, _ = _styles("BNN", of.gradient)
    clip, t = lower(parse("clip(x, -1, 1)", {})), lower(parse("Piecewise((1, Abs(x) <= 1), (0, True))", {}))
    wrong = decomposed_step(clip, t, lower(parse("sign(x)", {})), of.gradient)
    start, etas = np.random.default_rng(1).standard_normal((3, of.dimension)), step_sizes(of, schedule("sqrt"), 300)
    *_, (u, _, _) = trajectory(by_pair, start, etas)
    *_, (other, _, _) = trajectory(wrong, start, etas)
    assert not np.array_equal(u, other)


@settings(max_examples=100, deadline=None)
@given(st.floats(1, 50), st.floats(-30, 30), st.sampled_from(sorted(PROX_LIBRARY)))
def test_advanced_prox_is_the_brute_force_minimiser(mu: float, u: float, name: str) -> None:
    entry = lookup_prox(name)
    r = entry.literature_regularizer()
    at = np.array([u])
    v = advancing(minimising(entry.map(), r), r, entry.convex).at(mu)(at)
    grid = np.unique(np.concatenate([np.linspace(-31, 31, 2001), scalars(r)]))
    s = brute_force(lower(r), at, mu, grid)

    def value(p: Array) -> Any:
        return (mu * lower(r)(p) + p * p / 2 - p * at)[0]

    assert value(v) <= value(s) + 1e-12 * (1 + u * u)


def test_modes_and_refusals() -> None:
    modes = {name: scheme(lookup(name).pair()).mode for name in converge.METHODS}
    assert modes == {
        "FP": "advance",
        "BC": "advance",
        "PC": "advance",
        "BNN": "advance",
        "BNN+": "sign-field",
        "BNN++": "advance",
        "MD-tanh": "advance",
        "ApproxSign": "sign-field",
    }
    with pytest.raises(InputError, match="needs a principled pair"):
        scheme(lookup("BNN+").pair(), mode="fixed")
    steep = QuantizerPair(parse("tanh(3*x)", {}), parse("1", {}))
    with pytest.raises(InputError, match="neither piecewise quadratic nor"):
        scheme(steep, mode="advance")
    assert scheme(QuantizerPair(IDENTITY, parse("1", {})), mode="fixed").mode == "fixed"


def test_no_ledger_where_the_forward_map_is_not_monotone() -> None:
    swish = lookup("BNN++").pair().forward
    run = scheme(QuantizerPair(swish, PiecewiseMap.of(1)))
    assert run.mode == "none"
    assert "not a proximal map" in run.reason
    of = problem("quadratic")
    start = starting_point(of, 0)
    etas = step_sizes(of, schedule("sqrt"), 1)
    batch = Batch((run,), (of,), etas[None, None], start[None, None], of.minimiser[None, None])
    (trace,) = simulate(batch)
    assert np.isnan(trace.closure).all()
    assert np.isnan(trace.min_d).all()
    np.testing.assert_array_equal(trace.last, of.value(lower(swish)(start)) - of.value(of.minimiser))


# --------------------------------------------------------------------------- problems and the experiment


def test_unknown_names_and_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="unknown problem"):
        problem("rosenbrock")
    with pytest.raises(InputError, match="unknown quantizer"):
        converge.run(tmp_path, methods=("nonsense",))
    with pytest.raises(InputError, match="number of steps"):
        converge.run(tmp_path, steps=0)
    with pytest.raises(InputError, match="seed"):
        converge.run(tmp_path, seed=-1)


def test_the_experiment_writes_ledgers_that_close(tmp_path: Path) -> None:
    done: list[int] = []
    problems = ("quadratic", "diabetes")
    converge.run(tmp_path / "a", 3, 150, done.append, problems=problems)
    assert sum(done) == len(converge.METHODS) * len(problems) * converge.SEEDS * 150
    folder = tmp_path / "a" / "convergence"
    with (folder / "summary.csv").open() as file:
        summary = list(csv.DictReader(file))
    assert tuple(summary[0]) == converge.SUMMARY_HEADER
    assert {(s["problem"], s["method"]) for s in summary} == {(p, m) for p in problems for m in converge.METHODS}
    for line in summary:
        assert "FAILS" not in line["note"]
        assert float(line["max_closure_error"]) <= TOLERANCE
        assert float(line["min_D"]) >= -TOLERANCE
        with (folder / f"ledger_{line['problem']}_{line['method']}.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [int(row["step"]) for row in rows] == marks(150)
        for row in rows:
            assert tuple(row) == converge.LEDGER_HEADER
            left, abs_sum = float(row["left"]), float(row["abs_sum"])
            right = float(row["d_first"]) - float(row["d_last"]) + float(row["d_sum"])
            assert abs(left - right) <= TOLERANCE * abs_sum
            assert float(row["closure_error"]) <= TOLERANCE
            if row["bound"]:
                best, average, bound = (float(row[k]) for k in ("gap_best", "gap_mean", "bound"))
                assert best <= average + 1e-12
                assert average <= bound + 1e-12
    bounded = {s["method"] for s in summary if s["bound"]}
    assert bounded == {"FP", "BC", "PC", "MD-tanh"}
    with (folder / "statements.csv").open() as file:
        assert {row["violated"] for row in csv.DictReader(file)} == {"no"}
    converge.run(tmp_path / "b", 3, 150, problems=problems)
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        assert path.read_bytes() == (tmp_path / "b" / "convergence" / path.relative_to(folder)).read_bytes()


def test_full_precision_reaches_the_minimum(tmp_path: Path) -> None:
    (line,) = converge.run(tmp_path, 0, 1000, methods=("FP",), problems=("quadratic",))
    assert dict(zip(converge.SUMMARY_HEADER, line, strict=True))["gap_last"] < 1e-6


def test_the_comparator_is_the_best_binary_point() -> None:
    of = problem("diabetes")
    every = np.stack(np.meshgrid(*[[-1.0, 1.0]] * of.dimension, indexing="ij"), axis=-1).reshape(-1, of.dimension)
    w = reference(of, scheme(lookup("BC").pair()))
    assert of.value(w) == of.value(every).min()


def test_every_method_is_catalogued() -> None:
    assert set(converge.METHODS) <= set(CATALOGUE)
    assert sp.Integer(0) == scheme(lookup("FP").pair()).regularizer.constant  # type: ignore[union-attr]  # FP has r = 0
