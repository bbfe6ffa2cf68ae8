# SPDX-License-Identifier: GPL-3.0-only
"""An API that can be measured: its requests, and what the parts of its responses mean."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeVar

import msgspec

from modeld_bench.apis.payloads import Events, JsonLines, StreamError
from modeld_bench.outcome import Usage

T = TypeVar("T")

_REASON: Final = re.compile(r"[\w.-]{1,64}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wish:
    """What every request wants; ``None`` leaves it to the server."""

    model: str | None
    max_tokens: int
    temperature: float
    seed: int | None
    ignore_eos: bool
    chat: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """An error that the server reports; ``reason`` is empty where it gives no such word."""

    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one document of a stream brings."""

    text: bool = False
    ends: bool = False
    usage: Usage | None = None
    fault: Fault | None = None


class Api(ABC):
    """One API. It asks for a stream and never for anything else."""

    name: ClassVar[str]
    media_type: ClassVar[str]
    payloads: ClassVar[type[JsonLines | Events]]

    def __init__(self, wish: Wish) -> None:
        self.wish = wish

    @property
    @abstractmethod
    def path(self) -> str:
        """Return the path that requests for text go to."""

    @abstractmethod
    def body(self, prompt: str) -> bytes:
        """Return a request as JSON."""

    @abstractmethod
    def read(self, payload: bytes) -> Part:
        """Return what one document of the stream means.

        Raises:
            StreamError: it is not what this API sends.
        """

    @abstractmethod
    def fault(self, body: bytes) -> Fault:
        """Return the error in the body of a refusal, as far as it can be made out."""

    def _sampling(self) -> dict[str, object]:
        wish = self.wish
        fields: dict[str, object] = {
            "model": wish.model,
            "max_tokens": wish.max_tokens,
            "temperature": wish.temperature,
            "seed": wish.seed,
            "ignore_eos": wish.ignore_eos or None,
            "stream": True,
        }
        return {name: value for name, value in fields.items() if value is not None}

    def _prompt_fields(self, prompt: str) -> dict[str, object]:
        if self.wish.chat:
            return {"messages": [{"role": "user", "content": prompt}]}
        return {"prompt": prompt}


def decoded(decoder: msgspec.json.Decoder[T], payload: bytes) -> T:
    """Return one document of a stream.

    Raises:
        StreamError: it is no JSON, or not of this form.
    """
    try:
        return decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise StreamError(str(exc)) from exc


def word(text: Any) -> str:
    """Return a reason that can be counted: one short word, or nothing."""
    return text if isinstance(text, str) and _REASON.fullmatch(text) else ""
