# SPDX-License-Identifier: GPL-3.0-only
"""The plugin: a backend, and the source of its models. It imports no runtime; the worker does."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec

from modeld import (
    Backend,
    Engine,
    EngineHost,
    Finding,
    MemoryEstimate,
    ModelSpec,
    Options,
    RegistrySource,
    Settings,
    hookimpl,
)
from modeld.capabilities import Capability
from modeld.values import JsonValue, Value
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


class _Build(Value, frozen=True, kw_only=True):
    """What a worker says of OpenVINO: its version, and the devices by their ids."""

    version: str
    devices: Mapping[str, str]

    def finding(self, options: OpenVinoOptions) -> Finding:
        """Return what the doctor says of it, where these are a model's options."""
        listed = ", ".join(f"{each} ({name})" for each, name in self.devices.items())
        message = f"OpenVINO GenAI {self.version} computes on {listed or 'no device'}"
        facts: dict[str, JsonValue] = {"version": self.version, "devices": dict(self.devices)}
        if options.has_device(self.devices):
            return Finding(subject="openvino", level="ok", message=message, facts=facts)
        return Finding(
            subject="openvino",
            level="error",
            message=f"{message}, and not on {options.device}",
            fix=f"set the option `device` to one of {', '.join(self.devices)}",
            facts=facts,
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
        """Return the tokens that each slot has room for."""
        assert isinstance(options, OpenVinoOptions)
        return shape.context(spec, options)

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        """Return what :mod:`.shape` makes of the model's files and numbers."""
        assert isinstance(options, OpenVinoOptions)
        return shape.estimate(spec, options)

    async def diagnose(
        self, spec: ModelSpec | None, options: Options, host: EngineHost
    ) -> Sequence[Finding]:
        """Return where this build can compute, and whether that is where the model shall."""
        assert isinstance(options, OpenVinoOptions)
        none = ModelSpec(id="", name="", path="")
        said = await host.call("modeld_openvino.devices:read", spec or none, options)
        found = msgspec.convert(said, _Build)
        return [found.finding(options)]

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
    return [
        OpenVinoFolder(
            folder,
            follow_links=settings.follow_links,
            name="openvino-folder" if number == 1 else f"openvino-folder-{number}",
        )
        for number, folder in enumerate(settings.model_folders, start=1)
    ]
