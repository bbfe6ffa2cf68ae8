# SPDX-License-Identifier: GPL-3.0-only
"""Models of servers live in the same budget, the same queues and the same checks as all others."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from pathlib import Path

import pytest
from attached import text_of
from launching import number, server, until_gone
from modeld_upstream.connection.errors import UpstreamError
from modeld_upstream.servers import UpstreamServer
from scripted_server import Asked, Connection, hello, scripted
from serving import asked, service

from modeld import Done, Sampling
from modeld.errors import (
    InvalidRequestError,
    ModelExceedsBudgetError,
    NotSupportedError,
    WorkerCrashedError,
)
from tests.support.http.served import serving


def test_servers_share_one_budget(tmp_path: Path) -> None:
    async def main() -> None:
        folders = [tmp_path / name for name in ("a", "b")]
        for folder in folders:
            folder.mkdir()
        servers = [
            server(folder, name=folder.name, models=(folder.name,), memory_mb=100)
            for folder in folders
        ]
        async with service(*servers, memory_budget_mb=150, min_residence_s=0) as all_:
            assert text_of(await asked(all_, "a")) == "Hello"
            (instance,) = (await all_.status()).instances
            assert (instance.model_id, instance.held_bytes) == ("a", 100 << 20)
            await asked(all_, "b")
            await until_gone(number(folders[0]))
            assert [each.model_id for each in (await all_.status()).instances] == ["b"]
        await until_gone(number(folders[1]))

    asyncio.run(main())


def test_a_started_server_that_is_said_to_take_nothing_takes_nothing(tmp_path: Path) -> None:
    async def main() -> None:
        async with service(server(tmp_path, memory_mb=0), memory_budget_mb=1) as all_:
            await asked(all_, "m")
            assert [each.held_bytes for each in (await all_.status()).instances] == [0]

    asyncio.run(main())


def test_a_server_that_is_down_has_failed_whether_its_model_is_in_use_or_not() -> None:
    async def main() -> None:
        down = UpstreamServer(
            name="down", url="http://127.0.0.1:9/v1", models=("m",), retry_for_s=0
        )
        async with service(down) as all_:
            for _ in range(2):  # the second in the time after a failed load
                with pytest.raises(UpstreamError, match="cannot be reached"):
                    await asked(all_, "m")

    asyncio.run(main())


def test_a_server_that_can_never_fit_is_not_started(tmp_path: Path) -> None:
    async def main() -> None:
        options = {"*": {"memory_mb": 1000}}
        async with service(server(tmp_path), memory_budget_mb=150, models=options) as all_:
            with pytest.raises(ModelExceedsBudgetError):
                await asked(all_, "m")
        assert not (tmp_path / "pid").exists()

    asyncio.run(main())


def test_a_server_that_was_killed_is_started_anew(tmp_path: Path) -> None:
    async def main() -> None:
        async with service(server(tmp_path)) as all_:
            await asked(all_, "m")
            first = number(tmp_path)
            os.kill(first, signal.SIGKILL)
            await until_gone(first)
            chunks = await _until_served(all_)
            assert text_of(chunks) == "Hello"
            assert number(tmp_path) != first

    async def _until_served(all_):  # type: ignore[no-untyped-def]
        while True:
            try:
                return await asked(all_, "m")
            except WorkerCrashedError:
                await asyncio.sleep(0.05)

    asyncio.run(main())


def test_what_a_kind_does_not_serve_never_reaches_the_server() -> None:
    async def main() -> None:
        async with scripted(hello) as there:
            async with service(UpstreamServer(name="there", url=there.url)) as all_:
                with pytest.raises(NotSupportedError, match="name grammar in its capabilities"):
                    await asked(all_, "some-model", grammar='root ::= "a"')
                with pytest.raises(InvalidRequestError, match="top_k"):
                    await asked(all_, "some-model", sampling=Sampling(top_k=3))
            assert there.posted == []

    asyncio.run(main())


def test_no_more_requests_run_than_there_are_slots() -> None:
    running: list[int] = [0, 0]
    full, go_on = asyncio.Event(), asyncio.Event()

    async def respond(asked_: Asked, connection: Connection) -> None:
        running[0] += 1
        running[1] = max(running)
        if running[0] == 2:
            full.set()
        await go_on.wait()
        await hello(asked_, connection)
        running[0] -= 1

    async def main() -> None:
        async with scripted(respond) as there:
            far = UpstreamServer(name="there", url=there.url)
            async with service(far, models={"*": {"slots": 2}}) as all_:
                tasks = [asyncio.create_task(asked(all_, "some-model")) for _ in range(5)]
                await full.wait()
                go_on.set()
                ends = [(await task)[-1] for task in tasks]
                assert all(isinstance(end, Done) for end in ends)
        assert running[1] == 2

    asyncio.run(main())


def test_models_are_listed_with_what_they_can_be_asked_for() -> None:
    async def main() -> None:
        async with scripted(hello) as there:
            far = UpstreamServer(name="there", url=there.url, kind="vllm", prefix="far/")
            async with service(far) as all_:
                (spec,) = await all_.models()
                assert (spec.id, spec.context) == ("far/some-model", 512)
                assert {"chat", "regex"} <= set(spec.capabilities)

    asyncio.run(main())


@pytest.mark.parametrize("does", ["serves", "stubborn"])
@pytest.mark.parametrize("is_killed", [True, False])
def test_modeld_serves_what_its_flags_name_and_leaves_nothing(
    tmp_path: Path, does: str, is_killed: bool
) -> None:
    members = {"name": "here", "command": server(tmp_path, does).command, "models": ["m"]}
    flags = ("--upstream-servers", json.dumps([members]), "--warm-workers", "0")
    chat = {"model": "m", "messages": [{"role": "user", "content": "Hi"}]}
    with serving(tmp_path, *flags, "--block-plugins", "llama-cpp") as served:
        response = served.post("/infer", chat)
        assert response.status_code == 200
        assert json.loads(response.text.splitlines()[-1])["content"] == "Hello"
        assert served.instance("m")["pid"] is not None
        if is_killed:
            served.process.kill()
        else:
            served.terminate()
            assert served.exit_code() == 0
    asyncio.run(until_gone(number(tmp_path)))
