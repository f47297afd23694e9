"""Principled neighbours of an unprincipled pair, each made by synthesis (docs/mathematics.md, section 3)."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import Expr, antiderivative, exp_rational, is_zero, limit_at, solve_level
from theory.deadline import limit
from theory.decision import decide
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import X, equal, less, rational_between, sign_of
from theory.maps import IDENTITY, OO, PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair, Verdict
from theory.parser import parse, parse_constant
from theory.synthesis import synthesize


@dataclass(frozen=True)
class Repair:
    """A principled pair near an unprincipled one: its name, what it keeps, its (T, P, r) and verdict."""

    name: str
    keeps: str
    pair: QuantizerPair
    decomposition: Decomposition
    verdict: Verdict


def repairs(
    pair: QuantizerPair,
    params: Mapping[str, Any] | None = None,
    budget: float = math.inf,
    unfinished: list[str] | None = None,
) -> Iterator[Repair]:
    """All repairs of docs/mathematics.md, section 3, that exist and have closed forms; duplicates dropped.

    ``budget``: seconds that each of them may take, so that a hard one leaves time for the others.
    ``unfinished``: holds at any moment the names of those of `WAYS` that are not settled yet; one that its
    time ran out for stays there, since it may exist, and be nearer than all others.
    """
    seen: list[QuantizerPair] = []
    pending = [] if unfinished is None else unfinished
    pending[:] = [name for name, *_ in WAYS]
    for name, keeps, make in WAYS:
        found = None
        with contextlib.suppress(OutOfTime), limit(budget):
            found = _made(pair, params or {}, seen, name, keeps, make)
            pending.remove(name)
        if found is not None:
            yield found


def _made(
    pair: QuantizerPair,
    params: Mapping[str, Any],
    seen: list[QuantizerPair],
    name: str,
    keeps: str,
    make: Callable[[QuantizerPair], tuple[QuantizerPair, Decomposition | None]],
) -> Repair | None:
    """One repair, None where there is none or it is among those ``seen``."""
    with contextlib.suppress(Undecided, InputError):
        fixed, decomposition = make(pair)
        if any(_equal_pairs(fixed, other) for other in seen):
            return None
        seen.append(fixed)
        verdict = decide(fixed)
        parts = decomposition or verdict.decomposition
        if verdict.principled and parts is not None:
            return Repair(_catalogued(fixed, params) or name, keeps, fixed, parts, verdict)
    return None


def _equal_pairs(a: QuantizerPair, b: QuantizerPair) -> bool:
    try:
        return a.forward.agrees(b.forward) and a.backward.agrees(b.backward)
    except Undecided:
        return False


def primitive(b: PiecewiseMap) -> PiecewiseMap:
    """A continuous integral of b from 0. Raises `Undecided` without a closed form."""
    f = b.refine([sp.Integer(0)])
    k = next(i for i, x in enumerate(f.breaks) if equal(x, sp.Integer(0)))
    raw = [antiderivative(e) for e in f.exprs]
    exprs: list[Expr] = list(raw)
    at: Expr = sp.Integer(0)
    for i in range(k + 1, len(raw)):  # to the right of 0
        x = f.breaks[i - 1]
        exprs[i] = raw[i] - limit_at(raw[i], x, 1) + at
        at = limit_at(exprs[i], f.breaks[i], -1) if i < len(f.breaks) else at
    at = sp.Integer(0)
    for i in range(k, -1, -1):
        x = f.breaks[i]
        exprs[i] = raw[i] - limit_at(raw[i], x, -1) + at
        at = limit_at(exprs[i], f.breaks[i - 1], 1) if i > 0 else at
    values = tuple(limit_at(e, x, -1) for e, x in zip(exprs, f.breaks, strict=False))
    if any(v in (OO, -OO) for v in values):
        raise Undecided("the backward map is not integrable")
    return PiecewiseMap(f.breaks, tuple(sp.expand(e) if e.is_polynomial(X) else e for e in exprs), values).simplified()


def _centre(f: PiecewiseMap) -> Expr:
    """The midpoint of F's limits at 0, or 0 where F is unbounded there."""
    g = f.refine([sp.Integer(0)])
    k = next(i for i, x in enumerate(g.breaks) if equal(x, sp.Integer(0)))
    ends = g.left(k), g.right(k)
    return sp.Integer(0) if {OO, -OO} & {*ends} else sum(ends) / 2


def _keep_backward(pair: QuantizerPair) -> tuple[QuantizerPair, Decomposition | None]:
    """T = integral of B, P = id, F = T; B's own tie values are kept."""
    transform = primitive(pair.backward) + PiecewiseMap.of(_centre(pair.forward))
    made = synthesize(transform, IDENTITY)
    fixed = QuantizerPair(transform, pair.backward)
    return fixed, Decomposition(transform, pair.backward, IDENTITY, made.decomposition.regularizer)


def _keep_forward_smooth(pair: QuantizerPair) -> tuple[QuantizerPair, Decomposition | None]:
    """T = F, P = id, B = F' for a continuous F that moves."""
    if all(not e.has(X) for e in pair.forward.exprs):
        raise InputError("the forward map is a staircase")
    made = synthesize(pair.forward, IDENTITY)
    return made.pair, made.decomposition


def _keep_forward_levels(pair: QuantizerPair) -> tuple[QuantizerPair, Decomposition | None]:
    """T = id, P = F, B = 1 for a monotone F."""
    made = synthesize(IDENTITY, pair.forward)
    return made.pair, made.decomposition


