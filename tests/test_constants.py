"""Constants, freedoms and corollaries: hand-derived values, suprema against samples, neighbours that must differ."""

from __future__ import annotations

import json
from itertools import product
from typing import Any, NamedTuple

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.analytic import ball_at, limit_at, samples
from theory.catalogue import PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.checking import check
from theory.constants import Facts, affine_slope, facts, gaps, indicator_shift, unsettled
from theory.corollaries import EVERY_CONVEX, IF_CONVEX, NO, consequences, corollaries, smoothness, summary
from theory.decision import Anatomy, anatomy, decide
from theory.errors import InputError, Undecided
from theory.exact import X, compare, enclose, equal, less, precision, rational_between
from theory.extrema import Bound, decimals, greatest, infimum, largest_modulus, supremum
from theory.maps import OO, PiecewiseMap
from theory.pairs import QuantizerPair, Verdict
from theory.parser import parse, parse_constant
from theory.steps import decide_steps
from theory.synthesis import synthesize

STE = "Piecewise((1, Abs(x) <= 1), (0, True))"
SOFT = "sign(x)*Max(Abs(x) - 1, 0)"
TERNARY = "Piecewise((-1, x < -1/2), (0, x <= 1/2), (1, True))"
SS5 = "2*sigmoid(5*x)*(1 + 5*x*(1 - sigmoid(5*x))) - 1"
DSS5 = "5*(2 - 5*x*tanh(5*x/2))/(1 + cosh(5*x))"
KINKS = "kinks"


class Truth(NamedTuple):
    """sup|T'|, inf T', sup T', sup|T''|, sup P', the least rho, T affine, r an indicator; how each was derived."""

    forward: str
    backward: str
    lipschitz: str
    low: str
    high: str
    curvature: str
    prox: str
    rho: str | None
    affine: bool
    indicator: bool
    why: str


