"""A certificate as HTML: its claim, every lemma as the closed formula that it states, and the checker's answer.

The answer is not read from anywhere: the checker judges the bytes of the file when the page is made.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from figures.data import Row
from figures.tables import badge, breakable
from theory.checker.audit import load, verify
from theory.checker.terms import Rejected
from theory.errors import InputError
from theory.parser import parse_constant

PIECES = {
    "S": "F moves, and B has its sign",
    "K": "F is constant, B a constant other than 0",
    "Z": "F is constant, B vanishes",
}
"""The kinds of pieces of `theory.checker.audit` in words."""

RULES = {
    "range": "by its form or an enclosure over the whole interval",
    "boxes": "by enclosures over cells",
    "sturm": "by counting zeros (Sturm)",
    "dominance": "by the fastest growing term",
    "taylor": "by the first derivative that does not vanish at an end",
    "monotone": "by a limit at an end and the sign of the slope",
    "split": "by cutting the interval",
    "product": "by the signs of the factors",
    "equal": "by another form of the same function",
    "reflect": "with -x for x",
    "shift": "with x + c for x",
    "invert": "with 1/x for x",
    "root": "with a power of the distance from an end",
    "logarithm": "with an exponential of the distance from an end",
    "exponential": "by exp(f) - 1 in place of f",
    "circle": "as a trigonometric polynomial (Sturm)",
    "times": "by a positive factor",
    "zero": "as it is 0 throughout",
}
"""The rules of `theory.checker.rules` in words."""

WITNESSES = {
    "opposite-signs": "F rises where B is negative, or falls where B is positive",
    "forward-moves-where-backward-vanishes": "F moves where B vanishes",
    "backward-varies-on-level-set": "F is constant around the point, so P is, and B varies there",
    "not-integrable": "F'/B is not integrable beside the point, so that no T has this slope",
    "unbounded": "a map is unbounded beside the point",
    "isolated-forward-value": "F has a value at the point that it takes nowhere near it",
    "slopes": "no T has all the slopes that B asks for along the constant pieces below",
}
"""The kinds of witnesses of `theory.checker.audit` in words."""


@dataclass(frozen=True)
class Judged:
    """A certificate after the checker saw it; ``reason`` is empty if it was accepted."""

    certificate: Mapping[str, Any]
    reason: str

    @property
    def lemmas(self) -> int:
        """How many lemmas it proves."""
        return sum(len(piece["lemmas"]) for piece in self.certificate.get("pieces", ()))


def judge(data: bytes, row: Row) -> Judged:
    """What the checker says of the bytes of a certificate, and whether it is about this pair."""
    try:
        certificate = load(data)
        claim = verify(certificate)
    except Rejected as reason:
        return Judged({}, " ".join(str(reason).split())[:300])
    same = (claim["forward"], claim["backward"], claim["verdict"]) == (row["forward"], row["backward"], row["verdict"])
    if not same or not _same_values(claim["parameters"], row.get("params") or {}):
        return Judged({}, "it is the certificate of another pair")
    return Judged(certificate, "")


def _same_values(claimed: Mapping[str, Any], declared: Mapping[str, Any]) -> bool:
    """Whether the parameters are the same numbers: an entry says 0.538, its certificate 269/500."""
    try:
        values = [{k: parse_constant(v, f"parameter {k}") for k, v in one.items()} for one in (claimed, declared)]
    except InputError:
        return False
    return bool(values[0] == values[1])


def words(judged: Judged) -> str:
    """The checker's answer in a few words."""
    if judged.reason:
        return f"NOT ACCEPTED: {judged.reason}"
    return f"accepted, {_what(judged)}"


def answer(judged: Judged) -> str:
    """The checker's answer in a few words, as HTML."""
    if judged.reason:
        return '<span class="state bad">✕ NOT ACCEPTED</span>'
    return f'<span class="state good">✓ accepted</span>, {_what(judged)}'


def _what(judged: Judged) -> str:
    if judged.lemmas:
        return "1 lemma" if judged.lemmas == 1 else f"{judged.lemmas} lemmas"
    return "a witness" if "witness" in judged.certificate else "no lemma"


