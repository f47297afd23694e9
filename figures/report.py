"""The report: every figure and table that has data, and the pages that show them: index.html, gallery.html and others.

What is drawn and what is written beside it comes from the files of one folder alone, so the same results give the
same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from figures import page, page_gallery, page_index, page_pairs, plots, tables, theorems
from figures.data import Inputs, Row, check_rows, read_verdicts
from figures.page import Shown
from figures.page_pairs import Pair
from figures.render import checked_formats, draw_all
from figures.sampling import read_map
from figures.style import FORMATS, style_named
from figures.tables import Sheet
from theory.errors import InputError, Undecided
from theory.files import write_text

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID


def build(
    out: Path,
    catalogue_rows: Sequence[Row],
    synthesized_rows: Sequence[Row],
    progress: Progress | None = None,
) -> Path:
    """Draw every figure that has data, write the tables and pages; returns the path of OUT/index.html.

    The rows are objects of `check` with name, forward and backward; convergence and networks are
    read from OUT; what is up to date is not drawn again. Raises `InputError` on rows or files that cannot be read.
    """
    for rows, file in ((catalogue_rows, "catalogue.json"), (synthesized_rows, "synthesized.json")):
        check_rows(rows, str(out / file))
        _check_maps(rows, str(out / file))
    _check_files(catalogue_rows, str(out / "catalogue.json"))
    inputs = Inputs(out, catalogue_rows, synthesized_rows, [str(row["name"]) for row in catalogue_rows])
    inputs.read_all()
    names = plots.names(inputs)
    bar = None if progress is None else progress.add_task("figures", total=len(names) + 1)

    def advance(done: int, _: int) -> None:
        if progress is not None and bar is not None:
            progress.update(bar, completed=done)

    drawn = draw_all(inputs, names, out / "figures", progress=advance)
    shown = {name: Shown.of(one.plot, out / "figures") for name, one in drawn.items()}
    index = write_pages(inputs, shown)
    if progress is not None and bar is not None:
        progress.advance(bar)
    return index


def _check_maps(rows: Sequence[Row], where: str) -> None:
    """Raise `InputError` for a map of a row that cannot be read, before anything is drawn or written."""
    for i, row in enumerate(rows):
        r = row.get("regularizer") or {}
        params = tuple((row.get("params") or {}).items())
        texts = {key: row.get(key) for key in ("forward", "backward", "transform", "prox")}
        for key, text in (*texts.items(), *((f"regularizer, {key}", r.get(key)) for key in ("largest", "smallest"))):
            if text is None:
                continue
            try:
                read_map(text, params)
            except Undecided:
                pass  # shown as text
            except InputError as why:
                raise InputError(f"{where}: entry {i + 1}, {key}: {why}") from None


def _check_files(rows: Sequence[Row], where: str) -> None:
    """Raise `InputError` where two pairs would have the same page and certificate."""
    known: dict[str, str] = {}
    for name in (str(row["name"]) for row in rows):
        other = known.get(plots.slug(name))
        if other is not None:
            raise InputError(f"{where}: the names {other!r} and {name!r} give the same file name")
        known[plots.slug(name)] = name


def write_pages(inputs: Inputs, shown: dict[str, Shown]) -> Path:
    """Write tables, theorems, a page for each method, the gallery and OUT/index.html, whose path is returned."""
    out = inputs.out
    coming = ["index.html", "gallery.html", *(["theorems.html"] if inputs.has_convergence else [])]
    site = page.pages(out, coming)
    pairs = make_pairs(inputs, shown)
    sheets = make_sheets(inputs, pairs)
    for sheet in sheets.values():
        sheet.write(out / "tables", site)
    own = {f"{pair.file}.html" for pair in pairs[: len(inputs.catalogue)]}
    for path in (out / "methods").glob("*.html"):
        if path.name not in own:
            path.unlink()  # of a pair that is no longer in the catalogue
    for pair in pairs[: len(inputs.catalogue)]:
        write_text(out / "methods" / f"{pair.file}.html", page_pairs.method_page(pair, "../figures/", site))
    table = theorems.make(inputs) if inputs.has_convergence else None
    if table is not None:
        table.write(out, site)
    groups = page_index.groups(list(shown))
    write_text(out / "gallery.html", page_gallery.page_text(groups, shown, site))
    return write_text(out / "index.html", page_index.page_text(inputs, shown, sheets, table, pairs, site))


def make_pairs(inputs: Inputs, shown: dict[str, Shown]) -> list[Pair]:
    """Every catalogued and then every synthesized pair, with its figure, its certificate and its command."""
    made = []
    first = len(inputs.catalogue)
    rows = [*inputs.catalogue, *inputs.synthesized]
    for k, (row, name) in enumerate(zip(rows, plots.pair_names(inputs), strict=True)):
        command = f"proxpair check {row['name']}"
        if k >= first:
            given = row.get("transform") and row.get("prox")
            command = f'proxpair synthesize --transform "{row["transform"]}" --prox "{row["prox"]}"'
            command = command if given else "proxpair paper"
        judged = page_pairs.certificate_of(row, inputs.out / "methods")
        made.append(Pair(row, name, shown.get(name), judged, command))
    return made


def report(out: Path, visible: bool = False) -> Path:
    """The tables and pages of a folder from its results and figures; figures that are missing are drawn.

    Returns the path of index.html. Raises `InputError` for missing or broken results.
    """
    paper = f"proxpair paper --out {out}"
    rows, made = (read_verdicts(out / name, paper) for name in ("catalogue.json", "synthesized.json"))
    Inputs(out).read_all()
    with _bar(visible) as progress:
        return build(out, rows, made, progress)


def redraw(
    out: Path,
    names: Sequence[str],
    visible: bool = False,
    formats: Sequence[str] = FORMATS,
    style: str = "paper",
) -> list[Path]:
    """Draw the named figures from what is in OUT, or without names all; returns what was made.

    In the style paper they lie in OUT/figures, and without names tables and pages are written too, whose index.html
    is returned; in another style they lie in OUT/figures-STYLE. What is up to date stays. ``visible``: with a
    progress bar, which appears once everything is read, so that an error stands alone. Raises `InputError` for a
    name that no figure has, a format or style that is none, and for missing or broken data.
    """
    paper = f"proxpair paper --out {out}"
    wanted = checked_formats(formats)
    style_named(style)
    verdicts, synthesized = out / "catalogue.json", out / "synthesized.json"
    if not names and style == "paper" and set(wanted) == set(FORMATS):
        rows, made = read_verdicts(verdicts, paper), read_verdicts(synthesized, paper)
        Inputs(out).read_all()
        with _bar(visible) as progress:
            return [build(out, rows, made, progress)]
    rows = read_verdicts(verdicts, paper) if not names or verdicts.is_file() else []
    made = read_verdicts(synthesized, paper) if not names or synthesized.is_file() else []
    inputs = Inputs(out, rows, made, [str(row["name"]) for row in rows])
    if not names:
        inputs.read_all()
    known = plots.every(inputs)
    for name in names:
        if name not in known and not rows and name.startswith(tuple(f"{family}-" for family in plots.FAMILIES)):
            raise InputError(f"{verdicts} is missing, so there is no figure {name[:60]!r}; make it with: {paper}")
        plots.find(inputs, name)  # raises on a name that no figure has
    folder = out / ("figures" if style == "paper" else f"figures-{style}")
    with ExitStack() as stack:
        bars: list[tuple[Progress, TaskID]] = []

        def advance(done: int, total: int) -> None:
            if visible and not bars:
                bar = stack.enter_context(_bar(True))
                assert bar is not None
                bars.append((bar, bar.add_task("figures", total=total)))
            for bar, task in bars:
                bar.update(task, completed=done)

        shown = draw_all(inputs, names or list(known), folder, wanted, style, advance, complete=bool(names))
    return [folder / f"{name}.{kind}" for name in shown for kind in (*wanted, "csv")]


@contextmanager
def _bar(visible: bool) -> Iterator[Progress | None]:
    if not visible:
        yield None
        return
    from theory.console import progress

    with progress() as bar:
        yield bar


def make_sheets(inputs: Inputs, pairs: Sequence[Pair]) -> dict[str, Sheet]:
    """The tables that have data, by name; ``pairs``: what `make_pairs` made."""
    sheets: dict[str, Sheet] = {}
    if inputs.catalogue:
        sheets["catalogue"] = tables.catalogue_sheet(
            inputs.catalogue, [page_pairs.certificate_said(pair) for pair in pairs[: len(inputs.catalogue)]]
        )
    if inputs.synthesized:
        sheets["synthesized"] = tables.synthesized_sheet(inputs.synthesized)
    if inputs.has_convergence:
        sheets["convergence"] = tables.convergence_sheet(inputs)
    if inputs.has_networks:
        sheets["networks"] = tables.networks_sheet(inputs)
    return sheets


__all__ = ["build", "make_pairs", "make_sheets", "redraw", "report", "write_pages"]
