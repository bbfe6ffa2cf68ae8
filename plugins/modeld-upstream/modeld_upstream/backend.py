# SPDX-License-Identifier: GPL-3.0-only
"""The backends: one for each kind of server, since each serves other fields."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

from modeld import (
    Backend,
    Capability,
    Engine,
    EngineHost,
    Finding,
    MemoryEstimate,
    ModelSpec,
    Options,
    Settings,
)
from modeld_upstream.kinds import (
    ANY,
    GENERIC,
    KINDS,
    LLAMA_SERVER,
    LM_STUDIO,
    MODELD,
    OPENAI,
    SGLANG,
    VLLM,
    Kind,
)
from modeld_upstream.limits import Limits
from modeld_upstream.options import UpstreamOptions
from modeld_upstream.servers import UpstreamServer
from modeld_upstream.spawning.ports import Ports
from modeld_upstream.specs import format_of, model_of, server_of


class Upstream(Backend):
    """Serves the models of some servers, all of one kind."""

    options_type = UpstreamOptions
    kind: ClassVar[Kind]

    def __init__(self, servers: Iterable[UpstreamServer], settings: Settings, ports: Ports) -> None:
        self.name = format_of(self.kind)
        self._servers: Mapping[str, UpstreamServer] = {each.name: each for each in servers}
        self._limits = Limits.of(settings)
        self._is_salted = settings.cache_per_key
        self._ports = ports

    def can_load(self, spec: ModelSpec) -> bool:
        """Return whether it is a model of one of the servers."""
        return spec.format == self.name and server_of(spec) in self._servers

    def capabilities(self, spec: ModelSpec, options: Options) -> frozenset[Capability]:  # noqa: ARG002
        """Return what the settings say of the server, or what it can be told of at all."""
        server = self._servers[server_of(spec)]
        if server.capabilities is None and spec.offers is not None:
            return server.kind_of_server.capabilities | ANY  # of which the model has what it offers
        return server.serves

    def advice(self, missing: Capability, spec: ModelSpec, options: Options) -> str:  # noqa: ARG002
        """Return how the operator would say that the server does serve it."""
        return (
            f"if server {server_of(spec)!r} does serve it, name {missing.value} in its capabilities"
            " in the settings"
        )

    def context(self, spec: ModelSpec, options: Options) -> int | None:
        """Return the option, or what the server has said when its models were listed."""
        assert isinstance(options, UpstreamOptions)
        return options.context or spec.context_length

    def estimate(self, spec: ModelSpec, options: Options) -> MemoryEstimate:
        """Return what the option says, or else the size of the model's file."""
        assert isinstance(options, UpstreamOptions)
        if options.memory_mb is not None:
            return MemoryEstimate(weights_bytes=options.memory_mb << 20)
        return MemoryEstimate(weights_bytes=spec.size_bytes)

    async def diagnose(
        self,
        spec: ModelSpec | None,
        options: Options,  # noqa: ARG002
        host: EngineHost,  # noqa: ARG002
    ) -> Sequence[Finding]:
        """Look whether the servers that run elsewhere can be reached, and what each refuses."""
        if spec is not None:
            return ()
        from modeld_upstream.loading import reached  # noqa: PLC0415  (brings aiohttp)

        attached = [each for each in self._servers.values() if each.url]
        unsalted = [_unsalted(each) for each in self._servers.values() if self._refuses(each)]
        return [*[await reached(each, self._limits) for each in attached], *unsalted]

    async def load(self, spec: ModelSpec, options: Options, host: EngineHost) -> Engine:
        """Reach the model's server, or start it."""
        assert isinstance(options, UpstreamOptions)
        from modeld_upstream import loading  # noqa: PLC0415  (brings aiohttp)

        server, model = self._servers[server_of(spec)], model_of(spec)
        wanted = loading.Wanted(
            server=server,
            model=model,
            options=options,
            limits=self._limits,
            progress=host.progress,
        )
        if server.url:
            return await loading.attached(wanted)
        return await loading.started(wanted, self._ports)

    def _refuses(self, server: UpstreamServer) -> bool:
        """Return whether every generation is refused, for each has a salt."""
        generates = server.serves & {Capability.TEXT, Capability.CHAT}
        return self._is_salted and bool(generates) and not self.kind.shares_by_salt


def _unsalted(server: UpstreamServer) -> Finding:
    able = " or ".join(name for name, kind in KINDS.items() if kind.shares_by_salt)
    return Finding(
        subject=f"server {server.name}",
        level="warning",
        message="its generations are refused: with cache_per_key each has a cache_salt, which the"
        f" kind {server.kind} does not take",
        fix=f"set its kind, if it is {able}, or turn cache_per_key off",
    )


class GenericServer(Upstream):
    """Serves models of any server with OpenAI's API."""

    kind = GENERIC
    unserved_sampling = GENERIC.unserved_sampling


class OpenAIServer(Upstream):
    """Serves models of OpenAI's own."""

    kind = OPENAI
    unserved_sampling = OPENAI.unserved_sampling


class LlamaServer(Upstream):
    """Serves models of llama.cpp's own server."""

    kind = LLAMA_SERVER
    unserved_sampling = LLAMA_SERVER.unserved_sampling


class VLLMServer(Upstream):
    """Serves models of vLLM."""

    kind = VLLM
    unserved_sampling = VLLM.unserved_sampling


class SGLangServer(Upstream):
    """Serves models of SGLang."""

    kind = SGLANG
    unserved_sampling = SGLANG.unserved_sampling


class LMStudioServer(Upstream):
    """Serves models of LM Studio."""

    kind = LM_STUDIO
    unserved_sampling = LM_STUDIO.unserved_sampling


class ModeldServer(Upstream):
    """Serves models of another modeld."""

    kind = MODELD
    unserved_sampling = MODELD.unserved_sampling


BACKENDS: tuple[type[Upstream], ...] = (
    GenericServer,
    OpenAIServer,
    LlamaServer,
    VLLMServer,
    SGLangServer,
    LMStudioServer,
    ModeldServer,
)
"""One for each kind."""


def backends_of(servers: Sequence[UpstreamServer], settings: Settings) -> list[Upstream]:
    """Return a backend for each kind of server that there is; they share the ports."""
    ports = Ports()
    return [
        backend(of_kind, settings, ports)
        for backend in BACKENDS
        if (of_kind := [each for each in servers if each.kind == backend.kind.name])
    ]
