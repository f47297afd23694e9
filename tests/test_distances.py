"""Distances between pairs and the command `repair`: exact values by hand, enclosures against quadrature, mutants."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import proxpair
import theory.repairs
from theory import checking
from theory.catalogue import CATALOGUE
from theory.checking import check
from theory.commands import describe_object
from theory.commands_catalogue import _repair_lines, _repaired
from theory.constants import Constant
from theory.decision import decide
from theory.distances import distance, integral
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import X, enclose, to_float
from theory.pairs import QuantizerPair
from theory.parser import parse
from theory.repairs import WAYS, repairs
from verify.lowering import lower

Run = Callable[..., tuple[int, str, str]]


def pair(forward: str, backward: str) -> QuantizerPair:
    return QuantizerPair(parse(forward), parse(backward))


def ends(c: Constant) -> tuple[float, float]:
    assert c.bound is not None, c.reason
    return to_float(c.bound.low), to_float(c.bound.high)


# (first, second): sup F, sup B, rms F, rms B, same sign; by hand, on [-2, 2]
BY_HAND: list[tuple[tuple[str, str], tuple[str, str], tuple[str, str, str, str, str]]] = [
    (("sign(x)", "1"), ("sign(x)", "1"), ("0", "0", "0", "0", "1")),
    (("sign(x)", "1"), ("x", "1"), ("oo", "0", "sqrt(1/3)", "0", "1")),
    (("x", "1"), ("x", "x"), ("0", "oo", "0", "sqrt(7/3)", "1/2")),
    (("x", "1"), ("x", "Piecewise((1, Abs(x) <= 1), (0, True))"), ("0", "1", "0", "sqrt(1/2)", "1/2")),
    (("x", "x - 1"), ("x", "x + 1"), ("0", "2", "0", "2", "1/2")),
    (("tanh(x)", "1"), ("(exp(2*x) - 1)/(exp(2*x) + 1)", "1"), ("0", "0", "0", "0", "1")),
    (("tanh(x)", "1"), ("sign(x)", "2"), ("1", "1", "", "1", "1")),
    (("x", "x**2 - 1/4"), ("x", "1"), ("0", "oo", "0", "sqrt(343/240)", "3/4")),
]


@pytest.mark.parametrize(("first", "second", "expected"), BY_HAND)
def test_distances_by_hand(first: tuple[str, str], second: tuple[str, str], expected: tuple[str, ...]) -> None:
    d = distance(pair(*first), pair(*second))
    found = (d.sup_forward, d.sup_backward, d.mean_forward, d.mean_backward, d.same_sign)
    for c, text in zip(found, expected, strict=True):
        if text:
            assert c.value is not None
            assert sp.simplify(c.value - sp.sympify(text)) == 0 if text != "oo" else c.value == sp.oo


def test_the_mean_square_by_hand_is_an_integral() -> None:
    """The expected values above that are not obvious, from sympy: (x^2 - 1/4 - 1)^2 over [-2, 2]."""
    assert sp.integrate((X**2 - sp.Rational(5, 4)) ** 2, (X, -2, 2)) / 4 == sp.Rational(343, 240)


@pytest.mark.parametrize("name", [n for n, e in CATALOGUE.items() if e.verdict == "unprincipled"][:12])
def test_enclosures_agree_with_quadrature(name: str) -> None:
    """An independent midpoint rule on the lowered maps."""
    original = CATALOGUE[name].pair()
    if original.forward.windowed or original.backward.windowed:
        with pytest.raises(InputError, match="finitely many"):
            distance(original, original)
        return
    xs = (np.arange(400_000) + 0.5) / 100_000 - 2
    f, b = lower(original.forward)(xs), lower(original.backward)(xs)
    for r in repairs(original):
        d = distance(original, r.pair)
        g, c = lower(r.pair.forward)(xs), lower(r.pair.backward)(xs)
        for claimed, difference in ((d.mean_forward, f - g), (d.mean_backward, b - c)):
            low, high = ends(claimed)
            measured = math.sqrt(float(np.mean(difference**2)))
            assert low - 1e-4 * (1 + high) <= measured <= high + 1e-4 * (1 + high)
        for claimed, difference in ((d.sup_forward, f - g), (d.sup_backward, b - c)):
            assert float(np.max(np.abs(difference))) <= ends(claimed)[1] * (1 + 1e-12) + 1e-12
        low, high = ends(d.same_sign)
        assert low - 1e-4 <= float(np.mean(np.sign(b) == np.sign(c))) <= high + 1e-4


@settings(max_examples=25)
@given(
    st.lists(st.integers(-4, 4), min_size=1, max_size=4),
    st.lists(st.integers(-4, 4), min_size=1, max_size=4),
    st.sampled_from(["1", "1/2", "3"]),
)
def test_polynomials_by_sympy(p: list[int], q: list[int], half: str) -> None:
    e, g = (sum((c * X**i for i, c in enumerate(cs)), sp.Integer(0)) for cs in (p, q))
    w = sp.Rational(half)
    d = distance(pair(str(e), "1"), pair(str(g), "1"), w)
    assert d.mean_forward.value is not None
    assert sp.expand(d.mean_forward.value**2 - sp.integrate((e - g) ** 2, (X, -w, w)) / (2 * w)) == 0


def test_zeros_without_a_closed_form_are_enclosed() -> None:
    d = distance(pair("x", "x + exp(x) + sin(x)/9"), pair("x", "x*exp(x) - 1/2 + atan(x)/7"))
    low, high = ends(d.same_sign)
    xs = (np.arange(1_000_000) + 0.5) / 250_000 - 2
    same = np.sign(xs + np.exp(xs) + np.sin(xs) / 9) == np.sign(xs * np.exp(xs) - 0.5 + np.arctan(xs) / 7)
    assert 0 < high - low < 1e-5
    assert low - 1e-5 <= float(np.mean(same)) <= high + 1e-5


@pytest.mark.parametrize(
    ("text", "a", "b", "value"),
    [
        ("log(x)", 1, 3, 3 * math.log(3) - 2),
        ("sqrt(x)", 0, 4, 16 / 3),
        ("atan(x)", 0, 1, math.pi / 4 - math.log(2) / 2),
        ("exp(x)*sin(x)", 0, 2, 0.5 + math.exp(2) * (math.sin(2) - math.cos(2)) / 2),
    ],
)
def test_integrals_beside_branch_cuts(text: str, a: int, b: int, value: float) -> None:
    e = parse(f"Piecewise(({text}, x > 0), (0, True))").exprs[-1]
    ball = integral(lambda z: enclose(e, z), (e,), sp.Integer(a), sp.Integer(b))
    assert abs(float(ball.mid()) - value) <= float(ball.rad()) + 1e-12
    assert float(ball.rad()) < 1e-4


def test_a_divergent_integral_is_no_number() -> None:
    e = 1 / X
    with pytest.raises(Undecided):
        integral(lambda z: enclose(e, z), (e,), sp.Integer(0), sp.Integer(1))


def test_windows_are_positive() -> None:
    with pytest.raises(InputError, match="positive"):
        distance(pair("x", "1"), pair("x", "1"), sp.Integer(0))


# ---- levels of a staircase, transform from the backward map


@pytest.mark.parametrize(
    ("forward", "backward", "levels"),
    [
        ("sign(x)", "Piecewise((2 - 2*Abs(x), Abs(x) <= 1), (0, True))", ["-1", "1"]),
        (
            "clip(round(x), -1, 1)",
            "Piecewise((2 - Abs(x), Abs(x) < 2), (0, True))",
            ["-2 + sqrt(2)", "0", "2 - sqrt(2)"],
        ),
        ("clip(round(x), -2, 2)", "1 + Abs(x)", None),
        ("Heaviside(x, 1/2)", "exp(x)", None),
    ],
)
def test_levels_are_kept(forward: str, backward: str, levels: list[str] | None) -> None:
    original = pair(forward, backward)
    found = [r for r in repairs(original) if r.keeps == "levels"]
    assert found
    r = found[0]
    assert r.pair.forward.agrees(original.forward)
    prox = r.decomposition.prox
    assert prox is not None
    if levels is not None:
        assert [sp.simplify(e - sp.sympify(t)) for e, t in zip(prox.exprs, levels, strict=True)] == [0] * len(levels)
    transform = r.decomposition.transform
    assert transform is not None
    assert transform.compose(prox).agrees(original.forward)
    assert decide(r.pair).principled


def test_no_levels_where_the_transform_does_not_reach_them() -> None:
    assert not [r for r in repairs(pair("sign(x)", "exp(-x**2)/4")) if r.keeps == "levels"]


# ---- the command


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def runner(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = proxpair.main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return runner


def test_repair_lists_the_neighbours_nearest_first(run: Run) -> None:
    code, out, err = run("repair", "BNN+", "--json")
    assert (code, err) == (0, "")
    found = json.loads(out)
    assert found["verdict"] == "unprincipled"
    assert {r["keeps"] for r in found["repairs"]} == {"backward", "forward"}
    assert found["repairs"][0]["name"] == "BNN++"
    sizes = [
        float(r["distance"]["rms_forward"]["high"]) + float(r["distance"]["rms_backward"]["high"])
        for r in found["repairs"]
    ]
    assert sizes == sorted(sizes)
    for r in found["repairs"]:
        assert check(r["forward"], r["backward"], with_repairs=False).grade == r["verdict"]


def late(_: Any) -> Any:
    raise OutOfTime


def without(_: Any) -> Any:
    raise Undecided("no closed form")


@pytest.mark.parametrize("which", range(len(WAYS)))
def test_a_repair_that_time_did_not_allow_is_named(which: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that is lost may be the nearest, so the others are not the nearest for sure; one that is none is not lost."""
    name, keeps, _ = WAYS[which]
    for make, told in ((late, [name]), (without, [])):
        monkeypatch.setattr(theory.repairs, "WAYS", (*WAYS[:which], (name, keeps, make), *WAYS[which + 1 :]))
        assert check("sign(x)", "exp(-x**2)").as_dict()["repairs_unfinished"] == told
        _, answer, _ = _repaired((None, "sign(x)", "exp(-x**2)", None, sp.Integer(2), 20.0))
        assert answer["repairs_unfinished"] == told
    monkeypatch.undo()
    assert check("sign(x)", "exp(-x**2)").unfinished == ()


