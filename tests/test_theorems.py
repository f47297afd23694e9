"""The table of theorems: counts come from the files, links lead somewhere, and every planted error shows."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from links import Links
from page_checks import Page
from test_figures import write_runs

from figures import commands, report, theorems
from figures.data import Inputs, Table
from figures.mathml import mathml
from theory import derivations, last_iterate
from theory.errors import InputError
from theory.files import write_text

# every line of write_runs' made-up runs: 6 with a ledger, of which 2 have a convex r
LEDGERS, CONVEX = 6, 2


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with runs and without pictures."""
    folder = tmp_path_factory.mktemp("runs")
    write_runs(folder)
    return folder


@pytest.fixture
def out(made: Path, tmp_path: Path) -> Path:
    """A copy of it to spoil."""
    for path in (made / "convergence").iterdir():
        (tmp_path / "convergence").mkdir(exist_ok=True)
        (tmp_path / "convergence" / path.name).write_bytes(path.read_bytes())
    return tmp_path


def rewrite(out: Path, name: str, column: str, value: str, **where: str) -> None:
    """Change one cell of the first row with the given cells."""
    path = out / "convergence" / f"{name}.csv"
    table = Table.read(path.read_text())
    row = table.where(**where)[0]
    row[column] = value
    write_text(path, table.text())


def line(table: theorems.Theorems, start: str) -> theorems.Line:
    return next(x for x in table.lines if x.statement.startswith(start))


def rows_of(out: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO((out / "theorems.csv").read_text())))


# --------------------------------------------------------------------------- what the table says


def test_numbers_come_from_the_files(out: Path) -> None:
    table = theorems.write(out)
    assert table.failing == []
    assert table.missing == ()
    first = line(table, "identity (I)")
    assert (
        first.how
        == f"symbolic proof; exact: 1 rational run; {LEDGERS} float64 runs; 3 float64 runs with other transforms"
    )
    assert first.slack == 2e-15
    assert first.violations == 0
    assert line(table, "s_t is a subgradient").how == f"{CONVEX} float64 runs"
    assert line(table, "D_{t+1}(v_t) from above (convex r)").slack == -1e-17
    convex = line(table, "convex f o T, convex r: best iterate")
    assert convex.how == f"symbolic proof; {CONVEX} float64 runs; 3 worst cases, numerical"
    assert convex.slack == pytest.approx(0.1 - 0.3)
    assert convex.tightest == 0.9  # of the worst cases, against 0.5 of the runs
    assert line(table, "every w").tightest == 0.9  # of the transforms
    assert line(table, "fixed pair").how == "symbolic proof"  # no run of that kind here
    rewrite(out, "statements", "tightest", "0.95", statement="convex", iterate="best")
    assert line(theorems.write(out), "convex f o T, convex r: best iterate").tightest == 0.95


def test_what_breaks_a_hypothesis_is_no_violation(out: Path) -> None:
    table = theorems.write(out)
    smooth = next(x for x in table.lines if x.statement == "smooth, average iterate: smooth")
    assert (smooth.violations, smooth.tightest) == (0, 1.0)
    dropped = {(d.statement, d.hypothesis): d for d in table.dropped}
    beyond = dropped["smooth, average iterate", "eta_t <= 1/L"]
    assert (beyond.kept, beyond.dropped, beyond.broken) == ("1", "4", "yes")
    assert dropped["last iterate, 2 + 3/2 ln T", "|g_t + s_t| <= G"].broken == "yes"
    assert dropped["smooth", "eta_t <= 1/L"].sentence == "With eta = 5/(2L) it diverges."
    exact = [d for d in table.dropped if d.sentence.startswith("exact")]
    assert [(d.dropped, d.broken) for d in exact] == [("2", "yes"), ("9/4", "yes")]


