"""Tables in HTML (sortable), LaTeX (booktabs) and CSV, and formulas for both.

A `Sheet` is declared once, and each of the three forms is a rendering of it. CSV keeps every digit;
HTML and LaTeX show three.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import sympy as sp
from sympy.printing.mathml import MathMLPresentationPrinter

from figures import page
from figures.convergence import TOLERANCE
from figures.data import GRADES, Inputs, Row, number
from figures.mathml import mathml
from figures.parts import slug
from figures.sampling import read_map
from figures.style import GRADE_SIGN
from theory.commands_catalogue import shown
from theory.corollaries import applicable
from theory.errors import Undecided
from theory.exact import X
from theory.files import csv_text, write_text
from theory.maps import PiecewiseMap
from theory.printing import to_latex

YES_NO = {True: "yes", False: "no", None: "\N{EN DASH}"}


Params = tuple[tuple[str, str], ...]
"""(name, value) of the parameters of an expression."""


@dataclass(frozen=True)
class Column:
    """One column.

    ``kind``: text, words (text in which eta_t and f o T look as in a formula), code (an expression), math (LaTeX),
    number, badge (a verdict), flag (yes, no, open), status (a word, in capitals where something is wrong) or links
    (pairs of words and an address).

    ``wide`` columns stand in the CSV and in the HTML file of their own, not in LaTeX and on the page.
    """

    title: str
    kind: str = "text"
    wide: bool = False


@dataclass(frozen=True)
class Sheet:
    """A table: ``rows`` hold one value per column; ``params`` the parameters of each row's expressions."""

    name: str
    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Any, ...], ...]
    params: tuple[Params, ...] = ()

    def narrow(self, without: Sequence[str] = ()) -> Sheet:
        """The same without its wide columns, and without those of the given titles."""
        keep = [i for i, c in enumerate(self.columns) if not c.wide and c.title not in without]
        return replace(
            self,
            columns=tuple(self.columns[i] for i in keep),
            rows=tuple(tuple(row[i] for i in keep) for row in self.rows),
        )

    def csv(self) -> str:
        """All columns, floats with every digit; open questions and missing values are empty."""

        def cell(value: Any) -> Any:
            if isinstance(value, bool):
                return "true" if value else "false"
            if isinstance(value, tuple):
                return " ".join(address for _, address in value)
            return "" if value is None else value

        return csv_text([c.title for c in self.columns], [[cell(v) for v in row] for row in self.rows])

    def html(
        self,
        targets: Sequence[str] = (),
        notes: Sequence[str] = (),
        data: Sequence[Mapping[str, str]] = (),
        formulas: bool = False,
        still: bool = False,
    ) -> str:
        """A <table> with sort buttons in its head (the script of a page makes them work); ``still``: without them.

        ``targets``: the id to which the head of each row links; ``notes``: HTML below that head; ``data``: the data-
        attributes of each row; ``formulas``: expressions as formulas, with their parameters put in.
        """
        params: Sequence[Params | None] = self.params if formulas and self.params else (None,) * len(self.rows)
        head = "".join(
            f'<th scope="col"{_class(c)}>{escape(c.title)}</th>'
            if still
            else f'<th scope="col" aria-sort="none"{_class(c)}><button type="button">{escape(c.title)}</button></th>'
            for c in self.columns
        )
        body = []
        for k, row in enumerate(self.rows):
            shown = [_shown(c, v, params[k]) for c, v in zip(self.columns, row, strict=True)]
            first = f'<a href="#{targets[k]}">{shown[0][0]}</a>' if targets else shown[0][0]
            if notes:
                first += f'<span class="sub">{notes[k]}</span>'
            cells = [f'<th scope="row">{first}</th>', *(f"<td{marks}>{words}</td>" for words, marks in shown[1:])]
            marks = "".join(f' data-{key}="{escape(value)}"' for key, value in data[k].items()) if data else ""
            body.append(f"<tr{marks}>{''.join(cells)}</tr>")
        rows = "\n".join(body)
        kind = "still" if still else "sortable"
        wide = " wide" if len(self.columns) > 6 else ""
        return (
            f'<div class="scroll{wide}" role="region" tabindex="0" aria-label="Table: {escape(self.name)}">'
            f'<table class="{kind}" id="table-{slug(self.name)}">'
            f"<caption><span>{escape(self.caption)}</span></caption>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
        )

    def html_page(self, site: Sequence[page.Link] = ()) -> str:
        """A page of its own with all columns; ``site``: the pages of the folder above."""
        files = " ".join(f'<a href="{self.name}.{kind}">{kind.upper()}</a>' for kind in ("csv", "tex"))
        return page.document(
            f"proxpair: {self.name}",
            f'{self.html()}\n<p class="made">The same as {files}.</p>',
            heading=f"The table of {self.name}",
            site=site,
            base="../",
        )

    def latex(self) -> str:
        """A tabular with booktabs rules, without the wide columns."""
        sheet = self.narrow()
        align = "".join("r" if c.kind == "number" else "l" for c in sheet.columns)
        params = self.params or ((),) * len(self.rows)
        lines = [
            "% needs \\usepackage{amsmath} and \\usepackage{booktabs}",
            f"\\begin{{tabular}}{{{align}}}",
            "\\toprule",
            " & ".join(latex_text(c.title) for c in sheet.columns) + " \\\\",
            "\\midrule",
            *(
                " & ".join(_latex_cell(c, v, p) for c, v in zip(sheet.columns, row, strict=True)) + " \\\\"
                for row, p in zip(sheet.rows, params, strict=True)
            ),
            "\\bottomrule",
            "\\end{tabular}",
        ]
        return "\n".join(lines) + "\n"

    def write(self, folder: Path, site: Sequence[page.Link] = ()) -> None:
        """Write NAME.csv, NAME.tex and NAME.html. Raises `InputError` if they cannot be written."""
        write_text(folder / f"{self.name}.csv", self.csv())
        write_text(folder / f"{self.name}.tex", self.latex())
        write_text(folder / f"{self.name}.html", self.html_page(site))


