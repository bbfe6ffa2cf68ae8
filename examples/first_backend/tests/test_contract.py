# SPDX-License-Identifier: GPL-3.0-only
"""The backend and the source keep to the contracts of their kinds."""

from pathlib import Path

import pytest
from modeld_recite import Recite, TextFolder

import modeld
from modeld.requests import TokenizeRequest
from modeld.testing import BackendContract, SourceContract

RHYME = "Once upon a time there was a little boat. It had never been to sea, ohé! Then 🎈 it went."


class TestRecite(BackendContract):
    """Every check of the contract, on this backend and this model."""

    backend = Recite()
    prompt = "Once upon a time there"
    failing = TokenizeRequest(text="words that it has never read")

    @pytest.fixture
    def model(self, tmp_path: Path) -> modeld.ModelSpec:
        """A model as the source describes it; a path to its file is enough where that says it."""
        file = tmp_path / "rhyme.txt"
        file.write_text(RHYME, encoding="utf-8")
        return TextFolder(str(tmp_path)).spec(file)


class TestTextFolder(SourceContract):
    """Every check of the contract, on this source."""

    @pytest.fixture
    def source(self, tmp_path: Path) -> modeld.RegistrySource:
        """A folder with two models."""
        for name in ("one", "two"):
            (tmp_path / f"{name}.txt").write_text(RHYME, encoding="utf-8")
        return TextFolder(str(tmp_path))

    lost = TextFolder("/there/is/no/such/folder")
