"""The figures of pairs: one for each, taken apart or refuted, and one of all of them.

Curves are lines; a filled point is the value stated at a breakpoint, an open point a one-sided limit
that is not taken. Dead zones, the open intervals where B is 0, are shaded.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from figures.data import Cells, Inputs, Row, Table, number
from figures.parts import Content, Declared, camel, few_ticks, handle, listed, patch, wrapped
from figures.sampling import read_map, trace, window
from figures.style import (
    BLACK,
    BLUE,
    GRADE_SIGN,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    grid_axes,
    new_figure,
    pt,
)
from theory.errors import InputError, Undecided
from theory.exact import sign_of, to_float
from theory.parser import parse_constant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEADER = ("pair", "verdict", "map", "kind", "piece", "x", "y", "text")
_COLOR = {"forward": BLUE, "backward": VERMILLION, "prox": GREEN, "transform": PURPLE}
_DASH = {"forward": "-", "backward": (0, (3.2, 1.4))}
_MAPS = (("forward", "F"), ("backward", "B"))
_DEAD = "#E3E3E3"
_INFINITE = "#F3EBD8"
_PRINCIPLED = ("smooth", "lipschitz")
_HIGHEST = 2.0  # a panel of a map reaches up to so many of its half-widths
_WORDS_AT_MOST = 4  # dead zones that a caption names


def _params(row: Row) -> tuple[tuple[str, str], ...]:
    return tuple((row.get("params") or {}).items())


def _map_rows(row: Row, name: str, text: str | None, lo: float, hi: float) -> list[list[Any]]:
    """The points of one map, or one row that says why it is not drawn."""
    head = [row["name"], row["verdict"], name]
    if text is None:
        return [[*head, "note", "", "", "", "no closed form"]]
    try:
        points = trace(read_map(text, _params(row)), lo, hi)
    except Undecided as reason:
        return [[*head, "note", "", "", "", f"not drawn: {reason}"]]
    return [[*head, p.kind, p.piece, p.x, p.y, ""] for p in points]


def _exact_text(c: Any) -> str:
    """An exact breakpoint in words: in the grammar, else its decimals."""
    from theory.printing import expression_text

    try:
        text = expression_text(c)
    except Undecided:
        return f"{to_float(c):.4g}"
    return text if len(text) < 16 else f"{to_float(c):.4g}"


def dead_zones(row: Row) -> list[tuple[float, float, str]]:
    """The maximal open intervals where B is 0: ends as floats, infinite ones too, and the interval in words.

    A breakpoint inside one at which B states another value separates two of them.
    """
    try:
        b = read_map(row["backward"], _params(row))
    except Undecided:
        return []
    ends = [None, *b.breaks, None]
    runs: list[list[Any]] = []
    for i, e in enumerate(b.exprs):
        if e != 0:
            continue
        joins = i > 0 and b.exprs[i - 1] == 0 and b.values[i - 1] is not None and sign_of(b.values[i - 1]) == 0
        if joins:
            runs[-1][1] = ends[i + 1]
        else:
            runs.append([ends[i], ends[i + 1]])
    zones = []
    for low, high in runs:
        if low is None and high is None:
            words = "every x"
        elif low is None:
            words = f"x < {_exact_text(high)}"
        else:
            words = f"x > {_exact_text(low)}" if high is None else f"{_exact_text(low)} < x < {_exact_text(high)}"
        numbers = (-math.inf if low is None else to_float(low), math.inf if high is None else to_float(high))
        zones.append((*numbers, words.replace("-", "\N{MINUS SIGN}")))
    return zones


def _dead_rows(row: Row, half: float) -> list[list[Any]]:
    """Two rows for each dead zone that the window shows: its ends there."""
    rows = []
    for k, (low, high, words) in enumerate(dead_zones(row)):
        ends = max(low, -half), min(high, half)
        if ends[0] < ends[1]:
            rows += [[row["name"], row["verdict"], "dead zone", "dead", k, x, 0.0, words] for x in ends]
    return rows


def _dead_words(row: Row, rows: Sequence[Sequence[Any]]) -> str:
    """The sentence of a caption that names the dead zones, those beyond the window too."""
    zones = [words for *_, words in dead_zones(row)]
    if not zones:
        return " B has no dead zone." if any(r[2] == "backward" and r[3] == "curve" for r in rows) else ""
    more = f" and {len(zones) - _WORDS_AT_MOST} more" if len(zones) > _WORDS_AT_MOST else ""
    return f" Dead zones, the open intervals where B = 0 (shaded): {'; '.join(zones[:_WORDS_AT_MOST])}{more}."


def _cut_words(rows: Sequence[Sequence[Any]]) -> str:
    """The sentence of a caption where a map leaves its panel, which is as high as `axis` makes it."""
    reach: dict[str, tuple[float, float]] = {}
    for _, _, name, kind, _, x, y, _ in rows:
        if kind in ("curve", "tie", "limit") and not name.startswith("r "):
            wide, high = reach.get(name, (0.0, 0.0))
            reach[name] = max(wide, abs(x)), max(high, abs(y))
    cut = any(high > _HIGHEST * wide for wide, high in reach.values())
    return " Values beyond the frame are not shown." if cut else ""


def _reach(row: Row, keys: Sequence[str]) -> float:
    """Half-width of a window that shows the breakpoints of the named maps."""
    widths = []
    for text in (row.get(key) for key in keys):
        if text is None:
            continue
        try:
            widths.append(window(read_map(text, _params(row))))
        except Undecided:
            continue  # the map itself is then drawn as a note
    return max(widths, default=2.5)


def _plot_limits(ys: Sequence[float], most: float) -> tuple[float, float]:
    """An axis range that holds all values and 0, cut at +-most, with a margin."""
    lo, hi = max(min([0.0, *ys]), -most), min(max([0.0, *ys]), most)
    if hi - lo < 1e-9:
        lo, hi = -1.0, 1.0
    return lo - 0.09 * (hi - lo), hi + 0.09 * (hi - lo)


def draw_map(
    axes: Axes, rows: Sequence[Cells], color: str, dash: Any = "-", width: float = 1.4, size: float = 3.6
) -> None:
    """Curves as lines, stated values as filled points, limits that are not taken as open points."""
    pieces: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["kind"] == "curve":
            pieces.setdefault(row["piece"], []).append((number(row["x"]), number(row["y"])))
    for points in pieces.values():
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, color=color, linestyle=dash, linewidth=pt(width))
    for kind, face in (("limit", "white"), ("tie", color)):
        marks = [(number(row["x"]), number(row["y"])) for row in rows if row["kind"] == kind]
        if marks:
            xs, ys = zip(*marks, strict=True)
            axes.plot(
                xs,
                ys,
                linestyle="none",
                marker="o",
                markersize=pt(size),
                markeredgewidth=pt(0.25 * size),
                color=color,
                markerfacecolor=face,
                zorder=4 if kind == "tie" else 3,
            )


def _note(axes: Axes, text: str, width: int = 20, size: float = 6.5) -> None:
    axes.text(
        0.5,
        0.5,
        wrapped(text, width, 6),
        transform=axes.transAxes,
        ha="center",
        va="center",
        fontsize=pt(size),
        color=GREY,
    )
    axes.set_xticks([])
    axes.set_yticks([])


def _finite(rows: Sequence[Cells]) -> list[float]:
    return [y for row in rows if math.isfinite(y := number(row["y"]))]


def axis(axes: Axes, rows: Sequence[Cells], lo: float, hi: float, most: float, across: int = 5) -> None:
    """Ranges, few ticks, and the two axes of coordinates as thin lines."""
    axes.set_xlim(lo, hi)
    axes.set_ylim(*_plot_limits(_finite(rows), most))
    few_ticks(axes, across)
    for line in (axes.axhline, axes.axvline):
        line(0, color="#BDBDBD", linewidth=pt(0.6), zorder=1)


def _shade(axes: Axes, table: Table, pair: str) -> bool:
    """The dead zones of B; whether there are any."""
    ends = table.where(pair=pair, kind="dead")
    for a, b in zip(ends[::2], ends[1::2], strict=True):
        axes.axvspan(number(a["x"]), number(b["x"]), linewidth=0, zorder=0, facecolor=_DEAD)
    return bool(ends)


# --------------------------------------------------------------------------- all pairs on one page


def maps(inputs: Inputs) -> Content | None:
    """Forward and backward map of every catalogued pair."""
    if not inputs.catalogue:
        return None
    rows: list[list[Any]] = []
    for entry in inputs.catalogue:
        half = _reach(entry, ("forward", "backward"))
        for name in ("forward", "backward"):
            rows += _map_rows(entry, name, entry[name], -half, half)
        rows += _dead_rows(entry, half)
    names = [str(entry["name"]) for entry in inputs.catalogue]
    return Content(
        "Forward map F (solid) and backward map B (dashed) of every catalogued pair, as functions of the latent weight "
        "x. A filled point is the value stated at a breakpoint, an open point a one-sided limit that is not taken. "
        "Dead zones, the open intervals where B = 0, are shaded. The sign before a name is its verdict. A map that "
        "jumps infinitely often is not drawn." + _cut_words([[*r[:2], f"{r[0]} {r[2]}", *r[3:]] for r in rows]),
        f"Small multiples, one panel per method ({listed(names)}): forward and backward map together.",
        Table.of(_HEADER, rows),
    )


def draw_maps(table: Table) -> Figure:
    """The figure of `maps` from its table: seven methods to a line."""
    from matplotlib.ticker import MaxNLocator

    names = table.values("pair")
    columns = min(7, len(names))
    bands = math.ceil(len(names) / columns)
    figure = new_figure(2, max(0.87 * bands + 0.5, 2.1), solved=False)
    grid = grid_axes(figure, bands, columns, (0.42, 0.08, 0.52, 0.22), (0.24, 0.36))
    wide, high = figure.get_size_inches()
    figure.supxlabel("latent weight $x$", y=pt(0.22) / high, fontsize=pt(7.5), va="bottom")
    figure.supylabel("forward $F(x)$, backward $B(x)$", x=pt(0.04) / wide, fontsize=pt(7.5), va="center")
    for k, axes in enumerate(axes for line in grid for axes in line):
        if k >= len(names):
            axes.axis("off")
            continue
        rows = table.where(pair=names[k])
        sign = GRADE_SIGN[rows[0]["verdict"]]
        axes.set_title(f"{sign} {camel(names[k], 16)}", fontsize=pt(6), pad=pt(2), linespacing=0.95)
        axes.tick_params(labelsize=pt(5.2), length=pt(1.8), pad=pt(1.5))
        parts = {name: [r for r in rows if r["map"] == name] for name in ("forward", "backward")}
        notes = [r["text"] for part in parts.values() for r in part if r["kind"] == "note"]
        drawn = [r for part in parts.values() for r in part if r["kind"] != "note"]
        if not drawn:
            _note(axes, notes[0], 22, 5.5)
            continue
        xs = [number(r["x"]) for r in drawn]
        axis(axes, drawn, min(xs), max(xs), _HIGHEST * max(map(abs, xs)))
        _shade(axes, table, names[k])
        axes.xaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        axes.yaxis.set_major_locator(MaxNLocator(3, steps=[1, 2, 5, 10]))
        for name, part in parts.items():
            draw_map(axes, part, _COLOR[name], _DASH[name], 1.1, 2.2)
        missing = [letter for name, letter in _MAPS if any(r["kind"] == "note" for r in parts[name])]
        if missing:
            words = {"transform": axes.transAxes, "ha": "center", "va": "center", "fontsize": pt(5.5), "color": GREY}
            axes.text(0.5, 0.5, f"{missing[0]} not drawn", bbox={"color": "white", "alpha": 0.8, "pad": pt(1)}, **words)
    grades = [g for g in GRADE_SIGN if table.where(verdict=g)]
    handles = [handle(_COLOR[name], _DASH[name], f"{name} {label}(x)") for name, label in _MAPS]
    handles += [patch("dead zone: B = 0", _DEAD)] if table.where(kind="dead") else []
    handles += [handle("none", "none", f"{GRADE_SIGN[g]} {g}") for g in grades]
    figure.legend(handles=handles, loc="lower center", ncols=len(handles), borderaxespad=0.2, columnspacing=1.2)
    return figure


# --------------------------------------------------------------------------- one pair, taken apart


def pair_of(row: Row, _: Inputs | None = None) -> Content:
    """One pair: with T, P and r where it is principled, else with its witness and its repairs."""
    return _principled(row) if row["verdict"] in _PRINCIPLED else _refuted(row)


def declare_pair(row: Row, name: str, family: str, command: str, source: str) -> Declared:
    """The figure of one pair."""
    title = (
        f"{row['name']}: F = T ∘ P and B = t ∘ P"
        if row["verdict"] in _PRINCIPLED
        else f"{row['name']}: {row['verdict']}"
    )
    return Declared(name, title, (source,), command, 2, partial(pair_of, row), draw_pair, family, row)


def draw_pair(table: Table) -> Figure:
    """A strip of five panels for a principled pair, two panels and a legend for another."""
    return draw_principled(table) if table.rows[0]["verdict"] in _PRINCIPLED else draw_refuted(table)


def _span(rows: Sequence[Sequence[Any]]) -> tuple[float, float]:
    """The range of P on its window, from the rows of its drawing."""
    ys = [row[6] for row in rows if isinstance(row[6], float) and math.isfinite(row[6])]
    return (min(ys), max(ys)) if ys else (-1.5, 1.5)


def _principled(row: Row) -> Content:
    regularizer = row.get("regularizer") or {}
    half = _reach(row, ("forward", "backward", "prox"))
    rows: list[list[Any]] = []
    for key in ("forward", "backward", "prox"):
        rows += _map_rows(row, key, row.get(key), -half, half)
    lo, hi = _span([r for r in rows if r[2] == "prox"])
    width = hi - lo
    if width < 1e-9:
        lo, hi, width = lo - 1, hi + 1, 2.0
    rows += _map_rows(row, "transform", row.get("transform"), lo, hi)
    for key in ("largest", "smallest"):
        rows += _map_rows(row, f"r {key}", regularizer.get(key), lo - 0.12 * width, hi + 0.12 * width)
    rows += _dead_rows(row, half)
    dead = _dead_words(row, rows)
    return Content(
        f"{row['name']}, {row['verdict']}: forward F, backward B, proximal map P, transform T (on the hull of the "
        "range of P) and regularizer r of P at μ = 1: the largest is +∞ where dotted, the smallest where hatched. "
        f"Filled points: values at breakpoints; open points: limits that are not taken.{dead}{_cut_words(rows)}",
        f"Five panels for {row['name']}: forward map, backward map, proximal map, transform, and regularizer.{dead}",
        Table.of(_HEADER, rows),
    )


def draw_principled(table: Table) -> Figure:
    """A strip of five panels, F, B, P, T, r, with one legend below."""
    figure = new_figure(2, 1.92, solved=False)
    panels = grid_axes(figure, 1, 5, (0.36, 0.1, 0.6, 0.24), (0.42, 0.0))[0]
    about = (
        ("forward", "forward $F(x)$", "latent weight $x$"),
        ("backward", "backward $B(x)$", "latent weight $x$"),
        ("prox", "proximal map $P(x)$", "latent weight $x$"),
        ("transform", "transform $T(v)$", "proximal point $v$"),
    )
    for panel, (key, title, label) in zip(panels, about, strict=False):
        panel.set_title(title)
        panel.set_xlabel(label)
        _draw_single(panel, table.where(map=key), _COLOR[key])
    handles = [_dot("stated value", True)] if table.where(kind="tie") else []
    handles += [_dot("limit", False)] if table.where(kind="limit") else []
    noted = any(row["map"] == "backward" and row["kind"] == "note" for row in table.rows)
    if not noted and _shade(panels[1], table, table.rows[0]["pair"]):
        handles.append(patch("dead zone: B = 0", _DEAD))
    handles += _draw_regularizer(panels[4], table)
    if handles:
        figure.legend(
            handles=handles,
            loc="lower center",
            ncols=len(handles),
            borderaxespad=0.2,
            columnspacing=1.2,
            handlelength=1.6,
            fontsize=pt(6.5),
        )
    return figure


def _dot(label: str, filled: bool) -> Any:
    entry = handle(INK, "none", label, "o")
    if not filled:
        entry.set_markerfacecolor("white")
    return entry


def _draw_single(axes: Axes, rows: Sequence[Cells], color: str) -> None:
    """One map in its own axes, over the window that its points span."""
    note = next((row["text"] for row in rows if row["kind"] == "note"), None)
    if note is not None:
        _note(axes, note)
        return
    xs = [number(row["x"]) for row in rows]
    draw_map(axes, rows, color)
    axis(axes, rows, min(xs), max(xs), _HIGHEST * max(map(abs, xs)), 3)


def _draw_regularizer(axes: Axes, table: Table) -> list[Any]:
    """The panel of r; the entries of the legend that it needs."""
    axes.set_title("regularizer $r(v)$")
    axes.set_xlabel("proximal point $v$")
    parts = {key: table.where(map=f"r {key}") for key in ("largest", "smallest")}
    drawn = {key: rows for key, rows in parts.items() if not any(row["kind"] == "note" for row in rows)}
    if not drawn:
        _note(axes, parts["largest"][0]["text"])
        return []
    same = len(drawn) == 2 and len({_shape(rows) for rows in drawn.values()}) == 1
    if same:
        del drawn["smallest"]
    every = [row for rows in drawn.values() for row in rows]
    xs = [number(row["x"]) for row in every]
    lo, hi = min(xs), max(xs)
    handles = []
    for key, (color, dash) in {"largest": (BLACK, "-"), "smallest": (ORANGE, (0, (4, 1.5)))}.items():
        rows = drawn.get(key)
        if rows is None:
            continue
        if key == "smallest":
            # a point that both have is drawn once, in the colour of the largest
            shared = {(r["x"], r["y"]) for r in drawn.get("largest", []) if r["kind"] == "tie"}
            rows = [r for r in rows if r["kind"] != "tie" or (r["x"], r["y"]) not in shared]
        draw_map(axes, rows, color, dash, 1.4 if key == "largest" else 1.6)
        only_points = not any(row["kind"] == "curve" for row in rows)
        label = "r" if same else f"{key} r"
        handles.append(handle(color, "none" if only_points else dash, label, "o" if only_points else ""))
    for key, (face, edge, hatch) in (
        ("largest", (_INFINITE, "#C4B187", "..")),
        ("smallest", ("none", "#B5B5B5", "/////")),
    ):
        # where both are one function, its infinite part is that of the largest and of the smallest
        ends = [row for row in drawn.get(key, drawn["largest"] if same else []) if row["kind"] == "infinite"]
        spans = [(a, b) for a, b in pairwise(ends) if a["piece"] == b["piece"]]
        for a, b in spans:
            axes.axvspan(number(a["x"]), number(b["x"]), lw=0, zorder=0, facecolor=face, edgecolor=edge, hatch=hatch)
        if spans:
            handles.append(patch(f"{key} r = +∞", face, edge, hatch))
    axis(axes, every, lo, hi, 2 * (hi - lo), 3)
    return handles


def _shape(rows: Sequence[Cells]) -> tuple[tuple[str, str, float, float], ...]:
    return tuple((r["kind"], r["piece"], round(number(r["x"]), 9), round(number(r["y"]), 9)) for r in rows)


# --------------------------------------------------------------------------- one pair, refuted


_LEGEND = 26  # letters to a line beside the panels
_REPAIR_STYLES = ((GREEN, (0, (5, 1.8))), (ORANGE, (0, (1.3, 1.1))), (PURPLE, (0, (7, 1.5, 1.5, 1.5))))


def _refuted(row: Row) -> Content:
    repairs = (row.get("repairs") or [])[: len(_REPAIR_STYLES)]
    half = _reach(row, ("forward", "backward"))
    rows: list[list[Any]] = []
    for key in ("forward", "backward"):
        rows += _map_rows(row, key, row[key], -half, half)
        for repair in repairs:
            made = _map_rows(row, f"{key} of {repair['name']}", repair.get(key), -half, half)
            rows += [r for r in made if r[3] != "note"]
    for text in (row.get("witness") or {}).get("points", []):
        try:
            x = to_float(parse_constant(text, "a witness point"))
        except (InputError, Undecided):
            continue  # a point that is no finite constant has no place on the axis; the page states it
        if abs(x) <= half:
            rows.append([row["name"], row["verdict"], "witness", "mark", "", x, "", text])
    rows += _dead_rows(row, half)
    mark = "; vertical lines mark the points of the witness" if any(r[2] == "witness" for r in rows) else ""
    dashed = f"; dashed: {listed([r['name'] for r in repairs])}" if repairs else ""
    dead = _dead_words(row, rows)
    return Content(
        f"{row['name']}, {row['verdict']}: forward F and backward B{dashed}{mark}.{dead}{_cut_words(rows)}",
        f"Two panels for {row['name']}: forward map and backward map, with {len(repairs)} repairs drawn dashed{mark}."
        f"{dead}",
        Table.of(_HEADER, rows),
    )


def draw_refuted(table: Table) -> Figure:
    """F and B with witness points and repairs; the legend has a column of its own."""
    figure = new_figure(2, 1.95, solved=False)
    left, right, legend = grid_axes(figure, 1, 3, (0.4, 0.06, 0.42, 0.24), (0.42, 0.0))[0]
    marks = table.where(kind="mark")
    repairs = [m.removeprefix("forward of ") for m in table.values("map") if m.startswith("forward of ")]
    handles: list[Any] = []
    shaded = False
    for axes, key, title in ((left, "forward", "forward $F(x)$"), (right, "backward", "backward $B(x)$")):
        axes.set_title(title)
        axes.set_xlabel("latent weight $x$")
        every = [row for row in table.rows if row["map"] == key or row["map"].startswith(f"{key} of ")]
        base = table.where(map=key)
        if any(row["kind"] == "note" for row in base):
            _note(axes, base[0]["text"], 34)
            continue
        xs = [number(row["x"]) for row in base]
        axis(axes, every, min(xs), max(xs), _HIGHEST * max(map(abs, xs)))
        for row in marks:
            axes.axvline(number(row["x"]), color=BLACK, linewidth=pt(0.9), linestyle=(0, (1, 2)), zorder=2)
        if key == "backward":
            shaded = _shade(axes, table, table.rows[0]["pair"])
        draw_map(axes, base, _COLOR[key], width=1.8)
        for name, (color, dash) in zip(repairs, _REPAIR_STYLES, strict=False):
            draw_map(axes, table.where(map=f"{key} of {name}"), color, dash, 1.3)
    for key, _ in _MAPS:
        if table.where(map=key, kind="curve"):
            handles.append(handle(_COLOR[key], "-", key))
    for name, (color, dash) in zip(repairs, _REPAIR_STYLES, strict=False):
        handles.append(handle(color, dash, f"repair: {name}", width=_LEGEND))
    if marks:
        words = "witness: x = " + ", ".join(row["text"] for row in marks)
        handles.append(handle(BLACK, (0, (1, 2)), words, width=_LEGEND))
    handles += [patch("dead zone: B = 0", _DEAD)] if shaded else []
    legend.axis("off")
    legend.legend(handles=handles, loc="center left", handlelength=2.6, labelspacing=0.6, borderaxespad=0)
    return figure


__all__ = ["axis", "dead_zones", "declare_pair", "draw_map", "draw_maps", "draw_pair", "maps", "pair_of"]
