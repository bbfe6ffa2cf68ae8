# SPDX-License-Identifier: GPL-3.0-only
"""A model's vocabulary as llguidance wants it: a tree of all tokens, which takes a while."""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import weakref
from concurrent.futures import Future
from contextlib import suppress

from modeld.errors import InternalError
from modeld_llama_cpp.constraints.matching import library
from modeld_llama_cpp.tokens.token_table import SPECIAL, StoppedError, TokenTable, read_table
from modeld_llama_cpp.tokens.vocabulary import Vocabulary

_MAX_ERROR_BYTES = 1024
_CONTROL_BYTES = range(1, 32)

_NICENESS = 10
"""A tenth of the weight of others: enough to get on, and little enough not to be noticed."""

_LEAST = 19

_DELAY_S = 1.0
"""The request that a model was loaded for comes first: the two would share the interpreter, and a
swap took 15 % longer."""

_SLICE = rb'[^"\\\x00-\x1F\x7F]{1,30}'
"""The tokens that are plain text in JSON have a tree of their own, so that inside a text those that
are allowed are found by a look at the others: in a tenth of a millisecond, where going through
262,144 tokens takes six. Each such tree costs a third of the whole again."""


class ConstraintTokenizer:
    """The tree of a vocabulary's tokens. It lives as long as any matcher that was made with it."""

    def __init__(self, vocabulary: Vocabulary, table: TokenTable) -> None:
        """Lay out the tree, which takes up to a second. The interpreter is free meanwhile.

        Raises:
            InternalError: llguidance does not take the vocabulary.
        """
        self.vocabulary_size = vocabulary.size
        self.ends = frozenset(table.ends)
        self._spelling = _Spelling(vocabulary, table)
        self._tokenize = library.Tokenize(self._spelling.write)  # must live as long as the tree
        self.address = self._new(table)
        free = weakref.finalize(self, library.load().llg_free_tokenizer, self.address)
        free.atexit = False  # the process gives all back

    def _new(self, table: TokenTable) -> library.Address:
        if not table.ends:
            raise InternalError("the model has no token that ends a generation")
        first, *others = table.ends
        # `init` has bare addresses: these must live in variables until the library has returned.
        extra = (ctypes.c_uint32 * len(others))(*others)
        slices = (ctypes.c_char_p * 2)(_SLICE, None)
        init = library.TokenizerInit(
            struct_size=ctypes.sizeof(library.TokenizerInit),
            vocab_size=self.vocabulary_size,
            tok_eos=first,
            token_lens=table.lengths.ctypes.data,
            token_bytes=table.content.ctypes.data,
            tokenize_assumes_string=True,
            slices=ctypes.addressof(slices),
            tok_eos_extra=ctypes.addressof(extra),
            tok_eos_extra_count=len(others),
        )
        if self._spelling.is_exact:
            init.tokenize_fn = ctypes.cast(self._tokenize, ctypes.c_void_p)
        else:
            init.use_approximate_greedy_tokenize_fn = True
        error = ctypes.create_string_buffer(_MAX_ERROR_BYTES)
        made: int | None = library.load().llg_new_tokenizer_v2(
            ctypes.byref(init), error, len(error)
        )
        if not made:
            raise InternalError(f"llguidance cannot use the vocabulary: {_text(error.value)}")
        return made


class TokenizerInPreparation:
    """A :class:`ConstraintTokenizer` that is made on a thread of its own.

    That begins when it is asked for, or :data:`_DELAY_S` after the model was loaded.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        self._stopped = threading.Event()
        self._wanted = threading.Event()
        self._made: Future[ConstraintTokenizer] = Future()
        self._thread = threading.Thread(
            target=self._make, args=[vocabulary], name="modeld-constraints", daemon=True
        )
        self._thread.start()

    def made(self) -> Future[ConstraintTokenizer]:
        """Return what it becomes after a while, or an :class:`InternalError`."""
        self._wanted.set()
        return self._made

    def close(self) -> None:
        """Make it no longer, or wait until it is made."""
        self._stopped.set()
        self._wanted.set()
        self._thread.join()

    def _make(self, vocabulary: Vocabulary) -> None:
        try:  # whatever happens here, somebody waits for the end of it
            _give_way()
            self._wanted.wait(_DELAY_S)
            table = read_table(vocabulary.address, self._stopped.is_set)
            self._made.set_result(ConstraintTokenizer(vocabulary, table))
        except InternalError as exc:
            self._made.set_exception(exc)
        except StoppedError:
            self._made.set_exception(InternalError("the model is being unloaded"))
        except Exception as exc:  # noqa: BLE001  (whoever waits for it must hear of any fault)
            self._made.set_exception(InternalError(f"constraints cannot be used: {exc!r}"))


class _Spelling:
    """How the model's tokenizer spells the text that a constraint leaves no choice about.

    Some vocabularies put a space before any text. Then the text is read behind a character that
    no token has beside others, and that one's tokens are taken away again. Where not even that
    gives the text back, nothing is spelled, and such a text is chosen token by token.
    """

    def __init__(self, vocabulary: Vocabulary, table: TokenTable) -> None:
        self._vocabulary = vocabulary
        self._before = b""
        self._dropped = 0
        self.is_exact = self._is_exact() or any(map(self._try, _separate(table)))

    def tokens(self, text: bytes) -> list[int]:
        """Return the tokens of a text."""
        return self._read(self._before + text)[self._dropped :]

    def write(self, _data: object, text: int, size: int, tokens: object, room: int) -> int:
        """Do as :data:`.library.Tokenize` wants it. Nothing may be raised out of it."""
        try:
            found = self.tokens(ctypes.string_at(text, size))
            for index, token in enumerate(found[:room]):
                tokens[index] = token  # type: ignore[index]  # a pointer
        except Exception:  # noqa: BLE001  (then nothing is spelled)
            return 0
        return len(found)  # of all, also where not all fit: the library comes again with room

    def _try(self, before: bytes) -> bool:
        self._before, self._dropped = before, len(self._read(before))
        return self._is_exact()

    def _is_exact(self) -> bool:
        return all(
            b"".join(map(self._vocabulary.written, self.tokens(text))) == text
            for text in (b"a", b" a", b"{")
        )

    def _read(self, text: bytes) -> list[int]:
        return self._vocabulary.tokenize(text, add_special=False, parse_special=False)


def _give_way() -> None:
    """Leave the processor to threads that compute generations, where a thread can be told so."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        with suppress(OSError):  # rules of a unit or a container may forbid it
            least = min(os.getpriority(os.PRIO_PROCESS, thread) + _NICENESS, _LEAST)
            os.setpriority(os.PRIO_PROCESS, thread, least)


def _separate(table: TokenTable) -> list[bytes]:
    """Return the control characters that are tokens and begin no longer one."""
    starts = table.lengths.cumsum(dtype="int64") - table.lengths
    firsts = table.content[starts[table.lengths > 0]]
    lengths = table.lengths[table.lengths > 0]
    return [
        bytes([byte])
        for byte in _CONTROL_BYTES
        if byte != SPECIAL and (found := lengths[firsts == byte]).size and found.max() == 1
    ]


def _text(message: bytes) -> str:
    return message.decode(errors="replace")
