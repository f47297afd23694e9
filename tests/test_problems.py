"""The convex problems: value, gradient, L, G, minimiser and stochastic gradients, each against an independent
computation: `PLAIN` writes every f again from its data, as plainly as can be."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from scipy.fft import dct
from scipy.optimize import least_squares as smallest_squares
from scipy.optimize import root
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine

import proxpair
from theory.errors import InputError
from verify.commands import PROBLEM_NAMES
from verify.problems import (
    BATCH,
    NAMES,
    PROBLEMS,
    SIGMA,
    USUAL,
    Array,
    Problem,
    best_binary,
    least_squares,
    logistic,
    problem,
)
from verify.rational import modulus_gradient, quadratic_gradient

KINKED = ("lasso", "modulus")
SMOOTH = sorted(set(PROBLEMS) - set(KINKED))


# --------------------------------------------------------------------------- every f, written again


def scaled(a: Array) -> Array:
    return (a - np.mean(a, axis=0)) / np.std(a, axis=0)


def diabetes_data() -> tuple[Array, Array]:
    x, y = load_diabetes(return_X_y=True, scaled=False)
    return scaled(x), scaled(y)


def sine_data(n: int, d: int, power: int) -> tuple[Array, Array]:
    i, k = np.mgrid[1 : n + 1, 1 : d + 1].astype(float)
    x = math.sqrt(2) * np.sin(i**power * k * math.sqrt(2))
    w0 = [1.0 if math.sin(3 * j) >= 0 else -1.0 for j in range(1, d + 1)]
    return x, x @ w0 + [math.sin(5 * j) for j in range(1, n + 1)]


def signed_data(name: str) -> Array:
    """Rows y_i x_i of the two logistic regressions."""
    x, classes = (load_breast_cancer if name == "breast-cancer" else load_wine)(return_X_y=True)
    return scaled(x) * np.where(classes == 1, 1, -1)[:, None]


def residuals(name: str) -> Callable[[Array], Array] | None:
    """r with f(w) = |r(w)|^2/2 + a constant for least squares, quadratics; None for the others."""
    sine = 1.5 * np.sin(2 * np.arange(1, 101))
    data = {"diabetes": diabetes_data, "binary": lambda: sine_data(24, 12, 1)}
    data["wide-least-squares"] = lambda: sine_data(300, 100, 2)
    if name in data:
        x, y = data[name]()
        return lambda w: (x @ w - y) / math.sqrt(len(y))
    quadratics: dict[str, Callable[[Array], Array]] = {
        # e1^2/2 + 3/5 e1 e2 + 2/5 e2^2 = ((e1 + 3/5 e2)^2 + 11/25 e2^2)/2
        "plane": lambda w: np.array([w[0] - 0.7 + 0.6 * (w[1] + 0.3), math.sqrt(0.44) * (w[1] + 0.3)]),
        "quadratic": lambda w: (
            np.append(
                np.sqrt(np.arange(1, 7)) * (w - [0.3, -0.7, 1.4, -1.2, 0.05, -0.4]),
                np.sum(w - [0.3, -0.7, 1.4, -1.2, 0.05, -0.4]),
            )
            / math.sqrt(6)
        ),
        "spectrum": lambda w: np.sqrt(1000.0 ** (-np.arange(20) / 19)) * dct(w - sine[:20], norm="ortho"),
        "wide": lambda w: np.sqrt(0.01 ** (np.arange(100) / 99)) * dct(w - sine, norm="ortho"),
    }
    return quadratics.get(name)


def plain(name: str) -> Callable[[Array], float]:
    """f(w) for w (d,)."""
    squares = residuals(name)
    if squares is not None:
        return lambda w: float(np.sum(squares(w) ** 2)) / 2
    if name in ("breast-cancer", "wine"):
        z = signed_data(name)
        return lambda w: float(np.mean(np.logaddexp(0, -z @ w)) + w @ w / (2 * len(z)))
    if name == "modulus":
        a, c = np.array([1, 1 / 2, 3 / 4, 1 / 3, 5 / 4, 2 / 3]), np.array([0.6, -0.3, 1.25, -1.4, 0.05, -0.8])
        return lambda w: float(a @ np.abs(w - c))
    x, y = diabetes_data()
    if name == "lasso":
        return lambda w: float(np.mean((x @ w - y) ** 2) / 2 + 0.1 * np.sum(np.abs(w)))
    assert name == "huber", f"{name} is not written again: add it"
    return lambda w: float(np.mean([e * e / 2 if abs(e) <= 0.5 else abs(e) / 2 - 0.125 for e in x @ w - y]))


def convex_program(name: str) -> Array:
    """The minimiser of lasso, huber or modulus by CLARABEL, from the data."""
    import cvxpy as cp

    x, y = diabetes_data()
    w = cp.Variable(6 if name == "modulus" else 10)
    if name == "lasso":
        f = cp.sum_squares(x @ w - y) / (2 * len(y)) + 0.1 * cp.norm1(w)
    elif name == "huber":
        f = cp.sum(cp.huber(x @ w - y, 0.5)) / (2 * len(y))  # cvxpy's huber is twice ours
    else:
        c = np.array([0.6, -0.3, 1.25, -1.4, 0.05, -0.8])
        f = np.array([1, 1 / 2, 3 / 4, 1 / 3, 5 / 4, 2 / 3]) @ cp.abs(w - c)
    accuracy = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-13)
    cp.Problem(cp.Minimize(f)).solve(solver=cp.CLARABEL, **accuracy)
    return np.asarray(w.value)


def solved(name: str) -> Array:
    """The minimiser by a general solver that knows nothing of `Problem`."""
    squares, d = residuals(name), problem(name).dimension
    if squares is not None:
        exact: dict[str, Any] = dict.fromkeys(("ftol", "xtol", "gtol"), 1e-15)
        return np.asarray(smallest_squares(squares, np.zeros(d), **exact).x)
    if name in ("breast-cancer", "wine"):
        z = signed_data(name)

        def slope(w: Array) -> Array:
            return -np.mean(z / (1 + np.exp(z @ w))[:, None], axis=0) + w / len(z)

        found = root(slope, np.zeros(d), method="hybr", options={"xtol": 1e-14, "maxfev": 100_000})
        assert np.abs(slope(found.x)).max() < 1e-9
        return np.asarray(found.x)
    return convex_program(name)


def defect(of: Problem, f: Callable[[Array], float], found: Array) -> str:
    """Why ``found``, a minimiser of f, contradicts ``of.minimiser``; empty if it does not."""
    gap = f(of.minimiser) - f(found)
    if abs(gap) > 1e-10:
        return f"value gap {gap:.3g}"
    # the Hessians' least eigenvalues are 1e-3 and more
    distance = float(np.max(np.abs(of.minimiser - found)))
    return f"distance {distance:.3g}" if distance > 1e-5 else ""


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_a_solver_finds_the_same_minimiser(name: str) -> None:
    of, f, found = problem(name), plain(name), solved(name)
    assert defect(of, f, found) == ""
    # mutants: the minimiser moved by 1e-4, along every axis
    for move in np.vstack([np.eye(of.dimension), -np.eye(of.dimension)]) * 1e-4:
        assert defect(replace(of, minimiser=of.minimiser + move), f, found) != ""


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_value_is_that_of_the_formula(name: str) -> None:
    of, f = problem(name), plain(name)
    for w in (*np.random.default_rng(5).standard_normal((5, of.dimension)), of.minimiser, np.zeros(of.dimension)):
        assert math.isclose(float(of.value(w)), f(w), rel_tol=1e-12, abs_tol=1e-14)
    assert not math.isclose(float(of.value(w + 0.1)), f(w), rel_tol=1e-12)


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_both_takes_any_batch(name: str) -> None:
    of = problem(name)
    w = np.random.default_rng(6).standard_normal((41, 3, 50, of.dimension))  # more than one block of residuals
    value, gradient = of.both(w)
    assert (value.shape, gradient.shape) == (w.shape[:-1], w.shape)
    np.testing.assert_array_equal(of.value(w), value)
    np.testing.assert_array_equal(of.gradient(w), gradient)
    for k in ((0, 0, 0), (20, 1, 7), (40, 2, 49)):
        one, slope = of.both(w[k])
        assert (np.shape(one), slope.shape) == ((), w[k].shape)
        np.testing.assert_allclose(one, value[k], rtol=1e-12)
        np.testing.assert_allclose(slope, gradient[k], rtol=1e-11, atol=1e-13)
    across = np.asfortranarray(w[:4])  # another layout in memory
    np.testing.assert_allclose(of.both(across)[0], value[:4], rtol=1e-12)
    kept = w.copy()
    of.sampled(w, of.draw(np.random.default_rng(0), 50))
    np.testing.assert_array_equal(w, kept)


def test_logistic_losses_neither_overflow_nor_lose_small_derivatives() -> None:
    of = logistic("two", [[1.0], [1.0]], [0, 1])
    far = np.array([[800.0], [-800.0]])  # losses 800 and 0, mean 400, and the ridge term 800^2/4
    np.testing.assert_allclose(of.value(far), [400 + 160_000.0] * 2, rtol=1e-15)
    np.testing.assert_allclose(of.gradient(far)[:, 0], [400.5, -400.5], rtol=1e-15)
    many = logistic("many", np.full((3000, 1), 1.0), np.arange(3000) % 3 == 0)  # products of 512 factors each
    w = 0.3
    loss = (2 * np.logaddexp(0, w) + np.logaddexp(0, -w)) / 3 + w * w / 6000
    np.testing.assert_allclose(many.value(np.array([w])), loss, rtol=1e-14)


# --------------------------------------------------------------------------- stochastic gradients


def all_rows(of: Problem) -> int:
    """n of a data problem: no drawn number reaches it, and the last one is drawn."""
    return int(of.draw(np.random.default_rng(0), 20_000).max()) + 1


def with_rows(of: Problem) -> bool:
    return of.draw(np.random.default_rng(0), 1).dtype == np.int64


def bias(of: Problem, w: Array) -> float:
    """The largest coordinate of E sampled(w) - grad f(w), w (d,), exactly: the mean over single rows, or over +-xi."""
    if with_rows(of):
        draws = np.arange(all_rows(of))[:, None]
    else:
        draws = np.vstack([np.eye(of.dimension), -np.eye(of.dimension)])
    estimates = of.sampled(np.broadcast_to(w, (len(draws), of.dimension)), draws)
    return float(np.abs(estimates.mean(axis=0) - of.gradient(w)).max())


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_stochastic_gradient_is_unbiased(name: str) -> None:
    of = problem(name)
    for w in (of.minimiser, np.random.default_rng(7).standard_normal(of.dimension)):
        assert bias(of, w) < 1e-12
        # mutants: another scale, and a gradient that is always a little off
        off = replace(of, sampled=lambda w, draw: 1.001 * of.sampled(w, draw) + 1e-6)
        assert bias(off, w) > 1e-7


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_draws_are_uniform_or_standard_normal(name: str) -> None:
    of = problem(name)
    draws = of.draw(np.random.default_rng(11), 20_000)
    if with_rows(of):
        counts = np.bincount(draws.ravel())
        mean = draws.size / len(counts)
        assert np.abs(counts - mean).max() < 6 * math.sqrt(mean)
    else:
        assert np.abs(draws.mean(axis=0)).max() < 6 / math.sqrt(len(draws))
        assert np.abs((draws**2).mean(axis=0) - 1).max() < 6 * math.sqrt(2 / len(draws))


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_variance_is_exact_and_below_its_bound(name: str) -> None:
    of = problem(name)
    scales = np.array([0.0, 1.0, 1e3])[:, None]
    w = of.minimiser + scales * np.random.default_rng(8).standard_normal((3, of.dimension))
    stated = of.variance(w)
    assert stated.shape == (3,)
    assert (stated <= of.noise * (1 + 1e-12)).all()
    if not with_rows(of):
        xi = np.random.default_rng(9).standard_normal((3, of.dimension))
        np.testing.assert_allclose(of.sampled(w, xi) - of.gradient(w), SIGMA * xi, atol=1e-12, rtol=1e-6)
        assert stated == pytest.approx([SIGMA**2 * of.dimension] * 3)
        return
    n = all_rows(of)
    for k in range(3):
        single = of.sampled(np.broadcast_to(w[k], (n, of.dimension)), np.arange(n)[:, None]) - of.gradient(w[k])
        # BATCH independent rows
        assert np.mean(np.sum(single**2, axis=1)) / BATCH == pytest.approx(stated[k], rel=1e-9)
    assert of.noise == math.inf or stated.max() > of.noise / 10


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_runs_share_the_draws_of_their_seed(name: str) -> None:
    of = problem(name)
    seeds, steps = 4, 6
    draws = np.stack([of.draw(np.random.default_rng(s), steps) for s in range(seeds)])
    again = of.draw(np.random.default_rng(2), steps)
    np.testing.assert_array_equal(draws[2], again)
    assert draws.shape == (seeds, steps, BATCH if with_rows(of) else of.dimension)
    w = np.random.default_rng(10).standard_normal((3, 2, seeds, of.dimension))
    estimates = of.sampled(w, draws[:, 0])
    assert estimates.shape == w.shape
    np.testing.assert_array_equal(estimates, of.sampled(w, draws[:, 0]))
    for i, j, s in itertools.product(range(3), range(2), range(seeds)):
        draw = draws[s, 0]
        if with_rows(of):  # the mean of the gradients of its rows, one at a time
            one = np.mean([of.sampled(w[i, j, s][None], draw[[m], None])[0] for m in range(BATCH)], axis=0)
        else:
            one = of.gradient(w[i, j, s]) + SIGMA * draw
        np.testing.assert_allclose(estimates[i, j, s], one, rtol=1e-11, atol=1e-13)
    for wrong in (w[:, :, :2], w[0, 0, 0], np.swapaxes(w, 1, 2)):
        with pytest.raises(InputError, match="do not fit: shapes"):
            of.sampled(wrong, draws[:, 0])


# --------------------------------------------------------------------------- constants


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_every_declaration_is_complete(name: str) -> None:
    of = problem(name)
    assert of is problem(name)
    assert of.name == name
    assert f"d = {of.dimension}" in of.title or name == "plane"
    assert of.minimiser.shape == (of.dimension,)
    assert np.isfinite(of.minimiser).all()
    assert of.solver
    assert of.smoothness > 0
    assert of.lipschitz > 0
    assert of.noise > 0
    assert (of.smoothness == math.inf) == (name in KINKED)
    if name not in KINKED:
        assert of.step == 1 / of.smoothness
    assert problem("lasso").step == problem("diabetes").step
    assert problem("modulus").step == 1 / problem("modulus").lipschitz
    assert tuple(PROBLEMS) == NAMES


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_value_and_gradient_agree_and_f_is_convex(name: str) -> None:
    of = problem(name)
    rng = np.random.default_rng(2)
    w, e = rng.standard_normal((2, 3, of.dimension))
    assert of.value(w).shape == (3,)
    assert of.gradient(w).shape == w.shape
    assert (of.value(w) >= of.value(of.minimiser)).all()
    h = 1e-6
    slope = (of.value(w + h * e) - of.value(w - h * e)) / (2 * h)
    np.testing.assert_allclose(slope, np.sum(of.gradient(w) * e, axis=1), rtol=1e-6, atol=1e-8)
    above = of.value(w) + np.sum(of.gradient(w) * e, axis=1)
    assert (of.value(w + e) >= above - 1e-12 * np.abs(above)).all()
    assert 0 < of.step < math.inf


@pytest.mark.parametrize("name", SMOOTH)
def test_the_gradient_vanishes_at_the_minimiser(name: str) -> None:
    of = problem(name)
    assert np.abs(of.gradient(of.minimiser)).max() < 1e-12


def test_the_lasso_minimiser_has_a_subgradient_0() -> None:
    of = problem("lasso")
    w, weight = of.minimiser, 0.1
    smooth = of.gradient(w) - weight * np.sign(w)
    used = w != 0
    assert 0 < used.sum() < of.dimension
    assert np.abs(smooth[used] + weight * np.sign(w[used])).max() < 1e-12
    assert np.abs(smooth[~used]).max() < weight
    assert of.smoothness == math.inf


def test_the_modulus_is_as_steep_as_stated_and_flat_at_its_kinks() -> None:
    of = problem("modulus")
    assert of.smoothness == math.inf
    np.testing.assert_array_equal(of.gradient(of.minimiser), np.zeros(6))
    assert of.lipschitz == pytest.approx(np.linalg.norm(of.gradient(of.minimiser + 1)), rel=1e-15)


@pytest.mark.parametrize("name", SMOOTH)
def test_the_gradient_is_lipschitz_with_the_stated_constant_and_no_better_one(name: str) -> None:
    of = problem(name)
    rng = np.random.default_rng(3)
    w, e = rng.standard_normal((2, 3, of.dimension))
    change = np.linalg.norm(of.gradient(w + e) - of.gradient(w), axis=1)
    assert (change <= of.smoothness * np.linalg.norm(e, axis=1) * (1 + 1e-12)).all()
    if name == "huber":  # quadratic in places only: L is reached where every residual is small, so nowhere here
        return
    # L is reached at w = 0 along the top eigenvector, found by power iteration
    origin, probe = np.zeros(of.dimension), rng.standard_normal(of.dimension) * 1e-3
    for _ in range(200):
        probe = of.gradient(origin + probe) - of.gradient(origin)
        probe *= 1e-3 / np.linalg.norm(probe)
    top = np.linalg.norm(of.gradient(origin + probe) - of.gradient(origin)) / 1e-3
    assert top >= 0.999 * of.smoothness


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_no_gradient_is_longer_than_stated(name: str) -> None:
    of = problem(name)
    w = np.random.default_rng(4).standard_normal((200, of.dimension)) * 1e3
    longest = np.linalg.norm(of.gradient(w), axis=1).max()
    assert longest <= of.lipschitz
    assert of.lipschitz == math.inf or longest > of.lipschitz / 10


@pytest.mark.parametrize("name", ["plane", "quadratic", "binary", "diabetes"])
def test_the_best_binary_point_is_the_best(name: str) -> None:
    of = problem(name)
    w, least = best_binary(of)
    everything = np.array(list(itertools.product((-1.0, 1.0), repeat=of.dimension)))
    values = of.value(everything)
    assert least == values.min()
    assert of.value(w) == least
    assert w.tolist() in everything[values == least].tolist()


def test_the_best_binary_point_is_found_in_every_block() -> None:
    """With 13 weights the points are looked at in two blocks; the best one is put into either."""
    of = problem("spectrum")
    for last in (-1.0, 1.0):
        signs = np.append(np.where(np.sin(np.arange(12.0)) > 0, 1.0, -1.0), last)
        near = replace(of, dimension=13, both=lambda w, c=signs: (np.sum((w - c) ** 2, axis=-1), 2 * (w - c)))
        w, least = best_binary(near)
        assert (w.tolist(), least) == (signs.tolist(), 0.0)


def test_the_help_names_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "300")
        proxpair.main(["converge", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in PROBLEMS)
    assert tuple(PROBLEMS) == PROBLEM_NAMES


def test_too_many_binary_points_are_refused() -> None:
    with pytest.raises(InputError, match="up to dimension 20, breast-cancer has 30"):
        best_binary(problem("breast-cancer"))


@pytest.mark.parametrize("name", sorted(PROBLEMS))
def test_the_rational_data_are_the_float_ones(name: str) -> None:
    of = problem(name)
    assert (of.rational is not None) == (name in ("plane", "quadratic"))
    assert (of.rational_modulus is not None) == (name == "modulus")
    made = [quadratic_gradient(*of.rational)] if of.rational is not None else []
    made += [modulus_gradient(*of.rational_modulus)] if of.rational_modulus is not None else []
    for gradient in made:
        centre = (of.rational or of.rational_modulus or ((), ()))[1]
        np.testing.assert_array_equal(of.minimiser, np.array(centre, dtype=float))
        assert not any(gradient(list(centre)))
        for k in range(-3, 4):
            w = [c + k * (i + 1) for i, c in enumerate(centre)]
            exact = np.array(gradient(w), dtype=float)
            np.testing.assert_allclose(of.gradient(np.array(w, dtype=float)), exact, rtol=1e-13, atol=1e-15)


def test_an_unknown_problem_is_refused() -> None:
    assert set(USUAL) <= set(PROBLEMS)
    with pytest.raises(InputError, match="unknown problem 'rosenbrock', expected one of: quadratic"):
        problem("rosenbrock")


# --------------------------------------------------------------------------- a user's arrays


def test_a_users_arrays_make_a_problem() -> None:
    x, y = diabetes_data()
    of, own = least_squares("mine", x.tolist(), y.astype(np.float32)), problem("diabetes")
    np.testing.assert_allclose(of.minimiser, own.minimiser, atol=1e-6)
    z, classes = load_breast_cancer(return_X_y=True)
    for labels in (classes, classes == 1, classes * 2.0 - 1.0, 5 + classes):
        of = logistic("mine", scaled(z), labels)
        np.testing.assert_array_equal(of.minimiser, problem("breast-cancer").minimiser)
    assert of.title == "logistic regression, mine, d = 30"
    # the arrays are copied
    x0 = np.eye(3)
    of = least_squares("mine", x0, [1, 2, 3])
    x0[:] = math.nan
    assert of.gradient(np.ones(3)) == pytest.approx([0, -1 / 3, -2 / 3])
    assert of.sampled(np.ones((1, 3)), np.array([[2]])) == pytest.approx(np.array([[0, 0, -2.0]]))


def test_dependent_columns_have_the_shortest_minimiser() -> None:
    of = least_squares("twice", [[1, 1], [2, 2], [0, 0]], [1, 2, 3])
    np.testing.assert_allclose(of.minimiser, [0.5, 0.5])
    assert of.value(np.array([1.0, 0.0])) == pytest.approx(float(of.value(of.minimiser)), rel=1e-15)
    assert of.value(of.minimiser) == pytest.approx(1.5)
    of = logistic("twice", [[1, 1], [2, 2], [0, 0], [-1, -1]], [0, 1, 0, 1])
    assert of.minimiser[0] == pytest.approx(of.minimiser[1])


def test_hard_logistic_regressions_are_solved() -> None:
    """Separable classes, unequal columns: a Newton step without halving leads away."""
    raw, benign = load_breast_cancer(return_X_y=True)  # columns from 1e-3 to 1e3 in size, not standardised
    of = logistic("raw", raw * 1e3, benign)
    assert np.abs(of.gradient(of.minimiser)).max() < 1e-8
    i = np.arange(1.0, 201.0)
    x = np.stack([50 * np.sin(i * i), 0.05 * np.cos(3 * i), 20 * np.sin(7 * i) + 10], axis=1)
    for labels in (x[:, 0] > 0, x[:, 1] > 0.02, i > 199):
        of = logistic("hard", x, labels)
        assert np.linalg.norm(of.gradient(of.minimiser)) < 1e-10


GOOD_X, GOOD_Y = [[1.0, 2.0], [0.0, 1.0], [3.0, 1.0]], [0.0, 1.0, 1.0]


@pytest.mark.parametrize("build", [least_squares, logistic])
@pytest.mark.parametrize(
    ("x", "y", "said"),
    [
        ([[1, 2], [math.nan, 1], [3, 1]], GOOD_Y, r"X of mine holds nan at \(1, 0\): it must be finite"),
        ([[1, 2], [0, math.inf], [3, 1]], GOOD_Y, r"X of mine holds inf at \(1, 1\)"),
        (GOOD_X, [0, 1, -math.inf], "holds -inf at 2"),
        (GOOD_X, [0, 1, math.nan], "holds nan at 2"),
        ([1, 2, 3], GOOD_Y, r"X of mine must be a nonempty array with 2 axes, its shape is \(3,\)"),
        (GOOD_X, [GOOD_Y], "must be a nonempty array with 1 axes"),
        (np.empty((0, 2)), [], "must be a nonempty array"),
        (np.empty((3, 0)), GOOD_Y, "must be a nonempty array"),
        (GOOD_X, [0, 1], "X of mine has 3 rows, but .* has 2 numbers"),
        ([[1, 2], [3]], [0, 1], "its rows differ in length"),
        ([["a", "b"], ["c", "d"]], [0, 1], "must hold real numbers"),
        ([[1j, 2], [3, 4]], [0, 1], "must hold real numbers"),
        (GOOD_X, [None, 1, 2], "must hold real numbers"),
        ([[1e200, 2], [0, 1], [3, 1]], GOOD_Y, r"X of mine holds a number beyond 1e\+50 in size"),
        (np.zeros((3, 2)), GOOD_Y, "X of mine is zero, or too small"),
        (np.full((3, 2), 1e-200), GOOD_Y, "X of mine is zero, or too small"),
    ],
)
def test_bad_arrays_are_refused(build: Callable[..., Problem], x: Any, y: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        build("mine", x, y)
    assert build("mine", GOOD_X, GOOD_Y).dimension == 2


def test_bad_labels_and_names_are_refused() -> None:
    for labels, count in (([1, 1, 1], 1), ([1, 2, 3], 3)):
        with pytest.raises(InputError, match=f"labels of mine must be of two classes, not {count}"):
            logistic("mine", GOOD_X, labels)
    for name in ("", "../mine", "a b", "x" * 65):
        with pytest.raises(InputError, match="the name of a problem is made of"):
            least_squares(name, GOOD_X, GOOD_Y)
    with pytest.raises(InputError, match="Newton's method does not arrive for mine: are columns of X nearly dep"):
        logistic("mine", [[1e30, 1e30], [1e30, 1e30], [-1e30, -1e30]], [0, 1, 0])
