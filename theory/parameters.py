"""Verdicts for whole ranges of parameters: `check --assume "beta > 0"`.

Two proofs. *Scaling*: with y = k (x - s), F = a F0(y) + c and B = b B0(y) for positive a, b, k that
depend on the parameters alone; being principled does not change under any of these, so the verdict
of (F0, B0), in which no parameter occurs, holds for the whole range. *Cases*: the grade depends only
on the kinds of the pieces, the signs of F's jumps and the order of 0 and the limits and values of B
(docs/mathematics.md, section 3: the rules compare these numbers and do nothing else with them). The range is cut
into cells on which all of these are proved constant; one exact value then speaks for its cell.
What neither settles is answered for the stated value only, and the answer says so.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from itertools import combinations
from typing import TYPE_CHECKING, Any

import sympy as sp

from theory.analytic import limit_at, sign_on, solve_level
from theory.assumptions import Assumptions, read_assumptions
from theory.cells import OO, Cell, Expr, OutOfReach, Ratio, Split, constant_text, interval_text
from theory.deadline import DeadlinePassed, limit
from theory.decision import Refuted, anatomy, convex_regularizer, decide
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import X, compare, less
from theory.families import Family, NeedsUnit, inner_point, read
from theory.maps import UNDEFINED, PiecewiseMap
from theory.pairs import QuantizerPair, Verdict
from theory.parser import parse
from theory.printing import expression_text, to_latex
from theory.uniform import factored, in_unit, moved, nowhere_constant_zero, plainest, sign_of_family, terms_of, units

if TYPE_CHECKING:
    from theory.checking import Check

ZERO, ONE = sp.Integer(0), sp.Integer(1)
MAX_CELLS = 80
_STATED_SHARE, _BUDGET_SHARE = 0.4, 0.1
_SHORT_BUDGET = 0.5  # seconds for the convexity at a value whose closed forms are not shown


# --------------------------------------------------------------------------- scaling


@dataclass(frozen=True)
class Scaled:
    """F = a F0(k (x - s)) + c and B = b B0(k (x - s)) with a, b, k > 0, proved piece by piece and tie by tie."""

    forward: PiecewiseMap
    backward: PiecewiseMap
    a: Expr
    b: Expr
    c: Expr
    k: Expr
    s: Expr


def scaled(cell: Cell, f: Family, g: Family, outer: tuple[Expr, Expr]) -> Scaled | None:
    """The pair in a unit of x in which no parameter is left, or None where none was found.

    ``outer``: the unit (k, s) in which the maps were read.
    """
    big_k, big_s = outer
    if f.plain is not None and g.plain is not None:
        return Scaled(f.plain, g.plain, ONE, ONE, ZERO, big_k, big_s)
    if any(m.plain is not None and m.plain.windowed for m in (f, g)):
        return _scaled_apart(cell, f, g, outer)
    f, g = f.finite().refine(g.breaks), g.finite().refine(f.breaks)
    for unit in units(cell, [*f.exprs, *g.exprs], [p for p in f.breaks if cell.free(p)]):
        breaks = tuple(moved(p, unit) for p in f.breaks)
        if any(cell.free(p) for p in breaks):
            continue
        one, two = _normal(cell, f, unit, True), _normal(cell, g, unit, False)
        if one is None or two is None:
            continue
        (f0, fv, a, c), (g0, gv, b, _) = one, two
        return Scaled(
            PiecewiseMap(breaks, f0, fv),
            PiecewiseMap(breaks, g0, gv),
            a,
            b,
            c,
            sp.simplify(unit[0] * big_k),
            sp.simplify(big_s + unit[1] / big_k),
        )
    return None


def _scaled_apart(cell: Cell, f: Family, g: Family, outer: tuple[Expr, Expr]) -> Scaled | None:
    """`scaled` in the given unit, for maps with infinitely many breakpoints: each by its own factor."""
    found: list[tuple[PiecewiseMap, Expr, Expr]] = []
    for m, with_constant in ((f, True), (g, False)):
        if m.plain is not None:
            found.append((m.plain, ONE, ZERO))
            continue
        form = None if any(cell.free(b) for b in m.breaks) else _normal(cell, m, (ONE, ZERO), with_constant)
        if form is None:
            return None
        found.append((PiecewiseMap(m.breaks, form[0], form[1]), form[2], form[3]))
    (f0, a, c), (g0, b, _) = found
    return Scaled(f0, g0, a, b, c, *outer)


_Normal = tuple[tuple[Expr, ...], tuple[Expr, ...], Expr, Expr]


def _normal(cell: Cell, m: Family, unit: tuple[Expr, Expr], with_constant: bool) -> _Normal | None:
    """Pieces, values, factor > 0 and constant of m = factor * m0 + constant in the unit, or None."""
    sums: list[list[tuple[Expr, Expr]]] = []
    for e in m.exprs:
        terms = terms_of(cell, in_unit(e, unit))
        if terms is None:
            return None
        sums.append(terms)
    sums += [[(ONE, ZERO)] if v is None else [(v, ONE)] for v in m.values]
    moving = [c for terms in sums for c, part in terms if part.has(X)]
    still = [sum((c * part for c, part in terms if not part.has(X)), start=ZERO) for terms in sums]
    for constant in dict.fromkeys([ZERO, *(still if with_constant else [])]):
        rest = [sp.simplify(e - constant) for e in still]
        factors = [*moving, *(e for e in rest if e != 0)] or [ONE]
        factor = factors[0]
        shares = [[sp.simplify(c / factor) for c, part in terms if part.has(X)] for terms in sums]
        levels = [sp.simplify(e / factor) for e in rest]
        if any(cell.free(e) for e in [*levels, *(c for row in shares for c in row)]):
            continue
        sign = cell.sign(factor)
        if sign == 0:
            return None
        made = []
        for terms, row, level in zip(sums, shares, levels, strict=True):
            parts = [part for _, part in terms if part.has(X)]
            made.append(sign * (level + sum((c * p for c, p in zip(row, parts, strict=True)), start=ZERO)))
        n = len(m.exprs)
        values = tuple(None if v is None else e for v, e in zip(m.values, made[n:], strict=True))
        return tuple(made[:n]), values, sp.simplify(sign * factor), constant
    return None


# --------------------------------------------------------------------------- cases


@dataclass(frozen=True)
class Fact:
    """What holds of one piece for every parameter of a cell: its kind S, K, Z or why it refutes the pair."""

    kind: str
    f_ends: tuple[Expr, Expr] = (None, None)
    g_ends: tuple[Expr, Expr] = (None, None)
    level: Expr = ZERO
    ratio: Expr = ZERO

    @property
    def refutes(self) -> bool:
        return self.kind not in ("S", "K", "Z")


def limit_of(cell: Cell, e: Expr, at: Expr, side: int) -> Expr:
    """The one-sided limit of e(x) at a finite breakpoint, for every parameter of the cell."""
    if not e.has(X):
        return e
    for form in (e, sp.cancel(e) if e.is_rational_function(X) else e):
        if _continuous(cell, form, at):
            return sp.simplify(form.subs(X, at))
    for unit in units(cell, [e], [at] if cell.free(at) else []):
        point = moved(at, unit)
        found = None if cell.free(point) else factored(cell, in_unit(e, unit))
        if found is not None:
            value = limit_at(found[1], point, side)
            return value * cell.sign(found[0]) if value in (OO, -OO) else found[0] * value
    if e.is_rational_function(X):
        num, den = sp.fraction(sp.cancel(e))
        s = cell.sign(num.subs(X, at))
        if s and cell.sign(den.subs(X, at)) == 0:
            return OO  # of one sign or the other: only that it is infinite is used
    raise OutOfReach(f"the limit of {e} at {at}")


def _continuous(cell: Cell, e: Expr, at: Expr) -> bool:
    for p in e.atoms(sp.Pow):
        if p.base.has(X) and not (p.exp.is_Integer and p.exp > 0):
            s = cell.sign(p.base.subs(X, at))
            if s == 0 and not p.exp.is_positive:
                return False
            if s < 0 and not p.exp.is_Integer:
                return False
    return all(cell.sign(g.args[0].subs(X, at)) > 0 for g in e.atoms(sp.log) if g.has(X))


def fact_of(cell: Cell, f: Expr, g: Expr, a: Expr, b: Expr) -> Fact:
    """The kind of one open piece for every parameter of the cell."""
    if UNDEFINED in (f, g):
        raise OutOfReach("a piece without values")
    df = sp.diff(f, X)
    f_moves, g_lives = nowhere_constant_zero(cell, df, a, b), nowhere_constant_zero(cell, g, a, b)
    f_ends = (None if a == -OO else limit_of(cell, f, a, 1), None if b == OO else limit_of(cell, f, b, -1))
    g_ends = (None if a == -OO else limit_of(cell, g, a, 1), None if b == OO else limit_of(cell, g, b, -1))
    if any(e in (OO, -OO) for e in (*f_ends, *g_ends)):
        return Fact("unbounded")
    if not f_moves:
        if not g_lives:
            return Fact("Z", f_ends, (ZERO, ZERO))
        if nowhere_constant_zero(cell, sp.diff(g, X), a, b):
            return Fact("varies", f_ends, g_ends)
        level = sp.simplify(g.subs(X, inner_point(a, b)))
        return Fact("K", f_ends, (level, level), level)
    if not g_lives:
        return Fact("moves", f_ends, (ZERO, ZERO))
    ratio = sp.simplify(df / g)
    if _negative_somewhere(cell, df, g, ratio, a, b):
        return Fact("opposite", f_ends, g_ends)
    if not _integrable(cell, f, df, g, ratio, a, b, g_ends):
        return Fact("not-integrable", f_ends, g_ends)
    return Fact("S", f_ends, g_ends, ratio=ratio)


def _negative_somewhere(cell: Cell, df: Expr, g: Expr, ratio: Expr, a: Expr, b: Expr) -> bool:
    """Whether F'B < 0 somewhere, for every parameter; False: nowhere, for no parameter."""
    first: Exception | None = None
    for q in dict.fromkeys([ratio, df * g]):
        try:
            value = sign_of_family(cell, q, a, b).value
            return value is None or value < 0
        except OutOfReach as reason:
            first = first or reason
        except Undecided as reason:
            first = first or reason
    with suppress(OutOfReach, Split, Ratio):
        parts = [sign_of_family(cell, q, a, b) for q in (df, g)]
        if all(p.value for p in parts):
            return (parts[0].value or 0) * (parts[1].value or 0) < 0
    for share in (sp.Rational(1, 2), sp.Rational(1, 8), sp.Rational(7, 8)):
        point = a + share * (b - a) if -OO not in (a,) and b != OO else inner_point(a, b) + 4 * share - 2
        with suppress(Split, Ratio, Undecided):
            if cell.order(a, point) < 0 and cell.order(point, b) < 0 and cell.sign((df * g).subs(X, point)) < 0:
                return True
    assert first is not None
    raise first


