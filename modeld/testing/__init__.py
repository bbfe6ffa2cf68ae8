# SPDX-License-Identifier: GPL-3.0-only
"""The conformance kit: what every plugin keeps to, as checks that its author runs.

A test class that derives from a contract and names its subject is all that pytest needs;
:func:`run` does the same without pytest. Nothing is imported before it is used.
"""

from __future__ import annotations

from importlib import import_module

TYPE_CHECKING = False  # what type checkers take for true; the module typing takes its time
if TYPE_CHECKING:
    from modeld.testing.backend.contract import BackendContract
    from modeld.testing.contract import Contract, Outcome, run
    from modeld.testing.contracts.dialect import DialectContract
    from modeld.testing.contracts.formatter import FormatterContract
    from modeld.testing.contracts.observer import ObserverContract
    from modeld.testing.contracts.policy import EvictionPolicyContract
    from modeld.testing.contracts.routes import RoutesContract
    from modeld.testing.contracts.service import ServiceContract
    from modeld.testing.contracts.source import SourceContract
    from modeld.testing.doubles.application import ObligingService, make_app, serving
    from modeld.testing.doubles.client import Received, ask
    from modeld.testing.doubles.fake_service import FakeService
    from modeld.testing.doubles.scripted import ScriptedBackend, ScriptedEngine
    from modeld.testing.doubles.virtual_time import Clock, run_virtually, settle

__all__ = [
    "BackendContract",
    "Clock",
    "Contract",
    "DialectContract",
    "EvictionPolicyContract",
    "FakeService",
    "FormatterContract",
    "ObligingService",
    "ObserverContract",
    "Outcome",
    "Received",
    "RoutesContract",
    "ScriptedBackend",
    "ScriptedEngine",
    "ServiceContract",
    "SourceContract",
    "ask",
    "make_app",
    "run",
    "run_virtually",
    "serving",
    "settle",
]

_HOMES = (
    *("contract", "backend.contract"),
    *(f"contracts.{name}" for name in ("source", "policy", "formatter", "observer", "service")),
    *(f"doubles.{name}" for name in ("scripted", "fake_service", "client", "virtual_time")),
    *("contracts.dialect", "contracts.routes", "doubles.application"),
)
"""The modules that bring the names, the web stack last."""


def __getattr__(name: str) -> object:
    """Import a name on first use."""
    for home in _HOMES if name in __all__ else ():
        module = import_module(f"modeld.testing.{home}")
        if hasattr(module, name):
            found = globals()[name] = getattr(module, name)
            return found
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
