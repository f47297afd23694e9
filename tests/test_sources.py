"""The catalogue against what it was taken from: hand-written formulas, a second evaluator, torchao, a scratch copy.

Compared at random points, at ties and their neighbours, at infinities and at the extremes of float64.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy as sp
import torch
from evaluator import evaluate, exact_point
from sources import SOURCES

from theory.catalogue import CATALOGUE, Entry, lookup, lookup_prox
from theory.exact import to_float
from theory.maps import PiecewiseMap
from theory.parser import parse, parse_constant
from verify.lowering import lower

torch.set_num_threads(1)

ROOT = Path(__file__).resolve().parent.parent
TOLERANCE = 1e-12
"""Relative to max(1, |value|)."""
SHIPPED = tuple(SOURCES)
EXTREMES = [0.0, -0.0, 5e-324, 1e-308, 1e-30, 1e-9, 1e4, 1e9, 1e38, 1e160, 1e308, 1.7976931348623157e308, math.inf]
WINDOW = 20.0  # a pair with infinitely many breakpoints is compared here only


def floats(m: PiecewiseMap) -> Callable[[Any], Any]:
    """The map on float64 arrays: lowered, or exact point by point where it cannot be lowered."""
    if not m.windowed:
        found: Callable[[Any], Any] = lower(m)
        return found
    return lambda x: np.array([to_float(m(sp.Rational(float(v)))) for v in x])


def points(entry: Entry) -> tuple[Any, Any]:
    """(points, points at which no float is the tie): random ones, extremes, ties and their neighbours."""
    pair = entry.pair()
    exact = [*pair.forward.breaks, *pair.backward.breaks]
    marks = np.array([to_float(b) for b in exact])
    no_float = {to_float(b) for b in exact if not b.is_Rational or sp.Rational(to_float(b)) != b}
    rng = np.random.default_rng(2)
    beside = [np.nextafter(marks, np.inf), np.nextafter(marks, -np.inf), marks + 1e-9, marks - 1e-9]
    far = np.array([*EXTREMES, *(-v for v in EXTREMES)])
    x = np.concatenate([rng.normal(0, 1, 150), rng.uniform(-12, 12, 100), marks, *beside, far])
    if pair.forward.windowed:
        x = x[np.abs(x) < WINDOW]
    return x[~np.isin(x, list(no_float))], np.array(sorted(no_float))


def mismatch(ours: Any, theirs: Any) -> Any:
    """Where two arrays differ: beyond the tolerance, or in an infinity or NaN."""
    with np.errstate(all="ignore"):
        close = np.isfinite(theirs) & (np.abs(ours - theirs) <= TOLERANCE * np.maximum(1.0, np.abs(theirs)))
    return ~(close | (ours == theirs) | (np.isnan(ours) & np.isnan(theirs)))


def wrong(entry: Entry, forward: Callable[[Any], Any], backward: Callable[[Any], Any]) -> list[float]:
    """The points at which F or B, as functions of floats, miss the source's formula."""
    x, _ = points(entry)
    f, b = SOURCES[entry.name]
    with np.errstate(all="ignore"):
        bad = mismatch(forward(x), f(x)) | mismatch(backward(x), b(x))
    return [float(v) for v in x[bad]]


# --------------------------------------------------------------------------- hand-written formulas


def test_the_shipped_pairs_have_their_own_formula() -> None:
    assert len(SHIPPED) >= 60
    assert set(SHIPPED) <= set(CATALOGUE)


@pytest.mark.parametrize("name", SHIPPED)
def test_lowered_maps_agree_with_the_source(name: str) -> None:
    pair = lookup(name).pair()
    assert wrong(lookup(name), floats(pair.forward), floats(pair.backward)) == []


@pytest.mark.parametrize("name", SHIPPED)
def test_the_source_rejects_mutants(name: str) -> None:
    entry = lookup(name)
    pair = entry.pair()
    f, b = floats(pair.forward), floats(pair.backward)
    assert wrong(entry, lambda x: f(x) + 1e-9, b)
    assert wrong(entry, f, lambda x: b(x) * (1 + 1e-9))
    assert wrong(entry, lambda x: f(x + 1e-3 * (np.abs(x) < 9)), lambda x: b(x + 1e-3 * (np.abs(x) < 9)))
    if name != "FP":
        assert wrong(entry, lambda x: x, b)
    if entry.period is None:
        assert wrong(entry, lambda x: np.where(x == np.inf, 7.5, f(x)), b) == [math.inf]
        assert set(wrong(entry, f, lambda x: np.where(np.abs(x) == 1e308, 7.5, b(x)))) == {1e308, -1e308}
    for at, _, _ in entry.ties:
        c = to_float(parse(at, {k: parse_constant(v, k) for k, v in entry.params.items()}).constant)
        if c in points(entry)[0]:
            assert set(wrong(entry, lambda x, c=c: f(x) + (x == c), b)) == {c}
            assert set(wrong(entry, f, lambda x, c=c: b(x) + (x == c))) == {c}