T = Truth
TRUTHS = (
    T("x", "1", "1", "1", "1", "0", "1", "0", True, True, "T = P = id, r = 0"),
    T("2*x + 1", "3", "3", "3", "3", "0", "2/3", "-1/2", True, False, "T = 3p, P = 2x/3 + 1/3, r'' = 3/2 - 1"),
    T("3*x", "2", "2", "2", "2", "0", "3/2", "1/3", True, False, "P = 3x/2, r'' = 2/3 - 1"),
    T("-tanh(x)", "-1", "1", "-1", "-1", "0", "1", "0", True, False, "T = -p, P = tanh"),
    T("tanh(2*x)", "1", "1", "1", "1", "0", "2", "1/2", True, False, "P = tanh(2x), slope 2 at 0"),
    T("x", "1 + x**2", "oo", "1", "oo", "oo", "1", "0", False, False, "T = tan, T'' = 2 tan sec^2; P = atan"),
    T("x", "exp(x)", "oo", "0", "oo", "oo", "oo", "1", False, False, "T' = exp(x), P' = exp(-x)"),
    T("exp(x)", "exp(x)", "oo", "0", "oo", "oo", "1", "0", False, True, "P = id, T = exp"),
    T("x**3", "x**2", "oo", "0", "oo", "oo", "3", "2/3", False, False, "P = 3x, T = p^3/27"),
    T("x**2", "2*x", "oo", "-oo", "oo", "2", "1", "0", False, True, "P = id, T = p^2"),
    T("x**2", "x", "oo", "-oo", "oo", "1/2", "2", "1/2", False, False, "P = 2x, T = p^2/4"),
    T("x**3", "1", "1", "1", "1", "0", "oo", "1", True, False, "P = x^3"),
    T("x**3 - x", "3*x**2 - 1", "oo", "-1", "oo", "oo", "1", "0", False, True, "P = id"),
    T("5", "3", "3", "3", "3", "0", "0", None, True, True, "P is one point, T the line of slope 3"),
    T("5", "0", "0", "0", "0", "0", "1", "0", True, True, "a dead zone everywhere: P' = 1 is reported"),
    T("sign(x)", "1", "1", "1", "1", "0", "oo", "1", True, True, "T = id, P = sign: BinaryConnect"),
    T("sign(x)", "7", "7", "7", "7", "0", "oo", "1", True, True, "a gap of height 2/7"),
    T("-sign(x)", "-1", "1", "-1", "-1", "0", "oo", "1", True, True, "T = -p"),
    T("sign(x)", "0", "3/2", "0", "3/2", "3", "oo", "1", False, False, "smoothstep: 6 s (1 - s), height 2"),
    T("sign(x)", "Piecewise((1, x < 0), (2, True))", "2", "1", "2", "3/4", "oo", "1", False, True, "height 4/3"),
    T("sign(x)", "Piecewise((1, x < 0), (0, True))", "1", "0", "1", "1/4", "oo", "1", False, False, "height 4"),
    T("sign(x)", STE, "1", "0", "1", KINKS, "oo", "1", False, True, "BNN: T = clip, P jumps at 0"),
    T(TERNARY, "1", "1", "1", "1", "0", "oo", "1", True, True, "T = id, r = 0 on {-1, 0, 1}"),
    T("clip(x, -1, 1)", "1", "1", "1", "1", "0", "1", "0", True, True, "r = indicator of [-1, 1]"),
    T("clip(x, -1, 1)", STE, "1", "0", "1", KINKS, "1", "0", False, True, "P = id, T = clip"),
    T(SOFT, "1", "1", "1", "1", "0", "1", "0", True, False, "r = |w|"),
    T(SOFT, "Piecewise((1/2, Abs(x) <= 1), (1, True))", "1", "0", "1", KINKS, "oo", "1", False, False, "a flat gap"),
    T("x", "Piecewise((0, x == 0), (1, True))", "1", "0", "1", KINKS, "oo", "1", False, False, "a flat gap at 0"),
    T("x + sign(x)", "1", "1", "1", "1", "0", "oo", "1", True, False, "T = id, P = x + sign(x)"),
    T("x - sign(x)", "1", "3/2", "-3/2", "1", KINKS, "oo", "1", False, False, "T falls by 2 over a gap of height 2"),
    T("x**2 + sign(x)", "2*x", "oo", "-oo", "oo", "3", "oo", "1", False, False, "2 on the pieces, 6 * 2/4 on the gap"),
    T("x + Heaviside(x, 1)", "Piecewise((1, x < 0), (2, True))", "2", "1", "2", "3/2", "oo", "1", False, False, "2/3"),
    T("Abs(x)", "sign(x)", "1", "-1", "1", KINKS, "1", "0", False, True, "T = |p|"),
    T("Max(x, 0)", "1", "1", "1", "1", "0", "1", "0", True, True, "r = indicator of [0, oo)"),
    T("tanh(x)", "1 - tanh(x)**2", "1", "0", "1", "4*sqrt(3)/9", "1", "0", False, True, "2 u (1 - u^2) at u^2 = 1/3"),
    T("tanh(3*x + 1)", "3 - 3*tanh(3*x + 1)**2", "3", "0", "3", "4*sqrt(3)", "1", "0", False, True, "9 times that"),
    T("atan(x)", "1/(1 + x**2)", "1", "0", "1", "3*sqrt(3)/8", "1", "0", False, True, "2x/(1 + x^2)^2 at x^2 = 1/3"),
    T("x/(1 + Abs(x))", "1/(1 + Abs(x))**2", "1", "0", "1", "2", "1", "0", False, True, "2/(1 + |x|)^3 beside 0"),
    T("log(1 + exp(x))", "sigmoid(x)", "1", "0", "1", "1/4", "1", "0", False, True, "s (1 - s)"),
    T("erf(x)", "exp(-x**2)", "1", "0", "1", "sqrt(pi/2)*exp(-1/2)", "2/sqrt(pi)", "1 - sqrt(pi)/2", False, False, "P"),
    T("x + sin(x)", "1", "1", "1", "1", "0", "2", "1/2", True, False, "1 + cos"),
    T("2*x + sin(x)", "1", "1", "1", "1", "0", "3", "2/3", True, False, "2 + cos"),
    T("x + sin(x)", "1 + cos(x)", "2", "0", "2", "1", "1", "0", False, True, "P = id, T'' = -sin"),
    T(
        "x",
        "2 + atan(x)",
        "2 + pi/2",
        "2 - pi/2",
        "2 + pi/2",
        "2.1142790803",
        "2/(4 - pi)",
        "pi/2 - 1",
        False,
        False,
        "enclosed",
    ),
    T(SS5, DSS5, "5", "-0.3691437320", "5", "15.4090757899", "1", "0", False, True, "T'' and inf T' are enclosed"),
)


