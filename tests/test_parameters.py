"""Verdicts for ranges of parameters: hand-derived truths, identities that hold at one value only, bad input."""

from __future__ import annotations

import json
import random
from fractions import Fraction
from functools import cache
from typing import Any

import pytest
import sympy as sp

import proxpair
from theory.assumptions import read_assumptions
from theory.cells import Cell, OutOfReach, Ratio, Split, one_sign
from theory.checking import check
from theory.commands import check_entry
from theory.errors import InputError
from theory.exact import X
from theory.families import Family, read
from theory.maps import PiecewiseMap
from theory.parameters import check_range, layout_of, scaled
from theory.parser import parse, parse_constant
from theory.uniform import sign_of_family

SS = "2*sigmoid(beta*x)*(1 + beta*x*(1 - sigmoid(beta*x))) - 1"
SS_PRIME = "beta*(2 - beta*x*tanh(beta*x/2))/(1 + cosh(beta*x))"
BOX = "Piecewise((1, Abs(x) <= 1), (0, True))"
TERNARY = "Piecewise((-1, x < -a), (0, x <= a), (1, True))"
POSITIVE = "a > 0"
Row = tuple[str, str, str, tuple[str, ...], dict[str, str], str | None]

WHOLE: tuple[Row, ...] = (
    # one verdict for the whole range; the last entry is where r can be convex (None: not principled)
    # T = SS_b, P = id, F'/B = 1
    ("BNN++", SS, SS_PRIME, ("beta > 0",), {"beta > 0": "smooth"}, "beta > 0"),
    # B varies on the level sets of sign
    ("BNN+", "sign(x)", SS_PRIME, ("beta > 0",), {"beta > 0": "unprincipled"}, None),
    # T = id, P = tanh(bx), of slope b at 0
    ("MD-tanh", "tanh(beta*x)", "1", ("beta > 0",), {"beta > 0": "smooth"}, "0 < beta <= 1"),
    # T = clip, P = sign inside and x/c outside: as BNN in the unit c
    ("clipped STE", "sign(x)", "Piecewise((1, Abs(x) <= a), (0, True))", (POSITIVE,), {POSITIVE: "lipschitz"}, "never"),
    # levels -2s..2s inside the range of the clip, each K run beside a jump
    (
        "LSQ",
        "a*round(clip(x/a, -2, 2))",
        "Piecewise((1, Abs(x) <= 2*a), (0, True))",
        (POSITIVE,),
        {POSITIVE: "lipschitz"},
        "never",
    ),
    ("XNOR", "a*sign(x)", "Piecewise((a, Abs(x) <= 1), (0, True))", (POSITIVE,), {POSITIVE: "lipschitz"}, "never"),
    # T = id, P = E sign
    ("DoReFa", "a*sign(x/a)", "1", (POSITIVE,), {POSITIVE: "smooth"}, "never"),
    # P = atan(sqrt(a) x)/sqrt(a), F'/B = 1/(1 + a x^2) <= 1
    ("tangent", "x", "1 + a*x**2", (POSITIVE,), {POSITIVE: "smooth"}, POSITIVE),
    # T = id, P of slope 1 - theta with a jump
    ("BinaryRelax", "(1 - a)*x + a*sign(x)", "1", ("0 < a < 1",), {"0 < a < 1": "smooth"}, "never"),
    ("soft threshold", "sign(x)*Max(Abs(x) - a, 0)", "1", (POSITIVE,), {POSITIVE: "smooth"}, POSITIVE),
    ("erf", "erf(a*x)", "2*a/sqrt(pi)*exp(-a**2*x**2)", (POSITIVE,), {POSITIVE: "smooth"}, POSITIVE),
    # F' B = (a/(1 + a^2 x^2))^2 for a of either sign
    ("atan", "atan(a*x)", "a/(1 + a**2*x**2)", ("a != 0",), {"a != 0": "smooth"}, "a != 0"),
    ("softsign", "x/(1 + a*Abs(x))", "1/(1 + a*Abs(x))**2", (POSITIVE,), {POSITIVE: "smooth"}, POSITIVE),
    ("threshold", "Heaviside(x - a, 1/2)", "1", ("-1 < a < 1",), {"-1 < a < 1": "smooth"}, "never"),
    # T = clip(p/a), P = id: kinks at +-a
    (
        "clip",
        "clip(x/a, -1, 1)",
        "Piecewise((1/a, Abs(x) < a), (0, True))",
        (POSITIVE,),
        {POSITIVE: "lipschitz"},
        POSITIVE,
    ),
    (
        "PACT",
        "clip(x, 0, a)",
        "Piecewise((1, x >= 0 and x <= a), (0, True))",
        (POSITIVE,),
        {POSITIVE: "lipschitz"},
        POSITIVE,
    ),
    # bell-shaped backward maps under a step vary on its level sets
    ("ATan", "Heaviside(x, 1)", "a/(2*(1 + (pi*a*x/2)**2))", (POSITIVE,), {POSITIVE: "unprincipled"}, None),
    ("SuperSpike", "Heaviside(x, 1)", "a/(1 + Abs(x))**2", (POSITIVE,), {POSITIVE: "unprincipled"}, None),
    ("triangle", "Heaviside(x, 1)", "Max(a - a**2*Abs(x), 0)", (POSITIVE,), {POSITIVE: "unprincipled"}, None),
    ("logistic", "Heaviside(x, 1)", "a*sigmoid(a*x)*(1 - sigmoid(a*x))", (POSITIVE,), {POSITIVE: "unprincipled"}, None),
    ("EDE", "sign(x)", "k*t*(1 - tanh(t*x)**2)", ("k > 0", "t > 0"), {"k > 0 and t > 0": "unprincipled"}, None),
    (
        "RBNN",
        "sign(x)",
        "k*Max(0, sqrt(2)*t - t**2*Abs(x))",
        ("k > 0", "t > 0"),
        {"k > 0 and t > 0": "unprincipled"},
        None,
    ),
    # three free levels and a free threshold under B = 1: T = id
    (
        "TTQ",
        "Piecewise((-m, x < -d), (0, x <= d), (p, True))",
        "1",
        ("m > 0", "p > 0", "d > 0"),
        {"m > 0 and p > 0 and d > 0": "smooth"},
        "never",
    ),
    ("AdaBin", "b + a*sign(x - b)", "1", ("a > 0", "-1 < b < 1"), {"a > 0 and -1 < b < 1": "smooth"}, "never"),
    # F' = 1 + a cos x > 0; it reaches 1 + a > 1
    ("wave", "x + a*sin(x)", "1", ("0 < a < 1",), {"0 < a < 1": "smooth"}, "never"),
    # F'(pi) = 1 - a < 0
    ("steep wave", "x + a*sin(x)", "1", ("a > 1",), {"a > 1": "unprincipled"}, None),
    # infinitely many pieces, refuted on the first: B varies on a level set
    ("BiPer", "sign(sin(a*x))", "a*cos(a*x)", (POSITIVE,), {POSITIVE: "unprincipled"}, None),
    # the clip is flat beyond c1 < c2, where B = 1: an end run K Z whose K beside S of slope 1
    (
        "narrow clip",
        "clip(x, -c1, c1)",
        "Piecewise((1, Abs(x) <= c2), (0, True))",
        ("0 < c1 < c2",),
        {"0 < c1 < c2": "lipschitz"},
        "0 < c1 < c2",
    ),
    # F moves between c1 and c2, where B = 0
    (
        "wide clip",
        "clip(x, -c2, c2)",
        "Piecewise((1, Abs(x) <= c1), (0, True))",
        ("0 < c1 < c2",),
        {"0 < c1 < c2": "unprincipled"},
        None,
    ),
    # F is constant beyond a, where B oscillates
    ("cut wave", "Min(x, a)", "2 + a*sin(x)", ("0 < a < 1",), {"0 < a < 1": "unprincipled"}, None),
    # an upward jump where B < 0, and a downward one where B > 0
    ("negative", "sign(x)", "-a", (POSITIVE,), {POSITIVE: "unprincipled"}, None),
    ("falling", "-a*sign(x)", "1", (POSITIVE,), {POSITIVE: "unprincipled"}, None),
    # the tie value 1 does not scale, but ties at jumps are not judged
    ("odd tie", "Piecewise((-a, x < 0), (1, x == 0), (a, True))", "1", (POSITIVE,), {POSITIVE: "smooth"}, "never"),
    # no jump at 0: the value a > 0 there is off the limit 0
    ("isolated", "Piecewise((a, x == 0), (x, True))", "1", (POSITIVE,), {POSITIVE: "unprincipled"}, None),
    # 1 + b + a cos x > 0
    (
        "two parameters",
        "x",
        "1 + b + a*cos(x)",
        ("0 < a < 1", "b > 0"),
        {"0 < a < 1 and b > 0": "smooth"},
        None,
    ),
)

