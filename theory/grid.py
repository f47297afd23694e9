"""The grid of synthesized pairs: every transform of the library on every proximal map, judged and compared.

Criteria of a pair F = T o P, B = t o P (smaller is better); each is proved, or enclosed by proved
bounds, or null with the reason. T is the transform that the row names, on the hull of P's range.

    lipschitz   sup |T'|: the Lipschitz constant of f o T per unit of the gradient of f
                (its square is the share of f's own curvature)
    curvature   sup |T''|, oo where T has a kink inside the hull: the curvature of f o T per unit of
                the gradient of f
    distance    sup |F - q| over the real line, q the nearest of the declared levels
    near        the same over the hull of the levels, off all points within an eighth of the least
                spacing of the levels from a midpoint, where q jumps
    dead        the length of {x in [-2, 2]: B(x) <= 0}, where the latent weight stands still or moves
                the wrong way
    nonconvex   0 if r is convex, else 1

Suprema run over open pieces: ties play no role. Source: docs/mathematics.md, sections 1, 3 and 4.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cmp_to_key
from itertools import pairwise, product
from typing import Any

import sympy as sp

from theory.analytic import Expr, limit_at, sign_on
from theory.catalogue import PROX_LIBRARY, TRANSFORM_LIBRARY, lookup_prox, lookup_transform
from theory.checking import check, decomposition_texts
from theory.constants import Constant
from theory.deadline import Lost, guarded, limit
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import X, compare, enclose, equal, less, precision, sign_of
from theory.extrema import Bound, exactly, greatest, largest_modulus
from theory.maps import OO, PiecewiseMap
from theory.parser import parse_constant
from theory.printing import expression_text, to_text
from theory.synthesis import Synthesized, synthesize

ZERO = sp.Integer(0)
CRITERIA = ("lipschitz", "curvature", "distance", "near", "dead", "nonconvex")
GRADES = ("smooth", "lipschitz")
LARGEST = 5000
WINDOW = sp.Integer(2)
TRANSFORMS = ("identity", "clip", "tanh", "SwishSign", "ApproxSign", "softsign", "erf", "leaky clip")
PROXES = (
    "identity",
    "binary projection",
    "ternary projection",
    "box",
    "soft threshold",
    "hard threshold",
    "BinaryRelax",
    "tanh",
    "softsign",
    "elastic net",
)
VALUES = ("beta=1,2,5",)
LEVELS = "-1,1"
_JUDGE, _MEASURE = 0.5, 0.45  # shares of a pair's time


@dataclass(frozen=True)
class Cell:
    """One pair of the grid: two names and the texts of their parameters."""

    transform: str
    prox: str
    transform_params: tuple[tuple[str, str], ...] = ()
    prox_params: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> tuple[str, str]:
        """Both names with their parameters."""
        return _title(self.transform, self.transform_params), _title(self.prox, self.prox_params)


def _title(name: str, params: tuple[tuple[str, str], ...]) -> str:
    return name + (f" ({', '.join(f'{k}={v}' for k, v in params)})" if params else "")


@dataclass(frozen=True)
class Plan:
    """What a grid consists of: its pairs, the levels of the hard quantizer, the first key, the lowest grade."""

    cells: tuple[Cell, ...]
    levels: tuple[Expr, ...]
    sort: str
    grade: str


@dataclass(frozen=True)
class Found:
    """The rows that were kept, in order, and how many pairs were not."""

    rows: list[dict[str, Any]]
    total: int
    refused: int
    undecided: int
    below: int

    def summary(self, shown: int) -> str:
        """One line on what became of all pairs."""
        front = sum(r["on_front"] is True for r in self.rows)
        return (
            f"{self.total} pairs: {len(self.rows)} principled and kept ({front} on the front, {shown} shown), "
            f"{self.below} of a lower grade, {self.refused} not composable, {self.undecided} not settled"
        )


# --------------------------------------------------------------------------- the plan


def plan(
    transforms: str | None = None,
    proxes: str | None = None,
    values: Sequence[str] = (),
    levels: str | None = None,
    sort: str | None = None,
    grade: str | None = None,
) -> Plan:
    """The pairs of a grid from texts: names separated by commas, "beta=1,2,5", "-1,0,1".

    Parameters without values keep their defaults; a value applies to every map with a parameter of that
    name. Raises `InputError` for unknown names, values that are no exact numbers, an empty grid, or more
    than 5,000 pairs.
    """
    outer = _names(transforms, TRANSFORMS, lookup_transform, "--transforms")
    inner = _names(proxes, PROXES, lookup_prox, "--proxes")
    given = _values(values or VALUES)
    tables: tuple[Any, Any] = (TRANSFORM_LIBRARY, PROX_LIBRARY)
    known = {k for table, names in zip(tables, (outer, inner), strict=True) for n in names for k in table[n].params}
    idle = [k for k in given if k not in known]
    if idle and values:
        raise InputError(
            f"--values {idle[0]}: no chosen transform or proximal map has such a parameter "
            f"({', '.join(sorted(known)) or 'they have none'})"
        )
    sides = [
        [(n, combination) for n in names for combination in _combinations(table[n].params, given)]
        for table, names in zip(tables, (outer, inner), strict=True)
    ]
    total = len(sides[0]) * len(sides[1])
    if total > LARGEST:
        raise InputError(f"--grid: at most {LARGEST} pairs were expected, but these names and values make {total}")
    cells = tuple(Cell(t, p, tp, pp) for (t, tp), (p, pp) in product(*sides))
    if sort is not None and sort not in CRITERIA:
        raise InputError(f"--sort: one of {', '.join(CRITERIA)} was expected, not {sort[:40]!r}")
    if grade is not None and grade not in GRADES:
        raise InputError(f"--grade: smooth or lipschitz was expected, not {grade[:40]!r}")
    return Plan(cells, _levels(LEVELS if levels is None else levels), sort or "near", grade or "lipschitz")


def _split(text: str, what: str) -> list[str]:
    parts = [part.strip() for part in text.split(",")]
    if not all(parts):
        raise InputError(f"{what}: a list separated by commas was expected, without empty places")
    return parts


def _names(text: str | None, default: tuple[str, ...], lookup: Callable[[str], Any], what: str) -> list[str]:
    found: list[str] = []
    for name in default if text is None else _split(text, what):
        try:
            key = lookup(name).name
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
        if key in found:
            raise InputError(f"{what}: {key} is given twice")
        found.append(key)
    return found


def _values(texts: Sequence[str]) -> dict[str, list[tuple[str, Expr]]]:
    given: dict[str, list[tuple[str, Expr]]] = {}
    for text in texts:
        name, equals, rest = text.partition("=")
        name = name.strip()
        if not equals or not name:
            raise InputError(f'--values: NAME=Q,Q was expected, such as "beta=1,2,5", not {text[:40]!r}')
        if name in given:
            raise InputError(f"--values {name}: its values were expected once, they are given twice")
        constants: list[tuple[str, Expr]] = []
        for part in _split(rest, f"--values {name}"):
            c = parse_constant(part, f"--values {name}")
            if any(equal(c, other) for _, other in constants):
                raise InputError(f"--values {name}: {part} is given twice")
            constants.append((part, c))
        given[name] = constants
    return given


def _combinations(params: Any, given: dict[str, list[tuple[str, Expr]]]) -> list[tuple[tuple[str, str], ...]]:
    options = [[(k, text) for text, _ in given[k]] if k in given else [(k, v)] for k, v in params.items()]
    return [tuple(combination) for combination in product(*options)]


def _levels(text: str) -> tuple[Expr, ...]:
    levels = tuple(parse_constant(part, "--levels") for part in _split(text, "--levels"))
    if len(levels) < 2 or any(not less(a, b) for a, b in pairwise(levels)):
        raise InputError("--levels: at least two numbers in increasing order were expected")
    return levels


# --------------------------------------------------------------------------- criteria


def hull_pieces(made: Synthesized) -> tuple[PiecewiseMap, list[tuple[Expr, Expr, Expr]]]:
    """T, and its pieces (expression, from, to) cut to the open hull of P's range (none if that is one point)."""
    transform, prox = made.decomposition.transform, made.decomposition.prox
    assert transform is not None
    assert prox is not None
    lo, hi = limit_at(prox.exprs[0], -OO, 1), limit_at(prox.exprs[-1], OO, -1)
    found = []
    for e, (a, b) in zip(transform.exprs, transform.ends, strict=True):
        a, b = (lo if less(a, lo) else a), (hi if less(hi, b) else b)
        if less(a, b):
            found.append((e, a, b))
    return transform, found


