# SPDX-License-Identifier: GPL-3.0-only
"""Calls whose arguments stand between tags one by one, texts among them without quotes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.calls.call_form import (
    CallForm,
    Frame,
    Json,
    OneOf,
    Optional,
    Part,
    Raw,
)
from modeld_llama_cpp.chat.formats.calls.json_calls import read_call, written_call
from modeld_llama_cpp.chat.formats.calls.tool_arguments import (
    Schema,
    as_json,
    is_any_text,
    is_only_text,
    listed_texts,
    single_values,
    takes_only_text,
)
from modeld_llama_cpp.chat.formats.json_text import read_value
from modeld_llama_cpp.chat.formats.output import Output, dumped
from modeld_llama_cpp.chat.formats.reader import SPACES, BrokenCallError, Reading, begun


@dataclass(frozen=True, slots=True, kw_only=True)
class Tags:
    """What stands around an argument's name and its value."""

    before_name: str
    after_name: str
    before_value: str
    after_value: str


class TaggedCalls(CallForm):
    """A call between tags; its name, then its arguments. An object with both is read as well.

    ``before_name`` and ``after_name`` are what stands around the call's name, and ``after`` what
    stands behind its arguments. ``line`` is written around values and is none of them.
    """

    def __init__(
        self,
        opener: str,
        closer: str,
        *,
        before_name: str,
        after_name: str,
        after: str,
        tags: Tags,
        line: str = "",
    ) -> None:
        self.openers = (opener, before_name) if before_name else (opener,)
        others = (closer, after, *dataclasses.astuple(tags))
        self.closers = tuple(each for each in others if each.startswith("<"))
        self._opener, self._closer = opener, closer
        self._before_name, self._after_name, self._after = before_name, after_name, after
        self._tags = tags
        self._line = line

    def read(self, output: Output, opener: str) -> Reading[None]:
        """Read a call whose opener was read just now."""
        reader = output.reader
        if opener != self._before_name:
            yield from reader.skip_spaces()
            if (yield from reader.peek()) == "{":
                yield from read_call(output)
                yield from self._close(output)
                return
            yield from reader.expect(self._before_name)
        name = yield from output.read_name()
        yield from reader.expect(self._after_name)
        yield from self._read_arguments(output, output.tools[name])
        yield from self._close(output)

    def _close(self, output: Output) -> Reading[None]:
        yield from output.reader.skip_spaces()
        yield from output.reader.skip(self._closer)

    def _read_arguments(self, output: Output, tool: Tool) -> Reading[None]:
        reader, seen = output.reader, set[str]()
        while True:
            yield from reader.skip_spaces()
            if not (yield from reader.skip(self._tags.before_name)):
                break
            key, _ = yield from reader.until(self._tags.after_name)
            if key in seen:
                raise BrokenCallError
            if self._tags.before_value:
                yield from reader.skip_spaces()
                yield from reader.expect(self._tags.before_value)
            add = partial(_add_value, output, tool, key, is_first=not seen)
            output.at_cut = partial(self._add_begun, output, tool, key, reader.position, add)
            value = yield from self._read_value(output, tool, key)
            output.at_cut = None
            reader.take()
            add(value)
            seen.add(key)
        # Without this end it is not known whether another argument was to come.
        yield from reader.expect(self._after or self._closer)
        reader.take()
        if not seen:
            output.begin(tool.name)
        output.add_arguments("}" if seen else "{}")

    def _add_begun(
        self, output: Output, tool: Tool, key: str, start: int, add: Callable[[str], None]
    ) -> None:
        """Give out what has come of a value, as the beginning of its JSON."""
        text = output.reader.since(start)
        ends = (self._tags.after_value, f"{self._line}{self._tags.after_value}")
        text = text[: len(text) - max(begun(text, end) for end in ends)]
        is_text = takes_only_text(tool, key)
        add(dumped(text.removeprefix(self._line))[:-1] if is_text else text.lstrip(SPACES))

    def _read_value(self, output: Output, tool: Tool, key: str) -> Reading[str]:
        """Read a value and what is behind it, and return it as JSON.

        JSON is read as such, for a text in it may have the mark in it that ends the value.
        """
        reader = output.reader
        start = reader.position
        if not takes_only_text(tool, key):
            try:
                yield from reader.skip_spaces()
                begin = reader.position
                yield from read_value(reader)
                value = reader.since(begin)
                yield from reader.skip_spaces()
                yield from reader.expect(self._tags.after_value)
            except BrokenCallError:
                reader.rewind(start)
            else:
                return value
        text, _ = yield from reader.until(self._tags.after_value)
        return as_json(text.removeprefix(self._line).removesuffix(self._line), tool, key)

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""
        line = "\n" if self._after else ""
        before, after = f"{self._opener}{line}", f"{line}{self._closer}"
        return Frame(before=before, between=f"{after}\n{before}", after=after)

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool.

        Where arguments do more than stand beside one another, it is an object with all.
        """
        values = single_values(tool)
        ends = "\n" if not self._after else ""
        if values is None or not all(map(self._is_writable, values, values.values())):
            return *written_call(tool), ends
        parts: list[Part] = [f"{self._before_name}{tool.name}{self._after_name}\n"]
        for name, (schema, is_required) in values.items():
            value = self._value(name, schema)
            parts += value if is_required else [Optional(value)]
        return *parts, self._after

    def _value(self, name: str, schema: Schema) -> tuple[Part, ...]:
        tags = self._tags
        between = "\n" if tags.before_value else ""
        begin = f"{tags.before_name}{name}{tags.after_name}{between}{tags.before_value}{self._line}"
        # Where a text ends is not told but by the mark, before which the line's end is optional.
        if is_any_text(schema):
            return begin, Raw(tags.after_value), "\n"
        texts = listed_texts(schema)
        value: Part = Json(schema) if texts is None else OneOf(texts)
        return begin, value, f"{self._line}{tags.after_value}\n"

    def _is_writable(self, name: str, value: tuple[Schema, bool]) -> bool:
        """Return whether each value that conforms can be written, and is read as itself."""
        schema, _ = value
        is_text = is_any_text(schema) or listed_texts(schema) is not None
        return self._tags.after_name not in name and (is_text or not is_only_text(schema))


def _add_value(output: Output, tool: Tool, key: str, value: str, *, is_first: bool) -> None:
    if is_first:
        output.begin(tool.name)
    output.add_arguments(f"{'{' if is_first else ', '}{dumped(key)}: {value}")
