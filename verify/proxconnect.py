"""ProxConnect++: training with a forward-backward pair, as F and B or as T, t and P.

    v_t = P(u_t),  w_t = T(v_t),  g_t = t(v_t) * grad f(w_t),  u_{t+1} = u_t - eta_t g_t

(docs/mathematics.md, section 2). u has shape (S, d): S independent runs, d coordinates. A `Scheme` says how one
pair is run and which convergence identity its ledger carries:

- ``advance``: mu_{t+1} = mu_t + eta_t and P = P_r^{mu_t}; certifies f o T + r.
- ``fixed``: mu stays 1, dual averaging with the mirror function r + |.|^2/2; certifies f o T.
- ``sign-field``: an unprincipled pair with a monotone F: T = id, P = F, g = B(u) * grad f(F(u)).
- ``none``: no ledger, and ``reason`` says why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
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
NOT_ADVANCED = "mu is not advanced: r is neither piecewise quadratic nor known to be convex"


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


class ProxPath:
    """mu -> P_r^mu, for a P that does not depend on mu: r takes no value but 0 and +inf."""

    def __init__(self, base: Lowered) -> None:
        self.base = base

    def at(self, mu: Array | float) -> Lowered:
        """P_r^mu of the present r; mu > 0 broadcasts with what the map is applied to (below 1: for convex r)."""
        return self.base if np.all(mu == 1.0) else self._moved(np.asarray(mu, dtype=float))

    def _moved(self, mu: Array) -> Lowered:
        return self.base


class VertexPath(ProxPath):
    """P continuous and piecewise linear with slopes in [0, 1]: its vertices move linearly (`moved_vertices`)."""

    def __init__(self, base: Lowered, x: Array, p: Array, slopes: tuple[float, float]) -> None:
        super().__init__(base)
        self.x, self.p, self.slopes = x, p, slopes

    def _moved(self, mu: Array) -> Lowered:
        moved, (low, high) = moved_vertices(
            self.x.reshape(-1, *[1] * mu.ndim), self.p.reshape(-1, *[1] * mu.ndim), self.slopes, mu
        )
        p = self.p.tolist()

        def prox(u: Array) -> Array:
            out = p[0] + low * np.minimum(u - moved[0], 0.0)
            for i in range(1, len(p)):
                # clipped, so that a level of P is met exactly
                ramp = p[i - 1] + (p[i] - p[i - 1]) / (moved[i] - moved[i - 1]) * (u - moved[i - 1])
                out = np.where(u >= moved[i - 1], np.minimum(ramp, p[i]), out)
            return np.asarray(np.where(u >= moved[-1], p[-1] + high * (u - moved[-1]), out))

        return prox


@dataclass(frozen=True)
class Quadratics:
    """r piece by piece: ``arcs`` (low, high, a, b, c) with r(w) = a w^2 + b w + c between, ``points`` (w, r(w))."""

    arcs: tuple[tuple[Any, Any, Any, Any, Any], ...]
    points: tuple[tuple[Any, Any], ...]


def quadratics(r: PiecewiseMap) -> Quadratics | None:
    """A piecewise quadratic r, exactly; None for any other."""
    arcs = []
    for e, (low, high) in zip(r.exprs, r.ends, strict=True):
        if e is OO:
            continue
        if not e.is_polynomial(X) or sp.degree(e, X) > 2:
            return None
        poly = sp.Poly(e, X)
        arcs.append((low, high, *(poly.coeff_monomial(X**k) for k in (2, 1, 0))))
    points = tuple((b, x) for b, x in zip(r.breaks, r.values, strict=True) if x is not None and x is not OO)
    return Quadratics(tuple(arcs), points)


def bounded_below(r: Quadratics | None) -> Quadratics | None:
    """r itself. Raises `InputError` where it falls like -w^2."""
    if r is not None and any((low == -OO or high == OO) and sign_of(a) < 0 for low, high, a, _, _ in r.arcs):
        raise InputError("mu is not advanced: r falls like -w^2, so it has no proximal map once mu is large")
    return r


class CandidatePath(ProxPath):
    """r piecewise quadratic, convex or not: the least of mu r(w) + w^2/2 - u w over the few points where it can be.

    These are the stationary point of each arc, moved into a convex arc's closure, and the breakpoints of r that are no
    such arc's ends; of equal ones the largest is taken.
    """

    def __init__(self, base: Lowered, r: Quadratics) -> None:
        super().__init__(base)
        ends = {end for arc in r.arcs if sign_of(arc[2]) >= 0 for end in arc[:2] if reached(r, arc, end)}
        places: list[tuple[float, Any]] = [
            (to_float(w), (to_float(w), to_float(value))) for w, value in r.points if w not in ends
        ]
        for arc in r.arcs:
            closed = sign_of(arc[2]) >= 0 and all(end in (OO, -OO) or end in ends for end in arc[:2])
            places.append((to_float(arc[0]), (*map(to_float, arc), closed)))
        # from the left, so that the later one of equal candidates is the larger
        self.places = [place for _, place in sorted(places, key=lambda item: item[0])]

    def _moved(self, mu: Array) -> Lowered:
        def prox(u: Array) -> Array:
            best = np.full(np.broadcast_shapes(u.shape, mu.shape), np.nan)
            least = np.full(best.shape, np.inf)

            def offer(w: Array | float, value: Array) -> None:
                np.copyto(best, w, where=value <= least)
                np.minimum(least, value, out=least)

            for place in self.places:
                if len(place) == 2:
                    w, r_w = place
                    offer(w, (mu * r_w + 0.5 * w * w) - u * w)
                    continue
                low, high, a, b, c, closed = place
                bend = 2.0 * mu * a + 1.0
                if closed:
                    at = np.clip((u - mu * b) / bend, low, high)
                    offer(at, at * (at * (mu * a + 0.5) + (mu * b - u)) + mu * c)
                    continue
                with np.errstate(divide="ignore", invalid="ignore"):
                    at = (u - mu * b) / bend
                inside = (at > low) & (at < high) & (bend > 0)
                at = np.where(inside, at, 0.0)
                value = at * (at * (mu * a + 0.5) + (mu * b - u)) + mu * c
                offer(at, np.where(inside, value, np.inf))
            return best

        return prox


def reached(r: Quadratics, arc: tuple[Any, Any, Any, Any, Any], end: Any) -> bool:
    """Whether r takes at the end of an arc the value that the arc has there."""
    if end in (OO, -OO):
        return False
    value = next((x for w, x in r.points if w == end), None)
    return value is not None and equal(value, arc[2] * end**2 + arc[3] * end + arc[4])


def root(base: Lowered, slope: Lowered, mu: Any, u: Any, xp: Any = np) -> Any:
    """P_r^mu(u) = P(x) for convex r; x solves (1 - mu) P(x) + mu x = u, a function with slopes between 1 and mu.

    ``base`` and ``slope`` are P and P'. u: float64 array, or tensor where ``xp`` is torch and mu a float.
    """
    x = u / mu
    low, high = xp.full_like(u, -np.inf, dtype=xp.float64), xp.full_like(u, np.inf, dtype=xp.float64)
    for _ in range(100):
        p = base(x)
        excess = (1.0 - mu) * p + mu * x - u
        if not (xp.abs(excess) > 1e-15 * (xp.abs(u) + mu)).any():
            break
        reach = x - excess / np.minimum(mu, 1.0)  # the slopes are at least min(mu, 1): the root is no farther
        low = xp.maximum(low, xp.where(excess > 0, reach, x))
        high = xp.minimum(high, xp.where(excess > 0, x, reach))
        after = x - excess / (mu - (mu - 1.0) * slope(x))
        after = xp.where((after >= low) & (after <= high), after, 0.5 * (low + high))
        if (after == x).all():
            break
        x = after
    return p


class RootPath(ProxPath):
    """r convex: see `root`."""

    def __init__(self, base: Lowered, slope: Lowered) -> None:
        super().__init__(base)
        self.slope = slope

    def _moved(self, mu: Array) -> Lowered:
        return lambda u: root(self.base, self.slope, mu, u)


def zero_or_infinite(r: PiecewiseMap) -> bool:
    """Whether r takes the values 0 and +oo alone."""
    return all(e in (sp.Integer(0), OO) for e in r.exprs) and all(v in (sp.Integer(0), OO, None) for v in r.values)


@dataclass(frozen=True)
class Vertices:
    """The graph of a continuous piecewise-linear P^1, exactly: vertices (x, p) and the slopes beyond the ends."""

    marks: tuple[Any, ...]
    points: tuple[Any, ...]
    slopes: tuple[Any, Any]


def vertices(prox: PiecewiseMap) -> Vertices | None:
    """The vertices of a continuous piecewise-linear P with slopes in [0, 1]; None for any other."""
    slopes: list[Any] = []
    for e in prox.exprs:
        if not e.is_polynomial(X) or sp.degree(e, X) > 1:
            return None
        slopes.append(sp.Poly(e, X).coeff_monomial(X))
    steep = any(sign_of(s) < 0 or compare(s, sp.Integer(1)) > 0 for s in slopes)
    if steep or not all(equal(prox.left(i), prox.right(i)) for i in range(len(prox.breaks))):
        return None
    marks = prox.breaks or (sp.Integer(0),)
    points = tuple(prox.right(i) for i in range(len(prox.breaks))) or (prox.exprs[0].subs(X, 0),)
    return Vertices(tuple(marks), points, (slopes[0], slopes[-1]))


def advancing(prox: PiecewiseMap, r: PiecewiseMap, convex: bool | None = None) -> ProxPath:
    """P_r^mu for growing mu, P = P_r^1; ``convex`` says whether r is known to be convex.

    Implemented for r with values 0 and +oo (P does not depend on mu), for piecewise-quadratic r, convex or not, and
    for any convex r. Raises `InputError` with the reason for any other.
    """
    base = lower(prox)
    if zero_or_infinite(r):
        return ProxPath(base)
    corners = vertices(prox)
    if corners is not None:
        x, p = (np.array([to_float(c) for c in row]) for row in (corners.marks, corners.points))
        return VertexPath(base, x, p, (to_float(corners.slopes[0]), to_float(corners.slopes[1])))
    arcs = bounded_below(quadratics(r))
    if arcs is not None:
        return CandidatePath(base, arcs)
    if convex:
        return RootPath(base, lower(prox.derivative()))
    raise InputError(NOT_ADVANCED)


def minimising(prox: PiecewiseMap, r: PiecewiseMap) -> PiecewiseMap:
    """P with minimisers of r(w) + w^2/2 - x w as its ties; where P(x) is none (sign(0) = 0), the value just above x."""

    def energy(x: Any, w: Any) -> Any:
        at = r(w)
        return OO if at is None or at is OO else at + w**2 / 2 - x * w

    values = list(prox.values)
    for i, (x, tie) in enumerate(zip(prox.breaks, prox.values, strict=True)):
        above = prox.right(i)
        if tie is not None and (equal(tie, above) or equal(tie, prox.left(i))):
            continue
        own = OO if tie is None else energy(x, tie)
        if own is OO or not equal(own, energy(x, above)):
            values[i] = above
    return replace(prox, values=tuple(values))


# --------------------------------------------------------------------------- how a pair is run


@dataclass(frozen=True)
class Scheme:
    """One pair ready to run: maps on arrays (S, d), the mode, and r where a ledger is carried.

    ``factor(u, v)`` is what multiplies grad f(T(v)): t(v), or B(u) in ``sign-field`` and ``none``.
    ``convex`` tells whether r is convex (None: not settled); ``identity`` that T = id (then t = 1, but in
    ``sign-field``). In mode ``none`` v stands for u and transform for F.
    """

    mode: Mode
    transform: Lowered
    factor: Callable[[Array, Array], Array]
    prox: ProxPath
    regularizer: PiecewiseMap | None = None
    convex: bool | None = None
    affine: bool = False
    reason: str = ""
    identity: bool = False

    @property
    def advances(self) -> bool:
        return self.mode == "advance"

    @property
    def transforms(self) -> bool:
        """Whether the pair is run by a T of its own that is not the identity."""
        return self.mode in ("advance", "fixed") and not self.identity

    @property
    def indicator(self) -> bool:
        """Whether r takes the values 0 and +inf alone."""
        return self.regularizer is not None and zero_or_infinite(self.regularizer)


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
    prox = minimising(d.prox, r)
    convex = convexity(d.prox)
    path = ProxPath(lower(prox))
    if mode in (None, "advance"):
        try:
            path, chosen = advancing(prox, r, convex), "advance"
        except InputError as refusal:
            if mode == "advance":
                raise
            note = str(refusal)
    slope = lower(d.slope)
    affine = not d.transform.breaks and d.transform.exprs[0].is_polynomial(X) and sp.degree(d.transform.exprs[0], X) < 2
    identity = d.transform.exprs == (X,) and d.slope.constant == 1
    return Scheme(chosen, lower(d.transform), lambda _, v: slope(v), path, r, convex, bool(affine), note, identity)


def convexity(prox: PiecewiseMap) -> bool | None:
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
    path = ProxPath(lower(minimising(prox, r)))
    return Scheme("sign-field", lambda v: v, lambda u, _: backward(u), path, r, own.convex, True, "", True)


__all__ = [
    "NOT_ADVANCED",
    "CandidatePath",
    "Mode",
    "ProxPath",
    "Quadratics",
    "RootPath",
    "Scheme",
    "Step",
    "VertexPath",
    "Vertices",
    "advancing",
    "bounded_below",
    "convexity",
    "decomposed_step",
    "minimising",
    "moved_vertices",
    "pair_step",
    "quadratics",
    "reached",
    "root",
    "scheme",
    "trajectory",
    "vertices",
    "without_ledger",
    "zero_or_infinite",
]
