# SPDX-License-Identifier: GPL-3.0-only
"""A real cluster: a head and two nodes of Ray on this machine, with llama.cpp on both nodes.

It needs Ray, which is in an environment of its own: `make cluster` makes it and runs these tests.
Elsewhere they are left out.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from raylets import Cluster


collect_ignore_glob = [] if importlib.util.find_spec("ray") else ["test_*.py"]


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Return a cluster that serves, and end it: whatever is left of it is a failure."""
    from raylets import Cluster, orphans

    # A socket's path may have no more than 107 characters, and Ray makes long ones.
    folder = Path(tempfile.mkdtemp(prefix="mr", dir="/tmp"))
    before = orphans(folder)
    try:
        with Cluster(folder) as found:
            yield found
        left = orphans(folder) - before
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    assert not left, f"processes that outlive the cluster: {left}"


@pytest.fixture(autouse=True)
def own_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    """No variable of whoever runs the tests takes part."""
    for name in [name for name in os.environ if name.startswith("MODELD_")]:
        monkeypatch.delenv(name)
