"""The catalogue: published quantizer pairs, proximal maps and transforms, one declaration each.

Tests, tables, figures and documents read these declarations; nothing else lists quantizers by
hand. ``verdict``, ``literal``, ``convex``, ``transform``, ``prox`` and ``regularizer`` are what the
literature and hand derivation say; they are read by tests only, never by the decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from theory.errors import InputError
from theory.maps import PiecewiseMap
from theory.pairs import QuantizerPair
from theory.parser import parse, parse_constant


def _constants(defaults: Mapping[str, str], given: Mapping[str, Any], what: str) -> dict[str, Any]:
    unknown = sorted(set(given) - set(defaults))
    if unknown:
        known = ", ".join(defaults) or "none"
        raise InputError(f"{what}: unknown parameter {unknown[0]!r} (its parameters: {known})")
    return {k: given[k] if k in given else parse_constant(v, f"{what}, parameter {k}") for k, v in defaults.items()}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One published pair. Every field is required; texts are in the grammar of `check`.

    ``params``: default values of the named parameters. ``ties``: the breakpoints of F and B, all of
    them, and the values stated there, as (x, F(x), B(x)). ``scope``: what of the method the theory
    covers. ``transform``, ``prox``: a decomposition known from the literature or derived by hand,
    None if unprincipled.
    """

    name: str
    title: str
    year: int
    source: str
    scope: str
    forward: str
    backward: str
    params: Mapping[str, str]
    ties: tuple[tuple[str, str, str], ...]
    verdict: str
    literal: bool | None
    convex: bool | None
    transform: str | None
    prox: str | None

    def pair(self, **params: Any) -> QuantizerPair:
        """The pair at the given exact parameter values (defaults for the rest).

        Raises `InputError` on an unknown parameter.
        """
        values = _constants(self.params, params, self.name)
        return QuantizerPair(
            parse(self.forward, values, what=f"{self.name}, forward"),
            parse(self.backward, values, what=f"{self.name}, backward"),
            self.name,
        )


@dataclass(frozen=True, kw_only=True)
class ProxEntry:
    """One proximal map with the regularizer that the literature gives for it at mu = 1.

    ``regularizer`` is never computed by us: it is the independent side of the brute-force test.
    ``convex``: whether that regularizer is convex.
    """

    name: str
    title: str
    source: str
    prox: str
    regularizer: str
    params: Mapping[str, str]
    convex: bool

    def map(self, **params: Any) -> PiecewiseMap:
        """P at the given exact parameter values."""
        return parse(self.prox, _constants(self.params, params, self.name), what=f"{self.name}, prox")

    def literature_regularizer(self, **params: Any) -> PiecewiseMap:
        """r at the given exact parameter values, as declared."""
        values = _constants(self.params, params, self.name)
        return parse(self.regularizer, values, what=f"{self.name}, regularizer", allow_infinity=True)


@dataclass(frozen=True, kw_only=True)
class TransformEntry:
    """One transform T with its declared derivative away from kinks and whether it is C^1."""

    name: str
    title: str
    source: str
    transform: str
    derivative: str
    params: Mapping[str, str]
    smooth: bool

    def map(self, **params: Any) -> PiecewiseMap:
        """T at the given exact parameter values."""
        return parse(self.transform, _constants(self.params, params, self.name), what=f"{self.name}, transform")

    def derivative_map(self, **params: Any) -> PiecewiseMap:
        """T' as declared."""
        return parse(self.derivative, _constants(self.params, params, self.name), what=f"{self.name}, derivative")


_SS = "2*sigmoid(beta*x)*(1 + beta*x*(1 - sigmoid(beta*x))) - 1"
_SS_PRIME = "beta*(2 - beta*x*tanh(beta*x/2))/(1 + cosh(beta*x))"
_SIGN_TIE = ("0", "0", "1")
_FAMILY = "sign(x)*Piecewise((vertical + (1 - vertical)/(1 - horizontal)*Abs(x), Abs(x) < 1 - horizontal), (1, True))"

