"""The convex problems: value, gradient, L, G and minimiser, each against an independent computation."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import minimize

import proxpair
from theory.errors import InputError
from verify.problems import PROBLEMS, USUAL, best_binary, problem

SMOOTH = sorted(set(PROBLEMS) - {"lasso"})


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
def test_the_gradient_vanishes_at_the_minimiser_and_a_solver_finds_no_less(name: str) -> None:
    of = problem(name)
    assert np.abs(of.gradient(of.minimiser)).max() < 1e-12
    start = np.full(of.dimension, 0.1)
    found = minimize(of.value, start, jac=of.gradient, method="BFGS", options={"gtol": 1e-9, "maxiter": 5000})
    least = float(of.value(of.minimiser))
    assert float(found.fun) - least >= -1e-14 * (1 + abs(least))
    assert float(found.fun) - least < 1e-10


def test_the_lasso_minimiser_has_a_subgradient_0() -> None:
    of = problem("lasso")
    w, weight = of.minimiser, 0.1
    smooth = of.gradient(w) - weight * np.sign(w)
    used = w != 0
    assert 0 < used.sum() < of.dimension
    assert np.abs(smooth[used] + weight * np.sign(w[used])).max() < 1e-12
    assert np.abs(smooth[~used]).max() < weight
    assert of.smoothness == math.inf


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
        near = replace(of, dimension=13, value=lambda w, c=signs: np.sum((w - c) ** 2, axis=-1))
        w, least = best_binary(near)
        assert (w.tolist(), least) == (signs.tolist(), 0.0)


def test_the_help_names_every_problem(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "300")
        proxpair.main(["converge", "--help"])
    said = capsys.readouterr().out
    assert all(name in said for name in PROBLEMS)


def test_too_many_binary_points_are_refused() -> None:
    with pytest.raises(InputError, match="up to dimension 20, breast-cancer has 30"):
        best_binary(problem("breast-cancer"))


def test_the_rational_problems_are_the_float_ones() -> None:
    for name in ("plane", "quadratic"):
        of = problem(name)
        assert of.rational is not None
        hessian, centre = of.rational
        w = np.arange(1.0, of.dimension + 1)
        np.testing.assert_allclose(
            of.gradient(w), np.array(hessian, dtype=float) @ (w - np.array(centre, dtype=float)), rtol=1e-14
        )
    assert set(USUAL) <= set(PROBLEMS)
    with pytest.raises(InputError, match="unknown problem 'rosenbrock', expected one of: quadratic"):
        problem("rosenbrock")
