"""Worst cases of ProxConnect with convex f and r, found by PEPit, beside the bounds of MATH.md, section 4.

    v_t = P_r^{mu_t}(u_t),  u_{t+1} = u_t - eta_t g_t,  mu_{t+1} = mu_t + eta_t,  mu_1 = 1,  g_t in df(v_t)

For one class of f and r, n and step sizes, the largest F(iterate) - F(w), F = f + r and w its minimiser, over all
functions of the class, all dimensions and all starts with D_1(w) <= D is a semidefinite program (PEPit writes it,
CLARABEL solves it). Its value is numerical: each row carries the relative gap between the primal and the dual
value, and a gap above `GAP_TOLERANCE` is an error. The relation of a row is ``tight`` (value/bound >= 1 - 1e-4),
``violated`` (above 1 + 1e-4) or ``upper``; nothing here is a proof. Iterates are kept apart: the best of the
values F(v_t), F at the eta-average of the v_t, and the last v_t. The smooth corollary speaks of v_2, ..., v_{n+1}
(n steps), all other statements of v_1, ..., v_n. Settings, with L = 1, D = 1 or M = 1, D = R^2/2, R = 1:

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
`corner`; for r = 0 and a smooth f `huber` gives values that the program does not exceed for n = 1..10. `searched`
looks for bad cases of the last iterate on piecewise-linear functions of two variables, without PEPit.
"""

from __future__ import annotations

import contextlib
import functools
import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
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
MOST = 10
"""Largest n."""
STEPS = 5
"""Largest n of a run that asks for nothing else."""


# --------------------------------------------------------------------------- the programs


@dataclass(frozen=True)
class Model:
    """A performance estimation problem without its objective.

    ``values``: F(v_t) - F(w), one expression for each point; ``average(weights)``: F at the weighted average
    (weights sum to 1); ``pulls``: |g_t + s_t|^2 where the model has them.
    """

    problem: Any
    values: list[Any]
    average: Callable[[Sequence[float]], Any]
    pulls: list[Any]


def advanced(etas: Sequence[Any]) -> list[Any]:
    """mu_1 = 1, mu_2, ...: mu_{t+1} = mu_t + eta_t."""
    mus = [1]
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


def by_gradients(etas: Sequence[float], points: int, distance: float, f: tuple[str, float], r: str) -> Model:
    """The points v_t and the gradients g_t are free vectors, <u_1, .> is a free linear function.

    ``f``: a class of PEPit and its constant; ``r``: convex or indicator. <s_j, .> = <u_1 - sum_{i<j} eta_i g_i -
    v_j, .>/mu_j; w = 0 with f(w) = r(w) = 0 and s_w = -g_w. A smooth f is given as <g_w, .> and a function with
    gradient 0 at w: with an indicator <g_w, .> is a free linear function, with a convex r it is tilted away.
    """
    pepit = _pepit()
    problem, zero, origin = pepit.PEP(), pepit.null_expression, pepit.null_point
    indicator, tilted = r == "indicator", f[0] == "smooth"
    function = _declared(problem, f)
    end = origin if tilted else pepit.Point()
    function.add_point((origin, end, zero))
    vs = [pepit.Point() for _ in range(points)]
    pairs = [function.oracle(v) for v in vs]
    tilt = [_fresh() if tilted and indicator else zero for _ in vs]  # <g_w, v_k>, where it is not in `end`
    mus = advanced(etas)
    moved = [origin]  # u_1 - u_t, but for the tilt
    for eta, (g, _) in zip(etas, pairs, strict=False):
        moved.append(moved[-1] + eta * g)
    start = [_fresh() for _ in vs]  # <u_1, v_k>
    slopes = [
        [(start[k] - (mus[j] - mus[0]) * tilt[k] - (moved[j] + vs[j]) * vs[k]) / mus[j] for k in range(points)]
        for j in range(points)
    ]
    own = [zero if indicator else _fresh() for _ in vs]
    _convex(problem, own, slopes)
    for v, value, linear in zip(vs, own, tilt, strict=True):
        problem.add_constraint(value >= -(end * v) - linear)
    problem.set_initial_condition(start[0] - mus[0] * own[0] - vs[0] ** 2 / 2 <= distance)

    def average(weights: Sequence[float]) -> Any:
        middle = _combined(weights, vs, origin)
        if indicator:
            return function(middle) + _combined(weights, tilt, zero)
        at = _fresh()
        _convex_average(problem, own, slopes, weights, at, zero)
        problem.add_constraint(at >= -(end * middle))
        return function(middle) + at

    return Model(problem, [a + b + c for (_, a), b, c in zip(pairs, own, tilt, strict=True)], average, [])


