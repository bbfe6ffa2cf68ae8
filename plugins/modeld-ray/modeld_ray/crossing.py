# SPDX-License-Identifier: GPL-3.0-only
"""What crosses between ingress and host: values, and errors as values.

Ray would wrap an exception in a class that it makes for it, with the traceback as its text. Here an
error is written down on one side and is itself again on the other, a plugin's own kind too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from modeld import ModeldError
from modeld.error_kinds import OwnKind
from modeld.errors import InternalError, WorkerCrashedError, error_from_code, own_kind
from modeld.events import Event
from modeld.responses import Done, Placed, ReasoningToken, Token, ToolCallDelta
from modeld.status import ServiceStatus
from modeld.values import ModelSpec, Value


class Crossed(Value, frozen=True, kw_only=True, tag="error", array_like=True):
    """An error as a value; ``cause`` is that of a worker's crash."""

    code: str
    message: str
    retry_after_s: float | None = None
    field: str | None = None
    own: OwnKind | None = None
    log_tail: tuple[str, ...] = ()
    cause: str = ""

    @classmethod
    def of(cls, error: ModeldError) -> Crossed:
        """Return an error as what crosses."""
        return cls(
            code=error.code,
            message=error.message,
            retry_after_s=error.retry_after_s,
            field=error.field,
            own=own_kind(error),
            log_tail=error.log_tail,
            cause=error.cause if isinstance(error, WorkerCrashedError) else "",
        )

    def error(self) -> ModeldError:
        """Return the error itself."""
        error = error_from_code(self.code, self.message, self.retry_after_s, self.field, self.own)
        error.log_tail = self.log_tail
        if self.cause and isinstance(error, WorkerCrashedError):
            error.cause = self.cause
        return error


class Taken(Value, frozen=True, kw_only=True, tag="taken", array_like=True):
    """The first thing that a host says of a request: that it is there."""

    host: str


Message: TypeAlias = Token | ReasoningToken | ToolCallDelta | Done | Placed | Taken | Crossed

_ENCODER: Final = msgspec.msgpack.Encoder()
_DECODER: Final = msgspec.msgpack.Decoder(list[Message])


def written(messages: Sequence[Message]) -> bytes:
    """Return messages of one generation as bytes."""
    return _ENCODER.encode(messages)


def read(payload: bytes) -> list[Message]:
    """Return the messages again.

    Raises:
        InternalError: they are none; host and ingress have different versions, say.
    """
    try:
        return _DECODER.decode(payload)
    except msgspec.DecodeError as exc:
        raise InternalError(f"a host has sent what cannot be read: {exc}") from exc


class Outcome(Value, frozen=True, kw_only=True):
    """What a host says to one call: who it is, and a value or an error."""

    host: str
    value: Any = None
    error: Crossed | None = None


def named(outcome: Outcome) -> ModeldError | None:
    """Return a host's error with its name in it, if it has one."""
    error = outcome.error
    if error is None:
        return None
    said = f"host {outcome.host}: {error.message}"
    return msgspec.structs.replace(error, message=said).error()


def values_of(outcomes: Sequence[Outcome], forgiven: Sequence[type[ModeldError]]) -> list[Any]:
    """Return what the hosts that could have said.

    Raises:
        ModeldError: as one has said it, unless it is ``forgiven`` and another host could.
    """
    errors = [outcome.error.error() for outcome in outcomes if outcome.error is not None]
    values = [outcome.value for outcome in outcomes if outcome.error is None]
    for error in errors:
        if not values or not isinstance(error, tuple(forgiven)):
            raise error
    return values


class Pin(Value, frozen=True):
    """What somebody has said of a model's pin, and when, in Unix time: the latest word counts."""

    pinned: bool
    said_s: float


class HostReport(Value, frozen=True, kw_only=True):
    """What one host says of itself.

    ``events`` are those since the reader's last look, of which ``event_seq`` is the latest.
    ``specs`` are its models, ``None`` if they are those that the reader knows as ``specs_version``.
    ``pins`` is what people have said of pins, by model. ``reloads`` is how often it has taken over
    other settings.
    """

    host: str
    node: str
    status: ServiceStatus
    events: tuple[Event, ...] = ()
    event_seq: int = 0
    specs: tuple[ModelSpec, ...] | None = None
    specs_version: int = 0
    pins: Mapping[str, Pin] = {}
    reloads: int = 0


class Cursor(Value, frozen=True, kw_only=True):
    """How far a reader has come with one host."""

    event_seq: int = 0
    specs_version: int = 0
