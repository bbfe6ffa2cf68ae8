# SPDX-License-Identifier: GPL-3.0-only
"""One model as Ollama has pulled it: what its manifest names, and its parameters."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec

from modeld.builtin.gguf.names import displayed
from modeld.gguf.header import open_regular

LATEST: Final = ":latest"
_REGISTRY: Final = "registry.ollama.ai"
_NAMESPACE: Final = "library"
_KIND: Final = "application/vnd.ollama.image."
_DIGEST: Final = re.compile(r"sha256[:-]([0-9a-f]{64})")
_MOST_BYTES: Final = 1 << 20
_OPTIONS: Final = {
    "num_ctx": "context",
    "num_batch": "batch",
    "num_thread": "threads",
    "num_gpu": "gpu_layers",
    "main_gpu": "main_gpu",
    "use_mmap": "mmap",
    "use_mlock": "mlock",
}
"""Ollama's parameters that are options of a model here."""


class Pulled(NamedTuple):
    """What a manifest has, by the kinds of its layers, which are paths of blobs.

    ``options`` are those of its parameters that are options here, ``others`` the names of all other
    parameters.
    """

    weights: Path
    adapters: Sequence[Path]
    projector: Path | None
    has_template: bool
    has_system: bool
    options: Mapping[str, Any]
    others: Sequence[str]


class _Layer(msgspec.Struct, frozen=True):
    media_type: str = msgspec.field(name="mediaType", default="")
    digest: str = ""


class _Manifest(msgspec.Struct, frozen=True):
    layers: list[_Layer] = []


def id_of(registry: str, namespace: str, name: str, tag: str) -> str:
    """Return what Ollama lists a model as, whose manifest is at these folders and this file."""
    parts = [name]
    if namespace != _NAMESPACE or registry != _REGISTRY:
        parts.insert(0, namespace)
    if registry != _REGISTRY:
        parts.insert(0, registry)
    return displayed(f"{'/'.join(parts)}:{tag}")


def read_manifest(manifest: Path, blobs: Path) -> Pulled:
    """Return what a manifest names.

    Raises:
        OSError: it cannot be read, or the blob of its parameters.
        ValueError: it is no manifest, or not that of a model in one GGUF file.
        RecursionError: it is nested too deeply.
    """
    layers: dict[str, list[Path]] = {}
    for layer in msgspec.json.decode(_content(manifest), type=_Manifest).layers:
        digest = _DIGEST.fullmatch(layer.digest)
        if digest is None:
            raise ValueError(f"{layer.digest!r:.100} is no digest")
        kind = layer.media_type.removeprefix(_KIND)
        layers.setdefault(kind, []).append(_blob(blobs, digest[1]))
    weights = layers.get("model", [])
    if len(weights) != 1:
        raise ValueError(f"it names {len(weights) or 'no'} GGUF files; one is needed")
    parameters: dict[str, Any] = {}
    for blob in layers.get("params", ()):
        parameters |= msgspec.json.decode(_content(blob), type=dict[str, Any])
    return Pulled(
        weights=weights[0],
        adapters=layers.get("adapter", ()),
        projector=next(iter(layers.get("projector", ())), None),
        has_template="template" in layers,
        has_system="system" in layers,
        options={
            option: parameters[name]
            for name, option in _OPTIONS.items()
            if name in parameters and not _is_default(name, parameters[name])
        },
        others=sorted(parameters.keys() - _OPTIONS.keys()),
    )


def _is_default(name: str, value: object) -> bool:
    """Return whether a number is Ollama's word for what it chooses itself."""
    if type(value) is not int:
        return value is None
    return value < 0 or (value == 0 and name in {"num_thread", "num_ctx", "num_batch"})


def _blob(blobs: Path, digest: str) -> Path:
    """Return where a blob is: older versions of Ollama had another sign in its name."""
    former = blobs / f"sha256:{digest}"
    return former if former.exists() else blobs / f"sha256-{digest}"


def _content(path: Path) -> bytes:
    with os.fdopen(open_regular(path), "rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise ValueError(f"{path.name} has more than {_MOST_BYTES} bytes")
    return content
