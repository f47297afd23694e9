"""Builds T, its slope t, the proximal map P and the regularizer r of a principled pair.

Walks the anatomy of `theory.decision` from left to right, laying P's pieces and gaps beside each
other: S pieces integrate F'/B, K pieces keep P, dead zones move it with slope 1, jumps of F open a
gap on which T is a monotone polynomial with the slopes that B asks for, and a flat gap of height 1
opens where two neighbours share F but not B.
"""

from __future__ import annotations

from dataclasses import dataclass

import sympy as sp

from theory.analytic import Expr, antiderivative, into_language, limit_at, shortened
from theory.decision import Anatomy, Node, Piece, _between, _fits
from theory.errors import Undecided
from theory.exact import X, compare, equal, less, rational_between, sign_of
from theory.graphs import MonotoneGraph, real_logs
from theory.inverse import invert
from theory.maps import OO, PiecewiseMap
from theory.pairs import Decomposition, Regularizer

ZERO = sp.Integer(0)


@dataclass
class Stretch:
    """A stretch of the p-axis: T and its derivative on (lo, hi), as expressions in p."""

    lo: Expr
    hi: Expr
    value: Expr
    slope: Expr


def decompose(parts: Anatomy, smooth: bool) -> Decomposition:
    """(T, t, P, r) of a pair that was decided to be principled; missing closed forms go to ``implicit``."""
    implicit: dict[str, str] = {}
    try:
        layout = _Layout(parts, smooth)
        prox = layout.prox()
    except Undecided as reason:
        return undescribed(str(reason))
    transform = slope = None
    try:
        transform, slope = layout.transform()
    except Undecided as reason:
        implicit["transform"] = f"T(p) = F(x) at any x with P(x) = p ({reason})"
    regularizer = regularizer_pair(prox)
    if regularizer.largest is None:
        implicit["regularizer"] = "r(w) = sup_x (w*x - integral_0^x P) - w**2/2 with P as given"
    return Decomposition(transform, slope, prox, regularizer, implicit)


def undescribed(reason: str) -> Decomposition:
    """A decomposition of which only the implicit description is known."""
    implicit = {
        "transform": "T(p) = F(x) at any x with P(x) = p",
        "prox": f"P(x) = integral of F'(s)/B(s) ds, constant where F' = 0 and B is not ({reason})",
        "regularizer": "r(w) = sup_x (w*x - integral_0^x P) - w**2/2",
    }
    return Decomposition(None, None, None, Regularizer(None, None), implicit)


