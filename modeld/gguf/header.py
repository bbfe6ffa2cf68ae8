# SPDX-License-Identifier: GPL-3.0-only
"""Reads what a GGUF file says about itself, and says exactly what is wrong with a broken one.

Everything is bounded: the file is read forwards in small pieces, never mapped, and no count in it
is believed before the file is known to be large enough for it.
"""

from __future__ import annotations

import os
import re
import stat
from collections import Counter
from collections.abc import Mapping

from modeld.gguf import metadata, purpose, tensors
from modeld.gguf.cursor import Cursor, GgufCutError, GgufError, GgufUnreadableError, shown
from modeld.gguf.types import FILE_TYPES
from modeld.values import MetadataValue, Value

MAGIC = b"GGUF"
VERSIONS = (2, 3)
MAX_NAME_CHARACTERS = 200

_ARCHITECTURE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


class GgufHeader(Value, frozen=True, kw_only=True):
    """What the header of one file says.

    ``metadata`` holds scalars and arrays of at most 4,096 elements, no value over 64 KiB, no more
    than 256 KiB together, and of the tokenizer only its kind and the ids of the tokens for filling
    in the middle. ``weights_bytes`` is the sum of the tensors' sizes without padding. ``quant`` is
    what the file calls itself (``Q4_K_M``), or the tensor type that takes most bytes where it does
    not say. ``shard`` is the file's position in a split model, counted from 1, and ``shards`` how
    many files that model has; both are 1 for a model in one file. A language model has a vocabulary
    in its first file and token embeddings in one of them.
    """

    version: int
    metadata: Mapping[str, MetadataValue]
    tensor_count: int
    weights_bytes: int
    family: str
    quant: str
    name: str
    context_length: int | None
    has_chat_template: bool
    has_infill_tokens: bool
    has_vocabulary: bool
    has_token_embeddings: bool
    shard: int = 1
    shards: int = 1


def read_header(path: str | os.PathLike[str], *, is_regular: bool = False) -> GgufHeader:
    """Read the header of the file at ``path``; opens regular files only.

    ``is_regular`` says that the caller has just seen that it is one, which saves a look.

    Raises:
        GgufError: the file is not a GGUF file that can be used.
        GgufUnreadableError: it is missing or cannot be read.
    """
    try:
        descriptor, size_bytes = _open(path, is_regular=is_regular)
        try:
            return _parse(Cursor(descriptor, size_bytes))
        finally:
            os.close(descriptor)
    except FileNotFoundError:
        raise GgufUnreadableError("the file is not there") from None
    except OSError as exc:
        reason = (exc.strerror or str(exc)).lower()
        raise GgufUnreadableError(f"the file cannot be read: {reason}") from exc


def open_regular(path: str | os.PathLike[str]) -> int:
    """Return a descriptor of a regular file, without waiting for anyone.

    It is looked at again when it is open, for the name may have changed hands.

    Raises:
        GgufError: this is no regular file.
        OSError: it cannot be opened.
    """
    return _open(path, is_regular=False)[0]


def _open(path: str | os.PathLike[str], *, is_regular: bool) -> tuple[int, int]:
    """Return a descriptor and the size of the file in bytes."""
    if not is_regular:
        # Before it is opened: to open some devices is to use them.
        _check_regular(os.stat(path).st_mode)  # noqa: PTH116  (a Path costs more than the call)
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    try:
        status = os.fstat(descriptor)
        _check_regular(status.st_mode)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor, status.st_size


def _check_regular(mode: int) -> None:
    if not stat.S_ISREG(mode):
        kind = _KINDS.get(stat.S_IFMT(mode), "something unknown")
        raise GgufError(f"this is {kind}, not a regular file")


