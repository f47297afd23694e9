"""The statements of the theory, each declared once: formula, standing, proofs, and what confirms it.

Statements and standings are those of docs/mathematics.md, section 4:

    [recalled]  the form in which a published statement is usually quoted; wording and constants are ours
    [derived]   proved here
"""

from __future__ import annotations

from dataclasses import dataclass

from figures.theorem_evidence import (
    Source,
    bound,
    closure,
    constants,
    exact_margin,
    exactly,
    frank_wolfe,
    margin,
    moving,
    step_sizes,
    transforms_path,
)


@dataclass(frozen=True)
class Claim:
    """One statement.

    ``proofs`` names derivations, ``slack`` says in words what its worst slack is, ``cases`` the (statement, iterate)
    of its worst cases, ``other`` the name that the runs without a hypothesis have for it, where it has no worst cases.
    """

    part: str
    statement: str
    formula: str
    standing: str
    proofs: tuple[str, ...]
    sources: tuple[Source, ...]
    slack: str
    commands: tuple[str, ...]
    files: tuple[str, ...]
    cases: tuple[tuple[str, str], ...] = ()
    other: str = ""

    @property
    def about(self) -> tuple[str, ...]:
        """The names of the statement in worst_cases.csv and hypotheses.csv."""
        return tuple(dict.fromkeys([name for name, _ in self.cases] + ([self.other] if self.other else [])))


_RUNS = ("proxpair converge",)
_BOTH = ("proxpair converge", "proxpair converge --exact")
WORST = ("proxpair converge", "proxpair worst-case")
_SUM_I = ("identity (I), one step", "identity (I), from T to T+1 steps")
_SUM_II = ("identity (II), one step", "identity (II), from T to T+1 steps")
_BEST, _AVERAGE, _END = (
    "the best value is at most the average",
    "the value at the average is at most the average value (convex F~)",
    "the end term is dropped",
)
_CONVEX = ("D_{t+1}(v_t) from above, convex r", "one step, convex f o T, convex r", _END)
_ANY = ("one step, convex f o T, any r", _END)
_SMOOTH = ("one step, convex smooth f o T with exact gradients, convex r, eta_t <= 1/L", _AVERAGE, _END)
_FLIPS = tuple(f"a coordinate that goes from {v} to {after}" for after in (1, -1) for v in (after, -after))
_LAST = (
    "D_t(v_t) = 0",
    "D_{t+1}(v_t) from above by any subgradient z of r at v_t",
    "the steps k, ..., T, from T to T+1",
    "the average of a shorter suffix",
    "the last value, from k+1 to k",
    "the last iterate, any step sizes",
)
_SIMPLE = (*_LAST, "a root grows", "partial fractions")
_LOGARITHMS = ("ln(1 + x) <= x", "x/(1 + x) <= ln(1 + x)")
_LEDGER_FILES = ("figures/ledger.png", "convergence/runs.csv")
WORST_FILES = ("figures/tightness.png", "convergence/worst_cases.csv")
_BOUND_FILES = ("figures/bounds.png", "convergence/statements.csv")
_GAP = r"\tilde F(w)\le\frac1H\Big(D_1(w)+"
_CONVEX_BOUND = rf"-{_GAP}\sum_t\tfrac12|\eta_tg_t+\delta_ts_t|^2\Big)"
_RESIDUAL_BOUND = rf"-{_GAP}\sum_tD_{{t+1}}(v_t)\Big)"

