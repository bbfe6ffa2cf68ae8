# SPDX-License-Identifier: GPL-3.0-only
"""Which backend loads a model: that of its settings or its source, a plugin's, or the first."""

from __future__ import annotations

import traceback
from collections.abc import Mapping
from typing import Final

import pluggy

from modeld.errors import BackendUnavailableError, ConfigurationError
from modeld.expectation import nearest
from modeld.interfaces import Backend
from modeld.plugins.faults import NoteFault, PluginFaults
from modeld.plugins.guard import described, shown
from modeld.settings import Settings
from modeld.settings.model_rows import layers_of
from modeld.values import ModelSpec

_HOOK: Final = "modeld_choose_backend"


def choose_backend(
    spec: ModelSpec,
    backends: Mapping[str, Backend],
    hooks: pluggy.HookRelay,
    faults: PluginFaults,
    settings: Settings,
) -> Backend:
    """Return what the settings name for the model, or its source in ``options["backend"]``.

    Where neither does, it is what ``modeld_choose_backend`` chooses, or else the first backend that
    agrees.

    Raises:
        ConfigurationError: a row names a backend that is not there; ``field`` is ``models``.
        BackendUnavailableError: none is installed, or none can load this model.
    """
    if backends and (found := _named(spec, backends, settings)) is not None:
        named, who = found
        if not _can_load(named, spec, faults.note):
            raise BackendUnavailableError(
                f"{who} {spec.id!r} to the backend {named.name!r}, which cannot load it"
                f" (format {spec.format!r}, family {spec.family!r})"
            )
        return named
    chosen = _ask(spec, backends, hooks, faults)
    if chosen is not None:
        return chosen
    for backend in backends.values():
        if _can_load(backend, spec, faults.note):
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


def _named(
    spec: ModelSpec, backends: Mapping[str, Backend], settings: Settings
) -> tuple[Backend, str] | None:
    """Return the backend that the settings name for a model, or else its source, and who it is.

    Raises:
        ConfigurationError: a row names one that is not there.
        BackendUnavailableError: its source does, and no row names another.
    """
    given: object = None
    found, who = None, "its source gives"
    for layer in layers_of(spec, settings):
        name = layer.options.get("backend")
        if name is None:
            continue
        found = backends.get(name) if isinstance(name, str) else None
        if layer.is_given:
            given = name
            continue
        who = "the settings give"
        if found is None:
            hint = nearest(str(name), list(backends)) or f"; there are {', '.join(backends)}"
            raise ConfigurationError(
                f"{layer.where}.backend: there is no backend {name!r}{hint}", field="models"
            )
    if found is None and given is not None:
        raise BackendUnavailableError(
            f"{who} {spec.id!r} to the backend {given!r}, which is not installed"
        )
    return None if found is None else (found, who)


def _ask(
    spec: ModelSpec,
    backends: Mapping[str, Backend],
    hooks: pluggy.HookRelay,
    faults: PluginFaults,
) -> Backend | None:
    hook = hooks.modeld_choose_backend
    try:
        chosen: object = hook(spec=spec, backends=tuple(backends.values()))
    except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault, not ours)
        why = f"failed for {spec.id!r}; taking the first that fits: {described(exc)}"
        faults.note_of(_raised_by(hook, exc), _HOOK, f"{_HOOK} {why}", exc)
        return None
    for backend in backends.values():
        if backend is chosen:
            return backend
    if chosen is not None:
        plugins = [each.plugin_name for each in hook.get_hookimpls()]
        why = f"returned {shown(chosen)}, not a registered backend"
        faults.note_of(plugins[0] if len(plugins) == 1 else "", _HOOK, f"{_HOOK} {why}")
    return None


def _raised_by(hook: pluggy.HookCaller, error: BaseException) -> str:
    """Return the plugin whose code was the first on the way to where it was raised."""
    found = hook.get_hookimpls()
    plugins = {getattr(each.function, "__code__", None): each.plugin_name for each in found}
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return next((plugins[frame.f_code] for frame in frames if frame.f_code in plugins), "")


def _can_load(backend: Backend, spec: ModelSpec, note: NoteFault) -> bool:
    try:
        return bool(backend.can_load(spec))
    except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault, not ours)
        what = f"backend {backend.name!r} failed to say whether it can load {spec.id!r}"
        note("backend", backend.name, f"{what}: {described(exc)}", exc)
        return False
