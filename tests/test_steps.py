"""Step-size formulas: hand-derived answers, neighbours that must differ, bad input, and numbers that may refute."""

from __future__ import annotations

import json
import math
from typing import Any, NamedTuple

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import proxpair
from theory.errors import InputError
from theory.steps import T as STEP
from theory.steps import _Context, at_step, decide_steps, largest, parse_steps

Y, N, U = "proved", "refuted", "undecided"


class Truth(NamedTuple):
    """A formula, its order, eta -> 0, sum = oo, sum of squares < oo, ratio -> 0, the rate, eta <= 1/L."""

    formula: str
    order: str | None
    zero: str
    total: str
    squares: str
    ratio: str
    rate: str | None
    below: str
    why: str


R = Truth
TRUTHS = (
    R("c", "1", N, Y, N, N, "O(1)", "c <= 1/L", "T c^2/(T c) = c"),
    R("0.1", "1", N, Y, N, N, "O(1)", "L <= 10", "the same with a number"),
    R("c/sqrt(t)", "1/sqrt(t)", Y, Y, N, Y, "O(log(T)/sqrt(T))", "c <= 1/L", "sum 2 sqrt(T), squares log T"),
    R("c/t", "1/t", Y, Y, Y, Y, "O(1/log(T))", "c <= 1/L", "log T and pi^2/6"),
    R("c/(t + a)", "1/t", Y, Y, Y, Y, "O(1/log(T))", "c <= (a + 1)/L", "a shift changes no order"),
    R("a/(b + c*t)", "1/t", Y, Y, Y, Y, "O(1/log(T))", "a <= (b + c)/L", "a and b swap their roles"),
    R("c/t**2", "t**(-2)", Y, N, Y, N, "O(1)", "c <= 1/L", "the sum is pi^2/6"),
    R("c/t**(3/4)", "t**(-3/4)", Y, Y, Y, Y, "O(T**(-1/4))", "c <= 1/L", "sum T^(1/4), squares converge"),
    R("c/t**(1/4)", "t**(-1/4)", Y, Y, N, Y, "O(T**(-1/4))", "c <= 1/L", "sqrt(T)/T^(3/4)"),
    R("c/t**(1/2 + 1/1000)", "t**(-501/1000)", Y, Y, Y, Y, "O(T**(-499/1000))", "c <= 1/L", "just square summable"),
    R("c/t**(1001/1000)", "t**(-1001/1000)", Y, N, Y, N, "O(1)", "c <= 1/L", "just summable"),
    R("c/t**p", "t**(-p)", Y, U, U, U, None, "c <= 1/L", "p <= 1, p > 1/2, p <= 1"),
    R("c/(t + a)**p", "t**(-p)", Y, U, U, U, None, "c <= (a + 1)**p/L", "the same"),
    R("c*log(t)/t", "log(t)/t", Y, Y, Y, Y, "O(log(T)**(-2))", "c <= 3/(L*log(3))", "log(3)/3 > log(2)/2"),
    R("c/log(t + 1)", "1/log(t)", Y, Y, N, Y, "O(1/log(T))", "c <= log(2)/L", "both sums T over logs"),
    R("c/(sqrt(t)*log(t + 1))", "1/(sqrt(t)*log(t))", Y, Y, Y, Y, "O(log(T)/sqrt(T))", "c <= log(2)/L", "1/(t log^2)"),
    R("c/(t*log(t + 1))", "1/(t*log(t))", Y, Y, Y, Y, "O(1/log(log(T)))", "c <= log(2)/L", "log log T diverges"),
    R("c/(t*log(t + 1)**2)", "1/(t*log(t)**2)", Y, N, Y, N, "O(1)", "c <= log(2)**2/L", "-1/log t converges"),
    R("c/(t*log(t + 1)**(11/10))", "1/(t*log(t)**(11/10))", Y, N, Y, N, "O(1)", "c <= log(2)**(11/10)/L", "11/10 > 1"),
    R(
        "c/(t*log(t + 2)*log(log(t + 2)))",
        "1/(t*log(t)*log(log(t)))",
        Y,
        Y,
        Y,
        Y,
        None,
        "c <= log(3)*log(log(3))/L",
        "log log log T",
    ),
    R("c*q**t", "exp(t*log(q))", Y, N, Y, N, "O(1)", "c <= 1/(L*q)", "c q/(1 - q)"),
    R("c*0.9**t", "exp(t*log(9/10))", Y, N, Y, N, "O(1)", "c <= 10/(9*L)", "9 c"),
    R("c*1.1**t", "exp(t*log(11/10))", N, Y, N, N, "O(exp(T*log(11/10)))", "never: the steps are unbounded", "grows"),
    R("c*exp(-t/a)/sqrt(t)", "exp(-t/a)/sqrt(t)", Y, N, Y, N, "O(1)", "c <= exp(1/a)/L", "geometric in exp(-1/a)"),
    R("c*exp(-sqrt(t))", "exp(-sqrt(t))", Y, N, Y, N, "O(1)", "c <= exp(1)/L", "2 (1 + sqrt t) exp(-sqrt t) -> 0"),
    R("c*q**floor(t/N)", "exp(t*log(q)/N)", Y, N, Y, N, "O(1)", "c <= 1/(L*q**floor(1/N))", "step decay"),
    R("c*t", "t", N, Y, N, N, "O(T)", "never: the steps are unbounded", "T^3/T^2"),
    R("c*sqrt(t)", "sqrt(t)", N, Y, N, N, "O(sqrt(T))", "never: the steps are unbounded", "T^2/T^(3/2)"),
    R("c/(1 + exp(-t))", "1", N, Y, N, N, "O(1)", "c <= 1/L suffices", "tends to c from below"),
    R("c*(1 + 1/t)", "1", N, Y, N, N, "O(1)", "c <= 1/(2*L)", "tends to c from above"),
    R("c*log(1 + 1/t)", "1/t", Y, Y, Y, Y, "O(1/log(T))", "c <= 1/(L*log(2))", "telescopes to log(T + 1)"),
    R("c*sqrt(t + 1) - c*sqrt(t)", "1/sqrt(t)", Y, Y, N, Y, "O(log(T)/sqrt(T))", "c <= 1/(L*(-1 + sqrt(2)))", "tele"),
    R("c/t + d/sqrt(t)", "1/sqrt(t)", Y, Y, N, Y, "O(log(T)/sqrt(T))", "L <= 1/(c + d)", "the slower term leads"),
    R("c*(t - 2)**2/t**3", "1/t", Y, Y, Y, Y, "O(1/log(T))", "c <= 1/L", "0 at t = 2, else like 1/t"),
    R("Min(c, d/sqrt(t))", "1/sqrt(t)", Y, Y, N, Y, "O(log(T)/sqrt(T))", "L <= 1/Min(c, d)", "capped"),
    R("Max(c/t, d/sqrt(t))", "1/sqrt(t)", Y, Y, N, Y, "O(log(T)/sqrt(T))", "L <= 1/Max(c, d)", "the larger order"),
    R(
        "Piecewise((c, t <= 1000), (c/sqrt(t), True))",
        "1/sqrt(t)",
        Y,
        Y,
        N,
        Y,
        "O(log(T)/sqrt(T))",
        "c <= 1/L",
        "later",
    ),
    R("Piecewise((c/10, t <= 5), (c, t <= 100), (c/t, True))", "1/t", Y, Y, Y, Y, "O(1/log(T))", "c <= 1/L", "warm"),
    R("Piecewise((c, t < 10), (0, True))", None, Y, N, Y, N, None, "c <= 1/L", "finitely many steps"),
    R("c/2*(1 + cos(pi*mod(t, N)/N))", "1", N, Y, N, N, "O(1)", "c <= 1/L", "c at every multiple of N"),
    R("cosine(c, N)", "1", N, Y, N, N, "O(1)", "c <= 1/L", "the named form of that"),
    R("cosine(c, 10)", "1", N, Y, N, N, "O(1)", "c <= 1/L", "c at t = 10"),
    R("cosine(c, N)/sqrt(t)", "1/sqrt(t)", Y, Y, N, Y, "O(log(T)/sqrt(T))", "c <= 1/L suffices", "decaying restarts"),
    R("cosine(c, 7)/t**2", "t**(-2)", Y, N, Y, N, "O(1)", "c <= 1/L suffices", "decaying too fast"),
    R(
        "eta_min + (c - eta_min)*(1 + cos(pi*mod(t, 50)/50))/2",
        "1",
        N,
        Y,
        N,
        N,
        "O(1)",
        "L <= 1/Max(c, eta_min) suffices",
        "SGDR with a floor",
    ),
    R("c*(1 + cos(pi*t/7))", "1", N, Y, N, N, "O(1)", "c <= 1/(2*L)", "period 14, 0 at t = 7, 2c at t = 14"),
    R("c*(2 + cos(t))/sqrt(t)", "1/sqrt(t)", Y, Y, N, Y, "O(log(T)/sqrt(T))", "not settled", "between c and 3c"),
    R("c*mod(t, 3)/t", "1/t", Y, Y, Y, Y, "O(1/log(T))", "c <= 1/(2*L) suffices", "two of three steps"),
    R("c*(1 + sin(t))/t", None, U, U, U, U, None, "not settled", "how near sin(t) comes to -1 is not known"),
)


