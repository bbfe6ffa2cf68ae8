# SPDX-License-Identifier: GPL-3.0-only
"""Responses that are kept: gone on from, looked at, listed, dropped."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import httpx
from modeld_openai.responses.documents import ResponseItemList
from openai_calls import RESPONSES

from modeld.errors import WorkerCrashedError
from modeld.messages import Message, ToolCall
from modeld.responses import Done, FinishReason, ReasoningToken, Token, ToolCallDelta, Usage
from modeld.settings import Settings
from tests.support.http.fake_service import FakeService, client_of, make_app

USAGE = Usage(prompt_tokens=3, completion_tokens=2)
DONE = Done(finish_reason=FinishReason.STOP, usage=USAGE)
SAID = (ReasoningToken(text="hm"), Token(text="a"), DONE)
KEYS = ("a-key-of-some-length", "another-key-of-some-length")


def talk(
    service: FakeService,
    work: Callable[[httpx.AsyncClient], Awaitable[None]],
    settings: Settings | None = None,
) -> None:
    async def go() -> None:
        app = make_app(service, settings or Settings(default_model="m"))
        async with client_of(app) as client:
            await work(client)

    asyncio.run(go())


async def create(client: httpx.AsyncClient, **body: Any) -> dict[str, Any]:
    response = await client.post(RESPONSES, json={"input": "hi", **body})
    assert response.status_code == 200, response.text
    return response.json()


async def streamed(client: httpx.AsyncClient) -> str:
    """Return the id of a response that was streamed."""
    response = await client.post(RESPONSES, json={"input": "hi", "stream": True})
    return response.text.split('"id":"')[1].split('"')[0]


def test_a_response_can_be_looked_at_and_dropped():
    async def work(client: httpx.AsyncClient) -> None:
        made = await create(client, metadata={"a": "b"})
        path = f"{RESPONSES}/{made['id']}"
        assert (await client.get(path)).json() == made
        assert (await client.delete(path)).json() == {
            "id": made["id"],
            "object": "response",
            "deleted": True,
        }
        for method in ("GET", "DELETE"):
            missing = await client.request(method, path)
            assert missing.status_code == 404
            assert missing.json()["error"]["type"] == "invalid_request_error"

    talk(FakeService(*SAID), work)


def test_a_response_that_was_streamed_is_kept_too():
    async def work(client: httpx.AsyncClient) -> None:
        found = await client.get(f"{RESPONSES}/{await streamed(client)}")
        assert found.json()["output"][1]["content"][0]["text"] == "a"

    talk(FakeService(*SAID), work)


def test_what_is_not_to_be_stored_or_has_failed_is_not_there():
    async def unstored(client: httpx.AsyncClient) -> None:
        made = await create(client, store=False)
        assert (await client.get(f"{RESPONSES}/{made['id']}")).status_code == 404

    async def failed(client: httpx.AsyncClient) -> None:
        assert (await client.get(f"{RESPONSES}/{await streamed(client)}")).status_code == 404

    talk(FakeService(*SAID), unstored)
    talk(FakeService(Token(text="a"), WorkerCrashedError("it died")), failed)


def test_the_next_response_goes_on_from_all_before_but_the_instructions():
    service = FakeService(
        *SAID[:-1],
        ToolCallDelta(index=0, name="f", arguments="{}"),
        Done(finish_reason=FinishReason.TOOL_CALLS, usage=USAGE),
    )

    async def work(client: httpx.AsyncClient) -> None:
        first = await create(client, instructions="be brief")
        call = first["output"][-1]["call_id"]
        result = {"type": "function_call_output", "call_id": call, "output": "5"}
        second = await create(client, previous_response_id=first["id"], input=[result])
        assert second["previous_response_id"] == first["id"]
        assert (await client.delete(f"{RESPONSES}/{first['id']}")).status_code == 200
        await create(client, previous_response_id=second["id"], input="and?")
        said = Message(
            role="assistant",
            content="a",
            reasoning="hm",
            tool_calls=(ToolCall(id=call, name="f", arguments="{}"),),
        )
        *before, other, last = service.requests[-1].messages or ()
        assert before == [
            Message(role="user", content="hi"),
            said,
            Message(role="tool", content="5", tool_call_id=call),
        ]
        assert (other.content, last.content) == ("a", "and?")

    talk(service, work)


def test_what_comes_back_can_be_sent_as_input():
    service = FakeService(*SAID)

    async def work(client: httpx.AsyncClient) -> None:
        first = await create(client)
        following = {"role": "user", "content": "and?"}
        await create(client, input=[*first["output"], following])
        await create(client, previous_response_id=first["id"], input=[following])
        by_items, by_id = (request.messages or () for request in service.requests[1:])
        assert by_id == (Message(role="user", content="hi"), *by_items)

    talk(service, work)


def test_the_input_items_are_listed_in_pages():
    async def work(client: httpx.AsyncClient) -> None:
        first = await create(client)
        image = {"type": "input_image", "image_url": "data:image/png;base64,cG5n"}
        second = await create(
            client,
            previous_response_id=first["id"],
            input=[
                {"role": "user", "content": [image], "id": "mine"},
                {"role": "assistant", "content": "x"},
                {"type": "function_call", "call_id": "c", "name": "f", "arguments": "{}"},
                {"type": "function_call_output", "call_id": "c", "output": "5"},
            ],
        )
        path = f"{RESPONSES}/{second['id']}/input_items"
        page = (await client.get(path)).json()
        ResponseItemList.model_validate(page, extra="forbid")
        assert [item["type"] for item in page["data"]] == [
            "function_call_output",
            "function_call",
            "message",
            "message",
            "message",
            "reasoning",
            "message",
        ]
        assert page["data"][-1]["content"] == [{"type": "input_text", "text": "hi"}]
        assert page["data"][3] == {
            "id": "mine",
            "type": "message",
            "role": "user",
            "content": [image],
            "status": "completed",
        }
        assert page["has_more"] is False
        few = (await client.get(path, params={"limit": "2", "order": "asc"})).json()
        assert few["data"] == page["data"][:-3:-1]
        assert few["has_more"] is True
        assert few["last_id"] == few["data"][1]["id"]
        rest = {"after": few["last_id"], "order": "asc", "limit": "5"}
        others = (await client.get(path, params=rest)).json()
        assert [*few["data"], *others["data"]] == page["data"][::-1]
        assert others["has_more"] is False
        end = (await client.get(path, params={"after": page["last_id"]})).json()
        assert (end["data"], end["first_id"]) == ([], "")

    talk(FakeService(*SAID), work)


def test_a_wrong_page_is_refused_by_name():
    async def work(client: httpx.AsyncClient) -> None:
        made = await create(client)
        path = f"{RESPONSES}/{made['id']}/input_items"
        for query, name in (
            ({"limit": "0"}, "limit"),
            ({"limit": "101"}, "limit"),
            ({"limit": "00100001"}, "limit"),
            ({"limit": "x"}, "limit"),
            ({"order": "up"}, "order"),
            ({"after": "none"}, "after"),
            ({"include": "x"}, "include"),
        ):
            response = await client.get(path, params=query)
            assert (response.status_code, response.json()["error"]["param"]) == (400, name)
        assert (await client.get(f"{RESPONSES}/none/input_items")).status_code == 404

    talk(FakeService(*SAID), work)


def test_there_is_nothing_to_cancel():
    async def work(client: httpx.AsyncClient) -> None:
        made = await create(client)
        response = await client.post(f"{RESPONSES}/{made['id']}/cancel")
        assert response.status_code == 400
        assert "background" in response.json()["error"]["message"]
        assert (await client.post(f"{RESPONSES}/none/cancel")).status_code == 404

    talk(FakeService(*SAID), work)


def test_a_response_that_is_not_there_cannot_be_gone_on_from():
    async def work(client: httpx.AsyncClient) -> None:
        body = {"input": "hi", "previous_response_id": "resp_none"}
        response = await client.post(RESPONSES, json=body)
        assert response.status_code == 400
        assert response.json()["error"]["param"] == "previous_response_id"

    talk(FakeService(*SAID), work)


def test_a_response_belongs_to_the_key_that_it_was_made_with(tmp_path):
    (tmp_path / "keys").write_text("\n".join(KEYS))
    settings = Settings(api_key_file=str(tmp_path / "keys"), default_model="m")

    async def work(client: httpx.AsyncClient) -> None:
        mine, others = ({"Authorization": f"Bearer {key}"} for key in KEYS)
        made = await client.post(RESPONSES, json={"input": "hi"}, headers=mine)
        name = made.json()["id"]
        path = f"{RESPONSES}/{name}"
        assert (await client.get(path, headers={"X-API-Key": KEYS[0]})).status_code == 200
        for method, address in (("GET", path), ("DELETE", path), ("GET", f"{path}/input_items")):
            response = await client.request(method, address, headers=others)
            assert response.status_code == 404
        body = {"input": "hi", "previous_response_id": name}
        response = await client.post(RESPONSES, json=body, headers=others)
        assert response.status_code == 400

    talk(FakeService(*SAID), work, settings)
