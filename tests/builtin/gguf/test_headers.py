# SPDX-License-Identifier: GPL-3.0-only
from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from modeld.builtin.gguf import headers
from modeld.builtin.gguf.files import look_at
from modeld.builtin.gguf.headers import Headers
from modeld.gguf import GgufError, GgufHeader, read_header
from tests.support.gguf.gguf_corpus import write_model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Keep all headers, however little time they took, in a folder of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(headers, "WORTH_S", -1.0)
    return tmp_path / "cache" / "modeld"


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the names of the files that were read."""
    names: list[str] = []

    def counted(path: str, *, is_regular: bool) -> GgufHeader:
        names.append(Path(path).name)
        return read_header(path, is_regular=is_regular)

    monkeypatch.setattr(headers, "read_header", counted)
    return names


def scan(folder: Path, key: str = "folder") -> list[GgufHeader]:
    """Return the headers of a folder as the next start finds them."""
    known = Headers(key)
    files = [look_at(str(path), path.name) for path in sorted(folder.glob("*.gguf"))]
    found = []
    for file in files:
        try:
            found.append(known.read(file))
        except GgufError:
            continue
    known.keep_only(file.path for file in files)
    return found


def test_the_next_start_reads_only_what_has_changed(
    tmp_path: Path, cache: Path, read: list[str]
) -> None:
    for name in ("a", "b", "c"):
        write_model(tmp_path / f"{name}.gguf", name=name)
    (tmp_path / "broken.gguf").write_bytes(b"")
    first = scan(tmp_path)
    write_model(tmp_path / "b.gguf", name="another")
    (tmp_path / "c.gguf").unlink()
    read.clear()
    again = scan(tmp_path)
    assert [header.name for header in again] == ["a", "another"]
    assert again[0] == first[0]
    assert read == ["b.gguf", "broken.gguf"]
    assert len(list(cache.iterdir())) == 1
    assert next(cache.iterdir()).stat().st_mode & 0o777 == 0o600
    read.clear()
    scan(tmp_path, key="another folder")
    assert "a.gguf" in read, "what others have kept is theirs"


@pytest.mark.parametrize("wrong", [b"", b"\x93\x01\xa50.0.1\x80", b"\xff" * 100])
def test_what_was_kept_otherwise_is_not_used(
    tmp_path: Path, cache: Path, read: list[str], wrong: bytes
) -> None:
    write_model(tmp_path / "a.gguf")
    scan(tmp_path)
    next(cache.iterdir()).write_bytes(wrong)
    assert len(scan(tmp_path)) == 1
    assert read == ["a.gguf", "a.gguf"]


def test_what_another_user_has_kept_is_not_used(
    tmp_path: Path, cache: Path, read: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(tmp_path / "a.gguf")
    scan(tmp_path)
    monkeypatch.setattr(os, "geteuid", lambda: 54321)
    scan(tmp_path)
    assert read == ["a.gguf", "a.gguf"]


def test_where_nothing_can_be_kept_all_is_read(
    tmp_path: Path, cache: Path, read: list[str]
) -> None:
    cache.parent.write_text("no folder")
    write_model(tmp_path / "a.gguf")
    assert len(scan(tmp_path)) == len(scan(tmp_path)) == 1
    assert read == ["a.gguf", "a.gguf"]


def test_what_took_no_time_is_not_kept(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(headers, "WORTH_S", 1000.0)
    write_model(tmp_path / "a.gguf")
    scan(tmp_path)
    assert not cache.exists()


def test_a_file_of_a_scan_is_opened_once_looked_at_once_and_read_in_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = [write_model(tmp_path / f"{number}.gguf") for number in range(3)]
    files = [look_at(str(path), path.name) for path in paths]
    calls: list[str] = []
    for name in ("stat", "fstat", "open", "pread", "close"):
        real = getattr(os, name)

        def counted(*given: Any, name: str = name, real: Any = real, **named: Any) -> Any:
            calls.append(name)
            return real(*given, **named)

        monkeypatch.setattr(os, name, counted)
    monkeypatch.setattr(headers, "_load", lambda _key: {})
    known = Headers("folder")
    for file in files:
        known.read(file)
    assert calls == ["open", "fstat", "pread", "close"] * len(files)
    known.read(files[0])
    assert len(calls) == 4 * len(files)
