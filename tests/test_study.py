"""The experiments with small networks: models, methods, one run against a loop by hand, and sanity that could fail."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
import torch
from torch import nn
from torch.nn import functional

from theory.catalogue import CATALOGUE
from theory.errors import InputError
from verify import datasets, models, study
from verify.experiments import FULL, METHODS, PROFILES, SCRATCH, Experiment, method
from verify.packing import load_checkpoint
from verify.study import Run, train

CPU = torch.device("cpu")
TINY = Experiment("tiny", "digits", "mlp", 16, "weights", SCRATCH, 2, 64, (2.0, 8.0), 0.05, seeds=2)

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.fixture(scope="module")
def digits() -> datasets.Split:
    return datasets.load("digits", 0)


# --------------------------------------------------------------------------- models


@pytest.mark.parametrize(
    ("name", "width", "layers"), [("mlp", 24, 2), ("resnet8", 4, 6), ("resnet20", 4, 18), ("vit", 16, 24)]
)
def test_models_quantize_all_but_the_first_and_last_layer(name: str, width: int, layers: int) -> None:
    for kind in models.ACTIVATIONS:
        made = models.build(name, (3, 8, 8), 7, width, 5, kind)
        assert made(torch.zeros(2, 3, 8, 8)).shape == (2, 7)
        found = models.quantized_layers(made)
        assert len(found) == layers
        assert all(layer.bias is None for _, layer in found)
        least = min(float(layer.weight.detach().min()) for _, layer in found)
        assert -1 <= least < -0.8
        again = models.build(name, (3, 8, 8), 7, width, 5, kind)
        assert all(torch.equal(a, b) for a, b in zip(made.parameters(), again.parameters(), strict=True))
        other = models.build(name, (3, 8, 8), 7, width, 6, kind)
        assert not torch.equal(models.quantized_layers(other)[0][1].weight, found[0][1].weight)


def test_building_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    models.build("mlp", (1, 8, 8), 10, 8, 3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("lenet", (1, 8, 8), 10, 8, 0), "unknown model 'lenet'"),
        (("mlp", (1, 8, 8), 10, 0, 0), "width"),
        (("vit", (1, 8, 8), 10, 24, 0), "multiple of 16"),
        (("vit", (1, 7, 8), 10, 16, 0), "multiples of"),
        (("resnet8", (1, 2, 2), 10, 8, 0), "at least 4 x 4"),
        (("mlp", (1, 8, 8), 10, 8, 0, "tanh"), "relu or none"),
    ],
)
def test_models_that_do_not_exist(arguments: tuple[Any, ...], said: str) -> None:
    with pytest.raises(InputError, match=said):
        models.build(*arguments)


# --------------------------------------------------------------------------- methods


def test_refuted_methods_are_refuted_and_all_others_principled() -> None:
    for name, of in METHODS.items():
        grades = {of.prepared(k, 3).verdict.grade for k in (1, 2, 3)}
        assert (grades == {"unprincipled"}) == (name in ("BNN+", "ApproxSign")), name
        assert grades <= {"unprincipled", "lipschitz", "smooth"}, name
        assert of.prepared(3, 3).levels == (-1, 1)
        assert of.prepared(1, 3).prox is not None
        assert of.origin


def test_two_methods_take_steps_of_their_own() -> None:
    rules = {name: of.rule for name, of in METHODS.items() if of.rule != "PC++"}
    assert rules == {"PQ": "PQ", "rPC": "rPC"}


def test_the_last_pair_of_a_schedule_is_the_sharpest() -> None:
    assert METHODS["BNN++"].schedule is not None
    assert METHODS["BNN++"].schedule.value(8, 8) == 20
    first, last = (METHODS["cubic-gap"].prepared(k, 8).forward for k in (1, 8))
    assert first(sp.Rational(1, 4)) < last(sp.Rational(1, 4)) <= 1


def test_refuted_pairs_and_their_repairs_differ_in_exactly_one_map() -> None:
    for refuted, repair in (("BNN+", "BNN++"), ("ApproxSign", "ApproxSign-r")):
        a, b = METHODS[refuted].prepared(1, 8).pair, METHODS[repair].prepared(1, 8).pair
        assert a.backward.agrees(b.backward), refuted
        assert not a.forward.agrees(b.forward), refuted


def test_at_least_three_pairs_are_new() -> None:
    made = [of for of in METHODS.values() if of.origin.startswith("synthesized")]
    assert len(made) >= 3
    catalogued = [entry.pair() for entry in CATALOGUE.values()]
    for of in made:
        ours = of.prepared(4, 8).pair
        for known in catalogued:
            same = not known.forward.windowed and known.forward.agrees(ours.forward)
            assert not (same and known.backward.agrees(ours.backward)), (of.name, known.name)


def test_profiles_are_consistent() -> None:
    for experiments in PROFILES.values():
        seen: set[str] = set()
        for e in experiments:
            assert e.name not in seen
            assert e.start in seen | {SCRATCH}
            assert e.data in datasets.DATASETS
            assert e.model in models.MODELS
            assert set(e.methods) <= set(METHODS)
            assert e.seeds >= 5
            assert FULL in e.methods
            assert list(e.rates) == sorted(set(e.rates))
            seen.add(e.name)
    with pytest.raises(InputError, match="unknown method"):
        method("nothing")


# --------------------------------------------------------------------------- one run


def _by_hand(e: Experiment, data: datasets.Split, rate: float, seed: int) -> tuple[list[torch.Tensor], float]:
    """BNN with plain torch: the latent weights of the hidden layers at the end, and the last epoch's mean loss."""
    model = models.build(e.model, (1, 8, 8), 10, e.width, seed)
    layers = [layer for _, layer in models.quantized_layers(model)]
    latent = [layer.weight.detach().clone() for layer in layers]
    rest = [p for p in model.parameters() if not any(p is layer.weight for layer in layers)]
    moments = [torch.zeros_like(p) for p in rest]
    batches, k, losses = len(data.train_y) // e.batch, 0, []
    for epoch in range(1, e.epochs + 1):
        order, losses = study._order(len(data.train_y), seed, epoch, CPU), []
        for b in range(batches):
            factor = (1 + math.cos(math.pi * k / (batches * e.epochs))) / 2
            picked = order[b * e.batch : (b + 1) * e.batch]
            with torch.no_grad():
                for layer, u in zip(layers, latent, strict=True):
                    layer.weight.copy_(torch.where(u >= 0, 1.0, -1.0))
            model.zero_grad()
            loss = functional.cross_entropy(model(data.train_x[picked]), data.train_y[picked])
            loss.backward()
            with torch.no_grad():
                for layer, u in zip(layers, latent, strict=True):
                    assert layer.weight.grad is not None
                    u -= rate * factor * (u.abs() <= 1) * layer.weight.grad
                for p, m in zip(rest, moments, strict=True):
                    m.mul_(0.9).add_(p.grad)
                    p -= e.rest * factor * m
            losses.append(loss.item())
            k += 1
    return latent, sum(losses) / batches


