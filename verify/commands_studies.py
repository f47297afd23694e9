"""The sub-commands hypotheses and transforms. Only the standard library and typer are imported before one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from theory.files import results_folder

Seed = Annotated[int, typer.Option("--seed", help="Seed of every random choice; runs use it and those after it.")]


def hypotheses(
    seed: Seed = 0,
    steps: Annotated[
        int, typer.Option("--steps", help="Steps of a run, 1 to 20000; exact runs take 300 at most.")
    ] = 300,
    out: Annotated[
        Path, typer.Option("--out", callback=results_folder, help="Folder for convergence/hypotheses.csv.")
    ] = Path("out"),
) -> None:
    """Drop each hypothesis of the convergence statements alone, and show what breaks.

    yes: the statement fails without the hypothesis in that run and holds with it; not found: it was searched for.

    Example: proxpair hypotheses --steps 500
    """
    from theory.console import progress
    from verify import hypotheses as experiment

    with progress() as bar:
        task = bar.add_task("hypotheses", total=len(experiment.CASES))
        rows = experiment.run(out, seed, steps, lambda done: bar.advance(task, done))
    typer.echo(f"{'statement':<10}{'dropped':<52}{'with':>10}{'without':>10}  broken")
    for row in rows:
        typer.echo(f"{row.statement:<10}{row.hypothesis:<52}{row.kept:>10.3g}{row.dropped:>10.3g}  {row.broken}")
        typer.echo(f"  {row.run}: {row.sentence}")
    typer.echo(f"written to {out / 'convergence' / 'hypotheses.csv'}")


def transforms(
    seed: Seed = 0,
    steps: Annotated[int, typer.Option("--steps", help="Steps of each run, 1 to 20000.")] = 400,
    seeds: Annotated[int, typer.Option("--seeds", help="Starting points of each run, 1 to 1000.")] = 10,
    out: Annotated[
        Path,
        typer.Option(
            "--out", callback=results_folder, help="Folder for convergence/transforms.csv, negative.csv and escape.csv."
        ),
    ] = Path("out"),
) -> None:
    """Nonconvex f o T: which statements hold, how many runs end above the best, and backwards that turn negative.

    path and gap: the largest ratio of the left side to the bound, of the statement for a single w and of the best gap.

    Example: proxpair transforms --seeds 5
    """
    from theory.console import progress
    from verify import transforms as experiment

    with progress() as bar:
        task = bar.add_task("transforms", total=experiment.total(steps))
        rows = experiment.run(out, seed, steps, lambda done: bar.advance(task, done), seeds)
    typer.echo(
        f"{'problem':<11}{'T':<10}{'P':<10}{'beta':<20}{'eta':<14}"
        f"{'path':>8}{'gap':>10}{'stuck':>8}{'negative':>10}{'beyond':>8}"
    )
    for row in rows:
        cell = dict(zip(experiment.HEADER, row, strict=True))
        head = f"{cell['problem']:<11}{cell['transform']:<10}{cell['prox']:<10}{cell['sharpness']:<20}"
        gap, path = (format(v, ".3g") if isinstance(v, float) else "" for v in (cell["gap_ratio"], cell["path_ratio"]))
        numbers = f"{cell['step_rule']:<14}{path:>8}{gap:>10}{cell['stuck']:>8.0%}"
        typer.echo(f"{head}{numbers}{cell['negative']:>10.1%}{cell['beyond']:>8.1%}")
    typer.echo(f"written to {out / 'convergence'}")


__all__ = ["hypotheses", "transforms"]
