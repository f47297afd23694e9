"""The second list of derived verdicts, and the proof methods that it called for, each with mutants they reject."""

from __future__ import annotations

import pytest
import sympy as sp
from near_misses import NEAR_MISSES, NearMiss
from truth import TRUTHS

from theory.analytic import (
    OO,
    _approached,
    _has_valley,
    _structural,
    cancelled,
    exp_rational,
    folds,
    hints,
    is_zero,
    limit_at,
    sign_at,
    sign_on,
    trig_rational,
    without_roots,
)
from theory.decision import _order_at, decide, unfolded
from theory.errors import Undecided
from theory.exact import X, sign_of
from theory.pairs import QuantizerPair
from theory.parser import parse


def read(text: str) -> sp.Expr:
    m = parse(text)
    assert not m.breaks
    return m.exprs[0]


@pytest.mark.parametrize("row", NEAR_MISSES, ids=lambda row: row.id)
def test_verdict_is_the_derived_one(row: NearMiss) -> None:
    v = decide(QuantizerPair(parse(row.forward), parse(row.backward)), budget=0.02)
    assert v.grade == row.verdict, v.reason
    assert (v.witness is not None) == (row.verdict == "unprincipled")


def test_the_list_is_new_and_balanced() -> None:
    assert len(NEAR_MISSES) >= 400
    assert len({r.id for r in NEAR_MISSES}) == len({(r.forward, r.backward) for r in NEAR_MISSES}) == len(NEAR_MISSES)
    assert not {(r.forward, r.backward) for r in NEAR_MISSES} & {(t.forward, t.backward) for t in TRUTHS}
    principled = sum(r.verdict in ("smooth", "lipschitz") for r in NEAR_MISSES)
    assert 0.4 <= principled / len(NEAR_MISSES) <= 0.65


# ---- proof methods: (expression, sign, strict), and mutants close to them with both signs

POSITIVE = [
    ("3 + 4*cos(x) + 2*cos(2*x)", False),
    ("3 + 1e-12 + 4*cos(x) + 2*cos(2*x)", True),
    ("1 + sin(2*x + 1)", False),
    ("5/4 + cos(x/2)*sin(x/3)", True),
    ("sin(2*x)*sin(x)*cos(x)", False),
    ("exp(sin(x)) - 0.3678", True),
    ("cosh(x) - x**2/2 - 1 + 1e-9", True),
    ("cos(x) - 1 + x**2/2 + 1e-12", True),
    ("x**2 + 2*sin(x) + 0.801", True),
    ("1 - erf(x)*tanh(x)", True),
    ("(pi/2)**2 - atan(x)**2", True),
    ("1 - tanh(x)**2 + 1e-9*exp(-(x - 50)**2)", True),
    ("2 + sin(x) + sin(sqrt(2)*x)", False),
]
MIXED = [
    "3 - 1e-12 + 4*cos(x) + 2*cos(2*x)",
    "1 - 1e-12 + sin(2*x + 1)",
    "3/4 + cos(x/2)*sin(x/3)",
    "sin(2*x)*sin(x)*cos(x) - 1e-9",
    "exp(sin(x)) - 0.3679",
    "cosh(x) - x**2/2 - 1 - 1e-9",
    "cos(x) - 1 + x**2/2 - 1e-12",
    "x**2 + 2*sin(x) + 0.8",
    "1 - 1.000001*erf(x)*tanh(x)",
    "2.4674 - atan(x)**2",
    "1 - tanh(x)**2 - 1e-9*exp(-(x - 50)**2)",
]


@pytest.mark.parametrize(("text", "strict"), POSITIVE)
def test_positive_functions_are_proved_positive(text: str, strict: bool) -> None:
    s = sign_on(read(text), -OO, OO)
    assert (s.value, s.strict) == (1, strict)
    t = sign_on(-read(text), -OO, OO)
    assert (t.value, t.strict) == (-1, strict)


@pytest.mark.parametrize("text", MIXED)
def test_their_mutants_are_refuted_by_exact_points(text: str) -> None:
    s = sign_on(read(text), -OO, OO)
    assert s.value is None
    assert sign_at(read(text), s.positive) == 1
    assert sign_at(read(text), s.negative) == -1


