"""The command line: exit codes, streams, batches, parameters; what is wrong is said in one line."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from shortened import first_entries

import proxpair
from theory import commands
from theory.errors import InputError
from theory.files import csv_text, read_bytes, read_text, write_bytes, write_csv, write_text

ROOT = Path(__file__).resolve().parent.parent
PAIR = ("--forward", "sign(x)", "--backward", "1")
HEAVY = {"joblib", "matplotlib", "numpy", "scipy", "sklearn", "sympy", "torch"}
CLIPPED = "Piecewise((1, Abs(x) <= 1), (0, True))"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process: (exit code, stdout, stderr)."""

    def runner(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        code = proxpair.main(list(arguments))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return runner


def refused(result: tuple[int, str, str], *parts: str) -> None:
    code, out, err = result
    assert code == 2, err
    assert out == ""
    assert err.endswith("\n")
    assert err.count("\n") == 1
    assert err.startswith("proxpair: ")
    for part in parts:
        assert part in err


def worked() -> float:
    """Seconds of work of this process and of its children that ended; waiting for a busy machine is none."""
    return sum(os.times()[:4])


# ---- exit codes of check


@pytest.mark.parametrize(
    ("arguments", "code", "verdict"),
    [
        (("check", "BC"), 0, "smooth"),
        (("check", "bnn"), 0, "lipschitz"),
        (("check", "BNN+"), 1, "unprincipled"),
        (("check", "BNN+", "--param", "beta=2"), 1, "unprincipled"),
        (("check", "BNN++", "--param", "beta=1/3"), 0, "smooth"),
        (("check", *PAIR), 0, "smooth"),
        (("check", "--forward", "sign(x)", "--backward", CLIPPED), 0, "lipschitz"),
        (("check", "--forward", "x", "--backward", "-1"), 1, "unprincipled"),
        (("check", "--forward", "round(x)", "--backward", "1"), 3, "undecided"),
        (("check", "--forward", "round(1000*tanh(x))", "--backward", "1"), 3, "undecided"),
        (("check", "--forward", "a*x + b", "--backward", "a", "--param", "a=2", "--param", "b=sqrt(2)"), 0, "smooth"),
        (("check", "BNN+", "--timeout", "1e-300"), 3, "undecided"),
        (("check", "BC", "--timeout", "1e300"), 0, "smooth"),
    ],
)
def test_verdicts_and_their_exit_codes(run: Run, arguments: tuple[str, ...], code: int, verdict: str) -> None:
    found, out, err = run(*arguments, "--json")
    assert (found, err) == (code, "")
    answer = json.loads(out)
    assert answer["verdict"] == verdict
    assert out.count("\n") == 1
    found, out, err = run(*arguments)
    assert (found, err) == (code, "")
    assert verdict.upper() in out


def test_the_text_says_what_the_object_says(run: Run) -> None:
    _, out, _ = run("check", "BNN")
    assert "BNN: LIPSCHITZ" in out
    assert "clip(x, -1, 1)" in out
    assert "Piecewise((oo, Abs(x) < 1), (0, True))" in out
    _, out, _ = run("check", "BNN+")
    assert "repair: BNN++ (smooth, keeps the backward)" in out
    assert "witness" in out
    _, out, _ = run("check", "--forward", "x", "--backward", "1/(1 + x**2)")
    assert "no closed form" in out


# ---- bad input


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('id')",
        "(x",
        "x)",
        "1/0",
        "x**x**x**x**99999",
        "9**9**9**9",
        "foo(x)",
        "nan",
        "float('nan')",
        "inf",
        "1e400",
        "x.real",
        "lambda: 1",
        "(" * 100_000,
        "-" * 30_000 + "x",
        "9" * 30_000,
        "[x for x in x]",
        "(y := 1)",
        "f'{x}'",
        "b'1'",
        "x if x else 1",
        "\u03b2*x",
        "",
        "   ",
        "x\0",
        "x\n\nx",
        "oo",
        "Piecewise((x, x > 0))",
        "Piecewise((x, x**2 > 0), (0, True))",
        "*".join(["9" * 390] * 20),
        "-x.real",
        "--help",
    ],
    ids=lambda t: ascii(t[:24]),
)
def test_bad_expressions_are_refused_without_much_work(run: Run, text: str) -> None:
    for options in (("--forward", text, "--backward", "1"), ("--forward", "1", "--backward", text)):
        start = worked()
        result = run("check", *options, "--json")
        assert worked() - start < 2
        refused(result, f"{options[0 if text == options[1] else 2][2:]}: ")


