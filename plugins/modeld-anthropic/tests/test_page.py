# SPDX-License-Identifier: GPL-3.0-only
"""docs/reference/anthropic.md has every field, and what is said of those that are refused."""

from __future__ import annotations

import re

import pytest
from anthropic_calls import COUNT, MESSAGES, post
from modeld_anthropic.dialect import Anthropic
from modeld_anthropic.messages.body import CountTokensBody, MessagesBody
from modeld_anthropic.messages.conversation import MessageBody
from pydantic import BaseModel

from tests.support.docs.pages import headings, rows, section
from tests.support.http.fake_service import FakeService

PAGE = "reference/anthropic.md"
FIELDS = [("POST /v1/messages", MessagesBody), ("Messages", MessageBody)]
REFUSED = [(MESSAGES, MessagesBody), (COUNT, CountTokensBody)]


def tables(heading: str) -> dict[str, tuple[str, ...]]:
    """Return the rows of a section's tables by field, without those of the sections in it."""
    text = re.split(r"^###+ ", section(PAGE, heading), maxsplit=1, flags=re.MULTILINE)[0]
    return {row[0].strip("`"): tuple(row[1:]) for row in rows(text) if row[0].startswith("`")}


def refused(body: type[BaseModel]) -> set[str]:
    return {name for name, field in body.model_fields.items() if not field.description}


@pytest.mark.parametrize(("heading", "body"), FIELDS)
def test_every_field_is_listed_with_its_meaning(heading: str, body: type[BaseModel]) -> None:
    found = {name: row[1] for name, row in tables(heading).items() if len(row) == 2}
    assert found == {
        name: field.description for name, field in body.model_fields.items() if field.description
    }


@pytest.mark.parametrize(("path", "body"), REFUSED)
def test_what_is_said_of_a_refused_field_is_listed(path: str, body: type[BaseModel]) -> None:
    said = {name: row[0] for name, row in tables("POST /v1/messages").items() if len(row) == 1}
    assert set(said) == refused(MessagesBody)
    for name in refused(body):
        sent = post(FakeService(), path, **{name: "x"})
        assert sent.json()["error"]["message"] == f"{name}: {said[name]}"


def test_what_only_messages_have_is_told_where_tokens_are_counted() -> None:
    text = section(PAGE, "POST /v1/messages/count_tokens")
    listed = set(re.findall(r"`(\w+)`", text.split("takes", 1)[1].split(".", 1)[0]))
    assert listed == set(CountTokensBody.model_fields) - refused(CountTokensBody)


def test_every_route_has_a_section() -> None:
    served = {route.path for route in Anthropic(()).routes()}
    told = {heading.split()[1] for heading in headings(PAGE) if " /v1" in heading}
    assert told == served
