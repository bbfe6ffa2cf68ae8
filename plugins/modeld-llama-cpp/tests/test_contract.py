# SPDX-License-Identifier: GPL-3.0-only
"""The backend keeps to its contract, with a tiny model and with a real one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from modeld_llama_cpp.backend import LlamaCpp
from tiny_gguf import write_random

from modeld import GenerateRequest, ModelSpec
from modeld.builtin.gguf.folder import GgufFolder
from modeld.testing import BackendContract

TEMPLATE = "{% for each in messages %}<{{ each.role }}>{{ each.content }}{% endfor %}<assistant>"


def spec_of(file: Path) -> ModelSpec:
    """Return the model as the built-in source describes it."""
    specs = asyncio.run(_listed(file.parent))
    (spec,) = [each for each in specs if each.path == str(file)]
    return spec


async def _listed(folder: Path) -> list[ModelSpec]:
    return [*await GgufFolder(str(folder)).list_models()]


class TestTinyModel(BackendContract):
    backend = LlamaCpp()
    options = {"slots": 2, "context": 1024, "threads": 1}
    prompt = "abc"
    failing = GenerateRequest(prompt="a", regex="(")
    limit_s = 60.0
    quick_s = 0.5

    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory: pytest.TempPathFactory) -> ModelSpec:
        folder = tmp_path_factory.mktemp("contract")
        return spec_of(write_random(folder / "tiny.gguf", seed=343, chat_template=TEMPLATE))


@pytest.mark.slow
@pytest.mark.model
class TestSmolLM2(BackendContract):
    backend = LlamaCpp()
    options = {"slots": 2, "context": 1024, "threads": 1}
    failing = GenerateRequest(prompt="a", regex="(")
    limit_s = 60.0
    quick_s = 0.5

    @pytest.fixture
    def model(self, smollm2: Path) -> ModelSpec:
        return spec_of(smollm2)
