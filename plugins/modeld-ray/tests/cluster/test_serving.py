# SPDX-License-Identifier: GPL-3.0-only
"""What clients see of a cluster that is well."""

from __future__ import annotations

import asyncio
import json

import httpx
import pytest
from raylets import BUDGET_MB, HOSTS, MODEL, Cluster, lines_of

CHAT = {"model": MODEL, "messages": [{"role": "user", "content": "Say hello."}], "max_tokens": 8}
TURNS = 3


@pytest.fixture(autouse=True)
def nothing_loaded(cluster: Cluster) -> None:
    for model in {each["model_id"] for each in cluster.status()["instances"]}:
        assert cluster.post(f"/models/{model}/unload", {}).is_success


def test_every_dialect_streams(cluster: Cluster):
    native = cluster.post("/infer", {"model": MODEL, "prompt": "Once", "max_tokens": 8})
    assert lines_of(native.text)[-1]["done"]
    openai = cluster.post("/v1/chat/completions", {**CHAT, "stream": True})
    assert openai.text.rstrip().endswith("data: [DONE]")
    ollama = cluster.post(
        "/api/chat",
        {key: CHAT[key] for key in ("model", "messages")} | {"options": {"num_predict": 8}},
    )
    assert lines_of(ollama.text)[-1]["done"]
    anthropic = cluster.post("/v1/messages", CHAT)
    assert anthropic.json()["type"] == "message"


def test_a_unary_request_crosses(cluster: Cluster):
    found = cluster.post("/tokenize", {"model": MODEL, "content": "Once upon a time"})
    assert found.json()["tokens"]


def test_two_generations_of_one_request_do_not_wait_for_each_other(cluster: Cluster):
    found = cluster.post("/v1/chat/completions", {**CHAT, "n": 2})
    assert [choice["index"] for choice in found.json()["choices"]] == [0, 1]


def test_errors_are_those_of_one_machine(cluster: Cluster):
    unknown = cluster.post("/infer", {"model": "nobody", "prompt": "x"})
    assert (unknown.status_code, unknown.json()["reason"]) == (404, "model_not_found")
    long = cluster.post("/infer", {"model": MODEL, "prompt": "word " * 20_000})
    assert (long.status_code, long.json()["reason"]) == (422, "prompt_too_long")
    embed = cluster.post("/v1/embeddings", {"model": MODEL, "input": "x"})
    assert embed.json()["error"]["code"] == "not_supported"


def test_a_key_is_needed(cluster: Cluster):
    for path in ("/status", "/metrics"):
        assert httpx.get(f"http://127.0.0.1:{cluster.port}{path}", timeout=30).status_code == 401


def test_a_cold_burst_loads_a_model_once(cluster: Cluster):
    async def main() -> None:
        async with cluster.client() as client:
            body = {"model": MODEL, "prompt": "Once", "max_tokens": 4}
            found = await asyncio.gather(*(client.post("/infer", json=body) for _ in range(4)))
        assert all(lines_of(each.text)[-1].get("done") for each in found)

    before = cluster.status()["loads_total"]
    asyncio.run(main())
    assert cluster.status()["loads_total"] == before + 1


def test_everything_that_is_told_says_of_which_host(cluster: Cluster):
    cluster.post("/infer", {"model": MODEL, "prompt": "Once", "max_tokens": 4})
    hosts = cluster.hosts()
    assert len(hosts) == HOSTS
    (instance,) = cluster.status()["instances"]
    assert instance["host"] in hosts
    assert instance["node"]
    listed = {each["id"]: each for each in cluster.get("/models")["models"]}
    assert set(listed[MODEL]["hosts"]) == set(hosts)
    (plan,) = cluster.post("/plan", {"models": [MODEL]}).json()["plans"]
    assert (plan["outcome"], plan["host"]) == ("resident", instance["host"])
    metrics = cluster.get("/metrics")
    for host in hosts:
        assert f'host="{host}"' in metrics
    assert 'modeld_http_requests_total{ingress="' in metrics
    cluster.wait_for(
        lambda: any(
            each["kind"] == "model_loaded" and each.get("host") == instance["host"]
            for each in cluster.get("/ui/feed")["events"]
        ),
        "the event of the load",
    )


def test_responses_say_how_they_came_about_and_on_which_host(cluster: Cluster):
    bodies = {
        "/infer": {"model": MODEL, "prompt": "Once", "max_tokens": 2},
        "/v1/chat/completions": CHAT,
        "/api/chat": {"model": MODEL, "messages": CHAT["messages"], "stream": False},
        "/v1/messages": CHAT,
        "/tokenize": {"model": MODEL, "content": "Once"},
    }
    found = {path: cluster.post(path, body).headers for path, body in bodies.items()}
    assert found["/infer"]["x-modeld-placement"] == "loads"
    assert float(found["/infer"]["x-modeld-load-s"]) > 0
    for headers in found.values():
        assert headers["x-modeld-host"] in cluster.hosts()
        assert float(headers["x-modeld-queue-wait-s"]) >= float(headers["x-modeld-load-s"]) >= 0