def _integrable(
    cell: Cell, f: Expr, df: Expr, g: Expr, ratio: Expr, a: Expr, b: Expr, g_ends: tuple[Expr, Expr]
) -> bool:
    """Whether F'/B is integrable inside the piece and up to its finite ends, for every parameter."""
    away = all(e is None or cell.sign(e) != 0 for e in g_ends)
    if not ratio.has(X) or (away and sign_of_family(cell, g, a, b).strict):
        return True
    if ratio.is_rational_function(X):
        den = sp.fraction(sp.cancel(sp.together(ratio)))[1]
        there = [cell.sign(den.subs(X, end)) for end in (a, b) if end not in (OO, -OO)]
        inside = sign_of_family(cell, den, a, b) if den.has(X) else None
        if inside is None or (inside.strict and 0 not in there):
            return True
        if 0 in there or inside.value is None:
            return False  # a pole of a cancelled rational function
    for unit in units(cell, [f, g], [p for p in (a, b) if cell.free(p)]):
        ends = [moved(p, unit) for p in (a, b)]
        df0, g0 = factored(cell, in_unit(df, unit)), factored(cell, in_unit(g, unit))
        if df0 is None or g0 is None or any(cell.free(p) for p in ends):
            continue
        return _plain_piece(df0[1], g0[1], ends[0], ends[1])
    raise OutOfReach(f"whether {ratio} is integrable")


