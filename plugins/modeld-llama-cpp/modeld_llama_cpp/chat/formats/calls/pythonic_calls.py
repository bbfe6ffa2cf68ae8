# SPDX-License-Identifier: GPL-3.0-only
"""Calls as Python writes them, or as code; and Gemma's, which are much alike."""

from __future__ import annotations

import keyword
from typing import TypeAlias

from modeld.messages import Tool
from modeld_llama_cpp.chat.formats.calls.call_form import CallForm, Frame, Json, Optional, Part, Raw
from modeld_llama_cpp.chat.formats.calls.json_calls import JsonCalls, read_call, written_call
from modeld_llama_cpp.chat.formats.calls.literals import (
    GEMMA_QUOTE,
    arguments_at_cut,
    read_keywords,
    read_mapping,
)
from modeld_llama_cpp.chat.formats.calls.tool_arguments import (
    Schema,
    is_any_text,
    schema_of,
    single_values,
)
from modeld_llama_cpp.chat.formats.json_text import at_end
from modeld_llama_cpp.chat.formats.output import Output, dumped
from modeld_llama_cpp.chat.formats.reader import BrokenCallError, Reading

CODE_TOOLS = ("python", "ipython", "code_interpreter")
"""Tools whose only argument is written as it is, by models that were trained to run code."""

_NUMBERS = frozenset({"integer", "number", "boolean"})