def lipschitz(made: Synthesized) -> Bound:
    """sup |T'| on the hull; |t| where the hull is one point."""
    _, pieces = hull_pieces(made)
    if not pieces:
        level = made.pair.backward.constant
        if level is None:
            raise Undecided("the hull is one point and B is not constant")
        return exactly(level if sign_of(level) >= 0 else -level)
    return greatest(largest_modulus(sp.diff(e, X), a, b) for e, a, b in pieces)


def curvature(made: Synthesized) -> Bound:
    """sup |T''| on the hull, oo where T has a kink inside it."""
    _, pieces = hull_pieces(made)
    for (e, _, b), (f, _, _) in pairwise(pieces):
        if not equal(limit_at(sp.diff(e, X), b, -1), limit_at(sp.diff(f, X), b, 1)):
            return exactly(OO, f"T has a kink at {b}")
    return greatest([exactly(ZERO), *(largest_modulus(sp.diff(e, X, 2), a, b) for e, a, b in pieces)])


def hard_quantizer(levels: Sequence[Expr]) -> PiecewiseMap:
    """The nearest level; at midpoints the mean of the two neighbours (ties play no role here)."""
    middles = tuple((a + b) / 2 for a, b in pairwise(levels))
    return PiecewiseMap(middles, tuple(levels), middles)


