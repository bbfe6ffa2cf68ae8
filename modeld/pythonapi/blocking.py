# SPDX-License-Identifier: GPL-3.0-only
"""The same verbs for code that is not asynchronous: scripts, notebooks, threads."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from types import TracebackType
from typing import Self, Unpack

from modeld.generation import Generation
from modeld.pythonapi.loop_thread import LoopThread
from modeld.pythonapi.models import Models
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
from modeld.responses import Chunk, EmbedResponse, RerankResponse, TokenizeResponse
from modeld.status import ModelPlan, ServiceStatus
from modeld.values import ModelSpec


class BlockingModels:
    """The verbs of :class:`~modeld.Models`, each of which waits for its outcome.

    They run on a thread of their own, and start at the first verb. ``with`` closes them at the end;
    without it, :meth:`close` does. Any number of threads may use them at once. They do not work in
    a process that was forked off.
    """

    def __init__(self, models: Models) -> None:
        self._models = models
        self._loop = LoopThread(models.aclose)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def start(self) -> None:
        """Find the models and get ready; a second time it does nothing."""
        self._loop.call(self._models.start())

    def close(self) -> None:
        """End everything and free all memory. May be called twice; there is no start after it."""
        self._loop.close()

    def stream_generate(
        self, model: str, prompt: str | Sequence[int], **options: Unpack[GenerateOptions]
    ) -> Generator[Chunk, None, None]:
        """Yield how the model goes on with a prompt, or with its tokens, piece by piece.

        Leaving the ``for`` early frees the slot.
        """
        return self._loop.iterate(self._models.stream_generate(model, prompt, **options))

    def generate(
        self, model: str, prompt: str | Sequence[int], **options: Unpack[GenerateOptions]
    ) -> Generation:
        """Return how the model goes on with a prompt, or with its tokens."""
        return self._loop.call(self._models.generate(model, prompt, **options))

    def stream_chat(
        self, model: str, messages: Sequence[AnyMessage], **options: Unpack[ChatOptions]
    ) -> Generator[Chunk, None, None]:
        """Yield the model's next turn in a chat, otherwise as :meth:`stream_generate`."""
        return self._loop.iterate(self._models.stream_chat(model, messages, **options))

    def chat(
        self, model: str, messages: Sequence[AnyMessage], **options: Unpack[ChatOptions]
    ) -> Generation:
        """Return the model's next turn in a chat; its ``message`` goes on with it."""
        return self._loop.call(self._models.chat(model, messages, **options))

    def embed(
        self,
        model: str,
        inputs: str | Sequence[str | Sequence[int]],
        **options: Unpack[EmbedOptions],
    ) -> EmbedResponse:
        """Return the vector of a text, or of each of several; they may be given as tokens too."""
        return self._loop.call(self._models.embed(model, inputs, **options))

    def rerank(
        self, model: str, query: str, documents: Sequence[str], **options: Unpack[RequestOptions]
    ) -> RerankResponse:
        """Return how relevant each document is for a query, in their order."""
        return self._loop.call(self._models.rerank(model, query, documents, **options))

    def tokenize(
        self, model: str, text: str, **options: Unpack[TokenizeOptions]
    ) -> TokenizeResponse:
        """Return the tokens of a text, and the bytes of each ``with_pieces``."""
        return self._loop.call(self._models.tokenize(model, text, **options))

    def detokenize(
        self, model: str, tokens: Sequence[int], **options: Unpack[RequestOptions]
    ) -> str:
        """Return the text of tokens, special ones written out."""
        return self._loop.call(self._models.detokenize(model, tokens, **options))

    def apply_template(
        self, model: str, messages: Sequence[AnyMessage], **options: Unpack[TemplateOptions]
    ) -> str:
        """Return the prompt that the model's chat template makes of a chat."""
        return self._loop.call(self._models.apply_template(model, messages, **options))

    def list(self) -> tuple[ModelSpec, ...]:
        """Return all known models, the unusable ones with their ``problem``."""
        return self._loop.call(self._models.list())

    def refresh(self) -> tuple[ModelSpec, ...]:
        """Look for models again, and return all."""
        return self._loop.call(self._models.refresh())

    def load(
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
        self._loop.call(
            self._models.load(model, keep_alive_s=keep_alive_s, fit=fit, timeout_s=timeout_s)
        )

    def unload(self, model: str) -> None:
        """Let a model's running requests finish, free its memory, then return."""
        self._loop.call(self._models.unload(model))

    def pin(self, model: str, *, pinned: bool = True) -> None:
        """Set whether a model stays in memory when others need its bytes; load nothing."""
        self._loop.call(self._models.pin(model, pinned=pinned))

    def plan(self, model: str) -> ModelPlan:
        """Return what a request for a model would bring about if it came now; nothing happens."""
        return self._loop.call(self._models.plan(model))

    def status(self) -> ServiceStatus:
        """Return what is loaded, what it holds, and what the budget is."""
        return self._loop.call(self._models.status())
