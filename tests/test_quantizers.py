"""Quantizers in torch modules: gradients, whole networks, hardening, packed files, checkpoints, two processes."""

from __future__ import annotations

import collections
import contextlib
import copy
import io
import itertools
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn.utils import parametrize

from theory.errors import InputError
from theory.exact import to_float
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair
from verify import packing, quantizers
from verify.kernels import kernel
from verify.lowering import lower
from verify.packing import harden, hardened, load_checkpoint, load_packed, save_checkpoint, save_packed
from verify.prepared import prepare
from verify.quantizers import PairQuantizer, binarize, uniform_levels, uniform_pair

torch.set_num_threads(1)
# torch 2.13 makes an instance of an autograd function while it traces one
TRACING = pytest.mark.filterwarnings("ignore:.*should not be instantiated:DeprecationWarning")
THIRD = Fraction(1, 3)


@pytest.fixture(autouse=True)
def _same_start() -> None:
    torch.manual_seed(0)


def mlp(*widths: int, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    layers: list[nn.Module] = []
    for a, b in itertools.pairwise(widths):
        layers += [nn.Linear(a, b, dtype=dtype), nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def latents(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for n, p in model.named_parameters() if n.endswith("original")]


# --------------------------------------------------------------------------- one quantizer


def gradient_is_the_pair(quantizer: PairQuantizer, u: Tensor) -> bool:
    """Whether forward is s F(u) and the gradient s B(u) g, exactly, for one random g."""
    u = u.detach().requires_grad_()
    g = torch.randn_like(u)
    y = quantizer(u)
    y.backward(g)
    p = quantizer.prepared
    s = 1.0 if quantizer.scale is None else quantizer.scale.detach().to(u.dtype)
    f, b = (kernel(m)(u.detach()) for m in (p.forward, p.backward))
    exact = [torch.allclose(v, lower(m, "torch")(u.detach()), atol=1e-5) for v, m in ((f, p.forward), (b, p.backward))]
    same = torch.equal(y.detach(), f * s) and u.grad is not None and torch.equal(u.grad, g * s * b)
    return same and all(exact)


@pytest.mark.parametrize("name", ["BC", "FP", "PC", "BNN", "BNN++", "STBP", "x ; 2"])
@pytest.mark.parametrize("scaling", [None, 0.3, "rows"])
def test_forward_is_s_F_and_the_gradient_is_s_B(name: str, scaling: Any, device: torch.device) -> None:
    scale = torch.tensor([[0.5], [1.7], [2.0]], device=device) if scaling == "rows" else scaling
    for learn in (False, True):
        quantizer = PairQuantizer(name, scale=scale, learn_scale=learn).to(device)
        u = torch.cat([torch.randn(3, 40, device=device), torch.tensor([[-1.0, -0.0, 0.0, 1.0]] * 3, device=device)], 1)
        assert gradient_is_the_pair(quantizer, u)
        assert gradient_is_the_pair(quantizer, u.double())
        assert gradient_is_the_pair(quantizer, u[:, ::2])


def test_a_wrong_derivative_and_a_wrong_tie_would_be_seen(device: torch.device) -> None:
    u = torch.tensor([-2.0, 0.0, 0.5], device=device)
    wrong = PairQuantizer("BNN")
    assert gradient_is_the_pair(wrong, u)
    wrong.chosen = quantizers.Chosen(wrong.prepared, None, None, ())
    wrong.chosen.__dict__["slope"] = 1.0
    assert not gradient_is_the_pair(wrong, u)
    tied = PairQuantizer("BC")
    low = QuantizerPair(PiecewiseMap.build((0,), (-1, 1), (-1,)), PiecewiseMap.of(1))
    tied.chosen = quantizers.Chosen(tied.prepared, None, None, ())
    tied.chosen.__dict__["forward"] = PairQuantizer(low).chosen.forward
    assert not gradient_is_the_pair(tied, u)


def test_a_learned_scale_gets_the_gradient_of_its_product(device: torch.device) -> None:
    q = PairQuantizer("BC", learn_scale=True, scale=torch.tensor([[0.5], [2.0]])).to(device)
    u = torch.randn(2, 5, device=device, requires_grad=True)
    g = torch.randn_like(u)
    q(u).backward(g)
    assert q.scale is not None
    assert q.scale.grad is not None
    assert torch.equal(q.scale.grad, (g * torch.where(u >= 0, 1.0, -1.0)).sum(1, keepdim=True))
    frozen = PairQuantizer("BC", learn_scale=True)
    frozen(u.detach()).sum().backward()
    assert frozen.scale is not None
    assert frozen.scale.grad is not None


@pytest.mark.parametrize(("name", "count"), [("BC", 0), ("x ; 2", 0), ("BNN", 1)])
def test_only_B_is_saved_and_nothing_where_it_is_constant(name: str, count: int, device: torch.device) -> None:
    saved: list[Tensor] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: saved.append(t) or t, lambda t: t):
        PairQuantizer(name)(torch.randn(50, device=device, requires_grad=True))
    assert len(saved) == count


def test_a_group_of_a_row_has_its_own_scale(device: torch.device) -> None:
    scale = torch.rand(3, 2, 1, device=device) + 0.5
    q, u = PairQuantizer("BC", scale=scale, group=4), torch.randn(3, 2, 2, 2, device=device, requires_grad=True)
    wide = scale.expand(3, 2, 4).reshape(3, 2, 2, 2)
    y = q(u)
    y.backward(torch.ones_like(u))
    assert torch.equal(y.detach(), torch.where(u >= 0, 1.0, -1.0) * wide)
    assert u.grad is not None
    assert torch.equal(u.grad, wide)
    assert torch.allclose(q.right_inverse(y.detach()), torch.where(u >= 0, 1.0, -1.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_computed_in_float32_and_rounded_once(dtype: torch.dtype, device: torch.device) -> None:
    u = torch.randn(200, device=device).to(dtype).requires_grad_()
    y = PairQuantizer("BNN++", scale=0.3)(u)
    wide = kernel(prepare("BNN++").forward)(u.detach().float()) * 0.3
    assert torch.equal(y.detach(), wide.to(dtype))
    assert torch.equal(PairQuantizer("BNN++", learn_scale=True, scale=0.3)(u).detach(), wide.to(dtype))
    y.sum().backward()
    assert u.grad is not None
    assert u.grad.dtype == dtype


@TRACING
@pytest.mark.parametrize("scaling", [{}, {"scale": 0.5}, {"learn_scale": True}])
@pytest.mark.parametrize("name", ["BC", "BNN", "BNN++"])
def test_compiled_without_graph_breaks_it_computes_the_same(name: str, scaling: dict[str, Any]) -> None:
    model = nn.Sequential(nn.Linear(4, 5), PairQuantizer(name, **scaling), nn.Linear(5, 2))
    parametrize.register_parametrization(model[2], "weight", PairQuantizer(name, **scaling))
    torch._dynamo.reset()
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    x = torch.randn(3, 4)
    found = []
    for network in (model, compiled):
        model.zero_grad()
        y = network(x)
        y.square().sum().backward()
        found.append([y.detach(), *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) > 4
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@TRACING
def test_the_first_call_may_be_the_compiled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    widths = iter(range(31, 99))

    def new() -> Any:  # its kernels have not been made before
        return prepare("PC", horizontal=Fraction(1, next(widths)), vertical=THIRD)

    def as_compiled(network: nn.Module) -> bool:
        torch._dynamo.reset()
        return torch.equal(torch.compile(network, fullgraph=True, backend="eager")(x), network(x))

    x = torch.randn(3, 4, requires_grad=True)
    quantizer = PairQuantizer(new())
    assert as_compiled(quantizer)
    quantizer.set(new())
    assert as_compiled(quantizer)
    other = PairQuantizer("BC")
    other.set_extra_state(PairQuantizer(new()).get_extra_state())
    assert as_compiled(other)
    model = binarize(nn.Sequential(nn.Linear(4, 4)), new(), skip="none")
    with hardened(model):
        assert as_compiled(model)
    assert as_compiled(packing.FixedQuantizer(quantizers.Chosen(new(), None, None, ()), None, None))
    monkeypatch.setattr(quantizers.Chosen, "build", lambda self, hard=False: None)
    with pytest.raises(torch._dynamo.exc.Unsupported):
        as_compiled(PairQuantizer(new()))


def test_autocast_leaves_latent_weights_and_F_in_float32(device: torch.device) -> None:
    model = binarize(mlp(6, 8, 8, 3), "BNN++", skip="none", scale="tensor", activations=True).to(device)
    with torch.autocast(device.type, dtype=torch.bfloat16):
        w = model[0].weight
        y = model(torch.randn(5, 6, device=device))
    u = model[0].parametrizations.weight.original
    s = model[0].parametrizations.weight[0].scale
    assert torch.equal(w.detach(), kernel(prepare("BNN++").forward)(u.detach()) * s)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert all(p.dtype == torch.float32 and p.grad is not None for p in model.parameters())


def test_set_exchanges_the_pair_and_refuses_what_it_does_not_know() -> None:
    q = PairQuantizer("BNN++", beta=5)
    q.set(beta=7)
    assert q.prepared is prepare("BNN++", beta=7)
    with pytest.raises(InputError, match="unknown parameter 'gamma'"):
        q.set(gamma=1)
    assert q.prepared is prepare("BNN++", beta=7)
    pc = PairQuantizer("PC", horizontal=THIRD)
    pc.set(vertical=THIRD)
    assert pc.prepared is prepare("PC", horizontal=THIRD, vertical=THIRD)
    made = PairQuantizer(uniform_pair(2, 0, THIRD / 2), levels=uniform_levels(2))
    made.set(uniform_pair(2, 0, THIRD / 4))
    assert len(made.prepared.levels) == 4
    with pytest.raises(InputError, match="give another pair"):
        PairQuantizer(prepare("PC")).set(vertical=THIRD)
    once: Any = (q for q in (-1, 0, 1))
    made = PairQuantizer("PC", levels=once)
    made.set(horizontal=THIRD)
    assert len(made.prepared.levels) == 3
    loaded = PairQuantizer("BC")
    loaded.load_state_dict(made.state_dict())
    loaded.set(vertical=THIRD)
    assert loaded.prepared is prepare("PC", [-1, 0, 1], horizontal=THIRD, vertical=THIRD)


def test_a_pair_that_is_not_covered_warns_once_with_its_witness() -> None:
    with pytest.warns(UserWarning, match=r"BNN\+ is unprincipled: .*B\(-1/2\) != B\(-1/4\)") as seen:
        binarize(mlp(2, 2, 2, 2, 2), "BNN+", activations=True)
    assert len(seen) == 1
    with pytest.warns(UserWarning, match="unprincipled"):
        q = PairQuantizer("BNN+")
    q.set(beta=3)
    q.set("BC")
    with pytest.warns(UserWarning, match="unprincipled"):
        q.set("BNN+")


@pytest.mark.parametrize("x", [torch.tensor([1]), torch.tensor([True]), torch.tensor([1j]), [1.0]])
def test_other_inputs_are_refused(x: Any) -> None:
    with pytest.raises(InputError, match="takes float16, bfloat16, float32 or float64"):
        PairQuantizer("BC")(x)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: PairQuantizer("BC", scale=0.0), "positive finite"),
        (lambda: PairQuantizer("BC", scale=float("nan")), "positive finite"),
        (lambda: PairQuantizer("BC", scale=1j), "positive finite"),
        (lambda: PairQuantizer("BC", scale="channel"), "positive finite numbers were expected, not 'channel'"),
        (lambda: PairQuantizer("BC", scale=torch.ones(2), group=3), "shape .out, groups, 1."),
        (lambda: PairQuantizer("BC", scale=torch.ones(2, 1, 1), group=0), "group: a number of entries"),
        (lambda: PairQuantizer("BC", scale=torch.ones(2, 1, 1), group=2.0), "group: a number of entries"),
        (lambda: PairQuantizer(None), "a pair was expected: .* not None"),
        (lambda: PairQuantizer("BC", levels=3), "levels: two or more"),
        (lambda: uniform_levels(2.0), "1, 2, 3 or 4"),
        (lambda: PairQuantizer(prepare("BC"), levels=[-1, 1]), "levels already"),
        (lambda: PairQuantizer("BC", scale=torch.ones(3))(torch.ones(2)), "does not fit"),
        (lambda: PairQuantizer("BC", scale=torch.ones(3))(torch.ones(1)), "does not fit"),
        (lambda: PairQuantizer("BC", scale=torch.ones(2, 2, 1), group=3)(torch.ones(2, 5)), "does not fit"),
        (lambda: PairQuantizer("BC").set_extra_state("x"), "tensor of bytes"),
        (lambda: PairQuantizer("BC").set_extra_state(torch.tensor([1], dtype=torch.uint8)), "state of a quantizer"),
        (lambda: uniform_pair(5), "1, 2, 3 or 4"),
        (lambda: uniform_pair(2, horizontal=0.5), "horizontal: an exact number"),
        (lambda: uniform_pair(2, vertical=-1), "vertical: a width of at least 0"),
    ],
)
def test_bad_arguments_are_refused(make: Callable[[], Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make()


# --------------------------------------------------------------------------- pairs with several levels


@given(st.integers(1, 4), st.fractions(-2, 2, max_denominator=60))
def test_uniform_pairs_project_to_the_nearest_level_ties_to_the_larger(bits: int, x: Fraction) -> None:
    levels = [Fraction(int(q.p), int(q.q)) for q in uniform_levels(bits)]
    assert len(levels) == 2**bits
    nearest = min(levels, key=lambda q: (abs(q - x), -q))
    assert uniform_pair(bits).forward(x) == nearest


@given(
    st.integers(1, 4),
    st.fractions(0, 1, max_denominator=40),
    st.fractions(0, 1, max_denominator=40),
    st.fractions(-2, 2, max_denominator=60),
)
def test_the_family_is_flat_then_linear_then_jumps(bits: int, flat: Fraction, jump: Fraction, x: Fraction) -> None:
    m = uniform_pair(bits, flat, jump).forward
    levels = [Fraction(int(q.p), int(q.q)) for q in uniform_levels(bits)]
    half = (levels[1] - levels[0]) / 2
    nearest = min(levels, key=lambda q: (abs(q - x), -q))
    off = abs(x - nearest)
    if off <= min(flat, half) or abs(x) >= 1 or jump >= half or flat >= half:
        expected = nearest
    else:
        expected = nearest + (off - flat) * (half - jump) / (half - flat) * (1 if x > nearest else -1)
    assert m(x) == expected
    assert all(m(q) == q for q in levels)


def test_the_family_of_one_bit_is_the_catalogue_s_PC() -> None:
    for flat, jump in itertools.product((0, THIRD / 2, THIRD), repeat=2):
        ours, theirs = uniform_pair(1, flat, jump), prepare("PC", horizontal=flat, vertical=jump).pair
        assert ours.forward.agrees(theirs.forward, at_breaks=False)
    assert prepare(uniform_pair(3, THIRD / 9, THIRD / 9)).verdict.grade == "smooth"
    assert prepare(uniform_pair(2)).staircase


# --------------------------------------------------------------------------- binarize


def hand_written(model: nn.Sequential, make: Callable[[Any], Any], data: list[tuple[Tensor, Tensor]]) -> list[Tensor]:
    """BinaryConnect in plain torch: weights where(u >= 0, 1, -1), their gradient given to u."""
    linear = [m for m in model if isinstance(m, nn.Linear)]
    us = [m.weight for m in linear]
    optimizer = make([p for m in linear for p in (m.weight, m.bias)])
    for x, y in data:
        ws = [torch.where(u.detach() >= 0, 1.0, -1.0).requires_grad_() for u in us]
        z = x
        for i, (m, w) in enumerate(zip(linear, ws, strict=True)):
            z = nn.functional.linear(z, w, m.bias)
            z = z if i == len(linear) - 1 else z.relu()
        optimizer.zero_grad()
        nn.functional.cross_entropy(z, y).backward()
        for u, w in zip(us, ws, strict=True):
            u.grad = w.grad
        optimizer.step()
    return [u.detach() for u in us]


OPTIMIZERS = {
    "momentum": lambda ps: torch.optim.SGD(ps, lr=0.05, momentum=0.9),
    "adam": lambda ps: torch.optim.Adam(ps, lr=0.01),
}


def follows_hand_written(pair: Any, optimizer: str, device: torch.device) -> bool:
    plain = mlp(6, 8, 8, 3).to(device)
    ours = binarize(copy.deepcopy(plain), pair, skip="none")
    data = [(torch.randn(16, 6, device=device), torch.randint(3, (16,), device=device)) for _ in range(50)]
    expected = hand_written(plain, OPTIMIZERS[optimizer], data)
    linear = [m for m in ours if isinstance(m, nn.Linear)]
    order = [p for m in linear for p in (m.parametrizations.weight.original, m.bias)]
    stepper = OPTIMIZERS[optimizer](order)
    start = latents(ours)
    for x, y in data:
        stepper.zero_grad()
        nn.functional.cross_entropy(ours(x), y).backward()
        stepper.step()
    found = latents(ours)
    assert any(bool((a.sign() != b.sign()).any()) for a, b in zip(start, found, strict=True))
    return all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_BC_is_BinaryConnect_bit_for_bit(optimizer: str, device: torch.device) -> None:
    assert follows_hand_written("BC", optimizer, device)
    assert not follows_hand_written("sign(x) ; Piecewise((1, Abs(x) <= 1/5), (0, True))", optimizer, device)


def test_an_optimizer_made_before_still_moves_the_latent_weights() -> None:
    model = mlp(3, 4, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    binarize(model, "BC", skip="none", scale="channel")
    before = latents(model)
    model(torch.randn(5, 3)).square().sum().backward()
    optimizer.step()
    assert all(not torch.equal(a, b) for a, b in zip(before, latents(model), strict=True))


class Small(nn.Module):
    """A convolution, batch norm, attention and linear layers: every kind of layer that is quantized."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(2, 8, 3, padding=1)
        self.norm = nn.BatchNorm1d(8)
        self.conv = nn.Conv1d(8, 8, 3, padding=1, groups=2)
        self.mix = nn.MultiheadAttention(8, 2, batch_first=True)
        self.cross = nn.MultiheadAttention(8, 2, kdim=6, vdim=4, batch_first=True)
        self.hidden = nn.Linear(8, 8)
        self.head = nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        z = self.norm(self.conv(self.norm(self.stem(x)).relu())).transpose(1, 2)
        z = z + self.mix(z, z, z, need_weights=False)[0]
        z = z + self.cross(z, z[..., :6], z[..., :4])[0]
        return self.head(self.hidden(z).relu().mean(1))


QUANTIZED_IN_SMALL = {
    *("conv.weight", "mix.in_proj_weight", "mix.out_proj.weight", "hidden.weight", "cross.out_proj.weight"),
    *(f"cross.{k}_proj_weight" for k in "qkv"),
}


def quantized(model: nn.Module) -> set[str]:
    return {n.replace("parametrizations.", "")[:-9] for n, _ in model.named_parameters() if n.endswith(".original")}


def test_all_layers_but_the_first_and_the_last_are_quantized() -> None:
    assert quantized(binarize(Small(), "BC")) == QUANTIZED_IN_SMALL
    assert quantized(binarize(Small(), "BC", skip="none")) == {*QUANTIZED_IN_SMALL, "stem.weight", "head.weight"}
    some = binarize(Small(), "BC", skip=["stem", "mix", "cross", "head"], activations="BNN")
    assert quantized(some) == {"conv.weight", "hidden.weight"}
    binarize(some, "PC", skip=["stem", "conv", "cross", "hidden", "head"])
    assert "mix.in_proj_weight" in quantized(some)
    only = binarize(Small(), "BNN", weights=False, activations=True, skip=["mix", "cross"])
    assert quantized(only) == set()
    assert sum(n.endswith("input_quantizer") for n, _ in only.named_modules()) == 4
    assert not binarize(mlp(2, 2).eval(), "BC", activations=True, skip="none")[0].input_quantizer.training


@pytest.mark.parametrize("scale", ["tensor", "channel", 4])
@pytest.mark.parametrize("bits", [1, 2])
def test_the_scale_is_mean_W_over_mean_level(scale: Any, bits: int) -> None:
    model, mean = mlp(8, 6), sum(abs(to_float(q)) for q in uniform_levels(bits)) / 2**bits
    w = model[0].weight.detach().clone()
    binarize(model, uniform_pair(bits), skip="none", scale=scale)
    found = model[0].parametrizations.weight
    s = found[0].scale
    means = {"tensor": w.abs().mean(), "channel": w.abs().mean(1, True), 4: w.abs().reshape(6, 2, 4).mean(2, True)}
    assert torch.allclose(s, means[scale] / mean)
    wide = s.expand(6, 2, 4).reshape(6, 8) if scale == 4 else s
    assert torch.equal(found.original, w / wide)
    assert torch.allclose((found.original.abs() * wide).mean(), w.abs().mean())


@TRACING
def test_activations_are_quantized_before_the_layer_with_tensors_and_keywords(device: torch.device) -> None:
    model = binarize(mlp(4, 4, 4, 4), "BC", activations="BNN", skip=["0", "4"]).to(device)
    layer, x = model[2], torch.randn(3, 4, device=device, requires_grad=True)
    expected = nn.functional.linear(torch.where(x >= 0, 1.0, -1.0), layer.weight, layer.bias)
    assert torch.equal(layer(x), expected)
    assert torch.equal(layer(input=x), expected)
    with pytest.raises(InputError, match="the input was expected first"):
        layer(x=x)
    other = copy.deepcopy(layer)
    other.input_quantizer.set("FP")
    assert torch.equal(layer(x), expected)
    assert not torch.equal(other(x), expected)
    compiled = torch.compile(model, fullgraph=True, backend="eager")
    assert torch.equal(compiled(x), model(x))


def test_frozen_and_empty_and_zero_weights_are_defined() -> None:
    model = mlp(3, 4, 2)
    model[0].weight.requires_grad_(False)
    binarize(model, "BC", skip="none", scale="channel")
    model(torch.randn(2, 3)).sum().backward()
    assert set(model[0].weight.detach().abs().unique(dim=1).shape) == {4, 1}
    assert model[0].parametrizations.weight.original.grad is None
    assert model[2].parametrizations.weight.original.grad is not None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns that it initialises nothing
        empty = [nn.Sequential(nn.Linear(0, 4)), nn.Sequential(nn.Linear(4, 0))]
    for scale, layer in itertools.product((None, "tensor", "channel", 2), empty):
        found = binarize(copy.deepcopy(layer), "BC", skip="none", scale=scale)
        x = torch.randn(3, layer[0].in_features)
        assert torch.equal(found(x), layer(x))
    zero = nn.Sequential(nn.Linear(4, 2))
    nn.init.zeros_(zero[0].weight)
    for scale in ("tensor", "channel", 2):
        w = binarize(copy.deepcopy(zero), "BC", skip="none", scale=scale)[0].weight
        assert torch.equal(w, torch.full((2, 4), 0.5))


class Tied(nn.Module):
    """An embedding and its decoder share one weight; two hidden layers share another."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.a, self.b, self.decode = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 7)
        self.decode.weight = self.embed.weight
        self.b.weight = self.a.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.decode(self.b(self.a(self.embed(x)).relu()).relu())


def still_tied(model: nn.Module) -> bool:
    """Whether both places compute with one latent weight, before and after a step."""
    x = torch.tensor([0, 3, 6])
    parameters = list(model.parameters())
    optimizer = torch.optim.SGD(parameters, lr=0.5)
    same = True
    for _ in range(2):
        same &= torch.equal(model.a.weight, model.b.weight) and torch.equal(model.embed.weight, model.decode.weight)
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()
    return same


def test_tied_weights_stay_tied(tmp_path: Path) -> None:
    plain = Tied()
    model = binarize(copy.deepcopy(plain), "BC", skip="none", scale="channel")
    assert len(list(model.parameters())) == len(list(plain.parameters()))
    twin = copy.deepcopy(model)
    assert still_tied(model)
    assert still_tied(twin)
    assert not torch.equal(next(twin.parameters()), next(plain.parameters()))
    fresh = binarize(Tied(), "BC", skip="none", scale="channel")
    fresh.load_state_dict(model.state_dict())
    x = torch.tensor([1, 5])
    assert torch.equal(fresh(x), model(x))
    assert still_tied(fresh)
    hard = harden(model)
    assert hard.a.weight is hard.b.weight
    assert hard.decode.weight is hard.embed.weight
    assert torch.equal(hard(x), model(x))
    other = load_packed(save_packed(model, tmp_path / "tied.npz"), Tied())
    assert torch.equal(other(x), model(x))
    with pytest.raises(InputError, match="is shared in the network and not in the file"):
        load_packed(save_packed(untied(model), tmp_path / "untied.npz"), Tied())


def untied(model: nn.Module) -> nn.Module:
    """A copy whose two places have latent weights of their own: what registering twice would make."""
    wrong = copy.deepcopy(model)
    wrong.b.parametrizations["weight"] = copy.deepcopy(wrong.a.parametrizations["weight"])
    return wrong


def test_an_untied_weight_would_be_seen() -> None:
    assert not still_tied(untied(binarize(Tied(), "BC", skip="none")))


def shares_memory() -> nn.Module:
    model = mlp(4, 4, 4)
    model[2].weight = nn.Parameter(model[0].weight.detach())
    return model


def test_parameters_side_by_side_in_one_memory_are_not_shared() -> None:
    model = mlp(4, 4, 4)
    nn.utils.vector_to_parameters(nn.utils.parameters_to_vector(model.parameters()), model.parameters())
    assert quantized(binarize(model, "BC", skip="none")) == {"0.weight", "2.weight"}


def recurrent() -> nn.Module:
    model = nn.ModuleList([nn.Linear(4, 16), nn.LSTM(4, 4)])
    model[0].weight = model[1].weight_ih_l0
    return model


def half_binarized() -> nn.Module:
    model = binarize(mlp(4, 4, 4), "BC", skip=["2"])
    model[2].weight = model[0].parametrizations.weight.original
    return model


def lazy() -> nn.Module:
    return nn.Sequential(nn.LazyLinear(3), nn.Linear(3, 3))


def broken() -> nn.Module:
    model = mlp(3, 3)
    with torch.no_grad():
        model[0].weight[0, 0] = float("inf")
    return model


def normed() -> nn.Module:
    return nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(3, 3)))


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (lambda: mlp(2, 2, 2), {}, "nothing is left to quantize, all of the 2 layers are skipped"),
        (lambda: nn.ReLU(), {"skip": "none"}, "nothing is left to quantize, all of the 0 layers"),
        (lambda: mlp(2, 2, 2), {"skip": ["0", "1"]}, "skip: '1' is no layer .* there are: 0, 2"),
        (lambda: mlp(2, 2, 2), {"skip": "last"}, "skip: first-last, none or a list"),
        (lambda: mlp(6, 6), {"skip": "none", "scale": 4}, "a group of 4 does not divide the 6 inputs of 0.weight"),
        (lambda: mlp(6, 6), {"skip": "none", "scale": 0}, "scale: None, tensor, channel or a group size"),
        (lambda: mlp(6, 6), {"skip": "none", "scale": "row"}, "scale: None, tensor, channel or a group size"),
        (lambda: binarize(mlp(2, 2), "BC", skip="none"), {"skip": "none"}, "0.weight is binarized already"),
        (normed, {"skip": "none"}, "0.weight: its layer has another parametrization"),
        (lazy, {"skip": "none"}, "0.weight: an initialised floating-point parameter"),
        (lambda: mlp(3, 3).to("meta"), {"skip": "none"}, "0.weight: an initialised floating-point parameter"),
        (recurrent, {"skip": "none"}, "0.weight and 1.weight_ih_l0 are one parameter, and one is of a recurrent"),
        (lambda: mlp(2, 2, 2), {"skip": None}, "skip: first-last, none or a list"),
        (lambda: mlp(2, 2, 2), {"skip": [["0"]]}, "is no layer with weights"),
        (lambda: mlp(6, 6), {"skip": "none", "scale": np.ones(3)}, "scale: None, tensor, channel or a group size"),
        (lambda: mlp(2, 2), {"skip": "none", "activations": 5}, "a pair was expected: .* not 5"),
        (broken, {"skip": "none"}, "0.weight has entries that are not finite"),
        (half_binarized, {"skip": ["0"]}, "2.weight and 0.parametrizations.weight.original are one parameter"),
        (shares_memory, {"skip": "none"}, "0.weight and 2.weight share memory"),
        (Tied, {"skip": ["b"]}, "a.weight and b.weight are one parameter, and one of them is skipped"),
        (Small, {"activations": True}, "attention 'mix' cannot be quantized"),
        (lambda: mlp(2, 2), {"weights": False}, "activations were expected"),
        (lambda: mlp(2, 2), {"skip": "none", "beta": 1}, "unknown parameter 'beta'"),
        (lambda: mlp(2, 2), {"skip": "none", "activations": "nothing"}, "nothing"),
        (
            lambda: binarize(mlp(2, 2), "BC", skip="none", weights=False, activations=True),
            {"skip": "none", "activations": True},
            "the inputs of '0' are quantized already",
        ),
    ],
)
def test_bad_networks_are_refused_and_unchanged(
    model: Callable[[], nn.Module], arguments: dict[str, Any], message: str
) -> None:
    network = model()
    before = repr(network), list(network.parameters())
    values = [None if nn.parameter.is_lazy(p) or p.is_meta else p.detach().clone() for p in before[1]]
    with pytest.raises(InputError, match=message):
        binarize(network, "BC", **arguments)
    assert repr(network) == before[0]
    for p, kept, old in zip(network.parameters(), before[1], values, strict=True):
        assert p is kept
        assert old is None or torch.equal(p, old)


