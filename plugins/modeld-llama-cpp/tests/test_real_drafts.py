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


@pytest.mark.usefixtures("resting")
def test_the_next_prompt_that_begins_alike_is_answered_as_if_it_were_the_first(
    smollm2: Path, start: Start
) -> None:
    prompts = [f"Tell me a story about number {n} and then say what it means." for n in range(6)]
    alone, resting = start(smollm2, cache_tokens=0), start(smollm2)
    for prompt in prompts:
        expected, found = (each.read(ask(prompt, max_tokens=24)) for each in (alone, resting))
        assert found.text == expected.text
        assert expected.cached == 0
        assert found.cached >= 6 or prompt is prompts[0]
