# SPDX-License-Identifier: GPL-3.0-only
"""Everything that can go wrong, as one tree with stable codes. It knows no HTTP.

A code never changes its meaning: it is the ``reason`` of an error body, a metric label and a word
in the log. ``retryable`` says whether the same request may succeed later without a change.
"""

from __future__ import annotations

from typing import ClassVar


class ModeldError(Exception):
    """Base of all errors that modeld raises on purpose.

    ``retry_after_s`` is set where waiting that many seconds is likely to help; ``field`` names the
    part of the request or of the settings that is to blame.
    """

    code: ClassVar[str] = "internal_error"
    retryable: ClassVar[bool] = False

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
        return error_from_code, (self.code, self.message, self.retry_after_s, self.field)


class ConfigurationError(ModeldError):
    """The settings, the command line or the installed plugins cannot be used as they are."""

    code = "configuration_error"


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
    """No source has a model of this id."""

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


def error_from_code(
    code: str, message: str, retry_after_s: float | None = None, field: str | None = None
) -> ModeldError:
    """Return the error that ``code`` stands for; an unknown code is an :class:`InternalError`.

    With this an error crosses a process border as plain values. A plugin's class may want other
    arguments of its own, so its ``__init__`` is not called.
    """
    cls = error_codes().get(code, InternalError)
    error = cls.__new__(cls, message)
    ModeldError.__init__(error, message, retry_after_s=retry_after_s, field=field)
    return error
