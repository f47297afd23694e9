"""Exact real constants: rigorous enclosures, comparison, and one proof of equality.

A constant is a sympy number without free symbols (rationals, pi, algebraic numbers, logarithms,
...). Order is settled by Arb balls of growing precision, equality only by algebra: two constants
that no precision separates and no algebra identifies are `Undecided`, never guessed.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from typing import Any

import sympy as sp

from theory.balls import acb, arb, ctx, fmpq
from theory.errors import InputError, Undecided

X = sp.Symbol("x", real=True)
"""The one variable of every map."""

_PRECISIONS = (64, 192, 640, 2048, 8192)
_CERTIFIED_BITS = 2048  # the finest separation of constants without a closed form
_LARGEST_BITS = 4096  # integer parts beyond this many bits are not computed


class sigmoid(sp.Function):
    """The logistic function 1/(1 + exp(-z)), kept whole so that lowering can use a stable kernel."""

    is_real = True
    is_finite = True

    def fdiff(self, argindex: int = 1) -> Any:
        return self * (1 - self)

    @classmethod
    def eval(cls, z: Any) -> Any:
        if z.is_zero:
            return sp.Rational(1, 2)
        return None

    def _eval_rewrite_as_exp(self, z: Any, **_: Any) -> Any:
        return 1 / (1 + sp.exp(-z))

    def _eval_rewrite_as_tractable(self, z: Any, **_: Any) -> Any:
        return 1 / (1 + sp.exp(-z))

    def _eval_evalf(self, prec: int) -> Any:
        return (1 / (1 + sp.exp(-self.args[0])))._eval_evalf(prec)


Ball = Any  # flint.arb, which ships without types


class Certified(sp.AtomicExpr):
    """A real constant without a closed form, known by enclosures of any accuracy.

    ``text`` says what it is. ``refine(bits)`` gives rationals lo <= c <= hi, at most 2**-bits apart;
    it raises `Undecided` where that accuracy is not reached. Two of them are equal only if they are
    one object: their order is settled by enclosures, their equality never guessed.
    """

    is_real = True
    is_finite = True
    is_commutative = True
    is_number = True

    def __new__(cls, text: str, refine: Callable[[int], tuple[Any, Any]]) -> Certified:
        self = super().__new__(cls)
        self.text, self.refine = text, refine
        return self

    def _hashable_content(self) -> tuple[Any, ...]:
        return (self.text, id(self.refine))

    def _eval_evalf(self, prec: int) -> Any:
        low, high = self.refine(prec + 8)
        middle = (sp.Rational(int(low.p), int(low.q)) + sp.Rational(int(high.p), int(high.q))) / 2
        return middle.evalf(max(1, int(prec / 3.33)))

    def _sympystr(self, printer: Any) -> str:
        refuse = getattr(printer, "_print_Certified", None)  # the printer of the grammar, which has no such constants
        if refuse is not None:
            return str(refuse(self))
        return f"<{self.text}, near {self.evalf(10)}>"

    def _latex(self, _: Any) -> str:
        return str(self.evalf(8)) + r"\ldots"

    def enclosure(self) -> Ball:
        """A ball around it at the current Arb precision."""
        low, high = self.refine(ctx.prec + 8)
        return arb(low).union(arb(high))


_UNARY: dict[Any, Callable[[Ball], Ball]] = {
    sp.exp: lambda z: z.exp(),
    sp.log: lambda z: z.log(),
    sp.tanh: lambda z: z.tanh(),
    sp.sinh: lambda z: z.sinh(),
    sp.cosh: lambda z: z.cosh(),
    sp.atan: lambda z: z.atan(),
    sp.sin: lambda z: z.sin(),
    sp.cos: lambda z: z.cos(),
    sp.tan: lambda z: z.tan(),
    sp.asin: lambda z: z.asin(),
    sp.acos: lambda z: z.acos(),
    sp.erf: lambda z: z.erf(),
    sigmoid: lambda z: 1 / (1 + (-z).exp()),
}


def _arb_pow(base: Ball, exponent: Any) -> Ball:
    if exponent.is_Integer:
        # an even power of a ball around 0 must not be computed as a product with sign
        return base ** int(exponent) if exponent > 0 else 1 / base ** int(-exponent)
    if exponent == sp.Rational(1, 2):
        return base.sqrt()
    if exponent == sp.Rational(-1, 2):
        return base.rsqrt()
    if exponent.is_Rational:
        return _arb_pow(_root(base, int(exponent.q)), sp.Integer(exponent.p))
    raise Undecided(f"cannot enclose a power with exponent {exponent}")


def _root(base: Ball, index: int) -> Ball:
    """The principal root; around a complex 0, where Arb's logarithm is infinite, the box its modulus allows."""
    if isinstance(base, acb) and base.is_finite() and base.contains(acb(0)):
        side = arb(0, 1) * arb(abs(base).upper()).root(index).upper()
        return acb(side, side)
    return base.root(index)