_ENTRIES = (
    Entry(
        name="FP",
        title="Full precision (no quantizer)",
        year=1951,
        source="Robbins and Monro, A Stochastic Approximation Method, Ann. Math. Statist. 22 (1951)",
        scope="covered",
        forward="x",
        backward="1",
        params={},
        ties=(),
        verdict="smooth",
        literal=True,
        convex=True,
        transform="x",
        prox="x",
    ),
    Entry(
        name="BC",
        title="BinaryConnect",
        year=2015,
        source="Courbariaux, Bengio, David, BinaryConnect, NeurIPS 2015, arXiv:1511.00363",
        scope="deterministic weights covered; stochastic binarization is outside",
        forward="sign(x)",
        backward="1",
        params={},
        ties=(_SIGN_TIE,),
        verdict="smooth",
        literal=True,
        convex=False,
        transform="x",
        prox="sign(x)",
    ),
    Entry(
        name="PC",
        title="ProxConnect, piecewise-linear family on {-1, 1}",
        year=2021,
        source="Dockhorn, Yu, Sari, Zolnouri, Partovi Nia, Demystifying and Generalizing BinaryConnect, "
        "NeurIPS 2021, arXiv:2110.13220",
        scope="covered at fixed widths; the published schedule moves them",
        forward=_FAMILY,
        backward="1",
        params={"horizontal": "1/4", "vertical": "1/4"},
        ties=(_SIGN_TIE, ("3/4", "1", "1"), ("-3/4", "-1", "1")),
        verdict="smooth",
        literal=True,
        convex=False,
        transform="x",
        prox=_FAMILY,
    ),
    Entry(
        name="BNN",
        title="Binarized Neural Networks (clipped straight-through)",
        year=2016,
        source="Hubara, Courbariaux, Soudry, El-Yaniv, Bengio, Binarized Neural Networks, NeurIPS 2016, "
        "arXiv:1602.02830",
        scope="weights covered; activations are outside",
        forward="sign(x)",
        backward="Piecewise((1, Abs(x) <= 1), (0, True))",
        params={},
        ties=(_SIGN_TIE, ("1", "1", "1"), ("-1", "-1", "1")),
        verdict="lipschitz",
        literal=False,
        convex=False,
        transform="clip(x, -1, 1)",
        prox="Piecewise((x, Abs(x) >= 1), (sign(x), True))",
    ),
    Entry(
        name="BNN+",
        title="BNN+ (SwishSign derivative under sign)",
        year=2018,
        source="Darabi, Belbahri, Courbariaux, Partovi Nia, Regularized Binary Network Training, arXiv:1812.11800",
        scope="weights, at fixed sharpness; its added regularizer is part of f",
        forward="sign(x)",
        backward=_SS_PRIME,
        params={"beta": "5"},
        ties=(("0", "0", "beta"),),
        verdict="unprincipled",
        literal=False,
        convex=None,
        transform=None,
        prox=None,
    ),
    Entry(
        name="BNN++",
        title="BNN++ (SwishSign forward and backward)",
        year=2023,
        source="Lu, Yu, Li, Partovi Nia, Understanding Neural Network Binarization with Forward and Backward "
        "Proximal Quantizers, NeurIPS 2023, arXiv:2402.17710",
        scope="covered at fixed sharpness; a growing sharpness moves f o T",
        forward=_SS,
        backward=_SS_PRIME,
        params={"beta": "5"},
        ties=(),
        verdict="smooth",
        literal=True,
        convex=True,
        transform=_SS,
        prox="x",
    ),
    Entry(
        name="ApproxSign",
        title="Bi-Real Net ApproxSign derivative under sign",
        year=2018,
        source="Liu, Wu, Luo, Yang, Liu, Cheng, Bi-Real Net, ECCV 2018, arXiv:1808.00278",
        scope="published for activations, which are outside; judged here as a pair",
        forward="sign(x)",
        backward="Piecewise((2 - 2*Abs(x), Abs(x) <= 1), (0, True))",
        params={},
        ties=(("0", "0", "2"), ("1", "1", "0"), ("-1", "-1", "0")),
        verdict="unprincipled",
        literal=False,
        convex=None,
        transform=None,
        prox=None,
    ),
    Entry(
        name="MD-tanh",
        title="Mirror descent with tanh",
        year=2021,
        source="Ajanthan, Gupta, Torr, Hartley, Dokania, Mirror Descent View for Neural Network Quantization, "
        "AISTATS 2021, arXiv:1910.08237",
        scope="covered at fixed beta",
        forward="tanh(beta*x)",
        backward="1",
        params={"beta": "1"},
        ties=(),
        verdict="smooth",
        literal=True,
        convex=True,
        transform="x",
        prox="tanh(beta*x)",
    ),
    Entry(
        name="Ternary",
        title="Ternary weights with a clipped straight-through",
        year=2016,
        source="Li, Zhang, Liu, Ternary Weight Networks, arXiv:1605.04711",
        scope="covered with threshold and scale frozen; the method recomputes both from the weights",
        forward="Piecewise((-1, x < -threshold), (0, x <= threshold), (1, True))",
        backward="Piecewise((1, Abs(x) <= 1), (0, True))",
        params={"threshold": "1/2"},
        ties=(("1/2", "0", "1"), ("-1/2", "0", "1"), ("1", "1", "1"), ("-1", "-1", "1")),
        verdict="lipschitz",
        literal=False,
        convex=False,
        transform="clip(x, -1, 1)",
        prox="Piecewise((x, Abs(x) >= 1), (-1, x < -threshold), (0, x <= threshold), (1, True))",
    ),
    Entry(
        name="LeakySTE",
        title="Leaky clipped straight-through under sign",
        year=2016,
        source="variant of Hubara et al. 2016 with a slope outside the clip; no single publication established",
        scope="weights, judged as a pair",
        forward="sign(x)",
        backward="Piecewise((1, Abs(x) <= 1), (leak, True))",
        params={"leak": "1/10"},
        ties=(_SIGN_TIE, ("1", "1", "1"), ("-1", "-1", "1")),
        verdict="unprincipled",
        literal=False,
        convex=None,
        transform=None,
        prox=None,
    ),
    Entry(
        name="BinaryRelax",
        title="BinaryRelax at fixed relaxation",
        year=2018,
        source="Yin, Zhang, Lyu, Osher, Qi, Xin, BinaryRelax, SIAM J. Imaging Sci. 11 (2018), arXiv:1801.06313",
        scope="covered at fixed theta and scale 1",
        forward="(1 - theta)*x + theta*sign(x)",
        backward="1",
        params={"theta": "1/2"},
        ties=(_SIGN_TIE,),
        verdict="smooth",
        literal=True,
        convex=False,
        transform="x",
        prox="(1 - theta)*x + theta*sign(x)",
    ),
)

