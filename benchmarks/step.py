"""What quantized training adds to a training step, as ratios to plain stochastic gradient descent.

    python benchmarks/step.py [--quick] [--json] [--device auto|cpu|cuda]

One process, one thread, float32. The perceptron 784-1024-1024-10 with rectifiers (1.86 million
weights; all three matrices are quantized, biases are not), random data, cross-entropy, batches of
128 and 1024. A step is zero_grad, forward, backward and the optimizer's step with its hooks. In turn
every contestant takes a few steps in a row, the first not timed so that its own tensors are in the
caches, and the round is repeated. ``ratio`` compares the fastest means of such runs, ``median`` is the
median over the rounds of the quotient with plain SGD in the same round. ``extra`` of a ledger is the
same for the step with it minus the step without it, as a share of the plain step; "every step" has a
row for each step, the others for each tenth.

``floor`` is 1 + (bytes that must move beyond plain SGD's own) / (bandwidth of copy_) / (plain step):
what no implementation of separate passes can go below. --quick takes a few steps at batch 128, and
leaves torchao out. Contestants of torchao are left out where it is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrize

from verify.accounts import TrainingLedger
from verify.inplace import attach
from verify.networks import pick_device
from verify.quantizers import binarize

WIDTHS = (784, 1024, 1024, 10)
WEIGHTS = sum(a * b for a, b in pairwise(WIDTHS))
RATE = 1e-3
BURST = 11
"""Steps in a row; the mean of the last ten counts, so that every tenth step of a ledger is in it once."""
Step = Callable[[Tensor, Tensor], None]


@dataclass(frozen=True)
class Contestant:
    """``words``: float32 words per weight that it must move beyond plain SGD's 3 (None: not worked out)."""

    make: Callable[[torch.device], tuple[nn.Module, Any]]
    words: int | None = None
    target: float | None = None
    without: str = ""
    """For a ledger: the contestant that is the same without it."""


def network(device: torch.device) -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for a, b in pairwise(WIDTHS):
        layers += [nn.Linear(a, b), nn.ReLU()]
    return nn.Sequential(*layers[:-1]).to(device)


def plain(device: torch.device) -> tuple[nn.Module, Any]:
    model = network(device)
    return model, torch.optim.SGD(model.parameters(), lr=RATE)


def in_place(pair: str, ledger: int = 0, nonfinite: str = "raise") -> Callable[[torch.device], tuple[nn.Module, Any]]:
    """``ledger``: its ``every``, 0 for none."""

    def make(device: torch.device) -> tuple[nn.Module, Any]:
        model, optimizer = plain(device)
        quantizer = attach(optimizer, pair, nonfinite=nonfinite)
        if ledger:
            TrainingLedger(quantizer, every=ledger)
        return model, optimizer

    return make


def parametrized(device: torch.device) -> tuple[nn.Module, Any]:
    model = binarize(network(device), "BC", skip="none")
    return model, torch.optim.SGD(model.parameters(), lr=RATE)


class _ByHand(nn.Module):
    def forward(self, u: Tensor) -> Tensor:
        w = torch.where(u >= 0, 1.0, -1.0)
        return u + (w - u).detach()


def by_hand(device: torch.device) -> tuple[nn.Module, Any]:
    model = network(device)
    for layer in model.modules():
        if isinstance(layer, nn.Linear):
            parametrize.register_parametrization(layer, "weight", _ByHand())
    return model, torch.optim.SGD(model.parameters(), lr=RATE)


def parq(prox: str, period: int) -> Callable[[torch.device], tuple[nn.Module, Any]]:
    def make(device: torch.device) -> tuple[nn.Module, Any]:
        from torchao.prototype.parq.optim import ProxHardQuant, ProxPARQ, QuantOptimizer
        from torchao.prototype.parq.quant import LSBQuantizer

        model = network(device)
        weights: dict[str, Any] = {"params": [p for p in model.parameters() if p.dim() > 1], "quant_bits": 1}
        others: dict[str, Any] = {"params": [p for p in model.parameters() if p.dim() < 2]}
        base = torch.optim.SGD([weights, others], lr=RATE)
        # annealing all the time
        chosen = ProxHardQuant() if prox == "ProxHardQuant" else ProxPARQ(0, 1_000_000, steepness=1)
        return model, QuantOptimizer(base, LSBQuantizer(), chosen, quant_period=period)

    return make