def _plain_piece(df: Expr, g: Expr, a: Expr, b: Expr) -> bool:
    """Integrability of df/g on a piece without parameters."""
    from theory.decision import _check_integrable, _ratio

    try:
        _check_integrable(df, g, _ratio(df, g), a, b)
    except Refuted:
        return False
    return True


@dataclass(frozen=True)
class Layout:
    """A pair on a cell: its pieces, and what is compared at the breakpoints."""

    facts: tuple[Fact, ...]
    jumps: tuple[int, ...]
    numbers: tuple[Expr, ...]


def layout_of(cell: Cell, f: Family, g: Family) -> Layout | str:
    """The layout that decides the grade, constant on the cell, or the kind of a piece that refutes the pair.

    Raises `Split`, `Ratio` or `OutOfReach` where something is not constant or not settled.
    """
    f, g = f.finite().refine(g.breaks), g.finite().refine(f.breaks)
    facts: list[Fact] = []
    doubts: list[Exception] = []
    for fe, ge, (a, b) in zip(f.exprs, g.exprs, f.ends, strict=True):
        try:
            facts.append(fact_of(cell, fe, ge, a, b))
        except (Split, Ratio, Undecided) as doubt:
            doubts.append(doubt)
    refuting = [fact.kind for fact in facts if fact.refutes]
    if refuting:
        return refuting[0]  # one piece settles it, whatever the others do
    if doubts:
        raise plainest(doubts)
    jumps: list[int] = []
    numbers: list[Expr] = [ZERO]
    for i, (v, w) in enumerate(zip(f.values, g.values, strict=True)):
        left, right = facts[i], facts[i + 1]
        jumps.append(cell.order(right.f_ends[0], left.f_ends[1]))
        if v is not None and jumps[-1] == 0 and cell.order(v, left.f_ends[1]) != 0:
            return "isolated"
        if v is not None and jumps[-1] != 0:
            cell.order(v, left.f_ends[1])
            cell.order(v, right.f_ends[0])
        numbers += [n for n in (left.g_ends[1], right.g_ends[0], w) if n is not None]
    numbers += [fact.level for fact in facts if fact.kind == "K"]
    numbers = list(dict.fromkeys(numbers))
    for p, q in combinations(numbers, 2):
        cell.order(p, q)
    return Layout(tuple(facts), tuple(jumps), tuple(numbers))


def steep(cell: Cell, layout: Layout, f: Family, g: Family) -> bool | None:
    """Whether F'/B <= 1 fails somewhere, for every parameter of the cell; None: not settled."""
    ends = f.refine(g.breaks).ends
    answer: bool | None = False
    for fact, (a, b) in zip(layout.facts, ends, strict=True):
        if fact.kind != "S":
            continue
        try:
            gap = sign_of_family(cell, sp.together(1 - fact.ratio), a, b).value
        except Undecided:
            answer = None
            continue
        if gap is None or gap < 0:
            return True
    return answer


# --------------------------------------------------------------------------- one cell


@dataclass(frozen=True)
class Case:
    """The verdict on one cell. ``maps``: T, P and r with the parameters in them, where scaling gives them."""

    cell: Cell
    grade: str
    literal: bool | None
    convex: bool | None
    method: str
    reason: str
    verdict: Verdict | None = None
    sample: Mapping[str, Expr] = field(default_factory=dict)
    maps: Mapping[str, Any] = field(default_factory=dict)
    latex: Mapping[str, str] = field(default_factory=dict)
    form: Scaled | None = None
    points: tuple[str, ...] = ()


@lru_cache(maxsize=64)
def _decided(f: PiecewiseMap, g: PiecewiseMap, budget: float) -> Verdict:
    return decide(QuantizerPair(f, g), budget=budget)


