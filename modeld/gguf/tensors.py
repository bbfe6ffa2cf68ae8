# SPDX-License-Identifier: GPL-3.0-only
"""The tensor table of a GGUF header."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from math import prod
from struct import Struct
from typing import NamedTuple

from modeld.gguf.cursor import Cursor, GgufCutError, GgufError, shown
from modeld.gguf.types import TENSOR_TYPES, TensorType

MAX_TENSORS = 65_536
MAX_NAME_BYTES = 63
MAX_DIMENSIONS = 4
MAX_NUMBER = (1 << 63) - 1
"""ggml counts elements and bytes in 64-bit numbers with a sign."""

SMALLEST_ENTRY_BYTES = 8 + 1 + 4 + 4 + 8
"""A name of one letter without dimensions."""

# All that follows the number of dimensions: the dimensions, the type, the offset.
_REST = tuple(Struct(f"<{count}QIQ") for count in range(MAX_DIMENSIONS + 1))


class Tensor(NamedTuple):
    """One tensor; ``offset`` counts from the beginning of the data, in bytes."""

    name: str
    type: TensorType
    offset: int
    size_bytes: int


def read_tensors(cursor: Cursor, count: int, alignment: int) -> list[Tensor]:
    """Read the table and check that the file holds what it promises.

    Raises:
        GgufError: something in it is broken; the message names the tensor.
    """
    tensors = [_read_tensor(cursor, number) for number in range(1, count + 1)]
    seen: set[str] = set()
    for tensor in tensors:
        if tensor.name in seen:
            raise GgufError(f"the tensor {shown(tensor.name)} is there twice")
        seen.add(tensor.name)
    _check_positions(tensors, cursor, alignment)
    return tensors


def bytes_by_type(tensors: Sequence[Tensor]) -> Counter[str]:
    """Return how many bytes the tensors of each type take, by the type's name."""
    sizes: Counter[str] = Counter()
    for tensor in tensors:
        sizes[tensor.type.name] += tensor.size_bytes
    return sizes


def _read_tensor(cursor: Cursor, number: int) -> Tensor:
    cursor.part = f"tensor {number} of the tensor table"
    name = _read_name(cursor, number)
    dimensions = cursor.u32()
    if dimensions > MAX_DIMENSIONS:
        raise GgufError(
            f"the tensor {shown(name)} has {dimensions} dimensions; {MAX_DIMENSIONS} are the most"
        )
    *shape, kind, offset = cursor.unpack(_REST[dimensions])
    tensor_type = TENSOR_TYPES.get(kind)
    if tensor_type is None:
        raise GgufError(f"the tensor {shown(name)} has the unknown type {kind}")
    return Tensor(name, tensor_type, offset, _size(name, shape, tensor_type))


def _read_name(cursor: Cursor, number: int) -> str:
    length = cursor.u64()
    if not 0 < length <= MAX_NAME_BYTES:
        raise GgufError(
            f"the name of tensor {number} has {length} bytes; 1 to {MAX_NAME_BYTES} are possible"
        )
    try:
        return cursor.take(length).decode()
    except UnicodeDecodeError:
        raise GgufError(f"the name of tensor {number} is not UTF-8") from None


def _size(name: str, shape: Sequence[int], kind: TensorType) -> int:
    for length in shape:
        if not 0 < length <= MAX_NUMBER:
            signed = length - (1 << 64) if length > MAX_NUMBER else length
            raise GgufError(f"the tensor {shown(name)} has a dimension of {signed}")
    row = shape[0] if shape else 1
    if row % kind.block:
        raise GgufError(
            f"the tensor {shown(name)} has rows of {row} elements;"
            f" {kind.name} needs a multiple of {kind.block}"
        )
    elements = prod(shape)
    size_bytes = elements // kind.block * kind.size_bytes
    if max(elements, size_bytes) > MAX_NUMBER:
        raise GgufError(
            f"the size of the tensor {shown(name)} overflows:"
            f" {elements} elements, {size_bytes} bytes"
        )
    return size_bytes


def _check_positions(tensors: Sequence[Tensor], cursor: Cursor, alignment: int) -> None:
    """Check that every tensor lies aligned in the file and on no other tensor."""
    start = -(-cursor.position // alignment) * alignment
    for tensor in tensors:
        if tensor.offset % alignment:
            raise GgufError(
                f"the tensor {shown(tensor.name)} is at offset {tensor.offset},"
                f" not a multiple of the alignment {alignment}"
            )
        end = start + tensor.offset + tensor.size_bytes
        if end > cursor.size_bytes:
            raise GgufCutError(
                f"the file is cut in the data of the tensor {shown(tensor.name)}, which ends"
                f" at byte {end}; the file has {cursor.size_bytes} bytes"
            )
    ordered = sorted(tensors, key=lambda tensor: tensor.offset)
    for tensor, following in pairwise(ordered):
        if tensor.offset + tensor.size_bytes > following.offset:
            raise GgufError(f"the tensors {shown(tensor.name)} and {shown(following.name)} overlap")
