"""The last iterate of ProxConnect with convex f and r: bounds for all step sizes, PARQ's constants, the golden ratio.

PARQ is ProxConnect with a convex r (T = id). With F = f + r, g_t a subgradient of f at v_t, M >= |g_t + z_t| for
some z_t in dr(v_t), and D_1(w) as in docs/mathematics.md, section 4, `derivations` executes the proof of

    F(v_T) - F(w) <= D_1(w)/(eta_1 + ... + eta_T) + M^2/2 (eta_T + sum_{t<T} eta_t^2/(eta_{t+1} + ... + eta_T))

for all step sizes and all w with r(w) finite; no domain need be bounded and no step size monotone. The one new
idea beside identity (I) is the comparator w = v_k for the steps k, ..., T: D_k(v_k) = 0. If E[g_t | past] is a
subgradient of f at v_t and M^2 >= E |g_t + z_t|^2, it holds in expectation, v_k being known before g_k. v_T does not
depend on eta_T, so any e > 0 may stand for eta_T in the bound, and the best e gives a smaller one (`bound`, ``last``):
for T = 1 it is M sqrt(2 D_1(w)), which PARQ's worst case attains. For eta_t = c/sqrt(t) and D_1(w) <= D, with the
harmonic number H = H_{T-1} <= ln T + gamma (also H <= 1 + ln T),

    F(v_T) - F(w) <= (D/c + c M^2/2 (1 + 2 H))/sqrt(T)            the simple form,
    F(v_T) - F(w) <= (D/c + c M^2/2 (8/3 + 3/2 H))/sqrt(T)        smaller from T = 17 on.

3/2 is the exact leading coefficient of the sum in the bound; the worst case may be smaller.

z_t may be any subgradient of r at v_t, not only s_t = (u_t - v_t)/mu_t: so r need be Lipschitz on its domain
only, and a regularizer that is +oo outside an interval (PARQ with a_m = oo) is covered.

PARQ's statement has c = R/(2 G) and the bound G R (2 + 3/2 ln T)/sqrt(T). What is proved here depends on what R
and G bound. With D_1(w) <= R^2/2:

- M = G: the bound is G R (5/4 + H/2)/sqrt(T) <= G R (7/4 + ln(T)/2)/sqrt(T). So 2 + 3/2 ln T and 7/4 + 3/4 ln T
  both hold for every T.
- M = 2 G, which f and r, each G-Lipschitz, give: G R (2 + 2 H)/sqrt(T) and G R (11/3 + 3/2 H)/sqrt(T) hold. Where
  |g_t + s_t| <= 2 G is all that is known, 2 + 3/2 ln T fails at T = 2 (`wedge`); numerically it is not exceeded at
  T = 3..10, beyond it is open, and 7/4 + 3/4 ln T is exceeded at every T = 1..10. For f and r each G-Lipschitz,
  7/4 + 3/4 ln T fails at T = 1 (`modulus`), for T <= 10 only there, numerically; for T >= 2 neither is proved.

For a convex f with L-Lipschitz gradient, exact gradients and one step, F(v_2) - F(w) <= D_1(w)/eta_1 holds up to
eta_1 = phi/L, phi = (1 + sqrt(5))/2, in every dimension (`golden`), and fails for every longer step
(`verify.worst_cases.triangle` up to 2/L; f = L v^2/2 with r = 0 beyond).

No numbers are sampled: the evidence for what is proved is exact, as in `theory.derivations`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import sympy as sp

from theory.derivations import ETA, GROWTH, MU, SPARE, Derivation, Hypothesis, NotDerived, Square, Step, vector
from theory.errors import InputError
from theory.exact import as_exact

Expr = Any

HALF = sp.Rational(1, 2)
FIRST_CLAIM = (sp.Integer(2), sp.Rational(3, 2))
"""(a, b) of the statement G R (a + b ln T)/sqrt(T) of PARQ, as docs/mathematics.md recalls it."""
SECOND_CLAIM = (sp.Rational(7, 4), sp.Rational(3, 4))
"""(a, b) of the improvement that docs/mathematics.md expects."""


# --------------------------------------------------------------------------- one step


def one_step() -> tuple[Derivation, ...]:
    """What the last iterate needs of one step, beyond `theory.derivations.one_step`."""
    k = Step()
    z = vector("z")
    pull = ETA * k.g + GROWTH * z
    any_one = sp.expand(k.r("v'") - k.r("v") - z.dot(k.v_next - k.v))
    ahead, zero = k.divergence("v", next_one=True), k.divergence("v")
    # identity (II) with w = v_t: D_t(v_t) = 0, and with eta_t <= 1/L the values fall
    fall = zero - ahead
    weight = sp.Symbol("e", positive=True)
    h = {at: sp.Symbol(f"h({at})", real=True) for at in ("v", "v'", "w")}
    return (
        Derivation("D_t(v_t) = 0", r"D_t(v_t)=0", zero, sp.S.Zero, equation=True),
        Derivation(
            "D_{t+1}(v_t) from above by any subgradient z of r at v_t",
            r"D_{t+1}(v_t)\le\tfrac12|\eta_tg_t+\delta_tz|^2,\quad z\in\partial r(v_t)",
            ahead,
            pull.squared / 2,
            hypotheses=(
                k.subgradient("v'", MU),
                Hypothesis(any_one, GROWTH, "r is convex and z is a subgradient of r at v_t"),
            ),
            squares=(Square(k.v - k.v_next - pull, HALF),),
        ),
        Derivation(
            "the last step, any weight e > 0",
            r"e(F(v_T)-F(w))\le D_T(w)+\tfrac12e^2|g_T+z|^2,\quad z\in\partial r(v_T)",
            weight * (h["v"] + k.r("v") - h["w"] - k.r("w")),  # v_{T+1} and eta_T do not enter
            k.divergence("w") + weight**2 * (k.g + z).squared / 2,
            hypotheses=(
                k.convex_f(weight),
                k.subgradient("w", MU),
                Hypothesis(
                    sp.expand(k.r("w") - k.r("v") - z.dot(k.w - k.v)),
                    weight,
                    "r is convex and z is a subgradient of r at v_T",
                ),
            ),
            squares=(Square(k.w - k.v + weight * (k.g + z), HALF),),
        ),
        Derivation(
            "the values fall, convex smooth f with exact gradients, convex r, eta_t <= 1/L",
            r"\eta_t(h(v_{t+1})-h(v_t))+\delta_t(r(v_{t+1})-r(v_t))\le-D_{t+1}(v_t)",
            ETA * (h["v'"] - h["v"]) + GROWTH * (k.r("v'") - k.r("v")),
            fall,
            hypotheses=(
                k.subgradient("v'", MU),
                k.descent(ETA),
            ),
            squares=(Square(k.v_next - k.v, ETA * SPARE / 2),),
        ),
    )


# --------------------------------------------------------------------------- one step up to the golden ratio

PHI = (1 + sp.sqrt(5)) / 2
"""The golden ratio, PHI^2 = PHI + 1."""


def golden() -> tuple[Derivation, ...]:
    """eta_t (F(v_{t+1}) - F(w)) <= D_t(w) for eta_t <= PHI/L, convex L-smooth f, exact gradients, convex r, any w.

    The last value after one step, n = 1 of the smooth corollary, beyond its hypothesis. Identity (II) leaves
    eta_t (h(v') - h(w) - <g, v' - w>) to be covered by D_{t+1}(w) >= |v' - w|^2/2 and D_t(v') >= |v' - v|^2/2, with
    v = v_t, v' = v_{t+1}, g = g_t. Smooth convex interpolation,

        h(a) >= h(b) + <h'(b), a - b> + |h'(a) - h'(b)|^2/(2 L),

    along w, v, v' with weight lambda and along w, v' with weight 1 - lambda bounds it by
    eta_t L |v' - w - lambda (v - w)|^2/(2 lambda (2 - lambda)). With lambda = 1/PHI the quadratic form that is left is
    nonnegative, and its determinant is 0.
    """
    k = Step()
    lip, spare = sp.Symbol("L", positive=True), sp.Symbol("c", nonnegative=True)
    share = PHI - 1  # lambda = 1/PHI
    factor = sp.radsimp(1 / sp.expand(share * (2 - share)))  # 1/(lambda (2 - lambda))
    ahead, at_w = vector("g'"), vector("g_w")
    h = {at: sp.Symbol(f"h({at})", real=True) for at in ("v", "v'", "w")}
    points = {"v": (k.v, k.g), "v'": (k.v_next, ahead), "w": (k.w, at_w)}

    def interpolated(a: str, b: str, times: Expr) -> Hypothesis:
        (x, slope), (y, other) = points[a], points[b]
        value = h[a] - h[b] - other.dot(x - y) - (slope - other).squared / (2 * lip)
        why = f"f is convex with L-Lipschitz gradient: interpolation from {b} to {a}"
        return Hypothesis(sp.expand(value), times, why)

    down, along, step = k.v_next - k.w, k.v - k.w, k.v_next - k.v
    mixed = down - share * along
    excess = sp.expand(h["v'"] - h["w"] - k.g.dot(down))
    tangent = (MU + GROWTH) * (k.r("w") - k.r("v'")) - (k.u_next - k.v_next).dot(k.w - k.v_next)
    covered = down.squared + step.squared - PHI * factor * mixed.squared
    return (
        Derivation(
            "D_{t+1}(w) from below, convex r",
            r"\tfrac12|w-v_{t+1}|^2\le D_{t+1}(w)",
            down.squared / 2,
            k.divergence("w", next_one=True),
            hypotheses=(
                Hypothesis(
                    sp.expand(tangent),
                    sp.S.One,
                    "r is convex and s_{t+1} = (u_{t+1} - v_{t+1})/mu_{t+1} is a subgradient of r at v_{t+1}",
                ),
            ),
        ),
        Derivation(
            "two ways from w to v_{t+1}, convex smooth f",
            r"h(v_{t+1})-h(w)-\langle g_t,v_{t+1}-w\rangle\le\frac{L}{2a(2-a)}|v_{t+1}-w-a(v_t-w)|^2,"
            r"\quad a=\tfrac{\sqrt5-1}2",
            excess,
            sp.expand(lip * factor * mixed.squared / 2),
            hypotheses=(
                interpolated("w", "v", share),
                interpolated("v", "v'", share),
                interpolated("w", "v'", 1 - share),
            ),
            squares=(
                Square(at_w - k.g - (1 - share) * (ahead - k.g), 1 / (2 * lip)),
                Square(lip * mixed - sp.expand(share * (2 - share)) * (ahead - k.g), factor / (2 * lip)),
            ),
        ),
        Derivation(
            "the quadratic form of the golden ratio",
            r"\frac{1}{a^2(2-a)}|v_{t+1}-w-a(v_t-w)|^2\le|v_{t+1}-w|^2+|v_{t+1}-v_t|^2,\quad a=\tfrac{\sqrt5-1}2",
            PHI * factor * mixed.squared,
            down.squared + step.squared,
            # one square: the determinant is 0
            squares=(Square(down + PHI * along, 1 - 2 / sp.sqrt(5)),),
        ),
        Derivation(
            "the last value after one step, eta_t <= phi/L",
            r"\eta_t(h(v_{t+1})-h(w))+\delta_t(r(v_{t+1})-r(w))\le D_t(w)\quad(\eta_tL\le\tfrac{1+\sqrt5}2)",
            k.objective("v'") - k.objective("w"),
            k.divergence("w"),
            hypotheses=(
                Hypothesis(
                    sp.expand(k.divergence("w", next_one=True) - down.squared / 2), sp.S.One, "D_{t+1}(w) from below"
                ),
                k.subgradient("v'", MU),
                # L = (PHI - c)/eta_t with c >= 0
                Hypothesis(
                    sp.expand((PHI - spare) / ETA * factor * mixed.squared / 2 - excess),
                    ETA,
                    "two ways from w to v_{t+1}, with eta_t L = phi - c, c >= 0",
                ),
                Hypothesis(sp.expand(covered), HALF, "the quadratic form of the golden ratio"),
            ),
            squares=(Square(mixed, spare * factor / 2),),
        ),
    )


# --------------------------------------------------------------------------- from suffixes to the last iterate


def suffixes() -> tuple[Derivation, ...]:
    """Every step size: from the steps k, ..., T with comparator v_k to the last value.

    X_k, W_k, Q_k: the sums over t = k, ..., T of eta_t F(v_t), of eta_t and of eta_t^2 q_t/2 with
    q_t = |g_t + z_t|^2; E_k = eta_T q_T/2 + sum_{k<=t<T} eta_t^2 q_t/(2 W_{t+1}). The induction runs from k = T,
    where X_T/W_T = F(v_T) and Q_T/W_T = E_T, down to k = 1. eta_T enters through these sums alone, so that any e > 0
    may take its place.
    """
    eta, tail = sp.Symbol("eta_k", positive=True), sp.Symbol("W_{k+1}", positive=True)
    here, later = sp.Symbol("F(v_k)", real=True), sp.Symbol("X_{k+1}", real=True)
    noise, own = sp.Symbol("Q_{k+1}", nonnegative=True), sp.Symbol("eta_k^2 q_k/2", nonnegative=True)
    last, extra = sp.Symbol("F(v_T)", real=True), sp.Symbol("E_{k+1}", nonnegative=True)
    total, weight, all_noise = eta * here + later, eta + tail, noise + own
    suffix = Hypothesis(
        all_noise - (total - weight * here), sp.S.One, "the steps k, ..., T with w = v_k: D_k(v_k) = 0, D_{T+1} >= 0"
    )
    start, end, added = (sp.Symbol(n, real=True) for n in ("D_k(w)", "D_{T+1}(w)", "sum"))
    after, value, more = (sp.Symbol(n, real=True) for n in ("D_{T+2}(w)", "l_{T+1}", "e_{T+1}"))
    free, at_last, any_w = sp.Symbol("e", positive=True), sp.Symbol("D_T(w)", real=True), sp.Symbol("q_T", real=True)
    excess = sp.Symbol("F(v_T) - F(w)", real=True)
    first, sums = sp.Symbol("D_1(w)", nonnegative=True), sp.Symbol("X_1 - W_1 F(w)", real=True)
    whole, gap = sp.Symbol("W_1", positive=True), sp.Symbol("F(v_T) - F(w)", real=True)
    quiet, loud = sp.Symbol("Q_1", nonnegative=True), sp.Symbol("E_1", nonnegative=True)
    return (
        Derivation(
            "the steps k, ..., T, from T to T+1",
            r"\sum_{t=k}^T\eta_t(F(v_t)-F(w))\le D_k(w)-D_{T+1}(w)+\sum_{t=k}^T\tfrac12\eta_t^2q_t",
            added + value,
            start - after + noise + more,
            hypotheses=(
                Hypothesis(start - end + noise - added, sp.S.One, "the claim for T"),
                Hypothesis(end - after + more - value, sp.S.One, "one step, convex f, convex r, at T+1"),
            ),
        ),
        Derivation(
            "the steps k, ..., T, any weight e of the last",
            r"\sum_{t=k}^{T-1}\eta_t(F(v_t)-F(w))+e(F(v_T)-F(w))\le D_k(w)+\sum_{t=k}^{T-1}\tfrac12\eta_t^2q_t"
            r"+\tfrac12e^2q_T",
            added + free * excess,
            start + noise + free**2 * any_w / 2,
            hypotheses=(
                Hypothesis(start - at_last + noise - added, sp.S.One, "the steps k, ..., T-1"),
                Hypothesis(at_last + free**2 * any_w / 2 - free * excess, sp.S.One, "the last step, any weight e > 0"),
            ),
        ),
        Derivation(
            "the average of a shorter suffix",
            r"W_kX_{k+1}\le W_{k+1}X_k+\eta_kQ_k",
            weight * later,
            tail * total + eta * all_noise,
            hypotheses=(Hypothesis(sp.expand(suffix.value), eta, suffix.why),),
        ),
        Derivation(
            "the last value, from k+1 to k",
            r"F(v_T)\le X_k/W_k-Q_k/W_k+E_k",
            # times W_k W_{k+1}; E_k = E_{k+1} + eta_k^2 q_k/(2 W_{k+1})
            sp.expand(weight * tail * last),
            sp.expand(tail * (total - all_noise) + weight * tail * extra + weight * own),
            hypotheses=(
                Hypothesis(sp.expand(later - noise + tail * extra - tail * last), weight, "the claim for k+1"),
                Hypothesis(
                    sp.expand(tail * total + eta * all_noise - weight * later),
                    sp.S.One,
                    "the average of a shorter suffix",
                ),
            ),
        ),
        Derivation(
            "the last iterate, any step sizes",
            r"F(v_T)-F(w)\le\frac{D_1(w)}{W_1}+\tfrac12\Big(\eta_Tq_T+\sum_{t<T}\frac{\eta_t^2q_t}{W_{t+1}}\Big)",
            whole * gap,  # times W_1
            first + whole * loud,
            hypotheses=(
                Hypothesis(sums - quiet + whole * loud - whole * gap, sp.S.One, "the last value, at k = 1"),
                Hypothesis(first + quiet - sums, sp.S.One, "the steps 1, ..., T, with D_{T+1}(w) >= 0"),
            ),
        ),
    )


# --------------------------------------------------------------------------- step sizes c/sqrt(t)


@dataclass(frozen=True)
class Growing:
    """``of`` >= 0 for x >= 0: it is 0 at x = 0 and its derivative is ``slope``, which is >= 0."""

    name: str
    of: Expr
    slope: Expr
    x: Expr

    def check(self) -> None:
        """Raises `NotDerived` unless all three hold exactly."""
        if self.of.subs(self.x, 0) != 0:
            raise NotDerived(f"{self.name}: it is {self.of.subs(self.x, 0)} at 0")
        if sp.simplify(sp.diff(self.of, self.x) - self.slope) != 0:
            raise NotDerived(f"{self.name}: its derivative is not {self.slope}")
        if not as_exact(self.slope).is_nonnegative:
            raise NotDerived(f"{self.name}: the derivative {self.slope} is not shown to be >= 0")


X = sp.Symbol("x", nonnegative=True)


def logarithms() -> tuple[Growing, ...]:
    """1/(n+1) <= ln(1 + 1/n) <= 1/n, with x = 1/n.

    The right one makes H_{T-1} - ln T grow with T, to gamma, and the left one makes H_n - ln n fall, from 1:
    H_{T-1} <= ln T + gamma, and H_{T-1} <= 1 + ln(T-1) for T >= 2.
    """
    return (
        Growing("ln(1 + x) <= x", X - sp.log(1 + X), X / (1 + X), X),
        Growing("x/(1 + x) <= ln(1 + x)", sp.log(1 + X) - X / (1 + X), X / (1 + X) ** 2, X),
    )


def sums() -> tuple[Derivation, ...]:
    """The inequalities behind the two forms for eta_t = c/sqrt(t); roots are symbols known by their squares.

    With a = sqrt(s), b = sqrt(s+1), and so on: the sums over s, t are taken term by term.

        W_{t+1} >= c (T - t)/sqrt(T)              so sum_{t<T} eta_t^2/W_{t+1} <= c 2 H/sqrt(T)
        W_{t+1} >= 2 c (sqrt(T+1) - sqrt(t+1))    so sum_{t<T} eta_t^2/W_{t+1} <= c (5/3 + 3/2 H)/sqrt(T)
    """
    a, b = sp.Symbol("a", positive=True), sp.Symbol("b", positive=True)
    t, rest = sp.Symbol("t", positive=True), sp.Symbol("T-t", positive=True)
    n, h, size = sp.Symbol("n", nonnegative=True), sp.Symbol("H", nonnegative=True), sp.Symbol("T", positive=True)
    big = t + rest  # T
    low, high = sp.Symbol("sqrt(t+1)", positive=True), sp.Symbol("sqrt(T+1)", positive=True)
    part = sp.Symbol("S", real=True)  # sum_{t<T} sqrt(t+1)/t
    return (
        Derivation(
            "a root grows",
            r"\sqrt s\le\sqrt T\quad(s\le T)",
            a * (a + b),
            b * (a + b),
            hypotheses=(Hypothesis(b**2 - a**2, sp.S.One, "s <= T, a = sqrt(s), b = sqrt(T)"),),
        ),
        Derivation(
            "partial fractions",
            r"\frac1{t(T-t)}=\frac1T\Big(\frac1t+\frac1{T-t}\Big)",
            big,  # both sides times t (T - t) T
            sp.expand(t * rest * (1 / t + 1 / rest)),
            equation=True,
        ),
        Derivation(
            "1/sqrt(s) from below",
            r"2(\sqrt{s+1}-\sqrt s)\le\frac1{\sqrt s}",
            2 * a * (b - a),  # times sqrt(s)
            b**2 - a**2,  # = 1
            hypotheses=(Hypothesis(sp.expand((b - a) ** 2), sp.S.One, "a square; a = sqrt(s), b = sqrt(s+1)"),),
        ),
        Derivation(
            "1/sqrt(s) from above",
            r"\frac1{\sqrt s}\le2(\sqrt s-\sqrt{s-1})",
            b**2 - a**2,  # = 1
            2 * b * (b - a),  # times sqrt(s)
            hypotheses=(Hypothesis(sp.expand((b - a) ** 2), sp.S.One, "a square; a = sqrt(s-1), b = sqrt(s)"),),
        ),
        Derivation(
            "a difference of roots in the denominator",
            r"\frac1{2(\sqrt{T+1}-\sqrt{t+1})}=\frac{\sqrt{T+1}+\sqrt{t+1}}{2(T-t)}",
            2 * (high**2 - low**2),  # 2 (T - t)
            2 * (high - low) * (high + low),
            equation=True,
        ),
        Derivation(
            "sqrt(t+1) <= sqrt(2 t)",
            r"t+1\le2t\quad(t\ge1)",
            2 + n,
            2 * (1 + n),
            hypotheses=(Hypothesis(n, sp.S.One, "t = 1 + n, n >= 0"),),
        ),
        Derivation(
            "sqrt(T+1) from above",
            r"T+1\le T\Big(1+\frac1{2T}\Big)^2",
            big + 1,
            sp.expand(big + 1 + 1 / (4 * big)),
            hypotheses=(Hypothesis(1 / (4 * big), sp.S.One, "T > 0"),),
        ),
        Derivation(
            "H_{T-1} <= T/2, from T to T+1",
            r"H_T\le\frac{T+1}2\quad(T\ge2)",
            2 * (2 + n) * h + 2,  # times 2 T, T = 2 + n
            (2 + n) * (3 + n),
            hypotheses=(
                Hypothesis((2 + n) - 2 * h, 2 + n, "the claim for T; at T = 1 and T = 2 it reads 0 <= 1/2 and 1 <= 1"),
                Hypothesis(n, sp.S.One, "T = 2 + n, n >= 0"),
            ),
        ),
        Derivation(
            "the sharper sum",
            r"\sqrt T\sum_{t<T}\frac{1}{2T}(\sqrt{T+1}+\sqrt{t+1})\Big(\frac1t+\frac1{T-t}\Big)\le\tfrac32H+\tfrac53",
            # the sum is (2 sqrt(T+1) H + S + S')/(2 T), S' = sum sqrt(t+1)/(T-t) <= sqrt(T) H; here over sqrt(T)/(2 T)
            2 * h * (1 + 1 / (2 * size)) + part + h,
            3 * h + sp.Rational(10, 3),
            hypotheses=(
                Hypothesis(2 * sp.sqrt(2) - part, sp.S.One, "S <= sqrt(2) sum 1/sqrt(t) <= 2 sqrt(2) sqrt(T)"),
                Hypothesis(HALF - h / size, sp.S.One, "H_{T-1} <= T/2"),
                Hypothesis(sp.Rational(17, 6) - 2 * sp.sqrt(2), sp.S.One, "(17/12)^2 = 289/144 >= 2"),
            ),
        ),
    )


def derivations() -> tuple[Derivation, ...]:
    """Every derivation about the last iterate."""
    return (*one_step(), *golden(), *suffixes(), *sums())


def check() -> None:
    """Execute every proof of this module. Raises `NotDerived` for the first that does not add up."""
    for d in derivations():
        d.check()
    for g in logarithms():
        g.check()


# --------------------------------------------------------------------------- the bounds as numbers


def harmonic(n: int) -> Expr:
    """H_n = 1 + 1/2 + ... + 1/n, a rational; H_0 = 0."""
    return sp.Add(*(sp.Rational(1, k) for k in range(1, n + 1)))


def bound(etas: list[Expr], distance: Expr, pull: Expr, last: Expr | None = None) -> Expr:
    """The bound for any step sizes eta_1, ..., eta_T: D_1(w)/W_1 + M^2/2 (eta_T + sum eta_t^2/W_{t+1}).

    ``distance``: D_1(w) >= 0; ``pull``: M >= 0, in the arithmetic of the step sizes; ``last``: a number e > 0 for
    eta_T, on which v_T does not depend. Raises `InputError` without a step size, or for e <= 0.
    """
    if not etas:
        raise InputError("the bound of the last iterate needs at least one step size")
    if last is not None and not last > 0:
        raise InputError(f"the weight of the last step is a number > 0, not {last}")
    tail = extra = etas[-1] if last is None else last
    for eta in reversed(etas[:-1]):
        extra = extra + eta * eta / tail
        tail = tail + eta
    return distance / tail + pull * pull * extra / 2


def simple(T: int, distance: Expr, pull: Expr, c: Expr) -> Expr:
    """The simple form for eta_t = c/sqrt(t), t = 1..T: (D/c + c M^2/2 (1 + 2 H_{T-1}))/sqrt(T)."""
    return _over_root(T, distance / c + c * pull**2 / 2 * (1 + 2 * harmonic(T - 1)))


def sharper(T: int, distance: Expr, pull: Expr, c: Expr) -> Expr:
    """The form with the leading term of `bound`: (D/c + c M^2/2 (8/3 + 3/2 H_{T-1}))/sqrt(T)."""
    return _over_root(T, distance / c + c * pull**2 / 2 * (sp.Rational(8, 3) + sp.Rational(3, 2) * harmonic(T - 1)))


def claimed(T: int, claim: tuple[Expr, Expr]) -> Expr:
    """(a + b ln T)/sqrt(T), in units of G R. ``claim``: `FIRST_CLAIM` or `SECOND_CLAIM`."""
    return _over_root(T, claim[0] + claim[1] * sp.log(T))


def _over_root(T: int, e: Expr) -> Expr:
    if T < 1:
        raise InputError(f"T is an integer from 1 on, not {T}")
    return as_exact(e) / sp.sqrt(T)


# --------------------------------------------------------------------------- two functions that decide


def modulus() -> tuple[Expr, Expr]:
    """f = r = G |v| at v_1 = R: F(v_1) - F(0) with T = 1, and D_1(0), both for G = R = 1: (2, 1/2).

    s_1 = 1 and u_1 = 2 (mu_1 = 1), so D_1(0) = r(0) - r(v_1) + (0 - v_1^2)/2 + v_1 u_1. The bound of PARQ is met
    with equality at T = 1, and 7/4 G R is exceeded.
    """
    v = sp.S.One
    u = v + 1
    return 2 * abs(v), -abs(v) - v**2 / 2 + v * u


def wedge() -> tuple[Expr, Expr]:
    """F(v_2) - F(0) after one step of f = max(0, <a, v>, <b, v>), r = 0, and |a| = |b| for R = G = 1: (9/4, 2).

    v_1 = (1, 0), a = (1/2, sqrt(15)/2), b = (1/2, -sqrt(15)/2); a is a subgradient at v_1, and eta_1 = 1/2.
    D_1(0) = |v_1|^2/2 = 1/2 and |g_t + s_t| = 2 = 2 G, while (2 + 3/2 ln 2)/sqrt(2) = 2.1494 < 9/4.
    """
    a, b = (sp.Matrix([HALF, sign * sp.sqrt(15) / 2]) for sign in (1, -1))
    v = sp.Matrix([1, 0]) - HALF * a
    return sp.Max(0, *(sp.expand(q.dot(v)) for q in (a, b))), sp.sqrt(a.dot(a))


__all__ = [
    "FIRST_CLAIM",
    "HALF",
    "PHI",
    "SECOND_CLAIM",
    "Growing",
    "bound",
    "check",
    "claimed",
    "derivations",
    "golden",
    "harmonic",
    "logarithms",
    "modulus",
    "one_step",
    "sharper",
    "simple",
    "suffixes",
    "sums",
    "wedge",
]
