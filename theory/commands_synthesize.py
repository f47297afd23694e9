"""The command synthesize: pairs from (T, P), (F, P), (B, P), F or B, and the grid. Imports at the top stay light."""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from theory.commands import (
    Json,
    Params,
    Timeout,
    _checked_timeout,
    _load,
    _mentions,
    _named_or_expression,
    _params,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from theory.maps import PiecewiseMap
    from theory.synthesis import Synthesized

_DIRECTIONS = (
    {"transform", "prox"},
    {"forward", "prox"},
    {"backward", "prox"},
    {"forward"},
    {"backward"},
)
_EXPECTED = (
    "expected one of: --transform with --prox, --forward with --prox, --backward with --prox, --forward alone, "
    "--backward alone, or --grid"
)
_ONLY_GRID = ("front", "latex", "transforms", "proxes", "values", "levels", "sort", "grade")
SHARE = 0.5  # of the time for making a pair; the rest is for judging it


def synthesize(
    transform: Annotated[
        str | None, typer.Option(metavar="EXPR|NAME", help="Transform T, or a name such as 'clip'.")
    ] = None,
    prox: Annotated[
        str | None, typer.Option(metavar="EXPR|NAME", help="Proximal map P, or a name such as 'soft threshold'.")
    ] = None,
    forward: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Forward map F: with --prox T is solved for, alone all choices.")
    ] = None,
    backward: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Backward map B: F is its integral along P (alone: P = id).")
    ] = None,
    centre: Annotated[
        str | None, typer.Option(metavar="Q", help="With --backward: the value F(0), which B leaves open; 0 if absent.")
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="All pairs of the two libraries, judged and compared.")] = False,
    front: Annotated[bool, typer.Option("--front", help="With --grid: only the front of the trade-offs.")] = False,
    transforms: Annotated[
        str | None, typer.Option(metavar="NAMES", help="With --grid: names of transforms, separated by commas.")
    ] = None,
    proxes: Annotated[
        str | None, typer.Option(metavar="NAMES", help="With --grid: names of proximal maps, separated by commas.")
    ] = None,
    values: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME=Q,Q", help='With --grid: values of a parameter, as "beta=1,2,5"; repeatable.'),
    ] = None,
    levels: Annotated[
        str | None, typer.Option(metavar="Q,Q", help="With --grid: levels of the hard quantizer; -1,1 if absent.")
    ] = None,
    sort: Annotated[
        str | None, typer.Option(metavar="KEY", help="With --grid: the criterion that rows are sorted by first.")
    ] = None,
    grade: Annotated[
        str | None, typer.Option(metavar="GRADE", help="With --grid: keep smooth pairs only, or lipschitz ones too.")
    ] = None,
    as_json: Json = False,
    latex: Annotated[bool, typer.Option("--latex", help="With --grid: print a LaTeX table.")] = False,
    param: Params = None,
    timeout: Timeout = 10.0,
) -> None:
    """Make principled pairs F = T o P, B = T' o P from what is given of T, P, F and B, or all pairs of a grid.

    Example: proxpair synthesize --transform "tanh(2*x)" --prox "soft threshold"
    """
    from theory.errors import InputError

    _checked_timeout(timeout)
    texts = {"transform": transform, "forward": forward, "backward": backward, "prox": prox}
    given = {k: v for k, v in texts.items() if v is not None}
    asked = {"front": front, "latex": latex, "transforms": transforms, "proxes": proxes, "values": values}
    asked |= {"levels": levels, "sort": sort, "grade": grade}
    if grid:
        if given or centre is not None or param:
            name = next(iter(given), "centre" if centre is not None else "param")
            hint = "; give parameters as --values NAME=Q,Q" if name == "param" else ""
            raise InputError(f"--grid takes its maps from the libraries: do not give --{name}{hint}")
        if latex and as_json:
            raise InputError("give --json or --latex, not both")
        _grid({k: v for k, v in asked.items() if k in _ONLY_GRID}, as_json, timeout)
        return
    idle = next((k for k in _ONLY_GRID if asked[k]), None)
    if idle is not None:
        raise InputError(f"--{idle} belongs to --grid")
    if set(given) not in _DIRECTIONS:
        names = " and ".join(f"--{k}" for k in given) or "none of them"
        raise InputError(f"{_EXPECTED}; given: {names}")
    if centre is not None and "backward" not in given:
        raise InputError("--centre is the value F(0) where F is integrated: it belongs to --backward")
    _one(given, centre, param, as_json, timeout)


