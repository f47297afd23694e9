"""`check`: from two expressions to the verdict object behind the JSON."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from numbers import Rational
from typing import Any

import sympy as sp

from theory.analytic import limit_at
from theory.corollaries import FIELDS as THEORY_FIELDS
from theory.corollaries import consequences
from theory.deadline import DeadlinePassed, Lost, limit, stretched
from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.exact import X, less, sign_of
from theory.maps import OO, PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair, Verdict
from theory.parser import check_param_name, parse, parse_constant
from theory.printing import expression_text, to_text
from theory.repairs import WAYS, Repair, repairs
from theory.steps import Steps, decide_steps
from theory.version import VERSION

SCHEMA = "proxpair/check/1"
DEFAULT_TIMEOUT = 10.0


def exit_code(grade: str) -> int:
    """The exit code of a verdict: 0 principled, 1 unprincipled, 3 undecided."""
    return {"smooth": 0, "lipschitz": 0, "unprincipled": 1}.get(grade, 3)


@dataclass(frozen=True)
class Check:
    """The verdict on a pair as `check` reports it: exact objects, with texts by `as_dict`.

    ``pair`` is None if reading it ran out of time. ``repairs`` is empty unless unprincipled;
    ``unfinished`` names those that time did not allow to settle: they may exist, and be nearer.
    ``texts`` holds what `check` wrote within its time; without it `as_dict` writes, however long it takes.
    ``theory``: what the verdict implies (`theory.corollaries`), None where it was not asked for.
    ``latex``: left and right sides of T, P and r in LaTeX where parameters stand in them.
    """

    verdict: Verdict
    pair: QuantizerPair | None = None
    repairs: tuple[Repair, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)
    texts: Mapping[str, Any] | None = None
    latex: Mapping[str, str] | None = None
    theory: Mapping[str, Any] | None = None
    unfinished: tuple[str, ...] = ()

    @property
    def grade(self) -> str:
        return self.verdict.grade

    @property
    def exit_code(self) -> int:
        """0 principled, 1 unprincipled, 3 undecided."""
        return exit_code(self.grade)

    def as_dict(self) -> dict[str, Any]:
        """The JSON object of `check`; every map written in the grammar, None where it has no closed form."""
        v = self.verdict
        out: dict[str, Any] = {
            "schema": SCHEMA,
            "version": VERSION,
            "verdict": v.grade,
            "reason": v.reason,
            "literal_criterion": v.literal,
            "convex_regularizer": v.convex,
            "notes": list(v.notes),
        }
        out.update(written(v, self.repairs) if self.texts is None else self.texts)
        out["repairs_unfinished"] = list(self.unfinished)
        implied = self.theory or {}  # of an unprincipled pair nothing but the steps is judged
        out.update({k: implied.get(k) if v.principled or k == "steps" else None for k in THEORY_FIELDS})
        out.update(self.extra)
        return out

    def _repr_latex_(self) -> str:
        from theory.display import check_latex, in_math

        return in_math(check_latex(self))

    def _repr_html_(self) -> str:
        from theory.display import check_html

        return check_html(self)


def written(v: Verdict, repairs: tuple[Repair, ...]) -> dict[str, Any]:
    """The part of the object that has to be put into words: the maps, the witness and the repairs."""
    out = empty_texts() if v.decomposition is None else decomposition_texts(v.decomposition)
    w = v.witness
    out["witness"] = (
        None if w is None else {"kind": w.kind, "points": [_point_text(p) for p in w.points], "sentence": w.sentence}
    )
    out["repairs"] = [repair_dict(r) for r in repairs]
    return out


def lost(job: Lost, timeout: float) -> Check:
    """The answer to a pair whose process gave none."""
    reason = f"not settled within {timeout:g} s" if job.overran else "not settled: the numbers outgrew the arithmetic"
    return Check(Verdict("undecided", reason, None))


def refused(sentence: str) -> Check:
    """The answer of a batch to a line with bad input: verdict "error"."""
    return Check(Verdict("error", sentence, None))


def empty_texts() -> dict[str, Any]:
    """The fields of a decomposition where there is none."""
    return {"transform": None, "prox": None, "regularizer": None, "implicit": {}}


def _point_text(p: Any) -> str:
    try:
        return expression_text(p)
    except Undecided:
        return str(p)


def decomposition_texts(d: Decomposition) -> dict[str, Any]:
    """transform, prox, regularizer and implicit as texts in the grammar, each of which can be read back.

    T plays no role outside the hull of P's range. Where its expression has no value there (log, tan
    and the like), it is continued by constants.
    """
    implicit = dict(d.implicit)

    def text(m: PiecewiseMap | None, what: str) -> str | None:
        if m is None:
            return None
        try:
            return _readable(to_text(m), m, what)
        except Undecided as reason:
            implicit.setdefault(what, str(reason))
            return None

    try:
        transform = text(_inside_hull(d), "transform")
    except Undecided as reason:
        transform = None
        implicit.setdefault("transform", str(reason))
    r = d.regularizer
    return {
        "transform": transform,
        "prox": text(d.prox, "prox"),
        "regularizer": {"largest": text(r.largest, "regularizer"), "smallest": text(r.smallest, "regularizer")},
        "implicit": implicit,
    }


def _inside_hull(d: Decomposition) -> PiecewiseMap | None:
    """T, cut to the hull of P's range if an outer piece of T has no value somewhere beyond it."""
    t, p = d.transform, d.prox
    if t is None or p is None or (_total(t.exprs[0]) and _total(t.exprs[-1])):
        return t
    lo, hi = limit_at(p.exprs[0], -OO, 1), limit_at(p.exprs[-1], OO, -1)
    return t.kept_on(lo, hi) if less(lo, hi) else t


