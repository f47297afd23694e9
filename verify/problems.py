"""The convex problems of the convergence experiment: one declaration each, in `PROBLEMS`.

Every f is convex, takes w of shape (..., d) and carries its minimiser, so gaps are measured from a
known value. One formula per problem, `Problem.both`, gives f and its gradient from the same
intermediate: <e, He>/2 and He for a quadratic, the residuals for data. Stochastic gradients are
unbiased: `BATCH` rows drawn with replacement where f is a mean over rows, the gradient plus `SIGMA` times
standard normal noise elsewhere. `least_squares` and `logistic` make a problem of a user's arrays.
scikit-learn is imported when a data set is first asked for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from theory.errors import InputError

Array = NDArray[Any]
Both = Callable[[Array], tuple[Array, Array]]
BATCH = 8
"""Rows of a stochastic gradient of a data problem."""
SIGMA = 0.1
"""Standard deviation, per coordinate, of the noise added to the gradient of a problem without rows."""
_LARGEST = 1e50  # of a number in a user's arrays: sums of squares, and products of two of them, stay finite
_QUADRATIC, _RESIDUALS = 2**13, 2**15  # numbers worked on at once; of the powers of 2, the fastest


@dataclass(frozen=True)
class Problem:
    """min f(w) over R^d. ``both``: (..., d) -> ((...), (..., d)), the value and the gradient.

    The same batch gives the same bits; in a batch of another size BLAS may round a run differently.
    ``smoothness`` is L, the Lipschitz constant of the gradient (largest eigenvalue of the Hessian, or
    an upper bound of it), +inf if f has kinks: then the gradient is the subgradient with sign(0) = 0.
    ``lipschitz`` is G >= |grad f| everywhere, +inf if there is none. ``step`` is the usual first step
    size, 1/L (of the smooth part where f has kinks; 1/G if f has no smooth part). ``minimiser`` (d,) is a
    global minimiser, found by ``solver``.

    ``draw``: (rng, steps) -> (steps, k), what the stochastic gradients of a run need: ``BATCH`` row numbers,
    independent and uniform, int64; or d standard normal numbers. ``sampled``: (w, draw) -> (..., seeds, d) for w
    (..., seeds, d) and draw (seeds, k), unbiased; runs in one place of the ``seeds`` axis share their draw.
    Raises `InputError` where these shapes do not fit.
    ``variance``: (..., d) -> (...), the exact E|sampled - grad f|^2; ``noise`` is its least known upper
    bound over all w, +inf if there is none. Hence E|sampled|^2 <= G^2 + noise.

    ``rational``: (H, c) of f(w) = (w - c)'H(w - c)/2, and ``rational_modulus``: (a, c) of f(w) = sum a_i |w_i - c_i|,
    where these are rational.
    """

    name: str
    title: str
    dimension: int
    both: Both
    draw: Callable[[np.random.Generator, int], Array]
    sampled: Callable[[Array, Array], Array]
    variance: Callable[[Array], Array]
    noise: float
    smoothness: float
    minimiser: Array
    solver: str
    step: float
    lipschitz: float = math.inf
    rational: tuple[tuple[tuple[Fraction, ...], ...], tuple[Fraction, ...]] | None = None
    rational_modulus: tuple[tuple[Fraction, ...], tuple[Fraction, ...]] | None = None

    def value(self, w: Array) -> Array:
        """f(w): (..., d) -> (...)."""
        return self.both(w)[0]

    def gradient(self, w: Array) -> Array:
        """The (sub)gradient: (..., d) -> (..., d)."""
        return self.both(w)[1]


def _dot(a: Array, b: Array) -> Array:
    """<a, b> over the last axis."""
    return np.asarray(np.einsum("...d,...d->...", a, b))


def _product(runs: Array, m: Array, out: Array) -> None:
    """runs (N, d) times a matrix. One run alone is doubled: BLAS multiplies a vector by other sums than a matrix."""
    if len(runs) == 1:
        out[:] = (np.repeat(runs, 2, axis=0) @ m)[:1]
    else:
        np.matmul(runs, m, out=out)


def _parts(runs: Array, width: int, numbers: int) -> Iterator[slice]:
    """Slices of runs (N, d) with at most about ``numbers`` intermediate numbers, ``width`` for each run.

    So they stay in a cache, in memory that is used again: fresh memory costs more than the arithmetic.
    """
    size = max(16, numbers // width)
    return (slice(start, start + size) for start in range(0, len(runs), size))


def _check_seeds(w: Array, draw: Array) -> None:
    """Raises `InputError` unless w is (..., seeds, d) for a draw (seeds, k): a reshape would mix up the runs."""
    if w.ndim < 2 or draw.ndim != 2 or w.shape[-2] != len(draw):
        raise InputError(f"runs (..., seeds, d) and draw (seeds, k) do not fit: shapes {w.shape} and {draw.shape}")


# --------------------------------------------------------------------------- problems without rows


def _noisy(name: str, title: str, both: Both, minimiser: Array, solver: str, smoothness: float) -> Problem:
    """A problem whose stochastic gradient is grad f(w) + SIGMA xi, xi standard normal: variance SIGMA^2 d exactly."""
    d = len(minimiser)
    noise = SIGMA**2 * d

    def draw(rng: np.random.Generator, steps: int) -> Array:
        return rng.standard_normal((steps, d))

    def sampled(w: Array, xi: Array) -> Array:
        _check_seeds(w, xi)
        return np.asarray(both(w)[1] + SIGMA * xi)

    def variance(w: Array) -> Array:
        return np.full(w.shape[:-1], noise)

    return Problem(name, title, d, both, draw, sampled, variance, noise, smoothness, minimiser, solver, 1 / smoothness)


def _paraboloid(hessian: Array, centre: Array, least: float) -> Both:
    """f(w) = least + (w - c)' H (w - c) / 2: written from its minimiser, so that small gaps keep their digits."""
    d = len(centre)

    def both(w: Array) -> tuple[Array, Array]:
        runs = w.reshape(-1, d)
        value, gradient = np.empty(len(runs)), np.empty(runs.shape)
        for part in _parts(runs, d, _QUADRATIC):
            e, g = runs[part] - centre, gradient[part]
            _product(e, hessian, g)
            np.einsum("id,id->i", e, g, out=value[part])
        value *= 0.5
        value += least
        return value.reshape(w.shape[:-1]), gradient.reshape(w.shape)

    return both


