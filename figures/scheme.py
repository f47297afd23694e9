"""The forward and the backward of ProxConnect++ as a diagram; and a canvas for diagrams, in inches of a paper."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from figures.data import Inputs, Table, number
from figures.parts import Content, handle
from figures.style import BLUE, GREY, INK, VERMILLION, WIDTHS, new_figure, pt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_HEADER = ("kind", "group", "x", "y", "x2", "y2", "text")
_HEIGHT = 2.5
_STROKES: dict[str, tuple[str, Any]] = {
    "forward": (BLUE, "-"),
    "backward": (VERMILLION, (0, (3.2, 1.6))),
    "reads": (GREY, (0, (1, 1.4))),
}
_WORDS = {VERMILLION: "#B34D00"}
"""Darker for words than for strokes: small text needs more contrast with the paper."""
_PRIME = "\N{PRIME}"  # in a formula it would come from a font of its own
_UP, _LOW = (1.42, 1.86), (0.5, 0.94)  # the lanes of forward and of backward


def _box(group: str, x: float, x2: float, lane: tuple[float, float], text: str) -> list[Any]:
    return ["box", group, x, lane[0], x2, lane[1], text]


def _arrow(group: str, x: float, y: float, x2: float, y2: float) -> list[Any]:
    return ["arrow", group, x, y, x2, y2, ""]


def _text(group: str, x: float, y: float, text: str) -> list[Any]:
    return ["text", group, x, y, "", "", text]


def scheme(_: Inputs) -> Content:
    """One layer in full precision and one under ProxConnect++, the updates of the theory, term by term."""
    up, low = sum(_UP) / 2, sum(_LOW) / 2
    tall = (_LOW[0], _UP[1])
    rows = [
        _text("title", 1.32, 2.3, "full precision"),
        _box("weight", 0.1, 0.96, _UP, "weight\n$w_t$"),
        _box("layer", 1.88, 2.52, tall, "layer\nwith $w_t$,\nloss $f$"),
        _box("update", 0.1, 1.36, _LOW, "update\n$w_{t+1} = w_t - \\eta_t \\nabla f(w_t)$"),
        _arrow("forward", 0.96, up, 1.88, up),
        _arrow("backward", 1.88, low, 1.36, low),
        _text("backward", 1.62, low + 0.12, "$\\nabla f(w_t)$"),
        _arrow("backward", 0.53, _LOW[1], 0.53, _UP[0]),
        _text("title", 4.95, 2.3, "binary: ProxConnect++"),
        _box("weight", 2.82, 3.58, _UP, "latent\nweight $u_t$"),
        _box("weight", 4.12, 4.88, _UP, "proximal\npoint $v_t$"),
        _box("weight", 5.38, 6.14, _UP, "quantized\nweight $w_t$"),
        _box("layer", 6.48, 7.12, tall, "layer\nwith $w_t$,\nloss $f$"),
        _arrow("forward", 3.58, up, 4.12, up),
        _text("forward", 3.85, up + 0.12, "$P$"),
        _text("note", 3.85, up - 0.12, "prox of $r$"),
        _arrow("forward", 4.88, up, 5.38, up),
        _text("forward", 5.13, up + 0.12, "$T$"),
        _text("note", 5.13, up - 0.12, "transform"),
        _arrow("forward", 6.14, up, 6.48, up),
        ["bracket", "forward", 3.2, 1.96, 5.76, 1.9, ""],
        _text("forward", 4.48, 2.07, "$w_t = F(u_t)$,   $F = T$ ∘ $P$"),
        _box("gradient", 5.38, 6.14, _LOW, "gradient\n$\\nabla f(w_t)$"),
        _box("update", 2.82, 4.5, _LOW, "update\n$u_{t+1} = u_t - \\eta_t B(u_t)\\, \\nabla f(w_t)$"),
        _arrow("backward", 6.48, low, 6.14, low),
        _arrow("backward", 5.38, low, 4.5, low),
        _text("backward", 4.94, low + 0.12, "$\\times\\; B(u_t)$"),
        _text("note", 4.94, low - 0.12, f"= $T${_PRIME}$(v_t)$"),
        _arrow("backward", 3.2, _LOW[1], 3.2, _UP[0]),
        _arrow("reads", 4.7, _UP[0], 4.86, low + 0.22),
        _text("backward", 4.94, low - 0.3, f"$B = T${_PRIME} ∘ $P$"),
    ]
    return Content(
        "One layer in full precision, and under ProxConnect++. Forward (solid): the proximal map P of the regularizer "
        "r takes the latent weight u to v = P(u), the transform T takes v to the quantized weight w = T(v) = F(u) that "
        "the layer uses. Backward (dashed): the gradient of the loss at w, times B(u) = T'(v), changes the latent "
        "weight: u(t+1) = u(t) \N{MINUS SIGN} η(t) B(u(t)) ∇f(w(t)). P belongs to μ(t), and μ(t+1) = μ(t) + η(t). "
        "Products are coordinate by coordinate. In full precision P and T are the identity. Dotted: T' is taken at v.",
        "Two diagrams. Left, full precision: the weight goes forward to the layer and its loss, the gradient comes "
        "back and updates the weight. Right, ProxConnect++: latent weight, by P to the proximal point, by T to the "
        "quantized weight, to the layer; back comes the gradient, times B, which is T' at the proximal point, and "
        "updates the latent weight.",
        Table.of(_HEADER, rows),
    )


def canvas(figure: Figure, height: float) -> Axes:
    """Axes over the whole figure, in inches of a paper, without frame, ticks or grid."""
    axes: Axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, WIDTHS[2])
    axes.set_ylim(0, height)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.grid(False)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return axes


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float], color: str, dash: Any, **more: Any) -> None:
    """An arrow from start to end; its tip is solid whatever its dashes."""
    from matplotlib.patches import FancyArrowPatch

    style: dict[str, Any] = {"arrowstyle": "-", "shrinkA": 0, "shrinkB": pt(3.4), "linewidth": pt(1.3)}
    style |= {"color": color, "zorder": 2}
    axes.add_patch(FancyArrowPatch(start, end, **{**style, "linestyle": dash, **more}))
    tip = {**style, "arrowstyle": "-|>", "mutation_scale": pt(7.5), "shrinkB": 0, "linewidth": pt(0.01)}
    tip |= {key: more[key] for key in ("connectionstyle", "zorder") if key in more}
    axes.add_patch(FancyArrowPatch(start, end, **{**tip, "linewidth": pt(0.05)}))


def draw_scheme(table: Table) -> Figure:
    """The diagram from its table: boxes, arrows, texts, in that order."""
    from matplotlib.patches import FancyBboxPatch

    figure = new_figure(2, _HEIGHT, solved=False)
    axes = canvas(figure, _HEIGHT)
    for row in table.rows:
        x, y, x2, y2 = (number(row[key]) for key in ("x", "y", "x2", "y2"))
        color, dash = _STROKES.get(row["group"], (INK, "-"))
        if row["kind"] == "box":
            face = {"layer": "#EFEFEF", "weight": "#EAF2F8", "update": "#FBEDE6"}.get(row["group"], "white")
            look: dict[str, Any] = {"boxstyle": "round,pad=0,rounding_size=0.05", "facecolor": face, "edgecolor": INK}
            axes.add_patch(FancyBboxPatch((x, y), x2 - x, y2 - y, linewidth=pt(0.7), zorder=3, **look))
            axes.text((x + x2) / 2, (y + y2) / 2, row["text"], ha="center", va="center", fontsize=pt(7), zorder=4)
        elif row["kind"] == "arrow":
            arrow(axes, (x, y), (x2, y2), color, dash)
        elif row["kind"] == "bracket":
            axes.plot([x, x, x2, x2], [y2, y, y, y2], color=color, linewidth=pt(1.0))
        else:
            size, weight = (
                (8.5, "bold")
                if row["group"] == "title"
                else (6.5, "normal")
                if row["group"] == "note"
                else (7.5, "normal")
            )
            axes.text(
                x,
                y,
                row["text"],
                ha="center",
                va="center",
                fontsize=pt(size),
                fontweight=weight,
                zorder=5,
                color=_WORDS.get(color, color),
            )
    axes.plot([2.67, 2.67], [0.35, 2.4], color="#BDBDBD", linewidth=pt(0.7))
    names = (("forward", "forward"), ("backward", "backward"), ("reads", "where the derivative of T is taken"))
    handles = [handle(*_STROKES[key], words) for key, words in names]
    figure.legend(handles=handles, loc="lower center", ncols=3, handlelength=3, borderaxespad=0.2)
    return figure


__all__ = ["arrow", "canvas", "draw_scheme", "scheme"]
