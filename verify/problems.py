"""The convex problems of the convergence experiment: one declaration each, in `PROBLEMS`.

Every f is convex with a Lipschitz gradient, takes w of shape (..., d) and carries its minimiser, so
gaps are measured from a known value. scikit-learn is imported when a data set is first asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.errors import InputError

Array = NDArray[Any]


@dataclass(frozen=True)
class Problem:
    """min f(w) over R^d. ``value``: (..., d) -> (...), ``gradient``: (..., d) -> (..., d).

    ``smoothness`` is L, the Lipschitz constant of the gradient (largest eigenvalue of the Hessian, or
    an upper bound of it); ``minimiser`` the one point where the gradient vanishes.
    """

    name: str
    title: str
    dimension: int
    value: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    smoothness: float
    minimiser: Array


def _quadratic(name: str, title: str, hessian: Array, minimiser: Array, least: float) -> Problem:
    """f(w) = least + (w - w*)' H (w - w*) / 2: written from the minimiser, so that small gaps keep their digits."""

    def value(w: Array) -> Array:
        e = w - minimiser
        return least + 0.5 * np.sum(e * (e @ hessian), axis=-1)

    def gradient(w: Array) -> Array:
        return np.asarray((w - minimiser) @ hessian)

    top = float(np.linalg.eigvalsh(hessian)[-1])
    return Problem(name, title, len(minimiser), value, gradient, top, minimiser)


def _standardised(x: Array) -> Array:
    """Every column with mean 0 and (population) standard deviation 1."""
    return np.asarray((x - x.mean(axis=0)) / x.std(axis=0))


def quadratic() -> Problem:
    """f(w) = (w - c)' H (w - c) / 2 in 6 dimensions, H = diag(1..6)/6 + ones/6, c spread over (-1.5, 1.5)."""
    hessian = np.diag(np.arange(1.0, 7.0)) / 6 + np.full((6, 6), 1 / 6)
    centre = np.array([0.3, -0.7, 1.4, -1.2, 0.05, -0.4])
    return _quadratic("quadratic", "synthetic quadratic, d = 6", hessian, centre, 0.0)


def diabetes() -> Problem:
    """Least squares f(w) = |X w - y|^2 / (2 n) on scikit-learn's diabetes data, X and y standardised."""
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    x, y = _standardised(x), _standardised(y)
    n = len(y)
    hessian = x.T @ x / n
    minimiser = np.linalg.solve(hessian, x.T @ y / n)
    least = float(np.sum((x @ minimiser - y) ** 2)) / (2 * n)
    return _quadratic("diabetes", "least squares, diabetes, d = 10", hessian, minimiser, least)


def breast_cancer() -> Problem:
    """Logistic regression f(w) = mean log(1 + exp(-y x'w)) + |w|^2 / (2 n), y = +-1, X standardised.

    The ridge term (1/n, scikit-learn's default penalty) makes the minimiser exist whether or not
    the classes are separable. L = lambda_max(X'X/n)/4 + 1/n. The minimiser is found by Newton's method.
    """
    from scipy.special import expit
    from sklearn.datasets import load_breast_cancer

    x, classes = load_breast_cancer(return_X_y=True)
    x = _standardised(x)
    signed = x * (2.0 * classes - 1.0)[:, None]
    n, d = signed.shape
    ridge = 1.0 / n

    def value(w: Array) -> Array:
        loss = np.logaddexp(0.0, -(w @ signed.T)).mean(axis=-1)
        return np.asarray(loss + 0.5 * ridge * np.sum(w * w, axis=-1))

    def gradient(w: Array) -> Array:
        return np.asarray(-(expit(-(w @ signed.T)) @ signed) / n + ridge * w)

    w = np.zeros(d)
    for _ in range(50):
        p = expit(signed @ w)
        hessian = (signed * (p * (1 - p))[:, None]).T @ signed / n + ridge * np.eye(d)
        step = np.linalg.solve(hessian, gradient(w))
        w = w - step
        if float(np.max(np.abs(step))) < 1e-13:
            break
    top = float(np.linalg.eigvalsh(x.T @ x / n)[-1]) / 4 + ridge
    return Problem("breast-cancer", "logistic regression, breast cancer, d = 30", d, value, gradient, top, w)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "quadratic": quadratic,
    "diabetes": diabetes,
    "breast-cancer": breast_cancer,
}
"""Every problem by its name; the value builds it."""


@lru_cache(maxsize=len(PROBLEMS))
def problem(name: str) -> Problem:
    """The problem of that name. Raises `InputError` naming the known ones."""
    build = PROBLEMS.get(name)
    if build is None:
        raise InputError(f"unknown problem {name[:40]!r}, expected one of: {', '.join(PROBLEMS)}")
    return build()


__all__ = ["PROBLEMS", "Array", "Problem", "problem"]
