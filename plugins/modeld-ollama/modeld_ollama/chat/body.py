# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /api/chat``, and the request for the service that it means."""

from __future__ import annotations

from pydantic import Field

from modeld.dialects import Call
from modeld.requests import GenerateRequest
from modeld_ollama.chat.messages import ChatTurns, messages_of
from modeld_ollama.chat.tools import Tools, tools_of
from modeld_ollama.models.catalogue import Named
from modeld_ollama.text.fields import GenerationBody


class OllamaChatBody(GenerationBody):
    """A request for the next turn of a chat."""

    messages: ChatTurns | None = Field(
        None, description="the chat, as a list of messages; without any the model is only loaded"
    )
    tools: Tools | None = Field(None, description="functions that the model may call")

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is to be generated."""
        return not self.messages

    def request(self, named: Named, call: Call) -> GenerateRequest:
        """Return the request.

        Raises:
            InvalidRequestError: two fields contradict each other, or a message cannot be so.
        """
        return GenerateRequest(
            **self.members(named, call.request_id),
            messages=messages_of(self.messages or ()),
            tools=tools_of(self.tools or ()),
        )
