"""Quantizers as reviewers hold them: torch Functions and modules by hand, and ones that a probe must refuse."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import torch
from torch import Tensor, nn

from theory.catalogue import lookup
from verify.lowering import lower


class _UnderSign(torch.autograd.Function):
    """sign forward; subclasses give the slope of the backward."""

    @classmethod
    def slope(cls, x: Tensor) -> Tensor:
        raise NotImplementedError

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x.sign()

    @classmethod
    def backward(cls, ctx: Any, grad: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return grad * cls.slope(x)


class ClippedSTE(_UnderSign):
    """BNN."""

    @classmethod
    def slope(cls, x: Tensor) -> Tensor:
        return (x.abs() <= 1).to(x.dtype)


class OpenClippedSTE(_UnderSign):
    """BNN, but with B(-1) = B(1) = 0."""

    @classmethod
    def slope(cls, x: Tensor) -> Tensor:
        return (x.abs() < 1).to(x.dtype)


class SwishSignSTE(_UnderSign):
    """BNN+ at beta = 5, written with exponentials that overflow."""

    @classmethod
    def slope(cls, x: Tensor) -> Tensor:
        z = 5 * x
        return 5 * (2 - z * torch.tanh(z / 2)) / (1 + torch.cosh(z))


class ApproxSign(_UnderSign):
    """Bi-Real Net's."""

    @classmethod
    def slope(cls, x: Tensor) -> Tensor:
        return torch.clamp(2 - 2 * x.abs(), min=0)


class LeakySTE(_UnderSign):
    """1 inside, 1/10 outside."""

    @classmethod
    def slope(cls, x: Tensor) -> Tensor:
        return torch.where(x.abs() <= 1, 1.0, 0.1).to(x.dtype)


class AgainstTheJump(_UnderSign):
    """B = -1 under a sign that jumps up."""

    @classmethod
    def slope(cls, x: Tensor) -> Tensor:
        return -torch.ones_like(x)


class Bisign(torch.autograd.Function):
    """BinaryConnect as it is mostly written: 1 at 0."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad


class SwishSign(torch.autograd.Function):
    """BNN++: SS forward and SS' backward, with the sharpness of the backward for itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, beta: float, backward_beta: float | None = None) -> Tensor:
        ctx.save_for_backward(x)
        ctx.beta = beta if backward_beta is None else backward_beta
        s = torch.sigmoid(beta * x)
        return 2 * s * (1 + beta * x * (1 - s)) - 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        s = torch.sigmoid(ctx.beta * x)
        return grad * ctx.beta * s * (1 - s) * (4 - 2 * ctx.beta * x * (2 * s - 1)), None, None


class LSQ(nn.Module):
    """Learned step size at its present step, 2 bits: s round(clip(x/s, -2, 1)), gradient 1 strictly inside."""

    def __init__(self, step: float = 0.5) -> None:
        super().__init__()
        self.step = nn.Parameter(torch.tensor(float(step)))

    def forward(self, x: Tensor) -> Tensor:
        step = self.step.detach()
        v = x / step
        inside = ((v > -2) & (v < 1)).to(x.dtype)
        rounded = torch.round(torch.clamp(v, -2, 1)) * step
        return rounded.detach() + inside * (x - x.detach())


class MeanScale(nn.Module):
    """XNOR-Net's weights: the scale is computed from all entries."""

    def forward(self, x: Tensor) -> Tensor:
        return x.abs().mean().detach() * Bisign.apply(x)


class Smooth(nn.Module):
    """tanh with its own derivative, in training mode."""

    def __init__(self, beta: float = 1.0) -> None:
        super().__init__()
        self.beta = beta

    def forward(self, x: Tensor) -> Tensor:
        warnings.warn("this module warns", stacklevel=1)
        print("this module prints")
        return torch.tanh(self.beta * x)


SMOOTH = Smooth(2.0)


class MirrorTanh(torch.autograd.Function):
    """MD-tanh: tanh forward, identity backward, with a separate context."""

    @staticmethod
    def forward(x: Tensor, beta: float = 1.0) -> Tensor:
        return torch.tanh(beta * x)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class ClippedGradient(torch.autograd.Function):
    """A backward that is not linear in the incoming gradient."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad.clamp(-1, 1)


def stochastic(x: Tensor) -> Tensor:
    """Stochastic binarization with a straight-through gradient."""
    p = (x.clamp(-1, 1) + 1) / 2
    return x + (torch.where(torch.rand_like(x) < p, 1.0, -1.0) - x).detach()


def catalogued(name: str, which: str = "", **params: Any) -> type[torch.autograd.Function]:
    """A catalogued pair as an autograd.Function; ``which``: forward or backward off by a factor 1.001."""
    pair = lookup(name).pair(**params)
    windowed = pair.forward.windowed or pair.backward.windowed
    maps = [
        m.kept_on(m.known_from, m.known_to) if windowed and m.windowed else m for m in (pair.forward, pair.backward)
    ]
    forward_map, backward_map = (lower(m, "torch") for m in maps)
    up, down = (1.001 if which == w else 1.0 for w in ("forward", "backward"))

    class Catalogued(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return forward_map(x) * up

        @staticmethod
        def backward(ctx: Any, grad: Tensor) -> Tensor:
            (x,) = ctx.saved_tensors
            return grad * backward_map(x) * down

    return Catalogued


# --------------------------------------------------------------------------- what a probe refuses

NUMBER = 3


class DetachedSign(nn.Module):
    """The straight-through idiom: beyond 2**53 the sum forgets the sign."""

    def forward(self, x: Tensor) -> Tensor:
        return x + (torch.sign(x) - x).detach()


class ForgetsFarOut(nn.Module):
    """The identity up to 1e17 and 0 beyond, a loss of as many digits as x has but of no rounding."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x.abs() > 1e17, 0 * x, x)


class HalfFarOut(nn.Module):
    """The sign through the idiom, but 1/2 beyond 1e17, where the spacing of floats is larger than the difference."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.where(x.abs() > 1e17, 0 * x + 0.5, x + (torch.sign(x) - x).detach())


class Plain:
    """A class that is neither a Function nor a Module."""


class Demanding(nn.Module):
    """A module that needs an argument."""

    def __init__(self, width: int) -> None:
        super().__init__()


def wrong_shape(x: Tensor) -> Tensor:
    return x[:-1]


def pair_of_outputs(x: Tensor) -> Any:
    return x, x


def integers(x: Tensor) -> Tensor:
    return x.round().long()


def complex_output(x: Tensor) -> Tensor:
    return x.to(torch.complex128)


def detached(x: Tensor) -> Tensor:
    return x.sign().detach()


def not_a_number(x: Tensor) -> Tensor:
    return torch.sqrt(x)


def raising(x: Tensor) -> Tensor:
    raise RuntimeError("no quantizer\nis here")


def leaving(x: Tensor) -> Tensor:
    sys.exit(0)


def endless(x: Tensor) -> Tensor:
    while True:
        pass


class WrongBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        return grad[:-1]


class NoBackward(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.sign()
