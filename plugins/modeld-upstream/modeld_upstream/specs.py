# SPDX-License-Identifier: GPL-3.0-only
"""Models of servers as modeld lists them, and what is read out of that again."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from msgspec.structs import replace

from modeld import ModelSpec
from modeld.values import FileStamp
from modeld_upstream.kinds import ANY, MODELD, Kind
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.wire.documents import ModelDocument

SERVER: Final = "upstream.server"
MODEL: Final = "upstream.model"


def format_of(kind: Kind) -> str:
    """Return the format of models on servers of a kind, which is the name of their backend."""
    return f"upstream-{kind.name}"


def server_of(spec: ModelSpec) -> str:
    """Return the name of the server that has a model."""
    return str(spec.metadata.get(SERVER, ""))


def model_of(spec: ModelSpec) -> str:
    """Return what the server calls the model: its name, or its file."""
    return str(spec.metadata.get(MODEL, spec.path))


def named(server: UpstreamServer, model: str, source: str) -> ModelSpec:
    """Return a model that a server has by a name."""
    return ModelSpec(
        id=f"{server.prefix}{model}",
        name=model,
        path=server.url or model,
        format=format_of(server.kind_of_server),
        metadata={SERVER: server.name, MODEL: model},
        options=server.options,
        source=source,
    )


def listed(server: UpstreamServer, model: ModelDocument, source: str) -> ModelSpec:
    """Return a model that a server lists, with what it says of it."""
    spec = named(server, model.id, source)
    if server.kind == "modeld" and server.capabilities is None:
        spec = replace(spec, offers=_known(model.capabilities))
    context = model.max_model_len
    return replace(spec, context_length=context) if context and context > 0 else spec


def filed(server: UpstreamServer, file: Path, source: str) -> ModelSpec:
    """Return a model that a server is started with as a file or a folder of this machine."""
    spec = ModelSpec(
        id=f"{server.prefix}{file.name}",
        name=file.name if file.is_dir() else file.stem,
        path=str(file),
        format=format_of(server.kind_of_server),
        metadata={SERVER: server.name},
        options=server.options,
        source=source,
    )
    try:
        stat, size_bytes = file.stat(), sum(part.stat().st_size for part in _parts(file))
    except OSError as exc:
        return replace(spec, problem=f"it cannot be read: {exc.strerror}")
    stamp = FileStamp(
        device=stat.st_dev,
        inode=stat.st_ino,
        size_bytes=stat.st_size,
        mtime_ns=stat.st_mtime_ns,
    )
    return replace(spec, size_bytes=size_bytes, stamp=stamp)


def _known(words: object) -> tuple[str, ...] | None:
    """Return what another modeld says of a model, as far as this one has the words."""
    if not isinstance(words, list):
        return None
    return tuple(each.value for each in MODELD.capabilities | ANY if each.value in words)


def _parts(file: Path) -> Sequence[Path]:
    """Return what is read of a model: the file, all files of its split, or those of its folder."""
    if file.is_dir():
        return [part for part in file.iterdir() if part.is_file()]
    stem, first, count = file.stem.rpartition("-00001-of-")
    if first and count.isdecimal():
        return sorted(file.parent.glob(f"{stem}-*-of-{count}{file.suffix}"))
    return [file]
