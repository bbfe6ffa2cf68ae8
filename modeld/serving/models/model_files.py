# SPDX-License-Identifier: GPL-3.0-only
"""Whether the files of models are those that their sources have seen; which disks are silent."""

from __future__ import annotations

import logging
from collections.abc import Collection

from modeld.serving.models.file_stamps import FileStamps
from modeld.values import ModelSpec

log = logging.getLogger("modeld.registry")


class ModelFiles:
    """Looks at the files; a disk that does not answer is named in ``errors`` until it does."""

    def __init__(self, errors: dict[str, str]) -> None:
        self._errors = errors
        self._stamps = FileStamps()
        self._silent: set[int] = set()

    async def has_changed(self, spec: ModelSpec, *, is_open: bool) -> bool:
        """Return whether the file is another one; while its disk is silent it is the same.

        ``is_open`` says that an engine has it open.
        """
        if spec.stamp is None:
            return False
        device = spec.stamp.device
        try:
            stamp = await self._stamps.look(spec.path, device, is_open=is_open)
        except TimeoutError:
            self._note_silence(device, spec.path)
            return False
        self._note_reachable(device)
        return stamp != spec.stamp

    def forget_other_disks(self, devices: Collection[int]) -> None:
        """Take no other disk for silent any more: one that is mounted anew is another."""
        for device in self._silent.difference(devices):
            self._note_reachable(device)

    def close(self) -> None:
        """End the threads that look."""
        self._stamps.close()

    def _note_silence(self, device: int, path: str) -> None:
        if device not in self._silent:
            self._silent.add(device)
            self._errors[_disk(device)] = said = f"the disk of {path} does not answer"
            log.error("%s; its models are used as they were seen last", said)

    def _note_reachable(self, device: int) -> None:
        if device in self._silent:
            self._silent.discard(device)
            del self._errors[_disk(device)]


def _disk(device: int) -> str:
    """Return what the errors have a disk under, beside the sources by their names."""
    return f"disk {device}"