class _Layout:
    """P laid out piece by piece: expressions, and at each breakpoint the gap (p_left, p_right)."""

    def __init__(self, parts: Anatomy, smooth: bool) -> None:
        self.parts, self.smooth = parts, smooth
        self.p: list[Expr] = []
        self.gaps: list[tuple[Expr, Expr]] = []
        self.gap_slopes: list[tuple[Expr, Expr]] = []  # slopes of T at the two ends of a gap of F
        self.point_on: list[str] = []  # where the breakpoint's own p lies: left, right, middle
        self._lay()
        self._anchor()

    # ---- laying P

    def _slope_beside(self, n: Node, i: int, right: bool) -> Expr:
        """The slope T should have on the gap at node i, beside its left or right neighbour."""
        piece = self.parts.pieces[i + 1 if right else i]
        b = n.g_right if right else n.g_left
        if piece.kind == "Z" or not _fits(n.jump, b):
            return ZERO
        return b

    def _gap(self, i: int) -> tuple[Expr, Expr, Expr]:
        """(height of P's gap at node i, slope of T at its left end, at its right end)."""
        n = self.parts.nodes[i]
        if n.jump:
            left, right = self._slope_beside(n, i, False), self._slope_beside(n, i, True)
            jump = n.f_right - n.f_left
            total = left + right
            height = 2 * jump / total if sign_of(total) != 0 else sp.Abs(jump)
            return sp.radsimp(height), left, right
        return (sp.Integer(1) if self._needs_flat_gap(i) else ZERO), ZERO, ZERO

    def _needs_flat_gap(self, i: int) -> bool:
        """Whether P must jump at node i although F does not."""
        if self.smooth:
            return False
        n, left, right = self.parts.nodes[i], self.parts.pieces[i], self.parts.pieces[i + 1]
        held = [p.level for p in (left, right) if p.kind == "K"]
        if n.g_value is not None:
            held.append(n.g_value)
        if any(not equal(held[0], h) for h in held[1:]):
            return True
        if not held:
            return False
        # everything around this node shares one P: is its B a slope of T there without a gap?
        b = held[0]
        lo, hi = self._group(i, b)
        first, last = self._group_slopes(lo, hi, b)
        if first is None or last is None or _between(b, first, last):
            return False
        if lo == hi:
            return True  # a bare breakpoint: its own P opens
        # open at the end whose far side still offers b together with the flat 0
        return i == (lo - 1 if _between(b, ZERO, last) else hi - 1)

    def _holds(self, node: int, b: Expr) -> bool:
        """Whether this breakpoint can share its P with a neighbour on which B = b."""
        n = self.parts.nodes[node]
        return not n.jump and (n.g_value is None or equal(n.g_value, b))

    def _group(self, i: int, b: Expr) -> tuple[int, int]:
        """K pieces lo..hi-1 around node i that share its P and B = b; lo == hi == i + 1 if there is none."""
        pieces = self.parts.pieces

        def same(piece: int) -> bool:
            return pieces[piece].kind == "K" and equal(pieces[piece].level, b)

        lo = hi = i + 1
        while lo > 0 and same(lo - 1) and self._holds(lo - 1, b):
            lo -= 1
        while hi < len(pieces) and same(hi) and self._holds(hi - 1, b):
            hi += 1
        return lo, hi

    def _group_slopes(self, lo: int, hi: int, b: Expr) -> tuple[Expr | None, Expr | None]:
        """T's slopes left and right of a group: a limit of B, 0 beside a dead zone or a flat gap, None where free.

        Free means beside a gap of F, where the gap's T takes the slope that B asks for, or beyond
        the last breakpoint, where the decision has already compared.
        """
        pieces, nodes = self.parts.pieces, self.parts.nodes

        def beside(node: int, piece: int, end: int) -> Expr | None:
            if not 0 <= piece < len(pieces) or nodes[node].jump:
                return None
            return pieces[piece].g_ends[end] if pieces[piece].kind == "S" and self._holds(node, b) else ZERO

        return beside(lo - 1, lo - 1, 1), beside(hi - 1, hi, 0)

    def _lay(self) -> None:
        here: Expr = ZERO  # P at the right end of the last piece laid
        for i, piece in enumerate(self.parts.pieces):
            if i > 0:
                height, left, right = self._gap(i - 1)
                self.gaps.append((here, here + height))
                self.gap_slopes.append((left, right))
                here = here + height
            if piece.kind == "K":
                self.p.append(here)
                continue
            e = X if piece.kind == "Z" else _primitive(piece)
            if i == 0:
                self.p.append(e)
                if self.parts.nodes:
                    here = _finite(limit_at(e, piece.b, -1), e, piece.b)
                continue
            shift = here - _finite(limit_at(e, piece.a, 1), e, piece.a)
            self.p.append(e + shift)
            if i < len(self.parts.nodes):
                here = _finite(limit_at(e, piece.b, -1), e, piece.b) + shift

    def _shift(self, c: Expr) -> None:
        if c == 0:
            return
        self.p = [_neat(e + c) for e in self.p]
        self.gaps = [(_neat(a + c), _neat(b + c)) for a, b in self.gaps]

    def _anchor(self) -> None:
        """Choose P's constant: T(p) = b p where B is one constant b throughout, else P(0) = 0."""
        pieces = self.parts.pieces
        levels = [p.g if p.kind == "S" else p.level for p in pieces]
        if all(not g.has(X) for g in levels) and all(equal(levels[0], g) for g in levels) and sign_of(levels[0]) != 0:
            at = rational_between(pieces[0].a, pieces[0].b)
            self._shift(sp.simplify(pieces[0].f.subs(X, at) / levels[0] - self.p[0].subs(X, at)))
            return
        for i, n in enumerate(self.parts.nodes):
            if equal(n.x, ZERO):
                a, b = self.gaps[i]
                self._shift(-(a + b) / 2)
                return
        for e, piece in zip(self.p, pieces, strict=True):
            if less(piece.a, ZERO) and less(ZERO, piece.b):
                self._shift(-e.subs(X, ZERO))
                return

    # ---- reading off the maps

    def _gap_transform(self, i: int) -> list[Stretch]:
        """T on the gap at node i: linear, quadratic, or the smoothstep between two flat ends."""
        n = self.parts.nodes[i]
        lo, hi = self.gaps[i]
        left, right = self.gap_slopes[i]
        h = hi - lo
        if not n.jump:
            return [Stretch(lo, hi, n.f_left, ZERO)]
        s = (X - lo) / h
        if sign_of(left + right) == 0:
            t = sp.expand(n.f_left + (n.f_right - n.f_left) * s**2 * (3 - 2 * s))
        else:
            t = sp.expand(n.f_left + left * (X - lo) + (right - left) / (2 * h) * (X - lo) ** 2)
        return [Stretch(lo, hi, t, sp.diff(t, X))]

    def _tie(self, i: int) -> Expr:
        """The p in [P(x-), P(x+)] that the breakpoint takes."""
        n = self.parts.nodes[i]
        lo, hi = self.gaps[i]
        if equal(lo, hi):
            return lo
        if not n.jump:
            return self._flat_tie(i)
        v = n.f_value
        if v is None or equal(v, n.f_left) or not _between(v, n.f_left, n.f_right):
            return lo
        if equal(v, n.f_right):
            return hi
        left, right = self.gap_slopes[i]
        share = (v - n.f_left) / (n.f_right - n.f_left)
        if sign_of(left + right) == 0:
            if equal(share, sp.Rational(1, 2)):
                return (lo + hi) / 2
            # solve 3 s^2 - 2 s^3 = share by its trigonometric form, which is exact on (0, 1)
            return lo + (hi - lo) * (sp.Rational(1, 2) - sp.sin(sp.asin(1 - 2 * share) / 3))
        if equal(left, right):
            return shortened(lo + (hi - lo) * share)
        root = sp.sqrt(left**2 + 2 * (right - left) / (hi - lo) * (v - n.f_left))
        root = root if sign_of(left + right) > 0 else -root
        return shortened(lo + (hi - lo) * (root - left) / (right - left))

    def _flat_tie(self, i: int) -> Expr:
        """At a flat gap: the end whose neighbour holds B's value, or its middle, where T' = 0."""
        n, left, right = self.parts.nodes[i], self.parts.pieces[i], self.parts.pieces[i + 1]
        lo, hi = self.gaps[i]
        if n.g_value is None:
            return lo
        if left.kind == "K" and equal(left.level, n.g_value):
            return lo
        if right.kind == "K" and equal(right.level, n.g_value):
            return hi
        if sign_of(n.g_value) == 0:
            return (lo + hi) / 2
        return lo if left.kind == "S" and _between(n.g_value, ZERO, n.g_left) else hi

    def prox(self) -> PiecewiseMap:
        """P as a single-valued selection in x."""
        breaks = tuple(n.x for n in self.parts.nodes)
        values = tuple(_neat(self._tie(i)) for i in range(len(breaks)))
        return PiecewiseMap(breaks, tuple(_neat(e) for e in self.p), values).simplified()

    def transform(self) -> tuple[PiecewiseMap, PiecewiseMap]:
        """T and t as maps of p (written in x), extended analytically beyond the hull of P's range."""
        stretches: list[Stretch] = []
        held: list[tuple[Expr, Expr]] = []  # (p, value of t there)
        pieces = self.parts.pieces
        for i, piece in enumerate(pieces):
            e = self.p[i]
            if piece.kind == "K":
                held.append((e, piece.level))
            else:
                # the outermost ends are never compared, so an unknown limit there does no harm
                lo = -OO if piece.a == -OO else limit_at(e, piece.a, 1)
                hi = OO if piece.b == OO else limit_at(e, piece.b, -1)
                stretches.append(Stretch(lo, hi, *self._on_piece(i)))
            if i < len(self.gaps):
                a, b = self.gaps[i]
                if not equal(a, b):
                    stretches += self._gap_transform(i)
                n = self.parts.nodes[i]
                if not n.jump and n.g_value is not None:
                    held.append((self._tie(i), n.g_value))
        if not stretches:
            # the range is one point: T is the line through it with slope B
            (p0, b), f0 = held[0], pieces[0].f
            return PiecewiseMap.of(sp.expand(f0 + b * (X - p0))), PiecewiseMap.of(b)
        breaks = [s.lo for s in stretches[1:]]
        exprs = [s.value for s in stretches]
        first_value = [_neat(limit_at(e, b, 1)) for e, b in zip(exprs[1:], breaks, strict=True)]
        t_exprs = [s.slope for s in stretches]
        t_values = []
        for k, b in enumerate(breaks):
            known = next((v for p, v in held if equal(p, b)), None)
            left, right = limit_at(t_exprs[k], b, -1), limit_at(t_exprs[k + 1], b, 1)
            t_values.append(known if known is not None else left if equal(left, right) else _smaller(left, right))
        transform = PiecewiseMap(tuple(breaks), tuple(exprs), tuple(first_value)).simplified()
        slope = PiecewiseMap(tuple(breaks), tuple(t_exprs), tuple(t_values)).simplified()
        return transform, slope

    def _on_piece(self, i: int) -> tuple[Expr, Expr]:
        """T and T' on the image of piece i: F and B at the inverse of P."""
        piece, e = self.parts.pieces[i], self.p[i]
        if piece.kind == "Z":
            return piece.f, ZERO
        if not piece.g.has(X):
            at = rational_between(piece.a, piece.b)
            return sp.expand(piece.g * X + sp.simplify(piece.f.subs(X, at) - piece.g * e.subs(X, at))), piece.g
        inverse = invert(e, piece.a, piece.b)
        return _composed(piece.f, inverse), _composed(piece.g, inverse)


