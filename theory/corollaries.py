"""Which consequence of the convergence identity a pair earns, with which constants, for which steps.

The problem is symbolic: f is convex or not, its gradient is L-Lipschitz, |grad f| <= G on the values
of T. From sup|T'| and sup|T''| of the pair, for the coordinate-wise T,

    |grad (f o T)| <= G sup|T'|,        grad (f o T) is Lipschitz with L sup|T'|^2 + G sup|T''|.

f o T is convex for every convex f iff T is affine on the hull of P's range (take f(w) = w and -w).
Each statement carries its standing: [recalled], [derived]. Source: docs/mathematics.md, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sympy as sp

from theory.constants import Constant, Facts, facts, unsettled
from theory.deadline import limit
from theory.decision import anatomy
from theory.errors import OutOfTime, Undecided
from theory.extrema import decimals
from theory.pairs import QuantizerPair, Verdict
from theory.steps import Steps, text_of

EVERY, EVERY_CONVEX, IF_CONVEX, NO, OPEN = (
    "every f",
    "every convex f",
    "if f o T is convex",
    "no",
    "not settled",
)
L, G = sp.Symbol("L", positive=True), sp.Symbol("G", positive=True)


@dataclass(frozen=True)
class Corollary:
    """One statement about a pair: for which f it applies and why, its constants, bound and step sizes."""

    name: str
    applies: str
    because: str
    standing: str
    statement: str
    bound: str
    latex: str
    constants: dict[str, str | None]
    step_sizes: str
    with_steps: str | None = None

    def as_dict(self) -> dict[str, Any]:
        """One object of the list "corollaries" in the JSON of `check`."""
        return {
            "name": self.name,
            "applies": self.applies,
            "because": self.because,
            "standing": self.standing,
            "statement": self.statement,
            "bound": self.bound,
            "latex": self.latex,
            "constants": dict(self.constants),
            "step_sizes": self.step_sizes,
            "with_steps": self.with_steps,
        }


def _upper(c: Constant) -> Any:
    """A proved upper bound of a constant, None where there is none; an enclosed one by its decimal text."""
    if c.bound is None or c.bound.high == sp.oo:
        return None
    if c.bound.exact:
        return c.bound.high
    return sp.Symbol(decimals(c.bound.high, up=True), positive=True)


def gradient_bound(facts: Facts) -> Any:
    """An upper bound of |grad (f o T)| in G, or None: G sup|T'|."""
    lip = _upper(facts.lipschitz)
    return None if lip is None else G * lip


def smoothness(facts: Facts) -> Any:
    """A Lipschitz constant of grad (f o T) in L and G, or None: L sup|T'|^2 + G sup|T''|."""
    if facts.affine and facts.slope is not None:
        return L * facts.slope**2
    lip, bend = _upper(facts.lipschitz), _upper(facts.curvature)
    return None if lip is None or bend is None else L * lip**2 + G * bend


def _text(e: Any) -> str | None:
    return None if e is None else text_of(e)


