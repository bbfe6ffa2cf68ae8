# SPDX-License-Identifier: GPL-3.0-only
"""What absent models have left: in which files, and how much of it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Awaitable, Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from modeld import Engine, EngineHost, ModelSpec, Options, Settings
from modeld.errors import LoadFailedError, StartError
from modeld.hosting.daemon_threads import in_daemon_thread
from modeld.hosting.loading import LoadingHost
from modeld.serving import session_files
from modeld.serving.session_files import (
    FolderFiles,
    MemoryFiles,
    SessionFile,
    SessionFiles,
    key_of,
)
from modeld.serving.session_store import MOST_FILES, SessionStore, store_of
from modeld.serving.state.budget import Ledger
from modeld.testing.doubles.virtual_time import run_virtually, settle
from tests.support.serving.counter import a_counter, a_shelf
from tests.support.serving.fakes import FakeBackend
from tests.support.serving.stage import a_stage

PAGE = 4096
NAMES = ("a", "b", "c", "d")

P = ParamSpec("P")


def spec(model: str) -> ModelSpec:
    return ModelSpec(id=model, name=model, path=f"/{model}")


def at_once(work: Callable[[], None]) -> None:
    work()


def in_loop(test: Callable[P, Awaitable[None]]) -> Callable[P, None]:
    """Run a test in an event loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        async def main() -> None:
            await test(*args, **kwargs)

        asyncio.run(main())

    return run


def a_store(quota: int, files: SessionFiles | None = None) -> SessionStore:
    """Return an open store with room for so many pages."""
    store = SessionStore(files or MemoryFiles(), quota * PAGE, beside=at_once)
    store.open()
    return store


def fill(path: str, pages: int, *, used_s: int, is_saved: bool = True) -> None:
    """Write to a session file as an engine does."""
    fd = os.open(path, os.O_RDWR)
    mark = b"saved..." if is_saved else bytes(8)
    os.pwrite(fd, mark + b"x" * (pages * PAGE - 8), 0)
    os.utime(fd, ns=(used_s * 10**9, used_s * 10**9))
    os.close(fd)


def read(path: str) -> bytes:
    return Path(path).read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def live(
    store: SessionStore, model: str, pages: int, *, used_s: int, saved: bool = True
) -> None:
    """Have a model come into memory, keep so much, and leave."""
    file = await store.take(spec(model))
    assert file is not None
    fill(file.path, pages, used_s=used_s, is_saved=saved)
    await store.give_back(file)


async def content(store: SessionStore, model: str) -> bytes:
    """Return what a model finds when it comes, which then leaves without a use."""
    file = await store.take(spec(model))
    assert file is not None
    data = read(file.path)
    await store.give_back(file)
    return data


@in_loop
async def test_a_model_that_returns_finds_its_file_and_no_other_does() -> None:
    store = a_store(8)
    await live(store, "a", 2, used_s=1)
    assert await content(store, "b") == b""
    assert len(await content(store, "a")) == 2 * PAGE
    assert store.held_bytes == 2 * PAGE
    await store.aclose()
    assert store.held_bytes == 0


@in_loop
async def test_a_file_that_was_not_saved_or_is_too_large_is_not_kept() -> None:
    store = a_store(4)
    await live(store, "a", 2, used_s=1, saved=False)
    await live(store, "b", 5, used_s=1)
    assert store.held_bytes == 0
    await store.aclose()


@in_loop
async def test_the_least_recently_used_go_first_whenever_they_left() -> None:
    store = a_store(4)
    await live(store, "late", 2, used_s=9)
    await live(store, "early", 2, used_s=1)
    await live(store, "new", 2, used_s=5)
    assert [bool(await content(store, name)) for name in ("late", "early", "new")] == [
        True,
        False,
        True,
    ]
    await store.aclose()


@in_loop
async def test_files_make_way_for_models_but_not_for_their_own() -> None:
    store = a_store(8)
    await live(store, "a", 2, used_s=1)
    await live(store, "b", 2, used_s=2)
    store.make_way("a", 2 * PAGE)
    assert store.held_bytes == 4 * PAGE
    store.make_way("c", 2.5 * PAGE)
    assert [bool(await content(store, name)) for name in "ab"] == [False, True]
    store.make_way("c", 0)
    assert store.held_bytes == 0
    await store.aclose()