def _top(hessian: Array) -> float:
    return float(np.linalg.eigvalsh(hessian)[-1])


def _quadratic(name: str, title: str, hessian: Array, centre: Array) -> Problem:
    """f(w) = (w - c)' H (w - c) / 2."""
    return _noisy(name, title, _paraboloid(hessian, centre, 0.0), centre, "by construction", _top(hessian))


def _rational(name: str, title: str, hessian: list[list[Fraction]], centre: list[Fraction]) -> Problem:
    """f(w) = (w - c)'H(w - c)/2 with rational H and c, for `verify.rational` too."""
    of = _quadratic(name, title, np.array(hessian, dtype=float), np.array(centre, dtype=float))
    return replace(of, rational=(tuple(tuple(row) for row in hessian), tuple(centre)))


def _cosine(name: str, title: str, spectrum: Array) -> Problem:
    """A quadratic with the given eigenvalues, the cosine transform's eigenvectors and c_k = 3/2 sin(2 k)."""
    from scipy.fft import dct

    d = len(spectrum)
    basis = dct(np.eye(d), norm="ortho", axis=0)
    hessian = basis.T @ np.diag(spectrum) @ basis
    return _quadratic(name, title, (hessian + hessian.T) / 2, 1.5 * np.sin(2.0 * np.arange(1, d + 1)))


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
    return _cosine("spectrum", "quadratic, condition number 1000, d = 20", 10.0 ** (-3.0 * np.arange(20) / 19))


def wide() -> Problem:
    """A quadratic with the spectrum 100^(-k/99), k = 0..99: condition 100, eigenvectors of the cosine transform."""
    return _cosine("wide", "quadratic, condition number 100, d = 100", 100.0 ** (-np.arange(100) / 99))


