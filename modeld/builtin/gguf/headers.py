# SPDX-License-Identifier: GPL-3.0-only
"""Reads the header of each version of a GGUF file once, and remembers it across restarts.

A vocabulary takes 25 ms to pass over, so the files of a large folder take seconds to read.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Final

import msgspec

from modeld.builtin.gguf.files import FoundFile
from modeld.gguf import GgufCutError, GgufError, GgufHeader, GgufUnreadableError, read_header
from modeld.values import FileStamp

SETTLED_S: Final = 3.0
"""A file that is cut and was changed no longer ago than this is taken for one that still grows."""

WORTH_S: Final = 1.0
"""Headers that took longer than this to read are kept for the next start."""

_FORMAT: Final = 1
"""Raise it when :class:`GgufHeader` says something else of the same file."""

_MOST_BYTES: Final = 256 << 20

log = logging.getLogger("modeld.gguf_headers")


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What stands in a file of headers."""

    format: int
    modeld: str
    headers: dict[str, tuple[FileStamp, GgufHeader]]


class Headers:
    """The headers read so far, each good for as long as its file's stamp stays the same.

    ``key`` names whose they are; others have other files. ``now_ns`` is the clock that files have
    their times from.
    """

    def __init__(self, key: str, now_ns: Callable[[], int] = time.time_ns) -> None:
        self._key = key
        self._now_ns = now_ns
        self._known: dict[str, tuple[FileStamp, GgufHeader | GgufError]] | None = None
        self._read_s = 0.0

    def read(self, file: FoundFile) -> GgufHeader:
        """Return the header of a file, from memory where the file has not changed.

        Raises:
            GgufError: the file cannot be used.
        """
        if file.problem is not None:
            raise GgufError(file.problem)
        if file.stamp is None:
            return read_header(file.path)
        if self._known is None:
            self._known = {**_load(self._key)}
        stamp, known = self._known.get(file.path, (None, None))
        if stamp != file.stamp or known is None:
            begun_s = time.perf_counter()
            known = _header_or_fault(file.path)
            self._read_s += time.perf_counter() - begun_s
            self._known[file.path] = file.stamp, known
        if isinstance(known, GgufHeader):
            return known
        age_s = (self._now_ns() - file.stamp.mtime_ns) / 1e9
        if isinstance(known, GgufCutError) and abs(age_s) < SETTLED_S:
            raise GgufError(f"it is still being written, it seems: {known.reason}")
        raise GgufError(known.reason)

    def keep_only(self, paths: Iterable[str]) -> None:
        """Forget all other files, and keep what took long for the next start."""
        known = self._known or {}  # another scan may put a new one in its place meanwhile
        self._known = kept = {path: known[path] for path in paths if path in known}
        if self._read_s > WORTH_S:
            self._read_s = 0.0
            _save(
                self._key,
                {
                    path: (stamp, header)
                    for path, (stamp, header) in kept.items()
                    if isinstance(header, GgufHeader)
                },
            )


def _header_or_fault(path: str) -> GgufHeader | GgufError:
    try:
        return read_header(path, is_regular=True)  # by its stamp
    except GgufUnreadableError:
        raise
    except GgufError as exc:
        return exc.with_traceback(None)


def _file(key: str) -> Path:
    folder = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "modeld"
    return folder / f"headers-{blake2b(key.encode('utf-8', 'replace'), digest_size=8).hexdigest()}"


def _load(key: str) -> Mapping[str, tuple[FileStamp, GgufHeader]]:
    """Return what is kept, if this user has written it and this version of modeld."""
    try:
        with _file(key).open("rb") as file:
            status = os.fstat(file.fileno())
            if status.st_uid != os.geteuid() or status.st_size > _MOST_BYTES:
                return {}
            kept = msgspec.msgpack.decode(file.read(), type=_Kept)
    except (OSError, RuntimeError, msgspec.MsgspecError, RecursionError):
        return {}  # there is none, or it was made otherwise: the files say it all again
    return kept.headers if (kept.format, kept.modeld) == (_FORMAT, version("modeld")) else {}


def _save(key: str, headers: Mapping[str, tuple[FileStamp, GgufHeader]]) -> None:
    kept = _Kept(_FORMAT, version("modeld"), dict(headers))
    try:
        path = _file(key)
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=path.name, delete=False) as file:
            try:
                file.write(msgspec.msgpack.encode(kept))
                file.close()
                Path(file.name).replace(path)
            except BaseException:
                with suppress(OSError):
                    Path(file.name).unlink()
                raise
    except (OSError, RuntimeError, UnicodeError) as exc:  # RuntimeError: a user without a home
        log.debug("headers are not kept for the next start: %s", exc)
