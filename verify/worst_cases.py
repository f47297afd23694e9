"""Worst cases of ProxConnect with convex f and r, found by PEPit, beside the bounds of docs/mathematics.md, section 4.

    v_t = P_r^{mu_t}(u_t),  u_{t+1} = u_t - eta_t g_t,  mu_{t+1} = mu_t + eta_t,  mu_1 = 1,  g_t in df(v_t)

For one class of f and r, n and step sizes, the largest F(iterate) - F(w), F = f + r and w its minimiser, over all
functions of the class, all dimensions and all starts with D_1(w) <= D is a semidefinite program (PEPit writes it,
CLARABEL solves it). Its value is numerical: each row carries the relative gap between the primal and the dual
value, and a gap above `GAP_TOLERANCE`, or an infeasibility above `FEASIBILITY`, is an error. The gap is no accuracy
certificate by itself: on badly scaled data it closes at a wrong value while the multipliers do not quite prove the
bound (`Solved.unproved`, measured too). So every model is solved in `Units` where D, L and M are 1, and step sizes
whose sum is then far from 1 are refused. The settings below are solved so. For n = 1, 2, 3 all but the smooth ones
and ``lipschitz-indicator`` agree with a second model, of vectors alone, to 1e-6; these agree to 1e-5 with explicit
functions where such attain the bound. The relation of a row is ``tight`` (value/bound >= 1 - 1e-4), ``violated``
(above 1 + 1e-4) or ``upper``; nothing here is a proof. Iterates are kept apart: the best of the values F(v_t), F at
the eta-average of the v_t, and the last v_t. The smooth corollary speaks of v_2, ..., v_{n+1} (n steps), all other
statements of v_1, ..., v_n. Settings, with L = 1, D = 1 or M = 1, D = R^2/2, R = 1:

- ``smooth``, ``smooth-indicator``, ``smooth-zero``: f convex with 1-Lipschitz gradient; r convex, an indicator, 0;
- ``pull``: f, r convex with |g_t + s_t| <= M; ``lipschitz-indicator``, ``lipschitz-zero``: |g_t| <= M;
  ``lipschitz``: f and r each M/2-Lipschitz;
- ``residual``: f, r convex, the residual sum eta_t^2/2 |g_t + s_t|^2/sum eta_t on the left side;
- ``PARQ``: the last iterate with eta_t = R/(2 G sqrt(t)) where |g_t + s_t| <= G; ``PARQ-2G``: where it is <= 2 G;
  ``PARQ-G+G``: where f and r are each G-Lipschitz (see `theory.last_iterate`).

Where r is any convex function, the least upper bound is not attained: |u_1| may grow while u_1 enters through inner
products with the v_t alone. There <u_1, .> (or <s_1, .>) is given to the program as free numbers, which is its
closure. In `pull` the functions are tilted so that 0 is in df(w) and in dr(w): f + <a, .> and r - <a, .> have the
same v_t.

Explicit functions attain bounds, or come as near as one likes, in rational arithmetic: `wall`, `box`, `slope` and
`corner`; `triangle` exceeds the smooth bound where the step is longer than the golden ratio over L; for r = 0 and a
smooth f `huber` gives values that the program does not exceed for n = 1..10. `searched` looks for bad cases of the
last iterate on piecewise-linear functions of two variables, without PEPit.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

from theory import last_iterate
from theory.errors import InputError
from theory.files import write_csv
from verify.ledger import divergence_at

Iterate = Literal["best", "average", "last"]
ITERATES: tuple[Iterate, ...] = ("best", "average", "last")
HEADER = (
    "setting",
    "statement",
    "iterate",
    "n",
    "step",
    "bound",
    "worst_case",
    "ratio",
    "relation",
    "duality_gap",
    "hypothesis_holds",
)
TIGHT = 1e-4
"""Relative distance from the bound within which a worst case is called tight."""
GAP_TOLERANCE = 1e-6
"""Largest |dual - primal|/|dual| of a program whose value is reported."""
FEASIBILITY = 1e-6
"""Largest violation of a constraint, or of the sign of a multiplier, of such a program; its data are near 1."""
PROOF_TOLERANCE = 1e-3
"""Largest `Solved.unproved` of such a program: what is missing from the dual proof at the size of the solution."""
LEAST_SUM, LARGEST_SUM, LARGEST_MU = 1e-2, 1e2, 1e4
"""Range of eta_1 + ... + eta_n, and the largest mu_1, in units where D = 1 and L = 1 or M = 1.

