# SPDX-License-Identifier: GPL-3.0-only
"""Reads a request: everything about it that must be known before its first token is computed."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from modeld import GenerateRequest
from modeld.errors import InvalidRequestError
from modeld_llama_cpp.chat.hidden_texts import Rendered
from modeld_llama_cpp.chat.template import ChatTemplate
from modeld_llama_cpp.constraints.matching.matcher import Matcher
from modeld_llama_cpp.constraints.matching.matcher_cache import Constraints, constraint_of
from modeld_llama_cpp.engine.output import (
    Output,
    output_of,
    prompt_end_of,
    tools_of,
)
from modeld_llama_cpp.sampling.parameters import Choice
from modeld_llama_cpp.sampling.sampler import Samplers
from modeld_llama_cpp.tokens.prompts import PromptReader, encoded
from modeld_llama_cpp.tokens.stops import MARKS, Stop
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

SHORT_PROMPT = 2048
"""A prompt and stop texts of so many characters are tokenised at once, in about a millisecond."""


@dataclass(slots=True, frozen=True)
class Reading:
    """A request's prompt, how its tokens are chosen and what ends them.

    ``matcher`` follows what they must conform to; ``is_past_reasoning`` says that this is about
    what comes after reasoning and not about what the model thinks. ``output`` takes a chat's
    generation apart.
    """

    prompt: list[int]
    choice: Choice
    matcher: Matcher | None
    stops: tuple[Stop, ...]
    output: Output | None = None
    is_past_reasoning: bool = False


class RequestReader:
    """Reads the requests for one model.

    Quick ones may be read on any thread, the others on one thread at a time: they go through the
    process for templates, and their constraints are compiled.
    """

    def __init__(
        self,
        vocabulary: Vocabulary,
        template: ChatTemplate,
        samplers: Samplers,
        constraints: Constraints,
        context_length: int,
    ) -> None:
        self._vocabulary = vocabulary
        self._template = template
        self._samplers = samplers
        self._prompts = PromptReader(vocabulary, template, context_length)
        self._constraints = constraints

    def is_quick(self, request: GenerateRequest, choice: Choice) -> bool:
        """Return whether reading it takes about a millisecond at most and asks no other process."""
        prompt = request.prompt or request.prompt_tokens or ""
        texts = (request.suffix or "", *request.stop)
        return (
            request.messages is None
            and constraint_of(request) is None
            and self._samplers.is_quick(choice)
            and len(prompt) + sum(map(len, texts)) <= SHORT_PROMPT
        )

    def read(self, request: GenerateRequest, choice: Choice) -> Reading:
        """Return all that must be known of a request before its first token is computed.

        Raises:
            ModeldError: its prompt, its chat, its constraint or a stop text cannot be used;
                ``field`` says which.
        """
        stops = read_stops(request.stop, self._vocabulary)
        matcher = self._constraints.matcher(request)
        rendered = self._prompts.render(request)
        prompt = self._prompts.read(request, rendered)
        if request.messages is None:
            return Reading(prompt, choice, matcher, stops)
        output = output_of(request, self._template, rendered, self._vocabulary)
        forced = self._forced(request, rendered)
        own = matcher is not None
        return Reading(prompt, choice, matcher or forced, stops, output, is_past_reasoning=own)

    def read_aside(self, request: GenerateRequest, choice: Choice) -> Reading:
        """Return all that :meth:`read` does, and prepare what takes long about the sampler.

        Not for the stepping thread, which would hold up all generations.

        Raises:
            ModeldError: as :meth:`read`.
        """
        reading = self.read(request, choice)
        self._samplers.prepare(choice)
        return reading

    def _forced(self, request: GenerateRequest, rendered: Rendered) -> Matcher | None:
        """Return what makes the generation call tools, where the request wants that.

        Raises:
            InvalidRequestError: it cannot be kept to beside the rest of the request.
        """
        tools = tools_of(request)
        if not tools:
            return None
        if (constraint := constraint_of(request)) is not None:
            kind = constraint[0]
            raise InvalidRequestError(
                f"{kind} cannot be used beside tools, which are called in another form; leave out"
                " one of them, or send the tool choice 'none'",
                field=kind,
            )
        found = self._template.format.forced(
            tools=tools,
            choice=request.tool_choice,
            parallel=request.parallel_tool_calls,
            prompt_end=prompt_end_of(rendered),
        )
        return None if found is None else self._constraints.matcher_for(*found)

    def close(self) -> None:
        """End the process that renders, and whatever is read in it."""
        self._template.close()


def is_constrained(request: GenerateRequest) -> bool:
    """Return whether something may have to be followed in a request's generation."""
    choice = request.tool_choice
    forces = choice.mode == "required" or choice.names or any(each.strict for each in request.tools)
    return constraint_of(request) is not None or bool(request.tools and forces)


def read_stops(texts: Iterable[str], vocabulary: Vocabulary) -> tuple[Stop, ...]:
    """Return what to look for: each text as it is, and as special tokens where it names some.

    Raises:
        InvalidRequestError: a text has half a character, or more special tokens than there are
            marks.
    """
    return tuple(stop for text in texts for stop in _readings(text, vocabulary))


def _readings(text: str, vocabulary: Vocabulary) -> list[Stop]:
    plain, written = Stop(text=text), text
    marks: dict[int, str] = {}
    parts: list[str] = []
    for token in vocabulary.tokenize(encoded(text, "stop"), add_special=False):
        if vocabulary.piece(token):
            continue
        name = vocabulary.written(token).decode(errors="replace")
        if not name or name not in text:  # it stands for what the vocabulary does not know
            continue
        if len(marks) == len(MARKS):
            raise InvalidRequestError(
                f"a stop text names more than {len(MARKS)} special tokens", field="stop"
            )
        before, _, text = text.partition(name)
        parts += [before, marks.setdefault(token, chr(MARKS[len(marks)]))]
    if not marks:
        return [plain]
    return [plain, Stop(text="".join([*parts, text]), marks=marks, written=written)]
