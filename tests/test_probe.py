"""The probe: catalogued pairs are named, mutants are not, contradictions carry points, bad input is one sentence."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Any

import numpy as np
import probed
import pytest
import sympy as sp
import torch

import proxpair
from theory.catalogue import CATALOGUE, lookup
from theory.checking import check
from theory.errors import InputError
from verify import probe as probing
from verify.lowering import lower
from verify.samples import Samples, agreements, refute

torch.set_num_threads(1)

FEW = 400
FILE = str(Path(probed.__file__))


def probe(name: str, **options: Any) -> dict[str, Any]:
    return probing.probe(f"probed:{name}", points=options.pop("points", FEW), timeout=5.0, **options)


def names(answer: dict[str, Any], key: str = "agrees") -> list[str]:
    return [row["name"] for row in answer[key]]


def of_maps(forward: Any, backward: Any, low: float = -4.0, high: float = 4.0) -> Samples:
    """Samples of two numpy functions."""

    def evaluate(x: Any) -> tuple[Any, Any]:
        with np.errstate(all="ignore"):
            return forward(x) + 0.0 * x, backward(x) + 0.0 * x

    extremes = np.array([s * v for v in (1e-300, 1e-8, 10.0, 100.0, 1e8) for s in (1, -1)])
    x = np.unique(np.concatenate([probing._points(low, high, FEW, 0), extremes]))
    return Samples(x, *evaluate(x), low, high, evaluate)


# --------------------------------------------------------------------------- the catalogue


def catalogue_samples(name: str, monkeypatch: pytest.MonkeyPatch, which: str = "") -> dict[str, Any]:
    monkeypatch.setattr(probed, "WRAPPED", probed.catalogued(name, which), raising=False)
    low, high = window(name)
    return probe("WRAPPED", low=low, high=high)


def window(name: str) -> tuple[float, float]:
    pair = lookup(name).pair()
    held = [float(m.known_to) for m in (pair.forward, pair.backward) if m.windowed]
    reach = min([4.0, *(0.99 * h for h in held)])
    return -reach, reach


@pytest.mark.parametrize("name", CATALOGUE)
def test_every_catalogued_pair_is_recognised(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # the exact verdict is the decision's matter, and tested there
    monkeypatch.setattr("theory.checking.check", _declared)
    answer = catalogue_samples(name, monkeypatch)
    assert name in names(answer), answer["reason"]
    assert answer["agrees"][0]["ties"] == []
    principled = CATALOGUE[name].verdict != "unprincipled"
    assert (answer["status"] == "refuted") <= (not principled), answer["reason"]
    assert answer["exit_code"] == (0 if principled else 1)
    assert answer["proved"] is False


class _Said:
    """The declared verdict in the place of the decision's."""

    def __init__(self, grade: str) -> None:
        self.grade, self.exit_code = grade, int(grade == "unprincipled")


def _declared(forward: str, backward: str, **_: Any) -> _Said:
    return _Said(next(e.verdict for e in CATALOGUE.values() if (e.forward, e.backward) == (forward, backward)))