def modulus() -> Problem:
    """f(w) = sum a_i |w_i - c_i| in 6 dimensions: G = |a|, and no smooth part.

    a = (1, 1/2, 3/4, 1/3, 5/4, 2/3), c = (3/5, -3/10, 5/4, -7/5, 1/20, -4/5).
    """
    a = tuple(Fraction(x) for x in ("1", "1/2", "3/4", "1/3", "5/4", "2/3"))
    c = tuple(Fraction(x) for x in ("3/5", "-3/10", "5/4", "-7/5", "1/20", "-4/5"))
    weights, centre = np.array(a, dtype=float), np.array(c, dtype=float)
    longest = float(np.linalg.norm(weights))

    def both(w: Array) -> tuple[Array, Array]:
        e = w - centre
        g = weights * np.sign(e)
        return _dot(e, g), g

    of = _noisy("modulus", "weighted sum of moduli, d = 6", both, centre, "by construction", math.inf)
    return replace(of, step=1 / longest, lipschitz=longest, rational_modulus=(a, c))


# --------------------------------------------------------------------------- problems with rows


Loss = Callable[[Array], tuple[Array, Array]]
"""Residuals e (..., n) -> the sum of the losses of the rows (...), and their derivatives (..., n)."""


def _square(e: Array) -> tuple[Array, Array]:
    """e^2/2."""
    return 0.5 * _dot(e, e), e


def _huber_loss(delta: float) -> Loss:
    """e^2/2 up to |e| = delta, then delta |e| - delta^2/2: that is s e - s^2/2 with s the clipped e."""

    def loss(e: Array) -> tuple[Array, Array]:
        s = np.clip(e, -delta, delta)
        return _dot(s, e) - 0.5 * _dot(s, s), s

    return loss


def _logistic_loss(e: Array) -> tuple[Array, Array]:
    """log(1 + exp(-e)).

    The logarithms of a run are taken of products of 512 factors 1 + exp(-|e|) <= 2: these are finite, and
    logarithms cost most. The derivative -1/(1 + exp(e)) is relatively exact for e > 0, where it is small.
    """
    small = np.abs(e)
    np.exp(np.negative(small, out=small), out=small)
    work = 1.0 + small
    total = np.log(np.multiply.reduceat(work, np.arange(0, e.shape[-1], 512), axis=-1)).sum(axis=-1)
    small /= work
    total -= np.minimum(e, 0.0, out=work).sum(axis=-1)
    slopes = np.copysign(small, e, out=small)
    slopes += np.signbit(e)
    return total, np.negative(slopes, out=slopes)


@dataclass(frozen=True)
class _Rows:
    """f(w) = mean_i loss(x_i'w - y_i) + |w|_1 lasso + |w|^2 ridge/2 for X (n, d); y (n,) or 0."""

    x: Array
    y: Array | None
    loss: Loss
    ridge: float = 0.0
    lasso: float = 0.0

    def penalised(self, w: Array, mean: Array, gradient: Array) -> tuple[Array, Array]:
        """Value and gradient with the penalty added; the gradient is changed in place."""
        if self.ridge:
            shrunk = self.ridge * w
            mean, gradient = mean + 0.5 * _dot(w, shrunk), np.add(gradient, shrunk, out=gradient)
        if self.lasso:
            signs = self.lasso * np.sign(w)
            mean, gradient = mean + _dot(w, signs), np.add(gradient, signs, out=gradient)
        return mean, gradient

    def residuals(self, w: Array) -> Array:
        """(N, d) -> (N, n)."""
        e = np.empty((len(w), len(self.x)))
        _product(w, self.x.T, e)
        if self.y is not None:
            e -= self.y
        return e

    def both(self, w: Array) -> tuple[Array, Array]:
        """(..., d) -> ((...), (..., d)): the residuals once, two products with X for as many runs as a cache holds."""
        n, d = self.x.shape
        runs = w.reshape(-1, d)
        mean, gradient = np.empty(len(runs)), np.empty(runs.shape)
        for part in _parts(runs, n, _RESIDUALS):
            mean[part], slopes = self.loss(self.residuals(runs[part]))
            np.matmul(slopes, self.x, out=gradient[part])
        mean /= n
        gradient /= n
        return self.penalised(w, mean.reshape(w.shape[:-1]), gradient.reshape(w.shape))

    def draw(self, rng: np.random.Generator, steps: int) -> Array:
        """Row numbers (steps, BATCH)."""
        return rng.integers(len(self.x), size=(steps, BATCH))

    def sampled(self, w: Array, rows: Array) -> Array:
        """The gradient's mean over the drawn rows, (..., seeds, d) for rows (seeds, m), and the penalty's gradient.

        One product of matrices per seed: its m rows against all its runs.
        """
        _check_seeds(w, rows)
        seeds, m = rows.shape
        x = self.x[rows]  # (seeds, m, d)
        runs = np.moveaxis(w.reshape(-1, seeds, w.shape[-1]), 0, 1)  # (seeds, runs, d)
        e = np.matmul(runs, x.swapaxes(1, 2))  # (seeds, runs, m)
        if self.y is not None:
            e -= self.y[rows][:, None, :]
        slopes = self.loss(e)[1]
        slopes /= m
        mean = np.empty(w.shape)
        np.matmul(slopes, x, out=np.moveaxis(mean.reshape(-1, seeds, w.shape[-1]), 0, 1))
        return self.penalised(w, np.zeros(()), mean)[1]

    def variance(self, w: Array) -> Array:
        """E|sampled - grad f|^2 = (mean s_i^2 |x_i|^2 - |mean s_i x_i|^2) / BATCH, s_i the losses' derivatives."""
        n = len(self.x)
        slopes = self.loss(self.residuals(w.reshape(-1, w.shape[-1])))[1]
        mean = slopes @ self.x / n
        second = np.square(slopes) @ np.sum(self.x * self.x, axis=1) / n
        return np.asarray(np.maximum(second - _dot(mean, mean), 0.0).reshape(w.shape[:-1]) / BATCH)

    def noise(self, steepest: float) -> float:
        """sup E|sampled - grad f|^2 <= mean |x_i|^2 steepest^2 / BATCH where the losses' derivatives are bounded."""
        return steepest**2 * float(np.mean(np.sum(self.x * self.x, axis=1))) / BATCH


