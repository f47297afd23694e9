"""A second look at a D_t or a margin that came out negative in float64: rounding, or really negative?

r may be a small difference of large numbers (logarithms, squares), and mu multiplies its error. So the size that a
negative value is compared with is first widened by the absolute sum of the terms inside r; what is still negative is
computed again in Arb, at the floats as they are.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np
import sympy as sp

from theory.balls import arb
from theory.errors import Undecided
from theory.exact import X, compare, enclose, precision
from theory.maps import OO, PiecewiseMap
from verify.lowering import Lowered, lower
from verify.problems import Array

LOOKS = 64
"""Values computed again in Arb at a time: what is beyond stays as it is."""
_BITS = 400


def _absolute(e: sp.Expr) -> sp.Expr:
    """The sum of the absolute values of what is added up inside e."""
    if e.is_Add:
        return sp.Add(*map(_absolute, e.args))
    if e.is_Mul:
        return sp.Mul(*map(_absolute, e.args))
    if e.is_Pow and e.exp.is_Integer and e.exp > 0:
        return _absolute(e.base) ** e.exp
    return sp.Abs(e)


class Rounding:
    """What is needed of one r (breakpoints at floats)."""

    def __init__(self, r: PiecewiseMap) -> None:
        self.r = r

    @cached_property
    def terms(self) -> Lowered:
        """x -> the absolute sum of the terms inside r(x), +inf where r is."""
        exprs = tuple(e if e is OO else _absolute(e) for e in self.r.exprs)
        values = tuple(v if v is None or v is OO else sp.Abs(v) for v in self.r.values)
        return lower(PiecewiseMap(self.r.breaks, exprs, values))

    def at(self, x: float) -> arb:
        """An enclosure of r(x) at the current precision. Raises `Undecided` where r is infinite or has no value."""
        point = sp.Rational(x)
        value = None
        for i, b in enumerate(self.r.breaks):
            order = compare(point, b)
            if order == 0:
                value = self.r.values[i]
                break
            if order < 0:
                value = self.r.exprs[i]
                break
        else:
            value = self.r.exprs[-1]
        if value is None or value is OO:
            raise Undecided(f"r is infinite at {x}")
        return enclose(value, arb(x)) if value.has(X) else enclose(value)

    def divergence(self, mu: float, u: Array, v: Array, w: Array) -> float:
        """D(w) summed over the coordinates of u, v, w (d,), from enclosures."""
        with precision(_BITS):
            total = arb(0)
            for a, b, c in zip(u.tolist(), v.tolist(), w.tolist(), strict=True):
                if b == c:
                    continue
                ua, vb, wc = arb(a), arb(b), arb(c)
                total += arb(mu) * (self.at(c) - self.at(b)) + (wc - vb) * ((wc + vb) / 2 - ua)
            return float(total.mid())

    def support(self, mu: float, u: float, v: float, w: float) -> float:
        """r(w) - r(v) - s (w - v) with s = (u - v)/mu, from enclosures."""
        with precision(_BITS):
            s = (arb(u) - arb(v)) / arb(mu)
            return float((self.at(w) - self.at(v) - s * (arb(w) - arb(v))).mid())

    def again(
        self, d: Array, size: Array, tolerance: float, mu: Array, u: Array, v: Array, w: Array, support: bool = False
    ) -> Array:
        """d / (1 + size) looked at again, for values (N,) that look negative; u, v, w (N, m), mu (N,)."""
        scale = 1.0 if support else mu
        with np.errstate(invalid="ignore"):
            wider = size + scale * (self.terms(v) + self.terms(w)).sum(axis=1)
        relative = np.asarray(d / (1.0 + wider))
        for k in np.flatnonzero(~(relative >= -tolerance))[:LOOKS]:
            try:
                if support:
                    exact = self.support(float(mu[k]), float(u[k, 0]), float(v[k, 0]), float(w[k, 0]))
                else:
                    exact = self.divergence(float(mu[k]), u[k], v[k], w[k])
            except Undecided:
                continue
            relative[k] = exact / (1.0 + size[k])
        return relative


__all__ = ["LOOKS", "Rounding"]
