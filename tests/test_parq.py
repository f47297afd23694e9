"""Our maps in torchao's optimizer against torchao's own; its maps as catalogue entries; every tie by hand."""

from __future__ import annotations

import math
import sys
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from theory.catalogue import CATALOGUE, lookup
from theory.decision import decide
from theory.errors import InputError
from theory.exact import to_float
from theory.parser import parse
from verify import parq
from verify.lowering import lower
from verify.parq import Tie, annealing, projection, prox_map, relaxing, ties
from verify.prepared import prepare

torch.set_num_threads(1)
DRIFT = 1e-4
"""What 70 steps make of rounding: slopes of 1/inverse multiply it. The largest seen is 2e-5."""


def of(name: str, *args: Any, **kwargs: Any) -> Any:
    """A proximal map or a quantizer of torchao by name."""
    from torchao.prototype.parq import optim, quant

    return getattr(optim if name.startswith(("Prox", "Quant")) else quant, name)(*args, **kwargs)


def applied(prox: Any, p: Any, Q: Any, step: int = 5, q: Any = None, dim: int | None = None, dtype: Any = None) -> Any:
    p = torch.as_tensor(p, dtype=dtype or torch.float32).clone()
    prox.apply_(p, q, torch.as_tensor(Q, dtype=p.dtype), step, dim=dim)
    return p


# --------------------------------------------------------------------------- ties


def tie_results(tie: Tie, ours: Any) -> tuple[float, float]:
    """(torchao's result, ours) at one weight."""
    name, _, how = tie.what.partition(" ")
    if tie.levels:
        p, Q, dim = torch.tensor([tie.at]), torch.tensor(tie.levels), None
        if how == "per channel":
            p, Q, dim = p[None], Q[None], -1
        args, step = (() if name == "ProxHardQuant" else (0, 10)), 5 if how == "half way" else 10
        if how == "half way":
            plan = relaxing(0, 10) if name == "ProxBinaryRelax" else annealing(0, 10)
            ours = prox_map("BinaryRelax" if name == "ProxBinaryRelax" else "PARQ-binary", plan, cells=True)
        return tuple(applied(m, p, Q, step, dim=dim).item() for m in (of(name, *args), ours))
    weights = torch.tensor(tie.weights)
    made = of(name, ternary_multiplier=1) if (name, tie.bits) == ("LSBQuantizer", 0) else of(name)
    q, Q = made.quantize(weights, tie.bits)
    i = tie.weights.index(tie.at)
    return q[i].item(), applied(ours, weights, Q)[i].item()


def same(a: float, b: float) -> bool:
    return a == b or (math.isnan(a) and math.isnan(b))


@pytest.mark.parametrize("tie", ties(), ids=lambda t: f"{t.what} {t.bits or ''} {t.at}")
def test_every_listed_tie_is_what_the_package_does(tie: Tie) -> None:
    theirs, ours = tie_results(tie, projection())
    assert same(theirs, tie.torchao)
    assert same(ours, tie.ours)
    if tie.differs and not math.isnan(tie.at) and tie.levels and "half" not in tie.what:
        assert same(tie_results(tie, projection("down"))[1], tie.torchao)


def test_the_list_says_that_zero_goes_both_ways() -> None:
    """The step with the quantizer and the steps without send one and the same weight to different levels."""
    made, weights = of("LSBQuantizer"), torch.tensor([-2.0, 0.0, 0.5, 1.0])
    q, Q = made.quantize(weights, 1)
    hard = of("ProxHardQuant")
    assert applied(hard, weights, Q, q=q)[1] == 0.875
    assert applied(hard, weights, Q)[1] == -0.875
    found = {t.what for t in ties() if t.differs}
    assert len(ties()) - sum(t.differs for t in ties()) == 10
    assert {"ProxHardQuant", "UnifQuantizer", "LSBQuantizer", "TernaryUnifQuantizer"} <= found


def test_greedy_two_bits_are_no_proximal_map_where_the_second_scale_is_larger() -> None:
    """Then the residual's sign turns levels around: a larger weight gets a smaller level. It happens while training."""
    weights = torch.tensor([0.05, -0.05, 0.1, -0.1, 0.1, -0.1, 0.1, 3.0])
    q, Q = of("LSBQuantizer").quantize(weights, 2)
    assert q[0] < 0 < q[1]
    nearest = applied(projection(), weights, Q)
    assert nearest[0] > 0 > nearest[1]
    assert torch.equal(applied(of("ProxHardQuant"), weights, Q), nearest)
    with pytest.raises(InputError, match="must be monotone"):
        prox_map("LSBQ-2bit", {"larger": 0.25, "smaller": 0.75})
    assert decide(lookup("LSBQ-2bit").pair(larger=sp.Rational(1, 4), smaller=sp.Rational(3, 4))).grade == "lipschitz"


