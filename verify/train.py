"""Training the small network of `verify.networks` with the catalogued quantizers, ledger on.

Every method takes the same steps from the same start: u <- u - eta_t B_t(u) * grad, with the
gradient at w = F_t(u); plain stochastic gradient descent, batches of 64 (the remainder of an epoch
is dropped), eta_t = 5 (1 + cos(pi t / steps)) / 2 for t = 0, 1, ..., which also moves the free
parameters. Only (F_t, B_t) differ. Parameters of a pair that grow are listed in `SCHEDULES`, and
each new value is one new exact pair, decided and lowered again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import sympy as sp

from theory.catalogue import lookup
from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.files import write_csv
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair, Verdict
from verify.lowering import lower

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from verify.networks import Digits, Ledger, Map

METHODS = ("FP", "BC", "PC", "BNN", "BNN+", "BNN++")
BATCH = 64
STEP = 5.0
EPOCHS = 40
MAX_EPOCHS, MAX_SEEDS = 10_000, 1_000

CURVES = ("method", "seed", "epoch", "sharpness", "loss", "soft_accuracy", "hard_accuracy")
SUMMARY = ("method", "verdict", "seeds", "hard_mean", "hard_std", "soft_mean", "soft_std", "note")
LEDGER = (
    *("method", "seed", "epoch", "left", "d_first", "d_last", "d_sum", "abs_sum", "closure_error", "residual"),
    *("flips", "negative_backward", "drift", "min_D"),
)


@dataclass(frozen=True)
class Schedule:
    """Parameters of a pair that run together from first to last over the epochs, geometrically or linearly."""

    parameters: tuple[str, ...]
    first: sp.Rational
    last: sp.Rational
    geometric: bool = False

    def value(self, epoch: int, epochs: int) -> sp.Rational:
        """The exact value in an epoch counted from 1, in thousandths; a single epoch takes the last."""
        if epochs == 1 or self.first == self.last:
            return self.last
        done = (epoch - 1) / (epochs - 1)
        a, b = float(self.first), float(self.last)
        x = a * (b / a) ** done if self.geometric else a + (b - a) * done
        return sp.Rational(round(1000 * x), 1000)


SCHEDULES = {
    "PC": Schedule(("horizontal", "vertical"), sp.Integer(0), sp.Rational(99, 100)),
    "BNN+": Schedule(("beta",), sp.Integer(5), sp.Integer(5)),
    "BNN++": Schedule(("beta",), sp.Integer(5), sp.Integer(100), geometric=True),
}
"""PC: both widths, from the identity on [-1, 1] nearly to the projection. BNN+: fixed. All others: defaults."""


@dataclass(frozen=True)
class Stage:
    """One pair, lowered: what an epoch needs. prox and regularizer are None where there is no ledger."""

    sharpness: float
    forward: Map
    backward: Map
    harden: Map
    staircase: bool
    prox: Map | None
    regularizer: Map | None
    grade: str
    note: str


@lru_cache(maxsize=1000)
def _lowered_stage(pair: QuantizerPair, sharpness: float) -> Stage:
    from verify import networks

    verdict = decide(pair)
    forward = lower(pair.forward, "torch")
    try:
        source, note = _ledger_source(pair, verdict)
    except Undecided as question:
        source, note = None, f"no ledger: whether P = F is not settled ({question})"
    prox = regularizer = None
    if source is not None:
        prox = forward if source[0] == pair.forward else lower(source[0], "torch")
        regularizer = networks.regularizing(source[1])
    return Stage(
        sharpness,
        forward,
        lower(pair.backward, "torch"),
        networks.hardening(pair.forward),
        networks.levels_of(pair.forward) is not None,
        prox,
        regularizer,
        verdict.grade,
        note,
    )


def _ledger_source(pair: QuantizerPair, verdict: Verdict) -> tuple[tuple[PiecewiseMap, PiecewiseMap] | None, str]:
    """The P and r that the ledger uses (None: no ledger), and a note for the summary."""
    found, note = verdict.decomposition, ""
    if not verdict.principled:
        # T = id, P = F: the identity holds for any g, so also for g = B * grad
        own = decide(QuantizerPair(pair.forward, PiecewiseMap.of(1)))
        found, note = own.decomposition, f"{verdict.grade}: ledger with T = id, P = F"
        if found is None:
            return None, f"no ledger: F is not shown to be a proximal map ({own.reason})"
        if found.prox is not None and not found.prox.agrees(pair.forward):
            return None, "no ledger: P = F + constant, and the constant is not 0"
    if found is None or found.prox is None or found.regularizer.smallest is None:
        return None, "no ledger: P or r has no closed form"
    return (found.prox, found.regularizer.smallest), note


def stages(method: str, epochs: int) -> list[Stage]:
    """The lowered pair of each epoch. Raises `InputError` for a method that is not catalogued.

    The ledger uses the smallest r. It is finite on the hull of P's range, so a schedule that opens
    gaps in the range leaves r finite at earlier points and at the comparator.
    """
    entry = lookup(method)
    schedule = SCHEDULES.get(entry.name)
    if schedule is None:
        return [_lowered_stage(entry.pair(), math.nan)] * epochs
    values = [schedule.value(epoch, epochs) for epoch in range(1, epochs + 1)]
    return [_lowered_stage(entry.pair(**dict.fromkeys(schedule.parameters, v)), float(v)) for v in values]


# --------------------------------------------------------------------------- one method


@dataclass(frozen=True)
class Epoch:
    """What one epoch measured; arrays of shape (S,). ``ledger`` holds the sums up to its end."""

    sharpness: float
    loss: np.ndarray
    soft: np.ndarray
    hard: np.ndarray
    flips: np.ndarray
    negative: np.ndarray
    ledger: dict[str, np.ndarray] | None


class Trainer:
    """S networks of one method, batched; ``run_epoch`` advances all of them by one epoch.

    After it, ``parameters`` are the latest parameters and ``ledger`` is the ledger so far (None
    where the method has none). The step sizes follow the rule of the module's docstring.
    """

    def __init__(self, plan: Sequence[Stage], data: Digits, seeds: Sequence[int], device: torch.device) -> None:
        from verify import networks

        self.networks = networks
        self.plan, self.data, self.seeds, self.device = list(plan), data, list(seeds), device
        self.parameters = networks.initial(self.seeds, device)
        self.batches = data.train_y.shape[0] // BATCH
        self.steps = self.batches * len(self.plan)
        self.done = 0
        self.ledger: Ledger | None = None

    def step_size(self, t: int) -> float:
        """eta_t for t = 0, ..., steps - 1."""
        return STEP * (1 + math.cos(math.pi * t / self.steps)) / 2

    def run_epoch(self) -> Epoch:
        """One pass over the training set in a new order, then both accuracies on the test set."""
        import torch

        nets, epoch = self.networks, self.done // self.batches
        stage = self.plan[epoch]
        order = nets.batch_orders(self.seeds, epoch + 1, self.data.train_y.shape[0], self.device)
        u = self.parameters.latent
        w = stage.forward(u)
        self._enter(stage, u, w)
        loss = torch.zeros(len(self.seeds), dtype=torch.float64, device=self.device)
        flips = torch.zeros(len(self.seeds), dtype=torch.int64, device=self.device)
        negative = torch.zeros_like(flips)
        for k in range(self.batches):
            picked = order[:, k * BATCH : (k + 1) * BATCH]
            eta = self.step_size(self.done)
            found = nets.gradients(w, self.parameters, self.data.train_x[picked], self.data.train_y[picked])
            b = stage.backward(u)
            g = b * found.w
            u = u - eta * g
            self.parameters = nets.Parameters(
                u,
                self.parameters.output - eta * found.output,
                tuple(p - eta * q for p, q in zip(self.parameters.biases, found.biases, strict=True)),
            )
            old, w = w, stage.forward(u)
            flips += ((w != old) if stage.staircase else ((w >= 0) != (old >= 0))).sum(dim=1)
            negative += (b < 0).sum(dim=1)
            loss += found.loss
            if self.ledger is not None and stage.prox is not None:
                self.ledger.step(eta, g, u, w if stage.prox is stage.forward else stage.prox(u))
            self.done += 1
        test = (self.parameters, self.data.test_x, self.data.test_y)
        return Epoch(
            stage.sharpness,
            (loss / self.batches).cpu().numpy(),
            nets.accuracy(w, *test).cpu().numpy(),
            nets.accuracy(stage.harden(u), *test).cpu().numpy(),
            flips.cpu().numpy(),
            (negative.to(torch.float64) / (self.batches * nets.COORDINATES)).cpu().numpy(),
            self._entry(),
        )

    def _enter(self, stage: Stage, u: torch.Tensor, w: torch.Tensor) -> None:
        """Open the ledger, or move it to the proximal map of a new stage."""
        if stage.prox is None or stage.regularizer is None:
            self.ledger = None  # a stage without a proximal map ends the account
            return
        v = w if stage.prox is stage.forward else stage.prox(u)
        if self.ledger is None and self.done == 0:
            self.ledger = self.networks.Ledger(u, v, stage.regularizer)
        elif self.ledger is not None and stage.regularizer is not self.ledger.r:
            self.ledger.move(v, stage.regularizer)

    def _entry(self) -> dict[str, np.ndarray] | None:
        if self.ledger is None:
            return None
        entry = self.ledger.entry()
        return {f.name: getattr(entry, f.name).cpu().numpy() for f in fields(entry)}


# --------------------------------------------------------------------------- all methods


@dataclass(frozen=True)
class Result:
    """Final test accuracies of one method over the seeds: mean and standard deviation (ddof = 1).

    ``hard`` is the network with hardened weights (`verify.networks.hardening`), ``soft`` the one
    with w = F(u). For FP soft is the plain accuracy and hard that of the signs of its weights. The
    standard deviation of one seed is NaN. ``note`` says what the ledger used, or why there is none.
    """

    method: str
    verdict: str
    seeds: int
    hard_mean: float
    hard_std: float
    soft_mean: float
    soft_std: float
    note: str


def _spread(x: np.ndarray) -> tuple[float, float]:
    return float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else math.nan


def check_arguments(seed: int, seeds: int, epochs: int) -> None:
    """Raise `InputError` for a count or seed out of range."""
    for name, value, low, high in (
        ("--seed", seed, 0, 2**31 - 1),
        ("--seeds", seeds, 1, MAX_SEEDS),
        ("--epochs", epochs, 1, MAX_EPOCHS),
    ):
        if not low <= value <= high:
            raise InputError(f"{name} expects an integer from {low} to {high}, not {value}")


def run(
    out: str | Path,
    seed: int = 0,
    seeds: int = 3,
    epochs: int = EPOCHS,
    methods: Sequence[str] = METHODS,
    device: str = "auto",
    progress: Progress | None = None,
) -> list[Result]:
    """Train every method on the digits and write OUT/networks/{curves,summary,ledger}.csv.

    The train/test split comes from ``seed``; the S = ``seeds`` networks take their start and batch
    orders from seed, seed + 1, ... On one CPU the files are the same bytes in every run. Accuracies
    and fractions lie in [0, 1]. In ledger.csv the sums run from the first step, flips (changes of
    the hardened weight between steps) and negative_backward (share of coordinates with B < 0) over
    the epoch alone. ``progress`` gets a task of its own.

    Raises `InputError` for an unknown method, a device that is not there, or counts out of range.
    """
    import torch

    from verify import networks

    check_arguments(seed, seeds, epochs)
    where = networks.pick_device(device)
    names = list(dict.fromkeys(lookup(m).name for m in methods))
    all_seeds = range(seed, seed + seeds)
    curves: list[list[Any]] = []
    ledger: list[list[Any]] = []
    results: list[Result] = []
    task = None if progress is None else progress.add_task("networks", total=len(names) * epochs)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are then added in one order, and small matrices are faster
    try:
        data = networks.load_digits(seed, where)
        for name in names:
            plan = stages(name, epochs)
            trainer = Trainer(plan, data, all_seeds, where)
            for number in range(1, epochs + 1):
                epoch = trainer.run_epoch()
                measured = (epoch.loss, epoch.soft, epoch.hard)
                curves += [[name, s, number, epoch.sharpness, *xs] for s, *xs in zip(all_seeds, *measured, strict=True)]
                if epoch.ledger is not None:
                    e = epoch.ledger
                    sums = (e["left"], e["d_first"], e["d_last"], e["d_sum"], e["abs_sum"], e["closure_error"])
                    rest = (e["residual"], epoch.flips, epoch.negative, e["drift"], e["min_d"])
                    ledger += [[name, s, number, *xs] for s, *xs in zip(all_seeds, *sums, *rest, strict=True)]
                if progress is not None and task is not None:
                    progress.update(task, advance=1, description=f"networks: {name}")
            grades = "/".join(dict.fromkeys(stage.grade for stage in plan))
            results.append(Result(name, grades, seeds, *_spread(epoch.hard), *_spread(epoch.soft), plan[-1].note))
    finally:
        torch.set_num_threads(threads)
    folder = Path(out) / "networks"
    write_csv(folder / "curves.csv", CURVES, curves)
    write_csv(folder / "ledger.csv", LEDGER, ledger)
    write_csv(folder / "summary.csv", SUMMARY, [[getattr(r, name) for name in SUMMARY] for r in results])
    return results


__all__ = ["BATCH", "EPOCHS", "METHODS", "SCHEDULES", "STEP", "Epoch", "Result", "Schedule", "Stage", "Trainer"]
__all__ += ["run", "stages"]