CLAIMS = (
    Claim(
        "the ledger",
        "identity (I)",
        r"\sum_t\eta_t\langle v_t-w,g_t\rangle+\delta_t(r(v_t)-r(w))=D_1(w)-D_{T+1}(w)+\sum_tD_{t+1}(v_t)",
        "derived; recalled with <=",
        _SUM_I,
        (exactly("difference_first"), closure("closure_first"), moving),
        "closure error",
        _BOTH,
        (*_LEDGER_FILES, "convergence/exact.csv", "convergence/transforms.csv"),
    ),
    Claim(
        "the ledger",
        "identity (II)",
        r"\sum_t\eta_t\langle v_{t+1}-w,g_t\rangle+\delta_t(r(v_{t+1})-r(w))=D_1(w)-D_{T+1}(w)-\sum_tD_t(v_{t+1})",
        "derived",
        _SUM_II,
        (exactly("difference_second"), closure("closure_second")),
        "closure error",
        _BOTH,
        (*_LEDGER_FILES, "convergence/exact.csv"),
    ),
    Claim(
        "the ledger",
        "fixed pair: (I) without r, about f o T",
        r"\sum_t\eta_t\langle v_t-w,g_t\rangle=D_1(w)-D_{T+1}(w)+\sum_tD_{t+1}(v_t),\quad\delta_t=0",
        "derived",
        _SUM_I,
        (exactly("difference_first", fixed=True), closure("closure_first", fixed=True)),
        "closure error",
        _BOTH,
        (*_LEDGER_FILES, "convergence/exact.csv"),
    ),
    Claim(
        "the ledger",
        "v_t is a global minimiser: D_t is nowhere negative, also for nonconvex r",
        r"D_t(w)\ge0",
        "derived",
        (),
        (exact_margin, margin("min_D", convex=False)),
        "least D_t, relative",
        _BOTH,
        (*_LEDGER_FILES, "convergence/exact.csv"),
    ),
    Claim(
        "the ledger",
        "s_t is a subgradient of r at v_t (convex r)",
        r"r(w)\ge r(v_t)+\langle s_t,w-v_t\rangle,\quad s_t=(u_t-v_t)/\mu_t",
        "derived",
        (),
        (margin("support", convex=True),),
        "least margin",
        _RUNS,
        _LEDGER_FILES,
    ),
    Claim(
        "the ledger",
        "D_{t+1}(v_t) from above (convex r)",
        r"D_{t+1}(v_t)\le\tfrac12|\eta_tg_t+\delta_ts_t|^2",
        "derived",
        ("D_{t+1}(v_t) from above, convex r",),
        (margin("slack", convex=True),),
        "least margin, relative; of this and the next",
        _RUNS,
        _LEDGER_FILES,
    ),
    Claim(
        "the ledger",
        "D_t(v_{t+1}) from below (convex r)",
        r"\tfrac12|v_{t+1}-v_t|^2\le D_t(v_{t+1})",
        "derived",
        ("D_t(v_{t+1}) from below, convex r",),
        (margin("slack", convex=True),),
        "least margin, relative; of this and the one before",
        _RUNS,
        _LEDGER_FILES,
    ),
    Claim(
        "corollaries",
        "every w (any T, any r)",
        r"\frac1H\sum_t\eta_t\big[\langle v_t-w,g_t\rangle+r(v_t)-r(w)\big]\le\frac1H\Big(D_1(w)"
        r"+\sum_tD_{t+1}(v_t)\Big)",
        "derived",
        (*_SUM_I, _END),
        (bound("every w", "mean over t"), transforms_path),
        "largest left - bound",
        _RUNS,
        ("figures/negative.png", "convergence/statements.csv", "convergence/transforms.csv"),
        other="every w",
    ),
    Claim(
        "corollaries",
        "convex f o T, convex r: best iterate",
        rf"\min_t\tilde F(v_t){_CONVEX_BOUND}",
        "recalled/derived",
        (*_CONVEX, _BEST),
        (bound("convex", "best"),),
        "largest left - bound",
        WORST,
        (*_BOUND_FILES, *WORST_FILES),
        (("convex", "best"), ("convex, residual subtracted", "best")),
    ),
    Claim(
        "corollaries",
        "convex f o T, convex r: averaged iterate",
        rf"\tilde F\Big(\frac1H\sum_t\eta_tv_t\Big){_CONVEX_BOUND}",
        "recalled/derived",
        (*_CONVEX, _AVERAGE),
        (bound("convex", "average"),),
        "largest left - bound",
        WORST,
        (*_BOUND_FILES, *WORST_FILES),
        (("convex", "average"), ("convex, residual subtracted", "average")),
    ),
    Claim(
        "corollaries",
        "smooth convex f o T, convex r, exact gradients, eta_t <= 1/L: average of the next points",
        r"\tilde F\Big(\frac1H\sum_t\eta_tv_{t+1}\Big)-\tilde F(w)\le\frac{D_1(w)}H",
        "derived",
        (*_SUM_II, *_SMOOTH),
        (bound("smooth", "average of v_{t+1}"),),
        "largest left - bound",
        WORST,
        (*_BOUND_FILES, *WORST_FILES),
        (("smooth", "average"),),
    ),
    Claim(
        "corollaries",
        "the same, for the best and the last point (the values fall)",
        r"\tilde F(v_{T+1})-\tilde F(w)\le\frac{D_1(w)}H",
        "derived",
        (*_SMOOTH[:1], _END, _BEST, "the values fall, convex smooth f with exact gradients, convex r, eta_t <= 1/L"),
        (),
        "largest worst case - bound",
        WORST[1:],
        WORST_FILES,
        (("smooth, best iterate", "best"), ("smooth, last iterate", "last")),
    ),
    Claim(
        "corollaries",
        "convex f o T, any r: best value, with the residual",
        rf"\min_t\tilde F(v_t){_RESIDUAL_BOUND}",
        "derived",
        (*_ANY, _BEST),
        (bound("residual", "best"),),
        "largest left - bound",
        _RUNS,
        ("figures/residual.png", *_BOUND_FILES),
        other="residual",
    ),
    Claim(
        "corollaries",
        "convex f o T, any r: mean of the values, with the residual",
        rf"\frac1H\sum_t\eta_t\tilde F(v_t){_RESIDUAL_BOUND}",
        "derived",
        _ANY,
        (bound("residual", "mean of values"),),
        "largest left - bound",
        _RUNS,
        ("figures/residual.png", *_BOUND_FILES),
        other="residual",
    ),
    Claim(
        "corollaries",
        "what a flip adds to the residual (r the indicator of -1 and 1)",
        r"D_{t+1}(v_t)=2|u_{t+1}|\text{ where the sign flips, else }0",
        "derived",
        _FLIPS,
        (),
        "",
        ("proxpair theorems",),
        ("figures/residual.png", "convergence/hypotheses.csv"),
    ),
    Claim(
        "corollaries",
        "the generalised Frank-Wolfe gap is not smaller than the mean at one w",
        r"\frac1H\sum_t\eta_t\max_w\langle v_t-w,g_t\rangle\ge\frac1H\sum_t\eta_t\langle v_t-w,g_t\rangle",
        "derived",
        (),
        (frank_wolfe,),
        "least difference",
        _RUNS,
        ("figures/hypotheses.png", "convergence/runs.csv"),
    ),
    Claim(
        "corollaries",
        "step sizes for which the convex bound vanishes (|g_t + s_t| bounded)",
        r"\sum_t\eta_t=\infty\text{ and }\frac{\sum_t\eta_t^2}{\sum_t\eta_t}\to0",
        "derived",
        (),
        (step_sizes,),
        "",
        ("proxpair theorems",),
        _BOUND_FILES,
    ),
    Claim(
        "last iterate",
        "last iterate, any step sizes (convex f, convex r, |g_t + z_t| <= M)",
        r"F(v_T)-F(w)\le\frac{D_1(w)}{W_1}+\frac{M^2}2\Big(\eta_T+\sum_{t<T}\frac{\eta_t^2}{W_{t+1}}\Big)",
        "derived",
        _LAST,
        (),
        "largest worst case - bound",
        WORST[1:],
        WORST_FILES,
        (("last iterate", "last"),),
    ),
    Claim(
        "last iterate",
        "last iterate, eta_t = c/sqrt(t), D_1(w) <= D: the simple form",
        r"F(v_T)-F(w)\le\frac1{\sqrt T}\Big(\frac Dc+\frac{cM^2}2(1+2H_{T-1})\Big)",
        "derived",
        _SIMPLE,
        (),
        "largest worst case - bound",
        WORST[1:],
        WORST_FILES,
        (("last iterate, simple form", "last"),),
    ),
    Claim(
        "last iterate",
        "last iterate, PARQ's step sizes, |g_t + s_t| <= G: constants 2 and 3/2",
        r"F(v_T)-F(w)\le GR\,(2+\tfrac32\ln T)/\sqrt T",
        "from its text; derived",
        (*_SIMPLE, *_LOGARITHMS),
        (constants(0),),
        "largest worst case - bound",
        WORST[1:],
        WORST_FILES,
        (("last iterate, 2 + 3/2 ln T", "last"),),
    ),
    Claim(
        "last iterate",
        "last iterate, PARQ's step sizes, |g_t + s_t| <= G: constants 7/4 and 3/4",
        r"F(v_T)-F(w)\le GR\,(\tfrac74+\tfrac34\ln T)/\sqrt T",
        "derived",
        (*_SIMPLE, *_LOGARITHMS),
        (constants(1),),
        "largest worst case - bound",
        WORST[1:],
        WORST_FILES,
        (("last iterate, 7/4 + 3/4 ln T", "last"),),
    ),
)


__all__ = ["CLAIMS", "WORST", "WORST_FILES", "Claim"]
