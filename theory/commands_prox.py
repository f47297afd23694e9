"""The commands of proximal maps: prox, regularizer, evolve. Imports at the top stay light (typer only)."""

from __future__ import annotations

import importlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from theory.commands import Json, Params, Timeout, _checked_timeout, _mentions, _named_or_expression, _params

if TYPE_CHECKING:
    from theory.analytic import Expr
    from theory.graphs import MonotoneGraph
    from theory.maps import PiecewiseMap
    from theory.proximal import Proximal, Recovered

Latex = Annotated[bool, typer.Option("--latex", help="Print the result in LaTeX.")]
Plot = Annotated[str | None, typer.Option(metavar="FILE", help="Draw the result; .png, .pdf or .svg.")]
At = Annotated[list[str] | None, typer.Option("--at", metavar="X", help="Evaluate at an exact x; repeatable.")]
Digits = Annotated[int, typer.Option(help="Decimals of a value without a closed form.")]

SUFFIXES = (".png", ".pdf", ".svg")
_POINTS = 160  # along one piece of a drawn curve
_plotters: list[Callable[[dict[str, Any], str], None]] = []


def attach_plotter(draw: Callable[[dict[str, Any], str], None]) -> None:
    """Set what draws for --plot: called with the data of the drawing and the file's name."""
    _plotters[:] = [draw]


def prox(
    regularizer: Annotated[str, typer.Option(metavar="EXPR", help="r as an expression in x; oo where it is infinite.")],
    mu: Annotated[str, typer.Option(metavar="Q", help="An exact number > 0, or mu for every mu > 0.")] = "1",
    at: At = None,
    digits: Digits = 15,
    as_json: Json = False,
    latex: Latex = False,
    plot: Plot = None,
    param: Params = None,
    timeout: Timeout = 10.0,
) -> None:
    """The proximal map of a regularizer, P(x) = argmin_w (w - x)^2/(2 mu) + r(w), convex or not, exactly.

    Example: proxpair prox --regularizer "Piecewise((0, x == 1), (0, x == -1), (oo, True))"
    """
    _run(_prox_answer, (regularizer, mu, at or [], digits, param), timeout, as_json, latex, plot)


def regularizer(
    prox: Annotated[str, typer.Option(metavar="EXPR|NAME", help="Proximal map P, or a name such as 'soft threshold'.")],
    mu: Annotated[str, typer.Option(metavar="Q", help="The mu that P belongs to, an exact number > 0.")] = "1",
    as_json: Json = False,
    latex: Latex = False,
    plot: Plot = None,
    param: Params = None,
    timeout: Timeout = 10.0,
) -> None:
    """The regularizers of a proximal map: on its range, the largest and the smallest over its gaps.

    Example: proxpair regularizer --prox "sign(x)"
    """
    _run(_regularizer_answer, (prox, mu, param), timeout, as_json, latex, plot)


def evolve(
    prox: Annotated[str, typer.Option(metavar="EXPR|NAME", help="Proximal map P, or a name such as 'soft threshold'.")],
    start: Annotated[str, typer.Option("--from", metavar="MU", help="The mu that P belongs to.")],
    to: Annotated[str, typer.Option("--to", metavar="MU", help="The mu that is asked for.")],
    reading: Annotated[str, typer.Option(help="r on the gaps of P's range: largest (+oo) or smallest.")] = "largest",
    at: At = None,
    digits: Digits = 15,
    as_json: Json = False,
    latex: Latex = False,
    plot: Plot = None,
    param: Params = None,
    timeout: Timeout = 10.0,
) -> None:
    """The proximal map of the same regularizer at another mu.

    Example: proxpair evolve --prox "sign(x)" --from 1 --to 1/2 --reading smallest
    """
    _run(_evolve_answer, (prox, start, to, reading, at or [], digits, param), timeout, as_json, latex, plot)


def _run(
    answer: Callable[[Any], dict[str, Any]], job: Any, timeout: float, as_json: bool, latex: bool, plot: str | None
) -> None:
    """The answer of a child process as text, JSON or LaTeX; then the drawing."""
    from theory.deadline import Lost, guarded
    from theory.errors import InputError, Undecided

    _checked_timeout(timeout)
    if as_json and latex:
        raise InputError("give --json or --latex, not both")
    if plot is not None:
        _checked_plot(plot)
    for module in ("theory.catalogue", "theory.proximal", "theory.display"):
        importlib.import_module(module)  # once, before the child is forked
    result = next(guarded(answer, [(job, plot is not None)], timeout))
    if isinstance(result, Lost):
        raise Undecided(f"no answer within {timeout:g} s" if result.overran else "the computation died")
    drawing = result.pop("drawing")
    if plot is not None:
        _plotters[0](drawing, plot)
    formula, lines = result.pop("latex"), result.pop("text")
    typer.echo(json.dumps({**result, "latex": formula}) if as_json else formula if latex else "\n".join(lines))


