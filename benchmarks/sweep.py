"""The convergence sweep: many runs in one array program beside the same function with one run at a time.

    python benchmarks/sweep.py [--quick] [--json]

1,000 runs (5 pairs x 4 schedules x 50 seeds) of 1,000 steps in dimension 100, float64, one process and one thread,
with the ledger of both identities, two comparators, D_t >= 0 at a grid every 25 steps and at brute-force minimisers
three times, as in `proxpair converge`. Beside it: single runs of each pair and schedule, by the same code; and the
time of the sweep's matrix products alone, below which no such sweep can go. ``--quick``: 40 runs of 100 steps.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from verify.runs import Shard, batch_of, pair_spec
from verify.sweep import Batch, Trace, simulate

PAIRS = ("FP", "BC", "PC", "BNN", "BNN++")
SCHEDULES = ("sqrt", "constant", "half", "harmonic")
COMPARED = ("best", "mean", "last", "d_last", "d_sum", "pull_sum", "eta_sum", "residual", "path")


def one_of(batch: Batch, a: int, k: int, s: int) -> Batch:
    """The single run of pair a, schedule k and seed s of a batch with one problem."""
    return replace(
        batch,
        schemes=batch.schemes[a : a + 1],
        etas=batch.etas[:, k : k + 1],
        starts=batch.starts[:, s : s + 1],
        comparators=batch.comparators[a : a + 1],
    )


def timed(batch: Batch) -> tuple[Trace, float]:
    """The last trace of a batch, and the seconds that it took."""
    start = time.perf_counter()
    (trace,) = simulate(batch, deep_every=max(1, batch.steps // 2))
    return trace, time.perf_counter() - start


def disagreement(batch: Batch, whole: Trace, single: Trace, a: int, k: int, s: int) -> float:
    """The largest difference of a single run and the same run of the batch, relative to 1 + its size."""
    _, problems, schedules, seeds = batch.shape
    at = ((a * problems) * schedules + k) * seeds + s
    worst = 0.0
    for name in COMPARED:
        x, y = getattr(whole, name)[..., at], getattr(single, name)[..., 0]
        worst = max(worst, float(np.max(np.abs(x - y) / (1.0 + np.abs(x)))))
    return worst


def floor(batch: Batch, repeat: int = 20) -> float:
    """Seconds of the matrix products of the gradients alone."""
    d = batch.starts.shape[2]
    runs = int(np.prod(batch.shape))
    rng = np.random.default_rng(0)
    v, h = rng.standard_normal((runs, d)), rng.standard_normal((d, d))
    out = np.empty_like(v)
    np.matmul(v, h, out=out)
    start = time.perf_counter()
    for _ in range(repeat):
        np.matmul(v, h, out=out)
    return (time.perf_counter() - start) / repeat * batch.steps


def measure(quick: bool = False) -> dict[str, Any]:
    """The figures of the module's text, in seconds."""
    seeds, steps = (2, 100) if quick else (50, 1000)
    shard = Shard(tuple(pair_spec(p) for p in PAIRS), ("wide",), SCHEDULES, tuple(range(seeds)), steps)
    with threadpool_limits(1):
        batch = batch_of(shard)
        whole, seconds = timed(batch)
        single, worst = 0.0, 0.0
        for a in range(len(PAIRS)):
            for k in range(len(SCHEDULES)):
                trace, taken = timed(one_of(batch, a, k, 0))
                single += taken
                worst = max(worst, disagreement(batch, whole, trace, a, k, 0))
        least = floor(batch)
    runs = int(np.prod(batch.shape))
    one = single / (len(PAIRS) * len(SCHEDULES))
    return {
        "runs": runs,
        "steps": steps,
        "dimension": int(batch.starts.shape[2]),
        "batched_seconds": seconds,
        "single_run_seconds": one,
        "ratio": one * runs / seconds,
        "matrix_products_seconds": least,
        "largest_disagreement": worst,
        "largest_closure_error": float(max(whole.closure.max(), whole.closure_second.max())),
        "least_divergence": float(whole.min_d.min()),
    }


def main(arguments: Sequence[str] | None = None) -> None:
    """The command of the module's text."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", action="store_true")
    given = options.parse_args(arguments)
    found = measure(given.quick)
    if given.json:
        print(json.dumps(found, indent=1))
        return
    print(f"{found['runs']} runs x {found['steps']} steps, d = {found['dimension']}: {found['batched_seconds']:.2f} s")
    print(f"one run at a time: {found['single_run_seconds']:.3f} s each, {found['ratio']:.1f} times as long in all")
    print(f"matrix products alone: {found['matrix_products_seconds']:.2f} s")
    print(f"batched and single agree to {found['largest_disagreement']:.1e}")
    print(f"identities close to {found['largest_closure_error']:.1e}; least D_t {found['least_divergence']:.1e}")


if __name__ == "__main__":
    main()
