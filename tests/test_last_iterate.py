"""The last iterate: the derivations add up, mutants do not, and the bounds hold as numbers on exact runs."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import pytest
import sympy as sp
from signs import mutants

from theory import last_iterate as li
from theory.derivations import ETA, GROWTH, MU, Derivation, NotDerived, Step, vector
from theory.errors import InputError
from theory.pairs import QuantizerPair
from theory.parser import parse
from verify.ledger import divergence_at
from verify.rational import modulus_gradient, rational_run, rational_scheme

ALL = li.derivations()
HALF = sp.Rational(1, 2)


@pytest.mark.parametrize("d", ALL, ids=[d.name for d in ALL])
def test_every_derivation_adds_up(d: Derivation) -> None:
    d.check()
    assert d.remainder == 0


def test_the_names_differ_and_check_runs_them_all() -> None:
    assert len({d.name for d in ALL}) == len(ALL)
    li.check()


@pytest.mark.parametrize("d", ALL, ids=[d.name for d in ALL])
def test_a_changed_sign_is_caught(d: Derivation) -> None:
    found = list(mutants(d))
    assert found or (d.left == 0 and d.right == 0)
    for m in found:
        with pytest.raises(NotDerived, match=r"the evidence leaves|is not shown to be >= 0"):
            m.check()


def test_smaller_constants_are_not_derived() -> None:
    """Halved terms: the distance, the sum E_1, the sharper sum's 5/3."""
    by_name = {d.name: d for d in ALL}
    last = by_name["the last iterate, any step sizes"]
    for term in sp.Add.make_args(sp.expand(last.right)):
        with pytest.raises(NotDerived, match="the evidence leaves"):
            replace(last, right=last.right - term / 2).check()
    sharp = by_name["the sharper sum"]
    with pytest.raises(NotDerived, match="the evidence leaves"):
        replace(sharp, right=sharp.right - sp.Rational(1, 10)).check()


@pytest.mark.parametrize("g", li.logarithms(), ids=lambda g: g.name)
def test_the_logarithms_and_their_mutants(g: li.Growing) -> None:
    g.check()
    with pytest.raises(NotDerived, match="at 0"):
        replace(g, of=g.of + 1).check()
    with pytest.raises(NotDerived, match=r"is not -"):
        replace(g, slope=-g.slope).check()
    with pytest.raises(NotDerived, match="is not shown to be >= 0"):
        replace(g, of=-g.of, slope=-g.slope).check()


def test_harmonic_numbers_lie_where_the_module_says() -> None:
    for n in (1, 2, 5, 40):
        h = li.harmonic(n)
        assert h <= 1 + sp.log(n)
        assert li.harmonic(n - 1) <= sp.log(n) + sp.EulerGamma
    assert li.harmonic(9) > sp.log(10) + HALF  # gamma cannot be 1/2


def test_the_hypotheses_that_are_numbers_are_true() -> None:
    assert Fraction(17, 12) ** 2 >= 2
    assert all(li.harmonic(t - 1) <= sp.Rational(t, 2) for t in range(1, 40))


def sums_of(t_end: int) -> tuple[float, float]:
    """sqrt(T) sum_{t<T} (1/t)/(sum_{s>t} 1/sqrt(s)) and H_{T-1}."""
    tail, total = 0.0, 0.0
    for t in range(t_end - 1, 0, -1):
        tail += (t + 1) ** -0.5
        total += 1 / t / tail
    return t_end**0.5 * total, sum(1 / k for k in range(1, t_end))


@pytest.mark.parametrize("t_end", [1, 2, 3, 7, 17, 100, 3000])
def test_both_sums_are_bounded_as_said(t_end: int) -> None:
    total, h = sums_of(t_end)
    assert total <= 2 * h + 1e-12
    assert total <= 1.5 * h + 5 / 3
    # 3/2 is the exact leading coefficient of this sum, and a smaller one fails
    assert total >= 1.5 * h
    if t_end >= 100:
        assert total > 1.4 * h + 0.3
        assert total > 1.5 * h + 0.3


@pytest.mark.parametrize("t_end", [1, 2, 5, 16, 17, 60])
def test_the_forms_are_ordered_and_both_claims_hold_for_the_first_reading(t_end: int) -> None:
    half = HALF
    etas = [float(half) / t**0.5 for t in range(1, t_end + 1)]
    any_steps = li.bound(etas, 0.5, 1.0)
    simple, sharper = li.simple(t_end, half, sp.S.One, half), li.sharper(t_end, half, sp.S.One, half)
    assert any_steps <= min(float(simple), float(sharper)) + 1e-12
    assert (sharper < simple) == (t_end >= 17)
    root = sp.sqrt(t_end)
    assert simple == (sp.Rational(5, 4) + li.harmonic(t_end - 1) / 2) / root
    assert simple <= (sp.Rational(7, 4) + sp.log(t_end) / 2) / root
    assert simple <= li.claimed(t_end, li.SECOND_CLAIM) <= li.claimed(t_end, li.FIRST_CLAIM)
    # the mutant: half the constants do not hold
    assert not simple <= li.claimed(t_end, (sp.Rational(7, 8), sp.Rational(3, 8)))


