"""Figures: what is drawn is what the files say, and everybody can read it.

Each rule is a function that returns what it found wrong, so that every rule also meets its mutant.
"""

from __future__ import annotations

import io
import math
import os
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text
from page_checks import contrast
from PIL import Image

import proxpair
from figures import plots, render, report, style
from figures.data import (
    EXACT_COLUMNS,
    HYPOTHESIS_COLUMNS,
    NEGATIVE_COLUMNS,
    TRANSFORM_COLUMNS,
    WORST_COLUMNS,
    Inputs,
    Table,
    read_table,
    read_verdicts,
)
from figures.sampling import read_map, trace
from theory.errors import InputError
from theory.files import write_csv, write_text
from theory.repairs import WAYS
from verify import train
from verify.converge import LEDGER_HEADER, RUNS_HEADER, STATEMENTS_HEADER, SUMMARY_HEADER
from verify.lowering import lower

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("BC", "BNN", "BNN+", "MD-tanh")


# --------------------------------------------------------------------------- results to draw


def write_runs(out: Path) -> None:
    """Small made-up runs in the files and columns that converge, its companions and train write."""
    steps = [*range(1, 31), 100, 1000]
    summary, runs, statements = [], [], []
    for problem in ("quadratic", "breast-cancer"):
        for k, method in enumerate(("BC", "BNN", "FP")):
            convex = method == "FP"
            rows = []
            for t in steps:
                gap = 0.0 if (t == 1000 and k == 0) else (k + 1) / t
                bound = "" if method == "BNN" else 3 * (k + 1) / t
                cells: dict[str, Any] = {"step": t, "closure_error": 1e-17 * k * t, "gap_best": gap, "bound": bound}
                cells |= {"gap_mean": 2 * gap, "gap_average": gap * 1.5, "gap_average_next": gap, "flips": t // 2}
                cells |= {"bound_convex": bound if convex else "", "bound_smooth": 2 * (k + 1) / t if convex else ""}
                cells |= {"residual": (k + 1) / t**0.5}
                rows.append([cells.get(c, 0.5) for c in LEDGER_HEADER])
            write_csv(out / "convergence" / f"ledger_{problem}_{method}.csv", LEDGER_HEADER, rows)
            line: dict[str, Any] = {"problem": problem, "method": method, "verdict": "smooth", "mode": "advance"}
            line |= {"schedule": "sqrt", "gradient": "exact", "steps": 1000, "seed": 0}
            same = {"max_closure_error": 1e-14 * k, "min_D": 0.0, "bound": "", "note": ""}
            summary.append(
                [
                    {**line, "regularizer": "convex" if convex else "nonconvex", **same}.get(c, 0.25)
                    for c in SUMMARY_HEADER
                ]
            )
            own = {"closure_first": 1e-15 * k, "closure_second": 2e-16, "min_D": 0.0, "path": 0.1}
            own["frank_wolfe"] = "" if convex else 0.2
            own |= {"slack": -1e-17 if convex else "", "support": 0.0 if convex else ""}
            runs.append([{**line, **own}.get(c, 0.25) for c in RUNS_HEADER])
            claims = [("residual", "best"), ("residual", "mean of values"), ("every w", "mean over t")]
            claims += [("convex", "best"), ("convex", "average"), ("smooth", "average of v_{t+1}")] if convex else []
            for statement, iterate in claims:
                found = {"statement": statement, "iterate": iterate, "left": 0.1, "bound": 0.3, "tightest": 0.5}
                statements.append([{**line, **found, "violated": "no"}.get(c, 0.3) for c in STATEMENTS_HEADER])
    lost = {"problem": "quadratic", "method": "BNN++", "verdict": "smooth", "mode": "none", "note": "F is not monotone"}
    lost |= {"schedule": "sqrt", "gradient": "exact", "seed": 0}
    summary.append([lost.get(c, "") if c != "steps" else 1000 for c in SUMMARY_HEADER])
    runs.append([lost.get(c, "") if c != "steps" else 1000 for c in RUNS_HEADER])
    write_csv(out / "convergence" / "summary.csv", SUMMARY_HEADER, summary)
    write_csv(out / "convergence" / "runs.csv", RUNS_HEADER, runs)
    write_csv(out / "convergence" / "statements.csv", STATEMENTS_HEADER, statements)
    write_companions(out)
    curves, ledger, results = [], [], []
    for k, (method, verdict) in enumerate((("BC", "smooth"), ("BNN+", "smooth/unprincipled"))):
        for seed in range(3):
            for epoch in range(1, 7):
                hard = 0.9 - 0.2 / epoch + 0.01 * seed
                curves.append([method, seed, epoch, 5.0, 1.0 / epoch, hard + 0.02 * k, hard])
                ledger.append([*(method, seed, epoch), *[0.5] * (len(train.LEDGER) - 3)])
                ledger[-1][train.LEDGER.index("closure_error")] = 1e-16 * epoch
                ledger[-1][train.LEDGER.index("flips")] = 10 * (seed + 1) ** 2
        results.append([method, verdict, 3, 0.88, 0.01, 0.88 + 0.02 * k, math.nan, ""])
    write_csv(out / "networks" / "curves.csv", train.CURVES, curves)
    write_csv(out / "networks" / "ledger.csv", train.LEDGER, ledger)
    write_csv(out / "networks" / "summary.csv", train.SUMMARY, results)


def write_companions(out: Path) -> None:
    """Exact runs, worst cases, dropped hypotheses, transforms and negative factors, made up."""
    folder = out / "convergence"
    write_csv(
        folder / "exact.csv",
        EXACT_COLUMNS,
        [
            ["plane", "BC", "advance", 25, 0, 0, 0.5, ""],
            ["plane", "BNN+", "", 25, "", "", "", "rational arithmetic needs polynomial pieces"],
        ],
    )
    worst: list[list[Any]] = []
    for n in (1, 2, 3):
        for setting, statement, iterate, step, ratio, holds in (
            ("smooth", "smooth", "average", "1/L", 1.0, "yes"),
            ("smooth", "smooth", "average", "1/(2L)", 0.6, "yes"),
            ("smooth", "smooth", "average", "2/L", 1.0 + n, "no"),
            ("smooth", "smooth, last iterate", "last", "1/L", 0.8, "yes"),
            ("pull", "convex", "best", "R/(M sqrt(n))", 1 - 0.1 * n, "yes"),
            ("PARQ", "last iterate, 2 + 3/2 ln T", "last", "R/(2G sqrt(t))", 0.5, "yes"),
            ("PARQ-2G", "last iterate, 2 + 3/2 ln T", "last", "R/(2G sqrt(t))", 1.2, "yes"),
        ):
            relation = "violated" if ratio > 1.0001 else "tight" if ratio > 0.999 else "upper"
            worst.append([setting, statement, iterate, n, step, 2.0, 2.0 * ratio, ratio, relation, 1e-9, holds])
    write_csv(folder / "worst_cases.csv", WORST_COLUMNS, worst)
    write_csv(
        folder / "hypotheses.csv",
        HYPOTHESIS_COLUMNS,
        [
            [
                "smooth",
                "eta_t <= 1/L",
                "quadratic, FP",
                "left/bound",
                0.4,
                3.5,
                "yes",
                "With eta = 5/(2L) it diverges.",
            ],
            ["smooth", "exact gradients", "plane, FP", "left/bound", 0.0, 0.5, "not found", "It was searched for."],
        ],
    )
    write_csv(
        folder / "transforms.csv", TRANSFORM_COLUMNS, [["tanh", "identity", "1", "quadratic", 3, 1000, 1e-15, 0.9]]
    )
    write_csv(
        folder / "negative.csv",
        NEGATIVE_COLUMNS,
        [
            [t, name, beta, 0.1 * k * (1 - 1 / t), 0.2 * k, 0.5 + k / t]
            for beta in ("1", "Min(1 + t/50, 10)")
            for k, name in enumerate(("tanh", "SS"))
            for t in range(1, 30)
        ],
    )


@pytest.fixture(scope="module")
def rows(results: Path) -> list[dict[str, Any]]:
    return read_verdicts(results / "catalogue.json", "")


@pytest.fixture(scope="module")
def made(results: Path) -> list[dict[str, Any]]:
    return read_verdicts(results / "synthesized.json", "")


@pytest.fixture(scope="module")
def out(results: Path) -> Path:
    """A folder with results, figures, tables and page."""
    return results


@pytest.fixture(scope="module")
def inputs(out: Path, rows: list[dict[str, Any]], made: list[dict[str, Any]]) -> Inputs:
    return Inputs(out, rows, made, NAMES)


NEW = ("bounds", "residual", "plane", "tightness", "hypotheses", "negative")
FIGURES = (*plots.SINGLE, "pair-bnn", "pair-bnn-plus", "pair-md-tanh")


# --------------------------------------------------------------------------- files


def pdf_streams(data: bytes) -> dict[int, tuple[bytes, bytes]]:
    """(dictionary, decoded stream) of every object of a PDF."""
    found = {}
    for match in re.finditer(rb"(\d+) 0 obj\n(.*?)\nendobj", data, re.S):
        head, _, body = match.group(2).partition(b"stream\n")
        body = body[: body.rfind(b"\nendstream")]
        found[int(match.group(1))] = (head, zlib.decompress(body) if b"FlateDecode" in head else body)
    return found


def pdf_text(data: bytes) -> str:
    """The text that a reader can select and search: codes read through the fonts' own Unicode tables."""
    objects = pdf_streams(data)
    tables_: dict[bytes, dict[int, str]] = {}
    for head, _ in objects.values():
        for name, number in re.findall(rb"/(F\d+) (\d+) 0 R", head):
            unicode_ = re.search(rb"/ToUnicode (\d+) 0 R", objects[int(number)][0])
            if unicode_ is None:
                continue
            codes: dict[int, str] = {}
            for first, _, values in re.findall(rb"<(\w+)> <(\w+)> \[(.*?)\]", objects[int(unicode_.group(1))][1]):
                for k, value in enumerate(re.findall(rb"<(\w+)>", values)):
                    codes[int(first, 16) + k] = bytes.fromhex(value.decode()).decode("utf-16-be")
            tables_[name] = codes
    text = ""
    for _, stream in objects.values():
        font: dict[int, str] = {}
        token = rb"/(F\d+) [\d.]+ Tf|\(((?:\\.|[^\\()])*)\)|(ET)"
        for name, string, end in re.findall(token, stream, re.S) if b" Tf" in stream else ():
            if name:
                font = tables_.get(name, {})
            elif end:
                text += "\n"
            else:
                raw = re.sub(
                    rb"\\(.)", lambda m: {b"n": b"\n", b"r": b"\r", b"t": b"\t"}.get(m[1], m[1]), string, flags=re.S
                )
                text += "".join(font.get(raw[i] * 256 + raw[i + 1], "?") for i in range(0, len(raw) - 1, 2))
    return text


def wrong_with_pdf(data: bytes) -> list[str]:
    heads = b"\n".join(head for head, _ in pdf_streams(data).values())
    found = []
    if heads.count(b"/FontFile2") == 0 or heads.count(b"/FontDescriptor") // 2 > heads.count(b"/FontFile2"):
        found.append("a font is not embedded as TrueType")
    if b"/Type3" in heads:
        found.append("a Type 3 font")
    found += [f"it holds {word.decode()}" for word in (b"/CreationDate", b"/ModDate", b"/Producer") if word in heads]
    return found


@pytest.mark.parametrize("name", FIGURES)
def test_a_pdf_has_embedded_fonts_and_no_date(out: Path, name: str) -> None:
    assert wrong_with_pdf((out / "figures" / f"{name}.pdf").read_bytes()) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("maps", ["BNN+", "unprincipled", "latent weight x", "forward F(x)", "\N{MINUS SIGN}1"]),
        ("pair-bnn", ["proximal map P(x)", "largest", "smallest"]),
        ("convergence", ["step t", "breast-cancer", "gap of the best iterate"]),
        ("accuracy", ["test accuracy after the last epoch (%)", "88.0 ± 1.0"]),
        ("bounds", ["gap / bound", "FP, quadratic", "BC, quadratic"]),
        ("residual", ["flips per step", "BNN"]),
        ("plane", ["latent u", "MD-tanh", "minimiser"]),
        ("tightness", ["worst case / bound", "smooth", "last iterate, 2 + 3/2 ln T"]),
        ("hypotheses", ["smooth: eta_t <= 1/L", "without: broken"]),
        ("negative", ["share of negative factors", "beta = 1"]),
    ],
)
def test_a_pdf_has_its_text_as_text(out: Path, name: str, words: list[str]) -> None:
    text = pdf_text((out / "figures" / f"{name}.pdf").read_bytes())
    assert [word for word in words if word not in text] == []


