# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/ollama.md has every field, and what is said of those that are refused."""

from __future__ import annotations

import re
from typing import Any

import pytest
from modeld_ollama.chat.body import OllamaChatBody
from modeld_ollama.chat.messages import OllamaChatTurn
from modeld_ollama.dialect import Ollama
from modeld_ollama.embedding.bodies import OllamaEmbedBody, OllamaEmbeddingsBody
from modeld_ollama.models.library import OllamaPullBody
from modeld_ollama.models.show import OllamaShowBody
from modeld_ollama.text.generate import OllamaGenerateBody
from modeld_ollama.text.options import OllamaOptions
from ollama_calls import CHAT, EMBED, EMBEDDINGS, GENERATE, PULL, SHOW, TURN, M, post, said
from pydantic import BaseModel

from tests.support.docs.pages import headings, rows, section
from tests.support.http.fake_service import FakeService, ask, make_app

PAGE = "reference/ollama.md"
BODIES: list[tuple[str, type[BaseModel], str, str]] = [
    ("POST /api/chat", OllamaChatBody, CHAT, ""),
    ("Messages", OllamaChatTurn, CHAT, "messages[0]."),
    ("Options", OllamaOptions, CHAT, "options."),
    ("POST /api/generate", OllamaGenerateBody, GENERATE, ""),
    ("POST /api/embed", OllamaEmbedBody, EMBED, ""),
    ("POST /api/embeddings", OllamaEmbeddingsBody, EMBEDDINGS, ""),
    ("POST /api/show", OllamaShowBody, SHOW, ""),
    ("POST /api/pull", OllamaPullBody, PULL, ""),
]
IDS = [heading for heading, *_ in BODIES]


def tables(heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of a section's tables by field, without those of the sections in it."""
    text = re.split(r"^###+ ", section(PAGE, heading), maxsplit=1, flags=re.MULTILINE)[0]
    return {row[0].strip("`"): tuple(row[1:]) for row in rows(text) if row[0].startswith("`")}


@pytest.mark.parametrize(("heading", "body", "_path", "_where"), BODIES, ids=IDS)
def test_every_field_is_listed_with_its_meaning(
    heading: str, body: type[BaseModel], _path: str, _where: str
) -> None:
    found = {name: row[1] for name, row in tables(heading).items() if len(row) == 2}
    assert found == {
        name: field.description for name, field in body.model_fields.items() if field.description
    }


@pytest.mark.parametrize(("heading", "body", "path", "where"), BODIES, ids=IDS)
def test_what_is_said_of_a_refused_field_is_listed(
    heading: str, body: type[BaseModel], path: str, where: str
) -> None:
    words = {name: row[0] for name, row in tables(heading).items() if len(row) == 1}
    assert set(words) == {
        name for name, field in body.model_fields.items() if not field.description
    }
    for name, advice in words.items():
        wrong: dict[str, Any] = {name: "x"}
        sent = {"options.": {"options": wrong}, "messages[0].": {"messages": [TURN | wrong]}}
        response = post(FakeService(models=[M]), path, **sent.get(where, wrong))
        assert said(response) == f"{where}{name}: {advice}"


def test_every_route_has_a_section_or_a_row() -> None:
    refused = {row[0].strip("`"): row[1] for row in rows(section(PAGE, "What is not there"))}
    del refused["route"]
    told = {heading for heading in headings(PAGE) if " /" in heading}
    served = {f"{getattr(route, 'method', 'POST')} {route.path}" for route in Ollama(()).routes()}
    assert told | set(refused) == served
    assert not told & set(refused)
    for route, advice in refused.items():
        method, path = route.split()
        response = ask(make_app(FakeService()), method, path.replace("{digest}", "sha256:0b"))
        assert response.status_code == 400, route
        assert len(set(said(response).split()) & set(advice.split())) >= 3
