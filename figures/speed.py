"""Speed against peers, as ratios, from the results of the benchmarks that the repository holds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures.data import Inputs, Table, number
from figures.parts import Content, handle, legend_below, listed, wrapped
from figures.style import BLUE, INK, VERMILLION, new_figure, pt
from theory.errors import InputError
from theory.files import read_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_RESULTS = "benchmarks/results"
FILES = (f"{_RESULTS}/step-cpu.json", f"{_RESULTS}/kernels-cpu.json")
"""What the figure is made from, in the repository."""
COMMAND = (
    f"python benchmarks/step.py --json > {FILES[0]} and python benchmarks/kernels.py --json > {FILES[1]}, "
    "in the repository"
)

_HEADER = ("panel", "name", "peer", "size", "ratio", "floor", "target")
_SIZE = 1_000_000
_PEERS = ("straight-through by hand", "torchao", "torch.", "softshrink")
_LEFT, _RIGHT = "training step", "kernel"


def _read(folder: Path, name: str, key: str) -> dict[str, Any]:
    path = folder / Path(name).name
    try:
        found = json.loads(read_text(path, "results of a benchmark"))
        if not isinstance(found, dict) or not all(isinstance(found.get(k), str) for k in ("device", "torch")):
            raise TypeError
        found[key]
    except (json.JSONDecodeError, RecursionError, TypeError, KeyError):
        raise InputError(f"{path}: the JSON of a benchmark was expected; make it again with: {COMMAND}") from None
    return found


def _number(value: Any) -> Any:
    """A number, or blank: NaN and infinity are no measurements."""
    return value if isinstance(value, (int, float)) and math.isfinite(value) else ""


def speed(inputs: Inputs) -> Content | None:
    """Training steps as ratios to plain SGD, kernels as ratios to a copy, ours and peers."""
    folder = inputs.benchmarks
    if not all((folder / Path(name).name).is_file() for name in FILES):
        return None
    steps, kernels = _read(folder, FILES[0], "batches"), _read(folder, FILES[1], "speed")
    rows: list[list[Any]] = []
    try:
        for batch, contestants in steps["batches"].items():
            for one in contestants:
                peer = one["name"].startswith(_PEERS)
                if one["name"] == "SGD" or not (peer or "in place" in one["name"] or "parametrization" in one["name"]):
                    continue
                cells = (one["median"], one.get("floor"), one.get("target"))
                rows.append([_LEFT, one["name"], "yes" if peer else "no", int(batch), *map(_number, cells)])
        for one in kernels["speed"]:
            if one["size"] == _SIZE and one["shape"] != "training":
                peer = one["what"].startswith(_PEERS)
                name = f"{one['shape']}: {one['what']}"
                cells = (one["copies"], one.get("floor"), one.get("target"))
                rows.append([_RIGHT, name, "yes" if peer else "no", _SIZE, *map(_number, cells)])
    except (KeyError, TypeError, AttributeError, ValueError):
        raise InputError(f"{folder}: results of benchmarks were expected; make them again with: {COMMAND}") from None
    if not all(any(row[0] == panel and row[4] != "" for row in rows) for panel in (_LEFT, _RIGHT)):
        raise InputError(f"{folder}: results for {_SIZE:,} numbers were expected; make them again with: {COMMAND}")
    peers = list(dict.fromkeys(row[1].rsplit(": ", 1)[-1] for row in rows if row[2] == "yes"))
    threads = kernels.get("threads")
    count = "one thread" if threads == 1 else f"{threads} threads"
    device = steps["device"].removesuffix(", one thread")
    return Content(
        "Left: time of a training step over that of plain SGD (median of the quotients in the same round), for a "
        f"perceptron of {steps.get('weights', 0):,} weights and batches of {listed(list(steps['batches']))}. Right: "
        f"time of one map on {_SIZE:,} float32 numbers over that of a copy (the least of many). Filled: ours; open: "
        f"peers ({listed(peers)}). Thin lines: the floor, what the moved bytes alone cost; crosses: the targets that "
        f"the project set itself. {device}, {count}, torch {steps['torch']}.",
        f"Two dot plots on logarithmic axes: ratios of training steps to plain SGD, and of kernels to a copy, for ours "
        f"and for the peers {listed(peers)}.",
        Table.of(_HEADER, rows),
    )


def draw_speed(table: Table) -> Figure:
    """Two panels of dots, the fastest on top."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

    labels = {_LEFT: "step / plain SGD step (ratio of times)", _RIGHT: "kernel / copy (ratio of times)"}
    most = max(len({r["name"] for r in table.where(panel=panel)}) for panel in labels)
    figure = new_figure(2, 0.165 * most + 0.9)
    for axes, (panel, label) in zip(figure.subplots(1, 2), labels.items(), strict=True):
        rows = table.where(panel=panel)
        sizes = list(dict.fromkeys(r["size"] for r in rows))
        names = list(dict.fromkeys(r["name"] for r in sorted(rows, key=lambda r: number(r["ratio"]))))
        names = sorted(names, key=lambda n: min(number(r["ratio"]) for r in rows if r["name"] == n))
        for r in rows:
            y = len(names) - 1 - names.index(r["name"])
            shift = 0.17 * (1 - 2 * sizes.index(r["size"])) if len(sizes) > 1 else 0.0
            peer = r["peer"] == "yes"
            color, marker = (VERMILLION, "D") if peer else (BLUE, "o")
            marker = marker if sizes.index(r["size"]) == 0 else {"D": "s", "o": "^"}[marker]
            axes.plot(
                number(r["ratio"]),
                y + shift,
                linestyle="none",
                marker=marker,
                markersize=pt(3.8),
                color=color,
                markerfacecolor="white" if peer else color,
                markeredgewidth=pt(0.9),
            )
            if r["floor"]:
                axes.plot([number(r["floor"])] * 2, [y + shift - 0.2, y + shift + 0.2], color=INK, linewidth=pt(0.7))
            if r["target"]:
                axes.plot(number(r["target"]), y + shift, linestyle="none", marker="x", markersize=pt(3), color=INK)
        axes.axvline(1, color=INK, linewidth=pt(0.9), zorder=1)
        axes.set_xscale("log")
        values = [number(r[k]) for r in rows for k in ("ratio", "floor", "target") if r[k]]
        axes.set_xlim(min(0.92, 0.9 * min(values)), 1.15 * max(values))
        ticks = [t for t in (1, 1.5, 2, 3, 5, 10, 20, 50, 100) if t <= 1.15 * max(values)]
        axes.xaxis.set_major_locator(FixedLocator(ticks[:1] + [t for t in ticks[1:] if max(values) < 12 or t != 1.5]))
        axes.xaxis.set_minor_locator(NullLocator())
        axes.xaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
        axes.set_yticks(range(len(names)), [wrapped(n, 48) for n in reversed(names)], fontsize=pt(5.6))
        axes.set_ylim(-0.7, len(names) - 0.3)
        axes.set_xlabel(label)
        about = f"{_SIZE:,} numbers" if panel == _RIGHT else f"batch {' and '.join(sizes)}"
        axes.set_title(f"{panel}, {about}")
    batches = list(dict.fromkeys(r["size"] for r in table.where(panel=_LEFT)))
    handles = [handle(BLUE, "none", "ours", "o"), handle(VERMILLION, "none", "peers", "D")]
    handles[1].set_markerfacecolor("white")
    if len(batches) > 1:
        handles += [handle(BLUE, "none", f"ours, batch {batches[1]}", "^")]
        handles += [handle(VERMILLION, "none", f"peers, batch {batches[1]}", "s")]
        handles[3].set_markerfacecolor("white")
    handles += [handle(INK, "none", "floor", "|"), handle(INK, "none", "our target", "x")]
    legend_below(figure, handles, 1.2)
    return figure


__all__ = ["COMMAND", "FILES", "draw_speed", "speed"]
