# SPDX-License-Identifier: GPL-3.0-only
"""The names that a plugin author and an embedding application need, and nothing else.

Who may import whom, inside modeld: ``cli`` → ``doctor`` → ``httpapi`` → ``pythonapi`` →
``lifetime`` → ``serving`` → ``hosting`` → ``plugins`` → ``plugin_tables`` → ``hookspecs`` →
``dialects`` → ``interfaces`` → ``simple_engine`` → ``engines``, ``model_service``, ``sampling``,
``capabilities``, ``chats`` → ``events``, ``settings``, ``constraints``, ``deadline`` →
``responses`` → ``status`` → ``requests`` → ``messages`` → ``gguf``, ``model_names`` → ``values``,
``route_context``, ``errors``, ``machine``, ``json_text``, ``stop_texts``. ``builtin`` and other
plugins import from here, from ``modeld.values``, ``modeld.messages``, ``modeld.requests``,
``modeld.responses``, ``modeld.status``, ``modeld.errors``, ``modeld.events``,
``modeld.interfaces``, ``modeld.dialects``, ``modeld.sampling``, ``modeld.capabilities``,
``modeld.chats``, ``modeld.constraints``, ``modeld.validation``, ``modeld.settings``,
``modeld.gguf``, ``modeld.model_names``, ``modeld.json_text``, ``modeld.stop_texts``,
``modeld.terminal`` and ``modeld.testing``.

Importing this module loads neither Starlette nor uvicorn nor any runtime.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # what type checkers take for true; the module typing takes its time
if TYPE_CHECKING:
    from modeld.capabilities import Capability
    from modeld.commands import Command
    from modeld.errors import ModeldError
    from modeld.generation import Generation
    from modeld.hookspecs import hookimpl
    from modeld.httpapi.app import ModeldApp, create_app
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
    from modeld.messages import Message
    from modeld.plugins.tables import read_settings
    from modeld.pythonapi.blocking import BlockingModels
    from modeld.pythonapi.models import Models
    from modeld.pythonapi.opening import open, open_blocking  # noqa: A004  (always modeld.open)
    from modeld.requests import BackendSampling, GenerateRequest, Sampling
    from modeld.responses import Chunk, Done, Failed, FinishReason, StepChunk, Token, Usage
    from modeld.route_context import RouteContext, route_context_of
    from modeld.settings import PluginSettings, Secret, Settings
    from modeld.values import Finding, MemoryEstimate, ModelSpec, Options

__all__ = [
    "Backend",
    "BackendSampling",
    "BlockingModels",
    "Candidate",
    "Capability",
    "Chunk",
    "Command",
    "Done",
    "Engine",
    "EngineHost",
    "EvictionPolicy",
    "Failed",
    "Finding",
    "FinishReason",
    "GenerateRequest",
    "Generation",
    "MemoryEstimate",
    "Message",
    "ModelService",
    "ModelSpec",
    "ModeldApp",
    "ModeldError",
    "Models",
    "Observer",
    "Options",
    "OutputFormatter",
    "PluginSettings",
    "PublicRoute",
    "RegistrySource",
    "RouteContext",
    "Sampling",
    "Secret",
    "Settings",
    "SimpleEngine",
    "StepChunk",
    "StepEngine",
    "Token",
    "Usage",
    "create_app",
    "hookimpl",
    "open",
    "open_blocking",
    "read_settings",
    "route_context_of",
]


_HOMES = (
    *("errors", "values", "messages", "requests", "responses", "commands", "hookspecs"),
    *("interfaces", "settings", "capabilities", "generation", "route_context", "plugins.tables"),
    *("pythonapi.opening", "httpapi.app"),
)
"""The modules that bring the names, the web stack last."""


def __getattr__(name: str) -> object:
    """Import a name on first use.

    So the command answers Ctrl-C before its libraries are there, and plugins and workers never
    import the web stack.
    """
    for home in _HOMES if name in __all__ else ():
        module = import_module(f"modeld.{home}")
        if hasattr(module, name):
            found = globals()[name] = getattr(module, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
