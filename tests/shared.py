"""Rows and certificates of the catalogue, computed once for all test processes of a run, entry by entry.

For tests of what is made of a verdict. That deciding, certifying and writing it again gives the same bytes
is tested apart (test_pages, test_certificates, test_checking, test_cli).
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from figures.parts import slug
from theory.catalogue import CATALOGUE
from theory.commands_catalogue import _row_and_certificate
from theory.files import write_bytes, write_text
from theory.published import PUBLISHED

SECONDS = 60.0  # three times the command's own: a loaded machine loses nothing
Found = tuple[dict[str, Any], bytes | None]


class Catalogued:
    """catalogued(name): the row of an entry and the bytes of its certificate, as `catalogue_rows` gives them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)

    def __call__(self, name: str) -> Found:
        with self._alone(name, wait=True):
            return self._found(name)

    def every(self) -> list[Found]:
        """Those of all entries, in their order; what another process is computing is waited for at the end."""
        later = []
        for name in CATALOGUE:
            with self._alone(name, wait=False) as mine:
                if mine:
                    self._found(name)
                else:
                    later.append(name)
        for name in later:
            self(name)
        return [self(name) for name in CATALOGUE]

    @contextmanager
    def _alone(self, name: str, wait: bool) -> Iterator[bool]:
        """No other process is at this entry, or False where one is and is not waited for."""
        with (self.folder / f"{slug(name)}.lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
                return
            yield True

    def _found(self, name: str) -> Found:
        row_file, certificate_file = (self.folder / f"{slug(name)}.{kind}" for kind in ("row", "certificate"))
        if not row_file.exists():
            assert len(CATALOGUE) == len(PUBLISHED)  # the names of repairs come from the whole catalogue
            row, certificate = _row_and_certificate((name, SECONDS))
            text = json.dumps(row, allow_nan=False)
            assert json.loads(text) == row
            if certificate is not None:
                write_bytes(certificate_file, certificate)
            write_text(row_file, text)
        certificate = certificate_file.read_bytes() if certificate_file.exists() else None
        return json.loads(row_file.read_text(encoding="utf-8")), certificate


__all__ = ["Catalogued", "Found"]
