"""Checkpoints: named float64 arrays in one file that knows what it belongs to, and whether it is whole.

The file is one line of JSON, then the numbers: {"format", "key", "arrays": [[name, shape], ...], "sha256"} and the
arrays one after the other, little-endian; the checksum covers both. ``key`` is a digest of everything the numbers
depend on, so a file of another sweep, another version or another library is refused, not used. No pickle.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
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
    header = {"format": FORMAT, "key": key, "arrays": [[name, list(a.shape)] for name, a in arrays.items()]}
    return write_bytes(path, json.dumps({**header, "sha256": _checksum(header, data)}).encode() + b"\n" + data)


def _checksum(header: Mapping[str, Any], data: bytes) -> str:
    return hashlib.sha256(json.dumps(header).encode() + b"\n" + data).hexdigest()


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
            whole = header.pop("sha256") == _checksum(header, data)
            known = all(n >= 0 for _, shape in shapes for n in shape)
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


@contextmanager
def alone(folder: str | Path) -> Iterator[None]:
    """Hold a folder, making it; a second process that wants it at the same time gets an `InputError`.

    The lock is the kernel's and goes with the process, so a killed one leaves none.
    """
    base = Path(folder)
    try:
        base.mkdir(parents=True, exist_ok=True)
        handle = os.open(base, os.O_RDONLY)
    except OSError as error:
        raise InputError(f"{base}: cannot be written ({error.strerror or error})") from None
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InputError(f"{base}: another process is writing there; choose another --out or wait") from None
        yield
    finally:
        os.close(handle)


def clear_temporaries(folder: str | Path) -> None:
    """Remove what a killed process left half-written in a folder: `theory.files` names it .NAME.xxxxxxxx."""
    base = Path(folder)
    for path in base.iterdir() if base.is_dir() else ():
        if re.fullmatch(r"\..+\.(csv|part|html|tex|json|pt)\.[a-z0-9_]{8}", path.name) and path.is_file():
            path.unlink(missing_ok=True)


__all__ = ["FORMAT", "alone", "clear_temporaries", "digest", "load", "save"]
