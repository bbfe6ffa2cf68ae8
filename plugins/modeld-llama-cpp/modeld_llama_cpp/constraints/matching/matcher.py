# SPDX-License-Identifier: GPL-3.0-only
"""Follows one generation token by token and says what may come next."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modeld.errors import InvalidRequestError
from modeld_llama_cpp.constraints.limits import limits
from modeld_llama_cpp.constraints.matching import library
from modeld_llama_cpp.constraints.matching.tokenizer import ConstraintTokenizer

MAX_FORCED = 256
"""At most so many tokens are taken at a time where there is no choice."""

_MAX_SHOWN = 300
_NOTHING_ALLOWED = "NoExtensionBias"

Allowed = NDArray[np.bool_]
"""For each token of a vocabulary whether it is allowed."""


class Matcher:
    """A constraint and where a generation is in it. Only the stepping thread goes on with one."""

    def __init__(self, tokenizer: ConstraintTokenizer, address: library.Address, kind: str) -> None:
        self.kind = kind
        self._tokenizer = tokenizer  # the library calls its `_tokenize` for this matcher too
        self._address = address
        self._library = library.load()
        self._words = np.zeros(-(-tokenizer.vocabulary_size // 32), np.uint32)
        self._forced = (ctypes.c_uint32 * MAX_FORCED)()
        # Only the address is bound, not `self`, or the matcher would never be collected.
        self._free = weakref.finalize(self, self._library.llg_free_matcher, address)
        self._free.atexit = False  # the process gives all back

    @classmethod
    def compile(cls, tokenizer: ConstraintTokenizer, grammar: str, kind: str) -> Matcher:
        """Return a matcher at the beginning of a grammar in llguidance's own form.

        ``kind`` is the request's field that the grammar was made of.

        Raises:
            InvalidRequestError: llguidance does not take the grammar.
        """
        if "\0" in grammar:  # the library would not see what follows
            raise InvalidRequestError(f"the {kind} cannot be used: it has a NUL", field=kind)
        made = library.load().llg_new_matcher(
            ctypes.byref(_init(tokenizer)), b"guidance", grammar.encode()
        )
        matcher = cls(tokenizer, made, kind)
        matcher._check()
        return matcher

    def copy(self) -> Matcher:
        """Return another one that goes on from the same token."""
        copy = self._library.llg_clone_matcher(self._address)
        return Matcher(self._tokenizer, copy, self.kind)

    @property
    def end(self) -> int:
        """Return a token that ends a generation."""
        return min(self._tokenizer.ends)

    @property
    def can_end(self) -> bool:
        """Return whether all is said that must be."""
        return bool(self._library.llg_matcher_is_accepting(self._address))

    @property
    def is_finished(self) -> bool:
        """Return whether nothing but the end can come."""
        return bool(self._library.llg_matcher_is_stopped(self._address))

    def allows(self, token: int) -> bool:
        """Return whether this token may come next.

        One that ends a generation may where all is said.
        """
        if token in self._tokenizer.ends:
            return self.can_end
        return self.count_allowed([token]) == 1

    def count_allowed(self, tokens: Sequence[int]) -> int:
        """Return how many of these tokens may come one after the other."""
        count = len(tokens)
        array = (ctypes.c_uint32 * count)(*tokens)
        found: int = self._library.llg_matcher_validate_tokens(self._address, array, count)
        return max(found, 0)  # below 0 where it has failed, which `accept` tells

    def allowed(self) -> Allowed:
        """Return which tokens may come next; those that end a generation too, where all is said.

        Raises:
            InvalidRequestError: none may, or this would take more than is granted.
        """
        size = self._words.nbytes
        data = self._words.ctypes.data
        if self._library.llg_matcher_compute_mask_into(self._address, data, size):
            self._check()
        # A copy: the next call writes into the words, and the caller changes what it gets.
        bits = np.unpackbits(self._words.view(np.uint8), bitorder="little")
        return bits[: self._tokenizer.vocabulary_size].view(np.bool_)

    def forced(self) -> list[int]:
        """Return the tokens that come next in any case, as the model's tokenizer spells them."""
        count = self._library.llg_matcher_compute_ff_tokens(self._address, self._forced, MAX_FORCED)
        return self._forced[: max(count, 0)]  # a copy, as the next call fills the array anew

    def accept(self, token: int) -> None:
        """Go on with a token. One that ends a generation is not told.

        Raises:
            InvalidRequestError: it is not allowed here, or this would take more than is granted.
        """
        if token in self._tokenizer.ends:
            return
        array = (ctypes.c_uint32 * 1)(token)
        if self._library.llg_matcher_consume_tokens(self._address, array, 1):
            self._check()

    def close(self) -> None:
        """Give its memory back. May be called twice."""
        self._free()

    def _check(self) -> None:
        """Raise what the library says is wrong, without the state and the grammar that follow."""
        error = self._library.llg_matcher_get_error(self._address)
        if error is not None:
            said = error.decode(errors="replace").partition("\n<")[0].strip()
            if said == _NOTHING_ALLOWED:
                said = "no token of the model can go on here"
            raise InvalidRequestError(
                f"the {self.kind} cannot be used: {said[:_MAX_SHOWN]}", field=self.kind
            )


def _init(tokenizer: ConstraintTokenizer) -> library.ConstraintInit:
    init = library.ConstraintInit()
    library.load().llg_constraint_init_set_defaults(ctypes.byref(init), tokenizer.address)
    init.log_stderr_level = 0
    granted = limits()
    for name in library.LIMITS:
        setattr(init, name, getattr(granted, name))
    return init
