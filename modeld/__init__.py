# SPDX-License-Identifier: GPL-3.0-only
"""The names that a plugin author and an embedding application need, and nothing else.

Who may import whom, inside modeld: ``cli`` → ``httpapi`` → ``serving`` → ``hosting`` →
``plugins`` → ``hookspecs`` → ``interfaces`` → ``events``, ``settings``, ``questions`` → ``values``,
``errors``. ``builtin`` and other plugins import from here, from ``modeld.values``,
``modeld.questions``, ``modeld.errors``, ``modeld.events``, ``modeld.interfaces``,
``modeld.settings`` and ``modeld.testing``.

Importing this module loads neither Starlette nor uvicorn nor any runtime.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from modeld.errors import ModeldError
from modeld.hookspecs import hookimpl
from modeld.interfaces import (
    Backend,
    Candidate,
    Engine,
    EngineHost,
    EvictionPolicy,
    ModelService,
    Observer,
    OutputFormatter,
    PublicRoute,
    RegistrySource,
    SimpleEngine,
    StepEngine,
)
from modeld.settings import Settings
from modeld.values import (
    Chunk,
    Done,
    Failed,
    Finding,
    FinishReason,
    GenerateRequest,
    MemoryEstimate,
    Message,
    ModelSpec,
    Options,
    Sampling,
    StepChunk,
    Token,
    Usage,
)

if TYPE_CHECKING:
    from modeld.httpapi.app import ModeldApp, create_app

__all__ = [
    "Backend",
    "Candidate",
    "Chunk",
    "Done",
    "Engine",
    "EngineHost",
    "EvictionPolicy",
    "Failed",
    "Finding",
    "FinishReason",
    "GenerateRequest",
    "MemoryEstimate",
    "Message",
    "ModelService",
    "ModelSpec",
    "ModeldApp",
    "ModeldError",
    "Observer",
    "Options",
    "OutputFormatter",
    "PublicRoute",
    "RegistrySource",
    "Sampling",
    "Settings",
    "SimpleEngine",
    "StepChunk",
    "StepEngine",
    "Token",
    "Usage",
    "create_app",
    "hookimpl",
]


def __getattr__(name: str) -> object:
    """Load the application on first use, so that plugins and workers never import the web stack."""
    if name in {"ModeldApp", "create_app"}:
        from modeld.httpapi import app  # noqa: PLC0415

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