def _with_rows(
    name: str, title: str, rows: _Rows, both: Both, minimiser: Array, solver: str, smoothness: float, steepest: float
) -> Problem:
    """A problem of rows; ``steepest`` bounds the derivative of the loss."""
    return Problem(
        name,
        title,
        len(minimiser),
        both,
        rows.draw,
        rows.sampled,
        rows.variance,
        rows.noise(steepest),
        smoothness,
        minimiser,
        solver,
        1 / smoothness,
    )


def _checked_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", name):
        raise InputError(
            f"the name of a problem is made of letters, digits, '-', '_' and '.' (64 at most), not {name[:40]!r}"
        )
    return name


def _numbers(given: Any, what: str, dimensions: int) -> Array:
    """A float64 copy. Raises `InputError` unless it is a nonempty array of finite numbers with that many axes."""
    try:
        found = np.asarray(given)
    except ValueError:
        raise InputError(f"{what} is no array: its rows differ in length") from None
    if found.dtype.kind not in "biuf":
        raise InputError(f"{what} must hold real numbers, not {found.dtype}")
    if found.ndim != dimensions or not found.size:
        raise InputError(f"{what} must be a nonempty array with {dimensions} axes, its shape is {found.shape}")
    found = np.array(found, dtype=float, order="C")
    if not np.isfinite(found).all():
        where = tuple(int(i) for i in np.argwhere(~np.isfinite(found))[0])
        raise InputError(f"{what} holds {found[where]} at {where if dimensions > 1 else where[0]}: it must be finite")
    if np.abs(found).max() > _LARGEST:
        raise InputError(f"{what} holds a number beyond {_LARGEST:g} in size: rescale it")
    return found


def _design(name: str, x: Any, y: Any, what: str) -> tuple[Array, Array, Array]:
    """X (n, d), y (n,) and X'X/n, checked."""
    _checked_name(name)
    matrix, values = _numbers(x, f"X of {name}", 2), _numbers(y, f"{what} of {name}", 1)
    if len(matrix) != len(values):
        raise InputError(f"X of {name} has {len(matrix)} rows, but {what} has {len(values)} numbers")
    hessian = matrix.T @ matrix / len(matrix)
    if not _top(hessian) > 1 / _LARGEST:
        raise InputError(f"X of {name} is zero, or too small to be told from it: rescale it")
    return matrix, values, hessian


