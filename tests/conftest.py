"""Settings of every test: hypothesis draws the same cases in every run and keeps no database."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

if TYPE_CHECKING:
    import torch

settings.register_profile("proxpair", derandomize=True, deadline=None, database=None)
settings.load_profile("proxpair")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--device", default="cpu", help="where tests of training run: auto, cpu or cuda")


@pytest.fixture(scope="session")
def device(request: pytest.FixtureRequest) -> torch.device:
    """The device of --device."""
    from verify.networks import pick_device

    return pick_device(request.config.getoption("--device"))


@pytest.fixture
def one_thread() -> Iterator[None]:
    """torch with one thread: sums are added in one order, and two test processes do not get in each other's way."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)