_WHY = {
    "opposite-signs": "F'B < 0 somewhere, so P would not be monotone",
    "backward-varies-on-level-set": "F is constant on an interval where B is not",
    "forward-moves-where-backward-vanishes": "F moves on an interval where B = 0",
    "not-integrable": "F'/B is not integrable",
    "unbounded": "F or B is unbounded beside a finite point, so T is not Lipschitz",
    "isolated-forward-value": "F has a value off its limit at a point where it does not jump",
    "level-set-with-several-slopes": "F has one value where B has several that T cannot have there",
    "slope-outside-subdifferential": "B is no generalised slope of T on a level set of F",
}
_BY_PIECES = tuple(_WHY)[:6]  # refutations by one piece or one value of F; the others need several


def _sentence(v: Verdict) -> str:
    return _WHY.get(v.witness.kind, v.reason) if v.witness is not None else v.reason


def settle(cell: Cell, texts: tuple[str, str], constants: dict[str, Expr], budget: float) -> Case:
    """The case of one cell; raises `Split` or `Ratio` where it has to be cut."""
    at = cell.at(cell.sample())
    pair = _pair_at(texts, {**constants, **at})
    if not cell.coords:
        v = _decided(pair.forward, pair.backward, min(budget, _SHORT_BUDGET))
        return Case(cell, v.grade, v.literal, v.convex, "value", _sentence(v), v, at)
    f, g, unit = _read_both(texts, cell, constants)
    form = scaled(cell, f, g, unit)
    if form is not None:
        return _by_scaling(cell, form, at, budget)
    layout = layout_of(cell, f, g)
    v = _decided(pair.forward, pair.backward, min(budget, _SHORT_BUDGET))
    if v.grade == "undecided":
        raise OutOfReach(f"{v.reason} (at {_point_text(at)})")
    if isinstance(layout, str) != (v.witness is not None and v.witness.kind in _BY_PIECES):
        raise OutOfReach(f"the proof for the range and the one at {_point_text(at)} do not say the same")
    convex = None if isinstance(layout, str) else _convex_in_cell(cell, layout, f, g, v)
    literal = None if isinstance(layout, str) else v.literal
    return Case(cell, v.grade, literal, convex, "cases", _sentence(v), v, at)


def _convex_in_cell(cell: Cell, layout: Layout, f: Family, g: Family, v: Verdict) -> bool | None:
    if v.convex is None or not v.principled:
        return v.convex
    if any(layout.jumps):
        return False
    is_steep = steep(cell, layout, f, g)
    if is_steep is None:
        return None
    # the rest of the rule compares numbers whose order is constant on the cell
    return v.convex if not is_steep else False


def _pair_at(texts: tuple[str, str], values: dict[str, Expr]) -> QuantizerPair:
    f, b = (parse(t, values, what=what) for t, what in zip(texts, ("forward", "backward"), strict=True))
    return QuantizerPair(f, b)


def _read_both(
    texts: tuple[str, str], cell: Cell, constants: dict[str, Expr]
) -> tuple[Family, Family, tuple[Expr, Expr]]:
    """Both maps in the plainest unit of x in which their staircases can be laid out."""
    unit: tuple[Expr, Expr] = (ONE, ZERO)
    try:
        f, g = (read(t, cell, constants, unit) for t in texts)
    except NeedsUnit as ask:
        sign = cell.sign(ask.scale)
        if sign == 0:
            raise OutOfReach("a staircase of a constant") from None
        unit = (sp.simplify(sign * ask.scale), sp.simplify(ask.shift))
        try:
            f, g = (read(t, cell, constants, unit) for t in texts)
        except NeedsUnit:
            raise OutOfReach("two staircases with different steps") from None
    return f, g, unit


# ---- scaling: the verdict, the convexity, and T, P and r with their parameters


def _by_scaling(cell: Cell, form: Scaled, at: dict[str, Expr], budget: float) -> Case:
    v = _decided(form.forward, form.backward, budget)
    if v.grade == "undecided":
        raise OutOfReach(v.reason)
    convex = _convex_by_scaling(cell, form, v)
    maps, latex = parametric(cell, form, v) if v.decomposition is not None else ({}, {})
    points: tuple[str, ...] = ()
    if v.witness is not None:
        points = tuple(_named_text(cell, p / form.k + form.s) for p in v.witness.points)
    return Case(cell, v.grade, v.literal, convex, "scaling", _sentence(v), v, at, maps, latex, form, points)


def _convex_by_scaling(cell: Cell, form: Scaled, v: Verdict) -> bool | None:
    """Convex iff P can be continuous and (a k/b) sup F0'/B0 <= 1."""
    if not v.principled:
        return v.convex
    steepest = _steepest(form.forward, form.backward)
    if steepest is None:
        return None
    sup, continuous = steepest
    if not continuous or sup == OO:
        return False
    return bool(cell.sign(1 - sp.simplify(form.a * form.k / form.b) * sup) >= 0)


@lru_cache(maxsize=64)
def _steepest(f: PiecewiseMap, g: PiecewiseMap) -> tuple[Expr, bool] | None:
    """The supremum of F'/B over all moving pieces, and whether P can be continuous; None: not settled."""
    try:
        parts = anatomy(QuantizerPair(f, g))
        sup: Expr = ZERO
        for p in parts.pieces:
            if p.kind == "S":
                top = _supremum(p.ratio, p.a, p.b)
                sup = top if less(sup, top) else sup
        if sup == OO:
            return sup, False
        tame = PiecewiseMap.of(1 / (1 + sup)) * f
        return sup, convex_regularizer(anatomy(QuantizerPair(tame, g))) is True
    except (Undecided, OutOfTime):
        return None


