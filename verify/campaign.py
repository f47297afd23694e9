"""The experiments of a profile: learning rates chosen, networks trained, results written as CSV.

For each experiment two waves of runs: one network per method and learning rate (its hardened
accuracy on the validation split chooses the rate), then ``seeds`` networks per method at the chosen
rate, method by method from the same starts and batch orders. Test images are looked at by the
second wave alone, once each.

Each run is a job of joblib and leaves its outcome in a file of its own, under a name that is a digest of all it depends
on: a killed profile goes on where it was, to the same bytes. OUT/networks/PROFILE then holds

    runs.csv     one row for each network        curves.csv   one for each epoch
    ledger.csv   the account at each epoch       study.json   declarations, data, versions, device
    summary.csv, paired.csv                      computed from the former (`tabulate`)
    timings.json                                 differs between two runs, here and in parts/; nothing else does
"""

from __future__ import annotations

import csv
import hashlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from theory.errors import InputError
from theory.files import csv_text, read_text, write_text, write_together
from theory.version import VERSION
from verify.experiments import FULL, METHODS, PROFILES, SCRATCH, Experiment, method
from verify.runs import source_digest
from verify.shards import alone, clear_temporaries, digest
from verify.statistics import Comparison, Spread, holm, not_below, paired, spread

if TYPE_CHECKING:
    from verify.datasets import Split
    from verify.study import Outcome, Run

TIMES = "timings.json"
TUNING = 1_000_000
"""Added to the first seed for the network that chooses a learning rate."""

RUNS = (
    *("experiment", "method", "stage", "rate", "seed", "valid", "test", "soft", "loss", "weights", "packed_bytes"),
    *("float_bytes", "flips", "negative_backward", "closure_error", "failed"),
)
CURVES = ("experiment", "method", "seed", "epoch", "loss", "valid", "flips")
LEDGER = (
    *("experiment", "method", "seed", "step", "left", "D_first", "D_last", "D_sum", "abs_sum", "closure_error"),
    *("residual", "drift", "min_D"),
)
"""The columns after the seed are `verify.study.ACCOUNT`; that module imports torch."""
SUMMARY = (
    *("experiment", "method", "verdict", "origin", "rate", "n", "test_mean", "test_sd", "test_low", "test_high"),
    *("soft_mean", "soft_sd", "valid_mean", "memory_ratio", "flips_per_weight", "negative_backward"),
    *("closure_error", "full_below_p", "failed"),
)
PAIRED = (
    *("experiment", "first", "second", "planned", "n", "mean", "sd", "low", "high", "t", "p", "p_exact"),
    *("p_holm", "answer"),
)


# --------------------------------------------------------------------------- jobs


@dataclass(frozen=True)
class Job:
    """One run with all that a worker needs; hashable, and it can be pickled."""

    run: Run
    folder: str
    data_dir: str | None
    split_seed: int
    device: str
    key: str
    start: str | None
    keep: bool

    @property
    def part(self) -> Path:
        return Path(self.folder) / f"{self.key[:24]}.json"

    @property
    def weights(self) -> Path:
        """Where the network itself is kept, if it is."""
        return Path(self.folder) / f"{self.key[:24]}.pt"

    @property
    def done(self) -> bool:
        return self.part.is_file() and (not self.keep or self.weights.is_file())


@lru_cache(maxsize=4)
def _split(name: str, data_dir: str | None, seed: int, sizes: tuple[int | None, ...], pool: int, device: str) -> Split:
    import torch

    from verify import datasets
    from verify.study import pooled

    train, validation, test = sizes
    data = datasets.load(
        name, seed, data_dir=data_dir, train=train, validation=validation, test=test, device=torch.device(device)
    )
    return pooled(data, pool)


def _data(e: Experiment, data_dir: str | None, seed: int, device: str) -> Split:
    return _split(e.data, data_dir, seed, (e.train, e.validation, e.test), e.pool, device)


def compute(job: Job) -> float:
    """Train one network and leave its outcome in its file; the seconds that took. Raises `InputError` if it cannot."""
    import torch

    from verify.study import train

    began = time.perf_counter()
    e = job.run.experiment
    data = _data(e, job.data_dir, job.split_seed, job.device)
    start = None if job.start is None else Path(job.start)
    keep = job.weights if job.keep and first_process() else None
    outcome = train(job.run, data, torch.device(job.device), start, keep)
    body = outcome.text()
    if first_process():
        write_text(job.part, json.dumps({"key": job.key, "sha256": _sha(body), "outcome": body}))
    _meet()
    return time.perf_counter() - began


