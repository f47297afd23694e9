"""Settings of every test: hypothesis draws the same cases in every run and keeps no database."""

from __future__ import annotations

import gc
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import torch
    from shared import Catalogued

settings.register_profile("proxpair", derandomize=True, deadline=None, database=None)
settings.load_profile("proxpair")
gc.set_threshold(50_000, 20, 20)  # formulas are many objects and few cycles: collecting them often costs a tenth


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where tests of training run: auto, cpu or cuda")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says in one line that the browser tests were not run, where they were wanted and there is no browser."""
    from browsers import NOT_RUN

    if any("test_browser.py" in report.nodeid for report in terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(NOT_RUN)


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device of --device."""
    from verify.networks import pick_device

    return pick_device(request.config.getoption("--device"))


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with four verdicts and their certificates, made-up runs, figures, tables and pages, only to be read.

    Drawing takes a while, so several test processes share one.
    """
    from filelock import FileLock

    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "results.lock"):
        folder = shared / "results"
        if not (folder / "index.html").is_file():
            _make_results(folder)
    return folder


def _make_results(folder: Path) -> None:
    from test_figures import NAMES, write_runs

    from figures import report
    from theory.commands_catalogue import catalogue_rows
    from theory.commands_synthesize import synthesized_dict
    from theory.files import write_bytes, write_text

    write_runs(folder)
    rows = []
    for row, certificate in catalogue_rows(names=list(NAMES)):
        rows.append(row)
        assert certificate is not None
        name = row["name"].lower().replace("+", "-plus")
        write_bytes(folder / "methods" / f"{name}.certificate.json", certificate)
    made = [{**synthesized_dict("tanh", "soft threshold", {}, with_theory=True), "name": "tanh of soft threshold"}]
    write_text(folder / "catalogue.json", json.dumps(rows))
    write_text(folder / "synthesized.json", json.dumps(made))
    assert report.redraw(folder, []) == [folder / "index.html"]


@pytest.fixture(scope="session")
def catalogued(tmp_path_factory: pytest.TempPathFactory) -> Catalogued:
    """The verdict and certificate of each entry, computed once for all processes of the run."""
    from shared import Catalogued

    base = tmp_path_factory.getbasetemp()
    return Catalogued((base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "catalogued")


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch with one thread: sums are added in one order, and two test processes do not get in each other's way."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
