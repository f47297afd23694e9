"""A pair made ready for training: exact maps with ties that are levels, its verdict, and what a ledger needs.

Everything exact about a pair that training uses is worked out here, once: kernels, quantizers,
optimizers and ledgers read it and decide nothing themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, cmp_to_key, lru_cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import sympy as sp

from theory.analytic import limit_at
from theory.balls import ENCLOSES
from theory.catalogue import CATALOGUE, lookup
from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.exact import X, as_exact, compare, equal
from theory.files import write_bytes
from theory.maps import PiecewiseMap
from theory.pairs import GRADES, Decomposition, QuantizerPair, Verdict, Witness
from theory.synthesis import Synthesized
from theory.trees import expression_of, map_of, map_tree, tree_of
from verify.proxconnect import minimising
from verify.runs import pair_spec

PairLike = str | QuantizerPair | Synthesized | Path
"""A catalogue name, FORWARD ; BACKWARD as expressions in x, a pair as maps or synthesized, or a prepared one's path."""


@dataclass(frozen=True, eq=False)
class Prepared:
    """One pair ready for training; each is made once, so they compare and hash as objects.

    ``forward`` is F with its ties resolved (`resolved`), ``backward`` is B as stated. ``prox`` (its
    ties minimisers), ``regularizer``, ``transform`` and ``slope`` are P, r, T and t of the ledger;
    all None where there is none, and ``note`` says why. For an unprincipled pair they are those of
    T = id, P = F, if F is proximal: identity (I) holds for any g, so also for g = B * grad.
    ``levels`` are those of `hard`, in increasing order. ``known``: `hard` and `negative` of a file.
    """

    pair: QuantizerPair
    verdict: Verdict
    forward: PiecewiseMap
    backward: PiecewiseMap
    levels: tuple[Any, ...]
    prox: PiecewiseMap | None
    regularizer: PiecewiseMap | None
    transform: PiecewiseMap | None
    slope: PiecewiseMap | None
    note: str = ""
    known: tuple[PiecewiseMap, bool] | None = None

    @cached_property
    def hard(self) -> PiecewiseMap:
        """A latent weight -> the level that it stands for at test time. Worked out when it is first asked for."""
        if self.known is not None:
            return self.known[0]
        if self.staircase and self.levels == default_levels(self.forward):
            return self.forward
        return nearest(self.forward, self.levels)

    @cached_property
    def negative(self) -> bool:
        """Whether B < 0 somewhere; True also where that is not settled. Worked out when it is first asked for."""
        return not _never_negative(self.backward) if self.known is None else self.known[1]

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


def _parts(d: Decomposition | None) -> _Ledger:
    """(P, r, T, t) of a decomposition. Its smallest r is finite on the hull of P's range, where a moving P stays."""
    return _NONE if d is None else (d.prox, d.regularizer.smallest, d.transform, d.slope)


def _ledger(pair: QuantizerPair, verdict: Verdict, made_from: _Ledger) -> tuple[_Ledger, str]:
    """(P, r, T, t) of the ledger and the note; all None where there is none. Those it was made from, if any."""
    if verdict.principled:
        prox, r, transform, slope = _parts(verdict.decomposition) if made_from == _NONE else made_from
        if prox is None or transform is None or slope is None or r is None:
            return _NONE, "no ledger: the decomposition has no closed form"
        return (resolved(minimising(prox, r)), r, transform, slope), ""
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
    return (resolved(minimising(own_prox, own_r)), own_r, identity, one), f"{verdict.grade}: ledger with T = id, P = F"


@lru_cache(maxsize=512)
def _prepared(pair: QuantizerPair, levels: tuple[Any, ...] | None, made_from: _Ledger = _NONE) -> Prepared:
    for what, m in (("forward", pair.forward), ("backward", pair.backward)):
        if m.windowed:
            raise InputError(f"{pair.name or 'the pair'}: its {what} map has infinitely many breakpoints")
    verdict = decide(pair)
    forward = resolved(pair.forward)
    source: _Ledger = _NONE
    try:
        source, note = _ledger(pair, verdict, made_from)
    except Undecided as question:
        note = f"no ledger: whether P = F is not settled ({question})"
    chosen = default_levels(forward) if levels is None else levels
    return Prepared(pair, verdict, forward, pair.backward, chosen, *source, note=note)


def prepare(pair: PairLike, levels: Sequence[Any] | None = None, **parameters: Any) -> Prepared:
    """The pair ready for training; ``parameters`` are exact values of a catalogued pair's parameters.

    A pair has many decompositions. The ledger of a synthesized one uses the T, P and r that it was made from, so
    that pairs of one P along a schedule share its range; for others it is the one that `decide` finds.
    ``levels``: what weights are hardened to; without it `default_levels`. A path is a file of
    `save_prepared`. On a machine without python-flint, which decides nothing, catalogue names at
    their default parameters are looked up in the pairs that ship with the package.

    Raises `InputError` for an unknown name or parameter, text or a file that cannot be read, fewer
    than two levels, or a map with infinitely many breakpoints.
    """
    if not isinstance(pair, str | QuantizerPair | Synthesized | Path):
        raise InputError(f"a pair was expected: a name, maps as text, a QuantizerPair or a path, not {pair!r:.40}")
    if isinstance(pair, Path):
        if parameters or levels is not None:
            raise InputError(f"{pair}: a prepared pair has its parameters and levels already")
        return load_prepared(pair)
    if not ENCLOSES and isinstance(pair, str) and not parameters and levels is None and ";" not in pair:
        return shipped()[lookup(pair).name]
    chosen = None
    if levels is not None:
        chosen = _increasing([as_exact(q, "a level: an exact number") for q in levels])
        if len(chosen) < 2 or any(equal(a, b) for a, b in pairwise(chosen)):
            raise InputError("levels: two or more different exact numbers were expected")
    if isinstance(pair, Synthesized) and not parameters:
        return _prepared(pair.pair, chosen, _parts(pair.decomposition))
    return _prepared(_made(pair, parameters), chosen)


