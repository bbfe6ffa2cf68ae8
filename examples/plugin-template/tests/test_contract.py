# SPDX-License-Identifier: GPL-3.0-only
"""The backend and the source keep to the contracts of their kinds."""

from pathlib import Path

import pytest
from modeld_template.backend import TemplateBackend
from modeld_template.source import TemplateSource, spec_of

from modeld import ModelSpec, RegistrySource
from modeld.testing import BackendContract, SourceContract

RHYME = "Once upon a time there was a little boat. It had never been to sea, ohé! Then 🎈 it went."


@pytest.fixture
def rhyme(tmp_path: Path) -> Path:
    """Write a model."""
    file = tmp_path / "rhyme.template"
    file.write_text(RHYME, encoding="utf-8")
    return file


class TestTemplateBackend(BackendContract):
    """Every check of the contract, on this backend and this model."""

    backend = TemplateBackend()
    prompt = "Once upon a time there was a little boat"

    @pytest.fixture
    def model(self, rhyme: Path) -> ModelSpec:
        """Return the model as the source describes it."""
        return spec_of(rhyme)


class TestTemplateSource(SourceContract):
    """Every check of the contract, on this source."""

    lost = TemplateSource("/there/is/no/such/folder", ".template")

    @pytest.fixture
    def source(self, rhyme: Path) -> RegistrySource:
        """Return a folder with a model."""
        return TemplateSource(str(rhyme.parent), ".template")
