"""Every declared field of the catalogue against the exact maps, and each check against its mutants.

A check returns its complaints: none for a true declaration, at least one for a mutant of it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, replace
from functools import cache
from typing import Any

import pytest
import sympy as sp
from certificates import jumps

from theory.catalogue import (
    CATALOGUE,
    COVERAGES,
    PROX_LIBRARY,
    TRANSFORM_LIBRARY,
    Entry,
    ProxEntry,
    TransformEntry,
    by_name,
    lookup,
    lookup_prox,
    lookup_transform,
)
from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.exact import X, compare, equal, rational_between, to_float
from theory.graphs import check_monotone
from theory.libraries import PROXES, TRANSFORMS
from theory.maps import PiecewiseMap
from theory.pairs import GRADES, QuantizerPair, Verdict
from theory.parser import parse, parse_constant
from theory.published import PUBLISHED

WORDS = {"frozen": "scale frozen", "outside": "outside"}  # what the sentence of the scope must and must not say
ARXIV = re.compile(r"arXiv:(\d\d)(\d\d)\.\d{4,5}\b")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")


def constants(params: Mapping[str, str]) -> dict[str, Any]:
    return {k: parse_constant(v, k) for k, v in params.items()}


def words(entry: Entry | ProxEntry | TransformEntry, key: str) -> Iterator[str]:
    if entry.name != key:
        yield f"name: {entry.name!r} is listed as {key!r}"
    if len(entry.title) < 3:
        yield "title: missing"
    if not entry.source:
        yield "source: missing"
    for name in entry.params:
        texts = " ".join(
            str(getattr(entry, f.name)) for f in fields(entry) if f.name not in ("name", "title", "params")
        )
        if not re.search(rf"\b{name}\b", texts):
            yield f"params: {name} is used nowhere"


def around(m: PiecewiseMap) -> list[sp.Expr]:
    """Three exact points of every piece."""
    found = []
    for a, b in m.ends:
        middle = rational_between(a, b)
        found += [middle, rational_between(a, middle), rational_between(middle, b)]
    return found


# ---- pairs


@cache
def decided(forward: str, backward: str, params: tuple[tuple[str, str], ...]) -> Verdict:
    values = constants(dict(params))
    return decide(QuantizerPair(parse(forward, values), parse(backward, values)))


def complaints(entry: Entry, key: str) -> Iterator[str]:
    """What is wrong with the declaration of a pair, cheap checks first."""
    try:
        yield from words(entry, key)
        for check in (_citation, _ties, _decomposition, _verdicts):
            yield from check(entry)
    except (InputError, Undecided) as error:
        yield f"unreadable: {error}"


def _citation(entry: Entry) -> Iterator[str]:
    named = {int(y) for y in YEAR.findall(entry.source)}
    years = named or {2000 + int(m[0]) for m in ARXIV.findall(entry.source)}
    if entry.year not in years:
        yield f"year: {entry.year} is not in the source, which names {sorted(years)}"
    if entry.coverage not in COVERAGES:
        yield f"coverage: not one of {', '.join(COVERAGES)}"
    said = {coverage for word, coverage in WORDS.items() if re.search(rf"\b{word}\b", entry.scope)}
    if len(entry.scope) < 10 or said != {entry.coverage} - {"covered"}:
        yield f"scope: does not say why the method is {entry.coverage}"


def _verdicts(entry: Entry) -> Iterator[str]:
    verdict = decided(entry.forward, entry.backward, tuple(entry.params.items()))
    for field, found in (("verdict", verdict.grade), ("literal", verdict.literal), ("convex", verdict.convex)):
        if getattr(entry, field) is not found and getattr(entry, field) != found:
            yield f"{field}: declared {getattr(entry, field)}, decided {found}"
    if entry.verdict not in GRADES:
        yield "verdict: not a grade"
    if (entry.convex is None) != (entry.verdict == "unprincipled"):
        yield "convex: null is for unprincipled pairs"


def _ties(entry: Entry) -> Iterator[str]:
    values = constants(entry.params)
    f, b = parse(entry.forward, values), parse(entry.backward, values)
    breaks = f.refine(b.breaks).breaks
    declared = []
    for at, wanted_f, wanted_b in entry.ties:
        x, fx, bx = (parse(t, values).constant for t in (at, wanted_f, wanted_b))
        declared.append(x)
        if not equal(f(x), fx) or not equal(b(x), bx):
            yield f"ties: F({at}) = {f(x)} and B({at}) = {b(x)}, not {wanted_f} and {wanted_b}"
    if (entry.period is None) == (f.windowed or b.windowed):
        yield "period: stated for pairs with infinitely many breakpoints and for no others"
    elif entry.period is None:
        if len(declared) != len(breaks) or not all(any(equal(x, c) for c in breaks) for x in declared):
            yield f"ties: stated at {declared}, the breakpoints are {breaks}"
    else:
        yield from _repeats(f, b, breaks, declared, parse(entry.period, values).constant)


def _repeats(f: PiecewiseMap, b: PiecewiseMap, breaks: Any, declared: list[Any], period: Any) -> Iterator[str]:
    """The breakpoints in the window are the stated ones moved by whole periods, with the same values."""
    if compare(period, sp.Integer(0)) <= 0:
        yield "period: not positive"
        return
    if not all(compare(sp.Integer(0), x) <= 0 and compare(x, period) < 0 for x in declared):
        yield f"ties: stated at {declared}, outside [0, {period})"
        return
    found = set()
    for c in breaks:
        k = sp.floor(c / period)
        i = next((i for i, x in enumerate(declared) if equal(x + k * period, c)), None)
        if i is None:
            yield f"ties: {c} is a breakpoint, but {c - k * period} is not stated"
            return
        found.add(i)
        x = declared[i]
        if not equal(f(x), f(c)) or not equal(b(x), b(c)):
            yield f"period: the values at {x} and at {c} differ"
    if found != set(range(len(declared))):
        yield f"ties: stated at {declared}, some are no breakpoints"
    inside = [x for x in map(sp.Rational, range(-9, 10)) if abs(x + period) < 9 and x not in breaks]
    if not all(equal(f(x), f(x + period)) and equal(b(x), b(x + period)) for x in inside[::4]):
        yield "period: the maps do not repeat with it"


def _decomposition(entry: Entry) -> Iterator[str]:
    principled = entry.verdict in ("smooth", "lipschitz")
    if (entry.transform is None) == principled or (entry.prox is None) == principled:
        yield "transform, prox: declared for principled pairs and for no others"
        return
    if entry.transform is None or entry.prox is None:
        return
    values = constants(entry.params)
    f, b = parse(entry.forward, values), parse(entry.backward, values)
    t, p = parse(entry.transform, values), parse(entry.prox, values)
    check_monotone(p)
    if not t.compose(p).agrees(f):
        yield "transform, prox: F is not T o P"
    slope = t.derivative()
    points = around(p.refine([*f.breaks, *b.breaks]))
    held: list[tuple[Any, Any]] = []  # (P, B) where F is continuous: B is one function of P
    for x in [*points, *(c for c in b.breaks if not jumps(f, c))]:
        at = p(x)
        if any(equal(at, other) and not equal(b(x), value) for other, value in held):
            yield f"transform, prox: B({x}) = {b(x)}, and another value where P is {at} too"
        held.append((at, b(x)))
        k = slope.piece_at(at)
        if k is not None:
            sides = [slope.exprs[k].subs(X, at)]
        else:
            i = next(i for i, c in enumerate(slope.breaks) if equal(c, at))
            sides = [slope.left(i), slope.right(i)]
        if compare(b(x), sides[0]) * compare(b(x), sides[-1]) > 0:
            yield f"transform, prox: B({x}) is no slope of T at {at}"
    kinks = [i for i in range(len(slope.breaks)) if not equal(slope.left(i), slope.right(i))]
    if bool(kinks) != (entry.verdict == "lipschitz"):
        yield f"verdict: {entry.verdict}, but T has {len(kinks)} kinks"


WRONG: dict[str, Callable[[Any], list[Any]]] = {
    "name": lambda v: ["", v + "x"],
    "title": lambda v: [""],
    "year": lambda v: [v + 1, v - 1, 0],
    "source": lambda v: ["", "unknown"],
    "coverage": lambda v: [w for w in ("", "unknown", *COVERAGES) if w != v],
    "scope": lambda v: ["", "-", "as published, part of f"] if re.search("frozen|outside", v) else ["", v + ", frozen"],
    "period": lambda v: ["1"] if v is None else [None, f"2*({v})", f"({v})/2", "3", "0", f"-({v})"],
    "forward": lambda v: [f"({v}) + Heaviside(x + 3, 1)", f"({v}) + 1/7", "nan", ""],
    "backward": lambda v: [f"-({v})", f"({v}) + Heaviside(x - 1/3, 0)", ""],
    "params": lambda v: [{**v, "unused": "1"}, *({k: w for k, w in v.items() if k != drop} for drop in v)],
    "ties": lambda v: [
        (*v, ("7", "5", "1")),
        *(v[:i] + v[i + 1 :] for i in range(len(v))),
        *((*v[:i], (x, f"({f}) + 1", b), *v[i + 1 :]) for i, (x, f, b) in enumerate(v)),
        *((*v[:i], (x, f, f"({b}) + 1"), *v[i + 1 :]) for i, (x, f, b) in enumerate(v)),
    ],
    "verdict": lambda v: [w for w in (*GRADES, "error") if w != v],
    "literal": lambda v: [w for w in (True, False, None) if w is not v],
    "convex": lambda v: [w for w in (True, False, None) if w is not v],
    "transform": lambda v: ["x"] if v is None else [None, f"2*({v})", f"({v}) + 1"],
    "prox": lambda v: ["x"] if v is None else [None, f"2*({v})", f"-({v})", f"({v}) + 1"],
}


@pytest.mark.parametrize("key", CATALOGUE)
def test_pair_is_declared_rightly(key: str) -> None:
    assert list(complaints(CATALOGUE[key], key)) == []


@pytest.mark.parametrize("field", [f.name for f in fields(Entry)])
@pytest.mark.parametrize("key", CATALOGUE)
def test_pair_mutants_are_rejected(key: str, field: str) -> None:
    entry = CATALOGUE[key]
    for wrong in WRONG[field](getattr(entry, field)):
        assert next(complaints(replace(entry, **{field: wrong}), key), None), (field, wrong)


def test_the_cases_of_the_issue_are_declared() -> None:
    wanted = {
        "FP": "smooth",
        "BC": "smooth",
        "PC": "smooth",
        "BNN": "lipschitz",
        "BNN+": "unprincipled",
        "BNN++": "smooth",
        "ApproxSign": "unprincipled",
        "MD-tanh": "smooth",
        "Ternary": "lipschitz",
        "LeakySTE": "unprincipled",
    }
    assert {k: CATALOGUE[k].verdict for k in wanted} == wanted


@pytest.mark.parametrize(
    ("key", "params", "grade", "convex"),
    [
        ("MD-tanh", {"beta": 2}, "smooth", False),
        ("MD-tanh", {"beta": "1/2"}, "smooth", True),
        ("BNN++", {"beta": 1}, "smooth", True),
        ("BNN+", {"beta": "1/3"}, "unprincipled", None),
        ("PC", {"horizontal": 0, "vertical": 0}, "smooth", True),
        ("LeakySTE", {"leak": 1}, "smooth", False),
        ("LeakySTE", {"leak": 0}, "lipschitz", False),
        ("BinaryRelax", {"theta": 0}, "smooth", True),
        ("Ternary", {"threshold": "1/3"}, "lipschitz", False),
    ],
)
def test_parameters_move_the_verdict(key: str, params: dict[str, Any], grade: str, convex: bool | None) -> None:
    verdict = decide(lookup(key).pair(**{k: sp.Rational(v) for k, v in params.items()}))
    assert (verdict.grade, verdict.convex) == (grade, convex)


# ---- proximal maps


def prox_complaints(entry: ProxEntry, key: str) -> Iterator[str]:
    """What is wrong with the declaration of a proximal map."""
    try:
        yield from words(entry, key)
        yield from _proximal(entry)
    except (InputError, Undecided) as error:
        yield f"unreadable: {error}"


GRID = [sp.Rational(k, 8) for k in range(-24, 25)]


def _proximal(entry: ProxEntry) -> Iterator[str]:
    p, r = entry.map(), entry.literature_regularizer()
    check_monotone(p)
    jumps = any(not equal(p.left(i), p.right(i)) for i in range(len(p.breaks)))
    # every declared map is steepest at one of these points, if it is steep anywhere
    slopes = [to_float(sp.diff(p.exprs[p.piece_at(x)], X).subs(X, x)) for x in around(p)]
    convex = not jumps and all(s <= 1 for s in slopes)
    if entry.convex != convex:
        yield f"convex: declared {entry.convex}, but P is {'' if convex else 'not '}nonexpansive"
    value = {w: math.inf if (v := r(w)) is None else to_float(v) for w in GRID}
    bent = any(
        value[b] > (value[a] + value[c]) / 2 + 1e-12
        for i, a in enumerate(GRID)
        for j, c in enumerate(GRID[i:], i)
        if (i + j) % 2 == 0
        for b in [GRID[(i + j) // 2]]
    )
    if entry.convex == bent:
        yield f"convex: declared {entry.convex}, but the regularizer is {'not ' if bent else ''}convex on a grid"
    for x in (sp.Rational(k, 5) for k in range(-9, 10)):
        if any(equal(x, b) for b in p.breaks) and jumps:
            continue  # a tie: the stated value need not be one of the minimisers
        w = p(x)
        here = to_float((w - x) ** 2 / 2) + to_float(r(w))
        best = min(to_float((c - x) ** 2 / 2) + v for c, v in value.items())
        if not here <= best + 1e-12 or not math.isfinite(here):
            yield f"regularizer: P({x}) = {w} costs {here}, a grid point costs {best}"


PROX_WRONG: dict[str, Callable[[Any], list[Any]]] = {
    "name": lambda v: ["", v + "x"],
    "title": lambda v: [""],
    "source": lambda v: [""],
    "prox": lambda v: [f"-({v})", f"({v}) + 1/4", f"2*({v}) + sign(x)", ""],
    "regularizer": lambda v: [
        f"({v}) - 2*Abs(x - 1/2)",
        f"({v}) + Abs(x - 3/4)",
        "Piecewise((0, x == 5), (oo, True))",
        "",
    ],
    "params": lambda v: [{**v, "unused": "1"}, *({k: w for k, w in v.items() if k != drop} for drop in v)],
    "convex": lambda v: [not v],
}


@pytest.mark.parametrize("key", PROX_LIBRARY)
def test_prox_is_declared_rightly(key: str) -> None:
    assert list(prox_complaints(PROX_LIBRARY[key], key)) == []


@pytest.mark.parametrize("field", [f.name for f in fields(ProxEntry)])
@pytest.mark.parametrize("key", PROX_LIBRARY)
def test_prox_mutants_are_rejected(key: str, field: str) -> None:
    entry = PROX_LIBRARY[key]
    for wrong in PROX_WRONG[field](getattr(entry, field)):
        assert next(prox_complaints(replace(entry, **{field: wrong}), key), None), (field, wrong)


# ---- transforms


def transform_complaints(entry: TransformEntry, key: str) -> Iterator[str]:
    """What is wrong with the declaration of a transform."""
    try:
        yield from words(entry, key)
        yield from _transform(entry)
    except (InputError, Undecided) as error:
        yield f"unreadable: {error}"


def _transform(entry: TransformEntry) -> Iterator[str]:
    t = entry.map()
    if any(not equal(t.left(i), t.right(i)) or not equal(t.left(i), t.values[i]) for i in range(len(t.breaks))):
        yield "transform: not continuous"
    slope = t.derivative()
    if not entry.derivative_map().agrees(slope, at_breaks=False):
        yield f"derivative: declared {entry.derivative}, found {slope}"
    smooth = all(equal(slope.left(i), slope.right(i)) for i in range(len(slope.breaks)))
    if smooth != entry.smooth:
        yield f"smooth: declared {entry.smooth}, found {smooth}"


TRANSFORM_WRONG: dict[str, Callable[[Any], list[Any]]] = {
    "name": lambda v: ["", v + "x"],
    "title": lambda v: [""],
    "source": lambda v: [""],
    "transform": lambda v: [f"2*({v})", f"({v}) + Heaviside(x, 0)", ""],
    "derivative": lambda v: [f"2*({v})", f"({v}) + 1", ""],
    "params": lambda v: [{**v, "unused": "1"}, *({k: w for k, w in v.items() if k != drop} for drop in v)],
    "smooth": lambda v: [not v],
}


@pytest.mark.parametrize("key", TRANSFORM_LIBRARY)
def test_transform_is_declared_rightly(key: str) -> None:
    assert list(transform_complaints(TRANSFORM_LIBRARY[key], key)) == []


@pytest.mark.parametrize("field", [f.name for f in fields(TransformEntry)])
@pytest.mark.parametrize("key", TRANSFORM_LIBRARY)
def test_transform_mutants_are_rejected(key: str, field: str) -> None:
    entry = TRANSFORM_LIBRARY[key]
    for wrong in TRANSFORM_WRONG[field](getattr(entry, field)):
        assert next(transform_complaints(replace(entry, **{field: wrong}), key), None), (field, wrong)


# ---- completeness


@pytest.mark.parametrize(
    ("kind", "table"), [(Entry, WRONG), (ProxEntry, PROX_WRONG), (TransformEntry, TRANSFORM_WRONG)]
)
def test_every_field_has_mutants(kind: type, table: dict[str, Any]) -> None:
    assert {f.name for f in fields(kind)} == set(table)


@pytest.mark.parametrize("kind", [Entry, ProxEntry, TransformEntry])
def test_every_field_is_required(kind: type) -> None:
    example: Any = next(
        e for t in (CATALOGUE, PROX_LIBRARY, TRANSFORM_LIBRARY) for e in t.values() if isinstance(e, kind)
    )
    given = {f.name: getattr(example, f.name) for f in fields(kind)}
    kind(**given)
    for name in given:
        with pytest.raises(TypeError, match=name):
            kind(**{k: v for k, v in given.items() if k != name})


def test_every_declaration_is_listed() -> None:
    """What the modules declare is what the tables, and so the tests above, walk over."""
    assert tuple(CATALOGUE.values()) == PUBLISHED
    assert tuple(PROX_LIBRARY.values()) == PROXES
    assert tuple(TRANSFORM_LIBRARY.values()) == TRANSFORMS
    assert len(CATALOGUE) >= 60


def test_a_name_is_given_once() -> None:
    with pytest.raises(InputError, match="two declarations are named 'bnn'"):
        by_name([CATALOGUE["BNN"], replace(CATALOGUE["BC"], name="bnn")])


# ---- names


def test_names_are_found_whatever_their_case() -> None:
    assert lookup("bnn+") is CATALOGUE["BNN+"]
    assert lookup_prox("SOFT threshold") is PROX_LIBRARY["soft threshold"]
    assert lookup_transform("swishsign") is TRANSFORM_LIBRARY["SwishSign"]


@pytest.mark.parametrize(
    ("find", "name", "hint"),
    [
        (lookup, "BNM", "did you mean BNN"),
        (lookup, "approxsing", "did you mean ApproxSign?"),
        (lookup, "zzzzzzzzzz", "known: FP, BC"),
        (lookup, "", "known: FP, BC"),
        (lookup_prox, "soft treshold", "did you mean soft threshold?"),
        (lookup_transform, "leeky clip", "did you mean leaky clip?"),
    ],
)
def test_unknown_names_are_refused_with_a_hint(find: Callable[[str], Any], name: str, hint: str) -> None:
    with pytest.raises(InputError, match=re.escape(hint)):
        find(name)


def test_unknown_parameters_are_refused() -> None:
    with pytest.raises(InputError, match="unknown parameter 'gamma' \\(its parameters: beta\\)"):
        lookup("BNN+").pair(gamma=sp.Integer(1))
    with pytest.raises(InputError, match="its parameters: none"):
        lookup_prox("box").map(gamma=sp.Integer(1))
