"""The page of one method on its own: maps, picture, decomposition or repairs, and certificate in one folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from figures import plots
from figures.page import Shown
from figures.page_certificates import judge
from figures.page_pairs import Pair, method_page
from theory.files import write_bytes, write_text


def write(folder: Path, row: Mapping[str, Any], certificate: bytes | None) -> Path:
    """Write NAME.html with NAME.png, .pdf, .csv and NAME.certificate.json; returns the page's path.

    ``row``: what `theory.commands_catalogue.catalogue_rows` makes; ``certificate``: None where there
    is none. Raises `InputError` if they cannot be written.
    """
    name = plots.slug(str(row["name"]))
    plot = plots.pair(row, name)
    plot.write(folder)
    if certificate is not None:
        write_bytes(folder / f"{name}.certificate.json", certificate)
    judged = None if certificate is None else judge(certificate, row)
    command = f"proxpair catalogue --method {row['name']} --out pages"
    pair = Pair(row, name, Shown.of(plot, folder), judged, command)
    return write_text(folder / f"{name}.html", method_page(pair, ""))


__all__ = ["write"]