# --------------------------------------------------------------------------- one direction


def _one(given: dict[str, str], centre: str | None, param: list[str] | None, as_json: bool, timeout: float) -> None:
    from theory.checking import exit_code
    from theory.deadline import Lost, guarded
    from theory.errors import Undecided

    _load()
    importlib.import_module("theory.synthesis")
    result = next(guarded(_made, [(given, centre, param, timeout)], timeout))
    if isinstance(result, Lost):
        raise Undecided(f"the pair was not composed within {timeout:g} s")
    rows = result.get("choices", [result])
    if as_json:
        typer.echo(json.dumps(result))
    else:
        typer.echo("\n\n".join("\n".join(_lines(r)) for r in rows))
        for m in result.get("left_out", ()):
            typer.echo(f"\nleft out: {m['choice']}\n  {m['reason']}")
    raise typer.Exit(max(exit_code(r["verdict"]) for r in rows))


def _lines(d: dict[str, Any]) -> list[str]:
    """One synthesized pair as text."""
    lines = [f"{'choice':<20}{d['choice']}"] if "choice" in d else []
    for label, key in (
        ("verdict", "verdict"),
        ("forward F", "forward"),
        ("backward B", "backward"),
        ("transform T", "transform"),
        ("proximal map P", "prox"),
    ):
        lines.append(f"{label:<20}{d[key] or 'no closed form: ' + d['implicit'].get(key, '')}")
    r = d["regularizer"]
    lines.append(f"{'regularizer r':<20}{r['largest'] or 'no closed form: ' + d['implicit'].get('regularizer', '')}")
    lines.append(f"{'convex r':<20}{ {True: 'yes', False: 'no', None: 'not settled'}[d['convex_regularizer']] }")
    return lines


def _made(job: tuple[dict[str, str], str | None, list[str] | None, float]) -> dict[str, Any]:
    given, centre, param, timeout = job
    params = _params(param)
    if set(given) == {"transform", "prox"}:
        return synthesized_dict(given["transform"], given["prox"], params, timeout, with_theory=True)
    return directed_dict(given, params, centre, timeout, with_theory=True)


def _check_idle(params: dict[str, Any], given: dict[str, str]) -> None:
    from theory.errors import InputError

    words = {"transform": "the transform", "prox": "the proximal map", "forward": "the forward map"}
    words["backward"] = "the backward map"
    idle = [name for name in params if not any(_mentions(text, name) for text in given.values())]
    if idle:
        named = [words[k] for k in given]
        whose = f"neither {named[0]} nor {named[1]} has" if len(named) == 2 else f"{named[0]} has not"
        raise InputError(f"--param {idle[0]}: {whose} such a parameter")


def _within(seconds: float, make: Callable[[], Any], timeout: float) -> Any:
    """make() within its share of the time. Raises `Undecided` otherwise."""
    from theory.deadline import DeadlinePassed, limit
    from theory.errors import Undecided

    try:
        with limit(seconds, final=True):
            return make()
    except DeadlinePassed:
        raise Undecided(f"the pair was not composed within {timeout:g} s") from None
    except (RecursionError, MemoryError):
        raise Undecided("the maps are nested too deeply") from None


def _object(made: Synthesized, texts: tuple[str, str], timeout: float, with_theory: bool) -> dict[str, Any]:
    """The object of `check` on a synthesized pair, with its forward and backward and the (T, P, r) it came from."""
    from theory.checking import check as decide_pair
    from theory.checking import decomposition_texts

    pair = made.pair
    result = decide_pair(pair.forward, pair.backward, timeout=timeout, with_theory=with_theory).as_dict()
    result.update(decomposition_texts(made.decomposition))
    result.update({"choice": made.choice} if made.choice else {})
    return {**result, "forward": texts[0], "backward": texts[1]}


def _pair_texts(made: Synthesized) -> tuple[str, str]:
    from theory.printing import to_text

    return to_text(made.pair.forward), to_text(made.pair.backward)


