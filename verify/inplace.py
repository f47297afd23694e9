"""Quantized training by hooks on any torch optimizer: the model's code stays as it is.

`attach` lets the parameters p of a model hold the quantized weights w = s F(u) between two steps and
keeps the latent weights u itself. When the optimizer steps,

    before    p.grad becomes g = s B(u) grad, and p points at u
    step      the optimizer moves u, whatever its rule is
    after     p points at its own memory again, where w = s F(u) is written.

For plain stochastic gradient descent that is u_{t+1} = u_t - eta_t s B(u_t) grad f(s F(u_t)), the
step of ProxConnect++ for the function f(s .). BC, PC, BNN, BNN++ are pairs of it. On a CPU that step is taken
here, block by block and with the same bits, where no other hooks look at it (`verify.block_steps`). Two methods take
other steps, with P alone, and are not ProxConnect++:

    PQ     u_{t+1} = P(u_t - eta_t grad(u_t))      gradient at, and step from, the quantized point
    rPC    u_{t+1} = P(u_t) - eta_t grad(u_t)      gradient at the latent point, step from the quantized one

(docs/mathematics.md, section 2). Momentum, weight decay and everything else that the optimizer does belong to
its own step, so weight decay acts on the latent weights (in rPC on P(u), in PQ on u = P(u)). The
gradient's scale s is a part of f: s = mean |p| / mean |level| at `attach`, constant from then on,
and u starts at p / s.

Importing this module imports torch.
"""

from __future__ import annotations

import math
import sys
import warnings
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from types import FrameType
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import increment_version
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer
from torch.utils.weak import WeakTensorKeyDictionary

from theory.errors import InputError
from theory.exact import X, to_float
from theory.maps import PiecewiseMap
from verify import block_steps
from verify.block_steps import Watcher
from verify.kernel_programs import Rooms, block_size
from verify.kernels import Both, Kernel, both, kernel
from verify.moving import MovingProx, moving
from verify.prepared import PairLike, Prepared, nearest, prepare
from verify.quantizers import weight_scale

METHODS = ("PC++", "PQ", "rPC")
NONFINITE = ("raise", "skip", "ignore")
_FORMAT = "proxpair latent weights, version 1"
_KEY = "proxpair"
_ATTACHED = WeakTensorKeyDictionary()


# --------------------------------------------------------------------------- the maps of one pair


def is_identity(m: PiecewiseMap | None) -> bool:
    """Whether m is the map x -> x."""
    return m is not None and m.exprs == (X,)


@dataclass(frozen=True, eq=False)
class Rule:
    """The kernels of one pair and one method. ``factor`` is B where it is constant, else None.

    ``weights`` is F of PC++ and P of PQ and rPC. With ``path`` (mu advances) it is P = P_r^1 as well,
    v = P_r^mu(u), w = T(v) and the factor is t(v); ``transform`` and ``slope`` are then T and t, None
    where T = id. ``joint`` is F and B in one pass, where B is not constant.
    """

    prepared: Prepared
    weights: Kernel
    hard: Kernel
    slope: Kernel | None
    factor: float | None
    path: MovingProx | None = None
    transform: Kernel | None = None
    joint: Both | None = None

    def point(self, mu: float, u: Tensor, out: Tensor | None = None) -> Tensor:
        """v = P_r^mu(u) where mu advances."""
        assert self.path is not None
        if mu == 1 or self.path.kind == "fixed":
            return self.weights(u, out=out)
        return self.path.at(mu, u, out=out)


@lru_cache(maxsize=256)
def _rule(prepared: Prepared, method: str, advance: bool) -> Rule:
    name, prox = prepared.name or "this pair", prepared.prox
    if method != "PC++":
        if advance:
            raise InputError(f"mu: fixed was expected for {method}; mu advances in ProxConnect++ alone")
        if prox is None:
            raise InputError(f"method {method} needs a proximal map, and {name} has none ({prepared.note})")
        return Rule(prepared, kernel(prox), kernel(prepared.hard), None, 1.0)
    if not advance:
        constant = prepared.backward.constant
        slope = kernel(prepared.backward) if constant is None else None
        factor = None if constant is None else to_float(constant)
        joint = None if slope is None else both(prepared.forward, prepared.backward)
        return Rule(prepared, kernel(prepared.forward), kernel(prepared.hard), slope, factor, joint=joint)
    t = prepared.slope
    if not prepared.verdict.principled or prepared.transform is None or t is None or prox is None:
        reason = prepared.note or f"it is {prepared.verdict.grade}"
        raise InputError(f"mu: fixed was expected for {name}: {reason}")
    slope = kernel(t) if t.constant is None else None
    factor = None if t.constant is None else to_float(t.constant)
    # a level is looked for from w, since u grows with mu
    hard = kernel(nearest(PiecewiseMap.of(X), prepared.levels))
    transform = None if is_identity(prepared.transform) else kernel(prepared.transform)
    return Rule(prepared, kernel(prox), hard, slope, factor, moving(prepared), transform)