def _supremum(ratio: Expr, a: Expr, b: Expr) -> Expr:
    """The supremum of a function without parameters on (a, b), proved; `Undecided` otherwise."""
    if not ratio.has(X):
        return ratio
    tops = [limit_at(ratio, a, 1), limit_at(ratio, b, -1)]
    with suppress(Undecided):
        tops += [ratio.subs(X, p) for p in solve_level(sp.diff(ratio, X), ZERO, a, b).points]
    top = tops[0]
    for t in tops[1:]:
        top = t if less(top, t) else top
    if top != OO:
        s = sign_on(top - ratio, a, b)
        if s.value is None or s.value < 0:
            raise Undecided(f"the supremum of {ratio}")
    return top


def parametric(cell: Cell, form: Scaled, v: Verdict) -> tuple[dict[str, Any], dict[str, str]]:
    """T, P and r with the parameters in them, as texts and in LaTeX: from those of (F0, B0) by the scaling.

    P(x) = l P0(k (x - s)), T(p) = a T0(p/l) + c, r(w) = (l/k) (r0(w/l) + w^2/(2 l^2)) + s w - w^2/2
    with l = a/b.
    """
    d = v.decomposition
    assert d is not None
    size = sp.simplify(form.a / form.b)
    inner = form.k * (X - form.s)

    latex: dict[str, str] = {}

    def text(name: str, m: PiecewiseMap | None, move: Any, value: Any) -> str | None:
        if m is None or m.windowed:
            return None
        try:
            breaks = [move(b) for b in m.breaks]
            exprs = [value(e, X) for e in m.exprs]
            values = [None if w is None else value(w, b) for w, b in zip(m.values, breaks, strict=True)]
            shown = family_text(cell, breaks, exprs, values)
            latex[name] = _named_latex(cell, PiecewiseMap(tuple(breaks), tuple(exprs), tuple(values)))
            return shown
        except Undecided:
            return None

    def prox(e: Expr, _: Expr) -> Expr:
        return size * e.subs(X, inner)

    def transform(e: Expr, _: Expr) -> Expr:
        return form.a * e.subs(X, X / size) + form.c

    def regularizer(e: Expr, w: Expr) -> Expr:
        if e in (OO, -OO):
            return e
        return size / form.k * (e.subs(X, X / size) + w**2 / (2 * size**2)) + form.s * w - w**2 / 2

    def spread(p: Expr) -> Expr:
        return sp.simplify(size * p)

    def forward(e: Expr, _: Expr) -> Expr:
        return form.a * e.subs(X, inner) + form.c

    def backward(e: Expr, _: Expr) -> Expr:
        return form.b * e.subs(X, inner)

    def along(p: Expr) -> Expr:
        return sp.simplify(p / form.k + form.s)

    text("F(x)", form.forward, along, forward)
    text("B(x)", form.backward, along, backward)
    shown = {
        "transform": text("T(x)", d.transform, spread, transform),
        "prox": text("P(x)", d.prox, along, prox),
        "regularizer": {
            "largest": text(r"r_{\text{largest}}(x)", d.regularizer.largest, spread, regularizer),
            "smallest": text(r"r_{\text{smallest}}(x)", d.regularizer.smallest, spread, regularizer),
        },
    }
    return shown, latex


def _named(cell: Cell, e: Expr) -> Expr:
    """The expression in the parameters instead of the coordinates."""
    return e.subs({s: cell.meaning[s] for s in cell.free(e)}, simultaneous=True)


def _named_latex(cell: Cell, m: PiecewiseMap) -> str:
    """A map with parameters in LaTeX."""

    def plain(e: Expr) -> Expr:
        return None if e is None else _named(cell, _plainest(e))

    return to_latex(PiecewiseMap(*(tuple(map(plain, part)) for part in (m.breaks, m.exprs, m.values))))


def _named_text(cell: Cell, e: Expr) -> str:
    return expression_text(_named(cell, _plainest(e)))


def _plainest(e: Expr) -> Expr:
    if e in (OO, -OO):
        return e
    return min((e, sp.factor_terms(e), sp.simplify(e)), key=lambda c: (c.count_ops(), str(c)))


def family_text(cell: Cell, breaks: Sequence[Expr], exprs: Sequence[Expr], values: Sequence[Expr]) -> str:
    """A map with parameters in the grammar; it can be read back with --param. Raises `Undecided`."""
    if not breaks:
        return _named_text(cell, exprs[0])

    def same(e: Expr, b: Expr, v: Expr) -> bool:
        if OO in (e, v) or -OO in (e, v):
            return bool(e == v)
        at = e.subs(X, b)
        return bool(at == v or (not at.has(sp.zoo, sp.nan, OO) and sp.simplify(at - v) == 0))

    branches = []
    for i, (b, v) in enumerate(zip(breaks, values, strict=True)):
        at, e = _named_text(cell, b), _named_text(cell, exprs[i])
        if v is None:
            raise Undecided("a breakpoint without a value")
        if same(exprs[i], b, v):
            branches.append(f"({e}, x <= {at})")
            continue
        branches.append(f"({e}, x < {at})")
        if not same(exprs[i + 1], b, v):
            branches.append(f"({_named_text(cell, v)}, x == {at})")
    branches.append(f"({_named_text(cell, exprs[-1])}, True)")
    return f"Piecewise({', '.join(branches)})"


def _point_text(values: Mapping[str, Expr]) -> str:
    return ", ".join(f"{n} = {constant_text(v)}" for n, v in values.items())