SPLIT: tuple[Row, ...] = (
    # leak = 0 is BNN, leak = 1 BinaryConnect; otherwise two slopes on one level set
    (
        "leaky STE",
        "sign(x)",
        "Piecewise((1, Abs(x) <= 1), (a, True))",
        ("a >= 0",),
        {"a = 0": "lipschitz", "0 < a < 1 or a > 1": "unprincipled", "a = 1": "smooth"},
        "never",
    ),
    # at c = 1 the jump lies on B's edge, beyond it B = 1 stands inside a level set that ends in zeros
    (
        "ternary",
        TERNARY,
        BOX,
        (POSITIVE,),
        {"0 < a < 1": "lipschitz", "a = 1": "smooth", "a > 1": "unprincipled"},
        "never",
    ),
    ("constant", "sign(x)", "a", ("-1 <= a <= 1",), {"-1 <= a < 0": "unprincipled", "0 <= a <= 1": "smooth"}, "never"),
    # F'B = -a; the ratio -1/a <= 1 from a = -1 downwards
    ("falling line", "-x", "a", ("a != 0",), {"a < 0": "smooth", "a > 0": "unprincipled"}, "a <= -1"),
    # 1/(a + x^2): opposite signs for a < 0, not integrable for a = 0
    ("pole", "x", "a + x**2", ("a > -1",), {"-1 < a <= 0": "unprincipled", "a > 0": "smooth"}, "a >= 1"),
    # 3x^2/(a + x^2): at a = 0 the ratio is 3
    ("no pole", "x**3", "a + x**2", ("a > -1",), {"-1 < a < 0": "unprincipled", "a >= 0": "smooth"}, "never"),
    # discriminant a^2 - 4; at |a| = 2 a double zero of B
    (
        "quadratic",
        "x",
        "1 + a*x + x**2",
        ("-3 < a < 3",),
        {"-3 < a <= -2 or 2 <= a < 3": "unprincipled", "-2 < a < 2": "smooth"},
        "a = 0",
    ),
    # T has a kink at 0 unless a = 1; F'/B = 1/a on the right
    (
        "two slopes",
        "x",
        "Piecewise((1, x < 0), (a, True))",
        (POSITIVE,),
        {"0 < a < 1 or a > 1": "lipschitz", "a = 1": "smooth"},
        "a >= 1",
    ),
    ("wave", "x + a*sin(x)", "1", (POSITIVE,), {"0 < a <= 1": "smooth", "a > 1": "unprincipled"}, "never"),
    # F' = 1 + a - tanh^2
    (
        "tilted tanh",
        "tanh(x) + a*x",
        "1",
        ("a > -1/2",),
        {"-1/2 < a < 0": "unprincipled", "a >= 0": "smooth"},
        "a = 0",
    ),
    (
        "bump",
        "sign(x)",
        "1 + a*exp(-Abs(x))",
        ("a > -1",),
        {"-1 < a < 0 or a > 0": "unprincipled", "a = 0": "smooth"},
        "never",
    ),
    # 1 + a u on u > 0
    ("exponential", "x", "1 + a*exp(x)", ("a > -1",), {"-1 < a < 0": "unprincipled", "a >= 0": "smooth"}, "a >= 0"),
    # the parameter-free slope at a = 1, B moves on the level sets of sign otherwise
    (
        "one value only",
        "sign(x)",
        "1 + (a - 1)*x**2",
        (POSITIVE,),
        {"0 < a < 1 or a > 1": "unprincipled", "a = 1": "smooth"},
        "never",
    ),
    # leaky clip and its own derivative: P = id, T with kinks unless the leak is 1
    (
        "leaky clip",
        "clip(x, -1, 1) + a*(x - clip(x, -1, 1))",
        "Piecewise((1, Abs(x) < 1), (a, True))",
        ("0 <= a <= 1",),
        {"0 <= a < 1": "lipschitz", "a = 1": "smooth"},
        "0 <= a <= 1",
    ),
    # (log a) x under B = 1
    ("logarithm", "log(a)*x", "1", ("a > 1/2",), {"1/2 < a < 1": "unprincipled", "a >= 1": "smooth"}, None),
)