class PythonicCalls(CallForm):
    """``[f(a=1), g()]`` between marks. A list of objects is read as well."""

    def __init__(self, opener: str, closer: str) -> None:
        self.openers, self.closers = (opener,), (closer,)
        self._opener, self._closer = opener, closer

    def read(self, output: Output, _: str) -> Reading[None]:
        """Read calls whose opener was read just now."""
        reader, closed = output.reader, False
        yield from reader.skip_spaces()
        yield from reader.expect("[")
        yield from reader.skip_spaces()
        while not closed:
            is_object = (yield from reader.peek()) == "{"
            yield from (read_call if is_object else read_python_call)(output)
            closed = yield from at_end(reader, "]")
        yield from reader.skip_spaces()
        yield from reader.skip(self._closer)

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""
        return Frame(before=f"{self._opener}[", between=", ", after=f"]{self._closer}")

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool.

        Where Python's form cannot say whatever the schema does, it is an object.
        """
        values = single_values(tool)
        if values is None or not all(map(_is_keyword_name, values)):
            return written_call(tool)
        written: dict[str, _Written] = {
            name: ((f"{name}=", Json(schema)), is_required)
            for name, (schema, is_required) in values.items()
        }
        inner = _separated(written, ", ")
        return written_call(tool) if inner is None else (f"{tool.name}(", *inner, ")")


def read_python_call(output: Output) -> Reading[None]:
    """Read ``f(a=1)``."""
    name = yield from output.read_name()
    yield from output.reader.expect("(")
    arguments = yield from read_keywords(output, name)
    output.call(name, arguments)


class CodeBlockCalls(CallForm):
    """Gemma 3's block of code, which has calls in it and nothing else."""

    openers = ("```tool_code",)
    closers = ("```",)

    def __init__(self, json: JsonCalls) -> None:
        self._json = json

    def read(self, output: Output, _: str) -> Reading[None]:
        """Read calls whose opener was read just now."""
        reader = output.reader
        yield from reader.skip_spaces()
        while True:
            shown = yield from reader.skip("print(")
            yield from read_python_call(output)
            if shown:
                yield from reader.expect(")")
                reader.take()
            yield from reader.skip_spaces()
            if (yield from reader.skip("```")) or not (yield from reader.peek()):
                return

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls: Gemma 3's other form, which is JSON."""
        return self._json.frame

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool."""
        return self._json.written(tool)


class PythonTagCalls(CallForm):
    """Llama's ``<|python_tag|>`` and JSON, ``f.call(a=1)``, or code for the tool that runs it."""

    openers = ("<|python_tag|>",)

    def __init__(self, json: JsonCalls) -> None:
        self._json = json

    def read(self, output: Output, opener: str) -> Reading[None]:
        """Read calls whose opener was read just now."""
        reader = output.reader
        start = reader.position
        yield from reader.skip_spaces()
        if (yield from reader.peek()) == "{":
            yield from self._json.read(output, opener)
            return
        try:
            name = yield from output.read_name()
            yield from reader.expect(".call(")
            output.call(name, (yield from read_keywords(output, name)))
        except BrokenCallError:
            tool = next((each for each in CODE_TOOLS if each in output.tools), None)
            if tool is None or (output.is_cut and output.at_cut is not None):
                raise
            output.at_cut = None
            reader.rewind(start)
            yield from self._read_code(output, output.tools[tool])

    @staticmethod
    def _read_code(output: Output, tool: Tool) -> Reading[None]:
        reader = output.reader
        start = reader.position
        reader.advance(len(reader.rest))
        while (yield from reader.peek()):
            reader.advance(len(reader.rest))
        names = list(schema_of(tool).get("properties", {}))
        name = names[0] if len(names) == 1 else "code"
        code = reader.since(start)
        if not code.strip():
            raise BrokenCallError
        output.call(tool.name, f"{{{dumped(name)}: {dumped(code)}}}")

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""
        return self._json.frame

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool."""
        return self._json.written(tool)


class GemmaCalls(CallForm):
    """Gemma 4's ``call:f{a:1,b:<|"|>text<|"|>}``, whose keys have no quotes."""

    openers = ("<|tool_call>",)
    closers = ("<tool_call|>", GEMMA_QUOTE)

    def read(self, output: Output, _: str) -> Reading[None]:
        """Read a call whose opener was read just now."""
        reader = output.reader
        yield from reader.skip_spaces()
        yield from reader.expect("call:")
        name = yield from output.read_name()
        yield from reader.skip_spaces()
        yield from reader.expect("{")
        arguments = yield from read_mapping(reader, found=arguments_at_cut(output, name))
        output.call(name, arguments)
        yield from reader.skip_spaces()
        yield from reader.skip("<tool_call|>")

    @property
    def frame(self) -> Frame:
        """Return what a grammar has written around calls."""
        return Frame(
            before="<|tool_call>", between="<tool_call|><|tool_call>", after="<tool_call|>"
        )

    def written(self, tool: Tool) -> tuple[Part, ...]:
        """Return what a grammar has written for a call of a tool.

        Only texts and numbers side by side are written as Gemma does, and all else as JSON.
        """
        values = single_values(tool) or {}
        written = {name: _gemma(name, *each) for name, each in values.items()}
        inner = _separated({k: v for k, v in written.items() if v is not None}, ",")
        if None in written.values() or inner is None or (not values and tool.parameters):
            return f"call:{tool.name}", Json(schema_of(tool))
        return f"call:{tool.name}{{", *inner, "}"


_Written: TypeAlias = tuple[tuple[Part, ...], bool]
"""How an argument is written, and whether it is required."""


def _gemma(name: str, schema: Schema, is_required: bool) -> _Written | None:  # noqa: FBT001  (a row of a table)
    """Return an argument as Gemma writes it, if it is a text or a number."""
    if name.isidentifier() and is_any_text(schema):
        return (f"{name}:{GEMMA_QUOTE}", Raw(GEMMA_QUOTE)), is_required
    if name.isidentifier() and str(schema.get("type")) in _NUMBERS:
        return (f"{name}:", Json(schema)), is_required
    return None


def _is_keyword_name(name: str) -> bool:
    return name.isidentifier() and not keyword.iskeyword(name)


def _separated(written: dict[str, _Written], comma: str) -> list[Part] | None:
    """Return arguments with commas between them, the required ones first.

    Where none is required, it would take a rule for each that may be the first.
    """
    required = [parts for parts, is_required in written.values() if is_required]
    optional = [parts for parts, is_required in written.values() if not is_required]
    if optional and not required:
        return None
    found: list[Part] = []
    for index, parts in enumerate(required):
        found += [comma, *parts] if index else parts
    return [*found, *(Optional((comma, *parts)) for parts in optional)]
