"""The in-place form: against loops written by hand, its state, its refusals, data parallelism, the benchmark."""

from __future__ import annotations

import copy
import io
import json
import math
import os
import re
from collections.abc import Callable
from pathlib import Path
from types import MethodType
from typing import Any

import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_benchmarks import loaded
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.optimizer import register_optimizer_step_post_hook, register_optimizer_step_pre_hook

from theory.errors import InputError
from verify import kernel_programs
from verify.accounts import TrainingLedger
from verify.inplace import InPlace, attach
from verify.prepared import prepare
from verify.quantizers import binarize

pytestmark = pytest.mark.usefixtures("one_thread")


Maker = Callable[[Any], torch.optim.Optimizer]
WIDE = {"horizontal": sp.Rational(3, 10), "vertical": sp.Rational(2, 5)}
OPTIMIZERS: dict[str, Maker] = {
    "SGD": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=0.01),
    "Adam": lambda p: torch.optim.Adam(p, lr=0.01),
    "AdamW": lambda p: torch.optim.AdamW(p, lr=0.01),
}


def plain(p: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(p, lr=0.1)


def network(device: torch.device, dtype: torch.dtype = torch.float32) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 16), nn.ReLU(), nn.Linear(16, 5)).to(device, dtype)


def data(device: torch.device, dtype: torch.dtype = torch.float32) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(32, 12, generator=generator, dtype=torch.float64)
    return x.to(device, dtype), torch.randint(5, (32,), generator=generator).to(device)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    p = next(model.parameters())
    x, y = data(p.device, p.dtype)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def weights(model: nn.Module) -> list[Tensor]:
    return [p for p in model.parameters() if p.dim() > 1]


def sign(u: Tensor) -> Tensor:
    return torch.where(u >= 0, 1.0, -1.0).to(u.dtype)


def swish(u: Tensor) -> Tensor:
    s = torch.sigmoid(5 * u)
    return 2 * s * (1 + 5 * u * (1 - s)) - 1


def swish_slope(u: Tensor) -> Tensor:
    s = torch.sigmoid(5 * u)
    return 5 * s * (1 - s) * (4 + 10 * u * (1 - 2 * s))


def by_hand(
    make: Maker,
    steps: int,
    device: torch.device,
    f: Any,
    b: Any = None,
    method: str = "PC++",
    dtype: Any = torch.float32,
) -> tuple[list[Tensor], list[Tensor]]:
    """(latent weights, the model's weights) of a loop that copies weights in and out around an ordinary optimizer."""
    model = network(device, dtype)
    ps = weights(model)
    optimizer = make(model.parameters())
    us = [p.detach().clone() for p in ps]
    if method == "PQ":
        us = [f(u) for u in us]
    x, y = data(device, dtype)
    for _ in range(steps):
        with torch.no_grad():
            for p, u in zip(ps, us, strict=True):
                p.copy_(f(u) if method == "PC++" else u)
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        with torch.no_grad():
            for p, u in zip(ps, us, strict=True):
                assert p.grad is not None
                if b is not None:
                    p.grad.mul_(b(u))
                p.copy_(f(u) if method == "rPC" else u)
        optimizer.step()
        us = [f(p.detach()) if method == "PQ" else p.detach().clone() for p in ps]
    return us, us if method in ("PQ", "rPC") else [f(u) for u in us]


def compare(
    pair: Any, make: Maker, device: torch.device, f: Any, b: Any = None, method: str = "PC++", **how: Any
) -> float:
    """The largest difference between in place and by hand, over latent weights and the model's weights."""
    dtype = how.pop("dtype", torch.float32)
    us, ws = by_hand(make, 50, device, f, b, method, dtype)
    model = network(device, dtype)
    optimizer = make(model.parameters())
    quantizer = attach(optimizer, pair, method=method, **how)
    train(model, optimizer, 50)
    mine = [*quantizer.latents.values(), *weights(model)]
    return max(float((a.detach() - b).abs().max()) for a, b in zip(mine, [*us, *ws], strict=True))


# --------------------------------------------------------------------------- against loops by hand


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_binary_connect_is_the_loop_by_hand_bit_for_bit(name: str, device: torch.device) -> None:
    assert compare("BC", OPTIMIZERS[name], device, sign) == 0


def test_bnn_and_bnn_plus_plus_are_the_surrogates(device: torch.device) -> None:
    assert compare("BNN", plain, device, sign, lambda u: (u.abs() <= 1).to(u.dtype)) == 0
    assert compare("BNN++", plain, device, swish, swish_slope, dtype=torch.float64) < 1e-12
    # the mutant: another backward map is seen
    assert compare("BNN++", plain, device, swish, lambda u: 1.01 * swish_slope(u), dtype=torch.float64) > 1e-6


@pytest.mark.parametrize("method", ["PQ", "rPC"])
def test_proxquant_and_reverse_proxconnect(method: str, device: torch.device) -> None:
    def family(u: Tensor) -> Tensor:
        """PC at the widths 1/4: exact in binary arithmetic."""
        return sign(u) * (u.abs() + 0.25).clamp(max=1.0)

    assert compare("PC", OPTIMIZERS["SGD"], device, family, method=method) == 0
    assert compare("BC", plain, device, sign, method=method) == 0
    other = "rPC" if method == "PQ" else "PQ"
    us, _ = by_hand(plain, 50, device, sign, None, other)
    model = network(device)
    optimizer = plain(model.parameters())
    attach(optimizer, "BC", method=method)
    train(model, optimizer, 50)
    assert any(not torch.equal(u, p) for u, p in zip(us, weights(model), strict=True))


@pytest.mark.parametrize("method", ["PQ", "rPC"])
def test_a_scale_of_proxquant_and_reverse_proxconnect(method: str, device: torch.device) -> None:
    p = nn.Parameter(torch.tensor([[2.0, -6.0], [1.0, -3.0]], device=device))  # s = 3
    optimizer = torch.optim.SGD([p], lr=0.5)
    (slot,) = attach(optimizer, "BC", method=method, scale="tensor").slots
    u = p.detach() / 3 if method == "rPC" else sign(p.detach())
    for _ in range(3):
        assert torch.allclose(slot.u, u)
        assert torch.allclose(p, 3 * u)
        p.grad = torch.full_like(p, 0.7)
        optimizer.step()
        u = sign(u) - 0.5 * 3 * 0.7 if method == "rPC" else sign(u - 0.5 * 3 * 0.7)


