"""The sub-commands of figures/. Only the standard library and typer are imported before one runs."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from theory.files import results_folder

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

Out = Annotated[
    Path,
    typer.Option(
        "--out", callback=results_folder, help="Folder with the results; figures, tables and page go there too."
    ),
]


def figures(
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[NAME]...", help="Figures to draw, for example maps; without one, everything."),
    ] = None,
    out: Out = Path("out"),
    formats: Annotated[
        str, typer.Option("--format", metavar="LIST", help="What to write beside the CSV file: pdf, png, svg.")
    ] = "pdf,png,svg",
    style: Annotated[str, typer.Option("--style", help="paper, or talk: for slides, into OUT/figures-talk.")] = "paper",
    listed: Annotated[bool, typer.Option("--list", help="Print each figure with its columns and its source.")] = False,
) -> None:
    """Draw figures from the results in a folder, what is up to date excepted; without a NAME also tables and pages.

    Example: proxpair figures maps convergence --out out --format pdf,svg
    """
    if listed:
        _list_figures()
        return
    from figures.report import redraw

    kinds = [word.strip() for word in formats.split(",")]
    for path in redraw(out, names or [], True, kinds, style):
        typer.echo(path)


def _list_figures() -> None:
    """One line for each figure, and for each family of figures."""
    from figures.plots import FAMILIES, SINGLE

    lines = [(d.name, str(d.columns), ", ".join(d.source), d.title) for d in SINGLE.values()]
    lines += [(f"{family}-NAME", "2", source, words) for family, (source, words) in FAMILIES.items()]
    head = ("figure", "columns", "source", "shows")
    widths = [max(len(line[k]) for line in (head, *lines)) + 2 for k in range(3)]
    for line in (head, *lines):
        typer.echo("".join(f"{cell:<{width}}" for cell, width in zip(line, widths)) + line[3])


def report(out: Out = Path("out")) -> None:
    """Write tables, pages and index.html from the results and figures in a folder; draws only figures that are missing.

    Example: proxpair report --out out
    """
    from figures.report import report as write

    typer.echo(f"open {write(out, visible=True)}")


def theorems(out: Out = Path("out")) -> None:
    """Write the table of theorems: standing, how each is confirmed, and violations. Exit 1 if one fails.

    Proofs are executed now; runs and worst cases are read from the folder.

    Example: proxpair theorems --out out
    """
    from figures.theorems import write

    table = write(out)
    for line in table.statements:
        count = "" if line.violations is None else f"{line.violations} violations; "
        typer.echo(f"{line.status:<11}{line.statement}: {count}{line.how}")
    for line in table.failing:
        typer.echo(f"FAILS: {line.statement}: {line.status}", err=True)
    for name, command in table.missing:
        typer.echo(f"not in {out}: convergence/{name}.csv ({command} makes it)")
    typer.echo(table.summary)
    for kind in ("html", "tex", "csv"):
        typer.echo(out / f"theorems.{kind}")
    if table.failing:
        raise typer.Exit(1)


def networks(
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[FOLDER]", help="Results of one profile; without it every OUT/networks/PROFILE."),
    ] = None,
    out: Annotated[
        Path, typer.Option("--out", callback=results_folder, help="Folder for the pages, tables and figures.")
    ] = Path("out"),
) -> None:
    """Write the report on the networks of `train --profile`: page, tables and figures from the stored CSV files.

    Means, intervals and tests are computed anew from runs.csv; nothing is trained.

    Example: proxpair networks --out out
    """
    from figures.networks import found, publish, read
    from theory.console import progress

    results = [read(one) for one in ([folder] if folder is not None else found(out))]
    paths: list[Path] = []
    with progress() as bar:
        for one in results:
            task = bar.add_task(one.profile, total=None)
            paths += publish(one, out, partial(_advance, bar, task))
    for path in paths:
        if path.suffix in (".html", ".tex"):
            typer.echo(path)


def _advance(bar: Progress, task: TaskID, done: int, total: int) -> None:
    bar.update(task, completed=done, total=total)


def paper(
    out: Annotated[
        Path, typer.Option("--out", callback=results_folder, help="Folder for everything; open index.html there.")
    ] = Path("out"),
    seed: Annotated[int, typer.Option("--seed", help="The one seed of every random choice.")] = 0,
    steps: Annotated[int, typer.Option("--steps", help="Steps of each convex run, at least 1.")] = 1000,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the digits, at least 1.")] = 40,
    seeds: Annotated[int, typer.Option("--seeds", help="Networks per method, at least 1.")] = 3,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda, for the networks.")] = "cpu",
    worst: Annotated[int, typer.Option("--worst", help="Worst cases up to this n, 0 to 10; 0: none.")] = 5,
    profile: Annotated[
        str, typer.Option("--profile", help="Experiments of `train --profile` to run too: quick, or none.")
    ] = "quick",
) -> None:
    """The main job: verdicts, synthesis, convergence, networks, figures and the report.

    Example: proxpair paper --out out --seed 0
    """
    from figures.paper import make
    from theory.console import progress

    with progress() as bar:
        page = make(out, seed, steps, epochs, seeds, bar, device, worst, profile)
    typer.echo(f"open {page}")


__all__ = ["figures", "networks", "paper", "report", "theorems"]
