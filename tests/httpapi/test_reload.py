# SPDX-License-Identifier: GPL-3.0-only
"""Settings that are read again while an application runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from modeld import ModelService, Settings, create_app, hookimpl
from modeld.errors import ConfigurationError
from modeld.httpapi.app import ModeldApp
from modeld.plugins.host import PluginHost
from modeld.settings import resolve
from tests.support.http.fake_service import FakePlugin, FakeService, client_of, make_app


class Reconfigured(FakeService):
    """Takes over all settings but those with a model ``wrong``."""

    def __init__(self) -> None:
        super().__init__()
        self.settings: list[Settings] = []

    async def reconfigure(self, settings: Settings) -> None:
        if "wrong" in settings.models:
            raise ConfigurationError("models['wrong'] is wrong", field="models")
        self.settings.append(settings)


class Served:
    """An application whose settings are in a file."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "modeld.yaml"
        self.keys = folder / "keys"
        self.service = Reconfigured()

    def write(self, **values: Any) -> None:
        self.file.write_text("\n".join(f"{name}: {value}" for name, value in values.items()))

    def app(self) -> ModeldApp:
        def read() -> Settings:
            return resolve({}, {"MODELD_MAX_WAIT_S": "7"}, str(self.file)).settings

        settings = read()
        plugins = PluginHost.discover(settings, {"fake": FakePlugin(self.service)})
        return create_app(settings, plugins, read=read)


@asynccontextmanager
async def served(folder: Path, **values: Any) -> AsyncIterator[tuple[Served, httpx.AsyncClient]]:
    it = Served(folder)
    it.write(**values)
    async with client_of(it.app()) as client:
        yield it, client


def test_what_has_changed_is_taken_over_and_what_needs_a_restart_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with served(tmp_path, default_model="a", addr="':1'", max_wait_s=1) as (it, client):
            it.write(default_model="b", addr="':2'", max_wait_s=2)
            response = await client.post("/admin/reload")
            assert response.json() == {"changed": ["default_model"], "needs_restart": ["addr"]}
            (settings,) = it.service.settings
            assert (settings.default_model, settings.addr) == ("b", ":1")
            assert settings.max_wait_s == 7, "the environment wins, as at the start"
            await client.post("/infer", json={"prompt": "x"})
            assert "POST /infer 200" in caplog.text
            assert "model=b" in caplog.text
            response = await client.post("/admin/reload")
            assert response.json() == {"changed": [], "needs_restart": ["addr"]}

    with caplog.at_level("INFO"):
        asyncio.run(main())


def test_settings_that_are_wrong_change_nothing_and_are_shown_until_they_are_right(
    tmp_path: Path,
) -> None:
    async def main() -> None:
        async with served(tmp_path, default_model="a") as (it, client):
            for wrong, said in (
                ("default_modl: b", "did you mean 'default_model'"),
                ("models: {wrong: {}}", "models['wrong'] is wrong"),
                ("a: [", "modeld.yaml"),
            ):
                it.file.write_text(wrong)
                response = await client.post("/admin/reload")
                body = response.json()
                assert (response.status_code, body["reason"]) == (422, "invalid_settings")
                assert said in body["error"]
                assert (await client.get("/status")).json()["settings_error"] == body["error"]
            assert it.service.settings == []
            it.write(default_model="a")
            assert (await client.post("/admin/reload")).status_code == 200
            assert "settings_error" not in (await client.get("/status")).json()

    asyncio.run(main())


def test_keys_are_read_again_and_those_of_before_open_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        keys = tmp_path / "keys"
        keys.write_text("old-key\n")
        async with served(tmp_path, api_key_file=str(keys)) as (_, client):
            old, new = ({"Authorization": f"Bearer {name}-key"} for name in ("old", "new"))
            assert (await client.post("/admin/reload")).status_code == 401
            keys.write_text("new-key\n")
            response = await client.post("/admin/reload", headers=old)
            assert response.json()["changed"] == ["api_key_file"]
            assert (await client.get("/models", headers=old)).status_code == 401
            assert (await client.get("/models", headers=new)).status_code == 200
            keys.write_text("# none\n")
            response = await client.post("/admin/reload", headers=new)
            assert response.json()["reason"] == "invalid_settings"
            assert (await client.get("/models", headers=new)).status_code == 200

    asyncio.run(main())


def test_settings_of_a_program_are_not_reloaded() -> None:
    async def main() -> None:
        async with client_of(make_app(FakeService())) as client:
            response = await client.post("/admin/reload")
            assert (response.status_code, response.json()["reason"]) == (400, "not_supported")

    asyncio.run(main())


def test_a_service_that_takes_over_nothing_says_so(tmp_path: Path) -> None:
    class Plain:
        @hookimpl
        def modeld_build_service(self) -> ModelService:
            return FakeService()

    async def main() -> None:
        settings = Settings()
        plugins = PluginHost.discover(settings, {"plain": Plain()})
        async with client_of(create_app(settings, plugins, read=Settings)) as client:
            response = await client.post("/admin/reload", content=b"")
            assert (response.status_code, response.json()["reason"]) == (400, "not_supported")
            refused = await client.post("/admin/reload", json={"now": True})
            assert refused.json()["field"] == "now"

    asyncio.run(main())
