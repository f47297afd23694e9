"""The report on the small networks: its numbers are those of runs.csv, and what is not sound is refused."""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from page_checks import Page, wrong_with_latex, wrong_with_page
from scipy import stats
from test_figures import pdf_text, points_of, wrong_with_layout, wrong_with_pdf

import proxpair
from figures import networks, page, page_index
from figures.data import Inputs, Table
from figures.style import drawing
from theory.errors import InputError
from theory.files import csv_text, write_text
from verify import campaign, datasets
from verify.experiments import Experiment

ROOT = Path(__file__).resolve().parent.parent
NOTE = "JPEG re-encoding (lossy) of <CIFAR-10> & 5 % of $x_1$; not comparable with published figures"
METHODS = ("FP", "rPC", "BC", "BNN+", "BNN++")
VERDICTS = {"rPC": "other update", "BNN+": "smooth/unprincipled"}
SEEDS = 5
FULL = np.array([0.90, 0.91, 0.92, 0.93, 0.94])
SCORES = {
    "one": {
        "FP": FULL,
        "rPC": np.subtract(FULL, [0.030, 0.001, 0.040, 0.006, 0.036]),  # below 0.05 alone, not after Holm
        "BC": np.subtract(FULL, [0.050, 0.052, 0.048, 0.051, 0.049]),
        "BNN+": np.subtract(FULL, [0.20, 0.21, 0.19, 0.205, 0.195]),
        "BNN++": np.subtract(FULL, [0.048, 0.053, 0.049, 0.053, 0.046]),
    },
    "two": {
        "FP": FULL,
        "rPC": np.add(FULL, [0.010, 0.012, 0.011, 0.009, 0.010]),
        "BC": FULL - 0.05,  # one difference for all seeds
        "BNN+": np.add(FULL, [0.01, -0.01, 0.02, -0.02, 0.0]),
        "BNN++": np.add(FULL, [-0.01, 0.01, 0.02, -0.02, 0.01]),
    },
}
PLANNED = (
    *((name, "FP") for name in METHODS[1:]),
    *((name, "BC") for name in ("rPC", "BNN+", "BNN++")),
    ("BNN++", "BNN+"),
)


# --------------------------------------------------------------------------- results to report on


def experiments(methods: tuple[str, ...] = METHODS) -> list[Experiment]:
    one = Experiment("one", "digits", "mlp", 8, "weights", "scratch", 4, 20, (2.0, 8.0, 32.0), 0.05, methods=methods)
    return [one, replace(one, name="two", data="cifar10", task="weights+activations", start="one", pool=2, train=400)]


def scores_of(e: Experiment, name: str) -> np.ndarray:
    return SCORES[e.name][name]


