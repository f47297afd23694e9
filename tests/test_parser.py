"""The reader: what is refused, with which sentence, and that what is read is exact."""

from __future__ import annotations

import ast
import re
import time
from fractions import Fraction
from typing import Any

import pytest
import sympy as sp

from theory.errors import InputError, Undecided
from theory.exact import X
from theory.maps import PiecewiseMap
from theory.parser import (
    MAX_DEPTH,
    MAX_DIGITS,
    MAX_TEXT,
    RESERVED,
    check_param_name,
    parse,
    parse_constant,
    parse_param,
)

REFUSED = {
    "__import__('os').system('id')": "only functions of the grammar can be called",
    "(x": "unbalanced brackets",
    "x)": "unbalanced brackets",
    "x))((": "unbalanced brackets",
    "[x)": "not an expression",
    "1/0": "division by zero",
    "0/0": "division by zero",
    "1/(x - x)": "division by zero",
    "0**-1": "division by zero",
    "x**x**x**x**99999": "exponents are read up to 64",
    "9**9**9**9": "exponents are read up to 64",
    "x**65": "exponents are read up to 64",
    "(x**64)**2": "exponents are read up to 64",
    "(x + 1)**(1/65)": "exponents are read up to 64",
    "2**2000": "exponents are read up to 64",
    "foo(x)": "unknown function 'foo'",
    "tan(x)": "unknown function 'tan'",
    "x(1)": "unknown function 'x'",
    "nan": "a finite real number was expected, not nan",
    "-inf": "a finite real number was expected, not inf",
    "float('nan')": "unknown function 'float'",
    "oo": "oo is a value of regularizers only",
    "x + oo": "oo is a value of regularizers only",
    "x.real": "an attribute",
    "lambda: 1": "a lambda",
    "[x for x in y]": "a comprehension",
    "(x for x in y)": "a comprehension",
    "{x: x for x in y}": "a comprehension",
    "{x for x in y}": "a comprehension",
    "(x := 1)": ":=",
    "f'{x}'": "text",
    "b'1'": "a real decimal number was expected, not bytes",
    "'1'": "a real decimal number was expected, not str",
    "1j": "a real decimal number was expected, not complex",
    "True": "a real decimal number was expected, not bool",
    "None": "a real decimal number was expected, not NoneType",
    "...": "a real decimal number was expected, not ellipsis",
    "1_000": "a decimal number was expected, not '1_000'",
    "0x10": "a decimal number was expected, not '0x10'",
    "0777": "not an expression",
    "1e1e1": "not an expression",
    "9" * (MAX_DIGITS + 1): "a number of more than 400 digits",
    "9" * 5000: "a number of more than 400 digits",
    "0." + "1" * 500: "a number of more than 400 digits",
    "1e400": "a number of more than 400 digits",
    "1e-400": "a number of more than 400 digits",
    "1e99999999999": "a number of more than 400 digits",
    "*".join(["9" * 390] * 11): "digits arises",
    "x*" + "*".join(["9" * 390] * 11): "digits arises",
    "x\u00b2": "the character '\\xb2'",
    "\u00e9": "the character '\\xe9'",
    "\U0001d465": "is not part of the grammar",
    "": "nothing was given",
    " \t\n ": "nothing was given",
    "\0": "the character '\\x00'",
    "x\0": "the character '\\x00'",
    "x # y": "the character '#'",
    "x; x": "the character ';'",
    "x \\": "the character",
    "x\nx": "not an expression",
    "x = 1": "not an expression",
    "x if x else 1": "if-else",
    "x, x": "a tuple outside a Piecewise",
    "x < 1": "a comparison outside a Piecewise",
    "x and x": "and/or outside a Piecewise",
    "x[0]": "a subscript",
    "[x]": "a list",
    "{x}": "a set",
    "{1: x}": "a dictionary",
    "~x": "not or ~",
    "not x": "not or ~",
    "x @ x": "the operator MatMult",
    "x // 2": "the operator FloorDiv",
    "x % 2": "the operator Mod",
    "x ^ 2": "powers are written **",
    "x & 1": "the operator BitAnd",
    "x**x": "an exponent must be a constant",
    "0**x": "an exponent must be a constant",
    "(-2)**x": "an exponent must be a constant",
    "x**pi": "an exponent must be rational",
    "(-1)**(1/2)": "a fractional power of a negative number",
    "sqrt(-1)": "no finite real value",
    "log(0)": "no finite real value",
    "log(x)": "no finite real value for x between -oo and 0",
    "x**(1/2)": "no finite real value for x between -oo and 0",
    "1/Heaviside(x, 0)": "no finite real value",
    "sign(*x)": "plain arguments",
    "sign(x=1)": "plain arguments",
    "sign()": "sign takes 1 argument, 0 given",
    "clip(x)": "clip takes 3 arguments, 1 given",
    "Min()": "needs at least one argument",
    "Heaviside(x)": "Heaviside takes 2 arguments",
    "Heaviside(x, x)": "the second argument of Heaviside must be a constant",
    "sign": "a function needs its arguments",
    "beta*x": "unknown name 'beta' (give it with --param beta=VALUE)",
    "sign(x)(x)": "only functions of the grammar can be called",
    "Piecewise()": "needs at least one (expression, condition)",
    "Piecewise(x)": "pairs (expression, condition)",
    "Piecewise((x,))": "pairs (expression, condition)",
    "Piecewise((x, x))": "a condition (a comparison, and/or, or True)",
    "Piecewise((x, 1))": "a condition (a comparison, and/or, or True)",
    "Piecewise((x, not x > 0), (0, True))": "a condition (a comparison, and/or, or True)",
    "Piecewise((x, x > 0))": "a Piecewise that does not cover it",
    "Piecewise((1, x != 0), (0, True))": "<, <=, >, >= or ==",
    "Piecewise((1, x is 0), (0, True))": "<, <=, >, >= or ==",
    "Piecewise((1, x**2 > 1), (0, True))": "linear in x",
    "Piecewise((1, sin(x) > 0), (0, True))": "linear in x",
    "Piecewise((1, round(x) > 0), (0, True))": "linear in x",
    "(" * 100_000: f"at most {MAX_TEXT} characters",
    "(" * (MAX_DEPTH + 1) + "x" + ")" * (MAX_DEPTH + 1): "80 deep",
    "-" * 5000 + "x": "nested too deeply",
    "+" * 20_000 + "x": "nested too deeply",
    "2**" * 400 + "x": "nested too deeply",
    "x+" * 16_000 + "x": "nested too deeply",
}


