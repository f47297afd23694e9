"""The small networks of the experiments: a perceptron, a residual network and a vision transformer.

All layers whose weights can be quantized are Linear or Conv2d without a bias, and c times their
output is used, c = sqrt(2 / fan-in): a constant that is a part of f and not of the quantizer. Their
weights start uniform in [-1, 1], whatever the method, so that latent weights begin where every map of
the catalogue has something to say. The first and the last layer stay in full precision
(``quantized_layers`` lists the others); normalisation, biases and embeddings do too.

``activations``: "relu" where the activations stay in full precision. Where they are quantized, it is
"none": the quantizer at the input of each quantized layer is the nonlinearity, since the sign of a
rectified number says nothing.

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from theory.errors import InputError

ACTIVATIONS = ("relu", "none")


class Scaled(nn.Module):
    """c y + b for the output y of a layer of that fan-in, c = sqrt(2 / fan-in); b is learned, one per last axis."""

    def __init__(self, fan_in: int, biases: int = 0) -> None:
        super().__init__()
        self.c = math.sqrt(2 / fan_in)
        self.bias = nn.Parameter(torch.zeros(biases)) if biases else None

    def forward(self, y: Tensor) -> Tensor:
        """Of y's shape."""
        y = self.c * y
        return y if self.bias is None else y + self.bias


def _activation(name: str) -> nn.Module:
    return nn.ReLU() if name == "relu" else nn.Identity()


def _linear(n: int, m: int) -> nn.Linear:
    return nn.Linear(n, m, bias=False)


def _conv(n: int, m: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(n, m, 3, stride=stride, padding=1, bias=False)


class Perceptron(nn.Module):
    """Flattened images, three hidden layers of ``width`` with batch normalisation, two of them quantized."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, depth: int, activations: str) -> None:
        super().__init__()
        pixels = math.prod(shape)
        layers: list[nn.Module] = [nn.Flatten(), nn.Linear(pixels, width, bias=False), Scaled(pixels)]
        for _ in range(depth):
            layers += [nn.BatchNorm1d(width), _activation(activations), _linear(width, width), Scaled(width)]
        layers += [nn.BatchNorm1d(width), nn.ReLU(), nn.Linear(width, classes)]
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, classes)."""
        return self.layers(x)


class _Block(nn.Module):
    """Two 3 x 3 convolutions with shortcuts that have no weights.

    With activations in full precision: relu(x + norm(conv(relu(norm(conv(x)))))). With quantized ones each convolution
    has a shortcut of its own, as is usual for binary networks: x + norm(conv(q(x))), twice.
    """

    def __init__(self, n: int, m: int, stride: int, activations: str) -> None:
        super().__init__()
        self.first, self.second = _conv(n, m, stride), _conv(m, m)
        self.scales = nn.ModuleList([Scaled(9 * n), Scaled(9 * m)])
        self.norms = nn.ModuleList([nn.BatchNorm2d(m), nn.BatchNorm2d(m)])
        self.stride, self.more, self.plain = stride, m - n, activations == "relu"

    def _shortcut(self, x: Tensor) -> Tensor:
        if self.stride > 1:
            x = functional.avg_pool2d(x, self.stride)
        return functional.pad(x, (0, 0, 0, 0, 0, self.more)) if self.more else x

    def forward(self, x: Tensor) -> Tensor:
        """(N, n, H, W) to (N, m, H / stride, W / stride)."""
        y = self.norms[0](self.scales[0](self.first(x)))
        if self.plain:
            y = self.norms[1](self.scales[1](self.second(functional.relu(y))))
            return functional.relu(self._shortcut(x) + y)
        y = self._shortcut(x) + y
        return y + self.norms[1](self.scales[1](self.second(y)))


class Residual(nn.Module):
    """The shape of ResNet-20 (He et al. 2016), which has depth 3: 3 stages of ``depth`` blocks, of widths w, 2w, 4w."""

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, depth: int, activations: str) -> None:
        super().__init__()
        self.stem = nn.Sequential(_conv(shape[0], width), Scaled(9 * shape[0]), nn.BatchNorm2d(width))
        self.start = _activation(activations)
        blocks = []
        n = width
        for stage in range(3):
            for k in range(depth):
                m = width * 2**stage
                blocks.append(_Block(n, m, 2 if stage and not k else 1, activations))
                n = m
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(n, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, classes)."""
        return self.head(self.blocks(self.start(self.stem(x))).mean(dim=(2, 3)))


class _Encoder(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); six weight matrices, all of them quantized."""

    def __init__(self, width: int, heads: int, activations: str) -> None:
        super().__init__()
        self.heads = heads
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.query, self.key, self.value = _linear(width, width), _linear(width, width), _linear(width, width)
        self.out, self.up, self.down = _linear(width, width), _linear(width, 2 * width), _linear(2 * width, width)
        sizes = ((width, width),) * 4 + ((width, 2 * width), (2 * width, width))
        self.scales = nn.ModuleList([Scaled(n, m) for n, m in sizes])
        self.plain = activations == "relu"

    def forward(self, x: Tensor) -> Tensor:
        """Tokens (N, T, width), and of that shape back."""
        y = self.norms[0](x)
        parts = []
        for layer, scale in zip((self.query, self.key, self.value), self.scales, strict=False):
            parts.append(scale(layer(y)).unflatten(2, (self.heads, -1)).transpose(1, 2))
        mixed = functional.scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
        x = x + self.scales[3](self.out(mixed))
        y = self.scales[4](self.up(self.norms[1](x)))
        return x + self.scales[5](self.down(functional.relu(y) if self.plain else y))