@cache
def answered(forward: str, backward: str, assume: tuple[str, ...]) -> dict[str, Any]:
    return check(forward, backward, assume=assume, timeout=30).as_dict()


def cases_of(answer: dict[str, Any]) -> dict[str, str]:
    return {c["range"]: c["verdict"] for c in answer["cases"]}


@pytest.mark.parametrize("row", [*WHOLE, *SPLIT], ids=lambda r: r[0])
def test_the_verdict_for_the_range_is_the_one_derived_by_hand(row: Row) -> None:
    _, forward, backward, assume, expected, convex = row
    answer = answered(forward, backward, assume)
    assert cases_of(answer) == expected
    json.dumps(answer)
    grades = set(expected.values())
    if len(grades) == 1:
        assert answer["verdict"] == grades.pop()
        assert answer["holds_for"].startswith("every ")
    elif grades == {"smooth", "lipschitz"}:
        assert answer["verdict"] == "lipschitz"
    else:
        assert answer["verdict"] == "undecided"
        assert answer["holds_for"].startswith("no single verdict")
    if convex is not None:
        assert answer["convex_when"] == convex


@pytest.mark.parametrize("row", [*WHOLE, *SPLIT], ids=lambda r: r[0])
def test_the_range_and_single_values_in_it_agree(row: Row) -> None:
    _, forward, backward, assume, _, _ = row
    cases = answered(forward, backward, assume)["cases"]
    draw = random.Random(forward + backward)
    ranges = [(c, read_ranges(c["range"])) for c in cases]
    for _ in range(2):
        values = drawn(draw, read_assumptions(assume))
        inside = [c for c, options in ranges if any(admitted(o, values) for o in options)]
        assert len(inside) == 1
        single = check(forward, backward, params=values, timeout=10, with_repairs=False)
        assert single.grade == inside[0]["verdict"]
        if inside[0]["literal_criterion"] is not None:
            assert single.verdict.literal == inside[0]["literal_criterion"]
        if inside[0]["convex_regularizer"] is not None and single.verdict.convex is not None:
            assert single.verdict.convex == inside[0]["convex_regularizer"]


