"""The drawings of `proxpair prox`, `regularizer` and `evolve`: curves with their jumps, as one file.

The data is made by theory.commands_prox; nothing is computed here. Filled points are values at a
jump or at an isolated point, dotted lines are gaps of the range.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures.style import drawing, line_styles, new_figure, pt, render
from theory.files import write_bytes

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def draw(data: dict[str, Any], path: str) -> None:
    """Write the drawing to a .png, .pdf or .svg file. Raises `InputError` if it cannot be written."""
    with drawing():
        figure = _figure(data)
        suffix = Path(path).suffix.lower()
        kind = suffix.removeprefix(".")
        written = render(figure, data["title"], (kind,))[kind]
    write_bytes(path, written)


def _figure(data: dict[str, Any]) -> Figure:
    figure = new_figure(1, 2.7)
    axes = figure.subplots()
    curves = data["curves"]
    styles = line_styles([c["label"] for c in curves])
    for curve in curves:
        style = styles[curve["label"]]
        label: str | None = curve["label"]
        for line in curve["lines"]:
            if line:
                axes.plot(*zip(*line, strict=True), color=style.color, linestyle=style.dash, label=label)
                label = None
        for gap in curve["gaps"]:
            axes.plot(*zip(*gap, strict=True), color=style.color, linestyle=":", linewidth=pt(1.0))
        for x, y in curve["dots"]:
            axes.plot([x], [y], color=style.color, marker="o", markersize=pt(3.2), linestyle="none", label=label)
            label = None
    axes.set_title(data["title"])
    axes.set_xlabel(data["across"])
    axes.set_ylabel(data["up"])
    if len(curves) > 1:
        axes.legend()
    return figure


__all__ = ["draw"]
