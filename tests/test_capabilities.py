# SPDX-License-Identifier: GPL-3.0-only
"""What a backend does not declare is refused by name, and nothing else is."""

from __future__ import annotations

from typing import Any

import pytest

from modeld import Capability, GenerateRequest, Message
from modeld.capabilities import PLAIN, check, joined
from modeld.errors import NotSupportedError
from modeld.messages import (
    AudioPart,
    ImagePart,
    Reasoning,
    TextPart,
    Tool,
    ToolCall,
    ToolChoice,
)
from modeld.requests import (
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)

CHAT = (Message(role="user", content="hi"),)
TOOL = (Tool(name="f"),)
ALL = frozenset(Capability)


def said(**members: Any) -> tuple[Message, ...]:
    return (*CHAT, Message(role="assistant", **members))


ASKED: list[tuple[Any, str | None, Capability]] = [
    (GenerateRequest(prompt="hi"), "prompt", Capability.TEXT),
    (GenerateRequest(prompt_tokens=(1,)), "prompt_tokens", Capability.TOKEN_IDS),
    (GenerateRequest(prompt="hi", suffix="ho"), "suffix", Capability.SUFFIX),
    (GenerateRequest(messages=CHAT), "messages", Capability.CHAT),
    (GenerateRequest(messages=CHAT, tools=TOOL), "tools", Capability.TOOLS),
    (
        GenerateRequest(messages=CHAT, tools=TOOL, tool_choice=ToolChoice(mode="none")),
        "tool_choice",
        Capability.TOOLS,
    ),
    (
        GenerateRequest(messages=said(tool_calls=(ToolCall(name="f"),))),
        "messages[1].tool_calls",
        Capability.TOOLS,
    ),
    (
        GenerateRequest(messages=said(tool_call_id="1")),
        "messages[1].tool_call_id",
        Capability.TOOLS,
    ),
    (
        GenerateRequest(messages=said(content=(TextPart(text="a"), ImagePart(data=b"b")))),
        "messages[1].content[1]",
        Capability.VISION,
    ),
    (
        GenerateRequest(messages=said(content=(AudioPart(data=b"b"),))),
        "messages[1].content[0]",
        Capability.AUDIO,
    ),
    (GenerateRequest(messages=said(name="Bob")), "messages[1].name", Capability.NAMES),
    (
        ApplyTemplateRequest(messages=said(reasoning="hm")),
        "messages[1].reasoning",
        Capability.REASONING,
    ),
    (
        GenerateRequest(messages=CHAT, reasoning=Reasoning(enabled=True)),
        "reasoning",
        Capability.REASONING,
    ),
    (
        GenerateRequest(messages=CHAT, template_kwargs={"a": 1}),
        "template_kwargs",
        Capability.TEMPLATE_KWARGS,
    ),
    (
        GenerateRequest(messages=said(content="a"), continue_last=True),
        "continue_last",
        Capability.CONTINUE_LAST,
    ),
    (GenerateRequest(prompt="hi", logprobs=0), "logprobs", Capability.LOGPROBS),
    (GenerateRequest(prompt="hi", json_schema={}), "json_schema", Capability.JSON_SCHEMA),
    (GenerateRequest(prompt="hi", grammar="g"), "grammar", Capability.GRAMMAR),
    (GenerateRequest(prompt="hi", regex="a"), "regex", Capability.REGEX),
    (GenerateRequest(prompt="hi", lark="a"), "lark", Capability.LARK),
    (GenerateRequest(prompt="hi", choice=("a",)), "choice", Capability.CHOICE),
    (EmbedRequest(inputs=("a",)), None, Capability.EMBED),
    (EmbedRequest(inputs=("a", (1,))), "inputs", Capability.TOKEN_IDS),
    (RerankRequest(query="a", documents=("b",)), None, Capability.RERANK),
    (TokenizeRequest(text="a"), None, Capability.TOKENIZE),
    (DetokenizeRequest(tokens=(1,)), None, Capability.TOKENIZE),
    (ApplyTemplateRequest(messages=CHAT), None, Capability.TEMPLATE),
    (ApplyTemplateRequest(messages=CHAT, tools=TOOL), "tools", Capability.TOOLS),
]


@pytest.mark.parametrize(("request_", "field", "needed"), ASKED)
def test_a_request_is_refused_by_the_member_that_asks_for_more(
    request_: Any, field: str | None, needed: Capability
) -> None:
    check(request_, ALL)
    with pytest.raises(NotSupportedError) as refusal:
        check(request_, ALL - {needed}, lambda missing: f"no {missing.value} here")
    assert refusal.value.field == field
    assert refusal.value.message.startswith(f"{field}: " if field else "")
    assert f"{needed.value!r}; no {needed.value} here" in refusal.value.message


def test_every_capability_is_asked_for_by_something() -> None:
    assert {needed for _, _, needed in ASKED} == ALL - {Capability.PARTS}


def test_plain_requests_need_no_more_than_what_is_taken_for_granted() -> None:
    check(GenerateRequest(prompt="hi", stop=("a",), max_tokens=3), PLAIN)
    check(GenerateRequest(messages=said(content=(TextPart(text="a"),))), PLAIN)
    check(GenerateRequest(messages=CHAT, reasoning=Reasoning(enabled=False)), PLAIN)


def test_the_name_of_a_tool_goes_with_its_call() -> None:
    result = (Message(role="tool", content="5", name="f", tool_call_id="1"),)
    check(GenerateRequest(messages=result), PLAIN | {Capability.TOOLS})


def test_texts_are_joined_where_parts_are_not_taken() -> None:
    parts = (TextPart(text="a"), TextPart(text="b"))
    request = GenerateRequest(messages=said(content=parts))
    assert joined(request, ALL) is request
    assert joined(request, PLAIN).messages == said(content="a\nb")
    plain = GenerateRequest(messages=CHAT)
    assert joined(plain, PLAIN) is plain
    template = ApplyTemplateRequest(messages=said(content=parts))
    assert joined(template, PLAIN).messages == said(content="a\nb")
    unary = TokenizeRequest(text="a")
    assert joined(unary, PLAIN) is unary