def pair_of(forward: str, backward: str) -> QuantizerPair:
    return QuantizerPair(parse(forward), parse(backward))


_KNOWN: dict[tuple[str, str], tuple[Anatomy, Verdict, Facts]] = {}


def known(forward: str, backward: str) -> tuple[Anatomy, Verdict, Facts]:
    key = forward, backward
    if key not in _KNOWN:
        pair = pair_of(*key)
        parts, verdict = anatomy(pair), decide(pair, 1.0)
        _KNOWN[key] = parts, verdict, facts(parts, verdict, 30.0)
    return _KNOWN[key]


def constant(text: str) -> Any:
    return {"oo": OO, "-oo": -OO}.get(text) or parse_constant(text, "expected")


def holds(bound: Bound | None, text: str) -> bool:
    """The bound is the expected exact value, or a short enclosure of the expected decimal."""
    if bound is None:
        return False
    value = constant(text)
    if "." in text:
        return not bound.exact and compare(sp.Abs(bound.high - value), sp.Rational(2, 10**8)) < 0
    return bound.exact and compare(bound.low, value) == 0


@pytest.mark.parametrize("t", TRUTHS, ids=[f"{t.forward} | {t.backward}" for t in TRUTHS])
def test_constants_are_those_derived_by_hand(t: Truth) -> None:
    _, verdict, f = known(t.forward, t.backward)
    assert verdict.principled
    assert holds(f.lipschitz.bound, t.lipschitz)
    assert holds(f.slope_min.bound, t.low)
    assert holds(f.slope_max.bound, t.high)
    assert holds(f.expansion.bound, t.prox)
    if t.curvature == KINKS:
        assert f.curvature.bound is None
        assert "kinks" in f.curvature.reason
    else:
        assert holds(f.curvature.bound, t.curvature)
    if t.rho is None:
        assert f.weak_convexity.bound is None
    else:
        assert holds(f.weak_convexity.bound, t.rho)
    assert f.affine == t.affine
    assert f.indicator in ((True,) if t.indicator else (False, None))
    if verdict.convex is not None and f.expansion.bound is not None and t.rho is not None:
        assert verdict.convex == (compare(constant(t.rho), sp.Integer(0)) <= 0)


def test_a_wrong_value_would_be_seen() -> None:
    _, _, f = known("tanh(2*x)", "1")
    assert not holds(f.expansion.bound, "1")
    assert not holds(f.expansion.bound, "2.0000000001")
    _, _, f = known(SS5, DSS5)
    assert not holds(f.curvature.bound, "15.41")


@pytest.mark.parametrize("t", TRUTHS, ids=[f"{t.forward} | {t.backward}" for t in TRUTHS])
def test_no_sample_refutes_a_bound(t: Truth) -> None:
    """B, F'/B and B'/P' at samples of the moving pieces; T' of the written decomposition at samples of its hull."""
    parts, verdict, f = known(t.forward, t.backward)
    for p in parts.pieces:
        if p.kind != "S":
            continue
        for x in samples(p.a, p.b, 30):
            at = x if x.is_Rational else rational_between(x, x + 1)
            with precision(192):
                b = ball_at(p.g, at)
                assert not refuted(abs(b), f.lipschitz.bound)
                assert not refuted(ball_at(p.ratio, at), f.expansion.bound)
                if f.curvature.bound is not None:
                    bend = ball_at(sp.diff(p.g, X), at) / ball_at(p.ratio, at)
                    assert not bend.is_finite() or not refuted(abs(bend), f.curvature.bound)
    d = verdict.decomposition
    assert d is not None
    if d.slope is None or None in f.growth.hull or d.transform is None:
        return
    lo, hi = f.growth.hull
    assert lo is not None
    assert hi is not None
    if not less(lo, hi):
        return
    for e, (a, b) in zip(d.slope.exprs, d.slope.ends, strict=True):
        a, b = (lo if less(a, lo) else a), (hi if less(hi, b) else b)
        if not less(a, b):
            continue
        for x in samples(a, b, 30):
            with precision(192):
                slope = enclose(e, enclose(x))
                assert not refuted(abs(slope), f.lipschitz.bound)
                assert not refuted(slope, f.slope_max.bound)
                assert not refuted(-slope, negative(f.slope_min.bound))
                if f.curvature.bound is not None:
                    assert not refuted(abs(enclose(sp.diff(e, X), enclose(x))), f.curvature.bound)


