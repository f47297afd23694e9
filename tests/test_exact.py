"""Exact constants: order, equality, and the identity of the one variable."""

from __future__ import annotations

import pytest
import sympy as sp
from flint import arb

from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.exact import X, _with_plain_angles, compare, enclose, rational_between, sign_of, to_float
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair
from theory.parser import parse


def test_an_equal_copy_of_x_is_the_same_variable() -> None:
    # sympy forgets symbols when its cache is full and then makes equal ones that are not identical
    copy = sp.Symbol.__xnew__(sp.Symbol, "x", real=True)
    assert copy is not X
    assert copy == X
    assert enclose(sp.exp(copy), arb(0)) == 1
    assert PiecewiseMap.of(copy**2)(3) == 9


@pytest.mark.parametrize(
    ("a", "b", "order"),
    [
        (sp.Rational(1, 3), sp.Rational(1, 3), 0),
        (sp.sqrt(2), sp.Rational(141421356, 100000000), 1),
        (sp.log(4), 2 * sp.log(2), 0),
        (sp.pi, sp.Rational(355, 113), -1),
        (-sp.oo, sp.Integer(0), -1),
        (sp.sqrt(2) + sp.sqrt(3), sp.sqrt(5 + 2 * sp.sqrt(6)), 0),
        (sp.exp(1) ** 100, sp.exp(100) - sp.Rational(1, 10**30), 1),
    ],
)
def test_order_is_exact(a: sp.Expr, b: sp.Expr, order: int) -> None:
    assert compare(a, b) == order
    assert compare(b, a) == -order


def test_what_no_algebra_shows_is_undecided() -> None:
    with pytest.raises(Undecided):
        sign_of(sp.zoo)


def test_a_rational_between_is_between() -> None:
    for a, b in ((sp.sqrt(2), sp.Rational(1414214, 1000000)), (-sp.oo, sp.Integer(-5)), (sp.pi, sp.oo)):
        q = rational_between(a, b)
        assert q.is_Rational
        assert compare(a, q) < 0 < compare(b, q)
    with pytest.raises(InputError):
        rational_between(sp.Integer(1), sp.Integer(1))


def test_floats_are_the_nearest() -> None:
    assert to_float(sp.Rational(1, 10)) == 0.1
    assert to_float(sp.sqrt(2)) == 2**0.5
    assert to_float(-sp.oo) == float("-inf")


@pytest.mark.parametrize("backward", ["1/(1 + Abs(x))", "1 + Abs(x)", "1 - x/(1 + Abs(x))/2"])
def test_logarithms_of_negative_numbers_do_not_reach_the_proximal_map(backward: str) -> None:
    pair = QuantizerPair(parse("x"), parse(backward))
    decomposition = decide(pair).decomposition
    assert decomposition is not None
    assert decomposition.prox is not None
    assert not any(e.has(sp.I) for e in decomposition.prox.exprs)
    assert parse(str(decomposition.prox)).agrees(decomposition.prox)


def test_logarithms_of_hyperbolic_quotients_are_recognised_and_near_ones_told_apart() -> None:
    for k in (1, 2, 5, 8):
        t = sp.tanh(sp.Integer(k))
        c = sp.log((1 + t) / (1 - t)) / 2 - k
        assert sign_of(c) == 0
        assert sign_of(c - sp.Rational(1, 10**90)) == -1
    assert list(parse("clip(tanh(5*x)/tanh(5), -1, 1)").breaks) == [-1, 1]
    assert list(parse("clip(erf(2*x)/erf(2), -1, 1)").breaks) == [-1, 1]
    assert all(b not in (-1, 1) for b in parse("clip(tanh(2*x)/tanh(2.000001), -1, 1)").breaks)


def test_logarithms_and_angles_that_cancel_are_recognised_and_near_ones_told_apart() -> None:
    half, root = sp.Rational(1, 2), sp.sqrt(6)
    tangent = sp.sin(half) / sp.cos(half)
    a, b = 1 + tangent**2, 1 + (sp.sin(3 * half) / sp.cos(3 * half)) ** 2
    quotient = (sp.Rational(43, 4) - 3 * root) / (3 * root + sp.Rational(43, 4))
    equal = [
        tangent * sp.atan(tangent) - tangent / 2,
        sp.log(a / b) - sp.log(a) + sp.log(b) + sp.atan(-tangent) + half,
        root * sp.log(sp.radsimp(quotient))
        - root * sp.log(sp.Rational(43, 4) - 3 * root)
        + root * sp.log(3 * root + sp.Rational(43, 4)),
        sp.log(1 + sp.sqrt(2)) / 3 + sp.log(sp.sqrt(2) - 1) / 3,
    ]
    gap = sp.sqrt((sp.erf(2) - sp.erf(1)) / (1 + sp.E) - (sp.erf(2) - sp.erf(1)) * sp.exp(-1) / (sp.exp(-1) + 1))
    equal += [gap + (gap - 2) ** 2 / 4 - 1, sp.erf(gap + (gap - 2) ** 2 / 4) - sp.erf(1)]
    for c in equal:
        assert sign_of(c) == 0
        assert sign_of(c + sp.Rational(1, 10**90)) == 1
    # an angle beyond a right one is not its own arctangent
    assert sign_of(sp.atan(sp.sin(2) / sp.cos(2)) - 2) == -1
    assert sign_of(sp.atan(sp.sin(2) / sp.cos(2)) - 2 + sp.pi) == 0
    for beyond in (2, 4, 6):
        turned = sp.atan(sp.sin(beyond) / sp.cos(beyond), evaluate=False)
        assert _with_plain_angles(turned) == turned
    assert _with_plain_angles(sp.atan(-tangent)) == -half


def test_logarithms_of_negative_numbers_do_not_cancel() -> None:
    """log(a b) - log(a) - log(b) = -2 pi i for a, b < 0 so small that sympy does not see their sign."""
    a, b = sp.tanh(1000) - 1, sp.erf(40) - 1
    c = sp.log(a * b) - sp.log(a) - sp.log(b)
    assert not c.has(sp.I)
    with pytest.raises(Undecided):
        sign_of(c)
    assert sign_of(sp.log(a * b) - sp.log(-a) - sp.log(-b)) == 0