@pytest.mark.parametrize("r", TRUTHS, ids=[r.formula for r in TRUTHS])
def test_formulas_are_decided_as_derived(r: Truth) -> None:
    s = decide_steps(r.formula)
    d = s.as_dict()
    assert json.loads(json.dumps(d)) == d
    assert d["order"] == r.order
    answers = [d[k]["answer"] for k in ("tends_to_zero", "sum_diverges", "squares_summable", "ratio_vanishes")]
    assert answers == [r.zero, r.total, r.squares, r.ratio]
    assert d["rate"]["order"] == r.rate
    assert d["at_most_1_over_L"].startswith(r.below)
    assert d["nonnegative"]["answer"] == Y
    assert all(d[k]["why"] and "\n" not in d[k]["why"] for k in ("sum_diverges", "ratio_vanishes"))


CONDITIONS = {"sum_diverges": "p <= 1", "squares_summable": "p > 1/2", "ratio_vanishes": "p <= 1"}


@pytest.mark.parametrize("key", CONDITIONS)
def test_symbolic_exponents_give_the_condition(key: str) -> None:
    assert decide_steps("c/t**p").as_dict()[key]["why"] == f"it holds exactly when {CONDITIONS[key]}"
    with_log = decide_steps("c/t**p*log(t + 1)").as_dict()
    assert with_log[key]["why"] == f"it holds exactly when {CONDITIONS[key]}"
    damped = {"sum_diverges": "p < 1", "squares_summable": "p >= 1/2", "ratio_vanishes": "p < 1"}
    twice = decide_steps("c/(t**p*log(t + 1)**2)").as_dict()
    assert twice[key]["why"] == f"it holds exactly when {damped[key]}"


