"""The derivations add up, and no longer do when any sign in them is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st
from signs import mutants

from theory.derivations import (
    ETA,
    GROWTH,
    MU,
    Derivation,
    Hypothesis,
    NotDerived,
    Square,
    Step,
    derivations,
    one_step,
    vector,
)
from theory.pairs import QuantizerPair
from theory.parser import parse
from verify.ledger import identity_sides
from verify.rational import quadratic_gradient, rational_run, rational_scheme

ALL = derivations()
NAMES = [d.name for d in ALL]


@pytest.mark.parametrize("d", ALL, ids=NAMES)
def test_every_derivation_adds_up(d: Derivation) -> None:
    d.check()
    assert d.remainder == 0


def test_each_derivation_has_a_name_of_its_own() -> None:
    assert len(set(NAMES)) == len(NAMES)


@pytest.mark.parametrize("d", ALL, ids=NAMES)
def test_a_changed_sign_is_caught(d: Derivation) -> None:
    found = list(mutants(d))
    assert found or (d.left == 0 and d.right == 0)
    for m in found:
        with pytest.raises(NotDerived, match=r"the evidence leaves|is not shown to be >= 0"):
            m.check()


def test_a_step_size_at_the_wrong_index_is_caught() -> None:
    """delta_t in the identity where the state advances by another amount."""
    other = sp.Symbol("delta'", nonnegative=True)
    for d in ALL[:2]:
        with pytest.raises(NotDerived, match="leaves"):
            replace(d, left=d.left.subs(GROWTH, other)).check()


def test_the_bound_needs_its_half_and_the_step_its_limit() -> None:
    above = next(d for d in ALL if d.name == "D_{t+1}(v_t) from above, convex r")
    tighter = replace(above, right=above.right * sp.Rational(99, 100))
    with pytest.raises(NotDerived, match="leaves"):
        tighter.check()
    smooth = next(d for d in ALL if "eta_t <= 1/L" in d.name)
    spare = sp.Symbol("c", nonnegative=True)
    beyond = replace(smooth, squares=tuple(replace(s, times=s.times.subs(spare, -spare)) for s in smooth.squares))
    with pytest.raises(NotDerived, match="is not shown to be >= 0"):
        beyond.check()


def test_an_inequality_is_no_evidence_for_an_equation() -> None:
    claim = Derivation("x", "", sp.S.Zero, vector("a").squared, equation=True, squares=(Square(vector("a"), sp.S.One),))
    with pytest.raises(NotDerived, match="an equation takes no inequality"):
        claim.check()
    replace(claim, equation=False).check()
    unknown = sp.Symbol("z", real=True)
    with pytest.raises(NotDerived, match="not shown"):
        replace(claim, equation=False, hypotheses=(Hypothesis(sp.S.Zero, unknown, "no sign"),)).check()


def numbers_of(known: dict[str, list[Fraction]], r: Callable[[Fraction], Fraction]) -> dict[sp.Symbol, sp.Rational]:
    """The symbols of inner products and of values of r, with their numbers."""
    values = {}
    for a, x in known.items():
        for b, y in known.items():
            symbol = sp.Symbol("<{},{}>".format(*sorted((a, b))), real=True)
            values[symbol] = sp.Rational(sum(p * q for p, q in zip(x, y, strict=True)))
    for name in ("v", "v'", "w"):
        values[sp.Symbol(f"r({name})", real=True)] = sp.Rational(sum(r(x) for x in known[name]))
    return values


def test_the_hypotheses_and_the_claims_hold_on_exact_runs() -> None:
    """A false hypothesis could be met by evidence that fits it: here each is a number, on runs where it must hold.

    T = id, so h = f; r(v) = |v|/2 (soft thresholding) and mu advances; f is a quadratic with L = 3, eta_t <= 1/3.
    """
    how = rational_scheme(
        QuantizerPair(parse("Piecewise((x + 1/2, x < -1/2), (0, x <= 1/2), (x - 1/2, True))"), parse("1"))
    )
    assert how.advances
    hessian, centre = [[Fraction(2), Fraction(1)], [Fraction(1), Fraction(2)]], [Fraction(3, 2), Fraction(-1, 4)]
    gradient = quadratic_gradient(hessian, centre)
    etas = [Fraction(1, 3), Fraction(1, 4), Fraction(1, 3), Fraction(1, 7)]
    run = rational_run(how, gradient, [Fraction(-2), Fraction(5, 3)], etas)
    strict = 0
    for t, eta in enumerate(etas):
        u, v, after, mu = run.us[t], run.vs[t], run.vs[t + 1], run.mus[t]
        for w in ([Fraction(1), Fraction(0)], [Fraction(-3), Fraction(2)], v, after):
            s = [(a - b) / mu for a, b in zip(u, v, strict=True)]
            values = numbers_of({"v": v, "v'": after, "w": w, "g": run.gs[t], "s": s}, how.r)
            values |= {ETA: sp.Rational(eta), MU: sp.Rational(mu), GROWTH: sp.Rational(run.mus[t + 1] - mu)}
            values[sp.Symbol("c", nonnegative=True)] = 1 / sp.Rational(eta) - 3
            for name, at in (("v", v), ("v'", after), ("w", w)):
                e = [a - b for a, b in zip(at, centre, strict=True)]
                half = sum((a * b for a, b in zip(e, gradient(at), strict=True)), Fraction(0)) / 2
                values[sp.Symbol(f"h({name})", real=True)] = sp.Rational(half)
            for d in one_step():
                assert all(h.value.xreplace(values) >= 0 for h in d.hypotheses), d.name
                gap = sp.expand(d.right - d.left).xreplace(values)
                assert gap == 0 if d.equation else gap >= 0, d.name
                strict += bool(gap > 0)
    assert strict > 20


rationals = st.fractions(min_value=-4, max_value=4, max_denominator=12)
vectors = st.lists(rationals, min_size=3, max_size=3)
positive = st.fractions(min_value=Fraction(1, 12), max_value=4, max_denominator=12)


@given(v=vectors, after=vectors, w=vectors, u=vectors, g=vectors, eta=positive, mu=positive, growth=positive)
def test_the_symbols_mean_what_the_ledger_means(
    v: list[Fraction],
    after: list[Fraction],
    w: list[Fraction],
    u: list[Fraction],
    g: list[Fraction],
    eta: Fraction,
    mu: Fraction,
    growth: Fraction,
) -> None:
    """The symbolic D_t and sides, with numbers put in, are those of the exact ledger; r(x) = |x| + x**3."""

    def r(x: Fraction) -> Fraction:
        return abs(x) + x**3

    s = [(a - b) / mu for a, b in zip(u, v, strict=True)]
    known = {"v": v, "v'": after, "w": w, "g": g, "s": s}
    values = numbers_of(known, r)
    values |= {ETA: sp.Rational(eta), MU: sp.Rational(mu), GROWTH: sp.Rational(growth)}
    u_after = [a - eta * b for a, b in zip(u, g, strict=True)]
    sides = identity_sides([u, u_after], [v, after], [g], [eta], [mu, mu + growth], w, r)
    for d, (left, right) in zip(ALL, (sides.first, sides.second), strict=False):
        assert left == right
        assert d.left.xreplace(values) == sp.Rational(left)
        assert d.right.xreplace(values) == sp.Rational(right)
    assert Step().divergence("v") == 0
    assert Step().divergence("v'", next_one=True) == 0
