"""Quantized training of any torch module: latent weights behind a forward-backward pair.

A quantizer replaces a tensor u by s F(u) on the way forward and multiplies the gradient that comes
back by s B(u):

    w = s F(u),    grad_u = s B(u) grad_w.

On a weight it is a parametrization (`torch.nn.utils.parametrize`): the parameter that the optimizer
moves is the latent weight u, the layer computes with w, and a step of plain stochastic gradient
descent is the step of ProxConnect++ with the fixed pair (docs/mathematics.md, section 2) for the function
u -> f(s F(u)). On an activation it is an ordinary module.

`binarize` quantizes the layers of a network, `verify.packing.harden` makes the network to deploy.
"""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import pairwise
from numbers import Integral
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn.utils import parametrize

from theory.errors import InputError
from theory.exact import X, as_exact, less, to_float
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair
from theory.synthesis import Synthesized
from theory.trees import expression_of, tree_of
from verify.kernels import Both, Kernel, both, kernel
from verify.prepared import PairLike, Prepared, from_json, prepare, to_json

_HALF = (torch.float16, torch.bfloat16)
_DTYPES = (*_HALF, torch.float32, torch.float64)
_STATE = "proxpair quantizer, version 1"


# --------------------------------------------------------------------------- pairs with several levels


def uniform_levels(bits: int) -> tuple[Any, ...]:
    """2^bits exact levels, evenly spaced from -1 to 1. Raises `InputError` unless bits is 1, 2, 3 or 4."""
    if isinstance(bits, bool) or not isinstance(bits, Integral) or bits not in (1, 2, 3, 4):
        raise InputError(f"bits: 1, 2, 3 or 4 was expected, not {bits!r:.30}")
    steps = 2 ** int(bits) - 1
    return tuple(as_exact(2 * k - steps) / steps for k in range(steps + 1))


def uniform_pair(bits: int, horizontal: Any = None, vertical: Any = None) -> QuantizerPair:
    """B = 1, and F between the identity on [-1, 1] and the projection onto `uniform_levels`.

    Without widths F is the projection, its ties going to the larger level. With them, and h half the
    gap between two neighbouring levels a < b and p = a + h their midpoint (exact numbers >= 0; one
    that is missing is 0):

        F = a on a flat run of half-width horizontal <= h around a,
        then linear up to p - vertical (vertical <= h) at p, where F jumps to p + vertical = F(p);
        the other half is its mirror image, and F is constant beyond -1 and 1.

    horizontal = vertical = 0 is the identity on [-1, 1]; a width >= h makes the projection. With
    horizontal = 0 nothing in F but its ends is a level: give ``levels=uniform_levels(bits)``.
    Source: docs/mathematics.md, section 5, in absolute widths (for one bit, the entry PC of the catalogue).
    Raises `InputError` for other bits and for a width that is no exact number >= 0.
    """
    levels = uniform_levels(bits)
    half = (levels[1] - levels[0]) / 2
    widths = []
    for name, given in (("horizontal", horizontal), ("vertical", vertical)):
        width = as_exact(0 if given is None else given, f"{name}: an exact number")
        if less(width, as_exact(0)):
            raise InputError(f"{name}: a width of at least 0 was expected, not {width}")
        widths.append(half if less(half, width) else width)
    flat, jump = widths
    projects = (horizontal is None and vertical is None) or half in (flat, jump)
    breaks: list[Any] = []
    exprs: list[Any] = [levels[0]]
    values: list[Any] = []
    for a, b in pairwise(levels):
        p = (a + b) / 2
        if projects:
            found = [(p, b, b)]
        else:
            slope = (half - jump) / (half - flat)
            rising = (a + slope * (X - a - flat), b - slope * (b - flat - X))
            found = [(a + flat, rising[0], a), (p, rising[1], p + jump), (b - flat, b, b)]
        for at, expr, value in found:
            if breaks and breaks[-1] == at:
                exprs[-1] = expr  # a run of half-width 0 is one point
            else:
                breaks.append(at)
                exprs.append(expr)
                values.append(value)
    name = f"{len(levels)} levels" + ("" if projects else f", horizontal {flat}, vertical {jump}")
    forward = PiecewiseMap.build(breaks, exprs, values).simplified()
    return QuantizerPair(forward, PiecewiseMap.of(1), name)


