"""The examples of the README and of the tutorials are run, and what they print is what the documents show."""

from __future__ import annotations

import doctest
import shlex
from pathlib import Path

import pytest
from documents import DOCUMENTS, ROOT, SLACK, TUTORIALS, blocks, close, console, run, same, script, session, wrong

import proxpair

README = (ROOT / "README.md").read_text(encoding="utf-8")
CASES = [console(body) for _, body in blocks(README, "console")]


def test_there_is_an_example_for_each_kind_of_user() -> None:
    commands = {shlex.split(c)[1] for block in CASES for c, _ in block}
    assert {"check", "synthesize", "converge"} <= commands


def test_the_readme_stays_short() -> None:
    """What is longer belongs into docs/."""
    assert len(README.splitlines()) <= 200


@pytest.mark.parametrize("block", CASES, ids=[block[0][0] for block in CASES])
def test_the_readme_shows_what_the_command_prints(block: list[tuple[str, str]], tmp_path: Path) -> None:
    """A block's files are its own."""
    for command, expected in block:
        assert same(expected, run(command, tmp_path))


def test_python_examples() -> None:
    sessions = blocks(README, "pycon")
    assert sessions
    assert [session(body, {}, "README") for _, body in sessions] == [""] * len(sessions)


@pytest.mark.usefixtures("one_thread")
def test_the_training_script_prints_what_the_readme_shows() -> None:
    (_, body), (_, expected) = blocks(README, "python", "text")
    names: dict[str, object] = {}
    assert close(expected.rstrip(), script(body, names, "README").rstrip())
    ledger = names["ledger"]
    assert isinstance(ledger, proxpair.TrainingLedger)
    assert "BNN++ (smooth)" in ledger.report()


def test_the_public_module_s_example() -> None:
    result = doctest.testmod(proxpair)
    assert result.attempted > 0
    assert result.failed == 0


def test_a_stale_example_would_be_seen(tmp_path: Path) -> None:
    command, expected = CASES[0][0]
    assert not same(expected.replace("a", "b"), run(command, tmp_path))


def unrun(names: set[str]) -> set[str]:
    """The documents among ``names`` with examples that no test runs."""
    here = {path.relative_to(ROOT).as_posix() for path in TUTORIALS} | {"README.md"}
    return names - here - {"docs/add_a_quantizer.md"}  # its declaration is run by test_docs


def test_every_document_with_examples_is_run() -> None:
    texts = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}
    shown = {name for name, text in texts.items() if blocks(text, "console", "pycon", "python")}
    assert "README.md" in shown
    assert unrun(shown) == set()
    assert unrun(shown | {"docs/tools.md"}) == {"docs/tools.md"}


# --------------------------------------------------------------------------- tutorials


def test_there_are_four_tutorials() -> None:
    assert [path.stem for path in TUTORIALS] == ["check", "reproduce", "synthesize", "train"]
    assert "four tutorials" in README


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


def test_a_count_of_right_answers_may_be_a_few_off_and_nothing_else(tmp_path: Path) -> None:
    right = "correct: 272 of 297\nlevels: [-1.0, 1.0]"
    assert close(right, right)
    assert close(right, right.replace("272", str(272 + SLACK)))
    for old, new in (
        ("272", str(272 + SLACK + 1)),  # too far
        ("297", "298"),
        ("[-1.0", "[-0.5"),  # another level
        ("correct", "right"),  # another text
        ("correct: 272 of 297\n", ""),
        ("1.0]", "1.0]\ncorrect: 272 of 297"),
    ):
        assert not close(right, right.replace(old, new)), new
        assert not close(right.replace(old, new), right), new
    assert not close("levels: 272 of 297", "levels: 271 of 297")  # such lines only
    shown = "```python\nprint('correct: 270 of 297')\nprint([-1.0])\n```\n\n```text\ncorrect: 272 of 297\n[-1.0]\n```\n"
    assert wrong(shown, tmp_path, "-") == []
    assert len(wrong(shown.replace("270", "200"), tmp_path, "-")) == 1
    assert len(wrong(shown.replace("\n[-1.0]", "\n[1.0]"), tmp_path, "-")) == 1
