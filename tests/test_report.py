"""The report: its pages are whole, every verdict and every theorem unfolds to its evidence, and tables say the same.

Each rule is a function that returns what it found wrong, so that every rule also meets its mutant.
"""

from __future__ import annotations

import csv
import json
import re
import shutil
from dataclasses import replace
from html import unescape
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from page_checks import HOSTILE, Page, contrast, wrong_with_latex, wrong_with_page

import proxpair
from figures import (
    page,
    page_certificates,
    page_index,
    page_pairs,
    page_theorems,
    plots,
    report,
    style,
    tables,
    theorem_evidence,
    theorems,
)
from figures.data import Inputs, Table, read_verdicts
from figures.page_style import STYLE
from theory.checker import audit, rules
from theory.commands_catalogue import catalogue_rows
from theory.errors import InputError
from theory.files import csv_text, write_text
from verify import worst_cases


@pytest.fixture(scope="module")
def rows(results: Path) -> list[dict[str, Any]]:
    return read_verdicts(results / "catalogue.json", "")


@pytest.fixture(scope="module")
def out(results: Path) -> Path:
    return results


@pytest.fixture(scope="module")
def inputs(out: Path, rows: list[dict[str, Any]]) -> Inputs:
    return Inputs(out, rows, read_verdicts(out / "synthesized.json", ""), [row["name"] for row in rows])


@pytest.fixture(scope="module")
def index(out: Path) -> str:
    return (out / "index.html").read_text()


def folded(text: str, name: str) -> str:
    """The inside of the <details> with an id, those within it included."""
    start = text.index(f'<details id="{name}">')
    depth = 0
    for mark in re.finditer(r"<(/?)details\b", text[start:]):
        depth += -1 if mark[1] else 1
        if depth == 0:
            return text[start : start + mark.end()]
    raise AssertionError(name)


# --------------------------------------------------------------------------- whole pages


def test_every_page_is_whole(out: Path) -> None:
    found = {p.relative_to(out).as_posix(): wrong_with_page(p.read_text(), p.parent, out) for p in out.rglob("*.html")}
    assert {"index.html", "gallery.html", "theorems.html", "tables/catalogue.html", "methods/bnn.html"} <= set(found)
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        (r'alt="[^"]+"', 'alt=""', "without words"),
        (r'href="figures/maps.pdf"', 'href="figures/map.pdf"', "leads out"),
        (r'src="figures/maps.svg"', 'src="https://example.org/maps.svg"', "leads out"),
        (r'href="gallery.html"', 'href="../gallery.html"', "leads out"),
        (r'href="#networks"', 'href="#network"', "nowhere"),
        (r'id="theorem-1"', 'id="theorem-x"', "nowhere"),
        (r"</details>", "", "out of place"),
        (r"table\.sortable", "table", "sorts"),
        (r' lang="en"', "", "language"),
        (r"<h3>", "<h5>", "out of place"),
        (r"<h2([^>]*)>([^<]*)</h2>", r"<h3\1>\2</h3>", "h3 after h1"),
        (r"<caption>.*?</caption>", "", "caption"),
        (r'<th scope="col"', "<th", "scope"),
        (r'<label class="words">(.*?)</label>', r"\1", "label"),
    ],
)
def test_a_spoiled_page_would_be_seen(out: Path, index: str, old: str, new: str, words: str) -> None:
    spoiled = re.sub(old, new, index, count=1)
    assert spoiled != index
    assert any(words in w for w in wrong_with_page(spoiled, out))


def test_the_page_shows_every_figure_table_and_verdict(out: Path, inputs: Inputs, index: str) -> None:
    shown = Page(index)
    drawn = {path.stem for path in (out / "figures").glob("*.svg")}
    assert {a["src"] for a in shown.all("img")} == {f"figures/{name}.svg" for name in drawn}
    assert set(plots.pair_names(inputs)) <= {a.get("id") for a in shown.all("details")}
    assert len(shown.all("table")) >= 4
    assert all(a.get("width") and a.get("height") for a in shown.all("img"))


