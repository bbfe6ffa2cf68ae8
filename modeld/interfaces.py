# SPDX-License-Identifier: GPL-3.0-only
"""What a plugin implements. Every class here is small on purpose.

A backend author usually writes two classes: a :class:`Backend` that says which models it can load,
and a :class:`StepEngine` (or the simpler :class:`SimpleEngine`) that runs one of them. modeld
starts the engine in a child process of its own and adds queues, cancellation and metrics.

The engines are written in :mod:`modeld.engines` and :mod:`modeld.simple_engine`, the service in
:mod:`modeld.model_service`; plugins import them from here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, Protocol, TypeAlias

from modeld.capabilities import PLAIN, Capability
from modeld.engines import Engine, ReportProgress, StepEngine
from modeld.errors import ModeldError
from modeld.events import Event
from modeld.model_service import ModelService
from modeld.requests import BackendSampling
from modeld.responses import Chunk
from modeld.simple_engine import SimpleEngine
from modeld.values import Finding, FitStep, JsonValue, MemoryEstimate, ModelSpec, Options, Value

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

__all__ = [
    "Backend",
    "Candidate",
    "Engine",
    "EngineHost",
    "EvictionPolicy",
    "ModelService",
    "Observer",
    "OutputFormatter",
    "PluginKind",
    "PublicRoute",
    "RegistrySource",
    "ReportProgress",
    "SimpleEngine",
    "StepEngine",
]


class EngineHost(Protocol):
    """What modeld offers to a backend during a load."""

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        """Start a step engine away from the event loop and return it once it is loaded.

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

    sampling_type: ClassVar[type[BackendSampling]] = BackendSampling
    """What a request can set about choosing tokens beyond :class:`~modeld.requests.Sampling`.

    modeld makes fields of requests and options of ``modeld run`` from it, and checks each request
    against it. What a request sets is in ``request.sampling.own``, as plain data.
    """

    unserved_sampling: ClassVar[tuple[str, ...]] = ()
    """Members of :class:`~modeld.requests.Sampling` that this backend does not serve.

    A request that sets one is refused with its name.
    """

    def capabilities(self, spec: ModelSpec, options: Options) -> Collection[Capability]:  # noqa: ARG002
        """Return what the model can be asked for; the default is plain text and plain chats.

        A request that asks for anything else is refused with the name of the field, before the
        model is loaded. Called where :meth:`estimate` is.
        """
        return PLAIN

    def advice(self, missing: Capability, spec: ModelSpec, options: Options) -> str:  # noqa: ARG002
        """Return how the model would get a capability, for who has just been refused it."""
        return ""

    def context(self, spec: ModelSpec, options: Options) -> int | None:  # noqa: ARG002
        """Return the most tokens that one request may have, its prompt and what comes of it.

        ``None`` where that is not known. Called where :meth:`estimate` is.
        """
        return None

    warm_imports: ClassVar[tuple[str, ...]] = ()
    """Modules that warm workers import ahead of time, so that a load need not."""

    worker_variables: ClassVar[tuple[str, ...]] = ()
    """Names of variables of the server's environment that workers get too (``HF_HOME``, say).

    Workers get no others but those that all runtimes need. They are started before it is known
    whose model they will load, so each of them gets what any backend names here.
    """

    gains_by_warm_up: ClassVar[bool] = False
    """Whether the first request after a load takes clearly longer than those that follow it.

    Then a model computes a short prompt once it is loaded, unless a request waits for it or its
    option ``warm_up`` says otherwise.
    """

    keeps_sessions: ClassVar[bool] = False
    """Whether its step engines implement :meth:`StepEngine.open_sessions`."""

    def uses_gpus(self) -> bool:
        """Return whether models are loaded into the memory of GPUs here, as far as they fit.

        Then that is what the budget ``auto`` counts, and not main memory. Called once, at the
        start.
        """
        return False

    @abstractmethod
    def can_load(self, spec: ModelSpec) -> bool:
        """Return whether this backend can load the model, from ``spec`` alone."""

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:  # noqa: ARG002  (for those who override it)
        """Return what the model will hold, in bytes; the default counts the file and nothing else.

        Called on a thread of its own, before the first request for the model: it computes from
        ``spec`` and ``options``, and may look at files that these name.
        """
        return MemoryEstimate(weights_bytes=spec.size_bytes)

    async def measure(
        self,
        spec: ModelSpec,  # noqa: ARG002  (for those who override it)
        options: Options,  # noqa: ARG002
        host: EngineHost,  # noqa: ARG002
    ) -> MemoryEstimate | None:
        """Return what the model will hold, measured without loading it; ``None`` if it cannot be.

        Called before the first load, again only after it has failed, and only where the
        estimate leaves open whether the model fits. It may take a second; ``await host.call(...)``
        does the work in a worker.
        """
        return None

    async def diagnose(
        self,
        spec: ModelSpec | None,  # noqa: ARG002  (for those who override it)
        options: Options,  # noqa: ARG002
        host: EngineHost,  # noqa: ARG002
    ) -> Sequence[Finding]:
        """Return what the runtime says of its build and this machine, for ``modeld doctor``.

        With a ``spec`` it may also load that model, to measure how it runs best here; that may take
        a minute. ``options`` are those of the model, or the defaults. Loads nothing otherwise. A
        fact ``gpu_memory_bytes`` tells how much memory the GPUs have that the backend uses.
        """
        return ()

    def fit_steps(
        self,
        spec: ModelSpec,  # noqa: ARG002  (for those who override it)
        options: Options,  # noqa: ARG002
        fixed: Collection[str],  # noqa: ARG002
        most_bytes: int,  # noqa: ARG002
    ) -> Iterable[FitStep]:
        """Return what the model can do with less of, each on top of those before; nothing here.

        Used where the model needs more than the ``most_bytes`` that the budget can ever be. They
        are tried in their order, by measuring, and the first with which it fits is taken; one
        that fails, or saves nothing, is passed over. Options that are ``fixed`` were set by
        somebody and stay as they are. Called where :meth:`estimate` is.
        """
        return ()

    @abstractmethod
    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Bring the model into memory and return its engine, most often ``await host.start(...)``.

        Cancelling the task that runs this stops the load and frees what it took.
        """


class RegistrySource(ABC):
    """Finds models, in a folder or anywhere else."""

    name: str

    @abstractmethod
    async def list_models(self) -> Sequence[ModelSpec]:
        """Return all models, the unusable ones with their ``problem``; called on every refresh.

        It runs on a thread and an event loop that are made for the call, so it may block.
        """

    def watched_paths(self) -> Collection[str]:
        """Return the folders and files whose changes may change the list; none by default.

        modeld lists the models again about a second after something in one of them has changed; of
        what is in a folder's own folders it takes note only if these are named too. Called on a
        thread of its own, after each list.
        """
        return ()


class Candidate(Value, frozen=True, kw_only=True):
    """A loaded model that a policy may choose as a victim.

    ``held_bytes`` are those that it holds of the ``device`` that is short: ``main`` for main
    memory, ``gpu0`` for the first GPU. Who holds nothing there is no candidate.
    ``last_used_s`` and ``loaded_s`` are on one monotonic clock; only their order has a meaning.
    ``load_seconds`` is how long its load took. ``uses`` counts the requests for it since the server
    knows it, loaded or not; ``rate_per_s`` is how many come in a second, the latest ones counting
    most: one of half an hour ago weighs half as much as one of now.
    """

    model: str
    held_bytes: int
    last_used_s: float
    loaded_s: float
    load_seconds: float
    uses: int = 0
    rate_per_s: float = 0.0
    device: str = "main"


class EvictionPolicy(ABC):
    """Chooses which idle models make room. Pure: no clock, no I/O, no state of its own."""

    name: str

    @abstractmethod
    def choose(self, candidates: Sequence[Candidate], needed_bytes: int) -> Sequence[Candidate]:
        """Return victims whose sizes add up to ``needed_bytes`` or more; none if they cannot.

        Every candidate may be evicted: it is idle, or its term is over and it ends what runs.
        Naming anything else is a fault of the policy.
        """


class OutputFormatter(ABC):
    """Writes a stream of chunks as bytes of one media type."""

    name: str
    media_type: str
    streams: bool = True
    """Whether chunks are sent as they come; if not, only the last one is encoded."""

    @abstractmethod
    def encode(self, chunk: Chunk) -> bytes:
        """Return the bytes for one chunk, framing included.

        A long end may be encoded on another thread, so this must not depend on the event loop.
        """

    @abstractmethod
    def encode_error(self, error: ModeldError, status: int) -> bytes:
        """Return the bytes that end a stream which failed after it had begun."""


class Observer(ABC):
    """Is told what happens. Called on the event loop: it must return quickly and never block."""

    name: str

    @abstractmethod
    def notify(self, event: Event) -> None:
        """Take note of one event; an exception is logged and hurts nobody."""


@dataclass(frozen=True, slots=True)
class PublicRoute:
    """A route that is open to anybody, without an API key, and does not start the service.

    It is for pages and files in which there is nothing to protect.
    """

    route: BaseRoute


PluginKind: TypeAlias = Literal[
    "backend",
    "source",
    "eviction policy",
    "formatter",
    "observer",
    "route",
    "middleware",
    "command",
    "dialect",
]
