"""Our proximal maps in torchao's PARQ, and where the two differ.

torchao's `QuantOptimizer` (`torchao.prototype.parq`, Jin et al. 2025, arXiv:2503.15748) is a base
optimizer, a quantizer and a `ProxMap`: each step it moves the latent weights u, asks the quantizer
for target levels Q every ``quant_period`` steps, and puts w = P(u) into the model. Here any proximal
map of ours becomes such a P (`prox_map`), and so does the projection onto any Q (`projection`). Q
moves with the data while an exact map stands still, so the map is carried over to Q:

    by scale   P_Q(u) = v P(u/v),  v = max|Q| / max|levels|;  Q/v must be the levels of P
    by cells   P_Q(u) = c + h P((u - c)/h)  on each cell [c - h, c + h] between neighbours of Q,
               the outer cells reaching to infinity; for a P with the levels -1 and 1 that maps
               [-1, 1] into itself, and any Q

PARQ's optimizer knows no B: it multiplies gradients by 1, so a pair must have B = 1 (T = id, P = F).
All is computed in float64 and rounded once; the levels that come out are the numbers in Q.

Ties. At a midpoint both neighbours are nearest, and the conventions differ (`ties` lists them, and
tests run the list against the package):

    ProxHardQuant, also at the end of ProxPARQ and ProxBinaryRelax    the lower level
    LSBQuantizer, 1 and more bits                                     the upper level
    LSBQuantizer, ternary                                             the lower level
    UnifQuantizer, TernaryUnifQuantizer                               the even multiple of the step
    ours                                                              the upper level, or ``ties``

So torchao turns 0 into 1 on the steps on which LSBQuantizer hands over its own q, and into -1 on the
others. Ties do occur: with optimal=True and a scale per channel, LSBQuantizer makes the magnitude
of one weight the midpoint of two levels. Other differences:

- NaN: ProxHardQuant makes it the highest level, per channel the lowest; ours keeps it;
- LSBQuantizer computes q = u - residual, so its q misses the levels by rounding; with two bits and
  the second scale above the first (a few weights much larger than the rest) its q is not nearest and
  not even monotone in u, so on those steps PARQ applies no proximal map;
- ProxPARQ leaves weights beyond the outermost levels alone before anneal_start and clamps them from
  then on; with anneal_center > 1/2 its first slopes are below 1, and its map jumps at the levels.

torchao is imported when a map is made, not before.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import sympy as sp

from theory.catalogue import lookup
from theory.errors import InputError
from theory.exact import X, as_exact, equal, less, to_float
from theory.graphs import check_monotone
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair
from theory.parser import parse_constant
from verify.lowering import Lowered
from verify.prepared import Prepared, default_levels, resolved
from verify.runs import pair_spec

if TYPE_CHECKING:
    from torch import Tensor

Parameters = Mapping[str, Any]
State = Parameters | Literal["hard"] | None
"""Parameters of a pair in one step; "hard": the projection onto Q; None: the weights stay as they are."""

Plan = Callable[[int], State] | Sequence[tuple[int, State]] | Parameters
"""step_count -> `State`; or rows (first step, state), before the first row None; or the same parameters always."""

Ties = Literal["up", "down"]

_TINY = 1e-150
"""Least scale: u/v is finite for any usual u, and v P(u/v) is the limit for v = 0."""


# --------------------------------------------------------------------------- plans


def relaxing(anneal_start: int, anneal_end: int) -> Callable[[int], State]:
    """The plan of torchao's ProxBinaryRelax, for the entry BinaryRelax: theta = (step - start)/(end - start).

    None before start, "hard" from end on. Raises `InputError` unless anneal_start < anneal_end.
    """
    _check_order(anneal_start, anneal_end)

    def plan(step: int) -> State:
        if step < anneal_start:
            return None
        if step >= anneal_end:
            return "hard"
        return {"theta": (step - anneal_start) / (anneal_end - anneal_start)}

    return plan


def annealing(
    anneal_start: int, anneal_end: int, steepness: float = 10, anneal_center: float = 0.5
) -> Callable[[int], State]:
    """The plan of torchao's ProxPARQ, for the entries PARQ and PARQ-binary.

    With f = (step - start)/(end - start), s the logistic function and k the steepness,

        inverse = (s(-k (f - center)) - s(-k/2)) / (s(k/2) - s(-k/2)),  at least 2^-126;

    None before start, "hard" from end on. Raises `InputError` unless start < end, steepness > 0 and
    center <= 1/2 (beyond 1/2 the first values exceed 1, where ProxPARQ is another map than the entries).
    """
    _check_order(anneal_start, anneal_end)
    if not steepness > 0:
        raise InputError(f"steepness: a positive number was expected, not {steepness!r:.30}")
    if not anneal_center <= 0.5:
        raise InputError(f"anneal_center: a number of at most 1/2 was expected, not {anneal_center!r:.30}")

    def plan(step: int) -> State:
        if step < anneal_start:
            return None
        if step >= anneal_end:
            return "hard"
        # the arithmetic of torchao, so that the slopes are the same floats
        done = (step - anneal_start) / (anneal_end - anneal_start)
        at = 1 / (1 + math.exp(steepness * (done - anneal_center)))
        first, last = 1 / (1 + math.exp(-0.5 * steepness)), 1 / (1 + math.exp(0.5 * steepness))
        return {"inverse": max(2.0**-126, (at - last) / (first - last))}

    return plan


def _check_order(anneal_start: int, anneal_end: int) -> None:
    if not anneal_start < anneal_end:
        raise InputError(f"anneal_start < anneal_end was expected, not {anneal_start!r:.20} and {anneal_end!r:.20}")


def _planned(plan: Plan) -> Callable[[int], State]:
    if callable(plan):
        return plan
    if isinstance(plan, Mapping):
        always: State = plan
        return lambda _: always
    try:
        rows = [(int(first), state) for first, state in plan]
    except (TypeError, ValueError):
        rows = []
    if not rows or any(a[0] >= b[0] for a, b in pairwise(rows)):
        raise InputError("plan: rows (first step, parameters) with increasing steps were expected")

    def at(step: int) -> State:
        return next((state for first, state in reversed(rows) if step >= first), None)

    return at


# --------------------------------------------------------------------------- the exact map of a step


class _Source:
    """parameters -> P, exact and as a kernel; the last one is kept."""

    def __init__(self, source: Any, cells: bool) -> None:
        self.cells, self.entry, self.pair = cells, None, None
        if isinstance(source, str):
            spec = pair_spec(source)
            self.name = spec.name
            if spec.forward is None:
                self.entry = lookup(spec.name)
            else:
                self.pair = spec.pair()
        elif isinstance(source, PiecewiseMap):
            self.name, self.pair = "the map", QuantizerPair(source, PiecewiseMap.of(1))
        elif isinstance(source, Prepared | QuantizerPair):
            self.pair = source.pair if isinstance(source, Prepared) else source
            self.name = self.pair.name or "the pair"
        else:
            raise InputError("a pair, the name of one or a proximal map was expected")
        slope = None if self.entry is None else self.entry.params.get("inverse")
        self.inverse = None if slope is None else to_float(parse_constant(slope, "inverse"))
        self.made: tuple[Any, Lowered] | None = None

    def exact(self, parameters: Parameters) -> PiecewiseMap:
        if self.entry is not None:
            pair = self.entry.pair(**parameters)
        elif parameters:
            raise InputError("parameters belong to a pair of the catalogue; this one was given as maps")
        else:
            assert self.pair is not None
            pair = self.pair
        if pair.backward.constant is None or not equal(pair.backward.constant, sp.Integer(1)):
            raise InputError(f"{self.name}: PARQ's optimizer multiplies gradients by 1; a pair with B = 1 was expected")
        found = resolved(pair.forward)
        check_monotone(found)
        if self.cells:
            _check_cell(found, self.name)
        return found

    def kernel(self, parameters: Parameters) -> Lowered:
        key = {k: _exact(k, v) for k, v in parameters.items()}
        if self.made is None or self.made[0] != key:
            from verify.kernels import Kernel

            self.made = (key, Kernel(self.exact(key)))  # not kept: an annealed parameter is seen once
        return self.made[1]


def _exact(name: str, value: Any) -> Any:
    """The exact value of a parameter; a float is the rational number that it is."""
    if isinstance(value, float):
        if not math.isfinite(value):
            raise InputError(f"parameter {name}: a finite number was expected, not {value}")
        return sp.Rational(value)
    return as_exact(value, f"parameter {name}: an exact number or a float")


def _check_cell(m: PiecewiseMap, name: str) -> None:
    """Raise `InputError` unless P maps (-1, 1) into [-1, 1]: then its copies on all cells make one monotone map."""
    one = sp.Integer(1)
    for at, inwards in ((-one, 1), (one, -1)):
        k = m.piece_at(at)
        if k is not None:
            end = m.exprs[k].subs(X, at)
        else:
            i = next(i for i, b in enumerate(m.breaks) if equal(b, at))
            end = m.right(i) if inwards > 0 else m.left(i)
        if less(end, -one) if inwards > 0 else less(one, end):
            raise InputError(f"{name}: by cells a map of [-1, 1] into itself was expected, and P has {end} beside {at}")


# --------------------------------------------------------------------------- on tensors


def _columns(p: Tensor, Q: Tensor, dim: int | None, dtype: Any) -> Tensor:
    """Q in increasing order, (K,) for the whole tensor or (rows of p, K)."""
    fits = Q.dim() == 1 if dim is None else (Q.dim() == p.dim() == 2 and Q.shape[0] == p.shape[0] and dim in (1, -1))
    if not fits or Q.shape[-1] < 2:
        shape = "(K,)" if dim is None else "(rows, K), for weights (rows, columns) and dim = -1,"
        raise InputError(f"Q: levels of shape {shape} with K >= 2 were expected, not {tuple(Q.shape)}")
    if not (p.is_floating_point() and Q.is_floating_point()):
        raise InputError(f"weights and levels in floating point were expected, not {p.dtype} and {Q.dtype}")
    return Q.to(dtype).sort(dim=-1).values


def _index(x: Tensor, edges: Tensor, ties: Ties) -> Tensor:
    """The number of edges below x, those equal to x counted with "up" only; edges (K,) or (rows of x, K)."""
    import torch

    if edges.dim() == 1:
        return torch.bucketize(x, edges.contiguous(), right=ties == "up")
    a, b = x.unsqueeze(-1), edges.unsqueeze(1)
    return (a >= b if ties == "up" else a > b).sum(dim=-1)


def _pick(values: Tensor, index: Tensor) -> Tensor:
    return values[index] if values.dim() == 1 else values.gather(1, index)


def _nearest(p: Tensor, Q: Tensor, dim: int | None, ties: Ties) -> Tensor:
    import torch

    targets = _columns(p, Q, dim, torch.promote_types(p.dtype, Q.dtype))
    # the midpoints of torchao, in its arithmetic
    found = _pick(targets, _index(p.to(targets.dtype), (targets[..., :-1] + targets[..., 1:]) / 2, ties))
    return torch.where(p.isnan(), p.to(targets.dtype), found)


def _by_cells(prox: Lowered, p: Tensor, Q: Tensor, dim: int | None) -> Tensor:
    import torch

    targets, x = _columns(p, Q, dim, torch.float64), p.to(torch.float64)
    inner = targets[..., 1:-1]
    cell = _index(x, inner, "up") if inner.shape[-1] else torch.zeros_like(x, dtype=torch.int64)
    low, high = _pick(targets[..., :-1], cell), _pick(targets[..., 1:], cell)
    centre, half = (low + high) / 2, ((high - low) / 2).clamp_(min=_TINY)
    w = prox((x - centre) / half)
    found = centre + half * w
    return torch.where(w == 1, high, torch.where(w == -1, low, found))


def _by_scale(prox: Lowered, p: Tensor, Q: Tensor, dim: int | None, levels: Sequence[float], name: str) -> Tensor:
    import torch

    targets = _columns(p, Q, dim, torch.float64)
    if targets.shape[-1] != len(levels):
        raise InputError(f"{name} has {len(levels)} levels, and Q has {targets.shape[-1]}")
    largest = targets.abs().amax(dim=-1, keepdim=dim is not None)
    ours = torch.tensor(levels, dtype=torch.float64, device=Q.device)
    scale = largest / float(ours.abs().max())
    wide = scale if dim is not None else scale.unsqueeze(-1)
    rounding = 8 * torch.finfo(Q.dtype).eps * (largest if dim is not None else largest.unsqueeze(-1))
    if bool(((targets - wide * ours).abs() > rounding).any()):
        raise InputError(f"{name}: Q divided by its scale is not {', '.join(f'{q:g}' for q in levels)}")
    scale = scale.clamp(min=_TINY)
    w = prox(p.to(torch.float64) / scale)
    found = w * scale
    for k, level in enumerate(levels):
        found = torch.where(w == level, targets[..., k] if dim is None else targets[:, k : k + 1], found)
    return found


# --------------------------------------------------------------------------- torchao's interface


@lru_cache(maxsize=1)
def _classes() -> tuple[Any, Any]:
    """Subclasses of torchao's ProxMap: (of `prox_map`, of `projection`)."""
    try:
        from torchao.prototype.parq.optim import ProxMap
    except ImportError:
        raise InputError("PARQ is a part of torchao, which is not installed: pip install torchao") from None
    import torch

    class Projection(ProxMap):
        def __init__(self, ties: Ties, given: bool) -> None:
            self.ties, self.given = ties, given

        @torch.no_grad()
        def apply_(self, p: Tensor, q: Tensor | None, Q: Tensor, step_count: int, dim: int | None = None) -> None:
            p.copy_(q if q is not None and self.given else _nearest(p, Q, dim, self.ties))

    class ExactProxMap(ProxMap):
        def __init__(self, source: _Source, plan: Callable[[int], State], levels: Sequence[float], hard: Any) -> None:
            self.source, self.plan, self.levels, self.hard = source, plan, levels, hard

        @torch.no_grad()
        def apply_(
            self, p: Tensor, q: Tensor | None, Q: Tensor, step_count: int, dim: int | None = None
        ) -> float | None:
            state, source = self.plan(step_count), self.source
            if isinstance(state, Mapping):
                prox = source.kernel(state)
                if source.cells:
                    p.copy_(_by_cells(prox, p, Q, dim))
                else:
                    p.copy_(_by_scale(prox, p, Q, dim, self.levels, source.name))
                return None if source.inverse is None else float(state.get("inverse", source.inverse))
            if state == "hard":
                self.hard.apply_(p, q, Q, step_count, dim=dim)
            elif state is not None:
                raise InputError(f"plan: parameters, 'hard' or None were expected, not {state!r:.30}")
            return None if source.inverse is None else 1.0 if state is None else 0.0

    return ExactProxMap, Projection


