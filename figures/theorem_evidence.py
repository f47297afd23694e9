"""What confirms a statement: each source reads the files under OUT/convergence, or decides it now.

A source is a function from `figures.data.Inputs` to `Evidence`, or to None where there are no data.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from figures.convergence import TOLERANCE
from figures.data import Cells, Inputs, number

TIGHT = 1e-4
"""How far a numerical worst case may exceed its bound, relatively: the accuracy of the solver."""
_ROUNDING = 1e-9  # of a left side and a bound read from a file, relative to both


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


def plural(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def most(values: Iterable[float]) -> float:
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
        how = plural(len(errors), "float64 run")
        return Evidence(how, most(errors), violations=sum(not e <= TOLERANCE for e in errors))

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
        return Evidence(f"exact: {plural(len(rows), 'rational run')}", violations=bad)

    return source


def moving(inputs: Inputs) -> Evidence | None:
    """Identity (I) with transforms of the library, also with a sharpness that moves."""
    if not inputs.has("transforms"):
        return None
    errors = [number(r["closure"]) for r in inputs.transforms.rows]
    runs = sum(int(number(r["seeds"])) for r in inputs.transforms.rows)
    how = f"{plural(runs, 'float64 run')} with other transforms"
    return Evidence(how, most(errors), violations=sum(not e <= TOLERANCE for e in errors))


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
        how = plural(len(values), "float64 run")
        return Evidence(how, -most(-v for v in values), violations=sum(not v >= -TOLERANCE for v in values))

    return source


def exact_margin(inputs: Inputs) -> Evidence | None:
    """D_t(w) in rational arithmetic at the comparator: not negative, without a tolerance."""
    if not inputs.has("exact"):
        return None
    values = [number(r["min_D"]) for r in inputs.exact.rows if not r["note"]]
    if not values:
        return None
    how = f"exact: {plural(len(values), 'rational run')}"
    return Evidence(how, violations=sum(not v >= 0 for v in values))


def bound(statement: str, iterate: str) -> Source:
    """A corollary on the runs whose hypotheses hold."""

    def source(inputs: Inputs) -> Evidence | None:
        rows = inputs.statements.where(statement=statement, iterate=iterate)
        if not rows:
            return None
        sampled = sum(r["gradient"] != "exact" for r in rows)
        how = plural(len(rows) - sampled, "float64 run") if sampled < len(rows) else ""
        if sampled:
            how += f"{'; ' if how else ''}{plural(sampled, 'case')} with stochastic gradients"
        excess = [number(r["left"]) - number(r["bound"]) for r in rows]
        ratios = [v for r in rows if math.isfinite(v := number(r["tightest"]))]
        bad = sum(r["violated"] != "no" or _exceeds(r) for r in rows)
        return Evidence(how, most(excess), max(ratios, default=math.nan), bad)

    return source


def _exceeds(row: Cells) -> bool:
    """Whether the two sides as they stand in the file contradict the statement, whatever the file says of it.

    With stochastic gradients a mean may exceed its bound by sampling error: there the file's word counts.
    """
    if row["gradient"] != "exact":
        return False
    left, right = number(row["left"]), number(row["bound"])
    return number(row["tightest"]) > 1 + _ROUNDING or not left - right <= _ROUNDING * (1 + abs(left) + abs(right))


def transforms_path(inputs: Inputs) -> Evidence | None:
    """The statement for every w with transforms of the library."""
    if not inputs.has("transforms"):
        return None
    ratios = [v for r in inputs.transforms.rows if math.isfinite(v := number(r["path_ratio"]))]
    if not ratios:
        return None
    runs = sum(int(number(r["seeds"])) for r in inputs.transforms.rows)
    bad = sum(v > 1 + _ROUNDING for v in ratios)
    how = f"{plural(runs, 'float64 run')} with other transforms"
    return Evidence(how, tightest=max(ratios), violations=bad)


def frank_wolfe(inputs: Inputs) -> Evidence | None:
    """The generalised Frank-Wolfe gap against the mean at one w."""
    pairs = [(number(r["frank_wolfe"]), number(r["path"])) for r in _ledger_rows(inputs) if r["frank_wolfe"]]
    if not pairs:
        return None
    least = -most(path - gap for gap, path in pairs)
    bad = sum(not gap - path >= -_ROUNDING * (1 + abs(gap) + abs(path)) for gap, path in pairs)
    return Evidence(plural(len(pairs), "float64 run"), least, violations=bad)


def outside(row: Cells) -> bool:
    """Whether a worst case lies outside the hypotheses: the logarithmic forms need |g_t + s_t| <= G."""
    logarithmic = " ln T" in row["statement"] and row["setting"] in ("PARQ-2G", "PARQ-G+G")
    return row["hypothesis_holds"] != "yes" or logarithmic


def too_large(row: Cells) -> bool:
    return row["relation"] == "violated" or not number(row["ratio"]) <= 1 + TIGHT


def worst(*which: tuple[str, str]) -> Source:
    """Worst cases of (statement, iterate) pairs where their hypotheses hold."""

    def source(inputs: Inputs) -> Evidence | None:
        if not inputs.has("worst_cases"):
            return None
        rows = [r for r in inputs.worst_cases.rows if (r["statement"], r["iterate"]) in which and not outside(r)]
        return worst_of(rows) if rows else None

    return source


def worst_of(rows: Sequence[Cells]) -> Evidence:
    excess = most(number(r["worst_case"]) - number(r["bound"]) for r in rows)
    tightest = most(number(r["ratio"]) for r in rows)
    how = f"{plural(len(rows), 'worst case')}, numerical"
    return Evidence(how, excess, tightest, sum(map(too_large, rows)), solved=True)


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


__all__ = [
    "TIGHT",
    "Evidence",
    "Source",
    "bound",
    "closure",
    "constants",
    "exact_margin",
    "exactly",
    "frank_wolfe",
    "margin",
    "most",
    "moving",
    "outside",
    "plural",
    "step_sizes",
    "too_large",
    "transforms_path",
    "worst",
    "worst_of",
]