# --------------------------------------------------------------------------- one parameter


@dataclass(frozen=True, eq=False)
class _Pieces:
    """Views of a parameter's tensors of at most ``count`` elements, and what writes F (and B) of each."""

    count: int
    flat: bool
    u: Sequence[Tensor]
    w: Sequence[Tensor]
    b: Sequence[Tensor | None]
    s: Sequence[Tensor | None]
    write: Sequence[Callable[[], None]]


@dataclass(eq=False)
class Slot:
    """One attached parameter: its latent weight u, the memory w that the model sees, its scale and its mu.

    u is w itself where no second copy is needed (PQ and rPC without a scale). ``b`` is B(u), where a
    pass that computes F(u) gives it too. ``negative`` counts the coordinates with B(u) < 0 of the last
    step, where ``counting`` asks for it. ``moved``: whether the last step reached it. ``watch`` looks on when u
    has moved and w is still that of before, for the ledger that ``kept`` says there is. ``taken``: the group of
    the step under way, or else of the last one, where it is taken in blocks; the optimizer does not see the gradient
    then.
    """

    name: str
    parameter: Tensor
    group: int
    index: int
    w: Tensor
    u: Tensor
    scale: Tensor | None
    mu: float = 1.0
    version: int = 0
    b: Tensor | None = None
    counting: bool = False
    negative: int = 0
    moved: bool = False
    watch: Watcher | None = None
    kept: bool = False
    taken: dict[str, Any] | None = None
    pieces: _Pieces | None = None

    @property
    def blockwise(self) -> bool:
        """Whether the step under way, or else the last one, is taken in blocks."""
        return self.taken is not None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "pieces": None}  # they hold functions, and are made anew

    def intact(self) -> None:
        """Raise `InputError` if someone else has exchanged the parameter's memory or written into it."""
        p = self.parameter
        same = p.shape == self.w.shape and p.dtype == self.w.dtype and p.device == self.w.device
        if not same or p.data_ptr() != self.w.data_ptr() or p.stride() != self.w.stride():
            raise InputError(
                f"{self.name} has been replaced, resized or moved since the quantizer was attached; "
                "detach, change it, and attach again"
            )
        if p._version != self.version:
            raise InputError(
                f"{self.name} has been written to since the last step, but its values follow from latent weights; "
                "load the optimizer's state, or change the latent weights and call refresh()"
            )