def distance(made: Synthesized, levels: Sequence[Expr]) -> Bound:
    """sup |F - q| over the real line, q the nearest level."""
    return _sup_over(made, levels, [(-OO, OO)])


def near_distance(made: Synthesized, levels: Sequence[Expr]) -> Bound:
    """sup |F - q| over the hull of the levels, an eighth of their least spacing away from the midpoints."""
    spacing = levels[1] - levels[0]
    for a, b in pairwise(levels):
        spacing = b - a if less(b - a, spacing) else spacing
    middles = [(a + b) / 2 for a, b in pairwise(levels)]
    starts = [levels[0], *(m + spacing / 8 for m in middles)]
    stops = [*(m - spacing / 8 for m in middles), levels[-1]]
    return _sup_over(made, levels, list(zip(starts, stops, strict=True)))


def _sup_over(made: Synthesized, levels: Sequence[Expr], where: Sequence[tuple[Expr, Expr]]) -> Bound:
    """sup |T(p) - q| over the values p of P: T alone is simpler than T o P."""
    transform, prox = made.decomposition.transform, made.decomposition.prox
    assert transform is not None
    assert prox is not None
    hard = hard_quantizer(levels)
    fine, nearest = prox.refine(hard.breaks), hard.refine(prox.breaks)
    found = []
    for lo, hi in where:
        for e, q, (a, b) in zip(fine.exprs, nearest.exprs, fine.ends, strict=True):
            a, b = (lo if less(a, lo) else a), (hi if less(hi, b) else b)
            if not less(a, b):
                continue
            if not e.has(X):
                value = transform(e)
                assert value is not None
                found.append(largest_modulus(value - q, a, b))
            else:
                found += _moduli(transform, q, limit_at(e, a, 1), limit_at(e, b, -1))
    return greatest(found)