def view(judged: Judged, address: str, name: str) -> str:
    """The certificate, rendered; ``address``: of its file, from the page; ``name``: of that file."""
    again = (
        f'<p class="made">The file: <a href="{escape(address)}">{escape(name)}</a>. '
        f"<code>proxpair verify-certificate {escape(name)}</code>, run beside it, judges it again.</p>"
    )
    if judged.reason:
        return f"<p>The separate checker does not accept this file: {escape(judged.reason)}.</p>\n{again}"
    certificate = judged.certificate
    claim = certificate["claim"]
    given = "".join(f", {escape(k)} = {escape(v)}" for k, v in claim["parameters"].items())
    parts = [
        "<p>The separate checker, which shares no code with the prover, recomputed everything below when this page was "
        "made, and accepted it.</p>",
        f'<dl class="facts"><dt>Claim</dt><dd><code>F = {breakable(claim["forward"])}</code>, '
        f"<code>B = {breakable(claim['backward'])}</code>{given} is {badge(claim['verdict'])}</dd>"
        f"{_witness(certificate)}</dl>",
    ]
    if "pieces" in certificate:
        parts.append(_pieces(certificate, name))
    return "\n".join([*parts, again])


def _witness(certificate: Mapping[str, Any]) -> str:
    witness = certificate.get("witness")
    if witness is None:
        return ""
    kind = witness["kind"]
    point = f" at x = <code>{escape(witness['point'])}</code>" if "point" in witness else ""
    more = "".join(
        f"; {escape(key)}: <code>{escape(str(value))}</code>"
        for key, value in witness.items()
        if key not in ("kind", "point") and value is not None
    )
    return f"<dt>Witness</dt><dd>{escape(WITNESSES.get(kind, kind))}{point}{more}</dd>"


_MEANING = {
    True: "With these lemmas the conditions of the definition hold on each piece and where two meet, so T and P "
    "exist; their formulas are no part of the file.",
    False: "The lemmas settle what F and B are on each piece; the slopes that B asks for where they meet exclude T.",
}


def _pieces(certificate: Mapping[str, Any], name: str) -> str:
    """One row for each piece: where it lies, what F and B are there, and its lemmas."""
    claim, ends = certificate["claim"], certificate["breakpoints"]
    rows = []
    for k, piece in enumerate(certificate["pieces"]):
        low, high = (escape(end).replace("oo", "∞").replace("-", "\N{MINUS SIGN}") for end in ends[k : k + 2])
        items = "".join(
            f'<li><code>{breakable(lemma["statement"])}</code> <span class="made">{_rule(lemma["proof"])}</span></li>'
            for lemma in piece["lemmas"]
        )
        lemmas = f'<ul class="lemmas">{items}</ul>' if items else "none is needed"
        rows.append(
            f'<tr><th scope="row">{low} &lt; x &lt; {high}</th><td>{escape(PIECES[piece["kind"]])}</td>'
            f"<td><code>{breakable(piece['forward'])}</code></td><td><code>{breakable(piece['backward'])}</code></td>"
            f"<td>{lemmas}{_integral(piece['integral'])}</td></tr>"
        )
    head = "".join(f'<th scope="col">{title}</th>' for title in ("Piece", "Kind", "F", "B", "Lemmas"))
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="Pieces of {escape(name)}"><table class="still">'
        f"<caption><span>The line cut into pieces. {_MEANING[claim['verdict'] != 'unprincipled']}</span></caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{''.join(rows)}</tbody></table></div>"
    )


def _rule(proof: Mapping[str, Any]) -> str:
    return escape(RULES.get(str(proof["by"]), str(proof["by"])))


def _integral(hint: Mapping[str, Any] | None) -> str:
    """What the file says about the integral of F'/B on a piece where F moves."""
    if hint is None:
        return ""
    words = f"F'/B = <code>{breakable(hint['ratio'])}</code>" if hint["ratio"] is not None else "F'/B is integrable"
    if hint["zeros"]:
        words += f", B vanishes at {', '.join(f'<code>{escape(z)}</code>' for z in hint['zeros'])}"
    bounded = [side for side in ("left", "right") if hint[side] is not None]
    if bounded:
        words += f", with a bound beside the {' and the '.join(bounded)} end"
    return f'<p class="made">{words}.</p>'


__all__ = ["PIECES", "RULES", "WITNESSES", "Judged", "answer", "judge", "view", "words"]
