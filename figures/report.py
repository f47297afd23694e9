"""The report: every figure and table that has data, and DIR/index.html, which shows them all.

The page is one self-contained file: inline style and script, relative links, nothing from a
network. It holds no time, date or path, so the same results give the same bytes.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING

from figures import plots, tables, theorems
from figures.data import GRADES, Inputs, Row, check_rows, number, read_verdicts
from figures.plots import Plot, slug
from figures.tables import (
    SORT_SCRIPT,
    TABLE_STYLE,
    Sheet,
    badge,
    breakable,
    certificate_words,
    corollary_words,
    distance_words,
    formula,
    number_html,
)
from figures.theorems import Theorems
from theory.corollaries import applicable
from theory.errors import InputError
from theory.files import write_text

if TYPE_CHECKING:
    from rich.progress import Progress

_F = '<span class="formula">F = T ∘ P</span>'
_B = '<span class="formula">B = T\' ∘ P</span>'
_MEANING = {
    "smooth": f"{_F} and {_B} with a proximal map P and a transform T that is continuously "
    "differentiable: the theory applies as it stands.",
    "lipschitz": "the same with a T that has kinks, where B selects a generalised derivative.",
    "unprincipled": "no such T and P exist; a witness gives exact points at which the definition fails.",
    "undecided": "the exact methods did not settle it within their time; never a guess.",
}


@dataclass(frozen=True)
class Shown:
    """A figure that was written, as the page needs it: width and height in pixels."""

    plot: Plot
    width: int
    height: int


def build(
    out: Path,
    catalogue_rows: Sequence[Row],
    synthesized_rows: Sequence[Row],
    progress: Progress | None = None,
) -> Path:
    """Draw every figure that has data, write the tables and OUT/index.html; returns that page's path.

    The rows are objects of `check` with name, forward and backward; convergence and networks are
    read from OUT. Raises `InputError` on rows or files that cannot be read.
    """
    check_rows(catalogue_rows, "the catalogue's rows")
    check_rows(synthesized_rows, "the synthesized rows")
    inputs = Inputs(out, catalogue_rows, synthesized_rows, [str(row["name"]) for row in catalogue_rows])
    inputs.read_all()
    names = plots.names(inputs)
    bar = None if progress is None else progress.add_task("figures", total=len(names) + 1)
    shown: dict[str, Shown] = {}
    for name in names:
        plot = plots.build(inputs, name)
        if plot is not None:
            plot.write(out / "figures")
            width, height = png_size(out / "figures" / f"{name}.png")
            shown[name] = Shown(plot, width, height)
        if progress is not None and bar is not None:
            progress.advance(bar)
    sheets = make_sheets(inputs)
    for sheet in sheets.values():
        sheet.write(out / "tables")
    for row, name in zip(inputs.catalogue, plots.pair_names(inputs), strict=False):
        write_text(out / "methods" / f"{slug(str(row['name']))}.html", method_page(row, shown.get(name), "../figures/"))
    # after the figures, since it links to those that are there
    table = theorems.make(inputs) if inputs.has_convergence else None
    if table is not None:
        table.write(out)
    page = write_text(out / "index.html", page_text(inputs, shown, sheets, table))
    if progress is not None and bar is not None:
        progress.advance(bar)
    return page


def redraw(out: Path, names: Sequence[str], visible: bool = False) -> list[Path]:
    """Draw the named figures again from what is in OUT, or without names everything; returns what was made.

    ``visible``: with a progress bar, which appears once everything is read, so that an error stands
    alone. Raises `InputError` for a name that no figure has, and for missing or broken data.
    """
    paper = f"proxpair paper --out {out}"
    verdicts, synthesized = out / "catalogue.json", out / "synthesized.json"
    if not names:
        rows, made = read_verdicts(verdicts, paper), read_verdicts(synthesized, paper)
        Inputs(out).read_all()
        with _bar(visible) as progress:
            return [build(out, rows, made, progress)]
    others = [name for name in names if name not in plots.SINGLE]
    rows = read_verdicts(verdicts, paper) if verdicts.is_file() else []
    made = read_verdicts(synthesized, paper) if synthesized.is_file() else []
    inputs = Inputs(out, rows, made, [str(row["name"]) for row in rows])
    for name in others:
        if name not in plots.names(inputs) and not rows and name.startswith(("pair-", "synthesized-")):
            raise InputError(f"{verdicts} is missing, so there is no figure {name[:60]!r}; make it with: {paper}")
    drawings = []
    for name in dict.fromkeys(names):
        plot = plots.build(inputs, name)
        if plot is None:
            command = plots.SINGLE[name][1]
            raise InputError(
                f"{out} has no data for the figure {name!r}; make them with: proxpair {command} --out {out}"
            )
        drawings.append(plot)
    with _bar(visible) as progress:
        bar = None if progress is None else progress.add_task("figures", total=len(drawings))
        for plot in drawings:
            plot.write(out / "figures")
            if progress is not None and bar is not None:
                progress.advance(bar)
    return [out / "figures" / f"{plot.name}.{kind}" for plot in drawings for kind in ("png", "pdf", "csv")]


@contextmanager
def _bar(visible: bool) -> Iterator[Progress | None]:
    if not visible:
        yield None
        return
    from theory.console import progress

    with progress() as bar:
        yield bar


def make_sheets(inputs: Inputs) -> dict[str, Sheet]:
    """The tables that have data, by name."""
    sheets: dict[str, Sheet] = {}
    if inputs.catalogue:
        sheets["catalogue"] = tables.catalogue_sheet(inputs.catalogue)
    if inputs.synthesized:
        sheets["synthesized"] = tables.synthesized_sheet(inputs.synthesized)
    if inputs.has_convergence:
        sheets["convergence"] = tables.convergence_sheet(inputs)
    if inputs.has_networks:
        sheets["networks"] = tables.networks_sheet(inputs)
    return sheets


def png_size(path: Path) -> tuple[int, int]:
    width, height = struct.unpack(">II", path.read_bytes()[16:24])
    return int(width), int(height)


# --------------------------------------------------------------------------- pieces of the page


def _figure(shown: Shown, command: str, base: str = "figures/") -> str:
    plot = shown.plot
    name = escape(plot.name)
    files = " ".join(f'<a href="{base}{name}.{kind}">{kind.upper()}</a>' for kind in ("png", "pdf", "csv"))
    return (
        f'<figure id="figure-{name}"><a href="{base}{name}.png"><img src="{base}{name}.png" '
        f'alt="{escape(plot.alt)}" width="{shown.width}" height="{shown.height}" '
        f'style="max-width: {shown.width // 2}px" loading="lazy"></a>\n'
        f"<figcaption><strong>{escape(plot.title)}.</strong> {escape(plot.caption)} "
        f'<span class="made">Files: {files}. Made by <code>{escape(command)}</code>.</span></figcaption></figure>'
    )


def _table_links(name: str) -> str:
    kinds = (("html", "all columns, HTML"), ("tex", "LaTeX"), ("csv", "CSV"))
    return " ".join(f'<a href="tables/{name}.{kind}">{words}</a>' for kind, words in kinds)


def _missing(what: str, command: str) -> str:
    return f"<p>{escape(what)} <code>{escape(command)}</code> makes them.</p>"


def _definition(term: str, text: str | None, row: Row, key: str, name: str, variable: str) -> str:
    """One <dt>, <dd> of a decomposition: as a formula, and as text that `check` reads."""
    if text is None:
        why = (row.get("implicit") or {}).get(key, "no closed form in the grammar")
        return f"<dt>{escape(term)}</dt><dd>{escape(why)}</dd>"
    params = tuple((row.get("params") or {}).items())
    return (
        f"<dt>{escape(term)}</dt><dd><div>{formula(text, params, variable, name)}</div>"
        f'<code class="plain">{breakable(text)}</code></dd>'
    )


def _decomposition(row: Row) -> str:
    r = row.get("regularizer") or {}
    largest, smallest = r.get("largest"), r.get("smallest")
    parts = [
        _definition("Transform T", row.get("transform"), row, "transform", "T", "v"),
        _definition("Proximal map P", row.get("prox"), row, "prox", "P", "x"),
    ]
    if largest == smallest:
        parts.append(_definition("Regularizer r (μ = 1; largest = smallest)", largest, row, "regularizer", "r", "v"))
    else:
        parts.append(_definition("Regularizer r (μ = 1), largest", largest, row, "regularizer", "r", "v"))
        parts.append(_definition("Regularizer r (μ = 1), smallest", smallest, row, "regularizer", "r", "v"))
    return "".join(parts)


def _witness(row: Row) -> str:
    witness = row.get("witness")
    if not witness:
        return ""
    points = ", ".join(f"<code>{escape(str(p))}</code>" for p in witness.get("points", []))
    at = f" at x = {points}" if points else ""
    kind = escape(str(witness.get("kind", "")).replace("-", " "))
    return f"<dt>Witness</dt><dd>{escape(str(witness.get('sentence', '')))}<br>({kind}{at})</dd>"


def _repairs(row: Row) -> str:
    repairs = row.get("repairs") or []
    if not repairs:
        return ""
    body = "".join(
        f'<tr><th scope="row">{escape(str(r["name"]))}</th><td>{escape(str(r["keeps"]))}</td>'
        f"<td><code>{breakable(str(r['forward']))}</code></td><td><code>{breakable(str(r['backward']))}</code></td>"
        f"<td>{badge(str(r['verdict']))}</td><td>{escape(distance_words(r) or '')}</td></tr>"
        for r in repairs
    )
    label = escape(f"Repairs of {row['name']}")
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{label}"><table><caption>Principled neighbours '
        "of the pair, nearest first; feeding their forward and backward to <code>check</code> gives the verdict shown. "
        "Distances: sup over all x, rms over [-2, 2], off ties.</caption>"
        '<thead class="still"><tr><th scope="col">Repair</th><th scope="col">Keeps</th>'
        '<th scope="col">Forward F(x)</th><th scope="col">Backward B(x)</th><th scope="col">Verdict</th>'
        '<th scope="col">Distance</th></tr></thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


_OPEN = {True: "yes", False: "no", None: "not settled"}


def _details(row: Row, figure_name: str, shown: Shown | None, command: str) -> str:
    """One verdict, folded: its name and badge, then what `_body` says."""
    title = f'<span class="title">{escape(str(row.get("title") or ""))}</span>' if row.get("title") else ""
    picture = "" if shown is None else _figure(shown, f"proxpair figures {figure_name}")
    page = ""
    if "certificate" in row:
        there = f"methods/{slug(str(row['name']))}"
        links = [f'<a href="{there}.html">its own page</a>']
        links += [f'<a href="{there}.certificate.json">certificate</a>'] if row["certificate"]["accepted"] else []
        page = f" See {', '.join(links)}."
    return (
        f'<details id="{escape(figure_name)}"><summary><h3>{escape(str(row["name"]))}</h3> '
        f"{badge(str(row['verdict']))} {title}</summary>\n{_body(row, picture)}\n"
        f'<p class="made">Made by <code>{escape(command)}</code>.{page}</p></details>'
    )


def _body(row: Row, picture: str) -> str:
    """Everything about one pair: reason, picture, maps, decomposition or witness and repairs."""
    facts = [
        _definition("Forward F", row["forward"], row, "forward", "F", "x"),
        _definition("Backward B", row["backward"], row, "backward", "B", "x"),
    ]
    params = row.get("params") or {}
    if params:
        values = ", ".join(f"<code>{escape(str(k))} = {escape(str(v))}</code>" for k, v in params.items())
        facts.append(f"<dt>Parameters</dt><dd>{values}</dd>")
    principled = row["verdict"] in ("smooth", "lipschitz")
    if principled:
        facts.append(_decomposition(row))
        facts.append(f"<dt>Convex r</dt><dd>{_OPEN[row.get('convex_regularizer')]}</dd>")
    facts.append(_witness(row))
    if "literal_criterion" in row:
        facts.append(f"<dt>Literal criterion</dt><dd>{_OPEN[row['literal_criterion']]}</dd>")
    best = applicable(row)
    if best is not None:
        facts.append(
            f"<dt>Corollary</dt><dd>{escape(corollary_words(row) or '')}: <code>{escape(best['bound'])}</code> "
            f"({escape(best['because'])})</dd>"
        )
    if row.get("certificate"):
        facts.append(f"<dt>Certificate</dt><dd>{escape(certificate_words(row) or '')}</dd>")
    for key, term in (("coverage", "Coverage"), ("scope", "Scope"), ("source", "Source")):
        if row.get(key):
            facts.append(f"<dt>{term}</dt><dd>{escape(str(row[key]))}</dd>")
    for note in row.get("notes") or []:
        facts.append(f"<dt>Note</dt><dd>{escape(str(note))}</dd>")
    reason = escape(str(row.get("reason") or ""))
    return f'<p>{reason}</p>\n{picture}\n<dl class="facts">{"".join(facts)}</dl>\n{"" if principled else _repairs(row)}'


def method_page(row: Row, shown: Shown | None, base: str) -> str:
    """The page of one method; ``base``: the address of the folder with its picture, "" for the same folder."""
    name = slug(str(row["name"]))
    command = f"proxpair catalogue --method {row['name']} --out pages"
    picture = "" if shown is None else _figure(shown, command, base)
    proof = ""
    if (row.get("certificate") or {}).get("accepted"):
        proof = (
            f'<p>The proof as a file: <a href="{name}.certificate.json">certificate</a>; '
            f"<code>proxpair verify-certificate {name}.certificate.json</code> re-checks it.</p>\n"
        )
    title = f"{row['name']}: {row.get('title') or ''} ({row.get('year')})"
    back = '<p><a href="../index.html">All methods</a></p>\n' if base else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>proxpair: {escape(title)}</title>\n<style>{TABLE_STYLE}{PAGE_STYLE}</style>\n</head>\n<body>\n"
        f'<main id="main">\n{back}<h1>{escape(title)}</h1>\n<p>{badge(str(row["verdict"]))}</p>\n'
        f'{_body(row, picture)}\n{proof}<p class="made">Made by <code>{escape(command)}</code>.</p>\n'
        "</main>\n</body>\n</html>\n"
    )


def _pair_sections(rows: Sequence[Row], names: Sequence[str], shown: dict[str, Shown], synthesized: bool) -> str:
    parts = []
    for row, name in zip(rows, names, strict=True):
        if synthesized:
            command = "proxpair paper"
            if row.get("transform") and row.get("prox"):
                command = f'proxpair synthesize --transform "{row["transform"]}" --prox "{row["prox"]}"'
        else:
            command = f"proxpair check {row['name']}"
        parts.append(_details(row, name, shown.get(name), command))
    return "\n".join(parts)


def _theorems(table: Theorems | None) -> str:
    """The table of theorems: its counts, what fails, the statements; the other parts stand on a page of their own."""
    if table is None:
        return _missing("The table needs convex runs, and none are in this folder.", "proxpair converge")
    links = "".join(f' <a href="theorems.{kind}">{kind.upper()}</a>' for kind in ("html", "tex", "csv"))
    _, statements = table.sheets()[0]
    return (
        f"<p>{escape(table.summary)}</p>\n{table.alarm()}{statements.narrow().html()}\n"
        f'<p class="made">The whole table, with derivations, worst cases and dropped hypotheses:{links}. '
        "Made by <code>proxpair theorems</code>.</p>"
    )


# --------------------------------------------------------------------------- key numbers


def _key_numbers(inputs: Inputs, proved: Theorems | None) -> str:
    cards: list[tuple[str, str, str]] = []
    counts = {g: sum(row["verdict"] == g for row in inputs.catalogue) for g in GRADES}
    total = len(inputs.catalogue)
    principled = counts["smooth"] + counts["lipschitz"]
    cards.append((f"{principled} of {total}", "catalogued pairs are principled", _counted(counts)))
    if inputs.synthesized:
        good = sum(row["verdict"] in ("smooth", "lipschitz") for row in inputs.synthesized)
        cards.append((f"{good} of {len(inputs.synthesized)}", "synthesized pairs are found principled again", ""))
    if inputs.has_convergence:
        errors = [e for r in inputs.convergence.rows if math.isfinite(e := number(r["max_closure_error"]))]
        if errors:
            runs = f"{len(errors)} runs; tolerance {number_html(plots.TOLERANCE)}"
            cards.append((number_html(max(errors)), "largest closure error of a ledger on a convex problem", runs))
    if proved is not None:
        more = f"failing: {len(proved.failing)}" if proved.failing else "no violation was found"
        cards.append((f"{proved.holding} of {len(proved.statements)}", "statements of the theory hold", more))
    if inputs.has_networks:
        best = max(inputs.networks.rows, key=lambda r: number(r["hard_mean"]))
        std = number(best["hard_std"])
        spread = f" ± {100 * std:.1f}" if math.isfinite(std) else ""
        cards.append(
            (
                f"{100 * number(best['hard_mean']):.1f}{spread} %",
                "best test accuracy of a quantized network",
                f"{escape(best['method'])}, {escape(best['seeds'])} seeds",
            )
        )
    items = "".join(
        f'<div class="card"><dt>{words}</dt><dd><span class="value">{value}</span>'
        f'<span class="more">{more}</span></dd></div>'
        for value, words, more in cards
    )
    return f'<dl class="cards">{items}</dl>'


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {grade}" for grade, n in counts.items() if n)


# --------------------------------------------------------------------------- the page


def _grades() -> str:
    items = "".join(f"<dt>{badge(g)}</dt><dd>{_MEANING[g]}</dd>" for g in GRADES)
    return f'<dl class="grades">{items}</dl>'


def _section(name: str, title: str, *parts: str) -> str:
    body = "\n".join(p for p in parts if p)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{title}</h2>\n{body}\n</section>'
    )


def _profiles(out: Path) -> str:
    """Links to the pages of `figures.networks` that are there."""
    names = sorted(path.name for path in out.glob("networks-*.html"))
    links = ", ".join(f'<a href="{escape(name)}">{escape(name)}</a>' for name in names)
    return f"<p>Experiments with paired tests, a page for each profile: {links}.</p>" if names else ""


def page_text(inputs: Inputs, shown: dict[str, Shown], sheets: dict[str, Sheet], proved: Theorems | None = None) -> str:
    """The whole of index.html."""

    def figure(name: str, command: str | None = None) -> str:
        return _figure(shown[name], command or f"proxpair figures {name}") if name in shown else ""

    def table(name: str) -> str:
        if name not in sheets:
            return ""
        return f'{sheets[name].narrow().html()}\n<p class="made">The table: {_table_links(name)}.</p>'

    pair_names = plots.pair_names(inputs)
    first = len(inputs.catalogue)
    catalogued, synthesized = pair_names[:first], pair_names[first:]
    fold = '<p><button type="button" class="fold" aria-pressed="false">Unfold all</button></p>'
    sections = [
        (
            "verdicts",
            "Verdicts",
            _grades(),
            table("catalogue"),
            '<p class="made">Made by <code>proxpair catalogue</code>; one pair alone: <code>proxpair check NAME</code>.'
            "</p>",
            figure("maps"),
        ),
        (
            "pairs",
            "Pair by pair",
            "<p>For each pair the reason of its verdict, and either its transform T, proximal map P and regularizer r, "
            "or a witness with the repairs that are principled.</p>",
            fold,
            _pair_sections(inputs.catalogue, catalogued, shown, False),
        ),
        (
            "synthesized",
            "Synthesized pairs",
            f"<p>Any proximal map P and any admissible transform T give a principled pair {_F}, {_B}. "
            "Each pair below was composed and then checked like any other.</p>",
            table("synthesized"),
            _pair_sections(inputs.synthesized, synthesized, shown, True),
        ),
        (
            "theorems",
            "Theorems",
            "<p>Each statement of the theory with its standing, how it is confirmed, and every violation found. "
            "Proofs were executed when this page was made; counts and numbers come from the runs.</p>",
            _theorems(proved),
            figure("tightness"),
            figure("hypotheses"),
        ),
        (
            "convergence",
            "Convergence",
            "<p>ProxConnect++ with exact gradients on convex problems. At every step the convergence ledger compares "
            "the two sides of identity (I); the bound is what that identity gives.</p>",
            figure("convergence"),
            figure("bounds"),
            figure("residual"),
            figure("plane"),
            figure("negative"),
            figure("ledger"),
            table("convergence") or _missing("No convex runs are in this folder.", "proxpair converge"),
            '<p class="made">Runs made by <code>proxpair converge</code>.</p>' if inputs.has_convergence else "",
        ),
        (
            "networks",
            "Networks",
            "<p>A small network on handwritten digits, trained from the same start with the same budget by every "
            "method. Hard: the weights are replaced by the sign of F, as they would be deployed. Soft: the network as "
            "it was trained.</p>",
            figure("accuracy"),
            figure("curves"),
            table("networks") or _missing("No networks are in this folder.", "proxpair train"),
            '<p class="made">Runs made by <code>proxpair train</code>.</p>' if inputs.has_networks else "",
            _profiles(inputs.out),
        ),
        (
            "again",
            "Making this page again",
            "<p><code>proxpair paper</code> makes everything below the output folder from nothing. "
            "<code>proxpair figures</code> redraws the figures, the tables and this page from the results that are "
            "there; <code>proxpair figures NAME</code> redraws one figure. Beside every picture lies the CSV file "
            "that it was drawn from, and redrawing gives the same bytes.</p>",
        ),
    ]
    used = [s for s in sections if s[0] != "synthesized" or inputs.synthesized]
    nav = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, *_ in used)
    body = "\n".join(_section(*s) for s in used)
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<title>proxpair: forward-backward pairs for binarized networks</title>\n"
        '<meta name="description" content="Verdicts on forward-backward quantizer pairs, convergence ledgers and '
        'trained networks.">\n'
        f"<style>{TABLE_STYLE}{PAGE_STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        '<header class="top"><div>\n<p class="brand">proxpair</p>\n'
        "<h1>Which forward-backward pairs for binarized networks are principled?</h1>\n"
        "<p>Training with quantized weights uses one map F forward and another map B in place of its derivative "
        f"backward. A pair (F, B) is principled if {_F} and {_B} for a proximal map P and a transform T: "
        "then training is ProxConnect++ on a regularized objective, with guarantees. This page decides it exactly for "
        "published pairs, makes new ones, and confirms the theory by runs.</p>\n"
        f'</div></header>\n<nav aria-label="Contents"><ul>{nav}</ul></nav>\n<main id="main">\n'
        f"{_section('numbers', 'Key numbers', _key_numbers(inputs, proved))}\n{body}\n</main>\n"
        "<footer><p>Every verdict is exact, every number comes from the CSV and JSON files beside this page.</p>"
        f"</footer>\n<script>{SORT_SCRIPT}{_FOLD_SCRIPT}</script>\n</body>\n</html>\n"
    )


_FOLD_SCRIPT = """
for (const button of document.querySelectorAll('button.fold')) {
  button.addEventListener('click', () => {
    const open = button.getAttribute('aria-pressed') !== 'true';
    button.setAttribute('aria-pressed', String(open));
    button.textContent = open ? 'Fold all' : 'Unfold all';
    for (const d of button.closest('section').querySelectorAll('details')) d.open = open;
  });
}
const reveal = () => {
  const target = location.hash && document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (target && target.tagName === 'DETAILS') target.open = true;
};
addEventListener('hashchange', reveal);
reveal();
"""

PAGE_STYLE = """
html { scroll-behavior: smooth; scroll-padding-top: 3.5rem; }
@media (prefers-reduced-motion: reduce) { html { scroll-behavior: auto; } }
.skip { position: absolute; left: -100vw; background: var(--paper); padding: 0.5rem 1rem; z-index: 3; }
.skip:focus { left: 0.5rem; top: 0.5rem; }
.top { background: var(--wash); border-bottom: 1px solid var(--line); }
.top > div { max-width: 74rem; margin: 0 auto; padding: 2.5rem 1.25rem 2rem; }
.top h1 { font-size: clamp(1.7rem, 4vw, 2.6rem); margin: 0.2rem 0 1rem; max-width: 26ch; }
.top p { max-width: 68ch; margin: 0; }
.brand { font-weight: 700; letter-spacing: 0.04em; color: var(--soft); }
nav { position: sticky; top: 0; z-index: 2; background: var(--paper); border-bottom: 1px solid var(--line); }
nav ul { max-width: 74rem; margin: 0 auto; padding: 0.35rem 1.25rem; list-style: none; display: flex; gap: 1.3rem;
  overflow-x: auto; white-space: nowrap; }
