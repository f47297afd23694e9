"""The grid of a convergence experiment, cut into shards: each is one batch, one checkpoint, one job.

A grid is every pair on every problem with every schedule and seed. Problems of one dimension share batches of at most
`MOST_RUNS` runs. A shard is a declaration (names and texts), so it travels to any worker: joblib runs the shards, on
this machine or, through its dask and ray backends, on a cluster. Results come back bit for bit the same, however
they were computed and however often the process was killed in between.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from theory.catalogue import lookup
from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.pairs import QuantizerPair
from theory.parser import parse
from theory.version import VERSION
from verify.ledger import RunError
from verify.problems import PROBLEMS, Array, Problem, problem
from verify.proxconnect import Scheme, scheme
from verify.references import reference
from verify.schedules import schedule, step_sizes
from verify.shards import digest, load, save
from verify.sweep import Batch, Trace, simulate

MOST_RUNS = 1024
MOST_NUMBERS = 2**17
"""Runs in a batch, and coordinates: 1 MiB for each array."""
MARKS = 96
PATIENCE = 10
"""Seconds to wait for a scheduler."""
BACKENDS = ("loky", "dask", "ray")


# --------------------------------------------------------------------------- declarations


@dataclass(frozen=True)
class PairSpec:
    """A pair by its catalogue name, or by the texts of F and B."""

    name: str
    forward: str | None = None
    backward: str | None = None

    def pair(self) -> QuantizerPair:
        """The pair. Raises `InputError` where a text cannot be read."""
        if self.forward is None or self.backward is None:
            return lookup(self.name).pair()
        return QuantizerPair(parse(self.forward, {}, what="F"), parse(self.backward, {}, what="B"), self.name)


def pair_spec(text: str) -> PairSpec:
    """A catalogue name, or FORWARD ; BACKWARD as expressions in x. Raises `InputError` for anything else."""
    forward, found, backward = text.partition(";")
    if not found:
        return PairSpec(lookup(text).name)
    if not forward.strip() or not backward.strip() or ";" in backward:
        raise InputError(f"a pair is a catalogue name or FORWARD ; BACKWARD, not {text[:60]!r}")
    spec = PairSpec(f"({forward.strip()}; {backward.strip()})", forward.strip(), backward.strip())
    spec.pair()
    return spec


@dataclass(frozen=True)
class Shard:
    """One batch: pairs, problems of one dimension, schedules and seeds by name. Hashable, and it can be pickled."""

    pairs: tuple[PairSpec, ...]
    problems: tuple[str, ...]
    schedules: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: int
    stochastic: bool = False
    sharpness: str = ""
    deep_every: int = 0

    @property
    def runs(self) -> int:
        return len(self.pairs) * len(self.problems) * len(self.schedules) * len(self.seeds)

    @property
    def key(self) -> str:
        """What the numbers of this shard depend on, as one digest: declarations, data, code, versions."""
        parts: dict[str, Any] = {
            "pairs": [[p.name, str(q.forward), str(q.backward)] for p in self.pairs for q in (p.pair(),)],
            "schedules": [schedule(s).formula for s in self.schedules],
            "seeds": list(self.seeds),
            "steps": [self.steps, self.stochastic, self.deep_every, self.sharpness],
            "versions": [VERSION, np.__version__, source_digest()],
        }
        for name in self.problems:
            of = problem(name)
            value, gradient = of.both(np.cos(np.arange(1.0, of.dimension + 1)))
            parts[f"problem {name}"] = np.concatenate([[float(value), of.smoothness], gradient, of.minimiser])
        return digest(parts)


@lru_cache(maxsize=1)
def source_digest() -> str:
    """The code of theory/ and verify/: results of other code are not taken for results of this one."""
    import theory
    import verify

    texts = {}
    for package in (theory, verify):
        folder = Path(str(package.__file__)).parent
        for path in sorted(folder.rglob("*.py")):
            texts[f"{package.__name__}/{path.relative_to(folder)}"] = path.read_text()
    return digest(texts)


def cut(whole: Shard, most: int = MOST_RUNS) -> tuple[Shard, ...]:
    """A grid as shards, in a fixed order: problems of one dimension, and at most ``most`` runs each.

    Seeds are split first, then pairs, then problems; schedules stay together.
    """
    groups: dict[int, list[str]] = {}
    for name in whole.problems:
        groups.setdefault(problem(name).dimension, []).append(name)
    made = []
    for d, names in groups.items():
        room = max(1, min(most, MOST_NUMBERS // d) // len(whole.schedules))
        problems = min(len(names), room)
        pairs = min(len(whole.pairs), max(1, room // problems))
        seeds = max(1, room // (problems * pairs))
        made += [
            replace(whole, pairs=tuple(q), problems=tuple(p), seeds=tuple(s))
            for p in _chunks(names, problems)
            for q in _chunks(whole.pairs, pairs)
            for s in _chunks(whole.seeds, seeds)
        ]
    return tuple(made)


def _chunks(items: Sequence[Any], size: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def marks(steps: int) -> list[int]:
    """The steps at which a run is written down: the first 20, then evenly in log t, about `MARKS` in all."""
    early = range(1, min(20, steps) + 1)
    late: list[float] = np.geomspace(20, steps, MARKS - 20).tolist() if steps > 20 else []
    return sorted({*early, *(round(t) for t in late), steps})


# --------------------------------------------------------------------------- running one


@lru_cache(maxsize=128)
def scheme_of(spec: PairSpec) -> Scheme:
    """How a pair is run (decided once in a process)."""
    pair = spec.pair()
    try:
        return scheme(pair, decide(pair))
    except Undecided as open_question:
        raise InputError(f"{spec.name} cannot be run: {open_question}") from None
    except InputError:
        raise
    except ValueError as error:  # integers of more than 4,300 digits have no text, and sympy asks for one
        if "digits" not in str(error):
            raise
        raise InputError(f"{spec.name} cannot be run: its exact constants are too long to be written") from None


@lru_cache(maxsize=1024)
def _reference(spec: PairSpec, name: str) -> Array:
    return reference(problem(name), scheme_of(spec))


def starting_point(of: Problem, seed: int) -> Array:
    """u_1 (d,), standard normal times 1/2: the same for every pair and schedule."""
    key = [seed, list(PROBLEMS).index(of.name)]
    return np.asarray(0.5 * np.random.default_rng(key).standard_normal(of.dimension))


def batch_of(shard: Shard) -> Batch:
    """The arrays of a shard. Raises `InputError` for a schedule without positive step sizes."""
    problems = tuple(problem(name) for name in shard.problems)
    schedules = [schedule(text) for text in shard.schedules]
    sharpness = None
    if shard.sharpness:
        beta = step_sizes(problems[0], schedule(shard.sharpness), shard.steps)
        sharpness = np.broadcast_to(beta, (len(schedules), shard.steps))
    return Batch(
        tuple(scheme_of(p) for p in shard.pairs),
        problems,
        np.stack([[step_sizes(of, how, shard.steps) for how in schedules] for of in problems]),
        np.stack([[starting_point(of, seed) for seed in shard.seeds] for of in problems]),
        np.stack([[_reference(p, name) for name in shard.problems] for p in shard.pairs]),
        shard.seeds if shard.stochastic else None,
        sharpness,
    )


Results = dict[str, Array]
"""The fields of `verify.sweep.Trace` over the marks: (M, R), those "of w" (M, 2, R); ``step`` (M,)."""


def compute(shard: Shard, progress: Callable[[int], None] = lambda _: None) -> Results:
    """Run a shard, on one thread. ``progress``: steps done, times runs."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1):  # more threads would change the order of sums, and the last bits
        batch = batch_of(shard)
        try:
            traces = simulate(
                batch, marks(shard.steps), deep_every=shard.deep_every, progress=lambda n: progress(n * shard.runs)
            )
        except RunError as error:
            a, p, k, s = np.unravel_index(error.run, batch.shape)
            where = f"{shard.pairs[a].name} on {shard.problems[p]} ({shard.schedules[k]}, seed {shard.seeds[s]})"
            raise InputError(f"{where}: {error}") from None
    names = [f.name for f in fields(Trace) if f.name != "step"]
    found = {name: np.stack([getattr(t, name) for t in traces]).astype(np.float64) for name in names}
    return {"step": np.array([float(t.step) for t in traces]), **found}


