"""The main job: verdicts, synthesis, convergence, networks, figures and the report, into one folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theory.files import results_folder, write_bytes, write_text

if TYPE_CHECKING:
    from rich.progress import Progress

SHOWCASE = (
    ("SwishSign", "identity"),
    ("SwishSign", "soft threshold"),
    ("tanh", "soft threshold"),
    ("tanh", "binary projection"),
    ("clip", "BinaryRelax"),
    ("ApproxSign", "tanh"),
    ("softsign", "hard threshold"),
    ("erf", "elastic net"),
    ("leaky clip", "ternary projection"),
)
"""Transforms and proximal maps of the libraries whose pairs the report shows."""


def synthesized_rows(on_row: Any = None) -> list[dict[str, Any]]:
    """The showcase pairs: the object of `check` for each, plus name, transform, prox, forward, backward."""
    from theory.commands_synthesize import synthesized_dict
    from theory.deadline import PATIENCE, patience

    rows = []
    for transform, prox in SHOWCASE:
        with patience(PATIENCE):
            row = synthesized_dict(transform, prox, {}, timeout=20.0, with_theory=True)
        rows.append({**row, "name": f"{transform} of {prox}"})
        if on_row is not None:
            on_row()
    return rows


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


VERDICTS = ("catalogue.json", "methods/*.certificate.json")
CONFIRMED = tuple(
    f"convergence/{name}.csv"
    for name in ("exact", "plane", "hypotheses", "transforms", "negative", "escape", "worst_cases")
)
TIMINGS = ("timings.json",)
"""Files of the stages; those of `confirm` lie in one folder with the runs."""


def verdicts(out: Path, progress: Progress) -> None:
    """The verdict on every catalogued pair, with its certificate."""
    from figures.parts import slug
    from theory.catalogue import CATALOGUE
    from theory.commands_catalogue import catalogue_rows

    bar = progress.add_task("verdicts", total=len(CATALOGUE))
    rows = []
    for row, certificate in catalogue_rows(on_row=lambda: progress.advance(bar)):
        rows.append(row)
        if certificate is not None:
            write_bytes(out / "methods" / f"{slug(row['name'])}.certificate.json", certificate)
    write_text(out / "catalogue.json", _json(rows))


def synthesis(out: Path, progress: Progress) -> None:
    """The pairs of `SHOWCASE`."""
    bar = progress.add_task("synthesis", total=len(SHOWCASE))
    made = synthesized_rows(on_row=lambda: progress.advance(bar))
    write_text(out / "synthesized.json", _json(made))


def convergence(out: Path, seed: int, steps: int, progress: Progress) -> None:
    """The convex runs of `proxpair converge` with its usual methods and problems."""
    from verify import converge

    todo = converge.plan(steps=steps, seed=seed)
    bar = progress.add_task("convergence", total=todo.total)
    converge.execute(todo, out, lambda done: progress.advance(bar, done))


def campaigns(out: Path, seed: int, device: str, profile: str, progress: Progress) -> None:
    """The experiments of one profile."""
    from verify import campaign

    place = campaign.Place(out, profile, seed, device, jobs=os.cpu_count() or 1)
    bar = progress.add_task(profile, total=None)

    def advance(what: str, done: int, total: int) -> None:
        progress.update(bar, description=what, completed=done, total=total)

    command = f"proxpair train --profile {profile} --seed {seed}"
    campaign.run_profile(place, campaign.chosen(profile), advance, command)


def confirm(out: Path, seed: int, steps: int, worst: int, progress: Progress) -> None:
    """What the table of theorems reads beside the runs, into DIR/convergence.

    Exact runs, dropped hypotheses, transforms and trajectories in the plane with as many steps as `make`, but
    at most the usual number of each; worst cases for n = 1..``worst``, none for 0.
    """
    from verify import converge, hypotheses, plane, rational, transforms, worst_cases

    exact = rational.exact_plan(converge.METHODS, rational.rational_problems(), min(steps, rational.EXACT_STEPS), seed)
    bar = progress.add_task("exact", total=exact.total)
    rational.exactly(exact, out, lambda done: progress.advance(bar, done))
    plane.run(out, seed=seed)
    bar = progress.add_task("hypotheses", total=len(hypotheses.CASES))
    hypotheses.run(out, seed, min(steps, 300), lambda done: progress.advance(bar, done))
    count = min(steps, 400)
    bar = progress.add_task("transforms", total=transforms.total(count))
    transforms.run(out, seed, count, lambda done: progress.advance(bar, done))
    if worst:
        cases = worst_cases.plan((), worst)
        bar = progress.add_task("worst cases", total=cases.total)
        worst_cases.execute(cases, out, lambda done: progress.advance(bar, done))


def make(
    out: Path,
    seed: int,
    steps: int,
    epochs: int,
    seeds: int,
    progress: Progress,
    device: str = "cpu",
    worst: int = 5,
    profile: str = "quick",
) -> Path:
    """Everything into ``out``; returns the path of index.html.

    ``profile``: the small networks of that profile of `verify.experiments` too, or "none".

    A stage whose arguments, sources, library versions and files are those of its last run is not done
    again (`figures.stages`). The same arguments give the same bytes on the CPU, apart from
    timings.json, which holds the seconds of each stage. Raises `InputError` on a bad argument before
    anything is written.
    """
    from figures import networks
    from figures.data import BENCHMARKS, read_verdicts
    from figures.report import build
    from figures.speed import FILES
    from figures.stages import Stages, contents, modules
    from verify import campaign, converge, train
    from verify.networks import pick_device

    experiments = () if profile == "none" else campaign.chosen(profile)
    converge.check_arguments(seed, steps)
    train.check_arguments(seed, seeds, epochs)
    where = str(pick_device(device))
    results_folder(out)
    timings: dict[str, float] = {}
    stages = Stages(out)

    def stage(name: str, given: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        start = time.perf_counter()
        # what a stage does is said here, and names of files in `parts`: both belong to no package named below
        if not stages.run(name, {**given, "job": modules("paper", "parts")}, *args, **kwargs):
            progress.add_task(f"{name}: up to date", total=1, completed=1)
        timings[name] = round(time.perf_counter() - start, 3)

    exact, numerical, everything = ("theory",), ("theory", "verify"), ("theory", "verify", "figures")
    stage("verdicts", {}, exact, VERDICTS, lambda: verdicts(out, progress))
    stage("synthesis", {"pairs": SHOWCASE}, exact, ("synthesized.json",), lambda: synthesis(out, progress))
    given: dict[str, Any] = {"seed": seed, "steps": steps}
    runs = ("convergence/*.csv",)
    stage("convergence", given, numerical, runs, lambda: convergence(out, seed, steps, progress), but=CONFIRMED)
    given["worst"] = worst
    stage("theorems", given, numerical, CONFIRMED, lambda: confirm(out, seed, steps, worst, progress))
    given = {"seed": seed, "seeds": seeds, "epochs": epochs, "device": where}
    stage(
        "networks",
        given,
        numerical,
        ("networks/*.csv",),
        lambda: train.run(out, seed=seed, seeds=seeds, epochs=epochs, device=device, progress=progress),
    )
    if experiments:
        folder = f"networks/{profile}"
        tables = (f"{folder}/*.csv", f"{folder}/study.json")
        given = {"seed": seed, "device": where, "profile": profile, "experiments": repr(experiments)}
        stage("experiments", given, numerical, tables, lambda: campaigns(out, seed, device, profile, progress))
        stage(
            "experiments, drawn",
            {"files": contents(out, tables)},
            everything,
            (f"networks-{profile}.html", f"{folder}/*.tex", f"{folder}/figures/*"),
            lambda: networks.write(out / folder, out),
        )
    rows, made = (read_verdicts(out / name, "proxpair paper") for name in ("catalogue.json", "synthesized.json"))
    read = contents(out, ("*.json", "methods/*.json", "convergence/*.csv", "networks/*.csv"), TIMINGS)
    others = sorted(
        p.relative_to(out).as_posix() for name in ("networks-*.html", "docs/index.html") for p in out.glob(name)
    )
    # the pages that index.html links to, and the benchmarks of the figure of speed
    pages = {"files": read, "others": others, "benchmarks": contents(BENCHMARKS, [Path(f).name for f in FILES])}
    drawn = ("*.html", "theorems.*", "figures/*", "tables/*", "methods/*.html")
    stage("figures", pages, everything, drawn, lambda: build(out, rows, made, progress), but=("networks-*.html",))
    timings["total"] = round(sum(timings.values()), 3)
    write_text(out / TIMINGS[0], _json(timings))
    return out / "index.html"
