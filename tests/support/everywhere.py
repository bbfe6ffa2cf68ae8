# SPDX-License-Identifier: GPL-3.0-only
"""What holds for all tests, those of plugins too: each ``conftest.py`` imports it."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hosting.leaks import no_worker_stays
from tests.support.log_state import loggers_stay

__all__ = ["loggers_stay", "no_worker_stays", "own_budget", "own_runtime_folder"]

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
