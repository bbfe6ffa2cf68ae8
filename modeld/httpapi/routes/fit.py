# SPDX-License-Identifier: GPL-3.0-only
"""The receipt of a model that fits with less than it is configured for, as the API shows it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from modeld.sizes import whole_mib
from modeld.status import Fitting


class FitItem(BaseModel):
    """What a model goes without, because it would never fit as it is configured."""

    step: str = Field(description="the last step that was taken, as in X-Modeld-Fit")
    gives_up: str = Field(description="what all steps mean, in words")
    options: dict[str, Any] = Field(description="the options that are others now, with their value")
    full_mb: int = Field(description="what it needs as it is configured, in MiB, rounded up")


def fit_item(fitting: Fitting | None) -> FitItem | None:
    """Return the receipt as the documents have it."""
    if fitting is None:
        return None
    return FitItem(
        step=fitting.step,
        gives_up=fitting.gives_up,
        options=dict(fitting.options),
        full_mb=whole_mib(fitting.full_bytes),
    )
