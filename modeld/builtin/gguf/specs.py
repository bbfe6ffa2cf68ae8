# SPDX-License-Identifier: GPL-3.0-only
"""Makes models of GGUF files: what their headers say, or what is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final

from modeld import ModelSpec
from modeld.builtin.gguf.groups import MOST_SHARDS, FileGroup
from modeld.builtin.gguf.headers import Headers
from modeld.builtin.gguf.names import displayed
from modeld.gguf import GgufError, GgufHeader

_SUFFIX: Final = ".gguf"


class GgufSpecs:
    """Makes the models of one source, which finds them at ``root``.

    Headers are read again only when a file's stamp has changed.
    """

    def __init__(self, source: str, root: str) -> None:
        self._source = source
        self._headers = Headers(f"{source} {root}")

    def spec(self, group: FileGroup, model_id: str) -> ModelSpec:
        """Return a model of this id, with its problem if its files cannot be used."""
        found, name = group.files[0], group.name
        try:
            said = _said(self._read_headers(group))
        except GgufError as exc:
            said = {"problem": exc.reason}
        stem = name[: -len(_SUFFIX)] if name.lower().endswith(_SUFFIX) else name
        return ModelSpec(
            id=model_id,
            path=displayed(found.path[: found.path.rfind("/") + 1] + name),
            size_bytes=sum(file.stamp.size_bytes for file in group.files if file.stamp),
            source=self._source,
            stamp=None if 1 in group.missing else found.stamp,
            shard_stamps=tuple(file.stamp for file in group.files[1:] if file.stamp),
            projector=displayed(group.projector) if group.projector else None,
            **{"name": displayed(stem)} | said,
        )

    def keep_only(self, paths: Iterable[str]) -> None:
        """Forget the headers of all other files."""
        self._headers.keep_only(paths)

    def _read_headers(self, group: FileGroup) -> list[GgufHeader]:
        """Return the headers of all files of a model, checked against each other."""
        if group.shards > MOST_SHARDS:
            raise GgufError(
                f"its name says that it is one of {group.shards} files, and {MOST_SHARDS} are the"
                " most; rename it if it is whole"
            )
        if group.missing:
            listed = ", ".join(map(str, group.missing))
            others = group.missing_count - len(group.missing)
            more = f" and {others} more" if others else ""
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


def _said(headers: Sequence[GgufHeader]) -> dict[str, Any]:
    """Return what the headers of a model's files say of it; no name where they have none."""
    first = headers[0]
    named = {"name": first.name} if first.name else {}
    return named | {
        "family": first.family,
        "quant": next((header.quant for header in headers if header.quant), ""),
        "weights_bytes": sum(header.weights_bytes for header in headers),
        "context_length": first.context_length,
        "metadata": first.metadata,
        "has_chat_template": first.has_chat_template,
        "has_infill_tokens": first.has_infill_tokens,
    }


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