def read_ranges(text: str) -> list[Any]:
    """The alternatives of a range in words, as assumptions again."""
    return [read_assumptions(t.replace(" = ", " == ").split(" and ")) for t in text.split(" or ")]


def admitted(option: Any, values: dict[str, Fraction]) -> bool:
    return bool(option.admits({n: sp.Rational(v.numerator, v.denominator) for n, v in values.items()}))


def drawn(draw: random.Random, assumptions: Any) -> dict[str, Fraction]:
    """Rational values of all parameters in the range."""
    while True:
        values = {n: Fraction(draw.randint(-40, 40), draw.choice((1, 2, 3, 7, 8))) / 4 for n in assumptions.names}
        if admitted(assumptions, values):
            return values


# ---- T, P and r with parameters in them


@pytest.mark.parametrize("row", WHOLE, ids=lambda r: r[0])
def test_the_maps_with_parameters_compose_to_the_pair(row: Row) -> None:
    _, forward, backward, assume, _, _ = row
    answer = answered(forward, backward, assume)
    if answer["prox"] is None or answer["transform"] is None:
        return
    draw = random.Random(forward)
    exact = {n: sp.Rational(v.numerator, v.denominator) for n, v in drawn(draw, read_assumptions(assume)).items()}
    f = parse(forward, exact)
    p, t = parse(answer["prox"], exact), parse(answer["transform"], exact)
    for _ in range(8):
        point = sp.Rational(draw.randint(-300, 300), 97)
        if any(b == point for b in (*f.breaks, *p.breaks)):
            continue
        there, wanted = t(p(point)), f(point)
        assert there is not None
        assert wanted is not None
        assert abs(sp.N(there - wanted, 30)) < 1e-25
    # P minimises (w - x)^2/2 + r(w) over the values that P takes
    if answer["regularizer"]["largest"] is None:
        return
    r = parse(answer["regularizer"]["largest"], exact, allow_infinity=True)
    points = [sp.Rational(draw.randint(-300, 300), 97) for _ in range(5)]
    values = [p(x) for x in points]
    for x, w in zip(points, values, strict=True):
        best = (w - x) ** 2 / 2 + r(w)
        for v in values:
            assert sp.N(best - (v - x) ** 2 / 2 - r(v), 30) < 1e-25