def test_every_derivation_is_executed_and_listed_once(out: Path) -> None:
    every = (*derivations.derivations(), *last_iterate.derivations(), *last_iterate.logarithms())
    names = [d.name for d in every]
    assert len(set(names)) == len(names)
    listed = [r["Statement"] for r in rows_of(_written(out)) if r["Part"] == "derivations"]
    assert listed == names
    for claim in theorems.CLAIMS:
        assert set(claim.proofs) <= set(names), claim.statement


def _written(out: Path) -> Path:
    theorems.write(out)
    return out


def test_standings_are_those_that_there_are() -> None:
    known = {"derived", "recalled/derived", "derived; recalled with <=", "from its text; derived"}
    assert {c.standing for c in theorems.CLAIMS} <= known
    assert {p.standing for p in theorems.proofs().values()} <= known
    assert len({c.statement for c in theorems.CLAIMS}) == len(theorems.CLAIMS)


def test_every_claim_has_evidence_or_a_proof(out: Path) -> None:
    assert [c.statement for c in theorems.CLAIMS if not c.proofs and not c.sources] == []
    assert {x.status for x in theorems.write(out).statements} == {theorems.PROVED, theorems.CONFIRMED}


# --------------------------------------------------------------------------- the three files


def dead_links(out: Path, name: str) -> list[str]:
    reader = Links()
    reader.feed((out / name).read_text())
    files = [link for link in reader.found if not link.startswith("#")]
    assert files
    return [link for link in files if not (out / link).is_file()]


def test_every_row_links_to_its_figure_and_its_data(out: Path) -> None:
    for name in ("ledger", "bounds", "residual", "negative", "hypotheses", "tightness"):
        write_text(out / "figures" / f"{name}.png", "")
    theorems.write(out)
    for row in rows_of(out):
        files = row["Figure and data"]
        assert ".png" in files, row["Statement"]
        assert ".csv" in files, row["Statement"]


def test_links_lead_to_files(out: Path) -> None:
    theorems.write(out)
    assert dead_links(out, "theorems.html") == []
    assert [f for r in rows_of(out) for f in r["Figure and data"].split() if not (out / f).is_file()] == []
    text = (out / "theorems.html").read_text()
    assert "figures/" not in text  # no pictures here, so no links to them
    write_text(out / "figures" / "ledger.png", "")
    theorems.write(out)
    assert "figures/ledger.png" in (out / "theorems.html").read_text()
    # the mutant: a file that goes away
    (out / "convergence" / "exact.csv").unlink()
    assert "convergence/exact.csv" in dead_links(out, "theorems.html")


def test_the_page_is_sound_and_shows_formulas(out: Path) -> None:
    theorems.write(out)
    text = (out / "theorems.html").read_text()
    page = Page(text)
    assert page.problems == []
    assert len(page.all("math")) >= len(theorems.CLAIMS)
    assert 'class="state bad"' not in text
    assert "alarm" not in page.text.get("div", "")


def test_latex_tables_have_rows_of_one_length(out: Path) -> None:
    theorems.write(out)
    text = (out / "theorems.tex").read_text()
    bodies = re.findall(r"\\begin\{tabular\}\{(\w+)\}(.*?)\\end\{tabular\}", text, re.S)
    assert len(bodies) == 4
    for columns, body in bodies:
        for row in body.split("\\midrule")[1].split("\\bottomrule")[0].strip().splitlines():
            plain = re.sub(r"\$.*?\$", "", row)
            assert plain.replace("\\&", "").count("&") == len(columns) - 1, row
            assert not re.search(r"(?<!\\)[%#_^~<>]", plain), row
    assert text.replace("\\{", "").count("{") == text.replace("\\}", "").count("}")


@pytest.mark.parametrize("spoiled", [r"\unknown x", "{x", "x}", r"\frac1", "x_1_2", "^2", "x_"])
def test_formulas_that_cannot_be_shown_are_refused(spoiled: str) -> None:
    with pytest.raises(ValueError, match="in the formula"):
        mathml(spoiled)


