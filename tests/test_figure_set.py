"""The set of figures: one declaration each, what each shows, and that only what is out of date is drawn."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from test_figures import NAMES, built, drawn, pdf_streams, pdf_text, points_of, run_figures

from figures import pairs, plots, render, scheme, speed, style
from figures.data import Inputs, Table, read_verdicts
from figures.parts import THEORY, Content, Declared
from figures.sampling import read_map, trace_graph
from theory.errors import InputError
from theory.parser import parse_constant
from theory.proximal import evolve

ROOT = Path(__file__).resolve().parent.parent
NEW = ("scheme", "atlas", "evolution", "family", "training", "speed")


@pytest.fixture(scope="module")
def inputs(results: Path) -> Inputs:
    rows, made = (read_verdicts(results / f"{name}.json", "") for name in ("catalogue", "synthesized"))
    return Inputs(results, rows, made, NAMES)


# --------------------------------------------------------------------------- declarations


def wrong_with(declared: Declared, inputs: Inputs) -> list[str]:
    """What is missing of a declared figure, or of its files among the results."""
    found = [f"no {key}" for key in ("title", "source", "command") if not getattr(declared, key)]
    plot = declared.plot(inputs)
    if plot is None:
        return [*found, "it is drawn by no test"]
    found += [f"no {key}" for key in ("caption", "alt", "title") if not getattr(plot, key).strip()]
    files = {kind: inputs.out / "figures" / f"{plot.name}.{kind}" for kind in ("csv", *style.FORMATS)}
    found += [f"no {kind} file" for kind, path in files.items() if not path.is_file()]
    if len(found) == 0 and files["csv"].read_text() != plot.table.text():
        found.append("another CSV file")
    return found


@pytest.mark.parametrize("name", [*plots.SINGLE, "pair-bc", "synthesized-tanh-of-soft-threshold"])
def test_every_declared_figure_is_whole(inputs: Inputs, name: str) -> None:
    declared, plot = plots.find(inputs, name), built(inputs, name)
    assert declared.name == name
    same = Content(plot.caption, plot.alt, plot.table)
    assert wrong_with(replace(declared, make=lambda _: same), inputs) == []


def test_a_declaration_that_is_not_whole_would_be_seen(inputs: Inputs) -> None:
    declared = plots.SINGLE["scheme"]
    content = declared.make(inputs)
    assert content is not None
    assert wrong_with(replace(declared, title=""), inputs) == ["no title", "no title"]
    assert wrong_with(replace(declared, make=lambda _: None), inputs) == ["it is drawn by no test"]
    assert wrong_with(replace(declared, make=lambda _: replace(content, alt=" ")), inputs) == ["no alt"]
    other = replace(content, table=Table(content.table.header, content.table.rows[1:]))
    assert wrong_with(replace(declared, make=lambda _: other), inputs) == ["another CSV file"]
    assert "no svg file" in wrong_with(replace(declared, name="schema"), inputs)


def test_the_sources_are_files_below_the_folder_or_the_repository_or_theory(inputs: Inputs) -> None:
    for declared in plots.SINGLE.values():
        for pattern in declared.source:
            base = ROOT if pattern.startswith("benchmarks/") else inputs.out
            assert pattern == THEORY or list(base.glob(pattern)), (declared.name, pattern)


def wrong_with_svg(data: bytes) -> list[str]:
    root = ElementTree.fromstring(data)
    found = [f"real text: {e.text}" for e in root.iter("{http://www.w3.org/2000/svg}text")]
    found += ["an image"] if list(root.iter("{http://www.w3.org/2000/svg}image")) else []
    return found + [f"it holds {word.decode()}" for word in (b"dc:date", b"Matplotlib", b'href="http') if word in data]


@pytest.mark.parametrize("name", [*plots.SINGLE, "pair-bnn", "pair-bnn-plus"])
def test_an_svg_has_text_as_paths_and_no_date(results: Path, name: str) -> None:
    data = (results / "figures" / f"{name}.svg").read_bytes()
    assert wrong_with_svg(data) == []
    assert ElementTree.fromstring(data).get("width") == f"{style.WIDTHS[2] * 72:g}pt"


def test_an_svg_of_another_kind_would_be_seen(inputs: Inputs, tmp_path: Path) -> None:
    plot = built(inputs, "scheme")
    with style.drawing(), matplotlib.rc_context({"svg.fonttype": "none"}):
        plot.draw(plot.table).savefig(tmp_path / "a.svg")
    found = wrong_with_svg((tmp_path / "a.svg").read_bytes())
    assert any(words.startswith("real text") for words in found)
    assert "it holds Matplotlib" in found


@pytest.mark.parametrize("name", NEW)
def test_a_file_is_the_same_whatever_is_written_beside_it(inputs: Inputs, results: Path, name: str) -> None:
    plot = built(inputs, name)
    for formats in (("png",), ("svg", "pdf")):
        for kind, data in plot.files(formats).items():
            assert data == (results / "figures" / f"{name}.{kind}").read_bytes(), kind


def test_a_pdf_is_as_wide_as_two_columns_of_a_paper(results: Path) -> None:
    data = (results / "figures" / "scheme.pdf").read_bytes()
    heads = b"".join(head for head, _ in pdf_streams(data).values())
    boxes = re.findall(rb"/MediaBox \[ ?0 0 ([\d.]+) ", heads)
    assert [float(b) for b in boxes] == pytest.approx([7.2 * 72])


def test_cutting_fonts_once_leaves_matplotlib_as_it_was(inputs: Inputs) -> None:
    from matplotlib.backends import _backend_pdf_ps as fonts

    before = fonts.get_glyphs_subset
    plot = built(inputs, "scheme")
    assert "quantized" in pdf_text(plot.files(("pdf",))["pdf"])
    assert fonts.get_glyphs_subset is before


LABELS = {
    "maps": ["latent weight $x$", "forward $F(x)$, backward $B(x)$"],
    "convergence": ["step $t$", "gap of the best iterate"],
    "bounds": ["gap / bound"],
    "residual": ["flips per step"],
    "tightness": ["steps $n$", "worst case / bound"],
    "hypotheses": ["quantity (mostly left side / bound)"],
    "negative": ["share of negative factors"],
    "ledger": ["epoch", "largest closure error so far"],
    "curves": ["epoch", "test accuracy (%)"],
    "accuracy": ["test accuracy after the last epoch (%)"],
    "training": ["epoch", "closure error (ratio)", "flips per weight and epoch (%)"],
    "speed": ["step / plain SGD step (ratio of times)", "kernel / copy (ratio of times)"],
    "evolution": ["latent weight $x$", "proximal point $v$"],
    "family": ["latent weight $x$", "proximal point $v$"],
    "plane": ["first coordinate", "second coordinate"],
}
"""Names of axes that say what is counted or divided by what."""


def test_axes_are_named_with_their_units(inputs: Inputs) -> None:
    assert set(LABELS) == set(plots.SINGLE) - {"scheme", "atlas"}  # diagrams have no axes
    for name, labels in LABELS.items():
        _, figure = drawn(inputs, name)
        there = {figure.get_supxlabel(), figure.get_supylabel()}
        there |= {label for a in figure.axes for label in (a.get_xlabel(), a.get_ylabel())}
        assert set(labels) <= there, name


# --------------------------------------------------------------------------- what the new figures show


def wrong_with_boxes(figure: Figure) -> list[str]:
    """Texts of a diagram that leave their boxes."""
    from matplotlib.patches import FancyBboxPatch

    figure.draw_without_rendering()
    axes = figure.axes[0]
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    found = []
    for text in axes.texts:
        extent = text.get_window_extent()
        middle = ((extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2)
        for box in boxes:
            inside = box.x0 <= extent.x0 and extent.x1 <= box.x1 and box.y0 <= extent.y0 and extent.y1 <= box.y1
            if box.contains(*middle) and not inside:
                found.append(text.get_text())
    return found


@pytest.mark.parametrize("look", list(style.STYLES))
def test_the_scheme_has_the_updates_of_the_theory(inputs: Inputs, look: str) -> None:
    plot = built(inputs, "scheme")
    texts = " ".join(row["text"] for row in plot.table.rows)
    updates = ("u_{t+1} = u_t - \\eta_t B(u_t)\\, \\nabla f(w_t)", "w_{t+1} = w_t - \\eta_t \\nabla f(w_t)")
    for words in (*updates, "w_t = F(u_t)", "F = T$ ∘ $P", "T$'$(v_t)"):
        assert words.replace("'", "\N{PRIME}") in texts
    for words in ("u(t+1) = u(t) \N{MINUS SIGN} η(t) B(u(t)) ∇f(w(t))", "μ(t+1) = μ(t) + η(t)", "w = T(v) = F(u)"):
        assert words in plot.caption
    kinds = {row["group"] for row in plot.table.where(kind="arrow")}
    assert kinds == {"forward", "backward", "reads"}
    assert (
        len({color for color, _ in scheme._STROKES.values()}) == len({str(d) for _, d in scheme._STROKES.values()}) == 3
    )
    with style.drawing(look):
        figure = plot.draw(plot.table)
        assert wrong_with_boxes(figure) == []
        figure.axes[0].texts[1].set_text("a text that is longer than its box is wide")
        assert wrong_with_boxes(figure) != []


def test_the_atlas_has_every_method_once_and_its_nearest_repair(inputs: Inputs) -> None:
    table, figure = drawn(inputs, "atlas")
    named = [r["name"] for r in table.rows if r["kind"] in ("method", "repair", "listed")]
    assert sorted(named) == sorted(NAMES)
    arrows = {(r["name"], r["text"], r["keeps"]) for r in table.where(kind="arrow")}
    rows = {row["name"]: row for row in inputs.catalogue}
    nearest = {(n, rows[n]["repairs"][0]["name"], rows[n]["repairs"][0]["keeps"]) for n in NAMES if rows[n]["repairs"]}
    assert arrows == nearest
    assert len(nearest) == 1
    words = {t.get_text() for t in figure.axes[0].texts}
    assert set(NAMES) <= words


def test_the_atlas_of_the_whole_catalogue_can_be_read() -> None:
    """Seventy names in every group, and repairs of every kind: nothing overlaps, and all arrows meet their ends."""
    from test_figures import wrong_with_layout

    names = [f"Method-of-length-{k:03}" for k in range(70)]
    grades = ("smooth", "lipschitz", "unprincipled", "undecided")
    repairs = [
        {"name": f"repair {k % 9}", "keeps": ("forward", "backward", "levels")[k % 3], "verdict": "smooth"}
        for k in range(70)
    ]
    rows = [
        {
            "name": n,
            "forward": "x",
            "backward": "1",
            "verdict": grades[k % 4],
            "repairs": [repairs[k]] if k % 4 == 2 else [],
        }
        for k, n in enumerate(names)
    ]
    plot = plots.build(Inputs(Path(), rows), "atlas")
    assert plot is not None
    for look in style.STYLES:
        with style.drawing(look):
            assert wrong_with_layout(plot.draw(plot.table)) == []
    places = {(r["x"], r["y"]) for r in plot.table.rows if r["kind"] in ("made", "repair")}
    assert {(r["x2"], r["y2"]) for r in plot.table.where(kind="arrow")} == places
    kept = {(r["name"], r["keeps"]) for r in plot.table.where(kind="arrow")}
    assert kept == {(row["name"], r["keeps"]) for row in rows for r in row["repairs"]}
    assert "0 of the repairs are catalogued" in plot.caption
    counts = {k: sum(keeps == k for _, keeps in kept) for k in ("forward", "backward", "levels")}
    assert "{forward} keep the forward, {backward} keep the backward".format(**counts) in plot.caption
    assert "in time" not in plot.caption
    rows[2]["repairs_unfinished"] = ["flatten the backward map"]
    rows[2]["repairs"][0]["name"] = names[0]
    again = plots.build(Inputs(Path(), rows), "atlas")
    assert again is not None
    assert "1 of the repairs are catalogued" in again.caption
    assert f"Of {names[2]} not every repair was settled in time" in again.caption
    assert [r["name"] for r in again.table.where(kind="repair")] == [names[0]]


@pytest.mark.parametrize("name", ["evolution", "family"])
def test_every_point_of_a_family_is_drawn(inputs: Inputs, name: str) -> None:
    table, figure = drawn(inputs, name)
    wanted = {(float(r["x"]), float(r["y"])) for r in table.rows}
    assert len(wanted) > 100
    assert wanted <= points_of(figure)


def curve(table: Table, **cells: str) -> list[tuple[float, float]]:
    return [(float(r["x"]), float(r["y"])) for r in table.where(**cells) if r["kind"] == "curve"]


def wrong_with_prox(points: list[tuple[float, float]], r: Callable[[Any], Any], ws: Any, mu: float) -> float:
    """How much lower than at the drawn P(x) the objective gets on a grid of w; at most rounding for a proximal map."""
    values = r(ws)
    return max(
        float(r(np.array([p]))[0] + (p - x) ** 2 / (2 * mu) - np.min(values + (ws - x) ** 2 / (2 * mu)))
        for x, p in points
    )


def test_the_moved_maps_minimise_with_the_same_regularizer(inputs: Inputs) -> None:
    """Against brute force: the r of the literature, and for BinaryRelax +oo on the gap of P at mu = 1."""
    table, _ = drawn(inputs, "evolution")
    ws = np.linspace(-4, 4, 160_001)

    def relax(w: Any) -> Any:
        return np.where(np.abs(w) >= 0.5 - 1e-12, (np.abs(w) - 1) ** 2 / 2, np.inf)

    for mu in ("1/4", "1", "4", "16"):
        points = curve(table, panel="BinaryRelax", value=mu)
        assert wrong_with_prox(points, relax, ws, eval_ratio(mu)) < 1e-6
        assert wrong_with_prox([(x, 0.9 * p + 0.1) for x, p in points], relax, ws, eval_ratio(mu)) > 1e-4  # a mutant
        for x, p in curve(table, panel="tanh", value=mu):
            assert p + eval_ratio(mu) * (np.arctanh(p) - p) == pytest.approx(x, abs=1e-9)


def eval_ratio(text: str) -> float:
    top, _, bottom = text.partition("/")
    return int(top) / int(bottom or 1)


def test_the_family_goes_from_the_identity_to_the_projection(inputs: Inputs) -> None:
    table, _ = drawn(inputs, "family")
    for panel in ("BinaryRelax", "piecewise linear"):
        inner = [(x, p) for x, p in curve(table, panel=panel, what="P", value="0") if abs(x) <= 1]
        assert all(x == p for x, p in inner)
        assert {p for _, p in curve(table, panel=panel, what="P", value="1")} == {-1.0, 1.0}
        ends = [(float(r["x"]), float(r["y"])) for r in table.where(panel=panel, what="r", value="1")]
        assert ends == [(-1.0, 0.0), (1.0, 0.0)]
        # what is drawn of r and of P belongs together, away from the ends of the window
        of_r = dict(curve(table, panel=panel, what="r", value="1/2"))
        ws = np.array(sorted(of_r))
        values = np.array([of_r[w] for w in ws])
        for x, p in curve(table, panel=panel, what="P", value="1/2"):
            least = float(np.min(values + (ws - x) ** 2 / 2))
            own = float(np.interp(abs(p), ws[ws > 0], values[ws > 0])) + (p - x) ** 2 / 2
            assert own == pytest.approx(least, abs=4e-3)


def test_a_graph_with_a_gap_has_both_values() -> None:
    graph = evolve(read_map("sign(x)"), 1, parse_constant("2", "mu")).graph
    points = trace_graph(graph, parse_constant("-1", ""), parse_constant("1", ""))
    assert {(p.x, p.y) for p in points if p.kind == "tie"} == {(0.0, -1.0), (0.0, 1.0)}
    assert {p.y for p in points if p.kind == "curve"} == {-1.0, 1.0}


def test_training_shows_closure_and_flips_per_weight(inputs: Inputs) -> None:
    table, figure = drawn(inputs, "training")
    weights = 64 * 64 + 64 * 64 + 64 * 10
    assert f"{weights:,}" in plots.SINGLE["training"].make(inputs).caption
    flips = {float(r["value"]) for r in table.where(quantity="flips")}
    assert flips == {140 / 3 / weights}  # the mean of 10, 40 and 90
    errors = [float(r["value"]) for r in table.where(quantity="closure error", method="BC")]
    assert errors == [1e-16 * epoch for epoch in range(1, 7)]
    shown = points_of(figure)
    assert {(float(k + 1), e) for k, e in enumerate(errors)} <= shown
    assert {100 * f for f in flips} <= {y for _, y in shown}  # percent


def test_speed_shows_the_stored_ratios_and_names_the_peers(inputs: Inputs) -> None:
    table, figure = drawn(inputs, "speed")
    stored = json.loads((ROOT / speed.FILES[0]).read_text())["batches"]["128"]
    medians = {one["name"]: one["median"] for one in stored}
    rows = table.where(panel="training step", size="128")
    assert {r["name"]: float(r["ratio"]) for r in rows} == {k: v for k, v in medians.items() if k != "SGD"}
    ours = {r["name"] for r in table.rows if any(w in r["name"] for w in ("kernel", "in place", "parametrization"))}
    assert {r["name"] for r in table.where(peer="no")} == ours
    kernels = json.loads((ROOT / speed.FILES[1]).read_text())["speed"]
    copies = {f"{one['shape']}: {one['what']}": one["copies"] for one in kernels if one["size"] == 10**6}
    assert {r["name"]: float(r["ratio"]) for r in table.where(panel="kernel")}.items() <= copies.items()
    assert {float(r["floor"]) for r in table.rows if r["floor"]} <= {x for x, _ in points_of(figure)}
    assert {float(r["ratio"]) for r in table.rows} <= {x for x, _ in points_of(figure)}
    plot = built(inputs, "speed")
    for words in ("torchao ProxHardQuant", "straight-through by hand", "one thread", "torch 2"):
        assert words in plot.caption


def test_speed_without_benchmarks_names_the_commands(
    inputs: Inputs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    without = replace(inputs, benchmarks=tmp_path)
    assert plots.build(without, "speed") is None
    with pytest.raises(InputError, match=r"python benchmarks/step\.py --json"):
        render.draw_all(without, ["speed"], tmp_path / "figures", complete=True)
    for text in ("{", "[]", '{"device": "a", "torch": "b", "batches": {"128": [1]}, "speed": []}'):
        for name in speed.FILES:
            (tmp_path / Path(name).name).write_text(text)
        with pytest.raises(InputError, match=r"python benchmarks/"):
            plots.build(without, "speed")
    assert not (tmp_path / "figures").exists()


# --------------------------------------------------------------------------- dead zones


@pytest.mark.parametrize(
    ("backward", "zones"),
    [
        ("1", []),
        ("Piecewise((1, Abs(x) <= 1), (0, True))", ["x < {m}1", "x > 1"]),
        ("Piecewise((0, Abs(x) < 1), (1, True))", ["{m}1 < x < 1"]),
        ("Piecewise((0, x < 0), (1, x == 0), (0, True))", ["x < 0", "x > 0"]),
        ("Piecewise((0, x < 0), (0, x <= 1), (x, True))", ["x < 1"]),
        ("x**2", []),
        ("0", ["every x"]),
        ("sign(sin(x))", []),
    ],
)
def test_dead_zones_are_the_open_intervals_where_b_is_zero(backward: str, zones: list[str]) -> None:
    found = pairs.dead_zones({"backward": backward, "params": {}})
    assert [words for *_, words in found] == [words.format(m="\N{MINUS SIGN}") for words in zones]


def test_the_caption_names_what_the_window_does_not_show() -> None:
    row = {"name": "a", "forward": "x", "backward": "Piecewise((9, Abs(x) < 30), (0, True))", "verdict": "undecided"}
    far = pairs.pair_of(row)
    assert "x < \N{MINUS SIGN}30; x > 30" in far.caption
    assert not far.table.where(kind="dead")
    assert "Values beyond the frame" not in far.caption
    high = pairs.pair_of({**row, "backward": "41"})
    assert "Values beyond the frame are not shown" in high.caption
    assert "B has no dead zone" in high.caption


def test_dead_zones_are_shaded_and_named(inputs: Inputs) -> None:
    _, figure = drawn(inputs, "pair-bnn")
    spans = {(p.get_x(), p.get_x() + p.get_width()) for p in figure.axes[1].patches}
    assert spans == {(-2.5, -1.0), (1.0, 2.5)}
    plot = built(inputs, "pair-bnn")
    assert "x < \N{MINUS SIGN}1; x > 1" in plot.caption
    assert any("dead zone" in t.get_text() for legend in figure.legends for t in legend.get_texts())
    _, without = drawn(inputs, "pair-bc")
    assert not without.axes[1].patches
    assert not any("dead zone" in t.get_text() for legend in without.legends for t in legend.get_texts())


# --------------------------------------------------------------------------- only what is out of date


DRAW = ("pair-bc", "pair-bnn")


@pytest.fixture
def few(inputs: Inputs, tmp_path: Path) -> Inputs:
    """The inputs of two pairs, in a folder of their own."""
    rows = [row for row in inputs.catalogue if row["name"] in ("BC", "BNN")]
    return Inputs(tmp_path, rows, (), ("BC", "BNN"))


def draw(inputs: Inputs, names: tuple[str, ...] = DRAW, **more: Any) -> dict[str, int]:
    """Draw, and the time at which each file was last written, in nanoseconds."""
    folder = inputs.out / "figures"
    shown = render.draw_all(inputs, names, folder, **{"formats": ("png",), **more})
    assert set(shown) == set(names)
    return {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}


def changed(before: dict[str, int], after: dict[str, int]) -> set[str]:
    return {name for name in after if before.get(name) != after[name]} - {render.RECORD}


def test_what_is_up_to_date_is_not_drawn_again(few: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[tuple[int, int]] = []
    before = draw(few, progress=lambda *n: counts.append(n))
    assert counts == [(1, 2), (2, 2)]
    assert set(before) == {render.RECORD, *(f"{name}.{kind}" for name in DRAW for kind in ("png", "csv"))}

    def never(*_: Any) -> Any:
        raise AssertionError("it was made or drawn again")

    monkeypatch.setattr(render, "_work", never)
    assert draw(few) == before
    shown = render.draw_all(few, DRAW, few.out / "figures", ("png",))
    assert (shown["pair-bnn"].width, shown["pair-bnn"].height) == (1440, 384)
    plot = plots.build(few, "pair-bnn")
    assert plot is not None
    assert shown["pair-bnn"].plot.table == plot.table
    assert (shown["pair-bnn"].plot.caption, shown["pair-bnn"].plot.alt) == (plot.caption, plot.alt)


def another_row(few: Inputs, _: pytest.MonkeyPatch) -> Inputs:
    rows = [{**row, "backward": "2"} if row["name"] == "BNN" else row for row in few.catalogue]
    return replace(few, catalogue=rows)


def another_title(few: Inputs, monkeypatch: pytest.MonkeyPatch) -> Inputs:
    plain = pairs.declare_pair

    def other(row: Any, *rest: Any) -> Declared:
        found = plain(row, *rest)
        return replace(found, title="other") if row["name"] == "BNN" else found

    monkeypatch.setattr(pairs, "declare_pair", other)
    return few


def damaged(few: Inputs, _: pytest.MonkeyPatch) -> Inputs:
    path = few.out / "figures" / "pair-bnn.png"
    path.write_bytes(path.read_bytes()[:-1])
    return few


def lost(few: Inputs, _: pytest.MonkeyPatch) -> Inputs:
    (few.out / "figures" / "pair-bnn.png").unlink()
    return few


def another_csv(few: Inputs, _: pytest.MonkeyPatch) -> Inputs:
    path = few.out / "figures" / "pair-bnn.csv"
    path.write_text(path.read_text().replace("1.0", "0.5"))
    return few


@pytest.mark.parametrize("change", [another_row, another_title, damaged, lost, another_csv])
def test_what_is_out_of_date_is_drawn_again(
    few: Inputs, monkeypatch: pytest.MonkeyPatch, change: Callable[[Inputs, pytest.MonkeyPatch], Inputs]
) -> None:
    before = draw(few)
    first = (few.out / "figures" / "pair-bnn.png").read_bytes()
    after = draw(change(few, monkeypatch))
    assert ("pair-bnn.csv" if change is another_csv else "pair-bnn.png") in changed(before, after)
    assert not {name for name in changed(before, after) if name.startswith("pair-bc")}
    same = (few.out / "figures" / "pair-bnn.png").read_bytes() == first
    assert same == (change in (damaged, lost, another_csv))


@pytest.mark.parametrize("what", ["drawing_code", "_making_code"])
def test_other_sources_draw_everything_again(few: Inputs, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    before = draw(few)
    made: list[str] = []
    plain = render._work
    monkeypatch.setattr(render, "_work", lambda task: made.append(task.declared.name) or plain(task))
    monkeypatch.setattr(render, what, lambda: "others")
    after = draw(few)
    assert set(made) == set(DRAW)
    if what == "drawing_code":
        assert {f"{name}.png" for name in DRAW} <= changed(before, after)
    else:  # made again, and found to be the same
        assert changed(before, after) == set()
        made.clear()
        assert draw(few) == after
        assert made == []


def imported(text: str) -> set[str]:
    """The modules of figures/ that a source imports, in whatever way."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(text)):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = ".".join(filter(None, ["figures" if node.level else "", node.module]))
            names = [base, *(f"{base}.{alias.name}" for alias in node.names)]
        found |= {name.split(".")[1] for name in names if name.startswith("figures.")}
    return {name for name in found if (ROOT / "figures" / f"{name}.py").is_file()}