def _checked_plot(plot: str) -> None:
    """Raise `InputError` for a file that cannot be drawn to, before any work is done."""
    from theory.errors import InputError
    from theory.files import is_folder

    if Path(plot).suffix.lower() not in SUFFIXES:
        raise InputError(f"--plot: a file ending in .png, .pdf or .svg was expected, not {plot[:80]!r}")
    if is_folder(plot):
        raise InputError(f"--plot: a file was expected, but {plot[:80]!r} is a folder")
    if not _plotters:
        raise InputError("--plot: nothing that draws is attached; use the command proxpair")


def _given(texts: tuple[str, ...], param: list[str] | None) -> dict[str, Any]:
    """The parameters. Raises `InputError` for one that no expression has."""
    from theory.errors import InputError

    params = _params(param)
    idle = [name for name in params if not any(_mentions(text, name) for text in texts)]
    if idle:
        raise InputError(f"--param {idle[0]}: the expression has no such parameter")
    return params


def _mu(text: str, option: str, symbol: bool = False) -> Any:
    """A value of mu from the command line. Raises `InputError` naming the option."""
    from theory.errors import InputError
    from theory.exact import sign_of
    from theory.parser import parse_constant

    if symbol and text.strip() == "mu":
        return "mu"
    value = parse_constant(text, option)
    if sign_of(value) <= 0:
        raise InputError(f"{option}: a positive number was expected, not {text.strip()[:60]}")
    return value


# --------------------------------------------------------------------------- answers, in the child


def _prox_answer(job: tuple[Any, bool]) -> dict[str, Any]:
    from theory.errors import InputError
    from theory.parser import parse
    from theory.proximal import prox_of

    (text, mu_text, at, digits, param), drawn = job
    mu = _mu(mu_text, "--mu", symbol=True)
    if mu == "mu" and (at or drawn):
        raise InputError("--mu: a number was expected where values or a plot are asked for, not the symbol mu")
    r = parse(text, _given((text,), param), what="--regularizer", allow_infinity=True)
    found = prox_of(r, mu)
    result = {"regularizer": _map_text(r) or " ".join(text.split()), **_proximal_dict(found, at, digits)}
    head = [f"{'regularizer r':<20}{result['regularizer']}"]
    drawing = None
    if drawn:
        drawing = _drawing(f"Proximal map at mu = {result['mu']}", "x", "P(x)", [_curve("P", found.graph)])
    return {**result, "latex": found.graph.latex(), "text": [*head, *_proximal_lines(result)], "drawing": drawing}


def _evolve_answer(job: tuple[Any, bool]) -> dict[str, Any]:
    from theory.graphs import MonotoneGraph
    from theory.proximal import evolve as change

    (text, start, to, reading, at, digits, param), drawn = job
    first, second = _mu(start, "--from"), _mu(to, "--to")
    given = _named_or_expression(text, "prox", _given((text,), param))
    found = change(given, first, second, reading)
    result = {
        "given": _map_text(given),
        "from": _number(first),
        "reading": reading,
        **_proximal_dict(found, at, digits),
    }
    head = [f"{'P at mu = ' + result['from']:<20}{result['given']}", f"{'reading of gaps':<20}{reading}"]
    drawing = None
    if drawn:
        window = _window(found.graph, MonotoneGraph.of(given))
        curves = [
            _curve(f"mu = {result['mu']}", found.graph, window),
            _curve(f"mu = {result['from']}", MonotoneGraph.of(given), window),
        ]
        drawing = _drawing("Proximal map at two mu", "x", "P(x)", curves)
    return {**result, "latex": found.graph.latex(), "text": [*head, *_proximal_lines(result)], "drawing": drawing}