def test_a_pdf_of_another_kind_would_be_seen() -> None:
    figure = Figure(figsize=(2, 1))
    FigureCanvasAgg(figure)
    figure.subplots().set_title("Title")
    with matplotlib.rc_context({"pdf.fonttype": 3}):
        data = io.BytesIO()
        figure.savefig(data, format="pdf")
    found = wrong_with_pdf(data.getvalue())
    assert {"a Type 3 font", "a font is not embedded as TrueType", "it holds /CreationDate"} <= set(found)


@pytest.mark.parametrize("name", FIGURES)
def test_a_png_is_drawn_at_200_dpi_without_a_date(out: Path, name: str) -> None:
    with Image.open(out / "figures" / f"{name}.png") as image:
        assert [round(d) for d in image.info["dpi"]] == [200, 200]
        assert set(image.info) <= {"dpi", "Title"}


@pytest.mark.parametrize("name", ["maps", "convergence", "plane", "accuracy", "pair-bnn"])
def test_redrawing_from_the_csv_file_alone_gives_the_same_bytes(
    out: Path, inputs: Inputs, name: str, tmp_path: Path
) -> None:
    plot = built(inputs, name)
    table = Table.read((out / "figures" / f"{name}.csv").read_text())
    plots.Plot(name, plot.title, "", "", table, plot.draw).write(tmp_path)
    for kind in ("csv", "png", "pdf"):
        assert (tmp_path / f"{name}.{kind}").read_bytes() == (out / "figures" / f"{name}.{kind}").read_bytes()


