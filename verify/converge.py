"""The convergence experiment: pairs x problems x schedules x seeds, with the ledger on, written as CSV.

Gaps are F~(v) - F~(w) with F~ = f o T + r where mu advances and f o T where it does not; w is the comparator of
`verify.references`. Best, averaged and last iterate are kept apart: ``gap_best`` and ``gap_last`` are the least and
the latest value, ``gap_mean`` the eta-weighted mean of the values, ``gap_average`` the value at the
eta-weighted mean of v_1..v_t, ``gap_average_next`` at that of v_2..v_{t+1}. ``bound``, which is
(D_1(w) + sum D_{t+1}(v_t)) / sum eta, is written only where it is one: T affine, g the gradient of f o T.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from theory.decision import decide
from theory.errors import InputError
from theory.files import csv_text, write_together
from verify.ledger import STEP_TOLERANCE, TOLERANCE
from verify.problems import USUAL, Array, Problem, problem
from verify.proxconnect import Scheme
from verify.runs import Backend, PairSpec, Results, Shard, cut, keep_only, pair_spec, scheme_of
from verify.runs import execute as execute_shards
from verify.schedules import USUAL_SCHEDULE, schedule, step_sizes
from verify.shards import alone, clear_temporaries
from verify.statements import STATEMENTS, Finding, findings, fitted_order, refusal

METHODS = ("FP", "BC", "PC", "BNN", "BNN+", "BNN++", "MD-tanh", "ApproxSign")
STEPS, MOST_STEPS = 1000, 1_000_000
SEEDS, MOST_SEEDS = 3, 100_000
"""Random starting points; the ledger files show the first."""
MOST_RUNS = 200_000
"""Runs of one experiment: their marks take 4 GiB."""

LEDGER_HEADER = (
    "step",
    "eta",
    "mu",
    "left",
    "d_first",
    "d_last",
    "d_sum",
    "abs_sum",
    "closure_error",
    "gap_best",
    "gap_mean",
    "gap_average",
    "gap_average_next",
    "gap_last",
    "bound",
    "bound_convex",
    "bound_smooth",
    "residual",
    "flips",
    "min_D",
)
SUMMARY_HEADER = (
    "problem",
    "method",
    "verdict",
    "mode",
    "regularizer",
    "schedule",
    "gradient",
    "steps",
    "seeds",
    "max_closure_error",
    "min_D",
    "support",
    "gap_best",
    "gap_mean",
    "gap_last",
    "bound",
    "residual",
    "flips",
    "negative",
    "note",
)
RUNS_HEADER = (
    "problem",
    "method",
    "schedule",
    "gradient",
    "seed",
    "steps",
    "mode",
    "closure_first",
    "closure_second",
    "min_D",
    "slack",
    "support",
    "gap_best",
    "gap_mean",
    "gap_average",
    "gap_average_next",
    "gap_last",
    "eta_sum",
    "residual",
    "flips",
    "negative",
    "path",
    "frank_wolfe",
    "u_norm",
)
STATEMENTS_HEADER = (
    "problem",
    "method",
    "schedule",
    "gradient",
    "seed",
    "statement",
    "iterate",
    "left",
    "bound",
    "ratio",
    "tightest",
    "violated",
    "order",
    "order_low",
    "order_high",
)
_NOT_A_BOUND = "T is not affine, so f o T need not be convex: no bound of the gap"
_FIELD = "T = id, P = F, and g = B*grad f is no gradient of f: the identity holds, but bounds no gap"


# --------------------------------------------------------------------------- what is asked for


@lru_cache(maxsize=256)
def _grade(spec: PairSpec) -> str:
    return decide(spec.pair()).grade


def check_arguments(seed: int, steps: int, most: int = MOST_STEPS) -> None:
    """Raise `InputError` for a seed or a number of steps out of range."""
    if not 1 <= steps <= most:
        raise InputError(f"the number of steps must be between 1 and {most}, not {steps}")
    if seed < 0:
        raise InputError(f"the seed must be a whole number that is not negative, not {seed}")


@dataclass(frozen=True)
class Plan:
    """What an experiment consists of, checked: pairs and problems without repetition, schedules, seeds."""

    pairs: tuple[PairSpec, ...]
    problems: tuple[Problem, ...]
    steps: int
    seed: int
    schedules: tuple[str, ...] = (USUAL_SCHEDULE,)
    seeds: int = SEEDS
    stochastic: bool = False
    sharpness: str = ""

    @property
    def total(self) -> int:
        """Steps of all runs together."""
        return len(self.pairs) * len(self.problems) * len(self.schedules) * self.seeds * self.steps

    @property
    def shards(self) -> tuple[Shard, ...]:
        """The grid cut into batches."""
        whole = Shard(
            self.pairs,
            tuple(of.name for of in self.problems),
            self.schedules,
            tuple(range(self.seed, self.seed + self.seeds)),
            self.steps,
            self.stochastic,
            self.sharpness,
            # brute-force minimisers at the start, the middle and the end of every run
            deep_every=max(1, math.ceil(self.steps / 2)),
        )
        return cut(whole)


def plan(
    methods: Sequence[str] = METHODS,
    problems: Sequence[str] = USUAL,
    steps: int = STEPS,
    seed: int = 0,
    schedules: Sequence[str] = (USUAL_SCHEDULE,),
    seeds: int = SEEDS,
    stochastic: bool = False,
    sharpness: str = "",
) -> Plan:
    """Check what is asked for. ``methods``: catalogue names, or FORWARD ; BACKWARD.

    Raises `InputError` on an unknown method, problem or schedule, a pair that cannot be read or run, a schedule with a
    step size that is not positive, a sharpness for a pair without a transform, steps outside 1..1,000,000, seeds
    outside 1..100,000, too many runs, or a negative seed.
    """
    check_arguments(seed, steps)
    if not 1 <= seeds <= MOST_SEEDS:
        raise InputError(f"the number of seeds must be between 1 and {MOST_SEEDS}, not {seeds}")
    pairs = tuple(dict.fromkeys(pair_spec(m) for m in methods))
    known = tuple(problem(name) for name in dict.fromkeys(problems))
    names = tuple(dict.fromkeys(schedules))
    runs = len(pairs) * len(known) * len(names) * seeds
    if runs > MOST_RUNS:
        raise InputError(f"at most {MOST_RUNS} runs make one experiment, these are {runs}: ask for fewer seeds")
    for of in known:
        for text in names:
            step_sizes(of, schedule(text), steps)
        if sharpness:
            step_sizes(of, schedule(sharpness, "--sharpness"), steps, "--sharpness")
    for spec in pairs:
        if not scheme_of(spec).transforms and sharpness:
            raise InputError(f"--sharpness needs a transform T, and {spec.name} is run without one or by T = id")
    return Plan(pairs, known, steps, seed, names, seeds, stochastic, sharpness)


# --------------------------------------------------------------------------- results, cell by cell


@dataclass(frozen=True)
class Cell:
    """The runs of one pair on one problem with one schedule, over all seeds.

    ``found``: the fields of `verify.sweep.Trace` over the marks (M, S), those of w (M, 2, S).
    """

    spec: PairSpec
    of: Problem
    schedule: str
    seeds: tuple[int, ...]
    stochastic: bool
    found: Results

    @property
    def how(self) -> Scheme:
        return scheme_of(self.spec)

    @property
    def first(self) -> dict[str, Array]:
        """The fields at the first comparator, each (M, S)."""
        return {name: a[:, 0] if a.ndim == 3 else a for name, a in self.found.items() if name != "step"}

    @property
    def gradient(self) -> str:
        return "stochastic" if self.stochastic else "exact"

    @property
    def failures(self) -> tuple[str, ...]:
        """What the ledger finds wrong with these runs; empty if nothing."""
        if self.how.regularizer is None:
            return ()
        f = self.found
        steps = f["step"].astype(int)
        etas = step_sizes(self.of, schedule(self.schedule), int(steps[-1]))[steps - 1]
        grown: Any = f["eta_sum"] if self.how.advances else 0.0
        tests = {
            "identity (I) does not close": float(f["closure"].max()) <= TOLERANCE,
            "identity (II) does not close": float(f["closure_second"].max()) <= TOLERANCE,
            "a step is not eta_t g_t": float(f["step_error"][-1].max()) <= STEP_TOLERANCE,
            "some D_t is negative": float(f["min_d"][-1].min()) >= -TOLERANCE,
            "an inequality for convex r fails": float(f["slack"][-1].min()) >= -TOLERANCE,
            "s_t is no subgradient of r": float(f["support"][-1].min()) >= -TOLERANCE,
            "the step sizes are not those of the schedule": bool(np.all(f["eta"] == etas[:, None])),
            "mu_t is not 1 + sum eta": bool(np.all(np.abs(f["mu"] - 1.0 - grown) <= 1e-9 * f["mu"])),
        }
        return tuple(name for name, passed in tests.items() if not passed)

    def findings(self, steps: int) -> list[Finding]:
        """The corollaries on these runs; none where T moves."""
        etas = step_sizes(self.of, schedule(self.schedule), steps)
        return list(findings(self.first, self.how, self.of, etas, self.seeds, self.stochastic))


def cells(todo: Plan, results: Sequence[Results]) -> list[Cell]:
    """The results of `Plan.shards`, put together: problem by problem, pair by pair, schedule by schedule."""
    parts: dict[tuple[str, PairSpec, str], list[tuple[tuple[int, ...], Results]]] = {}
    for shard, found in zip(todo.shards, results, strict=True):
        shape = (len(shard.pairs), len(shard.problems), len(shard.schedules), len(shard.seeds))
        for a, spec in enumerate(shard.pairs):
            for p, name in enumerate(shard.problems):
                for k, text in enumerate(shard.schedules):
                    own = {
                        field: values
                        if field == "step"
                        else values.reshape(*values.shape[:-1], *shape)[..., a, p, k, :]
                        for field, values in found.items()
                    }
                    parts.setdefault((name, spec, text), []).append((shard.seeds, own))
    made = []
    for of in todo.problems:
        for spec in todo.pairs:
            for text in todo.schedules:
                pieces = parts[of.name, spec, text]
                joined = {
                    field: pieces[0][1][field]
                    if field == "step"
                    else np.concatenate([own[field] for _, own in pieces], axis=-1)
                    for field in pieces[0][1]
                }
                seeds = tuple(s for some, _ in pieces for s in some)
                made.append(Cell(spec, of, text, seeds, todo.stochastic, joined))
    return made


# --------------------------------------------------------------------------- tables


def _regularizer_word(run: Scheme) -> str:
    if run.regularizer is None:
        return "none"
    return {True: "convex", False: "nonconvex", None: "undecided"}[run.convex]


def _note(run: Scheme, failures: Sequence[str], sharpness: str) -> str:
    if run.mode == "none":
        return run.reason
    parts = [f"THE LEDGER FAILS: {', '.join(failures)}"] if failures else []
    parts += [run.reason] if run.reason else []
    if run.mode == "sign-field":
        parts.append(_FIELD)
    elif not run.affine:
        parts.append(_NOT_A_BOUND)
    if sharpness:
        parts.append(f"T moves with beta_t = {sharpness}, the comparator is that of T itself")
    return "; ".join(parts)


def _number(value: float) -> float | str:
    """A cell of a table: blank where there is no number."""
    return value if math.isfinite(value) else ""


def _ledger_rows(cell: Cell) -> list[tuple[Any, ...]]:
    """The first seed's ledger over the marks."""
    f = {name: a[:, 0] for name, a in cell.first.items()}
    etas = np.array([1.0])
    bounded = {name: not refusal(name, cell.how, cell.of, etas * 0, cell.stochastic) for name in ("convex", "residual")}
    bounds = {s.name: s.bound_of(f) for s in STATEMENTS}
    smooth = any(x.statement.name == "smooth" for x in cell.findings(int(cell.found["step"][-1])))
    rows = []
    for i, step in enumerate(cell.found["step"].astype(int).tolist()):
        head = (f[name][i] for name in ("eta", "mu", "left", "d_first", "d_last", "d_sum", "abs_sum", "closure"))
        gaps = (f[name][i] for name in ("best", "mean", "average", "average_next", "last"))
        rows.append(
            (
                step,
                *map(float, head),
                *(_number(float(g)) for g in gaps),
                float(bounds["residual"][i]) if bounded["residual"] else "",
                float(bounds["convex"][i]) if bounded["convex"] else "",
                float(bounds["smooth"][i]) if smooth else "",
                float(f["residual"][i]),
                int(f["flips"][i]),
                float(f["min_d"][i]),
            )
        )
    return rows


