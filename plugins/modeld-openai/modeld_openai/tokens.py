# SPDX-License-Identifier: GPL-3.0-only
"""``POST /v1/tokenize`` and ``POST /v1/detokenize``: texts and chats become tokens, and back.

OpenAI has no such routes. Clients that want them beside its API know this form, which is vLLM's.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, Field

from modeld.dialects import JSON, Call, UnaryRoute, WholeResponse
from modeld.dialects.body import ModelRequest, wrong
from modeld.dialects.documents import WORK_ERRORS, Content, ResponseDoc
from modeld.dialects.token_fields import TokenIds
from modeld.errors import ModelNotFoundError, TemplateError
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    TokenizeRequest,
)
from modeld.responses import TextResponse
from modeld_openai.chat.body import continues
from modeld_openai.chat.messages import ChatTurns, messages_of
from modeld_openai.chat.tools import Tools, tools_of

_TOKENS = {"count": 4, "max_model_len": 4096, "tokens": [1, 4093, 6330, 28]}
_TEXT = {"prompt": "Hello there,"}
_TURN = {"role": "user", "content": "Hello"}
_OF_CHATS = ("tools", "chat_template_kwargs", "continue_final_message", "add_generation_prompt")


class TokenizeTextBody(ModelRequest):
    """A text or a chat whose tokens are wanted."""

    prompt: str | None = Field(None, description="the text; or send `messages`")
    messages: ChatTurns | None = Field(
        None, description="a chat, whose tokens are those of the prompt that is made of it"
    )
    add_special_tokens: bool | None = Field(
        None,
        description="of a prompt: true (the default) adds the tokens that the model wants around a"
        " text",
    )
    return_token_strs: bool | None = Field(
        None, description="true sends the text of each token too; false is the default"
    )
    tools: Tools | None = Field(None, description="of a chat: what the model is told of")
    chat_template_kwargs: dict[str, Any] | None = Field(
        None, description="of a chat: variables for the model's chat template"
    )
    continue_final_message: bool | None = Field(
        None, description="of a chat: true leaves its last message, the model's own, open"
    )
    add_generation_prompt: bool | None = Field(
        None, description="the opposite of `continue_final_message`, which it must not contradict"
    )

    def request(self, request_id: str) -> AnyUnaryRequest:
        """Return the request for the tokens of a prompt, or the one for the prompt of a chat.

        Raises:
            InvalidRequestError: there is neither, or both, or a field that is for the other.
        """
        common = self.common_members(request_id)
        if self.messages is None:
            return self._of_prompt(common)
        if self.prompt is not None:
            raise wrong("prompt", "cannot be given together with messages; send one of them")
        if self.add_special_tokens is not None:
            raise wrong("add_special_tokens", "is for a prompt; a chat has what belongs there")
        return ApplyTemplateRequest(
            messages=messages_of(self.messages),
            tools=tools_of(self.tools or ()),
            template_kwargs=self.chat_template_kwargs or {},
            continue_last=continues(self.continue_final_message, self.add_generation_prompt),
            **common,
        )

    def tokens_of(self, text: str) -> TokenizeRequest:
        """Return the request for the tokens of the prompt that was made of a chat."""
        return TokenizeRequest(
            text=text,
            with_pieces=self.return_token_strs is True,
            model=self.model or "",
            timeout_s=self.timeout_s,
        )

    def _of_prompt(self, common: dict[str, Any]) -> TokenizeRequest:
        if self.prompt is None:
            raise wrong("prompt", "must be given, unless there are messages")
        for name in _OF_CHATS:
            if getattr(self, name) is not None:
                raise wrong(name, "is for chats; send `messages`")
        return TokenizeRequest(
            text=self.prompt,
            add_special=self.add_special_tokens is not False,
            with_pieces=self.return_token_strs is True,
            **common,
        )


class DetokenizeTokensBody(ModelRequest):
    """Tokens whose text is wanted."""

    tokens: TokenIds = Field(description="ids of tokens; special ones are written out")


class OpenAITokens(BaseModel):
    """The tokens of a text or of a chat."""

    count: int = Field(description="how many tokens there are")
    max_model_len: int | None = Field(
        description="the most that one request may have, as the model is configured; null where"
        " that is not known"
    )
    tokens: list[int] = Field(description="their ids")
    token_strs: list[str] | None = Field(
        None, description="their texts, with U+FFFD for what is no whole character"
    )


class OpenAITokenText(BaseModel):
    """The text of tokens."""

    prompt: str


def token_routes() -> tuple[UnaryRoute[Any], ...]:
    """Return the routes."""
    return (
        UnaryRoute(
            path="/v1/tokenize",
            name="openai_tokenize",
            summary="Turn a text or a chat into tokens, in vLLM's form",
            body=TokenizeTextBody,
            body_examples={"text": {"prompt": "Hello there,"}, "chat": {"messages": [_TURN]}},
            requests=_tokens_wanted,
            then=_tokens_of_chat,
            respond=_tokens,
            responses=_described(OpenAITokens, _TOKENS),
            raises=(TemplateError, *WORK_ERRORS),
        ),
        UnaryRoute(
            path="/v1/detokenize",
            name="openai_detokenize",
            summary="Turn tokens into their text, in vLLM's form",
            body=DetokenizeTokensBody,
            body_examples={"tokens": {"tokens": [4093, 6330, 28]}},
            requests=_text_wanted,
            respond=_text,
            responses=_described(OpenAITokenText, _TEXT),
            raises=WORK_ERRORS,
        ),
    )


def _tokens_wanted(body: TokenizeTextBody, call: Call) -> tuple[AnyUnaryRequest]:
    return (body.request(call.request_id),)


def _tokens_of_chat(
    body: TokenizeTextBody, _call: Call, responses: Sequence[Any]
) -> Sequence[AnyUnaryRequest] | None:
    """Return the second request for a chat; a prompt has its tokens by now."""
    (response,) = responses
    return (body.tokens_of(response.text),) if isinstance(response, TextResponse) else None


async def _tokens(body: TokenizeTextBody, call: Call, responses: Sequence[Any]) -> WholeResponse:
    (response,) = responses
    document = {
        "count": len(response.ids),
        "max_model_len": await _context(call),
        "tokens": response.ids,
    }
    if body.return_token_strs:
        document["token_strs"] = [piece.decode(errors="replace") for piece in response.pieces]
    return WholeResponse.of(document)


async def _context(call: Call) -> int | None:
    with suppress(ModelNotFoundError):  # it may be gone meanwhile
        return (await call.service.known(call.model)).context
    return None


def _text_wanted(body: DetokenizeTokensBody, call: Call) -> tuple[DetokenizeRequest]:
    common = body.common_members(call.request_id)
    return (DetokenizeRequest(tokens=tuple(body.tokens), **common),)


async def _text(
    _body: DetokenizeTokensBody, _call: Call, responses: Sequence[Any]
) -> WholeResponse:
    (response,) = responses
    return WholeResponse.of({"prompt": response.text})


def _described(model: type[BaseModel], example: object) -> tuple[ResponseDoc]:
    content = Content(media_type=JSON, model=model, example=example)
    return (ResponseDoc(status=200, description="The response", contents=(content,)),)
