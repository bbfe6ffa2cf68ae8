# SPDX-License-Identifier: GPL-3.0-only
"""What may go wrong in more than one operation, for the API's description."""

from __future__ import annotations

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
"""Where a model is brought into memory."""

WORK_ERRORS = (
    InvalidJsonError,
    BodyTooLargeError,
    UnsupportedMediaTypeError,
    NotSupportedError,
    PromptTooLongError,
    WorkerCrashedError,
    RequestTimeoutError,
    *LOAD_ERRORS,
)
"""Where a body says what a model is to do."""
