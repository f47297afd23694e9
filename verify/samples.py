"""What samples of a pair can say: that no principled pair fits them, or which catalogued pairs do. Never a proof.

Plain numpy on arrays of samples; `verify.probe` draws them from torch code.

A pair is refuted on samples only where rounding cannot be the cause:

- F moves and B is against it, or 0, at x and at six points beside it (docs/mathematics.md, section 3: F'B < 0;
  F' nonzero where B = 0). F moves: three central differences, a factor 10 apart each, agree within 5 %;
- F is the same float at all samples of an interval and B takes there values that no decomposition gives
  (docs/mathematics.md, section 3: a level run with several segments of B), differing by more than 1e-6 of the
  largest |B|. An interval that F leaves so slowly that saturation of floats may be the cause is not used.

F could move between two samples, so even this holds "on the samples" only.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache
from typing import Any

import numpy as np
import sympy as sp

from theory.catalogue import CATALOGUE
from theory.deadline import limit
from theory.declarations import Entry
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import to_float
from theory.maps import PiecewiseMap
from theory.parser import parse, parse_constant
from verify.lowering import lower

Array = Any
Evaluate = Callable[[Array], tuple[Array, Array]]

DOUBLE, SINGLE = 1e-12, 2e-6
"""Largest differences, relative to a value plus the largest in the range, that count as rounding."""
REFUTING = 1e-6
"""Smallest difference, relative to the largest |B| (or |F|) in the range, that a refutation rests on."""
USUAL = ("1", "2", "1/2", "5", "10", "1/10", "1/4", "3/4", "1/3", "2/3", "3", "4", "20", "100")
"""Values of a parameter that are tried beside its default."""

_SOME = 5  # samples that make an interval of constancy
_TIE_ULPS = 8.0  # a sample so near a breakpoint may lie on either side of it after rounding
_VARIANT_SECONDS = 1.0
_PRODUCT = 8  # values tried for each of two parameters at once
_FITS = 2  # probes at which a parameter is fitted


@dataclass(frozen=True)
class Samples:
    """F(x) and B(x) at sorted distinct float64 x; ``evaluate`` draws more. In the range: low <= x <= high."""

    x: Array
    forward: Array
    backward: Array
    low: float
    high: float
    evaluate: Evaluate

    @property
    def inside(self) -> Array:
        return (self.x >= self.low) & (self.x <= self.high)

    def scale(self, values: Array) -> float:
        """The largest finite |value| in the range; 1 if all are 0."""
        some = np.abs(values[self.inside & np.isfinite(values)])
        return float(some.max()) if some.size and some.max() > 0 else 1.0


@dataclass(frozen=True)
class Contradiction:
    """Why no principled pair has these samples: a kind, a sentence, and the points with F and B there."""

    kind: str
    sentence: str
    x: tuple[float, ...]
    forward: tuple[float, ...]
    backward: tuple[float, ...]

    def as_dict(self) -> dict[str, Any]:
        """Lists of plain numbers, for JSON."""
        return {
            "kind": self.kind,
            "points": list(self.x),
            "forward": list(self.forward),
            "backward": list(self.backward),
        }


# --------------------------------------------------------------------------- refutation


def refute(s: Samples) -> Contradiction | None:
    """A contradiction to every principled pair on the samples, or None (which proves nothing).

    docs/mathematics.md, section 3 (definition and decision); tolerances: `REFUTING` and the module's text.
    """
    return _against_the_slope(s) or _on_a_level(s)


def _against_the_slope(s: Samples) -> Contradiction | None:
    x = s.x[s.inside]
    width = s.high - s.low
    x = x[(np.abs(x) == 0) | (np.abs(x) > 1e-9 * width)]
    steps = [width * k for k in (1e-4, 1e-5, 1e-6)]
    offsets = np.array([0.0, *(side * h for h in steps for side in (1, -1))])
    around = x[:, None] + offsets
    forward, backward = (v.reshape(around.shape) for v in s.evaluate(around.ravel()))
    fine = np.isfinite(forward).all(axis=1) & np.isfinite(backward).all(axis=1)
    x, around, forward, backward = x[fine], around[fine], forward[fine], backward[fine]
    if not x.size:
        return None
    top_f, top_b = s.scale(s.forward), s.scale(s.backward)
    rises = forward[:, 1::2] - forward[:, 2::2]
    slopes = rises / (around[:, 1::2] - around[:, 2::2])
    last = slopes[:, 2]
    moves = (np.abs(rises).min(axis=1) > 1e4 * np.finfo(np.float64).eps * np.abs(forward).max(axis=1)) & (
        np.abs(slopes - last[:, None]).max(axis=1) <= 0.05 * np.abs(last)
    )
    moves &= np.abs(last) * width > REFUTING * top_f
    towards = np.sign(last)[:, None] * backward
    found = moves & (towards.max(axis=1) < -REFUTING * top_b)
    if found.any():
        i = int(np.argmax(np.where(found, np.abs(last * backward[:, 0]), -1)))
        way = "rises" if last[i] > 0 else "falls"
        sentence = (
            f"F {way} at x = {x[i]:.6g} (slope {last[i]:.3g}) while B = {backward[i, 0]:.3g} points the other way"
        )
        return Contradiction("F' B < 0", sentence, *_at((around, forward, backward), i, (2, 0, 1)))
    found = moves & (backward == 0).all(axis=1)
    if found.any():
        i = int(np.argmax(np.where(found, np.abs(last), -1)))
        sentence = f"F moves at x = {x[i]:.6g} (slope {last[i]:.3g}) while B = 0 there and beside it"
        return Contradiction("F moves where B = 0", sentence, *_at((around, forward, backward), i, (2, 0, 1)))
    return None


def _at(tables: tuple[Array, ...], row: int, columns: tuple[int, ...]) -> Any:
    return (tuple(float(t[row, c]) for c in columns) for t in tables)


@dataclass(frozen=True)
class _Run:
    """Samples [first, last] at which F is one float, and how F leaves at each end: up, down, slow, slope or never."""

    first: int
    last: int
    before: str
    after: str


def _on_a_level(s: Samples) -> Contradiction | None:
    width = s.high - s.low
    keep = np.isfinite(s.forward) & np.isfinite(s.backward) & ((s.x == 0) | (np.abs(s.x) > 1e-9 * width))
    x, forward, backward = s.x[keep], s.forward[keep], s.backward[keep]
    if x.size < _SOME:
        return None
    least = REFUTING * s.scale(s.backward)
    for run in _runs(s, x, forward):
        if "slow" in (run.before, run.after):
            continue
        # the samples beside an end may be ties, which are not judged at a jump
        a = run.first + (run.before != "never")
        b = run.last + 1 - (run.after != "never")
        if b - a < _SOME:
            continue
        found = _middle(backward[a:b], least) or _ends(run, backward[a:b], least)
        if found is None:
            continue
        indices, text = found
        rows = [a + i for i in indices]
        sentence = f"F = {forward[a]:.6g} at all samples from x = {x[a]:.6g} to {x[b - 1]:.6g}, but {text}"
        picked = (tuple(float(v) for v in values[rows]) for values in (x, forward, backward))
        return Contradiction("B on a level of F", sentence, *picked)
    return None


def _middle(b: Array, least: float) -> tuple[tuple[int, ...], str] | None:
    """p < q < r with B(q) neither 0 nor one of B(p), B(r)."""
    low_before, high_before = np.minimum.accumulate(b), np.maximum.accumulate(b)
    low_after, high_after = np.minimum.accumulate(b[::-1])[::-1], np.maximum.accumulate(b[::-1])[::-1]
    before = np.maximum(b - low_before, high_before - b)
    after = np.maximum(b - low_after, high_after - b)
    score = np.minimum(np.abs(b), np.minimum(before, after))
    q = int(np.argmax(score))
    if not score[q] > least:
        return None
    p = int(np.argmax(np.abs(b[: q + 1] - b[q])))
    r = q + int(np.argmax(np.abs(b[q:] - b[q])))
    return (p, q, r), f"B is {b[p]:.4g}, then {b[q]:.4g}, then {b[r]:.4g} there: P cannot move and B must be one number"


def _ends(run: _Run, b: Array, least: float) -> tuple[tuple[int, ...], str] | None:
    """The rules of the first and the last segment of B on a level."""
    several = bool(b.max() - b.min() > least)
    ends = ((run.before, 0), (run.after, b.size - 1))
    if several:
        for way, i in ends:
            other = int(np.argmax(np.abs(b - b[i])))
            if way == "never" and abs(b[i]) > least:
                shown = tuple(sorted((i, other)))
                return shown, f"B = {b[i]:.4g} to the end and {b[other]:.4g} elsewhere: one of the two must be 0"
            if _wrong_way(way, b[i], least):
                return (i,), f"B = {b[i]:.4g} beside a jump of F {way}wards"
        return None
    ways = {way for way, _ in ends if way != "never"}
    if len(ways) == 1 and _wrong_way(min(ways), b[0], least):
        return (b.size // 2,), f"B = {b[b.size // 2]:.4g} beside a jump of F {min(ways)}wards"
    return None


def _wrong_way(way: str, value: float, least: float) -> bool:
    return (way == "up" and value < -least) or (way == "down" and value > least)


def _runs(s: Samples, x: Array, forward: Array) -> Iterator[_Run]:
    """Maximal runs of at least `_SOME` samples with one value of F."""
    cuts = np.flatnonzero(forward[1:] != forward[:-1])
    starts, stops = np.concatenate([[0], cuts + 1]), np.concatenate([cuts, [x.size - 1]])
    long = stops - starts + 1 >= _SOME
    starts, stops = starts[long], stops[long]
    inner_start, inner_stop = starts > 0, stops < x.size - 1
    before = _leaving(s, x[starts[inner_start]], x[starts[inner_start] - 1], forward[starts[inner_start]])
    after = _leaving(s, x[stops[inner_stop]], x[stops[inner_stop] + 1], forward[stops[inner_stop]])
    left, right = iter(before), iter(after)
    for a, b in zip(starts, stops, strict=True):
        # F read from left to right: where it lies lower on the left, it jumps up into the run
        entry = {"up": "down", "down": "up"}
        came = "never" if a == 0 else next(left)
        went = "never" if b == x.size - 1 else next(right)
        yield _Run(int(a), int(b), entry.get(came, came), went)


def _leaving(s: Samples, held: Array, left: Array, level: Array) -> list[str]:
    """How F leaves its level between two samples: up, down (a jump), slope, or slow (maybe only rounding)."""
    if not held.size:
        return []
    inner, outer = held.copy(), left.copy()
    for _ in range(80):
        middle = inner + (outer - inner) / 2
        same = s.evaluate(middle)[0] == level
        inner, outer = np.where(same, middle, inner), np.where(same, outer, middle)
    away = np.sign(outer - inner)
    away = np.where(away == 0, np.sign(left - held), away)
    width = s.high - s.low
    # past a value stated at the breakpoint itself, and further out
    near = s.evaluate(outer + away * 1e-9 * width)[0] - level
    far = s.evaluate(outer + away * 1e-3 * width)[0] - level
    top = s.scale(s.forward)
    answers = []
    for n, f in zip(near, far, strict=True):
        if abs(n) > REFUTING * top:
            answers.append("up" if n > 0 else "down")
        else:
            answers.append("slope" if abs(f) > 1e-7 * top else "slow")
    return answers


# --------------------------------------------------------------------------- the catalogue


@dataclass(frozen=True)
class Tie:
    """A breakpoint of a catalogued pair at which the samples differ from it; ``judged``: F does not jump there."""

    x: float
    forward: float
    backward: float
    stated_forward: float
    stated_backward: float
    judged: bool


@dataclass(frozen=True)
class Agreement:
    """A catalogued pair that agrees with the samples off its breakpoints, to double or single rounding.

    ``lost``: how many samples beyond the range have not F(x) but x + (F(x) - x) as floats round it, as
    the straight-through idiom x + (F(x) - x).detach() has; they are set aside.
    """

    name: str
    params: Mapping[str, str]
    samples: int
    lost: int
    difference: float
    ties: tuple[Tie, ...]

    @property
    def full(self) -> bool:
        """Whether the only differences are ties at jumps of F, which the theory does not judge."""
        return not any(t.judged for t in self.ties)

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers and texts, for JSON."""
        return {
            "name": self.name,
            "params": dict(self.params),
            "samples": self.samples,
            "lost_to_rounding": self.lost,
            "rounding": "double" if self.difference <= DOUBLE else "single",
            "difference": self.difference,
            "ties": [{k: None if not math.isfinite(v) else v for k, v in vars(t).items()} for t in self.ties],
        }


