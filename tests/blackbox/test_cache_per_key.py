# SPDX-License-Identifier: GPL-3.0-only
"""Who is told that a prompt was there before: with a real model, over real sockets."""

from __future__ import annotations

from pathlib import Path

import httpx
import pytest

from tests.support.gguf.real_models import SMOLLM2, models_folder
from tests.support.http.served import DEADLINE_S, Served, serving

pytestmark = pytest.mark.model

SECRET = "The password of the vault on the fourth floor is a word that nobody would guess: "
OPTIONS = '{"*": {"context": 1024, "threads": 1}}'


def cached(served: Served, key: str, **body: object) -> int:
    """Return how many tokens of the secret prompt were in the cache for a client with this key."""
    response = httpx.post(
        served.url + "/infer",
        json={"prompt": SECRET, "max_tokens": 1, "stream": False, **body},
        headers={"x-api-key": key},
        timeout=DEADLINE_S,
    )
    tokens: int = response.json()["usage"]["cached_tokens"]
    return tokens


def with_keys(folder: Path, *arguments: str) -> tuple[str, ...]:
    keys = folder / "keys"
    keys.write_text("one-key\nother-key\n")
    return (
        *("--default-model", SMOLLM2, "--models", OPTIONS, "--api-key-file", str(keys)),
        *arguments,
    )


def test_without_the_setting_a_prompt_is_shared_by_all(tmp_path: Path) -> None:
    with serving(models_folder(), *with_keys(tmp_path)) as served:
        assert cached(served, "one-key") == 0
        assert cached(served, "other-key") > 10


def test_a_prompt_of_one_key_is_never_cached_for_another(tmp_path: Path) -> None:
    with serving(models_folder(), *with_keys(tmp_path, "--cache-per-key")) as served:
        assert cached(served, "one-key") == 0
        assert cached(served, "other-key") == 0
        assert cached(served, "one-key") > 10
        assert cached(served, "one-key", cache_salt="mine") == 0
        assert cached(served, "one-key", cache_salt="mine") > 10
        assert cached(served, "one-key", cache_prompt=False) == 0