def test_parameters_make_symbols_numbers() -> None:
    assert decide_steps("c/t**p", {"p": sp.Rational(3, 4)}).squares_summable.answer == Y
    assert decide_steps("c/t**p", {"p": sp.Rational(1, 2)}).squares_summable.answer == N
    assert decide_steps("rate/t", {"rate": sp.Integer(2)}).below(sp.Symbol("L", positive=True), "L") == "L <= 1/2"
    with pytest.raises(InputError, match="unknown name 'rate'"):
        decide_steps("rate/t")


def test_assumptions_are_stated() -> None:
    assert decide_steps("c*q**t").assumptions == ("0 < q < 1",)
    assert decide_steps("cosine(c, N)").assumptions == ("N a positive integer",)
    assert decide_steps("c/sqrt(t)").assumptions == ()


@pytest.mark.parametrize(
    ("formula", "words"),
    [
        ("", "a formula in t was expected"),
        ("0", "not 0 throughout"),
        ("1/t - 1/t", "not 0 throughout"),
        ("-c", "not negative, but it is -1 at t = 1"),
        ("c*(1 - t/100)", "at t = 101"),
        ("c*(1/2 - 1/t)", "at t = 1"),
        ("c*(1 - t/100000)", "at t = 1000000"),
        ("c/(t - 1)", "no finite real value at t = 1"),
        ("c/(t - 5)**2", "no finite real value at t = 5"),
        ("c/log(t)", "no finite real value at t = 1"),
        ("c/(sqrt(t)*log(t))", "no finite real value at t = 1"),
        ("sqrt(t - 3)", "no finite real value at t = 1"),
        ("log(t - 2)", "no finite real value at t = 1"),
        ("c/floor(t/10)", "no finite real value at t = 1"),
        ("c*cos(pi*t/3)", "not negative"),
        ("c*mod(t, 2) - c/3", "not negative"),
        ("c/0", "division by zero"),
        ("c/(t - t)", "division by zero"),
        ("x", "not on x"),
        ("c/foo", "unknown name 'foo'"),
        ("sqrtt(t)", "unknown function 'sqrtt'"),
        ("c/sqrt", "a function needs its arguments"),
        ("sqrt(t, 2)", "sqrt takes 1 argument, 2 given"),
        ("t**t", "not in both"),
        ("c^t", "powers are written **"),
        ("c//t", "not part of the grammar"),
        ("t**1000", "up to 64"),
        ("c/t)", "unbalanced"),
        ("c; t", "not part of the grammar"),
        ("__import__('os')", "unknown function"),
        ("c.real", "Attribute is not part"),
        ("c if t else 1", "IfExp is not part"),
        ("[c]", "List is not part"),
        ("mod(t/2, 3)", "mod(t, N)"),
        ("mod(t, 2.5)", "positive integer"),
        ("mod(t, t)", "positive integer"),
        ("floor(sqrt(t))", "floor(t/N)"),
        ("Piecewise((c, t <= 3))", "must be True"),
        ("Piecewise((c, t > 3), (1, True))", "t <= n or t < n"),
        ("Piecewise(c, 1)", "pairs"),
        ("oo", "unknown name"),
        ("nan", "unknown name"),
        ("c*" + "1" * 500, "digits"),
        ("(" * 90 + "t" + ")" * 90, "deep"),
        ("c + " * 1000 + "t", "characters"),
    ],
)
def test_bad_formulas_get_one_sentence(formula: str, words: str) -> None:
    with pytest.raises(InputError) as refusal:
        decide_steps(formula)
    sentence = str(refusal.value)
    assert words in sentence
    assert sentence.startswith("--steps")
    assert "\n" not in sentence


