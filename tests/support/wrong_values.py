# SPDX-License-Identifier: GPL-3.0-only
"""Requests with one member that is wrong, and the field that an error must name."""

from __future__ import annotations

import enum
import math
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from modeld import GenerateRequest, Message, Sampling
from modeld.messages import Reasoning, TextPart, Tool, ToolCall, ToolChoice
from modeld.requests import (
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    RerankRequest,
    TokenizeRequest,
)
from tests.support.sampling_cases import NUMBERS

Case: TypeAlias = "tuple[GenerateRequest | AnyUnaryRequest, str]"


class Opaque:
    """No plain data."""


class Spiteful:
    """Raises whatever is asked of it."""

    def __getattribute__(self, name: str) -> Any:
        raise RuntimeError(name)


class Colour(enum.Enum):
    RED = "red"


HALF = "a\ud800b"
NO_DATA: tuple[Any, ...] = (Opaque(), object, 1j, Spiteful(), {Opaque(): 1})
NO_TEXT = (5, 1.5, True, b"a", ["a"], ("a",), {"a": "b"}, HALF, *NO_DATA)
NO_WHOLE = (1.5, True, "5", b"5", [1], {}, math.nan, math.inf, 2**63, -(2**70), *NO_DATA)
NO_NUMBER = (True, "hot", b"1", [1.0], {}, math.nan, math.inf, -math.inf, 10**400, *NO_DATA)
NO_BOOL = (0, 1, "true", None, [], *NO_DATA)
NO_TUPLE = (5, True, "abc", b"abc", {"a": 1}, {"a"}, frozenset("a"), *NO_DATA)


def nested(levels: int) -> dict[str, Any]:
    schema: dict[str, Any] = {}
    for _ in range(levels):
        schema = {"a": schema}
    return schema


def texts(name: str, valid: str = "a") -> Iterator[tuple[tuple[Any, ...], str]]:
    """Wrong values for a tuple of texts, each with the path that is to blame."""
    for wrong in NO_TUPLE:
        yield wrong, name
    for wrong in (*NO_TEXT, None):
        yield (valid, wrong), f"{name}[1]"


COMMON: Mapping[str, tuple[Any, ...]] = {
    "model": (*NO_TEXT, None, "x" * 513),
    "timeout_s": (*NO_NUMBER, 0, -1, 86_401, 1e300),
    "keep_alive_s": (*NO_NUMBER, -1, 31_536_001, "", "Forever", HALF),
    "fit": NO_BOOL,
    "request_id": (*NO_TEXT, None),
}
REQUEST: Mapping[str, tuple[Any, ...]] = COMMON | {
    "prompt": (*NO_TEXT, ""),
    "prompt_tokens": (5, "a", {5}, (1,) * 131_073),
    "suffix": (*NO_TEXT, ""),
    "max_tokens": (*NO_WHOLE, 0, -1, 2**31 + 1),
    "grammar": (*NO_TEXT, "", " ", "x" * 65_537),
    "lark": (*NO_TEXT, "", " ", "x" * 65_537),
    "regex": (*NO_TEXT, "", "x" * 4097),
    "json_schema": (
        5, "{}", [1], b"{}", HALF, {1: 2}, {"a": Opaque()}, {"a": HALF}, {"a": 2**70},
        {"a": "x" * 270_000}, nested(65), nested(100_000), *NO_DATA,
    ),
    "logprobs": (*NO_WHOLE, -1, 21),
    "cache_prompt": NO_BOOL,
    "cache_salt": (*NO_TEXT, None, "x" * 257),
    "sampling": (None, 5, "greedy", [0.5], (), *NO_DATA),
}  # fmt: skip
UNARY_REQUESTS: Mapping[
    type[AnyUnaryRequest], tuple[dict[str, Any], dict[str, tuple[Any, ...]]]
] = {
    EmbedRequest: ({"inputs": ("a",)}, {"normalize": NO_BOOL}),
    RerankRequest: ({"query": "a", "documents": ("b",)}, {"query": (*NO_TEXT, None, "")}),
    TokenizeRequest: (
        {"text": "a"},
        {
            "text": (*NO_TEXT, None),
            "add_special": NO_BOOL,
            "parse_special": NO_BOOL,
            "with_pieces": NO_BOOL,
        },
    ),
    DetokenizeRequest: ({"tokens": (1,)}, {"tokens": ((1,) * 131_073,)}),
    ApplyTemplateRequest: (
        {"messages": (Message(role="user", content="a"),)},
        {
            "continue_last": (*NO_BOOL, True),
            "tools": NO_TUPLE,
            "reasoning": (5, None, "auto", []),
            "template_kwargs": (5, "a", [1], None, {"a": Opaque()}),
        },
    ),
}
SEQUENCES: Mapping[type[AnyUnaryRequest], tuple[str, int]] = {
    EmbedRequest: ("inputs", 2048),
    RerankRequest: ("documents", 1024),
}