def test_a_run_is_the_loop_that_one_would_write(digits: datasets.Split, tmp_path: Path) -> None:
    run = Run(TINY, "BNN", 8.0, 7)
    outcome = train(run, digits, CPU, keep=tmp_path / "net.pt")
    latent, loss = _by_hand(TINY, digits, 8.0, 7)
    assert outcome.curve[-1][0] == pytest.approx(loss, rel=1e-4)
    kept = load_checkpoint(tmp_path / "net.pt")["model"]
    signs = [torch.where(u >= 0, 1.0, -1.0) for u in latent]
    stored = [kept[f"{name}.weight"] for name, _ in models.quantized_layers(models.build("mlp", (1, 8, 8), 10, 16, 7))]
    assert sum(int((a != b).sum()) for a, b in zip(signs, stored, strict=True)) <= 2
    wrong, _ = _by_hand(TINY, digits, 2.0, 7)  # another rate is seen
    assert sum(int(((u >= 0) != (w > 0)).sum()) for u, w in zip(wrong, stored, strict=True)) > 2


@pytest.mark.parametrize("name", ["FP", "rPC", "PQ", "BNN++", "cubic-gap"])
@pytest.mark.parametrize("task", ["weights", "weights+activations"])
def test_runs_repeat_to_the_same_bits(digits: datasets.Split, name: str, task: str) -> None:
    run = Run(replace(TINY, task=task, width=128), name, 2.0, 1)
    first, second = (train(run, digits, CPU) for _ in range(2))
    assert first.text() == second.text()
    assert first.text() == study.Outcome.read(first.text()).text()
    assert first.test > 0.3
    assert not first.failed
    assert len(first.curve) == 2
    binary = name != FULL
    assert (first.bytes[0] < first.bytes[1]) == binary
    ledger = METHODS[name].rule == "PC++"
    assert bool(first.ledger) == ledger
    if ledger:
        assert first.ledger["closure_error"] < 1e-6
        assert first.ledger["min_D"] > -1e-5