# --------------------------------------------------------------------------- hard networks


def hard_equals(model: nn.Module, x: Tensor, within: Any) -> bool:
    """Whether the hard network computes what the training one does inside ``within``, in both modes."""
    same = True
    for training in (False, True):
        # batch norm moves its averages in training, so each run gets a copy
        a, b = (copy.deepcopy(m).train(training) for m in (model, harden(model)))
        with torch.no_grad(), within(a):
            same &= torch.equal(a(x), b(x))
        with within(a):
            same &= torch.allclose(a(x), b(x), atol=1e-5)
    return same


@pytest.mark.parametrize("scale", [None, "tensor", "channel", 2])
def test_a_staircase_is_hard_as_it_stands(scale: Any, device: torch.device) -> None:
    x = torch.randn(4, 2, 9, device=device)
    for pair in ("BC", "BNN", uniform_pair(2), uniform_pair(3)):
        model = binarize(Small(), pair, scale=scale, learn_scale=scale == "channel").to(device)
        assert hard_equals(model, x, contextlib.nullcontext)
        assert hard_equals(model, x, hardened)


@pytest.mark.parametrize("name", ["BNN++", "PC"])
def test_a_soft_pair_is_hard_inside_hardened_only(name: str, device: torch.device) -> None:
    x = torch.randn(4, 2, 9, device=device)
    model = binarize(Small(), name, scale="channel").to(device)
    assert hard_equals(model, x, hardened)
    assert not hard_equals(model, x, contextlib.nullcontext)
    y = model(x)
    with pytest.raises(KeyError), hardened(model):
        raise KeyError
    model.eval()
    y = model(x)
    with hardened(model):
        with hardened(model):
            assert not torch.equal(model(x), y)
        assert not torch.equal(model(x), y)
    assert torch.equal(model(x), y)


