"""Nonconvex f o T: the turning point, the identity while T moves, best known values, negative factors, escape."""

from __future__ import annotations

import csv
import math
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from theory.errors import InputError
from verify import commands_studies
from verify import transforms as tr
from verify.problems import problem
from verify.references import objective

F = Fraction


def test_the_turning_point_is_enclosed_and_a_wrong_one_refused() -> None:
    low, high = tr.turning_point()
    assert high - low <= F(1, 10**12)
    assert tr.turns_between(low, high)
    assert low < F(239935728052, 10**11) < high + F(1, 10**9)
    for wrong in ((F(2), F(239, 100)), (F(24, 10), F(3)), (high, low), (F(-3), F(3))):
        assert not tr.turns_between(*wrong)
    value, slope = tr._maps("SS")
    y = np.linspace(0.01, 30.0, 5000)
    assert np.array_equal(slope(y) < 0, y > tr.turning())
    assert abs(float(value(np.array([tr.turning()]))[0]) - 1.19968) < 1e-5
    # SS > 1 iff y > 1 + exp(-y)
    clear = np.abs(y - 1 - np.exp(-y)) > 1e-6
    below = y < 25  # beyond, SS rounds to 1
    assert np.array_equal((value(y) > 1)[clear & below], (y > 1 + np.exp(-y))[clear & below])


@pytest.mark.parametrize("transform", tr.TRANSFORMS)
@pytest.mark.parametrize("beta", [1.0, 5.0])
def test_the_factor_is_the_slope_of_the_transform(transform: str, beta: float) -> None:
    how = tr.sharpened(tr.combined(transform, "identity"), beta)
    v = np.array([-1.3, -0.11, 0.07, 0.15, 0.9, 2.6])
    e = 1e-6
    slope = (how.transform(v + e) - how.transform(v - e)) / (2 * e)
    assert np.allclose(how.factor(v, v), slope, atol=1e-7)
    if transform != "identity" and beta != 1.0:  # the mutant: the chain rule's beta left out
        assert not np.allclose(how.factor(v, v) / beta, slope, atol=1e-7)


@pytest.mark.parametrize("name", ["plane", "quadratic"])
@pytest.mark.parametrize("prox", ["identity", "clip"])
@pytest.mark.parametrize("transform", tr.TRANSFORMS)
def test_the_best_known_value_is_below_everything(name: str, prox: str, transform: str) -> None:
    of = problem(name)
    w, least = tr.comparator(of, transform, prox, 2.0)
    how = tr.sharpened(tr.combined(transform, prox), 2.0)
    points = np.random.default_rng(0).normal(size=(2000, of.dimension)) * 2
    points = how.prox.at(1.0)(points)
    values = objective(of, how)(points)
    assert values.min() >= least - 1e-9
    assert least - 1e-9 <= float(objective(of, how)(w)) <= least + 1e-2


def test_the_runs_say_what_they_should(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tr, "PROBLEMS", ("plane", "quadratic"))
    steps, told = 120, []
    rows = tr.run(tmp_path, 0, steps, told.append, seeds=4)
    assert sum(told) == tr.total(steps)
    cells = [dict(zip(tr.HEADER, row, strict=True)) for row in rows]
    assert {c["sharpness"] for c in cells} == set(tr.SHARPNESS)
    for c in cells:
        assert c["closure"] < 1e-12, c
        # the statement for a single w holds for every T, fixed or moving
        assert c["path_ratio"] == "" or c["path_ratio"] <= 1 + 1e-9, c
        # of the gap there is a bound where T is the identity alone
        if c["transform"] == "identity":
            assert c["gap_ratio"] <= 1 + 1e-9, c
        if c["transform"] != "SS":
            assert c["negative"] == 0, c
        assert (c["gap_ratio"] == "") == (c["sharpness"] not in ("1", "5"))
        assert (c["wide_ratio"] != "") == (c["prox"] == "clip" and c["sharpness"] in ("1", "5"))
    bent = [c for c in cells if c["transform"] != "identity" and c["gap_ratio"] != ""]
    assert max(c["gap_ratio"] for c in bent) > 2
    assert max(c["wide_ratio"] for c in cells if c["wide_ratio"] != "") > 2
    sharp = [c for c in cells if c["transform"] == "SS" and c["sharpness"] == "5" and c["prox"] == "identity"]
    assert all(c["negative"] > 0.05 for c in sharp)
    with (tmp_path / "convergence" / "negative.csv").open() as file:
        read = list(csv.DictReader(file))
    assert {r["transform"] for r in read} == set(tr.TRANSFORMS)
    assert all(0 <= float(r["negative"]) <= float(r["beyond"]) + 1e-12 for r in read)
    # P = id: the two are one for SS, up to coordinates that have come to rest at the turning point
    assert all(
        float(r["beyond"]) - float(r["negative"]) < 0.1
        for r in read
        if r["transform"] == "SS" and r["sharpness"] == "5"
    )
    assert len((tmp_path / "convergence" / "escape.csv").read_text().splitlines()) == 17


def test_beyond_the_turning_point_a_smaller_target_drives_v_out() -> None:
    for target in (-1.0, 0.0, 0.5, 0.9, 1.0):
        runs = [tr.escape("SS", target, 2.5, n) for n in (100, 1000, 4000)]
        assert [e.monotone for e in runs] == ["up"] * 3
        v, w = [e.last_v for e in runs], [e.last_w for e in runs]
        assert v[0] < v[1] < v[2]
        assert w[0] > w[1] > w[2] > 1
        assert all(v < 2.5 + 2 * math.log(n) + 5 for v, n in zip(v, (100, 1000, 4000), strict=True))  # like log t
        if target < 0.9:
            assert all(e.gap > 0.5 * (1 - target) ** 2 - 1e-15 for e in runs)
            # tanh comes back from the same place, and so does SS from this side of the turning point
            assert tr.escape("tanh", target, 2.5, 4000).gap < 1e-3 or target == -1.0
            assert tr.escape("SS", target, 2.3, 4000).gap < 1e-9
    # a larger target brings v back to the turning point, one in between to the second solution
    back = tr.escape("SS", 1.5, 3.0, 1000)
    assert back.monotone == "down"
    assert abs(back.last_v - tr.turning()) < 1e-6
    second = tr.escape("SS", 1.1, 3.0, 2000)
    assert second.last_v > tr.turning()
    assert abs(second.last_w - 1.1) < 1e-4


def test_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tr, "PROBLEMS", ("plane",))
    monkeypatch.setattr(tr, "SHARPNESS", ("1", "sqrt(t)"))
    app = typer.Typer()
    app.command()(commands_studies.hypotheses)
    app.command()(commands_studies.transforms)
    done = CliRunner().invoke(app, ["transforms", "--steps", "20", "--seeds", "2", "--out", str(tmp_path)])
    assert done.exit_code == 0, done.output
    assert "sqrt(t)" in done.stdout
    assert (tmp_path / "convergence" / "transforms.csv").exists()


@pytest.mark.parametrize(
    ("seed", "steps", "seeds"), [(-1, 10, 1), (0, 0, 1), (0, 20_001, 1), (0, 10, 0), (0, 10, 1001)]
)
def test_bad_input_is_refused(tmp_path: Path, seed: int, steps: int, seeds: int) -> None:
    with pytest.raises(InputError):
        tr.run(tmp_path, seed, steps, seeds=seeds)
