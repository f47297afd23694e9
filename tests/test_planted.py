"""Errors planted in the engine, each caught by name; and the engine against the loop of the textbook.

The identities are algebra and hold for any v_t and g_t, so several of these leave them closed: what else the
experiment checks must tell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from theory.catalogue import CATALOGUE
from theory.parser import parse
from verify import converge, runs, sweep
from verify.lowering import lower
from verify.problems import PROBLEMS, Array, problem
from verify.proxconnect import ProxPath, scheme
from verify.references import objective
from verify.runs import PairSpec, Shard, batch_of, compute, pair_spec, scheme_of, starting_point
from verify.schedules import schedule, step_sizes

STEPS = 60
SOFT = "Piecewise((x + 1/10, x < -1/10), (0, x <= 1/10), (x - 1/10, True)) ; 1"


def textbook(spec: PairSpec, name: str, how_long: int, seed: int = 0) -> dict[str, Any]:
    """u_{T+1}, and F~ at the best, the average and the last of v_1..v_T: one run, one line for each formula."""
    of, how = problem(name), scheme_of(spec)
    value = objective(of, how)
    u, mu = starting_point(of, seed), 1.0
    vs, etas = [], step_sizes(of, schedule("sqrt"), how_long).tolist()
    for eta in etas:
        v = how.prox.at(np.full(1, mu))(u)
        g = how.factor(u, v) * of.gradient(how.transform(v))
        vs.append(v)
        u = u - eta * g
        mu = mu + eta if how.advances else mu
    values = [float(value(v)) for v in vs]
    average = sum(eta * v for eta, v in zip(etas, vs, strict=True)) / sum(etas)
    return {"u": u, "best": min(values), "last": values[-1], "average": float(value(average)), "mu": mu}


def engine(spec: PairSpec, name: str, how_long: int, seeds: tuple[int, ...] = (0, 1)) -> dict[str, Any]:
    """The same of the first seed of a batch, F~ not gaps."""
    shard = Shard((spec,), (name,), ("sqrt", "half"), seeds, how_long)
    under_way = sweep.Sweep(batch_of(shard))
    for _ in range(how_long):
        under_way.step()
    trace = under_way.trace()
    base = under_way._base[0]
    gaps = {field: float(getattr(trace, field)[0] + base) for field in ("best", "last", "average")}
    return {"u": under_way.u[0], "mu": float(trace.mu[0]), **gaps}


def agree(spec: PairSpec, name: str, how_long: int = STEPS) -> bool:
    """Whether the engine and the textbook's loop give the same numbers to 1e-12."""
    wanted, found = textbook(spec, name, how_long), engine(spec, name, how_long)
    for field, x in wanted.items():
        y = found[field]
        if field == "average" and not np.isfinite(x):
            if np.isfinite(y):
                return False
            continue
        if not np.allclose(x, y, rtol=1e-12, atol=1e-12):
            return False
    return True


@pytest.mark.parametrize("name", sorted(CATALOGUE))
def test_the_engine_is_the_loop_of_the_textbook(name: str) -> None:
    if name == "BiPer":  # infinitely many breakpoints: refused
        with pytest.raises(converge.InputError, match="infinitely many breakpoints"):
            scheme_of(pair_spec(name))
        return
    assert agree(pair_spec(name), "quadratic", 30)


@pytest.mark.parametrize("on", sorted(PROBLEMS))
def test_on_every_problem(on: str) -> None:
    assert agree(pair_spec("MD-tanh"), on, 20)
    assert agree(pair_spec("BC"), on, 20)


