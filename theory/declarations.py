"""What a declaration of the catalogue consists of: a published pair, a proximal map, a transform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from theory.errors import InputError
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair
from theory.parser import parse, parse_constant

COVERAGES = {
    "covered": "covered",
    "scale frozen": "covered with the scale frozen",
    "outside": "outside",
}
"""How much of a method the theory covers, and the words with which its ``scope`` begins."""


def _constants(defaults: Mapping[str, str], given: Mapping[str, Any], what: str) -> dict[str, Any]:
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        known = ", ".join(defaults) or "none"
        raise InputError(f"{what}: unknown parameter {unknown[0]!r} (its parameters: {known})")
    return {k: given[k] if k in given else parse_constant(v, f"{what}, parameter {k}") for k, v in defaults.items()}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One published pair. Every field is required; texts are in the grammar of `check`.

    ``params``: default values of the named parameters. ``ties``: the breakpoints of F and B, all of
    them, and the values stated there, as (x, F(x), B(x)); where the pair repeats itself for ever,
    those of one ``period`` [0, period), else ``period`` is None. ``coverage``: a key of `COVERAGES`:
    "covered", "scale frozen" (a scale that the method recomputes or learns is taken as a constant) or
    "outside" (activations, learned step sizes, stochastic rounding: the pair is judged all the same);
    ``scope`` says why in words. ``transform``, ``prox``: a decomposition known from the literature or
    derived by hand, None if unprincipled.
    """

    name: str
    title: str
    year: int
    source: str
    coverage: str
    scope: str
    forward: str
    backward: str
    params: Mapping[str, str]
    ties: tuple[tuple[str, str, str], ...]
    period: str | None
    verdict: str
    literal: bool | None
    convex: bool | None
    transform: str | None
    prox: str | None

    def pair(self, **params: Any) -> QuantizerPair:
        """The pair at the given exact parameter values (defaults for the rest).

        Raises `InputError` on an unknown parameter.
        """
        values = _constants(self.params, params, self.name)
        return QuantizerPair(
            parse(self.forward, values, what=f"{self.name}, forward"),
            parse(self.backward, values, what=f"{self.name}, backward"),
            self.name,
        )


@dataclass(frozen=True, kw_only=True)
class ProxEntry:
    """One proximal map with the regularizer that the literature gives for it at mu = 1.

    ``regularizer`` is never computed by us: it is the independent side of the brute-force test.
    ``convex``: whether that regularizer is convex.
    """

    name: str
    title: str
    source: str
    prox: str
    regularizer: str
    params: Mapping[str, str]
    convex: bool

    def map(self, **params: Any) -> PiecewiseMap:
        """P at the given exact parameter values."""
        return parse(self.prox, _constants(self.params, params, self.name), what=f"{self.name}, prox")

    def literature_regularizer(self, **params: Any) -> PiecewiseMap:
        """r at the given exact parameter values, as declared."""
        values = _constants(self.params, params, self.name)
        return parse(self.regularizer, values, what=f"{self.name}, regularizer", allow_infinity=True)


@dataclass(frozen=True, kw_only=True)
class TransformEntry:
    """One transform T with its declared derivative away from kinks and whether it is C^1."""

    name: str
    title: str
    source: str
    transform: str
    derivative: str
    params: Mapping[str, str]
    smooth: bool

    def map(self, **params: Any) -> PiecewiseMap:
        """T at the given exact parameter values."""
        return parse(self.transform, _constants(self.params, params, self.name), what=f"{self.name}, transform")

    def derivative_map(self, **params: Any) -> PiecewiseMap:
        """T' as declared."""
        return parse(self.derivative, _constants(self.params, params, self.name), what=f"{self.name}, derivative")