def test_a_changed_csv_file_gives_another_picture(out: Path, inputs: Inputs, tmp_path: Path) -> None:
    plot = built(inputs, "pair-bnn")
    text = (out / "figures" / "pair-bnn.csv").read_text()
    changed = text.replace("BNN,lipschitz,forward,curve,1,2.5,1.0,", "BNN,lipschitz,forward,curve,1,2.5,0.5,")
    assert changed != text
    plots.Plot("pair-bnn", plot.title, "", "", Table.read(changed), plot.draw).write(tmp_path)
    assert (tmp_path / "pair-bnn.png").read_bytes() != (out / "figures" / "pair-bnn.png").read_bytes()


def test_another_process_with_other_settings_gives_the_same_bytes(out: Path, tmp_path: Path) -> None:
    """Another hash seed, another matplotlibrc, another folder, another minute: the same page and pictures."""
    (tmp_path / "matplotlibrc").write_text("font.size: 20\nlines.linewidth: 9\npdf.fonttype: 3\nsavefig.dpi: 30\n")
    copy = tmp_path / "copy"
    again = {"scheme", "atlas", "evolution", "ledger", "pair-bnn-plus"}
    for path in out.rglob("*"):
        # most figures are there, so that they are not drawn: a few of every kind are enough
        kept = path.parent.name == "figures" and path.stem not in again
        if kept or (path.suffix in {".csv", ".json"} and path.parent.name not in {"figures", "tables"}):
            (copy / path.relative_to(out)).parent.mkdir(parents=True, exist_ok=True)
            (copy / path.relative_to(out)).write_bytes(path.read_bytes())
    code = f"from pathlib import Path; from figures.report import redraw; redraw(Path({str(copy)!r}), [])"
    environment = {**os.environ, "PYTHONHASHSEED": "7", "MATPLOTLIBRC": str(tmp_path / "matplotlibrc")}
    environment |= {"LC_ALL": "C", "MPLBACKEND": "svg", "PYTHONPATH": str(ROOT)}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    files = sorted(p.relative_to(out) for p in out.rglob("*") if p.is_file())
    assert files == sorted(p.relative_to(copy) for p in copy.rglob("*") if p.is_file())
    assert [p for p in files if (out / p).read_bytes() != (copy / p).read_bytes()] == []


def test_drawing_leaves_the_callers_settings_alone(inputs: Inputs, tmp_path: Path) -> None:
    plot = built(inputs, "pair-bc")
    with matplotlib.rc_context({"font.size": 31.0}):
        plot.write(tmp_path)
        assert matplotlib.rcParams["font.size"] == 31.0
    assert "matplotlib.pyplot" not in sys.modules


