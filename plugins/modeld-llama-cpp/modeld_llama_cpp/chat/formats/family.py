# SPDX-License-Identifier: GPL-3.0-only
"""A family whose models put marks around reasoning and calls: all but gpt-oss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modeld.messages import Tool, ToolChoice
from modeld_llama_cpp.chat.formats.call_grammar import CallGrammar, chosen
from modeld_llama_cpp.chat.formats.calls.call_form import CallForm
from modeld_llama_cpp.chat.formats.chat_format import TOOLS_KIND, ChatFormat, OutputParser
from modeld_llama_cpp.chat.formats.marked_parser import MarkedParser
from modeld_llama_cpp.chat.formats.output import NewId, Output, long_id

NO_THINKING = ("", "")
THINK = ("<think>", "</think>")


@dataclass(frozen=True, kw_only=True)
class MarkedFamily(ChatFormat):
    """One family: its marks around reasoning, and the forms of its calls, the usual one first.

    ``passed_over`` are marks around texts that say nothing of them. ``tokens`` are the special
    tokens of the model's vocabulary, with their ids where they are known.
    """

    name: str
    think: tuple[str, str] = THINK
    forms: tuple[CallForm, ...]
    passed_over: tuple[str, ...] = ()
    new_id: NewId = long_id
    tokens: Mapping[str, int] = field(default_factory=dict)

    @property
    def think_end(self) -> str:  # type: ignore[override]
        """Return the mark that ends reasoning, if the family has any."""
        return self.think[1]

    @property
    def keeps_special(self) -> frozenset[str]:  # type: ignore[override]
        """Return the special tokens whose text a parser must see."""
        marks = [mark for form in self.forms for mark in (*form.openers, *form.closers)]
        return frozenset(filter(None, (*self.think, *marks, *self.passed_over)))

    def parser(
        self, *, tools: Sequence[Tool], prompt_end: str, must_call: bool = False
    ) -> OutputParser:
        """Return a parser for one generation after a prompt with this end."""
        return MarkedParser(
            Output(tools, self.new_id, must_call=must_call),
            self.forms,
            think=self.think,
            prompt_end=prompt_end,
            passed_over=self.passed_over,
        )

    def forced(
        self, *, tools: Sequence[Tool], choice: ToolChoice, parallel: bool, prompt_end: str
    ) -> tuple[str, str] | None:
        """Return the kind and the source of a constraint that forces calls, if any are forced."""
        called = chosen(tools, choice)
        if called is None:
            return None
        grammar = CallGrammar(self.tokens)
        said = prompt_end.rstrip()
        thought = ""
        if self.think[0] and said.endswith(self.think[0]):
            thought = f"{grammar.up_to(self.think[1])} /[ \\n]{{0,8}}/ "
        opener = next((mark for mark in self.forms[0].openers if said.endswith(mark)), "")
        if choice.mode == "required":
            calls = grammar.calls(self.forms[0], called, parallel=parallel, opener=opener)
            return TOOLS_KIND, grammar.source(f"{thought}{calls}")
        if not thought and self.think[0] and grammar.is_token(self.think[0]):
            begin, end = map(grammar.text, self.think)
            thought = f"({begin} TEXT {end})? "
        free = self._free(grammar, called, parallel=parallel, opened=bool(opener))
        return TOOLS_KIND, grammar.source(f"{thought}{free}")

    def _free(
        self, grammar: CallGrammar, tools: Sequence[Tool], *, parallel: bool, opened: bool
    ) -> str:
        """Return an expression for texts in which calls may come."""
        form = self.forms[0]
        opener = form.openers[0] if form.openers else ""
        calls = grammar.calls(form, tools, parallel=parallel, opener=opener)
        if not opener:  # only what begins as a call is one
            return f"({calls} | /[^{{\\s](?s:.*)/)?"
        kept = [grammar.text(mark) for mark in self.passed_over if grammar.is_token(mark)]
        said = grammar.rule(f"({' | '.join(['WORDS', *kept])})*") if kept else "TEXT"
        if grammar.is_token(opener):
            begun = f"{said} {grammar.text(opener)}"
        else:
            begun = grammar.up_to(opener)
        if form.no_call:
            calls = f"({grammar.text(form.no_call)} | {calls})"
        if parallel or form.no_call:
            return f"{calls if opened else ''} ({begun} {calls})* {said}"
        return f"({said} | {begun} {calls})"
