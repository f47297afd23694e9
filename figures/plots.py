"""The figures: for each, the table that it is drawn from, and a drawing that sees that table alone.

A drawing takes the cells of its CSV file, as text, so the file beside a picture is what the picture
shows: redrawing from the file gives the same bytes (a test does so).
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from figures import convergence
from figures.convergence import TOLERANCE
from figures.data import HYPOTHESES, TRANSFORMS, Cells, Inputs, Row, Table, number
from figures.parts import MARKS, Plot, handle, listed, slug, wrapped
from figures.sampling import Point, read_map, trace, window
from figures.style import (
    BLACK,
    BLUE,
    FAINT,
    GRADE_SIGN,
    GREEN,
    GREY,
    INK,
    ORANGE,
    PURPLE,
    VERMILLION,
    grade_signs,
    new_figure,
)
from theory.errors import InputError, Undecided
from theory.exact import to_float
from theory.parser import parse_constant

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# --------------------------------------------------------------------------- maps of one pair

_MAP_HEADER = ("pair", "verdict", "map", "kind", "piece", "x", "y", "text")
_MAP_COLOR = {"forward": BLUE, "backward": VERMILLION, "prox": GREEN, "transform": PURPLE}


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


def _draw_map(axes: Axes, rows: Sequence[Cells], color: str, dash: Any = "-", width: float = 1.7) -> None:
    """Curves as lines, stated values as filled points, limits that are not taken as open points."""
    pieces: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        if row["kind"] == "curve":
            pieces.setdefault(row["piece"], []).append((number(row["x"]), number(row["y"])))
    for points in pieces.values():
        xs, ys = zip(*points, strict=True)
        axes.plot(xs, ys, color=color, linestyle=dash, linewidth=width)
    for kind, face in (("limit", "white"), ("tie", color)):
        marks = [(number(row["x"]), number(row["y"])) for row in rows if row["kind"] == kind]
        if marks:
            xs, ys = zip(*marks, strict=True)
            axes.plot(
                xs,
                ys,
                linestyle="none",
                marker="o",
                markersize=4.2,
                markeredgewidth=1.1,
                color=color,
                markerfacecolor=face,
                zorder=4 if kind == "tie" else 3,
            )


def _note(axes: Axes, text: str) -> None:
    axes.text(
        0.5, 0.5, wrapped(text, 24, 6), transform=axes.transAxes, ha="center", va="center", fontsize=7.5, color=GREY
    )
    axes.set_xticks([])
    axes.set_yticks([])


def _finite(rows: Sequence[Cells]) -> list[float]:
    return [y for row in rows if math.isfinite(y := number(row["y"]))]


def _axis(axes: Axes, rows: Sequence[Cells], lo: float, hi: float, most: float) -> None:
    """Ranges, few ticks, and the two axes of coordinates as thin lines."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlim(lo, hi)
    axes.set_ylim(*_plot_limits(_finite(rows), most))
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 2.5, 5, 10]))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 2.5, 5, 10], min_n_ticks=3))
    for line in (axes.axhline, axes.axvline):
        line(0, color="#BDBDBD", linewidth=0.7, zorder=1)


# --------------------------------------------------------------------------- catalogue: F and B side by side


def maps(inputs: Inputs) -> Plot | None:
    """Forward and backward map of every catalogued pair."""
    if not inputs.catalogue:
        return None
    rows: list[list[Any]] = []
    for entry in inputs.catalogue:
        half = _reach(entry, ("forward", "backward"))
        for name in ("forward", "backward"):
            rows += _map_rows(entry, name, entry[name], -half, half)
    names = [str(entry["name"]) for entry in inputs.catalogue]
    return Plot(
        "maps",
        "Forward and backward maps",
        "Forward map F (top) and backward map B (below) of every catalogued pair, as functions of the latent "
        "weight x. A filled point is the value stated at a breakpoint, an open point a one-sided limit that is "
        "not taken. The verdict stands under each name.",
        f"Small multiples, one column per method ({listed(names)}): the forward map above the backward map.",
        Table.of(_MAP_HEADER, rows),
        draw_maps,
    )