def write_results(
    folder: Path, declared: list[Experiment], scores: Callable[[Experiment, str], np.ndarray] = scores_of
) -> Path:
    """The files of a profile with the given accuracies, and everything else made up."""
    runs: list[list[Any]] = []
    curves: list[list[Any]] = []
    ledger: list[list[Any]] = []
    for e in declared:
        for m, name in enumerate(e.methods):
            best = e.rates[-1] if name == "BC" else e.rates[1]
            for rate in e.rates:
                valid = 0.9 if rate == best or (name == "rPC" and rate > best) else 0.8  # of two the smaller
                head = [e.name, name, "tune", rate, 1_000_000, valid, math.nan, math.nan, 0.1]
                runs.append([*head, 1000, "", "", 10, math.nan, math.nan, ""])
            for k, test in enumerate(scores(e, name)):
                sizes = [8000, 8000] if name == "FP" else [1000, 8000]
                account = [math.nan, math.nan] if name == "rPC" else [0.25 * (name == "BNN+"), 1e-8 * (1 + k)]
                head = [e.name, name, "final", best, k, 0.9, float(test), float(test) - 0.01, 0.1]
                runs.append([*head, 1000, *sizes, 100 * e.epochs, *account, ""])
                for epoch in range(1, e.epochs + 1):
                    curves.append([e.name, name, k, epoch, (m + 1) / epoch, 0.9 - 0.1 / epoch, 100])
                    if name != "rPC":
                        size = 100.0 * epoch
                        terms = [0.3 * size - 0.5 * size + 1e-8 * size, 0.0, 0.5 * size, 0.3 * size, size]
                        gap = abs(terms[0] - (terms[1] - terms[2] + terms[3])) / size
                        ledger.append([e.name, name, k, 20 * epoch, *terms, gap, 0.1, 0.0, 0.0])
    study = {
        "profile": "quick",
        "command": "proxpair train --profile quick --seed 0",
        "seed": 0,
        "device": "cpu",
        "versions": {"proxpair": "0", "torch": "2"},
        "experiments": [e.declaration for e in declared],
        "data": {
            e.name: {
                "sha256": "ab" * 32,
                "note": NOTE if e.data == "cifar10" else "",
                "images": [400, 100, 1234],
                "shape": [1, 8, 8],
            }
            for e in declared
        },
        "methods": {
            name: {"verdict": VERDICTS.get(name, "smooth"), "origin": "published", "witness": ""}
            for e in declared
            for name in e.methods
        },
    }
    write_text(folder / "runs.csv", csv_text(campaign.RUNS, runs))
    write_text(folder / "curves.csv", csv_text(campaign.CURVES, curves))
    write_text(folder / "ledger.csv", csv_text(campaign.LEDGER, ledger))
    write_text(folder / "study.json", json.dumps(study))
    return folder


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with results and their report."""
    folder = tmp_path_factory.mktemp("results")
    made = networks.write(write_results(folder / "networks" / "quick", experiments()), folder)
    assert made[0] == folder / "networks-quick.html"
    assert all(path.is_file() for path in made)
    return folder


@pytest.fixture
def copy(out: Path, tmp_path: Path) -> Path:
    """The results alone, to spoil."""
    place = tmp_path / "networks" / "quick"
    place.mkdir(parents=True)
    for path in (out / "networks" / "quick").iterdir():
        if path.suffix in (".csv", ".json"):
            shutil.copy(path, place)
    return place


def text_of(out: Path) -> str:
    return (out / "networks-quick.html").read_text()


class Tables(HTMLParser):
    """Each table as (caption, rows of cells as text)."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, list[list[str]]]] = []
        self.at = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "table":
            self.found.append(("", []))
        elif tag == "tr":
            self.found[-1][1].append([])
        elif tag in ("td", "th"):
            self.found[-1][1][-1].append("")
        if tag in ("td", "th", "caption"):
            self.at = tag

    def handle_endtag(self, tag: str) -> None:
        if tag == self.at:
            self.at = ""

    def handle_data(self, data: str) -> None:
        caption, rows = self.found[-1] if self.found else ("", [])
        if self.at == "caption":
            self.found[-1] = (caption + data, rows)
        elif self.at:
            rows[-1][-1] += data

    def of(self, start: str) -> tuple[str, list[list[str]]]:
        caption, rows = next((c, r) for c, r in self.found if c.startswith(start))
        return caption, rows[1:]


# --------------------------------------------------------------------------- numbers, by other means


def minus(text: str) -> str:
    return text.replace("-", "\N{MINUS SIGN}")


def p_text(p: float) -> str:
    return "< 0.0001" if p < 1e-4 else f"{p:.2g}"


def adjusted(p: list[float]) -> list[float]:
    """Holm's correction by its definition: of the m - j smallest left, one after the other."""
    order = sorted(range(len(p)), key=p.__getitem__)
    found = [0.0] * len(p)
    for j, i in enumerate(order):
        found[i] = max([min(1.0, (len(p) - j) * p[i]), *(found[k] for k in order[:j])])
    return found