# --------------------------------------------------------------------------- one quantizer


@dataclass(frozen=True, eq=False)
class Chosen:
    """A prepared pair, what it was made from, and its kernels. Copies of a network share it: it never changes."""

    prepared: Prepared
    source: PairLike | None
    levels: tuple[Any, ...] | None
    parameters: tuple[tuple[str, Any], ...]

    def __deepcopy__(self, memo: Any) -> Chosen:
        return self

    @cached_property
    def forward(self) -> Kernel:
        return kernel(self.prepared.forward)

    @cached_property
    def hard(self) -> Kernel:
        return kernel(self.prepared.hard)

    @cached_property
    def pair(self) -> Both:
        """F and B in one pass."""
        return both(self.prepared.forward, self.prepared.backward)

    @cached_property
    def hard_pair(self) -> Both:
        """The hard map and B in one pass."""
        return both(self.prepared.hard, self.prepared.backward)

    @cached_property
    def slope(self) -> float | None:
        """B where it is constant: then nothing is saved for it."""
        constant = self.prepared.backward.constant
        return None if constant is None else to_float(constant)

    def build(self, hard: bool = False) -> None:
        """Make the kernels that training, or hard training, computes with: a compiler cannot trace their making."""
        _ = self.slope, self.forward, self.pair
        if hard:
            _ = self.hard, self.hard_pair

    @cached_property
    def text(self) -> str:
        """What `PairQuantizer.get_extra_state` stores."""
        source = self.source if isinstance(self.source, str) else None
        return json.dumps(
            {
                "format": _STATE,
                "source": source,
                "parameters": {k: tree_of(as_exact(v)) for k, v in self.parameters} if source else {},
                "levels given": self.levels is not None,
                "pair": to_json(self.prepared),
            }
        )


def _choose(pair: PairLike | Prepared, levels: Sequence[Any] | None, parameters: dict[str, Any]) -> Chosen:
    if isinstance(pair, Prepared):
        if parameters or levels is not None:
            raise InputError(f"{pair.name or 'the pair'}: a prepared pair has its parameters and levels already")
        return Chosen(pair, None, None, ())
    if not isinstance(pair, str | QuantizerPair | Synthesized | Path):
        raise InputError(f"a pair was expected: a name, maps as text, or a prepared pair, not {pair!r:.40}")
    try:
        given = None if levels is None else tuple(levels)
    except TypeError:
        raise InputError("levels: two or more different exact numbers were expected") from None
    return Chosen(prepare(pair, given, **parameters), pair, given, tuple(parameters.items()))


@lru_cache(maxsize=256)
def _stored(text: str) -> Chosen:
    """The pair of a `Chosen.text`."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict) or found.get("format") != _STATE:
        raise InputError(f"the state of a quantizer: an object with format {_STATE!r} was expected")
    source, parameters = found.get("source"), found.get("parameters")
    if not (source is None or isinstance(source, str)) or not isinstance(parameters, dict):
        raise InputError("the state of a quantizer: its source or parameters are not what they should be")
    pair = from_json(found.get("pair"))
    exact = tuple((k, expression_of(v)) for k, v in parameters.items())
    return Chosen(pair, source, pair.levels if found.get("levels given") else None, exact)


def check_tensor(u: Any) -> None:
    """Raise `InputError` for anything but a tensor of a real floating-point type that torch trains with."""
    if not isinstance(u, Tensor) or u.dtype not in _DTYPES:
        kind = u.dtype if isinstance(u, Tensor) else type(u).__name__
        raise InputError(f"a quantizer takes float16, bfloat16, float32 or float64 tensors, not {kind}")


def evaluate(k: Kernel, x: Tensor) -> Tensor:
    """The kernel's values, in its pure form while a compiler or an export traces."""
    return k.pure(x) if torch.compiler.is_compiling() else k(x)


def scaled(x: Tensor, scale: Tensor | None, group: int | None) -> Tensor:
    """s x; with ``group`` the scale (out, G, 1) belongs to runs of that many entries of the flattened rows of x."""
    if scale is None:
        return x
    s = scale.to(x.dtype)
    return x * s if group is None else (x.reshape(*s.shape[:2], group) * s).reshape(x.shape)


