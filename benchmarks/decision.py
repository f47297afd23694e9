"""The prover beside its peers on the questions that a decision asks: signs, monotone pieces, constant pieces.

    python benchmarks/decision.py [--json] [--quick] [--limit SECONDS]

Every question has an answer derived by hand (``why``). Each peer answers each question of its kind in
a child process of its own, killed at the limit; no answer, an exception and a kill count as "no
answer". Peers: sympy's is_increasing, is_decreasing and is_monotonic, sympy's solveset (is the set
where the expression, or the derivative, is negative empty?), sympy's is_constant, and z3 on
polynomial and rational questions (``pip install z3-solver``; without it its row says so).
"""

from __future__ import annotations

import argparse
import contextlib
import importlib.util
import json
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy as sp

from theory.analytic import is_zero, sign_on
from theory.catalogue import lookup
from theory.deadline import Lost, guarded
from theory.errors import Undecided
from theory.exact import X, sigmoid

OO = sp.oo
LIMIT, QUICK_LIMIT, QUICK_EVERY = 5.0, 1.0, 6


@dataclass(frozen=True)
class Question:
    """Is ``expr`` >= 0 (sign), increasing (never falling), monotone or constant on (a, b)? ``truth``: by hand."""

    kind: str
    expr: Any
    a: Any
    b: Any
    truth: bool
    why: str

    def text(self) -> str:
        """The question in a line."""
        asked = {"sign": ">= 0", "increasing": "increasing", "monotone": "monotone", "constant": "constant"}[self.kind]
        return f"{self.expr} {asked} on ({self.a}, {self.b})"

    @property
    def rational(self) -> bool:
        """Whether z3's arithmetic can state it."""
        return bool(self.expr.is_rational_function(X))


def _ss(beta: int) -> Any:
    s = 1 / (1 + sp.exp(-beta * X))
    return 2 * s * (1 + beta * X * (1 - s)) - 1


