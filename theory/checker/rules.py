"""The proof rules for lemmas "f > 0 (or >= 0) for all x with a < x < b".

f is analytic on the open interval (its domain is a lemma of its own). A proof is a JSON object
{"by": rule, ...}; each rule is checked by recomputing what it claims:

    range      the form of f, or its enclosure over the whole interval
    boxes      enclosures over the cells between rational cuts, by value or mean-value form
    sturm      no zero of a polynomial in x or in one exponential exp(q x) (Sturm), or even ones only
    dominance  the fastest growing term of an exponential polynomial outweighs the others up to oo
    taylor     the first derivative that does not vanish at an end has the sign on the interval
    monotone   f rises from a limit >= 0 at a, or falls to a limit >= 0 at b
    split      proofs between cuts and the sign at the cuts
    product    the signs of the factors
    equal      another form of f (proved equal by `forms`)
    reflect    x -> -x;   invert: x -> 1/x;   shift: x -> x + c
    root       x -> end +- x**q;   logarithm: x -> end +- exp(-x)
    exponential  exp(f) - 1 in place of f
    circle     a trigonometric polynomial, by Sturm in tan(q x/2), for all real x
    times      another function, positive on the interval, times f
    zero       f = 0 identically (for >= only)
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import reduce
from itertools import pairwise
from math import lcm
from typing import Any

from mpmath.libmp import finf, fninf, fzero, mpf_neg

from theory.checker.forms import Poly, atom, is_frequency, is_zero, normal, p_mul, univariate
from theory.checker.intervals import (
    STEPS,
    Interval,
    evaluate,
    hull,
    is_finite,
    is_negative,
    is_positive,
    less,
    of_fraction,
    plus,
    times,
)
from theory.checker.limits import between, compare, defined_at, growth, limit, sign, with_root
from theory.checker.terms import (
    NOO,
    ONE,
    OO,
    PI,
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
    read_constant,
    show,
    sub,
    substitute,
)

PREC = 64
MAX_CUTS = 6_000
MAX_RULE_DEPTH = 12
Proof = dict[str, Any]


def statement(f: Term, relation: str, a: Term, b: Term) -> str:
    """The lemma as a closed formula."""
    low = "" if a is NOO else f"{show(a)} < "
    high = "" if b is OO else f" < {show(b)}"
    where = f" with {low}x{high}" if low or high else ""
    return f"for all real x{where}: {show(f)} {relation} 0"


def enclosed_end(c: Term) -> Interval:
    """An enclosure of an interval's end."""
    if c is OO or c is NOO:
        return (finf, finf) if c is OO else (fninf, fninf)
    return evaluate(c, None, PREC + 16)


def box_of(a: Term, b: Term) -> Interval:
    return enclosed_end(a)[0], enclosed_end(b)[1]


# --------------------------------------------------------------------------- the sign of a form

_Shape = tuple[int, bool]  # (sign, strict): f has this sign everywhere; strict: and is never 0


def shape(f: Term, a: Term, b: Term, memo: dict[Term, _Shape | None] | None = None) -> _Shape | None:
    """The sign of f on the open interval by its form and enclosures; None if they do not show it."""
    memo = {} if memo is None else memo
    if f not in memo:
        STEPS.take()
        memo[f] = _shape(f, a, b, memo)
    return memo[f]


def _shape(f: Term, a: Term, b: Term, memo: dict[Term, _Shape | None]) -> _Shape | None:
    if not f.has_x:
        s = sign(f)
        return s, s != 0
    linear = _linear(f)
    if linear is not None:
        return _linear_shape(*linear, a, b)
    if f.op in ("exp", "cosh", "sigmoid"):
        return 1, True
    if f.op in ("tanh", "atan", "erf", "sinh"):
        return shape(f.args[0], a, b, memo)
    if f.op == "pow":
        base, e = f.args
        inner = shape(base, a, b, memo)
        if e.denominator != 1:
            # defined, so the base is >= 0
            return 1, e < 0 or (inner is not None and inner[1])
        if e % 2 == 0:
            return 1, e < 0 or (inner is not None and inner[1])
        return inner if inner is None or e > 0 else (inner[0], True)
    if f.op == "mul":
        total, strict = 1, True
        for s in f.args:
            part = shape(s, a, b, memo)
            if part is None:
                break
            total, strict = total * part[0], strict and part[1]
        else:
            return total, strict
    if f.op == "add":
        apart = _difference_of_values(f, a, b, memo)
        if apart is not None:
            return apart
        parts = [shape(s, a, b, memo) for s in f.args]
        known = [p for p in parts if p is not None]
        if len(known) == len(parts):
            signs = {p[0] for p in known if p[0]}
            if len(signs) == 1:
                return signs.pop(), any(p[1] and p[0] for p in known)
        if _above_open_bounds(f, a, b, memo):
            return 1, True
        if _above_open_bounds(neg(f), a, b, memo):
            return -1, True
    v = evaluate(f, box_of(a, b), PREC)
    if is_positive(v):
        return 1, True
    if is_negative(v):
        return -1, True
    if not less(v[0], fzero):
        return 1, False
    if not less(fzero, v[1]):
        return -1, False
    return None