def draw_maps(table: Table) -> Figure:
    """The figure of `maps` from its table."""
    names = table.values("pair")
    bands = math.ceil(len(names) / 6)
    columns = math.ceil(len(names) / bands)
    figure = new_figure(1.95 * columns + 0.4, 3.2 * bands)
    # an empty row between two bands keeps a label from the title below it
    grid = figure.add_gridspec(3 * bands - 1, columns, height_ratios=([1.15, 1.0, 0.03] * bands)[:-1])
    for i, name in enumerate(names):
        band, column = divmod(i, columns)
        for k, (kind, label) in enumerate((("forward", "forward $F(x)$"), ("backward", "backward $B(x)$"))):
            axes = figure.add_subplot(grid[3 * band + k, column])
            rows = table.where(pair=name, map=kind)
            if k == 0:
                verdict = rows[0]["verdict"]
                axes.set_title(f"{GRADE_SIGN[verdict]} {verdict}", fontsize=7.5, color=INK, pad=4)
                axes.annotate(
                    wrapped(name, 20),
                    (0.5, 1),
                    (0, 15),
                    xycoords="axes fraction",
                    textcoords="offset points",
                    ha="center",
                    va="bottom",
                    fontweight="bold",
                    fontsize=9.5,
                )
            _draw_single(axes, rows, _MAP_COLOR[kind])
            if column == 0:
                axes.set_ylabel(label)
            if k == 1:
                axes.set_xlabel("latent weight $x$")
            else:
                axes.tick_params(labelbottom=False)
    return figure


def _draw_single(axes: Axes, rows: Sequence[Cells], color: str) -> None:
    """One map in its own axes, over the window that its points span."""
    note = next((row["text"] for row in rows if row["kind"] == "note"), None)
    if note is not None:
        _note(axes, note)
        return
    xs = [number(row["x"]) for row in rows]
    _draw_map(axes, rows, color)
    _axis(axes, rows, min(xs), max(xs), 2 * max(map(abs, xs)))


# --------------------------------------------------------------------------- one pair, taken apart


def pair(row: Row, name: str) -> Plot:
    """One pair: with T, P and r where it is principled, else with its witness and its repairs."""
    if row["verdict"] in ("smooth", "lipschitz"):
        return _principled(row, name)
    return _refuted(row, name)


def _span(rows: Sequence[Sequence[Any]]) -> tuple[float, float]:
    """The range of P on its window, from the rows of its drawing."""
    ys = [row[6] for row in rows if isinstance(row[6], float) and math.isfinite(row[6])]
    return (min(ys), max(ys)) if ys else (-1.5, 1.5)


def _principled(row: Row, name: str) -> Plot:
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
    return Plot(
        name,
        f"{row['name']}: F = T ∘ P and B = t ∘ P",
        f"{row['name']}, {row['verdict']}: forward F, backward B, proximal map P, transform T (on the hull of the "
        "range of P) and regularizer r of P at μ = 1: the largest is +∞ where shaded, the smallest where hatched.",
        f"Five panels for {row['name']}: forward map, backward map, proximal map, transform, and regularizer.",
        Table.of(_MAP_HEADER, rows),
        draw_principled,
    )


def draw_principled(table: Table) -> Figure:
    """A strip of five panels: F, B, P, T, r."""
    figure = new_figure(11, 2.45)
    axes = figure.subplots(1, 5)
    panels = (
        ("forward", "forward $F(x)$", "latent weight $x$"),
        ("backward", "backward $B(x)$", "latent weight $x$"),
        ("prox", "proximal map $P(x)$", "latent weight $x$"),
        ("transform", "transform $T(v)$", "proximal point $v$"),
    )
    for panel, (key, title, label) in zip(axes, panels, strict=False):
        panel.set_title(title)
        panel.set_xlabel(label)
        _draw_single(panel, table.where(map=key), _MAP_COLOR[key])
    _draw_regularizer(axes[4], table)
    return figure