# --------------------------------------------------------------------------- a second evaluator


def disagreements(entry: Entry, forward: str, backward: str, count: int = 40) -> list[Any]:
    """The points at which the exact maps differ from the second evaluator's reading of the texts.

    ``count`` random points; if more than a few, also ties, their neighbours and extremes.
    """
    pair = entry.pair()
    x, _ = points(entry)
    x = x[np.isfinite(x)]
    x = np.concatenate([x[:count], x[250:]]) if count > 5 else x[:count]
    found = []
    for m, text in ((pair.forward, forward), (pair.backward, backward)):
        theirs = np.array([float(evaluate(text, float(v), entry.params)) for v in x])
        with np.errstate(all="ignore"):
            found += [float(v) for v in x[mismatch(floats(m)(x), theirs)]]
        for at, _, _ in entry.ties:
            point = exact_point(at, entry.params)
            if point is not None:  # else the tie is no rational, and no digits settle on which side it lies
                value = m(sp.Rational(point.numerator, point.denominator))
                if abs(to_float(value) - float(evaluate(text, point, entry.params))) > TOLERANCE:
                    found.append(point)
    return found


@pytest.mark.parametrize("name", CATALOGUE)
def test_exact_maps_agree_with_a_second_evaluator(name: str) -> None:
    entry = CATALOGUE[name]
    assert disagreements(entry, entry.forward, entry.backward) == []


@pytest.mark.parametrize("name", CATALOGUE)
def test_the_second_evaluator_rejects_mutants(name: str) -> None:
    entry = CATALOGUE[name]
    assert disagreements(entry, f"({entry.forward}) + 1/10**9", entry.backward, 2)
    assert disagreements(entry, entry.forward, f"({entry.backward})*(1 + 1/10**9)", 5)
    for at, _, _ in entry.ties:
        point = exact_point(at, entry.params)
        if point is not None:
            assert point in disagreements(
                entry, entry.forward, f"Piecewise(({entry.backward} + 1, x == {point}), ({entry.backward}, True))", 1
            )


@pytest.mark.parametrize(
    ("text", "x", "value"),
    [
        ("round(x)", 0.5, 0),
        ("round(x)", 1.5, 2),
        ("clip(x, -1, 1)", -3.0, -1),
        ("Heaviside(x, 1/4)", 0.0, 0.25),
        ("Piecewise((1, -1 <= x < 1), (1/x, True))", 0.0, 1),
        ("Min(x, 2, -x**2)", 3.0, -9),
        ("sigmoid(x) - 1/(1 + exp(-x))", 0.7, 0),
        ("2**-3*x", 8.0, 1),
    ],
)
def test_the_second_evaluator_by_hand(text: str, x: float, value: float) -> None:
    assert float(evaluate(text, x, {})) == pytest.approx(value, abs=1e-15)


# --------------------------------------------------------------------------- torchao


def torchao_map(kind: str, levels: list[float], x: Any) -> Any:
    """A proximal map of torchao's PARQ package: half way through its annealing where it anneals."""
    from torchao.prototype.parq.optim import ProxBinaryRelax, ProxHardQuant, ProxPARQ

    p, q = torch.from_numpy(x.copy()), torch.tensor(levels, dtype=torch.float64)
    made = {"hard": ProxHardQuant, "relax": lambda: ProxBinaryRelax(0, 10), "parq": lambda: ProxPARQ(0, 10)}[kind]()
    made.apply_(p, None, q, 5)
    return p.numpy()


