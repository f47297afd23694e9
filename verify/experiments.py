"""The experiments with small networks, one declaration each: what is trained on what, by which methods.

Every method of an experiment gets the same budget, the same starts and batch orders (one for each
seed), and its learning rate by one rule: of ``rates`` the one with the highest accuracy on the
validation split, trained once from a seed that is not used again, hardened; the smaller of two.

Latent weights move by plain stochastic gradient descent, which is the step of ProxConnect++
(docs/mathematics.md, section 2). Everything else, and the first and the last layer, moves by the same optimizer
with momentum 0.9 at one rate for all methods. Both rates fall to 0 along half a cosine.

`METHODS` are the published methods, repairs of refuted ones, and pairs synthesized here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import sympy as sp

from theory.catalogue import lookup
from theory.errors import InputError
from theory.exact import X
from theory.maps import IDENTITY, PiecewiseMap
from theory.pairs import QuantizerPair
from theory.repairs import repairs
from theory.synthesis import Synthesized, synthesize
from verify.moving import SCHEDULES, Schedule
from verify.prepared import Prepared, prepare

TASKS = ("weights", "weights+activations")
SCRATCH = "scratch"


# --------------------------------------------------------------------------- methods


@dataclass(frozen=True)
class Method:
    """A pair of maps to train with, and the step it is used in.

    ``made``: the pair at the value that ``schedule`` gives an epoch, or at none. ``origin`` says where the
    pair comes from. ``rule``: PC++, or PQ and rPC, which use P alone.
    """

    name: str
    origin: str
    made: Callable[[sp.Rational | None], str | QuantizerPair | Synthesized]
    schedule: Schedule | None = None
    rule: str = "PC++"

    def prepared(self, epoch: int, epochs: int) -> Prepared:
        """The pair of an epoch, counted from 1."""
        value = None if self.schedule is None else self.schedule.value(epoch, epochs)
        return _prepared(self.name, value)

    @property
    def binary(self) -> bool:
        """Whether its weights are binarized."""
        return self.name != FULL


FULL = "FP"
"""The method without a quantizer."""


@lru_cache(maxsize=512)
def _prepared(name: str, value: sp.Rational | None) -> Prepared:
    made = METHODS[name].made(value)
    schedule = METHODS[name].schedule
    if isinstance(made, str):
        parameters = {} if schedule is None or value is None else dict.fromkeys(schedule.parameters, value)
        return prepare(made, **parameters)
    if isinstance(made, Synthesized):
        return prepare(replace(made, pair=replace(made.pair, name=name)), (-1, 1))
    return prepare(replace(made, name=name), (-1, 1))


def _published(name: str, pair: str | None = None, rule: str = "PC++") -> Method:
    origin = "full precision" if name == FULL else "published"
    return Method(name, origin, lambda _: pair or name, SCHEDULES.get(name), rule)


def _cubic(slope: sp.Rational) -> PiecewiseMap:
    """(slope x + (1 - slope) x^3), through -1, 0 and 1."""
    return PiecewiseMap.of(slope * X + (1 - slope) * X**3)


def _clipped_cubic(value: sp.Rational | None) -> Synthesized:
    """T(x) = (3 beta x - (beta x)^3)/2 for |beta x| <= 1, else the sign of x; P = id."""
    beta = sp.Integer(1) if value is None else value
    y = beta * X
    end = 1 / beta
    transform = PiecewiseMap.build([-end, end], [-1, (3 * y - y**3) / 2, 1], [-1, 1])
    return synthesize(transform, IDENTITY)


def _over_gap(transform: PiecewiseMap, value: sp.Rational | None) -> Synthesized:
    """F = T o P and B = T' o P with P of the family of PC, both widths ``value``."""
    width = sp.Rational(1, 2) if value is None else value
    family = lookup("PC").pair(horizontal=width, vertical=width).forward
    return synthesize(transform, family)


def _first_repair(name: str) -> QuantizerPair:
    return next(repairs(lookup(name).pair())).pair


_WIDTHS = SCHEDULES["PC"]


def _sharper(first: int, last: int) -> Schedule:
    """Ends that were chosen on the digits, where a sharper end lost accuracy with quantized activations."""
    return Schedule(("beta",), sp.Integer(first), sp.Integer(last), geometric=True)


