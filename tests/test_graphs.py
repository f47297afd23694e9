"""Exact monotone graphs: inversion, shear, sums with the identity, composition, restriction, readings, values."""

from __future__ import annotations

from typing import Any

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.errors import InputError, Undecided
from theory.exact import Certified, X, compare, enclose, precision, sign_of, to_float
from theory.graphs import GraphPiece, MonotoneGraph, arc_or_flat, vertical
from theory.implicit import enclose_to, isolate, root_between, solve_increasing
from theory.inverse import invert
from theory.maps import OO, PiecewiseMap
from theory.parser import parse
from theory.printing import expression_text
from theory.symbolic import MU, edge, sign, solve

HALF = sp.Rational(1, 2)


def graph(text: str) -> MonotoneGraph:
    return MonotoneGraph.of(parse(text))


STEPS = "Piecewise((-1, x < -1/2), (0, x <= 1/2), (1, True))"
SOFT = "sign(x)*Max(Abs(x) - 1/2, 0)"
MAPS = ["x", "sign(x)", "clip(x, -1, 1)", "tanh(x)", "x/(1 + Abs(x))", SOFT, "x**3 + x", STEPS, "exp(x)"]


# --------------------------------------------------------------------------- operations


@pytest.mark.parametrize("text", MAPS)
def test_inversion_twice_is_the_identity(text: str) -> None:
    g = graph(text)
    assert g.inverse().inverse().agrees(g)
    g.check()


def test_inversion_swaps_flats_and_jumps_and_keeps_gaps() -> None:
    inverse = graph("sign(x)").inverse()
    assert [(q.kind, q.filled) for q in inverse.pieces] == [("vertical", True), ("flat", False), ("vertical", True)]
    with pytest.raises(InputError, match="no value at x = 0"):
        inverse.values(sp.Integer(0))
    here = inverse.restrict(sp.Integer(-2), sp.Integer(2))
    assert [q.x for q in here.verticals] == [-1, 1]
    with pytest.raises(InputError, match="not on the whole line"):
        inverse.to_map()


@pytest.mark.parametrize("text", ["tanh(x)", "x/(1 + Abs(x))", "clip(x, -1, 1)", "sign(x)*Max(Abs(x) - 1/2, 0)"])
def test_the_resolvent_of_the_inverse_is_the_shear(text: str) -> None:
    # (P^mu')^-1 = id + k (P^-1 - id) = k (P^-1 + (1 - k)/k id)
    g, k = graph(text), sp.Rational(3, 4)
    by_sum = g.inverse().plus_identity((1 - k) / k)
    scaled = MonotoneGraph(tuple(GraphPiece(q.kind, q.x, k * q.p, q.lo, q.hi) for q in by_sum.pieces))
    assert scaled.inverse().agrees(g.shear(k))
    assert g.change_mu(sp.Integer(4), sp.Integer(3)).agrees(g.shear(k))


@given(st.fractions(sp.Rational(1, 5), 5, max_denominator=7), st.fractions(sp.Rational(1, 5), 5, max_denominator=7))
@settings(max_examples=20)
def test_shears_compose(a: Any, b: Any) -> None:
    k, m = (sp.Rational(c.numerator, c.denominator) for c in (a, b))
    for text in ("clip(x, -1, 1)", "sign(x)*Max(Abs(x) - 1/2, 0)/2", "x/3 + 1"):
        assert graph(text).shear(k).shear(m).agrees(graph(text).shear(k * m))


def test_a_shear_that_turns_back_names_the_point() -> None:
    for text, where in (("clip(2*x, -1, 1)", "x = -1/2"), ("sign(x)", "p = -1"), ("3*x", "from x = -oo")):
        g = graph(text) if text != "sign(x)" else graph(text).smallest()
        with pytest.raises(InputError, match="turns back") as refused:
            g.shear(sp.Integer(3))
        assert where in str(refused.value)
    with pytest.raises(InputError, match="mu must stay positive"):
        graph("x").shear(sp.Integer(0))
    with pytest.raises(InputError, match="mu must be positive, not -1"):
        graph("x").change_mu(sp.Integer(-1), sp.Integer(1))
    with pytest.raises(InputError, match="turns back"):
        graph("tanh(x)").plus_identity(sp.Integer(-1))


@pytest.mark.parametrize(
    ("outer", "inner", "result"),
    [
        ("sign(x)", "tanh(x)", "sign(x)"),
        ("tanh(x)", "x**3 + x", "tanh(x**3 + x)"),
        ("sign(x)*Max(Abs(x) - 1/2, 0)", "sign(x)*Max(Abs(x) - 1/2, 0)", "sign(x)*Max(Abs(x) - 1, 0)"),
        ("sign(x)*Max(Abs(x) - 1/2, 0)", "sign(x)", "sign(x)/2"),
        ("clip(x, -1, 1)", "3*x + 1", "clip(3*x + 1, -1, 1)"),
        (STEPS, "x/2", "Piecewise((-1, x < -1), (0, x <= 1), (1, True))"),
        ("x**3", "Piecewise((x, x < 0), (x + 1, True))", "Piecewise((x**3, x < 0), ((x + 1)**3, True))"),
    ],
)
def test_composition(outer: str, inner: str, result: str) -> None:
    assert graph(outer).compose(graph(inner)).agrees(graph(result))


