"""The decision against the table of hand derivations, an exhaustive oracle, and its own symmetries."""

from __future__ import annotations

import re

import pytest
from certificates import defects, same
from definition import Flat, Move, convex, grade
from hypothesis import HealthCheck, given, settings
from pieces import items, pair_of
from truth import TRUTHS, UNDECIDED, UNPRINCIPLED, UNSET, Truth

from theory.decision import decide
from theory.exact import sign_of
from theory.pairs import QuantizerPair
from theory.parser import parse


def pair(forward: str, backward: str) -> QuantizerPair:
    return QuantizerPair(parse(forward), parse(backward))


def number(t: Truth) -> str:
    return f"{TRUTHS.index(t)}"


@pytest.mark.parametrize("t", TRUTHS, ids=number)
def test_verdict_is_the_derived_one(t: Truth) -> None:
    p = pair(t.forward, t.backward)
    v = decide(p)
    assert v.grade == t.verdict, v.reason
    if t.literal != UNSET:
        assert v.literal is t.literal
    if t.verdict in (UNPRINCIPLED, UNDECIDED):
        assert (v.witness is not None) == (t.verdict == UNPRINCIPLED)
        assert v.decomposition is None
        if v.witness is not None and t.kind is not None:
            assert v.witness.kind == t.kind
        return
    assert v.decomposition is not None
    assert defects(p, v.decomposition, v.grade == "smooth") == []
    if t.convex != UNSET:
        assert v.convex is t.convex


def test_the_table_is_large_and_has_every_kind_of_witness() -> None:
    assert len(TRUTHS) >= 300
    assert len({(t.forward, t.backward) for t in TRUTHS}) == len(TRUTHS)
    assert {t.verdict for t in TRUTHS} == {"smooth", "lipschitz", "unprincipled", "undecided"}
    assert len({t.kind for t in TRUTHS if t.kind}) == 8
    assert sum(t.verdict == UNDECIDED for t in TRUTHS) <= 2


def substituted(text: str, inner: str) -> str:
    return re.sub(r"\bx\b", f"({inner})", text)


def twin(t: Truth, k: int) -> QuantizerPair:
    """A pair that is principled in the same grade: x -> -x, x -> 3x + 1, F -> 2F + 3, F -> -F."""
    if k % 4 == 0:
        return pair(substituted(t.forward, "-x"), f"-({substituted(t.backward, '-x')})")
    if k % 4 == 1:
        return pair(substituted(t.forward, "3*x + 1"), substituted(t.backward, "3*x + 1"))
    if k % 4 == 2:
        return pair(f"2*({t.forward}) + 3", f"2*({t.backward})")
    return pair(f"-({t.forward})", f"-({t.backward})")


@pytest.mark.parametrize("k", range(len(TRUTHS)))
def test_verdict_is_invariant_under_symmetries(k: int) -> None:
    t = TRUTHS[k]
    v = decide(twin(t, k), budget=0.02)
    assert v.grade == t.verdict, v.reason
    if t.literal != UNSET:
        assert v.literal is t.literal


@given(described=items())
@settings(max_examples=250, suppress_health_check=list(HealthCheck))
def test_decision_agrees_with_exhaustive_search(described: list[Move | Flat]) -> None:
    p = pair_of(described)
    v = decide(p)
    assert v.grade == grade(described), (str(p.forward), str(p.backward))
    if v.principled:
        assert v.convex is convex(described)
        assert v.decomposition is not None
        assert defects(p, v.decomposition, v.grade == "smooth") == []


@pytest.mark.parametrize(
    "t", [t for t in TRUTHS if t.kind in ("opposite-signs", "backward-varies-on-level-set")], ids=number
)
def test_witness_refutes_by_evaluation(t: Truth) -> None:
    """The exact points of a witness show the failure without the decision."""
    p = pair(t.forward, t.backward)
    w = decide(p, budget=0.02).witness
    assert w is not None
    if w.kind == "opposite-signs":
        slope, b = p.forward.derivative()(w.points[0]), p.backward(w.points[0])
        assert slope is not None
        assert b is not None
        assert sign_of(slope * b) == -1
    else:
        x, y = w.points
        f, g = [p.forward(c) for c in (x, y)], [p.backward(c) for c in (x, y)]
        assert f[0] is not None
        assert f[1] is not None
        assert same(f[0], f[1])
        assert g[0] is not None
        assert g[1] is not None
        assert not same(g[0], g[1])


def mutants() -> list[tuple[str, str, str]]:
    """One character of a principled pair changed: the verdict must change with it."""
    return [
        ("x", "Piecewise((1, x < 0), (2, True))", "Piecewise((1, x < 0), (-2, True))"),
        ("sign(x)", "Piecewise((1, Abs(x) <= 1), (0, True))", "Piecewise((1, Abs(x) <= 1), (1e-30, True))"),
        ("x**3", "3*x**2", "3*x**2 - 1e-30"),
        ("tanh(x)", "1 - tanh(x)**2", "1 - 1.001*tanh(x)**2"),
        ("clip(x, -1, 1)", "1", "Piecewise((1, x < 2), (1.0000001, True))"),
    ]


@pytest.mark.parametrize(("forward", "backward", "mutant"), mutants())
def test_mutants_lose_their_verdict(forward: str, backward: str, mutant: str) -> None:
    assert decide(pair(forward, backward), budget=0.02).principled
    assert decide(pair(forward, mutant), budget=0.02).grade == UNPRINCIPLED