def enclose(expr: Any, at: Ball | None = None) -> Ball:
    """A ball that contains expr(x) for every x in the ball ``at``, at the current Arb precision.

    Raises `Undecided` for functions outside the expression language.
    """
    if expr.is_Rational:
        return arb(fmpq(int(expr.p), int(expr.q)))
    if expr == X:
        if at is None:
            raise InputError("a constant was expected, but it depends on x")
        return at
    if expr is sp.pi:
        return arb.pi()
    if expr is sp.E:
        return arb(1).exp()
    if expr.is_Add:
        total = enclose(expr.args[0], at)
        for a in expr.args[1:]:
            total = total + enclose(a, at)
        return total
    if expr.is_Mul:
        total = enclose(expr.args[0], at)
        for a in expr.args[1:]:
            total = total * enclose(a, at)
        return total
    if expr.is_Pow:
        base, exponent = expr.args
        if base is sp.E:
            return enclose(exponent, at).exp()
        if exponent.is_Rational:
            return _arb_pow(enclose(base, at), exponent)
        return (enclose(base, at).log() * enclose(exponent, at)).exp()
    f = _UNARY.get(expr.func)
    if f is not None:
        return f(enclose(expr.args[0], at))
    if isinstance(expr, sp.Abs):
        return abs(enclose(expr.args[0], at))
    if isinstance(expr, sp.polys.rootoftools.ComplexRootOf):
        return _enclose_root(expr)
    if isinstance(expr, Certified):
        return expr.enclosure()
    if isinstance(expr, sp.erfinv):
        raise Undecided("the inverse error function has no enclosure here")
    raise Undecided(f"no rigorous enclosure for {expr if expr.is_Symbol else expr.func.__name__}")


def _enclose_root(root: Any) -> Ball:
    tolerance = sp.Rational(1, 2 ** (ctx.prec + 8))
    low = root.eval_rational(dx=tolerance, dy=tolerance)
    mid = arb(fmpq(int(low.p), int(low.q)))
    return mid + arb(0, 1) * arb(fmpq(1, 2 ** (ctx.prec + 7)))


class precision:
    """Context manager: set Arb's working precision in bits and put the old one back."""

    def __init__(self, bits: int) -> None:
        self.bits = bits

    def __enter__(self) -> None:
        self.old = ctx.prec
        ctx.prec = self.bits

    def __exit__(self, *_: object) -> None:
        ctx.prec = self.old


def _by_exponentials(c: Any) -> Any:
    """Hyperbolic functions by exponentials: those of logarithms, the usual levels, become rational."""
    c = c.replace(sp.tanh, lambda z: 1 - 2 / (sp.exp(2 * z) + 1)).replace(sigmoid, lambda z: 1 / (1 + sp.exp(-z)))
    c = c.replace(sp.sinh, lambda z: (sp.exp(z) - sp.exp(-z)) / 2)
    return c.replace(sp.cosh, lambda z: (sp.exp(z) + sp.exp(-z)) / 2)


def _could_be_equal(a: Any, b: Any) -> bool:
    with precision(192):
        gap = enclose(a) - enclose(b)
    return bool(gap.is_finite()) and not (gap > 0 or gap < 0)


def _with_equal_arguments(c: Any) -> Any:
    """c with constant arguments of functions that are shown to be equal, or to be short rationals, written alike."""
    for func in {n.func for n in c.atoms(sp.Function)}:
        known: list[Any] = []
        for node in sorted(c.atoms(func), key=lambda n: n.count_ops()):
            arg = node.args[0]
            with precision(192):
                ball = enclose(arg)
            if arg.is_Rational or not ball.is_finite():
                known.append(arg)
                continue
            digits = Fraction(ball.mid().str(40, radius=False)).limit_denominator(1000)
            candidates = [*known, sp.Rational(digits.numerator, digits.denominator)]
            same = next((k for k in candidates if _could_be_equal(arg, k) and _proved_zero(arg - k)), None)
            if same is None:
                known.append(arg)
            else:
                c = c.xreplace({node: func(same)})
    return c


def _with_short_logarithms(c: Any) -> Any:
    """Arguments of logarithms cancelled in exponentials: log((1 + tanh(k))/(1 - tanh(k))) is 2 k."""
    if not c.has(sp.log):
        return c
    return sp.expand(c.replace(sp.log, lambda z: sp.log(sp.cancel(sp.together(_by_exponentials(z))))))


