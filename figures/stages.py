"""What of the main job is up to date: for each stage a digest of what it was made from, and of every file it wrote.

A stage is done again unless its arguments, the sources of the packages it uses, the versions of the
libraries and the bytes of its files are all those of the record OUT/.stages.json. A stage that was
interrupted has no record of its new files, so it is done again; the stages themselves resume.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from theory.files import write_text

LIBRARIES = (
    *("numpy", "scipy", "sympy", "mpmath", "matplotlib", "torch", "python-flint", "scikit-learn", "joblib"),
    *("PEPit", "cvxpy", "clarabel", "pillow", "fonttools", "kiwisolver"),
)
"""Distributions whose version may change a byte of the results; the last three write PNG, cut fonts, lay out."""


@cache
def sources(package: str) -> str:
    """The SHA-256 of a package's files, by name and content: Python, and the data that ship with it."""
    found = find_spec(package)
    assert found is not None
    assert found.origin is not None
    folder = Path(found.origin).parent
    digest = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.suffix in (".py", ".json")):
        digest.update(f"{path.relative_to(folder)} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@cache
def modules(*names: str) -> str:
    """The SHA-256 of modules of figures/, by name and content."""
    texts = {name: hashlib.sha256(Path(__file__).with_name(f"{name}.py").read_bytes()).hexdigest() for name in names}
    return hashlib.sha256(json.dumps(texts, sort_keys=True).encode()).hexdigest()


@cache
def versions() -> dict[str, str]:
    """The version of Python and of each of `LIBRARIES`; "absent" for one that is not installed."""
    found = {"python": platform.python_version()}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "absent"
    return found


def contents(folder: Path, patterns: Sequence[str], but: Sequence[str] = ()) -> dict[str, str]:
    """SHA-256 of every file below ``folder`` that matches a pattern of ``patterns`` and none of ``but``.

    A file whose name starts with a dot is left out: records, and what is being written.
    """
    paths = {p for pattern in patterns for p in folder.glob(pattern) if p.is_file() and p.name[0] != "."}
    paths -= {p for pattern in but for p in folder.glob(pattern)}
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(paths)}


@dataclass
class Stages:
    """The record of one output folder. A record that cannot be read counts as none."""

    out: Path
    record: dict[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        try:
            self.record = json.loads(self._path.read_bytes())
        except (OSError, ValueError, RecursionError):
            self.record = {}
        if not isinstance(self.record, dict):
            self.record = {}

    @property
    def _path(self) -> Path:
        return self.out / ".stages.json"

    def run(
        self,
        name: str,
        given: Mapping[str, Any],
        packages: Sequence[str],
        outputs: Sequence[str],
        work: Callable[[], Any],
        but: Sequence[str] = (),
    ) -> bool:
        """Do ``work`` unless it is up to date; returns whether it was done.

        ``given``: what it depends on beside the sources of ``packages``, as JSON; ``outputs``, ``but``:
        the patterns of the files that it writes, as for `contents`.
        """
        key = {"given": dict(given), "sources": {p: sources(p) for p in packages}, "versions": versions()}
        told = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
        files = contents(self.out, outputs, but)
        if files and self.record.get(name) == {"from": told, "files": files}:
            return False
        work()
        self.record[name] = {"from": told, "files": contents(self.out, outputs, but)}
        write_text(self._path, json.dumps(self.record, indent=1, sort_keys=True) + "\n")
        return True


__all__ = ["LIBRARIES", "Stages", "contents", "modules", "sources", "versions"]
