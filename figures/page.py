"""What every page shares: its frame with landmarks, the links between the pages of a folder, and a figure in HTML.

A page is one self-contained file: inline style and script, relative links, nothing from a network. It holds no time,
date or path, so the same results give the same bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

from figures.page_script import SCRIPT
from figures.page_style import STYLE
from figures.parts import Plot

Link = tuple[str, str]
"""(words, address below OUT)."""

KINDS = ("svg", "png", "pdf", "csv")
"""The files of a figure, in the order in which a page names them."""


_SCALE = 1.4 * 96 / 200
"""CSS pixels, 96 to the inch, for each dot of a PNG file."""


def pages(out: Path, coming: Iterable[str] = ()) -> tuple[Link, ...]:
    """The pages of a folder that are there or ``coming``, in the order of the navigation."""
    coming = set(coming)
    fixed = (("Report", "index.html"), ("Theorems", "theorems.html"), ("Gallery", "gallery.html"))
    profiles = sorted(path.name for path in out.glob("networks-*.html"))
    listed = (*fixed, *((f"Networks, {name[9:-5]}", name) for name in profiles), ("Documentation", "docs/index.html"))
    return tuple((words, name) for words, name in listed if name in coming or (out / name).is_file())


def document(
    title: str,
    main: str,
    *,
    lead: str = "",
    heading: str = "",
    contents: Sequence[Link] = (),
    site: Sequence[Link] = (),
    here: str = "",
    base: str = "",
    description: str = "",
    foot: str = "Verdicts are decided exactly, never by sampling. Numbers come from the CSV and JSON files of this "
    "folder; proofs, certificates and counterexamples are computed again when a page is made.",
) -> str:
    """A whole page. ``main`` and ``lead`` are HTML, everything else plain text.

    ``contents``: (words, id) of the sections of this page; ``site``: the pages of the folder, whose address from here
    begins with ``base``; ``here``: the address of this one.
    """
    brand = '<p class="brand">proxpair</p>'
    if site:
        first = site[0][1]
        now = {here: ' aria-current="page"'}
        items = "".join(
            f'<li><a href="{base}{escape(address)}"{now.get(address, "")}>{escape(words)}</a></li>'
            for words, address in site
        )
        brand = (
            f'<nav aria-label="Pages"><a class="brand" href="{base}{escape(first)}">proxpair</a><ul>{items}</ul></nav>'
        )
    inner = "".join(f'<li><a href="#{escape(name)}">{escape(words)}</a></li>' for words, name in contents)
    nav = f'<nav aria-label="On this page"><ul>{inner}</ul></nav>\n' if contents else ""
    about = f'<meta name="description" content="{escape(description)}">\n' if description else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n{about}<style>{STYLE}</style>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the content</a>\n'
        f'<header class="top"><div>\n{brand}\n<h1>{escape(heading or title)}</h1>\n{lead}</div></header>\n'
        f'{nav}<main id="main" tabindex="-1">\n{main}\n</main>\n<footer><p>{escape(foot)}</p></footer>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def section(name: str, title: str, *parts: str) -> str:
    """A section with its heading; empty parts are left out."""
    body = "\n".join(part for part in parts if part)
    return (
        f'<section id="{name}" aria-labelledby="{name}-title">\n<h2 id="{name}-title">{escape(title)}</h2>\n{body}\n'
        "</section>"
    )


@dataclass(frozen=True)
class Shown:
    """A figure that lies in a folder, as a page needs it: its size in CSS pixels, and the kinds of its files."""

    plot: Plot
    width: int
    height: int
    kinds: tuple[str, ...]

    @classmethod
    def of(cls, plot: Plot, folder: Path) -> Shown:
        """The figure as it lies there; on a page it is 1.4 times as large as on paper, where its words are small."""
        width, height = struct.unpack(">II", (folder / f"{plot.name}.png").read_bytes()[16:24])
        kinds = tuple(kind for kind in KINDS if (folder / f"{plot.name}.{kind}").is_file())
        return cls(plot, round(_SCALE * width), round(_SCALE * height), kinds)

    @property
    def picture(self) -> str:
        """The file that a page shows: the drawing of lines and text where there is one."""
        return f"{self.plot.name}.{'svg' if 'svg' in self.kinds else 'png'}"

    def links(self, base: str) -> str:
        """Links to its files; ``base``: the address of their folder."""
        name = escape(self.plot.name)
        return " ".join(f'<a href="{base}{name}.{kind}">{kind.upper()}</a>' for kind in KINDS if kind in self.kinds)

    def image(self, base: str, alt: str) -> str:
        """The <img> alone."""
        return (
            f'<img src="{base}{escape(self.picture)}" alt="{escape(alt)}" width="{self.width}" '
            f'height="{self.height}" loading="lazy">'
        )

    def html(self, command: str, base: str = "figures/") -> str:
        """The <figure>: picture, title, caption, files, and the command that makes it again."""
        plot = self.plot
        name = escape(plot.name)
        image = self.image(base, plot.alt).replace("<img ", f'<img style="max-width: {self.width}px" ', 1)
        return (
            f'<figure id="figure-{name}"><a href="{base}{escape(self.picture)}">{image}</a>\n'
            f"<figcaption><strong>{escape(plot.title)}.</strong> {escape(plot.caption)} "
            f'<span class="made">Files: {self.links(base)}. Made by <code>{escape(command)}</code>.</span>'
            "</figcaption></figure>"
        )


def command_of(name: str) -> str:
    """The command that draws a figure again."""
    return f"proxpair figures {name}"


__all__ = ["KINDS", "Link", "Shown", "command_of", "document", "pages", "section"]
