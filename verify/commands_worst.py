"""The sub-command worst-case. Only the standard library and typer are imported before it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from theory.files import results_folder


def worst_case(
    setting: Annotated[
        list[str] | None,
        typer.Option(
            "--setting",
            help="smooth, smooth-indicator, smooth-zero, pull, lipschitz-indicator, lipschitz-zero, lipschitz, "
            "residual, PARQ, PARQ-2G or PARQ-G+G (all of them without it); may be repeated.",
        ),
    ] = None,
    steps: Annotated[int, typer.Option("--steps", help="Every n from 1 to this one, at most 10.")] = 5,
    out: Annotated[
        Path, typer.Option("--out", callback=results_folder, help="Folder for convergence/worst_cases.csv.")
    ] = Path("out"),
) -> None:
    """Worst cases of ProxConnect, convex f and r, beside the bounds: found by PEPit (extra 'worst'), not proofs.

    tight: the worst case reaches the bound within 1e-4; upper: it stays below; violated: it exceeds the bound.

    Example: proxpair worst-case --setting smooth --steps 3
    """
    from theory.console import progress
    from verify import worst_cases as experiment

    todo = experiment.plan(setting or (), steps)
    with progress() as bar:
        task = bar.add_task("worst cases", total=todo.total)
        rows = experiment.execute(todo, out, lambda done: bar.advance(task, done))
    typer.echo(f"{'setting':<20}{'statement':<30}{'n':>3} {'step':<17}{'ratio':>9}  relation")
    for row in rows:
        cell = dict(zip(experiment.HEADER, row, strict=True))
        head = f"{cell['setting']:<20}{_named(cell):<30}{cell['n']:>3} {cell['step']:<17}"
        outside = "" if cell["hypothesis_holds"] == "yes" else " (the hypothesis does not hold)"
        typer.echo(f"{head}{cell['ratio']:>9.4f}  {cell['relation']}{outside}")
    typer.echo(f"written to {out / 'convergence' / 'worst_cases.csv'}")


def _named(cell: dict[str, object]) -> str:
    """The statement with its iterate, where it does not name it."""
    statement, iterate = str(cell["statement"]), str(cell["iterate"])
    return statement if iterate in statement else f"{statement}, {iterate}"


__all__ = ["worst_case"]
