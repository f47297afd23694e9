"""prox_of, regularizer_of and evolve: exact round trips, brute force from the definition, refusals, mutants."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import mpmath
import pytest
import sympy as sp
from brute import Objective, disagreement
from hypothesis import given, settings
from hypothesis import strategies as st

import theory.proximal
from theory.catalogue import PROX_LIBRARY
from theory.errors import InputError, Undecided
from theory.exact import X
from theory.graphs import MonotoneGraph, vertical
from theory.maps import OO, PiecewiseMap
from theory.parser import parse, parse_constant
from theory.proximal import Proximal, evaluate, evolve, prox_of, regularizer_of

CLOSED = {
    **dict.fromkeys(PROX_LIBRARY),
    "atan": "atan(x)",
    "x/sqrt(1+x^2)": "x/sqrt(1 + x**2)",
    "cube": "x**3",
    "exp": "exp(x)",
    "steep clip": "clip(2*x, -1, 1)",
    "BNN": "Piecewise((x, Abs(x) >= 1), (sign(x), True))",
    "firm threshold": "Piecewise((0, Abs(x) <= 1/2), (2*sign(x)*(Abs(x) - 1/2), Abs(x) <= 1), (x, True))",
    "PAR": "Piecewise((0, Abs(x) <= 1/4), (x - sign(x)/4, Abs(x) < 5/4), (sign(x), True))",
    "horizontal and vertical": "sign(x)*Piecewise((1/4 + Abs(x), Abs(x) < 3/4), (1, True))",
    "one-sided jump": "Piecewise((x, x < 0), (x + 1, True))",
    "constant": "3/2",
}


def library(name: str) -> PiecewiseMap:
    text = CLOSED[name]
    return PROX_LIBRARY[name].map() if text is None else parse(text)


# --------------------------------------------------------------------------- round trips


@pytest.mark.parametrize("name", CLOSED)
def test_p_to_r_to_p_is_exact_in_both_readings(name: str) -> None:
    graph = MonotoneGraph.of(library(name))
    found = regularizer_of(graph)
    assert found.largest is not None
    assert found.smallest is not None
    assert prox_of(found.largest).graph.agrees(graph.largest())
    assert prox_of(found.smallest).graph.agrees(graph.smallest())


@pytest.mark.parametrize("name", CLOSED)
def test_r_to_p_to_r_is_exact_up_to_a_constant(name: str) -> None:
    r = regularizer_of(library(name))
    assert r.largest is not None
    assert r.smallest is not None
    for given_r, reading in ((r.largest, "largest"), (r.smallest, "smallest")):
        back = getattr(regularizer_of(prox_of(given_r)), reading)
        assert differ_by_a_constant(given_r, back), (str(given_r), str(back))


def differ_by_a_constant(a: PiecewiseMap, b: PiecewiseMap) -> bool:
    """Both +oo at the same places, and one difference elsewhere."""
    a, b = a.refine(b.breaks), b.refine(a.breaks)
    differences = []
    for e, f, (lo, hi) in zip(a.exprs, b.exprs, a.ends, strict=True):
        if (e is OO) != (f is OO):
            return False
        if e is not OO:
            if not theory.graphs._vanishes(sp.diff(e - f, X), lo, hi):
                return False
            differences.append((e - f).subs(X, theory.exact.rational_between(lo, hi)))
    for v, w in zip(a.values, b.values, strict=True):
        if (v is OO) != (w is OO):
            return False
        if v is not OO and v is not None and w is not None:
            differences.append(v - w)
    return all(theory.exact.sign_of(d - differences[0]) == 0 for d in differences)


@pytest.mark.parametrize("name", PROX_LIBRARY)
def test_the_regularizer_of_the_literature_has_the_library_s_map(name: str) -> None:
    entry = PROX_LIBRARY[name]
    found = prox_of(entry.literature_regularizer())
    assert found.graph.agrees(MonotoneGraph.of(entry.map()))
    recovered = regularizer_of(entry.map())
    literature_is_convex = entry.convex
    assert recovered.convex == literature_is_convex or (recovered.convex and not literature_is_convex)


def test_a_map_without_a_closed_regularizer_still_makes_the_round_trip() -> None:
    found = regularizer_of("erf(x)")
    assert found.largest is None
    assert found.implicit is not None
    assert "erf" in found.implicit
    assert prox_of(found).graph.agrees(MonotoneGraph.of(parse("erf(x)")))
    # r(w) - r(0) by quadrature: r' = erfinv(w) - w
    value = found.evaluate("1/2", 25)
    mpmath.mp.dps = 40
    truth = mpmath.quad(lambda w: mpmath.erfinv(w) - w, [0, mpmath.mpf(1) / 2])
    assert mpmath.mpf(value.lo.p) / value.lo.q - mpmath.mpf(10) ** -25 <= truth
    assert truth <= mpmath.mpf(value.hi.p) / value.hi.q + mpmath.mpf(10) ** -25
    assert found.evaluate(2).exact == OO
    assert found.evaluate(0).lo <= 0 <= found.evaluate(0).hi


# --------------------------------------------------------------------------- examples


@pytest.mark.parametrize(
    ("r", "mu", "p"),
    [
        ("Piecewise((0, x == 1), (0, x == -1), (oo, True))", "1", "Piecewise((-1, x <= 0), (1, True))"),
        ("Piecewise(((1 - x**2)/2, Abs(x) <= 1), (oo, True))", "1", "Piecewise((-1, x <= 0), (1, True))"),
        ("Piecewise(((1 - x**2)/2, Abs(x) <= 1), (oo, True))", "1/2", "clip(2*x, -1, 1)"),
        ("Abs(x)/2", "1", "sign(x)*Max(Abs(x) - 1/2, 0)"),
        ("Abs(x)/2", "3", "sign(x)*Max(Abs(x) - 3/2, 0)"),
        ("Piecewise((0, Abs(x) <= 1), (oo, True))", "7", "clip(x, -1, 1)"),
        ("Piecewise((0, x == 0), (2, True))", "1", "Piecewise((0, Abs(x) < 2), (0, x == 2), (x, True))"),
        ("(Abs(x) - 1)**2/2", "1", "Piecewise((x/2 - 1/2, x <= 0), (x/2 + 1/2, True))"),
        ("Abs(x)/2 + x**2/2", "1", "sign(x)*Max(Abs(x) - 1/2, 0)/2"),
        (
            "Piecewise((0, x == 0), (1/2 + Abs(x), True))",
            "1",
            "Piecewise((0, Abs(x) < 2), (0, x == 2), (x - sign(x), True))",
        ),
        (
            "Piecewise((Abs(x) - x**2/6, Abs(x) <= 3), (3/2, True))",
            "1",
            "Piecewise((0, Abs(x) <= 1), (3*(x - sign(x))/2, Abs(x) <= 3), (x, True))",
        ),
        (
            "Piecewise((Abs(x), Abs(x) <= 1), ((6*Abs(x) - x**2 - 1)/4, Abs(x) < 3), (2, True))",
            "1",
            "Piecewise((0, Abs(x) <= 1), (x - sign(x), Abs(x) <= 2), (2*x - 3*sign(x), Abs(x) <= 3), (x, True))",
        ),
        (
            "Piecewise((0, x == -1), (0, x == 0), (0, x == 1), (oo, True))",
            "1",
            "Piecewise((-1, x <= -1/2), (0, x <= 1/2), (1, True))",
        ),
        (
            "Piecewise((0, Abs(x) <= 1), (0, x == 2), (oo, True))",
            "1",
            "Piecewise((-1, x < -1), (x, x <= 1), (1, x <= 3/2), (2, True))",
        ),
        ("x**4/4 - x**2/2", "1", "Piecewise((-(-x)**(1/3), x < 0), (x**(1/3), True))"),
        ("Piecewise((-Abs(x), Abs(x) <= 1), (oo, True))", "1", "Piecewise((-1, x <= 0), (1, True))"),
        ("sqrt(1 + x**2) - x**2/2 + Piecewise((0, True))", "1", None),
        ("-x", "2", "x + 2"),
        ("Min((x - 1)**2, (x + 1)**2)", "1", "Piecewise((x/3 - 2/3, x <= 0), (x/3 + 2/3, True))"),
        (
            "Min((x - 2)**2/2, Abs(x))",
            "1",
            "Piecewise((x + 1, x < -1), (0, x < sqrt(8) - 2), (x/2 + 1, x < 4 + sqrt(10)), (x - 1, True))",
        ),
    ],
)
def test_examples(r: str, mu: str, p: str | None) -> None:
    if p is None:
        with pytest.raises(InputError, match="no proximal map: towards w = -oo"):
            prox_of(r, mu)
        return
    found = prox_of(r, mu)
    assert found.map is not None
    assert found.map.agrees(parse(p), at_breaks=False), str(found.map)


def test_the_equal_areas_of_a_tilted_double_well() -> None:
    # psi = (w^2 - 1)^2/4 + w/3 + ...: the tilt moves the jump, the ends stay at +-1
    found = prox_of("x**4/4 - x**2 + x/3")
    assert [(q.x, q.lo, q.hi) for q in found.graph.verticals] == [(sp.Rational(1, 3), -1, 1)]


def test_a_tangent_without_a_closed_form_is_certified_to_fifty_digits() -> None:
    found = prox_of("Min(exp(x), exp(-2*x))", 2)
    (jump,) = found.graph.verticals
    mpmath.mp.dps = 70
    m, a, b = mpmath.findroot(
        lambda m, a, b: [
            a + 2 * mpmath.exp(a) - m,
            b - 4 * mpmath.exp(-2 * b) - m,
            (2 * mpmath.exp(-2 * b) + b * b / 2) - (2 * mpmath.exp(a) + a * a / 2) - m * (b - a),
        ],
        (-0.29, -1.01, 0.69),
    )
    for certified, truth in ((jump.x, m), (jump.lo, a), (jump.hi, b)):
        found_50 = theory.implicit.enclose_to(certified, 50)
        assert found_50.exact is None
        assert found_50.hi - found_50.lo <= 2 * sp.Rational(1, 10**50)
        assert abs(mpmath.mpf(found_50.lo.p) / found_50.lo.q - truth) < mpmath.mpf(10) ** -49


def test_a_touching_middle_point_is_kept() -> None:
    # psi is linear through three points: all three are minimisers at one x
    found = prox_of("Piecewise((-1/2, x == -1), (0, x == 0), (-1/2, x == 1), (oo, True))")
    assert [(q.x, q.lo, q.hi, q.filled) for q in found.graph.verticals] == [(0, -1, 0, False), (0, 0, 1, False)]
    assert [c.exact for c in evaluate(found, 0).points] == [-1, 0, 1]


def test_isolated_values_and_lower_semicontinuity() -> None:
    high = prox_of("Piecewise((0, x < 1), (5, x == 1), (1, True))")
    assert high.notes == ("r was completed to its lower semicontinuous envelope: 0 instead of 5 at w = 1",)
    low = prox_of("Piecewise((-2, x == 1), (0, True))")
    assert low.notes == ()
    assert low.map is not None
    assert low.map.agrees(parse("Piecewise((x, x < -1), (1, x <= 3), (x, True))"), at_breaks=False)


def test_values_at_a_jump_are_both_ends() -> None:
    found = prox_of("Min(Abs(x), 1)")
    here = evaluate(found, "3/2")
    assert [c.exact for c in here.points] == [sp.Rational(1, 2), sp.Rational(3, 2)]
    assert not here.filled
    assert evaluate(prox_of("Piecewise(((1 - x**2)/2, Abs(x) <= 1), (oo, True))"), 0).filled
    assert [c.exact for c in evaluate(parse("sign(x)"), 0).points] == [-1, 1]


def test_the_accuracy_asked_for_is_reached_or_refused() -> None:
    found = prox_of("x**4")
    for digits in (1, 15, 200):
        (value,) = evaluate(found, 4, digits).points
        assert value.hi - value.lo <= sp.Rational(1, 10**digits)
        f = 4 * X**3 + X - 4
        assert f.subs(X, value.lo) < 0 < f.subs(X, value.hi)
    assert evaluate(found, 5).points[0].exact == 1
    for bad in (0, -3, 5000):
        with pytest.raises(InputError, match="digits were expected"):
            evaluate(found, 4, bad)
    for x in (0.5, sp.Float(1), OO, sp.Symbol("y")):
        with pytest.raises(InputError):
            evaluate(found, x)


# --------------------------------------------------------------------------- symbolic mu


@pytest.mark.parametrize(
    ("r", "p"),
    [
        ("Abs(x)/3", "Piecewise((mu/3 + x, x <= -mu/3), (0, x <= mu/3), (-mu/3 + x, True))"),
        ("x**2", "x/(2*mu + 1)"),
        ("Piecewise((0, Abs(x) <= 1), (oo, True))", "clip(x, -1, 1)"),
        ("Piecewise((0, x == 1), (1, x == -1), (oo, True))", "Piecewise((-1, x <= -mu/2), (1, True))"),
        ("Piecewise((0, x == 0), (1/2, True))", "Piecewise((x, x <= -sqrt(mu)), (0, x <= sqrt(mu)), (x, True))"),
    ],
)
def test_mu_stays_a_symbol_where_the_cases_do_not_depend_on_it(r: str, p: str) -> None:
    found = prox_of(r, "mu")
    assert str(found.map) == p
    for value in (sp.Rational(1, 3), sp.Integer(4)):
        assert found.at_mu(value).graph.agrees(prox_of(r, value).graph)


def test_entropies_keep_mu_without_a_closed_form() -> None:
    r = "Piecewise(((1 + x)*log(1 + x) + (1 - x)*log(1 - x), Abs(x) < 1), (2*log(2), Abs(x) == 1), (oo, True))"
    found = prox_of(r, "mu")
    assert found.map is None
    assert found.at_mu(2).graph.agrees(prox_of(r, 2).graph)


@pytest.mark.parametrize(
    "r", ["-x**2/2", "Min(Abs(x), 1)", "cos(x)", "Piecewise((0, x == 0), (1, x == 1), (1/3, x == 2), (oo, True))"]
)
def test_cases_that_depend_on_mu_are_said_to(r: str) -> None:
    with pytest.raises(Undecided, match="mu"):
        prox_of(r, "mu")


# --------------------------------------------------------------------------- another mu


def test_evolving_the_sign_depends_on_the_reading() -> None:
    assert str(evolve("sign(x)", 1, "1/2", "smallest").map) == str(
        parse("Piecewise((-1, x <= -1/2), (2*x, x <= 1/2), (1, True))")
    )
    assert evolve("sign(x)", 1, "1/2", "largest").map == parse("Piecewise((-1, x <= 0), (1, True))")
    assert evolve("sign(x)", 1, 2, "smallest").map == parse("Piecewise((-1, x <= 0), (1, True))")


@pytest.mark.parametrize("mu", ["1/2", "3"])
@pytest.mark.parametrize("reading", ["largest", "smallest"])
@pytest.mark.parametrize("name", [n for n in CLOSED if n not in ("cube", "exp")])
def test_evolve_is_prox_of_the_recovered_regularizer(name: str, reading: str, mu: str) -> None:
    prox = library(name)
    r = getattr(regularizer_of(prox), reading)
    assert evolve(prox, 1, mu, reading).graph.agrees(prox_of(r, mu).graph)


@pytest.mark.parametrize("name", ["tanh", "softsign", "soft threshold", "elastic net", "box", "atan"])
def test_with_convex_r_evolving_there_and_back_is_the_identity(name: str) -> None:
    prox = library(name)
    there = evolve(prox, "1/2", "5/3")
    assert evolve(there, "5/3", "1/2").graph.agrees(MonotoneGraph.of(prox))
    # Moreau: (id + k (P^-1 - id))^-1, by the operations of the graph
    k = sp.Rational(10, 3)
    by_hand = MonotoneGraph.of(prox).change_mu(sp.Rational(1, 2), sp.Rational(5, 3))
    assert there.graph.agrees(by_hand)
    again = MonotoneGraph.of(prox).inverse().plus_identity((1 - k) / k)  # k(P^-1 + (1-k)/k id), up to the factor k
    assert again.pieces


def test_evolve_of_a_steep_tanh_jumps_at_zero_exactly() -> None:
    found = evolve("tanh(3*x)", 1, 2)
    (jump,) = found.graph.verticals
    assert jump.x == 0
    low, high = (theory.implicit.enclose_to(c, 30) for c in (jump.lo, jump.hi))
    assert low.lo == -high.hi or abs(low.lo + high.hi) < sp.Rational(1, 10**29)


def test_evolve_of_erf_has_no_closed_form_but_values() -> None:
    found = evolve("erf(x)", 1, "1/2")
    assert found.map is None
    mpmath.mp.dps = 40
    s = mpmath.findroot(lambda s: s / 2 + mpmath.erf(s) / 2 - 1, 1)
    (value,) = evaluate(found, 1, 30).points
    assert abs(mpmath.mpf(value.lo.p) / value.lo.q - mpmath.erf(s)) < mpmath.mpf(10) ** -29


# --------------------------------------------------------------------------- convexity


@pytest.mark.parametrize(
    ("prox", "mu", "largest", "smallest", "convex"),
    [
        ("x", 1, 0, 0, True),
        ("sign(x)", 1, OO, 1, False),
        ("sign(x)", 2, OO, sp.Rational(1, 2), False),
        ("tanh(x)", 1, 0, 0, True),
        ("tanh(3*x)", 1, sp.Rational(2, 3), sp.Rational(2, 3), False),
        ("clip(2*x, -1, 1)", 1, sp.Rational(1, 2), sp.Rational(1, 2), False),
        ("erf(x)", 1, 1 - sp.sqrt(sp.pi) / 2, 1 - sp.sqrt(sp.pi) / 2, False),
        ("3/2", 1, 0, 0, True),
        ("2*x", 1, sp.Rational(1, 2), sp.Rational(1, 2), False),
    ],
)
def test_weak_convexity(prox: str, mu: int, largest: Any, smallest: Any, convex: bool) -> None:
    found = regularizer_of(prox, mu)
    assert found.weak_convexity == {"largest": largest, "smallest": smallest}
    assert found.convex is convex


def test_a_known_regularizer_on_the_jump_is_no_gap() -> None:
    found = regularizer_of(prox_of("Piecewise(((1 - x**2)/2, Abs(x) <= 1), (oo, True))"))
    assert found.largest == found.smallest
    assert found.weak_convexity["largest"] == 1


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("r", "mu", "sentence"),
    [
        ("-x**2", 1, "no proximal map: towards w = -oo"),
        ("-exp(x)", 1, "no proximal map: towards w = oo"),
        ("-x**2/2 + Abs(x)", 1, "no minimiser exists for x < -1"),
        ("Piecewise((0, x < 0), (-x**3, True))", 1, "towards w = oo"),
        ("Piecewise((oo, x < 0), (oo, True))", 1, r"empty domain: .* \+oo everywhere"),
        ("oo", 1, "empty domain"),
        ("-oo", 1, "is -oo between -oo and oo"),
        ("Piecewise((0, x < 1), (-oo, x == 1), (0, True))", 1, "is -oo at 1"),
        ("Piecewise((-1/x**2, x > 0), (0, True))", 1, "tends to -oo at w = 0"),
        ("Piecewise((log(x), x > 0), (oo, True))", 1, "tends to -oo at w = 0"),
        ("Abs(x)", 0, "mu must be a positive number, not 0"),
        ("Abs(x)", -2, "mu must be a positive number, not -2"),
        ("Abs(x)", 0.5, "floats are refused"),
        ("Abs(x)", "oo", "oo is a value of regularizers only"),
        ("Abs(y)", 1, "unknown name 'y'"),
    ],
)
def test_regularizers_that_are_refused(r: str, mu: Any, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        prox_of(r, mu)


@pytest.mark.parametrize(
    ("prox", "sentence"),
    [
        ("-x", "decreases at x = 0 and everywhere between -oo and oo"),
        ("sin(x)", "decreases at x = "),
        ("sign(-x)", "jumps downward at x = 0"),
        ("Piecewise((x, x < 1), (x - 1, True))", "jumps downward at x = 1"),
        ("Piecewise((0, x < 0), (5, x == 0), (1, True))", r"value 5 at x = 0 lies outside \[0, 1\]"),
    ],
)
def test_maps_that_are_no_proximal_maps(prox: str, sentence: str) -> None:
    for call in (lambda: regularizer_of(prox), lambda: evolve(prox, 1, 2)):
        with pytest.raises(InputError, match=sentence):
            call()


def test_evolve_refuses_what_has_no_minimiser_there_and_unknown_readings() -> None:
    with pytest.raises(InputError, match="towards w = -oo the regularizer falls too fast"):
        evolve("2*x", 1, 2)
    with pytest.raises(InputError, match="largest or smallest, not 'middle'"):
        evolve("x", 1, 2, "middle")
    with pytest.raises(InputError, match="mu must be a positive number"):
        evolve("x", 0, 2)
    with pytest.raises(Undecided, match="infinitely many"):
        prox_of("Abs(sin(x))")


# --------------------------------------------------------------------------- brute force

REGULARIZERS = [
    ("Abs(x)/2", "1"),
    ("Piecewise((0, x == 0), (1/2, True))", "1"),
    ("Piecewise((0, x == 0), (1/2 + Abs(x)/3, True))", "1"),
    ("Min(Abs(x), 1)", "2"),
    ("Piecewise((Abs(x) - x**2/6, Abs(x) <= 3), (3/2, True))", "2"),
    ("Piecewise((Abs(x), Abs(x) <= 1), ((6*Abs(x) - x**2 - 1)/4, Abs(x) < 3), (2, True))", "3/2"),
    ("Abs(x)/2 + x**2/2", "1"),
    ("x**4/4 - x**2", "1"),
    ("x**4/4 - x**2 + x/3", "2"),
    ("x**6 - 2*x**4 + x**2/4", "1"),
    ("Piecewise((0, x == -1), (1/3, x == 0), (0, x == 1), (oo, True))", "1"),
    ("Piecewise((0, Abs(x) <= 1), (0, x == 2), (oo, True))", "1"),
    ("Piecewise((-Abs(x), Abs(x) <= 1), (oo, True))", "1"),
    ("sqrt(Abs(x))", "3"),
    ("Min((x - 1)**2, 2*(x + 2)**2 + 1/7)", "1"),
    ("Min(exp(x), exp(-2*x))", "2"),
    ("log(1 + x**2)", "9"),
    ("Piecewise((x*log(x), x > 0), (0, x == 0), (oo, True))", "1"),
    ("Piecewise((1, x < 0), (0, x < 2), (x, True))", "1"),
    ("Piecewise((x, x <= 0), (5, x < 1), (oo, True))", "1"),
    ("Abs(x)**3 - x**2", "2"),
    ("Min((x - 1)**4, 2*(x + 2)**2)", "1"),
    # kinks whose slopes begin before the crossing to their left
    ("Abs(Abs(x) - 1)", "2"),
    ("Abs(Abs(Abs(x) - 2) - 1)", "2"),
    ("Min(Abs(x - 1), Abs(x + 1), Abs(x))", "1"),
    ("Min(Abs(x - 2), Abs(x + 1)/2, 1/3)", "3"),
    ("Min(Abs(x - 1), (x + 1)**2)", "1"),
    ("Piecewise((oo, x < -2), (Abs(x + 1), x <= 0), (Abs(x - 1) + 1/2, x <= 2), (oo, True))", "2"),
    ("Piecewise((Abs(x + 1), x < 0), (Abs(x - 1) - 1/2, True))", "5"),
]


def values_of(found: Proximal, x: Any) -> tuple[list[float], bool]:
    here = evaluate(found, x, 15)
    return [float((c.lo + c.hi) / 2) for c in here.points], here.filled


@pytest.mark.parametrize(("text", "mu"), REGULARIZERS)
def test_brute_force_minimisation_agrees_also_at_ties(text: str, mu: str) -> None:
    r = parse(text, allow_infinity=True)
    found = prox_of(r, mu)
    found.graph.check()
    objective = Objective(r, float(Fraction(mu)))
    source = random.Random(text)
    points = [sp.Rational(source.randrange(-6000, 6000), 1000) for _ in range(46)]
    ties = [q.x for q in found.graph.verticals]
    near = [
        sp.Rational(round(float(t) * 10**6), 10**6) + d
        for t in ties
        for d in (-sp.Rational(1, 999), sp.Rational(1, 998))
    ]
    for x in (*points, *ties, *near):
        claimed, filled = (
            ([float(sp.N(c, 20)) for c in found.graph._at(x)[0]], False) if x in ties else values_of(found, x)
        )
        assert disagreement(r, 1.0, float(x), claimed, filled, objective) == ""


@pytest.mark.parametrize("name", PROX_LIBRARY)
def test_brute_force_confirms_the_recovered_regularizers(name: str) -> None:
    prox = library(name)
    found = regularizer_of(prox)
    source = random.Random(name)
    for reading in ("largest", "smallest"):
        r = getattr(found, reading)
        objective = Objective(r, 1.0)
        graph = getattr(MonotoneGraph.of(prox), reading)()
        for x in (*(sp.Rational(source.randrange(-4000, 4000), 1000) for _ in range(25)), *prox.breaks):
            here = evaluate(graph, x)
            claimed = [float(c.lo) for c in here.points]
            assert disagreement(r, 1.0, float(x), claimed, here.filled, objective) == "", reading


@st.composite
def regularizers(draw: st.DrawFn) -> PiecewiseMap:
    """Piecewise quadratics, linear terms and constants, +oo pieces, isolated values."""
    number = st.fractions(-2, 2, max_denominator=4).map(lambda f: sp.Rational(f.numerator, f.denominator))
    breaks = sorted(draw(st.sets(st.integers(-6, 6), min_size=1, max_size=4)))
    exprs: list[Any] = []
    for i in range(len(breaks) + 1):
        outer = i in (0, len(breaks))
        if draw(st.integers(0, 3)) == 0:
            exprs.append(OO)
        else:
            square = draw(st.fractions(0 if outer else -2, 2, max_denominator=2))
            exprs.append(sp.Rational(square.numerator, square.denominator) * X**2 + draw(number) * X + draw(number))
    values = []
    for i, b in enumerate(breaks):
        own = [e.subs(X, sp.Rational(b, 2)) for e in exprs[i : i + 2] if e is not OO]
        kind = draw(st.integers(0, 3))
        values.append(
            min(own) - sp.Rational(1, 3) if kind == 0 and own else min(own) if own else draw(number) if kind else OO
        )
    return PiecewiseMap(tuple(sp.Rational(b, 2) for b in breaks), tuple(exprs), tuple(values))


@settings(max_examples=40)
@given(regularizers(), st.sampled_from(["1/3", "1", "2"]), st.integers(-40, 40))
def test_random_piecewise_quadratics_agree_with_brute_force(r: PiecewiseMap, mu: str, k: int) -> None:
    if all(e is OO for e in r.exprs) and all(v is OO for v in r.values):
        with pytest.raises(InputError, match="empty domain"):
            prox_of(r, mu)
        return
    found = prox_of(r, mu)
    found.graph.check()
    objective = Objective(r, float(Fraction(mu)))
    for x in (sp.Rational(k, 9), *(q.x for q in found.graph.verticals)):
        at_tie = not x.is_Rational
        claimed, filled = values_of(found, x)
        assert at_tie or disagreement(r, 1.0, float(x), claimed, filled, objective) == ""


# --------------------------------------------------------------------------- mutants


def faults(text: str, mu: str) -> int:
    r = parse(text, allow_infinity=True)
    found = prox_of(r, mu)
    objective = Objective(r, float(Fraction(mu)))
    return sum(
        disagreement(r, 1.0, k / 7, *values_of(found, sp.Rational(k, 7)), objective) != "" for k in range(-35, 36)
    )


TANGENT = theory.proximal._tangent


@pytest.mark.parametrize("wrong", ["shifted", "midpoint"])
def test_a_wrong_tangent_is_seen(monkeypatch: pytest.MonkeyPatch, wrong: str) -> None:
    cases = [("Min(Abs(x), 1)", "2"), ("Piecewise((0, Abs(x) <= 1), (1/3, x == 2), (oo, True))", "1")]
    assert [faults(*case) for case in cases] == [0, 0]

    def shifted(left: Any, right: Any) -> Any:
        return TANGENT(left, right) + sp.Rational(1, 3)

    def midpoint(left: Any, right: Any) -> Any:
        a, b = left.touching(TANGENT(left, right)), right.touching(TANGENT(left, right))
        return (a + b) / 2  # the middle of the jump instead of equal areas

    monkeypatch.setattr(theory.proximal, "_tangent", {"shifted": shifted, "midpoint": midpoint}[wrong])
    assert max(faults(*case) for case in cases) > 0


def test_a_wrong_inversion_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def slopes_of_r(pieces: Any, crossings: Any) -> Any:
        # the subdifferential graph itself in place of its inverse
        return [theory.graphs.GraphPiece("arc", a.w, a.x, a.lo, a.hi) for a in pieces]

    assert faults("x**2", "1") == 0
    monkeypatch.setattr(theory.proximal, "_pieces", slopes_of_r)
    assert faults("x**2", "1") > 0


def test_a_forgotten_shear_is_seen() -> None:
    # dr instead of the inverse of P: psi without its quadratic
    r = regularizer_of("tanh(x)").largest
    assert r is not None
    wrong = PiecewiseMap(r.breaks, tuple(e if e is OO else e + X**2 / 2 for e in r.exprs), r.values)
    assert not prox_of(wrong).graph.agrees(MonotoneGraph.of(parse("tanh(x)")))


def test_agreement_of_graphs_sees_gaps_jumps_and_arcs() -> None:
    sign = MonotoneGraph.of(parse("sign(x)"))
    assert not sign.agrees(sign.smallest())
    moved = MonotoneGraph((sign.pieces[0], vertical(sp.Integer(0), sp.Integer(-1), sp.Integer(1)), *sign.pieces[2:]))
    assert sign.agrees(moved)
    for other in ("Piecewise((-1, x < 1/9), (1, True))", "clip(x, -1, 1)", "2*sign(x)"):
        assert not sign.agrees(MonotoneGraph.of(parse(other)))
    assert not MonotoneGraph.of(parse("tanh(x)")).agrees(MonotoneGraph.of(parse("tanh(2*x)")))


# --------------------------------------------------------------------------- notebooks


def test_notebooks_show_formulas() -> None:
    found = prox_of("Min(Abs(x), 1)")
    assert r"\begin{cases}" in found._repr_latex_()
    assert found._repr_html_().count("<tr>") == 8
    assert "completed" in prox_of("Piecewise((0, x < 1), (5, x == 1), (1, True))")._repr_html_()
    both = regularizer_of("sign(x)")
    assert r"r_{\min}" in both._repr_latex_()
    assert "convex: no" in both._repr_html_()
    assert "erf" in regularizer_of("erf(x)")._repr_latex_()


def test_exact_numbers_as_text_are_read_by_the_grammar() -> None:
    assert evaluate(parse("x"), "1/3").points[0].exact == parse_constant("1/3", "x")