def _summary_row(cell: Cell, sharpness: str) -> tuple[Any, ...]:
    how, f = cell.how, {name: a[-1] for name, a in cell.first.items()}
    closing = (cell.found["closure"], cell.found["closure_second"])
    ledger = how.regularizer is not None
    first = {name: float(a[0]) for name, a in f.items()}
    bounded = ledger and not refusal("residual", how, cell.of, np.zeros(1), cell.stochastic) and not sharpness
    return (
        cell.of.name,
        cell.spec.name,
        _grade(cell.spec),
        how.mode,
        _regularizer_word(how),
        cell.schedule,
        cell.gradient,
        int(cell.found["step"][-1]),
        len(cell.seeds),
        max(float(c.max()) for c in closing) if ledger else "",
        float(f["min_d"].min()) if ledger else "",
        _number(float(f["support"].min())) if ledger else "",
        first["best"],
        first["mean"],
        first["last"],
        first["bound"] if bounded else "",
        first["residual"] if ledger else "",
        int(first["flips"]),
        first["negative"],
        _note(how, cell.failures, sharpness),
    )


def _run_rows(cell: Cell) -> list[tuple[Any, ...]]:
    f = {name: a[-1] for name, a in cell.found.items()}
    worst = {name: cell.found[name].max(axis=(0, 1)) for name in ("closure", "closure_second")}
    rows = []
    for s, seed in enumerate(cell.seeds):
        gaps = (f[name][s] for name in ("best", "mean", "average", "average_next", "last", "eta_sum", "residual"))
        rows.append(
            (
                cell.of.name,
                cell.spec.name,
                cell.schedule,
                cell.gradient,
                seed,
                int(cell.found["step"][-1]),
                cell.how.mode,
                *(_number(float(worst[name][s])) for name in worst),
                *(_number(float(f[name][s])) for name in ("min_d", "slack", "support")),
                *(_number(float(g)) for g in gaps),
                int(f["flips"][s]),
                float(f["negative"][s]),
                _number(float(f["path"][0, s])),
                _number(float(f["wide"][s])),
                float(f["u_norm"][s]),
            )
        )
    return rows


