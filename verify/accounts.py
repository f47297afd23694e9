"""The convergence identity as an account that a training run carries, in torch.

With r_t = mu_t r + |.|^2/2 and D_t(w) = r_t(w) - r_t(v_t) - <w - v_t, u_t>, for any g_t, any v_t and
any w at which r is finite, u_{t+1} = u_t - eta_t g_t gives

    sum eta_t [ <v_t - w, g_t> + r(v_t) - r(w) ] = D_1(w) - D_{T+1}(w) + sum D_{t+1}(v_t)

where mu_{t+1} = mu_t + eta_t; where mu stays, the r terms on the left are absent (docs/mathematics.md, section 4).
`Account` is the one implementation; `TrainingLedger` keeps one account for each quantized weight of
a network while an ordinary training loop runs.

The identity is algebra: it closes for a wrong P too. That v_t is the proximal point of u_t shows in
``min_D``, the least coordinate of every D looked at (at most 0): negative means that P does not
minimise r_t - <., u_t>.

Importing this module imports torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize
from torch.optim import Optimizer

from theory.errors import InputError, Undecided
from theory.files import write_csv
from theory.maps import OO, PiecewiseMap
from verify.block_steps import plain
from verify.inplace import InPlace, Outermost, Slot, count, is_identity
from verify.kernels import kernel
from verify.ledger import domain
from verify.lowering import lower
from verify.prepared import Prepared
from verify.quantizers import PairQuantizer

Map = Callable[[Tensor], Tensor]
BLOCK = 1 << 18
"""Bytes of a row per block on a CPU: the half dozen tensors of a block stay in the second cache."""


# --------------------------------------------------------------------------- one account


@dataclass(frozen=True)
class Entry:
    """One state of an account, each field of shape (S,), float64, sums from the first step on."""

    left: Tensor
    d_first: Tensor
    d_last: Tensor
    d_sum: Tensor
    abs_sum: Tensor
    closure_error: Tensor
    residual: Tensor
    drift: Tensor
    min_d: Tensor


def _or_none(r: Tensor) -> Tensor | None:
    """None for zeros."""
    return r if bool(r.any()) else None


class Account:
    """Both sides of the identity, step by step; sums over coordinates and steps in float64.

    r_t as in the module's text, with mu = 1 where mu is None. Besides the steps, r itself may be
    exchanged between two steps (`move`, as for a pair with a schedule): a step with eta = 0, whose
    terms mu (r_new - r_old)(v_t) - mu (r_new - r_old)(w) are summed in *drift* and belong to left. A
    transform that moves leaves r alone.

    The comparators are ``w``, one or several, v_1 without it; then D_1(w) = 0. ``abs_sum`` adds up
    the absolute values of the terms of all steps: eta_t <v_t - w, g_t>, the r terms, the drifts,
    D_{t+1}(v_t), D_1(w) and the last D(w). ``min_d`` is the least coordinate of the D_{t+1}(v_t) and
    D_{t+1}(w) of every ``every``-th step and of the D(w) that `entry` reports. ``residual`` is
    sum D_{t+1}(v_t) / sum eta_t. Shapes: u, v, g, w (S, d); S rows are S accounts.

    float32 weights: the coordinates of a term are computed in float32, which costs 6e-8 of each.
    Tensors are kept, not copied: none may change before the next step (u may, in that step).

    ``vanishes``: r is 0 at every point of P's range, and r(v) is not evaluated. ``flat``: r(v) + v^2/2
    is also the same number at all of them, and all comparators are such points: then D(w) = -<w - v, u>.
    ``euclidean``: P = id, r = 0: then D(w) = |w - v|^2/2. ``count``: ``changed`` counts the
    coordinates in which v differs from the one before, at every ``every``-th step. Source:
    docs/mathematics.md, section 4.
    """

    def __init__(
        self,
        u: Tensor,
        v: Tensor,
        r: Map,
        w: Tensor | Sequence[Tensor] | None = None,
        *,
        mu: float | None = None,
        every: int = 1,
        vanishes: bool = False,
        flat: bool = False,
        euclidean: bool = False,
        count: bool = False,
    ) -> None:
        self.ws: tuple[Tensor, ...] = (v,) if w is None else (w,) if isinstance(w, Tensor) else tuple(w)
        self.u, self.v, self.r, self.mu = u, v, r, mu
        self.every, self.count = every, count
        self.vanishes, self.flat, self.euclidean = vanishes, flat, euclidean
        self.r_v = None if vanishes else r(v)
        self.r_ws: tuple[Tensor | None, ...] = tuple(self.r_v if c is v else _or_none(r(c)) for c in self.ws)
        self._single = u.shape[0] == 1
        self._numbers = self._single and u.device.type == "cpu"  # adding numbers up there is cheaper than tensors
        columns = max(u.shape[1], 1)
        self._width = min(BLOCK // u.element_size(), columns) if u.device.type == "cpu" else columns
        room = (self._width,) if self._single else (u.shape[0], self._width)
        self._rooms = [torch.empty(room, dtype=u.dtype, device=u.device) for _ in range(2)]
        self._least: list[Tensor] = []
        self._clear()
        self._zero = torch.zeros(u.shape[0], dtype=torch.float64, device=u.device)
        self.left = [self._zero] * len(self.ws)
        self.terms = [self._zero] * len(self.ws)
        self.drifts = [self._zero] * len(self.ws)
        self.d_sum = self.min_d = self.changed = self._zero
        self.etas = 0.0
        self.steps = 0
        self._look()
        self.d_first = self.d_last

    @property
    def w(self) -> Tensor:
        """The first comparator."""
        return self.ws[0]

    def _split(self, t: Tensor | None) -> Sequence[Any]:
        """The blocks of a tensor: rows of S, or for S = 1 vectors, which cost a third less to handle."""
        if t is None:
            return [None] * max(1, -(-self.u.shape[1] // self._width))
        return t.view(-1).split(self._width) if self._single else t.split(self._width, dim=1)

    def _room(self, k: int, like: Tensor) -> Tensor:
        if self._rooms[k].shape[-1] < like.shape[-1]:
            self._rooms[k] = torch.empty_like(like)
        room = self._rooms[k]
        return room if room.shape == like.shape else room[..., : like.shape[-1]]

    def _total(self, parts: Sequence[Tensor | float]) -> Tensor:
        tensors = [part for part in parts if isinstance(part, Tensor)]
        if len(tensors) < len(parts):
            return torch.full_like(self._zero, sum(map(float, parts)))
        return torch.stack(tensors).to(torch.float64).sum(dim=0).view_as(self._zero) if tensors else self._zero

    def _dot(self, a: Tensor, b: Tensor) -> Tensor:
        """<a, b> of one block; a may be overwritten."""
        return torch.dot(a, b) if self._single else a.mul_(b).sum(dim=1)

    def _block(self, at: Tensor, v: Tensor, u: Tensor, r_at: Tensor | None, r_v: Tensor | None, look: bool) -> Tensor:
        """D(at) of one block; ``look``: also keep its least coordinate, which needs every coordinate of D.

        Grouped so that D(v) is exactly 0, and a small D is no difference of large numbers.
        """
        d = self._room(0, at)
        if self.flat:
            torch.sub(v, at, out=d)
            if not look:
                return self._dot(d, u)
            d.mul_(u)
        else:
            torch.sub(at, v, out=d)
            if self.euclidean:
                return 0.5 * self._dot(d, d)
            b = torch.sub(v, u, out=self._room(1, at)).add_(d, alpha=0.5)
            if not look and r_at is None and r_v is None:
                return self._dot(d, b)
            d.mul_(b)
            mu = 1.0 if self.mu is None else self.mu
            for r, factor in ((r_at, mu), (r_v, -mu)):
                if r is not None:
                    d.add_(r, alpha=factor)
        if look and d.shape[-1]:
            self._least.append(d.amin(dim=-1))
        return d.sum(dim=-1)

    def _keep_least(self) -> None:
        if self._least:
            least = torch.stack(self._least).amin(dim=0).view_as(self._zero)
            self.min_d = torch.minimum(self.min_d, least.to(torch.float64))
            self._least = []

    def _look(self) -> None:
        """D(w) at every comparator."""
        self.d_last = [self._divergence(w, r_w) for w, r_w in zip(self.ws, self.r_ws, strict=True)]
        self._keep_least()
        self._current = True

    def _divergence(self, at: Tensor, r_at: Tensor | None) -> Tensor:
        pieces = map(self._split, (at, self.v, self.u, r_at, self.r_v))
        return self._total([self._block(a, v, u, r_a, r, True) for a, v, u, r_a, r in zip(*pieces, strict=True)])

    def step(
        self,
        eta: float,
        g: Tensor,
        u: Tensor,
        v: Tensor,
        mu: float | None = None,
        *,
        displaced: bool = False,
        overwrite: bool = False,
        look: bool | None = None,
    ) -> None:
        """Record u_{t+1} = u, the latent weights after the step -eta g, and v its proximal point.

        ``mu`` is mu_{t+1} where mu advances. ``displaced``: g is u_t - u_{t+1} itself, that is eta g.
        ``overwrite``: v will change, so it is copied into the tensor of v_t. ``look``: whether this is one of
        the steps looked at more closely, instead of every ``every``-th.
        """
        old_v, r_old_v = self.v, self.r_v
        if mu is not None:
            for k, r_w in enumerate(self.r_ws):
                self._left(k, eta * self._difference(r_old_v, r_w))
        self.u, self.mu = u, mu
        self.v = old_v if overwrite else v
        self.r_v = None if self.vanishes else self.r(v)
        self.etas += eta
        self.steps += 1
        look = self.steps % self.every == 0 if look is None else look
        inner: list[list[Tensor]] = [[] for _ in self.ws]
        divergences, changes = [], []
        pieces = map(self._split, (g, old_v, v, u, r_old_v, self.r_v, *self.ws))
        for g_i, old_i, v_i, u_i, r_old_i, r_i, *w_i in zip(*pieces, strict=True):
            difference = self._room(0, old_i)
            for parts, w in zip(inner, w_i, strict=True):
                parts.append(self._dot(torch.sub(old_i, w, out=difference), g_i))
            if look and self.count:
                # a comparison written as 0 and 1 of its own type costs a seventh of one written as bools
                changes.append(torch.ne(old_i, v_i, out=difference).sum(dim=-1))
            divergences.append(self._block(old_i, v_i, u_i, r_old_i, r_i, look))
            if overwrite:
                old_i.copy_(v_i)
        for k, parts in enumerate(inner):
            self._left(k, (1.0 if displaced else eta) * self._total(parts))
        self._arrive(self._total(divergences))
        self.changed = self._total(changes)
        if look:
            self._look()

    def step_ahead(self, eta: float, g: Tensor, u: Tensor, *, displaced: bool = False) -> None:
        """`step` for ``flat``, while v_t is there and before the caller writes v_{t+1} = P(u) over it.

        P is c sign then, and D_{t+1}(v_t) = -2 sum min(v_t u_{t+1}, 0): the weights that flip. Two tensors
        less to read, and none to write. No step with D(w).
        """
        for g_i, v_i, u_i, *w_i in zip(*map(self._split, (g, self.v, u, *self.ws)), strict=True):
            self.add_ahead(g_i, v_i, u_i, w_i)
        self.end_ahead(eta, u, displaced=displaced)

    def add_ahead(self, g: Tensor, v: Tensor, u: Tensor, ws: Sequence[Tensor]) -> None:
        """A piece of `step_ahead`: vectors for S = 1, rows otherwise."""
        room = self._room(0, v)
        for parts, w in zip(self._inner, ws, strict=True):
            part = self._dot(torch.sub(v, w, out=room), g)
            parts.append(part.item() if self._numbers else part)
        below = torch.mul(v, u, out=room).clamp_max_(0).sum(dim=-1)
        self._below.append(below.item() if self._numbers else below)

    def end_ahead(self, eta: float, u: Tensor, *, displaced: bool = False) -> None:
        """The end of `step_ahead`, when all pieces were added."""
        inner, below = self._inner, self._below
        self._clear()
        self.u = u
        self.etas += eta
        self.steps += 1
        for k, parts in enumerate(inner):
            self._left(k, (1.0 if displaced else eta) * self._total(parts))
        self._arrive(-2 * self._total(below))

    def _clear(self) -> None:
        self._inner: list[list[Tensor | float]] = [[] for _ in self.ws]
        self._below: list[Tensor | float] = []

    def _arrive(self, d: Tensor) -> None:
        self._keep_least()
        self.d_sum = self.d_sum + d
        size = d.abs()
        self.terms = [t + size for t in self.terms]
        self._current = False

    def _left(self, k: int, term: Tensor) -> None:
        self.left[k] = self.left[k] + term
        self.terms[k] = self.terms[k] + term.abs()

    def _difference(self, a: Tensor | None, b: Tensor | None) -> Tensor:
        """sum over the coordinates of a - b, where None stands for zeros."""
        if a is None or b is None:
            found = self._zero if a is None else a.to(torch.float64).sum(dim=1)
            return found if b is None else found - b.to(torch.float64).sum(dim=1)
        return (a.to(torch.float64) - b).sum(dim=1)

    def move(self, v: Tensor, r: Map, *, vanishes: bool = False, euclidean: bool = False) -> None:
        """Exchange r at unchanged latent weights; v is their proximal point under the new r.

        Raises `InputError`, and changes nothing, where the new r is infinite at v_t or a comparator.
        """
        mu = 1.0 if self.mu is None else self.mu
        r_old_v, r_ws = r(self.v), tuple(r(c) for c in self.ws)
        if not all(bool(torch.isfinite(values).all()) for values in (r_old_v, *r_ws)):
            raise InputError("an r that is finite at v_t and at the comparators was expected")
        for k, (new, old) in enumerate(zip(r_ws, self.r_ws, strict=True)):
            own, other = self._difference(r_old_v, self.r_v), self._difference(new, old)
            drift = mu * (own - other)
            self._left(k, drift)
            self.drifts[k] = self.drifts[k] + drift
        old_v = self.v
        # the comparators may lie outside the new range, where the short form of D does not hold
        self.vanishes, self.flat, self.euclidean = vanishes, False, euclidean
        self.r, self.v, self.r_v, self.r_ws = r, v, None if vanishes else r(v), r_ws
        self._arrive(self._divergence(old_v, r_old_v))
        self._look()

    def entry(self, k: int = 0) -> Entry:
        """The account of the k-th comparator; closure_error is |left - right| / abs_sum, 0 where nothing has moved."""
        if not self._current:
            self._look()
        right = self.d_first[k] - self.d_last[k] + self.d_sum
        abs_sum = self.terms[k] + self.d_first[k].abs() + self.d_last[k].abs()
        gap = (self.left[k] - right).abs()
        error = torch.where(gap == 0, torch.zeros_like(gap), gap / abs_sum)
        residual = self.d_sum / self.etas if self.etas else torch.zeros_like(gap)
        return Entry(
            self.left[k],
            self.d_first[k],
            self.d_last[k],
            self.d_sum,
            abs_sum,
            error,
            residual,
            self.drifts[k],
            self.min_d,
        )


# --------------------------------------------------------------------------- what a pair allows


@dataclass(frozen=True)
class Terms:
    """r as a map of tensors, and which terms of the account need no work (see `Account`)."""

    r: Map
    vanishes: bool
    flat: bool
    euclidean: bool


def regularizing(r: PiecewiseMap) -> Map:
    """r coordinate-wise, +inf outside its domain; the constant 0 costs nothing.

    A level at the end of the domain may be no float of v's type, and P gives the nearest one: within
    4 units of rounding beyond an end r takes the value at that end.
    """
    if r.constant == 0:
        return torch.zeros_like
    exact, parts = lower(r, "torch"), domain(r)
    low, high = parts[0][0], parts[-1][1]

    def values(v: Tensor) -> Tensor:
        inside = v.to(torch.float64).clamp(low, high)
        off = (v - inside).abs() > 4 * torch.finfo(v.dtype).eps * inside.abs()
        return exact(torch.where(off, v.to(torch.float64), inside)).to(v.dtype)

    return values


@lru_cache(maxsize=256)
def terms_of(prepared: Prepared, advance: bool = False) -> Terms:
    """What the account of a pair has to evaluate, decided exactly on the range of P.

    Where mu advances, P_r^mu has other values than P in general, and only r = 0 is known to vanish.
    """
    prox, r = prepared.prox, prepared.regularizer
    assert prox is not None
    assert r is not None
    zero = r.constant == 0
    vanishes = flat = zero
    if not zero and not advance:
        try:
            on_range = r.compose(prox)
            vanishes = on_range.constant == 0 and all(v == 0 for v in on_range.values)
        except (InputError, Undecided):
            vanishes = False
    flat = False
    if vanishes and not advance and all(not e.free_symbols for e in prox.exprs):
        squares = {(e**2) for e in (*prox.exprs, *prox.values) if e is not None and e is not OO}
        flat = len(squares) == 1
    return Terms(regularizing(r), bool(vanishes), flat, zero and is_identity(prox))


# --------------------------------------------------------------------------- the ledger of a training run

COLUMNS = (
    *("step", "layer", "comparator", "lr", "left", "D_first", "D_last", "D_sum", "abs_sum", "closure_error"),
    *("residual", "flips", "negative_backward", "sum_eta", "drift", "min_D", "form"),
)
TOTAL = "total"
Comparator = str | Mapping[str, Tensor]


class _Layer:
    """One quantized weight with its account, and where its u, v, P and r come from."""

    def __init__(
        self, name: str, parameter: Tensor, group: int, owner: InPlace | None, quantizer: PairQuantizer | None
    ) -> None:
        if parameter.dtype not in (torch.float32, torch.float64):
            raise InputError(f"{name}: a ledger takes float32 or float64 weights, not {parameter.dtype}")
        self.name, self.parameter, self.group = name, parameter, group
        self.owner, self.quantizer = owner, quantizer
        self.slot: Slot | None = None if owner is None else owner.slot(parameter)
        self.prepared = self.current()
        self.advance = owner is not None and owner.advances
        if self.prepared.prox is None or self.prepared.regularizer is None:
            raise InputError(f"{name}: {self.prepared.name or 'the pair'} has no ledger ({self.prepared.note})")
        self.terms = terms_of(self.prepared, self.advance)
        self.given: list[Comparator] = []
        self.every = 1
        self.ended = ""
        self.active = self.displaced = self.recorded = self.due = self.live = False
        self.fresh: Tensor | None = None
        self.eta = self.negative = 0.0
        self.flips = 0

    # ---- what the model has

    def current(self) -> Prepared:
        if self.owner is not None:
            return self.owner.prepared
        assert self.quantizer is not None
        return self.quantizer.prepared

    @property
    def u(self) -> Tensor:
        return self.parameter.detach() if self.slot is None else self.slot.u

    @property
    def mu(self) -> float | None:
        return self.slot.mu if self.slot is not None and self.advance else None

    @property
    def mark(self) -> tuple[int, int]:
        """Changes when latent weights come from somewhere else than a step."""
        if self.owner is not None:
            return (self.owner.generation, 0)
        return (self.parameter._version, self.parameter.data_ptr())

    def point(self, u: Tensor, out: Tensor | None = None) -> Tensor:
        """The proximal point of latent weights."""
        if self.terms.euclidean:
            return u if out is None else out.copy_(u)
        if self.owner is not None and self.slot is not None and self.advance:
            return self.owner.rule.point(self.slot.mu, u, out=out)
        prox = self.prepared.prox
        assert prox is not None
        return kernel(prox)(u, out=out)

    def _room(self) -> Tensor:
        return torch.empty(self.parameter.shape, dtype=self.parameter.dtype, device=self.parameter.device)

    def write_level(self, out: Tensor) -> Tensor:
        if self.owner is not None and self.slot is not None:
            return self.owner.hardened(self.slot, out=out)
        return kernel(self.prepared.hard)(self.u, out=out)

    # ---- the account

    def open(self) -> None:
        """A new account from the present latent weights."""
        first = self.point(self.u, self._room())
        ws = []
        for c in self.given:
            w = first.clone() if isinstance(c, str) else self._tensor(c)
            ws.append(w.reshape(1, -1))
        # given comparators may lie off the levels -c, c
        flat = self.terms.flat and first.numel() > 0
        flat = flat and all(bool((w.abs() == first.abs().max()).all()) for w in ws)
        # v is counted where it is the level itself
        p = self.prepared
        counts = self.every == 1 and p.staircase and p.prox == p.forward == p.hard and not self.advance
        self.level = None if counts else self.write_level(self._room())
        # the model's weights serve as v, and no second tensor of them is kept
        slot, standing = self.slot, self._standing()
        self.live = slot is not None and flat and self.every > 1 and standing is slot.w and standing.is_contiguous()
        self.account = Account(
            self._row(self.u),
            self._row(slot.w if slot is not None and self.live else first),
            self.terms.r,
            ws,
            mu=self.mu,
            every=self.every,
            vanishes=self.terms.vanishes,
            flat=flat,
            euclidean=self.terms.euclidean,
            count=counts,
        )
        for c, d in zip(self.given, self.account.d_first, strict=True):
            if not bool(torch.isfinite(d).all()):
                what = c if isinstance(c, str) else "one that was given"
                raise InputError(f"{self.name}: comparators with finite r were expected, and r is infinite at {what}")
        self.before: Tensor | None = None
        self.seen = self.mark

    def watch(self) -> None:
        """Let the in-place form call `ahead` where that is needed."""
        if self.slot is not None:
            self.slot.watch = self if self.live else None

    def _tensor(self, given: Mapping[str, Tensor]) -> Tensor:
        w = given.get(self.name)
        if not isinstance(w, Tensor) or w.shape != self.parameter.shape or not w.is_floating_point():
            raise InputError(
                f"comparators: a tensor of shape {tuple(self.parameter.shape)} was expected for {self.name}"
            )
        return w.detach().to(self.parameter).clone(memory_format=torch.contiguous_format)

    def _row(self, t: Tensor) -> Tensor:
        return t.detach().reshape(1, -1)

    def arrange(self) -> bool:
        """Follow what has happened since the last step; whether the account had to begin anew."""
        if self.ended:
            return False
        anew, now, own = self.mark != self.seen, self.current(), (self.prepared, self.terms)
        if self.owner is not None and not self.owner.attached:
            self._end(anew, "its quantizer was detached")
        elif now is not self.prepared and (now.prox is None or now.regularizer is None):
            self._end(anew, f"{now.name or 'a pair'} came, {now.note}")
        elif not anew and now is self.prepared:
            return False
        else:
            try:
                if anew:
                    self.prepared, self.terms = now, terms_of(now, self.advance)
                    self.open()
                else:
                    self._move(now)
            except InputError:
                self.prepared, self.terms = own
                self._end(anew, f"{now.name or 'a pair'} came, whose r is infinite at v_t or a comparator")
        self.watch()
        return anew

    def _end(self, anew: bool, why: str) -> None:
        """Keep the account as it is: what its tensors share with the model goes on without it."""
        if anew:
            with suppress(InputError):  # latent weights that are not finite: then the account says NaN
                self.open()  # the latent weights of the sums are gone
        if self.live:
            self.account.v = self._row(self.point(self.u, self._room()))
        self.account.u = self.account.u.clone()
        self.live = False
        self.ended = f"{self.name}: the account ended when {why}"

    def _move(self, now: Prepared) -> None:
        """The account under another pair; the model's weights follow that already."""
        if self.live and self.slot is not None:
            self.account.v = self._row(self.point(self.u, self._room()))  # what they were
            self.live = False
        self.prepared, self.terms = now, terms_of(now, self.advance)
        v = self.point(self.u, self._room())
        self.account.move(self._row(v), self.terms.r, vanishes=self.terms.vanishes, euclidean=self.terms.euclidean)
        self.account.count = False
        if self.level is None:
            self.level = self.write_level(self._room())

    def begin(self, optimizer: Optimizer, due: bool, closure: bool) -> None:
        """Before the step: eta_t is there, u_t still is, and g_t too, or else a closure that will make it."""
        p = self.parameter
        # an optimizer moves what has a gradient, even if it requires none
        seen = p.grad is not None or closure or (self.slot is not None and self.slot.blockwise)
        self.active = not self.ended and seen
        self.due, self.recorded = due, False
        if not self.active:
            return
        group = optimizer.param_groups[self.group]
        self.eta = float(group["lr"])
        self.displaced = not plain(optimizer, group)
        if self.displaced and not self.terms.euclidean:
            if self.before is None:
                self.before = self._room()
            self.before.copy_(self.u)
        if due and self.quantizer is not None:
            self.negative = 0.0
            if self.prepared.negative:
                b = kernel(self.prepared.backward)(self.u)
                self.negative = count(torch.lt(b, 0, out=b))

    def ahead(self) -> None:
        """The optimizer has moved u, and the model's weights are still v_t."""
        if not self.active:
            return
        if self.due:
            self.account.v = self._row(self._fresh().copy_(self.parameter.detach()))
            return
        self.account.step_ahead(self.eta, self._row(self._gradient()), self._row(self.u), displaced=self.displaced)
        self.recorded = True

    def ahead_block(self, k: int, g: Tensor, v: Tensor, u: Tensor) -> None:
        """`ahead` for the k-th piece of a step that is taken in blocks."""
        if not self.active:
            return
        if k == 0:  # without a scale, which there is none of here, pieces are vectors of one length but for the last
            self._comparators = list(zip(*(w.view(-1).split(max(len(v), 1)) for w in self.account.ws), strict=True))
        self.account.add_ahead(g, v, u, self._comparators[k])

    def ahead_done(self) -> None:
        """`ahead` is complete."""
        if self.active:
            self.account.end_ahead(self.eta, self._row(self.u))
            self.recorded = True

    def end(self) -> None:
        """After the step."""
        if self.active:
            if not self.recorded:
                self._record()
            if self.due and self.slot is not None:
                self.negative = float(self.slot.negative)
        self.seen = self.mark

    def _fresh(self) -> Tensor:
        self.fresh = self._room() if self.fresh is None else self.fresh
        return self.fresh

    def _gradient(self) -> Tensor:
        """g_t, or in form displacement eta_t g_t."""
        if not self.displaced:
            assert self.parameter.grad is not None
            return self.parameter.grad.detach()
        if self.terms.euclidean:
            return self.account.v.view(self.parameter.shape) - self.u
        assert self.before is not None
        return self.before.sub_(self.u)

    def _record(self) -> None:
        old, standing = self.account.v, self._standing()
        v = self.point(self.u, self._fresh()) if standing is None else standing
        g, u, v = map(self._row, (self._gradient(), self.u, v))
        how = {"displaced": self.displaced, "overwrite": standing is not None and not self.live, "look": self.due}
        self.account.step(self.eta, g, u, v, self.mu, **how)
        if standing is None:
            self.fresh = old.view(self.parameter.shape)

    def _standing(self) -> Tensor | None:
        """The proximal point where it lies in memory already: u, or the model's weights."""
        if self.terms.euclidean:
            return self.u
        if self.slot is None or self.owner is None or self.slot.scale is not None:
            return None
        rule = self.owner.rule
        here = rule.transform is None if rule.path is not None else self.prepared.prox == self.prepared.forward
        return self.slot.w if here else None

    def count_flips(self) -> None:
        """At a row."""
        if self.ended:
            self.flips = 0
            return
        if self.level is None:
            self.flips = int(self.account.changed) if self.active else 0
            return
        now = self.write_level(self._room())
        if self.level.numel():
            self.flips = count(torch.ne(self.level, now, out=self.level))
        self.level = now

    @property
    def form(self) -> str:
        return "displacement" if self.displaced else "gradient"


