"""The identities in rational arithmetic: difference exactly 0, on runs of every kind of pair."""

from __future__ import annotations

import csv
import re
from dataclasses import replace
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from hypothesis import given, settings
from hypothesis import strategies as st

import proxpair
from theory.catalogue import CATALOGUE
from theory.errors import InputError
from theory.maps import OO, PiecewiseMap
from theory.pairs import QuantizerPair
from theory.parser import parse
from verify.ledger import divergence_at
from verify.rational import (
    RationalMap,
    RationalScheme,
    modulus_gradient,
    quadratic_gradient,
    rational_run,
    rational_scheme,
)

# one pair of each kind: the mode, r convex or not, the pair principled or not
PAIRS = {
    "FP": ("x", "1"),
    "BC": ("sign(x)", "1"),
    "BNN": ("sign(x)", "Piecewise((1, Abs(x) <= 1), (0, True))"),
    "ternary": ("(sign(x - 1/2) + sign(x + 1/2))/2", "Piecewise((1, Abs(x) <= 1), (0, True))"),
    "soft threshold": ("Piecewise((x + 1/2, x < -1/2), (0, x <= 1/2), (x - 1/2, True))", "1"),
    "clip": ("clip(x, -1, 1)", "1"),
    "clip, lipschitz": ("clip(x, -1, 1)", "Piecewise((1, Abs(x) <= 1), (0, True))"),
    "half": ("x/2", "1"),
    "steep": ("2*x", "1"),
    "PC": ("Piecewise((-1, x < -3/4), (x - 1/4, x < 0), (0, x == 0), (x + 1/4, x < 3/4), (1, True))", "1"),
    "hard threshold": ("Piecewise((x, x < -1), (0, x <= 1), (x, True))", "1"),
    "four levels": ("sign(x) + sign(x - 1)/2 + sign(x + 1)/3", "1"),
    "LeakySTE": ("sign(x)", "Piecewise((1, Abs(x) <= 1), (1/10, True))"),
    "triangle": ("sign(x)", "Max(0, 1 - Abs(x))"),
    "falling backward": ("sign(x)", "-1"),
}
MODES = {
    "advance": {"FP", "BC", "BNN", "ternary", "soft threshold", "clip", "clip, lipschitz", "half"}
    | {"PC", "hard threshold", "four levels"},
    "sign-field": {"LeakySTE", "triangle", "falling backward"},
}


@cache
def made(name: str) -> RationalScheme:
    forward, backward = PAIRS[name]
    return rational_scheme(QuantizerPair(parse(forward), parse(backward), name))


numbers = st.fractions(min_value=-3, max_value=3, max_denominator=8)


@st.composite
def experiments(draw: Any) -> dict[str, Any]:
    d, steps = draw(st.integers(1, 3)), draw(st.integers(1, 6))
    row = st.lists(numbers, min_size=d, max_size=d)
    root, centre, weights = draw(st.lists(row, min_size=d, max_size=d)), draw(row), draw(row)
    hessian = [[sum((a * b for a, b in zip(x, y, strict=True)), Fraction(0)) for y in root] for x in root]
    gradient = draw(
        st.sampled_from([quadratic_gradient(hessian, centre), modulus_gradient([abs(k) for k in weights], centre)])
    )
    positive = st.fractions(min_value=Fraction(1, 8), max_value=2, max_denominator=8)
    return {
        "gradient": gradient,
        "start": draw(row),
        "etas": draw(st.lists(positive, min_size=steps, max_size=steps)),
        "at": draw(row),
    }


@settings(max_examples=250, deadline=None)
@given(names=st.lists(st.sampled_from(sorted(PAIRS)), min_size=4, max_size=4, unique=True), experiment=experiments())
def test_both_identities_are_exact_and_every_divergence_is_not_negative(
    names: list[str], experiment: dict[str, Any]
) -> None:
    at = experiment.pop("at")
    for name in names:  # drawing an experiment takes as long as running it four times
        _holds_exactly(made(name), at, experiment)


def _holds_exactly(how: RationalScheme, at: list[Fraction], experiment: dict[str, Any]) -> None:
    run = rational_run(how, **experiment)
    for w in ([how.prox(Fraction(1))(a) for a in at], run.vs[0], run.vs[-1]):
        sides = run.sides(w)
        assert sides.first[0] - sides.first[1] == 0
        assert sides.second[0] - sides.second[1] == 0
        assert run.closes(w)
        assert run.least_divergence(w) >= 0
    # identity (I) knows nothing of P: with any other v it closes too, and only D >= 0 can tell
    wrong = replace(run, vs=[[how.prox(Fraction(1))(-a) for a in u] for u in run.us])
    assert wrong.closes(run.vs[0])


def test_a_step_size_off_by_one_index_opens_the_identity() -> None:
    how = made("soft threshold")
    gradient = quadratic_gradient([[Fraction(3)]], [Fraction(2)])
    run = rational_run(how, gradient, [Fraction(-1)], [Fraction(1, k) for k in range(2, 8)])
    assert run.closes([Fraction(2)])
    assert not replace(run, etas=[*run.etas[1:], Fraction(1, 8)]).closes([Fraction(2)])
    assert not replace(run, gs=[*run.gs[1:], run.gs[-1]]).closes([Fraction(2)])


@pytest.mark.parametrize("name", PAIRS)
def test_modes(name: str) -> None:
    wanted = next((mode for mode, names in MODES.items() if name in names), "fixed")
    assert made(name).mode == wanted