@pytest.mark.parametrize("which", ["forward", "backward"])
@pytest.mark.parametrize("name", ["BNN", "BNN++", "ApproxSign", "Ternary"])
def test_a_slope_off_by_a_thousandth_is_not_recognised(name: str, which: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.samples._variants", lambda *_: iter(()))
    assert name not in names(catalogue_samples(name, monkeypatch, which))


def test_a_refutation_on_samples_is_confirmed_by_the_exact_decision() -> None:
    for name, entry in CATALOGUE.items():
        pair = entry.pair()
        if pair.forward.windowed or pair.backward.windowed:
            continue
        found = refute(of_maps(lower(pair.forward), lower(pair.backward)))
        assert found is None or entry.verdict == "unprincipled", (name, found)


def test_most_unprincipled_entries_are_refuted() -> None:
    bad = [e.pair() for e in CATALOGUE.values() if e.verdict == "unprincipled"]
    bad = [p for p in bad if not (p.forward.windowed or p.backward.windowed)]
    caught = [p for p in bad if refute(of_maps(lower(p.forward), lower(p.backward))) is not None]
    assert len(caught) >= 0.9 * len(bad)


# --------------------------------------------------------------------------- quantizers by hand


@pytest.mark.parametrize(
    ("name", "options", "expected", "status", "code"),
    [
        ("ClippedSTE", {}, "BNN", "agrees", 0),
        ("SwishSignSTE", {}, "BNN+", "refuted", 1),
        ("ApproxSign", {}, "ApproxSign", "refuted", 1),
        ("LeakySTE", {}, "LeakySTE", "refuted", 1),
        ("Bisign", {}, "BC", "agrees", 0),
        ("SwishSign", {"arguments": {"beta": 5}}, "BNN++", "agrees", 0),
        ("MirrorTanh", {}, "MD-tanh", "agrees", 0),
    ],
)
def test_published_quantizers_by_hand(
    name: str, options: dict[str, Any], expected: str, status: str, code: int
) -> None:
    answer = probe(name, **options)
    assert expected in names(answer)
    assert (answer["status"], answer["exit_code"]) == (status, code)


def test_a_parameter_is_fitted_and_given_back_for_check(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.samples.CATALOGUE", {k: CATALOGUE[k] for k in ("BC", "Ternary", "MD-tanh", "BNN++")})
    answer = probe("MirrorTanh", arguments={"beta": 3.7})
    row = next(r for r in answer["agrees"] if r["name"] == "MD-tanh")
    assert row["params"] == {"beta": "37/10"}
    assert row["command"] == "proxpair check MD-tanh --param beta=37/10"


def test_beta_5_is_told_from_beta_5_01(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.samples.CATALOGUE", {k: CATALOGUE[k] for k in ("BNN+", "BNN++", "MD-tanh")})
    answer = probe("SwishSign", arguments={"beta": 5, "backward_beta": 5.01})
    assert answer["agrees"] == answer["agrees_off_ties"] == []
    assert (answer["status"], answer["exit_code"]) == ("unknown", 3)


def test_a_tie_at_a_jump_is_reported_and_not_judged() -> None:
    (row,) = [r for r in probe("Bisign")["agrees"] if r["name"] == "BC"]
    (tie,) = row["ties"]
    assert (tie["x"], tie["forward"], tie["stated_forward"], tie["judged"]) == (0.0, 1.0, 0.0, False)


def test_a_wrong_tie_elsewhere_is_no_agreement(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("verify.samples.CATALOGUE", {k: CATALOGUE[k] for k in ("BC", "BNN", "LeakySTE")})
    answer = probe("OpenClippedSTE")
    assert answer["agrees"] == []
    row = next(r for r in answer["agrees_off_ties"] if r["name"] == "BNN")
    assert [t["x"] for t in row["ties"] if t["judged"]] == [-1.0, 1.0]
    assert (answer["status"], answer["exit_code"]) == ("agrees off ties", 3)


def test_lsq_at_a_fixed_step_with_its_parameter_frozen() -> None:
    answer = probe("LSQ")
    row = next(r for r in answer["agrees"] if r["name"] == "LSQ")
    assert row["params"] == {"step": "1/2"}
    assert row["ties"] == []
    assert any("step" in note for note in answer["notes"])


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("stochastic", "random"),
        ("MeanScale", "other entries"),
        ("ClippedGradient", "not linear"),
    ],
)
def test_what_lies_outside_the_theory(name: str, word: str) -> None:
    answer = probe(name)
    assert (answer["status"], answer["exit_code"]) == ("outside", 3)
    assert word in answer["reason"]
    assert answer["agrees"] == []


# --------------------------------------------------------------------------- refutations


@pytest.mark.parametrize(
    ("forward", "backward", "kind"),
    [
        (lambda x: np.tanh(x), lambda x: -np.ones_like(x), "F' B < 0"),
        (lambda x: np.tanh(x), lambda x: np.zeros_like(x), "F moves where B = 0"),
        (lambda x: np.clip(x, -1, 1), lambda x: (np.abs(x) <= 0.5) * 1.0, "F moves where B = 0"),
        (np.sign, lambda x: np.exp(-(x**2)), "B on a level of F"),
        (np.sign, lambda x: np.where(np.abs(x) <= 1, 1.0, 0.1), "B on a level of F"),
        (np.sign, lambda x: -np.ones_like(x), "B on a level of F"),
        (lambda x: -np.sign(x), lambda x: np.ones_like(x), "B on a level of F"),
        (lambda x: np.clip(np.round(x), -1, 1), lambda x: 1 / (1 + x * x), "B on a level of F"),
        (
            lambda x: np.clip(x, -1, 1),
            lambda x: np.where(np.abs(x) < 1, 1.0, np.exp(1 - np.abs(x))),
            "B on a level of F",
        ),
    ],
)
def test_contradictions(forward: Any, backward: Any, kind: str) -> None:
    s = of_maps(forward, backward)
    found = refute(s)
    assert found is not None
    assert found.kind == kind
    again = s.evaluate(np.array(found.x))
    assert list(again[0]) == list(found.forward)
    assert list(again[1]) == list(found.backward)


@pytest.mark.parametrize(
    ("forward", "backward"),
    [
        (np.sign, lambda x: np.ones_like(x)),
        (np.sign, lambda x: np.zeros_like(x)),
        (np.sign, lambda x: (np.abs(x) <= 1) * 1.0),
        (lambda x: -np.sign(x), lambda x: -np.ones_like(x)),
        # saturation in floats is no level: erf moves, by less than rounding, beyond 6
        (lambda x: np.vectorize(math.erf)(x), lambda x: 1 / (1 + x * x)),
        (lambda x: np.tanh(20 * x), lambda x: 1 / (1 + x * x)),
        # steps finer than the samples are steps, not slopes
        (lambda x: np.round(x * 1000) / 1000, lambda x: np.zeros_like(x)),
        (lambda x: x * x, lambda x: 2 * x),
        (lambda x: x, lambda x: 1 + x * x),
        # two segments between two jumps: P may jump where B does
        (
            lambda x: np.clip(np.floor(x), 0, 2),
            lambda x: np.where((x > 1) & (x < 1.5), 1.0, np.where(x < 2, 2.0, 0.0)) * (x > 1),
        ),
        (lambda x: np.tanh(x).astype(np.float32).astype(float), lambda x: np.ones_like(x)),
    ],
)
def test_principled_pairs_are_not_refuted(forward: Any, backward: Any) -> None:
    assert refute(of_maps(forward, backward)) is None


_TRANSFORMS = (
    (np.tanh, lambda v: 1 - np.tanh(v) ** 2),
    (lambda v: v, lambda v: np.ones_like(v)),
    (lambda v: np.clip(v, -1, 1), lambda v: (np.abs(v) <= 1) * 1.0),
    (lambda v: v / (1 + np.abs(v)), lambda v: 1 / (1 + np.abs(v)) ** 2),
    (lambda v: v**3, lambda v: 3 * v * v),
    (lambda v: -np.arctan(v), lambda v: -1 / (1 + v * v)),
)
_PROX = (
    lambda x, c: x,
    lambda x, c: c * np.sign(x),
    lambda x, c: np.sign(x) * np.maximum(np.abs(x) - c / 2, 0),
    lambda x, c: np.where(np.abs(x) <= c, 0, x),
    lambda x, c: np.round(c * x) / c,
    lambda x, c: np.tanh(c * x),
    lambda x, c: np.where(np.abs(x) < c, c * np.sign(x), x),
)


def test_synthesized_pairs_are_not_refuted() -> None:
    """F = T o P and B = T' o P with a monotone T are principled whatever they are (docs/mathematics.md, section 3)."""
    draw = np.random.default_rng(1)
    for transform, slope in _TRANSFORMS:
        for prox in _PROX:
            c, k = draw.uniform(0.2, 2), draw.uniform(0.3, 5)

            def pair(x: Any, p: Any = prox, c: float = c, k: float = k) -> Any:
                return k * p(x, c)

            with np.errstate(all="ignore"):
                s = of_maps(
                    lambda x, t=transform, p=pair: t(p(x)),
                    lambda x, d=slope, p=pair, k=k: k * d(p(x)),
                )
                assert refute(s) is None


def test_the_tail_of_a_tanh_with_rounding_noise_is_not_refuted() -> None:
    noise = np.random.default_rng(0)
    s = of_maps(lambda x: np.sign(x), lambda x: 1 + 1e-9 * noise.uniform(-1, 1, x.shape))
    assert refute(s) is None


def test_no_agreement_with_what_no_catalogue_has() -> None:
    s = of_maps(lambda x: x * x, lambda x: 2 * x)
    assert agreements(s) == []


def test_the_straight_through_idiom_agrees_although_it_loses_far_samples_to_rounding(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answer = probe("DetachedSign")
    assert [row["name"] for row in answer["agrees"]] == ["BC"]
    assert 0 < answer["agrees"][0]["lost_to_rounding"] < 20
    assert "are x + (F(x) - x) rounded" in probing.report(answer)
    monkeypatch.setattr("verify.samples._variants", lambda *_: iter(()))  # BC, which it must not agree with, has none
    assert not probe("ForgetsFarOut")["agrees"]
    assert not probe("HalfFarOut")["agrees"]


def test_a_refuted_object_that_no_catalogue_has() -> None:
    answer = probe("AgainstTheJump")
    assert (answer["status"], answer["exit_code"], answer["agrees"]) == ("refuted", 1, [])
    assert answer["witness"]["kind"] == "B on a level of F"
    assert "refuted on the samples" in answer["reason"]


# --------------------------------------------------------------------------- the command


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = proxpair.main(["probe", *arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def test_the_command_by_file_and_by_name(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, f"{FILE}:ClippedSTE", "--points", "200")
    assert (code, err) == (0, "")
    assert "BNN" in out
    assert "Samples prove nothing" in out
    assert "proxpair check BNN" in out
    code, out, _ = run(capsys, "probed:Smooth", "--points", "200", "--arg", "beta=2", "--json")
    answer = json.loads(out)  # what the module prints is not in the answer
    assert (code, answer["arguments"], answer["device"]) == (
        0,
        {"beta": 2},
        "cuda" if torch.cuda.is_available() else "cpu",
    )
    assert probe("SMOOTH", points=200)["agrees"] == answer["agrees"]


def test_the_same_command_twice_gives_the_same_bytes(capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (run(capsys, f"{FILE}:SwishSignSTE", "--points", "200", "--json") for _ in range(2))
    assert first == second
    assert first[0] == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["probed"], "package.module:attribute"),
        (["probed:"], "package.module:attribute"),
        (["probed:a b"], "package.module:attribute"),
        (["no such.module:x"], "a file ending in .py"),
        (["no_such_module_at_all:x"], "no module named 'no_such_module_at_all'"),
        (["nowhere/at_all.py:x"], "was not found"),
        (["probed:missing"], "no attribute 'missing'"),
        (["probed:NUMBER"], "it is of type int"),
        (["probed:Plain"], "the class Plain"),
        (["probed:Demanding"], "TypeError"),
        (["probed:wrong_shape"], "input's shape"),
        (["probed:pair_of_outputs"], "not a tuple"),
        (["probed:integers"], "torch.int64"),
        (["probed:complex_output"], "complex128"),
        (["probed:detached"], "detached"),
        (["probed:not_a_number"], "NaN at x = -4.0"),
        (["probed:raising"], "RuntimeError: no quantizer is here"),
        (["probed:leaving"], "SystemExit"),
        (["probed:WrongBackward"], "backward"),
        (["probed:NoBackward"], "backward"),
        (["probed:SMOOTH", "--arg", "beta=1"], "made already"),
        (["probed:SwishSign", "--arg", "gamma=1"], "no such argument (beta, backward_beta)"),
        (["probed:SwishSign", "--arg", "backward_beta=1"], "needs a value of beta"),
        (["probed:Smooth", "--arg", "beta"], "NAME=VALUE"),
        (["probed:Smooth", "--arg", "beta=1", "--arg", "beta=2"], "given twice"),
        (["probed:ClippedSTE", "--low", "1", "--high", "0"], "--low and --high"),
        (["probed:ClippedSTE", "--low", "nan"], "--low and --high"),
        (["probed:ClippedSTE", "--points", "3"], "--points"),
        (["probed:ClippedSTE", "--seed", "-1"], "--seed"),
        (["probed:ClippedSTE", "--device", "abacus"], "--device"),
        (["probed:ClippedSTE", "--timeout", "0"], "--timeout"),
    ],
)
def test_bad_input_is_one_sentence(arguments: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("proxpair: ")
    assert err.count("\n") == 1
    assert words in err


def test_a_missing_gpu_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "probed:ClippedSTE", "--device", "cuda", "--points", "200")
    if torch.cuda.is_available():
        assert code == 0
    else:
        assert code == 2
        assert "--device cuda" in err


def test_endless_user_code_is_killed(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "probed:endless", "--timeout", "0.5")
    assert code == 3
    assert "did not end within 0.5 s" in err


def test_a_file_that_fails_to_import_and_one_that_imports_its_neighbour(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "broken.py").write_text("1/0\n")
    code, _, err = run(capsys, f"{tmp_path / 'broken.py'}:f")
    assert code == 2
    assert "ZeroDivisionError" in err
    (tmp_path / "neighbour_of_probe.py").write_text("slope = 1\n")
    (tmp_path / "fine.py").write_text("import neighbour_of_probe as n\n\ndef f(x):\n    return n.slope * x\n")
    code, out, _ = run(capsys, f"{tmp_path / 'fine.py'}:f", "--points", "100")
    assert code == 0
    assert "FP" in out
    assert "neighbour_of_probe" not in sys.modules  # user code lives in the child


def test_a_module_with_a_missing_import_names_it(tmp_path: Path) -> None:
    (tmp_path / "needs.py").write_text("import a_package_that_is_not_here\n")
    with pytest.raises(InputError, match="a_package_that_is_not_here"):
        probing.probe(f"{tmp_path / 'needs.py'}:f")


def test_the_help_says_that_user_code_is_run(capsys: pytest.CaptureFixture[str]) -> None:
    assert proxpair.main(["probe", "--help"]) == 0
    text = " ".join(capsys.readouterr().out.split())
    assert "imports and runs the code you name" in text
    assert "never prove" in text


def test_numbers_of_arg_are_exact() -> None:
    assert probing.read_arguments(["beta=5", "c = 1/4", "lam=0.1"]) == {"beta": 5, "c": 0.25, "lam": 0.1}
    assert type(probing.read_arguments(["beta=5"])["beta"]) is int


def test_the_verdict_on_a_named_pair_is_the_exact_one() -> None:
    entry = lookup("BNN")
    (row,) = [r for r in probe("ClippedSTE")["agrees"] if r["name"] == "BNN"]
    assert row["verdict"] == check(entry.forward, entry.backward, with_theory=False).grade == "lipschitz"
    assert sp.Integer(row["samples"]) > FEW