def _total(e: Any) -> bool:
    """Whether an expression has a value at every real x by its form alone: no logarithm, root or quotient."""
    whole = all(p.exp.is_Integer and p.exp > 0 for p in e.atoms(sp.Pow) if p.base.has(X))
    return whole and not any(f.has(X) for f in e.atoms(sp.log))


def _readable(text: str, m: PiecewiseMap, what: str) -> str:
    """The text, after it was read back. Raises `Undecided` where the reader makes nothing of it."""
    if all(e.is_polynomial(X) or e in (OO, -OO) for e in m.exprs):
        return text
    try:
        windowed = parse(text, allow_infinity=True).windowed
    except InputError as error:
        raise Undecided(f"{what}: no text that can be read back ({error})") from None
    if windowed:
        raise Undecided(f"{what}: no text with finitely many pieces")
    return text


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
    assume: str | Sequence[str] = (),
    steps: str | None = None,
    with_theory: bool = True,
) -> Check:
    """Is the pair (F, B) principled?

    ``forward``, ``backward``: expressions in x (`theory.parser`), or maps. ``params``: exact values of
    named parameters (ints, fractions, sympy constants, or texts such as "1/3"). ``timeout`` > 0 in
    seconds: what is not settled by then is undecided (in the main thread; elsewhere, and within one
    long step of a C library, the time is not bounded: the command line is). ``assume``: ranges of
    parameters, such as "beta > 0" or "0 < alpha < 1"; the verdict then holds for all of it, or says
    for which part (`theory.parameters`). ``steps``: a formula of step sizes in t, such as "c/sqrt(t)".
    ``with_theory``: also what the verdict implies (`theory.corollaries`). Returns a `Check`; raises
    `InputError` on bad input. Source: docs/mathematics.md, section 3.
    """
    if isinstance(timeout, bool) or not isinstance(timeout, int | float) or not 0 < timeout < math.inf:
        raise InputError(f"a timeout is a positive finite number of seconds, not {timeout}")
    for what, given in (("forward", forward), ("backward", backward)):
        if not isinstance(given, str | PiecewiseMap):
            raise InputError(f"{what}: an expression in x as text, or a map, was expected, not {type(given).__name__}")
    values: dict[str, Any] = {}
    for k, v in (params or {}).items():
        check_param_name(k)
        values[k] = _exact(k, v)
    if assume:
        from theory.parameters import check_range

        return check_range(forward, backward, assume=assume, params=values, timeout=timeout, with_repairs=with_repairs)
    end = time.monotonic() + timeout
    schedule: list[Steps] = []
    if steps is not None:
        _within(time.monotonic() + timeout * _STEPS, lambda: schedule.append(decide_steps(steps, values)))
    pair: QuantizerPair | None = None
    try:
        with limit(timeout * _DECIDE, final=True):
            f = forward if isinstance(forward, PiecewiseMap) else parse(forward, values, what="forward")
            b = backward if isinstance(backward, PiecewiseMap) else parse(backward, values, what="backward")
            pair = QuantizerPair(f, b)
            verdict = decide(pair, budget=timeout * 0.3)
    except DeadlinePassed:
        return Check(Verdict("undecided", f"not settled within {timeout:g} s", None), pair)
    except Undecided as reason:
        return Check(Verdict("undecided", f"not settled: {_short(str(reason))}", None), pair)
    except (RecursionError, MemoryError):
        return Check(Verdict("undecided", "not settled: the expression is nested too deeply", None), pair)
    except (ValueError, OverflowError) as error:
        if not _too_long(error):
            raise
        return Check(Verdict("undecided", f"not settled: {_TOO_LONG}", None), pair)
    found: list[Repair] = []
    unfinished: list[str] = []
    if verdict.grade == "unprincipled" and with_repairs and not (f.windowed or b.windowed):
        unfinished += [name for name, *_ in WAYS]  # where no time is left to begin
        _within(end - (1 - _REPAIR) * timeout, lambda: _collect(pair, values, timeout * 0.2, found, unfinished))
    texts: list[Mapping[str, Any]] = []
    _within(end - (1 - _WRITE) * timeout, lambda: texts.append(written(verdict, tuple(found))))
    if not texts:
        if found:  # those that could not be written are lost as well
            unfinished = [name for name, *_ in WAYS]
        found = []
        texts.append(_unwritten(verdict))
    implied: list[Mapping[str, Any]] = []
    left = min(stretched(_THEORY_SECONDS), (end - time.monotonic()) * 0.9) if with_theory else 0.0
    if schedule or left > 0:
        _within(end, lambda: implied.append(consequences(pair, verdict, schedule[0] if schedule else None, left)))
    theory = implied[0] if implied else None
    return Check(verdict, pair, tuple(found), texts=texts[0], theory=theory, unfinished=tuple(unfinished))