def negative(b: Bound | None) -> Bound | None:
    return None if b is None else Bound(-b.high, -b.low, b.method)


def refuted(ball: Any, bound: Bound | None) -> bool:
    """Whether a sampled value provably exceeds a bound."""
    return bound is not None and bound.high != OO and bool(ball > enclose(bound.high) + enclose(sp.Rational(1, 10**30)))


def test_a_bound_that_is_too_small_would_be_refuted() -> None:
    with precision(192):
        assert refuted(ball_at(X**2, sp.Integer(3)), Bound(sp.Integer(8), sp.Integer(8), ""))


# ---- suprema


SUPREMA = (
    ("x*(1 - x)", 0, 1, "1/4"),
    ("x", 0, 1, "1"),
    ("x*exp(-x)", 0, OO, "exp(-1)"),
    ("x*exp(-x)", 2, OO, "2*exp(-2)"),
    ("exp(-x**2)*x", -OO, OO, "exp(-1/2)/sqrt(2)"),
    ("x**3", -OO, 2, "8"),
    ("1/x", 0, 1, "oo"),
    ("sin(x) + cos(x)", -OO, OO, "sqrt(2)"),
    ("sin(x)", 0, 1, "sin(1)"),
    ("1 + exp(-1000000*(x - 1/7)**2)", -OO, OO, "2"),
    ("atan(x)", -OO, 0, "0"),
    ("x**4/(1 + x**4)", -OO, OO, "1"),
)


@pytest.mark.parametrize(("text", "a", "b", "expected"), SUPREMA)
def test_suprema_are_proved(text: str, a: Any, b: Any, expected: str) -> None:
    e = sp.sympify(1) / X if text == "1/x" else parse(text).exprs[-1]
    found = supremum(e, sp.sympify(a), sp.sympify(b))
    value = constant(expected)
    assert found.low == value or compare(found.low, value) <= 0
    assert found.high == value or compare(value, found.high) <= 0
    if value != OO:
        assert compare(found.high - found.low, sp.Rational(1, 10**5)) < 0


def test_a_bump_that_samples_miss_is_not_missed() -> None:
    """A bump of height 1 and width 1e-6 far out: the supremum is 2 or not settled, never 1."""
    e = parse("1 + exp(-1000000000000*(x - 123456/1009)**2)").exprs[0]
    try:
        found = supremum(e, -OO, OO)
    except Undecided:
        return
    assert compare(found.high, sp.Integer(2)) >= 0


@given(
    st.lists(st.integers(-6, 6), min_size=2, max_size=6), st.integers(-3, 0), st.integers(1, 4), st.sampled_from([1, 3])
)
@settings(max_examples=40)
def test_suprema_of_polynomials_are_taken_and_not_exceeded(c: list[int], a: int, b: int, q: int) -> None:
    e = sum((sp.Rational(v, q) * X**k for k, v in enumerate(c)), sp.Integer(0))
    found = supremum(e, sp.Integer(a), sp.Integer(b))
    assert found.exact
    if not e.has(X):
        return
    value = sp.lambdify(X, e, "math")
    largest = max(value(a + (b - a) * k / 400) for k in range(401))
    assert largest <= float(found.low) + 1e-12
    step = float(b - a) / 400
    steepest = sum(k * abs(v) * 4.0 ** (k - 1) for k, v in enumerate(c) if k)
    assert float(found.low) <= largest + step * steepest


def test_enclosures_round_outward() -> None:
    assert decimals(sp.sqrt(2), up=False, digits=4) == "1.4142"
    assert decimals(sp.sqrt(2), up=True, digits=4) == "1.4143"
    assert decimals(-sp.sqrt(2), up=True, digits=4) == "-1.4142"
    assert decimals(sp.Rational(1, 4), up=True) == decimals(sp.Rational(1, 4), up=False) == "0.25"
    assert decimals(OO, up=True) == "oo"


