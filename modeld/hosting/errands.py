# SPDX-License-Identifier: GPL-3.0-only
"""What a worker is sent for: to load an engine, or to call a function. The worker's side."""

from __future__ import annotations

import importlib
import traceback
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, TypeVar

import msgspec

from modeld.errors import LoadFailedError, ModeldError
from modeld.hosting.frames import Call, Load, Loaded, Returned, encode
from modeld.interfaces import ReportProgress, StepEngine
from modeld.values import ModelSpec

Errand: TypeAlias = Load | Call
T = TypeVar("T")


def run(errand: Errand, progress: ReportProgress) -> StepEngine | Returned:
    """Do what a new worker was told to.

    Raises:
        ModeldError: as the engine or the function raised it; anything else becomes a
            :class:`LoadFailedError`.
    """
    if isinstance(errand, Load):
        return open_engine(errand.engine, errand.spec, errand.options, progress)
    return Returned(result=call(errand.function, errand.spec, errand.options))


def open_engine(
    engine: str, spec: ModelSpec, options: Mapping[str, object], progress: ReportProgress
) -> StepEngine:
    """Import ``package.module:Class`` and open it for ``spec``.

    Raises:
        ModeldError: as the engine raised it; anything else becomes a :class:`LoadFailedError`.
    """
    opened = _guarded(lambda: _named(engine).open(spec, options, progress))
    if not isinstance(opened, StepEngine):
        raise LoadFailedError(f"{engine}.open returned {opened!r}, not a StepEngine")
    return opened


def loaded(engine: StepEngine) -> Loaded:
    """What an open engine says of itself.

    Raises:
        LoadFailedError: it cannot.
    """
    return _guarded(lambda: Loaded(slots=engine.slots, held_bytes=engine.held_bytes))


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
    except Exception as exc:
        traceback.print_exc()
        raise LoadFailedError(f"{type(exc).__name__}: {exc}") from exc


def _named(name: str) -> Any:
    """What ``package.module:name`` stands for."""
    module, _, member = name.partition(":")
    return getattr(importlib.import_module(module), member)


def _plain(result: object) -> object:
    """As it would be in JSON, and fit to be handed over, wherever the worker is."""
    plain = msgspec.json.decode(msgspec.json.encode(result))
    encode(Returned(result=plain))
    return plain
