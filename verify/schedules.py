"""Step sizes: a formula in t and the problem's L, read by the same whitelist that decides it, as numbers.

L is the Lipschitz constant of the gradient (of the smooth part where f has kinks, so 1/L is the usual first step),
G the largest length of a gradient where it is finite, N the number of steps of the run.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import sympy as sp

from theory.errors import InputError, Undecided
from theory.exact import X, to_float
from theory.maps import PiecewiseMap
from theory.steps import T, at_step, parse_steps
from verify.lowering import lower
from verify.problems import Array, Problem


@dataclass(frozen=True)
class Schedule:
    """A step-size formula with its name in tables and file names."""

    name: str
    formula: str


SCHEDULES = {
    s.name: s
    for s in (
        Schedule("sqrt", "1/(L*sqrt(t))"),
        Schedule("constant", "1/L"),
        Schedule("half", "1/(2*L)"),
        Schedule("harmonic", "1/(L*t)"),
        Schedule("summable", "1/(L*t**2)"),
        Schedule("beyond", "5/(2*L)"),
    )
}
"""The schedules with a name; any other text is read as a formula."""

USUAL_SCHEDULE = "sqrt"
_G = sp.Symbol("G", positive=True)


def schedule(text: str, what: str = "schedule") -> Schedule:
    """A named schedule, or a formula in t, L, G and N as one; ``what`` names it in the message.

    Raises `InputError` for a formula that cannot be read.
    """
    known = SCHEDULES.get(text)
    if known is not None:
        return known
    parse_steps(text, {"L": sp.Integer(1), "G": sp.Integer(1), "N": sp.Integer(100)}, _where(text, what))
    return Schedule(text, text)


def _where(text: str, what: str) -> str:
    return f"{what} {text[:40]!r} (not one of {', '.join(SCHEDULES)}, so read as a formula in t, L, G, N)"


def step_sizes(of: Problem, how: Schedule, steps: int, what: str = "schedule") -> Array:
    """eta_t for t = 1..steps, as float64 (steps,).

    Raises `InputError` where a step size is not a positive finite number, or where the formula has G and
    the problem's gradients are unbounded.
    """
    return _numbers(how.formula, _smoothness(of), of.lipschitz, steps, of.name, what).copy()


def _smoothness(of: Problem) -> float:
    return of.smoothness if math.isfinite(of.smoothness) else 1 / of.step


@lru_cache(maxsize=256)
def _numbers(formula: str, smoothness: float, lipschitz: float, steps: int, name: str, what: str) -> Array:
    bounded = math.isfinite(lipschitz)
    given = {"L": sp.Rational(smoothness), "N": sp.Integer(steps), "G": sp.Rational(lipschitz) if bounded else _G}
    e = parse_steps(formula, given, f"{what} {formula[:40]!r}")
    if e.has(_G):
        raise InputError(f"{what} {formula[:40]!r} has G, but the gradients of {name} are unbounded")
    if e.free_symbols - {T}:
        names = ", ".join(sorted(map(str, e.free_symbols - {T})))
        raise InputError(f"{what} {formula[:40]!r}: numbers were expected, but {names} has no value for this problem")
    t = np.arange(1.0, steps + 1)
    try:
        etas = np.asarray(lower(PiecewiseMap.of(e.xreplace({T: X})))(t))
    except Undecided:  # remainders, floors and maxima have no lowered form
        etas = np.array([_exactly(e, n) for n in range(1, steps + 1)])
    wrong = np.flatnonzero(~(np.isfinite(etas) & (etas > 0)))
    if len(wrong):
        k = int(wrong[0])
        raise InputError(
            f"{what} {formula[:40]!r}: values must be positive and finite, but at t = {k + 1} it is {etas[k]:.6g}"
        )
    return etas


def _exactly(e: sp.Expr, n: int) -> float:
    value = at_step(e, n, {})
    return to_float(value) if value.is_finite and value.is_real else math.nan


__all__ = ["SCHEDULES", "USUAL_SCHEDULE", "Schedule", "schedule", "step_sizes"]