# --------------------------------------------------------------------------- the range


def settle_all(
    assumptions: Assumptions, texts: tuple[str, str], constants: dict[str, Expr], timeout: float
) -> list[Case]:
    """The verdict on every cell of the range, cutting it where something changes; cells in order.

    ``timeout`` in seconds; cells that are not settled by then, or at all, are undecided cases.
    """
    end = time.monotonic() + timeout
    found: list[Case] = []
    waiting = assumptions.cells()
    made = at_first = len(waiting)
    while waiting:
        cell = waiting.pop(0)
        left = end - time.monotonic()
        if left <= 0 or made > MAX_CELLS:
            why = "no time was left" if left <= 0 else f"more than {MAX_CELLS} cases"
            found.append(Case(cell, "undecided", None, None, "none", why))
            continue
        try:
            with limit(left / 2 if waiting else left, final=True):  # one hard cell leaves time for the others
                found.append(settle(cell, texts, constants, max(timeout * _BUDGET_SHARE, 0.2)))
        except Split as split:
            try:
                parts = cell.cut(split)
            except Undecided as reason:
                found.append(Case(cell, "undecided", None, None, "none", str(reason)))
                continue
            made += len(parts) - 1
            waiting = parts + waiting
        except Ratio as ask:
            try:
                waiting = cell.with_ratio(ask) + waiting
            except Undecided as reason:
                found.append(Case(cell, "undecided", None, None, "none", str(reason)))
        except DeadlinePassed:
            found.append(Case(cell, "undecided", None, None, "none", "no time was left"))
        except Undecided as reason:
            found.append(Case(cell, "undecided", None, None, "none", str(reason)))
        except InputError as error:
            raise _refusal(cell, texts, constants, error, first=not found and made == at_first) from None
    return _with_neighbours(found, texts, constants)


def _refusal(
    cell: Cell, texts: tuple[str, str], constants: dict[str, Expr], error: InputError, first: bool
) -> InputError:
    """The error on a cell with the value it was met at; without it where the texts are at fault for every value."""
    if first and cell.coords:
        try:
            _pair_at(texts, {**constants, **cell.at(cell.sample(1))})
        except InputError as again:
            if str(again) == str(error):
                return error
        except Undecided:
            return error
    return InputError(f"at {_point_text(cell.at(cell.sample()))}, which the assumptions allow: {error}")


def _with_neighbours(cases: list[Case], texts: tuple[str, str], constants: dict[str, Expr]) -> list[Case]:
    """Single values at which the scaling of the other cases holds as well get its maps too."""
    sources = [c for c in cases if c.form is not None and len(c.cell.coords) == 1]
    made = []
    for c in cases:
        if not c.cell.coords:
            near = (s for s in sources if s.grade == c.grade and _holds_at(s, c.sample, texts, constants))
            source = next(near, None)
            if source is not None:
                c = replace(c, method="scaling", maps=source.maps, latex=source.latex)
        made.append(c)
    return made


def _holds_at(source: Case, at: Mapping[str, Expr], texts: tuple[str, str], constants: dict[str, Expr]) -> bool:
    """Whether F = a F0(k (x - s)) + c and B = b B0(k (x - s)) also at these values of the parameters."""
    form = source.form
    assert form is not None
    put = {
        s: source.cell.meaning[s].subs({sp.Symbol(n, real=True): v for n, v in at.items()}) for s in source.cell.coords
    }
    a, b, c, k, s = (sp.simplify(e.subs(put)) for e in (form.a, form.b, form.c, form.k, form.s))
    try:
        if any(e.has(sp.zoo, sp.nan, OO) for e in (a, b, c, k, s)) or not all(compare(e, ZERO) > 0 for e in (a, b, k)):
            return False
        pair = _pair_at(texts, {**constants, **at})
        for m, m0, factor, constant in ((pair.forward, form.forward, a, c), (pair.backward, form.backward, b, ZERO)):
            there = PiecewiseMap(
                tuple(p / k + s for p in m0.breaks),
                tuple(factor * e.subs(X, k * (X - s)) + constant for e in m0.exprs),
                tuple(None if v is None else factor * v + constant for v in m0.values),
            )
            if not m.agrees(there):
                return False
    except Undecided:
        return False
    return True


@dataclass(frozen=True)
class Group:
    """Cells with one verdict, and the part of the range that they make up, in words."""

    cases: tuple[Case, ...]
    text: str

    @property
    def first(self) -> Case:
        """The case that speaks for the group: one that is not a single value where there is one."""
        return next((c for c in self.cases if c.cell.coords), self.cases[0])


def grouped(assumptions: Assumptions, cases: list[Case]) -> list[Group]:
    """Cases of equal grade together; neighbours on the line of a single parameter are joined in words."""
    rows: dict[str, list[Case]] = {}
    for c in cases:
        rows.setdefault(c.grade, []).append(c)
    return [Group(tuple(row), range_text(assumptions, cases, row)) for row in rows.values()]


def range_text(assumptions: Assumptions, cases: list[Case], row: list[Case]) -> str:
    """The union of some cells in words."""
    if len(row) == len(cases):
        return assumptions.text()
    if len(assumptions.names) > 1:
        return " or ".join(c.cell.text() for c in row)
    name = assumptions.names[0]
    spans: list[list[Any]] = []  # lo, hi, lo_closed, hi_closed
    for c in row:
        if c.cell.coords:
            lo, hi = next(iter(c.cell.coords.values()))
            span = [lo, hi, False, False]
        else:
            point = c.cell.values[name]
            span = [point, point, True, True]
        if spans and spans[-1][1] == span[0] and (spans[-1][3] or span[2]):
            spans[-1][1], spans[-1][3] = span[1], span[3]
        else:
            spans.append(span)
    return " or ".join(interval_text(name, *span) for span in spans)


