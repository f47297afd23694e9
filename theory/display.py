"""LaTeX and HTML of the public objects, for notebooks and for `check --latex`.

Every text is escaped: names and reasons may hold any character that the user typed. Ties are
written out, since a formula by pieces hides them: a filled point where the value lies, open points
at one-sided limits that the value does not take.
"""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING, Any

from theory.errors import OutOfTime, Undecided
from theory.exact import equal
from theory.maps import OO, UNDEFINED, PiecewiseMap
from theory.pairs import Decomposition, QuantizerPair, Regularizer, Verdict
from theory.printing import expression_text, to_latex

if TYPE_CHECKING:
    from theory.checking import Check

_SPECIAL = {
    "\\": r"\backslash ",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\sim ",
    "^": r"\wedge ",
}
_IN_MATH = {"\\", "~", "^"}
NO_FORM = "no closed form"


def in_math(latex: str) -> str:
    """A display formula for a notebook."""
    return rf"$\displaystyle {latex}$"


def latex_words(text: str) -> str:
    r"""Plain text inside a formula, as \text{...}; characters with a meaning in LaTeX are escaped."""
    out = "".join(f"}}{_SPECIAL[c]}\\text{{" if c in _IN_MATH else _SPECIAL.get(c, c) for c in text)
    return rf"\text{{{out}}}"


# --------------------------------------------------------------------------- LaTeX


def map_latex(m: PiecewiseMap | None, missing: str = NO_FORM) -> str:
    """The map by pieces; words where there is none. A map held on a window says so."""
    if m is None:
        return latex_words(missing)
    formula = to_latex(m)
    if m.windowed:
        formula += rf"\quad {latex_words('known for')}\ {_latex(m.known_from)} < x < {_latex(m.known_to)}"
    return formula


def _latex(e: Any) -> str:
    import sympy as sp

    return str(sp.latex(e))


def aligned(rows: Iterable[tuple[str, str]]) -> str:
    """Equations one below the other: (left side, right side)."""
    return r"\begin{aligned}" + r"\\ ".join(f"{left} &= {right}" for left, right in rows) + r"\end{aligned}"


def _regularizer_rows(r: Regularizer, missing: str = NO_FORM) -> list[tuple[str, str]]:
    if r.largest == r.smallest:
        return [("r(x)", map_latex(r.largest, missing))]
    return [
        (r"r_{\text{largest}}(x)", map_latex(r.largest, missing)),
        (r"r_{\text{smallest}}(x)", map_latex(r.smallest, missing)),
    ]


def _decomposition_rows(d: Decomposition) -> list[tuple[str, str]]:
    def row(left: str, m: PiecewiseMap | None, key: str) -> tuple[str, str]:
        return left, map_latex(m, d.implicit.get(key, NO_FORM))

    rows = [row("T(x)", d.transform, "transform"), row("t(x)", d.slope, "slope"), row("P(x)", d.prox, "prox")]
    return rows + _regularizer_rows(d.regularizer, d.implicit.get("regularizer", NO_FORM))


def _pair_rows(p: QuantizerPair) -> list[tuple[str, str]]:
    return [("F(x)", map_latex(p.forward)), ("B(x)", map_latex(p.backward))]


def pair_latex(p: QuantizerPair) -> str:
    """F and B, one below the other."""
    return aligned(_pair_rows(p))


def regularizer_latex(r: Regularizer) -> str:
    """r, or its largest and smallest reading on gaps."""
    return aligned(_regularizer_rows(r))


def decomposition_latex(d: Decomposition) -> str:
    """T, its slope t, P and r."""
    return aligned(_decomposition_rows(d))


def verdict_latex(v: Verdict) -> str:
    """The grade, with the decomposition or the reason."""
    rows = [(latex_words("verdict"), latex_words(v.grade))]
    if v.decomposition is not None:
        rows += _decomposition_rows(v.decomposition)
    else:
        rows.append((latex_words("reason"), latex_words(v.reason)))
    return aligned(rows)


def check_latex(c: Check) -> str:
    """What `check --latex` prints: the verdict, F, B, and T, t, P, r or the reason; for a range what it holds for."""
    v = c.verdict
    rows = [(latex_words("verdict"), latex_words(v.grade))]
    if "holds_for" in c.extra:
        rows.append((latex_words("holds for"), latex_words(str(c.extra["holds_for"]))))
    if c.pair is not None:
        rows += _pair_rows(c.pair)
    if v.decomposition is not None:
        rows += _decomposition_rows(v.decomposition)
    elif c.latex is not None:
        rows += list(c.latex.items())
    else:
        rows.append((latex_words("reason"), latex_words(v.reason)))
    return aligned(rows)


# --------------------------------------------------------------------------- HTML


def _text(e: Any) -> str:
    if e is UNDEFINED:
        return "no value"
    try:
        return expression_text(e)
    except Undecided:
        return str(e)


def _table(rows: Iterable[tuple[str, str]], title: str = "") -> str:
    """A table of (label, HTML); labels and the title are escaped here, the second column is HTML already."""
    head = f"<caption>{escape(title)}</caption>" if title else ""
    body = "".join(f"<tr><th>{escape(label)}</th><td>{html}</td></tr>" for label, html in rows)
    return f'<table class="proxpair">{head}{body}</table>'


