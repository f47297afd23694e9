"""ProxConnect++: training with a forward-backward pair, as F and B or as T, t and P.

    v_t = P(u_t),  w_t = T(v_t),  g_t = t(v_t) * grad f(w_t),  u_{t+1} = u_t - eta_t g_t

(MATH.md, section 2). u has shape (S, d): S independent runs, d coordinates. A `Scheme` says how one
pair is run and which convergence identity its ledger carries:

- ``advance``: mu_{t+1} = mu_t + eta_t and P = P_r^{mu_t}; certifies f o T + r.
- ``fixed``: mu stays 1, dual averaging with the mirror function r + |.|^2/2; certifies f o T.
- ``sign-field``: an unprincipled pair with a monotone F: T = id, P = F, g = B(u) * grad f(F(u)).
- ``none``: no ledger, and ``reason`` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import sympy as sp
from numpy.typing import NDArray

from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.exact import X, compare, equal, sign_of, to_float
from theory.maps import OO, PiecewiseMap
from theory.pairs import QuantizerPair, Regularizer, Verdict
from verify.lowering import Lowered, lower

Array = NDArray[Any]
Mode = Literal["advance", "fixed", "sign-field", "none"]
Step = Callable[[Array, float], tuple[Array, Array, Array]]


# --------------------------------------------------------------------------- one step, in two styles


def pair_step(forward: Lowered, backward: Lowered, gradient: Callable[[Array], Array]) -> Step:
    """(u, eta) -> (w, g, next u) calling only F and B: w = F(u), g = B(u) * grad f(w)."""

    def step(u: Array, eta: float) -> tuple[Array, Array, Array]:
        w = forward(u)
        g = backward(u) * gradient(w)
        return w, g, u - eta * g

    return step


def decomposed_step(transform: Lowered, slope: Lowered, prox: Lowered, gradient: Callable[[Array], Array]) -> Step:
    """(u, eta) -> (w, g, next u) calling only T, t and P: v = P(u), w = T(v), g = t(v) * grad f(w)."""

    def step(u: Array, eta: float) -> tuple[Array, Array, Array]:
        v = prox(u)
        w = transform(v)
        g = slope(v) * gradient(w)
        return w, g, u - eta * g

    return step


def trajectory(step: Step, start: Array, etas: Iterable[float]) -> Iterator[tuple[Array, Array, Array]]:
    """(u_t, w_t, g_t) for t = 1, 2, ...; shapes (S, d)."""
    u = start
    for eta in etas:
        w, g, after = step(u, eta)
        yield u, w, g
        u = after


# --------------------------------------------------------------------------- P as mu advances


def moved_vertices(x: Any, p: Any, slopes: tuple[Any, Any], mu: Any) -> tuple[Any, tuple[Any, Any]]:
    """Abscissae and end slopes of P_r^mu from those of P^1, in the arithmetic of the arrays x and p.

    The vertex (x, p) moves to (p + mu (x - p), p), since (x - p) is in dr(p); the slope a becomes a/(a + mu (1 - a)).
    """
    low, high = (a / (a + mu * (1 - a)) for a in slopes)
    return p + mu * (x - p), (low, high)


@dataclass(frozen=True)
class ProxPath:
    """mu -> P_r^mu. ``vertices`` of the graph of P^1 are set where P depends on mu."""

    base: Lowered
    vertices: tuple[Array, Array] | None = None  # x and p, increasing
    end_slopes: tuple[float, float] = (1.0, 1.0)

    def at(self, mu: float) -> Lowered:
        """P_r^mu of the present r."""
        if self.vertices is None or mu == 1.0:
            return self.base
        x, p = self.vertices
        moved, (low, high) = moved_vertices(x, p, self.end_slopes, mu)

        def prox(u: Array) -> Array:
            inside = np.interp(u, moved, p)
            left, right = np.minimum(u - moved[0], 0.0), np.maximum(u - moved[-1], 0.0)
            return np.asarray(inside + low * left + high * right)

        return prox


def _zero_or_infinite(r: PiecewiseMap) -> bool:
    return all(e in (sp.Integer(0), OO) for e in r.exprs) and all(v in (sp.Integer(0), OO, None) for v in r.values)


@dataclass(frozen=True)
class Vertices:
    """The graph of a continuous piecewise-linear P^1, exactly: vertices (x, p) and the slopes beyond the ends."""

    marks: tuple[Any, ...]
    points: tuple[Any, ...]
    slopes: tuple[Any, Any]


def vertices(prox: PiecewiseMap, r: PiecewiseMap) -> Vertices | None:
    """What `ProxPath` needs of P, None if P does not depend on mu (r with values 0 and +oo).

    Raises `InputError` with the reason where P_r^mu is not implemented: see `advancing`.
    """
    if _zero_or_infinite(r):
        return None
    slopes: list[Any] = []
    for e in prox.exprs:
        if not e.is_polynomial(X) or sp.degree(e, X) > 1:
            raise InputError("mu is not advanced: P depends on mu and is not piecewise linear")
        slopes.append(sp.diff(e, X))
    steep = any(sign_of(s) < 0 or compare(s, sp.Integer(1)) > 0 for s in slopes)
    if steep or not all(equal(prox.left(i), prox.right(i)) for i in range(len(prox.breaks))):
        raise InputError("mu is not advanced: P depends on mu and r is not convex")
    marks = prox.breaks or (sp.Integer(0),)
    points = tuple(prox.right(i) for i in range(len(prox.breaks))) or (prox.exprs[0].subs(X, 0),)
    return Vertices(tuple(marks), points, (slopes[0], slopes[-1]))


def advancing(prox: PiecewiseMap, r: PiecewiseMap) -> ProxPath:
    """P_r^mu for growing mu.

    Implemented for r with values 0 and +oo (P does not depend on mu) and for piecewise-linear,
    continuous P with slopes in [0, 1] (convex r: vertices move linearly). Raises `InputError` with
    the reason for any other.
    """
    corners = vertices(prox, r)
    if corners is None:
        return ProxPath(lower(prox))
    x, p = (np.array([to_float(c) for c in row]) for row in (corners.marks, corners.points))
    return ProxPath(lower(prox), (x, p), (to_float(corners.slopes[0]), to_float(corners.slopes[1])))


# --------------------------------------------------------------------------- how a pair is run


@dataclass(frozen=True)
class Scheme:
    """One pair ready to run: maps on arrays (S, d), the mode, and r where a ledger is carried.

    ``factor(u, v)`` is what multiplies grad f(T(v)): t(v), or B(u) in ``sign-field`` and ``none``.
    ``convex`` tells whether r is convex (None: not settled). In mode ``none`` v stands for u and
    transform for F.
    """

    mode: Mode
    transform: Lowered
    factor: Callable[[Array, Array], Array]
    prox: ProxPath
    regularizer: PiecewiseMap | None = None
    convex: bool | None = None
    affine: bool = False
    reason: str = ""

    @property
    def advances(self) -> bool:
        return self.mode == "advance"


def _reading(r: Regularizer) -> PiecewiseMap | None:
    """The largest reading: the one in which a two-valued P is a projection."""
    return r.largest if r.largest is not None else r.smallest


def without_ledger(pair: QuantizerPair, reason: str) -> Scheme:
    """The pair run by F and B alone."""
    forward, backward = lower(pair.forward), lower(pair.backward)
    return Scheme("none", forward, lambda u, _: backward(u), ProxPath(lambda u: u), reason=reason)


def scheme(pair: QuantizerPair, verdict: Verdict | None = None, mode: Mode | None = None) -> Scheme:
    """How to run a pair. ``mode``: asks for ``advance`` or ``fixed``; without it advance where it is implemented.

    Raises `InputError` with the reason if ``advance`` was asked for and is not implemented for the
    pair's r, or if an unprincipled pair is asked to run as a principled one.
    """
    known = decide(pair) if verdict is None else verdict
    if not known.principled:
        if mode in ("advance", "fixed"):
            raise InputError(f"mode {mode} needs a principled pair, and this one is {known.grade}: {known.reason}")
        return _sign_field(pair)
    d = known.decomposition
    if d is None or d.transform is None or d.slope is None or d.prox is None:
        return without_ledger(pair, "the decomposition has no closed form, so there is no ledger")
    r = _reading(d.regularizer)
    if r is None:
        return without_ledger(pair, "the regularizer has no closed form, so there is no ledger")
    note = ""
    chosen: Mode = "fixed"
    path = ProxPath(lower(d.prox))
    if mode in (None, "advance"):
        try:
            path, chosen = advancing(d.prox, r), "advance"
        except InputError as refusal:
            if mode == "advance":
                raise
            note = str(refusal)
    slope = lower(d.slope)
    affine = not d.transform.breaks and d.transform.exprs[0].is_polynomial(X) and sp.degree(d.transform.exprs[0], X) < 2
    return Scheme(chosen, lower(d.transform), lambda _, v: slope(v), path, r, _convexity(d.prox), bool(affine), note)


def _convexity(prox: PiecewiseMap) -> bool | None:
    """Whether this P (not only some admissible one) is the proximal map of a convex r."""
    return decide(QuantizerPair(prox, PiecewiseMap.of(1))).convex


def _sign_field(pair: QuantizerPair) -> Scheme:
    """T = id, P = F, g = B(u) * grad f(F(u)): identity (I) holds for any g, if only F is proximal."""
    own = decide(QuantizerPair(pair.forward, PiecewiseMap.of(1)))
    if own.grade == "undecided":
        return without_ledger(pair, f"no ledger: whether F is monotone is undecided ({own.reason})")
    if own.decomposition is None:
        return without_ledger(pair, f"no ledger: F is not a proximal map ({own.reason})")
    r = _reading(own.decomposition.regularizer)
    prox = own.decomposition.prox
    if r is None or prox is None:
        return without_ledger(pair, "no ledger: F is monotone but its regularizer has no closed form")
    try:
        if not prox.agrees(pair.forward):
            return without_ledger(pair, "no ledger: P = F + constant, and the constant is not 0")
    except Undecided as open_question:
        return without_ledger(pair, f"no ledger: whether P = F is undecided ({open_question})")
    backward = lower(pair.backward)
    path = ProxPath(lower(prox))
    return Scheme("sign-field", lambda v: v, lambda u, _: backward(u), path, r, own.convex, True)


__all__ = [
    "Mode",
    "ProxPath",
    "Scheme",
    "Step",
    "Vertices",
    "advancing",
    "decomposed_step",
    "moved_vertices",
    "pair_step",
    "scheme",
    "trajectory",
    "vertices",
    "without_ledger",
]
