# SPDX-License-Identifier: GPL-3.0-only
"""What holds for all tests, those of plugins too: each ``conftest.py`` takes all of it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import measurement
from tests.support.hosting.leaks import no_worker_stays
from tests.support.log_state import loggers_stay

__all__ = [
    "loggers_stay",
    "measured_processes",
    "no_worker_stays",
    "own_budget",
    "own_runtime_folder",
    "unmeasured_examples",
    "unmeasured_processes",
]

_numbers = itertools.count()


@pytest.fixture(scope="session", autouse=True)
def own_runtime_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The processes of these tests have memory budgets of their own, whoever else runs tests."""
    with pytest.MonkeyPatch.context() as environ:
        folder = tmp_path_factory.mktemp("runtime")
        environ.setenv("XDG_RUNTIME_DIR", str(folder))
        yield folder


@pytest.fixture(autouse=True)
def own_budget(own_runtime_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each test has a machine of its own, as far as the lock of the budget goes."""
    folder = own_runtime_folder / str(next(_numbers))
    folder.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(folder))


@pytest.fixture(scope="session", autouse=True)
def unmeasured_processes() -> Iterator[None]:
    """The processes that tests start are not measured, but for those of ``measured_processes``."""
    with measurement.unmeasured_processes():
        yield


@pytest.fixture(scope="module")
def measured_processes(unmeasured_processes: None) -> Iterator[None]:
    """Where coverage is measured, it is in the processes too that tests of this module start."""
    with measurement.measured_processes():
        yield


@pytest.fixture(autouse=True)
def unmeasured_examples(request: pytest.FixtureRequest) -> Iterator[None]:
    """What hypothesis runs a hundred times is not counted: plain tests must reach those lines."""
    if request.node.get_closest_marker("hypothesis") is None:
        yield
        return
    with measurement.unmeasured():
        yield