def test_any_weight_of_the_last_step_bounds_the_same_value() -> None:
    """v_T does not depend on eta_T: for T = 1 the best weight gives M sqrt(2 D_1), which `modulus` attains."""
    etas = [Fraction(1, 2), Fraction(1, 3), Fraction(1, 5)]
    assert li.bound(etas, HALF, 1) == li.bound(etas, HALF, 1, last=etas[-1])
    assert li.bound(etas, HALF, 1) == li.bound([*etas[:-1], Fraction(7)], HALF, 1, last=etas[-1])
    e = sp.Symbol("e", positive=True)
    one = li.bound([HALF], HALF, sp.S.One, last=e)
    assert sp.solve(sp.diff(one, e), e) == [1]
    assert one.subs(e, 1) == 1 < li.bound([HALF], HALF, sp.S.One)
    value, distance = li.modulus()
    assert li.bound([HALF / 2], distance, 2, last=HALF) == value  # |g_1 + s_1| = 2
    # the mutant: half the noise is too little for that function
    assert li.bound([HALF / 2], distance, sp.sqrt(2), last=HALF) < value


def test_the_golden_ratio_is_where_the_form_stops_being_nonnegative() -> None:
    """phi/(lambda (2 - lambda)) |y - lambda x|^2 <= |y|^2 + |y - x|^2: determinant 0 at lambda = 1/phi, < 0 beyond."""
    assert sp.expand(li.PHI**2 - li.PHI - 1) == 0
    lam, c = sp.symbols("lambda c", positive=True)
    factor = c / (lam * (2 - lam))
    determinant = (2 - factor) * (1 - factor * lam**2) - (factor * lam - 1) ** 2
    at = determinant.subs({c: li.PHI, lam: li.PHI - 1})
    assert sp.radsimp(sp.expand(at)) == 0
    # no lambda does with a longer step
    beyond = determinant.subs(c, sp.Rational(13, 8))
    assert all(beyond.subs(lam, sp.Rational(i, 200)) < 0 for i in range(1, 200))
    assert determinant.subs({c: sp.Rational(8, 5), lam: sp.Rational(5, 8)}) > 0


def test_a_longer_step_than_the_golden_ratio_is_not_derived() -> None:
    """c < 0 in eta_t L = phi - c is refused, and so is another lambda or a form with less on its right."""
    by_name = {d.name: d for d in li.golden()}
    last = by_name["the last value after one step, eta_t <= phi/L"]
    spare = sp.Symbol("c", nonnegative=True)
    longer = replace(
        last,
        hypotheses=tuple(replace(h, value=h.value.subs(spare, -spare)) for h in last.hypotheses),
        squares=tuple(replace(s, times=s.times.subs(spare, -spare)) for s in last.squares),
    )
    assert longer.remainder == 0
    with pytest.raises(NotDerived, match="is not shown to be >= 0"):
        longer.check()
    form = by_name["the quadratic form of the golden ratio"]
    with pytest.raises(NotDerived, match="the evidence leaves"):
        replace(form, left=form.left * sp.Rational(101, 100)).check()
    two = by_name["two ways from w to v_{t+1}, convex smooth f"]
    with pytest.raises(NotDerived, match="the evidence leaves"):
        replace(two, right=two.right * sp.Rational(99, 100)).check()


def test_bad_arguments() -> None:
    with pytest.raises(InputError, match="at least one step size"):
        li.bound([], 1, 1)
    for e in (0, -1):
        with pytest.raises(InputError, match=f"a number > 0, not {e}"):
            li.bound([HALF], 1, 1, last=e)
    with pytest.raises(InputError, match="from 1 on, not 0"):
        li.simple(0, HALF, sp.S.One, HALF)


def test_two_functions_refute_the_claims_of_the_second_reading() -> None:
    value, distance = li.modulus()
    assert distance == HALF
    assert value == li.claimed(1, li.FIRST_CLAIM)
    assert value > li.claimed(1, li.SECOND_CLAIM)
    value, pull = li.wedge()
    assert pull == 2
    assert value > li.claimed(2, li.FIRST_CLAIM) > li.claimed(2, li.SECOND_CLAIM)
    # neither refutes what is proved: M = 2 G
    assert value <= li.bound([HALF, HALF / sp.sqrt(2)], HALF, pull)
    assert value <= li.simple(2, HALF, pull, HALF)


