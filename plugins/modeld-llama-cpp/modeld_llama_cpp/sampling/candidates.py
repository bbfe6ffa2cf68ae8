# SPDX-License-Identifier: GPL-3.0-only
"""The tokens that one choice is made from, laid out as llama.cpp's samplers take them."""

from __future__ import annotations

import ctypes
from typing import cast

import llama_cpp
import numpy as np

from modeld_llama_cpp.sampling.logits import Ids, Row

_TOKEN_DATA = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])
assert _TOKEN_DATA.itemsize == ctypes.sizeof(llama_cpp.llama_token_data)


class Candidates:
    """A ``llama_token_data_array``, made once for a model and filled anew for each choice."""

    def __init__(self, vocabulary_size: int) -> None:
        self._tokens = np.zeros(vocabulary_size, _TOKEN_DATA)
        self._ids = self._tokens["id"]
        self._logits = self._tokens["logit"]
        self._probabilities = self._tokens["p"]
        self._data = self._tokens.ctypes.data_as(llama_cpp.llama_token_data_p)
        self._array = llama_cpp.llama_token_data_array(data=self._data)
        self._reference = ctypes.byref(self._array)
        self.count = 0

    def fill(self, row: Row, ids: Ids) -> None:
        """Make these tokens the candidates, with their logits.

        The probabilities that the chain before has left are wiped out, as not every chain computes
        them.
        """
        count = self.count = ids.size
        self._ids[:count] = ids
        self._probabilities[:count] = 0.0
        self._logits[:count] = row if count == row.size else row[ids]

    def run(self, chain: int) -> int | None:
        """Return the token that a chain chooses among the candidates, which are spent then.

        None if its arithmetic has overflowed, where llama.cpp would choose the worst.
        """
        self._apply(chain)
        chosen = self._array.data[self._array.selected]
        if chosen.p != chosen.p:  # only NaN differs from itself
            return None
        return cast(int, chosen.id)

    def _apply(self, sampler: int) -> None:
        array = self._array
        array.data = self._data  # type: ignore[assignment]  # the samplers may move it
        # The chain before has left its own: fewer candidates, its choice, and its order.
        array.size, array.selected, array.sorted = self.count, -1, False
        llama_cpp.llama_sampler_apply(sampler, self._reference)
