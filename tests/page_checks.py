"""What is wrong with a page, a LaTeX table or a pair of colours: rules that return what they found."""

from __future__ import annotations

import re
from functools import lru_cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

HOSTILE = "<script>alert('x')</script> & \"quoted\" %_#{}$~^\\"
VOID = {"meta", "img", "br", "wbr", "link", "input", "hr"}


class Page(HTMLParser):
    """What the checks need of a page; ``problems`` holds tags that are not closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.problems: list[str] = []
        self.feed(text)
        self.close()
        if self.open:
            self.problems.append(f"not closed: {self.open}")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open.pop() != tag:
            self.problems.append(f"</{tag}> out of place")

    def handle_data(self, data: str) -> None:
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attrs for name, attrs in self.tags if name == tag]


def wrong_with_page(text: str, folder: Path, root: Path | None = None) -> list[str]:
    """What is wrong with a page that lies in ``folder``; its links stay below ``root``, by default the same folder."""
    page = Page(text)
    found = list(page.problems)
    found += [f"an image without words: {a.get('src')}" for a in page.all("img") if not (a.get("alt") or "").strip()]
    ids = [str(attrs["id"]) for _, attrs in page.tags if "id" in attrs]
    found += [f"twice the id {i}" for i in set(ids) if ids.count(i) > 1]
    links = [str(attrs[key]) for _, attrs in page.tags for key in ("href", "src") if attrs.get(key) is not None]
    found += wrong_with_links(links, ids, folder, folder if root is None else root)
    if len(page.all("h1")) != 1 or page.all("html")[0].get("lang") != "en" or len(page.all("main")) != 1:
        found.append("no single h1, language or main")
    found += [f"no <{tag}>" for tag in ("header", "footer") if len(page.all(tag)) != 1]
    if len(page.all("script")) > 1:
        found.append("another script")
    if "http" in re.sub(r"<math.*?</math>", "", text):
        found.append("an address on a network")
    if {name for name, _ in page.tags} & {"iframe", "object", "embed", "link"}:
        found.append("something from outside")
    if "aria-sort" in text and "table.sortable" not in page.text.get("script", ""):
        found.append("no script that sorts")
    levels = [int(name[1]) for name, _ in page.tags if re.fullmatch("h[1-6]", name)]
    found += [f"a heading h{b} after h{a}" for a, b in pairwise(levels) if b > a + 1]
    if len(page.all("caption")) != len(page.all("table")):
        found.append("a table without a caption")
    found += ["a head of a table without its scope" for a in page.all("th") if a.get("scope") not in ("row", "col")]
    inside_labels = re.findall(r"<label\b.*?</label>", text, re.S)
    controls = len(page.all("input")) + len(page.all("select"))
    if controls != sum(label.count("<input") + label.count("<select") for label in inside_labels):
        found.append("a control without a label")
    return found


def wrong_with_links(links: list[str], ids: list[str], folder: Path, root: Path) -> list[str]:
    """Links that lead out of ``root``, to a file that is not there, or to no place in it."""
    found = []
    for link in links:
        address, _, place = link.partition("#")
        target = (folder / address).resolve()
        inside = ":" not in link and not link.startswith("/") and target.is_relative_to(root.resolve())
        if not inside or (address and not target.is_file()):
            found.append(f"a link that leads out: {link}")
        elif place and place not in (ids_of(target) if address else ids):
            found.append(f"a link to nowhere: {link}")
    return found


@lru_cache(maxsize=20)
def ids_of(path: Path) -> frozenset[str]:
    """The ids of a page."""
    return frozenset(re.findall(r'\bid="([^"]+)"', path.read_text(encoding="utf-8")))


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: str, b: str) -> float:
    high, low = sorted((luminance(a), luminance(b)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def wrong_with_latex(text: str) -> list[str]:
    """Unescaped special characters outside formulas, unbalanced braces, rows with another number of cells."""
    found = []
    body = text.split("\\midrule\n")[1].split("\\bottomrule")[0]
    begun = re.search(r"\\begin\{tabular\}\{(\w+)\}", text)
    if begun is None:
        return ["no tabular begins"]
    columns = len(re.findall(r"[lr]", begun[1]))
    for line in body.strip().split("\n"):
        plain = re.sub(r"(?<!\\)\$.*?(?<!\\)\$", "", line)
        plain = re.sub(r"\\(?:text\w+\{\}|[{}$&%#_])", "", plain)
        if plain.count("&") != columns - 1 or not plain.endswith("\\\\"):
            found.append(f"a row of another length: {line}")
        if re.search(r"[%#$_^~<>{}|]|\\(?!\\)(?!texttt)", plain.replace("\\\\", "")):
            found.append(f"a special character: {line}")
    if text.replace("\\{", "").replace("\\}", "").count("{") != text.replace("\\{", "").replace("\\}", "").count("}"):
        found.append("braces do not match")
    return found
