# SPDX-License-Identifier: GPL-3.0-only
"""Makes small GGUF files, good ones and ones that are each broken in one way.

Good files come from the ``gguf`` package; broken ones are good ones with a few bytes changed, so
that exactly one thing is wrong with each. Run as a program it writes the whole corpus to a folder.
"""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import gguf
import numpy as np

TENSORS = ("token_embd.weight", "blk.0.attn_q.weight", "output_norm.weight")
Q4_0_BYTES = 4 * 2 * 18
F32_BYTES = 64 * 4


def write_model(
    path: Path,
    *,
    architecture: str = "llama",
    name: str = "Tiny Llama",
    file_type: int | None = 2,
    context_length: int | None = 2048,
    vocabulary: int = 300,
    alignment: int | None = None,
    chat_template: str | None = "{{ messages }}",
    split: tuple[int, int, int] | None = None,
    kind: str | None = None,
    tokenizer: str | None = "gpt2",
    tensors: tuple[str, ...] = TENSORS,
) -> Path:
    """Write a good model: tensors of zeros, the last one F32, the others Q4_0.

    ``split`` is the shard's index from 0, the number of shards and the number of all tensors;
    ``kind`` is what the file says that it is.
    """
    writer = gguf.GGUFWriter(path, architecture)
    if kind is not None:
        writer.add_type(kind)
    if split is not None:
        writer.add_uint16("split.no", split[0])
        writer.add_uint16("split.count", split[1])
        writer.add_int32("split.tensors.count", split[2])
    if alignment is not None:
        writer.add_custom_alignment(alignment)
    writer.add_name(name)
    writer.add_languages(["en", "fr"])
    if file_type is not None:
        writer.add_file_type(file_type)
    if context_length is not None:
        writer.add_context_length(context_length)
    writer.add_block_count(1)
    writer.add_rope_freq_base(10000.0)
    writer.add_causal_attention(True)
    if tokenizer is not None:
        writer.add_tokenizer_model(tokenizer)
    writer.add_token_list([f"token{number}" for number in range(vocabulary)])
    writer.add_token_types([1] * vocabulary)
    if chat_template is not None:
        writer.add_chat_template(chat_template)
    for number, tensor in enumerate(tensors, start=1):
        if number == len(tensors):
            writer.add_tensor(tensor, np.zeros(64, dtype=np.float32))
        else:
            writer.add_tensor(
                tensor,
                np.zeros((4, 36), dtype=np.uint8),
                raw_dtype=gguf.GGMLQuantizationType.Q4_0,
            )
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def model_bytes(**changes: object) -> bytes:
    """Return the bytes of the model that :func:`write_model` makes."""
    with TemporaryDirectory() as folder:
        return write_model(Path(folder, "model.gguf"), **changes).read_bytes()  # type: ignore[arg-type]


class Broken(NamedTuple):
    """A broken file: what is wrong, a part of the reason that must be given, and how to make it."""

    name: str
    reason: str
    write: Callable[[Path], object]


def corpus() -> Iterator[Broken]:
    """Yield all kinds of broken files, each with one fault."""
    good = model_bytes()
    for name, reason, content in (
        *_broken_headers(good),
        *_broken_metadata(good),
        *_broken_tensors(good),
        *_broken_data(good),
        *_unusable_models(),
    ):
        yield Broken(name, reason, _writer(content))
    yield from _no_regular_files()
    yield from _sparse_files(good)


Fault = tuple[str, str, bytes]


def _broken_headers(good: bytes) -> Iterator[Fault]:
    yield "zero-bytes", "empty", b""
    yield "wrong-magic", "begins with 'GGML'", b"GGML" + good[4:]
    yield "plain-text", "begins with 'root'", b"root:x:0:0:root:/root:/bin/bash\n"
    yield "half-a-magic", "begins with 'GG'", b"GG"
    yield "magic-only", "cut", good[:4]
    yield "header-only", "cut in the header", good[:24]
    for version in (0, 1, 4, 99):
        yield f"version-{version}", f"version {version} is not", _put(good, 4, "<I", version)
    yield "big-endian", "big-endian", _put(good, 4, ">I", 3)
    yield "keys-2-60", f"claims {1 << 60} keys", _put(good, 16, "<Q", 1 << 60)
    yield "keys-too-many", "claims 65537 keys", _put(good, 16, "<Q", 65537) + bytes(1 << 20)
    yield "tensors-2-60", f"claims {1 << 60} tensors", _put(good, 8, "<Q", 1 << 60)
    yield "tensors-negative", "tensors", _put(good, 8, "<q", -1)