def test_composition_with_a_graph_that_has_no_closed_form_over_x() -> None:
    cube_root = graph("x**3 + x").inverse()
    assert cube_root.compose(graph("2*x")).inverse().agrees(graph("(x**3 + x)/2"))


def test_composition_refuses_what_is_not_monotone_and_what_has_no_value() -> None:
    with pytest.raises(InputError, match="the outer map jumps at 0, where the inner map is flat"):
        graph("sign(x)").compose(graph("sign(x)*Max(Abs(x) - 1/2, 0)"))
    with pytest.raises(InputError, match=r"the outer map lives on \[-1, 1\] only"):
        graph("tanh(x)").inverse().compose(graph("2*x"))


def test_a_composition_over_a_gap_keeps_its_two_images() -> None:
    both = graph("tanh(x)").compose(graph("sign(x)"))
    ((x, low, high),) = both.gaps
    assert (x, low, high) == (0, -sp.tanh(1), sp.tanh(1))
    whole = graph("tanh(x)").compose(graph("sign(x)").smallest())
    assert whole.gaps == ()


def test_restriction_cuts_arcs_flats_and_keeps_jumps() -> None:
    g = graph("Piecewise((x, x < 0), (1, x < 2), (x, True))")
    part = g.restrict(-HALF, sp.Integer(3))
    assert (part.pieces[0].from_x, part.pieces[0].from_p, part.pieces[-1].to_p) == (-HALF, -HALF, 3)
    assert part.verticals == g.verticals
    assert g.restrict(sp.Integer(0), sp.Integer(0)).pieces == g.verticals[:1]
    with pytest.raises(InputError, match="is empty"):
        g.restrict(sp.Integer(2), sp.Integer(1))
    with pytest.raises(InputError, match="nothing of the map"):
        graph("tanh(x)").inverse().restrict(sp.Integer(2), sp.Integer(3))


def test_both_readings_of_a_jump() -> None:
    g = graph("sign(x)")
    assert g.gaps == ((0, -1, 1),)
    assert g.largest().agrees(g)
    assert g.smallest().gaps == ()
    assert not g.smallest().agrees(g)
    assert g.values(sp.Integer(0)).filled is False
    assert g.smallest().values(sp.Integer(0)).filled is True
    assert str(g.to_map("lower")) == "Piecewise((-1, x <= 0), (1, True))"
    assert str(g.to_map("upper")) == "Piecewise((-1, x < 0), (1, True))"
    with pytest.raises(InputError, match="lower or the upper"):
        g.to_map("middle")


@pytest.mark.parametrize("text", MAPS)
def test_the_map_comes_back_from_its_graph(text: str) -> None:
    assert graph(text).to_map().agrees(parse(text), at_breaks=False)


def test_a_map_without_a_closed_form_has_values_but_no_text() -> None:
    root = graph("x**3 + x").inverse()
    with pytest.raises(Undecided, match="no closed form"):
        root.to_map()
    assert root.values(sp.Integer(2)).points[0].exact == 1
    (value,) = root.values(sp.Integer(1), 40).points
    f = X**3 + X - 1
    assert f.subs(X, value.lo) <= 0 <= f.subs(X, value.hi)
    assert value.hi - value.lo <= sp.Rational(1, 10**40)


def test_floats_broken_chains_and_nothing_are_refused() -> None:
    with pytest.raises(InputError, match="floats are refused"):
        MonotoneGraph((arc_or_flat(sp.Float(0.5), -OO, OO),))
    with pytest.raises(InputError, match="at least one piece"):
        MonotoneGraph(())
    broken = MonotoneGraph((arc_or_flat(X, -OO, sp.Integer(0)), arc_or_flat(X + 1, sp.Integer(0), OO)))
    with pytest.raises(InputError, match=r"a piece ends at \(0, 0\) and the next starts at \(0, 1\)"):
        broken.check()
    turned = MonotoneGraph((arc_or_flat(-X, -OO, OO),))
    with pytest.raises(InputError, match="turns back"):
        turned.check()
    wave = MonotoneGraph((arc_or_flat(X**3 - X, -OO, OO),))
    with pytest.raises(InputError, match="turns back at x = "):
        wave.check()
    with pytest.raises(Undecided, match="infinitely many"):
        graph("round(x)")


def test_graphs_show_in_notebooks() -> None:
    latex = graph("sign(x)")._repr_latex_()
    assert r"\left\{-1,\ 1\right\} & x = 0" in latex
    assert r"\left[-1,\ 1\right]" in graph("sign(x)").smallest()._repr_latex_()
    assert r"s^{3} + s = x" in graph("x**3 + x").inverse()._repr_latex_()
    assert graph("x")._repr_html_().count("<tr>") == 2
    assert r"\varnothing" in graph("sign(x)").inverse()._repr_latex_()


# --------------------------------------------------------------------------- closed inverses


