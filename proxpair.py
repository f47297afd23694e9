"""proxpair: is a forward-backward pair for training binarized networks principled?

The public face. `import proxpair` gives the names people use, each loaded when it is first used;
the command `proxpair` collects the sub-commands that theory/, verify/ and figures/ define.

    >>> import proxpair
    >>> proxpair.check("sign(x)", "1").grade
    'smooth'
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from theory import version
    from theory.catalogue import CATALOGUE as CATALOGUE
    from theory.catalogue import lookup as lookup
    from theory.checking import Check as Check
    from theory.checking import check as check
    from theory.decision import decide as decide
    from theory.errors import InputError as InputError
    from theory.errors import Undecided as Undecided
    from theory.maps import PiecewiseMap as PiecewiseMap
    from theory.pairs import QuantizerPair as QuantizerPair
    from theory.parser import parse as parse
    from theory.proximal import evaluate as evaluate
    from theory.proximal import evolve as evolve
    from theory.proximal import prox_of as prox_of
    from theory.proximal import regularizer_of as regularizer_of
    from theory.synthesis import synthesize as synthesize

    __version__ = version.VERSION
    from verify.accounts import TrainingLedger as TrainingLedger
    from verify.inplace import attach as attach
    from verify.kernels import kernel as kernel
    from verify.lowering import lower as lower
    from verify.moving import PairSchedule as PairSchedule
    from verify.packing import harden as harden
    from verify.packing import hardened as hardened
    from verify.packing import load_checkpoint as load_checkpoint
    from verify.packing import load_packed as load_packed
    from verify.packing import save_checkpoint as save_checkpoint
    from verify.packing import save_packed as save_packed
    from verify.parq import prox_map as prox_map
    from verify.prepared import prepare as prepare
    from verify.quantizers import PairQuantizer as PairQuantizer
    from verify.quantizers import binarize as binarize
    from verify.quantizers import uniform_pair as uniform_pair

_HOME = {
    "CATALOGUE": "theory.catalogue",
    "lookup": "theory.catalogue",
    "Check": "theory.checking",
    "check": "theory.checking",
    "decide": "theory.decision",
    "InputError": "theory.errors",
    "Undecided": "theory.errors",
    "PiecewiseMap": "theory.maps",
    "QuantizerPair": "theory.pairs",
    "parse": "theory.parser",
    "evaluate": "theory.proximal",
    "evolve": "theory.proximal",
    "prox_of": "theory.proximal",
    "regularizer_of": "theory.proximal",
    "synthesize": "theory.synthesis",
    "lower": "verify.lowering",
    "TrainingLedger": "verify.accounts",
    "attach": "verify.inplace",
    "kernel": "verify.kernels",
    "PairSchedule": "verify.moving",
    "harden": "verify.packing",
    "hardened": "verify.packing",
    "load_checkpoint": "verify.packing",
    "load_packed": "verify.packing",
    "save_checkpoint": "verify.packing",
    "save_packed": "verify.packing",
    "prox_map": "verify.parq",
    "prepare": "verify.prepared",
    "PairQuantizer": "verify.quantizers",
    "binarize": "verify.quantizers",
    "uniform_pair": "verify.quantizers",
}
__all__ = ["__version__", "main", *_HOME]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return importlib.import_module("theory.version").VERSION
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'proxpair' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)


def _application() -> Any:
    import typer

    from figures import commands as figures_commands
    from theory import commands as theory_commands
    from theory import commands_catalogue, commands_certificate, commands_prox, commands_synthesize
    from verify import commands as verify_commands
    from verify import commands_probe, commands_studies, commands_worst

    app = typer.Typer(
        name="proxpair",
        help="Theory verification for neural-network binarization: check, synthesize and confirm quantizer pairs.",
        add_completion=False,
        pretty_exceptions_enable=False,
    )

    def show_version(wanted: bool) -> None:
        if wanted:
            typer.echo(f"proxpair {importlib.import_module('theory.version').VERSION}")
            raise typer.Exit

    @app.callback()
    def options(
        version: bool = typer.Option(
            False, "--version", callback=show_version, is_eager=True, help="Show the version."
        ),
    ) -> None:
        """Theory verification for neural-network binarization: check, synthesize and confirm quantizer pairs."""

    app.command("paper")(figures_commands.paper)
    app.command("check")(theory_commands.check)
    app.command("verify-certificate")(commands_certificate.verify_certificate)
    app.command("synthesize")(commands_synthesize.synthesize)
    # theory/ does not import figures/: what draws and writes pages is handed to it here
    commands_catalogue.attach_pages(lambda *given: importlib.import_module("figures.pages").write(*given))
    commands_catalogue.attach_table(
        lambda rows: importlib.import_module("figures.tables").catalogue_sheet(rows).latex()
    )
    app.command("catalogue")(commands_catalogue.catalogue)
    app.command("repair")(commands_catalogue.repair)
    commands_prox.attach_plotter(lambda data, path: importlib.import_module("figures.prox_plot").draw(data, path))
    app.command("prox")(commands_prox.prox)
    app.command("regularizer")(commands_prox.regularizer)
    app.command("evolve")(commands_prox.evolve)
    app.command("converge")(verify_commands.converge)
    app.command("hypotheses")(commands_studies.hypotheses)
    app.command("transforms")(commands_studies.transforms)
    app.command("worst-case")(commands_worst.worst_case)
    app.command("theorems")(figures_commands.theorems)
    app.command("train")(verify_commands.train)
    app.command("networks")(figures_commands.networks)
    app.command("probe")(commands_probe.probe)
    app.command("figures")(figures_commands.figures)
    app.command("report")(figures_commands.report)
    return app


def _one_line(text: str) -> str:
    return " ".join(text.split())


def main(argv: list[str] | None = None) -> int:
    """Run the command line; returns the exit code: 0, 1, 3 by the verdict, 2 bad input, 70 internal error."""
    import typer
    from typer.exceptions import TyperException

    from theory.errors import InputError, Undecided

    arguments = sys.argv[1:] if argv is None else argv
    try:
        code = _application()(args=arguments or ["--help"], prog_name="proxpair", standalone_mode=False)
        sys.stdout.flush()
        return int(code or 0)
    except InputError as error:
        message, code = str(error), 2
    except Undecided as error:
        message, code = f"not settled: {error}", 3
    except (typer.Abort, KeyboardInterrupt):
        message, code = "interrupted", 130
    except BrokenPipeError:
        # the reader went away; nothing is left to say
        sys.stderr.close()
        return 0
    except Exception as error:  # the last line of defence: no traceback reaches a user
        if isinstance(error, TyperException):
            text = error.format_message() if hasattr(error, "format_message") else str(error)
            message, code = text or "a sub-command was expected; proxpair --help lists them", 2
        else:
            message, code = f"internal error: {type(error).__name__}: {error}", 70
    print(f"proxpair: {_one_line(message)}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
