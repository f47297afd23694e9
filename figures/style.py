"""How every figure looks, and how it becomes a file: sizes, colours, line styles, and writers without dates.

Colours are those of Okabe and Ito (Color Universal Design, 2008), which readers with the common
forms of colour blindness tell apart; every line also has its own dash pattern and marker, so
nothing is lost in grey. A figure is made and written inside `drawing`, which starts from
matplotlib's own defaults, so the user's matplotlibrc changes no byte.

A figure is as wide as one or two columns of a paper, so that it is never scaled there. In the style
``talk`` the canvas grows and its text and lines grow more: drawings say sizes of text and of lines in
points of a paper, through `pt`.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from theory.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#6B6B6B"
INK, FAINT = "#222222", "#D9D9D9"

DPI = 200
WIDTHS = {1: 3.5, 2: 7.2}
"""Inches of a figure of one and of two columns, in the style paper."""
FORMATS = ("pdf", "png", "svg")


@dataclass(frozen=True)
class Style:
    """Factors on the inches of the canvas, and on the points of text and lines, of a paper."""

    name: str
    canvas: float
    text: float


STYLES = {s.name: s for s in (Style("paper", 1.0, 1.0), Style("talk", 1.75, 1.95))}
_current: ContextVar[Style] = ContextVar("style", default=STYLES["paper"])

_RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "lines.solid_capstyle": "round",
    "text.color": INK,
    "mathtext.fontset": "dejavusans",
    "figure.facecolor": "white",
    "savefig.facecolor": "white",
    "path.simplify": False,
    "pdf.fonttype": 42,
    "pdf.compression": 6,
    # as paths an SVG looks the same wherever it is opened: real text would be set in whatever font is there, wider or
    # narrower than the layout knows. Who wants to search or copy the text takes the PDF
    "svg.fonttype": "path",
    "svg.hashsalt": "proxpair",
}
_POINTS: dict[str, float] = {
    "font.size": 7.5,
    "axes.titlesize": 8,
    "axes.labelsize": 7.5,
    "axes.linewidth": 0.6,
    "axes.labelpad": 2.5,
    "axes.titlepad": 4,
    "grid.linewidth": 0.5,
    "xtick.labelsize": 6.5,
    "ytick.labelsize": 6.5,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "xtick.minor.width": 0.4,
    "ytick.minor.width": 0.4,
    "xtick.major.size": 2.8,
    "ytick.major.size": 2.8,
    "xtick.minor.size": 1.5,
    "ytick.minor.size": 1.5,
    "xtick.major.pad": 2.5,
    "ytick.major.pad": 2.5,
    "legend.fontsize": 7,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "lines.markeredgewidth": 0.9,
    "patch.linewidth": 0.8,
    "hatch.linewidth": 0.6,
}
"""Settings in points of a paper."""


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


def ramp(count: int) -> list[LineStyle]:
    """Styles for a parameter that grows, at most five: colours from light to dark, each with its own dashes."""
    slots = (
        LineStyle(ORANGE, (0, (1.2, 1.1)), "o"),
        LineStyle(SKY, (0, (5, 1.6)), "s"),
        LineStyle(VERMILLION, (0, (3, 1, 1, 1)), "^"),
        LineStyle(BLUE, (0, (9, 1.6)), "D"),
        LineStyle(BLACK, "-", "v"),
    )
    return list(slots[len(slots) - count :])


def style_named(name: str) -> Style:
    """The style of that name. Raises `InputError` on another."""
    if name not in STYLES:
        raise InputError(f"the style paper or talk was expected, not {name[:40]!r}")
    return STYLES[name]


@contextmanager
def drawing(style: str = "paper") -> Iterator[None]:
    """Matplotlib with this module's settings inside, and with the caller's own again afterwards."""
    import matplotlib

    chosen = style_named(style)
    token = _current.set(chosen)
    try:
        with matplotlib.rc_context():
            matplotlib.rcdefaults()
            for name, value in (*_RC.items(), *((key, chosen.text * size) for key, size in _POINTS.items())):
                matplotlib.rcParams[name] = value  # type: ignore[index]  # its keys are typed as one closed list
            yield
    finally:
        _current.reset(token)


def pt(size: float) -> float:
    """Points of a paper, as points in the style that is being drawn."""
    return size * _current.get().text


def new_figure(columns: int, height: float, solved: bool = True) -> Figure:
    """An empty figure, one or two columns wide and so many inches of a paper high; no pyplot state.

    ``solved``: its layout is solved so that nothing overlaps; else the drawing places its axes, with `grid_axes`.
    A slide is 16:9: in the style talk a flatter figure becomes up to a third higher.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    style = _current.get()
    wide, high = WIDTHS[columns] * style.canvas, height * style.canvas
    if style.name == "talk":
        high = max(high, min(high * 4 / 3, wide * 9 / 16))
    figure = Figure(figsize=(wide, high), dpi=DPI, layout="constrained" if solved else None)
    if solved:
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        pad = pt(2.2) / 72
        figure.set_layout_engine(ConstrainedLayoutEngine(w_pad=pad, h_pad=pad))
    FigureCanvasAgg(figure)
    return figure