def test_zero_steps_are_allowed_where_others_are_not_zero() -> None:
    assert decide_steps("c*log(t)/t").nonnegative.answer == Y
    assert decide_steps("Piecewise((0, t <= 100000000), (c/t, True))").sum_diverges.answer == Y


def test_a_formula_whose_sign_is_not_proved_says_so() -> None:
    s = decide_steps("c/t + d*(t - 2)**3/t**4 + c*d/t**6 + 9*d/t**4")
    assert s.nonnegative.answer in (Y, U)
    assert s.nonnegative.why


# ---- numbers may refute


VALUES = {"c": 1, "a": 3, "b": 2, "d": 2, "q": sp.Rational(9, 10), "N": 6, "p": sp.Rational(3, 4), "eta_min": 1}
NUMERIC = [r for r in TRUTHS if r.order is not None and "p" not in r.formula.replace("pi", "").replace("exp", "")]


def numbers(e: Any, count: int) -> list[float]:
    symbols = {s: sp.sympify(VALUES[s.name]) for s in e.free_symbols - {STEP}}
    return [float(at_step(e, n, symbols)) for n in range(1, count + 1)]


@pytest.mark.parametrize("r", NUMERIC, ids=[r.formula for r in NUMERIC])
def test_the_order_and_the_largest_step_fit_the_numbers(r: Truth) -> None:
    """Over two windows of steps far out, the largest eta/g stays between constants; no step exceeds the largest."""
    s = decide_steps(r.formula)
    assert s.order is not None
    etas = numbers(s.expression, 240)
    symbols = {x: sp.sympify(VALUES[x.name]) for x in s.order.free_symbols - {STEP}}
    g = sp.lambdify(STEP, s.order.subs(symbols), "math")
    if "log(log" not in r.formula:
        early = max(etas[n - 1] / g(n) for n in range(110, 125))
        late = max(etas[n - 1] / g(n) for n in range(225, 240))
        assert 0.5 < late / early < 2
    if s.largest not in (None, sp.oo):
        top = float(s.largest.subs({x: sp.sympify(VALUES[x.name]) for x in s.largest.free_symbols}).doit())
        assert max(etas) <= top * (1 + 1e-12)
        if s.largest_attained:
            assert max(etas) == pytest.approx(top)


