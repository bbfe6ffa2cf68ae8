# SPDX-License-Identifier: GPL-3.0-only
import asyncio
import contextvars
import math
import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from modeld.errors import LoadFailedError
from modeld.plugins import guard_thread
from modeld.plugins.guard import (
    HungFault,
    PluginCall,
    PluginFault,
    called,
    described,
    expect,
    guarded,
    is_ours,
    shown,
    whole,
)


def test_what_goes_well_is_passed_through() -> None:
    assert guarded("import", lambda: 7, 10.0) == 7
    assert guarded("import", lambda: None, 10.0) is None


def test_plugin_code_runs_on_a_thread_of_its_own() -> None:
    ours = threading.get_ident()

    assert guarded("import", threading.get_ident, 10.0) != ours


def test_one_thread_is_enough_for_calls_that_follow_each_other() -> None:
    assert len({guarded("import", threading.current_thread, 10.0) for _ in range(20)}) == 1


def test_what_a_plugin_sets_for_its_context_is_not_seen_by_the_next() -> None:
    variable = contextvars.ContextVar("variable", default="unset")

    guarded("import", lambda: variable.set("by another"), 10.0)

    assert guarded("import", variable.get, 10.0) == "unset"


def test_a_thread_that_is_left_behind_too_late_still_answers_the_next_call() -> None:
    gate = threading.Event()
    thread = guard_thread.idle_thread()

    outcome = thread.begin("next", gate.wait)
    thread.leave_behind()  # by the one before, whose time was over in the moment of its end
    gate.set()

    assert outcome.get(timeout=10.0) == (True, None)


def test_calls_from_many_threads_have_one_each() -> None:
    begun = threading.Barrier(5)

    def call(_number: int) -> threading.Thread:
        return guarded("import", lambda: (begun.wait(10), threading.current_thread())[1], 10.0)

    with ThreadPoolExecutor(5) as callers:
        assert len(set(callers.map(call, range(5)))) == 5


def test_an_idle_thread_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_thread, "IDLE_S", 0.01)
    monkeypatch.setattr(guard_thread, "_idle", [])

    thread = guarded("import", threading.current_thread, 10.0)
    thread.join(10)

    assert not thread.is_alive()
    assert guarded("import", threading.current_thread, 10.0) is not thread


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_process_takes_no_thread_that_it_does_not_have() -> None:
    guarded("import", int, 10.0)

    child = os.fork()
    if child == 0:
        os._exit(guarded("import", lambda: 7, 5.0))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7


@pytest.mark.parametrize(
    "error", [ValueError("oops"), SystemExit("oops"), KeyboardInterrupt("oops")]
)
def test_whatever_is_raised_is_a_fault_that_names_it(error: BaseException) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(PluginFault) as caught:
        guarded("import", fail, 10.0)

    assert str(caught.value) == f"import raised {type(error).__name__}: oops"
    assert caught.value.__cause__ is error


def test_a_fault_stays_what_it_is() -> None:
    fault = PluginFault("it brought nothing")

    def fail() -> None:
        raise fault

    with pytest.raises(PluginFault) as caught:
        guarded("import", fail, 10.0)

    assert caught.value is fault


def test_what_takes_too_long_is_left_behind() -> None:
    gate = threading.Event()

    left: list[threading.Thread] = []

    def hang() -> None:
        left.append(threading.current_thread())
        gate.wait()

    with pytest.raises(HungFault, match=r"import took longer than 0\.05 s"):
        guarded("import", hang, 0.05)

    assert guarded("import", threading.current_thread, 10.0) is not left[0]
    gate.set()
    left[0].join(10)
    assert not left[0].is_alive()


def test_an_expectation_names_the_thing_and_what_was_wanted() -> None:
    expect(True, 7, "a Backend")

    with pytest.raises(PluginFault, match="it brought 7, which is not a Backend"):
        expect(False, 7, "a Backend")


ERRORS = [
    ValueError("oops"),
    SystemExit("oops"),
    KeyboardInterrupt("oops"),
    GeneratorExit("oops"),
    asyncio.CancelledError("oops"),
    BaseExceptionGroup("oops", [KeyboardInterrupt()]),
]