def test_scales_belong_to_the_function_and_agree_with_the_parametrization(device: torch.device) -> None:
    for scale in ("tensor", "channel"):
        for pair in ("BC", "BNN++"):
            mine, other = network(device, torch.float64), network(device, torch.float64)
            optimizer = plain(mine.parameters())
            quantizer = attach(optimizer, pair, scale=scale)
            binarize(other, pair, skip="none", scale=scale)
            train(mine, optimizer, 20)
            train(other, plain(other.parameters()), 20)
            for slot, layer in zip(quantizer.slots, (other[0], other[2]), strict=True):
                assert torch.allclose(slot.w, layer.weight, rtol=1e-12, atol=1e-13)
                latent = layer.parametrizations.weight.original
                assert torch.allclose(slot.u, latent, rtol=1e-12, atol=1e-13)


def test_other_implementations_of_an_optimizer_give_the_same(device: torch.device) -> None:
    kinds: list[dict[str, Any]] = [{"foreach": True}, {"foreach": False}, {"fused": True}]
    for cls in (torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW):
        more = [{"capturable": True}] if device.type == "cuda" and cls is not torch.optim.SGD else []
        for kind in kinds + more:

            def make(p: Any, cls: Any = cls, kind: Any = kind) -> torch.optim.Optimizer:
                return cls(p, lr=0.01, **kind)

            assert compare("BC", make, device, sign) == 0, (cls, kind)


def test_a_constant_backward_map_is_in_the_gradient_and_levels_are_in_the_scale(device: torch.device) -> None:
    assert compare("sign(x) ; 1/2", plain, device, sign, lambda u: torch.full_like(u, 0.5)) == 0
    p = nn.Parameter(torch.full((2, 2), 3.0, device=device))
    optimizer = torch.optim.SGD([p], lr=1.0)
    quantizer = attach(optimizer, "TTQ", scale="tensor", levels=(-3, 0, sp.Rational(3, 2)))
    (slot,) = quantizer.slots
    assert slot.scale == 2  # mean |level| = 3/2
    quantizer.set("sign(x) ; -1")
    slot.counting, p.grad = True, torch.ones_like(p)
    optimizer.step()
    assert (slot.negative, slot.u[0, 0].item()) == (4, 3.5)  # 3/2 + s


def test_two_groups_their_rates_and_a_scheduler(device: torch.device) -> None:
    model = network(device, torch.float64)
    first, second = weights(model)
    groups = [{"params": [second], "lr": 0.01, "quantize": False}, {"params": [first], "lr": 0.1}]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=10)
    quantizer = attach(optimizer, "PC", mu="advance", **WIDE)
    assert [slot.parameter is first for slot in quantizer.slots] == [True]
    kept, rates = second.detach().clone(), 0.0
    for _ in range(5):
        rates += optimizer.param_groups[1]["lr"]
        train(model, optimizer, 1)
        scheduler.step()
    assert quantizer.slots[0].mu == pytest.approx(1 + rates, abs=1e-15)
    assert rates < 0.5
    assert not torch.equal(second, kept)
    assert float((second.detach() - sign(second.detach())).abs().max()) > 0.1  # left alone


def test_mu_advances_as_in_proxconnect(device: torch.device) -> None:
    """v_t = P_r^{mu_t}(u_t) with the family's P at mu, whose linear pieces get flatter."""
    from verify.moving import moving

    p = prepare("PC", **WIDE)
    path = moving(p)
    model = network(device, torch.float64)
    us = [q.detach().clone() for q in weights(model)]
    x, y = data(device, torch.float64)
    mu = 1.0
    for _ in range(15):
        for q, u in zip(weights(model), us, strict=True):
            q.data.copy_(path.at(mu, u))
        functional.cross_entropy(model(x), y).backward()
        us = [u - 0.1 * q.grad for u, q in zip(us, weights(model), strict=True)]
        for q in model.parameters():
            if q.dim() < 2:
                q.data.sub_(0.1 * q.grad)
            q.grad = None
        mu += 0.1
    mine = network(device, torch.float64)
    optimizer = plain(mine.parameters())
    quantizer = attach(optimizer, p, mu="advance")
    train(mine, optimizer, 15)
    for slot, u in zip(quantizer.slots, us, strict=True):
        assert torch.allclose(slot.u, u, rtol=0, atol=1e-12)
        assert torch.allclose(slot.w, path.at(mu, u), rtol=0, atol=1e-12)
    with pytest.raises(InputError, match="mu advances in ProxConnect\\+\\+ alone"):
        attach(plain(network(device).parameters()), "PC", method="PQ", mu="advance")
    with pytest.raises(InputError, match="mu: fixed was expected for BNN\\+"):
        attach(plain(network(device).parameters()), "BNN+", mu="advance")


def test_mu_advances_with_a_transform(device: torch.device) -> None:
    """v = P_r^mu(u), w = T(v), factor t(v): ReLU-STE has T(v) = (v + 1)^2/4 and t(v) = (v + 1)/2 for v > -1."""
    from verify.moving import moving

    path = moving(prepare("ReLU-STE"))
    p = nn.Parameter(torch.linspace(-2, 2, 12, dtype=torch.float64, device=device).view(3, 4))
    u, mu = p.detach().clone(), 1.0
    optimizer = torch.optim.SGD([p], lr=0.5)
    quantizer = attach(optimizer, "ReLU-STE", mu="advance")
    for _ in range(3):
        t = (path.at(mu, u) + 1).clamp(min=0) / 2
        assert torch.allclose(p, t**2, rtol=0, atol=1e-14)
        with quantizer.hard():
            assert torch.equal(p, (t**2 >= 0.5).double())
        u, mu = u - 0.5 * t, mu + 0.5
        p.grad = torch.ones_like(p)
        optimizer.step()
        assert torch.allclose(quantizer.slots[0].u, u, rtol=0, atol=1e-14)
    assert float((path.at(mu, u) - path.at(1, u)).abs().max()) > 0.1
    p = nn.Parameter(torch.linspace(-2, 2, 12, dtype=torch.float64, device=device))
    optimizer = torch.optim.SGD([p], lr=0.5)
    quantizer = attach(optimizer, "BNN++", mu="advance", levels=(0, 1), params=[p])
    (slot,) = quantizer.slots
    with quantizer.hard():
        assert torch.equal(p, (swish(slot.u) >= 0.5).double())
    slot.counting, negative, p.grad = True, int((swish_slope(slot.u) < 0).sum()), torch.ones_like(p)
    optimizer.step()
    assert slot.negative == negative > 0


