# SPDX-License-Identifier: GPL-3.0-only
"""The plugin: a backend, and the source of its models. It imports no runtime; the worker does."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from modeld import (
    Backend,
    Engine,
    EngineHost,
    MemoryEstimate,
    ModelSpec,
    Options,
    RegistrySource,
    Settings,
    hookimpl,
)
from modeld.capabilities import Capability
from modeld_openvino import shape
from modeld_openvino.folder import OpenVinoFolder
from modeld_openvino.options import OpenVinoOptions

_CAPABILITIES: Final = frozenset(
    {
        Capability.TEXT,
        Capability.TOKEN_IDS,
        Capability.CHAT,
        Capability.TOKENIZE,
        Capability.TEMPLATE,
    }
)


class OpenVino(Backend):
    """Runs OpenVINO models, and GGUF files of some families, on OpenVINO GenAI in a worker."""

    name = "openvino"
    options_type = OpenVinoOptions
    unserved_sampling = ("logit_bias",)

    def can_load(self, spec: ModelSpec) -> bool:
        """Return whether it is an OpenVINO model or a GGUF file that OpenVINO reads right."""
        return spec.format == shape.OPENVINO or shape.is_readable_gguf(spec)

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:  # noqa: ARG002
        """Return what the engine serves, which is the same for all models."""
        return _CAPABILITIES

    def context(self, spec: ModelSpec, options: Options) -> int:
        """Return the tokens of the cache, which one request alone may fill."""
        assert isinstance(options, OpenVinoOptions)
        return shape.context(spec, options)

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        """Return what :mod:`.shape` makes of the model's files and numbers."""
        assert isinstance(options, OpenVinoOptions)
        return shape.estimate(spec, options)

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Start the engine in a worker."""
        return await host.start("modeld_openvino.engine:OpenVinoEngine", spec, options)


@hookimpl
def modeld_register_backends() -> Iterable[Backend]:
    """Return the OpenVINO backend."""
    return (OpenVino(),)


@hookimpl
def modeld_register_sources(settings: Settings) -> Iterable[RegistrySource]:
    """Return the source of OpenVINO models."""
    return (OpenVinoFolder(settings.models_dir, follow_links=settings.follow_links),)
