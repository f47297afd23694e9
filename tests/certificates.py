"""Checks of (T, t, P) against (F, B) from the definition, used by several test modules.

`defects` returns sentences, an empty list where everything holds: mutants are handed to the same
function and must produce at least one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import sympy as sp

from theory.analytic import limit_at
from theory.errors import Undecided
from theory.exact import X, compare, enclose, equal, less, precision, rational_between, to_float
from theory.maps import PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair
from verify.lowering import lower

POINTS = tuple(
    sp.Rational(n, d)
    for n, d in ((-97, 13), (-23, 9), (-5, 4), (-3, 7), (-1, 11), (2, 15), (5, 8), (9, 8), (31, 12), (80, 11))
)


def same(a: Any, b: Any) -> bool:
    """a = b to 60 digits by enclosures, exactly for rationals."""
    if a == b or (a.is_Rational and b.is_Rational):
        return bool(a == b)
    for bits in (400, 1600):  # the root of an unrecognised 0 keeps half the digits
        with precision(bits):
            ball = enclose(a)
            gap = ball - enclose(b)
            if bool(gap.is_finite()) and bool(gap.contains(0)) and bool(gap.rad() < 1e-60 * (1 + abs(ball))):
                return True
    return False


def jumps(m: PiecewiseMap, x: Any) -> bool:
    for i, b in enumerate(m.breaks):
        if equal(b, x):
            return not equal(m.left(i), m.right(i))
    return False


def prox_defects(prox: PiecewiseMap) -> list[str]:
    """P monotone, its stated values inside the jumps, its graph closed (finite limits)."""
    found = []
    points = sorted({*POINTS, *(b for b in prox.breaks if b.is_Rational)})
    values = [prox(x) for x in points]
    for x, y, p, q in zip(points, points[1:], values, values[1:], strict=False):
        if p is None or q is None or less(q, p):
            found.append(f"P falls between {x} and {y}")
    for i, b in enumerate(prox.breaks):
        low, high, at = prox.left(i), prox.right(i), prox.values[i]
        if at is None or low in (sp.oo, -sp.oo) or high in (sp.oo, -sp.oo) or less(at, low) or less(high, at):
            found.append(f"P({b}) = {at} outside [{low}, {high}]")
    return found


def defects(pair: QuantizerPair, parts: Decomposition, smooth: bool, points: Sequence[Any] = POINTS) -> list[str]:
    """What is wrong with (T, t, P) as a decomposition of the pair; fields that are None are not looked at."""
    forward, backward = pair.forward, pair.backward
    if parts.prox is None:
        return []
    prox, transform, slope = parts.prox, parts.transform, parts.slope
    found = prox_defects(prox)
    if transform is None or slope is None:
        return found
    for x in (*points, *forward.breaks, *backward.breaks, *prox.breaks):
        if jumps(forward, x):
            continue  # a tie at a jump is not judged
        p = prox(x)
        if p is None:
            return [*found, f"P has no value at {x}"]
        for name, outer, inner in (("F", transform, forward), ("B", slope, backward)):
            expected = inner(x)
            if expected is None or expected.has(sp.zoo, sp.nan):
                continue
            got = outer(p)
            if got is None or got.has(sp.zoo, sp.nan) or not same(got, expected):
                found.append(f"{name}({x}) = {expected}, but (T, t, P) give {got}")
    return found + _transform_defects(prox, transform, slope, smooth)


def _transform_defects(prox: PiecewiseMap, transform: PiecewiseMap, slope: PiecewiseMap, smooth: bool) -> list[str]:
    """T continuous, t in the hull of its one-sided derivatives, T in C^1 where that was claimed."""
    found = []
    low, high = limit_at(prox.exprs[0], -sp.oo, 1), limit_at(prox.exprs[-1], sp.oo, -1)
    attained_low, attained_high = not prox.exprs[0].has(X), not prox.exprs[-1].has(X)
    if equal(low, high):
        return []
    derivative = transform.derivative()
    cuts = transform.refine(slope.breaks)
    fine, rates = derivative.refine(cuts.breaks), slope.refine(cuts.breaks)
    ends = [(low, attained_low, 1), (high, attained_high, -1)]
    for i, c in enumerate(cuts.breaks):
        if not (less(low, c) and less(c, high)):
            continue
        if not same(cuts.left(i), cuts.right(i)):
            found.append(f"T jumps at {c}")
        left, right, at = fine.left(i), fine.right(i), rates.values[i]
        if smooth and not (same(left, right) and at is not None and same(at, left)):
            found.append(f"T is not C^1 at {c}")
        elif at is None or compare(at, left) * compare(at, right) > 0:
            found.append(f"t({c}) = {at} outside the slopes {left}, {right}")
    for c, attained, side in ends:
        if attained and c not in (sp.oo, -sp.oo):
            refined = derivative.refine([c])
            k = next(i for i, b in enumerate(refined.breaks) if equal(b, c))
            inner = refined.right(k) if side == 1 else refined.left(k)
            if not same(slope(c), inner):
                found.append(f"t = {slope(c)} at the end {c} of the hull, where T' = {inner}")
    for e, d, (a, b) in zip(rates.exprs, fine.exprs, rates.ends, strict=True):
        a, b = (low if less(a, low) else a), (high if less(high, b) else b)
        if less(a, b):
            at = rational_between(a, b)
            if not same(e.subs(X, at), d.subs(X, at)):
                found.append(f"t is not T' at {at}")
    return found


# --------------------------------------------------------------------------- brute force over w


def minimiser_defect(prox: PiecewiseMap, regularizer: PiecewiseMap, reach: float = 4.0) -> float:
    """The largest excess of (w - x)^2/2 + r(w) at w = P(x) over its least value found by brute force.

    x runs over a grid and over the breakpoints of P, where both one-sided limits must minimise; w over
    a grid of [-reach, reach], all breakpoints of r and a fine grid around P(x). A correct P has an
    excess of rounding size; one that is d off has about d^2/2.
    """
    p, smooth_r = lower(prox), lower(regularizer)

    def r(w: Any) -> Any:
        """The stated value within rounding of a breakpoint, which may be no float."""
        out = smooth_r(w)
        for b, v in zip(regularizer.breaks, regularizer.values, strict=True):
            if v is not None:
                out = np.where(np.abs(w - to_float(b)) < 1e-12, to_float(v), out)
        return out

    x = np.linspace(-reach, reach, 161) + 0.003
    w = p(x)
    for i, b in enumerate(prox.breaks):
        for side in (prox.left(i), prox.right(i)):
            x, w = np.append(x, float(b)), np.append(w, float(side))
    atoms = np.array([float(b) for b in regularizer.breaks])
    coarse = np.concatenate([np.linspace(-reach, reach, 4001), atoms])
    with np.errstate(invalid="ignore"):
        common = r(coarse)
        near = w[:, None] + np.linspace(-0.02, 0.02, 81)[None, :]
        best = np.minimum(
            np.min((coarse[None, :] - x[:, None]) ** 2 / 2 + common[None, :], axis=1),
            np.nanmin((near - x[:, None]) ** 2 / 2 + r(near), axis=1),
        )
        own = (w - x) ** 2 / 2 + r(w)
    return float(np.max(own - best))


def constant_gap(a: PiecewiseMap, b: PiecewiseMap, at: Any) -> float:
    """How much a - b varies over the given points, where both are finite."""
    gap = lower(a)(at) - lower(b)(at)
    gap = gap[np.isfinite(gap)]
    return float(np.max(gap) - np.min(gap)) if gap.size else float("inf")


__all__ = ["POINTS", "Undecided", "constant_gap", "defects", "jumps", "minimiser_defect", "prox_defects", "same"]
