"""The table of theorems: each statement with its standing, how it was confirmed, and every violation.

Nothing in it is typed in: proofs are executed when the table is made, all counts and numbers come from the CSV files
under OUT/convergence. The statements are those of `figures.theorem_claims`, what confirms them is in
`figures.theorem_evidence`.

OUT/theorems.html, .tex and .csv have four parts: statements, executed derivations, worst cases, and what happens
without a hypothesis. A file that is missing is named, and its evidence is absent; the convex runs must be there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import page, page_theorems
from figures.data import HYPOTHESES, TRANSFORMS, Cells, Inputs, number
from figures.tables import Column, Sheet
from figures.theorem_claims import CLAIMS, WORST, WORST_FILES, Claim
from figures.theorem_evidence import Evidence, most, outside, plural, too_large, worst, worst_of
from theory.files import write_text

PROVED, CONFIRMED, VIOLATED, NOT_PROVED, NO_DATA = "proved", "confirmed", "VIOLATED", "NOT PROVED", "no data"
BAD = (VIOLATED, NOT_PROVED)


# --------------------------------------------------------------------------- proofs


@dataclass(frozen=True)
class Proof:
    """A derivation after its execution; ``failure`` is empty if it adds up."""

    name: str
    formula: str
    standing: str
    failure: str


def proofs() -> dict[str, Proof]:
    """Every derivation of `theory.derivations` and `theory.last_iterate`, executed now."""
    from theory import derivations, last_iterate

    made: dict[str, Proof] = {}
    every = (*derivations.derivations(), *last_iterate.derivations())
    items: list[tuple[Any, str, str]] = [(d, d.statement, d.standing) for d in every]
    items += [(g, _latex_of(g.of), "derived") for g in last_iterate.logarithms()]
    for item, formula, standing in items:
        try:
            item.check()
            failure = ""
        except derivations.NotDerived as why:
            failure = str(why)
        made[item.name] = Proof(item.name, formula, standing, failure)
    return made


def _latex_of(e: Any) -> str:
    """e >= 0 for the few expressions of `theory.last_iterate.logarithms`."""
    from sympy import latex

    text = latex(e).replace(r"\log", r"\ln").replace(r"{\left(", "(").replace(r"\right)}", ")")
    return rf"{text}\ge0"


# --------------------------------------------------------------------------- rows


Link = tuple[str, str]


@dataclass(frozen=True)
class Line:
    """One row of the table, with what stands behind it.

    ``evidence``: source by source; ``proofs``: the derivations that it rests on; ``cases`` and ``about``: what
    connects it with worst cases, and with what happens without a hypothesis.
    """

    part: str
    statement: str
    formula: str
    standing: str
    how: str
    slack: float | None
    slack_is: str
    tightest: float | None
    violations: int | None
    status: str
    commands: str
    links: tuple[Link, ...]
    evidence: tuple[Evidence, ...] = ()
    proofs: tuple[str, ...] = ()
    cases: tuple[tuple[str, str], ...] = ()
    about: tuple[str, ...] = ()


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _links(out: Path, files: Sequence[str]) -> tuple[Link, ...]:
    """The files that are there, as (words, address below OUT)."""
    there = [f for f in files if (out / f).is_file()]
    return tuple((f"{Path(f).stem} {'figure' if f.endswith('.png') else 'data'}", f) for f in there)


def _line(inputs: Inputs, claim: Claim, known: dict[str, Proof]) -> Line:
    sources = (*claim.sources, worst(*claim.cases)) if claim.cases else claim.sources
    evidence = [e for source in sources if (e := source(inputs)) is not None]
    used = [known.get(name, Proof(name, "", "", f"{name}: there is no such derivation")) for name in claim.proofs]
    failures = [p.failure for p in used if p.failure]
    how = [e.how for e in evidence]
    if used and not failures:
        how.insert(0, "symbolic proof")
    how += [f"the proof FAILS: {f}" for f in failures]
    bad = sum(e.violations for e in evidence)
    # the worst of margins is the least, of errors and excesses the largest
    slacks = [e.slack for e in evidence if not math.isnan(e.slack) and not e.solved]
    slacks = slacks or [e.slack for e in evidence if not math.isnan(e.slack)]
    slack = min(slacks, default=math.nan) if claim.slack.startswith("least") else max(slacks, default=math.nan)
    ratios = [e.tightest for e in evidence if not math.isnan(e.tightest)]
    if bad:
        status = VIOLATED
    elif failures:
        status = NOT_PROVED
    else:
        status = PROVED if used else CONFIRMED if evidence else NO_DATA
    return Line(
        claim.part,
        claim.statement,
        claim.formula,
        claim.standing,
        "; ".join(how),
        _finite(slack),
        claim.slack,
        _finite(max(ratios, default=math.nan)),
        bad if evidence else None,
        status,
        "; ".join(claim.commands),
        _links(inputs.out, claim.files),
        tuple(evidence),
        claim.proofs,
        claim.cases,
        claim.about,
    )


def _proof_line(inputs: Inputs, proof: Proof) -> Line:
    how = f"the proof FAILS: {proof.failure}" if proof.failure else "symbolic proof"
    return Line(
        "derivations",
        proof.name,
        proof.formula,
        proof.standing,
        how,
        None,
        "",
        None,
        None,
        NOT_PROVED if proof.failure else PROVED,
        "proxpair theorems",
        _links(inputs.out, _proof_files(proof.name)),
    )


def _proof_files(name: str) -> tuple[str, ...]:
    """The figure and data of the first claim that rests on a derivation."""
    return next((claim.files for claim in CLAIMS if name in claim.proofs), WORST_FILES)


def _worst_lines(inputs: Inputs) -> list[Line]:
    """One line per setting, statement and iterate, hypotheses kept."""
    if not inputs.has("worst_cases"):
        return []
    groups: dict[tuple[str, str, str], list[Cells]] = {}
    for r in inputs.worst_cases.rows:
        if not outside(r):
            groups.setdefault((r["setting"], r["statement"], r["iterate"]), []).append(r)
    made = []
    for (setting, statement, iterate), rows in groups.items():
        e = worst_of(rows)
        gap = max(number(r["duality_gap"]) for r in rows)
        tight = sum(r["relation"] == "tight" for r in rows)
        name = statement if iterate in statement else f"{statement}, {iterate} iterate"
        how = f"{e.how}: {tight} tight, largest duality gap {gap:.1e}"
        made.append(
            Line(
                "worst cases",
                f"{name}: {setting}",
                "",
                "numerical",
                how,
                _finite(e.slack),
                "largest worst case - bound",
                _finite(e.tightest),
                e.violations,
                VIOLATED if e.violations else CONFIRMED,
                WORST[1],
                _links(inputs.out, WORST_FILES),
                cases=((statement, iterate),),
            )
        )
    return made


@dataclass(frozen=True)
class Dropped:
    """A statement without one of its hypotheses. ``about``: its name in the files."""

    about: str
    statement: str
    hypothesis: str
    where: str
    quantity: str
    kept: str
    dropped: str
    broken: str
    sentence: str
    links: tuple[Link, ...]

    @property
    def cells(self) -> tuple[str, ...]:
        """The cells of `figures.page_theorems.DROPPED_COLUMNS`."""
        return self.where, self.quantity, self.kept, self.dropped, self.broken, self.sentence


def _dropped(inputs: Inputs) -> list[Dropped]:
    found = []
    if inputs.has("hypotheses"):
        links = _links(inputs.out, ("figures/hypotheses.png", "convergence/hypotheses.csv"))
        keys = ("statement", "hypothesis", "run", "quantity", "kept", "dropped", "broken", "sentence")
        for r in inputs.hypotheses.rows:
            statement, hypothesis, run, quantity, kept, without, broken, sentence = (r[key] for key in keys)
            kept, without = (f"{number(cell):.4g}" for cell in (kept, without))
            found.append(
                Dropped(statement, statement, hypothesis, run, quantity, kept, without, broken, sentence, links)
            )
    return [*found, *_counterexamples(inputs), *_worst_outside(inputs)]


def _worst_outside(inputs: Inputs) -> list[Dropped]:
    """The largest worst case with and without the hypothesis, for each setting and statement that has both."""
    if not inputs.has("worst_cases"):
        return []
    rows = inputs.worst_cases.rows
    groups: dict[tuple[str, str, str], list[Cells]] = {}
    for r in rows:
        if outside(r):
            groups.setdefault((r["setting"], r["statement"], r["iterate"]), []).append(r)
    found = []
    for (setting, statement, iterate), beyond in groups.items():
        logarithmic = " ln T" in statement
        home = "PARQ" if logarithmic else setting
        inside = [
            r
            for r in rows
            if not outside(r) and (r["setting"], r["statement"], r["iterate"]) == (home, statement, iterate)
        ]
        top = max(beyond, key=lambda r: number(r["ratio"]))
        kept = most(number(r["ratio"]) for r in inside)
        broken = any(map(too_large, beyond))
        found.append(
            Dropped(
                statement,
                statement if iterate in statement else f"{statement}, {iterate} iterate",
                "|g_t + s_t| <= G" if logarithmic else "eta_t <= 1/L",
                f"{setting}, n = {top['n']}, step {top['step']}",
                "largest worst case / bound",
                f"{kept:.4g}" if math.isfinite(kept) else "",
                f"{number(top['ratio']):.4g}",
                "yes" if broken else "no",
                "numerical: the bound is exceeded" if broken else "numerical: the bound is not exceeded",
                _links(inputs.out, WORST_FILES),
            )
        )
    return found


def _counterexamples(inputs: Inputs) -> list[Dropped]:
    """The two functions of `theory.last_iterate` that decide PARQ's constants, evaluated exactly."""
    from theory import last_iterate as last

    found = []
    for T, claim, (value, _), where, what in (
        (1, last.SECOND_CLAIM, last.modulus(), "f = r = G|v|", "f and r each G-Lipschitz"),
        (2, last.FIRST_CLAIM, last.wedge(), "a wedge, r = 0", "|g_t + s_t| <= 2 G"),
    ):
        limit = last.claimed(T, claim)
        broken = bool(value > limit)
        found.append(
            Dropped(
                f"last iterate, {claim[0]} + {claim[1]} ln T",
                f"last iterate, {claim[0]} + {claim[1]} ln T",
                f"|g_t + s_t| <= G (only {what})",
                f"{where}, T = {T}",
                "F(v_T) - F(w) against the bound, in G R",
                f"at most {float(limit):.4g}",
                str(value),
                "yes" if broken else "no",
                "exact: the value exceeds the bound" if broken else "exact: the value does not exceed the bound",
                _links(inputs.out, WORST_FILES),
            )
        )
    return found


