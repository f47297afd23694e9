"""Checkpoints: named float64 arrays in one file that knows what it belongs to, and whether it is whole.

The file is one line of JSON, then the numbers: {"format", "key", "sha256", "arrays": [[name, shape], ...]} and the
arrays one after the other, little-endian. ``key`` is a digest of everything the numbers depend on, so a file
of another sweep, another version or another library is refused, not used. No pickle.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from theory.errors import InputError
from theory.files import read_bytes, write_bytes
from verify.problems import Array

FORMAT = "proxpair checkpoint 1"
_MOST_HEADER = 100_000


def digest(parts: Mapping[str, Any]) -> str:
    """SHA-256 of numbers, texts and arrays by name; the same for the same bits."""
    total = hashlib.sha256()
    for name in sorted(parts):
        value = parts[name]
        if isinstance(value, np.ndarray):
            data = np.ascontiguousarray(value, dtype="<f8").tobytes()
            total.update(f"{name}:{value.shape}:".encode() + data)
        else:
            total.update(f"{name}:{json.dumps(value)}:".encode())
    return total.hexdigest()


def save(path: str | Path, key: str, arrays: Mapping[str, Array]) -> Path:
    """Write the arrays, all or nothing. Raises `InputError` if the file cannot be written."""
    data = b"".join(np.ascontiguousarray(a, dtype="<f8").tobytes() for a in arrays.values())
    header = {
        "format": FORMAT,
        "key": key,
        "sha256": hashlib.sha256(data).hexdigest(),
        "arrays": [[name, list(a.shape)] for name, a in arrays.items()],
    }
    return write_bytes(path, json.dumps(header).encode() + b"\n" + data)


def load(path: str | Path, key: str) -> dict[str, Array]:
    """The arrays that `save` wrote under this key, bit for bit.

    Raises `InputError` naming the file if it is corrupted (a byte changed or missing), no checkpoint at all, or one of
    something else.
    """
    where = Path(path)
    raw = read_bytes(where, "a checkpoint")
    line, newline, data = raw.partition(b"\n")
    known, shapes, foreign, whole = False, [], False, False
    try:
        header = json.loads(line) if newline and len(line) <= _MOST_HEADER else None
        if isinstance(header, dict) and header["format"] == FORMAT:
            shapes = [(str(name), tuple(int(n) for n in shape)) for name, shape in header["arrays"]]
            foreign = header["key"] != key
            whole = hashlib.sha256(data).hexdigest() == header["sha256"]
            known = True
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        known = False
    remedy = "remove it to compute it again, or choose another --out"
    if not known:
        raise InputError(f"{where} is no checkpoint of proxpair: {remedy}")
    if not whole or len(data) != 8 * sum(math.prod(shape) for _, shape in shapes):
        raise InputError(f"{where} is corrupted, its contents do not match their checksum: {remedy}")
    if foreign:
        raise InputError(f"{where} is the checkpoint of other runs than those asked for: {remedy}")
    found, start = {}, 0
    for name, shape in shapes:
        stop = start + 8 * math.prod(shape)
        found[name] = np.frombuffer(data[start:stop], dtype="<f8").reshape(shape).astype(np.float64)
        start = stop
    return found


def clear_temporaries(folder: str | Path) -> None:
    """Remove what a killed process left half-written in a folder: `theory.files` names it .NAME.xxxxxxxx."""
    base = Path(folder)
    for path in base.iterdir() if base.is_dir() else ():
        if re.fullmatch(r"\..+\.(csv|part|html|tex|json)\.[a-z0-9_]{8}", path.name) and path.is_file():
            path.unlink(missing_ok=True)


__all__ = ["FORMAT", "clear_temporaries", "digest", "load", "save"]
