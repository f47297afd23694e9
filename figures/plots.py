"""The figures: their declarations, one for each, and the table of them all.

A drawing takes the cells of its CSV file, as text, so the file beside a picture is what the picture
shows: redrawing from the file gives the same bytes (a test does so).
"""

from __future__ import annotations

from figures import atlas, convergence, pairs, scheme, spectrum, speed, training
from figures.convergence import TOLERANCE
from figures.data import HYPOTHESES, TRANSFORMS, Inputs, Row
from figures.parts import THEORY, Declared, Plot, declared, slug
from theory.errors import InputError

_PAPER = "proxpair paper --out {out}"
_CATALOGUE = ("catalogue.json",)
_CONVEX = ("convergence/summary.csv", "convergence/ledger_*.csv")
_NETWORKS = ("networks/summary.csv", "networks/curves.csv", "networks/ledger.csv")


def _from(command: str) -> str:
    return f"proxpair {command} --out {{out}}"


SINGLE = declared(
    Declared(
        "scheme", "Forward and backward in ProxConnect++", (THEORY,), _PAPER, 2, scheme.scheme, scheme.draw_scheme
    ),
    Declared("atlas", "Map of the catalogue", _CATALOGUE, _PAPER, 2, atlas.atlas, atlas.draw_atlas),
    Declared("maps", "Forward and backward maps", _CATALOGUE, _PAPER, 2, pairs.maps, pairs.draw_maps),
    Declared("evolution", "Sharpening P and T", (THEORY,), _PAPER, 2, spectrum.evolution, spectrum.draw_evolution),
    Declared(
        "family", "From the identity to the projection", (THEORY,), _PAPER, 2, spectrum.family, spectrum.draw_family
    ),
    Declared(
        "convergence",
        "Gap and bound against iteration",
        _CONVEX,
        _from("converge"),
        2,
        convergence.gaps,
        convergence.draw_gaps,
    ),
    Declared(
        "bounds", "Gaps beside their bounds", _CONVEX, _from("converge"), 2, convergence.bounds, convergence.draw_bounds
    ),
    Declared(
        "residual",
        "Residual and sign flips",
        _CONVEX,
        _from("converge"),
        2,
        convergence.residual,
        convergence.draw_residual,
    ),
    Declared(
        "plane",
        "Trajectories in the plane",
        ("convergence/summary.csv", "convergence/plane.csv"),
        _from("converge"),
        2,
        convergence.plane,
        convergence.draw_plane,
        first=convergence.make_plane,
    ),
    Declared(
        "tightness",
        "How tight the bounds are",
        ("convergence/worst_cases.csv",),
        _from("worst-case"),
        2,
        convergence.tightness,
        convergence.draw_tightness,
    ),
    Declared(
        "hypotheses",
        "Statements without a hypothesis",
        ("convergence/hypotheses.csv",),
        _from(HYPOTHESES),
        2,
        convergence.hypotheses,
        convergence.draw_hypotheses,
    ),
    Declared(
        "negative",
        "Negative backward factors and latent size",
        ("convergence/negative.csv",),
        _from(TRANSFORMS),
        2,
        convergence.negative,
        convergence.draw_negative,
    ),
    Declared(
        "ledger",
        "Closure of the ledger",
        (*_CONVEX, *_NETWORKS),
        _from("converge"),
        2,
        convergence.ledger,
        convergence.draw_ledger,
    ),
    Declared("curves", "Training curves", _NETWORKS, _from("train"), 2, training.curves, training.draw_curves),
    Declared(
        "accuracy",
        "Final accuracy of the quantized network",
        _NETWORKS,
        _from("train"),
        2,
        training.accuracy,
        training.draw_accuracy,
    ),
    Declared(
        "training",
        "Closure and flips of the networks",
        _NETWORKS,
        _from("train"),
        2,
        training.training,
        training.draw_training,
    ),
    Declared("speed", "Speed against peers", speed.FILES, speed.COMMAND, 2, speed.speed, speed.draw_speed),
)
"""The figures that are one of a kind."""

FAMILIES = {
    "pair": ("catalogue.json", "one figure for each catalogued pair: F, B, P, T, r, or its witness and repairs"),
    "synthesized": ("synthesized.json", "one figure for each synthesized pair"),
}
"""The figures of pairs: the prefix of their names, the file that they are made from, and what they show."""


def _rows(inputs: Inputs) -> list[tuple[str, Row]]:
    return [*(("pair", row) for row in inputs.catalogue), *(("synthesized", row) for row in inputs.synthesized)]


def pair_names(inputs: Inputs) -> list[str]:
    """The figure name of every catalogued and then every synthesized pair, no two alike."""
    found: dict[str, None] = {}
    for prefix, row in _rows(inputs):
        name = base = f"{prefix}-{slug(row['name'])}"
        again = 2
        while name in found:
            name, again = f"{base}-{again}", again + 1
        found[name] = None
    return list(found)


def every(inputs: Inputs) -> dict[str, Declared]:
    """The declarations of all figures that these inputs can have, by name."""
    found = dict(SINGLE)
    for name, (prefix, row) in zip(pair_names(inputs), _rows(inputs), strict=True):
        found[name] = pairs.declare_pair(row, name, prefix, _PAPER, FAMILIES[prefix][0])
    return found


def names(inputs: Inputs) -> list[str]:
    """The names of all figures that these inputs can have."""
    return [*SINGLE, *pair_names(inputs)]


def find(inputs: Inputs, name: str) -> Declared:
    """The declaration of that name. Raises `InputError` where no figure has it."""
    if name in SINGLE:
        return SINGLE[name]
    found = every(inputs)
    if name not in found:
        raise InputError(f"no figure is called {name[:60]!r}; there are {', '.join(found)}")
    return found[name]


def build(inputs: Inputs, name: str) -> Plot | None:
    """The figure of that name, or None where its data are not there. Raises `InputError` on another name."""
    return find(inputs, name).plot(inputs)


def pair(row: Row, name: str) -> Plot:
    """The figure of one pair, under that name."""
    declaration = pairs.declare_pair(row, name, "pair", _PAPER, FAMILIES["pair"][0])
    return declaration.of(pairs.pair_of(row))


__all__ = ["FAMILIES", "SINGLE", "TOLERANCE", "Plot", "build", "every", "find", "names", "pair", "pair_names", "slug"]
