# SPDX-License-Identifier: GPL-3.0-only
"""Keeps account of one request's answer: its text, its tokens, its end."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from modeld import Done, FinishReason, GenerateRequest, Token, Usage
from modeld.values import TokenLogprobs
from modeld_llama_cpp.logits import Row
from modeld_llama_cpp.logprobs import token_logprobs
from modeld_llama_cpp.runner import Rows
from modeld_llama_cpp.sampler import Sampler
from modeld_llama_cpp.sequence import Sequence
from modeld_llama_cpp.text import TextStream
from modeld_llama_cpp.vocabulary import Vocabulary


class Answer:
    """One running request. The sequence's limit is the prompt and the whole answer."""

    def __init__(
        self,
        sequence: Sequence,
        request: GenerateRequest,
        sampler: Sampler,
        vocabulary: Vocabulary,
    ) -> None:
        self.sequence = sequence
        self.ended = False
        self._sampler = sampler
        self._vocabulary = vocabulary
        self._text = TextStream(request.stop)
        self._top = request.logprobs
        self._logprobs: list[TokenLogprobs] = []
        self._prompt_tokens = len(sequence.tokens)
        sampler.accept_prompt(sequence.tokens)
        self._tokens = 0

    def take(self, rows: Rows, guesses: SequenceOf[int], chunks: list[Token | Done]) -> int:
        """Choose the next token, and one more for each guess that turns out right.

        ``rows`` are the logits after the last token and after each guess. What is certain of the
        text is added to ``chunks``; returns how many guesses were right.

        Raises:
            InvalidRequestError: the request's grammar and bans leave no token.
        """
        right = 0
        while True:
            row = rows[right]
            token = self._sampler.choose(row)
            self._account(token, row, chunks)
            if self.ended or right == len(guesses) or guesses[right] != token:
                return right
            right += 1

    def close(self) -> None:
        """Free the sampler."""
        self._sampler.close()

    @property
    def usage(self) -> Usage:
        """What it has cost so far. The token that ends an answer is counted too."""
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._tokens,
            cached_tokens=self.sequence.cached or 0,
        )

    def _account(self, token: int, row: Row, chunks: list[Token | Done]) -> None:
        self._tokens += 1
        if self._top is not None:
            self._logprobs.append(token_logprobs(row, token, self._top, self._vocabulary.written))
        text, reason = self._read(token)
        if text:
            chunks.append(Token(text=text, logprobs=self._take_logprobs()))
        if reason is None:
            self.sequence.tokens.append(token)
        else:
            self.ended = True
            logprobs = self._take_logprobs()
            chunks.append(Done(finish_reason=reason, usage=self.usage, logprobs=logprobs))

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

    def _take_logprobs(self) -> tuple[TokenLogprobs, ...]:
        if not self._logprobs:
            return ()
        taken = tuple(self._logprobs)
        self._logprobs.clear()
        return taken
