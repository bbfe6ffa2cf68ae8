# SPDX-License-Identifier: GPL-3.0-only
"""Says which models it can load, how much memory they take, and has their engines started."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from modeld import Backend, Engine, EngineHost, MemoryEstimate, ModelSpec, Options
from modeld_template.source import FORMAT

WORKING_BYTES = 1 << 20
"""What an engine takes beside the weights."""


class TemplateOptions(Options, frozen=True, kw_only=True):
    """What can be set for one model."""

    loud: Annotated[bool, Meta(description="write in capital letters")] = False


class TemplateBackend(Backend):
    """Loads models of one format."""

    name = "template"
    options_type = TemplateOptions

    def can_load(self, spec: ModelSpec) -> bool:
        """Return whether this is a model of the format."""
        return spec.format == FORMAT

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:  # noqa: ARG002
        """Return the bytes that the model will take."""
        return MemoryEstimate(
            weights_bytes=spec.size_bytes, kv_bytes=0, compute_bytes=WORKING_BYTES
        )

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Have an engine started in a process of its own."""
        return await host.start("modeld_template.engine:TemplateEngine", spec, options)
