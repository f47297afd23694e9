"""Trajectories in the plane: the points of the experiment, against a run written out by hand."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from theory.errors import InputError
from verify import plane
from verify.problems import problem
from verify.runs import starting_point


def by_hand(method: str, steps: int, seed: int) -> list[tuple[float, ...]]:
    """BC and FP without the package's maps: v = sign(u) (1 at 0) or u/1, g the gradient, eta_t = 1/(L sqrt(t))."""
    of = problem("plane")
    u, found = starting_point(of, seed), []
    for t in range(1, steps + 2):
        v = np.where(u >= 0, 1.0, -1.0) if method == "BC" else u
        found.append((*u, *v, *v))
        u = u - of.gradient(v) / (of.smoothness * math.sqrt(t))
    return found


@pytest.mark.parametrize("method", ["FP", "BC"])
def test_the_points_are_those_of_the_recursion(method: str) -> None:
    rows = plane.trajectories([method], 25, seed=2)
    assert [(r[0], r[1]) for r in rows] == [(method, t) for t in range(1, 27)]
    points, wanted = np.array([r[2:] for r in rows]), np.array(by_hand(method, 25, 2))
    assert np.allclose(points, wanted, rtol=1e-12, atol=1e-13)
    # the mutant: another start
    assert not np.allclose(points, np.array(by_hand(method, 25, 3)), atol=1e-3)


def test_methods_keep_their_maps() -> None:
    rows = plane.trajectories(steps=30)
    assert list(dict.fromkeys(r[0] for r in rows)) == list(plane.METHODS)
    assert {abs(x) for r in rows if r[0] in ("BC", "BNN") for x in r[6:8]} == {1.0}
    assert all(r[4:6] == r[6:8] for r in rows if r[0] in ("FP", "BC", "PC", "MD-tanh"))
    assert any(r[4:6] != r[6:8] for r in rows if r[0] == "BNN++")
    assert len({r[2:4] for r in rows if r[1] == 1}) == 1


def test_the_file_holds_the_rows(tmp_path: Path) -> None:
    rows = plane.run(tmp_path, ["BC"], 3, 1)
    lines = (tmp_path / "convergence" / "plane.csv").read_text().splitlines()
    assert lines[0] == ",".join(plane.HEADER)
    assert [tuple(map(float, line.split(",")[2:])) for line in lines[1:]] == [r[2:] for r in rows]


@pytest.mark.parametrize(
    ("methods", "steps", "seed", "words"),
    [
        (["none"], 3, 0, "none"),
        ([], 3, 0, "at least one method"),
        (["BC"], 0, 0, "steps"),
        (["BC"], 1001, 0, "steps"),
        (["BC"], 3, -1, "seed"),
    ],
)
def test_bad_input_is_refused(methods: list[str], steps: int, seed: int, words: str) -> None:
    with pytest.raises(InputError, match=words):
        plane.trajectories(methods, steps, seed)