def test_a_hard_network_is_plain_and_the_training_one_is_unchanged(device: torch.device) -> None:
    model = binarize(mlp(4, 8, 8, 3), "BC", activations="BNN++", scale="tensor", learn_scale=True).to(device)
    model.insert(1, PairQuantizer("BNN", scale=0.5).to(device))
    shared = model[1]
    model.append(shared)
    x, before = torch.randn(5, 4, device=device), repr(model)
    hard = harden(model)
    assert repr(model) == before
    assert model[3].weight.requires_grad
    assert type(hard[3]) is nn.Linear
    assert isinstance(hard[3].weight, nn.Parameter)
    assert not any(isinstance(m, PairQuantizer) for m in hard.modules())
    assert hard[1] is hard[-1]
    s = model[3].parametrizations.weight[0].scale.item()
    assert hard[3].weight.unique().tolist() == [-s, s]
    assert torch.equal(hard(x), model(x))
    assert torch.equal(copy.deepcopy(hard)(x), model(x))
    exported = torch.export.export(hard, (x,)).module()
    assert torch.equal(exported(x), hard(x))
    parametrize.remove_parametrizations(copy.deepcopy(model)[3], "weight")  # torch's way would harm the original
    with torch.no_grad():
        model[3].weight = torch.ones(8, 8, device=device)


