"""Outputs are written under a temporary name and renamed, so a reader never sees half a file."""

from __future__ import annotations

import csv
import errno
import io
import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from theory.errors import InputError


def write_together(files: Mapping[str | Path, bytes]) -> None:
    """Write several files, all under temporary names first: a disk that fills leaves every earlier file as it was.

    Makes their folders. Raises `InputError` if one cannot be written.
    """
    waiting: list[tuple[str, Path]] = []
    target = Path()
    try:
        try:
            for name, data in files.items():
                target = Path(name)
                if target.is_dir():
                    raise IsADirectoryError(errno.EISDIR, "a folder has that name")
                target.parent.mkdir(parents=True, exist_ok=True)
                handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
                waiting.append((temporary, target))
                with os.fdopen(handle, "wb") as out:
                    out.write(data)
                os.chmod(temporary, 0o644)
            for temporary, target in waiting:
                os.replace(temporary, target)
        except BaseException:
            for temporary, _ in waiting:
                Path(temporary).unlink(missing_ok=True)
            raise
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{target}: cannot be written ({reason})") from None


def write_bytes(path: str | Path, data: bytes) -> Path:
    """Write a whole file atomically, making its folder. Raises `InputError` if it cannot be written."""
    write_together({path: data})
    return Path(path)


def results_folder(out: Path) -> Path:
    """``out`` itself. Raises `InputError` where it is no folder that can be written to, and cannot become one.

    The options --out for a folder of results go through this, so that no work is done in vain.
    """
    nearest = next(path for path in (out, *out.absolute().parents) if is_folder(path) or os.path.lexists(path))
    if not is_folder(nearest):
        raise InputError(f"--out: a folder was expected for the results, but {nearest} is none")
    if not os.access(nearest, os.W_OK):
        raise InputError(f"--out: a folder to write to was expected for the results, but {nearest} is read-only")
    return out


def is_folder(path: str | Path) -> bool:
    """Whether a folder has that name. Raises `InputError` for a name that no file can have."""
    try:
        return Path(path).is_dir()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{str(path)[:80]!r} cannot be the name of a file ({reason})") from None


def write_text(path: str | Path, text: str) -> Path:
    """`write_bytes` for text, in UTF-8."""
    return write_bytes(path, text.encode())


def csv_text(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """CSV with '\\n' line ends; floats in their shortest form that reads back to the same bits."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    for row in rows:
        writer.writerow([repr(float(v)) if isinstance(v, float) else v for v in row])
    return out.getvalue()


def write_csv(path: str | Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Path:
    """A CSV file, atomically."""
    return write_text(path, csv_text(header, rows))


def read_bytes(path: str | Path, what: str) -> bytes:
    """A whole file. Raises `InputError` naming ``what`` was expected."""
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: a path with a NUL
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"{what}: {str(path) or 'the empty path'} cannot be read ({reason})") from None


def read_text(path: str | Path, what: str) -> str:
    """A whole text file. Raises `InputError` naming ``what`` was expected."""
    try:
        return read_bytes(path, what).decode()
    except UnicodeDecodeError:
        raise InputError(f"{what}: {path} is not a text file in UTF-8") from None
