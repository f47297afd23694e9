"""Trajectories of ProxConnect++ in the plane, to be looked at: latent u_t, proximal v_t and weight w_t = T(v_t).

Problem "plane" of `verify.problems`, exact gradients, eta_t = 1/(L sqrt(t)), one starting point for all pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from theory.errors import InputError
from theory.files import write_csv
from verify.converge import check_arguments
from verify.runs import Shard, batch_of, pair_spec
from verify.schedules import USUAL_SCHEDULE
from verify.sweep import Sweep

METHODS = ("FP", "BC", "PC", "BNN", "BNN++", "MD-tanh")
STEPS, MOST_STEPS = 40, 1000
HEADER = ("method", "step", "u1", "u2", "v1", "v2", "w1", "w2")

Row = tuple[str, int, float, float, float, float, float, float]


def trajectories(methods: Sequence[str] = METHODS, steps: int = STEPS, seed: int = 0) -> list[Row]:
    """u_t, v_t, w_t for t = 1..``steps`` + 1, method by method, in the columns of `HEADER`.

    The same points as in a run of `verify.converge` with that seed. Raises `InputError` on an unknown method,
    without a method, for steps outside 1..1,000 or a negative seed.
    """
    check_arguments(seed, steps, MOST_STEPS)
    specs = tuple(dict.fromkeys(pair_spec(m) for m in methods))
    if not specs:
        raise InputError("at least one method was expected")
    batch = batch_of(Shard(specs, ("plane",), (USUAL_SCHEDULE,), (seed,), steps))
    sweep = Sweep(batch)
    found: list[list[Row]] = [[] for _ in specs]
    for t in range(1, steps + 2):
        for k, (spec, how) in enumerate(zip(specs, batch.schemes, strict=True)):
            u, v = sweep.u[k], sweep.v[k]
            (u1, u2), (v1, v2), (w1, w2) = u.tolist(), v.tolist(), how.transform(v).tolist()
            found[k].append((spec.name, t, u1, u2, v1, v2, w1, w2))
        if t <= steps:
            sweep.step()
    return [row for rows in found for row in rows]


def run(out: str | Path, methods: Sequence[str] = METHODS, steps: int = STEPS, seed: int = 0) -> list[Row]:
    """`trajectories`, written to DIR/convergence/plane.csv; returns its rows."""
    rows = trajectories(methods, steps, seed)
    write_csv(Path(out) / "convergence" / "plane.csv", HEADER, rows)
    return rows


__all__ = ["HEADER", "METHODS", "MOST_STEPS", "STEPS", "run", "trajectories"]
