# SPDX-License-Identifier: GPL-3.0-only
"""The source of OpenVINO models: folders with a network, its tokenizer and its configuration."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import msgspec
from msgspec.structs import replace

from modeld import ModelSpec, RegistrySource
from modeld.errors import ConfigurationError
from modeld.values import FileStamp, MetadataValue
from modeld_openvino import shape

NETWORK: Final = "openvino_model.xml"
WEIGHTS: Final = "openvino_model.bin"
_BESIDE: Final = (WEIGHTS, "openvino_tokenizer.xml", "openvino_detokenizer.xml", "config.json")
_DEEPEST: Final = 8
_MOST_CONFIG_BYTES: Final = 1 << 20


class OpenVinoFolder(RegistrySource):
    """Finds the folders below one of ``models_dir`` that have an ``openvino_model.xml``.

    A model's id is the folder's path below that one with ``/`` written as ``--``. Hidden
    folders are passed over. One that lacks a file is listed with its problem.
    """

    def __init__(
        self, folder: str, *, follow_links: bool = True, name: str = "openvino-folder"
    ) -> None:
        self.name = name
        self._root = Path(folder)
        self._follow_links = follow_links

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return all models in the order of their ids.

        Raises:
            ConfigurationError: the folder cannot be read.
        """
        root = self._root.expanduser().absolute()
        try:
            with os.scandir(root):  # `os.walk` passes over a folder that cannot be read
                pass
        except OSError as exc:
            reason = (exc.strerror or str(exc)).lower()
            raise ConfigurationError(
                f"the models folder {self._root} cannot be read: {reason}", field="models_dir"
            ) from exc
        return sorted(
            (self._spec(folder, root) for folder in self._folders(root)), key=lambda spec: spec.id
        )

    def _folders(self, root: Path) -> Iterator[Path]:
        """Yield the folders of models, each once however many links lead to it."""
        seen: set[tuple[int, int]] = set()
        for path, folders, files in os.walk(root, followlinks=self._follow_links):
            folder = Path(path)
            try:
                status = folder.stat()
            except OSError:  # it has gone since
                continue
            is_known = (status.st_dev, status.st_ino) in seen
            seen.add((status.st_dev, status.st_ino))
            if is_known or len(folder.relative_to(root).parts) >= _DEEPEST:
                folders.clear()
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            if NETWORK in files and not is_known and folder != root and self._may_use(folder):
                yield folder

    def _may_use(self, folder: Path) -> bool:
        """Return whether it may be an id, and whether the network is a file that may be used."""
        if not str(folder).isprintable():  # nor is what is not UTF-8
            return False
        return self._follow_links or not (folder / NETWORK).is_symlink()

    def _spec(self, folder: Path, root: Path) -> ModelSpec:
        spec = ModelSpec(
            id="--".join(folder.relative_to(root).parts),
            name=folder.name,
            path=str(folder / NETWORK),
            format=shape.OPENVINO,
            source=self.name,
        )
        missing = [name for name in _BESIDE if not (folder / name).is_file()]
        if missing:
            return replace(spec, problem=f"{', '.join(missing)} missing beside {NETWORK}")
        try:
            config = _config_of(folder / "config.json")
        except (OSError, ValueError) as exc:
            return replace(spec, problem=f"config.json cannot be read: {exc}")
        try:
            status, weights = (folder / NETWORK).stat(), (folder / WEIGHTS).stat()
        except OSError as exc:
            return replace(spec, problem=f"its files cannot be read: {exc}")
        length = config.get("max_position_embeddings")
        return replace(
            spec,
            family=str(config.get("model_type", "")),
            size_bytes=status.st_size + weights.st_size,
            weights_bytes=weights.st_size,
            context_length=length if type(length) is int and length > 0 else None,
            metadata=config,
            stamp=FileStamp(
                device=status.st_dev,
                inode=status.st_ino,
                size_bytes=status.st_size,
                mtime_ns=status.st_mtime_ns,
            ),
        )


def _config_of(path: Path) -> dict[str, MetadataValue]:
    """Return the numbers and texts of a ``config.json``.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no JSON object, or absurdly long.
    """
    if path.stat().st_size > _MOST_CONFIG_BYTES:
        raise ValueError(f"it has more than {_MOST_CONFIG_BYTES} bytes")
    found = msgspec.json.decode(path.read_bytes(), type=dict[str, object])
    return {
        key: value for key, value in found.items() if isinstance(value, str | int | float | bool)
    }
