# SPDX-License-Identifier: GPL-3.0-only
"""What a backend looks at before a model is loaded may be on a disk that does not answer."""

import asyncio
import logging
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import ClassVar

import pytest
from msgspec.structs import replace

from modeld import Done, ModelSpec, Options
from modeld.errors import DrainingError, InvalidRequestError, LoadFailedError
from modeld.serving import entry_maker
from modeld.serving.state.model_entry import ModelEntry
from tests.support.serving.counter import Counter, SpeakerBackend, a_counter, a_shelf, until
from tests.support.serving.fakes import an_entry
from tests.support.serving.sources import Files


class Disk:
    """Answers once it may, and notes who was asked for and on which thread."""

    def __init__(self) -> None:
        self.may_go_on = threading.Event()
        self.asked: list[str] = []
        self.threads: set[int] = set()

    def look(self, what: str) -> None:
        self.asked.append(what)
        self.threads.add(threading.get_ident())
        self.may_go_on.wait()


@contextmanager
def a_disk(counter: Counter, model: str = "a") -> Iterator[Disk]:
    """Yield a disk on which there is what the options of ``model`` name."""
    disk, maker = Disk(), counter.service._entries._maker
    make = maker._make

    def looking(spec: ModelSpec) -> ModelEntry:
        if spec.id == model:
            disk.look(spec.id)
        return make(spec)

    maker._make = looking  # type: ignore[method-assign]
    try:
        yield disk
    finally:
        disk.may_go_on.set()


def test_a_disk_that_does_not_answer_holds_up_its_own_model_alone_and_one_thread() -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with a_disk(counter) as disk:
                asking = [counter.asking("hi") for _ in range(5)]
                await until(lambda: disk.asked)
                assert isinstance((await counter.ask("hi", model="b"))[-1], Done)
                asking.pop().cancel()
                disk.may_go_on.set()
                for request in asking:
                    assert isinstance((await request)[-1], Done)
                assert disk.asked == ["a"]
                assert threading.get_ident() not in disk.threads
                assert [spec.id for spec in counter.backend.loaded] == ["b", "a"]

    asyncio.run(main())


def test_nobody_waits_for_ever_and_who_comes_later_finds_the_disk_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(entry_maker, "LIMIT_S", 0.01)

    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            with a_disk(counter) as disk:
                for _ in range(3):
                    with pytest.raises(LoadFailedError, match="'a' is not ready to load") as caught:
                        await counter.ask("hi")
                    assert caught.value.retry_after_s == 0.01
                assert disk.asked == ["a"]
            monkeypatch.setattr(entry_maker, "LIMIT_S", 10)
            assert isinstance((await counter.ask("hi"))[-1], Done)

    asyncio.run(main())


def test_a_file_that_changes_meanwhile_is_the_one_that_is_loaded(tmp_path: Path) -> None:
    async def main() -> None:
        (tmp_path / "a").write_bytes(b"one")
        async with a_counter(Files(tmp_path)) as counter:
            with a_disk(counter) as disk:
                old = counter.asking("hi")
                await until(lambda: disk.asked)
                (tmp_path / "a").write_bytes(b"three")
                new = counter.asking("hi")
                await until(lambda: len(disk.asked) == 2)
                disk.may_go_on.set()
                assert isinstance((await old)[-1], Done)
                assert isinstance((await new)[-1], Done)
            assert [spec.size_bytes for spec in counter.backend.loaded] == [5]

    asyncio.run(main())


def test_what_fails_is_told_to_all_who_wait_and_is_no_fault_where_all_have_left(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            counter.backend.estimate_error = InvalidRequestError("too odd")
            with a_disk(counter) as disk:
                asking = [counter.asking("hi") for _ in range(2)]
                await until(lambda: disk.asked)
                disk.may_go_on.set()
                for request in asking:
                    with pytest.raises(InvalidRequestError, match="too odd"):
                        await request
                disk.may_go_on.clear()
                left = counter.asking("hi")
                await until(lambda: len(disk.asked) == 2)
                left.cancel()
                await asyncio.wait([left])
                disk.may_go_on.set()
                await until(lambda: not counter.service._entries._maker._making)

    asyncio.run(main())
    assert "never retrieved" not in caplog.text


def test_the_end_waits_for_no_disk(caplog: pytest.LogCaptureFixture) -> None:
    async def main(left_behind: ExitStack) -> None:
        async with a_counter(a_shelf()) as counter:
            disk = left_behind.enter_context(a_disk(counter))
            asking = counter.asking("hi")
            await until(lambda: disk.asked)
            await counter.service.aclose()
            with pytest.raises(DrainingError):
                await asking

    of_others = set(threading.enumerate())
    with ExitStack() as left_behind:
        asyncio.run(main(left_behind))
    for thread in set(threading.enumerate()) - of_others:
        if thread.name == "modeld-daemon":
            thread.join()  # it finds nobody who wants its result
    assert caplog.text == ""


class Named(Options, frozen=True):
    """Options that name a file, whose disk is hung up until ``may_go_on``."""

    may_go_on: ClassVar[threading.Event] = threading.Event()
    threads: ClassVar[set[int]] = set()

    def __post_init__(self) -> None:
        self.threads.add(threading.get_ident())
        self.may_go_on.wait()


def test_a_disk_that_does_not_answer_does_not_forbid_the_start(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(entry_maker, "LIMIT_S", 0.01)
    monkeypatch.setattr(SpeakerBackend, "options_type", Named)

    async def main() -> None:
        counter = Counter(a_shelf())
        await counter.service.start()
        try:
            assert (await counter.service.ready()).reason == "loading"
            assert threading.get_ident() not in Named.threads
        finally:
            Named.may_go_on.set()
            await counter.service.aclose()

    with caplog.at_level(logging.ERROR):
        asyncio.run(main())
    assert "the options of the models name a file that does not answer" in caplog.text


def test_an_entry_is_made_anew_for_other_options_while_the_old_one_is_made() -> None:
    """Else the request for the new version would get what was made for the old one."""

    async def main() -> None:
        async with a_counter(a_shelf()) as counter:
            made: list[object] = []
            may_go_on = threading.Event()

            def make(spec: ModelSpec) -> ModelEntry:
                may_go_on.wait()
                made.append(spec.options)
                return an_entry(counter.backend, spec.id)

            maker = entry_maker.EntryMaker(make)
            spec = ModelSpec(id="a", name="a", path="a", options={"context": 1})
            other = replace(spec, options={"context": 2})
            asked = [asyncio.ensure_future(maker.make(each)) for each in (spec, spec, other)]
            await asyncio.sleep(0)
            may_go_on.set()
            first, again, fresh = await asyncio.gather(*asked)
            assert first is again
            assert fresh is not first
            assert sorted(map(str, made)) == ["{'context': 1}", "{'context': 2}"]

    asyncio.run(main())
