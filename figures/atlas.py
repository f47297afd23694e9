"""The map of the catalogue: what is principled, what is refuted, and the nearest principled repair of that."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from figures.data import Inputs, Row, Table, number
from figures.parts import Content, handle, listed, wrapped
from figures.scheme import arrow, canvas
from figures.style import BLACK, BLUE, GRADE_SIGN, GREEN, GREY, INK, VERMILLION, new_figure, pt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADER = ("kind", "name", "verdict", "x", "y", "x2", "y2", "keeps", "text")
_KEPT: dict[str, tuple[str, Any]] = {
    "forward": (BLUE, "-"),
    "backward": (VERMILLION, (0, (3.4, 1.5))),
    "levels": (GREEN, (0, (1, 1.3))),
}
_OTHER = (BLACK, (0, (6, 1.5, 1, 1.5)))
_MADE = {
    "integrate the backward map": "integral of B as T",
    "flatten the backward map": "B made flat",
    "identity transform": "F as P, B constant",
    "levels of the forward map, transform from the backward map": "levels of F, T from B",
}
"""Shorter words for repairs that are no catalogued pair."""
_LINE = 0.158  # inches between two lines
_TOP = 0.52  # inches above the first line
_BOTTOM = 0.3
_X = {"refuted": 1.62, "repair": 3.06}
_LISTS = (4.5, 5.82)
_SIGN = 0.12  # inches from a sign to its name


def _nearest(row: Row) -> tuple[str, str, str] | None:
    """Name, what it keeps, and verdict of the nearest repair."""
    repairs = row.get("repairs") or []
    return (repairs[0]["name"], repairs[0]["keeps"], repairs[0]["verdict"]) if repairs else None


def _order(refuted: Sequence[Row]) -> list[Row]:
    """Methods with the same repair stand together, the largest groups first; those without one come last."""
    found = Counter(near[0] for near in map(_nearest, refuted) if near)
    first = {name: k for k, (name, _) in enumerate(sorted(found.items(), key=lambda item: (-item[1], item[0])))}
    return sorted(refuted, key=lambda row: first[near[0]] if (near := _nearest(row)) else len(first))


def atlas(inputs: Inputs) -> Content | None:
    """Where every catalogued method stands on the map, with an arrow from each refuted one to its nearest repair."""
    if not inputs.catalogue:
        return None
    groups = {g: [row for row in inputs.catalogue if row["verdict"] == g] for g in GRADE_SIGN}
    refuted = _order(groups["unprincipled"])
    places = {str(row["name"]): float(k) for k, row in enumerate(refuted)}
    targets: dict[str, list[float]] = {}
    verdicts = {str(row["name"]): row["verdict"] for row in inputs.catalogue}
    for row in refuted:
        if near := _nearest(row):
            targets.setdefault(near[0], []).append(places[row["name"]])
            verdicts.setdefault(near[0], near[2])
    wanted = {name: sum(ys) / len(ys) for name, ys in targets.items()}
    lists = [(g, [str(row["name"]) for row in groups[g] if row["name"] not in wanted]) for g in ("smooth", "lipschitz")]
    lists.append(("undecided", [str(row["name"]) for row in groups["undecided"]]))
    more = {g: " more" for g, names in lists if len(names) < len(groups[g])}
    columns = _two_columns([(g, names) for g, names in lists if names], more)
    lines = max(len(refuted) - 1, *(len(column) - 1 for column in columns), 6, 1.6 * (len(wanted) - 1))
    spread = _apart(wanted, lines)

    def y(line: float) -> float:
        return round((lines - line) * _LINE + _BOTTOM + 0.12, 4)

    rows: list[list[Any]] = []
    for row in refuted:
        near = _nearest(row)
        here = (_X["refuted"], y(places[row["name"]]))
        rows.append(["method", row["name"], row["verdict"], *here, "", "", "", ""])
        if near:
            rows.append(["arrow", row["name"], "", *here, _X["repair"], y(spread[near[0]]), near[1], near[0]])
    for name in wanted:
        catalogued = any(row["name"] == name for row in inputs.catalogue)
        words = "" if catalogued else _MADE.get(name, name)
        kind = "repair" if catalogued else "made"
        rows.append([kind, name, verdicts[name], _X["repair"], y(spread[name]), "", "", "", words])
    for x, column in zip(_LISTS, columns, strict=True):
        for line, (kind, grade, text) in enumerate(column):
            if kind:
                rows.append([kind, text if kind == "listed" else "", grade, x, y(line), "", "", "", text])
    counts = ", ".join(f"{len(groups[g])} {g}" for g in GRADE_SIGN if groups[g])
    keeps = Counter(near[1] for row in refuted if (near := _nearest(row)))
    kept = [
        f"{keeps[k]} {'keeps' if keeps[k] == 1 else 'keep'} the {k}{' of F' if k == 'levels' else ''}"
        for k in (*_KEPT, *(k for k in keeps if k not in _KEPT))
        if keeps[k]
    ]
    late = [str(row["name"]) for row in refuted if row.get("repairs_unfinished")]
    inside = [name for name in wanted if any(row["name"] == name for row in inputs.catalogue)]
    return Content(
        f"The {len(inputs.catalogue)} catalogued methods by verdict: {counts}. Left: the unprincipled ones, with an "
        "arrow to the nearest principled repair: least root mean square distances of F and of B on [-2, 2], added. "
        + (f"Of these repairs {listed(kept)}. " if kept else "")
        + (
            f"{len(inside)} of the repairs are catalogued themselves (bold); the others are made, for each "
            "method from its own maps. "
            if wanted
            else ""
        )
        + (f"Of {listed(late)} not every repair was settled in time, and one may be nearer. " if late else "")
        + ("A method without an arrow has no repair that was found. " if len(refuted) > sum(keeps.values()) else "")
        + "Right: the other methods.",
        f"Map of {len(inputs.catalogue)} methods in groups: {counts}; {sum(keeps.values())} arrows lead from "
        "unprincipled methods to repairs.",
        Table.of(_HEADER, rows),
    )


def _apart(wanted: dict[str, float], lines: float) -> dict[str, float]:
    """The lines of the repairs: near the mean of their arrows' starts, at least one and a half apart, within range."""
    least = 1.55
    names = sorted(wanted, key=wanted.__getitem__)
    at = [wanted[name] for name in names]
    for k in range(1, len(at)):
        at[k] = max(at[k], at[k - 1] + least)
    for k in range(len(at) - 1, -1, -1):
        most = lines if k == len(at) - 1 else at[k + 1] - least
        at[k] = min(at[k], most)
    return dict(zip(names, at, strict=True))


