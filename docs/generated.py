"""The pages that are made when the documents are built: from the code, so that they cannot say something else."""

from __future__ import annotations

import ast
import importlib
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
_ORPHAN = ("---", "orphan: true", "---", "")
"""Begins a page that is in no table of contents: a sidebar with every module on every page would be too long."""
PACKAGES = ("theory", "theory.checker", "verify", "figures")


@dataclass(frozen=True)
class Public:
    """A public name of a module: what it is, "function", "class" or "data"."""

    name: str
    kind: str


def modules() -> list[str]:
    """Every module of the packages and proxpair, dotted, those whose name begins with an underscore left out."""
    found = []
    for package in PACKAGES:
        folder = ROOT / package.replace(".", "/")
        found += [f"{package}.{p.stem}" for p in sorted(folder.glob("*.py")) if not p.stem.startswith("_")]
    return [*found, "proxpair"]


def _flat(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements of a module, also those under an `if` or a `try`."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.Try):
            handlers = [n for h in node.handlers for n in h.body] if isinstance(node, ast.Try) else []
            yield from _flat([*node.body, *handlers, *node.orelse])


@cache
def public(module: str) -> list[Public]:
    """The public names that a module defines itself, in its order: those of ``__all__``, else without underscore."""
    tree = ast.parse((ROOT / (module.replace(".", "/") + ".py")).read_text(encoding="utf-8"))
    listed = getattr(importlib.import_module(module), "__all__", None)
    found: list[Public] = []
    for node in _flat(tree.body):
        for name, kind in _defined(node):
            shown = name in listed if listed is not None else not name.startswith("_")
            if shown and Public(name, kind) not in found:
                found.append(Public(name, kind))
    for node in tree.body:  # what is handed on and has no entry where it comes from
        if listed is not None and isinstance(node, ast.ImportFrom) and node.module in modules():
            own = {one.name for one in public(node.module)}
            names = [a.asname or a.name for a in node.names if a.name not in own]
            found += [Public(name, "data") for name in names if name in listed]
    return found


def _defined(node: ast.stmt) -> list[tuple[str, str]]:
    """The names that a statement defines, with what they are."""
    if isinstance(node, ast.FunctionDef | ast.ClassDef):
        return [(node.name, "class" if isinstance(node, ast.ClassDef) else "function")]
    if isinstance(node, ast.Assign):
        return [(t.id, "data") for target in node.targets for t in ast.walk(target) if isinstance(t, ast.Name)]
    if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
        return [(node.target.id, "data")]
    return []


def api_page(module: str) -> str:
    """The page of one module."""
    lines = [
        *_ORPHAN,
        f"# {module}",
        "",
        "```{eval-rst}",
        f".. automodule:: {module}",
        "   :no-members:",
        "",
    ]
    for one in public(module):
        if hasattr(getattr(importlib.import_module(module), one.name), "__metadata__"):
            # Sphinx would show the address of typer's object
            lines += [f".. py:data:: {module}.{one.name}", "", "   An option of the command line, by its type.", ""]
            continue
        lines.append(f".. auto{one.kind}:: {module}.{one.name}")
        if isinstance(getattr(importlib.import_module(module), one.name), Path):
            lines.append("   :no-value:")  # a path of this machine
        if one.kind == "class":
            lines.append("   :members:")
        lines.append("")
    return "\n".join([*lines, "```", ""])


def proxpair_page() -> str:
    """The page of the public face: what it gives, each name with a link to its entry."""
    face = importlib.import_module("proxpair")
    rows = []
    for name in face.__all__:
        one = getattr(face, name)
        home = f"proxpair.{name}" if name in ("main", "__version__") else f"{face._HOME[name]}.{name}"
        said = (inspect.getdoc(one) or "").split("\n\n")[0] if callable(one) else ""
        link = f"`{home}`" if name != "__version__" else "`theory.version.VERSION`"
        rows.append(f"| `{name}` | {link} | {_cell(said)} |")
    return (
        "\n".join(_ORPHAN) + "\n# proxpair\n\n```{eval-rst}\n.. automodule:: proxpair\n   :no-members:\n```\n\n"
        "| name | entry | what it is |\n|---|---|---|\n" + "\n".join(rows) + "\n\n"
        "```{eval-rst}\n.. autofunction:: proxpair.main\n```\n"
    )


def api() -> dict[str, str]:
    """API pages by file name, and their table of contents."""
    pages = {f"api/{m}.md": api_page(m) for m in modules() if m != "proxpair"}
    pages["api/proxpair.md"] = proxpair_page()
    rows = {m: f"| [{m}](api/{m}.md) | {_cell(_first(m))} |" for m in modules()}
    parts = [
        "# Python names\n",
        "The names that `import proxpair` gives are on the page [proxpair](api/proxpair.md).\n",
    ]
    for package in PACKAGES:
        own = [row for m, row in rows.items() if m.rpartition(".")[0] == package]
        parts.append(
            f"## {package}\n\n{_cell(_first(package))}\n\n| module | what it is for |\n|---|---|\n" + "\n".join(own)
        )
    return {**pages, "api_index.md": "\n\n".join(parts) + "\n"}


def _first(module: str) -> str:
    return (importlib.import_module(module).__doc__ or "").strip().split("\n\n")[0]


def _cell(text: str) -> str:
    """Text in a cell of a table: one line, no column marks outside of code."""
    return " ".join(text.split()).replace("|", "\\|").replace("``", "`")


# --------------------------------------------------------------------------- the command line

EXIT_CODES = (
    (0, "done; for a verdict: principled (smooth or lipschitz); for a certificate: accepted"),
    (1, "unprincipled; a certificate that is rejected; a statement that fails"),
    (2, "bad input: one sentence on standard error says what was expected and where, and nothing is left half-written"),
    (3, "undecided, or not settled in time"),
    (70, "an error of the program itself"),
    (130, "interrupted; runs with checkpoints go on when the same command is given again"),
)
"""What the exit codes of `proxpair` mean."""


def commands() -> dict[str, Any]:
    """The sub-commands of the application by name, as the command line itself has them."""
    import typer

    face = importlib.import_module("proxpair")
    return dict(typer.main.get_command(face._application()).commands)


def options(command: Any) -> set[str]:
    """Every option of a sub-command, as it is written."""
    return {o for p in command.params for o in (*p.opts, *p.secondary_opts) if o.startswith("-")} | {"--help"}


def commands_page() -> str:
    """Every sub-command with its arguments, options and exit codes."""
    lines = ["# Command line", "", "`proxpair COMMAND [ARGUMENTS] [OPTIONS]`; `proxpair --version` shows the version,"]
    lines += ["`proxpair COMMAND --help` what stands here.", "", "| exit code | meaning |", "|---|---|"]
    lines += [f"| {code} | {meaning} |" for code, meaning in EXIT_CODES]
    for name, command in commands().items():
        lines += ["", f"## {name}", ""]
        for paragraph in inspect.cleandoc(command.help or "").split("\n\n"):
            example = paragraph.startswith("Example: ")
            said = " ".join(paragraph.split()).removeprefix("Example: ")
            lines += [f"```sh\n{said}\n```" if example else _plain(said), ""]
        rows = [_parameter(p) for p in command.params]
        if rows:
            lines += ["| argument or option | value | what it is | without it |", "|---|---|---|---|", *rows]
    return "\n".join([*lines, ""])


def _parameter(p: Any) -> str:
    names = ", ".join(f"`{o}`" for o in (*p.opts, *p.secondary_opts)) if p.param_type_name == "option" else ""
    annotation = p.type_descriptor.annotation
    flag = annotation is bool
    kind = "" if flag else p.metavar or getattr(annotation, "__name__", str(annotation)).upper()
    default = "" if flag or p.default is None or callable(p.default) else f"`{p.default}`"
    if p.required:
        default = "required"
    value = f"`{kind}`" if names and kind else ""
    return f"| {names or f'`{p.metavar}`'} | {value} | {_plain(p.help or '')} | {default} |"


def _plain(text: str) -> str:
    """A help text as Markdown: what looks like a formula or markup stays as it is."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(p if p.startswith("`") else re.sub(r"([\\*_|<>\[\]])", r"\\\1", p) for p in parts)


# --------------------------------------------------------------------------- files

FILES: tuple[tuple[str, str, str, str], ...] = (
    ("convergence/summary.csv", "converge", "verify.converge.SUMMARY_HEADER", "a row per problem, method and schedule"),
    ("convergence/runs.csv", "converge", "verify.converge.RUNS_HEADER", "a row per run"),
    ("convergence/statements.csv", "converge", "verify.converge.STATEMENTS_HEADER", "a row per run and corollary"),
    ("convergence/ledger_PROBLEM_METHOD.csv", "converge", "verify.converge.LEDGER_HEADER", "a row per mark of a run"),
    (
        "convergence/exact.csv",
        "converge --exact",
        "verify.rational.EXACT_HEADER",
        "a row per run, in fractions",
    ),
    ("convergence/worst_cases.csv", "worst-case", "verify.worst_cases.HEADER", "a row per setting, statement and n"),
    ("convergence/hypotheses.csv", "hypotheses", "verify.hypotheses.HEADER", "a row per hypothesis that is dropped"),
    ("convergence/transforms.csv", "transforms", "verify.transforms.HEADER", "a row per transform, P and problem"),
    ("convergence/negative.csv", "transforms", "verify.transforms.NEGATIVE_HEADER", "a row per step"),
    ("convergence/escape.csv", "transforms", "verify.transforms.ESCAPE_HEADER", "a row per start in one dimension"),
    ("convergence/plane.csv", "paper", "verify.plane.HEADER", "a row per method and step"),
    ("networks/summary.csv", "train", "verify.train.SUMMARY", "a row per method"),
    ("networks/curves.csv", "train", "verify.train.CURVES", "a row per method, seed and epoch"),
    ("networks/ledger.csv, replay.csv", "train", "verify.train.LEDGER", "a row per method, seed and epoch"),
    ("networks/PROFILE/runs.csv", "train --profile", "verify.campaign.RUNS", "a row per trained network"),
    ("networks/PROFILE/curves.csv", "train --profile", "verify.campaign.CURVES", "a row per network and epoch"),
    ("networks/PROFILE/ledger.csv", "train --profile", "verify.campaign.LEDGER", "a row per network and mark"),
    ("networks/PROFILE/summary.csv", "train --profile", "verify.campaign.SUMMARY", "a row per experiment and method"),
    ("networks/PROFILE/paired.csv", "train --profile", "verify.campaign.PAIRED", "a row per pair of methods"),
)
"""CSV files: path below out/, the sub-command that writes it, the constant with its columns, what a row is."""

LEDGER_FILE = "verify.accounts.COLUMNS"
"""The columns of `TrainingLedger.write_csv`."""

WORDS = {
    "eta": "step size eta_t",
    "mu": "mu_t",
    "left": "left side of identity (I), summed to here",
    "d_first": "D_1(w)",
    "d_last": "D_{t+1}(w)",
    "d_sum": "sum of D_{t+1}(v_t)",
    "abs_sum": "sum of the absolute values of all terms so far; closure is relative to it",
    "closure_error": "difference of the two sides of (I), relative to abs_sum",
    "max_closure_error": "largest closure_error of the runs",
    "closure": "closure error of (I)",
    "closure_first": "closure error of (I)",
    "closure_second": "closure error of (II)",
    "min_D": "least D_t(w) at the comparators, on the grid and at brute-force minimisers; a wrong P makes it negative",
    "gap_best": "least F~(v_t) - F~(w) so far",
    "gap_mean": "eta-weighted mean of the gaps",
    "gap_average": "gap at the eta-weighted mean of v_1..v_t",
    "gap_last": "latest gap",
    "gap_average_next": "gap at the eta-weighted mean of v_2..v_{t+1}",
    "bound": "right side, blank where it is no bound",
    "residual": "sum D_{t+1}(v_t) / sum eta_t",
    "flips": "changes of a weight's level",
    "negative": "share of coordinates with B < 0",
    "negative_backward": "share of coordinates with B < 0",
    "difference_first": "left minus right of (I), an exact fraction",
    "difference_second": "the same for (II)",
    "digits": "digits of the longest number",
    "ratio": "left / bound, or worst case / bound",
    "violated": "whether the statement fails where it is claimed",
    "duality_gap": "relative duality gap of the solver",
    "mode": "advance (mu grows), fixed (a fixed pair), or why neither",
    "note": "what a reader must know, or blank",
    "hard_mean": "mean test accuracy of hardened networks, in [0, 1]",
    "soft_mean": "the same with w = F(u)",
    "hard_std": "standard deviation over the seeds (ddof = 1)",
    "soft_std": "the same with w = F(u)",
    "p_holm": "p value after Holm's correction over the planned comparisons",
    "p_exact": "sign-flip p value",
    "test": "test accuracy of the hardened network, in [0, 1]",
    "valid": "validation accuracy, in [0, 1]",
    "rate": "learning rate",
    "packed_bytes": "bytes of the packed weights",
    "D_first": "D_1(w)",
    "D_last": "D_{t+1}(w)",
    "D_sum": "sum of D_{t+1}(v_t)",
}
"""What columns mean whose names do not say it."""


def columns(constant: str) -> tuple[str, ...]:
    """The columns that a constant of the code holds."""
    module, _, name = constant.rpartition(".")
    return tuple(getattr(importlib.import_module(module), name))


def sheets() -> dict[str, tuple[str, ...]]:
    """The columns of the tables under out/tables that need no results."""
    tables = importlib.import_module("figures.tables")
    return {
        s.name: tuple(c.title for c in s.columns) for s in (tables.catalogue_sheet([]), tables.synthesized_sheet([]))
    }


def formats_page(text: str) -> str:
    """The page of formats: what is written by hand, then every CSV file with its columns, then objects of `check`."""
    lines = [text.rstrip(), "", "## CSV files", ""]
    used: list[str] = []
    for path, command, constant, row in FILES:
        found = columns(constant)
        used += [c for c in found if c not in used]
        lines += [f"### {path}", "", f"`proxpair {command}` writes it, {row}. Columns (`{constant}`):", ""]
        lines += [", ".join(f"`{c}`" for c in found) + ".", ""]
    lines += ["### The ledger of a training run", "", f"`TrainingLedger.write_csv`, columns (`{LEDGER_FILE}`):", ""]
    lines += [", ".join(f"`{c}`" for c in columns(LEDGER_FILE)) + ".", ""]
    for name, found in sheets().items():
        lines += [f"### tables/{name}.csv", "", f"Also as .tex and .html. Columns: {', '.join(found)}.", ""]
    lines += ["### What columns mean", "", "| column | meaning |", "|---|---|"]
    lines += [f"| `{c}` | {_plain(WORDS[c])} |" for c in used if c in WORDS]
    lines += ["", "## The object of check", "", "`proxpair check --json` prints one object; its keys:", ""]
    lines += [", ".join(f"`{k}`" for k in check_keys()) + ".", "", "For example, of BC:", "", "```json"]
    lines += [json.dumps(_example(), indent=1), "```", ""]
    return "\n".join(lines)


def _example() -> dict[str, Any]:
    from theory.catalogue import lookup
    from theory.checking import check

    entry = lookup("BC")
    return check(entry.forward, entry.backward).as_dict()


def check_keys() -> list[str]:
    """The keys of the object of `check`."""
    return list(_example())


# --------------------------------------------------------------------------- gallery


def gallery_page(text: str, out: Path | None) -> str:
    """Every declared figure with its picture where ``out``/figures has one."""
    plots = importlib.import_module("figures.plots")
    lines = [text.rstrip(), ""]
    for name, one in plots.SINGLE.items():
        title = getattr(one, "title", name)
        command = one.command_for(Path("out")) if hasattr(one, "command_for") else f"proxpair figures {name} --out out"
        said = f"Figure `{name}`. Its data come from `{command}`; `proxpair figures {name}` draws it."
        lines += [f"## {title}", "", said, ""]
        kinds = ("svg", "png", "pdf", "csv")
        there = [k for k in kinds if out is not None and (out / "figures" / f"{name}.{k}").is_file()]
        if not {"svg", "png"} & set(there):
            lines += ["The picture is shown here when the documents are built after `proxpair paper`.", ""]
            continue
        links = ", ".join(f'<a href="../figures/{name}.{k}">{k}</a>' for k in there)
        alt = escape(f"{title}; the numbers are in {name}.csv", quote=True)
        lines += [
            f'<p><img src="../figures/{name}.{there[0]}" alt="{alt}" loading="lazy"></p>',
            "",
            f"<p>{links}</p>",
            "",
        ]
    for prefix, (source, shown) in getattr(plots, "FAMILIES", {}).items():
        lines += [f"## {prefix}-NAME", "", f"{shown[:1].upper()}{shown[1:]}, from `{source}`.", ""]
    return "\n".join(lines)


__all__ = [
    "EXIT_CODES",
    "FILES",
    "LEDGER_FILE",
    "WORDS",
    "Public",
    "api",
    "api_page",
    "check_keys",
    "columns",
    "commands",
    "commands_page",
    "formats_page",
    "gallery_page",
    "modules",
    "options",
    "proxpair_page",
    "public",
    "sheets",
]
