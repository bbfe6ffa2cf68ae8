# SPDX-License-Identifier: GPL-3.0-only
"""Prints what a cluster costs: the figures of docs/explanation/many-nodes.md.

They are of the machine that they are measured on, so nothing is asserted of them. They are left out
unless they are asked for: ``make cluster PYTEST_ARGS="-m figures -s"``.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import time
from collections.abc import Awaitable, Callable, Iterator
from statistics import median
from typing import Any

import httpx
import pytest
from modeld_paced import MODEL
from raylets import Cluster

pytestmark = pytest.mark.figures
CHAT = {"model": MODEL, "prompt": "x"}


@pytest.fixture(autouse=True)
def paced(cluster: Cluster, capsys: pytest.CaptureFixture[str]) -> Iterator[None]:
    cluster.post(f"/models/{MODEL}/load", {})
    with capsys.disabled():
        yield


def pace(cluster: Cluster, per_s: float, *, slots: int = 16, **others: Any) -> None:
    rows = {**cluster.settings["models"], MODEL: {"per_s": per_s, "at_once": slots}}
    cluster.write_settings(models=rows, **others)
    assert cluster.post("/admin/reload", {}).is_success


async def stream(client: httpx.AsyncClient, tokens: int) -> tuple[float, list[float]]:
    """Return the time to the first token, and how long after it was made each token came."""
    began_s, first_s, late_s = time.monotonic(), 0.0, []
    async with client.stream("POST", "/infer", json={**CHAT, "max_tokens": tokens}) as found:
        async for line in found.aiter_lines():
            now_s = time.monotonic()
            document = json.loads(line)
            if "token" in document:
                first_s = first_s or now_s - began_s
                late_s.append(now_s - float(document["token"]))
    return first_s, late_s


def measured(cluster: Cluster, work: Callable[[httpx.AsyncClient], Awaitable[Any]]) -> Any:
    async def main() -> Any:
        async with cluster.client() as client:
            return await work(client)

    return asyncio.run(main())


def at(values: list[float], share: float) -> float:
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def test_time_to_first_token(cluster: Cluster):
    pace(cluster, 1000)

    async def work(client: httpx.AsyncClient) -> list[float]:
        return [(await stream(client, 2))[0] for _ in range(30)]

    first_s = measured(cluster, work)[5:]
    print(f"\nfirst token of one stream: p50 {1e3 * median(first_s):.0f} ms")


@pytest.mark.parametrize("per_s", [50, 100])
def test_sixteen_streams(cluster: Cluster, per_s: int):
    pace(cluster, per_s)

    async def work(client: httpx.AsyncClient) -> tuple[float, list[float]]:
        await stream(client, 2)
        began_s = time.monotonic()
        found = await asyncio.gather(*(stream(client, 6 * per_s) for _ in range(16)))
        return time.monotonic() - began_s, [each for _, late in found for each in late]

    took_s, late_s = measured(cluster, work)
    print(
        f"\n16 streams of {per_s} a second, window 20 ms: {len(late_s) / took_s:.0f} of"
        f" {16 * per_s} tokens a second; a token comes p50 {1e3 * median(late_s):.0f} ms,"
        f" p95 {1e3 * at(late_s, 0.95):.0f} ms after it was made"
    )


def test_a_client_that_leaves(cluster: Cluster):
    pace(cluster, 50)

    async def work(client: httpx.AsyncClient) -> None:
        body = {**CHAT, "max_tokens": 4000}
        async with client.stream("POST", "/infer", json=body) as found:
            lines = found.aiter_lines()
            for _ in range(20):
                await anext(lines)

    before = _tokens(cluster)
    measured(cluster, work)
    left_s = time.monotonic()
    cluster.wait_for(
        lambda: not any(each["inflight"] for each in cluster.status()["instances"]), "a free slot"
    )
    print(
        f"\na client left after 20 tokens: seen free {time.monotonic() - left_s:.2f} s later,"
        f" {_tokens(cluster) - before} tokens made"
    )


def _tokens(cluster: Cluster) -> int:
    return sum(each["completion_tokens_total"] for each in cluster.status()["instances"])


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_a_lost_host(cluster: Cluster, how: str):
    pace(cluster, 50, slots=4)
    cluster.load_on_all(MODEL)
    busiest: list[str] = []

    async def work(client: httpx.AsyncClient) -> list[float]:
        lost_s: list[float] = []
        ends_s: list[float] = []

        async def one() -> None:
            body = {**CHAT, "max_tokens": 400}
            async with client.stream("POST", "/infer", json=body) as found:
                ends_s.extend(
                    [
                        time.monotonic()
                        async for line in found.aiter_lines()
                        if "error" in json.loads(line)
                    ]
                )

        async with asyncio.TaskGroup() as group:
            for _ in range(4):
                group.create_task(one())
            status = await asyncio.to_thread(cluster.status)
            busiest.append(max(status["instances"], key=lambda each: each["inflight"])["host"])
            pid = await asyncio.to_thread(cluster.pid_of, busiest[0])
            os.kill(pid, signal.SIGKILL if how == "killed" else signal.SIGSTOP)
            lost_s.append(time.monotonic())
        return [each - lost_s[0] for each in ends_s]

    began_s = time.monotonic()
    ends_s = measured(cluster, work)
    asked_s = time.monotonic()
    assert cluster.get("/status")["hosts"]
    said_s = time.monotonic() - asked_s
    cluster.wait_for(
        lambda: len(set(cluster.hosts()) - set(busiest)) == 2, "a host in place of the lost one"
    )
    print(
        f"\na host was {how}: its streams ended {min(ends_s):.2f} to {max(ends_s):.2f} s later,"
        f" /status took {said_s:.1f} s, two other hosts {time.monotonic() - began_s:.0f} s after"
        " the requests began"
    )