@pytest.mark.parametrize("text", REFUSED, ids=lambda t: ascii(t[:30]))
def test_refused_in_one_sentence_without_much_work(text: str) -> None:
    start = time.process_time()  # waiting for a busy machine is no work
    with pytest.raises(InputError, match=re.escape(REFUSED[text])) as caught:
        parse(text, what="forward")
    assert time.process_time() - start < 2
    sentence = str(caught.value)
    assert sentence.startswith("forward: ")
    assert "\n" not in sentence
    assert len(sentence) < 400


def test_a_text_is_expected() -> None:
    with pytest.raises(InputError, match="text was expected, not int"):
        parse(3)  # type: ignore[arg-type]  # the point of the test


def test_columns_count_from_one_in_the_given_text() -> None:
    for text, column in {
        "foo(x)": 1,
        "x + foo(x)": 5,
        "   x + nan": 8,
        "\t(x": 2,
        "x + 1/(2 - 2)": 8,
        "x ? 1": 3,
    }.items():
        with pytest.raises(InputError, match=f"at column {column}($|:)"):
            parse(text)


def test_python_warnings_about_the_text_stay_inside() -> None:
    with pytest.raises(InputError):
        parse("Piecewise((1, 1 is 1), (0, True))")
    with pytest.raises(InputError):
        parse("1if 1else 2")


# ---- what is read


