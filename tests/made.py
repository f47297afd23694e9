"""A long run over random synthesized pairs, in every direction: `python tests/made.py --count 10000 --seed 0`.

Each pair is written as text and fed to `check`: it must be principled with the grade that its T states
(C^1 on the hull: smooth; with kinks: at least lipschitz). Its (T, P, r) must reproduce F and B exactly, and
brute-force minimisation of (w - x)^2/2 + r(w) must reproduce P. `complaints` does all of that for one pair;
`tests/test_synthesis.py` runs a few and hands it mutants.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import sympy as sp
from brute import GRID, SPAN, Objective, disagreement
from certificates import defects
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from pieces import proxes, transforms
from sympy.polys.polyerrors import BasePolynomialError

from theory.analytic import limit_at
from theory.catalogue import PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.checking import check
from theory.deadline import limit
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import X, equal, less, to_float
from theory.maps import PiecewiseMap
from theory.printing import to_text
from theory.synthesis import (
    Synthesized,
    canonical_choices,
    integrate_backward,
    solve_transform,
    synthesize,
)

DIRECTIONS = ("T and P", "F and P", "B and P", "F alone", "B alone")
_SECONDS = 40
_RATES = ("1/2", "1", "2", "3")


@st.composite
def decompositions(draw: Callable[..., Any]) -> tuple[PiecewiseMap, PiecewiseMap]:
    """(T, P): mostly random pieces, now and then a map of the libraries with a random parameter."""
    transform = draw(transforms())[0]
    prox = draw(proxes())
    if draw(st.integers(0, 9)) == 0:
        transform = _drawn(draw, TRANSFORM_LIBRARY, lambda name: name != "SwishSign")
    if draw(st.integers(0, 9)) == 0:
        prox = _drawn(draw, PROX_LIBRARY, lambda _: True)
    return transform, prox


def _drawn(draw: Callable[..., Any], table: Any, wanted: Callable[[str], bool]) -> PiecewiseMap:
    entry = table[draw(st.sampled_from(sorted(name for name in table if wanted(name))))]
    params = {"beta": sp.Rational(draw(st.sampled_from(_RATES)))} if "beta" in entry.params else {}
    drawn: PiecewiseMap = entry.map(**params)
    return drawn


# --------------------------------------------------------------------------- the pairs of one draw


def pairs(transform: PiecewiseMap, prox: PiecewiseMap, outcome: Counter[str]) -> Iterator[tuple[str, Synthesized]]:
    """Pairs in all directions from one (T, P), with the direction; refusals are counted by their reason."""

    def attempt(direction: str, make: Callable[[], Any]) -> Any:
        try:
            with limit(_SECONDS):
                found = make()
        except OutOfTime:
            outcome[f"{direction}: not made within {_SECONDS} s"] += 1
            return None
        except (InputError, Undecided) as reason:
            outcome[f"{direction}: {type(reason).__name__}: {_kind(str(reason))}"] += 1
            return None
        return found

    made = attempt(DIRECTIONS[0], lambda: synthesize(transform, prox))
    if made is None:
        return
    yield DIRECTIONS[0], made
    forward, backward = made.pair.forward, made.pair.backward
    for direction, make in (
        (DIRECTIONS[1], lambda: solve_transform(forward, prox)),
        (DIRECTIONS[2], lambda: integrate_backward(backward, prox, sp.Rational(1, 3))),
        (DIRECTIONS[4], lambda: integrate_backward(backward)),
    ):
        one = attempt(direction, make)
        if one is not None:
            same = one.pair.forward.agrees(forward) if direction == DIRECTIONS[1] else one.pair.backward == backward
            assert same, f"{direction}: the map that was given came back changed"
            yield direction, one
    found = attempt(DIRECTIONS[3], lambda: canonical_choices(forward))
    for one in found[0] if found is not None else ():
        assert one.pair.forward.agrees(forward), "F alone: the map that was given came back changed"
        yield DIRECTIONS[3], one


def _kind(reason: str) -> str:
    """The beginning of a reason, up to its numbers."""
    words = reason.split()
    return " ".join(w for w in words[:9] if not any(c.isdigit() or c in "*/=()" for c in w))


# --------------------------------------------------------------------------- what may be wrong with one pair


def states_smooth(made: Synthesized) -> bool:
    """Whether T is C^1 inside the hull of P's range."""
    transform, prox = made.decomposition.transform, made.decomposition.prox
    assert transform is not None
    assert prox is not None
    lo, hi = limit_at(prox.exprs[0], -sp.oo, 1), limit_at(prox.exprs[-1], sp.oo, -1)
    d = transform.derivative()
    return all(equal(d.left(i), d.right(i)) for i, b in enumerate(transform.breaks) if less(lo, b) and less(b, hi))


