# SPDX-License-Identifier: GPL-3.0-only
"""The file that states outlive their engine in: what is found again, and how large it gets."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from modeld_llama_cpp.engine import session_file as session_files
from modeld_llama_cpp.engine.prefix_cache import PrefixCache, SavedSequence
from modeld_llama_cpp.engine.session_file import GRAIN, MAGIC, SessionFile
from modeld_llama_cpp.engine.state import State

ALIKE = b"the same model"


def sequence(number: int, size: int, salt: str = "") -> SavedSequence:
    """Return a sequence whose tokens and state are like no other's."""
    data = bytearray(os.urandom(8) + bytes([number]) * (size - 8))
    return SavedSequence(tokens=tuple(range(number, number + 20)), salt=salt, state=State.of(data))


@contextmanager
def a_file(path: Path, most: int, identity: bytes = ALIKE) -> Iterator[SessionFile]:
    file = SessionFile(str(path), most, identity)
    yield file
    file.close()


def taken_bytes(path: Path) -> int:
    return path.stat().st_blocks * 512


@pytest.fixture
def path() -> Iterator[Path]:
    fd = os.memfd_create("sessions")
    yield Path(f"/proc/self/fd/{fd}")
    os.close(fd)


def test_what_was_saved_is_found_again_in_its_order(path: Path) -> None:
    sequences = [sequence(number, 3 * GRAIN + number, salt=f"s{number}") for number in range(3)]
    states = [bytes(one.state.read() or b"") for one in sequences]
    with a_file(path, 64 * GRAIN) as file:
        file.settle(sequences)
        file.save(sequences)
    used_ns = path.stat().st_mtime_ns
    with a_file(path, 64 * GRAIN) as file:
        found = file.take_over()
        assert [(one.tokens, one.salt) for one in found] == [
            (one.tokens, one.salt) for one in sequences
        ]
        assert [bytes(one.state.read() or b"") for one in found] == states
    assert path.stat().st_mtime_ns >= used_ns
    with a_file(path, 64 * GRAIN) as file:
        assert file.take_over() == [], "the engine before was killed"
        assert taken_bytes(path) <= GRAIN


@pytest.mark.parametrize("at", ["state", "index", "header", "end", "identity"])
def test_a_damage_costs_what_is_damaged_and_no_more(path: Path, at: str) -> None:
    sequences = [sequence(number, 2 * GRAIN) for number in range(2)]
    with a_file(path, 64 * GRAIN) as file:
        file.settle(sequences)
        file.save(sequences)
    whole = path.read_bytes()
    index = int.from_bytes(whole[8:16], "little")
    where = {"state": GRAIN + 5000, "index": index + 40, "header": 3}
    with path.open("r+b") as opened:
        if at == "end":
            opened.truncate(2 * GRAIN)
        elif at in where:
            opened.seek(where[at])
            opened.write(bytes([whole[where[at]] ^ 4]))
    with a_file(path, 64 * GRAIN, b"others" if at == "identity" else ALIKE) as file:
        found = file.take_over()
        sound = [one.state.read() is not None for one in found]
        assert sound == ([False, True] if at == "state" else [])


def forge(path: Path, entries: object, start: int = 7 * GRAIN) -> None:
    """Write a file of 8 grains whose header and index are whole, whatever they say."""
    index = msgspec.msgpack.encode([ALIKE, entries])
    numbers = start.to_bytes(8, "little") + len(index).to_bytes(8, "little")
    with path.open("r+b") as opened:
        opened.write(MAGIC + numbers + hashlib.sha256(index).digest())
        opened.seek(7 * GRAIN)
        opened.write(index)
        opened.truncate(8 * GRAIN)


@pytest.mark.parametrize(
    ("entries", "start"), [([], 7 * GRAIN | 1 << 63), ([], 1 << 62), ([["of a later version"]], 0)]
)
def test_a_file_that_cannot_be_read_is_begun_anew(path: Path, entries: object, start: int) -> None:
    forge(path, entries, start or 7 * GRAIN)
    with a_file(path, 64 * GRAIN) as file:
        assert file.take_over() == []
        one = sequence(1, 2 * GRAIN)
        file.settle([one])
        file.save([one])
    with a_file(path, 64 * GRAIN) as file:
        assert [each.tokens for each in file.take_over()] == [one.tokens]