def test_every_figure_has_a_place_and_stands_in_the_gallery(out: Path, inputs: Inputs) -> None:
    assert {name for figures in page_index.PLACES.values() for name in figures} >= set(plots.SINGLE)
    assert dict(page_index.placed(["maps", "unheard-of", "pair-bnn"]))["more"] == ("unheard-of",)
    listed = [name for _, _, figures in page_index.groups(plots.names(inputs)) for name in figures]
    assert sorted(listed) == sorted(plots.names(inputs))
    gallery = Page((out / "gallery.html").read_text())
    drawn = {path.stem for path in (out / "figures").glob("*.csv")}
    assert {a.get("id") for a in gallery.all("li")} - {None} == {f"picture-{name}" for name in drawn}


def test_a_figure_without_svg_is_shown_as_png(inputs: Inputs, tmp_path: Path) -> None:
    plot = plots.build(inputs, "pair-bc")
    assert plot is not None
    plot.write(tmp_path, ("png", "pdf"))
    shown = page.Shown.of(plot, tmp_path)
    assert (shown.picture, shown.kinds) == ("pair-bc.png", ("png", "pdf", "csv"))


def test_the_pages_hold_neither_path_nor_time(out: Path) -> None:
    for path in out.rglob("*.html"):
        text = path.read_text()
        assert str(out) not in text
        assert "seconds" not in text
        assert not re.search(r"\b20\d\d-\d\d-\d\d\b", text)


