# SPDX-License-Identifier: GPL-3.0-only
"""Keeps account of one request's answer: its text, its tokens, its end."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from modeld import Done, FinishReason, Token, Usage
from modeld_llama_cpp.scheduler import Sequence
from modeld_llama_cpp.text import TextStream
from modeld_llama_cpp.vocabulary import Vocabulary


class Answer:
    """One running request. The sequence's limit is the prompt and the whole answer."""

    def __init__(self, sequence: Sequence, stops: SequenceOf[str], vocabulary: Vocabulary) -> None:
        self.sequence = sequence
        self._vocabulary = vocabulary
        self._text = TextStream(stops)
        self._prompt_tokens = len(sequence.tokens)
        self._tokens = 0

    def take(self, token: int) -> tuple[list[Token | Done], bool]:
        """Account for the next token; return what is certain now, and whether that is the end."""
        self._tokens += 1
        text, reason = self._read(token)
        chunks: list[Token | Done] = [Token(text=text)] if text else []
        if reason is None:
            self.sequence.tokens.append(token)
        else:
            chunks.append(Done(finish_reason=reason, usage=self.usage))
        return chunks, reason is not None

    @property
    def usage(self) -> Usage:
        """What it has cost so far. The token that ends an answer is counted too."""
        return Usage(prompt_tokens=self._prompt_tokens, completion_tokens=self._tokens)

    def _read(self, token: int) -> tuple[str, FinishReason | None]:
        piece = self._vocabulary.piece(token)
        if piece is None:
            return self._text.flush(), FinishReason.STOP
        text = self._text.push(piece)
        if self._text.stopped:
            return text, FinishReason.STOP
        if self._prompt_tokens + self._tokens >= self.sequence.limit:
            return text + self._text.flush(), FinishReason.LENGTH
        return text, None
