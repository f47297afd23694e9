"""Maps that change with a parameter: P with mu, T with its sharpness, and from the identity to the projection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from figures.data import Inputs, Table, number
from figures.pairs import axis, draw_map
from figures.parts import Content, handle
from figures.sampling import Point, trace, trace_graph
from figures.style import new_figure, ramp
from theory.catalogue import PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.maps import PiecewiseMap
from theory.parser import parse, parse_constant

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_HEADER = ("panel", "what", "parameter", "value", "kind", "piece", "x", "y")
_MUS = ("1/4", "1", "4", "16")
_BETAS = ("1", "2", "5", "20")
_THETAS = ("0", "1/4", "1/2", "3/4", "1")


def _at(text: str, params: Mapping[str, str]) -> PiecewiseMap:
    return parse(text, {k: parse_constant(v, k) for k, v in params.items()}, allow_infinity=True)


def _rows(panel: str, what: str, parameter: str, value: str, m: PiecewiseMap, lo: float, hi: float) -> list[list[Any]]:
    return [[panel, what, parameter, value, p.kind, p.piece, p.x, p.y] for p in trace(m, lo, hi)]


def _evolved(name: str, mu: str, half: Any) -> list[Point]:
    """The proximal map of the same, largest, regularizer at another mu; the library's own is that at mu = 1."""
    from theory.proximal import evolve

    entry = PROX_LIBRARY[name]
    return trace_graph(evolve(_at(entry.prox, entry.params), 1, parse_constant(mu, "mu")).graph, -half, half)


def evolution(_: Inputs) -> Content:
    """P of one regularizer as mu grows, twice, and T as it gets sharper."""
    rows: list[list[Any]] = []
    half = parse_constant("5/2", "half a window")
    for name in ("BinaryRelax", "tanh"):
        for mu in _MUS:
            rows += [[name, "P", "mu", mu, p.kind, p.piece, p.x, p.y] for p in _evolved(name, mu, half)]
    entry = TRANSFORM_LIBRARY["SwishSign"]
    for beta in _BETAS:
        rows += _rows(entry.name, "T", "beta", beta, _at(entry.transform, {**entry.params, "beta": beta}), -2.5, 2.5)
    return Content(
        "Left and middle: the proximal map P of one regularizer r as μ grows, from BinaryRelax (r not convex; P jumps "
        "at 0, where it has both values, and tends to the sign) and from tanh (r convex; P tends to the minimiser of "
        "r, which is 0). At μ = 1 they are those of the library; the others belong to the same, largest, r exactly. "
        "Right: the transform T = SwishSign as its sharpness β grows; it exceeds 1 before it comes back to 1.",
        "Three panels: P of BinaryRelax and of tanh for four values of mu, and the transform SwishSign for four "
        "values of beta.",
        Table.of(_HEADER, rows),
    )


def _symbol(parameter: str) -> str:
    return {"mu": "μ", "beta": "β", "theta": "θ", "width": "s"}[parameter]


def draw_evolution(table: Table) -> Figure:
    """Three panels; the legends name the parameters' values."""
    figure = new_figure(2, 2.35)
    panels = table.values("panel")
    for axes, panel in zip(figure.subplots(1, len(panels)), panels, strict=True):
        rows = table.where(panel=panel)
        what, parameter = rows[0]["what"], rows[0]["parameter"]
        values = list(dict.fromkeys(r["value"] for r in rows))
        for value, style in zip(values, ramp(len(values)), strict=True):
            draw_map(axes, table.where(panel=panel, value=value), style.color, style.dash, 1.4, 3.0)
        xs = [number(r["x"]) for r in rows]
        axis(axes, rows, min(xs), max(xs), 2.5)
        axes.set_title(f"{panel}, ${what}({'x' if what == 'P' else 'v'})$")
        axes.set_xlabel("latent weight $x$" if what == "P" else "proximal point $v$")
        axes.set_ylabel(f"${what}$")
        # all of these maps are odd and grow, so that corner is free
        axes.legend(handles=_named(parameter, values), loc="lower right", handlelength=2.6, borderaxespad=0.1)
    return figure


def _named(parameter: str, values: Sequence[str]) -> list[Any]:
    styles = ramp(len(values))
    return [handle(s.color, s.dash, f"{_symbol(parameter)} = {v}") for s, v in zip(styles, values, strict=True)]


def family(_: Inputs) -> Content:
    """Two families between the identity and the projection onto {-1, 1}: P, and the largest r of P."""
    from theory.proximal import regularizer_of

    relax, linear = (PROX_LIBRARY[name] for name in ("BinaryRelax", "horizontal and vertical"))
    rows: list[list[Any]] = []
    for theta in _THETAS:
        for panel, parameter, entry, params in (
            ("BinaryRelax", "theta", relax, {"theta": theta}),
            ("piecewise linear", "width", linear, {"horizontal": theta, "vertical": theta}),
        ):
            # the declared formulas divide by 0 at the end, where the map is the projection itself
            p = _at("sign(x)", {}) if theta == "1" else _at(entry.prox, params)
            rows += _rows(panel, "P", parameter, theta, p, -2.0, 2.0)
            r = regularizer_of(p).largest
            assert r is not None  # pieces of at most second degree; a test draws them
            reach = 2.0 if panel == "BinaryRelax" else 1.25
            rows += [row for row in _rows(panel, "r", parameter, theta, r, -reach, reach) if row[4] != "infinite"]
    return Content(
        "Two families from the identity (0) to the projection onto {-1, 1} (1), P left and its largest regularizer r "
        "at μ = 1 right. Top: BinaryRelax, P = (1 - θ) x + θ sign(x). Below: the piecewise-linear family with flat "
        "runs and jumps of half-width and half-height s, constant beyond -1 and 1; at 0 it is the identity between "
        "them. r is drawn where it is finite: it is +∞ on the gap of P's range, and outside the range; of the "
        "projection only two points are left.",
        "Four panels: P and r of BinaryRelax for five values of theta, and of the piecewise-linear family for five "
        "widths, from the identity to the projection.",
        Table.of(_HEADER, rows),
    )


def draw_family(table: Table) -> Figure:
    """Rows: families. Columns: P, r."""
    figure = new_figure(2, 4.1)
    names = table.values("panel")
    grid = figure.subplots(len(names), 2)
    for line, panel in zip(grid, names, strict=True):
        values = list(dict.fromkeys(r["value"] for r in table.where(panel=panel)))
        for axes, what in zip(line, ("P", "r"), strict=True):
            every = table.where(panel=panel, what=what)
            for value, style in zip(values, ramp(len(values)), strict=True):
                rows = table.where(panel=panel, what=what, value=value)
                draw_map(axes, rows, style.color, style.dash, 1.4, 3.0)
            xs = [number(r["x"]) for r in every]
            pad = 0.06 * (max(xs) - min(xs)) if what == "r" else 0.0
            axis(axes, every, min(xs) - pad, max(xs) + pad, 2.5)
            axes.set_title(f"{panel}, ${what}({'x' if what == 'P' else 'v'})$")
            axes.set_xlabel("latent weight $x$" if what == "P" else "proximal point $v$")
            axes.set_ylabel(f"${what}$")
        parameter = table.where(panel=panel)[0]["parameter"]
        line[0].legend(handles=_named(parameter, values), loc="lower right", handlelength=2.6, borderaxespad=0.1)
    return figure


__all__ = ["draw_evolution", "draw_family", "evolution", "family"]
