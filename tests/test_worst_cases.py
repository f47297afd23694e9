"""Worst cases: PEPit's values against known ones and explicit functions, and mutants that are seen."""

from __future__ import annotations

import csv
import inspect
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from theory import last_iterate
from theory.errors import InputError
from verify import commands_worst
from verify import worst_cases as wc

F = Fraction


def value(name: str, iterate: wc.Iterate, etas: list[float]) -> float:
    return wc.worst_case(name, iterate, etas).value


def near(a: float, b: float) -> bool:
    return abs(a - b) <= 1e-5 * abs(b)


# --------------------------------------------------------------------------- the smooth corollary


@pytest.mark.parametrize("name", ["smooth", "smooth-indicator"])
@pytest.mark.parametrize("iterate", wc.ITERATES)
def test_the_smooth_bound_is_tight_for_every_iterate(name: str, iterate: wc.Iterate) -> None:
    for etas in ([0.25], [1.0, 1.0], [0.3, 1.0, 0.7]):
        ratio = value(name, iterate, etas) * sum(etas)
        assert wc.relation(ratio) == "tight"
        # the mutants: the bound with half its constant, and with one step too many in the sum
        assert wc.relation(2 * ratio) == "violated"
        assert wc.relation(ratio * (1 + 1 / len(etas))) == "violated"


def test_beyond_one_over_L_the_bound_fails_where_it_fails() -> None:
    assert wc.relation(1.5 * value("smooth", "last", [1.5])) == "tight"
    # for n = 1 `triangle` gives c/(1 + c (2 - c)) between the golden ratio and 2, and the program no more
    for c in (1.75, 2.0):
        assert near(c * value("smooth", "average", [c]), c / (1 + c * (2 - c)))
    assert abs(wc.largest_step("smooth", "last", 1, width=1e-3) - (1 + math.sqrt(5)) / 2) < 2e-3
    assert wc.largest_step("smooth", "last", 1, above=1.5) == 1.5


def test_the_free_function_is_the_closure_of_the_vectors() -> None:
    """PEPit's own classes, u_1 a vector: the supremum is not attained, so its value is below and near."""
    for n in (1, 2):
        m = wc.direct([1.0] * n, n + 1, 1.0, ("smooth", 1.0), ("convex", 0.0))
        m.problem.set_performance_metric(m.values[-1])
        found = wc._tried(m.problem, {})
        assert found is not None
        assert m.units.value == 1
        assert 1 - 2e-3 < found.value * n < 1 + 1e-5


def test_both_models_of_bounded_pulls_agree() -> None:
    """By vectors u_1, s_t of PEPit's classes with |g_t + s_t| <= 1, and by pulls with the tilt taken away."""
    etas = [0.5, 0.5 / math.sqrt(2)]
    m = wc.direct(etas, 2, 0.5, ("convex", 0.0), ("convex", 0.0))
    for pull in m.pulls:
        m.problem.add_constraint(pull <= 1 / m.units.slope**2)
    m.problem.set_performance_metric(m.values[-1])
    found = wc._tried(m.problem, {})
    assert found is not None
    assert near(found.value * m.units.value, value("PARQ", "last", etas))


def test_known_worst_cases_of_gradient_descent() -> None:
    """r = 0: the last value D/(1 + 2 n c) (Drori and Teboulle), the average D/(1 + (n+1) c) (conjectured)."""
    for n, c in ((1, 1.0), (2, 0.5), (3, 1.0)):
        assert near(value("smooth-zero", "last", [c] * n), 1 / (1 + 2 * n * c))
        assert near(value("smooth-zero", "average", [c] * n), 1 / (1 + (n + 1) * c))
        exact = F(c).limit_denominator(4)
        run = wc.huber([exact] * n, 1 / (1 + (n + 1) * exact))
        assert run.averages[1] == run.distance / (1 + (n + 1) * exact)
        assert run.averages[1] < run.distance / (n * exact)
        run = wc.huber([exact] * n, 1 / (1 + 2 * n * exact))
        assert run.values[-1] == run.distance / (1 + 2 * n * exact)
        # the mutant: another kink attains neither
        run = wc.huber([exact] * n, F(1, 2) / (1 + 2 * n * exact))
        assert run.values[-1] < run.distance / (1 + 2 * n * exact)


# --------------------------------------------------------------------------- the convex corollary


