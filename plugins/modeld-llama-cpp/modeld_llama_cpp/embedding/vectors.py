# SPDX-License-Identifier: GPL-3.0-only
"""Puts the response to a request together from the vectors of its inputs. Knows no llama.cpp."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from modeld import Usage
from modeld.errors import InternalError
from modeld.requests import EmbedRequest, RerankRequest
from modeld.responses import EmbedResponse, RerankResponse
from modeld_llama_cpp.embedding.packer import Part

Vector: TypeAlias = NDArray[np.float32]
VectorRequest: TypeAlias = EmbedRequest | RerankRequest


class Vectors:
    """The vectors of one request as they come, one for each part of an input.

    The parts of an input that was cut become one vector: with ``averages`` their mean, each part
    counting for its tokens; with ``first`` that of the first part, which has the input's first
    token; else that of the last one.
    """

    def __init__(
        self,
        request: VectorRequest,
        inputs: Sequence[Sequence[int]],
        width: int,
        *,
        averages: bool = False,
        first: bool = False,
    ) -> None:
        self._request = request
        self._rows = np.zeros((len(inputs), width))
        self._missing = len(inputs)
        self._averages = averages
        self._first = first
        self.usage = Usage(prompt_tokens=sum(map(len, inputs)))

    def take(self, part: Part, vector: Vector) -> bool:
        """Take the vector of a part and return whether it was the last one missing."""
        index, size = part.input.index, len(part.input.tokens)
        if self._averages:
            self._rows[index] += vector * ((part.stop - part.start) / size)
        elif part.start == 0 or not self._first:
            self._rows[index] = vector
        self._missing -= part.completes
        return self._missing == 0

    def response(self) -> EmbedResponse | RerankResponse:
        """Return the response to the request.

        Raises:
            InternalError: the model computed something that is no number.
        """
        request, rows = self._request, self._rows
        broken = np.flatnonzero(~np.isfinite(rows).all(axis=1))
        if broken.size:
            name = "input" if isinstance(request, EmbedRequest) else "documents"
            raise InternalError(f"the model made NaN or infinity of {name}[{broken[0]}]")
        if isinstance(request, RerankRequest):
            return RerankResponse(scores=tuple(rows[:, 0].tolist()), usage=self.usage)
        if request.normalize:
            rows = normalized(rows)
        return EmbedResponse(vectors=tuple(map(tuple, rows.tolist())), usage=self.usage)


def normalized(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the rows scaled to length 1; one of zeros stays as it is."""
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows = rows / np.where(largest > 0, largest, 1)  # so that no square is too small or too large
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.where(lengths > 0, lengths, 1))
