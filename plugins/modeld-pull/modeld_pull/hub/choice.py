# SPDX-License-Identifier: GPL-3.0-only
"""Which files of a repository are pulled.

Without a name: the only model there, else the only one in ``Q4_K_M``. A name is a file's, or a
quantisation. The files of a split model go together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from modeld.errors import InvalidRequestError
from modeld.sizes import size_text
from modeld.values import Value
from modeld_pull.digest import Digest
from modeld_pull.errors import PullNotFoundError, PullUnusableError
from modeld_pull.names import (
    fault_of_path,
    has_quant,
    is_beside_a_model,
    is_model,
    shard_of,
)

USUAL: Final = "Q4_K_M"
"""The quantisation that is taken of several: small, and hardly less exact."""

MOST_NAMED: Final = 40


class RemoteFile(Value, frozen=True, kw_only=True):
    """A file in a repository, as the hub lists it."""

    path: str
    size_bytes: int
    digest: Digest


Model = tuple[RemoteFile, ...]
"""The files of one model in their order: one, unless it is split."""


def chosen(files: Sequence[RemoteFile], wanted: str, repository: str) -> Model:
    """Return the files of the model that is wanted.

    Raises:
        PullNotFoundError: there is none.
        InvalidRequestError: there are several; the message lists them with their sizes.
        PullUnusableError: a file of it is missing, or its name cannot be one here.
    """
    models = _models(files)
    if not models:
        raise PullNotFoundError(f"{repository} has no GGUF file", field="source")
    found = _matching(models, wanted)
    if not found:
        raise PullNotFoundError(
            f"{repository} has no file and no quantisation {wanted!r}; it has {_listed(models)}",
            field="file",
        )
    if len(found) > 1:
        said = f"of {wanted!r}" if wanted else f"and not just one of them in {USUAL}"
        raise InvalidRequestError(
            f"{repository} has several models {said}; name one as {repository}:FILE:"
            f" {_listed(found)}",
            field="file",
        )
    _check(found[0], repository)
    return found[0]


def _matching(models: Sequence[Model], wanted: str) -> list[Model]:
    if is_model(wanted):
        exact = [each for each in models if any(file.path == wanted for file in each)]
        ends = f"/{wanted}"
        return exact or [each for each in models if any(file.path.endswith(ends) for file in each)]
    proper = [each for each in models if not is_beside_a_model(each[0].path)]
    if wanted:
        return [each for each in proper if has_quant(each[0].path, wanted)]
    if len(proper) <= 1:
        return proper or list(models)
    usual = [each for each in proper if has_quant(each[0].path, USUAL)]
    return usual if len(usual) == 1 else proper


def _models(files: Sequence[RemoteFile]) -> list[Model]:
    """Return all models, the files of a split one together."""
    groups: dict[object, list[RemoteFile]] = {}
    for file in sorted(files, key=lambda each: each.path):
        if is_model(file.path):
            shard = shard_of(file.path)
            groups.setdefault((shard.stem, shard.shards) if shard else file.path, []).append(file)
    return [tuple(group) for group in groups.values()]


def _check(model: Model, repository: str) -> None:
    for file in model:
        if fault := fault_of_path(file.path):
            raise PullUnusableError(f"{repository}: {file.path!a} cannot be pulled: {fault}")
    shard = shard_of(model[0].path)
    if shard is None:
        return
    numbers = [each.number for file in model if (each := shard_of(file.path))]
    if numbers != list(range(1, shard.shards + 1)):
        raise PullUnusableError(
            f"{repository}: of the {shard.shards} files of {shard.stem!a} only {len(numbers)} are"
            " there"
        )


def _listed(models: Sequence[Model]) -> str:
    named = [
        f"{each[0].path!a} ({size_text(sum(file.size_bytes for file in each))})"
        for each in models[:MOST_NAMED]
    ]
    more = len(models) - len(named)
    return ", ".join(named) + (f" and {more} more" if more else "")