_THEORY_SECONDS = 4.0
_STEPS = 0.2  # share of the time for the formula of step sizes
_DECIDE, _REPAIR, _WRITE = 0.8, 0.9, 0.97  # shares of the time after which each stage must have ended
_LONGEST_REASON = 400
_TOO_LONG = "numbers arose that are too long for the arithmetic"


def _short(text: str) -> str:
    """A reason of a readable length: the expressions in it may be as long as the input."""
    return (
        text if len(text) <= _LONGEST_REASON else f"{text[: _LONGEST_REASON // 2]} ... {text[-_LONGEST_REASON // 2 :]}"
    )


def _too_long(error: ValueError | OverflowError) -> bool:
    """Python refuses to write integers of more than 4300 digits, and FLINT powers that fill the memory."""
    return isinstance(error, OverflowError) or "integer string conversion" in str(error)


def _within(end: float, stage: Callable[[], None]) -> None:
    """Run a stage that only adds to the answer; what it has not added by ``end`` is left out."""
    left = end - time.monotonic()
    if left <= 0:
        return
    try:
        with limit(left, final=True):
            stage()
    except (DeadlinePassed, RecursionError, MemoryError):
        return
    except (ValueError, OverflowError) as error:
        if not _too_long(error):
            raise


def _collect(
    pair: QuantizerPair, values: Mapping[str, Any], budget: float, found: list[Repair], unfinished: list[str]
) -> None:
    for r in repairs(pair, values, budget, unfinished):
        try:
            written = repair_dict(r)
            readable = all(not parse(written[k], what=k).windowed for k in ("forward", "backward"))
        except (Undecided, InputError):
            continue  # only repairs that can be written down and read back are offered
        if readable:
            found.append(r)


def _unwritten(v: Verdict) -> dict[str, Any]:
    """The texts when there was no time to write any: nothing is claimed, the reason is given."""
    out: dict[str, Any] = {**empty_texts(), "witness": None, "repairs": []}
    if v.decomposition is not None:
        out["implicit"] = dict.fromkeys(("transform", "prox", "regularizer"), "no closed form was written in time")
        out["regularizer"] = {"largest": None, "smallest": None}
    if v.witness is not None:
        out["witness"] = {"kind": v.witness.kind, "points": [], "sentence": v.witness.sentence}
    return out


def _exact(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return parse_constant(value, f"parameter {name}")
    if isinstance(value, float | sp.Float):
        raise InputError(f"parameter {name}: an exact value was expected (an int, a fraction or a text), not a float")
    if isinstance(value, Rational) and not isinstance(value, bool | sp.Basic):
        return sp.Rational(int(value.numerator), int(value.denominator))
    if not isinstance(value, sp.Expr) or value.free_symbols or value.has(sp.Float) or value.is_finite is False:
        raise InputError(f"parameter {name}: an exact finite constant was expected, not {str(value)[:40]}")
    try:
        sign_of(value)  # whether it can be enclosed at all: a real constant of the language
    except Undecided as reason:
        raise InputError(f"parameter {name}: an exact real constant was expected ({reason})") from None
    return value