# --------------------------------------------------------------------------- what is drawn


_built: dict[tuple[Path, str], plots.Plot] = {}
_drawn: dict[tuple[Path, str], Figure] = {}


def built(inputs: Inputs, name: str) -> plots.Plot:
    """A figure of the shared results, made once."""
    key = (inputs.out, name)
    if key not in _built:
        plot = plots.build(inputs, name)
        assert plot is not None
        _built[key] = plot
    return _built[key]


def drawn(inputs: Inputs, name: str) -> tuple[Table, Figure]:
    """Its table and its drawing in the style of a paper, drawn once: only to be looked at."""
    plot = built(inputs, name)
    with style.drawing():
        if (inputs.out, name) not in _drawn:
            _drawn[inputs.out, name] = plot.draw(plot.table)
    return plot.table, _drawn[inputs.out, name]


def points_of(figure: Figure) -> set[tuple[float, float]]:
    return {
        (float(x), float(y)) for axes in figure.axes for line in axes.lines for x, y in np.asarray(line.get_xydata())
    }


@pytest.mark.parametrize("name", ["maps", "pair-bnn", "pair-bnn-plus", "pair-md-tanh"])
def test_every_point_of_the_csv_file_is_in_the_picture(inputs: Inputs, name: str) -> None:
    table, figure = drawn(inputs, name)
    wanted = {(float(row["x"]), float(row["y"])) for row in table.rows if row["kind"] in {"curve", "tie", "limit"}}
    assert len(wanted) > 20
    assert wanted <= points_of(figure)


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("ledger", ("position", "largest_closure_error")),
        ("convergence", ("step", "value")),
        ("bounds", ("step", "gap")),
        ("bounds", ("step", "bound")),
        ("bounds", ("step", "ratio")),
        ("residual", ("step", "residual")),
        ("residual", ("step", "flips_per_step")),
        ("plane", ("x", "y")),
        ("tightness", ("n", "ratio")),
        ("negative", ("step", "negative")),
        ("negative", ("step", "mean_u")),
    ],
)
def test_every_value_of_the_csv_file_is_in_the_picture(inputs: Inputs, name: str, keys: tuple[str, str]) -> None:
    table, figure = drawn(inputs, name)
    wanted = {
        (float(r[keys[0]]), float(r[keys[1]])) for r in table.rows if float(r[keys[1]]) > 1e-10 or name == "ledger"
    }
    wanted = {p for p in wanted if p[1] > 0}
    assert len(wanted) > (5 if name == "tightness" else 20)
    assert wanted <= points_of(figure)


def test_the_bounds_figure_takes_the_statement_of_each_run(inputs: Inputs) -> None:
    table, _ = drawn(inputs, "bounds")
    assert {(r["method"], r["iterate"]) for r in table.rows} == {
        *(("BC", "best, residual bound"), ("BC", "mean of values, residual bound")),
        *(("FP", "best, convex bound"), ("FP", "average, convex bound")),
        ("FP", "average of v_{t+1}, smooth bound"),
    }
    for r in table.rows:
        assert float(r["ratio"]) == pytest.approx(float(r["gap"]) / float(r["bound"]))


def test_tightness_keeps_to_the_hypotheses(inputs: Inputs) -> None:
    table, _ = drawn(inputs, "tightness")
    assert {(r["step"], r["ratio"]) for r in table.where(setting="smooth", series="average")} == {("1/L", "1.0")}


def test_the_plane_has_the_proximal_points_where_they_are_others(inputs: Inputs) -> None:
    table, _ = drawn(inputs, "plane")
    kinds = {m: {r["kind"] for r in table.where(method=m)} for m in table.values("method") if m}
    assert kinds["BC"] == {"u", "w"}
    assert kinds["BNN++"] == {"u", "v", "w"}
    ends = {(float(r["x"]), float(r["y"])) for r in table.where(method="BC", kind="w")}
    assert ends <= {(a, b) for a in (-1.0, 1.0) for b in (-1.0, 1.0)}


def test_the_accuracy_of_a_seed_is_that_of_its_last_epoch(inputs: Inputs) -> None:
    table, _ = drawn(inputs, "accuracy")
    found = {r["seed"]: float(r["hard"]) for r in table.where(method="BC") if r["seed"] != "all"}
    assert found == {str(seed): 0.9 - 0.2 / 6 + 0.01 * seed for seed in range(3)}
    best = [float(r["hard"]) for r in table.rows if r["seed"] == "all"]
    assert best == sorted(best, reverse=True)