def agreements(s: Samples) -> list[Agreement]:
    """The catalogued pairs that agree with the samples: at their defaults; if none does, at other parameters."""
    probes = _probes(s)
    found = [a for e in CATALOGUE.values() if (a := _compared(s, e, _defaults(e), probes)) is not None]
    if any(a.full for a in found):
        return [a for a in found if a.full]
    for entry in CATALOGUE.values():
        if not entry.params or entry.period is not None:
            continue  # maps that repeat for ever take long to make: they are compared at their defaults
        for params in _variants(s, entry, probes):
            agreement = _compared(s, entry, params, probes)
            if agreement is not None:
                found.append(agreement)
                break
    return found


def _defaults(entry: Entry) -> dict[str, Any]:
    return {k: parse_constant(v, k) for k, v in entry.params.items()}


def _probes(s: Samples) -> list[tuple[float, float, float]]:
    """A few samples (x, F, B) that are looked at first."""
    x = s.x[s.inside & np.isfinite(s.forward) & np.isfinite(s.backward)]
    marks = s.low + (s.high - s.low) * np.array([0.5371, 0.4212, 0.6627, 0.3711, 0.5078, 0.9013, 0.7419, 0.1307])
    chosen = np.unique(np.abs(x[:, None] - marks).argmin(axis=0))
    forward, backward = s.evaluate(x[chosen])
    return [(float(a), float(b), float(c)) for a, b, c in zip(x[chosen], forward, backward, strict=True)]


