"""Certificates on the command line: `check --certificate FILE` writes one, `verify-certificate` re-checks it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

Job = tuple[str | None, str, str, dict[str, Any], float]


def write(path: str, job: Job) -> None:
    """Write the certificate of the verdict on one pair, in a process that can be stopped.

    ``job``: (catalogue name or None, F, B, exact parameters, seconds). Raises `InputError` where the
    file cannot be written, `Undecided` where the verdict is undecided or no certificate was found.
    """
    from theory.deadline import Lost, guarded
    from theory.errors import Undecided
    from theory.files import write_bytes

    answer = next(guarded(made, [job], job[-1]))
    if isinstance(answer, Lost):
        raise Undecided(f"no certificate was found within {job[-1]:g} s")
    data, reason = answer
    if data is None:
        raise Undecided(reason)
    write_bytes(path, data)


def writable(path: str) -> None:
    """Raise `InputError` early where a certificate could not be written."""
    from theory.errors import InputError
    from theory.files import is_folder

    target = Path(path)
    if not path or is_folder(path) or (target.parent.exists() and not target.parent.is_dir()):
        raise InputError(f"--certificate: a file to write was expected, not {path[:200]!r}")


def made(job: Job) -> tuple[bytes | None, str]:
    """(the bytes of the certificate, "") or (None, the reason why there is none)."""
    from theory.certificates import certificate, to_bytes
    from theory.decision import decide
    from theory.errors import Undecided
    from theory.pairs import QuantizerPair
    from theory.parser import parse, parse_constant

    name, forward, backward, params, timeout = job
    if name is not None:
        from theory.catalogue import lookup

        entry = lookup(name)
        forward, backward = entry.forward, entry.backward
        params = {**{k: parse_constant(v, f"parameter {k}") for k, v in entry.params.items()}, **params}
    try:
        pair = QuantizerPair(parse(forward, params), parse(backward, params))
        return to_bytes(certificate(forward, backward, pair, decide(pair, budget=timeout * 0.05), params)), ""
    except Undecided as reason:
        return None, str(reason)


def verify_certificate(
    file: Annotated[str, typer.Argument(metavar="FILE", help="A certificate that check --certificate wrote.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print a JSON object instead of text.")] = False,
    timeout: Annotated[float, typer.Option(help="Seconds after which the check is given up (not accepted).")] = 60.0,
) -> None:
    """Re-check a certificate with the separate checker. Exit code 0 accepted, 1 rejected, 2 no such file.

    Example: proxpair check BNN --certificate bnn.json && proxpair verify-certificate bnn.json
    """
    from theory.commands import _checked_timeout
    from theory.deadline import Lost, guarded
    from theory.files import read_bytes

    _checked_timeout(timeout)
    data = read_bytes(file, "a certificate")
    answer = next(guarded(checked, [data], timeout))
    claim, reason = (None, f"not checked within {timeout:g} s") if isinstance(answer, Lost) else answer
    accepted = claim is not None
    if as_json:
        typer.echo(json.dumps({"accepted": accepted, "claim": claim, "reason": reason or None}))
    elif claim is not None:
        given = "".join(f", {k} = {v}" for k, v in claim["parameters"].items())
        typer.echo(f"accepted: F = {claim['forward']}, B = {claim['backward']}{given} is {claim['verdict']}")
    else:
        typer.echo(f"rejected: {reason}")
    raise typer.Exit(0 if accepted else 1)


def checked(data: bytes) -> tuple[dict[str, Any] | None, str]:
    """(the claim, "") if the checker accepts the bytes, else (None, why not)."""
    from theory.checker.audit import load, verify
    from theory.checker.terms import Rejected

    try:
        return verify(load(data)), ""
    except Rejected as reason:
        text = " ".join(str(reason).split())
        return None, text if len(text) <= 500 else f"{text[:500]} ..."


__all__ = ["checked", "made", "verify_certificate", "writable", "write"]