# --------------------------------------------------------------------------- looking and changing


def test_views_show_other_weights_and_put_the_same_bits_back(device: torch.device) -> None:
    for method, pair in (("PC++", "PC"), ("PQ", "PC"), ("rPC", "PC")):
        model = network(device)
        optimizer = plain(model.parameters())
        quantizer = attach(optimizer, pair, method=method, scale="tensor" if method == "PC++" else None)
        train(model, optimizer, 3)
        (slot, _), before = quantizer.slots, [p.detach().clone() for p in weights(model)]
        s = 1.0 if slot.scale is None else slot.scale
        u = slot.u.clone()
        with quantizer.latent():
            assert torch.equal(slot.parameter, u * s)
            with pytest.raises(InputError, match="a step was taken inside latent"):
                optimizer.step()
            with pytest.raises(InputError, match=r"state_dict\(\) was called inside latent"):
                optimizer.state_dict()
        with quantizer.hard():
            assert torch.equal(slot.parameter, sign(u) * s)
            with pytest.raises(InputError, match="inside hard"), quantizer.latent():
                pass
        with quantizer.quantized():
            shown = slot.parameter.detach().clone()
        assert torch.equal(shown, before[0]) == (method != "rPC")
        assert all(torch.equal(p, b) for p, b in zip(weights(model), before, strict=True))
        with quantizer.latent(), torch.no_grad():
            slot.parameter.add_(1)
        assert all(torch.equal(p, b) for p, b in zip(weights(model), before, strict=True))
        train(model, optimizer, 1)


def test_a_view_that_cannot_be_shown_leaves_the_weights(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    model = network(device)
    optimizer = plain(model.parameters())
    quantizer = attach(optimizer, "PC", **WIDE)
    before = [p.detach().clone() for p in weights(model)]
    shown = quantizer.hardened
    monkeypatch.setattr(quantizer, "hardened", lambda slot: shown(slot) if slot is quantizer.slots[0] else 1 / 0)
    with pytest.raises(ZeroDivisionError), quantizer.hard():
        pass
    assert all(torch.equal(p, b) for p, b in zip(weights(model), before, strict=True))
    train(model, optimizer, 1)


def test_the_pair_is_exchanged_and_a_refused_one_changes_nothing(device: torch.device) -> None:
    model = network(device)
    optimizer = plain(model.parameters())
    quantizer = attach(optimizer, "BNN++")
    train(model, optimizer, 3)
    (slot, _), before = quantizer.slots, weights(model)[0].detach().clone()
    with pytest.raises(InputError, match="sharp"):
        quantizer.set(sharp=3)
    assert torch.equal(slot.w, before)
    quantizer.set(beta=50)
    assert torch.allclose(slot.w, swish(10 * slot.u), atol=1e-4)
    assert not torch.equal(slot.w, before)
    quantizer.set("BC")
    assert torch.equal(slot.w, sign(slot.u))
    slot.u.fill_(-0.0)
    quantizer.refresh()
    assert torch.equal(slot.w, torch.ones_like(slot.w))
    quantizer.detach()
    train(model, optimizer, 1)
    assert not torch.equal(slot.parameter, sign(slot.parameter))
    for call in (quantizer.detach, quantizer.set):
        with pytest.raises(InputError, match="detached"):
            call()
    attach(optimizer, "BC")


def test_what_is_not_exchanged_stays(device: torch.device) -> None:
    levels = (sp.Rational(-1), sp.Rational(1, 2))
    optimizer = plain(network(device).parameters())
    quantizer = attach(optimizer, "PC", levels=levels, **WIDE)
    quantizer.set(vertical=sp.Rational(1, 10))
    assert quantizer.prepared is prepare("PC", levels, horizontal=WIDE["horizontal"], vertical=sp.Rational(1, 10))
    quantizer.set("BC")
    assert quantizer.prepared is prepare("BC", levels)
    quantizer.set(prepare("BC"))
    assert quantizer.prepared is prepare("BC")
    quantizer.set("PC")
    assert quantizer.prepared is prepare("PC", levels)


# --------------------------------------------------------------------------- state


def _started(device: torch.device, factor: float = 1.0, **how: Any) -> tuple[nn.Module, torch.optim.Optimizer, InPlace]:
    model = network(device)
    for p in weights(model):
        p.data.mul_(factor)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    return model, optimizer, attach(optimizer, "PC", **how)


@pytest.mark.parametrize("how", [{}, {"scale": "channel"}, {"mu": "advance"}, {"method": "PQ"}, {"method": "rPC"}])
def test_a_state_goes_on_to_the_same_bits(how: dict[str, Any], device: torch.device) -> None:
    model, optimizer, quantizer = _started(device, **how)
    train(model, optimizer, 5)
    file = io.BytesIO()
    torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, file)
    train(model, optimizer, 5)
    file.seek(0)
    saved = torch.load(file, weights_only=True)
    other, again, its = _started(device, 1.5, **how)
    train(other, again, 2)
    other.load_state_dict(saved["model"])
    again.load_state_dict(saved["optimizer"])
    train(other, again, 5)
    for a, b in zip(quantizer.slots, its.slots, strict=True):
        assert torch.equal(a.u, b.u)
        assert torch.equal(a.w, b.w)
        assert a.mu == b.mu
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_states_that_do_not_fit_are_refused_and_change_nothing(device: torch.device) -> None:
    model, optimizer, quantizer = _started(device)
    train(model, optimizer, 2)
    good = optimizer.state_dict()
    bare = {k: v for k, v in good.items() if k != "proxpair"}
    entry = good["proxpair"][0]
    u = [t.clone() for t in entry["latents"]]
    moment = optimizer.state[weights(model)[0]]["exp_avg"].clone()

    def altered(**changes: Any) -> dict[str, Any]:
        return {**bare, "proxpair": [{**entry, **changes}]}

    for state, message in (
        (bare, "the state has no latent weights"),
        (altered(indices=[0]), "latent weights of other parameters"),
        (altered(latents=u[:1]), "was expected to have 2 latent weights"),
        (
            altered(latents=[u[0].T, u[1]]),
            r"a latent weight of shape \(16, 12\) was expected in the state, not \(12, 16\)",
        ),
        (altered(scales=[torch.ones(()), None]), r"a scale of shape None was expected in the state, not \(\)"),
        (altered(method="PQ"), "the state is of method PQ, and PC\\+\\+ was expected"),
        (altered(pair="other"), f"the state is of pair other, and {re.escape(entry['pair'])} was expected"),
        (altered(mus=[0.5, 1.0]), "a finite mu >= 1"),
        (altered(mus=[math.inf, 1.0]), "a finite mu >= 1"),
    ):
        with pytest.raises(InputError, match=message):
            optimizer.load_state_dict(state)
    with pytest.raises(ValueError, match="parameter groups"):
        optimizer.load_state_dict({**altered(latents=[t + 1 for t in u]), "param_groups": []})
    for slot, was in zip(quantizer.slots, u, strict=True):
        assert torch.equal(slot.u, was)
    assert torch.equal(optimizer.state[weights(model)[0]]["exp_avg"], moment)
    optimizer.load_state_dict(good)
    train(model, optimizer, 1)


