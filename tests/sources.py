"""Every shipped pair once more, in plain numpy, from the formula of its source and at its default parameters.

Written by hand in another form than the declarations (masks, sums over levels, exponentials of -|x|),
and never by evaluating a declared text: a slip in a declaration has no copy here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

Array = Any
Function = Callable[[Array], Array]
HALF_LOG_5 = 0.80471895621705019  # artanh(2/3)


def sgn(x: Array) -> Array:
    return 1.0 * (x > 0) - 1.0 * (x < 0)


def one(x: Array) -> Array:
    return np.where(np.isnan(x), np.nan, 1.0)


def step(x: Array, at_zero: float) -> Array:
    return np.where(x == 0, at_zero, 1.0 * (x > 0))


def within(x: Array, c: float) -> Array:
    return 1.0 * ((x <= c) & (x >= -c))


def tanh(z: Array) -> Array:
    e = np.exp(-2 * np.abs(z))
    return sgn(z) * (1 - e) / (1 + e)


def sech2(z: Array) -> Array:
    """1 - tanh(z)^2 without cancellation."""
    e = np.exp(-2 * np.abs(z))
    return 4 * e / (1 + e) ** 2


def swish_slope(x: Array) -> Array:
    """SS'(x) = 2 b q (2 - z tanh(z/2)) with z = b x, q = s(z)(1 - s(z)), b = 5."""
    z = np.clip(5 * x, -800, 800)
    return 10 * sech2(z / 2) / 4 * (2 - z * tanh(z / 2))


def swish(x: Array) -> Array:
    """SS(x) = tanh(z/2) + 2 z q."""
    z = np.clip(5 * x, -800, 800)
    return tanh(z / 2) + z * sech2(z / 2) / 2


def levels(x: Array, at: list[float], low: float, heights: list[float]) -> Array:
    """A staircase: ``low``, then up by a height beyond each point; at the point itself still the lower level."""
    return low + sum(h * (x > c) for c, h in zip(at, heights, strict=True))


def up_from(x: Array, at: list[float], low: float, heights: list[float]) -> Array:
    """The same with the upper level at the points."""
    return low + sum(h * (x >= c) for c, h in zip(at, heights, strict=True))


def tent(x: Array) -> Array:
    return np.maximum(0.0, 2 - 2 * np.abs(x))


def shrink(x: Array, centre: Array, weight: float) -> Array:
    """centre + soft threshold of x - centre."""
    d = x - centre
    return centre + sgn(d) * np.maximum(np.abs(d) - weight, 0)


def nearest_ternary(x: Array) -> Array:
    return levels(np.abs(x), [0.5], 0.0, [1.0]) * sgn(x)


def reste(x: Array) -> Array:
    a = np.abs(x)
    root = np.cbrt(np.maximum(a, 0.1))
    return np.where(a <= 0.1, np.cbrt(0.1) * 10, np.where(a <= 1.5, 1 / (3 * root * root), 0.0))


def dsq_offset(x: Array) -> tuple[Array, Array]:
    """The centre of x's interval among [-1, -1/3], [-1/3, 1/3], [1/3, 1], and the distance to it."""
    m = np.where(x < -1 / 3, -2 / 3, np.where(x <= 1 / 3, 0.0, 2 / 3))
    return m, np.clip(x, -1, 1) - m


def dsq_slope(x: Array) -> Array:
    # s = 1/(1 - 1/5) = 5/4, k = log(9)/(2/3) = 3 log 3, height 1/3 of the interval
    _, d = dsq_offset(x)
    return np.where(np.abs(x) > 1, 0.0, 1.25 * np.log(3.0) * sech2(3 * np.log(3.0) * d))


def dsq_soft(x: Array) -> Array:
    m, d = dsq_offset(x)
    return np.where(np.abs(x) >= 1, sgn(x), m + 5 / 12 * tanh(3 * np.log(3.0) * d))


def sigmoid(z: Array) -> Array:
    e = np.exp(-np.abs(z))
    return np.where(z >= 0, 1.0, e) / (1 + e)


def far(x: Array) -> Array:
    """x where squares do not overflow; beyond, every formula that uses this has reached its limit."""
    return np.clip(x, -1e150, 1e150)


def erf(x: Array) -> Array:
    from scipy.special import erfc

    return sgn(x) * (1 - erfc(np.abs(x)))


def gauss(x: Array) -> Array:
    z = far(2 * x)
    return 2 / np.sqrt(np.pi) * np.exp(-z * z)


def lorentz(x: Array) -> Array:
    z = far(np.pi * x)
    return 1 / (1 + z * z)


def pact(x: Array) -> Array:
    return 2 / 3 * (1.0 * (x > 1 / 3) + (x >= 1) + (x > 5 / 3))


