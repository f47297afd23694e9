"""The addresses that a page of HTML names."""

from __future__ import annotations

from html.parser import HTMLParser


class Links(HTMLParser):
    """Collects href and src in ``found``."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [v for k, v in attrs if k in ("href", "src") and v]
