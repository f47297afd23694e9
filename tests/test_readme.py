"""The README's examples are run, and what they print is what the README shows."""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
from pathlib import Path

import pytest
import torch

import proxpair

README = Path(__file__).resolve().parent.parent / "README.md"
BLOCK = re.compile(r"```console\n(.*?)```", re.S)


def examples(text: str) -> list[list[tuple[str, str]]]:
    """(command, expected output) of every `$ proxpair ...` line, block by block: a block's files are its own."""
    found = []
    for block in BLOCK.findall(text):
        lines = []
        for part in re.split(r"^\$ ", block, flags=re.M)[1:]:
            command, _, output = part.partition("\n")
            if command.startswith("proxpair"):
                lines.append((command, output.rstrip()))
        found.append(lines)
    return [lines for lines in found if lines]


def run(command: str, folder: Path) -> str:
    words = shlex.split(command)[1:]
    if words[0] in {"converge", "hypotheses", "transforms", "worst-case", "theorems", "train", "paper", "figures"}:
        words += ["--out", str(folder)]
    out = io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
        proxpair.main(words)
    return out.getvalue().replace(str(folder), "out").rstrip()


CASES = examples(README.read_text(encoding="utf-8"))


def test_there_is_an_example_for_each_kind_of_user() -> None:
    commands = {shlex.split(c)[1] for block in CASES for c, _ in block}
    assert {"check", "synthesize", "converge"} <= commands


@pytest.mark.parametrize("block", CASES, ids=[block[0][0] for block in CASES])
def test_the_readme_shows_what_the_command_prints(block: list[tuple[str, str]], tmp_path: Path) -> None:
    for command, expected in block:
        assert run(command, tmp_path) == expected


def test_python_examples() -> None:
    blocks = re.findall(r"```pycon\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert blocks
    for block in blocks:
        case = doctest.DocTestParser().get_doctest(block, {}, "README", str(README), 0)
        result = doctest.DocTestRunner().run(case)
        assert result.attempted > 0
        assert result.failed == 0


def test_the_training_scripts_print_what_the_readme_shows() -> None:
    """The numbers of a float32 run differ between processors: a count may be a few off, the levels may not."""
    blocks = re.findall(r"```python\n(.*?)```\n\n```text\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    assert len(blocks) == 2
    names: dict[str, object] = {}
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for script, expected in blocks:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(script, str(README), "exec"), names)
        shown, printed = (re.split(r"(\d+) of", text) for text in (expected, out.getvalue()))
        assert shown[0::2] == printed[0::2]
        assert all(abs(int(a) - int(b)) <= 12 for a, b in zip(shown[1::2], printed[1::2], strict=True))
    torch.set_num_threads(threads)
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


def test_pictures_and_files_that_the_readme_names_exist() -> None:
    text = README.read_text(encoding="utf-8")
    links = [t for t in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in t]
    assert links
    for link in links:
        assert (README.parent / link).exists(), link
