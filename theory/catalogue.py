"""The catalogue: published quantizer pairs, proximal maps and transforms by name.

Tests, tables, figures and documents read these tables; nothing else lists quantizers by hand. The
declarations are in `theory.published` (pairs) and `theory.libraries`, their fields in
`theory.declarations`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, TypeVar

from theory.declarations import COVERAGES, Entry, ProxEntry, TransformEntry
from theory.errors import InputError
from theory.libraries import PROXES, TRANSFORMS
from theory.published import PUBLISHED

_Declared = TypeVar("_Declared", Entry, ProxEntry, TransformEntry)


def by_name(declared: Iterable[_Declared]) -> dict[str, _Declared]:
    """The declarations by name. Raises `InputError` where two names are the same up to case."""
    table: dict[str, _Declared] = {}
    for d in declared:
        if d.name.casefold() in {k.casefold() for k in table}:
            raise InputError(f"two declarations are named {d.name!r}; a name of its own was expected")
        table[d.name] = d
    return table


CATALOGUE: dict[str, Entry] = by_name(PUBLISHED)
"""The declared pairs by name."""

PROX_LIBRARY: dict[str, ProxEntry] = by_name(PROXES)
"""The declared proximal maps by name."""

TRANSFORM_LIBRARY: dict[str, TransformEntry] = by_name(TRANSFORMS)
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


__all__ = [
    "CATALOGUE",
    "COVERAGES",
    "PROX_LIBRARY",
    "TRANSFORM_LIBRARY",
    "Entry",
    "ProxEntry",
    "TransformEntry",
    "by_name",
    "lookup",
    "lookup_prox",
    "lookup_transform",
    "suggestion",
]
