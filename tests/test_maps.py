"""Maps against an evaluator of the grammar written here in plain Fractions, at random points and at breakpoints."""

from __future__ import annotations

import ast
import math
from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import example, given, settings
from hypothesis import strategies as st

from theory.errors import InputError, Undecided
from theory.exact import X, compare, less, rational_between, sign_of, to_float
from theory.maps import IDENTITY, PiecewiseMap
from theory.parser import parse
from theory.printing import to_latex, to_text

# ---- the independent side: Python's own arithmetic on Python's own syntax tree


class NoValue(Exception):
    """The expression has no finite value at the point."""


def value_of(text: str, x: Fraction) -> Fraction:
    return _value(ast.parse(text, mode="eval").body, x, text)


def _value(node: ast.expr, x: Fraction, text: str) -> Fraction:
    def of(n: ast.expr) -> Fraction:
        return _value(n, x, text)

    match node:
        case ast.Constant():
            return Fraction(ast.get_source_segment(text, node) or "")
        case ast.Name(id="x"):
            return x
        case ast.UnaryOp(op=ast.USub()):
            return -of(node.operand)
        case ast.BinOp():
            a, b = of(node.left), of(node.right)
            match node.op:
                case ast.Add():
                    return a + b
                case ast.Sub():
                    return a - b
                case ast.Mult():
                    return a * b
                case ast.Div() if b == 0:
                    raise NoValue
                case ast.Div():
                    return a / b
                case ast.Pow() if a == 0 and b < 0:
                    raise NoValue
                case ast.Pow():
                    return a ** int(b)
        case ast.Call(func=ast.Name(id="Piecewise")):
            for pair in node.args:
                assert isinstance(pair, ast.Tuple)
                if _holds(pair.elts[1], x, text):
                    return of(pair.elts[0])
            raise NoValue
        case ast.Call(func=ast.Name(id=name)):
            args = [of(a) for a in node.args]
            return _call(name, args)
    raise AssertionError(ast.dump(node))


def _call(name: str, args: list[Fraction]) -> Fraction:
    a = args[0]
    match name:
        case "sign":
            return Fraction((a > 0) - (a < 0))
        case "Abs":
            return abs(a)
        case "Min":
            return min(args)
        case "Max":
            return max(args)
        case "clip":
            return min(max(a, args[1]), args[2])
        case "Heaviside":
            return args[1] if a == 0 else Fraction(int(a > 0))
        case "round":
            return Fraction(round(a))
        case "floor":
            return Fraction(math.floor(a))
    raise AssertionError(name)


def _holds(node: ast.expr, x: Fraction, text: str) -> bool:
    match node:
        case ast.Constant(value=True):
            return True
        case ast.BoolOp():
            parts = [_holds(v, x, text) for v in node.values]
            return all(parts) if isinstance(node.op, ast.And) else any(parts)
        case ast.Compare():
            terms = [_value(n, x, text) for n in (node.left, *node.comparators)]
            compared = {
                ast.Lt: lambda a, b: a < b,
                ast.LtE: lambda a, b: a <= b,
                ast.Gt: lambda a, b: a > b,
                ast.GtE: lambda a, b: a >= b,
                ast.Eq: lambda a, b: a == b,
            }
            return all(compared[type(op)](a, b) for a, op, b in zip(terms, node.ops, terms[1:], strict=False))
    raise AssertionError(ast.dump(node))


# ---- random expressions

numbers = st.sampled_from(["0", "1", "2", "3", "1/2", "0.1", "2.5", "1/3", "7"])
signed = st.one_of(numbers, numbers.map(lambda n: f"-({n})"))
linear = st.tuples(signed, signed).map(lambda t: f"(({t[0]})*x + ({t[1]}))")
comparisons = st.sampled_from(["<", "<=", ">", ">=", "=="])
sides = st.one_of(linear, linear.map(lambda t: f"Abs{t}"))


