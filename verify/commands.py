"""The sub-commands of verify/. Only the standard library and typer are imported before one runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from theory.files import results_folder

PROBLEM_NAMES = (
    *("quadratic", "diabetes", "breast-cancer", "plane", "spectrum", "binary", "lasso", "huber"),
    *("wide", "wide-least-squares", "wine", "modulus"),
)
"""The names of `verify.problems.PROBLEMS`, for the help: that module imports numpy."""


def converge(
    methods: Annotated[
        list[str] | None, typer.Argument(metavar="[METHOD]...", help="Catalogue names; without one, the usual eight.")
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option("--pair", help="A catalogue name, or 'FORWARD ; BACKWARD' as expressions in x; may be repeated."),
    ] = None,
    problem: Annotated[
        list[str] | None,
        typer.Option(
            "--problem", help=f"One of {', '.join(PROBLEM_NAMES)}; may be repeated. The first three without it."
        ),
    ] = None,
    schedule: Annotated[
        list[str] | None,
        typer.Option(
            "--schedule",
            help="sqrt (1/(L sqrt(t)), the usual one), constant, half, harmonic, summable, beyond, or a formula in t, "
            "L, G, N; may be repeated.",
        ),
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Steps of each run: 1000, with --exact 25.")] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Starting points of each run: 3, with --exact 1.")
    ] = None,
    gradient: Annotated[
        str, typer.Option("--gradient", help="exact, or stochastic: minibatches of rows, or noise where f has none.")
    ] = "exact",
    sharpness: Annotated[
        str,
        typer.Option(
            "--sharpness", help="beta_t, a formula in t: the transform at step t is T(beta_t v); T = id has none."
        ),
    ] = "",
    exact: Annotated[
        bool,
        typer.Option("--exact", help="Rational arithmetic: differences exactly 0 (plane, quadratic and modulus)."),
    ] = False,
    seed: Annotated[
        int, typer.Option("--seed", help="Seed of every random choice; runs use it and those after it.")
    ] = 0,
    backend: Annotated[
        str, typer.Option("--backend", help="loky (processes of this machine), dask or ray (a cluster).")
    ] = "loky",
    jobs: Annotated[int, typer.Option("--jobs", help="Processes that compute batches.")] = 1,
    scheduler: Annotated[
        str | None, typer.Option("--scheduler", metavar="ADDRESS", help="Of a dask or ray cluster.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", callback=results_folder, help="Folder for convergence/*.csv.")] = Path(
        "out"
    ),
) -> None:
    """Run pairs on convex problems with the convergence ledger on, and write it as CSV.

    A killed run goes on from its checkpoints when the same command is given again, to the same bytes.

    Example: proxpair converge BC BNN --problem diabetes --steps 200
    """
    from theory.console import progress
    from theory.errors import InputError
    from verify import converge as experiment
    from verify.problems import USUAL
    from verify.runs import Backend
    from verify.schedules import USUAL_SCHEDULE

    chosen = [*(methods or ()), *(pair or ())] or list(experiment.METHODS)
    if gradient not in ("exact", "stochastic"):
        raise InputError(f"--gradient: exact or stochastic was expected, not {gradient[:40]!r}")
    if exact:
        given = {
            "--schedule": schedule is not None,
            "--seeds": seeds is not None,
            "--sharpness": sharpness != "",
            "--scheduler": scheduler is not None,
            "--backend": backend != "loky",
            "--jobs": jobs != 1,
            "--gradient stochastic": gradient == "stochastic",
        }
        refused = next((name for name, there in given.items() if there), None)
        if refused is not None:
            raise InputError(f"{refused} does not go with --exact")
        _exactly(chosen, problem, steps, seed, out)
        return
    todo = experiment.plan(
        chosen,
        problem or USUAL,
        experiment.STEPS if steps is None else steps,
        seed,
        schedule or (USUAL_SCHEDULE,),
        experiment.SEEDS if seeds is None else seeds,
        gradient == "stochastic",
        sharpness,
    )
    where = Backend(backend, jobs, scheduler)
    with progress() as bar:
        task = bar.add_task("convergence", total=todo.total)
        summary = experiment.execute(todo, out, lambda done: bar.advance(task, done), where)
    several = len(todo.schedules) > 1
    width = max(12, *(len(p.name) + 2 for p in todo.pairs))
    extra = f"{'schedule':<16}" if several else ""
    head = f"{'problem':<15}{'method':<{width}}{extra}{'verdict':<14}"
    typer.echo(f"{head}{'best gap':>10}{'mean gap':>10}{'bound':>10}  ledger")
    for row in summary:
        cell = dict(zip(experiment.SUMMARY_HEADER, row, strict=True))
        numbers = "".join(_number(cell[k], ".3g").rjust(10) for k in ("gap_best", "gap_mean", "bound"))
        error = cell["max_closure_error"]
        if not isinstance(error, float):
            closes = f"none: {cell['note']}"
        else:
            # the note of a run says when closing, D_t >= 0 or an inequality fails
            closes = str(cell["note"]) if "THE LEDGER FAILS" in str(cell["note"]) else "closes to 1e-12, D >= 0"
        extra = f"{cell['schedule']:<16}" if several else ""
        typer.echo(f"{cell['problem']:<15}{cell['method']:<{width}}{extra}{cell['verdict']:<14}{numbers}  {closes}")
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
        list[str] | None,
        typer.Argument(metavar="[METHOD]...", help="PQ, rPC or catalogue names; without one, the usual eight."),
    ] = None,
    pair: Annotated[
        list[str] | None,
        typer.Option("--pair", help="A catalogue name, or 'FORWARD ; BACKWARD' as expressions in x; may be repeated."),
    ] = None,
    epochs: Annotated[
        int | None, typer.Option("--epochs", help="Passes over the training set, at least 1: 40 without it.")
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Number of networks per method, at least 1: 3 without it.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="First seed; the others follow it.")] = 0,
    replay: Annotated[
        bool, typer.Option("--replay", help="A second run of each ledger, with the comparator w = v_T.")
    ] = False,
    profile: Annotated[
        str | None,
        typer.Option("--profile", help="The experiments of a profile instead: quick (digits), or full (hours)."),
    ] = None,
    experiment: Annotated[
        list[str] | None,
        typer.Option("--experiment", metavar="NAME", help="With --profile: this experiment of it; may be repeated."),
    ] = None,
    data_dir: Annotated[
        list[str] | None,
        typer.Option(
            "--data-dir", metavar="DIR", help="With --profile: a folder with CIFAR-10 or MNIST files; may be repeated."
        ),
    ] = None,
    jobs: Annotated[int, typer.Option("--jobs", help="With --profile: processes that train networks.")] = 1,
    device: Annotated[str, typer.Option("--device", help="auto, cpu or cuda.")] = "auto",
    out: Annotated[Path, typer.Option("--out", callback=results_folder, help="Folder for networks/.")] = Path("out"),
) -> None:
    """Train small networks with quantized weights, ledger on, and write CSV: on digits, or a whole profile.

    Accuracies are means and standard deviations over the seeds, on the test set, in percent. A pair
    that the theory does not cover is trained all the same, with a warning that gives its witness.
    With --profile learning rates are chosen on a validation split, differences get paired tests, and
    a killed run goes on from where it was when the same command is given again, to the same bytes.

    Example: proxpair train BC BNN++ --epochs 5
    """
    from theory.errors import InputError

    of_digits = {"--pair": pair, "--epochs": epochs, "--seeds": seeds, "--replay": replay or None}
    of_profiles = {"--experiment": experiment, "--data-dir": data_dir, "--jobs": None if jobs == 1 else jobs}
    refused = next((k for k, v in (of_digits if profile else of_profiles).items() if v is not None), None)
    if refused is not None:
        raise InputError(f"{refused} {'does not go with' if profile else 'needs'} --profile")
    if profile is not None:
        _profile(profile, methods or (), experiment or (), seed, device, data_dir or (), jobs, out)
        return
    _digits(
        [*(methods or ()), *(pair or ())],
        40 if epochs is None else epochs,
        3 if seeds is None else seeds,
        seed,
        replay,
        device,
        out,
    )


def _profile(
    profile: str,
    methods: Sequence[str],
    experiments: Sequence[str],
    seed: int,
    device: str,
    data_dirs: Sequence[str],
    jobs: int,
    out: Path,
) -> None:
    """`train --profile`: one line per experiment and method."""
    from theory.console import progress
    from verify import campaign
    from verify.train import check_arguments

    check_arguments(seed, 1, 1)
    chosen = campaign.chosen(profile, experiments, methods)
    place = campaign.Place(out, profile, seed, device, tuple(data_dirs), jobs)
    said = ["proxpair train", *methods, "--profile", profile]
    said += [part for name in experiments for part in ("--experiment", name)]
    with progress() as bar:
        task = bar.add_task(profile, total=None)

        def advance(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=total)

        folder = campaign.run_profile(place, chosen, advance, " ".join([*said, "--seed", str(seed)]))
    if not campaign.first_process():
        return
    summary, _ = campaign.tabulate(folder)
    typer.echo(f"{'experiment':<22}{'method':<14}{'verdict':<14}{'rate':>6}{'hardened':>16}{'soft':>16}")
    for row in summary:
        c = dict(zip(campaign.SUMMARY, row, strict=True))
        hard = f"{100 * c['test_mean']:.2f} ± {100 * c['test_sd']:.2f}"
        soft = f"{100 * c['soft_mean']:.2f} ± {100 * c['soft_sd']:.2f}"
        typer.echo(f"{c['experiment']:<22}{c['method']:<14}{c['verdict']:<14}{c['rate']:>6g}{hard:>16}{soft:>16}")
    typer.echo(f"written to {folder}; which differences are real is in paired.csv")


def _digits(methods: Sequence[str], epochs: int, seeds: int, seed: int, replay: bool, device: str, out: Path) -> None:
    """`train` without a profile: one line per method."""
    from theory.console import progress
    from verify import train as experiment

    chosen = list(methods) or list(experiment.METHODS)
    with progress() as bar:
        results = experiment.run(out, seed, seeds, epochs, chosen, device, bar, replay)
    for r in results:
        if r.warning:
            typer.echo(f"warning: {r.warning}", err=True)
    width = max(12, *(len(r.method) + 2 for r in results))
    typer.echo(f"{'method':<{width}}{'verdict':<14}{'hardened':>16}{'soft':>16}")
    for r in results:
        hard = f"{100 * r.hard_mean:.2f} ± {100 * r.hard_std:.2f}"
        soft = f"{100 * r.soft_mean:.2f} ± {100 * r.soft_std:.2f}"
        typer.echo(f"{r.method:<{width}}{r.verdict:<14}{hard:>16}{soft:>16}")
    typer.echo(f"written to {out / 'networks'}")


__all__ = ["converge", "train"]
