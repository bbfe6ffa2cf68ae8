# SPDX-License-Identifier: GPL-3.0-only
"""Two real models behind a real server."""

import asyncio
import json
import os
import random
import signal

import httpx
import pytest

from tests.support.gguf.real_models import GEMMA3, SMOLLM2, models_folder
from tests.support.http.served import DEADLINE_S, Ledger, Served, ask, lines, serving, until

pytestmark = pytest.mark.model

CLIENTS = 8
SWAPS = 6
"""How often the models have made way for each other when the clients stop."""

OPTIONS = json.dumps({"*": {"context": 1024, "slots": 2, "threads": 1}})
ROOM_FOR_ONE_MB = 450


def test_a_real_model_streams_a_true_generation() -> None:
    with serving(models_folder(), "--default-model", SMOLLM2, "--models", OPTIONS) as served:
        body = {"prompt": "The capital of France is", "max_tokens": 8, "temperature": 0}
        generation = served.post("/infer", body)
        *tokens, done = [json.loads(line) for line in generation.text.splitlines()]
        assert done["content"].startswith(" Paris")
        assert done["content"] == "".join(line["token"] for line in tokens)
        assert done["usage"]["completion_tokens"] == 8
        assert done["finish_reason"] == "length"


def test_a_real_model_chats_through_its_template() -> None:
    with serving(models_folder(), "--default-model", SMOLLM2, "--models", OPTIONS) as served:
        messages = [{"role": "user", "content": "Say hi."}]
        body = {"messages": messages, "max_tokens": 20, "temperature": 0, "stream": False}
        generation = served.post("/infer", body).json()
        assert generation["content"].startswith("Hello")
        assert generation["usage"]["prompt_tokens"] > 20, "the template's own words are missing"


def test_leaving_a_real_stream_ends_the_work() -> None:
    async def scenario(served: Served) -> None:
        async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
            stream = lines(http, served.url, {"prompt": "Count: 1, 2,", "max_tokens": 900})
            await anext(stream)
            assert served.instance(SMOLLM2)["inflight"] == 1
            await stream.aclose()
            await until(lambda: served.instance(SMOLLM2)["inflight"] == 0)

    with serving(models_folder(), "--default-model", SMOLLM2, "--models", OPTIONS) as served:
        asyncio.run(scenario(served))


def test_a_killed_real_worker_ends_its_stream_with_an_error_and_is_loaded_anew() -> None:
    async def scenario(served: Served) -> None:
        async with httpx.AsyncClient(timeout=DEADLINE_S) as http:
            body = {"prompt": "Count: 1, 2,", "max_tokens": 900, "temperature": 0}
            stream = lines(http, served.url, body)
            await anext(stream)
            os.kill(served.instance(SMOLLM2)["pid"], signal.SIGKILL)
            rest = [line async for line in stream]
            assert rest[-1]["reason"] == "worker_crashed"
            again = await ask(http, served.url, Ledger(), {**body, "max_tokens": 2})
            assert again[-1]["done"]

    with serving(models_folder(), "--default-model", SMOLLM2, "--models", OPTIONS) as served:
        asyncio.run(scenario(served))


@pytest.mark.slow
def test_two_models_swap_under_a_budget_for_one_and_nothing_is_lost() -> None:
    ledger = Ledger()

    async def hammer(http: httpx.AsyncClient, url: str, seed: int, over: asyncio.Event) -> None:
        choose = random.Random(seed)
        while not over.is_set():
            body = {
                "model": choose.choice([SMOLLM2, GEMMA3]),
                "prompt": f"{seed}, {choose.random()}: once upon a time",
                "max_tokens": choose.randint(1, 24),
                "seed": seed,
            }
            await ask(http, url, ledger, body)

    async def watch(http: httpx.AsyncClient, url: str, over: asyncio.Event) -> None:
        while not over.is_set():
            status = (await http.get(f"{url}/status")).json()
            assert status["held_mb"] <= ROOM_FOR_ONE_MB, status
            assert sum(i["state"] in ("ready", "loading") for i in status["instances"]) <= 1
            if status["evictions_total"] >= SWAPS:
                over.set()
            await asyncio.sleep(0.02)

    async def scenario(url: str) -> None:
        over = asyncio.Event()
        async with (
            asyncio.timeout(DEADLINE_S * 4),
            httpx.AsyncClient(timeout=DEADLINE_S * 4) as http,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(watch(http, url, over))
            for seed in range(CLIENTS):
                group.create_task(hammer(http, url, seed, over))

    arguments = ("--memory-budget-mb", str(ROOM_FOR_ONE_MB), "--max-overtake-s", "2")
    with serving(models_folder(), *arguments, "--models", OPTIONS) as served:
        asyncio.run(scenario(served.url))
        ledger.check()
        assert ledger.outcomes["failed"] == 0, served.log()
        assert ledger.outcomes["refused"] == 0, served.log()
        status = served.status()
        assert status["evictions_total"] >= SWAPS
        assert status["loads_total"] == status["evictions_total"] + 1
        (resident,) = status["instances"]  # the other one has no state
        assert (resident["inflight"], resident["queue_len"]) == (0, 0)
        print(f"{ledger.outcomes} with {status['loads_total']} loads")