def test_training_goes_on_without_the_hard_network(tmp_path: Path) -> None:
    model = binarize(mlp(3, 3), "BC", skip="none", scale="channel", learn_scale=True)
    alone = PairQuantizer("BC", scale=0.5, learn_scale=True)
    x, hard, fixed = torch.randn(2, 3), harden(model), harden(alone)
    y, z = hard(x), fixed(x)
    with torch.no_grad():
        for p in (*model.parameters(), *alone.parameters()):
            p.mul_(-2)
    assert torch.equal(hard(x), y)
    assert torch.equal(fixed(x), z)
    assert torch.equal(load_packed(save_packed(hard, tmp_path / "a.npz"), mlp(3, 3))(x), y)


def test_hardening_refuses_what_it_cannot_do() -> None:
    with pytest.raises(InputError, match="a network with quantizers was expected"):
        harden(mlp(2, 2))
    model = binarize(mlp(2, 2), "BC", skip="none")
    with torch.no_grad():
        model[0].parametrizations.weight.original[0, 0] = float("nan")
    with pytest.raises(InputError, match=r"0\.weight: latent weights that are not NaN"):
        harden(model)
    with pytest.raises(InputError, match=r"0\.weight: latent weights with values"):
        harden(model.to("meta"))
    with pytest.raises(InputError, match=r"0\.weight: hard values among the levels"):
        harden(binarize(mlp(2, 2), QuantizerPair(PiecewiseMap.of(0), PiecewiseMap.of(1)), skip="none"))
    twice = binarize(mlp(2, 2), "BC", skip="none")
    parametrize.register_parametrization(twice[0], "weight", nn.Identity())
    with pytest.raises(InputError, match="a parametrization besides a quantizer"):
        harden(twice)


