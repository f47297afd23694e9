"""The figures of the networks on the digits: curves, final accuracy, and what the ledger says of the training."""

from __future__ import annotations

import math
import statistics
from typing import TYPE_CHECKING, Any

from figures.data import Cells, Inputs, Table, number
from figures.parts import MARKS, Content, handle, legend_below, listed, style_of, style_texts, wrapped
from figures.style import BLUE, FAINT, GRADE_SIGN, GREY, ORANGE, grade_signs, new_figure, pt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_CURVE_HEADER = ("method", "verdict", "epoch", "kind", "mean", "std", "seeds")


def _verdicts(inputs: Inputs) -> dict[str, str]:
    return {row["method"]: row["verdict"] for row in inputs.networks.rows}


def curves(inputs: Inputs) -> Content | None:
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
    return Content(
        f"Test accuracy against epoch, mean and standard deviation over {seeds} {'seed' if seeds == 1 else 'seeds'}. "
        "Hard: each weight replaced by the level that F is nearest to (what would be deployed), in full precision by "
        "its sign; soft: the network as it is trained. Grey: the other methods, hard. What lies below the frame, early "
        "epochs above all, is not shown.",
        f"Small multiples of accuracy against epoch for {listed(methods)}, hard and soft.",
        Table.of(_CURVE_HEADER, rows),
    )