def convex_text(assumptions: Assumptions, cases: list[Case]) -> str | None:
    """Where the regularizer can be convex, in words; None where that is not settled everywhere."""
    principled = [c for c in cases if c.grade in ("smooth", "lipschitz")]
    if not principled or any(c.convex is None for c in principled):
        return None
    row = [c for c in principled if c.convex]
    return range_text(assumptions, cases, row) if row else "never"


def check_range(
    forward: Any,
    backward: Any,
    *,
    assume: str | Sequence[str],
    params: Mapping[str, Expr],
    stated: Mapping[str, Expr] | None = None,
    timeout: float,
    with_repairs: bool = True,
) -> Check:
    """`check` for every value of the parameters that the assumptions allow.

    ``params``: exact values of the other parameters, and stated values of the assumed ones.
    ``stated``: further stated values (defaults of a catalogue entry), used where they satisfy the
    assumptions. Returns a `Check` whose extra fields are assumptions, holds_for, convex_when and
    cases. Raises `InputError` on bad input, and where nothing is settled and no value is stated.
    """
    from theory.checking import check

    for what, given in (("forward", forward), ("backward", backward)):
        if not isinstance(given, str):
            raise InputError(f"{what}: with assumptions on parameters an expression as text was expected")
    assumptions = read_assumptions(assume)
    names = assumptions.names
    _refuse_strangers(assumptions, forward, backward)
    given_values = {n: params[n] for n in names if n in params}
    if given_values and len(given_values) < len(names):
        missing = next(n for n in names if n not in given_values)
        given_values = {**{n: v for n, v in (stated or {}).items() if n in names}, **given_values}
        if len(given_values) < len(names):
            raise InputError(f"--param: values of all assumed parameters were expected, {missing} has none")
    if given_values and not assumptions.admits(given_values):
        raise InputError(f"--param: {_point_text(given_values)} does not satisfy --assume {assumptions.text()}")
    if not given_values and stated is not None and all(n in stated for n in names) and assumptions.admits(stated):
        given_values = {n: stated[n] for n in names}
    constants = {n: v for n, v in params.items() if n not in names}
    for n, v in (stated or {}).items():
        if n not in names:
            constants.setdefault(n, v)
    end = time.monotonic() + timeout
    at_value: Check | None = None
    if given_values:
        at_value = check(
            forward,
            backward,
            params={**constants, **given_values},
            timeout=timeout * _STATED_SHARE,
            with_repairs=with_repairs,
        )
    left = max(end - time.monotonic(), timeout * 0.1) * 0.9
    cases = settle_all(assumptions, (forward, backward), constants, left)
    return _assembled(assumptions, cases, given_values, at_value)


def _refuse_strangers(assumptions: Assumptions, forward: str, backward: str) -> None:
    words = set(re.findall(r"[A-Za-z_][A-Za-z_0-9]*", f"{forward} {backward}"))
    for name in assumptions.names:
        if name not in words:
            raise InputError(
                f"--assume: the parameter {name[:60]} occurs neither in the forward nor in the backward map"
            )


def _mapped(group: Group) -> list[Case]:
    """The cases of a group with the same T, P and r in the parameters: those of the most."""
    rows: dict[str, list[Case]] = {}
    for c in group.cases:
        if c.maps:
            rows.setdefault(str(c.maps), []).append(c)
    return max(rows.values(), key=len, default=[])


def _case_dict(assumptions: Assumptions, cases: list[Case], group: Group) -> dict[str, Any]:
    c = group.first
    out: dict[str, Any] = {
        "range": group.text,
        "verdict": c.grade,
        "reason": c.reason,
        "method": " and ".join(dict.fromkeys(x.method for x in group.cases if x.cell.coords)) or c.method,
        "literal_criterion": _common([x.literal for x in group.cases]),
        "convex_regularizer": _common([x.convex for x in group.cases]),
        "example": {n: constant_text(v) for n, v in c.sample.items()},
    }
    rows = _mapped(group)
    out.update(rows[0].maps if rows else dict.fromkeys(("transform", "prox", "regularizer")))
    out["maps_for"] = range_text(assumptions, cases, rows) if rows else None
    out["witness"] = None
    w = None if c.verdict is None else c.verdict.witness
    if w is not None:
        out["witness"] = _witness_dict(c)
    return out


def _witness_dict(c: Case) -> dict[str, Any]:
    assert c.verdict is not None
    assert c.verdict.witness is not None
    w = c.verdict.witness
    if c.method == "scaling":
        return {"kind": w.kind, "points": list(c.points), "sentence": c.reason}
    prefix = f"at {_point_text(c.sample)}: " if c.cell.coords else ""
    return {"kind": w.kind, "points": [str(p) for p in w.points], "sentence": prefix + w.sentence}


def _common(values: list[Any]) -> Any:
    return values[0] if all(v == values[0] for v in values) else None


