"""The command check, and what the other commands of theory/ share. Imports at the top stay light (typer only)."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from theory.checking import Check

Params = Annotated[
    list[str] | None, typer.Option("--param", metavar="NAME=VALUE", help="Exact value of a parameter; repeatable.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the JSON object instead of text.")]
Timeout = Annotated[float, typer.Option(help="Seconds after which an open question is answered 'undecided'.")]

_MAX_BATCH_LINE = 200_000


def _params(texts: list[str] | None) -> dict[str, Any]:
    from theory.errors import InputError
    from theory.parser import parse_param

    given: dict[str, Any] = {}
    for text in texts or []:
        name, value = parse_param(text)
        if name in given:
            raise InputError(f"--param {name}: one value was expected, it is given twice")
        given[name] = value
    return given


def _checked_timeout(timeout: float) -> float:
    from theory.errors import InputError

    if not 0 < timeout < math.inf:
        raise InputError(f"--timeout: a positive finite number of seconds was expected, not {timeout:g}")
    return timeout


def check(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A catalogue name, for example BNN.")] = None,
    forward: Annotated[str | None, typer.Option(metavar="EXPR", help="Forward map F as an expression in x.")] = None,
    backward: Annotated[str | None, typer.Option(metavar="EXPR", help="Backward map B as an expression in x.")] = None,
    batch: Annotated[
        str | None, typer.Option(metavar="FILE", help="JSON lines {id, forward, backward}; - is standard input.")
    ] = None,
    as_json: Json = False,
    timeout: Timeout = 10.0,
    param: Params = None,
    assume: Annotated[
        list[str] | None,
        typer.Option("--assume", metavar="RANGE", help='A range of a parameter, such as "beta > 0"; repeatable.'),
    ] = None,
    steps: Annotated[
        str | None, typer.Option(metavar="EXPR", help="Step sizes eta_t to judge, for example c/sqrt(t).")
    ] = None,
    latex: Annotated[bool, typer.Option("--latex", help="Print F, B, T, P and r in LaTeX.")] = False,
    certificate: Annotated[str | None, typer.Option(metavar="FILE", help="Write a certificate of the verdict.")] = None,
) -> None:
    """Is a forward-backward pair principled? Exit code 0 yes, 1 no, 3 undecided, 2 bad input.

    Example: proxpair check --forward "sign(x)" --backward "Piecewise((1, Abs(x) <= 1), (0, True))"
    """
    from theory.errors import InputError

    if assume and certificate is not None:
        raise InputError("--certificate: a certificate is written for one value of a parameter, not with --assume")
    if latex and (as_json or batch is not None):
        raise InputError("--latex prints one decomposition: give neither --json nor --batch")
    if steps is not None and (assume or batch is not None):
        raise InputError("--steps judges one pair at given values of parameters: give neither --assume nor --batch")
    _checked_timeout(timeout)
    if certificate is not None:
        from theory.commands_certificate import writable

        if batch is not None:
            raise InputError("--certificate writes the certificate of one pair: --batch takes many")
        writable(certificate)
    if batch is not None:
        if assume:
            raise InputError("--batch checks at given values of parameters: --assume takes one pair at a time")
        if name is not None or forward is not None or backward is not None:
            raise InputError("--batch takes its pairs from the file: give neither NAME nor --forward nor --backward")
        _batch(batch, timeout, _params(param))
        return
    if name is not None:
        if forward is not None or backward is not None:
            raise InputError("give either a catalogue NAME or --forward and --backward, not both")
        from theory.catalogue import lookup

        lookup(name)
    elif forward is None or backward is None:
        raise InputError("expected a catalogue NAME, or both --forward EXPR and --backward EXPR, or --batch FILE")
    from theory.checking import lost
    from theory.deadline import Lost, guarded

    _load()
    if assume:
        importlib.import_module("theory.parameters")
    form = "latex" if latex else "json" if as_json else "text"
    answer = next(guarded(_answer, [(name, forward, backward, param, assume, steps, timeout, form)], timeout))
    code, text = _written(lost(answer, timeout), form) if isinstance(answer, Lost) else answer
    typer.echo(text)
    if certificate is not None:
        from theory.commands_certificate import write

        importlib.import_module("theory.certificates")
        write(certificate, (name, forward or "", backward or "", _params(param), timeout))
    raise typer.Exit(code)


def _load() -> None:
    """Import what a child of `guarded` needs once, before it is forked."""
    for module in ("theory.catalogue", "theory.checking", "theory.printing"):
        importlib.import_module(module)


def _answer(
    job: tuple[str | None, str, str, list[str] | None, list[str] | None, str | None, float, str],
) -> tuple[int, str]:
    """One verdict: exit code and text."""
    from theory.checking import check as decide_pair

    name, forward, backward, param, assume, steps, timeout, form = job
    given = _params(param)
    if name is not None:
        return _written(check_entry(name, given, timeout, assume or (), steps), form)
    result = decide_pair(forward, backward, params=given, timeout=timeout, assume=assume or (), steps=steps)
    return _written(result, form)


def _written(result: Check, form: str) -> tuple[int, str]:
    """The exit code and the text: json, latex or plain."""
    if form == "json":
        return result.exit_code, json.dumps(result.as_dict())
    if form == "latex":
        from theory.display import check_latex

        return result.exit_code, check_latex(result)
    return result.exit_code, describe(result)


def check_entry(
    name: str,
    params: dict[str, Any],
    timeout: float,
    assume: Sequence[str] = (),
    steps: str | None = None,
    with_theory: bool = True,
) -> Check:
    """`check` on a catalogue entry: its texts take the same path as any expression.

    ``assume``: ranges of its parameters; their defaults are the stated values where they lie in them.
    """
    from theory.catalogue import lookup
    from theory.checking import check as decide_pair
    from theory.errors import InputError

    entry = lookup(name)
    unknown = sorted(set(params) - set(entry.params))
    if unknown:
        known = ", ".join(entry.params) or "it has none"
        raise InputError(f"--param {unknown[0]}: {entry.name} has no such parameter ({known})")
    if assume:
        from theory.assumptions import refuse_names
        from theory.parameters import check_range
        from theory.parser import parse_constant

        refuse_names(assume, tuple(entry.params), entry.name)
        defaults = {k: parse_constant(v, f"parameter {k}") for k, v in entry.params.items()}
        result = check_range(
            entry.forward, entry.backward, assume=assume, params=params, stated=defaults, timeout=timeout
        )
        return replace(result, extra={"name": entry.name, **result.extra})
    values = {**entry.params, **params}
    result = decide_pair(
        entry.forward, entry.backward, params=values, timeout=timeout, steps=steps, with_theory=with_theory
    )
    return replace(result, extra={"name": entry.name})


def describe(result: Check) -> str:
    """The verdict as plain text for people."""
    return describe_object(result.as_dict())


def describe_object(d: dict[str, Any]) -> str:
    """The object of `check` as plain text for people."""
    from theory.corollaries import summary

    title = f"{d['name']}: " if "name" in d else ""
    lines = [f"{title}{d['verdict'].upper()}", f"  {d['reason']}"]

    def row(label: str, value: object) -> None:
        lines.append(f"  {label:<22}{value}")

    words = {True: "yes", False: "no", None: "not settled"}
    without = "" if "holds_for" in d else "no closed form: "
    if d.get("convex_when") is not None:
        words[None] = f"iff {d['convex_when']}"
    if d["verdict"] in ("smooth", "lipschitz"):
        row("transform T", d["transform"] or f"{without}{d['implicit'].get('transform')}")
        row("proximal map P", d["prox"] or f"{without}{d['implicit'].get('prox')}")
        r = d["regularizer"] or {"largest": None, "smallest": None}
        if r["largest"] == r["smallest"]:
            row("regularizer r", r["largest"] or f"{without}{d['implicit'].get('regularizer')}")
        else:
            row("largest r", r["largest"])
            row("smallest r", r["smallest"])
        row("convex regularizer", words[d["convex_regularizer"]])
    if d["witness"]:
        row("witness", f"{d['witness']['kind']} at x = {', '.join(d['witness']['points'])}")
    literal = {True: "holds", False: "fails", None: "no one answer" if "holds_for" in d else "has no meaning here"}
    row("literal criterion", literal[d["literal_criterion"]])
    if "holds_for" in d:
        row("holds for", d["holds_for"])
        for case in d["cases"] if len(d["cases"]) > 1 else ():
            row("case", f"{case['range']}: {case['verdict']} ({case['reason']})")
    for label, value in summary(d):
        row(label, value)
    for note in d["notes"]:
        row("note", note)
    for r in d["repairs"]:
        lines.append(f"  repair: {r['name']} ({r['verdict']}, keeps the {r['keeps']})")
        lines.append(f"    F = {r['forward']}")
        lines.append(f"    B = {r['backward']}")
    for name in d["repairs_unfinished"]:
        row("not settled in time", f"the repair '{name}'; it may be nearer")
    return "\n".join(lines)


# ---- batch


def _batch(path: str, timeout: float, params: dict[str, Any]) -> None:
    import os

    from theory.checking import lost
    from theory.deadline import Lost, guarded
    from theory.files import read_bytes

    data = _standard_input() if path == "-" else read_bytes(path, "--batch")
    # lines end at \n alone: other separators may stand inside a JSON text
    lines = [line for line in data.removeprefix(b"\xef\xbb\xbf").split(b"\n") if line.strip()]
    _load()
    jobs = [(line, timeout, params) for line in lines]
    answers = guarded(answer_line, jobs, timeout, min(os.cpu_count() or 1, 8))
    for line, answer in zip(lines, answers, strict=True):
        if isinstance(answer, Lost):
            answer = {"id": _read_line(line)["id"], **lost(answer, timeout).as_dict()}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _standard_input() -> bytes:
    buffer = getattr(sys.stdin, "buffer", None)
    return bytes(buffer.read()) if buffer is not None else str(sys.stdin.read()).encode()


def _refuse_constant(text: str) -> Any:
    raise ValueError(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


def _read_line(line: bytes) -> dict[str, Any]:
    """The JSON object of one line, with an "id" (None where it has none). Raises `InputError`."""
    from theory.errors import InputError

    if len(line) > _MAX_BATCH_LINE:
        raise InputError(f"a line of at most {_MAX_BATCH_LINE} bytes was expected")
    try:
        item = json.loads(line.decode(), parse_constant=_refuse_constant, parse_float=_finite)
        json.dumps(item)  # what cannot be written again (too deep, too long) cannot be answered either
    except (ValueError, RecursionError):
        raise InputError("a JSON object {id, forward, backward} was expected on this line") from None
    if not isinstance(item, dict):
        raise InputError("a JSON object {id, forward, backward} was expected on this line")
    return {"id": None, **item}


def answer_line(job: tuple[bytes, float, dict[str, Any]]) -> dict[str, Any]:
    """One line of a batch: the object of `check` with its id, or verdict "error" with the sentence."""
    from theory.checking import check as decide_pair
    from theory.checking import refused
    from theory.errors import InputError

    line, timeout, params = job
    identity: Any = None
    try:
        item = _read_line(line)
        identity = item["id"]
        for key in ("forward", "backward"):
            if not isinstance(item.get(key), str):
                raise InputError(f"the field {key!r} must be an expression in x, as text")
        result = decide_pair(item["forward"], item["backward"], params=params, timeout=timeout, with_theory=False)
    except InputError as error:
        result = refused(str(error))
    return {"id": identity, **result.as_dict()}


# ---- maps by name or expression


def _named_or_expression(text: str, kind: str, params: dict[str, Any]) -> Any:
    """A map from a library name or from an expression."""
    from theory.catalogue import PROX_LIBRARY, TRANSFORM_LIBRARY, suggestion
    from theory.errors import InputError
    from theory.parser import parse

    table: dict[str, Any] = dict(PROX_LIBRARY if kind == "prox" else TRANSFORM_LIBRARY)
    for key, entry in table.items():
        if key.casefold() == text.strip().casefold():
            return entry.map(**{k: v for k, v in params.items() if k in entry.params})
    try:
        return parse(text, params, what=f"--{kind}")
    except InputError as error:
        hint = suggestion(text, table)
        raise InputError(f"{error} (did you mean {hint}?)" if hint else str(error)) from None


def _mentions(text: str, param: str) -> bool:
    """Whether a library name has the parameter, or an expression names it."""
    import re

    from theory.catalogue import PROX_LIBRARY, TRANSFORM_LIBRARY

    for table in (PROX_LIBRARY, TRANSFORM_LIBRARY):
        for key, entry in table.items():
            if key.casefold() == text.strip().casefold() and param in entry.params:
                return True
    return param in re.findall(r"[A-Za-z_][A-Za-z_0-9]*", text)
