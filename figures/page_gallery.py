"""The gallery: every figure of a folder as a small picture with its title and files, from the figures' declarations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

from figures import page
from figures.page import Shown


def page_text(
    groups: Sequence[tuple[str, str, Sequence[str]]], shown: Mapping[str, Shown], site: Sequence[page.Link]
) -> str:
    """gallery.html. ``groups``: (id, title, names of figures); those that were not drawn are left out."""
    parts, contents = [], []
    for name, title, figures in groups:
        items = "".join(_item(shown[figure], figure) for figure in figures if figure in shown)
        if items:
            contents.append((title, name))
            parts.append(page.section(name, title, f'<ul class="gallery">{items}</ul>'))
    lead = (
        "<p>Each picture is drawn from the CSV file beside it, and links to its place in the report. PDF and SVG keep "
        "their text; PNG has 200 dots per inch.</p>\n"
    )
    return page.document(
        "proxpair: gallery",
        "\n".join(parts) or "<p>No figure is in this folder.</p>",
        heading="Every figure",
        lead=lead,
        contents=contents,
        site=site,
        here="gallery.html",
    )


def _item(shown: Shown, name: str) -> str:
    title = escape(shown.plot.title)
    image = shown.image("figures/", shown.plot.alt)
    if shown.height > 1.3 * shown.width:  # its upper part says more than the whole made small
        image = image.replace("<img ", '<img class="tall" ', 1)
    return (
        f'<li id="picture-{escape(name)}"><a href="index.html#figure-{escape(name)}">'
        f"{image}</a>\n<h3>{title}</h3>\n"
        f"<p>{shown.links('figures/')} <br><code>{escape(page.command_of(name))}</code></p></li>"
    )


__all__ = ["page_text"]
