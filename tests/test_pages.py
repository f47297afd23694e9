"""The command `catalogue`: its list, its JSON, its LaTeX, one page per method, and what it refuses."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from page_checks import wrong_with_page
from shared import Catalogued, Found

import proxpair
from figures.tables import catalogue_sheet
from theory.catalogue import CATALOGUE
from theory.checker.audit import load, verify

ROOT = Path(__file__).resolve().parent.parent
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def runner(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = proxpair.main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return runner


@pytest.fixture(scope="module")
def rows(catalogued: Catalogued) -> list[Found]:
    return catalogued.every()


def test_every_method_is_decided_and_certified(rows: list[Found]) -> None:
    assert [row["name"] for row, _ in rows] == list(CATALOGUE)
    for row, certificate in rows:
        assert row["verdict"] == CATALOGUE[row["name"]].verdict
        assert row["certificate"]["accepted"], row
        assert certificate is not None
        claim = verify(load(certificate))
        assert (claim["forward"], claim["backward"]) == (row["forward"], row["backward"])
        assert claim["verdict"] == row["verdict"]


def test_rows_hold_the_object_of_check_and_the_declaration(rows: list[Found]) -> None:
    plain = proxpair.check("x", "1").as_dict()
    declared = {"name", "title", "year", "source", "coverage", "scope", "forward", "backward", "params", "ties"}
    for row, _ in rows:
        assert {*plain, *declared, "certificate"} == set(row)
        json.dumps(row, allow_nan=False)


def test_unprincipled_methods_have_repairs_nearest_first(rows: list[Found]) -> None:
    found = 0
    for row, _ in rows:
        if row["verdict"] != "unprincipled":
            assert row["repairs"] == []
            continue
        sizes = []
        for r in row["repairs"]:
            high = [r["distance"][key]["high"] for key in ("rms_forward", "rms_backward")]
            if None not in high:
                sizes.append(sum(_value(h) for h in high))
        assert sizes == sorted(sizes)
        found += bool(sizes)
    assert found >= 3


def _value(text: str) -> float:
    import sympy as sp

    from theory.parser import parse_constant

    return float("inf") if text == "oo" else float(sp.N(parse_constant(text, "distance")))


def test_the_sheet_shows_each_method_once(rows: list[Found]) -> None:
    sheet = catalogue_sheet([row for row, _ in rows])
    assert [r[0] for r in sheet.rows] == list(CATALOGUE)
    titles = [c.title for c in sheet.columns]
    for row in sheet.rows:
        cells = dict(zip(titles, row, strict=True))
        principled = cells["Verdict"] in ("smooth", "lipschitz")
        assert (cells["Corollary"] is not None) == principled
        assert cells["Nearest repair"] is None or not principled
        assert cells["Certificate"].startswith("accepted")
    lines = sheet.latex().splitlines()
    assert lines.index("\\bottomrule") - lines.index("\\midrule") == len(CATALOGUE) + 1


def test_two_runs_give_the_same_bytes(catalogued: Catalogued) -> None:
    """A process of its own has remembered nothing, and hashes otherwise."""
    row, _ = catalogued("BNN+")
    done = subprocess.run(
        [sys.executable, "-m", "proxpair", "catalogue", "--method", "bnn+", "--json"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        check=True,
    )
    assert (done.stdout, done.stderr) == (json.dumps(row) + "\n", "")


@pytest.mark.parametrize("name", ["BNN", "BNN+"])
def test_the_page_of_a_method_stands_alone(run: Run, catalogued: Catalogued, tmp_path: Path, name: str) -> None:
    code, out, err = run("catalogue", "--method", name, "--out", str(tmp_path))
    assert (code, err) == (0, "")
    page = Path(out.splitlines()[0])
    assert page.parent == tmp_path
    assert wrong_with_page(page.read_text(encoding="utf-8"), tmp_path) == []
    certificate = next(tmp_path.glob("*.certificate.json"))
    assert certificate.read_bytes() == catalogued(name)[1]
    assert run("verify-certificate", str(certificate))[0] == 0
    assert CATALOGUE[name].source in out


def test_one_method_in_latex(run: Run) -> None:
    code, out, _ = run("catalogue", "--method", "bnn++", "--latex")
    assert code == 0
    assert "\\toprule" in out
    assert "BNN++" in out


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("--method", "BNM"), "did you mean BNN?"),
        (("--out", "pages"), "give --method NAME"),
        (("--json", "--latex"), "not both"),
        (("--timeout", "0"), "--timeout"),
        (("--method", ""), "known: FP, BC"),
    ],
)
def test_bad_input_of_catalogue(run: Run, arguments: tuple[str, ...], part: str) -> None:
    code, out, err = run("catalogue", *arguments)
    assert (code, out) == (2, "")
    assert part in err
    assert err.count("\n") == 1


def test_a_file_in_place_of_the_folder_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "pages").write_text("mine")
    code, out, err = run("catalogue", "--method", "BNN", "--out", str(tmp_path / "pages"))
    assert (code, out) == (2, "")
    assert "a folder was expected" in err
    assert (tmp_path / "pages").read_text() == "mine"
