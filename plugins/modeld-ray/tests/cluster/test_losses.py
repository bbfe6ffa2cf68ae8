# SPDX-License-Identifier: GPL-3.0-only
"""Hosts and nodes die under load, and every request has an end that its client can see."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import httpx
import pytest
from raylets import HOSTS, MODEL, Cluster, alive

CLIENTS = 8
LEAVES = 5
"""Every so many requests a client leaves after its second token."""


async def _one(client: httpx.AsyncClient, number: int) -> str:
    """Send one request and return how it ended."""
    body = {"model": MODEL, "prompt": f"Number {number}.", "max_tokens": 24, "ignore_eos": True}
    try:
        async with client.stream("POST", "/infer", json=body) as found:
            if found.status_code != 200:
                reason = json.loads(await found.aread())["reason"]
                return f"refused {reason}"
            count = 0
            async for line in found.aiter_lines():
                document = json.loads(line)
                if "token" in document:
                    count += 1
                    if number % LEAVES == 0 and count == 2:
                        return "left"
                else:
                    return "completed" if document.get("done") else f"failed {document['reason']}"
            return "cut off without a word"
    except httpx.HTTPError as exc:
        return f"cut off: {type(exc).__name__}"


async def _load(cluster: Cluster, loss: Callable[[str], None], rounds: int) -> Counter[str]:
    """Return how the requests ended that were sent while hosts were lost."""
    ends: Counter[str] = Counter()
    sent = 0
    under_way = asyncio.Event()

    async def work(client: httpx.AsyncClient, lane: int) -> None:
        nonlocal sent
        for turn in range(rounds):
            sent += 1
            ends[await _one(client, lane * rounds + turn)] += 1
            under_way.set()

    async with cluster.client() as client, asyncio.TaskGroup() as group:
        for lane in range(CLIENTS):
            group.create_task(work(client, lane))
        await under_way.wait()
        busy = await asyncio.to_thread(lambda: _busiest(cluster))
        await asyncio.to_thread(loss, busy)
        assert ends.total() < CLIENTS * rounds, "all was over before anything was lost"
    assert ends.total() == sent == CLIENTS * rounds
    return ends


def _busiest(cluster: Cluster) -> str:
    instances = cluster.status()["instances"]
    return str(max(instances, key=lambda each: each["inflight"])["host"])


def _checked(ends: Counter[str]) -> None:
    kinds = Counter(dict.fromkeys(("completed", "left"), 0))
    for end, count in ends.items():
        kinds[end.partition(" ")[0].rstrip(":")] += count
    assert set(kinds) <= {"completed", "refused", "failed", "left"}, ends
    failed = {end for end in ends if end.startswith("failed")}
    assert failed <= {"failed host_lost"}, ends
    assert kinds["completed"] > kinds.total() // 2, ends


def test_a_host_that_is_killed_loses_nobody(cluster: Cluster, capsys: pytest.CaptureFixture[str]):
    cluster.status()
    ends = asyncio.run(_load(cluster, cluster.kill_host, rounds=5))
    with capsys.disabled():
        print(f"\na host was killed: {dict(ends)}")
    _checked(ends)
    cluster.wait_for(lambda: len(cluster.hosts()) == HOSTS, "another host")


def test_a_node_that_is_killed_loses_nobody(cluster: Cluster, capsys: pytest.CaptureFixture[str]):
    ends = asyncio.run(_load(cluster, cluster.kill_node_of, rounds=5))
    with capsys.disabled():
        print(f"\na node was killed: {dict(ends)}")
    _checked(ends)
    cluster.add_node()
    cluster.wait_for(lambda: len(cluster.hosts()) == HOSTS, "a host on the new node")


def test_a_dead_host_is_shown_and_breaks_no_status(cluster: Cluster):
    gone = [each for each in cluster.status()["hosts"] if each.get("error")]
    assert gone
    assert all("does not answer" in each["error"] for each in gone)


def test_no_worker_outlives_its_host(cluster: Cluster):
    here = {each["pid"] for each in cluster.status()["instances"] if each.get("pid")}
    cluster.wait_for(lambda: alive(cluster.pids) <= here, "the end of the workers of dead hosts")
