# SPDX-License-Identifier: GPL-3.0-only
"""What a plugin implements. Every class here is small on purpose.

A backend author usually writes two classes: a :class:`Backend` that says which models it can load,
and a :class:`StepEngine` (or the simpler :class:`SimpleEngine`) that runs one of them. modeld
starts the engine in a child process of its own and adds queues, cancellation and metrics.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias

from modeld.errors import ModeldError, NotSupportedError, WorkerCrashedError
from modeld.events import Event
from modeld.questions import AnyQuestion, Reply
from modeld.values import (
    Chunk,
    Done,
    Failed,
    Finding,
    FinishReason,
    GenerateRequest,
    JsonValue,
    MemoryEstimate,
    ModelSpec,
    Options,
    PluginStatus,
    Readiness,
    ServiceStatus,
    StepChunk,
    Token,
    Usage,
    Value,
)

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

ReportProgress: TypeAlias = Callable[[float], None]
"""Called during a load with the part that is done, from 0.0 to 1.0. Each call proves life."""


class Engine(ABC):
    """One loaded model, as the event loop sees it.

    Nothing here blocks. An engine that runs in a child process is made by :class:`EngineHost`; a
    backend that talks to another server implements this class itself.
    """

    slots: int
    """How many :meth:`generate` and :meth:`ask` serve at once. The caller never exceeds it."""

    held_bytes: int = 0
    """What the model was measured to hold, in bytes; 0 where it could not be measured."""

    pid: int | None = None
    """The process that runs the model, where there is one."""

    @abstractmethod
    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Yield :class:`~modeld.values.Token` chunks and, last, one :class:`~modeld.values.Done`.

        Closing the generator or cancelling the task that iterates it stops the work in the engine.

        Raises:
            ModeldError: the request cannot be served, or the engine died under it.
        """

    async def ask(self, question: AnyQuestion) -> Reply:
        """Answer a question; the kind of the reply goes with that of the question.

        Cancelling the task that waits stops the work in the engine.

        Raises:
            NotSupportedError: the engine cannot answer this kind. That is the default for all.
            ModeldError: the question cannot be answered, or the engine died under it.
        """
        raise _not_supported(question)

    @abstractmethod
    async def aclose(self) -> None:
        """End the engine; when this returns, its memory is free. May be called twice.

        Requests that still run fail with :class:`~modeld.errors.DrainingError`.
        """

    async def wait_exited(self) -> WorkerCrashedError:
        """Wait until the engine has died, and say how. From then on :meth:`failure` says it too.

        The default waits for ever, for engines that cannot die by themselves.
        """
        never: asyncio.Future[WorkerCrashedError] = asyncio.get_running_loop().create_future()
        return await never

    def failure(self) -> WorkerCrashedError | None:
        """How the engine has died, if it has."""
        return None

    def log_tail(self) -> tuple[str, ...]:
        """The last lines that the runtime has logged, oldest first."""
        return ()


class StepEngine(ABC):
    """A blocking runtime that works on several requests in one step.

    It runs on one thread, in a child process or (embedded) in a thread of its own; only
    :meth:`interrupt` is called from another thread. modeld calls :meth:`submit` and :meth:`cancel`
    between steps, and :meth:`step` for as long as a submitted request has not ended.
    """

    slots: int
    """How many requests and questions may have been taken on and not ended at any time."""

    held_bytes: int = 0
    """What the loaded model holds in memory, in bytes; 0 where that is not known."""

    close_before_exit: ClassVar[bool] = True
    """Whether a worker process must call :meth:`close` before it exits. ``False`` where the end of
    the process gives everything back by itself: the model then leaves memory sooner."""

    @classmethod
    @abstractmethod
    def open(
        cls, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
    ) -> StepEngine:
        """Load the model. ``options`` are the backend's, already checked, as plain data.

        Raises:
            Exception: any exception fails the load; its text is shown to the user.
        """

    @abstractmethod
    def submit(self, request_id: int, request: GenerateRequest) -> None:
        """Take a request on. Its chunks come out of :meth:`step` under ``request_id``.

        Raises:
            ModeldError: the request cannot be served; only this request fails.
        """

    def ask(self, request_id: int, question: AnyQuestion) -> None:
        """Take a question on, as :meth:`submit` does a request. Its reply ends it.

        Raises:
            NotSupportedError: the engine cannot answer this kind. That is the default for all.
            ModeldError: the question cannot be answered; only this one fails.
        """
        del request_id
        raise _not_supported(question)

    @abstractmethod
    def step(self) -> Sequence[tuple[int, StepChunk | Reply]]:
        """Do one piece of work for the running requests and return what it produced.

        A request ends with ``Done`` or ``Failed``, a question with its reply or ``Failed``, and
        nothing follows under its id. An empty result is fine (a part of a prompt was read). One
        step should stay well below a second: between steps requests are taken on and cancelled.
        """

    @abstractmethod
    def cancel(self, request_id: int) -> None:
        """Forget a running request and give back all it held. Unknown ids are ignored."""

    def interrupt(self, request_id: int) -> None:  # noqa: B027  (doing nothing is right by default)
        """Ask a running :meth:`step` to return early, because this request was cancelled.

        Called from another thread. It may only set a flag; :meth:`cancel` follows after the step.
        """

    @abstractmethod
    def close(self) -> None:
        """Give back everything. Called once, last."""


