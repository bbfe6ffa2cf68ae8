# SPDX-License-Identifier: GPL-3.0-only
"""Checks of names from outside: which of them may become files, and what they say."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

LONGEST_NAME: Final = 200
"""In bytes; file systems allow 255, and a part has a longer name."""

MOST_FOLDERS: Final = 5
"""How many folders a file may be in, inside its repository."""

_SHARD: Final = re.compile(r"(.+)-(\d{5})-of-(\d{5})\.gguf", re.IGNORECASE)
_REPOSITORY: Final = re.compile(r"[A-Za-z0-9_][\w.-]{0,95}/[A-Za-z0-9_][\w.-]{0,95}", re.ASCII)
_REVISION: Final = re.compile(r"\w[\w./-]{0,199}", re.ASCII)


class Shard(NamedTuple):
    """What the name of one file of a split model says."""

    stem: str
    number: int
    shards: int


def fault_of_path(path: str) -> str | None:
    """Return why a path that a source names cannot be a model's below a folder, if it cannot."""
    parts = path.split("/")
    if len(parts) > MOST_FOLDERS + 1:
        return f"it is in more than {MOST_FOLDERS} folders"
    for part in parts:
        if part in {"", ".", ".."}:
            return "it leads out of its folder"
        if part.startswith("."):
            return "it is hidden, so it would not be found"
        if not part.isprintable() or "\\" in part:
            return "it has characters that are no part of a name"
        if len(part.encode()) > LONGEST_NAME:
            return f"it is longer than {LONGEST_NAME} bytes"
    return None if is_model(path) else "it is no GGUF file"


def is_model(path: str) -> bool:
    """Return whether a path is a GGUF file's by its name."""
    return path.lower().endswith(".gguf")


def is_beside_a_model(path: str) -> bool:
    """Return whether a file belongs to a model and is none itself: a projector, an imatrix."""
    name = path.rpartition("/")[2].lower()
    return name.startswith("mmproj") or "imatrix" in name


def shard_of(path: str) -> Shard | None:
    """Return what the name of a split model's file says; ``None`` for other files."""
    found = _SHARD.fullmatch(path)
    return Shard(found[1], int(found[2]), int(found[3])) if found else None


def is_repository(text: str) -> bool:
    """Return whether a text is ``OWNER/NAME`` as the hub has it."""
    return _REPOSITORY.fullmatch(text) is not None and ".." not in text


def is_revision(text: str) -> bool:
    """Return whether a text can be the name of a branch, a tag or a commit."""
    return _REVISION.fullmatch(text) is not None and ".." not in text and "//" not in text


def has_quant(path: str, quant: str) -> bool:
    """Return whether a model's file says that it is of a quantisation: ``X-Q4_K_M.gguf``."""
    shard = shard_of(path)
    stem = shard.stem if shard else path[: -len(".gguf")]
    return re.search(rf"(?:^|[-._/]){re.escape(quant)}$", stem, re.IGNORECASE) is not None
