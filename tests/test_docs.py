"""The documents: links, commands, targets and names resolve, pages are complete, and each check meets its mutant.

The whole build takes longer than a test may: `make docs` runs it with warnings as errors. Here a page and a
module go through the same settings, and everything that makes pages is tested as functions.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from documents import DOCUMENTS, ROOT, blocks

import proxpair
from theory.catalogue import CATALOGUE, Entry
from theory.commands_catalogue import catalogue_rows

DOCS = ROOT / "docs"
if str(DOCS) not in sys.path:
    sys.path.append(str(DOCS))
build: Any = importlib.import_module("build")
docstrings: Any = importlib.import_module("docstrings")
generated: Any = importlib.import_module("generated")

TEXTS = {path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in DOCUMENTS}
_FENCED = re.compile(r"^```.*?^```$", re.S | re.M)
_INLINE = re.compile(r"``.+?``|`[^`\n]+`")


def prose(text: str) -> str:
    """The document without its fenced blocks."""
    return _FENCED.sub("", text)


def code(text: str) -> Iterator[str]:
    """Every line of a shell block and every piece of inline code."""
    for language, body in blocks(text, "sh", "console"):
        lines = body.split("\n")
        yield from (line.removeprefix("$ ") for line in lines if language == "sh" or line.startswith("$ "))
    yield from (m.group().strip("`") for m in _INLINE.finditer(prose(text)))


def test_the_documents_are_there() -> None:
    assert {"README.md", "paper_notes.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/index.md"} <= set(TEXTS)


# --------------------------------------------------------------------------- links


def anchors(text: str) -> set[str]:
    """The anchors of a document's headings by GitHub's rule."""
    found: dict[str, int] = {}
    names = set()
    for title in re.findall(r"^#{1,6} +(.+?) *#*$", prose(text), re.M):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", title)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        names.add(slug if slug not in found else f"{slug}-{found[slug]}")
        found[slug] = found.get(slug, 0) + 1
    return names


def broken_links(name: str, text: str) -> list[str]:
    """The links of a document whose file or heading is not there."""
    found = []
    for target in re.findall(r"\]\(([^)\s]+)\)", _INLINE.sub("", prose(text))):
        path, _, anchor = target.partition("#")
        if "://" in target:
            continue
        file = ((ROOT / name).parent / path).resolve() if path else ROOT / name
        there = not path or (file.is_relative_to(ROOT) and file.exists())
        if not there or (anchor and anchor not in anchors(file.read_text(encoding="utf-8") if path else text)):
            found.append(target)
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_every_link_resolves(name: str) -> None:
    assert broken_links(name, TEXTS[name]) == []


def test_broken_links_are_seen() -> None:
    good = "# A b, c\n\n## A b, c\n\n[x](atlas.png) [x](#a-b-c-1) [x](../README.md#limits) [x](https://nowhere)\n"
    assert broken_links("docs/x.md", good) == []
    assert broken_links("docs/x.md", good.replace("atlas.png", "map.png")) == ["map.png"]
    assert broken_links("docs/x.md", good.replace("c-1", "c-2")) == ["#a-b-c-2"]
    assert broken_links("docs/x.md", good.replace("#limits", "#limit")) == ["../README.md#limit"]
    assert broken_links("docs/x.md", good.replace("../README.md", "../../x/README.md")) != []
    assert broken_links("docs/x.md", good.replace("## A", "#### B")) == ["#a-b-c-1"]


# --------------------------------------------------------------------------- commands and targets

COMMANDS = generated.commands()


def words_of(line: str) -> list[str]:
    """The words of one command of a line, without what follows it."""
    with contextlib.suppress(ValueError):
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words = []
        for word in lexer:
            if set(word) <= set(";&|<>()"):
                break
            words.append(word)
        return words
    return line.split()


def wrong_commands(text: str) -> list[str]:
    """What the document says of `proxpair` that the application does not have; a word in capitals stands for any."""
    found = []
    for line in code(text):
        for start in re.finditer(r"(?:^|[\s/=])proxpair (?=[-a-zA-Z\[])", line):
            words = words_of(line[start.end() :])
            if not words or words[0] in ("--version", "--help") or words[0].isupper():
                continue
            if words[0] not in COMMANDS:
                found.append(f"proxpair {words[0]}")
                continue
            named = {w.partition("=")[0] for w in words[1:] if w.startswith("--")}
            found += [f"{words[0]} {option}" for option in sorted(named - generated.options(COMMANDS[words[0]]))]
    return found


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.M))


def wrong_targets(text: str) -> list[str]:
    """The make targets that a document names and the Makefile does not have."""
    named = [t for line in code(text) for t in re.findall(r"(?:^|&& |; )make ([a-z][\w-]*)", line)]
    return [t for t in named if t not in targets()]


@pytest.mark.parametrize("name", TEXTS)
def test_every_command_and_target_exists(name: str) -> None:
    assert wrong_commands(TEXTS[name]) == []
    assert wrong_targets(TEXTS[name]) == []


def test_wrong_commands_and_targets_are_seen() -> None:
    good = "`proxpair check --param NAME=1/2`\n\n```sh\nmake test\nproxpair prox --mu 2 # --no\n```\n\n"
    good += "```console\n$ make paper\n```\n"
    assert wrong_commands(good) == []
    assert wrong_targets(good) == []
    assert wrong_commands(good.replace("--param", "--params")) == ["check --params"]
    assert wrong_commands(good.replace("check", "checks")) == ["proxpair checks"]
    assert wrong_commands(good.replace("--mu", "--nu")) == ["prox --nu"]
    assert wrong_commands("```console\n$ proxpair check BNN --jsn\noutput --no\n```\n") == ["check --jsn"]
    assert wrong_commands("`time proxpair check --jsn`") == ["check --jsn"]
    assert wrong_targets(good.replace("make test", "make tests")) == ["tests"]
    assert wrong_targets(good.replace("make paper", "make papers")) == ["papers"]


def test_the_command_page_has_every_command_and_option() -> None:
    page = generated.commands_page()
    for name, command in COMMANDS.items():
        part = page.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
        assert part, name
        assert all(f"`{option}`" in part for option in generated.options(command) - {"--help"}), name
    assert {code for code, _ in generated.EXIT_CODES} >= {0, 1, 2, 3, 70, 130}
    assert f"| {proxpair.main(['check', 'nothing here'])} | bad input" in page


# --------------------------------------------------------------------------- Python names


def wrong_names(text: str) -> list[str]:
    """The names of ours in backticks that nothing has."""
    found = []
    for piece in (m.group().strip("`") for m in _INLINE.finditer(prose(text))):
        if docstrings.NAME.fullmatch(piece) and piece not in docstrings.PLACEHOLDERS:
            try:
                docstrings.target_of(piece)
            except LookupError:
                found.append(piece)
    return found


@pytest.mark.parametrize("name", TEXTS)
def test_every_python_name_resolves(name: str) -> None:
    assert wrong_names(TEXTS[name]) == []


def test_wrong_names_are_seen() -> None:
    good = "`theory.maps` `theory.maps.PiecewiseMap.left` `proxpair.check` `theory.checker` `verify.train.SUMMARY`"
    assert wrong_names(good) == []
    for old, new in (("maps`", "map`"), ("left", "lift"), ("proxpair.check", "proxpair.chek"), ("SUMMARY", "SUMARY")):
        assert len(wrong_names(good.replace(old, new))) == 1, new
    assert docstrings.target_of("proxpair.check") == "theory.checking.check"
    assert docstrings.target_of("verify.train.SUMMARY") == "verify.train"
    assert docstrings.target_of("theory.checker") is None


def without_entry(pages: dict[str, str]) -> list[str]:
    """The public modules without a page, and the public names without an entry where they are defined."""
    listed = {m: getattr(importlib.import_module(m), "__all__", ()) for m in generated.modules() if m != "proxpair"}
    found = [m for m in listed if f"api/{m}.md" not in pages]
    entries = set(re.findall(r"^\.\. (?:auto(?:function|class|data)|py:data):: (\S+)", "\n".join(pages.values()), re.M))
    names: dict[str, list[Any]] = {}
    for entry in entries:
        module, _, name = entry.rpartition(".")
        names.setdefault(name, []).append(getattr(importlib.import_module(module), name))
    for module, public in listed.items():
        for name in public:
            one = getattr(importlib.import_module(module), name)
            if f"{module}.{name}" not in entries and not any(one is other for other in names.get(name, ())):
                found.append(f"{module}.{name}")
    return found


def test_every_public_module_and_name_has_an_entry() -> None:
    files = [p for package in ("theory", "verify", "figures") for p in (ROOT / package).glob("**/*.py")]
    dotted = {".".join(p.relative_to(ROOT).with_suffix("").parts) for p in files if not p.stem.startswith("_")}
    assert dotted == set(generated.modules()) - {"proxpair"}
    pages = generated.api()
    assert without_entry(pages) == []
    assert without_entry({k: v for k, v in pages.items() if k != "api/theory.steps.md"})[0] == "theory.steps"
    page = pages["api/theory.steps.md"].replace("autofunction:: theory.steps.decide_steps", "x")
    assert without_entry({**pages, "api/theory.steps.md": page}) == ["theory.steps.decide_steps"]
    assert all(f"| `{name}` |" in pages["api/proxpair.md"] for name in proxpair.__all__)


def test_a_path_of_this_machine_is_not_shown() -> None:
    page = generated.api_page("figures.data")
    assert ".. autodata:: figures.data.BENCHMARKS\n   :no-value:\n" in page
    assert page.count(":no-value:") == 1
    shown = f"(out: Path, benchmarks: Path = PosixPath('{ROOT}/benchmarks/results'))"
    assert docstrings.portable(None, "class", "", None, None, shown, None) == (
        "(out: Path, benchmarks: Path = Path('benchmarks/results'))",
        None,
    )
    assert docstrings.portable(None, "data", "", None, None, None, None) == (None, None)


def test_every_document_is_a_page_and_every_class_shows_its_members() -> None:
    pages = build.sources(None)
    files = {p.relative_to(DOCS).as_posix() for p in DOCS.glob("**/*.md")}
    assert set(pages) >= {*files, *build.EXTRA.values(), *(p.name for p in DOCS.glob("*.png")), *generated.api()}
    page = generated.api_page("theory.maps")
    assert ".. autoclass:: theory.maps.PiecewiseMap\n   :members:\n" in page


def test_docstrings_are_plain_text() -> None:
    lines = [
        "F = T o P, |x| <= 1, x*y*z and a_b_",
        "",
        "``F`` is `parse`d.",
        "",
        "    T  `x`",
        "",
        "- one",
        "  more",
        "- two",
    ]
    assert docstrings.converted(lines) == [
        r"F = T o P, \|x\| <= 1, x\*y\*z and a\_b\_",
        "",
        r"``F`` is ``parse``\ d.",
        "",
        "::",
        "",
        "    T  `x`",
        "",
        "",
        "- one more",
        "",
        "- two",
        "",
    ]
    assert docstrings.converted([">>> 1", "1"]) == [">>> 1", "1", ""]


def test_a_page_and_a_module_are_built_without_warnings_and_a_wrong_name_is_one(tmp_path: Path) -> None:
    (tmp_path / "index.md").write_text(
        "# A\n\n`theory.errors.InputError`\n\n`theory.errors.Nothing`\n", encoding="utf-8"
    )
    (tmp_path / "errors.md").write_text(generated.api_page("theory.errors"), encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-q", "-n", "-N", "-c", str(DOCS), str(tmp_path), str(tmp_path / "html")],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert [line.partition("WARNING: ")[2] for line in done.stderr.strip().split("\n")] == [
        "py:obj reference target not found: theory.errors.Nothing [ref.obj]"
    ]
    page = (tmp_path / "html" / "index.html").read_text(encoding="utf-8")
    assert 'href="errors.html#theory.errors.InputError"' in page
    assert build.offline(tmp_path / "html") == build.unsteady(tmp_path / "html") == []
    (tmp_path / "html" / "errors.html").write_text(f"PosixPath('{ROOT}/benchmarks')", encoding="utf-8")
    assert build.unsteady(tmp_path / "html") == ["errors.html"]
    (tmp_path / "html" / "errors.html").write_text("an object at 0x7fbcee3fe810", encoding="utf-8")
    (tmp_path / "html" / "index.html").write_text("<img src=https://x/a.png>", encoding="utf-8")
    assert build.unsteady(tmp_path / "html") == ["errors.html"]
    assert build.offline(tmp_path / "html") == ["index.html"]


# --------------------------------------------------------------------------- generated pages, building


def unlisted(sources: str, files: Any) -> list[str]:
    """The CSV files that the code writes and the page of formats does not list."""
    listed = " ".join(path for path, *_ in files)
    return [name for name in sorted(set(re.findall(r'"(\w+\.csv)"', sources))) if name not in listed]


def test_every_file_with_columns_is_listed() -> None:
    sources = "\n".join(p.read_text(encoding="utf-8") for p in (ROOT / "verify").glob("*.py"))
    assert unlisted(sources, generated.FILES) == []
    assert unlisted(sources, generated.FILES[1:] + generated.FILES[:0]) == []  # another summary.csv is listed
    assert unlisted(sources, [f for f in generated.FILES if "exact" not in f[0]]) == ["exact.csv"]
    page = generated.formats_page(TEXTS["docs/formats.md"])
    assert all(f"`{c}`" in page for _, _, constant, _ in generated.FILES for c in generated.columns(constant))
    assert '"schema": "proxpair/check/1"' in page
    commands = {command.split()[0] for _, command, _, _ in generated.FILES}
    assert commands <= set(COMMANDS)
    used = {c for _, _, constant, _ in generated.FILES for c in generated.columns(constant)}
    assert set(generated.WORDS) <= used


def test_the_gallery_shows_every_figure_with_or_without_its_picture(tmp_path: Path) -> None:
    from figures.plots import SINGLE

    page = generated.gallery_page("# Gallery\n", None)
    assert all(f"Figure `{name}`" in page for name in SINGLE)
    assert "<img" not in page
    (tmp_path / "figures").mkdir()
    name = next(iter(SINGLE))
    (tmp_path / "figures" / f"{name}.png").write_bytes(b"")
    page = generated.gallery_page("# Gallery\n", tmp_path)
    assert page.count("<img") == 1
    assert f'src="../figures/{name}.png"' in page
    assert wrong_commands(page) == []


def test_what_loads_from_the_network_is_seen() -> None:
    good = '<a href="https://x"><img src="../figures/a.svg"><link rel="canonical" href="https://x"><script src="a.js">'
    assert build.loads(good) == []
    for bad in (
        '<img alt="" src="https://x/a.png">',
        "<script async src=//x/a.js>",
        '<link rel="stylesheet" href="http://x/a.css">',
        "@import url('https://x/font.css')",
        "src: url(https://x/a.woff2)",
    ):
        assert len(build.loads(good + bad)) == 1, bad


def test_links_between_documents_become_links_between_pages() -> None:
    text = "[a](../paper_notes.md#measured) [b](../README.md) [c](tutorials/check.md) ![d](atlas.png) [e](https://x) "
    text += "`[f](g)`"
    assert build.relinked(text, "docs/index.md") == (
        "[a](paper_notes.md#measured) b [c](tutorials/check.md) ![d](atlas.png) [e](https://x) `[f](g)`"
    )
    assert build.relinked("[a](../concepts.md) [b](../../paper_notes.md)", "docs/tutorials/x.md") == (
        "[a](../concepts.md) [b](../paper_notes.md)"
    )
    assert build.relinked("[a](docs/concepts.md#ledger)", "CONTRIBUTING.md") == "[a](concepts.md#ledger)"


def test_nothing_is_built_again_unless_something_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, page = tmp_path / "out", tmp_path / "out" / "docs" / "index.html"
    monkeypatch.setattr(build, "WORK", tmp_path / "work")
    page.parent.mkdir(parents=True)
    page.write_text("x", encoding="utf-8")
    (tmp_path / "work").mkdir()
    stamp = tmp_path / "work" / "stamp.json"
    assert not build.current(out)
    right = {"out": str(out), "inputs": build.digest(out), "pages": build.state(out / "docs")}
    stamp.write_text(json.dumps(right), encoding="utf-8")
    assert build.current(out)
    assert not build.current(tmp_path / "elsewhere")
    page.write_text("y", encoding="utf-8")
    assert not build.current(out)
    page.write_text("x", encoding="utf-8")
    (out / "figures").mkdir()
    (out / "figures" / "maps.svg").write_text("", encoding="utf-8")
    assert not build.current(out)  # a picture more
    stamp.write_text(json.dumps({**right, "inputs": build.digest(out)}), encoding="utf-8")
    assert build.current(out)
    monkeypatch.setattr(build, "inputs", lambda: [ROOT / "LICENSE"])
    assert not build.current(out)
    stamp.write_text("{", encoding="utf-8")
    assert not build.current(out)


# --------------------------------------------------------------------------- what the documents say


def stated(texts: dict[str, str]) -> dict[str, str]:
    """What the documents say of numbers that the code knows, as far as it is wrong; where, and the right number."""
    from theory.libraries import PROXES, TRANSFORMS

    known = {
        r"catalogue holds (\d+) published pairs": len(CATALOGUE),
        r"the catalogue: (\d+) pairs": len(CATALOGUE),
        r"(\d+) proximal maps, \d+ transforms": len(PROXES),
        r"\d+ proximal maps, (\d+) transforms": len(TRANSFORMS),
    }
    found = {}
    for pattern, number in known.items():
        said = {m for text in texts.values() for m in re.findall(pattern, text)}
        if said != {str(number)}:
            found[pattern] = f"{sorted(said)}, not {number}"
    return found


def test_the_documents_count_right() -> None:
    assert stated(TEXTS) == {}
    changes = ((f"catalogue holds {len(CATALOGUE)}", "catalogue holds 1"), ("18 proximal maps", "17 proximal maps"))
    for old, new in changes:
        assert len(stated({name: text.replace(old, new) for name, text in TEXTS.items()})) == 1, new


def rows(text: str) -> dict[str, str]:
    """The first cell of every row of every table -> the second."""
    found = {}
    for line in re.findall(r"^\| (.+) \|$", text, re.M):
        cells = [c.strip() for c in re.split(r"(?<!\\)\|", line)]
        if len(cells) > 1:
            found[cells[0]] = cells[1]
    return found


def strayed(concepts: str, notes: str) -> list[str]:
    """The statements of the page of concepts that the map does not have in these words and with this standing."""
    known = rows(notes)
    return [s for s, standing in rows(concepts).items() if known.get(s) != standing]


def test_standings_are_those_of_the_map() -> None:
    concepts, notes = TEXTS["docs/concepts.md"], TEXTS["paper_notes.md"]
    assert len(rows(concepts)) > 25
    assert strayed(concepts, notes) == []
    assert strayed(concepts.replace("| identity (II) | derived", "| identity (II) | proved"), notes) == [
        "identity (II)"
    ]
    assert len(strayed(concepts.replace("synthesis: any P", "synthesis: every P"), notes)) == 1


def test_the_declaration_of_the_page_is_all_that_it_takes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import torch
    from test_catalogue import complaints

    from figures import plots, report, tables
    from figures.data import Inputs

    (body,) = [b for _, b in blocks(TEXTS["docs/add_a_quantizer.md"], "python")]
    names: dict[str, Any] = {"Entry": Entry, "PUBLISHED": ()}
    exec(compile(body, "add_a_quantizer.md", "exec"), names)
    (entry,) = names["PUBLISHED"]
    assert list(complaints(entry, entry.name)) == []
    wrong = compile(body.replace("convex=False", "convex=True"), "add_a_quantizer.md", "exec")
    names["PUBLISHED"] = ()
    exec(wrong, names)
    assert any("convex" in said for said in complaints(names["PUBLISHED"][0], entry.name))

    few = {"BNN": CATALOGUE["BNN"], entry.name: entry}
    monkeypatch.setattr("theory.catalogue.CATALOGUE", few)
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert proxpair.main(["catalogue"]) == 0
        assert proxpair.main(["check", entry.name]) == 0
    assert re.search(rf"^{entry.name} +{entry.year} +smooth", out.getvalue(), re.M)
    assert f"{entry.name}: SMOOTH" in out.getvalue()
    made = [row for row, _ in catalogue_rows()]
    assert entry.name in tables.catalogue_sheet(made).csv()
    inputs = Inputs(tmp_path, catalogue=made)
    name = f"pair-{plots.slug(entry.name)}"
    assert name in plots.names(inputs)
    plot = plots.build(inputs, name)
    assert plot is not None
    assert {row["pair"] for row in plot.table.rows} == {entry.name}
    report.write_pages(Inputs(tmp_path, made), {})
    assert (tmp_path / "methods" / f"{plots.slug(entry.name)}.html").is_file()
    assert f'<a href="#{name}">{entry.name}</a>' in (tmp_path / "index.html").read_text(encoding="utf-8")
    layer = torch.nn.Linear(2, 2)
    proxpair.binarize(layer, entry.name, skip="none")
    assert set(layer.weight.flatten().tolist()) <= {-1.0, 1.0}
    fields = rows(TEXTS["docs/add_a_quantizer.md"])
    assert {f for cell in fields for f in re.findall(r"`(\w+)`", cell)} == set(Entry.__dataclass_fields__)


def test_the_versions_are_one() -> None:
    assert f"{proxpair.__version__} is the version under development" in TEXTS["CHANGELOG.md"]
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["version"] == proxpair.__version__


def citation_complaints(text: str) -> Iterator[str]:
    """What is wrong with a CITATION.cff by the schema of CFF 1.2.0, as far as this file uses it."""
    found = yaml.safe_load(text)
    allowed = {
        "cff-version",
        "message",
        "type",
        "title",
        "abstract",
        "version",
        "license",
        "authors",
        "keywords",
        "references",
    }
    yield from (f"unknown key {k}" for k in sorted(set(found) - allowed))
    for key in ("cff-version", "message", "title", "authors"):
        if not found.get(key):
            yield f"{key} is missing"
    if found.get("cff-version") != "1.2.0":
        yield "cff-version"
    if found.get("type", "software") not in ("software", "dataset"):
        yield "type"
    if found.get("license") != "MIT" or "MIT" not in (ROOT / "LICENSE").read_text(encoding="utf-8"):
        yield "license"
    for one in (found, *found.get("references", ())):
        for author in one.get("authors", ()):
            if set(author) not in ({"name"}, {"family-names", "given-names"}) or not all(
                isinstance(v, str) and v for v in author.values()
            ):
                yield f"author {author}"
    for one in found.get("references", ()):
        yield from (f"reference without {k}" for k in ("type", "title", "authors") if not one.get(k))
        if one.get("type") not in ("conference-paper", "article", "software"):
            yield "type of a reference"
        if not isinstance(one.get("year"), int) or not isinstance(one.get("conference", {}).get("name"), str):
            yield "year or conference of a reference"


def test_the_citation_is_a_valid_one() -> None:
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert list(citation_complaints(text)) == []
    changes: list[tuple[str, str]] = [
        ("cff-version: 1.2.0", "cff-version: 1.3.0"),
        ("message:", "massage:"),
        ("type: software", "type: program"),
        ("license: MIT", "license: GPL"),
        ("  - name: The", "  - nom: The"),
        ("family-names: Lu", "family-names: 3"),
        ("    year: 2023", "    year: NeurIPS"),
        ("    title: Under", "    titel: Under"),
        ("conference-paper", "paper"),
    ]
    for old, new in changes:
        assert list(citation_complaints(text.replace(old, new, 1))), new


def test_the_paper_is_named_alike_everywhere() -> None:
    (paper,) = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))["references"]
    families = [author["family-names"] for author in paper["authors"]]
    assert families == ["Lu", "Yu", "Li", "Partovi Nia"]
    said = ", ".join(families)
    for name in ("docs/index.md", "README.md", "paper_notes.md"):
        assert f"{said}, NeurIPS {paper['year']}" in " ".join(TEXTS[name].split()), name
