# SPDX-License-Identifier: GPL-3.0-only
"""A model's chat template: Jinja, in a process of its own, or one of llama.cpp's by its name.

:mod:`.template_process` says why Jinja has a process of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from typing import Any, TypeAlias

import msgspec

from modeld import GenerateRequest
from modeld.errors import InvalidRequestError, NotSupportedError, TemplateError
from modeld.requests import ApplyTemplateRequest
from modeld_llama_cpp.chat import named_template, variables
from modeld_llama_cpp.chat.chat_values import Turn, shaped, tools_of, turns_of, with_tools_in_system
from modeld_llama_cpp.chat.formats.chat_format import ChatFormat
from modeld_llama_cpp.chat.formats.detection import format_of
from modeld_llama_cpp.chat.formats.families import GENERIC
from modeld_llama_cpp.chat.formats.family import MarkedFamily
from modeld_llama_cpp.chat.hidden_texts import (
    CONTINUED,
    Hider,
    Rendered,
    SpecialTexts,
    TemplateMarks,
    restore_signs,
)
from modeld_llama_cpp.chat.template_option import MAX_BYTES, NAMES, has_jinja
from modeld_llama_cpp.chat.template_process import MAX_TEXT_CHARS
from modeld_llama_cpp.chat.told_tools import told
from modeld_llama_cpp.chat.traits import EFFORT, SWITCHES, Traits
from modeld_llama_cpp.sandbox.parent import LimitedProcess

TIME_LIMIT_S = 2

_MAX_RESPONSE_BYTES = 6 * MAX_TEXT_CHARS + 64
"""JSON writes a character outside ASCII as at most six bytes for each of its UTF-16 units."""

ChatRequest: TypeAlias = GenerateRequest | ApplyTemplateRequest


class ChatTemplate:
    """Turns a chat into a prompt.

    ``source`` is the template's text, or the name of one of llama.cpp's own. The process for a text
    is started by the first chat (about 0.1 s) and stays. One that takes too long is killed, and the
    next chat starts another. :meth:`render` is called on one thread at a time; :meth:`close` may
    come from another and ends a running :meth:`render`. ``specials`` returns the texts of the
    vocabulary's special tokens, and is asked once.
    """

    def __init__(
        self,
        source: str | None,
        *,
        bos: str = "",
        eos: str = "",
        specials: Callable[[], SpecialTexts] = SpecialTexts,
    ) -> None:
        self._source = source
        self._specials = specials
        values = {"bos_token": bos, "eos_token": eos, "add_generation_prompt": True}
        self._process = LimitedProcess(
            "modeld_llama_cpp.chat.template_process",
            {"template": source, "values": values},
            limit_s=TIME_LIMIT_S,
            max_response_bytes=_MAX_RESPONSE_BYTES,
        )

    def render(self, request: ChatRequest) -> Rendered:
        """Return the prompt for a request's chat.

        Raises:
            TemplateError: there is no template, it fails, or it runs over its limits.
            ModeldError: the template cannot serve what the request asks for; ``field`` says what.
        """
        self._check_source()
        hider = Hider(self.marks)
        values = variables.of_reasoning(
            request.reasoning, self.traits, thinks=self.thinks, ends=self.ends_reasoning
        )
        values |= variables.of_request(request.template_kwargs, self.traits, hider, values)
        turns = turns_of(request.messages or (), hider)
        self._check_reasoning_in(turns)
        tools = tools_of(_tools_told(request), hider)
        turns = shaped(told(turns, tools, self.traits), self.traits)
        if request.continue_last:
            values["add_generation_prompt"] = False
            _mark_end(turns)
        if tools and self.traits.tools_in_system:
            turns = with_tools_in_system(turns, tools, self.traits)
        elif tools and self.traits.keeps_tools:
            values["tools"] = tools
        text = restore_signs(self._write(turns, values), hider.hidden)
        return Rendered(_cut(text) if request.continue_last else text, hider.hidden)

    @cached_property
    def format(self) -> ChatFormat:
        """Return how models of the template's family mark reasoning and calls.

        Where a template knows no tools, the model is asked to make calls in the generic form.

        Raises:
            TemplateError: there is no template, it fails, or it runs over its limits.
        """
        family = self._family
        if self.traits.keeps_tools or not isinstance(family, MarkedFamily):
            return family
        return replace(family, name=GENERIC.name, forms=GENERIC.forms)

    @property
    def ends_reasoning(self) -> bool:
        """Return whether the family's mark that ends reasoning is in the template."""
        return bool(self.format.think_end) and self.format.think_end in (self._source or "")

    @cached_property
    def thinks(self) -> bool:
        """Return whether the template has anything of reasoning in it.

        Raises:
            TemplateError: there is no template, it fails, or it runs over its limits.
        """
        switches = self.traits.variables & (SWITCHES | {EFFORT})
        return self.ends_reasoning or self.traits.reasoning is not None or bool(switches)

    @cached_property
    def marks(self) -> TemplateMarks:
        """Return what must be hidden from the template."""
        source = self._source or ""
        own = named_template.trial(source) if source in NAMES else source
        return self._special_texts.of_template(own)

    @cached_property
    def traits(self) -> Traits:
        """Return what the template makes of a chat.

        Raises:
            TemplateError: there is no template, it fails, or it runs over its limits.
        """
        self._check_source()
        if self._source in NAMES:
            return Traits(keeps_system=named_template.keeps_system(self._source))
        found = msgspec.convert(self._call({"traits": True}, "traits"), Traits)
        if self._family.name == GENERIC.name:  # nothing would read the calls that it asks for
            found = msgspec.structs.replace(found, keeps_tools=False, tools_in_system=False)
        return found

    def close(self) -> None:
        """End the process. May be called twice."""
        self._process.close()

    @cached_property
    def _family(self) -> ChatFormat:
        return format_of(self._source or "", self._special_texts.control)

    @cached_property
    def _special_texts(self) -> SpecialTexts:
        return self._specials()

    def _write(self, turns: list[Turn], values: dict[str, object]) -> str:
        if self._source in NAMES:
            begin = values.get("add_generation_prompt", True)
            return named_template.render(self._source, turns, begin=bool(begin))
        return str(self._call({"values": values | {"messages": turns}}, "text"))

    def _call(self, request: dict[str, object], member: str) -> Any:
        try:
            response = self._process.call(request)
        except OSError as exc:
            raise TemplateError(f"the model's chat template failed: {exc}") from exc
        if member not in response:
            raise TemplateError(f"the model's chat template failed: {response.get('error')}")
        return response[member]

    def _check_reasoning_in(self, turns: Sequence[Turn]) -> None:
        """Refuse former thoughts where nothing is known of any.

        Templates of models that think leave them out where that is how the models were trained.
        """
        if self.thinks:
            return
        for index, turn in enumerate(turns):
            if "reasoning" in turn:
                field = f"messages[{index}].reasoning"
                raise NotSupportedError(
                    f"{field}: the model's chat template has no reasoning", field=field
                )

    def _check_source(self) -> None:
        if not self._source:
            raise TemplateError(
                "the model has no chat template; send `prompt` instead of `messages`"
            )
        if self._source in NAMES:
            return
        size = len(self._source.encode())
        if size > MAX_BYTES:
            raise TemplateError(
                f"the model's chat template has {size} bytes; at most {MAX_BYTES} are allowed"
            )
        if not has_jinja(self._source):
            raise TemplateError(
                "the model's chat template has no {{ }} or {% %} in it, so it would lose all that"
                " is said; set the option `chat_template`, or send `prompt` instead of `messages`"
            )


def _tools_told(request: ChatRequest) -> Sequence[Any]:
    """Return the tools that the model is told of: none where it may call none."""
    if isinstance(request, GenerateRequest) and request.tool_choice.mode == "none":
        return ()
    return request.tools


def _mark_end(turns: list[Turn]) -> None:
    """Mark where the last turn's content ends.

    Raises:
        InvalidRequestError: it has none, or calls come after it.
    """
    turn = turns[-1]
    content = turn["content"]
    if turn.get("tool_calls"):
        raise _not_continued("has calls of tools, after which nothing can follow")
    if isinstance(content, str) and content:
        turn["content"] = content + CONTINUED
    elif not isinstance(content, str) and content and content[-1]["text"]:
        last = content[-1] | {"text": content[-1]["text"] + CONTINUED}
        turn["content"] = [*content[:-1], last]
    else:
        raise _not_continued("is empty, so that there is nothing to go on with")


def _cut(text: str) -> str:
    """Return a prompt up to the mark for the end of the last turn's content."""
    end = text.rfind(CONTINUED)
    if end < 0:
        raise _not_continued("is not written by the model's chat template where it could be found")
    return text[:end].replace(CONTINUED, "")


def _not_continued(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"continue_last: the last message {why}", field="continue_last")