@pytest.mark.parametrize(
    ("arguments", "part", "unused"),
    [
        (("check", "--forward", "(" * 100_000, "--backward", "1"), "forward: at most", HEAVY - {"sympy"}),
        (("check", "--forward", "x"), "both --forward EXPR and --backward EXPR", HEAVY),
    ],
)
def test_a_new_process_refuses_before_it_imports_what_is_heavy(
    arguments: tuple[str, ...], part: str, unused: set[str]
) -> None:
    code = (
        "import atexit, sys, proxpair\n"
        f"atexit.register(lambda: print('imported', sorted({unused!r} & sys.modules.keys()), file=sys.stderr))\n"
        "sys.exit(proxpair.main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)
    said, imported = done.stderr.splitlines(keepends=True)
    refused((done.returncode, done.stdout, said), part)
    assert imported == "imported []\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (("check",), "a catalogue NAME, or both --forward EXPR and --backward EXPR"),
        (("check", "--forward", "x"), "both --forward EXPR and --backward EXPR"),
        (("check", "--backward", "x"), "both --forward EXPR and --backward EXPR"),
        (("check", "BNN", *PAIR), "not both"),
        (("check", "BNM"), "did you mean BNN?"),
        (("check", ""), "known: FP, BC"),
        (("check", "BNN", "BC"), "unexpected extra argument"),
        (("check", "--nope"), "No such option"),
        (("check", "BNN", "--timeout"), "requires an argument"),
        (("check", "BNN", "--timeout", "soon"), "--timeout"),
        (("check", "BNN", "--timeout", "nan"), "--timeout: a positive finite number of seconds"),
        (("check", "BNN", "--timeout", "-1"), "--timeout: a positive finite number of seconds"),
        (("check", "BNN", "--timeout", "0"), "--timeout: a positive finite number of seconds"),
        (("check", "BNN", "--timeout", "inf"), "--timeout: a positive finite number of seconds"),
        (("check", "BNN+", "--param"), "requires an argument"),
        (("check", "BNN+", "--param", "beta"), "--param expects name=value"),
        (("check", "BNN+", "--param", "beta="), "--param beta: "),
        (("check", "BNN+", "--param", "beta=x"), "--param beta: a constant was expected"),
        (("check", "BNN+", "--param", "beta=nan"), "--param beta: a finite real number"),
        (("check", "BNN+", "--param", "gamma=2"), "--param gamma: BNN+ has no such parameter (beta)"),
        (("check", "BC", "--param", "beta=2"), "BC has no such parameter (it has none)"),
        (("check", "BNN+", "--param", "beta=1", "--param", "beta=2"), "--param beta: one value was expected"),
        (("check", *PAIR, "--param", "sign=2"), "a free name"),
        (("check", *PAIR, "--param", "x=2"), "a free name"),
        (("check", *PAIR, "--param", "lambda=2"), "a free name"),
        (("check", "--batch", "pairs.jsonl", "BNN"), "give neither NAME"),
        (("check", "--batch", "pairs.jsonl", "--forward", "x"), "give neither NAME"),
        (("check", "--batch", "."), "--batch: . cannot be read"),
        (("check", "--batch", "no/such/file"), "--batch: no/such/file cannot be read"),
        (("check", "--batch", ""), "--batch: "),
        (("check", "--batch", "a\0b"), "--batch: "),
        (("synthesize",), "--transform"),
        (("synthesize", "--transform", "x"), "--prox"),
        (("synthesize", "--transform", "x", "--prox", "-x"), "monotone"),
        (("synthesize", "--transform", "sign(x)", "--prox", "x"), "continuous"),
        (("synthesize", "--transform", "clip", "--prox", "soft treshold"), "did you mean soft threshold?"),
        (("synthesize", "--transform", "tahn", "--prox", "x"), "did you mean tanh?"),
        (("synthesize", "--transform", "x", "--prox", "x", "--param", "beta=1"), "--param beta: neither"),
        (("synthesize", "--transform", "x", "--prox", "x", "--timeout", "nan"), "--timeout"),
        (("synthesize", "--transform", "x", "--prox", "x", "--timeout", "0"), "--timeout"),
        (("catalogue", "extra"), "unexpected extra argument"),
        (("catalogue", "--timeout", "0"), "--timeout"),
        (("nope",), "No such command"),
        (("--nope",), "No such option"),
    ],
)
def test_bad_usage_is_refused_in_one_line(run: Run, arguments: tuple[str, ...], part: str) -> None:
    refused(run(*arguments), part)


