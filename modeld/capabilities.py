# SPDX-License-Identifier: GPL-3.0-only
"""What a model can be asked for, as its backend declares it. The rest is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from typing import Final, TypeVar

from msgspec.structs import replace

from modeld.errors import NotSupportedError
from modeld.messages import AudioPart, ImagePart, Message, Reasoning, ToolChoice
from modeld.requests import (
    AnyRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    GenerateRequest,
    RerankRequest,
    TokenizeRequest,
)


class Capability(StrEnum):
    """One thing that a model can be asked for.

    ``token_ids`` takes a prompt's tokens as they are, ``chat`` takes messages, ``parts`` their
    contents as lists (otherwise the texts in them are joined), ``names`` who speaks in them,
    ``continue_last`` goes on with a last message, ``suffix`` fills in what stands between a prompt
    and a suffix. Constraints are called as the request's members.
    """

    TEXT = "text"
    TOKEN_IDS = "token_ids"  # noqa: S105  (it is no password)
    SUFFIX = "suffix"
    CHAT = "chat"
    PARTS = "parts"
    NAMES = "names"
    VISION = "vision"
    AUDIO = "audio"
    TOOLS = "tools"
    REASONING = "reasoning"
    TEMPLATE_KWARGS = "template_kwargs"
    CONTINUE_LAST = "continue_last"
    LOGPROBS = "logprobs"
    JSON_SCHEMA = "json_schema"
    GRAMMAR = "grammar"
    REGEX = "regex"
    LARK = "lark"
    CHOICE = "choice"
    EMBED = "embed"
    RERANK = "rerank"
    TOKENIZE = "tokenize"
    TEMPLATE = "template"


CONSTRAINTS: Final = frozenset(
    {
        Capability.JSON_SCHEMA,
        Capability.GRAMMAR,
        Capability.REGEX,
        Capability.LARK,
        Capability.CHOICE,
    }
)

PLAIN: Final = frozenset({Capability.TEXT, Capability.CHAT})
"""What a backend is taken to serve that declares nothing."""

_OF_UNARY: Final = {
    EmbedRequest: Capability.EMBED,
    RerankRequest: Capability.RERANK,
    TokenizeRequest: Capability.TOKENIZE,
    DetokenizeRequest: Capability.TOKENIZE,
    ApplyTemplateRequest: Capability.TEMPLATE,
}
_OF_CONSTRAINTS: Final = tuple((each.value, each) for each in sorted(CONSTRAINTS))
_PARTS: Final = {ImagePart: Capability.VISION, AudioPart: Capability.AUDIO}
_NO_REASONING: Final = (Reasoning(), Reasoning(enabled=False))
"""What a model without reasoning does anyway."""

_ANY_CHOICE: Final = ToolChoice()


R = TypeVar("R", bound=AnyRequest)


def check(
    request: AnyRequest,
    declared: Collection[Capability],
    advice: Callable[[Capability], str] = lambda _missing: "",
) -> None:
    """Refuse what a request asks for and its model's backend does not declare.

    ``advice`` returns what the backend has to say about a capability that is missing.

    Raises:
        NotSupportedError: there is such a thing; ``field`` names the member that asks for it.
    """
    for field, capability in _wanted(request):
        if capability not in declared:
            advised = advice(capability)
            raise NotSupportedError(
                f"{field or _kind(request)}: {_refusal(capability)}"
                f"{'; ' if advised else ''}{advised}",
                field=field,
            )


def _refusal(capability: Capability) -> str:
    return f"the model does not serve this; it would need the capability {capability.value!r}"


def _kind(request: AnyRequest) -> str:
    return f"{request.__struct_config__.tag} requests"


def joined(request: R, declared: Collection[Capability]) -> R:
    """Return the request with the texts of each message joined, unless the model takes parts."""
    if not isinstance(request, GenerateRequest | ApplyTemplateRequest):
        return request
    if not request.messages or Capability.PARTS in declared:
        return request
    if all(isinstance(message.content, str) for message in request.messages):
        return request
    messages = tuple(replace(message, content=message.text) for message in request.messages)
    return replace(request, messages=messages)


def _wanted(request: AnyRequest) -> Iterator[tuple[str | None, Capability]]:
    """Yield what the backend must declare, with the member that asks for it, if it is one."""
    if isinstance(request, GenerateRequest):
        yield from _wanted_of_generation(request)
        return
    yield None, _OF_UNARY[type(request)]
    if isinstance(request, EmbedRequest) and not all(isinstance(i, str) for i in request.inputs):
        yield "inputs", Capability.TOKEN_IDS
    if isinstance(request, ApplyTemplateRequest):
        yield from _wanted_of_chat(request)


def _wanted_of_generation(request: GenerateRequest) -> Iterator[tuple[str, Capability]]:
    if request.prompt is not None:
        yield "prompt", Capability.TEXT
    elif request.prompt_tokens is not None:
        yield "prompt_tokens", Capability.TOKEN_IDS
    else:
        yield "messages", Capability.CHAT
    if request.suffix is not None:
        yield "suffix", Capability.SUFFIX
    if request.tool_choice != _ANY_CHOICE:
        yield "tool_choice", Capability.TOOLS
    if request.logprobs is not None:
        yield "logprobs", Capability.LOGPROBS
    for name, capability in _OF_CONSTRAINTS:
        if getattr(request, name) is not None:
            yield name, capability
    yield from _wanted_of_chat(request)


def _wanted_of_chat(
    request: GenerateRequest | ApplyTemplateRequest,
) -> Iterator[tuple[str, Capability]]:
    if request.tools:
        yield "tools", Capability.TOOLS
    if request.reasoning not in _NO_REASONING:
        yield "reasoning", Capability.REASONING
    if request.template_kwargs:
        yield "template_kwargs", Capability.TEMPLATE_KWARGS
    if request.continue_last:
        yield "continue_last", Capability.CONTINUE_LAST
    for index, message in enumerate(request.messages or ()):
        if not _is_plain(message):
            yield from _wanted_of_message(f"messages[{index}]", message)


def _is_plain(message: Message) -> bool:
    """Return whether there is nothing but a text, as in nearly all messages."""
    return isinstance(message.content, str) and not (
        message.tool_calls or message.tool_call_id or message.reasoning or message.name
    )


def _wanted_of_message(where: str, message: Message) -> Iterator[tuple[str, Capability]]:
    if message.tool_calls:
        yield f"{where}.tool_calls", Capability.TOOLS
    if message.tool_call_id:
        yield f"{where}.tool_call_id", Capability.TOOLS
    elif message.name:  # beside the id of a call it is the tool's, and goes with that
        yield f"{where}.name", Capability.NAMES
    if message.reasoning:
        yield f"{where}.reasoning", Capability.REASONING
    if isinstance(message.content, str):
        return
    for index, part in enumerate(message.content):
        if type(part) in _PARTS:
            yield f"{where}.content[{index}]", _PARTS[type(part)]