def prox_map(
    source: str | QuantizerPair | Prepared | PiecewiseMap,
    plan: Plan | None = None,
    *,
    levels: Sequence[Any] | None = None,
    cells: bool = False,
    ties: Ties = "up",
    given: bool = False,
) -> Any:
    """A proximal map of ours as a `torchao.prototype.parq.optim.ProxMap`: u <- P_Q(u), by scale or by cells.

    ``source``: a pair with B = 1 (a catalogue name, F ; B as text, or the object) or a monotone map; its
    ties are resolved to the upper limit (sign(0) = 1). ``plan``: the parameters of a catalogued pair in
    each step, floats allowed and taken as the rationals they are (`relaxing`, `annealing`, `Plan`);
    without it the map stands still. ``levels``: those of P, if not `verify.prepared.default_levels`.
    ``ties``, ``given``: for "hard" steps, see `projection`. Where the pair has a parameter "inverse",
    ``apply_`` returns its value (1 for None, 0 for "hard"), as ProxPARQ does.

    Raises `InputError` where torchao is missing, B is not 1 or P not monotone, here or in ``apply_``;
    in ``apply_`` also for a Q that P does not fit, which leaves the weights as they were.
    """
    exact_prox_map, _ = _classes()
    made = _Source(source, cells)
    at = _planned({} if plan is None else plan)
    first = made.exact({k: _exact(k, v) for k, v in plan.items()} if isinstance(plan, Mapping) else {})
    chosen = default_levels(first) if levels is None else [as_exact(q, "a level: an exact number") for q in levels]
    floats = sorted(to_float(q) for q in chosen)
    if len(set(floats)) < max(len(floats), 2):
        raise InputError("levels: two or more different exact numbers were expected")
    if cells and floats != [-1.0, 1.0]:
        raise InputError(f"{made.name}: by cells a map with the levels -1 and 1 was expected")
    return exact_prox_map(made, at, floats, projection(ties, given))


