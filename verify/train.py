"""Training the small network of `verify.networks` with any quantizers, ledger on.

Every method takes the same steps from the same start: u <- u - eta_t B_t(u) * grad, with the
gradient at w = F_t(u); plain stochastic gradient descent, batches of 64 (the remainder of an epoch
is dropped), eta_t = 5 (1 + cos(pi t / steps)) / 2 for t = 0, 1, ..., which also moves the free
parameters. Only (F_t, B_t) differ. Parameters of a pair that grow are listed in `verify.moving.SCHEDULES`, and
each new value is one new exact pair, decided and lowered again.

Two methods take other steps (docs/mathematics.md, section 2), with the proximal maps of PC:

    PQ    u <- P_t(u - eta_t grad(u))      gradient at, and step from, the quantized point
    rPC   u <- P_t(u) - eta_t grad(u)      gradient at the latent point, step from the quantized one

They are not ProxConnect++, so they carry no ledger.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from theory.errors import InputError
from theory.files import write_csv
from verify.lowering import lower
from verify.moving import SCHEDULES, Schedule
from verify.prepared import Prepared, prepare
from verify.runs import pair_spec

if TYPE_CHECKING:
    import torch
    from rich.progress import Progress

    from verify.accounts import Account, Map
    from verify.networks import Digits

METHODS = ("FP", "PQ", "rPC", "BC", "PC", "BNN", "BNN+", "BNN++")
OTHER_RULES = {"PQ": "PC", "rPC": "PC"}
"""Methods with steps of their own, and the pair whose F they use as P."""
OTHER_VERDICT = "other update"
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
    warning: str = ""
    rule: str = "PC++"


@lru_cache(maxsize=1000)
def _lowered_stage(pair: Prepared, sharpness: float, rule: str) -> Stage:
    from verify.accounts import regularizing

    forward = lower(pair.forward, "torch")
    prox = regularizer = None
    if rule == "PC++" and pair.prox is not None and pair.regularizer is not None:
        prox = forward if pair.prox == pair.forward else lower(pair.prox, "torch")
        regularizer = regularizing(pair.regularizer)
    other = rule != "PC++"
    return Stage(
        sharpness,
        forward,
        lower(pair.backward, "torch"),
        lower(pair.hard, "torch"),
        pair.staircase,
        prox,
        regularizer,
        OTHER_VERDICT if other else pair.verdict.grade,
        f"no ledger: {rule} is not ProxConnect++" if other else pair.note,
        "" if other else pair.warning,
        rule,
    )


def method_name(text: str) -> str:
    """The name of a method: PQ, rPC, a name of the catalogue, or FORWARD ; BACKWARD as expressions in x.

    Raises `InputError` for anything else.
    """
    known = {name.lower(): name for name in OTHER_RULES}.get(text.strip().lower())
    return known if known is not None else pair_spec(text).name


def stages(method: str, epochs: int) -> list[Stage]:
    """The lowered pair of each epoch. Raises `InputError` for what `method_name` refuses.

    The ledger uses the smallest r. It is finite on the hull of P's range, so a schedule that opens
    gaps in the range leaves r finite at earlier points and at the comparator.
    """
    name = method_name(method)
    pair, rule = OTHER_RULES.get(name, method), name if name in OTHER_RULES else "PC++"
    schedule = SCHEDULES.get(name)
    if schedule is None:
        return [_lowered_stage(prepare(pair), math.nan, rule)] * epochs
    values = [schedule.value(epoch, epochs) for epoch in range(1, epochs + 1)]
    return [_lowered_stage(prepare(pair, **dict.fromkeys(schedule.parameters, v)), float(v), rule) for v in values]


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
    ``comparator``: w of the ledger, (S, COORDINATES) float64; without it w = v_1.
    """

    def __init__(
        self,
        plan: Sequence[Stage],
        data: Digits,
        seeds: Sequence[int],
        device: torch.device,
        comparator: torch.Tensor | None = None,
    ) -> None:
        from verify import networks

        self.networks = networks
        self.plan, self.data, self.seeds, self.device = list(plan), data, list(seeds), device
        self.comparator = comparator
        self.parameters = networks.initial(self.seeds, device)
        self.batches = data.train_y.shape[0] // BATCH
        self.steps = self.batches * len(self.plan)
        self.done = 0
        self.ledger: Account | None = None

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
        if stage.rule == "PQ":
            u = w  # the first point of a stage is quantized too
        self._enter(stage, u, w)
        loss = torch.zeros(len(self.seeds), dtype=torch.float64, device=self.device)
        flips = torch.zeros(len(self.seeds), dtype=torch.int64, device=self.device)
        negative = torch.zeros_like(flips)
        for k in range(self.batches):
            picked = order[:, k * BATCH : (k + 1) * BATCH]
            eta = self.step_size(self.done)
            at = u if stage.rule == "rPC" else w
            found = nets.gradients(at, self.parameters, self.data.train_x[picked], self.data.train_y[picked])
            if stage.rule == "PC++":
                b = stage.backward(u)
                negative += (b < 0).sum(dim=1)
                g = b * found.w
                u = u - eta * g
            else:
                g = found.w
                u = w - eta * g
            old, w = w, stage.forward(u)
            if stage.rule == "PQ":
                u = w
            self.parameters = nets.Parameters(
                u,
                self.parameters.output - eta * found.output,
                tuple(p - eta * q for p, q in zip(self.parameters.biases, found.biases, strict=True)),
            )
            flips += ((w != old) if stage.staircase else ((w >= 0) != (old >= 0))).sum(dim=1)
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
        from verify.accounts import Account

        if stage.prox is None or stage.regularizer is None:
            self.ledger = None  # a stage without a proximal map ends the account
            return
        v = w if stage.prox is stage.forward else stage.prox(u)
        if self.ledger is None and self.done == 0:
            self.ledger = Account(u, v, stage.regularizer, self.comparator)
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

    ``hard`` is the network with hardened weights (`verify.prepared`), ``soft`` the one
    with w = F(u). For FP soft is the plain accuracy and hard that of the signs of its weights. The
    standard deviation of one seed is NaN. ``note`` says what the ledger used, or why there is none;
    ``warning`` is a sentence with the witness where no theorem covers the pair.
    """

    method: str
    verdict: str
    seeds: int
    hard_mean: float
    hard_std: float
    soft_mean: float
    soft_std: float
    note: str
    warning: str = ""


def _spread(x: np.ndarray) -> tuple[float, float]:
    return float(x.mean()), float(x.std(ddof=1)) if x.size > 1 else math.nan


def _ledger_rows(name: str, seeds: Sequence[int], number: int, epoch: Epoch) -> list[list[Any]]:
    """The rows of ledger.csv of one epoch; none where the method has no ledger."""
    if epoch.ledger is None:
        return []
    e = epoch.ledger
    sums = (e["left"], e["d_first"], e["d_last"], e["d_sum"], e["abs_sum"], e["closure_error"])
    rest = (e["residual"], epoch.flips, epoch.negative, e["drift"], e["min_d"])
    return [[name, s, number, *xs] for s, *xs in zip(seeds, *sums, *rest, strict=True)]


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
    replay: bool = False,
) -> list[Result]:
    """Train every method on the digits and write OUT/networks/{curves,summary,ledger}.csv.

    The train/test split comes from ``seed``; the S = ``seeds`` networks take their start and batch
    orders from seed, seed + 1, ... On one CPU the files are the same bytes in every run. Accuracies
    and fractions lie in [0, 1]. In ledger.csv the sums run from the first step, flips (changes of
    the hardened weight between steps) and negative_backward (share of coordinates with B < 0) over
    the epoch alone. ``progress`` gets a task of its own. ``replay`` runs every method with a ledger
    a second time, with the comparator w = v_T that the first run ended at, and writes replay.csv,
    with the columns of ledger.csv; without it an older replay.csv is removed.

    Raises `InputError` for an unknown method, a device that is not there, or counts out of range.
    """
    import torch

    from verify import networks

    check_arguments(seed, seeds, epochs)
    where = networks.pick_device(device)
    texts = {method_name(m): m for m in methods}
    plans = {name: stages(text, epochs) for name, text in texts.items()}
    all_seeds = range(seed, seed + seeds)
    curves: list[list[Any]] = []
    ledger: list[list[Any]] = []
    replayed: list[list[Any]] = []
    results: list[Result] = []
    task = None if progress is None else progress.add_task("networks", total=len(plans) * epochs * (1 + replay))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # sums are then added in one order, and small matrices are faster
    try:
        data = networks.load_digits(seed, where)
        for name, plan in plans.items():
            trainer = Trainer(plan, data, all_seeds, where)
            for number in range(1, epochs + 1):
                epoch = trainer.run_epoch()
                measured = (epoch.loss, epoch.soft, epoch.hard)
                curves += [[name, s, number, epoch.sharpness, *xs] for s, *xs in zip(all_seeds, *measured, strict=True)]
                ledger += _ledger_rows(name, all_seeds, number, epoch)
                if progress is not None and task is not None:
                    progress.update(task, advance=1, description=f"networks: {name}")
            grades = "/".join(dict.fromkeys(stage.grade for stage in plan))
            means = (*_spread(epoch.hard), *_spread(epoch.soft))
            results.append(Result(name, grades, seeds, *means, plan[-1].note, plan[-1].warning))
            last = None if trainer.ledger is None or not replay else trainer.ledger.v
            again = None if last is None else Trainer(plan, data, all_seeds, where, last)
            for number in range(1, epochs + 1):
                if again is not None:
                    replayed += _ledger_rows(name, all_seeds, number, again.run_epoch())
                if replay and progress is not None and task is not None:
                    progress.update(task, advance=1, description=f"networks: {name}, w = v_T")
    finally:
        torch.set_num_threads(threads)
    folder = Path(out) / "networks"
    write_csv(folder / "curves.csv", CURVES, curves)
    write_csv(folder / "ledger.csv", LEDGER, ledger)
    if replay:
        write_csv(folder / "replay.csv", LEDGER, replayed)
    else:
        (folder / "replay.csv").unlink(missing_ok=True)
    write_csv(folder / "summary.csv", SUMMARY, [[getattr(r, name) for name in SUMMARY] for r in results])
    return results


__all__ = ["BATCH", "EPOCHS", "METHODS", "OTHER_RULES", "SCHEDULES", "STEP", "Epoch", "Result", "Schedule", "Stage"]
__all__ += ["Trainer", "method_name", "run", "stages"]
