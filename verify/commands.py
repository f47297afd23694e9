"""The sub-commands of verify/. Only the standard library and typer are imported before one runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer


def converge(
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="Catalogue names; without one, the usual eight.")
    ] = None,
    problem: Annotated[
        list[str] | None,
        typer.Option(
            "--problem",
            help="quadratic, diabetes, breast-cancer (all three without it), plane, spectrum, binary, lasso or huber; "
            "may be repeated.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of each run: 1000, with --exact 25.")] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Rational arithmetic: differences exactly 0 (plane and quadratic).")
    ] = False,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the starting points.")] = 0,
    out: Annotated[Path, typer.Option("--out", help="Folder for convergence/*.csv.")] = Path("out"),
) -> None:
    """Run methods on convex problems with the convergence ledger on, and write it as CSV.

    Example: proxpair converge BC BNN --problem diabetes --steps 200
    """
    from theory.console import progress
    from verify import converge as experiment
    from verify.problems import USUAL

    if exact:
        _exactly(methods or experiment.METHODS, problem, steps, seed, out)
        return
    steps = experiment.STEPS if steps is None else steps
    todo = experiment.plan(methods or experiment.METHODS, problem or USUAL, steps, seed)
    with progress() as bar:
        task = bar.add_task("convergence", total=todo.total)
        summary = experiment.execute(todo, out, lambda done: bar.advance(task, done))
    typer.echo(f"{'problem':<15}{'method':<12}{'verdict':<14}{'best gap':>10}{'mean gap':>10}{'bound':>10}  ledger")
    for row in summary:
        cell = dict(zip(experiment.SUMMARY_HEADER, row, strict=True))
        numbers = "".join(_number(cell[k], ".3g").rjust(10) for k in ("gap_best", "gap_avg", "bound"))
        error = cell["max_closure_error"]
        if not isinstance(error, float):
            closes = f"none: {cell['note']}"
        else:
            # the note of a run says when closing, D_t >= 0 or an inequality fails
            closes = str(cell["note"]) if "THE LEDGER FAILS" in str(cell["note"]) else "closes to 1e-12, D >= 0"
        typer.echo(f"{cell['problem']:<15}{cell['method']:<12}{cell['verdict']:<14}{numbers}  {closes}")
    typer.echo(f"written to {out / 'convergence'}")


def _exactly(methods: Sequence[str], problems: list[str] | None, steps: int | None, seed: int, out: Path) -> None:
    """`converge --exact`: one line per run."""
    from theory.console import progress
    from verify import rational

    count = rational.EXACT_STEPS if steps is None else steps
    todo = rational.exact_plan(methods, problems or rational.rational_problems(), count, seed)
    with progress() as bar:
        task = bar.add_task("exact", total=todo.total)
        rows = rational.exactly(todo, out, lambda done: bar.advance(task, done))
    typer.echo(f"{'problem':<12}{'method':<12}{'verdict':<14}{'(I)':>5}{'(II)':>6}{'least D':>11}{'digits':>8}  mode")
    for row in rows:
        cell = dict(zip(rational.EXACT_HEADER, row, strict=True))
        head = f"{cell['problem']:<12}{cell['method']:<12}{cell['verdict']:<14}"
        if cell["note"]:
            typer.echo(f"{head}not run: {cell['note']}")
            continue
        numbers = (
            f"{cell['difference_first']:>5}{cell['difference_second']:>6}{cell['min_D']:>11.3g}{cell['digits']:>8}"
        )
        typer.echo(f"{head}{numbers}  {cell['mode']}")
    typer.echo(f"written to {out / 'convergence' / 'exact.csv'}")


def _number(value: float | str, form: str) -> str:
    """A number in the given format; what a run does not have is left blank."""
    return format(value, form) if isinstance(value, float) else ""


def train(
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="Catalogue names; without one, the usual six.")
    ] = None,
    epochs: Annotated[int, typer.Option("--epochs", help="Passes over the training set, at least 1.")] = 40,
    seeds: Annotated[int, typer.Option("--seeds", help="Number of networks per method, at least 1.")] = 3,
    seed: Annotated[int, typer.Option("--seed", help="First seed; the others follow it.")] = 0,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path, typer.Option("--out", help="Folder for networks/*.csv.")] = Path("out"),
) -> None:
    """Train small networks on handwritten digits with quantized weights, ledger on, and write CSV.

    Accuracies are means and standard deviations over the seeds, on the test set, in percent.

    Example: proxpair train BC BNN++ --epochs 5
    """
    from theory.console import progress
    from verify import train as experiment

    chosen = tuple(methods or experiment.METHODS)
    with progress() as bar:
        results = experiment.run(out, seed, seeds, epochs, chosen, device, bar)
    typer.echo(f"{'method':<12}{'verdict':<14}{'hardened':>16}{'soft':>16}")
    for r in results:
        hard = f"{100 * r.hard_mean:.2f} ± {100 * r.hard_std:.2f}"
        soft = f"{100 * r.soft_mean:.2f} ± {100 * r.soft_std:.2f}"
        typer.echo(f"{r.method:<12}{r.verdict:<14}{hard:>16}{soft:>16}")
    typer.echo(f"written to {out / 'networks'}")


__all__ = ["converge", "train"]