def test_the_bounds_are_those_of_the_formulas() -> None:
    """D_1(w), the pull and sum eta by one loop, for a fixed mu and an advancing one."""
    for pair, on in (("MD-tanh", "quadratic"), (SOFT, "plane"), ("FP", "diabetes")):
        spec, of, how = pair_spec(pair), problem(on), scheme_of(pair_spec(pair))
        w = runs._reference(spec, on)
        assert how.regularizer is not None
        r = lower(how.regularizer)
        u, mu, pull, total = starting_point(of, 0), 1.0, 0.0, 0.0
        v = how.prox.at(1.0)(u)
        first = float(np.sum(r(w) - r(v) + (w * w - v * v) / 2 - (w - v) * u))
        for eta in step_sizes(of, schedule("half"), STEPS).tolist():
            v = how.prox.at(np.full(1, mu))(u)
            g = of.gradient(v)
            pull += float(np.sum((eta * g + eta * (u - v) / mu) ** 2)) / 2
            u, mu, total = u - eta * g, mu + eta, total + eta
        todo = converge.plan((pair,), (on,), STEPS, schedules=("half",), seeds=1)
        (cell,) = converge.cells(todo, [compute(s) for s in todo.shards])
        bounds = {x.statement.name: float(x.bound[-1]) for x in cell.findings(STEPS)}
        assert np.isclose(bounds["convex"], (first + pull) / total, rtol=1e-10, atol=0)
        assert np.isclose(bounds["smooth"], first / total, rtol=1e-10, atol=0)


# --------------------------------------------------------------------------- planted errors


@pytest.fixture
def fresh() -> Iterator[None]:
    """No scheme or comparator of a mutant stays behind."""
    yield
    runs.scheme_of.cache_clear()
    runs._reference.cache_clear()


def note(tmp_path: Path, pair: str) -> str:
    (line,) = converge.run(tmp_path, 0, STEPS, methods=(pair,), problems=("quadratic",))
    return str(dict(zip(converge.SUMMARY_HEADER, line, strict=True))["note"])


@pytest.mark.parametrize("pair", ["BC", SOFT, "MD-tanh", "PC"])
def test_without_an_error_nothing_is_reported(tmp_path: Path, pair: str) -> None:
    assert "FAILS" not in note(tmp_path, pair)


@pytest.mark.usefixtures("fresh")
def test_planted_wrong_proximal_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest = scheme

    shifted_prox = ProxPath(lower(parse("Piecewise((-1, x < 3/10), (1, True))")))

    def shifted(*given: Any) -> Any:
        return replace(honest(*given), prox=shifted_prox)

    runs.scheme_of.cache_clear()
    monkeypatch.setattr(runs, "scheme", shifted)
    said = note(tmp_path, "BC")
    assert "some D_t is negative" in said
    assert "close" not in said


@pytest.mark.usefixtures("fresh")
@pytest.mark.parametrize("pair", [SOFT, "MD-tanh"])
def test_planted_slightly_wrong_proximal_map(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pair: str) -> None:
    honest = scheme

    def scaled(*given: Any) -> Any:
        how = honest(*given)

        class Path999(ProxPath):
            def at(self, mu: Array | float) -> Any:
                return lambda u: 0.999 * how.prox.at(mu)(u)

        return replace(how, prox=Path999(how.prox.base))

    runs.scheme_of.cache_clear()
    monkeypatch.setattr(runs, "scheme", scaled)
    said = note(tmp_path, pair)
    assert "some D_t is negative" in said
    assert "s_t is no subgradient of r" in said


