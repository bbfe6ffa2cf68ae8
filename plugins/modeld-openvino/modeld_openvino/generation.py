# SPDX-License-Identifier: GPL-3.0-only
"""One running request: what OpenVINO has produced of it, as chunks."""

from __future__ import annotations

import codecs
from collections.abc import Iterator, Mapping
from typing import Any

from modeld import Done, Failed, FinishReason, GenerateRequest, StepChunk, Token, Usage
from modeld.errors import InternalError
from modeld.stop_texts import StopSearch
from modeld_openvino.runtime import genai
from modeld_openvino.vocabulary import Vocabulary


class Generation:
    """Reads the tokens of one request from its handle.

    ``stop_tokens`` are the special tokens that a stop text names.
    """

    def __init__(
        self,
        handle: Any,
        request: GenerateRequest,
        prompt_tokens: int,
        vocabulary: Vocabulary,
        stop_tokens: Mapping[int, str],
    ) -> None:
        self.ended = False
        self._handle = handle
        self._vocabulary = vocabulary
        self._stop_tokens = stop_tokens
        self._prompt_tokens = prompt_tokens
        self._tokens = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        self._stops = StopSearch(request.stop)

    def take(self) -> Iterator[StepChunk]:
        """Yield what is new, up to the end if this is it."""
        while not self.ended and self._handle.can_read():
            for output in self._handle.read().values():
                for token in output.generated_ids:
                    yield from self._take(token)
                yield from self._take_end(output)
        if not self.ended and self._handle.get_status() == genai.GenerationStatus.IGNORED:
            self.ended = True
            yield Failed.of(InternalError("OpenVINO has no room in its cache, against the count"))

    def cancel(self) -> None:
        """Let OpenVINO forget the request in its next step."""
        self._handle.cancel()

    def _take(self, token: int) -> Iterator[StepChunk]:
        """Yield the text that is certain with a token, and the end, if a stop text is complete."""
        if self.ended:
            return
        self._tokens += 1
        text, stop = self._stops.push(self._decoder.decode(self._vocabulary.text_bytes(token)))
        if stop is None and token in self._stop_tokens:
            text, stop = text + self._stops.rest(), self._stop_tokens[token]
        if text:
            yield Token(text=text)
        if stop is not None:
            yield self._end(FinishReason.STOP, stop)
            self.cancel()

    def _take_end(self, output: Any) -> Iterator[StepChunk]:
        """Yield the end, if OpenVINO says so. Half a character at the end is no text."""
        if self.ended or output.finish_reason == genai.GenerationFinishReason.NONE:
            return
        if rest := self._stops.rest():
            yield Token(text=rest)
        is_cut = output.finish_reason == genai.GenerationFinishReason.LENGTH
        yield self._end(FinishReason.LENGTH if is_cut else FinishReason.STOP)

    def _end(self, reason: FinishReason, stop_text: str | None = None) -> Done:
        self.ended = True
        usage = Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self._tokens)
        return Done(finish_reason=reason, usage=usage, stop_text=stop_text)