def test_the_modules_that_draw_are_all_of_the_digest() -> None:
    """Every module of figures/ that render imports, directly or not, is one whose change draws again."""
    for text in (
        "import figures.tables",
        "from figures import tables",
        "from . import tables",
        "from .tables import a",
    ):
        assert imported(f"def f():\n    {text}") == {"tables"}
    known, todo = set(), {"render"}
    while todo:
        known |= todo
        todo = {name for one in todo for name in imported((ROOT / "figures" / f"{one}.py").read_text())} - known
    assert known == set(render.DRAWING)


@pytest.mark.parametrize("name", [name for name, one in plots.SINGLE.items() if one.source != (THEORY,)])
def test_every_file_that_a_figure_is_made_from_counts(inputs: Inputs, tmp_path: Path, name: str) -> None:
    declared = plots.SINGLE[name]
    there = replace(inputs, out=tmp_path, benchmarks=tmp_path / "benchmarks" / "results")
    for pattern in declared.source:
        for path in (ROOT if pattern.startswith("benchmarks/") else inputs.out).glob(pattern):
            copy = tmp_path / path.relative_to(ROOT if pattern.startswith("benchmarks/") else inputs.out)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    before = render.made_from(declared, there)
    for path in (p for p in tmp_path.rglob("*") if p.is_file() and p.suffix != ".json"):
        text = path.read_bytes()
        path.write_bytes(text + b"\n")
        assert render.made_from(declared, there) != before, path.name
        path.write_bytes(text)
    assert render.made_from(declared, there) == before
    rows = [{**there.catalogue[0], "name": "another"}, *there.catalogue[1:]]
    takes_rows = "catalogue.json" in declared.source
    assert (render.made_from(declared, replace(there, catalogue=rows)) != before) == takes_rows
    assert render.made_from(declared, replace(there, order=("BNN",))) != before