@st.composite
def conditions(draw: st.DrawFn) -> str:
    plain = draw(st.tuples(sides, comparisons, signed).map(lambda t: f"{t[0]} {t[1]} {t[2]}"))
    kind = draw(st.integers(0, 3))
    if kind == 0:
        return plain
    if kind == 1:
        return f"{draw(signed)} {draw(st.sampled_from(['<', '<=']))} {draw(linear)} < {draw(signed)}"
    other = draw(st.tuples(sides, comparisons, signed).map(lambda t: f"{t[0]} {t[1]} {t[2]}"))
    return f"({plain}) {'and' if kind == 2 else 'or'} {other}"


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    return st.one_of(
        st.tuples(inner, st.sampled_from("+-*"), inner).map(lambda t: f"({t[0]} {t[1]} {t[2]})"),
        st.tuples(inner, numbers.filter(lambda n: n != "0")).map(lambda t: f"({t[0]})/({t[1]})"),
        st.tuples(st.sampled_from(["sign", "Abs"]), inner).map(lambda t: f"{t[0]}({t[1]})"),
        st.tuples(st.sampled_from(["Min", "Max"]), inner, inner, signed).map(
            lambda t: f"{t[0]}({t[1]}, {t[2]}, {t[3]})"
        ),
        st.tuples(inner, signed, signed).map(lambda t: f"clip({t[0]}, {t[1]}, {t[2]})"),
        st.tuples(inner, signed).map(lambda t: f"Heaviside({t[0]}, {t[1]})"),
        st.tuples(inner, conditions(), inner, conditions(), inner).map(
            lambda t: f"Piecewise(({t[0]}, {t[1]}), ({t[2]}, {t[3]}), ({t[4]}, True))"
        ),
        st.tuples(st.sampled_from(["round", "floor"]), linear, signed, signed).map(
            lambda t: f"clip({t[0]}({t[1]}), {t[2]}, {t[3]})"
        ),
    )


expressions = st.recursive(st.one_of(st.just("x"), linear, signed), grown, max_leaves=5)
points = st.fractions(min_value=-9, max_value=9, max_denominator=24)


def rational(v: Fraction) -> sp.Rational:
    return sp.Rational(v.numerator, v.denominator)


def fraction(c: sp.Rational) -> Fraction:
    return Fraction(int(c.p), int(c.q))


def agree(m: PiecewiseMap, text: str, at: Fraction) -> None:
    try:
        wanted = value_of(text, at)
    except NoValue:
        assert m(rational(at)) is None, (text, at)
        return
    got = m(rational(at))
    assert got is not None, (text, at)
    assert sign_of(got - rational(wanted)) == 0, (text, at)


def places(m: PiecewiseMap) -> list[Fraction]:
    """Rational breakpoints, points close to them, and one point of each piece."""
    found = []
    for b in m.breaks:
        if b.is_Rational:
            v = fraction(b)
            found += [v, v - Fraction(1, 10**9), v + Fraction(1, 10**9)]
    return found + [fraction(rational_between(a, b)) for a, b in m.ends]


@settings(max_examples=150)
@given(expressions, st.lists(points, min_size=3, max_size=6))
@example("clip(x, 1, -1)", [Fraction(0)])
@example("Heaviside(Abs(x) - 1, 1/3)", [Fraction(1), Fraction(-1)])
@example("clip(round(((-2)*x + (1/2))), -3, 3)", [Fraction(k, 4) for k in range(-9, 9)])
@example("Piecewise((x, 0 <= x < 1 or x == 2), (sign(x - 3), True))", [Fraction(k, 2) for k in range(-2, 8)])
def test_maps_agree_with_plain_fractions(text: str, at: list[Fraction]) -> None:
    try:
        m = parse(text)
    except Undecided:
        return  # a product of three or more moving factors may have roots without a closed form
    for v in [*at, *places(m)]:
        agree(m, text, v)


@settings(max_examples=100)
@given(expressions)
def test_what_is_printed_is_read_back(text: str) -> None:
    try:
        m = parse(text)
        printed = to_text(m)
    except Undecided:
        return
    assert parse(printed).agrees(m), printed
    assert to_latex(m)


@settings(max_examples=20)
@given(linear, st.sampled_from(["round", "floor"]), st.lists(points, min_size=4, max_size=8))
def test_windowed_maps_are_right_inside_their_window(line: str, steps: str, at: list[Fraction]) -> None:
    text = f"{steps}({line}) - sign({steps}({line}))*x"
    try:
        m = parse(text)
    except Undecided:
        return
    for v in at:
        if not m.windowed or (less(m.known_from, rational(v)) and less(rational(v), m.known_to)):
            agree(m, text, v)