def expected_rows(experiment: str) -> list[list[str]]:
    """The table of planned comparisons as it must read."""
    rows = []
    tests = []
    for first, second in PLANNED:
        d = np.round(SCORES[experiment][first] - SCORES[experiment][second], 12)
        same = np.ptp(d) == 0
        p = 0.0 if same else float(stats.ttest_1samp(d, 0).pvalue)
        sums = [abs(np.dot(s, d)) for s in itertools.product((1, -1), repeat=SEEDS)]
        exact = float(np.mean([s >= abs(d.sum()) - 1e-12 for s in sums]))
        half = float(stats.t.ppf(0.975, SEEDS - 1)) * d.std(ddof=1) / math.sqrt(SEEDS)
        low, high = d.mean() - half, d.mean() + half
        rows.append(
            [
                *(first, second, str(SEEDS), minus(f"{100 * d.mean():+.2f}")),
                *(minus(f"[{100 * low:.2f}, {100 * high:.2f}]"), p_text(p), p_text(exact)),
            ]
        )
        tests.append((p, d.mean()))
    for row, q, (_, mean) in zip(rows, adjusted([p for p, _ in tests]), tests, strict=True):
        row += [p_text(q), "not significant" if q > 0.05 else "better" if mean > 0 else "worse"]
    return rows


def wrong_with_numbers(text: str) -> list[str]:
    """Where the tables of a page differ from numbers computed here."""
    tables = Tables(text)
    found = []
    for experiment, scores in SCORES.items():
        _, rows = tables.of(f"{experiment}: test accuracy")
        for row, name in zip(rows, METHODS, strict=True):
            x = scores[name]
            half = float(stats.t.ppf(0.975, SEEDS - 1)) * x.std(ddof=1) / math.sqrt(SEEDS)
            wanted = [
                name,
                f"{100 * x.mean():.2f} ± {100 * x.std(ddof=1):.2f}",
                f"[{100 * (x.mean() - half):.2f}, {100 * (x.mean() + half):.2f}]",
                f"{100 * x.mean() - 1:.2f} ± {100 * x.std(ddof=1):.2f}",
                "1.00" if name == "FP" else "8.00",
            ]
            if [row[i] for i in (0, 5, 6, 7, 8)] != wanted:
                found.append(f"{experiment}: {row} is not {wanted}")
        _, rows = tables.of(f"{experiment}: the planned comparisons")
        for row, wanted in itertools.zip_longest(rows, expected_rows(experiment)):
            if row != wanted:
                found.append(f"{experiment}: {row} is not {wanted}")
    return found


def test_the_tables_are_those_of_the_runs(out: Path) -> None:
    assert wrong_with_numbers(text_of(out)) == []
    answers = {(e, *row[:2]): row[-1] for e in SCORES for row in expected_rows(e)}
    assert answers["one", "BC", "FP"] == "worse"
    assert answers["one", "BNN++", "BNN+"] == "better"
    assert answers["one", "rPC", "FP"] == "not significant"  # alone it would be significant
    assert answers["two", "BC", "FP"] == "worse"
    assert answers["two", "rPC", "FP"] == "better"


def swapped(summary: list[list[Any]], paired: list[list[Any]]) -> None:
    at = campaign.PAIRED.index("mean")
    for row in paired:
        row[at] = -row[at]


def without_holm(summary: list[list[Any]], paired: list[list[Any]]) -> None:
    names = {name: i for i, name in enumerate(campaign.PAIRED)}
    for row in paired:
        if row[names["p"]] <= 0.05:
            row[names["p_holm"]] = row[names["p"]]
            row[names["answer"]] = "better" if row[names["mean"]] > 0 else "worse"


def answers_swapped(summary: list[list[Any]], paired: list[list[Any]]) -> None:
    for row in paired:
        row[-1] = {"better": "worse", "worse": "better"}.get(row[-1], row[-1])


def soft_for_hard(summary: list[list[Any]], paired: list[list[Any]]) -> None:
    names = {name: i for i, name in enumerate(campaign.SUMMARY)}
    for row in summary:
        row[names["test_mean"]] = row[names["soft_mean"]]


@pytest.mark.parametrize("spoil", [swapped, without_holm, answers_swapped, soft_for_hard])
def test_a_wrong_table_would_be_seen(out: Path, monkeypatch: pytest.MonkeyPatch, spoil: Callable[..., None]) -> None:
    def planted(folder: Path) -> tuple[list[list[Any]], list[list[Any]]]:
        tables = campaign.tabulate(folder)
        spoil(*tables)
        return tables

    monkeypatch.setattr(networks, "tabulate", planted)
    results = networks.read(out / "networks" / "quick")
    drawn = {
        plot.name: networks.Drawn(plot, {"svg": b'<svg viewBox="0 0 1 1"></svg>'}) for plot in networks.plots(results)
    }
    assert wrong_with_numbers(networks.page_text(results, drawn, True)) != []