# --------------------------------------------------------------------------- cells


def _power(value: float) -> tuple[str, str] | None:
    """Mantissa and exponent of a number that is written with a power of ten, else None."""
    if value == 0 or 1e-3 <= abs(value) < 1e5 or not math.isfinite(value):
        return None
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}", str(int(exponent))


def _plain(value: float) -> str:
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    return f"{value:d}" if isinstance(value, int) else f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def badge(grade: str) -> str:
    """A verdict as HTML: a sign, a word and a border of its own, so that colour is not needed."""
    parts = [g for g in grade.split("/") if g in GRADE_SIGN]
    if not parts:
        return escape(grade)
    return " ".join(
        f'<span class="badge {g}"><span aria-hidden="true">{GRADE_SIGN[g]}</span> {g}</span>' for g in parts
    )


def number_html(value: float) -> str:
    """Three significant digits."""
    power = _power(value)
    text = _plain(value) if power is None else f"{power[0]}·10<sup>{power[1]}</sup>"
    return text.replace("-", "\N{MINUS SIGN}")


def _missing(value: Any) -> bool:
    return value is None or value in ("", ()) or (isinstance(value, float) and math.isnan(value))


def _class(column: Column) -> str:
    return ' class="number"' if column.kind == "number" else ""


def _shown(column: Column, value: Any, params: Params | None) -> tuple[str, str]:
    """A value in HTML and the attributes of its cell; ``params``: of its row where expressions stand as formulas."""
    marks = _class(column)
    if _missing(value):
        return YES_NO[None], f'{marks} data-sort=""'
    if column.kind == "flag":
        return YES_NO[value], marks
    text = str(value)
    if column.kind == "number":
        by = repr(value).replace("inf", "Infinity")  # as the script that sorts reads it
        return number_html(value), f'{marks} data-sort="{escape(by)}"'
    if column.kind == "badge":
        first = text.split("/")[0]
        return badge(text), f' data-sort="{GRADES.index(first)}"' if first in GRADES else ""
    if column.kind == "code":
        if params is None:
            return f"<code>{breakable(text)}</code>", ""
        return formula(text, params), f' class="map" data-sort="{escape(text)}"'
    if column.kind == "math":
        return mathml(value), ""
    if column.kind == "words":
        return symbols(text), ""
    if column.kind == "status" and text.isupper():
        return f'<span class="state bad">✕ {escape(text)}</span>', ""
    if column.kind == "links":
        return "<br>".join(f'<a href="{escape(address)}">{escape(words)}</a>' for words, address in value), ""
    return escape(text), ""


def breakable(code: str) -> str:
    """An expression, escaped, that may break after commas and around operators on a narrow screen."""
    text = escape(code)
    for at in (", ", " + ", " - ", "*", "/"):
        text = text.replace(at, at.rstrip() + ("<wbr>" if not at.endswith(" ") else " "))
    return text


