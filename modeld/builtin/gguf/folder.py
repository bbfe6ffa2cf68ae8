# SPDX-License-Identifier: GPL-3.0-only
"""The built-in source of models: a folder with GGUF files."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from msgspec.structs import replace

from modeld import ModeldError, ModelSpec, RegistrySource, Settings, hookimpl
from modeld.builtin.gguf.files import FileGroup, FoundFile, find_files, group_files
from modeld.builtin.gguf.names import displayed
from modeld.gguf import GgufError, GgufHeader, GgufUnreadableError, read_header
from modeld.values import FileStamp

log = logging.getLogger("modeld.gguf_folder")


class ModelsFolderError(ModeldError):
    """The models folder is missing or cannot be read; it may come back."""

    code = "models_folder_unavailable"
    retryable = True


class GgufFolder(RegistrySource):
    """Finds ``*.gguf`` files below the setting ``models_dir``, however the suffix is written.

    A model's id is its file name with the suffix. Where a deeper or later folder has a file of
    the same name, that file's id is its path below ``models_dir`` with ``/`` written as ``--``:
    ``coder/llama.gguf`` becomes ``coder--llama.gguf``. A model that is split into files
    (``NAME-00001-of-00003.gguf``) is one model under the name of its first file. Files whose names
    begin with ``mmproj`` belong to other models and are not listed; hidden files and folders are
    passed over.

    A file that cannot be used, or that holds something else than a language model, is listed with
    its problem. Links are followed wherever they lead, unless ``follow_links`` is false; a model
    has the name of the link. Headers are read again only when a file's stamp has changed. What was
    left out is logged when it was not left out by the scan before.
    """

    name = "gguf-folder"

    def __init__(self, models_dir: str, *, follow_links: bool = True) -> None:
        self._models_dir = models_dir
        self._follow_links = follow_links
        self._headers = _Headers()
        self._noted: frozenset[str] = frozenset()

    async def list_models(self) -> Sequence[ModelSpec]:
        """Return all models in the folder in the order of their ids.

        Raises:
            ModelsFolderError: the folder is missing or cannot be read.
        """
        return self._scan()

    def _scan(self) -> list[ModelSpec]:
        files = self._find_files()
        taken: set[str] = set()
        specs = [self._spec(group, _free_id(group.relative, taken)) for group in group_files(files)]
        self._headers.keep_only(file.path for file in files)
        return sorted(specs, key=lambda spec: spec.id)

    def _find_files(self) -> list[FoundFile]:
        try:
            root = Path(self._models_dir).expanduser().absolute()
            search = find_files(root, follow_links=self._follow_links)
        except (OSError, RuntimeError) as exc:  # RuntimeError: `~` of a user without a home
            reason = exc.strerror if isinstance(exc, OSError) else str(exc)
            raise ModelsFolderError(
                f"the models folder {self._models_dir} cannot be read: {str(reason).lower()};"
                " make the folder or set models_dir to another one",
                field="models_dir",
            ) from exc
        for note in search.notes:
            if note not in self._noted:
                log.warning("%s", note)
        self._noted = frozenset(search.notes)
        return search.files

    def _spec(self, group: FileGroup, model_id: str) -> ModelSpec:
        found, name = group.files[0], group.relative.rpartition("/")[2]
        spec = ModelSpec(
            id=model_id,
            name=displayed(name[: -len(".gguf")]),
            path=displayed(str(Path(found.path).with_name(name))),
            size_bytes=sum(file.stamp.size_bytes for file in group.files if file.stamp),
            source=self.name,
            stamp=None if 1 in group.missing else found.stamp,
        )
        try:
            headers = self._read_headers(group)
        except GgufError as exc:
            return replace(spec, problem=exc.reason)
        return replace(
            spec,
            name=headers[0].name or spec.name,
            family=headers[0].family,
            quant=next((header.quant for header in headers if header.quant), ""),
            weights_bytes=sum(header.weights_bytes for header in headers),
            context_length=headers[0].context_length,
            metadata=headers[0].metadata,
            has_chat_template=headers[0].has_chat_template,
            has_infill_tokens=headers[0].has_infill_tokens,
        )

    def _read_headers(self, group: FileGroup) -> list[GgufHeader]:
        """Return the headers of all files of a model, checked against each other."""
        if group.missing:
            listed = ", ".join(map(str, group.missing[:5]))
            more = f" and {len(group.missing) - 5} more" if len(group.missing) > 5 else ""
            raise GgufError(f"of {group.shards} files these are missing: {listed}{more}")
        headers = []
        for number, file in enumerate(group.files, start=1):
            try:
                header = self._headers.read(file)
            except GgufError as exc:
                if group.shards == 1:
                    raise
                raise GgufError(f"file {number} of {group.shards}: {exc.reason}") from exc
            _check_position(header, number, group.shards)
            headers.append(header)
        _check_tensor_count(headers)
        _check_language(headers)
        return headers


class _Headers:
    """The headers read so far, each good for as long as its file's stamp stays the same."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[FileStamp, GgufHeader | str]] = {}

    def read(self, file: FoundFile) -> GgufHeader:
        """Return the header of a file, from memory where the file has not changed.

        Raises:
            GgufError: the file cannot be used.
        """
        if file.problem is not None:
            raise GgufError(file.problem)
        if file.stamp is None:
            return read_header(file.path)
        stamp, known = self._known.get(file.path, (None, ""))
        if stamp != file.stamp:
            known = _header_or_reason(file.path)
            self._known[file.path] = file.stamp, known
        if isinstance(known, str):
            raise GgufError(known)
        return known

    def keep_only(self, paths: Iterable[str]) -> None:
        """Forget all other files."""
        known = self._known  # another scan may put a new one in its place meanwhile
        self._known = {path: known[path] for path in paths if path in known}


def _header_or_reason(path: str) -> GgufHeader | str:
    try:
        return read_header(path)
    except GgufUnreadableError:
        raise
    except GgufError as exc:
        return exc.reason


def _check_position(header: GgufHeader, number: int, shards: int) -> None:
    if (header.shard, header.shards) != (number, shards):
        raise GgufError(
            f"the file says that it is number {header.shard} of {header.shards},"
            f" but its name says {number} of {shards}"
        )


def _check_tensor_count(headers: Sequence[GgufHeader]) -> None:
    expected = headers[0].metadata.get("split.tensors.count")
    found = sum(header.tensor_count for header in headers)
    if len(headers) > 1 and isinstance(expected, int) and expected != found:
        raise GgufError(f"the files have {found} tensors together; the first says {expected}")


def _check_language(headers: Sequence[GgufHeader]) -> None:
    """Check that there are a vocabulary and a vector for each token, without which is no text."""
    missing = [] if headers[0].has_vocabulary else ["vocabulary"]
    if not any(header.has_token_embeddings for header in headers):
        missing.append("token embeddings")
    if missing:
        raise GgufError(
            f"this is no language model: the file has no {' and no '.join(missing)}"
            f" (architecture {headers[0].family})"
        )


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
    """Bring the folder that the settings name."""
    return [GgufFolder(settings.models_dir, follow_links=settings.follow_links)]
