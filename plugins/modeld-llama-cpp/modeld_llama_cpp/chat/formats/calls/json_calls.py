# SPDX-License-Identifier: GPL-3.0-only
"""Calls as JSON objects that have the name and the arguments: alone, in a row or in a list."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.calls.call_form import CallForm, Frame, Json, Part
from modeld_llama_cpp.chat.formats.calls.tool_arguments import schema_of
from modeld_llama_cpp.chat.formats.json_text import at_end, read_text, read_value
from modeld_llama_cpp.chat.formats.output import Output, as_object, dumped
from modeld_llama_cpp.chat.formats.reader import BrokenCallError, Reading

NAMES = frozenset({"name", "tool_name"})
ARGUMENTS = frozenset({"arguments", "parameters"})
OTHERS = frozenset({"id", "type", "tool_call_id"})
"""The keys of a call; with any other it is none, or every JSON text would be held back."""


@dataclass
class _Call:
    """What is known of a call while its object is read. ``arguments`` came before the name."""

    name: str = ""
    own_id: str = ""
    arguments: str = ""
    begun: bool = False


def _no_id(_: str) -> bool:
    return False


def read_call(output: Output, is_id: Callable[[str], bool] = _no_id) -> Reading[None]:
    """Read one call, from its brace on. An id that comes before the arguments is the call's."""
    reader, call = output.reader, _Call()
    yield from reader.expect("{")
    closed = False
    while not closed:
        yield from reader.skip_spaces()
        key = yield from read_text(reader)
        if key not in NAMES | ARGUMENTS | OTHERS:
            raise BrokenCallError
        yield from reader.skip_spaces()
        yield from reader.expect(":")
        yield from reader.skip_spaces()
        if key in NAMES and not call.name:
            call.name = output.known((yield from read_text(reader)))
        elif key in ARGUMENTS and not call.begun and not call.arguments:
            yield from _read_arguments(output, call)
        elif key not in OTHERS:  # it is there already
            raise BrokenCallError
        else:
            start = reader.position
            yield from read_value(reader)
            found = reader.since(start).strip('"')
            call.own_id = found if "id" in key and is_id(found) else call.own_id
        if call.name and call.arguments:
            output.at_cut = partial(output.call, call.name, call.arguments, call.own_id)
        closed = yield from at_end(reader, "}")
    if not call.begun:
        output.call(output.known(call.name), call.arguments or "{}", call.own_id)
    reader.take()


def _read_arguments(output: Output, call: _Call) -> Reading[None]:
    reader = output.reader
    sign = yield from reader.peek()
    if sign == '"':  # some models write them as a text of their own
        call.arguments = as_object((yield from read_text(reader)))
    elif sign == "{" and call.name:
        calls = output.calls
        yield from output.read_arguments(call.name, call.own_id)
        call.begun = output.calls > calls
    elif sign in ("{", "n"):
        start = reader.position
        yield from read_value(reader)
        call.arguments = reader.since(start) if sign == "{" else "{}"
    else:
        raise BrokenCallError


class JsonCalls(CallForm):
    """Objects behind an opener, one or several, or a list of them."""

    def __init__(
        self,
        opener: str,
        closer: str = "",
        *,
        listed: bool = False,
        bare: str = "",
        keys: tuple[str, str] = ("name", "arguments"),
        line: str = "\n",
        is_id: Callable[[str], bool] = _no_id,
    ) -> None:
        self.openers = (opener,) if opener else ()
        self.closers = (closer,) if closer else ()
        self.bare = bare
        self._opener, self._closer, self._listed = opener, closer, listed
        self._keys = keys
        self._line = line
        self._is_id = is_id

    def read(self, output: Output, opener: str) -> Reading[None]:
        """Read calls whose opener was read just now."""
        reader = output.reader
        if opener == self.bare:
            reader.rewind()
        yield from reader.skip_spaces()
        if (yield from reader.skip("[")):
            yield from read_list(output, self._is_id)
        else:
            yield from self._read_row(output)
        if self._closer:
            yield from reader.skip_spaces()
            yield from reader.skip(self._closer)

    def _read_row(self, output: Output) -> Reading[None]:
        reader = output.reader
        yield from read_call(output, self._is_id)
        while True:
            start = reader.position
            yield from reader.skip_spaces()
            yield from reader.skip(";")
            yield from reader.skip_spaces()
            if (yield from reader.peek()) != "{":
                if ";" in reader.since(start):
                    raise BrokenCallError
                return
            yield from read_call(output, self._is_id)

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""
        line = self._line
        if self._listed:
            return Frame(before=f"{self._opener}[", between=", ", after=f"]{self._closer}")
        before, after = f"{self._opener}{line}", f"{line}{self._closer}"
        if not self._closer:
            return Frame(before=before, between="; " if self.bare else "\n", after="")
        return Frame(before=before, between=f"{after}\n{before}", after=after)

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool."""
        return written_call(tool, self._keys)


def written_call(tool: Tool, keys: tuple[str, str] = ("name", "arguments")) -> tuple[Part, ...]:
    """Return a call as one object."""
    name, arguments = keys
    return f'{{"{name}": {dumped(tool.name)}, "{arguments}": ', Json(schema_of(tool)), "}"


def read_list(output: Output, is_id: Callable[[str], bool] = _no_id) -> Reading[None]:
    """Read a list of calls, from behind its bracket on."""
    closed = False
    yield from output.reader.skip_spaces()
    while not closed:
        yield from read_call(output, is_id)
        closed = yield from at_end(output.reader, "]")
