"""The theorems as pages: the table of statements, and each statement with its evidence, folded.

The evidence of a statement is all that `figures.theorems` found for it: the derivations it rests on, the runs source
by source, its worst cases, what happens without one of its hypotheses, and the commands that make all this again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape
from typing import TYPE_CHECKING

from figures import page
from figures.mathml import mathml
from figures.tables import Column, Sheet, symbols

if TYPE_CHECKING:
    from figures.theorems import Dropped, Line, Theorems

_GLOSSARY = (
    ("u_t, v_t", "the latent point and its proximal point v_t = P(u_t); weights are w_t = T(v_t)."),
    ("f, r, F~", "the loss, the regularizer of P, and the objective F~ = f o T + r."),
    ("eta_t, H", "the step sizes and their sum; W_k is their sum from step k on."),
    ("delta_t", "how far mu advances in step t: eta_t for ProxConnect++, 0 for a fixed pair."),
    ("g_t, s_t", "the gradient of f o T at v_t, and the subgradient (u_t - v_t)/mu_t of r at v_t."),
    (
        "D_t(w)",
        "mu_t r(w) + |w - u_t|^2/2 less its value at v_t: at least 0, since v_t is the minimiser.",
    ),
)


def target(k: int) -> str:
    """The id of statement k, from 0."""
    return f"theorem-{k + 1}"


def statements(table: Theorems) -> str:
    """The table of statements, each linked to its evidence on the same page."""
    _, sheet = table.sheets()[0]
    formulas = [mathml(line.formula) for line in table.statements]
    targets = [target(k) for k in range(len(table.statements))]
    return sheet.narrow(without=["Formula"]).html(targets=targets, notes=formulas)


def evidence(table: Theorems) -> str:
    """Every statement with its evidence, folded."""
    return "\n".join(_statement(table, line, target(k)) for k, line in enumerate(table.statements))


def alarm(table: Theorems) -> str:
    """What fails, as a box; empty if nothing does."""
    if not table.failing:
        return ""
    items = "".join(
        f"<li><strong>{x.status}</strong>: {escape(x.statement)} ({escape(x.how)})</li>" for x in table.failing
    )
    return f'<div class="alarm" role="alert"><p>Not everything holds:</p><ul>{items}</ul></div>'


def glossary() -> str:
    """The letters of the formulas in words."""
    items = "".join(f"<dt>{symbols(term)}</dt><dd>{symbols(words)}</dd>" for term, words in _GLOSSARY)
    return (
        '<details id="letters"><summary><h3>What the letters mean</h3></summary>\n'
        f'<dl class="facts">{items}</dl></details>'
    )


def state(status: str) -> str:
    """The status of a statement with a sign."""
    if status.isupper():
        return f'<span class="state bad">✕ {escape(status)}</span>'
    sign = {"proved": "✓ ", "confirmed": "✓ "}.get(status, "")
    return f'<span class="state{" good" if sign else ""}">{sign}{escape(status)}</span>'


def _statement(table: Theorems, line: Line, name: str) -> str:
    parts = [
        f'<div class="big">{mathml(line.formula)}</div>',
        f"<p>Standing: {escape(line.standing)}. {escape(_sentence(line))}</p>",
        _derivations(table, line, name),
        _runs(line, name),
        _cases(table, line, name),
        _without(table, line, name),
        _again(line),
    ]
    body = "\n".join(part for part in parts if part)
    return (
        f'<details id="{name}"><summary><h3>{symbols(line.statement)}</h3> {state(line.status)}</summary>\n'
        f"{body}\n</details>"
    )


def _sentence(line: Line) -> str:
    """What confirms the statement, in one sentence."""
    if not line.how:
        return "There are no data for it in this folder."
    return f"Confirmed by: {line.how}."


def _derivations(table: Theorems, line: Line, name: str) -> str:
    if not line.proofs:
        return ""
    known = {x.statement: x for x in table.lines if x.part == "derivations"}
    items = []
    for proof in line.proofs:
        found = known.get(proof)
        if found is None:
            items.append(f"<li>{symbols(proof)} {state('NOT PROVED')}: there is no such derivation</li>")
            continue
        failure = "" if found.how == "symbolic proof" else f": {escape(found.how)}"
        items.append(
            f'<li>{symbols(proof)} {state(found.status)}{failure}<div class="big">{mathml(found.formula)}</div></li>'
        )
    return (
        "<h4>Derivation</h4>\n<p>Each step is an identity of polynomials that was expanded and compared with 0 when "
        f'this page was made.</p>\n<ol id="{name}-derivation">{"".join(items)}</ol>'
    )


def _runs(line: Line, name: str) -> str:
    found = [e for e in line.evidence if not e.solved]
    if not found:
        return ""
    columns = (
        Column("Confirmed by"),
        Column("Worst slack", "number"),
        Column("Tightest ratio", "number"),
        Column("Violations", "number"),
    )
    rows = tuple((e.how, _finite(e.slack), _finite(e.tightest), e.violations) for e in found)
    caption = "What was run or decided, source by source."
    if line.slack_is:
        caption += f" Slack: {line.slack_is}. Ratio: left side over bound."
    sheet = Sheet(f"runs of {name}", caption, columns, rows)
    return f"<h4>Runs</h4>\n{sheet.html(still=True)}"


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _cases(table: Theorems, line: Line, name: str) -> str:
    found = [x for x in table.lines if x.part == "worst cases" and set(x.cases) & set(line.cases)]
    if not found:
        return ""
    columns = (
        Column("Statement and setting", "words"),
        Column("How"),
        Column("Tightest ratio", "number"),
        Column("Violations", "number"),
        Column("Status", "status"),
    )
    rows = tuple((x.statement, x.how, x.tightest, x.violations, x.status) for x in found)
    caption = "The worst functions of a class beside the bound: numerical values of a semidefinite program, no proofs."
    sheet = Sheet(f"worst cases of {name}", caption, columns, rows)
    return f"<h4>Worst cases</h4>\n{sheet.html(still=True)}"


DROPPED_COLUMNS = tuple(map(Column, ("Where", "Quantity", "With it", "Without it", "Broken", "In words")))
"""What is said of a dropped hypothesis, wherever it is said: `Dropped.cells`."""


def _without(table: Theorems, line: Line, name: str) -> str:
    found: list[Dropped] = [d for d in table.dropped if d.about in line.about]
    if not found:
        return ""
    columns = (Column("Without", "words"), *DROPPED_COLUMNS)
    rows = tuple((d.hypothesis, *d.cells) for d in found)
    caption = (
        "One hypothesis dropped at a time. A statement that breaks needs it; the others were not shown to need it."
    )
    sheet = Sheet(f"dropped hypotheses of {name}", caption, columns, rows)
    return f"<h4>Without a hypothesis</h4>\n{sheet.html(still=True)}"


def _again(line: Line) -> str:
    files = ", ".join(f'<a href="{escape(address)}">{escape(words)}</a>' for words, address in line.links)
    commands = " and ".join(f"<code>{escape(command)}</code>" for command in line.commands.split("; "))
    seen = f" Figures and data: {files}." if files else ""
    return f'<p class="made">Made again by {commands}.{seen}</p>'


def page_text(table: Theorems, site: Sequence[page.Link]) -> str:
    """The page of the table, whole; ``site``: the pages of its folder."""
    parts = []
    contents: list[page.Link] = []
    for heading, sheet in table.sheets():
        name = heading.lower().split(",")[0].replace(" ", "-")
        contents.append((heading, name))
        if name == "statements":
            parts.append(page.section(name, heading, statements(table)))
            contents.append(("Evidence", "evidence"))
            words = "<p>For each statement: derivation, runs, worst cases, and what happens without a hypothesis.</p>"
            parts.append(page.section("evidence", "Evidence", words, glossary(), evidence(table)))
        else:
            parts.append(page.section(name, heading, sheet.html()))
    absent = "".join(
        f"<p>Not in this folder: convergence/{escape(name)}.csv; <code>{escape(command)}</code> makes it.</p>"
        for name, command in table.missing
    )
    body = "\n".join(parts)
    main = (
        f"{alarm(table)}{absent}\n{body}\n"
        '<p class="made">Made by <code>proxpair theorems</code>; the same as <a href="theorems.csv">CSV</a> and '
        '<a href="theorems.tex">LaTeX</a>.</p>'
    )
    return page.document(
        "proxpair: theorems",
        main,
        heading="The theorems and what confirms them",
        lead=f"<p>{escape(table.summary)}</p>\n",
        contents=contents,
        site=site,
        here="theorems.html",
    )


__all__ = ["DROPPED_COLUMNS", "alarm", "evidence", "glossary", "page_text", "state", "statements", "target"]
