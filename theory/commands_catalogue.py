"""The commands of the catalogue: catalogue, repair. Imports at the top stay light (typer only)."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from theory.commands import Json, Params, Timeout, _checked_timeout, _params, check_entry, describe_object

if TYPE_CHECKING:
    from theory.checking import Check

Latex = Annotated[bool, typer.Option("--latex", help="Print the result in LaTeX.")]

_WORDS = {True: "yes", False: "no", None: "-"}
_STAGES = 3  # a row is decided, measured against its repairs, and certified: each within the timeout
_attached: dict[str, Callable[..., Any]] = {}


def attach_pages(write: Callable[[Path, dict[str, Any], bytes | None], Path]) -> None:
    """Set what writes the page of a method: called with the folder, its row and its certificate."""
    _attached["write"] = write


def attach_table(latex: Callable[[list[dict[str, Any]]], str]) -> None:
    """Set what turns rows into a LaTeX table."""
    _attached["latex"] = latex


# --------------------------------------------------------------------------- catalogue


def catalogue(
    method: Annotated[
        str | None, typer.Option(metavar="NAME", help="One method with everything that is known of it.")
    ] = None,
    out: Annotated[
        str | None, typer.Option(metavar="DIR", help="With --method: write its page, picture and certificate there.")
    ] = None,
    as_json: Json = False,
    latex: Latex = False,
    timeout: Timeout = 20.0,
) -> None:
    """The verdict on every catalogued quantizer, or one page per method.

    Example: proxpair catalogue --method BNN --out pages
    """
    from theory.errors import InputError
    from theory.files import is_folder

    _checked_timeout(timeout)
    if as_json and latex:
        raise InputError("give --json or --latex, not both")
    if method is None:
        if out is not None:
            raise InputError("--out DIR takes the page of one method: give --method NAME as well")
        rows = [row for row, _ in catalogue_rows(timeout)]
        if as_json or latex:
            typer.echo(json.dumps(rows) if as_json else _attached["latex"](rows).rstrip("\n"))
            return
        typer.echo("\n".join(_listing(rows)))
        return
    from theory.catalogue import lookup

    entry = lookup(method)
    if out is not None and not is_folder(out) and Path(out).exists():
        raise InputError(f"--out: a folder was expected, but {out[:200]!r} is a file")
    row, data = next(iter(catalogue_rows(timeout, names=[entry.name])))
    if out is not None:
        typer.echo(_attached["write"](Path(out), row, data), err=as_json or latex)
    if as_json:
        typer.echo(json.dumps(row))
    elif latex:
        typer.echo(_attached["latex"]([row]).rstrip("\n"))
    else:
        typer.echo("\n".join(_page(row)))


def _listing(rows: list[dict[str, Any]]) -> list[str]:
    """One line for each method."""
    wide = max(len(r["name"]) for r in rows) + 2
    lines = [f"{'name':<{wide}}{'year':<6}{'verdict':<14}{'literal':<9}{'convex r':<10}{'coverage':<14}title"]
    for r in rows:
        lines.append(
            f"{r['name']:<{wide}}{r['year']:<6}{r['verdict']:<14}{_WORDS[r['literal_criterion']]:<9}"
            f"{_WORDS[r['convex_regularizer']]:<10}{r['coverage']:<14}{r['title']}"
        )
    return lines


def _page(row: dict[str, Any]) -> list[str]:
    """Everything about one method as text."""
    lines = [f"{row['name']}: {row['title']} ({row['year']})", f"  {row['source']}"]

    def put(label: str, value: object) -> None:
        lines.append(f"  {label:<22}{value}")

    put("coverage", f"{row['coverage']}: {row['scope']}")
    put("forward F", row["forward"])
    put("backward B", row["backward"])
    for name, value in row["params"].items():
        put("parameter", f"{name} = {value}")
    for tie in row["ties"]:
        put("at the breakpoint", f"F({tie[0]}) = {tie[1]}, B({tie[0]}) = {tie[2]}")
    put("verdict", row["verdict"])
    lines += describe_object({**row, "repairs": []}).split("\n")[1:]
    for r in row["repairs"]:
        lines += repair_text(r)
    certificate = row["certificate"]
    if certificate["accepted"]:
        put("certificate", f"{certificate['lemmas']} lemmas, accepted by the separate checker")
    else:
        put("certificate", certificate["reason"])
    return lines


def catalogue_rows(
    timeout: float = 20.0,
    names: list[str] | None = None,
    on_row: Callable[[], None] | None = None,
    workers: int | None = None,
) -> list[tuple[dict[str, Any], bytes | None]]:
    """For each entry its row and the bytes of its certificate (None where there is none).

    A row is the object of `check` plus name, title, year, source, coverage, scope, forward, backward,
    params, ties, with each repair's distance, nearest first, and what the checker said of the certificate.
    """
    from theory.catalogue import CATALOGUE
    from theory.checking import lost
    from theory.deadline import Lost, guarded

    for module in ("theory.catalogue", "theory.checking", "theory.printing", "theory.certificates"):
        importlib.import_module(module)  # once, before the children are forked
    wanted = list(CATALOGUE) if names is None else names
    jobs = [(name, timeout) for name in wanted]
    found = []
    answers = guarded(_row_and_certificate, jobs, _STAGES * timeout, workers or min(os.cpu_count() or 1, 8))
    for name, answer in zip(wanted, answers, strict=True):
        if isinstance(answer, Lost):
            nothing = {"accepted": False, "lemmas": 0, "reason": "there was no time for one"}
            answer = ({**lost(answer, timeout).as_dict(), **_declared(name), "certificate": nothing}, None)
        found.append(answer)
        if on_row is not None:
            on_row()
    return found


def _declared(name: str) -> dict[str, Any]:
    from theory.catalogue import lookup

    entry = lookup(name)
    return {
        "name": entry.name,
        "title": entry.title,
        "year": entry.year,
        "source": entry.source,
        "coverage": entry.coverage,
        "scope": entry.scope,
        "forward": entry.forward,
        "backward": entry.backward,
        "params": dict(entry.params),
        "ties": [list(tie) for tie in entry.ties],
    }


def _row_and_certificate(job: tuple[str, float]) -> tuple[dict[str, Any], bytes | None]:
    from theory.commands_certificate import checked, made
    from theory.deadline import PATIENCE, DeadlinePassed, limit, patience

    name, timeout = job
    with patience(PATIENCE):
        result = check_entry(name, {}, timeout)
        row = {**result.as_dict(), **_declared(name)}
        row["repairs"] = with_distances(result, row["repairs"])
    data, claim, reason = None, None, f"none was found within {timeout:g} s"
    try:
        with limit(timeout, final=True):
            data, reason = made((name, "", "", {}, timeout))
            if data is not None:
                claim, reason = checked(data)
    except DeadlinePassed:
        data = None
    lemmas = 0 if data is None else sum(len(p["lemmas"]) for p in json.loads(data).get("pieces", []))
    row["certificate"] = {"accepted": claim is not None, "lemmas": lemmas, "reason": reason or None}
    return row, data if claim is not None else None


def with_distances(result: Check, texts: list[dict[str, Any]], window: Any = None) -> list[dict[str, Any]]:
    """The objects of the repairs with their distance from the pair, nearest first."""
    from theory.distances import WINDOW, distance

    if result.pair is None or len(texts) != len(result.repairs):
        return texts
    found = []
    for r, text in zip(result.repairs, texts, strict=True):
        d = distance(result.pair, r.pair, WINDOW if window is None else window)
        found.append((d.size, {**text, "distance": d.as_dict()}))
    return [text for _, text in sorted(found, key=lambda row: row[0])]


# --------------------------------------------------------------------------- repair


def repair(
    name: Annotated[str | None, typer.Argument(metavar="[NAME]", help="A catalogue name, for example BNN+.")] = None,
    forward: Annotated[str | None, typer.Option(metavar="EXPR", help="Forward map F as an expression in x.")] = None,
    backward: Annotated[str | None, typer.Option(metavar="EXPR", help="Backward map B as an expression in x.")] = None,
    window: Annotated[str, typer.Option(metavar="Q", help="Mean squares weigh [-Q, Q] evenly.")] = "2",
    as_json: Json = False,
    latex: Latex = False,
    param: Params = None,
    timeout: Timeout = 20.0,
) -> None:
    """The principled neighbours of an unprincipled pair, nearest first. Exit code 0, or 3 if none was found.

    A repair that was not settled in time is named: it may be nearer.

    Example: proxpair repair BNN+
    """
    from theory.deadline import Lost, guarded
    from theory.errors import InputError, Undecided
    from theory.exact import sign_of
    from theory.parser import parse_constant

    _checked_timeout(timeout)
    if as_json and latex:
        raise InputError("give --json or --latex, not both")
    if name is not None and (forward is not None or backward is not None):
        raise InputError("give either a catalogue NAME or --forward and --backward, not both")
    if name is None and (forward is None or backward is None):
        raise InputError("expected a catalogue NAME, or both --forward EXPR and --backward EXPR")
    if name is not None:
        from theory.catalogue import lookup

        lookup(name)
    half = parse_constant(window, "--window")
    if sign_of(half) <= 0:
        raise InputError(f"--window: a positive number was expected, not {window.strip()[:60]}")
    for module in ("theory.catalogue", "theory.checking", "theory.printing", "theory.display"):
        importlib.import_module(module)
    job = (name, forward or "", backward or "", param, half, timeout)
    answer = next(guarded(_repaired, [job], 2 * timeout))
    if isinstance(answer, Lost):
        raise Undecided(f"no repair was found within {timeout:g} s")
    code, out, formulas = answer
    typer.echo(json.dumps(out) if as_json else "\n".join(formulas if latex else _repair_lines(out)))
    raise typer.Exit(code)


def _repaired(job: tuple[str | None, str, str, list[str] | None, Any, float]) -> tuple[int, dict[str, Any], list[str]]:
    from theory.checking import check as decide_pair
    from theory.display import pair_latex

    name, forward, backward, param, window, timeout = job
    given = _params(param)
    if name is not None:
        result = check_entry(name, given, timeout, with_theory=False)
    else:
        result = decide_pair(forward, backward, params=given, timeout=timeout, with_theory=False)
    row = result.as_dict()
    found = with_distances(result, row["repairs"], window)
    out = {
        **({"name": row["name"]} if "name" in row else {}),
        "verdict": row["verdict"],
        "reason": row["reason"],
        "repairs": found,
        "repairs_unfinished": row["repairs_unfinished"],
    }
    by_text = {(t["forward"], t["backward"]): r for t, r in zip(row["repairs"], result.repairs, strict=False)}
    formulas = [f"% {t['name']}\n{pair_latex(by_text[t['forward'], t['backward']].pair)}" for t in found]
    done = result.verdict.principled or bool(found)
    return (0 if done else 3), out, formulas or ["% nothing to repair" if result.verdict.principled else "% none found"]


def _repair_lines(out: dict[str, Any]) -> list[str]:
    title = f"{out['name']}: " if "name" in out else ""
    lines = [f"{title}{out['verdict'].upper()}", f"  {out['reason']}"]
    if out["verdict"] in ("smooth", "lipschitz"):
        return [*lines, "  nothing to repair: the pair is principled"]
    if not out["repairs"]:
        lines.append("  no repair was found")
    for r in out["repairs"]:
        lines += repair_text(r)
    lines += [f"  not settled in time, it may be nearer: {name}" for name in out["repairs_unfinished"]]
    return lines


def repair_text(r: dict[str, Any]) -> list[str]:
    """One repair as text, with its decomposition and its distance."""
    rows = [("forward F", r["forward"]), ("backward B", r["backward"])]
    rows += [("transform T", r["transform"]), ("proximal map P", r["prox"])]
    rho = r["regularizer"] or {"largest": None, "smallest": None}
    if rho["largest"] == rho["smallest"]:
        rows.append(("regularizer r", rho["largest"]))
    else:
        rows += [("largest r", rho["largest"]), ("smallest r", rho["smallest"])]
    lines = [f"  repair: {r['name']} ({r['verdict']}, keeps the {r['keeps']})"]
    lines += [f"    {label:<20}{value or 'no closed form'}" for label, value in rows]
    d = r["distance"]
    for label, key in (("distance of F", "forward"), ("distance of B", "backward")):
        sup, rms = shown(d[f"sup_{key}"]), shown(d[f"rms_{key}"])
        lines.append(f"    {label:<20}sup {sup}, root mean square {rms} on [-{d['window']}, {d['window']}]")
    lines.append(f"    {'same sign of B':<20}{shown(d['same_sign'])} of [-{d['window']}, {d['window']}]")
    return lines


def shown(c: dict[str, str | None]) -> str:
    """A number of a distance: exact where it is short, else to four digits, or not settled."""
    if c["low"] is None:
        return "not settled"
    if c["value"] is not None and len(c["value"]) <= 12:
        return c["value"]
    from theory.extrema import decimals
    from theory.parser import parse_constant

    if c["value"] is not None:
        return decimals(parse_constant(c["value"], "distance"), up=False, digits=6)
    return f"{float(str(c['low'])):.6g}"


__all__ = ["attach_pages", "attach_table", "catalogue", "catalogue_rows", "repair", "repair_text", "shown"]
