# SPDX-License-Identifier: GPL-3.0-only
"""With real weights: what is drafted changes no generation, and what rests changes none either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, Generation, ask

pytestmark = pytest.mark.model

Start = Callable[..., Driver]

SOURCE = '''def load_settings(path: Path) -> dict[str, object]:
    """Return the settings in a file."""
    settings = json.loads(path.read_text(encoding="utf-8"))
    if not isinstance(settings, dict):
        raise ValueError(f"{path} has no settings")
    return settings
'''
PROMPTS = (
    f"A file:\n```python\n{SOURCE}```\nThe same file again:\n```python\n",
    "Tell me a story about number 7 and then say what it means.",
    "1, 2, 3, 1, 2, 3, 1, 2, 3,",
    "A list of animals: a cat, a dog, a cow, a cat, a dog,",
)


def test_drafts_change_no_generation(smollm2: Path, start: Start) -> None:
    plain, drafting = (start(smollm2, context=2048, draft_tokens=most) for most in (0, 8))
    asked = [ask(prompt, max_tokens=48) for prompt in PROMPTS]
    wanted = [plain.read(one).text for one in asked]
    for tokens in range(1, 40):  # anything pays where more tokens take less time
        drafting.engine._scheduler.drafting.costs.note(tokens, 1.0 / tokens)
    assert [drafting.read(one).text for one in asked] == wanted
    assert [one.text for one in drafting.run(*asked)] == wanted


STORIES = [f"Tell me a story about number {n} and then say what it means." for n in range(4)]
INSTRUCTED = "Answer in one sentence, in plain words, and say no more than you know. "


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_a_prompt_has_the_same_generation_whatever_was_asked_before_it(
    model: str, start: Start, request: pytest.FixtureRequest
) -> None:
    """In the probabilities too, as those of two tokens may lie closer than rounding moves them."""
    path = request.getfixturevalue(model)
    fresh, caching = start(path, context=2048, cache_tokens=0), start(path, context=2048)
    cached = []
    for prompt in (*STORIES, *[INSTRUCTED + story for story in STORIES]):
        asked = ask(prompt, max_tokens=6, logprobs=1)
        expected = fresh.read(asked)
        assert expected.cached == 0
        for _ in range(2):  # after another one, and after itself
            found = caching.read(asked)
            assert found.text == expected.text
            assert logprobs(found) == pytest.approx(logprobs(expected), abs=1e-4)
            cached.append(found.cached)
    assert sum(count > 0 for count in cached) >= len(cached) - 3


def logprobs(generation: Generation) -> list[float]:
    return [each.chosen.logprob for each in generation.logprobs]
