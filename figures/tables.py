"""Tables in HTML (self-contained, sortable), LaTeX (booktabs) and CSV, and formulas for both.

A `Sheet` is declared once, and each of the three forms is a rendering of it. CSV keeps every digit;
HTML and LaTeX show three.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from html import escape
from pathlib import Path
from typing import Any

import sympy as sp
from sympy.printing.mathml import MathMLPresentationPrinter

from figures.data import Inputs, Row, number
from figures.mathml import mathml
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


@dataclass(frozen=True)
class Column:
    """One column.

    ``kind``: text, code (an expression), math (LaTeX), number, badge (a verdict), flag (yes, no, open), status (a word,
    in capitals where something is wrong) or links (pairs of words and an address).

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
    params: tuple[tuple[tuple[str, str], ...], ...] = ()

    def narrow(self) -> Sheet:
        """The same without its wide columns."""
        keep = [i for i, c in enumerate(self.columns) if not c.wide]
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

    def html(self, heading: str = "") -> str:
        """A <table> with sort buttons in its head (they work where `SORT_SCRIPT` is on the page)."""
        head = "".join(
            f'<th scope="col" aria-sort="none"><button type="button">{escape(c.title)}</button></th>'
            for c in self.columns
        )
        body = "\n".join(
            "<tr>"
            + "".join(_html_cell(c, v, i == 0) for i, (c, v) in enumerate(zip(self.columns, row, strict=True)))
            + "</tr>"
            for row in self.rows
        )
        caption = heading or self.caption
        return (
            f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(self.name)} table">'
            f'<table class="sortable"><caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n'
            f"<tbody>\n{body}\n</tbody></table></div>"
        )

    def html_page(self) -> str:
        """A page of its own with all columns: no network, no framework."""
        title = escape(f"proxpair: {self.name}")
        return (
            f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width, initial-scale=1"><title>{title}</title>\n'
            f"<style>{TABLE_STYLE}</style></head>\n<body><main><h1>{title}</h1>\n{self.html()}\n</main>\n"
            f"<script>{SORT_SCRIPT}</script></body></html>\n"
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

    def write(self, folder: Path) -> None:
        """Write NAME.csv, NAME.tex and NAME.html. Raises `InputError` if they cannot be written."""
        write_text(folder / f"{self.name}.csv", self.csv())
        write_text(folder / f"{self.name}.tex", self.latex())
        write_text(folder / f"{self.name}.html", self.html_page())


# --------------------------------------------------------------------------- cells


def _power(value: float) -> tuple[str, str] | None:
    """Mantissa and exponent of a number that is written with a power of ten, else None."""
    if value == 0 or 1e-3 <= abs(value) < 1e5 or not math.isfinite(value):
        return None
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{float(mantissa):g}", str(int(exponent))


def _plain(value: float) -> str:
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


def _html_cell(column: Column, value: Any, is_head: bool) -> str:
    sort, shown = "", ""
    if column.kind == "flag":
        shown = YES_NO[value]
    elif _missing(value):
        shown = YES_NO[None]
        sort = ' data-sort=""' if column.kind == "number" else ""
    elif column.kind == "number":
        sort, shown = f' data-sort="{escape(repr(value))}"', number_html(value)
    elif column.kind == "badge":
        shown = badge(str(value))
    elif column.kind == "code":
        shown = f"<code>{breakable(str(value))}</code>"
    elif column.kind == "math":
        shown = mathml(value)
    elif column.kind == "status":
        shown = f'<span class="state bad">✕ {escape(value)}</span>' if value.isupper() else escape(value)
    elif column.kind == "links":
        shown = "<br>".join(f'<a href="{escape(address)}">{escape(words)}</a>' for words, address in value)
    else:
        shown = escape(str(value))
    cls = ' class="number"' if column.kind == "number" else ""
    return f'<th scope="row">{shown}</th>' if is_head else f"<td{cls}{sort}>{shown}</td>"


def breakable(code: str) -> str:
    """An expression, escaped, that may break after commas and around operators on a narrow screen."""
    text = escape(code)
    for at in (", ", " + ", " - ", "*", "/"):
        text = text.replace(at, at.rstrip() + ("<wbr>" if not at.endswith(" ") else " "))
    return text


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


def _latex_cell(column: Column, value: Any, params: tuple[tuple[str, str], ...]) -> str:
    if column.kind == "flag":
        return latex_text(YES_NO[value])
    if _missing(value):
        return "--"
    if column.kind == "number":
        power = _power(value)
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


@lru_cache(maxsize=2000)
def formula(text: str, params: tuple[tuple[str, str], ...] = (), variable: str = "x", name: str = "") -> str:
    """An expression of the grammar as MathML, or as code where its pieces have no closed form."""
    try:
        m = read_map(text, params)
    except Undecided:
        return f"<code>{breakable(text)}</code>"
    if m.windowed:
        return f"<code>{breakable(text)}</code>"
    swap = {X: sp.Symbol(variable, real=True)}
    # a row of its own, so that the brackets do not grow with what follows
    argument = f"<mrow><mo>(</mo><mi>{variable}</mi><mo>)</mo></mrow>"
    head = f"<mi>{name}</mi>{argument}<mo>=</mo>" if name else ""
    if not m.breaks:
        return f'<math displaystyle="true"><mrow>{head}{_expression(m.exprs[0].xreplace(swap))}</mrow></math>'
    rows = "".join(
        f"<mtr><mtd>{_expression(e if e in (sp.oo, -sp.oo) else e.xreplace(swap))}</mtd><mtd>{where}</mtd></mtr>"
        for e, where in _cases(m, variable)
    )
    # a line in place of the brace, which stretches only where a mathematical font is installed
    return f'<math displaystyle="true"><mrow>{head}<mtable class="cases">{rows}</mtable></mrow></math>'


# --------------------------------------------------------------------------- the three sheets


def _params(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple((row.get("params") or {}).items())


def catalogue_sheet(rows: Sequence[Row]) -> Sheet:
    """The verdict on every catalogued pair, with its decomposition, its corollary and its nearest repair."""
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
    for row in rows:
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
                *(certificate_words(row), row.get("reason"), row.get("scope"), row.get("title"), row.get("source")),
            )
        )
    caption = (
        "Every catalogued pair with its verdict. Literal criterion: F and B are functions of the integral of dF/B, "
        "with 0/0 := 0. Corollary: the strongest bound of the theory that applies to the pair, and for which f. "
        "Nearest repair: by the root mean squares of the changes of F and of B on [-2, 2], added."
    )
    return Sheet("catalogue", caption, columns, tuple(cells), tuple(_params(row) for row in rows))