nav a { display: inline-block; padding: 0.35rem 0; text-decoration: none; }
nav a:hover { text-decoration: underline; }
section { padding-top: 1.5rem; }
section > p { max-width: 72ch; }
h2 { font-size: 1.6rem; margin: 0.8rem 0; }
.cards { display: grid; grid-template-columns: repeat(auto-fit, minmax(13.5rem, 1fr)); gap: 1rem; margin: 0; }
.card { border: 1px solid var(--line);
  border-radius: 10px; padding: 1rem 1.1rem; background: var(--wash); }
.card dd { margin: 0; } .card dt { color: var(--ink); }
.card .value { display: block; font-size: 1.75rem; font-weight: 700; font-variant-numeric: tabular-nums; }
.card .more { display: block; color: var(--soft); font-size: 0.85rem; margin-top: 0.25rem; }
.formula { white-space: nowrap; }
.grades { display: grid; grid-template-columns: max-content 1fr; gap: 0.5rem 1rem; margin: 0 0 1rem; }
.grades dd { margin: 0; max-width: 72ch; }
figure { margin: 1.5rem 0; }
figure img { display: block; width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line);
  border-radius: 8px; padding: 0.6rem; }
figcaption { color: var(--soft); font-size: 0.9rem; padding-top: 0.5rem; max-width: 90ch; }
figcaption strong { color: var(--ink); }
.made { color: var(--soft); font-size: 0.9rem; }
figcaption .made { display: block; }
details { border: 1px solid var(--line); border-radius: 8px; margin: 0.6rem 0; padding: 0 1rem; }
details[open] { padding-bottom: 0.6rem; }
summary { cursor: pointer; padding: 0.65rem 0; }
summary h3 { display: inline; font-size: 1.05rem; margin-right: 0.4rem; }
summary .title { color: var(--soft); margin-left: 0.4rem; }
.facts { display: grid; grid-template-columns: max-content minmax(0, 1fr); gap: 0.7rem 1.2rem; }
.facts dt { font-weight: 600; max-width: 12rem; }
.facts dd { margin: 0; overflow-x: auto; }
.facts .plain { color: var(--soft); overflow-wrap: anywhere; }
math { font-size: 1.1em; }
.cases { border-left: 0.1em solid; margin-left: 0.35em; padding-left: 0.35em; }
mtd { text-align: left; padding: 0.22em 1.2em 0.22em 0.2em; }
thead.still th { padding: 0.5rem 0.8rem; }
button.fold { font: inherit; color: var(--ink); background: var(--wash); border: 1px solid var(--soft);
  border-radius: 6px; padding: 0.35rem 0.9rem; cursor: pointer; }
footer { border-top: 1px solid var(--line); color: var(--soft); }
footer p { max-width: 74rem; margin: 0 auto; padding: 1.2rem 1.25rem 2rem; }
@media (max-width: 40rem) {
  .facts, .grades { grid-template-columns: minmax(0, 1fr); gap: 0.25rem; }
  .facts dd, .grades dd { margin-bottom: 0.6rem; }
  figure { overflow-x: auto; }
  figure img { min-width: 36rem; }
}
@media print { nav, button.fold, .skip { display: none; } thead button::after { content: none; } }
"""

__all__ = [
    "PAGE_STYLE",
    "Shown",
    "build",
    "make_sheets",
    "method_page",
    "page_text",
    "png_size",
    "redraw",
]
