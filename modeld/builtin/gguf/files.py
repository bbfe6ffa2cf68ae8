# SPDX-License-Identifier: GPL-3.0-only
"""Finds the files below a folder whose names end in ``.gguf``."""

from __future__ import annotations

import os
import stat
from collections import deque
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from modeld.builtin.gguf.names import displayed
from modeld.values import FileStamp

MAX_DEPTH = 8
MAX_FILES = 50_000
MAX_ENTRIES = 100_000

UNSHOWN = (
    "the name of the file or of its folder is not UTF-8 or has control characters or"
    " invisible ones; rename it"
)


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
        """Return the file's name without its folders."""
        return self.relative.rpartition("/")[2]


class Search(NamedTuple):
    """What a search has found and in which folders, and what it has left out and why."""

    files: list[FoundFile]
    folders: list[str]
    notes: list[str]


def find_files(root: Path, *, follow_links: bool = True) -> Search:
    """Return all ``*.gguf`` below ``root``, upper folders first, in the order of their names.

    Hidden files and folders are passed over, and so is anything below eight levels. Links to
    folders are searched after all real folders, and no folder twice. Without ``follow_links`` they
    are not searched, and links to files must stay below ``root``.

    Raises:
        OSError: ``root`` itself cannot be read.
    """
    return _Searching(root, follow_links=follow_links).search()


def look_at(path: str, relative: str) -> FoundFile:
    """Return a file as it is found at ``path``; a link is followed."""
    stamp, problem = None, None
    try:
        stamp = _stamp(os.stat(path))  # noqa: PTH116  (a Path costs more than the call)
    except OSError as exc:
        kind = "link" if os.path.islink(path) else "file"  # noqa: PTH114  (likewise)
        problem = f"{kind} cannot be followed: {str(exc.strerror).lower()}"
    except ValueError:  # a null character, which no file's name has
        problem = UNSHOWN
    if displayed(path) != path:
        problem = UNSHOWN
    return FoundFile(relative=relative, path=path, stamp=stamp, problem=problem)


class _Searching:
    """One search, from the folder at the top down."""

    def __init__(self, root: Path, *, follow_links: bool) -> None:
        self._root = root
        self._real_root = root.resolve()
        self._follow_links = follow_links
        self._folders = deque([(root, 0)])
        self._links: deque[tuple[Path, int]] = deque()
        self._searched: set[tuple[int, int]] = set()
        self._files: list[FoundFile] = []
        self._looked_in: list[str] = []
        self._notes: list[str] = []

    def search(self) -> Search:
        seen = 0
        while self._folders or self._links:
            # Links last: a file that is below the root by itself goes by that path.
            folder, depth = (self._folders or self._links).popleft()
            for entry in self._entries(folder, depth):
                if len(self._files) == MAX_FILES or seen == MAX_ENTRIES:
                    count = len(self._files)
                    self._notes.append(f"search stopped after {seen} files, {count} of them models")
                    return self._found()
                seen += 1
                self._take(entry, depth)
        return self._found()

    def _found(self) -> Search:
        return Search(self._files, self._looked_in, self._notes)

    def _entries(self, folder: Path, depth: int) -> list[os.DirEntry[str]]:
        """Return what is in a folder; nothing if it was searched before, under another name."""
        try:
            status = folder.stat()
            if (status.st_dev, status.st_ino) in self._searched:
                self._leave_out(folder, "it leads to a folder that is searched already")
                return []
            self._searched.add((status.st_dev, status.st_ino))
            with os.scandir(folder) as entries:
                some = islice(entries, MAX_ENTRIES)
                visible = [entry for entry in some if not entry.name.startswith(".")]
        except OSError as exc:
            if depth == 0:
                raise
            self._leave_out(folder, exc.strerror)
            return []
        self._looked_in.append(str(folder))
        return sorted(visible, key=lambda entry: entry.name)

    def _take(self, entry: os.DirEntry[str], depth: int) -> None:
        is_model = entry.name.lower().endswith(".gguf")
        if entry.is_symlink():
            self._take_link(entry, depth, is_model=is_model)
        elif entry.is_dir():
            self._queue(self._folders, entry, depth)
        if is_model:
            self._files.append(self._look_at(entry))

    def _take_link(self, entry: os.DirEntry[str], depth: int, *, is_model: bool) -> None:
        try:
            is_folder = stat.S_ISDIR(entry.stat().st_mode)
        except OSError as exc:
            if not is_model:  # a model's problem is told with the model
                self._leave_out(entry.path, exc.strerror)
            return
        if is_folder and self._follow_links:
            self._queue(self._links, entry, depth)
        elif is_folder:
            self._leave_out(entry.path, "it is a link, and follow_links is off")

    def _queue(self, queue: deque[tuple[Path, int]], entry: os.DirEntry[str], depth: int) -> None:
        if depth < MAX_DEPTH:
            queue.append((Path(entry.path), depth + 1))
        else:
            self._leave_out(entry.path, "it is too deep")

    def _leave_out(self, path: str | Path, why: str | None) -> None:
        self._notes.append(f"not searched: {str(path)!a}: {why}")

    def _look_at(self, entry: os.DirEntry[str]) -> FoundFile:
        relative = entry.path[len(str(self._root)) :].lstrip("/")
        stamp, problem = None, None
        try:
            if entry.is_symlink() and not self._may_follow(entry.path):
                problem = "link leads outside of the models folder, and follow_links is off"
            else:
                stamp = _stamp(entry.stat())
        except (OSError, RuntimeError) as exc:  # RuntimeError: a circle of links, up to Python 3.12
            reason = exc.strerror if isinstance(exc, OSError) else "it leads in a circle"
            kind = "link" if entry.is_symlink() else "file"
            problem = f"{kind} cannot be followed: {str(reason).lower()}"
        if displayed(entry.path) != entry.path:
            problem = UNSHOWN
        return FoundFile(relative=relative, path=entry.path, stamp=stamp, problem=problem)

    def _may_follow(self, path: str) -> bool:
        return self._follow_links or Path(path).resolve().is_relative_to(self._real_root)


def _stamp(status: os.stat_result) -> FileStamp | None:
    if not stat.S_ISREG(status.st_mode):
        return None
    return FileStamp(
        device=status.st_dev,
        inode=status.st_ino,
        size_bytes=status.st_size,
        mtime_ns=status.st_mtime_ns,
    )