_OPEN_BOUNDS = {"tanh": (-1, 1), "erf": (-1, 1), "sigmoid": (0, 1)}


def _above_open_bounds(f: Term, a: Term, b: Term, memo: dict[Term, _Shape | None]) -> bool:
    """Whether a sum exceeds the sum of the infima of its parts, that sum being >= 0.

    Parts: constants; parts that are >= 0; k times a product of powers of sin and cos (at most 1 in size),
    tanh, erf, sigmoid (below 1, the bound not attained); k atan.
    """
    total: list[Term] = []
    moves = False
    for s in f.args if f.op == "add" else (f,):
        if not s.has_x:
            total.append(s)
            continue
        k, factors = Fraction(1), s.args if s.op == "mul" else (s,)
        if factors[0].op == "num":
            k, factors = factors[0].args[0], factors[1:]
        if len(factors) == 1 and factors[0].op in _OPEN_BOUNDS:
            total.append(num(k * _OPEN_BOUNDS[factors[0].op][0 if k > 0 else 1]))
        elif len(factors) == 1 and factors[0].op == "atan":
            total.append(mul(num(-abs(k) / 2), PI))
        elif all(_at_most_one(h) for h in factors):
            total.append(num(-abs(k)))
            moves = moves or any(_below_one(h) for h in factors)
            continue
        else:
            part = shape(s, a, b, memo)
            if part is None or part[0] < 0:
                return False
            moves = moves or part[1]
            continue
        moves = True
    return moves and sign(add(*total)) >= 0


def _below_one(h: Term) -> bool:
    """Whether |h| < 1 everywhere by its form."""
    base = h.args[0] if h.op == "pow" and h.args[1] > 0 else h
    return base.op in _OPEN_BOUNDS


def _at_most_one(h: Term) -> bool:
    """Whether |h| <= 1 everywhere by its form."""
    base = h.args[0] if h.op == "pow" and h.args[1] > 0 else h
    return base.op in ("sin", "cos") or base.op in _OPEN_BOUNDS


_RISING = ("exp", "tanh", "sigmoid", "sinh", "atan", "erf")


def _difference_of_values(f: Term, a: Term, b: Term, memo: dict[Term, _Shape | None]) -> _Shape | None:
    """The shape of k (h(p) - h(q)) for an increasing h and rational k: that of k (p - q)."""
    if len(f.args) != 2:
        return None
    parts = []
    for s in f.args:
        k, h = Fraction(1), s
        if s.op == "mul" and len(s.args) == 2 and s.args[0].op == "num":
            k, h = s.args[0].args[0], s.args[1]
        parts.append((k, h))
    (k, p), (m, q) = parts
    if p.op != q.op or p.op not in _RISING or k + m != 0:
        return None
    inner = shape(sub(p.args[0], q.args[0]), a, b, memo)
    return None if inner is None else (inner[0] if k > 0 else -inner[0], inner[1])


def _linear(f: Term) -> tuple[Term, Term] | None:
    """(k, c) of f = k x + c."""
    k, c = [], []
    for s in f.args if f.op == "add" else (f,):
        if not s.has_x:
            c.append(s)
        elif s is X:
            k.append(ONE)
        elif s.op == "mul" and X in s.args and all(u is X or not u.has_x for u in s.args):
            k.append(mul(*(u for u in s.args if u is not X)))
        else:
            return None
    return (add(*k), add(*c)) if k else None


def _linear_shape(k: Term, c: Term, a: Term, b: Term) -> _Shape | None:
    slope = sign(k)
    if slope == 0:
        s = sign(c)
        return s, s != 0
    ends = []
    for end, at in ((a, -slope), (b, slope)):
        ends.append(at if end in (OO, NOO) else sign(add(mul(k, end), c)))
    if ends[0] * ends[1] < 0:
        return None
    s = ends[0] or ends[1]
    return s, True


# --------------------------------------------------------------------------- the rules


class Prover:
    """Checks proofs; ``depth`` bounds their nesting."""

    def prove(self, f: Term, relation: str, a: Term, b: Term, proof: Any, depth: int = 0) -> None:
        """Raise `Rejected` unless the proof shows f > 0 (or >= 0) on the open interval (a, b)."""
        if depth > MAX_RULE_DEPTH:
            raise Rejected("a proof is nested too deeply")
        if not isinstance(proof, dict) or not isinstance(proof.get("by"), str):
            raise Rejected(f"no proof of: {statement(f, relation, a, b)}")
        rule = _RULES.get(proof["by"])
        if rule is None:
            raise Rejected(f"unknown rule {proof['by'][:30]!r}")
        check, keys = rule
        if set(proof) != {"by", *keys}:
            raise Rejected(f"the rule {proof['by']} takes {', '.join(keys) or 'nothing'}")
        STEPS.take()
        check(self, f, relation, a, b, proof, depth)


