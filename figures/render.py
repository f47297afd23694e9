"""Drawing many figures: what is up to date stays, the rest is drawn in two processes.

The folder of figures holds a record, .figures.json: for each figure a digest of what its table was made from, its
caption, a digest of what was drawn, and the SHA-256 of every file. A table is made again where its data, or the
sources that make it, are others; a file is drawn again where its table, its title, the sources that draw or the
style are others, or where it is not there as it was written. Files are written first, the record after them, each
under a temporary name first: whatever interrupts, the next run draws what is missing.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from figures import plots
from figures.data import Inputs, Table
from figures.parts import THEORY, Content, Declared, Plot
from figures.stages import modules, sources, versions
from figures.style import FORMATS, style_named
from theory.errors import InputError
from theory.files import write_text, write_together

RECORD = ".figures.json"
DRAWING = (
    *("atlas", "convergence", "data", "pairs", "parts", "plots", "render", "sampling", "scheme", "spectrum", "speed"),
    *("stages", "style", "training"),
)
"""The modules of figures/ that make tables and draw them."""
_WRITERS = ("python", "matplotlib", "numpy", "pillow", "fonttools", "kiwisolver")
"""What may change a byte of a picture whose table is the same."""
_NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")  # a record with another name is none of ours: its files stay
_MANY = 30  # figures to draw, from which on a second process pays
_PROCESSES = 2

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class Drawn:
    """A figure whose files are there; ``width`` and ``height`` in pixels of its PNG file."""

    plot: Plot
    width: int
    height: int


@cache
def drawing_code() -> str:
    """The SHA-256 of the sources that draw."""
    return modules(*DRAWING)


@cache
def _making_code() -> str:
    """A digest of all that may change a table: the sources that draw, the exact maps, and their libraries."""
    return _digest([drawing_code(), sources("theory"), sources("verify"), versions()])


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def _sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _source_files(declared: Declared, inputs: Inputs) -> dict[str, Path]:
    """The files that a figure is made from, that are there, by their address below OUT or in the repository."""
    found: dict[str, Path] = {}
    for pattern in declared.source:
        if pattern.startswith("benchmarks/"):
            path = inputs.benchmarks / Path(pattern).name
            found |= {pattern: path} if path.is_file() else {}
        elif pattern != THEORY and not pattern.endswith(".json"):
            found |= {p.relative_to(inputs.out).as_posix(): p for p in sorted(inputs.out.glob(pattern))}
    return found


def made_from(declared: Declared, inputs: Inputs) -> str:
    """The digest of what a figure's table is made from: rows or files, the order of the catalogue, and the code."""
    rows: Any = None
    if declared.row is not None:
        rows = declared.row
    elif "catalogue.json" in declared.source:
        rows = list(inputs.catalogue)
    files = {name: _sha(p.read_bytes()) for name, p in _source_files(declared, inputs).items()}
    return _digest([declared.name, rows, list(inputs.order), files, _making_code()])


def drawn_from(plot: Plot, style: str) -> str:
    """The digest of what a figure is drawn from: its CSV text, its title, the code, the libraries, the style."""
    libraries = {name: versions()[name] for name in _WRITERS}
    return _digest([plot.table.text(), plot.title, plot.columns, drawing_code(), libraries, style])


# --------------------------------------------------------------------------- the record


@dataclass
class Record:
    """What a folder of figures holds. One that cannot be read, or of another shape, counts as empty.

    Each entry carries a digest of itself, so that one whose caption was damaged counts as none.
    """

    folder: Path
    figures: dict[str, dict[str, Any]] = field(default_factory=dict)

    @classmethod
    def read(cls, folder: Path) -> Record:
        try:
            found = json.loads((folder / RECORD).read_bytes())["figures"]
            sound = {name: entry for name, entry in found.items() if _is_entry(name, entry)}
        except (OSError, ValueError, RecursionError, TypeError, KeyError, AttributeError):
            sound = {}
        return cls(folder, sound)

    def write(self) -> None:
        """Raises `InputError` if it cannot be written."""
        text = json.dumps({"figures": self.figures}, indent=1, sort_keys=True, ensure_ascii=False)
        write_text(self.folder / RECORD, text + "\n")

    def intact(self, name: str, kind: str) -> bytes | None:
        """The bytes of a file of a figure, None unless they are those that were written."""
        told = self.figures.get(name, {}).get("files", {}).get(kind)
        try:
            data = (self.folder / f"{name}.{kind}").read_bytes()
        except (OSError, ValueError):
            return None
        return data if told == _sha(data) else None