def by_pulls(etas: Sequence[float], points: int, distance: float, limit: float | None) -> Model:
    """The points v_t and the pulls q_t = g_t + s_t are free vectors, <s_1, .> is a free linear function.

    s_{t+1} = s_t - (v_{t+1} - v_t + eta_t q_t)/mu_{t+1}, g_t = q_t - s_t; ``limit``: the largest |q_t|, if any.
    """
    pepit = _pepit()
    problem, zero = pepit.PEP(), pepit.null_expression
    vs, qs = ([pepit.Point() for _ in range(points)] for _ in range(2))
    mus = advanced(etas)
    shift = [pepit.null_point]  # s_t - s_1
    for t in range(points - 1):
        shift.append(shift[-1] - (vs[t + 1] - vs[t] + etas[t] * qs[t]) / mus[t + 1])
    start = [_fresh() for _ in vs]  # <s_1, v_k>
    slopes = [[start[k] + shift[j] * vs[k] for k in range(points)] for j in range(points)]
    gradients = [[qs[j] * vs[k] - slopes[j][k] for k in range(points)] for j in range(points)]
    parts = [([_fresh() for _ in vs], rows) for rows in (gradients, slopes)]
    for values, rows in parts:
        _convex(problem, values, rows)
        for value in values:
            problem.add_constraint(value >= 0)
    if limit is not None:
        for q in qs:
            problem.add_constraint(q**2 <= limit**2)
    first = parts[1][0][0]
    problem.set_initial_condition(mus[0] * (slopes[0][0] - first) + vs[0] ** 2 / 2 <= distance)

    def average(weights: Sequence[float]) -> Any:
        total = zero
        for values, rows in parts:
            at = _fresh()
            _convex_average(problem, values, rows, weights, at, zero)
            problem.add_constraint(at >= 0)
            total = total + at
        return total

    sums = [a + b for a, b in zip(parts[0][0], parts[1][0], strict=True)]
    return Model(problem, sums, average, [q**2 for q in qs])


def direct(
    etas: Sequence[float], points: int, distance: float, f: tuple[str, float], r: tuple[str, float] | None
) -> Model:
    """PEPit's own classes and points: u_1 and the subgradients s_t of r are vectors. ``r`` None is r = 0."""
    pepit = _pepit()
    problem, zero = pepit.PEP(), pepit.null_expression
    function = _declared(problem, f)
    other = None if r is None else _declared(problem, r)
    end = pepit.null_point if other is None else pepit.Point()
    function.add_point((pepit.null_point, end, zero))
    if other is not None:
        other.add_point((pepit.null_point, -end, zero))
    mus = advanced(etas)
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
            problem.set_initial_condition(-mus[0] * own - v**2 / 2 + v * u <= distance)
        g, value = function.oracle(v)
        vs.append(v)
        values.append(value + own)
        pulls.append((g + s) ** 2)
        if t < len(etas):
            u = u - etas[t] * g

    def average(weights: Sequence[float]) -> Any:
        middle = _combined(weights, vs, pepit.null_point)
        return function(middle) + (zero if other is None else other(middle))

    return Model(problem, values, average, pulls)


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
    """The dual value of a program and the relative distance of the primal value from it."""

    value: float
    gap: float


# the first try is CLARABEL as it comes; the others take shorter or better refined steps
_TRIES: tuple[dict[str, float], ...] = (
    {},
    {"max_step_fraction": 0.9, "max_iter": 500},
    {"equilibrate_enable": False, "max_iter": 500},
    {"static_regularization_constant": 1e-10, "iterative_refinement_max_iter": 50},
    {"tol_gap_abs": 1e-7, "tol_gap_rel": 1e-7, "tol_feas": 1e-7},
)


def solved(make: Callable[[], Any], what: str) -> Solved:
    """Build and solve a PEPit problem. Raises `InputError` if no try closes the gap to `GAP_TOLERANCE`."""
    seen = []
    for options in _TRIES:
        one = _tried(make(), options)
        if one is not None:
            if one.gap <= GAP_TOLERANCE:
                return one
            seen.append(one.gap)
    told = f"its smallest duality gap is {min(seen):.1e}" if seen else "the solver gave no value"
    raise InputError(f"the worst case of {what} is not known: {told}, and {GAP_TOLERANCE:.0e} is the largest allowed")