def test_full_precision_is_said_to_be_below_only_where_it_is(out: Path) -> None:
    results = networks.read(out / "networks" / "quick")
    one, two = results.experiments
    assert networks.sanity(results, one) == "FP is significantly below no method."
    p = float(stats.ttest_rel(SCORES["two"]["FP"], SCORES["two"]["rPC"], alternative="less").pvalue)
    assert networks.sanity(results, two).startswith(f"FP is below rPC with one-sided p = {p:.2g} (")
    for e in (one, two):
        assert networks.sanity(results, e) in text_of(out)


def test_the_words_of_the_page(out: Path) -> None:
    text = text_of(out)
    for words in (
        "With n = 5 the exact sign-flip p is at least 0.0625, so it cannot reach 0.05.",
        "lies outside the theorem",
        "a bound on the loss does not follow, as the loss of a network is not convex",
        "Test images are looked at once",
        "of equal ones the smallest",
        "proxpair train --profile quick --seed 0",
        "abababababab</code>",
        "averaged over 2 by 2 pixels",
        "from the full-precision networks of one",
    ):
        assert words in text, words
    assert str(out) not in text
    # the rate at the end of the grid, and no other
    _, rows = Tables(text).of("one: test accuracy")
    assert [row[3] for row in rows] == ["8", "8", "32†", "8", "8"]
    assert "marks a rate at an end of the grid" in text
    assert [row[10] for row in rows] == ["0.0 %", "\N{EN DASH}", "0.0 %", "25.0 %", "0.0 %"]
    assert [row[11] for row in rows][:2] == ["5.0·10\N{MINUS SIGN}8", "\N{EN DASH}"]


def test_the_standing_of_a_method() -> None:
    words = ("smooth", "lipschitz/smooth", "smooth/unprincipled", "other update", "undecided")
    assert [networks.standing("BC", w) for w in words] == [
        *("principled", "principled", "refuted", "other update", "undecided")
    ]
    assert networks.standing("FP", "smooth") == "full precision"
    assert len({k.marker for k in networks.KINDS.values()}) == len(networks.KINDS)


def test_data_sets_are_called_what_they_are() -> None:
    assert {name: d.description for name, d in datasets.DATASETS.items()} == networks.DATA


# --------------------------------------------------------------------------- the note on the data


CAPTION = r"<figcaption>.*?</figcaption>|<caption>.*?</caption>"


def lacking_the_note(out: Path) -> list[str]:
    """Where an accuracy on the second experiment's data stands without the note."""
    text = text_of(out)
    found = []
    escaped = networks.escape(NOTE)
    for caption in re.findall(CAPTION, text, re.S):
        named = re.search(r">(?:<strong>)?(two: |Accuracy of)", caption)
        if named and "the ledger" not in caption and escaped not in caption:
            found.append(caption[:60])
    if escaped not in re.search(r'id="run".*?</section>', text, re.S).group():
        found.append("at the top")
    for name in ("accuracy", "paired"):
        tex = (out / "networks" / "quick" / f"{name}.tex").read_text()
        for part in tex.split("\\begin{table}")[1:]:
            if "two: " in part and networks.latex_text(NOTE) not in part:
                found.append(f"{name}.tex")
    for name in ("accuracy", "curves-two", "paired-two"):
        words = pdf_text((out / "networks" / "quick" / "figures" / f"{name}.pdf").read_bytes())
        if "JPEG re-encoding" not in words or "published figures" not in words:
            found.append(f"{name}.pdf")
    return found