def test_a_map_that_holds_on_a_part_of_the_range_says_so() -> None:
    answer = check("sign(x)", "a", assume="-1 <= a <= 1", timeout=30).as_dict()
    smooth = next(c for c in answer["cases"] if c["verdict"] == "smooth")
    assert smooth["range"] == "0 <= a <= 1"
    assert smooth["maps_for"] == "0 < a <= 1"  # P = sign(x)/a has no meaning at a = 0


# ---- identities that hold at one value only are no scaling


def family(text: str, cell: Cell) -> Family:
    return read(text, cell, {}, (sp.Integer(1), sp.Integer(0)))


def positive() -> Cell:
    return read_assumptions("a > 0").cells()[0]


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        ("tanh(a*x)", "1 - tanh(x)**2"),
        ("sign(x)", "1 + (a - 1)*x**2"),
        ("clip(x, -a, a)", BOX),
        ("clip(x, -1, a)", "1"),
        ("Piecewise((-a, x < 0), (1, x == 0), (a, True))", "1"),
        ("x", "Piecewise((1, x < 0), (a, True))"),
        ("a*x + x**3", "1 + x**2"),
        ("x + a", "Piecewise((1, x < 0), (2, x == 0), (1 + a, True))"),
        ("tanh(a*x) + x", "1"),
        ("sign(x)", "Piecewise((a, x < 0), (1, True))"),
    ],
)
def test_what_scales_at_one_value_only_is_not_taken_for_scaling(forward: str, backward: str) -> None:
    cell = positive()
    try:
        found = scaled(cell, family(forward, cell), family(backward, cell), (sp.Integer(1), sp.Integer(0)))
    except Split:  # the layout itself changes
        return
    assert found is None


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        ("tanh(a*x)", "a"),
        ("a*sign(x)", "a**2"),
        ("clip(x, -a, a)", "1"),
        ("x", "1 + a*x**4"),
        ("sign(x - a)", "exp(a)"),
    ],
)
def test_a_scaling_is_found_and_gives_the_pair_back(forward: str, backward: str) -> None:
    cell = positive()
    form = scaled(cell, family(forward, cell), family(backward, cell), (sp.Integer(1), sp.Integer(0)))
    assert form is not None
    value = sp.Rational(5, 3)
    at = dict.fromkeys(cell.coords, value)
    for text, m0, factor, constant in ((forward, form.forward, form.a, form.c), (backward, form.backward, form.b, 0)):
        again = PiecewiseMap.build(
            [(p / form.k + form.s).subs(at) for p in m0.breaks],
            [(factor * e.subs(X, form.k * (X - form.s)) + constant).subs(at) for e in m0.exprs],
            [None if v is None else (factor * v + constant).subs(at) for v in m0.values],
        )
        assert parse(text, {"a": value}).agrees(again)


