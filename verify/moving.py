"""Proximal maps and pairs that move while a network trains: P_r^mu for a growing mu, schedules for a pair's parameters.

ProxConnect applies P_r^{mu_t} with mu_1 = 1 and mu_{t+1} = mu_t + eta_t (docs/mathematics.md, section 2). `moving`
makes it a function of tensors; which r it can do, and the exact parts, are those of
`verify.proxconnect.advancing`:

- r with values 0 and +oo: P_r^mu = P;
- r piecewise quadratic, convex or not: the graph of P_r^mu is put together anew for each mu, from the
  lower convex envelope of mu r(w) + w^2/2 (`envelope`); it then costs a few passes over the tensor;
- any other convex r: one equation per element, by safeguarded Newton steps (`verify.proxconnect.root`).

The second and the third compute in float64 and round once.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Literal, Protocol, SupportsFloat

import sympy as sp

from theory.errors import InputError
from theory.exact import as_exact, to_float
from theory.maps import PiecewiseMap
from verify.prepared import Prepared
from verify.proxconnect import (
    NOT_ADVANCED,
    Quadratics,
    bounded_below,
    convexity,
    quadratics,
    reached,
    root,
    zero_or_infinite,
)

if TYPE_CHECKING:
    from torch import Tensor

_BLOCK = 1 << 14
"""Elements per block on a CPU: a few float64 buffers of this length stay in its cache."""
_LARGEST = math.ldexp(1 - 2.0**-53, 1024)


# --------------------------------------------------------------------------- the envelope of mu r(w) + w^2/2


@dataclass(frozen=True)
class Arc:
    """E(w) = bend w^2/2 + lean w + level on [low, high] with bend > 0; a single point has low = high.

    ``left``, ``right``: whether the function that the arc is a part of has at that end the arc's
    value, and not a lower one.
    """

    low: float
    high: float
    bend: float
    lean: float
    level: float
    left: bool = True
    right: bool = True

    @property
    def start(self) -> float:
        """The u up to which the minimiser of E(w) - u w is ``low``."""
        return math.inf if self.low == self.high else self.bend * self.low + self.lean

    @property
    def end(self) -> float:
        """The u from which on it is ``high``."""
        return -math.inf if self.low == self.high else self.bend * self.high + self.lean

    def conjugate(self, u: float) -> tuple[float, float, float]:
        """(a, b, c): a s^2 + b s + c is the maximum of s w - E(w), for all s for which it is taken as it is for u."""
        w = min(max((u - self.lean) / self.bend, self.low), self.high)
        if w in (self.low, self.high):
            return 0.0, w, -((0.5 * self.bend * w + self.lean) * w + self.level)
        return 0.5 / self.bend, -self.lean / self.bend, 0.5 * self.lean * self.lean / self.bend - self.level


def switch(i: Arc, j: Arc) -> float:
    """The u from which on E(w) - u w is lower somewhere on j than on i; j lies to the right of i."""
    if i.high == j.low and i.right and j.left:
        # they touch, so the two minima agree there to second order: comparing them would lose half of the digits
        s, t = i.end, j.start
        if s <= t:
            return s if s > -math.inf else t
        p, q = math.sqrt(j.bend), math.sqrt(i.bend)
        u = (p * s + q * t) / (p + q)
        if i.start <= u <= j.end:
            return u
    knots = sorted(k for arc in (i, j) for k in (arc.start, arc.end) if math.isfinite(k))
    low, high = -math.inf, math.inf
    for k in knots:
        a, b, c = _gain(i, j, k)
        if (a * k + b) * k + c >= 0:
            high = k
            break
        low = k
    a, b, c = _gain(i, j, _between(low, high))
    if a == b == 0:
        u = high if high < math.inf else low
    elif a == 0:
        u = -c / b
    else:
        steep = math.sqrt(max(b * b - 4 * a * c, 0.0))  # the slope of the gain at its root, which is not negative
        u = -2 * c / (b + steep) if b > 0 else (steep - b) / (2 * a)
    return min(max(u, low), high)


def _between(low: float, high: float) -> float:
    if math.isfinite(low) and math.isfinite(high):
        return 0.5 * (low + high)
    reach = 1.0 + max(abs(k) for k in (low, high, 0.0) if math.isfinite(k))
    return low + reach if math.isfinite(low) else high - reach if math.isfinite(high) else 0.0


def _gain(i: Arc, j: Arc, u: float) -> tuple[float, float, float]:
    """(a, b, c): by a s^2 + b s + c the minimum over j is below that over i, for the s about u."""
    (a, b, c), (d, e, f) = i.conjugate(u), j.conjugate(u)
    return d - a, e - b, f - c


def envelope(arcs: Iterable[Arc]) -> tuple[tuple[Arc, ...], tuple[float, ...]]:
    """(arcs, switches): the minimiser of E(w) - u w lies on arcs[k] for switches[k - 1] <= u < switches[k].

    ``arcs``: the parts of E from the left to the right. Of two equal minima the one further right is taken.
    """
    kept: list[Arc] = []
    switches: list[float] = []
    for new in arcs:
        at = switch(kept[-1], new) if kept else math.nan
        while switches and at <= switches[-1]:
            kept.pop()
            switches.pop()
            at = switch(kept[-1], new)
        if kept:
            switches.append(at)
        kept.append(new)
    for k in reversed(range(len(kept))):
        arc = kept[k]
        if arc.low == arc.high:  # a neighbour that it ends has its minimiser there as long as needed
            if k > 0 and kept[k - 1].right and kept[k - 1].high == arc.low:
                del kept[k], switches[k - 1]
            elif k + 1 < len(kept) and kept[k + 1].left and kept[k + 1].low == arc.low:
                del kept[k], switches[k]
    return tuple(kept), tuple(switches)


class _Envelope:
    """P_r^mu for a piecewise quadratic r and mu >= 1, on blocks of float64."""

    def __init__(self, r: Quadratics) -> None:
        parts: list[tuple[Any, ...]] = []
        for w, value in r.points:
            parts.append((to_float(w), to_float(w), 0.0, 0.0, to_float(value), True, True))
        for arc in r.arcs:
            parts.append((*map(to_float, arc), reached(r, arc, arc[0]), reached(r, arc, arc[1])))
        self.parts = sorted(parts)
        self.open = (self.parts[0][0] == -math.inf, self.parts[-1][1] == math.inf)
        self.mu = math.nan
        self.arcs: tuple[Arc, ...] = ()
        self.switches: tuple[float, ...] = ()

    def move(self, mu: float) -> None:
        if mu == self.mu:
            return
        made = [Arc(low, high, 2.0 * mu * a + 1.0, mu * b, mu * c, *ends) for low, high, a, b, c, *ends in self.parts]
        # a concave arc lies above the line between its ends, which are points of r
        self.arcs, self.switches = envelope(arc for arc in made if arc.bend > 0)
        self.mu = mu

    def write(self, u: Tensor, out: Tensor, other: Tensor, gate: Tensor) -> None:
        """P_r^mu(u) into ``out``; ``other`` and ``gate`` are of its shape, for use in between."""
        import torch

        low, high = (-_LARGEST if self.open[0] else None), (_LARGEST if self.open[1] else None)
        apart = bool(self.switches) and any(self.open)
        # an infinite minimiser would make NaN of those of other arcs below
        x = u.clamp(low, high) if apart else u
        _on(self.arcs[0], x, out)
        for at, arc in zip(self.switches, self.arcs[1:], strict=True):
            _on(arc, x, other)
            torch.ge(x, at, out=gate)
            torch.lerp(out, other, gate, out=out)  # exact where the gate is 0 or 1, and much faster than torch.where
        if apart:
            out.add_(u - x)  # 0, or the infinity again


def _on(arc: Arc, x: Tensor, out: Tensor) -> None:
    """The minimiser of E(w) - x w on an arc; NaN stays NaN."""
    import torch

    if arc.low < arc.high and (arc.lean != 0 or arc.bend != 1):
        torch.sub(x, arc.lean, out=out)
        out.div_(arc.bend)
        x = out
    low, high = (None if math.isinf(end) else end for end in (arc.low, arc.high))
    if low is None and high is None:
        out.copy_(x)
    else:
        torch.clamp(x, low, high, out=out)


# --------------------------------------------------------------------------- P_r^mu of tensors


class MovingProx:
    """u -> P_r^mu(u) for mu >= 1, where P = P_r^1 and r has ``kind``.

    ``kind``: "fixed" (r takes the values 0 and +oo alone), "piecewise quadratic" or "convex". Raises
    `InputError` with the reason for any other r.
    """

    kind: Literal["fixed", "piecewise quadratic", "convex"]

    def __init__(self, prox: PiecewiseMap, r: PiecewiseMap) -> None:
        self.prox, self.regularizer = prox, r
        from verify.kernels import kernel

        self._base = kernel(prox)
        if zero_or_infinite(r):
            self.kind = "fixed"
            return
        arcs = bounded_below(quadratics(r))
        if arcs is not None:
            self.kind = "piecewise quadratic"
            self._envelope = _Envelope(arcs)
            return
        if not convexity(prox):
            raise InputError(NOT_ADVANCED)
        self.kind = "convex"
        self._slope = kernel(prox.derivative())

    def at(self, mu: float, u: Tensor, out: Tensor | None = None) -> Tensor:
        """P_r^mu(u), in the shape, dtype and on the device of u; no gradients. At mu = 1 it is P.

        u: float32 or float64. NaN gives NaN, an infinity the limit. At a jump of P_r^mu the larger
        of two values, at mu = 1 the value that P states. ``out``, a tensor like u, which may be u
        itself, takes the result. Raises `InputError` for mu < 1 and for other tensors.
        """
        import torch

        mu = _checked(mu)
        if not isinstance(u, torch.Tensor) or u.dtype not in (torch.float32, torch.float64):
            kind = u.dtype if isinstance(u, torch.Tensor) else type(u).__name__
            raise InputError(f"P_r^mu takes float32 or float64 tensors, not {kind}")
        if out is not None and (out.shape, out.dtype, out.device) != (u.shape, u.dtype, u.device):
            raise InputError("out: a tensor with the shape, dtype and device of the argument was expected")
        with torch.no_grad():
            if mu == 1 or self.kind == "fixed":
                return self._base(u, out)
            result = torch.empty_like(u, memory_format=torch.contiguous_format) if out is None else out
            direct = result.is_contiguous()
            flat = result.view(-1) if direct else torch.empty(u.numel(), dtype=u.dtype, device=u.device)
            self._fill(mu, u.reshape(-1), flat)
            return result if direct else result.copy_(flat.view(u.shape))

    def _fill(self, mu: float, u: Tensor, out: Tensor) -> None:
        import torch

        size = min(_BLOCK if u.device.type == "cpu" else u.numel(), u.numel())
        if self.kind == "piecewise quadratic":
            self._envelope.move(mu)
        rooms = [torch.empty(size, dtype=torch.float64, device=u.device) for _ in range(3)]
        for first in range(0, u.numel(), max(size, 1)):
            block = u[first : first + size].to(torch.float64)
            if self.kind == "piecewise quadratic":
                found, other, gate = (room[: block.numel()] for room in rooms)
                self._envelope.write(block, found, other, gate)
            else:
                found = root(self._base, self._slope, mu, block, torch)
                ends = torch.isinf(block)
                if bool(ends.any()):
                    found[ends] = self._base(block[ends])
            out[first : first + size].copy_(found)


def _checked(mu: float) -> float:
    found = float(mu) if isinstance(mu, SupportsFloat) else math.nan
    if not 1 <= found < math.inf:
        raise InputError(f"mu: a finite number of at least 1 was expected, not {mu!r:.40}")
    return found


@lru_cache(maxsize=256)
def moving(prepared: Prepared) -> MovingProx:
    """P_r^mu for growing mu of a prepared pair, made once.

    Source: docs/mathematics.md, sections 1 and 2. Raises `InputError` with the reason where the pair has no P and
    r in closed form, where r is neither piecewise quadratic nor convex, and where it falls like -w^2.
    """
    if prepared.prox is None or prepared.regularizer is None:
        raise InputError(f"{prepared.name or 'this pair'}: mu is not advanced: {prepared.note}")
    try:
        return MovingProx(prepared.prox, prepared.regularizer)
    except InputError as refusal:
        raise InputError(f"{prepared.name or 'this pair'}: {refusal}") from None


# --------------------------------------------------------------------------- parameters of a pair


@dataclass(frozen=True)
class Schedule:
    """Parameters of a pair that run together from first to last over the epochs, geometrically or linearly."""

    parameters: tuple[str, ...]
    first: sp.Rational
    last: sp.Rational
    geometric: bool = False

    def value(self, epoch: int, epochs: int) -> sp.Rational:
        """The exact value in an epoch counted from 1, in thousandths between the ends; a single epoch is the last."""
        if epoch == epochs or self.first == self.last:
            return self.last
        if epoch == 1:
            return self.first
        done = (epoch - 1) / (epochs - 1)
        a, b = float(self.first), float(self.last)
        x = a * (b / a) ** done if self.geometric else a + (b - a) * done
        return sp.Rational(round(1000 * x), 1000)


SCHEDULES = {
    **dict.fromkeys(("PC", "PQ", "rPC"), Schedule(("horizontal", "vertical"), sp.Integer(0), sp.Rational(99, 100))),
    "BNN+": Schedule(("beta",), sp.Integer(5), sp.Integer(5)),
    "BNN++": Schedule(("beta",), sp.Integer(5), sp.Integer(100), geometric=True),
}
"""PC, PQ, rPC: both widths, from the identity on [-1, 1] nearly to the projection. BNN+: fixed. Others: defaults."""


class Target(Protocol):
    """What a `PairSchedule` moves: a quantizer or an in-place form."""

    def set(self, **parameters: Any) -> Any:
        """Take new exact values of the pair's parameters."""