def test_the_note_stands_with_every_accuracy(out: Path, tmp_path: Path) -> None:
    assert lacking_the_note(out) == []
    shutil.copytree(out, tmp_path / "mutant")
    text, note = text_of(out), networks.escape(NOTE)
    captions = [m for m in re.finditer(CAPTION, text, re.S) if note in m.group()]
    assert len(captions) == 6  # three figures; accuracy, planned and other pairs
    for m in captions:
        spoiled = text[: m.start()] + m.group().replace(note, "") + text[m.end() :]
        write_text(tmp_path / "mutant" / "networks-quick.html", spoiled)
        assert len(lacking_the_note(tmp_path / "mutant")) == 1
    assert "JPEG" not in pdf_text((out / "networks" / "quick" / "figures" / "paired-one.pdf").read_bytes())


# --------------------------------------------------------------------------- pages, figures, LaTeX


def test_the_page_is_whole(out: Path) -> None:
    text = text_of(out)
    assert wrong_with_page(text, out) == []
    page = Page(text)
    assert page.all("img") == []
    pictures = page.all("svg")
    assert len(pictures) == 7
    assert all(a.get("role") == "img" and len(a.get("aria-label") or "") > 40 for a in pictures)
    assert {"nav", "main", "header", "footer"} <= {name for name, _ in page.tags}
    assert {"#one", "#two"} <= {a.get("href") for a in page.all("a")}
    assert "<style type" not in text
    assert any("twice the id" in w for w in wrong_with_page(text.replace("paired-two-", "paired-one-"), out))


def test_latex_tables_are_sound(out: Path) -> None:
    for name in ("accuracy", "paired"):
        text = (out / "networks" / "quick" / f"{name}.tex").read_text()
        parts = text.split("\\begin{table}")[1:]
        assert len(parts) == len(SCORES)
        for part in parts:
            assert wrong_with_latex(part) == []
            assert part.count("\\toprule") == part.count("\\bottomrule") == 1
    assert "$32^{\\dagger}$" in (out / "networks" / "quick" / "accuracy.tex").read_text()