def _scaled_in_place(fresh: Tensor, scale: Tensor | None, group: int | None) -> Tensor:
    """`scaled` for values that a kernel has just made: no second tensor of their size."""
    if scale is None or torch.compiler.is_compiling():
        return scaled(fresh, scale, group)
    s = scale.to(fresh.dtype)
    (fresh if group is None else fresh.view(*s.shape[:2], group)).mul_(s)
    return fresh


class _Through(torch.autograd.Function):
    """s F(u) forward, s B(u) times the gradient backward; saves B(u), or nothing where B is constant."""

    @staticmethod
    def forward(ctx: Any, u: Tensor, scale: Tensor | None, group: int | None, hard: bool, chosen: Chosen) -> Tensor:
        ctx.group, ctx.slope = group, chosen.slope
        if chosen.slope is not None:
            y, b = evaluate(chosen.hard if hard else chosen.forward, u), None
        else:
            maps = chosen.hard_pair if hard else chosen.pair
            y, b = maps.pure(u) if torch.compiler.is_compiling() else maps(u)
        ctx.save_for_backward(b, scale)
        return _scaled_in_place(y, scale, group)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None, None, None]:
        b, scale = ctx.saved_tensors
        grad = scaled(grad, scale, ctx.group)
        if b is not None:
            grad = grad * b
        elif ctx.slope != 1:
            grad = grad * ctx.slope
        return grad, None, None, None, None


