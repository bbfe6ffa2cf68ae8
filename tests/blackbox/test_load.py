# SPDX-License-Identifier: GPL-3.0-only
"""What happens when there is too much to do, and when clients leave."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.http.served import Ledger, Served, ask, client, script, serving, until


@pytest.mark.parametrize(("slots", "depth", "over"), [(1, 0, 3), (2, 3, 5), (4, 8, 10)])
def test_exactly_the_slots_and_the_queue_are_accepted(
    rig_models: Path, tmp_path: Path, slots: int, depth: int, over: int
) -> None:
    journal = tmp_path / "journal"
    options = json.dumps({"*": {"slots": slots, "journal": str(journal)}})
    arguments = ("--default-model", "a.gguf", "--max-queue-depth", str(depth))

    async def repeat(url: str, ledger: Ledger, gate: Path) -> None:
        async with client() as http:
            body = script(tokens=2, gate=str(gate), nonce=gate.name)
            count = slots + depth + over
            tasks = [asyncio.create_task(ask(http, url, ledger, body)) for _ in range(count)]
            refused: list[list[dict[str, Any]]] = []
            for task in asyncio.as_completed(tasks):
                refused.append(await task)
                if len(refused) == over:
                    gate.touch()  # noqa: ASYNC240  (a file of no size, in a test)
                    break
            assert all(response[0]["reason"] == "queue_full" for response in refused)
            await asyncio.gather(*tasks)

    with serving(rig_models, *arguments, "--models", options) as served:
        ledger = Ledger()
        for number in range(50):
            asyncio.run(repeat(served.url, ledger, tmp_path / f"gate-{number}"))
        ledger.check()
        assert ledger.outcomes == {"completed": 50 * (slots + depth), "refused": 50 * over}
        started = [line for line in journal.read_text().splitlines() if line.startswith("start")]
        assert len(started) == 50 * (slots + depth)
        refusals = 'modeld_http_backpressure_total{reason="queue_full"}'
        assert f"{refusals} {50.0 * over}" in served.get("/metrics").text
        assert served.get("/status").json()["instances"][0]["inflight"] == 0


def test_a_refusal_says_when_to_come_back(rig_models: Path, tmp_path: Path) -> None:
    options = json.dumps({"*": {"slots": 1}})
    arguments = ("--default-model", "a.gguf", "--max-queue-depth", "0", "--models", options)
    gate = tmp_path / "gate"

    async def scenario(served: Served) -> httpx.Response:
        async with client() as http:
            first = asyncio.create_task(
                ask(http, served.url, Ledger(), script(tokens=1, gate=str(gate)))
            )
            await until(lambda: served.status()["instances"] != [])
            response = await http.post(f"{served.url}/infer", json={"prompt": "x"})
            gate.touch()
            await first
            return response

    with serving(rig_models, *arguments) as served:
        refused = asyncio.run(scenario(served))
        assert refused.status_code == 429
        assert int(refused.headers["retry-after"]) >= 1


def test_a_request_that_waits_too_long_is_sent_away(rig_models: Path, tmp_path: Path) -> None:
    options = json.dumps({"*": {"slots": 1}})
    gate = tmp_path / "gate"

    async def scenario(served: Served) -> httpx.Response:
        async with client() as http:
            first = asyncio.create_task(
                ask(http, served.url, Ledger(), script(tokens=1, gate=str(gate)))
            )
            # Its own wait is over then: that is for the load, too.
            await until(lambda: served.instance_or_none("a.gguf", "inflight") == 1)
            response = await http.post(f"{served.url}/infer", json={"prompt": "x"})
            gate.touch()
            assert (await first)[-1]["done"]
            return response

    arguments = ("--default-model", "a.gguf", "--max-wait-s", "5", "--models", options)
    with serving(rig_models, *arguments) as served:
        refused = asyncio.run(scenario(served))
        assert (refused.status_code, refused.json()["reason"]) == (429, "wait_timeout")


@pytest.mark.parametrize("gate_at", [0, 3])
@pytest.mark.parametrize("stream", [True, False])
def test_a_client_that_leaves_frees_its_slot(
    rig_models: Path, tmp_path: Path, gate_at: int, stream: bool
) -> None:
    journal = tmp_path / "journal"
    options = json.dumps({"*": {"slots": 1, "journal": str(journal)}})
    body = script(tokens=9, gate=str(tmp_path / "never"), gate_at=gate_at, nonce="leaver")

    async def scenario(served: Served) -> None:
        async with client() as http:
            leaver = asyncio.create_task(
                ask(http, served.url, Ledger(), {**body, "stream": stream})
            )
            await until(lambda: journal.exists() and "start leaver" in journal.read_text())
            leaver.cancel()
            await until(lambda: "cancel leaver" in journal.read_text())
            await until(lambda: served.instance("a.gguf")["inflight"] == 0)
            response = await ask(http, served.url, Ledger(), {"prompt": "next one"})
            assert response[-1]["content"] == "next one "

    with serving(rig_models, "--default-model", "a.gguf", "--models", options) as served:
        asyncio.run(scenario(served))


def test_a_client_that_leaves_the_queue_is_never_started(rig_models: Path, tmp_path: Path) -> None:
    journal, gate = tmp_path / "journal", tmp_path / "gate"
    options = json.dumps({"*": {"slots": 1, "journal": str(journal)}})

    async def scenario(served: Served) -> None:
        async with client() as http:
            first = asyncio.create_task(
                ask(http, served.url, Ledger(), script(tokens=1, gate=str(gate), nonce="first"))
            )
            await until(lambda: journal.exists() and "start first" in journal.read_text())
            second = asyncio.create_task(
                ask(http, served.url, Ledger(), script(tokens=1, nonce="second"))
            )
            await until(lambda: served.instance("a.gguf")["queue_len"] == 1)
            second.cancel()
            await until(lambda: served.instance("a.gguf")["queue_len"] == 0)
            gate.touch()
            await first
            assert "second" not in journal.read_text()

    with serving(rig_models, "--default-model", "a.gguf", "--models", options) as served:
        asyncio.run(scenario(served))
