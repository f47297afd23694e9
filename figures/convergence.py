"""The figures of the convex runs: gaps and bounds, the ledger, the residual, trajectories, worst cases.

Like those of `figures.plots`, each is a table and a drawing that sees that table alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from figures.data import Cells, Inputs, Table, number
from figures.parts import MARKS, Content, dash_text, handle, legend_below, listed, style_of, style_texts, thin, wrapped
from figures.style import BLACK, BLUE, GREEN, GREY, INK, SKY, VERMILLION, LineStyle, new_figure, pt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TOLERANCE = 1e-12
"""Largest closure error that a ledger in float64 may have, relative to the sum of absolute terms."""
_FLOOR = 1e-18  # where an error of exactly 0 is drawn on a logarithmic axis
_LEAST_GAP = 1e-10  # gaps below it, 0 and less among them, are drawn at the lower edge


# --------------------------------------------------------------------------- convergence


_CONVERGENCE_HEADER = ("problem", "method", "style", "quantity", "step", "value")


def gaps(inputs: Inputs) -> Content | None:
    """Best gap of every run with a ledger; mean gap and its bound where there is a bound."""
    if not inputs.has_convergence or not inputs.ledgers:
        return None
    methods = list(dict.fromkeys(method for _, method in inputs.ledgers))
    styles = style_texts(methods, inputs.order)
    rows: list[list[Any]] = []
    bounded: list[str] = []
    for (problem, method), table in inputs.ledgers.items():
        quantities = ["gap_best"]
        if math.isfinite(number(table.rows[-1]["bound"])):
            quantities += ["gap_mean", "bound"]
            bounded.append(method)
        for quantity in quantities:
            for i in thin(len(table.rows)):
                step, value = (number(table.rows[i][key]) for key in ("step", quantity))
                rows.append([problem, method, styles[method], quantity, int(step), value])
    problems = list(dict.fromkeys(problem for problem, _ in inputs.ledgers))
    return Content(
        "Top: gap of the best iterate to the comparator. Below, for the runs with a bound: the step-weighted mean of "
        "the gaps (with markers) and the bound of identity (I) on it (thin, no markers). One column per problem. "
        "Gaps of 0 or less, the comparator reached or beaten, and gaps too small for the axis are drawn at its edge.",
        f"Logarithmic plots against the step for {listed(problems)}: best gap of "
        f"{listed(methods)}; mean gap and bound of {listed(list(dict.fromkeys(bounded)))}.",
        Table.of(_CONVERGENCE_HEADER, rows),
    )


def draw_gaps(table: Table) -> Figure:
    """Columns: problems. Rows: best gap of all methods; mean gap and bound of those that have one."""
    problems, methods = table.values("problem"), table.values("method")
    styles = {row["method"]: style_of(row["style"]) for row in table.rows}
    quantities = [["gap_best"]]
    if table.where(quantity="bound"):
        quantities.append(["bound", "gap_mean"])
    names = ("gap of the best iterate", "mean gap and its bound")
    figure = new_figure(2, 1.9 * len(quantities) + 0.5)
    grid = figure.subplots(len(quantities), len(problems), squeeze=False, sharex=True, sharey="row")
    for k, wanted in enumerate(quantities):
        values = [number(row["value"]) for row in table.rows if row["quantity"] in wanted]
        positive = _positive(values)
        # gaps of 0 lie visibly below every gap that is drawn at its value
        floor = max(min(positive, default=1.0) / (10 if len(positive) < len(values) else 1), _LEAST_GAP)
        for column, problem in enumerate(problems):
            axes = grid[k, column]
            for method in methods:
                for quantity in wanted:
                    rows = table.where(problem=problem, method=method, quantity=quantity)
                    _gap_line(axes, rows, styles[method], floor)
            axes.set_xscale("log")
            axes.set_yscale("log")
            axes.set_ylim(floor / 1.6, 2 * max(positive, default=1.0))
            if k == 0:
                axes.set_title(wrapped(problem, 40))
            if column == 0:
                axes.set_ylabel(names[k])
            if k == len(quantities) - 1:
                axes.set_xlabel("step $t$")
    handles = [handle(styles[m].color, styles[m].dash, m, styles[m].marker) for m in methods]
    if len(quantities) > 1:
        handles.append(handle(GREY, "-", "bound (thin, no markers)"))
        handles[-1].set_linewidth(pt(0.9))
    legend_below(figure, handles, 3.4)
    return figure


def _gap_line(axes: Axes, rows: Sequence[Cells], style: LineStyle, floor: float) -> None:
    points = [(number(r["step"]), max(v, floor)) for r in rows if math.isfinite(v := number(r["value"]))]
    if not points:
        return
    xs, ys = zip(*points, strict=True)
    bound = rows[0]["quantity"] == "bound"
    every = max(1, len(xs) // MARKS)
    axes.plot(
        xs,
        ys,
        color=style.color,
        linestyle=style.dash,
        linewidth=pt(0.8 if bound else 1.4),
        marker="" if bound else style.marker,
        markersize=pt(4),
        markevery=every,
    )


# --------------------------------------------------------------------------- ledger


_LEDGER_HEADER = ("part", "run", "style", "position", "largest_closure_error")


def ledger(inputs: Inputs) -> Content | None:
    """The largest closure error so far of every ledger."""
    rows: list[list[Any]] = []
    if inputs.has_convergence:
        names = list(dict.fromkeys(method for _, method in inputs.ledgers))
        styles = style_texts(names, inputs.order)
        for (problem, method), table in inputs.ledgers.items():
            errors = _running_maximum([number(r["closure_error"]) for r in table.rows])
            for i in thin(len(errors), 80):
                step = int(number(table.rows[i]["step"]))
                rows.append([problem, method, styles[method], step, errors[i]])
    if inputs.has_networks:
        table = inputs.network_ledger
        names = table.values("method")
        styles = style_texts(names, inputs.order)
        for method in names:
            per_epoch: dict[str, list[float]] = {}
            for r in table.where(method=method):
                per_epoch.setdefault(r["epoch"], []).append(number(r["closure_error"]))
            largest = _running_maximum([_running_maximum(errors)[-1] for errors in per_epoch.values()])
            for epoch, error in zip(per_epoch, largest, strict=True):
                rows.append(["networks", method, styles[method], int(number(epoch)), error])
    if not rows:
        return None
    table = Table.of(_LEDGER_HEADER, rows)
    worst = _running_maximum([row[4] for row in rows])[-1]
    return Content(
        "Largest closure error of identity (I) so far: the difference of its two sides over the sum of the absolute "
        f"values of all terms so far. The line at {TOLERANCE:g} is the tolerance; "
        + ("an error is no number: that ledger broke. " if math.isnan(worst) else f"the largest error is {worst:.1e}. ")
        + "Errors that are exactly 0 are drawn at the lower edge.",
        f"Closure error against step or epoch for {listed(table.values('part'))}; the curves lie "
        f"{'below' if worst <= TOLERANCE else 'not all below'} the tolerance {TOLERANCE:g}.",
        table,
    )


def _running_maximum(errors: Sequence[float]) -> list[float]:
    """Largest value so far; NaN, once met, stays (a ledger that breaks must not look closed)."""
    out: list[float] = []
    for e in errors:
        before = out[-1] if out else 0.0
        out.append(math.nan if math.isnan(e) or math.isnan(before) else max(before, e))
    return out


def draw_ledger(table: Table) -> Figure:
    """One panel per problem and one for the networks."""
    parts = table.values("part")
    figure = new_figure(2, 2.75)
    panels = figure.subplots(1, len(parts), squeeze=False, sharey=True)[0]
    runs = table.values("run")
    styles = {row["run"]: style_of(row["style"]) for row in table.rows}
    largest = max(_positive([number(row["largest_closure_error"]) for row in table.rows]), default=0.0)
    for axes, part in zip(panels, parts, strict=True):
        for run in runs:
            points = [
                (number(r["position"]), max(number(r["largest_closure_error"]), _FLOOR))
                for r in table.where(part=part, run=run)
            ]
            if points:
                xs, ys = zip(*points, strict=True)
                s = styles[run]
                axes.plot(
                    xs,
                    ys,
                    color=s.color,
                    linestyle=s.dash,
                    marker=s.marker,
                    markersize=pt(4),
                    markevery=max(1, len(xs) // 6),
                )
        axes.axhline(TOLERANCE, color=INK, linewidth=pt(1.1))
        axes.annotate(
            f"tolerance {TOLERANCE:g}",
            (0.02, TOLERANCE),
            (0, pt(3)),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            fontsize=pt(6.5),
        )
        axes.set_yscale("log")
        axes.set_ylim(_FLOOR / 2, max(10 * TOLERANCE, 3 * largest))
        axes.set_title(wrapped(part, 36))
        if part == "networks":
            axes.set_xlabel("epoch")
        else:
            axes.set_xscale("log")
            axes.set_xlabel("step $t$")
    panels[0].set_ylabel("largest closure error so far")
    handles = [handle(styles[r].color, styles[r].dash, r, styles[r].marker) for r in runs]
    legend_below(figure, handles, 3.2)
    return figure


# --------------------------------------------------------------------------- bounds


_BOUNDS_HEADER = ("problem", "method", "iterate", "style", "step", "gap", "bound", "ratio")
_CONVEX_ITERATES = (
    ("best, convex bound", "gap_best", "bound_convex", LineStyle(BLUE, (0, (5, 2)), "s")),
    ("average, convex bound", "gap_average", "bound_convex", LineStyle(VERMILLION, (0, (1.2, 1.2)), "D")),
    ("average of v_{t+1}, smooth bound", "gap_average_next", "bound_smooth", LineStyle(GREEN, "-", "v")),
)
_RESIDUAL_ITERATES = (
    ("best, residual bound", "gap_best", "bound", LineStyle(SKY, (0, (2.5, 1)), "X")),
    ("mean of values, residual bound", "gap_mean", "bound", LineStyle(BLACK, "-", "o")),
)
_REPRESENTATIVE = ("FP", "MD-tanh", "BC", "PC")


def _last(table: Table, column: str) -> float:
    return number(table.rows[-1][column])


def bounds(inputs: Inputs) -> Content | None:
    """Gap, bound and their ratio for a few runs: with convex r both corollaries, else the bound with the residual."""
    if not inputs.has_convergence:
        return None
    bounded = {run: table for run, table in inputs.ledgers.items() if math.isfinite(_last(table, "bound"))}
    # the usual methods on the first problem that has them, else whatever has a bound
    chosen = [run for m in _REPRESENTATIVE if (run := next((r for r in bounded if r[1] == m), None))]
    chosen = chosen or list(bounded)[:3]
    if not chosen:
        return None
    rows: list[list[Any]] = []
    for problem, method in chosen:
        table = bounded[problem, method]
        convex = math.isfinite(_last(table, "bound_convex"))
        for iterate, gap, bound, style in _CONVEX_ITERATES if convex else _RESIDUAL_ITERATES:
            if not math.isfinite(_last(table, bound)):
                continue
            for i in thin(len(table.rows)):
                step, left, right = (number(table.rows[i][key]) for key in ("step", gap, bound))
                if math.isfinite(left) and math.isfinite(right):
                    ratio = left / right if right > 0 else math.nan
                    rows.append(
                        [
                            problem,
                            method,
                            iterate,
                            f"{style.color} {style.marker} {dash_text(style)}",
                            int(step),
                            left,
                            right,
                            ratio,
                        ]
                    )
    return Content(
        "Top: gap of an iterate (with markers) and the bound on it (thin, same colour, no markers). Below: their "
        "ratio, at most 1 where the statement holds. With convex r: best and averaged iterate with the convex "
        "corollary, the average of the next points with the smooth one. Else: best value and mean of the values with "
        "the bound that contains the residual. Gaps of 0 or less, and gaps too small for the axis, lie at its edge.",
        f"Log-log plots of gap and bound against the step, and of their ratio, for "
        f"{listed([f'{method} on {problem}' for problem, method in chosen])}.",
        Table.of(_BOUNDS_HEADER, rows),
    )


def draw_bounds(table: Table) -> Figure:
    """Columns: runs. Rows: gap and bound; their ratio."""
    runs = list(dict.fromkeys((row["problem"], row["method"]) for row in table.rows))
    styles = {row["iterate"]: style_of(row["style"]) for row in table.rows}
    figure = new_figure(2, 3.7)
    grid = figure.subplots(2, len(runs), squeeze=False, sharex=True, sharey="row", height_ratios=[1.5, 1])
    floors = {key: _floor([number(row[key]) for row in table.rows]) for key in ("gap", "ratio")}
    top = max(_positive([number(row[key]) for row in table.rows for key in ("gap", "bound")]), default=1.0)
    most = max(_positive([number(row["ratio"]) for row in table.rows]), default=1.0)
    for column, (problem, method) in enumerate(runs):
        for iterate, style in styles.items():
            rows = table.where(problem=problem, method=method, iterate=iterate)
            if not rows:
                continue
            steps = [number(r["step"]) for r in rows]
            marked: dict[str, Any] = {"color": style.color, "linestyle": style.dash, "marker": style.marker}
            marked |= {"markersize": pt(3.4), "markevery": max(1, len(steps) // MARKS)}
            for k, key in enumerate(("gap", "ratio")):
                grid[k, column].plot(steps, [max(number(r[key]), floors[key]) for r in rows], **marked)
            grid[0, column].plot(steps, [number(r["bound"]) for r in rows], color=style.color, linewidth=pt(0.9))
        grid[1, column].axhline(1, color=INK, linewidth=pt(1.1))
        grid[0, column].set_title(wrapped(f"{method}, {problem}", 32))
        grid[1, column].set_xlabel("step $t$")
        for axes in grid[:, column]:
            axes.set_xscale("log")
            axes.set_yscale("log")
    grid[0, 0].set_ylim(floors["gap"] / 1.6, 2 * top)
    grid[1, 0].set_ylim(floors["ratio"] / 1.6, max(3.0, 2 * most))
    grid[0, 0].set_ylabel("gap and bound")
    grid[1, 0].set_ylabel("gap / bound")
    handles = [handle(s.color, s.dash, name.replace("v_{t+1}", "next v"), s.marker) for name, s in styles.items()]
    handles.append(handle(GREY, "-", "bound (thin, no markers)"))
    handles[-1].set_linewidth(pt(0.9))
    legend_below(figure, handles, 3.2)
    return figure


def _positive(values: Sequence[float]) -> list[float]:
    """Those that have a place on a logarithmic axis."""
    return [v for v in values if 0 < v < math.inf]


def _floor(values: Sequence[float]) -> float:
    """Where values of 0 or less are drawn on a logarithmic axis: visibly below all others, but not far below."""
    positive = _positive(values)
    least = min(positive, default=1.0)
    return max(least / (10 if len(positive) < len(values) else 1), 1e-6 * max(positive, default=1.0), _LEAST_GAP)


# --------------------------------------------------------------------------- residual and flips


_RESIDUAL_HEADER = ("problem", "method", "style", "step", "residual", "flips_per_step")
_FLIPPING = ("BC", "PC", "BNN")


def residual(inputs: Inputs) -> Content | None:
    """The computable residual of nonconvex r, and how often signs flip."""
    if not inputs.has_convergence:
        return None
    nonconvex = {(r["problem"], r["method"]) for r in inputs.convergence.rows if r["regularizer"] == "nonconvex"}
    chosen = [run for run in inputs.ledgers if run[1] in _FLIPPING] or [r for r in inputs.ledgers if r in nonconvex]
    if not chosen:
        return None
    methods = list(dict.fromkeys(method for _, method in chosen))
    styles = style_texts(methods, inputs.order)
    rows: list[list[Any]] = []
    for problem, method in chosen:
        table = inputs.ledgers[problem, method]
        for i in thin(len(table.rows)):
            step, value, flips = (number(table.rows[i][key]) for key in ("step", "residual", "flips"))
            rows.append([problem, method, styles[method], int(step), value, flips / step])
    problems = list(dict.fromkeys(problem for problem, _ in chosen))
    return Content(
        "Top: the residual sum of D(t+1)(v_t) over the sum of the step sizes, which the bound for nonconvex r "
        "contains. Below: sign flips of coordinates of v per step so far. The bound can stay away from 0 only while "
        "flips keep a share of the step sizes. Values of 0 lie at the lower edge.",
        f"Log-log plots of the residual and of flips per step against the step for {listed(methods)} on "
        f"{listed(problems)}.",
        Table.of(_RESIDUAL_HEADER, rows),
    )


def draw_residual(table: Table) -> Figure:
    """Columns: problems. Rows: residual; flips per step."""
    problems, methods = table.values("problem"), table.values("method")
    styles = {row["method"]: style_of(row["style"]) for row in table.rows}
    figure = new_figure(2, 3.3)
    grid = figure.subplots(2, len(problems), squeeze=False, sharex=True, sharey="row")
    for k, (key, label) in enumerate((("residual", "residual"), ("flips_per_step", "flips per step"))):
        floor = _floor([number(row[key]) for row in table.rows])
        for column, problem in enumerate(problems):
            axes = grid[k, column]
            for method in methods:
                rows = table.where(problem=problem, method=method)
                points = [(number(r["step"]), max(number(r[key]), floor)) for r in rows]
                if points:
                    _line(axes, points, styles[method])
            axes.set_xscale("log")
            axes.set_yscale("log")
            if k == 0:
                axes.set_title(wrapped(problem, 32))
            else:
                axes.set_xlabel("step $t$")
        grid[k, 0].set_ylabel(label)
    handles = [handle(styles[m].color, styles[m].dash, m, styles[m].marker) for m in methods]
    legend_below(figure, handles, 3.2)
    return figure


def _line(axes: Axes, points: Sequence[tuple[float, float]], style: LineStyle) -> None:
    xs, ys = zip(*points, strict=True)
    every = max(1, len(xs) // MARKS)
    axes.plot(xs, ys, color=style.color, linestyle=style.dash, marker=style.marker, markersize=pt(4), markevery=every)


# --------------------------------------------------------------------------- trajectories in the plane


_PLANE_HEADER = ("method", "kind", "step", "x", "y")
_LEVELS = (0.02, 0.1, 0.3, 0.7, 1.4, 2.4, 3.8)
"""Heights of the contours of f."""


def plane(inputs: Inputs) -> Content | None:
    """Latent, proximal and quantized points of a few methods over the contours of f."""
    if not inputs.has_convergence:
        return None
    from verify.problems import problem

    of = problem("plane")
    assert of.rational is not None  # a quadratic by its declaration
    hessian = np.array(of.rational[0], dtype=float)
    size, axes = np.linalg.eigh(hessian)
    turn = np.linspace(0.0, 2 * math.pi, 73)
    circle = np.stack([np.cos(turn), np.sin(turn)])
    rows: list[list[Any]] = [["", "minimiser", 0, *map(float, of.minimiser)]]
    for level in _LEVELS:
        # (w - c)'H(w - c)/2 = level: an ellipse, known without a grid
        curve = of.minimiser[:, None] + axes @ (np.sqrt(2 * level / size)[:, None] * (axes.T @ circle))
        rows += [["", f"contour {level:g}", k, float(x), float(y)] for k, (x, y) in enumerate(curve.T)]
    for r in inputs.plane.rows:
        points = {kind: (number(r[f"{kind}1"]), number(r[f"{kind}2"])) for kind in "uvw"}
        if points["w"] == points["v"]:
            del points["v"]  # T = id here: one point
        rows += [[r["method"], kind, int(number(r["step"])), *xy] for kind, xy in points.items()]
    methods = inputs.plane.values("method")
    return Content(
        "A quadratic f in the plane: latent weights u (line), quantized weights w (open squares), and the proximal "
        "points v where they differ from w (triangles), over contours of f; the star is its minimiser. The first "
        "latent point is filled. Points beyond the frame are not shown.",
        f"Small multiples of trajectories over contours of a quadratic for {listed(methods)}.",
        Table.of(_PLANE_HEADER, rows),
    )


def make_plane(inputs: Inputs) -> None:
    """The trajectories, where there are convex runs and they are missing."""
    if inputs.has_convergence:
        _ = inputs.plane


def draw_plane(table: Table) -> Figure:
    """One panel per method."""
    from matplotlib.ticker import MultipleLocator

    methods = [m for m in table.values("method") if m]
    columns = min(3, len(methods))
    bands = math.ceil(len(methods) / columns)
    figure = new_figure(2, 7.2 / 3 * bands + 0.2)
    grid = figure.subplots(bands, columns, squeeze=False, sharex=True, sharey=True)
    contours = [kind for kind in table.values("kind") if kind.startswith("contour")]
    reach = max(abs(number(row[key])) for row in table.rows if row["method"] for key in "xy")
    half = min(2.6, max(1.3, 1.12 * reach))
    for i, axes in enumerate(grid.flat):
        if i >= len(methods):
            axes.axis("off")
            continue
        for kind in contours:
            axes.plot(*_xy(table.where(method="", kind=kind)), color="#C4C4C4", linewidth=pt(0.8), zorder=1)
        axes.plot(
            *_xy(table.where(kind="minimiser")), linestyle="none", marker="*", markersize=pt(9), color=BLACK, zorder=5
        )
        us, vs, ws = (_xy(table.where(method=methods[i], kind=kind)) for kind in "uvw")
        axes.plot(*us, color=BLUE, linewidth=pt(1.1), marker=".", markersize=pt(3.5), zorder=3)
        axes.plot(us[0][:1], us[1][:1], linestyle="none", marker="o", markersize=pt(6), color=BLUE, zorder=4)
        axes.plot(
            *vs,
            linestyle="none",
            marker="^",
            markersize=pt(4),
            color=GREEN,
            markerfacecolor="none",
            alpha=0.8,
            zorder=3,
        )
        axes.plot(
            *ws, linestyle="none", marker="s", markersize=pt(5.5), color=VERMILLION, markerfacecolor="none", zorder=4
        )
        axes.set_title(wrapped(methods[i], 30))
        axes.set_xlim(-half, half)
        axes.set_ylim(-half, half)
        axes.set_aspect("equal")
        axes.grid(False)
        axes.xaxis.set_major_locator(MultipleLocator(1))
        axes.yaxis.set_major_locator(MultipleLocator(1))
        if i % columns == 0:
            axes.set_ylabel("second coordinate")
        if i + columns >= len(methods):
            axes.set_xlabel("first coordinate")
            axes.tick_params(labelbottom=True)
    handles = [
        handle(BLUE, "-", "latent u", "."),
        handle(GREEN, "none", "proximal v", "^"),
        handle(VERMILLION, "none", "quantized w", "s"),
        handle(BLACK, "none", "minimiser", "*"),
        handle("#C4C4C4", "-", "contours of f"),
    ]
    for entry in handles[1:3]:
        entry.set_markerfacecolor("none")
    legend_below(figure, handles, 1.8)
    return figure


def _xy(rows: Sequence[Cells]) -> tuple[list[float], list[float]]:
    return [number(r["x"]) for r in rows], [number(r["y"]) for r in rows]


# --------------------------------------------------------------------------- worst cases


_TIGHTNESS_HEADER = ("setting", "series", "style", "n", "ratio", "step")


def tightness(inputs: Inputs) -> Content | None:
    """The worst case over the bound against n, at the step size where that is largest; hypotheses kept."""
    if not inputs.has("worst_cases"):
        return None
    found: dict[tuple[str, str, int], tuple[float, str]] = {}
    for row in inputs.worst_cases.rows:
        if row["hypothesis_holds"] == "yes":
            key = (row["setting"], series_of(row), int(number(row["n"])))
            found[key] = max(found.get(key, (-math.inf, "")), (number(row["ratio"]), row["step"]))
    if not found:
        return None
    series = list(dict.fromkeys(name for _, name, _ in found))
    styles = style_texts(series, ())
    settings = list(dict.fromkeys(setting for setting, _, _ in found))
    rows = [[setting, name, styles[name], n, ratio, step] for (setting, name, n), (ratio, step) in found.items()]
    return Content(
        "Worst case over all functions of a class and all dimensions (a numerical value of PEPit), over the bound, "
        "against the number of steps, at the step size for which it is largest among those that the statement "
        "allows. At 1 the bound cannot be improved; above 1 it would be false in that setting.",
        f"Small multiples of worst case over bound against n for the settings {listed(settings)}.",
        Table.of(_TIGHTNESS_HEADER, rows),
    )


def series_of(row: Cells) -> str:
    """The name of a line: the iterate, or the statement where that names it."""
    statement = row["statement"]
    return statement if statement.startswith("last iterate, ") else row["iterate"]


def draw_tightness(table: Table) -> Figure:
    """One panel per setting, one line per iterate or statement."""
    from matplotlib.ticker import MaxNLocator

    settings, series = table.values("setting"), table.values("series")
    styles = {row["series"]: style_of(row["style"]) for row in table.rows}
    columns = min(4, len(settings))
    bands = math.ceil(len(settings) / columns)
    figure = new_figure(2, 1.5 * bands + 0.6)
    grid = figure.subplots(bands, columns, squeeze=False, sharex=True, sharey=True)
    for i, axes in enumerate(grid.flat):
        if i >= len(settings):
            axes.axis("off")
            continue
        for name in series:
            rows = table.where(setting=settings[i], series=name)
            points = sorted((number(r["n"]), number(r["ratio"])) for r in rows)
            if points:
                _line(axes, points, styles[name])
        axes.axhline(1, color=INK, linewidth=pt(1.1), zorder=1)
        axes.set_title(wrapped(settings[i], 30))
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        if i % columns == 0:
            axes.set_ylabel("worst case / bound")
        if i + columns >= len(settings):
            axes.set_xlabel("steps $n$")
            axes.tick_params(labelbottom=True)
    highest = max(number(row["ratio"]) for row in table.rows)
    grid[0, 0].set_ylim(0, 1.08 * max(1.0, highest))
    handles = [handle(styles[s].color, styles[s].dash, s, styles[s].marker) for s in series]
    legend_below(figure, handles, 3.2)
    return figure


# --------------------------------------------------------------------------- negative factors


_NEGATIVE_HEADER = ("sharpness", "transform", "style", "step", "negative", "beyond", "mean_u")


def negative(inputs: Inputs) -> Content | None:
    """The share of negative backward factors, and the size of the latent weights, over the steps."""
    if not inputs.has("negative"):
        return None
    transforms, every = inputs.negative.values("transform"), inputs.negative.values("sharpness")
    styles = style_texts(transforms, ())
    rows: list[list[Any]] = []
    for sharpness in every:
        for name in transforms:
            own = inputs.negative.where(transform=name, sharpness=sharpness)
            for i in thin(len(own)):
                cells = [number(own[i][key]) for key in ("step", "negative", "beyond", "mean_u")]
                rows.append([sharpness, name, styles[name], int(cells[0]), *cells[1:]])
    return Content(
        "Top: share of negative factors B(u) among all coordinates. Below: mean size of the latent weights. Against "
        "the step, one column per sharpness beta of the transform T(beta v).",
        f"Small multiples against the step for the transforms {listed(transforms)} at the sharpness {listed(every)}.",
        Table.of(_NEGATIVE_HEADER, rows),
    )


def draw_negative(table: Table) -> Figure:
    """Columns: sharpness. Rows: negative factors; latent size."""
    every, names = table.values("sharpness"), table.values("transform")
    styles = {row["transform"]: style_of(row["style"]) for row in table.rows}
    figure = new_figure(2, 3.3)
    grid = figure.subplots(2, len(every), squeeze=False, sharex=True, sharey="row")
    for k, (key, label) in enumerate((("negative", "share of negative factors"), ("mean_u", "mean size $|u|$"))):
        for column, sharpness in enumerate(every):
            axes = grid[k, column]
            for name in names:
                rows = table.where(sharpness=sharpness, transform=name)
                points = [(number(r["step"]), number(r[key])) for r in rows]
                if points:
                    _line(axes, points, styles[name])
            axes.set_xscale("log")
            if k == 0:
                between = "\n" if len(sharpness) > 12 else " "
                axes.set_title(f"beta ={between}{wrapped(sharpness, 20)}")
            else:
                axes.set_xlabel("step $t$")
        largest = max(number(row[key]) for row in table.rows)
        grid[k, 0].set_ylim(0, 1.06 * largest if largest > 0 else 1)
        grid[k, 0].set_ylabel(label)
    handles = [handle(styles[n].color, styles[n].dash, n, styles[n].marker) for n in names]
    legend_below(figure, handles, 3.2)
    return figure


# --------------------------------------------------------------------------- without a hypothesis


_HYPOTHESES_HEADER = ("statement", "hypothesis", "run", "quantity", "kept", "dropped", "broken")
_LEAST = 1e-3  # smaller numbers are drawn at the left edge


def hypotheses(inputs: Inputs) -> Content | None:
    """Each quantity with its hypothesis and without it."""
    if not inputs.has("hypotheses"):
        return None
    rows = [[r[key] for key in _HYPOTHESES_HEADER] for r in inputs.hypotheses.rows]
    rows = [r for r in rows if all(math.isfinite(number(cell)) for cell in r[4:6])]
    if not rows:
        return None
    broken = sum(r[6] == "yes" for r in rows)
    return Content(
        "One line per run: the quantity named in the table of theorems with the hypothesis (open circle) and without "
        "it (filled: the statement breaks; cross: it was not found to break). Where the quantity is left side over "
        f"bound, 1 is the limit. Numbers below {_LEAST:g} lie at the left edge.",
        f"Dot plot of {len(rows)} quantities with and without a hypothesis; {broken} break.",
        Table.of(_HYPOTHESES_HEADER, rows),
    )


def draw_hypotheses(table: Table) -> Figure:
    """One line per row of the table, the first on top."""
    count = len(table.rows)
    figure = new_figure(2, 0.17 * count + 0.85)
    axes = figure.subplots()
    for y, row in zip(range(count - 1, -1, -1), table.rows, strict=True):
        kept, dropped = (max(number(row[key]), _LEAST) for key in ("kept", "dropped"))
        breaks = row["broken"] == "yes"
        color = VERMILLION if breaks else GREY
        axes.plot([kept, dropped], [y, y], color="#C4C4C4", linewidth=pt(1.2), zorder=1)
        axes.plot(
            kept, y, linestyle="none", marker="o", markersize=pt(6.5), color=BLUE, markerfacecolor="white", zorder=2
        )
        axes.plot(dropped, y, "o" if breaks else "X", markersize=pt(4.2), color=color, zorder=3)
    axes.axvline(1, color=INK, linewidth=pt(1), zorder=0)
    labels = [wrapped(f"{row['statement']}: {row['hypothesis']}", 52, indices=True) for row in table.rows]
    axes.set_yticks(range(count - 1, -1, -1), labels)
    axes.set_ylim(-0.7, count - 0.3)
    axes.set_xscale("log")
    axes.set_xlabel("quantity (mostly left side / bound)")
    handles = [
        handle(BLUE, "none", "with the hypothesis", "o"),
        handle(VERMILLION, "none", "without: broken", "o"),
        handle(GREY, "none", "without: not found broken", "X"),
    ]
    handles[0].set_markerfacecolor("white")
    legend_below(figure, handles, 1.5)
    return figure


__all__ = [
    "TOLERANCE",
    "bounds",
    "draw_bounds",
    "draw_gaps",
    "draw_hypotheses",
    "draw_ledger",
    "draw_negative",
    "draw_plane",
    "draw_residual",
    "draw_tightness",
    "gaps",
    "hypotheses",
    "ledger",
    "make_plane",
    "negative",
    "plane",
    "residual",
    "series_of",
    "tightness",
]
