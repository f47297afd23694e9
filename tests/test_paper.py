"""The main job end to end, small: everything is there, and two runs give the same bytes."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from shortened import first_entries

import proxpair
from theory.catalogue import CATALOGUE
from verify.experiments import PROFILES, Experiment

SMALL = ["--seed", "3", "--steps", "30", "--epochs", "1", "--seeds", "2", "--worst", "1", "--profile", "tiny"]


def tree(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in sorted(folder.rglob("*"))
        if p.is_file() and p.name != "timings.json"
    }


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two runs over some of the methods, of every kind of verdict (test_pages has them all).

    The second finds the drawings of the first, and draws those again whose data are others: that drawing
    the same data in another process gives the same bytes is the matter of test_figures.
    """
    folders = tmp_path_factory.mktemp("a"), tmp_path_factory.mktemp("b")
    tiny = Experiment("tiny", "digits", "mlp", 8, "weights", "scratch", 1, 64, (2.0,), 0.05, methods=("FP", "BC"))
    with first_entries(8), pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "cpu_count", lambda: 1)  # a pool of processes would not know this profile
        patch.setitem(PROFILES, "tiny", (tiny,))
        assert {entry.verdict for entry in CATALOGUE.values()} == {"smooth", "lipschitz", "unprincipled"}
        for folder in folders:
            if folder != folders[0]:
                shutil.copytree(folders[0] / "figures", folder / "figures")
            assert proxpair.main(["paper", "--out", str(folder), *SMALL]) == 0
    return folders


def test_two_runs_give_the_same_bytes(runs: tuple[Path, Path]) -> None:
    first, second = map(tree, runs)
    assert first.keys() == second.keys()
    assert [k for k in first if first[k] != second[k]] == []


def test_a_second_run_writes_nothing_but_its_seconds(
    runs: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    shutil.copytree(runs[0], out)
    stamps = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    tiny = Experiment("tiny", "digits", "mlp", 8, "weights", "scratch", 1, 64, (2.0,), 0.05, methods=("FP", "BC"))
    monkeypatch.setitem(PROFILES, "tiny", (tiny,))
    assert proxpair.main(["paper", "--out", str(out), *SMALL]) == 0
    again = {p: p.stat().st_mtime_ns for p in out.rglob("*") if p.is_file()}
    assert [p.name for p in stamps if stamps[p] != again.get(p)] == ["timings.json"]
    assert again.keys() == stamps.keys()


def test_the_seed_reaches_the_networks(runs: tuple[Path, Path]) -> None:
    rows = tree(runs[0])["networks/curves.csv"].decode().splitlines()
    column = rows[0].split(",").index("seed")
    assert {row.split(",")[column] for row in rows[1:]} == {"3", "4"}


def test_everything_is_there(runs: tuple[Path, Path]) -> None:
    out = runs[0]
    for name in (
        "index.html",
        "timings.json",
        "catalogue.json",
        "synthesized.json",
        "convergence/summary.csv",
        "networks/summary.csv",
        "networks/tiny/runs.csv",
        "networks-tiny.html",
    ):
        assert (out / name).stat().st_size > 0, name
    for kind in ("png", "pdf", "csv"):
        assert list((out / "figures").glob(f"*.{kind}"))
    assert {"verdicts", "networks", "experiments", "total"} <= set(json.loads((out / "timings.json").read_text()))


def test_no_seconds_outside_timings(runs: tuple[Path, Path]) -> None:
    assert "timings" not in (runs[0] / "catalogue.json").read_text()


@pytest.mark.parametrize(
    "bad",
    [
        ["--steps", "0"],
        ["--seeds", "0"],
        ["--epochs", "-1"],
        ["--seed", "-1"],
        ["--device", "tpu"],
        ["--steps", "x"],
        ["--profile", "x"],
    ],
)
def test_bad_arguments_write_nothing(bad: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert proxpair.main(["paper", "--out", str(out), *bad]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.strip().splitlines()) == 1
    assert not out.exists()
