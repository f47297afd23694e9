"""One network of an experiment: trained, hardened, packed, measured.

A run is a declaration: experiment, method, learning rate, seed, and what it is for ("tune" or
"final"). The same run gives the same bits on one CPU, in whatever process and order it is computed.

    start      weights uniform in [-1, 1], or a full-precision network of the same seed
    epochs     latent weights u <- u - eta_t B(u) grad, the gradient at F(u); PQ and rPC by their own rules
    hardened   each weight to the level that its latent weight stands for, activations likewise, as a
               plain network; then the running statistics of its normalisation are taken anew, from
               training images and without moving a weight, by the same rule for every method
    measured   accuracy of that network; the bytes of its packed file and of the same in float32

Under torchrun each process takes its share of every batch, gradients are averaged, and the statistics of batch
normalisation are those of the share; the weights are the same in all of them.

With a ledger the account of the latent weights runs along (`verify.accounts`): identity (I) with w =
v_1. Where activations are quantized the network lies outside the theorem; the identity still closes.

Importing this module imports torch.
"""

from __future__ import annotations

import copy
import json
import math
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch import distributed as dist
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel

from theory.errors import InputError
from verify.accounts import TOTAL, TrainingLedger
from verify.datasets import Split
from verify.experiments import Experiment, Method, method
from verify.inplace import InPlace, attach
from verify.models import build, quantized_layers
from verify.packing import harden, load_checkpoint, save_checkpoint, save_packed
from verify.quantizers import Chosen, PairQuantizer, binarize

EVALUATED = 500
"""Images that pass a network at once where nothing is trained."""
RESTATED = 2000
"""Training images that statistics are taken from after hardening."""
SHIFT = 4
ACCOUNT = ("step", "left", "D_first", "D_last", "D_sum", "abs_sum", "closure_error", "residual", "drift", "min_D")
"""What of the ledger's totals a run keeps for each epoch."""


@dataclass(frozen=True)
class Run:
    """One network to train. ``stage``: "tune" (no ledger, no test images) or "final"."""

    experiment: Experiment
    method: str
    rate: float
    seed: int
    stage: str = "final"


@dataclass
class Outcome:
    """What one run measured. Accuracies lie in [0, 1]; NaN where there is none.

    ``valid`` and ``test`` are of the hardened network, ``soft`` of the network as trained on the test images.
    ``curve``: for each epoch (loss, validation accuracy as trained, flips). A flip is a weight whose
    level after the epoch is another than before it. ``ledger``: the columns of `verify.accounts`, totals
    at the end. ``bytes``: of the packed file, and of all parameters and buffers in float32. ``failed``: why
    training stopped early, else empty.
    """

    valid: float = math.nan
    test: float = math.nan
    soft: float = math.nan
    curve: list[list[float]] = field(default_factory=list)
    ledger: dict[str, Any] = field(default_factory=dict)
    ledger_curve: list[list[float]] = field(default_factory=list)
    weights: int = 0
    bytes: list[int] = field(default_factory=list)
    failed: str = ""

    def text(self) -> str:
        """As JSON; the same bits come back."""
        return json.dumps(asdict(self))

    @staticmethod
    def read(text: str) -> Outcome:
        """The outcome of `text`. Raises `InputError` for anything else."""
        try:
            found = json.loads(text)
            return Outcome(**found)
        except (ValueError, TypeError):
            raise InputError("the outcome of a run was expected") from None


# --------------------------------------------------------------------------- images


def _generator(*parts: int) -> torch.Generator:
    """A generator of the CPU for these numbers alone."""
    state = np.random.SeedSequence(parts).generate_state(2)
    return torch.Generator().manual_seed(int(state[0]) << 31 | int(state[1]) >> 1)


def _order(samples: int, seed: int, epoch: int, device: torch.device) -> Tensor:
    return torch.randperm(samples, generator=_generator(seed, epoch, 1)).to(device)


def _augmented(x: Tensor, flip: bool, generator: torch.Generator) -> Tensor:
    """Images (N, C, H, W), shifted by up to `SHIFT` pixels (the border repeats), and in half the cases mirrored."""
    n, _, height, width = x.shape
    shifts = torch.randint(0, 2 * SHIFT + 1, (2, n), generator=generator).to(x.device)
    mirrored = (torch.rand(n, generator=generator) < 0.5).to(x.device)
    wide = functional.pad(x, (SHIFT,) * 4, mode="replicate")
    rows = shifts[0][:, None] + torch.arange(height, device=x.device)
    columns = torch.arange(width, device=x.device).expand(n, width)
    if flip:
        columns = torch.where(mirrored[:, None], columns.flip(1), columns)
    columns = shifts[1][:, None] + columns
    picked = wide[torch.arange(n, device=x.device)[:, None, None], :, rows[:, :, None], columns[:, None, :]]
    return picked.permute(0, 3, 1, 2)


