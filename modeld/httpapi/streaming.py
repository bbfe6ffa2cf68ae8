# SPDX-License-Identifier: GPL-3.0-only
"""Sends the chunks of an answer and gives the work up when the client leaves or stops reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing

from msgspec.structs import replace
from starlette.types import Receive, Send

from modeld.errors import ClientTooSlowError, InternalError, RequestTimeoutError
from modeld.httpapi.deadline import within
from modeld.httpapi.exchange import Exchange
from modeld.httpapi.presence import ClientLeft, run_guarded, watch_client
from modeld.httpapi.problems import as_error, status_of
from modeld.interfaces import OutputFormatter
from modeld.values import Chunk, Done, Token, TokenLogprobs

_CHUNKS_PER_TURN = 32
_LOGPROBS_PER_TURN = 64
_CHECKS_PER_TIMEOUT = 4


class Delivery:
    """One answer on its way to its client.

    The status line is held back until the first chunk is there, so that whatever fails before it
    has its real status. What fails later becomes the formatter's error and the end of the body.
    """

    def __init__(
        self, exchange: Exchange, formatter: OutputFormatter, send: Send, *, write_timeout_s: float
    ) -> None:
        self._exchange = exchange
        self._formatter = formatter
        self._send = send
        self._write_timeout_s = write_timeout_s
        self._started = False
        self._answered = False
        self._writes = 0  # one up when a write begins and when it ends: odd while one is under way
        self._chunks = 0

    async def run(
        self, chunks: AsyncGenerator[Chunk, None], receive: Receive, timeout_s: float | None
    ) -> None:
        """Send all of ``chunks`` within ``timeout_s``; they are closed when this returns.

        Raises:
            ModeldError: nothing was sent, and this is why.
            ClientLeft: nothing was sent, because nobody is there to read it.
        """
        try:
            await run_guarded(
                self._deliver(chunks, timeout_s),
                watch_client(receive, lambda: self._answered),
                self._watch_writes(),
            )
        except (ClientLeft, OSError) as exc:  # some servers let a send fail for a client that left
            if isinstance(exc, OSError) and not self._is_writing:
                raise
            self._exchange.outcome = "client_left"
            if not self._started:
                raise ClientLeft from exc
        except ClientTooSlowError as exc:
            self._exchange.outcome = exc.code
            if not self._started:
                raise
            # The server closes a connection whose answer was left incomplete.

    async def _deliver(self, chunks: AsyncGenerator[Chunk, None], timeout_s: float | None) -> None:
        try:
            done = await self._pass_on_in_time(chunks, timeout_s)
        except Exception as exc:
            if self._is_writing or not self._started:
                raise  # the send failed, not the work; or there is still time for a real status
            error = as_error(exc, self._exchange.request_id)
            self._exchange.outcome = error.code
            await self._finish(self._formatter.encode_error(error, status_of(error)))
        else:
            self._exchange.note_answer(_numbers_of(done, self._chunks))
            await self._finish(await self._encoded(done))

    async def _pass_on_in_time(
        self, chunks: AsyncGenerator[Chunk, None], timeout_s: float | None
    ) -> Done:
        try:
            async with within(timeout_s), aclosing(chunks):
                return await self._pass_on(chunks)
        except RequestTimeoutError:
            if self._is_writing:  # it cut that write off
                self._writes += 1
            raise

    async def _pass_on(self, chunks: AsyncGenerator[Chunk, None]) -> Done:
        """Send every token; the end is returned, so that it is sent when all is given back.

        The end of an answer that is not streamed gets the ``logprobs`` of all its tokens.
        """
        send, encode, streams = self._send, self._formatter.encode, self._formatter.streams
        done: Done | None = None
        kept: list[TokenLogprobs] = []
        count = 0
        async for chunk in chunks:
            count += 1
            if not isinstance(chunk, Token):
                done = chunk
            elif streams:
                body = encode(chunk)
                self._writes += 1
                if not self._started:
                    await self._start()
                await send({"type": "http.response.body", "body": body, "more_body": True})
                self._writes += 1
            elif chunk.logprobs:
                kept += chunk.logprobs
            if count % _CHUNKS_PER_TURN == 0:
                await asyncio.sleep(0)  # so that others have a turn where chunks never wait
        self._chunks = count
        if done is None:
            raise InternalError("the service ended an answer without saying so")
        return replace(done, logprobs=(*kept, *done.logprobs)) if kept else done

    async def _encoded(self, done: Done) -> bytes:
        """The end; beside the event loop where it is long."""
        if len(done.logprobs) < _LOGPROBS_PER_TURN:
            return self._formatter.encode(done)
        return await asyncio.to_thread(self._formatter.encode, done)

    async def _start(self, length: int | None = None) -> None:
        self._started = True
        media_type = self._formatter.media_type
        if media_type.startswith("text/"):
            media_type += "; charset=utf-8"
        headers = [
            (b"content-type", media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _finish(self, last: bytes) -> None:
        self._answered = True
        self._writes += 1
        if not self._started:
            await self._start(len(last))
        await self._send({"type": "http.response.body", "body": last, "more_body": False})
        self._writes += 1

    @property
    def _is_writing(self) -> bool:
        return self._writes % 2 == 1

    async def _watch_writes(self) -> None:
        """Give up when one write takes too long; looks now and then instead of timing each."""
        stuck = 0
        while stuck < _CHECKS_PER_TIMEOUT:
            before = self._writes
            await asyncio.sleep(self._write_timeout_s / _CHECKS_PER_TIMEOUT)
            stuck = stuck + 1 if self._is_writing and self._writes == before else 0
        raise ClientTooSlowError(
            f"the client took nothing of its answer for {self._write_timeout_s:g} s"
        )


def _numbers_of(done: Done, chunks: int) -> Mapping[str, object]:
    return {
        "chunks": chunks,
        "finish_reason": done.finish_reason.value,
        "prompt_tokens": done.usage.prompt_tokens,
        "completion_tokens": done.usage.completion_tokens,
        "cached_tokens": done.usage.cached_tokens,
    }