@pytest.mark.parametrize("name", ["accuracy", "curves-one", "ledger-two", "paired-one", "paired-two"])
def test_figures_have_text_and_every_form(out: Path, name: str) -> None:
    base = out / "networks" / "quick" / "figures"
    pdf = (base / f"{name}.pdf").read_bytes()
    assert wrong_with_pdf(pdf) == []
    words = {
        "accuracy": ["test accuracy (%)", "principled", "refuted", "each seed"],
        "curves": ["epoch", "flips per weight and epoch (%)", "validation accuracy, as trained (%)", "BNN++"],
        "ledger": ["closure error (relative)", "step", "terms: BC", "term D_last"],
        "paired": ["difference of test accuracy (percentage points)", "not significant", "the first is worse"],
    }[name.partition("-")[0]]
    assert [w for w in words if w not in pdf_text(pdf)] == []
    svg = (base / f"{name}.svg").read_text()
    assert [w for w in words if w not in svg] == []
    assert (base / f"{name}.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(csv.reader(io.StringIO((base / f"{name}.csv").read_text())))) > 4


def figure_of(out: Path, name: str) -> tuple[Table, Any]:
    plot = next(p for p in networks.plots(networks.read(out / "networks" / "quick")) if p.name == name)
    with drawing():
        return plot.table, plot.draw(plot.table)


@pytest.mark.parametrize("name", ["accuracy", "curves-one", "curves-two", "ledger-one", "paired-one", "paired-two"])
def test_nothing_overlaps_is_clipped_or_lacks_a_name(out: Path, name: str) -> None:
    with drawing():
        _, figure = figure_of(out, name)
        assert wrong_with_layout(figure) == []
        notes = figure.get_suptitle()
        assert ("JPEG" in notes) == (name not in ("curves-one", "ledger-one", "paired-one"))
        if notes:
            box = figure._suptitle.get_window_extent()
            assert box.x0 >= 0
            assert box.x1 <= figure.bbox.x1
            assert all(not axes.get_tightbbox().overlaps(box) for axes in figure.axes if axes.axison)
        figure.axes[0].set_xlabel("")
        assert "an x axis without a name" in wrong_with_layout(figure)


def test_significant_differences_are_filled_and_the_others_open(out: Path) -> None:
    table, figure = figure_of(out, "paired-one")
    rows = list(reversed(table.rows))
    seen = {}
    for line in figure.axes[0].lines:
        xy = np.asarray(line.get_xydata())
        if line.get_marker() in ("o", "<", ">") and len(xy) == 1:
            seen[round(float(xy[0, 1]))] = (line.get_marker(), line.get_markerfacecolor() == "white")
    wanted = {"not significant": ("o", True), "better": (">", False), "worse": ("<", False)}
    assert {y: wanted[row["answer"]] for y, row in enumerate(rows)} == seen
    assert {row["answer"] for row in rows} == set(wanted)


def test_the_accuracy_figure_has_every_seed_and_its_mean(out: Path) -> None:
    _, figure = figure_of(out, "accuracy")
    xs = sorted(round(x, 6) for x, _ in points_of(figure))
    for scores in SCORES.values():
        for values in scores.values():
            assert {round(float(100 * v), 6) for v in (*values, values.mean())} <= set(xs)


def test_the_same_data_give_the_same_bytes(out: Path, copy: Path, tmp_path: Path) -> None:
    with matplotlib.rc_context({"font.size": 31.0}):
        made = networks.write(copy, tmp_path)
    assert len(made) == 3 + 4 * 7
    for path in made:
        assert path.read_bytes() == (out / path.relative_to(tmp_path)).read_bytes(), path


def test_the_report_needs_no_torch() -> None:
    code = "import sys, figures.networks; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def stop(folder: Path, name: str, seeds: tuple[int, ...]) -> None:
    """Let networks of the first experiment stop after two epochs."""
    table, curves = (Table.read((folder / f"{n}.csv").read_text()) for n in ("runs", "curves"))

    def stopped(row: dict[str, str]) -> bool:
        return (row["experiment"], row["method"]) == ("one", name) and int(row["seed"]) in seeds

    for row in filter(stopped, table.rows):
        row |= {"valid": "nan", "test": "nan", "soft": "nan", "packed_bytes": "", "float_bytes": ""}
        row["failed"] = "epoch 3: <no> finite gradient"
    write_text(folder / "runs.csv", table.text())
    rows = tuple(r for r in curves.rows if not stopped(r) or int(r["epoch"]) < 3)
    write_text(folder / "curves.csv", Table(curves.header, rows).text())


def test_networks_that_stopped_early_are_named_and_not_counted(copy: Path) -> None:
    stop(copy, "BC", (3,))
    results = networks.read(copy)
    text = networks._experiment(results, results.experiments[0], {}, "")
    assert "BC, seed 3: epoch 3: &lt;no&gt; finite gradient" in text
    row = Tables(text).of("one: test accuracy")[1][2]
    assert (row[4], row[-1]) == ("4", "1")
    assert [row[2] for row in Tables(text).of("one: the planned comparisons")[1]] == [*"54554445"]


def test_a_method_of_which_no_network_came_to_its_end_has_no_accuracy(copy: Path) -> None:
    stop(copy, "BC", (0, 1, 2, 3, 4))
    results = networks.read(copy)
    text = networks._experiment(results, results.experiments[0], {}, "")
    row = Tables(text).of("one: test accuracy")[1][2]
    dash = "\N{EN DASH}"
    assert row[4:9] == ["0", dash, dash, dash, dash]
    assert "BC, seeds 0, 1, 2, 3 and 4: epoch 3" in text
    assert all("BC" not in row[:2] for row in Tables(text).of("one: the planned comparisons")[1])
    with drawing():
        figures = [p.draw(p.table) for p in networks.plots(results)[:3]]
        assert [wrong_with_layout(figure) for figure in figures] == [[]] * 3
    texts = [t.get_text() for figure in figures for axes in figure.axes for t in axes.texts]
    assert texts.count("no run was finished") == 1


STORED = ROOT / "benchmarks" / "results" / "networks-cpu"
CLAIMS = {  # the planned comparisons of which docs/networks.md gives p after Holm's correction
    "cifar-vit": [("BNN+", "FP"), ("BNN++", "BNN+")],
    "cifar-resnet20": [
        *(("PQ", "BC"), ("rPC", "BC"), ("BNN++", "BC"), ("PQ", "FP"), ("rPC", "FP"), ("ApproxSign-r", "FP")),
        ("BNN++", "BNN+"),
    ],
    "cifar-mlp-wa": [("ApproxSign-r", "ApproxSign")],
    "cifar-resnet20-wa": [("ApproxSign-r", "ApproxSign")],
    "cifar-resnet20-tuned": [("ApproxSign-r", "ApproxSign"), ("rPC", "BC"), ("PC", "BC"), ("rPC", "FP")],
    "cifar-mlp-tuned": [("cubic", "BC")],
}


def told(text: str) -> list[str]:
    """What docs/networks.md says otherwise than the stored results."""
    results = networks.read(STORED)
    planned = [row for row in results.paired if row["planned"]]
    worse = {(r["experiment"], r["first"]) for r in planned if r["second"] == "BC" and r["answer"] != "not significant"}
    names = [e.name for e in results.experiments]
    lines = ["| | " + " | ".join(names) + " |", "|---" * (len(names) + 1) + "|"]
    for method in dict.fromkeys(row["method"] for row in results.summary):
        cells = []
        for name in names:
            (row,) = (row for row in results.summary if (row["experiment"], row["method"]) == (name, method))
            mean, sd, n = 100 * row["test_mean"], 100 * row["test_sd"], row["n"]
            few = "" if n == 5 else f" ({n})"
            star = "*" if (name, method) in worse else ""
            cells.append("none" if n == 0 else f"{mean:.1f} \N{PLUS-MINUS SIGN} {sd:.1f}{star}{few}")
        lines.append(f"| {method} | " + " | ".join(cells) + " |")
    rates = {e.name: (min(e.rates), max(e.rates)) for e in results.experiments}
    ends = sum(row["rate"] in rates[row["experiment"]] for row in results.summary)
    wanted = [
        "\n".join(["", *lines, ""]),
        f"{ends} of the {len(results.summary)} chosen rates",
        f"{len(results.runs.rows):,}",
    ]
    for name, pairs in CLAIMS.items():
        for pair in pairs:
            (row,) = (r for r in planned if (r["experiment"], r["first"], r["second"]) == (name, *pair))
            p = row["p_holm"]
            wanted.append(f"{p:.4f}" if p < 0.01 else f"{p:.2g}" if p < 1 else "and 1")
    below = {r["p_holm"] for r in planned if r["second"] == "FP" and r["experiment"].endswith("-wa")}
    bounds = max(below) < 0.02 and all(r["p"] == 1 or r["mean"] <= 0 or r["p_holm"] > 0.05 for r in planned)
    repaired = [r for r in planned if (r["first"], r["second"]) == ("BNN++", "BNN+")]
    bounds = bounds and all(r["answer"] == "not significant" for r in repaired)
    return [w for w in wanted if w not in text] + ["an inequality"] * (not bounds)


def test_the_documents_tell_what_the_stored_results_are() -> None:
    text = (ROOT / "docs" / "networks.md").read_text(encoding="utf-8")
    assert told(text) == []
    for old, new in (("45.8", "45.9"), ("0.0051", "0.0052"), ("64 of", "65 of"), ("1.1*", "1.1"), ("0.039", "0.04")):
        assert len(told(text.replace(old, new, 1))) == 1, old


# --------------------------------------------------------------------------- what is refused


def change(path: Path, old: str, new: str, count: int = 1) -> None:
    text = path.read_text()
    assert old in text
    write_text(path, text.replace(old, new, count))


def set_cell(path: Path, column: str, value: str, at: int = -1) -> None:
    table = Table.read(path.read_text())
    table.rows[at][column] = value
    write_text(path, table.text())


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no runs": (lambda f: (f / "runs.csv").unlink(), "runs.csv is missing"),
    "no study": (lambda f: (f / "study.json").unlink(), "study.json is missing"),
    "a column": (lambda f: change(f / "runs.csv", "soft", "hard"), "runs.csv: the column 'soft'"),
    "empty": (lambda f: write_text(f / "curves.csv", ""), "curves.csv: the column"),
    "half a row": (lambda f: write_text(f / "runs.csv", (f / "runs.csv").read_text()[:-60]), "too few cells"),
    "half the rows": (
        lambda f: write_text(f / "runs.csv", "".join((f / "runs.csv").read_text().splitlines(True)[:-7])),
        "5 networks",
    ),
    "curves cut": (
        lambda f: write_text(f / "curves.csv", "".join((f / "curves.csv").read_text().splitlines(True)[:-1])),
        "epochs 1 to 4",
    ),
    "nan": (lambda f: set_cell(f / "runs.csv", "test", "nan"), "an accuracy from 0 to 1"),
    "a word": (lambda f: set_cell(f / "runs.csv", "closure_error", "small"), "'closure_error': a number"),
    "percent": (lambda f: set_cell(f / "runs.csv", "test", "97.5"), "an accuracy from 0 to 1"),
    "nan in a curve": (lambda f: set_cell(f / "curves.csv", "valid", "nan"), "a finite number"),
    "a word in a curve": (lambda f: set_cell(f / "curves.csv", "loss", "low"), "curves.csv: row"),
    "a method": (lambda f: set_cell(f / "runs.csv", "method", "BNM"), "unknown method 'BNM'"),
    "a declared method": (lambda f: change(f / "study.json", '"rPC"', '"rPD"', 2), "unknown method 'rPD'"),
    "an experiment": (lambda f: set_cell(f / "ledger.csv", "experiment", "three"), "unknown experiment 'three'"),
    "a seed twice": (lambda f: set_cell(f / "runs.csv", "seed", "0"), "of the same seeds"),
    "a rate": (lambda f: set_cell(f / "runs.csv", "rate", "32.0"), "the rule chooses"),
    "an account": (lambda f: set_cell(f / "ledger.csv", "left", "1.0"), "ledger.csv: row"),
    "no JSON": (lambda f: write_text(f / "study.json", "{"), "study.json: the declarations"),
    "a list": (lambda f: write_text(f / "study.json", "[]"), "study.json: the declarations"),
    "a path": (lambda f: change(f / "study.json", '"quick"', '"../up"'), "plain name"),
    "a note": (lambda f: change(f / "study.json", '"note": ""', '"note": 3'), "a note and a SHA-256"),
}


