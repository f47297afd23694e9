"""The convergence statements of docs/mathematics.md, section 4, as derivations that a computer algebra system executes.

Vectors live in an abstract inner-product space: only bilinearity and symmetry are used, so a proof
holds in every dimension. A `Derivation` claims left <= right (or left = right) and carries the
evidence: hypotheses, each a quantity >= 0 with a multiplier >= 0, and squares |q|^2 with a coefficient
>= 0. It holds because

    right - left = sum multiplier * hypothesis + sum coefficient * |q|^2

is an identity of polynomials, which `Derivation.check` expands and compares with 0 exactly. Nothing is
sampled. A changed sign anywhere leaves a remainder, and `check` shows it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sympy as sp

from theory.exact import as_exact

Expr = Any


class NotDerived(Exception):
    """The evidence does not add up to the claim."""


@dataclass(frozen=True)
class Vector:
    """A linear combination of named vectors of an inner-product space, with scalar coefficients."""

    parts: Mapping[str, Expr] = field(default_factory=dict)

    def __add__(self, other: Vector) -> Vector:
        names = dict.fromkeys((*self.parts, *other.parts))
        return Vector({n: self.parts.get(n, sp.S.Zero) + other.parts.get(n, sp.S.Zero) for n in names})

    def __rmul__(self, scalar: Any) -> Vector:
        return Vector({n: as_exact(scalar) * c for n, c in self.parts.items()})

    def __neg__(self) -> Vector:
        return -1 * self

    def __sub__(self, other: Vector) -> Vector:
        return self + -other

    def dot(self, other: Vector) -> Expr:
        """<self, other>, expanded: one symbol for each pair of named vectors."""
        total = sp.S.Zero
        for a, c in self.parts.items():
            for b, d in other.parts.items():
                total += c * d * sp.Symbol("<{},{}>".format(*sorted((a, b))), real=True)
        return sp.expand(total)

    @property
    def squared(self) -> Expr:
        """|self|^2."""
        return self.dot(self)


def vector(name: str) -> Vector:
    """A vector of which nothing is known."""
    return Vector({name: sp.S.One})


@dataclass(frozen=True)
class Hypothesis:
    """``value`` >= 0, where ``why`` says; used ``times`` (>= 0) in a derivation."""

    value: Expr
    times: Expr
    why: str


@dataclass(frozen=True)
class Square:
    """``times`` |``of``|^2 with ``times`` >= 0."""

    of: Vector
    times: Expr


@dataclass(frozen=True)
class Derivation:
    """left <= right (left = right for an ``equation``) by the hypotheses and squares named.

    ``statement``: the claim in LaTeX. ``standing`` as in docs/mathematics.md, section 4, where all the claims stand.
    """

    name: str
    statement: str
    left: Expr
    right: Expr
    equation: bool = False
    hypotheses: tuple[Hypothesis, ...] = ()
    squares: tuple[Square, ...] = ()
    standing: str = "derived"

    @property
    def remainder(self) -> Expr:
        """right - left less the evidence, expanded; 0 if the evidence adds up."""
        evidence = sp.Add(
            *(h.times * h.value for h in self.hypotheses), *(s.times * s.of.squared for s in self.squares)
        )
        return sp.expand(self.right - self.left - evidence)

    def check(self) -> None:
        """Raises `NotDerived` unless the identity holds and every multiplier is >= 0."""
        if self.equation and (self.hypotheses or self.squares):
            raise NotDerived(f"{self.name}: an equation takes no inequality as evidence")
        for times in (*(h.times for h in self.hypotheses), *(s.times for s in self.squares)):
            if not as_exact(times).is_nonnegative:
                raise NotDerived(f"{self.name}: the multiplier {times} is not shown to be >= 0")
        if self.remainder != 0:
            raise NotDerived(f"{self.name}: the evidence leaves {self.remainder}")


# --------------------------------------------------------------------------- one step of ProxConnect++

ETA = sp.Symbol("eta", positive=True)
MU = sp.Symbol("mu", positive=True)
GROWTH = sp.Symbol("delta", nonnegative=True)
"""mu_{t+1} - mu_t: eta_t where mu advances, 0 for a fixed pair."""
SPARE = sp.Symbol("c", nonnegative=True)
"""1/eta_t - L, the room that the step size eta_t <= 1/L leaves."""


def _value(name: str, at: str) -> Expr:
    return sp.Symbol(f"{name}({at})", real=True)


class Step:
    """One step, mu_{t+1} = mu_t + delta_t: v = v_t, v_next = v_{t+1}, the comparator w, g = g_t, s = s_t.

    u = u_t = v_t + mu_t s_t; writing it so is no restriction: it defines s_t. That s_t is a subgradient
    of r at v_t is a hypothesis of its own, used for convex r alone. u_next = u_{t+1} = u_t - eta_t g_t.
    """

    v, v_next, w, g, s = (vector(name) for name in ("v", "v'", "w", "g", "s"))
    u = v + MU * s
    u_next = u - ETA * g

    def r(self, at: str) -> Expr:
        """The value of r at v, v' or w."""
        return _value("r", at)

    def divergence(self, of: str, next_one: bool = False) -> Expr:
        """D_t(w), or D_{t+1}(w), at w = ``of``: r_t(w) - r_t(v_t) - <w - v_t, u_t>, r_t = mu_t r + |.|^2/2."""
        at, base = vector(of), self.v_next if next_one else self.v
        mu, u = (MU + GROWTH, self.u_next) if next_one else (MU, self.u)
        name = "v'" if next_one else "v"
        return sp.expand(mu * (self.r(of) - self.r(name)) + (at.squared - base.squared) / 2 - (at - base).dot(u))

    def subgradient(self, at: str, times: Expr) -> Hypothesis:
        """r(at) >= r(v_t) + <s_t, at - v_t>: s_t is a subgradient of r at v_t."""
        value = self.r(at) - self.r("v") - self.s.dot(vector(at) - self.v)
        return Hypothesis(sp.expand(value), times, "r is convex and s_t is a subgradient of r at v_t")

    def convex_f(self, times: Expr) -> Hypothesis:
        """h(w) >= h(v_t) + <g_t, w - v_t>, h = f o T."""
        value = _value("h", "w") - _value("h", "v") - self.g.dot(self.w - self.v)
        return Hypothesis(sp.expand(value), times, "f o T is convex and g_t is its gradient at v_t")

    def descent(self, times: Expr) -> Hypothesis:
        """h(v') <= h(v_t) + <g_t, v' - v_t> + L |v' - v_t|^2/2 with L = 1/eta_t - c, h = f o T."""
        room = _value("h", "v") + self.g.dot(self.v_next - self.v) - _value("h", "v'")
        value = room + (1 / ETA - SPARE) * (self.v_next - self.v).squared / 2
        return Hypothesis(sp.expand(value), times, "the gradient of f o T is L-Lipschitz, with 1/eta_t - L = c >= 0")

    def objective(self, at: str) -> Expr:
        """eta_t h + delta_t r at v, v' or w: eta_t F~ where mu advances, eta_t h for a fixed pair."""
        return ETA * _value("h", at) + GROWTH * self.r(at)


