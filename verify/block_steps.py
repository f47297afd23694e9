"""When the step of plain stochastic gradient descent may be taken block by block together with what surrounds it.

    g <- s B(u) g,    u <- u - eta g,    w <- s F(u)

Between hooks each of the three passes reads its tensors from memory; in one pass over blocks they stay in the
processor's cache (`verify.inplace`). This is for a CPU, and for steps that nobody else looks at meanwhile.

The bits are those of torch.optim.SGD between the hooks, but for two things that torch itself does by place: the last
elements of a tensor may get another last bit from its pow and atan (so with one scale for each row, where pieces are
rows), and torch.set_flush_denormal holds in the calling thread, whose share is another.

Importing this module imports torch.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim import optimizer as _torch_optimizer

_STEP = inspect.unwrap(torch.optim.SGD.step)


class Watcher(Protocol):
    """Who looks at a step when u has moved and w is still that of before."""

    def ahead(self) -> None:
        """The optimizer has moved u, all of it."""

    def ahead_block(self, k: int, g: Tensor, v: Tensor, u: Tensor) -> None:
        """The k-th piece of u was moved by -eta g, and v is that piece of w; pieces come in order."""

    def ahead_done(self) -> None:
        """All pieces were."""


def plain(optimizer: Optimizer, group: Mapping[str, Any]) -> bool:
    """Whether the step of a group is u - lr * p.grad and nothing else."""
    own = vars(optimizer).get("step", torch.optim.SGD.step)  # a learning-rate scheduler wraps it
    return (
        type(optimizer) is torch.optim.SGD
        and inspect.unwrap(getattr(own, "__func__", own)) is _STEP
        and group["momentum"] == 0
        and group["weight_decay"] == 0
        and not group["maximize"]
        and getattr(optimizer, "grad_scale", None) is None  # p.grad is g times that
    )


def unseen(optimizer: Optimizer) -> bool:
    """Whether all hooks around a step belong to objects whose class knows such steps: it has ``in_blocks``."""
    owners: list[Any] = []
    for place, name in (
        (_torch_optimizer, "_global_optimizer_pre_hooks"),
        (_torch_optimizer, "_global_optimizer_post_hooks"),
        (optimizer, "_optimizer_step_pre_hooks"),
        (optimizer, "_optimizer_step_post_hooks"),
    ):
        hooks = getattr(place, name, None)
        if not isinstance(hooks, Mapping):
            return False  # another version of torch keeps them elsewhere
        owners += [getattr(hook, "__self__", None) for hook in hooks.values()]
    # not inherited: what a subclass does is not known
    return all(vars(type(owner)).get("in_blocks", False) for owner in owners)


def groups_of(optimizer: Optimizer) -> dict[int, list[dict[str, Any]]]:
    """The groups of each parameter, by its id, as often as it is there."""
    found: dict[int, list[dict[str, Any]]] = {}
    for group in optimizer.param_groups:
        for p in group["params"]:
            found.setdefault(id(p), []).append(group)
    return found


def possible(group: Mapping[str, Any], tensors: Sequence[Tensor]) -> bool:
    """Whether a step of a group, `plain` already, can be taken in blocks of u, w, g of one parameter."""
    return (
        isinstance(group["lr"], float | int)
        and not torch.is_inference_mode_enabled()  # scratch of that mode could not be written to later
        and not group.get("fused")
        and not group.get("differentiable")
        and all(
            t.device.type == "cpu" and t.dtype == tensors[0].dtype and t.shape == tensors[0].shape and t.is_contiguous()
            for t in tensors
        )
    )


def pieces(t: Tensor, count: int, flat: bool) -> Sequence[Tensor]:
    """Contiguous pieces of a contiguous tensor of about ``count`` elements: vectors if ``flat``, else whole rows."""
    if flat:
        return t.view(-1).split(count)
    return t.split(max(1, count * len(t) // t.numel())) if t.numel() > count else (t,)


__all__ = ["Watcher", "groups_of", "pieces", "plain", "possible", "unseen"]
