# SPDX-License-Identifier: GPL-3.0-only
"""The documentation of a route: its parameters, its responses and its errors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from pydantic import BaseModel

from modeld.errors import (
    BackendUnavailableError,
    BodyTooLargeError,
    BudgetExceededError,
    DrainingError,
    InvalidJsonError,
    InvalidModelError,
    LoadFailedError,
    ModelExceedsBudgetError,
    ModelNotFoundError,
    NotSupportedError,
    PromptTooLongError,
    QueueFullError,
    RequestTimeoutError,
    UnsupportedMediaTypeError,
    WaitTimeoutError,
    WorkerCrashedError,
)

LOAD_ERRORS = (
    ModelNotFoundError,
    InvalidModelError,
    QueueFullError,
    WaitTimeoutError,
    BackendUnavailableError,
    LoadFailedError,
    DrainingError,
    ModelExceedsBudgetError,
    BudgetExceededError,
)
"""What may go wrong where a model is brought into memory."""

BODY_ERRORS = (InvalidJsonError, BodyTooLargeError, UnsupportedMediaTypeError)
"""What may go wrong where a body is read, also to see that it says nothing."""

WORK_ERRORS = (
    *BODY_ERRORS,
    NotSupportedError,
    PromptTooLongError,
    WorkerCrashedError,
    RequestTimeoutError,
    *LOAD_ERRORS,
)
"""What may go wrong where a body says what a model is to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """One media type of a response; of a stream, ``model`` and ``schema`` are those of one item.

    Without a ``model`` the ``schema`` counts, which is that of any text.
    """

    media_type: str
    model: type[BaseModel] | None = None
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    example: Any = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """A header of a response; with a ``value`` it is always that one."""

    name: str
    description: str
    value: str | None = None
    schema: Mapping[str, Any] = field(default_factory=lambda: {"type": "string"})
    required: bool = True


NO_STORE = Header(
    name="Cache-Control", value="no-store", description="caches keep nothing of this response"
)


_SECONDS = {"type": "number", "minimum": 0}
PLACED: tuple[Header, ...] = (
    Header(
        name="X-Modeld-Placement",
        description="where the request stood as it came, in the words of `POST /plan`",
        schema={"enum": ["resident", "loading", "loads", "evicts", "waits"]},
        required=False,
    ),
    Header(
        name="X-Modeld-Queue-Wait-S",
        description="how many seconds it has waited for its slot",
        schema=_SECONDS,
        required=False,
    ),
    Header(
        name="X-Modeld-Load-S",
        description="how many of these its model was being loaded",
        schema=_SECONDS,
        required=False,
    ),
    Header(
        name="X-Modeld-Fit",
        description="by which step its model was made to fit; absent where it is as configured",
        required=False,
    ),
    Header(
        name="X-Modeld-Host",
        description="which host of a cluster has served it; absent on one machine",
        required=False,
    ),
)
"""What responses have that a model has made, where the service can tell it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseDoc:
    """One response that an operation may give when nothing has failed.

    ``headers`` are those beyond the ones that every response has.
    """

    status: int
    description: str
    contents: tuple[Content, ...] = ()
    headers: tuple[Header, ...] = (NO_STORE,)


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameter:
    """A part of the address or of the head that the client fills in.

    Where it is a whole number, ``between`` are its bounds.
    """

    name: str
    location: Literal["path", "query", "header"]
    description: str
    choices: tuple[str, ...] = ()
    between: tuple[int, int] | None = None
    example: str | None = None