def _seal(name: str, entry: dict[str, Any]) -> str:
    return _digest([name, {key: value for key, value in entry.items() if key != "seal"}])


def _is_entry(name: str, entry: Any) -> bool:
    texts = ("made_from", "drawn_from", "caption", "alt", "seal")
    return (
        isinstance(entry, dict)
        and _NAME.fullmatch(name) is not None
        and all(isinstance(entry.get(key), str) for key in texts)
        and isinstance(entry.get("files"), dict)
        and all(isinstance(v, str) for v in entry["files"].values())
        and isinstance(entry.get("size"), list)
        and len(entry["size"]) == 2
        and all(isinstance(v, int) for v in entry["size"])
        and entry["seal"] == _seal(name, entry)
    )


# --------------------------------------------------------------------------- one figure


@dataclass(frozen=True)
class _Task:
    """What a process needs to make and draw one figure.

    ``content``: where it is up to date; ``drawn_from``: of the record; ``there``: the formats whose files lie in
    the folder, ``intact``: the kinds of those that are as the record says they were written.
    """

    declared: Declared
    inputs: Inputs
    content: Content | None
    formats: tuple[str, ...]
    style: str
    drawn_from: str
    there: tuple[str, ...]
    intact: tuple[str, ...]


@dataclass(frozen=True)
class _Result:
    name: str
    content: Content | None
    files: dict[str, bytes]


def _work(task: _Task) -> _Result:
    """The content of a figure, made where need be, and those of its files that are not there as they should be.

    Without content where it has no data. A format that is not asked for is drawn too where a file of it, older or
    damaged, would be left beside the table.
    """
    content = task.content or task.declared.make(task.inputs)
    if content is None:
        return _Result(task.declared.name, None, {})
    plot = task.declared.of(content)
    kinds = list(dict.fromkeys((*task.formats, *task.there)))
    if task.drawn_from != drawn_from(plot, task.style):
        return _Result(task.declared.name, content, plot.files(kinds, task.style))
    kinds = [kind for kind in kinds if kind not in task.intact]
    files = plot.files(kinds, task.style) if kinds or "csv" not in task.intact else {}
    return _Result(task.declared.name, content, files)


def _up_to_date(declared: Declared, record: Record, told: str) -> Content | None:
    """The content of the record and of the CSV file, where both were made from the same."""
    entry = record.figures.get(declared.name)
    if entry is None or entry["made_from"] != told:
        return None
    data = record.intact(declared.name, "csv")
    return None if data is None else Content(entry["caption"], entry["alt"], Table.read(data.decode()))


# --------------------------------------------------------------------------- many


def checked_formats(formats: Sequence[str]) -> tuple[str, ...]:
    """The formats without repetition. Raises `InputError` for another one, or none."""
    for kind in formats:
        if kind not in FORMATS:
            raise InputError(f"the formats {', '.join(FORMATS)} were expected, not {kind[:40]!r}")
    if not formats:
        raise InputError(f"at least one format of {', '.join(FORMATS)} was expected")
    return tuple(dict.fromkeys(formats))