def test_the_layout_is_refused_where_a_number_changes_its_place() -> None:
    cell = positive()
    with pytest.raises(Split) as cut:  # B = a against B = 1 on the two sides
        layout_of(cell, family("x", cell), family("Piecewise((1, x < 0), (a, True))", cell))
    assert cut.value.points == (1,)
    left, point, right = cell.cut(cut.value)
    assert [c.text() for c in (left, point, right)] == ["0 < a < 1", "a = 1", "a > 1"]


# ---- the signs behind it


def two() -> Cell:
    return read_assumptions(["a > 0", "b > 0"]).cells()[0]


def test_signs_of_constants_on_a_cell() -> None:
    cell = two()
    a, b = cell.values["a"], cell.values["b"]
    assert cell.sign(a + b**2) == 1
    assert cell.sign(a**2 - a * b + b**2) == 1  # after multiplication by powers of 1 + a + b
    assert cell.sign(-a * b) == -1
    assert cell.sign((a + b) ** 2 - a**2 - 2 * a * b - b**2) == 0
    with pytest.raises(Ratio):
        cell.sign(a - b)
    with pytest.raises(Split):
        cell.sign(a**2 - 2)


def test_a_polynomial_that_touches_zero_has_no_strict_sign_by_coefficients() -> None:
    t = sp.Symbol("t")
    assert one_sign(t**2 - t + 1, {t: (sp.Integer(0), sp.oo)}) == 1
    assert one_sign((t - 1) ** 2, {t: (sp.Integer(0), sp.oo)}) is None
    assert one_sign(1 - t, {t: (sp.Integer(0), sp.Integer(1))}) == 1
    assert one_sign(t, {t: (-sp.oo, sp.oo)}) is None


@pytest.mark.parametrize(
    ("expression", "ends", "value"),
    [
        (lambda x, a: x**2 + a, (-sp.oo, sp.oo), 1),
        (lambda x, a: x**2 - a, (-sp.oo, sp.oo), None),
        (lambda x, a: x**2 - 2 * a * x + a**2, (-sp.oo, sp.oo), 1),
        (lambda x, a: x - a, ("a", sp.oo), 1),
        (lambda x, a: x * (x - 2 * a), (0, "a"), -1),
        (lambda x, a: sp.tanh(a * x), (0, sp.oo), 1),
        (lambda x, a: 1 - sp.tanh(a * x) ** 2, (-sp.oo, sp.oo), 1),
        (lambda x, a: 1 + a + sp.cos(x), (-sp.oo, sp.oo), 1),
        (lambda x, a: 1 + a * sp.exp(-x), (-sp.oo, sp.oo), 1),
        (lambda x, a: 1 - a * sp.exp(-x), (-sp.oo, sp.oo), None),
        (lambda x, a: 1 + a * sp.cos(x) / (1 + a) + sp.exp(-a * x**2), (-sp.oo, sp.oo), 1),
        (lambda x, a: sp.exp(x) + a * x**2 + sp.cosh(x), (-sp.oo, sp.oo), 1),
    ],
)
def test_signs_that_hold_for_every_parameter(expression: Any, ends: Any, value: int | None) -> None:
    cell = positive()
    a = cell.values["a"]
    lo, hi = (a if e == "a" else sp.sympify(e) for e in ends)
    assert sign_of_family(cell, expression(X, a), lo, hi).value == value


def test_a_sign_that_depends_on_the_parameter_is_not_given() -> None:
    cell = positive()
    a = cell.values["a"]
    with pytest.raises(Split):
        sign_of_family(cell, X**2 - 2 * X + a, -sp.oo, sp.oo)
    with pytest.raises((Split, OutOfReach)):
        sign_of_family(cell, 1 + a * sp.sin(X**2), -sp.oo, sp.oo)


# ---- out of reach: the stated value, and the answer says so


