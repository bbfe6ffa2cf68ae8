# SPDX-License-Identifier: GPL-3.0-only
"""The easy base for an engine: its runtime is a plain generator, one request at a time."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Sequence

from msgspec.structs import replace

from modeld.engines import StepEngine
from modeld.errors import ModeldError
from modeld.requests import AnyRequest, GenerateRequest, not_supported
from modeld.responses import (
    AnyUnaryResponse,
    Done,
    Failed,
    FinishReason,
    Piece,
    StepChunk,
    Token,
    TokenLogprobs,
    Usage,
)
from modeld.stop_texts import StopSearch


class SimpleEngine(StepEngine):
    """A :class:`StepEngine` for runtimes that are a plain generator, one request at a time.

    Implement :meth:`open` and :meth:`generate`. The rest is here: also ``max_tokens`` and ``stop``
    of the request, and how the generation ended.
    """

    slots = 1

    prompt_tokens: int = 0
    """How many tokens the prompt of the running request has; :meth:`generate` sets it if it knows.
    """

    _running: _Running | None = None

    @abstractmethod
    def generate(self, request: GenerateRequest) -> Iterator[Piece | Done | str]:
        """Yield the response piece by piece, as text or as tokens.

        Each piece counts as one token, an empty one too. With as many as the request allows, or
        with a stop text, the generation is over, and the generator is closed at its ``yield``. One
        that ends by itself has ended with ``stop``, unless it yields a ``Done`` that says else.
        """

    def submit(self, request_id: int, request: AnyRequest) -> None:
        """Take the one request on; refuse every unary one."""
        if not isinstance(request, GenerateRequest):
            raise not_supported(request)
        if self._running is not None:
            raise RuntimeError("a simple engine serves one request at a time")
        self.prompt_tokens = 0
        self._running = _Running(request_id, request, self.generate(request))

    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        """Take the next piece from the generator and return what of it may be shown."""
        running = self._running
        if running is None:
            return ()
        try:
            chunks = running.advance()
        except ModeldError as exc:
            chunks = [Failed.of(exc)]
        if chunks and isinstance(chunks[-1], Done | Failed):
            self._running = None
        return tuple((running.request_id, self._with_prompt(chunk)) for chunk in chunks)

    def pause(self, request_id: int) -> bool:
        """Take nothing from the generator, and return whether it is this request's.

        It is the only one, so there are no steps meanwhile.
        """
        return self._running is not None and self._running.request_id == request_id

    def cancel(self, request_id: int) -> None:
        """Close the generator, which runs its ``finally`` blocks."""
        running = self._running
        if running is not None and running.request_id == request_id:
            self._running = None
            running.close()

    def close(self) -> None:
        """Do nothing: there is nothing to give back by default."""

    def _with_prompt(self, chunk: StepChunk) -> StepChunk:
        """Return the end with the size of the prompt, unless it says that itself."""
        if not isinstance(chunk, Done) or chunk.usage.prompt_tokens:
            return chunk
        return replace(chunk, usage=replace(chunk.usage, prompt_tokens=self.prompt_tokens))


class _Running:
    """The request that is served: how much there is of it, and what is kept back of its text."""

    def __init__(
        self, request_id: int, request: GenerateRequest, pieces: Iterator[Piece | Done | str]
    ) -> None:
        self.request_id = request_id
        self._pieces = pieces
        self._most = request.max_tokens
        self._stops = StopSearch(request.stop)
        self._count = 0
        self._logprobs: list[TokenLogprobs] = []

    def advance(self) -> list[StepChunk]:
        """Take the next piece and return what may be shown now, and the end if this is it.

        Raises:
            ModeldError: as the generator raised it.
        """
        try:
            piece = next(self._pieces)
        except StopIteration:
            return [*self._shown(self._stops.rest()), self._done(FinishReason.STOP)]
        if isinstance(piece, Done):
            chunks = self._shown(self._stops.rest())
            return [*chunks, replace(piece, logprobs=(*self._logprobs, *piece.logprobs))]
        self._count += 1
        chunks, stop = self._passed(Token(text=piece) if isinstance(piece, str) else piece)
        if stop is not None:
            self.close()
            return [*chunks, self._done(FinishReason.STOP, stop)]
        if self._count == self._most:
            self.close()
            return [*chunks, *self._shown(self._stops.rest()), self._done(FinishReason.LENGTH)]
        return chunks

    def close(self) -> None:
        """Close the generator, if it is one."""
        close = getattr(self._pieces, "close", None)
        if close is not None:
            close()

    def _passed(self, piece: Piece) -> tuple[list[StepChunk], str | None]:
        """Return what may be shown with a piece, and the stop text that has come with it, if any.

        Only texts have stop texts, and none goes on after something else.
        """
        if not isinstance(piece, Token):
            return [*self._shown(self._stops.rest()), piece], None
        self._logprobs += piece.logprobs
        text, stop = self._stops.push(piece.text)
        return self._shown(text), stop

    def _shown(self, text: str) -> list[StepChunk]:
        if not text:
            return []
        token = Token(text=text, logprobs=tuple(self._logprobs))
        self._logprobs = []
        return [token]

    def _done(self, reason: FinishReason, stop_text: str | None = None) -> Done:
        return Done(
            finish_reason=reason,
            usage=Usage(completion_tokens=self._count),
            logprobs=tuple(self._logprobs),
            stop_text=stop_text,
        )