METHODS = {
    method.name: method
    for method in (
        _published(FULL),
        _published("PQ", "PC", "PQ"),
        _published("rPC", "PC", "rPC"),
        _published("BC"),
        _published("PC"),
        _published("BNN"),
        _published("BNN+"),
        replace(
            _published("BNN++"),
            origin="published; repair of BNN+: keeps B, F is its integral; beta from 5 to 20",
            schedule=_sharper(5, 20),
        ),
        _published("ApproxSign"),
        Method(
            "ApproxSign-r",
            "repair of ApproxSign: keeps B, F is its integral",
            lambda _: _first_repair("ApproxSign"),
        ),
        Method(
            "cubic",
            "synthesized: T = clipped cubic of beta x, beta from 1 to 5, P = id",
            _clipped_cubic,
            _sharper(1, 5),
        ),
        Method(
            "cubic-gap",
            "synthesized: T = (5 x - x^3)/4, P of PC's family, widths from 0 to 0.99",
            lambda value: _over_gap(_cubic(sp.Rational(5, 4)), value),
            _WIDTHS,
        ),
        Method(
            "parabola-gap",
            "synthesized: T = x (3 - |x|)/2, P of PC's family, widths from 0 to 0.99",
            lambda value: _over_gap(PiecewiseMap.build([0], [X * (3 + X) / 2, X * (3 - X) / 2], [0]), value),
            _WIDTHS,
        ),
    )
}


def method(name: str) -> Method:
    """The method of that name, in any case. Raises `InputError` for an unknown one."""
    found = {key.lower(): m for key, m in METHODS.items()}.get(name.strip().lower())
    if found is None:
        raise InputError(f"unknown method {name[:40]!r}, expected one of: {', '.join(METHODS)}")
    return found


# --------------------------------------------------------------------------- experiments


@dataclass(frozen=True)
class Experiment:
    """One model on one data set, for all ``methods``.

    ``start``: "scratch", or the experiment whose networks of method FP (same seed) all methods go on
    from. ``train``, ``validation``, ``test``: numbers of images, None for all. ``rates``: learning rates
    of the latent weights to choose from; ``rest``: that of everything else. ``seeds``: networks for
    each method. ``pool``: images are averaged over that many by that many pixels. ``augment``: shifts
    by up to 4 pixels, and mirror images where the data set allows them.
    """

    name: str
    data: str
    model: str
    width: int
    task: str
    start: str
    epochs: int
    batch: int
    rates: tuple[float, ...]
    rest: float
    seeds: int = 5
    train: int | None = None
    validation: int | None = None
    test: int | None = None
    pool: int = 1
    augment: bool = False
    methods: tuple[str, ...] = tuple(METHODS)

    @property
    def declaration(self) -> dict[str, Any]:
        """All that the numbers depend on but the code, as plain data."""
        return {key: list(v) if isinstance(v, tuple) else v for key, v in vars(self).items()}


_QUICK = ("FP", "rPC", "BC", "PC", "BNN", "BNN+", "BNN++", "cubic-gap")
_RATES = (2.0, 8.0, 32.0, 128.0)

_DIGITS = Experiment("digits-mlp", "digits", "mlp", 64, "weights", SCRATCH, 8, 64, _RATES, 0.05, methods=_QUICK)
_CIFAR = Experiment(
    *("cifar-resnet20", "cifar10", "resnet20", 16, "weights", SCRATCH, 8, 50, _RATES, 0.05),
    train=4000,
    validation=1000,
    test=2000,
    pool=2,
)
_PERCEPTRON = replace(_CIFAR, name="cifar-mlp", model="mlp", width=256, batch=100, epochs=15, train=10000)

PROFILES: dict[str, tuple[Experiment, ...]] = {
    "quick": (
        _DIGITS,
        replace(_DIGITS, name="digits-mlp-wa", task="weights+activations"),
        replace(_DIGITS, name="digits-mlp-tuned", start="digits-mlp", epochs=4),
    ),
    "full": (
        _PERCEPTRON,
        _CIFAR,
        replace(_CIFAR, name="cifar-vit", model="vit", width=64, train=5000),
        replace(_PERCEPTRON, name="cifar-mlp-wa", task="weights+activations"),
        replace(_PERCEPTRON, name="cifar-mlp-tuned", start="cifar-mlp", epochs=8),
        replace(_CIFAR, name="cifar-resnet20-wa", task="weights+activations"),
        replace(_CIFAR, name="cifar-resnet20-tuned", start="cifar-resnet20", epochs=4),
        replace(_CIFAR, name="cifar-vit-wa", model="vit", width=64, train=5000, task="weights+activations"),
        Experiment("mnist-mlp", "mnist-t10k", "mlp", 256, "weights", SCRATCH, 8, 100, _RATES, 0.05),
    ),
}
"""The experiments of each profile, in the order in which they run; one that goes on from another comes after it."""
