"""Settings of the documents: Sphinx, Furo and MyST; `build.py` prepares the pages and runs it.

Why these three. The API pages come from docstrings of typed, importable code and every name must resolve, which
Sphinx's autodoc and its domains do and static generators do not; MyST lets the pages be the Markdown that is read on
GitHub and checked by the tests; Furo is maintained, readable on a phone, and loads nothing from the network.
Formulas are text and inline code, so nothing has to be typeset when a page is viewed.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]
_docstrings = importlib.import_module("docstrings")
_version = importlib.import_module("theory.version").VERSION

project = "proxpair"
author = "The proxpair maintainers"
release = version = _version
language = "en"
smartquotes = False  # a prime is a derivative, and two hyphens are an option
extensions = ["myst_parser", "sphinx.ext.autodoc"]
exclude_patterns: list[str] = []
nitpicky = True
# names of other libraries and of typing stand in signatures; they have no page here
nitpick_ignore_regex = [("py:.*", r"(?!(theory|verify|figures|proxpair)(\.|$)).*")]
suppress_warnings: list[str] = []

myst_heading_anchors = 4
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
add_module_names = False
python_use_unqualified_type_names = True
maximum_signature_line_length = 100

html_theme = "furo"
html_title = f"proxpair {_version}"
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_last_updated_fmt = None
html_use_index = True
html_permalinks_icon = "#"
html_theme_options = {"navigation_with_keys": True}


def setup(app: Any) -> dict[str, Any]:
    """Docstrings are plain text, and names of ours in backticks become links."""
    app.connect("autodoc-process-docstring", _docstrings.process)
    app.connect("autodoc-before-process-signature", _docstrings.plain_annotations)
    app.connect("autodoc-process-signature", _docstrings.portable)
    app.add_transform(_docstrings.NameLinks)
    app.add_post_transform(_docstrings.TypeLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
