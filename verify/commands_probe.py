"""The sub-command probe. Only the standard library and typer are imported before it runs."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from theory.commands import Json, _checked_timeout


def probe(
    target: Annotated[
        str, typer.Argument(metavar="MODULE:ATTRIBUTE", help="package.module:name or path/file.py:name.")
    ],
    low: Annotated[float, typer.Option("--low", help="Left end of the sampled range.")] = -4.0,
    high: Annotated[float, typer.Option("--high", help="Right end of the sampled range.")] = 4.0,
    points: Annotated[int, typer.Option("--points", help="Evenly spaced samples, 50 to 1000000.")] = 2000,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the random samples, at least 0.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    arg: Annotated[
        list[str] | None,
        typer.Option(
            "--arg",
            metavar="NAME=VALUE",
            help="A number for the Module's constructor, Function.apply or callable; repeatable.",
        ),
    ] = None,
    as_json: Json = False,
    timeout: Annotated[float, typer.Option(help="Seconds after which the probe is given up.")] = 60.0,
) -> None:
    """Sample a torch autograd.Function, Module or callable: is it refuted, which catalogued pairs does it agree with?

    This imports and runs the code you name; no other command does. Samples can refute, never prove.
    Exit code 0: agrees with a principled pair; 1: refuted, or agrees with unprincipled ones only;
    3: otherwise; 2: bad input.

    Example: proxpair probe my_quantizers.py:ClippedSign --low -3 --high 3
    """
    from theory.deadline import Lost, guarded
    from theory.errors import InputError, Undecided

    _checked_timeout(timeout)
    if not 0 <= seed < 2**63:
        raise InputError(f"--seed: an integer from 0 to 2^63 - 1 was expected, not {seed}")
    job = {
        "target": target,
        "low": low,
        "high": high,
        "points": points,
        "seed": seed,
        "device": device,
        "timeout": min(timeout / 4, 10.0),
        "arg": tuple(arg or ()),
        "as_json": as_json,
    }
    result = next(guarded(_answer, [job], timeout))
    if isinstance(result, Lost):
        if result.overran:
            raise Undecided(f"the probe of {target} did not end within {timeout:g} s (--timeout)")
        raise InputError(f"{target}: it ended the process that sampled it")
    text, code = result
    typer.echo(text)
    raise typer.Exit(code)


def _answer(job: dict[str, Any]) -> tuple[str, int]:
    """In the child: user code is imported nowhere else. The text to print and the exit code."""
    import torch

    from verify.probe import probe as sample
    from verify.probe import read_arguments, report

    torch.set_num_threads(1)  # small vectors; and threads of a parent do not survive a fork
    arguments = read_arguments(list(job["arg"]))
    options = {k: v for k, v in job.items() if k not in ("arg", "target", "as_json")}
    answer = sample(job["target"], arguments=arguments, **options)
    return json.dumps(answer) if job["as_json"] else report(answer), answer["exit_code"]


__all__ = ["probe"]
