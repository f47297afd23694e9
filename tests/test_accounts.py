"""The torch account against exact arithmetic, the ledger of a training run, and the mutants that they reject."""

from __future__ import annotations

import copy
import csv
import math
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional

from theory.errors import InputError
from verify import accounts, kernel_programs
from verify.accounts import COLUMNS, TOTAL, Account, TrainingLedger, regularizing, terms_of
from verify.inplace import attach
from verify.kernels import kernel
from verify.ledger import identity_sides
from verify.lowering import lower
from verify.moving import moving
from verify.prepared import prepare
from verify.quantizers import PairQuantizer, binarize, quantize_inputs

NO_PROX = "x*(1 - x**2) ; 1"
WIDE = {"horizontal": sp.Rational(3, 10), "vertical": sp.Rational(2, 5)}


pytestmark = pytest.mark.usefixtures("one_thread")


# --------------------------------------------------------------------------- the account against exact arithmetic


def row(xs: list[Fraction]) -> Tensor:
    return torch.tensor([[float(x) for x in xs]], dtype=torch.float64)


def soft(u: Fraction, mu: Fraction) -> Fraction:
    """P_r^mu of r = |.|/2: soft threshold at mu/2, exactly."""
    size = max(abs(u) - mu / 2, Fraction(0))
    return size if u > 0 else -size


dyadic = st.integers(-16, 16).map(lambda k: Fraction(k, 8))


@given(
    st.lists(st.lists(dyadic, min_size=3, max_size=3), min_size=2, max_size=5),
    st.lists(dyadic, min_size=3, max_size=3),
    st.booleans(),
    st.booleans(),
)
def test_both_sides_are_those_of_exact_arithmetic(
    gs: list[list[Fraction]], w: list[Fraction], advance: bool, first: bool
) -> None:
    """r = |.|/2, steps 1/2; any w, or w = v_1."""
    eta, mus, us = Fraction(1, 2), [Fraction(1)], [[Fraction(3, 4), Fraction(-1, 8), Fraction(0)]]
    for g in gs:
        us.append([u - eta * d for u, d in zip(us[-1], g, strict=True)])
        mus.append(mus[-1] + eta * advance)
    vs = [[soft(u, mu) for u in row_] for row_, mu in zip(us, mus, strict=True)]
    at = vs[0] if first else w
    exact = identity_sides(us, vs, gs, [eta] * len(gs), mus, at, lambda x: abs(x) / 2).first
    assert exact[0] == exact[1]
    account = Account(
        row(us[0]), row(vs[0]), lambda v: v.abs() / 2, None if first else row(w), mu=1.0 if advance else None, every=2
    )
    for g, u, v, mu in zip(gs, us[1:], vs[1:], mus[1:], strict=True):
        account.step(0.5, row(g), row(u), row(v), float(mu) if advance else None)
    entry = account.entry()
    assert entry.left.item() == float(exact[0])
    assert (entry.d_first - entry.d_last + entry.d_sum).item() == float(exact[1])
    assert entry.min_d.item() == 0
    assert entry.closure_error.item() == 0


def _run(
    wrong: str = "", advance: bool = True, shape: tuple[int, int] = (2, 50), every: int = 3, dtype: Any = torch.float64
) -> accounts.Entry:
    """r = |.|/2 with random gradients; ``wrong`` plants an error."""
    generator = torch.Generator().manual_seed(3)

    def prox(u: Tensor, mu: float) -> Tensor:
        t = -mu / 2 if wrong == "P" else mu / 2
        return u.sign() * (u.abs() - t).clamp(min=0)

    def draw() -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype)

    mu, u = 1.0, draw()
    account = Account(u, prox(u, mu), lambda v: v.abs() / 2, mu=1.0 if advance else None, every=every)
    for t in range(10):
        eta, g = 0.1 / (1 + t), draw()
        mu += eta * advance
        u = u - eta * g
        told = {"eta": 1.1 * eta}.get(wrong, eta)
        g = 1.1 * g if wrong == "g" else g
        account.step(told, g, u, prox(u, mu), mu if advance else None)
    return account.entry()


@pytest.mark.parametrize("advance", [True, False])
def test_mutants_of_the_account_are_rejected(advance: bool) -> None:
    right = _run(advance=advance)
    assert float(right.closure_error.max()) <= 1e-15
    assert float(right.min_d.min()) >= -1e-15
    wrong_prox = _run("P", advance)
    assert float(wrong_prox.closure_error.max()) <= 1e-15  # the identity is algebra
    assert float(wrong_prox.min_d.max()) < -0.1
    for wrong in ("eta", "g"):
        assert float(_run(wrong, advance).closure_error.min()) > 1e-4