def corollary_words(row: Row) -> str | None:
    """The strongest corollary that applies, and for which f; None for a pair that is not principled."""
    best = applicable(row)
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
        Column("Last gap", "number", wide=True),
        Column("Steps", "number", wide=True),
        Column("Note", wide=True),
    )
    rows = []
    for r in inputs.convergence.rows:
        numbers = [_float(r[k]) for k in ("gap_best", "gap_mean", "bound", "max_closure_error", "min_D", "gap_last")]
        words = (r["problem"], r["method"], r["verdict"], r["mode"], r["regularizer"])
        rows.append((*words, *numbers, int(number(r["steps"])), r["note"]))
    caption = (
        "Convex problems after the last step. Gaps are measured from the comparator; a bound stands only where "
        "identity (I) gives one. Closure error: the largest of the run. Least D: over all steps, comparators and grid "
        "points, relative to its terms; at least 0 up to rounding."
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


# --------------------------------------------------------------------------- what the pages share


SORT_SCRIPT = """
for (const table of document.querySelectorAll('table.sortable')) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, i) => head.querySelector('button').addEventListener('click', () => {
    const up = head.getAttribute('aria-sort') !== 'ascending';
    const key = row => row.cells[i].dataset.sort ?? row.cells[i].textContent.trim();
    const rows = [...table.tBodies[0].rows].sort((a, b) => {
      const [p, q] = [key(a), key(b)];
      if (p === '' || q === '') return (p === '') - (q === '');
      const order = isNaN(p) || isNaN(q) ? p.localeCompare(q) : p - q;
      return up ? order : -order;
    });
    heads.forEach(h => h.setAttribute('aria-sort', 'none'));
    head.setAttribute('aria-sort', up ? 'ascending' : 'descending');
    table.tBodies[0].append(...rows);
  }));
}
"""

TABLE_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1c2127; --soft: #525b66; --line: #d5dae0;
  --wash: #f5f7f9; --link: #0a4f9e; --smooth: #0b5239; --smooth-bg: #e4f2eb; --lipschitz: #694600;
  --lipschitz-bg: #fcf0d6; --unprincipled: #8a1e10; --unprincipled-bg: #fbe7e3; --undecided: #3b424b;
  --undecided-bg: #ebedf0; }
@media (prefers-color-scheme: dark) { :root { --paper: #14181d; --ink: #e8ebee; --soft: #aab3bd; --line: #38414b;
  --wash: #1d232a; --link: #86bbff; --smooth: #8fdcb8; --smooth-bg: #11352a; --lipschitz: #f2cd7f;
  --lipschitz-bg: #3b2f10; --unprincipled: #f6ab9f; --unprincipled-bg: #451d17; --undecided: #d3d8de;
  --undecided-bg: #2c333b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 74rem; margin: 0 auto; padding: 0 1.25rem 4rem; }
h1, h2, h3 { line-height: 1.2; text-wrap: balance; }
a { color: var(--link); }
:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
code { font: 0.86em/1.45 ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.scroll { overflow-x: auto; margin: 1rem 0; border: 1px solid var(--line); border-radius: 8px; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; }
caption { caption-side: bottom; text-align: left; color: var(--soft); padding: 0.6rem 0.8rem; }
th, td { text-align: left; vertical-align: top; padding: 0.45rem 0.6rem; border-bottom: 1px solid var(--line); }
tbody tr:hover { background: var(--wash); }
thead th { background: var(--wash); padding: 0; white-space: nowrap; }
thead button { all: unset; box-sizing: border-box; cursor: pointer; display: block; width: 100%; font-weight: 600;
  padding: 0.45rem 0.6rem; }
thead button:focus-visible { outline: 3px solid var(--link); outline-offset: -3px; }
thead button::after { content: " \\2195"; color: var(--soft); }
[aria-sort=ascending] button::after { content: " \\2191"; color: var(--ink); }
[aria-sort=descending] button::after { content: " \\2193"; color: var(--ink); }
tbody th { font-weight: 600; min-width: 6rem; }
td code { overflow-wrap: anywhere; }
.number { text-align: right; white-space: nowrap; font-variant-numeric: tabular-nums; }
.badge { display: inline-block; white-space: nowrap; font-size: 0.82rem; font-weight: 600; line-height: 1.4;
  padding: 0.05rem 0.55rem; border-radius: 999px; border: 2px solid currentColor; }
.badge.smooth { color: var(--smooth); background: var(--smooth-bg); border-style: solid; }
.badge.lipschitz { color: var(--lipschitz); background: var(--lipschitz-bg); border-style: dashed; }
.badge.unprincipled { color: var(--unprincipled); background: var(--unprincipled-bg); border-style: double;
  border-width: 4px; padding-block: 0; border-radius: 4px; }
.badge.undecided { color: var(--undecided); background: var(--undecided-bg); border-style: dotted; }
.state.bad, .alarm { color: var(--unprincipled); background: var(--unprincipled-bg); font-weight: 700;
  border: 3px double currentColor; border-radius: 4px; padding: 0.1rem 0.5rem; white-space: nowrap; }
.alarm { white-space: normal; margin: 1rem 0; }
"""

__all__ = [
    "SORT_SCRIPT",
    "TABLE_STYLE",
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
    "synthesized_sheet",
]