@pytest.mark.parametrize("name", ["pull", "lipschitz-indicator", "lipschitz-zero"])
def test_the_convex_bound_is_tight_at_its_best_step(name: str) -> None:
    for n in (1, 3):
        etas = [1 / math.sqrt(n)] * n
        for iterate in ("best", "average"):
            assert near(value(name, iterate, etas), 1 / math.sqrt(n))
        ((_, bound),) = wc.SETTINGS[name].bounds("best", etas)
        assert near(bound, 1 / math.sqrt(n))


def test_away_from_it_the_best_iterate_is_better() -> None:
    etas = [0.5 / math.sqrt(2)] * 2
    ((_, bound),) = wc.SETTINGS["pull"].bounds("best", etas)
    assert wc.relation(value("pull", "best", etas) / bound) == "upper"
    assert wc.relation(2 * value("pull", "best", etas) / bound) == "violated"


@pytest.mark.parametrize("iterate", ["best", "average"])
def test_with_the_residual_subtracted_it_is_tight_for_all_steps(iterate: wc.Iterate) -> None:
    for etas in ([0.2], [0.5, 0.5], [2.0, 2.0]):
        assert near(value("residual", iterate, etas), 0.5 / sum(etas))


def test_a_wrong_proximal_map_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    etas = [0.5, 0.5 / math.sqrt(2)]
    right, smooth = value("PARQ-G+G", "last", etas), value("smooth", "last", [1.0, 1.0])
    with monkeypatch.context() as m:
        m.setattr(wc, "proximal_point", lambda u, mu, s: u - mu * s / 2)  # half way to u
        assert abs(value("PARQ-G+G", "last", etas) - right) > 1e-2 * right
    with monkeypatch.context() as m:  # mu advances by eta_t/2
        m.setattr(wc, "advanced", lambda steps, first: [first + sum(steps[:t]) / 2 for t in range(len(steps) + 1)])
        assert value("smooth", "last", [1.0, 1.0]) > 1.1 * smooth
        assert abs(value("PARQ-G+G", "last", etas) - right) > 1e-2 * right
    with monkeypatch.context() as m:
        m.setattr(
            wc, "advanced", lambda steps, first: [first] * (len(steps) + 1)
        )  # a fixed pair: F = f + r is not bounded
        with pytest.raises(InputError, match="the solver gave no value"):
            value("smooth", "last", [1.0, 1.0])


# --------------------------------------------------------------------------- scaling

SCALES = ((1.0, 1.0), (1e-3, 1.0), (1e3, 1.0), (1.0, 1e-3), (1.0, 1e3))
"""The constant of f and D."""


def last_value(make: Callable[[], wc.Model]) -> float:
    def objective() -> wc.Model:
        m = make()
        m.problem.set_performance_metric(m.values[-1])
        return m

    return wc.solved(objective, "a scaled program").value


def smooth_ratio(L: float, D: float, c: float, r: str, mu: float = 1.0) -> float:
    etas = [c / L] * 3
    return last_value(lambda: wc.by_gradients(etas, 4, D, ("smooth", L), r, mu)) * sum(etas) / D


def pull_ratio(M: float, D: float, mu: float = 1.0) -> float:
    etas = [math.sqrt(D) / M] * 4
    return last_value(lambda: wc.by_pulls(etas, 4, D, M, mu)) / last_iterate.bound(etas, D, M)


def lipschitz_ratio(M: float, D: float, mu: float = 1.0) -> float:
    etas, of = [math.sqrt(D) / M] * 2, ("lipschitz", M)
    return last_value(lambda: wc.direct(etas, 2, D, of, of, mu)) / last_iterate.bound(etas, D, 2 * M)


def test_the_ratios_do_not_depend_on_the_scale() -> None:
    """With mu_1 in the same units; where the bound is tight, and for the smooth corollary, for mu_1 = 1 too."""
    smooth, pull, lipschitz = smooth_ratio(1.0, 1.0, 1.75, "convex"), pull_ratio(1.0, 1.0), lipschitz_ratio(1.0, 1.0)
    assert abs(smooth - 1.15557) < 2e-5
    for constant, D in SCALES[1:]:
        for r in ("convex", "indicator"):
            assert near(smooth_ratio(constant, D, 1.75, r), smooth)
            assert near(smooth_ratio(constant, D, 1.0, r), 1)
        mu = math.sqrt(D) / constant
        assert near(pull_ratio(constant, D, mu), pull)
        assert near(lipschitz_ratio(constant, D, mu), lipschitz)
    # the mutant: mu_1 is not scaled along; then the last value under a pull is another
    assert abs(pull_ratio(1e-3, 1.0) - pull) > 1e-3
    assert near(smooth_ratio(1e3, 1e3, 1.75, "convex"), smooth)


