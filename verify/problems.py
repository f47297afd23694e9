"""The convex problems of the convergence experiment: one declaration each, in `PROBLEMS`.

Every f is convex, takes w of shape (..., d) and carries its minimiser, so gaps are measured from a
known value. scikit-learn is imported when a data set is first asked for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
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
    an upper bound of it), +inf if f has kinks: then ``gradient`` is the subgradient with sign(0) = 0.
    ``lipschitz`` is G >= |grad f| everywhere, +inf if there is none. ``step`` is the usual first step
    size, 1/L (of the smooth part where f has kinks). ``minimiser`` (d,) is a global minimiser, found by
    ``solver``. ``rational``: (H, c) of f(w) = (w - c)'H(w - c)/2 where these are rational.
    """

    name: str
    title: str
    dimension: int
    value: Callable[[Array], Array]
    gradient: Callable[[Array], Array]
    smoothness: float
    minimiser: Array
    solver: str
    step: float
    lipschitz: float = math.inf
    rational: tuple[tuple[tuple[Fraction, ...], ...], tuple[Fraction, ...]] | None = None


def _quadratic(
    name: str, title: str, hessian: Array, minimiser: Array, least: float, solver: str = "by construction"
) -> Problem:
    """f(w) = least + (w - w*)' H (w - w*) / 2: written from the minimiser, so that small gaps keep their digits."""

    def value(w: Array) -> Array:
        e = w - minimiser
        return least + 0.5 * np.sum(e * (e @ hessian), axis=-1)

    def gradient(w: Array) -> Array:
        return np.asarray((w - minimiser) @ hessian)

    top = float(np.linalg.eigvalsh(hessian)[-1])
    return Problem(name, title, len(minimiser), value, gradient, top, minimiser, solver, 1 / top)


def _rational(name: str, title: str, hessian: list[list[Fraction]], centre: list[Fraction]) -> Problem:
    """f(w) = (w - c)'H(w - c)/2 with rational H and c, for `verify.rational` too."""
    of = _quadratic(name, title, np.array(hessian, dtype=float), np.array(centre, dtype=float), 0.0)
    return replace(of, rational=(tuple(tuple(row) for row in hessian), tuple(centre)))


def _standardised(x: Array) -> Array:
    """Every column with mean 0 and (population) standard deviation 1."""
    return np.asarray((x - x.mean(axis=0)) / x.std(axis=0))


def quadratic() -> Problem:
    """f(w) = (w - c)' H (w - c) / 2 in 6 dimensions, H = diag(1..6)/6 + ones/6, c spread over (-1.5, 1.5)."""
    sixth = Fraction(1, 6)
    hessian = [[sixth * (1 + (i + 1) * (i == k)) for k in range(6)] for i in range(6)]
    centre = [Fraction(c) for c in ("0.3", "-0.7", "1.4", "-1.2", "0.05", "-0.4")]
    return _rational("quadratic", "synthetic quadratic, d = 6", hessian, centre)


def plane() -> Problem:
    """f(w) = (w - c)' H (w - c) / 2, H = [[1, 3/5], [3/5, 4/5]], c = (7/10, -3/10): made to be looked at."""
    hessian = [[Fraction(1), Fraction(3, 5)], [Fraction(3, 5), Fraction(4, 5)]]
    return _rational("plane", "a quadratic in the plane", hessian, [Fraction(7, 10), Fraction(-3, 10)])


def spectrum() -> Problem:
    """A quadratic with the spectrum 10^(-3k/19), k = 0..19: condition 1,000, eigenvectors of the cosine transform."""
    from scipy.fft import dct

    basis = dct(np.eye(20), norm="ortho", axis=0)
    hessian = basis.T @ np.diag(10.0 ** (-3.0 * np.arange(20) / 19)) @ basis
    centre = 1.5 * np.sin(2.0 * np.arange(1, 21))
    return _quadratic("spectrum", "quadratic, condition number 1000, d = 20", (hessian + hessian.T) / 2, centre, 0.0)


def binary() -> Problem:
    """Least squares whose solution is to be quantized: X (24, 12) of sines, y = X w0 + a disturbance, w0 in {-1, 1}^12.

    `best_binary` enumerates {-1, 1}^12, so the global optimum over binary weights is known exactly.
    """
    rows, columns = np.arange(1.0, 25.0)[:, None], np.arange(1.0, 13.0)
    x = np.sqrt(2.0) * np.sin(rows * columns * np.sqrt(2.0))
    signs = np.where(np.sin(3.0 * columns) >= 0, 1.0, -1.0)
    return _least_squares(
        "binary", "least squares over binary weights, d = 12", x, x @ signs + np.sin(5.0 * rows[:, 0])
    )


def _least_squares(name: str, title: str, x: Array, y: Array) -> Problem:
    """f(w) = |X w - y|^2 / (2 n), minimised by the normal equations."""
    n = len(y)
    hessian = x.T @ x / n
    minimiser = np.linalg.solve(hessian, x.T @ y / n)
    least = float(np.sum((x @ minimiser - y) ** 2)) / (2 * n)
    return _quadratic(name, title, hessian, minimiser, least, "normal equations")


