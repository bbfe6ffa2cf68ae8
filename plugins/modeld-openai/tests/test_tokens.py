# SPDX-License-Identifier: GPL-3.0-only
"""Texts and chats as tokens, and back, in vLLM's form."""

from __future__ import annotations

import asyncio
from typing import Any

from modeld_openai.tokens import (
    DetokenizeTokensBody,
    OpenAITokens,
    OpenAITokenText,
    TokenizeTextBody,
)
from openai_calls import DETOKENIZE, REQUEST_ID, TOKENIZE, TURN, post
from wrong_fields import COMMON, NO_BOOL, NO_OBJECT, NO_TEXT, said_of

from modeld.messages import Message, Tool
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    TokenizeRequest,
)
from modeld.responses import AnyUnaryResponse, TextResponse, TokenizeResponse
from modeld.values import ModelSpec
from tests.support.http.fake_service import FakeService

TOKENS = TokenizeResponse(ids=(5, 6), pieces=(b"a", b"\xc3"))


class TokenService(FakeService):
    """Makes a prompt of a chat, tokens of a text and a text of tokens."""

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        self.unary_requests.append(request)
        return TOKENS if isinstance(request, TokenizeRequest) else TextResponse(text="made")


def asked(path: str = TOKENIZE, **body: Any) -> tuple[dict[str, Any], list[AnyUnaryRequest]]:
    service = TokenService()
    service.specs = [
        ModelSpec(
            id="m",
            name="m",
            path="/m",
            size_bytes=1,
            context_length=9,
            context=99,
            aliases=("other",),
        )
    ]
    response = post(service, path, **body)
    assert response.status_code == 200, response.text
    return response.json(), service.unary_requests


def test_a_text_has_its_tokens_and_their_count():
    document, requests = asked()
    OpenAITokens.model_validate(document, extra="forbid")
    assert document == {"count": 2, "max_model_len": 99, "tokens": [5, 6]}
    assert requests == [TokenizeRequest(text="hi", request_id=REQUEST_ID)]


def test_the_length_is_that_of_the_model_behind_an_alias():
    assert asked(model="other")[0]["max_model_len"] == 99


def test_the_text_of_each_token_is_there_where_it_is_wanted():
    document, (request,) = asked(
        prompt="", add_special_tokens=False, return_token_strs=True, model="x", timeout_s=5
    )
    assert document["token_strs"] == ["a", "\ufffd"]
    assert document["max_model_len"] is None
    assert request == TokenizeRequest(
        text="",
        model="x",
        add_special=False,
        with_pieces=True,
        timeout_s=5,
        request_id=REQUEST_ID,
    )


def test_a_chat_has_the_tokens_of_the_prompt_that_is_made_of_it():
    last = {"role": "assistant", "content": "a"}
    tool = {"type": "function", "function": {"name": "f"}}
    document, requests = asked(
        prompt=None,
        messages=[TURN, last],
        tools=[tool],
        chat_template_kwargs={"a": 1},
        continue_final_message=True,
        add_generation_prompt=False,
    )
    assert document["tokens"] == [5, 6]
    assert requests == [
        ApplyTemplateRequest(
            messages=(Message(role="user", content="hi"), Message(role="assistant", content="a")),
            tools=(Tool(name="f"),),
            template_kwargs={"a": 1},
            continue_last=True,
            request_id=REQUEST_ID,
        ),
        TokenizeRequest(text="made", request_id=REQUEST_ID),
    ]


def test_tokens_have_their_text():
    document, requests = asked(DETOKENIZE, tokens=[5, 6])
    OpenAITokenText.model_validate(document, extra="forbid")
    assert document == {"prompt": "made"}
    assert requests == [DetokenizeRequest(tokens=(5, 6), request_id=REQUEST_ID)]


WRONG: dict[str, tuple[Any, ...]] = {
    "model": COMMON["model"],
    "timeout_s": COMMON["timeout_s"],
    "keep_alive_s": COMMON["keep_alive_s"],
    "fit": COMMON["fit"],
    "prompt": (None, *NO_TEXT),
    "messages": (5, "hi", {}, [], [TURN] * 1025),
    "add_special_tokens": NO_BOOL,
    "return_token_strs": NO_BOOL,
    "tools": (5, "a", {}, []),
    "chat_template_kwargs": (*NO_OBJECT, {}),
    "continue_final_message": (*NO_BOOL, False),
    "add_generation_prompt": (*NO_BOOL, True),
}
WRONG_TOKENS: dict[str, tuple[Any, ...]] = {
    "model": COMMON["model"],
    "timeout_s": COMMON["timeout_s"],
    "keep_alive_s": COMMON["keep_alive_s"],
    "fit": COMMON["fit"],
    "tokens": (None, 5, "a", {}, [5] * 131_073),
}
CHAT = {"prompt": None, "messages": [TURN]}
INSIDE: list[tuple[dict[str, Any], str]] = [
    ({"messages": [TURN]}, "prompt"),
    ({**CHAT, "add_special_tokens": True}, "add_special_tokens"),
    ({**CHAT, "add_generation_prompt": False}, "add_generation_prompt"),
    ({"messages": [{"role": "x", "content": "a"}]}, "messages[0].role"),
]


def test_what_is_wrong_is_refused_by_its_name():
    assert set(TokenizeTextBody.model_fields) == set(WRONG)
    cases = [({name: wrong}, name) for name, values in WRONG.items() for wrong in values]
    cases += INSIDE
    found = asyncio.run(said_of(TOKENIZE, [body for body, _ in cases]))
    assert found == [(400, name) for _, name in cases]


def test_what_is_wrong_with_tokens_is_refused_by_its_name():
    assert set(DetokenizeTokensBody.model_fields) == set(WRONG_TOKENS)
    cases = [({name: wrong}, name) for name, values in WRONG_TOKENS.items() for wrong in values]
    cases += [({"tokens": [5, wrong]}, "tokens[1]") for wrong in (-1, "a", None, 1.5, 2**31)]
    found = asyncio.run(said_of(DETOKENIZE, [body for body, _ in cases]))
    assert found == [(400, name) for _, name in cases]
