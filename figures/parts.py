"""What the drawings share: a figure with its table, texts that are never read as formulas, legends, line styles."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures.data import Table
from figures.style import LineStyle, drawing, line_styles, render
from theory.files import write_bytes, write_text

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MARKS = 9
"""Markers along a line."""


@dataclass(frozen=True)
class Plot:
    """A figure: its table, and how that table is drawn. ``alt`` says in words what a reader would see."""

    name: str
    title: str
    caption: str
    alt: str
    table: Table
    draw: Callable[[Table], Figure]

    def write(self, folder: Path) -> None:
        """Write NAME.csv, NAME.png and NAME.pdf. Raises `InputError` if they cannot be written."""
        text = self.table.text()
        write_text(folder / f"{self.name}.csv", text)
        with drawing():
            png, pdf = render(self.draw(Table.read(text)), self.title)
        write_bytes(folder / f"{self.name}.png", png)
        write_bytes(folder / f"{self.name}.pdf", pdf)


def slug(name: str) -> str:
    """A name as part of a file name and of an address: letters, digits and hyphens, ``+`` as ``plus``."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name.replace("+", " plus ")).strip("-").lower() or "pair"


def wrapped(text: str, width: int, lines: int = 1, indices: bool = False) -> str:
    """A name or a sentence of the data as text of a figure: wrapped, cut, and never read as a formula.

    An underscore becomes a space unless it stands for an index.
    """
    from textwrap import wrap

    found = wrap(
        text if indices else text.replace("_", " "), width, max_lines=lines, placeholder=" …", break_long_words=True
    ) or [""]
    return "\n".join(found).replace("$", r"\$")


def listed(words: Sequence[str]) -> str:
    """a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}" if words else "none"


def handle(color: str, dash: Any, label: str, marker: str = "") -> Any:
    """An entry of a legend that names its line."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=dash, label=wrapped(label, 34, 3), marker=marker, markersize=4.5)


def thin(count: int, most: int = 160) -> list[int]:
    """Indices 0..count-1 spaced evenly on a logarithmic axis, the first and the last included."""
    if count <= most:
        return list(range(count))
    return sorted({0, count - 1, *(round(count ** (k / (most - 1))) - 1 for k in range(most))})


def style_texts(names: Sequence[str], order: Sequence[str]) -> dict[str, str]:
    """The line style of each name as text: it stands in the CSV, so that a drawing needs nothing else."""
    return {n: f"{s.color} {s.marker} {_dash_text(s)}" for n, s in line_styles(names, order).items()}


def _dash_text(style: LineStyle) -> str:
    return "solid" if isinstance(style.dash, str) else "-".join(f"{d:g}" for d in style.dash[1])


def style_of(text: str) -> LineStyle:
    """The line style that `style_texts` wrote."""
    color, marker, dash = text.split()
    return LineStyle(color, "-" if dash == "solid" else (0, tuple(map(float, dash.split("-")))), marker)


__all__ = ["MARKS", "Plot", "handle", "listed", "slug", "style_of", "style_texts", "thin", "wrapped"]