class PairQuantizer(nn.Module):
    """u -> s F(u), with s B(u) for the derivative: of weights as a parametrization, of activations as a module.

    ``pair``, ``levels`` and ``parameters`` are those of `verify.prepared.prepare` (or ``pair`` is a
    `Prepared`). The scale s, a number or a tensor that broadcasts to u, is a part of f, not of the
    quantizer: the gradient that reaches u carries the factor s, and a ledger sees f(s .). It is a
    buffer; with ``learn_scale`` a parameter (from 1 if none is given) with the gradient sum F(u) grad_w.
    ``group``: the scale has shape (out, G, 1), one entry for each run of ``group`` entries of the
    flattened rows of u, G * group = entries of a row.

    F, B and the product are computed in u's dtype, also under autocast; float16 and bfloat16 in
    float32 and rounded. `register_parametrization` starts the latent weight at u = w / s.

    The state holds the pair with its present parameters, as JSON in a tensor of bytes; loading it
    puts that pair in place. A pair that the theory does not cover is allowed, with a UserWarning.

    Raises `InputError` for what `prepare` refuses, a scale that is not positive and finite, at the
    call for other dtypes and for a scale that does not broadcast to u.
    """

    scale: Tensor | None

    def __init__(
        self,
        pair: PairLike | Prepared | Chosen,
        *,
        levels: Sequence[Any] | None = None,
        scale: float | Tensor | None = None,
        learn_scale: bool = False,
        group: int | None = None,
        **parameters: Any,
    ) -> None:
        super().__init__()
        known = isinstance(pair, Chosen)  # of `binarize`, which has warned
        self.chosen = pair if isinstance(pair, Chosen) else _choose(pair, levels, parameters)
        given = 1.0 if scale is None and learn_scale else scale
        try:
            s = None if given is None else torch.as_tensor(given).detach().clone()
        except (TypeError, ValueError, RuntimeError):
            raise InputError(f"scale: positive finite numbers were expected, not {given!r:.40}") from None
        if s is not None and not s.is_floating_point() and not s.is_complex():
            s = s.to(torch.get_default_dtype())
        if s is not None and (s.is_complex() or not bool((torch.isfinite(s) & (s > 0)).all())):
            raise InputError("scale: positive finite numbers were expected")
        if group is not None and (isinstance(group, bool) or not isinstance(group, int) or group < 1):
            raise InputError(f"group: a number of entries was expected, not {group!r:.40}")
        if group is not None and (s is None or s.dim() != 3 or s.shape[2] != 1):
            raise InputError("group: a scale of shape (out, groups, 1) was expected with it")
        self.chosen.build()
        self.group = group
        self.hard = False
        if s is not None and learn_scale:
            self.scale = nn.Parameter(s)
        else:
            self.register_buffer("scale", s)
        if self.prepared.warning and not known:
            warnings.warn(self.prepared.warning, UserWarning, stacklevel=2)

    @property
    def prepared(self) -> Prepared:
        """The exact pair in use."""
        return self.chosen.prepared

    def set(self, pair: PairLike | Prepared | None = None, **parameters: Any) -> None:
        """Exchange the exact pair: new values of its parameters (the others stay), or another pair with parameters.

        Levels that were given stay; latent weights and scales are untouched. A UserWarning where the
        theory covers the pair no longer. Raises `InputError` for what `prepare` refuses, and then
        nothing has changed.
        """
        if pair is not None:
            new = _choose(pair, None if isinstance(pair, Prepared) else self.chosen.levels, parameters)
        elif self.chosen.source is None:
            raise InputError("a quantizer made from a prepared pair has no parameters to set; give another pair")
        else:
            given = {**dict(self.chosen.parameters), **parameters}
            new = _choose(self.chosen.source, self.chosen.levels, given)
        new.build()
        if new.prepared.warning and not self.prepared.warning:
            warnings.warn(new.prepared.warning, UserWarning, stacklevel=2)
        self.chosen = new

    def forward(self, u: Tensor) -> Tensor:
        """s F(u), of u's shape and dtype."""
        check_tensor(u)
        self._check_scale(u)
        if torch.is_autocast_enabled(u.device.type):
            with torch.autocast(u.device.type, enabled=False):
                return self._values(u)
        return self._values(u)

    def _check_scale(self, u: Tensor) -> None:
        if self.scale is None:
            return
        s = self.scale.shape
        if self.group is not None:
            fits = u.dim() > 1 and u.shape[0] == s[0] and u.numel() == s[0] * s[1] * self.group
        else:
            # trailing axes, as broadcasting aligns them
            fits = len(s) <= u.dim() and all(a in (1, b) for a, b in zip(reversed(s), reversed(u.shape), strict=False))
        if not fits:
            raise InputError(f"a scale of shape {tuple(s)} does not fit a tensor of shape {tuple(u.shape)}")

    def _values(self, u: Tensor) -> Tensor:
        x = u.float() if u.dtype in _HALF else u
        s = self.scale
        inner, outer = (None, s) if s is not None and s.requires_grad else (s, None)
        if torch.is_grad_enabled() and x.requires_grad:
            y = cast(Tensor, _Through.apply(x, inner, self.group, self.hard, self.chosen))
        else:
            y = _scaled_in_place(evaluate(self.chosen.hard if self.hard else self.chosen.forward, x), inner, self.group)
        return scaled(y, outer, self.group).to(u.dtype)

    def right_inverse(self, weight: Tensor) -> Tensor:
        """w / s: the latent weight that a layer starts from."""
        check_tensor(weight)
        self._check_scale(weight)
        if self.scale is None:
            return weight
        s = self.scale.detach().to(weight.dtype)
        return (
            weight / s if self.group is None else (weight.reshape(*s.shape[:2], self.group) / s).reshape(weight.shape)
        )

    def get_extra_state(self) -> Tensor:
        """The pair as bytes of JSON: a tensor, since tools that walk a state expect tensors."""
        return torch.frombuffer(bytearray(self.chosen.text.encode()), dtype=torch.uint8)

    def set_extra_state(self, state: Any) -> None:
        """Put the stored pair in place. Raises `InputError` for anything but what `get_extra_state` made."""
        if not isinstance(state, Tensor) or state.dtype != torch.uint8 or state.dim() != 1:
            raise InputError("the state of a quantizer: a tensor of bytes was expected")
        text = bytes(state.tolist()).decode(errors="replace")
        if text != self.chosen.text:
            found = _stored(text)
            found.build()
            self.chosen = found

    def extra_repr(self) -> str:
        p = self.prepared
        return f"{p.name or 'a pair'}, {p.verdict.grade}, {len(p.levels)} levels"


# --------------------------------------------------------------------------- whole networks


@dataclass(frozen=True)
class _Weight:
    """One weight to quantize: the module that owns it, the attribute, and its name in the network."""

    module: nn.Module
    attribute: str
    name: str


@dataclass(frozen=True)
class _Layer:
    name: str
    module: nn.Module
    weights: tuple[_Weight, ...]