def test_flips_are_shown_per_step(inputs: Inputs) -> None:
    table, _ = drawn(inputs, "residual")
    for r in table.rows:
        assert float(r["flips_per_step"]) == (int(r["step"]) // 2) / int(r["step"])


def test_the_bars_of_the_accuracy_are_one_deviation(inputs: Inputs) -> None:
    _, figure = drawn(inputs, "accuracy")
    bars = [segment[:, 0] for c in figure.axes[0].collections for segment in c.get_segments()]
    assert len(bars) == 2
    for low, high in bars:
        assert (low, high) == (pytest.approx(87), pytest.approx(89))  # 0.88 and 0.01 of the summary


@pytest.mark.parametrize("name", ["pair-md-tanh", "synthesized-tanh-of-soft-threshold"])
def test_every_panel_shows_the_map_of_its_title(inputs: Inputs, name: str) -> None:
    table, figure = drawn(inputs, name)
    titles = {"forward": "forward $F(x)$", "backward": "backward $B(x)$", "prox": "proximal map $P(x)$"}
    for key, title in {**titles, "transform": "transform $T(v)$"}.items():
        (axes,) = (a for a in figure.axes if a.get_title() == title)
        there = {(float(x), float(y)) for line in axes.lines for x, y in np.asarray(line.get_xydata())}
        wanted = {(float(r["x"]), float(r["y"])) for r in table.where(map=key) if r["kind"] != "infinite"}
        assert wanted <= there
        assert len(there - wanted) <= 4  # the two axes of coordinates
        assert axes.get_xlabel() == ("proximal point $v$" if key == "transform" else "latent weight $x$")


def coloured(axes: Axes) -> dict[str, set[tuple[float, float]]]:
    """The points of the lines of each colour."""
    found: dict[str, set[tuple[float, float]]] = {}
    for line in axes.lines:
        points = {(float(x), float(y)) for x, y in np.asarray(line.get_xydata())}
        found.setdefault(str(line.get_color()), set()).update(points)
    return found


def test_legends_name_the_lines_that_they_stand_for(inputs: Inputs) -> None:
    table, figure = drawn(inputs, "evolution")
    for axes, panel in zip(figure.axes, table.values("panel"), strict=True):
        legend, lines = axes.get_legend(), coloured(axes)
        assert legend is not None
        labels = {t.get_text(): str(h.get_color()) for t, h in zip(legend.texts, legend.legend_handles, strict=True)}
        for value in dict.fromkeys(r["value"] for r in table.where(panel=panel)):
            (color,) = (c for label, c in labels.items() if label.endswith(f" = {value}"))
            wanted = {(float(r["x"]), float(r["y"])) for r in table.where(panel=panel, value=value)}
            assert wanted == lines[color]
    table, figure = drawn(inputs, "curves")
    (axes,) = (a for a in figure.axes if a.get_title().startswith("BNN+"))
    assert axes.get_title().endswith("smooth/unprincipled")
    for kind, color in (("hard", style.BLUE), ("soft", style.ORANGE)):
        rows = table.where(method="BNN+", kind=kind)
        assert coloured(axes)[color] == {(float(r["epoch"]), 100 * float(r["mean"])) for r in rows}
    _, figure = drawn(inputs, "pair-bc")
    labels_of_r = {t.get_text() for legend in figure.legends for t in legend.get_texts()}
    assert labels_of_r >= {"largest r", "smallest r", "largest r = +∞", "smallest r = +∞", "stated value", "limit"}


def test_vertical_lines_mark_the_witness(inputs: Inputs) -> None:
    _, figure = drawn(inputs, "pair-bnn-plus")
    for axes in figure.axes[:2]:
        marks = [line for line in axes.lines if line.get_color() == style.BLACK]
        assert {float(np.asarray(line.get_xdata())[0]) for line in marks} == {-0.5, -0.25}


def test_every_map_has_its_own_dead_zones(inputs: Inputs) -> None:
    _, figure = drawn(inputs, "maps")
    spans = {a.get_title()[2:]: {(p.get_x(), p.get_x() + p.get_width()) for p in a.patches} for a in figure.axes}
    assert {name: spans[name] for name in NAMES} == {**{n: set() for n in NAMES}, "BNN": {(-2.5, -1), (1, 2.5)}}


def test_hypotheses_are_drawn_with_and_without(inputs: Inputs) -> None:
    _, figure = drawn(inputs, "hypotheses")
    last = {line.get_color() for line in figure.axes[0].lines if 3.5 in line.get_xdata() and len(line.get_xdata()) == 1}
    assert last == {style.VERMILLION}  # the one that breaks
    assert {(0.4, 1.0), (3.5, 1.0), (1e-3, 0.0), (0.5, 0.0)} <= points_of(figure)


def test_contours_are_level_sets_of_f(inputs: Inputs) -> None:
    from verify.problems import problem

    table, _ = drawn(inputs, "plane")
    contours = [r for r in table.rows if r["kind"].startswith("contour")]
    assert len(contours) > 200
    for r in contours:
        value = problem("plane").value(np.array([float(r["x"]), float(r["y"])]))
        assert float(value) == pytest.approx(float(r["kind"].split()[1]), rel=1e-9)


def test_ties_are_filled_and_limits_open(inputs: Inputs) -> None:
    _, figure = drawn(inputs, "pair-bc")
    forward = figure.axes[0]
    marks = {
        (float(x), float(y)): line.get_markerfacecolor() == "white"
        for line in forward.lines
        if line.get_marker() == "o"
        for x, y in np.asarray(line.get_xydata())
    }
    assert marks == {(0.0, 0.0): False, (0.0, -1.0): True, (0.0, 1.0): True}


def test_means_and_deviations_are_those_of_the_seeds(inputs: Inputs) -> None:
    plot = built(inputs, "curves")
    last = plot.table.where(method="BC", epoch="6", kind="hard")[0]
    values = [0.9 - 0.2 / 6 + 0.01 * seed for seed in range(3)]
    assert float(last["mean"]) == pytest.approx(np.mean(values))
    assert float(last["std"]) == pytest.approx(np.std(values, ddof=1))


def test_the_ledger_figure_shows_the_largest_error_so_far(inputs: Inputs) -> None:
    plot = built(inputs, "ledger")
    errors = [float(r["largest_closure_error"]) for r in plot.table.where(part="quadratic", run="BNN")]
    assert errors == sorted(errors)
    assert errors[-1] == pytest.approx(1e-14)


def outside(figure: Figure) -> list[tuple[float, float]]:
    """Points of lines that lie above their frame."""
    return [
        (float(x), float(y))
        for axes in figure.axes
        for line in axes.lines
        for x, y in np.asarray(line.get_xydata())
        if y > axes.get_ylim()[1]
    ]


def test_a_ledger_that_breaks_does_not_look_closed(out: Path, inputs: Inputs, tmp_path: Path) -> None:
    path = tmp_path / "networks" / "ledger.csv"
    for name in ("summary", "curves", "ledger"):
        write_text(tmp_path / "networks" / f"{name}.csv", (out / "networks" / f"{name}.csv").read_text())
    sound = path.read_text()
    for error, caption, alt in (
        ("nan", "an error is no number: that ledger broke", "not all below"),
        ("0.5", "the largest error is 5.0e-01", "not all below"),
        ("1e-15", "the largest error is 1.0e-15", "lie below"),
    ):
        lines = sound.splitlines(keepends=True)  # the second of three seeds, in the last epoch but one
        at = [k for k, line in enumerate(lines) if ",5e-16," in line][1]
        lines[at] = lines[at].replace(",5e-16,", f",{error},")
        path.write_text("".join(lines))
        plot = plots.build(Inputs(tmp_path), "ledger")
        assert plot is not None
        assert caption in plot.caption
        assert alt in plot.alt
        last = float(plot.table.where(run="BC")[-1]["largest_closure_error"])
        assert math.isnan(last) if error == "nan" else last == max(float(error), 6e-16)
        with style.drawing():
            assert outside(plot.draw(plot.table)) == []


@pytest.mark.parametrize(("name", "keys"), [("bounds", ("gap", "ratio")), ("convergence", ("value",))])
def test_a_broken_bound_stays_in_the_frame(inputs: Inputs, name: str, keys: tuple[str, ...]) -> None:
    plot = built(inputs, name)
    for value in ("5e3", "inf"):
        rows = [{**row, **dict.fromkeys(keys, value)} if k % 9 == 0 else row for k, row in enumerate(plot.table.rows)]
        with style.drawing():
            figure = plot.draw(Table(plot.table.header, tuple(rows)))
            assert [p for p in outside(figure) if math.isfinite(p[1])] == []
            assert (5000.0 in {y for _, y in points_of(figure)}) == (value == "5e3")


# --------------------------------------------------------------------------- can it be read?


def texts_of(axes: Axes) -> list[Text]:
    found = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    for axis in (axes.xaxis, axes.yaxis):
        along = axis.get_transform().transform  # of a logarithmic axis the edges lie far apart
        low, high = sorted(along(np.array(axis.get_view_interval(), dtype=float)))
        edge = 1e-9 * (high - low)
        ticks = [t for t in axis.get_major_ticks() if low - edge <= along(np.array([t.get_loc()]))[0] <= high + edge]
        found += [t.label1 for t in ticks if t.label1.get_visible()]
    return [t for t in found if t.get_visible() and t.get_text().strip()]


def wrong_with_layout(figure: Figure) -> list[str]:
    """Texts that leave the figure, texts that overlap, axes without names, legends without entries."""
    figure.draw_without_rendering()
    found = []
    boxes: list[tuple[str, Any]] = []
    for axes in figure.axes:
        # axes that are off still draw the texts laid on them: those of a diagram
        inside = texts_of(axes) if axes.axison else [t for t in axes.texts if t.get_text().strip()]
        boxes += [(t.get_text(), t.get_window_extent()) for t in inside]
    shared = [t for t in figure.texts if t.get_text().strip()]
    boxes += [(t.get_text(), t.get_window_extent()) for t in shared]
    for legend in [*figure.legends, *(inner for a in figure.axes if (inner := a.get_legend()))]:
        words = legend.get_texts()
        if not words or not all(w.get_text().strip() for w in words):
            found.append("an empty legend")
        if legend in figure.legends or not legend.axes.axison:  # in a panel it may lie on its curves
            boxes += [(w.get_text(), w.get_window_extent()) for w in words]
    for t in figure.findobj(Text):
        if t.get_visible() and t.get_text().strip() and contrast(to_hex(t.get_color()), "#FFFFFF") < 4.5:
            found.append(f"{t.get_text()!r} is too pale")
    frame = figure.bbox
    for text, box in boxes:
        if box.x0 < frame.x0 - 1 or box.y0 < frame.y0 - 1 or box.x1 > frame.x1 + 1 or box.y1 > frame.y1 + 1:
            found.append(f"{text!r} is clipped")
    for (a, p), (b, q) in combinations(boxes, 2):
        if min(p.x1, q.x1) - max(p.x0, q.x0) > 2 and min(p.y1, q.y1) - max(p.y0, q.y0) > 2:
            found.append(f"{a!r} overlaps {b!r}")
    for axes in figure.axes:
        shown = axes.axison and (axes.lines or axes.collections)
        spec = axes.get_subplotspec()
        if not shown or spec is None:
            continue  # axes over the whole figure are the canvas of a diagram
        for_all = figure.get_supxlabel(), figure.get_supylabel()  # one name for every panel
        if any(t.label1.get_visible() for t in axes.xaxis.get_major_ticks()) and not (axes.get_xlabel() or for_all[0]):
            found.append("an x axis without a name")
        named = axes.get_ylabel() or "$" in axes.get_title() or any(t.get_text() for t in axes.get_yticklabels())
        if for_all[1]:
            continue
        if not named and spec.is_first_col():
            found.append("a y axis without a name")
        numbers_only = all(re.fullmatch(r"[\d.,\N{MINUS SIGN}-]*|\$.*\$", t.get_text()) for t in axes.get_yticklabels())
        if spec.is_first_col() and numbers_only and not axes.get_ylabel() and "$" not in axes.get_title():
            found.append("a y axis without a name")
    return found


@pytest.mark.parametrize("name", [*FIGURES, "pair-bc", "synthesized-tanh-of-soft-threshold"])
def test_nothing_overlaps_is_clipped_or_lacks_a_name(inputs: Inputs, name: str) -> None:
    plot = built(inputs, name)
    # each of these is laid out like one of the others
    like_another = name in {"residual", "negative", "ledger", "training", "family", "pair-bnn", "pair-bc"}
    looks = [("paper", style.WIDTHS), ("talk", {1: 6.125, 2: 12.6})]
    for look, columns in looks[:1] if like_another else looks:
        with style.drawing(look):
            figure = drawn(inputs, name)[1] if look == "paper" else plot.draw(plot.table)
            assert wrong_with_layout(figure) == [], look
            assert figure.get_size_inches()[0] == pytest.approx(columns[plot.columns])


@pytest.mark.parametrize("look", style.STYLES)
def test_the_names_of_all_repairs_fit_beside_a_refuted_pair(inputs: Inputs, look: str) -> None:
    """The legend lies in axes of its own, that are off; the shipped names, the longest of them three at a time."""
    row = next(row for row in inputs.catalogue if row["repairs"])
    names = sorted((name for name, *_ in WAYS), key=len)[-3:]
    repairs = [{**row["repairs"][0], "name": name} for name in names]
    plot = plots.pair({**row, "repairs": repairs}, "pair-refuted")
    with style.drawing(look):
        assert wrong_with_layout(plot.draw(plot.table)) == []
        figure = plot.draw(plot.table)
        figure.axes[-1].get_legend().get_texts()[2].set_text("repair: integrate the backward map")  # unwrapped
        assert any("clipped" in complaint for complaint in wrong_with_layout(figure))


def spoil_label(figure: Figure) -> None:
    for axes in figure.axes:
        axes.set_xlabel("")


def spoil_title(figure: Figure) -> None:
    figure.set_layout_engine("none")
    figure.axes[0].set_title("far too long a title " * 20)


def spoil_overlap(figure: Figure) -> None:
    for _ in range(2):
        figure.axes[0].text(0.5, 0.5, "in the way", transform=figure.axes[0].transAxes)


def spoil_legend(figure: Figure) -> None:
    figure.axes[0].legend(handles=[])


def spoil_colour(figure: Figure) -> None:
    figure.axes[0].text(0.5, 0.5, "pale", color=style.VERMILLION, transform=figure.axes[0].transAxes)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (spoil_label, "without a name"),
        (spoil_title, "clipped"),
        (spoil_overlap, "overlaps"),
        (spoil_legend, "empty legend"),
        (spoil_colour, "too pale"),
    ],
)
def test_a_spoiled_layout_would_be_seen(inputs: Inputs, spoil: Callable[[Figure], None], words: str) -> None:
    with style.drawing():
        plot = built(inputs, "ledger")
        figure = plot.draw(plot.table)
        spoil(figure)
        assert any(words in w for w in wrong_with_layout(figure))


