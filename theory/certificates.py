"""Writes the certificate of a verdict: finds a proof for every lemma that the checker asks for.

The obligations are the checker's own (`theory.checker.audit`): the writer walks through them with the
verdict of the prover in hand and searches, for each lemma, a proof by the checker's rules, guided by
the prover's algebra (factors, zeros, breakpoints). What it writes is checked again from its bytes
before it is handed out; a verdict whose certificate does not pass has none.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from fractions import Fraction
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import _factors, _touching_zero, exp_rational, limit_at, solve_level
from theory.checker import audit, limits
from theory.checker.audit import SCHEMA, Audit, Region, load, start_afresh, verify
from theory.checker.forms import is_zero, normal, term_of_poly
from theory.checker.places import OnInterval, resolve
from theory.checker.rules import Prover, cell_holds, enclosed_end, statement
from theory.checker.terms import (
    NOO,
    ONE,
    OO,
    PI,
    SWITCHES,
    ZERO,
    Rejected,
    Term,
    X,
    add,
    call,
    derivative,
    mul,
    neg,
    num,
    power,
    read,
    root,
    show,
    sub,
    substitute,
)
from theory.deadline import limit
from theory.decision import Refuted, anatomy, unfolded
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import X as SYMPY_X
from theory.exact import as_exact, sigmoid
from theory.pairs import QuantizerPair, Verdict
from theory.parser import parse

Proof = dict[str, Any]
_PROVER = Prover()
_RANGE: Proof = {"by": "range"}
_MAX_CELLS = 1500
_MAX_DEPTH = 7
_STEPS = 20_000_000


# --------------------------------------------------------------------------- sympy and terms


def term_of(e: Any) -> Term:
    """A sympy expression in x as a term of the checker. Raises `Undecided` where it has none."""
    if e == SYMPY_X:
        return X
    if e.is_Rational:
        return num(Fraction(int(e.p), int(e.q)))
    if e is sp.oo or e is -sp.oo:
        return OO if e is sp.oo else NOO
    if e is sp.pi:
        return PI
    if e is sp.E:
        return call("exp", ONE)
    if e.is_Add:
        return add(*(term_of(a) for a in e.args))
    if e.is_Mul:
        return mul(*(term_of(a) for a in e.args))
    if e.is_Pow and e.exp.is_Rational and e.base is not sp.E:
        return power(term_of(e.base), Fraction(int(e.exp.p), int(e.exp.q)))
    if e.is_Pow and e.base is not sp.E and not e.base.has(SYMPY_X):
        return call("exp", mul(term_of(e.exp), call("log", term_of(e.base))))
    if isinstance(e, sp.polys.rootoftools.ComplexRootOf):
        return _root_term(e)
    for kind, name in _FUNCTIONS.items():
        if isinstance(e, kind):
            return call(name, term_of(e.args[0]))
    if isinstance(e, sp.tan):
        g = term_of(e.args[0])
        return mul(call("sin", g), power(call("cos", g), Fraction(-1)))
    raise Undecided(f"{e} has no form in a certificate")


_FUNCTIONS = {
    sp.exp: "exp",
    sp.log: "log",
    sp.sin: "sin",
    sp.cos: "cos",
    sp.atan: "atan",
    sp.erf: "erf",
    sp.tanh: "tanh",
    sp.sinh: "sinh",
    sp.cosh: "cosh",
    sigmoid: "sigmoid",
}


def _root_term(e: Any) -> Term:
    """An algebraic number by an interval with rational ends in which its polynomial changes sign once."""
    for bits in range(8, 200, 8):
        width = sp.Rational(1, 2**bits)
        middle = e.eval_rational(dx=width, dy=width)
        lo, hi = middle - 2 * width, middle + 2 * width
        if e.poly.count_roots(lo, hi) == 1 and e.poly.eval(lo) * e.poly.eval(hi) < 0:
            coefficients = tuple(Fraction(int(c.p), int(c.q)) for c in reversed(e.poly.all_coeffs()))
            return root(Fraction(int(lo.p), int(lo.q)), Fraction(int(hi.p), int(hi.q)), coefficients)
    raise Undecided(f"the algebraic number {e} is not isolated")


def sympy_of(t: Term) -> Any:
    """A term as a sympy expression."""
    if t is X:
        return SYMPY_X
    if t.op == "num":
        return sp.Rational(t.args[0].numerator, t.args[0].denominator)
    if t.op in ("oo", "-oo"):
        return sp.oo if t is OO else -sp.oo
    if t.op == "pi":
        return sp.pi
    if t.op == "add":
        return sp.Add(*(sympy_of(s) for s in t.args))
    if t.op == "mul":
        return sp.Mul(*(sympy_of(s) for s in t.args))
    if t.op == "pow":
        return sympy_of(t.args[0]) ** sp.Rational(t.args[1].numerator, t.args[1].denominator)
    for kind, name in _FUNCTIONS.items():
        if t.op == name:
            return kind(sympy_of(t.args[0]))
    raise Undecided(f"{t!r} has no symbolic form here")


# --------------------------------------------------------------------------- searching proofs


def _holds(f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> bool:
    try:
        _PROVER.prove(f, relation, a, b, proof, depth)
    except Rejected:
        return False
    return True


def search(f: Term, relation: str, a: Term, b: Term, depth: int = 0) -> Proof:
    """A proof of f > 0 (or >= 0) on (a, b) by the checker's rules. Raises `Undecided` if none is found."""
    key = (f, relation, a, b)
    known = _FOUND.get(key)
    if isinstance(known, dict) and _holds(f, relation, a, b, known, depth):
        return known
    if isinstance(known, int) and known <= depth:
        raise _stuck(f, relation, a, b)
    try:
        proof = _FOUND[key] = _search(f, relation, a, b, depth)
    except Undecided:
        _FOUND[key] = depth
        raise
    return proof


