"""The main job: verdicts, synthesis, convergence, networks, figures and the report, into one folder."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from theory.files import write_bytes, write_text

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

    rows = []
    for transform, prox in SHOWCASE:
        row = synthesized_dict(transform, prox, {})
        rows.append({**row, "name": f"{transform} of {prox}"})
        if on_row is not None:
            on_row()
    return rows


def _json(value: Any) -> str:
    return json.dumps(value, indent=1, allow_nan=False) + "\n"


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

    The same arguments give the same bytes on the CPU, apart from timings.json, which holds the
    seconds of each stage. Raises `InputError` on a bad argument before anything is written.
    """
    from figures import networks
    from figures.plots import slug
    from figures.report import build
    from theory.catalogue import CATALOGUE
    from theory.commands_catalogue import catalogue_rows
    from verify import campaign, converge, train
    from verify.networks import pick_device

    experiments = () if profile == "none" else campaign.chosen(profile)
    converge.check_arguments(seed, steps)
    train.check_arguments(seed, seeds, epochs)
    pick_device(device)
    timings: dict[str, float] = {}
    start = time.perf_counter()

    def lap(stage: str) -> None:
        nonlocal start
        now = time.perf_counter()
        timings[stage] = round(now - start, 3)
        start = now

    bar = progress.add_task("verdicts", total=len(CATALOGUE))
    rows = []
    for row, certificate in catalogue_rows(on_row=lambda: progress.advance(bar)):
        rows.append(row)
        if certificate is not None:
            write_bytes(out / "methods" / f"{slug(row['name'])}.certificate.json", certificate)
    write_text(out / "catalogue.json", _json(rows))
    lap("verdicts")

    bar = progress.add_task("synthesis", total=len(SHOWCASE))
    made = synthesized_rows(on_row=lambda: progress.advance(bar))
    write_text(out / "synthesized.json", _json(made))
    lap("synthesis")

    todo = converge.plan(steps=steps, seed=seed)
    bar = progress.add_task("convergence", total=todo.total)
    converge.execute(todo, out, lambda done: progress.advance(bar, done))
    lap("convergence")
    confirm(out, seed, steps, worst, progress)
    lap("theorems")
    train.run(out, seed=seed, seeds=seeds, epochs=epochs, device=device, progress=progress)
    lap("networks")
    if experiments:
        place = campaign.Place(out, profile, seed, device, jobs=os.cpu_count() or 1)
        bar = progress.add_task(profile, total=None)

        def advance(what: str, done: int, total: int) -> None:
            progress.update(bar, description=what, completed=done, total=total)

        command = f"proxpair train --profile {profile} --seed {seed}"
        networks.write(campaign.run_profile(place, experiments, advance, command), out)
        lap("experiments")
    page = build(out, rows, made, progress)
    lap("figures")
    timings["total"] = round(sum(timings.values()), 3)
    write_text(out / "timings.json", _json(timings))
    return page