def _layers(source: InPlace | tuple[nn.Module, Any]) -> tuple[Optimizer, list[_Layer], bool | None]:
    """The optimizer, the quantized weights in it, and whether activations are quantized (None: not known)."""
    model: nn.Module | None = None
    owner: Any = source
    if isinstance(source, tuple) and len(source) == 2 and isinstance(source[0], nn.Module):
        model, owner = source
    activations = None
    weights: dict[int, tuple[str, Tensor, PairQuantizer]] = {}
    if model is not None:
        inside: set[int] = set()
        for name, module in model.named_modules():
            for attribute, chain in getattr(module, "parametrizations", {}).items():
                if not isinstance(chain, parametrize.ParametrizationList):
                    continue
                found = [q for q in chain if isinstance(q, PairQuantizer)]
                inside |= {id(q) for q in found}
                if found and len(chain) == 1:
                    full = f"{name}.{attribute}" if name else attribute
                    weights.setdefault(id(chain.original), (full, chain.original, found[0]))
        activations = any(isinstance(m, PairQuantizer) and id(m) not in inside for m in model.modules())
    if isinstance(owner, InPlace):
        if owner.method != "PC++":
            raise InputError(f"{owner.method} is not ProxConnect++, so there is no ledger for it")
        return owner.optimizer, [_Layer(s.name, s.parameter, s.group, owner, None) for s in owner.slots], activations
    if model is None or not isinstance(owner, Optimizer):
        raise InputError("source: an InPlace, (model, InPlace) or (model, optimizer) was expected")
    groups = {id(p): i for i, group in enumerate(owner.param_groups) for p in group["params"]}
    layers = [_Layer(name, p, groups[key], None, q) for key, (name, p, q) in weights.items() if key in groups]
    if not layers:
        raise InputError("source: a model with weights behind a PairQuantizer, moved by the optimizer, was expected")
    return owner, layers, activations