def _own() -> list[Question]:
    x, e, t = X, sp.exp, sp.tanh
    zero, one, two = sp.Integer(0), sp.Integer(1), sp.Integer(2)
    small = sp.Rational(1, 100)
    rows = [
        # signs, polynomial and rational
        ("sign", x**2 - 2 * x + 1, -OO, OO, True, "(x - 1)^2"),
        ("sign", x**4 - 4 * x + 3, -OO, OO, True, "(x - 1)^2 (x^2 + 2 x + 3)"),
        ("sign", x**4 - 4 * x + 3 - small, -OO, OO, False, "-1/100 at 1"),
        ("sign", x**4 - 4 * x**2 + 4, -OO, OO, True, "(x^2 - 2)^2"),
        ("sign", x**4 - 4 * x**2 + 4 - small, -OO, OO, False, "-1/100 at sqrt(2)"),
        ("sign", x**6 - 6 * x + 5, -OO, OO, True, "arithmetic and geometric mean of x^6 and five 1"),
        ("sign", x**8 - 8 * x + 7, -OO, OO, True, "arithmetic and geometric mean of x^8 and seven 1"),
        ("sign", 2 - 2 * x, zero, one, True, "ApproxSign's slope"),
        ("sign", x**10 - sp.Rational(1, 10**12), -OO, OO, False, "negative at 0"),
        ("sign", (x**2 - 1) / (x**2 + 1), one, OO, True, "both above 0"),
        ("sign", (x**2 - 1) / (x**2 + 1), zero, OO, False, "-3/5 at 1/2"),
        ("sign", 1 / (1 + x**2) - sp.Rational(1, 10**6), -OO, OO, False, "negative beyond 1000"),
        # signs, transcendental
        ("sign", e(x) - 1 - x, -OO, OO, True, "the tangent at 0 of a convex function"),
        ("sign", e(x) - 1 - x - x**2 / 2, zero, OO, True, "its Taylor terms are positive"),
        ("sign", e(x) - 1 - x - x**2 / 2, -OO, OO, False, "e^-1 - 1/2 < 0 at -1"),
        ("sign", e(-x) + x - 1, -OO, OO, True, "the tangent at 0 of a convex function"),
        ("sign", 2 * e(x) - e(2 * x), -OO, zero, True, "e^x (2 - e^x)"),
        ("sign", x * t(x / 2), -OO, OO, True, "a product of two odd increasing functions"),
        ("sign", 2 - x * t(x / 2), -OO, OO, False, "SS' at beta = 1 beyond 2.3994"),
        ("sign", 2 - x * t(x / 2), -two, two, True, "2 tanh(1) < 2"),
        ("sign", x - t(x), zero, OO, True, "derivative tanh^2"),
        ("sign", sp.sinh(x) - x, zero, OO, True, "derivative cosh - 1"),
        ("sign", sp.cosh(x) - 1 - x**2 / 2, -OO, OO, True, "its Taylor terms are positive"),
        ("sign", sp.atan(x) - x / (1 + x**2), zero, OO, True, "derivative 2 x^2/(1 + x^2)^2"),
        ("sign", x - sp.log(1 + x), zero, OO, True, "derivative x/(1 + x)"),
        ("sign", (1 - t(x) ** 2) / (1 + x**2), -OO, OO, True, "F' B of tanh with an arctan slope"),
        ("sign", (1 - t(x) ** 2) * (2 - x * t(x / 2)) / (1 + sp.cosh(x)), -OO, OO, False, "F' B of tanh with SS'"),
        ("sign", e(-(x**2)) - sp.Rational(1, 10**9), -OO, OO, False, "negative beyond 5"),
        ("sign", 1 + sp.cos(x), -OO, OO, True, "cos >= -1"),
        ("sign", sp.erf(x), zero, OO, True, "the integral of a positive function"),
        # increasing
        ("increasing", x**3, -OO, OO, True, "3 x^2"),
        ("increasing", x**3 - 3 * x, -OO, OO, False, "slope -3 at 0"),
        ("increasing", x**3 - 3 * x, one, OO, True, "3 (x^2 - 1)"),
        ("increasing", x / (1 + x**2), -one, one, True, "(1 - x^2)/(1 + x^2)^2"),
        ("increasing", x / (1 + x**2), -OO, OO, False, "falls beyond 1"),
        ("increasing", 3 * x**2 - 2 * x**3, zero, one, True, "6 x (1 - x), smoothstep"),
        ("increasing", 6 * x**5 - 15 * x**4 + 10 * x**3, zero, one, True, "30 x^2 (1 - x)^2, smootherstep"),
        ("increasing", 6 * x**5 - 15 * x**4 + 10 * x**3, -OO, OO, True, "30 x^2 (1 - x)^2"),
        ("increasing", x / sp.sqrt(1 + x**2), -OO, OO, True, "(1 + x^2)^(-3/2)"),
        ("increasing", t(x), -OO, OO, True, "1 - tanh^2 > 0"),
        ("increasing", sp.atan(x), -OO, OO, True, "1/(1 + x^2)"),
        ("increasing", sp.erf(x), -OO, OO, True, "2 exp(-x^2)/sqrt(pi)"),
        ("increasing", 1 / (1 + e(-x)), -OO, OO, True, "s (1 - s)"),
        ("increasing", x * e(-(x**2)), -OO, OO, False, "falls beyond 1/sqrt(2)"),
        ("increasing", x + sp.sin(x), -OO, OO, True, "1 + cos"),
        ("increasing", x + sp.Rational(11, 10) * sp.sin(x), -OO, OO, False, "-1/10 at pi"),
        ("increasing", x * t(x), zero, OO, True, "a product of positive increasing functions"),
        ("increasing", _ss(5), -OO, OO, False, "SS falls beyond 0.48"),
        ("increasing", _ss(1), -two, two, True, "SS' >= 0 while x tanh(x/2) <= 2"),
        ("increasing", x + 1 / x, zero, one, False, "1 - 1/x^2 < 0"),
        # monotone, either way
        ("monotone", x**2, -OO, OO, False, "falls, then rises"),
        ("monotone", x**2, zero, OO, True, "rises"),
        ("monotone", e(-x), -OO, OO, True, "falls"),
        ("monotone", -t(x), -OO, OO, True, "falls"),
        ("monotone", x**3 - 3 * x, -OO, OO, False, "slopes of both signs"),
        ("monotone", sp.cosh(x), -OO, OO, False, "falls, then rises"),
        ("monotone", _ss(1), -OO, OO, False, "SS turns at 2.3994"),
        ("monotone", x - x**3 / 3, -one, one, True, "1 - x^2"),
        # constant
        ("constant", t(x) - (e(2 * x) - 1) / (e(2 * x) + 1), -OO, OO, True, "the same function twice"),
        ("constant", (x**2 - 1) / (x - 1) - x, two, OO, True, "1"),
        ("constant", sp.sin(x) ** 2 + sp.cos(x) ** 2, -OO, OO, True, "1"),
        ("constant", t(x), zero, one, False, "increasing"),
        ("constant", _ss(1) - t(x), -OO, OO, False, "not the same function"),
        ("constant", (x**3 - 1) / (x**2 + x + 1) - x, -OO, OO, True, "-1"),
    ]
    return [Question(*row) for row in rows]