def _map(text: str, params: Mapping[str, Any]) -> PiecewiseMap | None:
    """The map, or None at values of its parameters where there is none (or none in time)."""
    return _parsed(text, tuple((k, v) for k, v in params.items() if _mentions(text, k)))


@lru_cache(maxsize=4000)
def _parsed(text: str, params: tuple[tuple[str, Any], ...]) -> PiecewiseMap | None:
    try:
        with limit(_VARIANT_SECONDS):
            return parse(text, dict(params))
    except (InputError, Undecided, OutOfTime):
        return None


def _mentions(text: str, name: str) -> bool:
    return re.search(rf"\b{re.escape(name)}\b", text) is not None


def _value(m: PiecewiseMap, x: float) -> float:
    """m(x) for a float x; NaN where there is none."""
    try:
        value = m(sp.Rational(x))
        return math.nan if value is None else to_float(value)
    except Undecided:
        return math.nan


def _fits(m: PiecewiseMap | None, x: Sequence[float], wanted: Sequence[float], scale: float) -> bool:
    if m is None:
        return False
    for at, value in zip(x, wanted, strict=True):
        ours = _value(m, at)
        if not math.isnan(ours) and abs(ours - value) > SINGLE * (max(abs(ours), abs(value)) + scale):
            return False
    return True


