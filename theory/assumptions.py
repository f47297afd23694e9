"""What `--assume` says of the parameters: a reader with columns, and the range as disjoint cells.

The grammar is a whitelist: chains of <, <=, >, >=, ==, != between names and exact constants, the
latter read by `theory.parser`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import sort_exact
from theory.cells import OO, Cell, Expr, coordinate
from theory.errors import InputError
from theory.exact import compare, equal, less
from theory.parser import RESERVED, parse_constant

ZERO, ONE = sp.Integer(0), sp.Integer(1)
MAX_ASSUMPTION = 400
_NAME = re.compile(r"[A-Za-z_][A-Za-z_0-9]*\Z")
_OPERATOR = re.compile(r"<=|>=|==|!=|<|>|=")


@dataclass
class Interval:
    """The values left to one parameter: from lo to hi, less the holes."""

    lo: Expr = -OO
    hi: Expr = OO
    lo_closed: bool = False
    hi_closed: bool = False
    holes: list[Expr] = field(default_factory=list)

    def above(self, c: Expr, closed: bool) -> None:
        order = compare(c, self.lo)
        if order > 0 or (order == 0 and not closed):
            self.lo, self.lo_closed = c, closed

    def below(self, c: Expr, closed: bool) -> None:
        order = compare(c, self.hi)
        if order < 0 or (order == 0 and not closed):
            self.hi, self.hi_closed = c, closed

    def contains(self, c: Expr) -> bool:
        low, high = compare(self.lo, c), compare(c, self.hi)
        inside = (low < 0 or (low == 0 and self.lo_closed)) and (high < 0 or (high == 0 and self.hi_closed))
        return inside and not any(equal(c, h) for h in self.holes)

    def parts(self) -> list[tuple[Expr, Expr]]:
        """Open intervals (lo, hi) and points (c, c), in order; empty where nothing is left."""
        if equal(self.lo, self.hi):
            return [(self.lo, self.lo)] if self.contains(self.lo) else []
        if less(self.hi, self.lo):
            return []
        cuts = [self.lo, *sort_exact([h for h in self.holes if less(self.lo, h) and less(h, self.hi)]), self.hi]
        found: list[tuple[Expr, Expr]] = [(self.lo, self.lo)] if self.contains(self.lo) else []
        found += list(pairwise(cuts))
        return found + ([(self.hi, self.hi)] if self.contains(self.hi) else [])


@dataclass(frozen=True)
class Assumptions:
    """What `--assume` says: an interval per parameter, and chains of parameters p < q or p <= q."""

    texts: tuple[str, ...]
    intervals: dict[str, Interval]
    order: tuple[tuple[str, str, bool], ...]  # (smaller, larger, may be equal)

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(self.intervals)

    def text(self) -> str:
        return " and ".join(self.texts)

    def admits(self, values: Mapping[str, Expr]) -> bool:
        """Whether exact values of all parameters satisfy the assumptions."""
        return all(i.contains(values[n]) for n, i in self.intervals.items()) and all(
            compare(values[p], values[q]) < (1 if closed else 0) for p, q, closed in self.order
        )

    def cells(self) -> list[Cell]:
        """The range as a disjoint union of cells."""
        found = [Cell({}, {}, {})]
        for name in self._sorted():
            found = [larger for cell in found for larger in self._extended(cell, name)]
        return found

    def _sorted(self) -> list[str]:
        done: list[str] = []
        left = list(self.intervals)
        while left:
            ready = [n for n in left if all(p in done for p, q, _ in self.order if q == n)]
            if not ready:
                raise InputError(f"--assume: no values satisfy {self.text()}")
            done.append(ready[0])
            left.remove(ready[0])
        return done

    def _extended(self, cell: Cell, name: str) -> list[Cell]:
        own = self.intervals[name]
        smaller = [(p, closed) for p, q, closed in self.order if q == name]
        me = sp.Symbol(name, real=True)
        found: list[Cell] = []

        def fixed(value: Expr, text: str) -> Cell:
            return Cell({**cell.values, name: value}, dict(cell.coords), dict(cell.meaning), (*cell.fixed, text))

        if not smaller:
            for lo, hi in own.parts():
                if lo == hi:
                    found.append(fixed(lo, f"{name} = {lo}"))
                else:
                    s = coordinate(name, lo, hi)
                    found.append(
                        Cell(
                            {**cell.values, name: s}, {**cell.coords, s: (lo, hi)}, {**cell.meaning, s: me}, cell.fixed
                        )
                    )
            return found
        if len(smaller) > 1 or own.holes:
            raise InputError("--assume: parameters are compared in one chain only, for example 0 < c1 < c2")
        (p, may_equal), base = smaller[0], cell.values[smaller[0][0]]
        below = sp.Symbol(p, real=True)
        if not cell.free(base):  # the smaller one is at a point: an ordinary interval above it
            rest = Interval(own.lo, own.hi, own.lo_closed, own.hi_closed)
            rest.above(base, may_equal)
            alone = Assumptions(self.texts, {name: rest}, ())
            return alone._extended(cell, name)
        lowest = cell.coords[base][0] if base in cell.coords else None
        if lowest is None or (own.lo != -OO and compare(own.lo, lowest) > 0):
            raise InputError(f"--assume: {name} is compared with {p} and bounded from below by more than {p} is")
        if may_equal:
            found.append(fixed(base, f"{name} = {p}"))
        if own.hi == OO:
            if lowest == 0:
                r = sp.Symbol(f"{name}/{p}", positive=True)
                value, ends, meaning = base * r, (ONE, OO), me / below
            else:
                r = sp.Symbol(f"{name} - {p}", positive=True)
                value, ends, meaning = base + r, (ZERO, OO), me - below
        else:
            r = sp.Symbol(f"({name} - {p})/({own.hi} - {p})", positive=True)
            value, ends, meaning = base + (own.hi - base) * r, (ZERO, ONE), (me - below) / (own.hi - below)
            if own.hi_closed:
                found.append(fixed(own.hi, f"{name} = {own.hi}"))
        found.append(
            Cell({**cell.values, name: value}, {**cell.coords, r: ends}, {**cell.meaning, r: meaning}, cell.fixed)
        )
        return found


def read_assumptions(texts: str | Sequence[str]) -> Assumptions:
    """Read ``beta > 0``, ``0 < alpha < 1``, ``c >= 1/2``, ``t != 0``, ``0 < c1 < c2``.

    Chains of <, <=, >, >=, == and != (a name against a constant) of names and exact constants.
    Raises `InputError` naming the text and the column; also for contradictions.
    """
    given = [texts] if isinstance(texts, str) else list(texts)
    intervals: dict[str, Interval] = {}
    order: list[tuple[str, str, bool]] = []
    for text in given:
        if not isinstance(text, str):
            raise InputError(f"--assume: text such as 'beta > 0' was expected, not {type(text).__name__}")
        for left, op, right, column in _comparisons(text):
            _note(intervals, order, left, op, right, f"--assume {text.strip()!r}", column)
    for _ in intervals:  # bounds travel along chains
        for p, q, closed in order:
            intervals[q].above(intervals[p].lo, closed and intervals[p].lo_closed)
            intervals[p].below(intervals[q].hi, closed and intervals[q].hi_closed)
    found = Assumptions(tuple(_spaced(t) for t in given), intervals, tuple(dict.fromkeys(order)))
    for name, interval in intervals.items():
        if not interval.parts():
            raise InputError(f"--assume: no value of {name} satisfies {found.text()}")
    found.cells()
    return found


def _spaced(text: str) -> str:
    """The assumption with one space around every comparison."""
    return " ".join(_OPERATOR.sub(lambda m: f" {m.group()} ", text).split())


def refuse_names(texts: str | Sequence[str], known: Sequence[str], what: str) -> None:
    """Raise `InputError` where an assumption speaks of a parameter that is not among the known ones."""
    for name in read_assumptions(texts).names:
        if name not in known:
            raise InputError(
                f"--assume {name[:60]}: {what} has no such parameter ({', '.join(known) or 'it has none'})"
            )


def _comparisons(text: str) -> list[tuple[Any, str, Any, int]]:
    """(left, operator, right, column) for each comparison of a chain; sides are names or constants."""
    what = f"--assume {text.strip()[:60]!r}"
    if len(text) > MAX_ASSUMPTION:
        raise InputError(f"--assume: at most {MAX_ASSUMPTION} characters are read, this has {len(text)}")
    operators = list(_OPERATOR.finditer(text))
    if not operators:
        raise InputError(f"{what}: a comparison was expected, for example beta > 0")
    edges = [0, *(e for m in operators for e in m.span()), len(text)]
    sides = [_side(text, edges[i], edges[i + 1], what) for i in range(0, len(edges), 2)]
    for m in operators:
        if m.group() == "=":
            raise InputError(f"{what}: equality is written ==, at column {m.start() + 1}")
    return [(sides[i], m.group(), sides[i + 1], m.start() + 1) for i, m in enumerate(operators)]


def _side(text: str, start: int, end: int, what: str) -> Any:
    """A name as text, or an exact constant."""
    part = text[start:end]
    column = start + len(part) - len(part.lstrip()) + 1
    name = part.strip()
    if not name:
        raise InputError(f"{what}: a name or a constant was expected at column {column}")
    if name == "x":
        raise InputError(f"{what}: an assumption on a parameter was expected, x is the variable (column {column})")
    if _NAME.match(name) and name not in RESERVED:
        return name
    return parse_constant(" " * start + part.rstrip(), what)


def _note(
    intervals: dict[str, Interval],
    order: list[tuple[str, str, bool]],
    left: Any,
    op: str,
    right: Any,
    what: str,
    column: int,
) -> None:
    for side in (left, right):
        if isinstance(side, str):
            intervals.setdefault(side, Interval())
    if isinstance(left, str) and isinstance(right, str):
        if op in ("==", "!="):
            raise InputError(f"{what}: two parameters are compared with <, <=, > or >= (column {column})")
        if left == right:
            raise InputError(f"{what}: {left} is compared with itself at column {column}")
        small, large = (left, right) if op in ("<", "<=") else (right, left)
        order.append((small, large, op in ("<=", ">=")))
    elif isinstance(left, str) or isinstance(right, str):
        if not isinstance(left, str):
            left, right, op = right, left, {"<": ">", "<=": ">=", ">": "<", ">=": "<="}.get(op, op)
        interval = intervals[left]
        if op == "!=":
            interval.holes.append(right)
        if op in (">", ">=", "=="):
            interval.above(right, op != ">")
        if op in ("<", "<=", "=="):
            interval.below(right, op != "<")
    else:
        s = compare(left, right)
        if s not in {"<": (-1,), "<=": (-1, 0), ">": (1,), ">=": (1, 0), "==": (0,), "!=": (-1, 1)}[op]:
            raise InputError(f"{what}: {left} {op} {right} is false (column {column})")


__all__ = ["Assumptions", "Interval", "read_assumptions", "refuse_names"]
