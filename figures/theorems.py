"""The table of theorems: each statement with its standing, how it was confirmed, and every violation.

Nothing in it is typed in: proofs are executed when the table is made, all counts and numbers come from the CSV files
under OUT/convergence. Statements and standings are those of MATH.md, section 4:

    [recalled]  the form in which a published statement is usually quoted; wording and constants are ours
    [derived]   proved here

OUT/theorems.html, .tex and .csv have four parts: statements, executed derivations, worst cases, and what happens
without a hypothesis. A file that is missing is named, and its evidence is absent; the convex runs must be there.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

from figures.convergence import TOLERANCE
from figures.data import HYPOTHESES, TRANSFORMS, Cells, Inputs, number
from figures.tables import SORT_SCRIPT, TABLE_STYLE, Column, Sheet
from theory.files import write_text

TIGHT = 1e-4
"""How far a numerical worst case may exceed its bound, relatively: the accuracy of the solver."""
_ROUNDING = 1e-9  # of a left side and a bound read from a file, relative to both

PROVED, CONFIRMED, VIOLATED, NOT_PROVED, NO_DATA = "proved", "confirmed", "VIOLATED", "NOT PROVED", "no data"
BAD = (VIOLATED, NOT_PROVED)


# --------------------------------------------------------------------------- evidence


@dataclass(frozen=True)
class Evidence:
    """What one source says: in words, the worst slack and the tightest ratio found (NaN: none), and violations.

    ``solved``: a solver's value, whose slack is shown only where there is no other.
    """

    how: str
    slack: float = math.nan
    tightest: float = math.nan
    violations: int = 0
    solved: bool = False


Source = Callable[[Inputs], Evidence | None]


def _plural(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _most(values: Iterable[float]) -> float:
    """The largest; NaN if one is NaN or there is none."""
    found = list(values)
    return math.nan if not found or any(map(math.isnan, found)) else max(found)


def _ledger_rows(inputs: Inputs, fixed: bool = False) -> list[Cells]:
    """The runs with a ledger; ``fixed``: those whose mu stays."""
    return [r for r in inputs.runs.rows if r["mode"] != "none" and not (fixed and r["mode"] == "advance")]


def closure(column: str, fixed: bool = False) -> Source:
    """The closure error of an identity in float64; a blank cell of a run with a ledger counts as a violation."""

    def source(inputs: Inputs) -> Evidence | None:
        errors = [number(r[column]) for r in _ledger_rows(inputs, fixed)]
        if not errors:
            return None
        how = _plural(len(errors), "float64 run")
        return Evidence(how, _most(errors), violations=sum(not e <= TOLERANCE for e in errors))

    return source


def exactly(column: str, fixed: bool = False) -> Source:
    """Left minus right of an identity in rational arithmetic: exactly 0."""

    def source(inputs: Inputs) -> Evidence | None:
        if not inputs.has("exact"):
            return None
        rows = [r for r in inputs.exact.rows if not r["note"] and not (fixed and r["mode"] == "advance")]
        if not rows:
            return None
        bad = sum(r[column] != "0" for r in rows)
        return Evidence(f"exact: {_plural(len(rows), 'rational run')}", violations=bad)

    return source


def moving(inputs: Inputs) -> Evidence | None:
    """Identity (I) with transforms of the library, also with a sharpness that moves."""
    if not inputs.has("transforms"):
        return None
    errors = [number(r["closure"]) for r in inputs.transforms.rows]
    runs = sum(int(number(r["seeds"])) for r in inputs.transforms.rows)
    how = f"{_plural(runs, 'float64 run')} with other transforms"
    return Evidence(how, _most(errors), violations=sum(not e <= TOLERANCE for e in errors))


def margin(column: str, convex: bool) -> Source:
    """A margin that may not be negative, relative to its terms; ``convex``: where r is convex."""

    def source(inputs: Inputs) -> Evidence | None:
        rows = _ledger_rows(inputs)
        if convex:
            key = ("problem", "method", "schedule")
            kinds = {tuple(r[k] for k in key): r["regularizer"] for r in inputs.convergence.rows}
            rows = [r for r in rows if kinds.get(tuple(r[k] for k in key)) == "convex" or r[column]]
        if not rows:
            return None
        values = [number(r[column]) for r in rows]
        how = _plural(len(values), "float64 run")
        return Evidence(how, -_most(-v for v in values), violations=sum(not v >= -TOLERANCE for v in values))

    return source


def exact_margin(inputs: Inputs) -> Evidence | None:
    """D_t(w) in rational arithmetic at the comparator: not negative, without a tolerance."""
    if not inputs.has("exact"):
        return None
    values = [number(r["min_D"]) for r in inputs.exact.rows if not r["note"]]
    if not values:
        return None
    how = f"exact: {_plural(len(values), 'rational run')}"
    return Evidence(how, violations=sum(not v >= 0 for v in values))


def bound(statement: str, iterate: str) -> Source:
    """A corollary on the runs whose hypotheses hold."""

    def source(inputs: Inputs) -> Evidence | None:
        rows = inputs.statements.where(statement=statement, iterate=iterate)
        if not rows:
            return None
        sampled = sum(r["gradient"] != "exact" for r in rows)
        how = _plural(len(rows) - sampled, "float64 run") if sampled < len(rows) else ""
        if sampled:
            how += f"{'; ' if how else ''}{_plural(sampled, 'case')} with stochastic gradients"
        excess = [number(r["left"]) - number(r["bound"]) for r in rows]
        ratios = [v for r in rows if math.isfinite(v := number(r["tightest"]))]
        bad = sum(r["violated"] != "no" or _exceeds(r) for r in rows)
        return Evidence(how, _most(excess), max(ratios, default=math.nan), bad)

    return source


def _exceeds(row: Cells) -> bool:
    """Whether the two sides as they stand in the file contradict the statement, whatever the file says of it.

    With stochastic gradients a mean may exceed its bound by sampling error: there the file's word counts.
    """
    left, right = number(row["left"]), number(row["bound"])
    return row["gradient"] == "exact" and not left - right <= _ROUNDING * (1 + abs(left) + abs(right))


def transforms_path(inputs: Inputs) -> Evidence | None:
    """The statement for every w with transforms of the library."""
    if not inputs.has("transforms"):
        return None
    ratios = [v for r in inputs.transforms.rows if math.isfinite(v := number(r["path_ratio"]))]
    if not ratios:
        return None
    runs = sum(int(number(r["seeds"])) for r in inputs.transforms.rows)
    bad = sum(v > 1 + _ROUNDING for v in ratios)
    how = f"{_plural(runs, 'float64 run')} with other transforms"
    return Evidence(how, tightest=max(ratios), violations=bad)


def frank_wolfe(inputs: Inputs) -> Evidence | None:
    """The generalised Frank-Wolfe gap against the mean at one w."""
    pairs = [(number(r["frank_wolfe"]), number(r["path"])) for r in _ledger_rows(inputs) if r["frank_wolfe"]]
    if not pairs:
        return None
    least = -_most(path - gap for gap, path in pairs)
    bad = sum(not gap - path >= -_ROUNDING * (1 + abs(gap) + abs(path)) for gap, path in pairs)
    return Evidence(_plural(len(pairs), "float64 run"), least, violations=bad)


def _outside(row: Cells) -> bool:
    """Whether a worst case lies outside the hypotheses: the logarithmic forms need |g_t + s_t| <= G."""
    logarithmic = " ln T" in row["statement"] and row["setting"] in ("PARQ-2G", "PARQ-G+G")
    return row["hypothesis_holds"] != "yes" or logarithmic


def _too_large(row: Cells) -> bool:
    return row["relation"] == "violated" or not number(row["ratio"]) <= 1 + TIGHT


def worst(*which: tuple[str, str]) -> Source:
    """Worst cases of (statement, iterate) pairs where their hypotheses hold."""

    def source(inputs: Inputs) -> Evidence | None:
        if not inputs.has("worst_cases"):
            return None
        rows = [r for r in inputs.worst_cases.rows if (r["statement"], r["iterate"]) in which and not _outside(r)]
        return _worst(rows) if rows else None

    return source


def _worst(rows: Sequence[Cells]) -> Evidence:
    excess = _most(number(r["worst_case"]) - number(r["bound"]) for r in rows)
    tightest = _most(number(r["ratio"]) for r in rows)
    how = f"{_plural(len(rows), 'worst case')}, numerical"
    return Evidence(how, excess, tightest, sum(map(_too_large, rows)), solved=True)


def constants(which: int) -> Source:
    """Whether the simple form gives PARQ's constants for M = G, exactly: its H is at most 1 + ln T.

    ``which``: 0 for the first claim of `theory.last_iterate`, 1 for the second.
    """

    def source(inputs: Inputs) -> Evidence | None:
        from theory import last_iterate as last

        del inputs  # decided, not measured
        claim = (last.FIRST_CLAIM, last.SECOND_CLAIM)[which]
        distance = c = last.HALF  # D = R^2/2 and c = R/(2 G), with R = G = M = 1
        start, slope = distance / c + c / 2 + c, c
        bad = not (start <= claim[0] and slope <= claim[1])
        return Evidence(f"exact: the simple form is at most {start} + {slope} ln T", violations=int(bad))

    return source


def step_sizes(inputs: Inputs) -> Evidence | None:
    """The two conditions on step sizes, decided for formulas."""
    from theory.steps import decide_steps

    del inputs  # decided, not measured
    parts = []
    bad = 0
    for formula, expected in (("c/sqrt(t)", True), ("c/t", True), ("c", False), ("c/t**2", False)):
        found = decide_steps(formula)
        answer = {"proved": True, "refuted": False}.get(found.ratio_vanishes.answer)
        total = {"proved": True, "refuted": False}.get(found.sum_diverges.answer)
        vanishes = None if answer is None or total is None else answer and total
        bad += vanishes is not expected
        parts.append(f"{formula}: {'not settled' if vanishes is None else 'vanishes' if vanishes else 'does not'}")
    return Evidence(f"decided for {', '.join(parts)}", violations=bad)


# --------------------------------------------------------------------------- the statements


@dataclass(frozen=True)
class Claim:
    """One statement: ``proofs`` names derivations, ``slack`` says in words what its worst slack is."""

    part: str
    statement: str
    formula: str
    standing: str
    proofs: tuple[str, ...]
    sources: tuple[Source, ...]
    slack: str
    commands: tuple[str, ...]
    files: tuple[str, ...]


_RUNS = ("proxpair converge",)
_BOTH = ("proxpair converge", "proxpair converge --exact")
_WORST = ("proxpair converge", "proxpair worst-case")
_SUM_I = ("identity (I), one step", "identity (I), from T to T+1 steps")
_SUM_II = ("identity (II), one step", "identity (II), from T to T+1 steps")
_BEST, _AVERAGE, _END = (
    "the best value is at most the average",
    "the value at the average is at most the average value (convex F~)",
    "the end term is dropped",
)
_CONVEX = ("D_{t+1}(v_t) from above, convex r", "one step, convex f o T, convex r", _END)
_ANY = ("one step, convex f o T, any r", _END)
_SMOOTH = ("one step, convex smooth f o T with exact gradients, convex r, eta_t <= 1/L", _AVERAGE, _END)
_FLIPS = tuple(f"a coordinate that goes from {v} to {after}" for after in (1, -1) for v in (after, -after))
_LAST = (
    "D_t(v_t) = 0",
    "D_{t+1}(v_t) from above by any subgradient z of r at v_t",
    "the steps k, ..., T, from T to T+1",
    "the average of a shorter suffix",
    "the last value, from k+1 to k",
    "the last iterate, any step sizes",
)
_SIMPLE = (*_LAST, "a root grows", "partial fractions")
_LOGARITHMS = ("ln(1 + x) <= x", "x/(1 + x) <= ln(1 + x)")
_LEDGER_FILES = ("figures/ledger.png", "convergence/runs.csv")
_WORST_FILES = ("figures/tightness.png", "convergence/worst_cases.csv")
_BOUND_FILES = ("figures/bounds.png", "convergence/statements.csv")
_GAP = r"\tilde F(w)\le\frac1H\Big(D_1(w)+"
_CONVEX_BOUND = rf"-{_GAP}\sum_t\tfrac12|\eta_tg_t+\delta_ts_t|^2\Big)"
_RESIDUAL_BOUND = rf"-{_GAP}\sum_tD_{{t+1}}(v_t)\Big)"

CLAIMS = (
    Claim(
        "the ledger",
        "identity (I)",
        r"\sum_t\eta_t\langle v_t-w,g_t\rangle+\delta_t(r(v_t)-r(w))=D_1(w)-D_{T+1}(w)+\sum_tD_{t+1}(v_t)",
        "derived; recalled with <=",
        _SUM_I,
        (exactly("difference_first"), closure("closure_first"), moving),
        "closure error",
        _BOTH,
        (*_LEDGER_FILES, "convergence/exact.csv", "convergence/transforms.csv"),
    ),
    Claim(
        "the ledger",
        "identity (II)",
        r"\sum_t\eta_t\langle v_{t+1}-w,g_t\rangle+\delta_t(r(v_{t+1})-r(w))=D_1(w)-D_{T+1}(w)-\sum_tD_t(v_{t+1})",
        "derived",
        _SUM_II,
        (exactly("difference_second"), closure("closure_second")),
        "closure error",
        _BOTH,
        (*_LEDGER_FILES, "convergence/exact.csv"),
    ),
    Claim(
        "the ledger",
        "fixed pair: (I) without r, about f o T",
        r"\sum_t\eta_t\langle v_t-w,g_t\rangle=D_1(w)-D_{T+1}(w)+\sum_tD_{t+1}(v_t),\quad\delta_t=0",
        "derived",
        _SUM_I,
        (exactly("difference_first", fixed=True), closure("closure_first", fixed=True)),
        "closure error",
        _BOTH,
        (*_LEDGER_FILES, "convergence/exact.csv"),
    ),
    Claim(
        "the ledger",
        "v_t is a global minimiser: D_t is nowhere negative, also for nonconvex r",
        r"D_t(w)\ge0",
        "derived",
        (),
        (exact_margin, margin("min_D", convex=False)),
        "least D_t, relative",
        _BOTH,
        (*_LEDGER_FILES, "convergence/exact.csv"),
    ),
    Claim(
        "the ledger",
        "s_t is a subgradient of r at v_t (convex r)",
        r"r(w)\ge r(v_t)+\langle s_t,w-v_t\rangle,\quad s_t=(u_t-v_t)/\mu_t",
        "derived",
        (),
        (margin("support", convex=True),),
        "least margin",
        _RUNS,
        _LEDGER_FILES,
    ),
    Claim(
        "the ledger",
        "D_{t+1}(v_t) from above (convex r)",
        r"D_{t+1}(v_t)\le\tfrac12|\eta_tg_t+\delta_ts_t|^2",
        "derived",
        ("D_{t+1}(v_t) from above, convex r",),
        (margin("slack", convex=True),),
        "least margin, relative; of this and the next",
        _RUNS,
        _LEDGER_FILES,
    ),
    Claim(
        "the ledger",
        "D_t(v_{t+1}) from below (convex r)",
        r"\tfrac12|v_{t+1}-v_t|^2\le D_t(v_{t+1})",
        "derived",
        ("D_t(v_{t+1}) from below, convex r",),
        (margin("slack", convex=True),),
        "least margin, relative; of this and the one before",
        _RUNS,
        _LEDGER_FILES,
    ),
    Claim(
        "corollaries",
        "every w (any T, any r)",
        r"\frac1H\sum_t\eta_t\big[\langle v_t-w,g_t\rangle+r(v_t)-r(w)\big]\le\frac1H\Big(D_1(w)"
        r"+\sum_tD_{t+1}(v_t)\Big)",
        "derived",
        (*_SUM_I, _END),
        (bound("every w", "mean over t"), transforms_path),
        "largest left - bound",
        _RUNS,
        ("figures/negative.png", "convergence/statements.csv", "convergence/transforms.csv"),
    ),
    Claim(
        "corollaries",
        "convex f o T, convex r: best iterate",
        rf"\min_t\tilde F(v_t){_CONVEX_BOUND}",
        "recalled/derived",
        (*_CONVEX, _BEST),
        (bound("convex", "best"), worst(("convex", "best"), ("convex, residual subtracted", "best"))),
        "largest left - bound",
        _WORST,
        (*_BOUND_FILES, *_WORST_FILES),
    ),
    Claim(
        "corollaries",
        "convex f o T, convex r: averaged iterate",
        rf"\tilde F\Big(\frac1H\sum_t\eta_tv_t\Big){_CONVEX_BOUND}",
        "recalled/derived",
        (*_CONVEX, _AVERAGE),
        (bound("convex", "average"), worst(("convex", "average"), ("convex, residual subtracted", "average"))),
        "largest left - bound",
        _WORST,
        (*_BOUND_FILES, *_WORST_FILES),
    ),
    Claim(
        "corollaries",
        "smooth convex f o T, convex r, exact gradients, eta_t <= 1/L: average of the next points",
        r"\tilde F\Big(\frac1H\sum_t\eta_tv_{t+1}\Big)-\tilde F(w)\le\frac{D_1(w)}H",
        "derived",
        (*_SUM_II, *_SMOOTH),
        (bound("smooth", "average of v_{t+1}"), worst(("smooth", "average"))),
        "largest left - bound",
        _WORST,
        (*_BOUND_FILES, *_WORST_FILES),
    ),
    Claim(
        "corollaries",
        "the same, for the best and the last point (the values fall)",
        r"\tilde F(v_{T+1})-\tilde F(w)\le\frac{D_1(w)}H",
        "derived",
        (*_SMOOTH[:1], _END, _BEST, "the values fall, convex smooth f with exact gradients, convex r, eta_t <= 1/L"),
        (worst(("smooth, best iterate", "best"), ("smooth, last iterate", "last")),),
        "largest worst case - bound",
        _WORST[1:],
        _WORST_FILES,
    ),
    Claim(
        "corollaries",
        "convex f o T, any r: best value, with the residual",
        rf"\min_t\tilde F(v_t){_RESIDUAL_BOUND}",
        "derived",
        (*_ANY, _BEST),
        (bound("residual", "best"),),
        "largest left - bound",
        _RUNS,
        ("figures/residual.png", *_BOUND_FILES),
    ),
    Claim(
        "corollaries",
        "convex f o T, any r: mean of the values, with the residual",
        rf"\frac1H\sum_t\eta_t\tilde F(v_t){_RESIDUAL_BOUND}",
        "derived",
        _ANY,
        (bound("residual", "mean of values"),),
        "largest left - bound",
        _RUNS,
        ("figures/residual.png", *_BOUND_FILES),
    ),
    Claim(
        "corollaries",
        "what a flip adds to the residual (r the indicator of -1 and 1)",
        r"D_{t+1}(v_t)=2|u_{t+1}|\text{ where the sign flips, else }0",
        "derived",
        _FLIPS,
        (),
        "",
        ("proxpair theorems",),
        ("figures/residual.png", "convergence/hypotheses.csv"),
    ),
    Claim(
        "corollaries",
        "the generalised Frank-Wolfe gap is not smaller than the mean at one w",
        r"\frac1H\sum_t\eta_t\max_w\langle v_t-w,g_t\rangle\ge\frac1H\sum_t\eta_t\langle v_t-w,g_t\rangle",
        "derived",
        (),
        (frank_wolfe,),
        "least difference",
        _RUNS,
        ("figures/hypotheses.png", "convergence/runs.csv"),
    ),
    Claim(
        "corollaries",
        "step sizes for which the convex bound vanishes (|g_t + s_t| bounded)",
        r"\sum_t\eta_t=\infty\text{ and }\frac{\sum_t\eta_t^2}{\sum_t\eta_t}\to0",
        "derived",
        (),
        (step_sizes,),
        "",
        ("proxpair theorems",),
        _BOUND_FILES,
    ),
    Claim(
        "last iterate",
        "last iterate, any step sizes (convex f, convex r, |g_t + z_t| <= M)",
        r"F(v_T)-F(w)\le\frac{D_1(w)}{W_1}+\frac{M^2}2\Big(\eta_T+\sum_{t<T}\frac{\eta_t^2}{W_{t+1}}\Big)",
        "derived",
        _LAST,
        (worst(("last iterate", "last")),),
        "largest worst case - bound",
        _WORST[1:],
        _WORST_FILES,
    ),
    Claim(
        "last iterate",
        "last iterate, eta_t = c/sqrt(t), D_1(w) <= D: the simple form",
        r"F(v_T)-F(w)\le\frac1{\sqrt T}\Big(\frac Dc+\frac{cM^2}2(1+2H_{T-1})\Big)",
        "derived",
        _SIMPLE,
        (worst(("last iterate, simple form", "last")),),
        "largest worst case - bound",
        _WORST[1:],
        _WORST_FILES,
    ),
    Claim(
        "last iterate",
        "last iterate, PARQ's step sizes, |g_t + s_t| <= G: constants 2 and 3/2",
        r"F(v_T)-F(w)\le GR\,(2+\tfrac32\ln T)/\sqrt T",
        "from its text; derived",
        (*_SIMPLE, *_LOGARITHMS),
        (constants(0), worst(("last iterate, 2 + 3/2 ln T", "last"))),
        "largest worst case - bound",
        _WORST[1:],
        _WORST_FILES,
    ),
    Claim(
        "last iterate",
        "last iterate, PARQ's step sizes, |g_t + s_t| <= G: constants 7/4 and 3/4",
        r"F(v_T)-F(w)\le GR\,(\tfrac74+\tfrac34\ln T)/\sqrt T",
        "derived",
        (*_SIMPLE, *_LOGARITHMS),
        (constants(1), worst(("last iterate, 7/4 + 3/4 ln T", "last"))),
        "largest worst case - bound",
        _WORST[1:],
        _WORST_FILES,
    ),
)


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
    """One row of the table."""

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


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _links(out: Path, files: Sequence[str]) -> tuple[Link, ...]:
    """The files that are there, as (words, address below OUT)."""
    there = [f for f in files if (out / f).is_file()]
    return tuple((f"{Path(f).stem} {'figure' if f.endswith('.png') else 'data'}", f) for f in there)


def _line(inputs: Inputs, claim: Claim, known: dict[str, Proof]) -> Line:
    evidence = [e for source in claim.sources if (e := source(inputs)) is not None]
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
    return next((claim.files for claim in CLAIMS if name in claim.proofs), _WORST_FILES)


def _worst_lines(inputs: Inputs) -> list[Line]:
    """One line per setting, statement and iterate, hypotheses kept."""
    if not inputs.has("worst_cases"):
        return []
    groups: dict[tuple[str, str, str], list[Cells]] = {}
    for r in inputs.worst_cases.rows:
        if not _outside(r):
            groups.setdefault((r["setting"], r["statement"], r["iterate"]), []).append(r)
    made = []
    for (setting, statement, iterate), rows in groups.items():
        e = _worst(rows)
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
                _WORST[1],
                _links(inputs.out, _WORST_FILES),
            )
        )
    return made


@dataclass(frozen=True)
class Dropped:
    """A statement without one of its hypotheses."""

    statement: str
    hypothesis: str
    where: str
    quantity: str
    kept: str
    dropped: str
    broken: str
    sentence: str
    links: tuple[Link, ...]


def _dropped(inputs: Inputs) -> list[Dropped]:
    found = []
    if inputs.has("hypotheses"):
        links = _links(inputs.out, ("figures/hypotheses.png", "convergence/hypotheses.csv"))
        keys = ("statement", "hypothesis", "run", "quantity", "kept", "dropped", "broken", "sentence")
        for r in inputs.hypotheses.rows:
            statement, hypothesis, run, quantity, kept, without, broken, sentence = (r[key] for key in keys)
            kept, without = (f"{number(cell):.4g}" for cell in (kept, without))
            found.append(Dropped(statement, hypothesis, run, quantity, kept, without, broken, sentence, links))
    return [*found, *_counterexamples(inputs), *_worst_outside(inputs)]


def _worst_outside(inputs: Inputs) -> list[Dropped]:
    """The largest worst case with and without the hypothesis, for each setting and statement that has both."""
    if not inputs.has("worst_cases"):
        return []
    rows = inputs.worst_cases.rows
    groups: dict[tuple[str, str, str], list[Cells]] = {}
    for r in rows:
        if _outside(r):
            groups.setdefault((r["setting"], r["statement"], r["iterate"]), []).append(r)
    found = []
    for (setting, statement, iterate), outside in groups.items():
        logarithmic = " ln T" in statement
        home = "PARQ" if logarithmic else setting
        inside = [
            r
            for r in rows
            if not _outside(r) and (r["setting"], r["statement"], r["iterate"]) == (home, statement, iterate)
        ]
        top = max(outside, key=lambda r: number(r["ratio"]))
        kept = _most(number(r["ratio"]) for r in inside)
        broken = any(map(_too_large, outside))
        found.append(
            Dropped(
                statement if iterate in statement else f"{statement}, {iterate} iterate",
                "|g_t + s_t| <= G" if logarithmic else "eta_t <= 1/L",
                f"{setting}, n = {top['n']}, step {top['step']}",
                "largest worst case / bound",
                f"{kept:.4g}" if math.isfinite(kept) else "",
                f"{number(top['ratio']):.4g}",
                "yes" if broken else "no",
                "numerical: the bound is exceeded" if broken else "numerical: the bound is not exceeded",
                _links(inputs.out, _WORST_FILES),
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
                f"|g_t + s_t| <= G (only {what})",
                f"{where}, T = {T}",
                "F(v_T) - F(w) against the bound, in G R",
                f"at most {float(limit):.4g}",
                str(value),
                "yes" if broken else "no",
                "exact: the value exceeds the bound" if broken else "exact: the value does not exceed the bound",
                _links(inputs.out, _WORST_FILES),
            )
        )
    return found


# --------------------------------------------------------------------------- the table


_COLUMNS = (
    Column("Statement"),
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
_PROOF_COLUMNS = (Column("Derivation"), Column("Formula", "math"), Column("Standing"), Column("Status", "status"))
_DROPPED_COLUMNS = (
    Column("Statement"),
    Column("Without"),
    Column("Where"),
    Column("Quantity"),
    Column("With it"),
    Column("Without it"),
    Column("Broken"),
    Column("In words"),
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
    def summary(self) -> str:
        """How much there is, and how much of it holds, in one sentence."""
        derived = [x for x in self.lines if x.part == "derivations"]
        cases = [x for x in self.lines if x.part == "worst cases"]
        good, silent = self.holding, sum(x.status == NO_DATA for x in self.statements)
        proved = sum(x.status == PROVED for x in derived)
        text = f"{good} of {_plural(len(self.statements), 'statement')} hold"
        if silent:
            text += f" ({silent} without data here)"
        text += f", {proved} of {_plural(len(derived), 'derivation')} add up"
        if cases:
            within = sum(x.status == CONFIRMED for x in cases)
            text += f", {within} of {_plural(len(cases), 'group')} of worst cases stay within the bound"
        broken = sum(d.broken == "yes" for d in self.dropped)
        return f"{text}; in {broken} of {_plural(len(self.dropped), 'case')} without a hypothesis the statement breaks."

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
            rows = tuple(
                (d.statement, d.hypothesis, d.where, d.quantity, d.kept, d.dropped, d.broken, d.sentence, d.links)
                for d in self.dropped
            )
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

    def html(self) -> str:
        """The page, whole."""
        parts = [f"<h2>{escape(heading)}</h2>\n{sheet.html()}" for heading, sheet in self.sheets()]
        absent = "".join(
            f"<p>Not in this folder: convergence/{escape(name)}.csv; <code>{escape(command)}</code> makes it.</p>"
            for name, command in self.missing
        )
        body = "\n".join(parts)
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1"><title>proxpair: theorems</title>\n'
            f"<style>{TABLE_STYLE}main {{ max-width: 104rem; }}</style></head>\n"
            "<body><main><h1>proxpair: theorems</h1>\n"
            f"<p>{escape(self.summary)}</p>\n{self.alarm()}{absent}\n{body}\n"
            '<p>Made by <code>proxpair theorems</code>; the same as <a href="theorems.csv">CSV</a> and '
            '<a href="theorems.tex">LaTeX</a>.</p>\n'
            f"</main>\n<script>{SORT_SCRIPT}</script></body></html>\n"
        )

    def alarm(self) -> str:
        """What fails, as a box; empty if nothing does."""
        if not self.failing:
            return ""
        items = "".join(
            f"<li><strong>{x.status}</strong>: {escape(x.statement)} ({escape(x.how)})</li>" for x in self.failing
        )
        return f'<div class="alarm" role="alert"><p>Not everything holds:</p><ul>{items}</ul></div>\n'

    def write(self, out: Path) -> None:
        """Write OUT/theorems.html, .tex, .csv. Raises `InputError` if they cannot be written."""
        write_text(out / "theorems.csv", self.csv())
        write_text(out / "theorems.tex", self.latex())
        write_text(out / "theorems.html", self.html())


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
