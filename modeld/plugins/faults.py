# SPDX-License-Identifier: GPL-3.0-only
"""Records the faults of plugins since the start, by plugin."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from modeld.errors import InternalError, LoadFailedError, ModeldError, WorkerCrashedError
from modeld.interfaces import PluginKind
from modeld.plugins.guard import PluginFault
from modeld.values import FaultStatus

MOST_KEPT: Final = 20
"""How many different faults of one plugin are kept; of more, those that came last."""

LOGGED_AGAIN_S: Final = 60.0
"""A fault that comes again and again is logged this often at most; each time it is counted."""

log = logging.getLogger("modeld.plugins")


class NoteFault(Protocol):
    """Takes down what a plugin has done wrong.

    ``kind`` and ``name`` are those of the thing that it has brought, ``message`` is a sentence that
    names it, and ``cause`` is what it has raised, if it has.
    """

    def __call__(
        self, kind: PluginKind, name: str, message: str, cause: BaseException | None = None
    ) -> None:
        """Take it down; this raises nothing."""


class PluginFaults:
    """The faults of one application's plugins. Any thread may note one.

    ``owners`` says which plugin has brought what, by kind and name. The clocks are the monotonic
    one and that of the wall.
    """

    def __init__(
        self,
        owners: Mapping[tuple[str, str], str],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._owners = owners
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._faults: dict[str, dict[tuple[str, str], _Fault]] = {}

    def note(
        self, kind: PluginKind, name: str, message: str, cause: BaseException | None = None
    ) -> None:
        """Note a fault of what a plugin has brought; see :class:`NoteFault`."""
        self.note_of(self._owners.get((kind, name), ""), f"{kind} {name}", message, cause)

    def note_of(
        self, plugin: str, thing: str, message: str, cause: BaseException | None = None
    ) -> None:
        """Note a fault of a plugin, and log it unless the same one was logged lately."""
        with self._lock:
            faults = self._faults.setdefault(plugin, {})
            # Taken out and put in again: the last one is the newest, and the first one goes.
            fault = faults.pop((thing, message), None) or _Fault()
            faults[thing, message] = fault
            if len(faults) > MOST_KEPT:
                del faults[next(iter(faults))]
            is_due = fault.noted(self._clock(), self._wall_clock())
        if is_due:
            log_fault(plugin, thing, message, cause)

    def of(self, plugin: str) -> tuple[FaultStatus, ...]:
        """Return the faults of one plugin, the newest last."""
        with self._lock:
            return tuple(
                FaultStatus(
                    thing=thing,
                    message=message,
                    count=fault.count,
                    last_unix=int(fault.last_unix),
                )
                for (thing, message), fault in self._faults.get(plugin, {}).items()
            )


class _Fault:
    """How often one fault has come, and when it was logged."""

    def __init__(self) -> None:
        self.count = 0
        self.last_unix = 0.0
        self._logged_s: float | None = None

    def noted(self, now_s: float, now_unix: float) -> bool:
        """Count it once more, and return whether it is to be logged."""
        self.count += 1
        self.last_unix = now_unix
        is_due = self._logged_s is None or now_s - self._logged_s >= LOGGED_AGAIN_S
        if is_due:
            self._logged_s = now_s
        return is_due


def only_logged(
    kind: PluginKind,
    name: str,
    message: str,
    cause: BaseException | None = None,
) -> None:
    """Take a fault down where nobody asks for the plugins."""
    log_fault("", f"{kind} {name}", message, cause)


def log_fault(plugin: str, thing: str, message: str, cause: BaseException | None) -> None:
    """Log a fault, with the traceback of what the plugin has raised."""
    line = f"plugin {plugin!r}: {message}" if plugin else message
    fields = {"plugin": plugin, "thing": thing}
    log.error("%s", line, exc_info=raised(cause), extra=fields)


def fault_in(error: BaseException) -> PluginFault | None:
    """Return the fault that an error of modeld's tells of, if it tells of one."""
    found: BaseException | None = error
    while found is not None and not isinstance(found, PluginFault):
        found = found.__cause__
    return found


def raised(cause: BaseException | None) -> BaseException | None:
    """Return what a plugin has raised, if not an error of modeld's, which says enough."""
    fault = None if cause is None else fault_in(cause)
    if fault is not None:
        return fault.__cause__
    return None if isinstance(cause, ModeldError) else cause


def is_fault(error: BaseException) -> bool:
    """Return whether a backend is to blame for an error: it failed, and did not refuse.

    What a worker has raised comes as one of three errors, whatever it was.
    """
    blamed = (LoadFailedError, WorkerCrashedError, InternalError)
    return not isinstance(error, ModeldError) or isinstance(error, blamed)