def _moduli(transform: PiecewiseMap, q: Expr, lo: Expr, hi: Expr) -> list[Bound]:
    """sup |T - q| on the pieces of T in (lo, hi)."""
    found = []
    for e, (a, b) in zip(transform.exprs, transform.ends, strict=True):
        a, b = (lo if less(a, lo) else a), (hi if less(hi, b) else b)
        if less(a, b):
            found.append(largest_modulus(sp.expand(e - q) if e.is_polynomial(X) else e - q, a, b))
    return found


def not_positive(backward: PiecewiseMap) -> list[dict[str, str]]:
    """Where B <= 0, from left to right: {from, to, sign} with sign zero or negative; from = to is one point.

    Intervals are open; an end that belongs to the set follows or precedes as a point.
    Raises `Undecided` where a zero of B has no closed form.
    """
    f, signs = backward.signs()
    stretches: list[tuple[Expr, Expr, int]] = []
    for i, (s, (a, b)) in enumerate(zip(signs, f.ends, strict=True)):
        if i > 0:
            v = f.values[i - 1]
            if v is not None and sign_of(v) <= 0:
                stretches.append((a, a, sign_of(v)))
        if s is None:
            raise Undecided(f"B has no value between {a} and {b}")
        if s <= 0:
            stretches.append((a, b, s))
    merged: list[tuple[Expr, Expr, int]] = []
    for lo, hi, s in stretches:
        merged.append((lo, hi, s))
        if len(merged) >= 3 and lo != hi:  # an interval, its end, and the interval beyond are one interval
            (p, q, before), (c, d, at) = merged[-3:-1]
            if p != q and q == c == d == lo and before == at == s:
                merged[-3:] = [(p, hi, s)]
    words = {0: "zero", -1: "negative"}
    return [{"from": expression_text(a), "to": expression_text(b), "sign": words[s]} for a, b, s in merged]


def dead_length(backward: PiecewiseMap) -> Bound:
    """The length of {x in [-2, 2]: B(x) <= 0}; enclosed by halving where a zero of B has no closed form."""
    low = high = ZERO
    exact = True
    for e, (a, b) in zip(backward.exprs, backward.ends, strict=True):
        a, b = (-WINDOW if less(a, -WINDOW) else a), (WINDOW if less(WINDOW, b) else b)
        if not less(a, b):
            continue
        one = _dead_piece(e, a, b)
        low, high, exact = low + one.low, high + one.high, exact and one.exact
    if exact:
        return exactly(sp.simplify(low), "zeros in closed form")
    return Bound(low, high, "enclosure: the zeros of B by halving")


_HALVINGS = 40


def _dead_piece(e: Expr, a: Expr, b: Expr) -> Bound:
    """The length of {e <= 0} in (a, b): polynomials by their roots, the rest by enclosures (no limits of time)."""
    if not e.has(X):
        return exactly(ZERO if sign_of(e) > 0 else b - a)
    if e.is_polynomial(X):
        piece = PiecewiseMap((a, b), (sp.Integer(1), e, sp.Integer(1)), (None, None))
        f, signs = piece.signs()
        parts = [q - p for (p, q), s in zip(f.ends, signs, strict=True) if s is not None and s <= 0]
        return exactly(sum(parts, ZERO))
    return _by_halving(e, a, b)


def _by_halving(e: Expr, a: Expr, b: Expr) -> Bound:
    """Bounds of the length of {e <= 0} in (a, b): cells whose sign an enclosure settles, the rest is open."""
    sure = unsure = ZERO
    with precision(128):
        lo, hi = enclose(a), enclose(b)
        stack: list[tuple[Expr, int]] = [(ZERO, 0)]  # cells of [0, 1] by start and level
        while stack:
            start, level = stack.pop()
            width = sp.Rational(1, 2**level)
            box = lo + (hi - lo) * enclose(start).union(enclose(start + width))
            value = enclose(e, box)
            if value > 0:
                continue
            if value <= 0:
                sure += width
            elif level >= _HALVINGS or len(stack) > 4 * _HALVINGS:
                unsure += width
            else:
                stack += [(start, level + 1), (start + width / 2, level + 1)]
    return Bound((b - a) * sure, (b - a) * (sure + unsure), "enclosure: the zeros of B by halving")