def constant(text: str) -> sp.Expr:
    return parse_constant(text, "constant")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.1", Fraction(1, 10)),
        ("0.1 + 0.2", Fraction(3, 10)),
        ("1e-3", Fraction(1, 1000)),
        ("1.50E+2", Fraction(150)),
        (".5", Fraction(1, 2)),
        ("5.", Fraction(5)),
        ("00", Fraction(0)),
        ("0.1000000000000000055511151231257827021181583404541015625", Fraction(0.1)),
        ("123456789012345678901234567890", Fraction(123456789012345678901234567890)),
        ("1e300*1e-300", Fraction(1)),
        ("1e399", Fraction(10) ** 399),
        ("--+-2", Fraction(-2)),
        ("-2**2", Fraction(-4)),
        ("2**-2", Fraction(1, 4)),
        ("2**3**2", Fraction(512)),
        ("4**(1/2)", Fraction(2)),
        ("1 - 2 - 3", Fraction(-4)),
        ("8/4/2", Fraction(1)),
        ("sign(-3) + sign(0)*5 + sign(1/7)", Fraction(0)),
        ("Heaviside(0, 1/3)", Fraction(1, 3)),
        ("Heaviside(-1e-9, 7)", Fraction(0)),
        ("Heaviside(2, 7)", Fraction(1)),
        ("round(0.5) + 10*round(1.5) + 100*round(2.5)", Fraction(220)),
        ("round(-0.5) + 10*round(-1.5) + 100*round(-2.5)", Fraction(-220)),
        ("round(2.5000000001)", Fraction(3)),
        ("floor(-0.5) + 10*floor(0.5) + 100*floor(-2)", Fraction(-201)),
        ("Abs(-2/3)", Fraction(2, 3)),
        ("Min(3, 1, 2) + 10*Max(3, 1, 2, 5)", Fraction(51)),
        ("Min(4)", Fraction(4)),
        ("clip(7, -1, 2)", Fraction(2)),
        ("clip(-7, -1, 2)", Fraction(-1)),
        ("clip(1/2, -1, 2)", Fraction(1, 2)),
    ],
)
def test_constants_are_exact(text: str, value: Fraction) -> None:
    got = constant(text)
    assert got.is_Rational
    assert Fraction(int(got.p), int(got.q)) == value


def test_clip_with_crossed_bounds_is_the_upper_bound() -> None:
    """clip(x, a, b) = Min(Max(x, a), b), so b wins where a > b, as in numpy and torch."""
    assert parse("clip(x, 1, -1)").constant == -1


def test_bounds_of_clip_may_be_maps() -> None:
    m = parse("clip(2*x, -1, Abs(x))")
    assert [m(c) for c in (-5, sp.Rational(1, 4), 3)] == [-1, sp.Rational(1, 4), 3]


@pytest.mark.parametrize(
    ("condition", "inside"),
    [
        ("x < 1", lambda v: v < 1),
        ("1 >= x", lambda v: v <= 1),
        ("x == 1", lambda v: v == 1),
        ("-1 < x <= 1", lambda v: -1 < v <= 1),
        ("2 >= x > 0 >= -1", lambda v: 0 < v <= 2),
        ("Abs(x) < 1", lambda v: abs(v) < 1),
        ("Abs(x) >= 1", lambda v: abs(v) >= 1),
        ("Abs(2*x - 1) <= 3", lambda v: abs(2 * v - 1) <= 3),
        ("Abs(x) == 1", lambda v: abs(v) == 1),
        ("Abs(x) < 0", lambda v: False),
        ("Abs(x) <= 0", lambda v: v == 0),
        ("x < 0 or x > 1 and x < 2", lambda v: v < 0 or 1 < v < 2),
        ("(x < 0 or x > 1) and x < 2", lambda v: (v < 0 or v > 1) and v < 2),
        ("x == 0 or x == 1", lambda v: v in (0, 1)),
        ("1 < 2 and x > 0", lambda v: v > 0),
        ("2 < 1 or x > 0", lambda v: v > 0),
        ("-3*x + 1 > 1/2", lambda v: -3 * v + 1 > Fraction(1, 2)),
        ("x < x", lambda v: False),
    ],
)
def test_conditions(condition: str, inside: object) -> None:
    m = parse(f"Piecewise((7, {condition}), (x, True))")
    for v in (Fraction(n, 12) for n in range(-30, 31)):
        exact = sp.Rational(v.numerator, v.denominator)
        assert m(exact) == (7 if inside(v) else exact), v  # type: ignore[operator]