def least_squares(name: str, x: Any, y: Any, title: str = "") -> Problem:
    """f(w) = |X w - y|^2 / (2 n) for X (n, d) and y (n,); L = lambda_max(X'X/n), least-norm minimiser by the SVD.

    The variance of the stochastic gradient grows with w, so ``noise`` is +inf. Raises `InputError` on arrays
    that are empty, of other shapes, not finite, beyond 1e50 in size, or an X of zeros; or a name unfit for files.
    """
    matrix, target, hessian = _design(name, x, y, "y")
    minimiser = np.linalg.lstsq(matrix, target, rcond=None)[0]
    rows = _Rows(matrix, target, _square)
    least = float(np.mean((matrix @ minimiser - target) ** 2)) / 2
    title = title or f"least squares, {name}, d = {len(minimiser)}"
    # both from X'X/n: one (d, d) product, and small gaps keep their digits
    both = _paraboloid(hessian, minimiser, least)
    return _with_rows(name, title, rows, both, minimiser, "singular values", _top(hessian), math.inf)


def logistic(name: str, x: Any, labels: Any, title: str = "") -> Problem:
    """f(w) = mean log(1 + exp(-y x'w)) + |w|^2 / (2 n) for X (n, d); y = +1 at the larger of two labels, else -1.

    The ridge term (1/n, scikit-learn's default penalty) makes the minimiser exist whether or not the classes
    are separable. L = lambda_max(X'X/n)/4 + 1/n; noise = mean |x_i|^2 / BATCH. Minimised by Newton's method.
    Raises `InputError` on arrays that are empty, of other shapes, not finite or beyond 1e50 in size, an X of
    zeros, labels (n,) of one or of more than two classes, a name unfit for files, or where the minimiser is not
    found to a gap of 1e-12.
    """
    matrix, classes, gram = _design(name, x, labels, "labels")
    kinds = np.unique(classes)
    if len(kinds) != 2:
        raise InputError(f"labels of {name} must be of two classes, not {len(kinds)}")
    n, d = matrix.shape
    signed = matrix * np.where(classes == kinds[1], 1.0, -1.0)[:, None]
    rows = _Rows(signed, None, _logistic_loss, ridge=1 / n)

    def curvature(slopes: Array) -> Array:
        return -slopes * (1 + slopes)

    minimiser, gap = _newton(rows, curvature, np.zeros(d))
    if not gap < 1e-12:
        raise InputError(f"Newton's method does not arrive for {name}: are columns of X nearly dependent?")
    title = title or f"logistic regression, {name}, d = {d}"
    return _with_rows(name, title, rows, rows.both, minimiser, "Newton", _top(gram) / 4 + 1 / n, 1.0)


def _newton(rows: _Rows, curvature: Callable[[Array], Array], w: Array) -> tuple[Array, float]:
    """A zero of the gradient, to rounding, and the gap <g, H^-1 g>/2 there that is left to second order.

    ``curvature``: derivatives of the losses -> their second derivatives. Steps are halved until the
    gradient shrinks, and the last point is one where none shrinks it. The gap is +inf at a singular H.
    """
    n = len(rows.x)
    # the method does not depend on the units of the columns, but its rounding does
    units = np.sqrt(np.mean(np.square(rows.x), axis=0) + rows.ridge)
    gradient, gap = rows.both(w)[1] / units, math.inf
    for _ in range(200):
        weights = curvature(rows.loss(rows.residuals(w[None]))[1][0])
        scaled = rows.x / units
        hessian = (scaled * weights[:, None]).T @ scaled / n + np.diag(rows.ridge / units**2)
        try:
            step = np.linalg.solve(hessian, gradient)
        except np.linalg.LinAlgError:
            return w, math.inf
        gap = abs(float(gradient @ step)) / 2
        size = np.linalg.norm(gradient)
        for k in range(40):
            trial = w - step / units / 2**k
            after = rows.both(trial)[1] / units
            if np.linalg.norm(after) < size * (1 - 0.25 / 2**k):
                break
        else:
            return w, gap
        w, gradient = trial, after
    return w, gap


def _standardised(x: Array) -> Array:
    """Every column with mean 0 and (population) standard deviation 1."""
    return np.asarray((x - x.mean(axis=0)) / x.std(axis=0))


def _sines(name: str, title: str, phases: Array) -> Problem:
    """Least squares with X = sqrt(2) sin(phases), y = X w0 + a disturbance, w0 in {-1, 1}^d."""
    n, d = phases.shape
    x = np.sqrt(2.0) * np.sin(phases)
    signs = np.where(np.sin(3.0 * np.arange(1.0, d + 1)) >= 0, 1.0, -1.0)
    return least_squares(name, x, x @ signs + np.sin(5.0 * np.arange(1.0, n + 1)), title)


