# SPDX-License-Identifier: GPL-3.0-only
"""Sends requests while something is lost, and accounts for every one of them."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable

import httpx
from raylets import MODEL, Cluster

CLIENTS = 8
ROUNDS = 5
TOKENS = 24
LEAVES = 5
"""Every so many requests a client leaves after its second token."""


async def _one(client: httpx.AsyncClient, number: int) -> str:
    """Send one request and return how it ended."""
    body = {
        "model": MODEL,
        "prompt": f"Number {number}.",
        "max_tokens": TOKENS,
        "ignore_eos": True,
    }
    count, end = 0, ""
    try:
        async with client.stream("POST", "/infer", json=body) as found:
            if found.status_code != 200:
                reason = json.loads(await found.aread())["reason"]
                return f"refused {reason}"
            async for line in found.aiter_lines():
                document = json.loads(line)
                if end:
                    return f"something after its end, {end}"
                if "token" in document:
                    count += 1
                    if number % LEAVES == 0 and count == 2:
                        return "left"
                else:
                    end = "completed" if document.get("done") else f"failed {document['reason']}"
    except httpx.HTTPError as exc:
        return f"cut off: {type(exc).__name__}"
    if count > TOKENS:
        return f"{count} tokens"
    return end or "ended without a word"


async def _load(cluster: Cluster, loss: Callable[[str], None]) -> Counter[str]:
    ends: Counter[str] = Counter()
    sent = 0
    under_way = asyncio.Event()

    async def work(client: httpx.AsyncClient, lane: int) -> None:
        nonlocal sent
        for turn in range(ROUNDS):
            sent += 1
            ends[await _one(client, lane * ROUNDS + turn)] += 1
            under_way.set()

    async with cluster.client() as client, asyncio.TaskGroup() as group:
        for lane in range(CLIENTS):
            group.create_task(work(client, lane))
        await under_way.wait()
        busy = await asyncio.to_thread(lambda: _busiest(cluster))
        await asyncio.to_thread(loss, busy)
        assert ends.total() < CLIENTS * ROUNDS, "all was over before anything was lost"
    assert ends.total() == sent == CLIENTS * ROUNDS
    return ends


def _busiest(cluster: Cluster) -> str:
    instances = cluster.status()["instances"]
    return str(max(instances, key=lambda each: each["inflight"])["host"])


def account(cluster: Cluster, loss: Callable[[str], None], *, cuts: bool = False) -> Counter[str]:
    """Return how the requests ended that were sent while something was lost.

    Each has completed, was refused, has failed with a record or was left; where ``cuts`` may be,
    some may have been cut off by an error of the connection. Most have completed.
    """
    ends = asyncio.run(_load(cluster, loss))
    kinds = Counter(dict.fromkeys(("completed", "left"), 0))
    for end, count in ends.items():
        kinds[end.partition(" ")[0]] += count
    known = {"completed", "refused", "failed", "left"} | ({"cut"} if cuts else set())
    assert set(kinds) <= known, ends
    failed = {end for end in ends if end.startswith("failed")}
    assert failed <= {"failed host_lost"}, ends
    assert kinds["completed"] > kinds.total() // 2, ends
    return ends


def at_rest(cluster: Cluster) -> bool:
    """Return whether no host has anything to do: what was given up is given up everywhere."""
    instances = cluster.status()["instances"]
    return not any(each["inflight"] or each["queue_len"] for each in instances)