def test_lines_differ_without_colour() -> None:
    chosen = style.line_styles([f"m{i}" for i in range(24)])
    assert len({(s.color, s.dash, s.marker) for s in chosen.values()}) == 24
    assert len({(s.dash, s.marker) for s in list(chosen.values())[:8]}) == 8
    assert len({s.color for s in list(chosen.values())[:8]}) == 8
    assert all(contrast(s.color, "#FFFFFF") > 2 for s in chosen.values())


def test_a_method_keeps_its_line_in_every_figure() -> None:
    order = ("FP", "BC", "PC", "BNN")
    some = style.line_styles(["BNN", "BC"], order)
    every = style.line_styles(["FP", "BC", "BNN"], order)
    assert some["BC"] == every["BC"]
    assert some["BNN"] == every["BNN"]
    assert style.line_styles(["a", "b"]) != style.line_styles(["b", "a"])


# --------------------------------------------------------------------------- sampling


def test_ties_and_limits_are_those_stated() -> None:
    points = trace(read_map("Piecewise((1, Abs(x) <= 1), (0, True))"), -2.0, 2.0)
    assert {(p.kind, p.x, p.y) for p in points if p.kind != "curve"} == {
        *(("tie", -1.0, 1.0), ("tie", 1.0, 1.0)),
        *(("limit", -1.0, 0.0), ("limit", 1.0, 0.0)),
    }


