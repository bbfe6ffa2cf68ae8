# SPDX-License-Identifier: GPL-3.0-only
"""The loop that runs a step engine, the same in a child process and in a thread.

Take the commands that wait, do one step, hand over one report with everything it produced. A
request whose client is behind is held back (:mod:`modeld.hosting.channel.credit`), no other one.
"""

from __future__ import annotations

import contextlib
import queue
import sys
import time
import traceback
from collections.abc import Callable
from typing import Final, TypeAlias

import msgspec

from modeld.errors import ClientTooSlowError, InternalError, InvalidRequestError, ModeldError
from modeld.hosting.channel.credit import GRANT, MOST_UNDER_WAY, PATIENCE_S, Flows, cost
from modeld.hosting.channel.frames import (
    Cancel,
    Cancelled,
    Close,
    Credit,
    FrameError,
    Received,
    Report,
    Sent,
    Stepped,
    Submit,
    Unreadable,
)
from modeld.hosting.channel.vectors import Vectors
from modeld.interfaces import StepEngine
from modeld.plugins.guard import described, shown
from modeld.responses import (
    PIECES,
    AnyUnaryResponse,
    Done,
    EmbedResponse,
    Failed,
    RerankResponse,
    Usage,
)

Send: TypeAlias = Callable[[Report], None]
Inbox: TypeAlias = "queue.SimpleQueue[Received]"

_encoder = msgspec.msgpack.Encoder()
_ends: Final[msgspec.msgpack.Decoder[Done | Failed]] = msgspec.msgpack.Decoder(Done | Failed)
_usage: Final = msgspec.msgpack.Decoder(Usage)

HEARTBEAT_S = 0.25
"""Steps that produce nothing are reported at most this often, and so is waiting for clients."""


