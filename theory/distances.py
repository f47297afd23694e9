"""How far two pairs are apart: suprema, weighted mean squares and signs, each exact or enclosed with a proof."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import sympy as sp

from theory.analytic import Expr, is_zero, sign_at, sign_on, solve_level, sort_exact
from theory.balls import acb, arb, fmpq
from theory.constants import Constant
from theory.deadline import limit
from theory.errors import InputError, OutOfTime, Undecided
from theory.exact import X, enclose, less, precision, rational_between, sign_of
from theory.extrema import Bound, dyadic, exactly, greatest, largest_modulus
from theory.maps import OO, PiecewiseMap
from theory.pairs import QuantizerPair

WINDOW = sp.Integer(2)
"""Half-width of the interval on which the mean squares weigh every x alike."""

_SECONDS = 1.5  # for each of the numbers; what is not settled by then is said to be open
_GOAL = 40  # bits of the integrals
_EVALUATIONS = 20_000
_DEPTH = 20  # halvings of a box whose sign stays open


@dataclass(frozen=True)
class Distance:
    """Of F and of B each: sup |difference| over the real line, root mean square over [-window, window]; off ties.

    ``same_sign``: the share of [-window, window] on which the two backward maps have the same sign
    (zero counts as a sign of its own).
    """

    window: Expr
    sup_forward: Constant
    sup_backward: Constant
    mean_forward: Constant
    mean_backward: Constant
    same_sign: Constant

    def as_dict(self) -> dict[str, Any]:
        """The window as text and each number as {value, low, high, reason}."""
        return {
            "window": str(self.window),
            "sup_forward": self.sup_forward.as_dict(),
            "sup_backward": self.sup_backward.as_dict(),
            "rms_forward": self.mean_forward.as_dict(),
            "rms_backward": self.mean_backward.as_dict(),
            "same_sign": self.same_sign.as_dict(),
        }

    @property
    def size(self) -> float:
        """What repairs are sorted by: the root mean squares of F and of B added, +oo where one is open."""
        total = 0.0
        for c in (self.mean_forward, self.mean_backward):
            if c.bound is None or c.bound.high == OO:
                return float("inf")
            with precision(128):
                total += float(enclose(c.bound.high).mid())
        return total


def distance(first: QuantizerPair, second: QuantizerPair, window: Expr = WINDOW) -> Distance:
    """The distance between two pairs.

    ``window`` > 0: an exact constant. Numbers that are not settled in time are open (`Constant.bound`
    None, with the reason). Raises `InputError` for maps that are held only inside a window.
    """
    if sign_of(window) <= 0:
        raise InputError("a window has a positive half-width")
    maps = (first.forward, second.forward, first.backward, second.backward)
    if any(m.windowed for m in maps):
        raise InputError("a distance needs maps with finitely many pieces")
    f, g = _differences(first.forward, second.forward), _differences(first.backward, second.backward)
    return Distance(
        window,
        _settled(lambda: _sup(f)),
        _settled(lambda: _sup(g)),
        _settled(lambda: _mean(f, window)),
        _settled(lambda: _mean(g, window)),
        _settled(lambda: _same_sign(first.backward, second.backward, window)),
    )


Pieces = list[tuple[Expr, Expr, Expr]]


def _differences(p: PiecewiseMap, q: PiecewiseMap) -> Pieces:
    """(expression of p - q, from, to) on each open piece of both."""
    p, q = p.refine(q.breaks), q.refine(p.breaks)
    pieces = zip(p.exprs, q.exprs, p.ends, strict=True)
    return [(sp.Integer(0) if is_zero(a - b, lo, hi) else a - b, lo, hi) for a, b, (lo, hi) in pieces]


def _settled(find: Callable[[], Bound]) -> Constant:
    try:
        with limit(_SECONDS):
            bound = find()
    except Undecided as reason:
        return Constant(None, str(reason)[:200])
    except OutOfTime:
        return Constant(None, "not settled in time")
    return Constant(bound, bound.method)


def _sup(pieces: Pieces) -> Bound:
    return greatest([largest_modulus(e, a, b) for e, a, b in pieces])


def _inside(pieces: Pieces, window: Expr) -> Iterator[tuple[Expr, Expr, Expr]]:
    for e, a, b in pieces:
        lo, hi = (-window if less(a, -window) else a), (window if less(window, b) else b)
        if less(lo, hi):
            yield e, lo, hi


def _mean(pieces: Pieces, window: Expr) -> Bound:
    """The square root of the mean of the squares over [-window, window]."""
    exact: Expr = sp.Integer(0)
    with precision(128):
        total = arb(0)
        for e, a, b in _inside(pieces, window):
            if e == 0:
                continue
            if e.is_polynomial(X):
                primitive = sp.integrate(sp.expand(e**2), X)
                exact += primitive.subs(X, b) - primitive.subs(X, a)
            else:
                total += integral(_squared(e), (e,), a, b)
        if total == 0:
            return exactly(sp.sqrt(sp.nsimplify(exact / (2 * window))), "exact integral")
        mean = (total + enclose(exact)) / (2 * enclose(window))
        root = (mean.union(arb(0)) if not mean > 0 else mean).sqrt()
        if not root.is_finite():
            raise Undecided("the integral has no finite enclosure")
        low, high = dyadic(root.lower()), dyadic(root.upper())
    return Bound(low if low > 0 else sp.Integer(0), high, "enclosed integral")


def _squared(e: Expr) -> Callable[[Any], Any]:
    return lambda z: enclose(e, z) ** 2


def integral(f: Callable[[Any], Any], parts: tuple[Expr, ...], a: Expr, b: Expr) -> Any:
    """A ball around the integral over (a, b), finite ends, of f, a function made of the analytic ``parts``.

    ``f`` takes a complex ball. Raises `Undecided` where no finite enclosure is found.
    """
    cuts = [(n.func, n) for e in parts for n in sp.preorder_traversal(e) if n.has(X) and _branched(n)]

    def integrand(z: Any, analytic: bool) -> Any:
        if analytic and not all(_is_analytic(n, z) for _, n in cuts):
            return acb("nan")
        return acb(f(z))

    with precision(128):
        value = acb.integral(
            integrand,
            acb(enclose(a)),
            acb(enclose(b)),
            rel_tol=arb(2) ** -_GOAL,
            abs_tol=arb(2) ** -_GOAL,
            eval_limit=_EVALUATIONS,
        ).real
    if not value.is_finite():
        raise Undecided("the integral has no finite enclosure")
    return value


_CUT = (sp.log, sp.atan, sp.asin, sp.acos, sp.Abs)


def _branched(n: Expr) -> bool:
    """Whether a node is a function with a branch cut (or none that is analytic at all)."""
    return isinstance(n, _CUT) or (n.is_Pow and n.base is not sp.E and not n.exp.is_Integer)


def _is_analytic(n: Expr, z: Any) -> bool:
    """Whether the outermost function of n is analytic on the complex ball of its argument at z."""
    inner = acb(enclose(n.base if n.is_Pow else n.args[0], z))
    if n.is_Pow or isinstance(n, sp.log):
        return bool(inner.real > 0)
    if isinstance(n, sp.atan):
        return bool(abs(inner.imag) < 1)
    if isinstance(n, sp.asin | sp.acos):
        return bool(abs(inner.real) < 1)
    return False


def _same_sign(p: PiecewiseMap, q: PiecewiseMap, window: Expr) -> Bound:
    p, q = p.refine(q.breaks), q.refine(p.breaks)
    low: Expr = sp.Integer(0)
    high: Expr = sp.Integer(0)
    for e, g, (a, b) in zip(p.exprs, q.exprs, p.ends, strict=True):
        for _, lo, hi in _inside([(e, a, b)], window):
            try:
                agreed = _agreeing(e, g, lo, hi)
                open_width: Expr = sp.Integer(0)
            except Undecided:
                agreed, open_width = _bisected(e, g, lo, hi)
            low, high = low + agreed, high + agreed + open_width
    low, high = low / (2 * window), high / (2 * window)
    if low == high:
        return exactly(low, "signs between the zeros")
    return Bound(low, high, "signs on boxes")


def _agreeing(e: Expr, g: Expr, a: Expr, b: Expr) -> Expr:
    """The length of the parts of (a, b) on which e and g have one sign."""
    if e == g:
        return b - a
    zeros: list[Expr] = []
    for h in (e, g):
        if h.has(X) and sign_on(h, a, b).value is None:
            zeros += solve_level(h, sp.Integer(0), a, b).points
    length: Expr = sp.Integer(0)
    for x, y in pairwise([a, *sort_exact(zeros), b]):
        here = rational_between(x, y)
        signs = [sign_at(h, here) if h.has(X) else sign_of(h) for h in (e, g)]
        if None in signs:
            raise Undecided(f"a sign at {here} could not be settled")
        if signs[0] == signs[1]:
            length += y - x
    return length


def _bisected(e: Expr, g: Expr, a: Expr, b: Expr) -> tuple[Expr, Expr]:
    """The length where e and g are shown to have one sign, and the length of the boxes that stay open."""
    agreed, unsettled = sp.Integer(0), sp.Integer(0)
    with precision(64):
        start, width = enclose(a), enclose(b) - enclose(a)
        todo = [(0, 0)]  # box k of the 2**depth equal ones
        while todo:
            depth, k = todo.pop()
            share = sp.Rational(1, 2**depth)
            t = arb(fmpq(2 * k + 1, 2 ** (depth + 1))) + arb(0, 1) * arb(fmpq(1, 2 ** (depth + 1)))
            signs = [_sign(enclose(h, start + width * t)) for h in (e, g)]
            if None not in signs:
                agreed += share if signs[0] == signs[1] else 0
            elif depth >= _DEPTH:
                unsettled += share
            else:
                todo += [(depth + 1, 2 * k), (depth + 1, 2 * k + 1)]
    return agreed * (b - a), unsettled * (b - a)


def _sign(ball: Any) -> int | None:
    return 1 if ball > 0 else -1 if ball < 0 else 0 if ball == 0 else None


__all__ = ["WINDOW", "Distance", "distance", "integral"]
