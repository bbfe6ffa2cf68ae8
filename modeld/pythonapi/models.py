# SPDX-License-Identifier: GPL-3.0-only
"""The models of a service for a program: one method for each kind of request."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from types import TracebackType
from typing import Self, TypeVar, Unpack

from modeld.deadline import within
from modeld.errors import InternalError, ModeldError
from modeld.generation import Generation, gathered
from modeld.interfaces import ModelService
from modeld.pythonapi.keywords import Keywords, listed, plain_messages, unary
from modeld.pythonapi.options import (
    AnyMessage,
    ChatOptions,
    EmbedOptions,
    GenerateOptions,
    Keep,
    RequestOptions,
    TemplateOptions,
    TokenizeOptions,
)
from modeld.requests import (
    AnyRequest,
    AnyUnaryRequest,
    ApplyTemplateRequest,
    DetokenizeRequest,
    EmbedRequest,
    GenerateRequest,
    RerankRequest,
    TokenizeRequest,
)
from modeld.responses import (
    AnyUnaryResponse,
    Chunk,
    EmbedResponse,
    RerankResponse,
    TextResponse,
    TokenizeResponse,
)
from modeld.sampling import SamplingParameter
from modeld.status import ModelPlan, ServiceStatus
from modeld.values import ModelSpec

R = TypeVar("R", bound=AnyUnaryResponse)


class Models:
    """All models of one service. ``async with`` starts it and, at the end, closes it.

    Without that it starts at the first verb, and :meth:`aclose` ends it. It belongs to the event
    loop that it was started on, installs no signal handlers and configures no logging.

    ``model`` is everywhere an id that :meth:`list` has; empty means the default model. Requests
    are checked, queued and kept within the budget as those that come over HTTP, and what goes wrong
    is a :class:`~modeld.errors.ModeldError`.
    """

    def __init__(
        self,
        service: ModelService,
        sampling: Iterable[SamplingParameter] = (),
        *,
        start: Callable[[], Awaitable[None]],
        close: Callable[[], Awaitable[None]],
    ) -> None:
        self._service = service
        self._keywords = Keywords(sampling)
        self._start = start
        self._close = close

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._close()

    async def start(self) -> None:
        """Find the models and get ready; a second time it does nothing.

        Raises:
            ConfigurationError: the settings are wrong for a model that was found.
            StartError: another process has the memory budget of this machine.
        """
        await self._start()

    async def aclose(self) -> None:
        """End everything and free all memory. May be called twice; there is no start after it."""
        await self._close()

    def stream_generate(
        self, model: str, prompt: str | Sequence[int], **options: Unpack[GenerateOptions]
    ) -> AsyncGenerator[Chunk, None]:
        """Yield how the model goes on with a prompt, or with its tokens, piece by piece.

        The last chunk is a :class:`~modeld.responses.Done`. Leaving the ``async for`` early frees
        the slot; where the generator is kept in a variable, close it with ``aclose()``.

        Raises:
            InvalidRequestError: at once, if a keyword or a value is wrong.
            ModeldError: at the first chunk if nothing was produced, later if it broke half-way.
        """
        return self._stream(self._keywords.prompt(model, prompt, options))

    async def generate(
        self, model: str, prompt: str | Sequence[int], **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Return how the model goes on with a prompt, or with its tokens."""
        return await self._whole(self._keywords.prompt(model, prompt, options))

    def stream_chat(
        self, model: str, messages: Sequence[AnyMessage], **options: Unpack[ChatOptions]
    ) -> AsyncGenerator[Chunk, None]:
        """Yield the model's next turn in a chat, otherwise as :meth:`stream_generate`."""
        return self._stream(self._keywords.chat(model, messages, options))

    async def chat(
        self, model: str, messages: Sequence[AnyMessage], **options: Unpack[ChatOptions]
    ) -> Generation:
        """Return the model's next turn in a chat; its ``message`` goes on with it."""
        return await self._whole(self._keywords.chat(model, messages, options))

    async def embed(
        self,
        model: str,
        inputs: str | Sequence[str | Sequence[int]],
        **options: Unpack[EmbedOptions],
    ) -> EmbedResponse:
        """Return the vector of a text, or of each of several; they may be given as tokens too."""
        request = unary(EmbedRequest, options, model=model, inputs=listed(inputs))
        return await self._submitted(request, EmbedResponse)

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], **options: Unpack[RequestOptions]
    ) -> RerankResponse:
        """Return how relevant each document is for a query, in their order."""
        request = unary(RerankRequest, options, model=model, query=query, documents=documents)
        return await self._submitted(request, RerankResponse)

    async def tokenize(
        self, model: str, text: str, **options: Unpack[TokenizeOptions]
    ) -> TokenizeResponse:
        """Return the tokens of a text, and the bytes of each ``with_pieces``."""
        request = unary(TokenizeRequest, options, model=model, text=text)
        return await self._submitted(request, TokenizeResponse)

    async def detokenize(
        self, model: str, tokens: Sequence[int], **options: Unpack[RequestOptions]
    ) -> str:
        """Return the text of tokens, special ones written out."""
        request = unary(DetokenizeRequest, options, model=model, tokens=tokens)
        return (await self._submitted(request, TextResponse)).text

    async def apply_template(
        self, model: str, messages: Sequence[AnyMessage], **options: Unpack[TemplateOptions]
    ) -> str:
        """Return the prompt that the model's chat template makes of a chat."""
        turns = plain_messages(messages)
        request = unary(ApplyTemplateRequest, options, model=model, messages=turns)
        return (await self._submitted(request, TextResponse)).text

    async def list(self) -> tuple[ModelSpec, ...]:
        """Return all known models, the unusable ones with their ``problem``."""
        await self._start()
        return tuple(await self._service.models())

    async def refresh(self) -> tuple[ModelSpec, ...]:
        """Look for models again, and return all."""
        await self._start()
        return tuple(await self._service.refresh())

    async def load(
        self,
        model: str,
        *,
        keep_alive_s: Keep | None = None,
        fit: bool = True,
        timeout_s: float | None = None,
    ) -> None:
        """Bring a model into memory and return when it is ready.

        Without ``fit`` that fails where it can be had only with less than it is configured for.
        """
        await self._start()
        async with within(timeout_s):
            await self._service.load(model, keep_alive_s=keep_alive_s, fit=fit)

    async def unload(self, model: str) -> None:
        """Let a model's running requests finish, free its memory, then return."""
        await self._start()
        await self._service.unload(model)

    async def pin(self, model: str, *, pinned: bool = True) -> None:
        """Set whether a model stays in memory when others need its bytes; load nothing."""
        await self._start()
        await self._service.pin(model, pinned=pinned)

    async def plan(self, model: str) -> ModelPlan:
        """Return what a request for a model would bring about if it came now; nothing happens."""
        await self._start()
        return await self._service.plan(model)

    async def status(self) -> ServiceStatus:
        """Return what is loaded, what it holds, and what the budget is."""
        await self._start()
        return await self._service.status()

    async def _stream(self, request: GenerateRequest) -> AsyncGenerator[Chunk, None]:
        await self._start()
        begun_s = asyncio.get_running_loop().time()
        async with aclosing(self._service.generate(request)) as chunks:
            while True:
                # The time is that of each step: between two of them another task may go on.
                async with _working(request, begun_s):
                    chunk = await anext(chunks, None)
                if chunk is None:
                    return
                yield chunk

    async def _whole(self, request: GenerateRequest) -> Generation:
        async with aclosing(self._stream(request)) as chunks:
            return await gathered(chunks)

    async def _submitted(self, request: AnyUnaryRequest, expected: type[R]) -> R:
        await self._start()
        async with _working(request, asyncio.get_running_loop().time()):
            response = await self._service.submit(request)
            if not isinstance(response, expected):
                raise InternalError(f"the service has responded with {type(response).__name__}")
        return response


@asynccontextmanager
async def _working(request: AnyRequest, begun_s: float) -> AsyncIterator[None]:
    """Keep what is inside within the request's time, and its faults within the tree of errors."""
    try:
        async with within(request.timeout_s, begun_s=begun_s):
            yield
    except ModeldError:
        raise
    except Exception as exc:
        said = f"{type(exc).__name__}: {exc}"
        raise InternalError(f"request {request.request_id} failed with {said}") from exc