@settings(max_examples=60)
@given(
    linear,
    st.sampled_from(["round", "floor"]),
    st.sampled_from(["Min(Max({s}, -3), 2)", "clip(2*{s} - 1, -5, 5)", "clip(-{s}, 0, 1)", "Max(Min({s}, 0), -2)/3"]),
    st.lists(st.fractions(min_value=-2000, max_value=2000, max_denominator=12), min_size=3, max_size=6),
)
def test_bounds_lift_the_window_rightly(line: str, steps: str, shape: str, at: list[Fraction]) -> None:
    text = shape.format(s=f"{steps}({line})")
    m = parse(text)
    if not m.windowed:
        for v in [*at, *places(m)]:
            agree(m, text, v)


def test_the_evaluator_sees_a_wrong_map() -> None:
    wrong = PiecewiseMap.build([0], [-1, 1], [1])
    with pytest.raises(AssertionError):
        agree(wrong, "sign(x)", Fraction(0))
    with pytest.raises(AssertionError):
        agree(PiecewiseMap.of(X), "round(x)", Fraction(1, 3))


# ---- text


@pytest.mark.parametrize(
    "text",
    [
        "sign(x)",
        "3*sign(x)",
        "clip(x, -1/2, 2)",
        "x**3 - x/7 + 1/3",
        "exp(-x**2)*sin(3*x) - cos(x)",
        "tanh(x/2) + erf(x) + atan(x) + sinh(x) + cosh(x) + sigmoid(2*x)",
        "sqrt(1 + x**2)",
        "(1 + x**2)**(-2/3)",
        "x/sqrt(1 + x**2)",
        "Piecewise((cos(x)**(-2), Abs(x) < pi/2), (0, True))",
        "Piecewise((sin(x)/cos(x), Abs(x) < 3/2), (sign(x), True))",
        "Piecewise((1, Abs(x) < 1), (x/x, x < 2), (1/(Abs(x) - 2), Abs(x) == 2), (3, True))",
        "1/(x**2 - 1)",
        "Piecewise((x**2, Abs(x) < 1), (1/(Abs(x) - 1), Abs(x) == 1), (1, True))",
        "exp(1)*x + pi*exp(x) + sqrt(2)",
        "2**x",
        "Piecewise((x, x < sqrt(2)), (log(x), True))",
        "Piecewise((1, x < pi), (2, x == pi), (3, True))",
        "Piecewise((exp(x), x <= log(3)), (x**2, x < 7), (tanh(x), True))",
        "Piecewise((1 - Abs(x), Abs(x) < 1), (0, True))",
        "Piecewise((2, Abs(x) < 1), (3, Abs(x) == 1), (5, True))",
        "Piecewise((0, x == 2), (x, True))",
        "1/x",
        "x/x",
        "Abs(x)**(1/3)",
        "sqrt(Abs(x))",
        "round(3*tanh(x))",
        "Piecewise((x, x < 0.1), (1e-30*x, True))",
    ],
)
def test_texts_are_read_back(text: str) -> None:
    m = parse(text)
    assert parse(to_text(m)).agrees(m)
    assert to_latex(m)


@pytest.mark.parametrize(
    "text",
    [
        "Piecewise((0, Abs(x) <= 1), (oo, True))",
        "Piecewise((0, Abs(x) == 1), (oo, True))",
        "Piecewise((0, x == -1), (1/2, x == 0), (oo, True))",
        "Piecewise((oo, x < 0), (x**2, True))",
        "Piecewise((sqrt(1 - x**2), Abs(x) <= 1), (oo, True))",
        "Piecewise((-log(1 - x**2), Abs(x) < 1), (oo, True))",
        "Piecewise(((1 + x)*log(1 + x), x > -1), (0, x == -1), (oo, True))",
        "Piecewise((-x - log(1 - x), 0 <= x < 1), (x - log(1 + x), -1 < x < 0), (oo, True))",
        "oo",
    ],
)
def test_regularizers_are_read_back(text: str) -> None:
    m = parse(text, allow_infinity=True)
    assert parse(to_text(m), allow_infinity=True).agrees(m)


def test_a_lost_tie_would_be_seen() -> None:
    m = parse("sign(x)")
    other = parse("Piecewise((-1, x < 0), (1, True))")
    assert not m.agrees(other)
    assert m.agrees(other, at_breaks=False)


