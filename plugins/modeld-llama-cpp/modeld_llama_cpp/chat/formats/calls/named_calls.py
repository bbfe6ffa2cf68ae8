# SPDX-License-Identifier: GPL-3.0-only
"""Calls whose name stands between marks, and their arguments behind it as JSON."""

from __future__ import annotations

import re
from dataclasses import dataclass

from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.calls.call_form import CallForm, Frame, Json, Part, Pattern
from modeld_llama_cpp.chat.formats.calls.json_calls import read_call, read_list, written_call
from modeld_llama_cpp.chat.formats.calls.tool_arguments import schema_of
from modeld_llama_cpp.chat.formats.output import Output
from modeld_llama_cpp.chat.formats.reader import BrokenCallError, Reading

MISTRAL_ID = re.compile(r"[a-zA-Z0-9]{9}")
_ID_SIGN = re.compile(r"[a-zA-Z0-9]+")
_DIGITS = re.compile(r"\d+")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedMarks:
    """What stands around a call's name and its arguments.

    ``begin`` and ``end`` stand around all calls, and may be empty. ``kind`` may stand before the
    name, and the first line of a ``fence`` before the arguments. Where calls are ``numbered``,
    their number follows the name, and both are the call's id.
    """

    begin: str = ""
    call: str
    kind: str = ""
    after_name: str
    fence: str = ""
    after: str = ""
    end: str = ""
    numbered: bool = False


class NamedCalls(CallForm):
    """Mark, name, mark, arguments, mark; as often as there are calls."""

    def __init__(self, marks: NamedMarks) -> None:
        self._marks = marks
        self.openers = tuple(each for each in (marks.begin, marks.call) if each)
        others = (marks.kind, marks.after_name, marks.after, marks.end)
        self.closers = tuple(each for each in others if each.startswith("<"))

    def read(self, output: Output, opener: str) -> Reading[None]:
        """Read calls whose opener was read just now."""
        reader, marks = output.reader, self._marks
        if opener == marks.begin:
            yield from reader.skip_spaces()
            yield from reader.expect(marks.call)
        while True:
            yield from self._read_call(output)
            if not marks.begin:
                return
            reader.take()
            yield from reader.skip_spaces()
            if (yield from reader.skip(marks.end)) or not (yield from reader.skip(marks.call)):
                return

    def _read_call(self, output: Output) -> Reading[None]:
        reader, marks = output.reader, self._marks
        own_id = ""
        start = reader.position
        if marks.kind:
            yield from reader.skip(marks.kind)
        name = yield from output.read_name()
        if marks.numbered:
            yield from reader.expect(":")
            yield from reader.run(_DIGITS)
            own_id = reader.since(start)
        yield from reader.expect(marks.after_name)
        yield from reader.skip_spaces()
        fenced = bool(marks.fence) and (yield from reader.skip(marks.fence))
        yield from reader.skip_spaces()
        yield from output.read_arguments(name, own_id)
        yield from reader.skip_spaces()
        if fenced:
            yield from reader.skip("```")
            yield from reader.skip_spaces()
        if marks.after:
            yield from reader.skip(marks.after)

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""
        marks = self._marks
        closing = "\n```" if marks.fence else ""
        return Frame(
            before=f"{marks.begin}{marks.call}",
            between=f"{closing}{marks.after}{marks.call}",
            after=f"{closing}{marks.after}{marks.end}",
        )

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool."""
        marks = self._marks
        fence = f"\n{marks.fence}\n" if marks.fence else ""
        name: tuple[Part, ...] = (f"{marks.kind}{tool.name}",)
        if marks.numbered:
            name = (*name, ":", Pattern("[0-9]{1,4}"))
        return *name, f"{marks.after_name}{fence}", Json(schema_of(tool))


class MistralCalls(CallForm):
    """``[TOOL_CALLS]`` and a list of objects, or before each call with its name behind it.

    The templates take no ids but those of nine letters and digits.
    """

    openers = ("[TOOL_CALLS]",)
    closers = ("[ARGS]", "[CALL_ID]")

    def __init__(self, *, named: bool) -> None:
        self._named = named

    def read(self, output: Output, _: str) -> Reading[None]:
        """Read calls whose opener was read just now."""
        reader = output.reader
        yield from reader.skip_spaces()
        if (yield from reader.skip("[")):
            yield from read_list(output, _is_own_id)
            return
        if (yield from reader.peek()) == "{":
            yield from read_call(output, _is_own_id)
            return
        name = yield from output.read_name()
        own_id = ""
        if (yield from reader.skip("[CALL_ID]")):
            own_id = yield from reader.run(_ID_SIGN)
            if not _is_own_id(own_id):
                raise BrokenCallError
        yield from reader.skip("[ARGS]")
        yield from reader.skip_spaces()
        yield from output.read_arguments(name, own_id)

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""
        if self._named:
            return Frame(before="[TOOL_CALLS]", between="[TOOL_CALLS]", after="")
        return Frame(before="[TOOL_CALLS][", between=", ", after="]")

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool."""
        if self._named:
            return f"{tool.name}[ARGS]", Json(schema_of(tool))
        return written_call(tool)


def _is_own_id(text: str) -> bool:
    return bool(MISTRAL_ID.fullmatch(text))


class AddressedCalls(CallForm):
    """Functionary's ``>>>`` with who is meant: all, or a tool with its arguments."""

    openers = (">>>",)
    no_call = "all\n"

    def read(self, output: Output, _: str) -> Reading[None]:
        """Read who is meant, and a call if it is a tool."""
        reader = output.reader
        if (yield from reader.skip("all\n")):
            return
        name = yield from output.read_name()
        yield from reader.expect("\n")
        yield from output.read_arguments(name)

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""
        return Frame(before=">>>", between="\n>>>", after="")

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool."""
        return f"{tool.name}\n", Json(schema_of(tool))
