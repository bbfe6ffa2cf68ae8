# SPDX-License-Identifier: GPL-3.0-only
"""Models and engines for the tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

# So that tests find the modules of support/.
sys.path.insert(0, str(Path(__file__).parent / "support"))

import tiny_gguf
import wide_vocabulary
from driver import Driver, open_driver
from modeld_llama_cpp.constraints.matching.matcher_cache import Constraints
from modeld_llama_cpp.sampling.sampler import Samplers
from modeld_llama_cpp.tokens.vocabulary import Vocabulary
from sampler_rig import CONTEXT_LENGTH, SamplerFor

from tests.support.everywhere import *

# A busy machine makes any example slow; the time limit of a whole test is pytest's.
settings.register_profile("modeld", deadline=None)
settings.load_profile("modeld")


@pytest.fixture(scope="session")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture
def resting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ended requests rest in their cells."""
    monkeypatch.setattr("modeld_llama_cpp.engine.engine.RESTS", True)


@pytest.fixture(scope="session")
def scripted(model_folder: Path) -> Path:
    """The model that goes on with the alphabet."""
    return tiny_gguf.write_scripted(model_folder / "alphabet.gguf")


@pytest.fixture(scope="session")
def random(model_folder: Path) -> Path:
    """The model whose answer depends on all of its memory.

    Of 400 seeds this is the one with the widest gap between the best token and the second best
    over the prompts of test_engine.py, so that rounding, which differs between processors and
    between sizes of a batch, does not change what is best.
    """
    return tiny_gguf.write_random(model_folder / "random.gguf", seed=343)


@pytest.fixture
def start() -> Iterator[Callable[..., Driver]]:
    """Opens engines, and closes them after the test."""
    opened: list[Driver] = []

    def open_and_remember(path: Path, **options: object) -> Driver:
        opened.append(open_driver(path, **options))
        # Steps that take no time teach nothing, so what is drafted is the same on any machine.
        opened[-1].engine._clock = lambda: 0.0
        return opened[-1]

    yield open_and_remember
    for driver in opened:
        driver.engine.close()


@pytest.fixture(scope="session")
def wide_model(model_folder: Path) -> Iterator[int]:
    """The model that is only the wide vocabulary."""
    model = wide_vocabulary.load(wide_vocabulary.write(model_folder / "wide.gguf"))
    yield model
    wide_vocabulary.free(model)


@pytest.fixture(scope="session")
def samplers(wide_model: int) -> Iterator[Samplers]:
    """What the samplers of that model share."""
    samplers = Samplers(wide_model, CONTEXT_LENGTH)
    yield samplers
    samplers.close()


@pytest.fixture(scope="session")
def constraints(wide_model: int) -> Iterator[Constraints]:
    """Makes matchers for that model's tokens."""
    constraints = Constraints(Vocabulary(wide_model))
    yield constraints
    constraints.close()


@pytest.fixture
def sampler_for(samplers: Samplers, constraints: Constraints) -> Iterator[SamplerFor]:
    """Makes samplers, and closes them after the test."""
    sampler_for = SamplerFor(samplers, constraints)
    yield sampler_for
    sampler_for.close()


@pytest.fixture(scope="session")
def real_models() -> Path:
    """The folder with the two real models."""
    folder = Path(os.environ.get("MODELD_TEST_MODELS") or Path(__file__).parents[3] / "models")
    if not list(folder.glob("*.gguf")):
        pytest.fail(
            f"there are no models in {folder}; run `make models`, or name another folder in"
            " MODELD_TEST_MODELS"
        )
    return folder


@pytest.fixture(scope="session")
def smollm2(real_models: Path) -> Path:
    return real_models / "SmolLM2-135M-Instruct.Q4_1.gguf"


@pytest.fixture(scope="session")
def gemma3(real_models: Path) -> Path:
    return real_models / "gemma-3-270m-q4_k_m.gguf"