def test_out_of_reach_the_stated_value_is_answered_and_named() -> None:
    answer = check("sign(x)*Abs(x)**p", "1", params={"p": 2}, assume="p > 0").as_dict()
    assert answer["verdict"] == "smooth"
    assert answer["holds_for"] == "the stated value p = 2 only: an exponent depends on a parameter"
    assert cases_of(answer) == {"p > 0": "undecided"}


def test_a_refutation_at_one_value_is_not_one_for_the_range() -> None:
    answer = check("x + a*sin(x**2)", "1", params={"a": 1}, assume="a > 0").as_dict()
    assert answer["verdict"] == "unprincipled"
    assert answer["holds_for"].startswith("the stated value a = 1 only")
    assert cases_of(answer) == {"a > 0": "undecided"}


def test_out_of_reach_without_a_value_asks_for_one() -> None:
    with pytest.raises(InputError, match=r"state a value to be checked, for example --param p=VALUE"):
        check("sign(x)*Abs(x)**p", "1", assume="p > 0")


def test_a_stated_value_in_one_of_several_cases() -> None:
    answer = check("sign(x)", "Piecewise((1, Abs(x) <= 1), (a, True))", params={"a": 1}, assume="a >= 0").as_dict()
    assert answer["verdict"] == "smooth"
    assert answer["holds_for"].startswith("a = 1; the verdict depends on a: ")


def test_no_time_is_an_open_question_not_a_verdict() -> None:
    with pytest.raises(InputError, match="could not be settled"):
        check_range(SS, SS_PRIME, assume="beta > 0", params={}, timeout=0.001)


# ---- the grammar of assumptions


@pytest.mark.parametrize(
    ("texts", "inside", "outside"),
    [
        ("beta > 0", ["1/7", "900"], ["0", "-1"]),
        ("0 < beta < 1", ["1/2"], ["0", "1", "2"]),
        ("beta >= 1/2", ["1/2", "3"], ["1/3"]),
        ("1 > beta", ["1/2", "-4"], ["1"]),
        ("beta != 0", ["-1", "1"], ["0"]),
        ("beta == 2", ["2"], ["1"]),
        ("-1 <= beta <= sqrt(2)", ["-1", "sqrt(2)"], ["3/2"]),
        (["beta > 0", "beta <= 3", "beta != 2"], ["1", "3"], ["2", "4"]),
        ("0 < 1/2 <= beta", ["1/2"], ["1/3"]),
    ],
)
def test_assumptions_are_read(texts: Any, inside: list[str], outside: list[str]) -> None:
    found = read_assumptions(texts)
    for value, expected in [*((v, True) for v in inside), *((v, False) for v in outside)]:
        exact = {"beta": parse_constant(value, "value")}
        assert found.admits(exact) is expected
        assert sum(c.contains(exact) for c in found.cells()) == expected


def test_chains_of_parameters_are_read() -> None:
    found = read_assumptions("0 < c1 <= c2 < 3")
    for c1, c2, expected in (("1", "2", 1), ("1", "1", 1), ("2", "1", 0), ("1", "3", 0), ("1/9", "29/10", 1)):
        exact = {"c1": parse_constant(c1, "value"), "c2": parse_constant(c2, "value")}
        assert found.admits(exact) is bool(expected)
        assert sum(c.contains(exact) for c in found.cells()) == expected


