"""What synthesis refuses, and where a repair places its forward map."""

from __future__ import annotations

import pytest
import sympy as sp

from theory.checking import check
from theory.errors import InputError
from theory.parser import parse
from theory.synthesis import synthesize


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
