# SPDX-License-Identifier: GPL-3.0-only
"""The built-in source of models: a folder with GGUF files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from modeld import ModelSpec, RegistrySource, Settings, hookimpl
from modeld.builtin.gguf.files import FoundFile, find_files
from modeld.builtin.gguf.groups import group_files
from modeld.builtin.gguf.names import displayed
from modeld.builtin.gguf.problems import ModelsFolderError, reason_of
from modeld.builtin.gguf.specs import GgufSpecs

log = logging.getLogger("modeld.gguf_folder")


class GgufFolder(RegistrySource):
    """Finds ``*.gguf`` files below one folder of ``models_dir``, however the suffix is written.

    A model's id is its file name with the suffix. Where a deeper or later folder has a file of
    the same name, that file's id is its path below the folder with ``/`` written as ``--``:
    ``coder/llama.gguf`` becomes ``coder--llama.gguf``. A model that is split into files
    (``NAME-00001-of-00003.gguf``) is one model under the name of its first file. Files with
    ``mmproj`` in their names are no models: each is the projector of those beside it. Hidden files
    and folders are passed over.

    A file that cannot be used, or that holds something else than a language model, is listed with
    its problem. Links are followed wherever they lead, unless ``follow_links`` is false; a model
    has the name of the link. Headers are read again only when a file's stamp has changed. What was
    left out is logged when it was not left out by the scan before.
    """

    def __init__(
        self, folder: str, *, follow_links: bool = True, name: str = "gguf-folder"
    ) -> None:
        self.name = name
        self._folder = folder
        self._follow_links = follow_links
        self._specs = GgufSpecs(name, folder)
        self._searched: Sequence[str] = ()
        self._noted: frozenset[str] = frozenset()

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return all models in the folder in the order of their ids.

        Raises:
            ModelsFolderError: the folder is missing or cannot be read.
        """
        return self._scan()

    def watched_paths(self) -> Sequence[str]:
        """Return the folder, and those below it that were searched last."""
        return self._searched or [str(Path(self._folder).expanduser().absolute())]

    def _scan(self) -> list[ModelSpec]:
        files = self._find_files()
        taken: set[str] = set()
        specs = [
            self._specs.spec(group, _free_id(group.relative, taken)) for group in group_files(files)
        ]
        self._specs.keep_only(file.path for file in files)
        return sorted(specs, key=lambda spec: spec.id)

    def _find_files(self) -> list[FoundFile]:
        try:
            root = Path(self._folder).expanduser().absolute()
            search = find_files(root, follow_links=self._follow_links)
        except (OSError, RuntimeError) as exc:  # RuntimeError: `~` of a user without a home
            raise ModelsFolderError(
                f"the models folder {self._folder} cannot be read: {reason_of(exc)};"
                " make the folder or set models_dir to another one",
                field="models_dir",
            ) from exc
        for note in search.notes:
            if note not in self._noted:
                log.warning("%s", note)
        self._noted = frozenset(search.notes)
        self._searched = search.folders
        return search.files


def _free_id(relative: str, taken: set[str]) -> str:
    """Return the file's name, or its whole path where another file has taken the name."""
    model_id = displayed(relative.rpartition("/")[2])
    if model_id in taken:
        model_id = displayed(relative.replace("/", "--"))
    while model_id in taken:
        model_id = f"again--{model_id}"
    taken.add(model_id)
    return model_id


@hookimpl
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:
    """Bring the folders that the settings name, each as a source.

    So one that is missing, or on a disk that does not answer, keeps nobody from the others.
    """
    return [
        GgufFolder(
            folder,
            follow_links=settings.follow_links,
            name="gguf-folder" if number == 1 else f"gguf-folder-{number}",
        )
        for number, folder in enumerate(settings.model_folders, start=1)
    ]
