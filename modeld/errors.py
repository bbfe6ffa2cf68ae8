# SPDX-License-Identifier: GPL-3.0-only
"""Everything that can go wrong, as one tree with stable codes.

It knows nothing of HTTP, but for the status that a plugin's own kind of error may bring with it.

A code never changes its meaning: it is the ``reason`` of an error body, a metric label and a word
in the log. ``retryable`` says whether the same request may succeed later without a change.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final

from modeld.error_kinds import OwnKind, fault_of_kind

MOST_LEARNED: Final = 256
"""How many kinds of errors are taken over from workers; more are internal errors."""


class ModeldError(Exception):
    """Base of all errors that modeld raises on purpose.

    ``retry_after_s`` is set where waiting that many seconds is likely to help; ``field`` names the
    part of the request or of the settings that is to blame.

    A plugin's own kind is a class with a ``code`` of its own. Its ``status`` is the HTTP status,
    from 400 to 599; ``None`` is that of the class that it is derived from.

    Raises:
        TypeError: where such a class is made, if its code or its status cannot be one.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False
    status: ClassVar[int | None] = None

    def __init_subclass__(cls) -> None:
        """Check what a plugin's own kind of error says of itself."""
        super().__init_subclass__()
        if cls.__module__ != __name__:
            _check_own(cls)

    log_tail: tuple[str, ...] = ()
    """What a runtime wrote last before it failed: for who runs the server, and for no client."""

    def __init__(
        self, message: str, *, retry_after_s: float | None = None, field: str | None = None
    ) -> None:
        self.message = _sendable(message)
        super().__init__(self.message)
        self.retry_after_s = retry_after_s
        self.field = None if field is None else _sendable(field)

    def __reduce__(self) -> tuple[object, ...]:
        """Say how to unpickle it, which Python cannot know of keyword arguments."""
        values = self.code, self.message, self.retry_after_s, self.field
        return error_from_code, (*values, own_kind(self))


class ConfigurationError(ModeldError):
    """The settings, the command line or the installed plugins cannot be used as they are."""

    code = "configuration_error"


class InvalidSettingsError(ConfigurationError):
    """The settings that were read again cannot be used; the server goes on with those before."""

    code = "invalid_settings"


class StartError(ModeldError):
    """The server could not start, although its settings are sound (a port is taken, say)."""

    code = "start_failed"


class InvalidRequestError(ModeldError):
    """A request is malformed or out of range; ``field`` says where."""

    code = "invalid_request"


class InvalidJsonError(InvalidRequestError):
    """A request's body is not the JSON that RFC 8259 describes."""

    code = "invalid_json"


class PromptRequiredError(InvalidRequestError):
    """A request for text has neither a prompt nor messages."""

    code = "prompt_required"


class UnauthorizedError(ModeldError):
    """A key is needed, and none or a wrong one was given."""

    code = "unauthorized"


class ForbiddenError(ModeldError):
    """The origin or the host of the request is not allowed."""

    code = "forbidden"


class NotSupportedError(ModeldError):
    """The model, as it is loaded, cannot serve such a request; another one may."""

    code = "not_supported"


class ModelNotFoundError(ModeldError):
    """No model has this name, or several may be meant."""

    code = "model_not_found"


class NotFoundError(ModeldError):
    """There is nothing at this address."""

    code = "not_found"


class MethodNotAllowedError(ModeldError):
    """The address exists, but not for this method."""

    code = "method_not_allowed"


class NotAcceptableError(ModeldError):
    """No formatter writes any of the media types that the client accepts."""

    code = "not_acceptable"


class BodyTooLargeError(ModeldError):
    """A request's body is over the limit."""

    code = "body_too_large"


class UnsupportedMediaTypeError(ModeldError):
    """A request's body is not application/json, or it is compressed."""

    code = "unsupported_media_type"


class PromptTooLongError(ModeldError):
    """The prompt has more tokens than the model's context."""

    code = "prompt_too_long"


class InvalidModelError(ModeldError):
    """The model's file cannot be used; the message says why."""

    code = "invalid_model"


class TemplateError(ModeldError):
    """The model's chat template is missing, failed or ran over its limits."""

    code = "template_error"


class QueueFullError(ModeldError):
    """The model's queue is full."""

    code = "queue_full"
    retryable = True


