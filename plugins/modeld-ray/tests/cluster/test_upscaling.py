# SPDX-License-Identifier: GPL-3.0-only
"""A host that starts later, under load, is what the others are."""

from __future__ import annotations

import asyncio
from typing import Any

import httpx
from raylets import HOSTS, MODEL, Cluster

CLIENTS = 60
PRELOADED = "gemma-3-270m-q4_k_m.gguf"


def test_a_host_is_added_under_load_with_preloads_and_pins_and_is_used(cluster: Cluster):
    rows = cluster.settings["models"]
    cluster.write_settings(models={**rows, PRELOADED: {"preload": True, "slots": 1}})
    assert cluster.post("/admin/reload", {}).json()["changed"] == ["models"]
    assert cluster.post(f"/models/{MODEL}/pin", {}).is_success
    before = set(cluster.hosts())
    assert len(before) == HOSTS
    cluster.add_node()
    served = asyncio.run(_until_another_serves(cluster, before))
    assert served > CLIENTS
    (added,) = set(cluster.hosts()) - before

    def has_all() -> bool:
        there = {
            each["model_id"]: each
            for each in cluster.status()["instances"]
            if each["host"] == added and each["state"] == "ready"
        }
        return {MODEL, PRELOADED} <= there.keys() and there[MODEL]["pinned"]

    cluster.wait_for(has_all, "the preloaded and the pinned model")


async def _until_another_serves(cluster: Cluster, before: set[str]) -> int:
    """Keep all hosts busy until one that was not there before has served; return the requests."""
    is_there = asyncio.Event()
    served = 0

    async def work(client: httpx.AsyncClient) -> None:
        nonlocal served
        while not is_there.is_set():
            body: dict[str, Any] = {"model": MODEL, "prompt": "Once", "max_tokens": 16}
            found = await client.post("/infer", json=body)
            served += found.status_code == 200
            if found.status_code == 200 and found.headers["x-modeld-host"] not in before:
                is_there.set()

    async with (
        asyncio.timeout(150),
        cluster.client() as client,
        asyncio.TaskGroup() as group,
    ):
        for _ in range(CLIENTS):
            group.create_task(work(client))
    return served