def test_a_weight_lies_on_the_midpoint_of_optimal_levels_per_channel() -> None:
    made, weights = of("LSBQuantizer", optimal=True), torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        q, Q = made.quantize(weights, 0, dim=-1)
    up, down = (applied(projection(t), weights, Q, dim=-1) for t in ("up", "down"))
    assert ((up != down).sum(dim=1) == 1).all()
    assert torch.equal(applied(of("ProxHardQuant"), weights, Q, dim=-1), down)
    assert (weights.abs() == Q[:, 2:] / 2).any(dim=1).all()
    assert (q[up != down] - up[up != down]).abs().max() < 1e-6


# --------------------------------------------------------------------------- one step

Levels = st.lists(st.integers(-40, 40).map(lambda k: k / 8), min_size=2, max_size=6, unique=True).map(sorted)


@settings(max_examples=100)
@given(Levels, st.integers(0, 12), st.integers(0, 10**6), st.sampled_from([torch.float32, torch.float64]))
def test_torchaos_maps_on_any_levels(Q: list[float], step: int, seed: int, dtype: torch.dtype) -> None:
    """Whole tensor and per channel, before, while and after annealing (2 to 9)."""
    p = torch.randn(4, 50, generator=torch.Generator().manual_seed(seed), dtype=dtype) * 4
    rows = torch.tensor([Q] * 4, dtype=dtype) * torch.tensor([[1.0], [0.5], [2.0], [0.0]], dtype=dtype)
    for theirs, ours, exact in (
        (of("ProxHardQuant"), projection(), True),
        (of("ProxPARQ", 2, 9), prox_map("PARQ-binary", annealing(2, 9), cells=True), False),
        (of("ProxPARQ", 2, 9, 3, 0.4), prox_map("PARQ-binary", annealing(2, 9, 3, 0.4), cells=True), False),
        (of("ProxBinaryRelax", 2, 9), prox_map("BinaryRelax", relaxing(2, 9), cells=True), False),
    ):
        for levels, dim in ((Q, None), (rows, -1)):
            # in single precision the slopes multiply rounding, so torchao too is compared in double
            want, got = (applied(m, p.double(), levels, step, dim=dim, dtype=torch.float64) for m in (theirs, ours))
            torch.testing.assert_close(got, want, rtol=0, atol=1e-10)
            if exact or not 2 <= step < 9:
                want = applied(theirs, p, levels, step, dim=dim, dtype=dtype)
                assert torch.equal(applied(ours, p, levels, step, dim=dim, dtype=dtype), want)
            else:
                assert torch.equal(applied(ours, p, levels, step, dim=dim, dtype=dtype), got.to(dtype))


@pytest.mark.parametrize("name", ["ternary", "two bits"])
def test_by_scale_and_by_cells_agree(name: str) -> None:
    Q = {"ternary": [-1.5, 0.0, 1.5], "two bits": [-3.0, -1.0, 1.0, 3.0]}[name]
    p = torch.randn(500, generator=torch.Generator().manual_seed(1)) * 2
    if name == "ternary":
        scaled = prox_map("PARQ", annealing(0, 10))
        celled = prox_map("PARQ-binary", annealing(0, 10), cells=True)
        for step in range(11):
            want = applied(of("ProxPARQ", 0, 10), p.double(), Q, step, dtype=torch.float64)
            for ours in (scaled, celled):
                torch.testing.assert_close(
                    applied(ours, p.double(), Q, step, dtype=torch.float64), want, rtol=0, atol=1e-13
                )
    else:
        thirds = [sp.Rational(k, 3) for k in (-3, -1, 1, 3)]
        staircase = parse("Piecewise((-1, x < -2/3), (-1/3, x < 0), (1/3, x < 2/3), (1, True))", {})
        scaled = prox_map(staircase, levels=thirds)
        assert torch.equal(applied(scaled, p, Q), applied(projection(), p, Q))
        widths = prox_map("PC", {"horizontal": sp.Rational(1, 4), "vertical": 0.125}, cells=True)
        x = torch.tensor([0.2, 0.24, 0.3, 1.25, 0.9, -2.99, 5.0])  # cells [-1, 1] and [1, 3]: half-width 1
        family = lower(lookup("PC").pair(horizontal=sp.Rational(1, 4), vertical=sp.Rational(1, 8)).forward)
        by_hand = np.where(x.numpy() > 1, 2 + family(x.numpy() - 2), family(x.numpy()))
        by_hand[5] = -2 + family(np.float64(-0.99))
        np.testing.assert_allclose(applied(widths, x, Q).numpy(), by_hand, rtol=1e-6)


