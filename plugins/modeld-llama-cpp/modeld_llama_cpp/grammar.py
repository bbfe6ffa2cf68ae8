# SPDX-License-Identifier: GPL-3.0-only
"""What an answer must conform to, checked in a limited process before llama.cpp sees it."""

from __future__ import annotations

import os
import sys
from collections import OrderedDict
from pathlib import Path

import llama_cpp
import msgspec

from modeld import GenerateRequest
from modeld.errors import InternalError, InvalidRequestError
from modeld_llama_cpp.limited import LimitedProcess

MAX_GRAMMAR_BYTES = 16 << 10
MAX_SCHEMA_BYTES = 64 << 10
TIME_LIMIT_S = 1
CACHE_BYTES = 4 << 20
"""How much of earlier grammars and schemas is remembered, with what has become of them."""

_MAX_REPLY_BYTES = 8 << 20


class GrammarReader:
    """Turns the grammars and JSON schemas of requests into GBNF that llama.cpp can work with.

    The process is started by the first of them and kept. :meth:`read` is called on one thread at a
    time; :meth:`close` may come from another and ends a running :meth:`read`.
    """

    def __init__(self) -> None:
        self._process = LimitedProcess(
            "modeld_llama_cpp.grammar_check",
            {"library": str(_library())},
            limit_s=TIME_LIMIT_S,
            max_reply_bytes=_MAX_REPLY_BYTES,
        )
        self._known: OrderedDict[tuple[str, bytes], str] = OrderedDict()
        self._known_bytes = 0

    def read(self, request: GenerateRequest) -> str | None:
        """The grammar that the answer must conform to, if the request wants one.

        Raises:
            InvalidRequestError: the grammar or schema is faulty, or llama.cpp would have too much
                work with it; the message says where.
        """
        if request.grammar is not None and request.json_schema is not None:
            raise InvalidRequestError(
                "grammar and json_schema cannot be used together", field="grammar"
            )
        if request.grammar is not None:
            return self._checked("grammar", _grammar_bytes(request.grammar))
        if request.json_schema is not None:
            return self._checked("json_schema", _schema_bytes(request.json_schema))
        return None

    def close(self) -> None:
        """End the process. May be called twice."""
        self._process.close()

    def _checked(self, field: str, source: bytes) -> str:
        key = (field, source)
        if key in self._known:
            self._known.move_to_end(key)
            return self._known[key]
        grammar = self._ask(field, source)
        self._known[key] = grammar
        self._known_bytes += len(source) + len(grammar)
        while self._known_bytes > CACHE_BYTES:
            (_, old), dropped = self._known.popitem(last=False)
            self._known_bytes -= len(old) + len(dropped)
        return grammar

    def _ask(self, field: str, source: bytes) -> str:
        try:
            reply = self._process.ask({field: source.decode()})
        except (ConnectionAbortedError, BrokenPipeError) as exc:  # not the request's fault
            raise InternalError(f"the {field} could not be checked: {exc}") from exc
        except OSError as exc:
            raise InvalidRequestError(f"the {field} cannot be used: {exc}", field=field) from exc
        if "grammar" not in reply:
            problem = reply.get("problem") or reply.get("error")
            raise InvalidRequestError(f"the {field} cannot be used: {problem}", field=field)
        return str(reply["grammar"])


def _grammar_bytes(grammar: str) -> bytes:
    try:
        source = grammar.encode()
    except UnicodeEncodeError as exc:
        raise InvalidRequestError(
            f"the grammar has half of a surrogate pair at character {exc.start}", field="grammar"
        ) from exc
    _check_size("grammar", source, MAX_GRAMMAR_BYTES)
    return source


def _schema_bytes(schema: object) -> bytes:
    try:
        source = msgspec.json.encode(schema)
    except (UnicodeEncodeError, RecursionError) as exc:
        raise InvalidRequestError(
            f"the json_schema cannot be written as JSON: {exc}", field="json_schema"
        ) from exc
    _check_size("json_schema", source, MAX_SCHEMA_BYTES)
    return source


def _check_size(field: str, source: bytes, most: int) -> None:
    if len(source) > most:
        raise InvalidRequestError(
            f"the {field} has {len(source)} bytes; at most {most} are allowed", field=field
        )


def _library() -> Path:
    """Where llama_cpp has loaded llama.cpp's library from."""
    given = os.environ.get("LLAMA_CPP_LIB_PATH")
    folder = Path(given) if given else Path(llama_cpp.__file__).parent / "lib"
    names = ("libllama.dylib", "libllama.so") if sys.platform == "darwin" else ("libllama.so",)
    return next((folder / name for name in names if (folder / name).exists()), folder / names[0])
