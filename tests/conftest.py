# SPDX-License-Identifier: GPL-3.0-only
"""What holds for all tests."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.support import measurement
from tests.support.everywhere import *

# The scripts have tests too; they are no package, and import each other as they are started.
sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

# A busy machine makes any example slow; the time limit of a whole test is pytest's.
settings.register_profile("modeld", deadline=None)
settings.load_profile("modeld")


@pytest.fixture(scope="module")
def unmeasured() -> Iterator[None]:
    """Tests that ask for this take no longer where coverage is measured."""
    with measurement.unmeasured():
        yield


HERE = Path(__file__).parent
ONCE = (
    "deploy",
    "docs",
    "testctl",
    "test_bootstrap.py",
    "test_dead_code.py",
    "test_hygiene.py",
    "test_locks.py",
    "test_packaging.py",
    "test_wheel_tests.py",
)
"""What looks at this checkout and at other programs: no Python makes a difference there."""

COPIED = {"test_blocks.py", "test_first_backend.py", "test_writing_a_command.py"}
"""But authors of plugins copy the code of these pages, and run it on any Python."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what one Python is enough for, and begin with the files that take longest.

    Workers take whole files. One that begins last with minutes of work has the others wait for it.
    """
    if named := [item.nodeid for item in items if " at 0x" in item.nodeid]:
        # Each worker would know it by another name, and none would begin.
        raise pytest.UsageError(f"a test has an address in its name: {named[0]}")
    for item in items:
        here = item.path.is_relative_to(HERE) and item.path.name not in COPIED
        if here and item.path.relative_to(HERE).parts[0] in ONCE:
            item.add_marker("once")
    long = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in long)
