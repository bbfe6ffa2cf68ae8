# SPDX-License-Identifier: GPL-3.0-only
"""gpt-oss, whose texts are messages to somebody on a channel."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modeld.messages import Tool, ToolChoice
from modeld_llama_cpp.chat.formats.call_grammar import CallGrammar, chosen
from modeld_llama_cpp.chat.formats.calls.call_form import Json
from modeld_llama_cpp.chat.formats.calls.tool_arguments import schema_of
from modeld_llama_cpp.chat.formats.chat_format import TOOLS_KIND, ChatFormat, OutputParser
from modeld_llama_cpp.chat.formats.marked_parser import GeneratedParser, pass_on
from modeld_llama_cpp.chat.formats.output import NewId, Output, long_id
from modeld_llama_cpp.chat.formats.reader import BrokenCallError, Reading

START, CHANNEL, MESSAGE, CONSTRAIN = "<|start|>", "<|channel|>", "<|message|>", "<|constrain|>"
END, CALL, RETURN = "<|end|>", "<|call|>", "<|return|>"

_ANALYSIS = f"{CHANNEL}analysis{MESSAGE}"
_WORDS = re.compile(r"[\w.=: /-]+")
_RECIPIENT = re.compile(r"\bto=(?:functions\.)?([^\s<]+)")
_CHANNEL = re.compile(rf"{re.escape(CHANNEL)}\s*(\w+)")


class HarmonyParser(GeneratedParser):
    """Messages one after the other, each with a header that says whom it is to."""

    def __init__(self, output: Output, *, prompt_end: str) -> None:
        super().__init__(output)
        self.thinking = prompt_end.endswith(_ANALYSIS)

    def _run(self) -> Reading[None]:
        reader = self._output.reader
        if self.thinking:
            yield from self._read_body(is_thought=True)
        elif (yield from reader.skip(" to=")):
            yield from self._read_message()
        while True:
            mark = yield from pass_on(reader, [START, CHANNEL, END, RETURN, CALL], self._output.say)
            if not mark:
                return
            if mark in (START, CHANNEL):
                yield from self._read_message()
            reader.take()
            yield from reader.skip_spaces()
            reader.take()

    def _read_message(self) -> Reading[None]:
        """Read a message of whose header something was read already."""
        reader = self._output.reader
        self._output.expect_calls()
        try:
            header = yield from self._read_header()
        except BrokenCallError:
            if not self._output.take_cut():
                self._output.say(reader.take())
            return
        recipient, channel = _RECIPIENT.search(header), _CHANNEL.search(header)
        if recipient and recipient[1] in self._output.tools:
            yield from self._read_call(recipient[1])
            return
        yield from self._read_body(is_thought=channel is not None and channel[1] == "analysis")

    def _read_header(self) -> Reading[str]:
        reader = self._output.reader
        while True:
            yield from reader.run(_WORDS)
            if (yield from reader.skip(MESSAGE)):
                return reader.take()
            if not (yield from reader.skip(CHANNEL)):
                yield from reader.expect(CONSTRAIN)

    def _read_call(self, name: str) -> Reading[None]:
        reader = self._output.reader
        self._output.known(name)
        try:
            yield from reader.skip_spaces()
            yield from self._output.read_arguments(name)
        except BrokenCallError:
            if not self._output.take_cut():
                self._output.say(reader.take())
            yield from self._read_body(is_thought=False)

    def _read_body(self, *, is_thought: bool) -> Reading[None]:
        """Give out what is said up to the end of a message."""
        output = self._output
        self.thinking = is_thought
        give = output.think if is_thought else output.say
        mark = yield from pass_on(output.reader, [END, RETURN, CALL, START, CHANNEL], give)
        if mark in (START, CHANNEL):  # the next message has begun, and its header has this mark
            output.reader.rewind()
        output.reader.take()
        self.thinking = self.thinking and not mark


@dataclass(frozen=True, kw_only=True)
class HarmonyFormat(ChatFormat):
    """The family of gpt-oss. ``tokens`` are as those of other families."""

    name: str = "gpt-oss"
    think_end: str = END
    keeps_special: frozenset[str] = frozenset(
        {START, CHANNEL, MESSAGE, CONSTRAIN, END, CALL, RETURN}
    )
    new_id: NewId = long_id
    tokens: Mapping[str, int] = field(default_factory=dict)

    def parser(
        self, *, tools: Sequence[Tool], prompt_end: str, must_call: bool = False
    ) -> OutputParser:
        """Return a parser for one generation after a prompt with this end."""
        output = Output(tools, self.new_id, must_call=must_call)
        return HarmonyParser(output, prompt_end=prompt_end)

    def forced(
        self, *, tools: Sequence[Tool], choice: ToolChoice, parallel: bool, prompt_end: str
    ) -> tuple[str, str] | None:
        """Return the kind and the source of a constraint that forces a call, if one is forced.

        Only one, as these models make no several calls at a time: a call ends the generation.
        """
        called = chosen(tools, choice)
        if called is None:
            return None
        del parallel
        grammar = CallGrammar(self.tokens)
        next_one = grammar.text(f"{START}assistant")
        thought = f"{grammar.up_to(END)} {next_one}"
        if prompt_end.endswith(_ANALYSIS):
            before = thought
        else:
            before = f"({grammar.text(_ANALYSIS)} {thought})?"
        ways = [self._call(grammar, tool) for tool in called]
        if choice.mode == "auto":
            ways.append(f"{grammar.text(f'{CHANNEL}final{MESSAGE}')} TEXT")
        return TOOLS_KIND, grammar.source(f"{before} ({' | '.join(ways)})")

    @staticmethod
    def _call(grammar: CallGrammar, tool: Tool) -> str:
        header = f"{CHANNEL}commentary to=functions.{tool.name} {CONSTRAIN}json{MESSAGE}"
        return grammar.parts([header, Json(schema_of(tool))], tool)