def _draw_regularizer(axes: Axes, table: Table) -> None:
    axes.set_title("regularizer $r(v)$")
    axes.set_xlabel("proximal point $v$")
    parts = {key: table.where(map=f"r {key}") for key in ("largest", "smallest")}
    drawn = {key: rows for key, rows in parts.items() if not any(row["kind"] == "note" for row in rows)}
    if not drawn:
        _note(axes, parts["largest"][0]["text"])
        return
    same = len(drawn) == 2 and len({_shape(rows) for rows in drawn.values()}) == 1
    if same:
        del drawn["smallest"]
    every = [row for rows in drawn.values() for row in rows]
    xs = [number(row["x"]) for row in every]
    lo, hi = min(xs), max(xs)
    bottom, top = _plot_limits(_finite(every), 2 * (hi - lo))
    for key, (color, dash) in {"largest": (BLACK, "-"), "smallest": (ORANGE, (0, (4, 1.5)))}.items():
        rows = drawn.get(key)
        if rows is None:
            continue
        if key == "smallest":
            # a point that both have is drawn once, in the colour of the largest
            shared = {(r["x"], r["y"]) for r in drawn.get("largest", []) if r["kind"] == "tie"}
            rows = [r for r in rows if r["kind"] != "tie" or (r["x"], r["y"]) not in shared]
        _draw_map(axes, rows, color, dash, 1.7 if key == "largest" else 1.9)
        label = "largest = smallest" if same else key
        only_points = not any(row["kind"] == "curve" for row in rows)
        axes.plot(
            [],
            [],
            color=color,
            linestyle="none" if only_points else dash,
            marker="o" if only_points else "",
            markersize=4.2,
            label=label,
        )
    for key, (face, edge, hatch) in (
        ("largest", ("#EFEFEF", "none", "")),
        ("smallest", ("none", "#B5B5B5", "////")),
    ):
        # where both are one function, its infinite part is that of the largest and of the smallest
        ends = [row for row in drawn.get(key, drawn["largest"] if same else []) if row["kind"] == "infinite"]
        for a, b in pairwise(ends):
            if a["piece"] == b["piece"]:
                axes.axvspan(
                    number(a["x"]), number(b["x"]), lw=0, zorder=0, facecolor=face, edgecolor=edge, hatch=hatch
                )
    _axis(axes, every, lo, hi, 2 * (hi - lo))
    axes.set_ylim(bottom, top + 0.42 * (top - bottom))  # room for the legend above the curves
    axes.legend(loc="upper center", handlelength=1.8, borderaxespad=0.1, labelspacing=0.2, fontsize=7)


def _shape(rows: Sequence[Cells]) -> tuple[tuple[str, str, float, float], ...]:
    return tuple((r["kind"], r["piece"], round(number(r["x"]), 9), round(number(r["y"]), 9)) for r in rows)


_REPAIR_STYLES = ((GREEN, (0, (5, 1.8))), (ORANGE, (0, (1.3, 1.1))), (PURPLE, (0, (7, 1.5, 1.5, 1.5))))


def _refuted(row: Row, name: str) -> Plot:
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
    mark = "; vertical lines mark the points of the witness" if any(r[2] == "witness" for r in rows) else ""
    dashed = f"; dashed: {listed([r['name'] for r in repairs])}" if repairs else ""
    return Plot(
        name,
        f"{row['name']}: {row['verdict']}",
        f"{row['name']}, {row['verdict']}: forward F and backward B{dashed}{mark}.",
        f"Two panels for {row['name']}: forward map and backward map, with {len(repairs)} repairs drawn dashed{mark}.",
        Table.of(_MAP_HEADER, rows),
        draw_refuted,
    )


