# SPDX-License-Identifier: GPL-3.0-only
"""Keeps account of what is generated for one request: its text, its tokens, its end."""

from __future__ import annotations

from collections.abc import Sequence as SequenceOf

from modeld import Done, FinishReason, GenerateRequest, Token, Usage
from modeld.responses import Chunk, TokenLogprobs
from modeld_llama_cpp.engine.runner import Rows
from modeld_llama_cpp.engine.sequence import Sequence
from modeld_llama_cpp.sampling.logits import Row
from modeld_llama_cpp.sampling.logprobs import token_logprobs
from modeld_llama_cpp.sampling.sampler import Sampler
from modeld_llama_cpp.tokens.detokenizer import TextStream
from modeld_llama_cpp.tokens.stops import Stop
from modeld_llama_cpp.tokens.vocabulary import Vocabulary


class Generation:
    """One running request. The sequence's limit is the prompt and the whole generation."""

    def __init__(
        self,
        sequence: Sequence,
        request: GenerateRequest,
        stops: SequenceOf[Stop],
        sampler: Sampler,
        vocabulary: Vocabulary,
    ) -> None:
        self.sequence = sequence
        self.ended = False
        self._sampler = sampler
        self._vocabulary = vocabulary
        self._text = TextStream(stops)
        self._top = request.logprobs
        self._logprobs: list[TokenLogprobs] = []
        self._prompt_tokens = len(sequence.tokens)
        sampler.accept_prompt(sequence.tokens)
        self._tokens = 0

    def begin(self, chunks: list[Chunk]) -> None:
        """Go on with the tokens that the generation begins with in any case.

        Raises:
            InvalidRequestError: to follow the constraint would take more than is granted.
        """
        self._go_on(chunks)

    def take(self, rows: Rows, draft: SequenceOf[int], chunks: list[Chunk]) -> int:
        """Choose the next token, and one more for each draft token that turns out right.

        ``rows`` are the logits after the last token and after each draft token. What is certain of
        the text is added to ``chunks``. Return how many draft tokens were right. Tokens that a
        constraint forces are right where the draft has them, and not yet computed where not.

        Raises:
            InvalidRequestError: the request's constraint and bans leave no token.
        """
        right = 0
        while not self.ended:
            before = len(self.sequence.tokens)
            row = rows[right]
            self._account(self._choose(row), chunks, row)
            self._go_on(chunks)
            for token in self.sequence.tokens[before:]:
                # The rows behind a wrong draft token follow a text that was not written.
                if right == len(draft) or draft[right] != token:
                    return right
                right += 1
        return right

    def close(self) -> None:
        """Free the sampler."""
        self._sampler.close()

    @property
    def usage(self) -> Usage:
        """Return what it has cost so far. The token that ends it is counted too."""
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._tokens,
            cached_tokens=self.sequence.cached or 0,
        )

    def _go_on(self, chunks: list[Chunk]) -> None:
        """Take the tokens that are forced, without a choice.

        Where probabilities are wanted they are chosen one by one, as each needs its logits.
        """
        while not self.ended and self._top is None and (forced := self._forced()):
            for token in forced:
                self._sampler.accept(token)  # `choose` does so itself
                if self._account(token, chunks):
                    return

    def _account(self, token: int, chunks: list[Chunk], row: Row | None = None) -> bool:
        """Add a token to the text, and return whether the generation has ended with it."""
        self._tokens += 1
        if self._top is not None and row is not None:
            self._logprobs.append(token_logprobs(row, token, self._top, self._vocabulary.written))
        reason = self._show(*self._read(token), chunks)
        if reason is None:  # one that ends it is never computed, so the sequence must not have it
            self.sequence.tokens.append(token)
        else:
            self.ended = True
            logprobs = self._take_logprobs()
            chunks.append(
                Done(
                    finish_reason=reason,
                    usage=self.usage,
                    logprobs=logprobs,
                    stop_text=self._text.stop_text,
                )
            )
        return self.ended

    def _choose(self, row: Row) -> int:
        """Choose a token by its logits."""
        return self._sampler.choose(row)

    def _forced(self) -> SequenceOf[int]:
        """Return the tokens that come next without a choice."""
        return self._sampler.forced()

    def _read(self, token: int) -> tuple[str, FinishReason | None]:
        """Return what is certain of the text after a token, and why it has ended with it, if so."""
        piece = self._vocabulary.piece(token)
        text = self._text.push(piece) if piece else self._text.push_special(token)
        return self._read_end(text, ends=piece is None)

    def _read_end(self, text: str, *, ends: bool) -> tuple[str, FinishReason | None]:
        """Return a text, whole where it has ended, and why it has, if so."""
        if ends:
            return text + self._text.flush(), FinishReason.STOP
        if self._text.stopped:
            return text, FinishReason.STOP
        # Before the limit: who has said all that the constraint asks for was not cut off.
        if self._sampler.is_finished:
            return text + self._text.flush(), FinishReason.STOP
        if self._prompt_tokens + self._tokens >= self.sequence.limit:
            return text + self._text.flush(), FinishReason.LENGTH
        return text, None

    def _show(
        self, text: str, reason: FinishReason | None, chunks: list[Chunk]
    ) -> FinishReason | None:
        """Add what is certain of the text, and return why the generation has ended, if it has."""
        if text:
            chunks.append(Token(text=text, logprobs=self._take_logprobs()))
        return reason

    def _take_logprobs(self) -> tuple[TokenLogprobs, ...]:
        if not self._logprobs:
            return ()
        taken = tuple(self._logprobs)
        self._logprobs.clear()
        return taken
