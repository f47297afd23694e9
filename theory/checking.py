"""`check`: from two expressions to the verdict object behind the JSON."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from theory.deadline import limit
from theory.decision import decide
from theory.errors import InputError, OutOfTime, Undecided
from theory.maps import PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair, Regularizer, Verdict
from theory.parser import parse
from theory.printing import expression_text, to_text
from theory.repairs import Repair, repairs
from theory.version import VERSION

SCHEMA = "proxpair/check/1"
DEFAULT_TIMEOUT = 10.0


@dataclass(frozen=True)
class Check:
    """The verdict on a pair as `check` reports it: exact objects, with texts by `as_dict`.

    ``pair`` is None if reading it ran out of time. ``repairs`` is empty unless unprincipled.
    """

    verdict: Verdict
    pair: QuantizerPair | None = None
    repairs: tuple[Repair, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def grade(self) -> str:
        return self.verdict.grade

    @property
    def exit_code(self) -> int:
        """0 principled, 1 unprincipled, 3 undecided."""
        return {"smooth": 0, "lipschitz": 0, "unprincipled": 1}.get(self.grade, 3)

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of `check`; every map written in the grammar, None where it has no closed form."""
        v = self.verdict
        d = v.decomposition
        out: dict[str, Any] = {
            "schema": SCHEMA,
            "version": VERSION,
            "verdict": v.grade,
            "reason": v.reason,
            "literal_criterion": v.literal,
            "convex_regularizer": v.convex,
            "notes": list(v.notes),
        }
        out.update(decomposition_texts(d) if d is not None else EMPTY_TEXTS)
        w = v.witness
        out["witness"] = (
            None
            if w is None
            else {"kind": w.kind, "points": [_point_text(p) for p in w.points], "sentence": w.sentence}
        )
        out["repairs"] = [repair_dict(r) for r in self.repairs]
        out.update(self.extra)
        return out


EMPTY_TEXTS: dict[str, Any] = {"transform": None, "prox": None, "regularizer": None, "implicit": {}}


def _point_text(p: Any) -> str:
    try:
        return expression_text(p)
    except Undecided:
        return str(p)


def decomposition_texts(d: Decomposition) -> dict[str, Any]:
    """transform, prox, regularizer and implicit as texts in the grammar."""
    implicit = dict(d.implicit)

    def text(m: PiecewiseMap | None, what: str) -> str | None:
        if m is None:
            return None
        try:
            return to_text(m)
        except Undecided as reason:
            implicit.setdefault(what, str(reason))
            return None

    transform, prox = text(d.transform, "transform"), text(d.prox, "prox")
    regularizer = _regularizer_texts(d.regularizer, text)
    return {"transform": transform, "prox": prox, "regularizer": regularizer, "implicit": implicit}


def _regularizer_texts(r: Regularizer, text: Any) -> dict[str, Any]:
    return {"largest": text(r.largest, "regularizer"), "smallest": text(r.smallest, "regularizer")}


def repair_dict(r: Repair) -> dict[str, Any]:
    """One repair as JSON; its forward and backward can be fed to `check` again."""
    texts = decomposition_texts(r.decomposition)
    return {
        "name": r.name,
        "keeps": r.keeps,
        "forward": to_text(r.pair.forward),
        "backward": to_text(r.pair.backward),
        **texts,
        "verdict": r.verdict.grade,
    }


def check(
    forward: str | PiecewiseMap,
    backward: str | PiecewiseMap,
    *,
    params: Mapping[str, Any] | None = None,
    timeout: float = DEFAULT_TIMEOUT,
    with_repairs: bool = True,
) -> Check:
    """Is the pair (F, B) principled?

    ``forward``, ``backward``: expressions in x (see README), or maps. ``params``: exact values of
    named parameters (ints, sympy numbers, or texts such as "1/3"). ``timeout`` > 0 in seconds: what
    is not settled by then is undecided. Returns a `Check`; raises `InputError` on bad input.
    """
    if not (timeout > 0):
        raise InputError(f"a timeout is a positive number of seconds, not {timeout}")
    values = {k: _exact(k, v) for k, v in (params or {}).items()}
    start = time.monotonic()
    pair: QuantizerPair | None = None
    try:
        with limit(timeout * 0.8):
            f = forward if isinstance(forward, PiecewiseMap) else parse(forward, values, what="forward")
            b = backward if isinstance(backward, PiecewiseMap) else parse(backward, values, what="backward")
            pair = QuantizerPair(f, b)
            verdict = decide(pair, budget=timeout * 0.3)
    except OutOfTime:
        return Check(Verdict("undecided", f"not settled within {timeout:g} s", None), pair)
    except Undecided as reason:
        return Check(Verdict("undecided", f"not settled: {reason}", None), pair)
    except (RecursionError, MemoryError):
        return Check(Verdict("undecided", "not settled: the expression is nested too deeply", None), pair)
    found: list[Repair] = []
    if verdict.grade == "unprincipled" and with_repairs and not (f.windowed or b.windowed):
        left = timeout * 0.9 - (time.monotonic() - start)
        if left > 0:
            try:
                with limit(left):
                    for r in repairs(pair, values):
                        try:
                            repair_dict(r)  # only repairs that can be written down are offered
                        except Undecided:
                            continue
                        found.append(r)
            except OutOfTime:
                pass  # the repairs found in time are reported
    return Check(verdict, pair, tuple(found))


def _exact(name: str, value: Any) -> Any:
    from theory.parser import parse_constant

    if isinstance(value, str):
        return parse_constant(value, f"parameter {name}")
    if isinstance(value, float):
        raise InputError(f"parameter {name}: an exact value was expected (an int, a fraction or a text), not a float")
    exact = sp.sympify(value) if isinstance(value, int | sp.Basic) else None
    if exact is None or exact.free_symbols or exact.has(sp.Float):
        raise InputError(f"parameter {name}: an exact constant was expected, not {type(value).__name__}")
    return exact