_STATE = "proxpair schedule, version 1"


class PairSchedule:
    """Moves parameters of a pair from ``first`` to ``last`` over ``steps`` calls of `step`, linearly or geometrically.

    ``targets`` (one, or several) have a method ``set(**parameters)`` and take the first value at once;
    after k calls of `step` they hold the value of `Schedule` in epoch k + 1 of steps + 1: an exact
    number, in thousandths between the ends, ``last`` for good from call ``steps`` on. A call that changes nothing
    sets nothing. ``parameters``: one name, or several that move together.

    Raises `InputError` for no target, no name, a value that is no exact rational number, a number of
    steps below 1, and a geometric schedule between numbers that are not both positive.
    """

    def __init__(
        self,
        targets: Target | Iterable[Target],
        parameters: str | Iterable[str],
        first: Any,
        last: Any,
        steps: int,
        geometric: bool = False,
    ) -> None:
        found = (targets,) if hasattr(targets, "set") else tuple(targets) if isinstance(targets, Iterable) else ()
        if not found or not all(callable(getattr(t, "set", None)) for t in found):
            raise InputError("targets: one or more objects with a method set(**parameters) were expected")
        several = isinstance(parameters, Iterable) and not isinstance(parameters, str)
        names: tuple[Any, ...] = tuple(parameters) if several else (parameters,)
        if not names or not all(isinstance(n, str) and n for n in names) or len(set(names)) < len(names):
            raise InputError("parameters: one or more different names were expected")
        ends = [as_exact(end, f"{what}: an exact number") for what, end in (("first", first), ("last", last))]
        if not all(end.is_Rational for end in ends):
            raise InputError("first, last: rational numbers were expected")
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise InputError(f"steps: an integer of at least 1 was expected, not {steps!r:.30}")
        if geometric and not all(end > 0 for end in ends):
            raise InputError("a geometric schedule runs between positive numbers")
        self.targets: tuple[Any, ...] = found
        self.schedule = Schedule(names, ends[0], ends[1], bool(geometric))
        self.steps, self.done = steps, 0
        self._value: Any = None
        self._move(0)

    @property
    def value(self) -> Any:
        """The exact value that the targets hold."""
        return self._value

    def step(self) -> None:
        """Move on by one. If a target refuses its value, all keep what they had and the call did not count."""
        self._move(self.done + 1)

    def _move(self, done: int) -> None:
        value = self.schedule.value(min(done, self.steps) + 1, self.steps + 1)
        if value != self._value:
            moved: list[Any] = []
            try:
                for target in self.targets:
                    target.set(**dict.fromkeys(self.schedule.parameters, value))
                    moved.append(target)
            except Exception:
                for target in moved if self._value is not None else ():
                    target.set(**dict.fromkeys(self.schedule.parameters, self._value))
                raise
        self._value, self.done = value, done

    def state_dict(self) -> dict[str, Any]:
        """Strings and integers: the number of calls so far, and the schedule that they belong to."""
        plan = self.schedule
        return {
            "format": _STATE,
            "done": self.done,
            "steps": self.steps,
            "parameters": list(plan.parameters),
            "first": str(plan.first),
            "last": str(plan.last),
            "geometric": plan.geometric,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go to where `state_dict` was taken; the targets take its value.

        Raises `InputError`, and changes nothing, for a state of another schedule or none at all.
        """
        done = state.get("done") if isinstance(state, Mapping) else None
        if isinstance(done, bool) or not isinstance(done, int) or done < 0 or state.get("format") != _STATE:
            raise InputError("the state of a PairSchedule was expected")
        for name, ours in self.state_dict().items():
            if name != "done" and state.get(name) != ours:
                raise InputError(
                    f"the state is of another schedule: its {name} is {state.get(name)!r:.60}, not {ours!r}"
                )
        self._move(done)


__all__ = [
    "SCHEDULES",
    "Arc",
    "MovingProx",
    "PairSchedule",
    "Schedule",
    "Target",
    "envelope",
    "moving",
    "switch",
]