def wrong_requests() -> Iterator[Case]:
    """Yield every member of a request for text, wrong in every way."""
    for name, values in REQUEST.items():
        for wrong in values:
            yield GenerateRequest(**{"prompt": "hi", name: wrong}), name
    for tokens in ((1, -1), (1, 2**31), (1, "a"), (1, None)):
        yield GenerateRequest(prompt_tokens=tokens), "prompt_tokens[1]"
    yield GenerateRequest(prompt_tokens=()), "prompt"
    chat = (Message(role="user", content="hi"),)
    yield GenerateRequest(prompt="hi", prompt_tokens=(1,)), "prompt"
    yield GenerateRequest(prompt_tokens=(1,), messages=chat), "prompt_tokens"
    for stop, field in texts("stop"):
        yield GenerateRequest(prompt="hi", stop=stop), field
    for choice, field in texts("choice"):
        yield GenerateRequest(prompt="hi", choice=choice), field
    yield GenerateRequest(prompt="hi", choice=("a", "")), "choice[1]"
    for choices in ((), ("a",) * 1025, ("x" * 65_537,)):
        yield GenerateRequest(prompt="hi", choice=choices), "choice"
    for stop in (("",), ("x" * 257,)):
        yield GenerateRequest(prompt="hi", stop=stop), "stop[0]"
    yield GenerateRequest(prompt="hi", stop=("a",) * 17), "stop"
    for messages, field in wrong_chats():
        yield GenerateRequest(messages=messages), field
    for fields, field in wrong_samplings():
        yield GenerateRequest(prompt="hi", sampling=Sampling(**fields)), field
    yield GenerateRequest(prompt="hi", sampling={"temperatur": 1}), "temperatur"  # type: ignore[arg-type]
    yield from wrong_tools()
    yield from wrong_pairs()


def wrong_tools() -> Iterator[Case]:
    """Yield what goes with a chat, wrong in every way."""
    chat = (Message(role="user", content="hi"),)
    for name in ("continue_last", "parallel_tool_calls"):
        for wrong in NO_BOOL:
            yield GenerateRequest(messages=chat, **{name: wrong}), name
    for wrong in NO_TUPLE:
        yield GenerateRequest(messages=chat, tools=wrong), "tools"
    for wrong in (*NO_TEXT, None, "", "x" * 129):
        yield GenerateRequest(messages=chat, tools=(Tool(name=wrong),)), "tools[0].name"
    for wrong in (5, "a", [1], {"a": 2**70}, nested(65), *NO_DATA):
        tool = Tool(name="f", parameters=wrong)
        yield GenerateRequest(messages=chat, tools=(tool,)), "tools[0].parameters"
    yield GenerateRequest(messages=chat, tools=(Tool(name="f"), Tool(name="f"))), "tools[1].name"
    yield GenerateRequest(messages=chat, continue_last=True), "continue_last"
    yield GenerateRequest(prompt="hi", tools=(Tool(name="f"),)), "tools"
    yield GenerateRequest(prompt="hi", template_kwargs={"a": 1}), "template_kwargs"
    for reasoning in (Reasoning(enabled=True), Reasoning(budget_tokens=0), Reasoning(effort="low")):
        yield GenerateRequest(prompt="hi", reasoning=reasoning), "reasoning"
    for choice in (ToolChoice(mode="required"), ToolChoice(names=("g",))):
        yield GenerateRequest(prompt="hi", tool_choice=choice), "tool_choice"
    yield from wrong_choices()


def wrong_choices() -> Iterator[Case]:
    chat = (Message(role="user", content="hi"),)
    for wrong in (5, None, "auto", [], *NO_DATA):
        yield GenerateRequest(messages=chat, tool_choice=wrong), "tool_choice"
        yield GenerateRequest(messages=chat, reasoning=wrong), "reasoning"
    for mode in (5, None, "perhaps"):
        choice = ToolChoice(mode=mode)  # type: ignore[arg-type]
        yield GenerateRequest(messages=chat, tool_choice=choice), "tool_choice.mode"
    for choice in (ToolChoice(mode="required"), ToolChoice(names=("g",))):
        yield GenerateRequest(messages=chat, tool_choice=choice), "tool_choice"
    for wrong in (*NO_WHOLE, -1):
        reasoning = Reasoning(budget_tokens=wrong)
        yield GenerateRequest(messages=chat, reasoning=reasoning), "reasoning.budget_tokens"
    for wrong in (5, "a", [1], None, {"a": Opaque()}, *NO_DATA):
        yield GenerateRequest(messages=chat, template_kwargs=wrong), "template_kwargs"


def wrong_pairs() -> Iterator[Case]:
    chat = (Message(role="user", content="hi"),)
    yield GenerateRequest(), "prompt"
    yield GenerateRequest(messages=()), "prompt"
    yield GenerateRequest(prompt="hi", messages=chat), "prompt"
    yield GenerateRequest(prompt_tokens=(1,), suffix="ho"), "suffix"
    yield GenerateRequest(messages=chat, suffix="ho"), "suffix"
    yield GenerateRequest(suffix="ho"), "prompt"
    yield GenerateRequest(prompt="hi", grammar='root ::= "a"', json_schema={}), "grammar"
    yield GenerateRequest(prompt="hi", regex="a", choice=("a",)), "regex"