def one_step() -> tuple[Derivation, ...]:
    """The derivations about one step, for every delta_t >= 0.

    delta_t = eta_t (mu advances) gives the statements about F~ = f o T + r, delta_t = 0 (a fixed pair)
    those about f o T with the mirror function mu r + |.|^2/2.
    """
    k = Step()
    left_first = ETA * (k.v - k.w).dot(k.g) + GROWTH * (k.r("v") - k.r("w"))
    left_second = ETA * (k.v_next - k.w).dot(k.g) + GROWTH * (k.r("v'") - k.r("w"))
    fall = k.divergence("w") - k.divergence("w", next_one=True)
    ahead, back = k.divergence("v", next_one=True), k.divergence("v'")
    pull = ETA * k.g + GROWTH * k.s
    half = sp.Rational(1, 2)
    return (
        Derivation(
            "identity (I), one step",
            r"\eta_t\langle v_t-w,g_t\rangle+\delta_t(r(v_t)-r(w))=D_t(w)-D_{t+1}(w)+D_{t+1}(v_t)",
            left_first,
            fall + ahead,
            equation=True,
        ),
        Derivation(
            "identity (II), one step",
            r"\eta_t\langle v_{t+1}-w,g_t\rangle+\delta_t(r(v_{t+1})-r(w))=D_t(w)-D_{t+1}(w)-D_t(v_{t+1})",
            left_second,
            fall - back,
            equation=True,
        ),
        Derivation(
            "D_{t+1}(v_t) from above, convex r",
            r"D_{t+1}(v_t)\le\tfrac12|\eta_tg_t+\delta_ts_t|^2",
            ahead,
            pull.squared / 2,
            hypotheses=(k.subgradient("v'", MU + GROWTH),),
            squares=(Square(k.v - k.v_next - pull, half),),
        ),
        Derivation(
            "D_t(v_{t+1}) from below, convex r",
            r"\tfrac12|v_{t+1}-v_t|^2\le D_t(v_{t+1})",
            (k.v_next - k.v).squared / 2,
            back,
            hypotheses=(k.subgradient("v'", MU),),
        ),
        Derivation(
            "one step, convex f o T, any r",
            r"\eta_t(h(v_t)-h(w))+\delta_t(r(v_t)-r(w))\le D_t(w)-D_{t+1}(w)+D_{t+1}(v_t)",
            k.objective("v") - k.objective("w"),
            fall + ahead,
            hypotheses=(k.convex_f(ETA),),
        ),
        Derivation(
            "one step, convex f o T, convex r",
            r"\eta_t(h(v_t)-h(w))+\delta_t(r(v_t)-r(w))\le D_t(w)-D_{t+1}(w)+\tfrac12|\eta_tg_t+\delta_ts_t|^2",
            k.objective("v") - k.objective("w"),
            fall + pull.squared / 2,
            hypotheses=(k.convex_f(ETA), k.subgradient("v'", MU + GROWTH)),
            squares=(Square(k.v - k.v_next - pull, half),),
            standing="recalled/derived",
        ),
        Derivation(
            "one step, convex smooth f o T with exact gradients, convex r, eta_t <= 1/L",
            r"\eta_t(h(v_{t+1})-h(w))+\delta_t(r(v_{t+1})-r(w))\le D_t(w)-D_{t+1}(w)",
            k.objective("v'") - k.objective("w"),
            fall,
            hypotheses=(
                k.convex_f(ETA),
                k.subgradient("v'", MU),
                k.descent(ETA),
            ),
            squares=(Square(k.v_next - k.v, ETA * SPARE / 2),),
        ),
    )