def test_a_continuous_map_has_no_marks() -> None:
    assert {p.kind for p in trace(read_map("clip(x, -1, 1)"), -2.0, 2.0)} == {"curve"}


def test_infinite_pieces_are_kept_as_such() -> None:
    points = trace(read_map("Piecewise((oo, x < 0), (x, True))"), -1.0, 1.0)
    assert [(p.x, p.y) for p in points if p.kind == "infinite"] == [(-1.0, math.inf), (0.0, math.inf)]
    assert not any(p.kind == "curve" and p.x < 0 for p in points)


def farthest_chord(points: list[tuple[float, float]], f: Callable[[Any], Any]) -> float:
    xs, ys = map(np.array, zip(*points, strict=True))
    dense = np.linspace(xs[0], xs[-1], 20_001)
    return float(np.max(np.abs(np.interp(dense, xs, ys) - f(dense))))


@pytest.mark.parametrize(
    "text", ["tanh(20*x)", "5*(2 - 5*x*tanh(5*x/2))/(1 + cosh(5*x))", "x**3/4 - x", "erf(3*x - 1)"]
)
def test_chords_stay_on_the_curve(text: str) -> None:
    m = read_map(text)
    f = lower(m)
    points = [(p.x, p.y) for p in trace(m, -2.5, 2.5)]
    height = max(y for _, y in points) - min(y for _, y in points)
    assert farthest_chord(points, f) < 0.004 * height
    assert farthest_chord(points[::8] + points[-1:], f) > 0.004 * height  # the mutant: too few points
    assert len(points) < 1500


