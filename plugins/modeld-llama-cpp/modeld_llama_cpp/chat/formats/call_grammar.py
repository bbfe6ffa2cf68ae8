# SPDX-License-Identifier: GPL-3.0-only
"""Writes Lark grammars under which a model calls tools, in the form of its family."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence

from modeld.errors import InvalidRequestError
from modeld.messages import Tool, ToolChoice
from modeld_llama_cpp.chat.formats.calls.call_form import (
    CallForm,
    Json,
    OneOf,
    Optional,
    Part,
    Pattern,
    Raw,
)
from modeld_llama_cpp.chat.formats.constraint_compiler import checked_schema
from modeld_llama_cpp.chat.formats.output import dumped

_ANY_OBJECT = {"type": "object"}


class CallGrammar:
    """A grammar in the making.

    ``tokens`` are special tokens and their ids: such a mark is written as the token that it is, and
    any other mark as text.
    """

    def __init__(self, tokens: Mapping[str, int]) -> None:
        self._tokens = tokens
        marks = sorted(tokens, key=len, reverse=True)
        self._marks = re.compile("|".join(map(re.escape, marks)) or "(?!)")
        self._rules = ["TEXT: /(?s:.*)/", "WORDS: /(?s:.+)/"]
        self._schemas: dict[str, str] = {}

    def source(self, start: str) -> str:
        """Return the whole, which begins with an expression."""
        return "\n".join([f"start: {start}", *self._rules]) + "\n"

    def rule(self, expression: str, *, lazy: bool = False) -> str:
        """Add a rule, and return its name."""
        name = f"r{len(self._rules)}"
        self._rules.append(f"{name}{'[lazy]' if lazy else ''}: {expression}")
        return name

    def is_token(self, mark: str) -> bool:
        """Return whether a mark is a token that has no text."""
        return mark in self._tokens

    def text(self, text: str) -> str:
        """Return an expression for a text with marks in it."""
        found, start = [], 0
        for mark in self._marks.finditer(text):
            found += [_quoted(text[start : mark.start()]), f"<[{self._tokens[mark[0]]}]>"]
            start = mark.end()
        return " ".join(each for each in [*found, _quoted(text[start:])] if each)

    def up_to(self, mark: str) -> str:
        """Return an expression for any text up to a mark, and the mark."""
        if self.is_token(mark):
            return f"TEXT {self.text(mark)}"
        return self.rule(f"TEXT {_quoted(mark)}", lazy=True)

    def parts(self, parts: Iterable[Part], tool: Tool) -> str:
        """Return an expression for what is written for a call of a tool."""
        return " ".join(filter(None, (self._part(each, tool) for each in parts)))

    def calls(self, form: CallForm, tools: Sequence[Tool], *, parallel: bool, opener: str) -> str:
        """Return an expression for calls, from behind their opener on."""
        frame = form.frame
        each = self.rule(" | ".join(self.parts(form.written(tool), tool) for tool in tools))
        more = f"({self.text(frame.between)} {each})*" if parallel else ""
        before = self.text(frame.before.removeprefix(opener))
        return " ".join(filter(None, (before, each, more, self.text(frame.after))))

    def _part(self, part: Part, tool: Tool) -> str:
        match part:
            case str():
                return self.text(part)
            case Json(schema=schema):
                return self._json(schema, tool)
            case Raw(end=end):
                return self.up_to(end)
            case Pattern(text=text):
                return f"/{text}/"
            case OneOf(texts=texts):
                return f"({' | '.join(map(_quoted, texts))})"
            case Optional(parts=parts):
                return f"({self.parts(parts, tool)})?"

    def _json(self, schema: object, tool: Tool) -> str:
        assert isinstance(schema, Mapping)  # whoever writes parts takes them from the tool's schema
        text = dumped(checked_schema(schema, tool))
        if text not in self._schemas:
            self._schemas[text] = self.rule(f"%json {text}")
        return self._schemas[text]


def chosen(tools: Sequence[Tool], choice: ToolChoice) -> list[Tool] | None:
    """Return the tools that a grammar is for, or none where nothing is forced.

    Where a model is free to call, arguments of tools that are not strict need only be objects if
    their schema cannot be kept to.

    Raises:
        InvalidRequestError: a call is asked for, and there is no such tool.
    """
    named = [tool for tool in tools if not choice.names or tool.name in choice.names]
    match choice.mode:
        case "none":
            return None
        case "required":
            if not named:
                raise InvalidRequestError(
                    "tool_choice asks for a call, and no such tool is there", field="tool_choice"
                )
            return named
        case "auto":
            return list(map(_kept_to, named)) if any(tool.strict for tool in named) else None


def _kept_to(tool: Tool) -> Tool:
    if tool.strict or tool.parameters is None:
        return tool
    try:
        checked_schema(tool.parameters, tool)
    except InvalidRequestError:
        return Tool(name=tool.name, parameters=_ANY_OBJECT)
    return tool


def _quoted(text: str) -> str:
    if not text:
        return ""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