def draw_refuted(table: Table) -> Figure:
    """F and B with witness points and repairs; the legend has a column of its own."""
    figure = new_figure(9.2, 2.75)
    left, right, legend = figure.subplots(1, 3, width_ratios=[1, 1, 0.85])
    marks = table.where(kind="mark")
    repairs = [m.removeprefix("forward of ") for m in table.values("map") if m.startswith("forward of ")]
    handles: list[Any] = []
    for axes, key, title in ((left, "forward", "forward $F(x)$"), (right, "backward", "backward $B(x)$")):
        axes.set_title(title)
        axes.set_xlabel("latent weight $x$")
        every = [row for row in table.rows if row["map"] == key or row["map"].startswith(f"{key} of ")]
        base = table.where(map=key)
        if any(row["kind"] == "note" for row in base):
            _note(axes, base[0]["text"])
            continue
        xs = [number(row["x"]) for row in base]
        _axis(axes, every, min(xs), max(xs), 2 * max(map(abs, xs)))
        for row in marks:
            axes.axvline(number(row["x"]), color=BLACK, linewidth=1, linestyle=(0, (1, 2)), zorder=2)
        _draw_map(axes, base, _MAP_COLOR[key], width=2.2)
        for name, (color, dash) in zip(repairs, _REPAIR_STYLES, strict=False):
            _draw_map(axes, table.where(map=f"{key} of {name}"), color, dash, 1.5)
    handles.append(handle(BLUE, "-", "forward"))
    handles.append(handle(VERMILLION, "-", "backward"))
    handles += [handle(c, d, f"repair: {name}") for name, (c, d) in zip(repairs, _REPAIR_STYLES, strict=False)]
    if marks:
        handles.append(handle(BLACK, (0, (1, 2)), "witness: x = " + ", ".join(row["text"] for row in marks)))
    legend.axis("off")
    legend.legend(handles=handles, loc="center left", handlelength=2.6, labelspacing=0.7, borderaxespad=0)
    return figure


# --------------------------------------------------------------------------- networks


_CURVE_HEADER = ("method", "verdict", "epoch", "kind", "mean", "std", "seeds")


def _verdicts(inputs: Inputs) -> dict[str, str]:
    return {row["method"]: row["verdict"] for row in inputs.networks.rows}


def curves(inputs: Inputs) -> Plot | None:
    """Mean and standard deviation over seeds of the test accuracy, soft and hard, against the epoch."""
    if not inputs.has_networks:
        return None
    verdicts = _verdicts(inputs)
    rows: list[list[Any]] = []
    for method in inputs.curves.values("method"):
        by_epoch: dict[str, list[Cells]] = {}
        for row in inputs.curves.where(method=method):
            by_epoch.setdefault(row["epoch"], []).append(row)
        for kind in ("hard", "soft"):
            for epoch, group in by_epoch.items():
                values = [number(row[f"{kind}_accuracy"]) for row in group]
                # of one seed: no spread is drawn
                std = statistics.stdev(values) if len(values) > 1 else 0.0
                mean = statistics.fmean(values)
                rows.append([method, verdicts.get(method, ""), int(number(epoch)), kind, mean, std, len(values)])
    methods = inputs.curves.values("method")
    seeds = len(inputs.curves.values("seed"))
    return Plot(
        "curves",
        "Training curves",
        f"Test accuracy against epoch, mean and standard deviation over {seeds} seeds. Hard: weights replaced by the "
        "sign of F (what would be deployed); soft: the network as it is trained. Grey: the other methods, hard.",
        f"Small multiples of accuracy against epoch for {listed(methods)}, hard and soft.",
        Table.of(_CURVE_HEADER, rows),
        draw_curves,
    )