class SimpleEngine(StepEngine):
    """A :class:`StepEngine` for runtimes that are a plain generator, one request at a time.

    Implement :meth:`open` and :meth:`generate`; the rest is here.
    """

    slots = 1
    _running: tuple[int, Iterator[Token | Done | str]] | None = None
    _count: int = 0

    @abstractmethod
    def generate(self, request: GenerateRequest) -> Iterator[Token | Done | str]:
        """Yield the answer piece by piece, as text or as tokens.

        A final ``Done`` may be left out: then the answer ended with ``stop``.
        """

    def submit(self, request_id: int, request: GenerateRequest) -> None:
        """Take the one request on."""
        if self._running is not None:
            raise RuntimeError("a simple engine serves one request at a time")
        self._count = 0
        self._running = (request_id, self.generate(request))

    def step(self) -> Sequence[tuple[int, StepChunk | Reply]]:
        """Take the next piece from the generator."""
        if self._running is None:
            return ()
        request_id, pieces = self._running
        try:
            piece = next(pieces)
        except StopIteration:
            piece = Done(
                finish_reason=FinishReason.STOP, usage=Usage(completion_tokens=self._count)
            )
        except ModeldError as exc:
            self._running = None
            return ((request_id, Failed(code=exc.code, message=exc.message, field=exc.field)),)
        if isinstance(piece, Done):
            self._running = None
            return ((request_id, piece),)
        self._count += 1
        token = Token(text=piece) if isinstance(piece, str) else piece
        return ((request_id, token),) if token.text else ()

    def cancel(self, request_id: int) -> None:
        """Close the generator, which runs its ``finally`` blocks."""
        if self._running is not None and self._running[0] == request_id:
            pieces = self._running[1]
            self._running = None
            close = getattr(pieces, "close", None)
            if close is not None:
                close()

    def close(self) -> None:
        """Nothing to give back by default."""


class EngineHost(Protocol):
    """What modeld offers to a backend during a load."""

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        """Start a step engine away from the event loop and wait until it is loaded.

        ``engine`` names the class as ``package.module:Class``; it is imported in the worker, so
        the backend itself never imports the runtime.

        Raises:
            LoadFailedError: the engine could not be loaded, died or stopped making progress.
        """
        ...

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        """Run a function in a worker and return what it returns, which must be plain data.

        ``function`` is named as ``package.module:function`` and called in the worker with the
        model and the options, these as plain data. The worker is of no further use.

        Raises:
            ModeldError: as the function raised it.
            LoadFailedError: it raised something else, or the worker died or was silent too long.
        """
        ...

    def progress(self, fraction: float) -> None:
        """Report how much of the load is done, from 0.0 to 1.0 (engines do it themselves)."""
        ...