# --------------------------------------------------------------------------- files


@given(st.integers(1, 9), st.lists(st.integers(0, 2**9 - 1), max_size=70))
def test_codes_are_packed_bit_by_bit(bits: int, codes: list[int]) -> None:
    a = np.array(codes, dtype=np.int64) % 2**bits
    packed = packing.pack(a, bits)
    assert packed.size == -(-a.size * bits // 8)
    assert np.array_equal(packing.unpack(packed, bits, a.size), a)


def test_the_order_of_bits_in_a_file_stays() -> None:
    assert packing.pack(np.array([1, 2, 0, 3, 1]), 2).tolist() == [0b10010011, 0b10000000]


def round_trip(model: nn.Module, path: Path, into: nn.Module, x: Tensor) -> bool:
    hard = harden(model)
    save_packed(model, path)
    return torch.equal(load_packed(path, into)(x), hard(x))


@pytest.mark.parametrize("pair", ["BC", "BNN++", uniform_pair(2), uniform_pair(3), uniform_pair(4), "levels given"])
@pytest.mark.parametrize("scale", [None, "channel", 2])
def test_packed_files_give_the_hard_network_bit_for_bit(
    pair: Any, scale: Any, tmp_path: Path, device: torch.device
) -> None:
    if pair == "levels given":
        model = binarize(Small(), "FP", levels=[-1, 0, THIRD], scale=scale)
    else:
        model = binarize(Small(), pair, scale=scale)
    model = binarize(model.to(device), "BNN++", weights=False, activations=True, skip=["stem", "mix", "cross"]).eval()
    x, into = torch.randn(3, 2, 9, device=device), Small().to(device).eval()
    assert round_trip(model, tmp_path / "a.npz", into, x)
    again = save_packed(copy.deepcopy(into), tmp_path / "b.npz")
    assert not any(m.training for m in into.modules())
    assert torch.equal(load_packed(again, Small().to(device).eval())(x), into(x))


def test_dtypes_and_activation_quantizers_travel(tmp_path: Path) -> None:
    for dtype in (torch.float64, torch.bfloat16):
        model = binarize(mlp(4, 4, 4, dtype=dtype), uniform_pair(2), skip="none", scale="channel")
        model.insert(1, PairQuantizer("BNN++", scale=torch.tensor(0.3)))
        into = mlp(4, 4, 4, dtype=dtype)
        into.insert(1, PairQuantizer("BC"))
        x = torch.randn(3, 4, dtype=dtype)
        with torch.no_grad():
            assert torch.equal(harden(model)(x), model(x))
        assert round_trip(model, tmp_path / "a.npz", into, x)
        plain = mlp(4, 4, 4, dtype=dtype)
        plain.insert(1, nn.Identity())
        with pytest.raises(InputError, match="1 is a quantizer there"):
            load_packed(tmp_path / "a.npz", plain)


def test_a_bit_takes_a_bit(tmp_path: Path) -> None:
    layer = nn.Sequential(nn.Linear(1024, 512, bias=False))
    for bits in (1, 2, 3):
        size = (
            save_packed(binarize(copy.deepcopy(layer), uniform_pair(bits), skip="none"), tmp_path / "a").stat().st_size
        )
        assert 1 <= size / (1024 * 512 * bits / 8) < 1.03


def test_a_code_packed_wrong_would_be_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = binarize(mlp(5, 5, 5), uniform_pair(2), skip="none"), torch.randn(2, 5)
    assert round_trip(model, tmp_path / "a.npz", mlp(5, 5, 5), x)
    pack = packing.pack
    monkeypatch.setattr(packing, "pack", lambda codes, bits: pack(codes ^ (np.arange(codes.size) == 7), bits))
    assert not torch.equal(harden(model)(x), model(x))


def changed(data: bytes, header: Callable[[dict[str, Any]], None], digest: bool = True) -> bytes:
    """The file with another header, its digest made again if asked."""
    with np.load(io.BytesIO(data)) as archive:
        arrays = {k: archive[k] for k in archive.files}
    found = json.loads(arrays.pop("header").tobytes())
    header(found)
    if digest:
        found.pop("sha256")
        found["sha256"] = packing._digest(found, arrays)
    out = io.BytesIO()
    np.savez(out, header=np.frombuffer(json.dumps(found).encode(), dtype=np.uint8), **arrays)
    return out.getvalue()


def edit(*keys: Any, to: Any) -> Callable[[dict[str, Any]], None]:
    def run(header: dict[str, Any]) -> None:
        place: Any = header
        for k in keys[:-1]:
            place = place[k]
        place[keys[-1]] = to

    return run


def with_member(data: bytes) -> bytes:
    out = io.BytesIO(data)
    with zipfile.ZipFile(out, "a") as archive:
        archive.writestr("note", "of another tool")
    return out.getvalue()


def bomb(data: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("plain9.npy", "w") as member:
        for _ in range(65):
            member.write(bytes(2**20))
    return out.getvalue()


def other_codes(data: bytes) -> bytes:
    with np.load(io.BytesIO(data)) as archive:
        arrays = {k: archive[k] for k in archive.files}
    arrays["codes0"] = ~arrays["codes0"]
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


SPOILED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda d: d[: len(d) // 2], "truncated, damaged"),
    "empty": (lambda d: b"", "truncated, damaged"),
    "foreign": (lambda d: b"PK not", "truncated, damaged"),
    "version": (lambda d: changed(d, edit("version", to=2)), "version 1 of the format was expected, not 2"),
    "format": (lambda d: changed(d, edit("format", to="other")), "of another kind"),
    "checksum": (lambda d: changed(d, edit("quantized", 0, "levels", to=[-1, 2]), digest=False), "checksum"),
    "shape": (lambda d: changed(d, edit("quantized", 0, "shape", to=[4, 5])), "codes of 1 bits were expected"),
    "levels": (lambda d: changed(d, edit("quantized", 0, "levels", to=["a", "b"])), "not what it should be"),
    "one level": (lambda d: changed(d, edit("quantized", 0, "levels", to=[1])), "two or more increasing levels"),
    "no number": (
        lambda d: changed(d, edit("quantized", 0, "levels", to=[-1, float("nan")])),
        "two or more increasing",
    ),
    "too large": (lambda d: changed(d, edit("quantized", 0, "levels", to=[-1, 10**400])), "not what it should be"),
    "no text": (lambda d: changed(d, edit("quantized", 0, "name", to=5)), "names were expected to be text"),
    "codes": (other_codes, "checksum"),
    "member": (with_member, "of another kind"),
    "bomb": (bomb, "unpacked it is larger than any file for this network"),
    "missing": (lambda d: changed(d, edit("quantized", to=None)), "not what it should be"),
    "dtype": (lambda d: changed(d, edit("quantized", 0, "dtype", to="float64")), "float64 there and .* float32 in"),
    "name": (lambda d: changed(d, edit("quantized", 0, "name", to="9.weight")), "9.weight, which the network does not"),
}


@pytest.mark.parametrize("how", SPOILED)
def test_spoiled_files_are_refused_in_one_sentence(how: str, tmp_path: Path) -> None:
    path = save_packed(binarize(mlp(4, 4, 4), "BC", skip="none"), tmp_path / "a.npz")
    spoil, message = SPOILED[how]
    path.write_bytes(spoil(path.read_bytes()))
    refused_unchanged(path, mlp(4, 4, 4), message)


def refused_unchanged(path: Path, into: nn.Module, message: str) -> None:
    before = [p.detach().clone() for p in into.parameters()]
    with pytest.raises(InputError, match=message) as error:
        load_packed(path, into)
    assert "\n" not in str(error.value)
    assert all(torch.equal(a, b) for a, b in zip(before, into.parameters(), strict=True))


def test_a_flipped_bit_is_refused_or_harmless(tmp_path: Path) -> None:
    model, x = binarize(mlp(4, 4, 4), "BC", skip="none", scale="channel"), torch.randn(3, 4)
    state, expected = model.state_dict(), harden(model)(x)
    packed, stored = save_packed(model, tmp_path / "a"), save_checkpoint(tmp_path / "b", **state)
    for path in (packed, stored):
        whole, refused = path.read_bytes(), 0
        for i in range(0, len(whole), 17):
            path.write_bytes(whole[:i] + bytes([whole[i] ^ 1 << i % 8]) + whole[i + 1 :])
            try:
                if path is packed:
                    assert torch.equal(load_packed(path, mlp(4, 4, 4))(x), expected)
                else:
                    found = load_checkpoint(path)
                    assert all(torch.equal(found[k], state[k]) for k in state)
            except InputError:
                refused += 1
        assert refused > len(whole) / 17 / 2


class Counting(nn.Linear):
    """A layer with a state of its own."""

    def get_extra_state(self) -> Tensor:
        return torch.tensor([7])

    def set_extra_state(self, state: Tensor) -> None:
        pass


def with_buffer(table: Tensor) -> nn.Module:
    layer = nn.ReLU()
    layer.register_buffer("table", table)
    return layer


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (lambda: Counting(4, 4), "2._extra_state is what a module stores"),
        (lambda: nn.LazyLinear(4), "2.weight is no tensor with values"),
        (lambda: nn.Linear(4, 4, device="meta"), "2.weight is no tensor with values"),
        (lambda: with_buffer(torch.eye(4).to_sparse()), "2.table: only dense tensors"),
        (lambda: with_buffer(torch.zeros(4, dtype=torch.float8_e5m2)), "2.table: tensors of type float8_e5m2"),
    ],
)
def test_what_a_packed_file_cannot_hold_is_refused(last: Any, message: str, tmp_path: Path) -> None:
    end = last()
    skip = ["2"] if isinstance(end, nn.Linear) else []
    model = binarize(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), end), "BC", skip=skip)
    with pytest.raises(InputError, match=message):
        save_packed(model, tmp_path / "a.npz")
    assert not (tmp_path / "a.npz").exists()