def draw_curves(table: Table) -> Figure:
    """One panel per method, the others in grey behind it."""
    from matplotlib.ticker import MaxNLocator

    methods = table.values("method")
    columns = min(3, len(methods))
    rows = math.ceil(len(methods) / columns)
    figure = new_figure(3.1 * columns + 0.3, 2.5 * rows + 0.5)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    lows = []
    for i, axes in enumerate(grid.flat):
        if i >= len(methods):
            axes.axis("off")
            continue
        for other in methods:
            if other != methods[i]:
                xs, ys, _ = _series(table, other, "hard")
                axes.plot(xs, ys, color=FAINT, linewidth=1)
        # quantizers with two values are hard already: one curve, and words that say so
        same = _series(table, methods[i], "soft") == _series(table, methods[i], "hard")
        if same:
            axes.annotate("soft = hard", (0.97, 0.05), xycoords="axes fraction", ha="right", fontsize=8)
        for kind, color, dash, marker in (("soft", ORANGE, (0, (5, 2)), "s"), ("hard", BLUE, "-", "o")):
            if same and kind == "soft":
                continue
            xs, ys, std = _series(table, methods[i], kind)
            axes.fill_between(
                xs,
                [y - s for y, s in zip(ys, std, strict=True)],
                [y + s for y, s in zip(ys, std, strict=True)],
                color=color,
                alpha=0.22,
                linewidth=0,
            )
            axes.plot(
                xs, ys, color=color, linestyle=dash, marker=marker, markersize=3.6, markevery=max(1, len(xs) // MARKS)
            )
            lows += ys[len(ys) // 4 :]
        verdict = table.where(method=methods[i])[0]["verdict"]
        axes.set_title(wrapped(f"{methods[i]}   {grade_signs(verdict)} {verdict}", 40))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if i % columns == 0:
            axes.set_ylabel("test accuracy (%)")
        if i + columns >= len(methods):
            axes.set_xlabel("epoch")
            axes.tick_params(labelbottom=True)
    # the first quarter of the epochs may leave the frame below, so that the end can be read
    grid[0, 0].set_ylim(max(0.0, min(lows, default=0.0) - 4), 101)
    handles = [
        handle(BLUE, "-", "hard (quantized)", "o"),
        handle(ORANGE, (0, (5, 2)), "soft (as trained)", "s"),
        handle("#BDBDBD", "-", "other methods, hard"),
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=3)
    return figure


def _series(table: Table, method: str, kind: str) -> tuple[list[float], list[float], list[float]]:
    """Epochs, mean and standard deviation in percent."""
    rows = table.where(method=method, kind=kind)
    return (
        [number(r["epoch"]) for r in rows],
        [100 * number(r["mean"]) for r in rows],
        [100 * number(r["std"]) for r in rows],
    )


_ACCURACY_HEADER = ("method", "verdict", "seed", "hard", "hard_std", "soft", "soft_std")


def accuracy(inputs: Inputs) -> Plot | None:
    """Final test accuracy: mean and standard deviation over seeds, and every seed."""
    if not inputs.has_networks:
        return None
    rows: list[list[Any]] = []
    summary = sorted(inputs.networks.rows, key=lambda r: -number(r["hard_mean"]))
    for r in summary:
        cells = [number(r[k]) for k in ("hard_mean", "hard_std", "soft_mean", "soft_std")]
        rows.append([r["method"], r["verdict"], "all", *cells])
        last: dict[str, Cells] = {}
        for c in inputs.curves.where(method=r["method"]):
            if c["seed"] not in last or number(c["epoch"]) > number(last[c["seed"]]["epoch"]):
                last[c["seed"]] = c
        for seed, c in last.items():
            rows.append(
                [r["method"], r["verdict"], seed, number(c["hard_accuracy"]), "", number(c["soft_accuracy"]), ""]
            )
    best = summary[0]
    return Plot(
        "accuracy",
        "Final accuracy of the quantized network",
        "Test accuracy after the last epoch: mean and standard deviation over seeds (large points with bars), every "
        "seed (small grey points), and the network as trained, before hardening (open squares).",
        f"Dot plot of final accuracy, best first: {best['method']} at {100 * number(best['hard_mean']):.1f} percent.",
        Table.of(_ACCURACY_HEADER, rows),
        draw_accuracy,
    )


def draw_accuracy(table: Table) -> Figure:
    """One line per method, the best on top."""
    methods = table.values("method")
    figure = new_figure(7.2, 0.46 * len(methods) + 1.5)
    axes = figure.subplots()
    places = range(len(methods) - 1, -1, -1)
    everything: list[float] = []
    for y, method in zip(places, methods, strict=True):
        for row in table.where(method=method):
            hard, soft = 100 * number(row["hard"]), 100 * number(row["soft"])
            everything += [v for v in (hard, soft) if math.isfinite(v)]
            if row["seed"] != "all":
                axes.plot(hard, y - 0.2, linestyle="none", marker=".", markersize=4, color=GREY)
                continue
            std = 100 * number(row["hard_std"])
            axes.plot(
                soft,
                y,
                linestyle="none",
                marker="s",
                markersize=6.5,
                color=ORANGE,
                markerfacecolor="white",
                markeredgewidth=1.3,
            )
            known = math.isfinite(std)  # one seed has no standard deviation
            axes.errorbar(
                hard, y, xerr=std if known else None, color=BLUE, marker="o", markersize=5.5, capsize=3, linewidth=1.4
            )
            axes.annotate(
                f"{hard:.1f} ± {std:.1f}" if known else f"{hard:.1f}",
                (1.02, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=8,
                annotation_clip=False,
            )
    verdicts = {row["method"]: row["verdict"] for row in table.rows}
    labels = [f"{wrapped(m, 24)}  {grade_signs(verdicts[m])}" for m in methods]
    axes.set_yticks(list(places), labels)
    axes.set_ylim(-0.6, len(methods) - 0.4)
    lo, hi = min(everything), max(everything)
    pad = max(1.0, 0.12 * (hi - lo))
    axes.set_xlim(lo - pad, min(hi + pad, 100.5) if hi <= 100 else hi + pad)
    axes.set_xlabel("test accuracy after the last epoch (%)")
    handles = [
        handle(BLUE, "none", "hard, mean ± std", "o"),
        handle(ORANGE, "none", "soft, mean", "s"),
        handle(GREY, "none", "hard, each seed", "."),
    ]
    handles[1].set_markerfacecolor("white")
    grades = [f"{GRADE_SIGN[g]} {g}" for g in GRADE_SIGN if any(g in v.split("/") for v in verdicts.values())]
    axes.set_title("   ".join(grades), fontsize=8, loc="left")
    figure.legend(handles=handles, loc="outside lower center", ncols=3, handlelength=1.5)
    return figure


# --------------------------------------------------------------------------- all of them


SINGLE: dict[str, tuple[Callable[[Inputs], Plot | None], str]] = {
    "maps": (maps, "paper"),
    "convergence": (convergence.gaps, "converge"),
    "bounds": (convergence.bounds, "converge"),
    "residual": (convergence.residual, "converge"),
    "plane": (convergence.plane, "converge"),
    "tightness": (convergence.tightness, "worst-case"),
    "hypotheses": (convergence.hypotheses, HYPOTHESES),
    "negative": (convergence.negative, TRANSFORMS),
    "ledger": (convergence.ledger, "converge"),
    "curves": (curves, "train"),
    "accuracy": (accuracy, "train"),
}
"""The figures that are one of a kind, each with the sub-command that makes its data."""


def pair_names(inputs: Inputs) -> list[str]:
    """The figure name of every catalogued and then every synthesized pair, no two alike."""
    found: list[str] = []
    for prefix, rows in (("pair", inputs.catalogue), ("synthesized", inputs.synthesized)):
        for row in rows:
            name = base = f"{prefix}-{slug(row['name'])}"
            again = 2
            while name in found:
                name, again = f"{base}-{again}", again + 1
            found.append(name)
    return found


def names(inputs: Inputs) -> list[str]:
    """The names of all figures that these inputs can have."""
    return [*SINGLE, *pair_names(inputs)]


def build(inputs: Inputs, name: str) -> Plot | None:
    """The figure of that name, or None where its data are not there. Raises `InputError` on another name."""
    if name in SINGLE:
        return SINGLE[name][0](inputs)
    rows = dict(zip(pair_names(inputs), [*inputs.catalogue, *inputs.synthesized], strict=True))
    if name not in rows:
        raise InputError(f"no figure is called {name[:60]!r}; there are {', '.join(names(inputs))}")
    return pair(rows[name], name)


__all__ = ["SINGLE", "TOLERANCE", "Plot", "Point", "build", "names", "pair_names", "slug"]