def _regularizer_answer(job: tuple[Any, bool]) -> dict[str, Any]:
    from theory.proximal import regularizer_of

    (text, mu_text, param), drawn = job
    given = _named_or_expression(text, "prox", _given((text,), param))
    found = regularizer_of(given, _mu(mu_text, "--mu"))
    rho = {name: None if c is None else _number(c) for name, c in found.weak_convexity.items()}
    result: dict[str, Any] = {
        "prox": _map_text(given),
        "mu": _number(found.mu),
        "largest": _map_text(found.largest),
        "smallest": _map_text(found.smallest),
        "implicit": found.implicit,
        "gaps": [{"x": _number(x), "from": _number(a), "to": _number(b)} for x, a, b in found.graph.gaps],
        "convex": found.convex,
        "weak_convexity": rho,
    }
    words = {True: "yes", False: "no", None: "not settled"}
    lines = [f"{'proximal map P':<20}{result['prox']}", f"{'mu':<20}{result['mu']}"]
    if found.largest is None:
        lines.append(f"{'regularizer r':<20}no closed form: {found.implicit}")
    elif result["largest"] == result["smallest"]:
        lines.append(f"{'regularizer r':<20}{result['largest']}")
    else:
        lines += [f"{'largest r':<20}{result['largest']}", f"{'smallest r':<20}{result['smallest']}"]
    lines += [f"{'convex r':<20}{words[found.convex]}"]
    both = rho["largest"], rho["smallest"]
    settled = [c if c is not None else "not settled" for c in both]
    text_rho = settled[0] if both[0] == both[1] else f"largest {settled[0]}, smallest {settled[1]}"
    lines += [f"{'weak convexity':<20}{text_rho}"]
    drawing = _drawing("Regularizer", "w", "r(w)", _r_curves(found)) if drawn else None
    return {**result, "latex": found.latex(), "text": lines, "drawing": drawing}


def _map_text(m: PiecewiseMap | None) -> str | None:
    """A map in the grammar, None without a form there."""
    from theory.errors import Undecided
    from theory.printing import to_text

    try:
        return None if m is None else to_text(m)
    except Undecided:
        return None


def _number(c: Expr, digits: int = 15) -> str:
    """An exact constant in the grammar, or the decimals that its enclosure settles."""
    from theory.errors import Undecided
    from theory.implicit import enclose_to
    from theory.printing import expression_text

    try:
        return expression_text(c)
    except Undecided:
        return enclose_to(c, digits + 2).text(digits)


def _proximal_dict(found: Proximal, at: list[str], digits: int) -> dict[str, Any]:
    """What is said of a proximal map: its text or its pieces by a parameter s, its jumps, its values."""
    from theory.parser import parse_constant
    from theory.proximal import evaluate

    text = _map_text(found.map)
    values = []
    for x in at:
        here = evaluate(found, parse_constant(x, "--at"), digits)
        points = [
            {
                "exact": None if c.exact is None else _number(c.exact),
                "lower": str(c.lo),
                "upper": str(c.hi),
                "decimal": c.text(digits),
            }
            for c in here.points
        ]
        values.append({"x": x.strip(), "values": points, "filled": here.filled})
    return {
        "mu": _number(found.mu),
        "prox": text,
        "implicit": None if text is not None else _implicit(found.graph),
        "jumps": [
            {"x": _number(q.x), "from": _number(q.lo), "to": _number(q.hi), "filled": q.filled}
            for q in found.graph.verticals
        ],
        "at": values,
        "notes": list(found.notes),
    }


def _implicit(graph: MonotoneGraph) -> list[str]:
    """Each piece of a graph in words, by its parameter s."""
    from theory.exact import X
    from theory.graphs import S

    rows = []
    for q in graph.pieces:
        if q.kind == "vertical":
            continue
        where = f"{_number(q.from_x)} < x < {_number(q.to_x)}"
        e = q.p_of_x
        if e is not None:
            rows.append(f"P(x) = {e} for {where}")
        else:
            rows.append(f"P(x) = {q.p.subs(X, S)} with {q.x.subs(X, S)} = x for {where}")
    return rows


def _proximal_lines(result: dict[str, Any]) -> list[str]:
    lines = [f"{'mu':<20}{result['mu']}"]
    if result["prox"] is not None:
        lines.append(f"{'proximal map P':<20}{result['prox']}")
    else:
        lines.append(f"{'proximal map P':<20}no closed form:")
        lines += [f"  {row}" for row in result["implicit"]]
    for jump in result["jumps"]:
        brackets = "[]" if jump["filled"] else "{}"
        lines.append(f"{'jump':<20}P({jump['x']}) = {brackets[0]}{jump['from']}, {jump['to']}{brackets[1]}")
    for row in result["at"]:
        texts = [c["exact"] or c["decimal"] for c in row["values"]]
        brackets = "[]" if row["filled"] else "{}"
        inside = texts[0] if len(texts) == 1 else f"{brackets[0]}{', '.join(texts)}{brackets[1]}"
        lines.append(f"{'value':<20}P({row['x']}) = {inside}")
    lines += [f"{'note':<20}{note}" for note in result["notes"]]
    return lines


# --------------------------------------------------------------------------- data of the drawings


def _drawing(title: str, across: str, up: str, curves: list[dict[str, Any]]) -> dict[str, Any]:
    """What `attach_plotter`'s function draws: floats only, taken from enclosures."""
    return {"title": title, "across": across, "up": up, "curves": curves}


