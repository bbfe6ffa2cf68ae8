# SPDX-License-Identifier: GPL-3.0-only
"""What only real weights can show. SmolLM2 has a chat template, Gemma 3 sliding windows."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, ask, chat, positions

from modeld import FinishReason

pytestmark = pytest.mark.model

Start = Callable[..., Driver]

PROMPTS = (
    "The capital of France is",
    "Once upon a time there was a",
    "The three laws of robotics are:",
    "1, 2, 3, 4, 5,",
)
TALE = "The old man went down to the river and looked for his boat. " * 50


@pytest.fixture(params=["smollm2", "gemma3"])
def model(request: pytest.FixtureRequest) -> Path:
    return request.getfixturevalue(request.param)


def test_a_model_knows_the_capital_of_france(smollm2: Path, start: Start) -> None:
    generation = start(smollm2).read(ask(PROMPTS[0], max_tokens=8))
    assert generation.text.startswith(" Paris")
    assert (generation.end.usage.prompt_tokens, generation.reason) == (5, FinishReason.LENGTH)


def test_a_chat_is_answered_and_ends_by_itself(smollm2: Path, start: Start) -> None:
    generation = start(smollm2).read(
        chat("What is the capital of France? One word.", max_tokens=60)
    )
    assert "Paris" in generation.text
    assert generation.reason is FinishReason.STOP
    assert "<|" not in generation.text


def test_a_model_without_a_template_says_so(gemma3: Path, start: Start) -> None:
    assert "no chat template" in start(gemma3).read(chat("hello")).end.message


def test_a_stop_string_of_several_tokens_is_found(smollm2: Path, start: Start) -> None:
    driver = start(smollm2)
    whole = driver.read(ask(PROMPTS[3], max_tokens=30)).text
    assert " 9, 10" in whole
    cut = driver.read(ask(PROMPTS[3], max_tokens=30, stop=(" 9, 10",)))
    assert cut.text == whole[: whole.index(" 9, 10")]
    assert cut.reason is FinishReason.STOP


def test_a_generation_that_ends_inside_a_character_ends_before_it(
    model: Path, start: Start
) -> None:
    driver = start(model)
    prompt = "Emoji: \U0001f999\U0001f999\U0001f999"
    cuts = []
    for count in range(1, 9):
        generation = driver.read(ask(prompt, max_tokens=count, logprobs=0))
        written = b"".join(each.chosen.piece for each in generation.logprobs)
        assert generation.text == written.decode(errors="ignore")
        assert "\U0001f999".startswith(generation.text[:1])
        cuts.append(generation.text.encode() != written)
    assert set(cuts) == {True, False}


def test_greedy_generations_are_the_same_in_company(smollm2: Path, start: Start) -> None:
    driver = start(smollm2)
    alone = [driver.read(ask(prompt, max_tokens=16)).text for prompt in PROMPTS]
    together = driver.run(*[ask(prompt, max_tokens=16) for prompt in PROMPTS])
    assert [generation.text for generation in together] == alone


def test_greedy_generations_are_the_same_with_and_without_a_shared_prefix(
    smollm2: Path, start: Start
) -> None:
    tale = TALE[: len(TALE) // 2]
    prompts = [f"{tale} {ending}" for ending in ("Who was there?", "Why?", "And then?")]
    plain = start(smollm2, cache_tokens=0)
    alone = [plain.read(ask(one, max_tokens=16, cache_prompt=False)) for one in prompts]
    assert [generation.cached for generation in alone] == [0, 0, 0]
    sharing = start(smollm2)
    for _ in range(2):  # first from one that runs, then from what is kept
        together = sharing.run(*[ask(one, max_tokens=16) for one in prompts])
        assert [generation.text for generation in together] == [
            generation.text for generation in alone
        ]
    assert min(generation.cached for generation in together) > 250


def test_a_prompt_that_was_aborted_half_way_is_read_again_without_a_trace(
    model: Path, start: Start
) -> None:
    driver = start(model, ubatch=512, context=1024, cache_tokens=0)
    untouched = driver.read(ask(TALE, max_tokens=12)).text
    reads = driver.submit(ask(TALE, max_tokens=12))
    while reads not in driver.engine._generations:  # so long a prompt is read beside the steps
        driver.step()
    assert positions(driver)[0] == 511
    runner = driver.engine._runner

    def interrupt() -> None:
        while reads not in runner._interruptible:
            pass
        driver.engine.interrupt(reads)

    thread = threading.Thread(target=interrupt)
    thread.start()
    driver.step()
    thread.join()
    assert positions(driver)[0] == 511
    assert driver.finish(reads)[0].text == untouched