def test_levels_come_out_as_they_are_in_q() -> None:
    g = torch.Generator().manual_seed(2)
    p = torch.randn(2000, generator=g)
    for Q in (torch.tensor([-1.0, 0, 1]) * 0.7123456, (torch.rand(3, generator=g) - 0.5).sort().values):
        found = applied(prox_map("PARQ-binary", {"inverse": 0.25}, cells=True), p, Q)
        assert set(Q.tolist()) <= set(found.tolist())
        assert torch.equal(found[p > Q[-1]], Q[-1].expand((p > Q[-1]).sum()))
    Q = torch.tensor([-1.0, 0, 1]) * 0.7123456
    found = applied(prox_map("PARQ", {"inverse": 0.25}), p, Q)
    assert set(Q.tolist()) <= set(found.tolist())
    assert found.abs().max() == Q[2]


def test_half_precision_strides_and_one_weight() -> None:
    ours = prox_map("BinaryRelax", {"theta": 0.5}, cells=True)
    for dtype in (torch.bfloat16, torch.float16):
        p = torch.tensor([0.5, -2.0, 3.0], dtype=dtype)
        ours.apply_(p, None, torch.tensor([-1.0, 1.0]), 0)
        assert p.tolist() == [0.75, -1.5, 2.0]
    wide = torch.zeros(4, 6)
    part = wide.t()[:3]
    part.copy_(torch.arange(12.0).view(3, 4))
    ours.apply_(part, None, torch.tensor([-4.0, 4.0]), 0)
    assert wide.t()[:3].flatten().tolist() == [(k + 4) / 2 for k in range(12)]
    single = torch.tensor(0.25)
    for m in (ours, prox_map("BinaryRelax"), projection()):
        m.apply_(single, None, torch.tensor([-1.0, 1.0]), 0)
        assert single.shape == ()


def test_nan_stays_and_dead_channels_stay_finite() -> None:
    for ours in (projection(), prox_map("PARQ-binary", cells=True), prox_map("BC"), prox_map("BinaryRelax")):
        p = torch.tensor([[math.nan, 0.5], [0.0, 0.5]])
        ours.apply_(p, None, torch.tensor([[-1.0, 1.0], [-0.0, 0.0]]), 0, dim=-1)
        assert p.isnan().tolist() == [[True, False], [False, False]]
    assert p[1].tolist() == [0, 0.25]  # the limit of v P(u/v)


# --------------------------------------------------------------------------- training


def trained(
    prox: Any, base: str, quantizer: Any, bits: int, period: int, channels: bool, frac: float = 0.0, steps: int = 70
) -> tuple[torch.Tensor, torch.Tensor, list[float]]:
    """(weights, latent weights, losses) of a small network after some steps of torchao's optimizer."""
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.Tanh(), torch.nn.Linear(16, 3))
    g = torch.Generator().manual_seed(4)
    x = torch.randn(96, 8, generator=g)
    y = (x[:, :3] + 0.3 * x[:, 3:6]).argmax(dim=1)
    weights = [net[0].weight, net[2].weight]
    groups = [{"params": weights, "quant_bits": bits}, {"params": [net[0].bias, net[2].bias]}]
    inner: Any = (
        torch.optim.SGD(groups, lr=0.1, momentum=0.9, weight_decay=1e-3)
        if base == "SGD"
        else torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    )
    optimizer = of("QuantOptimizer", inner, quantizer, prox, 0, period, quant_per_channel=channels, anneal_wd_frac=frac)
    losses = []
    for t in range(steps):
        batch = slice(32 * (t % 3), 32 * (t % 3) + 32)
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(x[batch]), y[batch])
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    latent = torch.cat([optimizer.state[w]["latent"].flatten() for w in weights])
    return torch.cat([w.detach().flatten() for w in weights]), latent, losses