def _code(text: str) -> str:
    return f"<code>{escape(text)}</code>"


def tie_text(m: PiecewiseMap, i: int) -> str:
    """What happens at the i-th breakpoint: the filled point, and the open ones beside it."""
    v = m.values[i]
    parts = ["no value" if v is None else f"filled point at {_text(v)}"]
    jumps = False
    for side, where in ((m.left, "from the left"), (m.right, "from the right")):
        try:
            limit = side(i)
            differs = v is None or (limit != v and (limit in (OO, -OO) or v in (OO, -OO) or not equal(limit, v)))
        except (Undecided, OutOfTime):
            parts.append(f"limit {where} not settled")
            continue
        if differs:
            jumps = True
            parts.append(f"open point at {_text(limit)} {where}")
    return "; ".join(parts) if jumps or v is None else f"value {_text(v)}, continuous"


def map_html(m: PiecewiseMap | None, missing: str = NO_FORM) -> str:
    """One row per open piece and per breakpoint, in order."""
    if m is None:
        return escape(missing)
    if not m.breaks:
        return _code(_text(m.exprs[0]))
    rows = []
    for i, b in enumerate(m.breaks):
        before = f"x < {_text(b)}" if i == 0 else f"{_text(m.breaks[i - 1])} < x < {_text(b)}"
        rows.append((before, _code(_text(m.exprs[i]))))
        rows.append((f"x = {_text(b)}", escape(tie_text(m, i))))
    rows.append((f"x > {_text(m.breaks[-1])}", _code(_text(m.exprs[-1]))))
    if m.windowed:
        rows.append(("known for", escape(f"{_text(m.known_from)} < x < {_text(m.known_to)}")))
    return _table(rows)


def pair_html(p: QuantizerPair) -> str:
    """F and B with their ties."""
    return _table([("F", map_html(p.forward)), ("B", map_html(p.backward))], p.name)


def _regularizer_html(r: Regularizer, missing: str = NO_FORM) -> list[tuple[str, str]]:
    if r.largest == r.smallest:
        return [("r", map_html(r.largest, missing))]
    return [("largest r", map_html(r.largest, missing)), ("smallest r", map_html(r.smallest, missing))]


def regularizer_html(r: Regularizer) -> str:
    """r, or its largest and smallest reading on gaps."""
    return _table(_regularizer_html(r))


def _decomposition_html(d: Decomposition) -> list[tuple[str, str]]:
    named = (("T", d.transform, "transform"), ("t", d.slope, "slope"), ("P", d.prox, "prox"))
    rows = [(label, map_html(m, d.implicit.get(key, NO_FORM))) for label, m, key in named]
    return rows + _regularizer_html(d.regularizer, d.implicit.get("regularizer", NO_FORM))


def decomposition_html(d: Decomposition) -> str:
    """T, its slope t, P and r with their ties."""
    return _table(_decomposition_html(d))


def _verdict_html(v: Verdict) -> list[tuple[str, str]]:
    words = {True: "yes", False: "no", None: "not settled"}
    rows = [("verdict", f"<b>{escape(v.grade)}</b>"), ("reason", escape(v.reason))]
    if v.witness is not None:
        points = ", ".join(_text(p) for p in v.witness.points)
        rows.append(("witness", escape(f"{v.witness.kind} at x = {points}: {v.witness.sentence}")))
    if v.principled:
        rows.append(("convex r", words[v.convex]))
    if v.decomposition is not None:
        rows += _decomposition_html(v.decomposition)
    return rows + [("note", escape(n)) for n in v.notes]


def verdict_html(v: Verdict) -> str:
    """Grade, reason, witness, convexity, decomposition and notes."""
    return _table(_verdict_html(v))


def check_html(c: Check) -> str:
    """The verdict on a pair, with the pair; for a range of parameters its cases."""
    rows = [] if c.pair is None else [("F", map_html(c.pair.forward)), ("B", map_html(c.pair.backward))]
    rows = _verdict_html(c.verdict) + rows
    if "holds_for" in c.extra:
        rows.insert(1, ("holds for", escape(str(c.extra["holds_for"]))))
        for case in c.extra["cases"]:
            rows.append((f"{case['range']}", escape(f"{case['verdict']}: {case['reason']}")))
            maps = {"T": case["transform"], "P": case["prox"], "r": (case["regularizer"] or {}).get("largest")}
            rows += [(label, _code(text)) for label, text in maps.items() if text]
    rows += [("repair", _code(f"F = {r.pair.forward}") + "<br>" + _code(f"B = {r.pair.backward}")) for r in c.repairs]
    return _table(rows, str(c.extra.get("name", "")))


__all__ = [
    "check_html",
    "check_latex",
    "decomposition_html",
    "decomposition_latex",
    "in_math",
    "latex_words",
    "map_html",
    "map_latex",
    "pair_html",
    "pair_latex",
    "regularizer_html",
    "regularizer_latex",
    "tie_text",
    "verdict_html",
    "verdict_latex",
]