# ---- what else main does


def test_help_and_version(run: Run) -> None:
    code, out, _ = run("--version")
    assert (code, out) == (0, f"proxpair {proxpair.__version__}\n")
    for command in ((), ("check",), ("synthesize",), ("catalogue",)):
        code, out, err = run(*command, "--help")
        assert (code, err) == (0, "")
        assert not command or "Example: proxpair" in " ".join(out.split())


def test_an_internal_error_is_70(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("one\ntwo")

    monkeypatch.setattr("theory.checking.check", broken)
    code, out, err = run("check", *PAIR)
    assert (code, out) == (70, "")
    assert err == "proxpair: internal error: ZeroDivisionError: one two\n"


@pytest.mark.parametrize("verdict", ["hangs", "dies"])
def test_a_computation_that_cannot_be_interrupted_is_undecided(
    run: Run, monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    import signal

    def stuck(*_: object, **__: object) -> None:
        if verdict == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        time.sleep(60)

    monkeypatch.setattr("theory.checking.decide", stuck)
    start = time.monotonic()
    code, out, err = run("check", *PAIR, "--timeout", "0.3", "--json")
    assert time.monotonic() - start < 1.3
    assert (code, err) == (3, "")
    answer = json.loads(out)
    assert answer["verdict"] == "undecided"
    assert answer["repairs"] == []
    code, out, err = run("synthesize", "--transform", "x", "--prox", "x", "--timeout", "0.3")
    assert (code, out) == (3, "")
    assert err.count("\n") == 1


@pytest.mark.parametrize("timeout", ["0.05", "0.5"])
def test_timeouts_hold(run: Run, timeout: str) -> None:
    for text in ("+".join(f"tanh({k}*x + 1/{k})" for k in range(1, 300)), "*".join(["(x**64 + x + 1)"] * 60)):
        start = time.monotonic()
        code, out, err = run("check", "--forward", text, "--backward", "1", "--timeout", timeout, "--json")
        assert time.monotonic() - start < float(timeout) + 1
        assert (code, err) == (3, "")
        assert json.loads(out)["verdict"] == "undecided"


# ---- batch


def batch(run: Run, tmp_path: Path, data: bytes, *options: str) -> list[dict[str, Any]]:
    path = tmp_path / "pairs.jsonl"
    path.write_bytes(data)
    code, out, err = run("check", "--batch", str(path), "--json", *options)
    assert (code, err) == (0, "")
    return [strict(line) for line in out.split("\n")[:-1]]


def strict(line: str) -> dict[str, Any]:
    def refuse(text: str) -> None:
        raise AssertionError(f"{text} is no JSON")

    found: dict[str, Any] = json.loads(line, parse_constant=refuse)
    return found


def test_a_batch_answers_every_line_in_order(run: Run, tmp_path: Path) -> None:
    grades = {"x": "smooth", "-x": "unprincipled", "1/0": "error", "round(x)": "undecided"}
    texts = [*grades] * 5
    lines = [json.dumps({"id": k, "forward": t, "backward": "1"}) for k, t in enumerate(texts)]
    answers = batch(run, tmp_path, "\n\n  \r\n".join(lines).encode())
    assert [a["id"] for a in answers] == list(range(len(texts)))
    assert [a["verdict"] for a in answers] == [grades[t] for t in texts]
    assert len({frozenset(a) for a in answers}) == 1  # one set of keys, errors included


@pytest.mark.parametrize(
    "identity", [0, -1, 1.5, "a", "", None, True, [1, [2]], {"a": {"b": None}}, "\u2028\u00e9\ud800", "\x00", 10**300]
)
def test_ids_of_any_kind_come_back(run: Run, tmp_path: Path, identity: object) -> None:
    line = json.dumps({"id": identity, "forward": "x", "backward": "1"})
    assert batch(run, tmp_path, line.encode())[0]["id"] == identity


BAD_LINES = [
    b"{",
    b"[]",
    b"3",
    b"null",
    b'"x"',
    b"not json",
    b"\xff\xfe",
    bytes(range(1, 10)) + bytes(range(11, 256)),
    b'{"id": NaN, "forward": "x", "backward": "1"}',
    b'{"id": -Infinity, "forward": "x", "backward": "1"}',
    b'{"id": 1e999, "forward": "x", "backward": "1"}',
    b'{"id": ' + b"9" * 5000 + b', "forward": "x", "backward": "1"}',
    b'{"id": ' + b"[" * 990 + b"]" * 990 + b', "forward": "x", "backward": "1"}',
    b"[" * 100_000,
    b'{"id": 1, "forward": "' + b"x" * 300_000 + b'", "backward": "1"}',
    b'{"id": 1, "forward": "x\x0cx", "backward": "1"}',
    "\u2028".encode(),
]


@pytest.mark.parametrize("line", BAD_LINES, ids=lambda b: ascii(b[:24]))
def test_a_bad_line_is_an_error_and_the_rest_goes_on(run: Run, tmp_path: Path, line: bytes) -> None:
    good = b'{"id": 7, "forward": "x", "backward": "1"}'
    answers = batch(run, tmp_path, good + b"\n" + line + b"\n" + good)
    assert [a["verdict"] for a in answers] == ["smooth", "error", "smooth"]
    assert answers[1]["id"] is None
    assert "was expected" in answers[1]["reason"]


@pytest.mark.parametrize(
    ("item", "part"),
    [
        ({"id": 3}, "the field 'forward'"),
        ({"id": 3, "forward": "x"}, "the field 'backward'"),
        ({"id": 3, "forward": 1, "backward": "1"}, "the field 'forward'"),
        ({"id": 3, "forward": "x", "backward": None}, "the field 'backward'"),
        ({"id": 3, "forward": "x", "backward": "nan"}, "backward: a finite real number"),
        ({"id": 3, "forward": "(" * 90_000, "backward": "1"}, "forward: at most"),
    ],
)
def test_errors_keep_their_id(run: Run, tmp_path: Path, item: dict[str, Any], part: str) -> None:
    answer = batch(run, tmp_path, json.dumps(item).encode())[0]
    assert (answer["id"], answer["verdict"]) == (3, "error")
    assert part in answer["reason"]


def test_a_line_without_an_id(run: Run, tmp_path: Path) -> None:
    answer = batch(run, tmp_path, b'\xef\xbb\xbf{"forward": "x", "backward": "1", "more": [1]}')[0]
    assert (answer["id"], answer["verdict"]) == (None, "smooth")


@pytest.mark.parametrize("data", [b"", b"\n", b"\n \n\t\r\n"])
def test_nothing_in_nothing_out(run: Run, tmp_path: Path, data: bytes) -> None:
    assert batch(run, tmp_path, data) == []


def test_parameters_and_timeouts_hold_for_every_line(run: Run, tmp_path: Path) -> None:
    hard = "+".join(f"tanh({k}*x + 1/{k})" for k in range(1, 300))
    lines = [{"id": k, "forward": t, "backward": "1"} for k, t in enumerate(["beta*x", hard, "beta*x", hard])]
    start = time.monotonic()
    answers = batch(run, tmp_path, "\n".join(map(json.dumps, lines)).encode(), "--param", "beta=2", "--timeout", "2")
    assert time.monotonic() - start < 8
    assert [a["verdict"] for a in answers] == ["smooth", "undecided", "smooth", "undecided"]
    assert answers[0]["prox"] == "2*x"


def test_a_line_that_hangs_or_dies_does_not_stop_the_others(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = commands.answer_line

    def fragile(job: Any) -> Any:
        if b"hang" in job[0]:
            time.sleep(60)
        if b"die" in job[0]:
            os._exit(1)
        return real(job)

    monkeypatch.setattr(commands, "answer_line", fragile)
    lines = [{"id": i, "forward": "x", "backward": "1"} for i in ("a", "hang", "b", "die", "c")]
    answers = batch(run, tmp_path, "\n".join(map(json.dumps, lines)).encode(), "--timeout", "2")
    assert [a["id"] for a in answers] == ["a", "hang", "b", "die", "c"]
    assert [a["verdict"] for a in answers] == ["smooth", "undecided", "smooth", "undecided", "smooth"]


def test_a_batch_from_standard_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO('{"id": 1, "forward": "x", "backward": "1"}\n'))
    code, out, _ = run("check", "--batch", "-", "--json")
    assert (code, strict(out)["verdict"]) == (0, "smooth")


def test_a_batch_from_a_pipe_with_bytes_that_are_no_text() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "proxpair", "check", "--batch", "-", "--json"],
        input=b'{"id": 1, "forward": "x", "backward": "1"}\n\xff\xfe\n',
        capture_output=True,
        cwd=ROOT,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert [strict(line)["verdict"] for line in done.stdout.decode().splitlines()] == ["smooth", "error"]


# ---- synthesize and catalogue


@pytest.mark.parametrize(
    ("transform", "prox", "options", "code"),
    [
        ("clip", "soft threshold", (), 0),
        ("TANH", "Box", ("--param", "beta=2"), 0),
        ("tanh(beta*x)", "sign(x)*Max(Abs(x) - weight, 0)", ("--param", "beta=2", "--param", "weight=1/3"), 0),
        ("x", "clip(round(x), -2, 2)", (), 0),
        ("x", "round(x)", (), 3),
    ],
)
def test_synthesize(run: Run, transform: str, prox: str, options: tuple[str, ...], code: int) -> None:
    found, out, err = run("synthesize", "--transform", transform, "--prox", prox, *options, "--json")
    assert found == code
    if code == 3:
        assert (out, err.count("\n")) == ("", 1)
        return
    assert err == ""
    made = strict(out)
    assert made["verdict"] in ("smooth", "lipschitz")
    again, out, _ = run("check", "--forward", made["forward"], "--backward", made["backward"], "--json")
    assert again == 0
    assert strict(out)["verdict"] == made["verdict"]
    found, out, err = run("synthesize", "--transform", transform, "--prox", prox, *options)
    assert (found, err) == (0, "")
    assert made["forward"] in out


def test_catalogue(run: Run) -> None:
    with first_entries(8):
        code, out, err = run("catalogue", "--json")
        assert (code, err) == (0, "")
        rows = json.loads(out)
        assert [r["name"] for r in rows] == list(proxpair.CATALOGUE)
        for row in rows:
            entry = proxpair.CATALOGUE[row["name"]]
            assert (row["verdict"], row["literal_criterion"]) == (entry.verdict, entry.literal)
        code, out, err = run("catalogue")
    assert (code, err) == (0, "")
    assert len(out.splitlines()) == 1 + len(rows)


# ---- files


def test_files_are_written_whole(tmp_path: Path) -> None:
    target = write_text(tmp_path / "new" / "a.txt", "\u00e9\n")
    assert read_text(target, "a text") == "\u00e9\n"
    assert read_bytes(target, "bytes") == b"\xc3\xa9\n"
    assert target.stat().st_mode & 0o777 == 0o644
    write_bytes(target, b"2")
    assert [p.name for p in target.parent.iterdir()] == ["a.txt"]
    assert write_csv(tmp_path / "a.csv", ["a", "b"], [[0.1, "x,y"], [1, None]]).read_text() == 'a,b\n0.1,"x,y"\n1,\n'
    assert csv_text(["a"], []) == "a\n"


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be written"):
        write_bytes(tmp_path / "a\0b", b"")
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path / "file" / "below", "x")
    with pytest.raises(InputError, match="cannot be written"):
        write_text(tmp_path, "x")
    with pytest.raises(InputError, match=r"pairs: .* cannot be read"):
        read_text(tmp_path / "none", "pairs")
    with pytest.raises(InputError, match="not a text file in UTF-8"):
        read_text(tmp_path / "file", "pairs")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
