# SPDX-License-Identifier: GPL-3.0-only
"""One loaded model: as the event loop sees it, and as a blocking runtime implements it."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from typing import ClassVar, TypeAlias

from modeld.errors import WorkerCrashedError
from modeld.requests import AnyRequest, AnyUnaryRequest, GenerateRequest, not_supported
from modeld.responses import AnyUnaryResponse, Chunk, Done, Failed, StepChunk, TakePiece
from modeld.values import ModelSpec

ReportProgress: TypeAlias = Callable[[float], None]
"""Takes the part of a load that is done, from 0.0 to 1.0. Each call proves life."""


class Engine(ABC):
    """One loaded model, as the event loop sees it.

    Nothing here blocks. An engine that runs in a child process is made by :class:`EngineHost`; a
    backend that talks to another server implements this class itself.
    """

    slots: int
    """How many requests it can work on at once. The caller never exceeds it."""

    held_bytes: int = 0
    """What the model was measured to hold, in bytes; 0 where it could not be measured."""

    held_on_gpus: Mapping[str, int] = {}
    """How much of that is in a GPU's own memory, in bytes: ``gpu0`` for the first GPU that the
    process may use, and so on. The rest is in main memory."""

    pid: int | None = None
    """The process that runs the model, where there is one."""

    stall_timeout_s: float | None = None
    """How long nothing may come of an engine of a backend's own while requests run, before it
    counts as hung. ``None`` is for the setting of that name; what waits for another server has its
    own reasons."""

    @abstractmethod
    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Yield ``Token`` chunks and, last, one ``Done``.

        Closing the generator or cancelling the task that iterates it stops the work in the engine.

        Raises:
            ModeldError: the request cannot be served, or the engine died under it.
        """

    def stream(
        self,
        request: GenerateRequest,
        on_end: Callable[[Done | Failed], None],  # noqa: ARG002  (for engines that run elsewhere)
    ) -> AsyncGenerator[Chunk, None]:
        """Generate as :meth:`generate` does, and call ``on_end`` when the work is done.

        An engine that runs elsewhere may be done before its last chunks are taken; then its slot
        is free for the next request. By default the work is done with the last chunk, and
        ``on_end`` is not called.
        """
        return self.generate(request)

    def stream_to(
        self,
        request: GenerateRequest,
        on_end: Callable[[Done | Failed], None],
        take: TakePiece,  # noqa: ARG002  (for engines that can do without a task)
    ) -> AsyncGenerator[Chunk, None]:
        """Generate as :meth:`stream` does; a piece that ``take`` takes is not yielded.

        It is called once for each piece, from the event loop while whoever iterates waits, and
        never between what is yielded and what was yielded before. By default it is not called.
        """
        return self.stream(request, on_end)

    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Return the response to a unary request; its kind goes with that of the request.

        Cancelling the task that waits stops the work in the engine.

        Raises:
            NotSupportedError: the engine does not serve this kind. That is the default for all.
            ModeldError: the request cannot be served, or the engine died under it.
        """
        raise not_supported(request)

    @abstractmethod
    async def aclose(self) -> None:
        """End the engine; when this returns, its memory is free. May be called twice.

        One that takes longer than half a minute is left behind, and its memory counts as free.
        Requests that still run fail with :class:`~modeld.errors.DrainingError`.
        """

    async def wait_exited(self) -> WorkerCrashedError:
        """Wait until the engine has died and return how; then :meth:`failure` returns it too.

        The default waits for ever, for engines that cannot die by themselves.
        """
        never: asyncio.Future[WorkerCrashedError] = asyncio.get_running_loop().create_future()
        return await never

    def failure(self) -> WorkerCrashedError | None:
        """Return how the engine has died, or ``None`` while it lives."""
        return None

    def log_tail(self) -> tuple[str, ...]:
        """Return the last lines that the runtime has logged, oldest first."""
        return ()


class StepEngine(ABC):
    """A blocking runtime that works on several requests in one step.

    It runs on one thread, in a child process or (embedded) in a thread of its own; only
    :meth:`interrupt` is called from another thread. modeld calls :meth:`submit` and :meth:`cancel`
    between steps, and :meth:`step` for as long as a submitted request has not ended and its client
    is not too far behind (:meth:`pause`).
    """

    slots: int
    """How many requests it can work on at once: taken on and not yet ended."""

    held_bytes: int = 0
    """What the loaded model holds in memory, in bytes; 0 where that is not known."""

    held_on_gpus: Mapping[str, int] = {}
    """How much of that is in a GPU's own memory, as :attr:`Engine.held_on_gpus` has it."""

    close_before_exit: ClassVar[bool] = True
    """Whether a worker process must call :meth:`close` before it exits. ``False`` where the end of
    the process gives everything back by itself: the model then leaves memory sooner."""

    @classmethod
    @abstractmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> StepEngine:
        """Load the model and return its engine.

        ``options`` are the backend's, already checked, as plain data.

        Raises:
            Exception: any exception fails the load; its text is shown to the user.
        """

    @abstractmethod
    def submit(self, request_id: int, request: AnyRequest) -> None:
        """Take a request of any kind on; what it gets comes out of :meth:`step` under its id.

        An engine serves the kinds that it can and raises
        :func:`~modeld.requests.not_supported` for all others, also for those of later versions.

        Raises:
            NotSupportedError: the engine does not serve this kind of request.
            ModeldError: the request cannot be served; only this request fails.
        """

    @abstractmethod
    def step(self) -> Sequence[tuple[int, StepChunk | AnyUnaryResponse]]:
        """Do one piece of work for the running requests and return what it produced.

        A generation ends with ``Done`` or ``Failed``, a unary request with its response or
        ``Failed``, and nothing follows under its id. An empty result is fine (a part of a prompt
        was read). One step should stay well below a second: between steps requests are taken on
        and cancelled.
        """

    def pause(self, request_id: int) -> bool:  # noqa: ARG002  (for those who override it)
        """Hold back a running request whose client is far behind, and return whether that is done.

        Called between steps. A paused request keeps what it has, and :meth:`step` does nothing for
        it, until :meth:`resume` or :meth:`cancel`. While all are paused there are no steps.

        Not to override this is right for an engine that is seldom faster than its clients: it goes
        on for a while, then all its requests wait for this one, and if its client takes nothing for
        some seconds, this one is ended.
        """
        return False

    def resume(self, request_id: int) -> None:  # noqa: B027  (what is never paused goes on)
        """Go on with a paused request."""

    @abstractmethod
    def cancel(self, request_id: int) -> None:
        """Forget a running request, paused or not, and give back all it held.

        Unknown ids are ignored.
        """

    def interrupt(self, request_id: int) -> None:  # noqa: B027  (doing nothing is right by default)
        """Let a running :meth:`step` return early, because this request was cancelled.

        Called from another thread. It may only set a flag; :meth:`cancel` follows after the step.
        """

    def open_sessions(self, path: str, most_bytes: int) -> None:  # noqa: B027  (none by default)
        """Keep what ended requests have computed in a file that outlives the engine.

        Called once, after :meth:`open`, where the backend has ``keeps_sessions``. The file is empty
        or has what an earlier engine of this model has saved, which may not fit this one: the
        options or the runtime may be others now, and the disk may have lost a part. The engine
        checks that, and has at most ``most_bytes`` in the file. The first eight bytes are zero for
        as long as it uses it, so that whatever ends it leaves nothing that is trusted.

        Raises:
            Exception: it is logged, and the engine goes on without a file.
        """

    def save_sessions(self) -> None:  # noqa: B027  (none by default)
        """Let the next engine of this model find what is in the file, and return soon.

        Called once, before the engine is closed in good order, with no request running. A first
        byte of the eight that is not zero says that the file is whole. Its time of modification is
        that of the last use of anything in it.

        Raises:
            Exception: it is logged, and what was to be saved is lost.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back everything. Called once, last."""
