"""proxpair prox, regularizer, evolve: what they print, draw and refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

import proxpair
from theory import commands_prox
from theory.parser import parse

Run = Callable[..., tuple[int, str, str]]
BINARY = "Piecewise((0, x == 1), (0, x == -1), (oo, True))"


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    def runner(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = proxpair.main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return runner


def test_prox_of_the_binary_indicator(run: Run) -> None:
    code, out, err = run("prox", "--regularizer", BINARY, "--at", "0", "--at", "1/3")
    assert (code, err) == (0, "")
    assert "proximal map P      Piecewise((-1, x <= 0), (1, True))" in out
    assert "value               P(0) = {-1, 1}" in out
    assert "value               P(1/3) = 1" in out


def test_prox_as_json_keeps_exact_values_and_enclosures(run: Run) -> None:
    code, out, _ = run("prox", "--regularizer", "x**4", "--at", "4", "--at", "5", "--digits", "25", "--json")
    assert code == 0
    d = json.loads(out)
    assert d["prox"] is None
    assert d["implicit"] == ["P(x) = s with 4*s**3 + s = x for -oo < x < oo"]
    first, second = (row["values"][0] for row in d["at"])
    lo, hi = Fraction(first["lower"]), Fraction(first["upper"])
    assert 4 * lo**3 + lo <= 4 <= 4 * hi**3 + hi
    assert hi - lo <= Fraction(1, 10**25)
    assert first["exact"] is None
    assert second["exact"] == "1"
    code, out, _ = run("prox", "--regularizer", "Min(Abs(x), 1)", "--json")
    d = json.loads(out)
    assert parse(d["prox"]).agrees(
        parse("Piecewise((0, Abs(x) <= 1), (x - sign(x), Abs(x) < 3/2), (x, True))"), at_breaks=False
    )
    assert d["jumps"][1] == {"x": "3/2", "from": "1/2", "to": "3/2", "filled": False}


def test_prox_for_every_mu_and_with_parameters(run: Run) -> None:
    code, out, _ = run("prox", "--regularizer", "lam*Abs(x)", "--param", "lam=1/2", "--mu", "mu")
    assert code == 0
    assert "Piecewise((mu/2 + x, x <= -mu/2), (0, x <= mu/2), (-mu/2 + x, True))" in out
    code, _, err = run("prox", "--regularizer", "Min(Abs(x), 1)", "--mu", "mu")
    assert code == 3
    assert "mu" in err


def test_an_implicit_map_is_written_with_certified_decimals(run: Run) -> None:
    code, out, _ = run("prox", "--regularizer", "Min(exp(x), exp(-2*x))", "--mu", "2", "--at", "1")
    assert code == 0
    assert "P(x) = s with s + 2*exp(s) = x for -oo < x < -0.292552890234253..." in out
    assert "<" not in out.split("jump")[1]


def test_regularizer_in_both_readings(run: Run) -> None:
    code, out, _ = run("regularizer", "--prox", "sign(x)")
    assert code == 0
    assert "largest r           Piecewise((oo, Abs(x) < 1), (0, Abs(x) == 1), (oo, True))" in out
    assert "smallest r          Piecewise((1/2 - x**2/2, Abs(x) <= 1), (oo, True))" in out
    assert "weak convexity      largest oo, smallest 1" in out
    d = json.loads(run("regularizer", "--prox", "soft threshold", "--param", "weight=1/3", "--mu", "2", "--json")[1])
    assert d["largest"] == d["smallest"] == "Piecewise((-x/6, x <= 0), (x/6, True))"
    assert d["convex"] is True
    assert d["weak_convexity"] == {"largest": "0", "smallest": "0"}
    assert d["gaps"] == []
    d = json.loads(run("regularizer", "--prox", "erf(x)", "--json")[1])
    assert d["largest"] is None
    assert d["implicit"].startswith("r'(w) = ")
    assert "no closed form" in run("regularizer", "--prox", "erf(x)")[1]


def test_evolve_by_the_reading(run: Run) -> None:
    common = ("evolve", "--prox", "sign(x)", "--from", "1", "--to", "1/2")
    assert "Piecewise((-1, x <= -1/2), (2*x, x <= 1/2), (1, True))" in run(*common, "--reading", "smallest")[1]
    assert "Piecewise((-1, x <= 0), (1, True))" in run(*common)[1]
    d = json.loads(run("evolve", "--prox", "tanh(3*x)", "--from", "1", "--to", "2", "--at", "0", "--json")[1])
    assert d["jumps"][0]["x"] == "0"
    assert [c["decimal"][:8] for c in d["at"][0]["values"]] == ["-0.85855", "0.858559"]
    assert (d["from"], d["mu"], d["reading"]) == ("1", "2", "largest")


def test_latex(run: Run) -> None:
    assert run("prox", "--regularizer", BINARY, "--latex")[1].startswith(r"P(x) = \begin{cases}")
    assert r"r_{\max}(x)" in run("regularizer", "--prox", "sign(x)", "--latex")[1]
    assert r"\begin{cases}" in run("evolve", "--prox", "x", "--from", "1", "--to", "2", "--latex")[1]


@pytest.mark.parametrize(
    ("command", "suffix", "start"),
    [
        (("prox", "--regularizer", "Min(Abs(x), 1)"), "png", b"\x89PNG"),
        (("prox", "--regularizer", "0"), "svg", b"<?xml"),
        (("regularizer", "--prox", "sign(x)"), "pdf", b"%PDF"),
        (("regularizer", "--prox", "erf(x)"), "svg", b"<?xml"),
        (("regularizer", "--prox", "tanh(x)"), "svg", b"<?xml"),
        (("evolve", "--prox", "sign(x)", "--from", "1", "--to", "1/2", "--reading", "smallest"), "PNG", b"\x89PNG"),
    ],
)
def test_plots(run: Run, tmp_path: Path, command: tuple[str, ...], suffix: str, start: bytes) -> None:
    target = tmp_path / f"new/p.{suffix}"
    code, _, err = run(*command, "--plot", str(target))
    assert (code, err) == (0, "")
    first = target.read_bytes()
    assert first.startswith(start)
    run(*command, "--plot", str(target))
    assert target.read_bytes() == first, "a second run draws other bytes"


def test_the_plotted_points_lie_on_the_map() -> None:
    drawn = commands_prox._prox_answer((("Min(Abs(x), 1)", "1", [], 15, None), True))["drawing"]
    (curve,) = drawn["curves"]
    assert curve["dots"] == [(-1.5, -1.5), (-1.5, -0.5), (1.5, 0.5), (1.5, 1.5)]
    for line in curve["lines"]:
        for x, p in line:
            truth = x if abs(x) > 1.5 else max(abs(x) - 1, 0) * (1 if x > 0 else -1)
            assert abs(x) == 1.5 or p == pytest.approx(truth, abs=1e-12)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("prox", "--regularizer", "-x**2"), "towards w = -oo"),
        (("prox", "--regularizer", "Piecewise((log(x), x > 0), (oo, True))"), "tends to -oo at w = 0"),
        (("prox", "--regularizer", "oo"), "empty domain"),
        (("prox", "--regularizer", "Abs(x"), "unbalanced brackets"),
        (("prox", "--regularizer", "Abs(x)", "--mu", "-1"), "--mu: a positive number was expected, not -1"),
        (("prox", "--regularizer", "Abs(x)", "--mu", "x"), "--mu: a constant was expected"),
        (("prox", "--regularizer", "Abs(x)", "--mu", "mu", "--at", "1"), "--mu: a number was expected"),
        (("prox", "--regularizer", "Abs(x)", "--mu", "mu", "--plot", "a.png"), "--mu: a number was expected"),
        (("prox", "--regularizer", "Abs(x)", "--at", "y"), "--at: unknown name 'y'"),
        (("prox", "--regularizer", "Abs(x)", "--at", "1", "--digits", "0"), "1 to 2000 digits"),
        (("prox", "--regularizer", "Abs(x)", "--param", "z=1"), "--param z: the expression has no such parameter"),
        (("prox", "--regularizer", "Abs(x)", "--plot", "a.jpg"), "--plot: a file ending in .png, .pdf or .svg"),
        (("prox", "--regularizer", "Abs(x)", "--plot", "plot"), "--plot: a file ending in .png, .pdf or .svg"),
        (("prox", "--regularizer", "Abs(x)", "--json", "--latex"), "--json or --latex"),
        (("prox", "--regularizer", "Abs(x)", "--timeout", "0"), "--timeout"),
        (("prox",), "Missing option"),
        (("regularizer", "--prox", "sin(x)"), "decreases at x = "),
        (("regularizer", "--prox", "sign(-x)"), "jumps downward at x = 0"),
        (("regularizer", "--prox", "tnh"), "did you mean tanh?"),
        (("regularizer", "--prox", "x", "--mu", "0"), "--mu: a positive number was expected, not 0"),
        (("evolve", "--prox", "x", "--from", "0", "--to", "2"), "--from: a positive number was expected, not 0"),
        (("evolve", "--prox", "x", "--from", "1", "--to", "-2"), "--to: a positive number was expected, not -2"),
        (("evolve", "--prox", "x", "--from", "1", "--to", "2", "--reading", "all"), "largest or smallest, not 'all'"),
        (("evolve", "--prox", "2*x", "--from", "1", "--to", "2"), "falls too fast"),
        (("evolve", "--prox", "-x", "--from", "1", "--to", "2"), "decreases at x = 0 and everywhere"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    code, out, err = run(*arguments)
    assert (code, out) == (2, ""), err
    assert err.startswith("proxpair: ")
    assert err.count("\n") == 1
    assert sentence in err


def test_a_plot_that_cannot_be_written(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    code, out, err = run("prox", "--regularizer", "x**2", "--plot", str(tmp_path / "file" / "a.png"))
    assert (code, out) == (2, "")
    assert "cannot be written" in err
    folder = tmp_path / "folder.png"
    folder.mkdir()
    code, _, err = run("prox", "--regularizer", "x**2", "--plot", str(folder))
    assert code == 2
    assert "is a folder" in err


def test_without_a_plotter_a_plot_is_refused(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands_prox, "_plotters", [])
    with pytest.raises(proxpair.InputError, match="nothing that draws is attached"):
        commands_prox._checked_plot("a.png")


def test_time_runs_out_with_exit_code_3(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    import theory.proximal

    monkeypatch.setattr(theory.proximal, "prox_of", lambda *_: time.sleep(30))
    code, out, err = run("prox", "--regularizer", "x", "--timeout", "0.2")
    assert (code, out) == (3, "")
    assert "no answer within 0.2 s" in err


def test_the_python_names() -> None:
    assert (
        str(proxpair.prox_of("Abs(x)", "1/2").map) == "Piecewise((x + 1/2, x <= -1/2), (0, x <= 1/2), (x - 1/2, True))"
    )
    assert proxpair.regularizer_of("clip(x, -1, 1)").convex is True
    assert proxpair.evolve("tanh(x)", 1, 2).map is None
    assert proxpair.evaluate(proxpair.parse("x"), 2).points[0].exact == 2


def test_a_name_that_no_file_can_have_is_refused(run: Run) -> None:
    for words in (("prox", "--regularizer", "x**2", "--plot"), ("check", "BC", "--certificate")):
        code, out, err = run(*words, "a" * 300 + ".png")
        assert (code, out) == (2, "")
        assert "cannot be the name of a file" in err
        assert err.count("\n") == 1