def wrong_chats() -> Iterator[tuple[Any, str]]:
    for wrong in NO_TUPLE:
        yield wrong, "messages"
    yield (Message(role="user", content="a"),) * 1025, "messages"
    for wrong in (5, "hi", None, ["user", "hi"], Opaque()):
        yield (Message(role="user", content="a"), wrong), "messages[1]"
    for name in ("role", "content", "name", "reasoning", "tool_call_id"):
        for wrong in (*NO_TEXT, None):
            is_list = name == "content" and type(wrong) in {list, tuple}
            field = f"messages[0].{name}" + ("[0]" if is_list else "")
            yield (Message(**{"role": "user", "content": "a", name: wrong}),), field
    for wrong in (*NO_TUPLE, None):
        field = "messages[0].tool_calls" + ("[0]" if type(wrong) in {set, frozenset} else "")
        yield (Message(role="user", tool_calls=wrong),), field
    for role in ("", "x" * 65):
        yield (Message(role=role, content="a"),), "messages[0].role"
    yield ({"role": "user", "content": "a", "names": "x"},), "messages[0].names"
    for wrong in (*NO_TEXT, None):
        part = TextPart(text=wrong)
        yield (Message(role="user", content=(part,)),), "messages[0].content[0].text"
        call = ToolCall(name="f", arguments=wrong)
        yield (Message(role="user", tool_calls=(call,)),), "messages[0].tool_calls[0].arguments"
    yield ({"role": "user", "content": [{"type": "film"}]},), "messages[0].content[0].type"


def wrong_samplings() -> Iterator[tuple[dict[str, Any], str]]:
    for name, _lowest, _highest, refused in NUMBERS:
        for wrong in (*NO_NUMBER, *refused):
            yield {name: wrong}, name
    for wrong in NO_BOOL:
        yield {"ignore_eos": wrong}, "ignore_eos"
    for wrong in (None, 5, "a", ["a"], ("a",), {5: 1}, *NO_DATA):
        yield {"own": wrong}, "own"
    for wrong in (HALF, {"a"}, frozenset("a"), 2**70, *NO_DATA):
        yield {"own": {"wit": wrong}}, "wit"  # which a backend may declare, but not as such
    for wrong in NO_TUPLE:
        yield {"logit_bias": wrong}, "logit_bias"
    yield {"logit_bias": ((1, 1.0),) * 301}, "logit_bias"
    for wrong in (5, "ab", (1,), (1, 1.0, 1), None):
        yield {"logit_bias": ((1, None), wrong)}, "logit_bias[1]"
    for wrong in (*NO_WHOLE, -1, 10**9):
        yield {"logit_bias": ((wrong, 1.0),)}, "logit_bias[0][0]"
    for wrong in (*NO_NUMBER, -100.1, 101):
        yield {"logit_bias": ((1, wrong),)}, "logit_bias[0][1]"


def wrong_unary_requests() -> Iterator[Case]:
    """Yield every member of every unary request, wrong in every way."""
    for kind, (valid, wrongs) in UNARY_REQUESTS.items():
        for name, values in (COMMON | wrongs).items():
            for wrong in values:
                yield kind(**(valid | {name: wrong})), name
        if kind in SEQUENCES:
            name, most = SEQUENCES[kind]
            for value, field in texts(name):
                yield kind(**(valid | {name: value})), field
            for value in ((), ("a",) * (most + 1)):
                yield kind(**(valid | {name: value})), name
            yield kind(**(valid | {name: ("",)})), f"{name}[0]"
    for wrong in (*NO_WHOLE, -1, 2**31):
        yield DetokenizeRequest(tokens=(1, wrong)), "tokens[1]"
    for wrong in NO_TUPLE:
        yield DetokenizeRequest(tokens=wrong), "tokens"
    yield EmbedRequest(inputs=((),)), "inputs[0]"
    yield EmbedRequest(inputs=("a", {1, 2})), "inputs[1]"  # type: ignore[arg-type]
    yield EmbedRequest(inputs=("a", (1, -1))), "inputs[1][1]"
    yield EmbedRequest(inputs=((1, "a"),)), "inputs[0][1]"
    for messages, field in wrong_chats():
        yield ApplyTemplateRequest(messages=messages), field
    yield ApplyTemplateRequest(messages=()), "messages"


def all_wrong() -> list[Case]:
    return [*wrong_requests(), *wrong_unary_requests()]


def named(case: Case) -> str:
    """For a report of the tests, where the value itself may raise."""
    return f"{type(case[0]).__name__}.{case[1]}"


def fields_of(kind: type[msgspec.Struct]) -> set[str]:
    return set(kind.__struct_fields__)