def _fail(f: Term, relation: str, a: Term, b: Term, rule: str) -> Rejected:
    return Rejected(f"the rule {rule} does not show: {statement(f, relation, a, b)}")


def _range(_p: Prover, f: Term, relation: str, a: Term, b: Term, _proof: Proof, _depth: int) -> None:
    s = shape(f, a, b)
    if s is None or s[0] < 0 or (relation == ">" and not (s[0] > 0 and s[1])):
        raise _fail(f, relation, a, b, "range")


def _zero(_p: Prover, f: Term, relation: str, a: Term, b: Term, _proof: Proof, _depth: int) -> None:
    if relation != ">=" or not is_zero(f):
        raise _fail(f, relation, a, b, "zero")


def rational(text: Any) -> Fraction:
    """A rational number written as text."""
    t = read_constant(text)
    if t.op != "num":
        raise Rejected(f"a rational number was expected, not {text!r}")
    value: Fraction = t.args[0]
    return value


def _listed(value: Any, what: str) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_CUTS:
        raise Rejected(f"{what}: a list was expected")
    return value


def cell_holds(
    f: Term, df: Term, lo: Fraction | None, hi: Fraction | None, ends: tuple[Interval, Interval], relation: str
) -> bool:
    """f > 0 (>= 0) on one cell: by its enclosure, or f(m) + f'(cell) (x - m) around the middle m.

    None stands for an end of the whole interval, which ``ends`` encloses.
    """
    box = (
        ends[0][0] if lo is None else of_fraction(lo, PREC)[0],
        ends[1][1] if hi is None else of_fraction(hi, PREC)[1],
    )
    v = evaluate(f, box, PREC)
    if is_positive(v) or (relation == ">=" and not less(v[0], fzero)):
        return True
    if not is_finite(box):
        return False
    slope = evaluate(df, box, PREC)
    if not is_finite(slope):
        return False
    middle = times(plus((box[0], box[0]), (box[1], box[1]), PREC), of_fraction(Fraction(1, 2), PREC), PREC)
    m = middle[0]
    if not (less(ends[0][1], m) and less(m, ends[1][0]) and less(box[0], m) and less(m, box[1])):
        return False  # too narrow for its middle to be known to lie inside
    offset = plus(box, (mpf_neg(m), mpf_neg(m)), PREC)
    w = plus(evaluate(f, (m, m), PREC), times(slope, offset, PREC), PREC)
    return is_positive(w) or (relation == ">=" and not less(w[0], fzero))


def _boxes(_p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, _depth: int) -> None:
    cuts = [rational(c) for c in _listed(proof["cuts"], "cuts")]
    points = [a, *(num(c) for c in cuts), b]
    if any(compare(p, q) >= 0 for p, q in pairwise(points)):
        raise Rejected("the cuts of a proof must increase within the interval")
    df = derivative(f)
    ends = enclosed_end(a), enclosed_end(b)
    for lo, hi in pairwise([None, *cuts, None]):
        if not cell_holds(f, df, lo, hi, ends, relation):
            raise _fail(f, relation, a if lo is None else num(lo), b if hi is None else num(hi), "boxes")