def _variants(s: Samples, entry: Entry, probes: list[tuple[float, float, float]]) -> Iterator[dict[str, Any]]:
    """Values of the parameters beside the defaults at which F, then B, fit at the probes."""
    defaults = _defaults(entry)
    ours = [k for k in defaults if _mentions(entry.forward, k)]
    rest = [k for k in defaults if k not in ours]
    for first in _assignments(s, entry.forward, ours, defaults, 1, probes):
        yield from _assignments(s, entry.backward, rest, first, 2, probes)


def _assignments(
    s: Samples,
    text: str,
    names: list[str],
    base: Mapping[str, Any],
    column: int,
    probes: list[tuple[float, float, float]],
) -> Iterator[dict[str, Any]]:
    """``base`` with other values of the named parameters at which the map fits at the probes.

    Usual values of one, of two at a time where there are two, and fits of one.
    """
    usual = [parse_constant(t, "value") for t in USUAL]
    x, wanted = [p[0] for p in probes], [p[column] for p in probes]
    scale = s.scale(s.forward if column == 1 else s.backward)

    def all_of_them() -> Iterator[dict[str, Any]]:
        yield dict(base)
        yield from ({**base, name: value} for name in names for value in usual)
        if len(names) == 2:
            yield from ({**base, names[0]: a, names[1]: b} for a in usual[:_PRODUCT] for b in usual[:_PRODUCT])
        for name in names:
            yield from ({**base, name: value} for value in _fitted(text, base, name, usual, x, wanted))

    return (values for values in all_of_them() if _fits(_map(text, values), x, wanted, scale))