def test_a_wrong_unit_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wc.Units, "curvature", property(lambda u: u.value / u.length))
    assert not near(smooth_ratio(1.0, 1e3, 1.75, "convex"), 1.15557)


def test_a_class_is_not_better_than_its_subclass() -> None:
    """r = 0 and an indicator are convex, G-Lipschitz f and r pull by at most 2 G. The largest step sizes are here."""
    for etas in ([0.01] * 4, [0.5] * 3, [1.0, 0.1], [5.0] * 4, [17.0] * 4):
        larger = value("pull", "last", etas) * (1 + 1e-6)
        assert all(value(name, "last", etas) <= larger for name in ("lipschitz-zero", "lipschitz"))
        assert value("smooth-zero", "last", [e / sum(etas) for e in etas]) <= 1 + 1e-6
        if sum(etas) < 30:  # in the units of PARQ-2G
            assert value("PARQ-G+G", "last", etas) <= value("PARQ-2G", "last", etas) * (1 + 1e-6)


def test_badly_scaled_calls_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for etas in ([1e4] * 4, [1e-3] * 4):
        with pytest.raises(InputError, match="where D_1 and the constant of f are scaled to 1, and only"):
            wc.worst_case("pull", "last", etas)
    with pytest.raises(InputError, match=r"mu_1 is 1e\+05 where"):
        wc.by_pulls([1e-5], 1, 1.0, 1e5)
    # f without a constant is scaled by its steps
    etas = [1e4] * 4
    assert near(value("residual", "best", etas), 0.5 / sum(etas))
    # the mutants: without the refusal the dual proof fails; without that too, the value is below that of a subclass
    monkeypatch.setattr(wc, "LARGEST_SUM", 1e9)
    with pytest.raises(InputError, match=r"its error of the dual proof is \S+ at the least, and 1e-03"):
        wc.worst_case("pull", "last", etas)
    monkeypatch.setattr(wc, "PROOF_TOLERANCE", math.inf)
    found = wc.worst_case("pull", "last", etas)
    assert found.gap <= wc.GAP_TOLERANCE
    assert found.infeasible <= wc.FEASIBILITY
    assert found.value < 0.9 * float(last_iterate.bound(etas, 0.5, 1.0))
    assert found.value < 0.9 * value("lipschitz-zero", "last", etas)


def test_an_infeasible_solution_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    found = wc.worst_case("pull", "last", [1.0, 1.0])
    assert 0 <= found.infeasible <= 1e-7
    assert 0 <= found.unproved <= 1e-5
    assert wc._left("nothing of it", None) == math.inf
    monkeypatch.setattr(wc, "_infeasibility", lambda problem: 1e-3)
    with pytest.raises(InputError, match=r"its infeasibility is 1.0e-03 at the least, and 1e-06 is the largest"):
        wc.worst_case("pull", "last", [1.0, 1.0])


def test_infeasibility_is_measured() -> None:
    """A primal value moved away, or a multiplier of the wrong sign, is seen."""
    m = wc.by_pulls([1.0, 1.0], 2, 0.5, 1.0)
    m.problem.set_performance_metric(m.values[-1])
    assert wc._tried(m.problem, {}) is not None
    before = wc._infeasibility(m.problem)
    program = m.problem.wrapper.prob
    row = next(c for c in program.constraints if type(c).__name__ == "Inequality")
    kept = row.dual_value
    row.dual_variables[0].save_value(kept - kept - 0.25)
    assert before <= 1e-7 < 0.2 < wc._infeasibility(m.problem)
    row.dual_variables[0].save_value(kept)
    m.problem.wrapper.F.save_value(m.problem.wrapper.F.value + 0.5)
    assert wc._infeasibility(m.problem) > 0.1


# --------------------------------------------------------------------------- the last iterate, PARQ


def parq(n: int) -> list[float]:
    return [0.5 / math.sqrt(t) for t in range(1, n + 1)]