def test_hostile_texts_stay_texts(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    keys = ("name", "title", "source", "scope", "reason", "coverage")
    hostile = {**rows[2], **dict.fromkeys(keys, HOSTILE), "notes": [HOSTILE]}
    hostile["witness"] = {"kind": HOSTILE, "points": [HOSTILE], "sentence": HOSTILE}
    hostile["repairs"] = [{**hostile["repairs"][0], "name": HOSTILE, "keeps": HOSTILE}]
    hostile["repairs_unfinished"] = [HOSTILE]
    hostile["certificate"] = {"accepted": False, "lemmas": 0, "reason": HOSTILE}
    inputs = Inputs(tmp_path, [hostile, rows[0]])
    shown = {}
    for name in plots.pair_names(inputs)[:1]:
        plot = plots.build(inputs, name)
        assert plot is not None
        plot.write(tmp_path / "figures", ("png",))
        shown[name] = page.Shown.of(plot, tmp_path / "figures")
    report.write_pages(inputs, shown)
    text = (tmp_path / "index.html").read_text()
    pages_ = list(tmp_path.rglob("*.html"))
    assert len(pages_) > 3
    assert {p: wrong_with_page(p.read_text(), p.parent, tmp_path) for p in pages_} == {p: [] for p in pages_}
    assert "alert('x')" in Page(text).text["h3"]
    # the mutant: the same text let through as it is
    assert "another script" in wrong_with_page(unescape(text), tmp_path)


def test_repairs_that_were_not_settled_are_named(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    (row,) = (row for row in rows if row["repairs"])
    for repairs in (row["repairs"], []):
        late = {**row, "repairs": repairs, "repairs_unfinished": ["flatten the backward map", "another"]}
        report.write_pages(Inputs(tmp_path, [late]), {})
        for path in (tmp_path / "index.html", *(tmp_path / "methods").glob("*.html")):
            assert "perhaps nearer: flatten the backward map; another." in path.read_text(), path
    report.write_pages(Inputs(tmp_path, [row]), {})
    assert "perhaps nearer" not in (tmp_path / "index.html").read_text()


def test_a_corollary_that_was_not_settled_is_not_passed_over(rows: list[dict[str, Any]]) -> None:
    smooth, refuted = (next(r for r in rows if r["verdict"] == v) for v in ("smooth", "unprincipled"))
    assert tables.corollary_words(refuted) is None
    assert tables.corollary_words({**smooth, "corollaries": None}) == "not settled in time"
    still = [{**c, "applies": "not settled"} for c in smooth["corollaries"]]
    assert tables.corollary_words({**smooth, "corollaries": still}) == "none settled"
    assert str(tables.corollary_words(smooth)).startswith("residual: ")


def test_a_page_without_runs_says_how_to_make_them(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    report.write_pages(Inputs(tmp_path, rows[:1]), {})
    text = (tmp_path / "index.html").read_text()
    assert wrong_with_page(text, tmp_path) == []
    assert "proxpair converge" in text
    assert "proxpair train" in text


def test_pages_name_each_other(out: Path, tmp_path: Path) -> None:
    assert [address for _, address in page.pages(out)] == ["index.html", "theorems.html", "gallery.html"]
    for name in ("docs/index.html", "networks-quick.html"):
        write_text(tmp_path / name, "")
    found = page.pages(tmp_path, ["index.html"])
    assert found == (
        *(("Report", "index.html"), ("Networks, quick", "networks-quick.html")),
        ("Documentation", "docs/index.html"),
    )
    text = page.document("t", "", site=found, here="networks-quick.html", base="../")
    assert 'href="../docs/index.html"' in text
    assert text.count('aria-current="page"') == 1


# --------------------------------------------------------------------------- the command


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_the_report_is_written_again_and_draws_only_what_is_missing(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(out, copy)
    for path in [*copy.rglob("*.html"), copy / "figures" / "pair-bc.png", copy / "tables" / "catalogue.tex"]:
        path.unlink()
    before = {
        p: p.stat().st_mtime_ns for p in (copy / "figures").glob("*.*") if p.stem != "pair-bc" and p.name[0] != "."
    }
    assert proxpair.main(["report", "--out", str(copy)]) == 0
    assert f"open {copy / 'index.html'}" in capsys.readouterr().out
    assert files_of(copy) == files_of(out)
    assert {p: p.stat().st_mtime_ns for p in before} == before


def test_a_report_without_results_says_what_makes_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert proxpair.main(["report", "--out", str(tmp_path / "none")]) == 2
    said = capsys.readouterr().err
    assert "proxpair paper" in said
    assert said.count("\n") == 1
    assert not (tmp_path / "none").exists()


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"forward": "sign(x"}, "entry 3, forward: "),
    ({"regularizer": {"largest": "]]>", "smallest": None}}, "entry 3, regularizer, largest: "),
    ({"params": {"beta": 5}}, "entry 3 has something unexpected under 'params'"),
    ({"year": "2016"}, "under 'year'"),
    ({"title": ["x"]}, "under 'title'"),
    ({"notes": [None]}, "under 'notes'"),
    ({"witness": {"kind": "k", "points": 5}}, "under 'witness'"),
    ({"certificate": {"accepted": True}}, "under 'certificate'"),
    ({"corollaries": [{"name": "convex"}]}, "under 'corollaries'"),
    ({"name": ""}, "no name of 1 to 80 printable characters"),
    ({"name": "x" * 81}, "no name of 1 to 80 printable characters"),
    ({"name": "B\u202eNN"}, "no name of 1 to 80 printable characters"),
    ({"name": "BNN "}, "the names 'BNN' and 'BNN ' give the same file name"),
]


@pytest.mark.parametrize(("change", "words"), BROKEN, ids=[words for _, words in BROKEN])
def test_a_broken_row_is_named_before_anything_is_written(
    rows: list[dict[str, Any]], tmp_path: Path, change: dict[str, Any], words: str
) -> None:
    with pytest.raises(InputError) as said:
        report.build(tmp_path / "out", [*rows[:2], {**rows[2], **change}], [])
    assert words in str(said.value)
    assert str(said.value).startswith(str(tmp_path / "out" / "catalogue.json"))
    assert not (tmp_path / "out").exists()


def test_a_broken_distance_is_named(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    repair = rows[2]["repairs"][0]
    for distance in (5, {}, {**repair["distance"], "same_sign": {"value": None, "low": "x"}}):
        broken = {**rows[2], "repairs": [{**repair, "distance": distance}]}
        with pytest.raises(InputError, match="a repair with something unexpected under 'distance'"):
            report.build(tmp_path / "out", [broken], [])


# --------------------------------------------------------------------------- verdicts


def test_every_verdict_unfolds_to_decomposition_certificate_and_picture(inputs: Inputs, index: str) -> None:
    assert len(inputs.catalogue) == 4
    for row, name in zip(inputs.catalogue, plots.pair_names(inputs), strict=False):
        inside = folded(index, name)
        assert f'<a href="#{name}">{tables.escape(row["name"])}</a>' in index
        assert f'src="figures/{name}.svg"' in inside
        principled = row["verdict"] != "unprincipled"
        assert ("Transform T" in inside, "Proximal map P" in inside) == (principled, principled)
        assert ("<dt>Witness</dt>" in inside, ">Repair<" in inside) == (not principled, not principled)
        proof = folded(inside, f"certificate-{name.removeprefix('pair-')}")
        assert "✓ accepted" in proof
        file = f"{name.removeprefix('pair-')}.certificate.json"
        assert f'href="methods/{file}"' in proof
        assert f"proxpair verify-certificate {file}" in proof
        made = json.loads((inputs.out / "methods" / file).read_bytes())
        lemmas = [lemma["statement"] for piece in made.get("pieces", []) for lemma in piece["lemmas"]]
        assert bool(lemmas) == principled
        for statement in lemmas:
            assert f"<li><code>{tables.breakable(statement)}</code>" in proof
        assert proof.count("<li>") == len(lemmas)


def test_the_facts_of_a_pair_and_the_pieces_of_its_certificate_are_those_of_the_files(
    inputs: Inputs, index: str
) -> None:
    said = {True: "yes", False: "no", None: "not settled"}
    for row, name in zip(inputs.catalogue, plots.pair_names(inputs), strict=False):
        inside = folded(index, name)
        facts = dict(
            re.findall(r'<dt>([^<]+)</dt><dd>(?:<div>.*?</div><code class="plain">)?(.*?)(?:</code>)?</dd>', inside)
        )
        wanted = {"Forward F": row["forward"], "Backward B": row["backward"]}
        if row["verdict"] != "unprincipled":
            r = row["regularizer"]
            keys = ("largest", "smallest")
            if r["largest"] == r["smallest"]:
                wanted["Regularizer r (μ = 1; largest = smallest)"] = r["largest"]
            else:
                wanted |= {f"Regularizer r (μ = 1), {key}": r[key] for key in keys}
            wanted |= {"Transform T": row["transform"], "Proximal map P": row["prox"]}
            assert facts["Convex r"] == said[row["convex_regularizer"]]
        assert {key: facts[key] for key in wanted} == {key: tables.breakable(text) for key, text in wanted.items()}
        assert facts["Literal criterion"] == said[row["literal_criterion"]]
        assert facts["Source"] == tables.escape(row["source"])

        file = inputs.out / "methods" / f"{name.removeprefix('pair-')}.certificate.json"
        made = json.loads(file.read_bytes())
        pieces = made.get("pieces", [])
        shown = re.findall(r'<tr><th scope="row">(.*?) &lt; x &lt; (.*?)</th><td>(.*?)</td>', inside)
        ends = [end.replace("oo", "∞").replace("-", "\N{MINUS SIGN}") for end in made.get("breakpoints", [])]
        kinds = [tables.escape(page_certificates.PIECES[piece["kind"]]) for piece in pieces]
        assert shown == list(zip(ends, ends[1:], kinds, strict=False))
        if pieces:
            assert len({piece["kind"] for piece in pieces}) == (2 if row["name"] == "BNN" else 1)


def test_the_filter_knows_every_row(rows: list[dict[str, Any]], index: str) -> None:
    form = index[index.index('<form class="filter"') : index.index("</form>")]
    for grade in {row["verdict"] for row in rows}:
        count = sum(row["verdict"] == grade for row in rows)
        assert re.search(rf'value="{grade}" checked> .*?<span class="count">{count}</span>', form)
    assert '<option value="no">no (2)</option>' in form
    body = index[index.index('id="table-catalogue"') :]
    marks = re.findall(r'<tr data-pair="([^"]+)" data-grade="(\w+)" data-convex="(\w*)".*?data-text="([^"]+)"', body)
    assert [(grade, unescape(text).split(" ")[0]) for _, grade, _, text in marks] == [
        (row["verdict"], row["name"]) for row in rows
    ]


def test_what_is_open_is_neither_yes_nor_no(rows: list[dict[str, Any]], tmp_path: Path) -> None:
    """An open question, and a pair without an r, are in neither answer of the filter; key numbers count principled."""
    open_row = {**rows[1], "convex_regularizer": None, "literal_criterion": None}
    report.write_pages(Inputs(tmp_path, [rows[0], open_row, rows[2]]), {})
    index = (tmp_path / "index.html").read_text()
    inside = folded(index, "pair-bnn")
    assert "<dt>Convex r</dt><dd>not settled</dd>" in inside
    assert "<dt>Literal criterion</dt><dd>not settled</dd>" in inside
    assert re.findall(r'<tr data-pair="([^"]+)" data-grade="\w+" data-convex="(\w*)"', index) == [
        ("pair-bc", "no"),
        ("pair-bnn", ""),
        ("pair-bnn-plus", ""),
    ]
    assert '<dd class="value">2 of 3</dd><dd class="more">1 smooth, 1 lipschitz, 1 unprincipled</dd>' in index


def spoiled_certificates(data: bytes) -> dict[str, bytes]:
    made = json.loads(data)
    lemma = made["pieces"][0]["lemmas"][0]
    other = {**made, "claim": {**made["claim"], "backward": "1"}}
    lemma["statement"] += " + 1"
    return {"changed lemma": json.dumps(made).encode(), "no JSON": b"{", "another claim": json.dumps(other).encode()}


def test_a_spoiled_certificate_is_shown_as_not_accepted(out: Path, rows: list[dict[str, Any]], tmp_path: Path) -> None:
    data = (out / "methods" / "bnn.certificate.json").read_bytes()
    assert page_certificates.judge(data, rows[1]).reason == ""
    assert page_certificates.judge(data, rows[0]).reason == "it is the certificate of another pair"
    assert page_certificates.judge(data, {**rows[1], "params": {"beta": "5"}}).reason
    for words, bytes_ in spoiled_certificates(data).items():
        judged = page_certificates.judge(bytes_, rows[1])
        assert judged.reason, words
        assert "NOT ACCEPTED" in page_certificates.answer(judged)
        (tmp_path / "bnn.certificate.json").write_bytes(bytes_)
        pair = page_pairs.Pair(rows[1], "pair-bnn", None, page_pairs.certificate_of(rows[1], tmp_path), "")
        assert "does not accept this file" in page_pairs.details(pair)
    # and without a file nothing is claimed
    pair = page_pairs.Pair(rows[1], "pair-bnn", None, page_pairs.certificate_of(rows[1], tmp_path / "none"), "")
    assert "accepted" not in page_pairs.details(pair)
    assert "its file is not in this folder" in page_pairs.details(pair)


def test_a_parameter_may_be_written_in_another_way_but_is_the_same_number() -> None:
    (row, data), *_ = catalogue_rows(names=["HWGQ"])
    assert data is not None
    assert row["params"] == {"step": "0.538"}  # and 269/500 in the certificate
    assert page_certificates.judge(data, row).reason == ""
    for params in ({"step": "0.539"}, {}, {"step": "0.538", "beta": "1"}, {"step": "not a number"}):
        assert page_certificates.judge(data, {**row, "params": params}).reason, params


def test_the_table_says_of_certificates_what_the_pages_say(out: Path, inputs: Inputs, tmp_path: Path) -> None:
    for path in (out / "methods").glob("*.certificate.json"):
        data = path.read_bytes()
        if path.name == "bnn.certificate.json":
            data = spoiled_certificates(data)["changed lemma"]
        write_text(tmp_path / "methods" / path.name, data.decode())
    (tmp_path / "methods" / "bc.certificate.json").unlink()
    write_text(tmp_path / "methods" / "of-an-old-catalogue.html", "")
    report.write_pages(Inputs(tmp_path, inputs.catalogue), {})
    with (tmp_path / "tables" / "catalogue.csv").open(newline="") as file:
        said = {r["Method"]: r["Certificate"] for r in csv.DictReader(file)}
    assert said["BC"] == "its file is not in this folder"
    assert said["BNN"].startswith("NOT ACCEPTED: ")
    assert said["BNN+"] == "accepted, a witness"
    assert said["MD-tanh"] == "accepted, 1 lemma"
    assert "✕ NOT ACCEPTED" in folded((tmp_path / "index.html").read_text(), "certificate-bnn")
    assert not (tmp_path / "methods" / "of-an-old-catalogue.html").exists()


def test_a_certificate_with_pieces_and_witness_is_not_said_to_give_a_transform() -> None:
    (row, data), *_ = catalogue_rows(names=["LeakySTE"])
    assert data is not None
    text = page_certificates.view(page_certificates.judge(data, row), "a.json", "a.json")
    assert "exclude T" in text
    assert "so T and P exist" not in text
    assert "no T has all the slopes" in text


def test_every_word_of_the_checker_has_its_words() -> None:
    assert set(page_certificates.RULES) == set(rules._RULES)
    assert set(page_certificates.WITNESSES) == set(audit.WITNESSES)
    assert set(page_certificates.PIECES) == {"S", "K", "Z"}


# --------------------------------------------------------------------------- theorems


def test_every_theorem_unfolds_to_its_evidence(out: Path, inputs: Inputs, index: str) -> None:
    table = theorems.make(inputs)
    alone = (out / "theorems.html").read_text()
    for k, line in enumerate(table.statements):
        name = page_theorems.target(k)
        for text in (index, alone):
            assert f'<a href="#{name}">{tables.symbols(line.statement)}</a>' in text
            inside = folded(text, name)
            for proof in line.proofs:
                assert f'<li>{tables.symbols(proof)} <span class="state good">✓ proved</span>' in inside
            for e in line.evidence:
                assert e.solved or f'<th scope="row">{tables.escape(e.how)}</th>' in inside
            for command in line.commands.split("; "):
                assert f"<code>{command}</code>" in inside


def test_no_worst_case_and_no_dropped_hypothesis_is_left_out(inputs: Inputs, index: str) -> None:
    table = theorems.make(inputs)
    evidence = index[index.index('<details id="letters">') :]
    for case in (x for x in table.lines if x.part == "worst cases"):
        assert tables.symbols(case.statement) in evidence
    for row in table.dropped:
        assert tables.escape(row.sentence) in evidence


def test_every_worst_case_that_can_be_solved_belongs_to_a_statement() -> None:
    known = {case for claim in theorems.CLAIMS for case in claim.cases}
    for setting in worst_cases.SETTINGS.values():
        for iterate in setting.iterates:
            for _, etas, _ in setting.sizes(3):
                names = {(statement, iterate) for statement, _ in setting.bounds(iterate, etas)}
                assert names
                assert names <= known


def test_a_violation_shows_at_its_statement(inputs: Inputs) -> None:
    table = theorems.make(inputs)
    first = replace(table.lines[0], status=theorems.VIOLATED)
    text = page_theorems.evidence(replace(table, lines=(first, *table.lines[1:])))
    assert "✕ VIOLATED" in folded(text, "theorem-1")
    assert "VIOLATED" not in folded(text, "theorem-2")
    assert "VIOLATED" not in page_theorems.evidence(table)


RUN = {
    "mode": "advance",
    "gradient": "exact",
    "max_closure_error": "1e-16",
    "min_D": "-1e-15",
    "gap_best": "0.1",
    "bound": "0.2",
}


def test_a_run_that_contradicts_the_theory_is_marked(out: Path, tmp_path: Path) -> None:
    assert tables.run_status(RUN) == "holds"
    assert tables.run_status({**RUN, "mode": "none", "max_closure_error": ""}) is None
    assert tables.run_status({**RUN, "bound": ""}) == "holds"
    assert tables.run_status({**RUN, "gap_best": "0.3", "gradient": "stochastic"}) == "holds"
    for change in ({"max_closure_error": "1e-3"}, {"max_closure_error": ""}, {"min_D": "-0.1"}, {"gap_best": "0.3"}):
        assert tables.run_status({**RUN, **change}) == "VIOLATED"
    shutil.copytree(out / "convergence", tmp_path / "convergence")
    file = tmp_path / "convergence" / "summary.csv"
    with file.open(newline="") as lines:
        runs = list(csv.DictReader(lines))
    report.write_pages(Inputs(tmp_path), {})
    assert "VIOLATED" not in (tmp_path / "index.html").read_text()
    runs[0]["max_closure_error"] = "0.001"
    file.write_text(csv_text(list(runs[0]), [list(run.values()) for run in runs]))
    report.write_pages(Inputs(tmp_path), {})
    index = (tmp_path / "index.html").read_text()
    assert f"<strong>VIOLATED</strong>: {runs[0]['problem']}, {runs[0]['method']}</li>" in index
    assert "ABOVE the tolerance" in index
    assert index.count("✕ VIOLATED") == 1
    assert (tmp_path / "tables" / "convergence.csv").read_text().count("VIOLATED") == 1


def test_a_fixed_pair_is_confirmed_by_runs_of_fixed_pairs_alone() -> None:
    modes = {"advance": "1", "sign-field": "1e-16", "fixed": "2e-16", "none": ""}
    runs = Table.of(("mode", "closure_first"), list(modes.items()))
    found = theorem_evidence.closure("closure_first", fixed=True)(SimpleNamespace(runs=runs))  # type: ignore[arg-type]  # it reads the runs alone
    assert found is not None
    assert (found.how, found.slack, found.violations) == ("2 float64 runs", 2e-16, 0)


def test_a_statement_without_proof_and_data_is_not_called_confirmed(inputs: Inputs) -> None:
    claim = replace(theorems.CLAIMS[0], proofs=(), sources=(), cases=())
    assert theorems._line(inputs, claim, {}).status == "no data"


def test_a_ratio_above_1_is_a_violation_whatever_the_file_says_of_it() -> None:
    row = {"gradient": "exact", "left": "0.1", "bound": "0.2", "tightest": "0.5"}
    assert not theorem_evidence._exceeds(row)
    assert theorem_evidence._exceeds({**row, "tightest": "1.1"})
    assert theorem_evidence._exceeds({**row, "left": "0.3"})
    assert not theorem_evidence._exceeds({**row, "left": "0.3", "tightest": "1.1", "gradient": "stochastic"})


def test_words_look_as_in_a_formula() -> None:
    assert tables.symbols("f o T, eta_t <= 1/L") == "f o T, η<sub>t</sub> ≤ 1/L"
    assert tables.symbols("convex f o T: D_{t+1}(v_t) & more") == (
        "convex f ∘ T: D<sub>t+1</sub>(v<sub>t</sub>) &amp; more"
    )
    assert "<script" not in tables.symbols(HOSTILE)


# --------------------------------------------------------------------------- colours and tables


@pytest.mark.parametrize("scheme", [0, 1], ids=["light", "dark"])
def test_colours_of_the_page_have_enough_contrast(scheme: int) -> None:
    blocks = re.findall(r":root \{([^}]*)\}", STYLE)
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", blocks[scheme]))
    pairs = [(a, b) for a in ("ink", "soft", "link") for b in ("paper", "wash")]
    pairs += [(g, f"{g}-bg") for g in style.GRADE_SIGN]
    assert {a: round(contrast(colors[a], colors[b]), 2) for a, b in pairs if contrast(colors[a], colors[b]) < 4.5} == {}
    assert contrast("#999999", "#ffffff") < 4.5


def test_badges_differ_without_colour() -> None:
    borders = {g: re.search(rf"\.badge\.{g} {{[^}}]*border-style: (\w+)", STYLE) for g in style.GRADE_SIGN}
    assert len({b.group(1) for b in borders.values() if b}) == 4
    assert len({re.sub("<[^>]*>", "", tables.badge(g)) for g in style.GRADE_SIGN}) == 4
    assert tables.badge("smooth/unprincipled").count("badge ") == 2
    assert tables.badge("<b>") == "&lt;b&gt;"


# --------------------------------------------------------------------------- tables


@pytest.mark.parametrize("name", ["catalogue", "synthesized", "convergence", "networks"])
def test_latex_tables_are_sound(out: Path, name: str) -> None:
    text = (out / "tables" / f"{name}.tex").read_text()
    assert wrong_with_latex(text) == []
    assert "\\toprule" in text
    assert "booktabs" in text


def test_latex_escapes_every_special_character() -> None:
    sheet = tables.Sheet("t", "", (tables.Column("a & b"), tables.Column("n", "number")), ((HOSTILE, -1.5e-16),))
    text = sheet.latex()
    assert wrong_with_latex(text) == []
    assert "a \\& b" in text
    assert "$-1.5 \\cdot 10^{-16}$" in text
    assert wrong_with_latex(text.replace("\\&", "&").replace("\\%", "%").replace("\\_", "_")) != []
    assert tables.latex_text("\\") == "\\textbackslash{}"


def test_csv_tables_keep_every_digit_and_the_texts(out: Path, rows: list[dict[str, Any]]) -> None:
    with (out / "tables" / "catalogue.csv").open(newline="") as file:
        read = list(csv.DictReader(file))
    assert [r["Method"] for r in read] == [row["name"] for row in rows]
    assert [r["Verdict"] for r in read] == [row["verdict"] for row in rows]
    assert read[1]["Largest r(x)"] == rows[1]["regularizer"]["largest"]
    assert read[2]["Convex r"] == ""
    assert read[0]["Convex r"] == "false"
    sheet = tables.Sheet("t", "", (tables.Column("v", "number"),), ((0.1 + 0.2,),))
    assert sheet.csv() == "v\n0.30000000000000004\n"


def test_infinite_numbers_and_missing_cells_have_their_keys() -> None:
    columns = (tables.Column("k"), tables.Column("v", "number"), tables.Column("w"), tables.Column("f", "flag"))
    sheet = tables.Sheet("t", "", columns, (("a", -float("inf"), None, None), ("b", float("inf"), "x", False)))
    html = sheet.html()
    assert 'data-sort="-Infinity">\N{MINUS SIGN}∞<' in html
    assert 'data-sort="Infinity">∞<' in html
    assert html.count('data-sort="">\N{EN DASH}<') == 2
    assert "$-\\infty$" in sheet.latex()


def test_a_dark_page_is_printed_light() -> None:
    assert re.findall(r"@media (.*?)prefers-color-scheme: dark", STYLE) == ["screen and ("]


def test_numbers_sort_by_value_and_missing_ones_last() -> None:
    sheet = tables.Sheet("t", "", (tables.Column("k"), tables.Column("v", "number")), (("a", 1e-7), ("b", None)))
    html = sheet.html()
    assert 'data-sort="1e-07"' in html
    assert 'data-sort=""' in html
    assert "1·10<sup>\N{MINUS SIGN}7</sup>" in html


def test_formulas_show_ties() -> None:
    text = tables.formula("sign(x)", (), "x", "F")
    assert "<mo>=</mo><mn>0</mn></mtd>" in text
    assert "<mn>\N{MINUS SIGN}1</mn>" in text
    assert Page(text).problems == []
    for relation, shown in (("<", "&lt;"), ("<=", "≤")):
        step = tables.formula(f"Piecewise((0, x {relation} 2), (1, True))")
        assert f"<mi>x</mi><mo>{shown}</mo><mn>2</mn>" in step
    assert "<mi>v</mi>" in tables.formula("x**2", (), "v", "T")
    assert "∞" in tables.formula("Piecewise((oo, x < 0), (0, True))")
    assert tables.formula("sign(sin(x))") == "<code>sign(sin(x))</code>"
