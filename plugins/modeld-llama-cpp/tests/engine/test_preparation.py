# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future
from functools import partial

import pytest
from driver import ask
from modeld_llama_cpp.engine.preparation import Preparation

from modeld import GenerateRequest
from modeld.errors import InternalError, PromptRequiredError

LONG_S = 10.0


class Reader:
    """Reads prompts; the one that says `wait` waits until it may go on."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.read: list[str] = []

    def __call__(self, request: GenerateRequest) -> list[int]:
        assert request.prompt is not None
        if request.prompt == "wait":
            self.may_go_on.wait()
        self.read.append(request.prompt)
        if request.prompt == "refuse":
            raise PromptRequiredError("none")
        if request.prompt == "break":
            raise ZeroDivisionError
        return [len(request.prompt)]


@pytest.fixture
def reader() -> Iterator[Reader]:
    made = Reader()
    yield made
    made.may_go_on.set()


def test_prompts_come_out_in_the_order_in_which_they_went_in(reader: Reader) -> None:
    preparation: Preparation[list[int]] = Preparation()
    for number, prompt in enumerate(("a", "bb", "ccc")):
        preparation.start(number, partial(reader, ask(prompt)))
    taken = []
    while len(preparation):
        taken += preparation.take(LONG_S)
    assert taken == [(0, [1]), (1, [2]), (2, [3])]
    preparation.close()


def test_work_that_needs_what_is_not_there_yet_holds_up_no_other(reader: Reader) -> None:
    preparation: Preparation[list[int]] = Preparation()
    needed: Future[object] = Future()
    preparation.start(1, partial(reader, ask("a")), needed)
    preparation.start(2, partial(reader, ask("bb")))
    assert preparation.take(LONG_S) == [(2, [2])]
    needed.set_result(None)
    assert preparation.take(LONG_S) == [(1, [1])]
    preparation.close()


def test_what_comes_too_late_is_not_worked_on(reader: Reader) -> None:
    preparation: Preparation[list[int]] = Preparation()
    forgotten, late = Future[object](), Future[object]()
    preparation.start(1, partial(reader, ask("a")), forgotten)
    preparation.start(2, partial(reader, ask("bb")), late)
    preparation.forget(1)
    forgotten.set_result(None)
    preparation.close()
    late.set_result(None)
    assert reader.read == []


def test_taking_does_not_wait_when_there_is_other_work(reader: Reader) -> None:
    preparation: Preparation[list[int]] = Preparation()
    preparation.start(1, partial(reader, ask("wait")))
    assert preparation.take(0.0) == []
    reader.may_go_on.set()
    assert preparation.take(LONG_S) == [(1, [4])]
    preparation.close()


def test_a_refusal_comes_out_like_a_prompt(reader: Reader) -> None:
    preparation: Preparation[list[int]] = Preparation()
    preparation.start(1, partial(reader, ask("refuse")))
    ((request_id, refusal),) = preparation.take(LONG_S)
    assert request_id == 1
    assert isinstance(refusal, PromptRequiredError)
    preparation.close()


def test_a_fault_hurts_only_its_own_request(
    reader: Reader, capsys: pytest.CaptureFixture[str]
) -> None:
    preparation: Preparation[list[int]] = Preparation()
    preparation.start(1, partial(reader, ask("break")))
    ((_, failure),) = preparation.take(LONG_S)
    assert isinstance(failure, InternalError)
    assert "ZeroDivisionError" in capsys.readouterr().err
    preparation.start(2, partial(reader, ask("a")))
    assert preparation.take(LONG_S) == [(2, [1])]
    preparation.close()


def test_a_forgotten_prompt_is_neither_read_nor_given_out(reader: Reader) -> None:
    preparation: Preparation[list[int]] = Preparation()
    preparation.start(1, partial(reader, ask("wait")))
    preparation.start(2, partial(reader, ask("a")))
    assert preparation.forget(2)
    assert preparation.forget(1)
    assert not preparation.forget(3)
    assert len(preparation) == 0
    preparation.start(3, partial(reader, ask("bb")))
    reader.may_go_on.set()
    assert preparation.take(LONG_S) == [(3, [2])]
    assert "a" not in reader.read
    preparation.close()


def test_closing_waits_for_the_prompt_that_is_read_and_reads_no_more(reader: Reader) -> None:
    preparation: Preparation[list[int]] = Preparation()
    preparation.start(1, partial(reader, ask("wait")))
    preparation.start(2, partial(reader, ask("a")))
    waiting = preparation._running[2]
    closing = threading.Thread(target=preparation.close)
    closing.start()
    while not waiting.cancelled():
        pass
    reader.may_go_on.set()
    closing.join()
    assert reader.read == ["wait"]