def test_with_no_time_for_repairs_all_are_open(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checking, "_REPAIR", 0.0)
    answer = check("sign(x)", "exp(-x**2)", with_theory=False)
    assert (answer.repairs, answer.unfinished) == ((), tuple(name for name, *_ in WAYS))
    assert check("sign(x)", "exp(-x**2)", with_repairs=False).unfinished == ()
    text = describe_object(answer.as_dict())
    assert text.count("it may be nearer") == len(WAYS)
    lines = "\n".join(_repair_lines({**answer.as_dict(), "name": "bell"}))
    assert lines.count("it may be nearer") == len(WAYS)


def test_the_window_moves_the_mean_squares_only(run: Run) -> None:
    near, far = (json.loads(run("repair", "ApproxSign", "--json", "--window", w)[1]) for w in ("1", "4"))
    a, b = (next(r for r in d["repairs"] if r["name"] == "BC")["distance"] for d in (near, far))
    assert a["sup_backward"] == b["sup_backward"]
    assert a["rms_backward"] != b["rms_backward"]


def test_a_principled_pair_needs_no_repair(run: Run) -> None:
    code, out, _ = run("repair", "BNN")
    assert code == 0
    assert "nothing to repair" in out


def test_repair_in_latex(run: Run) -> None:
    code, out, _ = run("repair", "ApproxSign", "--latex")
    assert code == 0
    assert "% BC" in out
    assert "\\" in out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        ((), "catalogue NAME"),
        (("BNM",), "did you mean BNN?"),
        (("BNN", "--forward", "x"), "either"),
        (("--forward", "x"), "both --forward EXPR and --backward EXPR"),
        (("BNN+", "--window", "0"), "--window: a positive number"),
        (("BNN+", "--window", "x"), "--window"),
        (("BNN+", "--json", "--latex"), "not both"),
        (("BNN+", "--param", "q=1"), "no such parameter"),
        (("--forward", "sin(", "--backward", "1"), "forward"),
        (("BNN+", "--timeout", "-1"), "--timeout"),
    ],
)
def test_bad_input_of_repair(run: Run, arguments: tuple[str, ...], part: str) -> None:
    code, out, err = run("repair", *arguments)
    assert (code, out) == (2, "")
    assert part in err
    assert err.count("\n") == 1
