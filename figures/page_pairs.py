"""One pair as HTML: reason, picture, maps, decomposition or witness with repairs, and its certificate, rendered.

The same body stands folded on the report, and alone on the page of the method.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from figures import page, page_certificates
from figures.data import Row
from figures.page import Shown
from figures.page_certificates import Judged
from figures.parts import slug
from figures.tables import Column, Sheet, badge, breakable, corollary_words, distance_words, formula
from theory.corollaries import applicable
from theory.files import read_bytes

_OPEN = {True: "yes", False: "no", None: "not settled"}


@dataclass(frozen=True)
class Pair:
    """A pair as a page shows it: its row, figure (None: not drawn) and certificate (None: there is no file)."""

    row: Row
    figure: str
    shown: Shown | None
    judged: Judged | None
    command: str

    @property
    def name(self) -> str:
        return str(self.row["name"])

    @property
    def file(self) -> str:
        """The name of its page and of its certificate, without what follows the dot."""
        return slug(self.name)


def certificate_of(row: Row, folder: Path) -> Judged | None:
    """The certificate of a pair in a folder of methods, judged, whatever the row says of it; None without a file."""
    path = folder / f"{slug(str(row['name']))}.certificate.json"
    if not path.is_file():
        return None
    return page_certificates.judge(read_bytes(path, "a certificate"), row)


def certificate_said(pair: Pair) -> str | None:
    """What the checker says of the certificate as the page is made, in a few words; None for a pair without one."""
    if pair.judged is not None:
        return page_certificates.words(pair.judged)
    return _no_certificate(pair.row) if "certificate" in pair.row else None


def _no_certificate(row: Row) -> str:
    """Why there is no certificate."""
    return str((row.get("certificate") or {}).get("reason") or "its file is not in this folder")


def details(pair: Pair) -> str:
    """One verdict, folded: its name and badge, then everything about it."""
    row = pair.row
    title = f'<span class="title">{escape(str(row.get("title") or ""))}</span>' if row.get("title") else ""
    picture = "" if pair.shown is None else pair.shown.html(page.command_of(pair.figure))
    proof, own = "", ""
    if "certificate" in row:
        own = f' <a href="methods/{pair.file}.html">Its own page</a>.'
        proof = _certificate(pair, "methods/")
    return (
        f'<details id="{escape(pair.figure)}"><summary><h3>{escape(pair.name)}</h3> '
        f"{badge(str(row['verdict']))} {title}</summary>\n{_body(row, pair.figure, picture, proof)}\n"
        f'<p class="made">Made by <code>{escape(pair.command)}</code>.{own}</p></details>'
    )


def method_page(pair: Pair, base: str, site: Sequence[page.Link] = ()) -> str:
    """The page of one method.

    ``base``: the address of the folder with its picture, "" for the same folder; ``site``: the pages of the folder
    above, none where this page stands alone.
    """
    row = pair.row
    picture = "" if pair.shown is None else pair.shown.html(pair.command, base)
    proof = _certificate(pair, "", unfolded=True)
    body = f'<section aria-label="The verdict">\n{_body(row, pair.figure, picture, proof)}\n</section>'
    return page.document(
        f"proxpair: {pair.name}",
        f'{body}\n<p class="made">Made by <code>{escape(pair.command)}</code>.</p>',
        heading=f"{pair.name}: {row.get('title') or ''} ({row.get('year')})",
        lead=f"<p>{badge(str(row['verdict']))}</p>\n",
        site=site,
        base="../" if site else "",
    )


def _certificate(pair: Pair, base: str, unfolded: bool = False) -> str:
    """The certificate, folded, or as a part of a page; a sentence where there is none."""
    row = pair.row
    if pair.judged is None:
        words = f"There is no certificate here: {escape(_no_certificate(row))}."
        return f"<h2>Certificate</h2>\n<p>{words}</p>" if unfolded else f"<p>{words}</p>"
    name = f"{pair.file}.certificate.json"
    inside = page_certificates.view(pair.judged, f"{base}{name}", name)
    said = page_certificates.answer(pair.judged)
    if unfolded:
        return f"<h2>Certificate</h2>\n<p>{said}</p>\n{inside}"
    return (
        f'<details id="certificate-{escape(pair.figure.removeprefix("pair-"))}"><summary><h4>Certificate</h4> {said}'
        f"</summary>\n{inside}\n</details>"
    )


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


def _repairs(row: Row, figure: str) -> str:
    repairs = row.get("repairs") or []
    late = [str(name) for name in row.get("repairs_unfinished") or []]
    words = f"<p>Not settled in time, and perhaps nearer: {escape('; '.join(late))}.</p>" if late else ""
    if not repairs:
        return words
    columns = (
        Column("Repair"),
        Column("Keeps"),
        Column("Forward F(x)", "code"),
        Column("Backward B(x)", "code"),
        Column("Verdict", "badge"),
        Column("Distance"),
    )
    keys = ("name", "keeps", "forward", "backward", "verdict")
    caption = (
        "Principled neighbours of the pair, nearest first; feeding their forward and backward to proxpair check gives "
        "the verdict shown. Distances: sup over all x, rms over [-2, 2], off ties."
    )
    rows = tuple((*(str(r[key]) for key in keys), distance_words(r)) for r in repairs)
    return Sheet(f"repairs of {figure}", caption, columns, rows).html(still=True) + words


def _body(row: Row, figure: str, picture: str, proof: str) -> str:
    """Everything about one pair: reason, picture, maps, decomposition or witness, certificate and repairs."""
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
    if (words := corollary_words(row)) is not None:
        bound = "" if best is None else f": <code>{escape(best['bound'])}</code> ({escape(best['because'])})"
        facts.append(f"<dt>Corollary</dt><dd>{escape(words)}{bound}</dd>")
    for key, term in (("coverage", "Coverage"), ("scope", "Scope"), ("source", "Source")):
        if row.get(key):
            facts.append(f"<dt>{term}</dt><dd>{escape(str(row[key]))}</dd>")
    for note in row.get("notes") or []:
        facts.append(f"<dt>Note</dt><dd>{escape(str(note))}</dd>")
    reason = escape(str(row.get("reason") or ""))
    parts = [
        f'<p class="lead measure">{reason}</p>',
        picture,
        f'<dl class="facts">{"".join(facts)}</dl>',
        "" if principled else _repairs(row, figure),
        proof,
    ]
    return "\n".join(part for part in parts if part)


__all__ = ["Pair", "certificate_of", "certificate_said", "details", "method_page"]