class TrainingLedger:
    """The account of every quantized weight while an ordinary training loop runs, by hooks on the optimizer.

    It sums both sides of sum eta_t [<v_t - w, g_t> + r(v_t) - r(w)] = D_1(w) - D_{T+1}(w) + sum D_{t+1}(v_t), without
    r on the left for a fixed pair, and looks at D >= 0. Source: docs/mathematics.md, section 4.

    ``source``: an `InPlace` (or (model, InPlace), so that quantized activations are seen), or
    (model, optimizer) where weights are behind a `PairQuantizer`. Make it before the first step.
    ``comparators``: "first" is w = v_1; a mapping of layer names to tensors is another w, for example
    `points` of a finished run for a replay with w = v_T. ``names``: parameter -> name, for layers
    that should have another.

    Each step adds to left, to the sum of D_{t+1}(v_t), to their absolute values and to sum eta. Each
    ``every``-th step gives a row, and is looked at more closely: D_{t+1}(w), the least coordinate of D_{t+1}(v_t) and
    D_{t+1}(w), flips (weights whose hardened level is another than in the row before), and the share
    of coordinates with B(u_t) < 0 (0 without any work where B is proved nonnegative). A layer that
    has no gradient in a step stays as it is, with the learning rate and the share of its last step.

    The gradient of the ledger. For plain stochastic gradient descent (torch.optim.SGD without
    momentum, weight decay, maximize and fused scaling) g_t is the gradient, B and s in it: form
    "gradient". For any other optimizer g_t is (u_t - u_{t+1})/eta_t by definition: form
    "displacement". The identity then closes by construction of g_t, and its left side speaks of the
    optimizer's direction instead of the loss's gradient. Scales count as a part of f.

    In float64 the identity closes to about 1e-12. In float32 form "gradient" shows that u_{t+1} is
    u_t - eta_t g_t rounded: `closure_error` is what that has added up to.

    Latent weights that come from elsewhere (a loaded state) begin the accounts anew; exchanging the
    pair (`InPlace.set`, `PairQuantizer.set`) moves them, with drift. An account ends when its quantizer is
    detached, and when a pair comes without a ledger, or whose r is infinite at v_t or a comparator.
    Memory: up to three tensors like each layer's weight, one more in form "displacement".

    Raises `InputError` for another source, PQ and rPC, a pair without a ledger, comparators of
    another shape or with infinite r, ``every`` below 1, and a second ledger of an `InPlace`.
    """

    in_blocks = True
    """Its hooks know steps that are taken in blocks (`verify.block_steps.unseen`)."""

    def __init__(
        self,
        source: InPlace | tuple[nn.Module, Any],
        *,
        comparators: Sequence[Comparator] = ("first",),
        every: int = 1,
        names: Mapping[Tensor, str] | None = None,
    ) -> None:
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise InputError(f"every: an integer of at least 1 was expected, not {every!r:.30}")
        if isinstance(comparators, str | Mapping):
            comparators = (comparators,)
        for c in comparators:
            if c != "first" if isinstance(c, str) else not isinstance(c, Mapping):
                raise InputError("comparators: 'first' or mappings of layer names to tensors were expected")
        if not comparators:
            raise InputError("comparators: at least one was expected")
        optimizer, self._layers, self.activations = _layers(source)
        given = {id(p): name for p, name in (names or {}).items()}
        for layer in self._layers:
            layer.name = given.get(id(layer.parameter), layer.name)
            layer.given, layer.every = list(comparators), every
        if len({layer.name for layer in self._layers} | {TOTAL}) != len(self._layers) + 1:
            raise InputError(f"names: different names were expected, and none that is {TOTAL!r}")
        self.every = every
        labels = ["first" if isinstance(c, str) else "given" for c in comparators]
        self.comparators = [
            label if labels.count(label) == 1 else f"{label} {labels[: i + 1].count(label)}"
            for i, label in enumerate(labels)
        ]
        self.steps = self.restarts = 0
        self.forms: set[str] = set()
        self._last: list[dict[str, Any]] = []
        self._rows: list[tuple[Any, ...]] = []
        self._writers: list[Any] = []
        if any(layer.slot is not None and layer.slot.kept for layer in self._layers):
            raise InputError("source: it has a ledger already; close that first")
        with torch.no_grad():
            for layer in self._layers:
                layer.open()
        for layer in self._layers:
            layer.watch()
            if layer.slot is not None:
                layer.slot.kept = True
        self._ask()
        self._outermost, self._closure = Outermost(), False
        self._handles = [
            optimizer.register_step_pre_hook(self._before),
            optimizer.register_step_post_hook(self._after),
        ]

    # ---- hooks

    @property
    def _due(self) -> bool:
        """Whether the step that comes, or is being taken, gives a row."""
        return (self.steps + 1) % self.every == 0

    def _ask(self) -> None:
        """Let the in-place form count B < 0, which it evaluates anyway, in the step that comes."""
        for layer in self._layers:
            if layer.slot is not None:
                layer.slot.counting = self._due

    def _follow(self, what: str) -> None:
        """What has happened since the last step, in every account."""
        for owner in {id(layer.owner): layer.owner for layer in self._layers if layer.owner is not None}.values():
            owner.settle(what)
        self._arrange()

    def _arrange(self) -> None:
        begun = [layer.arrange() for layer in self._layers]
        self.restarts += any(begun)

    def _before(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._outermost.enters():
            return
        self._closure = (args[1] if len(args) > 1 else kwargs.get("closure")) is not None
        with torch.no_grad():
            self._arrange()
            for layer in self._layers:
                layer.begin(optimizer, self._due, self._closure)
        found_inf = getattr(optimizer, "found_inf", None)
        if found_inf is not None and float(found_inf) > 0:
            for layer in self._layers:
                layer.active = False  # the fused optimizer will leave everything as it is

    def _after(self, optimizer: Optimizer, args: Any, kwargs: Any) -> None:
        if not self._outermost.leaves():
            return
        for layer in self._layers:
            if layer.slot is not None:
                layer.active = layer.active and layer.slot.moved
            elif self._closure and layer.parameter.grad is None:
                layer.active = False
        active = [layer for layer in self._layers if layer.active]
        with torch.no_grad():
            for layer in self._layers:
                layer.end()
        self.forms |= {layer.form for layer in active}
        if not active:
            return
        due = self._due
        self.steps += 1
        if due:
            with torch.no_grad():
                for layer in self._layers:
                    layer.count_flips()
            rows = list(self._made())
            self._rows += rows
            for writer in self._writers:
                self._write(writer, rows)
        self._ask()

    def close(self) -> None:
        """Remove the hooks; what was recorded stays."""
        if not self._handles:
            return
        self._last = self.now()
        for handle in self._handles:
            handle.remove()
        self._handles = []
        for layer in self._layers:
            if layer.slot is not None:
                layer.slot.counting, layer.slot.watch, layer.slot.kept = False, None, False
            layer.account.v = layer.account.v.clone()

    # ---- what was recorded

    def _made(self) -> Iterator[tuple[Any, ...]]:
        """The rows of the present state: every layer, then all of them, for each comparator."""
        for k, comparator in enumerate(self.comparators):
            made = []
            for layer in self._layers:
                e = layer.account.entry(k)
                size = max(layer.parameter.numel(), 1)
                made.append(
                    (
                        *(self.steps, layer.name, comparator, layer.eta, float(e.left), float(e.d_first)),
                        *(float(e.d_last), float(e.d_sum), float(e.abs_sum), float(e.closure_error)),
                        *(float(e.residual), layer.flips, layer.negative / size, layer.account.etas),
                        *(float(e.drift), float(e.min_d), layer.form),
                    )
                )
            yield from made
            yield self._total_of(made, comparator)

    def _total_of(self, made: Sequence[tuple[Any, ...]], comparator: str) -> tuple[Any, ...]:
        """The sums over the layers; residual sums too, which with one learning rate is the residual of the sums."""

        def column(name: str) -> list[Any]:
            return [row[COLUMNS.index(name)] for row in made]

        def same(values: Sequence[Any], other: Any) -> Any:
            return values[0] if len(set(values)) == 1 else other

        left, first, last, d_sum, size, drift = (
            math.fsum(column(c)) for c in ("left", "D_first", "D_last", "D_sum", "abs_sum", "drift")
        )
        gap = abs(left - (first - last + d_sum))
        sizes = [layer.parameter.numel() for layer in self._layers]
        negative = math.fsum(a * b for a, b in zip(column("negative_backward"), sizes, strict=True))
        return (
            *(self.steps, TOTAL, comparator, same(column("lr"), math.nan), left, first, last, d_sum, size),
            *(gap / size if gap else 0.0, math.fsum(column("residual")), sum(column("flips"))),
            *(negative / max(sum(sizes), 1), same(column("sum_eta"), math.nan), drift, min(column("min_D"))),
            same(column("form"), "mixed"),
        )

    def rows(self) -> list[dict[str, Any]]:
        """What was recorded at every ``every``-th step: a dict of `COLUMNS` for each layer and the total."""
        return [dict(zip(COLUMNS, row, strict=True)) for row in self._rows]

    def now(self) -> list[dict[str, Any]]:
        """The same for the present state, after `close` for that of the end."""
        if not self._handles:
            return self._last
        with torch.no_grad():
            self._follow("a ledger")
            return [dict(zip(COLUMNS, row, strict=True)) for row in self._made()]

    def points(self) -> dict[str, Tensor]:
        """layer name -> a copy of the present v."""
        if self._handles:
            with torch.no_grad():
                self._follow("a ledger")
        return {layer.name: layer.account.v.view(layer.parameter.shape).clone() for layer in self._layers}

    def write_csv(self, path: str | Path) -> Path:
        """`rows` as a CSV file. Raises `InputError` where it cannot be written."""
        return write_csv(path, COLUMNS, self._rows)

    def log_to(self, writer: Any) -> None:
        """Give every later row to ``writer.add_scalar("ledger/LAYER/COLUMN", value, step)`` (TensorBoard's writer)."""
        if not callable(getattr(writer, "add_scalar", None)):
            raise InputError("writer: an object with add_scalar(tag, value, step) was expected")
        self._writers.append(writer)

    def _write(self, writer: Any, rows: Sequence[tuple[Any, ...]]) -> None:
        several = len(self.comparators) > 1
        for row in rows:
            step, layer, comparator = row[:3]
            place = f"{layer}/{comparator}" if several else layer
            for name, value in zip(COLUMNS[3:-1], row[3:-1], strict=True):
                writer.add_scalar(f"ledger/{place}/{name}", value, step)

    def report(self) -> str:
        """The present state and what may be said of it, as short text."""
        names = " / ".join(dict.fromkeys(layer.prepared.name or "a pair" for layer in self._layers))
        grades = " / ".join(dict.fromkeys(layer.prepared.verdict.grade for layer in self._layers))
        advance = any(layer.advance for layer in self._layers)
        width = max(len(layer.name) for layer in self._layers)
        width = max(width, len(TOTAL), 5)
        lines = [
            f"{names} ({grades}), mu {'advances' if advance else 'fixed'}, {self.steps} steps, "
            f"{len(self._layers)} layers; the identity speaks of {'f o T + r' if advance else 'f o T'}",
        ]
        shown = ("left", "D_first", "D_last", "D_sum", "closure_error", "residual", "min_D")
        for k, comparator in enumerate(self.comparators):
            found = self.now()[k * (len(self._layers) + 1) : (k + 1) * (len(self._layers) + 1)]
            lines.append(f"comparator w = {'v_1' if comparator.startswith('first') else comparator}")
            lines.append(f"{'layer':{width}} " + " ".join(f"{name:>13}" for name in shown))
            lines += [f"{row['layer']:{width}} " + " ".join(f"{row[c]:13.6g}" for c in shown) for row in found]
        lines += [f"- {note}" for note in self._notes()]
        return "\n".join(lines)

    def _notes(self) -> Iterator[str]:
        yield from dict.fromkeys(layer.prepared.warning for layer in self._layers if layer.prepared.warning)
        yield from dict.fromkeys(layer.prepared.note for layer in self._layers if layer.prepared.note)
        yield from (layer.ended for layer in self._layers if layer.ended)
        if "displacement" in self.forms:
            yield (
                "g_t is (u_t - u_{t+1})/eta_t: the optimizer is not plain gradient descent, so <v_t - w, g_t> is not "
                "the loss's gradient at v_t - w"
            )
        if "gradient" in self.forms and any(layer.parameter.dtype == torch.float32 for layer in self._layers):
            yield "float32: u_{t+1} is u_t - eta_t g_t rounded, and closure_error is what that has added up to"
        if self.activations:
            yield "activations are quantized: this network is outside the theorem, and the identity still closes"
        elif self.activations is None:
            yield "the ledger sees weights alone: where activations are quantized too, no theorem covers the network"
        if self.restarts:
            yield f"the accounts began anew {self.restarts} times, when latent weights came from elsewhere"
        yield (
            f"min_D, flips and B < 0 are looked at every {self.every} steps, the sums at every step; "
            "a min_D below rounding means that P is not the proximal map"
        )


__all__ = [
    "COLUMNS",
    "TOTAL",
    "Account",
    "Entry",
    "Map",
    "Terms",
    "TrainingLedger",
    "regularizing",
    "terms_of",
]
