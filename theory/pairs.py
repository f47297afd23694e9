"""The objects that the decision speaks of: pairs, decompositions, regularizers, verdicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from theory.maps import PiecewiseMap

GRADES = ("smooth", "lipschitz", "unprincipled", "undecided")


@dataclass(frozen=True)
class QuantizerPair:
    """A forward map F and a backward map B: training steps u <- u - eta * B(u) * grad f(F(u)).

    Both are maps of one variable, applied to each coordinate. Source: docs/mathematics.md, section 2.
    """

    forward: PiecewiseMap
    backward: PiecewiseMap
    name: str = ""

    def _repr_latex_(self) -> str:
        from theory.display import in_math, pair_latex

        return in_math(pair_latex(self))

    def _repr_html_(self) -> str:
        from theory.display import pair_html

        return pair_html(self)


@dataclass(frozen=True)
class Regularizer:
    """r of a proximal map at mu = 1, up to one constant: its two canonical readings on gaps.

    ``largest`` is +oo on every gap of the range of P (P takes two values at the jump), ``smallest``
    is the least function with that proximal map (P takes the whole interval). None: no closed form.
    """

    largest: PiecewiseMap | None
    smallest: PiecewiseMap | None

    def _repr_latex_(self) -> str:
        from theory.display import in_math, regularizer_latex

        return in_math(regularizer_latex(self))

    def _repr_html_(self) -> str:
        from theory.display import regularizer_html

        return regularizer_html(self)


@dataclass(frozen=True)
class Decomposition:
    """F = T o P and B = t o P. None in a field: no closed form in the grammar (see ``implicit``).

    ``prox`` is one selection of P: at a jump it takes the value p with T(p) = F(x) where F(x) lies
    between its one-sided limits. ``slope`` is t, the selection of the Clarke subdifferential of T
    that B uses (T' where T is C^1). ``implicit`` names each missing field and describes it exactly.
    """

    transform: PiecewiseMap | None
    slope: PiecewiseMap | None
    prox: PiecewiseMap | None
    regularizer: Regularizer
    implicit: dict[str, str] = field(default_factory=dict)

    def _repr_latex_(self) -> str:
        from theory.display import decomposition_latex, in_math

        return in_math(decomposition_latex(self))

    def _repr_html_(self) -> str:
        from theory.display import decomposition_html

        return decomposition_html(self)


@dataclass(frozen=True)
class Witness:
    """An exact refutation: the points (exact constants) at which the definition fails."""

    kind: str
    points: tuple[Any, ...]
    sentence: str


@dataclass(frozen=True)
class Verdict:
    """The answer on a pair: grade, reason, literal reading, convexity of r, and what supports it."""

    grade: str
    reason: str
    literal: bool | None
    convex: bool | None = None
    decomposition: Decomposition | None = None
    witness: Witness | None = None
    notes: tuple[str, ...] = ()

    @property
    def principled(self) -> bool:
        return self.grade in ("smooth", "lipschitz")

    def _repr_latex_(self) -> str:
        from theory.display import in_math, verdict_latex

        return in_math(verdict_latex(self))

    def _repr_html_(self) -> str:
        from theory.display import verdict_html

        return verdict_html(self)
