# SPDX-License-Identifier: GPL-3.0-only
"""Chats and templates for the tests, without an engine."""

from __future__ import annotations

from collections.abc import Sequence

from modeld_llama_cpp.chat.template import ChatTemplate

from modeld import Message
from modeld.requests import ApplyTemplateRequest


def prompt_of(template: ChatTemplate, messages: Sequence[Message], **fields: object) -> str:
    """Return the prompt that a template makes of a chat."""
    request = ApplyTemplateRequest(messages=tuple(messages), **fields)
    return template.render(request).shown


def talk(*said: str) -> tuple[Message, ...]:
    """Messages, each written as `role: content`."""
    return tuple(
        Message(role=role, content=content)
        for role, _, content in (each.partition(": ") for each in said)
    )
