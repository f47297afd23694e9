"""What is up to date is left alone, and nothing else is: arguments, sources, versions, files and records are seen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer

import proxpair
from figures import stages
from figures.stages import Stages, contents, sources, versions
from theory.errors import InputError


class Work:
    """A stage that writes two files and counts how often it was done."""

    def __init__(self, out: Path) -> None:
        self.out, self.done = out, 0

    def __call__(self) -> None:
        self.done += 1
        (self.out / "tables").mkdir(exist_ok=True)
        (self.out / "tables" / "a.csv").write_text("a\n1\n")
        (self.out / "tables" / "b.csv").write_text("b\n2\n")


def run(work: Work, seed: int = 0, packages: tuple[str, ...] = ("theory",)) -> bool:
    """As a new process would: with the record read from the disk."""
    return Stages(work.out).run("tables", {"seed": seed}, packages, ("tables/*.csv",), work)


@pytest.fixture
def work(tmp_path: Path) -> Work:
    made = Work(tmp_path)
    assert run(made)
    assert not run(made)
    assert made.done == 1
    return made


def _delete(out: Path) -> None:
    (out / "tables" / "a.csv").unlink()


def _alter(out: Path) -> None:
    (out / "tables" / "a.csv").write_text("a\n2\n")


def _add(out: Path) -> None:
    (out / "tables" / "c.csv").write_text("c\n")


def _rename(out: Path) -> None:
    (out / "tables" / "a.csv").rename(out / "tables" / "z.csv")


def _forget(out: Path) -> None:
    (out / ".stages.json").unlink()


def _garble(out: Path) -> None:
    (out / ".stages.json").write_bytes(b"\xff{")


def _other(out: Path) -> None:
    (out / ".stages.json").write_text("[1]")


def _forge(out: Path) -> None:
    record = json.loads((out / ".stages.json").read_text())
    record["tables"]["files"]["tables/a.csv"] = "0" * 64
    (out / ".stages.json").write_text(json.dumps(record))


def _deep(out: Path) -> None:
    (out / ".stages.json").write_text("[" * 10_000)


@pytest.mark.parametrize("harm", [_delete, _alter, _add, _rename, _forget, _garble, _other, _forge, _deep])
def test_a_changed_folder_is_made_again(work: Work, harm: Callable[[Path], None]) -> None:
    harm(work.out)
    assert run(work)
    assert not run(work)
    assert work.done == 2


def test_files_that_are_none_of_its_own_do_not_count(work: Work) -> None:
    (work.out / "tables" / "d.txt").write_text("d")
    (work.out / "tables" / ".a.csv.tmp.csv").write_text("half")
    (work.out / "e.csv").write_text("e")
    assert not run(work)


def test_arguments_count(work: Work) -> None:
    assert run(work, seed=1)
    assert run(work, seed=0)
    assert run(work, packages=("theory", "verify"))


def test_versions_count(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "versions", lambda: {**versions(), "numpy": "0"})
    assert run(work)


def test_sources_count(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "sources", lambda package: "0")
    assert run(work)


@pytest.mark.parametrize(
    "change",
    [
        lambda p: (p / "one.py").write_text("x = 2\n"),
        lambda p: (p / "deep" / "two.py").write_text("y = 2\n"),
        lambda p: (p / "three.py").write_text(""),
        lambda p: (p / "deep" / "two.py").rename(p / "deep" / "four.py"),
        lambda p: (p / "prepared.json").write_text("{}"),
    ],
)
def test_every_source_file_is_in_the_digest(
    change: Callable[[Path], Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "a_package_of_two_files"
    (package / "deep").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    (package / "one.py").write_text("x = 1\n")
    (package / "deep" / "two.py").write_text("y = 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    digest = sources.__wrapped__
    before = digest(package.name)
    (package / "notes.txt").write_text("none of it")
    assert digest(package.name) == before
    change(package)
    assert digest(package.name) != before


def test_an_interrupted_stage_is_done_again(work: Work) -> None:
    def half() -> None:
        _alter(work.out)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Stages(work.out).run("tables", {"seed": 1}, ("theory",), ("tables/*.csv",), half)
    assert run(work)  # the files are no longer those of its record
    assert work.done == 2


def test_a_stage_that_writes_nothing_is_never_up_to_date(tmp_path: Path) -> None:
    done: list[int] = []
    for _ in range(2):
        assert Stages(tmp_path).run("none", {}, (), ("*.csv",), lambda: done.append(1))
    assert len(done) == 2


def test_patterns_are_taken_and_left(tmp_path: Path) -> None:
    for name in ("a.csv", "b.csv", "c.txt"):
        (tmp_path / name).write_text(name)
    assert list(contents(tmp_path, ("*.csv", "*.txt"), ("b.*",))) == ["a.csv", "c.txt"]


def keys_of_the_main_job(out: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What each stage of `figures.paper.make` is given, without any work."""
    from rich.progress import Progress

    from figures import paper

    found: dict[str, Any] = {}

    def seen(_: Stages, name: str, given: dict[str, Any], *rest: Any, **more: Any) -> bool:
        found[name] = given
        return False

    with monkeypatch.context() as patched:
        patched.setattr(Stages, "run", seen)
        (out / "catalogue.json").write_text("[]")
        (out / "synthesized.json").write_text("[]")
        paper.make(out, 0, 5, 1, 1, Progress(disable=True))
    return found