def test_what_was_loaded_before_is_forgotten(tmp_path: Path) -> None:
    first = save_packed(binarize(mlp(4, 4, 4), "BC", skip="none"), tmp_path / "a.npz")
    second = save_packed(binarize(mlp(4, 4, 4), "BC", skip=["2"]), tmp_path / "b.npz")
    into = load_packed(second, load_packed(first, mlp(4, 4, 4)))
    third = save_packed(into, tmp_path / "c.npz")
    found = load_packed(third, mlp(4, 4, 4))
    assert not found[0].weight.requires_grad
    assert found[2].weight.requires_grad


def test_networks_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = binarize(mlp(4, 4, 4), "BC", skip="none")
    path = save_packed(model, tmp_path / "a.npz")
    refused_unchanged(path, mlp(4, 4, 3), r"2.weight is \(4, 4\) float32 there and \(3, 4\) float32 in the network")
    refused_unchanged(path, mlp(4, 4, 4, 4), "lacks 4.weight of the network")
    refused_unchanged(path, mlp(4, 4), "holds 2.bias|holds 2.weight")
    refused_unchanged(path, model, "without latent weights")
    for into in (mlp(4, 4, 4).to("meta"), nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.LazyLinear(4))):
        with pytest.raises(InputError, match="weight of the network is no tensor with values"):
            load_packed(path, into)
    refused_unchanged(tmp_path / "none.npz", mlp(4, 4, 4), "cannot be read")
    with pytest.raises(InputError, match="a network of harden"):
        save_packed(mlp(2, 2), tmp_path / "b.npz")
    hard = harden(model)
    with torch.no_grad():
        hard[0].weight[0, 0] += 1
    with pytest.raises(InputError, match=r"0\.weight was changed after"):
        save_packed(hard, tmp_path / "b.npz")
    assert not (tmp_path / "b.npz").exists()


