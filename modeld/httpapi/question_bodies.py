# SPDX-License-Identifier: GPL-3.0-only
"""What can be asked of a model besides text: the bodies of the requests and of the answers.

The names are those of llama.cpp's server.
"""

from __future__ import annotations

from abc import abstractmethod
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, Field

from modeld.httpapi.request_body import ChatMessages, ModelRequest, as_values, listed, one_or_list
from modeld.questions import (
    AnyQuestion,
    ApplyTemplateQuestion,
    DetokenizeQuestion,
    EmbedQuestion,
    RerankQuestion,
    TokenizeQuestion,
)

MAX_INPUTS = 2048
MAX_DOCUMENTS = 1024
MAX_TOKEN_IDS = 131_072
MAX_TOKEN_ID = 2**31 - 1

Input = Annotated[str, Field(min_length=1)]
Inputs = Annotated[
    list[Input],
    Field(min_length=1, max_length=MAX_INPUTS),
    BeforeValidator(listed),
    one_or_list({"type": "string", "minLength": 1}, minItems=1, maxItems=MAX_INPUTS),
]
TokenId = Annotated[int, Field(ge=0, le=MAX_TOKEN_ID)]


class QuestionRequest(ModelRequest):
    """Base of the requests with one reply."""

    @abstractmethod
    def to_question(self, request_id: str) -> AnyQuestion:
        """The same as a value for the service."""

    def _common(self, request_id: str) -> dict[str, Any]:
        return {
            "model": self.model or "",
            "timeout_s": self.timeout_s,
            "request_id": request_id,
        }


class EmbedRequest(QuestionRequest):
    """Texts whose vectors are wanted."""

    input: Inputs = Field(description="one text, or a list of them; none of them empty")
    normalize: bool | None = Field(
        None, description="true (the default) scales each vector to length 1"
    )

    def to_question(self, request_id: str) -> EmbedQuestion:
        """The same as a value for the service."""
        return EmbedQuestion(
            inputs=tuple(self.input),
            normalize=self.normalize is not False,
            **self._common(request_id),
        )


class RerankRequest(QuestionRequest):
    """Documents to be ordered by how relevant they are for a query."""

    query: str = Field(min_length=1, description="what is looked for")
    documents: list[Input] = Field(
        min_length=1,
        max_length=MAX_DOCUMENTS,
        description="the texts to be ordered; none of them empty",
    )
    top_n: int | None = Field(
        None, ge=1, le=MAX_DOCUMENTS, description="how many of the best to send; without it all"
    )
    return_documents: bool | None = Field(
        None, description="true sends the text of each document too; false is the default"
    )

    def to_question(self, request_id: str) -> RerankQuestion:
        """The same as a value for the service."""
        return RerankQuestion(
            query=self.query,
            documents=tuple(self.documents),
            **self._common(request_id),
        )


class TokenizeRequest(QuestionRequest):
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

    def to_question(self, request_id: str) -> TokenizeQuestion:
        """The same as a value for the service."""
        return TokenizeQuestion(
            text=self.content,
            add_special=self.add_special is not False,
            parse_special=self.parse_special is not False,
            with_pieces=self.with_pieces is True,
            **self._common(request_id),
        )


class DetokenizeRequest(QuestionRequest):
    """Tokens whose text is wanted."""

    tokens: list[TokenId] = Field(
        max_length=MAX_TOKEN_IDS, description="ids of tokens; special ones are written out"
    )

    def to_question(self, request_id: str) -> DetokenizeQuestion:
        """The same as a value for the service."""
        return DetokenizeQuestion(
            tokens=tuple(self.tokens),
            **self._common(request_id),
        )


class ApplyTemplateRequest(QuestionRequest):
    """A chat whose prompt is wanted."""

    messages: ChatMessages = Field(min_length=1, description="the chat, as for POST /infer")

    def to_question(self, request_id: str) -> ApplyTemplateQuestion:
        """The same as a value for the service."""
        return ApplyTemplateQuestion(
            messages=as_values(self.messages),
            **self._common(request_id),
        )


class PromptUsage(BaseModel):
    """What the request cost, in tokens."""

    prompt_tokens: int
    total_tokens: int


class EmbedAnswer(BaseModel):
    """One vector for each text, in their order."""

    model: str = Field(description="the model that was asked")
    embeddings: list[list[float]] = Field(description="all of the same length")
    usage: PromptUsage


class RankedDocument(BaseModel):
    """One document."""

    index: int = Field(description="its place in the request, from 0")
    score: float = Field(description="how relevant it is, on the model's own scale")
    document: str | None = Field(None, description="its text; absent unless asked for")


class RerankAnswer(BaseModel):
    """The documents, the most relevant first."""

    model: str = Field(description="the model that was asked")
    results: list[RankedDocument]
    usage: PromptUsage


class TokenPiece(BaseModel):
    """A token and what it stands for."""

    id: int
    piece: str | list[int] = Field(description="its text; its bytes where they are no whole text")


class TokenizeAnswer(BaseModel):
    """The tokens of a text."""

    tokens: list[int] | list[TokenPiece] = Field(description="ids; objects with with_pieces")


class DetokenizeAnswer(BaseModel):
    """The text of some tokens."""

    content: str = Field(description="the text, with U+FFFD for what is no whole character")


class ApplyTemplateAnswer(BaseModel):
    """What the model's chat template makes of a chat."""

    prompt: str = Field(description="a prompt for POST /infer")
