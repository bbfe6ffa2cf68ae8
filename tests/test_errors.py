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
    own_kind,
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


class QuotaUsedError(ModeldError):
    """The account has no tokens left."""

    code = "quota_used"
    status = 402

    def __init__(self, account: str) -> None:
        super().__init__(f"{account} has no tokens left", field="model")


class BusyError(QueueFullError):
    """The upstream server is busy."""

    code = "upstream_busy"


def test_an_error_of_a_plugins_own_crosses_as_plain_values() -> None:
    error = QuotaUsedError("me")
    copy = error_from_code(error.code, error.message, field=error.field, own=own_kind(error))
    assert type(copy) is QuotaUsedError
    assert (copy.message, copy.field) == ("me has no tokens left", "model")
    assert own_kind(error) == ("internal_error", 402, False)
    assert own_kind(BusyError("x")) == ("queue_full", None, True)
    assert own_kind(QueueFullError("x")) is None


def test_an_error_whose_class_is_not_known_here_is_what_it_says_it_is() -> None:
    error = error_from_code("far_away", "too far", own=("queue_full", 418, False))
    assert isinstance(error, QueueFullError)
    assert (error.code, error.status, error.retryable) == ("far_away", 418, False)
    assert type(error_from_code("far_away", "again")) is type(error)
    assert own_kind(error) == ("queue_full", 418, False)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.message) == (type(error), "too far")


@pytest.mark.parametrize(
    "own", [("no_such", 418, False), ("queue_full", 200, False), ("queue_full", 99999, False)]
)
def test_what_cannot_be_an_error_is_an_internal_one(own: tuple[str, int, bool]) -> None:
    assert type(error_from_code("nonsense", "x", own=own)) is InternalError
    assert type(error_from_code("NO WORD", "x", own=("queue_full", 418, False))) is InternalError


def test_no_more_than_so_many_kinds_are_taken_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(errors, "MOST_LEARNED", 0)
    assert type(error_from_code("one_more", "x", own=("queue_full", 418, False))) is InternalError


@pytest.mark.parametrize(
    ("base", "members", "said"),
    [
        (ModeldError, {"code": "Not A Word"}, "Own: the code 'Not A Word' is not small letters"),
        (ModeldError, {"code": 7}, "Own: the code 7 is not small letters"),
        (ModeldError, {"code": "queue_full"}, "the code 'queue_full' is that of QueueFullError"),
        (
            ModeldError,
            {"code": "own", "status": 200},
            "the status 200 is not one of HTTP",
        ),
        (ModeldError, {"code": "own", "status": "402"}, "the status '402' is not one of HTTP"),
        (ModeldError, {"status": 402}, "it has a status and no code of its own"),
        (QueueFullError, {"status": 402}, "it has a status and no code of its own"),
    ],
)
def test_a_class_that_cannot_be_an_error_is_refused(
    base: type[ModeldError], members: dict[str, object], said: str
) -> None:
    with pytest.raises(TypeError, match=said):
        type("Own", (base,), members)