def first_process() -> bool:
    """Whether this process writes: of those that torchrun starts, the first."""
    return int(os.environ.get("RANK", "0")) == 0


def _meet() -> None:
    """Wait for the other processes, if there are any."""
    from torch import distributed

    if distributed.is_available() and distributed.is_initialized():
        distributed.barrier()


@contextmanager
def _together(device: str) -> Iterator[tuple[str, int]]:
    """(device, processes) of this process; those that torchrun has started train every network together."""
    import torch
    from torch import distributed

    world = _number("WORLD_SIZE", 1)
    if world == 1:
        yield device, 1
        return
    here = f"cuda:{_number('LOCAL_RANK', 0)}" if device == "cuda" else device
    if device == "cuda":
        torch.cuda.set_device(here)
    try:
        distributed.init_process_group("nccl" if device == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(f"WORLD_SIZE is {world}, as torchrun sets it, but no group can be made ({reason})") from None
    try:
        yield here, world
    finally:
        distributed.destroy_process_group()


def _number(name: str, otherwise: int) -> int:
    """An integer of the environment."""
    text = os.environ.get(name, str(otherwise))
    if not text.isdecimal():
        raise InputError(f"the environment's {name} should be a number, as torchrun sets it, not {text[:20]!r}")
    return int(text)


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def outcome_of(job: Job) -> Outcome:
    """What `compute` left. Raises `InputError` for a file that is damaged or of another run."""
    from verify.study import Outcome

    text = read_text(job.part, "the outcome of a run")
    try:
        found = json.loads(text)
        whole = found["key"] == job.key and found["sha256"] == _sha(found["outcome"])
    except (ValueError, KeyError, TypeError):
        whole = False
    if not whole:
        raise InputError(f"{job.part} is corrupted: remove it to compute it again, or choose another --out")
    return Outcome.read(found["outcome"])


# --------------------------------------------------------------------------- plans


def chosen(profile: str, experiments: Sequence[str] = (), methods: Sequence[str] = ()) -> tuple[Experiment, ...]:
    """The experiments of a profile, or those of them that are named, with what they go on from.

    ``methods``: only these, and FP where networks go on from it. Raises `InputError` for unknown names.
    """
    if profile not in PROFILES:
        raise InputError(f"unknown profile {profile[:40]!r}, expected one of: {', '.join(PROFILES)}")
    known = {e.name: e for e in PROFILES[profile]}
    for name in experiments:
        if name not in known:
            raise InputError(f"unknown experiment {name[:40]!r} of {profile}, expected one of: {', '.join(known)}")
    wanted = set(experiments or known)
    sources = {known[name].start for name in wanted} - {SCRATCH}
    only = [method(name).name for name in methods]
    made = []
    for e in PROFILES[profile]:
        if e.name not in wanted | sources:
            continue
        names = tuple(name for name in e.methods if name in only or name == FULL) if only else e.methods
        made.append(replace(e, methods=names if e.name in wanted else (FULL,)))
    return tuple(made)


@dataclass(frozen=True)
class Place:
    """Where and on what a profile runs."""

    out: Path
    profile: str
    seed: int
    device: str
    data_dirs: tuple[str, ...] = ()
    jobs: int = 1
    world: int = 1

    @property
    def folder(self) -> Path:
        return self.out / "networks" / self.profile

    @property
    def parts(self) -> Path:
        return self.folder / "parts"


class _Plan:
    """The jobs of the experiments, as far as earlier results allow to state them."""

    def __init__(self, place: Place, experiments: Sequence[Experiment]) -> None:
        self.place, self.experiments = place, {e.name: e for e in experiments}
        self.sources = {e.start for e in experiments} - {SCRATCH}
        self.folders: dict[str, str | None] = {}
        self.splits: dict[str, Split] = {}
        for e in experiments:
            self.splits[e.name] = self._find(e)
        self.rates: dict[tuple[str, str], float] = {}

    def _find(self, e: Experiment) -> Split:
        """The data of an experiment, from the first of the folders that has them."""
        tried: list[InputError] = []
        for folder in self.place.data_dirs or (None,):
            try:
                found = _data(e, folder, self.place.seed, self.place.device)
            except InputError as error:
                tried.append(error)
                continue
            self.folders[e.name] = folder
            return found
        raise tried[-1] if len(tried) == 1 else InputError("; ".join(map(str, tried)))

    def _job(self, e: Experiment, name: str, rate: float, seed: int, stage: str) -> Job:
        from verify.study import Run

        run = Run(e, name, rate, seed, stage)
        start = None
        if e.start != SCRATCH:
            source = self.experiments[e.start]
            first = self._job(source, FULL, self.rates[source.name, FULL], seed, stage)
            start = str(first.weights)
        data = self.splits[e.name]
        depends = {
            "declaration": json.dumps({**e.declaration, "methods": None, "name": None, "seeds": None}, sort_keys=True),
            "start": start and Path(start).name,
            "method": [name, method(name).rule, method(name).origin],
            "run": [rate, seed, stage],
            "data": [data.sha256, self.place.seed],
            "where": [self.place.device.partition(":")[0], self.place.world, *_versions().values(), source_digest()],
        }
        keep = name == FULL and e.name in self.sources
        parts = str(self.place.parts)
        return Job(run, parts, self.folders[e.name], self.place.seed, self.place.device, digest(depends), start, keep)

    def tuning(self, e: Experiment) -> list[Job]:
        seed = self.place.seed + TUNING
        return [self._job(e, name, rate, seed, "tune") for name in e.methods for rate in e.rates]

    def choose(self, e: Experiment, jobs: Sequence[Job]) -> None:
        """The rate of each method: the highest accuracy of the hardened network, the smaller of two."""
        best: dict[str, tuple[float, float]] = {}
        for job in jobs:
            valid = outcome_of(job).valid
            score = -1.0 if math.isnan(valid) else valid
            known = best.get(job.run.method)
            if known is None or (score, -job.run.rate) > (known[0], -known[1]):
                best[job.run.method] = score, job.run.rate
        self.rates |= {(e.name, name): rate for name, (_, rate) in best.items()}

    def final(self, e: Experiment) -> list[Job]:
        seeds = range(self.place.seed, self.place.seed + e.seeds)
        return [self._job(e, name, self.rates[e.name, name], s, "final") for name in e.methods for s in seeds]


@lru_cache(maxsize=1)
def _versions() -> dict[str, str]:
    import torch

    return {"proxpair": VERSION, "torch": torch.__version__.split("+")[0], "numpy": np.__version__}


# --------------------------------------------------------------------------- running


def run_profile(
    place: Place,
    experiments: Sequence[Experiment],
    progress: Callable[[str, int, int], None] = lambda *_: None,
    command: str = "",
) -> Path:
    """Run the experiments and write the files of the module's docstring; the folder.

    ``progress`` gets (what, runs done, runs in all). Raises `InputError` for data that are missing or damaged,
    a device that is not there, outputs that cannot be written, and a worker that dies; what was finished is kept.
    """
    from verify.networks import pick_device

    if not 1 <= place.jobs <= 256:
        raise InputError(f"--jobs expects a number from 1 to 256, not {place.jobs}")
    if place.jobs > 1 and _number("WORLD_SIZE", 1) > 1:
        raise InputError("--jobs and torchrun do not go together: give one of them")
    with _together(str(pick_device(place.device))) as (device, world):
        place = replace(place, device=device, world=world)
        plan = _Plan(place, experiments)
        with alone(place.parts) if first_process() else nullcontext():
            if first_process():
                clear_temporaries(place.parts)
            _meet()
            return _run(place, plan, progress, command)


def _run(place: Place, plan: _Plan, progress: Callable[[str, int, int], None], command: str) -> Path:
    experiments = list(plan.experiments.values())
    total = sum(len(e.methods) * (len(e.rates) + e.seeds) for e in experiments)
    done = 0
    jobs: list[Job] = []
    for e in experiments:
        for wave in (plan.tuning, plan.final):
            todo = wave(e)
            for seconds, job in _computed(todo, place.jobs):
                done += 1
                progress(f"{e.name}: {job.run.method}", done, total)
                if seconds is not None and first_process():
                    _note_time(place.parts, job, seconds)
            if todo[0].run.stage == "tune":
                plan.choose(e, todo)
            jobs += todo
    if first_process():
        _write(place, plan, jobs, command)
    _meet()
    return place.folder


def _computed(jobs: Sequence[Job], workers: int) -> Iterable[tuple[float | None, Job]]:
    """(seconds, job) as they are finished; None for those whose file was there, which is looked at."""
    todo = []
    for job in jobs:
        if job.done:
            outcome_of(job)
            yield None, job
        else:
            todo.append(job)
    _meet()  # all have looked before one writes
    if workers == 1 or len(todo) < 2:
        for job in todo:
            yield compute(job), job
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    with parallel_config("loky", n_jobs=workers, inner_max_num_threads=1):
        try:
            yield from Parallel(return_as="generator_unordered")(delayed(_timed)(job) for job in todo)
        except TerminatedWorkerError:
            raise InputError("a worker process died; what was finished is kept, the same command goes on") from None


def _timed(job: Job) -> tuple[float, Job]:
    return compute(job), job


def _note_time(folder: Path, job: Job, seconds: float) -> None:
    known = _times(folder)
    write_text(folder / TIMES, json.dumps({**known, job.key[:24]: round(seconds, 3)}))


def _times(folder: Path) -> dict[str, float]:
    """Seconds by job; what cannot be read is not known."""
    try:
        found = json.loads((folder / TIMES).read_text())
        return {str(k): float(v) for k, v in found.items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return {}


def _write(place: Place, plan: _Plan, jobs: Sequence[Job], command: str) -> None:
    """All the files, together."""
    runs: list[list[Any]] = []
    curves: list[list[Any]] = []
    ledger: list[list[Any]] = []
    seconds = _times(place.parts)
    times: dict[str, float] = {}
    for job in jobs:
        r, o = job.run, outcome_of(job)
        head = [r.experiment.name, r.method]
        last = o.curve[-1] if o.curve else [math.nan] * 3
        sizes: list[Any] = list(o.bytes) or ["", ""]
        flips = sum(int(row[2]) for row in o.curve)
        account = o.ledger or {"negative_backward": math.nan, "closure_error": math.nan}
        runs.append(
            [
                *(*head, r.stage, r.rate, r.seed, o.valid, o.test, o.soft, last[0], o.weights, *sizes, flips),
                *(float(account["negative_backward"]), float(account["closure_error"]), o.failed),
            ]
        )
        times[r.experiment.name] = times.get(r.experiment.name, 0.0) + seconds.get(job.key[:24], 0.0)
        if r.stage == "final":
            curves += [[*head, r.seed, k, *row] for k, row in enumerate(o.curve, 1)]
            ledger += [[*head, r.seed, *row] for row in o.ledger_curve]
    study = {
        "profile": place.profile,
        "command": command,
        "seed": place.seed,
        "device": _device_name(place.device) + (f", {place.world} processes" if place.world > 1 else ""),
        "versions": _versions(),
        "experiments": [e.declaration for e in plan.experiments.values()],
        "data": {
            name: {
                "sha256": s.sha256,
                "note": s.note,
                "images": [len(s.train_y), len(s.valid_y), len(s.test_y)],
                "shape": list(s.train_x.shape[1:]),
            }
            for name, s in plan.splits.items()
        },
        "methods": {name: _verdict(name) for e in plan.experiments.values() for name in e.methods},
    }
    tables = {
        "runs.csv": csv_text(RUNS, runs),
        "curves.csv": csv_text(CURVES, curves),
        "ledger.csv": csv_text(LEDGER, ledger),
        "study.json": json.dumps(study, indent=1) + "\n",
    }
    summary, pairs = _tables(runs, study)
    tables["summary.csv"], tables["paired.csv"] = csv_text(SUMMARY, summary), csv_text(PAIRED, pairs)
    tables[TIMES] = json.dumps({k: round(v, 1) for k, v in times.items()}, indent=1) + "\n"
    write_together({place.folder / name: text.encode() for name, text in tables.items()})


def _device_name(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device.startswith("cuda") else "cpu, one thread for each network"


def _verdict(name: str) -> dict[str, str]:
    of = METHODS[name]
    first, last = of.prepared(1, 2), of.prepared(2, 2)
    grades = dict.fromkeys(p.verdict.grade for p in (first, last))
    other = of.rule != "PC++"
    return {
        "verdict": "other update" if other else "/".join(grades),
        "origin": of.origin,
        "witness": "" if other else last.warning,
    }


# --------------------------------------------------------------------------- tables


def planned(names: Sequence[str]) -> list[tuple[str, str]]:
    """The comparisons chosen before any result: all with FP, all with BC, refuted pairs with their repairs."""
    found = [(name, FULL) for name in names if name != FULL and FULL in names]
    found += [(name, "BC") for name in names if name not in (FULL, "BC") and "BC" in names]
    repaired = (("BNN++", "BNN+"), ("ApproxSign-r", "ApproxSign"))
    return found + [pair for pair in repaired if set(pair) <= set(names)]


def _tables(runs: Sequence[Sequence[Any]], study: dict[str, Any]) -> tuple[list[list[Any]], list[list[Any]]]:
    """(summary, paired) of the rows of runs.csv."""
    place = {name: i for i, name in enumerate(RUNS)}
    final: dict[str, dict[str, list[Sequence[Any]]]] = {}
    for row in runs:
        if row[place["stage"]] == "final":
            final.setdefault(row[0], {}).setdefault(row[1], []).append(row)

    def column(rows: Iterable[Sequence[Any]], name: str) -> np.ndarray:
        return np.array([float(row[place[name]]) if row[place[name]] != "" else math.nan for row in rows])

    summary: list[list[Any]] = []
    pairs: list[list[Any]] = []
    for experiment, methods in final.items():
        scores = {name: column(rows, "test") for name, rows in methods.items()}
        for name, rows in methods.items():
            valid = scores[name][~np.isnan(scores[name])]
            at, soft = (_spread(x[~np.isnan(scores[name])]) for x in (scores[name], column(rows, "soft")))
            ratio = column(rows, "float_bytes") / column(rows, "packed_bytes")
            weights = column(rows, "weights")
            below = math.nan
            if name != FULL and FULL in scores:
                both = ~np.isnan(scores[name]) & ~np.isnan(scores[FULL])
                below = not_below(scores[FULL][both], scores[name][both]) if both.sum() > 1 else math.nan
            of = study["methods"][name]
            summary.append(
                [
                    *(experiment, name, of["verdict"], of["origin"], float(rows[0][place["rate"]]), len(valid)),
                    *(at.mean, at.sd, at.low, at.high, soft.mean, soft.sd),
                    *(_mean(column(rows, "valid")), _mean(ratio), _mean(column(rows, "flips") / weights)),
                    *(_mean(column(rows, "negative_backward")), _most(column(rows, "closure_error")), below),
                    sum(row[place["failed"]] != "" for row in rows),
                ]
            )
        names = list(methods)
        plan = planned(names)
        others = [(b, a) for i, a in enumerate(names) for b in names[i + 1 :]]
        others = [pair for pair in others if pair not in plan and pair[::-1] not in plan]
        for group, is_planned in ((plan, 1), (others, 0)):
            found = []
            for first, second in group:
                both = ~np.isnan(scores[first]) & ~np.isnan(scores[second])
                found.append(paired(scores[first][both], scores[second][both]) if both.sum() > 1 else None)
            adjusted = holm([math.nan if f is None else f.p for f in found])
            for (first, second), f, p in zip(group, found, adjusted, strict=True):
                if f is None:
                    continue
                answer = Comparison(first, second, f, p).answer
                numbers = (f.n, f.mean, f.sd, f.low, f.high, f.t, f.p, f.p_exact)
                pairs.append([experiment, first, second, is_planned, *numbers, p, answer])
    return summary, pairs


def _spread(x: np.ndarray) -> Spread:
    return spread(x) if x.size else Spread(0, *[math.nan] * 4)


def _mean(x: np.ndarray) -> float:
    x = x[~np.isnan(x)]
    return float(x.mean()) if x.size else math.nan


def _most(x: np.ndarray) -> float:
    x = x[~np.isnan(x)]
    return float(x.max()) if x.size else math.nan


def tabulate(folder: str | Path) -> tuple[list[list[Any]], list[list[Any]]]:
    """(summary, paired) of a folder of results, from runs.csv and study.json alone.

    Raises `InputError` for files that are missing or not what `run_profile` writes.
    """
    base = Path(folder)
    text = read_text(base / "runs.csv", "the runs of a profile")
    rows = list(csv.reader(text.splitlines()))
    if not rows or tuple(rows[0]) != RUNS or any(len(row) != len(RUNS) for row in rows):
        raise InputError(f"{base / 'runs.csv'}: the columns {', '.join(RUNS)} were expected")
    try:
        study = json.loads(read_text(base / "study.json", "the declarations of a profile"))
        return _tables(rows[1:], study)
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{base}: results of proxpair train --profile were expected ({error})") from None


__all__ = [
    "CURVES",
    "LEDGER",
    "PAIRED",
    "RUNS",
    "SUMMARY",
    "TUNING",
    "Job",
    "Place",
    "chosen",
    "compute",
    "first_process",
    "outcome_of",
    "planned",
    "run_profile",
    "tabulate",
]