def draw_curves(table: Table) -> Figure:
    """One panel per method, the others in grey behind it."""
    from matplotlib.ticker import MaxNLocator

    methods = table.values("method")
    columns = min(3, len(methods))
    rows = math.ceil(len(methods) / columns)
    figure = new_figure(2, 1.75 * rows + 0.45)
    grid = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True)
    lows = []
    for i, axes in enumerate(grid.flat):
        if i >= len(methods):
            axes.axis("off")
            continue
        for other in methods:
            if other != methods[i]:
                xs, ys, _ = _series(table, other, "hard")
                axes.plot(xs, ys, color=FAINT, linewidth=pt(1))
        # quantizers with two values are hard already: one curve, and words that say so
        same = _series(table, methods[i], "soft") == _series(table, methods[i], "hard")
        if same:
            axes.annotate("soft = hard", (0.97, 0.05), xycoords="axes fraction", ha="right", fontsize=pt(7))
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
                xs,
                ys,
                color=color,
                linestyle=dash,
                marker=marker,
                markersize=pt(3.6),
                markevery=max(1, len(xs) // MARKS),
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
    legend_below(figure, handles, 3)
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


def accuracy(inputs: Inputs) -> Content | None:
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
    return Content(
        "Test accuracy after the last epoch: mean and standard deviation over seeds (large points with bars), every "
        "seed (small grey points), and the network as trained, before hardening (open squares).",
        f"Dot plot of final accuracy, best first: {best['method']} at {100 * number(best['hard_mean']):.1f} percent.",
        Table.of(_ACCURACY_HEADER, rows),
    )


def draw_accuracy(table: Table) -> Figure:
    """One line per method, the best on top."""
    methods = table.values("method")
    figure = new_figure(2, 0.3 * len(methods) + 0.95)
    axes = figure.subplots()
    places = range(len(methods) - 1, -1, -1)
    everything: list[float] = []
    for y, method in zip(places, methods, strict=True):
        for row in table.where(method=method):
            hard, soft = 100 * number(row["hard"]), 100 * number(row["soft"])
            everything += [v for v in (hard, soft) if math.isfinite(v)]
            if row["seed"] != "all":
                axes.plot(hard, y - 0.2, linestyle="none", marker=".", markersize=pt(4), color=GREY)
                continue
            std = 100 * number(row["hard_std"])
            axes.plot(
                soft,
                y,
                linestyle="none",
                marker="s",
                markersize=pt(6.5),
                color=ORANGE,
                markerfacecolor="white",
                markeredgewidth=pt(1.3),
            )
            known = math.isfinite(std)  # one seed has no standard deviation
            axes.errorbar(
                hard,
                y,
                xerr=std if known else None,
                color=BLUE,
                marker="o",
                markersize=pt(5.5),
                capsize=pt(3),
                linewidth=1.4,
            )
            axes.annotate(
                f"{hard:.1f} ± {std:.1f}" if known else f"{hard:.1f}",
                (1.02, y),
                xycoords=("axes fraction", "data"),
                va="center",
                fontsize=pt(7),
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
    axes.set_title("   ".join(grades), fontsize=pt(7), loc="left")
    legend_below(figure, handles, 1.5)
    return figure


# --------------------------------------------------------------------------- what the ledger says of the training


_TRAINING_HEADER = ("method", "style", "quantity", "epoch", "value", "seeds")


def _weights() -> int:
    """Quantized weights of one of these networks; biases are not among them."""
    from verify.networks import LAYERS

    return sum(a * b for a, b in LAYERS)


def training(inputs: Inputs) -> Content | None:
    """Closure error of each network's ledger, and the share of its weights that change sign, by epoch."""
    if not inputs.has_networks or not inputs.network_ledger.rows:
        return None
    table = inputs.network_ledger
    names = table.values("method")
    styles = style_texts(names, inputs.order)
    weights = _weights()
    rows: list[list[Any]] = []
    for name in names:
        by_epoch: dict[str, list[Cells]] = {}
        for r in table.where(method=name):
            by_epoch.setdefault(r["epoch"], []).append(r)
        for epoch, group in by_epoch.items():
            head, count = [name, styles[name]], len(group)
            errors = [number(r["closure_error"]) for r in group]
            # of NaN and a number max takes either: a ledger that breaks must not look closed
            worst = math.nan if any(math.isnan(e) for e in errors) else max(errors)
            share = statistics.fmean(number(r["flips"]) for r in group) / weights
            rows.append([*head, "closure error", int(number(epoch)), worst, count])
            rows.append([*head, "flips", int(number(epoch)), share, count])
    return Content(
        "Left: closure error of identity (I) summed up to each epoch, relative to the sum of the absolute values of "
        "all terms, the largest of the seeds; errors that are exactly 0 are drawn at the lower edge. Right: changes of "
        f"the hardened weight between steps, per weight ({weights:,} of a network) and epoch, mean over the seeds; a "
        "weight that changes twice counts twice, and 0 lies at the lower edge.",
        f"Two logarithmic panels against the epoch for {listed(names)}: closure error of the ledger, and flips per "
        "weight and epoch.",
        Table.of(_TRAINING_HEADER, rows),
    )


def draw_training(table: Table) -> Figure:
    """Two panels and one legend."""
    from matplotlib.ticker import MaxNLocator

    methods = table.values("method")
    styles = {row["method"]: style_of(row["style"]) for row in table.rows}
    figure = new_figure(2, 2.55)
    quantities = (
        ("closure error", "closure error (ratio)", 1.0),
        ("flips", "flips per weight and epoch (%)", 100.0),
    )
    for axes, (quantity, label, factor) in zip(figure.subplots(1, 2), quantities, strict=True):
        values = [factor * number(r["value"]) for r in table.where(quantity=quantity)]
        positive = [v for v in values if 0 < v < math.inf]
        floor = min(positive, default=1.0) / (3 if len(positive) < len(values) else 1)
        for method in methods:
            rows = table.where(quantity=quantity, method=method)
            xs = [number(r["epoch"]) for r in rows]
            ys = [y if math.isnan(y) else max(y, floor) for y in (factor * number(r["value"]) for r in rows)]
            s = styles[method]
            every = max(1, len(xs) // MARKS)
            axes.plot(xs, ys, color=s.color, linestyle=s.dash, marker=s.marker, markersize=pt(3.4), markevery=every)
        axes.set_yscale("log")
        axes.set_ylim(floor / 1.5, 2 * max(positive, default=1.0))
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    handles = [handle(styles[m].color, styles[m].dash, m, styles[m].marker) for m in methods]
    legend_below(figure, handles, 3.2)
    return figure


__all__ = ["accuracy", "curves", "draw_accuracy", "draw_curves", "draw_training", "training"]