def synthesized_dict(
    transform: str, prox: str, params: dict[str, Any], timeout: float = 10.0, with_theory: bool = False
) -> dict[str, Any]:
    """The object of `check` for a synthesized pair, with its forward and backward, and the given (T, P, r).

    Raises `InputError` on bad input; `Undecided` where a crossing has no closed form or time runs out.
    """
    from theory.synthesis import synthesize as make

    _check_idle(params, {"transform": transform, "prox": prox})
    end = time.monotonic() + timeout

    def work() -> tuple[Synthesized, tuple[str, str]]:
        made = make(_named_or_expression(transform, "transform", params), _named_or_expression(prox, "prox", params))
        return made, _pair_texts(made)

    made, texts = _within(timeout * SHARE, work, timeout)
    return _object(made, texts, max(end - time.monotonic(), timeout / 4), with_theory)


def directed_dict(
    given: dict[str, str],
    params: dict[str, Any],
    centre: str | None = None,
    timeout: float = 10.0,
    with_theory: bool = False,
) -> dict[str, Any]:
    """The object of `check` for the pair of (F, P), (B, P) or B, with its (T, P, r) and ``choice``, what was chosen.

    F alone: {forward, choices: such objects, left_out: [{choice, reason}]}. Raises `InputError` on bad input,
    also where no choice exists; `Undecided` where there is no closed form or time runs out.
    """
    from theory.errors import InputError, Undecided
    from theory.maps import IDENTITY
    from theory.parser import parse, parse_constant
    from theory.printing import to_text
    from theory.synthesis import canonical_choices, integrate_backward, solve_transform

    _check_idle(params, given)
    end = time.monotonic() + timeout

    def read(name: str) -> PiecewiseMap:
        if name == "prox":
            found: PiecewiseMap = _named_or_expression(given[name], name, params)
            return found
        return parse(given[name], params, what=f"--{name}")

    def left() -> float:
        return max(end - time.monotonic(), timeout / 4)

    if set(given) == {"forward"}:
        forward = read("forward")
        made, missing = _within(timeout * SHARE, lambda: canonical_choices(forward), timeout)
        if not made:
            reasons = "; ".join(f"{m.choice}: {m.reason}" for m in missing)
            raise InputError(f"--forward: no canonical choice of T and P exists ({reasons})")
        rows = []
        left_out = [{"choice": m.choice, "reason": m.reason} for m in missing]
        for k, one in enumerate(made):
            share = max((end - time.monotonic()) / (len(made) - k), timeout / 20)
            try:
                rows.append(_object(one, _pair_texts(one), share, with_theory))
            except Undecided as reason:
                left_out.append({"choice": one.choice, "reason": str(reason)})
        if not rows:
            raise Undecided("no pair could be written down")
        return {"forward": to_text(forward), "choices": rows, "left_out": left_out}

    def work() -> tuple[Synthesized, tuple[str, str]]:
        if "forward" in given:
            one = solve_transform(read("forward"), read("prox"))
        else:
            at_zero = parse_constant(centre if centre is not None else "0", "--centre")
            one = integrate_backward(read("backward"), read("prox") if "prox" in given else IDENTITY, at_zero)
        return one, _pair_texts(one)

    one, texts = _within(timeout * SHARE, work, timeout)
    return _object(one, texts, left(), with_theory)


# --------------------------------------------------------------------------- the grid


def _grid(asked: dict[str, Any], as_json: bool, timeout: float) -> None:
    from theory import grid

    _load()
    plan = grid.plan(
        asked["transforms"], asked["proxes"], asked["values"] or (), asked["levels"], asked["sort"], asked["grade"]
    )
    found = grid.run(plan, timeout, os.cpu_count() or 1, _with_bar)
    rows = [r for r in found.rows if r["on_front"] is not False] if asked["front"] else found.rows
    if as_json:
        typer.echo(json.dumps([grid.public(r) for r in rows]))
    elif asked["latex"]:
        typer.echo(grid.latex(rows, plan))
    else:
        typer.echo(grid.text(rows, plan))
    typer.echo(found.summary(len(rows)), err=True)


def _with_bar(answers: Iterable[Any], total: int) -> Sequence[Any]:
    """All answers, counted by a bar on stderr where that is a terminal."""
    if not sys.stderr.isatty():
        return list(answers)
    from theory.console import progress

    out = []
    bar = progress()
    bar.live.auto_refresh = False  # no thread: the children of the grid are forked meanwhile
    with bar:
        task = bar.add_task("pairs", total=total)
        for answer in answers:
            out.append(answer)
            bar.advance(task)
            bar.refresh()
    return out


__all__ = ["directed_dict", "synthesize", "synthesized_dict"]
