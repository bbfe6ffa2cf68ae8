# SPDX-License-Identifier: GPL-3.0-only
"""The matchers for one model's requests: made once for each grammar, and copied for each."""

from __future__ import annotations

from collections import OrderedDict
from concurrent.futures import Future
from typing import TypeAlias

from modeld import GenerateRequest
from modeld.errors import InvalidRequestError
from modeld_llama_cpp.constraints.compiler import KINDS
from modeld_llama_cpp.constraints.matching.cache import ConstraintCache
from modeld_llama_cpp.constraints.matching.matcher import Matcher
from modeld_llama_cpp.constraints.matching.tokenizer import (
    ConstraintTokenizer,
    TokenizerInPreparation,
)
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

MOST_KEPT = 64
MOST_KEPT_CHARACTERS = 256 << 10
"""How many matchers are kept, by the length of their grammars. One takes some 100 kB, and up to a
hundred times as much as its grammar."""

Source: TypeAlias = object
"""What a field says: a schema, a text or a list of texts."""


def constraint_of(request: GenerateRequest) -> tuple[str, Source] | None:
    """Return the kind of a request's constraint and what it says, or None if it has none.

    Raises:
        InvalidRequestError: there are two.
    """
    found = [(kind, said) for kind in KINDS if (said := getattr(request, kind)) is not None]
    if len(found) > 1:
        (kind, _), (other, _) = found[:2]
        raise InvalidRequestError(f"{kind} and {other} cannot be used together", field=kind)
    return found[0] if found else None


class Constraints:
    """Makes the matchers for one model's requests, on one thread at a time.

    The model's vocabulary is laid out on another one from the beginning on. Who comes before that
    is done waits for it.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._preparing = TokenizerInPreparation(vocabulary)
        self._compiled = ConstraintCache()
        self._kept: OrderedDict[tuple[str, str], Matcher] = OrderedDict()

    @property
    def ready(self) -> Future[ConstraintTokenizer]:
        """Return what matchers are made with, once it is there."""
        return self._preparing.made()

    def matcher(self, request: GenerateRequest) -> Matcher | None:
        """Return a matcher for a request's generation, or None if it is free.

        Raises:
            InvalidRequestError: the constraint cannot be used; the message says where.
            InternalError: the vocabulary cannot be used.
        """
        found = constraint_of(request)
        if found is None:
            return None
        return self.matcher_for(*found)

    def matcher_for(self, kind: str, source: Source) -> Matcher:
        """Return a matcher for a constraint of one kind.

        Raises:
            InvalidRequestError: the constraint cannot be used; the message says where.
            InternalError: the vocabulary cannot be used.
        """
        # The kind too: two kinds may come to one grammar, and faults name the field that has it.
        key = kind, self._compiled.compiled(kind, source).text
        if key not in self._kept:
            self._keep(key)
        self._kept.move_to_end(key)
        return self._kept[key].copy()  # what is kept must stay at the grammar's beginning

    def close(self) -> None:
        """Give the matchers back."""
        self._preparing.close()
        for matcher in self._kept.values():
            matcher.close()
        self._kept.clear()

    def _keep(self, key: tuple[str, str]) -> None:
        """Keep one more, the one used last, and at least that."""
        kind, grammar = key
        matcher = Matcher.compile(self.ready.result(), grammar, kind)
        matcher.allowed()  # what would fail at once fails here, and copies have it at hand
        self._kept[key] = matcher
        # The newest stays, however long: the caller is about to copy it.
        while len(self._kept) > 1 and self._is_full():
            _, dropped = self._kept.popitem(last=False)
            dropped.close()

    def _is_full(self) -> bool:
        characters = sum(len(grammar) for _, grammar in self._kept)
        return len(self._kept) > MOST_KEPT or characters > MOST_KEPT_CHARACTERS
