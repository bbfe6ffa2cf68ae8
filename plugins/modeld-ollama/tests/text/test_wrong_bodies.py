# SPDX-License-Identifier: GPL-3.0-only
"""Each field of the bodies, wrong in every way, is refused by its name."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

from modeld_ollama.chat.body import OllamaChatBody
from modeld_ollama.chat.messages import OllamaChatTurn
from modeld_ollama.embedding.bodies import OllamaEmbedBody, OllamaEmbeddingsBody
from modeld_ollama.models.library import OllamaPullBody
from modeld_ollama.models.show import OllamaShowBody
from modeld_ollama.text.generate import OllamaGenerateBody
from modeld_ollama.text.options import OllamaOptions
from ollama_calls import CHAT, EMBED, EMBEDDINGS, GENERATE, PULL, SHOW, TURN
from wrong_ollama_fields import (
    COMMON,
    NO_BOOL,
    NO_NUMBER,
    NO_OBJECT,
    NO_TEXT,
    NO_WHOLE,
    TEXT,
    said_of,
)

CALL: dict[str, Any] = {"function": {"name": "f", "arguments": {}}}
MADE: dict[str, Any] = {"role": "assistant", "tool_calls": [CALL]}
TOOL: dict[str, Any] = {"type": "function", "function": {"name": "f"}}

CHATS = TEXT | {
    "messages": (5, "hi", {}, [TURN] * 1025),
    "tools": (5, "a", {}, [TOOL] * 129),
}
GENERATES = TEXT | {
    "prompt": NO_TEXT,
    "system": NO_TEXT,
    "images": (5, "aaaa", {}, ["aaaa"] * 1024),
    "raw": NO_BOOL,
    "suffix": NO_TEXT,
    "template": ("x", 5),
    "context": ([1], 5, "x"),
}
EMBEDS = COMMON | {
    "input": (5, True, {}, ["a"] * 2049),
    "truncate": NO_BOOL,
    "dimensions": (*NO_WHOLE, -1),
}
EMBEDDINGSES = COMMON | {"prompt": NO_TEXT}
SHOWS = {
    "model": COMMON["model"],
    "name": COMMON["model"],
    "verbose": NO_BOOL,
    "system": ("x", 5),
    "template": ("x", 5),
    "options": ({"a": 1}, 5),
}
PULLS = {
    "model": COMMON["model"],
    "name": COMMON["model"],
    "stream": NO_BOOL,
    "insecure": NO_BOOL,
    "username": NO_TEXT,
    "password": NO_TEXT,
}
OPTIONS: dict[str, tuple[Any, ...]] = {
    "temperature": (*NO_NUMBER, -0.1, 5.1),
    "top_p": (*NO_NUMBER, 0, 1.1),
    "top_k": (*NO_WHOLE, -1),
    "min_p": (*NO_NUMBER, -0.1, 1.1),
    "repeat_penalty": (*NO_NUMBER, 0, 11),
    "presence_penalty": (*NO_NUMBER, -2.1, 2.1),
    "frequency_penalty": (*NO_NUMBER, -2.1, 2.1),
    "logit_bias": NO_OBJECT,
    "ignore_eos": NO_BOOL,
    "seed": (*NO_WHOLE, -2, 2**32 - 1),
    "num_predict": (*NO_WHOLE, 0, -3, 2**31 + 1),
    "stop": (5, True, {}, ["a"] * 17),
    "num_ctx": (*NO_WHOLE, 0, 2**31 + 1, 4097),
    "num_keep": NO_WHOLE,
    "penalize_newline": (False, 1),
    "tfs_z": (0.5, True),
    "num_batch": (512,),
    "num_gpu": (1, "all", -1.0),
    "main_gpu": (0,),
    "num_thread": (8, False),
    "draft_num_predict": (4,),
    "use_mmap": (True, False),
    "use_mlock": (True, 0),
    "f16_kv": (False,),
    "embedding_only": (True,),
    "numa": (True,),
    "low_vram": (True,),
    "logits_all": (True,),
    "vocab_only": (True,),
    "typical_p": (*NO_NUMBER, 0, 1.1),
    "repeat_last_n": (*NO_WHOLE, -2),
    "mirostat": (*NO_WHOLE, 3),
    "temprature": (1,),
}
BACKENDS = {"typical_p", "repeat_last_n", "mirostat"}
"""Options that a backend declares, a few of them."""


def turn(**members: Any) -> dict[str, Any]:
    return {"messages": [{**TURN, **members}]}


INSIDE: list[tuple[dict[str, Any], str]] = [
    *(({"messages": [TURN, wrong]}, "messages[1]") for wrong in (5, "hi", None, [])),
    *((turn(role=role), "messages[0].role") for role in (5, None, "", "developer")),
    *((turn(content=content), "messages[0].content") for content in (5, {}, ["a"], True)),
    *((turn(images=images), "messages[0].images") for images in (5, "aaaa", {})),
    *((turn(images=["aaaa", bad]), "messages[0].images[1]") for bad in (5, "", "?", "data:x")),
    *((turn(thinking=thinking), "messages[0].thinking") for thinking in (5, [], "t")),
    *((turn(tool_calls=calls), "messages[0].tool_calls") for calls in (5, {}, [CALL])),
    *((turn(tool_name=name), "messages[0].tool_name") for name in (5, "f", "x" * 129)),
    *((turn(tool_call_id=name), "messages[0].tool_call_id") for name in (5, "c", "x" * 257)),
    (turn(other=1), "messages[0].other"),
    (turn(role="tool", tool_calls=[CALL]), "messages[0].tool_calls"),
    ({"messages": [{**MADE, "tool_name": "f"}]}, "messages[0].tool_name"),
    ({"messages": [{**MADE, "tool_calls": [5]}]}, "messages[0].tool_calls[0]"),
    ({"messages": [{**MADE, "tool_calls": [{}]}]}, "messages[0].tool_calls[0].function"),
    *(
        ({"messages": [{**MADE, "tool_calls": [{**CALL, name: 5}]}]}, field)
        for name in ("id", "type", "function", "other")
        for field in (f"messages[0].tool_calls[0].{name}",)
    ),
    *(
        (
            {"messages": [{**MADE, "tool_calls": [{"function": {"name": "f", name: wrong}}]}]},
            f"messages[0].tool_calls[0].function.{name}",
        )
        for name, wrong in (("name", ""), ("arguments", "{}"), ("index", "0"), ("other", 1))
    ),
    ({"tools": [5]}, "tools[0]"),
    ({"tools": [{**TOOL, "type": "custom"}]}, "tools[0].type"),
    ({"tools": [{"type": "function"}]}, "tools[0].function"),
    *(
        ({"tools": [{**TOOL, "function": {"name": "f", name: 5}}]}, f"tools[0].function.{name}")
        for name in ("name", "description", "parameters", "strict", "other")
    ),
    ({"temperature": 1}, "temperature"),
    ({"options": {"stop": [""]}}, "options.stop[0]"),
    ({"options": {"logit_bias": {"a": 1}}}, "options.logit_bias.a"),
]


def wrong(path: str, cases: Iterable[tuple[dict[str, Any], str]]) -> list[Any]:
    """Return what is not refused with its name."""
    cases = list(cases)
    found = asyncio.run(said_of(path, [body for body, _ in cases]))
    return [
        (body, said, name)
        for (body, name), said in zip(cases, found, strict=True)
        if said != (400, name)
    ]


def each(fields: dict[str, tuple[Any, ...]]) -> list[tuple[dict[str, Any], str]]:
    return [({name: value}, name) for name, values in fields.items() for value in values]


def test_every_field_is_tried() -> None:
    for body, fields in (
        (OllamaChatBody, CHATS),
        (OllamaGenerateBody, GENERATES),
        (OllamaEmbedBody, EMBEDS),
        (OllamaEmbeddingsBody, EMBEDDINGSES),
        (OllamaShowBody, SHOWS),
        (OllamaPullBody, PULLS),
    ):
        assert set(body.model_fields) == set(fields), body
    assert set(OllamaOptions.model_fields) | BACKENDS | {"temprature"} == set(OPTIONS)
    members = {name.partition("]")[2].removeprefix(".") for _, name in INSIDE if "[0]." in name}
    assert set(OllamaChatTurn.model_fields) - {"role"} <= {
        member.partition("[")[0].partition(".")[0] for member in members
    }


def test_what_is_wrong_is_refused_by_its_name() -> None:
    assert wrong(CHAT, [*each(CHATS), *INSIDE]) == []


def test_what_is_wrong_with_a_prompt_is_refused_by_its_name() -> None:
    raw = [
        ({"raw": True, name: value}, name)
        for name, value in (("system", "s"), ("images", ["aaaa"]))
    ]
    inside = [({"images": ["?"]}, "images[0]"), *raw]
    assert wrong(GENERATE, [*each(GENERATES), *inside]) == []


def test_what_is_wrong_with_embeddings_is_refused_by_its_name() -> None:
    assert wrong(EMBED, [*each(EMBEDS), ({"input": ["a", ""]}, "input[1]")]) == []
    assert wrong(EMBEDDINGS, each(EMBEDDINGSES)) == []


def test_what_is_wrong_with_the_other_bodies_is_refused_by_its_name() -> None:
    assert wrong(SHOW, each(SHOWS)) == []
    assert wrong(PULL, each(PULLS)) == []


def test_what_is_wrong_with_options_is_refused_by_its_name_everywhere() -> None:
    cases = [({"options": body}, f"options.{name}") for body, name in each(OPTIONS)]
    for path in (CHAT, GENERATE, EMBED, EMBEDDINGS):
        assert wrong(path, cases) == []