def test_two_quantizers_of_one_optimizer(device: torch.device) -> None:
    """Their states, and a step that one of them leaves out."""
    for mode in ("skip", "raise"):
        made = []
        for _ in range(2):
            model = network(device)
            optimizer = plain(model.parameters())
            first, second = weights(model)
            frozen = next(p for p in model.parameters() if p.dim() == 1).requires_grad_(False)
            one = attach(optimizer, "PC", mu="advance", params=[first, frozen], nonfinite=mode, **WIDE)
            made.append((model, optimizer, one, attach(optimizer, "BNN++", params=[second], nonfinite=mode)))
        (model, optimizer, one, two), (other, again, its_one, its_two) = made
        train(model, optimizer, 3)
        for p in model.parameters():
            p.grad = torch.ones_like(p)
        second = weights(model)[1]
        assert second.grad is not None
        second.grad[0, 0] = math.nan
        before = [p.detach().clone() for p in (*model.parameters(), one.slots[0].u, two.slots[0].u)]
        if mode == "raise":
            with pytest.raises(InputError, match="parameter 2 of group 0 is not finite"):
                optimizer.step()
        else:
            optimizer.step()
        after = [*model.parameters(), one.slots[0].u, two.slots[0].u]
        assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
        assert all(p.grad is not None for p in model.parameters())
        assert (one.slots[0].mu, one.step_count, one.generation) == (pytest.approx(1.3), 3, 0)
        with two.latent(), pytest.raises(InputError, match="inside latent"):
            optimizer.step()
        assert torch.equal(weights(model)[0], before[0])
        again.load_state_dict(optimizer.state_dict())
        other.load_state_dict({"2.bias": model.state_dict()["2.bias"]}, strict=False)
        train(model, optimizer, 2)
        train(other, again, 2)
        for a, b in ((one, its_one), (two, its_two)):
            assert torch.equal(a.slots[0].u, b.slots[0].u)
            assert torch.equal(a.slots[0].w, b.slots[0].w)
        assert one.generation == 0


# --------------------------------------------------------------------------- defined behaviour


def test_gradients_that_are_not_finite(device: torch.device) -> None:
    for bad in (math.nan, math.inf, -math.inf):
        for mode in ("raise", "skip", "ignore"):
            model = network(device)
            optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9)
            quantizer = attach(optimizer, "BC", nonfinite=mode)
            train(model, optimizer, 1)
            before = [p.detach().clone() for p in (*model.parameters(), *quantizer.latents.values())]
            for p in model.parameters():
                p.grad = torch.ones_like(p)
            grad = weights(model)[1].grad
            assert grad is not None
            grad.view(-1)[7] = bad
            if mode == "raise":
                with pytest.raises(InputError, match=r"the gradient of 2\.weight is not finite"):
                    optimizer.step()
            else:
                optimizer.step()
            after = [*model.parameters(), *quantizer.latents.values()]
            same = [torch.equal(a, b) for a, b in zip(before, after, strict=True)]
            assert all(same) if mode != "ignore" else not any(same)
            assert quantizer.skipped == (mode == "skip")
            assert weights(model)[1].grad is grad
            train(model, optimizer, 1)
    model = network(device)
    optimizer = plain(model.parameters())
    attach(optimizer, "BC")
    for p in model.parameters():
        p.grad = torch.full_like(p, 1e30)  # finite, but not the norm in float32
    optimizer.step()


def test_frozen_missing_tied_and_small_parameters(device: torch.device) -> None:
    tied = nn.Linear(6, 6, bias=False).to(device)
    model = nn.Sequential(tied, nn.Linear(6, 6).to(device), tied)
    extra = [nn.Parameter(torch.full(shape, 0.5, device=device)) for shape in ((), (0,), (3, 0))]
    optimizer = plain([*model.parameters(), *extra])
    named = [*model.named_parameters(remove_duplicate=False), *[(f"extra {i}", p) for i, p in enumerate(extra)]]
    quantizer = attach(optimizer, "BC", params=named)
    assert [s.name for s in quantizer.slots] == ["0.weight", "1.weight", "1.bias", "extra 0", "extra 1", "extra 2"]
    second, bias = model[1].weight, model[1].bias
    second.grad, second.requires_grad = torch.ones_like(second), False
    before = [quantizer.slot(p).u.clone() for p in (second, bias, tied.weight, extra[0])]
    for p in (tied.weight, *extra):
        p.grad = torch.ones_like(p)
    optimizer.step()  # bias has no gradient
    after = [quantizer.slot(p).u for p in (second, bias, tied.weight, extra[0])]
    assert [torch.equal(a, b) for a, b in zip(before, after, strict=True)] == [True, True, False, False]
    assert second.grad is not None
    assert extra[0].item() == 1
    model(torch.ones(2, 6, device=device))
    optimizer.add_param_group({"params": []})
    optimizer.step()