@in_loop
async def test_no_more_files_are_open_than_may_be() -> None:
    store = a_store(2 * MOST_FILES)
    for number in range(MOST_FILES + 2):
        await live(store, str(number), 1, used_s=number)
    assert store.held_bytes == MOST_FILES * PAGE
    await store.aclose()


@in_loop
async def test_nothing_is_kept_without_a_quota() -> None:
    store = store_of(Settings(session_quota_mb=0))
    assert await store.take(spec("a")) is None


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 6), st.integers(0, 9)), max_size=20),
    st.integers(1, 8),
)
@in_loop
async def test_the_quota_is_never_exceeded(lives: list[tuple[str, int, int]], quota: int) -> None:
    store = a_store(quota)
    for model, pages, used_s in lives:
        await live(store, model, pages, used_s=used_s)
        assert store.held_bytes <= quota * PAGE
        if pages <= quota:
            assert await content(store, model), "who has left last is there"
    await store.aclose()


@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.integers(1, 6), st.integers(0, 9)), max_size=20),
    st.integers(6, 12),
)
@in_loop
async def test_models_and_sessions_together_stay_within_the_budget(
    lives: list[tuple[str, int, int]], budget: int
) -> None:
    store, ledger = a_store(100), Ledger(budget * PAGE)
    ledger.on_taken = lambda model: store.make_way(model, ledger.main.free_bytes)
    for model, pages, used_s in lives:
        was_kept = bool(await content(store, model))
        reservation = ledger.reserve(model, pages * PAGE)
        file = await store.take(spec(model))
        assert file is not None
        assert bool(read(file.path)) == was_kept, "a load never costs its own"
        assert ledger.held_bytes + store.held_bytes <= budget * PAGE
        os.truncate(file.path, 0)
        fill(file.path, pages, used_s=used_s)
        await store.give_back(file)
        reservation.release()
        assert ledger.held_bytes + store.held_bytes <= budget * PAGE
    await store.aclose()


class Keeping(FakeBackend):
    """Says what each load was given for its sessions."""

    keeps_sessions = True

    def __init__(self) -> None:
        super().__init__()
        self.paths: list[str] = []

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        assert isinstance(host, LoadingHost)
        assert host.sessions is not None
        assert host.sessions.most_bytes == 8 * PAGE
        self.paths.append(host.sessions.path)
        return await super().load(spec, options, host)


def test_a_file_goes_to_the_load_and_comes_back_however_that_ends() -> None:
    async def main() -> None:
        store, backend = a_store(8), Keeping()
        async with a_stage(budget_mb=100, backend=backend, sessions=store) as stage:
            entry = stage.entry("a", 100)
            await stage.client(entry, needs_slot=False)
            await stage.end_load("a")
            fill(backend.paths[-1], 2, used_s=1)
            await stage.pool.unload(entry)
            assert store.held_bytes == 2 * PAGE
            await stage.client(entry, needs_slot=False)
            assert store.held_bytes == 0
            backend.loads["a"].set_exception(LoadFailedError("no"))
            await settle()
            assert store.held_bytes == 2 * PAGE
            assert backend.paths[0] == backend.paths[1]
        await store.aclose()

    run_virtually(main())


