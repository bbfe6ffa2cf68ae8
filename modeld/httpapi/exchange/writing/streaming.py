# SPDX-License-Identifier: GPL-3.0-only
"""Sends the chunks of a generation and gives it up when the client leaves or stops reading."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing

from starlette.types import Receive, Send

from modeld.deadline import within
from modeld.errors import (
    ClientTooSlowError,
    InternalError,
    RequestTimeoutError,
)
from modeld.httpapi.exchange.disconnect import ClientLeft, run_guarded, watch_client
from modeld.httpapi.exchange.exchange import Exchange
from modeld.httpapi.exchange.problems import as_error, status_of
from modeld.httpapi.exchange.writing.contained_encoder import (
    ContainedEncoder,
    ContainedStream,
    ContainedWhole,
)
from modeld.httpapi.exchange.writing.gathered import Gathered
from modeld.httpapi.exchange.writing.merging import Merged
from modeld.httpapi.exchange.writing.pieces import PIECE_BYTES, Pieces
from modeld.responses import Chunk, Done, Mark, Piece, Placed

_CHUNKS_PER_TURN = 32
_CHARACTERS_PER_PIECE = 1 << 16
_CHARACTERS_PER_LOGPROBS = 1 << 10
"""What the probabilities of one token count, which take as long to encode."""

_CHECKS_PER_TIMEOUT = 4


class Delivery:
    """One generation on its way to its client.

    The status line is held back until the first bytes are there, so that whatever fails before them
    has its real status. What fails later becomes the encoder's error and the end of the body.
    """

    def __init__(
        self, exchange: Exchange, encoder: ContainedEncoder, send: Send, *, write_timeout_s: float
    ) -> None:
        self._exchange = exchange
        self._encoder = encoder
        self._send = send
        self._write_timeout_s = write_timeout_s
        self._started = False
        self._answered = False
        self._writes = 0  # one up when a write begins and when it ends: odd while one is under way
        self._chunks = 0
        self._last = 0
        direct = exchange.direct_write(send)
        self._pieces = Pieces(encoder, direct) if isinstance(encoder, ContainedStream) else None

    def take(self, piece: Piece) -> bool:
        """Send a piece at once while :meth:`run` waits for it, and return whether that was done.

        It is for a response of one generation, whose pieces come in their order.
        """
        return self._pieces is not None and self._pieces.take(piece)

    async def run(
        self,
        generations: Sequence[AsyncGenerator[Placed | Chunk, None]],
        receive: Receive,
        timeout_s: float | None,
    ) -> None:
        """Send all chunks within ``timeout_s``; the generations are closed when this returns.

        Raises:
            ModeldError: nothing was sent, and this is why.
            ClientLeft: nothing was sent, because nobody is there to read it.
        """
        try:
            await run_guarded(
                self._deliver(generations, timeout_s),
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
            # The server closes a connection whose response was left incomplete.

    async def _deliver(
        self, generations: Sequence[AsyncGenerator[Placed | Chunk, None]], timeout_s: float | None
    ) -> None:
        try:
            ends = await self._pass_on_in_time(generations, timeout_s)
        except Exception as exc:
            encoder = self._encoder
            if self._is_writing or not self._started or not isinstance(encoder, ContainedStream):
                raise  # the send failed, not the work; or there is still time for a real status
            error = as_error(exc, self._exchange.request_id)
            self._exchange.outcome = error.code
            await self._finish(encoder.failure(error, status_of(error)))
        else:
            self._exchange.note_response(_numbers_of(ends, self._chunks))
            await self._finish(await self._encoded(ends))

    async def _pass_on_in_time(
        self, generations: Sequence[AsyncGenerator[Placed | Chunk, None]], timeout_s: float | None
    ) -> list[Done]:
        try:
            # In this order the slots are given back before the client is told of the timeout.
            source = Merged(generations)
            async with within(timeout_s), aclosing(source.chunks):
                return await self._pass_on(source, len(generations))
        except RequestTimeoutError:
            if self._is_writing:  # it cut that write off
                self._writes += 1
            raise

    async def _pass_on(self, source: Merged, count: int) -> list[Done]:
        """Take every chunk and return the ends, so that the last is sent when all is given back."""
        encoder = self._encoder
        if isinstance(encoder, ContainedStream):
            pieces = self._pieces or Pieces(encoder, None)
            ends = await self._stream(encoder, pieces, source, count)
            self._chunks += pieces.taken
        else:
            ends = await self._gather(encoder, source, count)
        if len(ends) < count:
            raise InternalError("the service ended a generation without saying so")
        self._last = next(reversed(ends))
        return [ends[index] for index in range(count)]

    async def _stream(
        self, encoder: ContainedStream, pieces: Pieces, source: Merged, count: int
    ) -> dict[int, Done]:
        """Send every piece as it comes, and all ends but the last."""
        # Local names, for an attribute costs each token more than the rest of the loop.
        send, encoded, write, chunks = self._send, pieces.encoded, pieces.write, source.chunks
        ends: dict[int, Done] = {}
        taken, is_started = 0, False
        async for chunk in chunks:
            taken += 1
            if not isinstance(chunk, Mark):  # one look at the class, for nearly all are pieces
                body = encoded(source.index, chunk)
            elif isinstance(chunk, Placed):
                self._exchange.note_placed(chunk)
                taken -= 1
                continue
            else:
                ends[source.index] = chunk
                is_last = len(ends) == count
                body = b"" if is_last else await self._end(encoder, source.index, chunk)
            if len(body) <= PIECE_BYTES and write(body):  # nearly all
                pass
            elif is_started and 0 < len(body) <= PIECE_BYTES:
                # As `_write` does it, whose coroutine would cost each token as much.
                self._writes += 1
                await send({"type": "http.response.body", "body": body, "more_body": True})
                self._writes += 1
            else:
                await self._write(body)
                is_started = self._started
            if taken % _CHUNKS_PER_TURN == 0:
                await asyncio.sleep(0)  # so that others have a turn where chunks never wait
        self._chunks = taken
        return ends

    async def _gather(self, encoder: ContainedWhole, source: Merged, count: int) -> dict[int, Done]:
        """Keep every piece, and put all of a generation into its end."""
        wholes = [Gathered(index, encoder) for index in range(count)]
        ends: dict[int, Done] = {}
        async for chunk in source.chunks:
            if isinstance(chunk, Placed):
                self._exchange.note_placed(chunk)
                continue
            self._chunks += 1
            if isinstance(chunk, Done):
                ends[source.index] = wholes[source.index].completed(chunk)
            else:
                wholes[source.index].add(chunk)
            if self._chunks % _CHUNKS_PER_TURN == 0:
                await asyncio.sleep(0)
        return ends

    async def _encoded(self, ends: Sequence[Done]) -> bytes:
        """Return what is left to be sent: the last end of a stream, or all in one piece."""
        encoder = self._encoder
        if isinstance(encoder, ContainedStream):
            return await self._end(encoder, self._last, ends[self._last]) + encoder.last()
        if sum(map(_size, ends)) < _CHARACTERS_PER_PIECE:
            return encoder.whole(ends)
        return await asyncio.to_thread(encoder.whole, ends)

    async def _end(self, encoder: ContainedStream, index: int, done: Done) -> bytes:
        """Return an end as bytes, made beside the event loop where it is long."""
        if _size(done) < _CHARACTERS_PER_PIECE:
            return encoder.done(index, done)
        return await asyncio.to_thread(encoder.done, index, done)

    async def _start(self, length: int | None = None) -> None:
        self._started = True
        media_type = self._encoder.media_type
        if media_type.startswith("text/"):
            media_type += "; charset=utf-8"
        headers = [
            (b"content-type", media_type.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        for name, value in self._encoder.headers.items():
            headers.append((name.lower().encode(), value.encode("latin-1")))
        if length is not None:
            headers.append((b"content-length", b"%d" % length))
        await self._send({"type": "http.response.start", "status": 200, "headers": headers})

    async def _finish(self, last: bytes) -> None:
        """Send the end. A client that leaves has its response once all of that is on its way."""
        if not self._started:
            self._writes += 1
            await self._start(len(last))
            self._writes += 1
        before = (len(last) - 1) // PIECE_BYTES * PIECE_BYTES
        if before > 0:
            await self._write(last[:before])
        # Before the send: a client may close on the last byte while the send still waits.
        self._answered = True
        self._writes += 1
        await self._send(
            {"type": "http.response.body", "body": last[max(before, 0) :], "more_body": False}
        )
        self._writes += 1

    async def _write(self, body: bytes) -> None:
        """Send a part of the body in pieces, each of which shows that the client takes them."""
        for start in range(0, len(body), PIECE_BYTES):  # never, where a chunk has no bytes
            piece = body
            if len(body) > PIECE_BYTES:
                piece = body[start : start + PIECE_BYTES]
                await asyncio.sleep(0)  # sends to a fast client never wait, and others have a turn
            self._writes += 1
            if not self._started:
                await self._start()
            await self._send({"type": "http.response.body", "body": piece, "more_body": True})
            self._writes += 1

    @property
    def _is_writing(self) -> bool:
        return self._writes % 2 == 1

    async def _watch_writes(self) -> None:
        """Raise when one write takes too long; look now and then instead of timing each."""
        stuck = 0
        while stuck < _CHECKS_PER_TIMEOUT:
            before = self._writes
            await asyncio.sleep(self._write_timeout_s / _CHECKS_PER_TIMEOUT)
            stuck = stuck + 1 if self._is_writing and self._writes == before else 0
        raise ClientTooSlowError(
            f"the client took nothing of its response for {self._write_timeout_s:g} s"
        )


def _size(done: Done) -> int:
    """Return about how many characters an end has in it."""
    calls = sum(len(call.arguments) for call in done.tool_calls or ())
    texts = len(done.content or "") + len(done.reasoning or "")
    return texts + calls + _CHARACTERS_PER_LOGPROBS * len(done.logprobs)


def _numbers_of(ends: Sequence[Done], chunks: int) -> Mapping[str, object]:
    return {
        "chunks": chunks,
        "finish_reason": ",".join(end.finish_reason.value for end in ends),
        "prompt_tokens": sum(end.usage.prompt_tokens for end in ends),
        "completion_tokens": sum(end.usage.completion_tokens for end in ends),
        "cached_tokens": sum(end.usage.cached_tokens for end in ends),
    }