def _diabetes_data() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    return _standardised(x), _standardised(y)


def diabetes() -> Problem:
    """Least squares f(w) = |X w - y|^2 / (2 n) on scikit-learn's diabetes data, X and y standardised."""
    return _least_squares("diabetes", "least squares, diabetes, d = 10", *_diabetes_data())


def lasso() -> Problem:
    """LASSO f(w) = |X w - y|^2 / (2 n) + |w|_1 / 10 on the diabetes data; minimised by following its path (LARS)."""
    from sklearn.linear_model import lars_path

    x, y = _diabetes_data()
    n, weight = len(y), 0.1
    hessian, linear = x.T @ x / n, x.T @ y / n
    path = lars_path(x, y, method="lasso", alpha_min=weight)[2]
    # LARS names the support; its equations give the last digits
    minimiser = np.asarray(path[:, -1])
    used = np.flatnonzero(minimiser)
    minimiser[used] = np.linalg.solve(hessian[np.ix_(used, used)], linear[used] - weight * np.sign(minimiser[used]))

    def value(w: Array) -> Array:
        e = w @ x.T - y
        return np.asarray(0.5 * np.mean(e * e, axis=-1) + weight * np.sum(np.abs(w), axis=-1))

    def gradient(w: Array) -> Array:
        return np.asarray(w @ hessian - linear + weight * np.sign(w))

    top = float(np.linalg.eigvalsh(hessian)[-1])
    return Problem(
        "lasso", "LASSO, diabetes, d = 10", x.shape[1], value, gradient, math.inf, minimiser, "LARS", 1 / top
    )


def huber() -> Problem:
    """Robust regression f(w) = mean h(x'w - y) on the diabetes data, h(e) = e^2/2 up to |e| = 1/2, then |e|/2 - 1/8.

    L = lambda_max(X'X/n), G = lambda_max(X'X/n)^(1/2) / 2. Minimised by Newton's method, which ends after finitely
    many steps since f is quadratic piece by piece.
    """
    x, y = _diabetes_data()
    n, d = x.shape
    delta = 0.5

    def value(w: Array) -> Array:
        e = np.abs(w @ x.T - y)
        return np.asarray(np.where(e <= delta, 0.5 * e * e, delta * (e - 0.5 * delta)).mean(axis=-1))

    def gradient(w: Array) -> Array:
        return np.asarray(np.clip(w @ x.T - y, -delta, delta) @ x / n)

    w = np.linalg.solve(x.T @ x, x.T @ y)
    for _ in range(50):
        near = np.abs(x @ w - y) <= delta
        step = np.linalg.solve(x[near].T @ x[near] / n, gradient(w))
        w = w - step
        if float(np.max(np.abs(step))) < 1e-13:
            break
    top = float(np.linalg.eigvalsh(x.T @ x / n)[-1])
    return Problem(
        "huber", "robust regression, diabetes, d = 10", d, value, gradient, top, w, "Newton", 1 / top, delta * top**0.5
    )


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
    title = "logistic regression, breast cancer, d = 30"
    return Problem("breast-cancer", title, d, value, gradient, top, w, "Newton", 1 / top)


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "quadratic": quadratic,
    "diabetes": diabetes,
    "breast-cancer": breast_cancer,
    "plane": plane,
    "spectrum": spectrum,
    "binary": binary,
    "lasso": lasso,
    "huber": huber,
}
"""Every problem by its name; the value builds it. New ones go to the end: the place seeds the starting points."""

USUAL = ("quadratic", "diabetes", "breast-cancer")
"""The problems of a run that names none."""


@lru_cache(maxsize=len(PROBLEMS))
def problem(name: str) -> Problem:
    """The problem of that name. Raises `InputError` naming the known ones."""
    build = PROBLEMS.get(name)
    if build is None:
        raise InputError(f"unknown problem {name[:40]!r}, expected one of: {', '.join(PROBLEMS)}")
    return build()


def best_binary(of: Problem) -> tuple[Array, float]:
    """The least f over {-1, 1}^d and where it is attained, by enumeration. Raises `InputError` for d > 20."""
    d = of.dimension
    if d > 20:
        raise InputError(f"binary weights are enumerated up to dimension 20, {of.name} has {d}")
    best, least = np.zeros(d), math.inf
    for start in range(0, 2**d, 4096):
        codes = np.arange(start, min(start + 4096, 2**d))[:, None]
        w = 2.0 * ((codes >> np.arange(d)) & 1) - 1.0
        values = of.value(w)
        k = int(np.argmin(values))
        if values[k] < least:
            best, least = w[k], float(values[k])
    return best, least


__all__ = ["PROBLEMS", "USUAL", "Array", "Problem", "best_binary", "problem"]
