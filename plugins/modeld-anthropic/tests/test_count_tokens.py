# SPDX-License-Identifier: GPL-3.0-only
"""How many tokens a conversation has: its tools, its system and a template's own among them."""

from __future__ import annotations

import pytest
from anthropic_calls import COUNT, REQUEST_ID, TURN, post

from modeld.errors import ModelNotFoundError
from modeld.messages import Message, Reasoning, Tool
from modeld.requests import AnyUnaryRequest, ApplyTemplateRequest, TokenizeRequest
from modeld.responses import AnyUnaryResponse, TextResponse, TokenizeResponse
from tests.support.http.fake_service import FakeService

TOOL = {"name": "f", "input_schema": {"type": "object"}}
PROMPT = TextResponse(text="<user>hi")


class Counting(FakeService):
    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        await super().submit(request)
        if isinstance(request, TokenizeRequest):
            return TokenizeResponse(ids=tuple(range(len(request.text))))
        return PROMPT


def test_the_tokens_of_the_prompt_are_counted() -> None:
    service = Counting()
    response = post(
        service, COUNT, model="x", system="s", tools=[TOOL], timeout_s=5, keep_alive_s=6
    )
    assert response.json() == {"input_tokens": 8}
    assert response.headers["request-id"] == REQUEST_ID
    assert service.unary_requests == [
        ApplyTemplateRequest(
            model="x",
            messages=(Message(role="system", content="s"), Message(role="user", content="hi")),
            tools=(Tool(name="f", parameters={"type": "object"}),),
            reasoning=Reasoning(enabled=False),
            timeout_s=5,
            keep_alive_s=6,
            request_id=REQUEST_ID,
        ),
        TokenizeRequest(
            model="x", text=PROMPT.text, timeout_s=5, keep_alive_s=6, request_id=REQUEST_ID
        ),
    ]


def test_what_the_model_has_begun_is_counted_too() -> None:
    service = Counting()
    post(service, COUNT, messages=[TURN, {"role": "assistant", "content": "Well,"}])
    (first, _) = service.unary_requests
    assert isinstance(first, ApplyTemplateRequest)
    assert first.continue_last is True


@pytest.mark.parametrize(("kind", "count"), [("none", 0), ("auto", 1), ("any", 1)])
def test_tools_that_may_not_be_called_are_not_told_of(kind: str, count: int) -> None:
    service = Counting()
    post(service, COUNT, tools=[TOOL], tool_choice={"type": kind})
    (first, _) = service.unary_requests
    assert isinstance(first, ApplyTemplateRequest)
    assert len(first.tools) == count


def test_an_error_has_its_form() -> None:
    service = FakeService()
    service.unary_response = ModelNotFoundError("there is no model 'x'", field="model")
    response = post(service, COUNT, model="x")
    assert (response.status_code, response.json()["error"]["type"]) == (404, "not_found_error")