def _window(*graphs: MonotoneGraph) -> tuple[Expr, Expr]:
    """A rational window of x around every finite breakpoint."""
    import sympy as sp

    from theory.exact import to_float

    ends = [to_float(c) for g in graphs for q in g.pieces for c in (q.from_x, q.to_x) if c.is_finite]
    low, high = (min(ends), max(ends)) if ends else (0.0, 0.0)
    pad = max(1.5, (high - low) / 2)
    return sp.Rational(round((low - pad) * 8), 8), sp.Rational(round((high + pad) * 8), 8)


def _curve(label: str, graph: MonotoneGraph, window: tuple[Expr, Expr] | None = None) -> dict[str, Any]:
    """The lines of a graph over a window; jumps with both ends marked, filled or as a gap."""
    from theory.exact import to_float

    lines: list[list[tuple[float, float]]] = []
    gaps: list[list[tuple[float, float]]] = []
    dots: list[tuple[float, float]] = []
    for q in graph.restrict(*(window or _window(graph))).pieces:
        if q.kind == "vertical":
            x, low, high = (to_float(c) for c in (q.x, q.lo, q.hi))
            (lines if q.filled else gaps).append([(x, low), (x, high)])
            dots += [] if q.filled else [(x, low), (x, high)]
            continue
        if q.filled:
            inside = [
                (to_float(q.from_x), to_float(q.from_p)),
                *_samples(q.x, q.p, q.lo, q.hi),
                (to_float(q.to_x), to_float(q.to_p)),
            ]
            lines.append(inside)
    return {"label": label, "lines": lines, "gaps": gaps, "dots": dots}


def _samples(x: Expr, y: Expr, lo: Expr, hi: Expr) -> list[tuple[float, float]]:
    """Points (x(s), y(s)) for s inside (lo, hi), finite ends; closer together towards the ends."""
    from theory.balls import arb
    from theory.exact import enclose, precision

    found = []
    with precision(96):
        a, b = enclose(lo), enclose(hi)
        for k in range(1, _POINTS):
            s = (a + (b - a) * (arb(k) / (2 * _POINTS)).sin_pi() ** 2).mid()
            point = enclose(x, s), enclose(y, s)
            if all(c.is_finite() for c in point):
                found.append((float(point[0].mid()), float(point[1].mid())))
    return found


def _r_curves(found: Recovered) -> list[dict[str, Any]]:
    """The two readings of r over the range of P; by values where they have no closed form."""
    if found.largest is None or found.smallest is None:
        return [_r_by_values(found)]
    window = _window(found.graph.inverse())
    curves = [_r_curve("r", found.largest, window)]
    if found.largest != found.smallest:
        curves = [_r_curve("largest r", found.largest, window), _r_curve("smallest r", found.smallest, window)]
    return curves


def _r_curve(label: str, r: PiecewiseMap, window: tuple[Expr, Expr]) -> dict[str, Any]:
    from theory.analytic import limit_at
    from theory.exact import X, less, to_float
    from theory.maps import OO

    lines, dots = [], []
    for e, (a, b) in zip(r.exprs, r.ends, strict=True):
        lo, hi = window[0] if less(a, window[0]) else a, window[1] if less(window[1], b) else b
        if e is not OO and less(lo, hi):
            ends = [(c, limit_at(e, c, side)) for c, side in ((lo, 1), (hi, -1))]
            first, last = ([(to_float(c), to_float(v))] if v.is_finite else [] for c, v in ends)
            lines.append([*first, *_samples(X, e, lo, hi), *last])
    for k, (b, v) in enumerate(zip(r.breaks, r.values, strict=True)):
        if v is not None and v is not OO and not (_joins(r.left(k), v) and _joins(r.right(k), v)):
            dots.append((to_float(b), to_float(v)))
    return {"label": label, "lines": lines, "gaps": [], "dots": dots}


def _joins(beside: Expr, v: Expr) -> bool:
    """A curve reaches the value at its end."""
    from theory.exact import equal

    return bool(beside.is_finite) and equal(beside, v)


def _r_by_values(found: Recovered) -> dict[str, Any]:
    """r along the graph, where it has no closed form as a function of w."""
    import sympy as sp

    from theory.exact import less

    edge = sp.Integer(4)
    lines = []
    for w, r, lo, hi in found.along():
        a, b = -edge if less(lo, -edge) else lo, edge if less(edge, hi) else hi
        lines += [_samples(w, r, a, b)] if less(a, b) else []
    return {"label": "r", "lines": lines, "gaps": [], "dots": []}


__all__ = ["attach_plotter", "evolve", "prox", "regularizer"]
