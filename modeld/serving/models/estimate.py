# SPDX-License-Identifier: GPL-3.0-only
"""What a model will hold, as its backend estimates it, and how that fits into the budget."""

from __future__ import annotations

from modeld.errors import LoadFailedError
from modeld.interfaces import Backend
from modeld.plugins.guard import PluginFault, called, shown, whole
from modeld.values import Fit, MemoryEstimate, ModelSpec, Options


def estimate(backend: Backend, spec: ModelSpec, options: Options) -> int:
    """Return the bytes that the backend expects the model to hold.

    Raises:
        ModeldError: as the backend raised it.
        LoadFailedError: it raised something else, or returned nonsense.
    """
    what = f"backend {backend.name!r}: estimate"
    try:
        return total_bytes(what, called(what, lambda: backend.estimate(spec, options)))
    except PluginFault as exc:
        raise LoadFailedError(f"{spec.id!r} could not be estimated: {exc}") from exc


def fit_of(need_bytes: int, most_bytes: int | None) -> Fit:
    """Return how a need fits into what the budget can be at most; ``None`` is unlimited."""
    if most_bytes is None or need_bytes * 2 <= most_bytes:
        return Fit.FITS
    return Fit.ALONE if need_bytes <= most_bytes else Fit.NEVER


def total_bytes(what: str, estimate: object) -> int:
    """Return what an estimate adds up to, in whole bytes.

    Raises:
        PluginFault: it is no estimate of memory.
    """
    if not isinstance(estimate, MemoryEstimate):
        raise PluginFault(f"{what} returned {shown(estimate)}, which is not a MemoryEstimate")
    return whole(f"{what}: the sum in bytes", called(what, lambda: estimate.total_bytes), 0)