class Backend(ABC):
    """A runtime that can load models of some kind."""

    name: str

    options_type: ClassVar[type[Options]] = Options
    """What can be set per model. modeld checks the settings against it and names what is wrong."""

    warm_imports: ClassVar[tuple[str, ...]] = ()
    """Modules that spare workers import ahead of time, so that a load need not."""

    @abstractmethod
    def can_load(self, spec: ModelSpec) -> bool:
        """Whether this backend can load the model. Reads nothing but ``spec``."""

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:  # noqa: ARG002  (for those who override it)
        """What the model will hold, in bytes. The default counts the file and nothing else.

        Called on the event loop: it computes from ``spec`` and ``options`` and never blocks.
        """
        return MemoryEstimate(weights_bytes=spec.size_bytes)

    async def measure(
        self,
        spec: ModelSpec,  # noqa: ARG002  (for those who override it)
        options: Options,  # noqa: ARG002
        host: EngineHost,  # noqa: ARG002
    ) -> MemoryEstimate | None:
        """What the model will hold, measured without loading it; ``None`` where that cannot be.

        Asked for before the first load, again only after it has failed, and only where the
        estimate leaves open whether the model fits. It may take a second; ``await host.call(...)``
        does the work in a worker.
        """
        return None

    async def examine(
        self,
        spec: ModelSpec | None,  # noqa: ARG002  (for those who override it)
        options: Options,  # noqa: ARG002
        host: EngineHost,  # noqa: ARG002
    ) -> Sequence[Finding]:
        """What the runtime says of its build and of this machine, for ``modeld doctor``.

        With a ``spec`` it may also load that model, to measure how it runs best here; that may take
        a minute. ``options`` are those of the model, or the defaults. Loads nothing otherwise. A
        fact ``gpu_memory_bytes`` tells how much memory the GPUs have that the backend uses.
        """
        return ()

    @abstractmethod
    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Bring the model into memory; most backends return ``await host.start(...)``.

        Cancelling the task that runs this stops the load and frees what it took.
        """


class RegistrySource(ABC):
    """A place where models are found."""

    name: str

    @abstractmethod
    async def list_models(self) -> Sequence[ModelSpec]:
        """All models, the unusable ones with their ``problem``. Called again on every refresh."""


class Candidate(Value, frozen=True, kw_only=True):
    """An idle loaded model that a policy may choose as a victim.

    ``last_used_s`` and ``loaded_s`` are on one monotonic clock; only their order has a meaning.
    """

    model: str
    held_bytes: int
    last_used_s: float
    loaded_s: float
    load_seconds: float


class EvictionPolicy(ABC):
    """Chooses which idle models make room. Pure: no clock, no I/O, no state of its own."""

    name: str

    @abstractmethod
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        """Victims whose sizes add up to ``needed_bytes`` or more; empty where that is impossible.

        Every candidate is idle and may be evicted. Naming anything else is a fault of the policy.
        """


class OutputFormatter(ABC):
    """Writes a stream of chunks as bytes of one media type."""

    name: str
    media_type: str
    streams: bool = True
    """Whether chunks are sent as they come; if not, only the last one is encoded."""

    @abstractmethod
    def encode(self, chunk: Chunk) -> bytes:
        """The bytes for one chunk, framing included.

        A long end may be encoded on another thread, so this must not depend on the event loop.
        """

    @abstractmethod
    def encode_error(self, error: ModeldError, status: int) -> bytes:
        """The bytes that end a stream which failed after it had begun."""


class Observer(ABC):
    """Is told what happens. Called on the event loop: it must return quickly and never block."""

    name: str

    @abstractmethod
    def notify(self, event: Event) -> None:
        """Take note of one event. An exception is logged and hurts nobody."""


@dataclass(frozen=True, slots=True)
class PublicRoute:
    """A route that anybody may ask, without an API key, and that does not start the service.

    It is for pages and files in which there is nothing to protect.
    """

    route: BaseRoute


class ModelService(ABC):
    """The seam between the wire and the models: all that the HTTP side may use.

    Everything that crosses it is a plain value or a :class:`~modeld.errors.ModeldError`, so that
    the other side may be another process or machine. ``modeld_build_service`` replaces it.
    """

    @abstractmethod
    async def start(self) -> None:
        """Get ready to serve. Called before anything else; calling it again does nothing."""

    @abstractmethod
    async def drain(self, timeout_s: float) -> None:
        """Refuse new work, let running requests finish for ``timeout_s``, then end the rest."""

    @abstractmethod
    async def aclose(self) -> None:
        """End everything at once and free all memory. May be called twice."""

    @abstractmethod
    def infer(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Yield tokens and, last, ``Done`` with the whole answer as ``content``.

        Leaving early (closing the generator or cancelling its task) gives everything back.

        Raises:
            ModeldError: at the first chunk if nothing was produced, later if it broke half-way.
        """

    @abstractmethod
    async def ask(self, question: AnyQuestion) -> Reply:
        """Answer a question; the kind of the reply goes with that of the question.

        Raises:
            NotSupportedError: the model's engine cannot answer this kind.
            ModeldError: the question cannot be answered.
        """

    @abstractmethod
    async def models(self) -> Sequence[ModelSpec]:
        """All known models, the unusable ones with their problem."""

    @abstractmethod
    async def refresh(self) -> Sequence[ModelSpec]:
        """Ask all sources again, then answer as :meth:`models`."""

    @abstractmethod
    async def load(self, model: str) -> None:
        """Bring a model into memory and return when it is ready."""

    @abstractmethod
    async def unload(self, model: str) -> None:
        """Let a model's running requests finish, free its memory, then return."""

    @abstractmethod
    async def pin(self, model: str, *, pinned: bool) -> None:
        """Say whether a model stays in memory when others need room. It loads nothing."""

    @abstractmethod
    async def status(self) -> ServiceStatus:
        """A snapshot. Never loads anything and never counts as a use."""

    @abstractmethod
    async def ready(self, model: str | None = None) -> Readiness:
        """Whether requests (for ``model``) can be served now. Never loads anything."""

    @abstractmethod
    async def plugins(self) -> Sequence[PluginStatus]:
        """The installed plugins, the broken ones with their reason."""


def _not_supported(question: AnyQuestion) -> NotSupportedError:
    kind = type(question).__name__.removesuffix("Question")
    return NotSupportedError(f"the model's backend has no answer to {kind} questions")


PluginKind: TypeAlias = Literal[
    "backend", "source", "eviction policy", "formatter", "observer", "route", "middleware"
]
