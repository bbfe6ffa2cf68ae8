# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/messages/count_tokens``: how many tokens a conversation has as a prompt."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from pydantic import BaseModel, Field

from modeld.dialects import JSON, Call, UnaryRoute, WholeResponse
from modeld.dialects.documents import WORK_ERRORS, Content, ResponseDoc
from modeld.errors import TemplateError
from modeld.requests import AnyUnaryRequest, TokenizeRequest
from modeld.responses import AnyUnaryResponse, TextResponse, TokenizeResponse
from modeld_anthropic.headers import HEADERS, PARAMETERS, own_headers
from modeld_anthropic.messages.body import CountTokensBody

_DESCRIPTION = """\
The model's chat template makes a prompt of the conversation and of the tools, and the tokens of
that are counted. The model is loaded for it, and nothing is generated.
"""
_EXAMPLE: Final = {
    "model": "SmolLM2-135M-Instruct.Q4_1.gguf",
    "messages": [{"role": "user", "content": "What is the capital of France?"}],
}


class AnthropicTokenCount(BaseModel):
    """How many tokens a conversation has."""

    input_tokens: int = Field(description="tokens of the prompt")


def count_tokens_route() -> UnaryRoute[CountTokensBody]:
    """Return the route."""
    content = Content(media_type=JSON, model=AnthropicTokenCount, example={"input_tokens": 37})
    return UnaryRoute(
        path="/v1/messages/count_tokens",
        name="anthropic_count_tokens",
        summary="Count the tokens of a conversation, in Anthropic's form",
        description=_DESCRIPTION,
        body=CountTokensBody,
        body_examples={"conversation": _EXAMPLE},
        requests=lambda body, call: [body.request(call)],
        then=_texts,
        respond=_respond,
        parameters=PARAMETERS,
        responses=(
            ResponseDoc(status=200, description="The number", contents=(content,), headers=HEADERS),
        ),
        raises=(TemplateError, *WORK_ERRORS),
    )


def _texts(
    body: CountTokensBody, call: Call, prompts: Sequence[AnyUnaryResponse]
) -> Sequence[AnyUnaryRequest]:
    common = {**body.common_members(call.request_id), "model": call.model}
    return [
        TokenizeRequest(**common, text=prompt.text)
        for prompt in prompts
        if isinstance(prompt, TextResponse)
    ]


async def _respond(
    _body: CountTokensBody, call: Call, responses: Sequence[AnyUnaryResponse]
) -> WholeResponse:
    count = sum(len(each.ids) for each in responses if isinstance(each, TokenizeResponse))
    told = WholeResponse.of({"input_tokens": count})
    return replace(told, headers=own_headers(call.request_id))