def test_formulas_are_read_as_in_tex() -> None:
    assert mathml(r"\tfrac12x_{t+1}^2") == (
        "<math><mrow><mfrac><mn>1</mn><mn>2</mn></mfrac><msubsup><mi>x</mi><mrow><mi>t</mi><mo>+</mo><mn>1</mn>"
        "</mrow><mn>2</mn></msubsup></mrow></math>"
    )
    assert "<munder><mo>∑</mo><mi>t</mi></munder>" in mathml(r"\sum_t a")
    assert "<mn>12</mn>" in mathml("a-12")
    assert "<mo>&lt;</mo>" in mathml("t<T")
    for claim in theorems.CLAIMS:
        assert Page(mathml(claim.formula)).problems == []


# --------------------------------------------------------------------------- planted errors


@pytest.mark.parametrize(
    ("name", "column", "value", "where", "statement"),
    [
        ("statements", "violated", "yes", {"statement": "smooth"}, "smooth convex"),
        ("statements", "left", "0.31", {"statement": "every w"}, "every w"),
        ("statements", "bound", "0.01", {"statement": "residual", "iterate": "best"}, "convex f o T, any r: best"),
        ("runs", "closure_first", "1e-9", {"method": "BNN"}, "identity (I)"),
        ("runs", "closure_second", "1e-9", {"method": "FP"}, "identity (II)"),
        ("runs", "closure_first", "", {"method": "BC"}, "identity (I)"),
        ("runs", "closure_first", "nan", {"method": "BC"}, "identity (I)"),
        ("runs", "min_D", "-1e-9", {"method": "BC"}, "v_t is a global minimiser"),
        ("runs", "support", "-1e-9", {"method": "FP"}, "s_t is a subgradient"),
        ("runs", "support", "", {"method": "FP"}, "s_t is a subgradient"),
        ("runs", "slack", "-1e-9", {"method": "FP"}, "D_{t+1}(v_t) from above (convex"),
        ("runs", "frank_wolfe", "0.05", {"method": "BC"}, "the generalised Frank-Wolfe"),
        ("exact", "difference_first", "1/1000000000", {"method": "BC"}, "identity (I)"),
        ("exact", "min_D", "-1e-30", {"method": "BC"}, "v_t is a global minimiser"),
        ("worst_cases", "ratio", "1.01", {"setting": "smooth", "step": "1/L"}, "smooth convex"),
        ("worst_cases", "relation", "violated", {"setting": "pull"}, "convex f o T, convex r: best"),
        ("transforms", "closure", "1e-9", {"transform": "tanh"}, "identity (I)"),
        ("transforms", "path_ratio", "1.001", {"transform": "tanh"}, "every w"),
    ],
)
def test_a_planted_number_shows_everywhere(
    name: str,
    column: str,
    value: str,
    where: dict[str, str],
    statement: str,
    out: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rewrite(out, name, column, value, **where)
    table = theorems.write(out)
    found = line(table, statement)
    assert found.status == theorems.VIOLATED
    assert found.violations == 1
    assert found in table.failing
    assert [r["Status"] for r in rows_of(out) if r["Statement"] == found.statement] == [theorems.VIOLATED]
    text = (out / "theorems.html").read_text()
    assert 'role="alert"' in text
    assert "✕ VIOLATED" in text
    assert "\\textbf{VIOLATED}" in (out / "theorems.tex").read_text()
    with pytest.raises(typer.Exit) as end:
        commands.theorems(out)
    assert end.value.exit_code == 1
    assert f"FAILS: {found.statement}" in capsys.readouterr().err


def test_the_report_shows_a_violation(out: Path) -> None:
    page = out / "index.html"
    report.write_pages(Inputs(out), {})
    sound = page.read_text()
    assert 'role="alert"' not in sound
    assert "no violation was found" in sound
    rewrite(out, "statements", "violated", "yes", statement="smooth")
    report.write_pages(Inputs(out), {})
    assert 'role="alert"' in page.read_text()
    assert "no violation was found" not in page.read_text()


def flipped(original: Any) -> Any:
    """The derivations with one sign changed."""

    def changed() -> tuple[derivations.Derivation, ...]:
        first, *others = original()
        return (replace(first, right=-first.right), *others)

    return changed


def test_a_changed_sign_in_a_derivation_shows(
    out: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(derivations, "derivations", flipped(derivations.derivations))
    table = theorems.write(out)
    names = {x.statement for x in table.failing}
    assert {x.status for x in table.failing} == {theorems.NOT_PROVED}
    # the derivation itself, and each statement that rests on it
    assert names == {
        "identity (I), one step",
        *(c.statement for c in theorems.CLAIMS if "identity (I), one step" in c.proofs),
    }
    assert "the proof FAILS" in (out / "theorems.html").read_text()
    with pytest.raises(typer.Exit):
        commands.theorems(out)
    capsys.readouterr()


def test_a_derivation_that_is_gone_shows(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    original = last_iterate.derivations
    monkeypatch.setattr(last_iterate, "derivations", lambda: original()[1:])
    failing = theorems.write(out).failing
    assert line_names(failing) == {c.statement for c in theorems.CLAIMS if "D_t(v_t) = 0" in c.proofs}


def line_names(lines: list[theorems.Line]) -> set[str]:
    return {x.statement for x in lines}


def test_smaller_constants_are_not_taken_for_proved(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(last_iterate, "SECOND_CLAIM", (last_iterate.HALF * 3, last_iterate.HALF))
    assert line(theorems.write(out), "last iterate, PARQ's step sizes, |g_t + s_t| <= G: constants 7/4").violations == 1


# --------------------------------------------------------------------------- the command, and what is missing


def test_the_command_says_what_holds(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    commands.theorems(out)
    captured = capsys.readouterr()
    assert captured.err == ""
    assert "proved     identity (I): 0 violations; symbolic proof" in captured.out
    assert captured.out.splitlines()[-3:] == [str(out / f"theorems.{kind}") for kind in ("html", "tex", "csv")]


@pytest.mark.parametrize("name", ["runs", "statements", "summary"])
def test_without_runs_one_sentence_says_how_to_make_them(name: str, out: Path) -> None:
    (out / "convergence" / f"{name}.csv").unlink()
    with pytest.raises(InputError, match=rf"{name}\.csv is missing; make it with: proxpair converge --out"):
        theorems.write(out)
    assert not (out / "theorems.html").exists()


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("exact", "proxpair converge --exact"),
        ("worst_cases", "proxpair worst-case"),
        ("hypotheses", "proxpair hypotheses"),
    ],
)
def test_what_else_is_missing_is_named_and_absent(name: str, command: str, out: Path) -> None:
    (out / "convergence" / f"{name}.csv").unlink()
    table = theorems.write(out)
    assert table.failing == []
    assert [n for n, _ in table.missing] == [name]
    text = (out / "theorems.html").read_text()
    assert f"Not in this folder: convergence/{name}.csv; <code>{command}" in text
    assert f'href="convergence/{name}.csv"' not in text
    if name == "exact":
        assert "rational run" not in text
    if name == "worst_cases":
        assert "<h2>Worst cases</h2>" not in text


def test_a_broken_file_is_refused(out: Path) -> None:
    write_text(out / "convergence" / "worst_cases.csv", "setting,n\nsmooth,1\n")
    with pytest.raises(InputError, match=r"worst_cases\.csv: the column 'statement' was expected"):
        theorems.write(out)


def test_two_tables_of_the_same_files_are_the_same(out: Path) -> None:
    theorems.write(out)
    first = {kind: (out / f"theorems.{kind}").read_bytes() for kind in ("html", "tex", "csv")}
    theorems.make(Inputs(out)).write(out)
    assert first == {kind: (out / f"theorems.{kind}").read_bytes() for kind in first}
    assert str(out).encode() not in first["html"]