@pytest.mark.parametrize("k", [-3, 0, 2])
def test_periodic_functions_are_settled_on_any_long_interval(k: int) -> None:
    a, b = sp.Integer(7 * k), 7 * k + sp.Rational(13, 2)
    assert sign_on(read("1 + cos(x)"), a, b).value == 1
    s = sign_on(read("1 - 1e-9 + cos(x)"), a, b)
    assert s.value is None
    assert a < s.negative < b
    assert sign_at(read("1 - 1e-9 + cos(x)"), s.negative) == -1


def test_normal_form_of_trigonometric_expressions() -> None:
    form = trig_rational(read("sin(3*x)/(2 + cos(2*x))"))
    assert form is not None
    for t in (sp.Rational(1, 3), sp.Integer(-2)):
        value = (form.num.as_expr() / form.den.as_expr()).subs(X, t)
        direct = (sp.sin(3 * X) / (2 + sp.cos(2 * X))).subs(X, form.point(t))
        assert abs(sp.N(value - direct, 30)) < 1e-25
    assert trig_rational(read("x + sin(x)")) is None
    assert trig_rational(read("sin(x) + sin(sqrt(2)*x)")) is None
    assert trig_rational(read("sin(x) + sin(1)")) is None


def test_identities_are_proved_and_their_mutants_are_not() -> None:
    for text in ("sin(3*x)**2 + cos(3*x)**2 - 1", "cos(2*x) - 2*cos(x)**2 + 1", "sin(x)*cos(x) - sin(2*x)/2"):
        assert is_zero(read(text))
        assert not is_zero(read(text) + sp.Rational(1, 10**30) * sp.sin(X))
    assert not is_zero(read("tanh(1000000*x)**2 - 1"))
    assert is_zero(read("tanh(1000000*x) - 2*sigmoid(2000000*x) + 1"))


def test_a_valley_is_only_accepted_above_zero() -> None:
    f = read("cosh(x) - x**2/2 - 1")
    assert _has_valley(f + sp.Rational(1, 10**9), -OO, OO, 3)
    assert not _has_valley(f, -OO, OO, 3)
    assert not _has_valley(f - sp.Rational(1, 10**9), -OO, OO, 3)
    assert not _has_valley(read("x**4 - x**2 + 1"), -OO, OO, 3)  # two lowest points: another method's task


def test_bounds_by_form_are_sharp() -> None:
    assert _structural(read("1 - tanh(x)**3*erf(x)")) == (1, True)
    assert _structural(read("1 - sin(x)**3*cos(x)")) == (1, False)
    assert _structural(read("3/2 - atan(x)")) is None
    assert _structural(read("1 - 1.0000001*tanh(x)")) is None
    assert _structural(read("tanh(x) - 1")) == (-1, True)
    assert _structural(read("1 - 1/(1 + x**2)")) == (1, False)
    assert _structural(read("1 - 2/(1 + x**2)")) is None


def test_limits_that_sympy_gets_wrong() -> None:
    e = read_off_zero("(1 - tanh(1/x)**2)/x**2")
    for side in (-1, 1):
        assert limit_at(e, sp.Integer(0), side) == 0
    assert limit_at(read_off_zero("tanh(1/x)"), sp.Integer(0), -1) == -1
    assert limit_at(read_off_zero("atan(1/x)"), sp.Integer(0), 1) == sp.pi / 2
    assert limit_at(read_off_zero("sigmoid(-1/x)"), sp.Integer(0), 1) == 0


def read_off_zero(text: str) -> sp.Expr:
    m = parse(text)
    assert list(m.breaks) == [0]
    return m.exprs[1]


@pytest.mark.parametrize(
    ("text", "point", "value", "wrong"),
    [
        ("(1 - cos(x))/x**2", 0, sp.Rational(1, 2), [0, 1, OO, sp.Rational(501, 1000)]),
        ("1/(1 + log(Abs(x))**2)", 0, 0, [1, OO, sp.Rational(1, 1000)]),
        ("log(Abs(x))", 0, -OO, [0, OO, -300]),
        ("log(1 + exp(x)) - x", OO, 0, [1, OO, sp.Rational(1, 10**6)]),
        ("x*exp(-x)", OO, 0, [OO, 1]),
    ],
)
def test_enclosures_tell_a_limit_from_others(text: str, point: object, value: object, wrong: list[object]) -> None:
    e = parse(text).exprs[-1]
    at = sp.sympify(point)
    assert _approached(e, at, 1, sp.sympify(value))
    assert not any(_approached(e, at, 1, sp.sympify(other)) for other in wrong)