# --------------------------------------------------------------------------- the table


_COLUMNS = (
    Column("Statement", "words"),
    Column("Formula", "math"),
    Column("Standing"),
    Column("Confirmed how"),
    Column("Worst slack", "number"),
    Column("Slack is", wide=True),
    Column("Tightest ratio", "number"),
    Column("Violations", "number"),
    Column("Status", "status"),
    Column("Made again by", wide=True),
    Column("Figure and data", "links", wide=True),
)
_PROOF_COLUMNS = (
    Column("Derivation", "words"),
    Column("Formula", "math"),
    Column("Standing"),
    Column("Status", "status"),
)
_DROPPED_COLUMNS = (
    Column("Statement", "words"),
    Column("Without"),
    *page_theorems.DROPPED_COLUMNS,
    Column("Data", "links", wide=True),
)
_OPTIONAL = (
    ("exact", "proxpair converge --exact"),
    ("worst_cases", "proxpair worst-case"),
    ("hypotheses", f"proxpair {HYPOTHESES}"),
    ("transforms", f"proxpair {TRANSFORMS}"),
)


@dataclass(frozen=True)
class Theorems:
    """The table: lines of all parts, what happens without hypotheses, and (file, command) of what is missing."""

    lines: tuple[Line, ...]
    dropped: tuple[Dropped, ...]
    missing: tuple[tuple[str, str], ...]

    @property
    def statements(self) -> list[Line]:
        return [x for x in self.lines if x.part not in ("derivations", "worst cases")]

    @property
    def failing(self) -> list[Line]:
        """The lines that contradict a statement, or whose proof does not add up."""
        return [x for x in self.lines if x.status in BAD]

    @property
    def holding(self) -> int:
        """How many statements are proved or confirmed."""
        return sum(x.status in (PROVED, CONFIRMED) for x in self.statements)

    @property
    def split(self) -> str:
        """How many statements are proved, and how many confirmed by runs or decisions alone."""
        proved = sum(x.status == PROVED for x in self.statements)
        return f"{proved} proved, {self.holding - proved} confirmed by runs or decisions"

    @property
    def summary(self) -> str:
        """How much there is, and how much of it is proved or confirmed, in one sentence."""
        derived = [x for x in self.lines if x.part == "derivations"]
        cases = [x for x in self.lines if x.part == "worst cases"]
        silent = sum(x.status == NO_DATA for x in self.statements)
        proved = sum(x.status == PROVED for x in derived)
        text = f"{plural(len(self.statements), 'statement')}: {self.split}"
        if silent:
            text += f" ({silent} without data here)"
        text += f", {proved} of {plural(len(derived), 'derivation')} add up"
        if cases:
            within = sum(x.status == CONFIRMED for x in cases)
            text += f", {within} of {plural(len(cases), 'group')} of worst cases stay within the bound"
        broken = sum(d.broken == "yes" for d in self.dropped)
        return f"{text}; in {broken} of {plural(len(self.dropped), 'case')} without a hypothesis the statement breaks."

    def sheets(self) -> list[tuple[str, Sheet]]:
        """(heading, table) of each part that has rows."""
        made = [
            (
                "Statements",
                Sheet(
                    "statements",
                    "Each statement with its standing and how it is confirmed. H is the sum of the step sizes, W_k "
                    "that from step k on, delta_t = eta_t where mu advances and 0 for a fixed pair. Worst slack: the "
                    "largest closure error, the least margin, or the largest left side less its bound. Tightest ratio: "
                    "the largest left side over bound, worst cases included (a solver's value may exceed 1 within its "
                    "accuracy). Violations count runs and worst cases where the hypotheses hold.",
                    _COLUMNS,
                    tuple(_cells(x) for x in self.statements),
                ),
            ),
            (
                "Derivations, executed",
                Sheet(
                    "derivations",
                    "Each derivation is an identity of polynomials that was expanded and compared with 0 when this "
                    "table was made.",
                    _PROOF_COLUMNS,
                    tuple(
                        (x.statement, x.formula, x.standing, x.status) for x in self.lines if x.part == "derivations"
                    ),
                ),
            ),
        ]
        cases = [x for x in self.lines if x.part == "worst cases"]
        if cases:
            columns = tuple(c for c in _COLUMNS if c.title not in ("Formula", "Standing"))
            keep = [i for i, c in enumerate(_COLUMNS) if c in columns]
            rows = tuple(tuple(_cells(x)[i] for i in keep) for x in cases)
            caption = (
                "Worst cases over all functions of a class and all dimensions beside the bound: numerical values of a "
                "semidefinite program, no proofs. Here the hypotheses hold."
            )
            made.append(("Worst cases", Sheet("worst cases", caption, columns, rows)))
        if self.dropped:
            caption = (
                "What a statement says with and without one of its hypotheses. A statement that breaks needs it; "
                "one that does not break here was not shown to need it."
            )
            rows = tuple((d.statement, d.hypothesis, *d.cells, d.links) for d in self.dropped)
            made.append(("Without a hypothesis", Sheet("without a hypothesis", caption, _DROPPED_COLUMNS, rows)))
        return made

    def csv(self) -> str:
        """All parts in one table."""
        rows = [(x.part, *_cells(x)) for x in self.lines]
        for d in self.dropped:
            how = f"{d.where}: {d.quantity} {d.kept} with it, {d.dropped} without it; {d.sentence}"
            status = {"yes": "broken", "no": "not broken"}.get(d.broken, f"{d.broken} broken")
            head = ("without a hypothesis", f"{d.statement}, without {d.hypothesis}", "", "")
            rows.append((*head, how, None, "", None, None, status, "", d.links))
        return Sheet("theorems", "", (Column("Part"), *_COLUMNS), tuple(rows)).csv()

    def latex(self) -> str:
        """One tabular per part."""
        return "\n".join(f"% {heading}\n{sheet.latex()}" for heading, sheet in self.sheets())

    def write(self, out: Path, pages: Sequence[page.Link] = ()) -> None:
        """Write OUT/theorems.html, .tex, .csv; ``pages``: the others of the same folder, beside those that are there.

        Raises `InputError` if they cannot be written.
        """
        write_text(out / "theorems.csv", self.csv())
        write_text(out / "theorems.tex", self.latex())
        write_text(out / "theorems.html", page_theorems.page_text(self, pages or page.pages(out, ["theorems.html"])))


def _cells(x: Line) -> tuple[Any, ...]:
    return (
        *(x.statement, x.formula, x.standing, x.how, x.slack, x.slack_is, x.tightest, x.violations, x.status),
        *(x.commands, x.links),
    )


def make(inputs: Inputs) -> Theorems:
    """The table for the results in a folder. Raises `InputError` without the convex runs, or for a broken file."""
    known = proofs()
    lines = [_line(inputs, claim, known) for claim in CLAIMS]
    lines += [_proof_line(inputs, p) for p in known.values()]
    lines += _worst_lines(inputs)
    missing = tuple((name, command) for name, command in _OPTIONAL if not inputs.has(name))
    return Theorems(tuple(lines), tuple(_dropped(inputs)), missing)


def write(out: Path) -> Theorems:
    """`make` for a folder, written there as theorems.html, .tex and .csv."""
    inputs = Inputs(out)
    _ = inputs.runs, inputs.statements, inputs.convergence
    table = make(inputs)
    table.write(out)
    return table


__all__ = ["BAD", "CLAIMS", "Claim", "Dropped", "Evidence", "Line", "Proof", "Theorems", "make", "proofs", "write"]
