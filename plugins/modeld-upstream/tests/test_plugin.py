# SPDX-License-Identifier: GPL-3.0-only
"""What modeld finds of this distribution, and how its servers are set."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from modeld_upstream.backend import BACKENDS, backends_of
from modeld_upstream.kinds import KINDS
from modeld_upstream.options import UpstreamOptions
from modeld_upstream.servers import UpstreamServer, UpstreamSettings
from modeld_upstream.source import UpstreamModels
from scripted_server import hello, scripted

from modeld import ModelSpec, Settings
from modeld.errors import ConfigurationError
from modeld.plugins.host import PluginHost
from modeld.settings import PluginTables, resolve, table_of
from tests.support.plugins.some_plugins import discover, status_of

URL = "http://127.0.0.1:9/v1"
TABLES = PluginTables(tables=(table_of("upstream", UpstreamSettings),))


def set_to(*servers: dict[str, Any]) -> Settings:
    return resolve({}, {"MODELD_UPSTREAM_SERVERS": json.dumps(servers)}, tables=TABLES).settings


def test_without_servers_it_brings_nothing_but_its_settings() -> None:
    status = status_of(discover(), "upstream")
    assert (status.distribution, status.state) == ("modeld-upstream", "active")
    assert status.provides == ("settings upstream",)


def test_servers_in_the_settings_have_backends_of_their_kinds() -> None:
    others = ({"name": name, "url": URL} for name in ("a", "c"))
    settings = set_to(*others, {"name": "b", "url": URL, "kind": "vllm"})
    host = PluginHost.discover(settings)
    assert {"upstream-generic", "upstream-vllm"} <= host.backends.keys()
    spec = ModelSpec(
        id="m", name="m", path=URL, format="upstream-vllm", metadata={"upstream.server": "b"}
    )
    assert host.choose_backend(spec).name == "upstream-vllm"


def test_a_wrong_server_stops_the_start_in_words() -> None:
    with pytest.raises(ConfigurationError, match="needs a url or a command"):
        set_to({"name": "a"})
    with pytest.raises(ConfigurationError, match="kind"):
        set_to({"name": "a", "url": URL, "kind": "lama"})


def test_each_kind_has_a_backend() -> None:
    assert [backend.kind.name for backend in BACKENDS] == list(KINDS)
    assert all(each.unserved_sampling == each.kind.unserved_sampling for each in BACKENDS)


def test_finding_the_plugin_imports_no_http_client() -> None:
    code = "import sys, modeld_upstream.plugin; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.split()) & {"aiohttp", "pydantic", "starlette", "modeld.hosting"}


def test_an_estimate_is_what_is_declared_or_the_file(tmp_path: Path) -> None:
    (tmp_path / "m.gguf").write_bytes(b"12345")
    server = UpstreamServer(name="a", command="serve {port}", files=(f"{tmp_path}/*",))
    (backend,) = backends_of([server], Settings())
    (spec,) = asyncio.run(UpstreamModels([server]).list_models())
    assert backend.estimate(spec, UpstreamOptions()).total_bytes == 5
    assert backend.estimate(spec, UpstreamOptions(memory_mb=3)).total_bytes == 3 << 20
    assert backend.context(spec, UpstreamOptions(context=512)) == 512


def test_the_doctor_says_which_servers_respond() -> None:
    async def main() -> None:
        async with scripted(hello) as there:
            servers = [
                UpstreamServer(name="there", url=there.url),
                UpstreamServer(name="astray", url=there.url.removesuffix("/v1"), kind="vllm"),
                UpstreamServer(name="down", url=URL),
                UpstreamServer(name="keyless", url=URL, key_file="/nowhere"),
                UpstreamServer(name="here", command="serve {port}", models=("m",)),
            ]
            found = [
                finding
                for backend in backends_of(servers, Settings())
                for finding in await backend.diagnose(None, UpstreamOptions(), None)  # type: ignore[arg-type]
            ]
        assert [(each.subject, each.level) for each in found] == [
            ("server there", "ok"),
            ("server down", "warning"),
            ("server keyless", "error"),
            ("server astray", "warning"),
        ]
        assert all(each.level == "ok" or each.fix for each in found)

    asyncio.run(main())


def test_the_doctor_says_where_caches_cannot_be_kept_apart() -> None:
    async def main() -> None:
        servers = [
            UpstreamServer(name=kind, kind=kind, command="serve {port}", models=("m",))
            for kind in KINDS
        ]
        for is_salted in (True, False):
            found = [
                finding
                for backend in backends_of(servers, Settings(cache_per_key=is_salted))
                for finding in await backend.diagnose(None, UpstreamOptions(), None)  # type: ignore[arg-type]
            ]
            kinds = [each for each in KINDS if each not in {"vllm", "modeld"}] if is_salted else []
            assert [each.subject for each in found] == [f"server {kind}" for kind in kinds]
            assert all("cache_per_key off" in each.fix for each in found)

    asyncio.run(main())