def _fitted(
    text: str, base: Mapping[str, Any], name: str, usual: list[Any], x: list[float], wanted: list[float]
) -> Iterator[Any]:
    """Values of one parameter at which the map has a sampled value, short rationals first."""
    ordered = sorted(usual)
    informative = 0
    for at, value in zip(x, wanted, strict=True):

        def error(p: Any, at: float = at, value: float = value) -> float:
            m = _map(text, {**base, name: p})
            return math.nan if m is None else _value(m, at) - value

        errors = [error(p) for p in ordered]
        if len({e for e in errors if not math.isnan(e)}) < len(ordered) // 2:
            continue  # the parameter hardly matters here
        for i in range(len(ordered) - 1):
            if errors[i] * errors[i + 1] < 0:
                root = _root(error, ordered[i], ordered[i + 1], errors[i], errors[i + 1])
                exact = Fraction(root)
                short = dict.fromkeys(exact.limit_denominator(d) for d in (12, 100, 1000))
                yield from (sp.Rational(q) for q in short if q != 0 and abs(q - exact) <= SINGLE * abs(exact))
                yield sp.Rational(str(root))
        informative += 1
        if informative == _FITS:
            return


def _root(error: Callable[[Any], float], a: Any, b: Any, error_a: float, error_b: float) -> float:
    """Where the error changes sign between two parameters, by the Illinois rule; the last point if it cannot go on."""
    left, right, middle = float(a), float(b), float(a)
    side = 0
    for _ in range(40):
        middle = (left * error_b - right * error_a) / (error_b - error_a)
        value = error(sp.Rational(middle))
        if value == 0 or not math.isfinite(value) or abs(right - left) <= 1e-14 * abs(middle):
            break
        if value * error_b > 0:
            right, error_b = middle, value
            error_a = error_a / 2 if side == 1 else error_a
            side = 1
        else:
            left, error_a = middle, value
            error_b = error_b / 2 if side == -1 else error_b
            side = -1
    return middle


