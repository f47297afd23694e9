"""Every verdict of the list of pairs has a certificate that the separate checker accepts; forgeries are rejected."""

from __future__ import annotations

import ast
import json
import random
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import sympy as sp
from flint import arb, fmpq
from forgeries import attack, make
from mpmath.libmp import to_rational
from shared import Catalogued
from truth import TRUTHS, Truth

import proxpair
from theory.certificates import certificate, search, sympy_of, to_bytes
from theory.checker.audit import load, start_afresh, verify
from theory.checker.forms import is_zero
from theory.checker.intervals import evaluate, of_fraction
from theory.checker.limits import limit, sign
from theory.checker.rules import Prover, square_root
from theory.checker.terms import (
    Rejected,
    add,
    derivative,
    neg,
    num,
    read,
    read_constant,
    read_end,
    show,
    sub,
    substitute,
)
from theory.checking import check
from theory.decision import decide
from theory.errors import InputError, Undecided
from theory.exact import X, enclose, precision
from theory.pairs import QuantizerPair
from theory.parser import parse

ROOT = Path(__file__).resolve().parent.parent
DECIDED = [t for t in TRUTHS if t.verdict != "undecided"]


def test_the_checker_imports_nothing_from_the_prover() -> None:
    allowed = {*sys.stdlib_module_names, "mpmath", "__future__"}
    for path in (ROOT / "theory" / "checker").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.startswith("theory.checker") or name.split(".")[0] in allowed, (path, name)


@pytest.mark.parametrize("t", DECIDED, ids=lambda t: f"{t.forward} | {t.backward}")
def test_every_verdict_has_an_accepted_certificate(t: Truth) -> None:
    made = make(t.forward, t.backward)
    claim = verify(load(to_bytes(made)))
    assert claim == {"forward": t.forward, "backward": t.backward, "parameters": {}, "verdict": t.verdict}
    for wrong in {"smooth", "lipschitz", "unprincipled"} - {t.verdict}:
        with pytest.raises(Rejected):
            verify({**made, "claim": {**made["claim"], "verdict": wrong}})