@pytest.mark.parametrize("name", ["BC", "soft threshold", "PC", "four levels", "clip"])
def test_a_wrong_proximal_map_is_caught_by_the_divergence(name: str) -> None:
    how = made(name)
    wrong = replace(how, prox=lambda mu: lambda u: how.prox(mu)(-u))
    start = [Fraction(7, 3), Fraction(-5, 4)]
    gradient = quadratic_gradient([[Fraction(1), Fraction(0)], [Fraction(0), Fraction(2)]], start)
    run = rational_run(wrong, gradient, start, [Fraction(1, 2)] * 3)
    assert run.closes(run.vs[0])
    assert min(run.least_divergence([-a for a in v]) for v in run.vs) < 0


def test_mu_left_behind_is_caught_by_the_divergence() -> None:
    how = made("soft threshold")
    still = replace(how, prox=lambda mu: how.prox(Fraction(1)))
    gradient = modulus_gradient([Fraction(1)], [Fraction(9)])
    run = rational_run(still, gradient, [Fraction(2)], [Fraction(1)] * 4)
    assert min(run.least_divergence([Fraction(k, 4)]) for k in range(-8, 24)) < 0
    right = rational_run(how, gradient, [Fraction(2)], [Fraction(1)] * 4)
    assert min(right.least_divergence([Fraction(k, 4)]) for k in range(-8, 24)) >= 0


@cache
def catalogued(name: str) -> RationalScheme | str:
    try:
        return rational_scheme(CATALOGUE[name].pair())
    except InputError as reason:
        return str(reason)


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_catalogued_pair_runs_exactly_or_says_why_not(name: str) -> None:
    how = catalogued(name)
    if isinstance(how, str):
        assert re.search("rational arithmetic needs|has no ledger|cannot be run", how)
        return
    gradient = quadratic_gradient([[Fraction(2), Fraction(1)], [Fraction(1), Fraction(2)]], [Fraction(1, 3)] * 2)
    run = rational_run(how, gradient, [Fraction(1, 7), Fraction(-2, 5)], [Fraction(1, 3)] * 5)
    assert run.closes(run.vs[2])
    assert run.least_divergence(run.vs[2]) >= 0


def test_most_of_the_catalogue_is_rational() -> None:
    assert sum(not isinstance(catalogued(name), str) for name in CATALOGUE) >= 36


@given(x=numbers)
def test_rational_maps_are_the_exact_maps(x: Fraction) -> None:
    for text in (PAIRS["PC"][0], PAIRS["four levels"][0], "Piecewise((x**3 - x/2, x < 1/4), (2 - x**2, True))"):
        exact = parse(text)
        wanted = exact(sp.Rational(x))
        assert RationalMap.of(exact, "F")(x) == Fraction(int(wanted.p), int(wanted.q))


def test_what_is_not_rational_is_one_sentence() -> None:
    with pytest.raises(InputError, match="polynomial pieces, but F holds tanh"):
        RationalMap.of(parse("tanh(x)"), "F")
    with pytest.raises(InputError, match="rational numbers, but F holds sqrt"):
        RationalMap.of(parse("sqrt(2)*x"), "F")
    indicator = RationalMap.of(PiecewiseMap.build([-1, 1], [OO, OO, OO], [0, 0]), "r")
    assert indicator(Fraction(1)) == 0
    with pytest.raises(InputError, match="r has no finite value at 0"):
        indicator(Fraction(0))
    assert divergence_at([Fraction(2)], [Fraction(1)], Fraction(1), [Fraction(-1)], indicator) == 4


def test_the_command_writes_differences_that_are_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made_twice = []
    for folder in ("a", "b"):
        assert proxpair.main(["converge", "BC", "PC", "BNN++", "--exact", "--out", str(tmp_path / folder)]) == 0
        made_twice.append((tmp_path / folder / "convergence" / "exact.csv").read_bytes())
    assert made_twice[0] == made_twice[1]
    rows = list(csv.DictReader(made_twice[0].decode().splitlines()))
    assert [(r["problem"], r["method"]) for r in rows] == [
        (p, m) for p in ("quadratic", "plane", "modulus") for m in ("BC", "PC", "BNN++")
    ]
    for r in rows:
        if r["method"] == "BNN++":
            assert "needs polynomial pieces" in r["note"]
            continue
        assert (r["difference_first"], r["difference_second"], r["note"]) == ("0", "0", "")
        assert float(r["min_D"]) >= 0
        assert int(r["digits"]) > 10
    assert "not run: rational arithmetic needs polynomial pieces" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["BC", "--problem", "diabetes"], "has no rational data, exact runs take one of: quadratic, plane"),
        (["BC", "--steps", "201"], "between 1 and 200, not 201"),
        (["BC", "--steps", "0"], "between 1 and 200, not 0"),
        (["BC", "--seed", "-1"], "not negative"),
        (["Nope"], "unknown quantizer 'Nope'"),
        (["BC", "--problem", "rosenbrock"], "unknown problem 'rosenbrock'"),
    ],
)
def test_bad_input_is_one_sentence(
    arguments: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert proxpair.main(["converge", "--exact", "--out", str(tmp_path), *arguments]) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("proxpair: ")
    assert said.count("\n") == 1
    assert not list(tmp_path.rglob("*.csv"))
