"""The report, OUT/index.html: verdicts, pairs, theorems, runs and networks on one page, from the files of a folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

from figures import page, page_pairs, page_theorems, plots
from figures.data import GRADES, Inputs, Row, number
from figures.page import Shown
from figures.page_pairs import Pair
from figures.tables import YES_NO, Sheet, badge, number_html, run_status
from figures.theorem_evidence import plural
from figures.theorems import Theorems

_F = '<span class="formula">F = T ∘ P</span>'
_B = '<span class="formula">B = T\' ∘ P</span>'
_MEANING = {
    "smooth": f"{_F} and {_B} with a proximal map P and a transform T that is continuously "
    "differentiable: the theory applies as it stands.",
    "lipschitz": "the same with a T that has kinks, where B selects a generalised derivative.",
    "unprincipled": "no such T and P exist; a witness gives exact points at which the definition fails.",
    "undecided": "the exact methods did not settle it within their time; never a guess.",
}

PLACES = {
    "start": ("scheme",),
    "verdicts": ("atlas", "maps"),
    "synthesized": ("evolution", "family"),
    "theorems": ("tightness", "hypotheses"),
    "convergence": ("convergence", "bounds", "residual", "plane", "negative", "ledger"),
    "networks": ("accuracy", "curves", "training"),
    "speed": ("speed",),
}
"""The figures of each section, in order; one that is in none stands under "More figures"."""

TITLES = {
    "start": "The scheme",
    "verdicts": "Verdicts",
    "pairs": "Pair by pair",
    "synthesized": "Synthesized pairs",
    "theorems": "Theorems",
    "convergence": "Convergence",
    "networks": "Networks",
    "speed": "Speed",
    "more": "More figures",
}


def placed(names: Sequence[str]) -> list[tuple[str, tuple[str, ...]]]:
    """(section, its figures) for the named ones that are no pairs, in the order of the page."""
    known = {name for figures in PLACES.values() for name in figures}
    more = tuple(n for n in names if n not in known and not n.startswith(("pair-", "synthesized-")))
    return [*((s, tuple(n for n in figures if n in names)) for s, figures in PLACES.items()), ("more", more)]


def groups(names: Sequence[str]) -> list[tuple[str, str, tuple[str, ...]]]:
    """(id, title, figures) of every figure, as the gallery shows them."""
    found = [(section, TITLES[section], figures) for section, figures in placed(names)]
    for prefix, section in (("pair-", "pairs"), ("synthesized-", "synthesized-pairs")):
        title = TITLES.get(section, TITLES["synthesized"])
        found.append((section, title, tuple(n for n in names if n.startswith(prefix))))
    return found


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
            word = "tolerance" if max(errors) <= plots.TOLERANCE else "ABOVE the tolerance"
            runs = f"{plural(len(errors), 'row')} of runs; {word} {number_html(plots.TOLERANCE)}"
            cards.append((number_html(max(errors)), "largest closure error of a ledger on a convex problem", runs))
    if proved is not None:
        more = f"failing: {len(proved.failing)}" if proved.failing else f"{proved.split}; no violation was found"
        of = f"{proved.holding} of {len(proved.statements)}"
        cards.append((of, "statements of the theory are proved or confirmed", more))
    if inputs.has_networks:
        best = max(inputs.networks.rows, key=lambda r: number(r["hard_mean"]))
        std = number(best["hard_std"])
        spread = f" ± {100 * std:.1f}" if math.isfinite(std) else ""
        cards.append(
            (
                f"{100 * number(best['hard_mean']):.1f}{spread} %",
                "best test accuracy of a hardened network",
                f"{escape(best['method'])}, {escape(best['seeds'])} seeds",
            )
        )
    items = "".join(
        f'<div class="card"><dt>{words}</dt><dd class="value">{value}</dd>'
        + (f'<dd class="more">{more}</dd></div>' if more else "</div>")
        for value, words, more in cards
    )
    return f'<dl class="cards">{items}</dl>'


def _broken_runs(inputs: Inputs) -> str:
    """The convex runs that contradict the theory, as a box; empty where none does."""
    rows = inputs.convergence.rows if inputs.has_convergence else ()
    found = [f"{r['problem']}, {r['method']}" for r in rows if run_status(r) == "VIOLATED"]
    if not found:
        return ""
    items = "".join(f"<li><strong>VIOLATED</strong>: {escape(words)}</li>" for words in found)
    return f'<div class="alarm" role="alert"><p>Not every run is what the theory says:</p><ul>{items}</ul></div>'


def _counted(counts: dict[str, int]) -> str:
    return ", ".join(f"{n} {grade}" for grade, n in counts.items() if n)


# --------------------------------------------------------------------------- the catalogue


def _filter(rows: Sequence[Row]) -> str:
    """The form that filters the catalogue; hidden until the script that reads it runs."""
    boxes = "".join(
        f'<label><input type="checkbox" name="grade" value="{grade}" checked> {badge(grade)} '
        f'<span class="count">{sum(row["verdict"] == grade for row in rows)}</span></label>'
        for grade in GRADES
        if any(row["verdict"] == grade for row in rows)
    )
    return (
        '<form class="filter" data-table="table-catalogue" role="search" aria-label="Filter the catalogue" hidden>\n'
        '<label class="words">Find<input type="search" name="q" autocomplete="off" '
        'placeholder="name, title, source or formula"></label>\n'
        f"<fieldset><legend>Verdict</legend>{boxes}</fieldset>\n"
        f"{_select('convex', 'Convex r', [_convex(row) for row in rows])}"
        f"{_select('coverage', 'Coverage', [str(row.get('coverage') or '') for row in rows])}"
        '<button type="reset" class="plain">Reset</button>\n</form>\n'
        '<p class="shown" id="table-catalogue-shown" role="status" aria-live="polite" hidden></p>'
    )


def _select(name: str, title: str, values: Sequence[str]) -> str:
    """One choice, with how many rows each answer has; nothing where there is nothing to choose."""
    found = [value for value in dict.fromkeys(values) if value]
    if len(found) < 2:
        return ""
    options = "".join(
        f'<option value="{escape(value)}">{escape(value)} ({values.count(value)})</option>' for value in found
    )
    return (
        f'<label class="select">{title}<select name="{name}"><option value="">any</option>{options}</select></label>\n'
    )


def _convex(row: Row) -> str:
    """Whether r is convex: yes, no, or nothing where there is no r or it is open."""
    value = row.get("convex_regularizer")
    return "" if value is None else YES_NO[value]


def _catalogue(sheet: Sheet, rows: Sequence[Row], figures: Sequence[str]) -> str:
    """The filter and the table, each row linked to its details."""
    keys = ("name", "title", "source", "year", "forward", "backward", "coverage")
    data = [
        {
            "pair": figure,
            "grade": str(row["verdict"]),
            "convex": _convex(row),
            "coverage": str(row.get("coverage") or ""),
            "text": " ".join(str(row[key]) for key in keys if row.get(key)),
        }
        for row, figure in zip(rows, figures, strict=True)
    ]
    return f"{_filter(rows)}\n{sheet.narrow().html(targets=figures, data=data, formulas=True)}"


# --------------------------------------------------------------------------- the page


def _grades() -> str:
    items = "".join(f"<dt>{badge(g)}</dt><dd>{_MEANING[g]}</dd>" for g in GRADES)
    return f'<dl class="grades">{items}</dl>'


def _profiles(site: Sequence[page.Link]) -> str:
    """Links to the pages of `figures.networks` that are there."""
    links = ", ".join(
        f'<a href="{escape(address)}">{escape(address)}</a>' for _, address in site if address.startswith("networks-")
    )
    return f"<p>Experiments with paired tests, a page for each profile: {links}.</p>" if links else ""


def _missing(what: str, command: str) -> str:
    return f"<p>{escape(what)} <code>{escape(command)}</code> makes them.</p>"


def _files(name: str) -> str:
    kinds = (("html", "all columns, HTML"), ("tex", "LaTeX"), ("csv", "CSV"))
    return " ".join(f'<a href="tables/{name}.{kind}">{words}</a>' for kind, words in kinds)


def _theorems(table: Theorems | None) -> tuple[str, ...]:
    """The statements with their evidence; derivations and worst cases of their own stand on another page."""
    if table is None:
        return (_missing("The table needs convex runs, and none are in this folder.", "proxpair converge"),)
    links = "".join(f' <a href="theorems.{kind}">{kind.upper()}</a>' for kind in ("html", "tex", "csv"))
    return (
        f"<p>{escape(table.summary)}</p>",
        page_theorems.alarm(table),
        page_theorems.statements(table),
        f'<p class="made">The whole table, with all derivations, worst cases and dropped hypotheses:{links}. '
        "Made by <code>proxpair theorems</code>.</p>",
        "<h3>Statement by statement</h3>",
        page_theorems.glossary(),
        page_theorems.evidence(table),
    )


def page_text(
    inputs: Inputs,
    shown: Mapping[str, Shown],
    sheets: Mapping[str, Sheet],
    proved: Theorems | None = None,
    pairs: Sequence[Pair] = (),
    site: Sequence[page.Link] = (),
) -> str:
    """The whole of index.html. ``pairs``: the catalogued ones and then the synthesized; ``site``: the pages there."""
    placing = dict(placed(list(shown)))

    def figures(section: str) -> str:
        return "\n".join(shown[name].html(page.command_of(name)) for name in placing[section])

    def table(name: str, targets: Sequence[str] = ()) -> str:
        if name not in sheets:
            return ""
        body = sheets[name].narrow().html(targets=targets, formulas=bool(targets))
        return f'{body}\n<p class="made">The table: {_files(name)}.</p>'

    first = len(inputs.catalogue)
    names = [pair.figure for pair in pairs]
    catalogue = ""
    if "catalogue" in sheets:
        catalogue = (
            f"{_catalogue(sheets['catalogue'], inputs.catalogue, names[:first])}\n"
            f'<p class="made">The table: {_files("catalogue")}. Made by <code>proxpair catalogue</code>; one pair '
            "alone: <code>proxpair check NAME</code>.</p>"
        )
    fold = (
        '<p><button type="button" class="plain fold" aria-pressed="false" data-section="pairs" hidden>'
        "Unfold all</button></p>"
    )
    parts = {
        "start": (figures("start"),),
        "verdicts": (_grades(), catalogue, figures("verdicts")),
        "pairs": (
            "<p>For each pair the reason of its verdict, its certificate, and either its transform T, proximal map P "
            "and regularizer r, or a witness with the repairs that are principled.</p>",
            fold,
            "\n".join(map(page_pairs.details, pairs[:first])),
        ),
        "synthesized": (
            f"<p>Any proximal map P and any admissible transform T give a principled pair {_F}, {_B}. "
            "Each pair below was composed and then checked like any other.</p>",
            table("synthesized", names[first:]),
            "\n".join(map(page_pairs.details, pairs[first:])),
            figures("synthesized"),
        ),
        "theorems": (
            "<p>Each statement of the theory with its standing, how it is confirmed, and every violation found. "
            "Proofs were executed when this page was made; counts and numbers come from the runs. A statement unfolds "
            "to its derivation, its runs, its worst cases, and what happens without one of its hypotheses.</p>",
            *_theorems(proved),
            figures("theorems"),
        ),
        "convergence": (
            "<p>ProxConnect++ on convex problems. At every step the convergence ledger compares the two sides of "
            "identity (I), which is algebra, and tests D &gt;= 0, that v_t is a global minimiser; the bound is what "
            "the identity gives where its hypotheses hold.</p>",
            _broken_runs(inputs),
            figures("convergence"),
            table("convergence") or _missing("No convex runs are in this folder.", "proxpair converge"),
            '<p class="made">Runs made by <code>proxpair converge</code>.</p>' if inputs.has_convergence else "",
        ),
        "networks": (
            "<p>A small network on handwritten digits, trained from the same start with the same budget by every "
            "method. Hard: each weight is replaced by the level of F that is nearest to it (of FP, by its sign), as it "
            "would be deployed. Soft: the network as it was trained.</p>",
            figures("networks"),
            table("networks") or _missing("No networks are in this folder.", "proxpair train"),
            '<p class="made">Runs made by <code>proxpair train</code>.</p>' if inputs.has_networks else "",
            _profiles(site),
        ),
        "speed": (figures("speed"),),
        "more": (figures("more"),),
    }
    there = {
        "start": bool(placing["start"]),
        "synthesized": bool(inputs.synthesized or placing["synthesized"]),
        "speed": bool(placing["speed"]),
        "more": bool(placing["more"]),
    }
    used = [name for name in TITLES if there.get(name, True)]
    sections = {name: page.section(name, TITLES[name], *parts[name]) for name in used}
    numbers = page.section("numbers", "Key numbers", _key_numbers(inputs, proved))
    again = page.section(
        "again",
        "Making this page again",
        "<p><code>proxpair paper</code> makes everything in the output folder from nothing. <code>proxpair "
        "report</code> writes the tables and pages again from the results that are there; <code>proxpair figures "
        "NAME</code> draws one figure. Beside every picture lies the CSV file that it was drawn from. The same results "
        "give the same bytes.</p>",
    )
    lead = (
        "<p>Training with quantized weights uses one map F forward and another map B in place of its derivative "
        f"backward. A pair (F, B) is principled if {_F} and {_B} for a proximal map P and a transform T: "
        "then training with it is ProxConnect++, whose convergence theory applies where the hypotheses of a statement "
        "hold. This page decides it exactly for published pairs, makes new ones, and confirms the theory by runs.</p>\n"
    )
    return page.document(
        "proxpair: forward-backward pairs for binarized networks",
        "\n".join([numbers, *sections.values(), again]),
        heading="Which forward-backward pairs for binarized networks are principled?",
        lead=lead,
        contents=[*((TITLES[name], name) for name in used), ("Making this page again", "again")],
        site=site,
        here="index.html",
        description="Verdicts on forward-backward quantizer pairs, convergence ledgers and trained networks.",
    )


__all__ = ["PLACES", "TITLES", "groups", "page_text", "placed"]
