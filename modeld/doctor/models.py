# SPDX-License-Identifier: GPL-3.0-only
"""The models: which cannot be used and why, and whether the settings fit them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

from modeld.doctor.inventory import Inventory
from modeld.doctor.report import error, ok, warning
from modeld.errors import ConfigurationError
from modeld.expectation import nearest
from modeld.model_names import ModelNames, said_of_several
from modeld.serving.models.presets import with_aliases
from modeld.settings import Settings
from modeld.sizes import size_text
from modeld.values import Finding, ModelSpec

MOST_LISTED: Final = 10
"""Findings of one kind; more of them are counted."""

_COMPARED_BYTES: Final = 1 << 16


def check_sources(inventory: Inventory, settings: Settings) -> Iterator[Finding]:
    """Check whether all sources could be read, and whether there are models."""
    for text in inventory.source_errors:
        message, _, fix = text.partition("; ")
        yield error("sources", message, fix or "mend what the message names")
    usable = [spec for spec in inventory.specs if spec.problem is None]
    if inventory.specs:
        size = size_text(sum(spec.size_bytes for spec in usable))
        count = f"{len(inventory.specs)} found, {len(usable)} usable, {size}"
        yield ok("models", count, found=len(inventory.specs), usable=len(usable))
    if not usable and not inventory.source_errors:
        yield warning(
            "models",
            f"there is no usable model in {settings.models_dir}",
            "put *.gguf files there, set models_dir to the folder that has them, or turn on another"
            " source: huggingface.enabled, ollama-store.enabled",
        )


def check_files(inventory: Inventory) -> Iterator[Finding]:
    """Say why files cannot be used, and why models with sound files cannot be loaded."""
    broken = [spec for spec in inventory.specs if spec.problem is not None]
    for spec in broken[:MOST_LISTED]:
        fix = f"get the file again, or take it out of the folder: {spec.path}"
        yield warning(spec.id, f"it cannot be used: {spec.problem}", fix)
    yield from _more(len(broken), "models cannot be used")
    for model, exc in list(inventory.refusals.items())[:MOST_LISTED]:
        message, _, fix = exc.message.partition("; ")
        if isinstance(exc, ConfigurationError):  # the server would not start with it
            yield error(model, message, fix or "change the setting models")
        else:
            yield warning(model, message, fix or "install a backend for it, or take the file out")
    yield from _more(len(inventory.refusals), "models cannot be loaded")


def check_settings(inventory: Inventory, settings: Settings) -> Iterator[Finding]:
    """Check whether the settings name models that exist."""
    known = [spec.id for spec in inventory.specs]
    specs = (*inventory.presets, *(with_aliases(spec, settings) for spec in inventory.specs))
    if settings.default_model:
        yield _check_default(specs, settings.default_model)
    names = ModelNames(specs)
    for name in settings.preload if specs else ():
        if len(found := names.find(name)) != 1:
            hint = said_of_several(found) if found else nearest(name, known)
            said = f"preload names {name!r}, and there is no such model{hint}"
            yield warning("preload", said, "name a model that `modeld models` lists")
    for preset in inventory.presets:
        if preset.problem is not None:
            yield warning(
                "presets",
                f"the preset {preset.id!r} cannot be used: {preset.problem}",
                "name a model that `modeld models` lists, or take the preset out",
            )
    for pattern in settings.models:
        if known and not any(fnmatchcase(model, pattern) for model in known):
            yield warning(
                "options",
                f"models[{pattern!r}] in the settings matches none of the models found"
                f"{nearest(pattern, known)}",
                "correct the pattern, or take the row out",
            )


def _check_default(specs: Sequence[ModelSpec], default: str) -> Finding:
    found = ModelNames(specs).find(default)
    if len(found) != 1:
        hint = said_of_several(found) if found else nearest(default, [spec.id for spec in specs])
        return error(
            "default_model",
            f"there is no model {default!r}{hint}",
            "set default_model to an id that `modeld models` lists",
        )
    if next(spec for spec in specs if spec.id == found[0]).problem is not None:
        return error(
            "default_model",
            f"the file of {default!r} cannot be used",
            "replace the file, or set default_model to another model",
        )
    return ok("default_model", default)


def check_duplicates(inventory: Inventory) -> Iterator[Finding]:
    """Find models that are listed twice, by two sources or as two files of one content."""
    for model, source in inventory.hidden.items():
        yield warning(
            model,
            f"the source {source} has a model of this id too, which is hidden",
            "rename one of the files",
        )
    by_size = defaultdict(list)
    for spec in inventory.specs:
        if spec.problem is None and spec.stamp is not None:
            by_size[spec.size_bytes].append(spec)
    for specs in by_size.values():
        yield from _same_content(specs)


def _same_content(specs: Sequence[ModelSpec]) -> Iterator[Finding]:
    seen: dict[object, ModelSpec] = {}
    for spec in specs if len(specs) > 1 else ():
        assert spec.stamp is not None
        first = seen.setdefault(_ends(Path(spec.path)), spec)
        if first is spec or first.stamp is None:
            continue
        same = (first.stamp.device, first.stamp.inode) == (spec.stamp.device, spec.stamp.inode)
        what = "the same file as" if same else "a copy of"
        yield warning(
            spec.id,
            f"it looks like {what} {first.id} ({size_text(spec.size_bytes)}); requests for the two"
            " names load and count it twice",
            f"remove one of them: {spec.path}",
        )


def _ends(path: Path) -> bytes:
    """Return the beginning and the end of a file; copies of one model agree in both."""
    with path.open("rb") as file:
        beginning = file.read(_COMPARED_BYTES)
        file.seek(max(0, path.stat().st_size - _COMPARED_BYTES))
        return beginning + file.read(_COMPARED_BYTES)


def _more(count: int, what: str) -> Iterator[Finding]:
    if count > MOST_LISTED:
        more = f"{count - MOST_LISTED} more {what}"
        yield warning("models", more, "`modeld models --verbose` lists all of them")
