# SPDX-License-Identifier: GPL-3.0-only
"""Models and engines for the tests."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# So that tests find the modules of support/.
sys.path.insert(0, str(Path(__file__).parent / "support"))

import random_gguf
from openvino_driver import Driver, opened

from tests.support.everywhere import *


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a random model."""
    return random_gguf.write(tmp_path_factory.mktemp("models") / "tiny.gguf")


@pytest.fixture(scope="module")
def driver(tiny: Path) -> Iterator[Driver]:
    """Drives an engine with that model, a small cache and few slots."""
    with opened(tiny, slots=3, context=96) as driver:
        yield driver