def _primitive(piece: Piece) -> Expr:
    """A real integral of F'/B on an S piece."""
    if not piece.ratio.has(X):
        return piece.ratio * X
    if not piece.g.has(X):
        return piece.f / piece.g
    integral = antiderivative(piece.ratio)
    return real_logs(integral, piece.a, piece.b) if integral.has(sp.log) else integral


def _finite(value: Expr, e: Expr, at: Expr) -> Expr:
    if value in (OO, -OO):
        raise Undecided(f"{e} has no finite limit at {at}")
    return value


def _neat(e: Expr) -> Expr:
    if not e.has(X):
        return e if e.is_Rational else shortened(e)
    return sp.expand(e) if e.is_polynomial(X) else e


def _composed(outer: Expr, inner: Expr) -> Expr:
    """outer(inner(x)), shortened where that is quick and stays in the language."""
    e = outer.subs(X, inner)
    if inner == X:
        return e
    if e.is_polynomial(X):
        return sp.expand(e)
    if e.count_ops() <= 60:
        simple = into_language(sp.simplify(e))
        if simple.count_ops() < e.count_ops():
            return simple
    return e


def _smaller(a: Expr, b: Expr) -> Expr:
    return a if compare(sp.Abs(a), sp.Abs(b)) <= 0 else b


def regularizer_pair(prox: PiecewiseMap) -> Regularizer:
    """Both canonical regularizers of P, or None where no closed form was found."""
    try:
        largest, smallest = MonotoneGraph.of(prox).regularizers()
        return Regularizer(largest, smallest)
    except Undecided:
        return Regularizer(None, None)
