# SPDX-License-Identifier: GPL-3.0-only
"""Models whose file is not there any more: they go, and nobody says that they are ready."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from modeld.errors import InvalidModelError, ModelNotFoundError
from modeld.events import ModelEvicted
from modeld.serving.models import file_watch
from modeld.serving.models.file_watch import FileWatch
from modeld.status import EvictionReason, InstanceState
from tests.support.serving.counter import Counter, a_counter, a_shelf, until, until_running
from tests.support.serving.sources import Files, a_spec


async def is_ready(counter: Counter) -> bool:
    return (await counter.service.ready()).ready


def reasons(counter: Counter) -> list[EvictionReason]:
    return [event.reason for event in counter.notebook.of(ModelEvicted)]


@pytest.mark.parametrize("pinned", [False, True])
def test_a_model_that_no_source_has_any_more_goes_and_the_server_is_not_ready(
    pinned: bool,
) -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            await counter.ask("hi")
            await counter.service.pin("a", pinned=pinned)
            assert await is_ready(counter)

            shelf.specs = [a_spec("b")]
            await counter.service.refresh()
            await until(lambda: reasons(counter))

            assert counter.backend.engines[0].closed
            assert not await is_ready(counter)
            assert reasons(counter) == [EvictionReason.FILE_REMOVED]
            assert await counter.states() == {}
            assert (await counter.service.status()).held_bytes == 0
            with pytest.raises(ModelNotFoundError):
                await counter.ask("hi")
            with pytest.raises(ModelNotFoundError):
                await counter.service.ready("a")

    asyncio.run(main())


def test_what_runs_on_a_vanished_model_finishes_and_who_waits_is_told() -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf, models={"a": {"slots": 1}}) as counter:
            running = counter.asking("one WAIT two")
            await until_running(counter)
            waiting = counter.asking("hi")
            await until(lambda: counter.queue("a").waiting)

            shelf.specs = []
            await counter.service.refresh()

            with pytest.raises(ModelNotFoundError):
                await waiting
            assert counter.state("a") is InstanceState.DRAINING
            assert not await is_ready(counter)
            counter.backend.engines[0].may_go_on.set()
            assert len(await running) == 3
            await until(lambda: counter.backend.engines[0].closed)

    asyncio.run(main())


def test_a_model_that_cannot_be_used_any_more_goes_too() -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            await counter.ask("hi")

            shelf.specs = [a_spec("a", problem="it was cut short")]
            await counter.service.refresh()
            await until(lambda: counter.backend.engines[0].closed)

            assert not await is_ready(counter)
            with pytest.raises(InvalidModelError, match="it was cut short"):
                await counter.ask("hi")

    asyncio.run(main())


def test_a_source_that_fails_takes_nothing_away() -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            await counter.ask("hi")
            shelf.specs, shelf.error = [], OSError("the disk is away")

            await counter.service.refresh()

            assert await is_ready(counter)
            assert reasons(counter) == []

    asyncio.run(main())


def test_a_model_that_comes_back_is_loaded_again() -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            await counter.ask("hi")
            specs, shelf.specs = shelf.specs, []
            await counter.service.refresh()
            shelf.specs = specs
            await counter.service.refresh()

            await counter.ask("hi again")

            assert len(counter.backend.engines) == 2
            assert await is_ready(counter)

    asyncio.run(main())


def test_a_pin_of_a_model_that_is_gone_is_refused() -> None:
    async def main() -> None:
        shelf = a_shelf()
        async with a_counter(shelf) as counter:
            await counter.ask("hi")
            shelf.specs = []
            await counter.service.refresh()
            await until(lambda: counter.backend.engines[0].closed)
            for pinned in (True, False):
                with pytest.raises(ModelNotFoundError):
                    await counter.service.pin("a", pinned=pinned)

    asyncio.run(main())


def test_a_deleted_file_is_noticed_though_nobody_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_watch, "LOOK_EVERY_S", 0.01)

    async def main() -> None:
        path = tmp_path / "a"
        path.write_bytes(b"one")
        async with a_counter(Files(tmp_path)) as counter:
            await counter.ask("hi")
            assert await is_ready(counter)

            path.unlink()

            await until(lambda: counter.backend.engines[0].closed)
            assert not await is_ready(counter)

    asyncio.run(main())


def looking(paths: Callable[[], list[str]], refresh: Callable[[], Awaitable[None]]) -> FileWatch:
    """Return a watch that takes each path for one on a disk of its own."""
    return FileWatch(lambda: enumerate(paths()), refresh, every_s=0.001)


def test_only_a_file_that_is_certainly_gone_has_the_sources_asked(tmp_path: Path) -> None:
    async def main() -> None:
        there, loop = tmp_path / "there", tmp_path / "loop"
        there.write_bytes(b"one")
        loop.symlink_to(loop)
        paths = [str(there), str(loop)]
        looked = asyncio.Event()
        asked = asyncio.Event()

        def looked_at() -> list[str]:
            if looks := len(seen):
                (looked.set if looks > 3 else looked.clear)()
            seen.append(1)
            return paths

        async def refresh() -> None:
            asked.set()

        seen: list[int] = []
        task = asyncio.create_task(looking(looked_at, refresh).run())
        await looked.wait()
        assert not asked.is_set()

        there.unlink()

        async with asyncio.timeout(20):
            await asked.wait()
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())


def test_a_disk_that_hangs_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither other disks nor the end: the thread is left behind, and it is one."""
    may_go_on = threading.Event()
    looks: list[str] = []

    def is_gone(path: str) -> bool:
        looks.append(path)
        if path == "/hangs":
            may_go_on.wait()
        return True

    async def main() -> None:
        monkeypatch.setattr(file_watch, "_is_gone", is_gone)
        asked: list[int] = []

        async def refresh() -> None:
            asked.append(1)

        task = asyncio.create_task(looking(lambda: ["/hangs", "/answers"], refresh).run())
        await until(lambda: len(asked) > 2)
        task.cancel()
        await asyncio.wait([task])

    asyncio.run(main())
    may_go_on.set()
    assert looks.count("/hangs") == 1
    assert looks.count("/answers") > 2