def _broken_metadata(good: bytes) -> Iterator[Fault]:
    key = b"llama.context_length"
    at = _entry(good, key)
    value_type = at + 8 + len(key)
    yield "key-length-huge", "has 1152921504606846976 bytes", _put(good, at, "<Q", 1 << 60)
    yield "key-empty", "has 0 bytes", _put(good, at, "<Q", 0)
    yield "key-not-utf-8", "not UTF-8", _put(good, at + 8, "<B", 0xFF)
    yield "key-twice", "is there twice", good.replace(key, b"general.architecture"[: len(key)])
    yield "value-type-unknown", "unknown type 13", _put(good, value_type, "<I", 13)
    yield "context-zero", "context_length is '0'", _put(good, value_type + 4, "<I", 0)
    negative = _put(_put(good, value_type, "<I", 5), value_type + 4, "<i", -1)
    yield "context-negative", "context_length is '-1'", negative
    as_float = _put(good, value_type, "<I", 6)
    yield "context-of-wrong-type", "not a whole number", as_float

    name_at = _entry(good, b"general.name") + 8 + len(b"general.name") + 4
    yield "string-length-huge", "cut in the value of", _put(good, name_at, "<Q", 1 << 63)

    tokens_at = _entry(good, b"tokenizer.ggml.tokens") + 8 + len(b"tokenizer.ggml.tokens") + 4
    yield "array-of-arrays", "array of arrays", _put(good, tokens_at, "<I", 9)
    yield "array-type-unknown", "unknown type 77", _put(good, tokens_at, "<I", 77)
    yield "array-length-huge", "strings", _put(good, tokens_at + 4, "<Q", 1 << 60)
    yield "array-string-huge", "cut", _put(good, tokens_at + 12, "<Q", 1 << 60)
    types_at = _entry(good, b"tokenizer.ggml.token_type") + 8 + 25 + 4
    yield "number-array-huge", "cut", _put(good, types_at + 4, "<Q", 1 << 61)

    aligned = model_bytes(alignment=64)
    alignment_at = _entry(aligned, b"general.alignment") + 8 + 17
    for wrong in (0, 3, 48):
        content = _put(aligned, alignment_at + 4, "<I", wrong)
        yield f"alignment-{wrong}", f"alignment is {wrong}, not a power", content
    yield "alignment-of-wrong-type", "value type 5", _put(aligned, alignment_at, "<I", 5)

    architecture = b"general.architecture"
    value_at = _entry(good, architecture) + 8 + len(architecture) + 4 + 8
    odd = good[:value_at] + b"ll\n/a" + good[value_at + 5 :]
    yield "architecture-missing", "is missing", good.replace(architecture, b"general.architectura")
    yield "architecture-odd", "names no architecture", odd


def _broken_tensors(good: bytes) -> Iterator[Fault]:
    name = TENSORS[1].encode()
    at = _entry(good, name)
    dimensions = at + 8 + len(name)
    shape, kind = dimensions + 4, dimensions + 4 + 16
    yield "tensor-name-too-long", "64 bytes", _put(good, at, "<Q", 64)
    yield "tensor-name-empty", "0 bytes", _put(good, at, "<Q", 0)
    yield "tensor-name-not-utf-8", "not UTF-8", _put(good, at + 8, "<B", 0xC0)
    yield "dimensions-5", "has 5 dimensions", _put(good, dimensions, "<I", 5)
    yield "dimensions-many", "has 4294967295 dimensions", _put(good, dimensions, "<i", -1)
    yield "dimension-zero", "dimension of 0", _put(good, shape, "<Q", 0)
    yield "dimension-negative", "dimension of -64", _put(good, shape, "<q", -64)
    yield "dimension-odd", "multiple of 32", _put(good, shape, "<Q", 63)
    overflow = _put(_put(good, shape, "<Q", 1 << 40), shape + 8, "<Q", 1 << 40)
    yield "elements-overflow", "overflows", overflow
    wide = _put(_put(good, shape, "<Q", 1 << 33), shape + 8, "<Q", 1 << 29)
    yield "bytes-overflow", "overflows", _put(wide, kind, "<I", 28)
    yield "tensor-type-unknown", "unknown type 200", _put(good, kind, "<I", 200)
    yield "tensor-type-withdrawn", "unknown type 4", _put(good, kind, "<I", 4)
    yield "offset-unaligned", "not a multiple", _put(good, kind + 4, "<Q", 33)
    yield "offset-behind-end", "cut in the data", _put(good, kind + 4, "<Q", 1 << 40)
    yield "offset-wraps", "cut in the data", _put(good, kind + 4, "<Q", (1 << 64) - 32)
    yield "tensors-overlap", "overlap", _put(good, kind + 4, "<Q", 0)
    twice = good.replace(b"blk.0.attn_q.weight", b"tokeX_embd_x.weight")
    first = _entry(twice, b"token_embd.weight")
    same = _rename(twice, first, b"token_embd.weight", b"tokeX_embd_x.weight")
    yield "tensor-twice", "is there twice", same