def _flatten_backward(pair: QuantizerPair) -> tuple[QuantizerPair, Decomposition | None]:
    """F kept, B replaced on every level set by its value beside the jump or the moving piece at its end."""
    f = pair.forward.refine(pair.backward.breaks)
    g = pair.backward.refine(pair.forward.breaks)
    exprs, values = list(g.exprs), list(g.values)
    n, i = len(exprs), 0
    flat = [is_zero(sp.diff(e, X), a, b) for e, (a, b) in zip(f.exprs, f.ends, strict=True)]
    while i < n:
        if not flat[i]:
            i += 1
            continue
        j = i
        while j + 1 < n and flat[j + 1] and equal(f.left(j), f.right(j)):
            j += 1
        level = _level_value(f, g, i, j)
        for k in range(i, j + 1):
            exprs[k] = level
        for k in range(i, j):
            values[k] = level
        for k in (i - 1, j):
            if 0 <= k < len(values):
                values[k] = level if 0 <= k < len(values) and not _moves_beside(flat, k) else values[k]
        i = j + 1
    flattened = PiecewiseMap(g.breaks, tuple(exprs), tuple(values)).simplified()
    return QuantizerPair(pair.forward, flattened), None


def _moves_beside(flat: list[bool], k: int) -> bool:
    return not (flat[k] and flat[k + 1])


def _level_value(f: PiecewiseMap, g: PiecewiseMap, i: int, j: int) -> Expr:
    for k, own, piece in ((i - 1, 1, i), (j, -1, j)):
        if 0 <= k < len(f.breaks):
            jump = f.right(k) - f.left(k)
            beside = limit_at(g.exprs[piece], f.breaks[k], own)
            if sign_of(jump) != 0 and beside not in (OO, -OO) and sign_of(beside) == sign_of(jump):
                return beside
    return sp.Integer(0)


def _levels(pair: QuantizerPair) -> tuple[QuantizerPair, Decomposition | None]:
    """For a staircase F: T(p) = centre + integral_0^p B, and P takes the p nearest 0 with T(p) = level on each step.

    For F = sign this is P = c sign with T(c) = 1 and the backward map B(+-c).
    """
    f = pair.forward.simplified()
    if not f.breaks or any(e.has(X) for e in f.exprs):
        raise InputError("the forward map is no staircase")
    centre = _centre(f)
    transform = primitive(pair.backward)
    steps = [_reach(transform, level - centre) for level in f.exprs]
    if any(not less(p, q) for p, q in pairwise(steps)):
        raise InputError("the transform does not carry increasing levels to the levels of the forward map")
    middles = [(p + q) / 2 if v is None else v for p, q, v in zip(steps, steps[1:], f.values, strict=False)]
    values = [_reach(transform, v - centre) if v is not None else m for v, m in zip(f.values, middles, strict=True)]
    made = synthesize(transform + PiecewiseMap.of(centre), PiecewiseMap.build(f.breaks, steps, values))
    return QuantizerPair(f, made.pair.backward), made.decomposition


def _reach(transform: PiecewiseMap, height: Expr) -> Expr:
    """The p nearest 0 with T(p) = height, on the side where T first goes that way."""
    if sign_of(height) == 0:
        return sp.Integer(0)
    for side in (1, -1):
        turned = transform if side > 0 else transform.compose(PiecewiseMap.of(-X))
        with contextlib.suppress(Undecided):
            return side * _first_reach(turned, height)
    raise Undecided("the transform never reaches the level")


def _first_reach(transform: PiecewiseMap, height: Expr) -> Expr:
    """The least c > 0 with T(c) = height."""
    t = transform.refine([sp.Integer(0)])
    for e, (a, b) in zip(t.exprs, t.ends, strict=True):
        if less(a, sp.Integer(0)):
            continue
        if e.has(X):
            roots = solve_level(e, height, a, b).points
            if roots:
                return roots[0]
        if b != OO and equal(limit_at(e, b, -1), height):
            return b
    raise Undecided("the transform never reaches the level")


def _catalogued(pair: QuantizerPair, params: Mapping[str, Any]) -> str | None:
    """The catalogue name of a pair, found by comparing maps at the parameters that its rates suggest."""
    from theory.catalogue import CATALOGUE

    rates: list[Expr] = list(params.values())
    for e in (*pair.backward.exprs, *pair.forward.exprs):
        form = exp_rational(e)
        if form is not None and form.rate != 0:
            rates += [form.rate, form.rate / 2, 2 * form.rate]
    for entry in CATALOGUE.values():
        options: list[dict[str, Any]] = [{}]
        if len(entry.params) == 1:
            name = next(iter(entry.params))
            options += [{name: r} for r in dict.fromkeys(rates)]
        for option in options:
            with contextlib.suppress(Undecided, InputError):
                values = tuple({**entry.params, **option}.items())
                f = _read(entry.forward, values)
                if len(f.exprs) != len(pair.forward.exprs):
                    continue  # another number of pieces: not the same pair
                b = _read(entry.backward, values)
                if len(b.exprs) == len(pair.backward.exprs) and _equal_pairs(pair, QuantizerPair(f, b)):
                    return entry.name
    return None


@lru_cache(maxsize=4000)
def _read(text: str, params: tuple[tuple[str, Any], ...]) -> PiecewiseMap:
    """A map of the catalogue at the given parameters: every repair of every pair is compared with all of them."""
    return parse(text, {k: parse_constant(v, k) if isinstance(v, str) else v for k, v in params})


WAYS = (
    ("integrate the backward map", "backward", _keep_backward),
    ("differentiate the forward map", "forward", _keep_forward_smooth),
    ("identity transform", "forward", _keep_forward_levels),
    ("flatten the backward map", "forward", _flatten_backward),
    ("levels of the forward map, transform from the backward map", "levels", _levels),
)
"""The ways to a principled neighbour: name, what of the pair it keeps, and the function that makes it."""

__all__ = ["WAYS", "Repair", "primitive", "rational_between", "repairs"]