def raising(error: BaseException) -> Callable[[], Any]:
    def fail() -> Any:
        raise error

    return fail


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_a_call_here_and_now_raises_one_kind_of_fault(error: BaseException) -> None:
    with pytest.raises(PluginFault, match=rf"^its hook raised {type(error).__name__}: oops"):
        called("its hook", raising(error))


def test_an_error_of_modelds_own_goes_through_a_call() -> None:
    with pytest.raises(LoadFailedError):
        called("its hook", raising(LoadFailedError("no such tensor")))


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_no_task_of_a_plugin_ends_the_loop_or_looks_cancelled(error: BaseException) -> None:
    async def fail() -> None:
        raise error

    async def main() -> None:
        call = PluginCall("its hook", fail)
        assert await call.wait()
        expected = type(error) if isinstance(error, Exception) else PluginFault
        with pytest.raises(expected):
            call.result()

    asyncio.run(main())


def test_what_a_call_returns_is_passed_through() -> None:
    async def main() -> None:
        may_return = asyncio.Event()

        async def seven() -> int:
            await may_return.wait()
            return 7

        call = PluginCall("its hook", seven)
        assert not await call.wait(0)
        may_return.set()
        assert await call.wait(10.0)
        assert call.result() == 7

    asyncio.run(main())


@pytest.mark.parametrize("early", [True, False])
def test_what_is_returned_after_all_is_handed_to_who_clears_it_away(early: bool) -> None:
    async def main() -> None:
        may_return, unwanted = asyncio.Event(), []

        async def stubborn() -> int:
            while not may_return.is_set():
                try:
                    await may_return.wait()
                except asyncio.CancelledError:
                    continue
            return 7

        async def clear(result: int) -> None:
            unwanted.append(result)

        call = PluginCall("its hook", stubborn, unwanted=clear)
        if early:
            may_return.set()
            assert await call.wait(10.0)
            await call.give_up()
        else:
            giving_up = asyncio.create_task(call.give_up())
            await asyncio.sleep(0)
            may_return.set()
            await giving_up
        assert unwanted == [7]

    asyncio.run(main())


def test_a_call_that_is_given_up_before_it_began_is_a_fault() -> None:
    async def main() -> None:
        call = PluginCall("its hook", asyncio.Event().wait)
        await call.give_up()
        with pytest.raises(PluginFault, match="cancelled before it began"):
            call.result()

    asyncio.run(main())


class Index:
    def __index__(self) -> int:
        return 3


@pytest.mark.parametrize(("value", "number"), [(0, 0), (2**63 - 1, 2**63 - 1), (Index(), 3)])
def test_a_whole_number_is_taken_for_what_it_is(value: object, number: int) -> None:
    assert whole("its size", value, 0) == number
    assert type(whole("its size", value, 0)) is int


@pytest.mark.parametrize(
    "value", [True, 1.0, 1.5, math.nan, "8", None, -1, 2**63, b"8", [8], object(), int]
)
def test_anything_else_is_a_fault_that_names_it(value: object) -> None:
    with pytest.raises(PluginFault, match="its size is "):
        whole("its size", value, 0)


class Mute:
    def __repr__(self) -> str:
        raise SystemExit

    __str__ = __repr__


def test_what_cannot_be_written_is_written_all_the_same() -> None:
    assert shown(Mute()) == "(which raises SystemExit when it is written)"
    assert len(shown("x" * 10**6)) < 300
    assert described(ValueError("a\udcff")) == r"ValueError: a\udcff"


def test_ours_is_only_a_cancellation_that_we_have_asked_for() -> None:
    async def main() -> None:
        assert not is_ours(asyncio.CancelledError())
        assert not is_ours(KeyboardInterrupt())
        said: list[bool] = []

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError as exc:
                said.append(is_ours(exc))

        task = asyncio.create_task(wait())
        await asyncio.sleep(0)
        task.cancel()
        await task
        assert said == [True]

    asyncio.run(main())
