"""Prepared pairs: ties that are levels, hardening, what a ledger gets, and pairs that travel as JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sympy as sp
from hypothesis import given
from hypothesis import strategies as st

from theory import trees
from theory.catalogue import CATALOGUE, PROX_LIBRARY, TRANSFORM_LIBRARY
from theory.errors import InputError, Undecided
from theory.exact import X, to_float
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair
from verify import prepared
from verify.experiments import METHODS
from verify.ledger import on_floats
from verify.lowering import lower
from verify.prepared import Prepared, prepare

ROOT = Path(__file__).resolve().parent.parent
ENDLESS = {"BiPer": "infinitely many breakpoints", "BiPer-soft": "too often"}
NAMES = [n for n in CATALOGUE if n not in ENDLESS]


@pytest.mark.parametrize("name", NAMES)
def test_every_pair_of_the_catalogue_hardens_to_the_nearest_level(name: str) -> None:
    p = prepare(name)
    levels = np.array([to_float(q) for q in p.levels])
    assert np.all(np.diff(levels) > 0)
    marks = np.array([to_float(b) for b in (*p.forward.breaks, *p.hard.breaks)])
    x = np.concatenate(
        [np.linspace(-3, 3, 2001), marks, np.nextafter(marks, 9), np.nextafter(marks, -9), [-0.0, 1e300]]
    )
    hard, soft = lower(p.hard)(x), lower(p.forward)(x)
    assert set(hard) <= set(levels)
    distance = np.abs(soft[:, None] - levels)
    # within rounding of a midpoint either neighbour is nearest; at an exact tie the larger one is taken
    assert np.all(np.abs(hard - soft) <= distance.min(axis=1) + 1e-12)
    if p.staircase:
        assert np.array_equal(hard, soft)


@pytest.mark.parametrize("name", ENDLESS)
def test_endless_pairs_are_refused(name: str) -> None:
    with pytest.raises((InputError, Undecided), match=ENDLESS[name]):
        _ = prepare(name).hard


def test_a_tie_that_is_no_level_becomes_the_level_from_the_right() -> None:
    sign = PiecewiseMap.build((0,), (-1, 1), (0,))
    assert prepared.resolved(sign).values == (1,)
    kept = PiecewiseMap.build((0, 1), (-1, 0, 1), (-1, 1))
    assert prepared.resolved(kept) == kept
    hole = PiecewiseMap.build((0,), (X, X), (None,))
    assert prepared.resolved(hole).values == (0,)
    assert prepare("BC").forward.values == (1,)
    assert prepare("BC").pair.forward.values == (0,)


def test_the_ledger_gets_a_minimiser_with_the_decomposition() -> None:
    for name in NAMES:
        p = prepare(name)
        parts = [p.prox, p.regularizer, p.transform, p.slope]
        assert all(m is None for m in parts) == bool(p.note.startswith("no ledger"))
        if parts[0] is None or p.prox is None or p.transform is None or p.regularizer is None:
            continue
        x = np.linspace(-3, 3, 601)[1::2]
        v = lower(p.prox)(x)
        assert np.all(np.isfinite(lower(on_floats(p.regularizer))(v))), name
        away = np.all(np.abs(x[:, None] - [[*map(to_float, p.forward.breaks), 99.0]]) > 1e-9, axis=1)
        assert np.allclose(lower(p.transform)(v)[away], lower(p.forward)(x)[away], atol=1e-12), name


def test_an_unprincipled_pair_says_so_with_its_witness() -> None:
    warning = prepare("BNN+").warning
    assert "BNN+ is unprincipled" in warning
    assert "B(-1/2) != B(-1/4)" in warning
    assert prepare("BNN").warning == "" == prepare("BNN++", beta=7).warning


def test_a_negative_backward_is_known_exactly() -> None:
    assert prepare("BNN++").negative
    assert not any(prepare(n).negative for n in ("FP", "BC", "PC", "BNN", "ApproxSign"))
    dip = QuantizerPair(PiecewiseMap.of(X), PiecewiseMap.build((0,), (1, 1), (-1,)))
    assert prepare(dip).negative  # at one point only


def test_levels_can_be_given_and_are_checked() -> None:
    p = prepare("FP", levels=[1, -1, 0, sp.Rational(1, 2)])
    assert p.levels == (-1, 0, sp.Rational(1, 2), 1)
    assert list(lower(p.hard)(np.array([-0.5, -0.51, 0.25, 0.74, 0.75, -7.0]))) == [0, -1, 0.5, 0.5, 1, -1]
    for wrong in ([1], [1, 1], []):
        with pytest.raises(InputError, match="two or more different"):
            prepare("FP", levels=wrong)
    with pytest.raises(InputError, match="exact"):
        prepare("FP", levels=[0.5, 1])


def test_default_levels_are_constants_then_limits_then_signs() -> None:
    assert prepare("tanh(x) ; 1").levels == (-1, 1)
    assert prepare("sigmoid(x) ; 1").levels == (0, 1)
    assert prepare("x ; 1").levels == (-1, 1)
    assert prepare("clip(x, -2, 3) ; 1").levels == (-2, 3)


@pytest.mark.parametrize(
    ("pair", "parameters", "message"),
    [
        (3, {}, "a pair was expected"),
        (None, {}, "a pair was expected"),
        ("BMM", {}, "BMM"),
        ("BC", {"beta": 1}, "unknown parameter 'beta'"),
        ("x ; 1", {"beta": 1}, "given as expressions"),
        ("x ; y", {}, "y"),
        (QuantizerPair(PiecewiseMap.of(X), PiecewiseMap.of(1)), {"beta": 1}, "given as maps"),
        (Path("nowhere.json"), {}, "nowhere.json"),
        (Path("nowhere.json"), {"beta": 1}, "parameters and levels already"),
        ("BNN++", {"beta": 0.5}, "exact"),
    ],
)
def test_bad_pairs_get_one_sentence(pair: Any, parameters: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        prepare(pair, **parameters)


# --------------------------------------------------------------------------- trees and files


def test_the_shipped_pairs_are_those_of_the_catalogue() -> None:
    assert prepared._SHIPPED.read_bytes() == prepared.catalogue_json(), "write it anew: make prepared"
    assert list(prepared.shipped()) == NAMES


def same(a: Prepared, b: Prepared) -> list[str]:
    names = [f.name for f in fields(a) if f.name not in ("pair", "verdict", "known")]
    return [n for n in (*names, "hard", "negative") if getattr(a, n) != getattr(b, n)]


@pytest.mark.parametrize("name", NAMES)
def test_a_prepared_pair_comes_back_from_its_file(name: str, tmp_path: Path) -> None:
    p = prepare(name)
    path = prepared.save_prepared(p, tmp_path / "pair.json")
    back = prepare(path)
    assert same(p, back) == []
    assert (back.pair, back.warning) == (p.pair, p.warning)
    found = json.loads(path.read_text())
    found["maps"]["forward"]["breaks"] = [*found["maps"]["forward"]["breaks"], "1000"]
    with pytest.raises(InputError, match="one expression per piece"):
        prepared.from_json(found)  # a map with a piece too few is no map


def test_a_changed_file_is_a_changed_pair() -> None:
    found = prepared.to_json(prepare("BC"))
    found["maps"]["forward"]["values"] = ["-1"]
    assert same(prepared.from_json(found), prepare("BC")) == ["forward"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"format": "proxpair prepared pair, version 2"}',
        '{"format": "proxpair prepared pair, version 1"}',
    ],
)
def test_a_foreign_file_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "pair.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"pair\.json: "):
        prepare(path)


@pytest.mark.parametrize(
    "tree",
    [1, [], ["add"], ["eval", "x"], "y", "1/0", "1e5", ["exp", "x", "x", "x"], [["x"]], "__import__", None, "9" * 5000],
)
def test_only_listed_heads_are_read(tree: Any) -> None:
    with pytest.raises(InputError):
        trees.expression_of(tree)
    deep: Any = "x"
    for _ in range(300):
        deep = ["tanh", deep]
    with pytest.raises(InputError):
        trees.expression_of(deep)


def test_every_library_map_comes_back_from_its_tree() -> None:
    for entry in (*PROX_LIBRARY.values(), *TRANSFORM_LIBRARY.values()):
        m = entry.map()
        assert trees.map_of(json.loads(json.dumps(trees.map_tree(m)))) == m
    with pytest.raises(InputError, match="cannot be written"):
        trees.tree_of(sp.gamma(X))


@given(
    st.recursive(st.sampled_from(["x", "1/3", "-2", "pi"]), lambda t: st.tuples(st.sampled_from(["add", "mul"]), t, t))
)
def test_trees_come_back_as_they_were(tree: Any) -> None:
    def lists(t: Any) -> Any:
        return [lists(a) for a in t] if isinstance(t, tuple) else t

    e = trees.expression_of(lists(tree))
    assert trees.tree_of(e) == lists(tree)


def test_training_needs_no_python_flint(tmp_path: Path) -> None:
    (tmp_path / "flint").mkdir()
    (tmp_path / "flint" / "__init__.py").write_text('raise ImportError("not here")')
    code = (
        "import torch\n"
        "from theory.errors import InputError\n"
        "from verify.lowering import lower\n"
        "from verify.prepared import prepare\n"
        "for name in ('BC', 'PC', 'BNN++'):\n"
        "    p = prepare(name)\n"
        "    print(lower(p.forward, 'torch')(torch.tensor([-0.5, 0.0, 2.0])).tolist())\n"
        "import proxpair\n"
        "torch.set_num_threads(1)\n"
        "for form in (0, 1):\n"
        "    for pair in ('BC', 'PC', 'BNN++'):\n"
        "        net = torch.nn.Linear(9, 4)\n"
        "        if form: proxpair.binarize(net, pair, skip='none', scale='channel')\n"
        "        optimizer = torch.optim.SGD(net.parameters(), lr=0.1)\n"
        "        source = (net, optimizer) if form else proxpair.attach(optimizer, pair)\n"
        "        ledger = proxpair.TrainingLedger(source)\n"
        "        for _ in range(3):\n"
        "            optimizer.zero_grad()\n"
        "            net(torch.ones(2, 9)).square().sum().backward()\n"
        "            optimizer.step()\n"
        "        assert ledger.now()[-1]['closure_error'] < 1e-4\n"
        "        if form: proxpair.harden(net)\n"
        "try:\n    prepare('PC', horizontal=0)\nexcept InputError as e:\n    print(e)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": f"{tmp_path}:{ROOT}"},
    )
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "[-1.0, 1.0, 1.0]"
    assert "python-flint" in lines[-1]


def test_a_synthesized_pair_keeps_what_it_was_made_from() -> None:
    """The decision finds another P of the same pair, whose range is another for each width."""
    made = [METHODS["cubic-gap"].prepared(k, 8) for k in (2, 8)]
    ends = [p.prox(sp.Integer(5)) for p in made if p.prox is not None]
    assert ends == [1, 1]
    for p in made:
        assert p.transform is not None
        assert p.prox is not None
        assert p.transform.compose(p.prox).agrees(p.forward)
    decided = [prepare(p.pair, (-1, 1)) for p in made]
    assert len({p.prox(sp.Integer(5)) for p in decided if p.prox is not None} - {1}) == 2