def test_the_last_iterate_stays_below_the_derived_bound_and_not_below_its_half() -> None:
    for n in (1, 2, 3):
        for name, pull in (("PARQ", 1.0), ("PARQ-2G", 2.0), ("PARQ-G+G", 2.0)):
            bound = last_iterate.bound(parq(n), 0.5, pull)
            ratio = value(name, "last", parq(n)) / bound
            assert wc.relation(ratio) in ("upper", "tight")
            if name != "PARQ-G+G":
                assert wc.relation(2 * ratio) == "violated"


def test_the_best_weight_of_the_last_step_is_not_violated_and_tight_at_one_step() -> None:
    for name, pull in (("PARQ", 1.0), ("PARQ-2G", 2.0)):
        for n in (1, 2, 3):
            found = value(name, "last", parq(n))
            weights = [10 ** (k / 40) for k in range(-80, 41)]
            best = min(last_iterate.bound(parq(n), 0.5, pull, last=e) for e in weights)
            assert best <= last_iterate.bound(parq(n), 0.5, pull) * (1 + 1e-3)
            assert found <= best * (1 + 1e-6)
            assert n > 1 or near(found, last_iterate.bound(parq(n), 0.5, pull, last=1 / pull))
            # the mutant: half of it does not hold
            assert found > best / 2


def test_what_the_claims_are_worth() -> None:
    claims = (last_iterate.FIRST_CLAIM, last_iterate.SECOND_CLAIM)
    firsts, seconds = ([float(last_iterate.claimed(n, c)) for n in (1, 2)] for c in claims)
    assert all(value("PARQ", "last", parq(n)) < b for n, b in ((1, seconds[0]), (2, seconds[1])))
    assert near(value("PARQ-2G", "last", parq(1)), firsts[0])
    assert wc.relation(value("PARQ-2G", "last", parq(2)) / firsts[1]) == "violated"
    assert wc.relation(value("PARQ-G+G", "last", parq(1)) / seconds[0]) == "violated"
    assert wc.relation(value("PARQ-G+G", "last", parq(2)) / seconds[1]) == "upper"
    for n in (3, 10):
        first, second = (float(last_iterate.claimed(n, c)) for c in claims)
        assert second < value("PARQ-2G", "last", parq(n)) < first
        assert value("PARQ-G+G", "last", parq(n)) < second


def test_the_search_finds_what_pepit_finds_and_no_more() -> None:
    found = wc.searched(2, 2.0, 3000)
    assert found > float(last_iterate.claimed(2, last_iterate.FIRST_CLAIM))
    assert float(last_iterate.wedge()[0]) - 1e-2 < found <= value("PARQ-2G", "last", parq(2)) * (1 + 1e-6)
    for n in (1, 3):
        assert wc.searched(n, 1.0, 500) <= value("PARQ", "last", parq(n)) * (1 + 1e-6)
    assert wc.searched(2, 1.0, 50, seed=3) == wc.searched(2, 1.0, 50, seed=3)


# --------------------------------------------------------------------------- explicit functions, exactly

STEPS = ([F(1)], [F(1, 4)] * 3, [F(3), F(1, 5), F(2), F(1, 7)])


@pytest.mark.parametrize("etas", STEPS, ids=["1", "1/4", "mixed"])
@pytest.mark.parametrize("make", [wc.wall, wc.box])
def test_wall_and_box_come_as_near_to_the_smooth_bound_as_one_likes(make: Any, etas: list[Fraction]) -> None:
    for x in (F(1), F(1, 10), F(1, 1000)):
        run = make(etas, x)
        assert set(run.values) == set(run.averages) == {F(1)}
        assert run.distance == sum(etas) + x * x / 2
        bound = run.distance / sum(etas)
        assert 1 < bound <= 1 + x * x / sum(etas)
    # the mutants: 99/100 of the bound is exceeded; and the bound is not met with equality
    assert F(99, 100) * make(etas, F(1, 1000)).distance / sum(etas) < 1


@pytest.mark.parametrize("c", [F(3, 2), F(8, 5), F(13, 8), F(7, 4), F(2)], ids=str)
def test_triangle_exceeds_the_smooth_bound_beyond_the_golden_ratio(c: Fraction) -> None:
    for eps in (F(1, 2), F(1, 100)):
        run = wc.triangle(c, eps)
        assert run.etas == (c,)
        assert run.values[1] == run.averages[1] == F(1, 2)  # F(v_2) - F(0), with v_2 = P_2
        assert run.distance == (1 + 2 * c - c * c + eps * eps) / 2
        ratio = c * run.values[1] / run.distance
        assert ratio == c / (1 + c * (2 - c) + eps * eps)
        assert (ratio > 1) == (c * c - c - 1 > eps * eps)
        assert run.least == 0
    # c <= golden ratio is what is derived; F_{n+1}/F_n on either side of it
    assert (ratio > 1) == (c > last_iterate.PHI)
    if c == F(7, 4):
        assert abs(float(ratio) - 1.2173) < 1e-4