def corollaries(facts: Facts, steps: Steps | None = None) -> tuple[Corollary, ...]:
    """What section 4 of docs/mathematics.md gives for this pair, strongest assumptions first.

    ``steps``: a decided step-size formula; each statement then says what it gives with it.
    """
    convex_f, why_f = _convex_objective(facts)
    regularity = (
        ""
        if facts.smooth
        else "; T has kinks, and there g_t is a selection of generalised derivatives of f o T, not its gradient"
    )
    slope = gradient_bound(facts)
    bend = smoothness(facts)
    constants = {"gradient_bound": _text(slope), "smoothness": _text(bend)}
    r_convex = facts.convex
    why_r = {
        True: "r is convex",
        False: "no admissible P has a convex r",
        None: "whether r is convex is not settled",
    }[r_convex]
    with_r = {True: convex_f, False: NO, None: OPEN if convex_f != NO else NO}[r_convex]
    found = [
        Corollary(
            "identity",
            EVERY,
            "it is algebra: it holds for any vectors g_t",
            "[derived]",
            "sum eta_t (<v_t - w, g_t> + r(v_t) - r(w)) = D_1(w) - D_{T+1}(w) + sum D_{t+1}(v_t)",
            "an equation, and D_t >= 0",
            r"\sum_t \eta_t\left(\langle v_t-w,g_t\rangle+r(v_t)-r(w)\right)=D_1(w)-D_{T+1}(w)+\sum_t D_{t+1}(v_t)",
            {},
            "any eta_t > 0, with mu_{t+1} = mu_t + eta_t",
        ),
        Corollary(
            "convex",
            with_r,
            f"{why_f}; {why_r}{regularity}",
            "[recalled] bound, [derived] constant",
            "the least value min_t F(v_t) - F(w) and the value F(average) - F(w), F = f o T + r, mu advancing; "
            "in expectation with unbiased gradients",
            "(D_1(w) + sum eta_t^2/2 |g_t + s_t|^2)/sum eta_t",
            r"\frac{D_1(w)+\sum_t\frac{\eta_t^2}{2}\|g_t+s_t\|^2}{\sum_t\eta_t}",
            {"gradient_bound": constants["gradient_bound"]},
            "sum eta_t = oo and sum eta_t^2/sum eta_t -> 0, with |g_t + s_t| bounded",
            _convex_steps(steps),
        ),
        Corollary(
            "smooth",
            with_r if bend is not None or with_r in (NO, OPEN) else OPEN if _is_open(facts) else NO,
            f"{why_f}; {why_r}; {_why_smooth(facts, bend)}",
            "[derived]",
            "F(average of v_{t+1}) - F(w), F = f o T + r, mu advancing, exact gradients",
            "D_1(w)/sum eta_t",
            r"\frac{D_1(w)}{\sum_t\eta_t}",
            {"smoothness": constants["smoothness"]},
            "eta_t <= 1/L_F at every step"
            + ("" if bend is None else f", L_F = {constants['smoothness']} bounding the slope of grad (f o T)"),
            _smooth_steps(steps, bend, constants["smoothness"]),
        ),
        Corollary(
            "residual",
            convex_f,
            f"{why_f}; any r{regularity}",
            "[derived]",
            "min_t F(v_t) - F(w) and the eta-average of F(v_t) - F(w), not F of the average, F = f o T + r",
            "(D_1(w) + sum D_{t+1}(v_t))/sum eta_t, the residual sum D_{t+1}(v_t) being computed along the run",
            r"\frac{D_1(w)+\sum_t D_{t+1}(v_t)}{\sum_t\eta_t}",
            {"gradient_bound": constants["gradient_bound"]},
            "sum eta_t = oo, and the residual must keep no share of it: the step sizes alone do not decide that"
            if r_convex is not True
            else "as for the convex r above, which bounds the residual",
        ),
        Corollary(
            "nonconvex",
            EVERY,
            "no convexity is used" + regularity,
            "[derived]",
            "for each single w the average of <v_t - w, g_t> + r(v_t) - r(w); not the Frank-Wolfe gap, the average of "
            "the maximum over w, so no stationarity follows from it alone",
            "(D_1(w) + sum D_{t+1}(v_t))/sum eta_t",
            r"\frac{D_1(w)+\sum_t D_{t+1}(v_t)}{\sum_t\eta_t}",
            {"gradient_bound": constants["gradient_bound"]},
            "as above",
        ),
        _fixed(facts),
    ]
    return tuple(found)


FIELDS = ("freedoms", "constants", "corollaries", "steps")


def consequences(
    pair: QuantizerPair | None, verdict: Verdict, steps: Steps | None = None, budget: float = 4.0
) -> dict[str, Any]:
    """The fields freedoms, constants, corollaries and steps of `check`; None where the pair is not principled.

    ``budget``: seconds for all constants; what it does not reach is null with the reason. At 0 only
    the steps are reported.
    """
    out: dict[str, Any] = dict.fromkeys(FIELDS)
    out["steps"] = None if steps is None else steps.as_dict()
    if pair is None or not verdict.principled or budget <= 0:
        return out
    try:
        with limit(budget):
            parts = anatomy(pair)
        known = facts(parts, verdict, budget)
    except (Undecided, OutOfTime):
        known = unsettled(verdict, "not settled in time")
    out["freedoms"] = [f.as_dict() for f in known.freedoms]
    out["constants"] = known.as_dict()
    out["corollaries"] = [c.as_dict() for c in corollaries(known, steps)]
    return out


def summary(d: Mapping[str, Any]) -> list[tuple[str, str]]:
    """A few lines for people, label and value, from the object of `check`."""
    lines = []
    if d.get("constants") is not None:
        c = d["constants"]
        named = (("sup|T'|", "transform_lipschitz"), ("sup|T''|", "transform_curvature"), ("sup P'", "prox_slope_sup"))
        kinks = "T has kinks" if d["verdict"] == "lipschitz" else None
        told = [kinks if kinks and key == "transform_curvature" else f"{n} {_relation(c[key])}" for n, key in named]
        lines.append(("constants", ", ".join(told)))
    if d.get("freedoms"):
        placed = [f"{f['kind']} {_place(f)}" for f in d["freedoms"] if f["from"] is not None]
        lines.append(("left open", "; ".join(placed) if placed else "additive constants, T outside the hull"))
    best = applicable(d)
    if best is not None:
        by_name = {c["name"]: c for c in d["corollaries"]}
        lines.append((f"{best['name']} bound", f"{best['applies']}: {best['bound'].split(', the')[0]}"))
        lines.append(("fixed pair", by_name["fixed pair"]["because"]))
    if d.get("steps") is not None:
        s = d["steps"]
        claims = (("sum eta = oo", "sum_diverges"), ("sum eta^2/sum eta -> 0", "ratio_vanishes"))
        lines.append(("steps", f"{s['formula']}: " + ", ".join(f"{name} {s[key]['answer']}" for name, key in claims)))
        if s["rate"]["order"] is not None:
            lines.append(("rate", f"(1 + sum eta^2)/sum eta = {s['rate']['order']}"))
        lines.append(("steps at most 1/L", s["at_most_1_over_L"]))
    return lines