# (name, F increasing on every piece, B >= 0 on every piece), by hand: SS' turns negative
_CATALOGUED = (
    ("PC", True, True),
    ("BNN+", True, False),
    ("BNN++", False, False),
    ("ApproxSign", True, True),
    ("MD-tanh", True, True),
    ("BinaryRelax", True, True),
)


def _catalogued() -> list[Question]:
    found = []
    for name, increasing, kept in _CATALOGUED:
        pair = lookup(name).pair()
        for kind, m, truth in (("increasing", pair.forward, increasing), ("sign", pair.backward, kept)):
            for expr, (a, b) in zip(m.exprs, m.ends, strict=True):
                if expr.has(X):
                    plain = expr.replace(sigmoid, lambda z: 1 / (1 + sp.exp(-z)))
                    found.append(Question(kind, plain, a, b, truth, f"{name}'s {'F' if kind == 'increasing' else 'B'}"))
    ss = lookup("BNN++").pair()
    both = ss.backward.exprs[0] ** 2
    found.append(Question("sign", both.replace(sigmoid, lambda z: 1 / (1 + sp.exp(-z))), -OO, OO, True, "SS'^2 = F' B"))
    return found


def questions() -> list[Question]:
    """All questions, in a fixed order, each once."""
    return list({q.text(): q for q in reversed(_own() + _catalogued())}.values())[::-1]


# --------------------------------------------------------------------------- the peers

Answer = bool | None
Peer = Callable[[Question], Answer]


def ours(q: Question) -> Answer:
    """theory.analytic: a proof either way, or None where it is `Undecided`."""
    try:
        if q.kind == "constant":
            return is_zero(sp.diff(q.expr, X), q.a, q.b)
        sign = sign_on(q.expr if q.kind == "sign" else sp.diff(q.expr, X), q.a, q.b)
    except Undecided:
        return None
    return sign.value is not None and (q.kind == "monotone" or sign.value >= 0)


def sympy_calculus(q: Question) -> Answer:
    """is_increasing and is_monotonic."""
    if q.kind not in ("increasing", "monotone"):
        raise NotAsked
    asked = sp.is_increasing if q.kind == "increasing" else sp.is_monotonic
    return _truth(asked(q.expr, sp.Interval.open(q.a, q.b), X))