def _parse(cursor: Cursor) -> GgufHeader:
    version = _read_version(cursor)
    tensor_count, key_count = cursor.u64(), cursor.u64()
    _check_count(cursor, "keys", key_count, metadata.MAX_KEYS, metadata.SMALLEST_ENTRY_BYTES)
    _check_count(cursor, "tensors", tensor_count, tensors.MAX_TENSORS, tensors.SMALLEST_ENTRY_BYTES)
    keys = metadata.read_metadata(cursor, key_count)
    table = tensors.read_tensors(cursor, tensor_count, keys.alignment)
    values = keys.values
    shard, shards = _split(values)
    purpose.refuse_other_purpose(values, table)
    if not table and shards == 1:
        raise GgufError("the file has no tensors: it is a vocabulary or metadata only")
    sizes = tensors.bytes_by_type(table)
    family = _family(values, required=shard == 1)
    return GgufHeader(
        version=version,
        metadata=values,
        tensor_count=tensor_count,
        weights_bytes=sizes.total(),
        family=family,
        quant=_quant(values, sizes),
        name=_name(values),
        context_length=_context_length(values, family),
        has_chat_template=keys.has_chat_template,
        has_infill_tokens=keys.has_infill_tokens,
        has_vocabulary=purpose.has_vocabulary(values),
        has_token_embeddings=purpose.has_token_embeddings(table),
        shard=shard,
        shards=shards,
    )


def _read_version(cursor: Cursor) -> int:
    if not cursor.size_bytes:
        raise GgufCutError("the file is empty (0 bytes)")
    magic = cursor.take(min(len(MAGIC), cursor.size_bytes))
    if magic != MAGIC:
        begins = repr(magic.decode()) if magic.isascii() else f"bytes {magic.hex(' ')}"
        raise GgufError(f"the file begins with {begins}, not with 'GGUF': it is no GGUF file")
    version = cursor.u32()
    if version and not version & 0xFFFF:
        raise GgufError("the file is big-endian; a little-endian copy of the model is needed")
    if version not in VERSIONS:
        raise GgufError(f"the GGUF version {version} is not supported, only 2 and 3 are")
    return version


def _check_count(cursor: Cursor, what: str, count: int, most: int, smallest_bytes: int) -> None:
    if count > most:
        raise GgufError(f"the header claims {count} {what}; {most} are the most")
    cursor.require(count * smallest_bytes)


def _family(values: Mapping[str, MetadataValue], *, required: bool) -> str:
    family = values.get("general.architecture")
    if family is None and not required:
        return ""
    if family is None:
        raise GgufError("general.architecture is missing")
    if not isinstance(family, str) or not _ARCHITECTURE.fullmatch(family):
        raise GgufError(
            f"general.architecture is {shown(str(family))}, which names no architecture"
        )
    return family


def _quant(values: Mapping[str, MetadataValue], sizes: Counter[str]) -> str:
    said = values.get("general.file_type")
    if isinstance(said, int) and said in FILE_TYPES:
        return FILE_TYPES[said]
    return max(sizes, key=lambda name: (sizes[name], name), default="")


def _name(values: Mapping[str, MetadataValue]) -> str:
    name = values.get("general.name")
    return name.strip()[:MAX_NAME_CHARACTERS] if isinstance(name, str) else ""


def _context_length(values: Mapping[str, MetadataValue], family: str) -> int | None:
    key = f"{family}.context_length"
    length = values.get(key)
    if length is None:
        return None
    if not isinstance(length, int) or isinstance(length, bool) or length < 1:
        raise GgufError(f"{key} is {shown(str(length))}, not a whole number above 0")
    return length


def _split(values: Mapping[str, MetadataValue]) -> tuple[int, int]:
    """Return which shard of how many this is; the files count from 0, their names from 1."""
    index, shards = values.get("split.no", 0), values.get("split.count", 1)
    if not isinstance(index, int) or not isinstance(shards, int):
        raise GgufError("split.no and split.count are not whole numbers")
    shards = max(shards, 1)
    if not 0 <= index < shards:
        raise GgufError(f"split.no is {index}, but split.count is {shards}")
    return index + 1, shards