def _assembled(
    assumptions: Assumptions, cases: list[Case], values: Mapping[str, Expr], at_value: Check | None
) -> Check:
    from theory.checking import Check, empty_texts

    groups = grouped(assumptions, cases)
    grades = {c.grade for c in cases}
    open_cases = [c for c in cases if c.grade == "undecided"]
    whole = f"every {', '.join(assumptions.names)} with {assumptions.text()}"
    extra: dict[str, Any] = {
        "assumptions": list(assumptions.texts),
        "holds_for": whole,
        "convex_when": convex_text(assumptions, cases),
        "cases": [_case_dict(assumptions, cases, g) for g in groups],
    }
    literal, convex = _common([c.literal for c in cases]), _common([c.convex for c in cases])
    base = at_value.verdict if at_value is not None else None
    if len(grades) == 1 and not open_cases:
        lead = groups[0].first
        grade, reason = lead.grade, f"for {whole}: {lead.reason}"
    elif grades <= {"smooth", "lipschitz"}:
        lead = next(g.first for g in groups if g.first.grade == "lipschitz")
        grade, reason = "lipschitz", f"for {whole}: {lead.reason} ({_listing(groups)})"
    else:
        return _not_uniform(assumptions, cases, groups, values, at_value, extra)
    if at_value is not None and base is not None and base.grade not in ("undecided", *grades):
        why = f"the proof for the range says {grade} and the one at {_point_text(values)} {base.grade}"
        return replace(at_value, verdict=Verdict("undecided", why, None), repairs=(), extra=extra, texts=_no_texts())
    texts = _top_maps(groups, values, at_value) if grade != "unprincipled" else {}
    repairs = at_value.as_dict()["repairs"] if at_value is not None else []
    written = {**empty_texts(), **texts}
    written["witness"] = _witness_dict(lead) if grade == "unprincipled" else None
    written["repairs"] = repairs
    notes = list(base.notes) if base is not None else []
    if at_value is not None and repairs:
        notes.append(f"the repairs are those at {_point_text(values)}")
    if grade != "unprincipled" and extra["convex_when"] is None:
        if base is not None and base.convex is not None:
            notes.append(f"convexity of r is settled at {_point_text(values)} only: {'yes' if base.convex else 'no'}")
        else:
            notes.append("convexity of r is not settled for the whole range")
    verdict = Verdict(grade, reason, literal, convex, None, None, tuple(notes))
    latex = _mapped(groups[0])[0].latex if texts.get("prox") else None
    return Check(verdict, None, () if at_value is None else at_value.repairs, extra, written, latex)


def _top_maps(groups: list[Group], values: Mapping[str, Expr], at_value: Check | None) -> dict[str, Any]:
    """T, P and r with the parameters in them where one form serves the range, otherwise why there are none."""
    rows = _mapped(groups[0])
    if len(groups) == 1 and len(rows) == len(groups[0].cases):
        maps = dict(rows[0].maps)
        given = {"transform": maps["transform"], "prox": maps["prox"], "regularizer": maps["regularizer"]["largest"]}
        own = rows[0].verdict.decomposition if rows[0].verdict is not None else None
        reasons = own.implicit if own is not None else {}
        maps["implicit"] = {k: reasons.get(k, "no closed form") for k, text in given.items() if text is None}
        return maps
    if at_value is not None and at_value.verdict.principled:
        own_texts = at_value.as_dict()
        why = f"at {_point_text(values)}: "
        shown = {k: own_texts[k] for k in ("transform", "prox")}
        reasons = {k: why + (text or own_texts["implicit"].get(k, "none")) for k, text in shown.items()}
        return {"implicit": {**reasons, "regularizer": "no single form for the range: check one value"}}
    why = "no single form for the range: check one value"
    return {"implicit": dict.fromkeys(("transform", "prox", "regularizer"), why)}


def _listing(groups: list[Group]) -> str:
    return ", ".join(f"{g.first.grade} for {g.text}" for g in groups)


def _no_texts() -> dict[str, Any]:
    from theory.checking import empty_texts

    return {**empty_texts(), "witness": None, "repairs": []}


def _not_uniform(
    assumptions: Assumptions,
    cases: list[Case],
    groups: list[Group],
    values: Mapping[str, Expr],
    at_value: Check | None,
    extra: dict[str, Any],
) -> Check:
    from theory.checking import Check

    names = ", ".join(assumptions.names)
    open_case = next((c for c in cases if c.grade == "undecided"), None)
    if at_value is not None:
        group = next((g for g in groups if any(c.cell.contains(values) for c in g.cases)), None)
        settled = group is not None and group.first.grade == at_value.grade and at_value.grade != "undecided"
        if settled and group is not None:
            extra["holds_for"] = f"{group.text}; the verdict depends on {names}: {_listing(groups)}"
        else:
            why = open_case.reason if open_case is not None else "the range could not be cut"
            extra["holds_for"] = f"the stated value {_point_text(values)} only: {why}"
        return replace(at_value, extra=extra, texts=at_value.texts)
    if open_case is not None and all(c.grade == "undecided" for c in cases):
        raise InputError(
            f"--assume: the range could not be settled ({open_case.reason[:200]}); "
            f"state a value to be checked, for example --param {assumptions.names[0]}=VALUE"
        )
    extra["holds_for"] = "no single verdict: see the cases"
    reason = f"the verdict depends on {names}: {_listing(groups)}"
    verdict = Verdict("undecided", reason, _common([c.literal for c in cases]), _common([c.convex for c in cases]))
    return Check(verdict, None, (), extra, _no_texts())


__all__ = ["Assumptions", "check_range", "read_assumptions", "settle_all"]
