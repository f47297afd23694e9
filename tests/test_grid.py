"""The grid: its criteria against samples, its front and order against the definition, its output, what it refuses."""

from __future__ import annotations

import io
import json
import random
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
import sympy as sp

import proxpair
from theory import commands_synthesize, grid
from theory.catalogue import PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.checking import check
from theory.errors import InputError
from theory.exact import to_float
from theory.extrema import Bound
from theory.parser import parse
from theory.synthesis import Synthesized, synthesize
from verify.lowering import lower

SMALL = ("--transforms", "identity,clip,tanh", "--proxes", "box,binary projection,soft threshold", "--values", "beta=2")
PLAIN = ("--transforms", "identity,clip,ApproxSign", "--proxes", "box,binary projection,soft threshold")
LEVELS = (sp.Integer(-1), sp.Integer(1))
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def runner(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = proxpair.main(["synthesize", "--grid", *arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return runner


# ---- criteria


def sampled(made: Synthesized) -> dict[str, float]:
    """The criteria by samples in floats, from their definitions alone."""
    d = made.decomposition
    assert d.transform is not None
    assert d.prox is not None
    f, b, t, p = lower(made.pair.forward), lower(made.pair.backward), lower(d.transform), lower(d.prox)
    x = np.linspace(-30, 30, 240_001) + 1e-7
    w = p(x)
    lo, hi = w.min(), w.max()
    s = np.linspace(lo, hi, 400_001)
    h = s[1] - s[0]
    rate = np.diff(t(s)) / h
    q = np.where(x < 0, -1.0, 1.0)
    near = (np.abs(x) <= 1) & (np.abs(x) >= 0.25)
    inside = np.abs(x) <= 2
    return {
        "lipschitz": float(np.abs(rate).max()),
        "curvature": float(np.abs(np.diff(rate)).max() / h),
        "distance": float(np.abs(f(x) - q).max()),
        "near": float(np.abs(f(x) - q)[near].max()),
        "dead": float(4 * np.mean(b(x)[inside] <= 0)),
    }


def exact(made: Synthesized) -> dict[str, Bound]:
    return {
        "lipschitz": grid.lipschitz(made),
        "curvature": grid.curvature(made),
        "distance": grid.distance(made, LEVELS),
        "near": grid.near_distance(made, LEVELS),
        "dead": grid.dead_length(made.pair.backward),
    }


def mismatches(bounds: dict[str, Bound], samples: dict[str, float]) -> list[str]:
    """Criteria that the samples contradict. Where the exact value is oo, samples must be large."""
    found = []
    for key, bound in bounds.items():
        low, high, seen = to_float(bound.low), to_float(bound.high), samples[key]
        slack = 2e-3 * (1 + abs(seen))
        wrong = seen < 12 if low == np.inf else not low - slack <= seen <= high + slack
        if wrong or bound.high < bound.low:
            found.append(f"{key}: {bound} against {seen}")
    return found


PAIRS = (
    ("x", "x"),
    ("tanh(2*x)", "x"),
    ("clip(x, -1, 1)", "x"),
    ("clip(x, -1, 1)", "clip(x, -1, 1)"),
    ("tanh(x)", "sign(x)"),
    ("erf(x)", "sign(x)*Max(Abs(x) - 1/2, 0)"),
    ("x/(1 + Abs(x))", "tanh(2*x)"),
    ("Piecewise((-1, x < -1), (2*x + x**2, x < 0), (2*x - x**2, x < 1), (1, True))", "x"),
    ("2*sigmoid(5*x)*(1 + 5*x*(1 - sigmoid(5*x))) - 1", "x/(1 + Abs(x))"),
    ("-x", "x/2 + sign(x)/2"),
    ("x**2", "clip(x, -1/2, 2)"),
)


@pytest.mark.parametrize(("transform", "prox"), PAIRS)
def test_criteria_agree_with_samples(transform: str, prox: str) -> None:
    made = synthesize(parse(transform), parse(prox))
    samples = sampled(made)
    assert mismatches(exact(made), samples) == []
    for key, bound in exact(made).items():  # each comparison can fail
        if to_float(bound.low) < np.inf:
            moved = Bound(bound.low + sp.Rational(1, 20), bound.high + sp.Rational(1, 20), "moved")
            assert mismatches({key: moved}, samples) or samples[key] > 12


def test_criteria_that_are_known_by_hand() -> None:
    made = synthesize(parse("tanh(2*x)"), parse("x"))
    found = exact(made)
    known = {"lipschitz": 2, "curvature": 16 * sp.sqrt(3) / 9, "distance": 1, "dead": 0}  # max of 8 tanh (1 - tanh^2)
    for key, value in {**known, "near": 1 - sp.tanh(sp.Rational(1, 2))}.items():
        assert found[key].low <= value <= found[key].high
        assert found[key].high - found[key].low < sp.Rational(1, 10**5)
    point = synthesize(parse("3*x"), parse("2"))
    assert grid.lipschitz(point).low == 3
    assert grid.curvature(point).low == 0
    three = tuple(sp.Integer(k) for k in (-1, 0, 1))
    ternary = synthesize(parse("x"), PROX_LIBRARY["ternary projection"].map())
    assert grid.distance(ternary, three).low == 0
    assert grid.distance(ternary, LEVELS).low == 1


@pytest.mark.parametrize(
    ("backward", "expected", "length"),
    [
        ("1", [], 0),
        ("0", [("-oo", "oo", "zero")], 4),
        ("x", [("-oo", "0", "negative"), ("0", "0", "zero")], 2),
        ("x**2", [("0", "0", "zero")], 0),
        ("Piecewise((1, Abs(x) <= 1), (0, True))", [("-oo", "-1", "zero"), ("1", "oo", "zero")], 2),
        (
            "Piecewise((1, Abs(x) < 1), (0, True))",
            [("-oo", "-1", "zero"), ("-1", "-1", "zero"), ("1", "1", "zero"), ("1", "oo", "zero")],
            2,
        ),
        ("Piecewise((-1, x == 0), (1, True))", [("0", "0", "negative")], 0),
        ("1 - x**2", [("-oo", "-1", "negative"), ("-1", "-1", "zero"), ("1", "1", "zero"), ("1", "oo", "negative")], 2),
    ],
)
def test_where_the_backward_map_is_not_positive(
    backward: str, expected: list[tuple[str, str, str]], length: int
) -> None:
    b = parse(backward)
    found = grid.not_positive(b)
    assert [(r["from"], r["to"], r["sign"]) for r in found] == expected
    assert grid.dead_length(b).low == length


def test_a_zero_without_a_form_is_enclosed() -> None:
    """SS' turns negative where u tanh(u/2) = 2, u = 2.39936..."""
    bound = grid.dead_length(parse("5*(2 - 5*x*tanh(5*x/2))/(1 + cosh(5*x))"))
    u = sp.nsolve(sp.Symbol("u") * sp.tanh(sp.Symbol("u") / 2) - 2, 2.4, prec=30)
    assert bound.low <= 2 * (2 - u / 5) <= bound.high
    assert bound.high - bound.low < sp.Rational(1, 10**8)


@pytest.mark.parametrize("name", sorted(PROX_LIBRARY))
def test_convexity_of_the_library(name: str) -> None:
    entry = PROX_LIBRARY[name]
    assert grid.prox_is_convex(entry.map()) is entry.convex


# ---- order and front


def fake(values: list[Any], sources: list[str] | None = None) -> dict[str, Any]:
    """A row with criteria as exact numbers, pairs (low, high), or None."""
    criteria = {}
    for key, v in zip(grid.CRITERIA, values, strict=True):
        low, high = v if isinstance(v, tuple) else (v, v)
        criteria[key] = {
            "value": None,
            "low": None if v is None else str(low),
            "high": None if v is None else str(high),
        }
    return {"criteria": criteria, "sources": dict(zip(grid.CRITERIA, sources or [""] * 6, strict=True))}


def test_the_front_is_what_no_row_dominates() -> None:
    draw = random.Random(0)
    rows = [[draw.choice([Fraction(0), Fraction(1, 2), Fraction(1), "oo"]) for _ in range(6)] for _ in range(60)]
    numbers = [[np.inf if v == "oo" else float(v) for v in row] for row in rows]
    marked = [r["on_front"] for r in grid.mark_front([fake(row) for row in rows])]
    expected = [not any(all(a <= b for a, b in zip(u, v, strict=True)) and u != v for u in numbers) for v in numbers]
    assert marked == expected
    assert 1 < sum(marked) < 60
    ordered = grid.sorted_rows([{**fake(row), "n": n} for n, row in enumerate(rows)], "near")
    keys = [[numbers[r["n"]][k] for k in (3, 0, 1, 2, 4, 5)] + [r["n"]] for r in ordered]
    assert keys == sorted(keys)


def test_only_what_is_proved_leaves_the_front() -> None:
    def marks(*rows: dict[str, Any]) -> list[bool | None]:
        return [r["on_front"] for r in grid.mark_front(rows)]

    assert marks(fake([1] * 6), fake([1] * 5 + [2])) == [True, False]
    assert marks(fake([1] * 6), fake([1] * 6)) == [True, True]
    # overlapping enclosures prove nothing, unless both come from one source
    blurred = [1, (1, 2), 1, 1, 1, 1]
    assert marks(fake(blurred), fake([*blurred[:5], 2])) == [True, True]
    same = ["", "T", "", "", "", ""]
    assert marks(fake(blurred, same), fake([*blurred[:5], 2], same)) == [True, False]
    assert marks(fake([1, (1, 2), 1, 1, 1, 1]), fake([1, (3, 4), 1, 1, 1, 1])) == [True, False]
    # a criterion that is open: nothing is said of that row
    assert marks(fake([1] * 6), fake([2, None, 2, 2, 2, 2])) == [True, None]


# ---- the command


def test_a_small_grid(run: Run) -> None:
    code, out, err = run(*SMALL, "--json")
    assert code == 0
    rows = json.loads(out)
    assert len(rows) == 9
    assert err.startswith("9 pairs: 9 principled and kept")
    assert {(r["transform_name"], r["prox_name"]) for r in rows} == {
        (t, p) for t in ("identity", "clip", "tanh") for p in ("box", "binary projection", "soft threshold")
    }
    near = [float(Fraction(parse(r["criteria"]["near"]["low"]).constant.evalf(20).__str__())) for r in rows]
    assert near == sorted(near)
    fields = set(check("x", "1").as_dict())
    for r in rows:
        assert fields <= set(r)
        assert r["verdict"] in ("smooth", "lipschitz")
        assert check(r["forward"], r["backward"]).grade == r["verdict"]
        assert parse(r["transform"]).compose(parse(r["prox"])).agrees(parse(r["forward"]))
        given = r["parameters"]
        assert parse(r["transform"]).agrees(
            TRANSFORM_LIBRARY[r["transform_name"]].map(**_constants(given["transform"]))
        )
        assert parse(r["prox"]).agrees(PROX_LIBRARY[r["prox_name"]].map(**_constants(given["prox"])))
        assert set(r["criteria"]) == {*grid.CRITERIA, "convex_r", "backward_not_positive"}
        assert r["criteria"]["convex_r"] is PROX_LIBRARY[r["prox_name"]].convex
    best = next(r for r in rows if (r["transform_name"], r["prox_name"]) == ("identity", "binary projection"))
    assert best["on_front"] is True


def test_the_same_grid_gives_the_same_bytes_and_its_front(run: Run) -> None:
    code, out, _ = run(*PLAIN, "--json")
    assert code == 0
    assert run(*PLAIN, "--json")[1] == out
    kept = json.loads(run(*PLAIN, "--json", "--front")[1])
    assert kept == [r for r in json.loads(out) if r["on_front"] is not False]
    assert 0 < len(kept) < 9


def _constants(texts: dict[str, str]) -> dict[str, Any]:
    return {k: parse(v).constant for k, v in texts.items()}


def test_the_result_does_not_depend_on_the_number_of_workers() -> None:
    plan = grid.plan("identity,clip", "box,hard threshold", ["level=1/2,2"])
    assert len(plan.cells) == 6
    one, two = grid.run(plan, 10.0, 1), grid.run(plan, 10.0, 2)
    assert one == two


def test_tables(run: Run) -> None:
    code, out, _ = run(*PLAIN, "--sort", "lipschitz")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].split()[:2] == ["transform", "prox"]
    assert len(lines) == 11
    assert "q is the nearest of the levels -1, 1" in lines[-1]
    code, out, _ = run(*PLAIN, "--latex", "--levels", "-1,0,1")
    assert code == 0
    lines = out.splitlines()
    assert lines[0].startswith("% q is the nearest of the levels -1, 0, 1")
    assert [lines[k] for k in (2, 4, -2, -1)] == [r"\toprule", r"\midrule", r"\bottomrule", r"\end{tabular}"]
    rows = lines[5:-2]
    assert len(rows) == 9
    assert {row.count("&") for row in rows} == {9}
    assert all(row.endswith(r"\\") for row in rows)
    assert any(r"$\infty$" in row for row in rows)


def test_grades_and_refusals_are_counted(run: Run) -> None:
    # SS with beta = 5 turns between 0 and 1, over a gap of the projection
    options = ("--transforms", "clip,SwishSign", "--proxes", "ternary projection", "--values", "beta=5")
    code, out, err = run(*options, "--json")
    assert code == 0
    assert [r["transform_name"] for r in json.loads(out)] == ["clip"]
    assert "1 not composable" in err
    code, out, err = run("--transforms", "clip,ApproxSign", "--proxes", "identity", "--json", "--grade", "smooth")
    assert [r["transform_name"] for r in json.loads(out)] == ["ApproxSign"]
    assert "1 of a lower grade" in err


def test_pairs_that_run_out_of_time_are_counted(run: Run) -> None:
    code, out, err = run("--transforms", "tanh", "--proxes", "tanh", "--timeout", "0.001", "--json")
    assert code == 0
    assert out == "[]\n"
    assert "3 not settled" in err


def test_progress_is_shown_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert commands_synthesize._with_bar(iter([1, 2, 3]), 3) == [1, 2, 3]
    assert "pairs" in terminal.getvalue()
    assert "3/3" in terminal.getvalue()
    plain = io.StringIO()
    monkeypatch.setattr(sys, "stderr", plain)
    assert commands_synthesize._with_bar(iter([1, 2]), 2) == [1, 2]
    assert plain.getvalue() == ""


def test_the_default_grid_names_what_the_libraries_have() -> None:
    plan = grid.plan()
    assert 100 <= len(plan.cells) <= 200
    assert {c.transform for c in plan.cells} <= set(TRANSFORM_LIBRARY)
    assert {c.prox for c in plan.cells} <= set(PROX_LIBRARY)
    assert ("beta", "5") in {p for c in plan.cells for p in c.transform_params}


MANY = "beta=" + ",".join(str(k) for k in range(1, 400))


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--forward", "x"), "do not give --forward"),
        (("--transform", "x", "--prox", "x"), "do not give --transform"),
        (("--centre", "1"), "do not give --centre"),
        (("--param", "beta=1"), "--values NAME=Q,Q"),
        (("--json", "--latex"), "not both"),
        (("--transforms", "tahn"), "did you mean tanh?"),
        (("--proxes", "boxx"), "did you mean box?"),
        (("--proxes", ""), "--proxes: a list separated by commas"),
        (("--transforms", "tanh,,erf"), "--transforms: a list separated by commas"),
        (("--transforms", "tanh,TANH"), "tanh is given twice"),
        (("--values", "beta"), "--values: NAME=Q,Q was expected"),
        (("--values", "=1"), "--values: NAME=Q,Q was expected"),
        (("--values", "beta="), "--values beta: a list"),
        (("--values", "beta=1,two"), "--values beta"),
        (("--values", "beta=1,oo"), "--values beta"),
        (("--values", "beta=1,2/2"), "2/2 is given twice"),
        (("--values", "beta=1", "--values", "beta=2"), "they are given twice"),
        (("--values", "gamma=1"), "--values gamma: no chosen transform"),
        (("--transforms", "clip", "--proxes", "box", "--values", "beta=1"), "they have none"),
        (("--values", MANY), "at most 5000 pairs"),
        (("--levels", "1"), "--levels"),
        (("--levels", "1,-1"), "--levels"),
        (("--levels", "a,b"), "--levels"),
        (("--sort", "beauty"), "--sort: one of lipschitz"),
        (("--grade", "unprincipled"), "--grade"),
        (("--timeout", "-1"), "--timeout"),
    ],
)
def test_bad_options_are_refused_in_one_line(run: Run, options: tuple[str, ...], part: str) -> None:
    code, out, err = run(*options)
    assert (code, out) == (2, "")
    assert err.startswith("proxpair: ")
    assert err.count("\n") == 1
    assert part in err


def test_the_largest_grid_is_5000_pairs() -> None:
    def count(n: int) -> int:
        return len(grid.plan("tanh,SwishSign", None, ["beta=" + ",".join(str(k) for k in range(1, n + 1))]).cells)

    assert count(250) == 5000
    with pytest.raises(InputError, match="but these names and values make 5020"):
        count(251)