def pooled(data: Split, size: int) -> Split:
    """The images averaged over size x size pixels. Raises `InputError` where that does not divide their sides."""
    if size == 1:
        return data
    if any(side % size for side in data.train_x.shape[2:]):
        raise InputError(f"pool: a divisor of the sides {tuple(data.train_x.shape[2:])} was expected, not {size}")
    train_x, valid_x, test_x = (functional.avg_pool2d(x, size) for x in (data.train_x, data.valid_x, data.test_x))
    return replace(data, train_x=train_x, valid_x=valid_x, test_x=test_x)


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """The share of images (N, C, H, W) that a network in evaluation mode classifies as y (N,)."""
    model.eval()
    hits = sum(
        int((model(a).argmax(1) == b).sum()) for a, b in zip(x.split(EVALUATED), y.split(EVALUATED), strict=True)
    )
    return hits / len(y)


@torch.no_grad()
def restate(model: nn.Module, x: Tensor) -> None:
    """Take the running mean and variance of all batch normalisation anew, as plain means over batches of x."""
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    if not norms:
        return
    momenta = [m.momentum for m in norms]
    for m in norms:
        m.reset_running_stats()
        m.momentum = None  # a cumulative mean
    model.train()
    for part in x[:RESTATED].split(EVALUATED):
        model(part)
    model.eval()
    for m, momentum in zip(norms, momenta, strict=True):
        m.momentum = momentum


# --------------------------------------------------------------------------- one network


