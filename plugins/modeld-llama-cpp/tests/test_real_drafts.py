# SPDX-License-Identifier: GPL-3.0-only
"""With real weights: what is drafted changes no generation, and what rests changes none either."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, ask

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
    path = request.getfixturevalue(model)
    fresh, caching = start(path, context=2048, cache_tokens=0), start(path, context=2048)
    found = []
    for prompt in (*STORIES, *[INSTRUCTED + story for story in STORIES]):
        expected = fresh.read(ask(prompt, max_tokens=24))
        assert expected.cached == 0
        for _ in range(2):  # after another one, and after itself
            found.append(caching.read(ask(prompt, max_tokens=24)))
            assert found[-1].text == expected.text
    assert sum(one.cached > 0 for one in found) >= len(found) - 3
