"""Formulas over the reals: interned terms, the reader of the grammar, derivatives, printing.

A term is built by the functions below, which fold numbers and merge like parts but never cancel a
quantity that might be 0, so a term has exactly the domain that its text has.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping
from fractions import Fraction
from typing import Any

MAX_TEXT = 40_000
MAX_DEPTH = 200
MAX_EXPONENT = 200
MAX_DIGITS = 5_000
_DIGITS_BITS = 16_000


class Rejected(Exception):
    """The certificate does not prove its claim; the sentence says where."""


class Term:
    """An interned node: equal terms are one object. ``op`` names the node, ``args`` its parts."""

    __slots__ = ("_hash", "args", "has_x", "op", "size")
    op: str
    args: tuple[Any, ...]
    has_x: bool
    size: int
    _hash: int

    def __hash__(self) -> int:
        return self._hash

    def __repr__(self) -> str:
        return show(self)


_TABLE: dict[tuple[Any, ...], Term] = {}
MAX_SIZE = 60_000


def forget() -> None:
    """Empty the table of terms; call between certificates, never while terms are in use."""
    keep = (X, PI, ZERO, ONE, NEG, OO, NOO)
    _TABLE.clear()
    for t in keep:
        _TABLE[(t.op, *t.args)] = t
    _DERIVATIVES.clear()


def _make(op: str, *args: Any) -> Term:
    key = (op, *args)
    found = _TABLE.get(key)
    if found is not None:
        return found
    t = Term()
    t.op, t.args = op, args
    t._hash = hash(key)
    parts = parts_of(t)
    t.has_x = op == "x" or any(a.has_x for a in parts)
    t.size = 1 + sum(a.size for a in parts)
    if t.size > MAX_SIZE:
        raise Rejected("a formula outgrew the bound on its size")
    _TABLE[key] = t
    return t


def parts_of(t: Term) -> list[Term]:
    """The terms directly inside t, those in the conditions of a Piecewise included."""
    return [a for a in _flat(t.args) if isinstance(a, Term)]


def _flat(args: Any) -> Any:
    for a in args:
        if isinstance(a, tuple):
            yield from _flat(a)
        else:
            yield a


def num(value: int | Fraction) -> Term:
    f = Fraction(value)
    if f.numerator.bit_length() + f.denominator.bit_length() > _DIGITS_BITS:
        raise Rejected("a number outgrew the bound on its length")
    return _make("num", f)


X = _make("x")
PI = _make("pi")
ZERO = num(0)
ONE = num(1)
NEG = num(-1)
OO = _make("oo")
NOO = _make("-oo")
FUNCTIONS = ("exp", "log", "sin", "cos", "atan", "erf", "tanh", "sigmoid", "sinh", "cosh")
RESERVED = frozenset(
    {*FUNCTIONS, "x", "pi", "oo", "sqrt", "Abs", "abs", "sign", "floor", "round", "Heaviside", "clip", "Min", "Max"}
    | {"Piecewise", "root", "True", "False", "and", "or", "not"}
)
SWITCHES = ("sign", "abs", "floor", "round", "heaviside", "max", "min", "piecewise")


def is_num(t: Term) -> bool:
    return t.op == "num"


def add(*terms: Term) -> Term:
    total = Fraction(0)
    parts: dict[Term, Fraction] = {}
    for t in terms:
        for s in t.args if t.op == "add" else (t,):
            if s.op == "num":
                total += s.args[0]
                continue
            c, core = _coefficient(s)
            parts[core] = parts.get(core, Fraction(0)) + c
    # a part that cancels is dropped: what it needs to be defined is asked where the term is read
    kept = [mul(num(c), core) for core, c in parts.items() if c != 0]
    if total != 0:
        kept.append(num(total))
    if not kept:
        return ZERO
    return kept[0] if len(kept) == 1 else _make("add", *kept)


def _coefficient(t: Term) -> tuple[Fraction, Term]:
    if t.op == "mul" and t.args[0].op == "num":
        rest = t.args[1:]
        return t.args[0].args[0], rest[0] if len(rest) == 1 else _make("mul", *rest)
    return Fraction(1), t


def mul(*terms: Term) -> Term:
    coefficient = Fraction(1)
    bases: dict[tuple[Term, bool], Fraction] = {}
    for t in terms:
        for s in t.args if t.op == "mul" else (t,):
            if s.op == "num":
                coefficient *= s.args[0]
                continue
            base, e = s.args if s.op == "pow" else (s, Fraction(1))
            if e.denominator == 1:
                # x and 1/x are not merged: 1/x is undefined at 0
                key = (base, e > 0)
                bases[key] = bases.get(key, Fraction(0)) + e
            else:
                key = (s, True)
                bases[key] = bases.get(key, Fraction(0)) + 1
    if coefficient == 0:
        return ZERO
    kept = [power(base, e) for (base, _), e in bases.items()]
    if any(k.op == "num" for k in kept):
        return mul(num(coefficient), *kept)
    if coefficient != 1 or not kept:
        kept.insert(0, num(coefficient))
    return kept[0] if len(kept) == 1 else _make("mul", *kept)


def neg(t: Term) -> Term:
    return add(*(mul(NEG, s) for s in t.args)) if t.op == "add" else mul(NEG, t)


def sub(a: Term, b: Term) -> Term:
    return add(a, neg(b))


def div(a: Term, b: Term) -> Term:
    return mul(a, power(b, Fraction(-1)))


def power(base: Term, e: Fraction) -> Term:
    e = Fraction(e)
    if abs(e.numerator) > MAX_EXPONENT or e.denominator > MAX_EXPONENT:
        raise Rejected(f"an exponent beyond {MAX_EXPONENT}")
    if e == 1:
        return base
    if e == 0:
        return ONE
    if base.op == "num" and e.denominator == 1:
        v = base.args[0]
        if v == 0 and e < 0:
            return _make("pow", base, e)  # undefined; found so where it is read
        return num(v ** int(e))
    if base is ONE or (base is ZERO and e > 0):
        return base
    if base.op == "num" and base.args[0] > 0:
        exact = _exact_root(base.args[0], e)
        if exact is not None:
            return num(exact)
    if base.op == "pow" and e.denominator == 1 and base.args[1].denominator == 1 and (e > 0 or base.args[1] > 0):
        return power(base.args[0], base.args[1] * e)
    if (
        base.op == "pow"
        and e.denominator == 1
        and base.args[1].denominator != 1
        and (base.args[1] * e).denominator != 1
    ):
        return power(base.args[0], base.args[1] * e)  # both are defined where the inner base is positive (or 0)
    return _make("pow", base, e)


def _exact_root(v: Fraction, e: Fraction) -> Fraction | None:
    q = e.denominator
    roots = []
    for part in (v.numerator, v.denominator):
        r = _integer_root(part, q)
        if r**q != part:
            return None
        roots.append(r)
    return Fraction(roots[0], roots[1]) ** e.numerator


def _integer_root(n: int, q: int) -> int:
    """The integer part of the q-th root of n >= 0, by Newton's method from above."""
    if n < 2:
        return n
    r = 1 << -(-n.bit_length() // q)
    while True:
        s = ((q - 1) * r + n // r ** (q - 1)) // q
        if s >= r:
            return r
        r = s


def call(name: str, t: Term) -> Term:
    if name == "exp" and t is ZERO:
        return ONE
    if name == "log" and t is ONE:
        return ZERO
    if name in ("sin", "atan", "erf", "tanh", "sinh") and t is ZERO:
        return ZERO
    if name in ("cos", "cosh") and t is ZERO:
        return ONE
    return _make(name, t)


def root(lo: Fraction, hi: Fraction, coefficients: tuple[Fraction, ...]) -> Term:
    """The only zero in (lo, hi) of the polynomial with these coefficients, constant term first."""
    return _make("root", lo, hi, coefficients)


def switch(op: str, *args: Any) -> Term:
    return _make(op, *args)


# --------------------------------------------------------------------------- derivative and substitution

_DERIVATIVES: dict[Term, Term] = {}


def derivative(t: Term) -> Term:
    """d t / d x of an analytic term (no switches)."""
    if not t.has_x:
        return ZERO
    found = _DERIVATIVES.get(t)
    if found is None:
        found = _DERIVATIVES[t] = _derivative(t)
    return found


def _derivative(t: Term) -> Term:
    if t.op == "x":
        return ONE
    if t.op == "add":
        return add(*(derivative(s) for s in t.args))
    if t.op == "mul":
        parts = []
        for i, s in enumerate(t.args):
            if s.has_x:
                parts.append(mul(*t.args[:i], derivative(s), *t.args[i + 1 :]))
        return add(*parts)
    if t.op == "pow":
        base, e = t.args
        return mul(num(e), power(base, e - 1), derivative(base))
    g = t.args[0]
    outer = {
        "exp": lambda: t,
        "log": lambda: power(g, Fraction(-1)),
        "sin": lambda: call("cos", g),
        "cos": lambda: neg(call("sin", g)),
        "atan": lambda: power(add(ONE, power(g, Fraction(2))), Fraction(-1)),
        "erf": lambda: mul(num(2), power(PI, Fraction(-1, 2)), call("exp", neg(power(g, Fraction(2))))),
        "tanh": lambda: sub(ONE, power(t, Fraction(2))),
        "sigmoid": lambda: mul(t, sub(ONE, t)),
        "sinh": lambda: call("cosh", g),
        "cosh": lambda: call("sinh", g),
    }.get(t.op)
    if outer is None:
        raise Rejected(f"{t.op} has no derivative here")
    return mul(outer(), derivative(g))


def substitute(t: Term, value: Term, memo: dict[Term, Term] | None = None) -> Term:
    """t with x replaced by a term."""
    if not t.has_x:
        return t
    memo = {} if memo is None else memo
    found = memo.get(t)
    if found is None:
        found = memo[t] = rebuild(t, lambda s: substitute(s, value, memo)) if t.op != "x" else value
    return found


def rebuild(t: Term, f: Any) -> Term:
    """The node with f applied to its parts."""
    if t.op == "add":
        return add(*(f(s) for s in t.args))
    if t.op == "mul":
        return mul(*(f(s) for s in t.args))
    if t.op == "pow":
        return power(f(t.args[0]), t.args[1])
    if t.op in FUNCTIONS:
        return call(t.op, f(t.args[0]))
    if t.args and t.op not in ("num", "root"):
        raise Rejected(f"{t.op} is not an analytic part")
    return t


# --------------------------------------------------------------------------- printing


def show(t: Any) -> str:
    """The term as text, which `read` reads back."""
    return _show(t, 0)


def _number(v: Fraction) -> str:
    return str(v.numerator) if v.denominator == 1 else f"{v.numerator}/{v.denominator}"


def _show(t: Any, level: int) -> str:
    """level: 0 in a sum, 1 in a product, 2 as the base of a power."""
    if t.op == "num":
        v = t.args[0]
        text = _number(v)
        return f"({text})" if level and (v < 0 or v.denominator != 1) else text
    if t.op in ("x", "pi", "oo", "-oo"):
        return str(t.op)
    if t.op == "add":
        text = " + ".join(_show(s, 1) for s in t.args)
        return f"({text})" if level else text
    if t.op == "mul":
        text = "*".join(_show(s, 2 if s.op == "mul" else 1) for s in t.args)
        return f"({text})" if level > 1 else text
    if t.op == "pow":
        base, e = t.args
        text = f"{_show(base, 2)}**({_number(e)})" if e.denominator != 1 or e < 0 else f"{_show(base, 2)}**{e}"
        return f"({text})" if level > 1 else text
    if t.op == "root":
        lo, hi, coefficients = t.args
        return f"root({', '.join(_number(c) for c in (lo, hi, *coefficients))})"
    if t.op == "piecewise":
        return f"Piecewise({', '.join(f'({show(e)}, {_condition(c)})' for c, e in t.args[0])})"
    if t.op == "heaviside":
        return f"Heaviside({show(t.args[0])}, {show(t.args[1])})"
    name = {"abs": "Abs", "max": "Max", "min": "Min"}.get(t.op, t.op)
    return f"{name}({', '.join(show(s) for s in t.args)})"


def _condition(c: Any) -> str:
    if c[0] == "bool":
        return str(c[1])
    if c[0] == "cmp":
        return f"{show(c[2])} {c[1]} 0"
    return "(" + f" {c[0]} ".join(_condition(p) for p in c[1]) + ")"


# --------------------------------------------------------------------------- reading

_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z", re.ASCII)
_COMPARE: dict[type[ast.cmpop], str] = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "=="}


def read(text: Any, names: Mapping[str, Term] | None = None) -> Term:
    """The term of a text in the grammar, with named constants. Raises `Rejected`."""
    if not isinstance(text, str) or len(text) > MAX_TEXT or not text.isascii():
        raise Rejected("a formula is plain ASCII text")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise Rejected(f"not a formula: {text[:60]!r}") from None
    return _Reader(text.strip(), names or {}).term(tree.body, 0)


def read_end(text: Any) -> Term:
    """A constant or an infinity."""
    if text in ("oo", "-oo"):
        return OO if text == "oo" else NOO
    return read_constant(text)


def read_constant(text: Any, names: Mapping[str, Term] | None = None) -> Term:
    t = read(text, names)
    if t.has_x or has_switch(t):
        raise Rejected(f"a constant was expected, not {str(text)[:60]!r}")
    return t


def has_switch(t: Term) -> bool:
    """Whether a term has a part that is not analytic."""
    if t.op in SWITCHES:
        return True
    return any(has_switch(a) for a in _flat(t.args) if isinstance(a, Term))


class _Reader:
    def __init__(self, text: str, names: Mapping[str, Term]) -> None:
        self.text, self.names = text, names

    def term(self, node: ast.expr, depth: int) -> Term:
        if depth > MAX_DEPTH:
            raise Rejected("a formula is nested too deeply")
        if isinstance(node, ast.Constant):
            return num(self.number(node))
        if isinstance(node, ast.Name):
            if node.id in self.names:
                return self.names[node.id]
            if node.id in ("x", "pi"):
                return X if node.id == "x" else PI
            raise Rejected(f"unknown name {node.id[:40]!r}")
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = self.term(node.operand, depth + 1)
            return neg(inner) if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.BinOp):
            return self.operation(node, depth)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self.call(node.func.id, node.args, depth + 1)
        raise Rejected(f"{type(node).__name__} is no part of a formula")

    def number(self, node: ast.Constant) -> Fraction:
        source = ast.get_source_segment(self.text, node) or ""
        if isinstance(node.value, bool) or not _NUMBER.match(source):
            raise Rejected(f"a decimal number was expected, not {source[:40]!r}")
        exponent = source.lower().partition("e")[2]
        if len(source) > MAX_DIGITS or len(exponent) > 5 or abs(int(exponent or "0")) > MAX_DIGITS:
            raise Rejected("a number is too long")
        return Fraction(source)

    def operation(self, node: ast.BinOp, depth: int) -> Term:
        chain: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and isinstance(left.op, ast.Add | ast.Sub | ast.Mult | ast.Div):
            chain.append(left)
            left = left.left
        if not chain:
            if not isinstance(node.op, ast.Pow):
                raise Rejected(f"{type(node.op).__name__} is no part of a formula")
            return self.raised(self.term(node.left, depth + 1), self.term(node.right, depth + 1))
        result = self.term(left, depth + 1)
        for op in reversed(chain):
            right = self.term(op.right, depth + 1)
            if isinstance(op.op, ast.Add):
                result = _plain("add", result, right)
            elif isinstance(op.op, ast.Sub):
                result = _plain("add", result, neg(right))
            elif isinstance(op.op, ast.Mult):
                result = _plain("mul", result, right)
            else:
                result = _plain("mul", result, power(right, Fraction(-1)))
        return result

    def raised(self, base: Term, e: Term) -> Term:
        if e.op == "num":
            return power(base, e.args[0])
        if base.has_x or has_switch(base):
            raise Rejected("an exponent must be rational")
        return call("exp", mul(e, call("log", base)))

    def call(self, name: str, args: list[ast.expr], depth: int) -> Term:
        if name == "Piecewise":
            return switch("piecewise", tuple(self.branch(a, depth) for a in args))
        if name == "root":
            values = [self.term(a, depth) for a in args]
            if len(values) < 4 or any(v.op != "num" for v in values):
                raise Rejected("root takes rational numbers: from, to, coefficients")
            lo, hi, *coefficients = (v.args[0] for v in values)
            return root(lo, hi, tuple(coefficients))
        parts = [self.term(a, depth) for a in args]
        count = {"clip": 3, "Heaviside": 2, "Min": len(parts) or 1, "Max": len(parts) or 1}.get(name, 1)
        if len(parts) != count:
            raise Rejected(f"{name[:30]} takes {count} arguments")
        if name in FUNCTIONS:
            return call(name, parts[0])
        if name == "sqrt":
            return power(parts[0], Fraction(1, 2))
        if name in ("Abs", "abs"):
            return switch("abs", parts[0])
        if name in ("sign", "floor", "round"):
            return switch(name, parts[0])
        if name == "Heaviside":
            if parts[1].has_x:
                raise Rejected("the second argument of Heaviside must be a constant")
            return switch("heaviside", *parts)
        if name == "clip":
            return switch("min", switch("max", parts[0], parts[1]), parts[2])
        if name in ("Min", "Max"):
            result = parts[0]
            for p in parts[1:]:
                result = switch(name.lower(), result, p)
            return result
        raise Rejected(f"unknown function {name[:40]!r}")

    def branch(self, node: ast.expr, depth: int) -> tuple[Any, Term]:
        if not isinstance(node, ast.Tuple) or len(node.elts) != 2:
            raise Rejected("Piecewise takes pairs (expression, condition)")
        return self.condition(node.elts[1], depth + 1), self.term(node.elts[0], depth + 1)

    def condition(self, node: ast.expr, depth: int) -> tuple[Any, ...]:
        if depth > MAX_DEPTH:
            raise Rejected("a formula is nested too deeply")
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return ("bool", node.value)
        if isinstance(node, ast.BoolOp):
            op = "and" if isinstance(node.op, ast.And) else "or"
            return (op, tuple(self.condition(v, depth + 1) for v in node.values))
        if isinstance(node, ast.Compare):
            terms = [self.term(n, depth + 1) for n in (node.left, *node.comparators)]
            parts = []
            for a, comparison, b in zip(terms, node.ops, terms[1:], strict=False):
                symbol = _COMPARE.get(type(comparison))
                if symbol is None:
                    raise Rejected("conditions compare with <, <=, >, >= or ==")
                parts.append(("cmp", symbol, sub(a, b)))
            return parts[0] if len(parts) == 1 else ("and", tuple(parts))
        raise Rejected("a condition was expected")


def _plain(op: str, a: Term, b: Term) -> Term:
    """a + b or a * b as written: nothing that could hide an undefined part is dropped."""
    folded = add(a, b) if op == "add" else mul(a, b)
    whole = _undefined_parts(a) | _undefined_parts(b)
    if whole <= _undefined_parts(folded):
        return folded
    return _make(op, a, b)


def _undefined_parts(t: Term) -> frozenset[Term]:
    """The parts of a term that limit where it is defined."""
    found: set[Term] = set()
    stack = [t]
    while stack:
        s = stack.pop()
        if s.op in SWITCHES or s.op == "log" or (s.op == "pow" and (s.args[1] < 0 or s.args[1].denominator != 1)):
            found.add(s)
        stack += [a for a in _flat(s.args) if isinstance(a, Term)]
    return frozenset(found)
