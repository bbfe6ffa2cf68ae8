# SPDX-License-Identifier: GPL-3.0-only
"""Finds the files below a folder whose names end in ``.gguf``, and groups split models."""

from __future__ import annotations

import logging
import os
import re
import stat
import unicodedata
from collections import deque
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from modeld.values import FileStamp

MAX_DEPTH = 8
MAX_FILES = 10_000
MAX_ENTRIES = 100_000

_SHARD = re.compile(r"(.+)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE | re.DOTALL)

log = logging.getLogger("modeld.gguf_folder")


class FoundFile(NamedTuple):
    """A file, or what pretends to be one, as it was found.

    ``relative`` is the path below the folder, ``path`` the whole one, both as the system gave
    them. ``stamp`` is ``None`` for what is no regular file. ``problem`` says why the file must not
    be opened.
    """

    relative: str
    path: str
    stamp: FileStamp | None
    problem: str | None

    @property
    def name(self) -> str:
        """The file's name without its folders."""
        return self.relative.rpartition("/")[2]


class FileGroup(NamedTuple):
    """The files of one model in the order of their numbers; all but split models have one.

    ``relative`` is the path of the first file below the folder, also where that file is missing.
    ``shards`` is how many files there should be, ``missing`` holds the numbers of those that
    are not there.
    """

    relative: str
    files: tuple[FoundFile, ...]
    shards: int = 1
    missing: tuple[int, ...] = ()


def find_files(root: Path) -> list[FoundFile]:
    """All ``*.gguf`` below ``root``, upper folders first, in the order of their names.

    Hidden files and folders are passed over, links to folders are not followed, and neither is
    anything below eight levels. What is left out because of a limit is logged.

    Raises:
        OSError: ``root`` itself cannot be read.
    """
    real_root = root.resolve()
    folders = deque([(root, 0)])
    found: list[FoundFile] = []
    seen = 0
    while folders:
        folder, depth = folders.popleft()
        for entry in _entries(folder, must_exist=depth == 0):
            if len(found) == MAX_FILES or seen == MAX_ENTRIES:
                log.warning("search stopped after %d files, %d of them models", seen, len(found))
                return found
            seen += 1
            if entry.is_dir(follow_symlinks=False):
                if depth < MAX_DEPTH:
                    folders.append((Path(entry.path), depth + 1))
                else:
                    log.warning("not searched, because it is too deep: %s", ascii(entry.path))
            if entry.name.lower().endswith(".gguf"):
                found.append(_look_at(entry, root, real_root))
    return found


def group_files(files: Iterable[FoundFile]) -> list[FileGroup]:
    """Put the shards of each split model together; ``mmproj`` files belong to no model list."""
    groups: list[FileGroup] = []
    split: dict[tuple[str, int, str], dict[int, FoundFile]] = {}
    for file in files:
        if file.name.lower().startswith("mmproj"):
            continue
        match = _SHARD.fullmatch(file.relative)
        number, shards = (int(match[2]), int(match[3])) if match else (0, 0)
        if match and 1 <= number <= shards:
            split.setdefault((match[1], shards, match[4]), {})[number] = file
        else:
            groups.append(FileGroup(relative=file.relative, files=(file,)))
    for (stem, shards, suffix), parts in split.items():
        groups.append(_group(f"{stem}-00001-of-{shards:05}{suffix}", shards, parts))
    return groups


def displayed(text: str) -> str:
    """``text`` with everything escaped that is not UTF-8 or would not be seen in print."""
    if text.isprintable():
        return text
    text = text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(
        character.encode("unicode_escape").decode() if _is_unseen(character) else character
        for character in text
    )


def _is_unseen(character: str) -> bool:
    return unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"}


def _entries(folder: Path, *, must_exist: bool) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            some = islice(entries, MAX_ENTRIES)
            visible = [entry for entry in some if not entry.name.startswith(".")]
    except OSError as exc:
        if must_exist:
            raise
        log.warning("not searched: %s: %s", ascii(str(folder)), exc.strerror)
        return []
    return sorted(visible, key=lambda entry: entry.name)


def _look_at(entry: os.DirEntry[str], root: Path, real_root: Path) -> FoundFile:
    relative = entry.path[len(str(root)) :].lstrip("/")
    stamp, problem = None, None
    try:
        if entry.is_symlink() and not Path(entry.path).resolve().is_relative_to(real_root):
            problem = "link leads outside of the models folder"
        else:
            stamp = _stamp(entry.stat())
    except (OSError, RuntimeError) as exc:  # RuntimeError: a circle of links, up to Python 3.12
        reason = exc.strerror if isinstance(exc, OSError) else "it leads in a circle"
        kind = "link" if entry.is_symlink() else "file"
        problem = f"{kind} cannot be followed: {str(reason).lower()}"
    if displayed(entry.path) != entry.path:
        problem = "the name of the file or of its folder is not UTF-8 or has control characters"
    return FoundFile(relative=relative, path=entry.path, stamp=stamp, problem=problem)


def _stamp(status: os.stat_result) -> FileStamp | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileStamp(
        device=status.st_dev,
        inode=status.st_ino,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )


def _group(first: str, shards: int, parts: dict[int, FoundFile]) -> FileGroup:
    return FileGroup(
        relative=first,
        files=tuple(parts[number] for number in sorted(parts)),
        shards=shards,
        missing=tuple(number for number in range(1, shards + 1) if number not in parts),
    )
