# SPDX-License-Identifier: GPL-3.0-only
"""The two errands of a worker: to load an engine, or to call a function. The worker's side."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from modeld.errors import LoadFailedError, ModeldError
from modeld.hosting import last_words
from modeld.hosting.channel.frames import Call, Load, Loaded, Returned, Sessions, encode
from modeld.interfaces import ReportProgress, StepEngine
from modeld.plugins.guard import PluginFault, described, on_gpus, whole
from modeld.values import ModelSpec

Errand: TypeAlias = Load | Call
T = TypeVar("T")


def run(errand: Errand, progress: ReportProgress) -> StepEngine | Returned:
    """Run the errand of a new worker and return what it brings.

    Raises:
        ModeldError: as the engine or the function raised it; anything else becomes a
            :class:`LoadFailedError` with the traceback.
    """
    if isinstance(errand, Load):
        engine = open_engine(errand.engine, errand.spec, errand.options, progress)
        if errand.sessions is not None:
            open_sessions(engine, errand.sessions)
        return engine
    return Returned(result=call(errand.function, errand.spec, errand.options))


def open_engine(
    engine: str, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
) -> StepEngine:
    """Import ``package.module:Class``, open it for ``spec`` and return the engine.

    Raises:
        ModeldError: as the engine raised it; anything else becomes a :class:`LoadFailedError`.
    """
    opened = _guarded(lambda: _named(engine).open(spec, options, progress))
    if not isinstance(opened, StepEngine):
        raise LoadFailedError(f"{engine}.open returned {opened!r}, not a StepEngine")
    return opened


def open_sessions(engine: StepEngine, sessions: Sessions) -> None:
    """Give an engine its session file; one that cannot use it goes on without."""
    try:
        engine.open_sessions(sessions.path, sessions.most_bytes)
    except Exception:  # noqa: BLE001  (a file that is of no use must not keep a model from serving)
        traceback.print_exc()


def save_sessions(engine: StepEngine) -> None:
    """Have an engine save its sessions before it is closed; what it cannot save is lost."""
    try:
        engine.save_sessions()
    except Exception:  # noqa: BLE001  (the model leaves memory all the same)
        traceback.print_exc()


def loaded(engine: StepEngine) -> Loaded:
    """Return what an open engine says of itself.

    Raises:
        LoadFailedError: it cannot.
    """
    name = type(engine).__name__
    slots, held_bytes, held_on_gpus = _guarded(
        lambda: (engine.slots, engine.held_bytes, engine.held_on_gpus)
    )
    try:
        held_bytes = whole(f"{name}.held_bytes", held_bytes, 0)
        return Loaded(
            slots=whole(f"{name}.slots", slots, 1),
            held_bytes=held_bytes,
            held_on_gpus=on_gpus(f"{name}.held_on_gpus", held_on_gpus, held_bytes),
        )
    except PluginFault as exc:
        raise LoadFailedError(str(exc)) from exc


def call(function: str, spec: ModelSpec, options: Mapping[str, object]) -> object:
    """Import ``package.module:function`` and return what it says of ``spec``, as plain data.

    Raises:
        ModeldError: as the function raised it; anything else becomes a :class:`LoadFailedError`,
            also a result that is no plain data, or more of it than a frame has room for.
    """
    return _guarded(lambda: _plain(_named(function)(spec, options)))


def _guarded(work: Callable[[], T]) -> T:
    try:
        return work()
    except ModeldError:
        raise
    except MemoryError as exc:
        raise LoadFailedError("out of memory") from exc
    except BaseException as exc:
        error = LoadFailedError(described(exc))
        error.log_tail = last_words.traceback_of(exc)
        raise error from exc


def _named(name: str) -> Any:
    """Return what ``package.module:name`` stands for."""
    module, _, member = name.partition(":")
    return getattr(importlib.import_module(module), member)


def _plain(result: object) -> object:
    """Return ``result`` as plain data that a frame can carry, whether or not one has to."""
    plain = msgspec.json.decode(msgspec.json.encode(result))
    encode(Returned(result=plain))
    return plain
