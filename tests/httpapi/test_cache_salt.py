# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path

import pytest

from modeld.errors import ConfigurationError
from modeld.settings import Settings
from tests.httpapi.fake_service import FakeService, client_of, make_app

KEYS = ("first-key-of-some-length", "second-key-of-some-length")


@pytest.fixture
def per_key(tmp_path: Path) -> Settings:
    """Settings that keep the caches of two keys apart."""
    file = tmp_path / "keys"
    file.write_text("\n".join(KEYS))
    return Settings(api_key_file=str(file), cache_per_key=True)


def salts(settings: Settings, *requests: tuple[str, str]) -> list[str]:
    """What the service gets for requests with these keys and salts of their own."""

    async def go() -> list[str]:
        service = FakeService()
        async with client_of(make_app(service, settings)) as client:
            for key, own in requests:
                body = {"prompt": "hi", "cache_salt": own}
                answer = await client.post("/infer", json=body, headers={"x-api-key": key})
                assert answer.status_code == 200
        return [request.cache_salt for request in service.requests]

    return asyncio.run(go())


def test_without_the_setting_a_request_has_its_own_salt(per_key: Settings) -> None:
    settings = Settings(api_key_file=per_key.api_key_file)
    assert salts(settings, (KEYS[0], ""), (KEYS[1], "mine")) == ["", "mine"]
    assert salts(Settings(), ("", ""), ("", "mine")) == ["", "mine"]


def test_requests_with_different_keys_never_share(per_key: Settings) -> None:
    first, second, again = salts(per_key, (KEYS[0], ""), (KEYS[1], ""), (KEYS[0], ""))
    assert first == again
    assert first != second


def test_a_clients_own_salt_counts_too(per_key: Settings) -> None:
    found = salts(per_key, (KEYS[0], ""), (KEYS[0], "a"), (KEYS[0], "b"), (KEYS[1], "a"))
    assert len(set(found)) == 4


def test_no_client_can_ask_for_the_salt_of_another(per_key: Settings) -> None:
    [victims] = salts(per_key, (KEYS[0], ""))
    [guessed] = salts(per_key, (KEYS[1], victims))
    assert guessed != victims


def test_the_same_key_has_the_same_salt_in_every_server(per_key: Settings) -> None:
    assert salts(per_key, (KEYS[0], "a")) == salts(per_key, (KEYS[0], "a"))


def test_a_key_has_one_salt_whichever_header_brings_it(per_key: Settings) -> None:
    async def go() -> None:
        service = FakeService()
        async with client_of(make_app(service, per_key)) as client:
            for headers in ({"x-api-key": KEYS[0]}, {"authorization": f"Bearer {KEYS[0]}"}):
                await client.post("/infer", json={"prompt": "hi"}, headers=headers)
        first, second = service.requests
        assert first.cache_salt == second.cache_salt

    asyncio.run(go())


def test_neither_the_key_nor_its_stored_hash_is_passed_on(per_key: Settings) -> None:
    [salt] = salts(per_key, (KEYS[0], ""))
    assert KEYS[0] not in salt
    assert hashlib.sha256(KEYS[0].encode()).hexdigest() not in salt
    assert len(salt) == 64


def test_caches_per_key_without_keys_stop_the_start() -> None:
    with pytest.raises(ConfigurationError, match="set api_key_file too") as refusal:
        make_app(FakeService(), Settings(cache_per_key=True))
    assert refusal.value.field == "cache_per_key"