# --------------------------------------------------------------------------- names, and what is missing


def test_figure_names_are_distinct_and_plain(rows: list[dict[str, Any]]) -> None:
    same = [{**rows[0], "name": name} for name in ("A b", "A-b", "BNN", "BNN+", "BNN++", "./..", "é")]
    found = plots.pair_names(Inputs(Path(), same))
    assert len(set(found)) == len(same)
    assert all(re.fullmatch(r"[a-z0-9-]+", name) for name in found)


def run_figures(*words: str) -> int:
    return proxpair.main(["figures", *words])


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "proxpair paper"),
        (["maps"], "proxpair paper"),
        (["pair-bnn"], "proxpair paper"),
        (["convergence"], "proxpair converge"),
        (["ledger"], "proxpair converge"),
        *(([name], "proxpair converge") for name in ("bounds", "residual", "plane")),
        (["tightness"], "proxpair worst-case"),
        (["hypotheses"], "proxpair hypotheses"),
        (["negative"], "proxpair transforms"),
        (["curves"], "proxpair train"),
        (["accuracy"], "proxpair train"),
        (["nothing"], "scheme, atlas, maps"),
        (["training"], "proxpair train"),
        (["atlas"], "proxpair paper"),
    ],
)
def test_missing_results_name_the_command_that_makes_them(
    names: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_figures(*names, "--out", str(tmp_path / "none")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("names", [[], ["scheme"], ["curves"], ["report"]])
def test_a_folder_that_is_none_is_refused(
    names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("mine")
    monkeypatch.chdir(tmp_path)
    words = ["report"] if names == ["report"] else ["figures", *names]
    for out, message in (
        ("file", "a folder was expected"),
        ("file/out", "a folder was"),
        ("a" * 300, "name of a file"),
    ):
        assert proxpair.main([*words, "--out", out]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1
        assert message in captured.err
    assert [p.name for p in tmp_path.iterdir()] == ["file"]
    assert (tmp_path / "file").read_text() == "mine"


def test_the_command_redraws_one_figure(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "catalogue.json").write_bytes((out / "catalogue.json").read_bytes())
    assert run_figures("pair-bnn-plus", "--out", str(tmp_path)) == 0
    assert str(tmp_path / "figures" / "pair-bnn-plus.png") in capsys.readouterr().out
    for kind in ("png", "pdf", "csv"):
        name = f"figures/pair-bnn-plus.{kind}"
        assert (tmp_path / name).read_bytes() == (out / name).read_bytes()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[1]",
        '{"a": 1}',
        '[{"name": "a"}]',
        '[{"name": "a", "forward": "x", "backward": "1", "verdict": "good"}]',
    ],
)
def test_broken_verdicts_are_refused(text: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "catalogue.json", text)
    with pytest.raises(InputError, match=r"catalogue\.json"):
        read_verdicts(path, "proxpair paper")


@pytest.mark.parametrize("text", ["", "a,b\n", "a\n1\n", "a,b\n1\n", "a,b\n1,x\n", "a,b\n1,nan\n"])
def test_broken_results_are_refused(text: str, tmp_path: Path) -> None:
    path = write_text(tmp_path / "summary.csv", text)
    with pytest.raises(InputError, match="proxpair converge"):
        read_table(path, ("a", "b"), "proxpair converge", ("b",))


def test_sound_results_are_read(tmp_path: Path) -> None:
    path = write_text(tmp_path / "summary.csv", "a,b\nx,1e-3\n")
    assert read_table(path, ("a", "b"), "", ("b",)).rows == ({"a": "x", "b": "1e-3"},)


def test_runs_without_any_ledger_are_drawn(out: Path, tmp_path: Path) -> None:
    for name in ("networks/summary.csv", "networks/curves.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((out / name).read_bytes())
    write_csv(tmp_path / "networks" / "ledger.csv", train.LEDGER, [])
    assert plots.build(Inputs(tmp_path), "ledger") is None
    assert plots.build(Inputs(tmp_path), "accuracy") is not None


def test_an_incomplete_run_writes_nothing(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("catalogue.json", "synthesized.json", "networks/summary.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes((out / name).read_bytes())
    assert run_figures("--out", str(tmp_path)) == 2
    assert "curves.csv is missing" in capsys.readouterr().err
    assert not (tmp_path / "figures").exists()


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("repairs", [1]),
        ("repairs_unfinished", [1]),
        ("repairs", [{"name": "a"}]),
        ("params", []),
        ("prox", 3),
        ("regularizer", "0"),
        ("witness", "x"),
    ],
)
def test_rows_of_another_shape_are_refused(rows: list[dict[str, Any]], key: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"entry 1"):
        report.build(tmp_path, [{**rows[0], key: value}], [])


def test_a_pair_without_closed_form_is_drawn_with_a_note(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    implicit = {**rows[3], "transform": None, "regularizer": {"largest": None, "smallest": None}}
    implicit["implicit"] = {"transform": "the inverse of a sum", "regularizer": "its integral"}
    wavy = {
        **rows[2],
        "name": "BiPer",
        "forward": "sign(sin(x))",
        "backward": "1",
        "verdict": "undecided",
        "params": {},
    }
    inputs = Inputs(tmp_path, [implicit, wavy])
    render.draw_all(inputs, ["pair-md-tanh", "pair-biper"], tmp_path / "figures", ("pdf",))
    assert "the inverse of a sum" in report.write_pages(inputs, {}).read_text()
    assert "no closed form" in pdf_text((tmp_path / "figures" / "pair-md-tanh.pdf").read_bytes())
    assert "note" in (tmp_path / "figures" / "pair-biper.csv").read_text()