def test_planted_step_size_off_by_one_index(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    honest = runs.batch_of

    def late(shard: Shard) -> sweep.Batch:
        batch = honest(shard)
        return replace(batch, etas=np.roll(batch.etas, -1, axis=2))

    monkeypatch.setattr(runs, "batch_of", late)
    assert "the step sizes are not those of the schedule" in note(tmp_path, "FP")


def test_planted_step_that_the_ledger_is_not_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The same slip between the step and its account."""
    honest = sweep.Ledger.step

    def told_another(self: Any, eta: Array, *rest: Any) -> None:
        honest(self, eta * (1 + 1e-9), *rest)

    monkeypatch.setattr(sweep.Ledger, "step", told_another)
    assert "a step is not eta_t g_t" in note(tmp_path, "FP")


@pytest.mark.parametrize("always", [True, False])
def test_planted_step_uphill(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, always: bool) -> None:
    """A step of the right length in the wrong direction, at every step or at one of them."""
    honest = sweep.Ledger.step

    def uphill(self: Any, eta: Array, g: Array, *rest: Any) -> None:
        honest(self, eta, -g if always or self.steps == 17 else g, *rest)

    monkeypatch.setattr(sweep.Ledger, "step", uphill)
    assert "a step is not eta_t g_t" in note(tmp_path, "BC")


@pytest.mark.parametrize("pair", [SOFT, "MD-tanh", "PC"])
def test_planted_mu_not_advanced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pair: str) -> None:
    honest = sweep.Sweep.__init__

    def still(self: Any, *given: Any) -> None:
        honest(self, *given)
        self._advances[:] = 0.0

    monkeypatch.setattr(sweep.Sweep, "__init__", still)
    assert "mu_t is not 1 + sum eta" in note(tmp_path, pair)


@pytest.mark.parametrize("pair", [SOFT, "MD-tanh"])
def test_planted_proximal_map_that_does_not_move_with_mu(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, pair: str
) -> None:
    monkeypatch.setattr(ProxPath, "at", lambda self, mu: self.base)
    said = note(tmp_path, pair)
    assert "some D_t is negative" in said
    assert "close" not in said


@pytest.mark.parametrize("pair", ["BC", SOFT, "MD-tanh"])
def test_planted_subgradient_at_the_wrong_point(monkeypatch: pytest.MonkeyPatch, pair: str) -> None:
    """The gradient at the latent point: the identities hold for any g_t, the loop of the textbook tells."""
    spec = pair_spec(pair)
    assert agree(spec, "quadratic")
    monkeypatch.setattr(sweep.Sweep, "_transform", lambda self, v, t: self.u)
    assert not agree(spec, "quadratic")


@pytest.mark.parametrize("pair", ["FP", "MD-tanh"])
@pytest.mark.parametrize(("shown", "instead"), [("last", "average"), ("average", "average_next"), ("best", "last")])
def test_planted_other_iterate(monkeypatch: pytest.MonkeyPatch, pair: str, shown: str, instead: str) -> None:
    """Averaged instead of last iterate, the average off by one index, last instead of best."""
    spec = pair_spec(pair)
    assert agree(spec, "spectrum")
    honest = sweep.Sweep.trace

    def swapped(self: Any) -> Any:
        found = honest(self)
        return replace(found, **{shown: getattr(found, instead)})

    monkeypatch.setattr(sweep.Sweep, "trace", swapped)
    same = shown == "best" and np.allclose(honest_last(spec), textbook(spec, "spectrum", STEPS)["best"])
    assert same or not agree(spec, "spectrum")


def honest_last(spec: PairSpec) -> float:
    return float(textbook(spec, "spectrum", STEPS)["last"])


def test_planted_smooth_bound_with_steps_that_are_too_long(tmp_path: Path) -> None:
    """Beyond 2/L the smooth corollary is not claimed; were it claimed, the runs would violate it."""
    spec = PairSpec("FP")
    shard = Shard((spec,), ("quadratic",), ("beyond",), (0, 1), 40)
    found = compute(shard)
    ratio = found["average_next"][-1] / (found["d_first"][-1, 0] / found["eta_sum"][-1])
    assert (ratio > 1).all()
    todo = converge.plan(("FP",), ("quadratic",), 40, schedules=("beyond", "constant"))
    table = converge.cells(todo, runs.execute(todo.shards, tmp_path))
    claimed = {cell.schedule: {x.statement.name for x in cell.findings(40)} for cell in table}
    assert "smooth" not in claimed["beyond"]
    assert "smooth" in claimed["constant"]
    assert not any(x.violated for cell in table for x in cell.findings(40))
