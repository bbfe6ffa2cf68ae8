# SPDX-License-Identifier: GPL-3.0-only
"""The keys and values of a GGUF header."""

from __future__ import annotations

from collections.abc import Mapping
from struct import Struct

from modeld.gguf import infill
from modeld.gguf.cursor import Cursor, GgufError, shown
from modeld.gguf.types import SCALARS, ValueType
from modeld.values import MetadataValue, Value

MAX_KEYS = 65_536
MAX_KEY_BYTES = 65_535
MAX_METADATA_BYTES = 8 << 20
"""The most that all values outside of the tokenizer may take together."""

MAX_STRINGS = 2 << 20
"""The most strings in all arrays together; a large vocabulary has 262,144 words, some as many
pairs to merge."""

KEPT_BYTES = 64 << 10
KEPT_BYTES_TOGETHER = 256 << 10
KEPT_ELEMENTS = 4096
"""Longer values are checked and passed over: nobody decides anything by them."""

SMALLEST_ENTRY_BYTES = 8 + 1 + 4 + 1
"""A key of one letter with a value of one byte."""

KEPT_OF_TOKENIZER = infill.KEYS | {"tokenizer.ggml.model", "tokenizer.ggml.pre"}
TEMPLATE_KEY = "tokenizer.chat_template"
ALIGNMENT_KEY = "general.alignment"
DEFAULT_ALIGNMENT = 32


class Metadata(Value, frozen=True, kw_only=True):
    """What was kept of the keys and values, and how many bytes the tensors are aligned to."""

    values: Mapping[str, MetadataValue]
    alignment: int
    has_chat_template: bool
    has_infill_tokens: bool


def read_metadata(cursor: Cursor, count: int) -> Metadata:
    """Read ``count`` keys and their values; of the tokenizer only its kind and some ids are kept.

    Raises:
        GgufError: something in it is broken; the message names the key.
    """
    reader = _Reader(cursor)
    seen: set[str] = set()
    values: dict[str, MetadataValue] = {}
    for number in range(1, count + 1):
        key = _read_key(cursor, number)
        if key in seen:
            raise GgufError(f"the key {shown(key)} is there twice")
        seen.add(key)
        value = reader.read_value(key)
        if value is not None:
            values[key] = value
    return Metadata(
        values=values,
        alignment=_alignment(values),
        has_chat_template=reader.has_chat_template,
        has_infill_tokens=infill.has_infill_tokens(values, reader.found, reader.tokens),
    )


def _read_key(cursor: Cursor, number: int) -> str:
    cursor.part = f"key {number} of the metadata"
    length = cursor.u64()
    if not 0 < length <= MAX_KEY_BYTES:
        raise GgufError(
            f"key {number} of the metadata has {length} bytes; 1 to {MAX_KEY_BYTES} are possible"
        )
    try:
        return cursor.take(length).decode()
    except UnicodeDecodeError:
        raise GgufError(f"key {number} of the metadata is not UTF-8") from None


def _alignment(values: Mapping[str, MetadataValue]) -> int:
    alignment = values.get(ALIGNMENT_KEY, DEFAULT_ALIGNMENT)
    assert isinstance(alignment, int)
    if alignment < 1 or alignment & (alignment - 1):
        raise GgufError(f"{ALIGNMENT_KEY} is {alignment}, not a power of two")
    return alignment


class _Reader:
    """Reads values within the limits of one file; a value that is not kept is ``None``.

    ``tokens`` is how many tokens there are, and ``found`` those of them that :mod:`.infill` asks
    for. A chat template that is empty is none.
    """

    def __init__(self, cursor: Cursor) -> None:
        self.has_chat_template = False
        self.tokens = 0
        self.found: set[bytes] = set()
        self._cursor = cursor
        self._strings_left = MAX_STRINGS
        self._bytes_left = MAX_METADATA_BYTES
        self._kept_left = KEPT_BYTES_TOGETHER
        self._key = ""
        self._wanted = False

    def read_value(self, key: str) -> MetadataValue | None:
        """Return the value of ``key``, which the cursor has just passed."""
        self._key = key
        of_tokenizer = key.startswith("tokenizer.")
        self._wanted = not of_tokenizer or key in KEPT_OF_TOKENIZER
        self._cursor.part = f"the value of the key {shown(key)}"
        before = self._cursor.position
        value = self._read(self._cursor.u32())
        size_bytes = self._cursor.position - before
        if value is not None:
            self._kept_left -= size_bytes
        if not of_tokenizer:
            self._bytes_left -= size_bytes
        if self._bytes_left < 0:
            raise GgufError(
                f"the metadata has more than {MAX_METADATA_BYTES} bytes without the tokenizer"
            )
        return value

    def _read(self, kind: int) -> MetadataValue | None:
        if self._key == ALIGNMENT_KEY and kind != ValueType.UINT32:
            raise GgufError(f"{ALIGNMENT_KEY} has the value type {kind}, not {ValueType.UINT32}")
        if kind == ValueType.STRING:
            return self._read_string()
        if kind == ValueType.ARRAY:
            return self._read_array(self._cursor.u32(), self._cursor.u64())
        value: bool | int | float = self._cursor.unpack(self._layout(kind))[0]
        return value if self._wanted else None

    def _read_string(self) -> str | None:
        length = self._cursor.u64()
        if self._key == TEMPLATE_KEY:
            self.has_chat_template = length > 0
        if self._wanted and length <= self._may_keep():
            return self._cursor.take(length).decode(errors="replace")
        self._cursor.skip(length)
        return None

    def _read_array(self, kind: int, count: int) -> MetadataValue | None:
        if kind == ValueType.ARRAY:
            raise GgufError(f"the key {shown(self._key)} has an array of arrays as its value")
        if kind == ValueType.STRING:
            return self._read_strings(count)
        layout = self._layout(kind)
        if not self._wanted or count > KEPT_ELEMENTS or count * layout.size > self._may_keep():
            self._cursor.skip(count * layout.size)
            return None
        return list(self._cursor.unpack(Struct(f"<{count}{layout.format[-1:]}")))

    def _read_strings(self, count: int) -> MetadataValue | None:
        if count > self._strings_left:
            raise GgufError(
                f"the key {shown(self._key)} claims {count} strings;"
                f" {MAX_STRINGS} in all keys together are the most"
            )
        self._cursor.require(count * 8)
        self._strings_left -= count
        begin = self._cursor.position
        end = begin + self._may_keep()
        strings: list[bool | int | float | str] = []
        if self._wanted and count <= KEPT_ELEMENTS:
            while len(strings) < count and self._cursor.position < end:
                strings.append(self._read_string() or "")
        if len(strings) == count and self._cursor.position <= end:
            return strings
        self._kept_left -= self._cursor.position - begin  # or a file could make us try for ever
        texts = infill.TEXTS if self._key == infill.TOKENS_KEY else frozenset()
        self.found |= self._cursor.skip_strings(count - len(strings), texts)
        self.tokens = count if texts else self.tokens
        return None

    def _may_keep(self) -> int:
        """Return how many bytes the value may have to be kept."""
        return max(0, min(KEPT_BYTES, self._kept_left))

    def _layout(self, kind: int) -> Struct:
        try:
            return SCALARS[kind]
        except KeyError:
            raise GgufError(
                f"the key {shown(self._key)} has a value of the unknown type {kind}"
            ) from None
