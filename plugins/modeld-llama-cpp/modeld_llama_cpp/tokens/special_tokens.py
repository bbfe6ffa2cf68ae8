# SPDX-License-Identifier: GPL-3.0-only
"""The special tokens of a vocabulary: what they are called, and what they do to white space."""

from __future__ import annotations

import ctypes
import time
from dataclasses import dataclass

import llama_cpp

from modeld_llama_cpp.chat.hidden_texts import SpecialTexts
from modeld_llama_cpp.tokens.token_table import address

_IN_TEXT = llama_cpp.LLAMA_TOKEN_ATTR_USER_DEFINED
_IF_PARSED = llama_cpp.LLAMA_TOKEN_ATTR_CONTROL | llama_cpp.LLAMA_TOKEN_ATTR_UNKNOWN

_AT_ONCE = 1024
"""After so many tokens, a quarter of a millisecond's work, others have the interpreter."""

_PAUSE_S = 50e-6

# As PYFUNCTYPE, so that the interpreter's lock is not given up and taken again for each token.
_ATTRIBUTES = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int32)


@dataclass(frozen=True, slots=True)
class SpecialToken:
    """One token. It takes the white space before or after it away where it says so."""

    token: int
    text: bytes
    in_text: bool
    strips_before: bool
    strips_after: bool


class SpecialTokens:
    """All special tokens: those that are read in any text, and those only where that is wanted."""

    def __init__(self, found: list[SpecialToken]) -> None:
        self.all = {each.text: each for each in found}
        self.control = {
            each.text.decode(errors="replace"): each for each in found if not each.in_text
        }
        defined = [each.text.decode(errors="replace") for each in found if each.in_text]
        control = {text: each.token for text, each in self.control.items()}
        self.texts = SpecialTexts(control=control, defined=frozenset(defined))

    def stripping(self, *, parse_special: bool) -> dict[bytes, bool]:
        """Return the texts of those that are read, and whether each strips what is before it."""
        return {
            text: each.strips_before
            for text, each in self.all.items()
            if parse_special or each.in_text
        }


def read_special_tokens(vocab: int) -> SpecialTokens:
    """Read the special tokens of a vocabulary. May be called on any thread, and lets others on."""
    found: list[SpecialToken] = []
    attributes_of = _ATTRIBUTES(address(llama_cpp.llama_vocab_get_attr))
    for token in range(llama_cpp.llama_vocab_n_tokens(vocab)):
        if not token % _AT_ONCE:
            time.sleep(_PAUSE_S)
        attributes = attributes_of(vocab, token)
        if not attributes & (_IN_TEXT | _IF_PARSED):
            continue
        if text := llama_cpp.llama_vocab_get_text(vocab, token):
            found.append(
                SpecialToken(
                    token=token,
                    text=text,
                    in_text=bool(attributes & _IN_TEXT),
                    strips_before=bool(attributes & llama_cpp.LLAMA_TOKEN_ATTR_LSTRIP),
                    strips_after=bool(attributes & llama_cpp.LLAMA_TOKEN_ATTR_RSTRIP),
                )
            )
    return SpecialTokens(found)
