# SPDX-License-Identifier: GPL-3.0-only
"""What a state fits: one file, with one build of llama.cpp, under the same options."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import llama_cpp
import msgspec

from modeld import ModelSpec
from modeld_llama_cpp.native import library
from modeld_llama_cpp.options import LlamaOptions

LAYOUT: Final = 1
"""Another number for every change of what session files have in them."""

SAMPLES: Final = 16
SAMPLE_BYTES: Final = 1 << 16

WITHOUT_EFFECT: Final = frozenset({
    "backend", "cache_tokens", "chat_template", "chat_template_file", "draft_tokens", "fit",
    "max_idle_s", "prefill_chunk", "priority", "slots", "warm_up",
})  # fmt: skip
"""Options that change nothing in what a token's keys and values are."""

_SHARD: Final = re.compile(r"-\d{5}-of-(\d{5})\.gguf$")


def identity(spec: ModelSpec, options: LlamaOptions) -> bytes:
    """Return a digest of all that a state depends on.

    Raises:
        OSError: a file of the model's cannot be read.
    """
    digest = hashlib.sha256()
    for fact in _facts(spec, options):
        digest.update(b"%d:" % len(fact))
        digest.update(fact)
    return digest.digest()


def _facts(spec: ModelSpec, options: LlamaOptions) -> Iterator[bytes]:
    yield b"%d" % LAYOUT
    yield llama_cpp.__version__.encode()
    yield library.said("llama_version").encode()
    yield library.said("ggml_commit").encode()
    yield llama_cpp.llama_print_system_info()  # the processor's features choose the kernels
    plain = msgspec.to_builtins(options)
    yield msgspec.json.encode({n: v for n, v in plain.items() if n not in WITHOUT_EFFECT})
    for path in (*_shards(Path(spec.path)), *(Path(each.path) for each in options.lora)):
        yield from _file(path.expanduser())


def _shards(path: Path) -> list[Path]:
    """Return all files of a model, of which the first one is named."""
    found = _SHARD.search(path.name)
    if found is None:
        return [path]
    stem = glob.escape(path.name[: found.start()])
    return sorted(path.parent.glob(f"{stem}-?????-of-{found[1]}.gguf"))


def _file(path: Path) -> Iterator[bytes]:
    """Yield what tells one version of a file from another: its stamp, and samples of it.

    The samples are for a file that was overwritten and given its former time again. Its device is
    left out, as a system may number it anew when it starts.
    """
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        yield f"{stat.st_ino} {stat.st_size} {stat.st_mtime_ns}".encode()
        for number in range(SAMPLES):
            file.seek(stat.st_size * number // SAMPLES)
            yield file.read(SAMPLE_BYTES)