RUNS = [
    ("SGD", "LSBQuantizer", 1, 1, False),
    ("AdamW", "LSBQuantizer", 1, 10, True),
    ("SGD", "LSBQuantizer", 2, 10, False),
    ("AdamW", "LSBQuantizer", 2, 1, False),
    ("SGD", "UnifQuantizer", 2, 1, True),
    ("AdamW", "LSBQuantizer", 0, 1, False),
    ("SGD", "LSBQuantizer", 0, 10, False),
]


@pytest.mark.parametrize("run", RUNS, ids=lambda r: "-".join(map(str, r)))
def test_training_with_our_maps_is_training_with_theirs(run: tuple[str, str, int, int, bool]) -> None:
    base, quantizer, bits, period, channels = run

    def both(theirs: Any, ours: Any, frac: float = 0.0) -> list[tuple[torch.Tensor, torch.Tensor, list[float]]]:
        return [trained(m, base, of(quantizer), bits, period, channels, frac) for m in (theirs, ours)]

    hard, own = both(of("ProxHardQuant"), projection("down", given=True))
    assert torch.equal(hard[1], own[1])  # bit for bit
    assert hard[2] == own[2]
    assert sum(hard[2][-9:]) < 0.8 * sum(hard[2][:9])
    # the levels themselves, not the quantizer's q: rounding, until it puts a weight on the other side of a midpoint
    close(
        *(trained(m, base, of(quantizer), bits, period, channels, 0, 30) for m in (of("ProxHardQuant"), projection()))
    )
    by_cells = {"cells": True, "ties": "down", "given": True}
    close(*both(of("ProxBinaryRelax", 10, 50), prox_map("BinaryRelax", relaxing(10, 50), **by_cells)))
    close(*both(of("ProxPARQ", 10, 50), prox_map("PARQ-binary", annealing(10, 50), **by_cells), 0.5))
    if bits == 0:
        close(*both(of("ProxPARQ", 5, 60), prox_map("PARQ", annealing(5, 60))))


def close(a: Any, b: Any) -> None:
    torch.testing.assert_close(a[0], b[0], rtol=0, atol=DRIFT)
    torch.testing.assert_close(a[1], b[1], rtol=0, atol=DRIFT)


def test_a_wrong_schedule_is_another_training() -> None:
    """The mutants: theta a step late, the slope upside down, no clamping while annealing."""
    theirs = {
        "BinaryRelax": trained(of("ProxBinaryRelax", 10, 50), "SGD", of("LSBQuantizer"), 1, 1, False),
        "PARQ-binary": trained(of("ProxPARQ", 10, 50), "SGD", of("LSBQuantizer"), 1, 1, False),
    }
    right, late = annealing(10, 50), relaxing(11, 51)

    def upside(step: int) -> Any:
        state = right(step)
        return {"inverse": 1 / state["inverse"]} if isinstance(state, dict) else state

    for name, plan in (("BinaryRelax", late), ("PARQ-binary", upside), ("PARQ-binary", annealing(10, 51))):
        mutant = trained(prox_map(name, plan, cells=True), "SGD", of("LSBQuantizer"), 1, 1, False)
        with pytest.raises(AssertionError):
            close(theirs[name], mutant)


