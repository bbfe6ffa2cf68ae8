# SPDX-License-Identifier: GPL-3.0-only
"""Pulls of clients: allowed, told, shared, cancelled."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fake_hub import GGUF, MODEL, REPO, FakeHub, fake_hub, silent_after, status
from modeld_pull.settings import PullSettings
from pulling import at_url

from modeld import ModeldApp, Settings, create_app
from modeld.testing.doubles.client import Leaving, Received, ask
from tests.support.gguf.gguf_corpus import write_model

HOST = {"host": "localhost"}


class Client:
    """Asks one application, whose hub is beside it."""

    def __init__(self, app: ModeldApp, hub: FakeHub, root: Path) -> None:
        self.app = app
        self.hub = hub
        self.root = root

    async def pull(self, *, leaves: Leaving = None, **body: Any) -> Received:
        body = {"source": REPO, **body}
        return await self.ask("POST", "/models/pull", body=body, leaves=leaves)

    async def ask(self, method: str, path: str, **more: Any) -> Received:
        return await ask(self.app, method, path, headers=HOST, **more)

    async def pulls(self) -> list[Any]:
        found: list[Any] = (await self.ask("GET", "/models/pulls")).json()["pulls"]
        return found

    async def until(self, number: str, *ends: str) -> Any:
        """Return a pull once it has come to one of these ends."""
        async with asyncio.timeout(10):
            while True:
                (found,) = [each for each in await self.pulls() if each["id"] == number]
                if found["status"] in ends:
                    return found
                await asyncio.sleep(0)


@asynccontextmanager
async def client(
    root: Path, own: dict[str, Any] | None = None, **members: Any
) -> AsyncIterator[Client]:
    async with fake_hub(**members) as hub:
        given = {"clients": True, "endpoint": hub.url, "keep_free_mb": 0, "retries": 0}
        urls = {"client_urls": (f"{hub.cdn}/cdn/",)}
        settings = Settings(
            models_dir=str(root),
            warm_workers=0,
            plugins=(PullSettings(**given | urls | (own or {})),),
        )
        app = create_app(settings)
        async with app.lifespan():
            yield Client(app, hub, root)


def lines(got: Received) -> list[Any]:
    assert got.is_whole
    return [json.loads(line) for line in got.body.splitlines()]


def failure(got: Received) -> tuple[int, str, str | None]:
    body = got.json()
    assert body["code"] == got.status
    return got.status, body["reason"], body.get("field")


def test_what_was_pulled_can_be_used_at_once(tmp_path: Path) -> None:
    async def main() -> None:
        content = write_model(tmp_path / "tiny-Q8_0.gguf").read_bytes()
        root = tmp_path / "models"
        root.mkdir()
        async with client(root, files={"tiny-Q8_0.gguf": content}) as it:
            assert (await it.ask("GET", "/models")).json()["models"] == []
            got = await it.pull(stream=True)
            assert (got.status, got.headers["content-type"]) == (200, "application/x-ndjson")
            *before, last = lines(got)
            assert before
            assert last["status"] == "done"
            assert last["completed_bytes"] == last["total_bytes"] == len(content)
            (model,) = (await it.ask("GET", "/models")).json()["models"]
            assert last["models"] == [model["id"]] == ["tiny-Q8_0.gguf"]
            assert "problem" not in model
            again = await it.pull(file="q8_0")
            assert (again.status, again.json()["status"]) == (200, "done")
            assert len(it.hub.asked_of("/cdn")) == 1

    asyncio.run(main())


def test_clients_may_not_pull_unless_the_operator_says_so(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path, own={"clients": False}) as it:
            assert failure(await it.pull()) == (403, "pull_off", None)
            assert failure(await it.ask("GET", "/models/pulls"))[:2] == (403, "pull_off")
            assert failure(await it.ask("DELETE", "/models/pulls/1"))[:2] == (403, "pull_off")
        async with client(tmp_path) as it:
            other = at_url(f"{it.hub.url}/cdn/{MODEL}", GGUF)
            assert failure(await it.pull(source=other.url, sha256=other.sha256)) == (
                403,
                "pull_off",
                "source",
            )
            allowed = at_url(f"{it.hub.cdn}/cdn/{MODEL}", GGUF)
            got = await it.pull(source=allowed.url, sha256=allowed.sha256)
            assert got.json()["status"] == "done"
            assert (tmp_path / MODEL).read_bytes() == GGUF

    asyncio.run(main())


WRONG = [
    (b"{", "invalid_json", None),
    (b"\xff", "invalid_json", None),
    ([], "invalid_request", None),
    ({}, "invalid_request", None),
    ({"source": 3}, "invalid_request", "source"),
    (b'{"source": ' + b"[" * 9000, "invalid_request", "source"),
    ({"source": "a/b", "path": "/etc"}, "invalid_request", "path"),
    ({"source": "a/b", "stream": 1}, "invalid_request", "stream"),
    ({"source": "a/b" + "c" * 3000}, "invalid_request", "source"),
    (b'{"source": "a/b", "source": "c/d"}', "invalid_request", "source"),
    ({"source": "a"}, "invalid_request", "source"),
    ({"source": "a/b", "sha256": "x"}, "invalid_request", "sha256"),
    (b" " * 20_000, "body_too_large", None),
]


def test_a_wrong_body_is_refused_by_its_field(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as it:
            for body, reason, field in WRONG:
                got = await it.ask("POST", "/models/pull", body=body)
                assert failure(got)[1:] == (reason, field), body
            text = {**HOST, "content-type": "text/plain"}
            got = await ask(it.app, "POST", "/models/pull", body=b"{}", headers=text)
            assert failure(got) == (415, "unsupported_media_type", None)
            assert not it.hub.asked

    asyncio.run(main())


def test_a_failure_has_its_status_and_in_a_stream_that_has_begun_a_line(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as it:
            for streams in (False, True):
                got = await it.pull(source="no/body", stream=streams)
                assert failure(got) == (404, "pull_not_found", "source")
            assert failure(await it.pull(file="Q2_K")) == (404, "pull_not_found", "file")
            it.hub.cdn_faults = [status(503)]
            got = await it.pull(stream=True)
            last = lines(got)[-1]
            assert (last["code"], last["reason"]) == (502, "pull_failed")
            ends = [(each["status"], each["error"]["reason"]) for each in await it.pulls()]
            assert ends == [("failed", "pull_not_found")] * 3 + [("failed", "pull_failed")]

    asyncio.run(main())


def test_a_client_that_leaves_cancels_its_pull_and_what_came_is_kept(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as it:
            for number, (leaves, streams) in enumerate([("sent", False), (1, True)], start=1):
                it.hub.cdn_faults = [silent_after(100_000, asyncio.Event())]
                await it.pull(leaves=leaves, stream=streams)
                ended = await it.until(str(number), "cancelled")
                assert ended["error"]["reason"] == "pull_cancelled"
            it.hub.cdn_faults = []  # who was cancelled early has not come to it
            assert (await it.pull()).json()["status"] == "done"

    asyncio.run(main())


def test_a_detached_pull_goes_on_and_is_cancelled_by_its_number(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as it:
            released, reached = asyncio.Event(), asyncio.Event()
            it.hub.cdn_faults = [silent_after(100_000, released, reached)]
            got = await it.pull(detach=True)
            assert (got.status, got.json()["id"]) == (202, "1")
            await reached.wait()
            await it.pull(detach=True, stream=True, leaves=1)
            released.set()
            assert (await it.until("1", "done"))["completed_bytes"] == len(GGUF)

            (tmp_path / REPO / MODEL).unlink()
            it.hub.cdn_faults = [silent_after(100_000, asyncio.Event(), again := asyncio.Event())]
            await it.pull(detach=True)
            await again.wait()
            assert (await it.ask("DELETE", "/models/pulls/2")).status == 200
            await it.until("2", "cancelled")
            assert (await it.ask("DELETE", "/models/pulls/2")).json()["status"] == "cancelled"
            gone = await it.ask("DELETE", "/models/pulls/2")
            assert failure(gone) == (404, "pull_not_found", None)
            assert [each["id"] for each in await it.pulls()] == ["1"]

    asyncio.run(main())


def test_who_asks_for_the_same_shares_the_pull_and_others_have_a_limit(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path, own={"at_once": 1}) as it:
            released, reached = asyncio.Event(), asyncio.Event()
            it.hub.cdn_faults = [silent_after(100_000, released, reached)]
            first = asyncio.create_task(it.pull(stream=True))
            await reached.wait()
            await it.pull(leaves="sent")
            second = asyncio.create_task(it.pull())
            full = await it.pull(file="Q4_K_M")
            assert failure(full)[:2] == (429, "pulls_full")
            assert int(full.headers["retry-after"]) > 0
            released.set()
            assert lines(await first)[-1] == (await second).json()
            assert [each["status"] for each in await it.pulls()] == ["done"]
            assert len(it.hub.asked_of("/cdn")) == 1

    asyncio.run(main())


def test_another_process_that_pulls_the_same_is_left_alone(tmp_path: Path) -> None:
    async def main() -> None:
        async with client(tmp_path) as it, client(tmp_path) as other:
            released, reached = asyncio.Event(), asyncio.Event()
            it.hub.cdn_faults = [silent_after(100_000, released, reached)]
            first = asyncio.create_task(it.pull())
            await reached.wait()
            assert failure(await other.pull())[:2] == (409, "pull_conflict")
            released.set()
            assert (await first).json()["status"] == "done"

    asyncio.run(main())


def test_the_end_of_the_service_cancels_all_pulls(tmp_path: Path) -> None:
    async def main() -> None:
        async with fake_hub():
            async with client(tmp_path) as it:
                reached = asyncio.Event()
                it.hub.cdn_faults = [silent_after(100_000, asyncio.Event(), reached)]
                waiting = asyncio.create_task(it.pull())
                await reached.wait()
            assert failure(await waiting)[:2] == (409, "pull_cancelled")
            assert failure(await it.pull())[:2] in {(503, "draining")}

    asyncio.run(main())


def test_only_the_last_that_have_ended_are_listed(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("modeld_pull.server.pulls.MOST_ENDED", 2)

    async def main() -> None:
        async with client(tmp_path) as it:
            for _ in range(4):
                await it.pull(source="no/body")
            assert [each["id"] for each in await it.pulls()] == ["2", "3", "4"]

    asyncio.run(main())