def _split(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    cuts = [read_constant(c) for c in _listed(proof["at"], "at")]
    proofs = _listed(proof["proofs"], "proofs")
    points = [a, *cuts, b]
    if len(proofs) != len(cuts) + 1 or any(compare(u, v) >= 0 for u, v in pairwise(points)):
        raise Rejected("a split needs increasing cuts and one proof more than cuts")
    if relation == ">":
        for c in cuts:
            if not defined_at(f, c) or sign(substitute(f, c)) <= 0:
                raise _fail(f, relation, a, b, "split")
    # for >=, the cuts follow by continuity
    for (u, v), q in zip(pairwise(points), proofs, strict=True):
        p.prove(f, relation, u, v, q, depth + 1)


def _taylor(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    end, k = proof["end"], proof["order"]
    if end not in ("left", "right") or not isinstance(k, int) or isinstance(k, bool) or not 1 <= k <= 30:
        raise Rejected("taylor takes an end and an order from 1 to 30")
    c = a if end == "left" else b
    if c in (OO, NOO):
        raise Rejected("taylor needs a finite end")
    g = f
    for _ in range(k):
        if not defined_at(g, c) or sign(substitute(g, c)) != 0:
            raise _fail(f, relation, a, b, "taylor")
        g = derivative(g)
    if end == "right" and k % 2:
        g = neg(g)
    # f(x) = g(y) |x - c|^k / k! for some y between; f and its k - 1 derivatives are continuous up to c
    p.prove(g, relation, a, b, proof["proof"], depth + 1)


def _monotone(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    if proof["from"] not in ("left", "right"):
        raise Rejected("monotone takes the end from which f moves up")
    left = proof["from"] == "left"
    start = limit(f, a, 1) if left else limit(f, b, -1)
    if start is not OO and (start is NOO or sign(start) < 0):
        raise _fail(f, relation, a, b, "monotone")
    slope = derivative(f) if left else neg(derivative(f))
    p.prove(slope, ">=", a, b, proof["proof"], depth + 1)
    if relation == ">" and not _moves(slope, a, b):
        raise _fail(f, relation, a, b, "monotone")


def _moves(slope: Term, a: Term, b: Term) -> bool:
    """Whether an analytic slope is nonzero at some point, so that f is strictly monotone."""
    m = num(between(a, b))
    return not is_zero(slope) and defined_at(slope, m) and sign(substitute(slope, m)) != 0


def _product(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    if f.op != "mul":
        raise Rejected("the rule product needs a product")
    parts = _listed(proof["factors"], "factors")
    if len(parts) != len(f.args):
        raise Rejected("the rule product needs a sign for each factor")
    total = 1
    for g, part in zip(f.args, parts, strict=True):
        if not isinstance(part, dict) or set(part) != {"sign", "proof"} or part["sign"] not in (">", ">=", "<", "<="):
            raise Rejected("a factor needs a sign >, >=, < or <= and a proof")
        s = part["sign"]
        if relation == ">" and "=" in s:
            raise _fail(f, relation, a, b, "product")
        if g.op == "pow" and g.args[1].denominator == 1:
            # the sign given is that of the base; a negative power is defined, so its base is not 0
            base, e = g.args
            if "<" in s and e % 2:
                total = -total
            if e % 2 == 0 and (relation == ">=" or e < 0):
                if part["proof"] is not None:
                    raise Rejected("an even power needs no proof here")
                continue
            p.prove(neg(base) if "<" in s else base, ">=" if "=" in s else ">", a, b, part["proof"], depth + 1)
            continue
        if "<" in s:
            total = -total
        h = neg(g) if "<" in s else g
        p.prove(h, ">=" if "=" in s else ">", a, b, part["proof"], depth + 1)
    if total < 0:
        raise _fail(f, relation, a, b, "product")


def _equal(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    g = read(proof["to"])
    if not is_zero(sub(f, g)):
        raise Rejected(f"not shown equal: {show(f)} and {show(g)}")
    domain(g, a, b, lambda h, s: p.prove(h, s, a, b, {"by": "range"}, depth + 1))
    p.prove(g, relation, a, b, proof["proof"], depth + 1)


def domain(g: Term, a: Term, b: Term, show_sign: Callable[[Term, str], None]) -> None:
    """Ask for the signs that make an analytic term defined on the whole open interval."""
    seen: set[Term] = set()
    stack = [g]
    while stack:
        t = stack.pop()
        if t in seen or not t.has_x:
            if t not in seen and not t.has_x and not defined_at(t, ZERO):
                raise Rejected(f"{t!r} has no value")
            seen.add(t)
            continue
        seen.add(t)
        stack += [s for s in t.args if isinstance(s, Term)]
        need = domain_need(t)
        if need is not None:
            negative, h = need
            if negative and _sign_at_sample(h, a, b) < 0:
                h = neg(h)
            show_sign(h, ">")


def domain_need(t: Term) -> tuple[bool, Term] | None:
    """(may be negative, h) where t needs h != 0, or h > 0, to be analytic."""
    if t.op == "pow" and t.args[1].denominator != 1:
        return False, t.args[0]
    if t.op == "pow" and t.args[1] < 0:
        return True, t.args[0]
    if t.op == "log":
        return False, t.args[0]
    return None


def _sign_at_sample(h: Term, a: Term, b: Term) -> int:
    m = num(between(a, b))
    return sign(substitute(h, m))


def _reflect(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    def flipped(c: Term) -> Term:
        return {OO: NOO, NOO: OO}.get(c) or neg(c)

    p.prove(substitute(f, neg(X)), relation, flipped(b), flipped(a), proof["proof"], depth + 1)


def _shift(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    c = read_constant(proof["by_constant"])
    if not defined_at(c, ZERO):
        raise Rejected("a shift needs a constant")

    def moved(e: Term) -> Term:
        return e if e in (OO, NOO) else sub(e, c)

    p.prove(substitute(f, add(X, c)), relation, moved(a), moved(b), proof["proof"], depth + 1)


def _invert(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    if a is NOO or sign(a) < 0:
        raise Rejected("the rule invert needs an interval of positive x")
    high = OO if sign(a) == 0 else power(a, Fraction(-1))
    low = ZERO if b is OO else power(b, Fraction(-1))
    p.prove(substitute(f, power(X, Fraction(-1))), relation, low, high, proof["proof"], depth + 1)


def _from_end(f: Term, a: Term, b: Term, end: Any) -> tuple[Term, Term]:
    """(f at distance x from one end, the length of the interval)."""
    if end not in ("left", "right"):
        raise Rejected("an end left or right was expected")
    c = a if end == "left" else b
    if c in (OO, NOO):
        raise Rejected("a finite end was expected")
    length = OO if OO in (a, b) or NOO in (a, b) else sub(b, a)
    return substitute(f, add(c, X) if end == "left" else sub(c, X)), length


def _root_rule(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    q = proof["degree"]
    if not isinstance(q, int) or isinstance(q, bool) or not 2 <= q <= 60:
        raise Rejected("root takes a degree from 2 to 60")
    g, length = _from_end(f, a, b, proof["end"])
    high = OO if length is OO else power(length, Fraction(1, q))
    p.prove(with_root(g, q), relation, ZERO, high, proof["proof"], depth + 1)


def _logarithm_rule(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    g, length = _from_end(f, a, b, proof["end"])
    low = NOO if length is OO else neg(call("log", length))
    p.prove(substitute(g, call("exp", neg(X))), relation, low, OO, proof["proof"], depth + 1)


def _times(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    g = read(proof["factor"])
    domain(g, a, b, lambda h, s: p.prove(h, s, a, b, {"by": "range"}, depth + 1))
    p.prove(g, ">", a, b, proof["positive"], depth + 1)
    p.prove(mul(f, g), relation, a, b, proof["proof"], depth + 1)


def _exponential(p: Prover, f: Term, relation: str, a: Term, b: Term, proof: Proof, depth: int) -> None:
    g = read(proof["to"])
    if not is_zero(sub(call("exp", f), g)):
        raise Rejected(f"not shown equal: exp({show(f)}) and {show(g)}")
    domain(g, a, b, lambda h, s: p.prove(h, s, a, b, {"by": "range"}, depth + 1))
    p.prove(sub(g, ONE), relation, a, b, proof["proof"], depth + 1)


# ---- Sturm


def _trim(p: list[Fraction]) -> list[Fraction]:
    while p and p[-1] == 0:
        p = p[:-1]
    return p


def _remainder(p: list[Fraction], q: list[Fraction]) -> list[Fraction]:
    p = list(p)
    while len(p) >= len(q):
        c = p[-1] / q[-1]
        for i, v in enumerate(q):
            p[len(p) - len(q) + i] -= c * v
        p.pop()
        STEPS.take(len(q))
    return _trim(p)


def _quotient(p: list[Fraction], q: list[Fraction]) -> list[Fraction]:
    p, out = list(p), [Fraction(0)] * max(len(p) - len(q) + 1, 0)
    while len(p) >= len(q):
        c = p[-1] / q[-1]
        out[len(p) - len(q)] = c
        for i, v in enumerate(q):
            p[len(p) - len(q) + i] -= c * v
        p.pop()
    return out


def _monic(p: list[Fraction]) -> list[Fraction]:
    return [c / p[-1] for c in p]


def _gcd(p: list[Fraction], q: list[Fraction]) -> list[Fraction]:
    while q:
        p, q = q, _remainder(p, q)
        q = _monic(q) if q else q
    return _monic(p)


def _diff(p: list[Fraction]) -> list[Fraction]:
    return _trim([c * k for k, c in enumerate(p)][1:])


def squarefree_parts(p: list[Fraction]) -> list[tuple[list[Fraction], int]]:
    """Yun's factors: p = const * product of part**multiplicity."""
    p = _monic(p)
    parts = []
    c = _gcd(p, _diff(p))
    w = _quotient(p, c)
    k = 1
    while len(w) > 1:
        y = _gcd(w, c)
        part = _quotient(w, y)
        if len(part) > 1:
            parts.append((part, k))
        w, c = y, _quotient(c, y)
        k += 1
    return parts


def _poly_term(p: list[Fraction], u: Term) -> Term:
    return add(*(mul(num(c), power(u, Fraction(k))) if k else num(c) for k, c in enumerate(p) if c))


def zeros_between(p: list[Fraction], a: Term, b: Term) -> int:
    """The number of zeros of a squarefree polynomial in the open interval, by Sturm's theorem."""
    chain = [p, _diff(p)]
    while chain[-1]:
        r = _remainder(chain[-2], chain[-1])
        if not r:
            break
        scale = max(abs(c) for c in r)  # a positive factor changes no sign and keeps the numbers short
        chain.append([-c / scale for c in r])
    chain = [c for c in chain if c]

    def variations(c: Term) -> int:
        if c in (OO, NOO):
            signs = [(1 if q[-1] > 0 else -1) * (1 if c is OO or len(q) % 2 else -1) for q in chain]
        else:
            signs = [sign(_poly_term(q, c)) for q in chain]
        kept = [s for s in signs if s]
        return sum(1 for s, t in pairwise(kept) if s != t)

    count = variations(a) - variations(b)
    if b not in (OO, NOO) and sign(_poly_term(p, b)) == 0:
        count -= 1
    return count


def sturm_poly(f: Term) -> tuple[list[Fraction], Term | None] | None:
    """(polynomial with the sign of f, the exponential it is in or None) where f has that form."""
    top, bottom = normal(f)
    p = univariate(p_mul(top, bottom))
    return None if p is None else (_trim(p[0]), p[1])


def _sturm(_p: Prover, f: Term, relation: str, a: Term, b: Term, _proof: Proof, _depth: int) -> None:
    found = sturm_poly(f)
    if found is None or not found[0] or len(found[0]) > 120:
        raise Rejected(f"not a polynomial in x or in one exponential: {show(f)}")
    p, u = found
    if u is not None:
        a, b = _exp_end(u, a), _exp_end(u, b)
        if compare(a, b) > 0:
            a, b = b, a
    for part, multiplicity in squarefree_parts(p):
        if (relation == ">" or multiplicity % 2) and zeros_between(part, a, b):
            raise _fail(f, relation, a, b, "sturm")
    # no odd zero inside: the sign at one point that is no zero is the sign everywhere
    m = between(a, b)
    for k in range(len(p) + 1):
        v = sum((c * m**i for i, c in enumerate(p)), Fraction(0))
        if v:
            break
        m = between(num(m), b) if k % 2 else between(a, num(m))
    if v <= 0:
        raise _fail(f, relation, a, b, "sturm")


def _exp_end(u: Term, c: Term) -> Term:
    """The value of u = exp(q x) at an end."""
    if c in (OO, NOO):
        k = _linear(u.args[0])
        if k is None:
            raise Rejected("an exponential of a multiple of x was expected")
        return OO if (sign(k[0]) > 0) == (c is OO) else ZERO
    return substitute(u, c)


# ---- square roots


def square_root(w: Term) -> tuple[Term, Term] | None:
    """(v, g): w = v^2 wherever w is defined, shown by algebra, and v has the sign of g; None if none is found.

    For w rational in x or in one exponential, and for even or odd sums of cosines of one angle.
    """
    try:
        top, bottom = normal(w)
        found = _root_in_one_variable(top, bottom) or _root_on_circle(top, bottom)
    except Rejected:
        return None
    if found is None or not is_zero(sub(power(found[0], Fraction(2)), w)):
        return None
    return found


def _polynomial_root(p: list[Fraction]) -> list[Fraction] | None:
    """r monic with p = p_top r^2, coefficient by coefficient from the top."""
    p = _monic(p)
    if len(p) % 2 == 0:
        return None
    n = (len(p) - 1) // 2
    r = [Fraction(0)] * n + [Fraction(1)]
    for k in range(1, n + 1):
        inner = sum((r[n - i] * r[n - k + i] for i in range(1, k)), Fraction(0))
        r[n - k] = (p[2 * n - k] - inner) / 2
        STEPS.take(k)
    square = [Fraction(0)] * (2 * n + 1)
    for i, u in enumerate(r):
        for j, v in enumerate(r):
            square[i + j] += u * v
    return r if square == p else None


def _root_in_one_variable(top: Poly, bottom: Poly) -> tuple[Term, Term] | None:
    found = univariate(p_mul(top, bottom))
    if found is None or not _trim(found[0]):
        return None
    p, u = found
    p = _trim(p)
    r = _polynomial_root(p)
    b = univariate(bottom)
    if r is None or p[-1] < 0 or b is None:
        return None
    lower = _trim(b[0])
    if b[1] is not None or len(lower) > 1:
        if u is not None and b[1] is not u:
            return None  # powers of different exponentials
        common = _gcd(r, lower)
        r, lower = _quotient(r, common), _quotient(lower, common)
    unit = X if u is None else u
    # sqrt(top bottom) and bottom, up to powers of the unit that the comparison of squares settles
    g = mul(_poly_term(r, unit), _poly_term(_trim(lower), unit))
    v = mul(power(num(p[-1]), Fraction(1, 2)), _poly_term(r, unit), power(_poly_term(_trim(lower), unit), Fraction(-1)))
    return _with_unit_power(v, g, unit, u is not None, sub_of=(top, bottom))


def _with_unit_power(
    v: Term, g: Term, unit: Term, exponential: bool, sub_of: tuple[Poly, Poly]
) -> tuple[Term, Term] | None:
    """v times the power of the unit for which its square is top/bottom, found from one monomial of each side."""
    ours = normal(power(v, Fraction(2)))
    left, right = p_mul(ours[0], sub_of[1]), p_mul(sub_of[0], ours[1])
    low, high = (min(sum((e for _, e in m), Fraction(0)) for m in q) for q in (left, right))
    scale = normal(unit)[0]
    (monomial,) = scale
    step = monomial[0][1]
    k = (high - low) / step / 2
    if not exponential and (k.denominator != 1):
        return None
    factor = power(unit, k) if not exponential else call("exp", mul(num(k), unit.args[0]))
    if not exponential and k:
        g = mul(power(X, Fraction(1 if k.numerator % 2 else 2)), g)
    return mul(factor, v), g


def _root_on_circle(top: Poly, bottom: Poly) -> tuple[Term, Term] | None:
    """c + sums of cos(k q x) with real symmetric coefficients, as c v^2 for v a sum of cosines or of sines."""
    if bottom != {(): Fraction(1)}:
        return None
    atoms = {n for m in top for n, _ in m}
    if len(atoms) != 1:
        return None
    (n,) = atoms
    if not is_frequency(n):
        return None
    exponents = {(m[0][1] if m else Fraction(0)): c for m, c in top.items()}
    step = Fraction(1, reduce(lcm, (e.denominator for e in exponents), 1))
    size = int(max(exponents) / step)
    if size < 1 or size > 24 or -min(exponents) != max(exponents):
        return None
    p = [exponents.get((k - size) * step, Fraction(0)) for k in range(2 * size + 1)]
    r = _polynomial_root(p)
    if r is None or p[-1] == 0:
        return None
    half = Fraction(size, 2)
    if r == r[::-1]:
        name, c = "cos", p[-1]
    elif r == [-v for v in r[::-1]]:
        name, c = "sin", -p[-1]
    else:
        return None
    if c < 0:
        return None
    g = add(*(mul(num(v), call(name, mul(num((k - half) * step), X))) for k, v in enumerate(r) if v))
    return mul(power(num(c), Fraction(1, 2)), g), g


# ---- trigonometric polynomials


def circle_poly(f: Term) -> tuple[list[Fraction], int] | None:
    """(p, n) with f = p(t)/(1 + t^2)^n at t = tan(q x/2), for f a real trigonometric polynomial in q x."""
    top, bottom = normal(f)
    if bottom != {(): Fraction(1)}:
        return None
    coefficients: dict[Fraction, tuple[Fraction, Fraction]] = {}
    unit = None
    for m, c in top.items():
        k, imaginary = Fraction(0), False
        for n, e in m:
            kind = atom(n).kind
            if kind == "i":
                imaginary = True
            elif kind == "unit" and unit in (None, n):
                unit, k = n, e
            else:
                return None
        re, im = coefficients.get(k, (Fraction(0), Fraction(0)))
        coefficients[k] = (re, im + c) if imaginary else (re + c, im)
    if unit is None or not is_frequency(unit):
        return None
    step = Fraction(1, reduce(lcm, (k.denominator for k in coefficients), 1))
    n = max(abs(int(k / step)) for k in coefficients)
    if n > 24:
        return None
    total = [(Fraction(0), Fraction(0))] * (2 * n + 1)
    for k, pair in coefficients.items():
        j = int(k / step)
        # exp(i j q x) = ((1 + i t)/(1 - i t))^j
        part = _complex_power(
            (Fraction(1), Fraction(1)), n + j, _complex_power((Fraction(1), Fraction(-1)), n - j, [pair])
        )
        total = [(u[0] + v[0], u[1] + v[1]) for u, v in zip(total, part, strict=True)]
    if any(im for _, im in total):
        return None
    return _trim([re for re, _ in total]), n


def _complex_power(
    linear: tuple[Fraction, Fraction], n: int, start: list[tuple[Fraction, Fraction]]
) -> list[tuple[Fraction, Fraction]]:
    """start times (a + i b t)**n as complex coefficients, lowest first."""
    a, b = linear
    out = start
    for _ in range(n):
        longer = [(re * a, im * a) for re, im in out] + [(Fraction(0), Fraction(0))]
        for i, (re, im) in enumerate(out):
            longer[i + 1] = (longer[i + 1][0] - im * b, longer[i + 1][1] + re * b)
        out = longer
    return out


def _circle(_p: Prover, f: Term, relation: str, a: Term, b: Term, _proof: Proof, _depth: int) -> None:
    found = circle_poly(f)
    if found is None or not found[0]:
        raise Rejected(f"not a trigonometric polynomial: {show(f)}")
    p, n = found
    if relation == ">" and len(p) != 2 * n + 1:
        raise _fail(f, relation, a, b, "circle")  # f vanishes where t is infinite
    for part, multiplicity in squarefree_parts(p) if len(p) > 1 else []:
        if (relation == ">" or multiplicity % 2) and zeros_between(part, NOO, OO):
            raise _fail(f, relation, a, b, "circle")
    if p[-1] <= 0 or len(p) % 2 == 0:
        raise _fail(f, relation, a, b, "circle")


# ---- dominance


def dominated(p: Poly, a: Term) -> int:
    """The sign of a sum of c(x) x**i exp(k x + ...) beyond a > 0, if its fastest growing part outweighs the rest.

    c(x): constants and bounded functions, enclosed on [a, oo). 0 if that is not shown.
    """
    start = enclosed_end(a)
    box = (start[0], finf)
    groups: dict[tuple[Fraction, ...], Interval] = {}
    for m, c in p.items():
        parts: list[tuple[int, Fraction]] = []
        rest: list[tuple[int, Fraction]] = []
        for n, e in m:
            t = atom(n).term
            (rest if t is not None and t.has_x and growth(((n, e),)) is None else parts).append((n, e))
        found = growth(tuple(parts))
        if found is None:
            return 0
        value = times(of_fraction(c, PREC), evaluate(found[0], None, PREC), PREC)
        for n, e in rest:
            t = atom(n).term
            if t is None:
                return 0
            value = times(value, evaluate(power(t, e), box, PREC), PREC)
        old = groups.get(found[1])
        groups[found[1]] = value if old is None else plus(old, value, PREC)
    top = max(groups)
    lead = groups.pop(top)
    if not (is_positive(lead) or is_negative(lead)) or not is_finite(lead):
        return 0
    total: Interval = (fzero, fzero)
    for key, part in groups.items():
        d = [k - t for k, t in zip(key, top, strict=True)]  # (cubic, quadratic, linear rate, power)
        if not is_finite(part) or not _falls(d, a):
            return 0
        exponent: Term = add(*(mul(num(v), power(X, Fraction(3 - i))) for i, v in enumerate(d[:3]) if v))
        size = hull(part, (mpf_neg(part[1]), mpf_neg(part[0])))
        ratio = evaluate(mul(power(X, d[3]), call("exp", exponent)), start, PREC)
        total = plus(total, times((fzero, size[1]), ratio, PREC), PREC)
    smallest = lead[0] if is_positive(lead) else mpf_neg(lead[1])
    if not less(total[1], smallest):
        return 0
    return 1 if is_positive(lead) else -1


def _falls(d: list[Fraction], a: Term) -> bool:
    """Whether x**d3 exp(d0 x^3 + d1 x^2 + d2 x) does not increase beyond a > 0: d3/x + d2 + 2 d1 x + 3 d0 x^2 <= 0."""
    slope = add(
        num(max(d[3], Fraction(0))),
        mul(num(d[2]), a),
        mul(num(2 * d[1]), power(a, Fraction(2))),
        mul(num(3 * d[0]), power(a, Fraction(3))),
    )
    # times x: d3 + d2 x + 2 d1 x^2 + 3 d0 x^3, at a and then decreasing
    growth_of_it = add(num(d[2]), mul(num(4 * d[1]), a), mul(num(9 * d[0]), power(a, Fraction(2))))
    second = add(num(4 * d[1]), mul(num(18 * d[0]), a))
    return sign(slope) <= 0 and sign(growth_of_it) <= 0 and sign(second) <= 0 and d[0] <= 0


def _dominance(_p: Prover, f: Term, relation: str, a: Term, b: Term, _proof: Proof, _depth: int) -> None:
    if b is not OO or a is NOO or sign(a) <= 0:
        raise Rejected("the rule dominance needs an interval from a positive number to oo")
    top, bottom = normal(f)
    if not top or dominated(top, a) * dominated(bottom, a) <= 0:
        raise _fail(f, relation, a, b, "dominance")


_RULES: dict[str, tuple[Callable[..., None], tuple[str, ...]]] = {
    "range": (_range, ()),
    "zero": (_zero, ()),
    "boxes": (_boxes, ("cuts",)),
    "split": (_split, ("at", "proofs")),
    "taylor": (_taylor, ("end", "order", "proof")),
    "monotone": (_monotone, ("from", "proof")),
    "product": (_product, ("factors",)),
    "equal": (_equal, ("to", "proof")),
    "reflect": (_reflect, ("proof",)),
    "shift": (_shift, ("by_constant", "proof")),
    "invert": (_invert, ("proof",)),
    "root": (_root_rule, ("end", "degree", "proof")),
    "logarithm": (_logarithm_rule, ("end", "proof")),
    "exponential": (_exponential, ("to", "proof")),
    "circle": (_circle, ()),
    "times": (_times, ("factor", "positive", "proof")),
    "sturm": (_sturm, ()),
    "dominance": (_dominance, ()),
}
