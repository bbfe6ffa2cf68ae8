# SPDX-License-Identifier: GPL-3.0-only
"""Makes a grammar for llguidance from what a generation must conform to.

All of this is done on a thread beside the steps. Rust cannot be interrupted, so that time and
memory are bounded by what a source may have at all.
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import llguidance
import msgspec

from modeld.constraints import MAX_CHOICE_BYTES, MAX_GRAMMAR_BYTES, MAX_SCHEMA_BYTES
from modeld.errors import InvalidRequestError
from modeld_llama_cpp.chat.formats.chat_format import TOOLS_KIND
from modeld_llama_cpp.constraints.grammars.gbnf import read_gbnf
from modeld_llama_cpp.constraints.grammars.lark_check import check_lark
from modeld_llama_cpp.constraints.grammars.lark_writer import write_lark
from modeld_llama_cpp.constraints.grammars.pattern import read_regex
from modeld_llama_cpp.constraints.json_schema.grammar import schema_grammar
from modeld_llama_cpp.constraints.limits import checked
from modeld_llama_cpp.constraints.problem import ConstraintError

KINDS = ("json_schema", "grammar", "regex", "lark", "choice")


@dataclass(frozen=True, slots=True, kw_only=True)
class CompiledGrammar:
    """A grammar in llguidance's own form, which it has looked through once."""

    text: str

    @property
    def size_bytes(self) -> int:
        """Return how much memory the text takes."""
        return len(self.text)


def compile_constraint(kind: str, source: object) -> CompiledGrammar:
    """Return the grammar for a source of one of :data:`KINDS`, or for calls of ``tools``.

    A ``json_schema`` is a schema, a ``choice`` is a list of texts; the others are texts.

    Raises:
        InvalidRequestError: the source is faulty, or more than can be kept to; the message says
            where.
    """
    try:
        return CompiledGrammar(text=_COMPILERS[kind](source))
    except ConstraintError as exc:
        raise InvalidRequestError(f"the {kind} cannot be used: {exc}", field=kind) from exc
    except RecursionError as exc:
        raise InvalidRequestError(f"the {kind} cannot be used: too deep", field=kind) from exc


def _schema(source: object) -> str:
    try:
        size_bytes = len(msgspec.json.encode(source))
    except UnicodeEncodeError:  # it has half of a surrogate pair; where is found out below
        size_bytes = len(json.dumps(source))
    _check_size(size_bytes, MAX_SCHEMA_BYTES)
    return schema_grammar(source)


def _grammar(source: object) -> str:
    text = _text(source, MAX_GRAMMAR_BYTES)
    return checked(llguidance.LLMatcher.grammar_from_lark(write_lark(read_gbnf(text))))


def _regex(source: object) -> str:
    text = _text(source, MAX_GRAMMAR_BYTES)
    return checked(llguidance.LLMatcher.grammar_from_regex(read_regex(text)))


def _lark(source: object) -> str:
    text = _text(source, MAX_GRAMMAR_BYTES)
    check_lark(text)
    return checked(llguidance.LLMatcher.grammar_from_lark(text))


def _tools(source: object) -> str:
    """Return the grammar for calls of tools, which :mod:`modeld_llama_cpp.chat.formats` wrote.

    It is no kind of a request's own: it has schemas and special tokens in it, unlike those.
    """
    assert isinstance(source, str)
    return checked(llguidance.LLMatcher.grammar_from_lark(source))


def _choice(source: object) -> str:
    if not isinstance(source, list | tuple) or not source:
        raise ConstraintError("$: must be a list of texts that is not empty")
    for number, each in enumerate(source):
        if not isinstance(each, str) or not each:
            raise ConstraintError(f"$[{number}]: must be a text that is not empty")
        if any("\ud800" <= char <= "\udfff" for char in each):
            raise ConstraintError(f"$[{number}]: it has half of a surrogate pair")
    _check_size(sum(len(each.encode()) for each in source), MAX_CHOICE_BYTES)
    texts = " | ".join(map(_quoted, dict.fromkeys(source)))
    return checked(llguidance.LLMatcher.grammar_from_lark(f"start: CHOICE\nCHOICE: {texts}"))


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def _text(source: object, max_bytes: int) -> str:
    if not isinstance(source, str) or not source.strip():
        raise ConstraintError("it is empty")
    try:
        _check_size(len(source.encode()), max_bytes)
    except UnicodeEncodeError as exc:
        raise ConstraintError(f"half of a surrogate pair at character {exc.start}") from exc
    return source


def _check_size(size_bytes: int, max_bytes: int) -> None:
    if size_bytes > max_bytes:
        raise ConstraintError(f"it has {size_bytes} bytes; at most {max_bytes} are allowed")


_COMPILERS = {
    "json_schema": _schema,
    "grammar": _grammar,
    "regex": _regex,
    "lark": _lark,
    "choice": _choice,
    TOOLS_KIND: _tools,
}
