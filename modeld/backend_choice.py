# SPDX-License-Identifier: GPL-3.0-only
"""Which backend loads a model: that of its settings, a plugin's choice, or the first that can."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from fnmatch import fnmatchcase

import pluggy

from modeld.errors import BackendUnavailableError, ConfigurationError
from modeld.expectation import nearest
from modeld.interfaces import Backend
from modeld.settings import ModelOptions
from modeld.values import ModelSpec

log = logging.getLogger("modeld.plugins")


def choose_backend(
    spec: ModelSpec,
    backends: Mapping[str, Backend],
    hooks: pluggy.HookRelay,
    rows: ModelOptions,
) -> Backend:
    """Return what the last row for the model names, or what ``modeld_choose_backend`` chooses.

    Where neither does, it is the first backend that agrees.

    Raises:
        ConfigurationError: a row names a backend that is not there; ``field`` is ``models``.
        BackendUnavailableError: none is installed, or none can load this model.
    """
    if backends and (named := _named(spec, backends, rows)) is not None:
        if not _can_load(named, spec):
            raise BackendUnavailableError(
                f"the settings give {spec.id!r} to the backend {named.name!r}, which cannot load it"
                f" (format {spec.format!r}, family {spec.family!r})"
            )
        return named
    chosen = _ask(spec, backends, hooks)
    if chosen is not None:
        return chosen
    for backend in backends.values():
        if _can_load(backend, spec):
            return backend
    if not backends:
        raise BackendUnavailableError(
            "no backend is installed, or all are blocked or broken (`modeld plugins` tells);"
            " for GGUF models: pip install modeld[llama]"
        )
    raise BackendUnavailableError(
        f"no installed backend can load {spec.id!r} (format {spec.format!r},"
        f" family {spec.family!r}); installed: {', '.join(backends)}"
    )


def _named(spec: ModelSpec, backends: Mapping[str, Backend], rows: ModelOptions) -> Backend | None:
    """Return the backend that the settings name for a model, the last row winning."""
    found = None
    for pattern, row in rows.items():
        name = row.get("backend")
        if name is None or not fnmatchcase(spec.id, pattern):
            continue
        found = backends.get(name) if isinstance(name, str) else None
        if found is None:
            hint = nearest(str(name), list(backends)) or f"; there are {', '.join(backends)}"
            raise ConfigurationError(
                f"models[{pattern!r}].backend: there is no backend {name!r}{hint}", field="models"
            )
    return found


def _ask(
    spec: ModelSpec, backends: Mapping[str, Backend], hooks: pluggy.HookRelay
) -> Backend | None:
    try:
        chosen: object = hooks.modeld_choose_backend(spec=spec, backends=tuple(backends.values()))
    except BaseException:  # a plugin's SystemExit is its fault, not ours
        log.exception("modeld_choose_backend failed for %r; taking the first that fits", spec.id)
        return None
    for backend in backends.values():
        if backend is chosen:
            return backend
    if chosen is not None:
        log.warning("modeld_choose_backend returned %r, not a registered backend", chosen)
    return None


def _can_load(backend: Backend, spec: ModelSpec) -> bool:
    try:
        return bool(backend.can_load(spec))
    except BaseException:  # a plugin's SystemExit is its fault, not ours
        log.exception("backend %r failed to say whether it can load %r", backend.name, spec.id)
        return False