CATALOGUE: dict[str, Entry] = {e.name: e for e in _ENTRIES}
"""The declared pairs by name."""

_PROX = (
    ProxEntry(
        name="identity",
        title="identity",
        source="r = 0",
        prox="x",
        regularizer="0",
        params={},
        convex=True,
    ),
    ProxEntry(
        name="binary projection",
        title="projection onto {-1, 1}",
        source="Courbariaux et al. 2015, arXiv:1511.00363",
        prox="sign(x)",
        regularizer="Piecewise((0, Abs(x) == 1), (oo, True))",
        params={},
        convex=False,
    ),
    ProxEntry(
        name="ternary projection",
        title="projection onto {-1, 0, 1}",
        source="Li et al. 2016, arXiv:1605.04711",
        prox="Piecewise((-1, x < -1/2), (0, x <= 1/2), (1, True))",
        regularizer="Piecewise((0, x == -1), (0, x == 0), (0, x == 1), (oo, True))",
        params={},
        convex=False,
    ),
    ProxEntry(
        name="box",
        title="projection onto [-1, 1]",
        source="Moreau 1965",
        prox="clip(x, -1, 1)",
        regularizer="Piecewise((0, Abs(x) <= 1), (oo, True))",
        params={},
        convex=True,
    ),
    ProxEntry(
        name="soft threshold",
        title="soft threshold",
        source="Donoho and Johnstone 1994",
        prox="sign(x)*Max(Abs(x) - weight, 0)",
        regularizer="weight*Abs(x)",
        params={"weight": "1/2"},
        convex=True,
    ),
    ProxEntry(
        name="hard threshold",
        title="hard threshold",
        source="Donoho and Johnstone 1994",
        prox="Piecewise((0, Abs(x) <= level), (x, True))",
        regularizer="Piecewise((0, x == 0), (level**2/2, True))",
        params={"level": "1"},
        convex=False,
    ),
    ProxEntry(
        name="BinaryRelax",
        title="BinaryRelax",
        source="Yin et al. 2018, arXiv:1801.06313",
        prox="(1 - theta)*x + theta*sign(x)",
        regularizer="theta/(1 - theta)*(Abs(x) - 1)**2/2",
        params={"theta": "1/2"},
        convex=False,
    ),
    ProxEntry(
        name="tanh",
        title="tanh (binary entropy less a quadratic)",
        source="Ajanthan et al. 2021, arXiv:1910.08237",
        prox="tanh(x)",
        regularizer="Piecewise((((1 + x)*log(1 + x) + (1 - x)*log(1 - x))/2 - x**2/2, Abs(x) < 1), "
        "(log(2) - 1/2, Abs(x) == 1), (oo, True))",
        params={},
        convex=True,
    ),
    ProxEntry(
        name="softsign",
        title="softsign",
        source="derived: r' = x/(1 - |x|) - x",
        prox="x/(1 + Abs(x))",
        regularizer="Piecewise((-Abs(x) - log(1 - Abs(x)) - x**2/2, Abs(x) < 1), (oo, True))",
        params={},
        convex=True,
    ),
    ProxEntry(
        name="elastic net",
        title="elastic net",
        source="Zou and Hastie 2005",
        prox="sign(x)*Max(Abs(x) - weight, 0)/(1 + ridge)",
        regularizer="weight*Abs(x) + ridge*x**2/2",
        params={"weight": "1/2", "ridge": "1"},
        convex=True,
    ),
)
PROX_LIBRARY: dict[str, ProxEntry] = {p.name: p for p in _PROX}
"""The declared proximal maps by name."""