@pytest.mark.parametrize("task", ["weights", "weights+activations"])
def test_the_deployed_network_has_the_levels_of_the_latent_weights(digits: datasets.Split, task: str) -> None:
    net = study._Net(Run(replace(TINY, task=task), "BNN++", 8.0, 2), digits, CPU, None)
    net.epoch(1)
    net.enter(2)
    done = net.finished()
    images = digits.train_x
    before = [b.clone() for name, b in done.named_buffers() if "running" in name]
    study.restate(done, images)
    assert all(map(torch.equal, before, [b for name, b in done.named_buffers() if "running" in name]))
    for name, layer in models.quantized_layers(done):
        u = net.inplace.latents[f"{name}.weight"]
        assert torch.equal(layer.weight, torch.where(u >= 0, 1.0, -1.0))
    seen: list[torch.Tensor] = []
    for _, layer in models.quantized_layers(done):
        layer.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    done(digits.test_x)
    if task == "weights+activations":
        assert all(set(x.unique().tolist()) == {-1.0, 1.0} for x in seen)
    else:
        assert all(len(x.unique()) > 2 for x in seen)
    assert not any(p.requires_grad for _, layer in models.quantized_layers(done) for p in [layer.weight])


def test_each_accuracy_is_of_its_own_images(digits: datasets.Split) -> None:
    fair = train(Run(TINY, "BC", 8.0, 3), digits, CPU)
    for part in ("valid", "test"):
        wrong = {f"{part}_y": (getattr(digits, f"{part}_y") + 1) % 10}
        found = train(Run(TINY, "BC", 8.0, 3), replace(digits, **wrong), CPU)
        assert (found.valid < 0.25) == (part == "valid")
        assert (found.test < 0.25) == (found.soft < 0.25) == (part == "test")
    assert min(fair.valid, fair.test, fair.soft) > 0.6


def test_as_trained_rpc_computes_with_quantized_weights(digits: datasets.Split) -> None:
    """Its model holds the latent weights between steps."""
    run = Run(TINY, "rPC", 128.0, 3)
    net = study._Net(run, digits, CPU, None)
    net.epoch(1)
    images = digits.valid_x, digits.valid_y
    with net.inplace.quantized():
        quantized = study.accuracy(net.model, *images)
    assert train(run, digits, CPU).curve[0][1] == quantized
    assert study.accuracy(net.model, *images) != quantized


def test_the_constant_scale_is_root_two_over_fan_in() -> None:
    assert torch.equal(models.Scaled(8)(torch.ones(2, 3)), torch.full((2, 3), 0.5))


def test_statistics_are_taken_anew_and_weights_stay() -> None:
    net = nn.Sequential(nn.BatchNorm1d(3), nn.Linear(3, 2))
    weights = [p.clone() for p in net.parameters()]
    x = torch.randn(1000, 3, generator=torch.Generator().manual_seed(0)) * 5 + 2
    study.restate(net, x)
    norm = net[0]
    assert isinstance(norm, nn.BatchNorm1d)
    assert norm.running_mean is not None
    assert norm.momentum == 0.1
    assert torch.allclose(norm.running_mean, x.mean(0), atol=1e-4)
    assert all(torch.equal(a, b) for a, b in zip(weights, net.parameters(), strict=True))