@pytest.mark.parametrize("learn", [False, True])
def test_states_of_binarized_networks_load_strictly_with_their_parameters(learn: bool, tmp_path: Path) -> None:
    model = binarize(mlp(4, 6, 6, 2), "PC", scale="channel", learn_scale=learn, skip="none", horizontal=THIRD)
    for q in model.modules():
        if isinstance(q, PairQuantizer):
            q.set(vertical=THIRD)
    path = save_checkpoint(tmp_path / "c", model=model.state_dict(), step=7)
    fresh = binarize(mlp(4, 6, 6, 2), "PC", scale="channel", learn_scale=learn, skip="none")
    found = load_checkpoint(path)
    fresh.load_state_dict(found["model"])
    x = torch.randn(3, 4)
    assert torch.equal(fresh(x), model(x))
    assert found["step"] == 7
    q = fresh[0].parametrizations.weight[0]
    assert q.prepared.forward == prepare("PC", horizontal=THIRD, vertical=THIRD).forward
    q.set(vertical=0)
    assert q.prepared is prepare("PC", horizontal=THIRD, vertical=0)


def test_checkpoints_are_whole_or_refused(tmp_path: Path) -> None:
    model = mlp(3, 3)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.randn(2, 3)).sum().backward()
    optimizer.step()
    path = save_checkpoint(tmp_path / "c", model=model.state_dict(), optimizer=optimizer.state_dict(), note="a")
    optimizer.load_state_dict(load_checkpoint(path)["optimizer"])
    whole = path.read_bytes()
    torch.save({"a": 1}, tmp_path / "foreign")
    torch.save({"format": packing._CHECKPOINT, "parts": {"a": Path("x")}}, tmp_path / "objects")
    deflated = io.BytesIO()
    with zipfile.ZipFile(path) as given, zipfile.ZipFile(deflated, "w", zipfile.ZIP_DEFLATED) as made:
        for name in given.namelist():
            made.writestr(name, given.read(name))
    spoiled = [
        deflated.getvalue(),
        whole[: len(whole) // 2],
        whole[:10],
        b"",
        b"text",
        *((tmp_path / n).read_bytes() for n in ("foreign", "objects")),
    ]
    for data in spoiled:
        path.write_bytes(data)
        with pytest.raises(
            InputError, match="a checkpoint was expected, and the file is truncated, damaged or of another"
        ):
            load_checkpoint(path)
    with pytest.raises(InputError, match=r"parts\['a'\]\[1\] is a Fraction"):
        save_checkpoint(path, parts={"a": [1, THIRD]})
    for value, kind in (
        (np.float64(1), "float64"),
        (collections.Counter("a"), "Counter"),
        (lazy()[0].weight, "Uninit"),
    ):
        with pytest.raises(InputError, match=f"a is a {kind}"):
            save_checkpoint(path, a=value)
    with pytest.raises(InputError, match="device: a device of this machine was expected, not gpu"):
        load_checkpoint(path, "gpu")
    assert path.read_bytes() == spoiled[-1]


# --------------------------------------------------------------------------- two processes


PARALLEL = ("BC", "BNN++")


def _training(name: str, steps: int, rank: int | None) -> list[Tensor]:
    """Latent weights after steps on batches of 16, on all of them or on one of two halves."""
    torch.manual_seed(1)
    model: nn.Module = binarize(
        mlp(6, 8, 8, 3, dtype=torch.float64), name, skip="none", scale="channel", learn_scale=True
    )
    data = [(torch.randn(16, 6, dtype=torch.float64), torch.randint(3, (16,))) for _ in range(steps)]
    trained = model if rank is None else nn.parallel.DistributedDataParallel(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for x, y in data:
        part = slice(None) if rank is None else slice(8 * rank, 8 * rank + 8)
        optimizer.zero_grad()
        nn.functional.cross_entropy(trained(x[part]), y[part]).backward()
        optimizer.step()
    return [p.detach().clone() for p in model.parameters()]


def _process(rank: int, folder: str) -> None:
    import torch.distributed as dist

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.save({name: _training(name, 20, rank) for name in PARALLEL}, f"{folder}/{rank}")
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # the results are written; how the interpreter takes gloo's threads down is no part of the test


def test_two_processes_train_as_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_process, (str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / str(rank), weights_only=True) for rank in range(2)]
    for name in PARALLEL:
        alone = _training(name, 20, None)
        for a, b, c in zip(alone, found[0][name], found[1][name], strict=True):
            assert torch.equal(b, c)
            assert float((a - b).abs().max()) < 1e-9
            assert torch.equal(a >= 0, b >= 0)
        short = _training(name, 19, None)
        assert any(float((a - b).abs().max()) > 1e-9 for a, b in zip(short, found[0][name], strict=True))
