"""A pair made ready for training: exact maps with ties that are levels, its verdict, and what a ledger needs.

Everything exact about a pair that training uses is worked out here, once: kernels, quantizers,
optimizers and ledgers read it and decide nothing themselves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cmp_to_key, lru_cache
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import limit_at
from theory.catalogue import lookup
from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.exact import X, as_exact, compare, equal
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair, Verdict
from verify.proxconnect import minimising
from verify.runs import pair_spec

PairLike = str | QuantizerPair
"""A catalogue name, FORWARD ; BACKWARD as expressions in x, or a `QuantizerPair`."""


@dataclass(frozen=True)
class Prepared:
    """One pair ready for training.

    ``forward`` is F with its ties resolved (`resolved`), ``backward`` is B as stated. ``prox`` (its
    ties minimisers), ``regularizer``, ``transform`` and ``slope`` are P, r, T and t of the ledger;
    all None where there is none, and ``note`` says why. For an unprincipled pair they are those of
    T = id, P = F, if F is proximal: identity (I) holds for any g, so also for g = B * grad.
    ``hard`` maps a latent weight to the level that it stands for at test time; ``levels`` are those
    levels, in increasing order. ``negative``: whether B < 0 somewhere (True also where not settled).
    """

    pair: QuantizerPair
    verdict: Verdict
    forward: PiecewiseMap
    backward: PiecewiseMap
    levels: tuple[Any, ...]
    hard: PiecewiseMap
    prox: PiecewiseMap | None
    regularizer: PiecewiseMap | None
    transform: PiecewiseMap | None
    slope: PiecewiseMap | None
    negative: bool
    note: str = ""

    @property
    def name(self) -> str:
        return self.pair.name

    @property
    def staircase(self) -> bool:
        """Whether F takes finitely many values, so that it is hard as it stands."""
        return not any(e.free_symbols for e in self.forward.exprs)

    @property
    def warning(self) -> str:
        """One sentence for a pair that the theory does not cover, with its witness; empty for one that it covers."""
        if self.verdict.principled:
            return ""
        why = self.verdict.witness.sentence if self.verdict.witness is not None else self.verdict.reason
        return f"{self.name or 'this pair'} is {self.verdict.grade}: {why}; no convergence theorem covers its training"


def resolved(m: PiecewiseMap) -> PiecewiseMap:
    """The map with a level at every tie: where the stated value is no one-sided limit, the limit from the right.

    sign(0) = 0 becomes 1: 0 is no value of the projection onto {-1, 1}, and a weight of 0 is no level.
    """
    values = []
    for i, v in enumerate(m.values):
        right = m.right(i)
        kept = v is not None and (equal(v, right) or equal(v, m.left(i)))
        values.append(v if kept else right)
    return replace(m, values=tuple(values))


def default_levels(forward: PiecewiseMap) -> tuple[Any, ...]:
    """The levels that F stands for, increasing.

    The values of its constant pieces if there are two or more; else its limits at -oo and oo if
    they are finite and differ (tanh: -1 and 1); else -1 and 1.
    """
    found: list[Any] = []
    for e in forward.exprs:
        if not e.free_symbols and not any(equal(e, q) for q in found):
            found.append(e)
    if len(found) < 2:
        try:
            found = [limit_at(forward.exprs[i], end, -1) for i, end in ((0, -sp.oo), (-1, sp.oo))]
        except Undecided:
            found = []  # a sine has no limit
        if not found or any(end in (sp.oo, -sp.oo, sp.nan) for end in found) or equal(*found):
            return (sp.Integer(-1), sp.Integer(1))
    return _increasing(found)


def _increasing(values: Sequence[Any]) -> tuple[Any, ...]:
    return tuple(sorted(values, key=cmp_to_key(compare)))


def nearest(forward: PiecewiseMap, levels: Sequence[Any]) -> PiecewiseMap:
    """x -> the level nearest to F(x), the larger one of two.

    Raises `Undecided` where the places at which F crosses a midpoint cannot be found.
    """
    total = PiecewiseMap.of(levels[0])
    for a, b in pairwise(levels):
        total = total + _step(forward - PiecewiseMap.of((a + b) / 2), b - a)
    return total.simplified()


def _step(m: PiecewiseMap, height: Any) -> PiecewiseMap:
    """height where m >= 0, else 0."""
    return m.by_sign(lambda s, _: height if s >= 0 else sp.Integer(0))


def _never_negative(b: PiecewiseMap) -> bool:
    try:
        split, signs = b.signs()
        return all(s is not None and s >= 0 for s in signs) and all(
            v is None or compare(v, sp.Integer(0)) >= 0 for v in split.values
        )
    except Undecided:
        return False


_Ledger = tuple[PiecewiseMap | None, PiecewiseMap | None, PiecewiseMap | None, PiecewiseMap | None]
_NONE: _Ledger = (None, None, None, None)


def _ledger(pair: QuantizerPair, verdict: Verdict) -> tuple[_Ledger, str]:
    """(P, r, T, t) of the ledger and the note; all None where there is none."""
    if verdict.principled:
        d = verdict.decomposition
        if d is None or d.prox is None or d.transform is None or d.slope is None or d.regularizer.smallest is None:
            return _NONE, "no ledger: the decomposition has no closed form"
        # the smallest r is finite on the hull of P's range, where a moving P has been and will be
        r = d.regularizer.smallest
        return (minimising(d.prox, r), r, d.transform, d.slope), ""
    own = decide(QuantizerPair(pair.forward, PiecewiseMap.of(1)))
    if own.decomposition is None:
        return _NONE, f"no ledger: F is not shown to be a proximal map ({own.reason})"
    found = own.decomposition
    own_prox, own_r = found.prox, found.regularizer.smallest
    if own_prox is None or own_r is None:
        return _NONE, "no ledger: P or r has no closed form"
    if not own_prox.agrees(pair.forward):
        return _NONE, "no ledger: P = F + constant, and the constant is not 0"
    identity, one = PiecewiseMap.of(X), PiecewiseMap.of(1)
    return (minimising(own_prox, own_r), own_r, identity, one), f"{verdict.grade}: ledger with T = id, P = F"


@lru_cache(maxsize=512)
def _prepared(pair: QuantizerPair, levels: tuple[Any, ...] | None) -> Prepared:
    for what, m in (("forward", pair.forward), ("backward", pair.backward)):
        if m.windowed:
            raise InputError(f"{pair.name or 'the pair'}: its {what} map has infinitely many breakpoints")
    verdict = decide(pair)
    forward = resolved(pair.forward)
    source: _Ledger = _NONE
    try:
        source, note = _ledger(pair, verdict)
    except Undecided as question:
        note = f"no ledger: whether P = F is not settled ({question})"
    chosen = default_levels(forward) if levels is None else levels
    staircase = not any(e.free_symbols for e in forward.exprs)
    hard = forward if staircase and levels is None else nearest(forward, chosen)
    return Prepared(
        pair,
        verdict,
        forward,
        pair.backward,
        chosen,
        hard,
        *source,
        not _never_negative(pair.backward),
        note,
    )


def prepare(pair: PairLike, levels: Sequence[Any] | None = None, **parameters: Any) -> Prepared:
    """The pair ready for training; ``parameters`` are exact values of a catalogued pair's parameters.

    ``levels``: what weights are hardened to; without it the values of F's constant pieces if there
    are two or more, else -1 and 1. Raises `InputError` for an unknown name or parameter, text that
    cannot be read, fewer than two levels, or a map with infinitely many breakpoints.
    """
    if isinstance(pair, QuantizerPair):
        if parameters:
            raise InputError("parameters belong to a pair of the catalogue; this one was given as maps")
        made = pair
    else:
        spec = pair_spec(pair)
        if spec.forward is None:
            exact = {k: as_exact(v, f"{spec.name}, parameter {k}: an exact number") for k, v in parameters.items()}
            made = lookup(spec.name).pair(**exact)
        elif parameters:
            raise InputError("parameters belong to a pair of the catalogue; this one was given as expressions")
        else:
            made = spec.pair()
    chosen = None
    if levels is not None:
        chosen = _increasing([as_exact(q, "a level: an exact number") for q in levels])
        if len(chosen) < 2 or any(equal(a, b) for a, b in pairwise(chosen)):
            raise InputError("levels: two or more different exact numbers were expected")
    return _prepared(made, chosen)


__all__ = ["PairLike", "Prepared", "default_levels", "nearest", "prepare", "resolved"]
