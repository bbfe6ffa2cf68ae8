# SPDX-License-Identifier: GPL-3.0-only
"""With real weights: a chat that returns goes on as if its model had never left memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from driver import Driver, ask

pytestmark = pytest.mark.model

Start = Callable[..., Driver]
TALE = "The old man went down to the river and looked for his boat. " * 5
MOST = 1 << 28


@pytest.mark.parametrize("model", ["smollm2", "gemma3"])
def test_a_chat_goes_on_as_if_its_model_had_never_left(
    request: pytest.FixtureRequest, start: Start, tmp_path: Path, model: str
) -> None:
    path: Path = request.getfixturevalue(model)
    file, copy = tmp_path / "sessions", tmp_path / "copy"
    file.touch()
    here, there = start(path, context=512), start(path, context=512)
    here.engine.open_sessions(str(file), MOST)
    first = here.read(ask(TALE, max_tokens=12))
    here.engine.save_sessions()
    shutil.copyfile(file, copy)  # as the one that stays goes on with its own
    there.engine.open_sessions(str(copy), MOST)
    following = ask(f"{TALE}{first.text} And then", max_tokens=24)
    returned, stayed = there.read(following), here.read(following)
    assert (returned.text, returned.cached) == (stayed.text, stayed.cached)
    assert returned.cached > 60