def applicable(d: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The strongest corollary that an object of `check` may use: convex, else residual, else nonconvex."""
    by_name = {c["name"]: c for c in d.get("corollaries") or ()}
    wanted = [by_name[name] for name in ("convex", "residual", "nonconvex") if name in by_name]
    return next((c for c in wanted if c["applies"] not in (NO, OPEN)), None)


def _relation(c: Mapping[str, str | None]) -> str:
    if c["value"] is not None:
        return f"= {c['value']}"
    return f"<= {c['high']}" if c["high"] is not None else "not known"


def _place(f: Mapping[str, str | None]) -> str:
    if f["from"] == f["to"]:
        return f"at x = {f['from']}"
    if f["from"] == "-oo":
        return "everywhere" if f["to"] == "oo" else f"x < {f['to']}"
    return f"x > {f['from']}" if f["to"] == "oo" else f"{f['from']} < x < {f['to']}"


def _convex_objective(facts: Facts) -> tuple[str, str]:
    if facts.affine is None:
        return OPEN, "whether T is affine is not settled"
    if facts.affine:
        identity = facts.slope == 1
        return EVERY_CONVEX, (
            "T is the identity up to a shift, so f o T is convex for every convex f"
            if identity
            else "T is affine on the hull, so f o T is convex for every convex f"
        )
    return IF_CONVEX, "T is not affine: of f(w) = w and f(w) = -w one makes f o T nonconvex, so f o T must be checked"


def _is_open(facts: Facts) -> bool:
    """Whether a Lipschitz constant of grad (f o T) may exist although none was proved."""
    return facts.smooth and (facts.curvature.bound is None or facts.lipschitz.bound is None)


def _why_smooth(facts: Facts, bend: Any) -> str:
    if bend is not None:
        return f"grad (f o T) has Lipschitz constant {_text(bend)} where f has L and |grad f| <= G"
    if not facts.smooth:
        return "T has kinks"
    if _is_open(facts):
        return "the constants of T are not settled"
    return "T' or T'' is unbounded on the hull"


def _fixed(facts: Facts) -> Corollary:
    if facts.indicator:
        shift = facts.indicator_shift
        moved = "" if shift in (None, 0) else f" (P + {shift} in place of P)"
        because = f"the largest r takes only one value and +oo{moved}: mu plays no role, it is PC++ on f o T + r"
        statement = "the statements above, read with mu fixed"
    else:
        because = (
            "r takes other values than 0 and +oo, so a fixed pair is not PC++ on f o T + r"
            if facts.indicator is False
            else "whether r takes only 0 and +oo is not settled"
        )
        statement = "dual averaging on f o T with the mirror function h = r + |.|^2/2: bounds speak of f o T, without r"
    return Corollary(
        "fixed pair",
        EVERY,
        because,
        "[derived]",
        statement,
        "sum eta_t <v_t - w, g_t> = D_1(w) - D_{T+1}(w) + sum D_{t+1}(v_t), D from h",
        r"\sum_t\eta_t\langle v_t-w,g_t\rangle=D_1(w)-D_{T+1}(w)+\sum_t D_{t+1}(v_t)",
        {},
        "any eta_t > 0, mu not advanced",
    )


def _convex_steps(steps: Steps | None) -> str | None:
    if steps is None:
        return None
    answer = steps.ratio_vanishes
    if answer.answer == "proved":
        rate = f" at the rate {steps.rate_text}" if steps.rate is not None else ""
        return f"the bound tends to 0{rate}"
    if answer.answer == "refuted":
        return f"the bound does not tend to 0: {answer.why}"
    return f"not settled: {answer.why}"


def _smooth_steps(steps: Steps | None, bend: Any, name: str | None) -> str | None:
    if steps is None:
        return None
    if bend is None or name is None:
        return "no finite L_F is known"
    allowed = steps.below(bend, name)
    total = steps.sum_diverges
    rate = {
        "proved": f"the bound tends to 0{_sums(steps)}",
        "refuted": f"the bound does not tend to 0: {total.why}",
        "undecided": f"whether the bound tends to 0 is not settled: {total.why}",
    }[total.answer]
    return f"eta_t <= 1/L_F: {allowed}; {rate}"


def _sums(steps: Steps) -> str:
    return "" if steps.sums_text is None else f" as 1/({steps.sums_text})"


__all__ = [
    "EVERY",
    "EVERY_CONVEX",
    "FIELDS",
    "IF_CONVEX",
    "NO",
    "OPEN",
    "Corollary",
    "consequences",
    "corollaries",
    "gradient_bound",
    "smoothness",
    "summary",
]