@pytest.mark.parametrize(
    ("e", "lo", "hi"),
    [
        (sp.log(1 + X) / 2 - sp.log(1 - X) / 2, -1, 1),
        (sp.sin(X) / sp.cos(X), -sp.pi / 2, sp.pi / 2),
        (X**3, 0, OO),
        (-((-X) ** sp.Rational(1, 3)), -OO, 0),
        (X / (1 - X), 0, 1),
        (3 * sp.log(X) + 2, 0, OO),
    ],
)
def test_closed_inverses(e: Any, lo: Any, hi: Any) -> None:
    lo, hi = sp.sympify(lo), sp.sympify(hi)
    inverse = invert(e, lo, hi)
    point = sp.Rational(3, 7) * (1 if hi != 0 else -1)
    assert sign_of(sp.simplify(inverse.subs(X, e.subs(X, point)) - point)) == 0


def test_an_odd_power_has_no_single_inverse_across_zero() -> None:
    with pytest.raises(Undecided, match="across"):
        invert(X**3, -OO, OO)
    assert str(graph("x**3").inverse().to_map()) == "Piecewise((-(-x)**(1/3), x <= 0), (x**(1/3), True))"


# --------------------------------------------------------------------------- certified constants


def test_certified_roots_are_enclosed_to_any_accuracy_and_ordered() -> None:
    root = root_between(sp.exp(X) + X - 2, sp.Integer(0), sp.Integer(1), "a root")
    for bits in (64, 1000, 5000):
        with precision(bits):
            assert enclose(root).rel_accuracy_bits() > bits - 16
            assert enclose(sp.exp(root) + root - 2).contains(0)
    assert compare(sp.Rational(442854, 10**6), root) < 0
    assert compare(root, sp.Rational(442855, 10**6)) < 0
    assert to_float(root) == pytest.approx(0.442854401002388583)
    assert root != root_between(sp.exp(X) + X - 2, sp.Integer(0), sp.Integer(1), "a root")
    assert "near 0.4428544" in str(root)
    assert "0.44285" in sp.latex(root)
    with pytest.raises(Undecided, match="no closed form in the grammar"):
        expression_text(sp.tanh(root) + 1)


def test_roots_at_short_rationals_are_found_exactly() -> None:
    assert solve_increasing(X**3 + X, sp.Integer(2), sp.Integer(0), OO) == 1
    assert solve_increasing(sp.exp(X) + X, sp.Integer(1), -OO, OO) == 0
    found = solve_increasing(sp.exp(X) + X, sp.Integer(3), -OO, OO)
    assert isinstance(found, Certified)
    with pytest.raises(Undecided, match="no change of sign"):
        solve_increasing(sp.tanh(X), sp.Integer(2), -OO, OO)


def test_isolation_finds_all_simple_zeros_or_declines() -> None:
    zeros = isolate(1 - 3 * sp.sin(X), sp.Integer(-4), sp.Integer(4))
    assert [round(float(c.evalf(20)), 6) for c in zeros] == [-3.48143, 0.339837, 2.801756]
    assert isolate(sp.exp(X) + 1 + X**2, -OO, OO) == []
    with pytest.raises(Undecided):
        isolate((sp.exp(X) + X - 2) ** 2, sp.Integer(0), sp.Integer(1))
    with pytest.raises(Undecided, match="interval"):
        isolate(sp.Integer(0) * X, sp.Integer(0), sp.Integer(1))


def test_enclosures_as_text() -> None:
    assert enclose_to(sp.Rational(1, 3), 5).text() == "1/3"
    assert enclose_to(sp.sqrt(2), 20).text(15) == "1.414213562373095..."
    assert enclose_to(-sp.sqrt(2), 20).text(4) == "-1.4142..."
    assert enclose_to(sp.exp(-sp.exp(5)), 20).text(15) == "0.000000000000000 +- 1e-15"


# --------------------------------------------------------------------------- every mu > 0


def test_signs_for_every_mu() -> None:
    assert sign(MU + 1) == 1
    assert sign(-sp.sqrt(MU)) == -1
    assert sign(MU - MU) == 0
    with pytest.raises(Undecided, match="the cases depend on mu"):
        sign(MU - 1)
    assert edge(MU * X**2 + X, OO, -1) == OO
    assert edge(MU * sp.log(X) + X, sp.Integer(0), 1) == -OO
    assert solve(X**2, MU, sp.Integer(0), OO) == (sp.sqrt(MU),)
    assert solve(X**2, -MU, sp.Integer(0), OO) == ()
    with pytest.raises(Undecided, match="no closed form in mu"):
        solve(X**5 + X, MU, sp.Integer(0), OO)


def test_a_vertical_piece_and_unknown_ends() -> None:
    jump = vertical(sp.Integer(2), sp.Integer(0), sp.Integer(1))
    assert (jump.from_x, jump.to_x, jump.p_of_x) == (2, 2, None)
    assert jump.swapped().kind == "flat"
    assert PiecewiseMap.of(X).agrees(MonotoneGraph((arc_or_flat(X, -OO, OO),)).to_map())
