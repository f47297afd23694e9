"""The array program: batched and single runs agree, the ledger closes on the whole grid, refusals, moving T, noise."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.catalogue import CATALOGUE
from theory.errors import InputError, Undecided
from theory.parser import parse
from verify import converge
from verify.ledger import TOLERANCE, domain, on_floats, totals
from verify.problems import problem
from verify.references import objective, reference
from verify.rounding import Rounding
from verify.runs import Shard, batch_of, compute, pair_spec, scheme_of
from verify.schedules import SCHEDULES, schedule, step_sizes
from verify.statements import STATEMENTS, Finding, findings, fitted_order, refusal
from verify.sweep import Batch, Trace, simulate

NAMES = tuple(name for name in sorted(CATALOGUE) if name != "BiPer")  # that one cannot be run, and says so
# a step of it multiplies a difference by up to 20, so runs that differ by rounding part
STABLE = tuple(name for name in NAMES if name != "BiPer-soft")
SOFT = "Piecewise((x + 1/10, x < -1/10), (0, x <= 1/10), (x - 1/10, True)) ; 1"


def single(batch: Batch, a: int, p: int, k: int, s: int) -> Batch:
    return Batch(
        batch.schemes[a : a + 1],
        batch.problems[p : p + 1],
        batch.etas[p : p + 1, k : k + 1],
        batch.starts[p : p + 1, s : s + 1],
        batch.comparators[a : a + 1, p : p + 1],
        None if batch.seeds is None else batch.seeds[s : s + 1],
        None if batch.sharpness is None else batch.sharpness[k : k + 1],
    )


@pytest.mark.parametrize("stochastic", [False, True])
@settings(max_examples=25, deadline=None)
@given(
    pairs=st.lists(st.sampled_from(STABLE), min_size=1, max_size=4, unique=True),
    problems=st.sampled_from([("plane",), ("quadratic", "modulus"), ("diabetes", "huber", "lasso"), ("wide",)]),
    data=st.data(),
)
def test_batched_and_single_runs_agree(
    pairs: list[str], problems: tuple[str, ...], stochastic: bool, data: st.DataObject
) -> None:
    shard = Shard(tuple(map(pair_spec, pairs)), problems, ("sqrt", "half"), (3, 4, 5), 40, stochastic)
    batch = batch_of(shard)
    at = tuple(data.draw(st.integers(0, n - 1)) for n in batch.shape)
    (whole,), (one,) = simulate(batch, deep_every=20), simulate(single(batch, *at), deep_every=20)
    place = int(np.ravel_multi_index(at, batch.shape))
    for name in Trace.__dataclass_fields__:
        if name in ("step", "min_d", "slack", "support", "closure", "closure_second"):  # rounding itself
            continue
        x, y = getattr(whole, name)[..., place], getattr(one, name)[..., 0]
        np.testing.assert_allclose(x, y, rtol=1e-12, atol=1e-12, err_msg=name)


@pytest.mark.parametrize("on", ["plane", "quadratic", "modulus", "diabetes", "wine"])
def test_both_identities_close_on_the_whole_catalogue_and_no_corollary_is_violated(on: str) -> None:
    todo = converge.plan(NAMES, (on,), 50, schedules=("sqrt", "constant", "harmonic"), seeds=2)
    for cell in converge.cells(todo, [compute(s) for s in todo.shards]):
        assert cell.failures == (), (cell.spec.name, cell.schedule)
        if cell.how.regularizer is not None:
            assert max(cell.found["closure"].max(), cell.found["closure_second"].max()) <= TOLERANCE
            assert cell.found["min_d"][-1].min() >= -TOLERANCE
            assert (cell.found["support"][-1].min() < math.inf) == (cell.how.convex is True)
        assert not any(x.violated for x in cell.findings(50)), (cell.spec.name, cell.schedule)


def test_stochastic_runs_do_not_depend_on_their_batch() -> None:
    alone = Shard((pair_spec("BC"),), ("diabetes",), ("sqrt",), (4,), 130, True)
    among = Shard((pair_spec("FP"), pair_spec("BC")), ("huber", "diabetes"), ("half", "sqrt"), (3, 4), 130, True)
    one, many = compute(alone), compute(among)
    found = many["last"].reshape(-1, 2, 2, 2, 2)[:, 1, 1, 1, 1]
    np.testing.assert_allclose(one["last"][:, 0], found, rtol=1e-12, atol=1e-12)
    exact = compute(replace(alone, stochastic=False))
    assert not np.allclose(exact["last"], one["last"])


def test_the_noise_averages_out() -> None:
    """In expectation the convex corollary holds: the means over 200 seeds."""
    todo = converge.plan(("FP", "MD-tanh"), ("plane",), 200, schedules=("sqrt",), seeds=200, stochastic=True)
    for cell in converge.cells(todo, [compute(s) for s in todo.shards]):
        found = [x for x in cell.findings(200) if x.statement.name != "every w"]
        assert {x.statement.name for x in found} == {"convex", "residual"}
        assert all(x.seed is None for x in found)
        assert not any(x.violated for x in found)
        # a bound of half the size would be refuted where it is tight: at the first step
        first = next(x for x in found if x.statement.left == "average")
        assert first.left[0] > 0.25 * first.bound[0]


@pytest.mark.parametrize("pair", ["BNN++", "tanh(x) ; 1 - tanh(x)**2", "BNN"])
def test_the_identity_holds_while_the_transform_moves(pair: str) -> None:
    shard = Shard((pair_spec(pair),), ("plane",), ("sqrt",), (0, 1), 80, sharpness="1 + t/10")
    found = compute(shard)
    assert found["closure"].max() <= TOLERANCE
    assert found["closure_second"].max() <= TOLERANCE
    assert found["min_d"][-1].min() >= -TOLERANCE
    still = compute(replace(shard, sharpness=""))
    assert not np.allclose(found["last"], still["last"])
    # beta = 1 throughout is T itself
    one = compute(replace(shard, sharpness="1"))
    np.testing.assert_allclose(one["last"], still["last"], rtol=1e-12, atol=1e-12)


def test_flips_are_what_the_residual_counts() -> None:
    """r the indicator of {-1, 1}: D_{t+1}(v_t) is 2 |u_{t+1}| for each coordinate that flips, and 0 for the others."""
    from verify.sweep import Sweep

    run = Sweep(batch_of(Shard((pair_spec("BC"),), ("quadratic",), ("sqrt",), (0, 1, 2), 50)))
    total = np.zeros(3)
    for _ in range(50):
        before = run.v
        run.step()
        total += np.sum(2 * np.abs(run.u) * (before != run.v), axis=1)
        np.testing.assert_allclose(run.trace().d_sum, total, rtol=1e-12, atol=1e-12)
    assert total.min() > 0


def test_pairs_without_a_transform_of_their_own_are_not_sharpened() -> None:
    """BC (T = id), BNN+ (a sign field) and a forward map that is not monotone (no ledger) among a pair with one."""
    pairs = tuple(map(pair_spec, ("BC", "BNN+", "5*x/(1 + x**2) ; 1", "BNN++")))
    modes = [scheme_of(p).mode for p in pairs]
    assert modes == ["advance", "sign-field", "none", "advance"]
    shard = Shard(pairs, ("plane",), ("sqrt",), (0,), 20)
    still, moved = (compute(replace(shard, sharpness=beta))["last"][-1] for beta in ("", "1 + t"))
    assert still[:3].tobytes() == moved[:3].tobytes()
    assert still[3] != moved[3]


# --------------------------------------------------------------------------- refusals


def test_a_batch_of_wrong_arrays_is_refused() -> None:
    good = batch_of(Shard((pair_spec("BC"),), ("plane",), ("sqrt",), (0, 1), 5))
    bad: list[tuple[dict[str, Any], str]] = [
        ({"etas": good.etas[:, :, :0]}, "at least one pair, problem, schedule, start and step"),
        ({"etas": -good.etas}, "step sizes must be positive"),
        ({"starts": good.starts * np.nan}, "starts must be finite"),
        ({"comparators": good.comparators[:, :, :1]}, "comparators of shape"),
        ({"seeds": (1, 2, 3)}, "2 seeds were expected"),
        ({"sharpness": np.ones((1, 4))}, "sharpness of shape"),
        ({"problems": (problem("quadratic"),)}, "problems of one dimension"),
        ({"etas": good.etas * np.inf}, "etas must be finite"),
    ]
    for change, words in bad:
        with pytest.raises(InputError, match=words):
            replace(good, **change)
    for marks in ([], [0], [3, 2], [1, 1], [6]):
        with pytest.raises(InputError, match=r"marks must increase within 1\.\.5"):
            simulate(good, marks)


def test_a_comparator_outside_the_domain_is_named() -> None:
    good = batch_of(Shard((pair_spec("BC"),), ("plane",), ("sqrt",), (0, 1), 5))
    with pytest.raises(InputError, match="infinite at a coordinate of the comparator"):
        simulate(replace(good, comparators=good.comparators * 0.5))


def test_a_run_that_diverges_is_named() -> None:
    shard = Shard((pair_spec("BC"), pair_spec("FP")), ("plane",), ("sqrt", "100"), (7,), 400)
    with pytest.raises(InputError, match=r"FP on plane \(100, seed 7\): the run diverged"):
        compute(shard)


@pytest.mark.parametrize(
    ("pair", "on", "how", "steps"),
    [
        ("MD-tanh", "spectrum", "constant", 10_000),  # mu times the rounding of r
        ("500*clip(x-2,-1,1) ; 1/3", "huber", "2/L", 2),  # r of large terms
        ("1000*(sqrt(3)/2)*tanh(sqrt(3)/2*x) ; 1", "diabetes", "sqrt", 3),  # logarithms near the end of dom r
        ("clip(x, -1, 1) ; 1", "modulus", "sqrt", 500),  # a mean of points at 1 rounds to more than 1
        ("3 ; 1", "plane", "sqrt", 30),  # one value throughout
        ("3 ; 0", "plane", "sqrt", 30),  # T has slope 0
        ("0 ; 0", "modulus", "sqrt", 30),
    ],
)
def test_rounding_is_not_taken_for_a_failure(pair: str, on: str, how: str, steps: int) -> None:
    todo = converge.plan((pair,), (on,), steps, schedules=(how,))
    (cell,) = converge.cells(todo, [compute(s) for s in todo.shards])
    assert cell.failures == ()
    found = cell.findings(steps)
    assert not any(x.violated for x in found)
    assert all(np.isfinite(x.left).all() for x in found if x.statement.name in ("convex", "smooth"))


def test_a_second_look_keeps_what_is_really_negative() -> None:
    """r with large terms that cancel: a D_t of rounding size passes, a real one stays, to its last digit."""
    r = parse("10**9*(x - 1)**2 - 10**9*x**2 + 2*10**9*x - 10**9 + Abs(x)", {})
    again = Rounding(r)
    u, v, w = np.array([[2.0]]), np.array([[1.0]]), np.array([[0.5]])
    exact = again.divergence(1.0, u[0], v[0], w[0])  # |w| - |v| + (w - v)((w + v)/2 - u)
    assert exact == -0.5 - 0.5 * (0.75 - 2.0)
    for d, u_at in ((-1e-8, 2.0), (-0.1, 0.5)):
        true = again.divergence(1.0, np.array([u_at]), v[0], w[0])
        found = again.again(np.array([d]), np.zeros(1), TOLERANCE, np.ones(1), np.array([[u_at]]), v, w)
        assert (found[0] >= -TOLERANCE) == (true >= 0 or abs(d) < 1e-3)
    assert again.support(1.0, 2.0, 1.0, 0.5) == 0.5 - 1.0 - 1.0 * (0.5 - 1.0)
    with pytest.raises(Undecided):
        Rounding(parse("Piecewise((0, Abs(x) == 1), (oo, True))", {}, allow_infinity=True)).at(0.5)


def test_a_latent_weight_that_diverges_is_named_although_the_weights_stay_bounded() -> None:
    shard = Shard((pair_spec("(1/1000)*clip(x, -1, 1) ; 1 + x**2"),), ("spectrum",), ("sqrt",), (0,), 100)
    with pytest.raises(InputError, match=r"on spectrum \(sqrt, seed 0\): the run diverged"):
        compute(shard)


@pytest.mark.parametrize("seeds", [2, 5])
def test_few_seeds_do_not_refute_what_holds_in_expectation(seeds: int) -> None:
    for first in range(20):
        todo = converge.plan(("clip(x, -1, 1) ; 1",), ("modulus",), 60, first, seeds=seeds, stochastic=True)
        for cell in converge.cells(todo, [compute(s) for s in todo.shards]):
            assert not any(x.violated for x in cell.findings(60))


def test_many_seeds_refute_what_does_not() -> None:
    """The mutant: a twentieth of the bound."""
    todo = converge.plan(("FP",), ("modulus",), 60, seeds=50, stochastic=True)
    (cell,) = converge.cells(todo, [compute(s) for s in todo.shards])
    parts = {k: a / 20 if k in ("d_first", "pull_sum", "d_sum") else a for k, a in cell.first.items()}
    etas = step_sizes(cell.of, schedule("sqrt"), 60)
    assert any(x.violated for x in findings(parts, cell.how, cell.of, etas, cell.seeds, True) if x.seed is None)


# --------------------------------------------------------------------------- schedules


@pytest.mark.parametrize("name", sorted(SCHEDULES))
@pytest.mark.parametrize("on", ["plane", "modulus", "breast-cancer"])
def test_named_schedules_are_their_formulas(name: str, on: str) -> None:
    of, t = problem(on), np.arange(1.0, 31)
    smooth = of.smoothness if math.isfinite(of.smoothness) else 1 / of.step
    by_hand = {
        "sqrt": 1 / (smooth * np.sqrt(t)),
        "constant": np.full(30, 1 / smooth),
        "half": np.full(30, 0.5 / smooth),
        "harmonic": 1 / (smooth * t),
        "summable": 1 / (smooth * t**2),
        "beyond": np.full(30, 2.5 / smooth),
    }
    np.testing.assert_allclose(step_sizes(of, schedule(name), 30), by_hand[name], rtol=1e-14)


def test_formulas_with_remainders_floors_and_the_length_of_the_run() -> None:
    of = problem("modulus")
    got = step_sizes(of, schedule("G/(L*(1 + mod(t, 3))*sqrt(N))"), 6)
    by_hand = of.lipschitz * of.step / ((1 + np.arange(1, 7) % 3) * np.sqrt(6))
    np.testing.assert_allclose(got, by_hand, rtol=1e-14)
    # a copy: nobody changes the numbers of somebody else
    got[0] = 0
    assert step_sizes(of, schedule("G/(L*(1 + mod(t, 3))*sqrt(N))"), 6)[0] > 0


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=12) | st.sampled_from(["1/0", "exp(9**9**9)", "t**-1e400", "import os", "1/L;", "x", "oo"]))
def test_any_text_is_a_schedule_or_one_sentence(text: str) -> None:
    said, found = "", np.ones(1)
    try:
        found = step_sizes(problem("plane"), schedule(text), 5)
    except InputError as refusal:
        said = str(refusal)
    assert np.all(found > 0)
    assert "\n" not in said.strip()


# --------------------------------------------------------------------------- comparators


@pytest.mark.parametrize("on", ["plane", "quadratic", "diabetes", "breast-cancer", "wine", "spectrum"])
@pytest.mark.parametrize("pair", [SOFT, "MD-tanh", "clip(x, -1, 1) ; 1", "x/2 ; 1"])
def test_the_comparator_of_a_convex_objective_is_its_minimiser(on: str, pair: str) -> None:
    """Against 0 in df(w) + dr(w): s = -grad f(w) is a subgradient of r at w, read off P at mu = 1."""
    of, how = problem(on), scheme_of(pair_spec(pair))
    w = reference(of, how)
    again = how.prox.at(1.0)(w - of.gradient(w))  # w = P(w + s) iff s is in dr(w)
    np.testing.assert_allclose(again, w, rtol=0, atol=2e-7)
    value = objective(of, how)
    rng = np.random.default_rng(0)
    near = how.prox.at(1.0)(how.prox.at(1.0)(w) * 0 + w + 1e-3 * rng.standard_normal((200, of.dimension)))
    assert float(value(near).min()) >= float(value(w)) - 1e-12


def test_the_comparator_over_levels_beats_what_runs_find() -> None:
    for on in ("quadratic", "diabetes"):
        of, how = problem(on), scheme_of(pair_spec("PC"))
        shard = Shard((pair_spec("PC"),), (on,), ("sqrt",), tuple(range(20)), 200)
        assert compute(shard)["best"][-1].min() > -0.05 * abs(float(objective(of, how)(reference(of, how))))


# --------------------------------------------------------------------------- regularizers on floats


def test_levels_that_are_no_floats_keep_a_finite_regularizer() -> None:
    r = parse("Piecewise((0, x == -1/3), (1/7, x == 1/3), (oo, True))", {}, allow_infinity=True)
    total = totals(on_floats(r))
    assert total(np.array([[1 / 3, -1 / 3], [1 / 3, 1 / 3]])).tolist() == [1 / 7, 2 / 7]
    assert np.isinf(total(np.array([[1 / 3, np.nextafter(1 / 3, 1)]]))).all()
    assert np.isinf(totals(r)(np.array([[1 / 3, -1 / 3]]))).all()  # as an exact map it has no such tie


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(allow_nan=False) | st.sampled_from([-1.0, 1.0, 0.0]), min_size=1, max_size=4))
def test_membership_is_what_the_map_says(xs: list[float]) -> None:
    from verify.lowering import lower

    for text in (
        "Piecewise((0, Abs(x) == 1), (oo, True))",
        "Piecewise((oo, Abs(x) < 1), (0, True))",
        "Piecewise((0, Abs(x) <= 1), (oo, True))",
        "0",
    ):
        r = parse(text, {}, allow_infinity=True)
        x = np.array([xs])
        if np.isinf(x).any():
            continue
        np.testing.assert_array_equal(totals(r)(x), np.broadcast_to(lower(r)(x), x.shape).sum(axis=1))
        assert domain(r)


# --------------------------------------------------------------------------- statements


def test_the_fitted_order_of_a_power() -> None:
    t = np.geomspace(1, 1e4, 90)
    for p in (0.5, 1.0, 2.0):
        found = fitted_order(t, 3 * t**-p)
        assert found.order == pytest.approx(p, abs=1e-9)
        assert found.low <= found.order <= found.high
    noisy = fitted_order(t, t**-1.0 * np.exp(0.3 * np.random.default_rng(0).standard_normal(90)))
    assert noisy.low < 1.0 < noisy.high
    assert noisy.high - noisy.low > 0.05
    assert math.isnan(fitted_order(t, t - 2000.0).order)
    assert math.isnan(fitted_order(t[:3], t[:3]).order)


def test_a_statement_that_is_violated_is_reported() -> None:
    """The mutant: half the left side of the bound, and the bound of the exact minimum moved."""
    todo = converge.plan(("MD-tanh",), ("quadratic",), 100, schedules=("constant",))
    (cell,) = converge.cells(todo, [compute(s) for s in todo.shards])
    names = {x.statement.name for x in cell.findings(100)}
    assert names == {s.name for s in STATEMENTS}
    assert not any(x.violated for x in cell.findings(100))
    cells = dict(cell.first)
    for field in ("d_first", "pull_sum", "d_sum"):
        cells[field] = cells[field] / 50
    etas = step_sizes(cell.of, schedule("constant"), 100)
    wrong = {x.statement.name for x in findings(cells, cell.how, cell.of, etas, cell.seeds, False) if x.violated}
    assert {"convex", "residual", "every w"} <= wrong


CASES = [
    ("FP", "plane", "constant", "smooth", ""),
    ("FP", "plane", "beyond", "smooth", "some eta_t exceeds 1/L"),
    ("FP", "modulus", "constant", "smooth", "the gradient of f is not Lipschitz"),
    ("BC", "plane", "constant", "convex", "r is not convex"),
    ("BC", "plane", "constant", "residual", ""),
    ("BNN++", "plane", "constant", "residual", "T is not affine"),
    ("BNN+", "plane", "constant", "residual", "g = B*grad f is no gradient"),
    ("BNN+", "plane", "constant", "every w", ""),
    ("2*x ; 2", "plane", "constant", "smooth", "some eta_t exceeds 1/L"),
    ("x/2 ; 1/2", "plane", "constant", "smooth", ""),
]


@pytest.mark.parametrize(("pair", "on", "steps", "statement", "words"), CASES)
def test_statements_are_claimed_where_their_hypotheses_hold(
    pair: str, on: str, steps: str, statement: str, words: str
) -> None:
    of = problem(on)
    said = refusal(statement, scheme_of(pair_spec(pair)), of, step_sizes(of, schedule(steps), 10), False)
    assert said.startswith(words)
    assert bool(said) == bool(words)


def test_stochastic_gradients_are_not_exact_ones() -> None:
    of = problem("plane")
    assert "not exact" in refusal("smooth", scheme_of(pair_spec("FP")), of, np.array([0.01]), True)


def test_ratio_and_violation_of_a_finding() -> None:
    x = Finding(STATEMENTS[0], 0, np.array([1.0, 2.0]), np.array([2.0, 0.0]), np.array([-1.0, 2.0]))
    assert x.violated
    assert x.ratio[0] == 0.5
    assert np.isnan(x.ratio[1])
    assert not Finding(STATEMENTS[0], 0, x.left, x.bound, np.array([-1.0, 0.0])).violated