def grid_axes(
    figure: Figure, rows: int, columns: int, margins: tuple[float, float, float, float], gaps: tuple[float, float]
) -> list[list[Any]]:
    """Axes in rows and columns with fixed distances, in inches of a paper that grow as text does.

    ``margins``: left, right, bottom, top; ``gaps``: between columns, between rows. Quicker than a solved layout
    where one knows what stands between the axes.
    """
    (left, right, bottom, top), (across, down) = ([pt(v) for v in group] for group in (margins, gaps))
    wide, high = figure.get_size_inches()
    width, height = (wide - left - right + across) / columns - across, (high - bottom - top + down) / rows - down
    spec = figure.add_gridspec(
        rows,
        columns,
        left=left / wide,
        right=1 - right / wide,
        bottom=bottom / high,
        top=1 - top / high,
        wspace=across / width,
        hspace=down / height,
    )
    return [[figure.add_subplot(spec[i, j]) for j in range(columns)] for i in range(rows)]


def render(figure: Figure, title: str, formats: Sequence[str] = ("png", "pdf")) -> dict[str, bytes]:
    """The figure as PNG at 200 dpi, PDF with embedded TrueType fonts, SVG with text as paths; no dates or versions."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    # the layout is solved once for all formats, and the canvases are called directly: savefig
    # would lay out and draw everything two more times
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine("none")
    files: dict[str, bytes] = {}
    for kind in formats:
        out = io.BytesIO()
        figure.dpi = DPI  # the writers of PDF and SVG leave it at 72
        if kind == "png":
            FigureCanvasAgg(figure).print_png(out, metadata={"Software": None, "Title": title})
        elif kind == "pdf":
            from matplotlib.backends.backend_pdf import FigureCanvasPdf

            nothing = dict.fromkeys(("CreationDate", "Creator", "Producer"))
            with _fonts_cut_once():
                FigureCanvasPdf(figure).print_pdf(out, metadata={**nothing, "Title": title})
        else:
            from matplotlib.backends.backend_svg import FigureCanvasSVG

            FigureCanvasSVG(figure).print_svg(out, metadata={"Date": None, "Creator": None, "Title": title})
        files[kind] = out.getvalue()
    return files


_ALWAYS = "".join(map(chr, range(32, 127))) + "".join(GRADE_SIGN.values()) + "\N{MINUS SIGN}±\N{INFINITY}∘…βμθ"
_cut: dict[tuple[str, frozenset[int]], Any] = {}


@contextmanager
def _fonts_cut_once() -> Iterator[None]:
    """Cutting a font down to the letters of a figure takes longer than drawing it: so all figures share one cut.

    Its letters are those of ASCII and the signs that figures use, and what else the figure has. A matplotlib that
    does this elsewhere is left alone.
    """
    from matplotlib import font_manager
    from matplotlib.backends import _backend_pdf_ps as fonts

    plain = getattr(fonts, "get_glyphs_subset", None)
    if plain is None:
        yield
        return

    def shared(fontfile: Any, glyphs: Any) -> Any:
        font = font_manager.get_font(fontfile)
        known = {index for c in _ALWAYS if (index := font.get_char_index(ord(c)))}
        key = (str(fontfile), frozenset({*known, *glyphs}))
        if key not in _cut:
            _cut[key] = plain(fontfile, set(key[1])).__enter__()
        return nullcontext(_cut[key])

    fonts.get_glyphs_subset = shared
    try:
        yield
    finally:
        fonts.get_glyphs_subset = plain


__all__ = [
    "BLACK",
    "BLUE",
    "DPI",
    "FAINT",
    "FORMATS",
    "GRADE_SIGN",
    "GREEN",
    "GREY",
    "INK",
    "ORANGE",
    "PURPLE",
    "SKY",
    "STYLES",
    "VERMILLION",
    "WIDTHS",
    "LineStyle",
    "Style",
    "drawing",
    "grade_signs",
    "grid_axes",
    "line_styles",
    "new_figure",
    "pt",
    "ramp",
    "render",
    "style_named",
]