def projection(ties: Ties = "up", given: bool = False) -> Any:
    """u -> the level of Q nearest to u, as a `torchao.prototype.parq.optim.ProxMap`; Q uneven or per channel too.

    ``ties``: the upper or the lower of two nearest levels; "down" is ProxHardQuant, bit for bit on
    steps without q. ``given``: where the quantizer hands over its own q, that is taken, as torchao
    does; else always the numbers in Q. NaN stays NaN. Raises `InputError` where torchao is missing.
    """
    if ties not in ("up", "down"):
        raise InputError(f"ties: 'up' or 'down' was expected, not {ties!r:.30}")
    return _classes()[1](ties, given)


# --------------------------------------------------------------------------- where the two differ


@dataclass(frozen=True)
class Tie:
    """One weight at which torchao's result and ours may differ.

    ``what``: the proximal map, applied to ``at`` on ``levels`` (half way through its annealing, or
    after its end); or a quantizer of ``bits`` that gets the ``weights`` and finds the levels itself.
    ``torchao``: its result; ``ours``: that of `projection`, or of `prox_map` by cells while relaxing.
    """

    what: str
    at: float
    torchao: float
    ours: float
    levels: tuple[float, ...] = ()
    weights: tuple[float, ...] = ()
    bits: int | None = None

    @property
    def differs(self) -> bool:
        return self.torchao != self.ours and not (math.isnan(self.torchao) and math.isnan(self.ours))


