# SPDX-License-Identifier: GPL-3.0-only
"""The backend keeps to its contract, with a tiny model and with a real one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import gguf
import pytest
from bert_gguf import random_bert
from modeld_llama_cpp.backend import LlamaCpp
from tiny_gguf import write_random

from modeld import GenerateRequest, ModelSpec
from modeld.builtin.gguf.folder import GgufFolder
from modeld.requests import EmbedRequest
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

    @pytest.fixture
    def model(self, tmp_path: Path) -> ModelSpec:
        return spec_of(write_random(tmp_path / "tiny.gguf", seed=343, chat_template=TEMPLATE))


class Vectors(BackendContract):
    """What the models that write no text have in common."""

    backend = LlamaCpp()
    options = {"slots": 2, "threads": 1, "chat_template": TEMPLATE}
    prompt = "the cat sat on the mat"
    failing = EmbedRequest(inputs=("the cat " * 100,))
    limit_s = 60.0
    quick_s = 0.5


class TestTinyEmbeddings(Vectors):
    @pytest.fixture
    def model(self, tmp_path: Path) -> ModelSpec:
        return spec_of(random_bert(1, gguf.PoolingType.MEAN).write(tmp_path / "bert.gguf"))


class TestTinyRankings(Vectors):
    @pytest.fixture
    def model(self, tmp_path: Path) -> ModelSpec:
        bert = random_bert(1, gguf.PoolingType.RANK)
        return spec_of(bert.write(tmp_path / "bert.gguf", add_eos=True))


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