@pytest.mark.parametrize("name", proxpair.CATALOGUE)
def test_the_catalogue_has_certificates(
    name: str, catalogued: Catalogued, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    row, data = catalogued(name)
    assert data is not None
    path = tmp_path / "c.json"
    path.write_bytes(data)
    assert proxpair.main(["verify-certificate", str(path), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["accepted"]
    assert answer["claim"]["verdict"] == row["verdict"] == proxpair.CATALOGUE[name].verdict
    assert answer["claim"]["forward"] == proxpair.CATALOGUE[name].forward


@pytest.mark.parametrize("name", ["BC", "BNN", "BNN+", "BNN++", "DoReFa-W2", "HWGQ-log", "TTQ", "QuantizationNetworks"])
def test_check_writes_the_certificate_of_the_catalogue(
    name: str, catalogued: Catalogued, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = tmp_path / "c.json"
    proxpair.main(["check", name, "--json", "--certificate", str(path)])
    assert json.loads(capsys.readouterr().out)["verdict"] == proxpair.CATALOGUE[name].verdict
    assert path.read_bytes() == catalogued(name)[1]


def test_forgeries_are_not_accepted_with_a_false_claim() -> None:
    made = [make(t.forward, t.backward) for t in DECIDED[::9]]
    tally = attack(made, 500, seed=7)
    assert tally["FALSE"] == 0
    assert tally["rejected"] > 300


@pytest.mark.parametrize("tie", ["1/0", "log(-1)", "sqrt(-1)", "Max(0, 1/(1 - 1))"])
def test_a_constant_without_a_value_is_no_claim(tie: str) -> None:
    made = make("Max(x, 0)", "Heaviside(x, 1/2)")
    made["claim"]["backward"] = f"Heaviside(x, {tie})"
    with pytest.raises(Rejected, match="has no value"):
        verify(load(json.dumps(made).encode()))


@pytest.mark.parametrize("drop", ["lemmas", "cuts", "pieces"])
def test_dropped_evidence_is_missed(drop: str) -> None:
    copy = json.loads(to_bytes(make("sinh(x) - x - x**3/6", "1")))
    verify(copy)

    def cut(value: Any) -> bool:
        if isinstance(value, dict):
            below = sum(cut(v) for v in value.values())
            return below > 0 or bool(value.get(drop) and value[drop].pop() is not None)
        return isinstance(value, list) and sum(cut(v) for v in value) > 0

    assert cut(copy)
    with pytest.raises(Rejected):
        verify(copy)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"[]",
        b"{}",
        b'{"schema": 1}',
        b'{"a": 1, "a": 2}',
        b'{"a": 0.5}',
        b'{"a": NaN}',
        b"[" * 100_000,
        b"\xff\xfe",
        b'{"schema": "proxpair/certificate/1", "claim": {}, "witness": {}}',
    ],
)
def test_what_is_no_certificate_is_rejected(data: bytes) -> None:
    with pytest.raises(Rejected):
        verify(load(data))


def test_a_lemma_that_nothing_asks_for_is_rejected() -> None:
    made = make("sign(x)", "1")
    made["pieces"][0]["lemmas"].append({"statement": "for all real x: x > 0", "proof": {"by": "range"}})
    with pytest.raises(Rejected, match="not needed"):
        verify(made)


def test_a_witness_refutes_a_map_that_has_no_value_somewhere() -> None:
    backward = "sqrt(1 + 2*x + x**4)"  # not real between -1 and the root of x**3 - x**2 + x + 1
    claim = {"forward": "sign(x)", "backward": backward, "parameters": {}}
    witness = {"kind": "backward-varies-on-level-set", "point": "-1/2"}
    head = {"schema": "proxpair/certificate/1"}
    verify({**head, "claim": {**claim, "verdict": "unprincipled"}, "witness": witness})
    with pytest.raises(InputError, match="no finite real value"):
        check("sign(x)", backward)
    with pytest.raises(Rejected):  # not real at the witness itself
        verify({**head, "claim": {**claim, "verdict": "unprincipled"}, "witness": {**witness, "point": "-4/5"}})


def test_parameters_cannot_rename_the_variable() -> None:
    made = make("sign(x)", "1")
    for name in ("x", "pi", "exp", "unused"):
        with pytest.raises(Rejected, match="parameter"):
            verify({**made, "claim": {**made["claim"], "parameters": {name: "1"}}})


def test_an_undecided_verdict_has_no_certificate() -> None:
    pair = QuantizerPair(parse("sign(sin(x))"), parse("1"))
    with pytest.raises(Undecided, match="no certificate"):
        certificate("sign(sin(x))", "1", pair, decide(pair))


# --------------------------------------------------------------------------- rules: a truth and a near miss each

RULES = [
    ("1 + x**2", ">", "-oo", "oo", {"by": "range"}, "x**2"),
    ("x - 1", ">", "1", "oo", {"by": "range"}, "x - 2"),
    ("1 - tanh(x)*erf(x)", ">", "-oo", "oo", {"by": "range"}, "0.999 - tanh(x)*erf(x)"),
    ("1.1 - tanh(x)**2 + cos(x)**3*sin(x)/10", ">", "-oo", "oo", {"by": "range"}, "1.1 - tanh(x)**2 + cos(x)/9"),
    ("tanh(x + 1) - tanh(x - 1)", ">", "-oo", "oo", {"by": "range"}, "tanh(x + 1) - tanh(2*x - 1)"),
    ("erf(x**2 + x) - erf(x)", ">=", "-oo", "oo", {"by": "range"}, "erf(x**2 + x) - 1.01*erf(x)"),
    ("3*sigmoid(x) - 3*sigmoid(x - 1)", ">", "-oo", "oo", {"by": "range"}, "3*sigmoid(x - 1) - 3*sigmoid(x)"),
    ("x**2 - x + 1", ">", "-oo", "oo", {"by": "sturm"}, "x**2 - 2*x + 1"),
    ("(x - 1)**2*(x + 3)", ">=", "-3", "oo", {"by": "sturm"}, "(x - 1)**2*(x + 2.999)"),
    ("exp(2*x) - exp(x) + 1", ">", "-oo", "oo", {"by": "sturm"}, "exp(2*x) - 2*exp(x) + 0.999"),
    ("exp(x) - x**3", ">", "5", "oo", {"by": "dominance"}, "exp(x)/5 - x**3"),
    ("2 - x*exp(-x)", ">", "3", "oo", {"by": "dominance"}, "0.1 - x*exp(-x)"),
    ("cos(x) - 1/2", ">", "-1", "1", {"by": "boxes", "cuts": ["-1/2", "0", "1/2"]}, "cos(x) - 0.541"),
    (
        "x - sin(x)",
        ">",
        "0",
        "1",
        {"by": "taylor", "end": "left", "order": 3, "proof": {"by": "range"}},
        "x*0.999 - sin(x)",
    ),
    ("1 + 2*cos(x)/2", ">=", "-oo", "oo", {"by": "circle"}, "0.999 + cos(x)"),
    (
        "exp(x) - 1 - x",
        ">=",
        "0",
        "oo",
        {"by": "monotone", "from": "left", "proof": {"by": "sturm"}},
        "exp(x) - 1.001 - x",
    ),
    ("sin(x)**2 + cos(x)**2 - 1", ">=", "-oo", "oo", {"by": "zero"}, "sin(x)**2 + cos(x)**2 - 0.9999"),
    (
        "sqrt(1 + x**2) - x",
        ">",
        "0",
        "oo",
        {
            "by": "times",
            "factor": "sqrt(1 + x**2) + x",
            "positive": {"by": "range"},
            "proof": {"by": "equal", "to": "1", "proof": {"by": "range"}},
        },
        "sqrt(0.9 + x**2) - x*1.1",
    ),
    (
        "log(1 + exp(x)) - x",
        ">",
        "-oo",
        "oo",
        {"by": "exponential", "to": "1 + exp(-x)", "proof": {"by": "range"}},
        "log(1 + exp(x)) - x - 1",
    ),
    (
        "sqrt(x) - x",
        ">=",
        "0",
        "1",
        {"by": "root", "end": "left", "degree": 2, "proof": {"by": "sturm"}},
        "sqrt(x) - 1.01*x",
    ),
    ("x*log(x)**2 + x", ">", "0", "1", {"by": "logarithm", "end": "left", "proof": {"by": "range"}}, "x*log(x) + x"),
    ("exp(-1/x) + 1/x", ">", "0", "oo", {"by": "invert", "proof": {"by": "range"}}, "exp(-1/x) - 1/x"),
    (
        "exp(x - 1) + 1",
        ">",
        "-oo",
        "oo",
        {"by": "shift", "by_constant": "1", "proof": {"by": "sturm"}},
        "exp(x - 1) - 1",
    ),
    ("exp(-x) - x", ">", "-oo", "0", {"by": "reflect", "proof": {"by": "range"}}, "exp(-x) - x - 1.1"),
    (
        "(x - 2)*(x - 3)",
        ">",
        "3",
        "oo",
        {
            "by": "product",
            "factors": [{"sign": ">", "proof": {"by": "range"}}, {"sign": ">", "proof": {"by": "range"}}],
        },
        "(x - 2)*(x - 4)",
    ),
    (
        "x**2 - x + 1",
        ">",
        "-oo",
        "oo",
        {"by": "split", "at": ["0"], "proofs": [{"by": "range"}, {"by": "sturm"}]},
        "x**2 - x",
    ),
]


@pytest.mark.parametrize(("f", "relation", "a", "b", "proof", "miss"), RULES, ids=lambda v: str(v)[:40])
def test_each_rule_proves_a_truth_and_not_its_near_miss(
    f: str, relation: str, a: str, b: str, proof: dict[str, Any], miss: str
) -> None:
    start_afresh(10**6)
    Prover().prove(read(f), relation, read_end(a), read_end(b), proof)
    with pytest.raises(Rejected):
        Prover().prove(read(miss), relation, read_end(a), read_end(b), proof)


def test_every_rule_is_tested() -> None:
    from theory.checker.rules import _RULES

    def used(proof: Any) -> set[str]:
        if isinstance(proof, dict):
            return (
                {proof["by"]} & set(_RULES) | {r for v in proof.values() for r in used(v)} if "by" in proof else set()
            )
        return {r for v in proof for r in used(v)} if isinstance(proof, list) else set()

    assert {r for row in RULES for r in used(row[4])} == set(_RULES)


@pytest.mark.parametrize(
    ("f", "relation", "a", "b"),
    [
        ("x", ">", "-1", "1"),
        ("x**2", ">", "-1", "1"),
        ("sin(x)", ">=", "0", "4"),
        ("exp(x) - 3*x", ">", "0", "2"),
        ("1/1000000000 - exp(-(x - 50)**2)", ">", "-oo", "oo"),
        ("cosh(x) - 1 - x**2/2 - 1/1000000", ">=", "-oo", "oo"),
        ("1 - x**2", ">=", "-oo", "oo"),
        ("sqrt(x) - x", ">", "0", "2"),
    ],
)
def test_no_proof_is_found_of_what_is_false(f: str, relation: str, a: str, b: str) -> None:
    start_afresh(10**7)
    with pytest.raises((Undecided, Rejected)):
        search(read(f), relation, read_end(a), read_end(b))


SQUARES = [
    ("x**2 + 2*x + 1", "x + 1"),
    ("1/x**2 + 2 + x**2", "x + 1/x"),
    ("x**(-6)", "x**(-3)"),
    ("3*x**4", "sqrt(3)*x**2"),
    ("2 + 2*cosh(2*x)", "2*cosh(x)"),
    ("cosh(x) - 1", "sqrt(2)*sinh(x/2)"),
    ("1 + tanh(x)**2/(1 - tanh(x)**2)", "cosh(x)"),
    ("1 - tanh(x)**2", "1/cosh(x)"),
    ("exp(2*x) + 2*exp(x) + 1", "exp(x) + 1"),
    ("1 + cos(x)", "sqrt(2)*cos(x/2)"),
    ("2 - 2*cos(x/3)", "2*sin(x/6)"),
]


@pytest.mark.parametrize(("w", "v"), SQUARES)
def test_roots_of_squares_are_found_by_algebra_with_their_sign(w: str, v: str) -> None:
    start_afresh(10**6)
    found = square_root(read(w))
    assert found is not None
    assert is_zero(sub(found[0], read(v))) or is_zero(add(found[0], read(v)))
    for at in (Fraction(-7, 3), Fraction(-1, 5), Fraction(2, 7), Fraction(5, 2)):
        root, word = (sign(substitute(t, num(at))) for t in found)
        assert root == word != 0
    assert square_root(add(read(w), num(Fraction(1, 10**9)))) is None
    assert square_root(neg(read(w))) is None


@pytest.mark.parametrize(
    ("forward", "backward", "false_backward"),
    [
        ("sign(x)", "sqrt(x**4) - x**2 + 1", "sqrt(x**2) - x + 1"),
        ("sign(x)", "sqrt(1 + sinh(x)**2) - cosh(x) + 1", "sqrt(1.001 + sinh(x)**2) - cosh(x) + 1"),
        ("sign(x)", "sqrt((x + 1)**2) - Abs(x + 1) + 1", "sqrt((x + 1)**2) - (x + 1) + 1"),
        ("x", "1 + sqrt(x**2 - 2*x + 1)", "sqrt(x**2 - 2*x + 1)"),
        ("(x**2)**(2/3)", "x", "x**3"),
        ("x", "erf(x + 1) - erf(x - 1)", "erf(x + 1) - erf(3*x - 1)"),
        ("tanh(x) + x/9 + sin(x)/9", "1", "-1"),
    ],
)
def test_certificates_of_roots_are_not_those_of_their_near_misses(
    forward: str, backward: str, false_backward: str
) -> None:
    made = make(forward, backward)
    assert verify(load(to_bytes(made)))["verdict"] in ("smooth", "lipschitz")
    with pytest.raises(Rejected):
        verify({**made, "claim": {**made["claim"], "backward": false_backward}})


def test_a_witness_far_out_is_confirmed_by_the_normal_form() -> None:
    made = make("tanh(x)", "1 - x/10**10")
    assert made["claim"]["verdict"] == "unprincipled"
    witness = made["witness"]
    with pytest.raises(Rejected):
        verify({**made, "witness": {**witness, "point": "1000"}})
    assert sign(read("1 - tanh(10000000001)**2")) == 1
    assert sign(read("tanh(10000000001)**2 - 1")) == -1


# --------------------------------------------------------------------------- identities, limits, two arithmetics

IDENTITIES = [
    "sin(x)**2 + cos(x)**2 - 1",
    "tanh(x) - (exp(x) - exp(-x))/(exp(x) + exp(-x))",
    "sigmoid(x)*(1 - sigmoid(x)) - 1/(2 + exp(x) + exp(-x))",
    "sqrt(8) - 2*sqrt(2)",
    "((1 + sqrt(5))/2)**2 - (1 + sqrt(5))/2 - 1",
    "exp(log(3)/2) - sqrt(3)",
    "sin(2*x) - 2*sin(x)*cos(x)",
    "cos(pi/4) - 1/sqrt(2)",
    "sin(pi/12) - (sqrt(6) - sqrt(2))/4",
    "sqrt(1 + x**2)**3 - (1 + x**2)*sqrt(1 + x**2)",
    "1/sqrt(1 + x**2) - sqrt(1 + x**2)/(1 + x**2)",
    "root(0, 2, -1, -1, 0, 0, 0, 1)**5 - root(0, 2, -1, -1, 0, 0, 0, 1) - 1",
    "log(exp(x) + 1) - log(1 + exp(-x)) - x",
    "atan(sin(1)/cos(1)) - 1",
    "sqrt((x**2 + 1)**2) - x**2 - 1",
]


@pytest.mark.parametrize("text", IDENTITIES)
def test_identities_are_proved_and_near_identities_are_not(text: str) -> None:
    start_afresh(10**6)
    assert is_zero(read(text))
    for change in ("+ 1/10**9", "+ x/10**9", "- exp(-x**2)"):
        assert not is_zero(read(f"{text} {change}"))


@pytest.mark.parametrize(
    ("f", "c", "side", "value"),
    [
        ("sin(x)/x", "0", 1, "1"),
        ("(cos(x) - 1)/x**2", "0", -1, "-1/2"),
        ("1/x", "0", -1, "-oo"),
        ("x**(1/3)/x", "0", 1, "oo"),
        ("exp(-1/x)/x**3", "0", 1, "0"),
        ("x*log(x)", "0", 1, "0"),
        ("1/(x*log(x)**2)", "0", 1, "oo"),
        ("(x**2 - 2)/(x - sqrt(2))", "sqrt(2)", 1, "2*sqrt(2)"),
        ("x**5*exp(-x**2)", "-oo", 1, "0"),
        ("atan(x)", "oo", 1, "pi/2"),
        ("(1 - x)**(1/2)/(1 - x)**(1/3)", "1", -1, "0"),
    ],
)
def test_limits(f: str, c: str, side: int, value: str) -> None:
    start_afresh(10**6)
    found = limit(read(f), read_end(c), side)
    if value in ("oo", "-oo"):
        assert show(found) == value
    else:
        assert is_zero(read(f"({show(found)}) - ({value})"))


def random_formula(rng: random.Random, depth: int) -> str:
    if depth == 0:
        return rng.choice(["x", "x", str(rng.randint(-5, 5)), f"{rng.randint(1, 9)}/{rng.randint(2, 9)}", "pi"])
    kind = rng.randrange(9)
    if kind < 5:
        return f"({random_formula(rng, depth - 1)} {rng.choice('+-*')} {random_formula(rng, depth - 1)})"
    if kind == 5:
        return f"({random_formula(rng, depth - 1)})**{rng.randint(2, 4)}"
    name = rng.choice(["exp", "sin", "cos", "atan", "erf", "tanh", "sigmoid"])
    inner = random_formula(rng, depth - 1)
    return f"exp(-({inner})**2)" if name == "exp" else f"{name}({inner})"


def test_two_arithmetics_never_contradict_on_a_thousand_sign_questions() -> None:
    """Arb and the checker's directed rounding, at points and on intervals: their enclosures always meet."""
    start_afresh(10**8)
    rng = random.Random(20231130)
    settled = 0
    for _ in range(1000):
        f = read(random_formula(rng, rng.randint(1, 4)))
        expr = sympy_of(f)
        low = Fraction(rng.randint(-400, 400), rng.randint(1, 60))
        high = low + rng.choice([Fraction(0), Fraction(rng.randint(1, 50), rng.randint(1, 400))])
        lo, hi = evaluate(f, (of_fraction(low, 80)[0], of_fraction(high, 80)[1]), 80)
        with precision(96):
            box = arb(fmpq(low.numerator, low.denominator)).union(arb(fmpq(high.numerator, high.denominator)))
            ball = enclose(expr, box) if expr.has(X) else enclose(expr)
        infinite = [not end[1] and end[2] for end in (lo, hi)]
        if not ball.is_finite() or any(infinite) or min(lo[2], hi[2]) < -2000 or max(lo[2], hi[2]) > 2000:
            continue  # nothing to compare, or numbers too long to write as fractions
        ours = tuple(arb(fmpq(*(int(v) for v in to_rational(end)))) if end[1] else arb(0) for end in (lo, hi))
        assert not ball > ours[1], (show(f), low, high)
        assert not ball < ours[0], (show(f), low, high)
        assert not (ball > 0 and ours[1] < 0)
        assert not (ball < 0 and ours[0] > 0)
        settled += bool(ball > 0 or ball < 0)
    assert settled > 500


def test_derivatives_agree_with_sympy() -> None:
    start_afresh(10**8)
    rng = random.Random(5)
    at = sp.Rational(3, 7)
    for _ in range(60):
        f = read(random_formula(rng, 3))
        ours, theirs = (e.subs(X, at) for e in (sympy_of(derivative(f)), sp.diff(sympy_of(f), X)))
        assert abs(sp.N(ours - theirs, 20)) <= 1e-15 * (1 + abs(sp.N(theirs, 20)))


def test_signs_of_constants() -> None:
    start_afresh(10**6)
    assert sign(read_constant("sqrt(2) + sqrt(3) - 3.14626436994197234")) == 1
    assert sign(read_constant("sqrt(2) + sqrt(3) - 3.14626436994197235")) == -1
    assert sign(read_constant("(sqrt(2) + sqrt(3))**2 - 5 - 2*sqrt(6)")) == 0
    assert sign(read_constant("exp(1) - 2.718281828459045235")) == 1


# --------------------------------------------------------------------------- the command line


def run(*arguments: str) -> int:
    return proxpair.main(list(arguments))


def test_bad_files_get_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("verify-certificate", str(tmp_path / "missing.json")) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert run("verify-certificate", str(tmp_path)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    bad = tmp_path / "bad.json"
    bad.write_text("{not json")
    assert run("verify-certificate", str(bad)) == 1
    assert capsys.readouterr().out.startswith("rejected: ")
    assert run("check", "BNN", "--certificate", str(tmp_path)) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


def test_no_file_is_left_where_there_is_no_certificate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "c.json"
    assert run("check", "--forward", "sign(sin(x))", "--backward", "1", "--certificate", str(path)) == 3
    assert not path.exists()
    assert "no certificate" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_certificates_are_the_same_bytes_twice(tmp_path: Path) -> None:
    for name in ("a.json", "b.json"):
        assert run("check", "BNN++", "--certificate", str(tmp_path / name)) == 0
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