def _statement_rows(cell: Cell, steps: int) -> list[tuple[Any, ...]]:
    rows = []
    for x in cell.findings(steps):
        ratio = x.ratio
        late = np.isfinite(ratio)
        order = fitted_order(cell.found["step"], x.left)
        rows.append(
            (
                cell.of.name,
                cell.spec.name,
                cell.schedule,
                cell.gradient,
                "all" if x.seed is None else x.seed,
                x.statement.name,
                x.statement.iterate,
                float(x.left[-1]),
                float(x.bound[-1]),
                _number(float(ratio[-1])),
                float(ratio[late].max()) if late.any() else "",
                "yes" if x.violated else "no",
                *(_number(v) for v in (order.order, order.low, order.high)),
            )
        )
    return rows


# --------------------------------------------------------------------------- the experiment


def execute(
    todo: Plan,
    out: str | Path,
    progress: Callable[[int], None] = lambda _: None,
    backend: Backend | None = None,
) -> list[tuple[Any, ...]]:
    """Run a plan and write DIR/convergence/{summary,runs,statements,ledger_*}.csv; returns the summary's rows.

    ``progress`` is called with the number of steps done since its last call (`Plan.total` in all). One ledger file per
    problem and pair with a ledger (first seed, first schedule, at the marks of `verify.runs.marks`);
    ``max_closure_error`` (both identities, both comparators), ``min_D`` and ``support`` of the summary cover all seeds.
    Each shard is checkpointed under DIR/convergence/checkpoints: a killed run goes on there. Raises `InputError` if a
    run diverges, or a checkpoint is damaged or of something else; nothing is written over then.
    """
    folder = Path(out) / "convergence"
    shards = todo.shards
    with alone(folder):
        return _execute(todo, shards, folder, backend, progress)


