# SPDX-License-Identifier: GPL-3.0-only
"""Errors and values between host and ingress."""

from __future__ import annotations

import pickle

import pytest
from modeld_ray.crossing import Crossed, Taken, read, written

from modeld import ModeldError, Token
from modeld.errors import InternalError, WorkerCrashedError, error_from_code
from modeld.responses import Done, FinishReason, Placed, ReasoningToken, ToolCallDelta, Usage
from modeld.status import PlanOutcome


def kinds() -> list[type[ModeldError]]:
    def below(cls: type[ModeldError]) -> list[type[ModeldError]]:
        return [cls, *(each for child in cls.__subclasses__() for each in below(child))]

    # A class that a test of another module has made is found by its code, if it has one.
    return [cls for cls in below(ModeldError) if type(error_from_code(cls.code, "")) is cls]


@pytest.mark.parametrize("kind", kinds(), ids=lambda cls: cls.__name__)
def test_every_error_arrives_as_itself(kind):
    error = error_from_code(kind.code, "what is wrong", 1.5, "model")
    error.log_tail = ("the last line",)
    for copy in (read(written([Crossed.of(error)]))[0].error(), pickle.loads(pickle.dumps(error))):
        assert type(copy) is kind
        assert (copy.message, copy.retry_after_s, copy.field) == ("what is wrong", 1.5, "model")
    assert Crossed.of(error).error().log_tail == ("the last line",)


def test_there_are_errors_of_the_cluster_among_them():
    assert {"host_lost", "no_host", "model_quarantined", "queue_full"} <= {k.code for k in kinds()}


def test_the_cause_of_a_crash_arrives():
    error = WorkerCrashedError("it was killed")
    error.cause = "signal"
    copy = Crossed.of(error).error()
    assert isinstance(copy, WorkerCrashedError)
    assert copy.cause == "signal"


def test_all_chunks_arrive_as_they_were():
    chunks = [
        Taken(host="a"),
        Placed(placement=PlanOutcome.LOADS, queue_wait_s=1.5, load_s=1.0, host="a"),
        Token(text="ä"),
        ReasoningToken(text="b"),
        ToolCallDelta(index=0, id="c", name="d", arguments="{}"),
        Done(finish_reason=FinishReason.STOP, usage=Usage(prompt_tokens=1)),
    ]
    assert read(written(chunks)) == chunks
    assert read(written([])) == []


def test_what_another_version_has_sent_is_an_error_and_no_crash():
    with pytest.raises(InternalError, match="cannot be read"):
        read(b"\xc1")