Beyond it the solver's value may be wrong although the gap and the infeasibility are small.
"""
MOST = 10
"""Largest n."""
STEPS = 5
"""Largest n of a run that asks for nothing else."""


# --------------------------------------------------------------------------- the programs


@dataclass(frozen=True)
class Units:
    """v and u in units of ``length``, F, f and r in units of ``value``, as in v = length v', F = value F'.

    The run of F with eta_t and mu_1 is that of F' with eta_t curvature and mu_1 curvature: ``curvature`` =
    value/length^2, in which L and the 1/eta_t are measured; ``slope`` = value/length is the unit of the gradients,
    length^2 that of D_1.
    """

    length: float
    value: float

    @property
    def slope(self) -> float:
        """value/length."""
        return self.value / self.length

    @property
    def curvature(self) -> float:
        """value/length^2."""
        return self.value / self.length**2

    def of(self, name: str, constant: float) -> tuple[str, float]:
        """A class of functions with its constant in these units."""
        return name, constant / {"smooth": self.curvature, "lipschitz": self.slope}.get(name, 1.0)


def units(etas: Sequence[float], distance: float, f: tuple[str, float], mu: float = 1.0) -> Units:
    """Units with D = 1 and L = 1 for smooth f, M = 1 for Lipschitz f, and sum eta = 1 for f without a constant.

    Raises `InputError` unless all numbers are finite and > 0 and, in these units, sum eta is in the range
    `LEAST_SUM` to `LARGEST_SUM` and mu_1 = ``mu`` is at most `LARGEST_MU`.
    """
    name, constant = f
    total = sum(etas)
    if not all(math.isfinite(x) and x > 0 for x in (*etas, total, distance, mu, constant if name != "convex" else 1.0)):
        raise InputError("step sizes, mu_1, the bound on D_1 and the constant of f are finite numbers > 0")
    length = math.sqrt(distance)
    curvature = {"smooth": constant, "lipschitz": constant / length}.get(name, 1 / total)
    if not LEAST_SUM <= total * curvature <= LARGEST_SUM:
        raise InputError(
            f"the step sizes add up to {total * curvature:.3g} where D_1 and the constant of f are scaled to 1, "
            f"and only {LEAST_SUM:g} to {LARGEST_SUM:g} is solved accurately"
        )
    if mu * curvature > LARGEST_MU:
        raise InputError(
            f"mu_1 is {mu * curvature:.3g} where D_1 and the constant of f are scaled to 1, "
            f"and only up to {LARGEST_MU:g} is solved accurately"
        )
    return Units(length, curvature * distance)


@dataclass(frozen=True)
class Model:
    """A performance estimation problem without its objective, in `Units` where D = 1 and L = 1 or M = 1.

    ``values``: F(v_t) - F(w) in these units, one expression for each point; ``average(weights)``: F at the weighted
    average (weights sum to 1); ``pulls``: |g_t + s_t|^2 in units of slope^2, where the model has them; ``etas``:
    eta_t curvature.
    """

    problem: Any
    values: list[Any]
    average: Callable[[Sequence[float]], Any]
    pulls: list[Any]
    units: Units
    etas: list[float]


def advanced(etas: Sequence[Any], first: Any = 1) -> list[Any]:
    """mu_1 = ``first``, mu_2, ...: mu_{t+1} = mu_t + eta_t."""
    mus = [first]
    for eta in etas:
        mus.append(mus[-1] + eta)
    return mus


def proximal_point(u: Any, mu: Any, s: Any) -> Any:
    """v = P_r^mu(u) with s in dr(v): v = u - mu s."""
    return u - mu * s


def _pepit() -> Any:
    """The package. Raises `InputError` if it or its solver is not installed."""
    try:
        import clarabel
        import cvxpy
        import PEPit
        import PEPit.functions
    except ImportError:
        raise InputError("worst cases need PEPit and CLARABEL: install the extra 'worst' (proxpair[worst])") from None
    del clarabel, cvxpy
    return PEPit


def _sum(terms: Sequence[Any], zero: Any) -> Any:
    return functools.reduce(lambda a, b: a + b, terms, zero)


def _combined(weights: Sequence[float], row: Sequence[Any], zero: Any) -> Any:
    return _sum([w * x for w, x in zip(weights, row, strict=True) if w], zero)


def _convex(problem: Any, values: list[Any], slopes: list[list[Any]]) -> None:
    """values[k] >= values[j] + <slope_j, v_k - v_j>, and the same at w = 0, where the value is 0.

    ``slopes[j][k]`` = <slope_j, v_k>.
    """
    for j, (value, row) in enumerate(zip(values, slopes, strict=True)):
        problem.add_constraint(0 * value >= value - row[j])
        for k, other in enumerate(values):
            if k != j:
                problem.add_constraint(other >= value + row[k] - row[j])


def _convex_average(
    problem: Any, values: list[Any], slopes: list[list[Any]], weights: Sequence[float], at: Any, zero: Any
) -> None:
    """``at`` is the value at the average: above every tangent, and with a tangent of its own below all values."""
    own = [_fresh() for _ in values]  # <slope at the average, v_k>
    middle = _combined(weights, own, zero)
    problem.add_constraint(zero >= at - middle)
    for k, (value, row) in enumerate(zip(values, slopes, strict=True)):
        problem.add_constraint(value >= at + own[k] - middle)
        problem.add_constraint(at >= value + _combined(weights, row, zero) - row[k])


def _fresh() -> Any:
    return _pepit().Expression()


def by_gradients(
    etas: Sequence[float], points: int, distance: float, f: tuple[str, float], r: str, mu: float = 1.0
) -> Model:
    """The points v_t and the gradients g_t are free vectors, <u_1, .> is a free linear function.

    ``f``: a class of PEPit and its constant; ``r``: convex or indicator. <s_j, .> = <u_1 - sum_{i<j} eta_i g_i -
    v_j, .>/mu_j; w = 0 with f(w) = r(w) = 0 and s_w = -g_w. A smooth f is given as <g_w, .> and a function with
    gradient 0 at w: with an indicator <g_w, .> is a free linear function, with a convex r it is tilted away.
    mu_1 = ``mu``. Raises `InputError` as `units` does.
    """
    unit = units(etas, distance, f, mu)
    pepit = _pepit()
    problem, zero, origin = pepit.PEP(), pepit.null_expression, pepit.null_point
    indicator, tilted = r == "indicator", f[0] == "smooth"
    etas = [eta * unit.curvature for eta in etas]
    function = _declared(problem, unit.of(*f))
    end = origin if tilted else pepit.Point()
    function.add_point((origin, end, zero))
    vs = [pepit.Point() for _ in range(points)]
    pairs = [function.oracle(v) for v in vs]
    tilt = [_fresh() if tilted and indicator else zero for _ in vs]  # <g_w, v_k>, where it is not in `end`
    mus = advanced(etas, mu * unit.curvature)
    moved = [origin]  # u_1 - u_t, but for the tilt
    for eta, (g, _) in zip(etas, pairs, strict=False):
        moved.append(moved[-1] + eta * g)
    start = [_fresh() for _ in vs]
    push = [max(mus[0], 1) * x for x in start]  # <mu_1 s_1, v_k>
    slopes = [
        [(push[k] - (mus[j] - mus[0]) * tilt[k] - (moved[j] + vs[j] - vs[0]) * vs[k]) / mus[j] for k in range(points)]
        for j in range(points)
    ]
    own = [zero if indicator else _fresh() for _ in vs]
    lost = _lost(own, start, mus[0], indicator)
    _convex(problem, own, slopes)
    for v, value, linear in zip(vs, own, tilt, strict=True):
        problem.add_constraint(value >= -(end * v) - linear)
    problem.set_initial_condition(lost + vs[0] ** 2 / 2 <= 1)

    def average(weights: Sequence[float]) -> Any:
        middle = _combined(weights, vs, origin)
        if indicator:
            return function(middle) + _combined(weights, tilt, zero)
        at = _fresh()
        _convex_average(problem, own, slopes, weights, at, zero)
        problem.add_constraint(at >= -(end * middle))
        return function(middle) + at

    values = [a + b + c for (_, a), b, c in zip(pairs, own, tilt, strict=True)]
    return Model(problem, values, average, [], unit, etas)


def by_pulls(etas: Sequence[float], points: int, distance: float, limit: float | None, mu: float = 1.0) -> Model:
    """The points v_t and the pulls q_t = g_t + s_t are free vectors, <s_1, .> is a free linear function.

    s_{t+1} = s_t - (v_{t+1} - v_t + eta_t q_t)/mu_{t+1}, g_t = q_t - s_t; ``limit``: the largest |q_t|, if any.
    mu_1 = ``mu``. Raises `InputError` as `units` does.
    """
    unit = units(etas, distance, ("convex", 0.0) if limit is None else ("lipschitz", limit), mu)
    pepit = _pepit()
    problem, zero = pepit.PEP(), pepit.null_expression
    vs, qs = ([pepit.Point() for _ in range(points)] for _ in range(2))
    etas = [eta * unit.curvature for eta in etas]
    mus = advanced(etas, mu * unit.curvature)
    shift = [pepit.null_point]  # s_t - s_1
    for t in range(points - 1):
        shift.append(shift[-1] - (vs[t + 1] - vs[t] + etas[t] * qs[t]) / mus[t + 1])
    start = [_fresh() for _ in vs]
    pushed = [x / min(mus[0], 1) for x in start]  # <s_1, v_k>
    slopes = [[pushed[k] + shift[j] * vs[k] for k in range(points)] for j in range(points)]
    gradients = [[qs[j] * vs[k] - slopes[j][k] for k in range(points)] for j in range(points)]
    parts = [([_fresh() for _ in vs], rows) for rows in (gradients, slopes)]
    lost = _lost(parts[1][0], start, mus[0], False)
    for values, rows in parts:
        _convex(problem, values, rows)
        for value in values:
            problem.add_constraint(value >= 0)
    if limit is not None:
        for q in qs:
            problem.add_constraint(q**2 <= 1)
    problem.set_initial_condition(lost + vs[0] ** 2 / 2 <= 1)

    def average(weights: Sequence[float]) -> Any:
        total = zero
        for values, rows in parts:
            at = _fresh()
            _convex_average(problem, values, rows, weights, at, zero)
            problem.add_constraint(at >= 0)
            total = total + at
        return total

    sums = [a + b for a, b in zip(parts[0][0], parts[1][0], strict=True)]
    return Model(problem, sums, average, [q**2 for q in qs], unit, etas)


def _lost(own: list[Any], start: list[Any], mu: float, indicator: bool) -> Any:
    """mu_1 (r(0) - r(v_1) + <s_1, v_1>), one of the two parts of D_1(0), with r(v_1) = ``own[0]``.

    ``start``: <s_1, v_k> for mu_1 >= 1 and <mu_1 s_1, v_k> below: near 1 for every mu_1. For mu_1 > 1 the part is
    the free number and r(v_1) is what it says, or mu_1 would amplify the errors.
    """
    if mu < 1 or indicator:
        return max(mu, 1) * start[0] - mu * own[0]
    lost = _fresh()
    own[0] = start[0] - lost / mu
    return lost


def direct(
    etas: Sequence[float],
    points: int,
    distance: float,
    f: tuple[str, float],
    r: tuple[str, float] | None,
    mu: float = 1.0,
) -> Model:
    """PEPit's own classes and points: u_1 and the subgradients s_t of r are vectors. ``r`` None is r = 0.

    mu_1 = ``mu``. Raises `InputError` as `units` does.
    """
    unit = units(etas, distance, f, mu)
    pepit = _pepit()
    problem, zero = pepit.PEP(), pepit.null_expression
    etas = [eta * unit.curvature for eta in etas]
    function = _declared(problem, unit.of(*f))
    other = None if r is None else _declared(problem, unit.of(*r))
    end = pepit.null_point if other is None else pepit.Point()
    function.add_point((pepit.null_point, end, zero))
    if other is not None:
        other.add_point((pepit.null_point, -end, zero))
    mus = advanced(etas, mu * unit.curvature)
    values, pulls, vs = [], [], []
    u = pepit.Point()
    for t in range(points):
        if other is None:
            v, s, own = u, pepit.null_point, zero
        else:
            s, own = pepit.Point(), pepit.Expression()
            if t == 0:
                u = u + mus[0] * s  # the free vector is v_1: better scaled than u_1
            v = proximal_point(u, mus[t], s)
            other.add_point((v, s, own))
        if t == 0:
            problem.set_initial_condition(-mus[0] * own - v**2 / 2 + v * u <= 1)
        g, value = function.oracle(v)
        vs.append(v)
        values.append(value + own)
        pulls.append((g + s) ** 2)
        if t < len(etas):
            u = u - etas[t] * g

    def average(weights: Sequence[float]) -> Any:
        middle = _combined(weights, vs, pepit.null_point)
        return function(middle) + (zero if other is None else other(middle))

    return Model(problem, values, average, pulls, unit, etas)


def _declared(problem: Any, of: tuple[str, float]) -> Any:
    name, constant = of
    functions = _pepit().functions
    if name == "smooth":
        return problem.declare_function(functions.SmoothConvexFunction, L=constant)
    if name == "lipschitz":
        return problem.declare_function(functions.ConvexLipschitzFunction, M=constant)
    return problem.declare_function(functions.ConvexFunction)


# --------------------------------------------------------------------------- solving


@dataclass(frozen=True)
class Solved:
    """The dual value of a program, the relative distance of the primal value from it, and its infeasibility.

    ``infeasible``: the largest violation of a constraint by the primal solution, or of a multiplier's sign;
    ``unproved``: the terms by which the multipliers fail to add up to the bound, times the largest entry of the
    primal solution, over the value: the gap may close while they are large.
    """

    value: float
    gap: float
    infeasible: float
    unproved: float


# the first try is CLARABEL as it comes; the others take shorter or better refined steps
_TRIES: tuple[dict[str, float], ...] = (
    {},
    {"max_step_fraction": 0.9, "max_iter": 500},
    {"equilibrate_enable": False, "max_iter": 500},
    {"static_regularization_constant": 1e-10, "iterative_refinement_max_iter": 50},
    {"tol_gap_abs": 1e-7, "tol_gap_rel": 1e-7, "tol_feas": 1e-7},
)


def solved(make: Callable[[], Model], what: str) -> Solved:
    """Build and solve a model whose problem has its objectives; the value is in the units of the user.

    Raises `InputError` if no try has a gap up to `GAP_TOLERANCE`, an infeasibility up to `FEASIBILITY` and a proof
    that holds up to `PROOF_TOLERANCE`.
    """
    seen = []
    for options in _TRIES:
        model = make()
        one = _tried(model.problem, options)
        if one is None:
            continue
        measured = (
            ("duality gap", one.gap, GAP_TOLERANCE),
            ("infeasibility", one.infeasible, FEASIBILITY),
            ("error of the dual proof", one.unproved, PROOF_TOLERANCE),
        )
        worst = max(measured, key=lambda m: m[1] / m[2] if m[2] else math.inf)
        if all(number <= most for _, number, most in measured):
            return replace(one, value=one.value * model.units.value)
        seen.append(worst)
    told = "the solver gave no value"
    if seen:
        name, number, most = min(seen, key=lambda m: m[1])
        told = f"its {name} is {number:.1e} at the least, and {most:.0e} is the largest allowed"
    raise InputError(f"the worst case of {what} is not known: {told}")


def _tried(problem: Any, options: dict[str, float]) -> Solved | None:
    import cvxpy

    # "may be inaccurate" and PEPit's print of a large gap: `solved` decides by the numbers
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()) as told:
        warnings.simplefilter("ignore")
        try:
            dual = problem.solve(wrapper="cvxpy", solver="CLARABEL", verbose=1, **options)
        except (cvxpy.error.SolverError, AssertionError):  # an assertion of PEPit: a value that is not a number
            return None
    if dual is None:
        return None
    dual, primal = float(dual), float(problem.wrapper.prob.value)
    if not (math.isfinite(dual) and math.isfinite(primal)):
        return None
    size = max(abs(dual), 1e-300)
    return Solved(dual, abs(dual - primal) / size, _infeasibility(problem), _left(told.getvalue(), problem) / size)


def _infeasibility(problem: Any) -> float:
    import numpy as np

    # the first constraint is G >= 0, the others are inequalities or, without a sign, equations
    matrix, *others = problem.wrapper.prob.constraints
    found = [-float(np.linalg.eigvalsh(g)[0]) for g in (matrix.args[0].value, matrix.dual_value)]
    for c in others:
        if type(c).__name__ == "Inequality":
            found += [float(c.expr.value), -float(c.dual_value)]
        else:
            found.append(abs(float(c.expr.value)))
    return max(0.0, *found)


def _left(told: str, problem: Any) -> float:
    """The terms left by PEPit's reconstruction of the dual proof, which it prints, times the largest |entry|.

    Infinite if it does not say.
    """
    import numpy as np

    said = re.search(r"proof is perfectly reconstituted( up to an error of (\S+))?", told)
    if said is None:
        return math.inf
    largest = max(1.0, *(float(np.abs(x.value).max(initial=0.0)) for x in (problem.wrapper.F, problem.wrapper.G)))
    return float(said[2] or 0.0) * largest


# --------------------------------------------------------------------------- settings


@dataclass(frozen=True)
class Setting:
    """One class of f and r with its step sizes and bounds.

    ``sizes(n)``: (text, step sizes, whether the statement's hypothesis holds); ``bounds(iterate, etas)``:
    (statement, bound) pairs; ``moved``: the residual is subtracted; ``later``: the points are v_2, ..., v_{n+1}.
    """

    make: Callable[[Sequence[float], int], Model]
    sizes: Callable[[int], list[tuple[str, list[float], bool]]]
    bounds: Callable[[Iterate, Sequence[float]], list[tuple[str, float]]]
    iterates: tuple[Iterate, ...] = ITERATES
    later: bool = False
    moved: bool = False


SMOOTH_STEPS = (("1/(4L)", 0.25), ("1/(2L)", 0.5), ("1/L", 1.0), ("3/(2L)", 1.5), ("7/(4L)", 1.75), ("2/L", 2.0))
PULL_STEPS = (("R/(2M sqrt(n))", 0.5), ("R/(M sqrt(n))", 1.0), ("2R/(M sqrt(n))", 2.0))
_D = 0.5  # R^2/2 with R = 1


def _smooth_sizes(n: int) -> list[tuple[str, list[float], bool]]:
    return [(text, [c] * n, c <= 1) for text, c in SMOOTH_STEPS]


def _pull_sizes(n: int) -> list[tuple[str, list[float], bool]]:
    return [(text, [c / math.sqrt(n)] * n, True) for text, c in PULL_STEPS]


def _parq_sizes(n: int) -> list[tuple[str, list[float], bool]]:
    return [("R/(2G sqrt(t))", [0.5 / math.sqrt(t) for t in range(1, n + 1)], True)]


def _smooth_bounds(iterate: Iterate, etas: Sequence[float]) -> list[tuple[str, float]]:
    return [("smooth" if iterate == "average" else f"smooth, {iterate} iterate", 1 / sum(etas))]


def _pull_bounds(iterate: Iterate, etas: Sequence[float]) -> list[tuple[str, float]]:
    if iterate == "last":
        return [("last iterate", float(last_iterate.bound(list(etas), _D, 1.0)))]
    return [("convex", (_D + sum(e * e for e in etas) / 2) / sum(etas))]


def _residual_bounds(iterate: Iterate, etas: Sequence[float]) -> list[tuple[str, float]]:
    return [("convex, residual subtracted", _D / sum(etas))]


def _parq_bounds(pull: int) -> Callable[[Iterate, Sequence[float]], list[tuple[str, float]]]:
    def bounds(iterate: Iterate, etas: Sequence[float]) -> list[tuple[str, float]]:
        n, half = len(etas), last_iterate.HALF  # D = R^2/2 and c = R/(2 G), R = G = 1
        return [
            ("last iterate", float(last_iterate.bound(list(etas), _D, pull))),
            ("last iterate, simple form", float(last_iterate.simple(n, half, pull, half))),
            ("last iterate, 2 + 3/2 ln T", float(last_iterate.claimed(n, last_iterate.FIRST_CLAIM))),
            ("last iterate, 7/4 + 3/4 ln T", float(last_iterate.claimed(n, last_iterate.SECOND_CLAIM))),
        ]

    return bounds


def _parq(make: Callable[[Sequence[float], int], Model], pull: int) -> Setting:
    return Setting(make, _parq_sizes, _parq_bounds(pull), ("last",))


SETTINGS: dict[str, Setting] = {
    "smooth": Setting(
        lambda e, n: by_gradients(e, n, 1.0, ("smooth", 1.0), "convex"), _smooth_sizes, _smooth_bounds, later=True
    ),
    "smooth-indicator": Setting(
        lambda e, n: by_gradients(e, n, 1.0, ("smooth", 1.0), "indicator"), _smooth_sizes, _smooth_bounds, later=True
    ),
    "smooth-zero": Setting(
        lambda e, n: direct(e, n, 1.0, ("smooth", 1.0), None), _smooth_sizes, _smooth_bounds, later=True
    ),
    "pull": Setting(lambda e, n: by_pulls(e, n, _D, 1.0), _pull_sizes, _pull_bounds),
    "lipschitz-indicator": Setting(
        lambda e, n: by_gradients(e, n, _D, ("lipschitz", 1.0), "indicator"), _pull_sizes, _pull_bounds
    ),
    "lipschitz-zero": Setting(lambda e, n: direct(e, n, _D, ("lipschitz", 1.0), None), _pull_sizes, _pull_bounds),
    "lipschitz": Setting(
        lambda e, n: direct(e, n, _D, ("lipschitz", 0.5), ("lipschitz", 0.5)), _pull_sizes, _pull_bounds
    ),
    "residual": Setting(
        lambda e, n: by_pulls(e, n, _D, None), _pull_sizes, _residual_bounds, ("best", "average"), moved=True
    ),
    "PARQ": _parq(lambda e, n: by_pulls(e, n, _D, 1.0), 1),
    "PARQ-2G": _parq(lambda e, n: by_pulls(e, n, _D, 2.0), 2),
    "PARQ-G+G": _parq(lambda e, n: direct(e, n, _D, ("lipschitz", 1.0), ("lipschitz", 1.0)), 2),
}


def setting(name: str) -> Setting:
    """A setting by its name. Raises `InputError` for an unknown one."""
    if name not in SETTINGS:
        raise InputError(f"unknown setting {name!r}; the settings are {', '.join(SETTINGS)}")
    return SETTINGS[name]


def worst_case(name: str, iterate: Iterate, etas: Sequence[float]) -> Solved:
    """The worst case of F(iterate) - F(w) in a setting, for the step sizes eta_1, ..., eta_n > 0, n <= `MOST`.

    Raises `InputError` on a bad argument, without PEPit, or if the duality gap stays above `GAP_TOLERANCE`.
    """
    of = setting(name)
    if iterate not in of.iterates:
        raise InputError(f"{name} has no {iterate!r} iterate; it has {', '.join(of.iterates)}")
    if not 1 <= len(etas) <= MOST:
        raise InputError(f"the number of steps is from 1 to {MOST}, not {len(etas)}")
    if not all(math.isfinite(e) and e > 0 for e in etas):
        raise InputError("every step size is a finite number > 0")
    n, total = len(etas), sum(etas)

    def make() -> Model:
        m = of.make(etas, n + of.later)
        values, whole = m.values[1:] if of.later else m.values, sum(m.etas)
        residual = sum((e * e / 2 / whole) * q for e, q in zip(m.etas, m.pulls, strict=True)) if of.moved else 0
        if iterate == "best":
            objectives = values
        elif iterate == "last":
            objectives = values[-1:]
        else:
            objectives = [m.average([0.0] * of.later + [e / total for e in etas])]
        for objective in objectives:
            m.problem.set_performance_metric(objective - residual)
        return m

    return solved(make, f"{name}, {iterate} iterate, n = {n}")


def relation(ratio: float) -> str:
    """tight, upper or violated, by the worst case divided by the bound."""
    return "violated" if ratio > 1 + TIGHT else "tight" if ratio >= 1 - TIGHT else "upper"


def largest_step(name: str, iterate: Iterate, n: int, above: float = 2.5, width: float = 1e-4) -> float:
    """The largest c such that the bound D_1/sum eta is not violated for eta = c/L, by bisection on [1, above].

    Numerical, beyond the hypothesis c <= 1, for the settings of the smooth corollary: within ``width`` and `TIGHT`
    divided by the slope of the ratio there; assumes one crossing. For r convex or an indicator it is the golden
    ratio at n = 1 (proved: `triangle` and `theory.last_iterate.golden`) and grows with n (observed, n = 1..6).
    ``above`` itself if the bound is not violated there. Raises `InputError` for another setting.
    """
    if not setting(name).later:
        raise InputError(f"{name} is no setting of the smooth corollary")

    def holds(c: float) -> bool:
        return worst_case(name, iterate, [c] * n).value * n * c <= 1 + TIGHT

    low, high = 1.0, above
    if holds(high):
        return high
    while high - low > width:
        middle = (low + high) / 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return (low + high) / 2


# --------------------------------------------------------------------------- the table


@dataclass(frozen=True)
class Plan:
    """Programs to be solved: settings, values of n, and their number."""

    names: tuple[str, ...]
    ns: tuple[int, ...]

    @property
    def total(self) -> int:
        """Number of programs."""
        return sum(len(SETTINGS[s].iterates) * len(SETTINGS[s].sizes(n)) for s in self.names for n in self.ns)


def plan(names: Sequence[str] = (), steps: int = STEPS) -> Plan:
    """n = 1, ..., ``steps`` in the settings named, all without a name.

    Raises `InputError` on an unknown setting, on ``steps`` outside 1..`MOST`, or without PEPit.
    """
    if not 1 <= steps <= MOST:
        raise InputError(f"the number of steps is from 1 to {MOST}, not {steps}")
    for name in names:
        setting(name)
    _pepit()
    return Plan(tuple(dict.fromkeys(names or SETTINGS)), tuple(range(1, steps + 1)))


def rows(todo: Plan, progress: Callable[[int], None] = lambda _: None) -> Iterator[tuple[Any, ...]]:
    """The rows of the table, in the order of `HEADER`; ``progress`` is called with 1 after each program."""
    for name in todo.names:
        of = SETTINGS[name]
        for n in todo.ns:
            for text, etas, holds in of.sizes(n):
                known: dict[Iterate, Solved] = {}
                for iterate in of.iterates:
                    # of one value the last is the best: the same program
                    same = known.get("best") if n == 1 and iterate == "last" else None
                    found = known[iterate] = same or worst_case(name, iterate, etas)
                    progress(1)
                    for statement, bound in of.bounds(iterate, etas):
                        ratio = found.value / bound
                        word = relation(ratio)
                        yield (
                            *(name, statement, iterate, n, text, bound, found.value),
                            *(ratio, word, found.gap, "yes" if holds else "no"),
                        )


def execute(todo: Plan, out: str | Path, progress: Callable[[int], None] = lambda _: None) -> list[tuple[Any, ...]]:
    """Solve every program of a plan and write DIR/convergence/worst_cases.csv; returns its rows.

    Raises `InputError` as `worst_case` does; then no file is written.
    """
    found = list(rows(todo, progress))
    write_csv(Path(out) / "convergence" / "worst_cases.csv", HEADER, found)
    return found


def run(
    out: str | Path,
    steps: int = STEPS,
    progress: Callable[[int], None] = lambda _: None,
    settings: Sequence[str] = (),
) -> list[tuple[Any, ...]]:
    """`plan` and `execute` in one call."""
    return execute(plan(settings, steps), out, progress)


# --------------------------------------------------------------------------- functions that attain bounds


@dataclass(frozen=True)
class Attained:
    """A run on one explicit function, in rational arithmetic, with w = 0 and F(w) = 0.

    ``values``: F(v_t), t = 1..n+1; ``averages``: F at the eta-average of v_1, ..., v_n and of v_2, ..., v_{n+1};
    ``distance``: D_1(w); ``residual``: sum eta_t^2/2 |g_t + s_t|^2, s_t = (u_t - v_t)/mu_t; ``least``: the least
    D_t at 0, at every v_s and half way to it: not negative unless a v_t is no minimiser.
    """

    etas: tuple[Fraction, ...]
    values: tuple[Fraction, ...]
    averages: tuple[Fraction, Fraction]
    distance: Fraction
    residual: Fraction
    least: Fraction


Numbers = list[Fraction]


def _each(prox: Callable[[Fraction, Fraction], Fraction]) -> Callable[[Numbers, Fraction], Numbers]:
    """The proximal map of a sum over coordinates, by that of one coordinate."""
    return lambda u, mu: [prox(a, mu) for a in u]


def _followed(
    start: Numbers,
    etas: Sequence[Fraction],
    f: Callable[[Numbers], Fraction],
    slope: Callable[[Numbers, int], Numbers],
    r: Callable[[Fraction], Fraction],
    prox: Callable[[Numbers, Fraction], Numbers],
) -> Attained:
    """ProxConnect from u_1 = ``start`` in Fractions. ``slope(v, t)``: g_t, t = 1, ..., n; ``prox(u, mu)``.

    ``r``, of one coordinate, is asked only where the run goes, where it is finite: 0 for an indicator of any set.
    """
    mus, u, us, vs, residual = advanced(etas), list(start), [], [], Fraction(0)
    for t, mu in enumerate(mus, 1):
        v = prox(u, mu)
        us.append(u)
        vs.append(v)
        if t <= len(etas):
            eta, g = etas[t - 1], slope(v, t)
            residual += eta**2 / 2 * sum((b + (a - c) / mu) ** 2 for a, b, c in zip(u, g, v, strict=True))
            u = [a - eta * b for a, b in zip(u, g, strict=True)]
    total = sum(etas)

    def whole(v: Numbers) -> Fraction:
        return f(v) + sum((r(a) for a in v), Fraction(0))

    def averaged(points: list[Numbers]) -> Fraction:
        return whole([sum(e * a for e, a in zip(etas, column, strict=True)) / total for column in zip(*points)])

    zero = [Fraction(0)] * len(start)
    distance = divergence_at(start, vs[0], Fraction(1), zero, r)
    places = [zero, *vs, *([a / 2 for a in v] for v in vs)]
    least = min(divergence_at(u, v, mu, w, r) for u, v, mu in zip(us, vs, mus, strict=True) for w in places)
    averages = (averaged(vs[:-1]), averaged(vs[1:]))
    return Attained(tuple(etas), tuple(map(whole, vs)), averages, distance, residual, least)


def wall(etas: Sequence[Fraction], x: Fraction) -> Attained:
    """f = 0, r(v) = |v|/x on |v| <= x, +oo beyond, x > 0; u_1 = x + mu_{n+1}/x. All v_t = x and F(v_t) = 1.

    D_1(0) = sum eta + x^2/2: the last, best and average value tend to D_1/sum eta as x -> 0, for any step sizes
    and every L. So the smooth corollary is the best possible bound and, for D_1 > 0, a supremum that no function
    attains.
    """
    a = 1 / x

    def prox(u: Fraction, mu: Fraction) -> Fraction:
        size = min(max(abs(u) - mu * a, Fraction(0)), x)
        return size if u > 0 else -size

    start = [x + advanced(etas)[-1] * a]
    return _followed(start, etas, lambda v: Fraction(0), lambda v, t: [Fraction(0)], lambda v: a * abs(v), _each(prox))


def box(etas: Sequence[Fraction], x: Fraction) -> Attained:
    """f(v) = v/x, r = 0 on [0, x], +oo beyond, x > 0; u_1 = x + sum eta/x. All v_t = x and F(v_t) = 1.

    `wall` with an indicator: D_1(0) = sum eta + x^2/2.
    """

    def prox(u: Fraction, mu: Fraction) -> Fraction:
        return min(max(u, Fraction(0)), x)

    start = [x + sum(etas) / x]
    return _followed(start, etas, lambda v: v[0] / x, lambda v, t: [1 / x], lambda v: Fraction(0), _each(prox))


def huber(etas: Sequence[Fraction], kink: Fraction) -> Attained:
    """f = v^2/2 for |v| <= kink, kink |v| - kink^2/2 beyond (L = 1), r = 0, u_1 = 1.

    For eta_t = c <= 1 and kink = 1/(1 + (n+1) c) the value at the average of v_2, ..., v_{n+1} is D_1/(1 + (n+1) c);
    for kink = 1/(1 + 2 n c) the last value is D_1/(1 + 2 n c). Conjectured from n = 1..10 for the average (known
    for the last iterate): no smooth f with r = 0 does worse, so there the bound D_1/(n c) could be improved.
    """

    def f(v: Numbers) -> Fraction:
        size = abs(v[0])
        return size * size / 2 if size <= kink else kink * size - kink * kink / 2

    def gradient(v: Numbers, t: int) -> Numbers:
        return [min(max(v[0], -kink), kink)]

    return _followed([Fraction(1)], etas, f, gradient, lambda v: Fraction(0), lambda u, mu: u)


Corners = tuple[Numbers, Numbers, Numbers]


def triangle_corners(c: Fraction, eps: Fraction) -> Corners:
    """0, P_1 = (c - 1, eps), P_2 = (-1, 0): the corners of the triangle of `triangle`."""
    return [Fraction(0), Fraction(0)], [c - 1, eps], [Fraction(-1), Fraction(0)]


def projected(u: Numbers, corners: Corners) -> Numbers:
    """The point of a triangle nearest to u in the plane: u itself, or the nearest point of the nearest edge."""
    edges = [(corners[i - 1], corners[i]) for i in range(3)]
    sides = [(b[0] - a[0]) * (u[1] - a[1]) - (b[1] - a[1]) * (u[0] - a[0]) for a, b in edges]
    if min(sides) >= 0 or max(sides) <= 0:
        return u

    def on_edge(a: Numbers, b: Numbers) -> Numbers:
        along = [q - p for p, q in zip(a, b, strict=True)]
        down = sum((d * (x - p) for d, x, p in zip(along, u, a, strict=True)), Fraction(0))
        share = min(max(down / sum((d * d for d in along), Fraction(0)), Fraction(0)), Fraction(1))
        return [p + share * d for p, d in zip(a, along, strict=True)]

    return min((on_edge(a, b) for a, b in edges), key=lambda p: sum((x - y) ** 2 for x, y in zip(p, u, strict=True)))


def triangle(c: Fraction, eps: Fraction) -> Attained:
    """f(x, y) = x^2/2 + K y (L = 1), r = 0 on the triangle of 0, P_1, P_2, +oo beyond; one step of eta_1 = c.

    1 < c <= 2, eps > 0; A = c (2 - c), K = (eps + c A/eps)/c, u_1 = P_1 + (-A, c A/eps): v_1 = P_1, u_2 = v_2 = P_2.
    F(v_2) - F(0) = 1/2 and D_1(0) = (1 + 2 c - c^2 + eps^2)/2, so the value is D_1/c times c/(1 + c (2 - c) + eps^2):
    beyond the golden ratio, c^2 - c - 1 > eps^2, the smooth corollary fails at n = 1. `theory.last_iterate.golden`
    proves it up to the golden ratio. In one dimension f = v^2/2, r = 0 (`huber` with a large kink) exceeds the bound
    from the root 1.75488 of c (c - 1)^2 = 1 on, and a search met nothing worse. Raises `InputError` on other c, eps.
    """
    if not (1 < c <= 2 and eps > 0):
        raise InputError(f"the triangle needs 1 < c <= 2 and eps > 0, not c = {c} and eps = {eps}")
    corners = triangle_corners(c, eps)
    a = c * (2 - c)
    k = (eps + c * a / eps) / c
    return _followed(
        [corners[1][0] - a, corners[1][1] + c * a / eps],
        [c],
        lambda v: v[0] ** 2 / 2 + k * v[1],
        lambda v, t: [v[0], k],
        lambda v: Fraction(0),
        lambda u, mu: projected(u, corners),
    )


def slope(etas: Sequence[Fraction]) -> Attained:
    """f = |v|/sum eta, r = 0, u_1 = 1: v_{n+1} = 0 is the minimiser.

    F(average of v_1, ..., v_n) - F(0) = (D_1 + residual)/sum eta, with equality for any step sizes.
    """
    total = sum(etas)
    return _followed(
        [Fraction(1)],
        etas,
        lambda v: abs(v[0]) / total,
        lambda v, t: [Fraction(1) / total],
        lambda v: Fraction(0),
        lambda u, mu: u,
    )


def corner(n: int, eta: Fraction) -> Attained:
    """f = M max_i |v_i| on R^n, M = 1/eta, r = 0, u_1 = (1, ..., 1), and the t-th coordinate vector as g_t/M.

    D_1 = n/2, F(v_1) = ... = F(v_n) = F(average) = M = (D_1 + n eta^2 M^2/2)/(n eta): the convex corollary is met
    with equality at eta = R/(M sqrt(n)), R^2 = 2 D_1 = n, for the best and the average iterate.
    """
    m = 1 / eta
    return _followed(
        [Fraction(1)] * n,
        [eta] * n,
        lambda v: m * max(abs(a) for a in v),
        lambda v, t: [m if i == t else Fraction(0) for i in range(1, n + 1)],
        lambda v: Fraction(0),
        lambda u, mu: u,
    )


def searched(n: int, pull: float, tries: int = 2000, seed: int = 0) -> float:
    """The largest F(v_n) - F(0) met on random f = max(0, <q_1, v>, ..., <q_{n+1}, v>) of two variables, n >= 1.

    eta_t = 1/(2 sqrt(t)), r = a |v|_1 with a >= 0, D_1(0) = 1/2, |g_t + s_t| <= ``pull``: `PARQ` and its sisters
    with R = 1. A random start and ``tries`` random changes, each kept if it does not lower the value; a lower
    bound of the worst case, found without PEPit.
    """
    import numpy as np

    rng = np.random.default_rng(seed)
    etas = [0.5 / math.sqrt(t) for t in range(1, n + 1)]
    mus = advanced(etas)

    def value(p: Any) -> float:
        # p: angle of v_1, a as a share of the pull, then the angles and lengths of the q_i
        a = pull * min(max(p[1], 0.0), 1.0) / math.sqrt(2)
        lengths = (pull - a * math.sqrt(2)) * np.clip(np.abs(p[3::2]), 0, 1)
        q = lengths[:, None] * np.stack([np.cos(p[2::2]), np.sin(p[2::2])], axis=1)
        v = np.array([math.cos(p[0]), math.sin(p[0])])
        u = v + a * np.sign(v)
        for t in range(n - 1):
            products = q @ v
            best = int(np.argmax(products))
            u = u - etas[t] * (q[best] if products[best] > 0 else 0 * v)
            v = np.sign(u) * np.maximum(np.abs(u) - mus[t + 1] * a, 0)
        return float(max(0.0, (q @ v).max()) + a * np.abs(v).sum())

    p = rng.uniform(0, 2 * math.pi, 2 * n + 4)
    p[1], p[3::2] = 0.0, 1.0
    found = value(p)
    for k in range(tries):
        width = 10.0 ** rng.uniform(-4, 0.5)
        other = p + width * rng.standard_normal(len(p)) * (rng.random(len(p)) < 0.4)
        if k % 3:
            other[1] = p[1]
        new = value(other)
        if new >= found:
            p, found = other, new
    return found


__all__ = [
    "FEASIBILITY",
    "GAP_TOLERANCE",
    "HEADER",
    "ITERATES",
    "LARGEST_MU",
    "LARGEST_SUM",
    "LEAST_SUM",
    "MOST",
    "PROOF_TOLERANCE",
    "PULL_STEPS",
    "SETTINGS",
    "SMOOTH_STEPS",
    "STEPS",
    "TIGHT",
    "Attained",
    "Iterate",
    "Model",
    "Plan",
    "Setting",
    "Solved",
    "Units",
    "advanced",
    "box",
    "by_gradients",
    "by_pulls",
    "corner",
    "direct",
    "execute",
    "huber",
    "largest_step",
    "plan",
    "projected",
    "proximal_point",
    "relation",
    "rows",
    "run",
    "searched",
    "setting",
    "slope",
    "solved",
    "triangle",
    "triangle_corners",
    "units",
    "wall",
    "worst_case",
]