def test_settings_are_reloaded_everywhere_or_nowhere(cluster: Cluster):
    before = dict(cluster.settings)
    cluster.write_settings(max_queue_depth=7)
    found = cluster.post("/admin/reload", {})
    assert found.json()["changed"] == ["max_queue_depth"]
    cluster.post("/infer", {"model": MODEL, "prompt": "Once", "max_tokens": 1})
    assert [each["max_queue_depth"] for each in cluster.status()["instances"]] == [7]
    cluster.write_settings(nonsense=1)
    refused = cluster.post("/admin/reload", {})
    assert refused.json()["reason"] == "invalid_settings"
    assert "nonsense" in refused.json()["error"]
    assert [each["max_queue_depth"] for each in cluster.status()["instances"]] == [7]
    cluster.settings = before
    cluster.write_settings()
    assert cluster.post("/admin/reload", {}).is_success


def test_the_command_shows_the_hosts(cluster: Cluster):
    first, *lines = cluster.command("status").splitlines()
    assert first == "modeld is RUNNING on the cluster"
    assert {line.split()[0] for line in lines} == set(cluster.hosts())
    assert all(f"running, 0 MiB of {BUDGET_MB} MiB, no model" in line for line in lines)


def test_a_client_that_leaves_frees_its_slot(cluster: Cluster):
    async def main() -> None:
        body = {"model": MODEL, "prompt": "Once", "max_tokens": 4000, "ignore_eos": True}
        async with cluster.client() as client, client.stream("POST", "/infer", json=body) as found:
            lines = found.aiter_lines()
            for _ in range(3):
                assert "token" in json.loads(await anext(lines))

    asyncio.run(main())
    cluster.wait_for(
        lambda: not any(each["inflight"] for each in cluster.status()["instances"]), "a free slot"
    )
    (instance,) = cluster.status()["instances"]
    assert instance["completion_tokens_total"] < 4000


async def _chat(client: httpx.AsyncClient, number: int) -> list[int]:
    """Return how many tokens of each turn's prompt were in a cache."""
    turns = [{"role": "user", "content": f"Story number {number}: tell me of a boat on a lake."}]
    cached = []
    for _ in range(TURNS):
        body = {**CHAT, "messages": turns, "max_tokens": 6, "temperature": 0}
        found = (await client.post("/v1/chat/completions", json=body)).json()
        cached.append(found["usage"]["prompt_tokens_details"]["cached_tokens"])
        turns = [*turns, found["choices"][0]["message"], {"role": "user", "content": "And then?"}]
    return cached


def test_a_chat_goes_back_to_the_node_that_has_its_beginning(cluster: Cluster):
    cluster.load_on_all(MODEL)

    async def main() -> list[list[int]]:
        async with cluster.client() as client:
            return await asyncio.gather(*(_chat(client, number) for number in range(8)))

    cached = asyncio.run(main())
    assert all(first >= 0 and min(later) > 20 for first, *later in cached), cached
    prompts = {each["host"]: each["prompt_tokens_total"] for each in cluster.status()["instances"]}
    assert all(prompts.values()), f"one host has had all chats: {prompts}"


def test_a_burst_that_is_too_much_for_all_hosts_is_refused_beyond_their_queues(cluster: Cluster):
    """Each has one slot and four places in its queue: ten are served, two are told to wait."""
    rows = {**cluster.settings["models"], MODEL: {"slots": 1, "threads": 1}}
    before = dict(cluster.settings)
    cluster.write_settings(models=rows, max_queue_depth=4)
    assert cluster.post("/admin/reload", {}).is_success
    cluster.load_on_all(MODEL)

    async def main() -> list[httpx.Response]:
        async with cluster.client() as client:
            body = {"model": MODEL, "prompt": "Once", "max_tokens": 100, "ignore_eos": True}
            return await asyncio.gather(*(client.post("/infer", json=body) for _ in range(12)))

    try:
        found = asyncio.run(main())
    finally:
        cluster.settings = before
        cluster.write_settings()
        assert cluster.post("/admin/reload", {}).is_success
    assert sorted(each.status_code for each in found) == [200] * 10 + [429] * 2
    refused = [each for each in found if each.status_code == 429]
    assert all(each.json()["reason"] == "queue_full" for each in refused)
    assert all(int(each.headers["retry-after"]) >= 1 for each in refused)
