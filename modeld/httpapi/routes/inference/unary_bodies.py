# SPDX-License-Identifier: GPL-3.0-only
"""The bodies of unary requests: embeddings, rankings, tokens and the prompt of a chat.

The names are those of llama.cpp's server.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated

from pydantic import (
    BeforeValidator,
    Field,
)

from modeld.dialects.body import ModelRequest, listed, one_or_list
from modeld.dialects.chat_fields import ChatFields, ChatMessages, as_values
from modeld.dialects.token_fields import TokenIds
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)

MAX_INPUTS = 2048
MAX_DOCUMENTS = 1024

Input = Annotated[str, Field(min_length=1)]
Inputs = Annotated[
    list[Input],
    Field(min_length=1, max_length=MAX_INPUTS, fail_fast=True),
    BeforeValidator(listed),
    one_or_list({"type": "string", "minLength": 1}, minItems=1, maxItems=MAX_INPUTS),
]


class UnaryBody(ModelRequest):
    """Base of the bodies of unary requests."""

    @abstractmethod
    def to_request(self, request_id: str) -> AnyUnaryRequest:
        """Return the same as a value for the service."""


class EmbedBody(UnaryBody):
    """Texts whose vectors are wanted."""

    input: Inputs = Field(description="one text, or a list of them; none of them empty")
    normalize: bool | None = Field(
        None, description="true (the default) scales each vector to length 1"
    )

    def to_request(self, request_id: str) -> EmbedRequest:
        """Return the same as a value for the service."""
        return EmbedRequest(
            inputs=tuple(self.input),
            normalize=self.normalize is not False,
            **self.common_members(request_id),
        )


class RerankBody(UnaryBody):
    """Documents to be ordered by how relevant they are for a query."""

    query: str = Field(min_length=1, description="what is looked for")
    documents: list[Input] = Field(
        min_length=1,
        max_length=MAX_DOCUMENTS,
        fail_fast=True,
        description="the texts to be ordered; none of them empty",
    )
    top_n: int | None = Field(
        None, ge=1, le=MAX_DOCUMENTS, description="how many of the best to send; without it all"
    )
    return_documents: bool | None = Field(
        None, description="true sends the text of each document too; false is the default"
    )

    def to_request(self, request_id: str) -> RerankRequest:
        """Return the same as a value for the service."""
        return RerankRequest(
            query=self.query,
            documents=tuple(self.documents),
            **self.common_members(request_id),
        )


class TokenizeBody(UnaryBody):
    """A text whose tokens are wanted."""

    content: str = Field(description="the text; it may be empty")
    add_special: bool | None = Field(
        None, description="true (the default) adds the tokens that the model wants around a text"
    )
    parse_special: bool | None = Field(
        None, description="true (the default) reads special tokens that are written out as such"
    )
    with_pieces: bool | None = Field(
        None, description="true sends what each token stands for too; false is the default"
    )

    def to_request(self, request_id: str) -> TokenizeRequest:
        """Return the same as a value for the service."""
        return TokenizeRequest(
            text=self.content,
            add_special=self.add_special is not False,
            parse_special=self.parse_special is not False,
            with_pieces=self.with_pieces is True,
            **self.common_members(request_id),
        )


class DetokenizeBody(UnaryBody):
    """Tokens whose text is wanted."""

    tokens: TokenIds = Field(description="ids of tokens; special ones are written out")

    def to_request(self, request_id: str) -> DetokenizeRequest:
        """Return the same as a value for the service."""
        return DetokenizeRequest(
            tokens=tuple(self.tokens),
            **self.common_members(request_id),
        )


class ApplyTemplateBody(ChatFields, UnaryBody):
    """A chat whose prompt is wanted."""

    messages: ChatMessages = Field(min_length=1, description="the chat, as for POST /infer")

    def to_request(self, request_id: str) -> ApplyTemplateRequest:
        """Return the same as a value for the service."""
        return ApplyTemplateRequest(
            messages=as_values(self.messages),
            **self.chat_members(),
            **self.common_members(request_id),
        )
