# SPDX-License-Identifier: GPL-3.0-only
"""A grammar that follows an answer token by token and says what may come next."""

from __future__ import annotations

import ctypes

import llama_cpp
import numpy as np

from modeld.errors import InvalidRequestError

_ROOT = b"root"


class Constraint:
    """llama.cpp's grammar sampler. Must be closed.

    Only tokens that it allows may be accepted: on any other llama.cpp ends the whole process.
    """

    def __init__(self, vocab: int, grammar: str) -> None:
        """Parse a grammar in GBNF.

        Raises:
            InvalidRequestError: llama.cpp does not take it.
        """
        self._token = (llama_cpp.llama_token_data * 1)()
        array = llama_cpp.llama_token_data_array(data=self._token, size=1, selected=-1)
        self._array = ctypes.byref(array)
        sampler = llama_cpp.llama_sampler_init_grammar(vocab, _encoded(grammar), _ROOT)
        if not sampler:
            raise InvalidRequestError(
                "grammar: llama.cpp cannot parse it; see its grammars/README.md", field="grammar"
            )
        self.sampler: int = sampler

    def allows(self, token: int) -> bool:
        """Whether this token may come next. An end token may where the grammar is finished."""
        data = self._token[0]
        data.id = token  # type: ignore[assignment]  # ctypes converts it
        data.logit = 0.0
        llama_cpp.llama_sampler_apply(self.sampler, self._array)
        allowed: bool = data.logit != -np.inf
        return allowed

    def accept(self, token: int) -> None:
        """Go on with a token that it allows."""
        llama_cpp.llama_sampler_accept(self.sampler, token)

    def close(self) -> None:
        """Free the grammar."""
        llama_cpp.llama_sampler_free(self.sampler)


def _encoded(grammar: str) -> bytes:
    if not grammar or "\0" in grammar:
        raise InvalidRequestError("grammar: it is empty or has a NUL in it", field="grammar")
    try:
        return grammar.encode()
    except UnicodeEncodeError:
        raise InvalidRequestError(
            "grammar: it has half of a surrogate pair", field="grammar"
        ) from None
