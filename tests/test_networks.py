"""The networks: the step against autograd, the ledger and its mutants, hardening, batching, the command."""

from __future__ import annotations

import csv
from dataclasses import replace
from fractions import Fraction
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
import torch

import proxpair
from theory.catalogue import lookup
from theory.errors import InputError
from theory.parser import parse
from verify import networks, train
from verify.accounts import Account, regularizing
from verify.ledger import identity_sides
from verify.lowering import lower

CPU = torch.device("cpu")
OURS = [m for m in train.METHODS if m not in train.OTHER_RULES]
SCHEDULED = [*OURS, "Ternary"]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def digits() -> networks.Digits:
    return networks.load_digits(0, CPU)


@pytest.fixture(scope="module")
def short_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[train.Result]]:
    out = tmp_path_factory.mktemp("short")
    return out, train.run(out, seed=3, seeds=2, epochs=3, device="cpu")


def table(out: Path, name: str) -> list[dict[str, str]]:
    with (out / "networks" / f"{name}.csv").open() as file:
        return list(csv.DictReader(file))


# --------------------------------------------------------------------------- data and schedules


def test_the_split_is_stratified_scaled_and_fixed_by_the_seed(digits: networks.Digits) -> None:
    assert digits.train_x.shape == (1347, 64)
    assert digits.test_x.shape == (450, 64)
    assert digits.train_x.dtype == torch.float32
    assert (float(digits.train_x.min()), float(digits.train_x.max())) == (-1.0, 1.0)
    shares = torch.bincount(digits.test_y) / torch.bincount(torch.cat([digits.train_y, digits.test_y]))
    assert float((shares - 0.25).abs().max()) < 0.01
    again, other = networks.load_digits(0, CPU), networks.load_digits(1, CPU)
    assert torch.equal(again.test_x, digits.test_x)
    assert not torch.equal(other.test_x, digits.test_x)


def test_batches_are_permutations_of_each_seeds_own() -> None:
    orders = networks.batch_orders([4, 5], 1, 1347, CPU)
    assert torch.equal(orders.sort(dim=1).values, torch.arange(1347).expand(2, -1))
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(networks.batch_orders([5], 1, 1347, CPU)[0], orders[1])
    assert not torch.equal(networks.batch_orders([4], 2, 1347, CPU)[0], orders[0])


def test_schedules_run_exactly_from_end_to_end() -> None:
    sharp = train.SCHEDULES["BNN++"]
    values = [sharp.value(e, 40) for e in range(1, 41)]
    assert (values[0], values[-1]) == (5, 100)
    assert all(isinstance(v, sp.Rational) for v in values)
    ratios = [float(b / a) for a, b in pairwise(values)]
    assert max(ratios) - min(ratios) < 1e-3  # geometric, up to the rounding to thousandths
    width = train.SCHEDULES["PC"]
    assert [width.value(e, 4) for e in range(1, 5)] == [0, sp.Rational(33, 100), sp.Rational(66, 100), width.last]
    assert sharp.value(1, 1) == 100
    assert {train.SCHEDULES["BNN+"].value(e, 7) for e in range(1, 8)} == {5}
    for name, schedule in train.SCHEDULES.items():
        assert set(schedule.parameters) <= set(lookup(train.OTHER_RULES.get(name, name)).params)


def test_every_epoch_has_its_own_exact_pair() -> None:
    plan = train.stages("BNN++", 3)
    x = torch.tensor([0.01, -0.3, 2.0], dtype=torch.float64)
    for stage, beta in zip(plan, (5, sp.Rational(22361, 1000), 100), strict=True):
        pair = lookup("BNN++").pair(beta=sp.sympify(beta))
        assert torch.equal(stage.forward(x), lower(pair.forward, "torch")(x))
        assert torch.equal(stage.backward(x), lower(pair.backward, "torch")(x))
        assert stage.sharpness == float(beta)
    assert train.stages("BNN", 2)[0] is train.stages("BNN", 2)[1]


# --------------------------------------------------------------------------- one step against autograd


def _swish(u: torch.Tensor, beta: float) -> torch.Tensor:
    s = torch.sigmoid(beta * u)
    return 2 * s * (1 + beta * u * (1 - s)) - 1


def _swish_slope(u: torch.Tensor, beta: float) -> torch.Tensor:
    s = torch.sigmoid(beta * u)
    return beta * s * (1 - s) * (4 + 2 * beta * u * (1 - 2 * s))