def _patch(height: int) -> int:
    return 2 if height <= 8 else 4


class Transformer(nn.Module):
    """A small vision transformer (Dosovitskiy et al. 2021): ``depth`` encoders, then the mean of the tokens.

    Patches have 4 x 4 pixels, of images of at most 8 x 8 they have 2 x 2.
    """

    def __init__(self, shape: tuple[int, int, int], classes: int, width: int, depth: int, activations: str) -> None:
        super().__init__()
        channels, height, _ = shape
        size = _patch(height)
        tokens = (shape[1] // size) * (shape[2] // size)
        self.patches = nn.Conv2d(channels, width, size, stride=size)
        self.positions = nn.Parameter(torch.zeros(1, tokens, width))
        nn.init.normal_(self.positions, std=0.02)
        self.encoders = nn.Sequential(*[_Encoder(width, max(1, width // 16), activations) for _ in range(depth)])
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Images (N, C, H, W) to logits (N, classes)."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.positions
        return self.head(self.norm(self.encoders(x)).mean(dim=1))


# --------------------------------------------------------------------------- the declarations


@dataclass(frozen=True)
class Model:
    """A network by name: its class, and the depth that its name stands for."""

    name: str
    title: str
    make: Callable[[tuple[int, int, int], int, int, int, str], nn.Module]
    depth: int


MODELS = {
    model.name: model
    for model in (
        Model("mlp", "perceptron with two quantized hidden layers", Perceptron, 2),
        Model("resnet8", "residual network of 8 layers", Residual, 1),
        Model("resnet20", "residual network of 20 layers", Residual, 3),
        Model("vit", "vision transformer with 4 encoders", Transformer, 4),
    )
}


def build(
    name: str, shape: tuple[int, int, int], classes: int, width: int, seed: int, activations: str = "relu"
) -> nn.Module:
    """A network for images of that shape (C, H, W), float32, on the CPU; the same bits for the same seed.

    ``width`` is the number of units, channels of the first stage, or entries of a token. Raises
    `InputError` for an unknown model or kind of activations, and for a width that does not fit.
    """
    if name not in MODELS:
        raise InputError(f"unknown model {name[:40]!r}, expected one of: {', '.join(MODELS)}")
    if activations not in ACTIVATIONS:
        raise InputError(f"activations: relu or none was expected, not {activations[:40]!r}")
    if not 1 <= width <= 4096 or (name == "vit" and width % 16):
        raise InputError(f"{name}: a width from 1 to 4096 was expected, for vit a multiple of 16, not {width}")
    if name == "vit" and (shape[1] % _patch(shape[1]) or shape[2] % _patch(shape[1])):
        raise InputError(f"vit: images with sides that are multiples of 4 were expected, not {shape[1]} x {shape[2]}")
    if name.startswith("resnet") and min(shape[1:]) < 4:
        raise InputError(f"{name}: images of at least 4 x 4 were expected, not {shape[1]} x {shape[2]}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = MODELS[name].make(shape, classes, width, MODELS[name].depth, activations)
        for _, layer in quantized_layers(model):
            nn.init.uniform_(layer.weight, -1, 1)
    return model


def quantized_layers(model: nn.Module) -> list[tuple[str, nn.Linear | nn.Conv2d]]:
    """(name, layer) of the layers whose weights the experiments quantize: all with weights but the first and last."""
    found = [(name, m) for name, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    return found[1:-1]


__all__ = ["ACTIVATIONS", "MODELS", "Model", "Perceptron", "Residual", "Scaled", "Transformer", "build"]
__all__ += ["quantized_layers"]