def test_the_greatest_of_several_bounds_and_the_modulus() -> None:
    one, two = Bound(sp.Integer(1), sp.Integer(3), "a"), Bound(sp.Integer(2), sp.Integer(2), "b")
    assert (greatest([one, two]).low, greatest([one, two]).high) == (2, 3)
    assert largest_modulus(X**2 - 2, sp.Integer(-1), sp.Integer(1)).low == 2
    assert infimum(X**2 - 2, -OO, OO).low == -2


# ---- freedoms


def kinds(f: Facts) -> list[str]:
    return [x.kind for x in f.freedoms]


def test_freedoms_of_bnn() -> None:
    _, _, f = known("sign(x)", STE)
    assert kinds(f) == ["dead zone", "flat gap", "gap", "dead zone", "flat gap", "constant", "outside"]
    assert f.freedoms[0].as_dict()["to"] == "-1"
    assert f.freedoms[2].as_dict()["from"] == f.freedoms[2].as_dict()["to"] == "0"
    assert "from -1 to 1" in f.freedoms[2].what


def test_freedoms_of_other_pairs() -> None:
    assert kinds(known("x", "1")[2]) == ["constant", "outside"]
    assert kinds(known("5", "3")[2]) == ["slope", "constant", "outside"]
    assert kinds(known("5", "0")[2]) == ["dead zone", "constant", "outside"]
    assert kinds(known(TERNARY, "1")[2]) == ["gap", "gap", "constant", "outside"]
    flat = known("x", "Piecewise((0, x == 0), (1, True))")[2]
    assert kinds(flat) == ["flat gap", "constant", "outside"]
    assert "a gap is reported" in flat.freedoms[0].what
    assert kinds(known("clip(x, -1, 1)", STE)[2]).count("dead zone") == 2


def test_gaps_agree_with_the_reported_prox() -> None:
    for t in TRUTHS:
        parts, verdict, _ = known(t.forward, t.backward)
        d = verdict.decomposition
        if d is None or d.prox is None:
            continue
        for gap in gaps(parts):
            i = next(k for k, b in enumerate(d.prox.breaks) if equal(b, gap.node.x))
            assert equal(d.prox.right(i) - d.prox.left(i), gap.height)


# ---- growth, affinity, indicators


@pytest.mark.parametrize(
    ("forward", "backward", "hull", "bounded", "ends"),
    [
        ("x", "1 + x**2", ["-pi/2", "pi/2"], True, ["-oo", "oo"]),
        ("tanh(x)", "1", ["-1", "1"], True, ["-1", "1"]),
        ("sign(x)", "1", ["-1", "1"], True, ["-1", "1"]),
        ("sign(x)", STE, ["-oo", "oo"], False, ["-1", "1"]),
        ("x", "1", ["-oo", "oo"], False, ["-oo", "oo"]),
        ("log(1 + exp(x))", "1", ["0", "oo"], False, ["0", "oo"]),
        ("x", "1 + erf(x)", ["-oo", "oo"], False, ["-oo", "oo"]),
        ("x", "x*sinh(x) + 1", [None, None], True, ["-oo", "oo"]),
        ("x**2", "2*x", ["-oo", "oo"], False, ["oo", "oo"]),
    ],
)
def test_growth(forward: str, backward: str, hull: list[str | None], bounded: bool, ends: list[str]) -> None:
    g = known(forward, backward)[2].growth
    d = g.as_dict()
    assert (d["hull"], d["prox_bounded"], d["transform_at_hull_ends"]) == (hull, bounded, ends)
    assert g.transform_bounded == all("oo" not in e for e in ends)


def test_affine_needs_jumps_of_the_right_sign() -> None:
    assert affine_slope(anatomy(pair_of("x + sign(x)", "1"))) == 1
    assert affine_slope(anatomy(pair_of("x - sign(x)", "1"))) is None
    assert affine_slope(anatomy(pair_of("sign(x)", "0"))) is None
    assert affine_slope(anatomy(pair_of("x", "Piecewise((1/2, x == 0), (1, True))"))) is None


def test_an_indicator_after_a_shift_of_the_prox() -> None:
    """P = sign(x - 1): r tilts the two levels, and P + 1 has r = indicator of {0, 2}."""
    parts, verdict, f = known("sign(x - 1)", "1")
    assert f.indicator is True
    assert verdict.decomposition is not None
    assert verdict.decomposition.prox is not None
    assert indicator_shift(parts, verdict.decomposition) == f.indicator_shift
    shifted = known("sign(x - 1) + 1", "1")[1].decomposition
    assert shifted is not None
    assert f.indicator_shift is not None
    assert f.indicator_shift + limit_at(verdict.decomposition.prox.exprs[0], -OO, 1) == 0
    assert known("Piecewise((-1, x < -1), (0, x <= 2), (1, True))", "1")[2].indicator is False


