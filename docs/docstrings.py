"""Docstrings as they are written here, plain text with backticks, turned into what Sphinx reads; names into links."""

from __future__ import annotations

import importlib
import inspect
import re
from typing import Any, get_type_hints

from docutils import nodes
from generated import ROOT, public
from sphinx import addnodes
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

NAME = re.compile(r"(?:(?:theory|verify|figures)(?:\.[A-Za-z]\w*)+|proxpair\.[A-Za-z]\w*)")
"""A module of ours or a name in one, as it stands in backticks; names that begin with an underscore have no page."""

PLACEHOLDERS = {"theory.x"}
"""What stands for any name where the documents explain how names are written."""

_CODE = re.compile(r"``.+?``|`[^`\n]+`", re.S)
_SPECIAL = re.compile(r"([\\*|_])")
_ITEM = re.compile(r"(?:[-*]|\d+\.)\s")


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text)


def inline(text: str) -> str:
    """A paragraph: what stands in backticks becomes code, everything else is taken as it is."""
    parts, at = [], 0
    for code in _CODE.finditer(text):
        parts += [_escaped(text[at : code.start()]), _literal(code.group().strip("`"), text[code.end() :])]
        at = code.end()
    return "".join([*parts, _escaped(text[at:])])


def _literal(code: str, rest: str) -> str:
    # reStructuredText wants a break after inline code: an escaped space is one that is not shown
    return f"``{' '.join(code.split())}``" + ("\\ " if rest[:1].isalnum() else "")


def converted(lines: list[str]) -> list[str]:
    """The lines of one docstring as reStructuredText: paragraphs, lists, indented blocks as they stand, examples."""
    out: list[str] = []
    block: list[str] = []

    def flush() -> None:
        if block:
            out.extend(_block(block))
            out.append("")
            block.clear()

    for line in lines:
        if line.strip():
            block.append(line.rstrip())
        else:
            flush()
    flush()
    return out


def _block(block: list[str]) -> list[str]:
    if block[0].lstrip().startswith(">>>"):
        return [line.strip() for line in block]
    if all(line.startswith("    ") for line in block):
        return ["::", "", *(f"    {line[4:]}" for line in block)]
    if any(_ITEM.match(line) for line in block):
        return _listed(block)
    return inline("\n".join(line.strip() for line in block)).split("\n")


def _listed(block: list[str]) -> list[str]:
    """A list, possibly after a sentence: each item one paragraph, whatever its lines' indentation."""
    items: list[list[str]] = [[]]
    for line in block:
        if _ITEM.match(line):
            items.append([])
        items[-1].append(line.strip())
    out = inline(" ".join(items[0])).split("\n") if items[0] else []
    for item in items[1:]:
        mark, _, text = " ".join(item).partition(" ")
        out += ["", f"{'#.' if mark[0].isdigit() else '-'} {inline(text)}"]
    return out


def process(_app: Any, what: str, _name: str, obj: Any, _options: Any, lines: list[str]) -> None:
    """The hook of autodoc: ``lines`` are changed in place."""
    if what in ("data", "attribute") and "\n".join(lines).strip() == (inspect.getdoc(type(obj)) or "").strip():
        lines.clear()  # a constant without a docstring shows that of its type
    lines[:] = converted(lines)


def plain_annotations(_app: Any, obj: Any, _bound: bool) -> None:
    """The hook before signatures: what `typer` wants to know of an option is left out, its type is kept."""
    if not inspect.isfunction(obj):
        return
    try:
        hints = get_type_hints(obj, include_extras=True)
    except NameError:
        return  # a name that only type checkers import: no option has one
    if any(hasattr(hint, "__metadata__") for hint in hints.values()):
        obj.__annotations__ = get_type_hints(obj)


def portable(_app: Any, _what: str, _name: str, _obj: Any, _options: Any, signature: str | None, returns: Any) -> Any:
    """The hook after signatures: a default that is a path of this machine is shown as one below the repository."""
    return (signature and signature.replace(f"PosixPath('{ROOT}/", "Path('"), returns)


def target_of(text: str) -> str | None:
    """What a name in backticks links to: its own entry, the module of a name that has none, None for no link.

    Raises `LookupError` where nothing has that name.
    """
    names = text.split(".")
    if names == ["proxpair", "py"]:
        return None  # the file
    if names[0] == "proxpair":
        face = importlib.import_module("proxpair")
        if names[1] in face._HOME:
            return target_of(".".join([face._HOME[names[1]], *names[1:]]))
        if len(names) > 2 or names[1] not in face.__all__:
            raise LookupError(text)
        return text
    for k in range(len(names), 1, -1):
        module = ".".join(names[:k])
        try:
            found: Any = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        if hasattr(found, "__path__"):
            if k < len(names):
                raise LookupError(text)
            return None  # a package has no page
        for part in names[k:]:
            if not hasattr(found, part):
                raise LookupError(text)
            found = getattr(found, part)
        shown = k == len(names) or names[k] in {p.name for p in public(module)}
        return text if shown else module
    raise LookupError(text)


class NameLinks(SphinxTransform):
    """`theory.maps.PiecewiseMap` in backticks, in a page or a docstring, becomes a link to its entry."""

    default_priority = 200

    def apply(self, **_: Any) -> None:
        for literal in list(self.document.findall(nodes.literal)):
            text = literal.astext()
            inside = isinstance(literal.parent, nodes.reference | addnodes.pending_xref)
            if inside or not NAME.fullmatch(text) or text in PLACEHOLDERS:
                continue
            try:
                target = target_of(text)
            except LookupError:
                target = text  # Sphinx will say that there is no such name
            if target is None:
                continue
            link = addnodes.pending_xref("", refdomain="py", reftype="obj", reftarget=target, refexplicit=False)
            link["refwarn"], link["refdoc"] = True, self.env.docname
            literal.replace_self(link)
            link += literal


class TypeLinks(SphinxPostTransform):
    """A name in an annotation links to its entry if it is ours; Sphinx would take any entry with the same last name."""

    default_priority = 5

    def run(self, **_: Any) -> None:
        known = self.env.domains.python_domain.objects
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link.get("refdomain") != "py" or link.get("py:module") is None or link.get("reftype") == "obj":
                continue
            home = _home(link["py:module"], link["reftarget"])
            if home in known:
                link["reftarget"], link["reftype"], link["refspecific"] = home, "obj", False
            else:
                shown = [c for c in link.children if _condition(c) in ("", "resolved")]
                link.replace_self([n for c in shown for n in (c.children if _condition(c) else [c])])


def _condition(node: nodes.Node) -> str:
    """What Sphinx shows a part of a link for: "resolved" is the short name, "*" the full one."""
    return str(node["condition"]) if isinstance(node, addnodes.pending_xref_condition) else ""


def _home(module: str, name: str) -> str:
    """The full name of what ``name`` means in a module, empty if it means nothing of ours."""
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    own = getattr(found, "__module__", None)
    if own is None or getattr(found, "__qualname__", None) is None:
        return f"{module}.{name}"
    return f"{own}.{found.__qualname__}"


__all__ = [
    "NAME",
    "PLACEHOLDERS",
    "NameLinks",
    "TypeLinks",
    "converted",
    "inline",
    "plain_annotations",
    "portable",
    "process",
    "target_of",
]