def test_hints_find_what_a_grid_misses() -> None:
    bump = read("1e-9 - exp(-(x + 200)**2/4)")
    assert sp.Integer(-200) in hints(bump, -OO, OO)
    assert sign_on(bump, -OO, OO).value is None
    assert sign_on(read("1e-9 - 1e-10*exp(-(x + 200)**2/4)"), -OO, OO).value == 1


def test_what_is_open_names_the_place() -> None:
    with pytest.raises(Undecided, match="between"):
        sign_on(read("2 + sin(x) + sin(sqrt(2)*x) - 1e-9*exp(-x**2)"), -OO, OO)


def test_equal_constants_inside_functions_are_recognised_and_near_ones_told_apart() -> None:
    root = sp.CRootOf(X**3 + X + 1, 0)
    one = sp.sinh(sp.log(1 + sp.sqrt(2)))
    tiny = sp.Rational(1, 10**90)
    equal = [
        sp.atan(1 + one) - sp.atan(2),
        sp.log(1 + sp.exp(-root - root**3)) - sp.log(1 + sp.E),
        sp.tanh(sp.sqrt(2) + sp.sqrt(3)) - sp.tanh(sp.sqrt(5 + 2 * sp.sqrt(6))),
        root**6 + 2 * root**4 + root**2 - 1,
    ]
    for c in equal:
        assert sign_of(c) == 0
        assert sign_of(c + tiny) == 1
    assert sign_of(sp.atan(1 + one + tiny) - sp.atan(2)) == 1
    assert sign_of(sp.tanh(-root - root**3 - tiny) - sp.tanh(1)) == -1


def test_staircases_far_from_the_origin_are_finite() -> None:
    for text in ("clip(floor(x), 100, 107)", "clip(round(x - 500), -2, 2)", "clip(floor(x/1000 + 1/2), 0, 3)"):
        m = parse(text)
        assert not m.windowed
    stairs = parse("clip(floor(x), 100, 107)")
    assert [stairs(c) for c in (0, 100, 101, sp.Rational(1035, 10), 107, 200)] == [100, 100, 101, 103, 107, 107]
    ties = parse("clip(round(x), 100, 103)")
    assert [ties(sp.Rational(k, 2)) for k in (199, 201, 203, 205, 207)] == [100, 100, 102, 102, 103]
    assert parse("floor(x)").windowed


def test_roots_with_irrational_coefficients() -> None:
    shifted = parse("sign((x - sqrt(2))**3 + x - sqrt(2))")
    assert list(shifted.breaks) == [sp.sqrt(2)]
    assert not parse("1/(1 + (x + log(3))**6)").breaks
    assert sign_of(parse("sign(x + sin(x - 5) - 5)").breaks[0] - 5) == 0
    with pytest.raises(Undecided):
        parse("sign(x**5 - sqrt(2)*x + pi)")


def test_roots_of_squares_lose_their_root_and_other_roots_keep_it() -> None:
    zero = sp.Integer(0)
    squares = {
        "sqrt(x**4 + 2*x**2 + 1)": X**2 + 1,
        "sqrt(2 + 2*cosh(x))": 2 * sp.cosh(X / 2),
        "1/sqrt(1 - tanh(x)**2)": sp.cosh(X),
        "sqrt(exp(2*x) + 2*exp(x) + 1)": sp.exp(X) + 1,
    }
    for text, root in squares.items():
        assert is_zero(without_roots(read(text), -OO, OO) - root)
        assert not is_zero(without_roots(read(text), -OO, OO) - root - sp.Rational(1, 10**30) * X)
    for text in ("sqrt(x**4 + 2*x**2 + 1 + 1e-30)", "sqrt(2 + 2.000001*cosh(x))", "sqrt(2 - cos(x))"):
        assert without_roots(read(text), -OO, OO) == read(text)
    w = sp.sqrt(X**2 - 2 * X + 1)
    assert folds(w, -OO, OO).points == (1,)
    assert folds(w, sp.Integer(1), OO).points == ()
    assert without_roots(w, -OO, OO) == w  # the sign of x - 1 is open there
    assert sp.expand(without_roots(w, -OO, sp.Integer(1)) + X - 1) == 0
    assert sp.expand(without_roots(w, zero, sp.Integer(1)) + X - 1) == 0
    assert sp.expand(without_roots(w, sp.Integer(1), OO) - X + 1) == 0
    pair = unfolded(QuantizerPair(parse("x"), parse("sqrt(x**2 - 2*x + 1)")))
    assert pair.backward.breaks == (1,)
    assert [pair.backward(c) for c in (-1, 1, 3)] == [2, 0, 2]


