"""The documents as the tests read them: examples that are run, links, commands, make targets and Python names.

An example is a fenced block. `console`: lines `$ proxpair ...` (also `$ ls DIR`, `$ head -n K FILE`), each followed by
what it prints; `pycon`: a session of Python; `python` followed by `text`: a script and what it prints. In an expected
output the line `...` stands for any lines; a script's line `correct: N of M` may have another N nearby.
"""

from __future__ import annotations

import contextlib
import doctest
import io
import re
import shlex
import sys
from pathlib import Path

import proxpair

ROOT = Path(__file__).resolve().parent.parent
TUTORIALS = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("**/*.md")])
"""Every Markdown document of the repository."""

SLACK = 12
"""How far the count N of a line `correct: N of M` may be off: a float32 run differs between processors."""

_COUNT = re.compile(r"(?<=^correct: )\d+(?= of \d+$)", re.M)
_FENCE = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```$", re.S | re.M)


def blocks(text: str, *languages: str) -> list[tuple[str, str]]:
    """(language, body) of the fenced blocks in order; of the given languages only, if any are given."""
    found = [(m[1], m[2]) for m in _FENCE.finditer(text)]
    return [(name, body) for name, body in found if not languages or name in languages]


def console(body: str) -> list[tuple[str, str]]:
    """(command, expected output) of every line that begins with `$ `."""
    parts = re.split(r"^\$ ", body, flags=re.M)[1:]
    return [(command, output.rstrip()) for command, _, output in (part.partition("\n") for part in parts)]


def run(command: str, folder: Path) -> str:
    """What a command of a console block prints, run in the folder."""
    words = shlex.split(command)
    out, errors = io.StringIO(), io.StringIO()
    with contextlib.chdir(folder), contextlib.redirect_stdout(out), contextlib.redirect_stderr(errors):
        if words[0] == "proxpair":
            proxpair.main(words[1:])
        elif words[0] == "ls" and len(words) == 2:
            print("\n".join(sorted(p.name for p in Path(words[1]).iterdir() if not p.name.startswith("."))))
        elif words[:2] == ["head", "-n"] and len(words) == 4:
            print("\n".join(Path(words[3]).read_text(encoding="utf-8").split("\n")[: int(words[2])]))
        else:
            raise ValueError(f"a document shows the command {command!r}, which the tests cannot run")
    # of what a person sees beside the output, the sentence about bad input; progress bars come and go
    said = [line for line in errors.getvalue().split("\n") if line.startswith("proxpair: ")]
    return "\n".join([out.getvalue().rstrip(), *said]).strip("\n")


def same(expected: str, printed: str) -> bool:
    """Whether an output is the expected one, in which a line `...` stands for any lines."""
    parts = [re.escape(line) if line != "..." else None for line in expected.split("\n")]
    pattern = "".join(r"(?:[^\n]*\n)*" if part is None else part + r"\n" for part in parts)
    return re.fullmatch(pattern, printed + "\n") is not None


def close(expected: str, printed: str) -> bool:
    """`same`, except that the counts of right answers may be `SLACK` off, which no other number may."""
    shown, got = ([int(n) for n in _COUNT.findall(text)] for text in (expected, printed))
    near = len(shown) == len(got) and all(abs(a - b) <= SLACK for a, b in zip(shown, got, strict=True))
    return near and same(_COUNT.sub("N", expected), _COUNT.sub("N", printed))


def session(body: str, names: dict[str, object], where: str) -> str:
    """Run a `pycon` block; the failures that doctest reports, empty if there are none. ``names`` are kept."""
    case = doctest.DocTestParser().get_doctest(body, names, where, where, 0)
    if not case.examples:
        return "no examples"
    report: list[str] = []
    doctest.DocTestRunner(verbose=False, optionflags=doctest.ELLIPSIS).run(case, out=report.append, clear_globs=False)
    names.update(case.globs)
    return "".join(report)


def script(body: str, names: dict[str, object], where: str) -> str:
    """What a `python` block prints. ``names`` are kept."""
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(compile(body, where, "exec"), names)
    return out.getvalue()


def wrong(text: str, folder: Path, where: str) -> list[str]:
    """What the examples of a document show and the programs do not print; all of them share one folder."""
    found: list[str] = []
    names: dict[str, object] = {}
    shown = blocks(text)
    with contextlib.chdir(folder):
        for i, (language, body) in enumerate(shown):
            if language == "console":
                found += [f"$ {c}: {p}" for c, e in console(body) if not same(e, p := run(c, folder))]
            elif language == "pycon":
                found += [problem] if (problem := session(body, names, where)) else []
            elif language == "python":
                printed = script(body, names, where)
                expected = shown[i + 1][1] if shown[i + 1 : i + 2] and shown[i + 1][0] == "text" else ""
                found += [] if close(expected.rstrip(), printed.rstrip()) else [f"{body}: {printed}"]
    return found


def filled(text: str, folder: Path, where: str) -> str:
    """The document with the outputs that its console blocks have today; where `...` stands, nothing is changed."""
    names: dict[str, object] = {}

    def block(match: re.Match[str]) -> str:
        if match[1] in ("pycon", "python"):
            (session if match[1] == "pycon" else script)(match[2], names, where)
        if match[1] != "console":
            return match[0]
        lines = []
        for command, expected in console(match[2]):
            printed = run(command, folder)
            kept = expected if "..." in expected.split("\n") and same(expected, printed) else printed
            lines += [f"$ {command}", *([kept] if kept else [])]
        return "```console\n" + "\n".join(lines) + "\n```"

    with contextlib.chdir(folder):
        return _FENCE.sub(block, text)


if __name__ == "__main__":
    # python tests/documents.py FILE ...: write the outputs of today into the console blocks
    import tempfile

    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as scratch:
            path = Path(name).resolve()
            path.write_text(filled(path.read_text(encoding="utf-8"), Path(scratch), name), encoding="utf-8")