# --------------------------------------------------------------------------- running all


@dataclass(frozen=True)
class Backend:
    """Where shards run: ``jobs`` processes of this machine (loky), or a cluster behind ``address`` (dask, ray)."""

    name: str = "loky"
    jobs: int = 1
    address: str | None = None

    def __post_init__(self) -> None:
        if self.name not in BACKENDS:
            raise InputError(f"unknown backend {self.name[:40]!r}, expected one of: {', '.join(BACKENDS)}")
        if not 1 <= self.jobs <= 1024:
            raise InputError(f"the number of jobs must be between 1 and 1024, not {self.jobs}")
        if self.address is not None and self.name == "loky":
            raise InputError("a scheduler's address needs --backend dask or ray")


def checkpoint(folder: str | Path, key: str) -> Path:
    """Where the results of a shard are kept."""
    return Path(folder) / f"{key[:24]}.part"


def keep_only(folder: str | Path, keys: Sequence[str]) -> None:
    """Remove the checkpoints of other shards than these from a folder."""
    kept = {checkpoint(folder, key).name for key in keys}
    for path in Path(folder).glob("*.part"):
        if path.name not in kept and re.fullmatch(r"[0-9a-f]{24}\.part", path.name) and path.is_file():
            path.unlink(missing_ok=True)