_FOUND: dict[tuple[Term, str, Term, Term], Proof | int] = {}
"""Lemmas met in this certificate: the proof, or the depth at which the search failed."""


def _search(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof:
    simple: list[Proof] = [_RANGE]
    if relation == ">=":
        simple.append({"by": "zero"})
    if f.size < 4000:
        simple += [{"by": "sturm"}, {"by": "circle"}]
    for proof in simple:
        if _holds(f, relation, a, b, proof, depth):
            return proof
    if depth >= _MAX_DEPTH:
        raise _stuck(f, relation, a, b)
    _refuse_false(f, relation, a, b)
    for attempt in _ATTEMPTS:
        try:
            found = attempt(f, relation, a, b, depth)
        except (Undecided, Rejected):
            continue
        if found is not None and _holds(f, relation, a, b, found, depth):
            return found
    raise _stuck(f, relation, a, b)


def _stuck(f: Term, relation: str, a: Term, b: Term) -> Undecided:
    return Undecided(f"no certificate found for: {statement(f, relation, a, b)[:300]}")


def _refuse_false(f: Term, relation: str, a: Term, b: Term) -> None:
    """Stop early where a sample shows that the lemma is false."""
    for m in audit._samples(a, b):
        if limits.defined_at(f, m) and limits.sign(substitute(f, m)) < 0:
            raise _stuck(f, relation, a, b)


def _sign_word(g: Term, a: Term, b: Term) -> int:
    s = audit._sign_inside(g, a, b)
    if s == 0:
        for m in audit._samples(a, b):
            s = s or (limits.sign(substitute(g, m)) if limits.defined_at(g, m) else 0)
    return s


def _by_product(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    if f.op != "mul":
        return None
    factors: list[dict[str, Any]] = []
    for g in f.args:
        whole = g.op == "pow" and g.args[1].denominator == 1
        base = g.args[0] if whole else g
        e = g.args[1] if whole else Fraction(1)
        if whole and e % 2 == 0 and (relation == ">=" or e < 0):
            factors.append({"sign": ">", "proof": None})
            continue
        s = _sign_word(base, a, b)
        if s == 0:
            return None
        h = base if s > 0 else neg(base)
        word = ">" if s > 0 else "<"
        if not h.has_x:
            factors.append({"sign": word, "proof": _RANGE})
            continue
        if relation == ">" or e < 0:
            factors.append({"sign": word, "proof": search(h, ">", a, b, depth + 1)})
        else:
            factors.append({"sign": word + "=", "proof": search(h, ">=", a, b, depth + 1)})
    return {"by": "product", "factors": factors}


def _by_factors(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    """f rewritten as a product of the factors that the prover's normal form shows."""
    if f.op == "mul" and all(s.op != "add" and s.op != "pow" for s in f.args):
        return None
    expr = sympy_of(f)
    form = exp_rational(expr)
    if form is not None:
        parts = [
            mul(*(power(term_of(form.back(q)), Fraction(int(m))) for q, m in sp.factor_list(poly)[1]))
            for poly in (form.num, form.den)
        ]
        content = [sp.factor_list(poly)[0] for poly in (form.num, form.den)]
        g = mul(term_of(content[0] / content[1]), parts[0], power(parts[1], Fraction(-1)))
    else:
        g = mul(*(power(term_of(q), Fraction(m)) for q, m in _factors(expr)))
    candidates = [g]
    if form is None:
        with contextlib.suppress(OutOfTime, Undecided), limit(0.5):
            candidates.append(term_of(sp.factor_terms(sp.simplify(expr))))
    for g in candidates:
        if g is f or g.size > 3 * f.size or (g.op != "mul" and g.size > 0.8 * f.size) or not is_zero(sub(f, g)):
            continue
        with contextlib.suppress(Undecided, Rejected):
            inner = _by_product(g, relation, a, b, depth + 1) if g.op == "mul" else search(g, relation, a, b, depth + 3)
            if inner is not None:
                return {"by": "equal", "to": show(g), "proof": inner}
    return None


def _by_root(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    """Fractional powers of the distance from one end become whole."""
    for end, c in (("left", a), ("right", b)):
        if c in (OO, NOO):
            continue
        g = substitute(f, add(c, X) if end == "left" else sub(c, X))
        q = limits.root_degree(g)
        if q == 1:
            continue
        length = OO if b is OO or a is NOO else power(sub(b, a), Fraction(1, q))
        inner = search(limits.with_root(g, q), relation, ZERO, length, depth + 1)
        return {"by": "root", "end": end, "degree": q, "proof": inner}
    return None


def _by_logarithm(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    """A logarithm of the distance from one end becomes a polynomial term."""
    for end, c in (("left", a), ("right", b)):
        if c in (OO, NOO):
            continue
        g = substitute(f, add(c, X) if end == "left" else sub(c, X))
        if not _has_log_of_x(g):
            continue
        low = NOO if b is OO or a is NOO else neg(call("log", sub(b, a)))
        h = substitute(g, call("exp", neg(X)))
        top, bottom = normal(h)
        simple = mul(term_of_poly(top), power(term_of_poly(bottom), Fraction(-1)))
        inner = search(simple, relation, low, OO, depth + 1)
        return {"by": "logarithm", "end": end, "proof": {"by": "equal", "to": show(simple), "proof": inner}}
    return None


def _has_log_of_x(t: Term) -> bool:
    if t.op == "log" and limits.multiple_of_x(t.args[0]) is not None:
        return True
    return any(_has_log_of_x(s) for s in t.args if isinstance(s, Term))


def _by_exponential(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    """A sum with logarithms is positive where its exponential exceeds 1."""
    if not any(n.has(SYMPY_X) for n in sympy_of(f).atoms(sp.log)) or depth > 4:
        return None
    top, bottom = normal(call("exp", f))
    g = mul(term_of_poly(top), power(term_of_poly(bottom), Fraction(-1)))
    if not is_zero(sub(call("exp", f), g)):
        return None
    return {"by": "exponential", "to": show(g), "proof": search(sub(g, ONE), relation, a, b, depth + 1)}


def _by_conjugate(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    """f times its conjugate, in which a square root has the other sign, has no such root."""
    expr = sympy_of(f)
    roots = sorted((n for n in expr.atoms(sp.Pow) if n.has(SYMPY_X) and n.exp == sp.Rational(1, 2)), key=str)
    if not roots or depth > 4:
        return None
    for r in roots[:2]:
        other = term_of(expr.subs(r, -r))
        s = _sign_word(other, a, b)
        if s == 0:
            continue
        g = other if s > 0 else neg(other)
        positive = next((p for p in (_RANGE,) if _holds(g, ">", a, b, p, depth + 1)), None)
        if positive is None:
            continue
        whole = mul(f, g)
        short = term_of(sp.factor_terms(sp.expand(sympy_of(whole))))
        if not is_zero(sub(whole, short)):
            continue
        inner = search(short, relation, a, b, depth + 2)
        return {
            "by": "times",
            "factor": show(g),
            "positive": positive,
            "proof": {"by": "equal", "to": show(short), "proof": inner},
        }
    return None


def _by_shift(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    """Exponentials of a x + c become those of a x where that makes f a polynomial in one of them."""
    from theory.analytic import unshifted

    moved = unshifted(sympy_of(f))
    if moved is None:
        return None
    c = neg(term_of(moved[1]))

    def there(e: Term) -> Term:
        return e if e in (OO, NOO) else sub(e, c)

    g = substitute(f, add(X, c))
    return {
        "by": "shift",
        "by_constant": show(c),
        "proof": search(g, relation, there(a), there(b), depth + 1),
    }


def _by_inversion(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    if a is NOO or limits.sign(a) < 0 or depth > 3:
        return None
    from theory.analytic import _inverted

    if _inverted(sympy_of(f), sympy_of(a), sympy_of(b)) is None:
        return None
    high = OO if limits.sign(a) == 0 else power(a, Fraction(-1))
    low = ZERO if b is OO else power(b, Fraction(-1))
    g = substitute(f, power(X, Fraction(-1)))
    h = term_of(sp.expand(sympy_of(f).subs(SYMPY_X, 1 / SYMPY_X)))
    inner = search(h, relation, low, high, depth + 1)
    if h is not g:
        inner = {"by": "equal", "to": show(h), "proof": inner}
    return {"by": "invert", "proof": inner}


def _by_interval(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    """Zones at the ends, cells between them, zeros inside as cuts."""
    if relation == ">=" and depth < 3:
        zeros = _inner_zeros(f, a, b)
        if zeros:
            points = [a, *zeros, b]
            return _split(zeros, [search(f, relation, p, q, depth + 1) for p, q in pairwise(points)])
    if a is NOO and b is OO:
        for c in (ZERO, ONE, num(-1)):
            if _fine_cut(f, relation, c):
                return _split([c], [search(f, relation, a, c, depth + 1), search(f, relation, c, b, depth + 1)])
        return None
    if a is NOO:
        g = substitute(f, neg(X))
        return {"by": "reflect", "proof": search(g, relation, neg(b), OO, depth + 1)}
    if b is OO:
        return _with_tail(f, relation, a, depth)
    return _finite(f, relation, a, b, depth)


def _fine_cut(f: Term, relation: str, c: Term) -> bool:
    return relation == ">=" or (limits.defined_at(f, c) and limits.sign(substitute(f, c)) > 0)


def _split(cuts: list[Term], proofs: list[Proof]) -> Proof:
    if not cuts:
        return proofs[0]
    return {"by": "split", "at": [show(c) for c in cuts], "proofs": proofs}


def _with_tail(f: Term, relation: str, a: Term, depth: int) -> Proof:
    """A point beyond which one rule shows the sign, and the finite rest."""
    start = max(Fraction(1), Fraction(limits.floor(a) + 1))
    candidates = [start * 2**k for k in range(0, 24, 1)]
    tails: list[Proof] = [{"by": "dominance"}, _RANGE]
    for m in candidates:
        c = num(m)
        if not _fine_cut(f, relation, c):
            continue
        for tail in tails:
            if _holds(f, relation, c, OO, tail, depth + 1):
                return _split([c], [_finite_or_simple(f, relation, a, c, depth), tail])
    if depth < 4:
        whole = _by_slope(f, relation, a, OO, depth)
        if whole is not None:
            return whole
        for m in candidates[1:8:2]:
            c = num(m)
            if not _fine_cut(f, relation, c):
                continue
            slope = _by_slope(f, relation, c, OO, depth)
            if slope is not None:
                return _split([c], [_finite_or_simple(f, relation, a, c, depth), slope])
    raise _stuck(f, relation, a, OO)


def _finite_or_simple(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof:
    return search(f, relation, a, b, depth + 1)


def _by_slope(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof | None:
    """f rises from a limit >= 0, or falls to one."""
    df = derivative(f)
    for end, at, side, slope in (("left", a, 1, df), ("right", b, -1, neg(df))):
        try:
            start = limits.limit(f, at, side)
            if start is NOO or (start is not OO and limits.sign(start) < 0):
                continue
            return {"by": "monotone", "from": end, "proof": search(slope, ">=", a, b, depth + 2)}
        except (Rejected, Undecided):
            continue
    return None


def _finite(f: Term, relation: str, a: Term, b: Term, depth: int) -> Proof:
    """A bounded interval: Taylor zones where f vanishes at an end, boxes elsewhere, zeros inside as cuts."""
    for allowed in (150, _MAX_CELLS):
        cuts, failed_at = _cells(f, relation, a, b, allowed)
        if failed_at is None:
            return {"by": "boxes", "cuts": [str(c) for c in cuts]}
        if allowed < _MAX_CELLS and depth < 4:
            with contextlib.suppress(Undecided):
                slope = _by_slope(f, relation, a, b, depth)
                if slope is not None:
                    return slope
        if failed_at is not None and not _positive_ends(f, a, b):
            break
    zeros = [] if relation == ">" else _inner_zeros(f, a, b)
    if zeros:
        points = [a, *zeros, b]
        return _split(zeros, [search(f, relation, p, q, depth + 1) for p, q in pairwise(points)])
    left = _zone(f, relation, a, b, "left", depth)
    right = _zone(f, relation, a, b, "right", depth)
    points = [a, *([left[1]] if left else []), *([right[1]] if right else []), b]
    if not left and not right:
        slope = _by_slope(f, relation, a, b, depth) if depth < 4 else None
        if slope is not None:
            return slope
        raise _stuck(f, relation, a, b)
    if any(limits.compare(p, q) > 0 for p, q in pairwise(points)):
        raise _stuck(f, relation, a, b)
    proofs: list[Proof] = []
    cut_points: list[Term] = []
    lo, hi = a, b
    if left:
        proofs.append(left[0])
        lo = left[1]
    if right:
        hi = right[1]
    if left and limits.compare(lo, b) == 0:
        return left[0]
    if right and limits.compare(hi, a) == 0:
        return right[0]
    if limits.compare(lo, hi) < 0:
        middle, failed = _cells(f, relation, lo, hi)
        if failed is not None:
            raise _stuck(f, relation, lo, hi)
        if left:
            cut_points.append(lo)
        proofs.append({"by": "boxes", "cuts": [str(c) for c in middle]})
        if right:
            cut_points.append(hi)
    else:
        cut_points.append(lo)
    if right:
        proofs.append(right[0])
    return _split(cut_points, proofs)


def _positive_ends(f: Term, a: Term, b: Term) -> bool:
    return all(limits.defined_at(f, c) and limits.sign(substitute(f, c)) > 0 for c in (a, b))


def _zone(f: Term, relation: str, a: Term, b: Term, end: str, depth: int) -> tuple[Proof, Term] | None:
    """A proof beside one end and the rational up to which it reaches; None if boxes do there."""
    c = a if end == "left" else b
    if limits.defined_at(f, c) and limits.sign(substitute(f, c)) > 0:
        return None
    for stop in _approach(c, b if end == "left" else a, end):
        lo, hi = (c, stop) if end == "left" else (stop, c)
        if not (limits.compare(stop, a) == 0 or limits.compare(stop, b) == 0) and not _fine_cut(f, relation, stop):
            continue
        try:
            k, _ = limits.order(f, c)
        except Rejected:
            k = 0
        if k:
            proof: Proof = {"by": "taylor", "end": end, "order": k, "proof": _RANGE}
            if _holds(f, relation, lo, hi, proof, depth + 1):
                return proof, stop
            g = f
            for _ in range(k):
                g = derivative(g)
            cells, failed = _cells(neg(g) if end == "right" and k % 2 else g, relation, lo, hi)
            if failed is None:
                return {**proof, "proof": {"by": "boxes", "cuts": [str(v) for v in cells]}}, stop
        else:
            if _holds(f, relation, lo, hi, _RANGE, depth + 1):
                return _RANGE, stop
            if depth < 4:
                slope = _by_slope(f, relation, lo, hi, depth)
                if slope is not None and _holds(f, relation, lo, hi, slope, depth + 1):
                    return slope, stop
    raise _stuck(f, relation, a, b)


def _approach(c: Term, other: Term, end: str) -> Iterable[Term]:
    """The other end, then rationals that come closer to c."""
    yield other
    for k in range(1, 40, 3):
        near = add(mul(num(1 - Fraction(1, 2**k)), c), mul(num(Fraction(1, 2**k)), other))
        closer = add(mul(num(1 - Fraction(3, 2 ** (k + 2))), c), mul(num(Fraction(3, 2 ** (k + 2))), other))
        p, q = (closer, near) if end == "left" else (near, closer)
        yield num(limits.between(p, q))


def _cells(
    f: Term, relation: str, a: Term, b: Term, allowed: int = _MAX_CELLS
) -> tuple[list[Fraction], Fraction | None]:
    """(cuts, None) if every cell between them holds, or (cuts so far, a point where the search got stuck)."""
    df = derivative(f)
    ends = enclosed_end(a), enclosed_end(b)
    cuts: list[Fraction] = []
    stack: list[tuple[Fraction | None, Fraction | None, int]] = [(None, None, 0)]
    used = 0
    while stack:
        lo, hi, level = stack.pop()
        used += 1
        if cell_holds(f, df, lo, hi, ends, relation):
            if hi is not None:
                cuts.append(hi)
            continue
        middle = limits.between(a if lo is None else num(lo), b if hi is None else num(hi))
        if lo is not None and hi is not None:
            middle = (lo + hi) / 2
        if level > 34 or used > allowed:
            return cuts, middle
        if level in (10, 20) and (lo is None or hi is None):
            c = a if lo is None else b
            if limits.defined_at(f, c) and limits.sign(substitute(f, c)) == 0 and relation == ">":
                return cuts, middle
        stack += [(middle, hi, level + 1), (lo, middle, level + 1)]
    return cuts, None


def _inner_zeros(f: Term, a: Term, b: Term) -> list[Term]:
    """Zeros of f inside (a, b), where an inequality >= 0 can only be touched."""
    e, lo, hi = sympy_of(f), sympy_of(a), sympy_of(b)
    points: list[Any] = []
    with contextlib.suppress(Undecided):
        points = list(solve_level(e, sp.Integer(0), lo, hi).points)
    if not points:
        with contextlib.suppress(Undecided):
            touching = _touching_zero(e, lo, hi)
            points = [] if touching is None else [touching]
    if not points:
        for c in (ZERO,):
            if limits.compare(a, c) < 0 < limits.compare(b, c) and limits.defined_at(f, c):
                points = [sp.Integer(0)] if limits.sign(substitute(f, c)) == 0 else []
    return [term_of(p) for p in points]


_ATTEMPTS = (
    _by_product,
    _by_shift,
    _by_factors,
    _by_root,
    _by_logarithm,
    _by_exponential,
    _by_conjugate,
    _by_interval,
    _by_inversion,
)


# --------------------------------------------------------------------------- the writer


class _Writer(Audit):
    """Walks through the checker's obligations and fills in what the file will hold."""

    def proof_of(self, text: str, piece: dict[str, Any], lemma: tuple[Term, str, Term, Term]) -> Any:
        for entry in piece["lemmas"]:
            if entry["statement"] == text:
                return entry["proof"]
        proof = search(*lemma)
        piece["lemmas"].append({"statement": text, "proof": proof})
        return proof

    def agree(self, piece: dict[str, Any], key: str, t: Term) -> None:
        piece[key] = show(t)

    def check_piece_form(self, piece: Any) -> None:
        piece.update(kind=None, forward=None, backward=None, lemmas=[], integral=None)

    def check_all_used(self, piece: dict[str, Any]) -> None:
        """Every lemma was asked for when it was written."""

    def kind(self, piece: dict[str, Any], f: Term, g: Term) -> str:
        flat, null = is_zero(derivative(f)), is_zero(g)
        piece["kind"] = ("Z" if null else "K") if flat else "S"
        return str(piece["kind"])

    def hint(self, piece: dict[str, Any], region: Region) -> dict[str, Any]:
        df = derivative(region.f)
        hint: dict[str, Any] = {"ratio": None, "zeros": [], "left": None, "right": None}
        ratio = _ratio_text(df, region)
        if ratio is not None:
            hint["ratio"] = show(ratio)
        else:
            points = solve_level(sympy_of(region.g), sp.Integer(0), sympy_of(region.a), sympy_of(region.b)).points
            hint["zeros"] = [show(term_of(p)) for p in points]
        for key, end, side in (("left", region.a, 1), ("right", region.b, -1)):
            if end not in (OO, NOO):
                hint[key] = self._end_hint(region, df, ratio, end, side)
        piece["integral"] = hint
        return hint

    def _end_hint(self, region: Region, df: Term, ratio: Term | None, end: Term, side: int) -> dict[str, Any] | None:
        scratch: dict[str, Any] = {"lemmas": []}
        try:
            self.end_integrable(scratch, region, df, ratio, end, side, None)
        except Rejected:
            for bound in _bounds(region, end, side):
                scratch = {"lemmas": []}
                try:
                    with limit(1.0):
                        self.end_integrable(scratch, region, df, ratio, end, side, bound)
                except (Rejected, Undecided, OutOfTime):
                    continue
                return bound
        return None


def _bounds(region: Region, end: Term, side: int) -> Iterable[dict[str, Any]]:
    """Bounds C/(d^p |log d|^q) of F'/B worth trying, the exponent read off its local one."""
    ratio = sp.simplify(sp.diff(sympy_of(region.f), SYMPY_X) / sympy_of(region.g))
    local = sp.simplify((SYMPY_X - sympy_of(end)) * sp.diff(ratio, SYMPY_X) / ratio)
    order = limit_at(local, sympy_of(end), side)
    if order.is_Rational and order > -1:
        p = max(Fraction(int(-order.p), int(order.q)), Fraction(0))
        weights = [((p + 1) / 2, Fraction(0)), *([(p, Fraction(0))] if p > 0 else [])]
    else:
        weights = [(Fraction(1), Fraction(q)) for q in (2, Fraction(5, 4), Fraction(3, 2))]
    other = region.b if side > 0 else region.a
    for k in (2, 5, 10):
        to = add(end, num(Fraction(side, 2**k)))
        if other not in (OO, NOO) and limits.compare(to, other) * side > 0:
            continue
        for p, q in weights:
            for c in (2, 32):
                yield {"exponent": str(p), "logarithm": str(q), "constant": str(c), "to": show(to)}


def _must_be_found(f: Term, relation: str, a: Term, b: Term) -> None:
    search(f, relation, a, b)


def _ratio_text(df: Term, region: Region) -> Term | None:
    """h analytic on the piece with F' = h B, as short as the prover's algebra makes it."""
    from theory.decision import _ratio

    candidates: list[Term] = [ONE]
    with contextlib.suppress(Undecided):
        candidates.append(term_of(_ratio(sympy_of(df), sympy_of(region.g))))
    with contextlib.suppress(Undecided):
        form = exp_rational(sympy_of(df) / sympy_of(region.g))
        if form is not None:
            candidates.append(term_of(form.back(form.num) / form.back(form.den)))
    candidates.append(mul(df, power(region.g, Fraction(-1))))
    for h in candidates:
        if not is_zero(sub(df, mul(h, region.g))):
            continue
        try:
            resolve(h, OnInterval(region.a, region.b, _must_be_found))
        except (Rejected, Undecided):
            continue
        return h
    return None


def _switch_points(texts: Iterable[Term]) -> list[Any]:
    """Exact points at which a switch of a text changes (as sympy constants)."""
    points: list[Any] = []
    seen: set[Term] = set()

    def walk(t: Any) -> None:
        if isinstance(t, tuple):
            if len(t) == 3 and t[0] == "cmp":
                note(f"sign({show(t[2])})")
            for s in t:
                walk(s)
            return
        if not isinstance(t, Term) or t in seen:
            return
        seen.add(t)
        for s in t.args:
            walk(s)
        if t.op in SWITCHES and t.op != "piecewise":
            shown = {
                "max": "sign({0} - ({1}))",
                "min": "sign({0} - ({1}))",
                "abs": "sign({0})",
                "heaviside": "sign({0})",
            }
            if t.op in ("floor", "round") or t.op == "sign":
                note(show(t))
            else:
                note(shown[t.op].format(*(show(s) for s in t.args)))

    def note(text: str) -> None:
        try:
            points.extend(parse(text).breaks)
        except (InputError, Undecided):
            return  # not defined everywhere: its breakpoints are among those of the whole map, or the search fails

    for t in texts:
        walk(t)
    return points


def _sorted(points: Iterable[Any]) -> list[Term]:
    ordered: list[Term] = []
    for p in points:
        t = term_of(p)
        place = 0
        while place < len(ordered) and limits.compare(ordered[place], t) < 0:
            place += 1
        if place == len(ordered) or limits.compare(ordered[place], t) != 0:
            ordered.insert(place, t)
    return ordered


def certificate(
    forward: str, backward: str, pair: QuantizerPair, verdict: Verdict, params: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """The certificate of a verdict on the pair that the two texts describe, as a JSON object.

    ``params``: the exact values of the parameters in the texts. The checker has accepted what is
    returned. Raises `Undecided` where the verdict is undecided or no certificate was found.
    """
    if verdict.grade == "undecided":
        raise Undecided("an undecided verdict has no certificate")
    start_afresh(_STEPS)
    _FOUND.clear()
    pair = unfolded(pair)
    try:
        parameters = {
            name: show(term_of(as_exact(value, f"an exact value of parameter {name}")))
            for name, value in sorted((params or {}).items())
        }
        head = {
            "schema": SCHEMA,
            "claim": {"forward": forward, "backward": backward, "parameters": parameters, "verdict": verdict.grade},
        }
        made = _principled(head, pair) if verdict.principled else _refuted(head, pair, verdict)
    except Rejected as reason:
        raise Undecided(f"no certificate found: {reason}") from None
    try:
        verify(load(to_bytes(made)))
    except Rejected as reason:
        raise Undecided(f"no certificate found: {reason}") from None
    return made


def to_bytes(made: dict[str, Any]) -> bytes:
    """The file of a certificate."""
    return (json.dumps(made, indent=1, ensure_ascii=True) + "\n").encode("ascii")


def _names(head: dict[str, Any]) -> dict[str, Term]:
    return {name: read(text) for name, text in head["claim"]["parameters"].items()}


def _points(head: dict[str, Any], pair: QuantizerPair) -> list[Term]:
    names = _names(head)
    texts = [read(head["claim"][k], names) for k in ("forward", "backward")]
    return _sorted([*pair.forward.breaks, *pair.backward.breaks, *_switch_points(texts)])


def _covered(head: dict[str, Any], points: list[Term]) -> dict[str, Any]:
    return {**head, "breakpoints": [show(p) for p in points], "pieces": [{} for _ in points[1:]]}


def _principled(head: dict[str, Any], pair: QuantizerPair) -> dict[str, Any]:
    made = _covered(head, [NOO, *_points(head, pair), OO])
    _Writer(made).run()
    return made


def _refuted(head: dict[str, Any], pair: QuantizerPair, verdict: Verdict) -> dict[str, Any]:
    w = verdict.witness
    assert w is not None
    if w.kind in ("level-set-with-several-slopes", "slope-outside-subdifferential"):
        return _refuted_run(head, pair)
    candidates: list[dict[str, Any]] = []
    points = [show(term_of(p)) for p in w.points]
    if len(w.points) == 2:
        points.append(show(term_of((w.points[0] + w.points[1]) / 2)))
    for p in points:
        if w.kind == "unbounded":
            candidates += [
                {"kind": w.kind, "map": m, "point": p, "side": s}
                for m in ("forward", "backward")
                for s in ("left", "right")
            ]
        elif w.kind == "not-integrable":
            candidates += [{"kind": w.kind, "point": p, "side": s, "bound": None} for s in ("left", "right")]
        else:
            candidates.append({"kind": w.kind, "point": p})
    for found in candidates:
        made = {**head, "witness": found}
        try:
            _Writer(made).run()
        except (Rejected, Undecided):
            continue
        return made
    if w.kind == "not-integrable":
        return _refuted_integral(head, points[0])
    raise Undecided(f"no certificate found for the witness {w.kind}")


def _refuted_integral(head: dict[str, Any], point: str) -> dict[str, Any]:
    """F'/B at least C/|x - c|, or C/(|x - c| |log|x - c||), beside c."""
    names = _names(head)
    texts = [read(head["claim"][k], names) for k in ("forward", "backward")]
    c = read(point)
    tries = [
        (side, k, logarithm, constant)
        for constant in (Fraction(1, 16), Fraction(1, 2**20))
        for k in (2, 6, 16)
        for logarithm in (False, True)
        for side in (1, -1)
    ]
    for side, k, logarithm, constant in tries:
        to = add(c, num(Fraction(side, 2**k)))
        lo, hi = (c, to) if side > 0 else (to, c)
        try:
            with limit(1.5):
                place = OnInterval(lo, hi, lambda *_: None)
                f, g = resolve(texts[0], place), resolve(texts[1], place)
                distance = mul(num(side), sub(X, c))
                weight = power(distance, Fraction(2))
                if logarithm:
                    weight = mul(weight, power(call("log", distance), Fraction(2)))
                slope = power(derivative(f), Fraction(2))
                gap = sub(mul(slope, weight), mul(num(constant * constant), power(g, Fraction(2))))
                bound = {
                    "constant": str(constant),
                    "to": show(to),
                    "logarithm": logarithm,
                    "proof": search(gap, ">=", lo, hi),
                }
                word = "right" if side > 0 else "left"
                made = {**head, "witness": {"kind": "not-integrable", "point": point, "side": word, "bound": bound}}
                _Writer(made).run()
        except (Rejected, Undecided, OutOfTime):
            continue
        return made
    raise Undecided("no certificate found for an integral that diverges")


def _refuted_run(head: dict[str, Any], pair: QuantizerPair) -> dict[str, Any]:
    """The run of constant pieces whose B is no slope of T."""
    try:
        parts = anatomy(pair)
    except Refuted as other:
        raise Undecided(f"no certificate found: {other}") from None
    extra = _points(head, pair)
    starts: list[tuple[Any, Any]] = []
    pieces = parts.pieces
    i = 0
    while i < len(pieces):
        if pieces[i].kind == "S":
            if i < len(parts.nodes) and pieces[i + 1].kind == "S" and not parts.nodes[i].jump:
                starts.append((parts.nodes[i].x, parts.nodes[i].x))
            i += 1
            continue
        j = i
        while j + 1 < len(pieces) and pieces[j + 1].kind != "S" and not parts.nodes[j].jump:
            j += 1
        starts.append((pieces[i].a, pieces[j].b))
        i = j + 1
    for a, b in starts:
        lo, hi = term_of(a), term_of(b)
        inside = [p for p in extra if limits.compare(lo, p) < 0 < limits.compare(hi, p)]
        points = [lo] if lo is hi else [lo, *inside, hi]
        made = {**_covered(head, points), "witness": {"kind": "slopes"}}
        try:
            _Writer(made).run()
        except (Rejected, Undecided):
            continue
        return made
    raise Undecided("no certificate found for the slopes of a run")