def prox_is_convex(prox: PiecewiseMap) -> bool:
    """Whether P is the proximal map of a convex r: continuous with slopes in [0, 1]. Raises `Undecided`."""
    if any(not equal(prox.left(i), prox.right(i)) for i in range(len(prox.breaks))):
        return False  # P is monotone, so its value lies between its limits
    for e, (a, b) in zip(prox.exprs, prox.ends, strict=True):
        s = sign_on(1 - sp.diff(e, X), a, b)
        if s.value is None or s.value < 0:
            return False
    return True


# --------------------------------------------------------------------------- one pair


def _measured(make: Callable[[], Bound], seconds: float) -> Constant:
    try:
        with limit(seconds):
            b = make()
            return Constant(b, b.method)
    except (Undecided, sp.PolynomialError, NotImplementedError) as reason:
        return Constant(None, f"not settled: {str(reason)[:200]}")
    except OutOfTime:
        return Constant(None, "not settled in time")


def row(cell: Cell, levels: Sequence[Expr], timeout: float) -> dict[str, Any]:
    """One pair: the object of `check` with its maps, names, parameters and criteria; ``state`` says what became of it.

    state: a grade, "refused" (T is no admissible transform on this P, with the reason) or "undecided".
    """
    params = [{k: parse_constant(v, k) for k, v in given} for given in (cell.transform_params, cell.prox_params)]
    names = {
        "transform_name": cell.transform,
        "prox_name": cell.prox,
        "parameters": {"transform": dict(cell.transform_params), "prox": dict(cell.prox_params)},
    }
    try:
        with limit(timeout * _JUDGE):
            transform = TRANSFORM_LIBRARY[cell.transform].map(**params[0])
            prox = PROX_LIBRARY[cell.prox].map(**params[1])
            made = synthesize(transform, prox)
            texts = to_text(made.pair.forward), to_text(made.pair.backward)
    except InputError as reason:
        return {"state": "refused", "reason": str(reason), **names}
    except (Undecided, OutOfTime) as reason:
        return {"state": "undecided", "reason": f"not composed: {reason}", **names}
    pair = made.pair
    result = check(
        pair.forward, pair.backward, timeout=timeout * _JUDGE, with_theory=False, with_repairs=False
    ).as_dict()
    if result["verdict"] not in GRADES:
        return {"state": "undecided", "reason": result["reason"], **names}
    result.update(decomposition_texts(made.decomposition))
    end = time.monotonic() + timeout * _MEASURE  # all of it for whichever criterion needs it, so that few run out

    def measured_within(make: Callable[[], Bound]) -> Constant:
        return _measured(make, end - time.monotonic())

    convex = measured_within(lambda: exactly(ZERO if prox_is_convex(prox) else sp.Integer(1)))
    measured = {
        "dead": measured_within(lambda: dead_length(pair.backward)),
        "lipschitz": measured_within(lambda: lipschitz(made)),
        "curvature": measured_within(lambda: curvature(made)),
        "distance": measured_within(lambda: distance(made, levels)),
        "near": measured_within(lambda: near_distance(made, levels)),
        "nonconvex": convex,
    }
    measured = {k: measured[k] for k in CRITERIA}
    where: list[dict[str, str]] | None = None
    with contextlib.suppress(Undecided, OutOfTime), limit(end - time.monotonic()):
        where = not_positive(pair.backward)
    hull = [expression_text(c) for c in _hull(prox)]
    on_hull = f"{result['transform']} on {hull}"
    return {
        **result,
        "state": result["verdict"],
        "forward": texts[0],
        "backward": texts[1],
        **names,
        "criteria": {
            **{k: c.as_dict() for k, c in measured.items()},
            "convex_r": None if convex.bound is None else convex.bound.low == 0,
            "backward_not_positive": where,
        },
        "on_front": None,
        # what each criterion was computed from: equal sources have equal values, also where they are only enclosed
        "sources": {
            "lipschitz": on_hull,
            "curvature": on_hull,
            "distance": texts[0],
            "near": texts[0],
            "dead": texts[1],
            "nonconvex": "",
        },
    }