def _two_columns(lists: Sequence[tuple[str, list[str]]], more: Mapping[str, str]) -> list[list[tuple[str, str, str]]]:
    """Headings and names in two columns of about equal length: (kind, grade, text); kind "" leaves a line free.

    ``more``: what the heading of a grade says after its count.
    """
    flat: list[tuple[str, str, str]] = []
    for grade, names in lists:
        flat += [("", "", "")] if flat else []
        flat.append(("heading", grade, f"{grade}, {len(names)}{more.get(grade, '')}"))
        flat += [("listed", grade, name) for name in names]
    half = math.ceil(len(flat) / 2)
    # a column never ends with a heading or starts with a free line
    while half > 1 and flat[half - 1][0] != "listed":
        half -= 1
    left, right = flat[:half], flat[half:]
    while right and not right[0][0]:
        right = right[1:]
    return [left, right]


def draw_atlas(table: Table) -> Figure:
    """The map from its table, whose places are inches of a paper."""
    high = max(number(row["y"]) for row in table.rows)
    figure = new_figure(2, high + _TOP, solved=False)
    axes = canvas(figure, high + _TOP)
    top = high + 0.24
    refuted = table.where(kind="method")
    headings = (
        [(_X["refuted"], f"{GRADE_SIGN['unprincipled']} unprincipled, {len(refuted)}", "right")] if refuted else []
    )
    if table.where(kind="arrow"):
        headings.append((_X["repair"], "nearest repair", "left"))
    if table.where(kind="listed"):
        headings.append((_LISTS[0], "the others", "left"))
    for x, text, side in headings:
        axes.text(x, top, text, ha=side, va="center", fontsize=pt(7.5), fontweight="bold")
    for row in table.rows:
        x, y, name = number(row["x"]), number(row["y"]), wrapped(row["name"], 24)
        sign = GRADE_SIGN.get(row["verdict"], "")
        if row["kind"] == "arrow":
            color, dash = _KEPT.get(row["keeps"], _OTHER)
            ends = (x + 0.06, y), (number(row["x2"]) - 0.06, number(row["y2"]))
            arrow(axes, *ends, color, dash, linewidth=pt(0.9), connectionstyle="arc3,rad=0")
        elif row["kind"] == "method":
            axes.text(x, y, name, ha="right", va="center", fontsize=pt(6.5))
        elif row["kind"] == "heading":
            axes.text(x, y, f"{sign} {row['text']}", va="center", fontsize=pt(7), fontweight="bold", color=INK)
        else:
            words, weight = (name, "bold") if row["kind"] == "repair" else (name, "normal")
            if row["kind"] == "made":
                words = wrapped(row["text"], 24)
            axes.text(x, y, sign, va="center", fontsize=pt(6.5), color=GREY if row["kind"] == "made" else INK)
            axes.text(x + _SIGN, y, words, va="center", fontsize=pt(6.5), fontweight=weight)
    keeps = [k for k in _KEPT if table.where(keeps=k)]
    others = any(row["keeps"] and row["keeps"] not in _KEPT for row in table.rows)
    handles = [handle(*_KEPT[k], f"keeps the {k}" + (" of F" if k == "levels" else "")) for k in keeps]
    handles += [handle(*_OTHER, "keeps something else")] if others else []
    if handles:
        figure.legend(handles=handles, loc="lower center", ncols=len(handles), handlelength=3, borderaxespad=0.2)
    return figure


__all__ = ["atlas", "draw_atlas"]