class _Net:
    """A network of a run with its optimizer, quantizers and ledger."""

    def __init__(self, run: Run, data: Split, device: torch.device, start: dict[str, Any] | None) -> None:
        e, self.run, self.data, self.device = run.experiment, run, data, device
        self.method: Method = method(run.method)
        self.inputs = e.task == "weights+activations" and self.method.binary
        kind = "none" if self.inputs else "relu"
        channels, height, width = data.train_x.shape[1:]
        model = build(e.model, (channels, height, width), data.classes, e.width, run.seed, kind)
        if start is not None:
            model.load_state_dict(start)
        self.model: nn.Module = cast(Any, model).to(device, memory_format=torch.channels_last)
        self.rank, self.world = (dist.get_rank(), dist.get_world_size()) if several() else (0, 1)
        if e.batch % self.world:
            raise InputError(f"{e.name}: its batches of {e.batch} do not divide among {self.world} processes")
        # before weights are attached: it copies them between processes
        self.forward = DistributedDataParallel(self.model) if self.world > 1 else self.model
        self.layers = quantized_layers(self.model)
        latent = [layer.weight for _, layer in self.layers]
        chosen = {id(p) for p in latent}
        rest = [p for p in self.model.parameters() if id(p) not in chosen]
        self.optimizer = torch.optim.SGD(
            [{"params": latent, "lr": run.rate}, {"params": rest, "lr": e.rest, "momentum": 0.9}], lr=run.rate
        )
        pair = self.method.prepared(1, e.epochs)
        named = [(f"{name}.weight", layer.weight) for name, layer in self.layers]
        with _quiet():
            self.inplace: InPlace = attach(self.optimizer, pair, method=self.method.rule, params=named)
            if self.inputs:
                binarize(self.model, pair, weights=False, activations=pair, skip=self._kept())
        self.quantizers = [m for m in self.model.modules() if isinstance(m, PairQuantizer)]
        self.batches = len(data.train_y) // e.batch
        self.ledger: TrainingLedger | None = None
        if run.stage == "final" and self.method.rule == "PC++" and pair.prox is not None:
            self.ledger = TrainingLedger((self.model, self.inplace), every=self.batches)

    def _kept(self) -> list[str]:
        """The layers that stay in full precision."""
        quantized = {name for name, _ in self.layers}
        found = [n for n, m in self.model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
        return [n for n in found if n not in quantized]

    def enter(self, epoch: int) -> None:
        """Put the pair of an epoch in place."""
        if self.method.schedule is None:
            return
        pair = self.method.prepared(epoch, self.run.experiment.epochs)
        with _quiet():
            if pair is not self.inplace.prepared:
                self.inplace.set(pair)
            for q in self.quantizers:
                q.set(pair)

    def levels(self) -> list[Tensor]:
        """The level of each weight."""
        return [self.inplace.hardened(slot) for slot in self.inplace.slots]

    def epoch(self, number: int) -> float:
        """One pass over the training images, batches of the remainder dropped; the mean loss."""
        e, data, total = self.run.experiment, self.data, self.batches * self.run.experiment.epochs
        order = _order(len(data.train_y), self.run.seed, number, self.device)
        drawn = _generator(self.run.seed, number, 2)
        self.model.train()
        loss_sum = torch.zeros((), device=self.device)
        for k in range(self.batches):
            factor = (1 + math.cos(math.pi * ((number - 1) * self.batches + k) / total)) / 2
            for group, rate in zip(self.optimizer.param_groups, (self.run.rate, e.rest), strict=True):
                group["lr"] = rate * factor
            picked = order[k * e.batch : (k + 1) * e.batch]
            x, y = data.train_x[picked], data.train_y[picked]
            if e.augment:
                x = _augmented(x, data.horizontal_flip, drawn)
            self.optimizer.zero_grad(set_to_none=True)
            if self.world > 1:
                x, y = x[self.rank :: self.world], y[self.rank :: self.world]
            loss = functional.cross_entropy(self.forward(_laid(x)), y)
            loss.backward()
            self.optimizer.step()
            loss_sum += loss.detach()
        if self.world > 1:
            dist.all_reduce(loss_sum)
        return float(loss_sum) / (self.batches * self.world)

    def finished(self) -> nn.Module:
        """The network to deploy: a plain module with hard weights and activations, statistics taken anew."""
        latents = self.inplace.latents
        done = copy.deepcopy(self.model)
        if self.method.binary:
            prepared = self.inplace.prepared
            for name, layer in quantized_layers(done):
                with torch.no_grad():
                    layer.weight.copy_(latents[f"{name}.weight"])
            for q in done.modules():
                if isinstance(q, PairQuantizer):
                    p = q.prepared
                    q.chosen = Chosen(replace(p, forward=p.hard), None, None, ())
            with _quiet():
                binarize(done, prepared, skip=self._kept())
            done = harden(done)
        restate(done, self.data.train_x)
        return done.eval()


def several() -> bool:
    """Whether this is one of several processes that train one network together."""
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


def _laid(x: Tensor) -> Tensor:
    return x.contiguous(memory_format=torch.channels_last)


@contextmanager
def _quiet() -> Iterator[None]:
    """Pairs that no theorem covers are trained on purpose here; the tables name them."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield


def _sizes(model: nn.Module, hard: bool) -> list[int]:
    """Bytes of the packed file, and of all parameters and buffers in float32 (counters left out)."""
    plain = sum(4 * t.numel() for t in model.state_dict().values() if isinstance(t, Tensor) and t.is_floating_point())
    if not hard:
        return [plain, plain]
    with tempfile.TemporaryDirectory() as folder:
        return [save_packed(model, Path(folder) / "model.npz").stat().st_size, plain]


def train(
    run: Run,
    data: Split,
    device: torch.device,
    start: Path | None = None,
    keep: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> Outcome:
    """Train one network and measure it. ``progress`` gets 1 after each epoch.

    ``start``: the file of the full-precision network that it goes on from; ``keep``: where to write such a file.
    A gradient or, at the end, an output that is not finite ends the run: what it measured so far stays,
    ``failed`` says so.
    """
    e = run.experiment
    threads = torch.get_num_threads()
    if device.type == "cpu":
        torch.set_num_threads(1)  # sums are then added in one order
    try:
        net = _Net(run, data, device, None if start is None else load_checkpoint(start, "cpu")["model"])
        outcome = Outcome(weights=sum(layer.weight.numel() for _, layer in net.layers))
        before = net.levels()
        for number in range(1, e.epochs + 1):
            net.enter(number)
            try:
                loss = net.epoch(number)
            except InputError as error:
                gradients = [slot.parameter.grad for slot in net.inplace.slots]
                if all(g is None or bool(torch.isfinite(g).all()) for g in gradients):
                    raise
                outcome.failed = f"epoch {number}: {error}"
                return outcome
            after = net.levels()
            flips = sum(int((a != b).sum()) for a, b in zip(after, before, strict=True))
            before = after
            with net.inplace.quantized() if net.method.rule == "rPC" else nullcontext():
                valid = accuracy(net.model, data.valid_x, data.valid_y)
            outcome.curve.append([loss, valid, flips])
            progress(1)
        with torch.no_grad():
            if not bool(torch.isfinite(net.model.eval()(data.valid_x[:EVALUATED])).all()):
                outcome.failed = f"epoch {e.epochs}: the outputs are not finite at the end"
                return outcome
        _measure(net, outcome)
        if keep is not None:
            save_checkpoint(keep, model={k: v.cpu() for k, v in net.model.state_dict().items()})
        return outcome
    finally:
        torch.set_num_threads(threads)


def _measure(net: _Net, outcome: Outcome) -> None:
    """Fill in what is known at the end."""
    data, run = net.data, net.run
    done = net.finished()
    outcome.valid = accuracy(done, data.valid_x, data.valid_y)
    if run.stage != "final":
        return
    outcome.test = accuracy(done, data.test_x, data.test_y)
    with net.inplace.quantized() if net.method.rule == "rPC" else nullcontext():
        outcome.soft = accuracy(net.model, data.test_x, data.test_y)
    outcome.bytes = _sizes(done, net.method.binary)
    if net.ledger is not None:
        totals = [row for row in net.ledger.rows() if row["layer"] == TOTAL]
        wanted = (
            "step",
            "left",
            "D_first",
            "D_last",
            "D_sum",
            "abs_sum",
            "closure_error",
            "residual",
            "drift",
            "min_D",
        )
        outcome.ledger_curve = [[cast(float, row[name]) for name in wanted] for row in totals]
        outcome.ledger = dict(totals[-1])
        net.ledger.close()
    net.inplace.detach()


__all__ = ["ACCOUNT", "EVALUATED", "RESTATED", "Outcome", "Run", "accuracy", "pooled", "restate"]
__all__ += ["several", "train"]
