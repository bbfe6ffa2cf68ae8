# SPDX-License-Identifier: GPL-3.0-only
"""What a model will hold, as its backend estimates it, and how that fits into the budget."""

from __future__ import annotations

from modeld.device_bytes import DeviceBytes
from modeld.errors import LoadFailedError
from modeld.interfaces import Backend
from modeld.plugins.guard import PluginFault, called, on_gpus, shown, whole
from modeld.values import Fit, MemoryEstimate, ModelSpec, Options


def estimate(backend: Backend, spec: ModelSpec, options: Options) -> DeviceBytes:
    """Return what the backend expects the model to hold, on each device.

    Raises:
        ModeldError: as the backend raised it.
        LoadFailedError: it raised something else, or returned nonsense.
    """
    what = f"backend {backend.name!r}: estimate"
    try:
        return held_of(what, called(what, lambda: backend.estimate(spec, options)))
    except PluginFault as exc:
        raise LoadFailedError(f"{spec.id!r} could not be estimated: {exc}") from exc


def fit_of(need: DeviceBytes, most: DeviceBytes) -> Fit:
    """Return how a need fits into what the budget of each device can be at most."""
    if need.times(2).fits_within(most):
        return Fit.FITS
    return Fit.ALONE if need.fits_within(most) else Fit.NEVER


def held_of(what: str, estimate: object) -> DeviceBytes:
    """Return what an estimate adds up to on each device, in whole bytes.

    Raises:
        PluginFault: it is no estimate of memory.
    """
    if not isinstance(estimate, MemoryEstimate):
        raise PluginFault(f"{what} returned {shown(estimate)}, which is not a MemoryEstimate")
    total = whole(f"{what}: the sum in bytes", called(what, lambda: estimate.total_bytes), 0)
    placed = on_gpus(f"{what}: on_gpus", called(what, lambda: estimate.on_gpus), total)
    return DeviceBytes.split(total, placed)