def test_the_first_branch_that_holds_wins() -> None:
    m = parse("Piecewise((1, x < 2), (2, x < 1), (3, x == 2), (4, True), (5, True))")
    assert [m(c) for c in (0, 2, 3)] == [1, 3, 4]


def test_a_branch_hides_what_has_no_value() -> None:
    m = parse("Piecewise((sqrt(x), x > 0), (log(1 - x), True))")
    assert m(4) == 2
    assert m(0) == 0
    assert m(-1) == sp.log(2)


def test_isolated_points_without_a_value_are_read() -> None:
    assert parse("1/x")(0) is None
    assert parse("x/x")(0) is None


def test_oo_is_read_for_regularizers_only() -> None:
    m = parse("Piecewise((0, Abs(x) <= 1), (oo, True))", allow_infinity=True)
    assert m(2) is sp.oo
    assert m(1) == 0


def test_parameters_are_exact_values() -> None:
    m = parse("beta*x + beta_2", {"beta": sp.Rational(1, 3), "beta_2": sp.sqrt(2)})
    assert m.exprs == (X / 3 + sp.sqrt(2),)


# ---- parameters


@pytest.mark.parametrize(
    "text", ["beta", "beta:2", "=2", " =2", "2a=1", "a b=1", "\u03b2=1", *(f"{n}=2" for n in sorted(RESERVED))]
)
def test_parameters_that_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="--param expects name=value with a free name"):
        parse_param(text)


@pytest.mark.parametrize(
    "text", ["beta=", "beta=x", "beta=oo", "beta=nan", "beta=1/0", "beta=2=3", "beta=gamma", "beta=sign(x)"]
)
def test_values_that_are_refused(text: str) -> None:
    with pytest.raises(InputError, match=r"^--param beta: "):
        parse_param(text)


def test_a_parameter_is_read() -> None:
    assert parse_param(" beta = 1/3 ") == ("beta", sp.Rational(1, 3))
    assert parse_param("_b2=sqrt(2)") == ("_b2", sp.sqrt(2))


@pytest.mark.parametrize("name", ["x", "sign", "pi", "lambda", "", "2a", "a-b", 3, None])
def test_names_in_python_are_checked(name: object) -> None:
    with pytest.raises(InputError, match="parameter"):
        check_param_name(name)


# ---- size


def sizes() -> dict[str, str]:
    steps = ", ".join(f"({k}, x < {k})" for k in range(63))
    powers = ", ".join(f"(x**{1 + k % 5} + {k}/7, x < {k - 30})" for k in range(63))
    nested = "x"
    for k in range(30):
        nested = f"Piecewise(({nested}, x < {k}), (x + {k}, True))"
    return {
        "8 kB sum": "x" + "+x" * 4096,
        "8 kB product": "x" + "*1" * 4096,
        "8 kB of numbers": "+".join(["0." + "123456789" * 20] * 48) + "+x",
        "blanks": "x" + " " * 9000 + "+ 1",
        "64 steps": f"Piecewise({steps}, (63, True))",
        "64 polynomials": f"Piecewise({powers}, (x, True))",
        "nested Piecewise": nested,
        "nested clip": "clip(" * 40 + "x" + ", -1, 1)" * 40,
        "nested Min and Max": "Min(1, Max(-1, " * 39 + "x" + "))" * 39,
        "Max of 64 lines": "Max(" + ", ".join(f"{k}*x - {k * k}" for k in range(64)) + ")",
        "sum of 100 signs": "+".join(f"sign(x - {k})" for k in range(100)),
        "sum of 64 moduli": "+".join(f"Abs(x - {k}/3)" for k in range(64)),
        "80 brackets": "(" * MAX_DEPTH + "x" + ")" * MAX_DEPTH,
        "80 signs of sign": "-" * 80 + "x",
        "round to 8 bits": "clip(round(127*x), -127, 127)/127",
    }


