"""The benchmark of the decision runs, counts right, wrong and missing answers, and asks questions with true answers."""

from __future__ import annotations

import importlib.util
import json
import random
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import sympy as sp
from documents import ROOT
from shortened import first_entries

from theory.exact import X, to_float

FILE = Path(__file__).resolve().parent.parent / "benchmarks" / "decision.py"


def loaded(name: str) -> ModuleType:
    """A file of benchmarks/, which is no package, as a module."""
    spec = importlib.util.spec_from_file_location(f"benchmarks_{name}", FILE.with_name(f"{name}.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def decision() -> ModuleType:
    return loaded("decision")


def test_the_quick_run_prints_json_and_we_are_never_wrong(
    decision: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    decision.main(["--quick", "--json"])
    found = json.loads(capsys.readouterr().out)
    rows = {r["peer"]: r for r in found["rows"]}
    assert set(rows) == set(decision.PEERS)
    assert rows["proxpair"]["wrong"] == 0
    assert rows["proxpair"]["right"] == rows["proxpair"]["asked"] == len(found["questions"])
    for row in rows.values():
        if row["installed"]:
            assert row["right"] + row["wrong"] + row["none"] == row["asked"]
    assert "proxpair" in decision.table(found)


def _yes(q: Any) -> bool:
    return True


def _fails(q: Any) -> bool:
    raise RuntimeError


def _sleeps(q: Any) -> bool:
    time.sleep(60)
    return True


def _other(q: Any) -> bool:
    raise sys.modules["benchmarks_decision"].NotAsked


def _open(q: Any) -> None:
    return None


def test_right_wrong_raising_slow_and_missing_peers_are_told_apart(decision: ModuleType) -> None:
    asked = [q for q in decision.questions() if q.truth][:1] + [q for q in decision.questions() if not q.truth][:1]
    peers = {
        "yes": (_yes, "math"),
        "fails": (_fails, "math"),
        "sleeps": (_sleeps, "math"),
        "other": (_other, "math"),
        "open": (_open, "math"),
        "absent": (_yes, "no_module_of_this_name"),
    }
    found = decision.measure(asked, peers, 0.2)
    count = {r["peer"]: (r["right"], r["wrong"], r["none"]) for r in found["rows"] if r["installed"]}
    assert count == {"yes": (1, 1, 0), "fails": (0, 0, 2), "sleeps": (0, 0, 2), "other": (0, 0, 0), "open": (0, 0, 2)}
    assert found["rows"][-1] == {"peer": "absent", "installed": False}
    text = decision.table(found)
    assert "not installed" in text
    (line,) = decision.wrong(found)
    assert "yes says True" in line


def _values(q: Any, decision: ModuleType) -> list[float]:
    """The expression, or its derivative, at points of the interval; exact rational points, 50 digits."""
    draw = random.Random(0)
    a = -50 if q.a == -sp.oo else q.a
    b = 50 if q.b == sp.oo else q.b
    points = [a + (b - a) * sp.Rational(draw.randint(1, 9999), 10000) for _ in range(40)]
    points += [
        p for p in (sp.Integer(0), sp.Integer(1), sp.Integer(-1), sp.Rational(1, 2), sp.pi, sp.sqrt(2)) if a < p < b
    ]
    points += [sp.Integer(2000)] if q.b == sp.oo else []
    e = q.expr if q.kind == "sign" else sp.diff(q.expr, X)
    return [float(sp.N(e.subs(X, p), 50)) for p in points]


def test_the_answers_by_hand_hold_at_sampled_points(decision: ModuleType) -> None:
    """A second look at the hand-derived answers, by values that no prover made."""
    for q in decision.questions():
        values = _values(q, decision)
        low, high = min(values) < -1e-40, max(values) > 1e-40
        holds = {"sign": not low, "increasing": not low, "monotone": not (low and high), "constant": not (low or high)}
        assert holds[q.kind] == q.truth, q.text()


def test_there_are_questions_of_every_kind_with_both_answers(decision: ModuleType) -> None:
    asked = decision.questions()
    for kind in ("sign", "increasing", "monotone", "constant"):
        assert {q.truth for q in asked if q.kind == kind} == {True, False}
    assert len({q.text() for q in asked}) == len(asked)
    assert all(to_float(q.a) < to_float(q.b) for q in asked)


def test_the_catalogue_is_decided_certified_and_checked(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    module = loaded("catalogue")
    with first_entries(6):
        module.main(["--json"])
        found = json.loads(capsys.readouterr().out)
        assert found["entries"] == 6
        assert 0 < found["median"] <= found["slowest"]["seconds"] <= found["total"]
        module.main([])
        assert "6 entries decided, certified and re-checked in" in capsys.readouterr().out
        entry = module.CATALOGUE["BC"]
        monkeypatch.setitem(module.CATALOGUE, "BC", replace(entry, verdict="unprincipled"))
        with pytest.raises(AssertionError, match="BC: declared unprincipled, decided smooth"):
            module.main([])


def test_the_sweep_benchmark_prints_json_and_batched_and_single_agree(capsys: pytest.CaptureFixture[str]) -> None:
    loaded("sweep").main(["--quick", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert (found["runs"], found["steps"], found["dimension"]) == (40, 100, 100)
    assert found["largest_disagreement"] <= 1e-12
    assert found["largest_closure_error"] <= 1e-12
    assert found["least_divergence"] >= -1e-12
    assert found["batched_seconds"] > 0
    assert found["matrix_products_seconds"] > 0


def told(text: str, readme: str) -> list[str]:
    """What docs/tools.md and the README say otherwise than the stored steps."""
    stored = json.loads((ROOT / "benchmarks" / "results" / "step-cpu.json").read_text(encoding="utf-8"))
    rows = {batch: {row["name"]: row for row in found} for batch, found in stored["batches"].items()}
    names = {
        "BC in place": "BC in place",
        "PC in place": "PC in place",
        "BNN++ in place": "BNN++ in place",
        "BC as a parametrization": "BC as a parametrization",
        "straight-through by hand": "straight-through by hand",
        "torchao's hard quantization, at every step": "torchao ProxHardQuant, period 1",
        "torchao's PARQ map, at every step": "torchao ProxPARQ, period 1",
    }
    wanted = [
        f"| {words} | " + " | ".join(f"{rows[batch][name]['ratio']:.2f}" for batch in ("128", "1024")) + " |"
        for words, name in names.items()
    ]
    extra = [f"{100 * rows[batch]['BC in place, ledger']['extra']:.0f} %" for batch in ("128", "1024")]
    floor = [f"{rows[batch]['BC in place']['floor']:.2f}" for batch in ("128", "1024")]
    wanted += [f"The ledger adds {extra[0]} and {extra[1]}", f"{floor[0]} and {floor[1]} for BC"]
    small = rows["128"]
    ratios = [f"{small[name]['ratio']:.2f}" for name in ("BC in place", "straight-through by hand")]
    in_readme = [f"costs {ratios[0]} times plain SGD's", f"(by hand {ratios[1]})"]
    return [w for w in wanted if w not in " ".join(text.split())] + [
        w for w in in_readme if w not in " ".join(readme.split())
    ]


def test_the_documents_tell_the_stored_times() -> None:
    text = (ROOT / "docs" / "tools.md").read_text(encoding="utf-8")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert told(text, readme) == []
    for old, new in (("1.18", "1.17"), ("6.84", "6.85"), ("34 %", "33 %"), ("1.09 and", "1.1 and")):
        assert len(told(text.replace(old, new, 1), readme)) == 1, old
    assert len(told(text, readme.replace("1.18 times", "1.1 times"))) == 1