def grade_defects(made: Synthesized, forward: str, backward: str) -> list[str]:
    """What `check` says of the texts against the grade that T states, and its own (T, P, r) against F and B."""
    result = check(forward, backward, timeout=20, with_repairs=False, with_theory=False)
    wanted = ("smooth",) if states_smooth(made) else ("smooth", "lipschitz")
    if result.grade not in wanted:
        return [f"{result.grade} ({result.verdict.reason}), where {' or '.join(wanted)} was stated"]
    own = result.verdict.decomposition
    assert own is not None
    return defects(made.pair, own, result.grade == "smooth")


def reproduction_defects(made: Synthesized) -> list[str]:
    """T o P = F and t o P = B as maps, proved; off the jumps of F also at breakpoints; and t a slope of T."""
    pair, d = made.pair, made.decomposition
    assert d.transform is not None
    assert d.slope is not None
    assert d.prox is not None
    found = defects(pair, d, False)
    jumps = [b for i, b in enumerate(pair.forward.breaks) if not equal(pair.forward.left(i), pair.forward.right(i))]
    for name, outer, given_map in (("F", d.transform, pair.forward), ("B", d.slope, pair.backward)):
        back = outer.compose(d.prox)
        if not back.agrees(given_map, at_breaks=False):
            found.append(f"{name} is not reproduced: {back} instead of {given_map}")
        for b in {*back.breaks, *given_map.breaks}:
            if name == "B" and any(equal(b, j) for j in jumps):
                continue  # a tie, which is not judged
            here, there = back(b), given_map(b)
            if here is None or there is None or not equal(here, there):
                found.append(f"{name}({b}) = {there} is not reproduced: {here}")
    return found


def brute_defects(made: Synthesized) -> list[str]:
    """P against brute-force minimisation of (w - x)^2/2 + r(w), for both readings of r on gaps.

    Where P has other pieces than rational lines and parabolas r need not have a closed form; then nothing is minimised.
    """
    prox, r = made.decomposition.prox, made.decomposition.regularizer
    assert prox is not None
    if r.largest is None or r.smallest is None:
        usual = all(e.is_polynomial(X) and sp.Poly(e, X).domain in (sp.ZZ, sp.QQ) for e in prox.exprs)
        usual = usual and all(sp.degree(e, X) <= 2 for e in prox.exprs)
        return ["r has no closed form, but P has rational linear and quadratic pieces only"] if usual else []
    found = []
    points: list[tuple[float, list[float]]] = []
    # the grid is finite: points whose minimiser lies near its end or beyond are left out
    for x in (sp.Rational(-11, 4), sp.Rational(-2, 7), sp.Rational(5, 9), sp.Rational(17, 6)):
        ends = [prox.left(i) for i, b in enumerate(prox.breaks) if equal(b, x)]
        if not ends:
            points.append((to_float(x), [to_float(prox(x))]))
    for i, b in enumerate(prox.breaks):
        points.append((to_float(b), [to_float(prox.left(i)), to_float(prox.right(i))]))
    points = [(x, claimed) for x, claimed in points if max(map(abs, claimed)) < SPAN - 1]
    for reading, filled in ((r.largest, False), (r.smallest, True)):
        objective = Objective(_in_decimals(reading), 1.0)
        # points closer to a breakpoint than rounding in r would hide the cell in which the least value lies
        near = [b + s * 1e-4 for b in objective.breaks for s in (-1, 1)]
        objective.grid = np.unique([*np.linspace(-SPAN, SPAN, GRID), *objective.breaks, *near])
        objective.on_grid = objective.r(objective.grid)
        for x, claimed in points:
            # an isolated point of r's domain and the same value of P may be rounded to neighbouring floats
            snapped = [next((b for b in objective.breaks if abs(b - v) < 1e-13), v) for v in claimed]
            wrong = disagreement(reading, 1.0, x, snapped, filled, objective)
            found += [wrong] if wrong else []
    return found