def test_the_main_job_sees_its_own_code_and_the_benchmarks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from figures import data, speed

    out, copies = tmp_path / "out", tmp_path / "benchmarks"
    out.mkdir()
    copies.mkdir()
    for name in speed.FILES:
        (copies / Path(name).name).write_bytes((data.BENCHMARKS / Path(name).name).read_bytes())
    before = keys_of_the_main_job(out, monkeypatch)
    assert len(before) == 8
    monkeypatch.setattr(data, "BENCHMARKS", copies)
    assert keys_of_the_main_job(out, monkeypatch) == before
    (copies / "step-cpu.json").write_text("{}")
    after = keys_of_the_main_job(out, monkeypatch)
    assert {name for name in before if before[name] != after[name]} == {"figures"}
    assert {one["job"] for one in before.values()} == {stages.modules("paper", "parts")}
    monkeypatch.setattr(stages, "modules", lambda *names: " ".join(names))
    assert {one["job"] for one in keys_of_the_main_job(out, monkeypatch).values()} == {"paper parts"}


def test_every_module_that_is_named_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("a", "b"):
        (tmp_path / f"{name}.py").write_text("x = 1\n")
    monkeypatch.setattr(stages, "__file__", str(tmp_path / "stages.py"))
    digest = stages.modules.__wrapped__
    before = digest("a", "b")
    assert digest("a") != before
    (tmp_path / "b.py").write_text("x = 2\n")
    assert digest("a", "b") != before


def test_a_folder_to_write_to_is_expected_before_any_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.progress import Progress

    from figures import paper

    monkeypatch.setattr(Stages, "run", lambda *_, **__: pytest.fail("a stage was begun"))
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "out", Path("a" * 300)):
        with pytest.raises(InputError):
            paper.make(out, 0, 5, 1, 1, Progress(disable=True))
    monkeypatch.setattr(os, "access", lambda path, _: path != tmp_path)
    with pytest.raises(InputError, match="read-only"):
        paper.make(tmp_path / "new", 0, 5, 1, 1, Progress(disable=True))
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_every_command_asks_for_a_folder_to_write_to_before_any_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("mine")
    group: Any = typer.main.get_command(proxpair._application())
    takes = {name for name, command in group.commands.items() if any("--out" in p.opts for p in command.params)}
    assert {"converge", "train", "hypotheses", "transforms", "worst-case", "theorems", "networks", "report"} <= takes
    for name in takes - {"catalogue"}:  # there it is for one page, which is quickly made
        assert proxpair.main([name, "--out", str(tmp_path / "file" / "x")]) == 2, name
        said = capsys.readouterr().err
        assert said == f"proxpair: --out: a folder was expected for the results, but {tmp_path / 'file'} is none\n"


def test_the_versions_name_what_the_results_hang_on() -> None:
    assert {"python", "numpy", "sympy", "torch", "matplotlib", "pillow", "fonttools", "kiwisolver"} <= set(versions())
    assert "absent" not in versions().values()
