"""The catalogue with its first entries only, for tests of what is made of it (test_pages takes all of it)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from theory.catalogue import CATALOGUE


@contextmanager
def first_entries(count: int) -> Iterator[None]:
    """Within it the catalogue has ``count`` entries; after it all of them again, in their order."""
    everything = dict(CATALOGUE)
    for name in list(CATALOGUE)[count:]:
        del CATALOGUE[name]
    try:
        yield
    finally:
        CATALOGUE.clear()
        CATALOGUE.update(everything)