@pytest.mark.parametrize("name", BAD)
def test_results_that_are_not_sound_are_refused(
    name: str, copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spoil, words = BAD[name]
    spoil(copy)
    before = sorted(tmp_path.rglob("*"))
    assert proxpair.main(["networks", str(copy), "--out", str(tmp_path / "made")]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert words in captured.err
    assert "proxpair train --profile quick" in captured.err
    assert sorted(tmp_path.rglob("*")) == before
    with pytest.raises(InputError):
        networks.write(copy, tmp_path)


def test_a_folder_without_results_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words in (["--out", str(tmp_path)], [str(tmp_path / "none"), "--out", str(tmp_path)]):
        assert proxpair.main(["networks", *words]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert len(captured.err.splitlines()) == 1
        assert "make" in captured.err
        assert "proxpair train --profile" in captured.err
        assert list(tmp_path.iterdir()) == []


def test_the_command_finds_every_profile(copy: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    small = [replace(experiments()[0], methods=("FP", "BC"))]
    write_results(copy, small)
    assert networks.found(tmp_path) == [copy]
    assert proxpair.main(["networks", "--out", str(tmp_path)]) == 0
    said = capsys.readouterr().out.split()
    assert said[0] == str(tmp_path / "networks-quick.html")
    assert all(Path(path).is_file() for path in said)
    assert "no method" in (tmp_path / "networks-quick.html").read_text()


def test_the_index_links_to_the_pages_that_are_there(out: Path, tmp_path: Path) -> None:
    assert 'href="networks-quick.html"' in page_index.page_text(Inputs(out), {}, {}, site=page.pages(out))
    assert "networks-quick" not in page_index.page_text(Inputs(tmp_path), {}, {}, site=page.pages(tmp_path))