def _layers(model: nn.Module) -> list[_Layer]:
    """The layers whose weights can be quantized, in module order; attention with its projections is one layer."""
    inside: set[int] = set()
    found = []
    for name, module in model.named_modules():
        if isinstance(module, parametrize.ParametrizationList):
            inside |= {id(m) for m in module.modules()}
        if id(module) in inside:
            continue
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.MultiheadAttention):
            inside.add(id(module.out_proj))
            own = ("in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight")
            weights = [_Weight(module, a, prefix + a) for a in own if getattr(module, a, None) is not None]
            weights.append(_Weight(module.out_proj, "weight", f"{prefix}out_proj.weight"))
            found.append(_Layer(name, module, tuple(weights)))
        elif isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d):
            found.append(_Layer(name, module, (_Weight(module, "weight", f"{prefix}weight"),)))
    return found


def _kept(layers: list[_Layer], model: nn.Module, skip: str | Sequence[str]) -> list[_Layer]:
    """The layers that are not skipped."""
    if isinstance(skip, str):
        if skip not in ("first-last", "none"):
            raise InputError(f"skip: first-last, none or a list of layers was expected, not {skip[:60]!r}")
        return layers[1:-1] if skip == "first-last" else layers
    if not isinstance(skip, Iterable):
        raise InputError(f"skip: first-last, none or a list of layers was expected, not {skip!r:.40}")
    skip = list(skip)
    names = dict(model.named_modules(remove_duplicate=False))
    known = {id(layer.module) for layer in layers}
    for name in skip:
        if not isinstance(name, str) or name not in names or id(names[name]) not in known:
            listed = ", ".join(layer.name or "(the network itself)" for layer in layers) or "none"
            raise InputError(f"skip: {str(name)[:60]!r} is no layer with weights to quantize; there are: {listed}")
    left_out = {id(names[name]) for name in skip}
    return [layer for layer in layers if id(layer.module) not in left_out]


def _mean_level(levels: Sequence[Any]) -> float:
    return math.fsum(abs(to_float(q)) for q in levels) / len(levels)


def _group_of(weight: _Weight, w: Tensor, scale: str | int | None) -> int | None:
    """The group size of a scale, checked against a weight."""
    if scale is None or (isinstance(scale, str) and scale in ("tensor", "channel")):
        return None
    if isinstance(scale, bool) or not isinstance(scale, int) or scale < 1:
        raise InputError(f"scale: None, tensor, channel or a group size was expected, not {scale!r:.40}")
    row = math.prod(w.shape[1:])
    if row % scale:
        raise InputError(f"scale: a group of {scale} does not divide the {row} inputs of {weight.name}")
    return scale