def _broken_data(good: bytes) -> Iterator[Fault]:
    yield "data-missing", "cut in the data", good[: -(F32_BYTES + 2 * 160)]
    yield "data-one-byte-short", "output_norm.weight", good[:-1]
    yield "cut-in-half", "cut", good[: len(good) // 2]
    for end in range(4096, len(model_bytes(vocabulary=2000)) - F32_BYTES, 4096):
        yield f"cut-at-{end}", "cut", model_bytes(vocabulary=2000)[:end]


def _unusable_models() -> Iterator[Fault]:
    vocabulary_only = model_bytes(tensors=())
    yield "vocabulary-only", "no tensors", vocabulary_only
    many = _key_value(b"a.large", 8, struct.pack("<Q", 60_000) + b"x" * 60_000)
    metadata = b"".join(many.replace(b"a.large", b"a.%05d" % number) for number in range(300))
    head = struct.pack("<4sIQQ", b"GGUF", 3, 0, 300)
    yield "metadata-too-large", "more than 8388608 bytes", head + metadata
    strings = struct.pack("<IQ", 8, 2_200_000) + bytes(8 * 2_200_000)
    huge = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1) + _key_value(b"tokenizer.x", 9, strings)
    yield "too-many-strings", "claims 2200000 strings", huge


def _no_regular_files() -> Iterator[Broken]:
    yield Broken("directory", "a directory", Path.mkdir)
    yield Broken("fifo", "a FIFO", os.mkfifo)
    yield Broken("socket", "a socket", _make_socket)
    yield Broken("device", "a device", lambda path: path.symlink_to("/dev/zero"))
    yield Broken("link-to-nothing", "not there", lambda path: path.symlink_to("nothing"))
    yield Broken("link-to-itself", "cannot be read", lambda path: path.symlink_to(path.name))


def _sparse_files(good: bytes) -> Iterator[Broken]:
    """Yield files that take no room on the disk, however large they say they are."""
    yield Broken("terabyte-of-zeros", "begins with", _sparse(b"", 1 << 40))
    large = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
    large += struct.pack("<Q7sIQ", 7, b"a.large", 8, 100 << 20)
    yield Broken("metadata-of-100-mib", "more than 8388608 bytes", _sparse(large, 101 << 20))
    key = b"tokenizer.ggml.x"
    huge = struct.pack("<4sIQQ", b"GGUF", 3, 0, 1)
    huge += struct.pack("<Q", len(key)) + key + struct.pack("<IQ", 8, 1 << 30)
    yield Broken("header-of-1-gib", "a header must have ended", _sparse(huge, 2 << 30))
    counts = _put(_put(good, 8, "<Q", 1 << 30), 16, "<Q", 1 << 30)
    yield Broken("counts-that-would-fit", "keys", _sparse(counts, 1 << 40))


def _writer(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def _sparse(content: bytes, size_bytes: int) -> Callable[[Path], object]:
    def write(path: Path) -> None:
        path.write_bytes(content)
        os.truncate(path, size_bytes)

    return write


def _make_socket(path: Path) -> None:
    here = Path.cwd()
    os.chdir(path.parent)  # a socket's path may have 107 bytes only
    try:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    finally:
        os.chdir(here)


def _entry(content: bytes, text: bytes) -> int:
    """Return where a key or a tensor's name begins with its length."""
    return content.index(struct.pack("<Q", len(text)) + text)


def _put(content: bytes, at: int, layout: str, value: int) -> bytes:
    changed = bytearray(content)
    struct.pack_into(layout, changed, at, value)
    return bytes(changed)


def _rename(content: bytes, at: int, old: bytes, new: bytes) -> bytes:
    end = at + 8 + len(old)
    return content[:at] + struct.pack("<Q", len(new)) + new + content[end:]


def _key_value(key: bytes, kind: int, value: bytes) -> bytes:
    return struct.pack("<Q", len(key)) + key + struct.pack("<I", kind) + value


if __name__ == "__main__":
    target = Path(sys.argv[1])
    target.mkdir(parents=True, exist_ok=True)
    write_model(target / "good.gguf")
    for broken in corpus():
        broken.write(target / f"{broken.name}.gguf")