def test_what_a_service_keeps_shows_in_its_status_and_goes_when_a_model_needs_it() -> None:
    async def main() -> None:
        mib = 1 << 20
        async with a_counter(a_shelf(), memory_budget_mb=105, memory_margin_mb=2) as counter:
            store = counter.service._sessions
            for model, size_mib in (("x", 2), ("y", 3)):
                await live(store, model, size_mib * mib // PAGE, used_s=size_mib)
            assert (await counter.service.status()).session_bytes == 5 * mib
            await counter.ask("hi", model="a")  # it takes 100 of the 103 MiB
            assert (await counter.service.status()).session_bytes == 3 * mib

    asyncio.run(main())


@in_loop
async def test_a_folder_outlives_its_server(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    store = a_store(8, FolderFiles(folder))
    await live(store, "a", 2, used_s=1)
    await live(store, "b", 3, used_s=2)
    killed = await store.take(spec("b"))
    assert killed is not None
    fill(killed.path, 3, used_s=2, is_saved=False)
    killed.close()
    await store.aclose()
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    again = a_store(8, FolderFiles(folder))
    again.open()  # as a start does that follows one that has failed
    assert again.held_bytes == 2 * PAGE
    assert [bool(await content(again, name)) for name in "ab"] == [True, False]
    await again.aclose()
    smaller = a_store(1, FolderFiles(folder))
    assert smaller.held_bytes == 0
    assert not list(folder.glob("*.sessions"))
    await smaller.aclose()


@in_loop
async def test_who_leaves_later_than_its_successor_came_takes_nothing_from_it(
    tmp_path: Path,
) -> None:
    store = a_store(8, FolderFiles(tmp_path / "sessions"))
    old = await store.take(spec("a"))
    assert old is not None
    fill(old.path, 1, used_s=9)
    new = await store.take(spec("a"))
    assert new is not None
    fill(new.path, 2, used_s=1)
    await store.give_back(new)
    await store.give_back(old)
    assert store.held_bytes == 2 * PAGE
    assert len(await content(store, "a")) == 2 * PAGE
    await store.aclose()


class Hanging(FolderFiles):
    """Stands for a folder on a disk that responds when it is told to."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.begun, self.may_go_on = threading.Event(), threading.Event()
        self.dropped = threading.Event()

    def new(self, spec: ModelSpec) -> SessionFile:
        self.begun.set()
        self.may_go_on.wait()
        return super().new(spec)

    def unlink(self, file: SessionFile) -> None:
        super().unlink(file)
        self.dropped.set()


@in_loop
async def test_a_disk_that_hangs_holds_up_nobody_and_keeps_no_file_of_a_cancelled_load(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "sessions"
    files = Hanging(folder)
    store = a_store(8, files)
    load = asyncio.create_task(store.take(spec("a")))
    await in_daemon_thread(files.begun.wait)
    load.cancel()
    with pytest.raises(asyncio.CancelledError):
        await load
    files.may_go_on.set()
    await in_daemon_thread(files.dropped.wait)
    assert names(folder) == ["lock"]
    await store.aclose()


@in_loop
async def test_a_disk_that_does_not_respond_leaves_a_load_without_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session_files, "DISK_S", 0.0)
    files = Hanging(tmp_path / "sessions")
    store = a_store(8, files)
    assert await store.take(spec("a")) is None
    files.may_go_on.set()
    await store.aclose()


@in_loop
async def test_what_an_engine_leaves_as_the_server_ends_stays_for_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_go_on = threading.Event(), threading.Event()

    def hanging(_file: SessionFile) -> bool:
        begun.set()
        return may_go_on.wait()

    folder = tmp_path / "sessions"
    store = a_store(8, FolderFiles(folder))
    file = await store.take(spec("a"))
    assert file is not None
    fill(file.path, 2, used_s=1)
    with monkeypatch.context() as patched:
        patched.setattr(SessionFile, "look", hanging)
        leaving = asyncio.create_task(store.give_back(file))
        await in_daemon_thread(begun.wait)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        may_go_on.set()
    await store.aclose()
    again = a_store(8, FolderFiles(folder))
    assert again.held_bytes == 2 * PAGE
    await again.aclose()


@in_loop
async def test_a_folder_is_emptied_where_nothing_may_be_kept(tmp_path: Path) -> None:
    folder = tmp_path / "sessions"
    store = a_store(8, FolderFiles(folder))
    await live(store, "a", 2, used_s=1)
    await store.aclose()
    await a_store(0, FolderFiles(folder)).aclose()
    assert names(folder) == ["lock"]


@in_loop
async def test_what_else_is_in_a_folder_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "sessions"
    store = a_store(8, FolderFiles(folder))
    for model in ("a", "foreign"):
        await live(store, model, 2, used_s=1)
    await store.aclose()
    foreign = key_of(spec("foreign"))
    others = {name: folder / f"{name}.sessions" for name in ("folder", "link", "fifo", foreign)}
    others["folder"].mkdir()
    others["link"].symlink_to(others[foreign])
    os.mkfifo(others["fifo"])
    inode, fstat = others[foreign].stat().st_ino, os.fstat

    def as_of_another_user(fd: int) -> os.stat_result:
        found = fstat(fd)
        if found.st_ino != inode:
            return found
        return os.stat_result((*found[:4], found.st_uid + 1, *found[5:]))

    monkeypatch.setattr(os, "fstat", as_of_another_user)
    open_before = len(names(Path("/proc/self/fd")))
    again = a_store(8, FolderFiles(folder))
    assert again.held_bytes == 2 * PAGE
    assert len(names(Path("/proc/self/fd"))) == open_before + 2, "the lock and the file of a"
    assert {path.name for path in others.values()} < set(names(folder))
    assert all(f"{name}.sessions is left alone" in caplog.text for name in others)
    await again.aclose()


def test_a_folder_that_fails_to_open_is_not_taken_for_an_empty_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_of_whatever: object) -> None:
        raise OSError(5, "Input/output error")

    store = SessionStore(FolderFiles(tmp_path / "sessions"), 8 * PAGE)
    with monkeypatch.context() as patched:
        patched.setattr(Path, "glob", broken)
        for _start in range(2):
            with pytest.raises(StartError, match="Input/output error"):
                store.open()
    store.open()
    asyncio.run(store.aclose())


@pytest.mark.parametrize("damage", ["open to others", "in use", "no folder"])
def test_a_folder_that_cannot_be_used_stops_the_start(tmp_path: Path, damage: str) -> None:
    folder = tmp_path / "sessions"
    first = None
    if damage == "open to others":
        folder.mkdir(mode=0o755)
        folder.chmod(0o755)
        says = "mode 700"
    elif damage == "in use":
        first = a_store(8, FolderFiles(folder))
        says = "another server uses"
    else:
        folder.write_text("a file")
        says = "cannot be used"
    with pytest.raises(StartError, match=f"session_folder: .*{says}"):
        a_store(8, FolderFiles(folder))
    if first is not None:
        asyncio.run(first.aclose())


class Disk(SessionFile):
    """Tells which thread closes it, and waits there for as long as ``may_close`` is clear."""

    def __init__(self, file: SessionFile) -> None:
        super().__init__(os.dup(file._fd), "key", "a")
        self.closed_by: int | None = None
        self.may_close = threading.Event()

    def close(self) -> None:
        self.may_close.wait()
        self.closed_by = threading.get_ident()
        super().close()


@in_loop
async def test_the_end_of_a_server_leaves_its_event_loop_free_while_a_disk_closes_files(
    tmp_path: Path,
) -> None:
    files = FolderFiles(tmp_path / "sessions")
    store = a_store(8, files)
    file = await store.take(spec("a"))
    assert file is not None
    slow = Disk(file)
    store._kept["key"] = slow
    closing = asyncio.create_task(store.aclose())
    await asyncio.sleep(0)  # the loop turns while the disk does not
    assert not closing.done()
    slow.may_close.set()
    await closing
    assert slow.closed_by not in (None, threading.get_ident())
    file.close()


@in_loop
async def test_a_disk_that_hangs_keeps_no_server_from_its_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(session_files, "DISK_S", 0.01)
    store = a_store(8, FolderFiles(tmp_path / "sessions"))
    file = await store.take(spec("a"))
    assert file is not None
    slow = Disk(file)
    store._kept["key"] = slow
    await store.aclose()
    assert "not closed yet" in caplog.text
    slow.may_close.set()
    file.close()


def test_files_in_memory_are_closed_beside_the_event_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    closers: list[int] = []

    async def main() -> None:
        store = SessionStore(MemoryFiles(), 1 << 20)
        file = await store.take(ModelSpec(id="a", name="a", path="/a"))
        assert file is not None
        os.pwrite(int(file.path.rpartition("/")[2]), b"x" * 8192, 0)
        await store.give_back(file)
        assert store.held_bytes
        close = file.close
        monkeypatch.setattr(file, "close", lambda: (closers.append(threading.get_ident()), close()))
        await store.aclose()

    asyncio.run(main())
    assert len(closers) == 1
    assert closers[0] != threading.get_ident()