# --------------------------------------------------------------------------- sums of steps


def telescoped() -> tuple[Derivation, ...]:
    """From one step to T steps, by induction, and from sums to best and averaged values.

    Induction: with L_T the sum of the left sides and S_T that of the last terms, the claim for T
    plus the step T+1 is the claim for T+1; for T = 0 both sides are 0, and for T = 1 the best, the average
    and the last value are one.
    """
    first, last, after = (sp.Symbol(n, real=True) for n in ("D_1(w)", "D_{T+1}(w)", "D_{T+2}(w)"))
    sums, terms, left, term = (sp.Symbol(n, real=True) for n in ("L_T", "S_T", "l_{T+1}", "s_{T+1}"))
    made: list[Derivation] = []
    for name, sign in (("(I)", 1), ("(II)", -1)):
        # L_T and l_{T+1} are what the claim for T and the step say they are
        known = {sums: first - last + sign * terms, left: last - after + sign * term}
        claim = rf"\sum_t\text{{left}}_t=D_1(w)-D_{{T+1}}(w){'+-'[sign < 0]}\sum_t"
        made.append(
            Derivation(
                f"identity {name}, from T to T+1 steps",
                claim + ("D_{t+1}(v_t)" if sign > 0 else "D_t(v_{t+1})"),
                (sums + left).subs(known),
                first - after + sign * (terms + term),
                equation=True,
            )
        )
    weight, weight_next = sp.Symbol("H_T", positive=True), sp.Symbol("eta_{T+1}", positive=True)
    best, gap, total = (sp.Symbol(n, real=True) for n in ("m_{T+1}", "F_{T+1}", "W_T"))
    earlier = sp.Symbol("m_T", real=True)
    made.append(
        Derivation(
            "the best value is at most the average",
            r"\sum_t\eta_t\min_t\tilde F(v_t)\le\sum_t\eta_t\tilde F(v_t)",
            (weight + weight_next) * best,
            total + weight_next * gap,
            hypotheses=(
                Hypothesis(total - weight * earlier, sp.S.One, "the claim for T steps"),
                Hypothesis(earlier - best, weight, "the least of more values is not larger"),
                Hypothesis(gap - best, weight_next, "the least value is at most the last"),
            ),
        )
    )
    average, drop = sp.Symbol("F(avg_{T+1})", real=True), sp.Symbol("F(avg_T)", real=True)
    chord = weight * drop + weight_next * gap - (weight + weight_next) * average
    made.append(
        Derivation(
            "the value at the average is at most the average value (convex F~)",
            r"\sum_t\eta_t\,\tilde F\Big(\tfrac{\sum_t\eta_tv_t}{\sum_t\eta_t}\Big)\le\sum_t\eta_t\tilde F(v_t)",
            (weight + weight_next) * average,
            total + weight_next * gap,
            hypotheses=(
                Hypothesis(total - weight * drop, sp.S.One, "the claim for T steps"),
                Hypothesis(chord, sp.S.One, "F~ is convex on the chord, times H_{T+1}"),
            ),
        )
    )
    final = sp.Symbol("D_{T+1}(w)", nonnegative=True)
    rest = sp.Symbol("S", real=True)
    made.append(
        Derivation(
            "the end term is dropped",
            r"\sum_t\text{left}_t\le D_1(w)+\sum_t D_{t+1}(v_t)",
            first - final + rest,  # the identity (I)
            first + rest,
            hypotheses=(Hypothesis(final, sp.S.One, "v_{T+1} minimises r_{T+1} - <., u_{T+1}>, so D_{T+1}(w) >= 0"),),
        )
    )
    return tuple(made)


def flips() -> tuple[Derivation, ...]:
    """What a coordinate contributes to the residual when r is the indicator of {-1, 1}: v = +-1, v' = sign(u')."""
    size = sp.Symbol("|u'|", nonnegative=True)
    made = []
    for after in (sp.S.One, -sp.S.One):
        for v in (after, -after):
            divergence = (v**2 - after**2) / 2 - (v - after) * after * size  # u' = sign(u') |u'|
            made.append(
                Derivation(
                    f"a coordinate that goes from {v} to {after}",
                    r"D_{t+1}(v_t)=0" if v == after else r"D_{t+1}(v_t)=2|u_{t+1}|",
                    divergence,
                    sp.S.Zero if v == after else 2 * size,
                    equation=True,
                )
            )
    return tuple(made)


def derivations() -> tuple[Derivation, ...]:
    """Every derivation: one step, sums of steps, flips."""
    return (*one_step(), *telescoped(), *flips())


__all__ = [
    "Derivation",
    "Hypothesis",
    "NotDerived",
    "Square",
    "Step",
    "Vector",
    "derivations",
    "flips",
    "one_step",
    "telescoped",
    "vector",
]
