# SPDX-License-Identifier: GPL-3.0-only
"""What only real weights can show: SmolLM2 on OpenVINO, alone and beside Gemma 3 on llama.cpp."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator

import httpx
import pytest
from modeld_openvino.options import OpenVinoOptions
from modeld_openvino.plugin import OpenVino
from openvino_driver import GREEDY, Driver, ask, chat, opened

from modeld import Done, FinishReason, ModelSpec
from modeld.builtin.gguf.folder import GgufFolder
from tests.support.gguf.real_models import GEMMA3, SMOLLM2, models_folder
from tests.support.http.served import DEADLINE_S, serving

pytestmark = pytest.mark.model

CONTEXT = 512
ROOM_FOR_ONE_MB = 500
OPTIONS = json.dumps(
    {
        "*": {"context": CONTEXT, "slots": 2, "threads": 1},
        SMOLLM2: {"backend": "openvino"},
    }
)
PROMPTS = (
    "The capital of France is",
    "Once upon a time there was a",
    "The three laws of robotics are:",
)


@pytest.fixture(scope="module")
def smollm2() -> Iterator[Driver]:
    with opened(models_folder() / SMOLLM2, context=CONTEXT, slots=3) as driver:
        yield driver


def spec_of(name: str) -> ModelSpec:
    found = asyncio.run(GgufFolder(str(models_folder())).list_models())
    return next(spec for spec in found if spec.id == name)


def test_it_knows_the_capital_of_france(smollm2: Driver) -> None:
    response = smollm2.read(ask(PROMPTS[0], max_tokens=8))
    assert response.text.startswith(" Paris")
    assert isinstance(response.end, Done)
    assert response.end.usage.prompt_tokens == 5


def test_a_chat_ends_by_itself(smollm2: Driver) -> None:
    response = smollm2.read(
        chat("What is the capital of France? One word.", max_tokens=60, sampling=GREEDY)
    )
    assert "Paris" in response.text
    assert "<|" not in response.text
    assert isinstance(response.end, Done)
    assert response.end.finish_reason is FinishReason.STOP


def test_a_stop_text_of_several_tokens_is_found(smollm2: Driver) -> None:
    whole = smollm2.read(ask("1, 2, 3, 4, 5,", max_tokens=30)).text
    cut = smollm2.read(ask("1, 2, 3, 4, 5,", max_tokens=30, stop=(" 9, 10",)))
    assert cut.text == whole[: whole.index(" 9, 10")]


def test_several_requests_are_served_together(smollm2: Driver) -> None:
    responses = smollm2.run(*(ask(prompt, max_tokens=12) for prompt in PROMPTS))
    assert responses[0].text.startswith(" Paris")
    for response in responses:
        assert isinstance(response.end, Done)
        assert response.end.usage.completion_tokens == 12


def test_the_estimate_is_near_what_it_holds(smollm2: Driver) -> None:
    spec = spec_of(SMOLLM2)
    assert OpenVino().can_load(spec)
    said = OpenVino().estimate(spec, OpenVinoOptions(context=CONTEXT, slots=3)).total_bytes
    assert said == pytest.approx(smollm2.engine.held_bytes, rel=0.25)


def test_openvino_leaves_gemma_to_llama_cpp() -> None:
    assert not OpenVino().can_load(spec_of(GEMMA3))


def test_models_of_both_engines_swap_within_one_budget() -> None:
    arguments = ("--memory-budget-mb", str(ROOM_FOR_ONE_MB), "--models", OPTIONS)
    body = {"prompt": PROMPTS[0], "max_tokens": 4, "temperature": 0, "stream": False}
    with serving(models_folder(), *arguments) as served:
        contents: dict[str, set[str]] = {SMOLLM2: set(), GEMMA3: set()}
        for model in (GEMMA3, SMOLLM2, GEMMA3):
            response = httpx.post(
                f"{served.url}/infer", json=body | {"model": model}, timeout=4 * DEADLINE_S
            )
            assert response.status_code == 200, response.text
            contents[model].add(response.json()["content"])
            status = served.status()
            assert [each["model_id"] for each in status["instances"]] == [model]
            assert 0 < status["held_mb"] <= ROOM_FOR_ONE_MB
        assert status["evictions_total"] == 2
        assert all(len(found) == 1 for found in contents.values())
        assert next(iter(contents[SMOLLM2])).startswith(" Paris")