def test_closures_are_evaluated_at_the_quantized_weights(device: torch.device) -> None:
    model = network(device)
    optimizer = plain(model.parameters())
    attach(optimizer, "BC")
    x, y = data(device)
    seen = []

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        seen.append(set(weights(model)[0].detach().flatten().tolist()))
        return loss

    assert optimizer.step(closure) is not None
    with torch.no_grad():
        assert optimizer.step(closure=closure) is not None
    assert seen == [{-1.0, 1.0}] * 2

    class Twice(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            closure()
            return closure()

    model = network(device)
    optimizer = Twice(model.parameters(), lr=0.1)
    attach(optimizer, "BC")
    with pytest.raises(InputError, match="more than once a step"):
        optimizer.step(closure)
    # a step that ended by an exception leaves latent weights in the model until the next call
    train_later = weights(model)[0]
    optimizer.state_dict()
    assert set(train_later.detach().flatten().tolist()) == {-1.0, 1.0}


class Breaking(torch.optim.SGD):
    """Its step may break off at its end."""

    broken = False

    def step(self, closure: Any = None) -> Any:
        found = super().step(closure)
        if self.broken:
            raise ZeroDivisionError
        return found


class Within(Breaking):
    """Its step calls that of its base, around which torch runs the hooks once more."""

    def step(self, closure: Any = None) -> Any:
        found = super().step(closure)
        with torch.no_grad():
            for p in self.param_groups[0]["params"]:
                if p.grad is not None:
                    p.clamp_(-0.1, 0.1)
        return found


def test_a_step_within_a_step_is_one_step(device: torch.device) -> None:
    for cls in (torch.optim.SGD, Breaking):  # torch hooks a class when its first optimizer is made
        cls([nn.Parameter(torch.ones(1))], lr=0.1)
    model = network(device)
    optimizer = Within(model.parameters(), lr=0.1)
    quantizer = attach(optimizer, "BNN++")
    (slot, _) = quantizer.slots
    for k in range(3):
        u, optimizer.broken = slot.u.clone(), k == 1
        p = slot.parameter
        p.grad = torch.full_like(p, 0.01)
        if optimizer.broken:
            with pytest.raises(ZeroDivisionError):
                optimizer.step()
            quantizer.refresh()
        else:
            optimizer.step()
        expected = u - 0.1 * 0.01 * swish_slope(u)
        assert torch.allclose(slot.u, expected if optimizer.broken else expected.clamp(-0.1, 0.1), rtol=0, atol=1e-7)
        assert torch.allclose(slot.parameter, swish(slot.u), rtol=0, atol=1e-6)
    assert quantizer.step_count == 2


@pytest.mark.parametrize("method", ["PC++", "PQ", "rPC"])
def test_a_step_that_breaks_off_leaves_quantized_weights(method: str, device: torch.device) -> None:
    model = network(device)
    optimizer = Within(model.parameters(), lr=0.1)
    quantizer = attach(optimizer, "BC", method=method)
    optimizer.broken = True
    with pytest.raises(ZeroDivisionError):
        train(model, optimizer, 1)
    generation = quantizer.generation
    with quantizer.quantized():
        assert all(set(p.detach().flatten().tolist()) == {-1.0, 1.0} for p in weights(model))
    assert quantizer.generation == generation + 1
    with pytest.raises(ZeroDivisionError):
        train(model, optimizer, 1)
    optimizer.broken = False
    train(model, optimizer, 1)
    assert quantizer.generation == generation + 2


def test_gradient_scalers_work_and_skip(device: torch.device) -> None:
    for kind in ({}, {"fused": True}):
        for method in ("PC++", "rPC"):
            model = network(device)
            optimizer = torch.optim.SGD(model.parameters(), lr=0.1, **kind)
            quantizer = attach(optimizer, "BC", method=method)
            scaler = torch.amp.GradScaler(device.type, init_scale=2.0**40)
            x, y = data(device)
            moved = []
            for i in range(4):
                optimizer.zero_grad()
                before = quantizer.slots[0].u.clone()
                loss = functional.cross_entropy(model(x), y) * (math.inf if i == 1 else 1.0)
                scaler.scale(loss).backward()
                scaler.step(optimizer)
                scaler.update()
                moved.append(not torch.equal(before, quantizer.slots[0].u))
            assert moved == [True, False, True, True], (kind, method)
            assert all(bool(torch.isfinite(p).all()) for p in model.parameters())


def test_what_cannot_be_attached_is_refused(device: torch.device) -> None:
    def of(p: Tensor, **how: Any) -> InPlace:
        return attach(torch.optim.SGD([p], lr=0.1), how.pop("pair", "BC"), **how)

    w = nn.Parameter(torch.ones(3, 2, device=device))
    for how, message in (
        ({"method": "XY"}, "method: one of PC\\+\\+, PQ, rPC was expected"),
        ({"scale": "row"}, "scale: one of None, tensor, channel was expected"),
        ({"mu": "grows"}, "mu: one of"),
        ({"nonfinite": "warn"}, "nonfinite: one of"),
        ({"params": w}, "an iterable of parameters"),
        ({"params": 1}, "an iterable of parameters"),
        ({"params": [nn.Parameter(w.detach())]}, "in no group of the optimizer"),
        ({"params": []}, "at least one parameter"),
        ({"params": ["w"]}, "not str"),
        ({"pair": "x*(1 - x**2) ; 1", "method": "PQ"}, "needs a proximal map"),
        ({"pair": "no such pair"}, "no such pair"),
        ({"pair": prepare("BC"), "levels": [-1, 1]}, "has its parameters and levels already"),
    ):
        with pytest.raises(InputError, match=message):
            of(w, **how)
    for p, message in (
        (nn.Parameter(torch.ones(2, 2, dtype=torch.int64), requires_grad=False), "float32 or float64 was expected"),
        (nn.Parameter(torch.ones(2, 2, dtype=torch.bfloat16)), "float32 or float64 was expected"),
        (nn.Parameter(torch.full((2, 2), math.nan)), "not finite"),
        (nn.Parameter(torch.ones(2, 2, device="meta")), "an ordinary dense tensor"),
        (nn.Parameter(torch.ones(1, 2).expand(2, 2)), "an ordinary dense tensor"),
        (nn.Parameter(torch.ones(2)), "no parameter with two or more axes"),
    ):
        with pytest.raises(InputError, match=message):
            of(p)
    with pytest.raises(InputError, match=r"torch\.optim\.Optimizer was expected"):
        attach("SGD", "BC")
    with pytest.raises(InputError, match="LBFGS"):
        attach(torch.optim.LBFGS([w]), "BC")
    alone = torch.optim.SGD([{"params": [w], "quantize": False}], lr=0.1)
    with pytest.raises(InputError, match="quantize=False"):
        attach(alone, "BC", params=[w])
    whole = torch.ones(4, 6)
    for one, other in (
        (w.data, w.data),
        (whole[:2], whole[1:3]),  # a row in common
        (whole[:, :3], whole[1:, 2:]),
        (whole[:2].view(3, 4), whole[1:]),
    ):
        shared = torch.optim.SGD([nn.Parameter(one), nn.Parameter(other)], lr=0.1)
        with pytest.raises(InputError, match="share memory"):
            attach(shared, "BC")
    apart = torch.optim.SGD([nn.Parameter(whole[:, :3]), nn.Parameter(whole[:, 3:])], lr=0.1)
    attach(apart, "BC").detach()  # interleaved rows have no element in common
    assert bool((w == 1).all())
    with pytest.warns(UserWarning, match="BNN\\+ is unprincipled"):
        gone = of(w, pair="BNN+")
    assert not gone.attached  # its optimizer is gone, so another may follow
    optimizer = torch.optim.SGD([w], lr=0.1)
    assert attach(optimizer, "BC").attached
    with pytest.raises(InputError, match="attached to a quantizer already"):
        attach(optimizer, "BC")


def test_parameters_changed_by_others_and_sparse_gradients_are_refused(device: torch.device) -> None:
    def started() -> tuple[nn.Module, torch.optim.Optimizer]:
        model = network(device)
        optimizer = plain(model.parameters())
        attach(optimizer, "BC")
        return model, optimizer

    model, optimizer = started()
    weights(model)[0].data = weights(model)[0].data.clone()
    with pytest.raises(InputError, match="replaced, resized or moved"):
        train(model, optimizer, 1)
    model, optimizer = started()
    weights(model)[0].data = torch.ones(2, 2, device=device)
    with pytest.raises(InputError, match="replaced, resized or moved"):
        optimizer.step()
    p = nn.Parameter(torch.ones(2, 2, device=device))
    optimizer = plain([p])
    attach(optimizer, "BC")
    p.data = p.data.T
    with pytest.raises(InputError, match="replaced, resized or moved"):
        optimizer.step()
    model, optimizer = started()
    model.load_state_dict(network(device).state_dict())
    with pytest.raises(InputError, match="written to since the last step"):
        train(model, optimizer, 1)
    embedding = nn.Embedding(5, 3, sparse=True, device=device)
    optimizer = plain(embedding.parameters())
    attach(optimizer, "BC")
    embedding(torch.tensor([1, 2], device=device)).sum().backward()
    before = embedding.weight.detach().clone()
    with pytest.raises(InputError, match="a dense gradient was expected"):
        optimizer.step()
    assert torch.equal(embedding.weight, before)


# --------------------------------------------------------------------------- several processes


def _parallel(rank: int, folder: str) -> None:
    import torch.distributed as dist

    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    torch.manual_seed(rank)
    model = nn.parallel.DistributedDataParallel(_start_of_processes())
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    quantizer = attach(optimizer, "BNN++")
    x, y = data(torch.device("cpu"), torch.float64)
    for _ in range(20):
        optimizer.zero_grad()
        functional.cross_entropy(model(x[rank::2]), y[rank::2]).backward()
        optimizer.step()
    torch.save(list(quantizer.latents.values()), Path(folder) / f"{rank}.pt")
    dist.barrier()
    dist.destroy_process_group()
    os._exit(0)  # the result is written; how the interpreter takes gloo's threads down is no part of the test


def _start_of_processes() -> nn.Module:
    return network(torch.device("cpu"), torch.float64)


def test_two_processes_equal_one(tmp_path: Path) -> None:
    torch.multiprocessing.spawn(_parallel, (str(tmp_path),), nprocs=2)
    found = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1)]
    model = _start_of_processes()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    quantizer = attach(optimizer, "BNN++")
    train(model, optimizer, 20)
    for mine, first, second in zip(quantizer.latents.values(), *found, strict=True):
        assert torch.equal(first, second)
        assert float((mine - first).abs().max()) <= 1e-9
        assert torch.equal(sign(mine), sign(first))


