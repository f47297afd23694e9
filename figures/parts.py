"""What the drawings share: declarations, a figure with its table, texts that are never read as formulas, legends."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures.data import Inputs, Row, Table
from figures.style import LineStyle, drawing, line_styles, pt, render
from theory.files import write_together

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKS = 9
"""Markers along a line."""


@dataclass(frozen=True)
class Plot:
    """A figure: its table, and how that table is drawn. ``alt`` says in words what a reader would see.

    ``columns``: 1 or 2, how many columns of a paper it is wide.
    """

    name: str
    title: str
    caption: str
    alt: str
    table: Table
    draw: Callable[[Table], Figure]
    columns: int = 2

    def files(self, formats: Sequence[str] = ("png", "pdf"), style: str = "paper") -> dict[str, bytes]:
        """The CSV file, and the figure drawn from its text alone in each of ``formats``; by kind."""
        text = self.table.text()
        if not formats:
            return {"csv": text.encode()}
        with drawing(style):
            pictures = render(self.draw(Table.read(text)), self.title, formats)
        return {"csv": text.encode(), **pictures}

    def write(self, folder: Path, formats: Sequence[str] = ("png", "pdf"), style: str = "paper") -> None:
        """Write NAME.csv, NAME.png and NAME.pdf. Raises `InputError` if they cannot be written."""
        write_together({folder / f"{self.name}.{kind}": data for kind, data in self.files(formats, style).items()})


@dataclass(frozen=True)
class Content:
    """What a figure shows: its caption, the same for who cannot see it, and the table that it is drawn from."""

    caption: str
    alt: str
    table: Table


THEORY = "theory"
"""The source of a figure that needs no data."""


@dataclass(frozen=True)
class Declared:
    """A figure, declared once; names, commands, list, files, report and tests come from this.

    ``source``: the files below OUT that it is made from, as patterns, or `THEORY`, or files of the repository;
    ``command``: makes them, with ``{out}`` for the folder; ``columns``: 1 or 2 of a paper; ``make``: its content,
    or None where there are no data; ``draw``: the figure, from that table alone; ``family``: of what kind of
    figures it is one, ``single`` or the name of the group; ``row``: the pair of a figure of one pair;
    ``first``: makes those of its sources that are made where they are missing.
    """

    name: str
    title: str
    source: tuple[str, ...]
    command: str
    columns: int
    make: Callable[[Inputs], Content | None]
    draw: Callable[[Table], Figure]
    family: str = "single"
    row: Row | None = None
    first: Callable[[Inputs], object] | None = None

    def plot(self, inputs: Inputs) -> Plot | None:
        """The figure, or None where its data are not there. Raises `InputError` for data that are not sound."""
        content = self.make(inputs)
        return None if content is None else self.of(content)

    def of(self, content: Content) -> Plot:
        """The figure with that content."""
        shown = (content.caption, content.alt, content.table)
        return Plot(self.name, self.title, *shown, self.draw, self.columns)

    def command_for(self, out: Path) -> str:
        """The command that makes its data below ``out``."""
        return self.command.format(out=out)


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


def handle(color: str, dash: Any, label: str, marker: str = "", width: int = 34) -> Any:
    """An entry of a legend that names its line, wrapped at ``width`` letters."""
    from matplotlib.lines import Line2D

    return Line2D([], [], color=color, linestyle=dash, label=wrapped(label, width, 3), marker=marker, markersize=pt(4))


def thin(count: int, most: int = 160) -> list[int]:
    """Indices 0..count-1 spaced evenly on a logarithmic axis, the first and the last included."""
    if count <= most:
        return list(range(count))
    return sorted({0, count - 1, *(round(count ** (k / (most - 1))) - 1 for k in range(most))})


def style_texts(names: Sequence[str], order: Sequence[str]) -> dict[str, str]:
    """The line style of each name as text: it stands in the CSV, so that a drawing needs nothing else."""
    return {n: f"{s.color} {s.marker} {dash_text(s)}" for n, s in line_styles(names, order).items()}


def dash_text(style: LineStyle) -> str:
    """The dashes of a style as text: solid, or lengths on and off."""
    return "solid" if isinstance(style.dash, str) else "-".join(f"{d:g}" for d in style.dash[1])


def style_of(text: str) -> LineStyle:
    """The line style that `style_texts` wrote."""
    color, marker, dash = text.split()
    return LineStyle(color, "-" if dash == "solid" else (0, tuple(map(float, dash.split("-")))), marker)


def camel(name: str, width: int) -> str:
    """A name on at most two lines: where it is longer than ``width``, broken before a capital or after a hyphen."""
    if len(name) <= width:
        return wrapped(name, width)
    spots = [m.end() for m in re.finditer(r"[a-z0-9](?=[A-Z])|[-_ ]", name)]
    best = min(spots, key=lambda k: max(k, len(name) - k), default=width)
    return f"{wrapped(name[:best].strip(), width + 4)}\n{wrapped(name[best:].strip(), width + 4)}"


def patch(label: str, face: str, edge: str = "none", hatch: str = "") -> Any:
    """An entry of a legend that names an area."""
    from matplotlib.patches import Patch

    return Patch(facecolor=face, edgecolor=edge, hatch=hatch, linewidth=0, label=label)


def legend_below(figure: Figure, handles: Sequence[Any], handlelength: float = 3.2) -> None:
    """One legend under the axes, where the layout is solved; in as few lines of equal length as hold it."""
    entry = (
        0.062 * max(len(line) for h in handles for line in str(h.get_label()).split("\n")) + 0.1 * handlelength + 0.3
    )
    lines = math.ceil(len(handles) / max(1, int(6.9 / entry)))
    ncols = math.ceil(len(handles) / lines)
    figure.legend(handles=list(handles), loc="outside lower center", ncols=ncols, handlelength=handlelength)


def few_ticks(axes: Axes, across: int = 5, up: int = 4) -> None:
    """At most so many intervals between the ticks of the two axes."""
    from matplotlib.ticker import MaxNLocator

    steps = [1, 2, 2.5, 5, 10]
    axes.xaxis.set_major_locator(MaxNLocator(across, steps=steps))
    axes.yaxis.set_major_locator(MaxNLocator(up, steps=steps, min_n_ticks=3))


def panels(grid: Any) -> list[Any]:
    """The axes of a grid, row by row."""
    return [axes for row in grid for axes in row]


def declared(*every: Declared) -> Mapping[str, Declared]:
    """Declarations by name."""
    return {d.name: d for d in every}


__all__ = [
    "MARKS",
    "THEORY",
    "Content",
    "Declared",
    "Plot",
    "camel",
    "dash_text",
    "declared",
    "few_ticks",
    "handle",
    "legend_below",
    "listed",
    "panels",
    "patch",
    "slug",
    "style_of",
    "style_texts",
    "thin",
    "wrapped",
]
