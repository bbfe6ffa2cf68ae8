# SPDX-License-Identifier: GPL-3.0-only
"""Runs plugin code so that whatever it does is a fault of that plugin and of nothing else."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class PluginFault(Exception):  # noqa: N818  (a fault is what the listing calls it)
    """A plugin cannot be used; the text says why, for the listing."""


def guarded(what: str, function: Callable[[], T], limit_s: float) -> T:
    """Run ``function`` on a thread and wait ``limit_s``, so that a hang can be left behind.

    Raises:
        PluginFault: it raised (``SystemExit`` too) or took too long; ``what`` names it.
    """
    outcome: queue.SimpleQueue[tuple[T, None] | tuple[None, BaseException]] = queue.SimpleQueue()

    def run() -> None:
        try:
            outcome.put((function(), None))
        except BaseException as exc:  # noqa: BLE001  (a plugin's SystemExit is its fault, not ours)
            outcome.put((None, exc))

    threading.Thread(target=run, name=f"modeld-plugin-{what}", daemon=True).start()
    try:
        result, error = outcome.get(timeout=limit_s)
    except queue.Empty:
        raise PluginFault(f"{what} took longer than {limit_s:g} s") from None
    if isinstance(error, PluginFault):
        raise error
    if error is not None:
        raise PluginFault(f"{what} raised {type(error).__name__}: {error}") from error
    return result  # type: ignore[return-value]  # without an error there is a result


def expect(holds: bool, thing: object, wanted: str) -> None:  # noqa: FBT001  (reads as a sentence)
    """Refuse what a plugin has brought.

    Raises:
        PluginFault: ``holds`` is false; it says that ``thing`` is not ``wanted``.
    """
    if not holds:
        raise PluginFault(f"it brought {thing!r}, which is not {wanted}")
