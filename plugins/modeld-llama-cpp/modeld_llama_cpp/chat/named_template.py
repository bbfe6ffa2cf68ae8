# SPDX-License-Identifier: GPL-3.0-only
"""Chats by one of llama.cpp's own templates, which are code in the library and have a name."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

import llama_cpp

from modeld.errors import TemplateError
from modeld_llama_cpp.chat.chat_values import Turn

_MARGIN_BYTES = 4096
_MARK = "whatthismessagesays"


def names() -> frozenset[str]:
    """Return the names of the templates that this build of llama.cpp has."""
    count = llama_cpp.llama_chat_builtin_templates((ctypes.c_char_p * 0)(), 0)
    found = (ctypes.c_char_p * count)()
    llama_cpp.llama_chat_builtin_templates(found, count)
    return frozenset(name.decode() for name in found if name)


def render(name: str, turns: Sequence[Turn], *, begin: bool = True) -> str:
    """Return the prompt for a chat, up to where the generation begins.

    Raises:
        TemplateError: the template leaves out one of the messages, or cannot take it.
    """
    chat = [(str(turn["role"]), str(turn["content"])) for turn in turns]
    for index, (role, content) in enumerate(chat):
        if "\0" in role + content:
            raise TemplateError(
                f"messages[{index}] has a NUL character, which llama.cpp's templates cannot take"
            )
    _check_complete(name, [role for role, _ in chat])
    return _apply(name, chat, begin=begin)


def trial(name: str) -> str:
    """Return what a template writes around a chat of the usual turns."""
    turns = ("system", "user", "assistant", "user")
    return _apply(name, [(role, _MARK) for role in turns], begin=True)


def keeps_system(name: str) -> bool:
    """Return whether a template writes what a system turn says."""
    return _MARK in _apply(name, [("system", _MARK), ("user", "?")], begin=True)


def _check_complete(name: str, roles: Sequence[str]) -> None:
    """Refuse messages that llama.cpp would pass over in silence. It does so by their roles."""
    marks = [f"message{index};" for index in range(len(roles))]
    written = _apply(name, list(zip(roles, marks, strict=True)), begin=True)
    for index, mark in enumerate(marks):
        if mark not in written:
            raise TemplateError(
                f"the chat template {name!r} leaves out messages[{index}], which has the role"
                f" {roles[index]!r}"
            )


def _apply(name: str, chat: Sequence[tuple[str, str]], *, begin: bool) -> str:
    pairs = [(_encoded(role), _encoded(content)) for role, content in chat]
    native = llama_cpp.llama_chat_message
    array = (native * len(pairs))(*(native(*pair) for pair in pairs))
    size = 2 * sum(len(role) + len(content) for role, content in pairs) + _MARGIN_BYTES
    while True:
        buffer = ctypes.create_string_buffer(size)
        needed = llama_cpp.llama_chat_apply_template(
            name.encode(), array, len(pairs), begin, buffer, size
        )
        if needed < 0:
            raise TemplateError(f"this build of llama.cpp has no chat template {name!r}")
        if needed <= size:
            return buffer.raw[:needed].decode(errors="surrogatepass")
        size = needed


def _encoded(text: str) -> bytes:
    return text.encode(errors="surrogatepass")  # whoever reads the prompt refuses such halves
