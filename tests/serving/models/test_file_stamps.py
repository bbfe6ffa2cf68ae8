# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import asyncio
import threading
from pathlib import Path

import pytest

from modeld.serving.models import file_stamps
from modeld.serving.models.file_stamps import FileStamps, stamp_of
from modeld.values import FileStamp


def test_a_file_is_looked_at_as_it_is_now(tmp_path: Path) -> None:
    async def main() -> None:
        path = tmp_path / "a"
        stamps = FileStamps()
        assert await stamps.look(str(path), 1) is None
        path.write_bytes(b"one")
        first = await stamps.look(str(path), 1)
        path.write_bytes(b"three")
        second = await stamps.look(str(path), 1)
        assert first is not None
        assert second is not None
        assert (first.size_bytes, second.size_bytes) == (3, 5)
        assert await stamps.look("\0", 1) is None
        stamps.close()

    asyncio.run(main())


def test_each_device_has_a_thread_until_the_end(tmp_path: Path) -> None:
    async def main() -> None:
        before = set(threading.enumerate())  # other tests may have left theirs
        stamps = FileStamps()
        for device in (7, 8, 7):
            await stamps.look(str(tmp_path), device)
        threads = set(threading.enumerate()) - before
        assert sorted(thread.name for thread in threads) == ["modeld-stat-7", "modeld-stat-8"]
        stamps.close()
        for thread in threads:
            thread.join(10)
            assert not thread.is_alive()

    asyncio.run(main())


def test_a_look_that_has_begun_does_not_count_for_who_comes_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The file may have been overwritten in between."""
    begun, free = threading.Event(), threading.Event()
    looks: list[int] = []

    def look(path: str) -> FileStamp | None:
        looks.append(len(looks))
        begun.set()
        free.wait(10)
        return FileStamp(device=1, inode=len(looks), size_bytes=1, mtime_ns=1)

    monkeypatch.setattr(file_stamps, "stamp_of", look)

    async def main() -> None:
        stamps = FileStamps()
        early = asyncio.create_task(stamps.look("/a", 1))
        await asyncio.sleep(0)
        await asyncio.to_thread(begun.wait, 10)
        late = [asyncio.create_task(stamps.look("/a", 1)) for _ in range(5)]
        await asyncio.sleep(0)
        free.set()
        first, *others = await asyncio.gather(early, *late)
        assert first is not None
        assert first.inode == 1
        assert {other.inode for other in others if other} == {2}
        stamps.close()

    asyncio.run(main())


def test_a_loop_that_is_gone_harms_no_later_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, free = threading.Event(), threading.Event()
    stamps = FileStamps()

    def look(path: str) -> FileStamp | None:
        begun.set()
        free.wait(10)
        return stamp_of(path)

    monkeypatch.setattr(file_stamps, "stamp_of", look)

    async def leaves() -> None:
        looking = asyncio.create_task(stamps.look(str(tmp_path / "x"), 1))
        await asyncio.sleep(0)
        await asyncio.to_thread(begun.wait, 10)
        looking.cancel()

    asyncio.run(leaves())
    free.set()
    (tmp_path / "a").write_bytes(b"one")
    assert asyncio.run(stamps.look(str(tmp_path / "a"), 1)) is not None
    stamps.close()


class AnsweringThread:
    """Stands in front of ``os.stat`` and notes who looks."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.idents: list[int] = []
        monkeypatch.setattr(file_stamps, "stamp_of", self._stamp_of)

    def _stamp_of(self, path: str) -> FileStamp | None:
        self.idents.append(threading.get_ident())
        return stamp_of(path)


@pytest.mark.parametrize(
    ("kind", "is_open", "beside"),
    [("ext4", True, False), ("ext4", False, True), ("nfs4", True, True), ("", True, True)],
)
def test_only_an_open_file_of_a_local_filesystem_is_looked_at_on_the_loop(
    kind: str, is_open: bool, beside: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another one may have to ask a disk, or a network, that does not answer."""
    monkeypatch.setattr(file_stamps, "kind_of", lambda _device: kind)
    looked = AnsweringThread(monkeypatch)

    async def main() -> None:
        stamps = FileStamps()
        await stamps.look(str(tmp_path), 1)  # the thread of the device has found out its kind
        assert await stamps.look(str(tmp_path), 1, is_open=is_open) == stamp_of(str(tmp_path))
        stamps.close()

    asyncio.run(main())
    first, second = looked.idents
    assert first != threading.get_ident(), "a device that is new may be silent"
    assert (second != threading.get_ident()) is beside


def test_the_kernel_tells_the_kind_of_a_filesystem() -> None:
    assert file_stamps.kind_of(Path("/proc").stat().st_dev) == "proc"
    assert file_stamps.kind_of(0) == ""
