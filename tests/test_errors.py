# SPDX-License-Identifier: GPL-3.0-only
import pickle
from typing import Any

import pytest

from modeld import errors
from modeld.errors import (
    InternalError,
    ModeldError,
    QueueFullError,
    WorkerCrashedError,
    error_codes,
    error_from_code,
)

CODES = {
    "invalid_json",
    "invalid_request",
    "prompt_required",
    "unauthorized",
    "forbidden",
    "model_not_found",
    "body_too_large",
    "unsupported_media_type",
    "prompt_too_long",
    "invalid_model",
    "queue_full",
    "wait_timeout",
    "backend_unavailable",
    "load_failed",
    "worker_crashed",
    "draining",
    "model_exceeds_budget",
    "budget_exceeded",
    "internal_error",
}
"""The codes that the design promises to users."""

CLASSES = [
    cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, ModeldError)
]


def test_every_promised_code_exists() -> None:
    assert set(error_codes()) >= CODES


def test_no_two_errors_share_a_code() -> None:
    concrete = [cls for cls in CLASSES if cls is not ModeldError]
    assert len({cls.code for cls in concrete}) == len(concrete)


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_error_says_what_happened(cls: type[ModeldError]) -> None:
    assert cls.__doc__
    assert cls.__doc__.strip().splitlines()[0].endswith((".", ","))


@pytest.mark.parametrize("cls", [cls for cls in CLASSES if cls is not ModeldError])
def test_an_error_crosses_a_process_border_as_plain_values(cls: type[ModeldError]) -> None:
    error = cls("it broke", retry_after_s=2.5, field="prompt")
    copy = error_from_code(error.code, error.message, error.retry_after_s, error.field)
    assert type(copy) is cls
    assert vars(copy) == vars(error)


def test_an_error_survives_pickling() -> None:
    copy = pickle.loads(pickle.dumps(QueueFullError("full", retry_after_s=3, field="x")))
    assert type(copy) is QueueFullError
    assert (copy.message, copy.retry_after_s, copy.field) == ("full", 3, "x")
    assert str(copy) == "full"


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("plain", "plain"),
        ("caf\udce9.gguf", r"caf\udce9.gguf"),
        (OSError("full"), "full"),
        (5, "5"),
    ],
)
def test_what_an_error_says_fits_into_any_document(message: Any, text: str) -> None:
    error = InternalError(message, field=message)
    assert (error.message, error.field, str(error)) == (text, text, text)


def test_an_unknown_code_is_an_internal_error() -> None:
    error = error_from_code("from_the_future", "hm")
    assert type(error) is InternalError
    assert error.message == "hm"


def test_only_what_may_succeed_later_is_retryable() -> None:
    retryable = {cls.code for cls in CLASSES if cls.retryable}
    assert retryable == {
        "queue_full",
        "wait_timeout",
        "load_failed",
        "worker_crashed",
        "draining",
        "budget_exceeded",
    }


def test_a_crash_has_a_cause_of_one_word() -> None:
    assert WorkerCrashedError("gone").cause == "exit"