def _sign(u: torch.Tensor) -> torch.Tensor:
    return torch.where(u >= 0, 1.0, -1.0).to(u.dtype)  # 0 is no level


def _family(u: torch.Tensor, width: float) -> torch.Tensor:
    a = u.abs()
    return _sign(u) * torch.where(a < 1 - width, width + a, torch.ones_like(a))


def _written_by_hand(method: str, sharpness: float) -> tuple[Any, Any]:
    """(F, B) in plain torch: the independent side, so deliberately not from the catalogue."""
    ones = torch.ones_like
    return {
        "FP": (lambda u: u, ones),
        "BC": (_sign, ones),
        "PC": (lambda u: _family(u, sharpness), ones),
        "BNN": (_sign, lambda u: (u.abs() <= 1).to(u.dtype)),
        "BNN+": (_sign, lambda u: _swish_slope(u, sharpness)),
        "BNN++": (lambda u: _swish(u, sharpness), lambda u: _swish_slope(u, sharpness)),
        "Ternary": (lambda u: (u > 0.5).to(u.dtype) - (u < -0.5).to(u.dtype), lambda u: (u.abs() <= 1).to(u.dtype)),
    }[method]


class _Surrogate(torch.autograd.Function):
    """w = F(u) forward, B(u) * gradient backward."""

    @staticmethod
    def forward(ctx: Any, u: torch.Tensor, f: Any, b: Any) -> torch.Tensor:
        ctx.slope = b(u)
        return f(u)

    @staticmethod
    def backward(ctx: Any, g: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return ctx.slope * g, None, None


@pytest.mark.parametrize("method", SCHEDULED)
def test_one_step_equals_autograd(method: str, digits: networks.Digits, monkeypatch: pytest.MonkeyPatch) -> None:
    """u - eta B(u) * grad, of seed 1 out of (0, 1), in float64 by autograd through torch.nn.functional."""
    monkeypatch.setattr(train, "BATCH", 1347)  # one batch, so that an epoch is one step and its order does not matter
    stage = train.stages(method, 3)[1]
    start = networks.initial([0, 1], CPU)
    # some latent weights beyond the clip and exactly at breakpoints
    noise = torch.Generator().manual_seed(0)
    # biases off 0: two-valued weights would else meet the rectifier's kink exactly, up to rounding
    biases = tuple(torch.rand(b.shape, generator=noise) - 0.5 for b in start.biases)
    start = replace(start, latent=1.2 * start.latent, biases=biases)
    start.latent[:, :5] = torch.tensor([0.0, 1.0, -1.0, -0.0, 0.5])
    trainer = train.Trainer([stage], digits, [0, 1], CPU)
    trainer.parameters = start
    measured = trainer.run_epoch()

    f, b = _written_by_hand(method, stage.sharpness)
    u = start.latent[1].clone().requires_grad_()
    free = [p[1].double().clone().requires_grad_() for p in (start.output, *start.biases)]
    w = _Surrogate.apply(u, f, b)
    h = digits.train_x.double()
    for i, matrix in enumerate((w[:4096].reshape(64, 64), w[4096:].reshape(64, 64), free[0])):
        h = (2 / 64) ** 0.5 * (h @ matrix + free[1 + i])
        h = torch.relu(h) if i < 2 else h
    loss = torch.nn.functional.cross_entropy(h, digits.train_y)
    loss.backward()
    assert measured.loss[1] == pytest.approx(loss.item(), rel=1e-5)
    after = trainer.parameters
    for was, new in ((u, after.latent[1]), *zip(free, (after.output[1], *(p[1] for p in after.biases)), strict=True)):
        step = (was.detach() - new.double()) / train.STEP
        assert was.grad is not None
        # float32 activations: 1e-7 relative to the sums that a gradient is made of
        assert torch.allclose(step, was.grad, rtol=1e-3, atol=2e-6)
    assert float(u.grad.abs().max()) > 1e-3


def test_step_sizes_follow_the_cosine(digits: networks.Digits) -> None:
    trainer = train.Trainer(train.stages("FP", 2), digits, [0], CPU)
    etas = np.array([trainer.step_size(t) for t in range(trainer.steps)])
    assert trainer.steps == 2 * (1347 // 64)
    assert etas[0] == train.STEP
    assert (np.diff(etas) < 0).all()
    assert etas[-1] > 0


# --------------------------------------------------------------------------- batching and determinism


@pytest.mark.parametrize("method", ["FP", "PC", "BNN", "BNN++"])
def test_a_batch_of_seeds_equals_each_seed_alone(method: str, digits: networks.Digits) -> None:
    together = train.Trainer(train.stages(method, 2)[:1], digits, [7, 8, 9], CPU)
    alone = train.Trainer(train.stages(method, 2)[:1], digits, [9], CPU)
    both = together.run_epoch(), alone.run_epoch()
    assert both[0].loss[2] == pytest.approx(both[1].loss[0], rel=1e-5)
    mine, other = together.parameters.of_seed(2), alone.parameters
    for a, b in zip((mine.latent, mine.output, *mine.biases), (other.latent, other.output, *other.biases), strict=True):
        assert torch.allclose(a, b, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(together.parameters.latent[0], together.parameters.latent[1])


def test_the_same_command_twice_gives_the_same_bytes(
    short_run: tuple[Path, list[train.Result]], tmp_path: Path
) -> None:
    out, results = short_run
    again = train.run(tmp_path, seed=3, seeds=2, epochs=3, device="cpu")
    assert again == results
    for name in ("curves", "summary", "ledger"):
        relative = f"networks/{name}.csv"
        assert (tmp_path / relative).read_bytes() == (out / relative).read_bytes()


def test_files_keep_their_contract(short_run: tuple[Path, list[train.Result]]) -> None:
    out, results = short_run
    curves, summary, ledger = (table(out, name) for name in ("curves", "summary", "ledger"))
    assert list(curves[0]) == ["method", "seed", "epoch", "sharpness", "loss", "soft_accuracy", "hard_accuracy"]
    columns = "method verdict seeds hard_mean hard_std soft_mean soft_std note"
    assert list(summary[0]) == columns.split()
    columns = "method seed epoch left d_first d_last d_sum abs_sum closure_error residual flips negative_backward"
    assert list(ledger[0]) == [*columns.split(), "drift", "min_D"]
    for rows, methods in ((curves, train.METHODS), (ledger, OURS)):
        keys = [(m, s, e) for m in methods for e in "123" for s in "34"]
        assert [(r["method"], r["seed"], r["epoch"]) for r in rows] == keys
    other = train.OTHER_VERDICT
    verdicts = ["smooth", other, other, "smooth", "smooth", "lipschitz", "unprincipled", "smooth"]
    assert [r["verdict"] for r in summary] == verdicts == [r.verdict for r in results]
    for row in summary:
        for kind in ("hard", "soft"):
            last = [float(r[f"{kind}_accuracy"]) for r in curves if r["method"] == row["method"] and r["epoch"] == "3"]
            assert float(row[f"{kind}_mean"]) == pytest.approx(sum(last) / 2)
            assert float(row[f"{kind}_std"]) == pytest.approx(abs(last[0] - last[1]) / 2**0.5)  # ddof = 1
        if row["verdict"] in ("lipschitz", "unprincipled"):  # forward maps with two values: hard already
            assert row["hard_mean"] == row["soft_mean"]
        assert float(row["soft_mean"]) > 0.6  # chance is 0.1


def test_measures_of_the_backward_map_and_of_flips(short_run: tuple[Path, list[train.Result]]) -> None:
    rows = {(r["method"], r["seed"], r["epoch"]): r for r in table(short_run[0], "ledger")}
    for (method, _, epoch), row in rows.items():
        share = float(row["negative_backward"])
        if method not in ("BNN+", "BNN++"):
            assert share == 0
        elif epoch == "1":
            # SS' < 0 beyond 2.39936/5, and u starts uniform on [-1, 1]
            assert share == pytest.approx(1 - 2.39936 / 5, abs=0.03)
        assert 0 < int(row["flips"]) < 21 * networks.COORDINATES
    assert float(rows["BNN++", "3", "3"]["negative_backward"]) > 0.9  # 2.39936/100


# --------------------------------------------------------------------------- the ledger


def test_the_ledger_closes_and_divergences_are_not_negative(short_run: tuple[Path, list[train.Result]]) -> None:
    for row in table(short_run[0], "ledger"):
        assert float(row["closure_error"]) <= 1e-12, row
        assert float(row["min_D"]) >= -1e-12, row
        assert float(row["abs_sum"]) > 0
        assert float(row["d_first"]) == 0  # the comparator is v_1
        moves = row["method"] == "PC" and row["epoch"] != "1"
        assert (float(row["drift"]) != 0) == moves, row


def test_the_ledger_agrees_with_the_identity_in_rationals() -> None:
    """BinaryConnect on three coordinates and five steps, against exact sums of the formulas."""
    rng = np.random.default_rng(5)
    steps = [Fraction(k, 4) for k in (4, 3, 2, 2, 1)]
    gs = [[Fraction(int(k), 8) for k in rng.integers(-9, 10, 3)] for _ in steps]
    us = [[Fraction(1, 2), Fraction(-3, 4), Fraction(1, 16)]]
    for eta, g in zip(steps, gs, strict=True):
        us.append([u - eta * k for u, k in zip(us[-1], g, strict=True)])
    vs = [[Fraction(1 if x > 0 else -1) for x in u] for u in us]
    exact = identity_sides(us, vs, gs, steps, [1] * 6, vs[0], lambda _: Fraction(0))

    def tensor(xs: list[Fraction]) -> torch.Tensor:
        return torch.tensor([[float(x) for x in xs]], dtype=torch.float64)

    ledger = Account(tensor(us[0]), tensor(vs[0]), torch.zeros_like)
    for eta, g, u, v in zip(steps, gs, us[1:], vs[1:], strict=True):
        ledger.step(float(eta), tensor(g), tensor(u), tensor(v))
    entry = ledger.entry()
    assert entry.left.item() == float(exact.first[0])
    assert (entry.d_first - entry.d_last + entry.d_sum).item() == float(exact.first[1])
    assert entry.residual.item() == entry.d_sum.item() / float(sum(steps))


def _ledger_after(plan: list[train.Stage], digits: networks.Digits) -> dict[str, np.ndarray]:
    trainer = train.Trainer(plan, digits, [0, 1], CPU)
    for _ in plan:
        found = trainer.run_epoch().ledger
    assert found is not None
    return found


def test_a_wrong_prox_closes_the_identity_and_is_caught_by_the_divergences(digits: networks.Digits) -> None:
    right = train.stages("BC", 1)[0]
    wrong = replace(right, prox=lambda u: -torch.sign(u))
    found = _ledger_after([wrong], digits)
    assert (found["closure_error"] <= 1e-12).all()
    assert (found["min_d"] < -0.1).all()
    assert (_ledger_after([right], digits)["min_d"] >= -1e-12).all()


def test_a_prox_that_misses_its_schedule_is_caught(digits: networks.Digits) -> None:
    """PC with the P of the first epoch under the r of the second: finite, closed, and not minimal."""
    first, second = train.stages("PC", 2)
    found = _ledger_after([first, replace(second, prox=first.prox)], digits)
    assert (found["closure_error"] <= 1e-12).all()
    assert (found["min_d"] < -0.01).all()


def test_a_wrong_bookkeeping_does_not_close() -> None:
    """The identity is not vacuous: a step other than the recorded one leaves it open, with r fixed or exchanged."""
    r = regularizing(parse("Piecewise((1/2 - x**2/2, Abs(x) <= 1), (oo, True))", allow_infinity=True))
    u = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    g = torch.tensor([[0.4, -1.0]], dtype=torch.float64)

    def closure(applied: float, moved: bool) -> float:
        ledger = Account(u, torch.sign(u), r)
        if moved:
            ledger.r = lambda v: 2 * r(v) + 0.25 * v
            ledger.move(torch.clamp(u, -1, 1), r)
        for t in (1, 2):
            after = u - applied * t * g
            ledger.step(1.0, g, after, torch.clamp(after, -1, 1))
        return ledger.entry().closure_error.item()

    assert closure(1.0, False) <= 1e-15
    assert closure(1.1, False) > 1e-3
    assert closure(1.0, True) <= 1e-15
    assert closure(1.1, True) > 1e-3


def test_methods_without_a_proximal_map_have_no_ledger_and_say_why() -> None:
    stage = train.stages("x*(1 - x**2) ; 1", 1)[0]
    assert stage.prox is None
    assert stage.note.startswith("no ledger: F is not shown to be a proximal map")
    assert train.stages("BNN+", 1)[0].note == "unprincipled: ledger with T = id, P = F"
    assert train.stages("BNN++", 1)[0].note == ""


# --------------------------------------------------------------------------- the other updates


def test_proxquant_and_reverse_proxconnect_take_the_steps_of_their_formulas(digits: networks.Digits) -> None:
    """Ten steps of each by hand, the gradient by autograd; a step from the wrong point is far off."""
    orders = networks.batch_orders([2], 1, 1347, CPU)[0]
    for method in train.OTHER_RULES:
        stage = replace(train.stages(method, 3)[1])
        trainer = train.Trainer([stage], digits, [2], CPU)
        trainer.batches, steps = 10, 10
        trainer.steps = steps
        start = trainer.parameters
        trainer.run_epoch()

        def by_hand(rule: str, start: networks.Parameters = start, steps: int = steps) -> torch.Tensor:
            u = start.latent[0].clone()
            free = [start.output[0].double(), *(b[0].double() for b in start.biases)]
            prox = partial(_family, width=0.495)
            u = prox(u) if rule == "PQ" else u
            for t in range(steps):
                eta = train.STEP * (1 + np.cos(np.pi * t / steps)) / 2
                picked = orders[64 * t : 64 * (t + 1)]
                w, *rest = leaves = [p.clone().requires_grad_() for p in (u, *free)]
                h = digits.train_x[picked].double()
                for i, m in enumerate((w[:4096].reshape(64, 64), w[4096:].reshape(64, 64), rest[0])):
                    h = (2 / 64) ** 0.5 * (h @ m + rest[1 + i])
                    h = torch.relu(h) if i < 2 else h
                torch.nn.functional.cross_entropy(h, digits.train_y[picked]).backward()
                grads = [p.grad for p in leaves if p.grad is not None]
                free = [p - eta * g for p, g in zip(free, grads[1:], strict=True)]
                base = prox(u) if rule == "rPC" else u
                u = base - eta * grads[0]
                u = prox(u) if rule == "PQ" else u
            return u

        found = trainer.parameters.latent[0]
        distance = {rule: float((found - by_hand(rule)).abs().max()) for rule in train.OTHER_RULES}
        assert distance.pop(method) < 1e-5  # float32 activations
        assert min(distance.values()) > 1e-3
        assert trainer.ledger is None


def test_a_replay_carries_the_last_point_as_comparator(tmp_path: Path, digits: networks.Digits) -> None:
    results = train.run(tmp_path, seed=4, seeds=2, epochs=3, methods=["BC", "PQ", "PC"], device="cpu", replay=True)
    first, again = table(tmp_path, "ledger"), table(tmp_path, "replay")
    assert [r["method"] for r in again] == ["BC"] * 6 + ["PC"] * 6
    assert "not ProxConnect++" in results[1].note
    for a, b in zip(first, again, strict=True):
        assert float(b["closure_error"]) <= 1e-12
        assert float(b["min_D"]) >= -1e-12
        assert b["d_sum"] == a["d_sum"]  # the same run
        assert float(b["d_first"]) > 0
        if b["epoch"] == "3":
            assert float(b["d_last"]) == pytest.approx(0, abs=1e-9)  # D_{T+1}(v_{T+1})
    train.run(tmp_path, seed=4, seeds=2, epochs=1, methods=["BC"], device="cpu")
    assert not (tmp_path / "networks" / "replay.csv").exists()


def test_any_pair_is_trained_and_what_no_theorem_covers_says_so(tmp_path: Path, capsys: Any) -> None:
    out = ["--epochs", "1", "--seeds", "1", "--device", "cpu", "--out", str(tmp_path)]
    assert proxpair.main(["train", "ApproxSign", "--pair", "tanh(2*x) ; 1", *out]) == 0
    shown = capsys.readouterr()
    (warning,) = [line for line in shown.err.splitlines() if line.startswith("warning: ")]
    assert "ApproxSign is unprincipled" in warning
    assert "B(-1/2) != B(-1/4)" in warning
    assert [line.split("  ")[0] for line in shown.out.splitlines()[1:3]] == ["ApproxSign", "(tanh(2*x); 1)"]
    assert proxpair.main(["train", "--pair", "x ; y", *out]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


# --------------------------------------------------------------------------- hardening


@pytest.mark.parametrize(
    ("forward", "points", "expected"),
    [
        ("sign(x)", [-2.0, -0.0, 0.0, 5e-324, -5e-324], [-1, 1, 1, 1, -1]),
        ("x", [-2.0, -0.0, 0.0, 1e-300], [-1, 1, 1, 1]),
        ("2*sigmoid(5*x)*(1 + 5*x*(1 - sigmoid(5*x))) - 1", [-9.0, -0.1, 0.0, 0.4, 9.0], [-1, -1, 1, 1, 1]),
        ("clip(2*x, -1, 1)", [-0.5, -0.1, 0.0, 0.1], [-1, -1, 1, 1]),
        # a staircase keeps its levels, and its tie value where that is one of them
        ("Piecewise((-1, x < -1/2), (0, x <= 1/2), (1, True))", [-0.6, -0.5, 0.0, 0.5, 0.6], [-1, 0, 0, 0, 1]),
        ("Piecewise((-1, x < 0), (1/3, x == 0), (1, True))", [-0.6, 0.0, 0.1], [-1, 1, 1]),
    ],
)
def test_hardening(forward: str, points: list[float], expected: list[float]) -> None:
    hard = train.stages(f"{forward} ; 1", 1)[0].harden(torch.tensor(points, dtype=torch.float64))
    assert hard.tolist() == expected
    assert hard.dtype == torch.float64


def test_the_hardened_network_uses_the_hardened_weights(digits: networks.Digits) -> None:
    trainer = train.Trainer(train.stages("BNN++", 2)[:1], digits, [0], CPU)
    epoch = trainer.run_epoch()
    w = torch.where(trainer.parameters.latent >= 0, 1.0, -1.0)
    again = networks.accuracy(w, trainer.parameters, digits.test_x, digits.test_y)
    assert epoch.hard.tolist() == again.tolist()
    assert epoch.hard.tolist() != epoch.soft.tolist()


# --------------------------------------------------------------------------- bad input and the command


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"device": "tpu"}, "auto, cpu or cuda"),
        ({"methods": ["BNM"]}, "BNM"),
        ({"epochs": 0}, "--epochs expects an integer from 1"),
        ({"seeds": 0}, "--seeds expects an integer from 1"),
        ({"seed": -1}, "--seed expects an integer from 0"),
    ],
)
def test_bad_arguments_are_refused_in_one_sentence(arguments: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as caught:
        train.run(tmp_path, **arguments)
    assert "\n" not in str(caught.value)
    assert not any(tmp_path.iterdir())


def test_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert networks.pick_device("auto") == networks.pick_device("cpu") == CPU
    with pytest.raises(InputError, match="needs a GPU"):
        networks.pick_device("cuda")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert networks.pick_device("auto").type == networks.pick_device("cuda").type == "cuda"
    assert networks.pick_device("cpu") == CPU


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path)
    assert proxpair.main(["train", "bc", "BC", "--epochs", "1", "--seeds", "2", "--device", "cpu", "--out", out]) == 0
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].split() == ["method", "verdict", "hardened", "soft"]
    assert shown[1].split()[:2] == ["BC", "smooth"]
    assert {r["method"] for r in table(tmp_path, "ledger")} == {"BC"}
    assert proxpair.main(["train", "--device", "tpu", "--out", out]) == 2
    refused = capsys.readouterr()
    assert refused.out == ""
    assert len(refused.err.strip().splitlines()) == 1


def test_the_commands_default_is_the_modules(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import inspect

    seen: list[tuple[Any, ...]] = []
    from verify.commands import train as command

    one = train.Result("FP", "smooth", 3, 1.0, 0.0, 1.0, 0.0, "")
    of_run = inspect.signature(train.run).parameters
    monkeypatch.setattr(train, "run", lambda out, *rest: seen.append(rest) or [one])
    command(out=tmp_path)
    seed, seeds, epochs, methods, device = seen[0][:5]
    assert [seed, seeds, epochs, device] == [of_run[k].default for k in ("seed", "seeds", "epochs", "device")]
    assert list(methods) == list(of_run["methods"].default)


def test_threads_are_given_back(tmp_path: Path) -> None:
    torch.set_num_threads(2)
    train.run(tmp_path, seeds=1, epochs=1, methods=["FP"], device="cpu")
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert table(tmp_path, "summary")[0]["hard_std"] == "nan"
