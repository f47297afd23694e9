"""ProxConnect++ in rational arithmetic: the convergence identities with difference exactly 0.

Every number is a Fraction, so nothing is rounded: for pairs and problems given by polynomials with
rational coefficients piece by piece, both sides of (I) and (II) (docs/mathematics.md, section 4) are compared with
``==``. Runs are short, since the digits grow with every step. The float64 ledger is `verify.ledger`.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import sympy as sp

from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.exact import X
from theory.files import write_csv
from theory.maps import OO, PiecewiseMap
from theory.pairs import QuantizerPair
from verify.converge import Plan, check_arguments, plan
from verify.ledger import Sides, divergence_at, identity_sides
from verify.problems import PROBLEMS, Problem, problem
from verify.proxconnect import (
    CandidatePath,
    Mode,
    Quadratics,
    Scheme,
    VertexPath,
    Vertices,
    minimising,
    moved_vertices,
    quadratics,
    scheme,
    vertices,
)
from verify.runs import PairSpec, starting_point
from verify.schedules import USUAL_SCHEDULE, schedule, step_sizes

Numbers = list[Fraction]
Scalar = Callable[[Fraction], Fraction]
FINEST = 100
"""Largest denominator of the step sizes of a run."""


def _fraction(c: Any, what: str) -> Fraction:
    if not getattr(c, "is_Rational", False):
        raise InputError(f"rational arithmetic needs rational numbers, but {what} holds {c}")
    return Fraction(int(c.p), int(c.q))


@dataclass(frozen=True)
class RationalMap:
    """A piecewise map with rational breakpoints and polynomial pieces: Fraction -> Fraction.

    ``pieces``: coefficients, highest power first; None where the map is +oo. Raises `InputError` at a
    breakpoint without a value, or where the map is infinite.
    """

    breaks: tuple[Fraction, ...]
    pieces: tuple[tuple[Fraction, ...] | None, ...]
    values: tuple[Fraction | None, ...]
    what: str

    @classmethod
    def of(cls, m: PiecewiseMap, what: str) -> RationalMap:
        """The same map. Raises `InputError` if a breakpoint, coefficient or value is not rational."""

        def piece(e: Any) -> tuple[Fraction, ...] | None:
            if e is OO:
                return None
            if m.windowed or not e.is_polynomial(X):
                raise InputError(f"rational arithmetic needs polynomial pieces, but {what} holds {e}")
            return tuple(_fraction(c, what) for c in sp.Poly(e, X).all_coeffs())

        return cls(
            tuple(_fraction(b, what) for b in m.breaks),
            tuple(piece(e) for e in m.exprs),
            tuple(None if v is None or v is OO else _fraction(v, what) for v in m.values),
            what,
        )

    def _at(self, x: Fraction) -> Fraction | None:
        i = bisect_left(self.breaks, x)
        if i < len(self.breaks) and self.breaks[i] == x:
            return self.values[i]
        piece = self.pieces[i]
        if piece is None:
            return None
        found = Fraction(0)
        for c in piece:
            found = found * x + c
        return found

    def finite(self, x: Fraction) -> bool:
        """Whether the map has a finite value at x."""
        return self._at(x) is not None

    def __call__(self, x: Fraction) -> Fraction:
        found = self._at(x)
        if found is None:
            raise InputError(f"{self.what} has no finite value at {x}")
        return found


def _moving(corners: Vertices) -> Callable[[Fraction], Scalar]:
    """mu -> P_r^mu for a piecewise-linear P^1."""
    x, p = (np.array([_fraction(c, "P") for c in row]) for row in (corners.marks, corners.points))
    ends = (_fraction(corners.slopes[0], "P"), _fraction(corners.slopes[1], "P"))

    def at(mu: Fraction) -> Scalar:
        moved, (low, high) = moved_vertices(x, p, ends, mu)

        def prox(u: Fraction) -> Fraction:
            i = bisect_left(moved, u)
            if i == 0:
                return Fraction(p[0] + low * (u - moved[0]))
            if i == len(moved):
                return Fraction(p[-1] + high * (u - moved[-1]))
            return Fraction(p[i - 1] + (p[i] - p[i - 1]) * (u - moved[i - 1]) / (moved[i] - moved[i - 1]))

        return prox

    return at


def _choosing(r: Quadratics) -> Callable[[Fraction], Scalar]:
    """mu -> P_r^mu for a piecewise quadratic r: see `verify.proxconnect.CandidatePath`."""
    arcs = []
    for low, high, *coefficients in r.arcs:
        left, right = (None if end in (OO, -OO) else _fraction(end, "r") for end in (low, high))
        a, b, c = (_fraction(k, "r") for k in coefficients)
        arcs.append((left, right, a, b, c))
    points = [(_fraction(w, "r"), _fraction(value, "r")) for w, value in r.points]

    def at(mu: Fraction) -> Scalar:
        def prox(u: Fraction) -> Fraction:
            offers = [(mu * value + w * w / 2 - u * w, -w) for w, value in points]
            for low, high, a, b, c in arcs:
                bend = 2 * mu * a + 1
                if bend <= 0:
                    continue
                w = (u - mu * b) / bend
                if (low is None or low < w) and (high is None or w < high):
                    offers.append((mu * (w * (a * w + b) + c) + w * w / 2 - u * w, -w))
            return -min(offers)[1]

        return prox

    return at


@dataclass(frozen=True)
class RationalScheme:
    """One pair ready to run on Fractions, in the mode that `verify.proxconnect.scheme` chooses."""

    mode: Mode
    transform: Scalar
    factor: Callable[[Fraction, Fraction], Fraction]
    prox: Callable[[Fraction], Scalar]
    r: Scalar

    @property
    def advances(self) -> bool:
        return self.mode == "advance"


def rational_scheme(pair: QuantizerPair) -> RationalScheme:
    """How to run a pair exactly. At a tie where P(x) is no minimiser (sign(0) = 0) the one above is taken.

    Raises `InputError` with the reason if the pair carries no ledger, or a map of it is not made of
    polynomials with rational coefficients.
    """
    verdict = decide(pair)
    try:
        how = scheme(pair, verdict)
    except Undecided as open_question:
        raise InputError(f"{pair.name or 'the pair'} cannot be run: {open_question}") from None
    if how.mode == "none" or how.regularizer is None:
        raise InputError(f"{pair.name or 'the pair'} has no ledger: {how.reason}")
    r = RationalMap.of(how.regularizer, "r")
    if how.mode == "sign-field":
        forward = RationalMap.of(minimising(pair.forward, how.regularizer), "F")
        backward = RationalMap.of(pair.backward, "B")
        return RationalScheme(how.mode, lambda v: v, lambda u, _: backward(u), lambda _: forward, r)
    d = verdict.decomposition
    assert d is not None  # a scheme with a ledger was made from this and the three maps
    assert d.transform is not None
    assert d.slope is not None
    assert d.prox is not None
    transform, slope = RationalMap.of(d.transform, "T"), RationalMap.of(d.slope, "T'")
    return RationalScheme(
        how.mode, transform, lambda _, v: slope(v), _path(minimising(d.prox, how.regularizer), how.regularizer, how), r
    )


def _path(prox: PiecewiseMap, r: PiecewiseMap, how: Scheme) -> Callable[[Fraction], Scalar]:
    """mu -> P_r^mu, as `verify.proxconnect.advancing` does it in floats."""
    if isinstance(how.prox, VertexPath):
        corners = vertices(prox)
        assert corners is not None
        return _moving(corners)
    if isinstance(how.prox, CandidatePath):
        arcs = quadratics(r)
        assert arcs is not None
        return _choosing(arcs)
    fixed = RationalMap.of(prox, "P")
    return lambda _: fixed


@dataclass(frozen=True)
class RationalRun:
    """States of a run: us, vs (T+1, d), gs (T, d), etas (T,), mus (T+1,)."""

    us: list[Numbers]
    vs: list[Numbers]
    gs: list[Numbers]
    etas: Numbers
    mus: Numbers
    r: Scalar

    def sides(self, comparator: Sequence[Fraction]) -> Sides:
        """Both sides of (I) and (II) at a comparator (d,) with r finite."""
        return identity_sides(self.us, self.vs, self.gs, self.etas, self.mus, comparator, self.r)

    def least_divergence(self, comparator: Sequence[Fraction]) -> Fraction:
        """The least D_t(w) over t: >= 0 for every w if every v_t minimises r_t - <., u_t>."""
        states = zip(self.us, self.vs, self.mus, strict=True)
        return min(divergence_at(u, v, mu, comparator, self.r) for u, v, mu in states)

    def closes(self, comparator: Sequence[Fraction]) -> bool:
        """Whether both differences are exactly 0."""
        sides = self.sides(comparator)
        return bool(sides.first[0] == sides.first[1] and sides.second[0] == sides.second[1])


def rational_run(
    how: RationalScheme, gradient: Callable[[Numbers], Numbers], start: Sequence[Fraction], etas: Sequence[Fraction]
) -> RationalRun:
    """Run PC++ from ``start`` (d,) with the given step sizes (T,); gradient: (d,) -> (d,), of f at w = T(v).

    Raises `InputError` where a map has no finite value.
    """
    u, mu = list(start), Fraction(1)
    prox = how.prox(mu)
    us, vs, gs, mus = [u], [[prox(a) for a in u]], [], [mu]
    for eta in etas:
        v = vs[-1]
        slopes = gradient([how.transform(a) for a in v])
        g = [how.factor(a, b) * c for a, b, c in zip(u, v, slopes, strict=True)]
        u = [a - eta * b for a, b in zip(u, g, strict=True)]
        mu = mu + eta if how.advances else mu
        prox = how.prox(mu)
        us.append(u)
        vs.append([prox(a) for a in u])
        gs.append(g)
        mus.append(mu)
    return RationalRun(us, vs, gs, list(etas), mus, how.r)


def quadratic_gradient(
    hessian: Sequence[Sequence[Fraction]], centre: Sequence[Fraction]
) -> Callable[[Numbers], Numbers]:
    """w -> H (w - c)."""

    def gradient(w: Numbers) -> Numbers:
        e = [a - b for a, b in zip(w, centre, strict=True)]
        return [sum((h * a for h, a in zip(row, e, strict=True)), Fraction(0)) for row in hessian]

    return gradient


def modulus_gradient(weights: Sequence[Fraction], centre: Sequence[Fraction]) -> Callable[[Numbers], Numbers]:
    """A subgradient of sum weights_i |w_i - c_i|: 0 at the kinks."""

    def gradient(w: Numbers) -> Numbers:
        return [k * ((a > b) - (a < b)) for k, a, b in zip(weights, w, centre, strict=True)]

    return gradient


# --------------------------------------------------------------------------- the experiment

MOST_STEPS = 200
"""Steps of an exact run: its numbers gain digits with every one."""
EXACT_STEPS = 25
EXACT_HEADER = (
    "problem",
    "method",
    "verdict",
    "mode",
    "steps",
    "difference_first",
    "difference_second",
    "min_D",
    "digits",
    "note",
)


def rational_problems() -> tuple[str, ...]:
    """The problems with rational data."""
    return tuple(name for name in PROBLEMS if _is_rational(problem(name)))


def _is_rational(of: Problem) -> bool:
    return of.rational is not None or of.rational_modulus is not None


def _rational_gradient(of: Problem) -> tuple[Callable[[Numbers], Numbers], Numbers]:
    """The (sub)gradient in Fractions, and the minimiser."""
    if of.rational is not None:
        hessian, centre = of.rational
        return quadratic_gradient(hessian, centre), list(centre)
    assert of.rational_modulus is not None  # checked by `exact_plan`
    weights, centre = of.rational_modulus
    return modulus_gradient(weights, centre), list(centre)


def exact_plan(methods: Sequence[str], problems: Sequence[str], steps: int, seed: int) -> Plan:
    """Check what is asked for.

    Raises `InputError` on an unknown method, a problem that is unknown or without rational data, steps
    outside 1..`MOST_STEPS`, or a negative seed.
    """
    check_arguments(seed, steps, MOST_STEPS)
    todo = plan(methods, problems, steps, seed, seeds=1)
    for of in todo.problems:
        if not _is_rational(of):
            known = ", ".join(rational_problems())
            raise InputError(f"problem {of.name!r} has no rational data, exact runs take one of: {known}")
    return todo


def exactly(todo: Plan, out: str | Path, progress: Callable[[int], None] = lambda _: None) -> list[tuple[Any, ...]]:
    """Run a plan in rational arithmetic and write DIR/convergence/exact.csv; returns its rows.

    ``difference_first``, ``difference_second``: left minus right of (I) and (II) at the comparator
    P(c), as exact fractions; ``min_D`` the least D_t there; ``digits`` the longest denominator of u.
    Starting points and step sizes are those of `verify.converge`, rounded to short fractions. A method
    that is not rational has blank numbers and the reason as its note. ``progress`` is called with the
    number of steps done since its last call (`Plan.total` in all).
    """
    rows: list[tuple[Any, ...]] = []
    for of in todo.problems:
        for spec in todo.pairs:
            rows.append(_exact_row(of, spec, todo.steps, todo.seed))
            progress(todo.steps)
    write_csv(Path(out) / "convergence" / "exact.csv", EXACT_HEADER, rows)
    return rows


def _exact_row(of: Problem, spec: PairSpec, steps: int, seed: int) -> tuple[Any, ...]:
    gradient, centre = _rational_gradient(of)
    pair = spec.pair()
    grade = decide(pair).grade
    try:
        how = rational_scheme(pair)
    except InputError as reason:
        return (of.name, spec.name, grade, "", steps, "", "", "", "", str(reason))
    start = [Fraction(x).limit_denominator(16) for x in starting_point(of, seed).tolist()]
    sizes = step_sizes(of, schedule(USUAL_SCHEDULE), steps)
    etas = [max(Fraction(e).limit_denominator(FINEST), Fraction(1, FINEST)) for e in sizes.tolist()]
    run = rational_run(how, gradient, start, etas)
    first = how.prox(Fraction(1))
    w = [first(c) for c in centre]
    sides = run.sides(w)
    digits = max(len(str(a.denominator)) for u in run.us for a in u)
    differences = (str(side[0] - side[1]) for side in (sides.first, sides.second))
    least = float(run.least_divergence(w))
    return (of.name, spec.name, grade, how.mode, steps, *differences, least, digits, "")


__all__ = [
    "EXACT_HEADER",
    "EXACT_STEPS",
    "FINEST",
    "MOST_STEPS",
    "RationalMap",
    "RationalRun",
    "RationalScheme",
    "exact_plan",
    "exactly",
    "modulus_gradient",
    "quadratic_gradient",
    "rational_problems",
    "rational_run",
    "rational_scheme",
]