def test_trajectories_without_convex_runs_are_no_longer_drawn(inputs: Inputs, tmp_path: Path) -> None:
    there = replace(inputs, out=tmp_path)
    for name in ("summary", "plane"):
        (tmp_path / "convergence").mkdir(exist_ok=True)
        path = Path("convergence") / f"{name}.csv"
        (tmp_path / path).write_bytes((inputs.out / path).read_bytes())
    before = render.made_from(plots.SINGLE["plane"], there)
    (tmp_path / "convergence" / "summary.csv").unlink()
    assert plots.build(there, "plane") is None
    assert render.made_from(plots.SINGLE["plane"], there) != before


def test_every_library_that_writes_pictures_counts(inputs: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    plot, plain = built(inputs, "scheme"), render.versions()
    seen = {render.drawn_from(plot, look) for look in style.STYLES}
    for name in ("python", "matplotlib", "numpy", "pillow", "fonttools", "kiwisolver"):
        monkeypatch.setattr(render, "versions", lambda name=name: {**plain, name: "0"})
        seen.add(render.drawn_from(plot, "paper"))
    assert len(seen) == 2 + 6


def test_a_record_that_cannot_be_read_counts_as_none(few: Inputs) -> None:
    draw(few, ("pair-bc",))
    folder = few.out / "figures"
    first = (folder / "pair-bc.png").read_bytes()
    sound = (folder / render.RECORD).read_text()
    entry = render.Record.read(folder).figures["pair-bc"]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(render, "_NAME", re.compile(".*"))
        foreign = json.dumps({"figures": {"../a": {**entry, "seal": render._seal("../a", entry)}}})
        other = folder / "other" / render.RECORD
        other.parent.mkdir()
        other.write_text(foreign)
        assert set(render.Record.read(other.parent).figures) == {"../a"}  # so that it is the name that is refused
    damaged = sound.replace("forward F", "forward G")
    texts = ["", "{", "[]", '{"figures": [1]}', '{"figures": {"pair-bc": {"files": 3}}}', foreign, damaged]
    for text in (*texts, sound.replace("384", "385")):
        assert text != sound
        (folder / render.RECORD).write_text(text)
        assert render.Record.read(folder).figures == {}
    draw(few, ("pair-bc",))
    assert (folder / "pair-bc.png").read_bytes() == first
    assert (folder / render.RECORD).read_text() == sound


@pytest.mark.parametrize("where", ["files", "record"])
def test_an_interruption_leaves_a_folder_that_goes_on(few: Inputs, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    whole = draw(replace(few, out=few.out / "other"))
    plain, calls = {"files": render.write_together, "record": render.write_text}[where], [0]

    def second(*args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return plain(*args)

    with monkeypatch.context() as patched:
        patched.setattr(render, {"files": "write_together", "record": "write_text"}[where], second)
        with pytest.raises(KeyboardInterrupt):
            draw(few)
    folder = few.out / "figures"
    there = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert set(render.Record.read(folder).figures) == {"pair-bc"}
    after = draw(few)
    assert changed(there, after) == {"pair-bnn.png", "pair-bnn.csv"}
    for name in whole:
        assert (folder / name).read_bytes() == (few.out / "other" / "figures" / name).read_bytes()


def test_no_older_picture_is_left_beside_a_new_table(few: Inputs, monkeypatch: pytest.MonkeyPatch) -> None:
    names = ("pair-bnn",)
    before = draw(few, names, formats=("svg", "png"))
    few = another_row(few, monkeypatch)
    after = draw(few, names, formats=("png",))
    assert changed(before, after) == {"pair-bnn.svg", "pair-bnn.png", "pair-bnn.csv"}
    assert "pair-bnn.pdf" not in after
    folder, whole = few.out / "figures", {name: (few.out / "figures" / name).read_bytes() for name in after}
    for harm in (lambda: (folder / render.RECORD).unlink(), lambda: (folder / "pair-bnn.svg").write_bytes(b"old")):
        (folder / "pair-bnn.svg").write_bytes(b"old")
        harm()
        draw(few, names, formats=("png",))
        assert {name: (folder / name).read_bytes() for name in after} == whole


def test_figures_that_no_longer_exist_are_removed_if_they_are_ours(inputs: Inputs, few: Inputs) -> None:
    folder = few.out / "figures"
    none = replace(few, out=few.out, benchmarks=few.out)
    lone = replace(none, catalogue=few.catalogue[:1])
    render.draw_all(none, ["pair-bc", "pair-bnn"], folder, ("png",))
    (folder / "mine.png").write_bytes(b"mine")
    render.draw_all(lone, ["pair-bc"], folder, ("png",))
    assert (folder / "pair-bnn.png").is_file()  # a part of the figures says nothing of the others
    record = render.Record.read(folder)
    render._forget(record, plots.every(lone), set(plots.every(lone)), {"pair-bc"})
    assert {p.name for p in folder.iterdir()} == {render.RECORD, "mine.png", "pair-bc.png", "pair-bc.csv"}
    assert set(render.Record.read(folder).figures) == {"pair-bc"}


def test_two_processes_draw_the_same_bytes(few: Inputs, tmp_path: Path) -> None:
    one, two = replace(few, out=tmp_path / "1"), replace(few, out=tmp_path / "2")
    draw(one)
    draw(two, jobs=2)
    for path in (one.out / "figures").iterdir():
        assert path.read_bytes() == (two.out / "figures" / path.name).read_bytes()


# --------------------------------------------------------------------------- the command


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--format", "jpg"], "the formats pdf, png, svg were expected, not 'jpg'"),
        (["--format", "png,,svg"], "the formats pdf, png, svg were expected"),
        (["--format", ""], "the formats pdf, png, svg were expected"),
        (["--style", "poster"], "the style paper or talk was expected, not 'poster'"),
        (["--style", "talk", "--format", "PDF"], "the formats"),
    ],
)
@pytest.mark.parametrize("names", [[], ["scheme"]])
def test_bad_options_are_refused_in_one_sentence(
    words: list[str], message: str, names: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_figures(*names, *words, "--out", str(tmp_path / "none")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert len(captured.err.splitlines()) == 1
    assert message in captured.err
    assert not (tmp_path / "none").exists()


def test_a_talk_is_drawn_beside_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_figures("scheme", "--format", "png", "--out", str(tmp_path)) == 0
    first = (tmp_path / "figures" / "scheme.png").read_bytes()
    assert run_figures("scheme", "--format", "png", "--style", "talk", "--out", str(tmp_path)) == 0
    assert str(tmp_path / "figures-talk" / "scheme.png") in capsys.readouterr().out
    assert (tmp_path / "figures" / "scheme.png").read_bytes() == first
    assert not list(tmp_path.rglob("*.pdf"))
    with style.drawing("talk"):
        size, text = style.new_figure(2, 2.5).get_size_inches(), style.pt(7.5)
    assert text > 7.5 * size[0] / style.WIDTHS[2]  # text grows more than the canvas
    assert 1.5 < size[0] / size[1] < 2.3


def test_the_list_names_every_figure(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_figures("--list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == [*plots.SINGLE, *(f"{family}-NAME" for family in plots.FAMILIES)]
    assert all(re.match(r"\S+ +[12] +\S", line) for line in lines[1:])