def execute(
    shards: Sequence[Shard],
    folder: str | Path,
    backend: Backend | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Results]:
    """The results of all shards, in order; those with a checkpoint in ``folder`` are read, the others computed.

    ``progress`` gets the number of run-steps done since its last call. Raises `InputError` for a checkpoint that is
    corrupted or of something else, for a run that diverges, and where a cluster cannot be used.
    """
    where = backend or Backend()
    keys = [shard.key for shard in shards]
    paths = [checkpoint(folder, key) for key in keys]
    results: list[Results | None] = []
    for shard, key, path in zip(shards, keys, paths, strict=True):
        results.append(load(path, key) if path.exists() else None)
        if results[-1] is not None:
            progress(shard.runs * shard.steps)
    todo = [k for k, found in enumerate(results) if found is None]
    for k, found in zip(todo, _computed([shards[k] for k in todo], where, progress), strict=True):
        save(paths[k], keys[k], found)
        results[k] = found
    return [found for found in results if found is not None]


def _computed(shards: Sequence[Shard], where: Backend, progress: Callable[[int], None]) -> Iterable[Results]:
    if where.name == "loky" and where.jobs == 1:
        yield from (compute(shard, progress) for shard in shards)
        return
    from joblib import Parallel, delayed, parallel_config
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    options: dict[str, Any] = {"n_jobs": where.jobs}
    if where.name == "loky":
        options["inner_max_num_threads"] = 1
    with _connected(where), parallel_config(where.name, **options):
        ordered = "generator" if where.name == "loky" else "list"
        try:
            for shard, found in zip(
                shards, Parallel(return_as=ordered)(delayed(compute)(shard) for shard in shards), strict=True
            ):
                progress(shard.runs * shard.steps)
                yield found
        except TerminatedWorkerError:
            raise InputError("a worker process died; what was finished is kept, the same command goes on") from None


class _connected:
    """A client of the cluster for ``with``; nothing for loky."""

    def __init__(self, where: Backend) -> None:
        self.where = where
        self.client: Any = None

    def __enter__(self) -> None:
        name, address = self.where.name, self.where.address
        if name == "loky":
            return
        try:
            if name == "dask":
                from distributed import Client

                self.client = (
                    Client(address, timeout=PATIENCE)
                    if address
                    else Client(n_workers=self.where.jobs, threads_per_worker=1, dashboard_address=None)
                )
            else:
                import ray
                from ray.util.joblib import register_ray

                self.client = ray.init(address=address, num_cpus=None if address else self.where.jobs)
                register_ray()
        except ImportError:
            raise InputError(f'the backend {name} is not installed: pip install "proxpair[cluster]"') from None
        except (OSError, ConnectionError, ValueError) as error:
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            raise InputError(f"no {name} scheduler answers at {address}: {reason}") from None

    def __exit__(self, *_: object) -> None:
        if self.client is not None and self.where.name == "dask":
            self.client.close()
        elif self.client is not None:
            import ray

            ray.shutdown()


__all__ = [
    "BACKENDS",
    "MARKS",
    "Backend",
    "PairSpec",
    "Results",
    "Shard",
    "batch_of",
    "checkpoint",
    "compute",
    "cut",
    "execute",
    "keep_only",
    "marks",
    "pair_spec",
    "scheme_of",
    "source_digest",
    "starting_point",
]