def _made(pair: str | QuantizerPair | Synthesized, parameters: Mapping[str, Any]) -> QuantizerPair:
    if isinstance(pair, QuantizerPair | Synthesized):
        if parameters:
            raise InputError("parameters belong to a pair of the catalogue; this one was given as maps")
        return pair if isinstance(pair, QuantizerPair) else pair.pair
    spec = pair_spec(pair)
    if spec.forward is None:
        exact = {k: as_exact(v, f"{spec.name}, parameter {k}: an exact number") for k, v in parameters.items()}
        return lookup(spec.name).pair(**exact)
    if parameters:
        raise InputError("parameters belong to a pair of the catalogue; this one was given as expressions")
    return spec.pair()


# --------------------------------------------------------------------------- files

_FORMAT = "proxpair prepared pair, version 1"
_SHIPPED = Path(__file__).with_name("prepared.json")
_MAPS = ("forward", "backward", "hard", "prox", "regularizer", "transform", "slope")


def to_json(p: Prepared) -> dict[str, Any]:
    """A prepared pair as an object of strings, lists and None: maps as trees, of the verdict what training says."""
    maps = {name: getattr(p, name) for name in _MAPS}
    witness = p.verdict.witness
    return {
        "format": _FORMAT,
        "name": p.name,
        "stated": map_tree(p.pair.forward),
        "grade": p.verdict.grade,
        "reason": p.verdict.reason,
        "literal": p.verdict.literal,
        "convex": p.verdict.convex,
        "witness": None if witness is None else [witness.kind, witness.sentence],
        "levels": [tree_of(q) for q in p.levels],
        "maps": {name: None if m is None else map_tree(m) for name, m in maps.items()},
        "negative": p.negative,
        "note": p.note,
    }


def from_json(found: Any) -> Prepared:
    """The prepared pair of `to_json`; its verdict keeps grade, reason and the witness's sentence."""
    if not isinstance(found, dict) or found.get("format") != _FORMAT:
        raise InputError(f"an object with format {_FORMAT!r} was expected")
    try:
        maps = {name: None if found["maps"][name] is None else map_of(found["maps"][name]) for name in _MAPS}
        texts = [found[k] for k in ("name", "grade", "reason", "note")]
        witness = None if found["witness"] is None else Witness(str(found["witness"][0]), (), str(found["witness"][1]))
        stated, levels = map_of(found["stated"]), tuple(expression_of(q) for q in found["levels"])
        flags = [found[k] for k in ("literal", "convex", "negative")]
    except (KeyError, TypeError, IndexError):
        raise InputError("a prepared pair was expected, and a part of it is missing") from None
    forward, backward, hard = (maps.pop(k) for k in ("forward", "backward", "hard"))
    fits = all(isinstance(t, str) for t in texts) and all(f in (True, False, None) for f in flags)
    if forward is None or backward is None or hard is None or not fits or texts[1] not in GRADES:
        raise InputError("a prepared pair was expected, and a part of it is not what it should be")
    verdict = Verdict(texts[1], texts[2], flags[0], flags[1], None, witness)
    pair = QuantizerPair(stated, backward, texts[0])
    return Prepared(pair, verdict, forward, backward, levels, **maps, note=texts[3], known=(hard, bool(flags[2])))


def save_prepared(prepared: Prepared, path: str | Path) -> Path:
    """Write a prepared pair as JSON, for a machine without python-flint. Raises `InputError` where it cannot."""
    return write_bytes(path, (json.dumps(to_json(prepared), indent=1) + "\n").encode())


def load_prepared(path: str | Path) -> Prepared:
    """The prepared pair of a file of `save_prepared`. Raises `InputError` for a file that is none."""
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not JSON"
        raise InputError(f"{path}: a prepared pair was expected, and it cannot be read ({reason})") from None
    try:
        return from_json(found)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def catalogue_json() -> bytes:
    """All pairs of the catalogue that can be prepared, at their default parameters, as ``verify/prepared.json``.

    ``make prepared`` writes that file.
    """
    found = []
    for name in CATALOGUE:
        try:
            found.append(json.dumps(to_json(prepare(name))))
        except (InputError, Undecided):
            continue  # infinitely many breakpoints
    return ("[\n" + ",\n".join(found) + "\n]\n").encode()


@lru_cache(maxsize=1)
def shipped() -> dict[str, Prepared]:
    """The pairs that ship with the package, by name: `catalogue_json` as it was written at the last change."""
    return {p.name: p for p in map(from_json, json.loads(_SHIPPED.read_text(encoding="utf-8")))}


__all__ = [
    "PairLike",
    "Prepared",
    "catalogue_json",
    "default_levels",
    "from_json",
    "load_prepared",
    "nearest",
    "prepare",
    "resolved",
    "save_prepared",
    "shipped",
    "to_json",
]
