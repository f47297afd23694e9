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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from theory.errors import InputError
from theory.maps import PiecewiseMap
from verify.lowering import lower

Map = Callable[[Tensor], Tensor]

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


# --------------------------------------------------------------------------- the ledger


def regularizing(r: PiecewiseMap) -> Map:
    """r coordinate-wise, +inf outside its domain; the constant 0 costs nothing."""
    return torch.zeros_like if r.constant == 0 else lower(r, "torch")


@dataclass(frozen=True)
class Entry:
    """One state of the ledger, each field of shape (S,), sums from the first step on."""

    left: Tensor
    d_first: Tensor
    d_last: Tensor
    d_sum: Tensor
    abs_sum: Tensor
    closure_error: Tensor
    residual: Tensor
    drift: Tensor
    min_d: Tensor


class Ledger:
    """Both sides of the fixed-pair identity, step by step, in float64.

    With r_t at mu = 1, D_t(w) = r_t(w) + |w|^2/2 - r_t(v_t) - |v_t|^2/2 - <w - v_t, u_t> and
    u_{t+1} = u_t - eta_t g_t, for any g_t and any v_t, w at which the r's are finite,

        eta_t <v_t - w, g_t> + q_t(v_t) - q_t(w) = D_t(w) - D_{t+1}(w) + D_{t+1}(v_t),   q_t = r_{t+1} - r_t,

    which sums to  left = D_1(w) - D_{T+1}(w) + sum D_{t+1}(v_t). Proof: put the definitions into
    the right side; all but u_t - u_{t+1} and q_t cancel. With q_t = eta_t r this is identity (I);
    for a fixed pair q_t = 0. A transform that moves (BNN++) leaves r alone. A proximal map that
    moves by a schedule (PC) is a step of its own between two epochs, with eta_t = 0 and r
    exchanged (`move`); its q_t terms are summed in *drift* and belong to left.

    The comparator is w = v_1 unless one is given; then D_1(w) = 0. abs_sum adds up the absolute values of the terms of
    all steps: eta_t <v_t - w, g_t>, the drifts, D_{t+1}(v_t), and the last D(w). The identity is
    algebra and closes for a wrong P as well; ``min_d``, the least coordinate of every D_t(w) and
    D_{t+1}(v_t) so far (at most 0), goes negative for a P that does not minimise r_t + |.|^2/2 - <., u_t>.
    ``residual`` is sum D_{t+1}(v_t) / sum eta_t. Shapes: u, v and g (S, d). Source: MATH.md, section 4.
    """

    def __init__(self, u: Tensor, v: Tensor, r: Map, w: Tensor | None = None) -> None:
        self.r = r
        self.w = v if w is None else w
        self.u, self.v = u, v
        self.r_v, self.r_w = r(v), r(self.w)
        zero = torch.zeros(u.shape[0], dtype=torch.float64, device=u.device)
        self.left = self.d_sum = self.terms = self.drift = self.min_d = zero
        self.etas = 0.0
        self.d_first = self.d_last = self._divergence(self.w, self.r_w)

    def _divergence(self, at: Tensor, r_at: Tensor) -> Tensor:
        """sum over the coordinates of D(at) for the present r, u, v; keeps the least coordinate."""
        # grouped so that D(v) is exactly 0 and a small D is not a difference of large numbers
        d = (r_at - self.r_v) + (at - self.v) * (0.5 * (at + self.v) - self.u)
        self.min_d = torch.minimum(self.min_d, d.amin(dim=1))
        return d.sum(dim=1)

    def _arrive(self, old_v: Tensor, r_old_v: Tensor) -> None:
        d = self._divergence(old_v, r_old_v)
        self.d_sum = self.d_sum + d
        self.terms = self.terms + d.abs()
        self.d_last = self._divergence(self.w, self.r_w)

    def step(self, eta: float, g: Tensor, u: Tensor, v: Tensor) -> None:
        """Record u_{t+1} = u, the latent weights after the step -eta g, and v its proximal point."""
        inner = eta * ((self.v - self.w) * g).sum(dim=1)
        self.left = self.left + inner
        self.terms = self.terms + inner.abs()
        old_v, old_r_v = self.v, self.r_v
        self.u, self.v, self.r_v = u, v, self.r(v)
        self.etas += eta
        self._arrive(old_v, old_r_v)

    def move(self, v: Tensor, r: Map) -> None:
        """Exchange r at unchanged latent weights; v is their proximal point under the new r."""
        r_old_v, r_w = r(self.v), r(self.w)
        drift = ((r_old_v - self.r_v) - (r_w - self.r_w)).sum(dim=1)
        self.left = self.left + drift
        self.drift = self.drift + drift
        self.terms = self.terms + drift.abs()
        old_v = self.v
        self.r, self.v, self.r_v, self.r_w = r, v, r(v), r_w
        self._arrive(old_v, r_old_v)

    def entry(self) -> Entry:
        """The ledger so far; closure_error is |left - right| / abs_sum, 0 where nothing has moved."""
        right = self.d_first - self.d_last + self.d_sum
        abs_sum = self.terms + self.d_first.abs() + self.d_last.abs()
        gap = (self.left - right).abs()
        error = torch.where(gap == 0, torch.zeros_like(gap), gap / abs_sum)
        residual = self.d_sum / self.etas if self.etas else torch.zeros_like(gap)
        return Entry(self.left, self.d_first, self.d_last, self.d_sum, abs_sum, error, residual, self.drift, self.min_d)


__all__ = [
    "COORDINATES",
    "LAYERS",
    "QUANTIZED",
    "SCALES",
    "WIDTHS",
    "Digits",
    "Entry",
    "Gradients",
    "Ledger",
    "Map",
    "Parameters",
    "accuracy",
    "batch_orders",
    "gradients",
    "initial",
    "load_digits",
    "pick_device",
    "regularizing",
]
