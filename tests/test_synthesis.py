"""Synthesis in every direction: what it makes, what it refuses, a short random run with its mutants, the command."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace

import made as made_run
import pytest
import sympy as sp
from made import complaints

import proxpair
from theory.catalogue import CATALOGUE
from theory.checking import check
from theory.errors import InputError, Undecided
from theory.exact import X
from theory.maps import UNDEFINED, PiecewiseMap
from theory.pairs import QuantizerPair
from theory.parser import parse
from theory.synthesis import Synthesized, canonical_choices, integrate_backward, solve_transform, synthesize

CLIPPED = "Piecewise((1, Abs(x) <= 1), (0, True))"


@pytest.mark.parametrize("transform", ["Abs(x)", "x**3 - x/2", "-Abs(x)"])
def test_a_transform_must_be_monotone_across_a_jump(transform: str) -> None:
    with pytest.raises(InputError, match="must be monotone between -1 and 1"):
        synthesize(parse(transform), parse("sign(x)"))


@pytest.mark.parametrize("transform", ["x", "-x", "clip(x, -1/2, 1/2)", "-x**3"])
def test_a_monotone_transform_across_a_jump_is_taken(transform: str) -> None:
    assert synthesize(parse(transform), parse("sign(x)")).verdict.principled


@pytest.mark.parametrize(
    ("prox", "where"),
    [
        ("-x", "decreases at x = "),
        ("x**2", "decreases at x = "),
        ("-sign(x)", "jumps downward at x = 0"),
        ("Piecewise((x, x < 0), (5, x == 0), (x + 1, True))", "its value 5 at x = 0 lies outside"),
    ],
)
def test_a_proximal_map_must_be_monotone(prox: str, where: str) -> None:
    with pytest.raises(InputError, match=where):
        synthesize(parse("x"), parse(prox))


def test_a_transform_must_be_continuous() -> None:
    with pytest.raises(InputError, match="must be continuous"):
        synthesize(parse("sign(x)"), parse("x"))


@pytest.mark.parametrize(
    ("forward", "centre"), [("Heaviside(x, 1/2)", "1/2"), ("sign(x)", "0"), ("3 + 2*sign(x)", "3")]
)
def test_a_repair_keeps_the_middle_of_the_levels(forward: str, centre: str) -> None:
    found = {r.keeps: r for r in check(forward, "Max(0, 1 - Abs(x))").repairs}
    assert found["backward"].pair.forward(0) == sp.Rational(centre)


# ---- F and P


def maps(*texts: str) -> list[PiecewiseMap]:
    return [parse(t) for t in texts]


@pytest.mark.parametrize(
    ("forward", "prox", "transform", "backward"),
    [
        ("sign(x)", "sign(x)", "x", "1"),
        ("x", "tanh(x)", "log((x + 1)/(1 - x))/2", "cosh(x)**2"),
        ("x", "exp(x)", "log(x)", "exp(-x)"),
        ("x**3", "x**3", "x", "1"),
        ("3", "2", "3", "0"),
        ("2*sign(x)", "3*sign(x)", "2*x/3", "2/3"),
        ("-sign(x)", "sign(x)", "-x", "-1"),
        # the value at the tie bends T on the gap
        (
            "Piecewise((-1, x < 0), (1/2, x == 0), (1, True))",
            "sign(x)",
            "Piecewise((1/2 + 3*x/2, x < 0), (1/2 + x/2, True))",
            "Piecewise((3/2, x <= 0), (1/2, True))",
        ),
        ("x + x**3", "x + sign(x)", None, "Piecewise((0, x == 0), (1 + 3*x**2, True))"),
    ],
)
def test_a_transform_is_solved_for(forward: str, prox: str, transform: str | None, backward: str) -> None:
    f, p = maps(forward, prox)
    made = solve_transform(f, p)
    assert made.pair.forward == f
    assert made.pair.backward.agrees(parse(backward))
    if transform is not None:
        assert made.decomposition.transform is not None
        if transform.startswith("log"):  # has no value outside the hull, so that it cannot be read as a map
            assert str(made.decomposition.transform) == transform
        else:
            assert made.decomposition.transform.agrees(parse(transform))
    assert complaints(made) == []


@pytest.mark.parametrize(
    ("forward", "prox", "parts"),
    [
        ("x", "clip(x, -1, 1)", ("x = -5 and x = -2", "same P = -1", "values -5 and -2")),
        ("sign(x)", "Piecewise((-1, x < 0), (1, True))", ("x = 0 and x = 1 have the same P = 1", "0 and 1")),
        ("sign(x)", "clip(x, -1, 1)", ("no continuous transform", "x = 0", "F to -1")),
        ("sign(x)", "x", ("no continuous transform", "x = 0")),
        ("x", "x**3", ("infinite slope at 0",)),
        ("sqrt(1 - clip(x, -1, 1)**2)", "clip(x, -1, 1)", ("infinite slope at -1",)),
        ("sign(x) + 3*Piecewise((1, x == 0), (0, True))", "sign(x)", ("no monotone transform", "x = 0", "F = 3")),
        ("1/x", "x", ("unbounded beside x = 0",)),
        ("x", "-x", ("must be monotone",)),
        ("x", "1/x", ("a proximal map must",)),
    ],
)
def test_a_forward_map_that_does_not_fit_is_refused(forward: str, prox: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        solve_transform(*maps(forward, prox))
    for part in parts:
        assert part in str(error.value)


def test_named_points_have_equal_p_and_different_values() -> None:
    """The two points that a refusal names are what it says."""
    for forward, prox in (("x", "clip(x, -1, 1)"), ("exp(x)", "sign(x)*Max(Abs(x) - 1/2, 0)")):
        f, p = maps(forward, prox)
        for make in (lambda f=f, p=p: solve_transform(f, p), lambda f=f, p=p: integrate_backward(f, p)):
            with pytest.raises(InputError, match="is no function of the proximal map") as error:
                make()
            words = str(error.value).replace(",", " ").split()
            x, y = (sp.Rational(words[k + 2]) for k, w in enumerate(words) if w == "x" and words[k + 1] == "=")
            assert p(x) == p(y)
            assert f(x) != f(y)


def test_no_closed_form_is_said() -> None:
    with pytest.raises(Undecided, match="inverse"):
        solve_transform(*maps("tanh(x)", "x + tanh(x)"))
    with pytest.raises(Undecided, match="integral"):
        integrate_backward(parse("exp(-x**4)"))
    for f in ("round(x)", "sign(sin(x))"):
        with pytest.raises(Undecided, match="infinitely often"):
            solve_transform(*maps(f, "x"))
        with pytest.raises(Undecided, match="infinitely often"):
            canonical_choices(parse(f))


def test_maps_without_a_value_somewhere_are_refused() -> None:
    hole = PiecewiseMap((sp.Integer(0),), (UNDEFINED, X), (sp.Integer(0),))
    lone = PiecewiseMap((sp.Integer(0),), (X, X), (None,))
    line = parse("x")
    for bad, part in ((hole, "none on -oo < x < 0"), (lone, "none at x = 0")):
        for make in (solve_transform, integrate_backward):
            for pair in ((bad, line), (line, bad)):
                with pytest.raises(InputError, match=part):
                    make(*pair)
        with pytest.raises(InputError, match=part):
            synthesize(line, bad)
    with pytest.raises(InputError, match="none on -oo < x < 0"):
        canonical_choices(hole)


# ---- B and P, B alone


@pytest.mark.parametrize(
    ("backward", "prox", "forward"),
    [
        ("1", "sign(x)", "sign(x)"),
        ("1", "tanh(x)", "tanh(x)"),
        ("1 - tanh(x)**2", "tanh(x)", "tanh(x) - tanh(x)**3/3"),
        # BNN's backward on BNN's proximal map
        ("Piecewise((1, Abs(x) <= 1), (0, True))", "Piecewise((sign(x), Abs(x) <= 1), (x, True))", "sign(x)"),
        ("Piecewise((1, Abs(x) <= 1), (0, True))", "x", "clip(x, -1, 1)"),
        ("1/(1 + Abs(x))**2", "x", "x/(1 + Abs(x))"),
        # opposite signs: T is flat over the gap
        ("sign(x)", "x + sign(x)", "Abs(x)"),
        ("3", "2", "0"),
        # flat beside the gap, but B at the tie lifts T there
        ("Piecewise((1, x == 0), (0, True))", "sign(x)", "sign(x)/2"),
    ],
)
def test_a_backward_map_is_integrated(backward: str, prox: str, forward: str) -> None:
    b, p = maps(backward, prox)
    for centre in (sp.Integer(0), sp.Rational(2, 3)):
        made = integrate_backward(b, p, centre)
        assert made.pair.backward == b
        assert made.pair.forward.agrees(parse(forward) + PiecewiseMap.of(centre))
        assert made.pair.forward(0) == centre
        assert complaints(made) == []


@pytest.mark.parametrize(
    ("backward", "prox", "parts"),
    [
        ("Piecewise((1, Abs(x) <= 1), (0, True))", "clip(x, -1, 1)", ("x = -2 and x = -1", "P = -1", "0 and 1")),
        ("x", "sign(x)", ("no function of the proximal map",)),
        ("Piecewise((5, x == 0), (1, True))", "x", ("B(0) = 5 is no slope", "T' = 1")),
        ("Piecewise((2, Abs(x) >= 1), (1, True))", "clip(x, -1, 1)", ("B(-2) = 2 is no slope", "P(-2) = -1")),
        ("1/sqrt(Abs(x))", "x", ("unbounded beside x = 0",)),
        ("1", "-x", ("must be monotone",)),
    ],
)
def test_a_backward_map_that_does_not_fit_is_refused(backward: str, prox: str, parts: tuple[str, ...]) -> None:
    with pytest.raises(InputError) as error:
        integrate_backward(*maps(backward, prox))
    for part in parts:
        assert part in str(error.value)


def test_bnn_plus_becomes_bnn_plus_plus() -> None:
    bnn_plus, better = CATALOGUE["BNN+"].pair(), CATALOGUE["BNN++"].pair()
    made = integrate_backward(bnn_plus.backward)
    assert made.pair.forward.agrees(better.forward)
    assert made.verdict.grade == "smooth"


# ---- F alone


@pytest.mark.parametrize(
    ("forward", "wanted"),
    [
        ("sign(x)", {"T = id, P = F": "1", "T = clip to the levels, P = id beyond them": CLIPPED}),
        ("-sign(x)", {"T = -id, P = -F": "-1", "T = -softsign on the levels": "-1/2"}),
        ("tanh(x)", {"T = id, P = F": "1", "P = id, T = F": "1 - tanh(x)**2"}),
        ("x**2", {"P = id, T = F": "2*x"}),
        ("x + sign(x)", {"T = id, P = F": "1", "P = id with gaps at the jumps": "1"}),
        ("2*clip(round(x), -1, 1)", {"T = clip on the levels": "2"}),
        ("3", {"T = id, P = F": "1", "T = -id, P = -F": "-1", "P = id, T = F": "0"}),
        ("Piecewise((0, x < 0), (x**2, x < 1), (-3, True))", {"P = id with gaps at the jumps": None}),
    ],
)
def test_canonical_choices(forward: str, wanted: dict[str, str | None]) -> None:
    f = parse(forward)
    made, missing = canonical_choices(f)
    found = {m.choice: m for m in made}
    assert not set(found) & {m.choice for m in missing}
    assert all(m.reason for m in missing)
    for choice, backward in wanted.items():
        b = found[choice].pair.backward
        jumps = any(f.left(i) != f.right(i) for i in range(len(f.breaks)))
        assert backward is None or b.agrees(parse(backward), at_breaks=not jumps), choice
    for m in made:
        assert m.pair.forward == f
        assert complaints(m) == [], m.choice


def test_bnn_is_a_canonical_choice_of_sign() -> None:
    made, _ = canonical_choices(parse("sign(x)"))
    bnn = CATALOGUE["BNN"].pair()
    assert any(m.pair.backward.agrees(bnn.backward) for m in made)


def test_scaled_transforms_take_the_levels() -> None:
    found = {m.choice: m for m in canonical_choices(parse("sign(x)"))[0]}
    t = found["T = tanh on the levels"].decomposition
    assert t.transform is not None
    assert t.transform.agrees(parse("tanh(x)/tanh(1)"))
    assert t.prox == parse("sign(x)")


# ---- many random pairs, and mutants of each check


def test_a_short_run_has_no_complaint() -> None:
    outcome, wrong = made_run.run(16, 0)
    assert wrong == []
    assert outcome["pairs"] >= 16
    for direction in made_run.DIRECTIONS:
        assert outcome[f"pairs from {direction}"] >= 1


def sample() -> Synthesized:
    return synthesize(*maps("clip(x, -1, 1)", "sign(x)*Max(Abs(x) - 1/2, 0)"))


def test_a_wrong_grade_is_a_complaint() -> None:
    one = sample()
    assert complaints(one) == []
    bell = QuantizerPair(parse("sign(x)"), parse("1 - tanh(x)**2"))
    assert "unprincipled" in complaints(replace(one, pair=bell))[0]
    smooth = synthesize(*maps("tanh(x)", "x"))
    kinked = replace(smooth, pair=synthesize(*maps("clip(x, -1, 1)", "x")).pair)
    assert "lipschitz" in complaints(kinked)[0]
    assert "smooth was stated" in complaints(kinked)[0]


@pytest.mark.parametrize("part", ["forward", "backward"])
def test_a_pair_that_is_not_reproduced_is_a_complaint(part: str) -> None:
    one = sample()
    for change in ("1/1000", "x/1000", "Piecewise((1/1000, Abs(x) > 100), (0, True))"):
        moved = getattr(one.pair, part) + parse(change)
        wrong = replace(one, pair=replace(one.pair, **{part: moved}))
        assert made_run.reproduction_defects(wrong), change


@pytest.mark.parametrize("reading", ["largest", "smallest"])
def test_a_wrong_regularizer_is_a_complaint(reading: str) -> None:
    one = synthesize(*maps("x", "Piecewise((x - 1, x < 0), (0, x == 0), (x + 1, True))"))
    assert made_run.brute_defects(one) == []
    r = one.decomposition.regularizer
    for change in ("x/50", "x**2/50"):
        worse = replace(r, **{reading: _added(getattr(r, reading), change)})
        assert made_run.brute_defects(replace(one, decomposition=replace(one.decomposition, regularizer=worse)))
    gone = replace(one.decomposition, regularizer=replace(r, **{reading: None}))
    assert "r has no closed form" in made_run.brute_defects(replace(one, decomposition=gone))[0]
    moved = parse("Piecewise((x - 11/10, x < 0), (0, x == 0), (x + 11/10, True))")
    assert made_run.brute_defects(replace(one, decomposition=replace(one.decomposition, prox=moved)))


def _added(r: PiecewiseMap, change: str) -> PiecewiseMap:
    e = parse(change).exprs[0]
    return PiecewiseMap(
        r.breaks,
        tuple(p if p is sp.oo else p + e for p in r.exprs),
        tuple(v if v in (None, sp.oo) else v + e.subs(X, b) for b, v in zip(r.breaks, r.values, strict=True)),
    )


# ---- the command


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    def runner(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = proxpair.main(["synthesize", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return runner


Run = Callable[..., tuple[int, str, str]]


@pytest.mark.parametrize(
    ("options", "choice"),
    [
        (("--forward", "sign(x)", "--prox", "binary projection"), "T = F o P^-1 on the range of P, affine over"),
        (("--backward", "1", "--prox", "sign(x)"), "T = integral of B o P^-1"),
        (("--backward", "b*(1 - tanh(b*x)**2)", "--param", "b=2", "--centre", "1/2"), "F(0) = 1/2"),
    ],
)
def test_one_direction_as_text_and_json(run: Run, options: tuple[str, ...], choice: str) -> None:
    code, out, err = run(*options, "--json")
    assert (code, err) == (0, "")
    made = json.loads(out)
    assert made["verdict"] == "smooth"
    assert choice in made["choice"]
    assert made["schema"] == "proxpair/check/1"
    f, b, t, p = (parse(made[k]) for k in ("forward", "backward", "transform", "prox"))
    assert t.compose(p).agrees(f)
    assert check(f, b).grade == "smooth"
    code, text, err = run(*options)
    assert (code, err) == (0, "")
    assert made["forward"] in text
    assert choice in text
    assert run(*options, "--json")[1] == out


def test_forward_alone_lists_all_choices(run: Run) -> None:
    code, out, err = run("--forward", "sign(x)", "--json")
    assert (code, err) == (0, "")
    d = json.loads(out)
    assert d["forward"] == "sign(x)"
    assert len(d["choices"]) >= 6
    assert {c["forward"] for c in d["choices"]} == {"sign(x)"}
    assert {c["verdict"] for c in d["choices"]} == {"smooth", "lipschitz"}
    assert "P = id, T = F" in {c["choice"] for c in d["left_out"]}
    code, out, _ = run("--forward", "sign(x)")
    assert code == 0
    assert out.count("verdict ") == len(d["choices"])
    assert out.count("left out: ") == len(d["left_out"])


@pytest.mark.parametrize(
    ("options", "part"),
    [
        ((), "expected one of: --transform with --prox"),
        (("--prox", "x"), "given: --prox"),
        (("--transform", "x", "--forward", "x"), "given: --transform and --forward"),
        (("--forward", "x", "--backward", "1"), "given: --forward and --backward"),
        (("--transform", "x", "--prox", "x", "--forward", "x"), "expected one of"),
        (("--forward", "x", "--centre", "1"), "--centre"),
        (("--backward", "1", "--centre", "nought"), "--centre"),
        (("--backward", "1", "--centre", "0.5*"), "--centre"),
        (("--backward", "1", "--centre", "oo"), "--centre"),
        (("--forward", "tahn(x)"), "--forward"),
        (("--backward", "1", "--prox", "soft treshold"), "did you mean soft threshold?"),
        (("--forward", "x", "--prox", "-x"), "must be monotone"),
        (("--backward", "x", "--prox", "sign(x)"), "is no function of the proximal map: x = "),
        (("--forward", "x", "--prox", "sign(x)"), "is no function of the proximal map: x = "),
        (("--forward", "1/x"), "no canonical choice"),
        (("--forward", "x", "--param", "beta=1"), "--param beta: the forward map has not such a parameter"),
        (("--backward", "1", "--prox", "x", "--param", "c=1"), "--param c: neither the backward map nor the proximal"),
        (("--backward", "1/x"), "unbounded"),
        (("--forward", "x", "--front"), "--front belongs to --grid"),
        (("--forward", "x", "--latex"), "--latex belongs to --grid"),
        (("--forward", "x", "--values", "beta=1"), "--values belongs to --grid"),
        (("--forward", "x", "--timeout", "0"), "--timeout"),
    ],
)
def test_bad_options_are_refused_in_one_line(run: Run, options: tuple[str, ...], part: str) -> None:
    code, out, err = run(*options)
    assert (code, out) == (2, "")
    assert err.startswith("proxpair: ")
    assert err.count("\n") == 1
    assert part in err


@pytest.mark.parametrize("options", [("--backward", "exp(-x**4)"), ("--forward", "tanh(x)", "--prox", "x + tanh(x)")])
def test_what_has_no_closed_form_is_not_settled(run: Run, options: tuple[str, ...]) -> None:
    code, out, err = run(*options)
    assert (code, out) == (3, "")
    assert err.startswith("proxpair: not settled: ")
    assert "0." not in err