# --------------------------------------------------------------------------- what is refused


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    p, Q = torch.tensor([0.3, -0.2]), torch.tensor([-1.0, 0.1, 1.0])
    for ours, why in (
        (prox_map("PARQ"), "PARQ: Q divided by its scale is not -1, 0, 1"),
        (prox_map("BC"), "BC has 2 levels, and Q has 3"),
        (prox_map("BC", lambda _: "soft"), "plan: parameters, 'hard' or None"),
        (prox_map("BinaryRelax", lambda _: {"theta": 3.0}, cells=True), "must be monotone"),
        (prox_map("BinaryRelax", lambda _: {"theta": math.nan}), "finite number"),
        (prox_map("BinaryRelax", lambda _: {"beta": 0.5}), "unknown parameter"),
    ):
        with pytest.raises(InputError, match=why):
            ours.apply_(p, None, Q, 0)
        assert p.tolist() == torch.tensor([0.3, -0.2]).tolist()
    for bad, dim in ((Q[:1], None), (Q[None], None), (Q, -1), (torch.ones(3, 3), -1), (torch.tensor([0, 1]), None)):
        with pytest.raises(InputError, match="expected"):
            projection().apply_(p, None, bad, 0, dim=dim)
    for make, why in (
        (lambda: prox_map("BNN"), "BNN: PARQ's optimizer multiplies gradients by 1"),
        (lambda: prox_map("sin(x)"), "unknown quantizer"),
        (lambda: prox_map(parse("-x", {})), "must be monotone"),
        (lambda: prox_map("PARQ", cells=True), "by cells a map with the levels -1 and 1"),
        (lambda: prox_map(parse("2*sign(x)", {}), levels=[-1, 1], cells=True), "by cells a map of"),
        (lambda: prox_map(parse("x", {}), {"a": 1}), "parameters belong to a pair of the catalogue"),
        (lambda: prox_map("PARQ", [(3, None), (3, {})]), "increasing steps"),
        (lambda: prox_map("PARQ", []), "increasing steps"),
        (lambda: prox_map("BC", levels=[1]), "two or more different"),
        (lambda: prox_map(3), "a pair, the name of one"),
        (lambda: projection("even"), "ties: 'up' or 'down'"),
        (lambda: relaxing(5, 5), "anneal_start < anneal_end"),
        (lambda: annealing(0, 5, -1), "steepness"),
        (lambda: annealing(0, 5, 10, 0.6), "anneal_center"),
    ):
        with pytest.raises(InputError, match=why):
            make()


def test_without_torchao_one_sentence_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    parq._classes.cache_clear()
    monkeypatch.setitem(sys.modules, "torchao.prototype.parq.optim", None)
    for make in (projection, lambda: prox_map("BC")):
        with pytest.raises(InputError, match="pip install torchao"):
            make()
    assert ties()
    monkeypatch.undo()
    parq._classes.cache_clear()
    assert projection()


def test_plans_are_functions_tables_or_fixed() -> None:
    for plan, want in (
        (None, [1.5, 1.5, 1.5]),
        ({"theta": sp.Rational(1, 4)}, [1.75, 1.75, 1.75]),
        ([(1, {"theta": 0.25}), (2, "hard")], [2.0, 1.75, 1.0]),
        (lambda t: {"theta": t / 2}, [2.0, 1.5, 1.0]),
    ):
        ours = prox_map("BinaryRelax", plan)
        assert [applied(ours, [2.0], [-1.0, 1.0], t).item() for t in range(3)] == want
    theirs, ours = of("ProxPARQ", 1, 3), prox_map("PARQ-binary", annealing(1, 3), cells=True)
    p, Q = torch.zeros(2), torch.tensor([-1.0, 1.0])
    assert [theirs.apply_(p, None, Q, t) for t in range(4)] == [ours.apply_(p, None, Q, t) for t in range(4)]
    assert prox_map(prepare("PARQ-binary")).apply_(p, None, Q, 0) is None


# --------------------------------------------------------------------------- torchao's maps as catalogue entries


def their_quantizer(bits: int, scales: tuple[float, ...]) -> Callable[[Any], Any]:
    """What LSBQuantizer does with its scales once it has them."""

    def f(x: Any) -> Any:
        from torchao.prototype.parq.quant.lsbq import binary_quant_residue

        u = torch.from_numpy(x)
        if bits:
            return (u - binary_quant_residue(u, scales)).numpy()
        Q = scales[0] * torch.tensor([-1.0, 0.0, 1.0], dtype=torch.float64)
        return Q[torch.bucketize(u, scales[0] * torch.tensor([-0.5, 0.5], dtype=torch.float64))].numpy()

    return f


def their_map(name: str, levels: list[float], step: int = 0, *args: int) -> Callable[[Any], Any]:
    return lambda x: applied(of(name, *args), x, levels, step, dtype=torch.float64).numpy()