def _execute(
    todo: Plan, shards: Sequence[Shard], folder: Path, backend: Backend | None, progress: Callable[[int], None]
) -> list[tuple[Any, ...]]:
    results = execute_shards(shards, folder / "checkpoints", backend, progress)
    table = cells(todo, results)
    for cell in table:
        last = [cell.found[name][-1] for name in ("best", "mean", "last")]
        if not all(np.isfinite(a).all() for a in last):
            raise InputError(f"{cell.spec.name} diverged on {cell.of.name} ({cell.schedule}): its gap is not finite")
    moving = bool(todo.sharpness)
    summary = [_summary_row(cell, todo.sharpness) for cell in table]
    files = {
        folder / "runs.csv": csv_text(RUNS_HEADER, [row for cell in table for row in _run_rows(cell)]),
        folder / "statements.csv": csv_text(
            STATEMENTS_HEADER, [] if moving else [row for cell in table for row in _statement_rows(cell, todo.steps)]
        ),
        folder / "summary.csv": csv_text(SUMMARY_HEADER, summary),
    }
    for cell in table:
        if cell.how.regularizer is not None and cell.schedule == todo.schedules[0] and not moving:
            name = f"ledger_{cell.of.name}_{file_name(cell.spec)}.csv"
            files[folder / name] = csv_text(LEDGER_HEADER, _ledger_rows(cell))
    write_together({path: text.encode() for path, text in files.items()})
    # what other grids and killed runs left behind: their tables are replaced by these
    for place in (folder, folder / "checkpoints"):
        clear_temporaries(place)
    keep_only(folder / "checkpoints", [shard.key for shard in shards])
    for path in folder.glob("ledger_*.csv"):
        if path not in files:
            path.unlink(missing_ok=True)
    return summary


def file_name(spec: PairSpec) -> str:
    """The name of a pair in file names; a pair of expressions is told by a digest of its texts."""
    from verify.shards import digest

    return spec.name if spec.forward is None else f"pair-{digest({'F': spec.forward, 'B': spec.backward})[:10]}"


def run(
    out: str | Path,
    seed: int = 0,
    steps: int = STEPS,
    progress: Callable[[int], None] = lambda _: None,
    methods: Sequence[str] = METHODS,
    problems: Sequence[str] = USUAL,
) -> list[tuple[Any, ...]]:
    """`plan` and `execute` in one call."""
    return execute(plan(methods, problems, steps, seed), out, progress)


__all__ = [
    "LEDGER_HEADER",
    "METHODS",
    "RUNS_HEADER",
    "SEEDS",
    "STATEMENTS_HEADER",
    "STEPS",
    "SUMMARY_HEADER",
    "Cell",
    "Plan",
    "cells",
    "check_arguments",
    "execute",
    "file_name",
    "plan",
    "run",
]