def test_blocks_rows_and_float32_agree() -> None:
    long = (1, accounts.BLOCK // 8 + 1000)
    many = _run(shape=long)
    alone = _run(shape=long, every=1)
    assert float(many.closure_error) <= 1e-13
    assert torch.allclose(many.left, alone.left, rtol=1e-12)
    single = _run(shape=long, dtype=torch.float32)
    assert torch.allclose(many.d_sum, single.d_sum, rtol=1e-5)
    assert float(single.closure_error) < 1e-5


def _sign(u: Tensor) -> Tensor:
    return torch.where(u >= 0, 1.0, -1.0).to(u.dtype)


def test_the_short_forms_of_d_are_those_of_the_long_one() -> None:
    generator = torch.Generator().manual_seed(0)
    for pair in ("BC", "BNN++"):
        terms = terms_of(prepare(pair))
        assert terms.vanishes
        assert (terms.flat, terms.euclidean) == (pair == "BC", pair == "BNN++")
        prox = _sign if terms.flat else Tensor.clone
        u = torch.randn((1, 40), generator=generator, dtype=torch.float64)
        plain = Account(u, prox(u), terms.r, every=4)
        short = Account(u, prox(u), terms.r, every=4, vanishes=True, flat=terms.flat, euclidean=terms.euclidean)
        ahead = Account(u, prox(u), terms.r, every=4, vanishes=True, flat=terms.flat, euclidean=terms.euclidean)
        for t in range(9):
            g = torch.randn(u.shape, generator=generator, dtype=torch.float64)
            u = u - 0.1 * g
            for account in (plain, short):
                account.step(0.1, g, u, prox(u))
            if terms.flat and (t + 1) % 4:
                ahead.step_ahead(0.1, g, u)
                ahead.v = prox(u)
            else:
                ahead.step(0.1, g, u, prox(u))
        for other in (short, ahead):
            for a, b in zip(vars(plain.entry()).values(), vars(other.entry()).values(), strict=True):
                assert torch.allclose(a, b, rtol=1e-12, atol=1e-13)
    three = terms_of(prepare("sign(x - 1/2)/2 + sign(x + 1/2)/2 ; 1"))
    assert (three.vanishes, three.flat) == (True, False)
    assert not terms_of(prepare("PC")).vanishes
    assert terms_of(prepare("BNN")).vanishes
    assert not terms_of(prepare("BNN"), advance=True).vanishes


# --------------------------------------------------------------------------- training


def network(device: torch.device, dtype: torch.dtype = torch.float64) -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 5)).to(device, dtype)


