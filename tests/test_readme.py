"""The examples of the README and of the tutorials are run, and what they print is what the documents show."""

from __future__ import annotations

import doctest
import re
import shlex
from pathlib import Path

import pytest
from documents import ROOT, TUTORIALS, blocks, console, run, same, script, session, wrong

import proxpair

README = (ROOT / "README.md").read_text(encoding="utf-8")
CASES = [console(body) for _, body in blocks(README, "console")]


def test_there_is_an_example_for_each_kind_of_user() -> None:
    commands = {shlex.split(c)[1] for block in CASES for c, _ in block}
    assert {"check", "synthesize", "converge"} <= commands


@pytest.mark.parametrize("block", CASES, ids=[block[0][0] for block in CASES])
def test_the_readme_shows_what_the_command_prints(block: list[tuple[str, str]], tmp_path: Path) -> None:
    """A block's files are its own."""
    for command, expected in block:
        assert run(command, tmp_path) == expected


def test_python_examples() -> None:
    sessions = blocks(README, "pycon")
    assert sessions
    assert [session(body, {}, "README") for _, body in sessions] == [""] * len(sessions)


@pytest.mark.usefixtures("one_thread")
def test_the_training_scripts_print_what_the_readme_shows() -> None:
    """The numbers of a float32 run differ between processors: a count may be a few off, the levels may not."""
    found = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README, re.S)
    assert len(found) == 2
    names: dict[str, object] = {}
    for body, expected in found:
        shown, printed = (re.split(r"(\d+) of", text) for text in (expected, script(body, names, "README")))
        assert shown[0::2] == printed[0::2]
        assert all(abs(int(a) - int(b)) <= 12 for a, b in zip(shown[1::2], printed[1::2], strict=True))
    ledger = names["ledger"]
    assert isinstance(ledger, proxpair.TrainingLedger)
    assert "BNN++ (smooth)" in ledger.report()


def test_the_public_module_s_example() -> None:
    result = doctest.testmod(proxpair)
    assert result.attempted > 0
    assert result.failed == 0


def test_a_stale_example_would_be_seen(tmp_path: Path) -> None:
    command, expected = CASES[0][0]
    assert run(command, tmp_path) != expected.replace("a", "b")


# --------------------------------------------------------------------------- tutorials


def test_there_are_three_tutorials() -> None:
    assert [path.stem for path in TUTORIALS] == ["check", "reproduce", "synthesize"]


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize("path", TUTORIALS, ids=[path.stem for path in TUTORIALS])
def test_a_tutorial_shows_what_its_examples_print(path: Path, tmp_path: Path) -> None:
    assert wrong(path.read_text(encoding="utf-8"), tmp_path, path.name) == []


def test_a_stale_tutorial_would_be_seen(tmp_path: Path) -> None:
    right = (
        "```console\n$ proxpair --version\nproxpair VERSION\n```\n\n```pycon\n>>> x = 1\n>>> x + 1\n2\n```\n\n"
        "```python\nprint(x)\n```\n\n```text\n1\n```\n"
    ).replace("VERSION", proxpair.__version__)
    assert wrong(right, tmp_path, "-") == []
    for old, new in ((proxpair.__version__, "9"), ("\n2\n", "\n3\n"), ("text\n1", "text\n2"), ("text", "sh")):
        assert len(wrong(right.replace(old, new), tmp_path, "-")) == 1, new
    with pytest.raises(ValueError, match="cannot run"):
        wrong("```console\n$ rm -r out\n```\n", tmp_path, "-")


def test_an_ellipsis_stands_for_lines_only() -> None:
    assert same("a\n...\nd", "a\nb\nc\nd")
    assert same("a\n...", "a")
    assert not same("a\n...\nd", "a\nb\nc")
    assert not same("a ...", "a b")
    assert not same("a\nd", "a\nb\nd")