def _compared(
    s: Samples, entry: Entry, params: Mapping[str, Any], probes: list[tuple[float, float, float]]
) -> Agreement | None:
    """The agreement of one pair with all samples, or None."""
    x, forward, backward = zip(*probes, strict=True)
    f, b = _map(entry.forward, params), None
    if f is None or not _fits(f, x, forward, s.scale(s.forward)):
        return None
    b = _map(entry.backward, params)
    if b is None or not _fits(b, x, backward, s.scale(s.backward)):
        return None
    lo, hi = _window(f, b)
    breaks = [c for c in dict.fromkeys((*f.breaks, *b.breaks)) if lo < to_float(c) < hi]
    marks = np.array([to_float(c) for c in breaks])
    step = 1e-6 * (s.high - s.low)
    more = np.concatenate(
        [marks, np.nextafter(marks, -np.inf), np.nextafter(marks, np.inf), marks - step, marks + step]
    )
    points = np.unique(np.concatenate([s.x, more]) + 0.0)
    points = points[(points >= lo) & (points <= hi)]
    got_f, got_b = s.evaluate(points)
    try:
        our_f, our_b = lower(_whole(f))(points), lower(_whole(b))(points)
    except Undecided:
        return None
    tied = np.zeros(points.shape, dtype=bool)
    if marks.size:
        ulp = np.spacing(np.maximum(np.abs(marks), np.finfo(np.float64).tiny))
        tied = (np.abs(points[:, None] - marks) <= _TIE_ULPS * ulp).any(axis=1)
    inside = (points >= s.low) & (points <= s.high)
    usable = ~tied & ((np.isfinite(got_f) & np.isfinite(got_b)) | inside)
    lost = usable & ~inside & _lost_to_rounding(points, got_f, our_f, s.scale(s.forward))
    usable &= ~lost
    worst = max(
        _difference(got_f[usable], our_f[usable], s.scale(s.forward)),
        _difference(got_b[usable], our_b[usable], s.scale(s.backward)),
    )
    if not worst <= SINGLE:
        return None
    ties = []
    for c, mark in zip(breaks, marks, strict=True):
        if sp.Rational(mark) != c:
            continue  # no float lies on this breakpoint
        i = int(np.searchsorted(points, mark))
        apart = max(
            _difference(got_f[i : i + 1], our_f[i : i + 1], s.scale(s.forward)),
            _difference(got_b[i : i + 1], our_b[i : i + 1], s.scale(s.backward)),
        )
        if apart > SINGLE:
            of_f, of_b, stated_f, stated_b = (float(v[i]) for v in (got_f, got_b, our_f, our_b))
            ties.append(Tie(float(mark), of_f, of_b, stated_f, stated_b, not _jumps(f, c)))
    texts = {k: str(v) for k, v in params.items()}
    return Agreement(entry.name, texts, int(usable.sum()), int(lost.sum()), worst, tuple(ties))


def _lost_to_rounding(x: Array, got: Array, ours: Array, scale: float) -> Array:
    """Where got is not ours but, bit for bit, x + (ours - x) in floats: the straight-through idiom."""
    with np.errstate(invalid="ignore", over="ignore"):
        return np.asarray((np.abs(got - ours) > SINGLE * (np.abs(ours) + scale)) & (got == x + (ours - x)))


def _window(*maps: PiecewiseMap) -> tuple[float, float]:
    """Where all the maps are held, as floats."""
    lo = max(to_float(m.known_from) for m in maps)
    return lo, min(to_float(m.known_to) for m in maps)


def _whole(m: PiecewiseMap) -> PiecewiseMap:
    return m.kept_on(m.known_from, m.known_to) if m.windowed else m


def _jumps(f: PiecewiseMap, c: Any) -> bool:
    return c in f.breaks and f.left(f.breaks.index(c)) != f.right(f.breaks.index(c))


def _difference(got: Array, ours: Array, scale: float) -> float:
    """The largest difference, relative to the value plus the scale; infinite where only one side is finite."""
    same = (got == ours) | (np.isnan(got) & np.isnan(ours))
    got, ours = got[~same], ours[~same]
    if not got.size:
        return 0.0
    if not (np.isfinite(got) & np.isfinite(ours)).all():
        return math.inf
    # halves: the sum of two large floats may overflow
    top = np.maximum(np.abs(got), np.abs(ours)) / 2 + scale / 2
    return float((np.abs(got / 2 - ours / 2) / top).max())


__all__ = ["DOUBLE", "REFUTING", "SINGLE", "Agreement", "Contradiction", "Samples", "Tie", "agreements", "refute"]