def _hull(prox: PiecewiseMap) -> tuple[Expr, Expr]:
    return limit_at(prox.exprs[0], -OO, 1), limit_at(prox.exprs[-1], OO, -1)


def public(r: dict[str, Any]) -> dict[str, Any]:
    """A row as it is printed."""
    return {k: v for k, v in r.items() if k not in ("state", "sources")}


# --------------------------------------------------------------------------- all pairs


def run(
    plan: Plan, timeout: float, workers: int, count: Callable[[Iterable[Any], int], Sequence[Any]] | None = None
) -> Found:
    """All pairs of the plan in child processes, the principled ones sorted and compared.

    ``timeout``: seconds for one pair. ``count``: collects the answers, for instance under a bar. The result
    does not depend on ``workers``, apart from what runs out of time on a busy machine: a criterion is then
    only enclosed, or open.
    """
    jobs = [(cell, plan.levels, timeout) for cell in plan.cells]
    answers = guarded(_job, jobs, timeout, min(workers, 8))
    rows: list[dict[str, Any]] = list(answers) if count is None else list(count(answers, len(jobs)))
    kept = [r for r in rows if not isinstance(r, Lost) and r["state"] in GRADES]
    wanted = [r for r in kept if plan.grade == "lipschitz" or r["state"] == "smooth"]
    refused = sum(not isinstance(r, Lost) and r["state"] == "refused" for r in rows)
    marked = mark_front(sorted_rows(wanted, plan.sort))
    return Found(marked, len(rows), refused, len(rows) - refused - len(kept), len(kept) - len(wanted))


def _job(job: tuple[Cell, Sequence[Expr], float]) -> dict[str, Any]:
    return row(*job)


@dataclass(frozen=True)
class _Score:
    """A criterion read back: low <= value <= high, and what it was computed from."""

    low: Expr
    high: Expr
    source: str

    def at_most(self, other: _Score) -> bool:
        """Proved: this value is at most the other."""
        if self.source and self.source == other.source:
            return True
        return compare(self.high, other.low) <= 0

    def below(self, other: _Score) -> bool:
        """Proved: this value is smaller."""
        same = bool(self.source) and self.source == other.source
        return not same and less(self.high, other.low)


_Scores = dict[str, _Score | None]


def _scores(r: dict[str, Any]) -> _Scores:
    out: _Scores = {}
    for k in CRITERIA:
        c = r["criteria"][k]
        out[k] = None
        if c["low"] is not None:
            out[k] = _Score(_read(c["low"]), _read(c["high"]), r["sources"][k])
    return out


def _read(text: str) -> Expr:
    return OO if text == "oo" else parse_constant(text, "a criterion")


def _order(a: _Score | None, b: _Score | None) -> int:
    """Unsettled ones last; enclosures by their lower ends."""
    if a is None or b is None:
        return (a is None) - (b is None)
    if a.source and a.source == b.source:
        return 0
    return _compared(a.low, b.low) or _compared(a.high, b.high)


def _compared(a: Expr, b: Expr) -> int:
    try:
        return compare(a, b)
    except Undecided:  # equal to 8192 bits, but not shown to be equal
        return 0


def sorted_rows(rows: Sequence[dict[str, Any]], first: str) -> list[dict[str, Any]]:
    """Rows by their criteria, ``first`` before the others; ties keep their order."""
    keys = [first, *(k for k in CRITERIA if k != first)]
    scored = [(_scores(r), r) for r in rows]

    def order(one: tuple[_Scores, Any], other: tuple[_Scores, Any]) -> int:
        return next((c for c in (_order(one[0][k], other[0][k]) for k in keys) if c), 0)

    return [r for _, r in sorted(scored, key=cmp_to_key(order))]


