"""How every figure looks, and how it becomes a file: colours, line styles, and writers without dates.

Colours are those of Okabe and Ito (Color Universal Design, 2008), which readers with the common
forms of colour blindness tell apart; every line also has its own dash pattern and marker, so
nothing is lost in grey. A figure is made and written inside `drawing`, which starts from
matplotlib's own defaults, so the user's matplotlibrc changes no byte.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#6B6B6B"
INK, FAINT = "#222222", "#D9D9D9"

DPI = 200
_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.linewidth": 0.7,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "legend.fontsize": 8,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "mathtext.fontset": "dejavusans",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "path.simplify": False,
    "pdf.fonttype": 42,
    "pdf.compression": 6,
}


@dataclass(frozen=True)
class LineStyle:
    """One way to draw a line that no other line of the same figure has."""

    color: str
    dash: str | tuple[float, tuple[float, ...]]
    marker: str


_SLOTS = (
    LineStyle(BLACK, "-", "o"),
    LineStyle(BLUE, (0, (5, 2)), "s"),
    LineStyle(ORANGE, (0, (7, 2, 1.5, 2)), "^"),
    LineStyle(VERMILLION, (0, (1.2, 1.2)), "D"),
    LineStyle(GREEN, (0, (4, 1.5, 1, 1.5, 1, 1.5)), "v"),
    LineStyle(PURPLE, (0, (9, 2)), "P"),
    LineStyle(SKY, (0, (2.5, 1)), "X"),
    LineStyle(GREY, (0, (6, 1, 1, 1, 1, 1, 1, 1)), "*"),
)

GRADE_SIGN = {"smooth": "●", "lipschitz": "◐", "unprincipled": "✕", "undecided": "?"}
"""A sign per verdict that reads without colour."""


def grade_signs(verdict: str) -> str:
    """The sign of a verdict; of each in turn where a schedule passes through several, as in a/b."""
    return "".join(GRADE_SIGN.get(grade, "") for grade in verdict.split("/"))


def line_styles(names: Sequence[str], order: Sequence[str] = ()) -> dict[str, LineStyle]:
    """A style per name, distinct within ``names``.

    A name takes the slot of its place in ``order`` (the catalogue's), so that a method looks alike
    in all figures; a slot already taken passes to the next free one. Past eight names the markers
    repeat with another colour.
    """
    place = {name: i for i, name in enumerate([*order, *(n for n in names if n not in order)])}
    size = len(_SLOTS)
    taken: set[int] = set()
    chosen: dict[str, LineStyle] = {}
    for name in sorted(names, key=place.__getitem__):
        slot = place[name] % size
        while slot in taken:
            slot += 1
        taken.add(slot)
        turn, base = divmod(slot, size)
        # a further round pairs each dash and marker with the colour ``turn`` places on
        chosen[name] = LineStyle(
            _SLOTS[(base + turn) % size].color, _SLOTS[base].dash, _SLOTS[(base + 2 * turn) % size].marker
        )
    return {name: chosen[name] for name in names}


@contextmanager
def drawing() -> Iterator[None]:
    """Matplotlib with this module's settings inside, and with the caller's own again afterwards."""
    import matplotlib

    with matplotlib.rc_context():
        matplotlib.rcdefaults()
        for name, value in _RC.items():
            matplotlib.rcParams[name] = value  # type: ignore[index]  # its keys are typed as one closed list
        yield


def new_figure(width: float, height: float) -> Figure:
    """An empty figure of the given size in inches, laid out without overlaps; no pyplot state."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def render(figure: Figure, title: str) -> tuple[bytes, bytes]:
    """The figure as (PNG at 200 dpi, PDF with embedded TrueType fonts), without dates or versions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.backends.backend_pdf import FigureCanvasPdf

    # the layout is solved once for both formats, and the canvases are called directly: savefig
    # would lay out and draw everything two more times
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    png, pdf = io.BytesIO(), io.BytesIO()
    FigureCanvasAgg(figure).print_png(png, metadata={"Software": None, "Title": title})
    FigureCanvasPdf(figure).print_pdf(
        pdf, metadata={"CreationDate": None, "Creator": None, "Producer": None, "Title": title}
    )
    return png.getvalue(), pdf.getvalue()