def test_entries_that_cannot_be_are_left_out(path: Path) -> None:
    positions = {
        "sound": (2 * GRAIN, GRAIN + 5),
        "larger than a file may be": (4 * GRAIN, 1 << 40),
        "of nothing": (4 * GRAIN, 0),
        "less than nothing": (4 * GRAIN, -GRAIN),
        "the header": (0, GRAIN),
        "before the file": (-GRAIN, GRAIN),
        "unaligned": (4 * GRAIN + 1, 9),
        "the same": (2 * GRAIN, GRAIN + 5),
        "over its beginning": (GRAIN, GRAIN + 1),
        "over its end": (3 * GRAIN, 9),
        "beyond the end": (7 * GRAIN, GRAIN + 1),
        "farther than a disk reaches": (1 << 63, 9),
        "before it": (GRAIN, GRAIN),
        "after it": (4 * GRAIN, 9),
    }
    forge(path, [[[1], name, offset, size, 0] for name, (offset, size) in positions.items()])
    with a_file(path, 6 * GRAIN) as file:
        found = file.take_over()
        assert [each.salt for each in found] == ["sound", "before it", "after it"]
        assert [each.state.read() for each in found] == [None] * 3, "no checksum is right"
    assert path.stat().st_size == 5 * GRAIN


def test_a_state_that_no_memory_is_left_for_is_not_there(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_of_whatever: object) -> bytearray:
        raise MemoryError

    one = sequence(1, 2 * GRAIN)
    with a_file(path, 64 * GRAIN) as file:
        file.settle([one])
        monkeypatch.setattr(SessionFile, "read", full)
        assert one.state.read() is None


def test_a_disk_that_is_full_leaves_states_in_the_process(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_of_whatever: object) -> int:
        raise OSError(28, "No space left on device")

    one = sequence(1, 2 * GRAIN)
    with a_file(path, 64 * GRAIN) as file:
        file.take_over()
        monkeypatch.setattr(session_files.os, "pwrite", full)
        file.settle([one])
        assert (one.state.stored, one.state.size) == (None, 2 * GRAIN)
        assert len(one.state.read() or b"") == 2 * GRAIN
        assert taken_bytes(path) <= GRAIN


def test_a_filesystem_that_gives_no_part_of_a_file_back_is_not_used(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_of_whatever: object) -> None:
        raise OSError(95, "Operation not supported")

    with a_file(path, 64 * GRAIN) as file:
        monkeypatch.setattr(session_files.SessionFile, "_empty", unknown)
        with pytest.raises(OSError, match="not supported"):
            file.take_over()


def test_the_most_recently_used_are_in_the_file(path: Path) -> None:
    cache = PrefixCache(1000)
    with a_file(path, 9 * GRAIN) as file:
        for number in range(0, 120, 30):
            cache.add(sequence(number, 2 * GRAIN))
            file.settle(cache)
        assert [one.state.stored is not None for one in cache] == [True, True, True, False]
        assert cache.longest(range(19), "")[0] is not None
        file.settle(cache)
        assert [one.tokens[0] for one in cache if one.state.stored] == [0, 90, 60]
        assert all(one.state.read() for one in cache)


@settings(max_examples=40)
@given(
    st.lists(
        st.one_of(st.none(), st.tuples(st.integers(0, 5), st.integers(9, 40000))), max_size=25
    ),
    st.integers(3, 24),
)
def test_a_file_never_takes_more_than_it_may(
    steps: list[tuple[int, int] | None], most_grains: int
) -> None:
    fd = os.memfd_create("sessions")
    path, most = Path(f"/proc/self/fd/{fd}"), most_grains * GRAIN
    cache, file = PrefixCache(100), SessionFile(str(path), most, ALIKE)
    for step in steps:
        if step is None:  # the engine is closed, and another one comes
            in_file = [one.tokens for one in cache if one.state.stored]
            file.save(cache)
            file.close()
            assert taken_bytes(path) <= most
            cache, file = PrefixCache(100), SessionFile(str(path), most, ALIKE)
            cache.extend(file.take_over())
            assert [one.tokens for one in cache] == in_file
        else:
            cache.add(sequence(step[0] * 30, step[1]))
            file.settle(cache)
        assert taken_bytes(path) <= most
        assert all(one.state.read() for one in cache)
    file.close()
    os.close(fd)