def dominates(a: _Scores, b: _Scores) -> bool:
    """Proved: a is at least as good as b in every criterion and better in one."""
    better = False
    for k in CRITERIA:
        one, other = a[k], b[k]
        if one is None or other is None:
            return False
        try:
            if not one.at_most(other):
                return False
            better = better or one.below(other)
        except Undecided:
            return False
    return better


def mark_front(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Each row with ``on_front``: False if another row is proved to dominate it, None if a criterion is open."""
    scores = [_scores(r) for r in rows]
    out = []
    for r, s in zip(rows, scores, strict=True):
        state = None if None in s.values() else not any(dominates(other, s) for other in scores if other is not s)
        out.append({**r, "on_front": state})
    return out


# --------------------------------------------------------------------------- tables

_HEADS = {
    "lipschitz": "sup|T'|",
    "curvature": "sup|T''|",
    "distance": "sup|F-q|",
    "near": "near",
    "dead": "dead",
    "nonconvex": "convex r",
}
_LATEX_HEADS = {
    "lipschitz": r"$\sup|T'|$",
    "curvature": r"$\sup|T''|$",
    "distance": r"$\sup|F-q|$",
    "near": "near",
    "dead": "dead",
    "nonconvex": "convex $r$",
}


def shown(r: dict[str, Any], key: str) -> str:
    """A criterion in a table: a short exact text, or decimals that its bounds share."""
    c = r["criteria"][key]
    if c["low"] is None:
        return "?"
    if key == "nonconvex":
        return "yes" if c["low"] == "0" else "no"
    if c["value"] is not None and len(c["value"]) <= 6:
        return str(c["value"])
    low = _read(c["low"])
    with precision(128):
        digits = enclose(low).str(4, radius=False)
    return f"{float(digits):.4g}"


def _cells(r: dict[str, Any]) -> list[str]:
    given = r["parameters"]
    title = Cell(r["transform_name"], r["prox_name"], tuple(given["transform"].items()), tuple(given["prox"].items()))
    mark = {True: "*", False: "", None: "?"}[r["on_front"]]
    return [*title.title, r["verdict"], *(shown(r, k) for k in CRITERIA), mark]


def _legend(plan: Plan) -> str:
    levels = ", ".join(expression_text(c) for c in plan.levels)
    return (
        f"q is the nearest of the levels {levels}; near: sup |F - q| over their hull, an eighth of the least spacing "
        f"away from midpoints; dead: length of B <= 0 in [-2, 2]; * on the front"
    )


def text(rows: Sequence[dict[str, Any]], plan: Plan) -> str:
    """The table for people."""
    head = ["transform", "prox", "verdict", *(_HEADS[k] for k in CRITERIA), "front"]
    body = [head, *(_cells(r) for r in rows)]
    widths = [max(len(line[k]) for line in body) for k in range(len(head))]
    lines = ["  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip() for line in body]
    return "\n".join([*lines, _legend(plan)])


def _escaped(words: str) -> str:
    return "".join(f"\\{c}" if c in "&%$#_{}" else c for c in words)


def latex(rows: Sequence[dict[str, Any]], plan: Plan) -> str:
    """The table in LaTeX (booktabs)."""
    head = ["transform $T$", "proximal map $P$", "verdict", *(_LATEX_HEADS[k] for k in CRITERIA), "front"]
    lines = [f"% {_legend(plan)}", rf"\begin{{tabular}}{{lll{'r' * 5}lc}}", r"\toprule", " & ".join(head) + r" \\"]
    lines.append(r"\midrule")
    for r in rows:
        cells = [_escaped(c).replace("*", r"$\ast$") for c in _cells(r)]
        lines.append(" & ".join(r"$\infty$" if c == "oo" else c for c in cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


__all__ = [
    "CRITERIA",
    "Cell",
    "Found",
    "Plan",
    "latex",
    "mark_front",
    "plan",
    "public",
    "row",
    "run",
    "sorted_rows",
    "text",
]