@pytest.mark.parametrize("name", sizes())
def test_large_inputs_are_read(name: str) -> None:
    text = sizes()[name]
    start = time.process_time()
    m = parse(text)
    assert isinstance(m, PiecewiseMap)
    assert time.process_time() - start < 5


def test_the_recursion_limit_is_put_back() -> None:
    import sys

    before = sys.getrecursionlimit()
    parse("x" + "+x" * 4096)
    with pytest.raises(InputError):
        parse("x+" * 16_000 + "x")
    assert sys.getrecursionlimit() == before


# ---- infinitely many breakpoints


def test_a_bound_makes_a_staircase_finite() -> None:
    m = parse("clip(round(x), -2, 2)")
    assert m.breaks == tuple(sp.Rational(k, 2) for k in (-3, -1, 1, 3))
    assert m.exprs == (-2, -1, 0, 1, 2)
    assert m.values == (-2, 0, 0, 2)
    assert not m.windowed


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("clip(-round(x), -1, 1)", "-clip(round(x), -1, 1)"),
        ("clip(2*floor(x) + 1, -3, 3)", "Piecewise((-3, x < -1), (-1, x < 0), (1, x < 1), (3, True))"),
        ("clip(floor(round(x)/3), -1, 1)", "Piecewise((-1, x < -1/2), (0, x <= 5/2), (1, True))"),
        ("clip(floor(exp(x)), -1, 2)", "Piecewise((0, x < 0), (1, x < log(2)), (2, True))"),
        ("Min(floor(Abs(x)), 1)", "Piecewise((0, Abs(x) < 1), (1, True))"),
        ("Min(Max(floor(x), 0), 1)", "Piecewise((0, x < 1), (1, True))"),
        ("0*round(x)", "0"),
        ("Piecewise((round(x), Abs(x) < 1), (0, True))", "Piecewise((-1, -1 < x < -1/2), (1, 1/2 < x < 1), (0, True))"),
    ],
)
def test_staircases_under_bounds(text: str, same: str) -> None:
    m = parse(text)
    assert not m.windowed
    assert m.agrees(parse(same))


@pytest.mark.parametrize(
    "text", ["round(x)", "floor(x)", "x - floor(x)", "sign(sin(x))", "Abs(sin(x))", "floor(x**2)", "round(x**5)"]
)
def test_without_a_bound_a_window_is_held(text: str) -> None:
    m = parse(text)
    assert m.windowed
    with pytest.raises(Undecided, match="outside the window"):
        m(10**6)
    with pytest.raises(Undecided):
        str(m)


def test_the_window_of_a_far_turning_point() -> None:
    """The staircase of a parabola with its vertex outside the usual window is not cut off at the window."""
    m = parse("clip(round((x + 100)**2/100), 0, 3)")
    assert [m(c) for c in (-100, -50, -103, -500, 0, 500)] == [0, 3, 0, 3, 3, 3]


def test_zeros_outside_the_window_are_not_denied() -> None:
    m = parse("sign(Piecewise((sin(x), x < 1000), (1, True)))")
    assert m.known_to <= 32


def test_a_text_is_parsed_again_where_the_interpreter_miscounts(monkeypatch: pytest.MonkeyPatch) -> None:
    made, calls = ast.parse, []

    def parse_late(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == 1:
            raise SystemError("AST constructor recursion depth mismatch")
        return made(*args, **kwargs)

    monkeypatch.setattr(ast, "parse", parse_late)
    assert parse("x + 1").exprs == (X + 1,)
    assert len(calls) == 2