@pytest.mark.parametrize("c", [F(13, 8), F(7, 4), F(2)], ids=str)
def test_the_points_of_triangle_are_projections(c: Fraction) -> None:
    """<u - p, corner - p> <= 0 at the three corners; u_1 and u_2 from the formulas, not from the run."""
    eps = F(1, 100)
    corners = wc.triangle_corners(c, eps)
    _, one, two = corners
    a = c * (2 - c)
    u = [one[0] - a, one[1] + c * a / eps]

    def is_projection(u: list[Fraction], p: list[Fraction]) -> bool:
        return all(sum((x - y) * (q - y) for x, y, q in zip(u, p, w, strict=True)) <= 0 for w in corners)

    assert wc.projected(u, corners) == one
    assert is_projection(u, one)
    gradient = [one[0], (eps + c * a / eps) / c]
    after = [x - c * g for x, g in zip(u, gradient, strict=True)]
    assert after == two == wc.projected(after, corners)
    assert is_projection(after, two)
    # the mutants: another corner, and a start on the other side of the edge
    assert not is_projection(u, two)
    assert not is_projection([u[0] - 10 * c, u[1]], one)
    inside = [sum(p[i] for p in corners) / 3 for i in range(2)]
    assert wc.projected(inside, corners) == inside
    for beyond in ([F(3), F(5)], [F(-4), F(1, 3)], [F(1, 7), F(-2)], [F(0), F(1)]):
        assert is_projection(beyond, wc.projected(beyond, corners))


def test_in_one_dimension_the_threshold_is_the_root_of_a_cubic() -> None:
    """f = v^2/2, r = 0: c F(v_2)/D_1 = c (c - 1)^2, 1 at 1.75488; a kink never reached."""
    for c, beyond in ((F(17548, 10000), False), (F(17549, 10000), True)):
        run = wc.huber([c], F(2))
        assert c * run.values[-1] / run.distance == c * (c - 1) ** 2
        assert (c * (c - 1) ** 2 > 1) == beyond


@pytest.mark.parametrize("etas", STEPS, ids=["1", "1/4", "mixed"])
def test_slope_attains_the_convex_bound_with_its_residual(etas: list[Fraction]) -> None:
    run = wc.slope(etas)
    assert run.values[-1] == 0
    assert run.averages[0] == (run.distance + run.residual) / sum(etas)
    assert run.averages[0] > (run.distance + run.residual / 2) / sum(etas)
    assert run.averages[0] > (run.distance / 2 + run.residual) / sum(etas)


def test_corner_attains_the_convex_bound_for_best_and_average() -> None:
    for n, eta in ((1, F(1)), (3, F(2, 5)), (10, F(7))):
        run = wc.corner(n, eta)
        bound = (run.distance + run.residual) / (n * eta)
        assert run.residual == n * eta**2 / 2 / eta**2
        assert min(run.values[:n]) == run.averages[0] == bound == 1 / eta


def test_the_explicit_runs_minimise_and_a_wrong_proximal_map_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    etas = [F(1, 4), F(2)]
    runs = [wc.wall(etas, F(1, 3)), wc.box(etas, F(1, 3)), wc.slope(etas), wc.corner(3, F(2)), wc.huber(etas, F(1, 5))]
    runs.append(wc.triangle(F(2), F(1, 7)))
    assert all(run.least == 0 for run in runs)
    # the mutant: r = |v|, whose proximal map is soft thresholding at mu, not the identity
    wrong = wc._followed([F(5)], etas, lambda v: F(0), lambda v, t: [F(0)], abs, lambda u, mu: u)
    assert wrong.least < 0
    monkeypatch.setattr(wc, "projected", lambda u, corners: corners[2])
    assert wc.triangle(F(2), F(1, 7)).least < 0


# --------------------------------------------------------------------------- table, command, refusals