def test_half_angles_have_the_sign_of_their_arc() -> None:
    w = sp.sqrt(1 + sp.cos(X))
    for a in (-sp.pi, sp.pi, 3 * sp.pi):
        plain = without_roots(w, a, a + 2 * sp.pi)
        assert not any(p.exp == sp.Rational(1, 2) and p.has(X) for p in plain.atoms(sp.Pow))
        for k in (1, 2, 3):
            at = a + sp.Rational(k, 2) * sp.pi
            assert abs(sp.N((plain - w).subs(X, at), 30)) < 1e-25
    assert without_roots(w, sp.Integer(0), sp.Integer(4)) == w  # cos(x/2) changes its sign at pi


def test_quotients_are_cancelled_without_a_change_of_value() -> None:
    inner = sp.tanh(2 * X - 1)
    outer = inner / sp.sqrt(1 + inner**2)
    quotient = sp.diff(outer, X) * (1 + inner**2) ** sp.Rational(3, 2)
    short = cancelled(quotient)
    assert sp.expand(short - sp.diff(inner, X)) == 0
    assert sp.expand(cancelled(quotient + X / 10**9) - sp.diff(inner, X) - X / 10**9) == 0
    for e in (
        sp.log(1 + sp.exp(X)) ** 2 / (sp.log(1 + sp.exp(X)) * sp.exp(X)),
        4 * X / sp.sqrt(X + 5) + sp.sqrt(X + 5),
    ):
        assert abs(sp.N((cancelled(e) - e).subs(X, sp.Rational(7, 3)), 30)) < 1e-25


def test_orders_of_zeros_of_any_size_are_counted() -> None:
    zero, one = sp.Integer(0), sp.Integer(1)
    for e, order in (
        (X**64, 64),
        (X**40 * sp.sin(X) ** 30, 70),
        (X**40 * sp.sin(X) ** 30 / X, 69),
        (sp.expand((X**2 + X) ** 20), 20),
        ((X - sp.sin(X)) * sp.exp(X), 3),
        (sp.cosh(X), 0),
    ):
        assert _order_at(e, zero) == order
        assert _order_at(e, one) == 0
    assert _order_at((X - sp.sin(X)) / X, zero, below=1) == 2  # the pole may not take off from a capped order
    assert _order_at(X**64, zero, below=3) >= 3


def test_differences_of_values_have_the_sign_of_the_gap() -> None:
    assert _structural(read("tanh(x + 1) - tanh(x - 1)")) == (1, True)
    assert _structural(read("erf(x) - erf(x + 1e-9)")) == (-1, True)
    assert _structural(read("2*sigmoid(x + x**2) - 2*sigmoid(x)")) == (1, False)
    assert _structural(read("tanh(x + 1) - tanh(2*x)")) is None
    assert _structural(read("sigmoid(x + 1) - 1.000001*sigmoid(x)")) is None
    assert _structural(read("tanh(x + 1) - erf(x - 1)")) is None


def test_exponents_that_hardly_differ_do_not_become_huge_powers() -> None:
    assert exp_rational(read("exp(2*x) - exp(2.0000001*x)")) is None
    assert exp_rational(read("exp(2*x) - exp(2.01*x)")) is not None
    assert not is_zero(read("exp(2*x) - exp(2.0000001*x)"))