_GREEK = {"eta": "η", "delta": "δ", "mu": "μ", "beta": "β"}


def symbols(text: str) -> str:
    """Words, escaped, in which eta_t, v_{t+1}, f o T and <= look as in a formula."""
    text = re.sub(r"\b(eta|delta|mu|beta)(?=_)", lambda m: _GREEK[m[1]], text)
    text = escape(re.sub(r"(?<= \w) o (?=\w\b)", " ∘ ", text).replace("<=", "≤").replace(">=", "≥"))
    return re.sub(r"(?<=\w)_(?:\{([^{}]*)\}|(\w))", lambda m: f"<sub>{m[1] or m[2]}</sub>", text)


_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    "\N{EN DASH}": "--",
    "\n": " ",
}


def latex_text(text: str) -> str:
    """Plain text with every special character of LaTeX escaped."""
    return "".join(_LATEX.get(c, c) for c in text)


def _latex_cell(column: Column, value: Any, params: Params) -> str:
    if column.kind == "flag":
        return latex_text(YES_NO[value])
    if _missing(value):
        return "--"
    if column.kind == "number":
        power = _power(value)
        if math.isinf(value):
            return "$\\infty$" if value > 0 else "$-\\infty$"
        return f"${_plain(value)}$" if power is None else f"${power[0]} \\cdot 10^{{{power[1]}}}$"
    if column.kind == "code":
        try:
            return f"${to_latex(read_map(value, params))}$"
        except Undecided:
            return f"\\texttt{{{latex_text(value)}}}"
    if column.kind == "math":
        return f"${value}$"
    if column.kind == "status" and value.isupper():
        return f"\\textbf{{{latex_text(value)}}}"
    return latex_text(str(value))


# --------------------------------------------------------------------------- formulas


class _MathML(MathMLPresentationPrinter):  # sympy's printer, with the logistic function as sigma
    def _print_sigmoid(self, e: Any) -> Any:
        row = self.dom.createElement("mrow")
        for tag, text in (("mi", "\N{GREEK SMALL LETTER SIGMA}"), ("mo", "("), ("", ""), ("mo", ")")):
            part = self.dom.createElement(tag) if tag else self._print(e.args[0])
            if tag:
                part.appendChild(self.dom.createTextNode(text))
            row.appendChild(part)
        return row


def _expression(e: Any) -> str:
    if e in (sp.oo, -sp.oo):
        sign = "+" if e == sp.oo else "\N{MINUS SIGN}"
        return f"<mrow><mo>{sign}</mo><mi>∞</mi></mrow>"
    # sympy writes hyphens where minus signs belong
    minus = "\N{MINUS SIGN}"
    return str(_MathML().doprint(e)).replace("<mo>-</mo>", f"<mo>{minus}</mo>").replace("<mn>-", f"<mn>{minus}")


def _cases(m: PiecewiseMap, variable: str) -> list[tuple[Any, str]]:
    """(expression, condition in MathML) from left to right; a tie value joins the piece that has it."""
    rows: list[tuple[Any, str]] = []

    def condition(relation: str, at: Any) -> str:
        return f"<mi>{variable}</mi><mo>{relation}</mo>{_expression(at)}"

    for i, (at, value) in enumerate(zip(m.breaks, m.values, strict=True)):
        left, right = (e if e in (sp.oo, -sp.oo) else e.subs(X, at) for e in (m.exprs[i], m.exprs[i + 1]))
        rows.append((m.exprs[i], condition("≤" if value == left else "&lt;", at)))
        if value is not None and value not in (left, right):
            rows.append((value, condition("=", at)))
    rows.append((m.exprs[-1], "<mtext>otherwise</mtext>"))
    return rows


def formula(text: str, params: Params = (), variable: str = "x", name: str = "") -> str:
    """An expression of the grammar as MathML, or as code where its pieces have no closed form."""
    body = _formula(text, params, variable)
    if body is None:
        return f"<code>{breakable(text)}</code>"
    # a row of its own, so that the brackets do not grow with what follows
    argument = f"<mrow><mo>(</mo><mi>{variable}</mi><mo>)</mo></mrow>"
    head = f"<mi>{name}</mi>{argument}<mo>=</mo>" if name else ""
    return f'<math displaystyle="true"><mrow>{head}{body}</mrow></math>'


