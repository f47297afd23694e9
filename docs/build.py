"""Build the documents: `python docs/build.py [OUT]` writes OUT/docs (OUT is out/ without it).

The pages under docs/, CONTRIBUTING.md, CHANGELOG.md and paper_notes.md are copied to build/docs/source, the generated
pages are written beside them, and Sphinx runs over that folder from scratch, so that the same inputs give the same
bytes. Where nothing that goes in and nothing that came out has changed, nothing is done. Warnings are errors: Sphinx's
own, a name that does not resolve, and anything that a page would load from the network.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import sys
from pathlib import Path

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
WORK = ROOT / "build" / "docs"
EXTRA = {"CONTRIBUTING.md": "contributing.md", "CHANGELOG.md": "changelog.md", "paper_notes.md": "paper_notes.md"}
"""Documents of the root that are pages too, by the name of their page."""

_LINK = re.compile(r"(!?)\[([^\]]*)\]\(([^)\s]+)\)")
_LOADS = re.compile(
    r"""<(?:script|img|iframe|source|video|audio|embed)\b[^>]*?\bsrc\s*=\s*["']?(?:https?:)?//"""
    r"""|<link\b(?![^>]*\brel=["']?(?:canonical|search|next|prev))[^>]*?\bhref\s*=\s*["']?(?:https?:)?//""",
    re.I,
)
_STYLE_LOADS = re.compile(r"""@import\s+["']?(?:url\()?["']?(?:https?:)?//|url\(\s*["']?(?:https?:)?//""", re.I)
_ADDRESS = re.compile(r"\bat 0x[0-9a-f]{6,}")


def inputs() -> list[Path]:
    """Every file that the pages depend on."""
    code = [p for name in ("theory", "verify", "figures") for p in (ROOT / name).glob("**/*.py")]
    pages = [p for p in DOCS.glob("**/*") if p.is_file() and "__pycache__" not in p.parts]
    return sorted([*code, *pages, ROOT / "proxpair.py", ROOT / "constraints.txt", *(ROOT / n for n in EXTRA)])


def digest(out: Path) -> str:
    """What goes in: the bytes of the inputs, and which pictures are there."""
    found = hashlib.sha256(sys.version.encode())
    for path in inputs():
        found.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + hashlib.sha256(path.read_bytes()).digest())
    figures = out / "figures"
    names = sorted(p.name for p in figures.iterdir()) if figures.is_dir() else []
    found.update("\0".join(names).encode())
    return found.hexdigest()


def state(folder: Path) -> dict[str, str]:
    """What came out: the digest of every file of the built pages."""
    if not folder.is_dir():
        return {}
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {p.relative_to(folder).as_posix(): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


def relinked(text: str, here: str) -> str:
    """A document as a page: links to files that are no pages become their words; root documents get their page."""

    def link(match: re.Match[str]) -> str:
        mark, words, target = match.groups()
        path, _, anchor = target.partition("#")
        if "://" in target or not path:
            return match[0]
        file = (ROOT / here).parent / path
        try:
            name = file.resolve().relative_to(ROOT).as_posix()
        except ValueError:
            return words
        if name.startswith("docs/"):
            page = name.removeprefix("docs/")
        elif name in EXTRA:
            page = EXTRA[name]
        else:
            return words
        own = Path(here).relative_to("docs").parent if here.startswith("docs/") else Path()
        short = os.path.relpath(page, own).replace(os.sep, "/")
        return f"{mark}[{words}]({short}{'#' + anchor if anchor else ''})"

    parts = re.split(r"(^```.*?^```$|`[^`\n]+`)", text, flags=re.S | re.M)
    return "".join(part if part.startswith("`") else _LINK.sub(link, part) for part in parts)


def sources(out: Path | None) -> dict[str, bytes]:
    """Every source page, by its path below the source folder."""
    import generated

    pages: dict[str, bytes] = {}
    for path in sorted(DOCS.glob("**/*")):
        name = path.relative_to(DOCS).as_posix()
        if path.suffix == ".png":
            pages[name] = path.read_bytes()
        elif path.suffix == ".md":
            pages[name] = relinked(path.read_text(encoding="utf-8"), f"docs/{name}").encode()
    for name, page in EXTRA.items():
        pages[page] = relinked((ROOT / name).read_text(encoding="utf-8"), name).encode()
    made = {
        "commands.md": generated.commands_page(),
        "formats.md": generated.formats_page(pages["formats.md"].decode()),
        "gallery.md": generated.gallery_page(pages["gallery.md"].decode(), out),
        **generated.api(),
    }
    return {**pages, **{name: text.encode() for name, text in made.items()}}


def loads(text: str) -> list[str]:
    """What a page or a style sheet would load from the network when it is viewed."""
    return [m.group() for pattern in (_LOADS, _STYLE_LOADS) for m in pattern.finditer(text)]


def offline(folder: Path) -> list[str]:
    """The files of the built pages that would load something from the network."""
    files = [p for kind in ("html", "css") for p in sorted(folder.rglob(f"*.{kind}"))]
    return [p.relative_to(folder).as_posix() for p in files if loads(p.read_text(encoding="utf-8"))]


def unsteady(folder: Path) -> list[str]:
    """The built pages that show what another build would not: an address in memory, a path of this machine."""
    texts = ((p, p.read_text(encoding="utf-8")) for p in sorted(folder.rglob("*.html")))
    return [p.relative_to(folder).as_posix() for p, text in texts if _ADDRESS.search(text) or f"{ROOT}/" in text]


def build(out: Path) -> int:
    """Build into ``out``/docs; 0, or 1 with what is wrong on standard error."""
    from sphinx.cmd.build import main as sphinx

    source, target, stamp = WORK / "source", out / "docs", WORK / "stamp.json"
    shutil.rmtree(WORK, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    before = digest(out)
    for name, data in sources(out).items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    jobs = str(min(2, os.cpu_count() or 1))
    options = ["--quiet", "--fail-on-warning", "--keep-going", "--nitpicky", "--no-color"]
    options += ["--jobs", jobs, "--builder", "html"]
    code = sphinx([*options, "-c", str(DOCS), "-d", str(WORK / "doctrees"), str(source), str(target)])
    (target / ".buildinfo").unlink(missing_ok=True)
    checks = {"would load from the network": offline, "show an address in memory or a path of this machine": unsteady}
    for what, check in checks.items():
        if code == 0 and (bad := check(target)):
            print(f"docs: {what}: {', '.join(bad)}", file=sys.stderr)
            code = 1
    if code:
        return 1
    stamp.write_text(json.dumps({"out": str(out), "inputs": before, "pages": state(target)}), encoding="utf-8")
    return 0


def current(out: Path) -> bool:
    """Whether OUT/docs is what the present inputs give, and no file of it was changed since."""
    try:
        found = json.loads((WORK / "stamp.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    same = found.get("out") == str(out) and found.get("inputs") == digest(out)
    return bool(same and found.get("pages") == state(out / "docs") and found["pages"])


def main(arguments: list[str]) -> int:
    """The command."""
    if len(arguments) > 1 or arguments[:1] == ["--help"]:
        print(f"usage: python docs/build.py [OUT]\n\n{__doc__}")
        return 0 if arguments == ["--help"] else 2
    out = Path(arguments[0] if arguments else "out").resolve()
    if current(out):
        print(f"{out / 'docs' / 'index.html'} is up to date")
        return 0
    sys.path[:0] = [str(ROOT), str(DOCS)]
    code = build(out)
    print(
        f"open {out / 'docs' / 'index.html'}" if code == 0 else "docs: not built",
        file=sys.stderr if code else sys.stdout,
    )
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
