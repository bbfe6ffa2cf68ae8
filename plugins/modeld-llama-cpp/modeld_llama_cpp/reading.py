# SPDX-License-Identifier: GPL-3.0-only
"""Reads a request: everything about it that must be known before its first token is computed."""

from __future__ import annotations

from dataclasses import dataclass

from modeld import GenerateRequest
from modeld_llama_cpp.grammar import GrammarReader
from modeld_llama_cpp.prompts import PromptReader
from modeld_llama_cpp.sampler import Samplers
from modeld_llama_cpp.sampling import Choice
from modeld_llama_cpp.template import ChatTemplate
from modeld_llama_cpp.vocabulary import Vocabulary

SHORT_PROMPT = 2048
"""Prompts of up to so many characters are tokenised at once, in about a millisecond."""


@dataclass(slots=True, frozen=True)
class Reading:
    """A request's prompt, how its tokens are chosen, and the checked grammar they conform to."""

    prompt: list[int]
    choice: Choice
    grammar: str | None


class RequestReader:
    """Reads the requests for one model.

    Quick ones may be read on any thread, the others on one thread at a time: they go through the
    processes for templates and grammars.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        template: ChatTemplate,
        samplers: Samplers,
        context_length: int,
    ) -> None:
        self._template = template
        self._samplers = samplers
        self._prompts = PromptReader(vocabulary, template, context_length)
        self._grammars = GrammarReader()

    def is_quick(self, request: GenerateRequest, choice: Choice) -> bool:
        """Whether reading it takes about a millisecond at most and asks no other process."""
        return (
            request.messages is None
            and request.grammar is None
            and request.json_schema is None
            and self._samplers.is_quick(choice)
            and len(request.prompt or "") <= SHORT_PROMPT
        )

    def read(self, request: GenerateRequest, choice: Choice) -> Reading:
        """All that must be known of a request.

        Raises:
            ModeldError: its prompt, its chat or its grammar cannot be used; ``field`` says which.
        """
        grammar = self._grammars.read(request)
        return Reading(self._prompts.read(request), choice, grammar)

    def read_aside(self, request: GenerateRequest, choice: Choice) -> Reading:
        """As :meth:`read`, and whatever takes long about its sampler: not for the stepping thread.

        Raises:
            ModeldError: as :meth:`read`.
        """
        reading = self.read(request, choice)
        self._samplers.prepare(choice, reading.grammar)
        return reading

    def close(self) -> None:
        """End the processes that render and check, and whatever is read in them."""
        self._template.close()
        self._grammars.close()