def test_the_wedge_is_a_run_of_the_method() -> None:
    """a is a subgradient at v_1: both planes meet there; the minimum is 0 at 0."""
    a, b = (sp.Matrix([HALF, sign * sp.sqrt(15) / 2]) for sign in (1, -1))
    start = sp.Matrix([1, 0])
    assert a.dot(start) == b.dot(start) > 0
    after = start - HALF * a
    assert sp.expand(b.dot(after)) == li.wedge()[0] > a.dot(after)


@pytest.mark.parametrize(
    ("forward", "domain"),
    [
        ("Piecewise((x + 1/2, x < -1/2), (0, x <= 1/2), (x - 1/2, True))", None),
        ("Piecewise((-1, x < -1), (x, x <= 1), (1, True))", 1),
    ],
)
def test_the_bound_and_the_free_subgradient_hold_on_exact_runs(forward: str, domain: int | None) -> None:
    """f = |v - a|_1/3, r = |v|_1/2 or the indicator of [-1, 1]^2; z = 1/2 sign(v), or 0, in dr(v)."""
    how = rational_scheme(QuantizerPair(parse(forward), parse("1")))
    centre = [Fraction(2, 3), Fraction(-1, 5)]
    gradient = modulus_gradient([Fraction(1, 3)] * 2, centre)
    etas = [Fraction(1, 2), Fraction(1, 3), Fraction(3), Fraction(1, 7), Fraction(1)]
    run = rational_run(how, gradient, [Fraction(-2), Fraction(5, 3)], etas)
    limit = Fraction(0)
    for t, eta in enumerate(etas):
        z = [(a > 0) - (a < 0) if domain is None else 0 for a in run.vs[t]]
        pull = sum((g + Fraction(s, 2)) ** 2 for g, s in zip(run.gs[t], z, strict=True))
        limit = max(limit, pull)
        ahead = divergence_at(run.us[t + 1], run.vs[t + 1], run.mus[t + 1], run.vs[t], how.r)
        assert 0 <= ahead <= eta**2 * pull / 2

    def value(v: list[Fraction]) -> Fraction:
        return sum((abs(a - b) / 3 + how.r(a) for a, b in zip(v, centre, strict=True)), Fraction(0))

    for w in ([Fraction(0), Fraction(0)], [Fraction(2, 3), Fraction(-1, 5)], [Fraction(1), Fraction(-1)]):
        first = divergence_at(run.us[0], run.vs[0], run.mus[0], w, how.r)
        for n in range(1, len(etas) + 1):
            # |g + z|^2 <= limit, and M enters the bound by its square: `bound` with M = 1 gives both parts
            fixed = li.bound(etas[:n], first, Fraction(0))
            noise = li.bound(etas[:n], Fraction(0), Fraction(1))
            assert value(run.vs[n - 1]) - value(w) <= fixed + limit * noise
            for e in (Fraction(1, 10), Fraction(1), Fraction(5)):
                fixed, noise = (li.bound(etas[:n], *of, last=e) for of in ((first, Fraction(0)), (Fraction(0), 1)))
                assert value(run.vs[n - 1]) - value(w) <= fixed + limit * noise


def test_the_values_fall_only_for_short_steps() -> None:
    """The hypothesis 1/eta - L = c >= 0 is needed: with c < 0 the multiplier is refused."""
    fall = next(d for d in ALL if d.name.startswith("the values fall"))
    spare = sp.Symbol("c", nonnegative=True)
    longer = replace(fall, squares=tuple(replace(s, times=s.times.subs(spare, -spare)) for s in fall.squares))
    with pytest.raises(NotDerived, match="is not shown to be >= 0"):
        longer.check()


def test_any_subgradient_is_not_the_next_one() -> None:
    """z must be a subgradient at v_t: one at v_{t+1} leaves a remainder."""
    k, z = Step(), vector("z")
    above = next(d for d in ALL if "any subgradient" in d.name)
    wrong = sp.expand(k.r("v") - k.r("v'") - z.dot(k.v - k.v_next))
    hypotheses = (above.hypotheses[0], replace(above.hypotheses[1], value=wrong))
    with pytest.raises(NotDerived, match="the evidence leaves"):
        replace(above, hypotheses=hypotheses).check()
    assert above.hypotheses[0].times == MU
    assert above.hypotheses[1].times == GROWTH
    assert ETA.is_positive
