# SPDX-License-Identifier: GPL-3.0-only
"""What the responses for text are, for the documents."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

MODEL: Final = "SmolLM2-135M-Instruct.Q4_1.gguf"
_TIME: Final = "2025-12-01T12:00:00.123456Z"
_COSTS: Final = {
    "done_reason": "stop",
    "total_duration": 412000000,
    "load_duration": 0,
    "prompt_eval_duration": 300000000,
    "eval_duration": 112000000,
    "prompt_eval_count": 37,
    "eval_count": 8,
}


class OllamaLikelyToken(BaseModel):
    """A token and how probable it was before any sampler changed that."""

    token: str = Field(description="its text, with U+FFFD for what is no whole character")
    logprob: float = Field(description="natural logarithm of its probability; -9999 at the least")
    bytes: list[int] = Field(description="the bytes that it stands for")


class OllamaLogprobs(OllamaLikelyToken):
    """A token that was chosen."""

    top_logprobs: list[OllamaLikelyToken] = Field(description="the likeliest tokens at its place")


class OllamaCalledFunction(BaseModel):
    """What is called."""

    index: int = Field(description="which of the calls it is, from 0")
    name: str
    arguments: dict[str, Any]


class OllamaToolCall(BaseModel):
    """A call of a tool."""

    id: str = Field(description="what the message with the result may name it by")
    function: OllamaCalledFunction


class OllamaMessage(BaseModel):
    """What the model says, or a part of it."""

    role: Literal["assistant"]
    content: str
    thinking: str | None = Field(None, description="what the model thinks before it says this")
    tool_calls: list[OllamaToolCall] | None = Field(None, description="absent where there are none")


class OllamaCosts(BaseModel):
    """How a generation has ended and what it cost: in the last line, or the only object."""

    done: bool = Field(description="true in the last line and in a single object")
    done_reason: Literal["stop", "length", "content_filter", "load", "unload"] | None = Field(
        None,
        description="stop: the model, a stop text or a call of a tool ended it; length: num_predict"
        " or the context did; load, unload: nothing was to be generated",
    )
    total_duration: int | None = Field(
        None, description="from when the request had come to this line, in nanoseconds"
    )
    load_duration: int | None = Field(
        None, description="how long it has waited for the model's load, in nanoseconds"
    )
    prompt_eval_duration: int | None = Field(
        None,
        description="from when the request had come to its first piece, in nanoseconds, but for"
        " load_duration: waiting and reading the prompt together",
    )
    eval_duration: int | None = Field(
        None, description="from the first piece to this line, in nanoseconds"
    )
    prompt_eval_count: int | None = Field(
        None, description="tokens of the prompt, those among them that were not computed again"
    )
    eval_count: int | None = Field(None, description="tokens of the generation, with its thinking")
    fit: str | None = Field(
        None,
        description="modeld's own: by which step the model was made to fit; absent where it is as"
        " configured",
    )
    logprobs: list[OllamaLogprobs] | None = Field(None, description="absent unless wanted")


class OllamaChatResponse(OllamaCosts):
    """A line of a chat's response, or all of it."""

    model: str = Field(description="the model as the request names it")
    created_at: str = Field(description="when this line was made")
    message: OllamaMessage


class OllamaGenerateResponse(OllamaCosts):
    """A line of the response to a prompt, or all of it."""

    model: str = Field(description="the model as the request names it")
    created_at: str = Field(description="when this line was made")
    response: str
    thinking: str | None = Field(None, description="what the model thinks before it says this")


CHAT_EXAMPLE: Final[Mapping[str, Any]] = {
    "model": MODEL,
    "created_at": _TIME,
    "message": {"role": "assistant", "content": "The capital of France is Paris."},
    "done": True,
    **_COSTS,
}
GENERATE_EXAMPLE: Final[Mapping[str, Any]] = {
    "model": MODEL,
    "created_at": _TIME,
    "response": "The capital of France is Paris.",
    "done": True,
    **_COSTS,
}


def lines_of(example: Mapping[str, Any]) -> str:
    """Return a response as the two lines of its stream."""
    piece = {name: part for name, part in example.items() if name not in _COSTS} | {"done": False}
    last = dict(example)
    if "message" in last:
        last["message"] = {"role": "assistant", "content": ""}
    else:
        last["response"] = ""
    return f"{json.dumps(piece)}\n{json.dumps(last)}\n"
