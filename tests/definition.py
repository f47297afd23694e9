"""An oracle for the decision: exhaustive search over the choices that the definition leaves open.

Works on pairs whose pieces are described by numbers (see `Move`, `Flat`, `Point`), straight from the
definition of a principled pair (docs/mathematics.md, section 3), not from the rule that `theory.decision` uses.
P is laid out from left to right. Open choices: does P jump at a breakpoint (or in the middle of a
piece) where F does not, does P stay or move where F is constant, and which slopes has T at the ends
of a gap that a jump of F opens. A set of partial layouts is carried along, which is the same as
trying all combinations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction as Q

START = "start"  # there is nothing to the left of this p: the end of the hull


@dataclass(frozen=True)
class Move:
    """F moves: F' = ratio * B with ratio > 0, B monotone between its limits at the two ends."""

    ratio: Q
    left: Q
    right: Q


@dataclass(frozen=True)
class Flat:
    """F is constant and B = level."""

    level: Q


@dataclass(frozen=True)
class Point:
    """A breakpoint: F's jump (0 where continuous) and B's value."""

    jump: Q
    value: Q


Item = Move | Flat | Point


@dataclass(frozen=True)
class Layout:
    """T so far: its slope left of the current p, the value that t must have at p, whether T had a kink."""

    left: Q | str
    asked: Q | None
    kink: bool

    def ask(self, value: Q) -> Iterable[Layout]:
        """t(p) = value at the current p."""
        if self.asked is None or self.asked == value:
            yield Layout(self.left, value, self.kink)

    def leave(self, right: Q, then: Q) -> Iterable[Layout]:
        """T goes on from the current p with this slope; at the next p of interest its slope is ``then``."""
        if isinstance(self.left, str):
            if self.asked is None or self.asked == right:
                yield Layout(then, None, self.kink)
            return
        low, high = min(self.left, right), max(self.left, right)
        if self.asked is None or low <= self.asked <= high:
            yield Layout(then, None, self.kink or low != high)

    def accepted(self) -> bool:
        """The last p: if it is attained, t there is the left slope, unless the hull is one point."""
        return self.asked is None or isinstance(self.left, str) or self.asked == self.left


def _gap(layout: Layout, item: Point, slopes: Sequence[Q]) -> Iterable[Layout]:
    """P jumps at a breakpoint."""
    if item.jump:
        sign = 1 if item.jump > 0 else -1
        for a in slopes:
            for b in slopes:
                yield from layout.leave(sign * a, sign * b)  # t at the tie is not judged
        return
    # T is monotone between equal values, hence flat; B's value is taken at either end or between
    for asked in layout.ask(item.value):
        yield from asked.leave(Q(0), Q(0))
    for left in layout.leave(Q(0), Q(0)):
        yield from left.ask(item.value)
        if item.value == 0:
            yield left


def _step(layout: Layout, item: Item, slopes: Sequence[Q], gaps: bool) -> Iterable[Layout]:
    if isinstance(item, Move):
        yield from layout.leave(item.left, item.right)
    elif isinstance(item, Flat):
        yield from layout.ask(item.level)  # P stays
        if item.level == 0:
            yield from layout.leave(Q(0), Q(0))  # P moves, T is flat, t = 0
    elif gaps:
        yield from _gap(layout, item, slopes)
        if not item.jump:
            yield from layout.ask(item.value)
    elif not item.jump:
        yield from layout.ask(item.value)


def _refined(items: Sequence[Item]) -> list[Item]:
    """Every piece cut in its middle, so that P may change its behaviour there."""
    out: list[Item] = []
    for item in items:
        if isinstance(item, Move):
            middle = (item.left + item.right) / 2
            out += [
                Move(item.ratio, item.left, middle),
                Point(Q(0), middle),
                Move(item.ratio, middle, item.right),
            ]
        elif isinstance(item, Flat):
            out += [item, Point(Q(0), item.level), item]
        else:
            out.append(item)
    return out


def _layouts(items: Sequence[Item], gaps: bool) -> set[Layout]:
    values = {Q(0), Q(1)}
    for item in items:
        if isinstance(item, Move):
            values |= {abs(item.left), abs(item.right)}
        else:
            values.add(abs(item.level if isinstance(item, Flat) else item.value))
    slopes = sorted(values | {max(values) + 1})
    current = {Layout(START, None, False)}
    for item in _refined(items):
        current = {new for old in current for new in _step(old, item, slopes, gaps)}
    return {s for s in current if s.accepted()}


def grade(items: Sequence[Item]) -> str:
    """The grade by exhaustive search: smooth, lipschitz or unprincipled."""
    found = _layouts(items, gaps=True)
    if not found:
        return "unprincipled"
    return "lipschitz" if all(s.kink for s in found) else "smooth"


def convex(items: Sequence[Item]) -> bool:
    """Whether some admissible P is continuous and nonexpansive."""
    if any(isinstance(i, Move) and i.ratio > 1 for i in items):
        return False
    return bool(_layouts(items, gaps=False))