@pytest.mark.parametrize(
    ("kind", "levels", "ours", "other_ties"),
    [
        ("parq", [-1.0, 0.0, 1.0], CATALOGUE["PARQ"].pair().forward, []),
        ("relax", [-1.0, 1.0], CATALOGUE["BinaryRelax"].pair().forward, [0.0]),
        ("hard", [-1.0, 1.0], CATALOGUE["BC"].pair().forward, [0.0]),
        ("hard", [-1.0, 0.0, 1.0], lookup_prox("ternary projection").map(), [-0.5]),
        ("hard", [-1.0, -0.25, 0.5, 2.0], lookup_prox("finite projection").map(), []),
    ],
)
def test_maps_of_torchao(kind: str, levels: list[float], ours: PiecewiseMap, other_ties: list[float]) -> None:
    """torchao takes the lower level at a midpoint; where the declared map does not, that one point differs."""
    marks = np.array([to_float(b) for b in ours.breaks])
    x = np.concatenate([np.random.default_rng(3).normal(0, 1.5, 4000), marks, *(marks + d for d in (1e-9, -1e-9))])
    x = np.concatenate([x, [0.0, 1e-308, -1e-308, 1e308, -1e308]])
    got, want = lower(ours)(x), torchao_map(kind, levels, x)
    # its inverse slope is a rounded 1/2, so a point within rounding of a kink may move by a rounding
    assert sorted(set(x[mismatch(got, want)].tolist())) == other_ties
    assert mismatch(got * (1 + 1e-9), want).any()
    assert mismatch(lower(ours)(x + 1e-6), want).any()


# --------------------------------------------------------------------------- one more declaration

ADDED = """

PUBLISHED += (
    Entry(
        name="Added pair",
        title="A pair that somebody adds",
        year=2026,
        source="A scratch copy, 2026",
        coverage="covered",
        scope="weights, declared in one place",
        forward="clip(2*x, -1, 1)",
        backward="3",
        params={},
        ties=(("1/2", "1", "3"), ("-1/2", "-1", "3")),
        period=None,
        verdict="smooth",
        literal=True,
        convex=True,
        transform="3*x",
        prox="clip(2*x, -1, 1)/3",
    ),
)
"""


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the tree with one more declaration."""
    copy = tmp_path_factory.mktemp("scratch") / "tree"
    left_out = shutil.ignore_patterns(".*", "out", "*.egg-info", "__pycache__", "docs", "benchmarks")
    shutil.copytree(ROOT, copy, ignore=left_out)
    with (copy / "theory" / "published.py").open("a", encoding="utf-8") as file:
        file.write(ADDED)
    return copy


def in_copy(copy: Path, *command: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(copy), "PYTHONDONTWRITEBYTECODE": "1"}
    return subprocess.run(
        [sys.executable, *command], cwd=copy, env=environment, capture_output=True, text=True, timeout=120, check=False
    )


def test_one_declaration_is_picked_up_by_the_generic_tests(scratch: Path) -> None:
    files = [f"tests/test_{name}.py" for name in ("catalogue", "sources")]
    done = in_copy(scratch, "-m", "pytest", "-q", "-rA", *files, "-k", "Added")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "test_pair_is_declared_rightly[Added pair]" in done.stdout
    assert "test_exact_maps_agree_with_a_second_evaluator[Added pair]" in done.stdout
    assert "skipped" not in done.stdout


def test_one_declaration_is_listed_by_the_command(scratch: Path) -> None:
    done = in_copy(scratch, "-m", "proxpair", "catalogue", "--method", "Added pair", "--json")
    assert done.returncode == 0, done.stderr
    row = json.loads(done.stdout)
    assert (row["name"], row["verdict"], row["backward"]) == ("Added pair", "smooth", "3")
    # the whole table takes longer and walks over exactly these
    done = in_copy(scratch, "-c", "import json, proxpair; print(json.dumps(list(proxpair.CATALOGUE)))")
    assert json.loads(done.stdout) == [*CATALOGUE, "Added pair"]


def test_a_wrong_declaration_fails_in_the_copy(scratch: Path) -> None:
    path = scratch / "theory" / "published.py"
    text = path.read_text(encoding="utf-8")
    try:
        path.write_text(text.replace(ADDED, ADDED.replace('verdict="smooth"', 'verdict="lipschitz"')), encoding="utf-8")
        done = in_copy(scratch, "-m", "pytest", "-vv", "tests/test_catalogue.py", "-k", "declared_rightly and Added")
    finally:
        path.write_text(text, encoding="utf-8")
    assert done.returncode == 1
    assert "decided smooth" in done.stdout


def test_digits() -> None:
    """The second evaluator has many more digits than the tolerance asks for."""
    assert mpmath.mpf(10) ** -40 > abs(evaluate("exp(log(x))", 3.0, {}) - 3)