def test_a_wrong_order_would_be_seen() -> None:
    etas = numbers(parse_steps("c/t"), 240)
    ratio = (etas[229] * math.sqrt(230)) / (etas[114] * math.sqrt(115))
    assert not 0.75 < ratio < 1.5


@given(
    st.fractions(min_value="1/8", max_value=2, max_denominator=8),
    st.integers(-2, 2),
    st.fractions(min_value="1/8", max_value=4, max_denominator=8),
)
@settings(max_examples=25)
def test_powers_and_logarithms_follow_the_integral_test(p: Any, q: int, a: Any) -> None:
    """c/((t + a)^p log(t + 2)^q): the sum diverges iff p < 1 or p = 1 and q <= 1; the squares with 2p and 2q."""
    d = decide_steps(f"c/((t + {a})**({p})*log(t + 2)**({q}))").as_dict()
    diverges = p < 1 or (p == 1 and q <= 1)
    squares = not (2 * p < 1 or (2 * p == 1 and 2 * q <= 1))
    assert d["sum_diverges"]["answer"] == (Y if diverges else N)
    assert d["squares_summable"]["answer"] == (Y if squares else N)
    assert d["tends_to_zero"]["answer"] == Y
    assert d["ratio_vanishes"]["answer"] == (Y if diverges else N)


def test_the_largest_step_of_a_periodic_product_is_a_bound() -> None:
    bound, attained = largest(parse_steps("cosine(c, N)/sqrt(t)"), _Context(frozenset()))
    assert (str(bound), attained) == ("c", False)


# ---- the command line


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = proxpair.main(["check", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_check_judges_steps(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = run(capsys, "BC", "--steps", "c/sqrt(t)")
    assert code == 0
    assert "sum eta = oo proved, sum eta^2/sum eta -> 0 proved" in out
    assert "O(log(T)/sqrt(T))" in out
    code, out, _ = run(capsys, "--forward", "x", "--backward", "1", "--steps", "c/t**2", "--json")
    assert code == 0
    assert json.loads(out)["steps"]["ratio_vanishes"]["answer"] == "refuted"
    code, out, _ = run(capsys, "BNN+", "--steps", "c", "--json")
    assert code == 1
    assert json.loads(out)["steps"]["formula"] == "c"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (("BC", "--steps", "c/(t - 1)"), "no finite real value at t = 1"),
        (("BC", "--steps", "eta"), "unknown name 'eta'"),
        (("BC", "--steps", ""), "a formula in t was expected"),
        (("--batch", "-", "--steps", "c"), "neither --assume nor --batch"),
    ],
)
def test_bad_steps_exit_with_2(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], sentence: str) -> None:
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert sentence in err
    assert err.count("\n") == 1
