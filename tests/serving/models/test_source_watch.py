# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from modeld import RegistrySource, Settings
from modeld.builtin.gguf.folder import GgufFolder
from modeld.plugins.host import PluginHost
from modeld.serving.models import source_watch
from modeld.serving.models.registry import Registry
from modeld.serving.models.source_watch import SourceWatch
from modeld.serving.service import LocalService
from tests.support.gguf.gguf_corpus import model_bytes
from tests.support.serving.sources import Files, Shelf

GOOD = model_bytes()


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source_watch, "BEGIN_S", 0)


class Asked:
    """What a watch has had asked again, as it comes."""

    def __init__(self) -> None:
        self.names: asyncio.Queue[str] = asyncio.Queue()
        self.faults: list[str] = []

    async def ask(self, names: Collection[str]) -> None:
        for name in names:
            self.names.put_nowait(name)

    def note(self, kind: str, name: str, said: str, cause: BaseException | None = None) -> None:
        self.faults.append(said)

    async def next(self) -> str:
        return await asyncio.wait_for(self.names.get(), 10)


class WatchedFiles(Files):
    def __init__(self, folder: Path, watched: object) -> None:
        super().__init__(folder)
        self.watched = watched

    def watched_paths(self) -> Collection[str]:
        if isinstance(self.watched, BaseException):
            raise self.watched
        return self.watched  # type: ignore[return-value]


@asynccontextmanager
async def watching(sources: Iterable[RegistrySource]) -> AsyncIterator[Asked]:
    asked = Asked()
    task = asyncio.create_task(SourceWatch(sources, asked.ask, asked.note).run())
    try:
        yield asked
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def test_a_source_is_asked_once_it_is_watched_and_after_each_change(tmp_path: Path) -> None:
    async def main() -> None:
        files = WatchedFiles(tmp_path, [str(tmp_path)])
        async with watching([files, Shelf(name="still")]) as asked:
            assert await asked.next() == "files"
            for change in (
                lambda: (tmp_path / "a.gguf").write_bytes(GOOD),
                lambda: (tmp_path / "a.gguf").write_bytes(GOOD[:-1]),
                lambda: (tmp_path / "a.gguf").rename(tmp_path / "b.gguf"),
                (tmp_path / "b.gguf").unlink,
            ):
                change()
                assert await asked.next() == "files"
                while not asked.names.empty():
                    asked.names.get_nowait()

    asyncio.run(main())


def test_what_programs_write_beside_a_file_is_no_change() -> None:
    for name in (".a.gguf.swp", "a.gguf.part", "ab12.incomplete", "a.gguf.aria2", "a.gguf~"):
        assert not source_watch._matters(f"/models/{name}")
    assert not source_watch._matters("/models/a.gguf.part.json")
    assert source_watch._matters("/models/.cache/a.gguf")


def test_a_folder_that_is_not_there_is_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(source_watch, "LOOK_AGAIN_S", 0.01)

    async def main() -> None:
        files = WatchedFiles(tmp_path, [str(tmp_path / "later")])
        async with watching([files]) as asked:
            (tmp_path / "later").mkdir()
            assert await asked.next() == "files"

    asyncio.run(main())


@pytest.mark.parametrize(
    ("watched", "why"),
    [
        ([5], "watched_paths returned 5, which is no text"),
        (OSError("gone"), "gone"),
        (SystemExit(3), "SystemExit"),
    ],
)
def test_a_source_that_says_nonsense_is_not_watched_and_hurts_no_other(
    tmp_path: Path, watched: object, why: str
) -> None:
    async def main() -> None:
        wrong = WatchedFiles(tmp_path, watched)
        wrong.name = "wrong"
        async with watching([wrong, WatchedFiles(tmp_path, [str(tmp_path)])]) as asked:
            assert await asked.next() == "files"
            assert [said for said in asked.faults if why in said]

    asyncio.run(main())


def test_where_the_kernel_watches_no_more_requests_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(source_watch, "MOST_WATCHED", 0)

    async def main() -> None:
        task = asyncio.create_task(SourceWatch([files], asked.ask, asked.note).run())
        async with asyncio.timeout(10):
            while not caplog.messages:  # noqa: ASYNC110  (a thread sets no event of this loop)
                await asyncio.sleep(0.001)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asked = Asked()
    files = WatchedFiles(tmp_path, [str(tmp_path)])
    asyncio.run(main())
    assert caplog.messages == [
        "source files is not watched, requests look instead: it has 1 folders, and 0 are the most"
    ]


def test_a_folder_that_goes_while_the_watch_begins_is_looked_for_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch, begun = source_watch._watch, []

    def watch_later(paths: Collection[str], *others: Any) -> None:
        begun.append(paths)
        if len(begun) == 1:
            raise FileNotFoundError("gone")
        watch(paths, *others)

    monkeypatch.setattr(source_watch, "_watch", watch_later)

    async def main() -> None:
        async with watching([WatchedFiles(tmp_path, [str(tmp_path)])]) as asked:
            assert await asked.next() == "files"

    asyncio.run(main())
    assert len(begun) == 2


def test_models_come_change_and_go_without_a_request(tmp_path: Path) -> None:
    async def main() -> None:
        scanned = asyncio.Event()
        folder = GgufFolder(str(tmp_path))
        registry = Registry([folder])
        registry.on_scanned = scanned.set
        await registry.refresh()

        async def until(holds: Callable[[], bool]) -> None:
            async with asyncio.timeout(10):
                while not holds():
                    scanned.clear()
                    await scanned.wait()

        def problems() -> dict[str, str | None]:
            return {spec.id: spec.problem for spec in registry.specs()}

        watch = SourceWatch([folder], registry.ask, Asked().note)
        task = asyncio.create_task(watch.run())
        (tmp_path / "sub").mkdir()
        file = tmp_path / "sub" / "a.gguf"
        file.write_bytes(GOOD[:500])
        await until(lambda: "still being written" in str(problems().get("a.gguf")))
        with file.open("ab") as growing:
            growing.write(GOOD[500:])
        await until(lambda: problems() == {"a.gguf": None})
        file.unlink()
        await until(lambda: not problems())
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await registry.aclose()

    asyncio.run(main())


def test_a_service_lists_what_has_come_since_its_start(tmp_path: Path) -> None:
    async def main() -> None:
        settings = Settings(models_dir=str(tmp_path), warm_workers=0)
        service = LocalService(settings, PluginHost.discover(settings))
        await service.start()
        assert await service.models() == ()
        (tmp_path / "a.gguf").write_bytes(GOOD)
        async with asyncio.timeout(10):
            while not await service.models():  # noqa: ASYNC110  (threads set no events of this loop)
                await asyncio.sleep(0.001)
        await service.aclose()

    asyncio.run(main())