def binary() -> Problem:
    """Least squares whose solution is to be quantized: X (24, 12) of sines, y = X w0 + a disturbance, w0 in {-1, 1}^12.

    `best_binary` enumerates {-1, 1}^12, so the global optimum over binary weights is known exactly.
    """
    rows, columns = np.arange(1.0, 25.0)[:, None], np.arange(1.0, 13.0)
    return _sines("binary", "least squares over binary weights, d = 12", rows * columns * np.sqrt(2.0))


def wide_least_squares() -> Problem:
    """Least squares with X (300, 100) of sines of sqrt(2) i^2 k: condition number 24."""
    rows, columns = np.arange(1.0, 301.0)[:, None], np.arange(1.0, 101.0)
    return _sines("wide-least-squares", "least squares, d = 100", rows**2 * columns * np.sqrt(2.0))


def _diabetes_data() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes

    x, y = load_diabetes(return_X_y=True, scaled=False)
    return _standardised(x), _standardised(y)


def diabetes() -> Problem:
    """Least squares f(w) = |X w - y|^2 / (2 n) on scikit-learn's diabetes data, X and y standardised."""
    return least_squares("diabetes", *_diabetes_data())


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
    rows, smooth = _Rows(x, y, _square, lasso=weight), diabetes()

    def both(w: Array) -> tuple[Array, Array]:
        return rows.penalised(w, *smooth.both(w))

    of = _with_rows("lasso", "LASSO, diabetes, d = 10", rows, both, minimiser, "LARS", math.inf, math.inf)
    return replace(of, step=smooth.step)


def huber() -> Problem:
    """Robust regression f(w) = mean h(x'w - y) on the diabetes data, h(e) = e^2/2 up to |e| = 1/2, then |e|/2 - 1/8.

    L = lambda_max(X'X/n), G = lambda_max(X'X/n)^(1/2) / 2, noise = mean |x_i|^2 / (4 BATCH). Minimised by Newton's
    method, which ends after finitely many steps since f is quadratic piece by piece.
    """
    x, y = _diabetes_data()
    delta, top = 0.5, _top(x.T @ x / len(y))
    rows = _Rows(x, y, _huber_loss(delta))

    def curvature(slopes: Array) -> Array:
        return np.asarray(np.abs(slopes) < delta, dtype=float)

    minimiser, _ = _newton(rows, curvature, np.linalg.solve(x.T @ x, x.T @ y))
    title = "robust regression, diabetes, d = 10"
    of = _with_rows("huber", title, rows, rows.both, minimiser, "Newton", top, delta)
    return replace(of, lipschitz=delta * top**0.5)


def breast_cancer() -> Problem:
    """Logistic regression (`logistic`) on scikit-learn's breast cancer data, X standardised; y = +1: benign."""
    from sklearn.datasets import load_breast_cancer

    x, classes = load_breast_cancer(return_X_y=True)
    return logistic("breast-cancer", _standardised(x), classes, "logistic regression, breast cancer, d = 30")


def wine() -> Problem:
    """Logistic regression (`logistic`) on scikit-learn's wine data, X standardised; y = +1: the class numbered 1."""
    from sklearn.datasets import load_wine

    x, classes = load_wine(return_X_y=True)
    return logistic("wine", _standardised(x), classes == 1, "logistic regression, wine, class 1 or not, d = 13")


PROBLEMS: dict[str, Callable[[], Problem]] = {
    "quadratic": quadratic,
    "diabetes": diabetes,
    "breast-cancer": breast_cancer,
    "plane": plane,
    "spectrum": spectrum,
    "binary": binary,
    "lasso": lasso,
    "huber": huber,
    "wide": wide,
    "wide-least-squares": wide_least_squares,
    "wine": wine,
    "modulus": modulus,
}
"""Every problem by its name; the value builds it. New ones go to the end: the place seeds the starting points."""

NAMES = tuple(PROBLEMS)
"""The names of the problems, in the order of `PROBLEMS`."""

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


__all__ = [
    "BATCH",
    "NAMES",
    "PROBLEMS",
    "SIGMA",
    "USUAL",
    "Array",
    "Problem",
    "best_binary",
    "least_squares",
    "logistic",
    "problem",
]