def sympy_solveset(q: Question) -> Answer:
    """Whether the set of points against the claim is empty."""
    if q.kind == "constant":
        raise NotAsked
    inside = sp.Interval.open(q.a, q.b)
    e = q.expr if q.kind == "sign" else sp.diff(q.expr, X)
    below = _emptiness(sp.solveset(e < 0, X, inside))
    if q.kind != "monotone" or below is not False:
        return below
    return _emptiness(sp.solveset(e > 0, X, inside))


def sympy_constant(q: Question) -> Answer:
    """is_constant."""
    if q.kind != "constant":
        raise NotAsked
    return _truth(q.expr.is_constant(X))


def _truth(value: Any) -> Answer:
    return None if value is None else bool(value)


def _emptiness(found: Any) -> Answer:
    """True for the empty set, False for one with points, None where sympy leaves it open."""
    if found is sp.S.EmptySet:
        return True
    if isinstance(found, (sp.Interval, sp.FiniteSet)):
        return False
    if isinstance(found, sp.Union):
        return False if any(_emptiness(part) is False for part in found.args) else None
    return None


def z3_solver(q: Question) -> Answer:
    """Whether a point against the claim, inside the interval, is satisfiable; polynomial and rational questions."""
    import z3

    if not q.rational:
        raise NotAsked
    asked = z3.Solver()

    def solve(*claims: Any) -> Answer:
        asked.push()
        asked.add(*claims)
        result = asked.check()
        asked.pop()
        return True if result == z3.unsat else False if result == z3.sat else None

    def translated(e: Any, at: Any) -> Any:
        if e == X:
            return at
        if e.is_Rational:
            return z3.RealVal(str(e))
        parts = [translated(part, at) for part in e.args if not (e.is_Pow and part == e.exp)]
        if e.is_Add:
            return sum(parts[1:], parts[0])
        if e.is_Mul:
            return math.prod(parts[1:], start=parts[0])
        power = math.prod([parts[0]] * (abs(int(e.exp)) - 1), start=parts[0])
        return power if e.exp > 0 else 1 / power

    def between(at: Any) -> list[Any]:
        found = [] if q.a == -OO else [at > z3.RealVal(str(q.a))]
        return found if q.b == OO else [*found, at < z3.RealVal(str(q.b))]

    def value(e: Any, at: Any) -> Any:
        # one quotient, its denominator not 0: division by 0 means any number to z3
        above, below = sp.fraction(sp.together(e))
        asked.add(translated(below, at) != 0)
        return translated(above, at) / translated(below, at)

    x, y = z3.Reals("x y")
    asked.add(*between(x))
    if q.kind == "constant":
        asked.add(*between(y))
        return solve(value(q.expr, x) != value(q.expr, y))
    e = value(q.expr if q.kind == "sign" else sp.diff(q.expr, X), x)
    below = solve(e < 0)
    return solve(e > 0) if q.kind == "monotone" and below is False else below


class NotAsked(Exception):
    """The question is not of this peer's kind."""


PEERS: dict[str, tuple[Peer, str]] = {
    "proxpair": (ours, "theory"),
    "sympy is_increasing, is_monotonic": (sympy_calculus, "sympy"),
    "sympy solveset": (sympy_solveset, "sympy"),
    "sympy is_constant": (sympy_constant, "sympy"),
    "z3": (z3_solver, "z3"),
}
"""Each peer and the module it needs."""


# --------------------------------------------------------------------------- the run


def _timed(job: tuple[Peer, Question]) -> tuple[str, float]:
    """In a child: "True", "False", "none", or "not asked", and the seconds it took."""
    peer, q = job
    answer = "none"
    start = time.perf_counter()
    with contextlib.suppress(Exception):  # a peer may raise anything; whatever it is, it is no answer
        try:
            given = peer(q)
            answer = "none" if given is None else str(given)
        except NotAsked:
            answer = "not asked"
    return answer, time.perf_counter() - start