_TWO, _THREE = (-1.0, 1.0), (-1.0, 0.0, 1.0)
_UNEVEN, _EVEN = (-1.5, -1.0, 0.0, 0.5, 1.0, 2.0), (-1.5, -1.0, 0.0, 1.0, 1.5)
_HALVES = (-1.5, -0.5, 0.5, 1.5)


def ties() -> tuple[Tie, ...]:
    """The kinds of weights at which torchao and we choose by convention: every midpoint is like one of them."""
    return (
        Tie("ProxHardQuant", 0.0, -1.0, 1.0, _TWO),
        Tie("ProxHardQuant", -0.5, -1.0, 0.0, _THREE),
        Tie("ProxHardQuant", 0.5, 0.0, 1.0, _THREE),
        Tie("ProxHardQuant", math.nan, 1.0, math.nan, _TWO),
        Tie("ProxHardQuant per channel", 0.0, -1.0, 1.0, _TWO),
        Tie("ProxHardQuant per channel", math.nan, -1.0, math.nan, _TWO),
        Tie("ProxBinaryRelax half way", 0.0, -0.5, 0.5, _TWO),
        Tie("ProxBinaryRelax at its end", 0.0, -1.0, 1.0, _TWO),
        Tie("ProxPARQ half way", 0.0, 0.0, 0.0, _TWO),
        Tie("ProxPARQ half way", -0.5, -0.5, -0.5, _THREE),
        Tie("ProxPARQ half way", 0.0, 0.0, 0.0, _THREE),
        Tie("ProxPARQ at its end", 0.0, -1.0, 1.0, _TWO),
        Tie("LSBQuantizer", 0.0, 0.875, 0.875, weights=(-2.0, 0.0, 0.5, 1.0), bits=1),
        Tie("LSBQuantizer", -1.0, -0.5, -0.5, weights=_UNEVEN, bits=2),
        Tie("LSBQuantizer", 0.0, 0.5, 0.5, weights=_UNEVEN, bits=2),
        Tie("LSBQuantizer", 1.0, 1.5, 1.5, weights=_UNEVEN, bits=2),
        Tie("LSBQuantizer", -0.5, -1.0, 0.0, weights=_HALVES, bits=0),
        Tie("LSBQuantizer", 0.5, 0.0, 1.0, weights=_HALVES, bits=0),
        Tie("UnifQuantizer", 0.0, 1.0, 1.0, weights=(-2.0, -1.0, 0.0, 1.0, 1.0), bits=1),
        Tie("UnifQuantizer", -1.0, -1.5, -0.5, weights=_EVEN, bits=2),
        Tie("UnifQuantizer", 0.0, 0.5, 0.5, weights=_EVEN, bits=2),
        Tie("UnifQuantizer", 1.0, 0.5, 1.5, weights=_EVEN, bits=2),
        Tie("TernaryUnifQuantizer", -0.5, 0.0, 0.0, weights=_HALVES, bits=0),
        Tie("TernaryUnifQuantizer", 0.5, 0.0, 1.0, weights=_HALVES, bits=0),
    )


__all__ = [
    "Plan",
    "State",
    "Tie",
    "annealing",
    "projection",
    "prox_map",
    "relaxing",
    "ties",
]