def test_gradients_grow_from_block_to_block_where_the_backward_map_of_activations_is_1(digits: datasets.Split) -> None:
    """The norms of the first step's gradients in the first and the last block, as docs/networks.md has them."""
    e = Experiment("deep", "digits", "resnet20", 4, "weights+activations", SCRATCH, 2, 64, (2.0,), 0.05, seeds=2)
    for name, norms in {"BC": (22, 0.06), "BNN": (0.19, 0.04)}.items():
        net = study._Net(Run(e, name, 2.0, 0, "final"), digits, CPU, None)
        functional.cross_entropy(net.model(study._laid(digits.train_x[:64])), digits.train_y[:64]).backward()
        blocks = [slot.parameter.grad for slot in net.inplace.slots][::2]  # the first convolution of each
        assert len(blocks) == 9
        found = [float(torch.linalg.vector_norm(g)) for g in (blocks[0], blocks[-1]) if g is not None]
        assert found == pytest.approx(norms, rel=0.15)


def test_a_run_that_blows_up_says_so(digits: datasets.Split) -> None:
    outcome = train(Run(replace(TINY, rest=1e38), "BC", 1e38, 0), digits, CPU)
    assert outcome.failed.startswith("epoch 1: ")
    assert "finite" in outcome.failed
    assert math.isnan(outcome.test)


def test_a_network_that_blows_up_in_its_last_step_has_failed_too(digits: datasets.Split) -> None:
    one_step = replace(TINY, epochs=1, batch=len(digits.train_y), rest=3e38)
    outcome = train(Run(one_step, "BC", 2.0, 0), digits, CPU)
    assert "not finite at the end" in outcome.failed
    assert math.isnan(outcome.valid)


# --------------------------------------------------------------------------- sanity that could fail


@pytest.mark.parametrize("name", ["FP", "BC", "BNN++"])
def test_a_learning_rate_of_zero_leaves_chance(digits: datasets.Split, name: str) -> None:
    outcome = train(Run(replace(TINY, rest=0.0), name, 0.0, 3), digits, CPU)
    assert outcome.test < 0.25  # chance is 0.1; a random network of 450 images stays below
    assert next(row[2] for row in outcome.curve) == 0 or name == "BNN++"


@pytest.mark.parametrize("name", ["FP", "BC"])
def test_shuffled_labels_leave_chance(digits: datasets.Split, name: str) -> None:
    shuffled = digits.train_y[torch.randperm(len(digits.train_y), generator=torch.Generator().manual_seed(1))]
    outcome = train(Run(TINY, name, 8.0, 3), replace(digits, train_y=shuffled), CPU)
    assert outcome.test < 0.25
    assert train(Run(TINY, name, 8.0, 3), digits, CPU).test > 0.6


def test_augmented_images_are_shifts_and_mirror_images() -> None:
    x = torch.arange(2 * 3 * 8 * 8, dtype=torch.float32).reshape(2, 3, 8, 8)
    many = torch.stack([study._augmented(x, True, study._generator(k)) for k in range(40)])
    wide = functional.pad(x, (4, 4, 4, 4), mode="replicate")
    allowed = [{tuple(w[:, i : i + 8, j : j + 8].flatten().tolist()) for i in range(9) for j in range(9)} for w in wide]
    mirrored = [
        {tuple(w[:, i : i + 8, j : j + 8].flip(2).flatten().tolist()) for i in range(9) for j in range(9)} for w in wide
    ]
    kinds = set()
    for images in many:
        for n, image in enumerate(images):
            key = tuple(image.flatten().tolist())
            assert key in allowed[n] or key in mirrored[n]
            kinds.add(key in allowed[n])
    assert kinds == {True, False}


def test_pooling_must_divide(digits: datasets.Split) -> None:
    assert study.pooled(digits, 2).train_x.shape[2:] == (4, 4)
    assert study.pooled(digits, 1) is digits
    with pytest.raises(InputError, match="divisor"):
        study.pooled(digits, 3)
