"""Settings of every test: hypothesis draws the same cases in every run and keeps no database."""

from __future__ import annotations

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
