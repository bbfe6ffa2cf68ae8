# SPDX-License-Identifier: GPL-3.0-only
"""What a model has computed for the next token: one logit for each token of the vocabulary."""

from __future__ import annotations

import ctypes
from typing import TypeAlias

import llama_cpp
import numpy as np
from numpy.typing import NDArray

Row: TypeAlias = NDArray[np.float32]
"""The logits of one position, by token id."""

Ids: TypeAlias = NDArray[np.int64]
"""Token ids in ascending order."""

NO_IDS: Ids = np.empty(0, np.int64)

_BLOCK = 32
"""Maxima of so many logits each show where the highest ones can be."""


class Logits:
    """A window on the memory where llama.cpp leaves the logits of its last batch."""

    def __init__(self, context: int, vocabulary_size: int) -> None:
        self._context = context
        self._vocabulary_size = vocabulary_size
        self._address = 0
        self._rows: NDArray[np.float32] = np.empty((0, vocabulary_size), np.float32)

    def rows(self, count: int) -> NDArray[np.float32]:
        """Return the rows of the last batch's outputs, in their order, at least ``count``.

        They are read-only, and valid until the next batch.
        """
        # llama.cpp may move its memory to make it larger, and the old rows would point nowhere.
        address = ctypes.addressof(llama_cpp.llama_get_logits(self._context).contents)
        if address != self._address or count > len(self._rows):
            memory = (ctypes.c_float * (count * self._vocabulary_size)).from_address(address)
            self._rows = np.ctypeslib.as_array(memory).reshape(count, -1)
            self._rows.flags.writeable = False
            self._address = address
        return self._rows


def highest(row: Row, count: int, also: Ids = NO_IDS) -> Ids | None:
    """Return the ids of the ``count`` highest logits, or of a few more, and those in ``also``.

    None where that would be most of the vocabulary, so that looking for them is not worth it,
    or where there are not so many because of NaN.

    The lowest of the ``count`` highest block maxima is a bound: at least ``count`` logits reach
    it, so none below it is among the ``count`` highest. Only blocks with such a maximum are
    searched. This takes a fifth of the time of numpy's ``argpartition``.
    """
    width = row.size // _BLOCK
    if 2 * count > width:
        return None
    blocks = row[: _BLOCK * width].reshape(_BLOCK, width)  # a column is a block
    maxima = blocks.max(axis=0)
    bound = np.partition(maxima, width - count)[width - count]
    columns = (maxima >= bound).nonzero()[0]
    found = (blocks[:, columns] >= bound).ravel().nonzero()[0]
    offsets, indices = np.divmod(found, columns.size)
    ids: Ids = offsets * width + columns[indices]
    if row.size > blocks.size:
        rest = (row[blocks.size :] >= bound).nonzero()[0]
        ids = np.concatenate((ids, rest + blocks.size))
    if ids.size < count:
        return None
    if also.size:
        ids = np.concatenate((ids, also[row[also] < bound]))
        ids.sort()
    return ids
