# SPDX-License-Identifier: GPL-3.0-only
import asyncio
from contextlib import suppress

import pytest

from modeld.hosting.tasks import TaskSet, leave_behind


def test_closing_cancels_all_tasks_and_waits_until_they_have_ended() -> None:
    async def main() -> None:
        tasks, ended = TaskSet(), []

        async def work(name: str) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.append(name)

        for name in ("a", "b"):
            tasks.spawn(work(name), name)
        await asyncio.sleep(0)
        await tasks.aclose()
        assert sorted(ended) == ["a", "b"]
        await tasks.aclose()

    asyncio.run(main())


def test_a_closed_set_takes_no_task() -> None:
    async def work() -> None:
        raise AssertionError("it must not run")

    async def main() -> None:
        tasks = TaskSet()
        await tasks.aclose()
        with pytest.raises(RuntimeError, match="no task 'late' can start any more"):
            tasks.spawn(work(), "late")

    asyncio.run(main())


def test_a_task_that_fails_is_logged_and_leaves_its_neighbours_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fail() -> None:
        raise ZeroDivisionError("oops")

    async def main() -> None:
        tasks = TaskSet()
        neighbour = tasks.spawn(asyncio.sleep(3600), "neighbour")
        failing = tasks.spawn(fail(), "failing")
        await asyncio.wait([failing])
        await asyncio.sleep(0)
        assert not neighbour.done()
        await tasks.aclose()

    asyncio.run(main())
    assert "task failing failed" in caplog.text
    assert "ZeroDivisionError: oops" in caplog.text


def test_a_task_that_has_ended_is_not_kept() -> None:
    async def main() -> None:
        tasks = TaskSet()
        await tasks.spawn(asyncio.sleep(0), "short")
        await asyncio.sleep(0)
        assert not tasks._tasks

    asyncio.run(main())


def test_an_event_loop_closes_without_the_tasks_that_do_not_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    may_end = asyncio.Event()
    ended: list[str] = []

    async def obeys() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("obeys")

    async def goes_on() -> None:
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await may_end.wait()

    async def main() -> list[asyncio.Task[None]]:
        tasks = [asyncio.create_task(work(), name=work.__name__) for work in (obeys, goes_on)]
        await asyncio.sleep(0)
        await leave_behind(0.01)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        may_end.set()  # for the test's own sake
        await asyncio.wait(tasks)
        return tasks

    asyncio.run(main())
    assert ended == ["obeys"]
    assert caplog.messages == ["task goes_on does not end and is left behind"]