def weight_scale(w: Tensor, scale: str | int | None, mean_level: float) -> Tensor | None:
    """s = mean |W| / mean |level| over the whole tensor, over each row, or over each group of a row's entries.

    Shapes: (), (out, 1, ...) or (out, G, 1). A group of zeros takes the scale of the whole tensor;
    where that has no entry but 0, 1/sqrt(inputs) stands for mean |W|.
    """
    if scale is None:
        return None
    size = w.detach().to(torch.float64).abs()
    whole = size.mean() if w.numel() else size.new_zeros(())
    whole = torch.where(whole > 0, whole, math.prod(w.shape[1:]) ** -0.5 if w.numel() else 1.0) / mean_level
    if scale == "tensor":
        return whole.to(w.dtype)
    rows = w.shape[0]
    if isinstance(scale, int):
        size = size.reshape(rows, math.prod(w.shape[1:]) // scale, scale)
        mean = size.mean(dim=2, keepdim=True)
    else:
        shape = (rows, *[1] * (w.dim() - 1))
        mean = size.reshape(rows, -1).mean(dim=1).reshape(shape) if w.numel() else size.new_zeros(shape)
    return torch.where(mean > 0, mean / mean_level, whole).to(w.dtype)


def _checked(weight: _Weight) -> None:
    """Raise `InputError` for a weight that cannot be quantized."""
    lists = getattr(weight.module, "parametrizations", {})
    if weight.attribute in lists and any(isinstance(q, PairQuantizer) for q in lists[weight.attribute]):
        raise InputError(f"{weight.name} is binarized already")
    if len(lists):
        raise InputError(f"{weight.name}: its layer has another parametrization, remove it first")
    w = getattr(weight.module, weight.attribute)
    if not isinstance(w, nn.Parameter) or nn.parameter.is_lazy(w) or w.is_meta or w.dtype not in _DTYPES:
        raise InputError(f"{weight.name}: an initialised floating-point parameter was expected")
    if not bool(torch.isfinite(w).all()):
        raise InputError(f"{weight.name} has entries that are not finite")


def _owners(model: nn.Module, chosen: list[_Layer], layers: list[_Layer]) -> list[list[_Weight]]:
    """For each parameter to quantize all places that share it.

    Raises `InputError` where a layer that is skipped or parametrized shares it, a recurrent one (which
    keeps its weights in a list of its own), or where another parameter lies in the same memory.
    """
    places: dict[int, list[_Weight]] = {}
    memory: dict[int, list[tuple[int, int, int, str]]] = {}
    for name, module in model.named_modules():
        for attribute, p in (*module._parameters.items(), *module._buffers.items()):
            if p is None or nn.parameter.is_lazy(p):
                continue
            place = _Weight(module, attribute, f"{name}.{attribute}" if name else attribute)
            places.setdefault(id(p), []).append(place)
    wanted = {id(getattr(w.module, w.attribute)): w for layer in chosen for w in layer.weights}
    for found in places.values():
        p = getattr(found[0].module, found[0].attribute)
        if p.numel() and p.layout is torch.strided:
            start = p.storage_offset() * p.element_size()
            reach = sum((n - 1) * step for n, step in zip(p.shape, p.stride(), strict=True))
            end = start + (reach + 1) * p.element_size()
            there = memory.setdefault(p.untyped_storage().data_ptr(), [])
            for a, b, other_id, name in there:
                if a < end and start < b and (other_id in wanted or id(p) in wanted):
                    raise InputError(f"{name} and {found[0].name} share memory without being one parameter; tie them")
            there.append((start, end, id(p), found[0].name))
    kept = {id(w.module): w for layer in layers if layer not in chosen for w in layer.weights}
    result = []
    for key, weight in wanted.items():
        for other in places[key]:
            if isinstance(other.module, parametrize.ParametrizationList):
                raise InputError(f"{weight.name} and {other.name} are one parameter, and one is parametrized already")
            if isinstance(other.module, nn.RNNBase):
                raise InputError(f"{weight.name} and {other.name} are one parameter, and one is of a recurrent layer")
            if id(other.module) in kept:
                raise InputError(f"{weight.name} and {other.name} are one parameter, and one of them is skipped")
        result.append(places[key])
    return result


class _AsItIs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x


def _quantize_input(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    quantizer = cast(nn.Module, module.input_quantizer)
    if args:
        return (quantizer(args[0]), *args[1:]), kwargs
    if "input" not in kwargs:
        raise InputError("a layer with an input quantizer: the input was expected first, or by the name input")
    return args, {**kwargs, "input": quantizer(kwargs["input"])}


def quantize_inputs(layer: nn.Module, quantizer: nn.Module) -> None:
    """Make ``quantizer`` the submodule ``input_quantizer`` of a layer, and let the layer's input pass it.

    A hook before the call, and not a module around the layer: the names of the layer's parameters,
    and code that reads ``layer.weight``, stay as they were. The hook is a plain function that looks
    the quantizer up in the layer it is called for, so a deep copy uses its own.
    """
    layer.input_quantizer = quantizer
    layer.register_forward_pre_hook(_quantize_input, with_kwargs=True)


def binarize(
    model: nn.Module,
    pair: PairLike | Prepared,
    *,
    weights: bool = True,
    activations: PairLike | Prepared | bool | None = None,
    skip: str | Sequence[str] = "first-last",
    scale: str | int | None = None,
    learn_scale: bool = False,
    levels: Sequence[Any] | None = None,
    **parameters: Any,
) -> nn.Module:
    """Quantize the weights of Linear, Conv1d, Conv2d and MultiheadAttention layers in place; returns the model.

    Each weight W becomes s F(u) with the latent weight u = W/s as its parameter, the same object as
    before, so that an optimizer made earlier still moves it. Biases are untouched; of attention, all
    projections are quantized, and it counts as one layer. A parameter that does not require a
    gradient is quantized and stays frozen. Places that share one parameter (an embedding and its
    decoder) share the latent weight and all see the quantized one.

    ``skip``: "first-last" leaves the first and the last such layer as they are, "none" leaves none,
    a list names the layers that stay.

    ``scale``: None for s = 1, "tensor", "channel" (one s for each output channel; in_proj_weight is
    one tensor), or an int that divides the inputs of a channel, one s for each group of that many.
    s = mean |W| / mean |level|, so that a weight keeps its mean size where the levels are used
    evenly. For two levels -1, 1 it is the scale of least squares. For normally distributed W the
    levels -1, 0, 1 get s = 1.50 mean |W| (least squares: 1.53), 4, 8, 16 even levels get 1.50, 1.75,
    1.88 mean |W| (least squares: 1.87, 2.57, 3.15): more of W is clipped than least squares would.

    ``activations``: True or another pair: the inputs of each of these layers pass a `PairQuantizer`,
    its submodule ``input_quantizer``, without a scale. Not for MultiheadAttention, whose projections
    are no calls of layers: there it is refused.

    Raises `InputError` for all of this not being so: an unknown name in ``skip``, a group that does
    not divide, a layer that is binarized or parametrized already, weights that are lazy, not finite
    or no floating-point numbers, a parameter shared with a skipped or a recurrent layer, nothing left to quantize;
    and for what `PairQuantizer` refuses. The network is unchanged then.
    """
    if not weights and (activations is None or activations is False):
        raise InputError("binarize: with weights=False, activations were expected")
    layers = _layers(model)
    chosen = _kept(layers, model, skip)
    if not chosen:
        raise InputError(f"binarize: nothing is left to quantize, all of the {len(layers)} layers are skipped")
    ours = _choose(pair, levels, parameters)
    owners: list[list[_Weight]] = []
    groups: list[int | None] = []
    if weights:
        for layer in chosen:
            for w in layer.weights:
                _checked(w)
        owners = _owners(model, chosen, layers)
        groups = [_group_of(p[0], getattr(p[0].module, p[0].attribute), scale) for p in owners]
    inputs = _choose(activations, None, {}) if not isinstance(activations, bool | None) else ours
    if activations is not None and activations is not False:
        for layer in chosen:
            if isinstance(layer.module, nn.MultiheadAttention):
                raise InputError(
                    f"the inputs of the attention {layer.name!r} cannot be quantized, its projections are "
                    "no calls of layers; skip it, and binarize its weights by a second call"
                )
            if hasattr(layer.module, "input_quantizer"):
                raise InputError(f"the inputs of {layer.name!r} are quantized already")
    used = [ours] * weights + [inputs] * (activations is not None and activations is not False)
    for text in dict.fromkeys(c.prepared.warning for c in used):
        if text:
            warnings.warn(text, UserWarning, stacklevel=2)
    mean = _mean_level(ours.prepared.levels)
    quantizers = []
    for places, group in zip(owners, groups, strict=True):
        w = getattr(places[0].module, places[0].attribute)
        s = w.new_ones(()) if scale is None and learn_scale else weight_scale(w, scale, mean)
        quantizers.append(PairQuantizer(ours, scale=s, learn_scale=learn_scale, group=group))
    for places, quantizer in zip(owners, quantizers, strict=True):
        first = places[0]
        parametrize.register_parametrization(first.module, first.attribute, quantizer)
        for other in places[1:]:
            # the first call has turned the shared parameter into latent weights already
            parametrize.register_parametrization(other.module, other.attribute, _AsItIs(), unsafe=True)
            cast(nn.ModuleDict, other.module.parametrizations)[other.attribute] = cast(
                nn.ModuleDict, first.module.parametrizations
            )[first.attribute]
    if activations is not None and activations is not False:
        for layer in chosen:
            quantize_inputs(layer.module, PairQuantizer(inputs).train(layer.module.training))
    return model


__all__ = [
    "Chosen",
    "PairQuantizer",
    "binarize",
    "check_tensor",
    "evaluate",
    "quantize_inputs",
    "scaled",
    "uniform_levels",
    "uniform_pair",
    "weight_scale",
]