# ---- corollaries


def by_name(forward: str, backward: str, steps: str | None = None) -> dict[str, Any]:
    _, _, f = known(forward, backward)
    return {c.name: c for c in corollaries(f, None if steps is None else decide_steps(steps))}


def test_which_corollaries_apply() -> None:
    md = by_name("tanh(x)", "1")
    assert md["convex"].applies == md["smooth"].applies == EVERY_CONVEX
    bc = by_name("sign(x)", "1")
    assert (bc["convex"].applies, bc["smooth"].applies, bc["residual"].applies) == (NO, NO, EVERY_CONVEX)
    bnn = by_name("sign(x)", STE)
    assert (bnn["convex"].applies, bnn["residual"].applies) == (NO, IF_CONVEX)
    assert "kinks" in bnn["residual"].because
    bnnpp = by_name(SS5, DSS5)
    assert bnnpp["convex"].applies == bnnpp["smooth"].applies == IF_CONVEX
    soft_kinks = by_name("clip(x, -1, 1)", STE)
    assert (soft_kinks["convex"].applies, soft_kinks["smooth"].applies) == (IF_CONVEX, NO)
    cubic = by_name("x**3", "3*x**2")
    assert (cubic["convex"].applies, cubic["smooth"].applies) == (IF_CONVEX, NO)
    for found in (md, bc, bnn, bnnpp, cubic):
        assert all(c.standing.startswith("[") for c in found.values())


def test_constants_of_the_corollaries() -> None:
    assert by_name("x", "1")["smooth"].constants["smoothness"] == "L"
    assert by_name("2*x + 1", "3")["smooth"].constants["smoothness"] == "9*L"
    assert by_name("tanh(x)", "1 - tanh(x)**2")["convex"].constants["gradient_bound"] == "G"
    assert by_name("tanh(x)", "1 - tanh(x)**2")["smooth"].constants["smoothness"] == "4*sqrt(3)*G/9 + L"
    assert by_name("x**2", "2*x")["convex"].constants["gradient_bound"] is None
    assert smoothness(known("x**2", "2*x")[2]) is None


def test_the_smoothness_constant_bounds_second_derivatives_of_f_after_t() -> None:
    """f(w) = (w - 2)^2/2 after tanh: L = 1, G = 3; |(f o T)''| sampled stays below, and half of it would not."""
    f_t = (sp.tanh(X) - 2) ** 2 / 2
    second = sp.lambdify(X, sp.diff(f_t, X, 2), "math")
    values = [abs(second(k / 50)) for k in range(-200, 201)]
    e = smoothness(known("tanh(x)", "1 - tanh(x)**2")[2])
    bound = float(e.subs({s: {"L": 1, "G": 3}[s.name] for s in e.free_symbols}))
    assert max(values) <= bound
    assert max(values) > bound / 2


def test_fixed_pairs() -> None:
    assert "no role" in by_name("sign(x)", "1")["fixed pair"].because
    assert "no role" in by_name("sign(x)", STE)["fixed pair"].because
    assert "not PC++" in by_name("tanh(x)", "1")["fixed pair"].because
    assert "mirror" in by_name(SOFT, "1")["fixed pair"].statement


def test_steps_in_corollaries() -> None:
    good = by_name("tanh(x)", "1", "c/sqrt(t)")
    assert good["convex"].with_steps == "the bound tends to 0 at the rate O(log(T)/sqrt(T))"
    assert good["smooth"].with_steps.startswith("eta_t <= 1/L_F: c <= 1/L; the bound tends to 0 as 1/(sqrt(T))")
    bad = by_name("tanh(x)", "1", "c/t**2")
    assert "does not tend to 0" in bad["convex"].with_steps
    assert "does not tend to 0" in bad["smooth"].with_steps
    constant_steps = by_name("2*x + 1", "3", "c")
    assert "does not tend to 0" in constant_steps["convex"].with_steps
    assert "c <= 1/(9*L)" in constant_steps["smooth"].with_steps
    assert "tends to 0 as 1/(T)" in constant_steps["smooth"].with_steps
    open_ = by_name("x", "1", "c/t**p")
    assert open_["convex"].with_steps == "not settled: it holds exactly when p <= 1"


