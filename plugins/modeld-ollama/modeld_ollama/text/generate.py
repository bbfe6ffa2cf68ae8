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
        None,
        description="what the user says; without it and a suffix, or empty, the model is only"
        " loaded",
    )
    suffix: str | None = Field(
        None,
        description="text that follows: the response is what stands between the prompt and this,"
        " and no chat template is used; empty counts as left out",
    )
    system: str | None = Field(None, description="what stands before it as the system's message")
    images: Images | None = Field(None, description="files with images, as base64; not with `raw`")
    raw: bool | None = Field(
        None, description="true gives the prompt to the model as it is, without its chat template"
    )
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
        """Return whether nothing is to be generated."""
        return not self.prompt and not self.suffix

    def request(self, named: Named, call: Call) -> GenerateRequest:
        """Return the request.

        Raises:
            InvalidRequestError: two fields contradict each other.
            NotSupportedError: there are images, and the model sees none.
        """
        members = self.members(named, call.request_id)
        if self.suffix:
            prompt = self._bare_prompt("cannot be had with suffix")
            return GenerateRequest(**members, prompt=prompt, suffix=self.suffix)
        if self.raw:
            return GenerateRequest(**members, prompt=self._bare_prompt("cannot be had with raw"))
        if named.has(Capability.TEXT) and not named.has(Capability.CHAT):
            prompt = self._bare_prompt("needs a chat template, which the model does not have")
            return GenerateRequest(**members, prompt=prompt)
        return GenerateRequest(**members, messages=self._messages(named))

    def _bare_prompt(self, why_not: str) -> str:
        """Return the prompt, which goes to the model as it is.

        Raises:
            InvalidRequestError: there is something for the chat template.
        """
        for name in ("system", "images"):
            if getattr(self, name):
                raise wrong(name, f"{why_not}: the prompt goes to the model as it is")
        return self.prompt or ""

    def _messages(self, named: Named) -> tuple[Message, ...]:
        if self.images and named.spec is not None and not named.has(Capability.VISION):
            raise NotSupportedError("images: the model does not see any", field="images")
        said = Message(role="user", content=content_of(self.prompt or "", self.images or ()))
        return (Message(role="system", content=self.system), said) if self.system else (said,)
