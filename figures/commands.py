"""The sub-commands of figures/. Only the standard library and typer are imported before one runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Out = Annotated[Path, typer.Option("--out", help="Folder with the results; figures, tables and page go there too.")]


def figures(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Figures to redraw, for example maps; without one, everything."),
    ] = None,
    out: Out = Path("out"),
) -> None:
    """Redraw figures from the results in a folder; without a NAME also its tables and index.html.

    Example: proxpair figures maps convergence --out out
    """
    from figures.report import redraw

    for path in redraw(out, names or [], visible=True):
        typer.echo(path)


def paper(
    out: Annotated[Path, typer.Option("--out", help="Folder for everything; open index.html there.")] = Path("out"),
    seed: Annotated[int, typer.Option("--seed", help="The one seed of every random choice.")] = 0,
    steps: Annotated[int, typer.Option("--steps", help="Steps of each convex run, at least 1.")] = 1000,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the digits, at least 1.")] = 40,
    seeds: Annotated[int, typer.Option("--seeds", help="Networks per method, at least 1.")] = 3,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda, for the networks.")] = "cpu",
) -> None:
    """The main job: verdicts, synthesis, convergence, networks, figures and the report.

    Example: proxpair paper --out out --seed 0
    """
    from figures.paper import make
    from theory.console import progress

    with progress() as bar:
        page = make(out, seed, steps, epochs, seeds, bar, device)
    typer.echo(f"open {page}")


__all__ = ["figures", "paper"]