# ---- the object of check, time


def test_the_object_of_check() -> None:
    d = check("sign(x)", "1", steps="c/sqrt(t)").as_dict()
    assert json.loads(json.dumps(d)) == d
    assert [f["kind"] for f in d["freedoms"]] == ["gap", "constant", "outside"]
    assert d["constants"]["transform_lipschitz"]["value"] == "1"
    assert d["constants"]["prox_slope_sup"]["value"] == "oo"
    assert {c["name"] for c in d["corollaries"]} == {
        "identity",
        "convex",
        "smooth",
        "residual",
        "nonconvex",
        "fixed pair",
    }
    assert d["steps"]["ratio_vanishes"]["answer"] == "proved"
    labels = [label for label, _ in summary(d)]
    assert labels == ["constants", "left open", "residual bound", "fixed pair", "steps", "rate", "steps at most 1/L"]


def test_nothing_is_claimed_of_an_unprincipled_pair() -> None:
    d = check("sign(x)", "exp(-x**2)", steps="c", with_repairs=False).as_dict()
    assert d["freedoms"] is d["constants"] is d["corollaries"] is None
    assert d["steps"]["sum_diverges"]["answer"] == "proved"
    without = check("sign(x)", "1", with_theory=False).as_dict()
    assert without["constants"] is without["steps"] is None


def test_a_bad_formula_is_refused_before_anything_else() -> None:
    with pytest.raises(InputError, match="--steps"):
        check("x", "1", steps="c/(t - 1)")


def test_the_verdict_does_not_depend_on_the_constants() -> None:
    for forward, backward in ((SS5, DSS5), ("sign(x)", STE)):
        with_it = check(forward, backward).as_dict()
        without = check(forward, backward, with_theory=False).as_dict()
        assert with_it["verdict"] == without["verdict"]
        assert with_it["constants"] is not None


def test_out_of_time_every_constant_is_null_with_the_reason() -> None:
    pair = pair_of("x", "cos(x) + cosh(x)")
    verdict = decide(pair, 0.5)
    out = consequences(pair, verdict, None, 1e-3)["constants"]
    assert any(
        c["value"] is None and "time" in c["reason"] for c in out.values() if isinstance(c, dict) and "value" in c
    )
    none = unsettled(verdict, "not settled in time").as_dict()
    assert none["transform_lipschitz"] == {"value": None, "low": None, "high": None, "reason": "not settled in time"}
    assert consequences(pair, Verdict("undecided", "", None))["constants"] is None


# ---- synthesized pairs


COMBINED = [(p, t) for p, t in product(sorted(PROX_LIBRARY), sorted(TRANSFORM_LIBRARY))][::11]


@pytest.mark.parametrize(("prox", "transform"), COMBINED)
def test_synthesized_pairs(prox: str, transform: str) -> None:
    """sup|T'| found from (F, B) is at most what samples of the given T' on the hull allow, and at least them."""
    t = TRANSFORM_LIBRARY[transform].map()
    try:
        made = synthesize(t, PROX_LIBRARY[prox].map())
        parts, verdict = anatomy(made.pair), decide(made.pair, 1.0)
    except (Undecided, InputError):  # InputError: this T is not monotone on a gap of this P
        return
    assert verdict.principled
    f = facts(parts, verdict, 5.0)
    if f.lipschitz.bound is None:
        assert f.lipschitz.reason
        return
    slope: PiecewiseMap = t.derivative()
    for p in parts.pieces:
        if p.kind == "S":
            for x in samples(p.a, p.b, 12):
                with precision(192):
                    assert not refuted(abs(enclose(p.g, enclose(x))), f.lipschitz.bound)
    # the least Lipschitz constant over the choices on the gaps cannot exceed that of the given T
    whole = [largest_modulus(e, a, b) for e, (a, b) in zip(slope.exprs, slope.ends, strict=True)]
    assert f.least_lipschitz.bound is not None
    assert compare(f.least_lipschitz.bound.low, greatest(whole).high) <= 0