# --------------------------------------------------------------------------- the benchmark


def test_the_benchmark_of_a_step_runs_and_reports(capsys: pytest.CaptureFixture[str]) -> None:
    module = loaded("step")
    assert module.main(["--quick", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    rows = {row["name"]: row for row in found["batches"]["128"]}
    assert rows["SGD"]["ratio"] == 1
    assert {"BC in place", "PC in place", "BNN++ in place", "BC as a parametrization"} <= set(rows)
    assert all(row["seconds"] > 0 and row.get("floor", 1) >= 1 for row in rows.values())
    assert "extra" in rows["BC in place, ledger"]
    assert found["command"].endswith("--quick --json --device cpu")
    assert found["weights"] == 784 * 1024 + 1024 * 1024 + 1024 * 10
    assert "BC in place" in module.table(found)


# --------------------------------------------------------------------------- steps taken in blocks


def _few_steps(
    pair: str, scale: str | None, dtype: torch.dtype, make: Maker | None = None, seen: bool = False
) -> tuple[list[Tensor], list[bool]]:
    """Latent weights, weights and gradients of four steps, and which parameters' steps were taken in blocks.

    The parameters: rows, one long row, a vector, a number, nothing; with zeros of both signs, ends and tiny entries.
    """
    generator = torch.Generator().manual_seed(1)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    ps = [nn.Parameter(t) for t in (normal(40, 3, 2), normal(1, 300), normal(130), normal(0, 4), normal())]
    ps = ps[: 4 if scale == "channel" else 5]
    with torch.no_grad():
        ps[0][20:23].zero_()
        ps[1][0, :8] = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.5, 1e-42, -1e-42, 1e30], dtype=dtype)
    optimizer = (make or plain)(ps)
    quantizer = attach(optimizer, pair, params=ps, scale=scale)
    if seen:
        optimizer.register_step_post_hook(lambda *_: None)
    found, taken = [], []
    for step in range(4):
        for p in ps:
            p.grad = normal(*p.shape) * (step != 2)  # the third moves nothing, and leaves every zero where it is
        optimizer.step()
        taken += [slot.blockwise for slot in quantizer.slots]
        for slot in quantizer.slots:
            assert slot.parameter.grad is not None
            found += [t.detach().clone() for t in (slot.u, slot.parameter, slot.parameter.grad)]
    return found, taken