def _with_plain_angles(c: Any) -> Any:
    """atan(sin(a)/cos(a)) as a, where a lies between -pi/2 and pi/2."""

    def angle(z: Any) -> Any:
        for a in sorted({n.args[0] for n in z.atoms(sp.sin, sp.tan)}, key=sp.default_sort_key):
            for signed in (a, -a):
                if z in (sp.sin(signed) / sp.cos(signed), sp.tan(signed)):
                    with precision(192):
                        inside = enclose(sp.cos(a)) > 0 and abs(enclose(a)) < 3
                    return signed if inside else sp.atan(z)
        return sp.atan(z)

    return c.replace(sp.atan, angle)


def _has_real_logarithms(c: Any) -> bool:
    """Whether every logarithm is shown to be of a positive number: only then do products become sums."""
    with precision(192):
        return all(bool(enclose(n.args[0]) > 0) for n in c.atoms(sp.log))


def _with_split_logarithms(c: Any) -> Any:
    """log(a b) as log(a) + log(b), after what `_with_plain_angles` does."""
    c = _with_plain_angles(c)
    return sp.expand(sp.expand_log(c, force=True)) if _has_real_logarithms(c) else c


def _with_joined_logarithms(c: Any) -> Any:
    """Without the sums of q_i log(z_i), q_i in rational ratios, for which the product of the z_i**q_i is 1."""
    if not _has_real_logarithms(c):
        return c
    groups: list[tuple[Any, list[tuple[Any, Any, Any]]]] = []
    for term in sp.Add.make_args(sp.expand(c)):
        factor, log = term.as_independent(sp.log)
        if log.func is not sp.log or not log.args[0].is_algebraic:
            continue
        for first, group in groups:
            ratio = sp.radsimp(factor / first)
            if ratio.is_Rational:
                group.append((term, ratio, log.args[0]))
                break
        else:
            groups.append((factor, [(term, sp.S.One, log.args[0])]))
    for _, group in groups:
        whole = sp.ilcm(1, *(ratio.q for _, ratio, _ in group))
        product = sp.Mul(*(z ** (ratio * whole) for _, ratio, z in group))
        if _could_be_equal(product, sp.S.One) and sp.radsimp(sp.expand(sp.radsimp(product))) == 1:
            c = c - sp.Add(*(term for term, _, _ in group))
    return sp.expand(c)


def _with_vanishing_roots(c: Any) -> Any:
    """Roots of constants that are shown to be 0, as 0."""
    if c.atoms(Certified):
        return c
    for node in sorted(c.atoms(sp.Pow), key=lambda n: n.count_ops()):
        base, exponent = node.args
        rooted = exponent.is_Rational and exponent.q > 1 and exponent > 0
        if rooted and not base.is_Rational and _could_be_equal(base, sp.S.Zero) and _proved_zero(base):
            c = c.xreplace({node: sp.S.Zero})
    return c


def _with_reduced_root(c: Any) -> Any:
    """A polynomial in one algebraic number given by its minimal polynomial, reduced by it."""
    roots = list(c.atoms(sp.polys.rootoftools.ComplexRootOf))
    if len(roots) != 1:
        return c
    t = sp.Dummy("t")
    e = sp.fraction(sp.together(c.xreplace({roots[0]: t})))[0]
    if not e.is_polynomial(t) or sp.Poly(e, t).domain not in (sp.ZZ, sp.QQ):
        return c
    least = roots[0].poly.as_expr().subs(roots[0].poly.gen, t)
    return sp.rem(sp.Poly(e, t, domain="QQ"), sp.Poly(least, t, domain="QQ")).as_expr()


def _proved_zero(c: Any) -> bool:
    """True only if algebra shows c = 0; False means that it was not shown."""
    if c.atoms(Certified):
        return bool(sp.expand(c) == 0)  # roots without a form satisfy no identity that simplification knows
    attempts: tuple[Callable[[Any], Any], ...] = (
        _with_reduced_root,
        lambda e: sp.expand(_with_vanishing_roots(e)),
        lambda e: sp.expand(_with_equal_arguments(_with_vanishing_roots(e))),
        sp.expand,
        lambda e: sp.cancel(sp.together(_by_exponentials(e))),
        _with_short_logarithms,
        _with_split_logarithms,
        _with_joined_logarithms,
        sp.radsimp,
        sp.simplify,
    )
    for attempt in attempts:
        if attempt(c) == 0:
            return True
    if c.is_algebraic:
        return bool(sp.minimal_polynomial(c, X) == X)
    return False


