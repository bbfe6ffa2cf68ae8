# SPDX-License-Identifier: GPL-3.0-only
"""Which backend loads a model: a plugin's choice, or the first backend that can."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import pluggy

from modeld.errors import BackendUnavailableError
from modeld.interfaces import Backend
from modeld.values import ModelSpec

log = logging.getLogger("modeld.plugins")


def choose_backend(
    spec: ModelSpec, backends: Mapping[str, Backend], hooks: pluggy.HookRelay
) -> Backend:
    """Return what ``modeld_choose_backend`` chooses, or else the first backend that agrees.

    Raises:
        BackendUnavailableError: none is installed, or none can load this model.
    """
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