class WaitTimeoutError(ModeldError):
    """The request was queued for longer than allowed."""

    code = "wait_timeout"
    retryable = True


class RequestTimeoutError(ModeldError):
    """The request ran for longer than its own ``timeout_s``."""

    code = "request_timeout"


class ClientTooSlowError(ModeldError):
    """The client did not take its response fast enough."""

    code = "client_too_slow"


class BackendUnavailableError(ModeldError):
    """No installed backend can load this model."""

    code = "backend_unavailable"


class LoadFailedError(ModeldError):
    """The backend could not load the model."""

    code = "load_failed"
    retryable = True


class WorkerCrashedError(ModeldError):
    """What ran the model ended or hung.

    ``cause`` is one word for metrics: ``signal``, ``exit``, ``stall``, ``garbage`` or ``closed``.
    """

    code = "worker_crashed"
    retryable = True
    cause: str = "exit"


class DrainingError(ModeldError):
    """The server is shutting down and takes no new requests."""

    code = "draining"
    retryable = True


class ModelExceedsBudgetError(ModeldError):
    """The model can never fit into the budget or into this machine."""

    code = "model_exceeds_budget"


class BudgetExceededError(ModeldError):
    """The model does not fit now, and nothing may be evicted for it."""

    code = "budget_exceeded"
    retryable = True


class InternalError(ModeldError):
    """A fault of modeld or of a plugin; the log has the details under the request's id."""

    code = "internal_error"


def _tree(cls: type[ModeldError]) -> list[type[ModeldError]]:
    return [cls, *(below for child in cls.__subclasses__() for below in _tree(child))]


def error_codes() -> dict[str, type[ModeldError]]:
    """Return every stable code with the class that has introduced it."""
    codes: dict[str, type[ModeldError]] = {}
    for cls in _tree(ModeldError)[1:]:
        if "code" in vars(cls):
            codes.setdefault(cls.code, cls)
    return codes


def _sendable(text: object) -> str:
    """Return ``text`` as any document can hold it.

    Plugins say paths in it, which need not be Unicode, or pass the exception on that they caught.
    """
    return str(text).encode(errors="backslashreplace").decode()


def own_kind(error: ModeldError) -> OwnKind | None:
    """Return what a plugin's kind of error is made of, and ``None`` for one of modeld's own."""
    cls = type(error)
    if cls in _CORE:
        return None
    family = next(each for each in cls.__mro__ if each in _CORE)
    return family.code, cls.status, cls.retryable


def error_from_code(
    code: str,
    message: str,
    retry_after_s: float | None = None,
    field: str | None = None,
    own: OwnKind | None = None,
) -> ModeldError:
    """Return the error that ``code`` stands for; an unknown code is an :class:`InternalError`.

    With this an error crosses a process border as plain values. A plugin's class may want other
    arguments of its own, so its ``__init__`` is not called. Where its class is not known on this
    side, ``own`` makes it known.
    """
    cls = error_codes().get(code) or _learn(code, own) or InternalError
    error = cls.__new__(cls, message)
    ModeldError.__init__(error, message, retry_after_s=retry_after_s, field=field)
    return error


_CORE: Final = frozenset(_tree(ModeldError))
_OWNERS: Final[Mapping[str, type[ModeldError]]] = {
    **{cls.code: cls for cls in _tree(ModeldError)},
    ModeldError.code: ModeldError,
}
"""The kinds of modeld's own by their codes."""

_learned: Final[list[type[ModeldError]]] = []
"""The kinds of errors whose classes are in workers only; nobody else would hold them."""


def _learn(code: str, own: OwnKind | None) -> type[ModeldError] | None:
    """Return a class for a kind of error that is known on the other side, if it can be one."""
    if own is None or len(_learned) >= MOST_LEARNED:
        return None
    family, status, retryable = own
    base = _OWNERS.get(family)
    # Before the class is made, because it would be in the tree even if it were refused.
    if base is None or fault_of_kind(base, code, status, _OWNERS):
        return None
    members = {"code": code, "status": status, "retryable": retryable}
    cls = type("PluginError", (base,), {**members, "__module__": "modeld_plugin"})
    _learned.append(cls)
    return cls


def _check_own(cls: type[ModeldError]) -> None:
    if fault := fault_of_kind(cls, cls.code, vars(cls).get("status"), _OWNERS):
        raise TypeError(f"{cls.__name__}: {fault}")