HALF = (0, 2)  # half way through annealing from 0 to 2: theta = 1/2, inverse slope 1/2
ENTRIES: dict[str, tuple[Callable[[Any], Any], list[float]]] = {
    "PARQ": (their_map("ProxPARQ", [-1, 0, 1], 1, *HALF), []),
    "PARQ-binary": (their_map("ProxPARQ", [-1, 1], 1, *HALF), []),
    "PARQ-hard": (their_map("ProxHardQuant", [-0.25, 0.25]), []),
    "BinaryRelax": (their_map("ProxBinaryRelax", [-1, 1], 1, *HALF), [0.0]),
    "BC": (their_map("ProxHardQuant", [-1, 1]), [0.0]),
    "LSBQ": (their_quantizer(1, (0.75,)), []),
    "LSBQ-2bit": (their_quantizer(2, (0.75, 0.25)), []),
    "LSBQ-ternary": (their_quantizer(0, (0.75,)), []),
}
"""torchao's function of each entry, and the ties at which the declaration has another value."""


@pytest.mark.parametrize("name", ENTRIES)
def test_entries_are_the_functions_of_torchao(name: str) -> None:
    theirs, other = ENTRIES[name]
    pair = lookup(name).pair()
    marks = np.array([to_float(b) for b in pair.forward.breaks])
    rng = np.random.default_rng(5)
    x = np.concatenate([rng.normal(0, 1.5, 3000), marks, marks + 1e-9, marks - 1e-9, [0.0, 7.0, -7.0]])
    ours, want = lower(pair.forward)(x), theirs(x)
    wrong = ~np.isclose(ours, want, rtol=0, atol=1e-12)
    assert sorted(set(x[wrong].tolist())) == other
    assert not np.allclose(lower(pair.forward)(x + 1e-6), want, rtol=0, atol=1e-12)
    assert pair.backward.constant == 1  # the optimizer hands the gradient at P(u) to u


def test_frozen_scales_are_those_of_the_quantizer() -> None:
    """`LSBQuantizer.quantize` itself, on weights whose mean magnitudes are the scales of the entries."""
    made = of("LSBQuantizer", ternary_multiplier=1)
    for name, bits, weights in (
        ("LSBQ", 1, [-1.5, 0.0, 0.5, 1.0]),  # mean 3/4
        ("LSBQ-2bit", 2, [-1.25, -0.75, 0.75, 0.25, 0.5, 1.0]),  # mean 3/4, then mean(1/2, 0, 0, 1/2, 1/4, 1/4) = 1/4
        ("LSBQ-ternary", 0, [-0.375, 0.375, 1.5, 0.75]),
    ):
        u = torch.tensor(weights, dtype=torch.float64)
        q, Q = made.quantize(u, bits)
        forward = lookup(name).pair().forward
        assert torch.equal(lower(forward, "torch")(u), q.double())
        assert sorted(to_float(e) for e in forward.exprs) == Q.tolist()


@pytest.mark.parametrize("name", ["PARQ-binary", "PARQ-hard", "LSBQ", "LSBQ-2bit", "LSBQ-ternary"])
def test_verdicts_by_hand(name: str) -> None:
    """docs/mathematics.md, section 3, with B = 1 throughout, so that T = id and P = F.

    PARQ-binary: S on |x| < inverse (F' B = 1/inverse > 0), K with b = 1 outside; F is continuous and
    B too: smooth. F'/B = 1/inverse = 2 > 1: r is not convex; at inverse = 1 it is that of the clip.
    The others: K pieces with b = 1 between upward jumps, and both limits of B have the sign of the
    jump: smooth. F jumps: r is not convex. The literal P = F exists in all cases.
    """
    entry = CATALOGUE[name]
    found = decide(entry.pair())
    assert (found.grade, found.literal, found.convex) == ("smooth", True, False)
    assert (entry.verdict, entry.literal, entry.convex) == ("smooth", True, False)
    assert "torchao.prototype.parq" in entry.source
    if name == "PARQ-binary":
        assert decide(entry.pair(inverse=sp.Integer(1))).convex is True


def test_the_greedy_two_bit_levels_are_not_monotone_where_the_second_scale_is_larger() -> None:
    """One weight far out: the mean of what one bit leaves exceeds the mean, and LSBQuantizer's map falls at 0."""
    from torchao.prototype.parq.quant import LSBQuantizer

    p = torch.tensor([-0.1, 0.1, 0.2, -0.2, 0.1, -0.1, 8.0, 0.3])
    q, levels = LSBQuantizer().quantize(p, 2)
    order = p.argsort()
    assert bool((q[order].diff() < -0.1).any())
    assert len(levels) == 4
    even = torch.tensor([-1.1, 1.1, 0.4, -0.4, 0.9, -0.9])
    assert bool((LSBQuantizer().quantize(even, 2)[0][even.argsort()].diff() >= 0).all())