def contestants(quick: bool) -> dict[str, Contestant]:
    """By name; the first one is what the others are compared with."""
    found = {
        "SGD": Contestant(plain, 0),
        # the check reads g; u is read and w written
        "BC in place": Contestant(in_place("BC"), 3, 1.10),
        "BC in place, no check for NaN": Contestant(in_place("BC", 0, "ignore"), 2),
        "PC in place": Contestant(in_place("PC"), 3, 1.10),
        # besides, u and g are read and g written
        "BNN++ in place": Contestant(in_place("BNN++"), 6, 1.35),
        "BC as a parametrization": Contestant(parametrized, None, 1.50),
        "straight-through by hand": Contestant(by_hand),
        # v_t, v_{t+1}, u, g, w are read and v written
        "BC in place, ledger": Contestant(in_place("BC", 10), 6, None, "BC in place"),
        "BC in place, ledger every step": Contestant(in_place("BC", 1), 11, None, "BC in place"),
        "BNN++ in place, ledger": Contestant(in_place("BNN++", 10), 11, None, "BNN++ in place"),
        "BNN++ in place, ledger every step": Contestant(in_place("BNN++", 1), 17, None, "BNN++ in place"),
    }
    if quick:
        return found
    if importlib.util.find_spec("torchao") is None:
        return found
    for prox in ("ProxHardQuant", "ProxPARQ"):
        for period in (1, 10):
            found[f"torchao {prox}, period {period}"] = Contestant(parq(prox, period))
    return found


def measure(
    names: dict[str, Contestant], batch: int, rounds: int, device: torch.device, burst: int = BURST
) -> list[dict[str, Any]]:
    """Seconds of every contestant, ``burst`` steps in turn, ``rounds`` times."""
    torch.manual_seed(1)
    # with weights of -1 and 1 such inputs give logits of order 1; saturated ones would fill the backward pass with
    # denormal numbers, which take tens of times as long
    x = 1e-4 * torch.randn(batch, WIDTHS[0], device=device)
    y = torch.randint(WIDTHS[-1], (batch,), device=device)
    made = {name: c.make(device) for name, c in names.items()}
    seconds: dict[str, list[float]] = {name: [] for name in names}

    def wait() -> None:
        if device.type == "cuda":
            torch.cuda.synchronize()

    for turn in range(rounds + 1):
        for name, (model, optimizer) in made.items():
            taken = []
            for _ in range(burst):
                wait()
                start = time.perf_counter()
                optimizer.zero_grad()
                functional.cross_entropy(model(x), y).backward()
                optimizer.step()
                wait()
                taken.append(time.perf_counter() - start)
            if turn > 0:  # the first steps allocate
                seconds[name].append(statistics.fmean(taken[1:]))
    base_name = next(iter(names))
    base = seconds[base_name]
    copied = _copy_seconds(device)
    rows = []
    for name, c in names.items():
        mine = seconds[name]
        row: dict[str, Any] = {
            "name": name,
            "seconds": min(mine),
            "ratio": min(mine) / min(base),
            "median": statistics.median(a / b for a, b in zip(mine, base, strict=True)),
            "target": c.target,
        }
        if c.words is not None:
            row["floor"] = 1 + c.words / 2 * copied / min(base)
        if c.without:
            other = seconds[c.without]
            row["extra"] = (min(mine) - min(other)) / min(base)
            row["median_extra"] = statistics.median((a - b) / s for a, b, s in zip(mine, other, base, strict=True))
        rows.append(row)
    return rows


def _copy_seconds(device: torch.device) -> float:
    """Seconds to copy all weights once."""
    a, b = torch.randn(WEIGHTS, device=device), torch.empty(WEIGHTS, device=device)
    best = float("inf")
    for _ in range(30):
        start = time.perf_counter()
        b.copy_(a)
        if device.type == "cuda":
            torch.cuda.synchronize()
        best = min(best, time.perf_counter() - start)
    return best


def table(found: dict[str, Any]) -> str:
    """The result as text."""
    lines = [f"{found['device']}, torch {found['torch']}, {found['command']}"]
    for batch, rows in found["batches"].items():
        lines.append(f"\nbatch {batch}, plain step {1e3 * rows[0]['seconds']:.2f} ms")
        lines.append(f"{'':34}{'ratio':>8}{'median':>8}{'floor':>8}{'target':>8}{'extra':>9}{'median':>9}")
        for row in rows:
            cells = [row["ratio"], row["median"], row.get("floor"), row["target"]]
            text = "".join(f"{'' if c is None else f'{c:.3f}':>8}" for c in cells)
            shares = [row.get("extra"), row.get("median_extra")]
            text += "".join(f"{'' if c is None else f'{100 * c:.1f} %':>9}" for c in shares)
            lines.append(f"{row['name']:34}{text}".rstrip())
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """The command of the module's text."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    options.add_argument("--quick", action="store_true")
    options.add_argument("--json", action="store_true")
    options.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    given = options.parse_args(arguments)
    device = pick_device(given.device)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        names = contestants(given.quick)
        plan = {128: 1} if given.quick else {128: 20, 1024: 6}
        batches = {
            str(batch): measure(names, batch, rounds, device, 3 if given.quick else BURST)
            for batch, rounds in plan.items()
        }
    finally:
        torch.set_num_threads(threads)
    typed = (" --quick" * given.quick) + (" --json" * given.json) + f" --device {given.device}"
    found = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else _processor(),
        "torch": torch.__version__,
        "command": "python benchmarks/step.py" + typed,
        "weights": WEIGHTS,
        "batches": batches,
    }
    print(json.dumps(found, indent=1) if given.json else table(found))
    return 0


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    except OSError:
        names = []
    return f"{names[0] if names else 'CPU'}, one thread"


if __name__ == "__main__":
    sys.exit(main())
