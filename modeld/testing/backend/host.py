# SPDX-License-Identifier: GPL-3.0-only
"""What a backend under test loads with: engines on threads of this process."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import Any, cast

import msgspec

from modeld import Engine, ModelSpec, Options, StepEngine
from modeld.errors import LoadFailedError, ModeldError
from modeld.testing.backend.driven import DrivenEngine
from modeld.testing.contract import assert_that
from modeld.values import JsonValue


class DrivingHost:
    """An :class:`~modeld.EngineHost` without processes: what it starts can be looked into.

    ``fractions`` are what was reported of loads, ``engines`` what was started.
    """

    def __init__(self) -> None:
        self.engines: list[DrivenEngine] = []
        self.fractions: list[float] = []

    async def start(self, engine: str, spec: ModelSpec, options: Options) -> Engine:
        """Open the engine on a thread. See :class:`~modeld.EngineHost`."""
        cls = _named(engine)
        assert_that(
            isinstance(cls, type) and issubclass(cls, StepEngine),
            f"host.start was given {engine!r}, which is no StepEngine; name the engine's class as"
            " 'package.module:Class'",
        )
        driven = DrivenEngine()
        self.engines.append(driven)  # also what is cancelled while it opens has to be closed
        plain = msgspec.to_builtins(options)
        await driven.open(cast("type[StepEngine]", cls), spec, plain, self.progress)
        return driven

    async def call(self, function: str, spec: ModelSpec, options: Options) -> JsonValue:
        """Call the function on a thread. See :class:`~modeld.EngineHost`."""
        called: Any = _named(function)
        assert_that(callable(called), f"host.call was given {function!r}, which is no function")
        plain = msgspec.to_builtins(options)
        try:
            result: object = await asyncio.to_thread(called, spec, plain)
        except ModeldError:
            raise
        except Exception as exc:
            raise LoadFailedError(f"{function} raised {type(exc).__name__}: {exc}") from exc
        return cast("JsonValue", msgspec.json.decode(msgspec.json.encode(result)))

    def progress(self, fraction: float) -> None:
        """Note how much is done."""
        self.fractions.append(fraction)

    async def aclose(self) -> None:
        """Close all engines that were started."""
        await asyncio.gather(*(engine.aclose() for engine in self.engines))


def _named(path: str) -> object:
    """Return what ``package.module:name`` names.

    Raises:
        AssertionError: there is no such thing.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(import_module(module), name)
    except (ImportError, AttributeError, ValueError) as exc:
        raise AssertionError(
            f"the host was given {path!r}, which cannot be found ({exc}); name it as"
            " 'package.module:name'"
        ) from exc