def test_algebraic_numbers_without_a_radical_have_no_text() -> None:
    with pytest.raises(Undecided, match="no closed form in the grammar"):
        to_text(parse("sign(x**5 - x - 1)"))


# ---- the class itself


def test_floats_are_refused() -> None:
    with pytest.raises(InputError, match="floats are refused"):
        PiecewiseMap.build([0.5], [0, 1], [0])


def test_shapes_are_checked() -> None:
    with pytest.raises(InputError, match="one expression per piece"):
        PiecewiseMap.build([0], [1], [1])


def test_refining_changes_nothing() -> None:
    m = parse("Piecewise((sqrt(x), x > 1), (x, True))")
    fine = m.refine([sp.Integer(4), sp.Integer(1), sp.Rational(1, 2), sp.Integer(4)])
    assert fine.breaks == (sp.Rational(1, 2), 1, 4)
    assert fine.values == (sp.Rational(1, 2), 1, 2)
    assert fine.agrees(m)
    assert fine.simplified().breaks == m.breaks


def test_refining_where_there_is_no_value() -> None:
    m = PiecewiseMap.build([0], [sp.nan, X], [0]).refine([sp.Integer(-1)])
    assert m.values == (None, 0)


def test_composition() -> None:
    outer, inner = parse("clip(x, -1, 1)"), parse("2*x + sign(x)")
    assert outer.compose(inner).agrees(parse("clip(2*x + sign(x), -1, 1)"))
    assert inner.compose(outer).agrees(parse("2*clip(x, -1, 1) + sign(clip(x, -1, 1))"))
    assert IDENTITY.compose(inner).agrees(inner)
    with pytest.raises(Undecided):
        parse("Abs(sin(x))").compose(IDENTITY)


def test_windowed_maps_are_not_compared() -> None:
    with pytest.raises(Undecided, match="infinitely many"):
        parse("round(x)").agrees(parse("round(x)"))


# ---- exact constants


def test_integer_parts() -> None:
    assert rational_between(sp.pi * 10**100, sp.oo) > sp.pi * 10**100
    assert parse("floor(pi*1e100)").constant == int(sp.floor(sp.pi * 10**100))
    with pytest.raises(Undecided, match="too large"):
        parse("floor(exp(exp(exp(5))))")


def test_constants_that_agree_to_many_digits_are_told_apart() -> None:
    assert compare(sp.exp(sp.pi * sp.sqrt(163)), sp.Integer(262537412640768744)) < 0
    assert compare(sp.sqrt(2) + sp.sqrt(3), sp.sqrt(5 + 2 * sp.sqrt(6))) == 0
    assert sign_of(1 - sp.tanh(1000)) == 1
    assert sign_of(sp.tanh(sp.log(3) / 2) - sp.Rational(1, 2)) == 0


@settings(max_examples=100)
@example(Fraction(1), 1024)
@example(Fraction(-1), 1024)
@given(st.fractions(), st.integers(-1080, 1030))
def test_floats_are_correctly_rounded(v: Fraction, power: int) -> None:
    scaled = v * Fraction(2) ** power
    try:
        wanted = float(scaled)
    except OverflowError:
        wanted = math.inf if scaled > 0 else -math.inf
    assert to_float(rational(scaled)) == wanted


def test_floats_of_constants() -> None:
    assert to_float(sp.pi) == math.pi
    assert to_float(sp.exp(1000)) == math.inf
    assert to_float(-sp.exp(1000)) == -math.inf
    assert to_float(sp.exp(-1000)) == 0.0
    assert to_float(sp.oo) == math.inf
    assert to_float(sp.sqrt(2) * sp.sqrt(3) - sp.sqrt(6)) == 0.0
    near = sp.sqrt(2) - sp.Rational(141421356237309504880168872420969807856967187537694, 10**50)
    assert to_float(near) == pytest.approx(8.0731766797379907e-51, rel=1e-15)


@pytest.mark.parametrize("value", ["1 + 1", "__import__('os')", [1], None, 0.5, float("nan"), sp.true])
def test_only_exact_objects_are_taken_and_no_text_is_evaluated(value: object) -> None:
    with pytest.raises(InputError, match="expected"):
        PiecewiseMap.of(value)
    with pytest.raises(InputError, match="expected"):
        PiecewiseMap.of(1)(value)
