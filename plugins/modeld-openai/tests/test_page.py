# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/openai.md has every field, and what is said of those that are refused."""

from __future__ import annotations

import re

import pytest
from modeld_openai.chat.body import ChatCompletionBody
from modeld_openai.chat.messages import ChatTurn
from modeld_openai.completions.body import CompletionBody
from modeld_openai.dialect import OpenAI
from modeld_openai.embeddings import EmbeddingsBody
from modeld_openai.rerank import RerankDocumentsBody
from modeld_openai.responses.dialect import OpenAIResponses
from modeld_openai.responses.reading.body import ResponsesBody
from modeld_openai.tokens import DetokenizeTokensBody, TokenizeTextBody
from openai_calls import CHAT, TURN, post
from pydantic import BaseModel

from tests.support.docs.pages import headings, read, rows, section
from tests.support.http.fake_service import FakeService

PAGE = "reference/openai.md"
BODIES = [
    ("POST /v1/chat/completions", ChatCompletionBody),
    ("Messages", ChatTurn),
    ("POST /v1/completions", CompletionBody),
    ("POST /v1/embeddings", EmbeddingsBody),
    ("POST /v1/rerank", RerankDocumentsBody),
    ("POST /v1/responses", ResponsesBody),
    ("POST /v1/tokenize", TokenizeTextBody),
    ("POST /v1/detokenize", DetokenizeTokensBody),
]


def tables(heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of a section's tables by field, without those of the sections in it."""
    text = re.split(r"^###+ ", section(PAGE, heading), maxsplit=1, flags=re.MULTILINE)[0]
    return {row[0].strip("`"): tuple(row[1:]) for row in rows(text) if row[0].startswith("`")}


@pytest.mark.parametrize(("heading", "body"), BODIES)
def test_every_field_is_listed_with_its_meaning(heading: str, body: type[BaseModel]) -> None:
    found = {name: row[1] for name, row in tables(heading).items() if len(row) == 2}
    assert found == {
        name: field.description for name, field in body.model_fields.items() if field.description
    }


@pytest.mark.parametrize(("heading", "body"), BODIES)
def test_what_is_said_of_a_refused_field_is_listed(heading: str, body: type[BaseModel]) -> None:
    said = {name: row[0] for name, row in tables(heading).items() if len(row) == 1}
    assert set(said) == {name for name, f in body.model_fields.items() if not f.description}
    for name, words in said.items():
        if body is ChatTurn:
            sent = post(FakeService(), CHAT, messages=[{**TURN, name: "x"}])
            assert sent.json()["error"]["message"] == f"messages[0].{name}: {words}"
        else:
            path = heading.split()[1]
            sent = post(FakeService(), path, **{name: "x"})
            assert sent.json()["error"]["message"] == f"{name}: {words}"


def test_every_route_has_a_section() -> None:
    routes = [*OpenAI(()).routes(), *OpenAIResponses(()).routes()]
    served = {route.path for route in routes if route.path.startswith("/v1/")}
    told = {heading.split()[1] for heading in headings(PAGE) if " /v1" in heading}
    assert told == served


def test_what_is_served_without_v1_is_marked() -> None:
    routes = [*OpenAI(()).routes(), *OpenAIResponses(()).routes()]
    short = {f"/v1{route.path}" for route in routes if not route.path.startswith("/v1/")}
    marked = {
        row[0].split("`")[1].split()[1]
        for row in rows(read(PAGE))
        if "also without `/v1`" in row[1]
    }
    assert {path for path in short if not path.startswith("/v1/responses/")} == marked