def train(model: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
    p = next(model.parameters())
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(32, 12, generator=generator, dtype=torch.float64).to(p.device, p.dtype)
    y = torch.randint(5, (32,), generator=generator).to(p.device)
    for _ in range(steps):
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()


def sgd(p: Any, **how: Any) -> torch.optim.Optimizer:
    return torch.optim.SGD(p, **{"lr": 0.1, **how})


def ledger_of(
    pair: str,
    device: torch.device,
    steps: int,
    make: Any = sgd,
    dtype: torch.dtype = torch.float64,
    every: int = 1,
    **how: Any,
) -> TrainingLedger:
    model = network(device, dtype)
    optimizer = make(model.named_parameters())
    ledger = TrainingLedger(attach(optimizer, pair, **how), every=every)
    train(model, optimizer, steps)
    return ledger


RUNS: list[tuple[str, dict[str, Any]]] = [
    ("BC", {}),
    ("BC", {"scale": "channel"}),
    ("BNN", {}),
    ("BNN++", {}),
    ("PC", WIDE),
    ("PC", {**WIDE, "mu": "advance"}),
    ("ReLU-STE", {"mu": "advance"}),
]


@pytest.mark.parametrize(("pair", "how"), RUNS)
def test_the_identity_closes_over_a_network_run(pair: str, how: dict[str, Any], device: torch.device) -> None:
    rate = 2.0 if "scale" in how else 0.1  # s is small, and is in the gradient too
    ledger = ledger_of(pair, device, 200, lambda p: sgd(p, lr=rate), every=7, **how)
    for found in ledger.now():
        assert found["closure_error"] <= 1e-12
        assert found["min_D"] >= -1e-12
        assert found["form"] == "gradient"
        assert abs(found["left"]) > 1e-3
        assert found["D_sum"] > 0
        assert found["residual"] == pytest.approx(found["D_sum"] / found["sum_eta"]) or found["layer"] == TOTAL
        assert found["sum_eta"] == pytest.approx(200 * rate)
    assert [r["step"] for r in ledger.rows()[::3]] == list(range(7, 200, 7))


@pytest.mark.parametrize(("pair", "how"), [*RUNS[:5], ("PARQ-hard", {})])
@pytest.mark.parametrize("comparators", ["first", "given"])
def test_a_ledger_of_steps_in_blocks_is_that_of_the_optimizer_s(
    pair: str, how: dict[str, Any], comparators: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_programs, "BLOCK", 32)
    monkeypatch.setattr(accounts, "BLOCK", 64)  # bytes: a block of the account's own is shorter
    found = []
    for seen in (False, True):
        model = network(torch.device("cpu"))
        optimizer = sgd(model.named_parameters(), lr=2.0 if "scale" in how else 0.1)
        quantizer = attach(optimizer, pair, **how)
        if seen:
            optimizer.register_step_post_hook(lambda *_: None)  # somebody else's, so no blocks
        given = {slot.name: -slot.parameter.detach().clone() for slot in quantizer.slots}
        ledger = TrainingLedger(quantizer, every=4, comparators=["first", given] if comparators == "given" else "first")
        taken = []
        for _ in range(23):
            train(model, optimizer, 1)
            taken += [slot.blockwise for slot in quantizer.slots]
        assert sum(taken) == (0 if seen else 2 * 18)  # a row is looked at more closely
        found.append([*ledger.rows(), *ledger.now()])
    for a, b in zip(*found, strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert value == (pytest.approx(b[key], rel=1e-9, abs=1e-12) if isinstance(value, float) else b[key]), key
    assert max(row["flips"] for row in found[0]) > 0


@pytest.mark.parametrize(("pair", "how"), [RUNS[0], RUNS[3], RUNS[5]])
def test_other_optimizers_close_as_displacements(pair: str, how: dict[str, Any], device: torch.device) -> None:
    for make in (lambda p: sgd(p, momentum=0.9), lambda p: torch.optim.AdamW(p, lr=0.01)):
        ledger = ledger_of(pair, device, 60, make, every=9, **how)
        total = ledger.now()[-1]
        assert total["closure_error"] <= 1e-12
        assert total["form"] == "displacement"
        assert total["min_D"] >= -1e-12
        assert "not plain gradient descent" in ledger.report()
    ledger = ledger_of(pair, device, 9, lambda p: sgd(p, maximize=True), **how)
    assert (ledger.now()[-1]["form"], ledger.now()[-1]["closure_error"] <= 1e-12) == ("displacement", True)
    if pair == "BC":  # plain descent in both forms
        a = ledger_of(pair, device, 30, **how).now()[-1]
        b = ledger_of(pair, device, 30, lambda p: sgd(p, weight_decay=1e-300), **how).now()[-1]
        assert (a["form"], b["form"]) == ("gradient", "displacement")
        assert a["left"] == pytest.approx(b["left"], rel=1e-10)


def test_float32_shows_its_rounded_updates(device: torch.device) -> None:
    for pair, how in RUNS:
        total = ledger_of(pair, device, 100, dtype=torch.float32, every=10, **how).now()[-1]
        assert 0 < total["closure_error"] < 1e-4, pair
        assert total["min_D"] > -1e-6
        exact = ledger_of(pair, device, 100, dtype=torch.float64, every=10, **how).now()[-1]
        assert exact["closure_error"] < 1e-3 * total["closure_error"]


def _tampered(kind: str, device: torch.device, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    layer = accounts._Layer
    if kind == "P":
        right = layer.point
        monkeypatch.setattr(layer, "point", lambda self, u, out=None: right(self, u, out).neg_())
    if kind == "g":
        gradient = layer._gradient
        monkeypatch.setattr(layer, "_gradient", lambda self: 1.01 * gradient(self))
    model = network(device)
    binarize(model, "BC", skip="none")
    optimizer = sgd(model.parameters())
    ledger = TrainingLedger((model, optimizer))
    if kind == "eta":
        begin = layer.begin

        def told(self: Any, *given: Any) -> None:
            begin(self, *given)
            self.eta *= 1.01

        monkeypatch.setattr(layer, "begin", told)
    train(model, optimizer, 30)
    *layers, found = ledger.now()
    assert found["min_D"] == min(layer["min_D"] for layer in layers)
    monkeypatch.undo()
    return found


def test_mutants_of_the_training_ledger_are_rejected(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    right = _tampered("", device, monkeypatch)
    assert right["closure_error"] <= 1e-12
    assert right["min_D"] >= 0
    wrong = _tampered("P", device, monkeypatch)
    assert wrong["min_D"] < -0.1
    for kind in ("g", "eta"):
        assert _tampered(kind, device, monkeypatch)["closure_error"] > 1e-6


def test_behind_a_parametrization_the_rows_are_the_same(device: torch.device) -> None:
    for pair, how in (("BC", {}), ("BNN++", {}), ("PC", WIDE), ("BNN", {"scale": "tensor"})):
        inside = ledger_of(pair, device, 20, **how)
        model = network(device)
        binarize(model, pair, skip="none", **how)
        optimizer = sgd(model.parameters())
        ledger = TrainingLedger((model, optimizer))
        train(model, optimizer, 20)
        for a, b in zip(inside.rows(), ledger.rows(), strict=True):
            assert list(a) == list(COLUMNS)
            assert a["layer"] == b["layer"]
            for name in COLUMNS[3:-1]:
                slack = 1e-12 if name in ("closure_error", "min_D") else 1e-10
                assert a[name] == pytest.approx(b[name], rel=1e-9, abs=slack), (pair, name)
        assert "activations" not in ledger.report()
        assert "the ledger sees weights alone" in inside.report()


def test_flips_negative_shares_and_layers_without_a_gradient(device: torch.device) -> None:
    model = network(device)
    optimizer = sgd(model.named_parameters(), lr=1.0)
    quantizer = attach(optimizer, "BNN++")
    ledger = TrainingLedger(quantizer, every=2)
    slots, before, flips, shares = quantizer.slots, None, [], []
    for t in range(6):
        if t == 4:
            model[0].weight.requires_grad = False
        latent = [s.u.clone() for s in slots]
        if t % 2 == 0:
            before = [u >= 0 for u in latent]
        train(model, optimizer, 1)
        if t % 2:
            assert before is not None
            flips.append([int(((s.u >= 0) != b).sum()) for s, b in zip(slots, before, strict=True)])
            z = [5 * u for u in latent]
            shares.append([float((2 - x * torch.tanh(x / 2) < 0).double().mean()) for x in z])
    rows = [r for r in ledger.rows() if r["layer"] != TOTAL]
    assert [r["flips"] for r in rows[:4]] == [*flips[0], *flips[1]]
    assert rows[5]["flips"] == flips[2][1]
    assert rows[4]["flips"] == 0
    assert [r["negative_backward"] for r in rows[:4]] == pytest.approx([*shares[0], *shares[1]])
    assert max(shares[1]) > 0
    assert sum(flips[0]) > 0
    assert [r["sum_eta"] for r in rows[4:]] == [4, 6]  # frozen after the fourth step
    assert rows[4]["left"] == rows[2]["left"]
    assert math.isnan(ledger.now()[-1]["sum_eta"])


def test_a_pair_that_is_exchanged_drifts_and_a_loaded_state_begins_anew(device: torch.device) -> None:
    for every in (1, 5):
        model = network(device)
        optimizer = sgd(model.parameters())
        quantizer = attach(optimizer, "BC")
        ledger = TrainingLedger(quantizer, every=every)
        train(model, optimizer, 7)
        state = optimizer.state_dict()
        for pair, how in (("PC", WIDE), ("PC", {}), ("BC", {})):
            quantizer.set(pair, **how)
            train(model, optimizer, 7)
            total = ledger.now()[-1]
            assert total["closure_error"] <= 1e-12, (pair, every)
            assert total["min_D"] >= -1e-12
        assert total["drift"] != 0
        assert total["sum_eta"] == pytest.approx(2.8)
        optimizer.load_state_dict(state)
        train(model, optimizer, 3)
        assert ledger.now()[-1]["sum_eta"] == pytest.approx(0.3)
        assert ledger.now()[-1]["closure_error"] <= 1e-12
        assert "began anew 1 times" in ledger.report()
        quantizer.set(NO_PROX)
        train(model, optimizer, 2)
        assert "the account ended when" in ledger.report()
        assert ledger.now()[-1]["sum_eta"] == pytest.approx(0.3)
        assert ledger.now()[-1]["closure_error"] <= 1e-12


@pytest.mark.parametrize("advance", [True, False])
def test_rows_are_those_of_a_loop_by_hand_while_the_pair_moves(advance: bool, device: torch.device) -> None:
    """The identity's terms from its text: r from the pair, w = v_1 and w inside the levels, two exchanges."""
    p = nn.Parameter(torch.linspace(-1.3, 1.1, 12, dtype=torch.float64, device=device).view(3, 4))
    optimizer = torch.optim.SGD([("p", p)], lr=0.2)
    quantizer = attach(optimizer, "PC", mu="advance" if advance else "fixed", **WIDE)
    (slot,) = quantizer.slots
    given = torch.linspace(-0.9, 0.7, 12, dtype=torch.float64, device=device).view(3, 4)
    ledger = TrainingLedger(quantizer, comparators=("first", {"p": given}), every=2)

    def state() -> tuple[Any, Tensor, Tensor, float]:
        pair = quantizer.prepared
        assert pair.regularizer is not None
        return lower(pair.regularizer, "torch"), moving(pair).at(slot.mu, slot.u), slot.u.clone(), slot.mu

    def d(at: Tensor, r: Any, v: Tensor, u: Tensor, mu: float) -> float:
        return float((mu * (r(at) - r(v)) + at**2 / 2 - v**2 / 2 - (at - v) * u).sum())

    r, v, u, mu = state()
    ws = (v, given)
    first, left, drift, sizes, d_sum = [d(w, r, v, u, mu) for w in ws], [0.0, 0.0], [0.0, 0.0], [0.0, 0.0], 0.0
    for t in range(7):
        if t in (2, 5):
            quantizer.set(horizontal=sp.Rational(1, t), vertical=sp.Rational(t, 10))
            new, moved, _, _ = state()
            for k, w in enumerate(ws):
                term = mu * float(((new(v) - r(v)) - (new(w) - r(w))).sum())
                left[k], drift[k], sizes[k] = left[k] + term, drift[k] + term, sizes[k] + abs(term)
            d_sum, r, v = d_sum + d(v, new, moved, u, mu), new, moved
        g = torch.cos(torch.arange(12.0, dtype=torch.float64, device=device) + t).view(3, 4)
        p.grad = g.clone()
        optimizer.step()
        _, after, u, mu = state()
        for k, w in enumerate(ws):
            for term in (0.2 * float(((v - w) * g).sum()), 0.2 * float((r(v) - r(w)).sum()) if advance else 0.0):
                left[k], sizes[k] = left[k] + term, sizes[k] + abs(term)
        d_sum, v = d_sum + d(v, r, after, u, mu), after
    for k, found in enumerate(ledger.now()[::2]):
        last = d(ws[k], r, v, u, mu)
        size = sizes[k] + d_sum + abs(first[k]) + abs(last)
        told = [found[c] for c in ("left", "D_first", "D_last", "D_sum", "drift", "abs_sum", "residual")]
        wanted = [left[k], first[k], last, d_sum, drift[k], size, d_sum / (7 * 0.2)]
        assert told == pytest.approx(wanted, rel=1e-12, abs=1e-13)
        assert found["closure_error"] <= 1e-14
        assert abs(found["drift"]) > 0.01


def test_between_two_steps_the_ledger_follows(device: torch.device) -> None:
    """An exchanged pair, other latent weights and a detached quantizer, where the model's weights serve as v."""
    usual = ledger_of("BC", device, 7, every=5).now()[-1]
    for change in ("set", "load", "refresh", "detach", "end"):
        model = network(device)
        optimizer = sgd(model.parameters())
        quantizer = attach(optimizer, "BC")
        ledger = TrainingLedger(quantizer, every=5)
        state = copy.deepcopy(optimizer.state_dict())
        train(model, optimizer, 7)
        if change == "set":
            quantizer.set("PC", **WIDE)
        elif change == "load":
            optimizer.load_state_dict(state)
        elif change == "refresh":
            quantizer.slots[0].u.neg_()
            quantizer.refresh()
        else:
            quantizer.detach() if change == "detach" else quantizer.set(NO_PROX)
            train(model, optimizer, 3)
        for _ in range(2):
            total = ledger.now()[-1]
            assert total["closure_error"] <= 1e-12, change
            assert total["min_D"] >= -1e-12
            kept = change in ("set", "detach", "end")
            assert total["sum_eta"] == (pytest.approx(0.7) if kept else 0)
        assert ledger.restarts == (not kept)
        if change in ("detach", "end"):
            assert [total[k] for k in COLUMNS[4:9]] == pytest.approx([usual[k] for k in COLUMNS[4:9]], rel=1e-12)
            why = "its quantizer was detached" if change == "detach" else "(x*(1 - x**2); 1) came"
            assert f"the account ended when {why}" in ledger.report()
        else:
            v = kernel(quantizer.prepared.prox)(quantizer.slots[0].u)
            assert torch.equal(ledger.points()["parameter 0 of group 0"], v)
            train(model, optimizer, 4)
            assert ledger.now()[-1]["closure_error"] <= 1e-12
            with quantizer.latent(), pytest.raises(InputError, match="a ledger was called inside latent"):
                ledger.points()


def test_a_pair_whose_r_is_infinite_ends_the_account(device: torch.device) -> None:
    model = network(device)
    optimizer = sgd(model.parameters())
    quantizer = attach(optimizer, "BC")
    halves, ones, twos = (
        {slot.name: torch.full_like(slot.u, value) for slot in quantizer.slots} for value in (0.5, 1, 2)
    )
    with pytest.raises(InputError, match="comparators with finite r"):
        TrainingLedger(quantizer, comparators=(twos,))
    ledger = TrainingLedger(quantizer, comparators=(halves,))  # v_t is what lies outside
    train(model, optimizer, 2)
    state = copy.deepcopy(optimizer.state_dict())
    state["proxpair"][0]["pair"] = "TWN"  # as a run that had come to it
    for again in (False, True):
        quantizer.set("TWN")  # its levels end at 3/4
        if again:
            quantizer.set("BC")
            ledger.close()
            ledger = TrainingLedger(quantizer, comparators=("first", ones))
            train(model, optimizer, 2)
            quantizer.set("TWN")
            optimizer.load_state_dict(state)
        train(model, optimizer, 2)
        for found in ledger.now():
            assert found["closure_error"] <= 1e-12
            assert found["sum_eta"] == (0 if again else pytest.approx(0.2))
        assert "ended when TWN came, whose r is infinite at v_t or a comparator" in ledger.report()


@pytest.mark.parametrize("pair", ["BC", "BNN++"])
def test_latent_weights_that_are_not_finite_end_the_account(pair: str, device: torch.device) -> None:
    model = network(device)
    optimizer = sgd(model.named_parameters())
    quantizer = attach(optimizer, pair, nonfinite="ignore")
    ledger = TrainingLedger(quantizer, every=2)
    train(model, optimizer, 3)
    with torch.no_grad():
        next(iter(quantizer.latents.values()))[0, 0] = math.nan
    quantizer.refresh()
    train(model, optimizer, 3)  # no step is lost
    assert math.isnan(ledger.now()[0]["D_first"])
    assert "the account ended when" in ledger.report()


def test_a_closed_ledger_leaves_the_next_one_alone(device: torch.device) -> None:
    model = network(device)
    optimizer = sgd(model.parameters())
    quantizer = attach(optimizer, "BC")
    first = TrainingLedger(quantizer, every=5)
    train(model, optimizer, 3)
    first.close()
    second = TrainingLedger(quantizer, every=5)
    first.close()
    with pytest.raises(InputError, match="has a ledger already"):
        TrainingLedger(quantizer)
    train(model, optimizer, 7)
    second.close()
    points = second.points()
    train(model, optimizer, 5)
    assert all(torch.equal(v, points[name]) for name, v in second.points().items())
    assert not torch.equal(points["parameter 0 of group 0"], quantizer.slots[0].w)
    assert second.now()[-1]["closure_error"] <= 1e-12
    assert [first.now()[-1]["sum_eta"], second.now()[-1]["sum_eta"]] == pytest.approx([0.3, 0.7])


def test_steps_of_other_kinds_are_counted_once(device: torch.device) -> None:
    """A closure with a parametrization, a step within a step, and one left out by another quantizer."""

    class Within(torch.optim.SGD):
        def step(self, closure: Any = None) -> Any:
            return super().step(closure)

    usual = ledger_of("BNN++", device, 4).now()[-1]
    model = network(device)
    optimizer = Within(model.parameters(), lr=0.1)
    quantizer = attach(optimizer, "BNN++")
    within = TrainingLedger(quantizer)
    train(model, optimizer, 4)
    model = network(device)
    both = nn.ModuleList([model, nn.Linear(2, 2).to(device, torch.float64)])  # one weight without a gradient
    binarize(both, "BNN++", skip="none")
    optimizer = sgd(both.parameters())
    behind = TrainingLedger((both, optimizer))

    def closure() -> None:
        train(model, Waiting(model.parameters()), 1)

    for _ in range(4):
        optimizer.step(closure)
    for ledger in (within, behind):
        found = ledger.now()
        for name in ("left", "D_sum", "closure_error"):
            assert found[-1][name] == pytest.approx(usual[name], rel=1e-9, abs=1e-12)
        assert found[0]["sum_eta"] == pytest.approx(0.4)
        assert ledger.steps == 4
    assert within.forms == {"displacement"}  # what a subclass does is not known
    model[0].parametrizations.weight.original.requires_grad_(False)  # its gradient is there, so it moves
    optimizer.step()
    assert behind.now()[0]["sum_eta"] == pytest.approx(0.5)
    assert behind.now()[-1]["closure_error"] <= 1e-12
    with torch.no_grad():
        model[0].parametrizations.weight.original.clamp_(-0.1, 0.1)
    optimizer.step()
    assert (behind.restarts, behind.now()[0]["sum_eta"]) == (1, pytest.approx(0.1))
    model = network(device)
    optimizer = sgd(model.parameters())
    ledger = TrainingLedger(attach(optimizer, "BC", params=[model[0].weight], nonfinite="skip"))
    attach(optimizer, "BC", params=[model[2].weight], nonfinite="skip")
    train(model, optimizer, 2)
    model[2].weight.grad[0, 0] = math.nan
    optimizer.step()
    train(model, optimizer, 1)
    assert (ledger.steps, ledger.restarts, ledger.now()[-1]["sum_eta"]) == (3, 0, pytest.approx(0.3))


def test_a_fused_gradient_scaler_leaves_its_steps_out(device: torch.device) -> None:
    for inside in (True, False):
        model = network(device)
        if not inside:
            binarize(model, "BC", skip="none")
        optimizer = sgd(model.parameters(), fused=True)
        ledger = TrainingLedger(attach(optimizer, "BC") if inside else (model, optimizer))
        scaler = torch.amp.GradScaler(device.type, init_scale=2.0**10)
        x = torch.randn(8, 12, generator=torch.Generator().manual_seed(2), dtype=torch.float64).to(device)
        for k in range(4):
            optimizer.zero_grad()
            scaler.scale(model(x).square().mean() * (math.inf if k == 2 else 0.01)).backward()
            scaler.step(optimizer)
            scaler.update()
        total = ledger.now()[-1]
        assert (ledger.steps, total["sum_eta"], total["form"]) == (3, pytest.approx(0.3), "displacement")
        assert total["closure_error"] <= 1e-12


class Waiting(torch.optim.SGD):
    """Takes no step."""

    def step(self, closure: Any = None) -> None:
        pass


def test_parameters_without_entries_and_pairs_that_become_negative(device: torch.device) -> None:
    empty, single = (nn.Parameter(torch.full(shape, 0.5, device=device)) for shape in ((0, 3), ()))
    optimizer = sgd([empty, single])
    quantizer = attach(optimizer, "BC", params=[empty, single])
    ledger = TrainingLedger(quantizer)
    for p in (empty, single):
        p.grad = torch.full_like(p, 8.0)
    optimizer.step()
    total = ledger.now()[-1]
    assert (total["closure_error"], total["flips"], total["negative_backward"]) == (0, 1, 0)
    assert total["D_sum"] == pytest.approx(0.6)  # 2 |u| of the weight that flips
    single.grad = None
    optimizer.step()
    assert (ledger.steps, ledger.now()[-1]["flips"]) == (2, 0)
    single.grad = torch.full_like(single, 8.0)
    quantizer.set("BNN++")
    quantizer.slots[1].u.fill_(0.7)
    quantizer.refresh()
    optimizer.step()
    assert ledger.now()[-1]["negative_backward"] == 1


def test_a_replay_carries_the_last_point_of_the_first_run(device: torch.device) -> None:
    first = ledger_of("PC", device, 30, **WIDE)
    last = first.points()
    model = network(device)
    optimizer = sgd(model.named_parameters())
    ledger = TrainingLedger(attach(optimizer, "PC", **WIDE), comparators=("first", last))
    train(model, optimizer, 30)
    found = ledger.now()
    assert [r["comparator"] for r in found] == ["first"] * 3 + ["given"] * 3
    assert [{k: v for k, v in r.items() if k != "comparator"} for r in found[:3]] == [
        {k: v for k, v in r.items() if k != "comparator"} for r in first.now()
    ]
    for r in found[3:]:
        assert r["closure_error"] <= 1e-12
        assert r["D_first"] > 0
        assert r["D_last"] == pytest.approx(0, abs=1e-12)
    for bad, message in (
        ({"0.weight": last["0.weight"]}, "was expected for 2.weight"),
        ({k: v[:1] for k, v in last.items()}, r"a tensor of shape \(24, 12\) was expected"),
        ({k: v + 2 for k, v in last.items()}, "comparators with finite r"),
    ):
        optimizer = sgd(network(device).named_parameters())
        quantizer = attach(optimizer, "PC", **WIDE)
        with pytest.raises(InputError, match=message):
            TrainingLedger(quantizer, comparators=(bad,))


# --------------------------------------------------------------------------- what comes out, and what is refused


class _Writer:
    def __init__(self) -> None:
        self.seen: list[tuple[str, float, int]] = []

    def add_scalar(self, tag: str, value: float, step: int) -> None:
        self.seen.append((tag, value, step))


def test_rows_files_writers_and_reports(tmp_path: Path, device: torch.device) -> None:
    model = network(device)
    optimizer = sgd(model.parameters())
    with pytest.warns(UserWarning, match="BNN\\+"):
        quantizer = attach(optimizer, "BNN+")
    for layer in (model[0], model[2]):
        quantize_inputs(layer, PairQuantizer("BC"))
    ledger = TrainingLedger((model, quantizer), every=2, names={model[0].weight: "hidden"})
    writer = _Writer()
    ledger.log_to(writer)
    train(model, optimizer, 5)
    path = ledger.write_csv(tmp_path / "ledger.csv")
    with path.open() as file:
        read = list(csv.DictReader(file))
    assert [(r["step"], r["layer"]) for r in read[:2]] == [("2", "hidden"), ("2", "parameter 2 of group 0")]
    assert [float(r["left"]) for r in read] == [r["left"] for r in ledger.rows()]
    assert len(writer.seen) == 2 * 3 * (len(COLUMNS) - 4)
    assert ("ledger/hidden/left", ledger.rows()[0]["left"], 2) in writer.seen
    text = ledger.report()
    for part in ("unprincipled", "T = id, P = F", "activations are quantized", "5 steps", "hidden", "every 2 steps"):
        assert part in text
    ledger.close()
    last = ledger.now()
    train(model, optimizer, 3)
    assert ledger.now() == last
    assert ledger.steps == 5


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_level_that_is_no_float_stays_in_the_domain_of_r(dtype: torch.dtype, device: torch.device) -> None:
    """TTQ's P ends at such a level: the float nearest to it may lie outside, where r as declared is +oo."""
    prepared = prepare("TTQ")
    assert prepared.prox is not None
    assert prepared.regularizer is not None
    u = torch.linspace(-3, 3, 301, dtype=dtype, device=device)
    v, r = kernel(prepared.prox)(u), regularizing(prepared.regularizer)
    assert bool(torch.isfinite(r(v)).all())
    ends = torch.stack([v.min(), v.max()])
    assert bool(torch.isinf(r(ends * (1 + 1e-5))).all())  # farther out it is outside
    if dtype == torch.float32:
        assert not bool(torch.isfinite(lower(prepared.regularizer, "torch")(v)).all())
    model = network(device).to(dtype)
    optimizer = sgd(model.parameters())
    ledger = TrainingLedger(attach(optimizer, "TTQ"))
    train(model, optimizer, 5)
    assert ledger.now()[-1]["closure_error"] < 1e-4


def test_tensorboard_reads_what_is_logged(device: torch.device, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from torch.utils.tensorboard import SummaryWriter

    model = network(device)
    optimizer = sgd(model.parameters())
    ledger = TrainingLedger(attach(optimizer, "BC"))
    with SummaryWriter(str(tmp_path)) as writer:
        ledger.log_to(writer)
        train(model, optimizer, 3)
    events = EventAccumulator(str(tmp_path)).Reload().Scalars("ledger/total/residual")
    wanted = [r["residual"] for r in ledger.rows() if r["layer"] == "total"]
    assert [e.step for e in events] == [1, 2, 3]
    assert [e.value for e in events] == pytest.approx(wanted, rel=1e-6)


def test_what_has_no_ledger_is_refused(device: torch.device) -> None:
    model = network(device)
    optimizer = sgd(model.parameters())
    with pytest.raises(InputError, match="behind a PairQuantizer"):
        TrainingLedger((model, optimizer))
    with pytest.raises(InputError, match="source: an InPlace"):
        TrainingLedger(optimizer)
    quantizer = attach(optimizer, "BC")
    for how, message in (
        ({"every": 0}, "every: an integer"),
        ({"comparators": ("last",)}, "comparators: 'first' or"),
        ({"comparators": ()}, "at least one"),
        ({"names": {model[0].weight: "a", model[2].weight: "a"}}, "different names"),
    ):
        with pytest.raises(InputError, match=message):
            TrainingLedger(quantizer, **how)
    ledger = TrainingLedger(quantizer)
    with pytest.raises(InputError, match="has a ledger already"):
        TrainingLedger(quantizer)
    with quantizer.hard(), pytest.raises(InputError, match=r"a ledger was called inside hard"):
        ledger.report()
    with pytest.raises(InputError, match="add_scalar"):
        ledger.log_to(print)
    optimizer = sgd(network(device).parameters())
    quantizer = attach(optimizer, "BC", method="PQ")
    with pytest.raises(InputError, match="PQ is not ProxConnect"):
        TrainingLedger(quantizer)
    optimizer = sgd(network(device).parameters())
    with pytest.warns(UserWarning, match="no convergence theorem"):
        quantizer = attach(optimizer, NO_PROX)
    with pytest.raises(InputError, match="has no ledger"):
        TrainingLedger(quantizer)