class Stepper:
    """Runs one open engine until it is told to close.

    :meth:`run` raises whatever :meth:`StepEngine.step` raises: an engine that fails between its
    requests cannot be trusted with any of them.
    """

    def __init__(
        self, engine: StepEngine, send: Send, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._engine = engine
        self._send = send
        self._clock = clock
        self._flows = Flows()
        self._reported_s = clock()

    def run(self, inbox: Inbox) -> None:
        """Serve until a :class:`Close` arrives."""
        while True:
            for command in self._take(inbox):
                match command:
                    case Submit():
                        self._take_on(command)
                    case Credit(id=request_id, amount=amount):
                        if self._flows.credited(request_id, amount, self._clock()):
                            self._engine.resume(request_id)
                    case Unreadable(id=request_id, why=why, field=field):
                        failed = Failed(code=InvalidRequestError.code, message=why, field=field)
                        self._report(((request_id, failed),))
                    case Cancel(id=request_id):
                        self._cancel(request_id)
                    case Close():
                        return
                    case _:
                        raise RuntimeError(f"{command!r} is not for a loaded engine")
            if self._flows.may_step:
                self._step()
            else:
                self._give_up_hopeless()

    def _take(self, inbox: Inbox) -> list[Received]:
        """Return all waiting commands; with nothing to step, wait for one, with signs of life."""
        commands: list[Received] = []
        if not self._flows.running:
            commands.append(inbox.get())
        elif not self._flows.may_step:
            with contextlib.suppress(queue.Empty):
                commands.append(inbox.get(timeout=HEARTBEAT_S))
            if self._clock() - self._reported_s >= HEARTBEAT_S:  # however often commands come
                self._report(())
        while not inbox.empty():
            commands.append(inbox.get())
        return commands

    def _take_on(self, command: Submit) -> None:
        try:
            self._engine.submit(command.id, command.request)
        except ModeldError as exc:
            failed = Failed.of(exc)
        except BaseException as exc:  # noqa: BLE001  (one request's fault must not end the others)
            traceback.print_exc(file=sys.stderr)
            message = f"the engine refused: {shown(exc)}, raised at {_origin(exc)}"
            failed = Failed(code=InternalError.code, message=message)
        else:
            # Only now: one that was refused would count as running, and steps would never end.
            self._flows.begin(command.id)
            return
        self._report(((command.id, failed),))

    def _cancel(self, request_id: int) -> None:
        self._forget(request_id)
        # Also for one that has ended meanwhile: the server's watchdog waits for this in any case.
        self._send(Cancelled(id=request_id))

    def _forget(self, request_id: int) -> None:
        if request_id in self._flows.running:
            self._flows.end(request_id)
            self._engine.cancel(request_id)

    def _step(self) -> None:
        flows, running = self._flows, self._flows.running
        chunks, now_s = self._engine.step(), self._clock()
        produced: list[tuple[int, Sent]] = []
        responses: list[tuple[int, AnyUnaryResponse]] = []
        full: list[int] = []
        for request_id, chunk in chunks:
            if request_id not in running:
                continue  # cancelled, ended, or never there: nothing may follow the end of an id
            if isinstance(chunk, PIECES):
                produced.append((request_id, chunk))
                if flows.produced(request_id, cost(chunk), now_s):
                    full.append(request_id)
                continue
            flows.end(request_id)
            if isinstance(chunk, Done | Failed):
                produced.append((request_id, _sound(chunk)))
            else:
                responses.append((request_id, chunk))
        for request_id in full:
            # It may have ended later in this step; counted as paused, it would stop all steps.
            if request_id in running and self._engine.pause(request_id):
                flows.pause(request_id)
        if produced or now_s - self._reported_s >= HEARTBEAT_S:  # else the server takes it for hung
            self._report(tuple(produced))
        for request_id, response in responses:
            self._respond(request_id, response)

    def _give_up_hopeless(self) -> None:
        """End the requests whose clients take nothing while all others wait for them."""
        for request_id in self._flows.hopeless(self._clock()):
            message = (
                f"{MOST_UNDER_WAY} characters wait to be taken, less than {GRANT} were taken in"
                f" {PATIENCE_S:g} s, and the model's engine cannot hold back one request"
            )
            self._forget(request_id)
            self._report(((request_id, Failed(code=ClientTooSlowError.code, message=message)),))

    def _respond(self, request_id: int, response: AnyUnaryResponse) -> None:
        """Hand over a response in a report of its own: one may be all that a frame has room for."""
        try:
            if isinstance(response, EmbedResponse | RerankResponse):
                _usage.decode(_encoder.encode(response.usage))
            packed = Vectors.pack(response) if isinstance(response, EmbedResponse) else response
            self._send_now(((request_id, packed),))
        except FrameError as exc:
            message = f"the response cannot be handed over: {exc}; ask for less at once"
            failed = Failed(code=InvalidRequestError.code, message=message)
            self._report(((request_id, failed),))
        except (ValueError, TypeError, OverflowError) as exc:
            traceback.print_exc(file=sys.stderr)
            message = f"the engine's response is wrong: {exc}"
            failed = Failed(code=InternalError.code, message=message)
            self._report(((request_id, failed),))

    def _report(self, chunks: tuple[tuple[int, Sent], ...]) -> None:
        """Hand over what a step has produced; what cannot be fails its own request alone."""
        try:
            self._send_now(chunks)
        except FrameError:
            for request_id, chunk in chunks:
                self._report_alone(request_id, chunk)

    def _report_alone(self, request_id: int, chunk: Sent) -> None:
        try:
            self._send_now(((request_id, chunk),))
        except FrameError as exc:
            message = f"what the engine has produced cannot be handed over: {exc}"
            self._forget(request_id)  # or the engine goes on, and chunks follow the failure
            failed = Failed(code=InternalError.code, message=message)
            self._send_now(((request_id, failed),))

    def _send_now(self, chunks: tuple[tuple[int, Sent], ...]) -> None:
        self._reported_s = self._clock()
        self._send(Stepped(chunks=chunks))


def _sound(end: Done | Failed) -> Done | Failed:
    """Return an end if its members are right, or else the failure of its request.

    A struct takes whatever it is made with. A wrong one would end the worker, and without a process
    between it would be counted.
    """
    try:
        _ends.decode(_encoder.encode(end))
    except Exception as exc:  # noqa: BLE001  (one request's fault must not end the others)
        message = f"the engine has ended the request with what is wrong: {described(exc)}"
        return Failed(code=InternalError.code, message=message)
    return end


def _origin(exc: BaseException) -> str:
    """Return where an exception was raised: the server's log has its message and no traceback."""
    *_, (frame, line) = traceback.walk_tb(exc.__traceback__)
    return f"{frame.f_code.co_filename}:{line}"