def _same_bits(a: Tensor, b: Tensor) -> bool:
    return torch.equal(a, b) and torch.equal(torch.signbit(a), torch.signbit(b))


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernel_programs, "BLOCK", 64)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("scale", [None, "tensor", "channel"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("pair", ["BC", "PC", "BNN", "BNN++", "PARQ-hard", "MD-softmax", "TWN"])
def test_a_step_in_blocks_has_the_bits_of_the_optimizer_s(pair: str, dtype: torch.dtype, scale: str | None) -> None:
    """Somebody else's hook makes the optimizer take the step."""
    apart, none = _few_steps(pair, scale, dtype, seen=True)
    together, taken = _few_steps(pair, scale, dtype)
    assert not any(none)
    assert all(taken)
    assert all(map(_same_bits, apart, together))


@pytest.mark.parametrize(
    "make",
    [
        lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.5),
        lambda p: torch.optim.SGD(p, lr=0.1, weight_decay=0.5),
        lambda p: torch.optim.SGD(p, lr=0.1, maximize=True),
        lambda p: torch.optim.SGD(p, lr=torch.tensor(0.1)),
        lambda p: torch.optim.SGD(p, lr=0.1, fused=True),
        lambda p: torch.optim.Adam(p, lr=0.1),
        lambda p: type("Mine", (torch.optim.SGD,), {})(p, lr=0.1),
    ],
)
def test_other_steps_are_left_to_the_optimizer(make: Maker) -> None:
    """And taken so, with the result of before: the hook of somebody else changes nothing."""
    alone, taken = _few_steps("BC", None, torch.float64, make)
    seen, _ = _few_steps("BC", None, torch.float64, make, seen=True)
    assert not any(taken)
    assert all(map(_same_bits, alone, seen))


@pytest.mark.parametrize("everywhere", [False, True])
@pytest.mark.parametrize("before", [False, True])
def test_a_hook_of_somebody_else_sees_the_gradient_and_the_latent_weights(
    before: bool, everywhere: bool, device: torch.device
) -> None:
    p = nn.Parameter(torch.full((2, 2), 0.25, device=device))
    optimizer = plain([p])
    quantizer = attach(optimizer, "BNN++", params=[p])
    seen: list[Any] = []

    def look(*_: Any) -> None:
        seen.extend([p.detach().clone(), p.grad])

    mine = optimizer.register_step_pre_hook, optimizer.register_step_post_hook
    register = (register_optimizer_step_pre_hook, register_optimizer_step_post_hook) if everywhere else mine
    handle = register[0 if before else 1](look)
    try:
        p.grad = torch.ones_like(p)
        optimizer.step()
    finally:
        handle.remove()
    # torch runs the hooks of all optimizers before an optimizer's own
    at = quantizer.slots[0].w if not before else torch.full_like(p, 0.25)
    assert torch.equal(seen[0], at) == (not (before and everywhere))
    assert seen[1] is p.grad
    assert not quantizer.slots[0].blockwise


def test_tensors_in_another_order_and_another_number_of_threads() -> None:
    """A gradient or a weight that is not contiguous is the optimizer's; more threads have longer blocks."""
    found: list[Tensor] = []
    for order in (False, True, None):
        generator = torch.Generator().manual_seed(1)
        start = torch.randn(300, 700, generator=generator)
        p = nn.Parameter(start.t().contiguous().t() if order else start.clone())
        optimizer = plain([p])
        quantizer = attach(optimizer, "BNN++")
        try:
            for step in range(3):
                grad = torch.randn(300, 700, generator=generator)
                p.grad = grad if order is None or order else grad.t().contiguous().t()
                torch.set_num_threads(1 + (order is None and step == 1))
                optimizer.step()
                assert quantizer.slots[0].blockwise == (order is None)
        finally:
            torch.set_num_threads(1)
        found.append(torch.cat([quantizer.slots[0].u, p.detach()]))
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2])


def _one(value: float = 1.0, pair: str = "BC", **how: Any) -> tuple[nn.Parameter, torch.optim.SGD, InPlace]:
    """A parameter at 1, its optimizer and quantizer; a gradient of 1 is there."""
    p = nn.Parameter(torch.full((2, 2), value))
    optimizer = torch.optim.SGD([p], **{"lr": 0.125, **how})
    quantizer = attach(optimizer, pair)
    p.grad = torch.ones_like(p)
    return p, optimizer, quantizer


ACTIONS = ("step", "zeros", "none", "infinite", "momentum", "rate", "sharper", "refresh", "view", "state", "frozen")


def _after(actions: list[str], scale: str | None, seen: bool) -> list[Tensor]:
    """Latent weights, weights and gradients after each of the actions and the step that follows it."""
    found: list[Tensor] = []
    generator = torch.Generator().manual_seed(2)
    ps = [nn.Parameter(torch.randn(shape, generator=generator)) for shape in ((5, 3), (2, 70))]
    optimizer = torch.optim.SGD(ps, lr=0.5)
    quantizer = attach(optimizer, "BNN++", scale=scale, nonfinite="skip", beta=2)
    if seen:
        optimizer.register_step_post_hook(lambda *_: None)  # somebody else's, so the optimizer takes the steps
    for action in actions:
        for p in ps:
            p.grad = torch.randn(p.shape, generator=generator) * (action != "zeros")
        group = optimizer.param_groups[0]
        if action == "none":
            ps[0].grad = None
        elif action == "infinite":
            ps[1].grad = torch.full_like(ps[1], -math.inf)
        elif action == "momentum":
            group["momentum"] = 0.5 - group["momentum"]
        elif action == "rate":
            group["lr"] = 0 if group["lr"] else 1
        elif action == "sharper":
            quantizer.set(beta=3)
        elif action == "refresh":
            with torch.no_grad():
                quantizer.latents[quantizer.slots[0].name].mul_(-0.5)
            quantizer.refresh()
        elif action == "view":
            with quantizer.hard():
                pass
        elif action == "state":
            optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
        elif action == "frozen":
            ps[0].requires_grad_(not ps[0].requires_grad)
        optimizer.step()
        found += [t.detach().clone() for slot in quantizer.slots for t in (slot.u, slot.parameter)]
        found += [p.grad.clone() for p in ps if p.grad is not None]
    return found