def _in_decimals(r: PiecewiseMap) -> Any:
    """r with its constants in 25 digits: logarithms of very long integers overflow as floats."""
    exprs = [e if e is sp.oo else e.evalf(25) for e in r.exprs]
    values = [v if v in (None, sp.oo) else v.evalf(25) for v in r.values]
    return SimpleNamespace(breaks=r.breaks, exprs=exprs, values=values)


def complaints(made: Synthesized) -> list[str]:
    """Everything that is wrong with one synthesized pair; empty where all holds."""
    forward, backward = to_text(made.pair.forward), to_text(made.pair.backward)
    return [*grade_defects(made, forward, backward), *reproduction_defects(made), *brute_defects(made)]


# --------------------------------------------------------------------------- the run


def run(
    count: int, number: int, on_pair: Callable[[str], None] = lambda _: None
) -> tuple[Counter[str], list[tuple[str, ...]]]:
    """At least ``count`` pairs from random (T, P): what became of them, and (direction, choice, F, B, P, complaint)."""
    outcome: Counter[str] = Counter()
    wrong: list[tuple[str, ...]] = []
    seen: dict[Any, str] = {}  # the same F, B and P are judged once

    @seed(number)
    @settings(
        max_examples=max(count, 1),
        deadline=None,
        database=None,
        derandomize=False,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(drawn=decompositions())
    def each(drawn: tuple[PiecewiseMap, PiecewiseMap]) -> None:
        if outcome["pairs"] >= count:
            return
        for direction, made in pairs(*drawn, outcome):
            key = (made.pair.forward, made.pair.backward, made.decomposition)
            text = str(key)
            if text in seen:
                outcome["repeated"] += 1
                continue
            seen[text] = direction
            try:
                with limit(_SECONDS):
                    found = complaints(made)
            except OutOfTime:
                outcome[f"{direction}: not judged within {_SECONDS} s"] += 1
                print(f"not judged: {made.pair}, P = {made.decomposition.prox}", file=sys.stderr)
                continue
            except Undecided as reason:  # a map without a text in the grammar cannot be fed to check
                outcome[f"{direction}: not written: {_kind(str(reason))}"] += 1
                continue
            except BasePolynomialError as broken:
                found = [f"{type(broken).__name__}: {broken}"]
            maps = (made.pair.forward, made.pair.backward, made.decomposition.prox)
            wrong.extend((direction, made.choice, *map(str, maps), one) for one in found)
            outcome["pairs"] += 1
            outcome["pairs with r in closed form, minimised"] += made.decomposition.regularizer.largest is not None
            outcome[f"pairs from {direction}"] += 1
            on_pair(direction)

    each()
    return outcome, wrong


def main() -> int:
    """The command line; prints what was made and refused, and every complaint (exit code 1)."""
    reader = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    reader.add_argument("--count", type=int, default=10_000, help="pairs to make and judge")
    reader.add_argument("--seed", type=int, default=0)
    given_options = reader.parse_args()
    start = time.monotonic()

    done = Counter[str]()

    def on_pair(_: str) -> None:
        done["pairs"] += 1
        if done["pairs"] % 250 == 0:
            print(f"{done['pairs']} pairs, {time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)

    outcome, wrong = run(given_options.count, given_options.seed, on_pair)
    for key, n in sorted(outcome.items()):
        print(f"{n:7d}  {key}")
    for complaint in wrong:
        print(*complaint, sep="\n  ")
    print(f"{len(wrong)} complaints; {time.monotonic() - start:.0f} s")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parent))
    sys.exit(main())
