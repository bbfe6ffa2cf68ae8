# SPDX-License-Identifier: GPL-3.0-only
"""The body of ``POST /api/generate``, and the request for the service that it means."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from modeld.capabilities import Capability
from modeld.dialects import Call
from modeld.dialects.body import refused, wrong
from modeld.errors import NotSupportedError
from modeld.messages import Message
from modeld.requests import GenerateRequest
from modeld_ollama.chat.messages import Images, content_of
from modeld_ollama.models.catalogue import Named
from modeld_ollama.text.fields import GenerationBody


class OllamaGenerateBody(GenerationBody):
    """A request for a text."""

    prompt: str | None = Field(
        None, description="what the user says; without it, or empty, the model is only loaded"
    )
    system: str | None = Field(None, description="what stands before it as the system's message")
    images: Images | None = Field(None, description="files with images, as base64; not with `raw`")
    raw: bool | None = Field(
        None, description="true gives the prompt to the model as it is, without its chat template"
    )
    suffix: Annotated[None, refused("is not served: nothing can be filled in", but=("",))] = None
    template: Annotated[
        None,
        refused(
            "is not served: set the option `chat_template` for the model in the settings", but=("",)
        ),
    ] = None
    context: Annotated[
        None, refused("is deprecated and not served; send the chat to /api/chat", but=([],))
    ] = None

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be generated."""
        return not self.prompt

    def request(self, named: Named, call: Call) -> GenerateRequest:
        """Return the request.

        Raises:
            InvalidRequestError: two fields contradict each other.
            NotSupportedError: there are images, and the model sees none.
        """
        members = self.members(named, call.request_id)
        if self.raw:
            return GenerateRequest(**members, prompt=self._raw_prompt())
        return GenerateRequest(**members, messages=self._messages(named))

    def _raw_prompt(self) -> str | None:
        for name in ("system", "images"):
            if getattr(self, name):
                raise wrong(name, "cannot be had with raw: the prompt goes to the model as it is")
        return self.prompt

    def _messages(self, named: Named) -> tuple[Message, ...]:
        if self.images and named.spec is not None and not named.has(Capability.VISION):
            raise NotSupportedError("images: the model does not see any", field="images")
        said = Message(role="user", content=content_of(self.prompt or "", self.images or ()))
        return (Message(role="system", content=self.system), said) if self.system else (said,)
