"""A small quantized network on handwritten digits, batched over seeds, with the convergence ledger.

The network is the multilayer perceptron 64-64-64-10 with rectifiers. Layer l computes

    z_l = c_l (a_{l-1} W_l + b_l),   c_l = sqrt(2 / fan-in),

where the constant scale c_l is a part of f, not of the quantizer. The weights of the two hidden
layers are quantized (8192 of them, ``QUANTIZED``): W_l = F(u). The output layer's weights and all
biases are free. Latent weights u and the maps F, B, P, r are float64, so that the ledger sees the
step that is taken; activations, gradients and free parameters are float32.

Every tensor has a leading axis of length S, one entry per seed, and no entry reads another's. The
S networks see one train/test split; initial weights and batch orders are their own.

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from theory.errors import InputError

WIDTHS = (64, 64, 64, 10)
QUANTIZED = (0, 1)
"""Indices of the layers whose weights are quantized: the two hidden ones."""
LAYERS = tuple(pairwise(WIDTHS))
SCALES = tuple(math.sqrt(2 / fan_in) for fan_in, _ in LAYERS)
COORDINATES = sum(LAYERS[i][0] * LAYERS[i][1] for i in QUANTIZED)
TEST_SHARE = 0.25


def pick_device(name: str) -> torch.device:
    """The device of ``auto``, ``cpu`` or ``cuda``; auto is cuda where there is one.

    Raises `InputError` for another name, and for cuda on a machine without a GPU that torch can use.
    """
    if name not in ("auto", "cpu", "cuda"):
        raise InputError(f"--device expects auto, cpu or cuda, not {name[:30]!r}")
    present = torch.cuda.is_available()
    if name == "cuda" and not present:
        raise InputError("--device cuda needs a GPU that torch can use, and none was found; use cpu or auto")
    return torch.device("cuda" if name != "cpu" and present else "cpu")


@dataclass(frozen=True)
class Digits:
    """Images (N, 64) float32 in [-1, 1] and classes (N,) int64, split once into training and test."""

    train_x: Tensor
    train_y: Tensor
    test_x: Tensor
    test_y: Tensor


def load_digits(seed: int, device: torch.device) -> Digits:
    """scikit-learn's packaged digits, x/8 - 1 in [-1, 1], a stratified quarter kept for the test.

    The scaling is a constant, so nothing of the test set reaches the training.
    """
    from sklearn import datasets
    from sklearn.model_selection import train_test_split

    x, y = datasets.load_digits(return_X_y=True)
    parts = train_test_split(
        (x / 8 - 1).astype(np.float32), y.astype(np.int64), test_size=TEST_SHARE, stratify=y, random_state=seed
    )
    train_x, test_x, train_y, test_y = (torch.from_numpy(p).to(device) for p in parts)
    return Digits(train_x, train_y, test_x, test_y)


# --------------------------------------------------------------------------- parameters


@dataclass(frozen=True)
class Parameters:
    """Latent weights (S, COORDINATES) float64, output weights (S, 64, 10) and biases (S, 1, width) float32."""

    latent: Tensor
    output: Tensor
    biases: tuple[Tensor, ...]

    def of_seed(self, k: int) -> Parameters:
        """The parameters of the k-th seed alone, with S = 1."""
        return Parameters(self.latent[k : k + 1], self.output[k : k + 1], tuple(b[k : k + 1] for b in self.biases))


def _streams(seeds: Sequence[int], purpose: int, shape: tuple[int, ...]) -> np.ndarray:
    """Uniform numbers in [0, 1), shape (S, *shape): each seed draws from a generator of its own."""
    return np.stack([np.random.default_rng([seed, purpose]).random(shape) for seed in seeds])


def initial(seeds: Sequence[int], device: torch.device) -> Parameters:
    """u and the output weights uniform in [-1, 1), biases 0; the same for every method."""
    fan_in, classes = LAYERS[-1]
    draws = 2 * _streams(seeds, 0, (COORDINATES + fan_in * classes,)) - 1
    latent = torch.from_numpy(draws[:, :COORDINATES].copy()).to(device)
    output = torch.from_numpy(draws[:, COORDINATES:].astype(np.float32)).to(device)
    biases = tuple(torch.zeros(len(seeds), 1, width, device=device) for _, width in LAYERS)
    return Parameters(latent, output.reshape(len(seeds), fan_in, classes), biases)


def batch_orders(seeds: Sequence[int], epoch: int, samples: int, device: torch.device) -> Tensor:
    """One permutation of the training set per seed for this epoch (counted from 1), shape (S, samples)."""
    order = _streams(seeds, epoch, (samples,)).argsort(axis=1, kind="stable")
    return torch.from_numpy(order).to(device)


# --------------------------------------------------------------------------- the network


def _matrices(w: Tensor, output: Tensor) -> list[Tensor]:
    """The weight matrices, shape (S, fan-in, fan-out), from the flat quantized weights w (S, COORDINATES)."""
    sizes = [LAYERS[i][0] * LAYERS[i][1] for i in QUANTIZED]
    flat = torch.split(w.to(torch.float32), sizes, dim=1)
    quantized = {i: f.reshape(-1, *LAYERS[i]) for i, f in zip(QUANTIZED, flat, strict=True)}
    return [quantized.get(i, output) for i in range(len(LAYERS))]


def _forward(matrices: list[Tensor], biases: Sequence[Tensor], x: Tensor) -> list[Tensor]:
    """All activations, the logits last. Shapes: x (S, N, 64), result (S, N, width) each."""
    activations = [x]
    for i, (m, b, c) in enumerate(zip(matrices, biases, SCALES, strict=True)):
        z = torch.bmm(activations[-1], m).add_(b).mul_(c)
        activations.append(z if i == len(matrices) - 1 else z.clamp_min_(0))
    return activations


def accuracy(w: Tensor, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
    """The share of samples classified correctly with quantized weights w, shape (S,) float64."""
    images = x.expand(w.shape[0], -1, -1)
    logits = _forward(_matrices(w, parameters.output), parameters.biases, images)[-1]
    return (logits.argmax(dim=2) == y).to(torch.float64).mean(dim=1)


@dataclass(frozen=True)
class Gradients:
    """Mean cross-entropy (S,) float64 and its gradients, shaped as the weights they belong to."""

    loss: Tensor
    w: Tensor
    output: Tensor
    biases: tuple[Tensor, ...]


def gradients(w: Tensor, parameters: Parameters, x: Tensor, y: Tensor) -> Gradients:
    """The gradient of the batch mean of the cross-entropy at the weights w themselves, by hand.

    Shapes: w (S, COORDINATES), x (S, N, 64), y (S, N). Nothing of the quantizer enters here; the
    rectifier's derivative at 0 is 0.
    """
    matrices = _matrices(w, parameters.output)
    activations = _forward(matrices, parameters.biases, x)
    logs = torch.log_softmax(activations[-1], dim=2)
    picked = logs.gather(2, y.unsqueeze(2)).squeeze(2)
    delta = logs.exp_()
    delta.scatter_add_(2, y.unsqueeze(2), -torch.ones_like(picked).unsqueeze(2))
    delta.div_(x.shape[1])
    of_matrices: list[Tensor] = []
    of_biases: list[Tensor] = []
    for i in reversed(range(len(matrices))):
        delta = delta * SCALES[i]
        of_matrices.insert(0, torch.bmm(activations[i].transpose(1, 2), delta))
        of_biases.insert(0, delta.sum(dim=1, keepdim=True))
        if i:
            delta = torch.bmm(delta, matrices[i].transpose(1, 2)).mul_(activations[i] > 0)
    flat = torch.cat([of_matrices[i].flatten(1) for i in QUANTIZED], dim=1)
    return Gradients(-picked.to(torch.float64).mean(dim=1), flat, of_matrices[-1], tuple(of_biases))


__all__ = [
    "COORDINATES",
    "LAYERS",
    "QUANTIZED",
    "SCALES",
    "WIDTHS",
    "Digits",
    "Gradients",
    "Parameters",
    "accuracy",
    "batch_orders",
    "gradients",
    "initial",
    "load_digits",
    "pick_device",
]
