# SPDX-License-Identifier: GPL-3.0-only
"""What is given out of one generation, while it is taken apart."""

from __future__ import annotations

import json
import secrets
import string
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TypeAlias

from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.chat_format import (
    CallDelta,
    Delta,
    ReasoningDelta,
    TextDelta,
)
from modeld_llama_cpp.chat.formats.json_text import is_object, read_object
from modeld_llama_cpp.chat.formats.reader import BrokenCallError, Reader, Reading

NewId: TypeAlias = Callable[[], str]

_LETTERS = string.ascii_letters + string.digits


def long_id() -> str:
    """Return an id as most interfaces have it."""
    return f"call_{secrets.token_hex(12)}"


def short_id() -> str:
    """Return an id as Mistral's templates ask for it."""
    return "".join(secrets.choice(_LETTERS) for _ in range(9))


class Output:
    """The text that is read, the tools that may be called, and what is given out so far.

    Where the text ``is_cut``, its end is not where the model would have ended it. While arguments
    are read, ``at_cut`` gives out what has come of them and was not given out yet. With
    ``must_call`` what is cut was to become a call, and is never said.
    """

    def __init__(
        self, tools: Sequence[Tool], new_id: NewId = long_id, *, must_call: bool = False
    ) -> None:
        self.reader = Reader()
        self.tools: Mapping[str, Tool] = {tool.name: tool for tool in tools}
        self.calls = 0
        self.is_cut = False
        self.at_cut: Callable[[], None] | None = None
        self._must_call = must_call
        self._named = ""
        self._calls_before = 0
        self._new_id = new_id
        self._own_ids: set[str] = set()
        self._deltas: list[Delta] = []

    def flush(self) -> list[Delta]:
        """Return what was given out since the last time."""
        deltas, self._deltas = self._deltas, []
        return deltas

    def say(self, text: str) -> None:
        """Give out a text, if there is any."""
        if self.is_cut and self._must_call:
            return
        if text and self._deltas and isinstance(last := self._deltas[-1], TextDelta):
            self._deltas[-1] = TextDelta(last.text + text)
        elif text:
            self._deltas.append(TextDelta(text))

    def think(self, text: str) -> None:
        """Give out reasoning, if there is any."""
        if text:
            self._deltas.append(ReasoningDelta(text))

    def begin(self, name: str, own_id: str = "") -> None:
        """Begin a call. An id of its own that another one has already is not taken."""
        if not own_id or own_id in self._own_ids:
            own_id = self._new_id()
        self._own_ids.add(own_id)
        self._deltas.append(CallDelta(self.calls, own_id, name))
        self.calls += 1
        self._named = ""

    def add_arguments(self, text: str) -> None:
        """Give out a piece of the newest call's arguments, if there is any."""
        if text:
            self._deltas.append(CallDelta(self.calls - 1, arguments=text))

    def call(self, name: str, arguments: str, own_id: str = "") -> None:
        """Give out a whole call, at whose end the reader is."""
        self.at_cut = None
        self.reader.take()
        self.begin(name, own_id)
        self.add_arguments(arguments)

    def known(self, name: str) -> str:
        """Return a name that a tool has.

        Raises:
            BrokenCallError: none has it.
        """
        if name not in self.tools:
            raise BrokenCallError
        self._named = name
        return name

    def expect_calls(self) -> None:
        """Note that what is read from here on is calls."""
        self.at_cut = None
        self._named = ""
        self._calls_before = self.calls

    def take_cut(self) -> bool:
        """Take what is left of a cut text as part of a call; return whether it is that.

        What only stands around calls is given out to nobody.
        """
        is_named = self.at_cut is not None or self._named or self.calls > self._calls_before
        if not self.is_cut or not (is_named or self._must_call):
            return False
        self.reader.advance(len(self.reader.rest))
        if self.at_cut is not None:
            self.at_cut()
        elif self._named:
            self.begin(self._named)
        self.reader.take()
        return True

    def begin_forced(self) -> None:
        """Begin the call that a cut text would have come to, where only one tool may be called."""
        if self.is_cut and self._must_call and not self.calls and len(self.tools) == 1:
            self.begin(*self.tools)

    def read_name(self) -> Reading[str]:
        """Read the longest name that a tool has, and no further than it can be one."""
        name = ""
        while sign := (yield from self.reader.peek()):
            if not any(each.startswith(name + sign) for each in self.tools):
                break
            name += sign
            self.reader.advance(1)
        return self.known(name)

    def read_arguments(self, name: str, own_id: str = "") -> Reading[None]:
        """Read a call's arguments, an object, and give them out as they come.

        The call begins with the first value: until then it may still turn out to be text.
        """
        start = self.reader.position
        reading = read_object(self.reader)
        begun = ended = False
        self.at_cut = partial(self._add_rest, name, own_id, start, self.calls)
        while not ended:
            try:
                ended = next(reading, True) is True
            finally:  # where it breaks off, what was certain before is arguments all the same
                begun = self._add_certain(name, own_id, start, begun=begun)
            if not ended:
                yield
        self.at_cut = None

    def _add_certain(self, name: str, own_id: str, start: int, *, begun: bool) -> bool:
        """Give out those arguments that are certain; return whether the call has begun."""
        if not begun:
            if not self.reader.is_certain(start):
                return False
            self.reader.drop(start)
            self.begin(name, own_id)
        self.add_arguments(self.reader.take_certain())
        return True

    def _add_rest(self, name: str, own_id: str, start: int, calls: int) -> None:
        """Give out those arguments that were read and are not certain."""
        if self.calls == calls:
            self.reader.drop(start)
            self.begin(name, own_id)
        self.add_arguments(self.reader.take())


def as_object(text: str) -> str:
    """Return arguments that were written as a text of their own.

    Raises:
        BrokenCallError: they are no object.
    """
    if not is_object(text):
        raise BrokenCallError
    return text


def dumped(value: object) -> str:
    """Return a value as JSON, with all characters as they are."""
    return json.dumps(value, ensure_ascii=False)