@given(st.lists(st.sampled_from(ACTIONS), min_size=4, max_size=16), st.sampled_from([None, "tensor", "channel"]))
@settings(max_examples=40)
def test_whatever_is_done_between_steps_the_bits_are_the_optimizer_s(actions: list[str], scale: str | None) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kernel_programs, "BLOCK", 32)
        together, apart = (_after(actions, scale, seen) for seen in (False, True))
    assert all(a.shape == b.shape and _same_bits(a, b) for a, b in zip(together, apart, strict=True))


def test_a_graph_made_with_the_former_weights_is_refused() -> None:
    p, optimizer, quantizer = _one()
    x = torch.ones(2, requires_grad=True)
    loss = (p @ x).square().sum()
    loss.backward(retain_graph=True)
    optimizer.step()
    assert quantizer.slots[0].blockwise
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()
    optimizer.zero_grad()
    (p @ x).sum().backward()
    optimizer.step()  # but the weights are those of the quantizer


def test_the_gradient_of_a_step_that_broke_off_is_not_that_of_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    p, optimizer, quantizer = _one()

    def broken(*_: Any) -> None:
        raise ZeroDivisionError

    for again in (True, False):
        p.grad = torch.full_like(p, 100.0)
        monkeypatch.setattr(optimizer, "_init_group", broken)
        with pytest.raises(ZeroDivisionError):
            optimizer.step()
        monkeypatch.undo()
        optimizer.zero_grad()
        if again:
            p.grad = torch.ones_like(p)
        optimizer.step()
        assert torch.equal(quantizer.slots[0].u, torch.full_like(p, 0.875))
        assert torch.equal(p.detach(), torch.ones_like(p))
    monkeypatch.setattr(quantizer, "_blockwise", broken)  # before the optimizer's turn the gradient stays
    p.grad = torch.ones_like(p)
    with pytest.raises(ZeroDivisionError):
        optimizer.step()
    assert p.grad is not None


def test_groups_that_were_changed_are_followed() -> None:
    p, optimizer, quantizer = _one()
    u = quantizer.slots[0].u
    optimizer.param_groups[0]["params"] = []
    optimizer.step()  # frozen so
    assert torch.equal(u, torch.ones_like(p))
    optimizer.add_param_group({"params": [p], "lr": 0.5})
    optimizer.step()
    assert quantizer.slots[0].blockwise
    assert torch.equal(u, torch.full_like(p, 0.5))
    optimizer.param_groups[1]["momentum"] = 0.5
    optimizer.step()
    assert not quantizer.slots[0].blockwise
    optimizer.param_groups.pop()
    optimizer.step()
    assert torch.equal(u, torch.zeros_like(p))
    with pytest.warns(UserWarning, match="duplicate"):
        twice = torch.optim.SGD([p, p], lr=0.125)
    quantizer.detach()
    again = attach(twice, "BC")
    twice.step()
    assert not again.slots[0].blockwise


def test_steps_of_somebody_else_s_own_are_left_to_them(monkeypatch: pytest.MonkeyPatch) -> None:
    p, optimizer, quantizer = _one()

    def backwards(self: Any, closure: Any = None) -> None:
        with torch.no_grad():
            p.add_(p.grad, alpha=1.0)

    scheduler = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.5)
    optimizer.step()
    scheduler.step()
    assert quantizer.slots[0].blockwise
    assert torch.equal(quantizer.slots[0].u, torch.full_like(p, 0.875))
    hooked = torch.optim.Optimizer.profile_hook_step(backwards)
    monkeypatch.setattr(optimizer, "step", MethodType(hooked, optimizer))
    optimizer.step()
    assert not quantizer.slots[0].blockwise
    assert torch.equal(quantizer.slots[0].u, torch.full_like(p, 1.875))

    class Mine(TrainingLedger):
        pass

    p, optimizer, quantizer = _one()
    Mine(quantizer)
    optimizer.step()
    assert not quantizer.slots[0].blockwise


def test_rates_modes_and_scratch_of_steps_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    p, optimizer, quantizer = _one(-0.0, lr=0)
    optimizer.step()
    assert quantizer.slots[0].blockwise
    assert not torch.signbit(quantizer.slots[0].u).any()  # -0.0 + 0 is 0.0, as the optimizer has it
    optimizer.param_groups[0]["lr"] = 1
    with torch.inference_mode():
        optimizer.step()
    assert not quantizer.slots[0].blockwise
    optimizer.step()
    assert quantizer.slots[0].blockwise
    assert quantizer.slots[0].__getstate__()["pieces"] is None
    quantizer.cancel()
    assert not quantizer.slots[0].blockwise
    many = [nn.Parameter(torch.randn(k, 3)) for k in range(1, 60)]
    optimizer = plain(many)
    quantizer = attach(optimizer, "BNN++")
    for p in many:
        p.grad = torch.ones_like(p)
    optimizer.step()
    scratch = {k for k, _, _ in quantizer._rooms}
    assert sum(t.numel() for t in quantizer._rooms.values()) < 2 * 256 * len(scratch)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1000)
    assert kernel_programs.block_size() < 2**24  # a sum of ones over a block is exact


def test_blocks_cover_a_long_tensor(device: torch.device) -> None:
    """B < 0 and the product, past the length of one block."""
    p = nn.Parameter(torch.linspace(-1, 1, kernel_programs.BLOCK + 1000, device=device).view(1, -1))
    optimizer = torch.optim.SGD([p], lr=1.0)
    quantizer = attach(optimizer, "BNN++")
    (slot,) = quantizer.slots
    u = slot.u.clone()
    p.grad = torch.ones_like(p)
    slot.counting = True
    optimizer.step()
    slope = swish_slope(u.double())
    assert torch.allclose((u - slot.u).double(), slope, rtol=1e-5, atol=1e-6)
    assert slot.negative == int((slope < 0).sum())
