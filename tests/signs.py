"""Mutants of derivations: one sign changed, or one piece of evidence left out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import sympy as sp

from theory.derivations import Derivation, Vector


def flipped(e: sp.Expr) -> Iterator[sp.Expr]:
    """The expression with the sign of one of its terms changed."""
    for term in sp.Add.make_args(sp.expand(e)):
        if term != 0:
            yield sp.expand(e) - 2 * term


def mutants(d: Derivation) -> Iterator[Derivation]:
    """The derivation with one sign changed: of a term of a side, of a hypothesis, of a multiplier."""
    yield from (replace(d, left=e) for e in flipped(d.left))
    yield from (replace(d, right=e) for e in flipped(d.right))
    for i, h in enumerate(d.hypotheses):
        rest = (d.hypotheses[:i], d.hypotheses[i + 1 :])
        for e in flipped(h.value):
            yield replace(d, hypotheses=(*rest[0], replace(h, value=e), *rest[1]))
        yield replace(d, hypotheses=(*rest[0], replace(h, times=-h.times), *rest[1]))
        yield replace(d, hypotheses=(*rest[0], *rest[1]))
    for i, s in enumerate(d.squares):
        rest_of = (d.squares[:i], d.squares[i + 1 :])
        for name in s.of.parts:
            of = Vector({**s.of.parts, name: -s.of.parts[name]})
            yield replace(d, squares=(*rest_of[0], replace(s, of=of), *rest_of[1]))
        yield replace(d, squares=(*rest_of[0], replace(s, times=-s.times), *rest_of[1]))
        yield replace(d, squares=(*rest_of[0], *rest_of[1]))
