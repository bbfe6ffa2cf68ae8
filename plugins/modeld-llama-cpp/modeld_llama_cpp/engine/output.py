# SPDX-License-Identifier: GPL-3.0-only
"""What a chat's generation is taken apart with, and what is known of it beforehand."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from modeld import GenerateRequest
from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.chat_format import PROMPT_END_CHARS, OutputParser
from modeld_llama_cpp.chat.hidden_texts import Rendered
from modeld_llama_cpp.chat.template import ChatTemplate
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

_FRAMES: Final = {
    "gpt-oss": (
        "<|channel|>analysis<|message|>",
        "<|start|>assistant<|channel|>final<|message|>",
    )
}
"""What must stand before reasoning and before what is said after it, in some families."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """How one generation is read.

    ``new_parser`` makes its parser. The text of the tokens in ``kept`` is shown to that, ``close``
    are the tokens that end reasoning, on which at most ``budget`` tokens are spent. With
    ``parallel`` there may be several calls. ``may_think`` is whether the model may begin reasoning
    itself; where it may, or is in it, the request's own constraint is about what comes after. Then
    ``begin`` are the tokens that begin reasoning and ``resume`` those that stand before what is
    said after it, in families that have such.
    """

    new_parser: Callable[[], OutputParser]
    kept: frozenset[int]
    close: tuple[int, ...]
    budget: int | None
    parallel: bool
    may_think: bool
    begin: tuple[int, ...] = ()
    resume: tuple[int, ...] = ()


def tools_of(request: GenerateRequest) -> Sequence[Tool]:
    """Return the tools that a generation may call."""
    choice = request.tool_choice
    if choice.mode == "none":
        return ()
    return [tool for tool in request.tools if not choice.names or tool.name in choice.names]


def prompt_end_of(rendered: Rendered) -> str:
    """Return the end of a prompt: what a template may have begun in the model's name."""
    return rendered.text[-PROMPT_END_CHARS:]


def output_of(
    request: GenerateRequest, template: ChatTemplate, rendered: Rendered, vocabulary: Vocabulary
) -> Output | None:
    """Return how a chat's generation is read, or None where nothing in it can be told apart."""
    tools, thinks, format_ = tools_of(request), template.thinks, template.format
    if not tools and not thinks:
        return None

    def tokens(text: str) -> tuple[int, ...]:
        return tuple(vocabulary.tokenize(text.encode(), add_special=False))

    is_off = request.reasoning.enabled is False
    begin, resume = _FRAMES.get(format_.name, ("", ""))
    return Output(
        new_parser=partial(
            format_.parser,
            tools=tools,
            prompt_end=prompt_end_of(rendered),
            must_call=request.tool_choice.mode == "required",
        ),
        kept=_ids(format_.keeps_special, vocabulary),
        close=tokens(format_.think_end),
        budget=0 if is_off else request.reasoning.budget_tokens,
        parallel=request.parallel_tool_calls,
        may_think=template.ends_reasoning and (not is_off or bool(begin)),
        begin=tokens(begin),
        resume=tokens(resume),
    )


def _ids(texts: Collection[str], vocabulary: Vocabulary) -> frozenset[int]:
    """Return the special tokens of these names. Others of them are shown in any case."""
    control = vocabulary.special_tokens.control
    return frozenset(control[text].token for text in texts if text in control)
