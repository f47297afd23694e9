"""The shape of the project: imports point one way, nothing heavy loads early, public names resolve."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from near_misses import NEAR_MISSES
from truth import TRUTHS

import proxpair

ROOT = Path(__file__).resolve().parent.parent
ORDER = {"theory": 0, "verify": 1, "figures": 2}


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {a.name.split(".")[0] for a in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def wrong_way(package: str, names: set[str]) -> set[str]:
    return {n for n in names & {*ORDER, "proxpair"} if n == "proxpair" or ORDER[n] > ORDER[package]}


@pytest.mark.parametrize("package", ORDER)
def test_imports_point_one_way(package: str) -> None:
    files = sorted((ROOT / package).glob("**/*.py"))
    assert files
    for path in files:
        assert not wrong_way(package, imported(path)), path


def test_a_wrong_import_would_be_seen() -> None:
    assert wrong_way("theory", {"verify"}) == {"verify"}
    assert wrong_way("verify", {"proxpair", "theory"}) == {"proxpair"}


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    return done.stdout.strip()


def test_the_command_line_loads_nothing_heavy() -> None:
    heavy = "{'numpy', 'sympy', 'torch', 'matplotlib', 'scipy', 'sklearn', 'flint', 'joblib'}"
    code = f"import sys, proxpair; proxpair.main(['--version']); print(sorted({heavy} & set(sys.modules)))"
    assert run_python(code).splitlines()[-1] == "[]"


def test_check_loads_neither_torch_nor_matplotlib() -> None:
    code = (
        "import sys, proxpair; proxpair.main(['check', 'BNN', '--json']); "
        "print(sorted({'torch', 'matplotlib', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    assert run_python(code).splitlines()[-1] == "[]"


@pytest.mark.parametrize("name", [n for n in proxpair.__all__ if n != "main"])
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(proxpair, name) is not None
    assert name in dir(proxpair)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="nothing_here"):
        _ = proxpair.nothing_here


def test_every_module_says_what_it_is_for() -> None:
    for path in [*ROOT.glob("*/*.py"), ROOT / "proxpair.py"]:
        if ".venv" in path.parts:
            continue
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), path


def test_the_map_counts_the_pairs_that_there_are() -> None:
    notes = (ROOT / "paper_notes.md").read_text(encoding="utf-8")
    assert f"| {len(TRUTHS)} and {len(NEAR_MISSES)}, all decided as derived |" in notes
    assert f"| {len(NEAR_MISSES)} pairs through `check --batch`" in notes