def ask(peer: Peer, q: Question, limit: float) -> tuple[str, float]:
    """The answer of one peer in a process of its own, and its seconds (the limit if it was killed)."""
    given = next(guarded(_timed, [(peer, q)], limit))
    return ("none", limit) if isinstance(given, Lost) else given


def measure(asked: Sequence[Question], peers: dict[str, tuple[Peer, str]], limit: float) -> dict[str, Any]:
    """Right, wrong and missing answers and times of each peer, and every answer."""
    rows: list[dict[str, Any]] = []
    log = [
        {"question": q.text(), "kind": q.kind, "truth": q.truth, "why": q.why, "answers": {}, "seconds": {}}
        for q in asked
    ]
    reference: list[float] = []
    for name, (peer, module) in peers.items():
        if importlib.util.find_spec(module) is None:
            rows.append({"peer": name, "installed": False})
            continue
        importlib.import_module(module)  # before the fork: importing is not timed
        taken: list[float] = []
        same: list[float] = []
        count = {"right": 0, "wrong": 0, "none": 0}
        for i, q in enumerate(asked):
            answer, seconds = ask(peer, q, limit)
            if not rows:
                reference.append(seconds)
            if answer == "not asked":
                continue
            log[i]["answers"][name], log[i]["seconds"][name] = answer, seconds
            count["none" if answer == "none" else "right" if answer == str(q.truth) else "wrong"] += 1
            taken.append(seconds)
            same.append(reference[i])
        row = {"peer": name, "installed": True, "asked": len(taken), **count}
        if taken:
            ratio = sum(taken) / sum(same)
            row |= {"seconds": sum(taken), "median": statistics.median(taken), "ratio": ratio}
        rows.append(row)
    return {"limit": limit, "rows": rows, "questions": log}


def table(found: dict[str, Any]) -> str:
    """The rows as text; seconds are sums and medians over the questions asked, the ratio is of the sums."""
    head = f"{'':<36}{'asked':>6}{'right':>6}{'wrong':>6}{'none':>6}{'seconds':>9}{'median':>9}{'ratio':>8}"
    lines = [head]
    for r in found["rows"]:
        if not r["installed"]:
            lines.append(f"{r['peer']:<36}not installed")
            continue
        times = f"{r['seconds']:>9.2f}{r['median']:>9.4f}{r['ratio']:>8.1f}" if r["asked"] else ""
        lines.append(f"{r['peer']:<36}{r['asked']:>6}{r['right']:>6}{r['wrong']:>6}{r['none']:>6}{times}")
    lines.append(f"limit {found['limit']:g} s a question; no answer: exceptions and kills too; ratio: to the first row")
    return "\n".join(lines)


def wrong(found: dict[str, Any]) -> list[str]:
    """A line for every wrong answer."""
    return [
        f"wrong: {peer} says {answer}: {row['question']} (truth {row['truth']}: {row['why']})"
        for row in found["questions"]
        for peer, answer in row["answers"].items()
        if answer not in ("none", str(row["truth"]))
    ]


def main(arguments: Sequence[str] | None = None) -> None:
    reader = argparse.ArgumentParser(description="The prover beside sympy and z3 on the same questions.")
    reader.add_argument("--json", action="store_true", help="print one object instead of the table")
    reader.add_argument("--quick", action="store_true", help=f"every {QUICK_EVERY}th question, {QUICK_LIMIT:g} s each")
    reader.add_argument("--limit", type=float, default=None, help=f"seconds a question, {LIMIT:g} by default")
    options = reader.parse_args(arguments)
    asked = questions()[::QUICK_EVERY] if options.quick else questions()
    limit = options.limit or (QUICK_LIMIT if options.quick else LIMIT)
    found = measure(asked, PEERS, limit)
    print(json.dumps(found, indent=1) if options.json else "\n".join([table(found), *wrong(found)]))


if __name__ == "__main__":
    main()