_TRANSFORMS = (
    TransformEntry(
        name="identity", title="identity", source="-", transform="x", derivative="1", params={}, smooth=True
    ),
    TransformEntry(
        name="clip",
        title="clip to [-1, 1]",
        source="Hubara et al. 2016, arXiv:1602.02830",
        transform="clip(x, -1, 1)",
        derivative="Piecewise((1, Abs(x) < 1), (0, True))",
        params={},
        smooth=False,
    ),
    TransformEntry(
        name="tanh",
        title="tanh",
        source="-",
        transform="tanh(beta*x)",
        derivative="beta*(1 - tanh(beta*x)**2)",
        params={"beta": "1"},
        smooth=True,
    ),
    TransformEntry(
        name="SwishSign",
        title="SwishSign SS",
        source="Darabi et al. 2018, arXiv:1812.11800",
        transform=_SS,
        derivative=_SS_PRIME,
        params={"beta": "5"},
        smooth=True,
    ),
    TransformEntry(
        name="ApproxSign",
        title="primitive of ApproxSign's derivative",
        source="Liu et al. 2018, arXiv:1808.00278",
        transform="Piecewise((-1, x < -1), (2*x + x**2, x < 0), (2*x - x**2, x < 1), (1, True))",
        derivative="Piecewise((2 - 2*Abs(x), Abs(x) < 1), (0, True))",
        params={},
        smooth=True,
    ),
    TransformEntry(
        name="softsign",
        title="softsign",
        source="-",
        transform="x/(1 + Abs(x))",
        derivative="1/(1 + Abs(x))**2",
        params={},
        smooth=True,
    ),
    TransformEntry(
        name="erf",
        title="error function",
        source="-",
        transform="erf(x)",
        derivative="2/sqrt(pi)*exp(-x**2)",
        params={},
        smooth=True,
    ),
    TransformEntry(
        name="leaky clip",
        title="leaky clip",
        source="-",
        transform="clip(x, -1, 1) + leak*(x - clip(x, -1, 1))",
        derivative="Piecewise((1, Abs(x) < 1), (leak, True))",
        params={"leak": "1/10"},
        smooth=False,
    ),
)
TRANSFORM_LIBRARY: dict[str, TransformEntry] = {t.name: t for t in _TRANSFORMS}
"""The declared transforms by name."""


def suggestion(name: str, table: Mapping[str, Any]) -> str | None:
    """The key of the table that looks most like the name, or None."""
    folded = {k.casefold(): k for k in table}
    close = get_close_matches(name.strip().casefold()[:60], folded, n=1)
    return folded[close[0]] if close else None


def _find(kind: str, table: Mapping[str, Any], name: str) -> Any:
    if name in table:
        return table[name]
    folded = {k.casefold(): k for k in table}
    if name.casefold() in folded:
        return table[folded[name.casefold()]]
    close = suggestion(name, table)
    hint = f"did you mean {close}?" if close else f"known: {', '.join(table)}"
    raise InputError(f"unknown {kind} {name[:40]!r}: {hint}")


def lookup(name: str) -> Entry:
    """The catalogue entry of that name (case does not matter). Raises `InputError` if there is none."""
    entry: Entry = _find("quantizer", CATALOGUE, name)
    return entry


def lookup_prox(name: str) -> ProxEntry:
    """The proximal map of that name. Raises `InputError` if there is none."""
    entry: ProxEntry = _find("proximal map", PROX_LIBRARY, name)
    return entry


def lookup_transform(name: str) -> TransformEntry:
    """The transform of that name. Raises `InputError` if there is none."""
    entry: TransformEntry = _find("transform", TRANSFORM_LIBRARY, name)
    return entry