@lru_cache(maxsize=2000)
def _formula(text: str, params: Params, variable: str) -> str | None:
    """The inside of `formula`, None where there is no closed form."""
    try:
        m = read_map(text, params)
    except Undecided:
        return None
    if m.windowed:
        return None
    swap = {X: sp.Symbol(variable, real=True)}
    if not m.breaks:
        return _expression(m.exprs[0].xreplace(swap))
    rows = "".join(
        f"<mtr><mtd>{_expression(e if e in (sp.oo, -sp.oo) else e.xreplace(swap))}</mtd><mtd>{where}</mtd></mtr>"
        for e, where in _cases(m, variable)
    )
    # a line in place of the brace, which stretches only where a mathematical font is installed
    return f'<mtable class="cases">{rows}</mtable>'


# --------------------------------------------------------------------------- the three sheets


def _params(row: Row) -> Params:
    return tuple((row.get("params") or {}).items())


def catalogue_sheet(rows: Sequence[Row], certificates: Sequence[str | None] | None = None) -> Sheet:
    """The verdict on every catalogued pair, with its decomposition, its corollary and its nearest repair.

    ``certificates``: what the checker says of each; without them what the rows say.
    """
    said = [certificate_words(row) for row in rows] if certificates is None else certificates
    columns = (
        Column("Method"),
        Column("Year", "number"),
        Column("Verdict", "badge"),
        Column("Forward F(x)", "code"),
        Column("Backward B(x)", "code"),
        Column("Literal criterion", "flag"),
        Column("Convex r", "flag"),
        Column("Coverage"),
        Column("Corollary"),
        Column("Nearest repair"),
        Column("Parameters", wide=True),
        Column("Transform T(x)", "code", wide=True),
        Column("Proximal map P(x)", "code", wide=True),
        Column("Largest r(x)", "code", wide=True),
        Column("Smallest r(x)", "code", wide=True),
        Column("Repair: forward", "code", wide=True),
        Column("Repair: backward", "code", wide=True),
        Column("Repair: distance", wide=True),
        Column("Certificate", wide=True),
        Column("Reason", wide=True),
        Column("Scope", wide=True),
        Column("Title", wide=True),
        Column("Source", wide=True),
    )
    cells = []
    for row, certificate in zip(rows, said, strict=True):
        r = row.get("regularizer") or {}
        fix: Row = next(iter(row.get("repairs") or []), {})
        cells.append(
            (
                *(row["name"], row.get("year"), row["verdict"], row["forward"], row["backward"]),
                *(row.get("literal_criterion"), row.get("convex_regularizer"), row.get("coverage")),
                *(corollary_words(row), fix.get("name")),
                ", ".join(f"{k} = {v}" for k, v in _params(row)),
                *(row.get("transform"), row.get("prox"), r.get("largest"), r.get("smallest")),
                *(fix.get("forward"), fix.get("backward"), distance_words(fix)),
                *(certificate, row.get("reason"), row.get("scope"), row.get("title"), row.get("source")),
            )
        )
    caption = (
        "Every catalogued pair with its verdict. Literal criterion: F and B are functions of the integral of dF/B, "
        "with 0/0 := 0. Corollary: the strongest bound of the theory that applies to the pair, and for which f. "
        "Nearest repair: by the root mean squares of the changes of F and of B on [-2, 2], added."
    )
    return Sheet("catalogue", caption, columns, tuple(cells), tuple(_params(row) for row in rows))


def corollary_words(row: Row) -> str | None:
    """The strongest corollary that applies, and for which f; None for a pair that is not principled, or not asked."""
    best = applicable(row)
    if best is None and row["verdict"] in ("smooth", "lipschitz") and "corollaries" in row:
        return "not settled in time" if row.get("corollaries") is None else "none settled"
    return None if best is None else f"{best['name']}: {best['applies']}"


def distance_words(repair: Row) -> str | None:
    """The distance of a repair in a few words."""
    d = repair.get("distance")
    if d is None:
        return None
    return (
        f"F: sup {shown(d['sup_forward'])}, rms {shown(d['rms_forward'])}; B: sup {shown(d['sup_backward'])}, "
        f"rms {shown(d['rms_backward'])}; same sign of B: {shown(d['same_sign'])}"
    )


def certificate_words(row: Row) -> str | None:
    """What the separate checker said."""
    c = row.get("certificate")
    return None if c is None else f"accepted, {c['lemmas']} lemmas" if c["accepted"] else str(c["reason"])


