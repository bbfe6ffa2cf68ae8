# SPDX-License-Identifier: GPL-3.0-only
"""Models that are to leave memory: their file is gone, or somebody wants it, beside long work."""

import asyncio
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.http.served import Ledger, Served, ask, client, lines, script, serving, until

SHORTS = 12
"""So many short requests, and a stream of a second is a long one."""


@pytest.mark.parametrize("pinned", [False, True])
def test_a_deleted_models_memory_is_freed_and_the_server_is_not_ready(
    rig_models: Path, tmp_path: Path, pinned: bool
) -> None:
    folder = tmp_path / "models"
    shutil.copytree(rig_models, folder)

    async def scenario(served: Served) -> None:
        assert served.post("/infer", {"model": "a.gguf", "prompt": "hi"}).status_code == 200
        if pinned:
            served.post("/models/a.gguf/pin", {})
        assert served.get("/readyz").status_code == 200

        (folder / "a.gguf").unlink()

        await until(lambda: served.get("/readyz").status_code == 503)
        await until(lambda: served.status()["held_mb"] == 0)
        assert served.state("a.gguf") == "absent"
        assert served.get("/readyz?model=a.gguf").status_code == 404
        assert served.post("/infer", {"model": "a.gguf", "prompt": "hi"}).status_code == 404
        assert 'modeld_evictions_total{reason="file_removed"} 1.0' in served.get("/metrics").text

    with serving(folder) as served:
        asyncio.run(scenario(served))


def test_a_model_that_nobody_uses_gives_its_memory_back(rig_models: Path) -> None:
    body = {"model": "a.gguf", "prompt": "hi", "stream": False}

    async def scenario(served: Served) -> None:
        assert served.post("/infer", body).status_code == 200
        assert 0 < served.instance("a.gguf")["expires_in_s"] <= 600

        assert served.post("/infer", body | {"keep_alive_s": 0}).status_code == 200

        await until(lambda: served.status()["held_mb"] == 0)
        assert served.state("a.gguf") == "absent"
        assert 'modeld_evictions_total{reason="idle"} 1.0' in served.get("/metrics").text
        response = served.post("/tokenize", {"content": "hi", "keep_alive_s": "forever"})
        assert response.status_code == 200
        assert "expires_in_s" not in served.instance("a.gguf")

    with serving(rig_models, "--max-idle-s", "600", "--default-model", "a.gguf") as served:
        asyncio.run(scenario(served))


async def a_long_stream(
    http: httpx.AsyncClient, served: Served, gate: Path
) -> AsyncIterator[dict[str, Any]]:
    """Return a stream that waits for the gate, after many short requests."""
    for _ in range(SHORTS):
        await ask(http, served.url, Ledger(), {"model": "a.gguf", "prompt": "hi"})
    stuck = script(tokens=4, gate=str(gate), gate_at=2)
    stream = lines(http, served.url, {"model": "a.gguf", **stuck})
    await anext(stream)
    await anext(stream)
    return stream


def test_short_requests_run_beside_a_long_stream_while_its_model_is_unloaded(
    rig_models: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"

    async def scenario(served: Served) -> None:
        async with client() as http:
            stream = await a_long_stream(http, served, gate)
            url = f"{served.url}/models/a.gguf/unload"
            unload = asyncio.create_task(http.post(url, headers={"content-length": "0"}))
            await until(lambda: served.state("a.gguf") == "draining")

            short = await ask(http, served.url, Ledger(), {"model": "a.gguf", "prompt": "hi"})

            assert short[-1]["content"] == "hi "
            assert served.instance("a.gguf")["loads_total"] == 1
            assert not unload.done()
            gate.touch()
            assert [line async for line in stream][-1]["content"] == "t0 t1 t2 t3 "
            assert (await unload).status_code == 200
            assert served.state("a.gguf") == "absent"

    with serving(rig_models) as served:
        asyncio.run(scenario(served))


def test_who_asks_for_a_file_that_was_replaced_during_an_unload_gets_the_new_one(
    rig_models: Path, tmp_path: Path
) -> None:
    gate, folder = tmp_path / "gate", tmp_path / "models"
    shutil.copytree(rig_models, folder)
    request = {"model": "a.gguf", "prompt": "hi"}

    async def scenario(served: Served) -> None:
        async with client() as http:
            stream = await a_long_stream(http, served, gate)
            url = f"{served.url}/models/a.gguf/unload"
            unload = asyncio.create_task(http.post(url, headers={"content-length": "0"}))
            await until(lambda: served.state("a.gguf") == "draining")
            await ask(http, served.url, Ledger(), request)

            shutil.copy(folder / "b.gguf", folder / "new")
            (folder / "new").replace(folder / "a.gguf")
            late = asyncio.create_task(ask(http, served.url, Ledger(), request))
            await until(lambda: served.instance("a.gguf")["queue_len"] == 1)

            assert served.instance("a.gguf")["loads_total"] == 1
            gate.touch()
            assert [line async for line in stream][-1]["content"] == "t0 t1 t2 t3 "
            assert (await unload).status_code == 200
            assert (await late)[-1]["content"] == "hi "
            assert served.instance("a.gguf")["loads_total"] == 2

    with serving(folder) as served:
        asyncio.run(scenario(served))


def test_a_model_that_was_claimed_in_vain_goes_on(rig_models: Path, tmp_path: Path) -> None:
    gate = tmp_path / "gate"
    arguments = ("--memory-budget-mb=150", "--max-overtake-s=0", "--max-wait-s=5")

    async def scenario(served: Served) -> None:
        async with client() as http:
            stream = await a_long_stream(http, served, gate)
            wanting = asyncio.create_task(
                http.post(f"{served.url}/infer", json={"model": "b.gguf", "prompt": "hi"})
            )
            await until(lambda: served.instance_or_none("b.gguf", "queue_len") == 1)
            await ask(http, served.url, Ledger(), {"model": "a.gguf", "prompt": "hi"})
            await until(lambda: served.state("a.gguf") == "draining")
            refused = await wanting
            assert (refused.status_code, refused.json()["reason"]) == (429, "wait_timeout")
            assert int(refused.headers["retry-after"]) >= 1

            assert served.state("a.gguf") == "ready"

            await ask(http, served.url, Ledger(), {"model": "a.gguf", "prompt": "hi"})
            gate.touch()
            assert [line async for line in stream][-1]["content"] == "t0 t1 t2 t3 "
            assert served.status()["evictions_total"] == 0

    with serving(rig_models, *arguments) as served:
        asyncio.run(scenario(served))