def no_oscillation_at_infinity(f: Function) -> Function:
    return lambda x: np.where(np.isinf(x), np.nan, f(np.where(np.isinf(x), 0.0, x)))


def harmonics(x: Array) -> Array:
    """The sum of cos(x), cos(3x), cos(5x) as a polynomial in cos(x): 3x itself would be rounded."""
    c = np.cos(x)
    return 4 / np.pi * (16 * c**5 - 16 * c**3 + 3 * c)


def wave(x: Array) -> Array:
    """exp(20 i x), again without rounding 20 x."""
    return (np.cos(x) + 1j * np.sin(x)) ** 20


def residues(x: Array, scales: list[float]) -> Array:
    """Signs of what is left after each scale, 0 counted as positive, times the scales."""
    total = np.zeros_like(x)
    for v in scales:
        total = total + v * np.where(x - total >= 0, 1.0, -1.0)
    return total


SOURCES: dict[str, tuple[Function, Function]] = {
    "FP": (lambda x: x, one),
    "BC": (sgn, one),
    "PC": (lambda x: sgn(x) * np.minimum(np.abs(x) + 0.25, 1), one),
    "BNN": (sgn, lambda x: within(x, 1)),
    "BNN+": (sgn, swish_slope),
    "BNN++": (swish, swish_slope),
    "ApproxSign": (sgn, tent),
    "MD-tanh": (tanh, one),
    "Ternary": (nearest_ternary, lambda x: within(x, 1)),
    "LeakySTE": (sgn, lambda x: 0.1 + 0.9 * within(x, 1)),
    "BinaryRelax": (lambda x: 0.5 * (x + sgn(x)), one),
    "IdentitySTE": (lambda x: step(x, 0), one),
    "ReLU-STE": (lambda x: step(x, 0), lambda x: 1.0 * (x > 0)),
    "ClippedReLU-STE": (lambda x: step(x, 0), lambda x: 1.0 * ((x > 0) & (x < 1))),
    "ClippedSTE": (sgn, lambda x: within(x, 1.5)),
    "SteHeaviside": (lambda x: step(x, 0), lambda x: within(x, 1)),
    "XNOR-Net": (lambda x: 0.5 * sgn(x), lambda x: 1 / 9 + 0.5 * within(x, 1)),
    "MagnitudeAwareSign": (lambda x: 0.5 * sgn(x), lambda x: 0.5 * within(x, 1)),
    "DoReFa-W1": (lambda x: 0.5 * sgn(x), one),
    "DoReFa-W2": (
        lambda x: -1 + 2 / 3 * (1.0 * (x > -HALF_LOG_5) + (x >= 0) + (x > HALF_LOG_5)),
        sech2,
    ),
    "DoReFa-A2": (
        lambda x: (1.0 * (x > 1 / 6) + (x >= 0.5) + (x > 5 / 6)) / 3,
        lambda x: 1.0 * ((x >= 0) & (x <= 1)),
    ),
    "AdaBin": (lambda x: np.where(x > 0.25, 0.75, np.where(x < 0.25, -0.25, 0.25)), lambda x: sech2((x - 0.25) / 5)),
    "BitNet": (lambda x: np.where(x > 0.1, 0.75, -0.75), one),
    "IR-Net": (sgn, lambda x: 2 * sech2(2 * x)),
    "RBNN": (sgn, lambda x: np.maximum(np.sqrt(2) - np.abs(x), 0)),
    "ReSTE": (sgn, reste),
    "ReSTE-soft": (np.cbrt, reste),
    "FDA-BNN": (sgn, no_oscillation_at_infinity(harmonics)),
    "ReActNet": (lambda x: np.where(x > 0.25, 1.0, -1.0), lambda x: tent(x - 0.25)),
    "BiPer": (lambda x: sgn(np.sin(x)), np.cos),
    "BiPer-soft": (
        no_oscillation_at_infinity(lambda x: wave(x).imag),
        no_oscillation_at_infinity(lambda x: 20 * wave(x).real),
    ),
    "DSQ": (lambda x: (sgn(x + 2 / 3) + sgn(x) + sgn(x - 2 / 3)) / 3, dsq_slope),
    "DSQ-soft": (dsq_soft, dsq_slope),
    "SelfBinarizing": (lambda x: tanh(2 * x), lambda x: 2 * sech2(2 * x)),
    "QuantizationNetworks": (
        lambda x: (tanh(5 * x + 2.5) + tanh(5 * x - 2.5)) / 2,
        lambda x: 2.5 * (sech2(5 * x + 2.5) + sech2(5 * x - 2.5)),
    ),
    "AlphaBlending": (lambda x: 0.5 * x + 0.5 * sgn(x), lambda x: 0.5 * one(x)),
    "BNext": (lambda x: np.clip(10 * np.clip(x, -1, 1), -1, 1), one),
    "MD-softmax": (lambda x: tanh(x / 2), lambda x: 2 * one(x)),
    "TWN": (lambda x: 0.75 * nearest_ternary(x), one),
    "TTQ": (
        lambda x: 0.75 * (x > 0.25) - 0.5 * (x < -0.25),
        lambda x: np.where(x > 0.25, 0.75, np.where(x < -0.25, 0.5, 1.0)),
    ),
    "BitNet-b1.58": (lambda x: 0.5 * (1.0 * (x > 0.25) - (x < -0.25)), one),
    "LSQ": (
        lambda x: -1 + 0.5 * (1.0 * (x > -0.75) + (x >= -0.25) + (x > 0.25)),
        lambda x: 1.0 * ((x > -1) & (x < 0.5)),
    ),
    "PACT": (pact, lambda x: 1.0 * ((x >= 0) & (x < 2))),
    "HWGQ": (
        lambda x: levels(x, [0.0, 0.807, 1.345], 0.0, [0.538] * 3),
        lambda x: 1.0 * ((x > 0) & (x <= 1.614)),
    ),
    "HWGQ-log": (
        lambda x: levels(x, [0.0, 0.807, 1.345], 0.0, [0.538] * 3),
        lambda x: (x > 0) / (1 + np.maximum(x - 1.614, 0)),
    ),
    "ABC-Net": (lambda x: up_from(x, [0.25], -1.0, [2.0]), lambda x: 1.0 * ((x >= -0.25) & (x <= 0.75))),
    "GXNOR-Net": (nearest_ternary, lambda x: 2 * (within(x, 0.75) - 1.0 * ((x < 0.25) & (x > -0.25)))),
    "BiT": (lambda x: 1.0 * (x > 0.75), lambda x: 1.0 * ((x >= 0.25) & (x <= 1.25))),
    "ProxQuant": (lambda x: shrink(x, sgn(x), 0.25), one),
    "ProxQuant-ternary": (lambda x: shrink(x, nearest_ternary(x), 0.125), one),
    "PARQ": (lambda x: sgn(x) * np.clip(2 * np.minimum(np.abs(x), 1) - 0.5, 0, 1), one),
    "PARQ-binary": (lambda x: np.where(np.abs(x) < 0.5, 2 * np.clip(x, -0.5, 0.5), sgn(x)), one),
    "PARQ-hard": (lambda x: 0.25 * (2 * step(x, 0) - 1), one),
    "LSBQ": (lambda x: residues(x, [0.75]), one),
    "LSBQ-2bit": (lambda x: residues(x, [0.75, 0.25]), one),
    "LSBQ-ternary": (lambda x: levels(x, [-0.375, 0.375], -0.75, [0.75, 0.75]), one),
    "ATan": (lambda x: step(x, 1), lorentz),
    "SigmoidSurrogate": (lambda x: step(x, 1), lambda x: sech2(2 * x)),
    "SoftSignSurrogate": (lambda x: step(x, 1), lambda x: 0.25 / (0.5 + far(np.abs(x))) ** 2),
    "SuperSpike": (lambda x: step(x, 1), lambda x: 0.01 / (0.1 + far(np.abs(x))) ** 2),
    "ErfSurrogate": (lambda x: step(x, 1), gauss),
    "PiecewiseExp": (lambda x: step(x, 1), lambda x: np.exp(-np.abs(x)) / 2),
    "PiecewiseQuadratic": (lambda x: step(x, 1), lambda x: tent(x) / 2),
    "PiecewiseLeakyReLU": (lambda x: step(x, 1), lambda x: np.where((x < 1) & (x > -1), 1.0, 0.01)),
    "NonzeroSignLogAbs": (lambda x: step(x, 1), lambda x: 1 / (1 + np.abs(x))),
    "STBP": (lambda x: step(x, 1), lambda x: 1.0 * ((x < 0.5) & (x > -0.5))),
    "ATan-soft": (lambda x: 0.5 + np.arctan2(np.pi * np.clip(x, -1e300, 1e300), 1) / np.pi, lorentz),
    "Erf-soft": (lambda x: 0.5 + erf(2 * x) / 2, gauss),
    "SoftSign-soft": (
        lambda x: 0.5 + 0.5 * sgn(x) * (1 - 1 / (1 + 2 * np.abs(x))),
        lambda x: 0.25 / (0.5 + far(np.abs(x))) ** 2,
    ),
}
"""F and B of each shipped pair."""