def synthesized_sheet(rows: Sequence[Row]) -> Sheet:
    """The pairs composed from a transform and a proximal map, each checked like any other."""
    columns = (
        Column("Pair"),
        Column("Verdict", "badge"),
        Column("Transform T(x)", "code"),
        Column("Proximal map P(x)", "code"),
        Column("Convex r", "flag"),
        Column("Literal criterion", "flag", wide=True),
        Column("Forward F(x)", "code", wide=True),
        Column("Backward B(x)", "code", wide=True),
        Column("Largest r(x)", "code", wide=True),
        Column("Smallest r(x)", "code", wide=True),
        Column("Reason", wide=True),
    )
    cells = []
    for row in rows:
        r = row.get("regularizer") or {}
        cells.append(
            (
                *(row["name"], row["verdict"], row.get("transform"), row.get("prox"), row.get("convex_regularizer")),
                *(row.get("literal_criterion"), row["forward"], row["backward"]),
                *(r.get("largest"), r.get("smallest"), row.get("reason")),
            )
        )
    caption = "Pairs F = T of P, B = T' of P, composed from a transform and a proximal map, with the verdict on each."
    return Sheet("synthesized", caption, columns, tuple(cells), tuple(_params(row) for row in rows))


def _float(cell: str) -> float | None:
    value = number(cell)
    return None if math.isnan(value) else value


def run_status(row: Mapping[str, str]) -> str | None:
    """Whether a row of the convex runs is what the theory says: holds, VIOLATED, or None for a run without a ledger.

    With stochastic gradients a bound is one in expectation, and the best gap is not compared with it.
    """
    if row["mode"] == "none":
        return None
    good = number(row["max_closure_error"]) <= TOLERANCE and number(row["min_D"]) >= -TOLERANCE
    if row["bound"] and row["gradient"] == "exact":
        best, limit = number(row["gap_best"]), number(row["bound"])
        good = good and best - limit <= 1e-9 * (1 + abs(best) + abs(limit))
    return "holds" if good else "VIOLATED"


def convergence_sheet(inputs: Inputs) -> Sheet:
    """One row per convex run."""
    columns = (
        Column("Problem"),
        Column("Method"),
        Column("Verdict", "badge"),
        Column("Mode"),
        Column("r"),
        Column("Best gap", "number"),
        Column("Mean gap", "number"),
        Column("Bound", "number"),
        Column("Closure error", "number"),
        Column("Least D", "number"),
        Column("Status", "status"),
        Column("Last gap", "number", wide=True),
        Column("Steps", "number", wide=True),
        Column("Note", wide=True),
    )
    rows = []
    for r in inputs.convergence.rows:
        numbers = [_float(r[k]) for k in ("gap_best", "gap_mean", "bound", "max_closure_error", "min_D", "gap_last")]
        words = (r["problem"], r["method"], r["verdict"], r["mode"], r["regularizer"])
        rows.append((*words, *numbers[:5], run_status(r), numbers[5], int(number(r["steps"])), r["note"]))
    caption = (
        "Convex problems after the last step. Gaps are measured from the comparator; a bound stands only where "
        "identity (I) gives one. Closure error: the largest of the run. Least D: over all steps, comparators and grid "
        "points, relative to its terms; at least 0 up to rounding. Status: whether the closure error and the least "
        "D are within rounding, and the best gap within the bound."
    )
    return Sheet("convergence", caption, columns, tuple(rows))


def networks_sheet(inputs: Inputs) -> Sheet:
    """One row per method."""
    columns = (
        Column("Method"),
        Column("Verdict", "badge"),
        Column("Seeds", "number"),
        Column("Hard accuracy, mean (%)", "number"),
        Column("Hard std (%)", "number"),
        Column("Soft accuracy, mean (%)", "number"),
        Column("Soft std (%)", "number"),
        Column("Note", wide=True),
    )
    rows = []
    for r in inputs.networks.rows:
        percent = []
        for key in ("hard_mean", "hard_std", "soft_mean", "soft_std"):
            value = _float(r[key])
            percent.append(None if value is None else 100 * value)
        rows.append((r["method"], r["verdict"], int(number(r["seeds"])), *percent, r.get("note", "")))
    caption = "Test accuracy after the last epoch, mean and standard deviation over seeds; hard: quantized weights."
    return Sheet("networks", caption, columns, tuple(rows))


__all__ = [
    "Column",
    "Sheet",
    "badge",
    "breakable",
    "catalogue_sheet",
    "certificate_words",
    "convergence_sheet",
    "corollary_words",
    "distance_words",
    "formula",
    "latex_text",
    "networks_sheet",
    "number_html",
    "run_status",
    "symbols",
    "synthesized_sheet",
]
