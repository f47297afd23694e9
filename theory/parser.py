"""The whitelist parser: text in the grammar of `check` -> `PiecewiseMap`.

Python's ``ast`` gives the tree; every node type, name and function is looked up in a table and
anything else is refused with its column. Nothing is evaluated, no user text reaches sympy's own
parser, and length, nesting, digits and exponents are bounded, so no input can hang the reader.
Numbers are read from the source text as exact rationals.
"""

from __future__ import annotations

import ast
import keyword
import re
import sys
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import sympy as sp

from theory.errors import InputError
from theory.exact import X, sigmoid, sign_of
from theory.maps import OO, UNDEFINED, PiecewiseMap

MAX_TEXT = 32_768
MAX_DIGITS = 400
MAX_EXPONENT = 64
MAX_DEPTH = 80
MAX_LEVELS = 2 * MAX_DEPTH
_MAX_BITS = 13_000  # of any number in a map: below the 4300 digits that Python writes
_TREE_RECURSION = 3_000  # Python's limit while it builds a tree: room for chains of 9000 operators
_NUMBER = re.compile(r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?\Z")
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")

Const = PiecewiseMap.of
_FUNCTIONS: dict[str, tuple[int, Callable[..., PiecewiseMap]]] = {
    "sign": (1, lambda m: m.sign()),
    "Abs": (1, lambda m: m.abs()),
    "abs": (1, lambda m: m.abs()),
    "round": (1, lambda m: m.round()),
    "floor": (1, lambda m: m.floor()),
    "exp": (1, lambda m: m.apply(sp.exp)),
    "log": (1, lambda m: m.log()),
    "tanh": (1, lambda m: m.apply(sp.tanh)),
    "sinh": (1, lambda m: m.apply(sp.sinh)),
    "cosh": (1, lambda m: m.apply(sp.cosh)),
    "sigmoid": (1, lambda m: m.apply(sigmoid)),
    "erf": (1, lambda m: m.apply(sp.erf)),
    "atan": (1, lambda m: m.apply(sp.atan)),
    "sqrt": (1, lambda m: m.power(sp.Rational(1, 2))),
    "sin": (1, lambda m: m.apply(sp.sin)),
    "cos": (1, lambda m: m.apply(sp.cos)),
    "clip": (3, lambda m, a, b: m.clip(a, b)),
    "Heaviside": (2, lambda m, v: m.heaviside(_constant(v, "the second argument of Heaviside"))),
}
_NOT_FINITE = frozenset({"nan", "NaN", "NAN", "inf", "Inf", "INF", "infinity", "Infinity", "zoo"})
RESERVED = frozenset({*_FUNCTIONS, *_NOT_FINITE, *keyword.kwlist, "x", "pi", "oo", "Min", "Max", "Piecewise"})
"""Names that cannot be parameters."""


def _constant(m: PiecewiseMap, what: str) -> Any:
    c = m.constant
    if c is None:
        raise InputError(f"{what} must be a constant")
    return c


@contextmanager
def _deep_trees() -> Iterator[None]:
    """Room for Python to build the left-leaning tree of a sum of thousands of terms."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _TREE_RECURSION))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def parse(
    text: str,
    params: Mapping[str, Any] | None = None,
    *,
    what: str = "expression",
    allow_infinity: bool = False,
) -> PiecewiseMap:
    """Read an expression in x as an exact map.

    ``params`` maps parameter names to exact constants. ``allow_infinity`` admits ``oo`` as the
    value of a piece (regularizers). Raises `InputError` with one sentence naming ``what`` and the
    column; raises `Undecided` if the expression is legal but a breakpoint has no closed form.
    """
    reader = _Reader(text, params or {}, what, allow_infinity)
    result = reader.map_of(reader.tree)
    reader.refuse_long_numbers(reader.tree, result)
    hole = result.undefined_on()
    if hole is not None:
        raise InputError(
            f"{what}: no finite real value for x between {hole[0]} and {hole[1]} "
            "(a Piecewise that does not cover it, a root or logarithm outside its domain, or a division by zero)"
        )
    if not allow_infinity and any(e.has(OO) for e in (*result.exprs, *result.values) if e is not None):
        raise InputError(f"{what}: a finite real value was expected everywhere, not oo")
    return result.simplified()


def parse_constant(text: str, what: str) -> Any:
    """Read an exact constant such as ``2``, ``1/3``, ``0.05`` or ``sqrt(2)``."""
    c = parse(text, what=what).constant
    if c is None:
        raise InputError(f"{what}: a constant was expected, not an expression in x")
    return c


def check_param_name(name: Any) -> None:
    """Raise `InputError` unless ``name`` can be the name of a parameter."""
    if not isinstance(name, str) or not _NAME.match(name):
        raise InputError(f"a parameter's name is letters, digits and _, for example beta, not {str(name)[:60]!r}")
    if name in RESERVED:
        raise InputError(f"a parameter needs a free name, {name[:60]!r} is taken by the grammar")


def parse_param(text: str) -> tuple[str, Any]:
    """Read ``name=value``; raises `InputError` otherwise."""
    name, eq, value = text.partition("=")
    name = name.strip()
    if not eq or not _NAME.match(name) or name in RESERVED:
        raise InputError(f"--param expects name=value with a free name, for example beta=2, not {text[:60]!r}")
    return name, parse_constant(value, f"--param {name[:60]}")


class _Reader:
    def __init__(self, text: str, params: Mapping[str, Any], what: str, allow_infinity: bool) -> None:
        if not isinstance(text, str):
            raise InputError(f"{what}: text was expected, not {type(text).__name__}")
        if len(text) > MAX_TEXT:
            raise InputError(f"{what}: at most {MAX_TEXT} characters are read, this has {len(text)}")
        self.params, self.what, self.allow_infinity = params, what, allow_infinity
        for stray in "\n\r\t\f\v":
            text = text.replace(stray, " ")
        if not text.strip(" "):
            raise InputError(f"{what}: an expression in x was expected, nothing was given")
        # Python refuses leading blanks; columns are counted in the text as it was given
        self.shift = len(text) - len(text.lstrip(" "))
        self.text = text.strip(" ")
        self._check_characters()
        try:
            with warnings.catch_warnings(), _deep_trees():
                warnings.simplefilter("ignore")  # ast warns about "1 is x" and the like; refused below anyway
                try:
                    self.tree: ast.expr = ast.parse(self.text, mode="eval").body
                except SystemError:  # seen once in CPython 3.11: "AST constructor recursion depth mismatch"
                    self.tree = ast.parse(self.text, mode="eval").body
        except SyntaxError as error:
            if "limit" in str(error.msg):  # Python's own bound on the digits of a number
                raise InputError(f"{what}: a number of more than {MAX_DIGITS} digits") from None
            where = f" at column {error.offset + self.shift}" if error.offset else ""
            raise InputError(f"{what}: not an expression{where}: {str(error.msg)[:80]}") from None
        except (ValueError, RecursionError, MemoryError):
            raise InputError(f"{what}: the expression is nested too deeply") from None
        self.depth = 0

    def _check_characters(self) -> None:
        """Brackets in pairs and not too deep, and no character that cannot be part of an expression."""
        opened: list[int] = []
        for at, ch in enumerate(self.text):
            if not " " <= ch <= "~" or ch in "#\\;":
                raise self.refuse_at(at, f"the character {ch!a} is not part of the grammar")
            if ch in "([{":
                opened.append(at)
                if len(opened) > MAX_DEPTH:
                    raise self.refuse_at(at, f"brackets are read up to {MAX_DEPTH} deep, a deeper one stands")
            elif ch in ")]}":
                if not opened:
                    raise self.refuse_at(at, f"unbalanced brackets: {ch!r} without its partner")
                opened.pop()
        if opened:
            raise self.refuse_at(opened[-1], f"unbalanced brackets: {self.text[opened[-1]]!r} without its partner")

    def refuse_at(self, offset: int, sentence: str) -> InputError:
        return InputError(f"{self.what}: {sentence} at column {offset + self.shift + 1}")

    def refuse(self, node: ast.AST, sentence: str) -> InputError:
        return self.refuse_at(getattr(node, "col_offset", 0), sentence)

    def refuse_long_numbers(self, node: ast.expr, m: PiecewiseMap) -> None:
        """Products and powers multiply digits: no number may outgrow what can be written down again."""
        for e in (*m.breaks, *m.exprs, *m.values):
            for c in () if e is None else e.atoms(sp.Rational):
                if max(int(c.p).bit_length(), int(c.q).bit_length()) > _MAX_BITS:
                    raise self.refuse(node, f"a number of more than {_MAX_BITS * 3 // 10} digits arises")

    # ---- expressions

    def map_of(self, node: ast.expr) -> PiecewiseMap:
        self.depth += 1
        if self.depth > MAX_LEVELS:
            raise self.refuse(node, "the expression is nested too deeply")
        try:
            return self._map_of(node)
        except InputError as error:
            if str(error).startswith(f"{self.what}: "):
                raise
            raise self.refuse(node, str(error)) from None
        finally:
            self.depth -= 1

    def _map_of(self, node: ast.expr) -> PiecewiseMap:
        if isinstance(node, ast.BinOp):
            return self._operation(node)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
            inner = self.map_of(node.operand)
            return -inner if isinstance(node.op, ast.USub) else inner
        if isinstance(node, ast.Constant):
            return Const(self._number(node))
        if isinstance(node, ast.Name):
            return Const(self._name(node))
        if isinstance(node, ast.Call):
            return self._call(node)
        kind = {
            ast.IfExp: "if-else",
            ast.UnaryOp: "not or ~",
            ast.ListComp: "a comprehension",
            ast.GeneratorExp: "a comprehension",
            ast.SetComp: "a comprehension",
            ast.DictComp: "a comprehension",
            ast.NamedExpr: ":=",
            ast.JoinedStr: "text",
            ast.Starred: "*",
            ast.List: "a list",
            ast.Set: "a set",
            ast.Dict: "a dictionary",
            ast.Attribute: "an attribute",
            ast.Lambda: "a lambda",
            ast.Compare: "a comparison outside a Piecewise",
            ast.BoolOp: "and/or outside a Piecewise",
            ast.Subscript: "a subscript",
            ast.Tuple: "a tuple outside a Piecewise",
        }.get(type(node), f"{type(node).__name__}")
        raise self.refuse(node, f"{kind} is not part of the grammar")

    def _number(self, node: ast.Constant) -> Any:
        if isinstance(node.value, bool) or not isinstance(node.value, int | float):
            raise self.refuse(node, f"a real decimal number was expected, not {type(node.value).__name__}")
        source = self.text[node.col_offset : node.end_col_offset]
        if not _NUMBER.match(source):
            raise self.refuse(node, f"a decimal number was expected, not {source[:40]!r}")
        mantissa, _, exponent = source.lower().partition("e")
        digits = len(mantissa.replace(".", "")) if len(exponent) <= 4 else MAX_DIGITS
        if digits + abs(int((exponent or "0")[:5])) > MAX_DIGITS:
            raise self.refuse(node, f"a number of more than {MAX_DIGITS} digits")
        f = Fraction(source)
        return sp.Rational(f.numerator, f.denominator)

    def _name(self, node: ast.Name) -> Any:
        if node.id == "x":
            return X
        if node.id == "pi":
            return sp.pi
        if node.id == "oo":
            if self.allow_infinity:
                return OO
            raise self.refuse(node, "oo is a value of regularizers only; a finite real was expected")
        if node.id in self.params:
            return self.params[node.id]
        if node.id in _NOT_FINITE:
            raise self.refuse(node, f"a finite real number was expected, not {node.id}")
        hint = "a function needs its arguments" if node.id in RESERVED else f"give it with --param {node.id[:30]}=VALUE"
        raise self.refuse(node, f"unknown name {node.id[:30]!r} ({hint})")

    def _operation(self, node: ast.BinOp) -> PiecewiseMap:
        # a long sum is a left-leaning chain: walk it instead of recursing
        chain: list[ast.BinOp] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and not isinstance(left.op, ast.Pow):
            chain.append(left)
            left = left.left
        if not chain:
            return self._power(node)
        result = self.map_of(left)
        for op in reversed(chain):
            right = self.map_of(op.right)
            if isinstance(op.op, ast.Add):
                result = result + right
            elif isinstance(op.op, ast.Sub):
                result = result - right
            elif isinstance(op.op, ast.Mult):
                result = result * right
            elif isinstance(op.op, ast.Div):
                try:
                    result = result / right
                except InputError as error:
                    raise self.refuse(op.right, str(error)) from None
            elif isinstance(op.op, ast.BitXor):
                raise self.refuse(op, "^ is not part of the grammar, powers are written **")
            else:
                raise self.refuse(op, f"the operator {type(op.op).__name__} is not part of the grammar")
            if isinstance(op.op, ast.Mult | ast.Div):
                self.refuse_long_numbers(op, result)
        return result

    def _power(self, node: ast.BinOp) -> PiecewiseMap:
        base, power = self.map_of(node.left), self.map_of(node.right)
        n, c = power.constant, base.constant
        sign = None if c is None else sign_of(c)
        if n is None:
            if sign == 1:
                return power.apply(lambda e: sp.exp(e * sp.log(c)))
            raise self.refuse(node, "an exponent must be a constant (or the base a positive constant)")
        if not n.is_Rational:
            if sign == 1:
                return Const(sp.exp(n * sp.log(c)))
            raise self.refuse(node, "an exponent must be rational")
        if abs(n.p) > MAX_EXPONENT * n.q or n.q > MAX_EXPONENT:
            raise self.refuse(node, f"exponents are read up to {MAX_EXPONENT} (and roots likewise)")
        if c is not None:
            if sign == 0 and n < 0:
                raise self.refuse(node, "division by zero")
            if c.is_Rational and abs(n) * len(str(max(abs(c.p), c.q))) > 4 * MAX_DIGITS:
                raise self.refuse(node, f"a number of more than {4 * MAX_DIGITS} digits")
            if sign == -1 and not n.is_Integer:
                raise self.refuse(node, "a fractional power of a negative number")
        for e in base.exprs:
            inner = e.exp if e.is_Pow and e.exp.is_Rational else sp.Integer(1)
            if abs(inner * n) > MAX_EXPONENT:
                raise self.refuse(node, f"exponents are read up to {MAX_EXPONENT}")
        return base.power(n)

    def _call(self, node: ast.Call) -> PiecewiseMap:
        if not isinstance(node.func, ast.Name):
            raise self.refuse(node, "only functions of the grammar can be called")
        name = node.func.id
        if node.keywords or any(isinstance(a, ast.Starred) for a in node.args):
            raise self.refuse(node, f"{name[:30]} takes plain arguments only")
        if name == "Piecewise":
            return self._piecewise(node)
        if name in ("Min", "Max"):
            if not node.args:
                raise self.refuse(node, f"{name} needs at least one argument")
            result, *rest = [self.map_of(a) for a in node.args]
            for m in rest:
                result = result.minimum(m) if name == "Min" else result.maximum(m)
            return result
        if name not in _FUNCTIONS:
            known = ", ".join(sorted({*_FUNCTIONS, "Min", "Max", "Piecewise"}))
            raise self.refuse(node, f"unknown function {name[:30]!r} (known: {known})")
        arity, function = _FUNCTIONS[name]
        if len(node.args) != arity:
            raise self.refuse(node, f"{name} takes {arity} argument{'s' * (arity > 1)}, {len(node.args)} given")
        if name == "clip":
            stairs = self._clipped_stairs(node)
            if stairs is not None:
                return stairs
        return function(*(self.map_of(a) for a in node.args))

    def _clipped_stairs(self, node: ast.Call) -> PiecewiseMap | None:
        """clip(floor(m), i, j) and clip(round(m), i, j) as the steps of clip(m, i, j), which are finitely many."""
        inner = node.args[0]
        if not isinstance(inner, ast.Call) or not isinstance(inner.func, ast.Name) or len(inner.args) != 1:
            return None
        if inner.func.id not in ("floor", "round") or inner.keywords:
            return None
        low, high = (self.map_of(a) for a in node.args[1:])
        i, j = low.constant, high.constant
        if i is None or j is None or not (i.is_Integer and j.is_Integer and i <= j):
            return None
        m = self.map_of(inner.args[0])
        if m.windowed:
            return None
        m = m.clip(low, high)
        return m.floor() if inner.func.id == "floor" else m.round()

    # ---- Piecewise

    def _piecewise(self, node: ast.Call) -> PiecewiseMap:
        branches: list[tuple[PiecewiseMap, PiecewiseMap]] = []
        if not node.args:
            raise self.refuse(node, "Piecewise needs at least one (expression, condition)")
        for pair in node.args:
            if not isinstance(pair, ast.Tuple) or len(pair.elts) != 2:
                raise self.refuse(pair, "Piecewise takes pairs (expression, condition)")
            condition = self.condition_of(pair.elts[1])
            branches.append((self.map_of(pair.elts[0]), condition))
        return PiecewiseMap.select(branches)

    def condition_of(self, node: ast.expr) -> PiecewiseMap:
        """The condition as a map with value 1 where it holds and 0 where it does not."""
        if isinstance(node, ast.Constant) and isinstance(node.value, bool):
            return Const(int(node.value))
        if isinstance(node, ast.BoolOp):
            parts = [self.condition_of(v) for v in node.values]
            result = parts[0]
            for p in parts[1:]:
                result = result * p if isinstance(node.op, ast.And) else result + p - result * p
            return result.simplified()
        if isinstance(node, ast.Compare):
            terms = [self._compared(n) for n in (node.left, *node.comparators)]
            result = Const(1)
            for a, op, b in zip(terms, node.ops, terms[1:], strict=False):
                wanted = {
                    ast.Lt: (-1,),
                    ast.LtE: (-1, 0),
                    ast.Gt: (1,),
                    ast.GtE: (1, 0),
                    ast.Eq: (0,),
                }.get(type(op))
                if wanted is None:
                    raise self.refuse(node, "conditions compare with <, <=, >, >= or ==")
                result = result * (a - b).by_sign(lambda s, _, w=wanted: sp.Integer(int(s in w)))  # type: ignore[misc]
            return result.simplified()
        raise self.refuse(node, "a condition (a comparison, and/or, or True) was expected")

    def _compared(self, node: ast.expr) -> PiecewiseMap:
        """One side of a comparison: linear in x, the absolute value of such a term, or constant."""
        m = self.map_of(node)
        linear = all(not e.has(X) or (e.is_polynomial(X) and sp.degree(e, X) == 1) for e in m.exprs)
        if m.windowed or not linear or UNDEFINED in m.exprs:
            raise self.refuse(node, "a condition compares terms linear in x, or their absolute values, with constants")
        return m


__all__ = ["RESERVED", "UNDEFINED", "parse", "parse_constant", "parse_param"]