def as_exact(value: Any, what: str = "an exact number or expression") -> Any:
    """The sympy object of an integer, a Fraction or a sympy expression; a text is never evaluated.

    Raises `InputError` on a text, a float or anything else.
    """
    try:
        e = sp.sympify(value, strict=True)
    except sp.SympifyError:
        raise InputError(f"{what} was expected, not {type(value).__name__} {value!r}"[:200]) from None
    if not isinstance(e, sp.Expr):
        raise InputError(f"{what} was expected, not {type(value).__name__} {value!r}"[:200])
    if isinstance(value, float) or e.has(sp.Float):
        raise InputError(f"floats are refused, {what} was expected: {value}")
    return e


@lru_cache(maxsize=20_000)
def sign_of(c: Any) -> int:
    """The sign -1, 0 or 1 of an exact constant; +-oo allowed. Raises `Undecided` if not settled."""
    if c.is_Rational:
        return (c.p > 0) - (c.p < 0)
    if c is sp.oo:
        return 1
    if c is -sp.oo:
        return -1
    if c is sp.nan or c is sp.zoo or c.has(sp.I):
        raise Undecided(f"{c} is not a real number")
    for bits in _PRECISIONS:
        if bits > _CERTIFIED_BITS and c.atoms(Certified):
            break  # each doubling costs nested roots many times as much
        with precision(bits):
            ball = enclose(c)
            if ball > 0:
                return 1
            if ball < 0:
                return -1
        if bits == _PRECISIONS[1]:
            if _proved_zero(c):
                return 0
            c = _with_vanishing_roots(c)  # a root of an unrecognised 0 keeps half the digits at any precision
    raise Undecided(f"the sign of the constant {c} could not be settled")


def compare(a: Any, b: Any) -> int:
    """The sign of a - b for exact constants, +-oo allowed."""
    if a is b or a == b:
        return 0
    if a.is_Rational and b.is_Rational:  # most breakpoints: worth a path of integers only
        d = a.p * b.q - b.p * a.q
        return int((d > 0) - (d < 0))
    if b in (sp.oo, -sp.oo):
        return -sign_of(b)
    if a in (sp.oo, -sp.oo):
        return sign_of(a)
    return sign_of(a - b)


def less(a: Any, b: Any) -> bool:
    return compare(a, b) < 0


def equal(a: Any, b: Any) -> bool:
    return compare(a, b) == 0


def rational_between(a: Any, b: Any) -> Any:
    """A short rational strictly between the exact constants a < b (either may be infinite)."""
    if a == -sp.oo and b == sp.oo:
        return sp.Integer(0)
    if a == -sp.oo:
        return _floor(b) - 1
    if b == sp.oo:
        return -_floor(-a) + 1
    if compare(a, b) >= 0:
        raise InputError(f"the interval from {a} to {b} is empty")
    for bits in range(4096):
        scale = 2**bits
        k = _floor(a * scale) + 1
        candidate = sp.Rational(int(k), scale)
        if less(candidate, b) and less(a, candidate):
            return candidate
    raise Undecided(f"no rational found between {a} and {b}")


def _floor(c: Any) -> Any:
    """The integer part of an exact constant. Raises `Undecided` if it is too large to write down."""
    if c.is_Rational:
        return sp.Integer(int(c.p // c.q))
    with precision(64):
        size = abs(enclose(c))
        bits = next((n for n in (64, 512, _LARGEST_BITS) if size < arb(2) ** n), None)
    if bits is None:
        raise Undecided(f"the integer part of {c} is too large")
    with precision(bits + 192):
        guess = int(enclose(c).mid().floor().unique_fmpz())
    for k in (guess + 1, guess, guess - 1):
        if compare(sp.Integer(k), c) <= 0 and less(c, sp.Integer(k + 1)):
            return sp.Integer(k)
    raise Undecided(f"the integer part of {c} could not be settled")


def to_float(c: Any) -> float:
    """The float64 nearest to an exact constant, +-inf beyond the largest one.

    Rounded from an enclosure with at least 100 correct bits; raises `Undecided` where none is found.
    """
    if c is sp.oo:
        return float("inf")
    if c is -sp.oo:
        return float("-inf")
    if c.is_Rational:
        try:
            return int(c.p) / int(c.q)
        except OverflowError:
            return float("inf") if c > 0 else float("-inf")
    if sign_of(c) == 0:
        return 0.0
    for bits in _PRECISIONS[1:]:
        with precision(bits):
            ball = enclose(c)
            if ball.is_finite() and ball.rel_accuracy_bits() >= 100:
                return float(ball.mid())
    raise Undecided(f"no float for the constant {c}")
