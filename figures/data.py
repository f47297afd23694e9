"""What the figures and tables are made from: the rows of `check` and the CSV files under the output folder."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import NoneType
from typing import Any

from theory.errors import InputError
from theory.files import csv_text, read_text

Row = Mapping[str, Any]
Cells = dict[str, str]

GRADES = ("smooth", "lipschitz", "unprincipled", "undecided")


@dataclass(frozen=True)
class Table:
    """A CSV file in memory: column names and rows of cells, each cell as its text stands in the file."""

    header: tuple[str, ...]
    rows: tuple[Cells, ...]

    @classmethod
    def of(cls, header: Sequence[str], rows: Sequence[Sequence[Any]]) -> Table:
        """The table that reading the written file gives back."""
        return cls.read(csv_text(header, rows))

    @classmethod
    def read(cls, text: str) -> Table:
        reader = csv.reader(io.StringIO(text))
        header = tuple(next(reader, []))
        return cls(header, tuple(dict(zip(header, cells, strict=False)) for cells in reader))

    def text(self) -> str:
        return csv_text(self.header, [[row[name] for name in self.header] for row in self.rows])

    def where(self, **cells: str) -> list[Cells]:
        """The rows whose named cells have the given text, in order."""
        return [row for row in self.rows if all(row[name] == text for name, text in cells.items())]

    def values(self, name: str) -> list[str]:
        """The different cells of one column, in order of appearance."""
        return list(dict.fromkeys(row[name] for row in self.rows))


def number(cell: str) -> float:
    """A cell as a float, NaN where it is empty or a word."""
    try:
        return float(cell)
    except ValueError:
        return math.nan


def read_table(
    path: Path, columns: Sequence[str], command: str, numbers: Sequence[str] = (), empty: bool = False
) -> Table:
    """A CSV file that ``command`` writes.

    Raises `InputError` if it is missing, lacks a column, has no rows (unless ``empty``), or where a
    cell of the columns ``numbers`` is no finite number.
    """
    if not path.is_file():
        raise InputError(f"{path} is missing; make it with: {command}")
    table = Table.read(read_text(path, "a results file"))
    missing = [name for name in columns if name not in table.header]
    if missing:
        raise InputError(f"{path}: the column {missing[0]!r} was expected; make the file again with: {command}")
    if not table.rows and not empty:
        raise InputError(f"{path}: at least one row was expected; make the file again with: {command}")
    short = next((i for i, row in enumerate(table.rows) if len(row) != len(table.header)), None)
    if short is not None:
        raise InputError(f"{path}: row {short + 1} has too few cells; make the file again with: {command}")
    for name in numbers:
        bad = next((i for i, row in enumerate(table.rows) if not math.isfinite(number(row[name]))), None)
        if bad is not None:
            where = f"{path}: row {bad + 1}, column {name!r}"
            raise InputError(f"{where}: a finite number was expected; make the file again with: {command}")
    return table


def read_verdicts(path: Path, command: str) -> list[dict[str, Any]]:
    """A JSON list of objects of `check`. Raises `InputError` if it is missing or something else."""
    if not path.is_file():
        raise InputError(f"{path} is missing; make it with: {command}")
    try:
        rows = json.loads(read_text(path, "a list of verdicts"))
    except (json.JSONDecodeError, RecursionError):
        raise InputError(f"{path}: a JSON list of verdicts was expected; make it again with: {command}") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise InputError(f"{path}: a JSON list of objects was expected; make it again with: {command}")
    try:
        json.dumps(rows, ensure_ascii=False).encode()
    except UnicodeEncodeError:  # half a surrogate pair, which no file of ours can hold
        raise InputError(f"{path}: text in Unicode was expected; make it again with: {command}") from None
    check_rows(rows, str(path))
    return rows


_SHAPES: dict[str, tuple[type, ...]] = {
    "transform": (str, NoneType),
    "prox": (str, NoneType),
    "regularizer": (dict, NoneType),
    "implicit": (dict, NoneType),
    "params": (dict, NoneType),
    "witness": (dict, NoneType),
    "repairs": (list, NoneType),
    "repairs_unfinished": (list, NoneType),
    "notes": (list, NoneType),
    "corollaries": (list, NoneType),
    "certificate": (dict, NoneType),
    "literal_criterion": (bool, NoneType),
    "convex_regularizer": (bool, NoneType),
    "year": (int, NoneType),
    **dict.fromkeys(("title", "source", "coverage", "scope", "reason"), (str, NoneType)),
}
_TEXT = (str, NoneType)
_INSIDE: dict[str, dict[str, tuple[type, ...]]] = {
    "regularizer": {"largest": _TEXT, "smallest": _TEXT},
    "witness": {"kind": _TEXT, "sentence": _TEXT, "points": (list, NoneType)},
    "certificate": {"accepted": (bool,), "lemmas": (int,), "reason": _TEXT},
}
_COROLLARY = ("name", "applies", "bound", "because")
_DISTANCES = ("sup_forward", "rms_forward", "sup_backward", "rms_backward", "same_sign")
_LONGEST = 80  # characters of a name: it becomes the name of a file


def check_rows(rows: Sequence[Row], what: str) -> None:
    """Raises `InputError` unless every row has the shape of an object of `check` with name and maps."""
    for i, row in enumerate(rows):
        where = f"{what}: entry {i + 1}"
        for key in ("name", "forward", "backward", "verdict"):
            if not isinstance(row.get(key), str):
                raise InputError(f"{where} has no text under {key!r}")
        if not 0 < len(row["name"]) <= _LONGEST or not row["name"].isprintable():
            raise InputError(f"{where} has no name of 1 to {_LONGEST} printable characters")
        if row["verdict"] not in GRADES:
            raise InputError(f"{where} has the unknown verdict {row['verdict'][:40]!r}")
        for key, kinds in _SHAPES.items():
            if not isinstance(row.get(key), kinds) or not _inside(key, row.get(key)):
                raise InputError(f"{where} has something unexpected under {key!r}")
        for repair in row.get("repairs") or []:
            keys = ("name", "keeps", "forward", "backward", "verdict")
            if not isinstance(repair, dict) or not all(isinstance(repair.get(key), str) for key in keys):
                raise InputError(f"{where} has a repair without {', '.join(keys)}")
            if not _distance(repair.get("distance")):
                raise InputError(f"{where} has a repair with something unexpected under 'distance'")


def _inside(key: str, value: Any) -> bool:
    """Whether the parts of a value have their types."""
    if value is None:
        return True
    if key in ("params", "implicit"):
        return all(isinstance(v, str) for v in value.values())
    if key in ("notes", "repairs_unfinished"):
        return all(isinstance(v, str) for v in value)
    if key == "corollaries":
        return all(isinstance(v, dict) and all(isinstance(v.get(k), str) for k in _COROLLARY) for v in value)
    return all(isinstance(value.get(k), kinds) for k, kinds in _INSIDE.get(key, {}).items())


def _distance(value: Any) -> bool:
    """Whether it is the distance of a repair: numbers as texts, exact or enclosed, or None."""
    if value is None:
        return True
    parts = [value.get(key) for key in _DISTANCES] if isinstance(value, dict) else [None]
    return all(
        isinstance(p, dict)
        and isinstance(p.get("value"), _TEXT)
        and isinstance(p.get("low"), _TEXT)
        and (p.get("low") is None or p.get("value") is not None or math.isfinite(number(p["low"])))
        for p in parts
    )


LEDGER_COLUMNS = (
    *("step", "closure_error", "gap_best", "gap_mean", "gap_average", "gap_average_next"),
    *("bound", "bound_convex", "bound_smooth", "residual", "flips"),
)
SUMMARY_COLUMNS = (
    *("problem", "method", "verdict", "mode", "regularizer", "schedule", "steps", "max_closure_error", "min_D"),
    *("gap_best", "gap_mean", "gap_last", "bound", "note"),
)
RUN_COLUMNS = (
    *("problem", "method", "schedule", "gradient", "seed", "steps", "mode", "closure_first", "closure_second"),
    *("min_D", "slack", "support", "path", "frank_wolfe"),
)
STATEMENT_COLUMNS = (
    *("problem", "method", "schedule", "gradient", "seed", "statement", "iterate"),
    *("left", "bound", "tightest", "violated"),
)
EXACT_COLUMNS = ("problem", "method", "mode", "steps", "difference_first", "difference_second", "min_D", "note")
PLANE_COLUMNS = ("method", "step", "u1", "u2", "v1", "v2", "w1", "w2")
WORST_COLUMNS = (
    *("setting", "statement", "iterate", "n", "step", "bound", "worst_case", "ratio", "relation"),
    *("duality_gap", "hypothesis_holds"),
)
HYPOTHESIS_COLUMNS = ("statement", "hypothesis", "run", "quantity", "kept", "dropped", "broken", "sentence")
TRANSFORM_COLUMNS = ("transform", "prox", "sharpness", "problem", "seeds", "steps", "closure", "path_ratio")
NEGATIVE_COLUMNS = ("step", "transform", "sharpness", "negative", "beyond", "mean_u")
CURVE_COLUMNS = ("method", "seed", "epoch", "soft_accuracy", "hard_accuracy")
NETWORK_COLUMNS = ("method", "verdict", "seeds", "hard_mean", "hard_std", "soft_mean", "soft_std")
NETWORK_LEDGER_COLUMNS = ("method", "seed", "epoch", "closure_error")


HYPOTHESES, TRANSFORMS = "hypotheses", "transforms"
"""The sub-commands that write hypotheses.csv, and transforms.csv with negative.csv."""


BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
"""Stored results of the benchmarks; not there in an installation without the repository."""


def _file_name(method: str) -> str:
    """A method in file names: a pair of expressions, written (F; B), by the digest that the experiment gives it."""
    if ";" not in method:
        return method
    from verify.converge import file_name
    from verify.runs import pair_spec

    return file_name(pair_spec(method[1:-1]))


@dataclass(frozen=True)
class Inputs:
    """Everything that a drawing may read: the verdicts, the CSV files under ``out``, and stored benchmarks."""

    out: Path
    catalogue: Sequence[Row] = ()
    synthesized: Sequence[Row] = ()
    order: Sequence[str] = field(default=())
    benchmarks: Path = BENCHMARKS

    @property
    def has_convergence(self) -> bool:
        return (self.out / "convergence" / "summary.csv").is_file()

    @property
    def has_networks(self) -> bool:
        return (self.out / "networks" / "summary.csv").is_file()

    def has(self, name: str) -> bool:
        """Whether OUT/convergence/NAME.csv is there."""
        return (self.out / "convergence" / f"{name}.csv").is_file()

    @property
    def converge(self) -> str:
        return f"proxpair converge --out {self.out}"

    @property
    def train(self) -> str:
        return f"proxpair train --out {self.out}"

    @cached_property
    def convergence(self) -> Table:
        """The summary of the convex runs."""
        return read_table(self.out / "convergence" / "summary.csv", SUMMARY_COLUMNS, self.converge, ("steps",))

    def _converged(
        self, name: str, columns: Sequence[str], command: str, numbers: Sequence[str] = (), empty: bool = False
    ) -> Table:
        full = f"proxpair {command} --out {self.out}"
        return read_table(self.out / "convergence" / f"{name}.csv", columns, full, numbers, empty)

    @cached_property
    def runs(self) -> Table:
        """Every convex run; what a run does not have is blank."""
        return self._converged("runs", RUN_COLUMNS, "converge", ("steps",))

    @cached_property
    def statements(self) -> Table:
        """The corollaries on the convex runs; without rows where T moved."""
        return self._converged("statements", STATEMENT_COLUMNS, "converge", ("left", "bound"), empty=True)

    @cached_property
    def exact(self) -> Table:
        """The runs in rational arithmetic."""
        return self._converged("exact", EXACT_COLUMNS, "converge --exact", ("steps",))

    @cached_property
    def worst_cases(self) -> Table:
        """Worst cases beside the bounds."""
        numbers = ("n", "bound", "worst_case", "ratio", "duality_gap")
        return self._converged("worst_cases", WORST_COLUMNS, "worst-case", numbers)

    @cached_property
    def hypotheses(self) -> Table:
        """What happens without a hypothesis."""
        return self._converged("hypotheses", HYPOTHESIS_COLUMNS, HYPOTHESES)

    @cached_property
    def transforms(self) -> Table:
        """Transforms of the library under proximal maps of the library."""
        return self._converged("transforms", TRANSFORM_COLUMNS, TRANSFORMS)

    @cached_property
    def negative(self) -> Table:
        """Negative backward factors over the steps."""
        return self._converged("negative", NEGATIVE_COLUMNS, TRANSFORMS, ("step", *NEGATIVE_COLUMNS[3:]))

    @cached_property
    def plane(self) -> Table:
        """Trajectories in the plane. They take a moment, so they are made where they are missing."""
        if not self.has("plane"):
            from verify import plane

            plane.run(self.out)
        return self._converged("plane", PLANE_COLUMNS, "figures plane", PLANE_COLUMNS[1:])

    @cached_property
    def networks(self) -> Table:
        """The summary of the networks."""
        return read_table(self.out / "networks" / "summary.csv", NETWORK_COLUMNS, self.train, ("seeds", "hard_mean"))

    @cached_property
    def curves(self) -> Table:
        """Accuracy per method, seed and epoch."""
        return read_table(self.out / "networks" / "curves.csv", CURVE_COLUMNS, self.train, CURVE_COLUMNS[1:])

    @cached_property
    def network_ledger(self) -> Table:
        """The ledger of the networks per method, seed and epoch; empty where no method has one."""
        return read_table(
            self.out / "networks" / "ledger.csv", NETWORK_LEDGER_COLUMNS, self.train, ("epoch",), empty=True
        )

    @cached_property
    def ledgers(self) -> dict[tuple[str, str], Table]:
        """The ledger of each convex run that has one, by (problem, method): first seed, first schedule."""
        found: dict[tuple[str, str], Table] = {}
        for run in self.convergence.rows:
            if (run["problem"], run["method"]) in found:
                continue
            path = self.out / "convergence" / f"ledger_{run['problem']}_{_file_name(run['method'])}.csv"
            # a run without a ledger says why in its note
            if path.is_file() or not run["note"]:
                found[run["problem"], run["method"]] = read_table(path, LEDGER_COLUMNS, self.converge, ("step",))
        return found

    def read_all(self) -> None:
        """Read every file that is there. Raises `InputError` on the first that is broken or incomplete."""
        if self.has_convergence:
            _ = self.ledgers, self.runs, self.statements
        for name in ("exact", "worst_cases", "hypotheses", "transforms", "negative"):
            if self.has(name):
                getattr(self, name)
        if self.has_networks:
            _ = self.networks, self.curves, self.network_ledger