def draw_all(
    inputs: Inputs,
    names: Sequence[str],
    folder: Path,
    formats: Sequence[str] = FORMATS,
    style: str = "paper",
    progress: Progress | None = None,
    jobs: int | None = None,
    complete: bool = False,
) -> dict[str, Drawn]:
    """Draw the named figures that have data into ``folder``, what is up to date excepted; by name, in their order.

    ``progress`` gets (figures done, figures in all); ``jobs``: processes, by default two where many figures have to
    be drawn. A format that is not asked for is drawn all the same where a file of it, older or damaged, would be left
    beside the table. Where all figures of these inputs are named, the files of figures that no longer exist are
    removed; only files of the record are.

    Raises `InputError` for a name, format or style that is none, for data that are not sound, if a file cannot
    be written, and, where ``complete``, for a figure without data, before anything is drawn.
    """
    wanted = checked_formats(formats)
    style_named(style)
    known = plots.every(inputs)
    for name in names:
        if name not in known:
            plots.find(inputs, name)  # raises
    names = list(dict.fromkeys(names))
    record = Record.read(folder)
    shown: dict[str, Drawn] = {}
    tasks: list[_Task] = []
    for name in names:
        if (first := known[name].first) is not None:
            first(inputs)
    told = {name: made_from(known[name], inputs) for name in names}
    done = 0

    def advance() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, len(names))

    for name in names:
        declared = known[name]
        content = _up_to_date(declared, record, told[name])
        entry = record.figures.get(name)
        there = tuple(kind for kind in FORMATS if (folder / f"{name}.{kind}").is_file())
        intact = tuple(kind for kind in (*there, "csv") if record.intact(name, kind) is not None)
        if content is not None and entry is not None:
            plot = declared.of(content)
            if entry["drawn_from"] == drawn_from(plot, style) and {*wanted, *there} <= {*intact}:
                shown[name] = Drawn(plot, *entry["size"])
                continue
        if complete and content is None:
            content = declared.make(inputs)
            if content is None:
                command = declared.command_for(inputs.out)
                raise InputError(f"{inputs.out} has no data for the figure {name!r}; make them with: {command}")
        drawn = entry["drawn_from"] if entry else ""
        tasks.append(_Task(declared, inputs, content, wanted, style, drawn, there, intact))
    for _ in shown:
        advance()  # only now, so that an error stands alone
    for result in _results(tasks, jobs):
        if result.content is not None:
            shown[result.name] = _store(result, known[result.name].of(result.content), record, told, style)
        advance()
    _forget(record, known, set(names), set(shown))
    return {name: shown[name] for name in names if name in shown}


def _results(tasks: Sequence[_Task], jobs: int | None) -> Iterable[_Result]:
    """What comes of the tasks, in whatever order."""
    count = jobs or (min(_PROCESSES, os.cpu_count() or 1) if len(tasks) >= _MANY else 1)
    if count == 1 or len(tasks) < 2:
        return map(_work, tasks)
    from joblib import Parallel, delayed, parallel_config

    # a figure of one pair needs no other row: so none is sent along
    alone = [replace(t, inputs=Inputs(t.inputs.out)) if t.declared.row is not None else t for t in tasks]
    with parallel_config("loky", inner_max_num_threads=1):
        many = Parallel(n_jobs=count, return_as="generator_unordered", pre_dispatch="3*n_jobs")
        found: Iterable[_Result] = many(delayed(_work)(task) for task in alone)
    return found


def _store(result: _Result, plot: Plot, record: Record, told: dict[str, str], style: str) -> Drawn:
    """Write the files of a figure, then the record."""
    name = result.name
    write_together({record.folder / f"{name}.{kind}": data for kind, data in result.files.items()})
    key = drawn_from(plot, style)
    entry = record.figures.get(name)
    same = entry is not None and entry["drawn_from"] == key
    files = dict(entry["files"]) if entry is not None and same else {}
    files |= {kind: _sha(data) for kind, data in result.files.items()}
    if "png" in result.files:
        size = list(_pixels(result.files["png"]))
    else:
        size = entry["size"] if entry is not None and same else _size(plot, style)
    made: dict[str, Any] = {"made_from": told[name], "drawn_from": key, "caption": plot.caption, "alt": plot.alt}
    made |= {"size": size, "files": files}
    record.figures[name] = {**made, "seal": _seal(name, made)}
    record.write()
    return Drawn(plot, *size)


def _pixels(png: bytes) -> tuple[int, int]:
    width, height = struct.unpack(">II", png[16:24])
    return int(width), int(height)


def _size(plot: Plot, style: str) -> list[int]:
    """The pixels that a PNG file would have."""
    from figures.style import DPI, drawing

    with drawing(style):
        return [int(inches * DPI) for inches in plot.draw(plot.table).get_size_inches()]


def _forget(record: Record, known: dict[str, Declared], named: set[str], shown: set[str]) -> None:
    """Remove the files of figures that no longer exist, where all that do were asked for."""
    if named != set(known):
        return
    gone = [name for name in record.figures if name not in shown]
    for name in gone:
        for kind in record.figures[name]["files"]:
            if kind in (*FORMATS, "csv"):
                (record.folder / f"{name}.{kind}").unlink(missing_ok=True)
        del record.figures[name]
    if gone:
        record.write()


__all__ = [
    "DRAWING",
    "RECORD",
    "Drawn",
    "Record",
    "checked_formats",
    "draw_all",
    "drawing_code",
    "drawn_from",
    "made_from",
]
