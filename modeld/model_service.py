# SPDX-License-Identifier: GPL-3.0-only
"""The seam between the wire and the models."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Sequence

from modeld.errors import ModelNotFoundError, NotSupportedError
from modeld.model_names import ModelNames, said_of_several
from modeld.requests import AnyUnaryRequest, GenerateRequest, KeepAliveSeconds
from modeld.responses import AnyUnaryResponse, Chunk, Placed, TakePiece
from modeld.settings import Settings
from modeld.status import ModelPlan, Readiness, ServiceStatus
from modeld.values import ModelSpec, PluginStatus


class ModelService(ABC):
    """The seam between the wire and the models: all that the HTTP side may use.

    Everything that crosses it is a plain value or a :class:`~modeld.errors.ModeldError`, so that
    the other side may be another process or machine. ``modeld_build_service`` replaces it.
    """

    @abstractmethod
    async def start(self) -> None:
        """Get ready to serve; called before anything else, and a second time without effect."""

    @abstractmethod
    async def drain(self, timeout_s: float) -> None:
        """Refuse new work, let running requests finish for ``timeout_s``, then end the rest."""

    @abstractmethod
    async def aclose(self) -> None:
        """End everything at once and free all memory. May be called twice."""

    @abstractmethod
    def generate(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        """Yield tokens and, last, ``Done`` with the whole text as ``content`` if it is not long.

        Leaving early (closing the generator or cancelling its task) gives everything back.

        Raises:
            ModeldError: at the first chunk if nothing was produced, later if it broke half-way.
        """

    def generate_placed(self, request: GenerateRequest) -> AsyncGenerator[Placed | Chunk, None]:
        """Yield what :meth:`generate` does, and first how the request came to be served.

        A service that cannot tell it yields the chunks alone, as by default.
        """
        return self.generate(request)

    def generate_to(
        self,
        request: GenerateRequest,
        take: TakePiece,  # noqa: ARG002  (for services that are in this process)
    ) -> AsyncGenerator[Placed | Chunk, None]:
        """Generate as :meth:`generate_placed` does; a piece that ``take`` takes is not yielded.

        It is called while whoever iterates waits for the next chunk, and saves waking that task. A
        service that is elsewhere yields all of them, which is what happens by default.
        """
        return self.generate_placed(request)

    @abstractmethod
    async def submit(self, request: AnyUnaryRequest) -> AnyUnaryResponse:
        """Return the response to a unary request; its kind goes with that of the request.

        Raises:
            NotSupportedError: the model's engine does not serve this kind.
            ModeldError: the request cannot be served.
        """

    async def submit_placed(
        self, request: AnyUnaryRequest
    ) -> tuple[Placed | None, AnyUnaryResponse]:
        """Return how the request came to be served, if that is known, and its response."""
        return None, await self.submit(request)

    @abstractmethod
    async def models(self) -> Sequence[ModelSpec]:
        """Return all known models, the unusable ones with their problem."""

    async def known(self, model: str) -> ModelSpec:
        """Return the model of this id, or of any other of its names, as it was found last.

        Raises:
            ModelNotFoundError: there is none of this name, or there are several.
        """
        specs = await self.models()
        found = ModelNames(specs).find(model)
        if len(found) != 1:
            several = said_of_several(found) if found else ""
            raise ModelNotFoundError(f"there is no model {model!r}{several}", field="model")
        return next(spec for spec in specs if spec.id == found[0])

    async def default_model(self) -> str:
        """Return the id of the model for requests that name none; empty where they have to."""
        return ""

    @abstractmethod
    async def refresh(self) -> Sequence[ModelSpec]:
        """Look into all sources again and return what :meth:`models` does."""

    async def reconfigure(self, settings: Settings) -> None:  # noqa: ARG002
        """Go on with other settings; what runs is not lost, and what needs a restart is as before.

        Raises:
            ConfigurationError: they cannot be used; nothing has changed.
            NotSupportedError: this service takes over none, as by default.
        """
        raise NotSupportedError("this service takes its settings at its start only")

    @abstractmethod
    async def load(
        self, model: str, *, keep_alive_s: KeepAliveSeconds | None = None, fit: bool = True
    ) -> None:
        """Bring a model into memory and return when it is ready.

        ``keep_alive_s`` is how long it stays there unused, and ``fit`` whether it may be there with
        less than it is configured for, as in a request.
        """

    @abstractmethod
    async def unload(self, model: str) -> None:
        """Let a model's running requests finish, free its memory, then return."""

    @abstractmethod
    async def pin(self, model: str, *, pinned: bool) -> None:
        """Set whether a model stays in memory when others need its bytes; load nothing."""

    async def plan(self, model: str) -> ModelPlan:  # noqa: ARG002  (for those who override it)
        """Return what a request for a model would bring about if it came now, and change nothing.

        Raises:
            NotSupportedError: this service cannot tell; the default says so.
            ModeldError: there is no such model, or it cannot be used.
        """
        raise NotSupportedError("this service does not plan")

    @abstractmethod
    async def status(self) -> ServiceStatus:
        """Return a snapshot; it never loads anything and never counts as a use."""

    @abstractmethod
    async def ready(self, model: str | None = None) -> Readiness:
        """Return whether requests (for ``model``) can be served now; it never loads anything."""

    @abstractmethod
    async def plugins(self) -> Sequence[PluginStatus]:
        """Return the installed plugins, the broken ones with their reason."""