def test_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    done: list[int] = []
    rows = wc.run(tmp_path, 2, done.append, ["lipschitz-zero", "PARQ"])
    assert sum(done) == wc.plan(["lipschitz-zero", "PARQ"], 2).total == 2 * (9 + 1)
    assert capsys.readouterr().out == ""
    with (tmp_path / "convergence" / "worst_cases.csv").open() as file:
        read = list(csv.DictReader(file))
    assert tuple(read[0]) == wc.HEADER
    assert len(read) == len(rows) == 2 * (9 + 4)
    for row in read:
        assert near(float(row["ratio"]), float(row["worst_case"]) / float(row["bound"]))
        assert row["relation"] == wc.relation(float(row["ratio"]))
        assert 0 <= float(row["duality_gap"]) <= wc.GAP_TOLERANCE
        assert row["hypothesis_holds"] == "yes"
        assert row["relation"] != "violated"


def test_steps_beyond_the_hypothesis_are_marked() -> None:
    marks = {text: holds for text, _, holds in wc.SETTINGS["smooth"].sizes(2)}
    assert marks == {"1/(4L)": True, "1/(2L)": True, "1/L": True, "3/(2L)": False, "7/(4L)": False, "2/L": False}


def test_relations() -> None:
    ratios = (1.0, 1 - 9e-5, 1 - 2e-4, 1 + 9e-5, 1 + 2e-4)
    assert [wc.relation(r) for r in ratios] == ["tight", "tight", "upper", "tight", "violated"]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: wc.plan(["rough"]), "unknown setting 'rough'"),
        (lambda: wc.plan([], 0), "from 1 to 10, not 0"),
        (lambda: wc.plan([], 11), "from 1 to 10, not 11"),
        (lambda: wc.worst_case("PARQ", "best", [1.0]), "has no 'best' iterate"),
        (lambda: wc.worst_case("pull", "best", []), "from 1 to 10, not 0"),
        (lambda: wc.worst_case("pull", "best", [-1.0]), "finite number > 0"),
        (lambda: wc.worst_case("pull", "best", [math.inf]), "finite number > 0"),
        (lambda: wc.largest_step("pull", "best", 1), "no setting of the smooth corollary"),
        (lambda: wc.by_pulls([1.0], 1, 0.0, 1.0), "are finite numbers > 0"),
        (lambda: wc.by_gradients([1.0], 1, 1.0, ("smooth", -1.0), "convex"), "are finite numbers > 0"),
        (lambda: wc.triangle(F(9, 4), F(1)), "needs 1 < c <= 2 and eps > 0, not c = 9/4 and eps = 1"),
        (lambda: wc.triangle(F(2), F(0)), "needs 1 < c <= 2 and eps > 0"),
    ],
)
def test_bad_input(call: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        call()


def test_without_pepit_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PEPit", None)
    with pytest.raises(InputError, match="install the extra 'worst'"):
        wc.plan()


def test_an_open_duality_gap_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wc, "GAP_TOLERANCE", 0.0)
    with pytest.raises(InputError, match=r"pull, best iterate, n = 1 is not known: its duality gap is"):
        wc.worst_case("pull", "best", [1.0])


def test_an_unbounded_problem_is_an_error() -> None:
    """Without a limit of the pulls the last value is unbounded."""

    def make() -> wc.Model:
        m = wc.by_pulls([1.0, 1.0], 2, 0.5, None)
        m.problem.set_performance_metric(m.values[-1])
        return m

    with pytest.raises(InputError, match=r"the solver gave no value|duality gap"):
        wc.solved(make, "an unbounded problem")


def test_the_command(tmp_path: Path) -> None:
    app = typer.Typer()
    app.command()(commands_worst.worst_case)
    result = CliRunner().invoke(app, ["--setting", "PARQ-2G", "--steps", "2", "--out", str(tmp_path)])
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert sum(line.startswith("PARQ-2G") for line in lines) == 8
    assert any("2 + 3/2 ln T" in line and line.endswith("violated") for line in lines)
    assert (tmp_path / "convergence" / "worst_cases.csv").is_file()
    bad = CliRunner().invoke(app, ["--steps", "99", "--out", str(tmp_path)])
    assert isinstance(bad.exception, InputError)


def test_the_command_knows_the_default_and_every_setting() -> None:
    parameters = inspect.signature(commands_worst.worst_case, eval_str=True).parameters
    assert parameters["steps"].default == wc.STEPS
    text = parameters["setting"].annotation.__metadata__[0].help
    named = text.split(" (")[0].replace(" or ", ", ").split(", ")
    assert named == list(wc.SETTINGS)