@pytest.mark.parametrize(
    ("texts", "sentence"),
    [
        ("beta", "--assume 'beta': a comparison was expected, for example beta > 0"),
        ("", "a comparison was expected"),
        ("beta = 2", "equality is written ==, at column 6"),
        ("beta >", "a name or a constant was expected at column 7"),
        ("> 0", "a name or a constant was expected at column 1"),
        ("beta > 0 <", "a name or a constant was expected at column 11"),
        ("x > 0", "x is the variable (column 1)"),
        ("0 < x", "x is the variable (column 5)"),
        ("beta > foo(1)", "unknown function 'foo'"),
        ("beta > 1 + gamma", "unknown name 'gamma' (give it with --param gamma=VALUE) at column 12"),
        ("beta > nan", "a finite real number was expected, not nan at column 8"),
        ("beta > oo", "oo is a value of regularizers only; a finite real was expected at column 8"),
        ("beta > 1/0", "division by zero"),
        ("beta > __import__('os')", "unknown function '__import__'"),
        ("2*beta > 1", "unknown name 'beta'"),
        ("beta > 0 and beta < 1", "is not part of the grammar at column 8"),
        ("1 < 0", "1 < 0 is false"),
        (["beta > 0", "beta < 0"], "no value of beta satisfies beta > 0 and beta < 0"),
        ("1 < beta < 1", "no value of beta satisfies"),
        (["beta == 1", "beta != 1"], "no value of beta satisfies"),
        (["a < b", "b < a"], "no values satisfy a < b and b < a"),
        ("a < a", "a is compared with itself"),
        ("a == b", "two parameters are compared with <, <=, > or >="),
        (["a < c", "b < c"], "parameters are compared in one chain only"),
        ("a" * 500, "at most 400 characters are read"),
        ([3], "text such as 'beta > 0' was expected, not int"),
    ],
)
def test_bad_assumptions_are_refused_in_one_sentence(texts: Any, sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        read_assumptions(texts)
    assert sentence in str(refusal.value)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(
    ("forward", "backward", "keywords", "sentence"),
    [
        ("x", "1", {"assume": "a > 0"}, "the parameter a occurs neither in the forward nor in the backward map"),
        ("a*x", "1", {"assume": "a > 0", "params": {"a": -1}}, "--param: a = -1 does not satisfy --assume a > 0"),
        ("a*x + b", "1", {"assume": "a > 0"}, "forward: unknown name 'b' (give it with --param b=VALUE)"),
        ("x/a", "1", {"assume": "a >= 0"}, "at a = 0, which the assumptions allow: forward: division by zero"),
        ("sqrt(a)*x", "1", {"assume": "a > -1"}, "at a = -1/2, which the assumptions allow: forward: no finite real"),
        ("a*x", "b", {"assume": ["a > 0", "b > 0"], "params": {"a": 1}}, "b has none"),
        (PiecewiseMap.of(X), "1", {"assume": "a > 0"}, "an expression as text was expected"),
        ("a*x +", "1", {"assume": "a > 0"}, "forward: not an expression"),
    ],
)
def test_bad_input_beside_assumptions(forward: Any, backward: str, keywords: Any, sentence: str) -> None:
    with pytest.raises(InputError) as refusal:
        check(forward, backward, **keywords)
    assert sentence in str(refusal.value)


# ---- the command


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = proxpair.main(["check", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_names_the_range(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "MD-tanh", "--assume", "beta > 0", "--json")
    assert code == 0
    answer = json.loads(out)
    assert answer["name"] == "MD-tanh"
    assert answer["assumptions"] == ["beta > 0"]
    assert answer["holds_for"] == "every beta with beta > 0"
    assert answer["prox"] == "tanh(beta*x)"
    assert answer["convex_when"] == "0 < beta <= 1"
    assert answer["convex_regularizer"] is None


def test_the_command_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "LeakySTE", "--assume", "leak >= 0")
    assert code == 1  # of the default 1/10
    assert "holds for             0 < leak < 1 or leak > 1; the verdict depends on leak" in out
    assert "case                  leak = 1: smooth" in out


def test_without_assumptions_nothing_is_added() -> None:
    assert not {"assumptions", "holds_for", "cases", "convex_when"} & set(check_entry("BNN", {}, 10.0).as_dict())


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("BNN", "--assume", "b > 0"), "--assume b: BNN has no such parameter (it has none)"),
        (("--batch", "-", "--assume", "b > 0"), "--assume takes one pair at a time"),
        (("MD-tanh", "--assume", "beta ="), "a name or a constant was expected"),
        (("MD-tanh", "--latex", "--json"), "--latex prints one decomposition"),
        (("MD-tanh", "--assume", "beta > 0", "--certificate", "c.json"), "--certificate"),
    ],
)
def test_the_command_refuses_in_one_sentence(
    capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...], sentence: str
) -> None:
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert sentence in err
    assert len(err.strip().splitlines()) == 1