def _tried(problem: Any, options: dict[str, float]) -> Solved | None:
    import cvxpy

    # "may be inaccurate" and PEPit's print of a large gap: `solved` decides by the gap
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        try:
            dual = problem.solve(wrapper="cvxpy", solver="CLARABEL", verbose=0, **options)
        except (cvxpy.error.SolverError, AssertionError):  # an assertion of PEPit: a value that is not a number
            return None
    if dual is None:
        return None
    dual, primal = float(dual), float(problem.wrapper.prob.value)
    if not (math.isfinite(dual) and math.isfinite(primal)):
        return None
    return Solved(dual, abs(dual - primal) / max(abs(dual), 1e-300))


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

    def make() -> Any:
        m = of.make(etas, n + of.later)
        values = m.values[1:] if of.later else m.values
        residual = sum((e * e / 2 / total) * q for e, q in zip(etas, m.pulls, strict=True)) if of.moved else 0
        if iterate == "best":
            objectives = values
        elif iterate == "last":
            objectives = values[-1:]
        else:
            objectives = [m.average([0.0] * of.later + [e / total for e in etas])]
        for objective in objectives:
            m.problem.set_performance_metric(objective - residual)
        return m.problem

    return solved(make, f"{name}, {iterate} iterate, n = {n}")


def relation(ratio: float) -> str:
    """tight, upper or violated, by the worst case divided by the bound."""
    return "violated" if ratio > 1 + TIGHT else "tight" if ratio >= 1 - TIGHT else "upper"


def largest_step(name: str, iterate: Iterate, n: int, above: float = 2.5, width: float = 1e-4) -> float:
    """The largest c such that the bound D_1/sum eta is not violated for eta = c/L, by bisection on [1, above].

    A numerical observation, within ``width``, beyond the hypothesis c <= 1; for the settings of the smooth
    corollary. For r convex it is the golden ratio at n = 1 and grows with n (conjectured from n = 1..6). ``above``
    itself if the bound is not violated there. Raises `InputError` for another setting.
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
                for iterate in of.iterates:
                    found = worst_case(name, iterate, etas)
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


def _followed(
    start: Numbers,
    etas: Sequence[Fraction],
    f: Callable[[Numbers], Fraction],
    slope: Callable[[Numbers, int], Numbers],
    r: Callable[[Fraction], Fraction],
    prox: Callable[[Fraction, Fraction], Fraction],
) -> Attained:
    """ProxConnect from u_1 = ``start`` in Fractions. ``slope(v, t)``: g_t, t = 1, ..., n; ``prox(u, mu)``.

    ``r`` is asked only where the run goes, where it is finite.
    """
    mus, u, us, vs, residual = advanced(etas), list(start), [], [], Fraction(0)
    for t, mu in enumerate(mus, 1):
        v = [prox(a, mu) for a in u]
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
    and every L. So the smooth corollary is the best possible bound, and a supremum that no function attains.
    """
    a = 1 / x

    def prox(u: Fraction, mu: Fraction) -> Fraction:
        size = min(max(abs(u) - mu * a, Fraction(0)), x)
        return size if u > 0 else -size

    start = [x + advanced(etas)[-1] * a]
    return _followed(start, etas, lambda v: Fraction(0), lambda v, t: [Fraction(0)], lambda v: a * abs(v), prox)


def box(etas: Sequence[Fraction], x: Fraction) -> Attained:
    """f(v) = v/x, r = 0 on [0, x], +oo beyond, x > 0; u_1 = x + sum eta/x. All v_t = x and F(v_t) = 1.

    `wall` with an indicator: D_1(0) = sum eta + x^2/2.
    """

    def prox(u: Fraction, mu: Fraction) -> Fraction:
        return min(max(u, Fraction(0)), x)

    start = [x + sum(etas) / x]
    return _followed(start, etas, lambda v: v[0] / x, lambda v, t: [1 / x], lambda v: Fraction(0), prox)


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
    "GAP_TOLERANCE",
    "HEADER",
    "ITERATES",
    "MOST",
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
    "proximal_point",
    "relation",
    "rows",
    "run",
    "searched",
    "setting",
    "slope",
    "solved",
    "wall",
    "worst_case",
]
