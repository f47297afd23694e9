"""Notebook display and `--latex`: formulas, ties as text, and nothing the user typed left unescaped."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
import sympy as sp

import proxpair
from theory.checking import Check, check
from theory.decision import decide
from theory.display import aligned, in_math, latex_words, map_html, map_latex, tie_text
from theory.maps import PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair, Regularizer, Verdict, Witness
from theory.parser import parse

BOX = "Piecewise((1, Abs(x) <= 1), (0, True))"
NASTY = "<script>alert('x')</script> & \"quotes\""


class Balanced(HTMLParser):
    """Fails on tags that are not closed in order, and collects the tags."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        if tag != "br":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def tags(html: str) -> set[str]:
    reader = Balanced()
    reader.feed(html)
    assert not reader.open
    return reader.seen


def balanced(latex: str) -> bool:
    """Braces and environments in pairs."""
    bare = latex.replace(r"\{", "").replace(r"\}", "")
    depth = 0
    for c in bare:
        depth += (c == "{") - (c == "}")
        if depth < 0:
            return False
    begins, ends = re.findall(r"\\begin\{(\w+)\}", latex), re.findall(r"\\end\{(\w+)\}", latex)
    return depth == 0 and sorted(begins) == sorted(ends)


def bnn() -> QuantizerPair:
    return QuantizerPair(parse("sign(x)"), parse(BOX), "BNN")


def objects() -> list[Any]:
    pair = bnn()
    verdict = decide(pair)
    assert verdict.decomposition is not None
    refuted = check("sign(x)", "1/(1 + x**2)")
    return [
        pair,
        pair.forward,
        PiecewiseMap.of(sp.Symbol("x", real=True)),
        parse("sign(sin(x))"),
        verdict,
        verdict.decomposition,
        verdict.decomposition.regularizer,
        check("sign(x)", BOX),
        refuted,
        refuted.verdict,
        check("tanh(beta*x)", "1", assume="beta > 0"),
        check("sign(x)", "Piecewise((1, Abs(x) <= 1), (leak, True))", assume="leak >= 0"),
        Decomposition(None, None, None, Regularizer(None, None), {"prox": NASTY}),
        Verdict("undecided", NASTY, None, notes=(NASTY,)),
        Verdict("unprincipled", NASTY, None, witness=Witness(NASTY, (sp.Rational(1, 3),), NASTY)),
        Check(Verdict("error", NASTY, None), QuantizerPair(pair.forward, pair.backward, NASTY), extra={"name": NASTY}),
    ]


@pytest.mark.parametrize("thing", objects(), ids=lambda o: type(o).__name__)
def test_every_public_object_has_both_forms(thing: Any) -> None:
    latex, html = thing._repr_latex_(), thing._repr_html_()
    assert latex.startswith("$")
    assert latex.endswith("$")
    assert latex.count("$") - latex.count(r"\$") == 2
    assert balanced(latex)
    assert tags(html) <= {"table", "caption", "tr", "th", "td", "code", "b", "br"}
    assert "<script" not in html
    assert "<script" not in latex or r"\text{" in latex


def test_html_escapes_what_the_user_typed() -> None:
    html = Check(Verdict("error", NASTY, None), extra={"name": NASTY})._repr_html_()
    assert "&lt;script&gt;" in html
    assert "&amp; &quot;quotes&quot;" in html
    assert NASTY not in html


def test_latex_escapes_what_the_user_typed() -> None:
    text = latex_words("50% of $x_1^2$ & {a} # ~ \\begin")
    assert text == (r"\text{50\% of \$x\_1}\wedge \text{2\$ \& \{a\} \# }\sim \text{ }\backslash \text{begin}")
    assert balanced(text)


def test_a_map_in_latex() -> None:
    assert map_latex(parse("sign(x)")) == r"\begin{cases}-1 & x < 0\\ 0 & x = 0\\ 1 & \text{otherwise}\end{cases}"
    assert map_latex(None, "none found") == r"\text{none found}"
    assert "known for" in map_latex(parse("sign(sin(x))"))
    assert in_math("x") == r"$\displaystyle x$"
    assert aligned([("F(x)", "x"), ("B(x)", "1")]) == r"\begin{aligned}F(x) &= x\\ B(x) &= 1\end{aligned}"


def test_ties_are_written_out() -> None:
    assert (
        tie_text(parse("sign(x)"), 0)
        == "filled point at 0; open point at -1 from the left; open point at 1 from the right"
    )
    box = parse(BOX)
    assert tie_text(box, 0) == "filled point at 1; open point at 0 from the left"
    assert tie_text(box, 1) == "filled point at 1; open point at 0 from the right"
    assert tie_text(parse("clip(x, -1, 1)"), 0) == "value -1, continuous"
    assert tie_text(parse("Piecewise((2, x == 0), (x, True))"), 0).startswith("filled point at 2; open point at 0")
    assert tie_text(PiecewiseMap.build([0], [0, 1], [None]), 0) == (
        "no value; open point at 0 from the left; open point at 1 from the right"
    )


def test_a_different_tie_shows() -> None:
    closed, open_ = parse(BOX), parse("Piecewise((1, Abs(x) < 1), (0, True))")
    assert map_html(closed) != map_html(open_)
    assert map_latex(closed) != map_latex(open_)


def test_rows_follow_the_pieces_in_order() -> None:
    html = map_html(parse("clip(x, -1, 1)"))
    labels = re.findall(r"<th>(.*?)</th>", html)
    assert labels == ["x &lt; -1", "x = -1", "-1 &lt; x &lt; 1", "x = 1", "x &gt; 1"]
    assert map_html(parse("x")) == "<code>x</code>"


def test_a_check_shows_its_decomposition_and_its_repairs() -> None:
    shown = check("sign(x)", BOX)._repr_html_()
    assert "lipschitz" in shown
    assert "largest r" in shown
    refuted = check("sign(x)", "1/(1 + x**2)")._repr_html_()
    assert "backward-varies-on-level-set" in refuted
    assert "<th>repair</th>" in refuted


def test_a_range_shows_its_cases_and_its_parameters() -> None:
    split = check("sign(x)", "Piecewise((1, Abs(x) <= 1), (leak, True))", assume="leak >= 0")._repr_html_()
    assert "<th>leak = 1</th><td>smooth" in split
    whole = check("tanh(beta*x)", "1", assume="beta > 0")
    assert r"\tanh{\left(\beta x \right)}" in whole._repr_latex_()
    assert "every beta with beta &gt; 0" in whole._repr_html_()


def test_check_prints_latex(capsys: pytest.CaptureFixture[str]) -> None:
    assert proxpair.main(["check", "BNN", "--latex"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(r"\begin{aligned}\text{verdict} &= \text{lipschitz}")
    assert "T(x) &=" in out
    assert balanced(out)
    assert proxpair.main(["check", "--forward", "sign(x)", "--backward", "exp(-x**2)", "--latex"]) == 1
    assert r"\text{reason} &= \text{F is constant" in capsys.readouterr().out