def _blocks(*tensors: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Flat pieces of tensors of one shape that stay in a cache; the tensors themselves where they are not flat."""
    if all(t.is_contiguous() for t in tensors) and not tensors[0].is_cuda and tensors[0].numel() > block_size():
        yield from zip(*(t.view(-1).split(block_size()) for t in tensors), strict=True)
    else:
        yield tensors


def count(flags: Tensor) -> int:
    """The sum of zeros and ones, exactly."""
    # float32 is exact up to 2^24, and summing it as float64 takes several times as long
    return int(flags.sum(dtype=torch.float64 if flags.numel() > 1 << 24 else None))


class Outermost:
    """Tells the hooks of an optimizer's step from those of a step that it calls, as ``super().step()`` does.

    torch runs the hooks around both; acting on both would multiply the gradient twice.
    """

    def __init__(self) -> None:
        self._frame: FrameType | None = None
        self._depth = 0

    def enters(self) -> bool:
        """To be called by the hook before a step: whether no other step is under way."""
        step = sys._getframe(2)
        caller = step.f_back if self._frame is not None else None
        while caller is not None and caller is not self._frame:  # a step that an exception has ended is no caller
            caller = caller.f_back
        if caller is not None:
            self._depth += 1
            return False
        self._frame, self._depth = step, 0
        return True

    def leaves(self) -> bool:
        """To be called by the hook after a step: whether it is the outermost one."""
        if self._depth:
            self._depth -= 1
            return False
        self._frame = None
        return True


# --------------------------------------------------------------------------- the attached optimizer


class InPlace:
    """What `attach` returns: the latent weights of an optimizer's parameters, and the hooks that use them.

    ``step_count`` counts the steps taken and ``skipped`` those left out for a gradient that is not
    finite. ``generation`` grows whenever latent weights come from somewhere else than a step.
    """

    in_blocks = True
    """Its hooks know steps that are taken in blocks (`verify.block_steps.unseen`)."""

    def __init__(
        self,
        optimizer: Optimizer,
        rule: Rule,
        slots: list[Slot],
        method: str,
        nonfinite: str,
        source: PairLike | Prepared,
        levels: Sequence[Any] | None,
        parameters: dict[str, Any],
    ) -> None:
        # no strong reference: the hooks make the optimizer keep this object alive, not the other way round
        self._optimizer = weakref.ref(optimizer)
        self.method, self.nonfinite, self.slots = method, nonfinite, slots
        self.rule = rule
        self.source, self.levels, self.parameters = source, levels, parameters
        self.step_count = self.skipped = self.generation = 0
        self._open: list[Slot] = []
        self._held: list[tuple[Tensor, Tensor]] = []
        self._viewing = ""
        self._outermost = Outermost()
        self._scratch: dict[tuple[torch.device, torch.dtype], Tensor] = {}
        self._rooms: Rooms = {}
        self._loaded: dict[str, Any] | None = None
        self._by_parameter = WeakTensorKeyDictionary()
        for slot in slots:
            self._by_parameter[slot.parameter] = slot
            _ATTACHED[slot.parameter] = weakref.ref(self)
        self.refresh()
        self.generation = 0
        self._handles = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
            optimizer.register_state_dict_post_hook(self._save),
            optimizer.register_load_state_dict_pre_hook(self._check_state),
            optimizer.register_load_state_dict_post_hook(self._load),
        ]

    # ---- looking

    @property
    def prepared(self) -> Prepared:
        """The exact pair in use."""
        return self.rule.prepared

    @property
    def advances(self) -> bool:
        """Whether mu grows with the learning rates."""
        return self.rule.path is not None

    @property
    def attached(self) -> bool:
        return bool(self._handles) and self._optimizer() is not None

    @property
    def optimizer(self) -> Optimizer:
        """The optimizer it is attached to. Raises `InputError` once that is gone."""
        found = self._optimizer()
        if found is None or not self._handles:
            raise InputError("this quantizer has been detached from its optimizer, or the optimizer is gone")
        return found

    @property
    def latents(self) -> dict[str, Tensor]:
        """name -> u, the tensors in use. After writing into one call `refresh`."""
        return {slot.name: slot.u for slot in self.slots}

    def slot(self, parameter: Tensor) -> Slot:
        """What is kept for a parameter. Raises `InputError` if it is not attached here."""
        found: Slot | None = self._by_parameter.get(parameter)
        if found is None:
            raise InputError("an attached parameter was expected, and this one is not")
        return found

    def hardened(self, slot: Slot, out: Tensor | None = None) -> Tensor:
        """The levels, without s, that the latent weights of one parameter stand for."""
        if self.rule.path is None:
            return self.rule.hard(slot.u, out=out)
        v = self.rule.point(slot.mu, slot.u, out=out)
        w = v if self.rule.transform is None else self.rule.transform(v, out=v)
        return self.rule.hard(w, out=w)

    @contextmanager
    def latent(self) -> Iterator[None]:
        """The model with s u for its weights, u the latent weights; no step inside."""
        with self._view("latent()", lambda slot: slot.u):
            yield

    @contextmanager
    def hard(self) -> Iterator[None]:
        """The model with s times the levels for its weights; no step inside."""
        with self._view("hard()", self.hardened):
            yield

    @contextmanager
    def quantized(self) -> Iterator[None]:
        """The model with s times the quantized weights: F(u), in PQ and rPC P(u); no step inside.

        Only in rPC are they not the weights that the model has anyway.
        """
        with self._view("quantized()", self._quantized):
            yield

    def _quantized(self, slot: Slot) -> Tensor | None:
        return self.rule.weights(slot.u) if self.method == "rPC" else None

    @contextmanager
    def _view(self, name: str, values: Callable[[Slot], Tensor | None]) -> Iterator[None]:
        """The model with s times these values for its weights; None stands for the weights that it has."""
        _ = self.optimizer
        if self._viewing:
            raise InputError(f"{name} was entered inside {self._viewing}; leave that first")
        self._recover()
        for slot in self.slots:
            slot.intact()
        kept = [slot.w.clone() for slot in self.slots]
        self._viewing = name
        try:
            with torch.no_grad():
                for slot in self.slots:
                    shown = values(slot)
                    if shown is not None:
                        slot.w.copy_(shown if slot.scale is None else shown * slot.scale)
            yield
        finally:
            self._viewing = ""
            with torch.no_grad():
                for slot, w in zip(self.slots, kept, strict=True):
                    slot.w.copy_(w)
                    slot.version = slot.parameter._version

    # ---- changing

    def set(self, pair: PairLike | Prepared | None = None, **parameters: Any) -> None:
        """Exchange the exact pair: new values of its parameters (the others stay), or another pair with parameters.

        Levels that were given stay; latent weights, scales and mu are untouched, the model's weights
        follow. Raises `InputError` for what `verify.prepared.prepare` or the method refuses, and then
        nothing has changed.
        """
        _ = self.optimizer
        self.settle("set()")
        source = self.source if pair is None else pair
        if isinstance(source, Prepared):
            if parameters:
                raise InputError("a prepared pair has no parameters to set; give another pair")
            prepared = source
        else:
            parameters = {**self.parameters, **parameters} if pair is None else parameters
            prepared = prepare(source, self.levels, **parameters)
        rule = _rule(prepared, self.method, self.advances)
        self.rule, self.source, self.parameters = rule, source, parameters
        self._write_all()

    def refresh(self) -> None:
        """Write the model's weights anew from the latent weights."""
        self.settle("refresh()")
        self._write_all()
        self.generation += 1

    def _write_all(self) -> None:
        with torch.no_grad():
            for slot in self.slots:
                slot.pieces = None
                if self.method == "PQ":
                    self.rule.weights(slot.u, out=slot.u)
                self._write(slot)

    def detach(self) -> None:
        """Remove the hooks; the model keeps its quantized weights, the latent weights are let go with this object."""
        _ = self.optimizer
        self.settle("detach()")
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for slot in self.slots:
            _ATTACHED.pop(slot.parameter, None)

    def settle(self, what: str) -> None:
        """Raise `InputError` inside `latent`, `hard` and `quantized`; put w back where an exception ended a step."""
        if self._viewing:
            raise InputError(f"{what} was called inside {self._viewing}; leave that first")
        self._recover()

    # ---- one step

    def _write(self, slot: Slot) -> None:
        """w from u."""
        w, rule = slot.w, self.rule
        if self.method != "PC++":
            if slot.scale is not None:
                torch.mul(slot.u, slot.scale, out=w)
        else:
            if rule.joint is not None:
                slot.b = torch.empty_like(slot.u) if slot.b is None else slot.b
                rule.joint(slot.u, w, slot.b)
            elif rule.path is None:
                slot.b = None
                rule.weights(slot.u, out=w)
            else:
                rule.point(slot.mu, slot.u, out=w)
                if rule.transform is not None:
                    rule.transform(w, out=w)
            if slot.scale is not None:
                w.mul_(slot.scale)
        slot.version = slot.parameter._version

    def _buffer(self, like: Tensor) -> Tensor:
        """A contiguous buffer of at least that many elements, shared by all parameters."""
        key = (like.device, like.dtype)
        found = self._scratch.get(key)
        if found is None or found.numel() < like.numel():
            found = self._scratch[key] = torch.empty(like.numel(), dtype=like.dtype, device=like.device)
        return found[: like.numel()].view(like.shape)

    def _multiply(self, slot: Slot, grad: Tensor) -> None:
        """grad <- s B(u) grad."""
        rule = self.rule
        if slot.scale is not None:
            grad.mul_(slot.scale)
        counting = slot.counting and self.prepared.negative
        if slot.counting:
            slot.negative = 0
        if rule.slope is None:
            if rule.factor is not None and rule.factor != 1:
                grad.mul_(rule.factor)
            if counting and rule.factor is not None and rule.factor < 0:
                slot.negative = grad.numel()
            return
        if slot.b is not None:
            grad.mul_(slot.b)
            if counting:
                for (b,) in _blocks(slot.b):
                    slot.negative += self._below(b, self._buffer(b))
            return
        for u, g in _blocks(slot.u, grad):
            b = rule.point(slot.mu, u, out=self._buffer(u))
            rule.slope(b, out=b)
            g.mul_(b)
            if counting:
                slot.negative += self._below(b, b)

    def _below(self, b: Tensor, out: Tensor) -> int:
        """How many b are negative."""
        # a comparison written as 0 and 1 of its own type costs a seventh of one written as bools
        return count(torch.lt(b, 0, out=out))

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        if not self._outermost.enters():
            return None
        try:
            return self._begin(optimizer, args, kwargs)
        except BaseException:
            self.cancel()  # no step for one is a step for none
            self._cancel_others()
            raise

    def _begin(self, optimizer: Optimizer, args: Any, kwargs: Any) -> Any:
        if self._viewing:
            raise InputError(f"a step was taken inside {self._viewing}; leave that first")
        self._recover()
        for slot in self.slots:
            slot.moved, slot.taken = False, None
        changed = _evaluated(args, kwargs)
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and float(found_inf) > 0:
            return changed  # a gradient scaler has seen it, and the fused optimizer will leave everything as it is
        slots = []
        for slot in self.slots:
            slot.intact()
            if slot.parameter.grad is None:
                continue
            if slot.parameter.grad.layout != torch.strided:
                raise InputError(f"{slot.name}: a dense gradient was expected, not a sparse one")
            slots.append(slot)
        moved = [slot for slot in slots if slot.parameter.requires_grad]
        with torch.no_grad():
            if found_inf is None and self.nonfinite != "ignore" and not self._finite(moved):
                return changed
            self._open = moved
            if block_steps.unseen(optimizer):
                groups = block_steps.groups_of(optimizer)
                for slot in moved:
                    own = groups.get(id(slot.parameter), [])
                    if len(own) == 1 and self._blockwise(optimizer, slot, own[0]):
                        slot.taken = own[0]
            for slot in slots:
                if slot.blockwise or not slot.parameter.requires_grad:
                    self._hold(slot.parameter)
            for slot in moved:
                if slot.blockwise:
                    continue
                grad = slot.parameter.grad
                assert grad is not None
                self._multiply(slot, grad)
                if self.method == "rPC":
                    self.rule.weights(slot.u, out=slot.u)
                if slot.u is not slot.w:
                    slot.parameter.data = slot.u
        return changed

    def _blockwise(self, optimizer: Optimizer, slot: Slot, group: dict[str, Any]) -> bool:
        """Whether the step of one parameter can be taken here, block by block."""
        grad = slot.parameter.grad
        return (
            grad is not None
            and self.method == "PC++"
            and self.rule.path is None
            and not slot.counting
            and block_steps.plain(optimizer, group)
            and block_steps.possible(group, (slot.u, slot.w, grad))
        )

    def _step_blockwise(self, slot: Slot, eta: float) -> None:
        """g <- s B(u) g, u <- u - eta g, w <- s F(u), and what the ledger wants to see before the last."""
        rule, watch, grad, count = self.rule, slot.watch, slot.parameter.grad, block_size()
        assert grad is not None
        if slot.pieces is None or slot.pieces.count != count:
            slot.pieces = self._pieces(slot, count)
        made = slot.pieces
        grads = block_steps.pieces(grad, count, made.flat)
        for k, (g, u, w, b, s, write) in enumerate(zip(grads, made.u, made.w, made.b, made.s, made.write, strict=True)):
            if s is not None:
                g.mul_(s)
            if b is not None:
                g.mul_(b)
            elif rule.factor is not None and rule.factor != 1:
                g.mul_(rule.factor)
            u.add_(g, alpha=-eta)
            if watch is not None:
                watch.ahead_block(k, g, w, u)
            write()
            if s is not None:
                w.mul_(s)
        slot.moved = True
        increment_version(slot.parameter)  # a graph that was made with the former weights must not be used
        slot.version = slot.parameter._version
        if watch is not None:
            watch.ahead_done()

    def _pieces(self, slot: Slot, count: int) -> _Pieces:
        """The pieces of a parameter's tensors; they stay the same until `set`."""
        rule, scale = self.rule, slot.scale
        flat = scale is None or scale.numel() == 1
        u, w = (block_steps.pieces(t, count, flat) for t in (slot.u, slot.w))
        s: Sequence[Tensor | None] = [scale if scale is None or not flat else scale.reshape(())] * len(u)
        if scale is not None and not flat and len(u) > 1:
            s = scale.split(len(u[0]))  # one for each index of the first axis
        b: Sequence[Tensor | None] = [None] * len(u)
        if rule.joint is None:
            write = [rule.weights.bound(*tensors, self._rooms) for tensors in zip(u, w, strict=True)]
        else:
            assert slot.b is not None
            bs = block_steps.pieces(slot.b, count, flat)
            write = [rule.joint.bound(*tensors, self._rooms) for tensors in zip(u, w, bs, strict=True)]
            b = bs
        return _Pieces(count, flat, u, w, b, s, write)

    def _finite(self, slots: list[Slot]) -> bool:
        """Whether the step goes on. One pass that reads the gradients; exact when their sum or norm overflows."""
        grads = [slot.parameter.grad for slot in slots if slot.parameter.grad is not None]
        # a sum is finite only if all its terms are; the norm waits for a GPU once
        here = all(g.device.type == "cpu" for g in grads)
        if math.isfinite(sum(float(g.sum()) for g in grads) if here else float(get_total_norm(grads))):
            return True
        bad = [s.name for s, g in zip(slots, grads, strict=True) if not bool(torch.isfinite(g).all())]
        if not bad:
            return True
        if self.nonfinite == "raise":
            raise InputError(
                f"the gradient of {bad[0]} is not finite, nothing was changed by this step; nonfinite='skip' leaves "
                "such steps out"
            )
        self.skipped += 1
        self._cancel_others()
        for p in self._parameters():
            self._hold(p)
        return False

    def _parameters(self) -> list[Tensor]:
        """All that the optimizer has."""
        return [p for group in self.optimizer.param_groups for p in group["params"]]

    def _cancel_others(self) -> None:
        """Undo what other quantizers of the optimizer have begun in this step."""
        owners = {ref() for ref in map(_ATTACHED.get, self._parameters()) if ref is not None}
        for other in owners - {self, None}:
            other.cancel()

    def cancel(self) -> None:
        """Take no part in the step that has begun: another quantizer of the optimizer leaves it out."""
        self._release()
        for slot in self.slots:
            slot.taken = None
        for slot in self._open:
            if slot.u is not slot.w:
                slot.parameter.data = slot.w
        self._open = []

    def _hold(self, p: Tensor) -> None:
        """Keep a gradient from the optimizer during this step."""
        if p.grad is not None:
            self._held.append((p, p.grad))
            p.grad = None

    def _release(self) -> None:
        for p, grad in self._held:
            if p.grad is None:  # another one came after a step that broke off
                p.grad = grad
        self._held = []

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._outermost.leaves():
            return
        self._release()
        if self._open:
            self.step_count += 1
        with torch.no_grad():
            for slot in self._open:
                if self.rule.path is not None:
                    slot.mu += float(optimizer.param_groups[slot.group]["lr"])
                if slot.taken is not None:
                    self._step_blockwise(slot, slot.taken["lr"])
                else:
                    self._close(slot)
        self._open = []

    def _close(self, slot: Slot) -> None:
        """The model's weights after the step."""
        if slot.u is not slot.w:
            slot.parameter.data = slot.w
        if self.method == "PQ":
            self.rule.weights(slot.u, out=slot.u)
        slot.moved = True
        if slot.watch is not None:
            slot.watch.ahead()
        self._write(slot)

    def _recover(self) -> None:
        """Put w back after a step that ended by an exception."""
        # the gradients of that step are not those of the next one
        gone = {id(slot.parameter) for slot in self._open if slot.blockwise}
        self._held = [(p, grad) for p, grad in self._held if id(p) not in gone]
        self._release()
        with torch.no_grad():
            for slot in self._open:
                if slot.u is not slot.w:
                    slot.parameter.data = slot.w
                if self.method == "PQ":
                    self.rule.weights(slot.u, out=slot.u)
                self._write(slot)
        if self._open:
            self.generation += 1
        self._open = []

    # ---- state

    def _entry(self) -> dict[str, Any]:
        return {
            "format": _FORMAT,
            "pair": self.prepared.name,
            "method": self.method,
            "mu": "advance" if self.advances else "fixed",
            "indices": [slot.index for slot in self.slots],
            "latents": [slot.u for slot in self.slots],
            "scales": [slot.scale for slot in self.slots],
            "mus": [slot.mu for slot in self.slots],
        }

    def _save(self, optimizer: Optimizer, state: dict[str, Any]) -> dict[str, Any]:
        self.settle("state_dict()")
        return {**state, _KEY: [*state.get(_KEY, []), self._entry()]}

    def _check_state(self, optimizer: Optimizer, state: dict[str, Any]) -> None:
        self._loaded = None
        self.settle("load_state_dict()")
        found = state.get(_KEY)
        if not isinstance(found, list) or not all(isinstance(e, dict) and e.get("format") == _FORMAT for e in found):
            raise InputError(
                "the state has no latent weights, so training cannot go on from it; a state_dict() of an optimizer "
                "with an attached quantizer was expected"
            )
        mine = [slot.index for slot in self.slots]
        entry = next((e for e in found if e.get("indices") == mine), None)
        if entry is None:
            counts = ", ".join(str(len(e.get("indices", ()))) for e in found)
            raise InputError(
                f"the state has latent weights of other parameters ({counts} of them, {len(mine)} were expected, in "
                "the same places of the optimizer)"
            )
        mu_kind = "advance" if self.advances else "fixed"
        for key, own in (("method", self.method), ("mu", mu_kind), ("pair", self.prepared.name)):
            if entry.get(key) != own:
                raise InputError(f"the state is of {key} {entry.get(key)!s:.60}, and {own} was expected")
        lists = [entry.get(key) for key in ("latents", "scales", "mus")]
        if not all(isinstance(x, list) and len(x) == len(mine) for x in lists):
            raise InputError(f"the state was expected to have {len(mine)} latent weights, scales and values of mu")
        for slot, u, s, mu in zip(self.slots, *lists, strict=True):
            for what, was, now in (("latent weight", slot.u, u), ("scale", slot.scale, s)):
                shape = tuple(now.shape) if isinstance(now, Tensor) else None
                expected = None if was is None else tuple(was.shape)
                if shape != expected:
                    raise InputError(
                        f"{slot.name}: a {what} of shape {expected} was expected in the state, not {shape}"
                    )
            if not isinstance(mu, float) or not 1 <= mu < math.inf:
                raise InputError(f"{slot.name}: a finite mu >= 1 was expected in the state")
        self._loaded = entry

    def _load(self, optimizer: Optimizer) -> None:
        entry, self._loaded = self._loaded, None
        if entry is None:
            return
        with torch.no_grad():
            for slot, u, s, mu in zip(self.slots, entry["latents"], entry["scales"], entry["mus"], strict=True):
                slot.u.copy_(u)
                if slot.scale is not None:
                    slot.scale.copy_(s)
                slot.mu = mu
                self._write(slot)
        self.generation += 1


def _evaluated(args: Any, kwargs: Any) -> Any:
    """The arguments of a step with its closure evaluated at the quantized weights; None where there is no closure."""
    closure = args[1] if len(args) > 1 else kwargs.get("closure")
    if closure is None:
        return None
    with torch.enable_grad():
        loss = closure()
    asked = False

    def known() -> Any:
        nonlocal asked
        if asked:
            raise InputError(
                "the optimizer evaluates its closure more than once a step, where the model has latent weights; an "
                "optimizer of one evaluation was expected"
            )
        asked = True
        return loss

    if len(args) > 1:
        return (args[0], known, *args[2:]), kwargs
    return args, {**kwargs, "closure": known}


# --------------------------------------------------------------------------- attaching


def _selected(optimizer: Optimizer, params: Iterable[Any] | None) -> list[tuple[str, Tensor, int, int]]:
    """(name, parameter, group, place in the optimizer) of the parameters to quantize, each once."""
    known: dict[int, tuple[str, Tensor, int, int]] = {}
    count = 0
    for i, group in enumerate(optimizer.param_groups):
        names = group.get("param_names")
        for j, p in enumerate(group["params"]):
            name = names[j] if names else f"parameter {j} of group {i}"
            known.setdefault(id(p), (name, p, i, count))
            count += 1

    def left_alone(i: int) -> bool:
        return optimizer.param_groups[i].get("quantize", True) is False

    if params is None:
        found = [entry for entry in known.values() if entry[1].dim() >= 2 and not left_alone(entry[2])]
        if not found:
            raise InputError("params: the optimizer has no parameter with two or more axes to quantize")
        return found
    if isinstance(params, Tensor) or not isinstance(params, Iterable):
        found_type = "one tensor" if isinstance(params, Tensor) else type(params).__name__
        raise InputError(f"params: an iterable of parameters or of (name, parameter) was expected, not {found_type}")
    chosen: dict[int, tuple[str, Tensor, int, int]] = {}
    for given in params:
        named = isinstance(given, tuple) and len(given) == 2
        name, p = given if named else ("", given)
        if not isinstance(p, Tensor) or not isinstance(name, str):
            raise InputError(f"params: a parameter or (name, parameter) was expected, not {type(given).__name__}")
        if id(p) not in known:
            raise InputError(f"params: {name or 'a parameter'} is in no group of the optimizer")
        entry = known[id(p)]
        if left_alone(entry[2]):
            raise InputError(f"params: {name or entry[0]} is in a group with quantize=False")
        chosen.setdefault(id(p), (name or entry[0], *entry[1:]))  # tied weights are one parameter
    if not chosen:
        raise InputError("params: at least one parameter was expected")
    return sorted(chosen.values(), key=lambda entry: entry[3])


def _check_parameter(name: str, p: Tensor, scale: str | None) -> None:
    ordinary = not nn.parameter.is_lazy(p) and not p.is_meta and type(p.data) is Tensor and p.layout == torch.strided
    if not ordinary or any(stride == 0 and size > 1 for stride, size in zip(p.stride(), p.shape, strict=True)):
        raise InputError(f"{name}: an ordinary dense tensor was expected")
    if p.dtype not in (torch.float32, torch.float64):
        raise InputError(
            f"{name}: float32 or float64 was expected, not {p.dtype}; leave it out by params or quantize=False"
        )
    other = _ATTACHED.get(p)
    owner = None if other is None else other()
    if owner is not None and owner.attached:
        raise InputError(f"{name} is attached to a quantizer already; detach that first")
    if not bool(torch.isfinite(p).all()):
        raise InputError(f"{name} has entries that are not finite")
    if scale == "channel" and p.dim() == 0:
        raise InputError(f"{name}: scale channel needs an axis, and it has none")


def _check_memory(chosen: Sequence[tuple[str, Tensor]]) -> None:
    """Raise `InputError` where two parameters have an element of memory in common."""
    ranges = []
    for name, p in chosen:
        if p.numel():
            last = sum((size - 1) * stride for size, stride in zip(p.shape, p.stride(), strict=True))
            ranges.append((p.data_ptr(), p.data_ptr() + (last + 1) * p.element_size(), name, p))
    ranges.sort(key=lambda r: r[:2])
    for i, (_, end, name, p) in enumerate(ranges):
        for start, _, other, q in ranges[i + 1 :]:
            if start >= end:
                break
            if _meet(p, q):
                raise InputError(f"{name} and {other} share memory without being one parameter; tie them")


def _meet(p: Tensor, q: Tensor) -> bool:
    """Whether two tensors whose ranges of memory overlap have an element in common: views may interleave."""
    if p.untyped_storage().data_ptr() != q.untyped_storage().data_ptr() or p.dtype != q.dtype:
        return True  # no two ordinary tensors do that
    taken = torch.zeros(p.untyped_storage().nbytes() // p.element_size(), dtype=torch.bool)
    taken.as_strided(p.shape, p.stride(), p.storage_offset()).fill_(True)
    return bool(taken.as_strided(q.shape, q.stride(), q.storage_offset()).any())


def attach(
    optimizer: Optimizer,
    pair: PairLike | Prepared,
    *,
    method: str = "PC++",
    params: Iterable[Any] | None = None,
    scale: str | None = None,
    mu: str = "fixed",
    levels: Sequence[Any] | None = None,
    nonfinite: str = "raise",
    **parameters: Any,
) -> InPlace:
    """Quantize an optimizer's parameters in place: between steps p = s F(u), and the optimizer moves u.

    The gradient of u is s B(u) grad_p. Source: docs/mathematics.md, section 2.

    Works with any optimizer that evaluates its loss at most once a step, learning-rate scheduler and
    gradient scaler, and with data parallelism (wrap the model first: it copies weights between
    processes). ``pair``, ``levels`` and ``parameters`` are those of `verify.prepared.prepare`, or
    ``pair`` is a `Prepared` (needed where a pair's parameter is called ``scale``).

    ``method``: "PC++", or "PQ", "rPC", which use P alone (the module's text has the formulas).
    ``params``: parameters or (name, parameter) pairs of the optimizer's groups; without it all that
    have two or more axes, embeddings included. A group with ``"quantize": False`` is left alone.
    ``scale``: None for s = 1, "tensor", or "channel" (one s for each index of the first axis).
    ``mu``: "fixed", or "advance": v_t = P_r^{mu_t}(u_t), w_t = T(v_t), factor t(v_t), mu_1 = 1 and
    mu_{t+1} = mu_t + the learning rate of the parameter's group.
    ``nonfinite``: what a step does where a gradient of an attached parameter has a NaN or an
    infinity: "raise" an `InputError` that names it, "skip" the whole step, both with nothing changed,
    or "ignore" (no check, which reads the gradients once and on a GPU waits for it). A gradient
    scaler that has found one itself leaves the step out before any of this.

    A parameter that has no gradient in a step, or requires none, stays as it is, with its latent
    weight. A closure is evaluated once, at the quantized weights, before the optimizer moves.
    After the step p.grad holds s B(u) grad: set gradients to zero or None between steps, as usual.
    The optimizer's state_dict() carries the latent weights, and load_state_dict() puts them and the
    model's weights in place; a copy of the optimizer has no hooks, and is attached anew. For a pair
    that the theory does not cover a UserWarning says why.
    Memory: one tensor like each weight for u, and another for B(u) where B is not constant.

    Raises `InputError` for what `prepare` refuses; another method, scale or mu; PQ and rPC without
    P, mu="advance" where it is not implemented; a parameter that is no dense float32 or float64
    tensor, not finite, attached already, in no group, or in the memory of another. Nothing is
    changed then.
    """
    if not isinstance(optimizer, Optimizer):
        raise InputError(f"a torch.optim.Optimizer was expected, not {type(optimizer).__name__}")
    if isinstance(optimizer, torch.optim.LBFGS):
        raise InputError("LBFGS evaluates its closure several times a step, at latent weights; it is not supported")
    for what, given, known in (
        ("method", method, METHODS),
        ("scale", scale, (None, "tensor", "channel")),
        ("mu", mu, ("fixed", "advance")),
        ("nonfinite", nonfinite, NONFINITE),
    ):
        if given not in known:
            raise InputError(f"{what}: one of {', '.join(map(str, known))} was expected, not {given!r:.40}")
    if isinstance(pair, Prepared):
        if parameters or levels is not None:
            raise InputError(f"{pair.name or 'the pair'}: a prepared pair has its parameters and levels already")
        prepared = pair
    else:
        prepared = prepare(pair, levels, **parameters)
    rule = _rule(prepared, method, mu == "advance")
    chosen = _selected(optimizer, params)
    for name, p, group, _ in chosen:
        _check_parameter(name, p, scale)
        if mu == "advance" and "lr" not in optimizer.param_groups[group]:
            raise InputError("mu: fixed was expected, since the optimizer's groups have no lr")
    _check_memory([(name, p) for name, p, *_ in chosen])
    if method == "PC++" and prepared.warning:
        warnings.warn(prepared.warning, UserWarning, stacklevel=2)
    mean = math.fsum(abs(to_float(q)) for q in prepared.levels) / len(prepared.levels)
    slots = []
    for name, p, group, index in chosen:
        w = p.data
        s = weight_scale(w, scale, mean)
        u = w if method != "PC++" and s is None else w.clone() if s is None else w / s
        slots.append(Slot(name, p, group, index, w, u, s))
    return InPlace(optimizer, rule, slots, method, nonfinite, pair, levels, dict(parameters))


__all__ = ["METHODS", "NONFINITE", "InPlace", "Outermost", "Rule", "Slot", "attach", "count", "is_identity"]
